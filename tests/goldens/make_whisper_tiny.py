"""Makes `speech/whisper_tiny.json`: what the Python reference computes with the real weights of Whisper tiny and tiny.en.

    venv/bin/python tests/goldens/make_whisper_tiny.py CACHE  # packages: see make.py

CACHE is the folder into which the tests put their packages (`tests/support/packages.rs`), after `cargo test --features audio --test
whisper_tiny` has put them there. Made with transformers 4.57.6 and torch 2.9.1, in f32. For the recording `jfk.wav` and each model:
hidden states of the encoder at some frames, the logits behind the prompt without timestamps, the ids that it goes on with by the
largest logit, and for each of these the frame that the heads for alignment attend to most.
"""

import json
import sys
import wave
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

CACHE = Path(sys.argv[1])
OUT = Path(__file__).parent / "speech" / "whisper_tiny.json"
MODELS = {
    "tiny": ("whisper-tiny-folder-1", [50258, 50259, 50359, 50363]),
    "tiny.en": ("whisper-tiny-en-folder-1", [50257, 50362]),
}
FRAMES = [0, 1, 137, 548, 549, 550, 1499]
CHANNELS = list(range(0, 384, 16))


def samples():
    with wave.open(str(CACHE / "nodejs-whisper-0.3.1/package/cpp/whisper.cpp/bindings/go/samples/jfk.wav")) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768


def expect(folder, prompt):
    model = WhisperForConditionalGeneration.from_pretrained(CACHE / folder, torch_dtype=torch.float32, attn_implementation="eager").eval()
    features = WhisperFeatureExtractor.from_pretrained(CACHE / folder)(samples(), sampling_rate=16000, return_tensors="pt").input_features
    with torch.no_grad():
        states = model.model.encoder(features).last_hidden_state
        ids, first = list(prompt), None
        while ids[-1] != model.config.eos_token_id:
            out = model(encoder_outputs=(states,), decoder_input_ids=torch.tensor([ids]), output_attentions=True)
            first = out.logits[0, -1] if first is None else first
            best = out.logits[0, -1].topk(2)
            assert best.values[0] - best.values[1] > 0.02, "too close a call"
            ids.append(int(best.indices[0]))
    heads = model.generation_config.alignment_heads
    attended = torch.stack([out.cross_attentions[layer][0, head] for layer, head in heads])
    top = first.topk(10)
    return {
        "prompt": prompt,
        "states": [[round(float(states[0, frame, channel]), 5) for channel in CHANNELS] for frame in FRAMES],
        "logits": [[int(id), round(float(value), 5)] for id, value in zip(top.indices, top.values)],
        "ids": ids[len(prompt):],
        "heads": heads,
        "attended": attended[:, len(prompt) - 1 :].argmax(-1).tolist(),
    }


expected = {"made_with": {package: version(package) for package in ["transformers", "torch"]}, "frames": FRAMES, "channels": CHANNELS}
for name, (folder, prompt) in MODELS.items():
    expected[name] = expect(folder, prompt)
lines = ",\n ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in expected.items())
OUT.write_text("{" + lines + "}\n")
