// What every kernel is given: one structure each, passed by value. Pointers are device memory, matrices row-major,
// activations float. The table of launches at the end is what the host code calls; each returns 0 or the runtime's
// error code.
#ifndef QUANTDIAL_KERNELS_CUDA_ARGUMENTS_H
#define QUANTDIAL_KERNELS_CUDA_ARGUMENTS_H

#include "kernels/cuda/integer_layout.h"
#include "kernels/dtype.h"
#include "kernels/nonlinearity.h"

// Element types as kernels know them. They are ints, so that kernels can take them as constants.
enum { ELEMENT_F32 = DTYPE_F32, ELEMENT_F16 = DTYPE_F16, ELEMENT_BF16 = DTYPE_BF16, ELEMENT_I8 = DTYPE_I8 };

// A position that may stand in device memory, so that a recorded step can be run again at another one.
typedef struct Position {
    const int32_t *device; // NULL: `value` counts
    int32_t value;
} Position;

// ---- Between linears ----

typedef struct WidenArguments { // y [n] = floats of source
    const void *source;
    float *y;
    size_t n;
    int dtype;
} WidenArguments;

typedef struct NormArguments { // y [rows, width]; bias NULL: by the root of the mean square
    float *x;                  // changed only if something is added
    const float *added;        // NULL, or x += added comes first
    const float *gain, *bias;
    float *y, eps;
    int rows, width, gains; // gain and bias [gains, width]: row r has those of r % gains; by mean squares there is one
} NormArguments;

typedef enum Elementwise {
    ELEMENTWISE_ADD,      // y = x + other
    ELEMENTWISE_SCALE,    // y = x · number
    ELEMENTWISE_CLEAR,    // y = 0
    ELEMENTWISE_SOFTCAP,  // y = number · tanh(x / number)
    ELEMENTWISE_CLAMP,    // y = x within ± number
    ELEMENTWISE_ACTIVATE, // y = f(x), · other unless that is NULL
    ELEMENTWISE_XIELU,
} Elementwise;

typedef struct ElementwiseArguments {
    const float *x, *other;
    float *y;
    size_t n;
    float number;
    int what, nonlinearity; // Elementwise, Nonlinearity
    Xielu xielu;
} ElementwiseArguments;

typedef struct RopeArguments { // in place; cosine, sine [positions, half]
    float *x;
    const float *cosine, *sine;
    int tokens, heads, head_dim, half, adjacent; // adjacent: pairs (2i, 2i + 1), else (i, i + half)
    Position first;
} RopeArguments;

typedef struct CopyArguments { // y [rows, width] = x [rows, x_width] from column `from` on
    const float *x;
    float *y;
    size_t rows;
    int x_width, from, width;
} CopyArguments;

// y [rows, y_width] from column `to` on = x [rows / rows_of_one, width], or zeros where x is NULL
typedef struct PlaceArguments {
    const float *x;
    float *y;
    size_t rows, rows_of_one;
    int width, y_width, to;
} PlaceArguments;

typedef struct RowsArguments { // gather: y[i] = x[rows[i]]; scatter: y[rows[i]] += factors[i] · x[i], i ascending
    const float *x, *factors;
    const int32_t *rows;
    float *y;
    int n, width;
} RowsArguments;

enum { CHOOSE_ROWS = 32 };

typedef struct ChooseArguments { // of each row of logits a token and its softmax probability, as kernels/sampling.h
                                 // says
    const float *logits;         // [rows, vocab], up to CHOOSE_ROWS of them
    int32_t *ids;
    float *probabilities;
    double points[CHOOSE_ROWS];
    float scale, top_p; // scale: distance_scale of the temperature
    bool drawn;         // false: the largest
    int rows, vocab;
} ChooseArguments;

// ---- Products ----
//
// A launch multiplies the same activations by up to TOGETHER weights of one format.

enum { TOGETHER = 3 };

// Tokens that the same expert gets: rows first … first + count − 1 in the order of routing.
typedef struct Portion {
    int32_t expert, first, count;
} Portion;

// A launch in which every block looks up its portion, and takes the weights and tokens of that expert. Each of the
// weights stands for one of every expert.
typedef struct Portions {
    const Portion *list; // NULL: a launch like any other
    int count;           // of the list; those of no tokens come last
    int experts;
} Portions;

