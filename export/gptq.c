// The GPTQ format, as GPTQModel, vLLM and transformers read it: codes of 4 and 8 bits packed down the columns,
// symmetric. Of a module M with a matrix [out, in]: M.qweight I32 [in · bits / 32, out], M.qzeros I32 [groups, out ·
// bits / 32], M.scales [groups, out], M.g_idx I32 [in]. Modules with other bits or groups than most are named in
// "dynamic".
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/processors.h"
#include "export/beside.h"
#include "export/export_parts.h"
#include "export/module_names.h"

// ---- What the format cannot hold ----

static bool has_odd_bits(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)linear;
    return d->bits != 4 && d->bits != 8;
}

static bool has_wide_scales(const Export *x, const Linear *linear, const Decision *d) {
    (void)x, (void)linear;
    return d->scale_dtype == DTYPE_F32;
}

static bool fills_no_words(const Export *x, const Linear *linear, const Decision *d) {
    (void)x;
    const size_t in_a_word = 32 / (size_t)d->bits;
    return linear->in % in_a_word || linear->out % in_a_word;
}

static const Refusal refusals[] = {
    {refuses_transposed, REFUSE_TRANSPOSED},
    {refuses_stack, REFUSE_STACK},
    {has_odd_bits, "engines read GPTQ of 4 and 8 bits alone; use --weight-bits 4"},
    {refuses_all_but_symmetric, "engines read GPTQ without zero points alone; use --grid symmetric"},
    {has_wide_scales, "engines round scales of GPTQ to 16 bits; use --scale f16"},
    {refuses_partial_group, REFUSE_PARTIAL_GROUP},
    {fills_no_words, "its rows or columns do not fill words of 32 bits; leave it out with \"ignore\" in the recipe"},
};

static size_t group_of(const Decision *d) { return d->granularity == GRANULARITY_GROUP ? d->group : 0; }

static bool alike(const Decision *a, const Decision *b) { return a->bits == b->bits && group_of(a) == group_of(b); }

static bool gptq_check(Export *x, Error *err) {
    warn_inputs(x);
    return refuse_linears(x, refusals, sizeof refusals / sizeof *refusals, err) && refuse_sets(x, alike, err) &&
           refuse_experts(x, false, alike, err);
}

// ---- Tensors ----

// The bytes of a row of the matrix lie far apart in all of them.
static bool add(Unit *unit, const char *ending, DType type, uint64_t rows, uint64_t columns, Error *err) {
    const uint64_t shape[] = {rows, columns};
    return unit_add_plain(unit, unit->name, ending, type, columns ? 2 : 1, shape, err);
}

static bool gptq_describe(const Export *x, Unit *unit, Error *err) {
    if (unit->kind == UNIT_NUMBERS) return unit_add_numbers(unit, err);
    const Decision *d = unit_decision(x, unit);
    const uint64_t groups = group_count(unit->columns, d->group), in_a_word = 32 / (uint64_t)d->bits;
    unit->gathered = true;
    return add(unit, ".qweight", DTYPE_I32, unit->columns / in_a_word, unit->rows, err) &&
           add(unit, ".qzeros", DTYPE_I32, groups, unit->rows / in_a_word, err) &&
           add(unit, ".scales", d->scale_dtype, groups, unit->rows, err) &&
           add(unit, ".g_idx", DTYPE_I32, unit->columns, 0, err);
}

// ---- Bytes ----

enum { TILE = 8 }; // words of a row, which lie in one cache line of codes

// `bits` of each code plus 2^(bits − 1), from the lowest bit on.
static inline uint32_t word_of(const int8_t *codes, unsigned bits) {
    const int middle = 1 << (bits - 1);
    uint32_t word = 0;
    for (unsigned i = 0; i < 32 / bits; i++) word |= (uint32_t)(codes[i] + middle) << (i * bits);
    return word;
}

FOR_EVERY_PROCESSOR static void put_tile(const QuantizedWeight *w, size_t first, size_t count, size_t all,
                                         uint32_t *out) {
    const size_t in_a_word = 32 / (size_t)w->bits;
    for (size_t r = 0; r < w->out; r++) {
        const int8_t *codes = w->codes + r * w->in + first * in_a_word;
        for (size_t i = 0; i < count; i++)
            out[i * all + r] = w->bits == 4 ? word_of(codes + i * 8, 4) : word_of(codes + i * 4, 8);
    }
}

// Rows [at, at + w->out) of `all`.
static void put_codes(const QuantizedWeight *w, size_t at, size_t all, uint32_t *out) {
    const size_t words = w->in * (size_t)w->bits / 32;
#pragma omp parallel for schedule(static)
    for (size_t first = 0; first < words; first += TILE)
        put_tile(w, first, words - first < TILE ? words - first : TILE, all, out + first * all + at);
}

