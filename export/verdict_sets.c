// Linears that engines store as one, by their names, and how their decisions disagree.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "export/verdict_parts.h"

// Last parts of names that vLLM and SGLang put into one matrix; those of in_proj are Qwen 3.5's. A set of which only
// some are there is smaller.
static const char *const fused[][4] = {
    {"q_proj", "k_proj", "v_proj"}, {"gate_proj", "up_proj"},   {"w1", "w3"},
    {"in_proj_qkv", "in_proj_z"},   {"in_proj_b", "in_proj_a"},
};
enum { QKV, FUSED = sizeof fused / sizeof *fused, OF_EXPERTS = FUSED, OF_ROLE };

// A linear and the set it is in: members of a set have equal keys.
typedef struct Member {
    uint64_t key;
    int kind, linear;
} Member;

// All that linears are in, set by set.
typedef struct Members {
    Member *list;
    size_t count;
} Members;

static int compare_members(const void *a, const void *b) {
    const Member *x = a, *y = b;
    if (x->key != y->key) return x->key < y->key ? -1 : 1;
    return x->linear - y->linear;
}

static const char *last_part(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

static int fused_kind(const char *last) {
    for (int kind = 0; kind < FUSED; kind++)
        for (int i = 0; fused[kind][i]; i++)
            if (strcmp(fused[kind][i], last) == 0) return kind;
    return -1;
}

// Products of integers have a byte for each code.
static bool is_packed(const Decision *d) {
    return d->bits != 8 || d->granularity == GRANULARITY_GROUP || d->activations == POLICY_NONE;
}

// What a format holds of the size of groups: those that repeat scales know no larger ones.
static size_t group_in_file(ExportFormat format, const Decision *d) {
    size_t group = d->granularity == GRANULARITY_GROUP ? d->group : 0;
    switch (format) {
    case EXPORT_GGUF: return 0; // blocks of 32 everywhere
    case EXPORT_MLX:
        for (group = 128; group > 32 && d->group % group;) group /= 2;
        return group;
    case EXPORT_COMPRESSED_TENSORS: return d->granularity == GRANULARITY_TENSOR ? SIZE_MAX : group;
    case EXPORT_GPTQ: // one scale is as many as there are channels
    case EXPORT_DENSE:
    case EXPORT_FORMAT_COUNT: break;
    }
    return group;
}

static uint8_t difference(ExportFormat format, const Decision *a, const Decision *b) {
    const bool inputs = format_holds_inputs(format);
    if (!a->quantized && !b->quantized) return 0;
    if (a->quantized != b->quantized) return DIFFER_IGNORED;
    const bool weights = a->bits == b->bits && a->grid == b->grid &&
                         group_in_file(format, a) == group_in_file(format, b) &&
                         (!inputs || is_packed(a) == is_packed(b));
    return (uint8_t)((weights ? 0 : DIFFER_BITS) | (!inputs || a->activations == b->activations ? 0 : DIFFER_INPUTS));
}

static void widen(SetWish *wish, const Decision *d) {
    wish->ignored |= !d->quantized;
    if (!d->quantized) return;
    if (d->grid != GRID_ASYMMETRIC) wish->grid = GRID_SYMMETRIC;
    const size_t group = d->granularity == GRANULARITY_GROUP ? d->group : 0;
    if (d->bits > wish->bits) wish->bits = d->bits;
    if (group && (!wish->group || group < wish->group)) wish->group = group;
    wish->finer |= d->granularity != GRANULARITY_TENSOR;
    wish->token |= d->activations != POLICY_NONE;
}

// A group as wide as a matrix is its whole channel, and that is another scheme where others of the set are wider.
static void narrow(SetWish *wish, const Linear *linear) {
    while (wish->group > 16 && wish->group >= linear->in) wish->group /= 2;
}

static bool has_part(const Case *c, const Member *members, size_t count, const char *part) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(last_part(c->structure->linears[members[i].linear].name), part) == 0) return true;
    return false;
}

// Where k counts for v, too, or both are another layer's. Else a q alone is no set, whatever its family calls the
// others.
static bool lacks_v(const Case *c, const Member *members, size_t count) {
    const ModelStructure *s = c->structure;
    if (count == 1 && layer_shares(&s->config, s->linears[members[0].linear].layer))
        return has_part(c, members, count, "q_proj");
    return count == 2 && has_part(c, members, count, "q_proj") && has_part(c, members, count, "k_proj");
}

