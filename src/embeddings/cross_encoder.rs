//! Models that read two texts together, by the files of sentence-transformers' `CrossEncoder`.

use std::sync::Arc;

use candle_core::Tensor;
use serde::Deserialize;
use serde_json::Value;

use crate::batch::TokenBatch;
use crate::embeddings::function::Function;
use crate::embeddings::layout::{Layout, Module, Opener};
use crate::embeddings::modules::Modules;
use crate::embeddings::prompts::Prompts;
use crate::embeddings::reader::Reader;
use crate::embeddings::transformer::{FEATURES, TransformerSettings};
use crate::error::{Error, Result};
use crate::models::heads::{Encoder, Labels, SequenceClassifier};
use crate::models::{AutoModel, CausalLm};
use crate::models::{HeadOnBody, ModelLimits, TextModel};
use crate::options::LoadOptions;
use crate::source::ModelFiles;
use crate::tokenizer::Tokenizer;

/// Pairs of texts in, scores out.
#[derive(Debug)]
pub(crate) struct CrossEncoder {
    pub(crate) model: Arc<dyn SequenceClassifier>,
    pub(crate) reader: Reader,
    /// From logits to scores.
    pub(crate) activation: Function,
    pub(crate) prompts: Prompts,
}

/// A module of rerankers that are language models.
#[derive(Deserialize)]
struct LogitScore {
    true_token_id: Option<u32>,
    false_token_id: Option<u32>,
}

impl CrossEncoder {
    pub(crate) fn load(files: &ModelFiles, options: &LoadOptions) -> Result<Self> {
        let layout = Layout::read(files, Opener::CrossEncoder)?;
        let (own, settings, rest) = match layout.modules.as_deref() {
            Some([first, rest @ ..]) if first.kind == "Transformer" => {
                let own = first.files(files)?;
                let settings = TransformerSettings::read(&own)?;
                (own, settings, rest)
            }
            Some(_) => {
                let reason = "the first module has to be a Transformer that reads two texts";
                return Err(Error::unsupported(format!("{}: {reason}", files.origin())));
            }
            None => (files.folder("")?, TransformerSettings::of_a_model(), &[] as &[Module]),
        };
        let config: Value = own.json("config.json")?.unwrap_or_default();
        let task = match layout.modules {
            Some(_) => settings.task.as_str(),
            None if is_causal_lm(&config) => "text-generation",
            None => "sequence-classification",
        };
        // The model first, so that an architecture that is not known is named, and not a tokenizer that
        // is missing.
        let reader = |limits: ModelLimits| Reader::load(&own, &settings, limits);
        let (model, reader): (Arc<dyn SequenceClassifier>, _) = match (task, rest) {
            ("sequence-classification", []) => {
                let model = AutoModel::from_files::<dyn SequenceClassifier>(&own, options)?;
                let reader = reader(model.limits())?;
                (model, reader)
            }
            ("text-generation", [] | [_]) => {
                let body = AutoModel::from_files::<dyn CausalLm>(&own, options)?;
                let reader = reader(body.limits())?;
                let (wanted, unwanted) = match rest.first() {
                    Some(module) => of_logit_score(files, module)?,
                    None => of_yes_and_no(&own, &reader.tokenizer)?,
                };
                (AutoModel::next_token_scorer(body, wanted, unwanted)?, reader)
            }
            (FEATURES, [_, ..]) => {
                let encoder = AutoModel::from_files::<dyn Encoder>(&own, options)?;
                let size = encoder.hidden_size();
                let modules = Modules::read(files, rest, size, true, options)?;
                let model = PooledScorer::new(files, encoder, modules)?;
                let reader = reader(model.limits())?;
                (Arc::new(model), reader)
            }
            _ => {
                let kinds: Vec<_> = rest.iter().map(|module| module.kind.as_str()).collect();
                return Err(Error::unsupported(format!(
                    "{}: a Transformer for the task {task:?} before {kinds:?} gives no scores; it has \
                     to be for sequence-classification alone, for text-generation before a LogitScore, \
                     or for {FEATURES} before a Pooling and a Dense that makes \"scores\"",
                    files.origin()
                )));
            }
        };
        check_roles(&reader)?;
        let activation = activation(&own, &layout, &config, default_activation(model.labels()))?;
        Ok(Self { model, reader, activation, prompts: layout.prompts })
    }

