//! The tokenizer inside a GGUF file: the metadata `tokenizer.ggml.*`.
//!
//! Sources: `llama-vocab.cpp` and `convert_hf_to_gguf.py` of llama.cpp for what the metadata mean;
//! transformers' converters for how the tokenizers they came from are put together.

use std::collections::HashMap;
use std::result;

use serde_json::Value;
use serde_json::json;
use tokenizers::AddedToken;
use tokenizers::NormalizerWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::models::bpe::Vocab;
use tokenizers::models::unigram::Unigram;
use tokenizers::models::wordpiece::WordPiece;

use crate::batch::PaddingSide;
use crate::error::Error;
use crate::error::Result;
use crate::source::gguf::GgufFile;
use crate::source::gguf::GgufValue;
use crate::tokenizer::Loaded;
use crate::tokenizer::Settings;
use crate::tokenizer::backend::Backend;
use crate::tokenizer::backend::Template;
use crate::tokenizer::backend::guarded;
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::charsmap;
use crate::tokenizer::json::Parts;
use crate::tokenizer::json::part;
use crate::tokenizer::pretokenizer::PreTokenizer;
use crate::tokenizer::slow::Sketch;
use crate::tokenizer::special::SpecialToken;
use crate::tokenizer::special::SpecialTokens;
use crate::tokenizer::spm;

/// Reads the tokenizer of a GGUF file.
pub(super) fn load(file: &GgufFile) -> Result<Loaded> {
    let loaded = Metadata::read(file).and_then(|metadata| guarded(|| Ok(metadata.load()?)));
    loaded.map_err(|reason| Error::malformed(file.path(), reason))
}

/// The metadata that every kind of tokenizer has.
struct Metadata<'a> {
    file: &'a GgufFile,
    tokens: Vec<&'a str>,
    kinds: Vec<TokenKind>,
}

/// `llama_token_type` of llama.cpp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TokenKind {
    /// Left out when decoding without special tokens.
    Control,
    /// Looked for in the text, but ordinary text.
    UserDefined,
    /// Normal, unknown, unused and byte tokens.
    Other,
}

/// What differs between the kinds of tokenizers.
struct Frame {
    parts: Parts,
    /// Whether texts begin with bos and end with eos where the file does not say.
    adds: (bool, bool),
    form: Form,
    cleans_up: bool,
}

/// How two texts are put together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `[CLS] A [SEP] B [SEP]`.
    Bert,
    /// `<bos> A <eos> <bos> B <eos>`.
    Llama,
    /// `<s> A </s> </s> B </s>`.
    Roberta,
}

type Parsed<T> = result::Result<T, String>;

impl<'a> Metadata<'a> {
    fn read(file: &'a GgufFile) -> Parsed<Self> {
        let tokens: Vec<_> = array(file, "tokens")?
            .ok_or("has no tokens: tokenizer.ggml.tokens is missing")?
            .iter()
            .map(|token| token.as_str().ok_or("has tokens that are no text: tokenizer.ggml.tokens"))
            .collect::<result::Result<_, _>>()?;
        if tokens.is_empty() {
            return Err("has an empty vocabulary: tokenizer.ggml.tokens".to_owned());
        }
        let kinds = match array(file, "token_type")? {
            None => vec![TokenKind::Other; tokens.len()],
            Some(kinds) => {
                same_length("token_type", kinds.len(), tokens.len())?;
                kinds
                    .iter()
                    .map(|kind| match kind.as_u64() {
                        Some(3) => Ok(TokenKind::Control),
                        Some(4) => Ok(TokenKind::UserDefined),
                        Some(_) => Ok(TokenKind::Other),
                        None => Err("has token types that are no numbers".to_owned()),
                    })
                    .collect::<Parsed<_>>()?
            }
        };
        Ok(Self { file, tokens, kinds })
    }

    fn load(&self) -> Parsed<Loaded> {
        let model = self.string("model").ok_or("does not name its tokenizer.ggml.model")?;
        let frame = match model {
            "gpt2" => self.byte_bpe(),
            "gemma4" => self.gemma4(),
            "llama" => self.llama(),
            "bert" => self.bert(),
            "t5" => self.t5(),
            _ => {
                return Err(format!(
                    "has a tokenizer of the unknown kind {model:?}; gpt2, llama, gemma4, bert and \
                     t5 are supported"
                ));
            }
        };
        self.finish(frame.map_err(|error| error.to_string())?)
    }

