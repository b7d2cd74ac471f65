// The compressed-tensors format (compressed-tensors 0.11 and later, as transformers, vLLM and SGLang read it): codes
// packed as a stream of bits along each row, or a byte each where the product is one of integers; scales, zero points;
// and in config.json which module has which scheme.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/processors.h"
#include "export/export_parts.h"
#include "kernels/quantized.h"

// What config.json says of linears that are alike.
typedef struct Scheme {
    int bits;
    bool symmetric, packed;
    Granularity granularity;
    size_t group; // of GRANULARITY_GROUP; else 0
    ActivationPolicy activations;
} Scheme;

static Scheme scheme_of(const Decision *d) {
    const bool groups = d->granularity == GRANULARITY_GROUP;
    return (Scheme){.bits = d->bits,
                    .symmetric = d->grid != GRID_ASYMMETRIC,
                    .packed = d->bits != 8 || groups || d->activations == POLICY_NONE,
                    .granularity = d->granularity,
                    .group = groups ? d->group : 0,
                    .activations = d->activations};
}

static bool same_scheme(const Scheme *a, const Scheme *b) {
    return a->bits == b->bits && a->symmetric == b->symmetric && a->packed == b->packed &&
           a->granularity == b->granularity && a->group == b->group && a->activations == b->activations;
}

// ---- What the format cannot hold ----

static bool is_transposed(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)d;
    return linear->transposed;
}

static bool is_in_a_stack(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)d;
    return tensor_in_file(linear->weight) != linear->weight && linear->expert >= 0 && !linear->weight->made;
}

static bool has_other_grid(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)linear;
    return d->grid != GRID_SYMMETRIC && d->grid != GRID_ASYMMETRIC;
}

static bool has_odd_bits(const Export *x, const Linear *linear, const Decision *d) {
    (void)linear;
    return d->bits != 4 && d->bits != 8 && !x->options->odd_bits;
}

static bool has_partial_group(const Export *x, const Linear *linear, const Decision *d) {
    (void)x;
    return linear->in % d->group != 0;
}

static bool has_zeros_and_inputs(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)linear;
    return d->grid == GRID_ASYMMETRIC && d->activations != POLICY_NONE;
}

static bool has_channel_inputs(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)linear;
    return d->activations == POLICY_CHANNEL;
}

static const struct {
    bool (*is)(const Export *x, const Linear *linear, const Decision *d);
    const char *what;
} refusals[] = {
    {is_transposed, "is stored as [in, out] (Conv1D), which no engine quantizes in this format; use another format"},
    {is_in_a_stack, "is an expert in one tensor with others, which cannot be split; leave the experts out with "
                    "\"ignore\" in the recipe"},
    {has_other_grid, "this format has no such grid; use --grid symmetric"},
    {has_odd_bits, "weights of 2 and 3 bits are read by few engines, and by some versions wrongly; use 4 or 8 bits, or "
                   "--allow-odd-bits"},
    {has_partial_group, "its groups do not divide its columns; use a smaller --group-size, or 0 for whole channels"},
    {has_zeros_and_inputs, "zero points go only with inputs of 16 bits; use --grid symmetric or --activations "
                           "none"},
    {has_channel_inputs, "inputs with a scale per channel cannot be computed by engines; use --activations token"},
};

static bool refuse_linears(const Export *x, Error *err) {
    const ModelStructure *s = x->model->structure;
    const Decision *decisions = x->model->plan->decisions;
    for (size_t r = 0; r < sizeof refusals / sizeof *refusals; r++) {
        int count = 0, first = -1;
        for (int i = 0; i < s->linear_count; i++) {
            if (!decisions[i].quantized || !refusals[r].is(x, &s->linears[i], &decisions[i])) continue;
            if (!count++) first = i;
        }
        if (count)
            return error_set(err, "%s: %s (%d linear%s)", s->linears[first].name, refusals[r].what, count,
                             count == 1 ? "" : "s");
    }
    return true;
}

static bool differ(const Decision *a, const Decision *b) {
    if (!a->quantized || !b->quantized) return a->quantized != b->quantized;
    const Scheme x = scheme_of(a), y = scheme_of(b);
    return !same_scheme(&x, &y);
}

