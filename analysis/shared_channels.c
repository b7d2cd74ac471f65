#include "analysis/shared_channels.h"

#include <math.h>
#include <stdlib.h>

#include "analysis/statistics.h"
#include "base/array.h"

// What is gathered of every channel of the residual stream.
typedef struct Gathered {
    SharedChannel *channels;   // [hidden]
    const InputStats **inputs; // [out->input_count]
    float *medians;            // of them
} Gathered;

static const InputStats *stream_input(const ModelStructure *structure, const InputSet *set, const Norm *norm) {
    const InputStats *input = norm->input < 0 ? NULL : &set->inputs[norm->input];
    const bool seen = input && input->known && input->tokens && input->width == (size_t)structure->config.hidden;
    return seen ? input : NULL;
}

static bool list_inputs(const ModelStructure *structure, const InputSet *set, SharedChannels *out, Gathered *g,
                        Error *err) {
    const size_t most = (size_t)structure->norm_count;
    out->layers = array_new(most, sizeof *out->layers);
    g->inputs = array_new(most, sizeof(const InputStats *));
    g->medians = array_new(most, sizeof *g->medians);
    if (!out->layers || !g->inputs || !g->medians) return error_memory(err, "channels");
    for (size_t n = 0; n < most; n++) {
        const InputStats *input = stream_input(structure, set, &structure->norms[n]);
        if (!input) continue;
        if (!median_of(input->channel_absmax, input->width, &g->medians[out->input_count], err)) return false;
        g->inputs[out->input_count] = input;
        out->layers[out->input_count++] = structure->norms[n].layer;
    }
    return true;
}

static float ratio_in(const Gathered *g, int input, size_t channel) {
    return g->medians[input] > 0 ? g->inputs[input]->channel_absmax[channel] / g->medians[input] : 0;
}

static void gather(const SharedChannels *out, const Gathered *g, size_t channel, SharedChannel *of) {
    of->channel = (uint32_t)channel;
    for (int i = 0; i < out->input_count; i++) {
        const double ratio = (double)ratio_in(g, i, channel);
        if (!(ratio > out->factor)) continue;
        of->inputs++;
        of->largest_ratio = fmax(of->largest_ratio, ratio);
        of->token_share =
            fmax(of->token_share, (double)g->inputs[i]->channel_tokens[channel] / (double)g->inputs[i]->tokens);
    }
}

static int by_inputs(const void *a, const void *b) {
    const SharedChannel *x = a, *y = b;
    if (x->inputs != y->inputs) return y->inputs - x->inputs;
    if (x->largest_ratio != y->largest_ratio) return x->largest_ratio < y->largest_ratio ? 1 : -1;
    return (x->channel > y->channel) - (x->channel < y->channel);
}

static bool choose(size_t hidden, const Gathered *g, SharedChannels *out, Error *err) {
    const int least = out->input_count > 2 ? 2 : 1;
    for (size_t j = 0; j < hidden; j++) gather(out, g, j, &g->channels[j]);
    qsort(g->channels, hidden, sizeof *g->channels, by_inputs);
    while (out->count < SHARED_CHANNELS_MOST && (size_t)out->count < hidden && g->channels[out->count].inputs >= least)
        out->count++;
    out->channels = array_new((size_t)out->count, sizeof *out->channels);
    out->ratios = array_new((size_t)out->count * (size_t)out->input_count, sizeof *out->ratios);
    if (!out->channels || !out->ratios) return error_memory(err, "channels");
    for (int c = 0; c < out->count; c++) {
        out->channels[c] = g->channels[c];
        for (int i = 0; i < out->input_count; i++)
            out->ratios[c * out->input_count + i] = ratio_in(g, i, g->channels[c].channel);
    }
    return true;
}

bool shared_channels_find(const ModelStructure *structure, const InputSet *set, double factor, SharedChannels *out,
                          Error *err) {
    const size_t hidden = (size_t)structure->config.hidden;
    Gathered g = {.channels = array_new(hidden, sizeof *g.channels)};
    *out = (SharedChannels){.factor = factor};
    const bool ok = (g.channels || error_memory(err, "channels")) && list_inputs(structure, set, out, &g, err) &&
                    choose(hidden, &g, out, err);
    free(g.channels);
    free(g.inputs);
    free(g.medians);
    return ok;
}

void shared_channels_free(SharedChannels *channels) {
    free(channels->layers);
    free(channels->channels);
    free(channels->ratios);
    *channels = (SharedChannels){0};
}
