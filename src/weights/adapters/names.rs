//! What the tensors of an adapter are called, by PEFT, diffusers, Kohya's scripts and llama.cpp.

/// What a tensor of an adapter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// From the features of a layer to few.
    Down,
    /// From few features to those of a layer.
    Up,
    /// The number that, divided by the rank, is the scale.
    Alpha,
    /// Between the two others, for each pixel of a kernel.
    Mid,
    /// The length of each row: DoRA.
    Magnitude,
    /// The length of each row, or of each channel that goes in, by its shape: DoRA by LyCORIS and Kohya's scripts.
    DoraScale,
    /// LoHa: two products, of which each number is multiplied with the other's.
    HadaLeft1,
    HadaRight1,
    HadaLeft2,
    HadaRight2,
    /// Between the two matrices of a product, for each pixel of a kernel.
    HadaCore1,
    HadaCore2,
    /// LoKr: two matrices, or products, with the second in the place of each number of the first.
    Kron1,
    KronLeft1,
    KronRight1,
    Kron2,
    KronLeft2,
    KronRight2,
    KronCore2,
    /// As [`Down`](Self::Down), of a table: from ids.
    TableDown,
    /// As [`Up`](Self::Up), of a table: to features.
    TableUp,
    /// What stands in the place of the model's own tensor: `modules_to_save` of PEFT.
    Whole,
}

impl Role {
    /// How names of such tensors end, for an error.
    pub(super) fn ending(self) -> &'static str {
        ENDINGS.iter().find(|(_, role)| *role == self).map_or("", |(ending, _)| *ending)
    }
}

/// A tensor of an adapter.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    /// The part of a pipeline of diffusers; `None`: the UNet or the transformer, or the only model.
    pub(super) part: Option<&'static str>,
    /// The module, or with [`Role::Whole`] the tensor, by the model's or another name.
    pub(super) module: String,
    pub(super) role: Role,
}

/// The endings of names, the longer before those that they end in.
const ENDINGS: [(&str, Role); 33] = [
    (".lora_A.default.weight", Role::Down),
    (".lora_B.default.weight", Role::Up),
    (".lora_A.weight", Role::Down),
    (".lora_B.weight", Role::Up),
    (".lora_down.weight", Role::Down),
    (".lora_up.weight", Role::Up),
    (".lora_linear_layer.down.weight", Role::Down),
    (".lora_linear_layer.up.weight", Role::Up),
    (".lora.down.weight", Role::Down),
    (".lora.up.weight", Role::Up),
    (".weight.lora_a", Role::Down),
    (".weight.lora_b", Role::Up),
    (".lora_mid.weight", Role::Mid),
    (".alpha", Role::Alpha),
    (".dora_scale", Role::DoraScale),
    (".hada_w1_a", Role::HadaLeft1),
    (".hada_w1_b", Role::HadaRight1),
    (".hada_w2_a", Role::HadaLeft2),
    (".hada_w2_b", Role::HadaRight2),
    (".hada_t1", Role::HadaCore1),
    (".hada_t2", Role::HadaCore2),
    (".lokr_w1", Role::Kron1),
    (".lokr_w1_a", Role::KronLeft1),
    (".lokr_w1_b", Role::KronRight1),
    (".lokr_w2", Role::Kron2),
    (".lokr_w2_a", Role::KronLeft2),
    (".lokr_w2_b", Role::KronRight2),
    (".lokr_t2", Role::KronCore2),
    (".lora_magnitude_vector.weight", Role::Magnitude),
    (".lora_magnitude_vector", Role::Magnitude),
    (".lora_magnitude_vector.default", Role::Magnitude),
    (".lora_embedding_A", Role::TableDown),
    (".lora_embedding_B", Role::TableUp),
];

/// What is in a name of another kind of adapter.
const REFUSED: [(&str, &str); 5] = [
    (".oft_", "OFT"),
    (".lora_B.bias", "`lora_bias`"),
    (".trainable_tokens_delta", "`trainable_token_indices`"),
    (".ia3_l", "IA3"),
    (".vera_lambda", "VeRA"),
];

/// How the names of a part begin.
const PARTS: [(&str, Option<&str>); 15] = [
    ("lora_unet_", None),
    ("lora_transformer_", None),
    ("lora_te1_", Some("text_encoder")),
    ("lora_te2_", Some("text_encoder_2")),
    ("lora_te_", Some("text_encoder")),
    ("base_model.model.", None),
    ("text_encoders.clip_l.transformer.", Some("text_encoder")),
    ("text_encoders.clip_g.transformer.", Some("text_encoder_2")),
    ("text_encoders.t5xxl.transformer.", Some("text_encoder_2")),
    ("text_encoder.", Some("text_encoder")),
    ("text_encoder_2.", Some("text_encoder_2")),
    ("unet.", None),
    ("transformer.", None),
    ("model.diffusion_model.", None),
    ("diffusion_model.", None),
];

/// Which layers adapters of diffusers before PEFT name by those of their processors.
const OLDER: [(&str, &str); 4] =
    [("to_q", "q_proj"), ("to_k", "k_proj"), ("to_v", "v_proj"), ("to_out", "out_proj")];