// Engines store q, k, v and gate, up as one matrix with one scheme.
static bool refuse_sets(const Export *x, Error *err) {
    const ModelStructure *s = x->model->structure;
    const Decision *d = x->model->plan->decisions;
    int first = 0;
    for (int i = 1; i < s->linear_count; i++) {
        if (s->linears[i].fused_set < 0 || s->linears[i].fused_set != s->linears[first].fused_set) first = i;
        if (!differ(&d[first], &d[i])) continue;
        return error_set(err,
                         "%s and %s: engines fuse them, so their bits, group size and inputs must agree; use "
                         "--fused-together on, or set them alike in the recipe",
                         s->linears[first].name, s->linears[i].name);
    }
    return true;
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
    return refuse_linears(x, err) && refuse_sets(x, err);
}

// ---- Tensors ----

static uint64_t words_of(uint64_t codes, int bits) { return (codes * (uint64_t)bits + 31) / 32; }

static bool add_codes(Unit *unit, const Scheme *s, Error *err) {
    const uint64_t shape[] = {unit->rows, s->packed ? words_of(unit->columns, s->bits) : unit->columns};
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
    const uint64_t shape[] = {whole ? 1 : words_of(unit->rows, d->bits), groups};
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
    const Scheme s = scheme_of(d);
    return add_codes(unit, &s, err) && add_scales(unit, d, err) && (!s.packed || add_shape(unit, err)) &&
           (s.symmetric || add_zeros(unit, d, err)) && (s.activations != POLICY_STATIC || add_input_scale(unit, err));
}

// ---- Bytes ----

FOR_EVERY_PROCESSOR static void pack_nibbles(const int8_t *codes, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n / 2; i++) out[i] = (uint8_t)((codes[2 * i] + 8) | (codes[2 * i + 1] + 8) << 4);
    if (n % 2) out[n / 2] = (uint8_t)(codes[n - 1] + 8);
}

FOR_EVERY_PROCESSOR static void pack_bytes(const int8_t *codes, size_t n, uint8_t *out) {
    for (size_t i = 0; i < n; i++) out[i] = (uint8_t)(codes[i] + 128);
}

// Codes plus 2^(bits − 1), from the lowest bit of the first byte on.
static void pack_row(const int8_t *codes, size_t n, int bits, uint8_t *out) {
    if (bits == 4) {
        pack_nibbles(codes, n, out);
    } else if (bits == 8) {
        pack_bytes(codes, n, out);
    } else {
        unsigned buffer = 0;
        int filled = 0;
        for (size_t i = 0; i < n; i++) {
            buffer |= (unsigned)(codes[i] + (1 << (bits - 1))) << filled;
            for (filled += bits; filled >= 8; filled -= 8, buffer >>= 8) *out++ = (uint8_t)buffer;
        }
        if (filled) *out = (uint8_t)buffer;
    }
}

static void put_codes(const Scheme *s, const QuantizedWeight *w, uint8_t *out) {
    const size_t row = s->packed ? (size_t)words_of(w->in, w->bits) * sizeof(uint32_t) : w->in;
    const size_t used = (w->in * (size_t)w->bits + 7) / 8;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < w->out; r++) {
        uint8_t *to = out + r * row;
        if (!s->packed) {
            memcpy(to, w->codes + r * w->in, w->in);
            continue;
        }
        pack_row(w->codes + r * w->in, w->in, w->bits, to);
        memset(to + used, 0, row - used);
    }
}

static void put_scales(const QuantizedWeight *w, size_t count, void *out) {
    if (w->scale_dtype == DTYPE_F32) {
        memcpy(out, w->scales, count * sizeof(float));
        return;
    }
    uint16_t *to = out;
    for (size_t i = 0; i < count; i++)
        to[i] = w->scale_dtype == DTYPE_F16 ? float_to_f16(w->scales[i]) : float_to_bf16(w->scales[i]);
}

static void put_zeros(const QuantizedWeight *w, uint32_t *out) {
    const size_t groups = group_count(w->in, w->group), bits = (size_t)w->bits;
    memset(out, 0, (size_t)words_of(w->out, w->bits) * groups * sizeof *out);
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
    const Scheme s = scheme_of(d);
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
    else if (piece->divisors)
        piece_floats(x, unit, piece, 0, piece->out[0]);
    else
        piece_copy(unit, piece, piece->out[0]);
}

