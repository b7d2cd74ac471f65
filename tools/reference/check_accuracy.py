#!/usr/bin/env python3
"""Compares the figures of `quantdial eval` with transformers in float, on weights rounded here by the formulas of the
papers: 4-bit weights in groups of 64, activations left alone.

    check_accuracy.py build/quantdial samples/storyteller --windows 16

Needs torch, transformers and safetensors; run by hand.
"""
import argparse
import json
import subprocess

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

WINDOW, BITS, GROUP = 256, 4, 64


def round_weight(w):
    """Symmetric round-to-nearest-even per group along the inputs; scales in the weight's own type."""
    qmax = 2 ** (BITS - 1) - 1
    groups = w.float().reshape(w.shape[0], -1, GROUP)
    scale = (groups.abs().amax(-1, keepdim=True) / qmax).to(w.dtype).float()
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    codes = torch.clamp(groups / scale, -qmax, qmax).round()
    return (codes * scale).reshape(w.shape)


def log_probabilities(model, ids):
    with torch.no_grad():
        return torch.stack([model(w[None]).logits[0, :-1].double().log_softmax(-1) for w in ids])


def figures(folder, text, windows):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    rounded = {n: round_weight(p.data) for n, p in model.named_parameters() if n.endswith("_proj.weight")}
    model = model.float().eval()
    ids = AutoTokenizer.from_pretrained(folder)(open(text).read(), return_tensors="pt").input_ids[0]
    ids = ids[: windows * WINDOW].reshape(-1, WINDOW)
    base = log_probabilities(model, ids)
    for name, parameter in model.named_parameters():
        if name in rounded:
            parameter.data = rounded[name]
    other = log_probabilities(model, ids)
    target = ids[:, 1:, None]
    base_nll, nll = -base.gather(-1, target), -other.gather(-1, target)
    kl = (base.exp() * (base - other)).sum(-1).flatten().numpy()
    return {
        "tokens": kl.size,
        "base ppl": base_nll.mean().exp().item(),
        "ppl": nll.mean().exp().item(),
        "base ppl half": base_nll[:, WINDOW // 2 :].mean().exp().item(),
        "ppl half": nll[:, WINDOW // 2 :].mean().exp().item(),
        "kl mean": kl.mean(),
        "kl median": np.median(kl),
        "kl p99": np.percentile(kl, 99),
        "kl max": kl.max(),
        "top1": (base.argmax(-1) == other.argmax(-1)).double().mean().item(),
    }


def from_program(program, folder, text, windows):
    command = [program, "eval", folder, "--text", text, "--tokens", str(windows * WINDOW), "--precision", "f32", "--json", "--random-tokens",
               "--weight-bits", str(BITS), "--granularity", "group", "--group-size", str(GROUP), "--activations", "none"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {
        "tokens": found["tokens"],
        "base ppl": found["base"]["ppl"],
        "ppl": found["quantized"]["ppl"],
        "kl mean": found["kl"]["mean"],
        "kl median": found["kl"]["median"],
        "kl p99": found["kl"]["p99"],
        "kl max": found["kl"]["max"],
        "top1": found["top1"],
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--text")
    parser.add_argument("--windows", type=int, default=16)
    options = parser.parse_args()
    text = options.text or options.folder + "/evaluation.txt"
    expected = figures(options.folder, text, options.windows)
    found = from_program(options.program, options.folder, text, options.windows) if options.program != "-" else {}
    worst = 0
    for name, value in expected.items():
        got = found.get(name)
        difference = abs(got / value - 1) if got is not None else float("nan")
        worst = max(worst, difference if got is not None else 0)
        print(f"{name:14} transformers {value:.6f}  quantdial {got}  difference {difference:.1e}")
    raise SystemExit(worst > 1e-3)


if __name__ == "__main__":
    main()
