"""Makes the tiny random encoder-decoders that hear in `speech/` and the numbers the Python reference computes with them.

    venv/bin/python tests/goldens/make_speech.py               # all of them (packages: see make.py)
    venv/bin/python tests/goldens/make_speech.py whisper-tiny  # only these

Made with transformers 4.57.6 and torch 2.9.1. A folder is a checkpoint, `expected.json` and `expected.safetensors`. For each row of
each case these hold the hidden states of the encoder (`case.row.encoder`), the logits of all tokens of the decoder
(`case.row.logits`), the shares of its attention to the source (`case.row.cross`, layer by layer and head by head), what the decoder
goes on with by the largest logit, and what the plain `generate` gives with four beams: ids, and the score of each row. Features are
made by a formula (`features`), which the test knows, too. Beams are taken only from weights that give the same ids when all of them
are disturbed a little, so that no rounding decides.
"""

import copy
import json
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import GenerationMixin, WhisperConfig, WhisperForConditionalGeneration

torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "speech"
VOCAB = 60
END, START = VOCAB - 3, VOCAB - 2
WHISPER = dict(
    vocab_size=VOCAB, d_model=32, encoder_layers=2, encoder_attention_heads=4, encoder_ffn_dim=32, decoder_layers=2,
    decoder_attention_heads=2, decoder_ffn_dim=32, max_source_positions=20, max_target_positions=48, bos_token_id=END,
    pad_token_id=END, eos_token_id=END, decoder_start_token_id=START, begin_suppress_tokens=None,
)
# name: options, fields of config.json beside those that differ from the class's defaults, form.
GOLDENS = {
    "whisper-tiny": (WHISPER, {"forced_decoder_ids": None, "max_length": 48, "num_hidden_layers": 2, "scale_embedding": False}, ""),
    # As large-v3-turbo and the distilled models have it: more mel bins, and a decoder of fewer layers.
    "whisper-128-mels-tiny": (
        WHISPER | dict(num_mel_bins=128, encoder_layers=3, decoder_layers=1, decoder_attention_heads=4, max_source_positions=15),
        {"apply_spec_augment": False, "suppress_tokens": []},
        "bin",
    ),
    "whisper-untied-tiny": (
        WHISPER | dict(
            num_mel_bins=20, encoder_attention_heads=1, decoder_attention_heads=1, encoder_layers=1, tie_word_embeddings=False,
            activation_function="relu", scale_embedding=True,
        ),
        {},
        "",
    ),
}
NEW_TOKENS = 16
BEAMS = dict(num_beams=4, num_return_sequences=2, max_new_tokens=NEW_TOKENS, do_sample=False)


class Unsuitable(Exception):
    """These random weights make too close a call, or too dull a text."""


def main(names):
    for name in names or GOLDENS:
        make(name, *GOLDENS[name])


def make(name, options, fields, form):
    for seed in range(1, 300):
        config = WhisperConfig(**options)
        config._attn_implementation = "eager"
        model = WhisperForConditionalGeneration(config)
        randomize(model, seed)
        model.eval()
        try:
            expected, arrays = expect(model)
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
        f'{{"made_with": {json.dumps(made_with)},\n "seed": {seed},\n "beams": {json.dumps(BEAMS)},\n "cases": [\n  {lines}\n ]}}\n'
    )
    print(name, "seed", seed, sum(file.stat().st_size for file in folder.iterdir()) // 1000, "kB")


def randomize(model, seed):
    """Wide enough for attention to be peaked and logits to be apart; no norm weight or bias is trivial."""
    generator = torch.Generator().manual_seed(seed)
    # Small beside what the layers add, or a tied head says the last token again and again.
    embeddings = 0.15
    logits = 4.0 / (embeddings * model.config.d_model**0.5) if model.config.tie_word_embeddings else 1.0
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape, generator=generator)
        if name == "model.encoder.embed_positions.weight":
            # Sinusoids, as in real checkpoints.
            continue
        if name.endswith(".bias"):
            weight.data = 0.1 * noise
        elif weight.dim() == 1:
            weight.data = 1 + 0.2 * noise
            if name.startswith("model.decoder.layer_norm."):
                weight.data *= logits
        elif "embed_tokens" in name:
            weight.data = embeddings * noise
        elif "embed_positions" in name:
            weight.data = noise
        else:
            gain = 2.5 if ".fc2." in name else 1.5
            # The source is the same for all tokens: it must not decide alone.
            gain = 1.0 if "encoder_attn" in name else gain
            weight.data = gain * noise / weight[0].numel() ** 0.5
    model.tie_weights()


