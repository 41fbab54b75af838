#!/usr/bin/env python3
"""What Python makes of Whisper's tokens, of texts to compare, and of transcripts to write.

    pip install transformers==4.57.6 tokenizers==0.22.2 torch==2.9.1 jiwer==4.0.0
    pip download --no-deps openai-whisper==20250625    # unpacked: only whisper/utils.py is read
    python tests/goldens/make_transcripts.py PATH/whisper/utils.py
    cargo test --features audio --test transcripts

Writes tests/goldens/transcripts/:

    tokenizer/          a Whisper tokenizer of 256 bytes and some merges, with timestamps up to 3 seconds; later ones are
                        unknown tokens, as all are in the oldest repositories
    decode_asr.json     what `_decode_asr` makes of windows: those that a model could write, and random ones
    decode.json         `decode`, with timestamps, with offsets; prefixes and prompts
    normalizers.json    the two normalizers and the table of spellings
    error_rates.json    word and character error rates of jiwer
    writers.json        the files of openai-whisper
"""

import importlib.util
import io
import itertools
import json
import random
import sys
import warnings
from pathlib import Path

import jiwer
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import WhisperTokenizerFast
from transformers.models.whisper.english_normalizer import BasicTextNormalizer, EnglishTextNormalizer
from transformers.models.whisper.tokenization_whisper import LANGUAGES
from transformers.utils import logging

logging.set_verbosity_error()
warnings.filterwarnings("ignore")
HERE = Path(__file__).parent / "transcripts"

TEXTS = [
    " And so my fellow Americans, ask not what your country can do for you; ask what you can do for your country.",
    " “Well,” she said (quietly), “it isn't so bad!” — No? 'Tis 3.5 % of $20... [music]",
    " Grüß Gott, Welt! Ça va? ¿Qué tal, señor? ¡Hola!",
    "今天天气很好，我们去公园吧。你说呢？",
    "吾輩は猫である。名前はまだ無い。",
    " Съешь же ещё этих мягких французских булок.",
    " \U0001f600 \U0001f468‍\U0001f469‍\U0001f467 emoji e\u0301 end",
    "สวัสดีชาวโลก",
]


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    special = ["<|endoftext|>", "<|startoftranscript|>", *(f"<|{code}|>" for code in LANGUAGES)]
    special += ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>"]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    tokenizer.add_tokens([AddedToken(f"<|{step * 0.02:.2f}|>", normalized=True) for step in range(151)])
    fast = WhisperTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=special[1:], pad_token=special[0],
                                clean_up_tokenization_spaces=True)
    folder = HERE / "tokenizer"
    fast.save_pretrained(folder)
    # As written, the folder says everything twice and thrice.
    for file in folder.iterdir():
        if file.name not in ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]:
            file.unlink()
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["added_tokens_decoder"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1))
    compact = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(compact, ensure_ascii=False))
    return WhisperTokenizerFast.from_pretrained(folder)