    /// Byte-level BPE with merges.
    fn byte_bpe(&self) -> tokenizers::Result<Frame> {
        let pre = self.pre_tokenizer()?;
        let model = BPE::builder()
            .vocab_and_merges(self.vocab(), self.merges()?)
            .ignore_merges(pre.ignores_merges)
            .build()?;
        let mut steps: Vec<Value> = pre
            .patterns
            .iter()
            .map(|pattern| {
                json!({
                    "type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated",
                    "invert": false,
                })
            })
            .collect();
        steps.push(json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,
            "use_regex": false,
        }));
        let sketch = Sketch {
            normalizer: part(if pre.composes { json!({"type": "NFC"}) } else { Value::Null })?,
            pre_tokenizer: json!({"type": "Sequence", "pretokenizers": steps}),
            post_processor: Value::Null,
            decoder: json!({
                "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false,
                "use_regex": false,
            }),
        };
        Ok(Frame {
            parts: sketch.complete(Engine::new(model.into()))?,
            adds: (pre.adds_bos || pre.frames, pre.frames),
            form: if pre.frames { Form::Roberta } else { Form::Llama },
            cleans_up: pre.cleans_up,
        })
    }

    /// SentencePiece BPE, whose merges are implied by the tokens' scores.
    fn llama(&self) -> tokenizers::Result<Frame> {
        let scored: spm::Scored = self
            .tokens
            .iter()
            .zip(&self.kinds)
            .zip(self.scores()?)
            .map(|((token, kind), score)| (spelled(token, *kind), score))
            .collect();
        let pieces: Vec<_> = scored.iter().map(|(token, _)| token.as_str()).collect();
        let merges = spm::merges(&scored, &pieces);
        let prefix_space = self.boolean("add_space_prefix").unwrap_or(true);
        let frame = self.sentencepiece_bpe(spm::vocab_map(scored), merges, prefix_space)?;
        Ok(Frame { adds: (true, false), ..frame })
    }

    /// SentencePiece BPE with merges.
    fn gemma4(&self) -> tokenizers::Result<Frame> {
        let named = self.tokens.iter().zip(&self.kinds).zip(0..);
        let vocab = named.map(|((token, kind), id)| (spelled(token, *kind), id)).collect();
        let merges = self.merges()?;
        let frame = self.sentencepiece_bpe(vocab, merges, false)?;
        Ok(Frame { adds: (true, false), ..frame })
    }

    fn sentencepiece_bpe(
        &self,
        vocab: Vocab,
        merges: Vec<(String, String)>,
        prefix_space: bool,
    ) -> tokenizers::Result<Frame> {
        let mut builder =
            BPE::builder().vocab_and_merges(vocab, merges).fuse_unk(true).byte_fallback(true);
        if let Some(unk) = self.special("unknown") {
            builder = builder.unk_token(unk.content);
        }
        let sketch = Sketch {
            normalizer: part(spm::llama_normalizer(prefix_space))?,
            pre_tokenizer: Value::Null,
            post_processor: Value::Null,
            decoder: spm::llama_decoder(prefix_space),
        };
        Ok(Frame {
            parts: sketch.complete(Engine::new(builder.build()?.into()))?,
            adds: (false, false),
            form: Form::Llama,
            cleans_up: false,
        })
    }

    /// WordPiece. The file marks the beginnings of words with `▁`, BERT everything else with `##`.
    fn bert(&self) -> tokenizers::Result<Frame> {
        let vocab = self.tokens.iter().zip(0..).map(|(token, id)| {
            let spelled = match token.strip_prefix('▁') {
                Some(word) => word.to_owned(),
                None if token.starts_with('[') && token.ends_with(']') => (*token).to_owned(),
                None => format!("##{token}"),
            };
            (spelled, id)
        });
        let unk = self.special("unknown").map_or_else(|| "[UNK]".to_owned(), |unk| unk.content);
        let model = WordPiece::builder().vocab(vocab.collect::<Vocab>()).unk_token(unk).build()?;
        let lowercase = self.boolean("normalizer.lowercase").unwrap_or(true);
        let sketch = Sketch {
            normalizer: part(json!({
                "type": "BertNormalizer",
                "clean_text": true,
                "handle_chinese_chars": true,
                "strip_accents": self.boolean("normalizer.strip_accents").unwrap_or(lowercase),
                "lowercase": lowercase,
            }))?,
            pre_tokenizer: json!({"type": "BertPreTokenizer"}),
            post_processor: Value::Null,
            decoder: json!({"type": "WordPiece", "prefix": "##", "cleanup": true}),
        };
        Ok(Frame {
            parts: sketch.complete(Engine::new(model.into()))?,
            adds: (true, true),
            form: Form::Bert,
            cleans_up: false,
        })
    }

    /// SentencePiece unigram.
    fn t5(&self) -> tokenizers::Result<Frame> {
        let table = match array(self.file, "precompiled_charsmap")? {
            None => Vec::new(),
            Some(bytes) => bytes
                .iter()
                .map(|byte| match byte {
                    GgufValue::UInt(byte) => u8::try_from(*byte).ok(),
                    GgufValue::Int(byte) => i8::try_from(*byte).ok().map(|byte| byte as u8),
                    _ => None,
                })
                .collect::<Option<_>>()
                .ok_or("has a precompiled_charsmap that is no list of bytes")?,
        };
        let scored = self.tokens.iter().map(|&token| token.to_owned()).zip(self.scores()?);
        let unk = self.special("unknown").map(|unk| unk.id as usize);
        let model = Unigram::from(scored.collect(), unk, false)?;
        let mut steps = vec![charsmap::normalizer(&table)?.map(NormalizerWrapper::Precompiled)];
        if self.boolean("remove_extra_whitespaces").unwrap_or(true) {
            steps.push(part(json!({"type": "Strip", "strip_left": false, "strip_right": true}))?);
            let pattern = json!({"Regex": " {2,}"});
            steps.push(part(json!({"type": "Replace", "pattern": pattern, "content": "▁"}))?);
        }
        let prefix_space = self.boolean("add_space_prefix").unwrap_or(true);
        let sketch = Sketch {
            normalizer: spm::sequence(steps),
            pre_tokenizer: spm::metaspace(prefix_space, true, true),
            post_processor: Value::Null,
            decoder: spm::metaspace(prefix_space, true, true),
        };
        Ok(Frame {
            parts: sketch.complete(Engine::new(model.into()))?,
            // XLM-RoBERTa's begins with one too; T5's architectures have names of their own.
            adds: (self.file.string("general.architecture") == Some("bert"), true),
            form: Form::Roberta,
            cleans_up: false,
        })
    }

    /// Adds special tokens, and puts them around texts.
    fn finish(&self, frame: Frame) -> Parsed<Loaded> {
        let Frame { parts: Parts { mut tokenizer, .. }, adds, form, cleans_up } = frame;
        guarded(|| tokenizer.add_tokens(self.added_tokens(form)))?;
        let named = [
            ("bos_token", self.special("bos")),
            ("eos_token", self.special("eos")),
            ("unk_token", self.special("unknown")),
            // The key has been misspelt from the beginning.
            ("sep_token", self.special("seperator").or_else(|| self.special("separator"))),
            ("pad_token", self.special("padding")),
            ("cls_token", self.special("cls")),
            ("mask_token", self.special("mask")),
        ];
        let named = named.into_iter().filter_map(|(name, token)| Some((name, token?)));
        let special = SpecialTokens::new(named);
        let first = match form {
            Form::Bert => special.cls.as_ref().or(special.bos.as_ref()),
            Form::Llama | Form::Roberta => special.bos.as_ref().or(special.cls.as_ref()),
        };
        let last = match form {
            Form::Bert => special.sep.as_ref().or(special.eos.as_ref()),
            Form::Llama | Form::Roberta => special.eos.as_ref().or(special.sep.as_ref()),
        };
        let frame = |key: &str, default: bool, token: Option<&SpecialToken>| {
            let wanted = self.boolean(key).unwrap_or(default);
            match (wanted, token) {
                (true, None) if self.boolean(key).is_some() => {
                    Err(format!("asks for tokenizer.ggml.{key} but has no such token"))
                }
                (true, token) => Ok(token.cloned()),
                (false, _) => Ok(None),
            }
        };
        let first = frame("add_bos_token", adds.0, first)?;
        let last = match form {
            Form::Bert => frame("add_sep_token", adds.1, last)?,
            Form::Llama | Form::Roberta => frame("add_eos_token", adds.1, last)?,
        };
        let template = template(form, first, last).map_err(|error| error.to_string())?;
        let settings = Settings {
            special,
            padding_side: match form {
                Form::Llama => PaddingSide::Left,
                Form::Bert | Form::Roberta => PaddingSide::Right,
            },
            clean_up_spaces: cleans_up,
            chat_eot: self.special("eot").map(|token| token.id).or_else(|| self.end_of_turn()),
            chat_eom: self.special("eom").map(|token| token.id),
            ..Settings::default()
        };
        Ok(Loaded { backend: Backend::new(tokenizer), template, settings })
    }

    fn added_tokens(&self, form: Form) -> Vec<AddedToken> {
        let name = self.file.string("general.name").unwrap_or_default().to_lowercase();
        // Phi-3's turn markers swallow the newline after them, which the file has no field for.
        let is_phi3 = name.contains("phi-3") || name.contains("phi3");
        // SentencePiece models see spaces as any other character.
        let is_sentencepiece = matches!(self.string("model"), Some("llama" | "gemma4"));
        let unk = self.special("unknown").map(|token| token.id);
        let mut tokens = Vec::new();
        for ((&token, &kind), id) in self.tokens.iter().zip(&self.kinds).zip(0..) {
            let special = kind == TokenKind::Control || Some(id) == unk;
            let is_word = spelled(token, kind) == token || !is_sentencepiece;
            let is_added = special || (kind == TokenKind::UserDefined && is_word);
            if is_added && !token.is_empty() {
                let swallows = is_phi3 && !matches!(token, "<unk>" | "<s>" | "<|endoftext|>");
                let added = AddedToken::from(token, special).normalized(false);
                // As the XLM-R and RoBERTa classes have it.
                let is_mask = form == Form::Roberta && token == "<mask>";
                tokens.push(added.rstrip(swallows).lstrip(is_mask));
            }
        }
        tokens
    }

    fn pre_tokenizer(&self) -> Parsed<PreTokenizer> {
        let name = self.string("pre").filter(|name| *name != "default");
        let architecture = self.file.string("general.architecture").unwrap_or_default();
        match name {
            Some(name) => PreTokenizer::named(name).ok_or_else(|| {
                format!("names an unknown pre-tokenizer: tokenizer.ggml.pre is {name:?}")
            }),
            None => PreTokenizer::of_architecture(architecture).ok_or_else(|| {
                format!(
                    "does not name its pre-tokenizer (tokenizer.ggml.pre), and the architecture \
                     {architecture:?} has had several: convert the model again"
                )
            }),
        }
    }

    fn vocab(&self) -> Vocab {
        let tokens = self.tokens.iter().zip(0..).filter(|(token, _)| !token.is_empty());
        tokens.map(|(&token, id)| (token.to_owned(), id)).collect()
    }

    fn merges(&self) -> Parsed<Vec<(String, String)>> {
        let merges =
            array(self.file, "merges")?.ok_or("has no merges: tokenizer.ggml.merges is missing")?;
        let known: HashMap<&str, ()> = self.tokens.iter().map(|&token| (token, ())).collect();
        let longest = self.tokens.iter().map(|token| token.len()).max().unwrap_or(0);
        merges
            .iter()
            .map(|merge| {
                let text = merge.as_str().ok_or("has merges that are no text")?;
                // A token may itself begin with a space.
                let at = text.char_indices().skip(1).find(|&(_, c)| c == ' ').map(|(at, _)| at);
                let pair = at.map(|at| (&text[..at], &text[at + 1..]));
                let (left, right) =
                    pair.ok_or_else(|| format!("has the merge {text:?}, no pair"))?;
                let known = |token| known.contains_key(token);
                if !known(left) || !known(right) || left.len() + right.len() > longest {
                    return Err(format!("has the merge {text:?} of tokens it does not have"));
                }
                Ok((left.to_owned(), right.to_owned()))
            })
            .collect()
    }

    fn scores(&self) -> Parsed<Vec<f64>> {
        let scores =
            array(self.file, "scores")?.ok_or("has no scores: tokenizer.ggml.scores is missing")?;
        same_length("scores", scores.len(), self.tokens.len())?;
        scores
            .iter()
            .map(|score| {
                let score = score.as_f64().filter(|score| !score.is_nan());
                score.ok_or_else(|| "has scores that are no numbers".to_owned())
            })
            .collect()
    }

    /// A token named by `tokenizer.ggml.<name>_token_id`; none where the id is out of range, as
    /// llama.cpp has it.
    fn special(&self, name: &str) -> Option<SpecialToken> {
        let id = self.file.integer(&key(&format!("{name}_token_id")))?;
        let content = self.tokens.get(usize::try_from(id).ok()?)?;
        Some(SpecialToken { content: (*content).to_owned(), id: u32::try_from(id).ok()? })
    }

    /// The token that ends a turn, found by its text where the file does not name it.
    fn end_of_turn(&self) -> Option<u32> {
        let control = |name: &&str| {
            let is_it =
                |(token, kind): (&&str, &TokenKind)| token == name && *kind == TokenKind::Control;
            self.tokens.iter().zip(&self.kinds).position(is_it)
        };
        u32::try_from(END_OF_TURN.iter().find_map(control)?).ok()
    }

    fn string(&self, name: &str) -> Option<&'a str> {
        self.file.string(&key(name))
    }

    fn boolean(&self, name: &str) -> Option<bool> {
        self.file.boolean(&key(name))
    }
}

