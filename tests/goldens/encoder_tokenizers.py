"""Small real tokenizers for the tiny encoders: WordPiece, byte-level BPE, unigram; each of VOCAB pieces, special tokens first."""

import json

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

VOCAB = 320
TEXT = [
    "The light of the candle and the sconce on the wall.",
    "Angela Merkel lives in Berlin, and Hugging Face Inc. is a company in New York City!",
    "I love this movie; I hate that film. It was good, it was bad, was it not?",
    "Where does Wolfgang live? He lives in Paris, the capital of France, since 1999.",
    "Paris est la capitale de la France; les bougies sont sur le mur.",
] * 4


def save(kind, folder, max_length):
    tokenizer, config = {"wordpiece": wordpiece, "bytes": bytes_, "unigram": unigram}[kind]()
    assert tokenizer.get_vocab_size() <= VOCAB, tokenizer.get_vocab_size()
    (folder / "tokenizer.json").write_text(tokenizer.to_str())
    config |= {"model_max_length": max_length, "clean_up_tokenization_spaces": False}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def special(tokens):
    return [AddedToken(token, special=True, normalized=False, lstrip=token == "<mask>") for token in tokens]


def wordpiece():
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(TEXT, trainers.WordPieceTrainer(vocab_size=VOCAB, special_tokens=special(tokens), show_progress=False))
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    names = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    return tokenizer, {"tokenizer_class": "BertTokenizer", "do_lower_case": True} | names


def bytes_():
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=VOCAB, initial_alphabet=alphabet, special_tokens=special(tokens), show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    return tokenizer, {"tokenizer_class": "RobertaTokenizer", "add_prefix_space": False} | roberta_names()


def unigram():
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=VOCAB, special_tokens=special(tokens), unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer, {"tokenizer_class": "PreTrainedTokenizerFast"} | roberta_names()


def roberta_names():
    return dict(
        bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>", pad_token="<pad>", unk_token="<unk>", mask_token="<mask>"
    )
