"""Runs the Python pipelines for understanding text on tiny random models and writes what they return.

    venv/bin/python tests/goldens/make_text_pipelines.py [NAME ...]   # transformers==4.57.6 torch==2.9.1 sentence-transformers==5.7.0

Writes tests/goldens/text_pipelines/<name>/: config.json and model.safetensors of one model, and golden.json: the task, the
folder of `encoders/` whose tokenizer it has, other files of the model, and calls (input, options, output, or the error that
Python raises). `text-ranking` and `sentence-similarity` are no tasks of transformers: their reference is sentence-transformers'
CrossEncoder and SentenceTransformer.
"""

import copy
import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy
import torch
import transformers
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import pipeline
from transformers.utils import logging

logging.set_verbosity_error()
torch.set_num_threads(1)
HERE = Path(__file__).parent

# Which tokenizer of `encoders/` goes with which architecture.
KINDS = {"wordpiece": ("bert-tiny", "Bert"), "bytes": ("roberta-tiny", "Roberta"), "unigram": ("xlm-roberta-tiny", "XLMRoberta")}
# Encoder-decoders with other heads; they have the tokenizers of encoders here.
SEQ2SEQ = {"t5": ("xlm-roberta-tiny", "T5"), "bart": ("roberta-tiny", "Bart")}
SIZES = {
    "t5": dict(d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, eos_token_id=2, decoder_start_token_id=1),
    "bart": dict(d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=24, decoder_ffn_dim=24),
}

TEXT = "Angela Merkel lives in Berlin, and Hugging Face Inc. is a company in New York City!"
LONG = " ".join([TEXT, "I love this movie; I hate that film.", "Where does Wolfgang live? He lives in Paris, the capital of France."] * 2)
# The lowercase of the first letter is longer; emoji and accents are outside the vocabularies.
ODD = "İstanbul \U0001f56f\ufe0f café naïve ﬁlm 東京 e\u0301t\u00e9"
# The last two are special tokens alone, of one tokenizer or the other.
TEXTS = [TEXT, "", "\U0001f56f\ufe0f\U0001f602", ODD, "good", "[SEP] [PAD]", "</s><pad>"]
MANY = [TEXT, "good", "It was bad, was it not?", "Paris", ODD, "I love this movie; I hate that film."]
FEW = ["good", "a"]
# Special tokens in the text, some of which swallow the space before them.
MARKED = ["Angela <mask> Merkel lives in [MASK] Berlin", "in  <mask>,[UNK] Paris <unk>", "<mask>"]


def calls_of_classification():
    pair = {"text": "I love this movie", "text_pair": "It was good"}
    yield from ((text, {}) for text in TEXTS)
    yield from ((TEXT, options) for options in [
        {"top_k": 1}, {"top_k": 2}, {"top_k": None}, {"top_k": 99}, {"return_all_scores": True}, {"return_all_scores": False},
        {"function_to_apply": "sigmoid"}, {"function_to_apply": "softmax", "top_k": None}, {"function_to_apply": "none", "top_k": None},
        {"function_to_apply": "tanh"}, {"max_length": 8, "truncation": True}, {"max_length": 8}, {"truncation": "nonsense"},
    ])
    yield from [(MANY, {}), (MANY, {"top_k": 2}), (MANY, {"batch_size": 4}), ([TEXT], {}), ([TEXT], {"top_k": None})]
    yield from [(MANY, {"return_all_scores": True}), (pair, {}), (pair, {"top_k": None}), ([pair, pair], {"top_k": 2})]
    yield from [([["I love this movie", "It was good"]], {}), (["one", ["two", "three"]], {}), (7, {})]
    yield from [(LONG, {}), (LONG, {"truncation": True}), (pair, {"truncation": "only_first", "max_length": 12})]
    yield from ((TEXT, options) for options in [{"function_to_apply": "SOFTMAX", "top_k": 2}, {"function_to_apply": "Sigmoid"}, {"num_workers": 0}])
    alone = {"text": "I love this movie", "text_pair": None}
    yield from [(alone, {}), ([alone, pair, "good"], {"top_k": 2}), ({"text": "good"}, {}), (alone | {"text_pare": "a"}, {}), ({"text_pair": "a"}, {})]
    old = [["I love this movie", "It was good"]]
    yield from [([old], {}), ([old, old, TEXT], {"top_k": 2}), ({"text": 7}, {}), ([TEXT, 7], {}), ([None], {})]


