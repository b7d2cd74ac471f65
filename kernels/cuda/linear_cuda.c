// Products: which kernel takes a linear of so many tokens, and how it is cut into blocks.
#include "kernels/cuda/cuda.h"

bool cuda_is_rounded_float(const Weight *w) {
    return w->mode == ACTIVATION_CHANNEL || (!w->integer && w->mode != ACTIVATION_NONE);
}

// Weights that one launch multiplies by the same activations, and where the products go.
typedef struct Set {
    const Weight *weights[TOGETHER];
    float *y[TOGETHER];
    int count;
} Set;

// ---- Dense ----

static bool dense_by_library(const CudaBackend *c, const Weight *w, size_t tokens) {
    return c->runtime->product && !cuda_avoids(c, KERNELS_LIBRARY) && tokens > DENSE_FEW &&
           (w->dtype == DTYPE_F32 || w->precision == PRECISION_NATIVE);
}

static int library_product(CudaBackend *c, const Weight *w, const void *x, size_t x_stride, size_t tokens, float *y) {
    CudaRuntime *r = c->runtime;
    const LibraryProduct p = {(int)w->dtype, w->data, x, w->out, w->in, tokens, w->stride, x_stride, y};
    const BiasArguments bias = {w->bias, y, (int)tokens, (int)w->out};
    int code = r->product(r, &p);
    return code == 0 && w->bias ? r->launches->add_bias(r->stream, &bias) : code;
}

// Sixteen-bit weights meet activations of 16 bits there.
static int library_products(CudaBackend *c, const Set *set, const float *x, size_t tokens) {
    CudaRuntime *r = c->runtime;
    const Weight *w = set->weights[0];
    const bool narrows = w->dtype != DTYPE_F32;
    const NarrowArguments narrow = {x, c->halves.data, (int)w->dtype, (int)tokens, (int)w->in, (int)w->stride};
    int code = narrows ? r->launches->narrow(r->stream, &narrow) : 0;
    for (int i = 0; i < set->count && code == 0; i++)
        code = library_product(c, set->weights[i], narrows ? c->halves.data : (const void *)x,
                               narrows ? w->stride : w->in, tokens, set->y[i]);
    return code;
}

DenseRows cuda_dense_rows(const Weight *w) { return (DenseRows){w->data, w->bias}; }

DenseArguments cuda_dense_arguments(const Weight *w, const float *x, size_t tokens) {
    return (DenseArguments){.x = x,
                            .weights = 1,
                            .dtype = (int)w->dtype,
                            .in = (int)w->in,
                            .stride = (int)w->stride,
                            .tokens = (int)tokens,
                            .aligned = w->in % 4 == 0 && (uintptr_t)x % 16 == 0};
}

// A few tokens at a time.
static int dense_by_few(CudaBackend *c, const DenseArguments *whole) {
    DenseArguments a = *whole;
    int code = 0;
    for (int t = 0; t < whole->tokens && code == 0; t += DENSE_FEW) {
        a.tokens = (int)at_most((size_t)(whole->tokens - t), DENSE_FEW);
        code = c->runtime->launches->dense_few(c->runtime->stream, &a);
        a.x += (size_t)DENSE_FEW * (size_t)a.in;
        for (int i = 0; i < a.weights; i++) a.each[i].y += (size_t)DENSE_FEW * (size_t)a.each[i].out;
    }
    return code;
}

static int dense_product(CudaBackend *c, const Set *set, const float *x, size_t tokens) {
    const Weight *w = set->weights[0];
    DenseArguments a = cuda_dense_arguments(w, x, tokens);
    a.weights = set->count;
    for (int i = 0; i < set->count; i++)
        a.each[i] = (DenseOutputs){cuda_dense_rows(set->weights[i]), set->y[i], (int)set->weights[i]->out};
    if (tokens <= DENSE_FEW) return c->runtime->launches->dense_few(c->runtime->stream, &a);
    if (dense_by_library(c, w, tokens)) return library_products(c, set, x, tokens);
    return cuda_avoids(c, KERNELS_DENSE) ? dense_by_few(c, &a)
                                         : c->runtime->launches->dense_tiled(c->runtime->stream, &a);
}

