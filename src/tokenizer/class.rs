//! transformers' tokenizer classes: what each assumes where the files are silent.

use serde_json::Value;

use crate::batch::PaddingSide;
use crate::tokenizer::language_codes;

/// A family of tokenizer classes that load alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `AlbertTokenizer`, `RemBertTokenizer`.
    Albert,
    /// `BarthezTokenizer`: XLM-RoBERTa's, with another vocabulary.
    Barthez,
    /// `BertTokenizer`, `ElectraTokenizer` and other WordPiece classes.
    Bert,
    /// `BigBirdTokenizer`.
    BigBird,
    /// `BloomTokenizer`.
    Bloom,
    /// `ByT5Tokenizer`: the bytes of a text.
    ByT5,
    /// `CamembertTokenizer`.
    Camembert,
    /// `CLIPTokenizer`.
    Clip,
    /// `CodeLlamaTokenizer`: Llama's, with tokens for gaps to be filled.
    CodeLlama,
    /// `CohereTokenizer`.
    Cohere,
    /// `DebertaTokenizer`.
    Deberta,
    /// `DebertaV2Tokenizer`, also of DeBERTa-v3.
    DebertaV2,
    /// `DistilBertTokenizer`, `DPRReaderTokenizer`: BERT's, without token types.
    DistilBert,
    /// `FNetTokenizer`.
    FNet,
    /// `FunnelTokenizer`: BERT's, with XLNet's special tokens.
    Funnel,
    /// `GemmaTokenizer`.
    Gemma,
    /// `GPT2Tokenizer`, `CodeGenTokenizer`: plain byte-level BPE.
    Gpt2,
    /// `GPTNeoXTokenizer`.
    GptNeoX,
    /// `HerbertTokenizer`.
    Herbert,
    /// `LayoutLMv3Tokenizer`: RoBERTa's, with `add_prefix_space`.
    LayoutLmV3,
    /// `LlamaTokenizer`.
    Llama,
    /// `M2M100Tokenizer`: the language precedes the text.
    M2m100,
    /// `MarianTokenizer`: one SentencePiece model for texts, another for translations.
    Marian,
    /// `MBartTokenizer`: the language follows the text.
    MBart,
    /// `MBart50Tokenizer`: the language precedes the text.
    MBart50,
    /// `MPNetTokenizer`: WordPiece with RoBERTa's special tokens.
    MpNet,
    /// `NllbTokenizer`: the language precedes the text.
    Nllb,
    /// `OpenAIGPTTokenizer`.
    OpenAiGpt,
    /// `PegasusTokenizer`.
    Pegasus,
    /// `PLBartTokenizer`: the language follows the text.
    PlBart,
    /// `Qwen2Tokenizer`, also of Qwen3.
    Qwen2,
    /// `ReformerTokenizer`.
    Reformer,
    /// `RobertaTokenizer`, `BartTokenizer`, `LongformerTokenizer`: byte-level BPE with `<s>`.
    Roberta,
    /// `SplinterTokenizer`: BERT's, with a token for questions.
    Splinter,
    /// `T5Tokenizer`, `MT5Tokenizer`.
    T5,
    /// `Wav2Vec2CTCTokenizer`: the letters of a model that writes one for each frame.
    Wav2Vec2Ctc,
    /// `WhisperTokenizer`.
    Whisper,
    /// `XGLMTokenizer`.
    Xglm,
    /// `XLMRobertaTokenizer`.
    XlmRoberta,
    /// `XLNetTokenizer`, `CpmTokenizer`.
    XlNet,
    /// `PreTrainedTokenizerFast` and every class not listed: the files say everything.
    Other,
}

