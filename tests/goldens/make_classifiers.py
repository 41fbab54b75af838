"""Makes `classifiers.json`: what sequence classifiers on the tiny decoders say, by transformers and sentence-transformers.

    venv/bin/python tests/goldens/make_classifiers.py   # after make.py; packages: see there

Each is a folder's decoder with a head, whose numbers are in the file beside the results.
"""

import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from safetensors.torch import save_file
from sentence_transformers import CrossEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.cross_encoder.modules import LogitScore
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline

torch.set_num_threads(1)
HERE = Path(__file__).parent
FOLDERS = ["falcon-7b-tiny", "gemma2-tiny", "gpt2-tiny", "gpt-neox-tiny", "llama-gqa-tiny", "mixtral-tiny", "phi3-tiny", "qwen3-bias-tiny"]
RERANKER = "qwen3-bias-tiny"
TEXTS = ["The light of the candle.", "I hate that film!", "Größe 🎉", "It was good. " * 6]
# Files over those of a folder, in which the classifier has two labels or one.
SEQUENCE = {"transformer_task": "sequence-classification", "modality_config": {"text": {"method": "forward", "method_output_name": "logits"}}, "module_output_name": "scores"}
NAMED = "torch.nn.modules.activation."
CROSS_ENCODERS = {
    "alone": ("bert-tiny", {}),
    "one-label": ("reranker-tiny", {}),
    "version-4": ("bert-tiny", {"config.json": {"sentence_transformers": {"activation_fn": NAMED + "Softmax"}, "sbert_ce_default_activation_function": NAMED + "Tanh"}}),
    "version-3": ("bert-tiny", {"config.json": {"sbert_ce_default_activation_function": NAMED + "Tanh"}}),
    "no-torch": ("reranker-tiny", {"config.json": {"sbert_ce_default_activation_function": "own.Function"}}),
    "modules": ("reranker-tiny", {
        "modules.json": [("Transformer", "")],
        "config_sentence_transformers.json": {"model_type": "CrossEncoder", "activation_fn": NAMED + "Softplus", "prompts": {"q": "the query: "}, "default_prompt_name": "q"},
        "sentence_bert_config.json": SEQUENCE | {"max_seq_length": 16},
        "config.json": {"sentence_transformers": {"activation_fn": NAMED + "Tanh"}},
    }),
    "no-torch-modules": ("reranker-tiny", {
        "modules.json": [("Transformer", "")],
        "config_sentence_transformers.json": {"model_type": "CrossEncoder", "activation_fn": "own.Function"},
        "sentence_bert_config.json": SEQUENCE,
        "config.json": {"sentence_transformers": {"activation_fn": NAMED + "Tanh"}},
    }),
    # Saved as an embedding model: what counts is the head.
    "converted": ("bert-tiny", {"modules.json": [("Transformer", ""), ("Pooling", "1_Pooling")], "config_sentence_transformers.json": {"prompts": {"q": "never "}, "default_prompt_name": "q"}}),
    "pooled": ("bert-tiny", {
        "modules.json": [("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense")],
        "config_sentence_transformers.json": {"model_type": "CrossEncoder"},
        "1_Pooling/config.json": {"embedding_dimension": 32, "pooling_mode": "cls"},
        "2_Dense/config.json": {"in_features": 32, "out_features": 1, "activation_function": "torch.nn.modules.linear.Identity", "module_output_name": "scores"},
    }),
}
PAIRS = [["Where is Paris?", "Paris is in France."], ["Where is Paris?", "A candle."], ["", "x"], ["who", "It was good. " * 5]]


def main():
    found = {"made_with": {package: version(package) for package in ["transformers", "sentence-transformers", "torch"]}}
    found["classifiers"] = [classifier(name) for name in FOLDERS]
    found["scorers"] = [scorer("llama-gqa-tiny", 101, 55), scorer("gpt2-tiny", 80, None)]
    # Cut, with the template's end put back; and read without the template.
    found["scorers"].append(scorer("llama-gqa-tiny", 101, 55, {"max_seq_length": 40}))
    found["scorers"].append(scorer("llama-gqa-tiny", 101, 55, {"modality_config": {"text": {"method": "forward", "method_output_name": "logits"}}}))
    found["cross_encoders"] = [cross_encoder(name, *golden) for name, golden in CROSS_ENCODERS.items()]
    (HERE / "classifiers.json").write_text(json.dumps(found, ensure_ascii=False, separators=(",", ":")) + "\n")


