#!/usr/bin/env python3
"""Runs Python's summarization, translation and text2text-generation on tiny random models and writes what they return.

    pip install transformers==4.57.6 torch==2.9.1 sentencepiece==0.2.3 protobuf==7.36.2
    python tests/goldens/make_text_to_text.py [NAME ...]
    cargo test --test pipelines text_to_text

Writes tests/goldens/text_to_text/<name>/: config.json, generation_config.json and model.safetensors, and golden.json: the
task, the tokenizer's files (models of `tokenizers/models` by their names in the folder, and JSON), the prefix and the options
of generation that the pipeline has by default, and calls (input, options, output, or the error that Python raises). Seeds are tried until every output is the same in f32 and f64, so that rounding
decides nothing. The old folders are as repositories were before generation_config.json and tokenizer.json: config.json says how
texts are generated, and some have no tokenizer_config.json.
"""

import json
import logging
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, GenerationConfig, pipeline

transformers.logging.set_verbosity_error()
logging.disable(logging.ERROR)
warnings.filterwarnings("ignore")
torch.set_num_threads(1)
HERE = Path(__file__).parent
MODELS = HERE / "tokenizers" / "models"

TEXT = "The house is wonderful, and the children are here; isn't it so ?"
MANY = [TEXT, "Hello, world!", "The year 2024 has 366 days.", "Bonjour, le monde ! Ça va ?", "a"]
SHORT = {"max_new_tokens": 12}

# Without a length of its own, a model writes 256 tokens: too many for rounding to decide nothing.
OPEN = [{}, {"max_length": 9}]
# What the model's files say does not count then.
NULLS = [{"forced_bos_token_id": None} | SHORT, {"bad_words_ids": None, "renormalize_logits": None} | SHORT, {"no_repeat_ngram_size": None} | SHORT,
         {"forced_eos_token_id": None, "length_penalty": 0.5} | SHORT]
GENERATION = [
    SHORT, {"num_beams": 1} | SHORT, {"num_beams": 2, "num_return_sequences": 2} | SHORT, {"max_length": 9, "max_new_tokens": None},
    {"min_new_tokens": 8} | SHORT, {"no_repeat_ngram_size": 2} | SHORT, {"repetition_penalty": 1.7} | SHORT,
    {"encoder_no_repeat_ngram_size": 1} | SHORT, {"length_penalty": 2.0, "early_stopping": True} | SHORT,
    {"return_tensors": True} | SHORT, {"return_tensors": True, "num_beams": 3, "num_return_sequences": 3} | SHORT, {"return_tensors": False} | SHORT, {"return_text": True} | SHORT,
    {"clean_up_tokenization_spaces": True} | SHORT, {"clean_up_tokenization_spaces": False} | SHORT,
    {"stop_sequence": "e"} | SHORT, {"num_workers": 0} | SHORT, {"decoder_start_token_id": 5} | SHORT,
    {"no_such_option": 1}, {"max_new_tokens": "many"}, {"num_beams": 2, "num_return_sequences": 3} | SHORT,
]
SHAPES = [
    (MANY, SHORT), (MANY, {"batch_size": 2} | SHORT), ([TEXT], SHORT), ([], SHORT), (MANY[:2], {"num_return_sequences": 2} | SHORT),
    (7, SHORT), ({"text": TEXT}, SHORT),
]
LONG = " ".join(MANY * 6)
CUT = [(LONG, {"truncation": True} | SHORT), ([TEXT, LONG], {"truncation": True} | SHORT), (LONG, {"truncation": "longest_first"} | SHORT)]


def calls(text, more=()):
    yield from ((text, options) for options in GENERATION)
    yield from SHAPES
    yield from CUT
    yield from more


def t5(task, **config):
    return {
        "task": task, "models": {"spiece.model": "t5.model"},
        "tokenizer": {"tokenizer_class": "T5Tokenizer", "extra_ids": 10, "model_max_length": 40},
        "config": dict(model_type="t5", d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=4, vocab_size=448, decoder_start_token_id=0,
                       feed_forward_proj="gated-gelu", tie_word_embeddings=False, dropout_rate=0.0,
                       task_specific_params={
                           "summarization": {"prefix": "summarize: ", "min_length": 6, "max_length": 30, "length_penalty": 2.0,
                                             "num_beams": 3, "no_repeat_ngram_size": 3, "early_stopping": True},
                           "translation_en_to_fr": {"prefix": "translate English to French: ", "max_length": 20, "num_beams": 2}}) | config,
    }


BART = dict(d_model=16, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=32,
            decoder_ffn_dim=32, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0)


