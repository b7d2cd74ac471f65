#!/bin/sh
# Decode and prefill beside llama.cpp on the same cores, in turns; one JSON line per run, to be put into medians.
#
#   tests/bench/against_llama.sh LLAMA_BENCH CHECKPOINT RUNS GGUF...
#
# CHECKPOINT and the GGUF files must have the same shape; random weights do.
set -e
llama_bench=$1 checkpoint=$2 runs=$3
shift 3
export GOMP_SPINCOUNT=1000
for run in $(seq "$runs"); do
    build/bench/bench_decode "$checkpoint" --runs 1 --json
    for file in "$@"; do
        "$llama_bench" -m "$file" -t "$(nproc)" -p 512 -n 24 -r 1 -o jsonl | python3 -c '
import json, sys
for line in sys.stdin:
    r = json.loads(line)
    what = "prefill" if r["n_prompt"] else "decode"
    print(json.dumps({"llama.cpp": r["model_type"], what + "_tokens_per_second": round(r["avg_ts"], 2)}))'
    done
done
