"""Makes `audio_features/`: what the feature extractors of the Python reference make of signals.

    venv/bin/python tests/goldens/make_audio_features.py           # all of them
    venv/bin/python tests/goldens/make_audio_features.py whisper   # only these
    venv/bin/python tests/goldens/make_audio_features.py jfk.wav   # `audio_features_jfk.json` (where from: make_voice_activity.py)

Versions: transformers 4.57.6, torch 2.9.1, numpy 2.4.6, without torchaudio.

A folder holds preprocessor_config.json, with fields left out that have the class's defaults, expected.json and
expected.safetensors. A case is a batch of signals, each made by a formula that `tests/audio_features.rs` knows,
too; of each row the expected values are there for some frames (`frames`), beside the number of frames and how
many of them the attention mask leaves. Whisper's class computes in f32 where torch is there, and else in f64:
`noise` is by how much both differ, which is up to 1e-4 beside pure tones. For SeamlessM4T's class it is what
normalizing in f32 changes.
"""

import contextlib
import json
import shutil
import sys
import wave
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from safetensors.numpy import save_file
from transformers import AutoFeatureExtractor, SeamlessM4TFeatureExtractor, WhisperFeatureExtractor
from transformers.models.whisper import feature_extraction_whisper

torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "audio_features"
MOST_FRAMES = 24


def signal(spec):
    """The samples of a signal, in f32."""
    kind, count = spec["kind"], spec["samples"]
    i = np.arange(count, dtype=np.float64)
    if kind == "silence":
        x = np.zeros(count)
    elif kind == "constant":
        x = np.full(count, spec["amplitude"])
    elif kind == "chirp":
        # The phase of a frequency that rises evenly, in turns.
        turns = (spec["from"] * i + (spec["to"] - spec["from"]) * i * i / (2 * count)) / spec["rate"]
        x = spec["amplitude"] * np.sin(2 * np.pi * (turns - np.floor(turns)))
    elif kind == "noise":
        state, x = spec["seed"], np.zeros(count)
        for at in range(count):
            state = (state * 1664525 + 1013904223) % 2**32
            x[at] = spec["amplitude"] * (state / 2**31 - 1)
    elif kind == "sum":
        parts = [signal(part) for part in spec["parts"]]
        x = np.zeros(count)
        for part in parts:
            x[: len(part)] += part.astype(np.float64)
    else:
        raise ValueError(kind)
    return x.astype(np.float32)


def chirp(samples, low=100, high=7500, amplitude=0.5, rate=16000):
    return {"kind": "chirp", "samples": samples, "from": low, "to": high, "amplitude": amplitude, "rate": rate}


def noise(samples, seed=1, amplitude=0.3):
    return {"kind": "noise", "samples": samples, "seed": seed, "amplitude": amplitude}


def silence(samples):
    return {"kind": "silence", "samples": samples}


def constant(samples, amplitude=0.25):
    return {"kind": "constant", "samples": samples, "amplitude": amplitude}


def together(*parts):
    return {"kind": "sum", "samples": max(part["samples"] for part in parts), "parts": list(parts)}


