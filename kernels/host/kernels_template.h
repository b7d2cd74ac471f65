// The inner loops, written once. Included by kernels_<set>.c after one of the simd_<set>.h, which give vectors of LANES
// floats (Vf), words (Vu) and integers (Vs). Functions marked INLINE take their first arguments as constants: each use
// is a loop of its own.
//
// Sums run in one fixed order per output element, whatever the number of tokens: a token's result never depends on its
// neighbours.
#include <assert.h>

#if LANES == 1
#define UNROLL // nothing to keep in registers
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

// ---- Reading and writing vectors, whole or not ----

INLINE size_t at_most(size_t n, size_t most) { return n < most ? n : most; }

// Elements i … i + LANES − 1 of an array of dtype, at any alignment.
INLINE Vf load_as(DType dtype, const void *array, size_t i) {
    const char *p = array;
    switch (dtype) {
    case DTYPE_F16: return vf_from_f16(p + i * 2);
    case DTYPE_BF16: return vf_from_bf16(p + i * 2);
    case DTYPE_I8: return vf_from_i8(p + i);
    default: {
        Vf v;
        memcpy(&v, p + i * 4, sizeof v);
        return v;
    }
    }
}

INLINE size_t bytes_of(DType dtype) { return dtype == DTYPE_F32 ? 4 : dtype == DTYPE_I8 ? 1 : 2; }

// The same for n ≤ LANES elements; zeros behind them.
INLINE Vf load_some(DType dtype, const void *array, size_t i, size_t n) {
    if (LANES == 1 || n == LANES) return load_as(dtype, array, i);
    uint32_t copy[LANES] = {0};
    memcpy(copy, (const char *)array + i * bytes_of(dtype), n * bytes_of(dtype));
    return load_as(dtype, copy, 0);
}

INLINE Vf vf_load_some(const float *p, size_t n) { return load_some(DTYPE_F32, p, 0, n); }

INLINE void vf_store_some(float *p, Vf v, size_t n) {
    if (LANES == 1 || n == LANES) {
        vf_store(p, v);
    } else {
        memcpy(p, &v, n * sizeof *p);
    }
}

// ---- Dense products: rows of W in place, vectors along `in` ----

// Which tile of tokens is at work, of how many that pass the same rows.
typedef struct TokenTile {
    size_t token, number, count;
} TokenTile;

// Rows of a matrix larger than the cache come one by one when tokens are few: one long stream, which suits the
// prefetcher. In all other cases there are four at a time, for enough independent sums.
INLINE bool one_by_one(const DenseProduct *d) { return d->streams && d->tokens <= 2; }

// Asks for the bytes that the next four rows have at the same place; tiles of tokens share these rows out among
// themselves. Four streams that are a row long end before the processor has noticed them, so memory would wait for each
// group of rows anew.
INLINE void ask_ahead(const int nr, TokenTile tile, const char *w, size_t row_bytes, size_t at) {
    if (nr == 1) return;
    UNROLL for (int r = 0; r < nr; r++) if ((size_t)r * tile.count / (size_t)nr == tile.number)
        ahead(w + (size_t)(nr + r) * row_bytes + at);
}

// Adds the bias and stores nr rows × nt tokens.
INLINE void dense_store(const int nr, const int nt, const DenseProduct *d, size_t row, size_t token, Vf sum[4][6]) {
    UNROLL for (int t = 0; t < nt; t++) {
        float *y = d->y + (token + (size_t)t) * d->y_stride + row;
        if (nr == 4) {
            Vf rows[4] = {sum[0][t], sum[1][t], sum[2][t], sum[3][t]};
            vf_sum_four(rows, y);
        } else {
            y[0] = vf_sum(sum[0][t]);
        }
        for (int r = 0; d->bias && r < nr; r++) y[r] += d->bias[row + (size_t)r];
    }
}

// y of `nr` rows (4 or 1) × `nt` tokens.
INLINE void dense_tile(DType dtype, const int nr, const int nt, const DenseProduct *d, size_t row, TokenTile tile) {
    const size_t bytes = bytes_of(dtype);
    const char *w = (const char *)d->w + row * d->in * bytes;
    const float *x = d->x + tile.token * d->x_stride;
    Vf sum[4][6];
    UNROLL for (int r = 0; r < nr; r++) UNROLL for (int t = 0; t < nt; t++) sum[r][t] = vf_set(0);
    size_t i = 0;
    for (; i + LANES <= d->in; i += LANES) {
        Vf rows[4];
        if (d->streams) ask_ahead(nr, tile, w, d->in * bytes, i * bytes);
        UNROLL for (int r = 0; r < nr; r++) rows[r] = load_as(dtype, w, (size_t)r * d->in + i);
        UNROLL for (int t = 0; t < nt; t++) {
            Vf xs = vf_load(x + (size_t)t * d->x_stride + i);
            UNROLL for (int r = 0; r < nr; r++) sum[r][t] = vf_fma(rows[r], xs, sum[r][t]);
        }
    }
    if (i < d->in) {
        UNROLL for (int r = 0; r < nr; r++) {
            Vf rest = load_some(dtype, w, (size_t)r * d->in + i, d->in - i);
            UNROLL for (int t = 0; t < nt; t++) sum[r][t] =
                vf_fma(rest, vf_load_some(x + (size_t)t * d->x_stride + i, d->in - i), sum[r][t]);
        }
    }
    dense_store(nr, nt, d, row, tile.token, sum);
}

// Tokens at a time that still leave accumulators in registers: 32 of them at 16 lanes, 16 otherwise.
enum { DENSE_TOKENS = LANES == 16 ? 6 : 2 };

// How many of `left` tokens come next, when tiles hold at most `most`: the last two tiles share what is left.
INLINE int next_tokens(size_t left, const int most) {
    const size_t whole = (size_t)most;
    return (int)(left >= 2 * whole ? whole : left > whole ? (left + 1) / 2 : left);
}

INLINE void dense_rows(DType dtype, const int nr, const DenseProduct *d, size_t row) {
    TokenTile tile = {.count = (d->tokens + DENSE_TOKENS - 1) / DENSE_TOKENS};
    for (; tile.token < d->tokens; tile.number++) {
        const int n = next_tokens(d->tokens - tile.token, DENSE_TOKENS);
        switch (n) {
        case 1: dense_tile(dtype, nr, 1, d, row, tile); break;
        case 2: dense_tile(dtype, nr, 2, d, row, tile); break;
#if LANES == 16
        case 3: dense_tile(dtype, nr, 3, d, row, tile); break;
        case 4: dense_tile(dtype, nr, 4, d, row, tile); break;
        case 5: dense_tile(dtype, nr, 5, d, row, tile); break;
        default: dense_tile(dtype, nr, 6, d, row, tile); break;
#endif
        }
        tile.token += (size_t)n;
    }
}