typedef struct DenseRows { // of one weight
    const void *w;         // rows `stride` elements apart, 16-byte aligned, zeros behind `in`
    const float *bias;     // [out] or NULL
} DenseRows;

typedef struct DenseOutputs {
    DenseRows rows; // not with portions
    float *y;       // [tokens, out]
    int out;
} DenseOutputs;

typedef struct DenseArguments { // y [tokens, out] = x [tokens, in] · W' + bias
    DenseOutputs each[TOGETHER];
    const float *x;
    int weights, dtype, in, stride, tokens;
    bool aligned; // rows of x may be read 16 bytes at a time
    Portions portions;
    const DenseRows *experts; // [weights, experts]; w NULL: this launch leaves it alone
} DenseArguments;

typedef struct NarrowArguments { // y [rows, width] of dtype; zeros from `width` to `stride`
    const float *x;
    void *y;
    int dtype, rows, width, stride;
} NarrowArguments;

typedef struct BiasArguments { // y [tokens, out] += bias
    const float *bias;
    float *y;
    int tokens, out;
} BiasArguments;

// ---- Quantized products ----

enum { ROUND_STATIC, ROUND_TOKEN, ROUND_CHANNEL };

// How far apart the activations of two portions lie: codes in bytes, scales and sums in numbers.
typedef struct PortionStrides {
    size_t codes, scales, sums;
} PortionStrides;

typedef struct ExpertRounding {
    const float *divisor; // [in] or NULL
    float static_scale;   // 0: of the token
} ExpertRounding;

// Activations as the product reads them (integer_layout.h).
typedef struct ActivationArguments {
    IntegerLayout layout;
    const float *x;       // [tokens, in]
    const float *divisor; // [in] or NULL
    uint8_t *codes;
    float *scales; // one plane: [tokens]; several: [segments, tokens padded to 8]
    int32_t *sums; // of codes, [segments, sum_planes, tokens padded to 8]; NULL: not wanted
    int tokens, planes;
    float static_scale; // of one plane; 0: of the token
    int slot_bits; // of the layout, and whether the planes are paired: found when it is launched, for plain layouts
    bool paired;
    Portions portions; // then `tokens` is what a portion has room for, and all of the above is that of the first
    PortionStrides strides;
    const ExpertRounding *experts; // [experts], in place of divisor and static_scale
} ActivationArguments;

typedef struct RoundArguments { // x as what its codes stand for, in floats
    const float *x, *divisor;
    float *y, *scales; // scales [in]: by channel, found by channel_scales over all tokens of a call
    int tokens, in, mode;
    float static_scale;
} RoundArguments;

// What a block of the tiled product computes: each warp `rows` blocks of 16 rows and `tokens` blocks of 8 tokens;
// `token_warps` of its warps stand side by side along the tokens, the rest along the rows.
typedef struct IntegerTile {
    int rows, tokens, warps, token_warps;
} IntegerTile;

// A slab of a product in shared memory: its weights, then from here on what is multiplied with them, in bytes. Of a
// pair of blocks what is each warp's own, weights, scales and levels, lies apart (ring_bytes).
typedef struct Stage {
    int x, scales, levels, x_scales, x_sums, bytes, own_bytes;
    int slot_bits; // 2^this slots for groups and segments (integer_layout.h)
} Stage;

// What stands beside the scales.
enum { NO_LEVELS, ZERO_POINTS, FACTORS };

typedef struct IntegerRows { // of one weight
    const uint8_t *codes;
    const void *scales;   // of scale_dtype, [row blocks, groups, 16]; with factors: float [out]
    const int8_t *levels; // zero points or factors, as scales; or NULL
    const float *bias;    // [out] or NULL
    const float *powers;  // [row blocks, 16], of products in 16-bit floats (kernels_f16.h); else NULL
} IntegerRows;

typedef struct IntegerOutputs {
    IntegerRows rows; // not with portions
    float *y;         // [tokens, out]; splits > 1: [splits, tokens, out], without bias
    int out, row_blocks;
} IntegerOutputs;

