#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "export/ct_groups_parts.h"

CtScheme ct_scheme_of(const Decision *d) {
    const bool groups = d->granularity == GRANULARITY_GROUP;
    return (CtScheme){.bits = d->bits,
                      .symmetric = d->grid != GRID_ASYMMETRIC,
                      .packed = d->bits != 8 || groups || d->activations == POLICY_NONE,
                      .granularity = d->granularity,
                      .group = groups ? d->group : 0,
                      .activations = d->activations};
}

bool ct_same_scheme(const CtScheme *a, const CtScheme *b) {
    return a->bits == b->bits && a->symmetric == b->symmetric && a->packed == b->packed &&
           a->granularity == b->granularity && a->group == b->group && a->activations == b->activations;
}

static int find_scheme(CtGroups *groups, const Decision *d) {
    if (!d->quantized) return -1;
    const CtScheme s = ct_scheme_of(d);
    int i = 0;
    while (i < groups->count && !ct_same_scheme(&groups->items[i], &s)) i++;
    if (i == groups->count) groups->items[groups->count++] = s;
    return i;
}

static char *sibling(const char *name, size_t length, const char *last) {
    char *made;
    return asprintf(&made, "%.*s%s", (int)length, name, last) < 0 ? NULL : made;
}

static bool has_sibling(const ModelStructure *structure, const char *name, size_t length, const char *last) {
    char *other = sibling(name, length, last);
    const bool found = other && structure_find(structure, other) >= 0;
    free(other);
    return found;
}

// Where k counts for v, too (Gemma 4), the checkpoint has no v. vLLM asks for the scheme of q, k and v all the same,
// and for all three to be alike, so such a v is named as k is.
static bool needs_v(const ModelStructure *structure, const char *name, size_t *length) {
    static const char k[] = "k_proj";
    const size_t whole = strlen(name), last = sizeof k - 1;
    if (whole < last || strcmp(name + whole - last, k) != 0) return false;
    *length = whole - last;
    return has_sibling(structure, name, *length, "q_proj") && !has_sibling(structure, name, *length, "v_proj");
}

static bool name_linears(const ModelStructure *structure, const Plan *plan, CtGroups *out) {
    for (int i = 0; i < structure->linear_count; i++) {
        const char *name = structure->linears[i].name;
        const int scheme = find_scheme(out, &plan->decisions[i]);
        size_t length;
        out->names[out->name_count] = name;
        out->of[out->name_count++] = scheme;
        if (!needs_v(structure, name, &length)) continue;
        char *made = out->made[out->made_count] = sibling(name, length, "v_proj");
        if (!made) return false;
        out->made_count++;
        out->names[out->name_count] = made;
        out->of[out->name_count++] = scheme;
    }
    return true;
}

bool ct_groups_make(const ModelStructure *structure, const Plan *plan, CtGroups *out, Error *err) {
    const size_t count = (size_t)structure->linear_count;
    *out = (CtGroups){.items = array_new(count, sizeof *out->items),
                      .names = array_new(2 * count, sizeof *out->names),
                      .of = array_new(2 * count, sizeof *out->of),
                      .made = array_new(count, sizeof *out->made)};
    if (!out->items || !out->of || !out->names || !out->made || !name_linears(structure, plan, out))
        return error_memory(err, "the configuration");
    return module_names_make(out->names, out->of, out->name_count, &out->targets, err) &&
           beside_words(structure, &out->beside, err);
}

void ct_groups_free(CtGroups *groups) {
    module_names_free(&groups->targets);
    names_free(&groups->beside);
    for (size_t i = 0; i < groups->made_count; i++) free(groups->made[i]);
    free(groups->made);
    free(groups->items);
    free(groups->names);
    free(groups->of);
}

// Frees the text.
static void add_target(Text *text, const char **between, Text *out) {
    text_addf(out, "%s", *between);
    out->failed |= text->failed;
    if (!text->failed) json_quote(out, text->data);
    text_free(text);
    *between = ", ";
}

static void add_targets(const CtGroups *groups, int scheme, Text *out) {
    const char *between = "", *target;
    size_t at = 0;
    bool regex;
    text_addf(out, "[");
    while ((target = module_names_next(&groups->targets, scheme, &at, &regex))) {
        Text text = {0};
        text_addf(&text, "%s%s", regex ? "re:" : "", target);
        add_target(&text, &between, out);
    }
    for (size_t i = 0; scheme < 0 && i < groups->beside.count; i++) {
        Text text = {0};
        text_addf(&text, "re:");
        beside_pattern(groups->beside.items[i], &text);
        add_target(&text, &between, out);
    }
    text_addf(out, "]");
}

static const char *format_name(const CtScheme *s) { return s->packed ? "pack-quantized" : "int-quantized"; }

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

static void add_group(const CtGroups *groups, int index, const char *indent, Text *out) {
    static const char *const strategies[] = {
        [GRANULARITY_TENSOR] = "tensor", [GRANULARITY_CHANNEL] = "channel", [GRANULARITY_GROUP] = "group"};
    const CtScheme *s = &groups->items[index];
    text_addf(out, "%s\n%s  \"group_%d\": {\n%s    \"format\": \"%s\",\n%s    \"targets\": ", index ? "," : "", indent,
              index, indent, format_name(s), indent);
    add_targets(groups, index, out);
    text_addf(out, ",\n%s    \"weights\": ", indent);
    add_numbers(out, s->bits, s->symmetric, strategies[s->granularity], s->group, false);
    text_addf(out, ",\n%s    \"input_activations\": ", indent);
    if (s->activations == POLICY_NONE)
        text_addf(out, "null");
    else
        add_numbers(out, 8, true, s->activations == POLICY_TOKEN ? "token" : "tensor", 0,
                    s->activations == POLICY_TOKEN);
    text_addf(out, ",\n%s    \"output_activations\": null\n%s  }", indent, indent);
}

const char *ct_whole_format(const CtGroups *groups) {
    for (int i = 1; i < groups->count; i++)
        if (groups->items[i].packed != groups->items[0].packed) return "mixed-precision";
    return groups->count ? format_name(&groups->items[0]) : "dense";
}

void ct_groups_print(const CtGroups *groups, const char *indent, Text *out) {
    text_addf(out, "%s\"ignore\": ", indent);
    add_targets(groups, -1, out);
    text_addf(out, ",\n%s\"config_groups\": {", indent);
    for (int i = 0; i < groups->count; i++) add_group(groups, i, indent, out);
    text_addf(out, "\n%s}", indent);
}
