"""Writes tests/fixtures/quant/noise.json: the noise that methods.py tells from the ranges of the matrices in matrices.safetensors,
what normal weights would have, and the group sizes that follow. Run after make_quant_fixtures.py, from the top of the checkout:

    python3 tools/reference/make_noise_fixture.py

Needs numpy. The same numbers every time.
"""

import functools
import json
import os

import make_grid_fixtures
import methods

FOLDER = make_grid_fixtures.FOLDER
MATRICES = ("gauss", "gauss_f16", "gauss_partial", "outlier_columns", "outlier_weights", "uniform", "zero_rows", "zeros", "halves", "tiny")
SCHEMES = (("symmetric", 4), ("symmetric", 3), ("asymmetric", 4), ("asymmetric", 2), ("two-level", 8), ("log2", 4))
methods.normal_squares = functools.lru_cache(None)(methods.normal_squares)


def lines(items):
    return "[\n" + ",\n".join("    " + json.dumps(item) for item in items) + "\n  ]"


def main():
    weights = {name: values for name, (_, values) in make_grid_fixtures.read_matrices(f"{FOLDER}/matrices.safetensors").items()}
    noise, groups = [], []
    for name in MATRICES:
        w = weights[name]
        sizes = methods.ladder(w.shape[1])
        for grid, bits in SCHEMES:
            if len(sizes) > 1:
                noise.append([name, grid, bits, [methods.noise_of(w, size, grid, bits) for size in sizes]])
            for alpha in (0, 0.1, 0.2, 0.3, 0.45, 0.6, 1):
                for least, most in ((32, 0), (16, 0), (64, 128), (128, 32)):
                    groups.append([name, grid, bits, alpha, least, most, methods.group_by_noise(w, alpha, grid, bits, least, most)])
    ceilings = [[alpha / 20, grid, bits, methods.noise_ceiling(alpha / 20, grid, bits)] for alpha in range(21) for grid, bits in SCHEMES]
    path = f"{FOLDER}/noise.json"
    with open(path, "w") as f:
        f.write('{\n  "noise": ' + lines(noise) + ',\n  "ceilings": ' + lines(ceilings) + ',\n  "groups": ' + lines(groups) + "\n}\n")
    os.chmod(path, 0o644)
    print(f"{len(noise)} noises, {len(ceilings)} ceilings, {len(groups)} group sizes")


if __name__ == "__main__":
    main()