// Of products whose blocks run in pairs (kernels_slabs.h): what one pair leaves for the next one.
typedef struct Chain {
    int tiles, pairs; // tiles 0: each pair has a tile, or a part of it
    int step;         // slabs between places where a tile may be cut
    float *sums;      // [blocks][token blocks of a tile][threads][4]
    uint32_t *flags;  // [blocks], 0 between launches
} Chain;

typedef struct IntegerArguments {
    IntegerLayout layout; // of all; `out` and `row_blocks` do not count
    IntegerOutputs each[TOGETHER];
    const uint8_t *x;      // codes of the activations
    const float *x_scales; // as in ActivationArguments
    const int32_t *x_sums; // with zero points
    int weights, levels, scale_dtype, tokens, planes, splits;
    bool whole;        // parts are whole numbers, int32 in the places of floats
    IntegerTile tile;  // of the tiled kernel
    int columns;       // of x that the kernel for few tokens multiplies
    Chain chain;       // of the kernels by warpgroups
    Stage stage;       // of a block in the tiled kernel, of a warp in the other
    int stages;        // 2 … 4 slabs are in shared memory at a time
    Portions portions; // of the kernel for few tokens only
    PortionStrides strides;
    const IntegerRows *experts; // [weights, experts]; codes NULL: this launch leaves it alone
} IntegerArguments;

// Activations as 16-bit floats (integer_layout.h), each token times a power of two that takes its largest value near
// the end of their range.
typedef struct F16Arguments {
    IntegerLayout layout;
    const float *x; // [tokens, in]
    uint16_t *y;
    float *scales; // [tokens]: what takes the power back; NaN for a token that is not finite
    int tokens;
} F16Arguments;

// Of each row a power of two that takes its largest scale to 2^−10 … 2^−9.
typedef struct RowPowersArguments {
    IntegerLayout layout;
    const void *scales;
    float *powers; // [row blocks, 16], rows in their order
    int scale_dtype;
} RowPowersArguments;

typedef struct ReduceOutputs { // y [tokens, out] = Σ parts [splits, tokens, out], in order, + bias
    const float *parts, *bias;
    float *y;
    int out;
} ReduceOutputs;

typedef struct ReduceArguments {
    ReduceOutputs each[TOGETHER];
    int weights, splits, tokens;
} ReduceArguments;

typedef struct ReduceWholeArguments { // the same of whole numbers, which scales make outputs
    IntegerArguments product;
    ReduceArguments reduce;
} ReduceWholeArguments;

// What lies before a quantized product, and the activations that it reads: y of the one is x of the other. One of the
// two comes first.
typedef struct FusedArguments {
    NormArguments norm;               // rows 0: the other one
    ElementwiseArguments elementwise; // of whole rows
    ActivationArguments activations;
} FusedArguments;

// ---- Experts ----

// Limits of routing on the device: tokens, experts per token, slots, experts (kernels_experts.h).
enum { MIXTURE_TOKENS = 64, MIXTURE_PER_TOKEN = 32, MIXTURE_SLOTS = 512, MIXTURE_EXPERTS = 1024 };

// The per_token largest logits of each token, of equals the first; a slot's weight is its softmax probability.
typedef struct RouteArguments {
    const float *logits; // [tokens, experts]
    float *weights;      // [tokens, per_token], experts ascending
    int32_t *positions;  // likewise: where the slot lies when they are sorted by expert
    int32_t *rows;       // [slots]: whose token lies there
    Portion *portions;   // [portion_count] of up to portion_tokens slots; behind the last one portions of none
    int tokens, experts, per_token, portion_tokens, portion_count;
    bool normalized; // the weights of a token are made to add up to 1
} RouteArguments;

typedef struct MixArguments { // y [tokens, width] = Σ weights · rows of x [slots, width]
    const float *x, *weights;
    const int32_t *positions;
    float *y;
    int tokens, per_token, width;
} MixArguments;

typedef struct GatedAddArguments { // y [rows, width] += sigmoid(gates) · x, gates [rows]
    const float *gates, *x;
    float *y;
    int rows, width;
} GatedAddArguments;

typedef struct BlendArguments { // y [to, rows, width] += coefficients [rows, to, from] · x [from, rows, width]
    const float *coefficients, *x;
    float *y;
    int from, to, rows, width;
} BlendArguments;

