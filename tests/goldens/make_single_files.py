"""Writes tests/goldens/single_files: the tiny pipelines of `diffusion` in the layouts of their makers.

    pip install torch==2.9.1 diffusers==0.39.0 transformers==4.57.6 gguf
    python tests/goldens/make_single_files.py

Run `make_diffusion.py` first. diffusers itself reads each file and has to paint what the folder paints.
"""

import json
import pathlib
import re
import shutil

import diffusers
import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file

from make_diffusion import PROMPT

HERE = pathlib.Path(__file__).parent
OUT = HERE / "single_files"
RESNET = [("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1"), ("norm2", "out_layers.0"), ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection")]


def state(folder, part):
    files = [*(folder / part).glob("*.safetensors")]
    assert len(files) == 1, files
    return load_file(files[0])


def unet_name(name, layers, downs):
    """Of a UNet of two resolutions."""
    ends = {
        "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2", "add_embedding.linear_1": "label_emb.0.0",
        "add_embedding.linear_2": "label_emb.0.2", "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    }
    for ours, theirs in ends.items():
        if name.startswith(ours + "."):
            return theirs + name[len(ours):]
    kind, block, module, number, rest = re.fullmatch(r"(down_blocks|up_blocks|mid_block)\.(?:(\d+)\.)?(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.(.+)", name).groups()
    number = int(number)
    if module == "resnets":
        for ours, theirs in RESNET:
            rest = theirs + rest[len(ours):] if rest.startswith(ours + ".") else rest
    if kind == "mid_block":
        return f"middle_block.{2 * number if module == 'resnets' else 1}.{rest}"
    block = int(block)
    if kind == "down_blocks":
        first = 1 + block * (layers + 1)
        if module == "downsamplers":
            return f"input_blocks.{first + layers}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{first + number}.{int(module == 'attentions')}.{rest}"
    first = block * (layers + 1)
    if module == "upsamplers":
        return f"output_blocks.{first + layers}.{2 if downs[block] else 1}.{rest}"
    return f"output_blocks.{first + number}.{int(module == 'attentions')}.{rest}"


def vae_name(name, blocks):
    name = name.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    name = re.sub(r"mid_block\.resnets\.(\d)", lambda found: f"mid.block_{int(found[1]) + 1}", name)
    name = name.replace("mid_block.attentions.0", "mid.attn_1")
    if "attn_1" in name:
        for ours, theirs in [("group_norm", "norm"), ("to_q", "q"), ("to_k", "k"), ("to_v", "v"), ("to_out.0", "proj_out")]:
            name = name.replace(f"attn_1.{ours}.", f"attn_1.{theirs}.")
    name = re.sub(r"down_blocks\.(\d+)\.resnets\.", r"down.\1.block.", name)
    name = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", name)
    name = re.sub(r"up_blocks\.(\d+)\.resnets\.", lambda found: f"up.{blocks - 1 - int(found[1])}.block.", name)
    return re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda found: f"up.{blocks - 1 - int(found[1])}.upsample", name)


def vae_tensors(folder, prefix):
    found = {}
    for name, tensor in state(folder, "vae").items():
        name = vae_name(name, 4)
        # Attention is convolutions of single pixels there.
        is_matrix = ".attn_1." in name and tensor.dim() == 2
        found[prefix + name] = tensor[:, :, None, None] if is_matrix else tensor
    return found


def open_clip(tensors, prefix):
    """The names of OpenCLIP, where query, key and value lie in one tensor."""
    found, fused = {}, {}
    for name, tensor in tensors.items():
        name = name.removeprefix("text_model.")
        if name == "text_projection.weight":
            found[f"{prefix}text_projection"] = tensor.T.contiguous()
        elif name.startswith("embeddings.position_embedding"):
            found[f"{prefix}positional_embedding"] = tensor
        elif name.startswith("embeddings.token_embedding"):
            found[f"{prefix}token_embedding.weight"] = tensor
        elif name.startswith("final_layer_norm"):
            found[prefix + name.replace("final_layer_norm", "ln_final")] = tensor
        elif "embeddings" not in name:
            number, rest = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", name).groups()
            start = f"{prefix}transformer.resblocks.{number}."
            if qkv := re.fullmatch(r"self_attn\.([qkv])_proj\.(weight|bias)", rest):
                fused.setdefault(f"{start}attn.in_proj_{qkv[2]}", {})[qkv[1]] = tensor
            else:
                for ours, theirs in [("layer_norm", "ln_"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"), ("self_attn", "attn")]:
                    rest = rest.replace(ours, theirs)
                found[start + rest] = tensor
    for name, parts in fused.items():
        found[name] = torch.cat([parts["q"], parts["k"], parts["v"]])
    return found


def stable(name, downs, text):
    folder = HERE / "diffusion" / name
    found = {f"model.diffusion_model.{unet_name(key, 1, downs)}": tensor for key, tensor in state(folder, "unet").items()}
    found |= vae_tensors(folder, "first_stage_model.")
    return found | text(folder)


def sd1_text(folder):
    return {f"cond_stage_model.transformer.{key}": tensor for key, tensor in state(folder, "text_encoder").items()}


def sd2_text(folder):
    tensors = state(folder, "text_encoder")
    # Checkpoints of SD 2 have a layer more than is used, and a projection.
    last = {key.replace("layers.2.", "layers.3."): torch.zeros_like(tensor) for key, tensor in tensors.items() if "layers.2." in key}
    return open_clip({**tensors, **last, "text_projection.weight": torch.zeros(16, 16).half()}, "cond_stage_model.model.")


def sdxl_text(folder):
    found = {f"conditioner.embedders.0.transformer.{key}": tensor for key, tensor in state(folder, "text_encoder").items()}
    return found | open_clip(state(folder, "text_encoder_2"), "conditioner.embedders.1.model.")


def refiner_text(folder):
    return open_clip(state(folder, "text_encoder_2"), "conditioner.embedders.0.model.")


def flux_tensors(folder):
    found, fused = {}, {}
    ends = {
        "x_embedder": "img_in", "context_embedder": "txt_in", "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
        "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer", "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
        "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer", "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
        "time_text_embed.text_embedder.linear_2": "vector_in.out_layer", "proj_out": "final_layer.linear", "norm_out.linear": "final_layer.adaLN_modulation.1",
    }
    double = {
        "norm1.linear": "img_mod.lin", "norm1_context.linear": "txt_mod.lin", "attn.norm_q": "img_attn.norm.query_norm", "attn.norm_k": "img_attn.norm.key_norm",
        "attn.norm_added_q": "txt_attn.norm.query_norm", "attn.norm_added_k": "txt_attn.norm.key_norm", "attn.to_out.0": "img_attn.proj",
        "attn.to_add_out": "txt_attn.proj", "ff.net.0.proj": "img_mlp.0", "ff.net.2": "img_mlp.2", "ff_context.net.0.proj": "txt_mlp.0", "ff_context.net.2": "txt_mlp.2",
    }
    single = {"norm.linear": "modulation.lin", "attn.norm_q": "norm.query_norm", "attn.norm_k": "norm.key_norm", "proj_out": "linear2"}
    rows = {
        "attn.to_q": ("img_attn.qkv", 0), "attn.to_k": ("img_attn.qkv", 1), "attn.to_v": ("img_attn.qkv", 2), "attn.add_q_proj": ("txt_attn.qkv", 0),
        "attn.add_k_proj": ("txt_attn.qkv", 1), "attn.add_v_proj": ("txt_attn.qkv", 2),
    }
    for name, tensor in state(folder, "transformer").items():
        module, end = name.rsplit(".", 1)
        number = re.fullmatch(r"(single_)?transformer_blocks\.(\d+)\.(.+)", module)
        if number is None:
            if module == "norm_out.linear":
                tensor = torch.cat(tensor.chunk(2)[::-1])
            found[f"{ends[module]}.{end}"] = tensor
            continue
        is_single, at, inner = number.groups()
        start = f"{'single' if is_single else 'double'}_blocks.{at}."
        if is_single and inner in ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"):
            fused.setdefault(f"{start}linear1.{end}", {})[["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"].index(inner)] = tensor
        elif not is_single and inner in rows:
            fused.setdefault(f"{start}{rows[inner][0]}.{end}", {})[rows[inner][1]] = tensor
        else:
            theirs = (single if is_single else double)[inner]
            found[f"{start}{theirs}.{'scale' if 'norm.' in theirs else end}"] = tensor
    for name, parts in fused.items():
        found[name] = torch.cat([parts[at] for at in sorted(parts)])
    return found


def write(name, tensors):
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, OUT / name)


def check(class_, file, name, **extra):
    """diffusers reads the file, and it is the folder's model."""
    folder = HERE / "diffusion" / name
    kwargs = dict(config=str(folder), local_files_only=True, torch_dtype=torch.float32)
    pipe = class_.from_single_file(str(OUT / file), **kwargs, **extra)
    other = class_.from_pretrained(folder, torch_dtype=torch.float32, **extra)
    for part in ("unet", "vae", "text_encoder", "text_encoder_2", "transformer"):
        one, two = getattr(pipe, part, None), getattr(other, part, None)
        if one is None:
            continue
        for key, tensor in two.state_dict().items():
            assert torch.equal(one.state_dict()[key], tensor), (file, part, key)
    print(file, "is", name)


def flux_gguf(tensors):
    writer = gguf.GGUFWriter(OUT / "flux-dev.gguf", "flux")
    blocks = {}
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        is_blocks = values.ndim == 2 and values.shape[1] % 32 == 0
        kind = gguf.GGMLQuantizationType.Q8_0 if is_blocks else gguf.GGMLQuantizationType.F32
        stored = gguf.quants.quantize(values, kind)
        writer.add_tensor(name, stored, raw_dtype=kind)
        if is_blocks:
            blocks[name] = torch.from_numpy(gguf.quants.dequantize(stored, kind))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert blocks
    return blocks


TIMES = {"time_in.in_layer.weight": "timestep_embedder.linear_1", "guidance_in.in_layer.weight": "guidance_embedder.linear_1"}


def gguf_picture(blocks):
    """What is painted with the numbers that the blocks stand for."""
    folder = HERE / "diffusion" / "flux-dev"
    pipe = diffusers.FluxPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    names = {"img_mlp.2": "ff.net.2", "txt_mlp.2": "ff_context.net.2"}
    state_dict = pipe.transformer.state_dict()
    for name, tensor in blocks.items():
        if name in TIMES:
            state_dict[f"time_text_embed.{TIMES[name]}.weight"].copy_(tensor)
            continue
        number, inner = re.fullmatch(r"double_blocks\.(\d+)\.(\w+\.\d)\.weight", name).groups()
        state_dict[f"transformer_blocks.{number}.{names[inner]}.weight"].copy_(tensor)
    options = dict(num_inference_steps=2, max_sequence_length=32, height=64, width=64)
    images = pipe(PROMPT, generator=torch.Generator().manual_seed(0), output_type="np", **options).images
    return {"options": options, "pixels": (np.asarray(images) * 255).round().astype("uint8").flatten()[::17].tolist()}


def main():
    torch.set_num_threads(1)
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    plain = dict(safety_checker=None, requires_safety_checker=False)
    sd1 = stable("sd1", [False, True], sd1_text)
    write("sd1.safetensors", sd1)
    torch.save({"state_dict": sd1, "global_step": 7}, OUT / "sd1.ckpt")
    write("sd2.safetensors", stable("sd2", [True, True], sd2_text))
    write("sdxl.safetensors", stable("sdxl", [True, False], sdxl_text))
    write("refiner.safetensors", stable("refiner", [True, False], refiner_text))
    write("inpaint.safetensors", stable("inpaint", [False, True], sd1_text))
    flux = flux_tensors(HERE / "diffusion" / "flux-dev")
    write("flux-dev.safetensors", flux)
    write("ae.safetensors", vae_tensors(HERE / "diffusion" / "flux-dev", ""))
    expected = {"gguf": gguf_picture(flux_gguf(flux))}
    (OUT / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
    check(diffusers.StableDiffusionPipeline, "sd1.safetensors", "sd1", **plain)
    check(diffusers.StableDiffusionXLPipeline, "sdxl.safetensors", "sdxl", add_watermarker=False)
    check(diffusers.StableDiffusionPipeline, "sd2.safetensors", "sd2", **plain)
    check(diffusers.StableDiffusionXLImg2ImgPipeline, "refiner.safetensors", "refiner", add_watermarker=False)
    check(diffusers.StableDiffusionInpaintPipeline, "inpaint.safetensors", "inpaint", **plain)
    for file in sorted(OUT.rglob("*.*")):
        print(file.name, file.stat().st_size // 1000, "kB")


if __name__ == "__main__":
    main()
