#!/usr/bin/env python3
"""Writes tests/goldens/tokenizers/translation.json and the models beside it: tokenizers of encoder-decoders.

    pip install transformers==4.57.6 tokenizers==0.22.2 sentencepiece==0.2.3 protobuf==7.36.2
    python tests/goldens/make_translation_tokenizers.py
    cargo test --test tokenizers translation

A case is a folder as its repository would carry it: SentencePiece models (trained here on the texts below, committed
under `models/`) and JSON files. `expected` is what AutoTokenizer makes of that folder. Marian, M2M100, PLBART and ByT5
have slow classes only; the other folders hold the older files too, which transformers converts.
"""

import json
import logging
import pathlib
import random
import shutil
import tempfile
import warnings

import sentencepiece
import transformers
from sentencepiece import sentencepiece_model_pb2 as spm_pb2
from transformers import AutoTokenizer

transformers.logging.set_verbosity_error()
logging.disable(logging.ERROR)
warnings.filterwarnings("ignore")
HERE = pathlib.Path(__file__).parent / "tokenizers"
MODELS = HERE / "models"

TEXTS = [
    "",
    " ",
    " \t\n ",
    "Hello, world!",
    "  The house   is wonderful.  ",
    "I’m “here” — isn't it… ‘fine’?",
    "The year 2024 has 366 days, 3.14159 and 1,000,000 too. ½ ² Ⅷ",
    "La maison est merveilleuse, n'est-ce pas ? Ça coûte 12 €.",
    "Ich weiß nicht, ob das Haus schön ist; aber es ist groß.",
    "Привет, мир! Съешь же ещё этих мягких французских булок.",
    "你好，世界！今天天气很好。",
    "日本語の文章です。カタカナとひらがな、漢字。",
    "한국어 문장입니다. 안녕하세요?",
    "مرحبا بالعالم، كيف حالك؟ שלום עולם",
    "नमस्ते दुनिया, यह एक परीक्षण है। ไทยทดสอบ",
    "🚀 (normal) 😶‍🌫️ 👩‍👩‍👧‍👦 🇩🇪 👍🏽",
    "cafe\u0301 n\u0303 naïve ﬁne ﬂow ｆｕｌｌ １２",
    "a\u200bb\u00a0c\u3000d\ufeffe\u00adf\x1cg\x85h",
    "nul\u0000 bell\u0007 \ufffd \ue000 \U0010ffff",
    ">>fra<< The house.",
    ">>fra<<The house >>deu<< is.",
    " >>fra<< The >>xx<< house << and >> this",
    ">>nothing",
    "<unk> <s> </s> <pad> <mask> end",
    "before <s>after</s> <mask> x<mask>y  </s>",
    "__fr__ The __en__house __java__ en_XX eng_Latn fr_XXx",
    "<extra_id_0> and <extra_id_1>x<extra_id_12>  <extra_id_99>.",
    "<mask_1> then <mask_2> and <unk_2> <unk_7>",
    "▁word ▁▁ x▁y <0x41> <new> a<new>b <user> <use",
    "def maximum(a, b): NEW_LINE INDENT return max([a, b])\n\tx   =   1",
    "wwwwwwwww QQQQQ zzzzqqqxxj \u4e82\u7801",
    "ends with it</s>",
]
OTHER = [
    "Bonjour, le monde ! La maison est belle et les enfants jouent dehors.",
    "Je ne sais pas si c'est vrai, mais il fait très beau aujourd'hui.",
    "Das Haus ist schön, und die Kinder spielen im Garten.",
    "Où êtes-vous né ? À Paris, en été ; c'était il y a longtemps.",
    "Нет, я не знаю, что это такое. Дом большой и красивый.",
    "He said that the houses are wonderful and that the children are here.",
]


# Two ways to cut these have the same score, as sums in single precision.
TIES = ["txAqqqn xqqq", "xnqqqQqQQzoat qqqn qqqx wnaqqqnes"]


