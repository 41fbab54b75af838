#!/usr/bin/env python3
"""Writes tests/goldens/tokenizers/forms.json: every form of tokenizer.json and of the files beside it.

    pip install transformers==4.57.6 tokenizers==0.22.2
    python tests/goldens/make_tokenizer_forms.py
    cargo test --test tokenizers forms

A form is a tiny tokenizer.json (`BASES`), what is changed in it (a JSON pointer and the new value; `None` takes
the field away), and the files beside it. `expected` is what AutoTokenizer makes of that folder; `null` where it
refuses it. Where we read what it refuses, `instead` gives the files that say the same in a way that it understands.
"""

import json
import logging
import pathlib
import tempfile

import transformers
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()
logging.disable(logging.ERROR)
HERE = pathlib.Path(__file__).parent / "tokenizers"

TEXTS = [
    "Hello, world!",
    " it 's  <mask> he re",
    "<X> and <x>  <Y> <image><ctx>  é",
    "[MASK] [CLS]x <pad> </s>  <new> 中he",
]
CHAT = ("{{ bos_token }}{{ image_token }}{{ audio_token }}{{ mask_token }}"
        "{% for token in additional_special_tokens %}{{ token }}{% endfor %}")


def added(id, content, **flags):
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    return {"id": id, "content": content} | plain | flags


def given(content, **flags):
    """A token object in the files beside; `special` is left out as older ones do."""
    token = added(0, content, **flags)
    del token["id"]
    if "special" not in flags:
        del token["special"]
    return token


def typed(content, **flags):
    return {"__type": "AddedToken"} | given(content, **flags)


METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}


def framed(first, last):
    special = lambda token, kind: {"SpecialToken": {"id": token[0], "type_id": kind}}
    text = lambda name, kind: {"Sequence": {"id": name, "type_id": kind}}
    return {
        "type": "TemplateProcessing",
        "single": [special(first, 0), text("A", 0), special(last, 0)],
        "pair": [special(first, 0), text("A", 0), special(last, 0), text("B", 1), special(last, 1)],
        "special_tokens": {name: {"id": name, "ids": [id], "tokens": [name]} for name, id in (first, last)},
    }


def base(model, added_tokens, normalizer, pre_tokenizer, post_processor, decoder):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added_tokens,
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor,
            "decoder": decoder, "model": model}


def unigram():
    letters = "abcdefghijklmnopqrstuvwxyzHXYMASKCLS,!'<>[]/"
    words = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁he", "he", "▁world", "ello", "▁and"]
    vocab = [[piece, 0.0 if index < 4 else -len(letters) / (len(piece) + 4.0) - index / 100]
             for index, piece in enumerate(words + sorted(set(letters)) + ["<mask>"])]
    specials = [added(index, piece) for index, (piece, _) in enumerate(vocab[:4])]
    specials.append(added(len(vocab) - 1, "<mask>", lstrip=True))
    return base({"type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": False}, specials, None,
                METASPACE, framed(("<s>", 0), ("</s>", 2)), METASPACE)


def byte_bpe():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [["h", "e"], ["Ġ", "he"], ["l", "l"], ["Ġ", "w"], ["e", "ll"], ["r", "e"]]
    vocab = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"] + alphabet + ["".join(pair) for pair in merges]
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
             "vocab": {token: id for id, token in enumerate(vocab)}, "merges": merges}
    specials = [added(id, token, lstrip=token == "<mask>") for id, token in enumerate(vocab[:5])]
    specials.append(added(len(vocab), "<|endoftext|>"))
    processor = {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True,
                 "add_prefix_space": False}
    return base(model, specials, None, BYTES, processor, BYTES)


def word_piece():
    letters = sorted(set("abcdefghijklmnopqrstuvwxyzHXY,!'<>[]é中"))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world", "Hello", "and", "it", "he"]
    vocab = words + letters + ["##" + letter for letter in letters]
    model = {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
             "max_input_chars_per_word": 100, "vocab": {token: id for id, token in enumerate(vocab)}}
    normalizer = {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                  "strip_accents": None, "lowercase": True}
    return base(model, [added(id, token) for id, token in enumerate(words[:5])], normalizer,
                {"type": "BertPreTokenizer"}, framed(("[CLS]", 2), ("[SEP]", 3)),
                {"type": "WordPiece", "prefix": "##", "cleanup": True})


