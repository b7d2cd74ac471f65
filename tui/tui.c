// The event loop: waits for keys, signals and the workbench, and draws when something changed.
#include "tui/tui.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "tui/ui.h"

// Background work may report hundreds of times a second; eyes need fewer frames. Keys are answered at once.
#define FRAME_SECONDS 0.04
#define SPIN_SECONDS 0.125

typedef struct Loop {
    Ui ui;
    double drawn;      // when the last frame was
    bool changed, now; // a frame is due; and at once
} Loop;

static void draw(Loop *loop) {
    loop->ui.tick = (int)(clock_seconds() / SPIN_SECONDS);
    ui_draw(&loop->ui);
    terminal_show(loop->ui.terminal, &loop->ui.canvas);
    loop->drawn = clock_seconds();
    loop->changed = loop->now = false;
}

// How long to wait before something is due without anything happening.
static int patience(const Loop *loop) {
    if (!loop->changed && !workbench_busy(loop->ui.workbench)) return -1;
    const double wait = loop->drawn + (loop->changed ? FRAME_SECONDS : SPIN_SECONDS) - clock_seconds();
    return wait > 0 ? (int)(wait * 1000) + 1 : 0;
}

static bool resize(Loop *loop, Error *err) {
    int rows, cols;
    terminal_size(loop->ui.terminal, &rows, &cols);
    loop->changed = loop->now = true;
    return ui_resize(&loop->ui, rows, cols, err);
}

static bool step(Loop *loop, Error *err) {
    Ui *ui = &loop->ui;
    const Wakeup woken = terminal_wait(ui->terminal, workbench_fd(ui->workbench), patience(loop));
    if (woken.quit) ui->quit = true;
    if (woken.resized && !resize(loop, err)) return false;
    if (woken.other && workbench_update(ui->workbench)) {
        ui_update(ui);
        loop->changed = true;
    }
    Key key;
    while (woken.keys && !ui->quit && terminal_key(ui->terminal, &key)) {
        ui_key(ui, &key);
        loop->changed = loop->now = true;
    }
    const bool spins = !woken.keys && !woken.other && !woken.resized && workbench_busy(ui->workbench);
    if (spins) loop->changed = true;
    if (loop->changed && (loop->now || clock_seconds() - loop->drawn >= FRAME_SECONDS)) draw(loop);
    return true;
}

static bool run(Loop *loop, Error *err) {
    if (!resize(loop, err)) return false;
    draw(loop);
    while (!loop->ui.quit) {
        if (!step(loop, err)) return false;
    }
    return true;
}

// The console of Linux has too few characters for graphs.
static bool only_ascii(const TuiOptions *options) {
    const char *term = getenv("TERM");
    return options->ascii || !terminal_is_utf8() || (term && strcmp(term, "linux") == 0);
}

bool tui_possible(Error *err) { return terminal_draws(err); }

bool tui_run(Workbench *workbench, const TuiOptions *options, Error *err) {
    setlocale(LC_CTYPE, "");
    Loop loop = {0};
    Ui *ui = &loop.ui;
    bool ok = ui_init(ui, workbench, options, err);
    ui->canvas.ascii = only_ascii(options);
    ok = ok && terminal_open(options->mono    ? SCHEME_MONO
                             : options->light ? SCHEME_LIGHT
                                              : SCHEME_AUTO,
                             &ui->terminal, err);
    if (ok) {
        ok = run(&loop, err);
        terminal_close(ui->terminal);
    }
    ui_free(ui);
    return ok;
}
