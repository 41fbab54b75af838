"""Makes the tiny random XTTS in `xtts/`, in the layout of Coqui's checkpoints, and the numbers Coqui's code computes with it.

    venv/bin/python tests/goldens/make_xtts.py

Made with coqui-tts 0.28.0 (idiap's fork), torch and torchaudio 2.9.1, transformers 4.57.6, tokenizers 0.22.2, num2words 0.5.14,
ko-speech-tools 0.1.0 and pypinyin 0.55.0 (`pip install --no-deps`, with what these import).

`tiny/` is a checkpoint: config.json, model.pth (16 bits), vocab.json, speakers_xtts.pth, and voice.wav. What Coqui's classes fix in
their constructors (filters of the speaker encoder, channels of HiFi-GAN, channels of a head of the perceiver) is smaller here; a
reader finds it in the shapes of the tensors. `expected.safetensors` and `expected.json` hold for voice.wav of every eighth
frame of the first chunk the mel values, the latents and the speaker's embedding, and for each case the ids of the text, the logits before each code, the codes
of greedy search, or those drawn with a seed, the latents of the codes and the samples. `texts.json` holds what the cleaners of each
language make of texts, and `numbers.json` numbers in words.
"""

import functools
import json
import logging
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio
from safetensors.torch import save_file
from num2words import num2words
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

logging.disable(logging.WARNING)
torch.set_num_threads(1)


def load(path):
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return torch.from_numpy(samples.T.copy()), rate


# Its own needs ffmpeg.
torchaudio.load = load

from TTS.tts.configs.xtts_config import XttsArgs, XttsConfig  # noqa: E402
from TTS.tts.layers.xtts import gpt, hifigan_decoder, tokenizer  # noqa: E402
from TTS.tts.models import xtts  # noqa: E402

FOLDER = Path(__file__).parent / "xtts"
SPEAKER = 8
LANGUAGES = XttsConfig().languages
CASES = [
    dict(text="Hello, my dog is cute.", language="en", speed=1.0, repetition_penalty=10.0),
    dict(text="Dr. Who paid $20 for 3 dogs", language="en", speed=1.3, repetition_penalty=2.0),
    dict(text="Hello, my dog is cute.", language="en", speed=1.0, repetition_penalty=5.0, seed=11),
    dict(text="Der Hund & die Katze", language="de", speed=0.7, repetition_penalty=1.0),
]
# Of samples, so many are kept.
EVERY = 16
SETTINGS = dict(gpt_cond_len=2, gpt_cond_chunk_len=1, max_ref_length=2)


# Numbers that are said in words. Not those of which num2words makes mistakes: 118 in Italian ("centodicotto").
NUMBERS = [
    *range(104), 110, 111, 121, 180, 199, 200, 221, 300, 555, 999, 1000, 1001, 1021, 1100, 1999, 2000, 2002, 5000, 12345, 21000, 80000, 100000,
    200001, 999999, 1000000, 2000000, 2500001, 80000000, 1000000000, 3000000000,
]
# What the cleaners of each language read.
TEXTS = {
    "en": [
        "In 12.5 seconds.", "There were 50 soldiers.", "This is a 1st test, the 22nd and the 30th", "That will be $20 sir.", "20.15€ & £1",
        "That's 100,000.5.", "Mr. and Mrs. Smith, Dr. Jones: 14% at 3° @ home #1", 'He said "Hello"   to\n me', "1,234,567 dogs; room 101", "$1.01",
    ],
    "es": ["En 12,5 segundos.", "Había 50 soldados.", "Eso le costará $20 señor.", "20,15€ y 1£", "La Dra. Martinez & Sr. García", "Son 3.500 o 21"],
    "fr": ["En 12,5 secondes.", "Il y avait 50 soldats.", "Cela vous fera 20,15€ monsieur.", "Ce sera 100.000,5.", "Mme. Moreau a 14° de fièvre", "71 et 200 et 80"],
    "de": ["In 12,5 Sekunden.", "Es gab 50 Soldaten.", "Das macht $20 Herr.", "Das macht 20,15€ Herr.", "Fr. Dr. Müller: 14% & 1999", "1.000.001 Dinge"],
    "it": ["In 12,5 secondi.", "C'erano 50 soldati.", "Ti costerà $20 signore.", "20,15€ e 1£", "Buongiorno, Sig. Rossi: C#"],
    "pt": ["Em 12,5 segundos.", "Havia 50 soldados.", "O meu email é ana&joao@gmail.com", "Dra. Costa, são 1.250"],
    "pl": ["Było 50 żołnierzy.", "Dzień dobry, P. Kowalski.", "Moja temperatura to 36 °", "Rok 1999 i 22000"],
    "tr": ["50 asker vardı.", "Merhaba B. Yılmaz, İyi günler", "Pilim %14 dolu.", "1250 yıl"],
    "ru": ["Там было 50 солдат.", "Здравствуйте Г-н Иванов.", "У меня 14% заряда", "21,000 и 2,002"],
    "nl": ["In 12,5 seconden.", "Er waren 50 soldaten.", "Dat wordt dan $20 meneer.", "Dhr. Jansen & Mevr. de Vries", "1.001 of 23"],
    "cs": ["Bylo tam 50 vojáků.", "P. Novák má 14%", "22 000"],
    "hu": ["50 katona volt.", "Dr. Szabó itt van: 14%", "1999"],
    "ar": ["لدي % في البطارية", "كان هناك جنود"],
    "hi": ["मेरे पास बैटरी है & और"],
    "ko": ["안녕하세요 물엿", "배터리 잔량이 %입니다.", "값이 없다, 닭을"],
}


