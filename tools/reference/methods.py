"""The arithmetic of quantdial a second time, for comparison: FineQuant's group sizes, weights to integers, FPTQ's policies.

Written from the description of the methods alone (docs/methods.md), slowly and without tricks: one function
per rule, every vote from the weights themselves. The C code is compared with this, number by number. Needs numpy only.
"""

import math
from fractions import Fraction

import numpy as np

F32 = np.float32

# ---- Number types in which scales are stored ----

LARGEST = {"F32": float(np.finfo(F32).max), "F16": 65504.0, "BF16": float.fromhex("0x1.FEp127")}
SMALLEST = {"F32": 2.0**-149, "F16": 2.0**-24, "BF16": 2.0**-133}
FRACTION_BITS = {"F32": 23, "F16": 10, "BF16": 7}
LEAST_EXPONENT = {"F32": -126, "F16": -14, "BF16": -126}


def rounded_to(dtype, value):
    """A positive number rounded half to even to what `dtype` holds; infinity where that is too small a type."""
    if value == 0 or math.isinf(value):
        return value
    exponent = max(math.frexp(value)[1] - 1, LEAST_EXPONENT[dtype])
    unit = math.ldexp(1.0, exponent - FRACTION_BITS[dtype])
    result = float(np.rint(value / unit)) * unit  # a power of two: the division is exact
    return math.inf if result > LARGEST[dtype] else result


# ---- Weights to integers ----


def scale_of(absmax, bits, dtype):
    """absmax / qmax, divided as floats, then rounded to the stored type; what that cannot hold becomes its nearest positive number."""
    if absmax == 0:
        return 1.0
    qmax = 2 ** (bits - 1) - 1
    scale = rounded_to(dtype, float(F32(absmax) / F32(qmax)))
    if scale == 0:
        return SMALLEST[dtype]
    return LARGEST[dtype] if math.isinf(scale) else scale


def codes_of(group, scale, bits):
    """Each weight divided by the scale (as floats), rounded half to even, clamped."""
    qmax = 2 ** (bits - 1) - 1
    with np.errstate(over="ignore"):
        return np.clip(np.rint(group / F32(scale)), -qmax, qmax).astype(np.int8)


def quantize(weights, bits, group, dtype, factors=None, per_tensor=False):
    """weights [out, in] → codes [out, in] int8, scales [out, groups] float32. Groups run along a row; the last may be shorter."""
    w = np.asarray(weights, F32)
    if factors is not None:
        w = w * np.asarray(factors, F32)[None, :]
    rows, columns = w.shape
    starts = range(0, columns, group)
    codes = np.zeros((rows, columns), np.int8)
    scales = np.zeros((rows, len(starts)), F32)
    whole = scale_of(np.abs(w).max(), bits, dtype)
    for o in range(rows):
        for g, start in enumerate(starts):
            part = w[o, start : start + group]
            scale = whole if per_tensor else scale_of(np.abs(part).max(), bits, dtype)
            codes[o, start : start + group] = codes_of(part, scale, bits)
            scales[o, g] = scale
    return codes, scales


# ---- Other number grids ----
#
# A grid is (scale from a range, codes from a scale, numbers from codes). Ranges are pairs low ≤ 0 ≤ high.


def positive(dtype, scale, nothing):
    """A scale as stored: rounded, never zero, never infinite; 1 where there is nothing to scale."""
    if nothing:
        return 1.0
    with np.errstate(over="ignore"):
        scale = rounded_to(dtype, float(scale))
    if scale == 0:
        return SMALLEST[dtype]
    return LARGEST[dtype] if math.isinf(scale) else scale


def range_of(part, grid):
    if grid == "asymmetric":
        return min(F32(part.min()), F32(0)), max(F32(part.max()), F32(0))
    return F32(0), F32(np.abs(part).max())


class Symmetric:
    def __init__(self, bits, dtype, low, high):
        self.qmax = 2 ** (bits - 1) - 1
        self.scale, self.zero = positive(dtype, F32(high) / F32(self.qmax), high == 0), 0

    def codes(self, w):
        with np.errstate(over="ignore"):
            return np.clip(np.rint(w / F32(self.scale)), -self.qmax, self.qmax).astype(np.int64)

    def numbers(self, codes):
        return codes.astype(F32) * F32(self.scale)