INLINE void dense_as(DType dtype, const DenseProduct *d, size_t row, size_t end) {
    for (; !one_by_one(d) && row + 4 <= end; row += 4) dense_rows(dtype, 4, d, row);
    for (; row < end; row++) dense_rows(dtype, 1, d, row);
}

static void host_dense(const DenseProduct *d, size_t first_row, size_t end_row) {
    switch (d->dtype) {
    case DTYPE_F16: dense_as(DTYPE_F16, d, first_row, end_row); break;
    case DTYPE_BF16: dense_as(DTYPE_BF16, d, first_row, end_row); break;
    case DTYPE_I8: dense_as(DTYPE_I8, d, first_row, end_row); break;
    default: assert(d->dtype == DTYPE_F32), dense_as(DTYPE_F32, d, first_row, end_row); break;
    }
}

#ifdef HAS_PAIRS
// ---- The same for weights and activations in BF16: two products in every lane at once ----

INLINE Vu pairs_some(const uint16_t *p, size_t n) {
    if (n == 2 * LANES) return vu_load(p);
    uint16_t copy[2 * LANES] = {0};
    memcpy(copy, p, n * sizeof *p);
    return vu_load(copy);
}

INLINE void pairs_tile(const int nr, const int nt, const DenseProduct *d, size_t row, TokenTile tile) {
    const uint16_t *w = (const uint16_t *)d->w + row * d->in, *x = d->rounded + tile.token * d->x_stride;
    Vf sum[4][6];
    UNROLL for (int r = 0; r < nr; r++) UNROLL for (int t = 0; t < nt; t++) sum[r][t] = vf_set(0);
    for (size_t i = 0; i < d->in; i += 2 * LANES) {
        const size_t n = at_most(d->in - i, 2 * LANES);
        Vu rows[4];
        if (d->streams) ask_ahead(nr, tile, (const char *)w, d->in * 2, i * 2);
        UNROLL for (int r = 0; r < nr; r++) rows[r] = pairs_some(w + (size_t)r * d->in + i, n);
        UNROLL for (int t = 0; t < nt; t++) {
            Vu xs = pairs_some(x + (size_t)t * d->x_stride + i, n);
            UNROLL for (int r = 0; r < nr; r++) sum[r][t] = vf_dot_pairs(sum[r][t], rows[r], xs);
        }
    }
    dense_store(nr, nt, d, row, tile.token, sum);
}

enum { PAIRS_TOKENS = 6 };

INLINE void pairs_rows(const int nr, const DenseProduct *d, size_t row) {
    TokenTile tile = {.count = (d->tokens + PAIRS_TOKENS - 1) / PAIRS_TOKENS};
    for (; tile.token < d->tokens; tile.number++) {
        const int n = next_tokens(d->tokens - tile.token, PAIRS_TOKENS);
        switch (n) {
        case 1: pairs_tile(nr, 1, d, row, tile); break;
        case 2: pairs_tile(nr, 2, d, row, tile); break;
        case 3: pairs_tile(nr, 3, d, row, tile); break;
        case 4: pairs_tile(nr, 4, d, row, tile); break;
        case 5: pairs_tile(nr, 5, d, row, tile); break;
        default: pairs_tile(nr, 6, d, row, tile); break;
        }
        tile.token += (size_t)n;
    }
}

static void dense_rounded(const DenseProduct *d, size_t row, size_t end) {
    for (; !one_by_one(d) && row + 4 <= end; row += 4) pairs_rows(4, d, row);
    for (; row < end; row++) pairs_rows(1, d, row);
}
#define DENSE_ROUNDED dense_rounded
#else
#define DENSE_ROUNDED NULL
#endif

// ---- Packed weights: one row per lane, columns one after the other (packed.h) ----
//
// Sums are integer. Eight-bit activations are one plane of codes; activations that stay floating point are two or
// three (kernels.h), whose sums are put together as a · 2^8 + b, in integers, or a · 2^16 + b · 2^8 + c. Byte dot
// products do 64 multiplications where float ones do 16, so even three planes are quicker than widening every weight to
// float.

// A tile is `nv` vectors of rows × `nt` tokens × `np` planes.
enum { TILE_VECTORS = 4, TILE_TOKENS = 6 };
// What is asked for ahead, in bytes, when several tokens make a unit long enough for memory to wait meanwhile; a single
// token's stream comes quicker unasked.
enum { UNITS_AHEAD = 2048 };

// What the innermost loops are made for; other differences between grids stay outside them.
typedef struct TileKind {
    int bits;
    bool powers; // codes are looked up in a table
} TileKind;

typedef Vs TileSums[TILE_VECTORS][TILE_TOKENS][3];
typedef Vf TileTotals[TILE_VECTORS][TILE_TOKENS];

// Where a tile's vectors are in their blocks, and its first token's activations.
typedef struct TilePlace {
    const uint8_t *at[TILE_VECTORS];    // scales or units of the current group
    const int8_t *extras[TILE_VECTORS]; // and its zeros or factors
    size_t lane[TILE_VECTORS];          // row within the block
    const int8_t *x;                    // codes of the current columns
    const int32_t *sums;                // and their segment's sums
    const float *scale;                 // and scales
} TilePlace;

INLINE Vu shifted_right(Vu v, const int by) { return by >= 0 ? v >> (by & 31) : v << (-by & 31); }

// High bits of LANES rows, so that column 4 f + j has its bit at 8 j + f.
INLINE Vu high_bits(const uint8_t *unit, size_t lane) {
    Vu high = vu_load_16(unit + PACKED_ROWS * 4 + lane * 2);
    return high | high << 12;
}

// Columns 4 f … 4 f + 3 as unsigned bytes.
INLINE Vu column_bytes(const int bits, const int f, Vu word, Vu high) {
    if (bits == 8) return word;
    if (bits == 4) return word >> 4 * f & 0x0F0F0F0Fu;
    Vu low = word >> 2 * f & 0x03030303u;
    if (bits == 2) return low;
    return low | (shifted_right(high, f - 2) & 0x04040404u);
}

