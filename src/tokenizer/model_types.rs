//! The tokenizer classes of model types: transformers' `TOKENIZER_MAPPING_NAMES`.

use crate::tokenizer::class::Class;

impl Class {
    /// By `model_type` of a `config.json`, where no class is named: `TOKENIZER_MAPPING_NAMES`.
    pub(super) fn of_model(model_type: &str) -> Self {
        let is_one = |types: &str| types.split(' ').any(|name| name == model_type);
        let class = MODEL_TYPES.iter().find(|(types, _)| is_one(types));
        class.map_or(Self::Other, |&(_, class)| class)
    }
}

/// `model_type`s of a `config.json`, separated by spaces, and their class. Others have
/// [`Class::Other`], or no class at all.
const MODEL_TYPES: &[(&str, Class)] = &[
    ("albert nystromformer rembert yoso", Class::Albert),
    ("barthez", Class::Barthez),
    (
        "align bark bert blip bros chinese_clip convbert dpr electra ernie git grounding-dino layoutlm \
         layoutlmv2 lxmert megatron-bert mm-grounding-dino mobilebert nezha qdqbert realm retribert \
         squeezebert tvp vilt visual_bert",
        Class::Bert,
    ),
    ("big_bird", Class::BigBird),
    ("bloom", Class::Bloom),
    ("byt5", Class::ByT5),
    ("camembert", Class::Camembert),
    ("aimv2 clip clipseg groupvit omdet-turbo oneformer owlv2 owlvit xclip", Class::Clip),
    ("code_llama", Class::CodeLlama),
    ("aya_vision cohere cohere2", Class::Cohere),
    ("deberta", Class::Deberta),
    ("deberta-v2", Class::DebertaV2),
    ("distilbert", Class::DistilBert),
    ("fnet", Class::FNet),
    ("funnel", Class::Funnel),
    (
        "gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma shieldgemma2 siglip2 \
         t5gemma",
        Class::Gemma,
    ),
    (
        "blip-2 codegen dbrx emu3 exaone4 flex_olmo gpt2 gpt_bigcode gpt_neo gptj granite granitemoe \
         granitemoehybrid granitemoeshared instructblip instructblipvideo minimax olmo3 opt phi \
         starcoder2",
        Class::Gpt2,
    ),
    ("falcon_mamba gpt_neox mamba mamba2 mpt olmo olmo2 olmoe rwkv stablelm xlstm", Class::GptNeoX),
    ("herbert", Class::Herbert),
    ("layoutlmv3 lilt", Class::LayoutLmV3),
    (
        "arcee aria chameleon colpali deepseek_v2 deepseek_v3 deepseek_vl deepseek_vl_hybrid diffllama \
         ernie4_5 ernie4_5_moe idefics idefics2 idefics3 jamba janus jetmoe llama llama4 llama4_text \
         llava llava_next llava_next_video llava_onevision ministral mistral mistral3 mixtral mllama \
         paligemma persimmon phi3 phimoe video_llava vipllava zamba zamba2",
        Class::Llama,
    ),
    ("m2m_100", Class::M2m100),
    ("marian", Class::Marian),
    ("mbart", Class::MBart),
    ("mbart50", Class::MBart50),
    ("mpnet", Class::MpNet),
    ("nllb nllb-moe", Class::Nllb),
    ("openai-gpt", Class::OpenAiGpt),
    ("bigbird_pegasus pegasus pegasus_x", Class::Pegasus),
    ("plbart", Class::PlBart),
    (
        "colqwen2 internvl qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_moe \
         qwen3_next qwen3_omni_moe qwen3_vl qwen3_vl_moe",
        Class::Qwen2,
    ),
    ("reformer", Class::Reformer),
    (
        "bart blenderbot bridgetower clap data2vec-text ibert led longformer mega mra mvp roberta \
         roberta-prelayernorm",
        Class::Roberta,
    ),
    ("splinter", Class::Splinter),
    ("longt5 mt5 musicgen musicgen_melody pix2struct switch_transformers t5 umt5", Class::T5),
    ("whisper", Class::Whisper),
    ("data2vec-audio hubert wav2vec2 wav2vec2-bert wav2vec2-conformer", Class::Wav2Vec2Ctc),
    ("xglm", Class::Xglm),
    ("kosmos-2 metaclip_2 xlm-roberta xlm-roberta-xl xmod", Class::XlmRoberta),
    ("cpm xlnet", Class::XlNet),
];