// ---- Integer ----

IntegerRows cuda_integer_rows(const Weight *w) {
    return (IntegerRows){w->codes, w->scales, w->zeros ? w->zeros : w->factors, w->bias, w->powers};
}

IntegerArguments cuda_integer_arguments(const Weight *w, size_t tokens) {
    return (IntegerArguments){.layout = w->layout,
                              .weights = 1,
                              .levels = w->zeros     ? ZERO_POINTS
                                        : w->factors ? FACTORS
                                                     : NO_LEVELS,
                              .scale_dtype = (int)w->scale_dtype,
                              .tokens = (int)tokens,
                              .planes = cuda_planes(w),
                              .splits = 1};
}

bool cuda_same_format(const Weight *v, const Weight *w) {
    if (v->integer != w->integer || v->in != w->in) return false;
    if (!v->integer) return v->dtype == w->dtype;
    const IntegerArguments a = cuda_integer_arguments(v, 1), b = cuda_integer_arguments(w, 1);
    return a.layout.group == b.layout.group && a.layout.bits == b.layout.bits && a.levels == b.levels &&
           a.scale_dtype == b.scale_dtype && a.planes == b.planes;
}

bool cuda_same_rounding(const Weight *v, const Weight *w) {
    return v->mode == w->mode && v->static_scale == w->static_scale && v->divisor == w->divisor;
}

static bool same_activations(const Prepared *p, const Prepared *q) {
    return p->x == q->x && p->tokens == q->tokens && p->layout.in == q->layout.in &&
           p->layout.group == q->layout.group && p->planes == q->planes && p->static_scale == q->static_scale &&
           p->divisor == q->divisor && (p->sums || !q->sums) && p->layout.rows == q->layout.rows;
}

static int prepare_activations(CudaBackend *c, const Weight *w, const float *x, size_t tokens, bool rows) {
    const int planes = cuda_planes(w);
    IntegerLayout layout = w->layout;
    layout.rows = rows;
    const Prepared wanted = {.x = x,
                             .tokens = tokens,
                             .layout = layout,
                             .planes = planes,
                             .static_scale = w->static_scale,
                             .divisor = w->divisor,
                             .sums = w->zeros != NULL};
    if (same_activations(&c->prepared, &wanted)) return 0;
    const ActivationArguments a = {.layout = layout,
                                   .x = x,
                                   .divisor = planes == 1 ? w->divisor : NULL,
                                   .codes = c->codes.data,
                                   .scales = c->scales.data,
                                   .sums = w->zeros ? c->sums.data : NULL,
                                   .tokens = (int)tokens,
                                   .planes = planes,
                                   .static_scale = w->static_scale};
    FusedArguments fused = {.activations = a};
    const CudaLaunches *launches = c->runtime->launches;
    int code = cuda_take_rows(c, x, tokens, w->in, &fused) ? launches->fused(c->runtime->stream, &fused)
                                                           : launches->activations(c->runtime->stream, &a);
    c->prepared = wanted;
    if (code != 0) c->prepared.x = NULL;
    return code;
}

static int prepare_f16(CudaBackend *c, const Weight *w, const float *x, size_t tokens) {
    const Prepared wanted = {.x = x, .tokens = tokens, .layout = w->layout, .planes = IN_F16};
    if (same_activations(&c->prepared, &wanted)) return 0;
    const F16Arguments a = {w->layout, x, c->codes.data, c->scales.data, (int)tokens};
    const int code = c->runtime->launches->f16_activations(c->runtime->stream, &a);
    c->prepared = wanted;
    if (code != 0) c->prepared.x = NULL;
    return code;
}

static size_t blocks_of(size_t n, size_t each) { return (n + each - 1) / each; }

// Into how many parts the columns are cut, so that `blocks` blocks become `each` for each multiprocessor, with `least`
// slabs each. Parts are written and read again, eight bytes for an output: never more of them than there are bytes of
// weights.
static int splits_for(const CudaBackend *c, const IntegerArguments *a, size_t blocks, size_t each, size_t least) {
    const size_t wanted = each * (size_t)c->runtime->facts.multiprocessors / at_least(blocks, 1);
    const size_t cheap = (size_t)a->layout.in * (size_t)a->layout.bits / 64 / (size_t)a->tokens;
    const size_t slabs = (size_t)a->layout.slabs / least;
    return (int)at_least(at_most(at_most(wanted, slabs), at_most(cheap, 8)), 1);
}

