// Sweeps: lists and ranges of values, the points of a grid, the front, and the files that are written.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "analysis/methods.h"
#include "analysis/point_plot.h"
#include "analysis/sweep.h"
#include "base/file.h"
#include "tests/support/folder.h"
#include "tests/support/study.h"

static void lists_and_ranges(void **state) {
    (void)state;
    const struct {
        const char *text;
        int count;
        double last;
    } good[] = {{"alpha=0.1,0.2,0.3", 3, 0.3},
                {"alpha=0.1:0.5:0.1", 5, 0.5},
                {"v0=20:10:-5", 3, 10},
                {"alpha=0.1,0.3:0.5:0.1", 4, 0.5},
                {"granularity=channel,adaptive", 2, GRANULARITY_ADAPTIVE},
                {"quorum=any,0.5", 2, 0.5},
                {"v0=15", 1, 15},
                {"alpha=0.2:0.2:1", 1, 0.2}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        SweepDial dial;
        Error err = {0};
        if (!sweep_dial_parse(good[i].text, &dial, &err)) fail_msg("%s: %s", good[i].text, err.message);
        assert_int_equal(dial.count, good[i].count);
        assert_true(dial.values[dial.count - 1] == good[i].last);
        sweep_dial_free(&dial);
    }
}

static void what_makes_no_sense_is_refused(void **state) {
    (void)state;
    const char *const bad[] = {"alpha",
                               "alpha=",
                               "alpha=0.1,0.1",
                               "alpha=2",
                               "omega=1",
                               "alpha=0.1:0.2",
                               "alpha=0:1:0",
                               "alpha=1:0:0.1",
                               "v0=1:1e6:1",
                               "weight-bits=2:4:0.5",
                               "alpha=,",
                               "alpha=0.1:x:0.1",
                               "=1",
                               "alpha=:::"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        SweepDial dial;
        Error err = {0};
        if (sweep_dial_parse(bad[i], &dial, &err)) fail_msg("%s was taken", bad[i]);
        assert_true(err.message[0]);
        assert_null(dial.values);
    }
}

static Sweep sweep_of(const char *first, const char *second) {
    SweepDial dials[2];
    Recipe recipe;
    Sweep sweep;
    assert_true(sweep_dial_parse(first, &dials[0], NULL) && sweep_dial_parse(second, &dials[1], NULL));
    assert_true(recipe_default(&recipe, NULL));
    assert_true(sweep_new(&recipe, dials, 2, &sweep, NULL));
    recipe_free(&recipe);
    return sweep;
}

static void the_same_dial_twice_is_refused(void **state) {
    (void)state;
    SweepDial dials[2];
    Recipe recipe;
    Sweep sweep;
    Error err = {0};
    assert_true(sweep_dial_parse("alpha=0.1", &dials[0], NULL) && sweep_dial_parse("alpha=0.2", &dials[1], NULL));
    assert_true(recipe_default(&recipe, NULL));
    assert_false(sweep_new(&recipe, dials, 2, &sweep, &err));
    assert_non_null(strstr(err.message, "twice"));
    recipe_free(&recipe);
    sweep_free(&sweep);
}

// Unless another dial that is swept, or an override, gives it an effect.
static void a_dial_without_effect_is_told(void **state) {
    (void)state;
    const SweepDial group = {.dial = DIAL_GROUP_SIZE}, kind = {.dial = DIAL_GRANULARITY}, alpha = {.dial = DIAL_ALPHA};
    const SweepDial alone[] = {alpha, group}, with_kind[] = {kind, group};
    Recipe recipe;
    Error err = {0};
    assert_true(recipe_default(&recipe, NULL));
    recipe.value[DIAL_GRANULARITY] = GRANULARITY_ADAPTIVE;
    assert_false(sweep_matters(&recipe, alone, 2, &err));
    assert_string_equal(err.message, "group size is not used while group is adaptive; sweep min-group or max-group");
    assert_true(sweep_matters(&recipe, alone, 1, &err));
    assert_true(sweep_matters(&recipe, with_kind, 2, &err));
    recipe.value[DIAL_GRANULARITY] = GRANULARITY_GROUP;
    assert_true(sweep_matters(&recipe, &group, 1, &err));
    assert_false(sweep_matters(&recipe, &alpha, 1, &err));
    assert_string_equal(err.message, "alpha is not used while group is group; turn granularity first");
    Override override = {.match = (char[]){"*"}, .set = {[DIAL_GRANULARITY] = true}};
    Recipe overridden = recipe;
    overridden.overrides = &override;
    overridden.override_count = 1;
    assert_true(sweep_matters(&overridden, &alpha, 1, &err));
    recipe_free(&recipe);
}

