//! Adapters where layers are loaded: in the weights, or beside them. No model can tell.

use candle_core::Tensor;

use crate::error::{Error, Result};
use crate::options::AdapterPlace;
use crate::weights::adapters::{Change, Name, Product, Rows, flat, merged};
use crate::weights::elements::Elements;
#[cfg(feature = "image")]
use crate::weights::layout::Layout;
use crate::weights::layout::MovedPart;
use crate::weights::low_rank::LowRank;
use crate::weights::plan::Blocks;
use crate::weights::view::{Found, Weights};

impl Weights {
    /// A matrix or kernel that is about to be kept as `blocks` or dense, with what adapters add to it in it; and what
    /// goes beside it, where that is possible.
    pub(super) fn adapted<'a>(
        &self,
        found: Found<'a>,
        blocks: Option<Blocks>,
        is_linear: bool,
    ) -> Result<(Found<'a>, Option<LowRank>)> {
        if self.adapters.is_empty() || found.is_one_of_many {
            return Ok((found, None));
        }
        let Some(module) = found.tensor.name.strip_suffix(".weight") else {
            return Ok((found, None));
        };
        let rows =
            Rows { cut: found.rows.as_deref(), of: found.whole.first().copied().unwrap_or(0) };
        let changes = self.adapters.of(&self.names_of(module), &found.tensor, &rows)?;
        // Blocks that stay what they are cannot take anything in.
        let stays = match (&found.tensor.elements, blocks) {
            (_, Some(Blocks::AsStored)) => true,
            (Elements::Blocks(stored), Some(Blocks::Of(kind))) => *stored == kind,
            _ => false,
        };
        let is_beside = |change: &Change| {
            is_linear
                && change.matrices.magnitude.is_none()
                && matches!(change.matrices.product, Product::LowRank { .. })
                && (stays || change.place == AdapterPlace::Beside)
        };
        let (beside, inside): (Vec<_>, Vec<_>) = changes.into_iter().partition(is_beside);
        if stays && !inside.is_empty() {
            return Err(Error::unsupported(format!(
                "an adapter for {:?}, which is kept in blocks and cannot take it in: load with a dtype",
                found.tensor.name
            )));
        }
        let tensor = match inside.is_empty() {
            true => found.tensor,
            false => merged(found.tensor, inside.iter().map(|change| &change.matrices))?,
        };
        let beside = match beside.is_empty() {
            true => None,
            false => Some(self.beside(beside)?),
        };
        Ok((Found { tensor, ..found }, beside))
    }

    /// All that adapters may call a module.
    fn names_of(&self, module: &str) -> Vec<Name> {
        let mut names = vec![(flat(module), MovedPart::All)];
        if let Some(prefix) = self.prefix.as_deref() {
            let bare = module.strip_prefix(prefix).and_then(|name| name.strip_prefix('.'));
            let other = bare.map_or_else(|| format!("{prefix}.{module}"), str::to_owned);
            names.push((flat(&other), MovedPart::All));
        }
        let originals = self.layout.iter().flat_map(|layout| layout.originals(module));
        names.extend(originals.map(|(name, part)| (flat(&name), part.clone())));
        names
    }

    /// The matrices of several adapters as one.
    fn beside(&self, changes: Vec<Change>) -> Result<LowRank> {
        let [mut downs, mut ups] = [Vec::new(), Vec::new()];
        let (device, dtype) = (self.device(), self.dtype());
        for Change { matrices, .. } in changes {
            let (ins, outs, scale) = (matrices.ins, matrices.outs, matrices.scale);
            let Product::LowRank { down, up, rank } = matrices.product else { continue };
            let up: Vec<f32> = up.into_iter().map(|number| number * scale).collect();
            downs.push(Tensor::from_vec(down, (rank, ins), device)?.to_dtype(dtype)?);
            ups.push(Tensor::from_vec(up, (outs, rank), device)?.to_dtype(dtype)?);
        }
        LowRank::new(Tensor::cat(&downs, 0)?, Tensor::cat(&ups, 1)?.contiguous()?)
    }

    /// The same checkpoint, whose modules have other names in another layout: adapters may use these.
    #[cfg(feature = "image")]
    #[must_use]
    pub(crate) fn with_layout(&self, layout: Layout) -> Self {
        Self { layout: Some(layout.into()), ..self.clone() }
    }
}
