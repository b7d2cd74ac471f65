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

static Member member_of(const Linear *linear, int kind, int index) {
    const char *last = last_part(linear->name);
    uint64_t key = hash_bytes(HASH_START, &kind, sizeof kind);
    key = kind < FUSED ? hash_bytes(key, linear->name, (size_t)(last - linear->name))
                       : hash_bytes(key, &linear->layer, sizeof linear->layer);
    if (kind == OF_ROLE) key = hash_bytes(key, &linear->role, sizeof linear->role);
    return (Member){.key = key, .kind = kind, .linear = index};
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

// All that a linear is in, set by set; room for two of each.
static size_t list_members(const ModelStructure *s, Member *members) {
    size_t count = 0;
    for (int i = 0; i < s->linear_count; i++) {
        const Linear *linear = &s->linears[i];
        const int kind = fused_kind(last_part(linear->name));
        if (linear->expert >= 0) { // engines have all experts of a layer in one
            members[count++] = member_of(linear, OF_EXPERTS, i);
            members[count++] = member_of(linear, OF_ROLE, i);
        } else if (kind >= 0) {
            members[count++] = member_of(linear, kind, i);
        }
    }
    qsort(members, count, sizeof *members, compare_members);
    return count;
}

bool sets_find(Case *c, Error *err) {
    Member *members = array_new(2 * (size_t)c->structure->linear_count, sizeof *members);
    if (!members) return error_memory(err, "the verdict");
    const size_t count = list_members(c->structure, members);
    for (int i = 0; i < c->structure->linear_count; i++) c->fused_out[i] = c->structure->linears[i].out;
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first + 1; end < count && members[end].key == members[first].key;) end++;
        judge_set(c, members + first, end - first);
    }
    free(members);
    return true;
}

// Whether a rule of one of the targets asks sets of this kind to agree.
static bool is_bound(const VerdictWish *wish, int kind) {
    const RuleId id = kind < FUSED ? RULE_FUSED_BITS : kind == OF_EXPERTS ? RULE_EXPERTS_DIFFER : RULE_EXPERTS_STACKED;
    const Targets targets = wish->targets & targets_of_format(wish->format);
    return verdict_rules[id].targets & targets && verdict_rules[id].formats >> wish->format & 1;
}

bool verdict_join(const ModelStructure *structure, const VerdictWish *wish, int *unit, Error *err) {
    Member *members = array_new(2 * (size_t)structure->linear_count, sizeof *members);
    if (!members) return error_memory(err, "the verdict");
    const size_t count = list_members(structure, members);
    for (size_t i = 1; i < count; i++)
        if (members[i].key == members[i - 1].key && is_bound(wish, members[i].kind))
            units_join(unit, members[i - 1].linear, members[i].linear);
    free(members);
    return true;
}
