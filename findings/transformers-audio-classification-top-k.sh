#!/usr/bin/env bash
# transformers 4.57.6: `pipeline("audio-classification", top_k=3)` is not held to: each call that does not name `top_k` again gives all
# labels. The call's own argument is None when it is left out, which is read as "all of them" and overrides what the pipeline was made with, and
# so the 5 that are documented when nothing is said at all.
# Touches: ports of the pipeline and golden values from it: name `top_k` in each call.
# Expected: three labels from a pipeline made for three; five from one made without.
# Seen: nine, of a model with nine labels, from both; two where the call asks for two, and nine again after it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.9.1 transformers==4.57.6 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON' 2>/dev/null
import numpy as np
from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification, pipeline

sizes = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, vocab_size=8, classifier_proj_size=8)
layers = dict(conv_dim=(8, 8), conv_stride=(5, 4), conv_kernel=(10, 8), num_feat_extract_layers=2)
places = dict(num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2)
model = Wav2Vec2ForSequenceClassification(Wav2Vec2Config(num_labels=9, **sizes, **layers, **places)).eval()
sound = np.sin(np.arange(4000, dtype=np.float32))


def classifier(**options):
    return pipeline("audio-classification", model=model, feature_extractor=Wav2Vec2FeatureExtractor(), **options)


three, unsaid = classifier(top_k=3), classifier()
seen = [len(three(sound)), len(three(sound, top_k=2)), len(three(sound)), len(unsaid(sound)), len(unsaid(sound, top_k=5))]
print(seen)
assert seen == [9, 2, 9, 9, 5]
PYTHON
