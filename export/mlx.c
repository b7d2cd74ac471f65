// MLX, as mlx-lm reads it: of a module M with a matrix [out, in] M.weight U32 [out, in · bits / 32], a stream of bits
// along each row; M.scales and M.biases [out, groups]. A weight is code · scale + bias with codes from 0 on, so biases
// are −2^(bits − 1) · scale, with zero points −(zero + 2^(bits − 1)) · scale. Groups are of 32, 64 or 128 columns:
// larger ones are written as several with the same scale. The experts of a layer are one module with tensors
// [experts, …].
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "export/export_parts.h"
#include "loaders/mlx_names.h"

// The largest size of groups that divides those of the plan, or the smallest that there is.
static size_t mlx_group(const Decision *d, size_t in) {
    size_t size = 128;
    while (size > 32 && (d->group % size || in % size)) size /= 2;
    return size;
}

// ---- What the format cannot hold ----

static bool has_other_grid(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)linear;
    return d->grid != GRID_SYMMETRIC && d->grid != GRID_ASYMMETRIC;
}

static bool has_small_groups(const Export *x, const Linear *linear, const Decision *d) {
    (void)x;
    return linear->in % 32 == 0 && d->group % 32 != 0;
}

static bool has_odd_columns(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)d;
    return linear->in % 32 != 0;
}

static bool is_unknown_expert(const Export *x, const Linear *linear, const Decision *d) {
    (void)d;
    return linear->expert >= 0 && !mlx_stacks_experts(&x->model->structure->config);
}

static bool ties_always(const Export *x, const Linear *linear, const Decision *d) {
    const ModelStructure *s = x->model->structure;
    (void)d;
    return linear->role == ROLE_HEAD && linear->weight == s->embedding &&
           (strcmp(s->config.family, "gemma") == 0 || strcmp(s->config.family, "gemma2") == 0);
}

static const Refusal refusals[] = {
    {refuses_transposed, REFUSE_TRANSPOSED},
    {refuses_stack, REFUSE_STACK},
    {has_other_grid, "MLX has no such grid; use --grid symmetric"},
    {is_unknown_expert, "experts of this family are not written for mlx-lm; leave the experts out with \"ignore\""},
    {has_small_groups, "MLX has groups of 32, 64 and 128 columns; use --group-size 32 or --min-group 32"},
    {has_odd_columns, "its columns are no multiple of 32, the smallest group of MLX; leave it out with \"ignore\""},
    {ties_always, "mlx-lm takes the embedding for it; leave it out with \"ignore\""},
};

static bool alike(const Decision *a, const Decision *b) {
    return a->bits == b->bits && mlx_group(a, 128) == mlx_group(b, 128) && a->scale_dtype == b->scale_dtype;
}

static bool mlx_check(Export *x, Error *err) {
    const ModelStructure *s = x->model->structure;
    const Decision *d = x->model->plan->decisions;
    bool other_type = false, zeros = false;
    for (int i = 0; i < s->linear_count; i++) {
        other_type |= d[i].quantized && d[i].scale_dtype != structure_dtype(s);
        zeros |= d[i].quantized && d[i].grid == GRID_ASYMMETRIC && d[i].scale_dtype != DTYPE_F32;
    }
    warn_inputs(x);
    if (other_type)
        snprintf(x->warning, sizeof x->warning,
                 "scales have another type than the model, so MLX computes in F32, which is slow; --scale model "
                 "avoids that");
    else if (zeros)
        snprintf(x->warning, sizeof x->warning,
                 "MLX holds zero points times scales, rounded to the type of the scales: its weights are not exactly "
                 "those that were measured");
    return refuse_linears(x, refusals, sizeof refusals / sizeof *refusals, err) && refuse_experts(x, true, alike, err);
}

// ---- Tensors ----

// One of the tensors of a module; those of experts behind the first go on where it ends.
static bool add_part(const Export *x, Unit *unit, const char *ending, DType type, uint64_t columns, Error *err) {
    const Linear *linear = unit_linear(x, unit);
    const uint64_t shape[] = {(uint64_t)x->model->structure->config.experts.count, unit->rows, columns};
    const bool stacked = linear->expert >= 0;
    char name[256];
    const bool renamed = stacked && mlx_experts_name(linear->name, name, sizeof name);
    OutTensor *t =
        unit_add_plain(unit, renamed ? name : linear->name, ending, type, stacked ? 3 : 2, shape + !stacked, err);
    if (!t) return false;
    t->continues = linear->expert > 0;
    t->block_bytes = (size_t)columns * dtype_bytes(type);
    t->bytes = (uint64_t)t->block_bytes * unit->rows;
    return true;
}