impl Key {
    /// Reads the name of a tensor; `in_parts`: of an adapter for the parts of a pipeline. The error is the kind of
    /// adapter that it is instead, or nothing where no kind is known.
    pub(super) fn read(name: &str, in_parts: bool) -> Result<Self, Option<&'static str>> {
        if let Some((_, kind)) = REFUSED.iter().find(|(part, _)| name.contains(*part)) {
            return Err(Some(*kind));
        }
        if [".diff", ".diff_b"].iter().any(|end| name.ends_with(*end)) {
            return Err(Some("differences of whole tensors"));
        }
        let (part, rest) = match in_parts {
            true => {
                let known = PARTS
                    .iter()
                    .find_map(|(start, part)| Some((*part, name.strip_prefix(*start)?)));
                known.unwrap_or((None, name))
            }
            false => (None, name.strip_prefix("base_model.model.").unwrap_or(name)),
        };
        if let Some(key) = of_processor(rest, part) {
            return Ok(key);
        }
        let ending = |(end, role): &(&str, Role)| Some((rest.strip_suffix(*end)?, *role));
        if let Some((module, role)) = ENDINGS.iter().find_map(ending) {
            return Ok(Self { part, module: module.replace(".base_layer", ""), role });
        }
        // As diffusers named them before PEFT.
        for (end, role) in [("_lora.down.weight", Role::Down), ("_lora.up.weight", Role::Up)] {
            if let Some(module) = rest.strip_suffix(end) {
                return Ok(Self { part, module: older(module, part.is_some()), role });
            }
        }
        match name.starts_with("base_model.model.") {
            true => Ok(Self { part, module: rest.replace(".base_layer", ""), role: Role::Whole }),
            false => Err(None),
        }
    }
}

/// What the processors of XLabs's FLUX are called, and the modules that they are about, by the names of FLUX's makers.
/// The rows of the last are the first of `linear1`.
const PROCESSORS: [(&str, &str); 6] = [
    (".processor.qkv_lora1", ".img_attn.qkv"),
    (".processor.qkv_lora2", ".txt_attn.qkv"),
    (".processor.proj_lora1", ".img_attn.proj"),
    (".processor.proj_lora2", ".txt_attn.proj"),
    (".processor.proj_lora", ".linear2"),
    (".processor.qkv_lora", ".qkv"),
];

/// A tensor of XLabs's LoRA of FLUX.
fn of_processor(name: &str, part: Option<&'static str>) -> Option<Key> {
    let ends = [(".down.weight", Role::Down), (".up.weight", Role::Up)];
    let (rest, role) =
        ends.into_iter().find_map(|(end, role)| Some((name.strip_suffix(end)?, role)))?;
    let (block, module) = PROCESSORS
        .iter()
        .find_map(|(theirs, module)| Some((rest.strip_suffix(*theirs)?, *module)))?;
    Some(Key { part, module: format!("{block}{module}"), role })
}

/// The layer of an older name: `attn1.processor.to_q` is `attn1.to_q`, in text encoders `q_proj`.
fn older(module: &str, in_text: bool) -> String {
    let module = module.replace(".processor.", ".");
    match OLDER.iter().find(|(name, _)| module.ends_with(&format!(".{name}"))) {
        Some((name, text)) if in_text => format!("{}{text}", &module[..module.len() - name.len()]),
        Some(("to_out", _)) => format!("{module}.0"),
        _ => module,
    }
}

/// A name without what tells modules apart: Kohya's scripts write `_` for `.`.
pub(in crate::weights) fn flat(name: &str) -> String {
    name.replace('.', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_kinds_are_read() {
        let q = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
        for (name, part, module, role) in [
            ("lora_unet_a_0_b.lora_down.weight".to_owned(), None, "a_0_b", Role::Down),
            ("lora_te1_a.alpha".to_owned(), Some("text_encoder"), "a", Role::Alpha),
            (format!("unet.{q}.lora_A.weight"), None, q, Role::Down),
            (format!("unet.{q}.lora.up.weight"), None, q, Role::Up),
            (
                format!("{}_lora.down.weight", q.replace("to_q", "processor.to_q")),
                None,
                q,
                Role::Down,
            ),
            ("unet.x.processor.to_out_lora.up.weight".to_owned(), None, "x.to_out.0", Role::Up),
            (
                "text_encoder.x.to_out_lora.up.weight".to_owned(),
                Some("text_encoder"),
                "x.out_proj",
                Role::Up,
            ),
            (
                "double_blocks.3.processor.qkv_lora2.up.weight".to_owned(),
                None,
                "double_blocks.3.txt_attn.qkv",
                Role::Up,
            ),
            (
                "single_blocks.3.processor.proj_lora.down.weight".to_owned(),
                None,
                "single_blocks.3.linear2",
                Role::Down,
            ),
            ("lora_unet_a.lokr_w1_b".to_owned(), None, "a", Role::KronRight1),
            (
                "diffusion_model.double_blocks.0.a.lora_B.weight".to_owned(),
                None,
                "double_blocks.0.a",
                Role::Up,
            ),
        ] {
            let key = Key::read(&name, true).unwrap();
            assert_eq!(key, Key { part, module: module.to_owned(), role }, "{name}");
        }
        for (name, module, role) in [
            (
                "base_model.model.transformer.h.0.c_attn.lora_A.weight",
                "transformer.h.0.c_attn",
                Role::Down,
            ),
            ("base_model.model.lm_head.weight", "lm_head.weight", Role::Whole),
            ("base_model.model.x.base_layer.bias", "x.bias", Role::Whole),
            ("blk.0.attn_q.weight.lora_a", "blk.0.attn_q", Role::Down),
        ] {
            let key = Key::read(name, false).unwrap();
            assert_eq!(key, Key { part: None, module: module.to_owned(), role }, "{name}");
        }
        assert_eq!(Key::read("lora_unet_a.oft_blocks", true), Err(Some("OFT")));
        assert_eq!(Key::read("model.embed_tokens.weight", false), Err(None));
    }
}