def train():
    """Small models, always the same ones."""
    words = random.Random(3)
    lines = [line for text in TEXTS for line in text.replace("\0", "").splitlines() if line.strip()]
    lines = [line for line in lines if ">>" not in line and "<" not in line]
    mixed = lambda lines: lines * 3 + [" ".join(words.sample(line.split(" "), len(line.split(" "))))
                                       for line in lines * 8]
    rules = MODELS / "rules.tsv"
    rule = lambda source, target: "\t".join(" ".join(f"{ord(c):X}" for c in s) for s in (source, target))
    pairs = [("\t", " "), ("\n", " "), ("\r", " "), ("\u00a0", " "), ("\u3000", " "), ("½", "1/2"), ("²", "2"),
             ("ﬁ", "fi"), ("e\u0301", "é"), ("n\u0303", "ñ"), ("…", "..."), ("\u200b", ""), ("\ufeff", ""),
             ("１", "1"), ("ｆ", "f"), ("Ⅷ", "VIII"), ("\u0085", " "), ("’", "'"), ("👍🏽", "👍"), ("ab", "ba"), ("abc", "cab")]
    rules.write_text("\n".join(rule(*pair) for pair in pairs) + "\n")
    with tempfile.TemporaryDirectory() as folder:
        def spm(name, lines, **options):
            corpus = pathlib.Path(folder) / "corpus.txt"
            corpus.write_text("\n".join(lines))
            options = dict(input=str(corpus), hard_vocab_limit=False, num_threads=1, character_coverage=0.98,
                           minloglevel=2, vocab_size=400, model_prefix=str(MODELS / name), model_type="unigram",
                           normalization_rule_tsv=str(rules)) | options
            sentencepiece.SentencePieceTrainer.Train(**options)
            (MODELS / f"{name}.vocab").unlink()
            # Paths of this machine are not part of a model.
            model = spm_pb2.ModelProto.FromString((MODELS / f"{name}.model").read_bytes())
            for path in ["input", "model_prefix"]:
                model.trainer_spec.ClearField(path)
            model.normalizer_spec.ClearField("normalization_rule_tsv")
            (MODELS / f"{name}.model").write_bytes(model.SerializeToString(deterministic=True))
        spm("marian-source", mixed(lines), bos_id=-1, eos_id=0, unk_id=1, user_defined_symbols=["<user>"])
        spm("marian-target", mixed(OTHER), bos_id=-1, eos_id=0, unk_id=1, vocab_size=300, remove_extra_whitespaces=False)
        spm("fairseq-bpe", mixed(lines + OTHER), model_type="bpe", user_defined_symbols=["<user>"])
        spm("fairseq-bytes", mixed(lines), model_type="bpe", byte_fallback=True, vocab_size=620, split_digits=True,
            remove_extra_whitespaces=False, normalization_rule_name="identity", normalization_rule_tsv="")
        spm("fairseq-suffix", mixed(OTHER), vocab_size=250, treat_whitespace_as_suffix=True, add_dummy_prefix=True)
    rules.unlink()


def pieces(name):
    model = sentencepiece.SentencePieceProcessor(model_file=str(MODELS / f"{name}.model"))
    return [model.id_to_piece(id) for id in range(len(model))]


CASES = []


def case(name, models, languages=(), **files):
    """`models` are the names of models by their names in the folder; `languages` are pairs to translate between."""
    files = {f"{file}.json": content for file, content in files.items()}
    CASES.append({"name": name, "models": models, "files": files, "languages": [list(pair) for pair in languages]})


def given(content, **flags):
    return {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False} | flags


