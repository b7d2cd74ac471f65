// The statistics of a whole model: one entry per linear and per linear input, and what a plan needs of them.
#include <math.h>
#include <stdlib.h>

#include "analysis/publish.h"
#include "base/array.h"
#include "quant/vote_counts.h"

bool model_stats_new(const ModelStructure *structure, ModelStats *out, Error *err) {
    size_t linears = (size_t)structure->linear_count;
    *out = (ModelStats){.linear_count = structure->linear_count, .input_count = structure->input_count};
    out->weights = array_new(linears, sizeof *out->weights);
    out->measured = (Measured){.weights = array_new(linears, sizeof *out->measured.weights),
                               .linear_count = structure->linear_count,
                               .input_count = structure->input_count};
    InputSet *set = input_set_new(structure->input_count);
    if (set) model_stats_take_inputs(out, set);
    if (out->weights && out->measured.weights && set) return true;
    model_stats_free(out);
    return error_memory(err, "the statistics of the model");
}

// ---- The set of inputs ----

InputSet *input_set_new(int count) {
    InputSet *set = array_new(1, sizeof *set);
    if (!set) return NULL;
    set->users = 1;
    set->count = count;
    set->inputs = array_new((size_t)count, sizeof *set->inputs);
    set->measured = array_new((size_t)count, sizeof *set->measured);
    if (set->inputs && set->measured) return set;
    input_set_release(set);
    return NULL;
}

InputSet *input_set_keep(InputSet *set) {
    atomic_fetch_add(&set->users, 1);
    return set;
}

static void input_stats_free(InputStats *input) {
    free(input->channel_absmax);
    free(input->channel_tokens);
    free(input->sample);
}

void input_set_release(InputSet *set) {
    if (!set || atomic_fetch_sub(&set->users, 1) > 1) return;
    for (int i = 0; set->inputs && i < set->count; i++) input_stats_free(&set->inputs[i]);
    free(set->inputs);
    free(set->measured);
    free(set);
}

void model_stats_take_inputs(ModelStats *stats, InputSet *set) {
    input_set_release(stats->set);
    stats->set = set;
    stats->inputs = set->inputs;
    stats->measured.inputs = set->measured;
}

void weight_stats_free(WeightStats *weight) {
    value_counts_free(&weight->counts);
    vote_counts_free(&weight->votes);
    free(weight->column_absmax);
    *weight = (WeightStats){0};
}

void model_stats_free(ModelStats *stats) {
    for (int i = 0; stats->weights && i < stats->linear_count; i++) weight_stats_free(&stats->weights[i]);
    free(stats->weights);
    free(stats->measured.weights);
    input_set_release(stats->set);
    *stats = (ModelStats){0};
}

void model_stats_publish_weight(ModelStats *stats, int linear) {
    WeightStats *weight = &stats->weights[linear];
    WeightMeasure *view = &stats->measured.weights[linear];
    view->absmax = (float)weight->absmax;
    view->min = (float)weight->min;
    view->max = (float)weight->max;
    view->nonfinite = weight->nonfinite;
    view->energy =
        (weight->std * weight->std + weight->mean * weight->mean) * (double)(weight->elements - weight->nonfinite);
    view->votes = weight->votes;
    view->column_absmax = weight->column_absmax;
    view->known = true;
    weight->known = true;
}

void input_set_publish(InputSet *set, int input) {
    InputStats *source = &set->inputs[input];
    InputMeasure *view = &set->measured[input];
    view->provisional = set->tokens < set->planned;
    view->tokens = source->tokens;
    view->width = source->width;
    view->range = source->range;
    view->p99 = source->p99;
    view->p99_9 = source->p99_9;
    view->p99_99 = source->p99_99;
    view->channel_absmax = source->channel_absmax;
    view->known = true;
    source->known = true;
}

double magnitude_edge(int bin) { return exp2((double)bin / MAGNITUDE_PER_OCTAVE + MAGNITUDE_LOW); }

int magnitude_bin(double magnitude) {
    if (!(magnitude > 0)) return 0;
    double place = floor((log2(magnitude) - MAGNITUDE_LOW) * MAGNITUDE_PER_OCTAVE);
    return place < 0 ? 0 : place >= MAGNITUDE_BINS ? MAGNITUDE_BINS - 1 : (int)place;
}

// Equal channels in order of their index, so that the list does not jump about.
static bool comes_before(const float *absmax, uint32_t a, uint32_t b) {
    return absmax[a] != absmax[b] ? absmax[a] > absmax[b] : a < b;
}

// Insertion into a short sorted list: callers ask for a handful of channels.
size_t input_top_channels(const InputStats *input, size_t most, uint32_t *index) {
    size_t n = 0;
    for (size_t j = 0; most && j < input->width; j++) {
        if (n == most && !comes_before(input->channel_absmax, (uint32_t)j, index[n - 1])) continue;
        size_t at = n < most ? n++ : n - 1;
        for (; at > 0 && comes_before(input->channel_absmax, (uint32_t)j, index[at - 1]); at--)
            index[at] = index[at - 1];
        index[at] = (uint32_t)j;
    }
    return n;
}
