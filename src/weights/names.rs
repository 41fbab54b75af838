//! What a checkpoint calls the tensors that we know under our own names.
//!
//! A table maps our name on the left to the checkpoint's on the right. `*` is the number of a layer
//! or an expert, the same on both sides, where it may also end a part (`expert_*`). A rule for
//! `layers.*.attn.q` also holds for `layers.*.attn.q.weight` and `….bias`: the last part is carried
//! over. A name without a rule is looked for unchanged. If several rules match a name, the first whose
//! tensor exists in the checkpoint counts.

use std::ops::Range;

/// Our names and a checkpoint's.
#[derive(Debug, Clone, Copy)]
pub struct NameTable {
    /// What most checkpoints of a format have in common.
    pub(crate) base: &'static [Rule],
    /// What differs in this family; wins over `base`.
    pub(crate) own: &'static [Rule],
}

impl NameTable {
    /// No rules: tensors are asked for by the checkpoint's own names.
    #[must_use]
    pub const fn stored_names() -> Self {
        Self { base: &[], own: &[] }
    }

    /// Where to find the tensor of our full name, such as `layers.3.attn.q.weight`, in a checkpoint
    /// that holds what `is_stored` says.
    pub(crate) fn resolve(&self, ours: &str, is_stored: impl Fn(&str) -> bool) -> Resolved {
        let known = || self.own.iter().chain(self.base).filter_map(|rule| rule.resolve(ours));
        known()
            .find(|resolved| is_stored(&resolved.name))
            .or_else(|| known().next())
            .unwrap_or_else(|| Resolved {
                name: ours.to_owned(),
                how: How::Whole,
                transposed: false,
            })
    }
}

/// One row of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub ours: &'static str,
    pub stored: Stored,
    /// Whether matrices are stored as `(in_features, out_features)`: GPT-2's `Conv1D`.
    transposed: bool,
}

/// How a checkpoint stores a tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored {
    As(&'static str),
    /// One of several tensors of one shape stacked along a new first dimension, its number being
    /// our name's last `*`: the experts of GGUF (`ffn_up_exps`).
    Expert {
        of: &'static str,
    },
    /// The numbers are one too small: RMSNorm weights in Gemma's safetensors.
    PlusOne(&'static str),
    /// Some rows of a fused tensor: `qkv_proj` of Phi-3.
    Rows {
        of: &'static str,
        /// `None`: the part that our name stands for.
        part: Option<Part>,
        layout: Fused,
    },
}

/// What is fused: query, key and value, or gate and up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Query,
    Key,
    Value,
    Gate,
    Up,
}

/// How the rows of fused parts follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fused {
    /// All queries, all keys, all values; all gates, all ups: Phi-3, GGUF.
    Concatenated,
    /// For each key-value head its queries, its key, its value: Falcon, GPT-NeoX, BLOOM. For each
    /// feature its gate, its up.
    Grouped,
}

/// The sizes that determine where query, key and value lie in a fused tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadCounts {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
}

/// Rows of a fused tensor that belong to one part: of each of `groups` groups of `group` rows the
/// `size` rows after the first `before`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FusedRows {
    /// How many rows the fused tensor must have.
    pub total: usize,
    groups: usize,
    group: usize,
    before: usize,
    size: usize,
}

/// A tensor of the checkpoint, and the part of it that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolved {
    pub name: String,
    pub how: How,
    /// Whether a matrix is to be transposed before `how`.
    pub transposed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    Expert(usize),
    PlusOne,
    Rows(Part, Fused),
    Whole,
}

/// Stored under another name.
pub(crate) const fn renamed(ours: &'static str, theirs: &'static str) -> Rule {
    Rule { ours, stored: Stored::As(theirs), transposed: false }
}

/// A tensor that holds its parts one after the other. `ours` says `qkv` or `gate_up` where each has its own name:
/// `layers.*.attn.qkv` stands for `layers.*.attn.q`, `….k` and `….v`.
pub(crate) const fn fused(ours: &'static str, of: &'static str) -> Rule {
    Rule {
        ours,
        stored: Stored::Rows { of, part: None, layout: Fused::Concatenated },
        transposed: false,
    }
}

/// As [`fused`], with the parts of each key-value head together.
pub(crate) const fn grouped(ours: &'static str, of: &'static str) -> Rule {
    Rule {
        ours,
        stored: Stored::Rows { of, part: None, layout: Fused::Grouped },
        transposed: false,
    }
}

