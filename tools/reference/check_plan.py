"""Group sizes that a plan chooses, and the codes and scales that are written by it, against the plain reference (methods.py).

  python check_plan.py PROGRAM MODEL...    each a folder with safetensors; weights of 4 bits, symmetric, sizes by noise

Prints a line for each model; exit status 1 where something differs.
"""

import json

import numpy as np
import torch
from judging import judge, parser_of, run
from methods import group_by_noise, quantize
from safetensors import safe_open

TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
BITS, ALPHA, MIN_GROUP = 4, 0.3, 32
OPTIONS = ["--activations", "none", "--weight-bits", str(BITS), "--alpha", str(ALPHA), "--granularity", "adaptive"]


def tensors_of(folder):
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        with safe_open(path, "pt") as file:
            found.update((name, file.get_tensor(name)) for name in file.keys())
    return found


def unpacked(words, columns):
    """int32 words of eight codes each, the first in the lowest bits, 8 above their value."""
    nibbles = (words.numpy().view(np.uint32)[:, :, None] >> (4 * np.arange(8, dtype=np.uint32))) & 15
    return nibbles.reshape(len(words), -1)[:, :columns].astype(np.int8) - 8


def differences(linear, weights, written):
    group = linear["group_size"] if linear["granularity"] == "group" else weights.shape[1]
    wanted = group_by_noise(weights, ALPHA, "symmetric", BITS, MIN_GROUP, 0)
    packed, scale = (written[f"{linear['name']}.{part}"] for part in ("weight_packed", "weight_scale"))
    codes, scales = quantize(weights, BITS, group, TYPES[scale.dtype])
    mine = unpacked(packed, weights.shape[1])
    return [group != wanted, int((mine != codes).sum()), int((scale.float().numpy() != scales).sum())]


def check(program, model, folder):
    plan = json.loads(run(program, "plan", model, *OPTIONS, "--json", "--quiet"))
    run(program, "quantize", model, *OPTIONS, "--format", "compressed-tensors", "-o", folder, "--quiet", "--overwrite")
    weights, written = tensors_of(model), tensors_of(folder)
    quantized = [linear for linear in plan["linears"] if linear["bits"]]
    wrong = np.array([differences(l, weights[l["name"] + ".weight"].float().numpy(), written) for l in quantized])
    sizes, codes, scales = wrong.sum(axis=0)
    print(f"{model.name:26} {len(quantized)} matrices; other sizes {sizes}, codes {codes}, scales {scales}")
    return not wrong.any()


def main():
    arguments = parser_of(__doc__).parse_args()
    judge(arguments.models, lambda path, folder: [("plan", lambda: check(arguments.program, path, folder))])


if __name__ == "__main__":
    main()
