#!/usr/bin/env python3
"""Whether tokens that only the files beside tokenizer.json name become what transformers makes of them.

    check_added_tokens.py [PROGRAM [COUNT [SEED]]]      build/quantdial, 300 folders

Folders get random tokenizer_config.json, special_tokens_map.json and added_tokens.json with flags, ids and names that
contradict each other; both tokenize the same lines. Known to differ: a special token with flags in
tokenizer_config.json whose text stands in added_tokens.json under an id that another token has, too. Run from the top
of the source tree; needs transformers 5.
"""
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"

from transformers import AutoTokenizer

SAMPLE = pathlib.Path("samples/storyteller")
TEXTS = ["<|im_start|>", "<pad>", "[PAD]", "<NEW>", "<im>", "word", "<|endoftext|>", "<s>", " lead", "tail ", "a", "the"]
NAMED = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
LINES = ["a <|im_start|> b", "pad [PAD] z <pad>", "Hello <NEW> world<im>x <im>  y", "words word wordword a word",
         "x lead tail y<s>", "the a the", "<|endoftext|>Once<|endoftext|> upon", " <NEW>  <NEW> <|im_start|>tail  q"]
FLAGS = ("lstrip", "rstrip", "normalized", "single_word", "special")


def flags(rng, share):
    return {"content": rng.choice(TEXTS)} | {f: rng.random() < 0.5 for f in FLAGS if rng.random() < share}


def special(rng):
    return rng.choice(TEXTS) if rng.random() < 0.6 else flags(rng, 0.6) | {"__type": "AddedToken"}


def some(rng, make, most):
    return [make(rng) for _ in range(rng.randint(0, most))]


def tokenizer(rng):
    document = json.loads((SAMPLE / "tokenizer.json").read_text())
    if rng.random() < 0.5:
        size = len(document["model"]["vocab"])
        document["added_tokens"] += [flags(rng, 1) | {"id": size + rng.randint(0, 5)} for _ in range(rng.randint(1, 4))]
    return document


def config(rng):
    out = {key: special(rng) for key in NAMED + ["image_token"] if rng.random() < 0.3}
    if rng.random() < 0.1:
        out["bos_token"] = None
    if rng.random() < 0.3:
        out["additional_special_tokens"] = some(rng, special, 3)
    if rng.random() < 0.3:
        named = {"x_token": rng.choice(TEXTS), "y_token": rng.choice(TEXTS)}
        out["extra_special_tokens"] = rng.choice([some(rng, special, 3), named, {}])
    if rng.random() < 0.4:
        ids = [0, 7, 2048, 2049, 2050, 2052, 5000]
        out["added_tokens_decoder"] = {str(rng.choice(ids)): flags(rng, 0.6) for _ in range(rng.randint(0, 4))}
    for key in ("add_bos_token", "add_eos_token"):
        if rng.random() < 0.2:
            out[key] = rng.random() < 0.5
    items = list(out.items())
    rng.shuffle(items)
    return dict(items) | {"tokenizer_class": "PreTrainedTokenizerFast"}


def special_map(rng):
    out = {}
    for key in NAMED + ["video_token"]:
        if rng.random() < 0.3:
            out[key] = rng.choice(TEXTS) if rng.random() < 0.5 else flags(rng, 0.6)
    for key, share in (("additional_special_tokens", 0.4), ("extra_special_tokens", 0.2)):
        if rng.random() < share:
            out[key] = rng.sample(TEXTS, 2)
    return out


def write(rng, folder):
    files = {"tokenizer.json": tokenizer(rng)}
    if rng.random() < 0.9:
        files["tokenizer_config.json"] = config(rng)
    if rng.random() < 0.4:
        files["special_tokens_map.json"] = special_map(rng)
    if rng.random() < 0.3:
        files["added_tokens.json"] = dict(zip(rng.sample(TEXTS, 3), rng.sample([9, 2048, 2049, 2050, 4000], 3)))
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    shutil.copy(SAMPLE / "config.json", folder)
    os.symlink((SAMPLE / "model.safetensors").resolve(), folder / "model.safetensors")
    return files


def main():
    program = sys.argv[1] if len(sys.argv) > 1 else "build/quantdial"
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    different = 0
    for _ in range(count):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            files = write(rng, folder)
            want = [AutoTokenizer.from_pretrained(folder)(line)["input_ids"] for line in LINES]
            run = subprocess.run([program, "tokenize", folder], input="\n".join(LINES) + "\n", capture_output=True,
                                 text=True)
            got = [json.loads(line) for line in run.stdout.splitlines()]
            if got == want:
                continue
            different += 1
            files["tokenizer.json"] = files["tokenizer.json"]["added_tokens"]
            print(run.stderr.strip(), json.dumps(files, indent=1))
            print(*(f"{l!r}: {g}, expected {w}" for l, g, w in zip(LINES, got, want) if g != w), sep="\n")
    print(f"{count} folders, {different} different")
    sys.exit(different > 0)


main()
