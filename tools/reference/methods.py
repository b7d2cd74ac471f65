"""The arithmetic of quantdial a second time, for comparison: FineQuant's group sizes, weights to integers, FPTQ's policies.

Written from the description of the methods alone (README.md, "How it computes"), slowly and without tricks: one function
per rule, every vote from the weights themselves. The C code is compared with this, number by number. Needs numpy only.
"""

import math

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


def adaptive_group(columns, share_of, quorum, min_group, max_group):
    """Down the ladder for as long as enough groups vote. share_of(size, part) tells the share; max_group 0 is the whole channel."""
    sizes = ladder(columns)
    at = 0
    while max_group and at + 1 < len(sizes) and sizes[at] > max_group:
        at += 1
    while at > 0 and sizes[at] < min_group:
        at -= 1
    while at + 1 < len(sizes) and sizes[at + 1] >= min_group:
        share = share_of(sizes[at], sizes[at + 1])
        if not (share > 0 if quorum == 0 else share >= quorum):
            break
        at += 1
    return sizes[at]


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
