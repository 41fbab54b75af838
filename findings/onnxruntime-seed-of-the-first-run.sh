#!/usr/bin/env bash
# onnxruntime 1.31.1 (CPU): the `seed` of RandomNormal, Bernoulli, Multinomial and kin fixes the first run of a session only; each further
# run goes on in the same stream. And two nodes with one seed draw the same numbers. What a model samples so depends on how often
# its session was used before.
# Touches: comparing with exported models that sample inside (noise of a vocoder, sampled tokens): take the first run of a new session.
# Expected: a node whose seed is an attribute gives the same numbers for the same inputs.
# Seen: run 1 and run 2 of a session differ; the first runs of two sessions, and two nodes of one run, are equal.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper

LOGITS = {"x": np.zeros((1, 4), np.float32)}


def session(kind, **attributes):
    inputs = ["x"] if kind == "Multinomial" else []
    of = TensorProto.INT32 if kind == "Multinomial" else TensorProto.FLOAT
    nodes = [helper.make_node(kind, inputs, [name], seed=3.0, **attributes) for name in ("one", "other")]
    outputs = [helper.make_tensor_value_info(name, of, None) for name in ("one", "other")]
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in inputs]
    model = helper.make_model(
        helper.make_graph(nodes, "draws", given, outputs),
        opset_imports=[helper.make_opsetid("", 15)],
        ir_version=8,
    )
    made = onnxruntime.InferenceSession(model.SerializeToString())
    return lambda: [array.ravel().tolist() for array in made.run(None, LOGITS if inputs else {})]


for kind, attributes in (("RandomNormal", {"shape": [16]}), ("Multinomial", {"sample_size": 16})):
    used, new = session(kind, **attributes), session(kind, **attributes)
    first, second, again = used(), used(), new()
    print(kind, first[0][:4], second[0][:4], again[0][:4])
    assert first == again and first[0] == first[1]
    assert first[0] != second[0]
PYTHON