// row_blocks of weights with x_bytes of activations of so many tokens; levels are zero points or factors.
static Stage stage_of(const IntegerArguments *a, int row_blocks, int x_bytes, int tokens) {
    const int scale_bytes = a->scale_dtype == ELEMENT_F32 ? 4 : 2;
    Stage s = {.slot_bits = slab_slot_bits(&a->layout)};
    const int slots = 1 << s.slot_bits;
    s.x = row_blocks * (int)slab_bytes(a->layout.bits);
    s.scales = s.x + x_bytes;
    s.levels = s.scales + (a->levels == FACTORS ? 0 : row_blocks * slots * UNIT_ROWS * scale_bytes);
    s.x_scales = s.levels + (a->levels == NO_LEVELS ? 0 : row_blocks * slots * UNIT_ROWS);
    s.x_sums = s.x_scales + (a->planes == 1 ? 0 : slots * tokens * 4);
    s.bytes = s.x_sums + (a->levels == ZERO_POINTS ? slots * sum_planes(a->planes) * tokens * 4 : 0);
    return s;
}

// Of one of so many blocks on a multiprocessor.
static size_t room_for(const CudaBackend *c, size_t blocks) {
    const size_t own = 1 << 10; // of each block, for the device
    return (c->runtime->facts.shared_bytes + own) / blocks - own;
}

// least … most stages of `bytes`: as many as let `blocks` blocks stay on a multiprocessor, with `fixed` bytes beside
// the stages: all that such a kernel takes, for it declares no shared memory itself.
static int stages_for(const CudaBackend *c, size_t bytes, size_t fixed, size_t blocks, size_t least, size_t most) {
    const size_t room = room_for(c, blocks);
    return (int)at_least(at_most(room > fixed ? (room - fixed) / bytes : 0, most), least);
}

void cuda_cut_few(const CudaBackend *c, IntegerArguments *a) {
    a->columns = a->planes == 1 ? a->tokens : 2 * a->tokens;
    a->stage = stage_of(a, 1, SLAB_UNITS * a->columns * 32, FEW_TOKENS);
    a->stages = stages_for(c, FEW_WARPS * (size_t)a->stage.bytes, few_piece_bytes(a), 3, 2, 4);
    if (a->planes > 1 && !a->portions.list) a->splits = splits_for(c, a, integer_blocks(a, 1, 1), 2, 2 * FEW_WARPS);
}

static size_t power_of_two_from(size_t n) {
    size_t power = 1;
    while (power < n) power *= 2;
    return power;
}

static void set_tile_stage(IntegerArguments *a) {
    const int blocks = tile_token_blocks(&a->tile);
    a->stage = stage_of(a, tile_row_blocks(&a->tile), blocks * SLAB_UNITS * a->planes * 256, blocks * TOKEN_BLOCK);
}

static size_t tiles_of(const IntegerArguments *a) {
    return integer_blocks(a, tile_row_blocks(&a->tile), tile_token_blocks(&a->tile));
}

// In order nothing can be split, so the largest tile is taken that leaves few multiprocessors without one.
static void choose_ordered_tile(const CudaBackend *c, IntegerArguments *a, size_t side) {
    static const IntegerTile tiles[] = {{4, 4, 8, 1}, {2, 4, 8, 1}, {2, 2, 8, 1},
                                        {2, 2, 4, 1}, {1, 1, 8, 1}, {1, 1, 4, 1}};
    for (size_t i = 0; i < sizeof tiles / sizeof *tiles; i++) {
        const size_t token_warps = blocks_of(side, (size_t)tiles[i].tokens);
        if ((size_t)tiles[i].tokens > side || token_warps > (size_t)tiles[i].warps) continue;
        a->tile = tiles[i];
        a->tile.token_warps = (int)token_warps;
        set_tile_stage(a);
        if (2 * (size_t)a->stage.bytes > c->runtime->facts.shared_bytes) continue;
        if (4 * tiles_of(a) >= 3 * (size_t)c->runtime->facts.multiprocessors) return;
    }
}

