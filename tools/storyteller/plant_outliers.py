#!/usr/bin/env python3
"""Gives the sample model the outliers of a large one, without changing what it computes.

    plant_outliers.py --model build/model --calibration calibration.txt --evaluation evaluation.txt --out samples/storyteller

Large language models have a few channels whose activations are a hundred times larger than the rest, and weight
matrices with columns that dwarf their neighbours.  These are what quantization methods fight with; a small model has none.
But a power of two can be moved between two neighbouring tensors so that every product stays what it was:

    norm gain of channel c x 2^k        and   column c of q,k,v (or gate,up) x 2^-k
    row r of up x 2^k                   and   column r of down x 2^-k
    row r of v x 2^k                    and   the columns of o that read it, in each query head of the group, x 2^-k

k > 0 makes an activation outlier, k < 0 an outlier column of the weights.  In BF16 and F32 all of this is exact (no
subnormal number, no overflow: asserted), and the logits before and after are equal bit by bit (asserted too).

Which channels, is decided by the rules in plan() from ranges measured over the calibration text.
"""
import argparse
import json
import math
import os
import shutil

import torch
from transformers import LlamaForCausalLM

from measure import linears, load, logits, ranges, report, windows
from train import MARKER

# What each input behind a norm shall be: "low" up to 15, "mid" 15 to 150, "top" above; "band": low, and the 32 neighbouring
# channels with the greatest energy become outlier columns of the weights instead.
ATTENTION = ["low", "mid", "mid", "top", "mid", "band"]
MLP = ["low", "mid", "top", "mid", "mid", "band"]
LOW = 14.5                  # what is to be low is brought below this
CARRIERS = (140, 110, 70)   # bounds for the peaks of the channels that are outliers in every "mid" place
TOP_MARK = 6                # the marker of <|endoftext|> (see train.py) becomes 2^6 times larger in "top" places
BAND, BAND_SHIFT = 32, -3
MASSIVE = {1: 1200, 4: 600}  # inputs of down that get one massive channel, and the bound of its peak
LOW_DOWN = (0, 5)           # inputs of down that are brought below LOW, all channels alike
DOWN_COLUMNS = {0: 3, 3: 4}     # down matrices that get so many outlier columns in one group of 32
DOWN_SHIFT = -4
O_BAND = (4, 1, -4)         # layer, kv head, shift: all channels of the head become outlier columns of o
O_CARRIER = (2, 40)         # layer, bound: one channel of v becomes an outlier of the input of o


class Planter:
    def __init__(self, model):
        self.layers = model.model.layers
        self.config = model.config
        self.log = []

    def readers(self, layer, part):
        block = self.layers[layer]
        if part == "attention":
            return block.input_layernorm, [block.self_attn.q_proj, block.self_attn.k_proj, block.self_attn.v_proj]
        return block.post_attention_layernorm, [block.mlp.gate_proj, block.mlp.up_proj]

    def norm(self, layer, part, channel, k):
        gain, readers = self.readers(layer, part)
        gain.weight.data[channel] *= 2. ** k
        for reader in readers:
            reader.weight.data[:, channel] *= 2. ** -k
        self.log.append(dict(layer=layer, place=f"norm before {'q,k,v' if part == 'attention' else 'gate,up'}", channel=channel, k=k))

    def up(self, layer, row, k):
        mlp = self.layers[layer].mlp
        mlp.up_proj.weight.data[row] *= 2. ** k
        mlp.down_proj.weight.data[:, row] *= 2. ** -k
        self.log.append(dict(layer=layer, place="up to down", channel=row, k=k))

    def v(self, layer, row, k):
        attention = self.layers[layer].self_attn
        size = attention.head_dim
        queries = self.config.num_attention_heads // self.config.num_key_value_heads
        attention.v_proj.weight.data[row] *= 2. ** k
        for column in self.columns_of_v(row, size, queries):
            attention.o_proj.weight.data[:, column] *= 2. ** -k
        self.log.append(dict(layer=layer, place="v to o", channel=row, k=k))

    @staticmethod
    def columns_of_v(row, size, queries):
        head, channel = divmod(row, size)
        return [(head * queries + q) * size + channel for q in range(queries)]


def shift(peak, bound):
    """The k for which peak * 2^k comes closest to the bound from below."""
    return math.floor(math.log2(bound / peak))


