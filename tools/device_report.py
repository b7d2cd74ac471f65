#!/usr/bin/env python3
"""What the compiled code of the device says before a device is there: `make device-report`.

    device_report.py CUOBJDUMP CUBIN...      a Markdown table to standard output

Registers and shared memory are the compiler's. Instructions are counted in the machine code: of a loop once around, of
a kernel without a loop that matters from its entry to its end, on the path that the entry's counts choose (of several
such paths the longest). Times are predictions by the model in docs/device.md, whose constants stand below.
"""
import collections
import re
import subprocess
import sys

# ---- The device (H200) and the model ----

MULTIPROCESSORS, CLOCK = 132, 1.755e9  # Hz
COPY_RATES = 4.3e12, 4.8e12  # B/s: nine tenths of what the data sheet gives, by which the table goes, and all of it
ISSUE = 4  # instructions a cycle on a multiprocessor
ALONE = 4  # cycles from one instruction of a warp to the next that needs it
TRIP = 0.6e-6  # s: from a load of global memory to its use
GAP, EARLY_GAP = 1.2e-6, 0.5e-6  # s between kernels: one after the other, and where the next one is there already
SHARED, OWN_SHARED, REGISTERS = 228 << 10, 1 << 10, 65536  # of a multiprocessor; what each block costs

# ---- The shape: 7 B parameters, 4096 wide, 11008 inside, 32 heads of 128; one token behind 1024 ----

HIDDEN, INNER, HEADS, DIM, SEEN = 4096, 11008, 32, 128, 1024
INT4 = 0.5 + 2 / 64  # bytes of a weight, with F16 scales of groups of 64
QKV, OUT, UP, DOWN = 3 * HIDDEN * HIDDEN, HIDDEN * HIDDEN, 2 * HIDDEN * INNER, HIDDEN * INNER
CACHE = 2 * HEADS * DIM * 2 * SEEN

Launch = collections.namedtuple("Launch", "role kernel blocks threads bytes dynamic loop path around flight first trips")


def launch(role, kernel, blocks, threads, bytes=0, dynamic=0, loop="", path=None, around=0, flight=0, first=0, trips=0):
    """loop: the operations that it holds, else the whole kernel; path: how often operations occur on it; around: bytes
    that a warp moves once around; flight: bytes of a warp under way; first: those it asks for before it waits; trips:
    loads of memory that wait for one another, of a kernel that does not stream."""
    return Launch(role, kernel, blocks, threads, bytes, dynamic, loop, path or {}, around, flight, first, trips)


FEW = dict(threads=256, dynamic=2048 + 8 * 4 * 1408, loop="LDGSTS IMMA",
           path={"LDGSTS": 5, "IMMA": 4, "I2FP": 4, "LDS": 16}, around=1088, flight=3 * 1088, first=3 * 1088)
DENSE = dict(threads=128, loop="LDG FFMA", path={"LDG": 6}, around=4 * 512, flight=2 * 4 * 512, first=4 * 512)


