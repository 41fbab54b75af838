"""Makes the tiny random models of voices in `speakers/`, what the Python reference computes with them, and how vectors are put into groups.

    venv/bin/python tests/goldens/make_speakers.py

Made with torch 2.9.1, transformers 4.57.6 (`AutoModelForAudioXVector`), scipy 1.16.3 and safetensors 0.7.0; the versions in use stand in each
file.

A folder is a checkpoint, `expected.json` and `expected.safetensors`: for each row of inputs (`inputs` of make_ctc.py) the vector that the
reference gives it alone. `groups.json` holds vectors by seeds, and the groups that average linkage of cosine distances makes of them, cut at a
distance or at a number of groups. Cases in which heights lie close to each other or to the cut are left out.
"""

import json
import shutil
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from make_ctc import COMMON, STABLE, inputs, randomize
from safetensors.torch import save_file
from scipy.cluster.hierarchy import fcluster, linkage
from transformers import AutoModelForAudioXVector, UniSpeechSatConfig, Wav2Vec2Config, WavLMConfig

FOLDER = Path(__file__).parent / "speakers"
VECTORS = dict(tdnn_dim=(10, 10, 12), tdnn_kernel=(5, 3, 1), tdnn_dilation=(1, 2, 1), xvector_output_dim=16, num_labels=3)
GOLDENS = {
    "wavlm-tiny": (WavLMConfig, COMMON | VECTORS | dict(num_buckets=12, max_bucket_distance=20, use_weighted_layer_sum=True, num_hidden_layers=2)),
    "wav2vec2-tiny": (Wav2Vec2Config, STABLE | VECTORS | dict(num_hidden_layers=2)),
    "unispeech-sat-tiny": (UniSpeechSatConfig, COMMON | VECTORS | dict(num_hidden_layers=1)),
}


def versions(*packages):
    return {package: version(package) for package in packages}


def make(name):
    config_class, options = GOLDENS[name]
    torch.manual_seed(3)
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    config = config_class(**options)
    model = AutoModelForAudioXVector.from_config(config, attn_implementation="eager").eval()
    randomize(model)
    rows = [{"inputs": 6400, "seed": 0}, {"inputs": 4321, "seed": 1}, {"inputs": 8000, "seed": 2}]
    arrays = {}
    for number, row in enumerate(rows):
        with torch.no_grad():
            out = model(inputs(row["inputs"], 1, row["seed"]).squeeze(-1)[None])
        arrays[f"{number}"] = out.embeddings[0].contiguous().clone()
    assert (arrays["0"] - arrays["1"]).abs().max() > 0.05, name
    model.save_pretrained(folder)
    expected = {"versions": versions("torch", "transformers", "safetensors"), "size": config.xvector_output_dim, "rows": rows}
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    save_file(arrays, folder / "expected.safetensors")
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size < 250_000, f"{name}: {size} bytes"
    print(name, size)


def vectors(count, seed):
    """Numbers that both languages compute alike: some directions and noise around them."""
    rows = []
    for row in range(count):
        voice = (row * 7 + seed) % (2 + seed % 3)
        noise = [((row * 5 + at) * 7919 + seed * 104729) % 1009 / 1009 - 0.5 for at in range(5)]
        rows.append([(1.0 if at == voice else 0.0) + 0.7 * noise[at] for at in range(5)])
    return np.array(rows)


def groups():
    cases = []
    for seed in range(30):
        count = 4 + seed * 3 % 23
        given = vectors(count, seed)
        unit = given / np.linalg.norm(given, axis=1, keepdims=True)
        distances = 1.0 - unit @ unit.T
        condensed = distances[np.triu_indices(count, 1)]
        tree = linkage(condensed, "average")
        heights = tree[:, 2]
        threshold, number = 0.35, 2 + seed % 3
        if np.diff(np.sort(heights)).min() < 1e-4 or np.abs(heights - threshold).min() < 1e-3:
            continue
        by_distance = fcluster(tree, threshold, "distance")
        by_number = fcluster(tree, number, "maxclust")
        cases.append({
            "count": count, "seed": seed, "threshold": threshold, "number": number,
            "by_distance": first_seen(by_distance), "by_number": first_seen(by_number),
        })
    assert len(cases) > 10, len(cases)
    (FOLDER / "groups.json").write_text(json.dumps({"versions": versions("scipy", "numpy"), "cases": cases}) + "\n")
    print(len(cases), "cases of groups")


def first_seen(labels):
    """Numbered in the order in which they come."""
    known = {}
    return [known.setdefault(int(label), len(known)) for label in labels]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name in GOLDENS:
        make(name)
    groups()