impl Class {
    /// By the class's name, with or without `Fast`.
    pub(super) fn named(name: &str) -> Self {
        match name.strip_suffix("Fast").unwrap_or(name) {
            "AlbertTokenizer" | "RemBertTokenizer" => Self::Albert,
            "BarthezTokenizer" => Self::Barthez,
            "BertTokenizer"
            | "ConvBertTokenizer"
            | "DPRContextEncoderTokenizer"
            | "DPRQuestionEncoderTokenizer"
            | "ElectraTokenizer"
            | "LayoutLMTokenizer"
            | "LayoutLMv2Tokenizer"
            | "LxmertTokenizer"
            | "MobileBertTokenizer"
            | "RealmTokenizer"
            | "RetriBertTokenizer"
            | "SqueezeBertTokenizer" => Self::Bert,
            "BigBirdTokenizer" => Self::BigBird,
            "BloomTokenizer" => Self::Bloom,
            "ByT5Tokenizer" => Self::ByT5,
            "CamembertTokenizer" => Self::Camembert,
            "CLIPTokenizer" => Self::Clip,
            "CodeLlamaTokenizer" => Self::CodeLlama,
            "CohereTokenizer" => Self::Cohere,
            "DebertaTokenizer" => Self::Deberta,
            "DebertaV2Tokenizer" => Self::DebertaV2,
            "DistilBertTokenizer" | "DPRReaderTokenizer" => Self::DistilBert,
            "FNetTokenizer" => Self::FNet,
            "FunnelTokenizer" => Self::Funnel,
            "GemmaTokenizer" => Self::Gemma,
            "GPT2Tokenizer" | "CodeGenTokenizer" => Self::Gpt2,
            "GPTNeoXTokenizer" => Self::GptNeoX,
            "HerbertTokenizer" => Self::Herbert,
            "LayoutLMv3Tokenizer" => Self::LayoutLmV3,
            "LlamaTokenizer" => Self::Llama,
            "M2M100Tokenizer" => Self::M2m100,
            "MarianTokenizer" => Self::Marian,
            "MBartTokenizer" => Self::MBart,
            "MBart50Tokenizer" => Self::MBart50,
            "MPNetTokenizer" => Self::MpNet,
            "NllbTokenizer" => Self::Nllb,
            "OpenAIGPTTokenizer" => Self::OpenAiGpt,
            "PegasusTokenizer" => Self::Pegasus,
            "PLBartTokenizer" => Self::PlBart,
            "Qwen2Tokenizer" => Self::Qwen2,
            "ReformerTokenizer" => Self::Reformer,
            "RobertaTokenizer"
            | "BartTokenizer"
            | "BlenderbotTokenizer"
            | "LEDTokenizer"
            | "LongformerTokenizer"
            | "MvpTokenizer" => Self::Roberta,
            "SplinterTokenizer" => Self::Splinter,
            "T5Tokenizer" | "MT5Tokenizer" => Self::T5,
            "Wav2Vec2CTCTokenizer" => Self::Wav2Vec2Ctc,
            "WhisperTokenizer" => Self::Whisper,
            "XGLMTokenizer" => Self::Xglm,
            "XLMRobertaTokenizer" => Self::XlmRoberta,
            "XLNetTokenizer" | "CpmTokenizer" => Self::XlNet,
            _ => Self::Other,
        }
    }

    /// The class whose older files are converted alike.
    pub(super) fn converts_as(self) -> Self {
        match self {
            Self::CodeLlama => Self::Llama,
            Self::DistilBert => Self::Bert,
            Self::LayoutLmV3 => Self::Roberta,
            class => class,
        }
    }

