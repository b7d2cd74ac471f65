"""Writes tests/fixtures/quant/: small matrices and what methods.py makes of them. Run from the top of the checkout:

    python3 tools/reference/make_quant_fixtures.py

Needs numpy, torch (for BF16) and safetensors. The same numbers every time.
"""

import json
import os

import numpy as np
import torch
from safetensors.torch import save_file

import methods

FOLDER = "tests/fixtures/quant"
TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
random = np.random.default_rng(20240917)


def with_outliers(rows, columns, share, factor):
    w = random.standard_normal((rows, columns))
    return np.where(random.random((rows, columns)) < share, w * factor, w)


def exponents(rows, columns, low, high):
    return random.choice([-1, 1], (rows, columns)) * 2.0 ** random.uniform(low, high, (rows, columns))


def matrices():
    """Name → (type, values). Plain ones, and ones that sit on every edge."""
    some_zero_rows = random.standard_normal((6, 64))
    some_zero_rows[[1, 4]] = 0
    some_zero_rows[2, :32] = 0
    outlier_columns = random.standard_normal((8, 768))
    outlier_columns[:, [3, 400, 767]] *= 20
    halves = random.integers(-15, 16, (8, 32)) / 2
    halves[:, 0] = 7
    return {
        "gauss": ("BF16", random.standard_normal((12, 256)) * 0.04),
        "gauss_f16": ("F16", random.standard_normal((8, 176)) * 0.04),
        "gauss_partial": ("F32", random.standard_normal((6, 100))),
        "outlier_columns": ("BF16", outlier_columns),
        "outlier_weights": ("BF16", with_outliers(8, 512, 0.002, 30)),
        "uniform": ("F16", random.uniform(-1, 1, (8, 256))),
        "zero_rows": ("BF16", some_zero_rows),
        "zeros": ("F16", np.zeros((2, 48))),
        "halves": ("F32", halves),
        "huge": ("F32", exponents(4, 48, 90, 127.99)),
        "tiny": ("F32", exponents(4, 48, -149, -100)),
        "subnormal_f16": ("F16", exponents(4, 48, -24, -12)),
        "constant": ("BF16", np.full((2, 32), -0.3)),
        "one": ("F32", np.array([[0.7]])),
        "column": ("F16", random.standard_normal((5, 1))),
    }


def schemes(dtype, columns):
    """(bits, granularity, group, scale type): every dial in turn."""
    model_scale = "BF16" if dtype == "BF16" else "F16"
    for granularity, group in (("tensor", columns), ("channel", columns), ("group", 16), ("group", 32), ("group", 64)):
        if group <= columns:
            yield 4, granularity, group, model_scale
    for bits in (2, 3, 8):
        yield bits, "group", min(32, columns), model_scale
    for scale in ("F32", "F16", "BF16"):
        yield 4, "group", min(48, columns), scale


def quantized_cases(weights, dtypes, arrays):
    cases = []
    with_factors = {"gauss", "gauss_partial", "outlier_columns"}
    for name, w in weights.items():
        columns = w.shape[1]
        factors = None
        if name in with_factors:
            factors = methods.lae_factors(random.exponential(20, columns), 1.0)
            arrays[f"factors.{name}"] = torch.from_numpy(factors)
        plain = [(scheme, None) for scheme in schemes(dtypes[name], columns)]
        equalized = [(scheme, factors) for scheme in plain_subset(dtypes[name], columns)] if factors is not None else []
        for (bits, granularity, group, scale), f in plain + equalized:
            codes, scales = methods.quantize(w, bits, group, scale, f, granularity == "tensor")
            number = len(cases)
            arrays[f"codes.{number}"] = torch.from_numpy(codes)
            arrays[f"scales.{number}"] = torch.from_numpy(scales)
            cases.append({"matrix": name, "bits": bits, "granularity": granularity, "group": group, "scale": scale,
                          "equalized": f is not None})
    return cases


def plain_subset(dtype, columns):
    model_scale = "BF16" if dtype == "BF16" else "F16"
    return [(4, "group", 32, model_scale), (4, "tensor", columns, model_scale)]


def adaptive_cases(weights):
    cases = []
    for name in ("gauss", "gauss_f16", "gauss_partial", "outlier_columns", "outlier_weights", "uniform", "zero_rows", "zeros"):
        w = weights[name]
        for rule in ("shrink", "literal"):
            for thousandths in (0, 50, 100, 200, 300, 500, 600, 700, 850, 950, 1000):
                shares = {}

                def share_of(size, part):
                    if size not in shares:
                        shares[size] = methods.voting_share(w, size, part, rule, thousandths / 1000.0)
                    return shares[size]

                for quorum, min_group, max_group in ((0, 32, 0), (0.01, 32, 0), (0.01, 16, 0), (0.2, 16, 0), (0.01, 64, 128), (1, 16, 0)):
                    group = methods.adaptive_group(w.shape[1], share_of, quorum, min_group, max_group)
                    cases.append([name, rule, thousandths / 1000.0, quorum, min_group, max_group, group])
    return cases


def fptq_cases(arrays):
    absmax = np.concatenate([[0, 1e-45, 1e-38, 1, 2, 14, 62, 3e38], random.exponential(30, 56)]).astype(np.float32)
    arrays["lae.absmax"] = torch.from_numpy(absmax)
    factors = []
    for alpha in (1.0, 0.75, 0.5, 0.1, 0.0):
        arrays[f"lae.factors.{len(factors)}"] = torch.from_numpy(methods.lae_factors(absmax, alpha))
        factors.append(alpha)
    ranges = []
    for v in (0, 1e-40, 0.5, 14.99, 15, 15.01, 37.5, 149.99, 150, 150.01, 4000, 3e38):
        v = float(np.float32(v))
        ranges.append({"v": v, "class": methods.fptq_class(v, 15, 150), "scale": methods.static_scale(v),
                       "equalized_scale": methods.static_scale(methods.equalized_range([v], 1.0))})
    return {"lae_alphas": factors, "ranges": ranges}


def lines(items):
    return "[\n" + ",\n".join("    " + json.dumps(item) for item in items) + "\n  ]"


def main():
    stored = {name: (dtype, torch.tensor(values, dtype=TYPES[dtype])) for name, (dtype, values) in matrices().items()}
    dtypes = {name: dtype for name, (dtype, _) in stored.items()}
    weights = {name: tensor.to(torch.float32).numpy() for name, (_, tensor) in stored.items()}
    arrays = {}
    cases = quantized_cases(weights, dtypes, arrays)
    adaptive = adaptive_cases(weights)
    fptq = fptq_cases(arrays)
    os.makedirs(FOLDER, exist_ok=True)
    save_file({name: tensor for name, (_, tensor) in stored.items()}, f"{FOLDER}/matrices.safetensors")
    save_file({name: tensor.contiguous() for name, tensor in arrays.items()}, f"{FOLDER}/expected.safetensors")
    with open(f"{FOLDER}/cases.json", "w") as f:
        f.write('{\n  "quantized": ' + lines(cases) + ',\n  "adaptive": ' + lines(adaptive) + ',\n  "fptq": ' + json.dumps(fptq) + "\n}\n")
    for name in os.listdir(FOLDER):
        os.chmod(os.path.join(FOLDER, name), 0o644)
    print(f"{len(cases)} quantized, {len(adaptive)} adaptive cases")


if __name__ == "__main__":
    main()