def classifier(name):
    labels = 1 if name == RERANKER else 3
    torch.manual_seed(labels)
    # As decoders' own tokenizers have it: no token types.
    tokenizer = AutoTokenizer.from_pretrained(HERE / name, model_input_names=["input_ids", "attention_mask"])
    # Any token may be the last but this one.
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 5
    config = AutoConfig.from_pretrained(HERE / name, num_labels=labels, pad_token_id=padding)
    model = AutoModelForSequenceClassification.from_pretrained(HERE / name, config=config, attn_implementation="eager", dtype=torch.float32).eval()
    model.score.weight.data = (0.1 * torch.randn_like(model.score.weight)).round(decimals=3)
    rows = [[7, 80, 33, 12, 101, 55, 90], [9], [41, 77, 23, 64, padding], [padding, padding]]
    with torch.no_grad():
        logits = [model(input_ids=torch.tensor([row])).logits[0].tolist() for row in rows]
    result = dict(folder=name, score=model.score.weight.tolist(), padding_id=padding, rows=rows, logits=logits)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(padding)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        if name == RERANKER:
            encoder = CrossEncoder(folder, device="cpu")
            result["pairs"] = PAIRS
            result["scores"] = encoder.predict(PAIRS).tolist()
        else:
            classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
            result["texts"] = TEXTS
            result["outputs"] = [classify(text, top_k=None) for text in TEXTS]
    return result


def cross_encoder(name, base, files):
    """What the files say, over those of a folder of `encoders/`; a Dense has weights of its own."""
    weight = [(torch.randn(1, 32) / 4).round(decimals=3).tolist(), [0.25]] if "2_Dense/config.json" in files else None
    written = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        shutil.copytree(HERE / "encoders" / base, folder, dirs_exist_ok=True)
        architecture = {"bert-tiny": "BertForSequenceClassification", "reranker-tiny": "XLMRobertaForSequenceClassification"}[base]
        for file, content in ({"config.json": {}} | files).items():
            (folder / file).parent.mkdir(exist_ok=True)
            if file == "config.json":
                content = json.loads((folder / file).read_text()) | {"architectures": [architecture]} | content
            if file == "modules.json":
                content = [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (kind, path) in enumerate(content)]
            written[file] = json.dumps(content)
            (folder / file).write_text(written[file])
        if weight:
            save_file({"linear.weight": torch.tensor(weight[0]), "linear.bias": torch.tensor(weight[1])}, folder / "2_Dense/model.safetensors")
        encoder = CrossEncoder(str(folder), device="cpu", local_files_only=True)
        scores = encoder.predict(PAIRS).reshape(len(PAIRS), -1).tolist()
    return dict(name=name, folder=f"encoders/{base}", files=written, dense=weight, pairs=PAIRS, scores=scores)


def scorer(name, wanted, unwanted, settings={}):
    """A language model that ranks by its next token, with the files that sentence-transformers writes beside it."""
    names = ["input_ids", "attention_mask"]
    options = {"model_kwargs": {"dtype": torch.float32}, "processor_kwargs": {"padding_side": "left", "model_input_names": names}}
    transformer = Transformer(str(HERE / name), transformer_task="text-generation", **options)
    encoder = CrossEncoder(modules=[transformer, LogitScore(wanted, unwanted)], device="cpu")
    if unwanted is not None:
        encoder.activation_fn = torch.nn.Identity()
    with tempfile.TemporaryDirectory() as folder:
        encoder.save_pretrained(folder)
        if settings:
            path = Path(folder) / "sentence_bert_config.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | settings))
            encoder = CrossEncoder(folder, device="cpu", local_files_only=True, **{key: value for key, value in options.items() if key != "processor_kwargs"}, processor_kwargs={"padding_side": "left", "model_input_names": names})
        files = [path for path in Path(folder).rglob("*.json") if "sentence" in path.name or path.name == "modules.json" or path.parent != Path(folder)]
        files = {str(path.relative_to(folder)): path.read_text() for path in files}
    # One by one: GPT-2's class numbers columns, so that the padding of a batch changes its results.
    scores = [encoder.predict([pair]).tolist()[0] for pair in PAIRS]
    return dict(folder=name, files=files, pairs=PAIRS, scores=scores)


if __name__ == "__main__":
    main()
