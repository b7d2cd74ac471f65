"""Writes tests/fixtures/tasks/: a LAMBADA file and a file of multiple choices made of the sample's evaluation text, with corner
cases, and what lm-evaluation-harness (0.4.13) says of the sample model on them. Run from the top of the checkout:

    python3 tools/reference/make_task_fixtures.py samples/storyteller

Needs lm_eval, torch, transformers. The same numbers every time, but for the last digits of float arithmetic.
"""

import json
import os
import random
import sys

from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

FOLDER = "tests/fixtures/tasks"
draw = random.Random(20261121)


def stories(folder):
    with open(f"{folder}/evaluation.txt", encoding="utf-8") as f:
        return [line.strip() for line in f if len(line.split()) > 40]


def lambada(lines):
    for line in draw.sample(lines, 36):
        words = line.split(" ")
        yield " ".join(words[: draw.randint(20, min(len(words), 90))]).rstrip('."!?,')
    yield "Once upon a time there was a little girl"
    yield "Two spaces stand before the last  word"
    yield "a b"
    yield "The last word of this line is über-größe"


def choices(lines):
    for line in draw.sample(lines, 20):
        words = line.split(" ")
        at, length = draw.randint(8, 30), draw.randint(1, 8)
        options = [" ".join(words[at : at + length])]
        while len(options) < draw.randint(2, 5):
            other = draw.choice(lines).split(" ")
            start = draw.randint(0, len(other) - 9)
            options.append(" ".join(other[start : start + draw.randint(1, 8)]))
        gold = draw.randrange(len(options))
        options[0], options[gold] = options[gold], options[0]
        yield {"query": " ".join(words[:at]), "choices": options, "gold": gold}
    yield {"query": "Once upon a time ", "choices": ["there", "ünder"], "gold": 0}
    yield {"query": "The fox asked:\n", "choices": ["Who is there?", "a"], "gold": 0}
    yield {"query": "It rained\u00a0\t ", "choices": ["all day", "the"], "gold": 1}
    yield {"query": "", "choices": ["The", "Once upon a time"], "gold": 1}


def write_lines(name, items):
    path = f"{FOLDER}/{name}.jsonl"
    with open(path, "w", encoding="utf-8") as f:
        f.writelines(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
    return os.path.abspath(path)


def task(name, path, **more):
    return {"task": name, "dataset_path": "json", "dataset_kwargs": {"data_files": {"test": path}}, "test_split": "test", **more}


def answers(found, name):
    """Per item, in the order of the file: the log likelihood of each of its requests."""
    samples = sorted(found["samples"][name], key=lambda s: s["doc_id"])
    return [[float(r[0][0]) for r in s["resps"]] for s in samples]


def main():
    os.makedirs(FOLDER, exist_ok=True)
    lines = stories(sys.argv[1])
    first = write_lines("lambada", [{"text": text} for text in lambada(lines)])
    second = write_lines("choices", choices(lines))
    tasks = [
        task("words", first, output_type="loglikelihood", doc_to_text="{{text.split(' ')[:-1]|join(' ')}}",
             doc_to_target="{{' '+text.split(' ')[-1]}}", metric_list=[{"metric": "perplexity"}, {"metric": "acc"}]),
        task("choices", second, output_type="multiple_choice", doc_to_text="{{query}}", doc_to_target="gold", doc_to_choice="choices",
             metric_list=[{"metric": "acc"}, {"metric": "acc_norm"}]),
    ]
    model = HFLM(pretrained=sys.argv[1], dtype="float32", device="cpu", batch_size=1)
    found = simple_evaluate(model, tasks=tasks, log_samples=True, bootstrap_iters=10, task_manager=TaskManager())
    words, picks = found["results"]["words"], found["results"]["choices"]
    expected = {
        "lambada": {"accuracy": words["acc,none"], "accuracy_se": words["acc_stderr,none"], "perplexity": words["perplexity,none"],
                    "log_likelihoods": answers(found, "words")},
        "choices": {"accuracy": picks["acc,none"], "accuracy_se": picks["acc_stderr,none"], "accuracy_norm": picks["acc_norm,none"],
                    "accuracy_norm_se": picks["acc_norm_stderr,none"], "log_likelihoods": answers(found, "choices")},
    }
    with open(f"{FOLDER}/expected.json", "w", encoding="utf-8") as f:
        json.dump(expected, f)
        f.write("\n")
    for name in os.listdir(FOLDER):
        os.chmod(os.path.join(FOLDER, name), 0o644)
    print({name: {k: v for k, v in e.items() if k != "log_likelihoods"} for name, e in expected.items()})


if __name__ == "__main__":
    main()
