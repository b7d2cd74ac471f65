#include "analysis/stats_cache.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/publish.h"
#include "analysis/stats_file.h"
#include "base/array.h"
#include "base/hash.h"
#include "quant/vote_counts.h"

// ---- Keys ----

static uint64_t hash_number(uint64_t hash, double number) { return hash_bytes(hash, &number, sizeof number); }

// config.json tells which rows of a matrix are whose, and how numbers that are quantized already are stored.
static uint64_t hash_model(const ModelStructure *structure, const char *kind, uint64_t checkpoint) {
    uint64_t hash = hash_number(hash_text(HASH_START, kind), STATS_VERSION);
    hash = hash_bytes(hash, &checkpoint, sizeof checkpoint);
    hash = hash_bytes(hash, &structure->config.identity, sizeof structure->config.identity);
    return hash_text(hash, structure->config.family);
}

static uint64_t base_key(const ModelStructure *structure, const char *kind) {
    return hash_model(structure, kind, structure->checkpoint->identity);
}

// One checkpoint has several lists of linears: another config.json, or none, makes another one of it.
uint64_t weight_stats_key(const ModelStructure *structure) {
    uint64_t hash = base_key(structure, "weights");
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        hash = hash_number(hash_number(hash_text(hash, linear->name), (double)linear->out), (double)linear->in);
    }
    return hash;
}

uint64_t inputs_model_key(const ModelStructure *structure) {
    return hash_model(structure, "inputs", structure->checkpoint->content);
}

uint64_t input_ids_key(const int32_t *ids, size_t sequences, size_t length) {
    const uint64_t hash = hash_number(hash_number(HASH_START, (double)sequences), (double)length);
    return hash_bytes(hash, ids, sequences * length * sizeof *ids);
}

uint64_t input_stats_key_of(const ModelStructure *structure, uint64_t ids, Precision precision, const char *backend) {
    const uint64_t hash = hash_text(base_key(structure, "inputs"), backend);
    return hash_bytes(hash_number(hash, precision), &ids, sizeof ids);
}

uint64_t input_stats_key(const ModelStructure *structure, const int32_t *ids, size_t sequences, size_t length,
                         Precision precision, const char *backend) {
    return input_stats_key_of(structure, input_ids_key(ids, sequences, length), precision, backend);
}

// Whoever adds a statistic writes, reads and checks it below, since one that is forgotten would be 0 from the second
// run on, and raises STATS_VERSION.
static_assert(sizeof(void *) != 8 || (sizeof(WeightStats) == 824 && sizeof(InputStats) == 4680),
              "is the new statistic kept, and does STATS_VERSION count the change?");

// ---- Writing ----

static void put_votes(Text *out, const VoteCounts *votes) {
    size_t steps = (size_t)votes->sizes_count - 1;
    stats_put_number(out, (uint64_t)votes->sizes_count);
    stats_put(out, votes->sizes, sizeof votes->sizes);
    stats_put(out, votes->parents, sizeof votes->parents);
    stats_put(out, votes->squares, sizeof votes->squares);
    for (int rule = 0; rule < VOTE_RULES; rule++) {
        stats_put(out, votes->votes[rule], steps * (VOTE_STEPS + 1) * sizeof *votes->votes[rule]);
    }
}

static void put_weight(Text *out, const WeightStats *w) {
    const double moments[] = {w->min, w->max, w->absmax, w->mean, w->std, w->kurtosis};
    stats_put_number(out, w->elements);
    stats_put_number(out, w->zeros);
    stats_put_number(out, w->nonfinite);
    stats_put_number(out, w->outliers_6sigma);
    stats_put(out, moments, sizeof moments);
    stats_put_number(out, w->counts.length);
    stats_put(out, w->counts.values, w->counts.length * sizeof *w->counts.values);
    stats_put(out, w->counts.counts, w->counts.length * sizeof *w->counts.counts);
    put_votes(out, &w->votes);
    stats_put_number(out, w->columns);
    stats_put(out, w->column_absmax, w->columns * sizeof *w->column_absmax);
}

