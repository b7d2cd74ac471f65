#include "quant/difference.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quant/recipe_set.h"

// ---- what a recipe does to each linear ----------------------------------------------------------------------------

typedef struct Resolved {
    double (*settings)[DIAL_COUNT]; // [linear_count]
    bool *left;                     // [linear_count]: in its own precision
} Resolved;

static bool resolve(const Recipe *recipe, const NameTable *names, Resolved *out) {
    const size_t count = (size_t)names->structure->linear_count;
    *out = (Resolved){array_new(count, sizeof *out->settings), array_new(count, sizeof *out->left)};
    return out->settings && out->left && recipe_settings(recipe, names, out->settings, NULL) &&
           recipe_left_alone(recipe, names, out->left, NULL);
}

static void resolved_free(Resolved *resolved) {
    free(resolved->settings);
    free(resolved->left);
}

// ---- changes, and the linears that they are of --------------------------------------------------------------------

#define DIAL_LEFT DIAL_COUNT // in place of a dial: left in its own precision, 0 or 1

typedef struct Change {
    int dial;
    double from, to;
    bool *linears; // [linear_count]
    int count;
} Change;

typedef struct Changes {
    Change *items;
    size_t count, capacity;
    int considered; // linears that both quantize
    const Recipe *from;
    bool overridden; // only what its overrides had set
    bool beside;     // not bits, granularity and group size
    bool merged;     // whatever was before
    bool failed;
} Changes;

static void change_add(Changes *changes, int dial, double from, double to, const ModelStructure *structure,
                       int linear) {
    size_t i = 0;
    while (i < changes->count &&
           (changes->items[i].dial != dial || changes->items[i].from != from || changes->items[i].to != to))
        i++;
    if (i == changes->count) {
        bool *linears = array_new((size_t)structure->linear_count + 1, sizeof *linears);
        changes->failed = changes->failed || !linears ||
                          !array_grow(&changes->items, changes->count, &changes->capacity, sizeof *changes->items);
        if (changes->failed) {
            free(linears);
            return;
        }
        changes->items[changes->count++] = (Change){.dial = dial, .from = from, .to = to, .linears = linears};
    }
    changes->items[i].linears[linear] = true;
    changes->items[i].count++;
}

static void compare_linear(const Resolved *from, const Resolved *to, const ModelStructure *structure, int linear,
                           Changes *changes) {
    const bool before = from->left[linear], after = to->left[linear];
    const double *old = from->settings[linear], *new = to->settings[linear];
    if (before != after && !changes->overridden) change_add(changes, DIAL_LEFT, before, after, structure, linear);
    if (before || after) return;
    changes->considered++;
    for (int dial = 0; dial < DIAL_COUNT; dial++) {
        const bool asked = (!changes->overridden || old[dial] != changes->from->value[dial]) &&
                           !(changes->beside && dial_is_of_scheme(dial));
        if (asked && dial_table[dial].per_linear && old[dial] != new[dial])
            change_add(changes, dial, changes->merged ? 0 : old[dial], new[dial], structure, linear);
    }
}

// What was turned for all comes first, then by dial, in the order in which they were met.
static int change_rank(const Change *change, const Recipe *from, const Recipe *to) {
    const bool global =
        change->dial < DIAL_COUNT && from->value[change->dial] == change->from && to->value[change->dial] == change->to;
    return (global ? 0 : DIAL_COUNT + 1) + change->dial;
}

static void changes_sort(Changes *changes, const Recipe *from, const Recipe *to) {
    for (size_t i = 1; i < changes->count; i++) {
        const Change moved = changes->items[i];
        size_t j = i;
        for (; j > 0 && change_rank(&changes->items[j - 1], from, to) > change_rank(&moved, from, to); j--)
            changes->items[j] = changes->items[j - 1];
        changes->items[j] = moved;
    }
}

static void changes_free(Changes *changes) {
    for (size_t i = 0; i < changes->count; i++) free(changes->items[i].linears);
    free(changes->items);
}

// ---- words --------------------------------------------------------------------------------------------------------

#define KINDS_NAMED 3   // of a change: more are only counted
#define KINDS_OF_LIST 6 // of a list of linears, which has a line of its own

// The last part of a name: what linears of different layers have in common.
static const char *kind_of(const Linear *linear) {
    if (linear->layer < 0) return role_name(linear->role);
    const char *dot = strrchr(linear->name, '.');
    return dot ? dot + 1 : linear->name;
}

