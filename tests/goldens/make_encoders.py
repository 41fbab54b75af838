"""Makes the tiny random encoders in `encoders/` and the numbers the Python reference computes with them.

    venv/bin/python tests/goldens/make_encoders.py            # all of them (packages: see make.py)
    venv/bin/python tests/goldens/make_encoders.py bert-tiny  # only these

A folder is one checkpoint with every head of its family: the heads' own tensors lie beside one base model's. NomicBERT is
no class of transformers; its reference is the small `Nomic` below, written after `modeling_hf_nomic_bert.py` of
nomic-ai/nomic-bert-2048. `docs/goldens.md` says what the files hold.
"""

import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BertConfig,
    CamembertConfig,
    DebertaV2Config,
    DistilBertConfig,
    ElectraConfig,
    Gemma3TextConfig,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

import encoder_tokenizers

torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "encoders"
LABELS = {0: "bad", 1: "good"}
HEADS = {
    "sequence": AutoModelForSequenceClassification,
    "token": AutoModelForTokenClassification,
    "spans": AutoModelForQuestionAnswering,
    "masked": AutoModelForMaskedLM,
}
VOCAB = encoder_tokenizers.VOCAB
TINY = dict(
    vocab_size=VOCAB,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=64,
    max_position_embeddings=64,
    layer_norm_eps=1e-3,
)
ROBERTA = TINY | dict(pad_token_id=1, bos_token_id=0, eos_token_id=2, type_vocab_size=1, max_position_embeddings=66)
SMALL = TINY | dict(intermediate_size=32)
DEBERTA = TINY | dict(
    relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"], norm_rel_ebd="layer_norm", share_att_key=True,
    position_biased_input=False, type_vocab_size=0, max_relative_positions=-1, pooler_hidden_size=32,
)
# name: config class, options, tokenizer, what else: bin (pickled), old (gamma and beta).
GOLDENS = {
    "bert-tiny": (BertConfig, TINY, "wordpiece", ""),
    "bert-old-tiny": (BertConfig, TINY | dict(hidden_act="gelu_new"), "wordpiece", "bin old"),
    "distilbert-tiny": (
        DistilBertConfig,
        dict(vocab_size=VOCAB, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=64),
        "wordpiece",
        "",
    ),
    "roberta-tiny": (RobertaConfig, ROBERTA, "bytes", ""),
    "xlm-roberta-tiny": (XLMRobertaConfig, ROBERTA, "unigram", ""),
    "camembert-tiny": (CamembertConfig, ROBERTA | dict(hidden_act="relu"), "unigram", ""),
    "electra-tiny": (ElectraConfig, TINY | dict(embedding_size=16), "wordpiece", ""),
    "albert-tiny": (
        AlbertConfig,
        TINY | dict(embedding_size=16, num_hidden_layers=4, num_hidden_groups=2, inner_group_num=2),
        "unigram",
        "",
    ),
    "mpnet-tiny": (MPNetConfig, TINY | dict(pad_token_id=1, bos_token_id=0, eos_token_id=2, max_position_embeddings=66), "wordpiece", ""),
    # Its class with `legacy` ties the wrong matrix unless nothing is to be tied.
    "deberta-v3-tiny": (DebertaV2Config, DEBERTA | dict(legacy=False, tie_word_embeddings=False), "unigram", ""),
    "deberta-v2-tiny": (
        DebertaV2Config,
        DEBERTA
        | dict(
            share_att_key=False, position_buckets=-1, max_relative_positions=12, norm_rel_ebd="none", type_vocab_size=2,
            position_biased_input=True, pos_att_type="c2p|p2c", conv_kernel_size=3, conv_act="gelu", embedding_size=16,
        ),
        "unigram",
        "",
    ),
    "modernbert-tiny": (
        ModernBertConfig,
        {key: value for key, value in TINY.items() if key != "layer_norm_eps"}
        | dict(
            num_hidden_layers=4, local_attention=8, global_attn_every_n_layers=3, classifier_pooling="mean", norm_eps=1e-3,
            global_rope_theta=1000.0, local_rope_theta=100.0, pad_token_id=0, reference_compile=False,
        ),
        "bytes",
        "",
    ),
    # A decoder whose tokens look both ways, as EmbeddingGemma; of the shape that GGUF files know.
    "gemma3-embedding-tiny": (
        Gemma3TextConfig,
        dict(
            vocab_size=VOCAB, hidden_size=24, intermediate_size=32, num_hidden_layers=7, num_attention_heads=4, num_key_value_heads=2,
            head_dim=8, max_position_embeddings=64, sliding_window=7, query_pre_attn_scalar=8, use_bidirectional_attention=True,
            pad_token_id=1, bos_token_id=0, eos_token_id=2,
        ),
        "bytes",
        "",
    ),
    # Vectors for distances in place of those for positions, in each class that has them.
    "bert-relative-tiny": (BertConfig, SMALL | dict(position_embedding_type="relative_key"), "wordpiece", ""),
    "electra-relative-tiny": (ElectraConfig, SMALL | dict(embedding_size=16, num_hidden_layers=1, position_embedding_type="relative_key_query"), "wordpiece", ""),
    "roberta-relative-tiny": (RobertaConfig, ROBERTA | SMALL | dict(num_hidden_layers=1, position_embedding_type="relative_key_query"), "bytes", ""),
    "albert-relative-tiny": (AlbertConfig, SMALL | dict(embedding_size=16, position_embedding_type="relative_key_query"), "unigram", ""),
    # What the other of the family has not: no bias of the decoder, others that are off there.
    "modernbert-bare-tiny": (
        ModernBertConfig,
        {key: value for key, value in SMALL.items() if key != "layer_norm_eps"}
        | dict(
            decoder_bias=False, norm_bias=True, attention_bias=True, mlp_bias=True, classifier_bias=True, classifier_activation="relu",
            local_attention=8, pad_token_id=0, reference_compile=False,
        ),
        "bytes",
        "",
    ),
    "nomic-tiny": (None, None, "wordpiece", ""),
}