static void put_input(Text *out, const InputStats *input) {
    const float figures[] = {input->range, input->p99, input->p99_9, input->p99_99};
    stats_put_number(out, input->width);
    stats_put_number(out, input->tokens);
    stats_put_number(out, input->sample_rows);
    stats_put(out, figures, sizeof figures);
    stats_put(out, input->magnitude, sizeof input->magnitude);
    stats_put(out, input->token_magnitude, sizeof input->token_magnitude);
    stats_put(out, input->channel_absmax, input->width * sizeof(float));
    stats_put(out, input->channel_tokens, input->width * sizeof(uint32_t));
    stats_put(out, input->sample, input->sample_rows * input->width * sizeof(float));
}

bool stats_cache_write_weights(const char *folder, uint64_t key, const ModelStats *stats, Error *err) {
    Text file = {0};
    stats_file_begin(&file);
    stats_put_number(&file, (uint64_t)stats->linear_count);
    bool ok = true;
    for (int i = 0; ok && i < stats->linear_count; i++) {
        ok = stats->weights[i].known || error_set(err, "not all weights are measured yet; statistics were not kept");
        if (ok) put_weight(&file, &stats->weights[i]);
    }
    ok = ok && stats_file_write(folder, STATS_WEIGHTS, key, &file, err);
    text_free(&file);
    return ok;
}

static bool put_inputs(Text *file, const ModelStats *stats, Error *err) {
    stats_put_number(file, (uint64_t)stats->input_count);
    for (int i = 0; i < stats->input_count; i++) {
        if (!stats->inputs[i].known) return error_set(err, "not all inputs were seen; statistics were not kept");
        put_input(file, &stats->inputs[i]);
    }
    return true;
}

bool stats_cache_write_inputs(const char *folder, uint64_t key, const ModelStats *stats, Error *err) {
    Text file = {0};
    stats_file_begin(&file);
    bool ok = put_inputs(&file, stats, err) && stats_file_write(folder, STATS_INPUTS, key, &file, err);
    text_free(&file);
    return ok;
}

// ---- Reading ----

static bool vote_arrays_plausible(const VoteCounts *votes, int step) {
    for (int rule = 0; rule < VOTE_RULES; rule++) {
        const uint32_t *row = votes->votes[rule] + (size_t)step * (VOTE_STEPS + 1);
        for (int k = 0; k <= VOTE_STEPS; k++) {
            if (row[k] > votes->parents[step] || (k && row[k] > row[k - 1])) return false;
        }
    }
    return true;
}

static bool votes_plausible(const VoteCounts *votes, const Linear *linear) {
    uint32_t sizes[LADDER_MAX];
    if (ladder_sizes(linear->in, LADDER_FLOOR, sizes) != votes->sizes_count) return false;
    for (int s = 0; s < votes->sizes_count; s++) {
        if (votes->sizes[s] != sizes[s]) return false;
        // The spread of a group is at least its absmax and at most twice that; sums round.
        double absmax = votes->squares[RANGE_ABSMAX][s], spread = votes->squares[RANGE_SPREAD][s];
        if (!(absmax >= 0 && spread >= absmax * 0.999 && spread <= absmax * 4.001 && spread <= DBL_MAX)) return false;
        if (s + 1 == votes->sizes_count) break;
        if (votes->parents[s] != (uint64_t)linear->out * (linear->in / sizes[s])) return false;
        if (!vote_arrays_plausible(votes, s)) return false;
    }
    return true;
}

static bool get_votes(StatsReader *r, const Linear *linear, VoteCounts *out) {
    uint64_t sizes_count = stats_get_number(r);
    if (sizes_count < 1 || sizes_count > LADDER_MAX) return false;
    out->sizes_count = (int)sizes_count;
    stats_get(r, out->sizes, sizeof out->sizes);
    stats_get(r, out->parents, sizeof out->parents);
    stats_get(r, out->squares, sizeof out->squares);
    size_t steps = (size_t)sizes_count - 1;
    for (int rule = 0; rule < VOTE_RULES && steps; rule++) {
        out->votes[rule] = stats_get_array(r, steps * (VOTE_STEPS + 1), sizeof *out->votes[rule]);
    }
    return !r->bad && votes_plausible(out, linear);
}

