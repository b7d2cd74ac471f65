// Processor time of the screen's thread from a key to the frame that answers it on the terminal, with the jobs running
// behind it, and what the terminal is sent for it: on the sample, or on the model that is given. The terminal is a
// pseudo-terminal of 60 × 200, whose other side a thread reads.
//   bench_screen [MODEL [SECONDS]]
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "tui/screen.h"

enum { TIMES_MOST = 20000 };

typedef struct Times {
    const char *what;
    double seconds[TIMES_MOST], bytes[TIMES_MOST];
    int count;
} Times;

// ---- the terminal -------------------------------------------------------------------------------------------------

static int master;
static atomic_ullong sent;  // bytes that the terminal got
static atomic_uint noticed; // marks among them

#define MARK '\0' // no program sends it to a terminal

static void *read_all(void *unused) {
    static char bytes[65536];
    (void)unused;
    for (ssize_t n; (n = read(master, bytes, sizeof bytes)) > 0;) {
        unsigned marks = 0;
        for (ssize_t i = 0; i < n; i++) marks += bytes[i] == MARK;
        atomic_fetch_add(&sent, (unsigned long long)(n - marks));
        atomic_fetch_add(&noticed, marks);
    }
    return NULL;
}

// What was measured goes where the output of the program went.
static FILE *terminal_begin(void) {
    const struct winsize size = {.ws_row = 60, .ws_col = 200};
    pthread_t thread;
    int slave;
    FILE *out = fdopen(dup(STDOUT_FILENO), "w");
    if (!out || openpty(&master, &slave, NULL, NULL, &size) < 0) return NULL;
    dup2(slave, STDIN_FILENO);
    dup2(slave, STDOUT_FILENO);
    setenv("TERM", "xterm-256color", 1);
    setenv("COLORFGBG", "15;0", 1); // it need not be asked for
    setlocale(LC_CTYPE, "");
    return pthread_create(&thread, NULL, read_all, NULL) == 0 ? out : NULL;
}

// How many bytes it has got when all is read: a mark behind them has come.
static unsigned long long all_sent(void) {
    static unsigned marks;
    const struct timespec moment = {.tv_nsec = 20000};
    const char mark = MARK;
    if (write(STDOUT_FILENO, &mark, 1) == 1) marks++;
    while (atomic_load(&noticed) != marks) nanosleep(&moment, NULL);
    return atomic_load(&sent);
}

// ---- times --------------------------------------------------------------------------------------------------------

static double thread_seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b) {
    return (*(const double *)a > *(const double *)b) - (*(const double *)a < *(const double *)b);
}

static double at_share(double *values, int count, double share) {
    qsort(values, (size_t)count, sizeof *values, by_value);
    return values[(int)((count - 1) * share)];
}

static void print_times(FILE *out, Times *t) {
    if (t->count == 0) return;
    const double median = at_share(t->seconds, t->count, 0.5), most = t->seconds[t->count - 1];
    fprintf(out, "%-34s %6d times   median %6.2f ms   99 %% %6.2f ms   most %6.2f ms", t->what, t->count, 1e3 * median,
            1e3 * at_share(t->seconds, t->count, 0.99), 1e3 * most);
    fprintf(out, "   %6.0f bytes, 99 %% %6.0f\n", at_share(t->bytes, t->count, 0.5),
            at_share(t->bytes, t->count, 0.99));
}

static void note(Times *t, double seconds, double bytes) {
    if (t->count == TIMES_MOST) return;
    t->seconds[t->count] = seconds;
    t->bytes[t->count++] = bytes;
}

static void show(Ui *ui) {
    screen_draw(ui);
    terminal_show(ui->terminal, &ui->canvas);
}

static void take_reports(Ui *ui, Times *t) {
    struct pollfd fd = {.fd = workbench_fd(ui->workbench), .events = POLLIN};
    if (poll(&fd, 1, 5) <= 0) return;
    const unsigned long long before = all_sent();
    const double start = thread_seconds();
    if (workbench_update(ui->workbench)) {
        ui_update(ui);
        show(ui);
    }
    const double took = thread_seconds() - start;
    note(t, took, (double)(all_sent() - before));
}

static void press(Ui *ui, const char *keys, Times *t, Times *reports) {
    for (; *keys; keys++) {
        const Key key = {.code = *keys == '\n' ? KEY_RETURN : *keys == '\033' ? KEY_ESCAPE : *keys};
        const unsigned long long before = all_sent();
        const double start = thread_seconds();
        screen_key(ui, &key);
        show(ui);
        const double took = thread_seconds() - start;
        note(t, took, (double)(all_sent() - before));
        take_reports(ui, reports);
    }
}

// What other bits would cost is worked out behind the screen.
static void wait_for_costs(Ui *ui, Times *reports) {
    const double end = clock_seconds() + 10;
    while (ui->screen == SCREEN_SENSITIVITY && !ui->sensitivity.ready && clock_seconds() < end)
        take_reports(ui, reports);
}

