"""Writes tests/goldens/adapters: LoRA for the tiny models of other goldens, and what these then compute.

    pip install torch==2.9.1 diffusers==0.39.0 transformers==4.57.6 peft==0.21.2 gguf
    python tests/goldens/make_adapters.py

Language models and pictures are computed with the adapters beside the weights, in f32.
"""

import json
import pathlib
import re
import shutil

import diffusers
import gguf
import numpy as np
import peft
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

HERE = pathlib.Path(__file__).parent
OUT = HERE / "adapters"
IDS = [1, 5, 9, 44, 17, 80, 133, 7]
PROMPT = "a cat and a dog"


def numbers(tensor):
    return [float(f"{float(x):.6g}") for x in torch.as_tensor(tensor).flatten()]


# Language models, by PEFT.
LANGUAGE = {
    "llama": ("llama-tiny", dict(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"])),
    "llama-plain": ("llama-tiny", dict(r=4, lora_alpha=6, target_modules=["v_proj", "down_proj"])),
    "llama-patterns": ("llama-tiny", dict(
        r=4, lora_alpha=6, use_rslora=True, target_modules="all-linear", rank_pattern={"v_proj": 2, "layers.1.mlp.up_proj": 3},
        alpha_pattern={"layers.0.self_attn.q_proj": 2, "^model.layers.1.self_attn.k_proj": 9},
    )),
    "llama-dora": ("llama-tiny", dict(r=2, lora_alpha=4, use_dora=True, target_modules=["q_proj", "o_proj", "gate_proj"])),
    "llama-head": ("llama-tiny", dict(r=2, lora_alpha=4, target_modules=["k_proj", "embed_tokens"], modules_to_save=["lm_head"])),
    "gpt2": ("gpt2-tiny", dict(r=3, lora_alpha=5, target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)),
    "phi3": ("phi3-tiny", dict(r=3, lora_alpha=5, target_modules=["qkv_proj", "gate_up_proj"])),
}
# Adapters and their scales.
RUNS = {"llama": [[("llama", 1.0)], [("llama", -0.5)], [("llama", 0.7), ("llama-patterns", 1.5)]]}


def wide(model):
    """Adapters begin with zeros; random numbers of a size that matters."""
    for name, parameter in model.named_parameters():
        if "lora_" in name and "magnitude" not in name:
            parameter.data = torch.randn_like(parameter) * 0.4
        elif "lora_magnitude" in name:
            parameter.data *= 1.0 + 0.2 * torch.rand_like(parameter)
        elif "modules_to_save" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def language(name):
    base, config = LANGUAGE[name]
    torch.manual_seed(len(name))
    made = AutoModelForCausalLM.from_pretrained(HERE / base, dtype=torch.float32)
    # Files say no path of the machine that made them.
    made.name_or_path = base
    model = wide(get_peft_model(made, LoraConfig(task_type="CAUSAL_LM", **config)))
    folder = OUT / name
    model.save_pretrained(folder)
    (folder / "README.md").unlink()
    return base


def plain_gguf():
    """The same in llama.cpp's form. Names of GGUF; these matrices are not rearranged in it."""
    writer = gguf.GGUFWriter(OUT / "llama-plain.gguf", "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 6.0)
    for name, tensor in load_file(OUT / "llama-plain" / "adapter_model.safetensors").items():
        number, module, letter = re.fullmatch(r"base_model\.model\.model\.layers\.(\d+)\.(.+)\.lora_([AB])\.weight", name).groups()
        theirs = {"self_attn.v_proj": "attn_v", "mlp.down_proj": "ffn_down"}[module]
        writer.add_tensor(f"blk.{number}.{theirs}.weight.lora_{letter.lower()}", tensor.float().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def scaled(model, name, scale):
    for module in model.modules():
        for field in ("scaling",):
            scaling = getattr(module, field, None)
            if isinstance(scaling, dict) and name in scaling:
                scaling[name] *= scale


def language_runs(name):
    base, _ = LANGUAGE[name]
    cases = []
    for adapters in RUNS.get(name, [[(name, 1.0)], [(name, 0.6)]]):
        model = AutoModelForCausalLM.from_pretrained(HERE / base, dtype=torch.float32, attn_implementation="eager").eval()
        for number, (adapter, scale) in enumerate(adapters):
            if number == 0:
                model = peft.PeftModel.from_pretrained(model, OUT / adapter, adapter_name=adapter)
            else:
                model.load_adapter(OUT / adapter, adapter_name=adapter)
            scaled(model, adapter, scale)
        model.base_model.set_adapter([adapter for adapter, _ in adapters])
        with torch.no_grad():
            logits = model(torch.tensor([IDS])).logits[0]
        cases.append({"base": base, "adapters": adapters, "logits": numbers(logits.flatten()[::7])})
    return cases


# Pictures, by diffusers.
def randn(*shape, scale=0.3):
    return torch.randn(*shape) * scale


def layers_of(model, wanted):
    """The linear layers and convolutions whose names end so, with their shapes."""
    found = {}
    for name, module in model.named_modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d)) and any(name.endswith(end) for end in wanted):
            found[name] = module
    assert found, wanted
    return found


def matrices(module, rank):
    if isinstance(module, torch.nn.Conv2d):
        size = module.kernel_size
        return randn(rank, module.in_channels, *size), randn(module.out_channels, rank, 1, 1)
    return randn(rank, module.in_features), randn(module.out_features, rank)


def kohya(models, alphas=True, dora=False, name_of=lambda name: name):
    """Tensors by the names of Kohya's scripts, of pairs of a prefix and layers."""
    tensors = {}
    for number, (prefix, layers) in enumerate(models):
        for at, (name, module) in enumerate(layers.items()):
            rank = 2 + at % 2
            key = f"{prefix}_{name_of(name).replace('.', '_')}"
            down, up = matrices(module, rank)
            tensors[f"{key}.lora_down.weight"], tensors[f"{key}.lora_up.weight"] = down.half(), up.half()
            if alphas:
                # One for a part: diffusers 0.39 loses those that differ.
                tensors[f"{key}.alpha"] = torch.tensor(1.5 + number)
            if dora:
                weight = module.weight.data.float()
                lengths = weight.flatten(1).norm(dim=1) * (1 + 0.2 * torch.rand(weight.shape[0]))
                tensors[f"{key}.dora_scale"] = lengths.reshape(-1, *[1] * (weight.dim() - 1)) if weight.dim() > 2 else lengths
    return tensors


UNET = ("to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "conv1", "time_emb_proj", "conv_shortcut", "downsamplers.0.conv")
TEXT = ("q_proj", "out_proj", "fc1")


def sgm(name):
    """A layer of tiny SDXL's UNet by the names of its makers."""
    for theirs, ours in [
        ("input_blocks.1.0", "down_blocks.0.resnets.0"), ("input_blocks.2.0.op", "down_blocks.0.downsamplers.0.conv"),
        ("input_blocks.3.0", "down_blocks.1.resnets.0"), ("input_blocks.3.1", "down_blocks.1.attentions.0"),
        ("middle_block.0", "mid_block.resnets.0"), ("middle_block.1", "mid_block.attentions.0"), ("middle_block.2", "mid_block.resnets.1"),
        ("output_blocks.0.1", "up_blocks.0.attentions.0"), ("output_blocks.1.1", "up_blocks.0.attentions.1"),
    ]:
        if name.startswith(ours + ".") or name == ours:
            return theirs + name[len(ours):]
    raise KeyError(name)


def pipeline(name):
    class_ = {"sd1": diffusers.StableDiffusionPipeline, "sdxl": diffusers.StableDiffusionXLPipeline, "flux-dev": diffusers.FluxPipeline}[name]
    extra = {"sd1": dict(safety_checker=None, requires_safety_checker=False), "sdxl": dict(add_watermarker=False)}.get(name, {})
    pipe = class_.from_pretrained(HERE / "diffusion" / name, torch_dtype=torch.float32, **extra)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def write(name, tensors, metadata=None):
    OUT.mkdir(exist_ok=True)
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, OUT / f"{name}.safetensors", metadata)


def make_kohya():
    pipe = pipeline("sd1")
    torch.manual_seed(11)
    write("kohya", kohya([("lora_unet", layers_of(pipe.unet, UNET)), ("lora_te", layers_of(pipe.text_encoder, TEXT))]))


def make_lcm():
    pipe = pipeline("sd1")
    torch.manual_seed(12)
    write("lcm", kohya([("lora_unet", layers_of(pipe.unet, ("to_q", "ff.net.2", "conv2")))]))


def make_diffusers():
    pipe = pipeline("sd1")
    torch.manual_seed(14)
    config = LoraConfig(r=3, lora_alpha=2, target_modules=["to_q", "to_out.0", "conv2"], alpha_pattern={"attn2.to_q": 7})
    pipe.text_encoder.name_or_path = "diffusion/sd1/text_encoder"
    pipe.unet.add_adapter(config)
    pipe.text_encoder.add_adapter(LoraConfig(r=2, lora_alpha=5, target_modules=["v_proj", "fc2"]))
    wide(pipe.unet), wide(pipe.text_encoder)
    from diffusers.training_utils import _collate_lora_metadata
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict
    folder = OUT / "diffusers"
    diffusers.StableDiffusionPipeline.save_lora_weights(
        folder, unet_lora_layers=get_peft_model_state_dict(pipe.unet), text_encoder_lora_layers=get_peft_model_state_dict(pipe.text_encoder),
        **_collate_lora_metadata({"unet": pipe.unet, "text_encoder": pipe.text_encoder}),
    )


def make_sgm():
    pipe = pipeline("sdxl")
    torch.manual_seed(15)
    layers = {name: module for name, module in layers_of(pipe.unet, ("to_q", "to_out.0", "ff.net.2")).items()}
    tensors = kohya([("lora_unet", layers)], name_of=sgm)
    tensors |= kohya([("lora_te1", layers_of(pipe.text_encoder, TEXT)), ("lora_te2", layers_of(pipe.text_encoder_2, TEXT))])
    write("sgm", tensors)


def make_flux():
    pipe = pipeline("flux-dev")
    torch.manual_seed(16)
    tensors = {}
    wanted = ("to_q", "to_k", "proj_mlp", "proj_out", "add_v_proj", "to_add_out", "ff.net.2", "norm1.linear", "x_embedder")
    for name, module in layers_of(pipe.transformer, wanted).items():
        down, up = matrices(module, 2)
        tensors[f"transformer.{name}.lora_A.weight"], tensors[f"transformer.{name}.lora_B.weight"] = down, up
    write("flux", tensors)


def make_flux_kohya():
    pipe = pipeline("flux-dev")
    torch.manual_seed(17)
    size = pipe.transformer.config.num_attention_heads * pipe.transformer.config.attention_head_dim
    tensors = {}
    for number in range(2):
        for name, ins, outs in [
            ("img_attn_qkv", size, 3 * size), ("txt_attn_qkv", size, 3 * size), ("img_attn_proj", size, size), ("txt_attn_proj", size, size),
            ("img_mlp_0", size, 4 * size), ("txt_mlp_2", 4 * size, size), ("img_mod_lin", size, 6 * size),
        ]:
            key = f"lora_unet_double_blocks_{number}_{name}"
            tensors[f"{key}.lora_down.weight"], tensors[f"{key}.lora_up.weight"] = randn(3, ins), randn(outs, 3)
            tensors[f"{key}.alpha"] = torch.tensor(2.0)
        key = f"lora_unet_single_blocks_{number}_linear2"
        tensors[f"{key}.lora_down.weight"], tensors[f"{key}.lora_up.weight"] = randn(3, 5 * size), randn(size, 3)
        tensors[f"{key}.alpha"] = torch.tensor(1.0)
    write("flux-kohya", tensors)


MAKERS = {
    "kohya": make_kohya, "lcm": make_lcm, "diffusers": make_diffusers, "sgm": make_sgm, "flux": make_flux, "flux-kohya": make_flux_kohya,
}
SIZE = dict(height=64, width=64)
PICTURES = [
    ("sd1", [("kohya", 1.0)], dict(num_inference_steps=3, **SIZE)),
    ("sd1", [("kohya", 0.4)], dict(num_inference_steps=2, **SIZE)),
    ("sd1", [("kohya", -0.5), ("diffusers", 0.8)], dict(num_inference_steps=2, **SIZE)),
    ("sd1", [("diffusers", 1.0)], dict(num_inference_steps=2, **SIZE)),
    ("sd1", [("lcm", 1.0)], dict(num_inference_steps=4, guidance_scale=1.0, scheduler="LCMScheduler", **SIZE)),
    ("sdxl", [("sgm", 0.9)], dict(num_inference_steps=2, **SIZE)),
    ("flux-dev", [("flux", 1.0)], dict(num_inference_steps=2, max_sequence_length=32, **SIZE)),
    ("flux-dev", [("flux-kohya", 0.7)], dict(num_inference_steps=2, max_sequence_length=32, **SIZE)),
]


def picture(base, adapters, options):
    pipe = pipeline(base)
    for name, _ in adapters:
        path = OUT / f"{name}.safetensors"
        if path.exists():
            pipe.load_lora_weights(OUT, weight_name=path.name, adapter_name=name)
        else:
            pipe.load_lora_weights(OUT / name, adapter_name=name)
    pipe.set_adapters([name for name, _ in adapters], [scale for _, scale in adapters])
    given = dict(options)
    kind = given.pop("scheduler", None)
    if kind:
        pipe.scheduler = getattr(diffusers, kind).from_config(pipe.scheduler.config)
    images = pipe(PROMPT, generator=torch.Generator().manual_seed(0), output_type="np", **given).images
    pixels = (np.asarray(images) * 255).round().astype("uint8")
    plain = pipeline(base)
    if kind:
        plain.scheduler = getattr(diffusers, kind).from_config(plain.scheduler.config)
    others = (np.asarray(plain(PROMPT, generator=torch.Generator().manual_seed(0), output_type="np", **given).images) * 255).round().astype("uint8")
    moved = np.abs(pixels.astype(int) - others.astype(int)).max()
    assert moved > 12, (base, adapters, moved)
    return {"base": base, "adapters": adapters, "options": options, "pixels": pixels.flatten()[::17].tolist()}


def main():
    torch.set_num_threads(1)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    for name in LANGUAGE:
        language(name)
    plain_gguf()
    for make in MAKERS.values():
        make()
    expected = {
        "peft": peft.__version__, "diffusers": diffusers.__version__, "ids": IDS, "prompt": PROMPT,
        "language": [case for name in LANGUAGE for case in language_runs(name)],
        "pictures": [picture(*case) for case in PICTURES],
    }
    (OUT / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
    print(sum(file.stat().st_size for file in OUT.rglob("*") if file.is_file()) // 1000, "kB")


if __name__ == "__main__":
    main()
