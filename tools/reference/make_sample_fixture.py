"""Writes tests/fixtures/quant/storyteller.*: what methods.py makes of the whole sample model. To be run again whenever the
sample changes, from the top of the checkout:

    python3 tools/reference/make_sample_fixture.py samples/storyteller

Activation ranges come from the model itself, run in float32 by transformers over the first tokens of its calibration text;
they are stored, so that the test (tests/test_sample_quant.c) does not depend on anybody's forward pass.
Needs numpy, torch, transformers and safetensors.
"""

import json
import os
import sys

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import methods

OUTPUT = "tests/fixtures/quant/storyteller"
TOKENS, SEQUENCE = 2048, 512

SCHEMES = [  # bits, granularity, group, scale type
    (4, "tensor", 0, "BF16"),
    (4, "channel", 0, "BF16"),
    (4, "group", 128, "BF16"),
    (4, "group", 32, "F16"),
    (8, "channel", 0, "F32"),
    (3, "group", 64, "BF16"),
    (2, "group", 16, "BF16"),
]
ADAPTIVE = [("shrink", 0.1, 0.01), ("shrink", 0.3, 0.01), ("shrink", 0.5, 0.01), ("shrink", 0.5, 0), ("literal", 0.7, 0.01), ("literal", 0.95, 0.2)]
FPTQ = [(15, 150, 1.0), (5, 30, 1.0), (2, 1000, 0.5), (0, 1000000, 1.0)]  # v0, v1, lae_alpha


def channel_ranges(folder):
    """Linear name → max |x| per input channel over the calibration tokens."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with open(os.path.join(folder, "calibration.txt"), encoding="utf-8") as f:
        ids = AutoTokenizer.from_pretrained(folder)(f.read(), add_special_tokens=False)["input_ids"][:TOKENS]
    ranges = {}

    def watch(name):
        def hook(module, inputs):
            absmax = inputs[0].detach().abs().reshape(-1, inputs[0].shape[-1]).amax(0)
            ranges[name] = torch.maximum(ranges[name], absmax) if name in ranges else absmax

        return hook

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and name.startswith("model.layers."):
            module.register_forward_pre_hook(watch(name))
    with torch.no_grad():
        for start in range(0, len(ids), SEQUENCE):
            model(torch.tensor([ids[start : start + SEQUENCE]]), use_cache=False)
    return {name: absmax.numpy() for name, absmax in ranges.items()}


def read_weights(folder, names):
    """Linear name → (float32 values, stored bytes)."""
    with safe_open(os.path.join(folder, "model.safetensors"), "pt") as f:
        stored = {name: f.get_tensor(name + ".weight") for name in names}
    return {name: (t.to(torch.float32).numpy(), t.contiguous().view(torch.uint8).numpy().tobytes()) for name, t in stored.items()}


def first_reader(name):
    """q, k, v share one input, and so do gate and up: the linear under whose name it is kept."""
    for other, first in (("k_proj", "q_proj"), ("v_proj", "q_proj"), ("up_proj", "gate_proj")):
        name = name.replace(other, first)
    return name


def foldable(name):
    """Attention and MLP each begin with a norm, whose gain takes up the factors."""
    return first_reader(name).endswith(("q_proj", "gate_proj"))


def hash_of(w, bits, granularity, group, scale, factors=None):
    codes, scales = methods.quantize(w, bits, group or w.shape[1], scale, factors, granularity == "tensor")
    return f"{methods.hash_bytes(scales.tobytes(), methods.hash_bytes(codes.tobytes())):016x}"


class Shares:
    """Voting shares of one matrix, each counted once."""

    def __init__(self, w):
        self.w, self.known = w, {}

    def __call__(self, rule, alpha):
        def share_of(size, part):
            key = (rule, alpha, size)
            if key not in self.known:
                self.known[key] = methods.voting_share(self.w, size, part, rule, alpha)
            return self.known[key]

        return share_of


def fptq_linear(name, w, ranges, shares, v0, v1, lae_alpha):
    absmax = ranges[first_reader(name)]
    policy, equalized, scale = methods.input_policy([True], absmax, v0, v1, lae_alpha, foldable(name))
    group = methods.adaptive_group(w.shape[1], shares("shrink", 0.3), 0.01, 32, 0)
    factors = methods.lae_factors(absmax, lae_alpha) if equalized else None
    return {"class": methods.fptq_class(float(absmax.max()), v0, v1), "policy": policy, "equalized": equalized, "scale": scale,
            "group": group, "hash": hash_of(w, 4, "group", group, "BF16", factors)}


def block(items):
    return "[\n" + ",\n".join("    " + json.dumps(item) for item in items) + "\n  ]"


def main(folder):
    ranges = channel_ranges(folder)
    names = list(ranges)
    weights = read_weights(folder, names)
    shares = {name: Shares(weights[name][0]) for name in names}
    whole = methods.hash_bytes(b"")
    for name in names:
        whole = methods.hash_bytes(weights[name][1], whole)

    schemes = [{"bits": b, "granularity": g, "group": n, "scale": s,
                "hashes": {name: hash_of(weights[name][0], b, g, n, s) for name in names}} for b, g, n, s in SCHEMES]
    adaptive = [{"rule": r, "alpha": a, "quorum": q,
                 "groups": {name: methods.adaptive_group(weights[name][0].shape[1], shares[name](r, a), q, 32, 0) for name in names}}
                for r, a, q in ADAPTIVE]
    fptq = [{"v0": v0, "v1": v1, "lae_alpha": a,
             "linears": {name: fptq_linear(name, weights[name][0], ranges, shares[name], v0, v1, a) for name in names}} for v0, v1, a in FPTQ]

    with open(OUTPUT + ".json", "w") as f:
        f.write(f'{{\n  "weights": "{whole:016x}",\n  "linears": {block(names)},\n  "schemes": {block(schemes)},\n'
                f'  "adaptive": {block(adaptive)},\n  "fptq": {block(fptq)}\n}}\n')
    inputs = {name: torch.from_numpy(np.ascontiguousarray(ranges[name])) for name in names if name == first_reader(name)}
    save_file(inputs, OUTPUT + ".safetensors")
    os.chmod(OUTPUT + ".safetensors", 0o644)
    print(f"{len(names)} linears, {len(inputs)} inputs")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
