// A wild hand on the program: random keys, commands, mouse reports, pastes, broken sequences, sizes and signals over a
// pseudo-terminal, with three models and the real workbench behind the real screen. After every handful of events the
// program must be alive, have read them in time, and what the terminal emulator shows must be the frame that the
// program meant, cell by cell, with its border whole and its cursor inside.
//
//   test_tui_keys                                            a few thousand events, as tests
//   test_tui_keys --events N [--seed S] [--model M] [--from F]  events F … F + N − 1 of seed S (make keys)
//   test_tui_keys --shrink N --seed S --model M [--from F]      how late such a hunt may begin and still find it
//
// What an event is depends on its seed and number alone, so a finding is repeated by its seed. What the background
// thread does meanwhile does not: a finding that needs it may want several tries.
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "export/random_checkpoint.h"
#include "tests/support/folder.h"
#include "tests/support/keys.h"
#include "tests/support/screen.h"
#include "tui/layout.h"
#include "tui/terminal.h"
#include "tui/tui.h"
#include "tui/ui.h"
#include "workbench/workbench.h"

#define ANSWER_SECONDS 20.0 // for a machine under load and sanitizers; what is usual is printed
#define TAIL 40             // events told of a finding

// ---- what both sides see ------------------------------------------------------------------------------------------

typedef struct Frame {
    int rows, cols, cursor_row, cursor_col;
    Cell cells[WILD_ROWS_MOST * WILD_COLS_MOST];
} Frame;

typedef struct Shared {
    _Atomic uint64_t version; // odd while a frame is being drawn
    _Atomic uint64_t runs;    // of the screen: it is started again when a key has ended it
    atomic_bool end;
    Frame frame;
} Shared;

static Shared *shared_open(const char *path) {
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    Shared *shared = MAP_FAILED;
    if (fd >= 0 && ftruncate(fd, sizeof *shared) == 0)
        shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0) close(fd);
    if (shared == MAP_FAILED) abort();
    return shared;
}

// ---- the program --------------------------------------------------------------------------------------------------

static Shared *watched;

// The linker puts the first in the place of terminal_show, and that is called by the name of the second.
void __wrap_terminal_show(Terminal *t, const Canvas *canvas); // NOLINT(bugprone-reserved-identifier)
void __real_terminal_show(Terminal *t, const Canvas *canvas); // NOLINT(bugprone-reserved-identifier)

void __wrap_terminal_show(Terminal *t, const Canvas *canvas) { // NOLINT(bugprone-reserved-identifier)
    if (canvas->rows > WILD_ROWS_MOST || canvas->cols > WILD_COLS_MOST) abort();
    Frame *frame = &watched->frame;
    atomic_fetch_add(&watched->version, 1);
    __real_terminal_show(t, canvas);
    frame->rows = canvas->rows;
    frame->cols = canvas->cols;
    frame->cursor_row = canvas->cursor_row;
    frame->cursor_col = canvas->cursor_col;
    memcpy(frame->cells, canvas->cells, (size_t)canvas->rows * (size_t)canvas->cols * sizeof(Cell));
    atomic_fetch_add(&watched->version, 1);
}

// Between two screens the terminal is nobody's, but the hand goes on: its signals must not end the program, and the
// terminal must neither echo it into the next screen nor stop it.
static void prepare_for_pauses(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGCONT, SIGWINCH, SIGQUIT};
    struct termios modes;
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) signal(numbers[i], SIG_IGN);
    if (tcgetattr(STDIN_FILENO, &modes) < 0) abort();
    modes.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON);
    modes.c_iflag &= ~(tcflag_t)IXON; // Ctrl-S would stop it before it begins
    tcsetattr(STDIN_FILENO, TCSANOW, &modes);
}