BASES = {"unigram": unigram(), "bytes": byte_bpe(), "words": word_piece()}
END = len(BASES["unigram"]["model"]["vocab"])

FORMS = []


def form(name, base, change=None, instead=None, **files):
    """`files` are the contents by name, without `.json`; a class alone may be given as `config=` text."""
    config = files.pop("config", None)
    if isinstance(config, str):
        config = {"tokenizer_class": config}
    files = {f"{file}.json": content for file, content in files.items()}
    if config is not None:
        files["tokenizer_config.json"] = config
    FORMS.append({"name": name, "base": base, "change": change or {}, "files": files, "instead": instead})


def old_forms():
    old = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True}
    both = lambda part: {"/pre_tokenizer": part, "/decoder": part}
    for name in ["XLMRobertaTokenizer", "PreTrainedTokenizerFast", "LlamaTokenizer", "T5Tokenizer", "AlbertTokenizer",
                 "CamembertTokenizer", "DebertaV2Tokenizer", "XLNetTokenizer", "GemmaTokenizer", "BigBirdTokenizer",
                 "BarthezTokenizer", "RemBertTokenizer", "FNetTokenizer", "XGLMTokenizer", "ReformerTokenizer"]:
        form(f"metaspace-{name}", "unigram", both(old), config=name)
    xlmr = "XLMRobertaTokenizer"
    form("metaspace-scheme", "unigram", both(old | {"prepend_scheme": "always"}), config=xlmr)
    form("metaspace-first", "unigram", both(old | {"prepend_scheme": "first"}), config=xlmr)
    form("metaspace-str-rep", "unigram", both(old | {"str_rep": "▁"}), config=xlmr)
    form("metaspace-no-split", "unigram", both(old | {"split": False}), config=xlmr)
    form("metaspace-sequence", "unigram",
         {"/pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, old]},
          "/decoder": old}, config=xlmr)
    never = old | {"add_prefix_space": False}
    form("metaspace-never", "unigram", both(never | {"prepend_scheme": "never"}), config=xlmr)
    form("metaspace-contradicts", "unigram", both(never | {"prepend_scheme": "always"}), config=xlmr)
    form("metaspace-without", "unigram", both(never), config=xlmr,
         instead={"change": both(never | {"prepend_scheme": "never"})})
    form("metaspace-config-flag", "unigram", both(old), config={"tokenizer_class": xlmr, "add_prefix_space": True})

    form("merges-as-text", "bytes", {"/model/merges": ["h e", "Ġ he", "l l", "Ġ w", "e ll", "r e"]},
         config="GPT2Tokenizer")
    form("merges-with-version", "bytes", {"/model/merges": ["#version: 0.2", "h e", "Ġ he", "l l"]},
         config="GPT2Tokenizer")
    for name in BASES:
        form(f"no-type-{name}", name, {"/model/type": None}, config="PreTrainedTokenizerFast")
        form(f"no-version-{name}", name, {"/version": None}, config="PreTrainedTokenizerFast")
        form(f"new-version-{name}", name, {"/version": "2.0"}, config="PreTrainedTokenizerFast")
        form(f"no-part-types-{name}", name,
             {"/pre_tokenizer/type": None, "/decoder/type": None} if name != "words" else {"/normalizer/type": None},
             config="PreTrainedTokenizerFast")
    fields = ["dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback",
              "ignore_merges"]
    form("bare-bpe", "bytes", {f"/model/{field}": None for field in fields}
         | {"/pre_tokenizer/use_regex": None, "/decoder/use_regex": None}, config="GPT2Tokenizer")
    form("bare-unigram", "unigram", {"/model/byte_fallback": None}, config=xlmr)
    form("no-prefix-field", "bytes", {"/pre_tokenizer/add_prefix_space": None}, config="GPT2Tokenizer")
    form("no-added-tokens", "words", {"/added_tokens": None}, config="PreTrainedTokenizerFast",
         instead={"change": {"/added_tokens": []}})
    form("no-normalized", "words", {"/added_tokens/4/normalized": None}, config="BertTokenizer")
    limits = lambda **more: {"max_length": 9, "strategy": "LongestFirst", "stride": 0} | more
    padding = lambda **more: {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": None,
                              "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>"} | more
    form("file-limits", "unigram", {"/truncation": limits(), "/padding": padding(strategy={"Fixed": 128})}, config=xlmr)
    form("file-left", "unigram", {"/truncation": limits(direction="Left"),
                                  "/padding": padding(direction="Left", pad_type_id=1)}, config="LlamaTokenizer")
    form("file-right", "unigram", {"/truncation": limits(direction="Right"), "/padding": padding()},
         config={"tokenizer_class": "LlamaTokenizer", "truncation_side": "left", "padding_side": "left"})
    form("file-padding-neox", "unigram", {"/padding": padding()}, config="GPTNeoXTokenizer")
    form("fast-files", "words", config={"tokenizer_class": "BertTokenizer",
                                        "fast_tokenizer_files": ["tokenizer.json", "tokenizer.4.9.json",
                                                                 "tokenizer.5.0.0.json"]},
         **{"tokenizer.4.9": BASES["words"] | {"added_tokens": BASES["words"]["added_tokens"] + [added(900, "<new>")]}})