/// One of the parts of a tensor that holds them one after the other.
#[cfg(any(feature = "audio", feature = "image", test))]
pub(crate) const fn part(ours: &'static str, of: &'static str, part: Part) -> Rule {
    Rule {
        ours,
        stored: Stored::Rows { of, part: Some(part), layout: Fused::Concatenated },
        transposed: false,
    }
}

/// Stored minus one.
pub(crate) const fn plus_one(ours: &'static str, theirs: &'static str) -> Rule {
    Rule { ours, stored: Stored::PlusOne(theirs), transposed: false }
}

/// One of a stack; `ours` has one `*` more than `of`.
pub(crate) const fn expert(ours: &'static str, of: &'static str) -> Rule {
    Rule { ours, stored: Stored::Expert { of }, transposed: false }
}

impl Rule {
    /// The same rule where matrices are stored transposed.
    pub(crate) const fn transposed(self) -> Self {
        Self { transposed: true, ..self }
    }

    fn resolve(&self, ours: &str) -> Option<Resolved> {
        let (numbers, found, parameter) = self.captures(ours)?;
        let (theirs, how) = match self.stored {
            Stored::As(theirs) => (theirs, How::Whole),
            Stored::Expert { of } => (of, How::Expert(numbers.last()?.parse().ok()?)),
            Stored::PlusOne(theirs) => (theirs, How::PlusOne),
            Stored::Rows { of, part, layout } => (of, How::Rows(part.or(found)?, layout)),
        };
        let mut numbers = numbers.into_iter();
        let filled = theirs.split('.').map(|segment| match segment.strip_suffix('*') {
            Some(before) => [before, numbers.next().unwrap_or("*")].concat(),
            None => segment.to_owned(),
        });
        let name = filled.chain(parameter.map(str::to_owned)).collect::<Vec<_>>().join(".");
        Some(Resolved { name, how, transposed: self.transposed })
    }

    /// The numbers that our pattern's `*` stand for, the part of a fused name, and the parameter that follows.
    fn captures<'a>(&self, ours: &'a str) -> Option<(Vec<&'a str>, Option<Part>, Option<&'a str>)> {
        let mut numbers = Vec::new();
        let mut part = None;
        let mut segments = ours.split('.');
        for expected in self.ours.split('.') {
            let segment = segments.next()?;
            let is_number = segment.bytes().all(|byte| byte.is_ascii_digit());
            match expected {
                "*" if is_number => numbers.push(segment),
                name if name == segment => {}
                fused => part = Some(Part::named(fused, segment)?),
            }
        }
        match (segments.next(), segments.next()) {
            (None, _) => Some((numbers, part, None)),
            (Some(parameter), None) if PARAMETERS.contains(&parameter) => {
                Some((numbers, part, Some(parameter)))
            }
            _ => None,
        }
    }
}

/// Names of parameters of layers and of activations.
const PARAMETERS: [&str; 6] = ["weight", "bias", "alpha_n", "alpha_p", "beta", "eps"];

impl Part {
    /// The part that a module is, of the modules with a name for all of them.
    fn named(fused: &str, module: &str) -> Option<Self> {
        Some(match (fused, module) {
            ("qkv", "q") => Self::Query,
            ("qkv", "k") => Self::Key,
            ("qkv", "v") => Self::Value,
            ("gate_up", "gate") => Self::Gate,
            ("gate_up", "up") => Self::Up,
            _ => return None,
        })
    }

    /// Where this part lies in a fused tensor; `rows` is how many rows it has. `None` where query,
    /// key or value are asked for without head counts, or these are impossible.
    pub(crate) fn of(
        self,
        layout: Fused,
        rows: usize,
        heads: Option<HeadCounts>,
    ) -> Option<FusedRows> {
        let (groups, sizes) = match (self, layout) {
            (Self::Gate | Self::Up, Fused::Concatenated) => (1, [rows, rows, 0]),
            (Self::Gate | Self::Up, Fused::Grouped) => (rows, [1, 1, 0]),
            (_, Fused::Concatenated) => {
                let HeadCounts { heads, kv_heads, head_dim } = heads?;
                let keys = kv_heads.checked_mul(head_dim)?;
                (1, [heads.checked_mul(head_dim)?, keys, keys])
            }
            (_, Fused::Grouped) => {
                let HeadCounts { heads, kv_heads, head_dim } = heads?;
                let queries = heads.checked_div(kv_heads)?.checked_mul(head_dim)?;
                (kv_heads, [queries, head_dim, head_dim])
            }
        };
        let index = match self {
            Self::Query | Self::Gate => 0,
            Self::Key | Self::Up => 1,
            Self::Value => 2,
        };
        let group = sizes.iter().try_fold(0_usize, |sum, &size| sum.checked_add(size))?;
        let total = groups.checked_mul(group)?;
        let before = sizes[..index].iter().sum();
        Some(FusedRows { groups, group, before, size: sizes[index], total })
    }
}

