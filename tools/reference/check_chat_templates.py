#!/usr/bin/env python3
"""Chat templates by quantdial's interpreter and by transformers' own Jinja, byte for byte.

    tools/reference/check_chat_templates.py [-n CONVERSATIONS] [--show] FILE.jinja …

Needs transformers, jinja2 and build/render-chat (make build/render-chat). Every template gets the same generated
conversations: with and without a system message, 1 to 9 turns, odd spaces, Unicode, quotes, empty contents, contents as
lists of parts, roles in a wrong order. Where transformers refuses a conversation, quantdial must refuse it, too. Exits
with 1 when anything differs.
"""
import argparse
import datetime
import json
import os
import random
import subprocess
import sys

from transformers.utils import chat_template_utils

NOON = datetime.datetime(2026, 3, 1, 12, 0, 0)
SPECIAL = {
    "bos_token": "<s>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
}
PIECES = [
    "Hello", "What is 2 + 2?", " ", "\n", "\n\n", "\t", "  leading", "trailing  ", "it's", '"quoted"', "\\n", "back\\slash",
    "Grüße aus Köln", "你好，世界", "こんにちは", "Привет", "مرحبا", "🙂", "👩‍👩‍👧", "\u00a0", "\u3000", "\u200b", "e\u0301",
    "{{ not a template }}", "{% nor this %}", "{# nor that #}", "<b>&amp;</b>", "[INST]", "</think>", "<think>a</think>",
    "```c\nint main(void) { return 0; }\n```", "- one\n- two\n", "| a | b |\n|---|---|", "https://example.org/?q=1&r=2",
    "\r\n", "\x0b", "\x1f", "\u2028", "\x85", "ß", "İ", "…", "0", "None", "true", "<|im_end|>", "tool",
]


def content(rng):
    kind = rng.random()
    if kind < 0.06:
        return ""
    if kind < 0.1:
        return rng.choice([" ", "\n", "  \n ", "\t"])
    return rng.choice(["", "", " ", "\n"]) + "".join(
        rng.choice(PIECES) + rng.choice(["", " ", "\n"]) for _ in range(rng.randint(1, 6)))


def message(rng, role, parts):
    text = content(rng)
    if parts and rng.random() < 0.5:
        return {"role": role, "content": [{"type": "text", "text": text}, {"type": "text", "text": content(rng)}]}
    return {"role": role, "content": text}


def conversation(rng, index):
    parts = index % 10 == 9
    turns = rng.randint(1, 9)
    messages = [message(rng, "user" if i % 2 == 0 else "assistant", parts) for i in range(turns)]
    if rng.random() < 0.5:
        messages.insert(0, message(rng, "system", parts))
    if index % 8 == 7:  # in the wrong order, or of an unknown role
        wrong = rng.randrange(4)
        if wrong == 0:
            rng.shuffle(messages)
        elif wrong == 1:
            messages.append(message(rng, "user", parts))
            messages.append(message(rng, "user", parts))
        elif wrong == 2:
            messages.insert(rng.randint(0, len(messages)), message(rng, "system", parts))
        else:
            messages[rng.randrange(len(messages))]["role"] = rng.choice(["critic", "tool", "User"])
    return {"messages": messages, "add_generation_prompt": rng.random() < 0.5, "special": SPECIAL}


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOON


def expected(source, request):
    try:
        compiled = chat_template_utils._compile_jinja_template(source)
        messages = [{k: v for k, v in m.items() if v is not None} for m in request["messages"]]
        return compiled.render(messages=messages, tools=None, documents=None,
                               add_generation_prompt=request["add_generation_prompt"], **request["special"]), None
    except Exception as failure:  # whatever a template does, it refuses
        return None, f"{type(failure).__name__}: {failure}"


def answers(program, path, requests):
    lines = "".join(json.dumps(request, ensure_ascii=False) + "\n" for request in requests)
    done = subprocess.run([program, path], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    return [json.loads(line) for line in done.stdout.decode().split("\n") if line]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--program", default="build/render-chat")
    parser.add_argument("--show", action="store_true", help="what differs")
    parser.add_argument("templates", nargs="+")
    options = parser.parse_args()
    chat_template_utils.datetime = Clock
    rng = random.Random(options.seed)
    requests = [conversation(rng, i) for i in range(options.n)]
    wrong = 0
    for path in options.templates:
        with open(path, encoding="utf-8", newline="") as file:
            source = file.read()
        same = refused = 0
        for request, got in zip(requests, answers(options.program, path, requests), strict=True):
            text, failure = expected(source, request)
            agree = got.get("text") == text if text is not None else "error" in got
            same += agree
            refused += text is None and agree
            if not agree and options.show:
                print(json.dumps(request, ensure_ascii=False))
                print("  transformers:", repr(text) if text is not None else failure)
                print("  quantdial:   ", repr(got.get("text")) if "text" in got else got["error"])
        wrong += same != len(requests)
        print(f"{'ok  ' if same == len(requests) else 'DIFF'} {same:4d} of {len(requests)} equal, {refused:3d} of them "
              f"refused by both   {os.path.basename(path)}")
    print(f"{len(options.templates) - wrong} of {len(options.templates)} templates equal")
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
