//! The parts of a model, recorded while it was loaded.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::options::{LoadCallback, LoadProgress};
use crate::weights::adapters::{Adapters, Unfit};

/// The parts of a model: every layer, table and tensor it loaded, under the model's own names.
///
/// `Display` prints the tree of modules that `print(model)` prints in Python; equal layers are
/// printed once. [`parameters`](Self::parameters) and [`bytes`](Self::bytes) are sums over it. A
/// tensor that is used twice, such as an embedding that is also the output head, counts once.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    items: Vec<Item>,
    /// Whether adapters changed them.
    pub(super) is_adapted: bool,
    /// What is in the adapters and was not loaded.
    pub(super) unfit: Vec<Unfit>,
}

/// One layer, table or tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Item {
    /// The model's name for it, such as `layers.0.attn.q` or `layers.0.attn_norm.weight`.
    pub name: String,
    /// The checkpoint's name for the tensor that it is, or is a part of.
    pub stored_as: String,
    /// What it is used for.
    pub role: Role,
    /// Its shape: `(out_features, in_features)` of a linear layer, `(vocab, hidden)` of a table.
    pub shape: Vec<usize>,
    /// How it is stored: `f32`, `bf16`, `f16`, or a block format such as `q4_k`.
    pub precision: &'static str,
    /// The memory it takes.
    pub bytes: usize,
    /// The shape of the tensor that it is, or is a part of, as the model sees it.
    pub(super) whole: Vec<usize>,
    /// Whether the checkpoint holds that tensor the other way round.
    pub(super) transposed: bool,
    /// Whether the checkpoint holds several tensors, from which this one was assembled.
    pub(super) assembled: bool,
}

/// What a weight is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Role {
    /// A table of vectors, one for each id.
    Embedding,
    /// The matrix of a linear layer.
    Linear,
    /// Anything else: biases, norms, convolution kernels.
    Tensor,
}

impl Item {
    /// How many numbers it holds.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.shape.iter().product()
    }
}

impl Inventory {
    /// Everything, in the order it was loaded.
    #[must_use]
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// The number of parameters: `model.num_parameters()` in transformers.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.items.iter().map(Item::parameters).sum()
    }

    /// The memory that weights take: `model.get_memory_footprint()` in transformers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.bytes).sum()
    }

    /// The memory that weights of one role take.
    #[must_use]
    pub fn bytes_of(&self, role: Role) -> usize {
        self.items.iter().filter(|item| item.role == role).map(|item| item.bytes).sum()
    }

    /// The memory that weights of each precision take, by its name.
    #[must_use]
    pub fn bytes_by_precision(&self) -> BTreeMap<&'static str, usize> {
        let mut sums = BTreeMap::new();
        for item in &self.items {
            *sums.entry(item.precision).or_default() += item.bytes;
        }
        sums
    }
}

/// Where all scopes of one checkpoint note what they load.
#[derive(Debug, Default)]
pub(super) struct Notes {
    items: Mutex<Vec<Item>>,
    /// Bytes read, of `total`.
    done: AtomicU64,
    total: u64,
    progress: Option<LoadCallback>,
}

impl Notes {
    pub(super) fn new(total: u64, progress: Option<LoadCallback>) -> Self {
        Self { items: Mutex::default(), done: AtomicU64::new(0), total, progress }
    }

    pub(super) fn add(&self, item: Item) {
        self.items.lock().unwrap_or_else(PoisonError::into_inner).push(item);
    }

    /// So many more bytes of the checkpoint have been read.
    pub(super) fn advance(&self, read: u64) {
        let done = self.done.fetch_add(read, Ordering::Relaxed) + read;
        if let Some(callback) = &self.progress {
            callback.call(LoadProgress::new(done.min(self.total), self.total));
        }
    }

    /// What was noted, each name once.
    pub(super) fn inventory(&self, adapters: &Adapters) -> Inventory {
        let notes = self.items.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashSet::new();
        let items = notes.iter().filter(|item| seen.insert(item.name.as_str())).cloned().collect();
        Inventory { items, is_adapted: !adapters.is_empty(), unfit: adapters.unfit() }
    }
}

/// As Python prints a model:
///
/// ```text
/// (embed): Embedding(512, 64) f32
/// (layers): 2 x
///   (attn): q, k, v and o
/// ```
impl fmt::Display for Inventory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut root = Module::default();
        for item in &self.items {
            root.insert(&item.name, item);
        }
        f.write_str(&root.lines(0).join("\n"))
    }
}

/// A node of the tree that dots in names make.
#[derive(Default)]
struct Module<'a> {
    own: Option<&'a Item>,
    /// In the order they were loaded.
    children: Vec<(&'a str, Self)>,
}