// ---- config.json ----

// Linears with the same pattern differ by numbers in their names, such as that of the layer.
typedef struct Pattern {
    Text text; // "(.*\.)?layers\.\d+\.mlp\.up_proj$"
    int scheme;
    bool mixed; // its linears do not all have the same
} Pattern;

typedef struct Schemes {
    Scheme *items;
    int count;
    int *of; // [linear_count]: −1 not quantized
    Pattern *patterns;
    size_t pattern_count, pattern_capacity;
    int *pattern_of; // [linear_count]: −1 a name without numbers
} Schemes;

static bool is_number(const char *at, size_t n) { return n && strspn(at, "0123456789") == n; }

// From the word before the first number on; what stands before it differs between engines. False: no number.
static bool make_pattern(const char *name, Text *out) {
    const char *begin = name, *at = name;
    for (; *at; at += at[strcspn(at, ".")] == '.' ? strcspn(at, ".") + 1 : strcspn(at, ".")) {
        if (is_number(at, strcspn(at, "."))) break;
        begin = at;
    }
    if (!*at || begin == at) return false;
    text_addf(out, "re:(.*\\.)?");
    for (at = begin; *at;) {
        const size_t n = strcspn(at, ".");
        if (is_number(at, n))
            text_addf(out, "\\d+");
        else
            text_add(out, at, n);
        at += n;
        if (*at) text_addf(out, "\\.");
        at += *at == '.';
    }
    text_addf(out, "$");
    return true;
}

static int find_scheme(Schemes *schemes, const Decision *d) {
    if (!d->quantized) return -1;
    const Scheme s = scheme_of(d);
    int i = 0;
    while (i < schemes->count && !same_scheme(&schemes->items[i], &s)) i++;
    if (i == schemes->count) schemes->items[schemes->count++] = s;
    return i;
}

static bool find_pattern(Schemes *schemes, const char *name, int scheme, int *out, Error *err) {
    Text text = {0};
    *out = -1;
    if (!make_pattern(name, &text)) return true;
    size_t i = 0;
    while (!text.failed && i < schemes->pattern_count && strcmp(schemes->patterns[i].text.data, text.data) != 0) i++;
    const bool known = i < schemes->pattern_count;
    if (text.failed || (!known && !array_grow(&schemes->patterns, i, &schemes->pattern_capacity, sizeof(Pattern)))) {
        text_free(&text);
        return error_memory(err, "the configuration");
    }
    if (known) {
        schemes->patterns[i].mixed |= schemes->patterns[i].scheme != scheme;
        text_free(&text);
    } else {
        schemes->patterns[schemes->pattern_count++] = (Pattern){.text = text, .scheme = scheme};
    }
    *out = (int)i;
    return true;
}

static bool find_schemes(const Export *x, Schemes *out, Error *err) {
    const ModelStructure *s = x->model->structure;
    const size_t count = (size_t)s->linear_count;
    out->items = array_new(count, sizeof *out->items);
    out->of = array_new(count, sizeof *out->of);
    out->pattern_of = array_new(count, sizeof *out->pattern_of);
    if (!out->items || !out->of || !out->pattern_of) return error_memory(err, "the configuration");
    for (int i = 0; i < s->linear_count; i++) {
        out->of[i] = find_scheme(out, &x->model->plan->decisions[i]);
        if (!find_pattern(out, s->linears[i].name, out->of[i], &out->pattern_of[i], err)) return false;
    }
    return true;
}

static void schemes_free(Schemes *schemes) {
    for (size_t i = 0; i < schemes->pattern_count; i++) text_free(&schemes->patterns[i].text);
    free(schemes->patterns);
    free(schemes->items);
    free(schemes->of);
    free(schemes->pattern_of);
}

// Every linear of a scheme, once: patterns where all have it, which exclude each other; else names.
static void add_targets(const Export *x, const Schemes *schemes, int scheme, Text *out) {
    const ModelStructure *s = x->model->structure;
    const char *between = "";
    text_addf(out, "[");
    for (size_t p = 0; p < schemes->pattern_count; p++) {
        if (schemes->patterns[p].mixed || schemes->patterns[p].scheme != scheme) continue;
        text_addf(out, "%s", between);
        json_quote(out, schemes->patterns[p].text.data);
        between = ", ";
    }
    for (int i = 0; i < s->linear_count; i++) {
        const int p = schemes->pattern_of[i];
        if (schemes->of[i] != scheme || (p >= 0 && !schemes->patterns[p].mixed)) continue;
        text_addf(out, "%s", between);
        json_quote(out, s->linears[i].name);
        between = ", ";
    }
    text_addf(out, "]");
}