def parts():
    """Parts that no other form has, and fields that older versions left out."""
    fast = "PreTrainedTokenizerFast"
    words = lambda name, part: form(f"words-{name}", "words", {"/pre_tokenizer": part}, config=fast)
    words("whitespace", {"type": "Whitespace"})
    words("whitespace-split", {"type": "WhitespaceSplit"})
    words("delimiter", {"type": "CharDelimiterSplit", "delimiter": ","})
    words("punctuation", {"type": "Punctuation"})
    words("punctuation-merged", {"type": "Punctuation", "behavior": "MergedWithPrevious"})
    words("digits", {"type": "Digits"})
    words("scripts", {"type": "UnicodeScripts"})
    words("split-text", {"type": "Split", "pattern": {"String": " "}, "behavior": "Removed", "invert": False})
    words("split-regex", {"type": "Split", "pattern": {"Regex": r"\w+|[^\w\s]+"}, "behavior": "Removed", "invert": True})
    words("sequence-of-sequences", {"type": "Sequence", "pretokenizers": [
        {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}]}, {"type": "Punctuation"}]})
    normal = lambda name, part: form(f"normal-{name}", "words", {"/normalizer": part}, config=fast)
    normal("strip", {"type": "Strip", "strip_left": True, "strip_right": False})
    normal("accents", {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}]})
    normal("nmt", {"type": "Sequence", "normalizers": [{"type": "Nmt"}, {"type": "NFKC"}]})
    normal("replace", {"type": "Replace", "pattern": {"Regex": "[lo]+"}, "content": "e"})
    normal("bert-bare", {"type": "BertNormalizer", "clean_text": False, "handle_chinese_chars": False, "strip_accents": True,
                         "lowercase": False})
    decoded = lambda name, base, part: form(f"decoder-of-{name}", base, {"/decoder": part}, config=fast)
    decoded("fuse", "unigram", {"type": "Fuse"})
    decoded("strip", "unigram", {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
    decoded("bpe", "bytes", {"type": "BPEDecoder", "suffix": "</w>"})
    decoded("ctc", "words", {"type": "CTC", "pad_token": "[PAD]", "word_delimiter_token": ",", "cleanup": True})
    decoded("no-cleanup", "words", {"type": "WordPiece", "prefix": "##", "cleanup": False})
    decoded("none", "words", None)
    ends = lambda name, part: form(f"ends-of-{name}", "words", {"/post_processor": part}, config=fast)
    ends("bert", {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]})
    ends("sequence", {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        framed(("[CLS]", 2), ("[SEP]", 3))]})
    ends("none", None)
    level = {"type": "WordLevel", "vocab": BASES["words"]["model"]["vocab"], "unk_token": "[UNK]"}
    form("word-level", "words", {"/model": level}, config=fast)
    form("word-level-no-type", "words", {"/model": {key: level[key] for key in ("vocab", "unk_token")}}, config=fast)
    form("no-dropout", "bytes", {"/model/dropout": 0.0}, config=fast)
    form("ignore-merges", "bytes", {"/model/ignore_merges": True}, config=fast)
    form("fuse-unk", "bytes", {"/model/fuse_unk": True, "/model/unk_token": "<unk>", "/pre_tokenizer": {"type": "Whitespace"}},
         config=fast)
    form("byte-fallback", "unigram", {"/model/byte_fallback": True}, config=fast)
    form("short-words", "words", {"/model/max_input_chars_per_word": 4}, config=fast)
    form("other-prefix", "words", {"/model/continuing_subword_prefix": ""}, config=fast)
    form("extra-fields", "words", {"/future": {"a": 1}, "/model/future": 1}, config=fast)


