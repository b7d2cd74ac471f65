#include "analysis/stream_share.h"

#include <math.h>

// Over the calibration tokens, and in a token in which every channel of the inputs reaches as far as it ever does.
typedef struct Energies {
    double mean, furthest;
} Energies;

static void add(Energies *sum, Energies more) {
    sum->mean += more.mean;
    sum->furthest += more.furthest;
}

bool stream_is_written(const Linear *linear) {
    switch (linear->role) {
    case ROLE_O:
    case ROLE_CROSS_O:
    case ROLE_DOWN:
    case ROLE_FC2:
    case ROLE_LAYER_PROJ: return true;
    default: return false;
    }
}

// How many times the mean energy of an input a token has in which all channels are at their largest.
static double reach_of(const InputStats *input) {
    double mean = 0, furthest = 0;
    for (size_t i = 0; i < input->sample_rows * input->width; i++)
        mean += (double)input->sample[i] * (double)input->sample[i];
    for (size_t j = 0; j < input->width; j++)
        furthest += (double)input->channel_absmax[j] * (double)input->channel_absmax[j];
    return mean > 0 ? furthest * (double)input->sample_rows / mean : 1;
}

// An expert writes for the tokens that are sent to it, one of several by the router's weight.
static double weight_of(const ModelStructure *s, const InputSet *inputs, const Linear *linear) {
    const double chosen = s->config.experts.per_token;
    if (linear->expert < 0 || chosen < 1 || !inputs->tokens) return 1;
    return (double)inputs->inputs[linear->input].tokens / (double)inputs->tokens / (chosen * chosen);
}

// A norm behind a branch, or behind the sum, leaves all branches about as large.
static bool is_normed(const ModelStructure *s, const Linear *linear) {
    return s->config.norm_after || (linear->layer >= 0 && s->layers && s->layers[linear->layer].mlp_out_norm >= 0);
}

static Energies energies_of(const ModelStructure *s, const InputSet *inputs, const double *energy, int i) {
    const Linear *linear = &s->linears[i];
    const InputStats *input = &inputs->inputs[linear->input];
    const double weight = weight_of(s, inputs, linear);
    if (is_normed(s, linear)) return (Energies){weight, weight};
    const double mean = isfinite(energy[i]) ? weight * energy[i] : 0;
    return (Energies){.mean = mean, .furthest = input->known && input->sample_rows ? mean * reach_of(input) : mean};
}

// All of a stream of which nothing is known.
static double share_of(double part, double whole) { return whole > 0 ? part / whole : 1; }

// Linears [from, to) are in one branch: the experts of a layer, or one linear.
static int branch_end(const ModelStructure *s, int from) {
    const Linear *first = &s->linears[from];
    int to = from + 1;
    while (first->expert >= 0 && to < s->linear_count && s->linears[to].expert >= 0 &&
           s->linears[to].layer == first->layer)
        to++;
    return to;
}

// Of those that write; the stream is what was written so far, a branch's own part among it.
static void share_out(const ModelStructure *s, const InputSet *inputs, const double *energy, double *shares) {
    Energies stream = {0};
    for (int from = 0, to; from < s->linear_count; from = to) {
        to = branch_end(s, from);
        if (s->config.norm_after || (from > 0 && s->linears[from].stack != s->linears[from - 1].stack))
            stream = (Energies){0};
        for (int i = from; i < to; i++)
            if (stream_is_written(&s->linears[i])) add(&stream, energies_of(s, inputs, energy, i));
        for (int i = from; i < to; i++) {
            if (!stream_is_written(&s->linears[i])) continue;
            const Energies own = energies_of(s, inputs, energy, i);
            shares[i] = (share_of(own.mean, stream.mean) + share_of(own.furthest, stream.furthest)) / 2;
        }
    }
}

void stream_shares(const ModelStructure *structure, const InputSet *inputs, const double *energy, double *shares) {
    int writer = -1;
    share_out(structure, inputs, energy, shares);
    for (int i = structure->linear_count - 1; i >= 0; i--) {
        const Linear *linear = &structure->linears[i];
        if (stream_is_written(linear)) writer = i;
        const bool passes = writer >= 0 && linear->role != ROLE_ROUTER && linear->layer >= 0 &&
                            structure->linears[writer].layer == linear->layer &&
                            structure->linears[writer].expert == linear->expert;
        if (writer != i) shares[i] = passes ? shares[writer] : 1;
    }
}