    /// The special tokens that the class's constructor names by default, in the order of
    /// [`NAMES`](super::named::NAMES); empty for none.
    pub(super) fn special_tokens(self) -> [&'static str; 7] {
        match self {
            Self::Albert => ["[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"],
            Self::Bert | Self::DistilBert | Self::Splinter => {
                ["", "", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
            }
            Self::BigBird => ["<s>", "</s>", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"],
            Self::Bloom => ["<s>", "</s>", "<unk>", "", "<pad>", "", ""],
            Self::Barthez
            | Self::Camembert
            | Self::LayoutLmV3
            | Self::MBart
            | Self::Nllb
            | Self::PlBart
            | Self::Roberta
            | Self::XlmRoberta => ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"],
            Self::Clip => {
                ["<|startoftext|>", "<|endoftext|>", "<|endoftext|>", "", "<|endoftext|>", "", ""]
            }
            Self::CodeLlama | Self::Llama => ["<s>", "</s>", "<unk>", "", "", "", ""],
            Self::Cohere => ["<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", "", "", "", ""],
            Self::Deberta | Self::DebertaV2 => {
                ["[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"]
            }
            Self::FNet => ["", "", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"],
            Self::Funnel | Self::XlNet => {
                ["<s>", "</s>", "<unk>", "<sep>", "<pad>", "<cls>", "<mask>"]
            }
            Self::Gemma => ["<bos>", "<eos>", "<unk>", "", "<pad>", "", ""],
            Self::Gpt2 | Self::GptNeoX | Self::Whisper => {
                ["<|endoftext|>", "<|endoftext|>", "<|endoftext|>", "", "", "", ""]
            }
            Self::Herbert => ["", "", "<unk>", "</s>", "<pad>", "<s>", "<mask>"],
            Self::M2m100 => ["<s>", "</s>", "<unk>", "</s>", "<pad>", "", ""],
            Self::MBart50 => ["", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"],
            Self::MpNet => ["<s>", "</s>", "[UNK]", "</s>", "<pad>", "<s>", "<mask>"],
            Self::OpenAiGpt => ["", "", "<unk>", "", "", "", ""],
            Self::Pegasus => ["", "</s>", "<unk>", "", "<pad>", "", "<mask_2>"],
            Self::Qwen2 => ["", "<|endoftext|>", "<|endoftext|>", "", "<|endoftext|>", "", ""],
            Self::Reformer => ["", "</s>", "<unk>", "", "", "", ""],
            Self::ByT5 | Self::Marian | Self::T5 => ["", "</s>", "<unk>", "", "<pad>", "", ""],
            Self::Wav2Vec2Ctc => ["<s>", "</s>", "<unk>", "", "<pad>", "", ""],
            Self::Xglm => ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", ""],
            Self::Other => [""; 7],
        }
    }

    /// What the class makes of the files' `additional_special_tokens`: those it adds, before and
    /// after. `field` is a field of `tokenizer_config.json`.
    pub(super) fn additional<'a>(
        self,
        given: Option<&[String]>,
        field: impl Fn(&str) -> Option<&'a Value>,
    ) -> (Vec<String>, Vec<String>) {
        let text = |key: &str, default: &str| match field(key) {
            None => Some(default.to_owned()),
            Some(value) => content(value),
        };
        let count = |key: &str, default: u64| {
            field(key).and_then(Value::as_u64).unwrap_or(default).min(MAX_COUNTED)
        };
        let numbered = |name: &str, range: std::ops::Range<u64>| {
            range.map(|index| format!("<{name}_{index}>")).collect::<Vec<_>>()
        };
        let there = |token: &str| given.is_some_and(|given| given.iter().any(|one| one == token));
        let owned = |tokens: &[&str]| tokens.iter().map(|&token| token.to_owned()).collect();
        match self {
            Self::ByT5 if given.is_none() => {
                (Vec::new(), numbered("extra_id", 0..count("extra_ids", 125)))
            }
            Self::MBart => (owned(&self.languages()), Vec::new()),
            Self::MBart50 => (
                Vec::new(),
                self.languages()
                    .into_iter()
                    .filter(|code| !there(code))
                    .map(str::to_owned)
                    .collect(),
            ),
            Self::Nllb if given.is_none() => (Vec::new(), owned(&self.languages())),
            Self::PlBart => {
                let is_multi = field("language_codes").and_then(Value::as_str) == Some("multi");
                let count = if is_multi { usize::MAX } else { language_codes::PLBART_BASE };
                let codes = language_codes::each(language_codes::PLBART).take(count);
                (codes.map(str::to_owned).collect(), Vec::new())
            }
            Self::Camembert if given.is_none() => {
                (Vec::new(), owned(&["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"]))
            }
            Self::CodeLlama => {
                let tokens = [
                    ("prefix_token", "▁<PRE>"),
                    ("middle_token", "▁<MID>"),
                    ("suffix_token", "▁<SUF>"),
                    ("eot_token", "▁<EOT>"),
                ];
                let tokens = tokens.into_iter().filter_map(|(key, default)| text(key, default));
                (Vec::new(), tokens.collect())
            }
            Self::Pegasus => {
                let sentence = text("mask_token_sent", "<mask_1>");
                let sentence: Vec<_> = sentence.into_iter().filter(|token| !there(token)).collect();
                let from = given.map_or(2, |given| (given.len() + sentence.len()) as u64);
                let offset = count("offset", 103);
                let end = offset - u64::from(given.is_some() && offset > 0);
                (sentence, numbered("unk", from..end))
            }
            Self::Splinter => {
                (Vec::new(), text("question_token", "[QUESTION]").into_iter().collect())
            }
            Self::T5 => {
                let is_there =
                    |given: &[String]| given.iter().any(|one| one.contains("<extra_id_"));
                let extra = match given.is_some_and(is_there) {
                    true => Vec::new(),
                    false => numbered("extra_id", 0..count("extra_ids", 100)),
                };
                (Vec::new(), extra)
            }
            Self::Xglm => {
                let words = (0..7).map(|index| format!("<madeupword{index}>"));
                (Vec::new(), words.filter(|word| !there(word)).collect())
            }
            Self::XlNet if given.is_none() => (Vec::new(), owned(&["<eop>", "<eod>"])),
            _ => Default::default(),
        }
    }

    /// The codes that the class lists, where they are tokens as they stand.
    pub(super) fn languages(self) -> Vec<&'static str> {
        let (codes, count) = match self {
            Self::MBart => (language_codes::MBART50, language_codes::MBART),
            Self::MBart50 => (language_codes::MBART50, usize::MAX),
            Self::Nllb => (language_codes::NLLB, usize::MAX),
            _ => return Vec::new(),
        };
        language_codes::each(codes).take(count).collect()
    }

    /// `model_max_length` where the files do not say.
    pub(super) fn model_max_length(self) -> Option<usize> {
        (self == Self::Marian).then_some(512)
    }

    /// Whether a mask token that the files give as mere text swallows the spaces before it.
    pub(super) fn mask_swallows_spaces(self) -> bool {
        matches!(
            self,
            Self::Albert
                | Self::Barthez
                | Self::BigBird
                | Self::Camembert
                | Self::FNet
                | Self::MBart
                | Self::MBart50
                | Self::MpNet
                | Self::Nllb
                | Self::PlBart
                | Self::Roberta
                | Self::XlNet
                | Self::XlmRoberta
        )
    }

    pub(super) fn padding_side(self) -> PaddingSide {
        match self {
            Self::CodeLlama | Self::Cohere | Self::Gemma | Self::Llama | Self::XlNet => {
                PaddingSide::Left
            }
            _ => PaddingSide::Right,
        }
    }

    /// The token type of padding.
    pub(super) fn pad_type_id(self) -> u32 {
        if self == Self::XlNet { 3 } else { 0 }
    }

    /// Whether token types are among the inputs of the class's models.
    pub(super) fn has_type_ids(self) -> bool {
        matches!(
            self,
            Self::Albert
                | Self::Bert
                | Self::Deberta
                | Self::DebertaV2
                | Self::FNet
                | Self::Funnel
                | Self::Herbert
                | Self::Other
                | Self::Splinter
                | Self::XlNet
        )
    }

    /// `add_prefix_space` where the files do not say; none where the class leaves the file alone.
    pub(super) fn prefix_space(self) -> Option<bool> {
        match self {
            Self::Llama | Self::T5 => None,
            Self::LayoutLmV3 => Some(true),
            _ => Some(false),
        }
    }

    /// Whether the class refuses words given one by one unless it has `add_prefix_space`.
    pub(super) fn needs_prefix_space_for_words(self) -> bool {
        matches!(
            self,
            Self::Bloom | Self::Cohere | Self::Deberta | Self::Gpt2 | Self::Roberta | Self::Whisper
        )
    }

    /// Whether the class puts bos and eos around texts itself, by `add_bos_token` and
    /// `add_eos_token`, and what the former is by default (the latter is off).
    pub(super) fn adds_bos_by_default(self) -> Option<bool> {
        match self {
            Self::CodeLlama | Self::Cohere | Self::Gemma | Self::Llama => Some(true),
            Self::GptNeoX => Some(false),
            _ => None,
        }
    }
}

/// More tokens that are only numbered would be a lie.
const MAX_COUNTED: u64 = 10_000;

/// A token is given as its text or as an object of its properties.
pub(super) fn content(value: &Value) -> Option<String> {
    value.as_str().or_else(|| value.get("content")?.as_str()).map(str::to_owned)
}
