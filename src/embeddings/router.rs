//! `Router`, once `Asym`: another way through the modules for each task, such as for queries and for documents.
//!
//! Mirrors `Router` of sentence-transformers 5.7.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::embeddings::body::{Body, First};
use crate::embeddings::layout::Module;
use crate::error::{Error, Result, none_of};
use crate::options::LoadOptions;
use crate::source::{ModelFiles, json};

/// The ways through the modules; of most models there is one.
#[derive(Debug)]
pub(super) struct Routes {
    bodies: Vec<Arc<Body>>,
    /// Where there is a `Router`.
    router: Option<Router>,
}

/// Which way a text goes.
#[derive(Debug)]
struct Router {
    /// In the order of the bodies.
    names: Vec<String>,
    default: Option<String>,
    mappings: Vec<Mapping>,
}

/// What a task or a kind of input is mapped to; `None` is any.
#[derive(Debug)]
struct Mapping {
    task: Option<String>,
    modality: Option<String>,
    route: String,
}

/// `router_config.json`, or `config.json` of an `Asym`.
#[derive(Deserialize)]
struct File {
    types: Map<String, Value>,
    structure: Map<String, Value>,
    #[serde(default)]
    parameters: Parameters,
}

#[derive(Deserialize, Default)]
struct Parameters {
    default_route: Option<String>,
    allow_empty_key: Option<bool>,
    route_mappings: Option<Map<String, Value>>,
}

impl Routes {
    /// Of one way.
    pub(super) fn of(body: Body) -> Self {
        Self { bodies: vec![Arc::new(body)], router: None }
    }

    /// Of the modules that a repository names, or the default ones.
    pub(super) fn load(
        files: &ModelFiles,
        modules: Option<&[Module]>,
        options: &LoadOptions,
    ) -> Result<Self> {
        let is_router = |module: &Module| matches!(module.kind.as_str(), "Asym" | "Router");
        let found = modules.and_then(|modules| {
            let at = modules.iter().position(is_router)?;
            Some((&modules[..at], &modules[at], &modules[at + 1..]))
        });
        let Some((before, router, after)) = found else {
            return Ok(Self::of(Body::load(files, modules, options, &mut Vec::new())?));
        };
        let (router, ways) = Router::read(files, router)?;
        // What comes before the router is in memory once.
        let mut firsts: Vec<(String, Arc<First>)> = Vec::new();
        let bodies = ways.into_iter().map(|way| {
            let modules = before.iter().chain(&way).chain(after);
            if let Some(second) = modules.clone().find(|module| is_router(module)) {
                let path = &second.path;
                let reason =
                    format!("a Router in another way of a Router, in {path:?}, is not built");
                return Err(Error::unsupported(format!("{}: {reason}", files.origin())));
            }
            let modules: Vec<_> = modules.cloned().collect();
            Ok(Arc::new(Body::load(files, Some(&modules), options, &mut firsts)?))
        });
        Ok(Self { bodies: bodies.collect::<Result<_>>()?, router: Some(router) })
    }

    /// The way of texts of this task, or of none. Where there is only one way the task makes no difference.
    pub(super) fn of_task(&self, task: Option<&str>) -> Result<&Arc<Body>> {
        match &self.router {
            None => Ok(&self.bodies[0]),
            Some(router) => Ok(&self.bodies[router.resolve(task)?]),
        }
    }

    /// The first way.
    pub(super) fn first(&self) -> &Arc<Body> {
        &self.bodies[0]
    }

    /// The most tokens of a text of any way.
    pub(super) fn max_seq_length(&self) -> usize {
        self.bodies.iter().map(|body| body.max_seq_length()).max().unwrap_or(usize::MAX)
    }
}

impl Router {
    /// A router, and the modules of each of its ways.
    fn read(files: &ModelFiles, module: &Module) -> Result<(Self, Vec<Vec<Module>>)> {
        let own = module.files(files)?;
        let path = match own.optional("router_config.json")? {
            Some(path) => path,
            None => own.required("config.json", "the ways of a Router")?,
        };
        let File { types, structure, parameters } = json::read(&path)?;
        let malformed = |reason: String| Error::malformed(&path, reason);
        let mut names = Vec::new();
        let mut ways = Vec::new();
        for (name, modules) in structure {
            let ids = modules.as_array().into_iter().flatten().map(|id| {
                let class = id.as_str().and_then(|id| Some((id, types.get(id)?.as_str()?)));
                let (id, class) = class.ok_or_else(|| {
                    malformed(format!("the way {name:?} names {id}, which has no type"))
                })?;
                Module::of_class(files, class, &within(&module.path, id))
            });
            let way: Vec<_> = ids.collect::<Result<_>>()?;
            if way.is_empty() {
                return Err(malformed(format!("the way {name:?} has no modules")));
            }
            ways.push(way);
            names.push(name);
        }
        let Some(first) = names.first() else {
            return Err(malformed("`structure` names no ways".to_owned()));
        };
        let Parameters { default_route, allow_empty_key, route_mappings } = parameters;
        let empty = allow_empty_key.unwrap_or(true).then(|| first.clone());
        let default = default_route.or(empty);
        let mappings = route_mappings.into_iter().flatten();
        let mappings = mappings.filter_map(|(key, route)| Mapping::read(&key, route.as_str()?));
        let mappings: Vec<_> = mappings.collect();
        let mut named = mappings.iter().map(|mapping| &mapping.route).chain(&default);
        if let Some(unknown) = named.find(|route| !names.contains(route)) {
            return Err(malformed(format!("there is no way {unknown:?} among {names:?}")));
        }
        Ok((Self { names, default, mappings }, ways))
    }

    /// The number of a task's way.
    fn resolve(&self, task: Option<&str>) -> Result<usize> {
        let text = Some("text");
        let mapped = [(task, text), (task, None), (None, text), (None, None)];
        let mapped = mapped.into_iter().find_map(|(task, modality)| {
            let is_it = |mapping: &&Mapping| {
                mapping.task.as_deref() == task && mapping.modality.as_deref() == modality
            };
            self.mappings.iter().find(is_it).map(|mapping| mapping.route.as_str())
        });
        let position = |name: &str| self.names.iter().position(|known| known == name);
        let named = mapped.or(task).map(position).unwrap_or_default().or_else(|| position("text"));
        if let Some(route) = named {
            return Ok(route);
        }
        let known: Vec<_> = self.names.iter().map(String::as_str).collect();
        if let Some(task) = task {
            return Err(Error::option("task", none_of(task, &known)));
        }
        let default = self.default.as_deref().and_then(position);
        default.ok_or_else(|| {
            let reason = format!(
                "the model has no way of its own for texts without one: there are {known:?}"
            );
            Error::option("task", reason)
        })
    }
}

impl Mapping {
    /// `('query', 'text')`, as Python prints it; kinds of input that are several at once are passed over.
    fn read(key: &str, route: &str) -> Option<Self> {
        let inner = key.trim().strip_prefix('(')?.strip_suffix(')')?;
        let (task, modality) = inner.split_once(',')?;
        let part = |text: &str| {
            let text = text.trim();
            let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
            match text {
                "None" => Some(None),
                _ => Some(Some(quoted('\'').or_else(|| quoted('"'))?.to_owned())),
            }
        };
        Some(Self { task: part(task)?, modality: part(modality)?, route: route.to_owned() })
    }
}

/// The folder of a module of a way.
fn within(path: &str, id: &str) -> String {
    match path.trim_end_matches('/') {
        "" => id.to_owned(),
        path => format!("{path}/{id}"),
    }
}
