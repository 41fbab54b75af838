"""Writes tests/goldens/adapters: LoRA for the tiny models of other goldens, and what these then compute.

    pip install torch==2.9.1 diffusers==0.39.0 transformers==4.57.6 peft==0.21.2 gguf lycoris-lora==4.1.3
    python tests/goldens/make_adapters.py

Language models and pictures are computed with the adapters beside the weights, in f32. diffusers 0.39 reads no `dora_scale`, LoHa or
LoKr: such files are put into its models by PEFT, or, where PEFT has no such kind, by the formulas of LyCORIS.
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
from lycoris.functional.general import rebuild_tucker, weight_decompose
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model
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
OTHERS = {
    "llama-loha": ("llama-tiny", LoHaConfig(r=3, alpha=6, target_modules=["q_proj", "down_proj"], rank_pattern={"down_proj": 2}, alpha_pattern={"q_proj": 3})),
    "llama-lokr": ("llama-tiny", LoKrConfig(r=2, alpha=3, target_modules=["q_proj", "v_proj", "down_proj"], decompose_both=True, decompose_factor=4)),
    "llama-lokr-full": ("llama-tiny", LoKrConfig(r=8, alpha=6, target_modules=["k_proj", "o_proj"], rank_pattern={"o_proj": 16})),
}
# Adapters and their scales.
RUNS = {"llama": [[("llama", 1.0)], [("llama", -0.5)], [("llama", 0.7), ("llama-patterns", 1.5)]]}


def wide(model):
    """Adapters begin with zeros; random numbers of a size that matters."""
    for name, parameter in model.named_parameters():
        if "lora_" in name and "magnitude" not in name:
            parameter.data = torch.randn_like(parameter) * 0.4
        elif "hada_" in name or "lokr_" in name:
            parameter.data = torch.randn_like(parameter) * 0.5
        elif "lora_magnitude" in name:
            parameter.data *= 1.0 + 0.2 * torch.rand_like(parameter)
        elif "modules_to_save" in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


def language(name):
    base, config = LANGUAGE.get(name) or OTHERS[name]
    if isinstance(config, dict):
        config = LoraConfig(task_type="CAUSAL_LM", **config)
    else:
        config.task_type = "CAUSAL_LM"
    torch.manual_seed(len(name))
    made = AutoModelForCausalLM.from_pretrained(HERE / base, dtype=torch.float32)
    # Files say no path of the machine that made them.
    made.name_or_path = base
    model = wide(get_peft_model(made, config))
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
    base, _ = LANGUAGE.get(name) or OTHERS[name]
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


def kohya(models, dora=False, name_of=lambda name: name, rank_of=lambda at: 2 + at % 2):
    """Tensors by the names of Kohya's scripts, of pairs of a prefix and layers."""
    tensors = {}
    for number, (prefix, layers) in enumerate(models):
        for at, (name, module) in enumerate(layers.items()):
            rank = rank_of(at)
            key = f"{prefix}_{name_of(name).replace('.', '_')}"
            down, up = matrices(module, rank)
            tensors[f"{key}.lora_down.weight"], tensors[f"{key}.lora_up.weight"] = down.half(), up.half()
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


def make_xl():
    """As those that make SDXL fast: the names of diffusers behind Kohya's, in all of the UNet."""
    pipe = pipeline("sdxl")
    torch.manual_seed(18)
    # diffusers 0.39 loses layers of `add_embedding`, whose names it takes apart.
    more = ("conv_in", "conv_out", "time_embedding.linear_1", "conv2", "upsamplers.0.conv")
    layers = layers_of(pipe.unet, (*UNET, *more))
    write("xl", kohya([("lora_unet", {name: module for name, module in layers.items()})]))


def make_dora():
    pipe = pipeline("sd1")
    torch.manual_seed(19)
    write("dora", kohya([("lora_unet", layers_of(pipe.unet, UNET)), ("lora_te", layers_of(pipe.text_encoder, TEXT))], dora=True))


def make_dora_inputs():
    """As older files of LyCORIS: lengths of what is read from each channel."""
    pipe = pipeline("sd1")
    torch.manual_seed(20)
    layers = layers_of(pipe.unet, ("to_q", "ff.net.2", "conv2"))
    tensors = kohya([("lora_unet", layers)])
    for name, module in layers.items():
        weight = module.weight.data.float()
        lengths = weight.transpose(0, 1).flatten(1).norm(dim=1) * (1 + 0.2 * torch.rand(weight.shape[1]))
        tensors[f"lora_unet_{name.replace('.', '_')}.dora_scale"] = lengths.reshape(1, -1, *[1] * (weight.dim() - 2))
    write("dora-inputs", tensors)


def make_tucker():
    pipe = pipeline("sd1")
    torch.manual_seed(21)
    tensors = {}
    for name, module in layers_of(pipe.unet, ("conv1", "conv2", "downsamplers.0.conv")).items():
        key = f"lora_unet_{name.replace('.', '_')}"
        tensors[f"{key}.lora_down.weight"] = randn(2, module.in_channels, 1, 1, scale=0.6)
        tensors[f"{key}.lora_up.weight"] = randn(module.out_channels, 2, 1, 1, scale=0.6)
        tensors[f"{key}.lora_mid.weight"] = randn(2, 2, *module.kernel_size, scale=0.6)
        tensors[f"{key}.alpha"] = torch.tensor(1.5)
    write("tucker", tensors)