static bool counts_plausible(const WeightStats *w) {
    const ValueCounts *c = &w->counts;
    for (size_t i = 1; i < c->length; i++) {
        if (!(c->values[i - 1] < c->values[i])) return false;
    }
    return w->nonfinite <= w->elements && floats_finite(c->values, c->length) &&
           counts_sum_to(c->counts, c->length, w->elements - w->nonfinite);
}

static bool get_columns(StatsReader *r, const Linear *linear, WeightStats *out) {
    out->columns = (size_t)stats_get_number(r);
    if (out->columns != linear->in) return false;
    out->column_absmax = stats_get_array(r, out->columns, sizeof *out->column_absmax);
    if (!out->column_absmax) return false;
    float most = 0;
    for (size_t j = 0; j < out->columns; j++) {
        if (!(out->column_absmax[j] >= 0)) return false;
        most = fmaxf(most, out->column_absmax[j]);
    }
    return out->nonfinite > 0 || most == (float)out->absmax;
}

static bool get_weight(StatsReader *r, const Linear *linear, WeightStats *out) {
    double moments[6];
    out->elements = stats_get_number(r);
    out->zeros = stats_get_number(r);
    out->nonfinite = stats_get_number(r);
    out->outliers_6sigma = stats_get_number(r);
    stats_get(r, moments, sizeof moments);
    for (int i = 0; i < 6; i++) {
        if (!isfinite(moments[i])) return false;
    }
    out->min = moments[0], out->max = moments[1], out->absmax = moments[2];
    out->mean = moments[3], out->std = moments[4], out->kurtosis = moments[5];
    uint64_t length = stats_get_number(r);
    if (r->bad || length > 65536) return false;
    out->counts.values = stats_get_array(r, (size_t)length, sizeof *out->counts.values);
    out->counts.counts = stats_get_array(r, (size_t)length, sizeof *out->counts.counts);
    if (r->bad) return false;
    out->counts.length = (size_t)length;
    bool plausible = out->elements == (uint64_t)linear->out * linear->in && out->zeros <= out->elements &&
                     out->outliers_6sigma <= out->elements && out->min <= out->max && out->std >= 0 &&
                     out->absmax == fmax(fabs(out->min), fabs(out->max)) && counts_plausible(out);
    return plausible && get_votes(r, linear, &out->votes) && get_columns(r, linear, out);
}

static size_t input_width(const ModelStructure *structure, int input) {
    for (int i = 0; i < structure->linear_count; i++) {
        if (structure->linears[i].input == input) return structure->linears[i].in;
    }
    return 0;
}

static bool input_plausible(const InputStats *input) {
    float range = 0;
    for (size_t j = 0; j < input->width; j++) {
        if (!(input->channel_absmax[j] >= 0)) return false;
        range = fmaxf(range, input->channel_absmax[j]);
    }
    uint64_t values;
    return range == input->range && range <= FLT_MAX && input->p99 >= 0 && input->p99 <= input->p99_9 &&
           input->p99_9 <= input->p99_99 && input->p99_99 <= range &&
           !__builtin_mul_overflow(input->tokens, (uint64_t)input->width, &values) &&
           counts_sum_to(input->magnitude, MAGNITUDE_BINS, values) &&
           counts_sum_to(input->token_magnitude, MAGNITUDE_BINS, input->tokens) &&
           counts_at_most(input->channel_tokens, input->width, input->tokens) &&
           floats_finite(input->sample, input->sample_rows * input->width);
}

static bool get_input(StatsReader *r, size_t width, InputStats *out) {
    float figures[4];
    uint64_t stored_width = stats_get_number(r), tokens = stats_get_number(r), rows = stats_get_number(r);
    stats_get(r, figures, sizeof figures);
    stats_get(r, out->magnitude, sizeof out->magnitude);
    stats_get(r, out->token_magnitude, sizeof out->token_magnitude);
    if (r->bad || stored_width != width || !width || rows > SAMPLE_ROWS) return false;
    out->width = width;
    out->tokens = tokens;
    out->sample_rows = (size_t)rows;
    out->range = figures[0], out->p99 = figures[1], out->p99_9 = figures[2], out->p99_99 = figures[3];
    out->channel_absmax = stats_get_array(r, width, sizeof(float));
    out->channel_tokens = stats_get_array(r, width, sizeof(uint32_t));
    out->sample = stats_get_array(r, (size_t)rows * width, sizeof(float));
    return !r->bad && input_plausible(out);
}

