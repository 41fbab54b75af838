#!/usr/bin/env bash
# tokenizers 0.22.2: `DecodeStream` fails over byte tokens that `decode` turns into text. `ByteFallback` decodes a run of byte tokens as
# a whole: one byte too many after a complete character makes every byte of the run a replacement character. The stream has given the
# character out by then, and refuses to go on: a model's stray byte ends the stream of an answer.
# Touches: streaming with Llama's, Gemma's and T5's kinds of decoders. A run of byte tokens has to be held back until it ends.
# Expected: the pieces of the stream put together are the text of `decode`.
# Seen: "Hello" and four replacement characters and " world" from `decode`; the stream gives "Hello", "€", then an exception.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.22.2
"$folder/venv/bin/python" - <<'PYTHON'
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE

pieces = ["▁Hello", "▁world", "<0xE2>", "<0x82>", "<0xAC>"]
tokenizer = Tokenizer(BPE(vocab={piece: number for number, piece in enumerate(pieces)}, merges=[]))
tokenizer.decoder = decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
)


def streamed(ids):
    stream = decoders.DecodeStream()
    return [stream.step(tokenizer, number) for number in ids]


complete, stray = [0, 2, 3, 4, 1], [0, 2, 3, 4, 3, 1]
assert tokenizer.decode(complete) == "Hello€ world" == "".join(filter(None, streamed(complete)))
assert streamed(stray[:5]) == ["Hello", None, None, "€", None]
assert tokenizer.decode(stray) == "Hello" + "\ufffd" * 4 + " world"
try:
    streamed(stray)
    raise AssertionError("works now")
except Exception as error:
    assert "Invalid prefix" in str(error), error
    print(error)
PYTHON
