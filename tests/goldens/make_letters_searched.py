"""Writes `speech_pipelines/letters_searched.json`: what the Python pipeline writes with a search over letters, in chunks and whole.

    PYTHONPATH=<pyctcdecode> venv/bin/python tests/goldens/make_letters_searched.py

Made with torch 2.9.1, transformers 4.57.6, pyctcdecode 0.5.0 and pygtrie 2.5.0 (`--no-deps`; no language model); the versions in use stand in
the file. The model is the checkpoint in `speech_pipelines/letters`. A call is kept only if f64 and logits that are disturbed a little give the
same. Chunks are computed one by one, whatever `batch_size` the call names: beside a longer chunk Python reads a frame of the padding behind
the last one.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from make_speech_pipelines import EXACT, LONG, SHORT, TINY, recording
from pyctcdecode import build_ctcdecoder
from transformers import AutomaticSpeechRecognitionPipeline, Wav2Vec2CTCTokenizer, Wav2Vec2FeatureExtractor, Wav2Vec2ForCTC

FOLDER = Path(__file__).parent / "speech_pipelines"
SEARCHES = [{}, {"beam_width": 5}, {"beam_width": 20, "beam_prune_logp": -4.0, "token_min_logp": -3.0}]


def calls():
    for search in SEARCHES:
        for one in [SHORT, TINY, EXACT, LONG]:
            yield one, {"decoder_kwargs": search}
        for one in [SHORT, EXACT, LONG]:
            yield one, {"decoder_kwargs": search, "chunk_length_s": 1.0}
            yield one, {"decoder_kwargs": search, "chunk_length_s": 1.5, "stride_length_s": [0.3, 0.2], "return_timestamps": "word"}
        yield LONG, {"decoder_kwargs": search, "chunk_length_s": 1.0, "return_timestamps": "word", "batch_size": 3}


class Disturbed:
    """A decoder whose logits rounding might have given."""

    def __init__(self, decoder, seed):
        self.decoder, self.seed = decoder, seed

    def decode_beams(self, logits, **options):
        if self.seed:
            logits = logits + np.random.default_rng(self.seed).normal(0, 1e-5, logits.shape)
        return self.decoder.decode_beams(logits.astype(np.float32), **options)


def run(dtype, seed):
    folder = FOLDER / "letters"
    vocab = json.loads((folder / "vocab.json").read_text())
    labels = [token for token, _ in sorted(vocab.items(), key=lambda item: item[1])]
    extractor = Wav2Vec2FeatureExtractor.from_pretrained(folder)
    extractor._processor_class = "Wav2Vec2ProcessorWithLM"
    task = AutomaticSpeechRecognitionPipeline(
        model=Wav2Vec2ForCTC.from_pretrained(folder, dtype=dtype).eval(), tokenizer=Wav2Vec2CTCTokenizer.from_pretrained(folder),
        feature_extractor=extractor, decoder=Disturbed(build_ctcdecoder(labels), seed), device="cpu", dtype=dtype,
    )
    assert task.type == "ctc_with_lm"
    plain = [(one, {name: value for name, value in options.items() if name != "batch_size"}) for one, options in calls()]
    return [task({"raw": recording(**one), "sampling_rate": 16000}, **json.loads(json.dumps(options))) for one, options in plain]


if __name__ == "__main__":
    expected = run(torch.float32, 0)
    others = [run(torch.float64, 0), *(run(torch.float32, seed) for seed in range(1, 4))]
    kept = [
        {"recordings": [one], "options": options, "output": output}
        for number, ((one, options), output) in enumerate(zip(calls(), expected, strict=True))
        if all(other[number] == output for other in others)
    ]
    print(len(kept), "of", len(expected), "calls")
    assert len(kept) > 20
    versions = {package: version(package) for package in ["torch", "transformers", "pyctcdecode", "pygtrie"]}
    text = json.dumps({"versions": versions, "calls": kept}, ensure_ascii=False, indent=1)
    (FOLDER / "letters_searched.json").write_text(text + "\n", encoding="utf-8")
