#!/usr/bin/env python3
"""What quantdial reads in GGUF files, against the gguf package, transformers and llama.cpp.

Logits of the program, in float, against those of transformers with the numbers that the package finds in the file. A file
that is not quantized has the very logits of its checkpoint. Token ids of the program, which has the file alone, against
those of llama.cpp, and of llama.cpp's vocabularies against the ids that it keeps beside them. And the perplexity by all three: llama.cpp
rounds the inputs of linears to 8 bits in blocks, so transformers computes it once more with such inputs.

    pip install gguf numpy safetensors torch transformers llama-cpp-python
    tools/reference/check_gguf_input.py PROGRAM MODEL FILE.gguf… [--text FILE] [--tokens N] [--bound 1e-5]
                                        [--vocabularies llama.cpp/models]

MODEL is the checkpoint that the files were made from, by quantdial, llama-quantize or convert_hf_to_gguf.py.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np
import torch
from safetensors.numpy import load_file

import check_gguf


def program_logits(program, file, ids):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "logits.safetensors"
        subprocess.run([program, "logits", file, "--base", "--precision", "f32", "-q", "--ids",
                        ",".join(map(str, ids)), "-o", out], check=True)
        return load_file(out)["logits"]


def program_ids(program, file, texts):
    lines = subprocess.run([program, "tokenize", file], input="\n".join(texts) + "\n", text=True, check=True,
                           capture_output=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def is_line(text):
    return "\n" not in text and "\r" not in text


def check_vocabularies(program, folder):
    """Of texts that are one line: ids without those that begin or end a text."""
    for texts in sorted(folder.glob("ggml-vocab-*.gguf.inp")):
        file = texts.with_suffix("")
        lines = texts.read_bytes().decode().split("\n__ggml_vocab_test__\n")
        wanted = [[int(i) for i in ids.split()] for ids in file.with_name(file.name + ".out").read_text().splitlines()]
        pairs = [(t, ids) for t, ids in zip(lines, wanted) if is_line(t)]
        try:
            around = program_ids(program, file, [""])[0]
            found = program_ids(program, file, [t for t, _ in pairs])
        except subprocess.CalledProcessError as error:
            print(f"     {file.name}: {error.stderr.strip()[-100:]}")
            continue
        different = [t for (t, ids), ours in zip(pairs, found) if ours[len(around):] != ids]
        check_gguf.say(not different, f"{file.name}: ids of {len(pairs)} texts {different}")


def check_ids(program, file, llama):
    texts = [t for t in check_gguf.TEXTS if t and is_line(t)]
    different = [t for t, ours in zip(texts, program_ids(program, file, texts))
                 if ours != llama.tokenize(t.encode(), add_bos=True, special=True)]
    check_gguf.say(not different, f"token ids of {len(texts)} texts equal llama.cpp's {different}")


def check_file(args, file):
    config = json.loads((args.model / "config.json").read_text())
    state, kinds = check_gguf.state_of(gguf.GGUFReader(file), config, check_gguf.model_tensors(args.model))
    llama = llama_cpp.Llama(str(file), n_ctx=args.tokens, n_batch=args.tokens, logits_all=True, verbose=False,
                            n_threads=2, type_k=0, type_v=0)
    check_ids(args.program, file, llama)
    text = args.text.read_bytes() if args.text else " ".join(check_gguf.TEXTS).encode()
    ids = llama.tokenize(text[:8 * args.tokens], add_bos=True)[:args.tokens]
    model, _ = check_gguf.model_of(args.model, state)
    with torch.no_grad():
        exact = model(torch.tensor([ids])).logits[0].numpy()
        check_gguf.round_inputs(model, kinds)
        rounded = model(torch.tensor([ids])).logits[0].numpy()
    ours = program_logits(args.program, file, ids)
    difference = float(np.abs(ours - exact).max() / np.abs(exact).max())
    check_gguf.say(difference <= args.bound, f"logits differ by {difference:.1e} of the largest from transformers'")
    if set(kinds.values()) <= {"F32", "F16", "BF16"}:
        same = np.array_equal(ours, program_logits(args.program, args.model, ids))
        check_gguf.say(same, "the logits are those of the checkpoint bit for bit")
    llama.eval(ids)
    theirs = np.array(llama.scores[:len(ids)], dtype=np.float32)
    names = ("by quantdial", "by transformers", "with inputs of 8 bits", "by llama.cpp")
    print(f"     perplexity of {len(ids)} tokens:", ", ".join(
        f"{np.exp(check_gguf.losses(x, ids)):.4f} {name}" for x, name in zip((ours, exact, rounded, theirs), names)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("files", type=pathlib.Path, nargs="+")
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--bound", type=float, default=1e-5)
    parser.add_argument("--vocabularies", type=pathlib.Path)
    args = parser.parse_args()
    if args.vocabularies:
        check_vocabularies(args.program, args.vocabularies)
    for file in args.files:
        print(file.name)
        check_file(args, file)


if __name__ == "__main__":
    main()
    sys.exit(check_gguf.failures > 0)