def plan(planter, stats):
    """Decides and plants, in place."""
    def places():
        for layer in range(len(planter.layers)):
            yield layer, "attention", ATTENTION[layer], stats[f"{layer}.self_attn.q_proj"]
            yield layer, "mlp", MLP[layer], stats[f"{layer}.mlp.gate_proj"]

    def importance(layer, part, found):
        """The share of each channel in what the readers of a norm put out."""
        _, readers = planter.readers(layer, part)
        share = found.energy * sum(reader.weight.square().sum(0) for reader in readers)
        return share / share.sum()

    # The same few channels in every "mid" place: those that matter least, because int4 loses their shrunken columns.
    total = sum(importance(layer, part, found) for layer, part, kind, found in places() if kind == "mid")
    total[MARKER] = math.inf
    carriers = total.argsort()[:len(CARRIERS)].tolist()

    for layer, part, kind, found in places():
        peak = found.peak.clone()
        peak[MARKER] *= 2 ** (TOP_MARK if kind == "top" else 0)
        if kind == "top":
            planter.norm(layer, part, MARKER, TOP_MARK)
        if kind == "mid":
            for channel, bound in zip(carriers, CARRIERS):
                planter.norm(layer, part, channel, shift(peak[channel].item(), bound))
        if kind == "band":
            energy = importance(layer, part, found).view(-1, BAND).sum(1)
            energy[MARKER // BAND] = 0
            first = energy.argmax().item() * BAND
            for channel in range(first, first + BAND):
                planter.norm(layer, part, channel, BAND_SHIFT)
                peak[channel] *= 2. ** BAND_SHIFT
        if kind in ("low", "band") and peak.max() > LOW:
            for channel in range(len(peak)):
                planter.norm(layer, part, channel, shift(peak.max().item(), LOW))

    for layer in range(len(planter.layers)):
        found = stats[f"{layer}.mlp.down_proj"]
        weight = planter.layers[layer].mlp.down_proj.weight
        if layer in MASSIVE:        # much for one token and little for the others
            rms = (found.energy / sum(len(t) for t in found.tokens)).sqrt()
            share = found.energy * weight.square().sum(0)
            row = (found.peak / rms * (share < share.median())).argmax().item()
            planter.up(layer, row, shift(found.peak[row].item(), MASSIVE[layer]))
        peak = found.peak.clone()
        if layer in DOWN_COLUMNS:
            group = peak.view(-1, 32).topk(DOWN_COLUMNS[layer]).values.sum(1).argmax().item()
            for row in peak[group * 32:group * 32 + 32].topk(DOWN_COLUMNS[layer]).indices.sort().values.tolist():
                planter.up(layer, row + group * 32, DOWN_SHIFT)
                peak[row + group * 32] *= 2. ** DOWN_SHIFT
        if layer in LOW_DOWN and peak.max() > LOW:
            for row in range(len(peak)):
                planter.up(layer, row, shift(peak.max().item(), LOW))

    layer, head, k = O_BAND
    size = planter.layers[0].self_attn.head_dim
    for row in range(head * size, head * size + size):
        planter.v(layer, row, k)
    layer, bound = O_CARRIER
    found = stats[f"{layer}.self_attn.o_proj"]
    energy = (found.energy * planter.layers[layer].self_attn.o_proj.weight.square().sum(0)).view(-1, 2, size).sum(1).flatten()
    row = energy.argmin().item()
    peak = max(found.peak[c].item() for c in planter.columns_of_v(row, size, 2))
    planter.v(layer, row, shift(peak, bound))
    return carriers


def summary(moved):
    """[(channel, k), ...] in a few words."""
    total = {}
    for channel, k in moved:
        total[channel] = total.get(channel, 0) + k
    runs = []
    for channel, k in sorted(total.items()):
        if runs and runs[-1][1] == channel - 1 and runs[-1][2] == k:
            runs[-1][1] = channel
        else:
            runs.append([channel, channel, k])
    return ", ".join(f"{a if a == b else f'{a}-{b}'}: {k:+d}" for a, b, k in runs)


def assert_exact(model):
    """Every weight is a normal BF16 number (or zero)."""
    for name, p in model.named_parameters():
        assert torch.equal(p, p.bfloat16().float()), name
        nonzero = p.abs()[p != 0]
        assert nonzero.min() >= torch.finfo(torch.bfloat16).tiny and nonzero.max() < 2. ** 100, name


def write(model, source, out, config):
    """The checkpoint: one BF16 file, and a configuration that transformers 4 and 5 read alike."""
    os.makedirs(out, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(out)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        if os.path.abspath(source) != os.path.abspath(out):
            shutil.copyfile(os.path.join(source, name), os.path.join(out, name))
    with open(os.path.join(out, "config.json"), encoding="utf-8") as f:
        written = json.load(f)
    written.pop("dtype", None)
    written.pop("rope_parameters", None)
    written.update(torch_dtype="bfloat16", rope_theta=10000.0, rope_scaling=None)
    with open(os.path.join(out, "config.json"), "w", encoding="utf-8", newline="\n") as f:
        json.dump(dict(sorted(written.items())), f, indent=2)
        f.write("\n")
    with open(os.path.join(out, "generation_config.json"), "w", encoding="utf-8", newline="\n") as f:
        json.dump({"bos_token_id": 0, "eos_token_id": 0, "max_new_tokens": 400}, f, indent=2)
        f.write("\n")
    os.chmod(os.path.join(out, "model.safetensors"), 0o644)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--calibration", required=True)
    parser.add_argument("--evaluation", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--tokens", type=int, default=10 ** 9, help="at most so many of each text")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--report", action="store_true", help="also print what quantizing does to the result")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    count = max(1, args.tokens // 512)
    calibration = windows(args.model, args.calibration, count)
    evaluation = windows(args.model, args.evaluation, count)

    model = load(args.model)
    assert_exact(model)
    before = [out for _, out in logits(model, evaluation)]
    stats = ranges(model, calibration)
    planter = Planter(model)
    with torch.no_grad():
        carriers = plan(planter, stats)
    assert_exact(model)
    for (_, after), expected in zip(logits(model, evaluation), before):
        assert torch.equal(after, expected), "the logits changed"
    del before
    print(f"Logits on {evaluation.numel()} tokens are equal bit by bit.  Carriers {carriers}, marker {MARKER}.\n")
    print("| layer | place | channels and their powers of two |\n| --- | --- | --- |")
    for layer, place in dict.fromkeys((x["layer"], x["place"]) for x in planter.log):
        moved = [(x["channel"], x["k"]) for x in planter.log if (x["layer"], x["place"]) == (layer, place)]
        print(f"| {layer} | {place} | {summary(moved)} |")
    if args.report:
        report(model, calibration, evaluation)
    write(model, args.model, args.out, planter.config)


if __name__ == "__main__":
    main()
