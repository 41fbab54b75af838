//! transformers' tokenizer classes: what each assumes where the files are silent.

use crate::batch::PaddingSide;

/// A family of tokenizer classes that load alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// `AlbertTokenizer`.
    Albert,
    /// `BertTokenizer`, `DistilBertTokenizer`, `ElectraTokenizer` and other WordPiece classes.
    Bert,
    /// `BigBirdTokenizer`.
    BigBird,
    /// `CamembertTokenizer`.
    Camembert,
    /// `CLIPTokenizer`.
    Clip,
    /// `CohereTokenizer`.
    Cohere,
    /// `DebertaTokenizer`.
    Deberta,
    /// `DebertaV2Tokenizer`, also of DeBERTa-v3.
    DebertaV2,
    /// `GemmaTokenizer`.
    Gemma,
    /// `GPT2Tokenizer`, `CodeGenTokenizer`: plain byte-level BPE.
    Gpt2,
    /// `GPTNeoXTokenizer`.
    GptNeoX,
    /// `LlamaTokenizer`, `CodeLlamaTokenizer`.
    Llama,
    /// `MBartTokenizer`: the language follows the text.
    MBart,
    /// `MBart50Tokenizer`: the language precedes the text.
    MBart50,
    /// `MPNetTokenizer`: WordPiece with RoBERTa's special tokens.
    MpNet,
    /// `NllbTokenizer`: the language precedes the text.
    Nllb,
    /// `PegasusTokenizer`.
    Pegasus,
    /// `Qwen2Tokenizer`, also of Qwen3.
    Qwen2,
    /// `RobertaTokenizer`, `BartTokenizer`, `LongformerTokenizer`: byte-level BPE with `<s>`.
    Roberta,
    /// `T5Tokenizer`, `MT5Tokenizer`.
    T5,
    /// `WhisperTokenizer`.
    Whisper,
    /// `XLMRobertaTokenizer`.
    XlmRoberta,
    /// `XLNetTokenizer`.
    XlNet,
    /// `PreTrainedTokenizerFast` and every class not listed: the files say everything.
    Other,
}

impl Class {
    /// By the class's name, with or without `Fast`.
    pub(super) fn named(name: &str) -> Self {
        match name.strip_suffix("Fast").unwrap_or(name) {
            "AlbertTokenizer" => Self::Albert,
            "BertTokenizer"
            | "ConvBertTokenizer"
            | "DistilBertTokenizer"
            | "DPRContextEncoderTokenizer"
            | "DPRQuestionEncoderTokenizer"
            | "DPRReaderTokenizer"
            | "ElectraTokenizer"
            | "LayoutLMTokenizer"
            | "LayoutLMv2Tokenizer"
            | "LxmertTokenizer"
            | "MobileBertTokenizer"
            | "RealmTokenizer"
            | "RetriBertTokenizer"
            | "SplinterTokenizer"
            | "SqueezeBertTokenizer" => Self::Bert,
            "BigBirdTokenizer" => Self::BigBird,
            "CamembertTokenizer" => Self::Camembert,
            "CLIPTokenizer" => Self::Clip,
            "CohereTokenizer" => Self::Cohere,
            "DebertaTokenizer" => Self::Deberta,
            "DebertaV2Tokenizer" => Self::DebertaV2,
            "GemmaTokenizer" => Self::Gemma,
            "GPT2Tokenizer" | "CodeGenTokenizer" => Self::Gpt2,
            "GPTNeoXTokenizer" => Self::GptNeoX,
            "LlamaTokenizer" | "CodeLlamaTokenizer" => Self::Llama,
            "MBartTokenizer" => Self::MBart,
            "MBart50Tokenizer" => Self::MBart50,
            "MPNetTokenizer" => Self::MpNet,
            "NllbTokenizer" => Self::Nllb,
            "PegasusTokenizer" => Self::Pegasus,
            "Qwen2Tokenizer" => Self::Qwen2,
            "RobertaTokenizer"
            | "BartTokenizer"
            | "BlenderbotTokenizer"
            | "LEDTokenizer"
            | "LongformerTokenizer"
            | "MvpTokenizer"
            | "LayoutLMv3Tokenizer" => Self::Roberta,
            "T5Tokenizer" | "MT5Tokenizer" => Self::T5,
            "WhisperTokenizer" => Self::Whisper,
            "XLMRobertaTokenizer" => Self::XlmRoberta,
            "XLNetTokenizer" => Self::XlNet,
            _ => Self::Other,
        }
    }