def features(seed, frames, width):
    """`(frames, width)`, from -1 to 1, exact in f32 but for one division and one difference."""
    frame, value = np.meshgrid(np.arange(frames), np.arange(width), indexing="ij")
    numbers = (seed * 29 + frame * 17 + value * 7 + frame * value * 3 + (frame // 5) * (value // 3)) % 101
    return numbers.astype(np.float32) / np.float32(50.0) - np.float32(1.0)


def rows(lengths, offset):
    """Ids all over the vocabulary, the specials left out."""
    return [[START, *(3 + (offset + 31 * row + 37 * i + 11 * i * i) % (VOCAB - 8) for i in range(n))] for row, n in enumerate(lengths)]


def expect(model):
    config = model.config
    whole = 2 * config.max_source_positions
    cases = [
        {"name": "plain", "sources": [1], "frames": whole, "rows": rows([12], 4)},
        {"name": "long", "sources": [2], "frames": whole, "rows": rows([46], 5)},
        {"name": "batch", "sources": [3, 4, 5, 3], "frames": whole, "rows": rows([5, 9, 1, 2], 6)},
        # Of a window that is cut off: the reference refuses it, but not of a model that knows no more positions.
        {"name": "short", "sources": [6], "frames": 14, "rows": rows([7], 7)},
    ]
    arrays = {}
    for case in cases:
        model_of_case = shorter(model, case["frames"] // 2) if case["frames"] < whole else model
        for row, (source, ids) in enumerate(zip(case["sources"], case["rows"])):
            heard = batch([source], case["frames"], config)
            with torch.no_grad():
                out = model_of_case(input_features=heard, decoder_input_ids=torch.tensor([ids]), output_attentions=True)
            arrays[f"{case['name']}.{row}.encoder"] = out.encoder_last_hidden_state[0].contiguous()
            arrays[f"{case['name']}.{row}.logits"] = out.logits[0].contiguous()
            if case["name"] in ("plain", "batch"):
                arrays[f"{case['name']}.{row}.cross"] = torch.cat([shares[0] for shares in out.cross_attentions]).contiguous()
        if case["name"] not in ("plain", "batch"):
            continue
        heard = batch(case["sources"], case["frames"], config)
        case["greedy"] = greedy(model, heard)
        distinct = [len(set(row)) for row in case["greedy"]]
        if min(distinct) < 5 or len(set(map(tuple, case["greedy"]))) < len(set(case["sources"])):
            raise Unsuitable(f"only {distinct} distinct ids, or the same ones for other sounds")
        case["beams"], case["beam_scores"] = beams(model, heard)
        for disturbed in range(2):
            other = copy.deepcopy(model)
            generator = torch.Generator().manual_seed(disturbed)
            for weight in other.parameters():
                weight.data = weight * (1 + 1e-4 * torch.randn(weight.shape, generator=generator))
            other.tie_weights()
            if beams(other, heard)[0] != case["beams"]:
                raise Unsuitable("beams are too close")
    check_batch(model, cases[2])
    return cases, arrays


def batch(sources, frames, config):
    return torch.from_numpy(np.stack([features(source, frames, config.num_mel_bins).T for source in sources]))


def shorter(model, positions):
    """The model, as if it had been made for windows of fewer frames."""
    model = copy.deepcopy(model)
    encoder = model.model.encoder
    model.config.max_source_positions = encoder.config.max_source_positions = positions
    encoder.embed_positions = torch.nn.Embedding.from_pretrained(encoder.embed_positions.weight[:positions].clone())
    return model


def greedy(model, heard):
    """What the decoder goes on with by the largest logit, whatever it is, by the `generate` of all models."""
    out = GenerationMixin.generate(
        model, inputs=heard, max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=None, decoder_start_token_id=START,
        return_dict_in_generate=True, output_logits=True,
    )
    best = torch.stack(out.logits).topk(2).values
    if (best[..., 0] - best[..., 1]).min() < 0.01:
        raise Unsuitable("logits are too close")
    return out.sequences[:, 1:].tolist()


def beams(model, heard):
    """Two of four hypotheses for each source, and their scores."""
    out = GenerationMixin.generate(
        model, inputs=heard, **BEAMS, decoder_start_token_id=START, return_dict_in_generate=True, output_scores=True,
    )
    return out.sequences.tolist(), [round(score, 6) for score in out.sequences_scores.tolist()]


def check_batch(model, case):
    """The reference itself gives rows of a batch what it gives them alone."""
    width = max(map(len, case["rows"]))
    ids = torch.tensor([row + [END] * (width - len(row)) for row in case["rows"]])
    with torch.no_grad():
        together = model(input_features=batch(case["sources"], case["frames"], model.config), decoder_input_ids=ids).logits
        for row, ids in enumerate(case["rows"]):
            heard = batch([case["sources"][row]], case["frames"], model.config)
            alone = model(input_features=heard, decoder_input_ids=torch.tensor([ids])).logits[0]
            apart = (together[row, : len(ids)] - alone).abs().max()
            assert apart < 2e-4, f"a batch changes a row by {apart}"


if __name__ == "__main__":
    main(sys.argv[1:])