class Asymmetric:
    """Unsigned codes 0 … 2^bits − 1 and a zero point among them; both are stored minus 2^(bits−1)."""

    def __init__(self, bits, dtype, low, high):
        self.most, self.shift = 2**bits - 1, 2 ** (bits - 1)
        with np.errstate(over="ignore"):
            width = F32(high) - F32(low)
        self.scale = positive(dtype, width / F32(self.most), width == 0)
        with np.errstate(over="ignore"):
            self.unsigned_zero = int(min(max(float(np.rint(-F32(low) / F32(self.scale))), 0), self.most))
        self.zero = self.unsigned_zero - self.shift

    def codes(self, w):
        with np.errstate(over="ignore"):
            steps = np.clip(np.rint(w / F32(self.scale)).astype(np.float64), -1e6, 1e6)
        return np.clip(steps + self.unsigned_zero, 0, self.most).astype(np.int64) - self.shift

    def numbers(self, codes):
        return (codes - self.zero).astype(F32) * F32(self.scale)


class Log2:
    """0 and ± scale · 2^−k, k = 0 … 2^(bits−1) − 2; the code of 2^−k is qmax − k, so larger codes are larger numbers."""

    def __init__(self, bits, dtype, low, high):
        self.qmax = 2 ** (bits - 1) - 1
        self.scale, self.zero = positive(dtype, F32(high), high == 0), 0
        self.table = [0.0] + [2.0 ** (c - self.qmax) for c in range(1, self.qmax + 1)]

    def nearest(self, share):
        """Every number of the grid is tried; of two that are equally near the one with the even code."""
        distances = [abs(share - number) for number in self.table]
        least = min(distances)
        candidates = [c for c, d in enumerate(distances) if d == least]
        return candidates[0] if len(candidates) == 1 else next(c for c in candidates if c % 2 == 0)

    def codes(self, w):
        with np.errstate(over="ignore"):
            shares = np.minimum(np.abs(w) / F32(self.scale), F32(1)).astype(np.float64)
        # A float minus a power of two is exact in double only when they are near; Fractions settle the rest.
        found = [self.nearest(Fraction(float(s))) if self.qmax < 8 else self.nearest_by_exponent(float(s)) for s in shares.ravel()]
        return np.array(found, np.int64).reshape(w.shape) * np.where(w < 0, -1, 1)

    def nearest_by_exponent(self, share):
        """Only the two neighbours, for the 127 numbers at 8 bits."""
        if share == 0:
            return 0
        below = max(math.floor(math.log2(share)) + self.qmax, 0)
        near = [c for c in range(below - 2, below + 3) if 0 <= c <= self.qmax]
        if not near:
            return 0 if below <= 0 else self.qmax
        distance = {c: abs(Fraction(share) - Fraction(self.table[c])) for c in near}
        return min(near, key=lambda c: (distance[c], c % 2))

    def numbers(self, codes):
        table = np.array(self.table)[np.abs(codes)]
        return (np.sign(codes) * (table * np.float64(self.scale)).astype(F32)).astype(F32)


GRIDS = {"symmetric": Symmetric, "asymmetric": Asymmetric, "log2": Log2, "two-level": Symmetric}
CLIP_SHARES = [F32((32 - i) / 32) for i in range(25)]


def step_for(grid, bits, dtype, part, clip):
    """The step of one group: of its whole range, or of the share of it that loses least in squares (the widest of equals)."""
    low, high = range_of(part, grid)
    if clip == "absmax":
        return GRIDS[grid](bits, dtype, low, high)
    steps = [GRIDS[grid](bits, dtype, low * share, high * share) for share in CLIP_SHARES]
    with np.errstate(over="ignore"):
        losses = [float(((part - s.numbers(s.codes(part))).astype(np.float64) ** 2).sum()) for s in steps]
    return steps[min(range(len(steps)), key=lambda i: (losses[i], i))]