// A model is opened anew now and then, so that the first moments are hunted too. Little to calibrate and to score: a
// turn is followed by figures of all kinds within moments.
static int show(const char *path, const char *model) {
    const WorkbenchOptions options = {.model = {.model = *model ? model : NULL,
                                                .sequences = 2,
                                                .length = 16,
                                                .eval_tokens = 64,
                                                .window = 16,
                                                .backend = BACKEND_CPU,
                                                .threads = 1,
                                                .no_cache = true},
                                      .most_tokens = 8};
    watched = shared_open(path);
    prepare_for_pauses();
    while (!atomic_load(&watched->end)) {
        Workbench *workbench;
        Error err = {0};
        if (!workbench_open(&options, &workbench, &err)) {
            fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        for (int screens = 0; screens < 3 && !atomic_load(&watched->end); screens++) {
            atomic_fetch_add(&watched->runs, 1);
            unsetenv("TMUX"); // whose buffer is somebody's
            const TuiOptions how = {.ascii = screens == 1, .fresh = true};
            if (!tui_run(workbench, &how, &err)) {
                fprintf(stderr, "%s\n", err.message);
                return 1;
            }
        }
        workbench_close(workbench);
    }
    return 0;
}

// One for a hunt, by its seed: what a description lacks is done in another way.
static const char *terminal_of(uint64_t seed) {
    static const char *const names[] = {"linux",  "xterm-256color", "tmux-256color",
                                        "screen", "xterm-256color", "vt100"};
    return names[seed % (sizeof names / sizeof *names)];
}

// ---- the side that watches ----------------------------------------------------------------------------------------

static char self[4096];

typedef struct Hunt {
    const char *model;
    uint64_t seed, from, count, at; // events
    char *folder, *log;
    Screen *screen;
    Shared *shared;
    Frame frame; // a copy of the newest
    uint64_t frames;
    size_t unread;  // bytes sent since the last look
    double slowest; // answer, in seconds
    char fault[256];
} Hunt;

// Deep inside the folder, so that a name of dots does not lead out of it.
static char *deep_folder(const char *folder) {
    Error err = {0};
    char *deep = path_join(folder, "a/b/c/d/work"), *inner = deep ? path_join(deep, "folder") : NULL;
    if (!inner || !folder_make(inner, &err)) abort();
    free(inner);
    return deep;
}

static char *setting(const char *name, const char *value) {
    Text text = {0};
    text_addf(&text, "%s=%s", name, value);
    if (text.failed) abort();
    return text.data;
}

static void start_program(Hunt *h, const char *model_path) {
    char *frames = path_join(h->folder, "frames"), *work = deep_folder(h->folder);
    h->log = path_join(h->folder, "errors");
    h->shared = shared_open(frames);
    // The program's own words go to a file; the terminal shows nothing but frames.
    const char script[] = "cd \"$WILD_FOLDER\" && exec \"$0\" \"$@\" 2>\"$WILD_LOG\"";
    const char *argv[] = {"/bin/sh", "-c", script, self, "--screen", frames, model_path, NULL};
    char *own[] = {
        setting("WILD_FOLDER", work),         setting("WILD_LOG", h->log),     setting("HOME", work),
        setting("XDG_CONFIG_HOME", work),     setting("XDG_CACHE_HOME", work), setting("XDG_STATE_HOME", work),
        setting("TERM", terminal_of(h->seed))};
    const char *environment[] = {
        own[0], own[1], own[2], own[3], own[4], own[5], own[6], "COLORFGBG=15;0", "OMP_NUM_THREADS=1", NULL};
    h->screen = screen_start(36, 120, argv, environment);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) free(own[i]);
    free(frames);
    free(work);
    if (!h->screen) abort();
}

static bool copy_frame(Hunt *h) {
    const uint64_t before = atomic_load(&h->shared->version);
    const Frame *from = &h->shared->frame;
    if (before % 2 || before == 0) return false;
    const int rows = from->rows, cols = from->cols;
    if (rows < 1 || cols < 1 || rows > WILD_ROWS_MOST || cols > WILD_COLS_MOST) return false;
    h->frame.rows = rows;
    h->frame.cols = cols;
    h->frame.cursor_row = from->cursor_row;
    h->frame.cursor_col = from->cursor_col;
    memcpy(h->frame.cells, from->cells, (size_t)rows * (size_t)cols * sizeof(Cell));
    h->frames = before / 2;
    return atomic_load(&h->shared->version) == before;
}

