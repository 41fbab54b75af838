//! A model behind a service as a source.

use crate::source::ModelSource;
use crate::source::remote::RemoteModel;

impl From<RemoteModel> for ModelSource {
    fn from(model: RemoteModel) -> Self {
        Self::Remote(Box::new(model))
    }
}
