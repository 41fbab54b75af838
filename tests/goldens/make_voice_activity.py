"""Makes `voice_activity/`: what the package silero-vad finds in a recording and in a made signal.

    pip install --no-deps silero-vad==6.2.3
    venv/bin/python tests/goldens/make_voice_activity.py path/to/jfk.wav

Versions: silero-vad 6.2.3 (its network in TorchScript), torch 2.9.1, numpy 2.4.6. `jfk.wav` (16 kHz, 16 bits, one
channel) is in the npm package nodejs-whisper 0.3.1, under `cpp/whisper.cpp/bindings/go/samples`.

`expected.json` holds the probabilities of each window of some recordings, which are put together of pieces:
`{"from": a, "to": b, "step": c}` are samples of jfk.wav, anything else is a signal of `make_audio_features.py`. It also holds the
spans of speech in these, with several options, and the spans in made-up probabilities, where every branch is taken.
`of_safetensors` are the first probabilities of "jfk" with the weights of `silero_vad_16k.safetensors` in the same
network: they are others.
"""

import json
import sys
import wave
from importlib.metadata import version
from pathlib import Path

import numpy as np
import silero_vad
import torch
from safetensors.torch import load_file
from silero_vad import get_speech_timestamps, load_silero_vad
from silero_vad.utils_vad import get_speech_timestamps_from_probs

from make_audio_features import chirp, noise, signal, silence

FOLDER = Path(__file__).parent / "voice_activity"
RECORDINGS = {
    "jfk": [{"from": 0, "to": 176_000, "step": 1}],
    # Every second sample, as at 8,000 samples per second.
    "jfk_8000": [{"from": 0, "to": 176_000, "step": 2}],
    # Speech, silence, the same speech, noise, half a window.
    "pauses": [{"from": 0, "to": 60_000, "step": 1}, silence(48_000), {"from": 60_000, "to": 176_000, "step": 1}, noise(24_000, 3, 0.02), silence(256)],
    "no_speech": [silence(8_000), noise(16_000, 1, 0.1), chirp(20_000, 200, 3000, 0.3), silence(4_100)],
    "short": [{"from": 20_000, "to": 20_100, "step": 1}],
}
OPTIONS = [
    {},
    {"threshold": 0.9},
    {"threshold": 0.3, "neg_threshold": 0.25, "speech_pad_ms": 200},
    {"min_silence_duration_ms": 2000, "speech_pad_ms": 400, "min_speech_duration_ms": 0},
    {"max_speech_duration_s": 2.0},
    {"max_speech_duration_s": 3.0, "use_max_poss_sil_at_max_speech": False, "min_silence_duration_ms": 500},
    {"max_speech_duration_s": 1.0, "min_silence_at_max_speech": 20, "min_silence_duration_ms": 300, "speech_pad_ms": 0},
    {"min_speech_duration_ms": 2000},
]


def jfk(path):
    with wave.open(path) as file:
        return np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32) / 32768


def made_up(seed, count):
    """Probabilities that rise and fall: runs of a length and a height from a generator."""
    state, values = seed, []

    def draw(below):
        nonlocal state
        state = (state * 1664525 + 1013904223) % 2**32
        return (state >> 8) % below

    while len(values) < count:
        height, length = draw(100), 1 + draw(24)
        values += [float(np.float32(height / 100))] * length
    return values[:count]


def heard(model, samples, rate):
    """The probability of each window."""
    padded = torch.nn.functional.pad(samples, (0, -len(samples) % (512 if rate == 16000 else 256)))
    return [round(p, 7) for p in model.audio_forward(padded[None], sr=rate)[0].tolist()]


def with_safetensors(model):
    """The network with the weights of the other file."""
    other = load_file(Path(silero_vad.__file__).parent / "data" / "silero_vad_16k.safetensors")
    names = {
        "conv1": "encoder.0.reparam_conv", "conv2": "encoder.1.reparam_conv", "conv3": "encoder.2.reparam_conv",
        "conv4": "encoder.3.reparam_conv", "lstm_cell": "decoder.rnn", "final_conv": "decoder.decoder.2",
    }
    state = model.state_dict()
    for name, values in other.items():
        module, kind = name.split(".")
        key = "stft.forward_basis_buffer" if module == "stft_conv" else f"{names[module]}.{kind}"
        state[f"_model.{key}"].copy_(values)
    return model


def spans(found):
    return [[span["start"], span["end"]] for span in found]


def main():
    model, speech = load_silero_vad(), jfk(sys.argv[1])
    recordings = []
    for name, pieces in RECORDINGS.items():
        rate = 8000 if name.endswith("8000") else 16000
        parts = [speech[p["from"] : p["to"] : p["step"]] if "kind" not in p else signal(p) for p in pieces]
        samples = torch.from_numpy(np.concatenate(parts))
        probabilities = heard(model, samples, rate)
        found = [spans(get_speech_timestamps(samples, model, sampling_rate=rate, **options)) for options in OPTIONS]
        recordings.append({"name": name, "sampling_rate": rate, "pieces": pieces, "probabilities": probabilities, "spans": found})
    curves = []
    for seed in range(1, 13):
        rate = 8000 if seed % 3 == 0 else 16000
        values = made_up(seed, 400)
        samples = len(values) * (512 if rate == 16000 else 256) - 37 * seed
        found = [
            spans(get_speech_timestamps_from_probs(values, sampling_rate=rate, audio_length_samples=samples, **options))
            for options in OPTIONS
        ]
        curves.append({"seed": seed, "sampling_rate": rate, "samples": samples, "count": len(values), "spans": found})
    versions = {package: version(package) for package in ["silero-vad", "torch", "numpy"]}
    other = with_safetensors(load_silero_vad())
    of_safetensors = heard(other, torch.from_numpy(speech[: 60 * 512].copy()), 16000)
    expected = {"versions": versions, "of_safetensors": of_safetensors, "options": OPTIONS, "recordings": recordings, "curves": curves}
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