// The code points of a cell's text, as many as an emulator keeps.
static int code_points(const char *text, uint32_t *codes, int most) {
    const unsigned char *s = (const unsigned char *)text;
    int count = 0;
    while (*s && count < most) {
        uint32_t code = *s < 0x80 ? *s : *s < 0xE0 ? *s & 0x1Fu : *s < 0xF0 ? *s & 0x0Fu : *s & 0x07u;
        for (s++; (*s & 0xC0) == 0x80; s++) code = code << 6 | (*s & 0x3Fu);
        codes[count++] = code;
    }
    return count;
}

static bool cell_shown(const Cell *meant, const VTermScreenCell *shown) {
    uint32_t codes[VTERM_MAX_CHARS_PER_CELL] = {0};
    if (meant->width == 0) return shown->chars[0] == (uint32_t)-1;
    code_points(meant->text, codes, VTERM_MAX_CHARS_PER_CELL);
    if (codes[0] == ' ' && !codes[1] && shown->chars[0] == 0) return true;
    return memcmp(codes, shown->chars, sizeof codes) == 0;
}

static bool frame_shown(Hunt *h) {
    Screen *s = h->screen;
    const Frame *f = &h->frame;
    if (f->rows != s->rows || f->cols != s->cols) {
        snprintf(h->fault, sizeof h->fault, "the frame has %d x %d, the terminal %d x %d", f->rows, f->cols, s->rows,
                 s->cols);
        return false;
    }
    if (s->cols < EMULATOR_LEAST_COLS) return true;
    for (int row = 0; row < f->rows; row++) {
        for (int col = 0; col < f->cols; col++) {
            VTermScreenCell shown = {0};
            const Cell *meant = &f->cells[(size_t)row * (size_t)f->cols + (size_t)col];
            vterm_screen_get_cell(s->screen, (VTermPos){.row = row, .col = col}, &shown);
            if (cell_shown(meant, &shown)) continue;
            snprintf(h->fault, sizeof h->fault, "row %d, column %d shows U+%04X instead of \"%s\"", row, col,
                     shown.chars[0], meant->text);
            return false;
        }
    }
    return true;
}

static bool cursor_shown(Hunt *h) {
    const Frame *f = &h->frame;
    VTermPos at;
    vterm_state_get_cursorpos(vterm_obtain_state(h->screen->vterm), &at);
    const bool meant = f->cursor_row >= 0;
    if (h->screen->cols < EMULATOR_LEAST_COLS) return true;
    snprintf(h->fault, sizeof h->fault, "the cursor is %s at %d, %d instead of %s at %d, %d",
             h->screen->cursor ? "seen" : "hidden", at.row, at.col, meant ? "seen" : "hidden", f->cursor_row,
             f->cursor_col);
    if (!meant) return !h->screen->cursor || strcmp(terminal_of(h->seed), "vt100") == 0; // which cannot hide it
    return h->screen->cursor && at.row == f->cursor_row && at.col == f->cursor_col && f->cursor_row < f->rows &&
           f->cursor_col < f->cols;
}

// What tells how far a table that has the whole frame is scrolled, and that it has more columns, stands on its right
// edge.
static bool is_on_edge(const Cell *cell) {
    static const char *const signs[] = {"┃", "#", "›", ">"};
    for (size_t i = 0; i < sizeof signs / sizeof *signs; i++)
        if (strcmp(cell->text, signs[i]) == 0) return true;
    return false;
}

// The guide takes rows below the frame.
static int frame_end(const Frame *f) {
    int end = f->rows;
    for (int i = 0; i < GUIDE_STEPS && end > LAYOUT_LEAST_ROWS; i++)
        end -= !f->cells[(size_t)(end - 1) * (size_t)f->cols].edges;
    return end;
}

