#include "analysis/speed_map.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

bool speed_pays(const Spread *ratio) { return ratio->least > 1; }

// How many batches pay, from the smallest on; −1 while that is not known.
static int paying(const SpeedMap *map, int context) {
    int count = 0;
    while (count < map->batch_count && map->ratio[count][context].median > 0 && speed_pays(&map->ratio[count][context]))
        count++;
    return count == map->batch_count || map->ratio[count][context].median > 0 ? count : -1;
}

__attribute__((format(printf, 3, 4))) static void add(char *out, size_t size, const char *format, ...) {
    const size_t length = strlen(out);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out + length, size - length, format, arguments);
    va_end(arguments);
}

// Where the range reaches over 1 it is not known which is faster.
static void add_reach(const SpeedMap *map, int count, bool unsure, char *out, size_t size) {
    const char *until = unsure ? "not for sure" : "not";
    if (count == map->batch_count)
        add(out, size, "at every batch");
    else if (count == 0)
        add(out, size, "%s at batch %zu,", until, map->batches[0]);
    else
        add(out, size, "up to batch %zu, %s at %zu,", map->batches[count - 1], until, map->batches[count]);
}

static bool is_unsure(const SpeedMap *map, int count, int context) {
    return count >= 0 && count < map->batch_count && map->ratio[count][context].most > 1;
}

void speed_map_words(const SpeedMap *map, char *out, size_t size) {
    bool told[SPEED_MAP_MOST] = {false};
    *out = '\0';
    for (int i = 0; i < map->context_count; i++) {
        const int count = paying(map, i);
        if (told[i] || count < 0) continue;
        if (*out) add(out, size, "; ");
        const bool unsure = is_unsure(map, count, i);
        add_reach(map, count, unsure, out, size);
        const char *before = " at context ";
        for (int k = i; k < map->context_count; k++) {
            if (paying(map, k) != count || is_unsure(map, count, k) != unsure) continue;
            add(out, size, "%s%zu", before, map->contexts[k]);
            before = ", ";
            told[k] = true;
        }
    }
}

// ---- measuring ----

static int cells_missing(const SpeedMap *map) {
    int missing = 0;
    for (int b = 0; b < map->batch_count; b++) {
        for (int c = 0; c < map->context_count; c++) missing += !(map->ratio[b][c].median > 0);
    }
    return missing;
}

bool speed_map_measure(Transformer *first, Transformer *second, double seconds, SpeedMap *map,
                       void (*partial)(void *, const SpeedMap *), void *context, Progress *progress, Error *err) {
    progress_begin(progress, "timing", (uint64_t)cells_missing(map));
    for (int b = 0; b < map->batch_count; b++) {
        for (int c = 0; c < map->context_count; c++) {
            const SpeedCase at = {.batch = map->batches[b], .context = map->contexts[c]};
            DecodeSpeed speed;
            if (map->ratio[b][c].median > 0) continue;
            if (!decode_speed(first, second, &at, seconds, NULL, NULL, &speed, progress, err)) return false;
            map->ratio[b][c] = speed.ratio;
            if (partial) partial(context, map);
            if (!progress_add(progress, 1)) return error_stopped(err);
        }
    }
    return true;
}
