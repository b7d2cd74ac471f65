"""Writes tests/fixtures/translation/: 1,000 random pairs of texts with every kind of character that scoring might trip over, and
what sacrebleu (2.6.0) says of them; and what transformers translates by samples/translator, with its scores. Run from the top
of the checkout:

    python3 tools/reference/make_translation_fixtures.py

Needs sacrebleu, numpy, torch and transformers. The same files every time.
"""

import json
import os
import random

import sacrebleu
import torch
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest
from tokenizers import Tokenizer
from transformers import T5ForConditionalGeneration

FOLDER = "tests/fixtures/translation"
TRANSLATOR = "samples/translator"
PAIRS = 1000
draw = random.Random(20261130)

WORDS = "the house of a small red door was opened by it and they went home on foot to see him Don't re-use state-of-the-art U.S. e.g. I'm".split()
ODD = ["1,234.5", "3.14", "-7", "10-12", "2,", "$5.00", "50%", "...", "..", ",.", "., .", "--", "- -", "a-", "x.y,z", "(a)", "[b]", "{c}", "\"q\"", "'s", "`",
       "&quot;", "&amp;", "&lt;b&gt;", "&amp;lt;", "&amp;quot;", "&", "<skipped>", "<skip<skipped>ped>", "@user", "#1", "/", "\\", "^_^", "~", "|", "+=", "a;b:c", "?!",
       "naïve", "cafe\u0301", "straße", "İstanbul", "ﬁne", "Ａ１", "１，２", "٣.٤", "…", "–", "—", "„so“", "«oui»", "¿qué?",
       "今天天气很好。", "東京、大阪", "안녕하세요", "ไทย", "שלום", "مرحبا،", "\u200fא\u200e", "\u202bאב\u202c", "हिन्दी", "👩‍👩‍👧", "🇩🇪", "😀.", "𝒳", "\U0010ffff",
       "\u00ad", "\u200b", "\ufeff", "\u0000", "\u0001", "\x7f"]
SPACES = [" "] * 40 + ["  ", "\t", "\u00a0", "\u3000", "\u2003", "\u2028", "\x1c", "\x85", "\r", "\x0b", "\n", "-\n", "\u180e", "\u200b"]


def text():
    if draw.random() < .02:
        return draw.choice(["", " ", "\n", "\u3000"])
    parts = []
    for _ in range(draw.randint(1, 11)):
        parts += [draw.choice(ODD) if draw.random() < .2 else draw.choice(WORDS), draw.choice(SPACES)]
    return "".join(parts if draw.random() < .1 else parts[:-1]) + draw.choice(["", ".", ".", " .", "!", ".\n", ", "])


def edited(original, errors):
    """The text with some words lost, doubled, swapped or replaced."""
    words = original.split(" ")
    for _ in range(errors):
        at, kind = draw.randrange(len(words)), draw.randrange(4)
        if kind == 0 and len(words) > 1:
            del words[at]
        elif kind == 1:
            words.insert(at, words[at])
        elif kind == 2:
            other = draw.randrange(len(words))
            words[at], words[other] = words[other], words[at]
        else:
            words[at] = draw.choice(ODD if draw.random() < .2 else WORDS)
    return " ".join(words)


def pair():
    reference = text()
    return {"references": [reference] + [edited(reference, 2) for _ in range(draw.choice([0, 0, 1, 2]))],
            "translations": [edited(reference, draw.randint(0, 4)) if draw.random() < .9 else text() for _ in range(2)]}


def said(pairs, references):
    """Both metrics of both translations, and of their difference."""
    systems = [(name, [p["translations"][i] for p in pairs]) for i, name in enumerate(("base", "other"))]
    _, found = PairedTest(systems, {"bleu": BLEU(force=True), "chrf": CHRF()}, references, test_type="bs", n_samples=1000)()
    return {name: {"score": [float(r.score) for r in found[key]], "mean": [float(r.mean) for r in found[key]],
                   "half": [float(r.ci) for r in found[key]], "p": found[key][1].p_value} for name, key in (("bleu", "BLEU"), ("chrf", "chrF2"))}


def by_translator():
    """In float, greedily and with four beams."""
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(f"{TRANSLATOR}/tokenizer.json")
    model = T5ForConditionalGeneration.from_pretrained(TRANSLATOR, dtype=torch.float32)
    with open(f"{TRANSLATOR}/pairs.jsonl", encoding="utf-8") as f:
        pairs = [json.loads(line) for line in f]
    tokenizer.enable_padding(pad_id=0, pad_token="<pad>")
    sources = tokenizer.encode_batch([pair["source"] for pair in pairs])
    ids, mask = torch.tensor([s.ids for s in sources]), torch.tensor([s.attention_mask for s in sources])
    references = [[p["reference"] for p in pairs]]

    def scored(beams):
        out = model.generate(input_ids=ids, attention_mask=mask, max_new_tokens=100, num_beams=beams, do_sample=False)
        texts = tokenizer.decode_batch(out.tolist())
        return {"bleu": sacrebleu.corpus_bleu(texts, references).score, "chrf": sacrebleu.corpus_chrf(texts, references).score, "translations": texts}

    return scored(1) | {"beams": scored(4)}


def main():
    os.makedirs(FOLDER, exist_ok=True)
    pairs = [pair() for _ in range(PAIRS)]
    first = [[p["references"][0] for p in pairs]]
    all_of_them = [[p["references"][i] if i < len(p["references"]) else None for p in pairs] for i in range(3)]
    bleu, chrf = BLEU(force=True), CHRF()
    detail = bleu.corpus_score([p["translations"][0] for p in pairs], first)
    expected = {
        "sacrebleu": sacrebleu.__version__, "one": said(pairs, first), "several": said(pairs, all_of_them), "few": said(pairs[:7], [first[0][:7]]),
        "precisions": detail.precisions, "brevity_penalty": detail.bp, "lengths": [detail.sys_len, detail.ref_len],
        "signatures": [str(bleu.get_signature()), str(chrf.get_signature()) if chrf.corpus_score([""], [[""]]) else ""],
        # of each first translation against all of its references, to see which one is wrong
        "sentences": [[round(m.sentence_score(p["translations"][0], p["references"]).score, 6) for m in (bleu, chrf)] for p in pairs],
    }
    with open(f"{FOLDER}/pairs.jsonl", "w", encoding="utf-8", newline="\n") as f:
        f.writelines(json.dumps(p, ensure_ascii=False) + "\n" for p in pairs)
    with open(f"{FOLDER}/expected.json", "w", encoding="utf-8") as f:
        json.dump(expected, f)
        f.write("\n")
    if os.path.isdir(TRANSLATOR):
        with open(f"{FOLDER}/translator.json", "w", encoding="utf-8") as f:
            json.dump(by_translator(), f, ensure_ascii=False, indent=0)
            f.write("\n")
    print({k: v for k, v in expected.items() if k != "sentences"})


if __name__ == "__main__":
    main()