    /// Of a model and a tokenizer alone: no prompts, and the default from logits to scores.
    pub(crate) fn from_parts(
        model: Arc<dyn SequenceClassifier>,
        tokenizer: Tokenizer,
    ) -> Result<Self> {
        let reader = Reader::new(tokenizer, &TransformerSettings::of_a_model(), model.limits())?;
        check_roles(&reader)?;
        let activation = default_activation(model.labels());
        Ok(Self { model, reader, activation, prompts: Prompts::default() })
    }
}

/// Refuses a chat template that leaves out one of two texts.
fn check_roles(reader: &Reader) -> Result<()> {
    if let Some(messages) = &reader.messages
        && let Some(role) = messages.unread(&["query", "document"])?
    {
        return Err(Error::unsupported(format!(
            "the chat template leaves out messages of the role {role:?}, by which pairs are put together; \
             use one that has them"
        )));
    }
    Ok(())
}

fn default_activation(labels: &Labels) -> Function {
    if labels.names.len() == 1 { Function::SIGMOID } else { Function::IDENTITY }
}

fn is_causal_lm(config: &Value) -> bool {
    config["architectures"][0].as_str().is_some_and(|name| name.ends_with("ForCausalLM"))
}

/// The tokens by which a language model scores, as a `LogitScore` names them.
fn of_logit_score(files: &ModelFiles, module: &Module) -> Result<(u32, Option<u32>)> {
    let refuse = |why: String| Err(Error::unsupported(format!("{}: {why}", files.origin())));
    if module.kind != "LogitScore" {
        return refuse(format!("a {} after a language model; a LogitScore has to be", module.kind));
    }
    let LogitScore { true_token_id, false_token_id } = module.config(files)?;
    match true_token_id {
        Some(wanted) => Ok((wanted, false_token_id)),
        None => refuse("LogitScore has no `true_token_id` in its config.json".to_owned()),
    }
}

fn of_yes_and_no(files: &ModelFiles, tokenizer: &Tokenizer) -> Result<(u32, Option<u32>)> {
    match (tokenizer.token_to_id("yes"), tokenizer.token_to_id("no")) {
        (Some(yes), Some(no)) => Ok((yes, Some(no))),
        _ => Err(Error::unsupported(format!(
            "{}: a language model ranks by its tokens `yes` and `no`, and the tokenizer has none such: \
             choose a model that was trained to rank, or one with a LogitScore module",
            files.origin()
        ))),
    }
}

/// From the repository's settings, else the model's (those of version 4, then those before), else
/// sigmoid for a single logit and none for several.
fn activation(
    files: &ModelFiles,
    layout: &Layout,
    config: &Value,
    default: Function,
) -> Result<Function> {
    let stored = [
        &config["sentence_transformers"]["activation_fn"],
        &config["sbert_ce_default_activation_function"],
    ];
    let stored = stored.into_iter().find_map(Value::as_str);
    let named = |class: Option<&str>, default: Function| match class {
        None => Ok(default),
        Some(class) => Function::named(class, default)
            .map_err(|why| Error::unsupported(format!("{}: {why}", files.origin()))),
    };
    match layout.activation.as_deref() {
        Some(class) if class.starts_with("torch.") => named(Some(class), default),
        class => named(class, named(stored, default)?),
    }
}

/// An encoder whose pooled vector a `Dense` makes scores of.
#[derive(Debug)]
struct PooledScorer {
    encoder: Arc<dyn Encoder>,
    modules: Modules,
    labels: Labels,
}

impl PooledScorer {
    fn new(files: &ModelFiles, encoder: Arc<dyn Encoder>, modules: Modules) -> Result<Self> {
        if modules.output.as_deref() != Some("scores") {
            let reason = "no Dense has `module_output_name` \"scores\", so nothing makes scores";
            return Err(Error::unsupported(format!("{}: {reason}", files.origin())));
        }
        let labels = Labels::unnamed(modules.dimension);
        Ok(Self { encoder, modules, labels })
    }
}

impl HeadOnBody for PooledScorer {
    fn body(&self) -> &dyn TextModel {
        &*self.encoder
    }
}

impl SequenceClassifier for PooledScorer {
    fn labels(&self) -> &Labels {
        &self.labels
    }

    fn classify(&self, batch: &TokenBatch) -> Result<Tensor> {
        let scores = self.modules.run(&*self.encoder, batch, 0)?;
        Ok(Tensor::new(scores, self.encoder.device())?)
    }
}