class Unsuitable(Exception):
    """Rounding could decide."""


def small():
    real = hifigan_decoder.ResNetSpeakerEncoder
    hifigan_decoder.ResNetSpeakerEncoder = lambda **options: real(
        **{**options, "proj_dim": SPEAKER}, layers=[1, 2, 1, 1], num_filters=[8, 8, 16, 8]
    )
    resampler = gpt.PerceiverResampler
    gpt.PerceiverResampler = lambda **options: resampler(**{**options, "dim_head": 4})
    xtts.HifiDecoder = functools.partial(hifigan_decoder.HifiDecoder, upsample_initial_channel_decoder=16)


def vocabulary(folder):
    words = ["[STOP]", "[UNK]", "[SPACE]", "[START]"] + [f"[{language}]" for language in LANGUAGES]
    letters = sorted("abcdefghijklmnopqrstuvwxyz.,!?'-äöüß")
    merges = [("t", "h"), ("th", "e"), ("d", "o"), ("do", "g"), ("i", "n"), ("d", "e"), ("h", "e"), ("l", "l"), ("he", "ll")]
    tokens = words + letters + [left + right for left, right in merges]
    model = models.BPE({token: number for number, token in enumerate(tokens)}, merges, unk_token="[UNK]")
    made = Tokenizer(model)
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens([AddedToken(word, special=True) for word in words])
    made.save(str(folder / "vocab.json"))
    return len(tokens)


def voice(folder):
    rate, seconds = 8_000, 1.5
    time = np.arange(int(rate * seconds)) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(5 * time)) / rate
    sound = sum(np.sin(number * pitch) / number for number in range(1, 12))
    sound = sound * (0.6 + 0.4 * np.sin(2 * np.pi * 3 * time)) + 0.05 * np.random.default_rng(0).standard_normal(len(time))
    soundfile.write(folder / "voice.wav", 0.6 * sound / np.abs(sound).max(), rate, subtype="PCM_16")


def randomize(model, seed):
    generator = torch.Generator().manual_seed(seed)
    for name, weight in [*model.named_parameters(), *model.named_buffers()]:
        if not weight.is_floating_point() or weight.dim() == 0 or "torch_spec" in name:
            continue
        noise = torch.randn(weight.shape, generator=generator)
        if name == "mel_stats":
            noise = 4 + 0.5 * noise.abs()
        elif name.endswith("running_var"):
            noise = 0.5 + noise.abs()
        elif name.endswith(("running_mean", ".bias")):
            noise = 0.1 * noise
        elif weight.dim() == 1 or name.endswith("original0"):
            noise = 1 + 0.2 * noise
        elif "embedding" in name or name.endswith("latents"):
            noise = 0.5 * noise
        else:
            fan = weight.shape[0] if "c_" in name else weight[0].numel()
            noise = 1.2 * noise / fan**0.5
        if "mel_head" in name:
            noise = 2 * noise
        weight.data = noise.half().float()


def record_mels():
    """The mel values of the first chunk."""
    mels = []
    made = xtts.wav_to_mel_cloning

    def cloning(*args, **options):
        mels.append(made(*args, **options))
        return mels[-1]

    xtts.wav_to_mel_cloning = cloning
    return mels


def speak(model, case, latents, speaker):
    text = case["text"].strip().lower()
    ids = model.tokenizer.encode(text, lang=case["language"])
    options = dict(do_sample=False, repetition_penalty=case["repetition_penalty"])
    if "seed" in case:
        options |= dict(do_sample=True, temperature=0.75, top_k=50, top_p=0.85)
        torch.manual_seed(case["seed"])
    tokens = torch.IntTensor(ids).unsqueeze(0)
    codes, steps = model.gpt.generate(
        cond_latents=latents, text_inputs=tokens, num_beams=1, return_dict_in_generate=True, output_scores=True,
        output_logits=True, **options,
    )
    for scores in steps.scores if "seed" not in case else []:
        best = scores[0].topk(2).values
        if best[0] - best[1] < 1e-2 * best[0].abs().clamp(min=1):
            raise Unsuitable("a tie")
    if len(set(codes[0].tolist())) < 3:
        raise Unsuitable("dull codes")
    torch.manual_seed(case.get("seed", 0))
    spoken = model.inference(case["text"], case["language"], latents, speaker, speed=case["speed"], **options)
    arrays = {
        "logits": torch.cat(steps.logits),
        "latents": torch.from_numpy(spoken["gpt_latents"][0]),
        "waveform": torch.from_numpy(spoken["wav"])[::EVERY],
    }
    return {**case, "ids": ids, "codes": codes[0].tolist(), "samples": len(spoken["wav"])}, arrays


