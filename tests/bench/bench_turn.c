// How long after the turn of a dial the first accuracy figure, the final one, the beginning and the end of the decode
// sample are there: on the sample model, or after turns of one linear on the model that is given.
//   bench_turn [MODEL [THREADS]]
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "workbench/workbench.h"

#define TURNS 9

typedef struct Times {
    double call, first, final, begun, text;
    double tokens;    // of the first figure
    double processor; // all threads' time until then: what else the machine does counts little in it
} Times;

static double processor_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void serve(Workbench *w) {
    struct pollfd fd = {.fd = workbench_fd(w), .events = POLLIN};
    poll(&fd, 1, 1000);
    workbench_update(w);
}

static void end_when_failed(const Workbench *w) {
    for (JobKind kind = 0; kind < JOB_COUNT; kind++) {
        JobView job;
        workbench_job(w, kind, &job);
        if (job.state != JOB_FAILED) continue;
        fprintf(stderr, "%s: %s\n", job.name, job.message);
        exit(1);
    }
}

static bool settled(const Workbench *w) {
    end_when_failed(w);
    const Effect *e = workbench_effect(w);
    uint64_t turn = workbench_turn(w);
    return workbench_calibration_tokens(w) && e->accuracy_finished && e->accuracy_turn == turn &&
           e->decode_turn == turn && e->quantized.finished && !workbench_busy(w);
}

// linear: −1 for all.
static Times turn_dial(Workbench *w, int linear, Dial dial, double value, bool to_the_end) {
    Times times = {0};
    double start = clock_seconds(), processor = processor_seconds();
    workbench_set(w, linear, dial, &value, NULL);
    times.call = clock_seconds() - start;
    while (!settled(w) && (to_the_end || times.first == 0 || times.begun == 0)) {
        serve(w);
        const Effect *e = workbench_effect(w);
        double now = clock_seconds() - start;
        bool current = e->accuracy_known && e->accuracy_turn == workbench_turn(w);
        if (current && times.first == 0) {
            times.first = now;
            times.tokens = (double)e->accuracy.tokens;
            times.processor = processor_seconds() - processor;
        }
        if (e->decode_turn == workbench_turn(w) && e->quantized.count && times.begun == 0) times.begun = now;
        if (current && e->accuracy_finished && times.final == 0) times.final = now;
        if (e->decode_turn == workbench_turn(w) && e->quantized.finished && times.text == 0) times.text = now;
    }
    return times;
}

static int by_value(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static void print_median(const char *name, const Times *times, size_t offset) {
    double values[TURNS];
    for (int i = 0; i < TURNS; i++) values[i] = *(const double *)((const char *)&times[i] + offset) * 1e3;
    qsort(values, TURNS, sizeof *values, by_value);
    printf("  %-36s median %7.2f ms   largest %7.2f ms\n", name, values[TURNS / 2], values[TURNS - 1]);
}

static void measure(Workbench *w, const char *title, int linear, Dial dial, double one, double other) {
    Times times[TURNS];
    for (int i = 0; i < TURNS; i++) times[i] = turn_dial(w, linear, dial, i % 2 ? one : other, true);
    printf("%s\n", title);
    print_median("the turn itself (plan)", times, offsetof(Times, call));
    print_median("first accuracy figure", times, offsetof(Times, first));
    print_median("decode sample, first token", times, offsetof(Times, begun));
    print_median("decode sample", times, offsetof(Times, text));
    print_median("all evaluation tokens", times, offsetof(Times, final));
}

// One linear of the first, the middle and the last layer, nothing else. The calibration is short: it does not matter
// here.
static int measure_one_linear(const char *model, int threads) {
    Workbench *w;
    Error err = {0};
    WorkbenchOptions options = {
        .model = {.model = model, .sequences = 1, .length = 32, .eval_tokens = 512, .threads = threads}};
    double start = clock_seconds();
    if (!workbench_open(&options, &w, &err)) return fprintf(stderr, "%s\n", err.message), 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("opened in %.0f ms\n", (clock_seconds() - start) * 1e3);
    while (!settled(w)) serve(w);
    printf("everything known after %.1f s\n", clock_seconds() - start);
    const ModelStructure *structure = workbench_structure(w);
    const int layers[] = {0, structure->config.layers / 2, structure->config.layers - 1};
    for (int l = 0; l < 3; l++) {
        Times times[TURNS];
        int linear = 0;
        while (structure->linears[linear].layer != layers[l] || structure->linears[linear].role != ROLE_DOWN) linear++;
        for (int i = 0; i < TURNS; i++) times[i] = turn_dial(w, linear, DIAL_BITS, i % 2 ? 4 : 3, false);
        printf("%s: bits 4 <-> 3; first figure on %.0f tokens\n", structure->linears[linear].name, times[0].tokens);
        print_median("the turn itself (plan)", times, offsetof(Times, call));
        print_median("first accuracy figure", times, offsetof(Times, first));
        print_median("  processor time until then", times, offsetof(Times, processor));
        print_median("decode sample, first token", times, offsetof(Times, begun));
    }
    workbench_close(w);
    return 0;
}

int main(int argc, char **argv) {
    backend_cpu_shorten_spin(argv);
    if (argc > 1) return measure_one_linear(argv[1], argc > 2 ? atoi(argv[2]) : 0);
    Workbench *w;
    Error err = {0};
    if (!workbench_open(&(WorkbenchOptions){0}, &w, &err)) return fprintf(stderr, "%s\n", err.message), 1;
    while (!settled(w)) serve(w);
    const LayerMap *layers = workbench_structure(w)->layers;
    int last = workbench_structure(w)->config.layers - 1;
    measure(w, "weight bits 4 <-> 3, every linear is packed anew", -1, DIAL_BITS, 4, 3);
    measure(w, "weight bits of the first layer's down alone", layers[0].down, DIAL_BITS, 4, 3);
    measure(w, "weight bits of the last layer's down alone", layers[last].down, DIAL_BITS, 4, 3);
    measure(w, "v0 15 <-> 10", -1, DIAL_V0, 15, 10);
    double none = POLICY_NONE, group = GRANULARITY_GROUP;
    workbench_set(w, -1, DIAL_ACTIVATIONS, &none, &err);
    workbench_set(w, -1, DIAL_GRANULARITY, &group, &err);
    while (!settled(w)) serve(w);
    measure(w, "weight-only, group size 64 <-> 128", -1, DIAL_GROUP_SIZE, 64, 128);
    workbench_close(w);
    return 0;
}
