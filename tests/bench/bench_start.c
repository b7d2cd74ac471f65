// What a user waits for after starting the program: the first screen, the class of every linear (provisional), the
// first token of the quantized text, the first KL divergence. With an empty cache folder and with what an earlier start
// left there; for the default recipe and for weights alone; and after a turn of one linear. Beside it P, the time of
// 1,000 tokens of prefill, since most of it is that kind of work. Processor seconds are of all threads: on a machine
// that does other things too they tell more than the wall's.
//   bench_start [--settle] MODEL [THREADS]
// --settle waits for the whole calibration, too, and counts the classes that it changed.
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "tests/support/folder.h"
#include "workbench/workbench.h"

enum { PREFILL = 1000 };

typedef struct Moment {
    double wall, processor;
} Moment;

static Moment moment_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (Moment){clock_seconds(), (double)t.tv_sec + 1e-9 * (double)t.tv_nsec};
}

static Moment since(Moment start) {
    const Moment now = moment_now();
    return (Moment){now.wall - start.wall, now.processor - start.processor};
}

static void end_with(const char *message) {
    fprintf(stderr, "bench_start: %s\n", message);
    exit(1);
}

// ---- P ----

static void measure_prefill(const EngineOptions *options) {
    Engine *engine;
    Sequences *running;
    Error err = {0};
    if (!engine_open(options, &engine, &err)) end_with(err.message);
    Transformer *base = engine_base(engine);
    const size_t vocab = (size_t)engine_structure(engine)->config.vocab;
    float *logits = array_new(vocab, sizeof *logits);
    int32_t ids[PREFILL];
    for (int i = 0; i < PREFILL; i++) ids[i] = (int32_t)((size_t)i * 7919 % vocab);
    const int positions = engine_structure(engine)->config.max_positions,
              most = positions < PREFILL ? positions : PREFILL;
    if (!logits || !base || !sequences_new(base, (size_t)most, &running, &err)) end_with("the model cannot be run");
    for (int i = 0; i < 2; i++) { // the first reads the weights
        const Moment start = moment_now();
        for (int at = 0; at < PREFILL; at += most) {
            const size_t tokens = (size_t)(PREFILL - at < most ? PREFILL - at : most);
            sequences_rewind(running, 0);
            if (!transformer_forward(base, running, ids + at, tokens, false, logits, NULL, &err)) end_with(err.message);
        }
        const Moment p = since(start);
        if (i) printf("P, %d tokens of prefill        %8.2f s %8.2f s\n", PREFILL, p.wall, p.processor);
    }
    sequences_free(running);
    free(logits);
    engine_close(engine);
}

// ---- Through the workbench ----

static void serve(Workbench *w) {
    struct pollfd fd = {.fd = workbench_fd(w), .events = POLLIN};
    poll(&fd, 1, 100);
    workbench_update(w);
    for (JobKind kind = 0; kind < JOB_COUNT; kind++) {
        JobView job;
        workbench_job(w, kind, &job);
        if (job.state == JOB_FAILED) end_with(job.message);
    }
}

static bool has_classes(const Workbench *w) {
    const Plan *plan = workbench_plan(w);
    return plan->class_count[CLASS_UNKNOWN] == 0;
}

static bool has_text(const Workbench *w) {
    const Effect *e = workbench_effect(w);
    return e->decode_turn == workbench_turn(w) && e->quantized.count > 0;
}

static bool has_figure(const Workbench *w) {
    const Effect *e = workbench_effect(w);
    return e->accuracy_known && e->accuracy_turn == workbench_turn(w);
}

static bool has_whole_text(const Workbench *w) { return has_text(w) && workbench_effect(w)->quantized.finished; }
static bool has_base_text(const Workbench *w) { return workbench_effect(w)->base.finished; }

static bool has_settled(const Workbench *w) {
    return workbench_calibration_planned(w) && workbench_calibration_tokens(w) == workbench_calibration_planned(w);
}

static void wait_for(Workbench *w, bool (*condition)(const Workbench *), Moment start, const char *name) {
    while (!condition(w)) serve(w);
    const Moment then = since(start);
    printf("  %-32s %8.2f s %8.2f s\n", name, then.wall, then.processor);
}