// The bytes that codes of a grid of powers stand for: what they mean in steps, plus the offset.
INLINE Vt level_table(const Packed *w) {
    uint8_t bytes[64];
    for (int i = 0; i < 64; i++)
        bytes[i] = (uint8_t)(packed_power_level(i % (1 << w->bits) - (1 << (w->bits - 1))) + (1 << w->offset_bits));
    return vt_load(bytes);
}

// Adds one unit to the sums.
INLINE void tile_unit(const TileKind kind, const int np, const int nv, const int nt, const TilePlace *place,
                      size_t padded, Vt table, TileSums sum) {
    const int bits = kind.bits;
    const int steps = bits == 8 ? 1 : bits == 4 ? 2 : 4;
    Vu word[TILE_VECTORS], high[TILE_VECTORS];
    UNROLL for (int v = 0; v < nv; v++) {
        if (nt > 1) ahead(place->at[v] + place->lane[v] * 4 + UNITS_AHEAD);
        word[v] = vu_load(place->at[v] + place->lane[v] * 4);
        high[v] = bits == 3 ? high_bits(place->at[v], place->lane[v]) : word[v];
    }
    UNROLL for (int f = 0; f < steps; f++) {
        Vu bytes[TILE_VECTORS];
        UNROLL for (int v = 0; v < nv; v++) bytes[v] = kind.powers
                                                           ? vt_lookup(table, column_bytes(bits, f, word[v], high[v]))
                                                           : column_bytes(bits, f, word[v], high[v]);
        UNROLL for (int t = 0; t < nt; t++) {
            UNROLL for (int p = 0; p < np; p++) {
                uint32_t four;
                memcpy(&four, place->x + (size_t)(t * np + p) * padded + 4 * (size_t)f, sizeof four);
                Vu xs = vu_set(four);
                UNROLL for (int v = 0; v < nv; v++) sum[v][t][p] = vs_dot(bits, sum[v][t][p], bytes[v], xs);
            }
        }
    }
}

// The sums of `units` units that share one segment; moves the place behind them.
INLINE void tile_segment(const TileKind kind, const int np, const int nv, const int nt, TilePlace *place,
                         const Packed *w, size_t segments, size_t units, Vt table, TileSums sum) {
    const int bits = kind.bits;
    const size_t columns = bits == 8 ? 4 : bits == 4 ? 8 : 16, bytes = PACKED_ROWS * (bits == 3 ? 6 : 4);
    const int ns = activation_sums(np);
    UNROLL for (int t = 0; t < nt; t++) {
        UNROLL for (int p = 0; p < np; p++) {
            if (p < np - ns) { // the sum of this plane and the next is taken back from the next
                UNROLL for (int v = 0; v < nv; v++) sum[v][t][p] = (Vs)vu_set(0);
                continue;
            }
            const int32_t codes = place->sums[(size_t)t * segments * (size_t)ns + (size_t)(p - (np - ns))];
            Vs start = (Vs)vu_set((uint32_t)codes << w->offset_bits);
            UNROLL for (int v = 0; v < nv; v++) sum[v][t][p] = start;
            if (!w->grid.zeros) continue;
            UNROLL for (int v = 0; v < nv; v++) sum[v][t][p] +=
                (Vs)vu_set((uint32_t)codes) * vs_from_i8(place->extras[v]);
        }
    }
    for (; units > 0; units--) {
        tile_unit(kind, np, nv, nt, place, w->padded, table, sum);
        place->x += columns;
        UNROLL for (int v = 0; v < nv; v++) place->at[v] += bytes;
    }
    place->sums += ns;
}

// Adds a segment's sums to the totals. Multiplied and added separately where the product is defined to the last bit
// (one plane). On the two-level grid totals of one plane are integers, in the same bits.
INLINE void tile_add(const int np, const int nv, const int nt, TilePlace *place, const Packed *w, size_t segments,
                     const Vf *weight_scale, TileSums sum, TileTotals total) {
    const bool whole_factors = np == 1 && w->grid.factors;
    UNROLL for (int t = 0; t < nt; t++) {
        Vf scale = np == 1 ? vf_set(1) : vf_set(place->scale[(size_t)t * segments]);
        UNROLL for (int v = 0; v < nv; v++) {
            if (whole_factors) {
                total[v][t] =
                    vf_from_pattern(vs_from_pattern(total[v][t]) + sum[v][t][0] * vs_from_i8(place->extras[v]));
            } else if (np == 1) {
                total[v][t] += weight_scale[v] * vf_from_ints(sum[v][t][0]);
            } else if (np == 2) { // |Σ| ≤ 255 · 128 · (127 · 2^8 + 127) < 2^31
                Vf whole = vf_from_ints((sum[v][t][0] << 8) + sum[v][t][1]);
                total[v][t] = vf_fma(whole, weight_scale[v] * scale, total[v][t]);
            } else {
                Vf low = vf_fma(vf_from_ints(sum[v][t][1]), vf_set(256), vf_from_ints(sum[v][t][2]));
                Vf whole = vf_fma(vf_from_ints(sum[v][t][0]), vf_set(65536), low);
                total[v][t] = vf_fma(whole, weight_scale[v] * scale, total[v][t]);
            }
        }
    }
    place->scale++;
}

// The scales of the group that begins here; moves the place to its units.
INLINE void tile_scales(const int nv, const Packed *w, TilePlace *place, Vf *scale) {
    UNROLL for (int v = 0; v < nv; v++) {
        if (w->grid.factors) {
            scale[v] = vf_from_i8(place->extras[v]);
        } else {
            scale[v] = load_as(w->scale_dtype, place->at[v], place->lane[v]);
            place->at[v] += PACKED_ROWS * bytes_of(w->scale_dtype);
        }
    }
}

// What is multiplied once per row or token: scales of rows, steps, and scales of tokens where they are constant.
INLINE void tile_finish(const int np, const int nv, const int nt, const Packed *w, const float *token_scale, size_t row,
                        TileTotals total) {
    UNROLL for (int v = 0; v < nv; v++) {
        size_t first = row + (size_t)v * LANES;
        Vf by = vf_set(w->step);
        if (w->grid.factors) by = vf_load(packed_row_scales(w, first / PACKED_ROWS) + first % PACKED_ROWS);
        UNROLL for (int t = 0; t < nt; t++) {
            if (np == 1 && w->grid.factors) total[v][t] = vf_from_ints(vs_from_pattern(total[v][t]));
            if (w->grid.factors || w->grid.powers) total[v][t] *= by;
            if (np == 1) total[v][t] *= token_scale[t];
        }
    }
}