impl FusedRows {
    /// The rows of the part, in order. There are as many ranges as groups, so compare
    /// [`total`](Self::total) with the tensor first.
    pub(crate) fn ranges(&self) -> Vec<Range<usize>> {
        let starts = (0..self.groups).map(|number| number * self.group + self.before);
        starts.map(|start| start..start + self.size).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &[Rule] = &[
        renamed("embed", "model.embed_tokens"),
        renamed("layers.*.attn_norm", "model.layers.*.input_layernorm"),
        renamed("layers.*.attn.q", "model.layers.*.self_attn.q_proj"),
        expert("layers.*.experts.*.up", "blk.*.ffn_up_exps"),
    ];
    const OWN: &[Rule] = &[
        part("layers.*.attn.q", "model.layers.*.self_attn.qkv_proj", Part::Query),
        plus_one("layers.*.attn_norm", "model.layers.*.input_layernorm"),
    ];

    fn resolved(own: &'static [Rule], ours: &str) -> (String, How) {
        let Resolved { name, how, .. } = NameTable { base: BASE, own }.resolve(ours, |_| true);
        (name, how)
    }

    #[test]
    fn numbers_and_parameters_are_carried_over() {
        let name = |ours| resolved(&[], ours).0;
        assert_eq!(name("embed.weight"), "model.embed_tokens.weight");
        assert_eq!(name("layers.31.attn.q.bias"), "model.layers.31.self_attn.q_proj.bias");
        assert_eq!(name("layers.31.attn.q"), "model.layers.31.self_attn.q_proj");
        // No rule: a name that only begins like one, or has no number where one belongs.
        assert_eq!(name("layers.3.attn.q.scale"), "layers.3.attn.q.scale");
        assert_eq!(name("layers.x.attn.q.weight"), "layers.x.attn.q.weight");
        assert_eq!(name("layers.3"), "layers.3");
    }

    #[test]
    fn own_rules_win() {
        let (name, how) = resolved(OWN, "layers.2.attn.q.weight");
        assert_eq!(name, "model.layers.2.self_attn.qkv_proj.weight");
        assert_eq!(how, How::Rows(Part::Query, Fused::Concatenated));
        assert_eq!(resolved(OWN, "layers.2.attn_norm.weight").1, How::PlusOne);
        assert_eq!(resolved(&[], "layers.2.attn_norm.weight").1, How::Whole);
    }

    #[test]
    fn experts_have_a_number() {
        let (name, how) = resolved(&[], "layers.7.experts.12.up.weight");
        assert_eq!((name.as_str(), how), ("blk.7.ffn_up_exps.weight", How::Expert(12)));
    }

    #[test]
    fn fused_rows() {
        let heads = Some(HeadCounts { heads: 4, kv_heads: 2, head_dim: 3 });
        let rows = |part: Part, layout, rows| -> (Vec<_>, usize) {
            let rows = part.of(layout, rows, heads).unwrap();
            (rows.ranges().into_iter().map(|range| (range.start, range.end)).collect(), rows.total)
        };
        assert_eq!(rows(Part::Query, Fused::Concatenated, 12), (vec![(0, 12)], 24));
        assert_eq!(rows(Part::Key, Fused::Concatenated, 6), (vec![(12, 18)], 24));
        assert_eq!(rows(Part::Value, Fused::Concatenated, 6), (vec![(18, 24)], 24));
        assert_eq!(rows(Part::Query, Fused::Grouped, 12), (vec![(0, 6), (12, 18)], 24));
        assert_eq!(rows(Part::Key, Fused::Grouped, 6), (vec![(6, 9), (18, 21)], 24));
        assert_eq!(rows(Part::Value, Fused::Grouped, 6), (vec![(9, 12), (21, 24)], 24));
        assert_eq!(rows(Part::Gate, Fused::Concatenated, 5), (vec![(0, 5)], 10));
        assert_eq!(rows(Part::Up, Fused::Concatenated, 5), (vec![(5, 10)], 10));
        assert_eq!(rows(Part::Up, Fused::Grouped, 2), (vec![(1, 2), (3, 4)], 4));
        assert_eq!(Part::Key.of(Fused::Grouped, 6, None), None);
        let absurd = HeadCounts { heads: usize::MAX, kv_heads: 0, head_dim: 2 };
        assert_eq!(Part::Key.of(Fused::Grouped, 6, Some(absurd)), None);
        assert_eq!(Part::Key.of(Fused::Concatenated, 6, Some(absurd)), None);
    }
}
