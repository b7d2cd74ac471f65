#!/usr/bin/env python3
"""Compares `quantdial eval` with transformers: weights are the numbers that methods.py's codes stand for, activations are
rounded and given back as floats before each linear, keys and values before attention. Ranges are measured here, by hooks.

Rounding activations is chaotic: where sums are added in another order, a value now and then falls to the other side, the
next layer sees another input by one part in 127, and from there on most roundings differ. Two correct programs then agree
in distribution, not token by token. So activations are compared where they are rounded in one layer alone, each in turn (the
worst is shown), and where they are rounded everywhere beside how far the reference moves when its embeddings are changed by one
part in a million, four times: its mean and its standard deviation. A single layer may be chaotic, too: what goes beyond 1e-3
there counts as a failure unless one of four such changes does more to the reference.

    python3 tools/reference/check_accuracy.py build/quantdial samples/storyteller

Needs numpy, torch, transformers; run by hand. For Llama's layout of layers. It fails where perplexity or mean KL divergence,
in either direction, are further apart than 1e-3 of themselves. On the sample, 16 windows of 256 tokens, both in float, it found (KL divergence):

    W4 group 64 5e-07 · W3 asymmetric group 32 4e-08 · W4 two-level group 64 2e-07 · W4 by least squared error 2e-08 ·
    W4 group 64 with int8 cache 1e-04
    W4A8 in one layer, the worst of six: per token 2e-04, static 3e-04, FPTQ 1e-04, per channel 3e-04, SmoothQuant 1.3e-03 in
    the first layer, where the reference itself moves by 1e-04 to 4e-03 (a failure or not as these fall)
    W4A8 in all layers: per token 8e-03, static 2e-04, FPTQ 9e-03 and 2e-03, SmoothQuant 2e-02, per channel 1e-04, where the
    reference itself moves by 2e-03 to 5e-03

and on SmolLM2 135M (--texts samples/storyteller --windows 8), KL in both directions: W4 group 64 9e-08 and 2e-08, perplexity 1e-07
"""
import argparse
import json
import subprocess
import tempfile

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.llama import modeling_llama

import methods

WINDOW, SEQUENCE, CALIBRATION = 256, 512, 4096
READERS = {"q": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "o": ("self_attn.o_proj",),
           "gate": ("mlp.gate_proj", "mlp.up_proj"), "down": ("mlp.down_proj",)}
FOLDED = ("q", "gate")  # behind a norm
DISTURBANCE, DISTURBED_RUNS = 1e-6, 4

# name → the options of the program. What they mean is written down once more in Recipe.
ALONE = "one layer: "
RECIPES = {
    "W4 group 64": "--group-size 64 --activations none",
    "W3 asymmetric group 32": "--weight-bits 3 --grid asymmetric --group-size 32 --activations none",
    "W4 two-level group 64": "--grid two-level --group-size 64 --activations none",
    "W4 group 128, least squared error": "--clip mse --activations none",
    "W4 group 64, int8 cache": "--group-size 64 --activations none --cache-bits 8",
    ALONE + "W4A8 group 128, per token": "--activations token",
    ALONE + "W4A8 group 128, static": "--activations static",
    ALONE + "W4A8 group 128, FPTQ": "--activations fptq --v0 5",
    ALONE + "W4A8 group 64, SmoothQuant 0.5": "--group-size 64 --activations smoothquant --smooth-alpha 0.5 --unfoldable runtime",
    ALONE + "W4A8 group 64, per channel": "--group-size 64 --activations channel",
    "W4A8 group 128, per token": "--activations token",
    "W4A8 group 128, static": "--activations static",
    "W4A8 group 128, FPTQ": "--activations fptq",
    "W4A8 group 64, FPTQ, LAE alpha 0.5, v0 5": "--group-size 64 --activations fptq --lae-alpha 0.5 --v0 5",
    "W4A8 group 64, SmoothQuant 0.5": "--group-size 64 --activations smoothquant --smooth-alpha 0.5 --unfoldable runtime",
    "W4A8 group 64, per channel": "--group-size 64 --activations channel",
}


class Recipe:
    def __init__(self, text):
        words = text.split()
        given = dict(zip(words[::2], words[1::2]))
        self.bits, self.group = int(given.get("--weight-bits", 4)), int(given.get("--group-size", 128))
        self.grid, self.clip = given.get("--grid", "symmetric"), given.get("--clip", "absmax")
        self.policy, self.smooth_alpha = given["--activations"], float(given.get("--smooth-alpha", 0.5))
        self.v0, self.v1, self.lae_alpha = float(given.get("--v0", 15)), float(given.get("--v1", 150)), float(given.get("--lae-alpha", 1))
        self.cache_bits = int(given.get("--cache-bits", 16))


