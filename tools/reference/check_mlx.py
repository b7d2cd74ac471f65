#!/usr/bin/env python3
"""Loads what `quantdial quantize --format mlx` writes with mlx-lm and compares it with what the program itself computes.

    python3 tools/reference/check_mlx.py build/quantdial MODEL…

Needs mlx (mlx[cpu] on Linux), mlx-lm, numpy; run by hand. Everything in float32. For each model and profile:

- mx.dequantize in float32 against the numbers that --format dense --dtype f32 writes: bit for bit where the grid is symmetric and
  scales have 16 bits, which leaves nothing to round; else scales are F32, and products of zero points and scales are rounded.
- Logits of token ids against `quantdial logits`, as a share of the largest: at most 1e-3, in practice 1e-5; up to 6e-4 for Gemma and
  GPT-NeoX, whose GELU mlx-lm computes in another way.
- 64 tokens, greedily, where the model has a tokenizer.
"""
import itertools
import json
import shutil

import mlx.core as mx
import numpy as np
from mlx.utils import tree_map
from mlx_lm import generate, load
from mlx_lm.utils import load_model

from judging import judge, parser_of, run

# name → options. GROUP becomes a size that divides the model's columns, or channels.
PROFILES = {
    "w4": "GROUP",
    "w8": "--weight-bits 8 --granularity channel",
    "w3": "--weight-bits 3 GROUP",
    "w2": "--weight-bits 2 GROUP",
    "w4-asym": "--grid asymmetric GROUP",
    "mixed": "--recipe MIXED",
}
MIXED = {"quantdial_recipe": 2, "weights": {"bits": 4, "granularity": "channel"}, "activations": {"policy": "none"},
         "overrides": [{"match": "*layers.0.*", "weights": {"bits": 8}}, {"match": "*o_proj", "weights": {"bits": 2}},
                       {"match": "*layers.1.*down_proj", "weights": {"bits": 3}}, {"match": "*layers.1.*w2", "weights": {"bits": 8}}]}


def options_of(profile, config, folder):
    text = config.get("text_config", config)
    sizes = [text[k] for k in ("hidden_size", "intermediate_size") if text.get(k)]
    group = next((g for g in (64, 32) if all(s % g == 0 and s > g for s in sizes)), None)
    (folder / "mixed.json").write_text(json.dumps(MIXED))
    words = PROFILES[profile].replace("GROUP", f"--granularity group --group-size {group}" if group else "--granularity channel")
    return words.replace("MIXED", str(folder / "mixed.json")).split()


def weights_of(folder):
    weights = {}
    for file in folder.glob("model*.safetensors"):
        weights.update(mx.load(str(file)))
    return weights


def numbers_of(plain, module):
    """Of a module of mlx-lm. Experts are one by one where they are no codes, under other names in block_sparse_moe."""
    if f"{module}.weight" in plain:
        return plain[f"{module}.weight"]
    stem, _, part = module.rpartition(".switch_mlp.")
    if stem.endswith("block_sparse_moe"):
        part = {"gate_proj": "w1", "down_proj": "w2", "up_proj": "w3"}[part]
    names = itertools.takewhile(plain.__contains__, (f"{stem}.experts.{e}.{part}.weight" for e in itertools.count()))
    return mx.stack([plain[n] for n in names])


def worst_weight(export, dense, config):
    """The largest difference of a weight, as a share of the largest weight of its matrix."""
    packed, plain, worst, count = weights_of(export), weights_of(dense), 0.0, 0
    for name in packed:
        if not name.endswith(".scales"):
            continue
        module = name[:-len(".scales")]
        scales, biases = (packed[f"{module}.{k}"].astype(mx.float32) for k in ("scales", "biases"))
        codes, wanted = packed[f"{module}.weight"], numbers_of(plain, module).astype(mx.float32)
        group, bits = wanted.shape[-1] // scales.shape[-1], codes.shape[-1] * 32 // wanted.shape[-1]
        found = mx.dequantize(codes, scales, biases, group_size=group, bits=bits)
        worst = max(worst, float(mx.abs(found - wanted).max() / mx.abs(wanted).max()))
        count += 1
    if not count:
        raise RuntimeError("nothing is quantized")
    return worst


def check(program, path, profile, folder, text):
    config = json.loads((path / "config.json").read_text())
    export, dense, file = folder / "export", folder / "dense", folder / "logits.safetensors"
    for old in (export, dense):
        shutil.rmtree(old, ignore_errors=True)
    words = [*options_of(profile, config, folder), "--scale", "f32" if "asym" in profile else "bf16", "--activations", "none", "--quiet"]
    run(program, "quantize", path, "-o", export, "--format", "mlx", "--verify", *words)
    run(program, "quantize", path, "-o", dense, "--format", "dense", "--dtype", "f32", *words)
    weight = worst_weight(export, dense, config)
    vocab = config.get("vocab_size") or config["text_config"]["vocab_size"]
    ids = [(7 * i * i + 3 * i + 5) % vocab for i in range(24)]
    run(program, "logits", path, "--precision", "f32", *words, "--ids", ",".join(map(str, ids)), "-o", file)
    ours = np.array(mx.load(str(file))["logits"])
    model, _ = load_model(export)
    model.update(tree_map(lambda a: a.astype(mx.float32) if mx.issubdtype(a.dtype, mx.floating) else a, model.parameters()))
    found = np.array(model(mx.array([ids]))[0])
    away, same = float(np.abs(found - ours).max() / np.abs(ours).max()), ""
    if text:
        said = json.loads(run(program, "generate", path, "--precision", "f32", *words, "--json", "--chat", "off", "--prompt", text))
        tokenizer = load(str(export))[1]
        found = generate(model, tokenizer, prompt=text, max_tokens=64)
        same = found.lstrip(" ") == said["quantized"]["text"].lstrip(" ")  # mlx-lm drops a space at the beginning
    print(f"{path.name:26} {profile:10} weights {weight:.1e} logits {away:.1e} "
          f"{'' if same == '' else 'same text' if same else 'OTHER TEXT'}", flush=True)
    return weight <= (1e-6 if "asym" in profile else 0) and away <= 1e-3 and same is not False


def main():
    parser = parser_of(__doc__, PROFILES)
    parser.add_argument("--prompt", default="Once upon a time")
    args = parser.parse_args()
    mx.set_default_device(mx.cpu)

    def work(path, folder):
        text = args.prompt if (path / "tokenizer.json").exists() else None
        return [(p, lambda p=p: check(args.program, path, p, folder, text)) for p in args.profiles.split(",")]

    judge(args.models, work)


if __name__ == "__main__":
    main()
