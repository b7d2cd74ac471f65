#include "quant/linear_index.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/hash.h"
#include "quant/recipe.h"

#define WILDCARDS "*?["

// ---- by name ----

bool name_table_new(const ModelStructure *structure, NameTable *out) {
    size_t slots = 2;
    while (slots < 2 * (size_t)structure->linear_count) slots *= 2;
    *out = (NameTable){.structure = structure, .slots = array_new(slots, sizeof *out->slots), .mask = slots - 1};
    for (int i = 0; out->slots && i < structure->linear_count; i++) {
        size_t at = hash_text(HASH_START, structure->linears[i].name) & out->mask;
        while (out->slots[at]) at = (at + 1) & out->mask;
        out->slots[at] = i + 1;
    }
    return out->slots;
}

void name_table_free(NameTable *table) { free(table->slots); }

// What a glob asks of the ends of a name is asked first: it settles most of them.
static int match_all(const ModelStructure *structure, const char *glob, int *linears) {
    const size_t head = strcspn(glob, WILDCARDS);
    const char *tail = glob + strlen(glob);
    while (tail > glob && !strchr(WILDCARDS "]", tail[-1])) tail--;
    const size_t tail_length = strlen(tail);
    int count = 0;
    for (int i = 0; i < structure->linear_count; i++) {
        const char *name = structure->linears[i].name;
        if (strncmp(name, glob, head) != 0) continue;
        const size_t rest = strlen(name + head);
        if (rest < tail_length || memcmp(name + head + rest - tail_length, tail, tail_length) != 0) continue;
        if (glob_matches(glob, name)) linears[count++] = i;
    }
    return count;
}

int name_table_match(const NameTable *table, const char *glob, int *linears) {
    const ModelStructure *structure = table->structure;
    if (strpbrk(glob, WILDCARDS)) return match_all(structure, glob, linears);
    int count = 0;
    size_t at = hash_text(HASH_START, glob) & table->mask;
    for (; table->slots[at]; at = (at + 1) & table->mask) {
        const int i = table->slots[at] - 1;
        if (strcmp(glob, structure->linears[i].name) == 0) linears[count++] = i;
    }
    return count;
}

// ---- by kind ----

// Digits up to the next dot, as a person writes a number; 0: the part is no number.
static size_t number_length(const char *part) {
    const size_t digits = strspn(part, "0123456789");
    const bool whole = digits && digits <= 9 && (part[digits] == '.' || part[digits] == '\0');
    return whole && (digits == 1 || *part != '0') ? digits : 0;
}

static NumberedName numbered(const ModelStructure *structure, int linear) {
    NumberedName n = {.linear = linear, .kind = HASH_START};
    const char *part = structure->linears[linear].name;
    while (*part) {
        const size_t number = n.count < NAME_NUMBERS_MOST ? number_length(part) : 0;
        const size_t length = number ? number : strcspn(part, ".");
        if (number) n.numbers[n.count++] = (int)strtol(part, NULL, 10);
        n.kind = number ? hash_text(n.kind, "*") : hash_bytes(n.kind, part, length);
        part += length + (part[length] == '.');
    }
    return n;
}

static int by_kind_and_numbers(const void *a, const void *b) {
    const NumberedName *x = a, *y = b;
    if (x->kind != y->kind) return x->kind < y->kind ? -1 : 1;
    for (int i = 0; i < NAME_NUMBERS_MOST; i++) {
        if (x->numbers[i] != y->numbers[i]) return x->numbers[i] < y->numbers[i] ? -1 : 1;
    }
    return x->linear - y->linear;
}

// Kinds are numbered by their first linears, so that rules stand in the order of the model.
static void number_kinds(NumberedName *names, int count) {
    for (int i = 0, end; i < count; i = end) {
        int first = names[i].linear;
        for (end = i; end < count && names[end].kind == names[i].kind; end++)
            if (names[end].linear < first) first = names[end].linear;
        for (int j = i; j < end; j++) names[j].kind = (uint64_t)first;
    }
}