static void put_scales(const QuantizedWeight *w, size_t at, size_t all, void *out) {
    const size_t groups = group_count(w->in, w->group);
    for (size_t g = 0; g < groups; g++)
        for (size_t r = 0; r < w->out; r++)
            number_put(w->scale_dtype, out, g * all + at + r, w->scales[r * groups + g]);
}

// Zero points are stored less one, by the first version of the format, which every reader knows.
static void put_constants(const Unit *unit, const Decision *d, uint8_t *zeros, int32_t *group_of_column) {
    memset(zeros, d->bits == 4 ? 0x77 : 0x7F, unit->tensors[1].bytes);
    for (size_t i = 0; i < unit->columns; i++) group_of_column[i] = (int32_t)(i / d->group);
}

static void gptq_put(const Export *x, const Unit *unit, const Piece *piece) {
    if (unit->kind == UNIT_NUMBERS) {
        piece_numbers(x, unit, piece);
        return;
    }
    put_codes(piece->codes, piece->first, unit->rows, piece->out[0]);
    if (piece->first == 0) put_constants(unit, unit_decision(x, unit), piece->out[1], piece->out[3]);
    put_scales(piece->codes, piece->first, unit->rows, piece->out[2]);
}

// ---- Configuration ----

typedef struct Modules {
    const char **names; // of linears, and of what engines make of several; those are in `made`
    int *schemes;       // the first linear that is like them; −1 not quantized
    char **made;
    size_t count, made_count;
} Modules;

// The first linear that has the same bits and groups; −1 for none.
static int scheme_of(const Plan *plan, int linear) {
    int i = 0;
    if (!plan->decisions[linear].quantized) return -1;
    while (!plan->decisions[i].quantized || !alike(&plan->decisions[i], &plan->decisions[linear])) i++;
    return i;
}

static bool add_module(Modules *m, const char *name, char *made, int scheme, Error *err) {
    if (!name) return error_memory(err, "the configuration");
    m->names[m->count] = name;
    m->schemes[m->count++] = scheme;
    if (made) m->made[m->made_count++] = made;
    return true;
}

// Rules are asked for q, k, v and gate, up under the name of the matrix that they become, and for experts under that of
// their list: "….self_attn.qkv_proj", "….mlp.experts".
static bool add_fused(Modules *m, const ModelStructure *s, int i, int scheme, Error *err) {
    const Linear *linear = &s->linears[i], *before = i ? linear - 1 : NULL;
    const char *last = strrchr(linear->name, '.'), *list = strstr(linear->name, ".experts.");
    char *made = NULL;
    if (linear->expert >= 0 && list) {
        if (before && before->expert >= 0 && before->layer == linear->layer) return true;
        made = strndup(linear->name, (size_t)(list - linear->name) + strlen(".experts"));
    } else if (linear->fused_set >= 0 && last) {
        if (before && before->fused_set == linear->fused_set) return true;
        const bool attends = linear->role == ROLE_Q || linear->role == ROLE_K || linear->role == ROLE_V;
        if (asprintf(&made, "%.*s.%s", (int)(last - linear->name), linear->name,
                     attends ? "qkv_proj" : "gate_up_proj") < 0)
            made = NULL;
    } else {
        return true;
    }
    return add_module(m, made, made, scheme, err);
}

static bool list_modules(const Export *x, Modules *m, Error *err) {
    const ModelStructure *s = x->model->structure;
    const size_t most = 2 * (size_t)s->linear_count;
    m->names = array_new(most, sizeof *m->names);
    m->schemes = array_new(most, sizeof *m->schemes);
    m->made = array_new(most, sizeof *m->made);
    bool ok = (m->names && m->schemes && m->made) || error_memory(err, "the configuration");
    for (int i = 0; ok && i < s->linear_count; i++) {
        const int scheme = scheme_of(x->model->plan, i);
        ok = add_module(m, s->linears[i].name, NULL, scheme, err) && add_fused(m, s, i, scheme, err);
    }
    return ok;
}

static void modules_free(Modules *m) {
    for (size_t i = 0; i < m->made_count; i++) free(m->made[i]);
    free(m->made);
    free(m->names);
    free(m->schemes);
}

// The scheme of most modules; −1 when none is quantized.
static int common_scheme(const Modules *m, size_t *counts) {
    int best = -1;
    for (size_t i = 0; i < m->count; i++)
        if (m->schemes[i] >= 0) counts[m->schemes[i]]++;
    for (size_t i = 0; i < m->count; i++) {
        const int s = m->schemes[i];
        if (s >= 0 && (best < 0 || counts[s] > counts[best])) best = s;
    }
    return best;
}