static void go(Ui *ui, ScreenKind kind, Times *t) {
    const unsigned long long before = all_sent();
    const double start = thread_seconds();
    screen_go(ui, kind);
    ui->focus = PANE_LAYERS;
    show(ui);
    const double took = thread_seconds() - start;
    note(t, took, (double)(all_sent() - before));
}

static const struct {
    ScreenKind screen;
    const char *what, *keys;
} rounds[] = {
    {SCREEN_LAYERS, "Layers: the rows", "jjjjjjkkjjG\002\002gjj"},
    {SCREEN_LAYERS, "order", "swsxsosx"},
    {SCREEN_LAYERS, "find", "/17.*down.*[13]$\nnnnNN/up\n\033"},
    {SCREEN_LAYERS, "filter", "&bits < 8 layer >= 3 up\nG\033"},
    {SCREEN_LAYERS, "marks, and what dials set", "  *role = up layer >= 3\no\033\tU"},
    {SCREEN_LAYERS, "folding", "g+jjjj-ZZZ"},
    {SCREEN_LAYERS, "a dial turned for all", "\tlhlhlhlh\tu"},
    {SCREEN_LAYERS, "a dial turned for marked ones", "*role = down layer >= 2\nolhlhlhlhu\033\tU"},
    {SCREEN_LAYERS, "the list of overrides", "*up\no:set alpha 0.35\nOjk\033u\033\tU"},
    {SCREEN_OUTLIERS, "Outliers: the cells", "jjllhhkk]]][[WGg"},
    {SCREEN_OUTLIERS, "measures, marks, study", "mmmmMMMM  s"},
    {SCREEN_TRIALS, "Trials: rows, texts, difference", "jkGgaajbd\033\tllhj\t\t\tsbSdd"},
    {SCREEN_SWEEP, "Sweep: points and dials", "hlhlgGbhlbd\nhlDb\nhljkDnone\n"},
    {SCREEN_SENSITIVITY, "Sensitivity: the budget", "lllhhhlllhhh<>"},
    {SCREEN_SENSITIVITY, "rows, folds, marks", "jjkkGg ffffssb/down\nnN"},
    {SCREEN_CONVERT, "Convert: formats and engines", "jjkklllhhh"},
};
enum { ROUNDS = sizeof rounds / sizeof *rounds };

static const char *const gone_to[SCREEN_COUNT] = {"going to Layers", "going to Outliers",    "going to Trials",
                                                  "going to Sweep",  "going to Sensitivity", "going to Convert"};

// Each, and all of them together.
static void print_with_all(FILE *out, Times *times, int count, Times *all) {
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < times[i].count; j++) note(all, times[i].seconds[j], times[i].bytes[j]);
        print_times(out, &times[i]);
    }
    print_times(out, all);
}

int main(int argc, char **argv) {
    static Times times[ROUNDS], went[SCREEN_COUNT],
        others[] = {{.what = "a report of the background"}, {.what = "nothing new"}}, all_keys = {.what = "all keys"},
        all_went = {.what = "going to a screen"};
    const WorkbenchOptions options = {.model = {.model = argc > 1 ? argv[1] : NULL}};
    const double seconds = argc > 2 ? strtod(argv[2], NULL) : 30;
    Workbench *workbench;
    Ui ui;
    Error err = {0};
    setenv("XDG_STATE_HOME", "/nonexistent", 1); // nothing is kept
    FILE *out = terminal_begin();
    if (!out || !workbench_open(&options, &workbench, &err) || !ui_init(&ui, workbench, NULL, &err) ||
        !ui_resize(&ui, 60, 200, &err) || !terminal_open(COLORS_AUTO, &ui.terminal, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    fprintf(out, "%d linears\n", workbench_structure(workbench)->linear_count);
    const double end = clock_seconds() + seconds;
    for (int i = 0; clock_seconds() < end; i = (i + 1) % ROUNDS) {
        times[i].what = rounds[i].what;
        went[rounds[i].screen].what = gone_to[rounds[i].screen];
        go(&ui, rounds[i].screen, ui.screen == rounds[i].screen ? &others[1] : &went[rounds[i].screen]);
        wait_for_costs(&ui, &others[0]);
        press(&ui, rounds[i].keys, &times[i], &others[0]);
        if (ui.prompt != PROMPT_NONE) { // the keys of the rounds after this one would go there
            fprintf(stderr, "%s: a question is left open\n", rounds[i].what);
            return 1;
        }
        go(&ui, ui.screen, &others[1]);
    }
    terminal_close(ui.terminal);
    print_with_all(out, times, ROUNDS, &all_keys);
    print_with_all(out, went, SCREEN_COUNT, &all_went);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) print_times(out, &others[i]);
    fclose(out);
    ui_free(&ui);
    workbench_close(workbench);
    return 0;
}
