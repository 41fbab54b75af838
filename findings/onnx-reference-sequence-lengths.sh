#!/usr/bin/env bash
# onnx 1.23.2: the reference evaluator's LSTM and GRU take `sequence_lens` and do nothing with it, without a word: steps after the end of a
# shorter sequence are computed like all others, and the last state is that of the padding.
# Touches: expected values of recurrent models made with the reference evaluator.
# Expected: zeros after a sequence's end, and as last state the state at its end, as in onnxruntime 1.31.1.
# Seen: the results of the reference are the same with lengths [3, 1] and [3, 3].
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

STEPS, BATCH, WIDTH, HIDDEN = 3, 2, 2, 2
random = np.random.default_rng(0)


def normal(*shape):
    return random.standard_normal(shape).astype(np.float32)


for kind, gates in (("LSTM", 4), ("GRU", 3)):
    weights = {
        "x": normal(STEPS, BATCH, WIDTH),
        "w": normal(1, gates * HIDDEN, WIDTH),
        "r": normal(1, gates * HIDDEN, HIDDEN),
        "b": normal(1, 2 * gates * HIDDEN),
    }
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in weights.items()]
    infos.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, [BATCH]))
    outputs = [
        helper.make_tensor_value_info("all", TensorProto.FLOAT, [STEPS, 1, BATCH, HIDDEN]),
        helper.make_tensor_value_info("last", TensorProto.FLOAT, [1, BATCH, HIDDEN]),
    ]
    node = helper.make_node(kind, ["x", "w", "r", "b", "lengths"], ["all", "last"], hidden_size=HIDDEN)
    model = helper.make_model(
        helper.make_graph([node], "recurrent", infos, outputs),
        opset_imports=[helper.make_opsetid("", 14)],
        ir_version=8,
    )
    evaluator, session = ReferenceEvaluator(model), onnxruntime.InferenceSession(model.SerializeToString())
    full, short = [{**weights, "lengths": np.array([STEPS, length], np.int32)} for length in (STEPS, 1)]
    whole, ignored = evaluator.run(None, full), evaluator.run(None, short)
    right = session.run(None, short)
    print(kind, ignored[1].tolist(), right[1].tolist())
    assert all(np.allclose(one, other, atol=1e-5) for one, other in zip(whole, session.run(None, full)))
    assert all(np.array_equal(one, other) for one, other in zip(whole, ignored))
    assert not right[0][1:, 0, 1].any() and np.array_equal(right[1][0, 1], right[0][0, 0, 1])
PYTHON