typedef struct Kinds {
    const char *names[KINDS_OF_LIST];
    int most, count; // most + 1: too many
} Kinds;

static int kind_index(const Kinds *kinds, const char *name) {
    for (int i = 0; i < kinds->count && i < kinds->most; i++)
        if (strcmp(kinds->names[i], name) == 0) return i;
    return -1;
}

static Kinds kinds_of(const bool *linears, const ModelStructure *structure, int most) {
    Kinds kinds = {.most = most};
    for (int i = 0; i < structure->linear_count && kinds.count <= most; i++) {
        if (!linears[i] || kind_index(&kinds, kind_of(&structure->linears[i])) >= 0) continue;
        if (kinds.count < most) kinds.names[kinds.count] = kind_of(&structure->linears[i]);
        kinds.count++;
    }
    return kinds;
}

// The layers that they are in: first and last, and whether they are all linears of these kinds there (NULL: of any
// kind) in a run without holes.
typedef struct Span {
    int first, last;
    bool whole, everywhere; // in this run; in the model
} Span;

static bool is_of_kinds(const Linear *linear, const Kinds *kinds) {
    return linear->quantizable && (!kinds || kind_index(kinds, kind_of(linear)) >= 0);
}

static Span span_of(const bool *linears, const ModelStructure *structure, const Kinds *kinds) {
    Span span = {.first = -1, .last = -1, .whole = true, .everywhere = true};
    for (int i = 0; i < structure->linear_count; i++) {
        if (!linears[i]) continue;
        const int layer = structure->linears[i].layer;
        if (span.first < 0 || layer < span.first) span.first = layer;
        if (layer > span.last) span.last = layer;
    }
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        if (linears[i] || !is_of_kinds(linear, kinds)) continue;
        span.everywhere = false;
        if (linear->layer >= span.first && linear->layer <= span.last) span.whole = false;
    }
    return span;
}

static void add_layers(Text *out, const char *before, Span span) {
    if (span.first == span.last)
        text_addf(out, "%slayer %d", before, span.first);
    else
        text_addf(out, "%slayers %d–%d", before, span.first, span.last);
}

static int first_of(const bool *linears) {
    int first = 0;
    while (!linears[first]) first++;
    return first;
}

// "down_proj", "down_proj of layers 3–5", "layer 3", "3.down_proj", "some down_proj"; false when only their number can
// be said.
static bool add_subject(Text *out, const bool *linears, int count, const ModelStructure *structure, int most) {
    char name[80];
    if (count == 1) {
        linear_short_name(&structure->linears[first_of(linears)], name, sizeof name);
        text_addf(out, "%s", name);
        return true;
    }
    const Kinds kinds = kinds_of(linears, structure, most);
    const Span all = span_of(linears, structure, NULL);
    if (all.whole && all.first >= 0) {
        add_layers(out, "", all);
        return true;
    }
    if (kinds.count > most) return false;
    const Span span = span_of(linears, structure, &kinds);
    const bool run = span.whole && span.first >= 0;
    if (!span.everywhere && !run) text_addf(out, "some ");
    for (int i = 0; i < kinds.count; i++) text_addf(out, "%s%s", i ? ", " : "", kinds.names[i]);
    if (!span.everywhere && run) add_layers(out, " of ", span);
    return true;
}

// "down_proj of layers 3–5 (3 linears)". linears NULL: only their number.
static void add_list(Text *out, const bool *linears, int count, const ModelStructure *structure) {
    const bool named = linears && count && add_subject(out, linears, count, structure, KINDS_OF_LIST);
    if (!named)
        text_addf(out, "%d linear%s", count, count == 1 ? "" : "s");
    else if (count > 1)
        text_addf(out, " (%d linears)", count);
}

void linears_describe(const ModelStructure *structure, const int *linears, int count, Text *out) {
    bool *listed = array_new((size_t)structure->linear_count, sizeof *listed);
    for (int i = 0; listed && i < count; i++) listed[linears[i]] = true;
    add_list(out, listed, count, structure);
    free(listed);
}

static void add_values(Text *out, int dial, double from, double to) {
    char old[64], new[64];
    if (dial == DIAL_LEFT) {
        text_addf(out, "%s", to != 0 ? "left alone" : "quantized");
        return;
    }
    dial_format((Dial)dial, from, old, sizeof old);
    dial_format((Dial)dial, to, new, sizeof new);
    text_addf(out, "%s %s → %s", dial_table[dial].label, old, new);
}