def marian():
    models = {"source.spm": "marian-source.model", "target.spm": "marian-target.model"}
    tokens = json.loads((HERE / "tokenizers/translation.json").read_text())["cases"][0]["files"]["vocab.json"]
    pad = tokens["<pad>"]
    ids = dict(pad_token_id=pad, decoder_start_token_id=pad, eos_token_id=0, bos_token_id=0, forced_eos_token_id=0)
    return {
        "task": "translation_en_to_fr", "models": models, "more": {"vocab.json": tokens},
        "tokenizer": {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "fr", "model_max_length": 40},
        "config": dict(model_type="marian", vocab_size=len(tokens), max_position_embeddings=64, static_position_embeddings=True,
                       scale_embedding=True, activation_function="swish", bad_words_ids=[[pad]]) | ids | BART,
        "generation": ids | {"max_length": 32, "num_beams": 6, "bad_words_ids": [[pad]], "renormalize_logits": True},
        "calls": list(calls(TEXT, [(TEXT, options) for options in OPEN + NULLS] + [
            (">>fra<< " + TEXT, SHORT), (TEXT, {"src_lang": "en"} | SHORT), (TEXT, {"src_lang": "en", "tgt_lang": ">>fra<<", "_prefix": ">>fra<< "} | SHORT),
        ])),
    }


def multilingual(task, tokenizer, languages, model_type, models, more=None):
    one = dict(zip(("src_lang", "tgt_lang"), languages[0]))
    other = dict(zip(("src_lang", "tgt_lang"), languages[1]))
    named = task.endswith("_to_fr")
    basic = {} if named else one
    return {
        "task": task, "models": models, "more": more or {}, "tokenizer": tokenizer,
        "config": dict(model_type=model_type, max_position_embeddings=64, scale_embedding=True, activation_function="relu",
                       decoder_start_token_id=2, forced_eos_token_id=2, pad_token_id=1, bos_token_id=0, eos_token_id=2) | BART,
        "calls": [(TEXT, basic | SHORT), (TEXT, basic | {"num_beams": 1} | SHORT), (MANY, basic | SHORT), (TEXT, other | SHORT), (MANY, other | SHORT),
                  (TEXT, basic | {"return_tensors": True} | SHORT), (LONG, basic | {"truncation": True} | SHORT),
                  (TEXT, {"src_lang": languages[0][0]} | SHORT), (TEXT, {"tgt_lang": languages[0][1]} | SHORT)]
                 + ([] if named else [(TEXT, SHORT)]),
    }


def cases():
    yield "summarization-t5", t5("summarization") | {"calls": list(calls(TEXT, [(TEXT, {"src_lang": "en"} | SHORT)]))}
    yield "translation-t5", t5("translation_en_to_fr") | {"calls": list(calls(TEXT, [(TEXT, {"src_lang": "en", "tgt_lang": "fr"} | SHORT)]))}
    yield "translation-t5-plain", t5("translation", prefix="do: ") | {"calls": [(TEXT, SHORT), (MANY, SHORT), (TEXT, {"num_beams": 1} | SHORT)]}
    yield "text2text-t5", t5("text2text-generation", prefix="do: ") | {"calls": list(calls(TEXT))}
    bart = {"vocab.json": "roberta-vocab.json", "merges.txt": "roberta-merges.txt"}
    yield "summarization-bart", {
        "task": "summarization", "models": bart, "tokenizer": {"tokenizer_class": "BartTokenizer", "model_max_length": 40},
        "config": dict(model_type="bart", vocab_size=None, max_position_embeddings=64, activation_function="gelu", decoder_start_token_id=2,
                       forced_bos_token_id=0, forced_eos_token_id=2, pad_token_id=1, bos_token_id=0, eos_token_id=2, prefix=" ") | BART,
        "generation": dict(decoder_start_token_id=2, forced_bos_token_id=0, forced_eos_token_id=2, pad_token_id=1, bos_token_id=0, eos_token_id=2,
                           max_length=30, min_length=8, num_beams=4, no_repeat_ngram_size=3, early_stopping=True, length_penalty=2.0),
        "calls": list(calls(TEXT, [(TEXT, options) for options in OPEN + NULLS])),
    }
    yield "summarization-led", {
        "task": "summarization", "models": bart, "tokenizer": {"tokenizer_class": "LEDTokenizer", "model_max_length": 40},
        "config": dict(model_type="led", vocab_size=None, max_encoder_position_embeddings=96, max_decoder_position_embeddings=64, attention_window=[4, 8],
                       decoder_start_token_id=2, pad_token_id=1, bos_token_id=0, eos_token_id=2) | BART,
        "generation": dict(decoder_start_token_id=2, pad_token_id=1, bos_token_id=0, eos_token_id=2, max_length=30, min_length=6, num_beams=2,
                           no_repeat_ngram_size=3, early_stopping=True, length_penalty=2.0),
        "calls": list(calls(TEXT, [(TEXT, options) for options in OPEN])),
    }
    yield "text2text-umt5", t5("text2text-generation", model_type="umt5", decoder_start_token_id=0, pad_token_id=0, eos_token_id=1) | {"calls": list(calls(TEXT))}
    byt5 = {"models": {}, "tokenizer": {"tokenizer_class": "ByT5Tokenizer", "model_max_length": 90}}
    yield "translation-byt5", t5("translation_en_to_fr", vocab_size=384) | byt5 | {"calls": list(calls(TEXT))}
    yield "translation-marian", marian()
    spm = lambda name: {"sentencepiece.bpe.model": f"{name}.model"}
    yield "translation-nllb", multilingual(
        "translation", {"tokenizer_class": "NllbTokenizer", "model_max_length": 40}, [("eng_Latn", "fra_Latn"), ("zho_Hans", "deu_Latn")], "m2m_100", spm("fairseq-bpe"))
    yield "translation-mbart50", multilingual(
        "translation", {"tokenizer_class": "MBart50Tokenizer", "model_max_length": 40}, [("en_XX", "fr_XX"), ("zh_CN", "de_DE")], "mbart", spm("unigram"))
    golden = json.loads((HERE / "tokenizers/translation.json").read_text())
    m2m = next(case for case in golden["cases"] if case["name"] == "m2m100-fairseq-bpe")["files"]
    yield "translation-m2m100", multilingual(
        "translation_en_to_fr", m2m["tokenizer_config.json"] | {"model_max_length": 40}, [("en", "fr"), ("zh", "ast")], "m2m_100", spm("fairseq-bpe"),
        {name: content for name, content in m2m.items() if name != "tokenizer_config.json"})