def watch_inputs(model, ids):
    """First reader of each input → max |x| per channel."""
    ranges, hooks = {}, []

    def hook(key):
        def see(module, inputs):
            absmax = inputs[0].detach().abs().reshape(-1, inputs[0].shape[-1]).amax(0)
            ranges[key] = torch.maximum(ranges[key], absmax) if key in ranges else absmax
        return see

    for i, layer in enumerate(model.model.layers):
        for key, readers in READERS.items():
            hooks.append(layer.get_submodule(readers[0]).register_forward_pre_hook(hook((i, key))))
    with torch.no_grad():
        for start in range(0, len(ids), SEQUENCE):
            model(ids[None, start : start + SEQUENCE], use_cache=False)
    for h in hooks:
        h.remove()
    return {key: absmax.numpy() for key, absmax in ranges.items()}


def decide(recipe, key, absmax, weights):
    """→ (mode of methods.seen_activations, factors or None, constant scale)"""
    if recipe.policy == "smoothquant":
        factors = methods.smooth_factors(absmax, np.abs(weights).max(0), recipe.smooth_alpha)
        return "static", factors, methods.static_scale((absmax / factors).max())
    if recipe.policy == "static":
        return "static", None, methods.static_scale(absmax.max())
    if recipe.policy != "fptq":
        return recipe.policy, None, 0.0
    policy, equalized, scale = methods.input_policy([True], absmax, recipe.v0, recipe.v1, recipe.lae_alpha, key in FOLDED)
    return policy, methods.lae_factors(absmax, recipe.lae_alpha) if equalized else None, scale


def rounds_input(mode, factors, scale):
    def hook(module, inputs):
        x = inputs[0][0].numpy()
        seen = methods.seen_activations(mode, x / factors if factors is not None else x, scale)
        return (torch.from_numpy(seen.astype(np.float32))[None],)
    return hook


def quantize(model, stored, recipe, ranges, layers):
    """Puts the rounded weights into the model and hooks before the linears of `layers`. → the hooks"""
    hooks = []
    for i, layer in enumerate(model.model.layers):
        for key, readers in READERS.items():
            linears = [layer.get_submodule(name) for name in readers]
            weights = [stored[i, name] for name in readers]
            mode, factors, scale = decide(recipe, key, ranges[i, key], np.concatenate(weights)) if i in layers else ("none", None, 0.0)
            for linear, w in zip(linears, weights):
                parts = methods.quantize_on(recipe.grid, w, recipe.bits, recipe.group, "BF16", recipe.clip, factors=factors)
                numbers = methods.weight_numbers(recipe.grid, recipe.bits, recipe.group, *parts)
                linear.weight.data = torch.from_numpy(numbers.astype(np.float32))
                if mode != "none":
                    hooks.append(linear.register_forward_pre_hook(rounds_input(mode, factors, scale)))
    return hooks


def rounded_rows(x):
    """[…, dim], each row as an int8 cache gives it back."""
    rows = methods.int8_rows(x.reshape(-1, x.shape[-1]).numpy())
    return torch.from_numpy(rows.astype(np.float32)).reshape(x.shape)


def round_cache(model):
    """Keys are rounded after rotation, values per head. → a function that undoes it"""
    dim, rotate = model.config.head_dim, modeling_llama.apply_rotary_pos_emb

    def rotate_and_round(q, k, *rest, **more):
        q, k = rotate(q, k, *rest, **more)
        return q, rounded_rows(k.contiguous())

    modeling_llama.apply_rotary_pos_emb = rotate_and_round
    hooks = [layer.self_attn.v_proj.register_forward_hook(lambda m, i, y: rounded_rows(y.reshape(*y.shape[:-1], -1, dim)).reshape(y.shape))
             for layer in model.model.layers]

    def undo():
        modeling_llama.apply_rotary_pos_emb = rotate
        for hook in hooks:
            hook.remove()
    return undo


def log_probabilities(model, ids, disturbed=0.0):
    hook = model.model.embed_tokens.register_forward_hook(lambda m, i, y: y * (1 + disturbed * torch.randn_like(y)))
    with torch.no_grad():
        result = torch.stack([model(w[None], use_cache=False).logits[0, :-1].double().log_softmax(-1) for w in ids])
    hook.remove()
    return result


