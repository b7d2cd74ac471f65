#!/usr/bin/env python3
"""Whether odd configurations mean here what they mean in transformers.

    check_configs.py [PROGRAM [COUNT [SEED]]]      build/quantdial, 300 checkpoints

Tiny random checkpoints of all families get keys of other families, odd values of their own, rotary positions of every
kind in every place, and heads that are tied, are not, or are alone. What transformers loads must give the same logits.
Two things differ, and are printed as known: windowed layers of qwen2_moe without use_sliding_window (transformers: a
window of 0, which sees nothing) and head_dim of gpt_neox (it halves what is rotated there). Needs torch and
transformers 5.
"""
import copy
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"

import numpy as np
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_torch, save_file
from transformers import AutoConfig, AutoModelForCausalLM

SIZES = dict(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, vocab_size=64, max_position_embeddings=64)
LLAMA = dict(SIZES, intermediate_size=48, num_key_value_heads=2)
EXPERTS = dict(LLAMA, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16)
FAMILIES = {
    "llama": LLAMA,
    "mistral": dict(LLAMA, sliding_window=None),
    "qwen2": LLAMA,
    "qwen3": dict(LLAMA, head_dim=8),
    "gemma": dict(LLAMA, head_dim=8),
    "gemma2": dict(LLAMA, head_dim=8),
    "gemma3_text": dict(LLAMA, head_dim=8),
    "phi3": dict(LLAMA, pad_token_id=0),
    "gpt2": dict(n_embd=32, n_layer=3, n_head=4, n_positions=64, vocab_size=64),
    "gpt_neo": dict(hidden_size=32, num_layers=4, num_heads=4, max_position_embeddings=64, vocab_size=64,
                    attention_types=[[["global", "local"], 2]], window_size=4),
    "gpt_neox": dict(SIZES, intermediate_size=48, rotary_pct=0.5),
    "opt": dict(SIZES, ffn_dim=48),
    "bloom": dict(hidden_size=32, n_layer=3, n_head=4, vocab_size=64),
    "falcon": SIZES,
    "mixtral": dict(LLAMA, num_local_experts=4),
    "qwen2_moe": dict(EXPERTS, shared_expert_intermediate_size=24),
    "qwen3_moe": dict(EXPERTS, head_dim=8),
}
ODD = {
    "sliding_window": [4, 8, None], "use_sliding_window": [True], "max_window_layers": [0, 1, 2],
    "sliding_window_pattern": [2, 3], "_sliding_window_pattern": [2], "window_size": [2], "layer_types": ["random"],
    "final_logit_softcapping": [5.0, None], "attn_logit_softcapping": [2.0, None], "query_pre_attn_scalar": [64, 3],
    "num_key_value_heads": [3, 5, 1, None], "num_kv_heads": [1, 2], "n_head_kv": [3], "head_dim": [16, 4, None],
    "attention_bias": [True], "mlp_bias": [True], "bias": [True], "enable_bias": [False], "qkv_bias": [False],
    "scale_attn_weights": [False], "scale_attn_by_inverse_layer_idx": [True], "use_parallel_residual": [False],
    "parallel_attn": [False], "new_decoder_architecture": [True], "multi_query": [False], "alibi": [True],
    "num_ln_in_parallel_attn": [1], "do_layer_norm_before": [False], "word_embed_proj_dim": [16],
    "apply_residual_connection_post_layernorm": [True], "partial_rotary_factor": [0.5], "rotary_pct": [0.25],
    "rotary_emb_base": [100], "rope_theta": [300.0], "rope_local_base_freq": [77.0],
    "original_max_position_embeddings": [8, 32], "norm_topk_prob": [True], "decoder_sparse_step": [2],
    "mlp_only_layers": [[1]], "shared_expert_intermediate_size": [8], "intermediate_size": [20], "n_inner": [20],
    "ffn_hidden_size": [20], "rms_norm_eps": [0.1], "layer_norm_eps": [0.1], "layer_norm_epsilon": [0.1],
    "hidden_act": ["relu", "gelu"], "activation_function": ["relu", "gelu"], "hidden_activation": ["relu", "gelu"],
    "activation": ["relu", "gelu"], "tie_word_embeddings": [True, False], "logits_scaling": [2.0],
    "attention_multiplier": [0.1], "qk_layernorm": [True], "clip_qkv": [0.1],
}
EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight")
HEADS = ("lm_head.weight", "embed_out.weight")


