//! Options of every task: those it knows, with values of the right kind or not.

use serde_json::{Map, Value, json};

use sconce::pipeline::Task;

use crate::mutate;
use crate::random::Random;

/// What an option takes.
#[derive(Clone, Copy)]
enum Kind {
    /// A number of things.
    Count,
    Flag,
    Number,
    Id,
    Ids,
    IdLists,
    Biases,
    /// One of these, or none.
    Name(&'static [&'static str]),
    Texts,
    Object,
}

/// One to four options.
pub fn any(random: &mut Random, task: Task) -> Map<String, Value> {
    let known = match task {
        Task::TextGeneration => GENERATION,
        Task::Summarization | Task::Translation | Task::Text2TextGeneration => TEXT_TO_TEXT,
        Task::FillMask => &[("top_k", Kind::Count), ("targets", Kind::Texts), KWARGS],
        Task::QuestionAnswering => QUESTIONS,
        Task::TokenClassification => TOKENS,
        Task::SentenceSimilarity => SENTENCES,
        Task::TextRanking => RANKING,
        Task::FeatureExtraction => FEATURES,
        Task::ZeroShotClassification => ZERO_SHOT,
        _ => CLASSIFICATION,
    };
    let mut options = Map::new();
    for _ in 0..random.between(1, 4) {
        let (name, kind) = *random.of(known);
        options.insert(name.to_owned(), value(random, kind));
    }
    if random.once_in(20) {
        options.extend(mutate::fields(random, &["unheard", "Top_K", ""], 1));
    }
    if matches!(
        task,
        Task::TextGeneration | Task::Summarization | Task::Translation | Task::Text2TextGeneration
    ) {
        // Else most runs would only take long.
        options.entry("max_new_tokens").or_insert(json!(2));
    }
    options
}

fn value(random: &mut Random, kind: Kind) -> Value {
    if random.once_in(4) {
        return mutate::lie(random);
    }
    let id = |random: &mut Random| json!(*random.of(&[0, 1, 5, 100, 319, 320, 5_000, u32::MAX]));
    let ids =
        |random: &mut Random| -> Vec<Value> { (0..random.below(4)).map(|_| id(random)).collect() };
    match kind {
        Kind::Count => match random.once_in(3) {
            true => json!(random.of(mutate::NUMBERS)),
            false => json!(random.below(20)),
        },
        Kind::Flag => json!(random.once_in(2)),
        Kind::Number => json!(*random.of(&[0.0, 0.1, 0.5, 0.9, 1.0, 1.5, 1e-9, 1e9, 1e300, -1.0])),
        Kind::Id => id(random),
        Kind::Ids => json!(ids(random)),
        Kind::IdLists => json!([ids(random), ids(random)]),
        Kind::Biases => json!([[ids(random), *random.of(&[-2.0, 1e30, 1e300])]]),
        Kind::Name(names) => json!(*random.of(names)),
        Kind::Texts => json!(["the", *random.of(mutate::TEXTS)]),
        Kind::Object => {
            let fields = ["max_length", "truncation", "padding", "add_special_tokens"];
            mutate::fields(random, &fields, 2).into()
        }
    }
}

const TRUNCATION: (&str, Kind) =
    ("truncation", Kind::Name(&["longest_first", "only_first", "only_second", "do_not_truncate"]));
const KWARGS: (&str, Kind) = ("tokenizer_kwargs", Kind::Object);
const MAX_LENGTH: (&str, Kind) = ("max_length", Kind::Count);
const BATCH_SIZE: (&str, Kind) = ("batch_size", Kind::Count);
const TOP_K: (&str, Kind) = ("top_k", Kind::Count);

