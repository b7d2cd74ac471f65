#!/usr/bin/env python3
"""Trains the sample translator, a T5 of 1.7 million parameters, and its tokenizer.

    train.py --pairs build/train.jsonl --test build/test.jsonl --out build/model --minutes 25

Says BLEU and chrF of the test pairs (sacrebleu, greedy) at the end.
"""
import argparse
import json
import math
import os
import time

import numpy as np
import sacrebleu
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import T5Config, T5ForConditionalGeneration

PAD, END = 0, 1
VOCABULARY = 768
CONTEXT = 128


def config():
    return T5Config(vocab_size=VOCABULARY, d_model=128, d_kv=32, num_heads=4, d_ff=384, num_layers=4, num_decoder_layers=4,
                    relative_attention_num_buckets=32, relative_attention_max_distance=64, dropout_rate=0.0, layer_norm_epsilon=1e-6,
                    feed_forward_proj="relu", tie_word_embeddings=True, pad_token_id=PAD, eos_token_id=END, decoder_start_token_id=PAD,
                    n_positions=CONTEXT)


def read_pairs(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f]


def train_tokenizer(pairs, out):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [AddedToken(text, special=True, normalized=False) for text in ("<pad>", "</s>")]
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, special_tokens=special, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
                                  show_progress=False)
    tokenizer.train_from_iterator((pair[key] for pair in pairs for key in ("source", "reference")), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", END)])
    assert tokenizer.get_vocab_size() == VOCABULARY and tokenizer.token_to_id("</s>") == END
    os.makedirs(out, exist_ok=True)
    tokenizer.save(os.path.join(out, "tokenizer.json"))
    names = {"pad_token": "<pad>", "eos_token": "</s>"}
    settings = {**names, "clean_up_tokenization_spaces": False, "model_max_length": CONTEXT, "tokenizer_class": "PreTrainedTokenizerFast"}
    for name, content in (("tokenizer_config.json", settings), ("special_tokens_map.json", names)):
        with open(os.path.join(out, name), "w", encoding="utf-8", newline="\n") as f:
            json.dump(content, f, indent=2)
            f.write("\n")
    return tokenizer


def padded(rows):
    out = torch.full((len(rows), max(map(len, rows))), PAD)
    for i, row in enumerate(rows):
        out[i, :len(row)] = torch.tensor(row)
    return out


def batches(ids, size, rng):
    """Without end; pairs of about the same length go together."""
    while True:
        order = rng.permutation(len(ids))
        for at in range(0, len(order), size * 50):
            block = sorted(order[at:at + size * 50], key=lambda i: len(ids[i][0]) + len(ids[i][1]))
            chunks = [block[i:i + size] for i in range(0, len(block), size)]
            for c in rng.permutation(len(chunks)):
                yield padded([ids[i][0] for i in chunks[c]]), padded([ids[i][1] for i in chunks[c]])


@torch.no_grad()
def translate(model, tokenizer, sources):
    ids = padded([e.ids for e in tokenizer.encode_batch(sources)])
    out = model.generate(input_ids=ids, attention_mask=(ids != PAD).long(), max_new_tokens=CONTEXT, num_beams=1, do_sample=False)
    return tokenizer.decode_batch(out.tolist())


def score(model, tokenizer, pairs):
    model.eval()
    told = translate(model, tokenizer, [p["source"] for p in pairs])
    model.train()
    references = [[p["reference"] for p in pairs]]
    return sacrebleu.corpus_bleu(told, references).score, sacrebleu.corpus_chrf(told, references).score


def save(model, out):
    copy = T5ForConditionalGeneration(config()).to(torch.bfloat16)
    copy.load_state_dict({name: value.to(torch.bfloat16) for name, value in model.state_dict().items()})
    copy.save_pretrained(out)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float, default=25, help="of processor time")
    parser.add_argument("--batch", type=int, default=64, help="pairs in a step")
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--warm", type=int, default=200, help="steps until the rate is that")
    parser.add_argument("--start", help="a model of this script to go on with, with its tokenizer")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    pairs, test = read_pairs(args.pairs), read_pairs(args.test)
    tokenizer = Tokenizer.from_file(os.path.join(args.start, "tokenizer.json")) if args.start else train_tokenizer(pairs[:20000], args.out)
    encoded = [e.ids for key in ("source", "reference") for e in tokenizer.encode_batch([p[key] for p in pairs])]
    ids = list(zip(encoded[:len(pairs)], encoded[len(pairs):]))
    print(f"{len(pairs)} pairs, {np.mean([len(a) + len(b) for a, b in ids]):.1f} tokens each", flush=True)

    model = T5ForConditionalGeneration.from_pretrained(args.start, dtype=torch.float32) if args.start else T5ForConditionalGeneration(config())
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.rate, betas=(.9, .98), weight_decay=.01, fused=True)
    start, losses = time.process_time(), []
    for step, (source, target) in enumerate(batches(ids, args.batch, np.random.default_rng(args.seed)), 1):
        progress = (time.process_time() - start) / 60 / args.minutes
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = args.rate * min(1, step / args.warm) * (.01 + .99 * (1 + math.cos(math.pi * progress)) / 2)
        labels = target.masked_fill(target == PAD, -100)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = model(input_ids=source, attention_mask=(source != PAD).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 100 == 0:
            print(f"step {step}, {progress:.1%}, loss {np.mean(losses[-100:]):.4f}", flush=True)
        if step % 1000 == 0:
            save(model, args.out)
            print("  BLEU {:.1f}, chrF {:.1f} of 50 pairs".format(*score(model, tokenizer, test[:50])), flush=True)
    save(model, args.out)
    print(f"{step - 1} steps, {(time.process_time() - start) / 60:.1f} minutes; "
          "BLEU {:.2f}, chrF {:.2f}".format(*score(T5ForConditionalGeneration.from_pretrained(args.out, dtype=torch.float32), tokenizer, test)))


if __name__ == "__main__":
    main()
