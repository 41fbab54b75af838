#!/usr/bin/env bash
# onnx 1.23.2: the reference evaluator's MaxPool with `auto_pad` SAME_LOWER makes a result that is one smaller where padding is odd, as if
# nothing were padded. SAME_UPPER is right, and so is AveragePool with either.
# Touches: expected values made with the reference evaluator.
# Expected: ceil(5 / 2) = 3 rows and columns, as the operator's text says ("SAME" pads so that the output is the input over the stride).
# Seen: 2 rows and columns; onnxruntime 1.32.0 gives 3.
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

picture = np.arange(25, dtype=np.float32).reshape(1, 1, 5, 5)


def shapes(operator, padding):
    node = helper.make_node(operator, ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2], auto_pad=padding)
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "xy"]
    values[0] = helper.make_tensor_value_info("x", TensorProto.FLOAT, picture.shape)
    graph = helper.make_graph([node], "graph", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    runtime = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"x": picture})[0]
    return ReferenceEvaluator(model).run(None, {"x": picture})[0].shape[2:], runtime.shape[2:]


seen = {(op, pad): shapes(op, pad) for op in ("MaxPool", "AveragePool") for pad in ("SAME_UPPER", "SAME_LOWER")}
print(seen)
assert seen.pop(("MaxPool", "SAME_LOWER")) == ((2, 2), (3, 3))
assert set(seen.values()) == {((3, 3), (3, 3))}
PYTHON
