#!/usr/bin/env bash
# onnx 1.23.2: the reference evaluator runs a Softmax of opset 11 with the rules of opset 13. Before 13 the axes
# from `axis` (1 by default) on are flattened into one; the evaluator normalizes over the last axis alone.
# Expected: the four values of a (1, 2, 2) tensor add up to 1 together, as the model's opset says, in both engines.
# Seen: they add up to 2 in onnx.reference (1 in each row), to 1 in onnxruntime 1.32.0. Nothing is said.
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

value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 2])
graph = helper.make_graph([helper.make_node("Softmax", ["x"], ["y"])], "graph", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
feed = {"x": np.array([[[1, 2], [3, 4]]], np.float32)}
reference = ReferenceEvaluator(model).run(None, feed)[0]
runtime = onnxruntime.InferenceSession(model.SerializeToString()).run(None, feed)[0]
print(reference.tolist(), runtime.tolist())
assert np.allclose(reference.sum(axis=-1), 1)
assert np.isclose(runtime.sum(), 1) and np.allclose(runtime.ravel(), [0.0320586, 0.0871443, 0.2368828, 0.6439143])
PYTHON