typedef struct SizesArguments { // x [rows, width], as match_size with `like`, or cut_below
    float *x;
    const float *like; // NULL: cut_below
    float number;      // least, or deviations
    int rows, width;
} SizesArguments;

// ---- What layers remember (kernels/backend.h) ----

typedef struct ConvolveArguments {
    const float *x, *weight, *bias; // [sequences · tokens, channels], [taps, channels], [channels] or NULL
    float *tail, *y;                // [taps − 1, channels] of each sequence, `stride` apart; like x
    size_t stride;
    int sequences, channels, taps, tokens, silu;
    Position first;
} ConvolveArguments;

typedef struct RecurArguments {
    const float *q, *k, *v, *steps, *rates; // rates may be NULL
    const float *decay, *offset, *skip;     // [heads]; skip may be NULL
    float *state, *y;
    size_t stride;
    int sequences, heads, key_heads, key_dim, value_dim, tokens;
    Position first;
} RecurArguments;

// ---- Attention ----

typedef struct CacheView {            // of one layer, from some sequence on
    void *keys, *values;              // [sequences, kv_heads, positions, head_dim] of dtype
    float *key_scales, *value_scales; // [sequences, kv_heads, positions], I8 only
    int dtype, kv_heads, head_dim, positions;
} CacheView;

typedef struct CacheWriteArguments {
    CacheView cache;
    const float *k, *v; // [sequences · tokens, kv_heads · head_dim]
    int sequences, tokens;
    Position first;
} CacheWriteArguments;

// Rotated in place and stored: write.k is k.x. q.heads 0: no queries.
typedef struct RopeWriteArguments {
    RopeArguments q, k;
    CacheWriteArguments write;
} RopeWriteArguments;

enum { FOLLOWING_MOST = 16 };

typedef struct CacheFollowArguments { // blocks of every layer and head change places among sequences
    void *data;
    size_t block, stride, bytes; // bytes that change places, of a head and from one sequence to the next
    int unit, heads, layers;     // bytes that a thread takes: 1 or 4
    int sequences, from[FOLLOWING_MOST];
} CacheFollowArguments;

typedef struct AttentionArguments {
    CacheView cache;
    const float *q, *bias, *sinks; // bias: [heads, bias_stride] or NULL; sinks: [heads] or NULL
    float *y, *parts;              // parts [rows, heads, splits, head_dim + 2]: maximum, weight and sums; splits > 1
    uint32_t *arrived; // of each block with the same heads of a row, splits that are done; 0 between launches
    size_t bias_stride;
    float scale, softcap;
    int sequences, tokens, heads, window, splits; // rows of q and y: sequences · tokens
    int whole, bias_middle, chunked;              // as in AttentionShape
    Position first;
} AttentionArguments;

// ---- Quantizing weights ----

typedef struct QuantizeArguments { // symmetric grid: scale = absmax / qmax, code = rint(w / scale), as quant/grids.c
    IntegerLayout layout;
    const void *w;                   // [out], rows `stride` elements apart, of dtype
    const float *factors, *divisors; // [in], [out] or NULL: w · factors[i] / divisors[o] is what is quantized
    uint8_t *codes;
    void *scales;     // of scale_dtype
    double *errors;   // [out, 2]: Σ w², Σ (w − ŵ)²; NULL: not wanted
    int32_t *bad_row; // the first row that holds something not finite; out when none
    int dtype, stride, scale_dtype;
} QuantizeArguments;

typedef struct PackArguments { // codes [out, in], one a byte, into the layout
    IntegerLayout layout;
    const int8_t *unpacked;
    uint8_t *codes;
} PackArguments;

// ---- Measuring ----

typedef struct MeasureArguments { // as ActivationCounts (kernels/backend.h)
    const float *x;               // [tokens, width]
    uint32_t *patterns;           // [65536], added to
    float *channel_absmax;        // [width], raised
    uint32_t *channel_tokens;     // [width], added to
    float *token_absmax;          // [tokens]
    int32_t *token_limit;         // [tokens]: what stands out in each
    int tokens, width;
} MeasureArguments;

