// Timing two variants in turn: what is promised of the figures, whatever the machine does meanwhile.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/speed_map.h"
#include "tests/support/fixture_model.h"

#define FOLDER "tests/fixtures/families/mixtral" // 32 positions: fewer than a segment takes elsewhere

static const SpeedCase alone = {.batch = 1};

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
    if (!decode_speed(model.base, variant, &alone, 0.5, NULL, NULL, &speed, NULL, &err)) fail_msg("%s", err.message);
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
    assert_true(decode_speed(model.base, variant, &alone, 0, see, &seen, &speed, NULL, &err));
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
    assert_false(decode_speed(model.base, variant, &alone, 60, see, &seen, &speed, &progress, &err));
    assert_true(err.stopped);
    assert_int_equal(speed.pairs, 1);
    assert_ordered(&speed.ratio);
    assert_false(
        decode_speed(model.base, variant, &alone, 60, see, &seen, &speed, &progress, &err)); // before it begins
    assert_int_equal(speed.pairs, 0);
    assert_int_equal(seen.calls, 1);
    close_pair(&model, variant);
}

// Told by the first variant alone, which does the same all the time, and not by few pairs.
static void an_uneven_base_tells_that_something_else_is_at_work(void **state) {
    (void)state;
    DecodeSpeed speed = {.first = {100, 90, 110}, .second = {200, 100, 300}, .ratio = {2, 1, 3}, .pairs = 10};
    assert_false(decode_speed_is_busy(&speed));
    speed.first.least = 80;
    assert_true(decode_speed_is_busy(&speed));
    speed.pairs = 9; // of which none was left out
    assert_false(decode_speed_is_busy(&speed));
    assert_false(decode_speed_is_busy(&(DecodeSpeed){0}));
}

// ---- over batch and context ----

static void a_context_needs_positions_to_decode(void **state) {
    (void)state;
    FixtureModel model;
    Transformer *variant;
    DecodeSpeed speed;
    Error err = {0};
    open_pair(&model, &variant);
    assert_true(
        decode_speed(model.base, variant, &(SpeedCase){.batch = 3, .context = 31}, 0, NULL, NULL, &speed, NULL, &err));
    assert_int_equal(speed.pairs, 3);
    assert_false(
        decode_speed(model.base, variant, &(SpeedCase){.batch = 3, .context = 32}, 0, NULL, NULL, &speed, NULL, &err));
    assert_non_null(strstr(err.message, "32"));
    close_pair(&model, variant);
}

typedef struct Cells {
    int calls, stop_after;
    Progress progress;
} Cells;

static void see_cell(void *context, const SpeedMap *so_far) {
    Cells *cells = context;
    (void)so_far;
    if (++cells->calls == cells->stop_after) progress_request_stop(&cells->progress);
}

static void a_map_goes_on_where_it_was(void **state) {
    (void)state;
    static const size_t batches[] = {4, 1, 4}, contexts[] = {16, 2};
    FixtureModel model;
    Transformer *variant;
    Error err = {0};
    Cells cells = {.stop_after = 3};
    SpeedMap map = speed_map_of(batches, 3, contexts, 2);
    assert_int_equal(map.batch_count, 2);
    assert_int_equal(map.batches[0], 1);
    assert_int_equal(map.contexts[1], 16);
    open_pair(&model, &variant);
    assert_false(speed_map_measure(model.base, variant, 0, &map, see_cell, &cells, &cells.progress, &err));
    assert_true(err.stopped);
    const SpeedMap stopped = map;
    assert_true(stopped.ratio[1][0].median > 0 && stopped.ratio[1][1].median == 0);
    cells = (Cells){0};
    map.ratio[1][0].median = 2; // so that it goes on
    assert_true(speed_map_measure(model.base, variant, 0, &map, see_cell, &cells, &cells.progress, &err));
    assert_true(map.batch_count > 2);
    assert_int_equal(cells.calls, 1 + 2 * (map.batch_count - 2));
    assert_int_equal(cells.progress.done, cells.calls); // one bar from the beginning to the end
    assert_int_equal(cells.progress.total, cells.calls);
    bool pays = false; // with the largest batch, after which it went on
    for (int b = 2; b < map.batch_count; b++) assert_int_equal(map.batches[b], 2 * map.batches[b - 1]);
    for (int c = 0; c < 2; c++) pays = pays || speed_pays(&map.ratio[map.batch_count - 1][c]);
    assert_true(!pays || map.batch_count == SPEED_MAP_MOST);
    assert_true(map.ratio[0][1].median == stopped.ratio[0][1].median);
    assert_ordered(speed_map_at(&map, 4, 16));
    close_pair(&model, variant);
}

static void words_say_up_to_where_it_pays(void **state) {
    (void)state;
    static const size_t batches[] = {1, 8, 32}, contexts[] = {128, 1024, 2048};
    const Spread faster = {1.5, 1.2, 1.7}, unsure = {0.98, 0.9, 1.2}, slower = {0.8, 0.7, 0.9};
    char words[256];
    SpeedMap map = speed_map_of(batches, 3, contexts, 3);
    speed_map_words(&map, words, sizeof words);
    assert_string_equal(words, "");
    for (int k = 0; k < 3; k++) map.ratio[0][k] = k < 2 ? faster : slower;
    speed_map_words(&map, words, sizeof words);
    assert_string_equal(words,
                        "up to batch 1, the largest timed, at context 128, 1024; not at batch 1, at context 2048");
    for (int k = 0; k < 3; k++) map.ratio[1][k] = map.ratio[2][k] = faster;
    map.ratio[2][1] = unsure;
    speed_map_words(&map, words, sizeof words);
    assert_string_equal(words,
                        "up to batch 32, the largest timed, at context 128; up to batch 8, not for sure at 32, at "
                        "context 1024; not at batch 1, at context 2048");
    map.ratio[2][0] = (Spread){1.1, 0.9, 1.2}; // rather faster
    map.ratio[0][2] = faster;
    map.ratio[2][1] = map.ratio[2][2] = slower;
    speed_map_words(&map, words, sizeof words);
    assert_string_equal(words,
                        "up to batch 32, the largest timed, at context 128; up to batch 8, not at 32, at context "
                        "1024, 2048");
}

static void the_usual_map_fits_the_model(void **state) {
    (void)state;
    const SpeedMap large = speed_map_usual(&(ModelConfig){.max_positions = 2112}),
                   small = speed_map_usual(&(ModelConfig){.max_positions = 2111}),
                   tiny = speed_map_usual(&(ModelConfig){.max_positions = 32});
    assert_int_equal(large.context_count, 3);
    assert_int_equal(small.context_count, 2);
    assert_int_equal(tiny.context_count, 1);
    assert_int_equal(tiny.contexts[0], 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_uneven_base_tells_that_something_else_is_at_work),
        cmocka_unit_test(a_context_needs_positions_to_decode),
        cmocka_unit_test(a_map_goes_on_where_it_was),
        cmocka_unit_test(words_say_up_to_where_it_pays),
        cmocka_unit_test(the_usual_map_fits_the_model),
        cmocka_unit_test(what_is_the_same_is_not_told_apart),
        cmocka_unit_test(without_time_there_are_three_pairs),
        cmocka_unit_test(a_stop_ends_it_at_once_and_leaves_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