def figures(ids, base, other):
    target = ids[:, 1:, None]
    kl, reverse = (base.exp() * (base - other)).sum(-1), (other.exp() * (other - base)).sum(-1)
    return {"base ppl": (-base.gather(-1, target)).mean().exp().item(), "ppl": (-other.gather(-1, target)).mean().exp().item(),
            "kl": kl.mean().item(), "reverse": reverse.mean().item()}


def moved(model, stored, recipe, ranges, layers, ids, base):
    """The figures of the reference when its embeddings are a little different, again and again."""
    hooks = quantize(model, stored, recipe, ranges, layers)
    found = [figures(ids, base, log_probabilities(model, ids, DISTURBANCE)) for _ in range(DISTURBED_RUNS)]
    for hook in hooks:
        hook.remove()
    return found


def from_program(program, folder, texts, tokens, options, untouched):
    """untouched: layers whose inputs stay as they are"""
    recipe = {"quantdial_recipe": 1, "ignore": ["lm_head"],
              "overrides": [{"match": f"model.layers.{i}.*", "activations": {"policy": "none"}} for i in untouched]}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(recipe, file)
        file.flush()
        return run_program(program, folder, texts, tokens, options, file.name)


def run_program(program, folder, texts, tokens, options, recipe):
    command = [program, "eval", folder, "--tokens", str(tokens), "--window", str(WINDOW), "--precision", "f32", "--json", "--no-cache",
               "--text", f"{texts}/evaluation.txt", "--calibration", f"{texts}/calibration.txt",
               "--calibration-tokens", str(CALIBRATION), "--recipe", recipe, "--granularity", "group", *options.split()]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {"base ppl": found["base"]["ppl"], "ppl": found["quantized"]["ppl"], "kl": found["kl"]["mean"],
            "reverse": found["kl_reverse"]["mean"]}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--texts", help="folder of evaluation.txt and calibration.txt, where it is not that of the model")
    parser.add_argument("--windows", type=int, default=16)
    parser.add_argument("--only", default="", help="a part of the name of the recipes to check")
    options = parser.parse_args()
    texts = options.texts or options.folder
    model = AutoModelForCausalLM.from_pretrained(options.folder, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = AutoTokenizer.from_pretrained(options.folder)

    def read(name, count):
        return tokenizer(open(f"{texts}/{name}", encoding="utf-8").read(), return_tensors="pt").input_ids[0][:count]

    ids = read("evaluation.txt", options.windows * WINDOW).reshape(-1, WINDOW)
    base = log_probabilities(model, ids)
    ranges = watch_inputs(model, read("calibration.txt", CALIBRATION))
    stored = {(i, name): layer.get_submodule(name).weight.detach().numpy().copy()
              for i, layer in enumerate(model.model.layers) for names in READERS.values() for name in names}
    layers = range(len(model.model.layers))
    failed = False
    for name, text in RECIPES.items():
        if options.only not in name:
            continue
        recipe, alone, worst = Recipe(text), name.startswith(ALONE), {}
        chaotic = recipe.policy != "none" and not alone
        for chosen in [[i] for i in layers] if alone else [layers]:
            hooks = quantize(model, stored, recipe, ranges, chosen)
            undo = round_cache(model) if recipe.cache_bits == 8 else lambda: None
            runs = [figures(ids, base, log_probabilities(model, ids, DISTURBANCE if chaotic else 0)) for _ in range(DISTURBED_RUNS if chaotic else 1)]
            undo()
            for hook in hooks:
                hook.remove()
            expected = {k: np.mean([run[k] for run in runs]) for k in runs[0]}
            found = from_program(options.program, options.folder, texts, ids.numel(), text, [i for i in layers if i not in chosen])
            for k in expected:
                off = found[k] / expected[k] - 1
                if alone and abs(off) > 1e-3:
                    failed |= max(abs(m[k] / expected[k] - 1) for m in moved(model, stored, recipe, ranges, chosen, ids, base)) < abs(off)
                worst[k] = max(worst.get(k, 0), off, key=abs)
        failed |= not chaotic and not alone and any(abs(off) > 1e-3 for off in worst.values())
        moves = {k: np.std([run[k] for run in runs], ddof=1) / expected[k] for k in expected} if chaotic else {}
        shown = f"   moves by {moves['ppl']:.0e}, {moves['kl']:.0e}, {moves['reverse']:.0e}" if chaotic else ""
        print(f"{name:45} perplexity {expected['ppl']:.5f} {worst['ppl']:+.0e}   KL {expected['kl']:.6f} {worst['kl']:+.0e}   "
              f"reversed {expected['reverse']:.6f} {worst['reverse']:+.0e}{shown}", flush=True)
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
