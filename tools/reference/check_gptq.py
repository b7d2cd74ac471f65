#!/usr/bin/env python3
"""Unpacks what `quantdial quantize --format gptq` writes by the definition of the format and compares the numbers.

    python3 tools/reference/check_gptq.py build/quantdial MODEL…

Needs numpy, torch, safetensors; transformers for the logits; gptqmodel for --package. Run by hand. For each model and profile:

- Every matrix, unpacked here, against the numbers that --format dense --dtype f32 writes: equal to the last bit.
- The rules of "dynamic", asked as vLLM asks them (under fused names where it fuses): the bits and groups that the tensors have, and
  nothing for modules without codes.
- The folder read back by the program's own loaders (--format dense of it): the same numbers, rounded to the type of the scales.
- Logits of transformers with these numbers against `quantdial logits` of the source with the recipe, as a share of the largest: at
  most 1e-3, in practice 1e-5.
- --package: logits of GPTQModel as well. It computes in F16, so they may be 1e-2 away, or twice as far as F16 moves those of
  transformers with the same numbers.
"""
import json
import re
import shutil

import numpy as np
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from transformers.utils import logging

from judging import judge, parser_of, run

logging.set_verbosity_error()
logging.disable_progress_bar()

MOST = 1e-3
# name → options. GROUP becomes a size that divides the model's columns, or channels.
PROFILES = {
    "w4": "GROUP",
    "w8": "--weight-bits 8 GROUP",
    "w4-channel": "--granularity channel",
    "w4-tensor": "--granularity tensor",
    "mixed": "--recipe MIXED",
}
MIXED = {"quantdial_recipe": 2, "weights": {"bits": 4, "granularity": "channel"}, "activations": {"policy": "none"},
         "ignore": ["lm_head", "*layers.1.*.o_proj", "*h.1.*attention.dense"],
         "overrides": [{"match": "*layers.0.*", "weights": {"bits": 8, "granularity": "group", "group_size": 16}}]}
FUSED = {"q_proj": "qkv_proj", "k_proj": "qkv_proj", "v_proj": "qkv_proj", "gate_proj": "gate_up_proj", "up_proj": "gate_up_proj"}


def unpacked(words, bits, axis):
    """Codes of 32-bit words along an axis, from the lowest bit on."""
    words = np.moveaxis(words.numpy().view(np.uint32), axis, -1)
    codes = (words[..., None] >> np.arange(0, 32, bits, dtype=np.uint32)) & ((1 << bits) - 1)
    return np.moveaxis(codes.reshape(*words.shape[:-1], -1), -1, axis).astype(np.int64)


def matrix(tensors, module):
    codes, zeros, scales, group = (tensors[f"{module}.{k}"] for k in ("qweight", "qzeros", "scales", "g_idx"))
    rows = group.shape[0]
    bits = codes.shape[0] * 32 // rows
    q, z, g = unpacked(codes, bits, 0), unpacked(zeros, bits, 1) + 1, group.numpy()
    w = (q - z[g]).astype(np.float32) * scales.float().numpy()[g]
    return torch.from_numpy(w.T.copy()), bits, rows // scales.shape[0] if scales.shape[0] > 1 else -1


def rule(config, name):
    for pattern, value in config["dynamic"].items():
        if re.match(pattern[2:], name):
            return None if pattern.startswith("-:") else (value["bits"], value["group_size"])
    return config["bits"], config["group_size"]


def names_asked(module):
    stem, _, last = module.rpartition(".")
    if ".experts." in module:
        return [module.split(".experts.")[0] + ".experts", module]
    return [f"{stem}.{FUSED[last]}", module] if last in FUSED else [module]


def check_rules(config, tensors, sizes):
    for module, size in sizes.items():
        for name in names_asked(module):
            if rule(config, name) != size:
                raise RuntimeError(f"{name}: the rules say {rule(config, name)}, the tensors {size}")
    for name, tensor in tensors.items():
        module = name.removesuffix(".weight")
        if name.endswith(".weight") and tensor.dim() == 2 and "embed" not in name and rule(config, module):
            raise RuntimeError(f"{module} is not quantized, but the rules say {rule(config, module)}")


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float()


