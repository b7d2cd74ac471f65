#!/usr/bin/env python3
"""What engines really do with what export/verdict.c says they refuse, misread or run otherwise.

For every finding it writes a tiny checkpoint by hand (numpy and safetensors; nothing of this program), gives it to an
engine in a process of its own, and prints one line: the score, or the last line of the error. A table of the results
stands in docs/export.md.

    check_verdicts.py --work FOLDER --judge NAME=PYTHON [--judge …] [CASE …]

NAME is what runs in the process: hf (transformers with compressed-tensors), hf-old (the same before version 0.18),
hf-dequantize (the same, asked to load floats), meant (the same, on the numbers that the codes stand for: what the score
should be), vllm (the CPU build), mlx (mlx-lm), llama (llama.cpp through llama-cpp-python), and kernels (which kernel vLLM
chooses for a CUDA device, its platform taken over). PYTHON is the interpreter that has it.
The interpreter that runs this file needs numpy, safetensors and torch; gguf for the cases of llama.cpp, and transformers
for those of families that are not written out here.
"""
import argparse
import json
import os
import subprocess
import sys

IDS = list(range(3, 67))  # every model here knows them


# ---- Writing: compressed-tensors and others, as their formats say ----

def pack(codes, bits):
    """Codes [rows, columns], unsigned, as a stream of bits into I32 words: element i in bits [i·b, i·b + b)."""
    import numpy as np
    rows, columns = codes.shape
    words = -(-columns * bits // 32)
    stream = np.zeros((rows, words * 32), np.uint8)
    for b in range(bits):
        stream[:, b:columns * bits:bits] = (codes >> b) & 1
    return np.packbits(stream, axis=1, bitorder="little").view("<i4").reshape(rows, words)


def old_pack(codes, bits):
    """The same as compressed-tensors up to 0.17 did it: ⌊32/b⌋ codes in a word."""
    import numpy as np
    rows, columns = codes.shape
    per = 32 // bits
    padded = np.zeros((rows, -(-columns // per) * per), np.uint64)
    padded[:, :columns] = codes
    words = sum(padded[:, i::per] << np.uint64(bits * i) for i in range(per))
    return words.astype(np.uint32).view(np.int32)


def round_bf16(x):
    import torch
    return torch.from_numpy(x).bfloat16().float().numpy()


def quantized(weight, bits, group, asymmetric=False, partial=False):
    """Codes (signed), scales [out, groups], zero points or None. group 0: channel."""
    import numpy as np
    out, columns = weight.shape
    group = group or columns
    padded = np.pad(weight, ((0, 0), (0, -columns % group)))
    parts = padded.reshape(out, -1, group)
    top = 2 ** (bits - 1) - 1
    if asymmetric:
        low, high = np.minimum(parts.min(-1), 0), np.maximum(parts.max(-1), 0)
        scale = round_bf16(((high - low) / (2 ** bits - 1)).astype(np.float32))
        zero = np.clip(np.round(-top - 1 - low / scale), -top - 1, top)
    else:
        scale, zero = round_bf16((np.abs(parts).max(-1) / top).astype(np.float32)), None
    codes = np.round(parts / scale[..., None]) + (0 if zero is None else zero[..., None])
    codes = np.clip(codes, -top - 1, top).reshape(out, -1)[:, :columns].astype(np.int64)
    return codes, scale, zero


class Scheme:
    """How a linear is stored: bits, group (0 channel, −1 one scale for the matrix), inputs None, "token", "static" or
    "channel", which is no strategy of inputs."""

    def __init__(self, bits, group=64, inputs=None, asymmetric=False, kind=None, scales="BF16", old=False):
        self.bits, self.group, self.inputs, self.asymmetric = bits, group, inputs, asymmetric
        self.kind = kind or ("int-quantized" if bits == 8 and inputs else "pack-quantized")
        self.scales, self.old = scales, old

    def config(self, targets):
        strategy = "group" if self.group > 0 else "channel" if self.group == 0 else "tensor"
        args = {"num_bits": self.bits, "type": "int", "symmetric": not self.asymmetric, "strategy": strategy,
                "group_size": self.group if self.group > 0 else None, "dynamic": False}
        inputs = self.inputs and {"num_bits": 8, "type": "int", "symmetric": True,
                                  "strategy": "tensor" if self.inputs == "static" else self.inputs, "group_size": None,
                                  "dynamic": self.inputs == "token"}
        return {"targets": targets, "format": self.kind, "weights": args, "input_activations": inputs,
                "output_activations": None}

    def tensors(self, name, weight):
        import numpy as np
        import torch
        group = self.group if self.group > 0 else 0
        codes, scale, zero = quantized(weight, self.bits, group, self.asymmetric)
        if self.group < 0:
            scale = round_bf16(np.abs(weight).max().reshape(1).astype(np.float32) / (2 ** (self.bits - 1) - 1))
            codes = np.clip(np.round(weight / scale), -2 ** (self.bits - 1), 2 ** (self.bits - 1) - 1).astype(np.int64)
        stored = torch.from_numpy(scale)
        made = {f"{name}.weight_scale": stored if self.scales == "F32" else stored.bfloat16()}
        whole = codes - (0 if zero is None else np.repeat(zero, group or weight.shape[1], 1)[:, :weight.shape[1]])
        spread = scale if self.group < 0 else np.repeat(scale, group or weight.shape[1], 1)[:, :weight.shape[1]]
        self.meant = (whole * spread).astype(np.float32)
        offset = 2 ** (self.bits - 1)
        if self.kind == "pack-quantized":
            packer = old_pack if self.old else pack
            made[f"{name}.weight_packed"] = torch.from_numpy(packer(codes + offset, self.bits).copy())
            made[f"{name}.weight_shape"] = torch.tensor(weight.shape, dtype=torch.int64)
            if zero is not None:
                packed = pack((zero + offset).astype(np.int64).T.copy(), self.bits).T.copy()
                made[f"{name}.weight_zero_point"] = torch.from_numpy(packed)
        else:
            made[f"{name}.weight"] = torch.from_numpy(codes.astype(np.int8))
        if self.inputs in ("static", "channel"):
            made[f"{name}.input_scale"] = torch.full((1 if self.inputs == "static" else weight.shape[1],), 0.04).bfloat16()
        return made


class OtherGrid(Scheme):
    """Codes of a grid that the format has no word for."""

    def config(self, targets):
        config = super().config(targets)
        config["weights"]["type"] = "log2"
        return config


class Equalized(Scheme):
    """Columns were multiplied by factors that the inputs have to be divided by; they stand beside the weights."""

    def tensors(self, name, weight):
        import numpy as np
        import torch
        factors = 2.0 ** (np.arange(weight.shape[1]) % 5 - 2).astype(np.float32)
        made = super().tensors(name, weight * factors)
        self.meant /= factors
        return dict(made, **{f"{name}.input_factors": torch.from_numpy(factors)})


LLAMA = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=256, intermediate_size=512,
             num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=64, vocab_size=512,
             max_position_embeddings=256, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu",
             tie_word_embeddings=False, torch_dtype="bfloat16", bos_token_id=1, eos_token_id=2)
MIXTRAL = dict(LLAMA, architectures=["MixtralForCausalLM"], model_type="mixtral", num_local_experts=4,
               num_experts_per_tok=2, intermediate_size=256)
# Families that transformers writes: their shapes, as far as they differ from Llama's above.
FOUR = dict(LLAMA, num_hidden_layers=4, pad_token_id=0)
OTHERS = {
    # Full attention without v: k counts for both.
    "gemma4": ("gemma4_text", dict(FOUR, tie_word_embeddings=True, attention_k_eq_v=True, global_head_dim=64,
                                   num_global_key_value_heads=2, sliding_window=64, hidden_size_per_layer_input=0,
                                   layer_types=["sliding_attention", "full_attention"] * 2, num_kv_shared_layers=0)),
    "qwen3.5": ("qwen3_5_text", dict(FOUR, layer_types=["linear_attention", "full_attention"] * 2,
                                     linear_num_key_heads=4, linear_num_value_heads=4, linear_key_head_dim=64,
                                     linear_value_head_dim=64)),
    "falcon": ("falcon", dict({k: v for k, v in FOUR.items() if k != "head_dim"}, multi_query=True, parallel_attn=True,
                              new_decoder_architecture=False, bias=False)),
    # All experts of a layer in one tensor.
    "gpt-oss": ("gpt_oss", dict(FOUR, num_local_experts=4, num_experts_per_tok=2, intermediate_size=256,
                                layer_types=["sliding_attention", "full_attention"] * 2, sliding_window=64)),
}
GPT2 = dict(architectures=["GPT2LMHeadModel"], model_type="gpt2", n_embd=256, n_head=4, n_layer=2, n_positions=256,
            vocab_size=512, torch_dtype="bfloat16", bos_token_id=1, eos_token_id=2, activation_function="gelu_new",
            layer_norm_epsilon=1e-5, tie_word_embeddings=True)


def other(name):
    """The configuration of one of OTHERS, as transformers writes it."""
    from transformers import AutoConfig, AutoModelForCausalLM
    kind, sizes = OTHERS[name]
    config = AutoConfig.for_model(kind, **{k: v for k, v in sizes.items() if k not in ("model_type", "architectures")})
    architecture = AutoModelForCausalLM._model_mapping[type(config)].__name__
    return dict(config.to_dict(), architectures=[architecture], dtype="bfloat16")


def tensors_of_transformers(config, matrix):
    """Those that transformers saves: vectors as it begins them, the rest random."""
    import tempfile

    import numpy as np
    from safetensors.numpy import load_file
    from transformers import AutoConfig, AutoModelForCausalLM
    with tempfile.TemporaryDirectory() as folder:
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config)).float()
        model.save_pretrained(folder)
        made = load_file(os.path.join(folder, "model.safetensors"))
    return {name: matrix(*a.shape) if a.ndim > 1 else a.astype(np.float32) for name, a in sorted(made.items())}


def tensors_of(config):
    """Random tensors of a model: name → float32 array. The linears are those of two dimensions under 'layers' or 'h',
    and the head."""
    import numpy as np
    random = np.random.default_rng(7)

    def matrix(*shape):
        return round_bf16((random.standard_normal(shape) * 0.06).astype(np.float32))

    if config["model_type"] in [kind for kind, _ in OTHERS.values()]:
        return tensors_of_transformers(config, matrix)
    made = {}
    if config["model_type"] == "gpt2":
        d = config["n_embd"]
        made["transformer.wte.weight"], made["transformer.wpe.weight"] = matrix(config["vocab_size"], d), matrix(256, d)
        for i in range(config["n_layer"]):
            at = f"transformer.h.{i}"
            for name, shape in (("attn.c_attn", (d, 3 * d)), ("attn.c_proj", (d, d)), ("mlp.c_fc", (d, 4 * d)),
                                ("mlp.c_proj", (4 * d, d))):
                made[f"{at}.{name}.weight"], made[f"{at}.{name}.bias"] = matrix(*shape), matrix(shape[1])
            for name in ("ln_1", "ln_2"):
                made[f"{at}.{name}.weight"], made[f"{at}.{name}.bias"] = 1 + matrix(d), matrix(d)
        made["transformer.ln_f.weight"], made["transformer.ln_f.bias"] = 1 + matrix(d), matrix(d)
        return made
    d, f = config["hidden_size"], config["intermediate_size"]
    kv = config["num_key_value_heads"] * config["head_dim"]
    made["model.embed_tokens.weight"] = matrix(config["vocab_size"], d)
    for i in range(config["num_hidden_layers"]):
        at = f"model.layers.{i}"
        for name, rows in (("q", d), ("k", kv), ("v", kv), ("o", d)):
            made[f"{at}.self_attn.{name}_proj.weight"] = matrix(rows, d)
        if config["model_type"] == "mixtral":
            made[f"{at}.block_sparse_moe.gate.weight"] = matrix(config["num_local_experts"], d)
            for e in range(config["num_local_experts"]):
                for name, shape in (("w1", (f, d)), ("w2", (d, f)), ("w3", (f, d))):
                    made[f"{at}.block_sparse_moe.experts.{e}.{name}.weight"] = matrix(*shape)
        else:
            for name, shape in (("gate", (f, d)), ("up", (f, d)), ("down", (d, f))):
                made[f"{at}.mlp.{name}_proj.weight"] = matrix(*shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            made[f"{at}.{name}.weight"] = 1 + matrix(d)
    made["model.norm.weight"] = 1 + matrix(d)
    if not config["tie_word_embeddings"]:
        made["lm_head.weight"] = matrix(config["vocab_size"], d)
    return made


def is_linear(name, array):
    return array.ndim == 2 and not any(x in name for x in ("embed", "wte", "wpe", "lm_head", "block_sparse_moe.gate.", "router."))


def write(folder, config, tensors, quantization=None, key="quantization_config"):
    import torch
    from safetensors.torch import save_file
    os.makedirs(folder, exist_ok=True)
    made = {name: (t if isinstance(t, torch.Tensor) else torch.from_numpy(t).bfloat16()).clone().contiguous()
            for name, t in tensors.items()}
    save_file(made, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    with open(os.path.join(folder, "config.json"), "w") as out:
        json.dump(dict(config, **({key: quantization} if quantization else {})), out, indent=1)


def write_ct(folder, config, scheme_of, head=None, router=None, backwards=False, name_v=False):
    """scheme_of(name) → Scheme or None for every linear; equal schemes share a group, in the order of their names or
    backwards. name_v: a v that is not there is named as k is. The folder "meant" in it gets the same weights as plain
    numbers."""
    import torch
    plain, ignored, groups = tensors_of(config), [], []
    twin = dict(plain)
    for name in sorted((n[:-7] for n, a in plain.items() if n.endswith(".weight") and a.ndim == 2), reverse=backwards):
        array = plain[name + ".weight"]
        scheme = scheme_of(name) if is_linear(name + ".weight", array) else None
        if name == "lm_head":
            scheme = head
        if name.endswith("block_sparse_moe.gate"):
            scheme = router
        if "embed" in name or "wte" in name or "wpe" in name:
            continue
        if not scheme:
            ignored.append(name)
            continue
        transposed = config["model_type"] == "gpt2"
        del plain[name + ".weight"]
        plain.update(scheme.tensors(name, array.T.copy() if transposed else array))
        twin[name + ".weight"] = torch.from_numpy(scheme.meant.T.copy() if transposed else scheme.meant)
        del scheme.meant
        for known, names in groups:
            if vars(known) == vars(scheme):
                names.append(name)
                break
        else:
            groups.append((scheme, [name]))
    if config["tie_word_embeddings"] and head:
        plain.update(head.tensors("lm_head", plain["model.embed_tokens.weight"]))
        twin["lm_head.weight"] = torch.from_numpy(head.meant)
        del head.meant
        groups.append((head, ["lm_head"]))
    write(os.path.join(folder, "meant"), dict(config, torch_dtype="float32", **({"tie_word_embeddings": False} if head else {})), twin)
    for names in [n for _, n in groups] + [ignored] if name_v else []:
        values = [n.replace("k_proj", "v_proj") for n in names if n.endswith("k_proj")]
        names += [v for v in values if v + ".weight" not in twin]
    kinds = {s.kind for s, _ in groups}
    named = {f"group_{i}": s.config(["re:" + "^" + n.replace(".", "\\.") + "$" for n in names])
             for i, (s, names) in enumerate(groups)}
    write(folder, config, plain,
          {"quant_method": "compressed-tensors", "format": kinds.pop() if len(kinds) == 1 else "mixed-precision",
           "quantization_status": "compressed", "ignore": ignored, "config_groups": named})


def stack_experts(plain):
    """All experts of a projection as one module, as mlx-lm has them."""
    import re

    import torch
    parts = {"w1": "gate_proj", "w2": "down_proj", "w3": "up_proj"}
    for first in [n for n in plain if ".experts.0." in n]:
        names = [n for e in range(len(plain)) if (n := first.replace(".experts.0.", f".experts.{e}.")) in plain]
        stacked = re.sub(r"experts\.0\.(w\d)", lambda m: "switch_mlp." + parts[m[1]], first)
        plain[stacked] = torch.stack([plain.pop(n) for n in names])


def write_mlx(folder, config, bits, group, first_expert=None, stacked=False):
    """Codes plus 2^(b−1) as the same stream, U32; biases = −2^(b−1) · scale. first_expert: its number of bits."""
    import torch
    plain = tensors_of(config)
    for name in [n for n, a in plain.items() if is_linear(n, a)]:
        array, stem = plain.pop(name), name[:-7]
        b = first_expert if first_expert and ".experts.0." in name else bits
        codes, scale, _ = quantized(array, b, group)
        plain[stem + ".weight"] = torch.from_numpy(pack(codes + 2 ** (b - 1), b).copy()).view(torch.uint32)
        plain[stem + ".scales"] = torch.from_numpy(scale).bfloat16()
        plain[stem + ".biases"] = torch.from_numpy(-(2.0 ** (b - 1)) * scale).bfloat16()
    if stacked:
        stack_experts(plain)
    skip = {"model.embed_tokens": False, "lm_head": False}
    write(folder, config, plain, dict({"group_size": group, "bits": bits}, **skip), key="quantization")


def write_stack(folder, config):
    """Codes for each expert of one tensor, under a name of its own, since the tensor has no place for them."""
    import torch
    plain = tensors_of(config)
    for name in [n for n in plain if n.endswith(("experts.gate_up_proj", "experts.down_proj"))]:
        stem, role = name.rsplit(".", 1)
        for e, expert in enumerate(plain.pop(name)):
            plain.update(W4.tensors(f"{stem}.{e}.{role}", expert.T.copy()))
    del W4.meant
    write(folder, config, plain, {"quant_method": "compressed-tensors", "format": W4.kind, "quantization_status":
                                  "compressed", "ignore": ["re:.*attn.*", "re:.*router", "lm_head"],
                                  "config_groups": {"group_0": W4.config(["re:.*experts.*"])}})


def write_gguf(folder, config, matrices="Q4_0"):
    """A llama without a tokenizer; its linears as blocks of 32 by the gguf package. Rows that are not filled by whole
    blocks get a last one that is."""
    import gguf
    import numpy as np
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w") as out:
        json.dump(config, out)
    made = gguf.GGUFWriter(os.path.join(folder, "model.gguf"), "llama")
    made.add_context_length(config["max_position_embeddings"])
    made.add_embedding_length(config["hidden_size"])
    made.add_block_count(config["num_hidden_layers"])
    made.add_feed_forward_length(config["intermediate_size"])
    made.add_head_count(config["num_attention_heads"])
    made.add_head_count_kv(config["num_key_value_heads"])
    made.add_layer_norm_rms_eps(config["rms_norm_eps"])
    made.add_vocab_size(config["vocab_size"])
    made.add_tokenizer_model("none")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config["num_hidden_layers"])
    kind, data = gguf.GGMLQuantizationType[matrices], []
    for name, array in tensors_of(config).items():
        as_codes, shape = is_linear(name, array), array.shape
        if "q_proj" in name or "k_proj" in name:  # the two of a rotated pair side by side
            array = array.reshape(-1, 2, config["head_dim"] // 2, shape[1]).swapaxes(1, 2).reshape(shape)
        if as_codes:
            array = gguf.quantize(np.pad(array, ((0, 0), (0, -shape[1] % 32))), kind)
        made.add_tensor_info(names.get_name(name, try_suffixes=(".weight",)), shape, np.dtype(np.float32),
                             array.nbytes, raw_dtype=kind if as_codes else None)
        data.append(array)
    made.write_header_to_file()
    made.write_kv_data_to_file()
    made.write_ti_data_to_file()
    for array in data:
        made.write_tensor_data(array)
    made.close()


def write_gptq(folder, config, bits, group, asymmetric=False, without=()):
    import numpy as np
    import torch
    plain = tensors_of(config)
    for name in [n for n, a in plain.items() if is_linear(n, a) and not any(w in n for w in without)]:
        array, stem = plain.pop(name), name[:-7]
        codes, scale, zero = quantized(array, bits, group, asymmetric)
        stored = (zero if zero is not None else np.zeros_like(scale)) + 2 ** (bits - 1) - 1
        plain[stem + ".qweight"] = torch.from_numpy(pack(codes + 2 ** (bits - 1), bits).T.copy())
        plain[stem + ".qzeros"] = torch.from_numpy(pack(stored.astype(np.int64).T.copy(), bits).copy())
        plain[stem + ".scales"] = torch.from_numpy(scale.T.copy()).half()
        plain[stem + ".g_idx"] = torch.from_numpy((np.arange(array.shape[1]) // group).astype(np.int32))
    write(folder, config, plain, {"quant_method": "gptq", "bits": bits, "group_size": group, "desc_act": False,
                                  "sym": not asymmetric, "checkpoint_format": "gptq"})


# ---- The cases: one for each finding, and twins to compare with ----

def everywhere(scheme):
    return lambda name: scheme


def only(part, scheme, other):
    return lambda name: scheme if part in name else other


W4 = Scheme(4)


def in_proj(z):
    """Qwen 3.5: what reads the input of linear attention. b and a have a row for each head, too few for a kernel."""
    return lambda name: None if name.endswith(("in_proj_a", "in_proj_b")) else z if name.endswith("in_proj_z") else W4


CASES = {
    # case: (what is written, judges)
    "dense": (lambda f: write(f, LLAMA, tensors_of(LLAMA)), "hf vllm mlx"),
    "w4a16": (lambda f: write_ct(f, LLAMA, everywhere(W4)), "hf hf-old vllm"),
    "w4a16-channel": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(4, 0))), "hf vllm"),
    "w4a16-g16": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(4, 16))), "hf vllm"),
    "w4a16-g256": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(4, 256))), "hf vllm"),
    "w4a16-tensor": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(4, -1))), "hf vllm"),
    "w4a16-asymmetric": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(4, asymmetric=True))),
                         "hf hf-old hf-dequantize vllm"),
    "w4a16-f32-scales": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(4, scales="F32"))), "hf vllm"),
    "w8a16": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(8, 0))), "hf vllm"),
    "w2a16": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(2))), "hf hf-old vllm"),
    "w3a16": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(3))), "hf hf-old vllm"),
    "w3a16-old": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(3, old=True))), "hf hf-old"),
    "w8a8-token": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(8, 0, "token"))), "hf vllm"),
    "w8a8-static": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(8, 0, "static"))), "hf vllm"),
    "w8a8-tensor": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(8, -1, "token"))), "hf vllm"),
    "w8a8-groups": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(8, 64, "token"))), "hf vllm"),
    "w8a8-groups-packed": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(8, 64, "token", kind="pack-quantized"))),
                           "hf vllm"),
    "w8a8-asymmetric": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(8, 0, "token", True, "pack-quantized"))),
                        "hf vllm"),
    "w4a8-token": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(4, 64, "token"))), "hf vllm"),
    "w4a8-token-int": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(4, 64, "token", kind="int-quantized"))),
                       "hf vllm"),
    "w4a8-static": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(4, 64, "static"))), "hf vllm"),
    "w4a8-asymmetric": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(4, 64, "token", True))), "hf vllm"),
    "mixed": (lambda f: write_ct(f, LLAMA, lambda n: Scheme(8, 0, "token") if "down" in n else
                                 Scheme(4, 32) if "mlp" in n else Scheme(4, 128)), "hf vllm"),
    # int-quantized all of them: only q says how its inputs are.
    "fused-inputs-int8": (lambda f: write_ct(f, LLAMA, only("q_proj", Scheme(8, 0, "static"), Scheme(8, 0, "token"))),
                          "hf vllm"),
    "fused-inputs-twin": (lambda f: write_ct(f, LLAMA, lambda n: Scheme(8, 0, "static" if any(
                          f"{p}_proj" in n for p in "qkv") else "token")), "hf vllm"),
    "grid": (lambda f: write_ct(f, LLAMA, everywhere(OtherGrid(4))), "hf vllm"),
    "runtime-factors": (lambda f: write_ct(f, LLAMA, everywhere(Equalized(4))), "hf vllm"),
    "channel-inputs": (lambda f: write_ct(f, LLAMA, everywhere(Scheme(8, 0, "channel"))), "hf vllm"),
    "fused-bits": (lambda f: write_ct(f, LLAMA, only("k_proj", Scheme(8, 64), W4)), "hf vllm"),
    "fused-groups": (lambda f: write_ct(f, LLAMA, only("k_proj", Scheme(4, 128), W4)), "hf vllm"),
    "fused-finer-last": (lambda f: write_ct(f, LLAMA, only("v_proj", Scheme(4, 32), W4)), "hf vllm"),
    "fused-inputs": (lambda f: write_ct(f, LLAMA, only("up_proj", Scheme(4, 64, "token"), W4)), "hf vllm"),
    "fused-ignored": (lambda f: write_ct(f, LLAMA, only("q_proj", None, W4)), "hf vllm"),
    "without-v": (lambda f: write_ct(f, other("gemma4"), everywhere(W4)), "hf vllm"),
    "without-v-left": (lambda f: write_ct(f, other("gemma4"), lambda n: None if any(f"layers.{i}.self_attn.{p}_proj" in n
                                          for i in (1, 3) for p in "qk") else W4), "vllm"),
    "without-v-named": (lambda f: write_ct(f, other("gemma4"), everywhere(W4), name_v=True), "hf vllm"),
    "qwen3.5": (lambda f: write_ct(f, other("qwen3.5"), in_proj(W4)), "hf vllm"),
    "qwen3.5-z-8": (lambda f: write_ct(f, other("qwen3.5"), in_proj(Scheme(8))), "hf vllm"),
    "qwen3.5-z-left": (lambda f: write_ct(f, other("qwen3.5"), in_proj(None)), "hf vllm"),
    "falcon": (lambda f: write_ct(f, other("falcon"), everywhere(W4)), "hf vllm"),
    "falcon-w8a8": (lambda f: write_ct(f, other("falcon"), everywhere(Scheme(8, 0, "token"))), "hf vllm"),
    "stack-dense": (lambda f: write(f, other("gpt-oss"), tensors_of(other("gpt-oss"))), "hf vllm"),
    "stack": (lambda f: write_stack(f, other("gpt-oss")), "hf vllm"),
    "partial-group": (lambda f: write_ct(f, dict(LLAMA, intermediate_size=480), everywhere(W4)), "hf vllm"),
    "in-not-32": (lambda f: write_ct(f, dict(LLAMA, intermediate_size=272), everywhere(Scheme(4, 16))), "hf vllm"),
    "head": (lambda f: write_ct(f, LLAMA, everywhere(W4), head=Scheme(4)), "hf vllm"),
    "head-tied": (lambda f: write_ct(f, dict(LLAMA, tie_word_embeddings=True), everywhere(W4), head=Scheme(4)),
                  "hf vllm"),
    "conv1d": (lambda f: write_ct(f, GPT2, everywhere(W4)), "hf vllm"),
    "conv1d-dense": (lambda f: write(f, GPT2, tensors_of(GPT2)), "hf vllm"),
    "experts-dense": (lambda f: write(f, MIXTRAL, tensors_of(MIXTRAL)), "hf vllm"),
    "experts": (lambda f: write_ct(f, MIXTRAL, everywhere(W4)), "hf vllm"),
    "experts-8": (lambda f: write_ct(f, MIXTRAL, everywhere(Scheme(8, 64))), "hf"),
    "experts-other": (lambda f: write_ct(f, MIXTRAL, only("experts", Scheme(8, 64), W4)), "hf vllm"),
    "experts-second-group": (lambda f: write_ct(f, MIXTRAL, only("experts", Scheme(8, 64), W4), backwards=True), "hf"),
    "experts-only-inputs": (lambda f: write_ct(f, MIXTRAL, only("experts", Scheme(4, 64, "token"), W4)), "hf vllm"),
    "experts-mixed": (lambda f: write_ct(f, MIXTRAL, lambda n: Scheme(8, 64) if ".experts.0." in n else W4), "hf vllm"),
    "experts-inputs": (lambda f: write_ct(f, MIXTRAL, everywhere(Scheme(4, 64, "token"))), "hf vllm"),
    "experts-w8a8": (lambda f: write_ct(f, MIXTRAL, everywhere(Scheme(8, 0, "token"))), "hf vllm"),
    "experts-asymmetric": (lambda f: write_ct(f, MIXTRAL, everywhere(Scheme(4, asymmetric=True))), "hf"),
    "router": (lambda f: write_ct(f, MIXTRAL, everywhere(W4), router=Scheme(4)), "hf vllm"),
    "router-alone": (lambda f: write_ct(f, MIXTRAL, everywhere(None), router=Scheme(4)), "hf vllm"),
    "gptq-4": (lambda f: write_gptq(f, LLAMA, 4, 64), "vllm"),
    "gptq-3": (lambda f: write_gptq(f, LLAMA, 3, 64), "vllm"),
    "gptq-asymmetric": (lambda f: write_gptq(f, LLAMA, 4, 64, True), "vllm"),
    "gptq-g16": (lambda f: write_gptq(f, LLAMA, 4, 16), "vllm"),
    "gptq-without-v": (lambda f: write_gptq(f, other("gemma4"), 4, 64), "vllm"),
    "gptq-without-v-left": (lambda f: write_gptq(f, other("gemma4"), 4, 64, without=("1.self_attn.", "3.self_attn.")),
                            "vllm"),
    "mlx-opt": (lambda f: write(f, dict(LLAMA, model_type="opt"), tensors_of(LLAMA)), "mlx"),
    "mlx-4-g64": (lambda f: write_mlx(f, LLAMA, 4, 64), "mlx"),
    "mlx-4-g32": (lambda f: write_mlx(f, LLAMA, 4, 32), "mlx"),
    "mlx-4-g16": (lambda f: write_mlx(f, LLAMA, 4, 16), "mlx"),
    "mlx-4-g256": (lambda f: write_mlx(f, LLAMA, 4, 256), "mlx"),
    "mlx-3-g64": (lambda f: write_mlx(f, LLAMA, 3, 64), "mlx"),
    "mlx-2-g64": (lambda f: write_mlx(f, LLAMA, 2, 64), "mlx"),
    "mlx-8-g64": (lambda f: write_mlx(f, LLAMA, 8, 64), "mlx"),
    "mlx-experts": (lambda f: write_mlx(f, MIXTRAL, 4, 64), "mlx"),
    "mlx-experts-stacked": (lambda f: write_mlx(f, MIXTRAL, 4, 64, stacked=True), "mlx"),
    "mlx-experts-differ": (lambda f: write_mlx(f, MIXTRAL, 4, 64, first_expert=8), "mlx"),
    "gguf-4": (lambda f: write_gguf(f, LLAMA), "llama"),
    "gguf-columns": (lambda f: write_gguf(f, dict(LLAMA, intermediate_size=272)), "llama"),
}


