#!/usr/bin/env python3
"""Runs Python's automatic-speech-recognition on tiny random models and writes what it returns.

    pip install transformers==4.57.6 torch==2.9.1
    python tests/goldens/make_speech_pipelines.py [NAME ...]
    cargo test --features audio --test pipelines speech

Writes tests/goldens/speech_pipelines/<name>/: config.json, generation_config.json, preprocessor_config.json and
model.safetensors, and golden.json: calls (recordings, options, output, or the error that Python raises). The tokenizer of the
Whisper models is that of `transcripts/tokenizer`. A recording is a seed and a number of samples; `recording` makes the samples.
Seeds of the weights are tried until every output is the same in f32 and f64, so that rounding decides nothing.
"""

import json
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import (
    GenerationConfig,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperTokenizerFast,
    pipeline,
)

transformers.logging.set_verbosity_error()
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
HERE = Path(__file__).parent
FOLDER = HERE / "speech_pipelines"


def recording(seed, length):
    """Noise that is loud and soft by turns, the same in every language."""
    state, samples = seed, []
    for at in range(length):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        loud = [0.9, 0.05, 0.4, 0.0, 0.7][(at // 4000 + seed) % 5]
        samples.append(((state >> 40) / 2.0**24 - 0.5) * loud)
    return np.array(samples, dtype=np.float32)


SHORT, LONG, LONGER = {"seed": 1, "length": 32000}, {"seed": 2, "length": 120000}, {"seed": 3, "length": 160001}
TINY, EXACT = {"seed": 4, "length": 8000}, {"seed": 5, "length": 48000}


def calls_of_whisper():
    yield from (([one], {}) for one in [SHORT, TINY, EXACT])
    for times in [True, "word"]:
        # A window of two tokens ends its first at -0.02 seconds in Python: TINY has one.
        few = [SHORT, EXACT, LONG, LONGER] if times == "word" else [SHORT, TINY, EXACT, LONG, LONGER]
        yield from (([one], {"return_timestamps": times}) for one in few)
        yield from (([one], {"return_timestamps": times, "chunk_length_s": 2.0}) for one in [SHORT, EXACT, LONG, LONGER])
        yield [LONG], {"return_timestamps": times, "chunk_length_s": 2.5, "stride_length_s": [0.5, 0.25]}
        yield [LONG], {"return_timestamps": times, "generate_kwargs": {"num_beams": 1, "language": "de"}}
    yield [SHORT], {"generate_kwargs": {"num_beams": 1}}
    yield [SHORT], {"generate_kwargs": {"num_beams": 1, "task": "translate", "language": "french"}}
    yield [SHORT], {"num_beams": 2, "max_new_tokens": 7}
    yield from (([LONG], {"chunk_length_s": length}) for length in [1.0, 2.0, 3])
    yield [LONG], {"chunk_length_s": 2.0, "stride_length_s": 0.0, "generate_kwargs": {"language": "en"}}
    yield [LONG], {"chunk_length_s": 2.0, "batch_size": 3, "return_timestamps": True}
    yield [SHORT, TINY, EXACT, LONG], {"return_timestamps": True}
    yield [SHORT, TINY, EXACT], {"batch_size": 2}
    # What Python refuses.
    yield [LONG], {}
    yield [SHORT], {"return_timestamps": "char"}
    yield [LONG], {"chunk_length_s": 1.0, "stride_length_s": 0.6}
    yield [SHORT], {"generate_kwargs": {"language": "klingon"}}
    yield [SHORT], {"generate_kwargs": {"task": "sing"}}
    yield [SHORT], {"generate_kwargs": {"num_beems": 2}}


def whisper(seed, folder):
    tokenizer = WhisperTokenizerFast.from_pretrained(HERE / "transcripts" / "tokenizer")
    token = tokenizer.convert_tokens_to_ids
    torch.manual_seed(seed)
    config = WhisperConfig(
        vocab_size=len(tokenizer), num_mel_bins=16, encoder_layers=2, encoder_attention_heads=2, decoder_layers=2,
        decoder_attention_heads=2, decoder_ffn_dim=32, encoder_ffn_dim=32, d_model=16, max_source_positions=150,
        max_target_positions=64, decoder_start_token_id=token("<|startoftranscript|>"), bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.eos_token_id, suppress_tokens=None, begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm" in name or name.endswith("bias"):
                parameter.add_(torch.randn_like(parameter) * 0.2)
            elif "embed_positions" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.5)
            else:
                parameter.copy_(torch.randn_like(parameter) * 0.45)
        # Ends and timestamps come often enough.
        model.model.decoder.embed_tokens.weight[tokenizer.eos_token_id] *= 1.6
    languages = [code for code in tokenizer.additional_special_tokens if len(code) in (6, 7) and code not in ("<|nospeech|>",)]
    model.generation_config = GenerationConfig(
        decoder_start_token_id=config.decoder_start_token_id, bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id, max_length=40, is_multilingual=True, return_timestamps=False,
        lang_to_id={language: token(language) for language in languages},
        task_to_id={task: token(f"<|{task}|>") for task in ["translate", "transcribe"]},
        no_timestamps_token_id=token("<|notimestamps|>"), prev_sot_token_id=token("<|startofprev|>"),
        max_initial_timestamp_index=50, alignment_heads=[[0, 1], [1, 0], [1, 1]],
        suppress_tokens=[token(name) for name in ["<|startoftranscript|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|translate|>", "<|transcribe|>"]]
        + [token(language) for language in languages]
        # Nothing but whole characters.
        + [id for id in range(tokenizer.eos_token_id) if "\ufffd" in tokenizer.decode([id])],
        begin_suppress_tokens=[tokenizer.eos_token_id],
    )
    model.save_pretrained(folder)
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=3)
    extractor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def calls_of_letters():
    yield from (([one], {}) for one in [SHORT, TINY, EXACT])
    for times in ["char", "word"]:
        yield from (([one], {"return_timestamps": times}) for one in [SHORT, TINY])
        yield from (([one], {"return_timestamps": times, "chunk_length_s": 1.0}) for one in [SHORT, EXACT, LONG])
        yield [LONG], {"return_timestamps": times, "chunk_length_s": 1.5, "stride_length_s": [0.3, 0.2]}
    yield [LONG], {"chunk_length_s": 1.0, "batch_size": 3}
    yield [SHORT, TINY, EXACT], {"return_timestamps": "word"}
    # What Python refuses.
    yield [SHORT], {"return_timestamps": True}
    yield [SHORT], {"return_language": True}
    yield [LONG], {"chunk_length_s": 0.5, "stride_length_s": 0.4}


def letters(seed, folder):
    torch.manual_seed(seed)
    vocab = ["<pad>", "<s>", "</s>", "<unk>", "|", *"ETAONIHSRDL'"]
    config = Wav2Vec2Config(
        vocab_size=len(vocab), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        conv_dim=(8, 8, 8, 8, 8, 8, 12), num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=2, feat_extract_norm="layer",
        do_stable_layer_norm=True, conv_bias=True, pad_token_id=0,
    )
    model = Wav2Vec2ForCTC(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
        # Many letters, and spaces between them.
        model.lm_head.weight.mul_(3.0)
        model.lm_head.bias.zero_()
    model.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps({token: id for id, token in enumerate(vocab)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    extractor.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


MODELS = {"whisper": (whisper, calls_of_whisper, 12), "letters": (letters, calls_of_letters, 4)}


def run(folder, calls, dtype):
    task = pipeline("automatic-speech-recognition", model=str(folder), dtype=dtype, device="cpu")
    outputs = []
    for recordings, options in calls():
        inputs = [{"raw": recording(**one), "sampling_rate": 16000} for one in recordings]
        inputs = inputs if len(inputs) > 1 else inputs[0]
        try:
            outputs.append({"output": task(inputs, **json.loads(json.dumps(options)))})
        except Exception as error:
            outputs.append({"error": f"{type(error).__name__}: {str(error)[:120]}"})
    return outputs


def make(name):
    build, calls, least = MODELS[name]
    for seed in range(200):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            build(seed, folder)
            outputs = run(folder, calls, torch.float32)
            texts = {output["output"]["text"] for output in outputs if isinstance(output.get("output"), dict)}
            if len(texts) < least or all(" " not in text for text in texts):
                print(name, seed, "says little", len(texts))
                continue
            if outputs != run(folder, calls, torch.float64):
                print(name, seed, "rounding decides")
                continue
            to = FOLDER / name
            shutil.rmtree(to, ignore_errors=True)
            to.mkdir(parents=True)
            files = ["config.json", "generation_config.json", "preprocessor_config.json", "model.safetensors"]
            files += ["vocab.json", "tokenizer_config.json"] if name == "letters" else []
            for file in files:
                if (folder / file).exists():
                    shutil.copy(folder / file, to / file)
        records = [{"recordings": recordings, "options": options} | output
                   for (recordings, options), output in zip(calls(), outputs, strict=True)]
        golden = {"task": "automatic-speech-recognition", "tokenizer": "transcripts/tokenizer" if name == "whisper" else None, "calls": records}
        (to / "golden.json").write_text(json.dumps(golden, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        print(name, "seed", seed, len(records), "calls;", sum("error" in one for one in records), "errors")
        return
    raise SystemExit(f"{name}: no seed will do")


if __name__ == "__main__":
    for name in sys.argv[1:] or MODELS:
        make(name)
