#!/usr/bin/env bash
# onnx 1.23.2: the reference evaluator computes LogSoftmax as the logarithm of a softmax, so logits that lie
# far apart give -inf (and a warning of NumPy's) where the true values are finite.
# Expected: both engines give [0, -10000, -20000] for the logits [10000, 0, -10000].
# Seen: onnx.reference [0, -inf, -inf]; onnxruntime 1.32.0 [0, -10000, -20000].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.32.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import warnings

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

warnings.simplefilter("ignore")
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [3])
graph = helper.make_graph([helper.make_node("LogSoftmax", ["x"], ["y"])], "graph", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
feed = {"x": np.array([1e4, 0, -1e4], np.float32)}
reference = ReferenceEvaluator(model).run(None, feed)[0].tolist()
runtime = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)[0].tolist()
print(reference, runtime)
assert reference == [0.0, float("-inf"), float("-inf")]
assert runtime == [0.0, -10000.0, -20000.0]
PYTHON
