// How long a search takes, told from searches that were recorded: tests/fixtures/tune holds the extent of each, and a
// line for each piece with what it was expected to do, when it began, what it did, and the seconds that it took, from
// the log of a search. Of the last one only the first three phases were recorded.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "analysis/tune_clock.h"

#define FIXTURES "tests/fixtures/tune/"
enum { MOST = 1000 };

typedef struct Piece {
    int phase;
    TuneWork work;
    double at, met, pack_seconds, meet_seconds; // met 0: it was not timed
} Piece;

typedef struct Recording {
    TuneExtent extent;
    Piece pieces[MOST]; // the last one is the end
    int count;
} Recording;

static void read_recording(const char *path, Recording *out) {
    int bound;
    TuneExtent *e = &out->extent;
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    *out = (Recording){0};
    assert_int_equal(fscanf(file, "%d %d %d %d %lf %d %lf %lf %lf %lf %lf %lf", &bound, &e->candidates, &e->schemes,
                            &e->units, &e->packed, &e->layers, &e->layer, &e->head, &e->few, &e->some, &e->whole,
                            &e->alone),
                     12);
    e->for_bound = bound != 0;
    e->verified = e->whole;
    for (Piece *p = out->pieces; fscanf(file, "%d %lf %lf %lf %lf %lf %lf", &p->phase, &p->work.packed, &p->work.met,
                                        &p->at, &p->met, &p->pack_seconds, &p->meet_seconds) == 7;
         p++)
        assert_true(++out->count < MOST);
    fclose(file);
    assert_true(out->count > 50);
}

static bool is_of_unit(const Recording *r, int piece) {
    return r->pieces[piece].work.packed < 0.999 * r->extent.packed;
}

// As the search says it when a round begins.
static int units_from(const Recording *r, int piece) {
    int count = 0;
    while (r->pieces[piece + count].phase == TUNE_CHOICES && is_of_unit(r, piece + count)) count++;
    return count;
}

// What is told at the beginning of a piece, up to the end of the recording; NAN: nothing.
static double left_at(TuneClock *clock, const Recording *r, int piece) {
    const Piece *p = &r->pieces[piece];
    const bool round_begins = p->phase == TUNE_CHOICES && is_of_unit(r, piece) &&
                              !(r->pieces[piece - 1].phase == TUNE_CHOICES && is_of_unit(r, piece - 1));
    if (round_begins) tune_clock_again(clock, units_from(r, piece));
    tune_clock_begin(clock, (TunePhase)p->phase, is_of_unit(r, piece), p->work);
    if (!(tune_clock_pace(clock).meet > 0)) return (double)NAN;
    return tune_clock_seconds(clock, p->work) + tune_clock_left(clock, (TunePhase)p->phase) -
           tune_clock_left(clock, (TunePhase)r->pieces[r->count - 1].phase);
}

static void took(TuneClock *clock, const Piece *p) {
    if (p->met > 0) tune_clock_timed(clock, (TuneWork){p->work.packed, p->met}, p->pack_seconds, p->meet_seconds);
}

static const char *const recordings[] = {FIXTURES "storyteller-4.5-bits.txt", FIXTURES "storyteller-kl-0.02.txt",
                                         FIXTURES "smollm2-4.5-bits-part.txt"};
#define RECORDINGS (sizeof recordings / sizeof *recordings)

// From the first tenth on what is told is at most twice as long as it takes, or half, or off by less than a tenth of
// the whole. And what is told to end at some moment is never told to end much later afterwards.
#define LATER 1.5
static void what_is_told_is_within_a_factor_of_two(void **state) {
    (void)state;
    static Recording r;
    for (size_t i = 0; i < RECORDINGS; i++) {
        read_recording(recordings[i], &r);
        const double end = r.pieces[r.count - 1].at;
        double least = INFINITY; // that was told so far, from the beginning to the end
        TuneClock clock = tune_clock_new(&r.extent, &(TunePace){0});
        for (int p = 0; p + 1 < r.count; took(&clock, &r.pieces[p]), p++) {
            const double at = r.pieces[p].at, left = left_at(&clock, &r, p), truth = end - at;
            if (at < end / 10) continue;
            const bool near = left > truth / 2 && left < truth * 2, about = fabs(left - truth) < end / 10;
            if (!near && !about) fail_msg("%s: %.1f s left at %.1f, but it took %.1f", recordings[i], left, at, truth);
            least = fmin(least, at + left);
            if (at + left > LATER * least)
                fail_msg("%s: the end is put off from %.1f to %.1f", recordings[i], least, at + left);
        }
    }
}

// By the pace of the whole before it begins, packing by its usual share.
static void what_is_told_before_is_within_a_factor_of_two(void **state) {
    (void)state;
    static Recording r;
    for (size_t i = 0; i < RECORDINGS; i++) {
        double met = 0, seconds = 0;
        read_recording(recordings[i], &r);
        for (int p = 0; p < r.count; p++) {
            if (r.pieces[p].phase != TUNE_SCHEMES) continue;
            met += r.pieces[p].met;
            seconds += r.pieces[p].meet_seconds;
        }
        r.extent.candidates = r.extent.schemes;
        const TuneClock clock = tune_clock_new(&r.extent, &(TunePace){.meet = seconds / met});
        const double told = tune_clock_left(&clock, TUNE_SCHEMES) -
                            tune_clock_left(&clock, (TunePhase)r.pieces[r.count - 1].phase),
                     truth = r.pieces[r.count - 1].at;
        if (!(told > truth / 2 && told < truth * 2)) fail_msg("%s: %.1f s told, %.1f", recordings[i], told, truth);
    }
}

static void nothing_is_known_at_first(void **state) {
    (void)state;
    const TuneExtent extent = {.schemes = 2,
                               .candidates = 2,
                               .units = 3,
                               .packed = 30,
                               .layer = 10,
                               .head = 5,
                               .layers = 3,
                               .few = 1,
                               .some = 2,
                               .whole = 4,
                               .verified = 4,
                               .alone = 4};
    TuneClock clock = tune_clock_new(&extent, &(TunePace){0});
    assert_true(tune_clock_pace(&clock).meet <= 0);
    assert_true(tune_clock_left(&clock, TUNE_SCHEMES) > tune_clock_left(&clock, TUNE_LINEARS));
    tune_clock_timed(&clock, (TuneWork){30, 35}, 3, 7);
    assert_float_equal(tune_clock_pace(&clock).pack, 0.1, 1e-9);
    assert_float_equal(tune_clock_seconds(&clock, (TuneWork){10, 10}), 3, 1e-9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_told_is_within_a_factor_of_two),
        cmocka_unit_test(what_is_told_before_is_within_a_factor_of_two),
        cmocka_unit_test(nothing_is_known_at_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
