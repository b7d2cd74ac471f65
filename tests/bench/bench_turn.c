// How long after the turn of a dial the first accuracy figure, the final one and the whole decode sample are there, on
// the sample model.
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "workbench/workbench.h"

#define TURNS 9

typedef struct Times {
    double call, first, final, text;
} Times;

static void serve(Workbench *w) {
    struct pollfd fd = {.fd = workbench_fd(w), .events = POLLIN};
    poll(&fd, 1, 1000);
    workbench_update(w);
}

static bool settled(const Workbench *w) {
    const Effect *e = workbench_effect(w);
    uint64_t turn = workbench_turn(w);
    return workbench_calibration_tokens(w) && e->accuracy_finished && e->accuracy_turn == turn &&
           e->decode_turn == turn && e->quantized.finished && !workbench_busy(w);
}

// target: a linear, −1 all.
static Times turn_dial(Workbench *w, int target, Dial dial, double value) {
    Times times = {0};
    double start = clock_seconds();
    workbench_set(w, target, dial, &value, NULL);
    times.call = clock_seconds() - start;
    while (!settled(w)) {
        serve(w);
        const Effect *e = workbench_effect(w);
        double now = clock_seconds() - start;
        bool current = e->accuracy_known && e->accuracy_turn == workbench_turn(w);
        if (current && times.first == 0) times.first = now;
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

static void measure(Workbench *w, const char *title, int target, Dial dial, double one, double other) {
    Times times[TURNS];
    for (int i = 0; i < TURNS; i++) times[i] = turn_dial(w, target, dial, i % 2 ? one : other);
    printf("%s\n", title);
    print_median("the turn itself (plan)", times, offsetof(Times, call));
    print_median("first accuracy figure", times, offsetof(Times, first));
    print_median("decode sample", times, offsetof(Times, text));
    print_median("all evaluation tokens", times, offsetof(Times, final));
}

int main(void) {
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
