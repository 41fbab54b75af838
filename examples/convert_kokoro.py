"""Converts a Kokoro in a file for ONNX to a folder that sconce opens, for checking it against that file.

    pip install numpy onnx safetensors
    python examples/convert_kokoro.py kokoro.onnx tokenizer.json voices ./kokoro

Reads the values of an f32 export of Kokoro-82M, `tokenizer.json` with the ids of phonemes, and `voices/*.bin`, which are numbers in f32.
Writes `config.json` and `model.safetensors` as `hexgrad/Kokoro-82M` has them, whose own files need no conversion, and copies the
voices.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

# Where the node of a layer stands in the graph, and what the checkpoint calls the layer.
PLACES = [
    (r"^encoder\.(F0|N)(\.|_proj)", r"predictor.\1\2"),
    (r"^encoder\.shared", "predictor.shared"),
    (r"^encoder\.text_encoder\.cnn\.(\d+)\.cnn\.\d+\.", r"text_encoder.cnn.\1."),
    (r"^encoder\.", ""),
    (r"^decoder\.decoder\.asr_res\.asr_res\.", "decoder.asr_res."),
    (r"^decoder\.decoder\.", "decoder."),
]
# ONNX has the gates of an LSTM in the order input, output, forget, cell.
GATES = [0, 2, 3, 1]


def place_of(name):
    for pattern, replacement in PLACES:
        name, found = re.subn(pattern, replacement, name)
        if found:
            break
    return name


def main(source, tokenizer, voices, target):
    target = Path(target)
    graph = onnx.load(source).graph
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    tensors = {}
    for name, value in values.items():
        if name.startswith(("encoder.", "decoder.")) and ".stft." not in name and value.dtype == np.float32:
            tensors[place_of(name)] = value
    for node in graph.node:
        place = place_of(node.name.strip("/").rsplit("/", 1)[0].replace("/", "."))
        weight = values.get(node.input[1]) if len(node.input) > 1 else None
        if weight is None or weight.dtype != np.float32 or re.search(r"_\d+$", place) and node.op_type == "MatMul":
            # The last: layers that share their weights with the first.
            continue
        if node.op_type in ("Conv", "ConvTranspose") and "stft" not in place:
            tensors[f"{place}.weight"] = weight
        elif node.op_type == "MatMul":
            tensors[f"{place}.weight"] = weight.T
        elif node.op_type == "LSTM":
            hidden = weight.shape[1] // 4
            order = lambda x: x.reshape(4, hidden, -1)[GATES].reshape(4 * hidden, -1)  # noqa: E731
            recurrent, bias = values[node.input[2]], values[node.input[3]]
            for way, end in enumerate(["", "_reverse"]):
                tensors[f"{place}.weight_ih_l0{end}"] = order(weight[way])
                tensors[f"{place}.weight_hh_l0{end}"] = order(recurrent[way])
                tensors[f"{place}.bias_ih_l0{end}"] = order(bias[way, : 4 * hidden])[:, 0]
                tensors[f"{place}.bias_hh_l0{end}"] = order(bias[way, 4 * hidden :])[:, 0]
    words, inner = tensors["bert.embeddings.word_embeddings.weight"], "bert.encoder.albert_layer_groups.0.albert_layers.0"
    layers = {int(found[1]) for node in graph.node if (found := re.search(r"/attention/query_(\d+)/MatMul", node.name))}
    config = {
        "istftnet": {
            "upsample_kernel_sizes": [20, 12], "upsample_rates": [10, 6], "gen_istft_hop_size": 5, "gen_istft_n_fft": 20,
            "resblock_dilation_sizes": [[1, 3, 5]] * 3, "resblock_kernel_sizes": [3, 7, 11],
            "upsample_initial_channel": tensors["decoder.generator.ups.0.weight"].shape[0],
        },
        "dim_in": 64, "dropout": 0.2, "hidden_dim": tensors["bert_encoder.weight"].shape[0], "max_conv_dim": 512,
        "max_dur": tensors["predictor.duration_proj.linear_layer.weight"].shape[0], "multispeaker": True,
        "n_layer": len({name.split(".")[2] for name in tensors if name.startswith("text_encoder.cnn.")}), "n_mels": 80,
        "n_token": words.shape[0], "style_dim": tensors["predictor.F0.0.norm1.fc.weight"].shape[1],
        "text_encoder_kernel_size": tensors["text_encoder.cnn.0.0.weight"].shape[2],
        "plbert": {
            "hidden_size": tensors["bert_encoder.weight"].shape[1], "num_attention_heads": 12,
            "intermediate_size": tensors[f"{inner}.ffn.weight"].shape[0],
            "max_position_embeddings": tensors["bert.embeddings.position_embeddings.weight"].shape[0],
            "num_hidden_layers": len(layers) + 1, "dropout": 0.1,
        },
        "vocab": {symbol: number for symbol, number in json.loads(Path(tokenizer).read_text())["model"]["vocab"].items() if number},
    }
    (target / "voices").mkdir(parents=True, exist_ok=True)
    (target / "config.json").write_text(json.dumps(config, ensure_ascii=False, indent=2) + "\n")
    save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, target / "model.safetensors", {"format": "pt"})
    names = sorted(Path(voices).glob("*.bin"))
    for file in names:
        shutil.copy(file, target / "voices")
    print(f"{target}: {len(tensors)} tensors, {sum(value.size for value in tensors.values()):,} parameters, {len(names)} voices")


if __name__ == "__main__":
    main(*sys.argv[1:])