// Adds the bias and stores the rows that exist.
INLINE void tile_store(const int nv, const int nt, const Packed *w, const float *bias, size_t row, size_t token,
                       float *y, TileTotals total) {
    UNROLL for (int v = 0; v < nv; v++) {
        size_t o = row + (size_t)v * LANES;
        if (o >= w->out) continue;
        size_t n = at_most(w->out - o, LANES);
        Vf added = bias ? vf_load_some(bias + o, n) : vf_set(0);
        UNROLL for (int t = 0; t < nt; t++) vf_store_some(y + (token + (size_t)t) * w->out + o, total[v][t] + added, n);
    }
}

INLINE void packed_tile(const TileKind kind, const int np, const int nv, const int nt, const Packed *w,
                        const float *bias, const Activations *x, float *y, size_t row, size_t token) {
    TileTotals total;
    TileSums sum;
    Vt table = {0};
    if (kind.powers) table = level_table(w);
    TilePlace place = {.x = x->codes + token * (size_t)np * w->padded,
                       .sums = x->sums + token * x->segments * (size_t)activation_sums(np),
                       .scale = x->scales + (np == 1 ? token : token * x->segments)};
    UNROLL for (int v = 0; v < nv; v++) {
        size_t first = row + (size_t)v * LANES;
        place.lane[v] = first % PACKED_ROWS;
        place.at[v] = w->data + first / PACKED_ROWS * w->block_bytes + w->head_bytes;
        place.extras[v] = packed_extras(w, first / PACKED_ROWS, 0) + place.lane[v];
        UNROLL for (int t = 0; t < nt; t++) total[v][t] = vf_set(0);
    }
    for (size_t g = 0; g < w->groups; g++) {
        Vf scale[TILE_VECTORS];
        tile_scales(nv, w, &place, scale);
        size_t left = g + 1 < w->groups ? w->group_units : w->last_units;
        while (left > 0) {
            size_t units = np == 1 ? left : at_most(left, x->segment_units);
            tile_segment(kind, np, nv, nt, &place, w, x->segments, units, table, sum);
            tile_add(np, nv, nt, &place, w, x->segments, scale, sum, total);
            left -= units;
        }
        UNROLL for (int v = 0; v < nv; v++) place.extras[v] += PACKED_ROWS;
    }
    tile_finish(np, nv, nt, w, x->scales + token, row, total);
    tile_store(nv, nt, w, bias, row, token, y, total);
}

// Tiles of several tokens while they last, then single tokens. A tile's rows stay cached while the tokens pass; they
// are of one block, since two blocks would be two streams, each ending before the processor's prefetch has settled on
// it.
INLINE void packed_rows(const TileKind kind, const int np, const Packed *w, const float *bias, const Activations *x,
                        size_t tokens, float *y, size_t first, size_t end) {
    const int nv = 2, nt = LANES == 16 ? (np == 1 ? 6 : np == 2 ? 4 : 3) : LANES == 8 ? (np == 1 ? 3 : 4 - np) : 4;
    const int nv1 = LANES == 16 ? PACKED_ROWS / LANES : TILE_VECTORS;
    size_t tiled = tokens / (size_t)nt * (size_t)nt;
    for (size_t row = first; row < end; row += (size_t)nv * LANES) {
        for (size_t t = 0; t < tiled; t += (size_t)nt) packed_tile(kind, np, nv, nt, w, bias, x, y, row, t);
        for (size_t t = tiled; t + 2 <= tokens; t += 2) packed_tile(kind, np, nv, 2, w, bias, x, y, row, t);
    }
    if ((tokens - tiled) % 2 == 0) return;
    for (size_t row = first; row < end; row += (size_t)nv1 * LANES)
        packed_tile(kind, np, nv1, 1, w, bias, x, y, row, tokens - 1);
}

INLINE void packed_planes(const int np, const Packed *w, const float *bias, const Activations *x, size_t tokens,
                          float *y, size_t first, size_t end) {
    const bool powers = w->grid.powers;
    switch (w->bits) {
    case 2: packed_rows((TileKind){2, false}, np, w, bias, x, tokens, y, first, end); break; // powers: −1, 0, 1 as well
    case 3:
        if (powers)
            packed_rows((TileKind){3, true}, np, w, bias, x, tokens, y, first, end);
        else
            packed_rows((TileKind){3, false}, np, w, bias, x, tokens, y, first, end);
        break;
    case 4:
        if (powers)
            packed_rows((TileKind){4, true}, np, w, bias, x, tokens, y, first, end);
        else
            packed_rows((TileKind){4, false}, np, w, bias, x, tokens, y, first, end);
        break;
    default: packed_rows((TileKind){8, false}, np, w, bias, x, tokens, y, first, end); break;
    }
}

static void host_packed(const Packed *w, const float *bias, const Activations *x, size_t tokens, float *y,
                        size_t first_block, size_t end_block) {
    const size_t first = first_block * PACKED_ROWS, end = end_block * PACKED_ROWS;
    switch (x->planes) {
    case 1: packed_planes(1, w, bias, x, tokens, y, first, end); break;
    case 2: packed_planes(2, w, bias, x, tokens, y, first, end); break;
    default: packed_planes(3, w, bias, x, tokens, y, first, end); break;
    }
}

// ---- Quantizing activations ----

INLINE Vf divided(const float *x, const float *divisor, size_t i, size_t n) {
    Vf v = vf_load_some(x + i, n);
    if (!divisor) return v;
    Vf by = vf_set(1);
    if (LANES == 1 || n == LANES) {
        by = vf_load(divisor + i);
    } else {
        memcpy(&by, divisor + i, n * sizeof *divisor);
    }
    return v / by;
}