static const char *format_name(const Scheme *s) { return s->packed ? "pack-quantized" : "int-quantized"; }

static void add_numbers(Text *out, int bits, bool symmetric, const char *strategy, size_t group, bool dynamic) {
    text_addf(out,
              "{\"num_bits\": %d, \"type\": \"int\", \"symmetric\": %s, \"strategy\": \"%s\", \"group_size\": ", bits,
              symmetric ? "true" : "false", strategy);
    if (group)
        text_addf(out, "%zu", group);
    else
        text_addf(out, "null");
    text_addf(out, ", \"dynamic\": %s}", dynamic ? "true" : "false");
}

static void add_group(const Export *x, const Schemes *schemes, int index, Text *out) {
    static const char *const strategies[] = {
        [GRANULARITY_TENSOR] = "tensor", [GRANULARITY_CHANNEL] = "channel", [GRANULARITY_GROUP] = "group"};
    const Scheme *s = &schemes->items[index];
    text_addf(out, "%s\n      \"group_%d\": {\n        \"format\": \"%s\",\n        \"targets\": ", index ? "," : "",
              index, format_name(s));
    add_targets(x, schemes, index, out);
    text_addf(out, ",\n        \"weights\": ");
    add_numbers(out, s->bits, s->symmetric, strategies[s->granularity], s->group, false);
    text_addf(out, ",\n        \"input_activations\": ");
    if (s->activations == POLICY_NONE)
        text_addf(out, "null");
    else
        add_numbers(out, 8, true, s->activations == POLICY_TOKEN ? "token" : "tensor", 0,
                    s->activations == POLICY_TOKEN);
    text_addf(out, ",\n        \"output_activations\": null\n      }");
}

// One name for all groups, or that they differ.
static const char *whole_format(const Schemes *schemes) {
    for (int i = 1; i < schemes->count; i++)
        if (schemes->items[i].packed != schemes->items[0].packed) return "mixed-precision";
    return schemes->count ? format_name(&schemes->items[0]) : "dense";
}

static void print_config(const Export *x, const Schemes *schemes, Text *out) {
    text_addf(out,
              "{\n    \"quant_method\": \"compressed-tensors\",\n    \"format\": \"%s\",\n"
              "    \"quantization_status\": \"compressed\",\n    \"global_compression_ratio\": null,\n"
              "    \"kv_cache_scheme\": null,\n",
              whole_format(schemes));
    for (int i = 0; i < schemes->count; i++) // tells readers how 3 bits are packed
        if (schemes->items[i].bits == 3) {
            text_addf(out, "    \"version\": \"0.18.0\",\n");
            break;
        }
    text_addf(out, "    \"ignore\": ");
    add_targets(x, schemes, -1, out);
    text_addf(out, ",\n    \"config_groups\": {");
    for (int i = 0; i < schemes->count; i++) add_group(x, schemes, i, out);
    text_addf(out, "\n    }\n  }");
}

static bool ct_finish(Export *x, Error *err) {
    Schemes schemes = {0};
    Text text = {0};
    bool ok = find_schemes(x, &schemes, err);
    if (ok && schemes.count) print_config(x, &schemes, &text);
    ok = ok && (!text.failed || error_memory(err, "the configuration")) && folder_finish(x, text.data, err);
    text_free(&text);
    schemes_free(&schemes);
    return ok;
}

const FormatRow format_compressed_tensors = {
    .ending = ".safetensors",
    .loading = "```python\nfrom transformers import AutoModelForCausalLM  # with the package compressed-tensors\n"
               "model = AutoModelForCausalLM.from_pretrained(\"this folder\", dtype=\"auto\")\n```\n\nor "
               "`vllm serve FOLDER`.",
    .check = ct_check,
    .describe = ct_describe,
    .head = safetensors_head_of,
    .put = ct_put,
    .finish = ct_finish,
    .verify = verify_tensors,
};