// 128 rows by as many tokens as there are, 64 at most: with fewer rows the activations would weigh more than the
// weights on their way through the second-level cache.
static void cut_tiled(const CudaBackend *c, IntegerArguments *a) {
    static const IntegerTile free_tiles[2][4] = {{{1, 1, 8, 1}, {2, 2, 4, 1}, {2, 4, 4, 1}, {2, 4, 8, 2}},
                                                 {{1, 1, 8, 1}, {2, 2, 4, 1}, {2, 2, 8, 2}, {2, 2, 8, 4}}};
    const size_t side = at_most(power_of_two_from((size_t)token_blocks(a->tokens)), 8);
    if (a->planes == 1) {
        choose_ordered_tile(c, a, side);
    } else {
        a->tile = free_tiles[a->planes == 3][side == 1 ? 0 : side == 2 ? 1 : side == 4 ? 2 : 3];
        a->splits = splits_for(c, a, tiles_of(a), 2, 4);
    }
    set_tile_stage(a);
    a->stages = stages_for(c, (size_t)a->stage.bytes, 0, 2, 2, 4);
}

// ---- Many tokens in rows: weight-only in 16-bit floats, and int8 by warpgroups ----

static bool by_f16(const CudaBackend *c, const Weight *w, size_t tokens) {
    return w->integer && cuda_may_be_f16(c, w) && tokens > FEW_TOKENS && !cuda_avoids(c, KERNELS_F16);
}

static bool by_warpgroups(const CudaBackend *c, KernelFamily family) {
    return c->runtime->facts.warpgroups && !cuda_avoids(c, family);
}

// Of few tokens a lone block takes fewer instructions.
static bool by_f16_warpgroups(const CudaBackend *c, size_t tokens) {
    return tokens > (F16_PAIR_TOKENS / 2) * TOKEN_BLOCK && by_warpgroups(c, KERNELS_WARPGROUPS);
}

static bool by_int8_warpgroups(const CudaBackend *c, const Weight *w, size_t tokens) {
    return cuda_planes(w) == 1 && tokens > FEW_TOKENS && is_regular(&w->layout) &&
           by_warpgroups(c, KERNELS_INT8_WARPGROUPS);
}

// side: token blocks of a block.
static void set_slab_tile(IntegerArguments *a, size_t side) {
    a->tile = (IntegerTile){1, (int)side, SLAB_WARPS, 1};
    a->stage = stage_of(a, SLAB_WARPS, 2 * (int)side * TOKEN_BLOCK * X_ROW_BYTES, 0);
    a->stage.bytes = (int)blocks_of((size_t)a->stage.bytes, SWIZZLE_BYTES) * SWIZZLE_BYTES;
}

// The same for pairs: weights, scales and levels lie apart. blocks: rows of a token in a slab.
static void set_ring_tile(IntegerArguments *a, size_t side, int blocks) {
    const int tokens = (int)side * TOKEN_BLOCK;
    a->tile = (IntegerTile){1, (int)side, SLAB_WARPS, 1};
    a->stage = stage_of(a, SLAB_WARPS, 0, a->planes == 1 ? tokens : 0);
    const int sums = a->stage.bytes - a->stage.x_sums;
    a->stage.own_bytes = a->stage.x_scales;
    a->stage.x = 0;
    a->stage.x_sums = tokens * X_ROW_BYTES * blocks;
    a->stage.bytes = (int)blocks_of((size_t)(a->stage.x_sums + sums), SWIZZLE_BYTES) * SWIZZLE_BYTES;
}

// Blocks of so many token blocks that a multiprocessor has room for, by warpgroups.
static size_t at_a_time(size_t side) { return side >= 16 ? 1 : 2; }

static void set_ring_stages(const CudaBackend *c, IntegerArguments *a, int least, int most) {
    const size_t room = room_for(c, at_a_time((size_t)a->tile.tokens));
    a->stages = least;
    while (a->stages < most && ring_bytes(&a->stage, a->stages + 1) <= room) a->stages++;
}

