//! What a folder of the Hub says of a model, from its sizes.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::source::whisper_cpp::reader::Sizes;
use crate::source::whisper_cpp::special::{Special, alignment_heads};
use crate::source::whisper_cpp::vocabulary::Vocabulary;

/// `config.json`.
pub(super) fn model(sizes: &Sizes, special: &Special) -> Value {
    json!({
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "vocab_size": sizes.vocab,
        "num_mel_bins": sizes.mel_bins,
        "d_model": sizes.text_hidden,
        "encoder_layers": sizes.audio_layers,
        "encoder_attention_heads": sizes.audio_heads,
        "encoder_ffn_dim": 4 * sizes.audio_hidden,
        "decoder_layers": sizes.text_layers,
        "decoder_attention_heads": sizes.text_heads,
        "decoder_ffn_dim": 4 * sizes.text_hidden,
        "max_source_positions": sizes.audio_positions,
        "max_target_positions": sizes.text_positions,
        "is_encoder_decoder": true,
        "tie_word_embeddings": true,
        "bos_token_id": special.end,
        "eos_token_id": special.end,
        "pad_token_id": special.end,
        "decoder_start_token_id": special.start(),
    })
}

/// `generation_config.json`, as OpenAI's own code goes about it.
pub(super) fn generation(sizes: &Sizes, special: &Special, vocabulary: &Vocabulary<'_>) -> Value {
    let mut config = json!({
        "begin_suppress_tokens": vocabulary.id(" ").into_iter().chain([special.end]).collect::<Vec<_>>(),
        "bos_token_id": special.end,
        "decoder_start_token_id": special.start(),
        "eos_token_id": special.end,
        "is_multilingual": special.is_multilingual,
        "max_initial_timestamp_index": 50,
        "max_length": sizes.text_positions,
        "no_timestamps_token_id": special.no_timestamps(),
        "pad_token_id": special.end,
        "prev_sot_token_id": special.start_of_previous(),
        "return_timestamps": false,
        "suppress_tokens": no_speech(special, vocabulary),
    });
    if let Some(heads) = alignment_heads(sizes, special) {
        config["alignment_heads"] = json!(heads);
    }
    if special.is_multilingual {
        let languages = special.languages().map(|(name, id)| (name, id.into()));
        config["lang_to_id"] = Value::Object(languages.collect::<Map<_, _>>());
        config["task_to_id"] =
            json!({"transcribe": special.transcribe(), "translate": special.translate()});
    }
    config
}

/// `preprocessor_config.json`.
pub(super) fn features(sizes: &Sizes) -> Value {
    let frames = 2 * sizes.audio_positions;
    json!({
        "chunk_length": frames / 100,
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": sizes.mel_bins,
        "hop_length": 160,
        "n_fft": 400,
        "n_samples": 160 * frames,
        "nb_max_frames": frames,
        "padding_side": "right",
        "padding_value": 0.0,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": false,
        "sampling_rate": 16_000,
    })
}

/// `tokenizer_config.json`.
pub(super) fn tokenizer(special: &Special) -> Value {
    let end = "<|endoftext|>";
    let count = special.languages + 8;
    let additional: Vec<String> = special.all().take(count).map(|(name, _)| name).collect();
    json!({
        "add_prefix_space": false,
        "additional_special_tokens": additional,
        "bos_token": end,
        "clean_up_tokenization_spaces": true,
        "eos_token": end,
        "errors": "replace",
        "model_max_length": 1024,
        "pad_token": end,
        "processor_class": "WhisperProcessor",
        "return_attention_mask": false,
        "tokenizer_class": "WhisperTokenizer",
        "unk_token": end,
    })
}

/// What no transcript holds: `non_speech_tokens` of OpenAI's `whisper/tokenizer.py`, and what
/// `_get_suppress_tokens` of its `decoding.py` adds.
fn no_speech(special: &Special, vocabulary: &Vocabulary<'_>) -> BTreeSet<u32> {
    let symbols = SYMBOLS.split(' ').filter(|symbol| !symbol.is_empty());
    let symbols = symbols.flat_map(|symbol| [symbol.to_owned(), format!(" {symbol}")]);
    // Between words a hyphen and an apostrophe may stand, at the beginning of one they may not.
    let whole = symbols.chain([" -".to_owned(), " '".to_owned()]);
    let whole = whole.filter_map(|symbol| vocabulary.id(&symbol));
    let music = MUSIC.chars().flat_map(|sign| [sign.to_string(), format!(" {sign}")]);
    let music = music.filter_map(|sign| vocabulary.first(&sign));
    let behind_start = special.translate()..special.no_timestamps();
    whole.chain(music).chain([special.start()]).chain(behind_start).collect()
}

const SYMBOLS: &str = "\" # ( ) * + / : ; < = > @ [ \\ ] ^ _ ` { | } ~ 「 」 『 』 << >> <<< >>> -- --- -( -[ (' (\" (( )) \
                       ((( ))) [[ ]] {{ }} ♪♪ ♪♪♪";
/// Of which the first token is enough to tell: no other text begins with it.
const MUSIC: &str = "♩♪♫♬♭♮♯";