def quantize_on(grid, weights, bits, group, dtype, clip="absmax", factors=None, divisors=None, per_tensor=False):
    """→ codes [out, in], scales [out, groups] ([out] at two levels), zeros or None, group factors or None."""
    w = np.asarray(weights, F32)
    if factors is not None:
        w = w * np.asarray(factors, F32)[None, :]
    if divisors is not None:
        w = w / np.asarray(divisors, F32)[:, None]
    if grid == "two-level":
        return two_levels(w, bits, group, dtype, clip)
    starts = range(0, w.shape[1], group)
    codes, scales = np.zeros(w.shape, np.int8), np.zeros((w.shape[0], len(starts)), F32)
    zeros = np.zeros((w.shape[0], len(starts)), np.int8)
    for o in range(w.shape[0]):
        for g, start in enumerate(starts):
            part = w[o, start : start + group]
            step = step_for(grid, bits, dtype, w if per_tensor else part, clip)
            codes[o, start : start + group] = step.codes(part)
            scales[o, g], zeros[o, g] = step.scale, step.zero
    return codes, scales, zeros if grid == "asymmetric" else None, None


def two_levels(w, bits, group, dtype, clip):
    """A float scale per row, and per group an integer from 1 to 127 that multiplies it."""
    starts = range(0, w.shape[1], group)
    codes, scales = np.zeros(w.shape, np.int8), np.zeros(w.shape[0], F32)
    multiples = np.zeros((w.shape[0], len(starts)), np.int8)
    for o in range(w.shape[0]):
        parts = [w[o, start : start + group] for start in starts]
        wanted = [F32(step_for("symmetric", bits, "F32", p, clip).scale) if np.abs(p).max() > 0 else F32(0) for p in parts]
        scales[o] = positive(dtype, max(wanted) / F32(127), max(wanted) == 0)
        for g, (start, part) in enumerate(zip(starts, parts)):
            with np.errstate(over="ignore"):
                multiples[o, g] = int(min(max(float(np.rint(wanted[g] / scales[o])), 1), 127))
            step = Symmetric(bits, "F32", F32(0), F32(0))
            step.scale = F32(multiples[o, g]) * scales[o]
            codes[o, start : start + group] = step.codes(part)
    return codes, scales, None, multiples


def bits_per_weight(grid, bits, group, rows, columns, scale_bits, per_tensor=False):
    groups = 1 if per_tensor else rows * -(-columns // group)
    scales = rows if grid == "two-level" else groups
    extra = groups * bits if grid == "asymmetric" else groups * 8 if grid == "two-level" else 0
    return (rows * columns * bits + scales * scale_bits + extra) / (rows * columns)


# ---- FineQuant: the group size of a matrix ----


def ladder(columns):
    """columns, then the powers of two from 16 that divide it, largest first."""
    powers = [2**k for k in range(31, 3, -1) if 2**k < columns and columns % 2**k == 0]
    return [columns] + powers


def absmax_range(values):
    return float(np.abs(values).max())


def spread_range(values):
    return float(values.max()) - float(values.min())


def votes(parent, part, rule, alpha):
    """Does a parent group vote for being split into parts of `part` columns?"""
    pieces = [parent[i : i + part] for i in range(0, len(parent), part)]
    if rule == "shrink":
        whole = absmax_range(parent)
        return whole > 0 and 1 - min(absmax_range(p) for p in pieces) / whole > alpha
    whole = spread_range(parent)
    return whole > 0 and max(spread_range(p) for p in pieces) / whole > alpha


def voting_share(weights, size, part, rule, alpha):
    """The share of all groups of `size` columns that vote for going on to `part` columns."""
    parents = np.asarray(weights, F32).reshape(-1, size)
    return sum(votes(parent, part, rule, alpha) for parent in parents) / len(parents)


def first_rung(sizes, min_group, max_group):
    at = 0
    while max_group and at + 1 < len(sizes) and sizes[at] > max_group:
        at += 1
    while at > 0 and sizes[at] < min_group:
        at -= 1
    return at


def adaptive_group(columns, share_of, quorum, min_group, max_group):
    """Down the ladder for as long as enough groups vote. share_of(size, part) tells the share; max_group 0 is the whole channel."""
    sizes = ladder(columns)
    at = first_rung(sizes, min_group, max_group)
    while at + 1 < len(sizes) and sizes[at + 1] >= min_group:
        share = share_of(sizes[at], sizes[at + 1])
        if not (share > 0 if quorum == 0 else share >= quorum):
            break
        at += 1
    return sizes[at]


# ---- The group size of a matrix by its noise ----


def steps_of(grid, bits):
    return 2**bits - 1 if grid == "asymmetric" else 2 ** (bits - 1) - 1


def noise_of(weights, size, grid, bits):
    """Σ (w − ŵ)² / Σ w² in groups of `size` columns, told from their ranges: a step of width d rounds with d² / 12."""
    groups = np.asarray(weights, np.float64).reshape(-1, size)
    if grid == "asymmetric":
        ranges = np.maximum(groups.max(axis=1), 0) - np.minimum(groups.min(axis=1), 0)
    else:
        ranges = np.abs(groups).max(axis=1)
    energy = float((groups**2).sum())
    return size * float((ranges**2).sum()) / (12 * steps_of(grid, bits) ** 2 * energy) if energy > 0 else 0.0


def normal_squares(n, grid):
    """The mean of range² over groups of n standard normal numbers, by integrals over the distribution of their extremes."""
    t = np.linspace(0, 10, 2001)
    below = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in t])
    inside = 2 * below - 1  # |x| ≤ t
    if grid != "asymmetric":
        return float(np.trapezoid((1 - inside**n) * 2 * t, t))
    # a = max(0, largest), b = max(0, −smallest): E[(a + b)²] = 2 E[a²] + 2 E[ab], each by how often they exceed.
    one = float(np.trapezoid((1 - below**n) * 2 * t, t))
    between = np.maximum(below[:, None] + below[None, :] - 1, 0)
    both = 1 - below[:, None] ** n - below[None, :] ** n + between**n
    return 2 * one + 2 * float(np.trapezoid(np.trapezoid(both, t, axis=1), t))


