"""Makes `embeddings/`: module folders for the tiny BERT of `encoders/`, whole folders of decoders that embed, what
sentence-transformers computes with them, and, with a folder of all-MiniLM-L6-v2 as argument, the vectors it gives 500 texts.

    venv/bin/python tests/goldens/make_embeddings.py PATH/TO/all-MiniLM-L6-v2   # sentence-transformers==5.7.0
"""

import json
import random
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.util import quantize_embeddings
from tokenizers import processors
from transformers import AutoModel, MistralConfig, Qwen3Config

import encoder_tokenizers

torch.set_num_threads(1)
HERE = Path(__file__).parent
FOLDER = HERE / "embeddings"
TEXTS = [
    "The light of the candle",
    "",
    "  Angela Merkel lives in Berlin, and Hugging Face Inc. is a company in New York City!  ",
    "I love this movie; I hate that film.",
    "I LOVE this movie, I hate that film",
    "Where does Wolfgang live? " * 12,
    "🕯️ bougies",
    "the wall",
]
# A decoder has no special tokens around an empty text, so nothing to embed.
DECODER_TEXTS = [text or "a" for text in TEXTS]
MODES = ["cls", "max", "mean", "mean_sqrt_len", "weightedmean", "lasttoken"]
FLAGS = {"cls": "cls_token", "max": "max_tokens", "mean": "mean_tokens", "mean_sqrt_len": "mean_sqrt_len_tokens",
         "weightedmean": "weightedmean_tokens", "lasttoken": "lasttoken"}
# name: pooling modes, dense, normalize, settings, transformer settings, encode options.
PLAIN = {mode: ([mode], None, False, {}, {}, {}) for mode in MODES}
GOLDENS = PLAIN | {
    "combined": (["mean", "cls"], None, True, {}, {"max_seq_length": 12, "do_lower_case": True}, {}),
    "dense": (["mean"], "torch.nn.modules.activation.Tanh", True, {}, {}, {}),
    "identity": (["mean"], "torch.nn.modules.linear.Identity", False, {}, {}, {"normalize_embeddings": True}),
    "prompts": (["mean"], None, True, {"prompts": {"query": "the query: ", "passage": "a passage: "}, "default_prompt_name": "query"}, {}, {}),
    "named": (["mean"], None, True, {"prompts": {"query": "the query: ", "passage": "a passage: "}}, {}, {"prompt_name": "passage"}),
    "matryoshka": (["mean"], None, True, {}, {}, {"truncate_dim": 10}),
    "matryoshka-normalized": (["mean"], None, True, {}, {}, {"truncate_dim": 10, "normalize_embeddings": True}),
    "unpooled-prompt": (["mean"], None, True, {"prompts": {"query": "the query: "}, "default_prompt_name": "query"}, {}, {}),
}
INSTRUCT = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
# name: config, tokenizer class, padding side, what its config says of special tokens, encode options.
DECODERS = {
    # As Qwen/Qwen3-Embedding-0.6B: the tokenizer's own template ends texts, the base model is stored without a prefix.
    "qwen3-embedding": (Qwen3Config, "Qwen2Tokenizer", "left", {}, {"prompt_name": "query"}),
    # As intfloat/e5-mistral-7b-instruct: add_eos_token ends texts, queries are told what to do.
    "e5-mistral": (MistralConfig, "LlamaTokenizer", "left", {"add_bos_token": True, "add_eos_token": True}, {"prompt": "Instruct: find\nQuery: "}),
    "e5-mistral-right": (MistralConfig, "LlamaTokenizer", "right", {"add_bos_token": True, "add_eos_token": True}, {}),
}


def main(minilm=None):
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    cases = [make(name, *golden) for name, golden in GOLDENS.items()]
    cases += [make_decoder(name, *golden) for name, golden in DECODERS.items()]
    head = {package: version(package) for package in ["sentence-transformers", "transformers", "torch"]}
    result = {"made_with": head, "texts": TEXTS, "cases": cases} | tools()
    (FOLDER / "expected.json").write_text(json.dumps(result) + "\n")
    if minilm:
        real(minilm)


def make(name, modes, dense, normalize, settings, transformer, options):
    folder = FOLDER / name
    (folder / "1_Pooling").mkdir(parents=True)
    size = 32 * len(modes)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling")]
    write_pooling(folder, modes, include_prompt=name != "unpooled-prompt")
    if dense:
        (folder / "2_Dense").mkdir()
        write(folder / "2_Dense/config.json", {"in_features": size, "out_features": 24, "bias": True, "activation_function": dense})
        torch.manual_seed(5)
        save_file({"linear.weight": torch.randn(24, size) / 4, "linear.bias": torch.randn(24) / 4}, folder / "2_Dense/model.safetensors")
        modules.append(("Dense", "2_Dense"))
    if normalize:
        modules.append(("Normalize", f"{len(modules)}_Normalize"))
    write_modules(folder, modules)
    if settings:
        write(folder / "config_sentence_transformers.json", settings)
    write(folder / "sentence_bert_config.json", {"max_seq_length": 40, "do_lower_case": False} | transformer)
    with tempfile.TemporaryDirectory() as whole:
        whole = Path(whole)
        for source in [HERE / "encoders/bert-tiny", folder]:
            shutil.copytree(source, whole, dirs_exist_ok=True)
        return encoded(name, whole, TEXTS, options)