def cases():
    marian = {"source.spm": "marian-source", "target.spm": "marian-target"}
    both = list(dict.fromkeys(pieces("marian-source")[2:] + pieces("marian-target")[2:]))
    # Some pieces are in no vocabulary.
    both = [piece for index, piece in enumerate(both) if index % 40 != 7 and piece != "<user>"]
    vocab = {token: id for id, token in enumerate(["</s>", "<unk>"] + both + [">>fra<<", ">>deu<<", ">>cmn_Hans<<", "<pad>"])}
    config = {"tokenizer_class": "MarianTokenizer", "source_lang": "eng", "target_lang": "fra"}
    case("marian", marian, vocab=vocab, tokenizer_config=config)
    case("marian-old", marian, vocab=vocab, tokenizer_config={"target_lang": "fra", "source_lang": "eng"},
         config={"model_type": "marian"})
    case("marian-added", marian, vocab=vocab, tokenizer_config=config | {
        "model_max_length": 100, "clean_up_tokenization_spaces": True, "additional_special_tokens": ["<new>", ">>fra<<"],
        "added_tokens_decoder": {"0": given("</s>", special=True), "1": given("<unk>", special=True),
                                 "900": given("<use", special=False, rstrip=True, single_word=True),
                                 str(len(vocab) - 1): given("<pad>", special=True, lstrip=True)}})
    case("marian-split", marian, vocab=vocab, tokenizer_config=config | {"split_special_tokens": True},
         special_tokens_map={"eos_token": given("</s>", lstrip=True, rstrip=True)}, added_tokens={"<mask>": 901})
    own = {token: id for id, token in enumerate(["</s>", "<unk>"] + pieces("marian-target")[2:] + ["<pad>"])}
    case("marian-separate", marian, vocab=vocab, target_vocab=own, tokenizer_config=config | {"separate_vocabs": True})

    for model in ["fairseq-bpe", "fairseq-bytes", "fairseq-suffix"]:
        vocab = {token: id for id, token in enumerate(["<s>", "<pad>", "</s>", "<unk>"] + pieces(model)[3:-5])}
        m2m = {"sentencepiece.bpe.model": model}
        codes = transformers.models.m2m_100.tokenization_m2m_100.FAIRSEQ_LANGUAGE_CODES["m2m100"]
        listed = {"additional_special_tokens": [f"__{code}__" for code in codes]}
        case(f"m2m100-{model}", m2m, [("en", "fr"), ("zh", "ast")], vocab=vocab, special_tokens_map=listed,
             tokenizer_config={"tokenizer_class": "M2M100Tokenizer", "model_max_length": 1024})
    case("m2m100-bare", m2m, [("de", "en")], vocab=vocab, config={"model_type": "m2m_100"},
         tokenizer_config={"src_lang": "fr", "tgt_lang": "de"})
    case("m2m100-wmt21", m2m, [("de", "is")], vocab=vocab,
         tokenizer_config={"tokenizer_class": "M2M100Tokenizer", "language_codes": "wmt21", "src_lang": "ha"})

    model = {"sentencepiece.bpe.model": "fairseq-bpe"}
    case("plbart", model, [("java", "en_XX"), ("__python__", "java")],
         tokenizer_config={"tokenizer_class": "PLBartTokenizer"})
    case("plbart-multi", model, [("go", "php")], tokenizer_config={
        "tokenizer_class": "PLBartTokenizer", "language_codes": "multi", "src_lang": "python", "tgt_lang": "ruby",
        "additional_special_tokens": ["<new>", "__java__"], "clean_up_tokenization_spaces": False})
    case("byt5", {}, tokenizer_config={"tokenizer_class": "ByT5Tokenizer"})
    extra = [f"<extra_id_{index}>" for index in range(125)]
    typed = lambda content: {"__type": "AddedToken"} | given(content, normalized=True)
    case("byt5-real", {}, config={"model_type": "t5"}, tokenizer_config={
        "tokenizer_class": "ByT5Tokenizer", "eos_token": typed("</s>"), "unk_token": typed("<unk>"),
        "pad_token": typed("<pad>"), "extra_ids": 125, "additional_special_tokens": extra})
    case("byt5-few", {}, tokenizer_config={"tokenizer_class": "ByT5Tokenizer", "extra_ids": 3, "eos_token": "</s>"})
    case("byt5-none", {}, tokenizer_config={"tokenizer_class": "ByT5Tokenizer", "extra_ids": 0,
                                            "additional_special_tokens": ["<new>"]})

    # transformers converts these.
    nllb = [("eng_Latn", "fra_Latn"), ("zho_Hans", "ace_Arab")]
    unigram = {"sentencepiece.bpe.model": "unigram"}
    for name, model in [("bpe", model), ("unigram", unigram)]:
        case(f"nllb-{name}", model, nllb, tokenizer_config={"tokenizer_class": "NllbTokenizer"})
    case("nllb-legacy", model, nllb, tokenizer_config={"tokenizer_class": "NllbTokenizerFast", "legacy_behaviour": True,
                                                      "src_lang": "deu_Latn", "tgt_lang": "fra_Latn"})
    case("nllb-list", model, [("eng_Latn", "tyv_Cyrl")], tokenizer_config={
        "tokenizer_class": "NllbTokenizer", "additional_special_tokens": ["eng_Latn", "tyv_Cyrl", "<new>"],
        "mask_token": "<mask>"})
    case("nllb-decoder", model, nllb, tokenizer_config={
        "tokenizer_class": "NllbTokenizer", "added_tokens_decoder": {
            str(id): given(token, special=True, lstrip=token == "<mask>", normalized=token == "<mask>")
            for id, token in [(0, "<s>"), (1, "<pad>"), (2, "</s>"), (3, "<unk>"), (500, "fra_Latn"), (501, "<mask>")]}})
    mbart = [("en_XX", "fr_XX"), ("zh_CN", "de_DE")]
    for name in ["MBart", "MBart50"]:
        case(name.lower(), unigram, mbart, tokenizer_config={"tokenizer_class": f"{name}Tokenizer"})
        case(f"{name.lower()}-set", model, mbart, tokenizer_config={
            "tokenizer_class": f"{name}TokenizerFast", "src_lang": "fr_XX", "tgt_lang": "en_XX",
            "additional_special_tokens": ["<new>", "fr_XX"]})
    spiece = {"spiece.model": "t5"}
    case("pegasus", spiece, tokenizer_config={"tokenizer_class": "PegasusTokenizer", "model_max_length": 512})
    case("pegasus-offset", spiece, tokenizer_config={"tokenizer_class": "PegasusTokenizer", "offset": 9,
                                                     "additional_special_tokens": ["<new>"]})
    case("mt5", spiece, tokenizer_config={"tokenizer_class": "MT5Tokenizer", "extra_ids": 0,
                                          "additional_special_tokens": None})
    case("umt5", spiece, config={"model_type": "umt5"}, tokenizer_config={
        "tokenizer_class": "T5Tokenizer", "extra_ids": 30, "legacy": False,
        "additional_special_tokens": [f"<extra_id_{index}>" for index in range(30)]})
    case("bart", {"vocab.json": "gpt2-vocab.json", "merges.txt": "gpt2-merges.txt"},
         tokenizer_config={"tokenizer_class": "BartTokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>",
                           "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>", "sep_token": "<|endoftext|>",
                           "cls_token": "<|endoftext|>"})


