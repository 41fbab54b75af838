"""Makes `embeddings/`: module folders for the tiny BERT of `encoders/`, whole folders of decoders that embed, what
sentence-transformers computes with them, and, with a folder of all-MiniLM-L6-v2 as argument, the vectors it gives 500 texts.

    venv/bin/python tests/goldens/make_embeddings.py PATH/TO/all-MiniLM-L6-v2   # sentence-transformers==5.7.0 nltk==3.10.4
    venv/bin/python tests/goldens/make_embeddings.py bow router                 # only these of LAYOUTS
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
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer, util
from sentence_transformers.util import quantize_embeddings
from tokenizers import processors
from transformers import AutoModel, MistralConfig, Qwen3Config

from nltk.tokenize import word_tokenize

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
# Texts in which lower case makes a difference: special tokens, a sigma at the end of words.
CASED = ["THE WALL <mask> IS GOOD</s>", "ΟΔΥΣΣΕΥΣ ΣΑΣ", "İstanbul ǅ", "the wall"]
# Classes of torch that need no arguments, and one that is not torch's.
CLASSES = [getattr(torch.nn.modules.activation, name) for name in torch.nn.modules.activation.__all__]
NEEDS_MORE = ["MultiheadAttention", "Threshold", "Softmax2d"]
FUNCTIONS = [f"{kind.__module__}.{kind.__name__}" for kind in CLASSES if kind.__name__ not in NEEDS_MORE] + ["torch.nn.modules.linear.Identity", "transformers.activations.NewGELUActivation"]
BERT = "encoders/bert-tiny"
POOLING = {"word_embedding_dimension": 32, "pooling_mode": "mean"}
LAST = {"word_embedding_dimension": 32, "pooling_mode": "lasttoken"}
TEMPLATE = "{% for message in messages %}[{{ message.role }}]{{ message.content }}</s>{% endfor %}{% if add_generation_prompt %}[bot]{% endif %}"
PARTS = "{% for message in messages %}[{{ message.role }}]{{ message.content[0].text }}</s>{% endfor %}"
FORWARD = {"method": "forward", "method_output_name": "last_hidden_state"}
# name: files beside those of a base, with what is done to it: modules of these kinds and paths, another path for the base's files, files of it left out.
LAYOUTS = {
    "old-names": dict(
        at="0_Transformer", modules=[("Transformer", "0_Transformer"), ("Pooling", "./1_Pooling/")],
        files={"0_Transformer/sentence_bert_config.json": {}, "0_Transformer/sentence_roberta_config.json": {"max_seq_length": 12, "do_lower_case": False}, "1_Pooling/config.json": POOLING, "config_sentence_transformers.json": {"truncate_dim": 10, "similarity_fn_name": "dot"}},
    ),
    "lower-case": dict(base="encoders/roberta-tiny", texts=CASED, modules=[("Transformer", ""), ("Pooling", "1_Pooling")], files={"sentence_xlnet_config.json": {"do_lower_case": True}, "1_Pooling/config.json": POOLING}),
    "steps": dict(
        modules=[("Transformer", ""), ("Pooling", "1_Pooling"), ("Dropout", "2_Dropout"), ("LayerNorm", "3_LayerNorm"), ("Dense", "4_Dense"), ("Normalize", "5_Normalize")],
        files={"1_Pooling/config.json": POOLING, "2_Dropout/config.json": {"dropout": 0.5}, "3_LayerNorm/config.json": {"dimension": 32}, "4_Dense/config.json": {"in_features": 32, "out_features": 24, "bias": False, "activation_function": "torch.nn.modules.activation.GELU"}},
        weights={"3_LayerNorm": {"norm.weight": (32,), "norm.bias": (32,)}, "4_Dense": {"linear.weight": (24, 32)}},
    ),
    # As google/embeddinggemma-300m.
    "embedding-gemma": dict(
        base="encoders/gemma3-embedding-tiny", prefix="model.", options={"prompt_name": "Retrieval-query"},
        modules=[("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense"), ("Dense", "3_Dense"), ("Normalize", "4_Normalize")],
        files={
            "config_sentence_transformers.json": {"model_type": "SentenceTransformer", "prompts": {"query": "task: search result | query: ", "document": "title: none | text: ", "Retrieval-query": "task: search result | query: "}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
            "sentence_bert_config.json": {"max_seq_length": 48, "do_lower_case": False},
            "1_Pooling/config.json": {"word_embedding_dimension": 24, "pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True, "include_prompt": True},
            "2_Dense/config.json": {"in_features": 24, "out_features": 96, "bias": False, "activation_function": "torch.nn.modules.linear.Identity"},
            "3_Dense/config.json": {"in_features": 96, "out_features": 24, "bias": False, "activation_function": "torch.nn.modules.linear.Identity"},
        },
        weights={"2_Dense": {"linear.weight": (96, 24)}, "3_Dense": {"linear.weight": (24, 96)}},
    ),
    "of-another-class": dict(modules=[("Transformer", "")], files={"config_sentence_transformers.json": {"model_type": "CrossEncoder", "prompts": {"query": "never "}, "default_prompt_name": "query"}}),
    "no-modules": dict(files={"config_sentence_transformers.json": {"prompts": {"query": "never "}, "default_prompt_name": "query"}, "sentence_bert_config.json": {"max_seq_length": 9}}),
    "static": dict(
        base=None, modules=[("StaticEmbedding", "0_StaticEmbedding"), ("Normalize", "1_Normalize")], files={"config_sentence_transformers.json": {"prompts": {"query": "the query: "}}}, options={"prompt_name": "query"},
        weights={"0_StaticEmbedding": {"embedding.weight": (320, 8)}}, tokenizer=("0_StaticEmbedding", 24),
    ),
    "model2vec": dict(
        base=None, modules=[("StaticEmbedding", "."), ("Normalize", "1_Normalize")], files={"config.json": {"model_type": "model2vec", "architectures": ["StaticModel"], "hidden_dim": 8, "normalize": True}},
        weights={"": {"embeddings": (320, 8)}}, tokenizer=("", None),
    ),
}
# Words in all the ways in which they are found; and numbers that a table of random ones has for them.
WORDS = ["PADDING_TOKEN", "the", "light", "of", "candle", "love", "This", "movie", "hate", "i", "Berlin", "naïve", "wall", "don't", "b.c", "film"]
WORD_TEXTS = ["The light of the candle", "I love THIS movie; I hate that film!", "(Berlin) the don't \"wall\".", "naïve", "the wall b.c the wall, of light unknown"]
WORD_FILES = {
    "0_WordEmbeddings/wordembedding_config.json": {"tokenizer_class": "sentence_transformers.sentence_transformer.modules.tokenizer.whitespace.WhitespaceTokenizer", "update_embeddings": False, "max_seq_length": 3},
    "0_WordEmbeddings/whitespacetokenizer_config.json": {"vocab": WORDS, "stop_words": ["of", "hate"], "do_lower_case": False},
}
# Words as NLTK cuts them, and phrases of them.
PHRASES = [
    "PADDING_TOKEN", "the", "New_York", "new_york_city", "is", "``", "''", "do", "n't", "ca", "can", "not", "gon", "na", "wan", "'s", "(", ")", "big",
    "$", "3.88", "...", "U.S.", "a__b", "a_b_c_d_e_f", "Köln", "i", "'", "'t", "light_of_the_candle", "!", ".", ",", "--", "“", "”", "new", "york", "they", "'ll", "don't", "km", "'tis",
]
PHRASE_TEXTS = [
    "New York is big.", "the new York City, NEW YORK CITY and new york", "I can't, you cannot; they'll wanna go -- don't!", "\"Quoted\" 'single' (the) $3.88... “Köln”",
    "Light of the Candle: U.S. the 's 'tis a__b a b c d e f", "gonna 5 km, \"'tis\" 'Twas the U.S.\n", "unknown",
]
PHRASE_FILES = {
    "0_WordEmbeddings/wordembedding_config.json": {"tokenizer_class": "sentence_transformers.models.tokenizer.PhraseTokenizer.PhraseTokenizer", "update_embeddings": False, "max_seq_length": 1000000},
    "0_WordEmbeddings/phrasetokenizer_config.json": {"vocab": PHRASES, "stop_words": ["and", "you", "is"], "do_lower_case": True, "ngram_separator": "_", "max_ngram_length": 5},
}
WORD_WEIGHTS = {"0_WordEmbeddings": {"emb_layer.weight": (len(WORDS), 8)}}
TUNED = {"vocab": WORDS, "word_weights": {"the": 0.25, "this": 2.5, "wall": 1.5, "berlin": 0.5}, "unknown_word_weight": 0.75}
FOLDED = {"in_features": 8, "out_features": 6, "bias": True, "activation_function": "torch.nn.modules.activation.Tanh"}
LAYERS = {"embedding_dimension": 32, "layer_start": 1, "num_hidden_layers": 2}


def pooled(size, *modes):
    return {"embedding_dimension": size, "pooling_mode": list(modes), "include_prompt": True}


def words(*modules, files, weights={}, **more):
    """`WordEmbeddings` and what comes after them; a text at a time, because convolutions see padding."""
    return dict(base=None, texts=WORD_TEXTS, modules=[("WordEmbeddings", "0_WordEmbeddings"), *modules], files=WORD_FILES | files, weights=WORD_WEIGHTS | weights, alone=True, **more)


LAYOUTS |= {
    "words": words(("Pooling", "1_Pooling"), files={"1_Pooling/config.json": pooled(8, "mean", "lasttoken")}),
    "words-phrases": dict(base=None, texts=PHRASE_TEXTS, modules=[("WordEmbeddings", "0_WordEmbeddings"), ("Pooling", "1_Pooling")], files=PHRASE_FILES | {"1_Pooling/config.json": pooled(8, "mean", "mean_sqrt_len_tokens")}, weights={"0_WordEmbeddings": {"emb_layer.weight": (len(PHRASES), 8)}}, alone=True),
    "words-weighted": words(
        ("WordWeights", "1_WordWeights"), ("Pooling", "2_Pooling"), ("Dense", "3_Dense"),
        files={"1_WordWeights/config.json": TUNED, "2_Pooling/config.json": pooled(8, "mean"), "3_Dense/config.json": FOLDED}, weights={"1_WordWeights": {"emb_layer.weight": (len(WORDS), 1)}, "3_Dense": {"linear.weight": (6, 8), "linear.bias": (6,)}},
    ),
    "words-weighted-ways": words(("WordWeights", "1_WordWeights"), ("Pooling", "2_Pooling"), files={"1_WordWeights/config.json": TUNED, "2_Pooling/config.json": pooled(8, "mean_sqrt_len_tokens", "weightedmean")}, weights={"1_WordWeights": {"emb_layer.weight": (len(WORDS), 1)}}),
    "words-cnn": words(
        ("CNN", "1_CNN"), ("Pooling", "2_Pooling"),
        files={"1_CNN/cnn_config.json": {"in_word_embedding_dimension": 8, "out_channels": 5, "kernel_sizes": [1, 3, 5]}, "2_Pooling/config.json": pooled(15, "max", "mean")},
        weights={"1_CNN": {f"convs.{at}.{part}": shape for at, kernel in enumerate([1, 3, 5]) for part, shape in [("weight", (5, 8, kernel)), ("bias", (5,))]}},
    ),
    "words-lstm": words(
        ("LSTM", "1_LSTM"), ("Pooling", "2_Pooling"),
        files={"1_LSTM/lstm_config.json": {"word_embedding_dimension": 8, "hidden_dim": 6, "num_layers": 2, "dropout": 0, "bidirectional": True}, "2_Pooling/config.json": pooled(12, "max")},
        weights={"1_LSTM": {f"encoder.{part}_l{layer}{way}": shape for layer, wide in [(0, 8), (1, 12)] for way in ["", "_reverse"] for part, shape in [("weight_ih", (24, wide)), ("weight_hh", (24, 6)), ("bias_ih", (24,)), ("bias_hh", (24,))]}},
    ),
    "bow": dict(base=None, texts=WORD_TEXTS, modules=[("BoW", "0_BoW"), ("Dense", "1_Dense")], files={"0_BoW/config.json": TUNED | {"cumulative_term_frequency": True}, "1_Dense/config.json": FOLDED | {"in_features": len(WORDS)}}, weights={"1_Dense": {"linear.weight": (6, len(WORDS)), "linear.bias": (6,)}}),
    "bow-once": dict(base=None, texts=WORD_TEXTS, modules=[("BoW", "0_BoW"), ("Normalize", "1_Normalize")], files={"0_BoW/config.json": TUNED | {"vocab": WORDS + ["the"], "cumulative_term_frequency": False}}),
    "layers": dict(
        texts=WORD_TEXTS, modules=[("Transformer", ""), ("WeightedLayerPooling", "1_WeightedLayerPooling"), ("Pooling", "2_Pooling")],
        files={"sentence_bert_config.json": {"max_seq_length": 40, "config_kwargs": {"output_hidden_states": True}}, "1_WeightedLayerPooling/config.json": LAYERS, "2_Pooling/config.json": POOLING}, weights={"1_WeightedLayerPooling": {"layer_weights": (2,)}},
    ),
    # The model does not give its layers, so nothing is weighted.
    "layers-unseen": dict(texts=WORD_TEXTS, modules=[("Transformer", ""), ("WeightedLayerPooling", "1_WeightedLayerPooling"), ("Pooling", "2_Pooling")], files={"1_WeightedLayerPooling/config.json": LAYERS, "2_Pooling/config.json": POOLING}, weights={"1_WeightedLayerPooling": {"layer_weights": (2,)}}),
    "dense-of-tokens": dict(texts=WORD_TEXTS, modules=[("Transformer", ""), ("Dense", "1_Dense"), ("Pooling", "2_Pooling")], files={"1_Dense/config.json": FOLDED | {"in_features": 32, "module_input_name": "token_embeddings"}, "2_Pooling/config.json": pooled(6, "max")}, weights={"1_Dense": {"linear.weight": (6, 32), "linear.bias": (6,)}}),
}
ROUTER = {
    "types": {"query_0_StaticEmbedding": "sentence_transformers.models.StaticEmbedding", "document_0_Transformer": "sentence_transformers.models.Transformer", "document_1_Pooling": "sentence_transformers.models.Pooling"},
    "structure": {"query": ["query_0_StaticEmbedding"], "document": ["document_0_Transformer", "document_1_Pooling"]},
    "parameters": {"default_route": "document", "allow_empty_key": True},
}
MAPPED = ROUTER | {"parameters": {"default_route": None, "allow_empty_key": False, "route_mappings": {"('question', 'text')": "query", "(None, 'text')": "document"}}}
ASYM = {"types": {"query_0_Dense": "sentence_transformers.models.Dense", "doc_0_Dense": "sentence_transformers.models.Dense"}, "structure": {"query": ["query_0_Dense"], "doc": ["doc_0_Dense"]}, "parameters": {"allow_empty_key": True}}


def router(config, options):
    return dict(
        at="document_0_Transformer", texts=WORD_TEXTS, modules=[("Router", ""), ("Normalize", "1_Normalize")], files={"router_config.json": config, "document_1_Pooling/config.json": POOLING},
        weights={"query_0_StaticEmbedding": {"embedding.weight": (320, 32)}}, tokenizer=("query_0_StaticEmbedding", None), options=options,
    )


def asym(options):
    dense = FOLDED | {"in_features": 32}
    return dict(
        texts=WORD_TEXTS, modules=[("Transformer", ""), ("Pooling", "1_Pooling"), ("Asym", "2_Asym"), ("Normalize", "3_Normalize")],
        files={"1_Pooling/config.json": POOLING, "2_Asym/config.json": ASYM, "2_Asym/query_0_Dense/config.json": dense, "2_Asym/doc_0_Dense/config.json": dense},
        weights={f"2_Asym/{way}_0_Dense": {"linear.weight": (6, 32), "linear.bias": (6,)} for way in ["query", "doc"]}, options=options,
    )


LAYOUTS |= {
    "router": router(ROUTER, {"task": "query"}),
    "router-default": router(ROUTER, {}),
    "router-mapped": router(MAPPED, {"task": "question"}),
    "asym": asym({}),
    "asym-doc": asym({"task": "doc"}),
}
# Decoders that came without modules, or with a chat template: name: architecture, tokenizer's template, settings of the Transformer (None: no modules), options.
CAUSAL = {
    "causal": ("Qwen3ForCausalLM", None, None, {}),
    "causal-chat": ("Qwen3ForCausalLM", TEMPLATE, None, {"prompt": "be brief"}),
    "bare-chat": ("Qwen3Model", TEMPLATE, None, {}),
    "chat": ("Qwen3Model", TEMPLATE, {"modality_config": {"text": FORWARD, "message": FORWARD | {"format": "flat"}}, "module_output_name": "token_embeddings", "processing_kwargs": {"chat_template": {"add_generation_prompt": True}}, "max_seq_length": 40}, {"prompt_name": "query"}),
    "chat-parts": ("Qwen3Model", PARTS, {"modality_config": {"text": FORWARD, "message": FORWARD}, "module_output_name": "token_embeddings", "max_seq_length": 24}, {}),
    "no-chat": ("Qwen3Model", TEMPLATE, {"max_seq_length": 24}, {}),
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


def nltk_words():
    """What `word_tokenize` makes of texts that are put together from all that its rules look for."""
    parts = [
        "a", "B", "7", "3.5", "é", "e\u0301", "²", "ſ", "İ", "中", "😀", " ", "  ", "\n", "\t", "\x1c", "\u00a0", ".", "..", "...", ",", ":", ";", "?", "!", "*", "-", "--", "–", "—", "@", "#", "$", "%", "&",
        "'", "''", '"', "`", "``", "«", "»", "‘", "’", "“", "”", "„", "(", ")", "[", "]", "{", "}", "<", ">", "_", "/", "'s", "'S", "'m", "'D", "'ll", "'LL", "'re", "'Ve", "'ve", "n't", "N'T", "N't",
        "can", "not", "cannot", "CANNOT", "d'ye", "gimme", "gıMme", "gonna", "gotta", "lemme", "more'n", "wanna", "'tis", "'tıs", "'twas", "'TWAS", "wannabe", "don't", "U.S.",
    ]
    chance = random.Random(1)
    texts = [text for text in PHRASE_TEXTS + TEXTS] + ["".join(chance.choices(parts, k=chance.randrange(1, 14))) for _ in range(1200)] + [" ".join(chance.choices(parts, k=chance.randrange(1, 9))) for _ in range(600)]
    return [[text, word_tokenize(text, preserve_line=True)] for text in texts]


def main(*names):
    (FOLDER / "nltk_words.json").write_text(json.dumps(nltk_words(), ensure_ascii=False) + "\n")
    if names and set(names) <= set(LAYOUTS):
        file = FOLDER / "expected.json"
        result = json.loads(file.read_text())
        for name in names:
            shutil.rmtree(FOLDER / name, ignore_errors=True)
            result["cases"] = [case for case in result["cases"] if case["name"] != name] + [make_layout(name, **LAYOUTS[name])]
        file.write_text(json.dumps(result) + "\n")
        return
    minilm = names[0] if names else None
    FOLDER.mkdir(exist_ok=True)
    for folder in filter(Path.is_dir, FOLDER.iterdir()):
        shutil.rmtree(folder)
    cases = [make(name, *golden) for name, golden in GOLDENS.items()]
    cases += [make_decoder(name, *golden) for name, golden in DECODERS.items()]
    cases += [make_layout(name, **golden) for name, golden in LAYOUTS.items()]
    cases += [make_causal(name, *golden) for name, golden in CAUSAL.items()]
    head = {package: version(package) for package in ["sentence-transformers", "transformers", "torch"]}
    result = {"made_with": head, "texts": TEXTS, "cases": cases, "functions": functions()} | tools()
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
    return over(name, BERT, options=options)


def over(name, base, at="", without=(), texts=None, options={}, alone=False):
    """What the folder of that name gives over the files of another."""
    with tempfile.TemporaryDirectory() as whole:
        whole = Path(whole)
        if base:
            shutil.copytree(HERE / base, whole / at, dirs_exist_ok=True)
        for file in without:
            (whole / file).unlink()
        shutil.copytree(FOLDER / name, whole, dirs_exist_ok=True)
        case = encoded(name, whole, texts or TEXTS, options, alone)
    return case | {"base": base, "at": at, "without": list(without)} | ({"texts": texts} if texts else {})


def encoded(name, folder, texts, options, alone=False):
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
    vectors = rounded(model.encode(texts, **options | ({"batch_size": 1} if alone else {})))
    return {"name": name, "options": options, "dimension": model.get_embedding_dimension(), "similarity": model.similarity_fn_name, "vectors": vectors}


def rounded(vectors):
    return [[float(f"{x:.8g}") for x in row] for row in vectors.tolist()]


def make_layout(name, base=BERT, at="", texts=None, modules=None, files={}, weights={}, tokenizer=None, prefix=None, options={}, alone=False):
    folder = FOLDER / name
    folder.mkdir()
    if prefix:  # as the class without a head saves it, and only so loads it
        stored = load_file(HERE / base / "model.safetensors")
        save_file({key.removeprefix(prefix): stored[key] for key in stored if key.startswith(prefix)}, folder / "model.safetensors", {"format": "pt"})
    if modules:
        write_modules(folder, modules)
    for file, content in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        write(folder / file, content)
    torch.manual_seed(len(name))
    for path, shapes in weights.items():
        (folder / path).mkdir(parents=True, exist_ok=True)
        save_file({key: (torch.randn(shape) / 4).round(decimals=3) for key, shape in shapes.items()}, folder / path / "model.safetensors")
    if tokenizer:
        path, cut = tokenizer
        kind, _ = encoder_tokenizers.wordpiece()
        if cut:
            kind.enable_truncation(cut)
        kind.enable_padding(length=16)
        kind.save(str(folder / path / "tokenizer.json"), pretty=False)
    return over(name, base, at, texts=texts, options=options, alone=alone)


def make_causal(name, architecture, template, settings, options):
    folder = FOLDER / name
    folder.mkdir()
    base = FOLDER / "qwen3-embedding"
    for file, changes in {"config.json": {"architectures": [architecture]}, "tokenizer_config.json": {"chat_template": template} if template else {}}.items():
        write(folder / file, json.loads((base / file).read_text()) | changes)
    if settings:
        write(folder / "sentence_bert_config.json", settings)
    return over(name, "embeddings/qwen3-embedding", without=[] if settings else ["modules.json"], texts=DECODER_TEXTS, options=options)


def functions():
    """What `dense` gives with other functions in its config."""
    found = {}
    with tempfile.TemporaryDirectory() as whole:
        whole = Path(whole)
        for source in [HERE / BERT, FOLDER / "dense"]:
            shutil.copytree(source, whole, dirs_exist_ok=True)
        (whole / "modules.json").write_text(json.dumps(json.loads((whole / "modules.json").read_text())[:3]))
        config = json.loads((whole / "2_Dense/config.json").read_text())
        slope = {"activation_function.weight": torch.tensor([0.125])}
        for name in FUNCTIONS:
            write(whole / "2_Dense/config.json", config | {"activation_function": name})
            weights = load_file(FOLDER / "dense/2_Dense/model.safetensors")
            save_file(weights | (slope if name.endswith("PReLU") else {}), whole / "2_Dense/model.safetensors")
            found[name] = rounded(SentenceTransformer(str(whole), device="cpu", local_files_only=True).encode(TEXTS[:3]))
    return found


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