def main(names):
    for name in names or GOLDENS:
        make(name, *GOLDENS[name])


def make(name, config_class, options, tokenizer, kind):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(sum(map(ord, name)))
    if config_class is None:
        models, config = {"hidden": Nomic()}, Nomic.CONFIG
    else:
        config = config_class(**options, num_labels=2, id2label=LABELS, label2id={v: k for k, v in LABELS.items()})
        config.architectures = ["TinyWithEveryHead"]
        models = with_shared_weights(config)
        config = json.loads(config.to_json_string(use_diff=True))
        if config.get("use_bidirectional_attention"):
            # The class halves what it reads.
            config["sliding_window"] = options["sliding_window"]
    weights = {}
    for head, model in models.items():
        model.eval()
        if head == "hidden" and len(models) > 1:
            continue
        for key, weight in model.state_dict().items():
            if not key.endswith("position_ids"):
                assert key not in weights or torch.equal(weights[key], weight), key
                weights[key] = weight.clone().contiguous()
    if "old" in kind:
        weights = {key.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): w for key, w in weights.items()}
    for tied in ["decoder.weight", "decoder.bias", "vocab_projector.weight", "generator_lm_head.weight"]:
        for key in [key for key in weights if key.endswith(tied)]:
            if not (name.startswith("modernbert") and key == "decoder.bias"):
                del weights[key]
    if "bin" in kind:
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    encoder_tokenizers.save(tokenizer, folder, config.get("max_position_embeddings", 64) - 2)

    types = config.get("type_vocab_size", 2 if config_class is BertConfig else 0)
    padding = config.get("pad_token_id", 0) or 0
    write_expected(folder, models, types, padding)
    print(name, sum(file.stat().st_size for file in folder.iterdir()) // 1000, "kB")


def write_expected(folder, models, types, padding):
    """What each model says about the cases, into expected.json and expected.safetensors."""
    cases = [
        {"name": "plain", "rows": rows([11], 1)},
        {"name": "long", "rows": rows([60], 2)},
        {"name": "batch", "rows": rows([7, 3, 12, 1], 3)},
    ]
    arrays = {}
    for case in cases:
        case["types"] = [[int(types > 1 and i > len(row) // 2) for i in range(len(row))] for row in case["rows"]]
        for row, (ids, type_ids) in enumerate(zip(case["rows"], case["types"])):
            for head, model in models.items():
                for key, value in run(head, model, ids, type_ids, types).items():
                    arrays[f"{case['name']}.{row}.{key}"] = value.contiguous()
    if len(models) > 1:
        check_padding(models["hidden"], cases[2]["rows"], padding)
    save_file(arrays, folder / "expected.safetensors")
    made_with = {package: version(package) for package in ["transformers", "torch"]}
    lines = ",\n  ".join(json.dumps(case) for case in cases)
    heads = [head for head in models if head != "hidden"]
    (folder / "expected.json").write_text(
        f'{{"made_with": {json.dumps(made_with)},\n "heads": {json.dumps(heads)},\n "padding_id": {padding},\n "cases": [\n  {lines}\n ]}}\n'
    )


def with_shared_weights(config):
    """One model per head; where two have a tensor of one name, it is the same."""
    models, known = {}, {}
    for head, auto in {**HEADS, "hidden": AutoModel}.items():
        if type(config) not in auto._model_mapping:
            continue
        options = {"attn_implementation": "eager"} if config.model_type != "deberta-v2" else {}
        model = auto.from_config(config, **options)
        prefix = "" if head != "hidden" else (model.base_model_prefix or "model") + "."
        for key, weight in model.named_parameters():
            key = prefix + key
            if key not in known or known[key].shape != weight.shape:
                known[key] = random(key, weight)
            weight.data = known[key].clone()
        model.tie_weights()
        models[head] = model
    return models


def random(name, weight):
    """Wide enough for attention to be peaked; no norm weight or bias is trivial."""
    noise = torch.randn(weight.shape)
    if weight.dim() == 1:
        return 1 + 0.2 * noise if "norm" in name.lower() and name.endswith("weight") else 0.1 * noise
    if "embed" in name or "relative" in name:
        return 0.7 * noise
    return 1.5 * noise / weight.shape[-1] ** 0.5


def run(head, model, ids, type_ids, types):
    inputs = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids), dtype=torch.long)}
    if types > 0:
        inputs["token_type_ids"] = torch.tensor([type_ids])
    with torch.no_grad():
        out = model(**inputs)
    if head == "hidden":
        return {"hidden": out.last_hidden_state[0]}
    if head == "spans":
        return {"start": out.start_logits, "end": out.end_logits}
    if head == "masked":
        # Two places are enough, and small.
        return {"masked": out.logits[0, [0, len(ids) - 1]]}
    return {head: out.logits if head == "sequence" else out.logits[0]}


def check_padding(model, batch, padding):
    """The reference itself gives a row padded on the right what it gives the row alone."""
    width = max(map(len, batch))
    ids = torch.tensor([row + [padding] * (width - len(row)) for row in batch])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch])
    with torch.no_grad():
        one = model(input_ids=ids, attention_mask=mask).last_hidden_state
        for row, tokens in enumerate(batch):
            alone = model(input_ids=torch.tensor([tokens])).last_hidden_state[0]
            assert torch.allclose(one[row, : len(tokens)], alone, atol=2e-5), "padding changes a row"


