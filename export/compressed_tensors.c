// The compressed-tensors format (compressed-tensors 0.11 and later, as transformers, vLLM and SGLang read it): codes
// packed as a stream of bits along each row, or a byte each where the product is one of integers; scales, zero points;
// and in config.json which module has which scheme.
#include <stdio.h>
#include <string.h>

#include "export/ct_groups_parts.h"
#include "export/export_parts.h"
#include "kernels/quantized.h"

// ---- What the format cannot hold ----

static bool has_other_grid(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)linear;
    return d->grid != GRID_SYMMETRIC && d->grid != GRID_ASYMMETRIC;
}

static bool has_odd_bits(const Export *x, const Linear *linear, const Decision *d) {
    (void)linear;
    return d->bits != 4 && d->bits != 8 && !x->options->odd_bits;
}

static bool has_zeros_and_inputs(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)linear;
    return d->grid == GRID_ASYMMETRIC && d->activations != POLICY_NONE;
}

static bool has_channel_inputs(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)linear;
    return d->activations == POLICY_CHANNEL;
}

static const Refusal refusals[] = {
    {refuses_transposed, REFUSE_TRANSPOSED},
    {refuses_stack, REFUSE_STACK},
    {has_other_grid, "this format has no such grid; use --grid symmetric"},
    {has_odd_bits, "weights of 2 and 3 bits are read by few engines, and by some versions wrongly; use 4 or 8 bits, or "
                   "--allow-odd-bits"},
    {refuses_partial_group, REFUSE_PARTIAL_GROUP},
    {has_zeros_and_inputs, "zero points go only with inputs of 16 bits; use --grid symmetric or --activations "
                           "none"},
    {has_channel_inputs, "inputs with a scale per channel cannot be computed by engines; use --activations token"},
};

static bool alike(const Decision *a, const Decision *b) {
    const CtScheme x = ct_scheme_of(a), y = ct_scheme_of(b);
    return ct_same_scheme(&x, &y);
}

static bool ct_check(Export *x, Error *err) {
    const Plan *plan = x->model->plan;
    bool odd = false;
    for (int i = 0; i < plan->linear_count; i++)
        odd |= plan->decisions[i].quantized && plan->decisions[i].bits != 4 && plan->decisions[i].bits != 8;
    if (odd)
        snprintf(x->warning, sizeof x->warning,
                 "weights of 2 and 3 bits need compressed-tensors 0.18 or later: earlier "
                 "versions read 3 bits wrongly, without an error");
    else if (plan->cache_bits == 8)
        snprintf(x->warning, sizeof x->warning, "the cache of 8 bits is not written: the format has no such cache");
    return refuse_linears(x, refusals, sizeof refusals / sizeof *refusals, err) && refuse_sets(x, alike, err);
}

// ---- Tensors ----

static bool add_codes(Unit *unit, const CtScheme *s, Error *err) {
    const uint64_t shape[] = {unit->rows, s->packed ? packed_words(unit->columns, s->bits) : unit->columns};
    return unit_add_plain(unit, unit->name, s->packed ? ".weight_packed" : ".weight", s->packed ? DTYPE_I32 : DTYPE_I8,
                          2, shape, err);
}

static bool add_scales(Unit *unit, const Decision *d, Error *err) {
    const bool whole = d->granularity == GRANULARITY_TENSOR;
    const uint64_t shape[] = {whole ? 1 : unit->rows, group_count(unit->columns, d->group)};
    OutTensor *t = unit_add_plain(unit, unit->name, ".weight_scale", d->scale_dtype, whole ? 1 : 2, shape, err);
    if (t && whole) t->block_rows = 0;
    return t;
}

static bool add_shape(Unit *unit, Error *err) {
    OutTensor *t = unit_add_plain(unit, unit->name, ".weight_shape", DTYPE_I64, 1, (uint64_t[]){2}, err);
    if (t) t->block_rows = 0;
    return t;
}

// Packed along the rows: 32 of them give as many words as a code has bits.
static bool add_zeros(Unit *unit, const Decision *d, Error *err) {
    const bool whole = d->granularity == GRANULARITY_TENSOR;
    const uint64_t groups = group_count(unit->columns, d->group);
    const uint64_t shape[] = {whole ? 1 : packed_words(unit->rows, d->bits), groups};
    OutTensor *t =
        unit_add_plain(unit, unit->name, ".weight_zero_point", whole ? DTYPE_I8 : DTYPE_I32, whole ? 1 : 2, shape, err);
    if (!t) return false;
    t->block_rows = whole ? 0 : 32;
    t->block_bytes = (size_t)groups * (size_t)d->bits * sizeof(uint32_t);
    return true;
}

static bool add_input_scale(Unit *unit, Error *err) {
    OutTensor *t = unit_add_plain(unit, unit->name, ".input_scale", DTYPE_F32, 1, (uint64_t[]){1}, err);
    if (t) t->block_rows = 0;
    return t;
}

// The order in which ct_put fills them.
static bool ct_describe(const Export *x, Unit *unit, Error *err) {
    if (unit->kind == UNIT_NUMBERS) return unit_add_numbers(unit, err);
    const Decision *d = unit_decision(x, unit);
    const CtScheme s = ct_scheme_of(d);
    return add_codes(unit, &s, err) && add_scales(unit, d, err) && (!s.packed || add_shape(unit, err)) &&
           (s.symmetric || add_zeros(unit, d, err)) && (s.activations != POLICY_STATIC || add_input_scale(unit, err));
}

