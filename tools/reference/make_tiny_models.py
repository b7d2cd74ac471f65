#!/usr/bin/env python3
"""Writes tiny random models with shapes that every format can hold, for the checks of exports (check_mlx.py, check_gptq.py).

    python3 tools/reference/make_tiny_models.py FOLDER

Needs torch and transformers. FOLDER/NAME holds config.json and model.safetensors in BF16, by transformers' own code.
"""
import pathlib
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM

SIZES = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 128, "bos_token_id": 1, "eos_token_id": 2,
         "pad_token_id": 0}
EXPERTS = {"num_local_experts": 4, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32,
           "shared_expert_intermediate_size": 64}
# name → model_type and what differs
MODELS = {
    "llama": ("llama", {"tie_word_embeddings": False}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"tie_word_embeddings": False}),
    "mistral": ("mistral", {"sliding_window": None}),
    "gemma": ("gemma", {}),
    "gemma2": ("gemma2", {"query_pre_attn_scalar": 16, "sliding_window": 64}),
    "gemma3": ("gemma3_text", {"num_hidden_layers": 6, "query_pre_attn_scalar": 16, "sliding_window": 64}),
    "phi3": ("phi3", {}),
    "opt": ("opt", {"ffn_dim": 128, "word_embed_proj_dim": 64}),
    "gpt2": ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128, "n_inner": 128}),
    "gpt-neox": ("gpt_neox", {"intermediate_size": 256}),
    "mixtral": ("mixtral", {**EXPERTS, "sliding_window": None}),
    "qwen2-moe": ("qwen2_moe", EXPERTS),
    "qwen3-moe": ("qwen3_moe", {**EXPERTS, "norm_topk_prob": True}),
    "olmoe": ("olmoe", EXPERTS),
    "gpt-oss": ("gpt_oss", {**EXPERTS, "sliding_window": 64}),
}


def main():
    folder = pathlib.Path(sys.argv[1])
    for number, (name, (kind, more)) in enumerate(MODELS.items()):
        torch.manual_seed(number)
        config = AutoConfig.for_model(kind, **{**SIZES, **more})
        model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
        for key, value in model.named_parameters():
            with torch.no_grad():
                if value.dim() > 1:
                    value.normal_(std=0.3 if value.dim() < 3 else 0.2)
                else:
                    value.add_(0.2 * torch.randn_like(value))
        model.save_pretrained(folder / name)
        print(folder / name)


if __name__ == "__main__":
    main()
