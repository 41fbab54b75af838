"""Speaks ids by onnxruntime, beside `examples/read_back.rs`: a voice of Piper, or Kokoro with a voice's file.

    pip install numpy onnxruntime soundfile
    python examples/speak_onnx.py kokoro.onnx ours/ids.json theirs --voice kokoro/voices/af_heart.bin
    python examples/speak_onnx.py en_US-joe-medium.onnx ours/ids.json theirs
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
import soundfile


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("ids")
    parser.add_argument("output", type=Path)
    parser.add_argument("--voice")
    parser.add_argument("--noise", type=float, default=0.0)
    parser.add_argument("--threads", type=int, default=0)
    arguments = parser.parse_args()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = arguments.threads
    session = onnxruntime.InferenceSession(arguments.model, options)
    arguments.output.mkdir(parents=True, exist_ok=True)
    if arguments.voice:
        pack, rate = np.fromfile(arguments.voice, dtype=np.float32).reshape(-1, 1, 256), 24000
    else:
        rate = json.loads(Path(f"{arguments.model}.json").read_text())["audio"]["sample_rate"]
    seconds = taken = 0.0
    for number, parts in enumerate(json.loads(Path(arguments.ids).read_text())):
        samples = []
        for ids in parts:
            rows = np.array([ids], dtype=np.int64)
            if arguments.voice:
                given = {"input_ids": rows, "style": pack[len(ids) - 3], "speed": np.ones(1, dtype=np.float32)}
            else:
                scales = np.array([arguments.noise, 1.0, arguments.noise], dtype=np.float32)
                given = {"input": rows, "input_lengths": np.array([len(ids)], dtype=np.int64), "scales": scales}
            started = time.perf_counter()
            samples.append(session.run(None, given)[0].reshape(-1))
            taken += time.perf_counter() - started
        samples = np.concatenate(samples)
        seconds += len(samples) / rate
        soundfile.write(arguments.output / f"{number:02}.wav", np.clip(samples, -1, 1), rate, subtype="PCM_16")
    print(f"{seconds:.1f} s spoken in {taken:.1f} s: {taken / seconds:.3f} of real time")


if __name__ == "__main__":
    main()