static bool mlx_describe(const Export *x, Unit *unit, Error *err) {
    if (unit->kind == UNIT_NUMBERS) {
        const bool expert =
            unit->linear >= 0 && unit_linear(x, unit)->expert >= 0 && mlx_stacks_experts(&x->model->structure->config);
        return expert ? add_part(x, unit, ".weight", unit->tensor->dtype, unit->columns, err)
                      : unit_add_numbers(unit, err);
    }
    const Decision *d = unit_decision(x, unit);
    const uint64_t groups = unit->columns / mlx_group(d, unit->columns);
    return add_part(x, unit, ".weight", DTYPE_U32, packed_words(unit->columns, d->bits), err) &&
           add_part(x, unit, ".scales", d->scale_dtype, groups, err) &&
           add_part(x, unit, ".biases", d->scale_dtype, groups, err);
}

static void put_row(const QuantizedWeight *w, size_t row, size_t group, void *scales, void *biases) {
    const size_t groups = w->in / group;
    for (size_t g = 0; g < groups; g++) {
        const size_t from = row * group_count(w->in, w->group) + g * group / w->group;
        const int least = (w->zeros ? w->zeros[from] : 0) + (1 << (w->bits - 1));
        number_put(w->scale_dtype, scales, row * groups + g, w->scales[from]);
        number_put(w->scale_dtype, biases, row * groups + g, -(float)least * w->scales[from]);
    }
}

static void mlx_put(const Export *x, const Unit *unit, const Piece *piece) {
    if (unit->kind == UNIT_NUMBERS) {
        piece_numbers(x, unit, piece);
        return;
    }
    const QuantizedWeight *w = piece->codes;
    const size_t group = mlx_group(unit_decision(x, unit), unit->columns);
    const size_t row_bytes = (size_t)packed_words(w->in, w->bits) * sizeof(uint32_t);
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < w->out; r++) {
        pack_codes(w->codes + r * w->in, w->in, w->bits, (uint8_t *)piece->out[0] + r * row_bytes);
        put_row(w, r, group, piece->out[1], piece->out[2]);
    }
}

// ---- config.json ----

// Under the name that the module has in mlx-lm; false for one that has none of its own, being an expert behind the
// first.
static bool add_name(const Linear *linear, Text *out) {
    char name[256];
    if (linear->expert > 0) return false;
    const bool renamed = linear->expert == 0 && mlx_experts_name(linear->name, name, sizeof name);
    text_addf(out, ",\n    ");
    json_quote(out, renamed ? name : linear->name);
    return true;
}

typedef struct Size {
    int bits;
    size_t group;
} Size;

static Size size_of(const Export *x, int i) {
    const Decision *d = &x->model->plan->decisions[i];
    if (!d->quantized) return (Size){0};
    return (Size){d->bits, mlx_group(d, x->model->structure->linears[i].in)};
}

// That of most linears.
static Size common_size(const Export *x) {
    Size best = {0};
    int most = 0;
    static const int widths[] = {2, 3, 4, 8};
    for (size_t b = 0; b < sizeof widths / sizeof *widths; b++) {
        for (size_t group = 32; group <= 128; group *= 2) {
            int count = 0;
            for (int i = 0; i < x->model->plan->linear_count; i++) {
                const Size s = size_of(x, i);
                count += s.bits == widths[b] && s.group == group;
            }
            if (count > most) best = (Size){widths[b], group}, most = count;
        }
    }
    return best;
}

static bool mlx_finish(Export *x, Error *err) {
    const Size common = common_size(x);
    Text text = {0};
    text_addf(&text, "{\n    \"group_size\": %zu,\n    \"bits\": %d,\n    \"mode\": \"affine\"", common.group,
              common.bits);
    for (int i = 0; i < x->model->plan->linear_count; i++) {
        const Size s = size_of(x, i);
        if (!s.bits || (s.bits == common.bits && s.group == common.group)) continue;
        if (add_name(&x->model->structure->linears[i], &text))
            text_addf(&text, ": {\"group_size\": %zu, \"bits\": %d}", s.group, s.bits);
    }
    text_addf(&text, "\n  }");
    const bool ok = (!text.failed || error_memory(err, "the configuration")) &&
                    folder_finish(x, common.bits ? text.data : NULL, err);
    text_free(&text);
    return ok;
}

const FormatRow format_mlx = {
    .stores = "each group has a scale and an offset of 16 bits",
    .library = "mlx",
    .joins = true,
    .read_back = true,
    .rounds_zeros = true,
    .ending = ".safetensors",
    .loading = {{1U << TARGET_MLX,
                 "```python\nfrom mlx_lm import load, generate\nmodel, tokenizer = load(\"this folder\")\n```", NULL}},
    .config = mlx_config,
    .check = mlx_check,
    .describe = mlx_describe,
    .head = safetensors_head_of,
    .put = mlx_put,
    .finish = mlx_finish,
};
