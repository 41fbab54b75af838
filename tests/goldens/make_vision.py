"""Makes the tiny random models that see in `vision/`, what the Python reference computes with them, and what its pipelines return.

    venv/bin/python tests/goldens/make_vision.py               # transformers==4.57.6 torch==2.9.1 pillow==13.0.0
    venv/bin/python tests/goldens/make_vision.py clip siglip   # only these

A folder is a checkpoint with its preprocessor_config.json, `expected.safetensors` and `golden.json`. The arrays are, for each picture of
`PICTURES`, `<picture>.states` and `<picture>.pooled` of the encoder, `<picture>.logits` of the classifier, and of pairs
`<picture>.embeds`, `texts` and `<picture>.logits` (one for each text). The calls are those of the folder's pipelines: pictures by width
and height, options, and the output or the error that Python raises. Pictures are made by the formula of `make_images.py`.
"""

import json
import shutil
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoImageProcessor,
    AutoTokenizer,
    CLIPTokenizerFast,
    PreTrainedTokenizerFast,
    pipeline,
)

transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "vision"
PICTURES = [(20, 13), (30, 31)]
LABELS = ["tabby, tabby cat", "macaw", "a bike", "Straße", "none"]
TEXTS = ["This is a photo of a cat.", "two parrots", "a"]

SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40)
VIT = SMALL | dict(image_size=24, patch_size=8)
DINO = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=7)
CONV = dict(hidden_sizes=[8, 12], depths=[2, 1], num_stages=2, patch_size=3)
EDGE = {"shortest_edge": 30}
HALVES = dict(
    text_config=SMALL | dict(vocab_size=600, max_position_embeddings=24, eos_token_id=513, bos_token_id=512, pad_token_id=513, projection_dim=24),
    vision_config=SMALL | dict(image_size=24, patch_size=6, projection_dim=24), projection_dim=24,
)
WIDE = SMALL | dict(vocab_size=40, max_position_embeddings=64)
SIGLIP = dict(text_config=WIDE, vision_config=SMALL | dict(image_size=25, patch_size=8))
CLIP_SIZE = {"shortest_edge": 26}, {"height": 24, "width": 24}

# name: class of the model, options of its config, labels, class and options of the image processor, tokenizer.
GOLDENS = {
    "vit": ("ViTForImageClassification", VIT, 5, "ViTImageProcessor", dict(size=24), None),
    "vit-base": ("ViTModel", VIT | dict(qkv_bias=False, hidden_act="gelu_new", pooler_output_size=12, pooler_act="relu"), 0, "ViTImageProcessor", dict(size=24), None),
    "vit-many-hold": ("ViTForImageClassification", VIT | dict(problem_type="multi_label_classification"), 5, "ViTImageProcessor", dict(size=24), None),
    "vit-one-label": ("ViTForImageClassification", VIT, 1, "ViTImageProcessor", dict(size=24), None),
    "vit-regression": ("ViTForImageClassification", VIT | dict(problem_type="regression"), 3, "ViTImageProcessor", dict(size=24), None),
    "deit": ("DeiTForImageClassification", VIT, 5, "DeiTImageProcessor", dict(size=26, crop_size=24), None),
    "deit-teacher": ("DeiTForImageClassificationWithTeacher", VIT, 5, "DeiTImageProcessor", dict(size=26, crop_size=24), None),
    "deit-base": ("DeiTModel", VIT, 0, "DeiTImageProcessor", dict(size=26, crop_size=24), None),
    "dinov2": ("Dinov2ForImageClassification", DINO, 5, "BitImageProcessor", dict(size=EDGE, crop_size={"height": 23, "width": 36}), None),
    "dinov2-own-size": ("Dinov2Model", DINO | dict(image_size=21), 0, "BitImageProcessor", dict(size=EDGE, crop_size=21), None),
    "dinov2-gated": ("Dinov2Model", DINO | dict(use_swiglu_ffn=True, qkv_bias=False), 0, "BitImageProcessor", dict(size=EDGE, do_center_crop=False), None),
    "dinov2-registers": ("Dinov2WithRegistersForImageClassification", DINO | dict(num_register_tokens=3), 5, "BitImageProcessor", dict(size=EDGE, crop_size={"height": 15, "width": 42}), None),
    "convnext": ("ConvNextForImageClassification", CONV, 5, "ConvNextImageProcessor", dict(size={"shortest_edge": 26}, crop_pct=0.9), None),
    "convnext-unscaled": ("ConvNextForImageClassification", CONV | dict(layer_scale_init_value=0, depths=[1, 1], hidden_act="relu"), 5, "ConvNextImageProcessor", dict(size={"shortest_edge": 9}), None),
    "convnextv2": ("ConvNextV2ForImageClassification", CONV, 5, "ConvNextImageProcessor", dict(size={"shortest_edge": 25}), None),
    "clip": ("CLIPModel", HALVES, 0, "CLIPImageProcessor", dict(size=CLIP_SIZE[0], crop_size=CLIP_SIZE[1]), "clip"),
    "clip-old-end": ("CLIPModel", HALVES | dict(text_config=HALVES["text_config"] | dict(eos_token_id=2)), 0, "CLIPImageProcessor", dict(size=CLIP_SIZE[0], crop_size=CLIP_SIZE[1]), "clip"),
    "clip-vision": ("CLIPVisionModel", HALVES["vision_config"], 0, "CLIPImageProcessor", dict(size=CLIP_SIZE[0], crop_size=CLIP_SIZE[1]), None),
    "clip-labels": ("CLIPForImageClassification", HALVES, 5, "CLIPImageProcessor", dict(size=CLIP_SIZE[0], crop_size=CLIP_SIZE[1]), None),
    "siglip": ("SiglipModel", SIGLIP, 0, "SiglipImageProcessor", dict(size={"height": 25, "width": 25}), "siglip"),
    "siglip-vision": ("SiglipVisionModel", SIGLIP["vision_config"], 0, "SiglipImageProcessor", dict(size={"height": 25, "width": 25}), None),
    "siglip-labels": ("SiglipForImageClassification", SIGLIP, 5, "SiglipImageProcessor", dict(size={"height": 25, "width": 25}), None),
}


