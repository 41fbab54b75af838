"""One layer of an encoder-decoder's decoder, by the reference: `layers/{bart,t5}/model.safetensors` with its weights under our names,
hidden states of two rows that go in (`x`, one row after the other), those of the rows' sources (`source`), and what comes out (`y`).

Run with transformers 4.57.6 and torch 2.9.1: `python make_layers.py`.
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import BartConfig, T5Config
from transformers.models.bart.modeling_bart import BartDecoderLayer
from transformers.models.t5.modeling_t5 import T5Block

HERE = Path(__file__).parent / "layers"
ROWS, SOURCES = [30, 5], [7, 12]
HIDDEN = 16

BART = {
    "self_attn.q_proj": "attn.q", "self_attn.k_proj": "attn.k", "self_attn.v_proj": "attn.v", "self_attn.out_proj": "attn.o",
    "encoder_attn.q_proj": "cross.q", "encoder_attn.k_proj": "cross.k", "encoder_attn.v_proj": "cross.v", "encoder_attn.out_proj": "cross.o",
    "self_attn_layer_norm": "attn_norm", "encoder_attn_layer_norm": "cross_norm", "final_layer_norm": "mlp_norm",
    "fc1": "mlp.up", "fc2": "mlp.down",
}
T5 = {
    "layer.0.SelfAttention.q": "attn.q", "layer.0.SelfAttention.k": "attn.k", "layer.0.SelfAttention.v": "attn.v",
    "layer.0.SelfAttention.o": "attn.o", "layer.0.SelfAttention.relative_attention_bias": "relative", "layer.0.layer_norm": "attn_norm",
    "layer.1.EncDecAttention.q": "cross.q", "layer.1.EncDecAttention.k": "cross.k", "layer.1.EncDecAttention.v": "cross.v",
    "layer.1.EncDecAttention.o": "cross.o", "layer.1.layer_norm": "cross_norm",
    "layer.2.DenseReluDense.wi_0": "mlp.gate", "layer.2.DenseReluDense.wi_1": "mlp.up", "layer.2.DenseReluDense.wo": "mlp.down",
    "layer.2.layer_norm": "mlp_norm",
}


def bart():
    config = BartConfig(d_model=HIDDEN, decoder_attention_heads=2, decoder_ffn_dim=24, dropout=0.0, attn_implementation="eager")
    return BartDecoderLayer(config, layer_idx=0), BART


def t5():
    config = T5Config(
        d_model=HIDDEN, d_kv=8, d_ff=24, num_heads=3, relative_attention_num_buckets=8, relative_attention_max_distance=20,
        feed_forward_proj="gated-gelu", is_decoder=True, dropout_rate=0.0,
    )
    return T5Block(config, has_relative_attention_bias=True, layer_idx=0), T5


def main():
    for name, make in (("bart", bart), ("t5", t5)):
        torch.manual_seed(1)
        layer, names = make()
        layer.eval()
        for parameter in layer.parameters():
            parameter.data = torch.randn_like(parameter) * 0.5 + (1.0 if parameter.dim() == 1 else 0.0)
        inputs, sources, outputs = [], [], []
        for length, source_length in zip(ROWS, SOURCES):
            x, source = torch.randn(1, length, HIDDEN), torch.randn(1, source_length, HIDDEN)
            mask = torch.full((length, length), torch.finfo(torch.float32).min).triu(1)[None, None]
            places = torch.arange(length)
            extra = {"cache_position": places} if name == "t5" else {}
            with torch.no_grad():
                y = layer(x, attention_mask=mask, encoder_hidden_states=source, **extra)[0]
            for tensors, tensor in ((inputs, x), (sources, source), (outputs, y)):
                tensors.append(tensor[0])
        tensors = {}
        for their, tensor in layer.state_dict().items():
            module, kind = their.rsplit(".", 1)
            tensors[f"{names[module]}.{kind}"] = tensor.contiguous()
        tensors |= {"x": torch.cat(inputs), "source": torch.cat(sources), "y": torch.cat(outputs)}
        folder = HERE / name
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "model.safetensors")


if __name__ == "__main__":
    main()
