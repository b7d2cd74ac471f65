// Timing two variants in turn: what is promised of the figures, whatever the machine does meanwhile.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "analysis/speed.h"
#include "tests/support/fixture_model.h"

#define FOLDER "tests/fixtures/families/mixtral" // 32 positions: fewer than a segment takes elsewhere

static void open_pair(FixtureModel *model, Transformer **variant) {
    Error err = {0};
    fixture_model_open(FOLDER, PRECISION_NATIVE, model);
    if (!transformer_variant(model->base, variant, &err)) fail_msg("%s", err.message);
}

static void close_pair(FixtureModel *model, Transformer *variant) {
    transformer_free(variant);
    fixture_model_close(model);
}

static void assert_ordered(const Spread *spread) {
    assert_true(spread->least > 0 && spread->least <= spread->median && spread->median <= spread->most);
}

static void what_is_the_same_is_not_told_apart(void **state) {
    (void)state;
    FixtureModel model;
    Transformer *variant;
    DecodeSpeed speed;
    Error err = {0};
    open_pair(&model, &variant);
    if (!decode_speed(model.base, variant, 0.5, NULL, NULL, &speed, NULL, &err)) fail_msg("%s", err.message);
    assert_true(speed.pairs >= 3 && speed.pairs <= SPEED_RUNS_MOST);
    assert_ordered(&speed.first);
    assert_ordered(&speed.second);
    assert_ordered(&speed.ratio);
    assert_true(speed.ratio.least < 1.1 && speed.ratio.most > 0.9);
    close_pair(&model, variant);
}

typedef struct Seen {
    int calls, pairs;
    Progress *stop; // NULL: lets it go on
} Seen;

static void see(void *context, const DecodeSpeed *so_far) {
    Seen *seen = context;
    seen->calls++;
    seen->pairs = so_far->pairs;
    if (seen->stop) progress_request_stop(seen->stop);
}

static void without_time_there_are_three_pairs(void **state) {
    (void)state;
    FixtureModel model;
    Transformer *variant;
    DecodeSpeed speed;
    Seen seen = {0};
    Error err = {0};
    open_pair(&model, &variant);
    assert_true(decode_speed(model.base, variant, 0, see, &seen, &speed, NULL, &err));
    assert_int_equal(speed.pairs, 3);
    assert_int_equal(seen.pairs, 3);
    assert_int_equal(seen.calls, 4); // the first pair is seen, and timed again
    close_pair(&model, variant);
}

static void a_stop_ends_it_at_once_and_leaves_what_is_there(void **state) {
    (void)state;
    FixtureModel model;
    Transformer *variant;
    DecodeSpeed speed;
    Progress progress = {0};
    Seen seen = {.stop = &progress};
    Error err = {0};
    open_pair(&model, &variant);
    assert_false(decode_speed(model.base, variant, 60, see, &seen, &speed, &progress, &err));
    assert_true(err.stopped);
    assert_int_equal(speed.pairs, 1);
    assert_ordered(&speed.ratio);
    assert_false(decode_speed(model.base, variant, 60, see, &seen, &speed, &progress, &err)); // before it begins
    assert_int_equal(speed.pairs, 0);
    assert_int_equal(seen.calls, 1);
    close_pair(&model, variant);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_the_same_is_not_told_apart),
        cmocka_unit_test(without_time_there_are_three_pairs),
        cmocka_unit_test(a_stop_ends_it_at_once_and_leaves_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
