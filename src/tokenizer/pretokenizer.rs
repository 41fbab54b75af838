//! The pre-tokenizers that GGUF files name in `tokenizer.ggml.pre`.
//!
//! The names are those of `get_vocab_base_pre` in llama.cpp's converter; the patterns are those of
//! the `tokenizer.json` files they stand for, as quoted in llama.cpp's `llama-vocab.cpp`. A GGUF
//! file does not say how text is normalized, which is known by name too.

use crate::tokenizer::pattern;

/// How a family of byte-level BPE tokenizers splits text.
#[derive(Debug, Clone, Copy)]
pub(super) struct PreTokenizer {
    /// Patterns by which the text is split, one after the other.
    pub(super) patterns: &'static [&'static str],
    /// Whether text is brought to Unicode's composed form first.
    pub(super) composes: bool,
    /// Whether a whole word that is a token stays one, whatever the merges say.
    pub(super) ignores_merges: bool,
    /// Whether texts begin with bos where the file does not say.
    pub(super) adds_bos: bool,
    /// Whether texts are framed as RoBERTa's: `<s> A </s>`.
    pub(super) frames: bool,
    /// transformers' `clean_up_tokenization_spaces`.
    pub(super) cleans_up: bool,
}

impl PreTokenizer {
    /// What the step `ByteLevel` splits by.
    pub(super) const GPT2_PATTERN: &str = GPT2;
    /// What the step `Punctuation` of Falcon splits by.
    pub(super) const PUNCTUATION_PATTERN: &str = FALCON_PUNCTUATION;

