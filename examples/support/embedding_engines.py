"""The other engines of the example bench_embeddings: PyTorch f32, ONNX Runtime f32 and int8.

    python embedding_engines.py MODEL_FOLDER THREADS

Prints the engines' names as JSON, then answers each line {"engine": …, "texts": […], "max_length": …} with the seconds of a
forward pass and of tokenization and forward pass. Needs torch, transformers, onnx, onnxscript and onnxruntime.
"""

import contextlib
import json
import os
import sys
import tempfile
import time

import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from transformers import AutoModel, AutoTokenizer

FOLDER, THREADS = sys.argv[1], int(sys.argv[2])
ANSWERS = sys.stdout
torch.set_num_threads(THREADS)
tokenizer = AutoTokenizer.from_pretrained(FOLDER)


class Exported(torch.nn.Module):
    """The encoder with two plain inputs and one output, as the exporter wants it."""

    def __init__(self):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(FOLDER, attn_implementation="eager").eval()

    def forward(self, input_ids, attention_mask):
        return self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def export(into):
    dense, int8 = os.path.join(into, "model.onnx"), os.path.join(into, "model-int8.onnx")
    example = tokenizer(["a b c", "d e"], padding=True, return_tensors="pt")
    axes = {0: torch.export.Dim("batch", min=1, max=512), 1: torch.export.Dim("tokens", min=2, max=512)}
    torch.onnx.export(
        Exported(), (example["input_ids"], example["attention_mask"]), dense, dynamo=True, input_names=["input_ids", "attention_mask"],
        output_names=["hidden"], dynamic_shapes={"input_ids": axes, "attention_mask": axes},
    )
    quantize_dynamic(dense, int8, weight_type=QuantType.QInt8)
    return session(dense), session(int8)


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    # Threads that spin between runs would take this machine from whoever runs next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0" if os.environ.get("NO_SPIN") else "1")
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main():
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as folder:
        model = AutoModel.from_pretrained(FOLDER).eval()
        dense, int8 = export(folder)
    arrays = lambda x: {key: x[key].numpy() for key in ("input_ids", "attention_mask")}
    engines = {
        "torch f32": lambda x: model(**x),
        "onnxruntime f32": lambda x: dense.run(None, arrays(x)),
        "onnxruntime int8": lambda x: int8.run(None, arrays(x)),
    }
    print(json.dumps(list(engines)), file=ANSWERS, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        started = time.perf_counter()
        x = tokenizer(question["texts"], padding=True, truncation=True, max_length=question["max_length"], return_tensors="pt")
        tokenized = time.perf_counter()
        with torch.inference_mode():
            engines[question["engine"]](x)
        done = time.perf_counter()
        print(json.dumps([done - tokenized, done - started]), file=ANSWERS, flush=True)


if __name__ == "__main__":
    main()