// Both kinds alike: everything is read into fresh memory first, so that a file that turns out wrong in the middle
// leaves nothing behind.
bool stats_cache_read_weights(const char *folder, uint64_t key, const ModelStructure *structure, ModelStats *stats) {
    StatsReader reader;
    char *data = stats_file_read(folder, STATS_WEIGHTS, key, &reader);
    if (!data) return false;
    ModelStats fresh;
    bool ok = model_stats_new(structure, &fresh, NULL);
    if (ok) {
        ok = stats_get_number(&reader) == (uint64_t)structure->linear_count;
        for (int i = 0; ok && i < structure->linear_count; i++) {
            ok = get_weight(&reader, &structure->linears[i], &fresh.weights[i]);
        }
        ok = ok && reader.left == 0;
        for (int i = 0; ok && i < structure->linear_count; i++) {
            if (stats->weights[i].known) continue; // others may be reading it
            stats->weights[i] = fresh.weights[i];
            fresh.weights[i] = (WeightStats){0};
            model_stats_publish_weight(stats, i);
        }
        model_stats_free(&fresh);
    }
    free(data);
    return ok;
}

static bool get_inputs(StatsReader *reader, const ModelStructure *structure, InputSet *out) {
    bool ok = stats_get_number(reader) == (uint64_t)structure->input_count;
    for (int i = 0; ok && i < structure->input_count; i++) {
        ok = get_input(reader, input_width(structure, i), &out->inputs[i]);
        if (ok) input_set_publish(out, i);
    }
    return ok && reader->left == 0;
}

// What was read takes the place of the inputs, if all of it could be.
static bool end_reading(char *data, bool ok, InputSet *fresh, ModelStats *stats) {
    if (ok)
        model_stats_take_inputs(stats, fresh);
    else
        input_set_release(fresh);
    free(data);
    return ok;
}

bool stats_cache_read_inputs(const char *folder, uint64_t key, const ModelStructure *structure, ModelStats *stats) {
    StatsReader reader;
    char *data = stats_file_read(folder, STATS_INPUTS, key, &reader);
    if (!data) return false;
    InputSet *fresh = input_set_new(structure->input_count);
    bool ok = fresh && get_inputs(&reader, structure, fresh);
    return end_reading(data, ok, fresh, stats);
}

// ---- Files that people name ----

bool statistics_write(const char *path, const ModelStructure *structure, const CalibrationText *text,
                      const ModelStats *stats, Error *err) {
    Text file = {0};
    stats_file_begin(&file);
    stats_put(&file, text->name, sizeof text->name);
    stats_put_number(&file, text->chat);
    stats_put_number(&file, stats->set->tokens);
    bool ok = put_inputs(&file, stats, err) &&
              stats_file_save(path, STATS_STATISTICS, inputs_model_key(structure), &file, err);
    text_free(&file);
    return ok;
}

static bool get_statistics(StatsReader *reader, const ModelStructure *structure, CalibrationText *text, InputSet *out) {
    stats_get(reader, text->name, sizeof text->name);
    text->chat = stats_get_number(reader) != 0;
    out->tokens = out->planned = stats_get_number(reader);
    return !text->name[sizeof text->name - 1] && out->tokens && get_inputs(reader, structure, out);
}

bool statistics_read(const char *path, const ModelStructure *structure, CalibrationText *text, ModelStats *stats,
                     Error *err) {
    StatsReader reader;
    uint64_t key;
    char *data = stats_file_load(path, STATS_STATISTICS, &key, &reader, err);
    if (!data) return false;
    InputSet *fresh = input_set_new(structure->input_count);
    bool ok = fresh || error_memory(err, path);
    if (ok && key != inputs_model_key(structure)) ok = error_set(err, "%s: was measured on another model", path);
    if (ok && !get_statistics(&reader, structure, text, fresh)) ok = error_set(err, "%s: is damaged", path);
    return end_reading(data, ok, fresh, stats);
}
