"""Checkpoints as the quantizing libraries of Python save them, and what these make of them in float32.

    pip install torch==2.9.1 numpy==2.4.6 safetensors==0.8.0 transformers==4.57.6
    pip install --no-deps bitsandbytes==0.48.2 auto-gptq==0.7.1 compressed-tensors==0.18.0 accelerate==1.12.0
    pip install loguru==0.7.3 pydantic==2.14.4 psutil
    pip download --no-deps --no-binary :all: autoawq==0.2.9 && tar xzf autoawq-0.2.9.tar.gz
    PYTHONPATH=autoawq-0.2.9 python tests/goldens/weights/make_quantized.py

writes `quantized/<scheme>/config.json`, `model.safetensors` and `expected.safetensors` beside itself. Each holds one linear
layer `p`, which the library quantizes, and saves under its own names; expected is `p.weight` as its own code, asked for
float32, gives it back. Scales of half precision are widened first: on a GPU the libraries multiply in half precision.
"""

import importlib.util
import json
import pathlib
import sys

import bitsandbytes as bnb
import torch
from bitsandbytes.backends.utils import CODE
from bitsandbytes.functional import dequantize_4bit, int8_vectorwise_dequant
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent / "quantized"
INPUTS, OUTPUTS, GROUP = 96, 32, 32


