"""Writes tests/fixtures/quant/grids.json: what methods.py makes of the matrices in matrices.safetensors on every number grid,
as hashes, and the factors of SmoothQuant. Run after make_quant_fixtures.py, from the top of the checkout:

    python3 tools/reference/make_grid_fixtures.py

Needs numpy. The same numbers every time.
"""

import json
import os

import numpy as np

import methods

FOLDER = "tests/fixtures/quant"
SCALE_BITS = {"F32": 32, "F16": 16, "BF16": 16}
random = np.random.default_rng(20250311)


def read_matrices(path):
    """Name → (type, float32 values): a safetensors file by hand, because numpy has no BF16."""
    with open(path, "rb") as f:
        data = f.read()
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    result = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        raw = body[slice(*entry["data_offsets"])]
        if entry["dtype"] == "BF16":
            values = (np.frombuffer(raw, "<u2").astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(raw, "<f4" if entry["dtype"] == "F32" else "<f2").astype(np.float32)
        result[name] = (entry["dtype"], values.reshape(entry["shape"]))
    return result


def hash_of(parts):
    present = [np.ascontiguousarray(part).tobytes() for part in parts if part is not None]
    value = methods.hash_bytes(present[0])
    for part in present[1:]:
        value = methods.hash_bytes(part, value)
    return f"{value:016x}"


def schemes(grid, dtype, columns):
    """(bits, granularity, group, scale type, clip)"""
    stored = "BF16" if dtype == "BF16" else "F16"
    for bits in (2, 3, 4, 8):
        yield bits, "group", min(32, columns), stored, "absmax"
        yield bits, "group", min(48, columns), "F32", "mse"
    yield 4, "group", min(16, columns), "F16", "mse"
    if grid != "two-level":
        yield 4, "tensor", columns, stored, "absmax"
        yield 4, "channel", columns, "F32", "absmax"
        yield 3, "channel", columns, "BF16", "mse"


def grid_cases(matrices):
    cases = []
    for name, (dtype, w) in sorted(matrices.items()):
        rows, columns = w.shape
        for grid in methods.GRIDS:
            for bits, granularity, group, scale, clip in schemes(grid, dtype, columns):
                if grid == "symmetric" and clip == "absmax":
                    continue  # make_quant_fixtures.py has them
                whole = granularity == "tensor"
                parts = methods.quantize_on(grid, w, bits, group, scale, clip, per_tensor=whole)
                size = methods.bits_per_weight(grid, bits, group, rows, columns, SCALE_BITS[scale], whole)
                cases.append([name, grid, bits, granularity, group, scale, clip, size, hash_of(parts)])
    return cases


def divided_cases(matrices):
    """Rows divided after columns were multiplied, as a linear between two equalized inputs has it."""
    cases = []
    for name in ("gauss", "gauss_partial"):
        w = matrices[name][1]
        columns = methods.lae_factors(random.exponential(20, w.shape[1]), 1.0)
        rows = methods.lae_factors(random.exponential(20, w.shape[0]), 1.0)
        parts = methods.quantize_on("symmetric", w, 4, 32, "F32", factors=columns, divisors=rows)
        cases.append({"matrix": name, "columns": [float(c) for c in columns], "rows": [float(r) for r in rows], "hash": hash_of(parts)})
    return cases


def numbers(array):
    """Nine digits are enough for a float, and keep the file small."""
    return [float(f"{x:.9g}") for x in np.asarray(array, np.float64).ravel()]


def product_cases(matrices):
    """x [3, 100] times "gauss_partial", whose rows of 100 end in a partial group, on every grid and with every treatment of x."""
    w = matrices["gauss_partial"][1]
    x = (random.standard_normal((3, 100)) * np.where(np.arange(100) == 7, 30, 1)).astype(np.float32)
    cases = []
    for grid in methods.GRIDS:
        for bits in (4, 8):
            parts = methods.quantize_on(grid, w, bits, 32, "BF16")
            values = methods.weight_numbers(grid, bits, 32, *parts)
            for mode in ("none", "static", "token", "channel"):
                seen = methods.seen_activations(mode, x, 0.5)
                cases.append({"grid": grid, "bits": bits, "mode": mode, "y": numbers(seen @ values.T)})
    return {"x": numbers(x), "tokens": 3, "group": 32, "static": 0.5, "cases": cases}


def cache_case():
    """Four query heads over two kv heads of 12 numbers, seven positions."""
    q, k, v = (random.standard_normal((heads, 7, 12)).astype(np.float32) for heads in (4, 2, 2))
    k[1, 3] = 0
    y = methods.attention(q, methods.int8_rows(k.reshape(-1, 12)).reshape(k.shape), methods.int8_rows(v.reshape(-1, 12)).reshape(v.shape), 0.25)
    by_token = [numbers(np.swapaxes(a, 0, 1)) for a in (q, k, v)]
    return {"heads": 4, "kv_heads": 2, "dim": 12, "positions": 7, "scale": 0.25, "q": by_token[0], "k": by_token[1], "v": by_token[2], "y": numbers(y)}


def percentile_cases():
    return [{"percentile": p, "range": v, "scale": methods.percentile_scale(np.float32(p), np.float32(v))}
            for p, v in ((3.0, 100.0), (0.0, 100.0), (0.0, 0.0), (17.25, 17.5))]


def smooth_cases():
    absmax = np.concatenate([[0, 1e-40, 1, 300, 0.02], random.exponential(10, 27)]).astype(np.float32)
    weights = np.concatenate([[1, 1, 0, 0.5, 1e-40], random.exponential(0.1, 27)]).astype(np.float32)
    cases = [{"alpha": a, "factors": [float(f) for f in methods.smooth_factors(absmax, weights, a)]} for a in (0.0, 0.25, 0.5, 0.85, 1.0)]
    shared, rows = methods.shared_factors(methods.lae_factors(absmax, 1.0), 4, 2)
    return {"inputs": [float(m) for m in absmax], "weights": [float(w) for w in weights], "cases": cases,
            "shared": {"heads": 4, "kv_heads": 2, "columns": [float(f) for f in shared], "rows": [float(f) for f in rows]}}


def main():
    matrices = read_matrices(f"{FOLDER}/matrices.safetensors")
    cases = grid_cases(matrices)
    with open(f"{FOLDER}/grids.json", "w") as f:
        f.write('{\n  "grids": [\n' + ",\n".join("    " + json.dumps(c) for c in cases) + '\n  ],\n  "divided": ' + json.dumps(divided_cases(matrices))
                + ',\n  "smooth": ' + json.dumps(smooth_cases()) + ',\n  "products": ' + json.dumps(product_cases(matrices))
                + ',\n  "cache": ' + json.dumps(cache_case()) + ',\n  "percentiles": ' + json.dumps(percentile_cases()) + "\n}\n")
    os.chmod(f"{FOLDER}/grids.json", 0o644)
    print(f"{len(cases)} cases")


if __name__ == "__main__":
    main()