def noise_ceiling(alpha, grid, bits):
    """What normal weights have in groups of 8 · 2^(10 · alpha + 1/2) columns; between powers of two, on a straight line."""
    at = 10 * alpha + 0.5
    k = int(at)
    low, high = (normal_squares(8 * 2**i, grid) for i in (k, k + 1))
    return (low + (at - k) * (high - low)) / (12 * steps_of(grid, bits) ** 2)


def group_by_noise(weights, alpha, grid, bits, min_group, max_group):
    """The largest size with noise below the ceiling, from max_group (0: the whole channel) down to min_group; else the smallest."""
    w = np.asarray(weights)
    sizes = ladder(w.shape[1])
    first = sizes[first_rung(sizes, min_group, max_group)]
    allowed = [s for s in sizes if s == first or min_group <= s < first]
    ceiling = noise_ceiling(alpha, grid, bits)
    return next((s for s in allowed if noise_of(w, s, grid, bits) <= ceiling), allowed[-1])


# ---- FPTQ: activations ----


def fptq_class(v, v0, v1):
    if v <= v0:
        return "static"
    return "LAE" if v < v1 else "token"


def lae_factors(channel_absmax, alpha):
    """s_j = (m_j / log2(2 + m_j))^alpha, in double, stored as float; 1 where there is no range (or no normal number)."""

    def factor(m):
        if not math.isfinite(m) or m < 2.0**-126:
            return 1.0
        return math.pow(m / math.log2(2 + m), alpha)

    return np.array([factor(float(m)) for m in channel_absmax], F32)


def equalized_range(channel_absmax, alpha):
    """max_j m_j / s_j, divided as floats."""
    m = np.asarray(channel_absmax, F32)
    return float((m / lae_factors(m, alpha)).max())


def smooth_factors(channel_absmax, weight_absmax, alpha):
    """SmoothQuant: s_j = max|x_j|^alpha / max|W_j|^(1 − alpha); 1 where either is nothing (or no normal number)."""

    def factor(m, w):
        if not (math.isfinite(m) and m >= 2.0**-126 and math.isfinite(w) and w >= 2.0**-126):
            return 1.0
        return math.pow(m, alpha) / math.pow(w, 1 - alpha)

    return np.array([factor(float(m), float(w)) for m, w in zip(channel_absmax, weight_absmax)], F32)