def load(package, file, name):
    """One file of a package, without running the package's `__init__`."""
    folder = pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0])
    spec = importlib.util.spec_from_file_location(name, folder / file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def linear(seed):
    torch.manual_seed(seed)
    layer = torch.nn.Linear(INPUTS, OUTPUTS, bias=False)
    layer.weight.data = torch.randn(OUTPUTS, INPUTS) * torch.rand(OUTPUTS, 1) * 0.2
    return layer


def save(scheme, config, tensors, expected):
    folder = HERE / scheme
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"quantization_config": config}, indent=1) + "\n")
    save_file({f"p.{name}": tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    save_file({"p.weight": expected.float().contiguous()}, folder / "expected.safetensors")


def bitsandbytes():
    for name, kind, double in [("nf4", "nf4", False), ("nf4-double", "nf4", True), ("fp4", "fp4", False)]:
        source = linear(1)
        layer = bnb.nn.Linear4bit(
            INPUTS, OUTPUTS, bias=False, compute_dtype=torch.float32, compress_statistics=double, quant_type=kind
        )
        layer.load_state_dict(source.state_dict())
        layer = layer.to("cpu")
        state = layer.weight.quant_state
        # On the CPU fp4's values are rounded to four digits; on CUDA they are those that are saved.
        CODE[kind] = state.code
        assert state.nested == double and state.dtype == torch.float32
        config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": kind}
        save(f"bnb-{name}", config, layer.state_dict(), dequantize_4bit(layer.weight.data, state))
    layer = bnb.nn.Linear8bitLt(INPUTS, OUTPUTS, bias=False, has_fp16_weights=False)
    layer.load_state_dict(linear(2).state_dict())
    layer = layer.to("cpu")
    tensors = layer.state_dict()
    expected = int8_vectorwise_dequant(tensors["weight"], tensors["SCB"])
    save("bnb-int8", {"quant_method": "bitsandbytes", "load_in_8bit": True}, tensors, expected)


def affine(weight, bits, groups):
    """Scales and zero points, (outputs, groups), by smallest and largest."""
    parts = [weight[:, groups == group] for group in range(int(groups.max()) + 1)]
    least = torch.stack([part.min(1).values for part in parts], 1).clamp(max=0)
    most = torch.stack([part.max(1).values for part in parts], 1).clamp(min=0)
    scales = ((most - least) / (2**bits - 1)).half().float()
    zeros = torch.round(-least / scales).clamp(1, 2**bits - 1)
    return scales, zeros


def gptq():
    module = load("auto_gptq", "nn_modules/qlinear/qlinear_cuda.py", "qlinear_cuda")
    for name, bits, shuffled, version in [
        ("gptq", 4, False, "gptq"),
        ("gptq-shuffled", 4, True, "gptq"),
        ("gptq-v2", 4, False, "gptq_v2"),
        ("gptq-2", 2, False, "gptq"),
        ("gptq-3", 3, False, "gptq"),
        ("gptq-8", 8, False, "gptq"),
    ]:
        source = linear(3)
        groups = torch.arange(INPUTS, dtype=torch.int32) // GROUP
        if shuffled:
            groups = groups[torch.randperm(INPUTS)]
        scales, zeros = affine(source.weight.data, bits, groups)
        # Rounded weights are made to lie on the codes, which `pack` does not clamp to.
        at = groups.long()
        codes = torch.round(source.weight.data / scales[:, at] + zeros[:, at]).clamp(0, 2**bits - 1)
        source.weight.data = (codes - zeros[:, at]) * scales[:, at]
        layer = module.QuantLinear(bits, GROUP, INPUTS, OUTPUTS, bias=False, weight_dtype=torch.float32)
        layer.pack(source, scales, zeros.clone(), groups)
        expected = layer(torch.eye(INPUTS)).T
        tensors = layer.state_dict()
        tensors["scales"] = tensors["scales"].half()
        if version == "gptq_v2":
            # The same numbers, their zero points not one too small.
            plus_one = sum(1 << shift for shift in range(0, 32, bits))
            stored = tensors["qzeros"].long() & 0xFFFFFFFF
            fields = [(stored >> shift) % 2**bits for shift in range(0, 32, bits)]
            assert all((field < 2**bits - 1).all() for field in fields)
            stored = stored + plus_one
            tensors["qzeros"] = torch.where(stored >= 2**31, stored - 2**32, stored).int()
        config = {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "checkpoint_format": version}
        if version == "gptq":
            del config["checkpoint_format"]
        save(name, config, tensors, expected)


def awq():
    # The package's own `__init__` imports its models and with them what only training needs.
    spec = importlib.util.find_spec("awq")
    package = importlib.util.module_from_spec(spec)
    sys.modules["awq"] = package
    from awq.utils.packing_utils import dequantize_gemm

    module = load("awq", "modules/linear/gemm.py", "awq_gemm")
    source = linear(4)
    groups = torch.arange(INPUTS) // GROUP
    scales, zeros = affine(source.weight.data, 4, groups)
    codes = torch.round(source.weight.data / scales[:, groups] + zeros[:, groups]).clamp(0, 15)
    source.weight.data = (codes - zeros[:, groups]) * scales[:, groups]
    layer = module.WQLinear_GEMM.from_linear(source, 4, GROUP, scales=scales.T.contiguous(), zeros=zeros.T.contiguous())
    expected = dequantize_gemm(layer.qweight, layer.qzeros, layer.scales.float(), 4, GROUP).T
    config = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "version": "gemm", "zero_point": True}
    save("awq", config, layer.state_dict(), expected)


def compressed_tensors():
    from compressed_tensors.compressors import IntQuantizationCompressor, PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from compressed_tensors.quantization.utils import calculate_qparams

    weight = linear(6).weight.data + 0.05
    for name, bits, group, symmetric, shuffled in [
        ("packed-4", 4, GROUP, True, False),
        ("packed-4-zeros", 4, GROUP, False, False),
        ("packed-4-shuffled", 4, GROUP, False, True),
        ("packed-4-channel", 4, None, True, False),
        ("packed-8-channel-zeros", 8, None, False, False),
        ("packed-3-zeros", 3, GROUP, False, False),
        ("int8-zeros", 8, None, False, False),
        ("int8-group", 8, GROUP, True, False),
    ]:
        strategy = "group" if group else "channel"
        actorder = "group" if shuffled else None
        args = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy=strategy, group_size=group, actorder=actorder)
        scheme = QuantizationScheme(targets=["Linear"], weights=args)
        groups = torch.arange(INPUTS, dtype=torch.int32) // (group or INPUTS)
        if shuffled:
            groups = groups[torch.randperm(INPUTS)]
        parts = [weight[:, groups == number] for number in range(int(groups.max()) + 1)]
        least, most = (torch.stack([getattr(part, side)(1).values for part in parts], 1) for side in ["min", "max"])
        scale, zero = calculate_qparams(least, most, args)
        tensors = {"weight": weight, "weight_scale": scale.bfloat16().float(), "weight_zero_point": zero}
        if shuffled:
            tensors["weight_g_idx"] = groups
        compressor = IntQuantizationCompressor if name.startswith("int8") else PackedQuantizationCompressor
        tensors = compressor.compress(tensors, scheme)
        expected = compressor.decompress(tensors, scheme)["weight"]
        tensors["weight_scale"] = tensors["weight_scale"].bfloat16()
        assert ("weight_zero_point" in tensors) == (not symmetric)
        config = {
            "quant_method": "compressed-tensors",
            "format": "int-quantized" if name.startswith("int8") else "pack-quantized",
            "config_groups": {"group_0": json.loads(scheme.model_dump_json())},
            "ignore": ["lm_head"],
            "quantization_status": "compressed",
        }
        if name == "packed-4-channel":
            # Other layers in other ways, of which nothing is here.
            other = QuantizationScheme(targets=["re:q"], weights=QuantizationArgs(num_bits=8, strategy="group", group_size=GROUP))
            groups = [other.model_copy(update={"format": "int-quantized"}), scheme.model_copy(update={"format": "pack-quantized"})]
            config["format"] = "mixed-precision"
            config["config_groups"] = {f"group_{at}": json.loads(group.model_dump_json()) for at, group in enumerate(groups)}
        save(name, config, tensors, expected)


