#!/usr/bin/env bash
# soundfile 0.14.0 (with libsndfile 1.2.2): an MP3 file that is read in blocks (`blocks`, or `read(n)` again and again) is not the sound that
# one `read()` of all of it gives. After each read the package seeks to where it already is, and a seek empties the decoder, so each
# block begins without the bits that MP3 keeps in earlier frames. The length is right, and nothing is raised.
# Touches: reading long MP3 recordings piece by piece for speech models; read them whole, or convert them to WAV or FLAC first.
# Expected: the same samples, to rounding.
# Seen: of short tones between silences, at 44.1 kHz in blocks of 1,000, a difference whose energy is 58 % of that of the sound; the
# same as Ogg Vorbis or FLAC has none.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet soundfile==0.14.0 numpy==2.4.6
# libmpg123 writes a line about each frame whose beginning is missing.
"$folder/venv/bin/python" - 2> "$folder/messages" <<'PYTHON'
import io

import numpy as np
import soundfile

RATE = 44100
time = np.arange(2 * RATE) / RATE
tones = 0.3 * np.sin(2 * np.pi * (200 + 300 * time) * time) * (np.sin(2 * np.pi * 2 * time) > 0)


def lost(container, subtype):
    """The energy of the difference between the two ways of reading, as a part of the sound's."""
    file = io.BytesIO()
    soundfile.write(file, tones, RATE, format=container, subtype=subtype)
    whole, _ = soundfile.read(io.BytesIO(file.getvalue()))
    pieces = np.concatenate(list(soundfile.blocks(io.BytesIO(file.getvalue()), blocksize=1000)))
    assert len(whole) == len(pieces) == len(tones)
    return ((whole - pieces) ** 2).sum() / (whole**2).sum()


seen = {name: lost(*name) for name in [("MP3", "MPEG_LAYER_III"), ("OGG", "VORBIS"), ("FLAC", "PCM_16")]}
print(seen)
assert 0.3 < seen["MP3", "MPEG_LAYER_III"] < 0.9
assert seen["OGG", "VORBIS"] < 1e-9 and seen["FLAC", "PCM_16"] == 0
PYTHON
