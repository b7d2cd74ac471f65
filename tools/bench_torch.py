#!/usr/bin/env python3
"""PyTorch's fp16 matmul and int4 matmul (tinygemm) on the shapes of tests/bench/gpu/bench_gpu.c, for comparison.

usage: bench_torch.py FOLDER     writes FOLDER/<device>-torch.json; compares with FOLDER/<device>.json if it is there
"""
import json
import os
import re
import sys

import torch

SHAPES = [("7B", 4096, 4096), ("7B", 11008, 4096), ("7B", 4096, 11008), ("70B", 8192, 8192), ("70B", 28672, 8192),
          ("70B", 8192, 28672), ("70B", 1024, 8192)]
BATCHES = [1, 2, 4, 8, 16, 32, 64, 128, 256]
GROUP = 64


def seconds(call, copies):
    """The median time of one call; each graph goes through all copies, which exceed the cache."""
    for i in range(copies):
        call(i)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for i in range(copies):
            call(i)
    graph.replay()
    torch.cuda.synchronize()
    times = []
    for _ in range(10):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        graph.replay()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end) / 1e3 / copies)
    return sorted(times)[len(times) // 2]


def int4_weights(out, columns, copies):
    packed = torch.randint(0, 256, (out, columns // 2), dtype=torch.uint8, device="cuda")
    weights = [torch.ops.aten._convert_weight_to_int4pack(packed, 8) for _ in range(copies)]
    scales = torch.rand(columns // GROUP, out, 2, dtype=torch.bfloat16, device="cuda")
    return weights, scales


def compare(ours, theirs):
    """Prints how many times as fast our int4 product is; the goal is to be ahead up to 16 tokens."""
    mine = {(p["out"], p["in"], p["batch"]): p["microseconds"] for p in ours if p["scheme"] == "int4 g64"}
    for batch in BATCHES:
        times = [row["int4_g64_microseconds"] / mine[row["out"], row["in"], batch] for row in theirs
                 if row["batch"] == batch and "int4_g64_microseconds" in row and (row["out"], row["in"], batch) in mine]
        if times:
            goal = "" if batch > 16 else ", goal > 1 in all: " + ("reached" if min(times) > 1 else "not reached")
            print(f"int4 g64, batch {batch}, times tinygemm: {min(times):.2f} … {max(times):.2f}{goal}")


def main():
    results = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, "products": []}
    for model, out, columns in SHAPES:
        copies = (256 << 20) // (out * columns * 2) + 1
        dense = [torch.randn(out, columns, dtype=torch.float16, device="cuda") for _ in range(copies)]
        fours = min((256 << 20) // (out * columns // 2) + 1, 64)
        try:
            weights, scales = int4_weights(out, columns, fours)
        except (RuntimeError, AttributeError) as error:
            print("no tinygemm:", error)
            weights = None
        for batch in BATCHES:
            x = torch.randn(batch, columns, dtype=torch.float16, device="cuda")
            x16 = x.to(torch.bfloat16)
            row = {"model": model, "out": out, "in": columns, "batch": batch}
            row["fp16_microseconds"] = 1e6 * seconds(lambda i: torch.mm(x, dense[i].t()), copies)
            if weights:
                row["int4_g64_microseconds"] = 1e6 * seconds(
                    lambda i: torch.ops.aten._weight_int4pack_mm(x16, weights[i], GROUP, scales), fours)
            results["products"].append(row)
            print(row)
    name = re.sub("[^a-zA-Z0-9]", "-", results["device"])
    with open(f"{sys.argv[1]}/{name}-torch.json", "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
    if os.path.exists(f"{sys.argv[1]}/{name}.json"):
        with open(f"{sys.argv[1]}/{name}.json", encoding="utf-8") as file:
            compare(json.load(file)["products"], results["products"])


main()
