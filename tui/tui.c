// The event loop: waits for keys, signals and the workbench, and draws when something changed.
#include "tui/tui.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "tui/demo.h"
#include "tui/guide.h"
#include "tui/jobs.h"
#include "tui/memory.h"
#include "tui/screen.h"

// Background work may report hundreds of times a second; eyes need fewer frames. Keys are answered at once.
#define FRAME_SECONDS 0.04
#define SPIN_SECONDS 0.125

typedef struct Loop {
    Ui ui;
    char title[200];   // of the window
    double drawn;      // when the last frame was
    double tour;       // seconds until the next step of the tour is due, < 0: there is none
    double unsaved;    // seconds until unsaved changes are to be kept, < 0: there are none
    bool changed, now; // a frame is due; and at once
    bool ended;        // by a signal or with the terminal, not by the user
} Loop;

static void loop_title(Loop *loop) {
    char title[sizeof loop->title];
    jobs_title(&loop->ui, title, sizeof title);
    if (strcmp(title, loop->title) == 0) return;
    memcpy(loop->title, title, sizeof title);
    terminal_title(loop->ui.terminal, title);
}

static void loop_draw(Loop *loop) {
    loop->ui.tick = (int)(clock_seconds() / SPIN_SECONDS);
    screen_draw(&loop->ui);
    terminal_show(loop->ui.terminal, &loop->ui.canvas);
    loop_title(loop);
    loop->drawn = clock_seconds();
    loop->changed = loop->now = false;
}

// How long to wait before something is due without anything happening.
static int loop_patience(const Loop *loop) {
    double wait = loop->unsaved;
    if (loop->tour >= 0) wait = wait < 0 ? loop->tour : fmin(wait, loop->tour);
    if (loop->changed || workbench_busy(loop->ui.workbench)) {
        const double frame = loop->drawn + (loop->changed ? FRAME_SECONDS : SPIN_SECONDS) - clock_seconds();
        wait = wait < 0 ? fmax(frame, 0) : fmin(wait, fmax(frame, 0));
    }
    return wait < 0 ? -1 : (int)(wait * 1000) + 1;
}

static bool loop_resize(Loop *loop, Error *err) {
    int rows, cols;
    terminal_size(loop->ui.terminal, &rows, &cols);
    *loop->title = '\0'; // after a stop it has to be set anew
    loop->changed = loop->now = true;
    return ui_resize(&loop->ui, rows, cols, err);
}

static bool loop_step(Loop *loop, Error *err) {
    Ui *ui = &loop->ui;
    const Wakeup woken = terminal_wait(ui->terminal, workbench_fd(ui->workbench), loop_patience(loop));
    if (woken.quit) ui->quit = loop->ended = true;
    if (woken.resized && !loop_resize(loop, err)) return false;
    if (woken.other && workbench_update(ui->workbench)) {
        ui_update(ui);
        if (jobs_watch(ui, clock_seconds()) && ui->settings.bell) terminal_bell();
        loop->changed = true;
    }
    Key key;
    while (woken.keys && !ui->quit && terminal_key(ui->terminal, &key)) {
        if (!demo_take_over(ui, &key)) screen_key(ui, &key);
        loop->changed = loop->now = true;
    }
    bool acted = false;
    loop->tour = demo_step(ui, &acted);
    if (acted) loop->changed = true;
    const bool spins = !woken.keys && !woken.other && !woken.resized && workbench_busy(ui->workbench);
    if (spins) loop->changed = true;
    if (loop->changed && (loop->now || clock_seconds() - loop->drawn >= FRAME_SECONDS)) loop_draw(loop);
    return true;
}

static bool loop_run(Loop *loop, Error *err) {
    if (!loop_resize(loop, err)) return false;
    loop_draw(loop);
    loop->unsaved = -1;
    loop->tour = 0;
    while (!loop->ui.quit) {
        if (!loop_step(loop, err)) return false;
        loop->unsaved = ui_keep_unsaved(&loop->ui, false);
    }
    return true;
}

