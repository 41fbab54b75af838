#!/usr/bin/env bash
# sentence-transformers 5.7.0: the limits of `paraphrase_mining_embeddings` are not what they are named. `top_k`, the number of others per
# sentence, holds for each block of `corpus_chunk_size`, so the smaller the blocks (a matter of memory) the more pairs come back;
# and of `max_pairs` about half is given, since a pair is counted from both ends before doubles are taken out.
# Touches: mining pairs; a block size must not change a result.
# Expected: 10 pairs for max_pairs=10; the same pairs whatever the blocks.
# Seen: 5 of the 45 pairs among ten sentences; with top_k=1, 45 pairs in blocks of one and fewer than ten in one block.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet sentence-transformers==5.7.0 transformers==4.57.6 torch==2.9.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from sentence_transformers.util import paraphrase_mining_embeddings

embeddings = torch.randn(10, 8, generator=torch.Generator().manual_seed(0))
limited = len(paraphrase_mining_embeddings(embeddings, max_pairs=10))
whole = len(paraphrase_mining_embeddings(embeddings, max_pairs=1000))
blocks = [len(paraphrase_mining_embeddings(embeddings, top_k=1, corpus_chunk_size=size)) for size in (1, 2, 5, 10)]
print(limited, whole, blocks)
assert whole == 45
assert limited == 5
assert blocks[0] == 45 and blocks[-1] < 10
PYTHON
