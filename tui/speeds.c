#include "tui/speeds.h"

#include <stdio.h>
#include <string.h>

#include "tui/panels.h"
#include "tui/wrap.h"

#define COLS 72
#define WORDS_ROWS 2

void speeds_show(Ui *ui, int unused) {
    (void)unused;
    ui->speeds_shown = true;
    workbench_look_at_speeds(ui->workbench, true);
}

static void speeds_hide(Ui *ui) {
    ui->speeds_shown = false;
    workbench_look_at_speeds(ui->workbench, false);
}

// The figures of the turn before are shown in brackets until there are new ones.
static void draw_cell(Ui *ui, int row, int col, int width, const Spread *ratio, bool stale, bool next) {
    char text[32], range[24];
    if (ratio->median < 0) {
        canvas_right(&ui->canvas, row, col, width, MEANING_FAINT, "no memory");
        return;
    }
    if (!(ratio->median > 0)) {
        canvas_right(&ui->canvas, row, col, width, MEANING_FAINT, next ? ui_spinner(ui) : "·");
        return;
    }
    ratio_text(ratio, range, sizeof range);
    snprintf(text, sizeof text, stale ? "(%s)" : "%s", range);
    canvas_right(&ui->canvas, row, col, width,
                 stale                   ? MEANING_FAINT
                 : !speed_is_sure(ratio) ? MEANING_VALUE
                 : speed_pays(ratio)     ? MEANING_BETTER
                                         : MEANING_WORSE,
                 text);
}

#define HEAD_COLS 16
#define CELL_COLS 18
static void draw_map(Ui *ui, Rect inside, const SpeedsView *view, bool runs) {
    Canvas *canvas = &ui->canvas;
    const SpeedMap *map = &view->map;
    const bool stale = view->turn != workbench_turn(ui->workbench);
    const int room = (inside.cols - HEAD_COLS) / map->context_count, width = room < CELL_COLS ? room : CELL_COLS;
    bool next = runs && !stale;
    char text[48];
    for (int k = 0; k < map->context_count; k++) {
        snprintf(text, sizeof text, k ? "%zu" : "context %zu", map->contexts[k]);
        canvas_right(canvas, inside.row, inside.col + HEAD_COLS + k * width, width, MEANING_FAINT, text);
    }
    for (int i = 0; i < map->batch_count; i++) {
        const int row = inside.row + 1 + i;
        snprintf(text, sizeof text, map->batches[i] == 1 ? "%zu sequence" : "%zu side by side", map->batches[i]);
        canvas_fit(canvas, row, inside.col, HEAD_COLS, MEANING_TEXT, text);
        for (int k = 0; k < map->context_count; k++) {
            draw_cell(ui, row, inside.col + HEAD_COLS + k * width, width, &map->ratio[i][k], stale, next);
            next = next && map->ratio[i][k].median != 0;
        }
    }
}

static void draw_words(Ui *ui, Rect rect, const SpeedsView *view, const JobView *job) {
    char words[400], text[sizeof job->message + 64] = "";
    speed_map_words(&view->map, words, sizeof words);
    if (job->state == JOB_FAILED)
        snprintf(text, sizeof text, "%s", job->message);
    else if (view->turn == workbench_turn(ui->workbench) && *words)
        snprintf(text, sizeof text, "Faster than the base: %s.", words);
    else if (job->state == JOB_STOPPED)
        snprintf(text, sizeof text, "Stopped.");
    else if (view->turn != workbench_turn(ui->workbench))
        snprintf(text, sizeof text, "It is timed when the figures of the screen are there.");
    const WrapPiece piece = {text, SIZE_MAX, job->state == JOB_FAILED ? MEANING_ERROR : MEANING_TEXT};
    wrap_draw(&ui->canvas, rect, &piece, 1, 0);
}

void speeds_draw(Ui *ui) {
    const SpeedsView *view = workbench_speeds(ui->workbench);
    const int rows = 1 + (view->turn ? view->map.batch_count : 0) + WORDS_ROWS;
    const Rect inside =
        panel_overlay_draw(ui, rows, COLS, " Decoding, times the base's speed ", " x stop, go on  Esc closes ");
    JobView job;
    workbench_job(ui->workbench, JOB_SPEEDS, &job);
    const Rect text = {inside.row, inside.col + 1, rows, COLS - 2};
    if (view->turn) draw_map(ui, text, view, job.state == JOB_RUNNING);
    draw_words(ui, (Rect){text.row + rows - WORDS_ROWS, text.col, WORDS_ROWS, text.cols}, view, &job);
}

void speeds_key(Ui *ui, const Key *key) {
    JobView job;
    switch (key->code) {
    case 'x':
    case ' ':
        workbench_job(ui->workbench, JOB_SPEEDS, &job);
        if (job_is_on(job.state))
            workbench_stop_job(ui->workbench, JOB_SPEEDS);
        else if (job.state != JOB_DONE)
            workbench_resume_study(ui->workbench, JOB_SPEEDS);
        break;
    case KEY_MOUSE_EVENT:
        if (key->action == MOUSE_PRESS) speeds_hide(ui);
        break;
    case KEY_ESCAPE:
    case 'q':
    case 'B':
    case KEY_CONTROL('c'): speeds_hide(ui); break;
    default: break;
    }
}