def rows(lengths, offset):
    """Ids all over the vocabulary, the specials left out."""
    return [[5 + (offset + 31 * row + 37 * i + 11 * i * i) % (VOCAB - 5) for i in range(n)] for row, n in enumerate(lengths)]


class Nomic(nn.Module):
    """NomicBERT: fused query, key and value, rotary positions, gated MLP, norms after each sum."""

    CONFIG = dict(
        model_type="nomic_bert", architectures=["NomicBertModel"], vocab_size=VOCAB, n_embd=32, n_layer=2, n_head=4, n_inner=64,
        n_positions=64, layer_norm_epsilon=1e-3, rotary_emb_base=100.0, rotary_emb_fraction=1.0, rotary_emb_interleaved=False,
        rotary_scaling_factor=None, activation_function="swiglu", qkv_proj_bias=False, mlp_fc1_bias=False, mlp_fc2_bias=False,
        prenorm=False, type_vocab_size=2, use_rms_norm=False, causal=False,
    )

    def __init__(self):
        super().__init__()
        self.embeddings = nn.ModuleDict({"word_embeddings": nn.Embedding(VOCAB, 32), "token_type_embeddings": nn.Embedding(2, 32)})
        self.emb_ln = nn.LayerNorm(32, eps=1e-3)
        layer = lambda: nn.ModuleDict(
            {
                "attn": nn.ModuleDict({"Wqkv": nn.Linear(32, 96, bias=False), "out_proj": nn.Linear(32, 32, bias=False)}),
                "mlp": nn.ModuleDict({name: nn.Linear(*size, bias=False) for name, size in [("fc11", (32, 64)), ("fc12", (32, 64)), ("fc2", (64, 32))]}),
                "norm1": nn.LayerNorm(32, eps=1e-3),
                "norm2": nn.LayerNorm(32, eps=1e-3),
            }
        )
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList([layer(), layer()])})
        for name, weight in self.named_parameters():
            weight.data = random(name.replace("emb_ln", "norm"), weight)

    def forward(self, input_ids, attention_mask=None, token_type_ids=None):
        x = self.embeddings["word_embeddings"](input_ids) + self.embeddings["token_type_embeddings"](token_type_ids)
        x = self.emb_ln(x)
        batch, length, _ = x.shape
        angles = torch.arange(length)[:, None] / 100.0 ** (torch.arange(0, 8, 2) / 8)
        cos, sin = angles.cos().repeat(1, 2), angles.sin().repeat(1, 2)
        turn = lambda x: x * cos + torch.cat([-x[..., 4:], x[..., :4]], -1) * sin
        for layer in self.encoder["layers"]:
            q, k, v = layer["attn"]["Wqkv"](x).view(batch, length, 3, 4, 8).permute(2, 0, 3, 1, 4)
            shares = (turn(q) @ turn(k).transpose(-1, -2) / 8**0.5).softmax(-1)
            x = layer["norm1"](x + layer["attn"]["out_proj"]((shares @ v).transpose(1, 2).reshape(batch, length, 32)))
            mlp = layer["mlp"]
            x = layer["norm2"](x + mlp["fc2"](mlp["fc11"](x) * nn.functional.silu(mlp["fc12"](x))))
        return PretrainedConfig(last_hidden_state=x)


if __name__ == "__main__":
    main(sys.argv[1:])