def few(role, rows, weights):
    return launch(role, "few_free_4", rows // 16, bytes=weights * INT4, **FEW)


def dense(role, rows, weights):
    return launch(role, "dense_few_BF16_1", rows // 16, bytes=weights * 2, **DENSE)


def norm(role, kernel, path):
    return launch(role, kernel, 1, 1024, path=path, trips=1)


NORM = norm("add, norm", "rms_norm_1", {"LDG": 3, "STG": 2})
NORM_CODES = norm("add, norm, codes", "rms_norm_codes_2_1", {"LDG": 3, "STG": 5, "SHFL": 14, "REDUX": 0})
ROPE = launch("rotate, store keys and values", "rope_write_pairs", 24, 128, path={"LDG": 9, "STG": 8, "REDUX": 0}, trips=2)
ATTENTION = launch("attention", "attention_2_1_BF16", 512, 128, bytes=CACHE, loop="LDG SHFL FFMA",
                   path={"LDG": 4, "SHFL": 3, "MUFU": 2}, around=4 * 512, flight=2 * 4 * 512, trips=4)
DECODE = [
    NORM_CODES, few("q, k, v", 3 * HIDDEN, QKV), ROPE, ATTENTION,
    launch("codes", "codes_2", 8, 128, path={"SHFL": 4, "STG": 3}, trips=1), few("o", HIDDEN, OUT),
    NORM_CODES, few("gate, up", 2 * INNER, UP),
    launch("activation, codes", "elementwise_codes_2", 22, 128, path={"LDG": 2, "SHFL": 4, "STG": 4}, trips=1),
    few("down", HIDDEN, DOWN),
]
OWN16 = [
    NORM, dense("q, k, v", 3 * HIDDEN, QKV), ROPE, ATTENTION, dense("o", HIDDEN, OUT),
    NORM, dense("gate, up", 2 * INNER, UP), launch("activation", "elementwise_kernel", 43, 256, trips=1),
    dense("down", HIDDEN, DOWN),
]
PREFILL = [
    launch("512 tokens: add, norm", "rms_norm_1", 512, 1024, path=NORM.path),
    launch("512 tokens: activations in 16 bits", "f16_activations_kernel", 512, 1024),
    launch("512 tokens: activation", "elementwise_kernel", 512 * 43, 256),
    launch("512 tokens: products", "warpgroups_4_32", MULTIPROCESSORS, 256, dynamic=3 * (64 << 10) + 2 * (17 << 9),
           loop="LDGSTS HGMMA", path=dict(LDGSTS=3, UBLKCP=2, HGMMA=8, F2FP=4, HADD2=4, HFMA2=36, NANOSLEEP=0)),
    launch("512 tokens: attention", "attention_tiles_128_exact", 256, 128, dynamic=(64 + 64) * 132 * 4 + 384,
           loop="HMMA"),
]

# ---- Quantizing a matrix of 16-bit floats, 11008 × 4096: a block takes 16 rows, a warp a slab of 128 columns at a time ----

ROWS, COLUMNS = 11008, 4096
SLAB_WEIGHTS = 16 * 128


def slabs(role, bits, group, more=None):
    """more: counts of the path that groups of this size, or factors, need"""
    scales = 2 / group  # bytes of a weight
    path = dict(LDG=16, CALL=0, WARPSYNC=0, REDUX=1, F2F=4, HADD2=64) | (more or {})
    return launch(role, f"quantize_{bits}", ROWS // 16, 256, bytes=ROWS * COLUMNS * (2 + bits / 8 + scales),
                  loop="LDG FFMA F2F REDUX", path=path, around=SLAB_WEIGHTS * (2 + bits / 8 + scales), flight=4096)


SHORT, LONG = 64, 128  # columns of groups
FACTORS = dict(LDG=24)
WIDE = launch("its scales", "wide_scales_kernel", ROWS // 16, 256, bytes=ROWS * COLUMNS * 2, loop="LDG FMNMX HADD2",
              path=dict(LDG=16, CALL=0, HADD2=64, FMNMX=64), around=SLAB_WEIGHTS * 2, flight=4096)
QUANTIZING = [
    [slabs("4 bits, groups of 32", 4, 32, dict(SHFL=16))],
    [slabs("4 bits, groups of 64", 4, SHORT, dict(SHFL=8))],
    [slabs("4 bits, groups of 128", 4, LONG, dict(SHFL=4))],
    [slabs("4 bits, groups of 64, equalized", 4, SHORT, dict(SHFL=8) | FACTORS)],
    [slabs("8 bits, groups of 64", 8, SHORT, dict(SHFL=8))],
    [slabs("3 bits, groups of 64", 3, SHORT, dict(SHFL=8))],
    [slabs("2 bits, groups of 64", 2, SHORT, dict(SHFL=8))],
    [WIDE, slabs("8 bits, by channel", 8, COLUMNS, dict(SHFL=0, LDG=18, HADD2=66))],
]

# ---- Products of many tokens, by warpgroups: as linear_cuda.c cuts them ----

SHAPES = (28672, 8192), (8192, 28672)
F16_RATE, INT8_RATE = 989e12, 1979e12  # operations a second of the tensor cores, by the data sheet
BY_WARP = 5 / 8  # of that is reached where each warp multiplies for itself: an assumption
CACHE_RATE = 5.5e12  # B/s from the second-level cache to all multiprocessors: an assumption
PAIRS = MULTIPROCESSORS // 2  # of blocks with one on each multiprocessor

Product = collections.namedtuple("Product", "out inside tokens bits side rows tiles splits chained launch")


def ceil(n, each):
    return -(-n // each)


def stages_of(shared, own, each, least, most):
    """(stages, bytes): as many as there is room for beside `each` − 1 other blocks"""
    stages = least
    while stages < most and (stages + 1) * shared + stages * own + 176 <= SHARED // each - OWN_SHARED:
        stages += 1
    return stages * shared + (stages - 1) * own + 176


def product(f16, bits, out, inside, tokens, goal):
    """(Product, goal): weights with groups of 64 in 16-bit floats, or of 128 with int8 activations"""
    side = min(1 << (ceil(tokens, 8) - 1).bit_length(), 32 if f16 else 16)
    alone = f16 and side < 8  # no pairs
    rows = 128 if alone else 256
    while not f16 and side > 2 and 8 * ceil(out, rows) * ceil(tokens, 8 * side) < 3 * MULTIPROCESSORS:
        side //= 2
    each = 1 if side >= 16 else 2  # blocks of a multiprocessor
    tiles = ceil(out, rows) * ceil(tokens, 8 * side)
    chained = each == 1 and tiles > PAIRS
    weights, x = 8 * 256 * bits + 8 * 32 * (2 if f16 else 1), side * 8 * 128 * (2 if f16 else 1)
    if alone:
        stage = ceil(weights + x, 1024) * 1024
        dynamic = min((SHARED // each - OWN_SHARED) // stage, 5) * stage
    else:
        dynamic = stages_of(x, weights, each, 3 if f16 else 2, 5 if f16 else 4)
    blocks = tiles if alone else 2 * tiles
    splits = (max(1, min(each * MULTIPROCESSORS // blocks, inside // 128 // 4, inside * bits // 64 // tokens, 8))
              if f16 and not chained else 1)
    copies = 1 + ceil(bits, 2)
    if alone:
        name, work = "f16", dict(LDGSTS=copies + side // 2, HMMA=8 * side, F2FP=4, HADD2=4, HFMA2=36)
    elif f16:
        name, work = "warpgroups", dict(LDGSTS=copies, UBLKCP=2, HGMMA=8, F2FP=4, HADD2=4, HFMA2=36, NANOSLEEP=0)
    else:
        name, work = "int8", dict(LDGSTS=copies, UBLKCP=1, IGMMA=4, WARPGROUP=2, I2F=0, I2FP=4 * side, NANOSLEEP=0)
    return Product(out, inside, tokens, bits, side, rows, tiles, splits, chained,
                   launch(f"{out} × {inside}, {tokens} tokens", f"{name}_{bits}_{side}",
                          2 * PAIRS if chained else blocks * splits, 256, dynamic=dynamic,
                          loop="LDGSTS " + ("HMMA" if alone else "HGMMA" if f16 else "IGMMA"), path=work)), goal


FUSED, FUSED_8 = ([product(True, bits, *shape, tokens, goal) for shape in SHAPES for tokens, goal in goals] for bits, goals in (
    (4, ((16, 2.5), (32, 2.0), (64, 1.2), (128, 0.9), (256, 0.9), (512, 0.9))),
    (8, ((16, 0.9), (32, 0.9), (64, 0.9), (128, 0.9), (256, 0.9), (512, 0.9)))))
INT8 = [product(False, 4, *shape, tokens, goal) for shape in SHAPES
        for tokens, goal in ((64, 1.5), (128, 1.3), (256, 1.1), (512, 1.1))]

# ---- Machine code ----


def operation(text):
    return re.sub(r"^@!?U?P\w+ ", "", text).split()[0].split(".")[0]


def read(cuobjdump, cubin):
    """(name → [(address, text)], name → (registers, shared bytes))"""
    code, use, name = {}, {}, None
    for line in subprocess.run([cuobjdump, "-sass", "-res-usage", cubin], check=True, capture_output=True,
                               text=True).stdout.splitlines():
        if m := re.search(r"Function (?:: )?_Z(\d+)(\w+):?$", line):
            name = m.group(2)[:int(m.group(1))]
        elif m := re.search(r"REG:(\d+) .*SHARED:(\d+)", line):
            use[name] = (int(m.group(1)), int(m.group(2)))
        elif m := re.match(r"\s+/\*([0-9a-f]{4,})\*/\s+(.*?);", line):
            code.setdefault(name, []).append((int(m.group(1), 16), m.group(2).strip()))
    return code, use


def target(text):
    return int(re.findall(r"0x([0-9a-f]+)", text)[-1], 16)


def follow(code):
    """of each instruction, those that may come next"""
    at = {address: i for i, (address, _) in enumerate(code)}
    after = []
    for i, (_, text) in enumerate(code):
        what, on = operation(text), [i + 1] if i + 1 < len(code) else []
        sometimes = text.startswith("@") or re.search(r"BRA(\.\w+)* !?U?P\d", text)
        if what == "BRA" and ".DIV" not in text:  # that is for warps that have parted
            on = [at[target(text)]] + (on if sometimes else [])
        elif what in ("EXIT", "RET") and not sometimes:
            on = []
        after.append(on)
    return after


def instructions(code, wanted, first=0, last=None):
    """{how often the wanted operations occur, at most as often as wanted: instructions on the longest such path}"""
    after, state, order, back = follow(code), {first: 1}, [], set()
    stack = [(first, iter(after[first]))]
    while stack:
        node, nexts = stack[-1]
        for m in nexts:
            if last is not None and not first <= m <= last:
                continue
            if state.get(m) == 1:
                back.add((node, m))
            elif m not in state:
                state[m] = 1
                stack.append((m, iter(after[m])))
                break
        else:
            state[node] = 2
            order.append(node)
            stack.pop()
    paths = {}
    for node in order:
        own = tuple(int(operation(code[node][1]) == what) for what in wanted)
        ends = node == last if last is not None else operation(code[node][1]) in ("EXIT", "RET") or not after[node]
        paths[node] = {own: 1} if ends else {}
        for m in after[node] if node != last else []:
            if (node, m) in back:
                continue
            for key, length in paths.get(m, {}).items():
                key = tuple(a + b for a, b in zip(own, key))
                if all(n <= most for n, most in zip(key, wanted.values())):
                    paths[node][key] = max(paths[node].get(key, 0), length + 1)
    return paths[first]


def loops(code):
    at = {address: i for i, (address, _) in enumerate(code)}
    return [(at[target(text)], i) for i, (_, text) in enumerate(code)
            if operation(text) == "BRA" and target(text) < code[i][0]]


def slab_instructions(code, l):
    """of a block's warps on average: one of them copies for all"""
    path = {what: n for what, n in l.path.items() if what != "UBLKCP"}
    copies = {what: n for what, n in l.path.items() if what == "UBLKCP"}
    without = counted_instructions(code, l._replace(path=path | dict.fromkeys(copies, 0)))
    return (counted_instructions(code, l) + (l.threads // 32 - 1) * without) / (l.threads // 32)


def counted_instructions(code, l):
    places, wanted, found = [(0, None)], tuple(l.path.values()), {}
    if l.loop:
        places = [(a, b) for a, b in loops(code)
                  if set(l.loop.split()) <= {operation(text) for _, text in code[a:b + 1]}]
    for place in sorted(places, key=lambda p: (p[1] or 0) - p[0]):
        found = instructions(code, l.path, *place)
        if wanted in found:
            return found[wanted]
    sys.exit(f"{l.kernel} has no path of {l.path}; of such and shorter ones there are {sorted(found)}")


# ---- What it comes to ----


def resident(l, registers, shared):
    """blocks on a multiprocessor"""
    warps = -(-l.threads // 32)
    by_registers = REGISTERS // (-(-registers * 32 // 256) * 256) // warps
    return min(by_registers, SHARED // (shared + l.dynamic), 2048 // l.threads, 32)


def under_way(l, blocks, each):
    """bytes on a multiprocessor when its warps have `each`"""
    return min(blocks, -(-l.blocks // MULTIPROCESSORS)) * l.threads // 32 * each


def predicted(l, count, use, early, before, rate):
    """seconds, the gap before it included; before: what the kernel before took, during which the first weights come"""
    warps, used = l.blocks * l.threads // 32, min(l.blocks, MULTIPROCESSORS)
    if l.around:
        issue = l.bytes / l.around * count / (ISSUE * used * CLOCK)
    else:
        issue = count * max(ALONE, warps / used / ISSUE) / CLOCK
    first = min(MULTIPROCESSORS * under_way(l, resident(l, *use), l.first), before * rate) if early else 0
    return (EARLY_GAP if early else GAP) + l.trips * TRIP + max(issue, (l.bytes - first) / rate)


def times(launches, counts, use, early, rate):
    found = []
    for l, count in zip(launches, counts):
        found.append(predicted(l, count, use[l.kernel], l.kernel in early, found[-1] if found else 0, rate))
    return found


def row(l, count, use, time):
    registers, shared = use
    blocks = resident(l, registers, shared)
    per = f"{count / l.around * 1024:.0f}" if l.around else ""
    flight = f"{under_way(l, blocks, l.flight) / 1024:.0f} KB" if l.flight else ""
    shown = f"{time * 1e6:.1f}" if l.bytes or l.trips else ""
    return (f"| {l.role} | `{l.kernel}` | {l.blocks} × {l.threads} | {registers} | {(shared + l.dynamic) / 1024:.0f} KB | "
            f"{blocks * l.threads / 2048:.0%} | {count} | {per} | {flight} | {shown} |")


HEAD = ("| does | kernel | blocks | registers | shared | occupancy | instructions | for a KB | under way | µs |\n"
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")


def quantizing(code, use, early):
    print(f"\n**Quantizing {ROWS} × {COLUMNS} numbers of 16 bits**")
    heading, line = HEAD.split("\n")
    print(f"\n{heading} times its bytes |\n{line} ---: |")
    for launches in QUANTIZING:
        counts = [counted_instructions(code[l.kernel], l) for l in launches]
        took = times(launches, counts, use, early, COPY_RATES[0])
        for l, count, time in zip(launches, counts, took):
            whole = f"{sum(took) / (launches[-1].bytes / COPY_RATES[0]):.1f}" if l is launches[-1] else ""
            print(f"{row(l, count, use[l.kernel], time)} {whole} |")


def many_tokens(title, products, code, use, f16):
    print(f"\n**{title}**\n\n| product | kernel | blocks | a multiprocessor: at a time, in all | registers | shared | "
          "for a slab | memory | cache | issue | tensor cores | µs | cuBLAS | times as fast | goal |\n| --- | --- | ---: | "
          "---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for p, goal in products:
        l, (registers, shared) = p.launch, use[p.launch.kernel]
        count, rate = slab_instructions(code[l.kernel], l), F16_RATE if f16 else INT8_RATE
        rate *= 1 if p.rows == 256 else BY_WARP
        weights, wide = p.out * p.inside * (p.bits / 8 + 2 / (64 if f16 else 128)), 2 if f16 else 1
        along = ceil(p.tokens, 8 * p.side)
        padded = along * 8 * p.side
        if p.chained:  # what is left for the next pair, and taken
            parts = 2 * (PAIRS - 1) * 256 * 8 * p.side * 4
        else:
            parts = 2 * p.splits * p.out * p.tokens * 4 if p.splits > 1 else 0
        x = ceil(p.out, p.rows) * padded * p.inside * wide
        most = ceil(l.blocks, MULTIPROCESSORS)  # of one multiprocessor
        uneven = most * MULTIPROCESSORS / l.blocks
        slab_count = p.inside / 128 * p.tiles / PAIRS if p.chained else p.inside / 128 / p.splits
        limits = [(weights + p.tokens * p.inside * wide) / COPY_RATES[0], (weights * along + x + parts) / CACHE_RATE,
                  most * slab_count * 8 * count / ISSUE / CLOCK, uneven * 2 * p.out * padded * p.inside / rate]
        own = max(limits) + (EARLY_GAP + TRIP if p.splits > 1 else 0)
        library = max((p.out + p.tokens) * p.inside * 2 / COPY_RATES[0], 2 * p.out * p.inside * p.tokens / F16_RATE)
        shown = " | ".join(f"{t * 1e6:.0f}" for t in limits)
        print(f"| {l.role} | `{l.kernel}` | {l.blocks // p.splits} × {p.splits} | {resident(l, registers, shared)}, {most} | "
              f"{registers} | {l.dynamic / 1024:.0f} KB | {count:.0f} | {shown} | {own * 1e6:.0f} | {library * 1e6:.0f} | "
              f"{library / own:.2f} | {goal} |")


def main():
    code, use = {}, {}
    for cubin in sys.argv[2:]:
        for all_of, of_one in zip((code, use), read(sys.argv[1], cubin)):
            all_of.update(of_one)
    early = {name for name, text in code.items() if any(operation(t) == "ACQBULK" for _, t in text)}
    counts = {}
    for title, launches in (("Decode, int4", DECODE), ("Decode, own 16 bits", OWN16), ("Prefill, int4", PREFILL)):
        print(f"\n**{title}**\n\n{HEAD}")
        counts[title] = [counted_instructions(code[l.kernel], l) for l in launches]
        for l, count, time in zip(launches, counts[title], times(launches, counts[title], use, early, COPY_RATES[0])):
            print(row(l, count, use[l.kernel], time))
    print()
    for rate in COPY_RATES:
        t4, t16 = (sum(times(launches, counts[title], use, early, rate)) * 1e6
                   for title, launches in (("Decode, int4", DECODE), ("Decode, own 16 bits", OWN16)))
        print(f"Predicted for a layer at {rate / 1e12:.1f} TB/s: {t4:.0f} µs in {len(DECODE)} launches at 4 bits, {t16:.0f} µs "
              f"in {len(OWN16)} at 16: {t16 / t4:.2f} times as fast.")
    many_tokens("Many tokens, int4 in groups of 64", FUSED, code, use, True)
    many_tokens("Many tokens, int8 in groups of 64", FUSED_8, code, use, True)
    many_tokens("Many tokens, W4A8 in groups of 128", INT8, code, use, False)
    quantizing(code, use, early)


if __name__ == "__main__":
    main()
