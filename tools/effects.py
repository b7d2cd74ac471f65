#!/usr/bin/env python3
"""The first table of recipes in docs/measurements.md, from real runs of the program on the bundled sample.

    make && tools/effects.py            prints the table in Markdown
"""
import json
import subprocess
import sys

PROGRAM = "build/quantdial"
ROWS = [
    ("int8 per channel", "--weight-bits 8 --granularity channel --activations none"),
    ("int4 per tensor", "--granularity tensor --activations none"),
    ("int4 per channel", "--granularity channel --activations none"),
    ("int4 group 128", "--granularity group --group-size 128 --activations none"),
    ("int4 group 64", "--granularity group --group-size 64 --activations none"),
    ("int4 group 32", "--granularity group --group-size 32 --activations none"),
    ("int4 adaptive, alpha 0.1", "--alpha 0.1 --activations none"),
    ("int4 adaptive, alpha 0.3", "--activations none"),
    ("int4 adaptive, alpha 0.5", "--alpha 0.5 --activations none"),
    ("int3 group 32", "--weight-bits 3 --granularity group --group-size 32 --activations none"),
    ("int2 group 32", "--weight-bits 2 --granularity group --group-size 32 --activations none"),
    ("W4 adaptive, A8 static", "--activations static"),
    ("W4 adaptive, A8 FPTQ, v0 15", "--v0 15"),
    ("W4 adaptive, A8 FPTQ", ""),
    ("W4 adaptive, A8 per token", "--activations token"),
]


def evaluate(options):
    command = [PROGRAM, "eval", "--json", "--quiet", *options.split(), *sys.argv[1:]]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)


def main():
    print("| recipe | bits per weight | size | perplexity | KL (mean ± se) | same top-1 |")
    print("| --- | --- | --- | --- | --- | --- |")
    for index, (name, options) in enumerate(ROWS):
        result = evaluate(options)
        if index == 0:
            print(f"| as trained (BF16) | 16 | {result['base_bytes'] / 1e6:.1f} MB | {result['base']['ppl']:.3f} | 0 | 100 % |")
        kl = result["kl"]
        print(
            f"| {name} | {result['bits_per_weight']:.2f} | {result['bytes'] / 1e6:.1f} MB | {result['quantized']['ppl']:.3f} "
            f"| {kl['mean']:.4f} ± {kl['se']:.4f} | {100 * result['top1']:.1f} % |"
        )


if __name__ == "__main__":
    main()