def folder_of(case, folder):
    for name, source in case["models"].items():
        source = source if "." in source else f"{source}.model"
        shutil.copy(MODELS / source, folder / name)
    for name, content in case["files"].items():
        (folder / name).write_text(json.dumps(content))
    if "config.json" not in case["files"]:
        (folder / "config.json").write_text('{"model_type": "bart"}')


def decoded(tokenizer, ids):
    return [tokenizer.decode(ids), tokenizer.decode(ids, skip_special_tokens=True)]


def expected(tokenizer, languages):
    names = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
    result = {
        "vocab": len(tokenizer),
        "named": {name: [getattr(tokenizer, name), getattr(tokenizer, f"{name}_id")] for name in names
                  if getattr(tokenizer, name) is not None},
        "special_ids": sorted(set(tokenizer.all_special_ids)),
        "additional": list(dict.fromkeys(map(str, tokenizer.additional_special_tokens))),
        "max_length": tokenizer.model_max_length if tokenizer.model_max_length < 1e15 else None,
        "texts": [],
    }
    for text in TEXTS:
        ids = tokenizer(text)["input_ids"]
        one = {"ids": ids, "decoded": decoded(tokenizer, ids)}
        if tokenizer.is_fast:
            offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
            one["offsets"] = [number for pair in offsets for number in pair]
        result["texts"].append(one)
    plain = tokenizer(TEXTS[4], add_special_tokens=False)["input_ids"]
    result["plain"] = plain
    result["cut"] = tokenizer(TEXTS[7], truncation=True, max_length=6)["input_ids"]
    result["padded"] = tokenizer([TEXTS[3], TEXTS[7]], padding=True)["input_ids"]
    result["pair"] = tokenizer(TEXTS[3], TEXTS[4])["input_ids"]
    if not isinstance(tokenizer, transformers.BartTokenizerFast):
        result["words"] = tokenizer(["Hello", "world", "", "maison"], is_split_into_words=True)["input_ids"]
    draw = random.Random(len(tokenizer))
    most = len(tokenizer) if isinstance(tokenizer, transformers.ByT5Tokenizer) else len(tokenizer) + 3
    known = [id for id in range(most) if has(tokenizer, id)]
    result["random"] = [[ids, *decoded(tokenizer, ids)]
                        for ids in ([draw.choice(known) for _ in range(draw.randrange(1, 14))] for _ in range(30))]
    if hasattr(tokenizer, "_build_translation_inputs"):
        result["translations"] = []
        for source, target in languages:
            call = tokenizer._build_translation_inputs(TEXTS[4], return_tensors=None, src_lang=source, tgt_lang=target)
            tokenizer.tgt_lang = tokenizer._convert_lang_code_special_format(target) if hasattr(
                tokenizer, "_convert_lang_code_special_format") else target
            result["translations"].append({"source": source, "target": target, "ids": call["input_ids"],
                                           "bos": call["forced_bos_token_id"],
                                           "labels": tokenizer(text_target=TEXTS[7])["input_ids"]})
    else:
        result["labels"] = [tokenizer(text_target=text)["input_ids"] for text in TEXTS]
    return result


def has(tokenizer, id):
    try:
        tokenizer.decode([id])
        return True
    except Exception:
        return False


def main():
    train()
    TEXTS.extend(TIES)
    cases()
    for case in CASES:
        with tempfile.TemporaryDirectory() as folder:
            folder_of(case, pathlib.Path(folder))
            case["expected"] = expected(AutoTokenizer.from_pretrained(folder), case["languages"])
        print(case["name"], case["expected"]["vocab"])
    head = {"from": f"transformers {transformers.__version__}, sentencepiece {sentencepiece.__version__}", "texts": TEXTS}
    head = json.dumps(head, ensure_ascii=False, separators=(",", ":"))
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in CASES)
    (HERE / "translation.json").write_text(f'{head[:-1]},"cases":[\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