typedef struct CudaLaunches {
    int (*widen)(void *stream, const WidenArguments *);
    int (*norm)(void *stream, const NormArguments *);
    int (*elementwise)(void *stream, const ElementwiseArguments *);
    int (*rope)(void *stream, const RopeArguments *);
    int (*copy)(void *stream, const CopyArguments *);
    int (*place)(void *stream, const PlaceArguments *);
    int (*gather)(void *stream, const RowsArguments *);
    int (*scatter_add)(void *stream, const RowsArguments *);
    int (*choose)(void *stream, const ChooseArguments *);
    int (*dense_few)(void *stream, const DenseArguments *); // up to DENSE_FEW tokens
    int (*dense_tiled)(void *stream, const DenseArguments *);
    int (*narrow)(void *stream, const NarrowArguments *);
    int (*add_bias)(void *stream, const BiasArguments *);
    int (*activations)(void *stream, const ActivationArguments *);
    int (*fused)(void *stream, const FusedArguments *);
    int (*channel_scales)(void *stream, const RoundArguments *);
    int (*round)(void *stream, const RoundArguments *);
    int (*integer_by_code)(void *stream, const IntegerArguments *); // any device; slow
    int (*integer_few)(void *stream, const IntegerArguments *);     // up to 8 tokens
    int (*integer_tiled)(void *stream, const IntegerArguments *);
    int (*f16_activations)(void *stream, const F16Arguments *);
    int (*row_powers)(void *stream, const RowPowersArguments *);
    int (*f16_product)(void *stream, const IntegerArguments *); // x: 16-bit floats
    int (*f16_by_warpgroups)(void *stream, const IntegerArguments *);
    int (*int8_by_warpgroups)(void *stream, const IntegerArguments *); // x in rows
    int (*reduce)(void *stream, const ReduceArguments *);
    int (*reduce_whole)(void *stream, const ReduceWholeArguments *);
    int (*route)(void *stream, const RouteArguments *);
    int (*mix)(void *stream, const MixArguments *);
    int (*gated_add)(void *stream, const GatedAddArguments *);
    int (*blend_add)(void *stream, const BlendArguments *);
    int (*sizes)(void *stream, const SizesArguments *);
    int (*cache_write)(void *stream, const CacheWriteArguments *);
    int (*rope_write)(void *stream, const RopeWriteArguments *);
    int (*cache_follow)(void *stream, const CacheFollowArguments *);
    int (*attention)(void *stream, const AttentionArguments *);
    int (*attention_tiles)(void *stream, const AttentionArguments *); // of many tokens; splits does not matter
    int (*convolve)(void *stream, const ConvolveArguments *);
    int (*recur)(void *stream, const RecurArguments *);
    int (*quantize)(void *stream, const QuantizeArguments *);
    int (*pack)(void *stream, const PackArguments *);
    int (*measure)(void *stream, const MeasureArguments *);
} CudaLaunches;

// Blocks of the products of many tokens in rows: a warp for each row block, and at most so many token blocks. Pairs of
// blocks pay from so many on in 16-bit floats.
enum { SLAB_WARPS = 8, F16_MOST_TOKENS = 8, F16_PAIR_TOKENS = 8, WARPGROUP_MOST_TOKENS = 32, INT8_MOST_TOKENS = 16 };
// A pair's row blocks, its stages at most, and the bytes behind those: two arrivals for each, and whether they came.
enum { PAIR_ROW_BLOCKS = 2 * SLAB_WARPS, RING_STAGES = 5, RING_BYTES = 2 * RING_STAGES * 8 + 16 };

// FEW_WARPS warps of a block of the product of few tokens take slabs of the same 16 rows.
enum {
    DENSE_FEW = 8,
    FEW_TOKENS = 8,
    FEW_WARPS = 8,
    ATTENTION_LARGEST_HEAD = 512,
    ATTENTION_TILE_LARGEST_HEAD = 256,
};

// Query heads that a block takes together in attention of one token.
LAYOUT int attention_heads(int per_kv, int head_dim) {
    const int most = head_dim % 8 != 0 ? 1 : head_dim <= 128 ? 4 : head_dim <= 256 ? 2 : 1;
    return per_kv < 2 || most < 2 ? 1 : per_kv == 2 ? 2 : most;
}