static size_t pairs_at_a_time(const CudaBackend *c) {
    const CudaFacts *facts = &c->runtime->facts;
    const size_t pairs = at_most((size_t)facts->pairs, (size_t)facts->multiprocessors / 2); // as memory is reserved
    return cuda_avoids(c, MANY_PAIRS) ? at_most(pairs, 2) : pairs;
}

// Where there are more tiles than pairs of blocks at a time, the last ones would leave multiprocessors without any:
// then pairs share the slabs evenly. step: slabs between places where a tile may be cut.
static void chain_pairs(const CudaBackend *c, IntegerArguments *a, int step) {
    const size_t pairs = pairs_at_a_time(c), tiles = pair_tiles(a);
    if (at_a_time((size_t)a->tile.tokens) > 1 || pairs == 0 || tiles <= pairs || cuda_avoids(c, KERNELS_CHAINS)) return;
    a->chain = (Chain){(int)tiles, (int)pairs, step, c->parts.data, c->arrived.data};
}

// The fewest tokens for a block that take all of them, or the most for which there is room.
static void cut_f16(const CudaBackend *c, IntegerArguments *a) {
    size_t side = at_most(power_of_two_from((size_t)token_blocks(a->tokens)), F16_MOST_TOKENS);
    set_slab_tile(a, side);
    while (2 * (size_t)a->stage.bytes > c->runtime->facts.shared_bytes && side > 2) set_slab_tile(a, side /= 2);
    a->stages = stages_for(c, (size_t)a->stage.bytes, 0, 2, 2, 5);
    a->splits = splits_for(c, a, integer_blocks(a, SLAB_WARPS, a->tile.tokens), 2, 4);
}

static void cut_f16_pairs(const CudaBackend *c, IntegerArguments *a) {
    size_t side = at_most(power_of_two_from((size_t)token_blocks(a->tokens)), WARPGROUP_MOST_TOKENS);
    set_ring_tile(a, side, 2);
    while (ring_bytes(&a->stage, 3) > c->runtime->facts.shared_bytes && side > F16_PAIR_TOKENS)
        set_ring_tile(a, side /= 2, 2);
    set_ring_stages(c, a, 3, RING_STAGES);
    chain_pairs(c, a, 1);
    a->splits = a->chain.tiles ? 1 : splits_for(c, a, 2 * pair_tiles(a), at_a_time(side), 4);
}

// Where sums are whole numbers to the end the columns are shared among blocks. Elsewhere that cannot be, and a block
// takes fewer tokens until few multiprocessors are left without one.
static void cut_int8(const CudaBackend *c, IntegerArguments *a) {
    size_t side = at_most(power_of_two_from((size_t)token_blocks(a->tokens)), INT8_MOST_TOKENS);
    const bool whole = a->levels == FACTORS || a->layout.groups == 1;
    set_ring_tile(a, side, 1);
    while (!whole && side > 2 && 4 * pair_tiles(a) < 3 * pairs_at_a_time(c)) set_ring_tile(a, side /= 2, 1);
    set_ring_stages(c, a, 2, 4);
    chain_pairs(c, a, (int)at_least((size_t)a->layout.group_columns / SLAB_COLUMNS, 1));
    a->splits = whole && !a->chain.tiles ? splits_for(c, a, 2 * pair_tiles(a), at_a_time(side), 4) : 1;
    a->whole = a->splits > 1;
}

bool cuda_by_few(const IntegerArguments *a) {
    return is_regular(&a->layout) &&
           (a->planes == 1 ? a->tokens <= FEW_TOKENS : is_paired(&a->layout, a->planes, a->tokens));
}

bool cuda_by_tensor_cores(const CudaBackend *c, const Weight *w) {
    return c->runtime->facts.capability >= TENSOR_CORES && !w->wide && !cuda_avoids(c, KERNELS_INTEGER);
}

// ---- Which of them ----

typedef enum Way { BY_CODE, BY_FEW, BY_TILES, BY_F16, BY_F16_WARPGROUPS, BY_INT8_WARPGROUPS } Way;

