#!/usr/bin/env python3
"""Loads what `quantdial quantize` writes with transformers and compares it with what the program itself computes.

    python3 tools/reference/check_exports.py build/quantdial MODEL…

Needs torch, transformers and compressed-tensors; run by hand. Everything in float32. For each model and profile:

- `--verify`: the program's own loaders find what was to be written.
- Logits of token ids against `quantdial logits`, as a share of the largest. At most 2e-3, in practice 1e-6.
- Inputs in int8: compressed-tensors clamps to −128 where this program clamps to −127, and takes absmax / 127.5 for the scale of
  a token where this program takes absmax / 127. Where logits differ for that, they are compared with the inputs rounded as here,
  by the scales and schemes that transformers has loaded ("as here").
- Rounding activations is chaotic (check_accuracy.py): logits may then be twice as far apart as the reference moves when the inputs
  that it rounds are changed by one part in a million, the most of eight times. A change of the embeddings would not tell: int8
  inputs of the first layer take it away. Inputs per token are compared left alone, too.
- 64 tokens, greedily, where the model has a tokenizer: the same where inputs stay in 16 bits; else it is shown.
- Zero points and mixtures of experts: transformers 5.24 with compressed-tensors 0.20 loads them with dequantize=True alone, which
  computes weights in the type of the scales and drops what is said of inputs. So scales are F32 there. Experts with zero points
  it refuses, and of experts with several schemes it reads all by the first, without an error: neither is tried.
"""
import json
import shutil
import types

import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, CompressedTensorsConfig
from transformers.utils import logging

from judging import judge, parser_of, run

logging.set_verbosity_error()
logging.disable_progress_bar()

MOST = 2e-3
NOISE = None  # a generator: inputs are disturbed by it
MIXED = {"quantdial_recipe": 2, "weights": {"bits": 4, "granularity": "channel"}, "activations": {"policy": "none"},
         "overrides": [{"match": "*.0.*", "weights": {"bits": 8}}, {"match": "*down_proj", "weights": {"bits": 8}},
                       {"match": "*fc2", "weights": {"bits": 8}}, {"match": "*w2", "weights": {"bits": 8}},
                       {"match": "*o_proj", "weights": {"granularity": "group", "group_size": 16}}]}
# name → options. GROUP becomes a size that divides the model's columns, or channels.
PROFILES = {
    "w4a16": "--activations none GROUP",
    "w4a16-asym": "--activations none --grid asymmetric GROUP",
    "w8a16": "--activations none --weight-bits 8 --granularity channel",
    "w8a16-tensor": "--activations none --weight-bits 8 --granularity tensor",
    "w8a8-static": "--activations static --weight-bits 8 --granularity channel",
    "w8a8-token": "--activations token --weight-bits 8 --granularity channel",
    "w4a8-static": "--activations static GROUP",
    "w4a8-token": "--activations token GROUP",
    "w4a8-lae": "--activations fptq --v0 1 --v1 1000 --fold all GROUP",
    "w4a8-smooth": "--activations smoothquant --fold all GROUP",
    "mixed": "--recipe MIXED",
    "w3a16": "--activations none --weight-bits 3 --allow-odd-bits GROUP",
}


def options_of(profile, config, folder):
    text = config.get("text_config", config)
    sizes = [text.get(k) for k in ("hidden_size", "intermediate_size", "ffn_dim") if text.get(k)]
    group = next((g for g in (64, 32, 16) if all(s % g == 0 and s > g for s in sizes)), None)
    words = PROFILES[profile].replace("GROUP", f"--granularity group --group-size {group}" if group else "--granularity channel")
    recipe = dict(MIXED)
    if not group:
        recipe["overrides"] = [o for o in MIXED["overrides"] if "o_proj" not in o["match"]]
    (folder / "mixed.json").write_text(json.dumps(recipe))
    return words.replace("MIXED", str(folder / "mixed.json")).split()


def quantized(model):
    return [m for _, m in model.named_modules() if getattr(m, "quantization_scheme", None) is not None]


def logits_of(model, ids):
    with torch.no_grad():
        return model(torch.tensor([ids])).logits[0].float()


def share(a, b):
    return float((a - b).abs().max() / b.abs().max())


def without_inputs(model):
    """The same weights, inputs left alone: what the modules compute without compressed-tensors' forward."""
    for module in quantized(model):
        module.forward = types.MethodType(torch.nn.Linear.forward, module)