LYCORIS = {
    "loha": (LoHaConfig, dict(r=2, alpha=3, use_effective_conv2d=True), 22),
    "loha-flat": (LoHaConfig, dict(r=2, alpha=2), 23),
    "lokr": (LoKrConfig, dict(r=1, alpha=1.5, use_effective_conv2d=True, decompose_both=True), 24),
    "lokr-flat": (LoKrConfig, dict(r=2, alpha=1, decompose_factor=2), 25),
}


def with_lycoris(pipe, name):
    """The pipeline with a random LoHa or LoKr of PEFT, and its tensors by the names of Kohya's scripts."""
    class_, config, seed = LYCORIS[name]
    torch.manual_seed(seed)
    tensors = {}
    for prefix, model, wanted in [("lora_unet", pipe.unet, UNET), ("lora_te", pipe.text_encoder, TEXT)]:
        layers = layers_of(model, wanted)
        peft.inject_adapter_in_model(class_(target_modules=list(layers), **config), model, adapter_name="default")
        wide(model)
        for module in layers:
            layer = model.get_submodule(module)
            key = f"{prefix}_{module.replace('.', '_')}"
            found = {end: matrices["default"] for end, matrices in layer.named_children() if isinstance(matrices, torch.nn.ParameterDict) and "default" in matrices}
            tensors |= {f"{key}.{end}": matrix.data for end, matrix in found.items()}
            tensors[f"{key}.alpha"] = torch.tensor(float(config["alpha"]))
            if {"lokr_w1", "lokr_w2"} <= set(found):
                # Without a rank, LyCORIS takes no alpha.
                layer.scaling["default"] = 1.0
    return tensors


def make_lycoris(name):
    def make():
        write(name, with_lycoris(pipeline("sd1"), name))
    return make


def load_other(pipe, name, scale):
    """Puts what diffusers does not read into its models."""
    tensors = load_file(OUT / f"{name}.safetensors")
    if name in LYCORIS:
        made = with_lycoris(pipe, name)
        assert all(torch.equal(made[key], tensor) for key, tensor in tensors.items())
        for model in (pipe.unet, pipe.text_encoder):
            scaled(model, "default", scale)
        return
    if name == "dora":
        for prefix, model in [("lora_unet", pipe.unet), ("lora_te", pipe.text_encoder)]:
            keys = {f"{prefix}_{module.replace('.', '_')}": module for module, _ in model.named_modules()}
            found = {module: key for key, module in keys.items() if f"{key}.lora_down.weight" in tensors}
            ranks = {module: tensors[f"{key}.lora_down.weight"].shape[0] for module, key in found.items()}
            peft.inject_adapter_in_model(LoraConfig(r=2, rank_pattern=ranks, target_modules=list(found), use_dora=True), model, adapter_name="default")
            for module, key in found.items():
                layer = model.get_submodule(module)
                layer.lora_A["default"].weight.data = tensors[f"{key}.lora_down.weight"].float()
                layer.lora_B["default"].weight.data = tensors[f"{key}.lora_up.weight"].float()
                lengths = layer.lora_magnitude_vector["default"].weight
                lengths.data = tensors[f"{key}.dora_scale"].float().reshape(lengths.shape)
                layer.scaling["default"] = float(tensors[f"{key}.alpha"]) / ranks[module] * scale
        return
    for module_name, module in pipe.unet.named_modules():
        key = f"lora_unet_{module_name.replace('.', '_')}"
        if f"{key}.lora_down.weight" not in tensors:
            continue
        part = {end: tensors[f"{key}.{end}"].float() for end in ("lora_down.weight", "lora_up.weight", "lora_mid.weight", "alpha", "dora_scale") if f"{key}.{end}" in tensors}
        down, up = part["lora_down.weight"], part["lora_up.weight"]
        if "lora_mid.weight" in part:
            more = rebuild_tucker(part["lora_mid.weight"], up.flatten(1).T, down.flatten(1))
        else:
            more = (up.flatten(1) @ down.flatten(1)).reshape(module.weight.shape)
        weight = module.weight.data + more * part["alpha"] / down.shape[0] * scale
        if "dora_scale" in part:
            weight = weight_decompose(weight, part["dora_scale"], wd_on_out=False)
        module.weight.data = weight


