"""Makes the tiny random MusicGen Melody models in `sound/` and the numbers the Python reference computes with them.

    venv/bin/python tests/goldens/make_melody.py    # packages: see make.py, and torchaudio 2.9.1

A folder is as those of `make_music.py`, with what the feature extractor hears in each case. `sound/chroma.json` holds for several
settings of the feature extractor and several sounds, which the test makes by the same formula, the loudest pitch of each frame.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
from make_music import CODEC, DECODER, GREEDY, TEXT, TEXTS, disturbed, randomize, written
from transformers import EncodecConfig, MusicgenMelodyConfig, MusicgenMelodyFeatureExtractor, MusicgenMelodyForConditionalGeneration, T5Config
from transformers.models.musicgen_melody import MusicgenMelodyDecoderConfig

torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "sound"
MELODIES = {
    "melody-tiny": (TEXT, dict(use_causal_conv=False, use_conv_shortcut=False), DECODER | dict(num_codebooks=4), dict(num_chroma=12, chroma_length=9)),
    # As wide as there are pitches, so that nothing is projected.
    "melody-stereo-tiny": (
        TEXT | dict(d_model=24), dict(use_causal_conv=False, num_filters=2),
        DECODER | dict(num_codebooks=8, audio_channels=2, hidden_size=24, activation_function="relu"), dict(num_chroma=24, chroma_length=5),
    ),
}
EXTRACTORS = [dict(), dict(sampling_rate=16000, n_fft=2048, hop_length=512, num_chroma=24, feature_size=24, chunk_length=1)]
SOUNDS = [(1.0, 220.0), (0.3, 500.0), (1.2, 97.0), (0.05, 1000.0)]


def sound(seconds, pitch, rate):
    """A tone that rises by steps of a third, with an overtone."""
    time = np.arange(int(seconds * rate))
    steps = (time * 10 // rate).astype(np.float64)
    at = pitch * 2.0 ** (steps / 3.0) * time / rate
    return (0.5 * np.sin(2 * np.pi * at) + 0.2 * np.sin(4 * np.pi * at)).astype(np.float32)


def chroma():
    cases = []
    for options in EXTRACTORS:
        extractor = MusicgenMelodyFeatureExtractor(**options)
        for seconds, pitch in SOUNDS:
            samples = sound(seconds, pitch, extractor.sampling_rate)
            heard = extractor(samples, sampling_rate=extractor.sampling_rate, return_tensors="pt")["input_features"][0]
            assert torch.equal(heard.sum(-1), torch.ones(len(heard)))
            cases.append(dict(options=options, seconds=seconds, pitch=pitch, pitches=heard.argmax(-1).tolist()))
    lines = ",\n ".join(json.dumps(case) for case in cases)
    (FOLDER / "chroma.json").write_text(f"[\n {lines}\n]\n")


def heard(frames, chroma):
    """Pitches of frames that go up and down."""
    return torch.nn.functional.one_hot(torch.tensor([[(frame * frame + 1) % chroma for frame in range(frames)]]), chroma).float()


@torch.no_grad()
def run(model, how):
    codes, decode = [], model.audio_encoder.decode
    model.audio_encoder.decode = lambda ids, **kwargs: codes.append(ids) or decode(ids, **kwargs)
    # One by one: in a batch, Python pads shorter texts with vectors of zeros that are attended to.
    audio = []
    for ids in how["texts"]:
        inputs = dict(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))
        if how["melody"]:
            inputs["input_features"] = heard(how["melody"], model.config.num_chroma)
        # With its cache, 4.57.6 drops melody and text before the first step.
        audio.append(model.generate(**inputs, use_cache=False, **how["options"]))
    model.audio_encoder.decode = decode
    codes = [code[0] for code in codes]
    if model.decoder.config.audio_channels == 2:
        codes = [torch.stack(pair, dim=2).flatten(1, 2) for pair in zip(codes[::2], codes[1::2])]
    return torch.cat(codes), torch.cat(audio)


def melody(name):
    text, codec, decoder, own = MELODIES[name]
    for seed in range(1, 200):
        torch.manual_seed(seed)
        config = MusicgenMelodyConfig(
            text_encoder=T5Config(**text).to_dict(), audio_encoder=EncodecConfig(**(CODEC | codec)).to_dict(),
            decoder=MusicgenMelodyDecoderConfig(**decoder).to_dict(), **own,
        )
        model = MusicgenMelodyForConditionalGeneration(config).eval()
        randomize(model)
        options = dict(guidance_scale=3.0, do_sample=True, max_length=30, pad_token_id=16, bos_token_id=16, decoder_start_token_id=16)
        for key, value in options.items():
            setattr(model.generation_config, key, value)
        cases = {
            "guided": dict(texts=[TEXTS[0]], melody=4, options=GREEDY | dict(max_new_tokens=16)),
            "batch": dict(texts=TEXTS, melody=7, options=GREEDY | dict(max_new_tokens=14, guidance_scale=2.0)),
            "alone": dict(texts=[TEXTS[2]], melody=30, options=GREEDY | dict(max_new_tokens=12, guidance_scale=1.0)),
            "unheard": dict(texts=TEXTS[:2], melody=0, options=GREEDY | dict(max_new_tokens=12)),
        }
        expected, tensors, good = {}, {}, True
        for case, how in cases.items():
            codes, audio = run(model, how)
            good &= torch.equal(codes, run(disturbed(model), how)[0]) and len(set(codes.flatten().tolist())) > 5
            tensors |= {f"{case}.codes": codes.contiguous(), f"{case}.audio": audio.contiguous()}
            expected[case] = how
            if not good:
                break
        if good:
            written(FOLDER / name, model, expected, tensors, seed)
            extractor = MusicgenMelodyFeatureExtractor(sampling_rate=2000, n_fft=256, hop_length=64, num_chroma=own["num_chroma"], feature_size=own["num_chroma"])
            extractor.save_pretrained(FOLDER / name)
            return
    raise SystemExit(f"{name}: no seed is good")


if __name__ == "__main__":
    chroma()
    for name in sys.argv[1:] or MELODIES:
        melody(name)
