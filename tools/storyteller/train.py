#!/usr/bin/env python3
"""Trains the sample model, a Llama of 5.2 million parameters, on two CPU cores.

    train.py --text build/train.txt --held-out build/evaluation.txt --tokenizer build/model --out build/model
    train.py ... --start build/model --lengths 1024 --steps 150 --rate 5e-4     (afterwards: longer windows)

One thing is unusual.  Large models mark the first token with a "massive activation": one channel of the residual
stream that is hundreds of times larger than the others there, and nearly nothing elsewhere.  Models this small do not grow
one by themselves, so this one is born with it: channel MARKER belongs to <|endoftext|>.  Its embedding holds MARK
there and all others hold 0, no layer writes to the channel, and the final norm does not read it.

Another: weights are clipped at CLIP standard deviations of their row.  With rows of only 256 weights, the largest of a
plain Gaussian row sticks out so far that every matrix would look as if it had outliers; after clipping, those that
plant_outliers.py plants are the only ones.
"""
import argparse
import math
import os
import time

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

MARKER, MARK = 37, 32.0
CLIP = 2.5
BATCH = 4096        # tokens per step


def config():
    return LlamaConfig(vocab_size=2048, hidden_size=256, intermediate_size=768, num_hidden_layers=6, num_attention_heads=8,
                       num_key_value_heads=4, max_position_embeddings=1024, rms_norm_eps=1e-5, tie_word_embeddings=True,
                       bos_token_id=0, eos_token_id=0, pad_token_id=None, attention_bias=False, mlp_bias=False)


def tokens_of(path, tokenizer, newline_share, rng):
    """The stream of tokens.  The newline after <|endoftext|> is kept only for a share of the stories, so that
    the model starts equally well with it (as in a file) and without it (as in a prompt)."""
    with open(path, encoding="utf-8") as f:
        stories = [s.strip("\n") for s in f.read().split("<|endoftext|>") if s.strip()]
    stories = [("\n" if rng.random() < newline_share else "") + s for s in stories]
    stream = []
    for i in range(0, len(stories), 1000):
        for encoding in tokenizer.encode_batch(stories[i:i + 1000]):
            stream.extend(encoding.ids)     # begins with <|endoftext|>
    return torch.from_numpy(np.array(stream, dtype=np.int64))


@torch.no_grad()
def keep_marker(model):
    """Channel MARKER of the residual stream is written by <|endoftext|> alone."""
    base = model.model
    base.embed_tokens.weight[:, MARKER] = 0
    base.embed_tokens.weight[0, MARKER] = MARK
    base.norm.weight[MARKER] = 0
    for layer in base.layers:
        layer.self_attn.o_proj.weight[MARKER] = 0
        layer.mlp.down_proj.weight[MARKER] = 0
        layer.input_layernorm.weight[MARKER] = 1
        layer.post_attention_layernorm.weight[MARKER] = 1


