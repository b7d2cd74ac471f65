#!/usr/bin/env python3
"""Writes sentences in two invented languages, for training and testing a very small translator.

    generate_pairs.py --split train --pairs 60000 --out build/train.jsonl
    generate_pairs.py --split test --pairs 200 --out pairs.jsonl

Every line is a JSON object with the fields "source" (in Orsi) and "reference" (in Velk). All is chosen by a seeded
generator, so the same command writes the same file on every machine. Sentences of the test are not in the training
text: a meaning belongs to the test if its hash says so, which one in twenty does.

Both languages say the same meanings, by rules that have little in common:

                    Orsi                                      Velk
    order           time subject verb object to-whom where    where to-whom object subject time verb
    articles        lo (plural los), un (plural none)         a definite noun ends in -kA, others have nothing
    adjectives      before the noun, never change             after it, with its class, number and case
    nouns           plural in -s                              three classes, five cases, seven irregular plurals
    owner           "de" and the owner behind                 genitive before
    verbs           -t for "he"; ha: past, vol: future        endings for person and tense; nA- negates
    objects         as they are                               accusative, of some verbs dative
    numerals        with the plural                           with the genitive singular
    relative clause ke … behind the noun                      a participle before it, that agrees with it
    questions       begin with "ka"                           end with "mo"
    one verb        "velar" for animals and things            two, for either

A, U in an ending become a, u behind a, o, u and e, i behind others (vowel harmony).
"""
import argparse
import json
import random
import zlib

CASES = {"nominative": "", "accusative": "n", "dative": "l", "genitive": "s", "locative": "v"}
CLASS_VOWELS = ["A", "U", "o"]
PERSONS = {("1", False): "m", ("2", False): "s", ("3", False): "", ("1", True): "mU", ("2", True): "sU", ("3", True): "n"}
TENSES = {"present": "", "past": "Ad", "future": "Uk"}
ORSI_PRONOUNS = {("1", False): "mi", ("2", False): "tu", ("3", False): "el", ("1", True): "nos", ("2", True): "vos", ("3", True): "els"}
VELK_PRONOUNS = {("1", False): "zem", ("2", False): "zes", ("3", False): "on", ("1", True): "zim", ("2", True): "zis", ("3", True): "un"}


# ---- Words ----

def syllable(rng, onsets, vowels, codas):
    return rng.choice(onsets) + rng.choice(vowels) + rng.choice(codas)


ORSI = ("b c d f g l m n p r s t br cl dr gr pl tr".split(), list("aeiou"), ["", "", "", "n", "r", "l"])
VELK = ("d g h j k l m n p r s t v z kv sk st vr".split(), list("aeiou"), ["", "", "k", "l", "n", "r", "sk", "t"])


class Words:
    """Invents words, each once in its language."""

    def __init__(self, rng):
        self.rng, self.taken = rng, set("lo los un de al en ha vol nu ka ke e ma kar".split())

    def new(self, language, ending=""):
        while True:
            word = "".join(syllable(self.rng, *language) for _ in range(self.rng.choice([1, 2, 2]))) + ending
            if 3 <= len(word) <= 8 and (language is ORSI, word) not in self.taken and word not in self.taken:
                self.taken.add((language is ORSI, word))
                return word

    def velk_stem(self):
        while True:
            word = self.new(VELK)
            if word[-1] not in "aeiou":
                return word


class Lexicon:
    def __init__(self):
        rng = random.Random(2026)
        words = Words(rng)
        self.nouns = [{"orsi": words.new(ORSI), "velk": words.velk_stem(), "class": i % 3, "alive": i < 24,
                       "plural": words.velk_stem() if i % 11 == 4 else None} for i in range(72)]
        self.names = [{"orsi": name, "velk": name, "class": 1, "alive": True, "plural": None}
                      for name in (words.new(ORSI, "n").capitalize() for _ in range(16))]
        self.adjectives = [{"orsi": words.new(ORSI), "velk": words.velk_stem()} for _ in range(28)]
        self.verbs = [{"orsi": words.new(ORSI, "a"), "velk": words.velk_stem(), "things": words.velk_stem() if i % 8 == 3 else None,
                       "case": "dative" if i % 5 == 2 else "accusative", "objects": 0 if i < 8 else 2 if i >= 30 else 1}
                      for i in range(36)]
        self.times = [(words.new(ORSI, "o"), words.new(VELK)) for _ in range(8)]
        self.numerals = [(words.new(ORSI), words.new(VELK)) for _ in range(8)]
        self.joins = [("e", "ja"), ("ma", "vot"), ("kar", "sik")]


