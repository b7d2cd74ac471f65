#include "export/recipe_texts.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "export/ct_groups_parts.h"
#include "quant/equalize.h"

// ---- What is lost ----

typedef struct Loss {
    bool (*is)(const Linear *linear, const Decision *d);
    const char *what;
} Loss;

static bool has_other_grid(const Linear *linear, const Decision *d) {
    (void)linear;
    return d->grid != GRID_SYMMETRIC && d->grid != GRID_ASYMMETRIC;
}

static bool has_channel_inputs(const Linear *linear, const Decision *d) {
    (void)linear;
    return d->activations == POLICY_CHANNEL;
}

static bool has_searched_scales(const Linear *linear, const Decision *d) {
    (void)linear;
    return d->clip == CLIP_MSE;
}

static bool has_partial_group(const Linear *linear, const Decision *d) { return linear->in % d->group != 0; }

// Counts the linears that lose something, and says so.
static void add_losses(const ModelStructure *s, const Plan *plan, const Loss *losses, size_t count, Text *out) {
    for (size_t l = 0; l < count; l++) {
        int found = 0;
        for (int i = 0; i < s->linear_count; i++)
            found += plan->decisions[i].quantized && losses[l].is(&s->linears[i], &plan->decisions[i]);
        if (found) text_addf(out, "# %d linear%s: %s\n", found, found == 1 ? "" : "s", losses[l].what);
    }
    if (plan->cache_bits == 8) text_addf(out, "# The cache of 8 bits: it has no such cache.\n");
}

// ---- llm-compressor ----

static bool has_other_exponent(const Linear *linear, const Decision *d) {
    (void)linear;
    return d->lae && d->lae_alpha != 1;
}

static const Loss compressor_losses[] = {
    {has_other_grid, "it has no such grid; they are symmetric here."},
    {has_channel_inputs, "it has no inputs with a scale per channel; they have one scale here."},
    {has_searched_scales, "clip mse is set for each, but it searches in its own way (observer mse)."},
    {has_partial_group, "their groups do not divide their columns, which it refuses."},
    {has_other_exponent, "its logarithmic equalization has the exponent 1, whatever lae_alpha says."},
};

// One use of SmoothQuantModifier: mappings with the same settings.
typedef struct Smoothing {
    bool lae;
    float alpha; // of SmoothQuant
    Text mappings;
    int count;
} Smoothing;

typedef struct Smoothings {
    Smoothing items[8]; // recipes with more strengths than that are not seen
    int count;
    int not_said; // linears whose equalization cannot be said
} Smoothings;

static Smoothing *find_smoothing(Smoothings *all, const Decision *d) {
    const float alpha = d->lae ? 0 : d->smooth_alpha;
    int i = 0;
    while (i < all->count && (all->items[i].lae != d->lae || all->items[i].alpha != alpha)) i++;
    if (i == (int)(sizeof all->items / sizeof *all->items)) return NULL;
    if (i == all->count) all->items[all->count++] = (Smoothing){.lae = d->lae, .alpha = alpha};
    return &all->items[i];
}

// [[what is multiplied], what is divided].
static void add_mapping(const ModelStructure *s, const Plan *plan, int input, const char *divided, Smoothings *all) {
    int reader = 0;
    while (s->linears[reader].input != input) reader++;
    Smoothing *smoothing = find_smoothing(all, &plan->decisions[reader]);
    const char *between = "";
    if (!smoothing) {
        all->not_said++;
        return;
    }
    Text *out = &smoothing->mappings;
    text_addf(out, "%s          [[", smoothing->count++ ? ",\n" : "");
    for (int i = reader; i < s->linear_count; i++) {
        if (s->linears[i].input != input) continue;
        text_addf(out, "%s", between);
        json_quote(out, s->linears[i].name);
        between = ", ";
    }
    text_addf(out, "], ");
    json_quote(out, divided);
    text_addf(out, "]");
}