def classes():
    """What constructors change."""
    sequence = {"type": "Sequence", "pretokenizers": [DIGITS, BYTES]}
    for flag in [True, False, None]:
        other = {"/pre_tokenizer/add_prefix_space": flag is not True}
        names = ["GPT2Tokenizer", "PreTrainedTokenizerFast", "CodeLlamaTokenizer", "DebertaTokenizer", "RobertaTokenizer",
                 "BartTokenizer"]
        for name in names if flag is not None else names[:4]:
            form(f"prefix-{flag}-{name}", "bytes", other, config={"tokenizer_class": name, "add_prefix_space": flag})
    # Given a value, Llama's class wants tokenizer.model.
    form("prefix-None-LlamaTokenizer", "bytes", {"/pre_tokenizer/add_prefix_space": True},
         config={"tokenizer_class": "LlamaTokenizer", "add_prefix_space": None})
    for name in ["GPT2Tokenizer", "RobertaTokenizer", "Qwen2Tokenizer", "GPTNeoXTokenizer", "LlamaTokenizer",
                 "T5Tokenizer", "WhisperTokenizer", "BloomTokenizer", "PreTrainedTokenizerFast", "DebertaTokenizer",
                 "BlenderbotTokenizer", "LongformerTokenizer", "LEDTokenizer", "MvpTokenizer", "CodeGenTokenizer",
                 "CohereTokenizer", "HerbertTokenizer", "OpenAIGPTTokenizer"]:
        form(f"prefix-file-{name}", "bytes", {"/pre_tokenizer/add_prefix_space": True}, config=name)
    for name in ["BloomTokenizer", "CohereTokenizer", "GPT2Tokenizer"]:
        form(f"sequence-{name}", "bytes", {"/pre_tokenizer": sequence},
             config={"tokenizer_class": name, "add_prefix_space": True, "add_bos_token": False})
    # transformers calls it a list of separators and a class of two.
    form("roberta-offsets", "bytes", config={"tokenizer_class": "RobertaTokenizer", "trim_offsets": False})
    form("roberta-byte-level", "bytes", {"/post_processor": BYTES | {"trim_offsets": False}},
         config="RobertaTokenizer")
    form("roberta-template", "bytes", {"/post_processor": framed(("<s>", 0), ("</s>", 2))}, config="RobertaTokenizer")
    form("clip-old", "bytes", config="CLIPTokenizer")
    form("clip", "bytes", {"/pre_tokenizer": sequence, "/model/end_of_word_suffix": "</w>"}, config="CLIPTokenizer")
    flags = {"do_lower_case": False, "strip_accents": False, "tokenize_chinese_chars": False}
    for name in ["BertTokenizer", "DistilBertTokenizer", "MPNetTokenizer", "SplinterTokenizer", "FunnelTokenizer",
                 "ElectraTokenizer", "SqueezeBertTokenizer"]:
        form(f"flags-{name}", "words", config={"tokenizer_class": name} | flags)
        form(f"no-flags-{name}", "words", {"/normalizer/lowercase": False, "/normalizer/strip_accents": True,
                                           "/normalizer/handle_chinese_chars": False}, config=name)
    form("flags-sequence", "words",
         {"/normalizer": {"type": "Sequence", "normalizers": [BASES["words"]["normalizer"]]}},
         config={"tokenizer_class": "BertTokenizer"} | flags)
    form("flags-other-normalizer", "words", {"/normalizer": {"type": "Lowercase"}},
         config={"tokenizer_class": "BertTokenizer"} | flags)
    for bos in [True, False, None]:
        for eos in [True, False]:
            for name in ["LlamaTokenizer", "GPTNeoXTokenizer"]:
                form(f"ends-{bos}-{eos}-{name}", "unigram",
                     config={"tokenizer_class": name, "add_bos_token": bos, "add_eos_token": eos, "bos_token": "<s>",
                             "eos_token": "</s>", "unk_token": "<unk>"})
    form("t5-ids", "unigram", config={"tokenizer_class": "T5Tokenizer", "extra_ids": 3})
    form("t5-list", "unigram", config={"tokenizer_class": "T5Tokenizer", "extra_ids": 2,
                                       "additional_special_tokens": ["<new>"]})
    form("t5-none", "unigram", config={"tokenizer_class": "T5Tokenizer", "extra_ids": 0,
                                       "additional_special_tokens": []})
    form("pegasus", "unigram", config={"tokenizer_class": "PegasusTokenizer", "offset": 5})
    form("pegasus-list", "unigram", config={"tokenizer_class": "PegasusTokenizer", "offset": 6,
                                            "additional_special_tokens": ["<new>", "<mask_1>"]})
    form("pegasus-no-sentence", "unigram", config={"tokenizer_class": "PegasusTokenizer", "offset": 4,
                                                   "mask_token_sent": None})
    form("camembert-list", "unigram", config={"tokenizer_class": "CamembertTokenizer",
                                              "additional_special_tokens": ["<new>"]})
    form("xlnet-list", "unigram", config={"tokenizer_class": "XLNetTokenizer", "additional_special_tokens": ["<new>"]})
    form("xglm-list", "unigram", config={"tokenizer_class": "XGLMTokenizer",
                                         "additional_special_tokens": ["<madeupword1>", "<new>"]})
    form("code-llama", "unigram", config={"tokenizer_class": "CodeLlamaTokenizer", "suffix_token": "<X>",
                                          "eot_token": None})