def rope(rng, dims):
    kind = rng.choice(["default", "linear", "dynamic", "llama3", "yarn", "longrope"])
    out = {rng.choice(["rope_type", "type"]): kind}
    if kind != "default":
        out["factor"] = rng.choice([2.0, 4.0])
    if kind == "llama3":
        out.update(low_freq_factor=1.0, high_freq_factor=4.0)
    if kind == "longrope":
        for key in ("short_factor", "long_factor"):
            out[key] = [round(rng.uniform(1, 3), 3) for _ in range(dims // 2)]
        if rng.random() < 0.5:
            del out["factor"]
    if kind in ("llama3", "yarn", "longrope") and rng.random() < 0.7:
        out["original_max_position_embeddings"] = rng.choice([8, 16, 32])
    if kind == "yarn" and rng.random() < 0.3:
        out["truncate"] = False
    if rng.random() < 0.3:
        out["rope_theta"] = rng.choice([500.0, 1e5])
    return out


def configuration(rng):
    family = rng.choice(list(FAMILIES))
    config = dict(copy.deepcopy(FAMILIES[family]), model_type=family)
    for key in rng.sample(list(ODD), rng.randint(0, 6)):
        value = rng.choice(ODD[key])
        kinds = ["sliding_attention", "full_attention"]
        config[key] = [rng.choice(kinds) for _ in range(3)] if value == "random" else value
    dims = 4 if family == "gpt_neox" else 8
    place = rng.randrange(8)
    if place in (0, 1, 2):
        config["rope_scaling"] = rope(rng, dims) if place else {}
    if place in (0, 2, 3, 4):
        config["rope_parameters"] = rope(rng, dims)
    if place == 5:
        local = {"rope_type": "default", "rope_theta": 55.0}
        config["rope_parameters"] = {"full_attention": rope(rng, dims), "sliding_attention": local}
    if place == 6:
        config["rope_scaling"] = None
    return config


def model_of(source):
    attention = "sdpa" if source.model_type == "falcon" else "eager"  # alibi is added twice in Falcon's eager one
    return dict(dtype=torch.float32, attn_implementation=attention)


def write(rng, config, folder):
    """The checkpoint, or an exception where transformers takes none such."""
    source = AutoConfig.for_model(**copy.deepcopy(config))
    model = AutoModelForCausalLM.from_config(source, **model_of(source))
    state = {}
    for name, tensor in model.state_dict().items():
        ones = tensor.dim() == 1 and "weight" in name and "gemma" not in config["model_type"]
        state[name] = torch.randn_like(tensor) * (0.2 if tensor.dim() == 1 else 0.25) + ones
    model.load_state_dict(state)
    model.save_pretrained(folder)  # experts have other names in files
    state = load_torch(folder / "model.safetensors")
    head, table = (next((n for n in state if n.endswith(e)), None) for e in (HEADS, EMBEDDINGS))
    if source.tie_word_embeddings and table:
        choice = rng.randrange(4)
        if choice == 0:
            state[HEADS[0]] = torch.randn_like(state[table]) * 0.25  # numbers of its own
        elif choice == 1:
            state[HEADS[0]] = state[table].clone()
        elif choice == 2:
            state[HEADS[0]] = state.pop(table)
    save_file({n: t.contiguous() for n, t in state.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return source


def expected(folder, source, ids):
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, **model_of(source))
    if info["missing_keys"]:
        raise ValueError("tensors are missing")
    with torch.no_grad():
        logits = model.eval()(torch.tensor([ids]), use_cache=False).logits[0].numpy()
    if not np.isfinite(logits).all():
        raise ValueError("not finite")
    return logits


def is_known(config):
    family = config["model_type"]
    blind = family == "qwen2_moe" and "layer_types" in config and not config.get("use_sliding_window")
    return blind or (family == "gpt_neox" and config.get("head_dim"))


def compare(program, rng, ids, counts):
    config = configuration(rng)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        try:
            want = expected(folder, write(rng, config, folder), ids)
        except Exception:  # transformers refuses it: whatever happens here is right
            counts["refused"] += 1
            return
        out = folder / "out.safetensors"
        run = subprocess.run([program, "logits", folder, "--base", "--precision", "f32", "--ids",
                              ",".join(map(str, ids)), "-o", out], capture_output=True, text=True)
        odd = {k: v for k, v in config.items() if FAMILIES[config["model_type"]].get(k, "") != v}
        if run.returncode:
            difference = run.stderr.strip()
        else:
            difference = float(np.abs(load_file(out)["logits"] - want).max() / np.abs(want).max())
        if run.returncode or difference > 2e-4:
            counts["known" if is_known(config) else "different"] += 1
            print("known" if is_known(config) else "DIFFERENT", difference, odd)
        else:
            counts["same"] += 1


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "build/quantdial"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    torch.manual_seed(0)
    ids = [rng.randrange(64) for _ in range(24)]
    counts = dict.fromkeys(("same", "refused", "known", "different"), 0)
    for _ in range(count):
        compare(program, rng, ids, counts)
    print(", ".join(f"{n} {k}" for k, n in counts.items()))
    sys.exit(counts["different"] > 0)


main()