def old(name, task, model_type, models, calls, files=None, said=None, **config):
    """A folder without generation_config.json; what is `said` about generation stands in its config.json."""
    own = dict(pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2)
    return name, {
        "task": task, "models": models, "tokenizer": None, "more": files or {}, "said": said or {}, "calls": calls, "embedding": 0.3,
        "characters": 5 if task == "summarization" else 0,
        "config": dict(model_type=model_type, max_position_embeddings=64, scale_embedding=True, activation_function="relu") | own | BART | config,
    }


def old_cases():
    """Families of slow tokenizers' files, as `PreTrainedTokenizer.save_pretrained` and the conversions of 2020 left them."""
    spiece, bpe = {"spiece.model": "t5.model"}, {"sentencepiece.bpe.model": "unigram.model"}
    plain = [(TEXT, options) for options in [{}, *GENERATION[:6], *GENERATION[9:11]]] + [(MANY, SHORT), (MANY, {"max_length": 9})]
    ids = dict(pad_token_id=0, eos_token_id=1, decoder_start_token_id=0, forced_eos_token_id=1)
    said = {"max_length": 24, "num_beams": 3, "length_penalty": 0.6}
    cut = {"tokenizer_config.json": {"model_max_length": 40}}
    yield old("summarization-pegasus", "summarization", "pegasus", spiece, plain + CUT[:1], cut | {
        "special_tokens_map.json": {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}}, said, **ids)
    # A SentencePiece model with ids of its own, of which the class knows nothing: two tokens are `</s>`.
    yield old("summarization-pegasus-bare", "summarization", "pegasus", {"spiece.model": "unigram.model"}, plain, said=said, **ids)
    yield old("summarization-mbart", "summarization", "mbart", bpe, plain, said={"max_length": 30, "num_beams": 5, "early_stopping": True}, forced_eos_token_id=2)
    languages = [{"src_lang": source, "tgt_lang": target} for source, target in [("en_XX", "ro_RO"), ("de_DE", "en_XX")]]
    pairs = [(text, options | pair) for pair in languages for text in [TEXT, MANY] for options in [SHORT, {"num_beams": 1} | SHORT]]
    yield old("translation-mbart", "translation", "mbart", bpe, pairs, said={"max_length": 20, "num_beams": 5, "early_stopping": True})
    codes = [{"src_lang": source, "tgt_lang": target} for source, target in [("java", "en_XX"), ("python", "java")]]
    yield old("translation-plbart", "translation", "plbart", {"sentencepiece.bpe.model": "fairseq-bpe.model"},
              [(text, options | pair) for pair in codes for text in [TEXT, MANY] for options in [SHORT, {"num_beams": 1} | SHORT]],
              {"tokenizer_config.json": {"tokenizer_class": "PLBartTokenizer"}}, forced_eos_token_id=2)
    # Without a length it would write beyond its positions, where Python fails.
    short = [call for call in plain if "max_new_tokens" in call[1]]
    yield old("text2text-bart", "text2text-generation", "bart", {"vocab.json": "roberta-vocab.json", "merges.txt": "roberta-merges.txt"}, short,
              said={"max_length": 20, "num_beams": 4, "no_repeat_ngram_size": 3}, forced_eos_token_id=2, forced_bos_token_id=0)
    t5s = t5("text2text-generation", model_type="mt5", pad_token_id=0, eos_token_id=1, decoder_start_token_id=0)
    yield "text2text-mt5", t5s | {"tokenizer": None, "said": {"max_length": 15}, "calls": plain}