static void add_change(Text *out, const Change *change, const Changes *all, bool global,
                       const ModelStructure *structure) {
    const bool every = change->dial != DIAL_LEFT && change->count == all->considered;
    if (!every && !global && add_subject(out, change->linears, change->count, structure, KINDS_NAMED))
        text_add(out, " ", 1);
    add_values(out, change->dial, change->from, change->to);
    if (every) return;
    if (global)
        text_addf(out, " (%d of %d quantized)", change->count, all->considered);
    else if (change->count > 1)
        text_addf(out, " (%d linears)", change->count);
}

static int add_all(const Recipe *from, const Recipe *to, const Changes *changes, const ModelStructure *structure,
                   const char *between, Text *out) {
    int count = 0;
    for (int dial = 0; dial < DIAL_COUNT; dial++) { // dials of the whole model
        if (changes->overridden || dial_table[dial].per_linear || from->value[dial] == to->value[dial]) continue;
        text_addf(out, "%s", count++ ? between : "");
        add_values(out, dial, from->value[dial], to->value[dial]);
    }
    for (size_t i = 0; i < changes->count; i++) {
        const Change *change = &changes->items[i];
        text_addf(out, "%s", count++ ? between : "");
        add_change(out, change, changes, change_rank(change, from, to) < DIAL_COUNT, structure);
    }
    return count;
}

static bool find_changes(const Recipe *from, const Recipe *to, const ModelStructure *structure, Changes *changes) {
    NameTable names;
    Resolved before = {0}, after = {0};
    bool ok = name_table_new(structure, &names) && resolve(from, &names, &before) && resolve(to, &names, &after);
    for (int i = 0; ok && i < structure->linear_count; i++) compare_linear(&before, &after, structure, i, changes);
    resolved_free(&before);
    resolved_free(&after);
    name_table_free(&names);
    return ok && !changes->failed;
}

static int difference(const Recipe *to, Changes changes, const ModelStructure *structure, const char *between,
                      Text *out) {
    int count = 0;
    const bool ok = find_changes(changes.from, to, structure, &changes);
    changes_sort(&changes, changes.from, to);
    text_add(out, "", 0);
    if (ok)
        count = add_all(changes.from, to, &changes, structure, between, out);
    else
        out->failed = true;
    changes_free(&changes);
    return count;
}

static void add_setting(Text *out, int dial, double value) {
    char text[64];
    if (dial < DIAL_COUNT) dial_format((Dial)dial, value, text, sizeof text);
    if (dial == DIAL_LEFT)
        text_addf(out, "%s: ", value != 0 ? "left as it is" : "quantized");
    else
        text_addf(out, "%s %s: ", dial_table[dial].option, text);
}

static void add_listed(Text *out, const Change *change, const ModelStructure *structure) {
    if (change->count == 1)
        text_addf(out, "%s", structure->linears[first_of(change->linears)].name);
    else
        add_list(out, change->linears, change->count, structure);
    text_add(out, "\n", 1);
}

int recipe_new_settings(const Recipe *from, const Recipe *to, const ModelStructure *structure, Text *out) {
    Changes changes = {.from = from, .merged = true};
    int count = 0;
    text_add(out, "", 0);
    out->failed = !find_changes(from, to, structure, &changes) || out->failed;
    for (int dial = 0; dial < DIAL_COUNT; dial++) {
        if (dial_table[dial].per_linear || from->value[dial] == to->value[dial]) continue;
        add_setting(out, dial, to->value[dial]);
        text_addf(out, "the whole model\n");
        count++;
    }
    for (size_t i = 0; i < changes.count; i++, count++) {
        add_setting(out, changes.items[i].dial, changes.items[i].to);
        add_listed(out, &changes.items[i], structure);
    }
    changes_free(&changes);
    return count;
}

int recipe_difference(const Recipe *from, const Recipe *to, const ModelStructure *structure, const char *between,
                      Text *out) {
    return difference(to, (Changes){.from = from}, structure, between, out);
}

int recipe_taken_back(const Recipe *from, const Recipe *to, const ModelStructure *structure, const char *between,
                      Text *out) {
    return difference(to, (Changes){.from = from, .overridden = true}, structure, between, out);
}

int recipe_difference_beside(const Recipe *from, const Recipe *to, const ModelStructure *structure, const char *between,
                             Text *out) {
    return difference(to, (Changes){.from = from, .beside = true}, structure, between, out);
}
