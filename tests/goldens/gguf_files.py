"""GGUF files of a tiny checkpoint, by llama.cpp's own converter, and weights that fit ggml's blocks exactly."""

import logging
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

import fetch_llama_cpp

LLAMA_CPP = fetch_llama_cpp.tree()
sys.path[1:1] = [str(LLAMA_CPP), str(LLAMA_CPP / "gguf-py")]

import convert_hf_to_gguf
import gguf
from conversion import chatglm, ernie, gemma, glm, nemotron, phi
from conversion.base import TextModel

# The converter knows a pre-tokenizer by the hash of what it makes of a text; ours is GPT-2's with another vocabulary.
TextModel.get_vocab_base_pre = lambda self, tokenizer: "gpt-2"
# These look for a SentencePiece vocabulary or for tokens that no tiny checkpoint has.
for family in [chatglm.ChatGLMModel, ernie.Ernie4_5Model, gemma.GemmaModel, gemma.Gemma2Model, glm.Glm4Model, nemotron.NemotronModel, phi.Phi3MiniModel]:
    family.set_vocab = TextModel._set_vocab_gpt2


def convert(kind, folder, packed):
    if kind == "f32":
        run_converter(folder, "model.gguf", "--outtype", "f32")
    elif kind == "q8_0-split":
        tensors = 1 + 9 * len(list_layers(folder)) + 1
        run_converter(folder, "model.gguf", "--outtype", "q8_0", "--split-max-tensors", str(tensors // 2 + 1))
        parts = sorted(folder.glob("model-*.gguf"))
        assert len(parts) == 2
        for part in parts:
            check_packed(part, packed)
    elif kind == "blocks":
        run_converter(folder, "dense.gguf", "--outtype", "f32")
        with rewriting(folder) as (tensors, writer):
            pack(tensors, writer, packed)
    elif kind == "experts-apart":
        run_converter(folder, "dense.gguf", "--outtype", "f32")
        with rewriting(folder) as (tensors, writer):
            for tensor in tensors:
                if "_exps." not in tensor.name:
                    writer.add_tensor(tensor.name, tensor.data)
                    continue
                for number, expert in enumerate(tensor.data):
                    writer.add_tensor(tensor.name.replace("_exps.", f".{number}."), expert)


def list_layers(folder):
    import json

    return range(json.loads((folder / "config.json").read_text())["num_hidden_layers"])


def run_converter(folder, name, *options):
    sys.argv = ["convert_hf_to_gguf.py", str(folder), "--outfile", str(folder / name), *options]
    logging.disable(logging.WARNING)
    convert_hf_to_gguf.main()
    logging.disable(logging.NOTSET)


def quantize(model, golden, seed):
    """Replaces weights by what blocks can hold; returns the packed bytes of each row by its f32 bytes."""
    packed = {}
    if "q8_0-split" in golden.gguf:
        types = {name: "Q8_0" for name, weight in model.named_parameters() if weight.dim() > 1}
    else:
        types = golden.block_types
    random = np.random.default_rng(seed)
    for name, weight in model.named_parameters():
        kind = next((kind for part, kind in types.items() if part in name), None)
        if kind is None:
            continue
        kind = gguf.GGMLQuantizationType[kind]
        rows = weight.detach().numpy()
        blocks = random_blocks(kind, rows, random) if kind.name in HALVES else gguf.quants.quantize(rows, kind)
        dense = gguf.quants.dequantize(blocks, kind).reshape(rows.shape)
        weight.data = torch.from_numpy(dense.copy())
        for row, block in zip(dense, blocks):
            packed[row.tobytes()] = (kind, block)
    return packed


# Where a K block's halves d and dmin lie, and the dmin for d = 1 that centres uniform random bits on zero.
HALVES = {
    "Q2_K": (80, 82, 1.5),
    "Q3_K": (108, None, None),
    "Q4_K": (0, 2, 7.5),
    "Q5_K": (0, 2, 15.5),
    "Q6_K": (208, None, None),
}


def random_blocks(kind, rows, random):
    """gguf-py can read K blocks but not make them, so they are random bits as wide as the given weights."""
    size, length = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (rows.size // size, length), dtype=np.uint8)

    def scale(d):
        at, min_at, ratio = HALVES[kind.name]
        blocks[:, at : at + 2] = d.astype(np.float16)[:, None].view(np.uint8)
        if min_at is not None:
            blocks[:, min_at : min_at + 2] = (d * ratio).astype(np.float16)[:, None].view(np.uint8)

    scale(np.ones(len(blocks)))
    width = gguf.quants.dequantize(blocks, kind).std()
    scale(random.uniform(0.7, 1.3, len(blocks)) * rows.std() / width)
    return blocks.reshape(len(rows), -1)


@contextmanager
def rewriting(folder):
    """The tensors of dense.gguf, and a writer of model.gguf, with the same metadata, that replaces it."""
    reader = gguf.GGUFReader(folder / "dense.gguf")
    writer = gguf.GGUFWriter(folder / "model.gguf", reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        kind, inner = field.types[0], field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(key, field.contents(), kind, inner)
    yield reader.tensors, writer
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    (folder / "dense.gguf").unlink()


def pack(tensors, writer, packed):
    """Copies tensors, with the packed bytes in place of every row they stand for."""
    for tensor in tensors:
        rows = [packed.get(row.tobytes()) for row in tensor.data.reshape(-1, tensor.data.shape[-1])]
        if None in rows:
            writer.add_tensor(tensor.name, tensor.data)
            continue
        kind = rows[0][0]
        assert all(row[0] == kind for row in rows), tensor.name
        blocks = np.stack([row[1] for row in rows])
        # Experts are stacked.
        writer.add_tensor(tensor.name, blocks.reshape(*tensor.data.shape[:-1], -1), raw_dtype=kind)


def check_packed(file, packed):
    """The converter quantized to the very bytes the reference's weights were made from."""
    for tensor in gguf.GGUFReader(file).tensors:
        if tensor.tensor_type.name == "F32":
            continue
        for row, dense in zip(tensor.data, gguf.quants.dequantize(tensor.data, tensor.tensor_type)):
            kind, block = packed[dense.tobytes()]
            assert kind == tensor.tensor_type and (row == block).all(), tensor.name