    /// The first name that splits text by `patterns`, as a loaded tokenizer spells them.
    pub(super) fn name_of(
        patterns: &[String],
        composes: bool,
        ignores_merges: bool,
    ) -> Option<&'static str> {
        let is_it = |name: &&&str| {
            Self::named(name).is_some_and(|known| {
                let same = |(known, pattern): (&&str, &String)| {
                    known == pattern || pattern::translate(known) == *pattern
                };
                known.patterns.len() == patterns.len()
                    && known.patterns.iter().zip(patterns).all(same)
                    && (known.composes, known.ignores_merges) == (composes, ignores_merges)
            })
        };
        NAMES.iter().find(is_it).copied()
    }

    /// By `tokenizer.ggml.pre`.
    pub(super) fn named(name: &str) -> Option<Self> {
        let plain = Self {
            patterns: &[],
            composes: false,
            ignores_merges: false,
            adds_bos: false,
            frames: false,
            cleans_up: false,
        };
        let with = |patterns| Self { patterns, ..plain };
        Some(match name {
            "llama3" | "llama-v3" | "llama-bpe" | "falcon3" | "falcon-h1" | "pixtral"
            | "midm-2.0" | "lfm2" | "jina-v5-nano" => {
                Self { ignores_merges: true, adds_bos: true, cleans_up: true, ..with(&[LLAMA3]) }
            }
            "dbrx" | "smaug-bpe" | "chatglm-bpe" => Self { cleans_up: true, ..with(&[LLAMA3]) },
            "glm4" | "glm5" => Self { ignores_merges: true, cleans_up: true, ..with(&[LLAMA3]) },
            "gpt-2" | "phi-2" | "jina-es" | "jina-de" | "jina-v2-es" | "jina-v2-de"
            | "gigachat" | "a.x-4.0" | "mellum" | "exaone4" | "jais" | "modern-bert" => {
                Self { cleans_up: true, ..with(&[GPT2]) }
            }
            "mpt" | "olmo" => Self { composes: true, cleans_up: true, ..with(&[GPT2]) },
            "jina-v1-en" | "jina-v2-code" | "jina-v2-en" | "roberta-bpe" => {
                Self { frames: true, cleans_up: true, ..with(&[GPT2]) }
            }
            "trillion" | "granite-docling" => with(&[GPT2]),
            "qwen2" | "deepseek-r1-qwen" | "megrez" | "kormo" | "f2llmv2" => {
                Self { composes: true, ..with(&[QWEN2]) }
            }
            "stablelm2" => Self { composes: true, cleans_up: true, ..with(&[QWEN2]) },
            "hunyuan" | "solar-open" | "grok-2" => with(&[QWEN2]),
            "qwen35" => with(&[QWEN35]),
            "starcoder" | "refact" | "codeshell" | "exaone" | "minerva-7b" | "mellum2" => {
                Self { cleans_up: true, ..with(&[DIGIT, GPT2]) }
            }
            "smollm" => with(&[DIGIT, GPT2]),
            "command-r" => Self { composes: true, ..with(&[DIGIT, GPT2]) },
            "falcon" => {
                Self { cleans_up: true, ..with(&[FALCON_PUNCTUATION, GPT2, "[0-9][0-9][0-9]"]) }
            }
            "deepseek-llm" => with(&[
                r"[\r\n]",
                DEEPSEEK_LETTERS,
                r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
                r"\s+$",
                "[一-龥ࠀ-一가-퟿]+",
                r"\p{N}+",
            ]),
            "deepseek-coder" => {
                with(&[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", DIGIT])
            }
            "deepseek-v3" | "hunyuan-dense" | "joyai-llm" => {
                with(&[r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3])
            }
            "tekken" => Self { ignores_merges: true, adds_bos: true, ..with(&[TEKKEN]) },
            "gpt-4o" | "llama4" | "kanana2" | "minimax-m2" => with(&[GPT4O]),
            "poro-chat" => with(&[BLOOM]),
            "bloom" | "gpt3-finnish" => Self { cleans_up: true, ..with(&[BLOOM]) },
            "viking" => with(&[BLOOM, DIGIT]),
            "bailingmoe" | "bailingmoe2" | "llada-moe" => with(&[BAILING]),
            "seed-coder" => with(&[SEED]),
            "minicpm5" => {
                Self { ignores_merges: true, cleans_up: true, ..with(&[r"\p{N}{1,3}", MINICPM5]) }
            }
            _ => return None,
        })
    }

    /// For files from before the name was written: where an architecture has had one tokenizer.
    pub(super) fn of_architecture(architecture: &str) -> Option<Self> {
        Self::named(match architecture {
            "bloom" => "bloom",
            "command-r" => "command-r",
            "falcon" => "falcon",
            "gpt2" | "phi2" => "gpt-2",
            "gptneox" | "mpt" => "mpt",
            "olmo" => "olmo",
            "qwen2" | "qwen2moe" | "qwen3" | "qwen3moe" => "qwen2",
            "refact" | "starcoder" | "starcoder2" => "starcoder",
            _ => return None,
        })
    }
}

/// A name for each way of splitting: the one that most models have.
const NAMES: &[&str] = &[
    "llama-bpe",
    "gpt-2",
    "mpt",
    "qwen2",
    "hunyuan",
    "qwen35",
    "smollm",
    "command-r",
    "falcon",
    "dbrx",
    "deepseek-llm",
    "deepseek-coder",
    "deepseek-v3",
    "tekken",
    "gpt-4o",
    "bloom",
    "viking",
    "bailingmoe",
    "seed-coder",
    "minicpm5",
];

/// Of Qwen2, which `vocab.json` of that class needs too.
pub(super) const QWEN2: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const BAILING: &str = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+";
const BLOOM: &str = r" ?[^(\s|[.,!?…。，、।۔،])]+";
const DEEPSEEK3: &str = r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##;
/// Escaped, because some of these characters do not survive normalization by an editor.
const DEEPSEEK_LETTERS: &str = r"\s?[A-Za-z\x{b5}\x{c0}-\x{d6}\x{d8}-\x{f6}\x{f8}-\x{1ba}\x{1bc}-\x{1bf}\x{1c4}-\x{293}\x{295}-\x{2af}\x{370}-\x{373}\x{376}\x{377}\x{37b}-\x{37d}\x{37f}\x{386}\x{388}-\x{38a}\x{38c}\x{38e}-\x{3a1}\x{3a3}-\x{3f5}\x{3f7}-\x{481}\x{48a}-\x{52f}\x{531}-\x{556}\x{10a0}-\x{10c5}\x{13a0}-\x{13f5}\x{13f8}-\x{13fd}\x{1c90}-\x{1cba}\x{1cbd}-\x{1cbf}\x{1d00}-\x{1d2b}\x{1d6b}-\x{1d77}\x{1d79}-\x{1d9a}\x{1e00}-\x{1f15}\x{1f18}-\x{1f1d}\x{1f20}-\x{1f45}\x{1f48}-\x{1f4d}\x{1f50}-\x{1f57}\x{1f59}\x{1f5b}\x{1f5d}\x{1f5f}-\x{1f7d}\x{1f80}-\x{1fb4}\x{1fb6}-\x{1fbc}\x{1fbe}\x{1fc2}-\x{1fc4}\x{1fc6}-\x{1fcc}\x{1fd0}-\x{1fd3}\x{1fd6}-\x{1fdb}\x{1fe0}-\x{1fec}\x{1ff2}-\x{1ff4}\x{1ff6}-\x{1ffc}\x{2102}\x{2107}\x{210a}-\x{2113}\x{2115}\x{2119}-\x{211d}\x{2124}\x{2126}\x{2128}\x{212a}-\x{212d}\x{212f}-\x{2134}\x{2139}\x{213c}-\x{213f}\x{2145}-\x{2149}\x{214e}\x{2183}\x{2184}\x{2c00}-\x{2c7b}\x{2c7e}-\x{2ce4}\x{2ceb}-\x{2cee}\x{2cf2}\x{2cf3}\x{a640}-\x{a66d}\x{a680}-\x{a69b}\x{a722}-\x{a76f}\x{a771}-\x{a787}\x{a78b}-\x{a78e}\x{ab70}-\x{abbf}\x{fb00}-\x{fb06}\x{fb13}-\x{fb17}\x{ff21}-\x{ff3a}\x{ff41}-\x{ff5a}\x{10400}-\x{1044f}\x{104b0}-\x{104d3}\x{104d8}-\x{104fb}\x{10c80}-\x{10cb2}\x{10cc0}-\x{10cf2}\x{118a0}-\x{118df}\x{1e900}-\x{1e943}]+";
const DIGIT: &str = r"\p{N}";
const FALCON_PUNCTUATION: &str = r"[\p{P}\$\+<=>\^~\|`]+";
const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
pub(super) const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const MINICPM5: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}+| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN35: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