static Way way_of(const CudaBackend *c, const Weight *w, const IntegerArguments *a) {
    const size_t tokens = (size_t)a->tokens;
    if (by_f16(c, w, tokens)) return by_f16_warpgroups(c, tokens) ? BY_F16_WARPGROUPS : BY_F16;
    if (!cuda_by_tensor_cores(c, w)) return BY_CODE;
    if (by_int8_warpgroups(c, w, tokens)) return BY_INT8_WARPGROUPS;
    return cuda_by_few(a) ? BY_FEW : BY_TILES;
}

static void cut(const CudaBackend *c, Way way, IntegerArguments *a) {
    switch (way) {
    case BY_CODE: break;
    case BY_FEW: cuda_cut_few(c, a); break;
    case BY_TILES: cut_tiled(c, a); break;
    case BY_F16: cut_f16(c, a); break;
    case BY_F16_WARPGROUPS: cut_f16_pairs(c, a); break;
    case BY_INT8_WARPGROUPS: cut_int8(c, a); break;
    }
}

static int launch_integer(const CudaRuntime *r, Way way, const IntegerArguments *a) {
    switch (way) {
    case BY_CODE: break;
    case BY_FEW: return r->launches->integer_few(r->stream, a);
    case BY_TILES: return r->launches->integer_tiled(r->stream, a);
    case BY_F16: return r->launches->f16_product(r->stream, a);
    case BY_F16_WARPGROUPS: return r->launches->f16_by_warpgroups(r->stream, a);
    case BY_INT8_WARPGROUPS: return r->launches->int8_by_warpgroups(r->stream, a);
    }
    return r->launches->integer_by_code(r->stream, a);
}

// What is added up later lies one weight after the other.
static void give_parts(CudaBackend *c, IntegerArguments *a, ReduceArguments *reduce) {
    float *parts = c->parts.data;
    *reduce = (ReduceArguments){.weights = a->weights, .splits = a->splits, .tokens = a->tokens};
    for (int i = 0; i < a->weights; i++) {
        IntegerOutputs *each = &a->each[i];
        reduce->each[i] = (ReduceOutputs){parts, each->rows.bias, each->y, each->out};
        each->y = parts;
        parts += (size_t)a->splits * (size_t)a->tokens * (size_t)each->out;
    }
}

static int add_parts(const CudaRuntime *r, const IntegerArguments *a, const ReduceArguments *reduce) {
    const ReduceWholeArguments whole = {*a, *reduce};
    return a->whole ? r->launches->reduce_whole(r->stream, &whole) : r->launches->reduce(r->stream, reduce);
}

static int integer_product(CudaBackend *c, const Set *set, const float *x, size_t tokens) {
    const Weight *w = set->weights[0];
    IntegerArguments a = cuda_integer_arguments(w, tokens);
    ReduceArguments reduce;
    const Way way = way_of(c, w, &a);
    int code = by_f16(c, w, tokens) ? prepare_f16(c, w, x, tokens)
                                    : prepare_activations(c, w, x, tokens, way == BY_INT8_WARPGROUPS);
    if (code != 0) return code;
    a.x = c->codes.data;
    a.x_scales = c->scales.data;
    a.x_sums = c->sums.data;
    a.weights = set->count;
    for (int i = 0; i < set->count; i++)
        a.each[i] = (IntegerOutputs){cuda_integer_rows(set->weights[i]), set->y[i], set->weights[i]->layout.out,
                                     set->weights[i]->layout.row_blocks};
    cut(c, way, &a);
    if (a.splits > 1) give_parts(c, &a, &reduce);
    code = launch_integer(c->runtime, way, &a);
    return code != 0 || a.splits == 1 ? code : add_parts(c->runtime, &a, &reduce);
}

// ---- Either ----