def picture(width, height):
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    values = x * 7 + y * 13 + c * 60 + ((x // 5 + y // 3) % 2) * 90 + (x * y * 31 + x * 17 + y * 29 + c * 11) % 23
    return Image.fromarray((values % 256).astype(np.uint8))


def save_clip_tokenizer(folder):
    """Bytes, alone and at the end of a word, a few merges, and the two special tokens."""
    letters = list(pre_tokenizers.ByteLevel.alphabet())
    letters.sort()
    merges = [("a", "t</w>"), ("p", "h"), ("ph", "o"), ("t", "o</w>"), ("c", "at</w>"), ("o", "f</w>"), ("i", "s</w>"), ("t", "h")]
    vocab = letters + [letter + "</w>" for letter in letters] + ["<|startoftext|>", "<|endoftext|>"] + ["".join(pair) for pair in merges]
    (folder / "vocab.json").write_text(json.dumps({token: number for number, token in enumerate(vocab)}, ensure_ascii=False))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(" ".join(pair) for pair in merges) + "\n")
    CLIPTokenizerFast(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=24).save_pretrained(folder)
    for name in ["vocab.json", "merges.txt", "special_tokens_map.json"]:
        (folder / name).unlink(missing_ok=True)


def save_siglip_tokenizer(folder):
    words = ["</s>", "<unk>", "this", "is", "a", "photo", "of", "cat", "two", "parrots", "dog", "the", "in", "sun"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace(".", "")])
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 0)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_input_names=["input_ids"], model_max_length=64,
    )
    fast.save_pretrained(folder)
    (folder / "special_tokens_map.json").unlink(missing_ok=True)


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, values in model.named_parameters():
            noise = torch.randn(values.shape, generator=generator)
            is_norm = values.dim() == 1 and name.endswith("weight") or "lambda" in name or "layer_scale" in name
            values.copy_(1 + 0.3 * noise if is_norm else 0.25 * noise)
            if "logit_scale" in name:
                values.fill_(1.7)
            if "logit_bias" in name:
                values.fill_(-2.5)