def speechlike(samples, rate=16000):
    """Loud and quiet, low and high: noise beneath two chirps, of which one ends early."""
    quiet = noise(samples, 7, 0.003)
    return together(quiet, chirp(samples, 90, 400, 0.4, rate), chirp(samples * 2 // 3, 3000, 500, 0.1, rate))


WHISPER_CASES = {
    "speechlike": [speechlike(40_000)],
    "noise": [noise(33_333)],
    "silence": [silence(16_000)],
    "constant": [constant(8_000)],
    "one_sample": [constant(1)],
    "empty": [silence(0)],
    "click": [together(silence(48_000), constant(300, 0.9))],
    "thirty_seconds": [speechlike(480_000)],
    "thirty_one_seconds": [speechlike(496_123)],
    "quiet": [noise(20_000, 3, 1e-6)],
}
# Not padded, and padded to the longest of the batch.
WHISPER_LONGEST = {
    "longest_alone": [speechlike(30_123)],
    "longest_short": [noise(201)],
    "longest_batch": [speechlike(12_000), noise(5_000), chirp(12_345)],
    "longest_long": [speechlike(500_001), noise(320_000, 5)],
}

BATCH = {
    "alone": [speechlike(9_000)],
    "batch": [speechlike(7_777), noise(4_800), chirp(6_001)],
}

FOLDERS = {
    "whisper": ({"feature_extractor_type": "WhisperFeatureExtractor"}, WHISPER_CASES, WHISPER_LONGEST),
    "whisper-128": (
        {
            "chunk_length": 30, "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 128, "hop_length": 160,
            "n_fft": 400, "n_samples": 480000, "nb_max_frames": 3000, "padding_side": "right", "padding_value": 0.0,
            "return_attention_mask": False, "sampling_rate": 16000, "dither": 0.0, "processor_class": "WhisperProcessor",
        },
        {name: WHISPER_CASES[name] for name in ["speechlike", "noise"]},
        {name: WHISPER_LONGEST[name] for name in ["longest_batch"]},
    ),
    "whisper-odd": (
        {
            "feature_extractor_type": "WhisperFeatureExtractor", "feature_size": 40, "hop_length": 300, "n_fft": 512,
            "chunk_length": 2, "sampling_rate": 24000, "padding_value": 0.125,
        },
        {"speechlike": [speechlike(40_000, 24000)], "beyond": [speechlike(60_000, 24000)]},
        {"longest_batch": [noise(7_001), noise(9_000, 2)]},
    ),
    # As of wav2vec2-base: padding is heard.
    "wav2vec2": (
        {"feature_extractor_type": "Wav2Vec2FeatureExtractor"},
        {"speechlike": [speechlike(40_000)], "silence": [silence(500)], "one_sample": [constant(1)], "offset": [together(noise(900), constant(900))]},
        BATCH,
    ),
    "wav2vec2-masked": (
        {
            "do_normalize": True, "feature_extractor_type": "Wav2Vec2FeatureExtractor", "feature_size": 1, "padding_side": "right",
            "padding_value": 0.0, "return_attention_mask": True, "sampling_rate": 16000,
        },
        {"speechlike": [speechlike(4_000)]},
        BATCH,
    ),
    # As of Moonshine.
    "wav2vec2-plain": (
        {"feature_extractor_type": "Wav2Vec2FeatureExtractor", "do_normalize": False, "return_attention_mask": True, "padding_value": 0.5},
        {"speechlike": [speechlike(4_000)]},
        BATCH,
    ),
    "seamless-m4t": (
        {"feature_extractor_type": "SeamlessM4TFeatureExtractor", "feature_size": 80, "num_mel_bins": 80, "padding_value": 1},
        {"speechlike": [speechlike(40_000)], "odd": [noise(400 + 160 * 12)], "even": [noise(400 + 160 * 13)], "least": [noise(560)]},
        BATCH,
    ),
    "seamless-m4t-odd": (
        {"feature_extractor_type": "SeamlessM4TFeatureExtractor", "num_mel_bins": 24, "stride": 3},
        {"odd": [noise(400 + 160 * 12)], "even": [noise(400 + 160 * 13)], "more": [noise(400 + 160 * 14)]},
        BATCH,
    ),
    "ast": (
        {"feature_extractor_type": "ASTFeatureExtractor"},
        {"speechlike": [speechlike(40_000)], "silence": [silence(500)], "constant": [constant(900)], "beyond": [speechlike(170_000)]},
        {},
    ),
    "ast-odd": (
        {"feature_extractor_type": "ASTFeatureExtractor", "num_mel_bins": 32, "max_length": 20, "do_normalize": False, "sampling_rate": 8000},
        {"speechlike": [speechlike(2_500, 8000)], "beyond": [noise(4_000)]},
        {"batch": [noise(3_000), noise(1_111, 2)]},
    ),
    # As of laion/clap-htsat-unfused, and of the fused one, but for the lengths.
    "clap": (
        {"feature_extractor_type": "ClapFeatureExtractor", "truncation": "rand_trunc", "max_length_s": 1, "padding": "repeatpad"},
        {"speechlike": [speechlike(40_000, 48000)], "silence": [silence(500)], "whole": [noise(48_000)], "beyond": [speechlike(100_001, 48000)]},
        {"batch": [speechlike(20_000, 48000), noise(60_000)]},
    ),
    "clap-odd": (
        {
            "feature_extractor_type": "ClapFeatureExtractor", "truncation": "rand_trunc", "padding": "repeat", "feature_size": 16, "hop_length": 100,
            "fft_window_size": 256, "sampling_rate": 8000, "max_length_s": 1, "frequency_min": 50, "frequency_max": 5000,
        },
        {"speechlike": [speechlike(3_000, 8000)], "one_sample": [constant(1)]},
        {},
    ),
    "clap-fused": (
        {"feature_extractor_type": "ClapFeatureExtractor", "max_length_s": 1, "sampling_rate": 16000, "hop_length": 320, "padding": "pad"},
        {"speechlike": [speechlike(9_000)], "beyond": [speechlike(70_123)], "hardly": [noise(16_100)], "little": [noise(16_400)]},
        {"batch": [speechlike(5_000), noise(9_000)], "long": [noise(7_000), speechlike(40_000)]},
    ),
}


def in_the_middle():
    """What is drawn by chance is what lies in the middle of what it is drawn from."""
    return [
        mock.patch.object(np.random, "choice", lambda values: values[len(values) // 2]),
        mock.patch.object(np.random, "randint", lambda low, high: (high - 1) // 2),
    ]


def run(extractor, rows, longest):
    """Values `(frames, width)` and the number of frames before the padding, of each row."""
    options = {"sampling_rate": extractor.sampling_rate, "return_tensors": "np"}
    batch = rows if len(rows) > 1 else rows[0]
    kind = type(extractor).__name__
    if kind == "WhisperFeatureExtractor":
        if longest or any(len(row) > extractor.n_samples for row in rows):
            options |= {"padding": "longest", "truncation": False}
        out = extractor(batch, return_attention_mask=True, **options)
        return [row.T for row in out["input_features"]], out["attention_mask"].sum(-1).tolist()
    if kind == "Wav2Vec2FeatureExtractor":
        out = extractor(batch, padding=longest, **options)
        values = [row[:, None] for row in out["input_values"]]
        mask = out.get("attention_mask")
        return values, [len(row) for row in values] if mask is None else mask.sum(-1).tolist()
    if kind == "SeamlessM4TFeatureExtractor":
        out = extractor(batch, **options)
        return list(out["input_features"]), out["attention_mask"].sum(-1).tolist()
    if kind == "ClapFeatureExtractor":
        with contextlib.ExitStack() as stack:
            [stack.enter_context(patch) for patch in in_the_middle()]
            out = extractor(batch, **options)
        values = [row.reshape(-1, row.shape[-1]) for row in out["input_features"]]
        # Unfused models do not read it.
        is_longer = [len(row) == 1 or longer for row, (longer,) in zip(out["input_features"], out["is_longer"])]
        return values, [len(row) if longer else len(row) // 4 for row, longer in zip(values, is_longer)]
    # The class has no mask.
    values = list(extractor(batch, **options)["input_values"])
    return values, [min(1 + (len(row) - 400) // 160, extractor.max_length) for row in rows]


def rounding_of_means(extractor, samples):
    """What normalizing in f32 instead of f64 changes."""
    bands = extractor._extract_fbank_features(samples)
    normalized = [
        (x - x.mean(0)) / np.sqrt(x.var(0, ddof=1) + 1e-7) for x in (bands, bands.astype(np.float64))
    ]
    return float(np.abs(normalized[0] - normalized[1]).max())


def chosen(frames, length):
    """Some frames: the first and last, around the end of the recording, and between."""
    if frames <= MOST_FRAMES:
        return list(range(frames))
    edges = {0, 1, 2, frames - 2, frames - 1} | {length + at for at in range(-3, 4)}
    between = {int(at) for at in np.linspace(3, max(length - 1, 4), MOST_FRAMES - 12)}
    return sorted(at for at in edges | between if 0 <= at < frames)


def real_speech(path):
    """Whisper's features of a recording: every 100th frame."""
    with wave.open(path) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32) / 32768
    (values,), (length,) = run(WhisperFeatureExtractor(), [samples], False)
    frames = [[round(float(value), 7) for value in frame] for frame in values[::100]]
    (FOLDER.parent / "audio_features_jfk.json").write_text(json.dumps({"length": length, "frames": frames}) + "\n")


def main():
    if sys.argv[1:2] and sys.argv[1].endswith(".wav"):
        return real_speech(sys.argv[1])
    for name in sys.argv[1:] or FOLDERS:
        config, *groups = FOLDERS[name]
        folder = FOLDER / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "preprocessor_config.json").write_text(json.dumps(config, indent=2) + "\n")
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        cases, arrays = [], {}
        for longest, group in zip([False, True], groups):
            for case, signals in group.items():
                samples = [signal(spec) for spec in signals]
                values, lengths = run(extractor, samples, longest)
                noise = 0.0
                if isinstance(extractor, WhisperFeatureExtractor):
                    with mock.patch.object(feature_extraction_whisper, "is_torch_available", lambda: False):
                        exact, _ = run(extractor, samples, longest)
                    noise = max(float(np.abs(row - other).max()) for row, other in zip(values, exact))
                if isinstance(extractor, SeamlessM4TFeatureExtractor):
                    noise = max(rounding_of_means(extractor, row) for row in samples)
                rows = []
                for number, (row, length) in enumerate(zip(values, lengths)):
                    picked = chosen(len(row), length)
                    arrays[f"{case}.{number}"] = np.ascontiguousarray(row[picked], dtype=np.float32)
                    rows.append({"frames": len(row), "length": length, "picked": picked})
                cases.append({"name": case, "longest": longest, "noise": noise, "signals": signals, "rows": rows})
        versions = {package: version(package) for package in ["transformers", "torch", "numpy"]}
        expected = {"versions": versions, "cases": cases}
        (folder / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")
        save_file(arrays, folder / "expected.safetensors")
        print(name, sum(file.stat().st_size for file in folder.iterdir()), "bytes")


if __name__ == "__main__":
    main()