static void watch_figures(Workbench *w, Moment start) {
    wait_for(w, has_text, start, "quantized text begins");
    wait_for(w, has_figure, start, "first KL divergence");
    printf("  %-32s %.4f ± %.4f on %llu tokens\n", "", workbench_effect(w)->accuracy.kl_mean,
           workbench_effect(w)->accuracy.kl_se, (unsigned long long)workbench_effect(w)->accuracy.tokens);
}

static void turn_one_linear(Workbench *w) {
    const ModelStructure *structure = workbench_structure(w);
    const double bits = 3;
    Error err = {0};
    int linear = structure->linear_count / 2;
    while (workbench_plan(w)->decisions[linear].quantized == false) linear--;
    const Moment start = moment_now();
    printf("a turn of %s\n", structure->linears[linear].name);
    if (!workbench_set(w, linear, DIAL_BITS, &bits, &err)) end_with(err.message);
    watch_figures(w, start);
}

static void count_changed_classes(Workbench *w, Moment start) {
    const int count = workbench_structure(w)->linear_count;
    FptqClass *early = array_new((size_t)count, sizeof *early);
    const uint64_t tokens = workbench_calibration_tokens(w);
    int changed = 0;
    for (int i = 0; early && i < count; i++) early[i] = workbench_plan(w)->decisions[i].input_class;
    wait_for(w, has_settled, start, "ranges have settled");
    for (int i = 0; early && i < count; i++) changed += early[i] != workbench_plan(w)->decisions[i].input_class;
    printf("  of %d classes after %llu tokens %d are others after %llu\n", count, (unsigned long long)tokens, changed,
           (unsigned long long)workbench_calibration_tokens(w));
    free(early);
}

typedef struct Start {
    const char *title, *recipe;
    bool classes, turn, settle;
} Start;

static void measure_start(const EngineOptions *model, const Start *how) {
    Workbench *w;
    Error err = {0};
    const WorkbenchOptions options = {.model = *model, .recipe = how->recipe};
    const Moment start = moment_now();
    printf("%s\n", how->title);
    if (!workbench_open(&options, &w, &err)) end_with(err.message);
    const Moment opened = since(start);
    printf("  %-32s %8.2f s %8.2f s\n", "first screen", opened.wall, opened.processor);
    if (how->classes) wait_for(w, has_classes, start, "class of every linear");
    watch_figures(w, start);
    if (how->turn) {
        turn_one_linear(w);
    } else {
        wait_for(w, has_whole_text, start, "quantized text ends");
        wait_for(w, has_base_text, start, "base text ends");
    }
    if (how->settle) count_changed_classes(w, start);
    workbench_close(w);
}

static char *weights_recipe(const char *folder) {
    Recipe recipe;
    Error err = {0};
    char *path = path_join(folder, "weights.json");
    if (!path || !recipe_default(&recipe, &err)) end_with(err.message);
    recipe.value[DIAL_ACTIVATIONS] = POLICY_NONE;
    if (!recipe_save(&recipe, path, &err)) end_with(err.message);
    recipe_free(&recipe);
    return path;
}

int main(int argc, char **argv) {
    backend_cpu_shorten_spin(argv);
    const bool settle = argc > 1 && strcmp(argv[1], "--settle") == 0;
    char **rest = argv + 1 + settle;
    const EngineOptions model = {.model = rest[0], .threads = rest[0] && rest[1] ? atoi(rest[1]) : 0};
    char *one = folder_temporary(), *other = folder_temporary(), *weights = weights_recipe(one);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("%-34s %10s %10s\n", "", "wall", "processor");
    measure_prefill(&model);
    setenv("XDG_CACHE_HOME", one, 1);
    measure_start(&model, &(Start){"cold, default recipe", NULL, true, false, settle});
    measure_start(&model, &(Start){"second start, default recipe", NULL, true, true, false});
    setenv("XDG_CACHE_HOME", other, 1);
    measure_start(&model, &(Start){"cold, weights alone", weights, false, false, false});
    measure_start(&model, &(Start){"second start, weights alone", weights, false, true, false});
    free(weights);
    folder_remove(one);
    folder_remove(other);
    return 0;
}