def share(a, b):
    return float((a - b).abs().max() / b.abs().max())


def package_logits(export, ids):
    from gptqmodel import BACKEND, GPTQModel
    return logits_of(GPTQModel.load(str(export), device="cpu", backend=BACKEND.TORCH, dtype=torch.float16).model, ids)


def check(program, path, profile, folder, package):
    config = json.loads((path / "config.json").read_text())
    text = config.get("text_config", config)
    sizes = [text[k] for k in ("hidden_size", "intermediate_size", "moe_intermediate_size") if text.get(k)]
    group = next((g for g in (64, 32, 16) if all(s % g == 0 and s > g for s in sizes)), None)
    (folder / "mixed.json").write_text(json.dumps(MIXED))
    words = PROFILES[profile].replace("GROUP", f"--granularity group --group-size {group}" if group else "--granularity channel")
    words = [*words.replace("MIXED", str(folder / "mixed.json")).split(), "--scale", "f16", "--activations", "none", "--quiet"]
    export, dense, again, file = folder / "export", folder / "dense", folder / "again", folder / "logits.safetensors"
    for old in (export, dense, again):
        shutil.rmtree(old, ignore_errors=True)
    run(program, "quantize", path, "-o", export, "--format", "gptq", "--verify", *words)
    run(program, "quantize", path, "-o", dense, "--format", "dense", "--dtype", "f32", *words)
    run(program, "quantize", export, "-o", again, "--format", "dense", "--dtype", "f16", "--quiet")
    tensors, wanted = load_file(export / "model.safetensors"), load_file(dense / "model.safetensors")
    back = load_file(again / "model.safetensors")
    found = {}
    for name in [n for n in tensors if n.endswith(".qweight")]:
        module = name.removesuffix(".qweight")
        numbers, bits, size = matrix(tensors, module)
        found[module] = (bits, size)
        if not torch.equal(numbers, wanted[f"{module}.weight"]):
            raise RuntimeError(f"{module}: the numbers differ")
        if not torch.equal(numbers.half(), back[f"{module}.weight"]):
            raise RuntimeError(f"{module}: the numbers that are read back differ")
    count = len(found)
    if not found:
        raise RuntimeError("nothing is quantized")
    check_rules(json.loads((export / "config.json").read_text())["quantization_config"], tensors, found)
    vocab = text["vocab_size"]
    ids = [(7 * i * i + 3 * i + 5) % vocab for i in range(24)]
    theirs = logits_of(AutoModelForCausalLM.from_pretrained(dense, dtype=torch.float32).eval(), ids)
    asked = ["--precision", "f32", "--ids", ",".join(map(str, ids)), "-o", file]
    run(program, "logits", path, *words, *asked)
    source = load_file(file)["logits"]
    away = [share(theirs, source)]
    note = ""
    if package:
        half = logits_of(AutoModelForCausalLM.from_pretrained(dense, dtype=torch.float16).eval(), ids)
        found, moved = share(package_logits(export, ids), source), share(half, theirs)
        away.append(found * MOST / max(1e-2, 2 * moved))
        note = f", gptqmodel {found:.1e} (F16 moves transformers by {moved:.1e})"
    print(f"{path.name:26} {profile:10} {count} matrices equal; transformers {away[0]:.1e}{note}", flush=True)
    return max(away) <= MOST


def main():
    parser = parser_of(__doc__, PROFILES)
    parser.add_argument("--package", action="store_true")
    args = parser.parse_args()
    judge(args.models, lambda path, folder: [(p, lambda p=p: check(args.program, path, p, folder, args.package))
                                             for p in args.profiles.split(",")])


if __name__ == "__main__":
    main()