def make(name, model_class, options, labels, processor_class, processing, tokenizer):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model_class = getattr(transformers, model_class)
    config = model_class.config_class(**options)
    if labels:
        config.id2label = {number: LABELS[number] for number in range(labels)}
        config.label2id = {label: number for number, label in config.id2label.items()}
    config._attn_implementation = "eager"
    model = model_class(config).eval()
    randomize(model, sum(map(ord, name)))
    model.save_pretrained(folder)
    processor = getattr(transformers, processor_class)(**processing)
    processor.save_pretrained(folder)
    if tokenizer:
        {"clip": save_clip_tokenizer, "siglip": save_siglip_tokenizer}[tokenizer](folder)
    arrays = expect(folder, model, tokenizer)
    save_file({key: value.contiguous() for key, value in arrays.items()}, folder / "expected.safetensors")
    calls = []
    for task in tasks_of(model_class.__name__, tokenizer):
        has_pooler = any(key.endswith("pooled") for key in arrays)
        calls += [call(folder, task, pictures, options) for pictures, options in calls_of(task, has_pooler)]
    golden = {"tokenizer": tokenizer, "texts": TEXTS, "calls": calls}
    (folder / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n")
    size = sum(path.stat().st_size for path in folder.iterdir()) // 1024
    print(name, f"{size} kB", sum("error" in call for call in calls), "errors of", len(calls))


def expect(folder, model, tokenizer):
    processor = AutoImageProcessor.from_pretrained(folder, use_fast=False)
    arrays = {}
    for width, height in PICTURES:
        key = f"{width}x{height}"
        values = processor(picture(width, height), return_tensors="pt")
        with torch.no_grad():
            if tokenizer:
                rows = texts(folder, tokenizer)
                found = model(**values, **rows)
                arrays["texts"] = found.text_embeds
                arrays[f"{key}.embeds"] = found.image_embeds
                arrays[f"{key}.logits"] = found.logits_per_image
                body = model.vision_model
            elif isinstance(model, (transformers.ConvNextForImageClassification, transformers.ConvNextV2ForImageClassification)):
                arrays[f"{key}.logits"] = model(**values).logits
                continue
            elif hasattr(model, "classifier") or hasattr(model, "cls_classifier"):
                arrays[f"{key}.logits"] = model(**values).logits
                body = next(getattr(model, part) for part in ["vit", "deit", "dinov2", "dinov2_with_registers", "vision_model"] if hasattr(model, part))
            else:
                body = model
            found = body(**values)
            arrays[f"{key}.states"] = found.last_hidden_state[0].clone()
            if found.get("pooler_output") is not None:
                arrays[f"{key}.pooled"] = found.pooler_output[0].clone()
    return arrays


def texts(folder, tokenizer):
    options = dict(padding="max_length", max_length=64, truncation=True) if tokenizer == "siglip" else dict(padding=True)
    return AutoTokenizer.from_pretrained(folder)(TEXTS, return_tensors="pt", **options)


def tasks_of(model_class, tokenizer):
    if tokenizer:
        return ["zero-shot-image-classification"]
    if "Classification" in model_class:
        return ["image-classification"] + ([] if model_class.startswith(("CLIP", "Siglip", "ConvNext")) else ["image-feature-extraction"])
    return ["image-feature-extraction"]


def calls_of(task, has_pooler):
    one, other = [PICTURES[0]], [PICTURES[1]]
    if task == "image-classification":
        yield from [(one, {}), (other, {}), (one + other, {}), (one + other + one, {"batch_size": 2, "top_k": 2})]
        yield from ((one, options) for options in [
            {"top_k": 1}, {"top_k": 0}, {"top_k": 99}, {"top_k": None}, {"function_to_apply": "sigmoid"}, {"function_to_apply": "Softmax"},
            {"function_to_apply": "none", "top_k": 3}, {"function_to_apply": "tanh"}, {"timeout": 3.0}, {"top_j": 2},
        ])
    elif task == "image-feature-extraction":
        yield from [(one, {}), (one + one, {"pool": False}), (one + other, {})]
        # Where the checkpoint has none, Python takes a pooler of random weights.
        if has_pooler:
            yield from [(other, {"pool": True}), (one + other, {"pool": True, "batch_size": 2})]
    else:
        labels = ["cat", "two parrots", "a dog in the sun"]
        yield from [(one, {"candidate_labels": labels}), (one + other, {"candidate_labels": labels, "batch_size": 2})]
        yield from ((other, {"candidate_labels": labels} | options) for options in [
            {"hypothesis_template": "{}"}, {"hypothesis_template": "the {0} {{in}} the sun"}, {"timeout": 2},
            {"hypothesis_template": "a {"}, {"hypothesis_template": "{}", "tokenizer_kwargs": {"truncation": True, "max_length": 4}},
        ])
        yield from [(one, {"candidate_labels": ["cat"]}), (one, {"candidate_labels": ["cat"], "hypothesis_template": "a photo"}), (one, {"candidate_labels": ["cat", "cat"]}), (one, {"candidate_labels": []}), (one, {})]
        yield one, {"candidate_labels": ["cat", "a photo of the sun in the sun in the sun in the sun in the sun in the sun of the dog of the cat"]}


def call(folder, task, pictures, options):
    entry = {"task": task, "pictures": pictures, "options": options}
    images = [picture(*size) for size in pictures]
    try:
        run = pipeline(task, model=str(folder), image_processor=AutoImageProcessor.from_pretrained(folder, use_fast=False), device="cpu")
        output = run(images[0] if len(images) == 1 else images, **options)
        return entry | {"output": output}
    except Exception as error:
        return entry | {"error": f"{type(error).__name__}: {error}"[:200]}


for name in sys.argv[1:] or GOLDENS:
    make(name, *GOLDENS[name])