static float quantize_row(const float *x, const float *divisor, size_t n, float static_scale, int8_t *codes) {
    Vf most = vf_set(0), probe = vf_set(0); // 0 · x is NaN for infinities and NaN
    for (size_t i = 0; i < n; i += LANES) {
        Vf v = divided(x, divisor, i, at_most(n - i, LANES));
        most = vf_max(vf_abs(v), most);
        probe += v * vf_set(0);
    }
    float absmax = vf_greatest(most), scale = static_scale > 0 ? static_scale : absmax / 127;
    bool nothing = !(scale >= 0x1p-126f) || vf_sum(probe) != 0; // also when scale is infinite or probe NaN
    if (nothing || scale > 3e38f) {
        memset(codes, 0, n);
        return vf_sum(probe) == 0 && scale <= 3e38f ? 1 : NAN;
    }
    Vf reciprocal = vf_set(1 / scale);
    for (size_t i = 0; i < n; i += LANES) {
        size_t m = at_most(n - i, LANES);
        Vf q = vf_round(divided(x, divisor, i, m) * reciprocal);
        Vs whole = vf_to_ints(vf_max(vf_min(q, vf_set(127)), vf_set(-127)));
        int8_t bytes[LANES];
        vs_store_bytes(m == LANES ? codes + i : bytes, whole);
        if (m < LANES) memcpy(codes + i, bytes, m);
    }
    return scale;
}

INLINE Vs low_byte(Vs v) { return v << 24 >> 24; }

// One segment as `np` planes, `plane` codes apart, and the sums of their codes. Returns the scale.
INLINE float split_planes(const int np, const float *x, size_t n, size_t plane, int8_t *codes, int32_t *sums) {
    Vf most = vf_set(0), probe = vf_set(0); // as in quantize_row
    for (size_t i = 0; i < n; i += LANES) {
        Vf v = vf_load_some(x + i, at_most(n - i, LANES));
        most = vf_max(vf_abs(v), most);
        probe += v * vf_set(0);
    }
    // The largest value: 127 in each byte. At 24 bits rounding in float could pass that, so it keeps some room.
    const float whole = np == 2 ? 127 * 0x101 : 127 * 0x10000;
    float absmax = vf_greatest(most), scale = absmax / whole;
    bool finite = vf_sum(probe) == 0, nothing = !finite || scale < 0x1p-126f;
    Vf factor = vf_set(nothing ? 0 : whole / absmax);
    Vs sum[3] = {(Vs)vu_set(0), (Vs)vu_set(0), (Vs)vu_set(0)};
    for (size_t i = 0; i < n; i += LANES) {
        size_t m = at_most(n - i, LANES);
        Vs part[3], rest = nothing ? (Vs)vu_set(0) : vf_to_ints(vf_load_some(x + i, m) * factor);
        if (np == 2) sum[0] += rest;
        UNROLL for (int p = np - 1; p >= 0; p--) {
            part[p] = low_byte(rest);
            rest = (rest - part[p]) >> 8;
            int8_t bytes[LANES], *to = codes + (size_t)p * plane + i;
            vs_store_bytes(m == LANES ? to : bytes, part[p]);
            if (m < LANES) memcpy(to, bytes, m);
            if (np == 3) sum[p] += part[p];
        }
    }
    for (int p = 0; p < activation_sums(np); p++) sums[p] = vs_sum(sum[p]);
    return nothing ? (finite ? 1 : NAN) : scale;
}

static float split_segment(int planes, const float *x, size_t n, size_t plane, int8_t *codes, int32_t *sums) {
    return planes == 2 ? split_planes(2, x, n, plane, codes, sums) : split_planes(3, x, n, plane, codes, sums);
}

// ---- Wide weights (kernels/cpu/wide.h) ----

static int32_t dot_levels(const int16_t *w, const int8_t *x, size_t n) {
    int32_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += w[i] * x[i];
    return sum;
}

// ---- Element by element ----

INLINE void widen_as(DType dtype, const void *from, size_t n, float *to) {
    for (size_t i = 0; i < n; i += LANES) {
        size_t m = at_most(n - i, LANES);
        vf_store_some(to + i, load_some(dtype, from, i, m), m);
    }
}

static void host_widen(DType dtype, const void *from, size_t n, float *to) {
    switch (dtype) {
    case DTYPE_F16: widen_as(DTYPE_F16, from, n, to); break;
    case DTYPE_BF16: widen_as(DTYPE_BF16, from, n, to); break;
    case DTYPE_I8: widen_as(DTYPE_I8, from, n, to); break;
    default: assert(dtype == DTYPE_F32), memcpy(to, from, n * sizeof *to); break;
    }
}

static void host_narrow(DType dtype, const float *from, size_t n, void *to) {
    uint16_t *halves = to;
    switch (dtype) {
    case DTYPE_F16:
        for (size_t i = 0; i < n; i++) halves[i] = float_to_f16(from[i]);
        break;
    case DTYPE_BF16:
        for (size_t i = 0; i < n; i++) halves[i] = float_to_bf16(from[i]);
        break;
    default: assert(dtype == DTYPE_F32), memcpy(to, from, n * sizeof *from); break;
    }
}

static void rms_norm_row(const float *x, const float *gain, float eps, size_t width, float *y) {
    Vf squares = vf_set(0);
    for (size_t i = 0; i < width; i += LANES) {
        Vf v = vf_load_some(x + i, at_most(width - i, LANES));
        squares = vf_fma(v, v, squares);
    }
    Vf factor = vf_set(1 / sqrtf(vf_sum(squares) / (float)width + eps));
    for (size_t i = 0; i < width; i += LANES) {
        size_t n = at_most(width - i, LANES);
        vf_store_some(y + i, vf_load_some(x + i, n) * factor * vf_load_some(gain + i, n), n);
    }
}

// Σ (x − middle), or of its squares, in double: sixteen sums, which compilers make vectors of.
INLINE double sum_around(const bool squared, const float *x, size_t n, double middle) {
    enum { SUMS = 16 };
    double sums[SUMS] = {0}, total = 0;
    size_t i = 0;
    for (; i + SUMS <= n; i += SUMS) {
        for (size_t k = 0; k < SUMS; k++) {
            const double v = (double)x[i + k] - middle;
            sums[k] += squared ? v * v : v;
        }
    }
    for (; i < n; i++) total += squared ? ((double)x[i] - middle) * ((double)x[i] - middle) : (double)x[i] - middle;
    for (size_t k = 0; k < SUMS; k++) total += sums[k];
    return total;
}

static void layer_norm_row(const float *x, const float *gain, const float *bias, float eps, size_t width, float *y) {
    const double n = (double)width, mean = sum_around(false, x, width, 0) / n;
    const double variance = sum_around(true, x, width, mean) / n;
    const Vf middle = vf_set((float)mean), factor = vf_set((float)(1 / sqrt(variance + (double)eps)));
    for (size_t i = 0; i < width; i += LANES) {
        const size_t m = at_most(width - i, LANES);
        Vf v = (vf_load_some(x + i, m) - middle) * factor;
        vf_store_some(y + i, v * vf_load_some(gain + i, m) + vf_load_some(bias + i, m), m);
    }
}