def shared_factors(factors, heads, kv_heads):
    """Query heads that read one kv head take the largest of their factors. → for the columns of o, for the rows of v."""
    f = np.asarray(factors, F32).reshape(kv_heads, heads // kv_heads, -1)
    rows = f.max(axis=1)
    return np.repeat(rows[:, None], heads // kv_heads, axis=1).reshape(-1), rows.reshape(-1)


def static_scale(v):
    """The constant scale of an input of range v; 1 where there is nothing to scale."""
    scale = float(F32(v) / F32(127))
    return scale if 2.0**-126 <= scale else 1.0


def input_policy(readers, channel_absmax, v0, v1, alpha, foldable):
    """What happens to one input that `readers` (quantized or not) share: (policy, equalized, activation scale or 0)."""
    v = float(np.max(channel_absmax))
    kind = fptq_class(v, v0, v1)
    if kind == "static" or (kind == "LAE" and alpha == 0):
        return "static", False, static_scale(v)
    if kind == "LAE" and foldable and all(readers):
        return "static", True, static_scale(equalized_range(channel_absmax, alpha))
    return "token", False, 0.0


# ---- What a product sees ----


def int8_codes(x, scale):
    """Times the reciprocal, which is rounded to float once; half to even, within ±127."""
    scale = np.asarray(scale, F32)
    return np.clip(np.rint(x * (F32(1) / scale)), -127, 127)


def seen_activations(mode, x, static=None):
    """x [tokens, in] as numbers that 8 bits hold: one constant scale, one per token, one per channel of the call, or as they are."""
    x = np.asarray(x, F32)
    if mode == "none":
        return x.astype(np.float64)
    absmax = {"static": None, "token": np.abs(x).max(1, keepdims=True), "channel": np.abs(x).max(0, keepdims=True)}[mode]
    scale = np.broadcast_to(F32(static) if mode == "static" else absmax / F32(127), x.shape)
    scale = np.where(scale > 0, scale, F32(1)).astype(F32)
    return int8_codes(x, scale) * scale.astype(np.float64)


def weight_numbers(grid, bits, group, codes, scales, zeros, multiples):
    """What the parts of a quantized weight stand for, in double."""
    qmax = 2 ** (bits - 1) - 1
    column_group = np.arange(codes.shape[1]) // group
    c = codes.astype(np.float64)
    if grid == "asymmetric":
        c = c - zeros.astype(np.float64)[:, column_group]
    if grid == "log2":
        c = np.sign(c) * np.where(c == 0, 0, 2.0 ** (np.abs(c) - qmax))
    if grid == "two-level":
        return c * multiples.astype(np.float64)[:, column_group] * scales.astype(np.float64)[:, None]
    return c * scales.astype(np.float64)[:, column_group]


def int8_rows(x):
    """Rows of keys or values as an int8 cache gives them back: one scale per row."""
    return seen_activations("token", x)


def attention(q, k, v, scale):
    """q [heads, tokens, dim], k and v [kv_heads, tokens, dim], causal → [tokens, heads, dim]."""
    heads, tokens, dim = q.shape
    out = np.zeros((tokens, heads, dim))
    for h in range(heads):
        kv = h * len(k) // heads
        for t in range(tokens):
            scores = k[kv, : t + 1] @ q[h, t].astype(np.float64) * scale
            weights = np.exp(scores - scores.max())
            out[t, h] = weights @ v[kv, : t + 1] / weights.sum()
    return out


def percentile_scale(p, v):
    """The scale of a range clipped at percentile p; of the whole range where that is nothing."""
    return static_scale(p if p > 0 else v)


# ---- Comparing ----


def hash_bytes(data, value=0xCBF29CE484222325):
    """The 64-bit hash of base/hash.h: FNV-1a over 8-byte steps with a final mix."""
    mask = 2**64 - 1
    whole = len(data) // 8 * 8
    for word in np.frombuffer(data[:whole], "<u8").tolist():
        value = (value ^ word) * 0x100000001B3 & mask
        value ^= value >> 29
    for byte in data[whole:]:
        value = (value ^ byte) * 0x100000001B3 & mask
    value = (value ^ value >> 32) * 0xD6E8FEB86659FD93 & mask
    return value ^ value >> 32