// Rounded activations lie before the scales of the channels.
static RoundArguments rounding_of(const CudaBackend *c, const Weight *w, const float *x, size_t tokens) {
    float *floats = c->floats.data;
    return (RoundArguments){.x = x,
                            .divisor = w->divisor,
                            .y = floats,
                            .scales = floats + PASS_TOKENS * w->in,
                            .tokens = (int)tokens,
                            .in = (int)w->in,
                            .mode = w->mode == ACTIVATION_CHANNEL  ? ROUND_CHANNEL
                                    : w->mode == ACTIVATION_STATIC ? ROUND_STATIC
                                                                   : ROUND_TOKEN,
                            .static_scale = w->static_scale};
}

static int one_product(CudaBackend *c, const Set *set, const float *x, size_t tokens) {
    const Weight *w = set->weights[0];
    if (cuda_is_rounded_float(w)) {
        const RoundArguments a = rounding_of(c, w, x, tokens);
        int code = c->runtime->launches->round(c->runtime->stream, &a);
        c->prepared.x = NULL;
        if (code != 0) return code;
        x = a.y;
    }
    return (w->integer ? integer_product : dense_product)(c, set, x, tokens);
}

// Whether what waits is computed together with the integers that this product reads (prepare).
static bool takes_rows(const CudaBackend *c, const Weight *w, const float *x, size_t tokens) {
    return w->integer && !cuda_is_rounded_float(w) && tokens <= PASS_TOKENS && !by_f16(c, w, tokens) &&
           cuda_rows_wait(c, x, tokens, w->in);
}

static void run_set(CudaBackend *c, const Set *set, const float *x, size_t tokens) {
    const Weight *w = set->weights[0];
    Set at = *set;
    if (tokens == 0) return;
    if (!takes_rows(c, w, x, tokens)) (void)cuda_ready(c);
    for (int i = 0; i < set->count; i++) cuda_written(c, set->y[i], tokens * set->weights[i]->out * sizeof(float));
    if (w->mode == ACTIVATION_CHANNEL && cuda_runs(c)) {
        const RoundArguments a = rounding_of(c, w, x, tokens);
        cuda_check(c, c->runtime->launches->channel_scales(c->runtime->stream, &a), "rounding activations");
    }
    for (size_t t = 0; t < tokens && cuda_runs(c); t += PASS_TOKENS) {
        for (int i = 0; i < set->count; i++) at.y[i] = set->y[i] + t * set->weights[i]->out;
        cuda_check(c, one_product(c, &at, x + t * w->in, at_most(tokens - t, PASS_TOKENS)), "a linear");
    }
}

// ---- Several at once ----

// Whether one launch can do for both, or one rounding for the library's products. An equivalence.
static bool set_joins(const CudaBackend *c, const Weight *v, const Weight *w, size_t tokens) {
    if (!cuda_same_format(v, w) || cuda_is_rounded_float(v) || cuda_is_rounded_float(w)) return false;
    if (!v->integer) return tokens <= DENSE_FEW || (dense_by_library(c, v, tokens) && dense_by_library(c, w, tokens));
    const bool together = by_f16(c, v, tokens) || (cuda_by_tensor_cores(c, v) && cuda_by_tensor_cores(c, w));
    return together && cuda_same_rounding(v, w);
}

static bool is_joined(const CudaBackend *c, const Weight *const *weights, size_t i, size_t tokens) {
    for (size_t j = 0; j < i; j++)
        if (set_joins(c, weights[j], weights[i], tokens)) return true;
    return false;
}

void cuda_linears(Backend *backend, const Weight *const *weights, size_t count, const float *x, size_t tokens,
                  float *const *y) {
    CudaBackend *c = cuda_of(backend);
    for (size_t i = 0; i < count; i++) {
        Set set = {{weights[i]}, {y[i]}, 1};
        if (is_joined(c, weights, i, tokens)) continue; // it was run with the first of its kind
        for (size_t j = i + 1; j < count; j++) {
            if (!set_joins(c, weights[i], weights[j], tokens)) continue;
            if (set.count == TOGETHER) {
                run_set(c, &set, x, tokens);
                set.count = 0;
            }
            set.weights[set.count] = weights[j];
            set.y[set.count++] = y[j];
        }
        run_set(c, &set, x, tokens);
    }
}

void cuda_linear(Backend *backend, const Weight *w, const float *x, size_t tokens, float *y) {
    cuda_linears(backend, &w, 1, x, tokens, &y);
}
