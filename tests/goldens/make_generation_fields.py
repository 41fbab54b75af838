"""Writes tests/goldens/generation_fields.json: every field of transformers' GenerationConfig, as a file of it has the field.

    pip install transformers==4.57.6 torch==2.9.1
    python tests/goldens/make_generation_fields.py

Each field has another value than its default. The script fails if a field of the class has no value here.
"""

import json
from pathlib import Path

from transformers import GenerationConfig
from transformers.generation.configuration_utils import SynthIDTextWatermarkingConfig, WatermarkingConfig

HERE = Path(__file__).parent
# Fields that say where a file comes from; objects that no file holds.
WITHOUT = {"_commit_hash", "_from_model_config", "transformers_version", "constraints", "compile_config"}
VALUES = {
    "max_length": [100], "max_new_tokens": [7], "min_length": [3], "min_new_tokens": [2], "early_stopping": [True, "never"],
    "max_time": [2.5], "stop_strings": ["###", ["a", "b"]], "do_sample": [True], "num_beams": [4], "num_beam_groups": [2],
    "penalty_alpha": [0.6], "dola_layers": ["low", [0, 2]], "use_cache": [False], "cache_implementation": ["static"],
    "cache_config": [{"backend": "quanto"}], "return_legacy_cache": [True], "prefill_chunk_size": [64],
    "temperature": [0.7], "top_k": [5, 0], "top_p": [0.9], "min_p": [0.1], "typical_p": [0.8], "epsilon_cutoff": [0.01],
    "eta_cutoff": [0.02], "repetition_penalty": [1.2], "encoder_repetition_penalty": [1.1], "length_penalty": [2.0],
    "no_repeat_ngram_size": [3], "bad_words_ids": [[[3], [4, 5]]], "force_words_ids": [[[3, 4], [[5], [6, 7]]], [[3, 4]]],
    "diversity_penalty": [0.5], "renormalize_logits": [True], "forced_bos_token_id": [9],
    "forced_eos_token_id": [9, [9, 10]], "remove_invalid_values": [True], "exponential_decay_length_penalty": [[4, 1.5]],
    "suppress_tokens": [[3, 4]], "begin_suppress_tokens": [[5]], "sequence_bias": [[[[3, 4], -2.5], [[5], 1.0]]],
    "token_healing": [True], "guidance_scale": [1.5], "low_memory": [True],
    "watermarking_config": [
        {"greenlist_ratio": 0.5, "bias": 3.0},
        WatermarkingConfig(bias=2.5, seeding_scheme="selfhash", context_width=2),
        SynthIDTextWatermarkingConfig(ngram_len=5, keys=[654, 400, 836]),
    ],
    "num_return_sequences": [3], "output_attentions": [True], "output_hidden_states": [True], "output_scores": [True],
    "output_logits": [True], "return_dict_in_generate": [True], "pad_token_id": [0], "bos_token_id": [1],
    "eos_token_id": [2, [2, 3]], "encoder_no_repeat_ngram_size": [2], "decoder_start_token_id": [4], "is_assistant": [True],
    "num_assistant_tokens": [9], "num_assistant_tokens_schedule": ["heuristic", "heuristic_transient"],
    "assistant_confidence_threshold": [0.2], "prompt_lookup_num_tokens": [6], "max_matching_ngram_size": [3],
    "assistant_early_exit": [2], "assistant_lookbehind": [5], "target_lookbehind": [6], "disable_compile": [True],
}

plain = GenerationConfig()
names = (set(vars(plain)) | set(plain.to_dict())) - WITHOUT
assert names == set(VALUES), (sorted(names - set(VALUES)), sorted(set(VALUES) - names))
fields = {}
for name in sorted(VALUES):
    for value in VALUES[name]:
        config = GenerationConfig()
        setattr(config, name, value)
        written = json.loads(config.to_json_string(use_diff=True)).get(name)
        assert written is not None, name
        fields.setdefault(name, []).append(written)
lines = ",\n".join(f" {json.dumps(name)}: {json.dumps(values)}" for name, values in fields.items())
(HERE / "generation_fields.json").write_text(f"{{\n{lines}\n}}\n")
print(len(fields), "fields")