def files(case):
    own = case.get("more", {})
    return own if case["tokenizer"] is None else own | {"tokenizer_config.json": case["tokenizer"]}


def write(case, folder, seed):
    for name, source in case["models"].items():
        shutil.copy(MODELS / source, folder / name)
    for name, content in files(case).items():
        (folder / name).write_text(json.dumps(content))
    (folder / "config.json").write_text(json.dumps({"model_type": case["config"]["model_type"]}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = dict(case["config"])
    if config.get("vocab_size") is None:
        config["vocab_size"] = len(tokenizer)
    config = AutoConfig.for_model(**config)
    torch.manual_seed(seed)
    model = AutoModelForSeq2SeqLM.from_config(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.35 if "embed" not in name and "shared" not in name else case.get("embedding", 1.0))
            else:
                weight.add_(torch.randn_like(weight) * 0.2)
    # As read from a file of half as many digits.
    model = model.to(torch.bfloat16)
    if "generation" in case:
        model.generation_config = GenerationConfig(**case["generation"])
    model.save_pretrained(folder)
    if "said" in case:
        (folder / "generation_config.json").unlink()
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | case["said"], indent=2) + "\n")


def run(case, folder, dtype):
    results = []
    for given, options in case["calls"]:
        options = dict(options)
        prefix = options.pop("_prefix", None)
        text = prefix + given if prefix else given
        try:
            runner = pipeline(case["task"], model=str(folder), dtype=dtype, device="cpu")
            output = runner(text, **options)
            results.append({"output": json.loads(json.dumps(output, default=lambda tensor: tensor.tolist()))})
        except BaseException as error:
            results.append({"error": f"{type(error).__name__}: {error}"[:120]})
    return results


DEFAULTS = ["max_new_tokens", "max_length", "min_length", "num_beams", "length_penalty", "early_stopping", "no_repeat_ngram_size",
            "forced_bos_token_id", "bad_words_ids", "renormalize_logits"]


def defaults(case, folder):
    """What the pipeline has that is not everyone's default."""
    runner = pipeline(case["task"], model=str(folder), device="cpu")
    ours, common = runner.generation_config, GenerationConfig()
    return {"prefix": runner.prefix or "", "defaults": {
        name: value for name in DEFAULTS if (value := getattr(ours, name)) != getattr(common, name)}}


def main():
    wanted = sys.argv[1:]
    for name, case in [*cases(), *old_cases()]:
        if wanted and name not in wanted:
            continue
        for seed in range(40):
            with tempfile.TemporaryDirectory() as scratch:
                folder = Path(scratch)
                write(case, folder, seed)
                results = run(case, folder, torch.float32)
                exact = run(case, folder, torch.float64)
                texts = {json.dumps(result.get("output")) for result in results}
                differing = sum(one != other for one, other in zip(results, exact))
                [first, *_] = results[0]["output"][0].values()
                if differing or len(texts) < len(results) / 3 or len(set(first)) < case.get("characters", 0):
                    print(f"{name}: seed {seed}: {differing} differ, {len(texts)} outputs of {len(results)}")
                    continue
                out = HERE / "text_to_text" / name
                shutil.rmtree(out, ignore_errors=True)
                out.mkdir(parents=True)
                own = defaults(case, folder)
                for file in ["config.json", "generation_config.json", "model.safetensors"]:
                    if (folder / file).exists():
                        shutil.copy(folder / file, out / file)
                break
        else:
            raise SystemExit(f"{name}: no seed")
        lines = []
        for (given, options), result in zip(case["calls"], results):
            options = {key: value for key, value in options.items() if key != "_prefix"}
            lines.append(json.dumps({"input": given, "options": options} | result, ensure_ascii=False))
        head = {"made_with": f"transformers {transformers.__version__}", "task": case["task"], "models": case["models"], "files": files(case)}
        head = json.dumps(head | own, ensure_ascii=False)
        (out / "golden.json").write_text(head[:-1] + ', "calls": [\n ' + ",\n ".join(lines) + "\n]}\n")
        print(name, "seed", seed, len(lines), "calls", sum("error" in result for result in results), "errors",
              sum(file.stat().st_size for file in out.iterdir()), "bytes")


if __name__ == "__main__":
    main()