def make_flux_xlabs():
    pipe = pipeline("flux-dev")
    torch.manual_seed(26)
    size = pipe.transformer.config.num_attention_heads * pipe.transformer.config.attention_head_dim
    tensors = {}
    for number in range(2):
        modules = [(f"double_blocks.{number}.processor.{name}", outs) for name, outs in [("qkv_lora1", 3 * size), ("qkv_lora2", 3 * size), ("proj_lora1", size), ("proj_lora2", size)]]
        modules.append((f"single_blocks.{number}.processor.qkv_lora", 3 * size))
        for key, outs in modules:
            tensors[f"{key}.down.weight"], tensors[f"{key}.up.weight"] = randn(3, size), randn(outs, 3)
        key = f"single_blocks.{number}.processor.proj_lora"
        tensors[f"{key}.down.weight"], tensors[f"{key}.up.weight"] = randn(3, 5 * size), randn(size, 3)
    write("flux-xlabs", tensors)


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
    # Of one rank: without the alphas, which it puts into the matrices, diffusers 0.39 scales others wrongly.
    tensors |= kohya([("lora_te1", layers_of(pipe.text_encoder, TEXT))], rank_of=lambda at: 3)
    write("flux-kohya", tensors)
    # The same by the names of FLUX's makers, with the alphas in the matrices.
    others = {}
    for key in [name.removesuffix(".alpha") for name in tensors if name.endswith(".alpha")]:
        down, up = tensors[f"{key}.lora_down.weight"].float(), tensors[f"{key}.lora_up.weight"].float()
        theirs = key.replace("lora_te1_text_model_encoder_layers_", "text_encoders.clip_l.transformer.text_model.encoder.layers.")
        theirs = theirs.replace("lora_unet_double_blocks_", "diffusion_model.double_blocks.").replace("lora_unet_single_blocks_", "diffusion_model.single_blocks.")
        start, number, rest = re.fullmatch(r"(.+)\.(\d+)_(.+)", theirs).groups()
        for end in ("img_attn", "txt_attn", "img_mlp", "txt_mlp", "img_mod", "self_attn", "mlp"):
            rest = rest.replace(f"{end}_", f"{end}.", 1) if rest.startswith(f"{end}_") else rest
        others[f"{start}.{number}.{rest}.lora_A.weight"] = down * tensors[f"{key}.alpha"] / down.shape[0]
        others[f"{start}.{number}.{rest}.lora_B.weight"] = up
    write("flux-bfl", others)


MAKERS = {
    "kohya": make_kohya, "lcm": make_lcm, "diffusers": make_diffusers, "sgm": make_sgm, "flux": make_flux, "flux-kohya": make_flux_kohya, "flux-xlabs": make_flux_xlabs,
    "xl": make_xl, "dora": make_dora, "dora-inputs": make_dora_inputs, "tucker": make_tucker, **{name: make_lycoris(name) for name in LYCORIS},
}
# What is loaded past diffusers; only one at a time.
PAST = {"dora", "dora-inputs", "tucker", *LYCORIS}
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
    ("flux-dev", [("flux-bfl", 0.7)], dict(num_inference_steps=2, max_sequence_length=32, **SIZE)),
    ("flux-dev", [("flux-xlabs", 1.0)], dict(num_inference_steps=2, max_sequence_length=32, **SIZE)),
    # As Lightning is painted with, and Hyper, and LCM.
    ("sdxl", [("xl", 1.0)], dict(timesteps=[999, 749, 499, 249], guidance_scale=0.0, scheduler="EulerDiscreteScheduler", **SIZE)),
    ("sdxl", [("xl", 0.125)], dict(num_inference_steps=2, guidance_scale=0.0, eta=1.0, scheduler="TCDScheduler", **SIZE)),
    ("sdxl", [("xl", 0.5)], dict(num_inference_steps=2, guidance_scale=1.0, scheduler="LCMScheduler", **SIZE)),
    ("sd1", [("dora", 1.0)], dict(num_inference_steps=2, **SIZE)),
    ("sd1", [("dora", 0.6)], dict(num_inference_steps=2, **SIZE)),
    ("sd1", [("dora-inputs", 1.0)], dict(num_inference_steps=2, **SIZE)),
    ("sd1", [("tucker", 0.8)], dict(num_inference_steps=2, **SIZE)),
    *(("sd1", [(name, scale)], dict(num_inference_steps=2, **SIZE)) for name, scale in [("loha", 1.0), ("loha-flat", 0.7), ("lokr", 0.8), ("lokr-flat", 1.0)]),
]


def picture(base, adapters, options):
    pipe = pipeline(base)
    for name, scale in adapters:
        path = OUT / ("flux-kohya.safetensors" if name == "flux-bfl" else f"{name}.safetensors")
        if name in PAST:
            load_other(pipe, name, scale)
        elif path.exists():
            pipe.load_lora_weights(OUT, weight_name=path.name, adapter_name=name)
        else:
            pipe.load_lora_weights(OUT / name, adapter_name=name)
    if not any(name in PAST for name, _ in adapters):
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
    for name in [*LANGUAGE, *OTHERS]:
        language(name)
    plain_gguf()
    for make in MAKERS.values():
        make()
    expected = {
        "peft": peft.__version__, "diffusers": diffusers.__version__, "ids": IDS, "prompt": PROMPT,
        "language": [case for name in [*LANGUAGE, *OTHERS] for case in language_runs(name)],
        "pictures": [picture(*case) for case in PICTURES],
    }
    (OUT / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
    print(sum(file.stat().st_size for file in OUT.rglob("*") if file.is_file()) // 1000, "kB")


if __name__ == "__main__":
    main()