// When the user quits, unsaved changes have been decided on. When something else ends the program, they have not.
static void loop_end(Ui *ui, bool decided) {
    if (!ui->demo.forgetful) memory_keep(ui, NULL);
    if (!decided)
        ui_keep_unsaved(ui, true); // before anything else: the terminal may be gone
    else if (ui->prompt != PROMPT_RESTORE)
        unsaved_forget(&ui->unsaved);
    terminal_close(ui->terminal);
    if (!decided && !ui->demo.forgetful && !workbench_saved(ui->workbench))
        fprintf(stderr, "quantdial: %s\n",
                ui->unsaved.there ? "unsaved changes are kept, and offered when this model is opened again"
                                  : ui->message.text);
    ExportView view;
    workbench_export_view(ui->workbench, &view);
    if (view.asked && (view.job.state == JOB_RUNNING || view.job.state == JOB_STOPPED))
        fprintf(stderr, "quantdial: %s is not finished: the same recipe, folder and format go on where it was\n",
                view.folder);
}

// The console of Linux has too few characters for graphs.
static bool only_ascii(const TuiOptions *options) {
    const char *term = getenv("TERM");
    return options->ascii || !terminal_is_utf8() || wcwidth(0x2500) != 1 || // "─", which some locales make wide
           (term && strcmp(term, "linux") == 0);
}

bool tui_possible(Error *err) { return terminal_draws(err); }

char *tui_settings_file(void) { return settings_path(); }

char *tui_settings_faults(const char *path) {
    Settings settings;
    settings_load(path, &settings);
    char *faults = settings.faults.data;
    settings.faults = (Text){0};
    settings_free(&settings);
    return faults;
}

// What is not understood is told, and the program goes on without it. A tour presses the keys of the table.
static void take_settings(Ui *ui, const TuiOptions *options) {
    char *path = options->tour > 0 ? NULL : settings_path();
    ui->settings = settings_default();
    if (path) settings_load(path, &ui->settings);
    if (ui->settings.fault_count == 1)
        ui_fail(ui, "%s: %s", path, ui->settings.faults.data);
    else if (ui->settings.fault_count)
        ui_fail(ui, "%d entries are not used, :settings says why: %s", ui->settings.fault_count, path);
    free(path);
    const Settings *settings = &ui->settings;
    ui->colors = options->theme   ? (ColorScheme)color_scheme_named(options->theme)
                 : options->mono  ? COLORS_MONO
                 : options->light ? COLORS_LIGHT
                                  : settings->theme;
    if (settings->sort >= 0) ui->rows.sort = (Column)settings->sort;
    if (settings->sort >= 0) ui->rows.reversed = settings->reverse;
    if (settings->tokens && !options->tokens_given) workbench_set_tokens(ui->workbench, settings->tokens);
    rows_arrange(&ui->rows);
}

static bool is_first_start(void) {
    char *state = folder_state();
    const bool first = state && !folder_exists(state);
    free(state);
    return first;
}

bool tui_run(Workbench *workbench, const TuiOptions *options, Error *err) {
    setlocale(LC_CTYPE, "");
    Loop loop = {0};
    Ui *ui = &loop.ui;
    const bool first = is_first_start(); // before anything is kept
    bool ok = ui_init(ui, workbench, options->recipe_path, err);
    const bool fresh = options->fresh || options->tour > 0;
    if (ok) take_settings(ui, options);
    if (ok && !fresh) memory_restore(ui, !options->prompt_given, !options->tokens_given);
    ok = ok && workbench_begin(workbench, NULL, err);
    if (ok && !fresh) guide_begin(ui, first);
    ui->canvas.ascii = only_ascii(options) || ui->settings.ascii;
    if (ok && options->tour > 0) demo_start(ui, options->tour);
    log_screen(true);
    ok = ok && terminal_open(ui->colors, &ui->terminal, err);
    if (ok) {
        ok = loop_run(&loop, err);
        loop_end(ui, ok && !loop.ended);
    }
    log_screen(false);
    ui_free(ui);
    return ok;
}
