//! The tokenizer inside a GGUF file: the metadata `tokenizer.ggml.*`.
//!
//! Sources: `llama-vocab.cpp` and `convert_hf_to_gguf.py` of llama.cpp for what the metadata mean;
//! transformers' converters for how the tokenizers they came from are put together.

mod ends;
mod markers;
mod metadata;

use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{AddedToken, NormalizerWrapper};

use crate::batch::PaddingSide;
use crate::error::{Error, Result};
use crate::source::gguf::{GgufFile, GgufValue};
use crate::tokenizer::backend::{Backend, Template, guarded};
use crate::tokenizer::bounded::Engine;
use crate::tokenizer::gguf::metadata::{Metadata, Parsed, TokenKind, spelled};
use crate::tokenizer::pretokenizer::PreTokenizer;
use crate::tokenizer::shared::{Loaded, Settings};
use crate::tokenizer::sketch::Sketch;
use crate::tokenizer::special::{SpecialToken, SpecialTokens};
use crate::tokenizer::tokenizer_json::{Parts, part};
use crate::tokenizer::{bounded, charsmap, spm};

/// Reads the tokenizer of a GGUF file.
pub(super) fn load(file: &GgufFile) -> Result<Loaded> {
    let loaded = Metadata::read(file).and_then(|metadata| guarded(|| Ok(metadata.load()?)));
    loaded.map_err(|reason| Error::malformed(file.path(), reason))
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

impl Metadata<'_> {
    fn load(&self) -> Parsed<Loaded> {
        let frame = match self.model() {
            "gpt2" => self.byte_bpe(),
            "gemma4" => self.gemma4(),
            "llama" => self.llama(),
            "bert" => self.bert(),
            "t5" => self.t5(),
            model => {
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
            .map(|((token, &kind), score)| match kind {
                // SentencePiece looks for these first; the converter gives some of them a score of
                // its own.
                TokenKind::UserDefined => (spelled(token, kind), 0.0),
                _ => ((*token).to_owned(), score),
            })
            .collect();
        let pieces: Vec<_> = scored.iter().map(|(token, _)| token.as_str()).collect();
        let merges = spm::merges(&scored, &pieces);
        let prefix_space = self.boolean("add_space_prefix")?.unwrap_or(true);
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
        if let Some(unk) = self.special("unknown")? {
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
        let unk = self.special("unknown")?.map_or_else(|| "[UNK]".to_owned(), |unk| unk.content);
        let model = WordPiece::builder().vocab(vocab.collect::<Vocab>()).unk_token(unk).build()?;
        let lowercase = self.boolean("normalizer.lowercase")?.unwrap_or(true);
        let sketch = Sketch {
            normalizer: part(json!({
                "type": "BertNormalizer",
                "clean_text": true,
                "handle_chinese_chars": true,
                "strip_accents": self.boolean("normalizer.strip_accents")?.unwrap_or(lowercase),
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
        let scored = self.tokens.iter().map(|&token| token.to_owned()).zip(self.scores()?);
        let unk = self.special_id("unknown")?.map(|id| id as usize);
        let model = bounded::unigram(scored.collect(), unk, false)?;
        let mut steps =
            vec![charsmap::normalizer(&self.charsmap()?)?.map(NormalizerWrapper::Precompiled)];
        if self.boolean("remove_extra_whitespaces")?.unwrap_or(true) {
            steps.push(part(json!({"type": "Strip", "strip_left": false, "strip_right": true}))?);
            let pattern = json!({"Regex": " {2,}"});
            steps.push(part(json!({"type": "Replace", "pattern": pattern, "content": "▁"}))?);
        }
        let prefix_space = self.boolean("add_space_prefix")?.unwrap_or(true);
        let sketch = Sketch {
            normalizer: spm::sequence(steps),
            pre_tokenizer: spm::metaspace(prefix_space, true, true),
            post_processor: Value::Null,
            decoder: spm::metaspace(prefix_space, true, true),
        };
        Ok(Frame {
            parts: sketch.complete(Engine::new(model.into()))?,
            // XLM-RoBERTa's begins with one too; T5's architectures have names of their own.
            adds: (self.architecture()? == "bert", true),
            form: Form::Roberta,
            cleans_up: false,
        })
    }

    /// Adds special tokens, and puts them around texts.
    fn finish(&self, frame: Frame) -> Parsed<Loaded> {
        let Frame { parts: Parts { mut tokenizer, .. }, adds, form, cleans_up } = frame;
        let added = self.added_tokens(form)?;
        guarded(|| tokenizer.add_tokens(added))?;
        let named = [
            ("bos_token", self.special("bos")?),
            ("eos_token", self.special("eos")?),
            ("unk_token", self.special("unknown")?),
            // The key has been misspelt from the beginning.
            ("sep_token", self.special("seperator")?.or(self.special("separator")?)),
            ("pad_token", self.special("padding")?),
            ("cls_token", self.special("cls")?),
            ("mask_token", self.special("mask")?),
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
            let asked = self.boolean(key)?;
            match (asked.unwrap_or(default), token) {
                (true, None) if asked.is_some() => {
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
            ends: ends::of(self)?,
            ..Settings::default()
        };
        Ok(Loaded { backend: Backend::new(tokenizer), template, settings })
    }

    fn added_tokens(&self, form: Form) -> Parsed<Vec<AddedToken>> {
        let name = self.file.read_as("general.name", GgufValue::as_str, "text")?;
        let name = name.unwrap_or_default().to_lowercase();
        // Phi-3's turn markers swallow the newline after them, which the file has no field for.
        let is_phi3 = name.contains("phi-3") || name.contains("phi3");
        // SentencePiece models see spaces as any other character.
        let is_sentencepiece = matches!(self.model(), "llama" | "gemma4");
        let unk = self.special_id("unknown")?;
        let mut tokens = Vec::new();
        for ((&token, &kind), id) in self.tokens.iter().zip(&self.kinds).zip(0..) {
            let special = kind == TokenKind::Control || Some(id) == unk;
            let is_added = special || kind == TokenKind::UserDefined;
            if is_added && !token.is_empty() {
                let swallows = is_phi3 && !matches!(token, "<unk>" | "<s>" | "<|endoftext|>");
                let content = match is_sentencepiece {
                    true => spelled(token, kind),
                    false => token.to_owned(),
                };
                let added = AddedToken::from(content, special).normalized(false);
                // As the XLM-R and RoBERTa classes have it.
                let is_mask = form == Form::Roberta && token == "<mask>";
                tokens.push(added.rstrip(swallows).lstrip(is_mask));
            }
        }
        Ok(tokens)
    }

    fn architecture(&self) -> Parsed<&str> {
        let name = self.file.read_as("general.architecture", GgufValue::as_str, "text")?;
        Ok(name.unwrap_or_default())
    }

    fn pre_tokenizer(&self) -> Parsed<PreTokenizer> {
        let name = self.string("pre")?.filter(|name| *name != "default");
        let architecture = self.architecture()?;
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