static void host_add(float *x, const float *y, size_t n) {
    for (size_t i = 0; i < n; i += LANES) {
        size_t m = at_most(n - i, LANES);
        vf_store_some(x + i, vf_load_some(x + i, m) + vf_load_some(y + i, m), m);
    }
}

// e^x = 2^n (1 + r + p r²) with x = n ln 2 + r, p a polynomial in r (Cephes' expf), without under- and overflow.
INLINE Vf exp_parts(Vf x, Vf *remainder, Vf *power) {
    x = vf_min(vf_set(88), vf_max(vf_set(-87), x));
    Vf n = vf_round(x * vf_set(1.44269504f));
    Vf r = vf_fma(n, vf_set(2.12194440e-4f), vf_fma(n, vf_set(-0.693359375f), x));
    Vf p = vf_set(1.9875691500e-4f);
    p = vf_fma(p, r, vf_set(1.3981999507e-3f));
    p = vf_fma(p, r, vf_set(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set(5.0000001201e-1f));
    Vf safe = vf_max(vf_min(n, vf_set(127)), vf_set(-126)); // not NaN
    *power = vf_from_pattern((vf_to_ints(safe) + 127) << 23);
    *remainder = r;
    return p;
}

// e^x to about 2 units in the last place. NaN stays NaN.
INLINE Vf vf_exp(Vf x) {
    Vf r, power, p = exp_parts(x, &r, &power);
    return (vf_fma(p * r, r, r) + vf_set(1)) * power;
}

// e^x − 1 − x, as accurate near 0 as elsewhere: there the power of two is 1, and p r² is left.
INLINE Vf exp_beyond(Vf x) {
    Vf r, power, p = exp_parts(x, &r, &power);
    return vf_fma(power * p, r * r, (power - vf_set(1)) + vf_fma(power, r, -x));
}

// Φ(−|x|), the normal distribution's tail: e^(−x²/2) · t · polynomial in t = 1 / (1 + 0.3 |x|), whose coefficients are
// fitted to 2e-8 of it up to |x| = 14, where the tail ends in float.
INLINE Vf normal_tail(Vf x) {
    static const float fitted[] = {-0.0206133537f, 0.112378597f,  -0.228074059f, 0.191590279f, -0.0792543143f,
                                   0.0960614607f,  0.0784243792f, 0.11022757f,   0.119572811f, 0.119686633f};
    const Vf t = vf_set(1) / vf_fma(vf_abs(x), vf_set(0.3f), vf_set(1));
    Vf p = vf_set(fitted[0]);
    UNROLL for (int i = 1; i < 10; i++) p = vf_fma(p, t, vf_set(fitted[i]));
    return vf_exp(x * x * vf_set(-0.5f)) * t * p;
}

INLINE Vf activated(const Nonlinearity f, Vf x) {
    const Vf one = vf_set(1);
    switch (f) {
    case NONLINEARITY_GELU: return vf_max(x, vf_set(0)) - vf_abs(x) * normal_tail(x); // NaN stays NaN by the second
    case NONLINEARITY_GELU_TANH: {                             // (1 + tanh u) / 2 = 1 / (1 + e^(−2u))
        const Vf twice = vf_set(-2 * 0.79788456080286535588f); // −2 √(2/π)
        return x / (one + vf_exp(twice * vf_fma(x * x * x, vf_set(0.044715f), x)));
    }
    case NONLINEARITY_RELU: return vf_max(vf_set(0), x); // of a NaN and 0 it takes the second
    case NONLINEARITY_RELU_SQUARED: return vf_max(vf_set(0), x) * vf_max(vf_set(0), x);
    case NONLINEARITY_SWIGLU_OAI: {
        const Vf least = vf_min(vf_set(SWIGLU_OAI_LIMIT), x);
        return least / (one + vf_exp(vf_set(-SWIGLU_OAI_ALPHA) * least));
    }
    case NONLINEARITY_SIGMOID: return one / (one + vf_exp(-x));
    case NONLINEARITY_NONE: return x;
    case NONLINEARITY_SILU:
    case NONLINEARITY_COUNT: break;
    }
    return x / (one + vf_exp(-x));
}

// What f(x) is multiplied by.
INLINE Vf factor_as(const Nonlinearity f, Vf up) {
    if (f != NONLINEARITY_SWIGLU_OAI) return up;
    return vf_max(vf_set(-SWIGLU_OAI_LIMIT), vf_min(vf_set(SWIGLU_OAI_LIMIT), up)) + vf_set(1);
}

INLINE void activate_as(const Nonlinearity f, const float *x, const float *up, size_t n, float *y) {
    for (size_t i = 0; i < n; i += LANES) {
        const size_t m = at_most(n - i, LANES);
        Vf v = activated(f, vf_load_some(x + i, m));
        if (up) v *= factor_as(f, vf_load_some(up + i, m));
        vf_store_some(y + i, v, m);
    }
}

static void host_activate(Nonlinearity f, const float *x, const float *up, size_t n, float *y) {
    switch (f) {
    case NONLINEARITY_GELU: activate_as(NONLINEARITY_GELU, x, up, n, y); break;
    case NONLINEARITY_GELU_TANH: activate_as(NONLINEARITY_GELU_TANH, x, up, n, y); break;
    case NONLINEARITY_RELU: activate_as(NONLINEARITY_RELU, x, up, n, y); break;
    case NONLINEARITY_SWIGLU_OAI: activate_as(NONLINEARITY_SWIGLU_OAI, x, up, n, y); break;
    case NONLINEARITY_RELU_SQUARED: activate_as(NONLINEARITY_RELU_SQUARED, x, up, n, y); break;
    case NONLINEARITY_SIGMOID: activate_as(NONLINEARITY_SIGMOID, x, up, n, y); break;
    case NONLINEARITY_SILU: activate_as(NONLINEARITY_SILU, x, up, n, y); break;
    case NONLINEARITY_NONE: activate_as(NONLINEARITY_NONE, x, up, n, y); break;
    case NONLINEARITY_COUNT: break;
    }
}

static void host_xielu(const Xielu *f, const float *x, size_t n, float *y) {
    const Vf positive = vf_set(f->positive), negative = vf_set(f->negative), linear = vf_set(f->linear);
    for (size_t i = 0; i < n; i += LANES) {
        const size_t m = at_most(n - i, LANES);
        const Vf v = vf_load_some(x + i, m), above = vf_max(v, vf_set(0)), below = vf_min(v, vf_set(0));
        const Vf sides = vf_fma(positive * above, above, negative * exp_beyond(below));
        vf_store_some(y + i, vf_fma(linear, v, sides), m); // NaN stays NaN by the first
    }
}

static void silu_times(const float *gate, const float *up, size_t n, float *y) {
    activate_as(NONLINEARITY_SILU, gate, up, n, y);
}

static void rope_head(float *x, size_t half, const float *cosine, const float *sine) {
    for (size_t i = 0; i < half; i += LANES) {
        size_t n = at_most(half - i, LANES);
        Vf a = vf_load_some(x + i, n), b = vf_load_some(x + half + i, n);
        Vf c = vf_load_some(cosine + i, n), s = vf_load_some(sine + i, n);
        vf_store_some(x + i, a * c - b * s, n);
        vf_store_some(x + half + i, b * c + a * s, n);
    }
}

// ---- Attention ----

// scores → e^(score − max), in place; returns their sum.
INLINE float softmax_row(float *scores, size_t n, float *max) {
    Vf most = vf_set(-INFINITY), sum = vf_set(0);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) most = vf_max(vf_load(scores + i), most);
    float greatest = vf_greatest(most);
    for (; i < n; i++) greatest = scores[i] > greatest ? scores[i] : greatest;
    *max = greatest;
    for (i = 0; i < n; i += LANES) {
        size_t m = at_most(n - i, LANES);
        vf_store_some(scores + i, vf_exp(vf_load_some(scores + i, m) - vf_set(greatest)), m);
        sum += vf_load_some(scores + i, m);
    }
    return vf_sum(sum);
}