# ---- Meanings ----

class Speaker:
    def __init__(self, lexicon, rng):
        self.words, self.rng = lexicon, rng

    def thing(self, depth=0, alive=None):
        rng, roll = self.rng, self.rng.random()
        if alive and roll < .2:
            return {"kind": "pronoun", "person": rng.choice("123"), "plural": rng.random() < .4}
        if alive and roll < .4:
            return {"kind": "name", "noun": rng.choice(self.words.names), "plural": False}
        noun = rng.choice([n for n in self.words.nouns if alive is None or n["alive"] == alive])
        thing = {"kind": "noun", "noun": noun, "plural": rng.random() < .3, "definite": rng.random() < .6,
                 "adjectives": rng.sample(self.words.adjectives, rng.choice([0, 0, 0, 1, 1, 2])), "numeral": None, "owner": None, "relative": None}
        if thing["plural"] and rng.random() < .4:
            thing["numeral"] = rng.choice(self.words.numerals)
        elif depth == 0 and rng.random() < .15:
            owner = self.thing(1, True)
            thing["owner"] = owner if owner["kind"] != "pronoun" else None
        elif depth == 0 and noun["alive"] and rng.random() < .15:
            verb = rng.choice([v for v in self.words.verbs if v["objects"] == 1])
            thing["relative"] = (verb, self.thing(1))
        return thing

    def clause(self):
        rng = self.rng
        verb = rng.choice(self.words.verbs)
        return {"verb": verb, "subject": self.thing(0, True if rng.random() < .8 else None), "tense": rng.choice(list(TENSES)),
                "negated": rng.random() < .2, "object": self.thing() if verb["objects"] else None,
                "receiver": self.thing(1, True) if verb["objects"] == 2 else None,
                "place": self.thing(1, False) if rng.random() < .2 else None,
                "time": rng.choice(self.words.times) if rng.random() < .3 else None}

    def sentence(self):
        rng = self.rng
        question = rng.random() < .15
        joined = not question and rng.random() < .2
        return {"question": question, "clauses": [self.clause() for _ in range(2 if joined else 1)], "join": rng.choice(self.words.joins)}


# ---- Orsi ----

def orsi_thing(t):
    if t["kind"] == "pronoun":
        return [ORSI_PRONOUNS[t["person"], t["plural"]]]
    if t["kind"] == "name":
        return [t["noun"]["orsi"]]
    out = [("los" if t["plural"] else "lo")] if t["definite"] else [] if t["plural"] else ["un"]
    out += [t["numeral"][0]] if t["numeral"] else []
    out += [a["orsi"] for a in t["adjectives"]] + [t["noun"]["orsi"] + ("s" if t["plural"] else "")]
    out += ["de"] + orsi_thing(t["owner"]) if t["owner"] else []
    if t["relative"]:
        verb, thing = t["relative"]
        out += ["ke", verb["orsi"] + ("" if t["plural"] else "t")] + orsi_thing(thing)
    return out


def person_of(t):
    return (t["person"], t["plural"]) if t["kind"] == "pronoun" else ("3", t["plural"])


def orsi_clause(c):
    out = ([c["time"][0]] if c["time"] else []) + orsi_thing(c["subject"]) + (["nu"] if c["negated"] else [])
    out += {"present": [], "past": ["ha"], "future": ["vol"]}[c["tense"]]
    out.append(c["verb"]["orsi"] + ("t" if c["tense"] == "present" and person_of(c["subject"]) == ("3", False) else ""))
    out += orsi_thing(c["object"]) if c["object"] else []
    out += ["al"] + orsi_thing(c["receiver"]) if c["receiver"] else []
    return out + (["en"] + orsi_thing(c["place"]) if c["place"] else [])