def seen_before(ids):
    """For each token of each window: has it occurred earlier in the window?"""
    order = ids.argsort(dim=1, stable=True)
    ordered = ids.gather(1, order)
    repeated = torch.zeros_like(ids, dtype=torch.bool)
    repeated[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    return torch.zeros_like(repeated).scatter(1, order, repeated)


@torch.no_grad()
def clip_rows(model):
    for layer in model.model.layers:
        for module in layer.modules():
            if isinstance(module, torch.nn.Linear):
                bound = CLIP * module.weight.std(dim=1, keepdim=True)
                module.weight.clamp_(-bound, bound)


@torch.no_grad()
def perplexity(model, stream, length=512, limit=32):
    total = count = 0
    model.eval()
    for i in range(min(limit, len(stream) // length)):
        ids = stream[i * length:(i + 1) * length][None]
        logits = model(input_ids=ids, use_cache=False).logits[0, :-1].float()
        total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        count += length - 1
    model.train()
    return math.exp(total / count)


def save(model, out):
    os.makedirs(out, exist_ok=True)
    state = {k: v.detach().to(torch.bfloat16).clone() for k, v in model.state_dict().items() if k != "lm_head.weight"}
    copy = LlamaForCausalLM(config()).to(torch.bfloat16)
    copy.load_state_dict(state, strict=False)
    copy.tie_weights()
    copy.save_pretrained(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--minutes", type=float, default=1e9, help="hurry the schedule so that it ends in time")
    parser.add_argument("--rate", type=float, default=3e-3)
    parser.add_argument("--start", help="a model to start from instead of random weights")
    parser.add_argument("--lengths", default="256x7,512x3", help="tokens in a window as training goes on: 256 for seven parts, 512 for three")
    parser.add_argument("--recall", type=float, default=1, help="weight in the loss of rare tokens seen before in the window (names, things); sinks to 1 in the last third")
    parser.add_argument("--aligned", action="store_true", help="windows begin with a story, so that whoever is spoken of has been named")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    rng = np.random.default_rng(args.seed)
    tokenizer = Tokenizer.from_file(os.path.join(args.tokenizer, "tokenizer.json"))
    stream = tokens_of(args.text, tokenizer, .5, rng)
    held_out = tokens_of(args.held_out, tokenizer, 1, rng)
    starts = (stream == 0).nonzero().flatten()
    rare = torch.bincount(stream, minlength=2048) < len(stream) / 400
    lengths = [int(part.split("x")[0]) for part in args.lengths.split(",") for _ in range(int((part + "x1").split("x")[1]))]
    print(f"{len(stream)} training tokens, {len(held_out)} held out", flush=True)

    if args.start:
        model = LlamaForCausalLM.from_pretrained(args.start, dtype=torch.float32)
    else:
        model = LlamaForCausalLM(config())
        with torch.no_grad():       # the usual: layers that write to the residual stream begin smaller
            for layer in model.model.layers:
                layer.self_attn.o_proj.weight /= math.sqrt(12)
                layer.mlp.down_proj.weight /= math.sqrt(12)
    keep_marker(model)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    gains = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": .1}, {"params": gains, "weight_decay": 0}],
                                  lr=args.rate, betas=(.9, .95), fused=True)
    model.train()
    start, seen, recent, step = time.time(), 0, [], 0
    while True:
        progress = max(step / args.steps, (time.time() - start) / 60 / args.minutes)
        if progress >= 1:
            clip_rows(model)
            break
        rate = args.rate * min(1, (step + 1) / min(100, args.steps / 10)) * (.02 + .98 * (1 + math.cos(math.pi * progress)) / 2)
        for group in optimizer.param_groups:
            group["lr"] = rate
        length = lengths[int(progress * len(lengths))]
        if args.aligned:
            begin = starts[torch.from_numpy(rng.integers(0, (starts < len(stream) - length).sum().item(), BATCH // length))]
        else:
            begin = torch.from_numpy(rng.integers(0, len(stream) - length, BATCH // length))
        ids = torch.stack([stream[b:b + length] for b in begin])
        ids[torch.from_numpy(rng.random(len(ids)) < .5), 0] = 0         # half of the windows begin with <|endoftext|>
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits
        losses = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, 2048).float(), ids[:, 1:].reshape(-1), reduction="none")
        known = (rare[ids] & seen_before(ids))[:, 1:].reshape(-1)
        weights = torch.where(known, 1 + (args.recall - 1) * min(1, 3 * (1 - progress)), 1.)
        loss = (losses * weights).sum() / weights.sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        if step % 5 == 0:
            clip_rows(model)
        keep_marker(model)
        seen += ids.numel()
        recent.append((losses.mean().item(), losses[known].mean().item()))
        if step % 50 == 0:
            print(f"step {step}, {progress:.1%}, loss {np.mean(recent, 0)[0]:.3f}, on known names {np.mean(recent, 0)[1]:.3f}, {seen / (time.time() - start):.0f} tokens/s", flush=True)
            recent = []
        if step % 100 == 0:
            print(f"  held-out perplexity {perplexity(model, held_out, length=256, limit=16):.3f} in windows of 256", flush=True)
            save(model, args.out)
    save(model, args.out)
    print(f"{step} steps, {seen} tokens, {(time.time() - start) / 60:.1f} minutes, "
          f"held-out perplexity {perplexity(model, held_out):.3f}", flush=True)


if __name__ == "__main__":
    main()
