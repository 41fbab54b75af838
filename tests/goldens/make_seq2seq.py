"""Makes the tiny random encoder-decoders in `seq2seq/` and the numbers the Python reference computes with them.

    venv/bin/python tests/goldens/make_seq2seq.py          # all of them (packages: see make.py)
    venv/bin/python tests/goldens/make_seq2seq.py t5-tiny  # only these

A folder is a checkpoint, `expected.json` and `expected.safetensors`. For each row of each case these hold the hidden states of the
encoder (`case.row.encoder`), the logits of all tokens of the decoder (`case.row.logits`), what the decoder goes on with by the
largest logit, and what `generate` gives with four beams: ids, and the score of each row. Of models with another
head they hold its logits (`case.row.head`), of encoders alone their hidden states. Where `globals` has places of tokens, those are
in the `global_attention_mask`. Beams are taken only from weights that
give the same ids when all of them are disturbed a little, so that no rounding decides.
"""

import copy
import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    BartConfig,
    LEDConfig,
    LongT5Config,
    M2M100Config,
    MarianConfig,
    MBartConfig,
    MT5Config,
    NllbMoeConfig,
    PegasusConfig,
    PLBartConfig,
    T5Config,
    T5EncoderModel,
    UMT5Config,
)

torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "seq2seq"
VOCAB = 48
T5 = dict(
    vocab_size=VOCAB, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4, relative_attention_num_buckets=8,
    relative_attention_max_distance=20, layer_norm_epsilon=1e-3, decoder_start_token_id=0,
)
# As GGUF files have it, which cannot say another distance.
T5_OF_GGUF = T5 | dict(relative_attention_max_distance=128)
BART = dict(
    vocab_size=VOCAB, d_model=32, max_position_embeddings=80, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=64,
    decoder_layers=2, decoder_attention_heads=2, decoder_ffn_dim=32,
)
# name: config class, options, fields of config.json beside those that differ from the class's defaults, form.
GOLDENS = {
    "t5-tiny": (T5Config, T5_OF_GGUF, {"n_positions": 512}, ""),
    "t5-gated-tiny": (
        T5Config,
        T5_OF_GGUF | dict(d_kv=16, num_layers=3, num_decoder_layers=2, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
        {"dense_act_fn": "gelu_new", "is_gated_act": True},
        "",
    ),
    "t5-silu-tiny": (T5Config, T5 | dict(feed_forward_proj="gated-silu", num_decoder_layers=1), {}, "bin"),
    "t5-encoder-tiny": (T5Config, T5_OF_GGUF | dict(feed_forward_proj="gated-gelu"), {}, "encoder"),
    "mt5-tiny": (MT5Config, T5, {}, ""),
    "umt5-tiny": (UMT5Config, T5_OF_GGUF, {}, ""),
    "umt5-encoder-tiny": (UMT5Config, T5, {}, "encoder"),
    "bart-tiny": (BartConfig, BART, {"normalize_before": False, "final_logits_bias": None}, "bin"),
    "bart-scaled-tiny": (BartConfig, BART | dict(scale_embedding=True, tie_word_embeddings=False, activation_function="relu"), {}, ""),
    "t5-classifier-tiny": (T5Config, T5 | dict(num_labels=3), {"decoder_start_token_id": 0}, "sequence"),
    "t5-tokens-tiny": (T5Config, T5 | dict(num_labels=3), {}, "token"),
    "t5-spans-tiny": (T5Config, T5, {"decoder_start_token_id": 0}, "spans"),
    "mt5-spans-tiny": (MT5Config, T5, {}, "spans"),
    "umt5-classifier-tiny": (UMT5Config, T5 | dict(num_labels=3), {}, "sequence"),
    "umt5-tokens-tiny": (UMT5Config, T5 | dict(num_labels=3), {}, "token"),
    "umt5-spans-tiny": (UMT5Config, T5, {}, "spans"),
    "bart-classifier-tiny": (BartConfig, BART | dict(num_labels=3), {}, "sequence"),
    "bart-spans-tiny": (BartConfig, BART, {}, "spans"),
    "mbart-classifier-tiny": (MBartConfig, BART | dict(num_labels=3), {}, "sequence"),
    "mbart-spans-tiny": (MBartConfig, BART, {}, "spans"),
    "mbart-tiny": (MBartConfig, BART | dict(scale_embedding=True, decoder_start_token_id=7), {"decoder_start_token_id": None}, ""),
    "pegasus-tiny": (PegasusConfig, BART | dict(scale_embedding=True, activation_function="relu"), {"static_position_embeddings": True}, ""),
    "marian-tiny": (
        MarianConfig,
        BART | dict(scale_embedding=True, activation_function="swish", pad_token_id=VOCAB - 1, decoder_start_token_id=VOCAB - 1),
        {},
        "",
    ),
    "marian-apart-tiny": (
        MarianConfig,
        BART | dict(
            share_encoder_decoder_embeddings=False, decoder_vocab_size=VOCAB, activation_function="gelu_new", pad_token_id=VOCAB - 1,
            decoder_start_token_id=VOCAB - 1,
        ),
        {},
        "bin",
    ),
    "m2m-100-tiny": (M2M100Config, BART, {}, ""),
    "led-tiny": (
        LEDConfig,
        {key: value for key, value in BART.items() if key != "max_position_embeddings"}
        | dict(max_encoder_position_embeddings=96, max_decoder_position_embeddings=80, attention_window=[4, 8]),
        {},
        "",
    ),
    "nllb-moe-tiny": (
        NllbMoeConfig,
        BART | dict(num_experts=3, encoder_sparse_step=2, decoder_sparse_step=1, router_bias=True),
        {},
        "",
    ),
    # Experts drop tokens: more of them in a batch, and others. So none is in the decoder.
    "nllb-moe-limited-tiny": (
        NllbMoeConfig,
        BART
        | dict(
            num_experts=3, encoder_sparse_step=1, decoder_sparse_step=0, batch_prioritized_routing=True, moe_token_dropout=0.1,
            moe_eval_capacity_token_fraction=0.3, normalize_router_prob_before_dropping=True,
        ),
        {},
        "",
    ),
    "nllb-moe-counted-tiny": (
        NllbMoeConfig,
        BART
        | dict(
            num_experts=3, encoder_sparse_step=1, decoder_sparse_step=0, moe_eval_capacity_token_fraction=-1.0, expert_capacity=16,
            router_dtype="bfloat16",
        ),
        {},
        "",
    ),
    "longt5-global-tiny": (
        LongT5Config,
        T5 | dict(local_radius=5, global_block_size=4, encoder_attention_type="transient-global", feed_forward_proj="gated-gelu"),
        {},
        "",
    ),
    "longt5-tiny": (LongT5Config, T5 | dict(local_radius=5, feed_forward_proj="gated-gelu"), {}, ""),
    "plbart-tiny": (PLBartConfig, BART | dict(decoder_start_token_id=2), {}, ""),
}
NEW_TOKENS = 16
HEADS = {"sequence": AutoModelForSequenceClassification, "spans": AutoModelForQuestionAnswering, "token": AutoModelForTokenClassification}
# What goes into the head, in T5, in those of BART's kin that norm before each half, and in the others.
FINAL_NORMS = ("decoder.final_layer_norm", "model.decoder.layer_norm.", "model.decoder.layers.1.final_layer_norm")
BEAMS = dict(num_beams=4, num_return_sequences=2, max_new_tokens=NEW_TOKENS, do_sample=False)


class Unsuitable(Exception):
    """These random weights make too close a call, or too dull a text."""


def main(names):
    for name in names or GOLDENS:
        make(name, *GOLDENS[name])


def make(name, config_class, options, fields, form):
    for seed in range(1, 300):
        config = config_class(**options)
        config._attn_implementation = "eager"
        model = T5EncoderModel if form == "encoder" else HEADS.get(form, AutoModelForSeq2SeqLM)
        if form == "encoder" and config_class is UMT5Config:
            from transformers import UMT5EncoderModel

            model = UMT5EncoderModel
        model = model(config) if form == "encoder" else model.from_config(config)
        randomize(model, seed)
        model.eval()
        try:
            expected, arrays = expect(model, form)
            break
        except Unsuitable as reason:
            last = reason
    else:
        raise RuntimeError(f"{name}: no seed makes a clear case: {last}")
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    written = {**json.loads(config.to_json_string(use_diff=True)), **fields, "architectures": [type(model).__name__]}
    (folder / "config.json").write_text(json.dumps(written, indent=2) + "\n")
    weights = model.state_dict()
    if form == "bin":
        torch.save(weights, folder / "pytorch_model.bin")
    else:
        # As save_pretrained has it: one name for each tensor.
        known, kept = {}, {}
        for key, weight in weights.items():
            if weight.data_ptr() not in known:
                kept[known.setdefault(weight.data_ptr(), key)] = weight.contiguous()
        save_file(kept, folder / "model.safetensors", {"format": "pt"})
    save_file(arrays, folder / "expected.safetensors")
    made_with = {package: version(package) for package in ["transformers", "torch"]}
    lines = ",\n  ".join(json.dumps(case) for case in expected)
    (folder / "expected.json").write_text(
        f'{{"made_with": {json.dumps(made_with)},\n "seed": {seed},\n "encoder_alone": {json.dumps(form == "encoder")},\n "head": {json.dumps(form if form in HEADS else None)},\n'
        f' "padding_id": {config.pad_token_id},\n "beams": {json.dumps(BEAMS)},\n "cases": [\n  {lines}\n ]}}\n'
    )
    print(name, "seed", seed, sum(file.stat().st_size for file in folder.iterdir()) // 1000, "kB")


def randomize(model, seed):
    """Wide enough for attention to be peaked and logits to be apart; no norm weight or bias is trivial."""
    generator = torch.Generator().manual_seed(seed)
    config, root = model.config, model.config.d_model**0.5
    is_t5 = config.model_type in ("t5", "mt5", "umt5", "longt5")
    # Small beside what the layers add, or a tied head says the last token again and again.
    embeddings = (0.8 if config.model_type == "marian" else 0.35) / (root if getattr(config, "scale_embedding", False) else 1.0)
    logits = 1.0 if not config.tie_word_embeddings else 4.0 / (embeddings * (1.0 if is_t5 else root))
    tables = dict(model.named_parameters())
    if "final_logits_bias" in dict(model.named_buffers()):
        tables["final_logits_bias"] = model.final_logits_bias
    for name, weight in tables.items():
        noise = torch.randn(weight.shape, generator=generator)
        if "embed_positions" in name and config.model_type in ("marian", "pegasus"):
            continue
        if weight.dim() == 1 and name.endswith(".bias"):
            weight.data = 0.1 * noise
        elif weight.dim() == 1:
            weight.data = 1 + 0.2 * noise
            if name.startswith(FINAL_NORMS):
                weight.data *= logits
        elif name == "final_logits_bias":
            weight.data = 0.5 * noise
        elif "shared" in name or "embed_tokens" in name:
            weight.data = embeddings * noise
        elif "embed_positions" in name or "relative" in name:
            weight.data = 0.5 * noise
        else:
            gain = 2.5 if name.endswith((".wo.weight", ".fc2.weight")) else 1.5
            # The source is the same for all tokens: it must not decide alone.
            gain = 1.0 if "encoder_attn.out_proj" in name or "EncDecAttention.o" in name else gain
            # T5 does not scale its scores.
            gain = 0.8 if is_t5 and name.endswith((".q.weight", ".k.weight")) else gain
            weight.data = gain * noise / weight.shape[-1] ** 0.5
    model.tie_weights()


def rows(lengths, offset):
    """Ids all over the vocabulary, the specials left out."""
    return [[5 + (offset + 31 * row + 37 * i + 11 * i * i) % (VOCAB - 12) for i in range(n)] for row, n in enumerate(lengths)]


def expect(model, form):
    config = model.config
    plain = rows([11], 1)
    # mBART counts the ids that are no padding.
    if form != "sequence" and (form not in HEADS or config.model_type != "mbart"):
        # A padding token in the text itself.
        plain[0][4] = config.pad_token_id
    cases = [
        {"name": "plain", "sources": plain, "rows": rows([12], 4)},
        {"name": "long", "sources": rows([70], 2), "rows": rows([68], 5)},
        {"name": "batch", "sources": rows([7, 3, 12, 1], 3), "rows": rows([5, 9, 2, 1], 6)},
    ]
    if config.model_type == "led":
        cases.append({"name": "global", "sources": rows([40, 9, 3], 2), "rows": rows([8, 3, 5], 5), "globals": [[0, 17, 18], [0], []]})
        cases.append({"name": "first", "sources": rows([23], 5), "rows": rows([4], 6), "globals": [[0]]})
    arrays = {}
    for case in cases:
        if form in HEADS:
            del case["rows"]
            for row, ids in enumerate(case["sources"]):
                # Of two ends the last counts; in mBART the last token is the language.
                ids += ([config.eos_token_id, 9] if len(ids) == 7 else []) + [config.eos_token_id]
                ids += [11] if config.model_type == "mbart" else []
                with torch.no_grad():
                    out = model(input_ids=torch.tensor([ids]))
                logits = torch.stack([out.start_logits[0], out.end_logits[0]], 1) if form == "spans" else out.logits
                arrays[f"{case['name']}.{row}.head"] = logits.reshape(-1, logits.shape[-1]).contiguous()
            continue
        if form == "encoder":
            del case["rows"]
            for row, ids in enumerate(case["sources"]):
                with torch.no_grad():
                    arrays[f"{case['name']}.{row}.encoder"] = model(input_ids=torch.tensor([ids])).last_hidden_state[0].contiguous()
            continue
        case["rows"] = [[config.decoder_start_token_id, *row] for row in case["rows"]]
        for row, (source, ids) in enumerate(zip(case["sources"], case["rows"])):
            marked = {}
            if "globals" in case:
                marked = {"global_attention_mask": torch.tensor([[int(place in case["globals"][row]) for place in range(len(source))]])}
            with torch.no_grad():
                out = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([ids]), **marked)
            arrays[f"{case['name']}.{row}.encoder"] = out.encoder_last_hidden_state[0].contiguous()
            arrays[f"{case['name']}.{row}.logits"] = out.logits[0].contiguous()
        if case["name"] == "long" or "globals" in case:
            continue
        case["greedy"] = greedy(model, case["sources"])
        distinct = {id for row in case["greedy"] for id in row}
        if len(distinct) < 3:
            raise Unsuitable(f"only {len(distinct)} distinct ids")
        case["beams"], case["beam_scores"] = beams(model, case["sources"])
        for disturbed in range(2):
            other = copy.deepcopy(model)
            generator = torch.Generator().manual_seed(disturbed)
            for weight in other.parameters():
                weight.data = weight * (1 + 1e-4 * torch.randn(weight.shape, generator=generator))
            other.tie_weights()
            if beams(other, case["sources"])[0] != case["beams"]:
                raise Unsuitable("beams are too close")
    if form in ("", "bin") and not drops_tokens(config):
        check_padding(model, cases[2])
    return cases, arrays


def drops_tokens(config):
    """What a row gives depends on the rows beside it."""
    return config.model_type == "nllb-moe" and config.moe_eval_capacity_token_fraction < 1


def greedy(model, sources):
    """What the decoder goes on with by the largest logit, whatever it is."""
    if len(sources) > 1 and drops_tokens(model.config):
        return [row for source in sources for row in greedy(model, [source])]
    batch, mask = padded(sources, model.config.pad_token_id)
    out = model.generate(
        input_ids=batch, attention_mask=mask, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None, forced_eos_token_id=None,
        decoder_start_token_id=model.config.decoder_start_token_id, return_dict_in_generate=True, output_logits=True,
    )
    best = torch.stack(out.logits).topk(2).values
    if (best[..., 0] - best[..., 1]).min() < 0.01:
        raise Unsuitable("logits are too close")
    return out.sequences[:, 1:].tolist()


def beams(model, sources):
    """Two of four hypotheses for each source, and their scores."""
    if len(sources) > 1 and drops_tokens(model.config):
        rows, scores = zip(*(beams(model, [source]) for source in sources))
        width = max(len(row) for alone in rows for row in alone)
        rows = [row + [model.config.pad_token_id] * (width - len(row)) for alone in rows for row in alone]
        return rows, [score for alone in scores for score in alone]
    batch, mask = padded(sources, model.config.pad_token_id)
    out = model.generate(
        input_ids=batch, attention_mask=mask, **BEAMS, return_dict_in_generate=True, output_scores=True,
        decoder_start_token_id=model.config.decoder_start_token_id,
    )
    return out.sequences.tolist(), [round(score, 6) for score in out.sequences_scores.tolist()]


def padded(rows, padding):
    width = max(map(len, rows))
    ids = torch.tensor([row + [padding] * (width - len(row)) for row in rows])
    return ids, torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])


def check_padding(model, case):
    """The reference itself gives rows padded on the right what it gives them alone."""
    sources, mask = padded(case["sources"], model.config.pad_token_id)
    rows, _ = padded(case["rows"], model.config.pad_token_id)
    with torch.no_grad():
        together = model(input_ids=sources, attention_mask=mask, decoder_input_ids=rows).logits
        for row, (source, ids) in enumerate(zip(case["sources"], case["rows"])):
            alone = model(input_ids=torch.tensor([source]), decoder_input_ids=torch.tensor([ids])).logits[0]
            apart = (together[row, : len(ids)] - alone).abs().max()
            assert apart < 2e-4, f"padding changes a row by {apart}"


if __name__ == "__main__":
    main(sys.argv[1:])
