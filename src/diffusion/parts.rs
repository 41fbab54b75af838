//! Parts of a painter, and when they are in memory.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::error::Result;
use crate::models::Model;
use crate::options::LoadOptions;
use crate::source::ModelFiles;

/// When parts are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Residence {
    /// From the beginning on.
    Always,
    /// While they work.
    InTurn,
}

/// The memory that a part of a [`Painter`](crate::diffusion::Painter) takes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartMemory {
    /// Its folder, such as `text_encoder`.
    pub name: String,
    /// Bytes of its weights; 0 while it is not loaded.
    pub bytes: usize,
}

/// A model that is in memory, or is read when its turn comes.
pub(super) struct Part<T: ?Sized> {
    name: String,
    state: State<T>,
}

enum State<T: ?Sized> {
    Kept(Arc<T>),
    InTurn { load: Box<dyn Fn() -> Result<Arc<T>> + Send + Sync>, working: Mutex<Option<Weak<T>>> },
}

impl<T: Model + ?Sized + 'static> Part<T> {
    /// The part of a folder, as `open` reads it.
    pub(super) fn new(
        files: &ModelFiles,
        name: &str,
        options: &LoadOptions,
        residence: Residence,
        open: impl Fn(&ModelFiles, &LoadOptions) -> Result<Arc<T>> + Send + Sync + 'static,
    ) -> Result<Self> {
        let files = files.folder(name)?;
        let options = &options.named_part(name);
        let state = match residence {
            Residence::Always => State::Kept(open(&files, options)?),
            Residence::InTurn => {
                let options = options.clone();
                let load = Box::new(move || open(&files, &options));
                State::InTurn { load, working: Mutex::default() }
            }
        };
        Ok(Self { name: name.to_owned(), state })
    }

    /// The model, which is let go with the last that holds it unless it is kept.
    pub(super) fn take(&self) -> Result<Arc<T>> {
        let (load, working) = match &self.state {
            State::Kept(model) => return Ok(Arc::clone(model)),
            State::InTurn { load, working } => (load, working),
        };
        let mut working = working.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = working.as_ref().and_then(Weak::upgrade) {
            return Ok(model);
        }
        let model = load()?;
        *working = Some(Arc::downgrade(&model));
        Ok(model)
    }

    pub(super) fn memory(&self) -> PartMemory {
        let bytes = |model: Arc<T>| model.inventory().bytes();
        let bytes = match &self.state {
            State::Kept(model) => bytes(Arc::clone(model)),
            State::InTurn { working, .. } => {
                let working = working.lock().unwrap_or_else(PoisonError::into_inner);
                working.as_ref().and_then(Weak::upgrade).map_or(0, bytes)
            }
        };
        PartMemory { name: self.name.clone(), bytes }
    }
}

impl<T: ?Sized> fmt::Debug for Part<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.state {
            State::Kept(_) => Residence::Always,
            State::InTurn { .. } => Residence::InTurn,
        };
        write!(f, "Part({}, {when:?})", self.name)
    }
}