static void points_are_those_of_single_evaluations(void **state) {
    (void)state;
    StudyFixture s;
    Error err = {0};
    study_open(NULL, &s);
    Sweep sweep = sweep_of("weight-bits=3,8", "activations=none,token,fptq");
    const char *const dials[] = {"weight-bits=3 activations=none",       "weight-bits=3 activations=token",
                                 "weight-bits=3 activations=fptq v0=15", "weight-bits=8 activations=none",
                                 "weight-bits=8 activations=token",      "weight-bits=8 activations=fptq v0=15"};
    assert_int_equal(sweep.count, 6);
    // Equalizing random weights makes other numbers of all of them: then positions have little in common.
    for (int i = 0; i < sweep.count; i++) sweep.recipes[i].value[DIAL_V0] = 15;
    if (!points_measure(&s.trial, sweep.recipes, sweep.count, &(PointOptions){.speed = true}, sweep.points, NULL, &err))
        fail_msg("%s", err.message);
    int best = 0;
    for (int i = 1; i < 6; i++)
        best = sweep.points[i].accuracy.kl_mean < sweep.points[best].accuracy.kl_mean ? i : best;
    for (int i = 0; i < 6; i++) {
        const Point *p = &sweep.points[i];
        const Accuracy *a = &p->accuracy, *least = &sweep.points[best].accuracy;
        Plan plan = study_plan(&s, dials[i]);
        const Differences *above = &p->above_best;
        assert_true(p->paired && fabs(above->kl.mean - (a->kl_mean - least->kl_mean)) < 1e-9);
        assert_true(fabs(above->nll.mean - log(a->ppl / least->ppl)) < 1e-6);
        assert_true(fabs(above->top1.mean - (a->top1 - least->top1)) < 1e-12);
        // Positions have much in common: the difference is surer than either figure.
        assert_true(i == best ? above->kl.se == 0 : above->kl.se > 0 && above->kl.se < a->kl_se);
        assert_true(sweep.points[i].known && sweep.points[i].accuracy.kl_mean == study_kl(&s, &plan));
        assert_int_equal(sweep.points[i].bytes, plan.bytes);
        assert_true(sweep.points[i].speed.pairs >= 3 && sweep.points[i].pack_seconds > 0);
        plan_free(&plan);
    }
    sweep_free(&sweep);
    study_close(&s);
}

static void the_front_is_what_nothing_beats(void **state) {
    (void)state;
    const double bytes[] = {5, 4, 4, 3, 6, 2, 2}, kl[] = {1, 2, 3, 2.5, 1, 9, 9};
    const bool front[] = {true, true, false, true, false, true, true};
    Point points[8] = {0};
    for (int i = 0; i < 7; i++) {
        points[i] = (Point){.known = true, .bytes = (size_t)bytes[i], .accuracy = {.kl_mean = kl[i]}};
    }
    points_mark_front(points, 8); // the last one is not known
    for (int i = 0; i < 7; i++) assert_int_equal(points[i].pareto, front[i]);
    assert_false(points[7].pareto);
}

static void the_knee_is_furthest_below_the_chord(void **state) {
    (void)state;
    const double bytes[] = {400, 100, 200, 300, 250}, kl[] = {0.001, 1, 0.01, 0.005, 0.5};
    Point points[5] = {0};
    for (int i = 0; i < 5; i++)
        points[i] = (Point){.known = true, .bytes = (size_t)bytes[i], .accuracy = {.kl_mean = kl[i]}};
    points_mark_front(points, 5);
    assert_int_equal(points_knee(points, 5), 2);
    points[2].accuracy.kl_mean = 0.1; // on the line from 1 to 0.001, as the other one now
    points[3].accuracy.kl_mean = 0.01;
    points_mark_front(points, 5);
    assert_int_equal(points_knee(points, 5), -1);
    assert_int_equal(points_knee(points, 2), -1); // two are no bend
    assert_int_equal(points_knee(points, 0), -1);
}

static void methods_are_settings_that_exist(void **state) {
    (void)state;
    for (int i = 0; i < method_count; i++) {
        Recipe recipe;
        Error err = {0};
        assert_true(recipe_default(&recipe, &err));
        if (!recipe_turn(&recipe, method_table[i].dials, &err)) fail_msg("%s: %s", method_table[i].name, err.message);
        recipe_free(&recipe);
    }
}

static void plots_are_whole(void **state) {
    (void)state;
    PlottedPoint points[] = {
        {3, 0.5, 0.1, 0, true, "a<b", NULL}, {4, 0.01, 0.001, 0, true, "", NULL}, {4, 0.02, 0.03, 1, false, "c", NULL}};
    const char families[2][48] = {"one & two", "three"};
    PointPlot plot = {"title", "x", "y", points, 3, families, 2, false}, near = plot;
    for (plot.count = 1; plot.count <= 3; plot.count++) {
        Text svg = {0};
        point_plot_svg(&plot, &svg);
        assert_null(strstr(svg.data, "nan"));
        assert_null(strstr(svg.data, "inf"));
        assert_non_null(strstr(svg.data, "a&lt;b"));
        assert_non_null(strstr(svg.data, "one &amp; two"));
        assert_non_null(strstr(svg.data, "</svg>"));
        text_free(&svg);
    }
    points[0].y = points[1].y = points[0].error = points[1].error = 0; // all equal, all zero
    plot.count = 2;
    Text svg = {0};
    point_plot_svg(&plot, &svg);
    assert_null(strstr(svg.data, "nan"));
    assert_non_null(strstr(svg.data, ">0</text>"));
    text_clear(&svg);
    points[0] = (PlottedPoint){.x = 3, .y = 0.51, .error = 0.01, .words = "what it is", .label = "near"};
    points[1] = (PlottedPoint){.x = 4, .y = 0.50, .error = 0.01};
    near.count = 2;
    point_plot_svg(&near, &svg);
    assert_null(strstr(svg.data, ">0</text>")); // it would squeeze both into a corner
    assert_non_null(strstr(svg.data, ">near  what it is</text>"));
    text_free(&svg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_and_ranges),
        cmocka_unit_test(what_makes_no_sense_is_refused),
        cmocka_unit_test(the_same_dial_twice_is_refused),
        cmocka_unit_test(a_dial_without_effect_is_told),
        cmocka_unit_test(points_are_those_of_single_evaluations),
        cmocka_unit_test(the_front_is_what_nothing_beats),
        cmocka_unit_test(the_knee_is_furthest_below_the_chord),
        cmocka_unit_test(methods_are_settings_that_exist),
        cmocka_unit_test(plots_are_whole),
    };
    return cmocka_run_group_tests_name("sweep", tests, NULL, NULL);
}