def calls_of_zero_shot():
    labels = ["film", "company", "capital of France"]
    yield from ((text, {"candidate_labels": labels}) for text in TEXTS)
    yield from ((TEXT, {"candidate_labels": labels} | options) for options in [
        {"multi_label": True}, {"multi_class": True}, {"multi_class": True, "multi_label": False}, {"multi_class": None, "multi_label": True}, {"hypothesis_template": "It is about {}"}, {"hypothesis_template": "No place."},
        {"hypothesis_template": "{{{}}} and {0"}, {"hypothesis_template": "{{}} {}"}, {"multi_label": False},
    ])
    yield from [(TEXT, {"candidate_labels": "film, company , ,light"}), (TEXT, {"candidate_labels": "film"}), (TEXT, {"candidate_labels": []})]
    yield from [(TEXT, {"candidate_labels": ["film", "wall", "film"]}), ([TEXT, "good"], {"candidate_labels": labels, "batch_size": 3})]
    yield from [([TEXT], {"candidate_labels": labels}), (LONG, {"candidate_labels": labels})]


def calls_of_tokens():
    yield from ((text, {}) for text in TEXTS)
    yield from ((text, {"ignore_labels": []}) for text in [TEXT, ODD])
    for strategy in ["none", "simple", "first", "average", "max"]:
        yield from ((text, {"aggregation_strategy": strategy, "ignore_labels": []}) for text in [TEXT, ODD])
        yield TEXT, {"aggregation_strategy": strategy}
    yield from ((LONG, {"stride": 9, "aggregation_strategy": strategy}) for strategy in ["none", "simple", "first", "average", "max"])
    yield from [(LONG, {"stride": 0, "aggregation_strategy": "simple", "ignore_labels": []}), (LONG, {}), (LONG, {"stride": 5})]
    yield from [(LONG, {"stride": 62, "aggregation_strategy": "simple"}), (LONG, {"stride": 100}), (TEXT, {"stride": 5, "aggregation_strategy": "simple"})]
    yield from [(TEXT, {"aggregation_strategy": "best"}), (TEXT, {"ignore_labels": ["PER", "O"], "aggregation_strategy": "simple"})]
    yield from [(MANY, {}), (MANY, {"batch_size": 3, "aggregation_strategy": "simple"}), ([], {}), (TEXT, {"is_split_into_words": True})]
    yield from ((TEXT, options) for options in [
        {"aggregation_strategy": "SIMPLE"}, {"aggregation_strategy": "Max", "ignore_labels": []}, {"grouped_entities": True}, {"grouped_entities": False},
        {"grouped_entities": True, "ignore_subwords": True}, {"ignore_subwords": True}, {"grouped_entities": True, "aggregation_strategy": "max"},
        {"grouped_entities": None, "aggregation_strategy": "simple"}, {"aggregation_strategy": "nearest"}, {"ignore_labels": "O"},
    ])
    yield from ((text, {"aggregation_strategy": strategy, "ignore_labels": []}) for text in MARKED for strategy in ["none", "simple", "first", "average"])
    words = TEXT.split()
    yield from ((words, {"is_split_into_words": True, "aggregation_strategy": strategy}) for strategy in ["none", "simple", "max"])
    yield from [([words, ["Émile", "Zola"]], {"is_split_into_words": True}), (words, {"is_split_into_words": True, "delimiter": "--", "aggregation_strategy": "simple"})]