def write(name, value):
    (HERE / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


# --- tokens -------------------------------------------------------------------------------------


class Cases:
    def __init__(self, tokenizer, seed):
        self.tokenizer, self.random = tokenizer, random.Random(seed)
        self.begin = tokenizer.convert_tokens_to_ids("<|notimestamps|>") + 1

    def text(self, text=None):
        return self.tokenizer(text or self.random.choice(TEXTS), add_special_tokens=False)["input_ids"]

    def language(self):
        return self.tokenizer.convert_tokens_to_ids(f"<|{self.random.choice(['en', 'de', 'ja', 'zh', 'th', 'haw'])}|>")

    def prefix(self, language):
        name = self.tokenizer.convert_tokens_to_ids
        start = [name("<|startoftranscript|>")] + ([language] if language else [])
        return self.random.choice([[], start, start + [name("<|transcribe|>")], [name("<|startofprev|>")] + self.text()[:5] + start])

    def spoken(self, seconds, windows):
        """What a model could write about a recording, whole or in windows that overlap."""
        step, moments, now = 0.02, [], 0.0
        while now < seconds:
            words = self.text()
            cut = self.random.randrange(1, len(words) + 1)
            end = now + self.random.uniform(0.3, 6.0)
            moments.append((now, min(end, seconds), words[:cut]))
            now = end + self.random.choice([0.0, 0.0, 0.5, 1.2])
        language = self.random.choice([None, self.language()])
        length, left, right = windows or (seconds, 0.0, 0.0)
        outputs, at = [], 0.0
        while True:
            is_last = at + length >= seconds
            size = min(length, seconds - at)
            ids = self.prefix(language)
            if windows and self.random.random() < 0.1:
                language = self.language()
                ids = self.prefix(language)
            stamps = [0.0] * len(ids)
            for start, end, words in moments:
                start, end = start - at, end - at
                if end <= 0 or start >= size:
                    continue
                from_, to = max(start, 0.0), min(end, size)
                share = lambda x: int((x - start) / (end - start) * len(words))
                heard = words[share(from_):max(share(to), share(from_) + 1)]
                heard = [self.random.choice(words) if self.random.random() < 0.05 else word for word in heard]
                jitter = self.random.choice([0, 0, 0, 1, -1])
                ids.append(self.begin + max(0, round(from_ / step) + jitter))
                stamps.append(from_)
                for number, word in enumerate(heard):
                    ids.append(word)
                    stamps.append(from_ + (to - from_) * (number + 1) / len(heard))
                if not (end > size and self.random.random() < 0.7):
                    ids.append(self.begin + round(to / step))
                    stamps.append(to)
            if self.random.random() < 0.5:
                ids.append(self.tokenizer.eos_token_id)
                stamps.append(size)
            output = {"tokens": ids, "token_timestamps": [round(t, 3) for t in stamps]}
            if windows:
                output["stride"] = [size, left if at else 0.0, 0.0 if is_last else right]
            outputs.append(output)
            if is_last:
                return outputs
            at += length - left - right

    def noise(self):
        """Anything at all."""
        outputs = []
        for number in range(self.random.randrange(1, 5)):
            ids = []
            for _ in range(self.random.randrange(0, 25)):
                kind = self.random.random()
                if kind < 0.4:
                    ids += self.text()[:self.random.randrange(1, 6)]
                elif kind < 0.9:
                    ids.append(self.begin + self.random.choice([0, 5, 20, 20, 50, 75, 120, 150, 151, 900, 1500]))
                elif kind < 0.95:
                    ids.append(self.language())
                else:
                    ids.append(self.random.randrange(self.begin))
            output = {"tokens": ids, "token_timestamps": sorted(round(self.random.uniform(0.0, 30.0), 3) for _ in ids)}
            if self.random.random() < 0.7:
                output["stride"] = self.random.choice([[30.0, 5.0, 5.0], [30.0, 0.0, 5.0], [12.5, 5.0, 0.0], [3.0, 0.5, 0.5]])
            outputs.append(output)
        return outputs


def decode_asr(tokenizer):
    cases = Cases(tokenizer, 0)
    inputs = [cases.spoken(cases.random.uniform(0.5, 70.0), None) for _ in range(14)]
    inputs += [cases.spoken(cases.random.uniform(5.0, 90.0), windows) for windows in
               [(30.0, 5.0, 5.0), (10.0, 10 / 6, 10 / 6), (3.0, 0.5, 0.5), (20.0, 0.0, 3.0), (30.0, 4.0, 0.0)] for _ in range(7)]
    inputs += [cases.noise() for _ in range(70)]
    inputs += [[], [{"tokens": [], "token_timestamps": []}]]
    written = []
    for outputs in inputs:
        case = {"outputs": outputs, "expected": []}
        for timestamps in [False, True, "word"]:
            arguments = lambda: [{"tokens": torch.tensor([output["tokens"]], dtype=torch.long),
                                  "token_timestamps": torch.tensor([output["token_timestamps"]], dtype=torch.float64)}
                                 | ({"stride": tuple(output["stride"])} if "stride" in output else {}) for output in outputs]
            run = lambda language: tokenizer._decode_asr(arguments(), return_timestamps=timestamps, return_language=language,
                                                         time_precision=0.02)
            try:
                text, optional = run(True)
            except IndexError:  # Words that end in half a character, where spaces were cleaned up before.
                case["expected"].append(None)
                continue
            plain, chunks = run(False)
            assert plain == text, "asking for the language changes nothing else"
            for one, other in zip(chunks.get("chunks", []), optional["chunks"]):
                assert one == {name: value for name, value in other.items() if name != "language"}
            case["expected"].append({"text": text, **optional})
        written.append(case)
    write("decode_asr.json", written)


def decode(tokenizer):
    cases = Cases(tokenizer, 1)
    ids = [output["tokens"] for _ in range(40) for output in cases.spoken(cases.random.uniform(1.0, 40.0), None)]
    ids += [output["tokens"] for _ in range(60) for output in cases.noise()] + [[]]
    # Long form: windows one after the other.
    ids += [cases.spoken(8.0, None)[0]["tokens"] + cases.spoken(5.0, None)[0]["tokens"] for _ in range(20)]
    written = []
    for one in ids:
        row = {"ids": one}
        for skip in [False, True]:
            row[f"text_{skip}"] = tokenizer.decode(one, skip_special_tokens=skip)
            row[f"timestamps_{skip}"] = tokenizer.decode(one, skip_special_tokens=skip, decode_with_timestamps=True)
        row["offsets"] = tokenizer.decode(one, output_offsets=True)["offsets"] if one else []
        written.append(row)
    prefixes = []
    for language, task, timestamps in itertools.product([None, "french", "fr", "Castilian", "klingon"],
                                                        [None, "transcribe", "translate"], [None, False, True]):
        fresh = WhisperTokenizerFast.from_pretrained(HERE / "tokenizer")
        try:
            fresh.set_prefix_tokens(language, task, timestamps)
            ids = fresh("Hello there.")["input_ids"]
        except ValueError:
            ids = None
        prefixes.append({"language": language, "task": task, "timestamps": timestamps, "ids": ids})
    prompts = []
    for text in ["Hello", "  two words ", "", "with <|en|> inside", "ends <|0.00|>", "“Quoted”\n"]:
        try:
            ids = tokenizer.get_prompt_ids(text).tolist()
        except ValueError:
            ids = None
        prompts.append({"text": text, "ids": ids})
    write("decode.json", {"decode": written, "prefixes": prefixes, "prompts": prompts})


# --- texts --------------------------------------------------------------------------------------

SPELLINGS = {"colour": "color", "favourite": "favorite", "organise": "organize", "grey": "gray", "metre": "meter", "aluminium": "aluminum"}
ENGLISH = [
    "", " ", "Hello, World!", "It's five o'clock.", "Mr. O'Neil and Mrs. Smith", "one oh one", "The World's best", "3.5 million",
    "twenty-one dollars and 5 cents", "a two", "$20 million", "1960s and the 274th", "thirty two point five percent",
    "nineteen eighty four", "double oh seven", "triple five", "double trouble", "minus ten degrees", "plus or minus",
    "two and a half million", "three hundred and forty two thousand, five hundred and sixty-seven", "per cent", "ten per cent",
    "five hundred million trillion", "one decillion nine hundred ninety nine decillion decillion", "zero", "zero zero seven",
    "oh well", "the twenty first century", "twenty second", "forties and fifties", "sixths", "hundreds of thousands",
    "€5 and ¢7", "$2 and ¢7", "$0.07", "£1,000,000.50", "1 and 1s", "one one one", "ten ten", "eleven hundred", "twenty hundred",
    "5th avenue 12 th street", "a1b2c3", "192.168.0.1 is home", "v1.2.3", "point five", "point", "point blank", "and a half",
    "six and a half", "him and a half", "I can't, won't and shan't; y'all gonna wanna", "he'd been, she's gone, they'd done it, I've it's",
    "[laughs] (music) <unk> hello [incomplete", "favourite colours and colour of aluminium", "naïve café Ærø Straße łódź ÐÞ",
    "uh um hmm mhm mm yes", "hello 'there'", "100% 50 % %", "$ € £", "...", "e.g. this. And that", "٣ apples and १२.५ pears", "½ ² ③",
    "first second third fourth fifth sixth ninth nineth eighth twelfth twentieth hundredth", "seven hundred forty",
    "one hundred one", "one hundred and one", "two thousand and", "three thousand three", "fifty cents", "five dollars ten cents",
    "one thousand million", "zero million", "0 thousand", "1.5 thousand", "1.23456 thousand", "3. thousand", "minus", "negative five dollars",
    "twenty twenty", "twenty five five", "nine nine nine dollars", "1 2 3", "10 5", "100 5 dollars", "12.0 percent", "don't\u2019s",
    "ma'am, I'ma be there", "St. John's Rd.", "Dr Who", "lt col gen sen rep", "a\x1cb\u00a0c\u2003d", "١٢٣ thousand", "7 hundredth",
    "12345678901234567890123456789012345678901234567890 and one million",
]
OTHERS = ["Grüß Gott! Ça va?", "今天，天气。", "สวัสดี ชาวโลก", "İstanbul'da", "नमस्ते दुनिया", "ﬁne ①②③ Å", "ΣΑΣ ΟΔΟΣ", "(a) [b] <c> (d", "x (y) (z", "«Да» — нет…"]
WORDS = ("one two three five six nine ten eleven twelve nineteen twenty thirty ninety hundred thousand million billion decillion zero oh "
         "and a half double triple point per cent percent dollars cents euros pounds minus plus first second third fifth twelfth tens "
         "twenties millions thousandth sixes 1 7 10 42 100 1000 3.5 0 0.5 12.0 $5 £3.20 ¢9 st the of cat mr i'm can't isn't o").split()


def normalizers():
    english, numbers = EnglishTextNormalizer(SPELLINGS), random.Random(2)
    texts = ENGLISH + OTHERS + TEXTS
    texts += [" ".join(numbers.choices(WORDS, k=numbers.randrange(1, 9))) for _ in range(1500)]
    rows = []
    for text in texts:
        try:
            normal = english(text)
        except Exception:  # What Python trips over.
            normal = None
        rows.append([text, normal, BasicTextNormalizer()(text), BasicTextNormalizer(remove_diacritics=True)(text)])
    write("normalizers.json", {"spellings": SPELLINGS, "rows": rows})


def error_rates():
    draws, rows = random.Random(3), []
    pairs = [("", "a b"), ("", ""), ("a b", ""), ("a  b", "a b"), ("a\tb", "a b"), (" a\t\nb ", "a b"), ("the cat sat", "the cat sits down"), ("a\u00a0b", "a b")]
    pairs += [tuple(" ".join(draws.choices("abcd", k=draws.randrange(0, 12))) for _ in range(2)) for _ in range(60)]
    for reference, hypothesis in pairs:
        rows.append([reference, hypothesis, jiwer.wer(reference, hypothesis), jiwer.cer(reference, hypothesis)])
    write("error_rates.json", rows)


# --- files --------------------------------------------------------------------------------------


def writers(path):
    spec = importlib.util.spec_from_file_location("whisper_utils", path)
    utils = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(utils)
    draws = random.Random(4)

    def transcript(words, seconds):
        segments, now = [], draws.choice([0.0, 0.0, 3599.5])
        while now < seconds or not segments:
            texts = draws.choices([" And", " so,", " my", " fellow", "-Americans", " \u201cask", " not\u201d", " ça", " 東京", " a", " incomprehensibilities"],
                                  k=draws.randrange(1, 14))
            end = now + 0.3 * len(texts) + draws.choice([0.0005, 0.0015, 0.1234, 0.0])
            segment = {"start": now, "end": end, "text": "".join(texts)}
            if words:
                step = (end - now) / len(texts)
                segment["words"] = [{"word": text, "start": now + number * step + draws.choice([0.0, 0.01]), "end": now + (number + 1) * step}
                                    for number, text in enumerate(texts)]
            segments.append(segment)
            now = end + draws.choice([0.0, 0.0, 1.0, 4.0])
        return {"text": "".join(segment["text"] for segment in segments), "segments": segments, "language": "en"}

    transcripts = [transcript(words, seconds) for words in [False, True] for seconds in [2.0, 20.0, 40.0, 3605.0 if words else 3620.0]]
    transcripts = [one for one in transcripts if len(one["segments"]) < 60]
    transcripts += [{"text": "", "segments": [], "language": "en"},
                    {"text": " a --> b", "segments": [{"start": 359999.9996, "end": 360000.4, "text": " a --> b\tc "}], "language": "en"}]
    options = [{}, {"highlight_words": True}, {"max_line_width": 20}, {"max_line_width": 12, "max_line_count": 2}, {"max_words_per_line": 3},
               {"max_line_width": 30, "max_line_count": 1, "highlight_words": True}, {"max_words_per_line": 1, "highlight_words": True},
               {"max_line_width": 25, "max_words_per_line": 4}, {"max_line_width": 1, "max_line_count": 3}]
    rows = []
    for one in transcripts:
        files = []
        for option in options:
            for kind in ["srt", "vtt"]:
                out = io.StringIO()
                utils.get_writer(kind, ".").write_result(one, file=out, options=None, **option)
                files.append({"format": kind, "options": option, "text": out.getvalue()})
            if "words" not in (one["segments"] or [{}])[0]:
                break
        for kind in ["txt", "tsv", "json"]:
            out = io.StringIO()
            utils.get_writer(kind, ".").write_result(one, file=out, options=None)
            files.append({"format": kind, "options": {}, "text": out.getvalue()})
        rows.append({"transcript": one, "files": files})
    write("writers.json", rows)


def main():
    HERE.mkdir(exist_ok=True)
    tokenizer = make_tokenizer()
    decode_asr(tokenizer)
    decode(tokenizer)
    normalizers()
    error_rates()
    writers(sys.argv[1])


if __name__ == "__main__":
    main()
