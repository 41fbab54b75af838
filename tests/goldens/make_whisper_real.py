"""Makes `whisper_real.json`: what transformers' `generate` returns with real Whisper models.

    venv/bin/python tests/goldens/make_whisper_real.py TINY TINY_EN JFK CLIPS   # packages: see make_whisper.py

TINY and TINY_EN are Hugging Face folders of openai/whisper-tiny and openai/whisper-tiny.en, JFK is whisper.cpp's jfk.wav, CLIPS the
folder of @qvac/asr-ggml's clips: `tests/whisper_real.rs` says where they come from. A recording is a list of clips, each with the
sample that it begins with and the number of its samples, and of numbers, which are samples of silence. Rows are as in `make_whisper.py`.
"""

import json
import logging
import sys
import wave
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperTokenizerFast

import make_whisper

logging.disable(logging.WARNING)
torch.set_num_threads(2)
PAUSE = 2 * 16000
JFK = ["jfk", 0, 176000]
# A meeting of many voices, with pauses.
LONG = [
    JFK, PAUSE, ["short_en", 0, 40 * 16000], 5 * 16000, ["sample", 0, 20 * 16000], PAUSE, JFK, 12 * 16000, ["short_en", 60 * 16000, 30 * 16000],
]
# name: recordings, of tiny.en, arguments of generate.
TIMED = {"return_timestamps": True}
WORDS = {**TIMED, "return_token_timestamps": True}
CASES = {
    "jfk": ([[JFK]], False, {}),
    "jfk-timed": ([[JFK]], False, {"language": "en", **TIMED}),
    "jfk-words": ([[JFK]], False, {"language": "en", "return_token_timestamps": True}),
    "jfk-beams": ([[JFK]], False, {"language": "en", "num_beams": 5}),
    "jfk-thrice": ([[JFK, 7 * 16000, JFK, 7 * 16000, JFK]], False, {"language": "en", **WORDS}),
    "jfk-thrice-conditioned": ([[JFK, 7 * 16000, JFK, 7 * 16000, JFK]], False, {"language": "en", "condition_on_prev_tokens": True}),
    "german": ([[["sample_de", 0, None]]], False, WORDS),
    "languages": ([[[f"sample_{code}", 0, None]] for code in ["es", "fr", "hi", "it", "ja", "pt", "ru"]], False, {}),
    "croatian": ([[["croatian", 0, None]]], False, {"language": "hr", **TIMED}),
    "translate": ([[["sample_fr", 0, None]]], False, {"task": "translate", "language": "fr"}),
    "long": (
        [LONG], False,
        {"language": "en", "temperature": 0.0, "compression_ratio_threshold": 1.35, "logprob_threshold": -1.0, "no_speech_threshold": 0.6},
    ),
    "long-conditioned": ([LONG], False, {"language": "en", "condition_on_prev_tokens": True, "return_token_timestamps": True}),
    "english": ([[JFK]], True, WORDS),
    "english-long": ([LONG], True, {"temperature": 0.0, "logprob_threshold": -1.0}),
}


def samples(clips, recording):
    parts = []
    for part in recording:
        if isinstance(part, int):
            parts.append(np.zeros(part, np.float32))
            continue
        name, start, count = part
        path = clips[name] if name in clips else clips[""] / f"{name}.raw"
        data = wave.open(str(path)).readframes(10**9) if path.suffix == ".wav" else path.read_bytes()
        values = np.frombuffer(data, "<i2").astype(np.float32) / 32768
        parts.append(values[start : None if count is None else start + count])
    return np.concatenate(parts)


def main(tiny, tiny_en, jfk, folder):
    clips = {"jfk": Path(jfk), "": Path(folder)}
    lines = []
    models = {}
    for name, (recordings, english, kwargs) in CASES.items():
        path = tiny_en if english else tiny
        if path not in models:
            model = WhisperForConditionalGeneration.from_pretrained(path, attn_implementation="eager").eval()
            models[path] = (model, WhisperFeatureExtractor.from_pretrained(path), WhisperTokenizerFast.from_pretrained(path))
        model, extractor, tokenizer = models[path]
        generation = json.loads((Path(path) / "generation_config.json").read_text())
        make_whisper.WINDOW = 3000
        make_whisper.GENERATION = generation
        rows = []
        for recording in recordings:
            audio = samples(clips, recording)
            is_long = len(audio) > 480000
            padding = {"padding": "longest", "truncation": False} if is_long else {}
            found = extractor(audio, sampling_rate=16000, return_attention_mask=True, return_tensors="np", **padding)
            make_whisper.RECORDINGS = {"it": (found.input_features.shape[-1], int(found.attention_mask.sum()))}
            features = {"it": torch.tensor(found.input_features[0].T)}
            rows += make_whisper.generate(model, features, ["it"], dict(kwargs), {})
            make_whisper.ID["<|endoftext|>"] = generation["eos_token_id"]
            make_whisper.words(tokenizer, rows[-1], "english")
        if any(sum(p if isinstance(p, int) else p[2] or 0 for p in it) > 480000 for it in recordings):
            kwargs = {**kwargs, "return_timestamps": True}
        print(name, [len(row["windows"]) for row in rows], flush=True)
        lines.append(json.dumps({"name": name, "english": english, "recordings": recordings, "options": kwargs, "fields": {}, "rows": rows}))
    made_with = {package: version(package) for package in ["transformers", "torch"]}
    body = ",\n  ".join(lines)
    (Path(__file__).parent / "whisper_real.json").write_text(f'{{"made_with": {json.dumps(made_with)},\n "cases": [\n  {body}\n ]}}\n')


if __name__ == "__main__":
    main(*sys.argv[1:])