bool linear_index_new(const ModelStructure *structure, LinearIndex *out, Error *err) {
    const size_t count = (size_t)structure->linear_count;
    *out = (LinearIndex){.by_kind = array_new(count, sizeof *out->by_kind)};
    if (!out->by_kind || !name_table_new(structure, &out->table)) return error_memory(err, "the names of the linears");
    for (size_t i = 0; i < count; i++) out->by_kind[i] = numbered(structure, (int)i);
    qsort(out->by_kind, count, sizeof *out->by_kind, by_kind_and_numbers);
    number_kinds(out->by_kind, structure->linear_count);
    qsort(out->by_kind, count, sizeof *out->by_kind, by_kind_and_numbers);
    return true;
}

void linear_index_free(LinearIndex *index) {
    name_table_free(&index->table);
    free(index->by_kind);
}

// ---- globs ----

void globs_free(Globs *globs) {
    for (size_t i = 0; i < globs->count; i++) free(globs->texts[i]);
    free(globs->texts);
    *globs = (Globs){0};
}

static bool globs_add(Globs *globs, const char *text) {
    char *copy = strdup(text);
    if (!copy || !array_grow(&globs->texts, globs->count, &globs->capacity, sizeof *globs->texts)) {
        free(copy);
        return false;
    }
    globs->texts[globs->count++] = copy;
    return true;
}

// A set of digits: "7", "[0-4]", "[0-359]".
static void put_digits(unsigned set, Text *out) {
    const bool one = (set & (set - 1)) == 0;
    if (!one) text_add(out, "[", 1);
    for (int d = 0; d < 10; d++) {
        int last = d;
        if (!(set >> d & 1)) continue;
        while (last < 9 && set >> (last + 1) & 1) last++;
        text_addf(out, last > d + 1 ? "%d-%d" : last > d ? "%d%d" : "%d", d, last);
        d = last;
    }
    if (!one) text_add(out, "]", 1);
}

// Numbers below 10 · unit, ascending, from … to of each first digit.
static void split_by_digit(const int *numbers, int count, int unit, int from[11]) {
    from[0] = 0;
    for (int d = 0, i = 0; d < 10; d++) {
        while (i < count && numbers[i] / unit == d) i++;
        from[d + 1] = i;
    }
}

static bool same_rests(const int *a, int a_count, const int *b, int b_count, int unit) {
    bool same = a_count == b_count;
    for (int i = 0; same && i < a_count; i++) same = a[i] % unit == b[i] % unit;
    return same;
}

// Patterns for numbers of as many digits as 10 · unit has zeros, leading zeros included. First digits that leave the
// same rests are one pattern: 40 … 79 is [4-7][0-9].
static bool add_patterns(const char *before, int *numbers, int count, int unit, Globs *out) {
    if (unit == 0) return globs_add(out, before);
    int from[11];
    unsigned done = 0;
    bool ok = true;
    split_by_digit(numbers, count, unit, from);
    for (int d = 0; ok && d < 10; d++) {
        const int here = from[d + 1] - from[d];
        if (here == 0 || done >> d & 1) continue;
        unsigned alike = 0;
        for (int e = d; e < 10; e++) {
            if (same_rests(numbers + from[d], here, numbers + from[e], from[e + 1] - from[e], unit)) alike |= 1U << e;
        }
        done |= alike;
        Text text = {0};
        text_addf(&text, "%s", before);
        put_digits(alike, &text);
        for (int i = from[d]; i < from[d + 1]; i++) numbers[i] %= unit;
        ok = !text.failed && add_patterns(text.data, numbers + from[d], here, unit / 10, out);
        for (int i = from[d]; i < from[d + 1]; i++) numbers[i] += d * unit;
        text_free(&text);
    }
    return ok;
}

// Patterns for ascending numbers, which may have one digit and several.
static bool number_patterns(int *numbers, int count, Globs *out) {
    bool ok = true;
    for (int i = 0, unit = 1; ok && i < count; unit *= 10) {
        int end = i;
        while (end < count && numbers[end] / unit < 10) end++;
        if (end > i) ok = add_patterns("", numbers + i, end - i, unit, out);
        i = end;
    }
    return ok;
}