def encoded(name, folder, texts, options):
    vectors = SentenceTransformer(str(folder), device="cpu").encode(texts, **options)
    return {"name": name, "options": options, "vectors": [[float(f"{x:.8g}") for x in row] for row in vectors.tolist()]}


def write_pooling(folder, modes, **more):
    write(folder / "1_Pooling/config.json", {"word_embedding_dimension": 32} | {f"pooling_mode_{FLAGS[mode]}": mode in modes for mode in MODES} | more)


def write_modules(folder, modules):
    write(folder / "modules.json", [{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (kind, path) in enumerate(modules)])


def make_decoder(name, config_class, tokenizer_class, side, special, options):
    folder = FOLDER / name
    (folder / "1_Pooling").mkdir(parents=True)
    tokenizer, _ = encoder_tokenizers.bytes_()
    if special:
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    else:
        tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B:1 </s>:1", special_tokens=[("</s>", 2)])
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    tokens = {"pad_token": "</s>" if special else "<pad>", "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    write(folder / "tokenizer_config.json", {"tokenizer_class": tokenizer_class, "padding_side": side, "clean_up_tokenization_spaces": False, "model_max_length": 64} | tokens | special)
    write_pooling(folder, ["lasttoken"], include_prompt=True)
    write_modules(folder, [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")])
    write(folder / "config_sentence_transformers.json", {"prompts": {"query": INSTRUCT, "document": ""}, "default_prompt_name": None, "similarity_fn_name": "cosine"})
    window = {"sliding_window": 9} if config_class is MistralConfig else {}
    config = config_class(
        vocab_size=encoder_tokenizers.VOCAB, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=48, head_dim=8,
        max_position_embeddings=64, rope_theta=100.0, bos_token_id=0, eos_token_id=2, tie_word_embeddings=config_class is Qwen3Config, **window,
    )
    torch.manual_seed(len(name))
    model = AutoModel.from_config(config, attn_implementation="eager").eval()
    for key, weight in model.named_parameters():
        noise = torch.randn(weight.shape)
        weight.data = 1 + 0.2 * noise if "norm" in key else (0.7 if "embed" in key else 1.5 / weight.shape[-1] ** 0.5) * noise
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return encoded(name, folder, DECODER_TEXTS, options) | {"texts": DECODER_TEXTS}


def tools():
    """Quantization, similarities, search, mining and clusters of random vectors."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(6, 20))
    vectors = np.concatenate([centre + 0.3 * rng.normal(size=(5, 20)) for centre in centres]).astype(np.float32)
    vectors = np.array([[float(f"{x:.6g}") for x in row] for row in vectors.tolist()], dtype=np.float32)
    queries = vectors[::7] + np.float32(0.25)
    tensor, query = torch.tensor(vectors), torch.tensor(queries)
    scores = {"cosine": util.cos_sim, "dot": util.dot_score, "euclidean": util.euclidean_sim, "manhattan": util.manhattan_sim}
    return {
        "vectors": vectors.tolist(),
        "queries": queries.tolist(),
        "quantized": {kind: quantize_embeddings(vectors, kind).tolist() for kind in ["int8", "uint8", "binary", "ubinary"]},
        "calibrated": {kind: quantize_embeddings(queries, kind, calibration_embeddings=vectors).tolist() for kind in ["int8", "uint8"]},
        "similarities": {kind: score(query, tensor).tolist() for kind, score in scores.items()},
        "search": util.semantic_search(query, tensor, top_k=4),
        "pairs": util.paraphrase_mining_embeddings(tensor, top_k=3),
        "communities": util.community_detection(tensor, threshold=0.85, min_community_size=3),
    }


def real(minilm):
    """Texts of many kinds, written by a generator; a vector's first 48 of 384 numbers tell enough beside its length, so all are kept as f16."""
    rng = random.Random(11)
    words = "candle light wall wax train river Berlin naïve Größe 東京 привет 🕯️ 42 3.14 the of and a is not don't https://a.b/c <b> code_name ALL CAPS".split()
    texts = [" ".join(rng.choices(words, k=rng.choice([1, 2, 3, 5, 8, 13, 30, 80, 300]))) for _ in range(495)]
    texts += ["", " ", "\n\t", "...", "a" * 500]
    model = SentenceTransformer(minilm, device="cpu")
    vectors = torch.tensor(model.encode(texts, batch_size=16))
    save_file({"vectors": vectors.half()}, FOLDER / "minilm.safetensors")
    write(FOLDER / "minilm.json", {"texts": texts})


def write(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
