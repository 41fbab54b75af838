"""Writes tests/goldens/synthid_detector: a Bayesian detector of SynthID's watermark, and what it finds.

    pip install transformers==4.57.6 torch==2.9.1 safetensors==0.8.0
    python tests/goldens/make_synthid_detector.py

The parameters are random, but wide enough that each bit of each token counts.
"""

import json
import pathlib
import random
import shutil
import types

import torch
from transformers import BayesianDetectorConfig, BayesianDetectorModel
from transformers.generation import SynthIDTextWatermarkDetector, SynthIDTextWatermarkLogitsProcessor

OUT = pathlib.Path(__file__).parent / "synthid_detector"
EOS = 7

torch.manual_seed(5)
options = {
    "ngram_len": 4,
    "keys": [654, 400, 836, 123, 340, 443],
    "sampling_table_size": 1024,
    "sampling_table_seed": 3,
    "context_history_size": 6,
}
config = BayesianDetectorConfig(watermarking_depth=len(options["keys"]), base_rate=0.3)
config.set_detector_information("nobody/nothing", options)
model = BayesianDetectorModel(config).eval()
with torch.no_grad():
    model.likelihood_model_watermarked.beta.normal_(-0.5, 1.0)
    model.likelihood_model_watermarked.delta.normal_(0.0, 1.0)
    model.prior.fill_(0.3)
shutil.rmtree(OUT, ignore_errors=True)
model.save_pretrained(OUT)
processor = SynthIDTextWatermarkLogitsProcessor(**options, device="cpu")
detector = SynthIDTextWatermarkDetector(model, processor, types.SimpleNamespace(eos_token_id=EOS))

cases = []
rng = random.Random(2)
for number in range(60):
    vocab = rng.choice([3, 12, 400])
    tokens = [rng.randrange(vocab) for _ in range(rng.randrange(5, 40))]
    with torch.no_grad():
        (found,) = detector(torch.tensor([tokens]))
    cases.append({"tokens": tokens, "probability": float(found)})
lines = ",\n".join(json.dumps(case) for case in cases)
(OUT / "expected.json").write_text(f"[\n{lines}\n]\n")
