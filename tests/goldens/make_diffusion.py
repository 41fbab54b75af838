"""Writes tests/goldens/diffusion: tiny random pipelines of diffusers, and what they paint.

    pip install torch==2.9.1 diffusers==0.39.0 transformers==4.57.6
    LPW=FOLDER python tests/goldens/make_diffusion.py [NAME...]

LPW holds the community pipelines that weigh words and join windows, examples/community of the repository of diffusers:
lpw_stable_diffusion.py (SHA-256 37cac7da1cf7e77ffb06c49348b9dd9962ce829fb6a082046001a1595f6eb65d) and
lpw_stable_diffusion_xl.py (e397d440ffd49aa235f96432f726cf979198bec5acc66f1abda49146d6a4b0f0).
`refiner` goes on with what `sdxl` has begun, and comes after it.

Weights are rounded to f16 and stored as such; everything is computed in f32.
"""

import importlib.util
import json
import os
import pathlib
import shutil
import sys

import diffusers
import numpy as np
import torch
import transformers
from diffusers import AutoencoderKL, AutoencoderTiny, FluxTransformer2DModel, UNet2DConditionModel
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast
from transformers.models.clip.tokenization_clip import bytes_to_unicode

OUT = pathlib.Path(__file__).parent / "diffusion"
SD = dict(num_train_timesteps=1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
PROMPT = "a cat and a dog"


def clip_tokenizer(folder, pad=None):
    folder.mkdir(parents=True, exist_ok=True)
    letters = list(bytes_to_unicode().values())
    merges = ["c a", "ca t</w>", "d o", "do g</w>"]
    words = letters + [letter + "</w>" for letter in letters] + ["ca", "cat</w>", "do", "dog</w>", "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    return CLIPTokenizer(folder / "vocab.json", folder / "merges.txt", pad_token=pad or "<|endoftext|>", model_max_length=77)


def t5_tokenizer(folder):
    folder.mkdir(parents=True, exist_ok=True)
    letters = [(letter, -3.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    words = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u2581", -2.0), *letters, ("\u2581cat", -4.0), ("\u2581dog", -4.1)]
    tokenizer = Tokenizer(models.Unigram(words, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    tokenizer.save(str(folder / "tokenizer.json"))
    return T5TokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), extra_ids=0, model_max_length=512)


def rounded(model, scale=1.0):
    """Weights of a size that matters, exact in f16."""
    for name, parameter in model.named_parameters():
        if "norm" in name and parameter.dim() == 1:
            parameter.data += 0.1 * torch.randn_like(parameter)
        parameter.data = (parameter.data * (scale if parameter.dim() > 1 else 1.0)).half().float()
    return model.eval()


def clip(seed, projection=False, act="quick_gelu", eos=517, hidden=16):
    torch.manual_seed(seed)
    config = CLIPTextConfig(
        vocab_size=518, hidden_size=hidden, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=77,
        hidden_act=act, projection_dim=12, bos_token_id=516, eos_token_id=eos,
    )
    return rounded((CLIPTextModelWithProjection if projection else CLIPTextModel)(config), 3.0)


def unet(cross=16, **options):
    torch.manual_seed(1)
    base = dict(
        sample_size=16, in_channels=4, out_channels=4, layers_per_block=1, block_out_channels=(4, 8), norm_num_groups=2, cross_attention_dim=cross,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), attention_head_dim=2,
    )
    return rounded(UNet2DConditionModel(**{**base, **options}), 1.5)


def vae(channels=4, **options):
    torch.manual_seed(2)
    base = dict(
        block_out_channels=(4, 4, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=channels, norm_num_groups=2, layers_per_block=1, sample_size=64,
    )
    return rounded(AutoencoderKL(**{**base, **options}), 1.5)


def tiny_vae():
    torch.manual_seed(8)
    return rounded(AutoencoderTiny(
        encoder_block_out_channels=(6, 6, 6, 6), decoder_block_out_channels=(6, 6, 6, 6), num_encoder_blocks=(1, 1, 1, 1), num_decoder_blocks=(1, 1, 1, 1),
    ), 1.5)


def sd1(folder, **options):
    return diffusers.StableDiffusionPipeline(
        unet=options.get("unet") or unet(), vae=vae(scaling_factor=0.18215), text_encoder=clip(3, eos=2), tokenizer=clip_tokenizer(folder / "tokenizer"),
        scheduler=options.get("scheduler") or diffusers.PNDMScheduler(**SD, skip_prk_steps=True, steps_offset=1, set_alpha_to_one=False),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )


def inpaint(folder):
    return sd1(folder, unet=unet(in_channels=9), scheduler=diffusers.DDIMScheduler(**SD, steps_offset=1, clip_sample=False, set_alpha_to_one=False))


def sd2(folder):
    # Other heads at each resolution, linear projections, velocities.
    made = unet(attention_head_dim=(2, 4), use_linear_projection=True, down_block_types=("CrossAttnDownBlock2D",) * 2, up_block_types=("CrossAttnUpBlock2D",) * 2)
    scheduler = diffusers.DDIMScheduler(**SD, steps_offset=1, clip_sample=False, set_alpha_to_one=False, prediction_type="v_prediction")
    return sd1(folder, unet=made, scheduler=scheduler)


def lcm(folder):
    pipe = sd1(folder, unet=unet(time_cond_proj_dim=10), scheduler=diffusers.LCMScheduler(**SD))
    return diffusers.LatentConsistencyModelPipeline(**pipe.components, requires_safety_checker=False)


def sdxl(folder):
    made = unet(
        28, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(2, 4), use_linear_projection=True,
        transformer_layers_per_block=(1, 2), addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=6 * 4 + 12,
    )
    return diffusers.StableDiffusionXLPipeline(
        vae=vae(scaling_factor=0.13025, force_upcast=True), text_encoder=clip(3, eos=2), text_encoder_2=clip(4, True, "gelu", hidden=12),
        tokenizer=clip_tokenizer(folder / "tokenizer"), tokenizer_2=clip_tokenizer(folder / "tokenizer_2", "!"), unet=made,
        scheduler=diffusers.EulerDiscreteScheduler(**SD, steps_offset=1, timestep_spacing="leading"), add_watermarker=False,
    )


REFINER = dict(requires_aesthetics_score=True, force_zeros_for_empty_prompt=False)


def refiner(folder):
    """One encoder of texts, and a score in the place of the last two sizes."""
    made = unet(
        12, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), attention_head_dim=(2, 4), use_linear_projection=True,
        transformer_layers_per_block=2, addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=5 * 4 + 12,
    )
    return diffusers.StableDiffusionXLImg2ImgPipeline(
        vae=vae(scaling_factor=0.13025, force_upcast=True), text_encoder=None, text_encoder_2=clip(9, True, "gelu", hidden=12), tokenizer=None,
        tokenizer_2=clip_tokenizer(folder / "tokenizer_2", "!"), unet=made, scheduler=diffusers.EulerDiscreteScheduler(**SD, steps_offset=1, timestep_spacing="leading"),
        add_watermarker=False, **REFINER,
    )


def flux(folder, guidance=False, scheduler=None):
    torch.manual_seed(5)
    transformer = rounded(FluxTransformer2DModel(
        in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=8, num_attention_heads=2, joint_attention_dim=12,
        pooled_projection_dim=16, guidance_embeds=guidance, axes_dims_rope=(2, 2, 4),
    ), 1.5)
    torch.manual_seed(6)
    t5 = rounded(T5EncoderModel(T5Config(vocab_size=64, d_model=12, d_kv=4, d_ff=17, num_layers=2, num_heads=3, feed_forward_proj="gated-gelu")))
    return diffusers.FluxPipeline(
        scheduler=scheduler or diffusers.FlowMatchEulerDiscreteScheduler(shift=1.0), transformer=transformer, text_encoder=clip(3, eos=2), text_encoder_2=t5,
        vae=vae(4, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        tokenizer=clip_tokenizer(folder / "tokenizer"), tokenizer_2=t5_tokenizer(folder / "tokenizer_2"),
    )


def flux_dev(folder):
    return flux(folder, True, diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True))


SIZE = dict(height=64, width=64)
SMALL = [
    dict(num_inference_steps=4, **SIZE),
    dict(num_inference_steps=2, height=72, width=40, seed=5, guidance_scale=1.0),
    dict(num_inference_steps=3, **SIZE, negative_prompt="a dog", guidance_scale=3.0, guidance_rescale=0.7, clip_skip=1),
    dict(num_inference_steps=2, **SIZE, num_images_per_prompt=2),
]
SCHEDULERS = [
    dict(num_inference_steps=3, height=32, width=32, scheduler=kind)
    for kind in ("EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler", "HeunDiscreteScheduler", "UniPCMultistepScheduler")
]
IMAGE = [dict(num_inference_steps=5, strength=0.8, image=True), dict(num_inference_steps=2, image=[70, 53]), dict(num_inference_steps=4, strength=0.5, image=True, seed=3, scheduler="EulerDiscreteScheduler")]
TINY = dict(height=32, width=32)
# Steps of the caller's choice.
GIVEN = [
    dict(timesteps=[900, 600, 250], **TINY, scheduler="EulerDiscreteScheduler"), dict(sigmas=[8.0, 3.0, 0.7, 0.0], **TINY, scheduler="EulerDiscreteScheduler"),
    dict(timesteps=[950, 700, 400, 100], **TINY, scheduler="DPMSolverMultistepScheduler"), dict(timesteps=[950, 700, 400, 100], **TINY, scheduler="DPMSolverSinglestepScheduler"),
    dict(timesteps=[901, 400, 3], **TINY, scheduler="DDPMScheduler"), dict(timesteps=[800, 300], **TINY, scheduler="HeunDiscreteScheduler"),
    dict(timesteps=[999, 499, 99], **TINY, scheduler="LCMScheduler"), dict(timesteps=[999, 499, 99], **TINY, scheduler="TCDScheduler"),
    dict(timesteps=[900, 700, 400, 100], strength=0.5, image=[32, 32], scheduler="EulerDiscreteScheduler"),
]
LONG = "a cat and (a dog:1.4) " * 15
WEIGHED = [
    dict(num_inference_steps=2, **TINY, prompt="a (cat:1.5) and [a dog], ((more)) \\(or less\\)", negative_prompt="(dog:0.3", prompt_weights=True),
    dict(num_inference_steps=2, **TINY, prompt=LONG, negative_prompt="a dog", prompt_weights=True, max_embeddings_multiples=3),
    dict(num_inference_steps=2, **TINY, prompt=LONG, max_embeddings_multiples=2),
    dict(num_inference_steps=1, **TINY, prompt="", prompt_weights=True),
]
# Of SDXL: as long as they are, and both texts for both encoders.
WEIGHED_XL = [
    dict(num_inference_steps=2, **TINY, prompt="a (cat:1.5) and [a dog], ((more)) \\(or less\\)", negative_prompt="(dog:0.3", prompt_weights=True),
    dict(num_inference_steps=2, **TINY, prompt=LONG, negative_prompt="a dog", prompt_2="(a dog:1.3)", negative_prompt_2="[cat]", prompt_weights=True, max_embeddings_multiples=4, clip_skip=1),
    dict(num_inference_steps=2, **TINY, prompt="a cat and a dog " * 12, max_embeddings_multiples=3),
    dict(num_inference_steps=1, **TINY, prompt="(a cat:0.7)", prompt_weights=True, guidance_scale=1.0),
]
SIZES = [
    dict(num_inference_steps=2, **TINY, negative_prompt="a dog", negative_prompt_2="a cat", original_size=[512, 384], crops_coords_top_left=[8, 16], target_size=[96, 80]),
    dict(num_inference_steps=2, **TINY, original_size=[512, 384], negative_original_size=[32, 48], negative_crops_coords_top_left=[1, 2], negative_target_size=[64, 40]),
]
# With a picture, the sizes have other defaults.
SIZES_OF_PICTURES = [
    dict(num_inference_steps=4, strength=0.5, image=[32, 32], negative_prompt="a dog", original_size=[512, 384], crops_coords_top_left=[8, 16], negative_original_size=[32, 48]),
    dict(num_inference_steps=4, strength=0.5, image=[32, 32], negative_prompt="a dog", negative_target_size=[40, 48], negative_crops_coords_top_left=[1, 2]),
]
# Begun by SDXL, and gone on with.
BEGUN = dict(num_inference_steps=5, denoising_end=0.6, **TINY)
REFINED = [
    dict(num_inference_steps=5, denoising_start=0.6, base=BEGUN),
    dict(num_inference_steps=5, denoising_start=0.6, base=dict(BEGUN, seed=4, num_images_per_prompt=2), num_images_per_prompt=2, negative_prompt="a dog", aesthetic_score=7.5, negative_aesthetic_score=1.0, guidance_scale=3.0),
    dict(num_inference_steps=4, denoising_start=0.5, base=dict(BEGUN, num_inference_steps=4, denoising_end=0.5, scheduler="HeunDiscreteScheduler"), scheduler="HeunDiscreteScheduler"),
    dict(num_inference_steps=6, denoising_start=0.4, denoising_end=0.9, base=dict(BEGUN, num_inference_steps=6, denoising_end=0.4, scheduler="DPMSolverMultistepScheduler"), scheduler="DPMSolverMultistepScheduler"),
    dict(num_inference_steps=5, denoising_start=0.6, seed=2, base=dict(num_inference_steps=5, denoising_end=0.6, image=True, mask_image=True, **SIZE), mask_image=True, **SIZE),
    dict(num_inference_steps=4, strength=0.5, image=[32, 40], original_size=[64, 48], crops_coords_top_left=[1, 2], negative_original_size=[32, 24], negative_crops_coords_top_left=[3, 4]),
    dict(num_inference_steps=5, denoising_start=0.7, image=[32, 32]),
    dict(num_inference_steps=4, image_latents=[1, 4, 4, 5], num_images_per_prompt=2, clip_skip=1),
]
PIPELINES = {
    "sd1": (sd1, [*SMALL, *SCHEDULERS, dict(num_inference_steps=2, eta=1.0, scheduler="DDIMScheduler", **SIZE), dict(num_inference_steps=1, height=128, width=128, vae_tiling=True), *IMAGE, dict(num_inference_steps=3, image=True, mask_image=True, scheduler="DDIMScheduler", **SIZE), dict(num_inference_steps=4, strength=0.6, image=True, mask_image=True, scheduler="EulerDiscreteScheduler", **SIZE), *GIVEN, *WEIGHED,
        dict(num_inference_steps=6, strength=0.5, image=[32, 32], scheduler="LCMScheduler"), dict(num_inference_steps=6, strength=0.5, image=[32, 32], scheduler="TCDScheduler"),
        dict(num_inference_steps=4, strength=0.5, image_latents=[1, 4, 4, 5]),
    ]),
    "sd2": (sd2, [*SMALL[:2], dict(num_inference_steps=3, height=40, width=104), WEIGHED[0]]),
    "inpaint": (inpaint, [dict(num_inference_steps=3, image=True, mask_image=True, **SIZE), dict(num_inference_steps=4, strength=0.6, image=True, mask_image=True, **SIZE)]),
    "lcm": (lcm, [dict(num_inference_steps=4, guidance_scale=8.0, **SIZE), dict(num_inference_steps=1, **SIZE), dict(TINY), dict(strength=0.3, image=[32, 40], guidance_scale=2.0)]),
    "sdxl": (sdxl, [*SMALL, dict(num_inference_steps=2, prompt_2="a dog", **SIZE), dict(num_inference_steps=2, negative_prompt="", **SIZE), *IMAGE[:1], *SIZES, dict(num_inference_steps=3, image=True, mask_image=True, **SIZE),
        *SIZES_OF_PICTURES, *WEIGHED_XL, BEGUN, dict(BEGUN, denoising_end=0.35, scheduler="HeunDiscreteScheduler"), dict(num_inference_steps=6, denoising_start=0.3, denoising_end=0.8, image=[32, 32]),
        dict(num_inference_steps=6, denoising_end=0.7, image=True, mask_image=True, **SIZE), dict(num_inference_steps=2, prompt_2="", **TINY),
    ]),
    "refiner": (refiner, REFINED),
    "flux-schnell": (flux, [
        dict(num_inference_steps=4, guidance_scale=0.0, max_sequence_length=32, **SIZE), dict(num_inference_steps=2, max_sequence_length=16, height=96, width=48, seed=9),
        dict(num_inference_steps=1, max_sequence_length=32, num_images_per_prompt=2, **SIZE), dict(num_inference_steps=2, max_sequence_length=32, height=70, width=72),
        dict(num_inference_steps=5, strength=0.5, max_sequence_length=16, image=True, **SIZE), dict(num_inference_steps=4, strength=0.5, max_sequence_length=16, image_latents=[1, 4, 8, 6], height=64, width=48), dict(sigmas=[1.0, 0.6, 0.1], max_sequence_length=16, **SIZE),
    ]),
    "flux-dev": (flux_dev, [dict(num_inference_steps=3, max_sequence_length=32, **SIZE), dict(num_inference_steps=2, guidance_scale=1.5, max_sequence_length=32, prompt_2="dog", **SIZE),
        dict(num_inference_steps=3, max_sequence_length=16, image=[70, 53], height=72, width=64, num_images_per_prompt=2), dict(num_inference_steps=4, max_sequence_length=16, image=True, mask_image=True, **SIZE),
        dict(num_inference_steps=4, strength=1.0, max_sequence_length=16, image=True, mask_image=True, guidance_scale=2.0, **SIZE),
        dict(num_inference_steps=2, max_sequence_length=16, negative_prompt="a dog", negative_prompt_2="a cat", true_cfg_scale=3.0, **SIZE),
    ]),
}


def numbers(tensor):
    return [float(f"{float(x):.6g}") for x in torch.as_tensor(tensor).flatten()]


def picture(height=64, width=64):
    return Image.fromarray(((np.arange(height * width * 3) * 7) % 251).reshape(height, width, 3).astype("uint8"))


def mask():
    rows = np.arange(64)
    light = (rows[:, None] >= 24) & (rows[None, :] < 40)
    return Image.fromarray(np.repeat((light * 255)[:, :, None], 3, 2).astype("uint8"))


def community(name):
    path = pathlib.Path(os.environ.get("LPW", ".")) / f"{name}.py"
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path))
    # The ids of the special tokens of real CLIPs stand in it.
    exec(compile(path.read_text().replace("bos, eos = 49406, 49407", "bos, eos = 516, 517"), name, "exec"), module.__dict__)
    return module


def kind_of(pipe, has_image, has_mask):
    bases = {
        "FluxPipeline": "Flux", "StableDiffusionXLPipeline": "StableDiffusionXL", "StableDiffusionXLImg2ImgPipeline": "StableDiffusionXL",
        "LatentConsistencyModelPipeline": "LatentConsistencyModel",
    }
    base = bases.get(type(pipe).__name__, "StableDiffusion")
    return getattr(diffusers, base + ("Inpaint" if has_mask else "Img2Img" if has_image else "") + "Pipeline"), base


def wave(*shape):
    return torch.sin(torch.arange(int(np.prod(shape)), dtype=torch.float32) * 0.37).reshape(shape)


def begun(options):
    """Latents of SDXL for the refiner."""
    pipe = diffusers.StableDiffusionXLPipeline.from_pretrained(OUT / "sdxl", torch_dtype=torch.float32, add_watermarker=False)
    return paint(pipe, {**options, "output_type": "latent"})


def paint(pipe, options):
    options = dict(options)
    generator = torch.Generator().manual_seed(options.pop("seed", 0))
    kind, tiling = options.pop("scheduler", None), options.pop("vae_tiling", False)
    prompt = options.pop("prompt", PROMPT)
    weighs, windows = options.pop("prompt_weights", False), options.pop("max_embeddings_multiples", 1)
    scheduler = pipe.scheduler
    used = pipe
    size, of_latents, base_options = options.pop("image", None), options.pop("image_latents", None), options.pop("base", None)
    if size or of_latents or base_options:
        class_, base = kind_of(pipe, True, options.get("mask_image"))
        extra = dict(requires_safety_checker=False) if base in ("StableDiffusion", "LatentConsistencyModel") else {}
        if base == "StableDiffusionXL":
            extra = {name: pipe.config[name] for name in REFINER if name in pipe.config}
            extra["add_watermarker"] = False
        used = class_(**pipe.components, **extra)
        if base_options:
            options["image"] = begun(base_options)
        elif of_latents:
            options["image"] = wave(*of_latents)
        else:
            options["image"] = picture() if size is True else picture(*size)
        if options.pop("mask_image", None):
            options["mask_image"] = mask()
    options.update({name: tuple(pair) for name, pair in options.items() if name.endswith(("_size", "_top_left"))})
    if kind:
        used.scheduler = getattr(diffusers, kind).from_config(scheduler.config)
    used.set_progress_bar_config(disable=True)
    if tiling:
        used.vae.enable_tiling()
    if weighs or windows > 1:
        negative = options.pop("negative_prompt", "")
        with torch.no_grad():
            if hasattr(pipe, "text_encoder_2"):
                others = [options.pop(name, None) for name in ("prompt_2", "negative_prompt_2", "clip_skip")]
                texts = community("lpw_stable_diffusion_xl").get_weighted_text_embeddings_sdxl(pipe, prompt, others[0], negative, others[1], clip_skip=others[2])
                options.update(pooled_prompt_embeds=texts[2], negative_pooled_prompt_embeds=texts[3])
            else:
                texts = community("lpw_stable_diffusion").get_weighted_text_embeddings(pipe, prompt, negative, max_embeddings_multiples=windows, skip_parsing=not weighs)
        options.update(prompt_embeds=texts[0], negative_prompt_embeds=texts[1])
    else:
        options["prompt"] = prompt
    seen = []

    def see(_, step, timestep, kwargs):
        seen.append(kwargs["latents"])
        return kwargs

    output = options.pop("output_type", "np")
    images = used(generator=generator, output_type=output, callback_on_step_end=see, **options).images
    if output == "latent":
        return images
    used.vae.disable_tiling()
    pipe.scheduler = scheduler
    latents = seen[-1]
    pixels = (np.asarray(images) * 255).round().astype("uint8")
    if latents.dim() == 3:
        # FLUX's are in patches.
        latents = used._unpack_latents(latents, pixels.shape[1], pixels.shape[2], used.vae_scale_factor)
    return {"latents": numbers(latents), "shape": list(pixels.shape), "pixels": pixels.flatten()[::17].tolist(), "steps": len(seen)}


def parts(pipe):
    """What each part makes of numbers that every language has."""
    found = {}
    with torch.no_grad():
        moments = pipe.vae.encode(wave(1, 3, 64, 48)).latent_dist.parameters
        found["moments"] = numbers(moments)
        found["decoded"] = numbers(pipe.vae.decode(wave(1, 4, 8, 6)).sample.flatten()[::17])
        if pipe.text_encoder is not None:
            ids = pipe.tokenizer(PROMPT, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
            made = pipe.text_encoder(ids, output_hidden_states=True)
            found["ids"] = ids[0].tolist()
            found["last"] = numbers(made.last_hidden_state.flatten()[::3])
            found["pooled"] = numbers(made.pooler_output)
            found["second"] = numbers(made.hidden_states[-2].flatten()[::3])
        if getattr(pipe, "text_encoder_2", None) is not None and hasattr(pipe.text_encoder_2, "text_projection"):
            ids = pipe.tokenizer_2(PROMPT, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
            found["ids_2"] = ids[0].tolist()
            found["projected"] = numbers(pipe.text_encoder_2(ids).text_embeds)
        if hasattr(pipe, "transformer"):
            tokens = torch.tensor([[3, 30, 1, 0, 0]])
            found["t5"] = numbers(pipe.text_encoder_2(tokens).last_hidden_state)
            ids = pipe._prepare_latent_image_ids(1, 4, 3, "cpu", torch.float32)
            found["step"] = numbers(pipe.transformer(
                hidden_states=wave(1, 12, 16), timestep=torch.tensor([0.7]), guidance=torch.tensor([2.5]) if pipe.transformer.config.guidance_embeds else None,
                pooled_projections=wave(1, 16), encoder_hidden_states=wave(1, 5, 12), txt_ids=torch.zeros(5, 3), img_ids=ids,
            ).sample)
        else:
            config = pipe.unet.config
            is_xl = config.addition_embed_type is not None
            sizes = torch.tensor([[64.0, 48.0, 3.0, 5.0, 60.0, 40.0]])
            if pipe.config.get("requires_aesthetics_score"):
                sizes = sizes[:, :5]
            added = dict(text_embeds=wave(1, 12), time_ids=sizes) if is_xl else None
            guidance = wave(1, config.time_cond_proj_dim) if config.time_cond_proj_dim else None
            found["step"] = numbers(pipe.unet(
                wave(1, config.in_channels, 8, 6), torch.tensor(501), wave(1, 7, config.cross_attention_dim), added_cond_kwargs=added, timestep_cond=guidance,
            ).sample)
    return found


def tiny(folder):
    model = tiny_vae()
    model.half().save_pretrained(folder)
    model.float()
    wave = torch.sin(torch.arange(3 * 32 * 24, dtype=torch.float32) * 0.37).reshape(1, 3, 32, 24)
    with torch.no_grad():
        encoded = model.encode(wave).latents
        decoded = model.decode(torch.sin(torch.arange(48, dtype=torch.float32) * 0.37).reshape(1, 4, 4, 3) * 4).sample
    (folder / "expected.json").write_text(json.dumps({"encoded": numbers(encoded), "decoded": numbers(decoded)}) + "\n")


def main():
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or [*PIPELINES, "tiny-vae"]
    for name in wanted:
        folder = OUT / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if name == "tiny-vae":
            tiny(folder)
            continue
        make, cases = PIPELINES[name]
        pipe = make(folder)
        # As from a folder, where every option stands: `from_config` takes all of them over.
        pipe.scheduler.save_pretrained(folder / "scheduler")
        pipe.scheduler = type(pipe.scheduler).from_pretrained(folder / "scheduler")
        expected = {"prompt": PROMPT, "diffusers": diffusers.__version__, "transformers": transformers.__version__, "parts": parts(pipe), "cases": []}
        for options in cases:
            expected["cases"].append({"options": options, **paint(pipe, options)})
        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                part.half()
        pipe.save_pretrained(folder, safe_serialization=True)
        for extra in ["README.md"]:
            (folder / extra).unlink(missing_ok=True)
        (folder / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        print(name, size // 1000, "kB")


if __name__ == "__main__":
    main()