const GENERATION: &[(&str, Kind)] = &[
    ("max_new_tokens", Kind::Count),
    MAX_LENGTH,
    ("min_new_tokens", Kind::Count),
    ("min_length", Kind::Count),
    ("max_time", Kind::Number),
    ("stop_strings", Kind::Texts),
    ("do_sample", Kind::Flag),
    ("do_sample", Kind::Flag),
    ("temperature", Kind::Number),
    TOP_K,
    ("top_p", Kind::Number),
    ("min_p", Kind::Number),
    ("typical_p", Kind::Number),
    ("epsilon_cutoff", Kind::Number),
    ("eta_cutoff", Kind::Number),
    ("seed", Kind::Count),
    ("num_return_sequences", Kind::Count),
    ("repetition_penalty", Kind::Number),
    ("encoder_repetition_penalty", Kind::Number),
    ("no_repeat_ngram_size", Kind::Count),
    ("encoder_no_repeat_ngram_size", Kind::Count),
    ("bad_words_ids", Kind::IdLists),
    ("sequence_bias", Kind::Biases),
    ("suppress_tokens", Kind::Ids),
    ("begin_suppress_tokens", Kind::Ids),
    ("forced_bos_token_id", Kind::Id),
    ("forced_eos_token_id", Kind::Ids),
    ("exponential_decay_length_penalty", Kind::Biases),
    ("remove_invalid_values", Kind::Flag),
    ("renormalize_logits", Kind::Flag),
    ("eos_token_id", Kind::Ids),
    ("pad_token_id", Kind::Id),
    ("num_beams", Kind::Count),
    ("prefix", Kind::Name(mutate::TEXTS)),
    BATCH_SIZE,
    ("return_full_text", Kind::Flag),
    ("return_tensors", Kind::Flag),
    ("handle_long_generation", Kind::Name(&["hole"])),
    ("truncation", Kind::Flag),
    ("stop_sequence", Kind::Name(mutate::TEXTS)),
    ("continue_final_message", Kind::Flag),
    ("tools", Kind::Texts),
    ("documents", Kind::Texts),
    ("chat_template_kwargs", Kind::Object),
    ("tokenizer_encode_kwargs", Kind::Object),
];

const TEXT_TO_TEXT: &[(&str, Kind)] = &[
    ("max_new_tokens", Kind::Count),
    MAX_LENGTH,
    ("min_length", Kind::Count),
    ("num_beams", Kind::Count),
    ("num_return_sequences", Kind::Count),
    ("length_penalty", Kind::Number),
    ("early_stopping", Kind::Flag),
    ("do_sample", Kind::Flag),
    ("no_repeat_ngram_size", Kind::Count),
    ("encoder_no_repeat_ngram_size", Kind::Count),
    ("encoder_repetition_penalty", Kind::Number),
    ("forced_bos_token_id", Kind::Id),
    ("decoder_start_token_id", Kind::Id),
    ("clean_up_tokenization_spaces", Kind::Flag),
    ("return_tensors", Kind::Flag),
    ("split_long_texts", Kind::Flag),
    ("src_lang", Kind::Name(mutate::TEXTS)),
    ("tgt_lang", Kind::Name(mutate::TEXTS)),
    ("stop_sequence", Kind::Name(mutate::TEXTS)),
    TRUNCATION,
    BATCH_SIZE,
];

const CLASSIFICATION: &[(&str, Kind)] = &[
    TOP_K,
    ("function_to_apply", Kind::Name(&["softmax", "sigmoid", "none", "default"])),
    ("return_all_scores", Kind::Flag),
    TRUNCATION,
    MAX_LENGTH,
    BATCH_SIZE,
];

const ZERO_SHOT: &[(&str, Kind)] = &[
    ("candidate_labels", Kind::Texts),
    ("hypothesis_template", Kind::Name(&["{}", "{}{}", "{{}}", "This is {}.", "{:>999999999}"])),
    ("multi_label", Kind::Flag),
    TRUNCATION,
    BATCH_SIZE,
];

const TOKENS: &[(&str, Kind)] = &[
    ("aggregation_strategy", Kind::Name(&["none", "simple", "first", "average", "max"])),
    ("stride", Kind::Count),
    ("ignore_labels", Kind::Texts),
    BATCH_SIZE,
];

const QUESTIONS: &[(&str, Kind)] = &[
    TOP_K,
    ("doc_stride", Kind::Count),
    ("max_answer_len", Kind::Count),
    ("max_seq_len", Kind::Count),
    ("max_question_len", Kind::Count),
    ("handle_impossible_answer", Kind::Flag),
    ("align_to_words", Kind::Flag),
    BATCH_SIZE,
];

const SENTENCES: &[(&str, Kind)] = &[
    ("truncate_dim", Kind::Count),
    ("precision", Kind::Name(&["float32", "int8", "uint8", "binary", "ubinary"])),
    ("prompt", Kind::Name(mutate::TEXTS)),
    ("prompt_name", Kind::Name(&["query", "document", "passage"])),
    ("normalize_embeddings", Kind::Flag),
    BATCH_SIZE,
];

const RANKING: &[(&str, Kind)] = &[
    TOP_K,
    ("activation_fn", Kind::Name(&["sigmoid", "identity", "none"])),
    ("return_documents", Kind::Flag),
    ("prompt_name", Kind::Name(&["query", "document"])),
    MAX_LENGTH,
    BATCH_SIZE,
];

const FEATURES: &[(&str, Kind)] = &[
    ("pooling", Kind::Name(&["none", "mean", "cls", "max", "last"])),
    ("normalize", Kind::Flag),
    ("return_tensors", Kind::Flag),
    ("tokenize_kwargs", Kind::Object),
    TRUNCATION,
    BATCH_SIZE,
];
