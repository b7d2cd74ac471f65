// Processor time of the screen's thread from a key to the frame that answers it, with the jobs running behind it: on
// the sample, or on the model that is given. What the terminal is sent is not counted.
//   bench_screen [MODEL [SECONDS]]
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "tui/screen.h"

enum { TIMES_MOST = 20000 };

typedef struct Times {
    const char *what;
    double seconds[TIMES_MOST];
    int count;
} Times;

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static void print_times(Times *t) {
    if (t->count == 0) return;
    qsort(t->seconds, (size_t)t->count, sizeof *t->seconds, by_value);
    printf("%-34s %6d times   median %6.2f ms   99 %% %6.2f ms   most %6.2f ms\n", t->what, t->count,
           1e3 * t->seconds[t->count / 2], 1e3 * t->seconds[t->count * 99 / 100], 1e3 * t->seconds[t->count - 1]);
}

static void note(Times *t, double start) {
    if (t->count < TIMES_MOST) t->seconds[t->count++] = thread_seconds() - start;
}

static void take_reports(Ui *ui, Times *t) {
    struct pollfd fd = {.fd = workbench_fd(ui->workbench), .events = POLLIN};
    if (poll(&fd, 1, 5) <= 0) return;
    const double start = thread_seconds();
    if (workbench_update(ui->workbench)) {
        ui_update(ui);
        screen_draw(ui);
    }
    note(t, start);
}

static void press(Ui *ui, const char *keys, Times *t, Times *reports) {
    for (; *keys; keys++) {
        const Key key = {.code = *keys == '\n' ? KEY_RETURN : *keys == '\033' ? KEY_ESCAPE : *keys};
        const double start = thread_seconds();
        screen_key(ui, &key);
        screen_draw(ui);
        note(t, start);
        take_reports(ui, reports);
    }
}

static const struct {
    const char *what, *keys;
} rounds[] = {
    {"the rows", "jjjjjjkkjjG\002\002gjj"},
    {"order", "swsxsosx"},
    {"find", "/17.*down.*[13]$\nnnnNN/up\n\033"},
    {"filter", "&bits < 8 layer >= 3 up\nG\033"},
    {"marks, and what dials set", "  *role = up layer >= 3\no\033\tU"},
    {"folding", "g+jjjj-ZZZ"},
    {"a dial turned for all", "\tlhlhlhlh\tu"},
    {"a dial turned for marked ones", "*role = down layer >= 2\nolhlhlhlhu\033\tU"},
    {"the list of overrides", "*up\no:set alpha 0.35\nOjk\033u\033\tU"},
};
enum { ROUNDS = sizeof rounds / sizeof *rounds };

int main(int argc, char **argv) {
    static Times times[ROUNDS], reports = {.what = "a report of the background"}, all = {.what = "all keys"};
    const WorkbenchOptions options = {.model = {.model = argc > 1 ? argv[1] : NULL}};
    const double seconds = argc > 2 ? strtod(argv[2], NULL) : 20;
    Workbench *workbench;
    Ui ui;
    Error err = {0};
    setenv("XDG_STATE_HOME", "/nonexistent", 1); // nothing is kept
    if (!workbench_open(&options, &workbench, &err) || !ui_init(&ui, workbench, NULL, &err) ||
        !ui_resize(&ui, 60, 200, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    printf("%d linears\n", workbench_structure(workbench)->linear_count);
    const double end = clock_seconds() + seconds;
    for (int i = 0; clock_seconds() < end; i = (i + 1) % ROUNDS) {
        times[i].what = rounds[i].what;
        press(&ui, rounds[i].keys, &times[i], &reports);
    }
    for (int i = 0; i < ROUNDS; i++) {
        for (int j = 0; j < times[i].count && all.count < TIMES_MOST; j++)
            all.seconds[all.count++] = times[i].seconds[j];
        print_times(&times[i]);
    }
    print_times(&all);
    print_times(&reports);
    ui_free(&ui);
    workbench_close(workbench);
    return 0;
}