// y [nt, dims from `dim`, nv vectors (the last of `rest` dims)] = factor · Σ_p weight[t][p] · V[p].
INLINE void mix_tile(DType dtype, const int nv, const int nt, const AttentionTile *a, const float *weights,
                     size_t positions, size_t dim, size_t rest, const float *factor, float *const *y) {
    Vf sum[4][4];
    UNROLL for (int v = 0; v < nv; v++) UNROLL for (int t = 0; t < nt; t++) sum[v][t] = vf_set(0);
    for (size_t p = 0; p < positions; p++) {
        Vf value[4];
        UNROLL for (int v = 0; v < nv; v++) value[v] =
            load_some(dtype, a->values, p * a->head_dim + dim + (size_t)v * LANES, nv > 1 ? LANES : rest);
        UNROLL for (int t = 0; t < nt; t++) {
            Vf weight = vf_set(weights[(size_t)t * positions + p]);
            UNROLL for (int v = 0; v < nv; v++) sum[v][t] = vf_fma(weight, value[v], sum[v][t]);
        }
    }
    UNROLL for (int t = 0; t < nt; t++) UNROLL for (int v = 0; v < nv; v++)
        vf_store_some(y[t] + dim + (size_t)v * LANES, sum[v][t] * vf_set(factor[t]), nv > 1 ? LANES : rest);
}

INLINE void mix_as(DType dtype, const int nt, const AttentionTile *a, const float *weights, size_t positions,
                   const float *factor, float *const *y) {
    const int nv = LANES == 16 || nt == 1 ? 4 : 2;
    size_t dim = 0;
    for (; dim + (size_t)nv * LANES <= a->head_dim; dim += (size_t)nv * LANES)
        mix_tile(dtype, nv, nt, a, weights, positions, dim, LANES, factor, y);
    for (; dim < a->head_dim; dim += LANES)
        mix_tile(dtype, 1, nt, a, weights, positions, dim, at_most(a->head_dim - dim, LANES), factor, y);
}

INLINE void mix(const int nt, const AttentionTile *a, const float *weights, size_t positions, const float *factor,
                float *const *y) {
    switch (a->dtype) {
    case DTYPE_F16: mix_as(DTYPE_F16, nt, a, weights, positions, factor, y); break;
    case DTYPE_BF16: mix_as(DTYPE_BF16, nt, a, weights, positions, factor, y); break;
    case DTYPE_I8: mix_as(DTYPE_I8, nt, a, weights, positions, factor, y); break;
    default: mix_as(DTYPE_F32, nt, a, weights, positions, factor, y); break;
    }
}

// Query number n of a tile: heads of one token stand together.
INLINE size_t query_offset(const AttentionTile *a, size_t n) {
    return n / a->heads * a->stride + n % a->heads * a->head_dim;
}

INLINE void multiply(float *x, const float *by, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] *= by[i];
}

INLINE void add_up(float *x, const float *more, size_t n) {
    for (size_t i = 0; i < n; i++) x[i] += more[i];
}

// x = cap · tanh(x / cap), with tanh z = 1 − 2 / (e^2z + 1): to about 1e-7 of the cap.
INLINE void cap_scores(float *x, float cap, size_t n) {
    const Vf twice = vf_set(2 / cap), one = vf_set(1);
    for (size_t i = 0; i < n; i += LANES) {
        size_t m = at_most(n - i, LANES);
        Vf tanh = one - vf_set(2) / (vf_exp(vf_load_some(x + i, m) * twice) + one);
        vf_store_some(x + i, vf_set(cap) * tanh, m);
    }
}

// The tile from the first position on that any of its tokens sees.
INLINE AttentionTile without_unseen(const AttentionTile *a, size_t unseen) {
    AttentionTile seen = *a;
    const size_t bytes = unseen * a->head_dim * bytes_of(a->dtype);
    seen.first -= unseen;
    seen.keys = (const char *)a->keys + bytes;
    seen.values = (const char *)a->values + bytes;
    if (a->key_scales) seen.key_scales += unseen;
    if (a->value_scales) seen.value_scales += unseen;
    if (a->bias && !a->bias_middle) seen.bias += unseen;
    return seen;
}

// Query n of a tile sees the positions from … end − 1; earlier tokens see farther back.
INLINE size_t end_of(const AttentionTile *a, size_t n) { return a->whole ? a->whole : a->first + n / a->heads + 1; }
INLINE size_t from_of(const AttentionTile *a, size_t n) {
    const size_t end = end_of(a, n);
    if (!a->window || end <= a->window) return 0;
    return a->chunked ? (end - 1) / a->window * a->window : end - a->window;
}

