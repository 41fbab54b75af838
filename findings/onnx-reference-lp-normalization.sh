#!/usr/bin/env bash
# onnx 1.23.2: the reference evaluator's LpNormalization with p = 1 divides by the sum of the numbers, not of their absolute values. Where
# signs are mixed the result is no unit vector, and where the sum is negative all signs are turned. With p = 2 it is right.
# Touches: expected values made with the reference evaluator.
# Expected: [3, -1] becomes [0.75, -0.25], as in onnxruntime 1.31.1, and [1, -3] becomes [0.25, -0.75].
# Seen: [1.5, -0.5] and [-0.5, 1.5].
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet onnx==1.23.2 onnxruntime==1.31.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

rows = np.array([[3, -1], [1, -3]], np.float32)


def both(p):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in ("x", "y")]
    node = helper.make_node("LpNormalization", ["x"], ["y"], axis=1, p=p)
    graph = helper.make_graph([node], "norm", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return ReferenceEvaluator(model).run(None, {"x": rows})[0], session.run(None, {"x": rows})[0]


reference, runtime = both(1)
print(reference, runtime)
assert np.allclose(runtime, rows / np.abs(rows).sum(axis=1, keepdims=True))
assert np.allclose(reference, [[1.5, -0.5], [-0.5, 1.5]])
assert np.allclose(*both(2))
PYTHON