# ---- The judges, each in a process of its own ----

def versions(*packages):
    from importlib.metadata import version
    return " ".join(f"{p} {version(p)}" for p in packages)


def judge_hf(folder, dequantize=False):
    import torch
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig
    asked = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if dequantize else {}
    model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **asked)
    ids = torch.tensor([IDS])
    with torch.no_grad():
        logs = model(ids).logits.float().log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[:, 0]
    lost = {k: len(v) for k, v in info.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    return dict({"nll": float(-logs.mean())}, **lost), versions("transformers", "compressed-tensors")


def judge_vllm(folder):
    os.environ.update(VLLM_CPU_KVCACHE_SPACE="1", VLLM_CPU_OMP_THREADS_BIND="nobind", HF_HUB_OFFLINE="1",
                      VLLM_LOGGING_LEVEL="WARNING", VLLM_ENABLE_V1_MULTIPROCESSING="0")
    from vllm import LLM, SamplingParams
    llm = LLM(model=folder, skip_tokenizer_init=True, dtype="bfloat16", enforce_eager=True, max_model_len=128,
              max_num_seqs=2)
    asked = SamplingParams(max_tokens=1, temperature=0, prompt_logprobs=0, logprobs=0, detokenize=False)
    result = llm.generate([{"prompt_token_ids": IDS}], asked, use_tqdm=False)[0]
    logs = [next(iter(d.values())).logprob for d in result.prompt_logprobs[1:]]
    return {"nll": -sum(logs) / len(logs)}, versions("vllm-cpu", "compressed-tensors")


def judge_mlx(folder):
    from pathlib import Path

    import mlx.core as mx
    from mlx_lm.utils import load_model
    model, _ = load_model(Path(folder))
    logits = model(mx.array([IDS]))[0, :-1].astype(mx.float32)
    logs = logits - mx.logsumexp(logits, axis=-1, keepdims=True)
    picked = mx.take_along_axis(logs, mx.array(IDS[1:])[:, None], axis=-1)
    return {"nll": -float(picked.mean().item())}, versions("mlx", "mlx-lm")


def judge_llama(folder):
    import llama_cpp
    import numpy as np
    said = []
    keep = llama_cpp.llama_log_callback(lambda level, text, _: said.append(text.decode()) if level >= 4 else None)
    llama_cpp.llama_log_set(keep, None)
    try:
        return score_llama(llama_cpp, np, folder)
    except ValueError as error:
        raise ValueError(f"{error}: {' '.join(said)}") from error


def score_llama(llama_cpp, np, folder):
    llama = llama_cpp.Llama(os.path.join(folder, "model.gguf"), n_ctx=128, logits_all=True, verbose=False, n_threads=2)
    llama.eval(IDS)
    logits = np.array(llama.scores[:len(IDS) - 1], dtype=np.float64)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return {"nll": -float(logs[np.arange(len(IDS) - 1), IDS[1:]].mean())}, f"llama-cpp-python {llama_cpp.__version__}"


def forget(judge):
    """What an engine keeps of one model before the next is loaded."""
    import gc
    if judge == "vllm":
        from vllm.distributed import cleanup_dist_env_and_memory
        cleanup_dist_env_and_memory()
    gc.collect()


def in_process(judge, folders):
    run = {"hf": judge_hf, "hf-old": judge_hf, "hf-dequantize": lambda f: judge_hf(f, True),
           "meant": lambda f: judge_hf(os.path.join(f, "meant")), "vllm": judge_vllm,
           "mlx": judge_mlx, "llama": judge_llama}[judge]
    for folder in folders:
        result = {"case": os.path.basename(folder), "judge": judge}
        try:
            found, tried = run(folder)
            result.update(found, versions=tried)
        except BaseException as error:  # whatever an engine throws is the result
            result["error"] = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        print("RESULT " + json.dumps(result), flush=True)
        forget(judge)


def ask(judge, python, folders):
    """One process for all folders, and another behind one that it dies of."""
    while folders:
        ran = subprocess.Popen([python, os.path.abspath(__file__), "--in-process", judge, *folders],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace")
        for line in ran.stdout:
            if line.startswith("RESULT "):
                print(line[7:], end="", flush=True)
                folders = folders[1:]
        if ran.wait() and folders:
            print(json.dumps({"case": os.path.basename(folders[0]), "judge": judge, "error": f"died: {ran.returncode}"}))
            folders = folders[1:]
        elif not ran.returncode:
            return


CAPABILITIES = ((7, 5), (8, 0), (8, 9), (9, 0), (10, 0), (12, 0))


def kernels():
    """Which kernel vLLM chooses on CUDA devices, by its own function, with the platform taken over."""
    os.environ["VLLM_LOGGING_LEVEL"] = "ERROR"
    import torch
    import vllm.model_executor.kernels.linear as linear
    import vllm.model_executor.kernels.linear.mixed_precision.humming as humming
    from vllm.platforms.interface import DeviceCapability, PlatformEnum
    from vllm.scalar_type import scalar_types as types

    class Device:
        _enum, at = PlatformEnum.CUDA, (8, 0)

        def number(self, wanted):
            return wanted if isinstance(wanted, int) else wanted[0] * 10 + wanted[1]

        def get_device_capability(self, *_):
            return DeviceCapability(*self.at)

        def has_device_capability(self, wanted, *_):
            return self.at[0] * 10 + self.at[1] >= self.number(wanted)

        def is_device_capability(self, wanted, *_):
            return self.at[0] * 10 + self.at[1] == self.number(wanted)

        def is_cuda(self):
            return True

        is_cuda_alike = is_cuda

        def is_rocm(self):
            return False

        is_cpu = is_xpu = is_rocm

    def int8_kernel(backend):
        linear._get_linear_backend = lambda quantization=None: backend
        asked = linear.Int8ScaledMMLinearLayerConfig(is_channelwise=True, is_static_input_scheme=False, input_symmetric=True)
        chosen = linear.choose_scaled_mm_linear_kernel(asked, linear._POSSIBLE_INT8_KERNELS,
                                                       Device.at[0] * 10 + Device.at[1], quantization="int8_w8a8")
        return chosen.__name__.replace("LinearKernel", "")

    device = Device()
    for name, module in list(sys.modules.items()):
        if name.startswith("vllm") and getattr(module, "current_platform", None) is not None:
            module.current_platform = device
    humming.has_humming = lambda: True  # a dependency of vLLM on CUDA
    stored = {(2, 0): types.uint2b2, (3, 0): types.uint3b4, (4, 0): types.uint4b8, (8, 0): types.uint8b128,
              (4, 1): types.uint4, (8, 1): types.uint8}
    print(versions("vllm-cpu"))
    for (k, n) in ((4096, 4096), (576, 576)):
        for (bits, zeros), kind in stored.items():
            for group in (-1, 16, 32, 64, 128, 256):
                row = []
                for Device.at in CAPABILITIES:
                    layer = linear.MPLinearLayerConfig(
                        full_weight_shape=(k, n), partition_weight_shape=(k, n), weight_type=kind,
                        act_type=torch.bfloat16, group_size=group, zero_points=bool(zeros))
                    row.append(linear.choose_mp_linear_kernel(layer).__name__.replace("LinearKernel", ""))
                print(f"[{n}, {k}] {bits} bits{' asymmetric' if zeros else ''} g{group}: " + " ".join(row))
    for backend in ("auto", "triton"):
        row = []
        for Device.at in CAPABILITIES:
            row.append(int8_kernel(backend))
        print(f"8 bits with int8 inputs, --linear-backend {backend}: " + " ".join(row))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", default="verdicts")
    parser.add_argument("--judge", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--in-process", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("cases", nargs="*")
    asked = parser.parse_args()
    if asked.in_process:
        judge, *folders = asked.cases
        return kernels() if judge == "kernels" else in_process(judge, folders)
    judges = dict(j.split("=", 1) for j in asked.judge)
    cases = asked.cases or list(CASES)
    for case in cases:
        if not os.path.exists(os.path.join(asked.work, case, "config.json")):
            CASES[case][0](os.path.join(asked.work, case))
    for judge, python in judges.items():
        if judge == "kernels":
            subprocess.run([python, os.path.abspath(__file__), "--in-process", "kernels"], check=True)
        else:
            ask(judge, python, [os.path.join(asked.work, c) for c in cases if judge in CASES[c][1].split() or
                                (judge == "meant" and os.path.isdir(os.path.join(asked.work, c, "meant")))])


if __name__ == "__main__":
    main()