// Biases of query n, from the first position on.
INLINE const float *bias_of(const AttentionTile *a, size_t n) {
    const float *bias = a->bias + n % a->heads * a->bias_stride;
    return a->bias_middle ? bias + a->bias_middle - (a->first + n / a->heads) : bias;
}

// Products of query n with the keys of all positions → weights of the values, and the factor that makes their sum 1.
INLINE float weights_of(const AttentionTile *a, size_t n, float *scores, size_t positions) {
    const size_t end = end_of(a, n), from = from_of(a, n), seen = end - from;
    float *row = scores + from;
    if (a->key_scales) multiply(row, a->key_scales + from, seen);
    if (a->softcap > 0) cap_scores(row, a->softcap, seen);
    if (a->bias) add_up(row, bias_of(a, n) + from, seen);
    float most, sum = softmax_row(row, seen, &most);
    if (a->sinks) sum += expf(a->sinks[n % a->heads] - most);
    const float factor = 1 / sum;
    if (a->value_scales) multiply(row, a->value_scales + from, seen);
    memset(scores, 0, from * sizeof *scores);
    memset(scores + end, 0, (positions - end) * sizeof *scores); // later tokens of this tile
    return factor;
}

INLINE bool all_finite(const float *x, size_t n) {
    Vf nothing = vf_set(0);
    for (size_t i = 0; i < n; i += LANES) nothing += vf_load_some(x + i, at_most(n - i, LANES)) * vf_set(0);
    return vf_sum(nothing) == 0;
}

// A value that is not finite spoils the sums of queries that are taken together, of those too that do not see it: 0 ·
// NaN is NaN. Those are summed up once more, over what they see.
INLINE void mix_spoiled(const AttentionTile *a, size_t queries, const float *weights, size_t positions,
                        const float *factor) {
    for (size_t n = 0; n < queries; n++) {
        const size_t from = from_of(a, n);
        float *y = a->y + query_offset(a, n);
        if (all_finite(y, a->head_dim)) continue;
        const AttentionTile seen = without_unseen(a, from);
        mix(1, &seen, weights + n * positions + from, end_of(a, n) - from, factor + n, &y);
    }
}

static void host_attention(const AttentionTile *whole) {
    const size_t unseen = whole->whole ? 0 : from_of(whole, 0);
    const AttentionTile tile = without_unseen(whole, unseen), *a = &tile;
    size_t queries = a->heads * a->tokens, positions = a->whole ? a->whole : a->first + a->tokens;
    float *q = a->scratch;                        // [queries, head_dim], times scale
    float *scores = q + queries * a->head_dim;    // [queries, positions]
    float *factor = scores + queries * positions; // [queries]
    for (size_t n = 0; n < queries; n++)
        for (size_t i = 0; i < a->head_dim; i++) q[n * a->head_dim + i] = a->q[query_offset(a, n) + i] * a->scale;
    DenseProduct product = {.dtype = a->dtype,
                            .w = a->keys,
                            .in = a->head_dim,
                            .x = q,
                            .tokens = queries,
                            .x_stride = a->head_dim,
                            .y = scores,
                            .y_stride = positions};
    host_dense(&product, 0, positions);
    for (size_t n = 0; n < queries; n++) factor[n] = weights_of(a, n, scores + n * positions, positions);
    size_t n = 0;
    for (; n + 4 <= queries; n += 4) {
        float *y[4];
        for (size_t t = 0; t < 4; t++) y[t] = a->y + query_offset(a, n + t);
        mix(4, a, scores + n * positions, positions, factor + n, y);
    }
    for (; n < queries; n++) {
        float *y = a->y + query_offset(a, n);
        mix(1, a, scores + n * positions, positions, factor + n, &y);
    }
    if (a->tokens > 1) mix_spoiled(a, queries, scores, positions, factor);
}

// ---- Measuring ----

INLINE void range_as(DType dtype, const void *data, size_t n, float *least, float *greatest) {
    Vf low = vf_set(INFINITY), high = vf_set(-INFINITY);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        Vf v = load_as(dtype, data, i);
        low = vf_min(v, low);
        high = vf_max(v, high);
    }
    *least = vf_least(low);
    *greatest = vf_greatest(high);
    for (; i < n; i++) {
        float v;
        floats_from(dtype, (const char *)data + i * bytes_of(dtype), 1, &v);
        if (v < *least) *least = v;
        if (v > *greatest) *greatest = v;
    }
}

static void host_range(DType dtype, const void *data, size_t n, float *least, float *greatest) {
    switch (dtype) {
    case DTYPE_F16: range_as(DTYPE_F16, data, n, least, greatest); break;
    case DTYPE_BF16: range_as(DTYPE_BF16, data, n, least, greatest); break;
    default: assert(dtype == DTYPE_F32), range_as(DTYPE_F32, data, n, least, greatest); break;
    }
}

static float host_absmax(const float *x, size_t n) {
    Vf most = vf_set(0);
    for (size_t i = 0; i < n; i += LANES) most = vf_max(vf_abs(vf_load_some(x + i, at_most(n - i, LANES))), most);
    return vf_greatest(most);
}

static void absmax_columns(const float *x, size_t rows, size_t stride, size_t n, float *columns) {
    for (size_t i = 0; i < n; i += LANES) {
        size_t m = at_most(n - i, LANES);
        Vf most = vf_load_some(columns + i, m);
        for (size_t row = 0; row < rows; row++) most = vf_max(vf_abs(vf_load_some(x + row * stride + i, m)), most);
        vf_store_some(columns + i, most, m);
    }
}

#define KERNELS(NAME, CODING, SCAN, PACKED_FLOAT)                                                                    \
    {                                                                                                                \
        .name = (NAME), .lanes = LANES, .coding = (CODING), .scan = (SCAN), .dense = host_dense,                     \
        .dense_rounded = DENSE_ROUNDED, .packed = host_packed, .packed_float = (PACKED_FLOAT),                       \
        .quantize_row = quantize_row, .split_segment = split_segment, .dot_levels = dot_levels, .widen = host_widen, \
        .narrow = host_narrow, .rms_norm_row = rms_norm_row, .layer_norm_row = layer_norm_row, .add = host_add,      \
        .activate = host_activate, .xielu = host_xielu, .silu_times = silu_times, .rope_head = rope_head,            \
        .attention = host_attention, .range = host_range, .absmax = host_absmax, .absmax_columns = absmax_columns    \
    }
