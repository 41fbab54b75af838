//! `text-generation`: answers taken apart, how they came about, and chats that lose their oldest turns.

use sconce::Result;
use sconce::generation::{FinishReason, GenerationConfig, LogitsProcessor};
use sconce::pipeline::{
    GeneratedOutput, LongGeneration, Pipeline, TextGenerationOptions, TextGenerationPipeline,
};
use sconce::tokenizer::EncodeOptions;
use sconce::tokenizer::chat::{Message, ResponseEvent, ResponseFormat};
use serde_json::{Value, json};

use super::checkpoint;

/// A model that says what it is told to.
#[derive(Debug, Clone)]
struct Script {
    ids: Vec<u32>,
    said: usize,
}

impl LogitsProcessor for Script {
    fn process(&mut self, _tokens: &[u32], logits: &mut [f32]) -> Result<()> {
        logits.fill(f32::NEG_INFINITY);
        logits[self.ids[self.said.min(self.ids.len() - 1)] as usize] = 0.0;
        self.said += 1;
        Ok(())
    }
}

fn pipeline() -> TextGenerationPipeline {
    Pipeline::text_generation(checkpoint("text-generation").folder.path()).build().unwrap()
}

/// Options under which `pipeline` answers with this text.
fn saying(pipeline: &TextGenerationPipeline, text: &str) -> TextGenerationOptions {
    let encode = EncodeOptions::default().add_special_tokens(false);
    let mut ids = pipeline.tokenizer().unwrap().encode_with(text, &encode).unwrap().ids;
    ids.push(2);
    let config = GenerationConfig::default().do_sample(false).max_new_tokens(110);
    let options = TextGenerationOptions::from(config.eos_token_id(vec![2]));
    options.with_processor(Script { ids, said: 0 })
}

fn greedy(new: usize) -> TextGenerationOptions {
    GenerationConfig::default().do_sample(false).max_new_tokens(new).into()
}

const ANSWER: &str = "<think>\nhm\n</think>\n\nHi\n<tool_call>\n{\"name\":\"f\",\"arguments\":{\"x\":1}}\n</tool_call>";