// What globs are sought for: the linears of one kind that are in the set.
typedef struct Cover {
    const LinearIndex *index;
    int everywhere[NAME_NUMBERS_MOST]; // different numbers that the model has at this place; 0: no * may stand there
    const char *parts[NAME_NUMBERS_MOST];
    Globs *out;
} Cover;

static const char *name_of(const LinearIndex *index, const NumberedName *n) {
    return index->table.structure->linears[n->linear].name;
}

static bool emit(const Cover *c, const NumberedName *n) {
    Text glob = {0};
    const char *part = name_of(c->index, n);
    for (int i = 0; *part;) {
        const size_t number = i < n->count ? number_length(part) : 0;
        const size_t length = number ? number : strcspn(part, ".");
        if (number)
            text_addf(&glob, "%s", c->parts[i++]);
        else
            text_add(&glob, part, length);
        part += length;
        if (*part) text_add(&glob, part++, 1);
    }
    const bool ok = !glob.failed && globs_add(c->out, glob.data);
    text_free(&glob);
    return ok;
}

static int end_of_value(const NumberedName *members, int count, int level) {
    int end = 1;
    while (end < count && members[end].numbers[level] == members[0].numbers[level]) end++;
    return end;
}

static bool same_tails(const NumberedName *a, const NumberedName *b, int count, int level) {
    for (int i = 0; i < count; i++) {
        const size_t at = (size_t)level + 1;
        if (memcmp(a[i].numbers + at, b[i].numbers + at, (NAME_NUMBERS_MOST - at) * sizeof *a->numbers) != 0)
            return false;
    }
    return true;
}

// members agree in their numbers before `level`. Numbers there that are followed by the same ones are taken together.
static bool cover(Cover *c, const NumberedName *members, int count, int level) {
    if (level == members->count || level == NAME_NUMBERS_MOST) return emit(c, members);
    int *numbers = array_new((size_t)count, sizeof *numbers);
    bool *done = array_new((size_t)count, sizeof *done);
    bool ok = numbers && done;
    for (int i = 0, length; ok && i < count; i += length) {
        int alike = 0;
        length = end_of_value(members + i, count - i, level);
        if (done[i]) continue;
        for (int j = i, other; j < count; j += other) {
            other = end_of_value(members + j, count - j, level);
            if (done[j] || other != length || !same_tails(members + i, members + j, length, level)) continue;
            done[j] = true;
            numbers[alike++] = members[j].numbers[level];
        }
        Globs patterns = {0};
        ok = alike == c->everywhere[level] ? globs_add(&patterns, "*") : number_patterns(numbers, alike, &patterns);
        for (size_t p = 0; ok && p < patterns.count; p++) {
            c->parts[level] = patterns.texts[p];
            ok = cover(c, members + i, length, level + 1);
        }
        globs_free(&patterns);
    }
    free(numbers);
    free(done);
    return ok;
}