// It measures the output of what is divided. That of a norm is what its readers get; that of a linear is not.
static bool find_smoothings(const ModelStructure *s, const Plan *plan, Smoothings *all, Error *err) {
    int *norms = array_new((size_t)s->norm_count, sizeof *norms);
    bool ok = (norms || error_memory(err, "the plan")) && equalize_norm_readers(s, plan, norms, err);
    for (int n = 0; ok && n < s->norm_count; n++)
        if (norms[n] >= 0) add_mapping(s, plan, s->norms[n].input, s->norms[n].name, all);
    for (int i = 0; ok && i < s->linear_count; i++) {
        const Decision *d = &plan->decisions[i];
        all->not_said += decision_equalizes(d) && (d->fold != FOLD_NORM || norms[d->fold_index] < 0);
    }
    free(norms);
    return ok;
}

static void add_smoothings(const Smoothings *all, Text *out) {
    for (int i = 0; i < all->count; i++) {
        const Smoothing *smoothing = &all->items[i];
        text_addf(out, "  smoothing_%d_modifiers:\n    SmoothQuantModifier:\n", i);
        if (smoothing->lae)
            text_addf(out, "      algorithm: log_equalization\n");
        else
            text_addf(out, "      smoothing_strength: %g\n", (double)smoothing->alpha);
        text_addf(out, "      mappings: [\n%s\n        ]\n", smoothing->mappings.data ? smoothing->mappings.data : "");
    }
}

static bool searches(const Plan *plan) {
    for (int i = 0; i < plan->linear_count; i++)
        if (plan->decisions[i].quantized && plan->decisions[i].clip == CLIP_MSE) return true;
    return false;
}

// YAML takes JSON as it is.
static bool add_llm_compressor(const ModelStructure *s, const Plan *plan, Text *out, Error *err) {
    Smoothings all = {0};
    CtGroups groups = {0};
    bool ok = find_smoothings(s, plan, &all, err) && ct_groups_make(s, plan, &groups, err);
    if (ok) {
        text_addf(out,
                  "# For llm-compressor: oneshot(model=..., dataset=..., recipe=\"this file\").\n"
                  "# It chooses scales in its own way (4 bits: the largest weight / 7.5, here / 7), so codes differ "
                  "a little.\n");
        add_losses(s, plan, compressor_losses, sizeof compressor_losses / sizeof *compressor_losses, out);
        if (all.not_said)
            text_addf(out, "# %d linears: it equalizes only what norms give; their equalization is left out.\n",
                      all.not_said);
        text_addf(out, "quant_stage:\n");
        add_smoothings(&all, out);
        text_addf(out, "  quant_modifiers:\n    QuantizationModifier: {\n");
        if (searches(plan)) text_addf(out, "      \"weight_observer\": \"mse\",\n");
        ct_groups_print(&groups, "      ", out);
        text_addf(out, "\n    }\n");
    }
    for (int i = 0; i < all.count; i++) {
        out->failed |= all.items[i].mappings.failed;
        text_free(&all.items[i].mappings);
    }
    ct_groups_free(&groups);
    return ok;
}

// ---- llama-quantize ----

static bool is_equalized(const Linear *linear, const Decision *d) {
    (void)linear;
    return decision_equalizes(d);
}

static bool has_other_groups(const Linear *linear, const Decision *d) {
    (void)linear;
    return d->group != 32;
}

static bool has_few_bits(const Linear *linear, const Decision *d) {
    (void)linear;
    return d->bits < 4;
}

static bool has_wide_zeros(const Linear *linear, const Decision *d) {
    (void)linear;
    return d->grid == GRID_ASYMMETRIC && d->bits != 4;
}

static const Loss llama_losses[] = {
    {is_equalized, "it does not equalize. `quantdial quantize --format gguf` does, exactly as planned."},
    {has_other_grid, "it has no such grid; they get the type of the same number of bits."},
    {has_other_groups, "its groups are of 32 columns, where the plan has others."},
    {has_few_bits, "its types of 2 and 3 bits have another layout, in blocks of 256 columns."},
    {has_wide_zeros, "it has zero points with 4 bits alone."},
};

static const char *number_type(DType type) { return type == DTYPE_F32 ? "f32" : type == DTYPE_F16 ? "f16" : "bf16"; }

static const char *llama_type(const Linear *linear, const Decision *d) {
    if (!d->quantized) return number_type(linear->weight->dtype);
    switch (d->bits) {
    case 2: return "q2_K";
    case 3: return "q3_K";
    case 4: return d->grid == GRID_ASYMMETRIC ? "q4_1" : "q4_0";
    default: return "q8_0";
    }
}

