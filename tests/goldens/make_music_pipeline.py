"""Runs Python's text-to-audio pipeline on the tiny models in `sound/` and writes what it returns.

    venv/bin/python tests/goldens/make_music_pipeline.py  # packages: see make.py; make_music.py comes first

Writes `pipeline.json` into each folder, calls with an input, options, the sampling rate and the shape of what comes, or the error that
Python raises, and `pipeline.safetensors` with the samples. Calls are greedy, and of those whose samples change when the weights are
disturbed a little other texts are taken.
"""

import json
import logging
import warnings
from pathlib import Path

import torch
import transformers
from make_music import BarkPreTrainedModel, disturbed  # noqa: F401
from safetensors.torch import save_file
from transformers import pipeline

transformers.logging.set_verbosity_error()
logging.disable(logging.ERROR)
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
FOLDER = Path(__file__).parent / "sound"
TEXTS = ["a calm piano", "the light of the candle", "drums", "the wax and the wick in the hall", "Hello!", "rain", "an old song"]
GREEDY = {"do_sample": False}
MUSIC = [
    (1, {"generate_kwargs": GREEDY | {"max_new_tokens": 14}}),
    (1, {"forward_params": GREEDY | {"max_new_tokens": 12, "guidance_scale": 1.0}}),
    (1, {"generate_kwargs": GREEDY}),
    (1, {"forward_params": {"max_new_tokens": 30}, "generate_kwargs": GREEDY | {"max_new_tokens": 9}}),
    (1, {"generate_kwargs": GREEDY | {"max_length": 13}}),
    (2, {"generate_kwargs": GREEDY | {"max_new_tokens": 10}}),
    (1, {"generate_kwargs": {"num_beams": 2, "max_new_tokens": 8}}),
    (1, {"generate_kwargs": {"no_such_option": 1}}),
    (1, {"generate_kwargs": {"max_new_tokens": "many"}}),
]
BARK = [
    (1, {"generate_kwargs": GREEDY | {"fine_temperature": 1.0}}),
    (1, {"forward_params": GREEDY | {"fine_temperature": 1.0, "semantic_max_new_tokens": 7}}),
    (1, {"generate_kwargs": {"semantic_do_sample": False, "coarse_do_sample": False, "fine_temperature": None}}),
    (2, {"generate_kwargs": GREEDY | {"fine_temperature": 1.0, "semantic_max_new_tokens": 9}}),
]


def main():
    for name, calls in (("musicgen-tiny", MUSIC), ("musicgen-stereo-tiny", MUSIC[:2]), ("bark-tiny", BARK)):
        config = FOLDER / name / "tokenizer_config.json"
        fields = json.loads(config.read_text()) | {"model_input_names": ["input_ids", "attention_mask"]}
        config.write_text(json.dumps(fields, indent=2) + "\n")
        torch.manual_seed(0)
        pipe = pipeline("text-to-audio", model=str(FOLDER / name))
        other = pipeline("text-to-audio", model=str(FOLDER / name))
        other.model = disturbed(other.model)
        written, tensors = [], {}
        for number, (count, options) in enumerate(calls):
            for first in range(len(TEXTS)):
                texts = [TEXTS[(number + first + more) % len(TEXTS)] for more in range(count)]
                given = texts if count > 1 else texts[0]
                found, again = call(pipe, given, options), call(other, given, options)
                if isinstance(found, str) or all(
                    a["audio"].shape == b["audio"].shape and abs(a["audio"] - b["audio"]).max() < 0.02 for a, b in zip(found, again)
                ):
                    break
            else:
                raise SystemExit(f"{name}: {options}: no text is good")
            if isinstance(found, str):
                written.append({"input": given, "options": options, "error": found})
                continue
            for place, output in enumerate(found):
                tensors[f"{number}.{place}"] = torch.from_numpy(output["audio"]).contiguous()
            shapes = [list(output["audio"].shape) for output in found]
            written.append({"input": given, "options": options, "sampling_rate": found[0]["sampling_rate"], "shapes": shapes})
        (FOLDER / name / "pipeline.json").write_text(json.dumps(written, indent=1) + "\n")
        save_file(tensors, FOLDER / name / "pipeline.safetensors")
        print(name, [call.get("shapes", call.get("error")) for call in written])


def call(pipe, texts, options):
    try:
        found = pipe(texts, **json.loads(json.dumps(options)))
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:200]
    return found if isinstance(found, list) else [found]


if __name__ == "__main__":
    main()
