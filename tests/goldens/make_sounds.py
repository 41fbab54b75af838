#!/usr/bin/env python3
"""Makes tiny random models that classify sounds, what the Python reference computes with them, and what its pipelines return.

    pip install transformers==4.57.6 torch==2.9.1
    python tests/goldens/make_sounds.py [NAME ...]
    cargo test --features audio --test sounds

Writes tests/goldens/sounds/<name>/: a checkpoint, golden.json (task, calls with recordings, options and the output, or Python's error)
and expected.safetensors: for each recording of RECORDINGS the logits of a classifier; of CLAP the vectors of recordings, and of the
texts TEXTS, which are tokenized and padded together. A recording is made by `recording` of make_speech_pipelines.py of a seed and a
number of samples, at the model's rate. What the reference draws by chance is what lies in the middle of what it is drawn from.
"""

import contextlib
import json
import shutil
import sys
import warnings
from pathlib import Path

import torch
import transformers
from encoder_tokenizers import save as save_tokenizer
from make_audio_features import in_the_middle
from make_ctc import randomize
from make_speech_pipelines import recording
from safetensors.torch import save_file
from transformers import (
    ASTConfig,
    ASTFeatureExtractor,
    ASTForAudioClassification,
    AutoFeatureExtractor,
    AutoTokenizer,
    ClapAudioConfig,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    ClapTextConfig,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    pipeline,
)

transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "sounds"
RECORDINGS = [{"seed": 1, "length": 5000}, {"seed": 2, "length": 17000}, {"seed": 3, "length": 40123}]
ONE, TWO, THREE = RECORDINGS
TEXTS = ["This is a sound of a dog.", "rain", "Two cars, and a train that passes by; then nothing."]
LABELS = {0: "dog", 1: "rain", 2: "engine", 3: "voice", 4: "silence"}
AST = dict(
    hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=40, patch_size=6, frequency_stride=4, time_stride=5,
    max_length=60, num_mel_bins=20, id2label=LABELS, label2id={label: id for id, label in LABELS.items()},
)
TEXT = dict(
    vocab_size=320, hidden_size=24, num_hidden_layers=2, num_attention_heads=3, intermediate_size=32, max_position_embeddings=66,
)
AUDIO = dict(
    window_size=4, num_mel_bins=16, spec_size=64, patch_size=4, patch_stride=[4, 4], hidden_size=32, depths=[2, 2, 1],
    num_attention_heads=[2, 2, 4], patch_embeds_hidden_size=8, mlp_ratio=2.0, aff_block_r=2,
)
EXTRACTOR = dict(feature_size=16, sampling_rate=16000, hop_length=100, max_length_s=1, fft_window_size=256, frequency_max=7000)
FUSED_EXTRACTOR = EXTRACTOR | dict(feature_size=64, hop_length=320, fft_window_size=1024, truncation="fusion", padding="pad")


def clap(audio, extractor, **options):
    def build():
        config = ClapConfig.from_text_audio_configs(ClapTextConfig(**TEXT), ClapAudioConfig(**audio), projection_dim=20, **options)
        return ClapModel(config), ClapFeatureExtractor(**extractor)

    return build


MODELS = {
    "ast": ("audio-classification", lambda: (ASTForAudioClassification(ASTConfig(**AST)), ASTFeatureExtractor(num_mel_bins=20, max_length=60))),
    "ast-odd": (
        "audio-classification",
        lambda: (
            ASTForAudioClassification(ASTConfig(**AST | dict(qkv_bias=False, hidden_act="relu", num_hidden_layers=1, layer_norm_eps=1e-3))),
            ASTFeatureExtractor(num_mel_bins=20, max_length=60, do_normalize=False),
        ),
    ),
    "wav2vec2": (
        "audio-classification",
        lambda: (
            Wav2Vec2ForSequenceClassification(Wav2Vec2Config(
                vocab_size=20, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, conv_dim=(8,) * 7,
                num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, classifier_proj_size=12, id2label=LABELS,
                label2id={label: id for id, label in LABELS.items()},
            )),
            Wav2Vec2FeatureExtractor(),
        ),
    ),
    "clap": ("zero-shot-audio-classification", clap(AUDIO, EXTRACTOR | dict(truncation="rand_trunc", padding="repeatpad"))),
    # Windows that reach beyond the grid, and patches that overlap.
    "clap-odd": (
        "zero-shot-audio-classification",
        clap(
            AUDIO | dict(
                window_size=5, patch_size=[6, 4], depths=[2, 2], num_attention_heads=[2, 4], hidden_size=16,
                qkv_bias=False, enable_patch_layer_norm=False, hidden_act="relu", layer_norm_eps=1e-3,
            ),
            EXTRACTOR | dict(truncation="rand_trunc", padding="repeat"),
            projection_hidden_act="gelu", logit_scale_init_value=3.0,
        ),
    ),
    "clap-fused": ("zero-shot-audio-classification", clap(AUDIO | dict(num_mel_bins=64, enable_fusion=True), FUSED_EXTRACTOR)),
}