def eight_bits():
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize

    weight = linear(5).weight.data
    for name, kind, strategy, dtype in [
        ("fp8-tensor", "float", "tensor", torch.float8_e4m3fn),
        ("fp8-channel", "float", "channel", torch.float8_e4m3fn),
        ("int8-channel", "int", "channel", torch.int8),
    ]:
        largest = weight.abs().max() if strategy == "tensor" else weight.abs().amax(1, keepdim=True)
        scale = (largest / (448 if kind == "float" else 127)).reshape(-1, *([1] * (strategy == "channel")))
        args = QuantizationArgs(num_bits=8, type=kind, strategy=strategy, symmetric=True)
        zero = torch.zeros_like(scale)
        quantized = quantize(weight, scale, zero, args, dtype=dtype)
        expected = dequantize(quantized, scale, None, args)
        config = {"quant_method": "compressed-tensors", "format": f"{kind}-quantized"}
        save(name, config, {"weight": quantized, "weight_scale": scale}, expected)
    # transformers' `FP8Linear` and DeepSeek-V3's `weight_dequant` (inference/kernel.py): blocks, of which the last
    # of a row or column may be short.
    tall, wide = 20, 40
    rows, columns = -(-OUTPUTS // tall), -(-INPUTS // wide)
    spread = lambda scales: scales.repeat_interleave(tall, 0).repeat_interleave(wide, 1)[:OUTPUTS, :INPUTS]
    scale = torch.stack(
        [
            torch.stack([weight[tall * r : tall * (r + 1), wide * c : wide * (c + 1)].abs().max() / 448 for c in range(columns)])
            for r in range(rows)
        ]
    )
    quantized = (weight / spread(scale)).to(torch.float8_e4m3fn)
    config = {"quant_method": "fp8", "weight_block_size": [tall, wide]}
    save("fp8-block", config, {"weight": quantized, "weight_scale_inv": scale}, quantized.float() * spread(scale))


if __name__ == "__main__":
    bitsandbytes()
    gptq()
    awq()
    compressed_tensors()
    eight_bits()
