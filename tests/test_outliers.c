// Outliers: channels, heads and columns against values that are looked up one by one.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/outliers.h"
#include "analysis/shared_channels.h"
#include "base/array.h"
#include "tests/support/study.h"

#define FACTOR 1.5 // random weights have no far outliers

static void check_input(const StudyFixture *s, const Outliers *found, int index) {
    const InputOutliers *input = &found->inputs[index];
    const float *absmax = s->stats.inputs[index].channel_absmax;
    size_t above = 0, below_median = 0;
    for (size_t j = 0; j < input->width; j++) {
        above += (double)absmax[j] > FACTOR * (double)input->median;
        below_median += absmax[j] < input->median;
    }
    assert_int_equal(above, input->count);
    assert_true(below_median <= input->width / 2 && below_median + 1 >= input->width / 2);
    const InputStats *stats = &s->stats.inputs[index];
    for (size_t c = 0; c < input->count; c++) {
        const OutlierChannel *channel = &input->channels[c];
        assert_true(channel->absmax == absmax[channel->channel]);
        assert_true(c == 0 || channel->absmax <= input->channels[c - 1].absmax);
        assert_true(channel->token_share == (double)stats->channel_tokens[channel->channel] / (double)stats->tokens);
    }
}

static void check_weight(const StudyFixture *s, const Outliers *found, int index) {
    const Linear *linear = &s->model.structure.linears[index];
    const WeightOutliers *w = &found->weights[index];
    float *values = array_new(linear->out * linear->in, sizeof *values), top = 0;
    size_t columns = 0;
    floats_from(linear->weight->dtype, linear->weight->data, linear->out * linear->in, values);
    for (size_t j = 0; j < linear->in; j++) {
        float most = 0;
        for (size_t o = 0; o < linear->out; o++) most = fmaxf(most, fabsf(values[o * linear->in + j]));
        columns += (double)most / (double)w->median > FACTOR;
        top = fmaxf(top, most);
    }
    assert_int_equal(columns, w->columns);
    assert_true(fabs(w->top_ratio - (double)(top / w->median)) < 1e-5);
    bool heads = linear->role == ROLE_Q || linear->role == ROLE_K || linear->role == ROLE_V;
    assert_int_equal(w->top_head >= 0, heads);
    free(values);
}

static void everything_is_as_looked_up(void **state) {
    (void)state;
    StudyFixture s;
    Outliers found;
    Error err = {0};
    study_open(NULL, &s);
    if (!outliers_find(&s.model.structure, &s.stats, FACTOR, &found, NULL, &err)) fail_msg("%s", err.message);
    size_t sum = 0, recurring = 0;
    for (int i = 0; i < found.input_count; i++) {
        check_input(&s, &found, i);
        const Linear *linear = &s.model.structure.linears[found.inputs[i].linear];
        assert_int_equal(found.inputs[i].top_head >= 0, linear->role == ROLE_O);
    }
    for (int n = 0; n < s.model.structure.norm_count; n++) sum += found.inputs[s.model.structure.norms[n].input].count;
    for (size_t c = 0; c < found.recurring_count; c++) recurring += (size_t)found.recurring[c].inputs;
    assert_int_equal(sum, recurring);
    assert_int_equal(found.norm_inputs, s.model.structure.norm_count);
    for (int i = 0; i < found.linear_count; i++) check_weight(&s, &found, i);
    outliers_free(&found);
    study_close(&s);
}

static void without_calibration_it_is_refused(void **state) {
    (void)state;
    StudyFixture s;
    ModelStats stats;
    Outliers found;
    Error err = {0};
    study_open(NULL, &s);
    assert_true(model_stats_new(&s.model.structure, &stats, &err));
    assert_false(outliers_find(&s.model.structure, &stats, FACTOR, &found, NULL, &err));
    assert_non_null(strstr(err.message, "calibrate first"));
    outliers_free(&found);
    Progress progress = {0};
    progress_request_stop(&progress);
    assert_false(outliers_find(&s.model.structure, &s.stats, FACTOR, &found, &progress, &err));
    assert_true(err.stopped);
    outliers_free(&found);
    model_stats_free(&stats);
    study_close(&s);
}

// Four inputs that norms feed, with a median of 1: channel 2 is an outlier of three of them, in most tokens; channel 6
// of two, in few; channel 7 of one, and of one that no norm feeds.
static void channels_of_several_inputs_are_shared(void **state) {
    (void)state;
    enum { HIDDEN = 9, INPUTS = 5 };
    static Norm norms[] = {{.layer = 0, .input = 0}, {.layer = 0, .input = 1},   {.layer = 1, .input = 2},
                           {.layer = 1, .input = 3}, {.layer = -1, .input = -1}, {.layer = 2, .input = 4}};
    const ModelStructure structure = {.config.hidden = HIDDEN, .norms = norms, .norm_count = 6};
    InputSet *set = input_set_new(INPUTS);
    SharedChannels found;
    Error err = {0};
    assert_non_null(set);
    for (int i = 0; i < INPUTS; i++) {
        InputStats *input = &set->inputs[i];
        *input = (InputStats){.known = i < 4, .width = HIDDEN, .tokens = 100};
        input->channel_absmax = array_new(HIDDEN, sizeof(float));
        input->channel_tokens = array_new(HIDDEN, sizeof(uint32_t));
        for (int j = 0; j < HIDDEN; j++) input->channel_absmax[j] = 1;
        if (i > 0) input->channel_absmax[2] = (float)(10 * i), input->channel_tokens[2] = (uint32_t)(60 + 10 * i);
        if (i < 2) input->channel_absmax[6] = 500, input->channel_tokens[6] = 1;
        if (i >= 3) input->channel_absmax[7] = 50;
    }
    if (!shared_channels_find(&structure, set, 6, &found, &err)) fail_msg("%s", err.message);
    assert_true(found.input_count == 4 && found.layers[0] == 0 && found.layers[3] == 1);
    assert_int_equal(found.count, 2);
    const SharedChannel *most = &found.channels[0], *few = &found.channels[1];
    assert_true(most->channel == 2 && most->inputs == 3 && most->largest_ratio == 30);
    assert_true(most->token_share == 0.9);
    assert_true(few->channel == 6 && few->inputs == 2 && few->token_share == 0.01);
    static const float ratios[] = {1, 10, 20, 30, 500, 500, 1, 1};
    assert_memory_equal(found.ratios, ratios, sizeof ratios);
    shared_channels_free(&found);
    input_set_release(set);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_is_as_looked_up),
        cmocka_unit_test(without_calibration_it_is_refused),
        cmocka_unit_test(channels_of_several_inputs_are_shared),
    };
    return cmocka_run_group_tests_name("outliers", tests, NULL, NULL);
}