def beside():
    """The files beside, of all ages."""
    fast = "PreTrainedTokenizerFast"
    xlmr = "XLMRobertaTokenizer"
    for name, value in [("text", "<mask>"), ("object", typed("<mask>", lstrip=True, normalized=True)),
                        ("plain", typed("<mask>")), ("null", None), ("other", "<new>"),
                        ("other-object", typed("<new>", rstrip=True))]:
        for class_name in [xlmr, fast, "RobertaTokenizer"]:
            base = "bytes" if class_name == "RobertaTokenizer" else "unigram"
            place = "/added_tokens/4/lstrip"
            form(f"mask-{name}-{class_name}", base, {place: False}, config={"tokenizer_class": class_name, "mask_token": value})
    form("mask-absent", "unigram", {"/added_tokens/4/lstrip": False}, config=xlmr)
    form("mask-decoder", "unigram", {"/added_tokens/4/lstrip": False},
         config={"tokenizer_class": xlmr, "mask_token": "<mask>",
                 "added_tokens_decoder": {str(END - 1): given("<mask>", rstrip=True, special=True)}})
    form("mask-map", "unigram", {"/added_tokens/4/lstrip": False}, config=xlmr,
         special_tokens_map={"mask_token": given("<mask>", lstrip=True), "bos_token": "<s>"})
    lower = {"/normalizer": {"type": "Lowercase"}}
    decoder = {str(END): given("<X>", normalized=True, special=False), str(END + 1): given("<Y>", special=True),
               str(END + 2): given("<image>", special=False, single_word=True)}
    form("decoder", "unigram", lower, config={"tokenizer_class": fast, "added_tokens_decoder": decoder})
    form("decoder-flags", "unigram",
         {"/added_tokens/5": added(END, "<X>", normalized=True, special=False)} | lower,
         config={"tokenizer_class": fast, "added_tokens_decoder": {str(END): given("<X>", lstrip=True, special=True)}})
    form("decoder-place", "unigram", {"/added_tokens/5": added(END, "<X>")} | lower,
         config={"tokenizer_class": fast,
                 "added_tokens_decoder": {str(END): given("<X>", lstrip=True, normalized=True, special=True)}})
    form("added-tokens", "unigram", lower, config={"tokenizer_class": fast, "bos_token": "<Y>"},
         added_tokens={"<X>": END, "<Y>": END + 1, "<mask>": END - 1})
    form("added-tokens-clash", "unigram", {"/added_tokens/5": added(END, "<X>", rstrip=True)}, config=fast,
         added_tokens={"<Y>": END, "<new>": END + 1})
    form("map-text", "unigram", config=fast,
         special_tokens_map={"bos_token": "<s>", "pad_token": "<pad>", "additional_special_tokens": ["<ctx>", "<new>"]})
    form("map-objects", "unigram", config={"tokenizer_class": fast, "bos_token": "</s>"},
         special_tokens_map={"bos_token": given("<s>", rstrip=True), "eos_token": given("<new>", lstrip=True),
                             "additional_special_tokens": [given("<ctx>", rstrip=True), "</s>"]})
    form("map-union", "unigram", config={"tokenizer_class": fast, "additional_special_tokens": ["<X>", "<ctx>"]},
         special_tokens_map={"additional_special_tokens": ["<ctx>", "<new>"]})
    form("map-unread", "unigram", config={"tokenizer_class": fast, "added_tokens_decoder": {}, "bos_token": "<s>"},
         special_tokens_map={"bos_token": "</s>"}, added_tokens={"<X>": END})
    form("additional-objects", "unigram", {"/added_tokens/5": added(END, "<X>")},
         config={"tokenizer_class": fast, "additional_special_tokens": [
             typed("<X>", lstrip=True), typed("<image>", normalized=True, rstrip=True), "<new>", "</s>"]})
    form("additional-not-special", "unigram", {"/added_tokens/5": added(END, "<X>", special=False)},
         config={"tokenizer_class": fast, "additional_special_tokens": ["<X>"]})
    form("two-forms", "unigram", lower, config={"tokenizer_class": fast, "added_tokens_decoder": {
        str(END): given("<X>", normalized=True, special=False), str(END + 1): given("<Y>", normalized=True, special=False)}})

    images = {"image_token": "<image>", "audio_token": "<ctx>"}
    form("extra", "unigram", config={"tokenizer_class": fast, "bos_token": "<s>", "extra_special_tokens": images})
    form("extra-empty", "unigram", config={"tokenizer_class": fast, "extra_special_tokens": {}})
    form("extra-objects", "unigram", lower, config={
        "tokenizer_class": xlmr, "extra_special_tokens": {"image_token": typed("<image>", lstrip=True),
                                                          "audio_token": typed("<X>", normalized=True)}})
    form("extra-there", "unigram", {"/added_tokens/5": added(END, "<image>", special=False)},
         config={"tokenizer_class": fast, "extra_special_tokens": images,
                 "additional_special_tokens": ["<new>"]})
    form("extra-decoder", "unigram", config={
        "tokenizer_class": fast, "extra_special_tokens": images,
        "added_tokens_decoder": {str(END): given("<image>", special=False, lstrip=True)}})
    form("extra-beside", "unigram", config={"tokenizer_class": fast} | images)
    form("extra-list", "unigram", config={"tokenizer_class": fast, "extra_special_tokens": ["<X>", typed("<new>", rstrip=True)]},
         instead={"files": {"tokenizer_config.json": {
             "tokenizer_class": fast, "additional_special_tokens": ["<X>", typed("<new>", rstrip=True)]}}})
    form("extra-of-5", "unigram", config={"tokenizer_class": "TokenizersBackend", "backend": "tokenizers",
                                          "extra_special_tokens": ["<X>"],
                                          "model_specific_special_tokens": {"audio_token": "<ctx>"},
                                          "image_token": "<image>"},
         instead={"files": {"tokenizer_config.json": {
             "tokenizer_class": fast, "additional_special_tokens": ["<X>"],
             "extra_special_tokens": {"image_token": "<image>", "audio_token": "<ctx>"}}}})

    for name, config in {
        "length": {"model_max_length": 512}, "length-huge": {"model_max_length": 1000000000000000019884624838656},
        "length-float": {"model_max_length": 1e30}, "length-null": {"model_max_length": None}, "length-old": {"max_len": 77},
        "length-both": {"model_max_length": 5, "max_len": 77},
        "sides": {"padding_side": "left", "truncation_side": "left"},
        "clean": {"clean_up_tokenization_spaces": True}, "clean-not": {"clean_up_tokenization_spaces": False},
        "clean-null": {"clean_up_tokenization_spaces": None},
        "split": {"split_special_tokens": True, "bos_token": "<s>"},
        "inputs": {"model_input_names": ["input_ids", "attention_mask"]},
        "inputs-types": {"tokenizer_class": "LlamaTokenizer", "model_input_names": ["input_ids", "token_type_ids"]},
        "pad-type": {"pad_token_type_id": 4, "pad_token": "<pad>"},
        "bad-side": {"padding_side": "middle"}, "bad-truncation-side": {"truncation_side": 1},
        "bad-token": {"bos_token": 7}, "bad-additional": {"additional_special_tokens": "<X>"},
        "bad-extra": {"extra_special_tokens": {"image_token": 3}}, "bad-decoder": {"added_tokens_decoder": {"1": "x"}},
    }.items():
        form(name, "unigram", config={"tokenizer_class": fast} | config)
    for model_type in ["bert", "roberta", "distilbert", "gpt2", "llama", "xlm-roberta", "qwen2", "mpnet", "modernbert"]:
        base = {"bert": "words", "distilbert": "words", "mpnet": "words", "llama": "unigram", "xlm-roberta": "unigram"}
        FORMS.append({"name": f"type-{model_type}", "base": base.get(model_type, "bytes"), "change": {}, "instead": None,
                      "files": {"config.json": {"model_type": model_type}}})