def calls_of_questions():
    ask = {"question": "Where does Wolfgang live?", "context": LONG}
    yield from ((ask, options) for options in [
        {}, {"top_k": 3}, {"top_k": 0}, {"max_answer_len": 2, "top_k": 2}, {"max_answer_len": 0}, {"handle_impossible_answer": True},
        {"handle_impossible_answer": True, "top_k": 30}, {"align_to_words": False, "top_k": 3}, {"doc_stride": 3}, {"doc_stride": 10, "top_k": 4},
        {"doc_stride": 70, "max_seq_len": 60}, {"max_seq_len": 40, "doc_stride": 8}, {"max_seq_len": 12}, {"max_question_len": 3}, {"padding": "max_length"},
        {"top_k": 4, "batch_size": 2}, {"max_seq_len": 40, "doc_stride": 39},
    ])
    for context in [TEXT, ODD + " " + ODD, "Paris Paris paris Paris", "東京 İİİ İstanbul is big"]:
        yield {"question": "Who?", "context": context}, {}
        yield {"question": "Who?", "context": context}, {"top_k": 2, "align_to_words": False}
    yield from [({"question": "", "context": TEXT}, {}), ({"question": "Who?", "context": ""}, {}), ({"question": "Who?"}, {})]
    yield {"question": ["Who?", "Where?"], "context": TEXT}, {}
    yield {"question": ["Who?", "Where?"], "context": [TEXT, LONG]}, {"top_k": 2}
    yield {"question": ["Who?", "Where?"], "context": [TEXT]}, {}
    yield [{"question": "Who?", "context": TEXT}, ask], {}
    yield from [(ask, {"topk": 2}), (ask, {"topk": 2, "top_k": 1}), ({"data": ask}, {}), ({"data": [ask, ask]}, {"top_k": 2}), ({"X": [ask]}, {})]
    yield from [({"question": ["Who?"], "context": TEXT}, {}), ({"question": "Who?", "context": [TEXT]}, {}), ({"question": 7, "context": TEXT}, {}), (TEXT, {})]
    # Every answer of every window: equal words in any case are one.
    yield {"question": "Who?", "context": "PARIS Straße paris STRASSE İ i\u0307 " * 8}, {"top_k": 40, "max_seq_len": 40, "doc_stride": 8}


def calls_of_masks(mask):
    one, two = f"Paris is the {mask} of France.", f"The {mask} of the candle on the {mask}."
    yield from ((text, options) for text in [one, two] for options in [
        {}, {"top_k": 2}, {"targets": ["the", "is", "on"]}, {"targets": "the", "top_k": 3}, {"targets": ["nonword", "light"]}, {"targets": []},
    ])
    yield from [("no mask", {}), ("", {}), ([one, two], {}), ([one], {}), ([one, "no mask"], {}), (f"{ODD} {mask}", {}), (mask, {})]
    yield from [(f"{mask} {LONG}", {}), (f"{mask} {LONG}", {"tokenizer_kwargs": {"truncation": True}}), (one, {"top_k": 100000}), (one, {"no_such": 1})]
    yield (f"{LONG} {mask}", {"tokenizer_kwargs": {"truncation": True}})


def calls_of_features():
    yield from ((text, {}) for text in FEW)
    yield from [(FEW, {}), (["good"], {}), ("", {}), (LONG, {})]
    yield from [(TEXT, {"tokenize_kwargs": {"truncation": True, "max_length": 5}}), (TEXT, {"truncation": True, "tokenize_kwargs": {"max_length": 4}})]
    yield from [("good", {"truncation": True, "tokenize_kwargs": {"truncation": True}}), ("good", {"tokenize_kwargs": {"add_special_tokens": False}})]


def calls_of_ranking():
    rank = {"query": "Where does Wolfgang live?", "documents": [TEXT, "He lives in Paris.", "", ODD, LONG, "He lives in Paris."]}
    yield from ((rank, options) for options in [{}, {"top_k": 2}, {"return_documents": True}, {"activation_fn": "none"}, {"activation_fn": "sigmoid", "top_k": 3}])
    yield from [(["Who?", TEXT], {}), ([["Who?", TEXT], ["Where?", "Paris"]], {}), ([["Who?", TEXT], ["Where?", "Paris"]], {"batch_size": 1})]


def calls_of_labelled_ranking():
    """Three labels: pairs can be scored and not ranked."""
    pairs = [["Who?", TEXT], ["Where?", "Paris"], ["", LONG]]
    yield from ((pairs, options) for options in [{}, {"apply_softmax": True}, {"activation_fn": "sigmoid", "apply_softmax": True}])
    yield {"query": "Who?", "documents": [TEXT, "Paris"]}, {}


def calls_of_prompted_ranking():
    rank = {"query": "Where does Wolfgang live?", "documents": [TEXT, "He lives in Paris.", LONG]}
    yield from ((rank, options) for options in [
        {}, {"prompt_name": "film"}, {"prompt": "the capital "}, {"prompt": ""}, {"prompt_name": "no such"}, {"prompt": "a ", "prompt_name": "film"},
        {"max_length": 12}, {"max_length": 30, "prompt_name": "film"}, {"apply_softmax": True},
    ])
    yield [["Who?", TEXT], ["Where?", "Paris"]], {"prompt_name": "film"}


