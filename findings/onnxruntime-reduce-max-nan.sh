#!/usr/bin/env bash
# onnxruntime 1.32.0 (CPU): ReduceMax and ArgMax pass over NaN, while Max keeps it. A NaN in logits is so lost
# on the way to a prediction, depending on which operator an exporter chose.
# Expected: NaN wins in all three, as in NumPy and in onnx.reference.
# Seen: of [1, NaN, 3] ReduceMax gives 3 and ArgMax 2; Max of NaN and 1 gives NaN; onnx.reference 1.23.2 gives NaN, 1, NaN.
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

feed = {"x": np.array([1, np.nan, 3], np.float32), "ones": np.ones(3, np.float32)}


def run(operator, inputs, kind, **attributes):
    node = helper.make_node(operator, inputs, ["y"], **attributes)
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [3]) for name in inputs]
    graph = helper.make_graph([node], "graph", infos, [helper.make_tensor_value_info("y", kind, None)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    feeds = {name: feed[name] for name in inputs}
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return ReferenceEvaluator(model).run(None, feeds)[0], session.run(None, feeds)[0]


reduced = run("ReduceMax", ["x"], TensorProto.FLOAT, keepdims=0)
index = run("ArgMax", ["x"], TensorProto.INT64, keepdims=0)
larger = run("Max", ["x", "ones"], TensorProto.FLOAT)
print(reduced, index, larger)
assert np.isnan(reduced[0]) and reduced[1] == 3
assert index[0] == 1 and index[1] == 2
assert np.isnan(larger[0][1]) and np.isnan(larger[1][1])
PYTHON