def round_here(module, x):
    scheme = module.quantization_scheme.input_activations
    if scheme is not None:
        scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127 if scheme.dynamic else module.input_scale
        if NOISE is not None:
            x = x * (1 + 1e-6 * torch.randn(x.shape, generator=NOISE))
        x = torch.clamp(torch.round(x * (1 / scale)), -127, 127) * scale
    return torch.nn.functional.linear(x, module.weight, module.bias)


def with_inputs_as_here(model):
    for module in quantized(model):
        module.forward = types.MethodType(round_here, module)


def disturbed(model, ids):
    """How far the logits move when what is rounded is changed by one part in a million before."""
    global NOISE
    before, most = logits_of(model, ids), 0.0
    for seed in range(8):
        NOISE = torch.Generator().manual_seed(seed)
        most = max(most, share(logits_of(model, ids), before))
    NOISE = None
    return most


def load(export, dequantize):
    extra = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if dequantize else {}
    config = AutoConfig.from_pretrained(export)
    if (config.get_text_config().pad_token_id or 0) >= config.get_text_config().vocab_size:  # of the family, in tiny models
        config.get_text_config().pad_token_id = None
    model = AutoModelForCausalLM.from_pretrained(export, config=config, dtype=torch.float32, **extra)
    return (model.float() if dequantize else model).eval()


def greedy(model, folder, prompt):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    with torch.no_grad():
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=64, do_sample=False)
    return tokenizer.decode(out[0][ids.shape[1]:], skip_special_tokens=True)


def check(program, path, profile, folder, text):
    config = json.loads((path / "config.json").read_text())
    experts = any("expert" in key for key in config)
    dequantize = experts or profile.endswith("-asym")
    if experts and ("a8" in profile or profile in ("mixed", "w4a16-asym")):
        return True  # see above
    words = options_of(profile, config, folder) + (["--scale", "f32"] if dequantize else [])
    export, file = folder / "export", folder / "logits.safetensors"
    shutil.rmtree(export, ignore_errors=True)
    common = ["--precision", "f32", "--quiet"] + ([] if text else ["--random-tokens", "--calibration-tokens", "2048"])
    dials = [w for w in words if w != "--allow-odd-bits"]
    run(program, "quantize", path, "-o", export, "--verify", *common, *words)
    vocab = config.get("vocab_size") or config["text_config"]["vocab_size"]
    ids = [(7 * i * i + 3 * i + 5) % vocab for i in range(24)]
    wanted = ["--ids", ",".join(map(str, ids)), "-o", file]
    model = load(export, dequantize)
    found = logits_of(model, ids)
    note = ""
    if profile.endswith("-token"):
        run(program, "logits", path, *common, *dials, "--activations", "none", *wanted)
        ours, moved = load_file(file)["logits"], found
        without_inputs(model)
        found = logits_of(model, ids)
        note = f" (inputs move them by {share(moved, found):.1e})"
        if share(moved, found) == 0:
            raise RuntimeError("transformers ignores the inputs")
    else:
        run(program, "logits", path, *common, *dials, *wanted)
        ours = load_file(file)["logits"]
    away, same, most = share(found, ours), "", MOST
    shown = away
    if text and not profile.endswith("-token"):
        said = json.loads(run(program, "generate", path, *common, *dials, "--json", "--chat", "off", "--prompt", text))
        same = greedy(model, export, text) == said["quantized"]["text"]
    if away > MOST and "a8" in profile and not profile.endswith("-token"):
        with_inputs_as_here(model)
        here, moves = share(logits_of(model, ids), ours), disturbed(model, ids)
        note = f" (as here {here:.1e}, disturbed {moves:.1e})"
        away, most = here, max(MOST, 2 * moves)
    print(f"{path.name:26} {profile:14} {shown:.1e}{note} {'' if same == '' else 'same text' if same else 'OTHER TEXT'}", flush=True)
    return away <= most and (same is not False or "a8" in profile)


def main():
    parser = parser_of(__doc__, PROFILES)
    parser.add_argument("--prompt", default="Once upon a time")
    args = parser.parse_args()

    def work(path, folder):
        text = args.prompt if (path / "tokenizer.json").exists() else None
        return [(p, lambda p=p: check(args.program, path, p, folder, text)) for p in args.profiles.split(",")]

    judge(args.models, work)


if __name__ == "__main__":
    main()
