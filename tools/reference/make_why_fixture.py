"""Writes tests/fixtures/quant/why.json: what the errors of a linear's output come from, by matrix products in double over the
matrices in matrices.safetensors. Run after make_quant_fixtures.py, from the top of the checkout:

    python3 tools/reference/make_why_fixture.py

Needs numpy. The same numbers every time.
"""

import json

import numpy as np

import methods
from make_grid_fixtures import FOLDER, numbers, read_matrices

ROWS, CONSTANT = 3, 0.5
CASES = (  # matrix, grid, bits, group, policy, columns multiplied by factors, rows divided
    ("gauss", "symmetric", 4, 32, "none", False, False),
    ("gauss", "symmetric", 8, 32, "static", False, False),
    ("gauss_partial", "asymmetric", 4, 32, "static", True, False),
    ("gauss_partial", "symmetric", 4, 32, "token", False, True),
    ("gauss_partial", "two-level", 8, 32, "token", True, True),
    ("gauss", "log2", 4, 32, "channel", True, False),
)
random = np.random.default_rng(20250601)


def energy(error):
    return float((error**2).sum())


def why(w, rounded, x, seen, absmax, reach):
    w, rounded, x, seen = (np.asarray(a, np.float64) for a in (w, rounded, x, seen))
    exact = x @ w.T
    columns = ((rounded - w) ** 2).sum(0) * absmax.astype(np.float64) ** 2
    return {
        "signal": energy(exact), "weights": energy(x @ rounded.T - exact), "input": energy(seen @ w.T - exact),
        "both": energy(seen @ rounded.T - exact), "column": int(columns.argmax()), "column_share": columns.max() / columns.sum(),
        "channel": int(reach.argmax()), "channel_absmax": float(reach.max()), "channel_ratio": float(reach.max() / np.median(reach)),
    }


def case_of(matrices, name, grid, bits, group, policy, multiplied, divided):
    dtype, w = matrices[name]
    x = (random.standard_normal((ROWS, w.shape[1])) * np.where(np.arange(w.shape[1]) == 17, 40, 1)).astype(np.float32)
    absmax = (np.abs(x).max(0) * 1.25).astype(np.float32)  # calibration saw more than the rows
    factors = methods.lae_factors(absmax, 1.0) if multiplied else np.ones(w.shape[1], np.float32)
    divisors = methods.lae_factors(random.exponential(20, w.shape[0]), 1.0) if divided else np.ones(w.shape[0], np.float32)
    parts = methods.quantize_on(grid, w, bits, group, "F32", factors=factors, divisors=divisors)
    rounded = methods.weight_numbers(grid, bits, group, *parts) * divisors[:, None].astype(np.float64) / factors
    seen = methods.seen_activations(policy, (x / factors).astype(np.float32), CONSTANT) * factors.astype(np.float64)
    return {"matrix": name, "grid": grid, "bits": bits, "group": group, "policy": policy, "x": numbers(x), "absmax": numbers(absmax),
            "factors": numbers(factors) if multiplied else None, "divisors": numbers(divisors) if divided else None,
            "expected": why(w, rounded, x, seen, absmax, absmax / factors)}


def main():
    matrices = read_matrices(f"{FOLDER}/matrices.safetensors")
    cases = [case_of(matrices, *case) for case in CASES]
    with open(f"{FOLDER}/why.json", "w") as f:
        f.write(json.dumps({"rows": ROWS, "constant": CONSTANT, "cases": cases}) + "\n")
    for case in cases:
        print(case["matrix"], case["grid"], case["policy"], {k: round(v, 4) for k, v in case["expected"].items()})


if __name__ == "__main__":
    main()
