#!/usr/bin/env python3
"""Loads what `quantdial quantize --format dense` writes with transformers and compares it with what the program itself computes.

    python3 tools/reference/check_dense.py build/quantdial MODEL…

Needs torch, transformers, safetensors; run by hand. For each model:

- Without a recipe: the same tensors, bit for bit, under the same names.
- With recipes, as F32: transformers loads every tensor, and logits equal those of `quantdial logits`, as a share of the largest: at
  most 1e-3, in practice 1e-5. Of models that the program cannot run (gpt-oss) the tensors are compared with the source instead: at
  least 10 dB of each matrix that was quantized, and the rest equal.
- gpt-oss again with its experts as blocks of MXFP4: they come out as transformers unpacks them.
"""
import json
import shutil

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM
from transformers.integrations.mxfp4 import convert_moe_packed_tensors
from transformers.utils import logging

from judging import judge, parser_of, run

logging.set_verbosity_error()
logging.disable_progress_bar()

PROFILES = {"w4": "--granularity channel --activations none", "w4-head": "--recipe HEAD", "w8-two-level":
            "--weight-bits 8 --grid two-level --granularity group --group-size 16 --activations none"}
HEAD = {"quantdial_recipe": 2, "weights": {"granularity": "channel"}, "activations": {"policy": "none"}, "ignore": [],
        "overrides": [{"match": "lm_head", "weights": {"bits": 8}}]}


def tensors_of(folder):
    found = {}
    for file in folder.glob("*.safetensors"):
        found.update(load_file(file))
    return found


def dense(program, path, folder, *words):
    out = folder / "dense"
    shutil.rmtree(out, ignore_errors=True)
    run(program, "quantize", path, "-o", out, "--format", "dense", "--verify", "--quiet", *words)
    return out


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def close(source, found):
    """For models that cannot be run: decibels of the worst matrix that was changed."""
    worst = 200.0
    if source.keys() != found.keys():
        raise RuntimeError(f"other names: {sorted(source.keys() ^ found.keys())[:4]}")
    for name, a in source.items():
        a, b = a.float(), found[name].float()
        if a.shape != b.shape:
            raise RuntimeError(f"{name}: {list(b.shape)} instead of {list(a.shape)}")
        if not torch.equal(a, b):
            worst = min(worst, float(10 * torch.log10((a * a).sum() / ((a - b) ** 2).sum())))
    return worst


def check_plain(program, path, folder):
    if not same(tensors_of(path), tensors_of(dense(program, path, folder))):
        raise RuntimeError("without a recipe other tensors are written")
    return "the same tensors"


def check_profile(program, path, profile, folder):
    (folder / "head.json").write_text(json.dumps(HEAD))
    words = PROFILES[profile].replace("HEAD", str(folder / "head.json")).split() + ["--scale", "f32"]
    out, file = dense(program, path, folder, "--dtype", "f32", *words), folder / "logits.safetensors"
    model, info = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, output_loading_info=True)
    if info["missing_keys"] or info["unexpected_keys"] or info["mismatched_keys"]:
        raise RuntimeError(f"transformers: {info}")
    config = json.loads((path / "config.json").read_text())
    if config["model_type"] == "gpt_oss":
        worst = close(tensors_of(path), tensors_of(out))
        if not 10 < worst < 60:
            raise RuntimeError(f"{worst:.1f} dB")
        return f"{worst:.1f} dB"
    ids = [(7 * i * i + 3 * i + 5) % config["vocab_size"] for i in range(24)]
    run(program, "logits", path, "--precision", "f32", "--quiet", *words, "--ids", ",".join(map(str, ids)), "-o", file)
    with torch.no_grad():
        a, b = model.eval()(torch.tensor([ids])).logits[0], load_file(file)["logits"]
    away = float((a - b).abs().max() / b.abs().max())
    if away > 1e-3:
        raise RuntimeError(f"logits {away:.1e}")
    return f"logits {away:.1e}"


def check_mxfp4(program, path, folder):
    source, wanted, packed = folder / "mxfp4", {}, {}
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(path, source)
    torch.manual_seed(0)
    for name, tensor in tensors_of(path).items():
        if ".experts." not in name or name.endswith("_bias"):
            packed[name] = wanted[name] = tensor
            continue
        experts, rows, columns = tensor.shape[0], tensor.shape[2], tensor.shape[1]  # of a matrix: the model holds it turned
        blocks = torch.randint(0, 256, (experts, rows, columns // 32, 16), dtype=torch.uint8)
        scales = torch.randint(118, 128, (experts, rows, columns // 32), dtype=torch.uint8)
        packed[f"{name}_blocks"], packed[f"{name}_scales"] = blocks, scales
        wanted[name] = convert_moe_packed_tensors(blocks, scales)
    (source / "model.safetensors").unlink()
    save_file(packed, source / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    (source / "config.json").write_text(json.dumps(config))
    out = dense(program, source, folder)
    if not same({k: v.contiguous() for k, v in wanted.items()}, tensors_of(out)):
        raise RuntimeError("other numbers than transformers unpacks")
    if "quantization_config" in json.loads((out / "config.json").read_text()):
        raise RuntimeError("config.json still says that it is quantized")
    return "as transformers unpacks it"


def main():
    args = parser_of(__doc__).parse_args()

    def told(path, profile, check):
        print(f"{path.name:26} {profile:14} {check()}", flush=True)
        return True

    def work(path, folder):
        checks = [("plain", lambda: check_plain(args.program, path, folder))]
        checks += [(p, lambda p=p: check_profile(args.program, path, p, folder)) for p in PROFILES]
        if json.loads((path / "config.json").read_text())["model_type"] == "gpt_oss":
            checks.append(("mxfp4", lambda: check_mxfp4(args.program, path, folder)))
        return [(p, lambda p=p, check=check: told(path, p, check)) for p, check in checks]

    judge(args.models, work)


if __name__ == "__main__":
    main()
