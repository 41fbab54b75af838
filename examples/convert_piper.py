"""Converts a voice of Piper (https://github.com/OHF-Voice/piper1-gpl) to a folder that sconce opens.

    pip install numpy onnx safetensors
    python examples/convert_piper.py en_US-joe-medium.onnx ./joe

Reads `en_US-joe-medium.onnx` and `en_US-joe-medium.onnx.json`, and writes `config.json`, `model.safetensors`, `vocab.json` and
`tokenizer_config.json` in the layout of `VitsModel` of transformers. Voices with one speaker and of any quality are converted.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from safetensors.numpy import save_file

LAYERS = [
    (r"enc_p\.encoder\.attn_layers\.(\d+)\.conv_([qkv])\.", r"text_encoder.encoder.layers.\1.attention.\2_proj."),
    (r"enc_p\.encoder\.attn_layers\.(\d+)\.conv_o\.", r"text_encoder.encoder.layers.\1.attention.out_proj."),
    (r"enc_p\.encoder\.attn_layers\.(\d+)\.(emb_rel_[kv])", r"text_encoder.encoder.layers.\1.attention.\2"),
    (r"enc_p\.encoder\.norm_layers_1\.(\d+)\.", r"text_encoder.encoder.layers.\1.layer_norm."),
    (r"enc_p\.encoder\.norm_layers_2\.(\d+)\.", r"text_encoder.encoder.layers.\1.final_layer_norm."),
    (r"enc_p\.encoder\.ffn_layers\.(\d+)\.", r"text_encoder.encoder.layers.\1.feed_forward."),
    (r"enc_p\.proj\.", "text_encoder.project."),
    (r"dp\.(pre|proj)\.", r"duration_predictor.conv_\1."),
    (r"dp\.", "duration_predictor."),
    (r"convs\.convs_sep\.", "conv_dds.convs_dilated."),
    (r"convs\.convs_1x1\.", "conv_dds.convs_pointwise."),
    (r"convs\.norms_", "conv_dds.norms_"),
    (r"(flows\.\d+)\.(pre|proj|post)\.", r"\1.conv_\2."),
    (r"flow\.flows\.(\d+)\.enc\.", r"flow.flows.\1.wavenet."),
    (r"dec\.ups\.", "decoder.upsampler."),
    (r"dec\.resblocks\.(\d+)\.convs\.", r"decoder.resblocks.\1.convs1."),
    (r"dec\.", "decoder."),
    (r"\.gamma$", ".weight"),
    (r"\.beta$", ".bias"),
    (r"\.m$", ".translate"),
]


def main(source, target):
    source, target = Path(source), Path(target)
    graph = onnx.load(source).graph
    settings = json.loads(Path(f"{source}.json").read_text())
    if settings.get("num_speakers", 1) > 1:
        sys.exit("voices with several speakers are not converted")
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants = {node.output[0]: numpy_helper.to_array(node.attribute[0].t) for node in graph.node if node.op_type == "Constant"}
    values |= {name: value for name, value in constants.items() if name not in values}
    tensors, dilations, strides = {}, {}, {}
    for node in graph.node:
        # Weights whose norms were folded have lost their names; the node that takes them has one.
        place = node.name.strip("/").rsplit("/", 1)[0].replace("/", ".")
        attributes = {attribute.name: list(attribute.ints) for attribute in node.attribute if attribute.ints}
        if node.op_type in ("Conv", "ConvTranspose"):
            tensors[f"{place}.weight"] = values[node.input[1]]
            if len(node.input) > 2:
                tensors[f"{place}.bias"] = values[node.input[2]]
            dilations[place] = attributes.get("dilations", [1])[0]
            strides[place] = attributes.get("strides", [1])[0]
        if node.op_type == "Gather" and node.name.startswith("/enc_p/emb"):
            tensors["text_encoder.embed_tokens.weight"] = values[node.input[0]]
    for name, value in values.items():
        if re.search(r"\.(gamma|beta|emb_rel_[kv]|m)$", name):
            tensors[name] = value
    scale = next((value for name, value in values.items() if re.fullmatch(r"/?dp/flows\.0/Exp_output_0", name)), None)
    if scale is not None:
        tensors["dp.flows.0.log_scale"] = -np.log(scale)
    elif "dp.flows.0.logs" in values:
        tensors["dp.flows.0.log_scale"] = values["dp.flows.0.logs"]
    written = {}
    for name, value in tensors.items():
        name = re.sub(r"^flow\.flows\.(\d+)", lambda found: f"flow.flows.{int(found[1]) // 2}", name)
        # Every other flow only turns channels round.
        name = re.sub(r"^dp\.flows\.(\d+)", lambda found: f"dp.flows.{(int(found[1]) + 1) // 2}", name)
        for pattern, replacement in LAYERS:
            name = re.sub(pattern, replacement, name)
        if name.endswith("_proj.weight") and ".attention." in name:
            value = value[:, :, 0]
        written[name] = np.ascontiguousarray(value.astype(np.float32))
    stages = sorted((name for name in strides if name.startswith("dec.ups.")), key=lambda name: int(name.rsplit(".", 1)[1]))
    blocks = len({name.split(".")[2] for name in dilations if name.startswith("dec.resblocks.")}) // len(stages)
    of_block = [sorted(name for name in dilations if name.startswith(f"dec.resblocks.{block}.convs")) for block in range(blocks)]
    of_block = [[name for name in names if ".convs2." not in name] for names in of_block]
    embedding, relative = written["text_encoder.embed_tokens.weight"], written["text_encoder.encoder.layers.0.attention.emb_rel_k"]
    layers = 1 + max(int(name.split(".")[3]) for name in written if name.startswith("text_encoder.encoder.layers."))
    inner = written["text_encoder.encoder.layers.0.feed_forward.conv_1.weight"].shape
    inference = settings.get("inference", {})
    config = {
        "architectures": ["VitsModel"],
        "model_type": "vits",
        "vocab_size": embedding.shape[0],
        "hidden_size": embedding.shape[1],
        "num_hidden_layers": layers,
        "num_attention_heads": embedding.shape[1] // relative.shape[2],
        "window_size": relative.shape[1] // 2,
        "ffn_dim": inner[0],
        "ffn_kernel_size": inner[2],
        "flow_size": written["text_encoder.project.weight"].shape[0] // 2,
        "duration_predictor_flow_bins": (written["duration_predictor.flows.2.conv_proj.weight"].shape[0] + 1) // 3,
        "upsample_initial_channel": written["decoder.conv_pre.weight"].shape[0],
        "upsample_rates": [strides[name] for name in stages],
        "upsample_kernel_sizes": [tensors[f"{name}.weight"].shape[2] for name in stages],
        "resblock_kernel_sizes": [tensors[f"{names[0]}.weight"].shape[2] for names in of_block],
        "resblock_dilation_sizes": [[dilations[name] for name in names] for names in of_block],
        "sampling_rate": settings["audio"]["sample_rate"],
        "noise_scale": inference.get("noise_scale", 0.667),
        "noise_scale_duration": inference.get("noise_w", 0.8),
        "speaking_rate": 1.0 / inference.get("length_scale", 1.0),
    }
    target.mkdir(parents=True, exist_ok=True)
    (target / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(written, target / "model.safetensors", {"format": "pt"})
    vocabulary = {phoneme: ids[0] for phoneme, ids in settings["phoneme_id_map"].items()}
    (target / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=1) + "\n")
    tokenizer = {"tokenizer_class": "PiperTokenizer", "phonemize": True, "normalize": False, "bos_token": "^", "eos_token": "$"}
    tokenizer |= {"pad_token": "_", "language": settings.get("espeak", {}).get("voice")}
    (target / "tokenizer_config.json").write_text(json.dumps(tokenizer, indent=2) + "\n")
    print(f"{target}: {len(written)} tensors, {sum(value.size for value in written.values()):,} parameters")


if __name__ == "__main__":
    main(*sys.argv[1:])