def changed(base, change):
    result = json.loads(json.dumps(base))
    for pointer, value in change.items():
        *path, last = pointer[1:].split("/")
        place = result
        for step in path:
            place = place[int(step)] if isinstance(place, list) else place[step]
        if isinstance(place, list):
            place[int(last):int(last) + 1] = [] if value is None else [value]
        elif value is None:
            del place[last]
        else:
            place[last] = value
    return result


def load(form):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        files = {"config.json": {"model_type": "llama"}} | form["files"]
        files["tokenizer.json"] = changed(BASES[form["base"]], form["change"])
        for name, content in files.items():
            (folder / name).write_text(json.dumps(content))
        return AutoTokenizer.from_pretrained(folder)


def expected(tokenizer):
    names = [name for name in tokenizer.SPECIAL_TOKENS_ATTRIBUTES if name != "additional_special_tokens"]
    known = tokenizer.get_vocab()
    named = {name: str(token) for name in names if (token := tokenizer._special_tokens_map.get(name)) is not None}
    result = {
        "vocab": len(tokenizer),
        "named": {name: [token, known[token]] for name, token in named.items() if token in known},
        "additional": [token for token in tokenizer.additional_special_tokens if token in known],
        "special_ids": sorted({known[token] for token in tokenizer.all_special_tokens if token in known}),
        "sides": [tokenizer.padding_side, tokenizer.truncation_side],
        "max_length": tokenizer.model_max_length if tokenizer.model_max_length < 1e15 else None,
        "types": "token_type_ids" in tokenizer.model_input_names,
        "chat": tokenizer.apply_chat_template([{"role": "user", "content": ""}], chat_template=CHAT, tokenize=False),
        "texts": [],
    }
    for text in TEXTS:
        call = tokenizer(text, return_offsets_mapping=True, padding=False, truncation=False)
        ids = call["input_ids"]
        result["texts"].append({"ids": ids, "offsets": sum(map(list, call["offset_mapping"]), []),
                                "decoded": tokenizer.decode(ids), "skipped": tokenizer.decode(ids, skip_special_tokens=True)})
    if not isinstance(tokenizer, transformers.CodeLlamaTokenizerFast):  # takes a pair for the ends of a gap
        call = tokenizer(TEXTS[0], TEXTS[1], return_token_type_ids=True)
        result["pair"] = [call["input_ids"], call["token_type_ids"]]
    cut = tokenizer(TEXTS[0], truncation=True, max_length=6)
    result["cut"] = cut["input_ids"]
    if tokenizer.pad_token is not None:
        result["padded"] = tokenizer(["he", TEXTS[0]], padding=True, return_token_type_ids=True)["token_type_ids"]
    try:
        result["words"] = tokenizer(["he", "world", "中", "it"], is_split_into_words=True)["input_ids"]
    except Exception:
        result["words"] = None
    return result