// Tiles of attention: dimensions that a kernel has room for, queries of a block (16 a warp), its shared memory.
enum { TILE_POSITIONS = 32, WARP_QUERIES = 16 };
LAYOUT int tile_dim(int head_dim) { return head_dim <= 64 ? 64 : head_dim <= 128 ? 128 : ATTENTION_TILE_LARGEST_HEAD; }
LAYOUT int tile_queries(int dim) { return dim <= 128 ? 4 * WARP_QUERIES : 2 * WARP_QUERIES; }
LAYOUT size_t tile_bytes(int dim) {
    return ((size_t)(tile_queries(dim) + 2 * TILE_POSITIONS) * (size_t)(dim + 4) + 3 * TILE_POSITIONS) * sizeof(float);
}

LAYOUT int tile_row_blocks(const IntegerTile *t) { return t->warps / t->token_warps * t->rows; }
LAYOUT int tile_token_blocks(const IntegerTile *t) { return t->token_warps * t->tokens; }
// Blocks of a launch whose blocks take so many row blocks and token blocks.
LAYOUT size_t integer_blocks(const IntegerArguments *a, int rows, int tokens) {
    size_t blocks = 0;
    for (int i = 0; i < a->weights; i++) blocks += (size_t)((a->each[i].row_blocks + rows - 1) / rows);
    return blocks * (size_t)((token_blocks(a->tokens) + tokens - 1) / tokens);
}
LAYOUT size_t pair_tiles(const IntegerArguments *a) { return integer_blocks(a, PAIR_ROW_BLOCKS, a->tile.tokens); }
// Shared memory of a block of a pair: what both need in stages, what is each warp's own in stages of which there is one
// less, as nobody else has to be done with it, and the arrivals.
LAYOUT size_t ring_bytes(const Stage *s, int stages) {
    return (size_t)stages * (size_t)s->bytes + (size_t)(stages - 1) * (size_t)s->own_bytes + RING_BYTES;
}

// What a pair computes: slabs from … end of one tile. *chained*: the slabs of all tiles, one behind the other, are
// shared among the pairs of the launch evenly. Each has at least as many as a tile, so that a tile is cut once at most:
// one pair begins it, and the next one goes on with its sums. Whoever begins a tile that another one ends does so
// before anything else, and nobody has to wait.
typedef struct Piece {
    int tile, from, end;
    bool taken, left; // its first sums come from the pair before; its last ones go to the next
} Piece;
typedef struct Pieces {
    long long from, end; // slabs
} Pieces;

LAYOUT Pieces pieces_of(const IntegerArguments *a, int pair, int split) {
    const long long slabs = a->layout.slabs, pairs = a->chain.pairs;
    Pieces p;
    if (a->chain.tiles == 0) {
        p.from = pair * slabs + slabs * split / a->splits;
        p.end = pair * slabs + slabs * (split + 1) / a->splits;
    } else {
        const long long steps = a->chain.tiles * (slabs / a->chain.step);
        p.from = steps * pair / pairs * a->chain.step;
        p.end = steps * (pair + 1) / pairs * a->chain.step;
    }
    return p;
}

// The last one first.
LAYOUT bool next_piece(const IntegerArguments *a, Pieces *all, Piece *p) {
    const int slabs = a->layout.slabs;
    if (all->from >= all->end) return false;
    p->tile = (int)((all->end - 1) / slabs);
    const long long begin = (long long)p->tile * slabs, from = all->from > begin ? all->from : begin;
    p->from = (int)(from - begin);
    p->end = (int)(all->end - begin);
    p->taken = a->chain.tiles > 0 && p->from > 0;
    p->left = a->chain.tiles > 0 && p->end < slabs;
    all->end = from;
    return true;
}

// Shared memory of the kernel for few tokens: what its warps leave for each other, pieces in order and totals
// otherwise, and behind it the stages.
LAYOUT size_t few_piece_bytes(const IntegerArguments *a) {
    return a->planes == 1 ? (size_t)2 * FEW_WARPS * UNIT_ROWS * FEW_TOKENS * 4 << a->stage.slot_bits
                          : (size_t)FEW_WARPS * UNIT_ROWS * PAIRED_TOKENS * 4;
}

#endif
