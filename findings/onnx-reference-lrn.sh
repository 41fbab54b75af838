#!/usr/bin/env bash
# onnx 1.23.2: the reference evaluator's LRN goes over the channels as often as there are pictures in the batch: for one picture only the first
# channel is divided by its neighbours, for two pictures the first two, and all others by a constant.
# Touches: expected values made with the reference evaluator (AlexNet, GoogLeNet).
# Expected: the values of onnxruntime 1.32.0, and a picture has the same result alone and in a batch.
# Seen: of 6 channels 1 is right in a batch of one, and 3 in a batch of three; the first picture's values change with the batch.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 6, 2, 2])
node = helper.make_node("LRN", ["x"], ["y"], size=3, alpha=1.0)
graph = helper.make_graph([node], "graph", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
pictures = np.random.default_rng(0).normal(size=(3, 6, 2, 2)).astype(np.float32)
session = onnxruntime.InferenceSession(model.SerializeToString())
right = {}
for batch in (1, 3):
    feed = {"x": pictures[:batch]}
    reference, runtime = ReferenceEvaluator(model).run(None, feed)[0], session.run(None, feed)[0]
    right[batch] = [bool(np.allclose(reference[:, channel], runtime[:, channel], atol=1e-5)) for channel in range(6)]
print(right)
assert right == {1: [True] + [False] * 5, 3: [True] * 3 + [False] * 3}
PYTHON
