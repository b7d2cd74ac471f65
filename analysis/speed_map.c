#include "analysis/speed_map.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/memory.h"

// Puts them in order, each once.
static int sort_axis(const size_t *from, int count, size_t *to) {
    int kept = 0;
    for (int i = 0; i < count; i++) {
        int at = 0;
        while (at < kept && to[at] < from[i]) at++;
        if (at < kept && to[at] == from[i]) continue;
        memmove(to + at + 1, to + at, (size_t)(kept - at) * sizeof *to);
        to[at] = from[i];
        kept++;
    }
    return kept;
}

SpeedMap speed_map_of(const size_t *batches, int batch_count, const size_t *contexts, int context_count) {
    SpeedMap map = {0};
    map.batch_count = sort_axis(batches, batch_count, map.batches);
    map.context_count = sort_axis(contexts, context_count, map.contexts);
    return map;
}

SpeedMap speed_map_usual(const ModelConfig *config) {
    static const size_t batches[] = {1, 8, 32}, contexts[] = {128, 1024, 2048};
    int fit = 0;
    while (fit < 3 && speed_cases_fit(&(SpeedCase){.batch = 1, .context = contexts[fit]}, 1, config, NULL)) fit++;
    static const size_t none[] = {0};
    return fit ? speed_map_of(batches, 3, contexts, fit) : speed_map_of(batches, 3, none, 1);
}

static int place(const size_t *axis, int count, size_t value) {
    int at = 0;
    while (at < count - 1 && axis[at] != value) at++;
    return at;
}

Spread *speed_map_at(SpeedMap *map, size_t batch, size_t context) {
    return &map->ratio[place(map->batches, map->batch_count, batch)][place(map->contexts, map->context_count, context)];
}

// ---- in words ----

bool speed_pays(const Spread *ratio) { return ratio->median > 1; }
bool speed_is_sure(const Spread *ratio) { return ratio->least > 1 || ratio->most < 1; }

// What is told of one context: how many batches pay from the smallest on, and whether the first that does not is known.
typedef struct Reach {
    int batches;
    bool ends, sure; // sure: of the batch at which it ends
} Reach;

static Reach reach_of(const SpeedMap *map, int context) {
    Reach reach = {0};
    while (reach.batches < map->batch_count && speed_pays(&map->ratio[reach.batches][context])) reach.batches++;
    const Spread *next = reach.batches < map->batch_count ? &map->ratio[reach.batches][context] : NULL;
    reach.ends = next && next->median > 0;
    reach.sure = reach.ends && speed_is_sure(next);
    return reach;
}

static bool same_reach(const Reach *a, const Reach *b) {
    return a->batches == b->batches && a->ends == b->ends && a->sure == b->sure;
}

__attribute__((format(printf, 3, 4))) static void add(char *out, size_t size, const char *format, ...) {
    const size_t length = strlen(out);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out + length, size - length, format, arguments);
    va_end(arguments);
}

static void add_reach(const SpeedMap *map, const Reach *reach, char *out, size_t size) {
    const char *until = reach->sure ? "not" : "not for sure";
    if (reach->batches) add(out, size, "up to batch %zu, ", map->batches[reach->batches - 1]);
    if (!reach->ends)
        add(out, size, "the largest timed,");
    else
        add(out, size, "%s at %s%zu,", until, reach->batches ? "" : "batch ", map->batches[reach->batches]);
}

void speed_map_words(const SpeedMap *map, char *out, size_t size) {
    bool told[SPEED_MAP_MOST] = {false};
    *out = '\0';
    for (int i = 0; i < map->context_count; i++) {
        const Reach reach = reach_of(map, i);
        if (told[i] || (!reach.batches && !reach.ends)) continue;
        if (*out) add(out, size, "; ");
        add_reach(map, &reach, out, size);
        const char *before = " at context ";
        for (int k = i; k < map->context_count; k++) {
            const Reach other = reach_of(map, k);
            if (!same_reach(&reach, &other)) continue;
            add(out, size, "%s%zu", before, map->contexts[k]);
            before = ", ";
            told[k] = true;
        }
    }
}

// ---- measuring ----

static bool is_missing(const SpeedMap *map, int b, int c) {
    const Spread *ratio = &map->ratio[b][c];
    return !(ratio->median > 0) && !(ratio->median < 0);
}

static int cells_missing(const SpeedMap *map) {
    int missing = 0;
    for (int b = 0; b < map->batch_count; b++) {
        for (int c = 0; c < map->context_count; c++) missing += is_missing(map, b, c);
    }
    return missing;
}

// Both variants have a cache. On a device, where there is less memory than here, making it may still fail.
static bool there_is_room(const ModelConfig *config, const SpeedCase *c) {
    return speed_cache_bytes(config, c) <= (double)memory_available() / 4;
}

// The last batches pay at some context, and there is room for twice as many sequences.
static bool goes_on(const SpeedMap *map, const ModelConfig *config) {
    const int last = map->batch_count - 1;
    bool pays = false;
    for (int c = 0; c < map->context_count; c++) pays = pays || speed_pays(&map->ratio[last][c]);
    const SpeedCase next = {.batch = 2 * map->batches[last], .context = map->contexts[0]};
    return pays && map->batch_count < SPEED_MAP_MOST && there_is_room(config, &next);
}

static bool measure_cell(Transformer *first, Transformer *second, double seconds, SpeedMap *map, int b, int c,
                         Progress *progress, Error *err) {
    const SpeedCase at = {.batch = map->batches[b], .context = map->contexts[c]};
    DecodeSpeed speed;
    if (!there_is_room(&transformer_structure(first)->config, &at)) {
        map->ratio[b][c].median = -1;
        return true;
    }
    if (!decode_speed(first, second, &at, seconds, NULL, NULL, &speed, progress, err)) return false;
    map->ratio[b][c] = speed.ratio;
    return true;
}

bool speed_map_measure(Transformer *first, Transformer *second, double seconds, SpeedMap *map,
                       void (*partial)(void *, const SpeedMap *), void *context, Progress *progress, Error *err) {
    const ModelConfig *config = &transformer_structure(first)->config;
    progress_begin(progress, "timing", (uint64_t)cells_missing(map));
    for (int b = 0; b < map->batch_count; b++) {
        for (int c = 0; c < map->context_count; c++) {
            if (!is_missing(map, b, c)) continue;
            if (!measure_cell(first, second, seconds, map, b, c, progress, err)) return false;
            if (partial) partial(context, map);
            if (!progress_add(progress, 1)) return error_stopped(err);
        }
        if (b + 1 < map->batch_count || !goes_on(map, config)) continue;
        map->batches[map->batch_count++] = 2 * map->batches[b];
        progress_extend(progress, (uint64_t)map->context_count);
    }
    return true;
}