// Whatever lies on the panes, the outer frame stays whole.
static bool border_whole(Hunt *h) {
    const Frame *f = &h->frame;
    if (!layout_make(f->rows, f->cols).fits) return true;
    for (int row = 1; row < frame_end(f); row++) {
        const Cell *cells = &f->cells[(size_t)row * (size_t)f->cols], *last = &cells[f->cols - 1];
        snprintf(h->fault, sizeof h->fault, "row %d of %d x %d has no border: \"%s\" … \"%s\"", row, f->rows, f->cols,
                 cells[0].text, cells[f->cols - 1].text);
        if (!cells[0].edges || (!last->edges && !is_on_edge(last))) return false;
    }
    return true;
}

static bool all_read(const Hunt *h) {
    int waiting = 0;
    return ioctl(h->screen->slave, FIONREAD, &waiting) == 0 && waiting == 0;
}

// Until all is read, and a frame is on the screen as it was meant. Jobs change figures meanwhile, so it may take some
// looks to see one.
static bool answered(Hunt *h) {
    const double start = clock_seconds();
    for (;;) {
        while (screen_take(h->screen, 0)) {
        }
        if (all_read(h) && copy_frame(h) && frame_shown(h) && cursor_shown(h)) break;
        if (screen_gone(h->screen)) {
            snprintf(h->fault, sizeof h->fault, "the program has gone: %s %d",
                     WIFSIGNALED(h->screen->status) ? "signal" : "exit status",
                     WIFSIGNALED(h->screen->status) ? WTERMSIG(h->screen->status) : WEXITSTATUS(h->screen->status));
            return false;
        }
        const double waited = clock_seconds() - start;
        if (waited > ANSWER_SECONDS) {
            if (!all_read(h)) snprintf(h->fault, sizeof h->fault, "keys were not read for %.0f s", waited);
            return false;
        }
        if (waited > h->slowest) h->slowest = waited;
        screen_take(h->screen, 1);
    }
    return border_whole(h);
}

// A terminal takes only so much before somebody reads it, and then both sides would wait for each other.
#define UNREAD_MOST 1500

// Waits for the end of the frame that is being drawn: libvterm crashes when its size changes while a program has a
// scrolling region.
static void finish_frame(Hunt *h) {
    for (int i = 0; i < 1000; i++) {
        const uint64_t version = atomic_load(&h->shared->version);
        const bool more = screen_take(h->screen, 0);
        if (!more && version % 2 == 0 && atomic_load(&h->shared->version) == version) return;
        if (!more) screen_take(h->screen, 1);
    }
}

static void act(Hunt *h, const WildEvent *e) {
    if (e->kind == WILD_BYTES) screen_send_bytes(h->screen, e->bytes, e->length);
    if (e->kind == WILD_RESIZE) {
        finish_frame(h);
        screen_resize(h->screen, e->rows, e->cols);
    }
    if (e->kind == WILD_SIGNAL) kill(h->screen->pid, e->signal);
    if (e->kind == WILD_SIGNAL && e->signal == SIGSTOP) kill(h->screen->pid, SIGCONT);
}

// Ends it as a person would, and waits for its last words: a sanitizer has some at the very end.
static bool end_program(Hunt *h) {
    Screen *s = h->screen;
    atomic_store(&h->shared->end, true);
    const double start = clock_seconds();
    while (!screen_gone(s) && clock_seconds() - start < ANSWER_SECONDS) {
        screen_resize(s, 36, 120);
        screen_send(s, "\033[201~\033\033\033\033:q!\r");
        // Long enough for the program to give up waiting for the end of a paste or an answer that has none.
        const double tried = clock_seconds();
        while (!screen_gone(s) && clock_seconds() - tried < 2) screen_take(s, 20);
    }
    if (s->gone && WIFEXITED(s->status) && WEXITSTATUS(s->status) == 0) return true;
    snprintf(h->fault, sizeof h->fault, "it did not end in order (status %x)", s->gone ? (unsigned)s->status : 0);
    return false;
}

// ---- telling ------------------------------------------------------------------------------------------------------

static void tell_log(const Hunt *h) {
    char *text;
    size_t size;
    if (!file_read(h->log, 1 << 24, &text, &size, NULL)) return;
    if (size) fprintf(stderr, "%s\n", text);
    free(text);
}

