"""Makes the tiny random checkpoints in this folder and the numbers the Python reference computes with them.

    python3.11 -m venv venv
    venv/bin/pip install transformers==4.57.6 torch==2.9.1 numpy==2.4.6 safetensors==0.8.0 tokenizers==0.22.2 pyyaml
    venv/bin/python tests/goldens/make.py            # all of them
    venv/bin/python tests/goldens/make.py llama-tiny # only these

GGUF files are written by llama.cpp's own converter, which `fetch_llama_cpp.py` fetches the first time that one is wanted.

A new family is an entry in GOLDENS; `docs/goldens.md` says what the fields of a folder mean.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from transformers import (
    ApertusConfig,
    ArceeConfig,
    CohereConfig,
    Ernie4_5Config,
    Exaone4Config,
    FalconConfig,
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    Glm4Config,
    GlmConfig,
    GPT2Config,
    GPTNeoXConfig,
    GraniteConfig,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    NemotronConfig,
    Olmo2Config,
    Olmo3Config,
    Phi3Config,
    PhiConfig,
    Qwen2Config,
    Qwen2MoeConfig,
    Qwen3Config,
    Qwen3MoeConfig,
    SmolLM3Config,
    Starcoder2Config,
)

import reference
import tiny_tokenizer


@dataclass
class Golden:
    name: str
    config: type
    options: dict
    # Keys of config.json to change after saving (None becomes null) and to leave out, as real repositories do.
    config_json: dict = field(default_factory=dict)
    absent: tuple = ()
    # safetensors, sharded (two of them), bin (pytorch_model.bin), or None: only the GGUF files are kept.
    weights: str | None = "safetensors"
    dtype: str = "float32"
    # f32 (model.gguf) and q8_0-split (two parts), both as the converter writes them; experts-apart: a tensor for
    # each expert, as in files of 2023; blocks: `block_types` below.
    gguf: tuple = ("f32",)
    # What of the model GGUF files cannot say, as the error of `save` names it.
    refused: str | None = None
    # Tensor name endings and the ggml block type each gets in blocks.gguf.
    block_types: dict = field(default_factory=dict)
    generation_config: dict | None = None
    # Options that must change the logits when set to these values: proof that the golden sees them.
    matters: dict = field(default_factory=dict)
    # Saved as the base model alone, whose tensors' names have no prefix.
    base_model: bool = False
    # How wide the random numbers are: attention must be peaked for positions to matter. With tied heads, small
    # embeddings and a large gain of the last norm keep a model from repeating what it was told.
    norm_mean: float = 1.0
    attention_gain: float = 1.7
    embedding_gain: float = 0.5
    logit_gain: float = 1.0
    # What transformers takes by default is sdpa; eager adds Falcon's ALiBi twice.
    attention: str = "eager"
    # By how much the best logit leads the second at every greedy step at least, so that rounding cannot change an id.
    margin: float = 0.02
    # Beyond so many tokens the reference's cached and uncached results differ (see docs/goldens.md).
    cache_exact_up_to: int | None = None
    # Off where the reference is wrong with a cache: everything is then computed without one.
    cached: bool = True


TINY = dict(
    vocab_size=tiny_tokenizer.VOCAB,
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=8,
    max_position_embeddings=128,
    rope_theta=1000.0,
    rms_norm_eps=1e-2,
    tie_word_embeddings=True,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)

IDS = ["bos_token_id", "eos_token_id", "pad_token_id"]


def llama(name, **golden):
    options = TINY | golden.pop("options", {})
    golden.setdefault("matters", {"rope_theta": 10000.0, "rms_norm_eps": 1e-6})
    return Golden(name, LlamaConfig, options, **golden)


def family(name, config, options, **golden):
    golden.setdefault("matters", {"rope_theta": 10000.0})
    return Golden(name, config, TINY | options, **golden)


def falcon(name, options=None, **golden):
    base = {key: TINY[key] for key in ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads"] + IDS}
    golden.setdefault("matters", {"rope_theta": 100.0, "layer_norm_epsilon": 0.1})
    golden.setdefault("attention_gain", 3.0)
    golden.setdefault("embedding_gain", 0.05)
    golden.setdefault("logit_gain", 20.0)
    return Golden(name, FalconConfig, base | {"tie_word_embeddings": True} | (options or {}), **golden)


def gpt2(name, options=None, **golden):
    base = {key: TINY[key] for key in ["vocab_size", "num_hidden_layers", "num_attention_heads"] + IDS}
    golden.setdefault("embedding_gain", 0.2)
    return Golden(name, GPT2Config, base | dict(tie_word_embeddings=False, n_embd=32, n_positions=96, layer_norm_epsilon=1e-2) | (options or {}), **golden)


def plain(name, config, options, **golden):
    """A family whose heads all have their own keys and values, and whose config has no field for it."""
    base = {key: value for key, value in TINY.items() if key not in ["num_key_value_heads", "head_dim", "rms_norm_eps"]}
    return Golden(name, config, base | dict(layer_norm_eps=1e-2, tie_word_embeddings=False) | options, **golden)


def mixtral(name, weights="safetensors", gguf=("f32",), refused=None, **options):
    sizes = dict(intermediate_size=24, num_local_experts=5, num_experts_per_tok=2, sliding_window=None, tie_word_embeddings=False)
    matters = {"num_experts_per_tok": 1} | ({"sliding_window": None} if "sliding_window" in options else {})
    return family(name, MixtralConfig, sizes | options, weights=weights, gguf=gguf, refused=refused, matters=matters, logit_gain=1.5)


def moe(name, config, options, **golden):
    sizes = dict(intermediate_size=40, moe_intermediate_size=16, num_experts=6, num_experts_per_tok=2, tie_word_embeddings=False)
    golden.setdefault("matters", {"num_experts_per_tok": 1})
    golden.setdefault("logit_gain", 2.5)
    return family(name, config, sizes | options, **golden)


def scaled(name, scaling, original=None, **golden):
    """Llama with 16 numbers a head, so that every range of a rope scaling has frequencies in it."""
    options = {"head_dim": 16, "rope_theta": 500.0, "rope_scaling": scaling} | golden.pop("options", {})
    return llama(f"llama-rope-{name}-tiny", options=options, matters={"rope_scaling": None}, **golden)


GOLDENS = [
    # Llama 2: every head has its keys and values, the output head its own weights.
    llama(
        "llama-tiny",
        options=dict(hidden_size=48, intermediate_size=80, num_key_value_heads=4, head_dim=12, tie_word_embeddings=False),
    ),
    # Llama 3.2, SmolLM2: grouped queries, tied head.
    llama("llama-gqa-tiny"),
    llama("llama-head-dim-tiny", options=dict(hidden_size=40, head_dim=14)),
    llama("llama-bias-tiny", options=dict(attention_bias=True, mlp_bias=True)),
    # Nothing is a multiple of anything; one key-value head for all.
    llama(
        "llama-odd-tiny",
        options=dict(
            hidden_size=45,
            intermediate_size=77,
            num_hidden_layers=3,
            num_attention_heads=5,
            num_key_value_heads=1,
            head_dim=6,
            vocab_size=tiny_tokenizer.VOCAB + 5,
        ),
    ),
    scaled("linear", {"type": "linear", "factor": 4.0}, config_json={"rope_scaling": {"type": "linear", "factor": 4.0}}),
    # llama.cpp has no such scaling and its converter drops it.
    scaled(
        "dynamic",
        {"rope_type": "dynamic", "factor": 4.0},
        options=dict(max_position_embeddings=24),
        gguf=(),
        refused='`ropes[0].scaling` is {"Dynamic"',
        cache_exact_up_to=24,
    ),
    scaled(
        "llama3",
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 3.0,
            "original_max_position_embeddings": 24,
        },
    ),
    scaled(
        "yarn",
        {
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 32,
            "beta_fast": 4.0,
            "beta_slow": 0.5,
        },
    ),
    # What of YaRN the converter drops.
    scaled(
        "yarn-mscale",
        {
            "rope_type": "yarn",
            "factor": 6.0,
            "original_max_position_embeddings": 20,
            "mscale": 1.5,
            "mscale_all_dim": 0.5,
            "truncate": False,
            "beta_fast": None,
            "attention_factor": None,
        },
        gguf=(),
        refused="`ropes[0].scaling.Yarn.truncate` is false",
    ),
    # The converter writes these factors for Phi-3 only.
    scaled(
        "longrope",
        {
            "rope_type": "longrope",
            "short_factor": [1.0, 1.1, 1.2, 1.3, 1.5, 1.7, 1.9, 2.1],
            "long_factor": [1.0, 1.5, 2.0, 3.0, 4.5, 6.0, 8.0, 11.0],
        },
        options=dict(original_max_position_embeddings=24, max_position_embeddings=96),
        gguf=(),
        cache_exact_up_to=24,
    ),
    # Every optional field is null, and generation ends at several ids.
    llama(
        "llama-nulls-tiny",
        options=dict(num_key_value_heads=4, eos_token_id=[2, 3]),
        config_json=dict(
            num_key_value_heads=None,
            head_dim=None,
            rope_scaling=None,
            pad_token_id=None,
            pretraining_tp=None,
            torch_dtype=None,
            dtype=None,
        ),
        generation_config={"bos_token_id": 1, "eos_token_id": [2, 3], "do_sample": False},
        gguf=(),
    ),
    llama("llama-sharded-tiny", weights="sharded", gguf=()),
    # As repositories of 2023 are: pickled halves, a short config.json; and another activation.
    llama(
        "llama-bin-tiny",
        options=dict(num_key_value_heads=4, rope_theta=10000.0, rms_norm_eps=1e-6, hidden_act="gelu_pytorch_tanh"),
        absent=(
            "num_key_value_heads",
            "head_dim",
            "rope_theta",
            "rope_scaling",
            "attention_bias",
            "attention_dropout",
            "mlp_bias",
            "rms_norm_eps",
            "pretraining_tp",
        ),
        weights="bin",
        dtype="float16",
        gguf=(),
        matters={"rope_theta": 1000.0, "hidden_act": "silu"},
        refused='`layers[0].mlp.Gated.activation` is "GeluTanh"',
    ),
    # Rows of 256 in the down projection: what K blocks need.
    llama("llama-bf16-tiny", options=dict(intermediate_size=256), dtype="bfloat16", gguf=()),
    llama("llama-q8_0-tiny", weights=None, gguf=("q8_0-split",)),
    # Each ggml block type that candle reads; K blocks hold 256 weights of a row.
    llama(
        "llama-blocks-tiny",
        options=dict(hidden_size=256, intermediate_size=256, head_dim=16),
        embedding_gain=0.1,
        weights=None,
        gguf=("blocks",),
        block_types={
            "embed_tokens": "Q4_K",
            "0.self_attn.q_proj": "Q5_K",
            "0.self_attn.k_proj": "Q3_K",
            "0.self_attn.v_proj": "Q6_K",
            "0.self_attn.o_proj": "Q5_0",
            "0.mlp.gate_proj": "Q4_K",
            "0.mlp.up_proj": "Q2_K",
            "0.mlp.down_proj": "Q3_K",
            "1.self_attn.q_proj": "Q4_0",
            "1.self_attn.k_proj": "Q4_1",
            "1.self_attn.v_proj": "F16",
            "1.self_attn.o_proj": "Q5_1",
            "1.mlp.gate_proj": "Q2_K",
            "1.mlp.up_proj": "Q8_0",
            "1.mlp.down_proj": "Q6_K",
        },
    ),
    # Mistral 7B v0.1: a window shorter than the prompts, which its GGUF files do not tell. Nemo: heads of their own size.
    family("mistral-tiny", MistralConfig, dict(sliding_window=7), matters={"sliding_window": None}, gguf=(), refused="layer 0 attends to a sliding window of 7 tokens"),
    family("mistral-nemo-tiny", MistralConfig, dict(sliding_window=None, head_dim=14, hidden_size=40)),
    # Windows from the second layer on; and YaRN, as the long Qwen2.5 have it.
    family(
        "qwen2-tiny",
        Qwen2Config,
        dict(use_sliding_window=True, sliding_window=7, max_window_layers=1, num_hidden_layers=3),
        matters={"sliding_window": 100},
        gguf=(),
        refused="layer 1 attends to a sliding window of 7 tokens",
    ),
    family(
        "qwen2-yarn-tiny",
        Qwen2Config,
        dict(
            sliding_window=7,
            tie_word_embeddings=False,
            rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 24},
        ),
        matters={"rope_scaling": None},
    ),
    # Two of five experts; and the layout of 2023, a tensor for each expert.
    mixtral("mixtral-tiny"),
    mixtral("mixtral-apart-tiny", weights=None, gguf=("experts-apart",)),
    mixtral("mixtral-window-tiny", sliding_window=7, num_local_experts=4, gguf=(), refused="layer 0 attends to a sliding window of 7 tokens"),
    # Experts in blocks, those of one matrix in other blocks than the rest.
    family(
        "mixtral-blocks-tiny",
        MixtralConfig,
        dict(intermediate_size=32, num_local_experts=5, num_experts_per_tok=2, sliding_window=None, tie_word_embeddings=False),
        matters={"num_experts_per_tok": 1},
        logit_gain=1.5,
        weights=None,
        gguf=("blocks",),
        block_types={".w2.": "Q8_0", ".experts.": "Q4_0"},
    ),
    moe(
        "qwen2-moe-blocks-tiny",
        Qwen2MoeConfig,
        dict(shared_expert_intermediate_size=32, moe_intermediate_size=32),
        weights=None,
        gguf=("blocks",),
        block_types={"experts.": "Q8_0", "shared_expert.": "Q4_1", "self_attn.o_proj": "Q8_0"},
    ),
    moe(
        "qwen3-moe-blocks-tiny",
        Qwen3MoeConfig,
        dict(norm_topk_prob=True, moe_intermediate_size=32),
        matters={"norm_topk_prob": False},
        weights=None,
        gguf=("blocks",),
        block_types={".down_proj": "Q5_0", ".experts.": "Q8_0"},
    ),
    moe("qwen2-moe-tiny", Qwen2MoeConfig, dict(shared_expert_intermediate_size=20)),
    # With windows the reference's cached and uncached results differ: its mask does not fit the shortened cache.
    moe(
        "qwen2-moe-window-tiny",
        Qwen2MoeConfig,
        dict(shared_expert_intermediate_size=20, use_sliding_window=True, sliding_window=7),
        matters={"sliding_window": 100},
        cached=False,
        gguf=(),
        refused="layer 0 attends to a sliding window of 7 tokens",
    ),
    # Layers without experts, by either field; shares of the chosen; no biases.
    moe(
        "qwen2-moe-mixed-tiny",
        Qwen2MoeConfig,
        dict(
            shared_expert_intermediate_size=20,
            num_hidden_layers=4,
            decoder_sparse_step=2,
            mlp_only_layers=[3],
            norm_topk_prob=True,
            qkv_bias=False,
        ),
        matters={"norm_topk_prob": False},
        gguf=(),
        refused='`layers[0].attention.qkv_bias` is "Absent"',
    ),
    moe("qwen3-moe-tiny", Qwen3MoeConfig, dict(norm_topk_prob=True), matters={"norm_topk_prob": False}),
    moe(
        "qwen3-moe-mixed-tiny",
        Qwen3MoeConfig,
        dict(mlp_only_layers=[0], attention_bias=True, use_sliding_window=True, sliding_window=7),
        matters={"norm_topk_prob": True, "sliding_window": 100},
        gguf=(),
        refused='a bias for "attn_output"',
    ),
    family("qwen3-tiny", Qwen3Config, dict(head_dim=10), embedding_gain=0.1, logit_gain=5.0),
    family("qwen3-bias-tiny", Qwen3Config, dict(attention_bias=True, tie_word_embeddings=False), gguf=(), refused='a bias for "attn_output"'),
    # The 4k models: plain rope, a window.
    family("phi3-tiny", Phi3Config, dict(sliding_window=9, tie_word_embeddings=False), gguf=()),
    # The 128k models: other factors, and a new start, beyond the original context.
    family(
        "phi3-longrope-tiny",
        Phi3Config,
        dict(
            max_position_embeddings=96,
            original_max_position_embeddings=24,
            rope_scaling={"type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.5], "long_factor": [1.0, 2.0, 4.0, 9.0]},
        ),
        attention="sdpa",
        cache_exact_up_to=24,
        embedding_gain=0.1,
        logit_gain=5.0,
        matters={"original_max_position_embeddings": 64},
    ),
    family(
        "phi3-gguf-tiny",
        Phi3Config,
        dict(sliding_window=9, tie_word_embeddings=False, original_max_position_embeddings=128),
        weights=None,
    ),
    # The converter drops heads that are not tied, and knows no other base than 10,000.
    family(
        "gemma-gguf-tiny",
        GemmaConfig,
        dict(head_dim=10, rope_theta=10000.0),
        norm_mean=0.0,
        embedding_gain=0.05,
        logit_gain=20.0,
        matters={"rms_norm_eps": 1e-6},
    ),
    # The class reads `hidden_act` and not, as later ones, `hidden_activation`.
    family(
        "gemma-tiny",
        GemmaConfig,
        dict(head_dim=10, tie_word_embeddings=False, hidden_act="relu", hidden_activation="silu"),
        norm_mean=0.0,
        embedding_gain=0.1,
        gguf=(),
        matters={"rope_theta": 10000.0, "hidden_act": "gelu"},
        refused="`tie_word_embeddings` is false",
    ),
    # Caps low enough to be felt, the first of every two layers sliding. GGUF files scale queries by the size of heads, and know
    # one base of ropes.
    family(
        "gemma2-tiny",
        Gemma2Config,
        dict(
            head_dim=10,
            num_hidden_layers=3,
            sliding_window=7,
            rope_theta=10000.0,
            query_pre_attn_scalar=10,
            attn_logit_softcapping=3.0,
            final_logit_softcapping=20.0,
        ),
        norm_mean=0.0,
        embedding_gain=0.05,
        logit_gain=20.0,
        matters={"sliding_window": 100, "attn_logit_softcapping": None, "final_logit_softcapping": None},
    ),
    # Caps are null: none. Another scale of queries.
    family(
        "gemma2-uncapped-tiny",
        Gemma2Config,
        dict(
            sliding_window=7,
            query_pre_attn_scalar=24,
            tie_word_embeddings=False,
            attn_logit_softcapping=None,
            final_logit_softcapping=None,
            layer_types=["full_attention", "sliding_attention"],
        ),
        norm_mean=0.0,
        embedding_gain=0.1,
        gguf=(),
        matters={"query_pre_attn_scalar": 8, "sliding_window": 100},
        refused="`tie_word_embeddings` is false",
    ),
    # 7B: one key-value head. The converter knows no other base than 10,000.
    falcon("falcon-7b-tiny", config_json={"num_kv_heads": 1}),
    # 40B: groups, a norm for each half.
    falcon("falcon-40b-tiny", dict(new_decoder_architecture=True, num_kv_heads=2, bias=False), margin=0.08),
    # RW: positions by ALiBi, which GGUF files cannot say; six heads, no power of two; biases, no parallel halves.
    falcon(
        "falcon-rw-tiny",
        dict(
            hidden_size=36,
            ffn_hidden_size=50,
            num_attention_heads=6,
            alibi=True,
            multi_query=False,
            parallel_attn=False,
            bias=True,
            activation="gelu_new",
        ),
        gguf=(),
        matters={"alibi": False},
        attention="sdpa",
        refused="`alibi` is true",
    ),
    # 11B: groups, one norm for both halves.
    falcon("falcon-11b-tiny", dict(new_decoder_architecture=True, num_kv_heads=2, num_ln_in_parallel_attn=1, rope_theta=1000.0), gguf=()),
    family(
        "gemma3-tiny",
        Gemma3TextConfig,
        dict(
            tie_word_embeddings=False,
            num_hidden_layers=4,
            sliding_window=7,
            query_pre_attn_scalar=20,
            sliding_window_pattern=3,
            rope_theta=5000.0,
            rope_local_base_freq=100.0,
            rope_scaling={"rope_type": "linear", "factor": 4.0},
        ),
        norm_mean=0.0,
        matters={"sliding_window": 100, "rope_local_base_freq": 10000.0, "query_pre_attn_scalar": 8},
        gguf=(),
        embedding_gain=0.1,
        refused="`layers[0].attention.scale`",
    ),
    # As GGUF files know it: every sixth layer sees everything, heads scale queries, bases are 1,000,000 and 10,000.
    family(
        "gemma3-gguf-tiny",
        Gemma3TextConfig,
        dict(
            hidden_size=24,
            intermediate_size=32,
            num_hidden_layers=7,
            sliding_window=7,
            query_pre_attn_scalar=8,
            rope_theta=1000000.0,
            rope_scaling={"rope_type": "linear", "factor": 8.0},
        ),
        norm_mean=0.0,
        embedding_gain=0.05,
        logit_gain=20.0,
        matters={"sliding_window": 100},
    ),
    family("starcoder2-full-tiny", Starcoder2Config, dict(sliding_window=None, tie_word_embeddings=False)),
    # What the real ones have, off.
    family(
        "starcoder2-bare-tiny",
        Starcoder2Config,
        dict(sliding_window=7, use_bias=False),
        embedding_gain=0.1,
        logit_gain=5.0,
        matters={"sliding_window": None},
        gguf=(),
        refused='`layers[0].attention.qkv_bias` is "Absent"',
    ),
    family("olmo2-bias-tiny", Olmo2Config, dict(attention_bias=True, tie_word_embeddings=False), gguf=(), refused='a bias for "attn_output"'),
    family(
        "granite-bias-tiny",
        GraniteConfig,
        dict(attention_bias=True, mlp_bias=True, embedding_multiplier=1.0, attention_multiplier=0.3, tie_word_embeddings=True),
        embedding_gain=0.1,
        logit_gain=5.0,
        gguf=(),
    ),
    # Layers that do not rotate have the window; they are named one by one.
    family(
        "smollm3-window-tiny",
        SmolLM3Config,
        dict(use_sliding_window=True, sliding_window=7, no_rope_layers=[1, 0], tie_word_embeddings=False),
        matters={"no_rope_layers": [1, 1]},
        gguf=(),
        refused="layer 1 attends to a sliding window of 7 tokens",
    ),
    family(
        "smollm3-tiny",
        SmolLM3Config,
        dict(num_hidden_layers=4, no_rope_layer_interval=2),
        matters={"no_rope_layers": [1, 1, 1, 1]},
        gguf=(),
        refused='`layers[1].attention.positions` is "None"',
    ),
    family("smollm3-four-tiny", SmolLM3Config, dict(num_hidden_layers=4)),
    family("olmo2-tiny", Olmo2Config, dict(tie_word_embeddings=False)),
    family(
        "granite-tiny",
        GraniteConfig,
        dict(
            tie_word_embeddings=False,embedding_multiplier=3.0, attention_multiplier=0.2, residual_multiplier=0.6, logits_scaling=0.5),
        matters={"embedding_multiplier": 1.0, "residual_multiplier": 1.0, "attention_multiplier": 0.35},
        embedding_gain=0.1,
    ),
    gpt2("gpt2-tiny", config_json={"n_ctx": 96}, matters={"layer_norm_epsilon": 1e-6}),
    # The repository of a base model; each layer scales its scores otherwise.
    gpt2(
        "gpt2-base-tiny",
        dict(tie_word_embeddings=True, n_inner=50, n_embd=40, num_hidden_layers=3, scale_attn_by_inverse_layer_idx=True, activation_function="relu"),
        matters={"scale_attn_by_inverse_layer_idx": False},
        logit_gain=5.0,
        base_model=True,
        gguf=(),
        refused='`layers[0].mlp.Plain.activation` is "Relu"',
    ),
    # The converter knows no other base than 10,000.
    plain("gpt-neox-tiny", GPTNeoXConfig, dict(rotary_pct=0.5, rotary_emb_base=10000), matters={"use_parallel_residual": False}),
    plain(
        "gpt-neox-sequential-tiny",
        GPTNeoXConfig,
        dict(use_parallel_residual=False, rotary_pct=1.0, rotary_emb_base=500, attention_bias=False, hidden_act="gelu_new"),
        matters={"use_parallel_residual": True, "rope_theta": 100000},
        gguf=(),
        refused='`layers[0].mlp.Plain.activation` is "GeluTanh"',
    ),
    # The best logits are scaled, by more than real models do, to be told apart.
    plain(
        "cohere-tiny",
        CohereConfig,
        dict(num_key_value_heads=2, logit_scale=2.5, tie_word_embeddings=True),
        matters={"rope_theta": 10000.0, "logit_scale": 1.0, "layer_norm_eps": 1e-6},
        embedding_gain=0.1,
        logit_gain=2.0,
    ),
    # Norms of heads, which llama.cpp looks for in models of 64 layers.
    plain(
        "cohere-norms-tiny",
        CohereConfig,
        dict(num_key_value_heads=2, logit_scale=2.5, tie_word_embeddings=True, use_qk_norm=True),
        matters={"rope_theta": 10000.0},
        embedding_gain=0.1,
        logit_gain=2.0,
        gguf=(),
        refused="`layers[0].attention.qk_norm`",
    ),
    # What the converter writes whatever the config says: this epsilon and base, and the hidden size as the context.
    family(
        "glm-tiny",
        GlmConfig,
        dict(hidden_size=80, head_dim=20, intermediate_size=32, rms_norm_eps=1e-5, rope_theta=10000.0, max_position_embeddings=80),
        matters={"partial_rotary_factor": 1.0},
        embedding_gain=0.1,
        logit_gain=5.0,
    ),
    family(
        "glm4-tiny",
        Glm4Config,
        dict(head_dim=12, tie_word_embeddings=False),
        matters={"partial_rotary_factor": 1.0, "rope_theta": 10000.0},
    ),
    # YaRN on the last of the four layers alone.
    family(
        "olmo3-tiny",
        Olmo3Config,
        dict(
            num_hidden_layers=4,
            sliding_window=7,
            tie_word_embeddings=False,
            rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32, "beta_fast": 4.0, "beta_slow": 0.5},
        ),
        matters={"sliding_window": 100, "rope_scaling": None},
    ),
    family(
        "olmo3-bias-tiny",
        Olmo3Config,
        dict(attention_bias=True, sliding_window=7, layer_types=["full_attention", "sliding_attention"], tie_word_embeddings=False),
        matters={"sliding_window": 100},
        gguf=(),
        refused='a bias for "attn_output"',
    ),
    # Activations with weights of their own.
    family(
        "apertus-tiny",
        ApertusConfig,
        dict(tie_word_embeddings=False, rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0, "original_max_position_embeddings": 24}),
        matters={"rope_theta": 10000.0, "rope_scaling": None},
        gguf=(),
        refused='no name for "layers.0.mlp.act.',
    ),
    llama("llama-prelu-tiny", options=dict(hidden_act="prelu"), gguf=(), refused='no name for "layers.0.mlp.act.', embedding_gain=0.1, logit_gain=5.0),
    family("arcee-tiny", ArceeConfig, dict(tie_word_embeddings=False)),
    family(
        "arcee-bias-tiny",
        ArceeConfig,
        dict(attention_bias=True, mlp_bias=True),
        embedding_gain=0.1,
        logit_gain=5.0,
        gguf=(),
        refused='a bias for "attn_output"',
    ),
    family("ernie4_5-tiny", Ernie4_5Config, dict(head_dim=12), embedding_gain=0.1, logit_gain=5.0),
    family(
        "ernie4_5-bias-tiny",
        Ernie4_5Config,
        dict(use_bias=True, tie_word_embeddings=False),
        matters={"rope_theta": 10000.0, "use_bias": False},
        gguf=(),
        refused='a bias for "ffn_',
    ),
    # As the model of 1.2B; and as that of 32B, which llama.cpp knows by its 64 layers.
    family("exaone4-tiny", Exaone4Config, dict(sliding_window=None, layer_types=["full_attention"] * 2), embedding_gain=0.1, logit_gain=5.0),
    family(
        "exaone4-window-tiny",
        Exaone4Config,
        dict(num_hidden_layers=4, sliding_window=7, sliding_window_pattern=3, tie_word_embeddings=False),
        matters={"rope_theta": 10000.0, "sliding_window": 100},
        gguf=(),
        refused="layer 0 attends to a sliding window of 7 tokens",
    ),
    plain(
        "nemotron-tiny",
        NemotronConfig,
        dict(num_key_value_heads=2, attention_bias=True, mlp_bias=True, norm_eps=1e-2),
        norm_mean=0.0,
        matters={"rope_theta": 10000.0, "partial_rotary_factor": 1.0, "norm_eps": 1e-6},
    ),
    plain(
        "nemotron-gelu-tiny",
        NemotronConfig,
        dict(num_key_value_heads=2, head_dim=12, hidden_act="gelu", norm_eps=1e-2),
        norm_mean=0.0,
        gguf=(),
        refused="`layers[0].mlp.Plain.activation`",
    ),
    plain("phi-tiny", PhiConfig, dict(rope_theta=10000.0, intermediate_size=128), matters={"partial_rotary_factor": 1.0}),
    plain(
        "phi-norms-tiny",
        PhiConfig,
        dict(qk_layernorm=True, num_key_value_heads=2, partial_rotary_factor=1.0),
        matters={"partial_rotary_factor": 0.5},
        gguf=(),
        refused="`layers[0].attention.qk_norm`",
    ),
]


def main(names):
    unknown = set(names) - {golden.name for golden in GOLDENS}
    if unknown:
        sys.exit(f"no such golden: {', '.join(sorted(unknown))}")
    for golden in GOLDENS:
        if not names or golden.name in names:
            reference.make(golden, Path(__file__).parent / golden.name)


if __name__ == "__main__":
    main(sys.argv[1:])