static void judge_set(Case *c, const Member *members, size_t count) {
    const Decision *decisions = c->plan->decisions;
    uint8_t differ = 0;
    size_t out = 0;
    SetWish wish = {.grid = GRID_ASYMMETRIC};
    for (size_t i = 0; i < count; i++) {
        differ |= difference(c->format, &decisions[members[0].linear], &decisions[members[i].linear]);
        widen(&wish, &decisions[members[i].linear]);
        out += c->structure->linears[members[i].linear].out;
    }
    for (size_t i = 0; i < count; i++) narrow(&wish, &c->structure->linears[members[i].linear]);
    const int kind = members[0].kind;
    if (kind == QKV && lacks_v(c, members, count)) differ |= DIFFER_MISSING;
    if (kind >= OF_EXPERTS && differ) differ = kind == OF_EXPERTS ? DIFFER_EXPERTS : DIFFER_STACKED;
    for (size_t i = 0; i < count; i++) {
        const int linear = members[i].linear;
        c->differ[linear] |= differ;
        if (kind != OF_ROLE) c->wish[linear] = wish;
        if (kind < FUSED) c->fused_out[linear] = out;
    }
}

static size_t list_fused(const ModelStructure *s, Member *list) {
    size_t count = 0;
    for (int i = 0; i < s->linear_count; i++) {
        const char *name = s->linears[i].name, *last = last_part(name);
        const int kind = s->linears[i].expert < 0 ? fused_kind(last) : -1;
        if (kind < 0) continue;
        const uint64_t key = hash_bytes(hash_bytes(HASH_START, &kind, sizeof kind), name, (size_t)(last - name));
        list[count++] = (Member){key, kind, i};
    }
    qsort(list, count, sizeof *list, compare_members);
    return count;
}

static int expert_layers(const ModelStructure *s) {
    int layers = 0;
    for (int i = 0; i < s->linear_count; i++)
        if (s->linears[i].expert >= 0 && s->linears[i].layer >= layers) layers = s->linears[i].layer + 1;
    return layers;
}

// Engines have all experts of a layer in one. There are thousands: they are put into their places without a search.
// first [layers, 1 + ROLE_COUNT]: where the set of a layer, and of each role in it, begins.
static void list_experts(const ModelStructure *s, int *first, Members *out) {
    const int sets = 1 + ROLE_COUNT, all = expert_layers(s) * sets;
    int place = (int)out->count;
    for (int i = 0; i < s->linear_count; i++) {
        const Linear *l = &s->linears[i];
        if (l->expert < 0) continue;
        first[l->layer * sets]++;
        first[l->layer * sets + 1 + (int)l->role]++;
        out->count += 2;
    }
    for (int set = 0; set < all; set++) {
        const int size = first[set];
        first[set] = place;
        place += size;
    }
    for (int i = 0; i < s->linear_count; i++) {
        const Linear *l = &s->linears[i];
        if (l->expert < 0) continue;
        const int layer = l->layer * sets, role = layer + 1 + (int)l->role;
        out->list[first[layer]++] = (Member){(uint64_t)layer, OF_EXPERTS, i};
        out->list[first[role]++] = (Member){(uint64_t)role, OF_ROLE, i};
    }
}

static bool list_members(const ModelStructure *s, Members *out, Error *err) {
    int *first = array_new((size_t)((expert_layers(s) + 1) * (1 + ROLE_COUNT)), sizeof *first);
    *out = (Members){.list = array_new(2 * (size_t)s->linear_count + 1, sizeof *out->list)};
    const bool ok = (first && out->list) || error_memory(err, "the verdict");
    if (ok) out->count = list_fused(s, out->list);
    if (ok) list_experts(s, first, out);
    free(first);
    return ok;
}

static bool is_same_set(const Member *a, const Member *b) { return a->key == b->key && a->kind == b->kind; }

bool sets_find(Case *c, Error *err) {
    Members m;
    const bool ok = list_members(c->structure, &m, err);
    for (int i = 0; i < c->structure->linear_count; i++) c->fused_out[i] = c->structure->linears[i].out;
    for (size_t first = 0, end; ok && first < m.count; first = end) {
        for (end = first + 1; end < m.count && is_same_set(&m.list[end], &m.list[first]);) end++;
        judge_set(c, m.list + first, end - first);
    }
    free(m.list);
    return ok;
}

// Whether a rule of one of the targets asks sets of this kind to agree.
static bool is_bound(const VerdictWish *wish, int kind) {
    const RuleId id = kind < FUSED ? RULE_FUSED_BITS : kind == OF_EXPERTS ? RULE_EXPERTS_DIFFER : RULE_EXPERTS_STACKED;
    const Targets targets = wish->targets & targets_of_format(wish->format);
    return verdict_rules[id].targets & targets && verdict_rules[id].formats >> wish->format & 1;
}

bool verdict_join(const ModelStructure *structure, const VerdictWish *wish, int *unit, Error *err) {
    Members m;
    const bool ok = list_members(structure, &m, err);
    for (size_t i = 1; ok && i < m.count; i++)
        if (is_same_set(&m.list[i], &m.list[i - 1]) && is_bound(wish, m.list[i].kind))
            units_join(unit, m.list[i - 1].linear, m.list[i].linear);
    free(m.list);
    return ok;
}
