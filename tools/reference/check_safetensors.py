#!/usr/bin/env python3
"""Whether damaged safetensors files get the verdict of the safetensors package.

    check_safetensors.py [PROGRAM [COUNT]]      build/quantdial, 1500 files

Headers are mutated at random; both read each file. Where the verdicts differ the reason must be one of the known:
duplicate names and keys, U+0000 in names and more than 8 dimensions are refused here; what is no matrix to quantize is
refused later. Run from the top of the source tree; needs the safetensors package.
"""
import json
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

from safetensors import safe_open

KNOWN = ("is there twice", "U+0000", "more than 8 dimensions")
LATER = ("holds no matrices", "no such tensor")


def header(rng):
    tensors, at = {}, 0
    for i in range(rng.randint(1, 3)):
        shape = [rng.choice([2, 4]), rng.choice([2, 3, 8])]
        size = shape[0] * shape[1] * 2
        tensors[f"t{i}.weight"] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return tensors, at


def mutate(rng):
    tensors, size = header(rng)
    entry = tensors[rng.choice(list(tensors))]
    change = rng.randrange(9)
    if change == 0:
        entry["data_offsets"][rng.randrange(2)] = rng.choice([0, 1, size, size + 1, 2**63, 2**64 - 1, -1, 1.5])
    elif change == 1:
        entry["shape"][rng.randrange(2)] = rng.choice([0, 1, 3, 2**32, 2**63, 2**64 - 1, -2, 2.0, "2", None])
    elif change == 2:
        entry["dtype"] = rng.choice(["F32", "I8", "bf16", "F4", "F8_E4M3", "C64", 7, None])
    elif change == 3:
        entry.pop(rng.choice(list(entry)))
    elif change == 4:
        entry["more"] = rng.choice([1, "x", [1, [2]], {"a": None}])
    elif change == 5:
        tensors["__metadata__"] = rng.choice([{"format": "pt"}, None, {"a": 1}, [], "x"])
    text = json.dumps(tensors).encode()
    if change == 6:
        at = rng.randrange(len(text))
        text = text[:at] + bytes([rng.choice(b'{}[],:"0 \n\\\x00\xff')]) + text[at + 1:]
    elif change == 7:
        text = rng.choice([b" ", b"\n\t", b"x", b"\x00"]) + text
    elif change == 8:
        text += rng.choice([b" ", b"\r\n", b"x", b"\x00", b"{}"])
    data = bytes(max(0, size + rng.choice([0, 0, 0, 0, 0, 0, 1, -1])))
    length = len(text) + rng.choice([0, 0, 0, 0, 0, 0, 0, 1, -1, 2**40])
    return struct.pack("<Q", max(0, length)) + text + data


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "build/quantdial"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1500
    rng, accepted, refused, known = random.Random(3), 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "model.safetensors"
        for i in range(count):
            path.write_bytes(mutate(rng))
            try:
                with safe_open(path, "np") as file:
                    file.keys()
                theirs = ""
            except Exception as error:
                theirs = str(error)
            run = subprocess.run([program, "inspect", "--no-cache", "--quiet", "--json", str(path)], capture_output=True,
                                 text=True)
            ours = "" if run.returncode == 0 or any(text in run.stderr for text in LATER) else run.stderr.strip()
            if not theirs and ours and any(text in ours for text in KNOWN):
                known += 1
            elif bool(ours) != bool(theirs):
                sys.exit(f"file {i}: here \"{ours}\", there \"{theirs}\": {path.read_bytes()!r}")
            accepted += not ours
            refused += bool(ours)
    print(f"{count} files: {accepted} accepted, {refused} refused, {known} of them for reasons of our own")


if __name__ == "__main__":
    main()