    /// By `model_type` of a `config.json`, where no class is named: `TOKENIZER_MAPPING_NAMES`.
    pub(super) fn of_model(model_type: &str) -> Self {
        match model_type {
            "albert" | "nystromformer" | "yoso" => Self::Albert,
            "bert" | "convbert" | "distilbert" | "dpr" | "electra" | "ernie" | "layoutlm"
            | "lxmert" | "megatron-bert" | "mobilebert" | "nezha" | "qdqbert" | "realm"
            | "retribert" | "splinter" | "squeezebert" => Self::Bert,
            "big_bird" => Self::BigBird,
            "camembert" => Self::Camembert,
            "clip" | "clipseg" | "groupvit" | "owlv2" | "owlvit" => Self::Clip,
            "cohere" | "cohere2" => Self::Cohere,
            "deberta" => Self::Deberta,
            "deberta-v2" => Self::DebertaV2,
            "gemma" | "gemma2" | "gemma3" | "gemma3_text" | "gemma3n" | "gemma3n_text"
            | "recurrent_gemma" | "siglip2" | "t5gemma" => Self::Gemma,
            "codegen" | "dbrx" | "exaone4" | "gpt2" | "gpt_bigcode" | "gpt_neo" | "gptj"
            | "granite" | "granitemoe" | "granitemoehybrid" | "granitemoeshared" | "olmo3"
            | "opt" | "phi" | "starcoder2" => Self::Gpt2,
            "falcon_mamba" | "gpt_neox" | "mamba" | "mamba2" | "mpt" | "olmo" | "olmo2"
            | "olmoe" | "rwkv" | "stablelm" => Self::GptNeoX,
            "arcee" | "code_llama" | "deepseek_v2" | "deepseek_v3" | "ernie4_5" | "jamba"
            | "jetmoe" | "llama" | "llama4" | "llama4_text" | "llava" | "ministral" | "mistral"
            | "mistral3" | "mixtral" | "mllama" | "persimmon" | "phi3" | "phimoe" | "zamba"
            | "zamba2" => Self::Llama,
            "mbart" => Self::MBart,
            "mbart50" => Self::MBart50,
            "mpnet" => Self::MpNet,
            "nllb" | "nllb-moe" => Self::Nllb,
            "bigbird_pegasus" | "pegasus" | "pegasus_x" => Self::Pegasus,
            "qwen2" | "qwen2_audio" | "qwen2_moe" | "qwen2_vl" | "qwen2_5_vl" | "qwen3"
            | "qwen3_moe" | "qwen3_next" | "qwen3_vl" => Self::Qwen2,
            "bart"
            | "blenderbot"
            | "data2vec-text"
            | "ibert"
            | "layoutlmv3"
            | "led"
            | "lilt"
            | "longformer"
            | "mvp"
            | "roberta"
            | "roberta-prelayernorm" => Self::Roberta,
            "longt5"
            | "mt5"
            | "musicgen"
            | "pix2struct"
            | "switch_transformers"
            | "t5"
            | "umt5" => Self::T5,
            "whisper" => Self::Whisper,
            "xlm-roberta" | "xlm-roberta-xl" | "xmod" => Self::XlmRoberta,
            "xlnet" => Self::XlNet,
            _ => Self::Other,
        }
    }

