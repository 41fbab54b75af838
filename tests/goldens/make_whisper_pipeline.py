#!/usr/bin/env python3
"""Makes `speech_pipelines/whisper_tiny.json`: what Python's automatic-speech-recognition returns with the real Whisper tiny.

    pip install transformers==4.57.6 torch==2.9.1
    python tests/goldens/make_whisper_pipeline.py FOLDER JFK
    cargo test --features audio --test whisper_pipeline

FOLDER is openai/whisper-tiny as the tests put it together (`tests/support/whisper.rs`), JFK the recording `jfk.wav`. In f32. A case
is the recording, or three of it with 7 seconds of silence between.
"""

import json
import sys
import wave
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import pipeline

transformers.logging.set_verbosity_error()
torch.set_num_threads(2)
FOLDER, JFK = sys.argv[1:]
OUT = Path(__file__).parent / "speech_pipelines" / "whisper_tiny.json"
GREEDY = {"num_beams": 1, "language": "en"}
CASES = [
    (1, {}),
    (1, {"return_timestamps": True}),
    (1, {"return_timestamps": "word", "generate_kwargs": GREEDY}),
    (1, {"generate_kwargs": {"language": "french", "task": "transcribe", "num_beams": 1}}),
    (3, {"return_timestamps": True, "generate_kwargs": GREEDY}),
    (3, {"return_timestamps": "word", "generate_kwargs": GREEDY}),
    (3, {"return_timestamps": True, "chunk_length_s": 15, "generate_kwargs": GREEDY}),
]


def main():
    with wave.open(JFK) as file:
        jfk = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float32) / 32768
    gap = np.zeros(7 * 16000, np.float32)
    task = pipeline("automatic-speech-recognition", model=FOLDER, dtype=torch.float32, device="cpu")
    written = []
    for times, options in CASES:
        samples = jfk if times == 1 else np.concatenate([jfk, gap, jfk, gap, jfk])
        output = task({"raw": samples, "sampling_rate": 16000}, **json.loads(json.dumps(options)))
        written.append({"times": times, "options": options, "output": output})
        print(times, options, output["text"])
    OUT.write_text(json.dumps(written, indent=1) + "\n")


if __name__ == "__main__":
    main()