impl<'a> Module<'a> {
    fn insert(&mut self, name: &'a str, item: &'a Item) {
        let (first, rest) = match name.split_once('.') {
            Some((first, rest)) => (first, Some(rest)),
            None => (name, None),
        };
        let at = self.children.iter().position(|(name, _)| *name == first).unwrap_or_else(|| {
            self.children.push((first, Self::default()));
            self.children.len() - 1
        });
        let child = &mut self.children[at].1;
        match rest {
            Some(rest) => child.insert(rest, item),
            None => child.own = Some(item),
        }
    }

    /// Its children, a line or more each; numbered ones that are alike, one after the other, once.
    fn lines(&self, depth: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let blocks: Vec<_> =
            self.children.iter().map(|(name, child)| (*name, child.block(depth))).collect();
        let mut at = 0;
        while let Some((name, block)) = blocks.get(at) {
            let numbered = |name: &str| name.parse::<usize>().is_ok();
            let alike = |(other, other_block): &&(&str, Vec<String>)| {
                numbered(name) && numbered(other) && other_block == block
            };
            let count = blocks[at..].iter().take_while(alike).count().max(1);
            let indent = "  ".repeat(depth);
            let (head, rest) = block.split_first().map_or(("", &[][..]), |(h, r)| (h.as_str(), r));
            lines.push(match count {
                1 => format!("{indent}({name}):{head}"),
                _ => format!("{indent}({name}-{}): {count} x{head}", blocks[at + count - 1].0),
            });
            lines.extend_from_slice(rest);
            at += count;
        }
        lines
    }

    /// What comes after its name, then the lines below it.
    fn block(&self, depth: usize) -> Vec<String> {
        let shape = |item: &Item| {
            let sizes: Vec<_> = item.shape.iter().map(ToString::to_string).collect();
            format!("({})", sizes.join(", "))
        };
        let Some(item) = self.own else {
            // A layer norm and the like: nothing but its tensors, in one line.
            let leaves = |(name, child): &(&str, Self)| {
                let item = child.own.filter(|item| item.role == Role::Tensor)?;
                child
                    .children
                    .is_empty()
                    .then(|| format!("{name}: {} {}", shape(item), item.precision))
            };
            let leaves: Option<Vec<_>> = self.children.iter().map(leaves).collect();
            return match leaves {
                Some(leaves) => vec![format!(" {}", leaves.join(", "))],
                None => std::iter::once(String::new()).chain(self.lines(depth + 1)).collect(),
            };
        };
        let text = match (item.role, item.shape.as_slice()) {
            (Role::Linear, &[outputs, inputs]) => {
                let bias = if self.children.is_empty() { "" } else { ", bias" };
                format!(" Linear({inputs} to {outputs}{bias}) {}", item.precision)
            }
            (Role::Embedding, _) => format!(" Embedding{} {}", shape(item), item.precision),
            _ => format!(" {} {}", shape(item), item.precision),
        };
        vec![text]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_a_tree_and_adds_up() {
        let notes = Notes::default();
        let add = |name: &str, role, shape: &[usize], precision, bytes| {
            let (name, shape) = (name.to_owned(), shape.to_vec());
            notes.add(Item {
                stored_as: name.clone(),
                whole: shape.clone(),
                transposed: false,
                assembled: false,
                name,
                role,
                shape,
                precision,
                bytes,
            });
        };
        add("embed", Role::Embedding, &[8, 4], "bf16", 64);
        for layer in 0..3 {
            let size = if layer < 2 { 6 } else { 5 };
            add(&format!("layers.{layer}.attn.q"), Role::Linear, &[size, 4], "q8_0", 30);
            add(&format!("layers.{layer}.attn.q.bias"), Role::Tensor, &[size], "f32", 24);
            add(&format!("layers.{layer}.norm.weight"), Role::Tensor, &[4], "f32", 16);
        }
        // A head that is the embedding.
        add("embed", Role::Embedding, &[8, 4], "bf16", 64);
        let inventory = notes.inventory(&Adapters::default());
        assert_eq!(inventory.parameters(), 32 + 2 * (24 + 6 + 4) + (20 + 5 + 4));
        assert_eq!((inventory.bytes(), inventory.bytes_of(Role::Linear)), (64 + 3 * 70, 90));
        let sums = inventory.bytes_by_precision();
        assert_eq!(
            sums.into_iter().collect::<Vec<_>>(),
            [("bf16", 64), ("f32", 120), ("q8_0", 90)]
        );
        let expected = "\
(embed): Embedding(8, 4) bf16
(layers):
  (0-1): 2 x
    (attn):
      (q): Linear(4 to 6, bias) q8_0
    (norm): weight: (4) f32
  (2):
    (attn):
      (q): Linear(4 to 5, bias) q8_0
    (norm): weight: (4) f32";
        assert_eq!(inventory.to_string(), expected);
    }
}