    /// The special tokens that the class's constructor names by default.
    pub(super) fn special_tokens(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Albert => &[
                ("bos_token", "[CLS]"),
                ("eos_token", "[SEP]"),
                ("unk_token", "<unk>"),
                ("sep_token", "[SEP]"),
                ("pad_token", "<pad>"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Self::BigBird => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("sep_token", "[SEP]"),
                ("pad_token", "<pad>"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Self::Bert => &[
                ("unk_token", "[UNK]"),
                ("sep_token", "[SEP]"),
                ("pad_token", "[PAD]"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Self::Camembert
            | Self::MBart
            | Self::MBart50
            | Self::Nllb
            | Self::Roberta
            | Self::XlmRoberta => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<s>"),
                ("mask_token", "<mask>"),
            ],
            Self::Clip => &[
                ("bos_token", "<|startoftext|>"),
                ("eos_token", "<|endoftext|>"),
                ("unk_token", "<|endoftext|>"),
                ("pad_token", "<|endoftext|>"),
            ],
            Self::Cohere => &[
                ("bos_token", "<BOS_TOKEN>"),
                ("eos_token", "<|END_OF_TURN_TOKEN|>"),
                ("unk_token", "<UNK>"),
            ],
            Self::Deberta | Self::DebertaV2 => &[
                ("bos_token", "[CLS]"),
                ("eos_token", "[SEP]"),
                ("unk_token", "[UNK]"),
                ("sep_token", "[SEP]"),
                ("pad_token", "[PAD]"),
                ("cls_token", "[CLS]"),
                ("mask_token", "[MASK]"),
            ],
            Self::Gemma => &[
                ("bos_token", "<bos>"),
                ("eos_token", "<eos>"),
                ("unk_token", "<unk>"),
                ("pad_token", "<pad>"),
            ],
            Self::Gpt2 | Self::GptNeoX | Self::Whisper => &[
                ("bos_token", "<|endoftext|>"),
                ("eos_token", "<|endoftext|>"),
                ("unk_token", "<|endoftext|>"),
            ],
            Self::Llama => &[("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>")],
            Self::MpNet => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "[UNK]"),
                ("sep_token", "</s>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<s>"),
                ("mask_token", "<mask>"),
            ],
            Self::Pegasus => &[
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("pad_token", "<pad>"),
                ("mask_token", "<mask_2>"),
            ],
            Self::Qwen2 => &[
                ("eos_token", "<|endoftext|>"),
                ("unk_token", "<|endoftext|>"),
                ("pad_token", "<|endoftext|>"),
            ],
            Self::T5 => &[("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>")],
            Self::XlNet => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
                ("sep_token", "<sep>"),
                ("pad_token", "<pad>"),
                ("cls_token", "<cls>"),
                ("mask_token", "<mask>"),
            ],
            Self::Other => &[],
        }
    }

    /// Whether a mask token that the files give as mere text swallows the spaces before it.
    pub(super) fn mask_swallows_spaces(self) -> bool {
        matches!(
            self,
            Self::Albert
                | Self::BigBird
                | Self::Camembert
                | Self::MBart
                | Self::MBart50
                | Self::MpNet
                | Self::Nllb
                | Self::Roberta
                | Self::XlNet
                | Self::XlmRoberta
        )
    }

    pub(super) fn padding_side(self) -> PaddingSide {
        match self {
            Self::Cohere | Self::Gemma | Self::Llama | Self::XlNet => PaddingSide::Left,
            _ => PaddingSide::Right,
        }
    }

    /// Whether the class puts bos and eos around texts itself, by `add_bos_token` and
    /// `add_eos_token`, and what the former is by default (the latter is off).
    pub(super) fn adds_bos_by_default(self) -> Option<bool> {
        match self {
            Self::Cohere | Self::Gemma | Self::Llama => Some(true),
            Self::GptNeoX => Some(false),
            _ => None,
        }
    }
}