#[test]
fn answers_are_taken_apart() {
    let pipeline = pipeline();
    let question = [Message::user("a")];
    let format = ResponseFormat::named("hermes").unwrap();
    let plain = saying(&pipeline, ANSWER);
    let options = plain.clone().response_format(format);

    // As in Python, everything is content unless asked for.
    let found = pipeline.run_with(&question, &plain).unwrap();
    assert_eq!(found[0].text().unwrap().trim(), ANSWER);

    let found = pipeline.run_with(&question, &options).unwrap();
    let message = found[0].message().unwrap();
    let mut expected = json!({
        "role": "assistant", "content": "Hi", "reasoning_content": "hm",
        "tool_calls": [{"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}],
    });
    let id = message.as_json()["tool_calls"][0]["id"].clone();
    assert_eq!(id.as_str().unwrap().len(), 9);
    expected["tool_calls"][0]["id"] = id;
    assert_eq!(Value::from(message.as_json().clone()), expected);
    let GeneratedOutput::Chat(messages) = &found[0].output else { panic!() };
    assert_eq!(messages[0], question[0]);

    // Piece by piece, and as the end of a conversation.
    let mut stream = pipeline.stream_response(&question, &options).unwrap();
    let pieces: Vec<_> = stream.by_ref().map(Result::unwrap).collect();
    let whole: String = pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(whole.trim(), ANSWER);
    assert_eq!(stream.finish_reason(), Some(FinishReason::EndOfSequence));
    assert_eq!(&stream.response().to_message(), message);
    let ends =
        pieces.iter().filter(|it| matches!(it.event, ResponseEvent::ToolCallFinished { .. }));
    assert_eq!(ends.count(), 1);

    let mut chat = pipeline.chat_session();
    let mut reply = chat.send_with(question.clone(), &options).unwrap();
    assert_eq!(reply.by_ref().map(Result::unwrap).collect::<String>().trim(), "Hi");
    assert_eq!(reply.response().tool_calls.len(), 1);
    drop(reply);
    assert_eq!(chat.messages(), [question[0].clone(), message.clone()]);
    // What was held back when the reader left is not lost.
    let mut chat = pipeline.chat_session();
    let mut reply = chat.send_with(question.clone(), &options).unwrap();
    while reply.response().content.is_empty() {
        reply.next_piece().unwrap().unwrap();
    }
    for _ in 0..3 {
        reply.next_piece();
    }
    drop(reply);
    assert!(chat.messages()[1].text().starts_with("Hi"));

    // What the prompt has opened, and a message that goes on.
    let broken = "x\n</think>\nOh <tool_call>{\"name\":</tool_call>";
    let options = saying(&pipeline, broken).response_format(format);
    let said = [Message::user("a"), Message::assistant("<think>")];
    let found = pipeline.run_with(&said, &options).unwrap();
    let message = found[0].message().unwrap();
    assert_eq!(message.text(), "<think>Oh <tool_call>{\"name\":</tool_call>");
    assert_eq!(message.as_json()["reasoning_content"], "x");
}

#[test]
fn details_say_how_an_answer_came_about() {
    let pipeline = pipeline();
    let mut options = greedy(6).details(true);
    options.generation.top_logprobs = Some(2);
    let found = pipeline.run_with("The cat sat", &options).unwrap().remove(0);
    let details = found.details.clone().unwrap();
    let plain = pipeline.run_with("The cat sat", &greedy(6)).unwrap().remove(0);
    assert_eq!((found.output.clone(), plain.details), (plain.output, None));
    assert_eq!(details.finish_reason, FinishReason::Length);
    let prompt = pipeline.tokenizer().unwrap().encode("The cat sat").unwrap().ids.len();
    let usage = details.usage;
    assert_eq!((usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens), (prompt, 6, 0));
    assert!(details.tokens.iter().all(|token| token.top_logprobs[0].id == token.id));
    let json = serde_json::to_value(&found).unwrap();
    assert_eq!(json["details"]["finish_reason"], "length");
    assert_eq!(json["details"]["tokens"].as_array().unwrap().len(), 6);
    assert_eq!(serde_json::from_value::<sconce::pipeline::Generated>(json).unwrap(), found);
}

#[test]
fn a_long_chat_loses_its_oldest_turns() {
    let pipeline = pipeline();
    let system = Message::system("s");
    let roll = greedy(6).handle_long_generation(LongGeneration::Roll);
    let mut chat = pipeline.chat_session();
    chat.set_messages([system.clone()]);
    let (mut rolls, mut cached) = (0, 0);
    for turn in 0..24 {
        let question = Message::user(format!("question {turn}"));
        let before = chat.dropped();
        let mut reply = chat.send_with([question], &roll).unwrap();
        let text: String = reply.by_ref().map(Result::unwrap).collect();
        let newly = reply.dropped();
        assert_eq!(newly.start, before.end);
        rolls += usize::from(!newly.is_empty());
        if newly.is_empty() {
            cached += reply.timings().cached_tokens;
        }
        drop(reply);
        // As if the rest had never been said.
        let dropped = chat.dropped();
        let said = chat.messages();
        assert_eq!((&said[0], dropped.start, said[dropped.end].role()), (&system, 1, "user"));
        let kept = [&said[..1], &said[dropped.end..said.len() - 1]].concat();
        let alone = pipeline.stream_text_with(&kept, &greedy(6)).unwrap().into_text().unwrap();
        assert_eq!(text, alone, "turn {turn}");
    }
    assert_eq!(chat.messages().len(), 49);
    assert!((2..18).contains(&rolls), "{rolls} rolls");
    assert!(cached > 0);

    // In one call, with a report.
    let all = [chat.messages(), &[Message::user("end")]].concat();
    assert!(pipeline.run_with(&all, &greedy(6)).is_err());
    let found = pipeline.run_with(&all, &roll.clone().details(true)).unwrap().remove(0);
    let dropped = found.details.unwrap().dropped_messages;
    assert!(dropped.start == 1 && all[dropped.end].role() == "user");
    let GeneratedOutput::Chat(messages) = &found.output else { panic!() };
    assert_eq!(messages.len(), all.len() + 1);
    // A turn that is too long by itself is refused as ever.
    let long = Message::user("word ".repeat(200));
    assert!(pipeline.run_with(&[system, long], &roll).is_err());
}

/// What servers share between requests is cheap to clone: pointers to what is shared.
#[test]
fn everything_shared_is_cheap_to_clone() {
    fn check<T: Clone + Send + Sync + 'static>(most: usize) {
        let (name, size) = (std::any::type_name::<T>(), size_of::<T>());
        assert!(size <= most, "{name} has {size} bytes");
    }
    use sconce::pipeline;
    check::<sconce::tokenizer::Tokenizer>(24);
    check::<sconce::tokenizer::chat::ChatTemplate>(24);
    check::<std::sync::Arc<dyn sconce::models::CausalLm>>(16);
    check::<sconce::generation::CancelHandle>(8);
    check::<ResponseFormat>(8);
    check::<pipeline::TextClassificationPipeline>(128);
    check::<pipeline::ZeroShotClassificationPipeline>(256);
    check::<pipeline::TokenClassificationPipeline>(128);
    check::<pipeline::QuestionAnsweringPipeline>(128);
    check::<pipeline::FillMaskPipeline>(128);
    check::<pipeline::FeatureExtractionPipeline>(128);
    check::<pipeline::TextRankingPipeline>(128);
    check::<pipeline::SentenceSimilarityPipeline>(128);
    // Options by value beside the pointers.
    check::<TextGenerationPipeline>(8192);
    let pipeline = pipeline();
    let clone = pipeline.clone();
    assert!(std::sync::Arc::ptr_eq(pipeline.model().unwrap(), clone.model().unwrap()));
}