// ---- Bytes ----

static void put_codes(const CtScheme *s, const QuantizedWeight *w, uint8_t *out) {
    const size_t row = s->packed ? (size_t)packed_words(w->in, w->bits) * sizeof(uint32_t) : w->in;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < w->out; r++) {
        uint8_t *to = out + r * row;
        if (!s->packed) {
            memcpy(to, w->codes + r * w->in, w->in);
            continue;
        }
        pack_codes(w->codes + r * w->in, w->in, w->bits, to);
    }
}

static void put_scales(const QuantizedWeight *w, size_t count, void *out) {
    numbers_put(w->scale_dtype, out, count, w->scales);
}

static void put_zeros(const QuantizedWeight *w, uint32_t *out) {
    const size_t groups = group_count(w->in, w->group), bits = (size_t)w->bits;
    memset(out, 0, (size_t)packed_words(w->out, w->bits) * groups * sizeof *out);
    for (size_t r = 0; r < w->out; r++) {
        const size_t word = r * bits / 32, shift = r * bits % 32;
        for (size_t g = 0; g < groups; g++) {
            const uint64_t code = (uint64_t)(w->zeros[r * groups + g] + (1 << (bits - 1))) << shift;
            out[word * groups + g] |= (uint32_t)code;
            if (code >> 32) out[(word + 1) * groups + g] |= (uint32_t)(code >> 32);
        }
    }
}

static void put_linear(const Export *x, const Unit *unit, const Piece *piece) {
    const Decision *d = unit_decision(x, unit);
    const CtScheme s = ct_scheme_of(d);
    const bool whole = d->granularity == GRANULARITY_TENSOR;
    const size_t groups = group_count(unit->columns, d->group);
    int t = 0;
    put_codes(&s, piece->codes, piece->out[t++]);
    put_scales(piece->codes, whole ? 1 : piece->rows * groups, piece->out[t++]);
    if (s.packed && piece->out[t]) memcpy(piece->out[t], (int64_t[]){(int64_t)unit->rows, (int64_t)unit->columns}, 16);
    t += s.packed;
    if (!s.symmetric && whole)
        *(int8_t *)piece->out[t++] = piece->codes->zeros[0];
    else if (!s.symmetric)
        put_zeros(piece->codes, piece->out[t++]);
    if (s.activations == POLICY_STATIC && piece->out[t]) memcpy(piece->out[t], &d->activation_scale, sizeof(float));
}

static void ct_put(const Export *x, const Unit *unit, const Piece *piece) {
    if (unit->kind == UNIT_LINEAR)
        put_linear(x, unit, piece);
    else
        piece_numbers(x, unit, piece);
}

// ---- config.json ----

static bool ct_finish(Export *x, Error *err) {
    CtGroups groups = {0};
    Text text = {0};
    bool ok = ct_groups_make(x->model->structure, x->model->plan, &groups, err);
    if (ok && groups.count) {
        text_addf(&text,
                  "{\n    \"quant_method\": \"compressed-tensors\",\n    \"format\": \"%s\",\n"
                  "    \"quantization_status\": \"compressed\",\n    \"global_compression_ratio\": null,\n"
                  "    \"kv_cache_scheme\": null,\n",
                  ct_whole_format(&groups));
        for (int i = 0; i < groups.count; i++) // tells readers how 3 bits are packed
            if (groups.items[i].bits == 3) {
                text_addf(&text, "    \"version\": \"0.18.0\",\n");
                break;
            }
        ct_groups_print(&groups, "    ", &text);
        text_addf(&text, "\n  }");
    }
    ok = ok && (!text.failed || error_memory(err, "the configuration")) && folder_finish(x, text.data, err);
    text_free(&text);
    ct_groups_free(&groups);
    return ok;
}

const FormatRow format_compressed_tensors = {
    .stores = "codes and zero points fill words of 32 bits, and each matrix has its shape beside it",
    .ending = ".safetensors",
    .read_back = true,
    .loading = {{1U << TARGET_TRANSFORMERS,
                 "```python\nfrom transformers import AutoModelForCausalLM  # with the package compressed-tensors\n"
                 "model = AutoModelForCausalLM.from_pretrained(\"this folder\", dtype=\"auto\")\n```",
                 "```python\nfrom transformers import AutoModelForSeq2SeqLM  # with the package compressed-tensors\n"
                 "model = AutoModelForSeq2SeqLM.from_pretrained(\"this folder\", dtype=\"auto\")\n```"},
                {TARGETS_VLLM, "`vllm serve FOLDER`", NULL}},
    .loading_t5 =
        "```python\nfrom transformers import AutoModelForSeq2SeqLM, CompressedTensorsConfig\n"
        "model = AutoModelForSeq2SeqLM.from_pretrained(\"this folder\", dtype=\"auto\",\n"
        "    quantization_config=CompressedTensorsConfig(dequantize=True))  # with the package compressed-tensors\n```",
    .check = ct_check,
    .describe = ct_describe,
    .head = safetensors_head_of,
    .put = ct_put,
    .finish = ct_finish,
};