def calls(task):
    if task == "audio-classification":
        yield from (([one], {}) for one in RECORDINGS)
        for function in ["softmax", "sigmoid", "none"]:
            yield [TWO], {"function_to_apply": function}
        yield from (([ONE], {"top_k": count}) for count in [1, 3, 5, 50, 0, None])
        yield [ONE], {"top_k": 2, "function_to_apply": None}
        yield RECORDINGS, {"top_k": 2}
        yield RECORDINGS, {"batch_size": 1}
        # What Python refuses.
        yield [ONE], {"function_to_apply": "tanh"}
        yield [ONE], {"top_k": -1}
        yield [ONE], {"top_k": "many"}
        return
    labels = ["a dog", "rain", "Paris, the capital of France"]
    yield from (([one], {"candidate_labels": labels}) for one in RECORDINGS)
    yield [TWO], {"candidate_labels": labels, "hypothesis_template": "{}"}
    yield [TWO], {"candidate_labels": labels, "hypothesis_template": "It is {0}, {{yes}}."}
    yield [TWO], {"candidate_labels": labels, "hypothesis_template": "nothing"}
    yield [ONE], {"candidate_labels": ["rain"]}
    yield [ONE], {"candidate_labels": ["rain", "dog", "rain"]}
    yield RECORDINGS, {"candidate_labels": labels[:2]}
    # What Python refuses.
    yield [ONE], {}
    yield [ONE], {"candidate_labels": []}
    yield [ONE], {"candidate_labels": labels, "hypothesis_template": "{} {}"}
    yield [ONE], {"candidate_labels": labels, "hypothesis_template": "{"}
    yield [ONE], {"candidate_labels": 3}


def make(name):
    task, build = MODELS[name]
    torch.manual_seed(5)
    model, extractor = build()
    model = model.eval()
    if name.startswith("clap"):
        scales = model.logit_scale_a.detach().clone()
        randomize(model)
        generator = torch.Generator().manual_seed(9)
        with torch.no_grad():
            # Texts that differ shall be told apart.
            for parameter_name, parameter in model.text_model.named_parameters():
                if parameter_name.endswith("LayerNorm.weight"):
                    parameter.copy_(1.0 + 0.2 * torch.randn(parameter.shape, generator=generator))
                elif "query" in parameter_name or "key" in parameter_name or "word_embeddings" in parameter_name:
                    parameter.mul_(3.0)
            model.logit_scale_a.copy_(scales)
            model.logit_scale_t.copy_(scales * 0.5)
    else:
        randomize(model)
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    if name.startswith("clap"):
        save_tokenizer("bytes", folder, 64)
    arrays = {}
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    rate = extractor.sampling_rate
    with torch.no_grad(), contextlib.ExitStack() as stack:
        [stack.enter_context(patch) for patch in in_the_middle()]
        for number, one in enumerate(RECORDINGS):
            inputs = extractor(recording(**one), sampling_rate=rate, return_tensors="pt")
            if name.startswith("clap"):
                inputs["input_features"] = inputs["input_features"].to(torch.float32)
                arrays[f"audio.{number}"] = model.get_audio_features(**inputs)[0].clone()
            else:
                arrays[f"logits.{number}"] = model(**inputs).logits[0].clone()
        if name.startswith("clap"):
            tokenizer = AutoTokenizer.from_pretrained(folder)
            texts = tokenizer(TEXTS, padding=True, return_tensors="pt")
            arrays["texts"] = model.get_text_features(**texts).contiguous().clone()
        tasks = pipeline(task, model=str(folder), device="cpu", dtype=torch.float32)
        records = []
        for recordings, options in calls(task):
            inputs = [recording(**one) for one in recordings]
            inputs = inputs if len(inputs) > 1 else inputs[0]
            try:
                outcome = {"output": tasks(inputs, **json.loads(json.dumps(options)))}
            except Exception as error:
                outcome = {"error": f"{type(error).__name__}: {str(error)[:120]}"}
            records.append({"recordings": recordings, "options": options} | outcome)
    golden = {"task": task, "texts": TEXTS if name.startswith("clap") else [], "recordings": RECORDINGS, "calls": records}
    (folder / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
    save_file({key: value.contiguous() for key, value in arrays.items()}, folder / "expected.safetensors")
    size = sum(path.stat().st_size for path in folder.iterdir())
    assert size < 300_000, f"{name}: {size} bytes"
    print(name, size, "bytes;", len(records), "calls;", [one["error"] for one in records if "error" in one])
    print("  ", [(score["label"], round(score["score"], 3)) for score in records[0]["output"]], [(score["label"], round(score["score"], 3)) for score in records[1]["output"]])


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
