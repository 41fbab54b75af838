#!/usr/bin/env python3
"""Counts the words that whisper.cpp writes about the clips of `tests/support/clips.rs`, which hold none.

    pip install pywhispercpp==1.5.1
    SCONCE_CLIPS=FOLDER cargo test --release --features audio --test invented_words
    python tests/goldens/invented_words.py FOLDER ggml-tiny.bin
"""

import sys
from pathlib import Path

from pywhispercpp.model import Model


def main(folder, weights):
    for name, options in [("greedy", {}), ("five beams", {"beam_search": {"beam_size": 5, "patience": -1.0}})]:
        strategy = 1 if options else 0
        model = Model(weights, params_sampling_strategy=strategy, language="en", print_progress=False, print_realtime=False, **options)
        total = 0
        for clip in sorted(Path(folder).glob("*.wav")):
            text = " ".join(segment.text for segment in model.transcribe(str(clip)))
            # "[BLANK_AUDIO]", "(music)" and the like say that nothing is said.
            said = [word for word in without_notes(text).split() if any(letter.isalnum() for letter in word)]
            total += len(said)
            print(f"{name}: {clip.stem}: {len(said)} {text!r}")
        print(f"{name}: {total} words")


def without_notes(text):
    depth, kept = 0, []
    for letter in text:
        depth += letter in "[("
        if depth == 0 and letter != "*":
            kept.append(letter)
        depth -= letter in "])" and depth > 0
    return "".join(kept)


if __name__ == "__main__":
    main(*sys.argv[1:])