static void tell(Hunt *h) {
    const uint64_t end = h->at < h->from + h->count ? h->at + 1 : h->at;
    char *screen = screen_text(h->screen);
    fprintf(stderr, "%s\nmodel %s, seed %llu, event %llu; the last ones:\n", h->fault, h->model,
            (unsigned long long)h->seed, (unsigned long long)h->at);
    for (uint64_t i = end - h->from > TAIL ? end - TAIL : h->from; i < end; i++) {
        const WildEvent e = wild_event(h->seed, i);
        char text[256];
        wild_describe(&e, text, sizeof text);
        fprintf(stderr, "  %llu  %s%s\n", (unsigned long long)i, text, e.pause ? "   (looked)" : "");
    }
    fprintf(stderr, "once more: %s --model %s --seed %llu --from %llu --events %llu\n%s\n", self, h->model,
            (unsigned long long)h->seed, (unsigned long long)h->from, (unsigned long long)(end - h->from),
            screen ? screen : "");
    free(screen);
    tell_log(h);
}

// ---- models -------------------------------------------------------------------------------------------------------

static char *layers_model(const char *folder) {
    Error err = {0};
    RandomOptions options = {.shape = *random_shape_find("tiny"), .dtype = DTYPE_BF16, .seed = 1};
    char *path = path_join(folder, "layers");
    options.shape.layers = 80;
    if (!random_checkpoint_write(&options, path, NULL, &err)) fail_msg("%s", err.message);
    return path;
}

static void copy_file(const char *from, const char *to, const char *name) {
    Error err = {0};
    char *path = path_join(from, name), *data;
    size_t size;
    if (!file_read(path, 1 << 26, &data, &size, &err)) fail_msg("%s", err.message);
    free(folder_write(to, name, data, size));
    free(data);
    free(path);
}

// The fixture has no tokenizer: whole words, of which it knows a few, serve for a hunt.
static char *experts_model(const char *folder) {
    static const char fixture[] = "tests/fixtures/families/mixtral";
    Error err = {0};
    char *path = path_join(folder, "experts");
    if (!folder_make(path, &err)) fail_msg("%s", err.message);
    copy_file(fixture, path, "config.json");
    copy_file(fixture, path, "model.safetensors");
    folder_put_text(
        path, "tokenizer.json",
        "{\"version\":\"1.0\",\"added_tokens\":[],\"pre_tokenizer\":{\"type\":\"Whitespace\"},"
        "\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"<unk>\",\"vocab\":{\"<unk>\":0,\"the\":1,\"a\":2,"
        "\"and\":3,\"of\":4,\"to\":5,\"in\":6,\"was\":7,\"she\":8,\"he\":9,\"it\":10,\"Once\":11,\"upon\":12,"
        "\"time\":13,\".\":14,\",\":15}}}");
    return path;
}

static char *no_model(const char *folder) {
    (void)folder;
    return strdup(""); // the sample
}

// The sample that has a source and a target.
static char *translator_model(const char *folder) {
    (void)folder;
    const char *samples = getenv("QUANTDIAL_SAMPLES");
    return path_join(samples ? samples : "samples", "translator");
}

static const struct {
    const char *name;
    char *(*make)(const char *folder);
} models[] = {
    {"sample", no_model}, {"layers", layers_model}, {"experts", experts_model}, {"translator", translator_model}};

// ---- hunting ------------------------------------------------------------------------------------------------------

static bool hunt_events(Hunt *h) {
    if (!answered(h)) return false;
    for (h->at = h->from; h->at < h->from + h->count; h->at++) {
        const WildEvent e = wild_event(h->seed, h->at);
        act(h, &e);
        h->unread += e.length;
        if (!e.pause && h->unread < UNREAD_MOST && h->at + 1 < h->from + h->count) continue;
        if (!answered(h)) return false;
        h->unread = 0;
    }
    return true;
}