# ---- Velk ----

def harmonize(stem, ending):
    last = [c for c in stem.lower() if c in "aeiou"][-1]
    back = last in "aou"
    return stem + ending.replace("A", "a" if back else "e").replace("U", "u" if back else "i")


def declined(stem, noun_class, plural, case):
    consonant = CASES[case]
    ending = CLASS_VOWELS[noun_class] + ("r" if plural else "") + ("A" if plural and consonant else "") + consonant
    return harmonize(stem, ending)


def velk_thing(t, case):
    if t["kind"] == "pronoun":
        return [VELK_PRONOUNS[t["person"], t["plural"]] + ("e" + CASES[case] if CASES[case] else "")]
    noun = t["noun"]
    if t["kind"] == "name":
        return [declined(noun["velk"], noun["class"], False, case)]
    plural = t["plural"]
    if t["numeral"]:                                    # "of three dog"
        case, plural = "genitive", False
    out = velk_thing(t["owner"], "genitive") if t["owner"] else []
    if t["relative"]:
        verb, thing = t["relative"]
        participle = harmonize(verb_stem(verb, thing), "Ush")
        out += velk_thing(thing, verb["case"]) + [declined(participle, noun["class"], plural, case)]
    out += [t["numeral"][1]] if t["numeral"] else []
    word = declined(noun["plural"] if plural and noun["plural"] else noun["velk"], noun["class"], plural, case)
    out.append(harmonize(word, "kA") if t["definite"] else word)
    return out + [declined(a["velk"], noun["class"], plural, case) for a in t["adjectives"]]


def verb_stem(verb, thing):
    alive = not thing or thing["kind"] == "pronoun" or thing["noun"]["alive"]
    return verb["velk"] if alive or not verb["things"] else verb["things"]


def velk_verb(c):
    stem = verb_stem(c["verb"], c["object"])
    word = harmonize(stem, TENSES[c["tense"]] + "i" + PERSONS[person_of(c["subject"])])
    return ("na" if harmonize(stem, "A")[-1] == "a" else "ne") + word if c["negated"] else word


def velk_clause(c):
    out = velk_thing(c["place"], "locative") if c["place"] else []
    out += velk_thing(c["receiver"], "dative") if c["receiver"] else []
    out += velk_thing(c["object"], c["verb"]["case"]) if c["object"] else []
    out += velk_thing(c["subject"], "nominative") + ([c["time"][1]] if c["time"] else [])
    return out + [velk_verb(c)]


# ---- Sentences ----

def written(words, end):
    text = " ".join(words).replace(" ,", ",") + end
    return text[0].upper() + text[1:]


def pair_of(s):
    orsi, velk = [orsi_clause(c) for c in s["clauses"]], [velk_clause(c) for c in s["clauses"]]
    if s["question"]:
        return {"source": written(["ka"] + orsi[0], "?"), "reference": written(velk[0] + ["mo"], "?")}
    if len(orsi) == 2:
        orsi[0] += [",", s["join"][0]] + orsi[1]
        velk[0] += [",", s["join"][1]] + velk[1]
    return {"source": written(orsi[0], "."), "reference": written(velk[0], ".")}


def pairs(split, count, seed):
    speaker = Speaker(Lexicon(), random.Random(f"{split} {seed}"))
    seen = set()
    while len(seen) < count:
        pair = pair_of(speaker.sentence())
        test = zlib.crc32(pair["source"].encode()) % 20 == 0
        if test == (split == "test") and pair["source"] not in seen and len(pair["source"].split()) <= 24:
            seen.add(pair["source"])
            yield pair


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=["train", "calibration", "test"], required=True)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    with open(args.out, "w", encoding="utf-8", newline="\n") as f:
        for pair in pairs(args.split, args.pairs, args.seed):
            f.write(json.dumps(pair, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