def main():
    written = tokenizer.VoiceBpeTokenizer()
    texts = [
        dict(language=language, text=text, cleaned=written.preprocess_text(text.strip().lower(), language.split("-")[0]))
        for language, texts in TEXTS.items() for text in texts
    ]
    lines = ",\n ".join(json.dumps(text, ensure_ascii=False) for text in texts)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "texts.json").write_text(f"[\n {lines}\n]\n")
    small()
    folder = FOLDER / "tiny"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    voice(folder)
    vocab = vocabulary(folder)
    arguments = XttsArgs(
        gpt_layers=2, gpt_n_model_channels=16, gpt_n_heads=2, gpt_max_text_tokens=80, gpt_max_audio_tokens=24,
        gpt_number_text_tokens=vocab, gpt_num_audio_tokens=34, gpt_start_audio_token=32, gpt_stop_audio_token=33,
        gpt_use_perceiver_resampler=True, decoder_input_dim=16, d_vector_dim=SPEAKER,
    )
    config = XttsConfig(model_args=arguments, repetition_penalty=5.0, temperature=0.75, gpt_cond_len=2, gpt_cond_chunk_len=1, max_ref_len=2)
    mels = record_mels()
    generator = torch.Generator().manual_seed(1)
    named = {
        name: {
            "gpt_cond_latent": torch.randn(1, 32, 16, generator=generator),
            "speaker_embedding": torch.nn.functional.normalize(torch.randn(1, SPEAKER, 1, generator=generator), dim=1),
        }
        for name in ["Claribel Dervla", "Zofija Kendrick", "B. von Ärmel"]
    }
    for seed in range(1, 200):
        model = xtts.Xtts(config)
        model.tokenizer = tokenizer.VoiceBpeTokenizer(folder / "vocab.json")
        model.init_models()
        randomize(model, seed)
        model.gpt.init_gpt_for_inference()
        model.eval()
        mels.clear()
        with torch.inference_mode():
            latents, speaker = model.get_conditioning_latents(folder / "voice.wav", **SETTINGS)
            try:
                spoken = [speak(model, case, latents, speaker) for case in CASES]
                name, one = next(iter(named.items()))
                spoken.append(speak(model, {**CASES[0], "speaker": name}, one["gpt_cond_latent"], one["speaker_embedding"]))
            except Unsuitable:
                continue
        if any(33 in case["codes"][:-1] for case, _ in spoken) or not any(case["codes"][-1] == 33 for case, _ in spoken):
            continue
        break
    else:
        raise RuntimeError("no seed makes a clear case")
    weights = {
        name: weight.half() for name, weight in model.state_dict().items()
        if not name.startswith("gpt.gpt_inference.") and name != "gpt.gpt.wte.weight"
        # Large and not read.
        and not name.endswith((".fb", "num_batches_tracked"))
    }
    # Views of one storage, as each of its own takes more bytes than such small tensors have.
    flat, start = torch.cat([weight.flatten() for weight in weights.values()]), 0
    for name, weight in weights.items():
        weights[name] = flat[start : start + weight.numel()].view(weight.shape)
        start += weight.numel()
    torch.save({"config": config.to_dict(), "model": weights}, folder / "model.pth")
    (folder / "config.json").write_text(json.dumps({k: v for k, v in config.to_dict().items() if k in KEPT}, indent=1) + "\n")
    torch.save(named, folder / "speakers_xtts.pth")
    arrays = {"mel": mels[0][0].T[::8], "latents": latents[0], "speaker": speaker.flatten()}
    for number, (_, more) in enumerate(spoken):
        arrays |= {f"{number}.{name}": array for name, array in more.items()}
    save_file({name: array.contiguous().clone() for name, array in arrays.items()}, folder / "expected.safetensors")
    lines = ",\n  ".join(json.dumps(case) for case, _ in spoken)
    made_with = {package: version(package) for package in ["coqui-tts", "torch", "torchaudio", "transformers"]}
    (folder / "expected.json").write_text(f'{{"made_with": {json.dumps(made_with)},\n "seed": {seed},\n "cases": [\n  {lines}\n ]}}\n')
    numbers = {
        language: {number: num2words(number, lang=language) for number in NUMBERS if language != "hu" or number < 100}
        for language in ["cs", "de", "en", "es", "fr", "hu", "it", "nl", "pl", "pt", "ru", "tr"]
    }
    (FOLDER / "numbers.json").write_text(json.dumps(numbers, ensure_ascii=False, indent=0) + "\n")
    print("seed", seed, [len(case["codes"]) for case, _ in spoken], sum(file.stat().st_size for file in folder.iterdir()) // 1000, "kB")


KEPT = [
    "model", "model_args", "audio", "languages", "temperature", "length_penalty", "repetition_penalty", "top_k", "top_p",
    "num_gpt_outputs", "gpt_cond_len", "gpt_cond_chunk_len", "max_ref_len", "sound_norm_refs",
]


if __name__ == "__main__":
    main()
