#include "analysis/kept_base.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/stats_file.h"

#define KEPT_TEXTS_TOTAL ((size_t)1 << 20)

// ---- States ----

static void forget_states(float **states, size_t count) {
    for (size_t w = 0; w < count; w++) {
        free(states[w]);
        states[w] = NULL;
    }
}

static bool get_states(StatsReader *r, float **states, size_t most, size_t floats) {
    uint64_t count = stats_get_number(r);
    if (stats_get_number(r) != floats) return false;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t w = stats_get_number(r);
        if (r->bad) return false;
        if (w >= most) { // this evaluator keeps fewer
            if (r->left < floats * sizeof(float)) return false;
            r->at += floats * sizeof(float);
            r->left -= floats * sizeof(float);
            continue;
        }
        if (states[w]) return false;
        states[w] = stats_get_array(r, floats, sizeof(float));
        if (!states[w] || !floats_finite(states[w], floats)) return false;
    }
    return r->left == 0 && count > 0;
}

bool kept_states_read(const char *folder, uint64_t key, float **states, size_t most, size_t floats) {
    StatsReader reader;
    char *data = stats_file_read(folder, STATS_STATES, key, &reader);
    if (!data) return false;
    bool ok = get_states(&reader, states, most, floats);
    if (!ok) forget_states(states, most);
    free(data);
    return ok;
}

bool kept_states_write(const char *folder, uint64_t key, float *const *states, size_t count, size_t floats,
                       Error *err) {
    Text file = {0};
    uint64_t known = 0;
    for (size_t w = 0; w < count; w++) known += states[w] != NULL;
    if (known * floats * sizeof(float) > KEPT_STATES_MOST) return error_set(err, "the states are too large to be kept");
    stats_file_begin(&file);
    stats_put_number(&file, known);
    stats_put_number(&file, floats);
    for (size_t w = 0; w < count; w++) {
        if (!states[w]) continue;
        stats_put_number(&file, w);
        stats_put(&file, states[w], floats * sizeof(float));
    }
    bool ok = stats_file_write(folder, STATS_STATES, key, &file, err);
    if (ok) stats_file_prune(folder, STATS_STATES, key, KEPT_STATES_TOTAL);
    text_free(&file);
    return ok;
}

// ---- Texts ----

static bool get_text(StatsReader *r, size_t vocab, Generated *out) {
    const uint64_t count = stats_get_number(r), ended = stats_get_number(r);
    out->ids = stats_get_array(r, count, sizeof *out->ids);
    out->probabilities = stats_get_array(r, count, sizeof *out->probabilities);
    if (r->bad || r->left || ended > 1) return false;
    out->count = out->capacity = (size_t)count;
    out->ended = ended;
    bool ok = true;
    for (size_t i = 0; i < out->count; i++)
        ok &=
            out->ids[i] >= 0 && (size_t)out->ids[i] < vocab && out->probabilities[i] >= 0 && out->probabilities[i] <= 1;
    return ok;
}

bool kept_text_read(const char *folder, uint64_t key, size_t vocab, Generated *out) {
    StatsReader reader;
    *out = (Generated){0};
    char *data = stats_file_read(folder, STATS_TEXT, key, &reader);
    if (!data) return false;
    bool ok = get_text(&reader, vocab, out);
    if (!ok) generated_free(out);
    free(data);
    return ok;
}

bool kept_text_write(const char *folder, uint64_t key, const Generated *text, Error *err) {
    Text file = {0};
    stats_file_begin(&file);
    stats_put_number(&file, text->count);
    stats_put_number(&file, text->ended);
    stats_put(&file, text->ids, text->count * sizeof *text->ids);
    stats_put(&file, text->probabilities, text->count * sizeof *text->probabilities);
    bool ok = stats_file_write(folder, STATS_TEXT, key, &file, err);
    if (ok) stats_file_prune(folder, STATS_TEXT, key, KEPT_TEXTS_TOTAL);
    text_free(&file);
    return ok;
}