// Its name of a linear, behind "blk.N."; NULL: it has none, or never quantizes it.
static const char *llama_name(const Linear *linear) {
    static const char *const names[ROLE_COUNT] = {
        [ROLE_Q] = "attn_q",     [ROLE_K] = "attn_k",      [ROLE_V] = "attn_v",           [ROLE_O] = "attn_output",
        [ROLE_QKV] = "attn_qkv", [ROLE_GATE] = "ffn_gate", [ROLE_UP] = "ffn_up",          [ROLE_DOWN] = "ffn_down",
        [ROLE_Q_A] = "attn_q_a", [ROLE_Q_B] = "attn_q_b",  [ROLE_KV_A] = "attn_kv_a_mqa", [ROLE_KV_B] = "attn_kv_b",
        [ROLE_FC1] = "ffn_up",   [ROLE_FC2] = "ffn_down",  [ROLE_GATE_UP] = "ffn_up",
    };
    return linear->layer < 0 || linear->expert > 0 ? NULL : names[linear->role]; // experts of a layer are one tensor
}

static const char *llama_ending(const Linear *linear) {
    return linear->expert >= 0 ? "_exps" : strstr(linear->name, "shared_expert") ? "_shexp" : "";
}

static bool has_rule(const Linear *a, const Linear *b) {
    const char *x = llama_name(a), *y = llama_name(b);
    return x && y && strcmp(x, y) == 0 && strcmp(llama_ending(a), llama_ending(b)) == 0;
}

// The layers in which linears of this name have this type; nothing when a linear before this one said it.
static void add_rule(const ModelStructure *s, const Plan *plan, int index, Text *out) {
    const Linear *linear = &s->linears[index];
    const char *type = llama_type(linear, &plan->decisions[index]), *between = "";
    Text layers = {0};
    bool said = false;
    for (int i = 0; i < s->linear_count && !said; i++) {
        if (!has_rule(linear, &s->linears[i]) || strcmp(llama_type(&s->linears[i], &plan->decisions[i]), type) != 0)
            continue;
        said = i < index;
        text_addf(&layers, "%s%d", between, s->linears[i].layer);
        between = "|";
    }
    out->failed |= layers.failed;
    if (!said && !layers.failed && layers.data)
        text_addf(out, "  --tensor-type 'blk\\.(%s)\\.%s%s\\.weight=%s' \\\n", layers.data, llama_name(linear),
                  llama_ending(linear), type);
    text_free(&layers);
}

static void add_llama_quantize(const ModelStructure *s, const Plan *plan, Text *out) {
    const Tensor *table = s->embedding;
    const bool tied = s->head >= 0 && s->linears[s->head].weight == table;
    text_addf(out, "# For llama-quantize, with a GGUF file that convert_hf_to_gguf.py made.\n"
                   "# It rounds in its own way; `quantdial quantize --format gguf` writes the codes of this plan.\n");
    add_losses(s, plan, llama_losses, sizeof llama_losses / sizeof *llama_losses, out);
    if (tied && plan->decisions[s->head].quantized)
        text_addf(out, "# The head is the embedding, and stays with it as it is.\n");
    text_addf(out, "llama-quantize --pure \\\n");
    if (table) text_addf(out, "  --token-embedding-type %s \\\n", number_type(table->dtype));
    if (s->head >= 0 && !tied)
        text_addf(out, "  --output-tensor-type %s \\\n", llama_type(&s->linears[s->head], &plan->decisions[s->head]));
    for (int i = 0; i < s->linear_count; i++) add_rule(s, plan, i, out);
    text_addf(out, "  model.gguf model-quantized.gguf q4_0\n");
}

bool recipe_text(RecipeProgram program, const ModelStructure *structure, const Plan *plan, Text *out, Error *err) {
    bool ok = true;
    switch (program) {
    case RECIPE_NONE: break;
    case RECIPE_LLM_COMPRESSOR: ok = add_llm_compressor(structure, plan, out, err); break;
    case RECIPE_LLAMA_QUANTIZE: add_llama_quantize(structure, plan, out); break;
    }
    return ok && (!out->failed || error_memory(err, "the recipe"));
}