fn template(
    form: Form,
    first: Option<SpecialToken>,
    last: Option<SpecialToken>,
) -> Result<Template> {
    let piece = |token: &Option<SpecialToken>, kind: usize| {
        token.iter().map(|token| format!("{}:{kind}", token.content)).collect::<Vec<_>>()
    };
    let text = |name: &str| vec![name.to_owned()];
    let single = [piece(&first, 0), text("$A:0"), piece(&last, 0)].concat();
    let pair = match form {
        Form::Bert => [single.clone(), text("$B:1"), piece(&last, 1)].concat(),
        Form::Llama => [single.clone(), piece(&first, 1), text("$B:1"), piece(&last, 1)].concat(),
        Form::Roberta if first.is_some() => {
            [single.clone(), piece(&last, 0), text("$B:0"), piece(&last, 0)].concat()
        }
        Form::Roberta => [single.clone(), text("$B:0"), piece(&last, 0)].concat(),
    };
    Template::from_pieces(single, pair, first.iter().chain(&last))
}

/// The converter writes the spaces of user-defined tokens as spaces; merges spell them `▁`.
fn spelled(token: &str, kind: TokenKind) -> String {
    match kind {
        TokenKind::UserDefined if is_blank(token) => token.replace(' ', "▁"),
        _ => token.to_owned(),
    }
}

fn is_blank(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte == b' ')
}

/// An array in the metadata; an error where the value is something else.
fn array<'a>(file: &'a GgufFile, name: &str) -> Parsed<Option<&'a [GgufValue]>> {
    match file.metadata().get(&key(name)) {
        None => Ok(None),
        Some(GgufValue::Array(values)) => Ok(Some(values)),
        Some(_) => Err(format!("has no list in {}", key(name))),
    }
}

fn same_length(name: &str, found: usize, tokens: usize) -> Parsed<()> {
    match found == tokens {
        true => Ok(()),
        false => Err(format!("has {found} values in {} for {tokens} tokens", key(name))),
    }
}

fn key(name: &str) -> String {
    format!("tokenizer.ggml.{name}")
}

/// The names that llama.cpp looks for.
const END_OF_TURN: [&str; 11] = [
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "<｜end▁of▁sentence｜>",
    "<end_of_utterance>",
];