static void add_size(const Decision *d, Text *out) {
    text_addf(out, "\"bits\": %d, \"group_size\": ", d->bits);
    if (group_of(d))
        text_addf(out, "%zu", group_of(d));
    else
        text_addf(out, "-1");
}

// Frees the rule. size: of its modules; NULL: they stay as they are.
static void add_rule(Text *rule, const Decision *size, const char **between, Text *out) {
    text_addf(out, "%s\n      ", *between);
    out->failed |= rule->failed;
    if (!rule->failed) json_quote(out, rule->data);
    text_addf(out, ": {");
    if (size) add_size(size, out);
    text_addf(out, "}");
    text_free(rule);
    *between = ",";
}

// "+:" gives modules a size of their own, "-:" leaves them as they are.
static void add_rules(const Export *x, const ModuleNames *targets, int scheme, const char **between, Text *out) {
    size_t at = 0;
    bool regex;
    for (const char *target; (target = module_names_next(targets, scheme, &at, &regex));) {
        Text rule = {0};
        text_addf(&rule, "%s", scheme < 0 ? "-:" : "+:");
        if (regex)
            text_addf(&rule, "%s", target);
        else
            module_name_escape(target, &rule);
        add_rule(&rule, scheme < 0 ? NULL : &x->model->plan->decisions[scheme], between, out);
    }
}

static void add_beside(const char *word, const char **between, Text *out) {
    Text rule = {0};
    text_addf(&rule, "-:");
    beside_pattern(word, &rule);
    add_rule(&rule, NULL, between, out);
}

static void print_config(const Export *x, const ModuleNames *targets, const Names *beside, int common,
                         const size_t *counts, Text *out) {
    const int head = x->model->structure->head;
    const char *between = "";
    text_addf(out, "{\n    \"quant_method\": \"gptq\",\n    \"checkpoint_format\": \"gptq\",\n    ");
    add_size(&x->model->plan->decisions[common], out);
    text_addf(out,
              ",\n    \"desc_act\": false,\n    \"sym\": true,\n    \"lm_head\": %s,\n    \"pack_dtype\": "
              "\"int32\",\n    \"dynamic\": {",
              head >= 0 && x->model->plan->decisions[head].quantized ? "true" : "false");
    add_rules(x, targets, -1, &between, out);
    for (size_t i = 0; i < beside->count; i++) add_beside(beside->items[i], &between, out);
    for (int i = 0; i < x->model->plan->linear_count; i++)
        if (counts[i] && i != common) add_rules(x, targets, i, &between, out);
    text_addf(out, "\n    }\n  }");
}

// config.json says it all; quantize_config.json is what the first tools read.
static bool write_configs(const Export *x, Text *config, Error *err) {
    Text copy = {0};
    if (config->failed) return error_memory(err, "the configuration");
    text_addf(&copy, "%s\n", config->data);
    return folder_put(x, "quantize_config.json", &copy, err) && folder_finish(x, config->data, err);
}

static bool gptq_finish(Export *x, Error *err) {
    Modules modules = {0};
    ModuleNames targets = {0};
    Names beside = {0};
    Text config = {0};
    size_t *counts = array_new((size_t)x->model->plan->linear_count, sizeof *counts);
    bool ok = (counts || error_memory(err, "the configuration")) && list_modules(x, &modules, err) &&
              module_names_make(modules.names, modules.schemes, modules.count, &targets, err) &&
              beside_words(x->model->structure, &beside, err);
    const int common = ok ? common_scheme(&modules, counts) : -1;
    if (common >= 0) print_config(x, &targets, &beside, common, counts, &config);
    ok = ok && (common >= 0 ? write_configs(x, &config, err) : folder_finish(x, NULL, err));
    text_free(&config);
    module_names_free(&targets);
    names_free(&beside);
    modules_free(&modules);
    free(counts);
    return ok;
}

const FormatRow format_gptq = {
    .stores = "each group has a zero point, and each column the number of its group",
    .ending = ".safetensors",
    .read_back = true,
    .loading =
        {{TARGETS_VLLM, "`vllm serve FOLDER`", NULL},
         {1U << TARGET_TRANSFORMERS,
          "```python\nfrom gptqmodel import GPTQModel\nmodel = GPTQModel.load(\"this folder\")\n```",
          "```python\nfrom transformers import AutoModelForSeq2SeqLM  # with the packages optimum and gptqmodel\n"
          "model = AutoModelForSeq2SeqLM.from_pretrained(\"this folder\", dtype=\"auto\")\n```"}},
    .check = gptq_check,
    .describe = gptq_describe,
    .head = safetensors_head_of,
    .put = gptq_put,
    .finish = gptq_finish,
};