static int ascending(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static int different_numbers(const NumberedName *kind, int count, int level, int *scratch) {
    int different = 0;
    for (int i = 0; i < count; i++) scratch[i] = kind[i].numbers[level];
    qsort(scratch, (size_t)count, sizeof *scratch, ascending);
    for (int i = 0; i < count; i++) different += i == 0 || scratch[i] != scratch[i - 1];
    return different;
}

static bool matches_only_set(const LinearIndex *index, const bool *set, const char *glob, int *scratch) {
    const int count = name_table_match(&index->table, glob, scratch);
    for (int i = 0; i < count; i++) {
        if (!set[scratch[i]]) return false;
    }
    return count > 0;
}

// A * may match more than the numbers that it stands for, as it matches dots; then there is none.
static bool cover_kind(Cover *c, const bool *set, const NumberedName *kind, int kind_count, NumberedName *members,
                       int *scratch) {
    int count = 0;
    for (int i = 0; i < kind_count; i++) {
        if (set[kind[i].linear]) members[count++] = kind[i];
    }
    if (count == 0) return true;
    const size_t first = c->out->count;
    // A number that stands only once says more than a *. Wildcards in the name itself are none.
    for (int level = 0; level < kind->count; level++) {
        const int different = different_numbers(kind, kind_count, level, scratch);
        c->everywhere[level] = different > 1 ? different : 0;
    }
    bool ok = true;
    if (!strpbrk(name_of(c->index, members), WILDCARDS)) ok = cover(c, members, count, 0);
    bool exact = ok && c->out->count > first;
    for (size_t i = first; exact && i < c->out->count; i++)
        exact = !strchr(c->out->texts[i], '*') || matches_only_set(c->index, set, c->out->texts[i], scratch);
    if (!ok || exact) return ok;
    while (c->out->count > first) free(c->out->texts[--c->out->count]);
    for (int i = 0; ok && i < count; i++) ok = globs_add(c->out, name_of(c->index, &members[i]));
    return ok;
}

// What the names of the set begin and end with, in whole parts: half a number or half a word would be chance.
static int shared_ends(const LinearIndex *index, const bool *set, const char **first, size_t *head, size_t *tail) {
    const ModelStructure *structure = index->table.structure;
    int count = 0;
    size_t first_length = 0;
    for (int i = 0; i < structure->linear_count; i++) {
        if (!set[i]) continue;
        const char *name = structure->linears[i].name;
        const size_t length = strlen(name);
        if (count++ == 0) {
            *first = name;
            *head = *tail = first_length = length;
        }
        size_t same = 0;
        while (same < *head && name[same] == (*first)[same]) same++;
        *head = same;
        same = 0;
        while (same < *tail && same < length && name[length - same - 1] == (*first)[first_length - same - 1]) same++;
        *tail = same;
    }
    while (*head > 0 && (*first)[*head - 1] != '.') --*head;
    while (*tail > 0 && (*first)[first_length - *tail] != '.' && (*first)[first_length - *tail] != '_') --*tail;
    return count;
}

// "*", "model.layers.3.*" or "model.layers.*_proj", where that matches no other.
static bool cover_at_once(const LinearIndex *index, const bool *set, int *scratch, Globs *out, bool *covered) {
    const char *first = "";
    size_t head = 0, tail = 0;
    const int count = shared_ends(index, set, &first, &head, &tail);
    bool ok = true;
    for (int ends = 0; ok && !*covered && count > 1 && ends < 2; ends++) {
        Text glob = {0};
        text_add(&glob, first, head);
        text_addf(&glob, "*%s", ends ? first + strlen(first) - tail : "");
        ok = !glob.failed;
        *covered = ok && !strpbrk(first, WILDCARDS) && head + tail < strlen(first) &&
                   matches_only_set(index, set, glob.data, scratch) &&
                   name_table_match(&index->table, glob.data, scratch) == count;
        if (*covered) ok = globs_add(out, glob.data);
        text_free(&glob);
    }
    return ok;
}

static bool cover_all(const LinearIndex *index, const bool *set, NumberedName *members, int *scratch, Globs *out) {
    const int total = index->table.structure->linear_count;
    bool covered = false, ok = cover_at_once(index, set, scratch, out, &covered);
    for (int i = 0, count; ok && !covered && i < total; i += count) {
        Cover c = {.index = index, .out = out};
        for (count = 1; i + count < total && index->by_kind[i + count].kind == index->by_kind[i].kind;) count++;
        ok = cover_kind(&c, set, index->by_kind + i, count, members, scratch);
    }
    return ok;
}

bool linear_index_globs(const LinearIndex *index, const bool *set, Globs *out, Error *err) {
    const size_t total = (size_t)index->table.structure->linear_count;
    int *scratch = array_new(total, sizeof *scratch);
    NumberedName *members = array_new(total, sizeof *members);
    *out = (Globs){0};
    const bool ok = scratch && members && cover_all(index, set, members, scratch, out);
    free(scratch);
    free(members);
    return ok || error_memory(err, "the rules of the recipe");
}
