#!/usr/bin/env python3
"""What quantizing does to the sample model: a plain reference in Python, used to place the outliers and to report on them.

    measure.py --model samples/storyteller [--tokens 16384]

Weights: symmetric int4, scale = absmax / 7 per group, rounding half to even.  Activations: symmetric int8.
"""
import argparse
import math
import os

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import LlamaForCausalLM

WINDOW = 512
LOW, HIGH = 15, 150         # FPTQ's two bounds
BEHIND_NORM = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj")


def load(path):
    return LlamaForCausalLM.from_pretrained(path, dtype=torch.float32).eval()


def windows(path, text, count=None):
    """[n, WINDOW] tokens of a text file of the sample."""
    tokenizer = Tokenizer.from_file(os.path.join(path, "tokenizer.json"))
    with open(text, encoding="utf-8") as f:
        ids = torch.tensor(tokenizer.encode(f.read()).ids)
    ids = ids[:len(ids) // WINDOW * WINDOW].view(-1, WINDOW)
    return ids[:count]


def linears(model):
    """{name: module} of the 42 linears, in order."""
    return {n.removeprefix("model.layers."): m for n, m in model.named_modules() if isinstance(m, nn.Linear) and n != "lm_head"}


@torch.no_grad()
def logits(model, tokens, batch=8):
    for part in tokens.split(batch):
        yield part, model(input_ids=part, use_cache=False).logits


def perplexity(model, tokens):
    total = 0.
    for part, out in logits(model, tokens):
        total += nn.functional.cross_entropy(out[:, :-1].reshape(-1, out.shape[-1]), part[:, 1:].reshape(-1), reduction="sum").item()
    return math.exp(total / (tokens.shape[0] * (WINDOW - 1)))


class Range:
    """What is kept of one linear's input."""

    def __init__(self, size):
        self.peak = torch.zeros(size)       # max |x| per channel
        self.energy = torch.zeros(size)     # sum of squares per channel
        self.tokens = []                    # max |x| per token

    def add(self, x):
        x = x.reshape(-1, x.shape[-1])
        self.peak = torch.maximum(self.peak, x.abs().amax(0))
        self.energy += x.square().sum(0)
        self.tokens.append(x.abs().amax(1))

    @property
    def max(self):
        return self.peak.max().item()

    @property
    def median(self):
        return torch.cat(self.tokens).median().item()


def ranges(model, tokens):
    """{name: Range} over the given tokens."""
    found, hooks = {}, []
    for name, module in linears(model).items():
        found[name] = Range(module.in_features)
        hooks.append(module.register_forward_pre_hook(lambda m, args, r=found[name]: r.add(args[0])))
    for _ in logits(model, tokens):
        pass
    for hook in hooks:
        hook.remove()
    return found


def quantize_weight(w, group, bits=4):
    """group: columns per scale, 0 = one scale for the matrix, -1 = one per row."""
    top = 2 ** (bits - 1) - 1
    shape = (1, -1) if group == 0 else (-1, w.shape[1] if group < 0 else group)
    x = w.reshape(shape)
    scale = (x.abs().amax(1, keepdim=True) / top).clamp(min=1e-30)
    return ((x / scale).round().clamp(-top, top) * scale).reshape(w.shape)


def quantize_static(x, scale):
    return (x / scale).round().clamp(-127, 127) * scale


def quantize_token(x):
    scale = (x.abs().amax(-1, keepdim=True) / 127).clamp(min=1e-30)
    return (x / scale).round() * scale


def policy_of(name, top):
    if top <= LOW:
        return "static"
    if top < HIGH and name.rsplit(".", 1)[1] in BEHIND_NORM:
        return "LAE"
    return "token"


class Quantized:
    """Within `with`, the model's linears are quantized; afterwards they are as before.
    groups: {name: group} or one number, None = weights stay.  activations: None, "static", "token", "fptq"."""

    def __init__(self, model, groups=None, activations=None, stats=None):
        self.model, self.groups, self.activations, self.stats = model, groups, activations, stats

    def __enter__(self):
        self.saved, self.hooks = {}, []
        for name, module in linears(self.model).items():
            w = self.saved[name] = module.weight.data
            policy, equalizer = self.activations, None
            if policy == "fptq":
                policy = policy_of(name, self.stats[name].max)
            if policy == "LAE":
                peak = self.stats[name].peak
                equalizer = torch.where(peak > 0, peak / torch.log2(2 + peak), torch.ones(()))
                w = w * equalizer
                scale = (peak / equalizer).max() / 127
            elif policy == "static":
                scale = self.stats[name].peak.max() / 127
            group = self.groups.get(name) if isinstance(self.groups, dict) else self.groups
            module.weight.data = w if group is None else quantize_weight(w, group)
            if policy == "token":
                self.hooks.append(module.register_forward_pre_hook(lambda m, a: (quantize_token(a[0]),)))
            elif policy == "static":
                self.hooks.append(module.register_forward_pre_hook(lambda m, a, s=scale: (quantize_static(a[0], s),)))
            elif policy == "LAE":
                self.hooks.append(module.register_forward_pre_hook(lambda m, a, s=scale, e=equalizer: (quantize_static(a[0] / e, s),)))
        return self.model

    def __exit__(self, *_):
        for name, module in linears(self.model).items():
            module.weight.data = self.saved[name]
        for hook in self.hooks:
            hook.remove()


def adaptive_group(w, alpha=.3, quorum=.01, floor=32):
    """FineQuant's walk down the ladder.  Returns the group size and the share of votes at each step tried."""
    ladder = [w.shape[1]] + [2 ** k for k in range(20, 0, -1) if w.shape[1] % 2 ** k == 0 and floor <= 2 ** k < w.shape[1]]
    size, votes = ladder[0], []
    for smaller in ladder[1:]:
        parts = w.abs().reshape(-1, size // smaller, smaller).amax(2)
        whole = parts.amax(1)
        share = (1 - parts.amin(1) / whole > alpha).float().mean().item()
        votes.append((size, smaller, share))
        if share < quorum:
            break
        size = smaller
    return size, votes


def report(model, calibration, evaluation):
    stats = ranges(model, calibration)
    print("\nInputs of the linears over the calibration text (q, k, v share one, gate and up share one)\n")
    print("| input of | max abs x | median of the tokens' max | channel | FPTQ with v0 15 |\n| --- | --- | --- | --- | --- |")
    for name, r in stats.items():
        if name.endswith(("k_proj", "v_proj", "up_proj")):
            continue
        label = name.replace("q_proj", "q,k,v").replace("gate_proj", "gate,up").replace("self_attn.", "").replace("mlp.", "").replace("_proj", "")
        print(f"| {label} | {r.max:.4g} | {r.median:.3g} | {r.peak.argmax().item()} | {policy_of(name, r.max)} |")
    base = perplexity(model, evaluation)
    print(f"\nPerplexity on {evaluation.numel()} tokens of the evaluation text: {base:.4f}\n")

    def line(label, **how):
        with Quantized(model, stats=stats, **how):
            value = perplexity(model, evaluation)
        print(f"| {label} | {value:.4f} | {100 * (value / base - 1):+.1f} % |", flush=True)
    groups = {}
    for alpha in (.3, .5):
        groups[alpha] = {name: adaptive_group(m.weight.data, alpha) for name, m in linears(model).items()}
    print("| quantized | perplexity | change |\n| --- | --- | --- |")
    for label, group in (("per tensor", 0), ("per channel", -1), ("g128", 128), ("g64", 64), ("g32", 32)):
        line(f"W4 {label}", groups=group)
    for alpha in groups:
        line(f"W4 adaptive, alpha {alpha}", groups={n: g for n, (g, _) in groups[alpha].items()})
    for policy in ("static", "token", "fptq"):
        line(f"A8 {policy}", activations=policy)
    for label, group in (("g128", 128), ("g64", 64), ("adaptive", {n: g for n, (g, _) in groups[.3].items()})):
        for policy in ("static", "token", "fptq"):
            line(f"W4 {label} A8 {policy}", groups=group, activations=policy)
    print("\nAdaptive group sizes: share of groups that vote at each step, alpha 0.3\n")
    print("| matrix | group | votes | group at alpha 0.5 | weight SQNR in dB: per channel, g128, g64, g32 |\n| --- | --- | --- | --- | --- |")
    for name, (group, votes) in groups[.3].items():
        steps = ", ".join(f"{a}→{b} {100 * s:.2f} %" for a, b, s in votes)
        weight = linears(model)[name].weight.data
        sqnr = [10 * math.log10(weight.square().sum() / (quantize_weight(weight, g) - weight).square().sum()) for g in (-1, 128, 64, 32)]
        print(f"| {name} | {group} | {steps} | {groups[.5][name][0]} | {', '.join(f'{x:.1f}' for x in sqnr)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="samples/storyteller")
    parser.add_argument("--tokens", type=int, default=10 ** 9, help="at most so many of each text")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    count = max(1, args.tokens // WINDOW)
    texts = [windows(args.model, os.path.join(args.model, t + ".txt"), count) for t in ("calibration", "evaluation")]
    report(load(args.model), *texts)


if __name__ == "__main__":
    main()
