//! Conversations to text and ids, through the model's chat template: `apply_chat_template`.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::tokenizer::chat::{
    ChatOptions, ChatTemplate, GenerationSpan, Message, RenderedChat, Response, ResponseFormat,
};
use crate::tokenizer::{EncodeOptions, Encoding, SpecialToken, Tokenizer};

/// A conversation as ids.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EncodedChat {
    /// The ids and what belongs to them.
    pub encoding: Encoding,
    /// 1 for the assistant's tokens, 0 for the others: transformers' `assistant_masks`. All 0 if
    /// the template does not mark them with `{% generation %}`.
    pub assistant_mask: Vec<u8>,
}

impl Tokenizer {
    /// The model's chat template, where it has one.
    #[must_use]
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.shared.chat.as_ref()
    }

    /// The conversation as text in the model's chat format: transformers' `apply_chat_template`
    /// with `tokenize=False`.
    ///
    /// # Errors
    ///
    /// When there is no template, and as [`ChatTemplate::render`].
    pub fn apply_chat_template(
        &self,
        messages: &[Message],
        options: &ChatOptions,
    ) -> Result<String> {
        self.render_chat(messages, options).map(|rendered| rendered.text)
    }

    /// The conversation as ids. The template writes its own special tokens, so none are added.
    ///
    /// # Errors
    ///
    /// As [`apply_chat_template`](Self::apply_chat_template) and [`encode`](Self::encode).
    pub fn encode_chat(&self, messages: &[Message], options: &ChatOptions) -> Result<EncodedChat> {
        let RenderedChat { text, generations, .. } = self.render_chat(messages, options)?;
        let options = EncodeOptions::default().add_special_tokens(false);
        let encoding = self.encode_with(text.as_str(), &options)?;
        let assistant_mask = assistant_mask(&encoding.offsets, &generations);
        Ok(EncodedChat { encoding, assistant_mask })
    }

    /// How the model marks reasoning and tool calls: told by its chat template, by the one for tools first,
    /// and else by the names of its added tokens.
    #[must_use]
    pub fn response_format(&self) -> ResponseFormat {
        let template = self.chat_template().into_iter();
        let templates = template.flat_map(|it| [it.source(Some("tool_use")), it.source(None)]);
        let mut formats = templates.flatten().map(ResponseFormat::of_template);
        let found = formats.find(|&format| format != ResponseFormat::PLAIN);
        found.unwrap_or_else(|| {
            let tokens: Vec<_> = self.added_tokens().into_iter().map(|it| it.content).collect();
            ResponseFormat::of_template(&tokens.join("\n"))
        })
    }

    /// Takes an answer apart, as [`response_format`](Self::response_format) says: reasoning, content and
    /// tool calls. The text must still have the special tokens that are markers.
    #[must_use]
    pub fn parse_response(&self, text: &str) -> Response {
        Response::parse(text, self.response_format())
    }

    fn render_chat(&self, messages: &[Message], options: &ChatOptions) -> Result<RenderedChat> {
        let given;
        let template = match (self.chat_template(), &options.template) {
            (Some(template), _) => template,
            (None, Some(jinja)) => {
                given = ChatTemplate::new(jinja)?;
                &given
            }
            (None, None) => {
                return Err(Error::option(
                    "chat_template",
                    "the model has none: it was not made for chats. Give a text instead, or a \
                     template of your own",
                ));
            }
        };
        template.render(messages, &self.special_token_map(), options)
    }

    /// The variables `bos_token`, `image_token`, … of templates: transformers' `special_tokens_map`.
    fn special_token_map(&self) -> Map<String, Value> {
        let named = [
            ("bos_token", self.bos_token()),
            ("eos_token", self.eos_token()),
            ("unk_token", self.unk_token()),
            ("sep_token", self.sep_token()),
            ("pad_token", self.pad_token()),
            ("cls_token", self.cls_token()),
            ("mask_token", self.mask_token()),
        ];
        let text = |token: &SpecialToken| Value::from(token.content.as_str());
        let mut map: Map<_, _> = named
            .into_iter()
            .filter_map(|(name, token)| Some((name.to_owned(), text(token?))))
            .collect();
        let additional = self.additional_special_tokens();
        if !additional.is_empty() {
            let additional = additional.iter().map(text).collect();
            map.insert("additional_special_tokens".to_owned(), additional);
        }
        let own = self.shared.settings.special.named.iter();
        map.extend(own.map(|(name, token)| (name.clone(), text(token))));
        map
    }
}

/// As transformers makes it: from the token of a span's first character to that of its last.
fn assistant_mask(offsets: &[(usize, usize)], spans: &[GenerationSpan]) -> Vec<u8> {
    let token_of =
        |char: usize| offsets.iter().position(|&(start, end)| start <= char && char < end);
    let mut mask = vec![0; offsets.len()];
    for span in spans.iter().filter(|span| !span.chars.is_empty()) {
        let Some(first) = token_of(span.chars.start) else { break };
        let end = token_of(span.chars.end - 1).map_or(mask.len(), |last| last + 1);
        if let Some(tokens) = mask.get_mut(first..end) {
            tokens.fill(1);
        }
    }
    mask
}