def main():
    old_forms()
    parts()
    classes()
    beside()
    names = [form["name"] for form in FORMS]
    assert len(set(names)) == len(names)
    for form in FORMS:
        instead = form.pop("instead")
        try:
            form["expected"] = expected(load(form))
            assert instead is None, form["name"]
        except AssertionError:
            if form["name"].startswith("bad-"):
                form["expected"] = None
            else:
                raise
        except BaseException as error:
            print(f"{form['name']}: {type(error).__name__} {str(error)[:100]}")
            form["expected"] = None if instead is None else expected(load(form | instead))
    shared = []  # what many forms make of the texts
    for form in filter(lambda form: form["expected"], FORMS):
        texts = form["expected"]["texts"]
        if texts not in shared:
            shared.append(texts)
        form["expected"]["texts"] = shared.index(texts)
    golden = {"from": f"transformers {transformers.__version__}", "texts": TEXTS, "chat": CHAT, "bases": BASES,
              "encoded": shared}
    lines = ",\n".join(json.dumps(form, ensure_ascii=False, separators=(",", ":")) for form in FORMS)
    head = json.dumps(golden, ensure_ascii=False, separators=(",", ":"))
    (HERE / "forms.json").write_text(f'{head[:-1]},"forms":[\n{lines}\n]}}\n')
    print(len(FORMS), "forms")


if __name__ == "__main__":
    main()