def calls_of_similarity():
    compare = {"source_sentence": "Where does Wolfgang live?", "sentences": [TEXT, "He lives in Paris.", "", ODD, LONG]}
    yield from ((compare, options) for options in [
        {}, {"prompt_name": "film"}, {"prompt": "a candle "}, {"truncate_dim": 5}, {"similarity_fn_name": "dot"}, {"similarity_fn_name": "euclidean"},
        {"similarity_fn_name": "manhattan", "batch_size": 2}, {"similarity_fn_name": "nonsense"}, {"prompt_name": "no such"},
    ])
    yield from ((text, {}) for text in FEW)
    yield from ((MANY, options) for options in [
        {}, {"normalize_embeddings": True, "truncate_dim": 6}, {"precision": "ubinary"}, {"precision": "binary"}, {"precision": "int3"}, {"prompt_name": "film", "batch_size": 4},
    ])


NER = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"]
NLI = ["contradiction", "neutral", "entailment"]


def table():
    for kind in KINDS:
        mask = "[MASK]" if kind == "wordpiece" else "<mask>"
        yield f"classify-{kind}", "text-classification", kind, ["NEGATIVE", "NEUTRAL", "POSITIVE"], {}, calls_of_classification()
        yield f"zero-shot-{kind}", "zero-shot-classification", kind, NLI, {}, calls_of_zero_shot()
        yield f"tokens-{kind}", "token-classification", kind, NER, {}, calls_of_tokens()
        # This tokenizer numbers the second text 1, and is no class that hides it from the model.
        types = {"type_vocab_size": 2} if kind == "unigram" else {}
        yield f"questions-{kind}", "question-answering", kind, None, types, calls_of_questions()
        yield f"masks-{kind}", "fill-mask", kind, None, {}, calls_of_masks(mask)
        yield f"rank-{kind}", "text-ranking", kind, ["LABEL_0"], {}, calls_of_ranking()
    few = [(TEXT, {}), (TEXT, {"top_k": None}), (MANY, {}), ([TEXT], {"function_to_apply": "sigmoid"})]
    yield "classify-regression", "text-classification", "wordpiece", ["grade"], {"problem_type": "regression"}, few
    all_scores = [(given, {"return_all_scores": flag}) for given in [TEXT, MANY, [TEXT], {"text": TEXT}] for flag in [True, False]]
    yield "classify-single", "text-classification", "wordpiece", ["spam"], {}, few + all_scores
    yield "classify-multi-label", "text-classification", "bytes", ["a", "b", "c"], {"problem_type": "multi_label_classification"}, few
    yield "classify-many-labels", "text-classification", "wordpiece", [f"label {i}" for i in range(200)], {}, few
    zero = [(TEXT, {"candidate_labels": ["film", "wall"]}), (TEXT, {"candidate_labels": ["film", "wall"], "multi_label": True})]
    yield "zero-shot-first", "zero-shot-classification", "wordpiece", ["Entailment", "no"], {}, zero
    yield "zero-shot-unknown", "zero-shot-classification", "wordpiece", ["yes", "no", "perhaps"], {}, zero
    yield "rank-raw", "text-ranking", "wordpiece", ["LABEL_0"], {"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, calls_of_ranking()
    yield "features-wordpiece", "feature-extraction", "wordpiece", None, {}, calls_of_features()
    yield "features-unigram", "feature-extraction", "unigram", None, {}, calls_of_features()
    yield "rank-labels", "text-ranking", "wordpiece", NLI, {}, calls_of_labelled_ranking()
    yield "rank-prompts", "text-ranking", "wordpiece", ["LABEL_0"], {}, calls_of_prompted_ranking()
    for name in ["similarity", "similarity-dot"]:
        yield name, "sentence-similarity", "wordpiece", None, {}, calls_of_similarity()
    # The two disagree.
    yield "zero-shot-label2id", "zero-shot-classification", "wordpiece", NLI, {"label2id": {"neutral": 0, "Entailed": 1, "entailment": 2}}, zero
    # A class that takes words as they are.
    yield "tokens-words", "token-classification", "bytes", NER, {}, [call for call in calls_of_tokens() if "is_split_into_words" in call[1]]
    yield "classify-all-scores", "text-classification", "wordpiece", ["bad", "good"], {"return_all_scores": True}, few + all_scores
    # A class that gives its model no token types, and a tokenizer_config.json that says so.
    pairs = [({"text": "I love this movie", "text_pair": "It was good"}, {"top_k": None}), (TEXT, {"top_k": None})]
    yield "classify-untyped", "text-classification", "wordpiece", NLI, {}, pairs
    yield "classify-untyped-names", "text-classification", "wordpiece", NLI, {}, pairs
    # Windows of a real XLM-R: one type, and the tokenizers crate numbers the second text of all but the first window 1.
    yield "questions-one-type", "question-answering", "unigram", None, {}, calls_of_questions()
    yield "classify-t5", "text-classification", "t5", ["NEGATIVE", "NEUTRAL", "POSITIVE"], {}, calls_of_classification()
    yield "tokens-t5", "token-classification", "t5", NER, {}, calls_of_tokens()
    yield "questions-t5", "question-answering", "t5", None, {}, calls_of_questions()
    yield "questions-bart", "question-answering", "bart", None, {}, calls_of_questions()
    yield "zero-shot-bart", "zero-shot-classification", "bart", NLI, {}, calls_of_zero_shot()
    # WordPiece with a mask token that swallows spaces.
    yield "tokens-mpnet", "token-classification", "wordpiece", NER, {}, calls_of_tokens()


PROMPTS = {"film": "I love this film: ", "nothing": ""}
POOLING = json.dumps({"word_embedding_dimension": 16, "pooling_mode_mean_tokens": True, "include_prompt": True})


def modules(*kinds):
    modules = [("Transformer", ""), *[(kind, f"{number}_{kind}") for number, kind in enumerate(kinds, 1)]]
    return json.dumps([{"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"} for i, (kind, path) in enumerate(modules)])


def tokenizer_config(folder, **changes):
    config = json.loads((HERE / "encoders" / folder / "tokenizer_config.json").read_text()) | changes
    return json.dumps({name: value for name, value in config.items() if value is not None})


# Files that take the place of others or come beside them, by the golden's name.
FILES = {
    "classify-untyped": {"tokenizer_config.json": tokenizer_config("bert-tiny", tokenizer_class="DistilBertTokenizer")},
    "classify-untyped-names": {"tokenizer_config.json": tokenizer_config("bert-tiny", model_input_names=["input_ids", "attention_mask"])},
    "questions-one-type": {"tokenizer_config.json": tokenizer_config("xlm-roberta-tiny", tokenizer_class="XLMRobertaTokenizer")},
    **{name: {"tokenizer_config.json": tokenizer_config("xlm-roberta-tiny", tokenizer_class="XLMRobertaTokenizer")} for name in ["classify-t5", "tokens-t5", "questions-t5"]},
    "tokens-mpnet": {"tokenizer_config.json": tokenizer_config("bert-tiny", tokenizer_class="MPNetTokenizer", mask_token=None)},
    "tokens-words": {"tokenizer_config.json": json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", "model_max_length": 64})},
    "rank-prompts": {
        "modules.json": modules(),
        "sentence_bert_config.json": json.dumps({"transformer_task": "sequence-classification", "max_seq_length": 50}),
        "config_sentence_transformers.json": json.dumps({"model_type": "CrossEncoder", "prompts": PROMPTS, "default_prompt_name": "film", "activation_fn": "torch.nn.modules.linear.Identity"}),
    },
    "similarity": {
        "config_sentence_transformers.json": json.dumps({"prompts": PROMPTS}),
        "modules.json": modules("Pooling", "Normalize"),
        "1_Pooling/config.json": POOLING,
        "sentence_bert_config.json": json.dumps({"max_seq_length": 40, "do_lower_case": False}),
    },
    # The default prompt is not pooled.
    "similarity-dot": {
        "config_sentence_transformers.json": json.dumps({"prompts": PROMPTS, "default_prompt_name": "film", "similarity_fn_name": "dot"}),
        "modules.json": modules("Pooling"),
        "1_Pooling/config.json": POOLING.replace('"include_prompt": true', '"include_prompt": false'),
    },
}


HEADS = {
    "text-classification": "ForSequenceClassification", "zero-shot-classification": "ForSequenceClassification",
    "text-ranking": "ForSequenceClassification", "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering", "fill-mask": "ForMaskedLM", "feature-extraction": "Model",
    "sentence-similarity": "Model",
}


def save_model(folder, task, kind, labels, extra, seed):
    tokenizer, family = (KINDS | SEQ2SEQ)[kind]
    vocabulary = json.loads((HERE / f"encoders/{tokenizer}/config.json").read_text())
    names = ["vocab_size", "max_position_embeddings", "type_vocab_size", "pad_token_id"]
    extra = {name: vocabulary[name] for name in names} | extra
    sizes = SIZES.get(kind, dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24))
    config = getattr(transformers, family + "Config")(
        **sizes,
        **(({"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}} if labels else {}) | extra),
    )
    torch.manual_seed(seed)
    model = getattr(transformers, family + HEADS[task])(config)
    for name, weight in model.named_parameters():
        noise = torch.randn(weight.shape)
        scale = 2.0 if any(head in name for head in ["classifier", "qa_outputs"]) else 0.6
        weight.data = 1 + 0.2 * noise if "LayerNorm.weight" in name else scale * noise / (weight.shape[-1] ** 0.5 if weight.dim() > 1 and "embeddings" not in name else 1)
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(HERE / "encoders" / tokenizer / name, folder / name)
    return tokenizer


def call(task, folder, given, options):
    if task == "text-ranking":
        options = dict(options)
        model = CrossEncoder(str(folder), device="cpu", max_length=options.pop("max_length", None))
        named = {"none": torch.nn.Identity(), "sigmoid": torch.nn.Sigmoid()}
        if "activation_fn" in options:
            options["activation_fn"] = named[options["activation_fn"]]
        return model.rank(**given, **options) if isinstance(given, dict) else model.predict(given, **options)
    if task == "sentence-similarity":
        model = SentenceTransformer(str(folder), device="cpu")
        if not isinstance(given, dict):
            return model.encode(given, **options)
        options = dict(options)
        if "similarity_fn_name" in options:
            model.similarity_fn_name = options.pop("similarity_fn_name")
        source, sentences = model.encode([given["source_sentence"]], **options), model.encode(given["sentences"], **options)
        return model.similarity(source, sentences)[0]
    # A fresh pipeline each time: some calls leave their options behind.
    runner = pipeline(task, model=str(folder), torch_dtype="float32", device="cpu")
    if task == "question-answering" and isinstance(given, dict):
        return runner(**given, **options)
    return runner(given, **options)


def plain(value):
    return value.item() if isinstance(value, numpy.generic) else value.tolist()


def rounded(value):
    if isinstance(value, float):
        return float(f"{value:.7g}")
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return [rounded(inner) for inner in value] if isinstance(value, list) else value


def run(number, name, task, kind, labels, extra, calls):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tokenizer = save_model(folder, task, kind, labels, extra, 100 + number)
        files = FILES.get(name, {})
        for file, text in files.items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(text)
        lines = []
        for given, options in calls:
            record = {"input": given, "options": copy.deepcopy(options)}
            try:
                record["output"] = rounded(json.loads(json.dumps(call(task, folder, given, options), default=plain)))
            except BaseException as error:
                record["error"] = f"{type(error).__name__}: {error}"[:120]
            lines.append(json.dumps(record, ensure_ascii=False))
        into = HERE / "text_pipelines" / name
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir(parents=True)
        for file in ["config.json", "model.safetensors"]:
            shutil.copy(folder / file, into / file)
    head = f'"made_with": "transformers 4.57.6, sentence-transformers 5.7.0",\n "task": "{task}",\n "tokenizer": "{tokenizer}"'
    if files:
        head += f',\n "files": {json.dumps(files)}'
    (into / "golden.json").write_text("{" + head + ',\n "calls": [\n  ' + ",\n  ".join(lines) + "\n ]}\n")
    print(name, len(lines), flush=True)


if __name__ == "__main__":
    for number, golden in enumerate(table()):
        if golden[0] in (sys.argv[1:] or golden[0]):
            run(number, *golden)
