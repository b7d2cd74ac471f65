#include "tui/view.h"

#include <assert.h>
#include <stdlib.h>

#include "tui/guide.h"
#include "tui/screen.h"
#include "tui/trials.h"

// ---- zoom ---------------------------------------------------------------------------------------------------------

static const Pane keys_in[] = {[ZOOM_NONE] = PANE_COUNT,
                               [ZOOM_LAYERS] = PANE_LAYERS,
                               [ZOOM_DETAIL] = PANE_LAYERS, // ↑ and ↓ go from linear to linear
                               [ZOOM_DIALS] = PANE_DIALS,
                               [ZOOM_EFFECT] = PANE_TEXTS};
static_assert(sizeof keys_in / sizeof *keys_in == ZOOM_COUNT, "a zoomed pane has no keys");

void view_arrange(Ui *ui) {
    const int rows = ui->canvas.rows;
    const Layout whole = layout_make(rows - guide_rows(ui, rows), ui->canvas.cols);
    ui->layout = layout_zoom(&whole, ui->screen == SCREEN_LAYERS ? ui->zoom : ZOOM_NONE);
}

static Zoom zoom_of_focus(const Ui *ui) {
    static const Zoom of_pane[] = {[PANE_LAYERS] = ZOOM_LAYERS, [PANE_DIALS] = ZOOM_DIALS, [PANE_TEXTS] = ZOOM_EFFECT};
    static_assert(sizeof of_pane / sizeof *of_pane == PANE_COUNT, "a pane cannot be zoomed");
    return of_pane[ui->focus];
}

static void zoom_to(Ui *ui, Zoom zoom) {
    ui->zoom = zoom;
    if (zoom != ZOOM_NONE) ui->focus = keys_in[zoom];
    view_arrange(ui);
}

static Zoom zoom_after(Zoom zoom, int steps) {
    const int panes = ZOOM_COUNT - 1;
    return (Zoom)(1 + ((int)zoom - 1 + steps + panes) % panes);
}

// Of the other screens the panes are counted by the table of screens.
static int panes_of(const Ui *ui) {
    if (ui->screen == SCREEN_LAYERS) return ZOOM_COUNT - 1;
    const bool field = ui->screen == SCREEN_SWEEP && workbench_swept(ui->workbench)->dial_count == 2;
    return field ? 1 : screen_table[ui->screen].panes;
}

bool view_can_zoom(const Ui *ui) { return panes_of(ui) > 0; }

static void zoom_other(Ui *ui) {
    const int panes = panes_of(ui), first = ui->screen == SCREEN_TRIALS && ui->trials.pane ? 2 : 1;
    if (!panes) {
        ui_say(ui, "all of this screen is seen already");
        return;
    }
    const int next = ui->zoomed ? 1 + ui->zoomed % panes : first;
    ui->zoomed = ui->zoomed && next == first ? 0 : next;
    if (ui->screen == SCREEN_TRIALS) trials_follow_zoom(ui);
}

void view_zoom(Ui *ui, int unused) {
    (void)unused;
    if (ui->screen != SCREEN_LAYERS) {
        zoom_other(ui);
        return;
    }
    const Zoom next = ui->zoom == ZOOM_NONE ? zoom_of_focus(ui) : zoom_after(ui->zoom, 1);
    if (ui->zoom == ZOOM_NONE)
        ui->zoomed_first = next;
    else if (next == ui->zoomed_first) {
        view_whole(ui);
        return;
    }
    zoom_to(ui, next);
}

void view_whole(Ui *ui) {
    if (ui->zoom != ZOOM_NONE) ui->focus = keys_in[ui->zoomed_first];
    zoom_to(ui, ZOOM_NONE);
}

void view_next_pane(Ui *ui, int steps) {
    if (ui->zoom != ZOOM_NONE)
        zoom_to(ui, zoom_after(ui->zoom, steps));
    else
        ui->focus = (Pane)(((int)ui->focus + steps + PANE_COUNT) % PANE_COUNT);
}

// ---- texts --------------------------------------------------------------------------------------------------------

static void scroll_to(Ui *ui, int line) {
    Texts *texts = &ui->texts;
    texts->scrolled = true;
    texts->top = line > texts->last ? texts->last : line;
    if (texts->top < 0) texts->top = 0;
}

void view_scroll(Ui *ui, int lines) { scroll_to(ui, ui->texts.top + lines); }

void view_scroll_page(Ui *ui, int pages) {
    const int page = ui->texts.rows - 1;
    view_scroll(ui, pages * (page > 1 ? page : 1));
}

void view_scroll_end(Ui *ui, int direction) { scroll_to(ui, direction < 0 ? 0 : ui->texts.last); }

#define TOKENS_LEAST 8

static void set_tokens(Ui *ui, size_t tokens) {
    if (tokens != workbench_tokens(ui->workbench)) workbench_set_tokens(ui->workbench, tokens);
    ui_say(ui, "both models write up to %zu tokens", tokens);
}

void view_length(Ui *ui, int direction) {
    const size_t now = workbench_tokens(ui->workbench), wanted = direction > 0 ? now * 2 : now / 2;
    set_tokens(ui, wanted < TOKENS_LEAST ? TOKENS_LEAST : wanted > TEXT_TOKENS_MOST ? TEXT_TOKENS_MOST : wanted);
}

void view_tokens(Ui *ui, const char *count) {
    if (!*count) {
        set_tokens(ui, workbench_tokens(ui->workbench)); // says it
        return;
    }
    char *end;
    const long tokens = strtol(count, &end, 10);
    if (!*end && tokens >= 1 && tokens <= TEXT_TOKENS_MOST)
        set_tokens(ui, (size_t)tokens);
    else
        ui_fail(ui, "tokens: a number from 1 to %d, not “%s”", TEXT_TOKENS_MOST, count);
}