// True when nothing was found.
static bool hunt(size_t model, uint64_t seed, uint64_t from, uint64_t count) {
    Hunt *h = array_new(1, sizeof *h);
    if (!h) abort();
    *h = (Hunt){.model = models[model].name, .seed = seed, .from = from, .count = count, .folder = folder_temporary()};
    char *path = models[model].make(h->folder);
    const double start = clock_seconds();
    start_program(h, path);
    const bool ok = hunt_events(h) && end_program(h);
    if (!ok) tell(h);
    printf("%s: %llu events, %llu frames, %llu screens, %.0f s; slowest answer %.2f s%s\n", h->model,
           (unsigned long long)(h->at - from), (unsigned long long)h->frames,
           (unsigned long long)atomic_load(&h->shared->runs), clock_seconds() - start, h->slowest,
           ok ? "" : "; FOUND SOMETHING");
    fflush(stdout);
    screen_free(h->screen);
    munmap(h->shared, sizeof *h->shared);
    folder_remove(h->folder);
    free(h->log);
    free(path);
    free(h);
    return ok;
}

// ---- tests, and hunts by hand -------------------------------------------------------------------------------------

enum { TEST_SEED = 1, TEST_EVENTS = 1200 };

static void the_sample_withstands_a_wild_hand(void **state) {
    (void)state;
    assert_true(hunt(0, TEST_SEED, 0, TEST_EVENTS));
}

static void many_layers_withstand_a_wild_hand(void **state) {
    (void)state;
    assert_true(hunt(1, TEST_SEED, 0, TEST_EVENTS));
}

static void experts_withstand_a_wild_hand(void **state) {
    (void)state;
    assert_true(hunt(2, TEST_SEED, 0, TEST_EVENTS));
}

// Spread over the models in pieces, each with a seed of its own, so that a finding does not end the hunt.
static bool hunt_all(uint64_t seed, uint64_t events) {
    const uint64_t piece = 20000;
    uint64_t found = 0;
    for (uint64_t done = 0, i = 0; done < events; done += piece, i++)
        found +=
            !hunt(i % (sizeof models / sizeof *models), seed + i, 0, events - done < piece ? events - done : piece);
    printf("%llu events, %llu findings\n", (unsigned long long)events, (unsigned long long)found);
    return found == 0;
}

// Leaves out as many events at the beginning as it can; what is left is told last.
static bool shrink(size_t model, uint64_t seed, uint64_t from, uint64_t count) {
    const uint64_t end = from + count;
    for (uint64_t step = count / 2; step > 0; step /= 2) {
        if (from + step < end && !hunt(model, seed, from + step, end - from - step)) from += step;
    }
    return hunt(model, seed, from, end - from);
}

static uint64_t number_after(const char *name, int argc, char **argv, uint64_t otherwise) {
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], name) == 0) return strtoull(argv[i + 1], NULL, 10);
    }
    return otherwise;
}

static bool hunt_by_hand(int argc, char **argv) {
    const uint64_t seed = number_after("--seed", argc, argv, 1), from = number_after("--from", argc, argv, 0),
                   events = number_after("--events", argc, argv, 0), less = number_after("--shrink", argc, argv, 0);
    for (int i = 1; i + 1 < argc; i++) {
        for (size_t m = 0; strcmp(argv[i], "--model") == 0 && m < sizeof models / sizeof *models; m++) {
            if (strcmp(models[m].name, argv[i + 1]) == 0)
                return less ? shrink(m, seed, from, less) : hunt(m, seed, from, events);
        }
    }
    return hunt_all(seed, events);
}

int main(int argc, char **argv) {
    if (argc > 3 && strcmp(argv[1], "--screen") == 0) return show(argv[2], argv[3]);
    const ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length < 0 && !realpath(argv[0], self)) return 1;
    // The program works in a folder of its own, so it has to be told where the sample is.
    char *samples = realpath("samples", NULL);
    if (samples) setenv("QUANTDIAL_SAMPLES", samples, 0);
    free(samples);
    if (argc > 1) return hunt_by_hand(argc, argv) ? 0 : 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sample_withstands_a_wild_hand),
        cmocka_unit_test(many_layers_withstand_a_wild_hand),
        cmocka_unit_test(experts_withstand_a_wild_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
