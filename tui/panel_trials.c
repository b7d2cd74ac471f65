// The Trials screen: rows of what was tried, what base, A and B write, and a plot of divergence against bits.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "quant/difference.h"
#include "tui/format.h"
#include "tui/key_names.h"
#include "tui/panels.h"
#include "tui/plot.h"
#include "tui/prompt.h"
#include "tui/screen.h"
#include "tui/trial_words.h"
#include "tui/trials.h"
#include "tui/wrap.h"

#define LOW_PROBABILITY 0.5 // a token below this was a close call

// ---- the table ----------------------------------------------------------------------------------------------------

#define MARK_COLS 5     // "▸AB●◆"
#define AGAINST_COLS 21 // where there is room: "−0.00694 ±0.00021 ✓" in the place of "−0.0069 ±0.0002 ✓"
#define AGAINST_DECIMALS 4
#define LEAST_ROWS_AND_WORDS 4
#define WORDS_COLS_LEAST 15  // on 80 columns each step of scrolling brings a column
#define WORDS_COLS_WISHED 24 // what tells rows apart goes before figures that can be scrolled to

// Where columns begin. Figures stand in the order of their importance, and those that find no room are scrolled to.
typedef struct TableColumns {
    int words, words_cols;
    int col[TRIAL_COLUMN_COUNT], cols[TRIAL_COLUMN_COUNT]; // col < 0: not there
    int decimals;                                          // of the difference to A
    bool more;                                             // to the right
} TableColumns;

// As many as some row needs, briefly told.
static int words_wished(Ui *ui) {
    const Trials *trials = workbench_trials(ui->workbench);
    int most = WORDS_COLS_LEAST;
    for (size_t i = 0; i <= trials->count && most < WORDS_COLS_WISHED; i++) {
        const TrialRow *row = i < trials->count ? &trials->rows[i] : NULL;
        const int width = row || !trials->present ? trial_words_cols(ui, row) : 0;
        if (width > most) most = width;
    }
    return most < WORDS_COLS_WISHED ? most : WORDS_COLS_WISHED;
}

static TableColumns table_columns(Ui *ui, Rect pane) {
    TableColumns c = {.words = pane.col + MARK_COLS + trial_column_table[TRIAL_NUMBER].width + 1};
    const bool roomy = pane.cols >= 110;
    const int wished = words_wished(ui);
    int room = pane.col + pane.cols - 1 - c.words - wished, least = TRIAL_COLUMN_COUNT, needed = 0;
    for (int i = 0; i < TRIAL_COLUMN_COUNT; i++) {
        c.col[i] = -1;
        c.cols[i] = i == TRIAL_AGAINST && roomy ? AGAINST_COLS : trial_column_table[i].width;
    }
    // Nothing is gained by scrolling beyond the last column.
    while (least > TRIAL_BITS && needed + c.cols[least - 1] <= room) needed += c.cols[--least];
    int *scrolled = &ui->trials.scrolled, first = TRIAL_BITS + *scrolled, end;
    if (first > least) first = least;
    *scrolled = first - TRIAL_BITS;
    for (end = first; end < TRIAL_COLUMN_COUNT && c.cols[end] <= room; end++) room -= c.cols[end];
    c.words_cols = wished + room;
    c.more = end < TRIAL_COLUMN_COUNT;
    c.decimals = AGAINST_DECIMALS + (roomy ? 1 : 0);
    for (int i = first, col = c.words + c.words_cols; i < end; col += c.cols[i++]) c.col[i] = col;
    c.col[TRIAL_NUMBER] = pane.col + MARK_COLS;
    return c;
}

static void draw_figure(Ui *ui, int row, const TableColumns *c, TrialColumn column, Style style, const char *text) {
    if (c->col[column] >= 0) canvas_right(&ui->canvas, row, c->col[column] + 1, c->cols[column] - 1, style, text);
}

static void draw_heading(Ui *ui, Rect pane, const TableColumns *c) {
    for (int i = 0; i < TRIAL_COLUMN_COUNT; i++) {
        const TrialColumnInfo *info = &trial_column_table[i];
        const bool sorts = ui->trials.sort == (TrialColumn)i;
        char title[40];
        if (c->col[i] < 0) continue;
        snprintf(title, sizeof title, "%s%s", info->title,
                 !sorts                                 ? ""
                 : info->falling != ui->trials.reversed ? "▼"
                                                        : "▲");
        draw_figure(ui, pane.row, c, (TrialColumn)i, sorts ? MEANING_ACCENT : MEANING_FAINT, title);
        ui_hit(ui, (Rect){pane.row, c->col[i], 1, c->cols[i]}, HIT_TRIAL_COLUMN, i);
    }
    canvas_fit(&ui->canvas, pane.row, c->words, c->words_cols, MEANING_FAINT, "what changed");
    if (ui->trials.scrolled) canvas_text(&ui->canvas, pane.row, c->words + c->words_cols, 1, MEANING_ACCENT, "‹");
    if (c->more) canvas_text(&ui->canvas, pane.row, pane.col + pane.cols - 1, 1, MEANING_ACCENT, "›");
}

static void draw_against(Ui *ui, int row, const TableColumns *c, const TrialRow *trial) {
    const TrialRow *a = trials_compared(ui, SIDE_A);
    char text[96] = "";
    if (!a || a->figures == trial->figures) {
        draw_figure(ui, row, c, TRIAL_AGAINST, MEANING_FAINT, a && a != trial ? "=" : "");
        return;
    }
    const TrialDifference d = trial_difference(a->figures, trial->figures);
    trials_against_text(&d, c->decimals, ui->canvas.ascii, text, sizeof text);
    const bool same = fabs(d.mean) <= 2 * d.se;
    draw_figure(ui, row, c, TRIAL_AGAINST, same ? MEANING_FAINT : d.mean < 0 ? MEANING_BETTER : MEANING_WORSE, text);
}

static void draw_figures(Ui *ui, Rect line, const TableColumns *c, const TrialRow *trial) {
    const TrialFigures *f = trial->figures;
    const char *settled = f->provisional ? "~" : "";
    char text[TRIAL_COLUMN_COUNT][64] = {""};
    snprintf(text[TRIAL_NUMBER], sizeof *text, "%s", trials_name(ui, trial->number).text);
    snprintf(text[TRIAL_BITS], sizeof *text, "%s", format_fixed(f->bits_per_weight, 2).text);
    snprintf(text[TRIAL_SIZE], sizeof *text, "%s", format_bytes((double)f->bytes).text);
    snprintf(text[TRIAL_KL], sizeof *text, "%s%s", settled,
             format_fixed(f->accuracy.kl_mean, f->accuracy.kl_mean < 1 ? 4 : 2).text);
    snprintf(text[TRIAL_PPL], sizeof *text, "%s%s", settled, format_figure(f->accuracy.ppl, 4).text);
    snprintf(text[TRIAL_TOP1], sizeof *text, "%s%s", settled, format_percent(f->accuracy.top1).text);
    if (f->timed)
        speed_text(&f->speed, false, text[TRIAL_SPEED], sizeof *text);
    else
        snprintf(text[TRIAL_SPEED], sizeof *text, "–");
    for (int i = 0; i < TRIAL_COLUMN_COUNT; i++) {
        const bool dim = i == TRIAL_NUMBER || (i == TRIAL_SPEED && f->timed_earlier);
        draw_figure(ui, line.row, c, (TrialColumn)i, dim ? MEANING_FAINT : MEANING_VALUE, text[i]);
    }
    draw_against(ui, line.row, c, trial);
}

static void draw_words(Ui *ui, Rect line, const TableColumns *c, const TrialRow *trial) {
    char before[600], text[600];
    trial_words_before(ui, trial, before, sizeof before);
    const Canvas *canvas = &ui->canvas;
    if (!*trial->note && *before && canvas_width(canvas, before) + canvas_width(canvas, trial->what) > c->words_cols)
        snprintf(before, sizeof before, "(%s) ", trials_name(ui, trial->from).text);
    int used = canvas_fit(&ui->canvas, line.row, c->words, c->words_cols,
                          *trial->note ? MEANING_TITLE | STYLE_BOLD : MEANING_FAINT, before);
    if (used >= c->words_cols) return;
    trial_words_fit(canvas, trial->what, c->words_cols - used, text, sizeof text);
    canvas_fit(&ui->canvas, line.row, c->words + used, c->words_cols - used,
               trial->earlier ? MEANING_FAINT : MEANING_TEXT, text);
}

// All words of the chosen row, where its line has no room for them.
static void whole_words(Ui *ui, const TableColumns *c, char *out, size_t size) {
    const TrialRow *trial = trials_row(workbench_trials(ui->workbench), trials_selected(ui));
    char before[600], words[1024];
    *out = '\0';
    if (trial)
        trial_words_before(ui, trial, before, sizeof before);
    else
        *before = '\0';
    snprintf(words, sizeof words, "%s%s", before, trial ? trial->what : trials_present_words(ui));
    if (canvas_width(&ui->canvas, words) <= c->words_cols) return;
    if (trial)
        snprintf(out, size, "%s  %s", trials_name(ui, trial->number).text, words);
    else
        snprintf(out, size, "%s", words);
}

static void draw_marks(Ui *ui, Rect line, uint32_t number, bool selected) {
    const Trials *trials = workbench_trials(ui->workbench);
    const TrialRow *a = trials_compared(ui, SIDE_A), *b = trials_compared(ui, SIDE_B),
                   *row = trials_row(trials, number);
    const bool present = number == trials->present;
    Canvas *canvas = &ui->canvas;
    canvas_text(canvas, line.row, line.col, 1, MEANING_ACCENT, selected ? "▸" : " ");
    if (row && row == a) canvas_text(canvas, line.row, line.col + 1, 1, MEANING_ACCENT, "A");
    if ((row && row == b) || (present && !b)) canvas_text(canvas, line.row, line.col + 2, 1, MEANING_ACCENT, "B");
    if (present) canvas_text(canvas, line.row, line.col + 3, 1, MEANING_CHANGED, "●");
    if (row && trial_is_best(trials, row)) canvas_text(canvas, line.row, line.col + 4, 1, MEANING_BETTER, "◆");
}

// The present state on its way to being measured.
static void draw_unmeasured(Ui *ui, Rect line, const TableColumns *c) {
    const Plan *plan = workbench_plan(ui->workbench);
    const Effect *effect = workbench_effect(ui->workbench);
    const bool some = effect->accuracy_known && effect->accuracy_turn == workbench_turn(ui->workbench);
    JobView job;
    char kl[64];
    workbench_job(ui->workbench, JOB_ACCURACY, &job);
    const char *state = job.state == JOB_STOPPED ? "stopped" : job.state == JOB_FAILED ? "failed" : ui_spinner(ui);
    if (some)
        snprintf(kl, sizeof kl, "%s%s…", plan->provisional ? "~" : "", format_fixed(effect->accuracy.kl_mean, 4).text);
    else
        snprintf(kl, sizeof kl, "%s", state);
    char words[600];
    trial_words_fit(&ui->canvas, trials_present_words(ui), c->words_cols, words, sizeof words);
    canvas_fit(&ui->canvas, line.row, c->words, c->words_cols, MEANING_TEXT, words);
    draw_figure(ui, line.row, c, TRIAL_BITS, MEANING_VALUE,
                format_fixed(plan->quantized_count ? plan->bits_per_weight : NAN, 2).text);
    draw_figure(ui, line.row, c, TRIAL_SIZE, MEANING_VALUE, format_bytes((double)plan->bytes).text);
    draw_figure(ui, line.row, c, TRIAL_KL, MEANING_FAINT, kl);
}

static void draw_title(Ui *ui, Rect pane) {
    const char *unkept = workbench_trials_unkept(ui->workbench);
    char note[160] = "";
    snprintf(note, sizeof note, unkept ? " not kept: %s " : " ● now  ◆ best at its size ", unkept);
    const int after = screen_tabs_draw(ui, (Rect){pane.row - 1, pane.col, 1, pane.cols});
    if (canvas_width(&ui->canvas, note) < pane.col + pane.cols - after)
        canvas_right(&ui->canvas, pane.row - 1, after, pane.col + pane.cols - after - 1, MEANING_FAINT, note);
}

static void draw_table(Ui *ui, Rect pane) {
    const TableColumns c = table_columns(ui, pane);
    const Trials *trials = workbench_trials(ui->workbench);
    const uint32_t selected = trials_selected(ui);
    int room = pane.rows - 1;
    char whole[1100] = "";
    TrialOrder order;
    draw_title(ui, pane);
    draw_heading(ui, pane, &c);
    trials_order(ui, &order);
    if (room >= LEAST_ROWS_AND_WORDS) whole_words(ui, &c, whole, sizeof whole);
    if (*whole) room--;
    canvas_fit(&ui->canvas, pane.row + pane.rows - 1, pane.col + MARK_COLS, pane.cols - MARK_COLS - 1, MEANING_TITLE,
               whole);
    const int at = trials_place(&order, selected);
    int *top = &ui->trials.top;
    *top = layout_scroll(*top, at, room, order.count);
    for (int i = *top; i < order.count && i - *top < room; i++) {
        const Rect line = {pane.row + 1 + i - *top, pane.col, 1, pane.cols};
        const TrialRow *trial = trials_row(trials, order.numbers[i]);
        if (trial) {
            draw_figures(ui, line, &c, trial);
            draw_words(ui, line, &c, trial);
        } else
            draw_unmeasured(ui, line, &c);
        draw_marks(ui, line, order.numbers[i], i == at);
        if (i == at) canvas_restyle(&ui->canvas, line, STYLE_SELECTED);
        ui_hit(ui, line, HIT_TRIAL, (int)order.numbers[i]);
    }
}

// ---- texts --------------------------------------------------------------------------------------------------------

static size_t token_start(const DecodeText *text, size_t token) { return token ? text->ends[token - 1] : 0; }

// TextPieces for wrap: the prompt, then every token in its own style, with a mark where the text parts from the base's.
typedef struct TextPieces {
    WrapPiece *items;
    size_t count, keep; // keep: what has to be seen
} TextPieces;

static void add_piece(TextPieces *pieces, const char *text, size_t length, Style style) {
    pieces->items[pieces->count++] = (WrapPiece){text, length, style};
}

static TextPieces pieces_of(Ui *ui, TrialSide which) {
    const TrialText base = trials_text(ui, SIDE_BASE), found = trials_text(ui, which), *side = &found;
    const bool focused = ui->trials.pane == 1 + (int)which;
    const size_t parts_at = which == SIDE_BASE ? SIZE_MAX : trials_parting(&found, &base);
    const DecodeText *text = found.text;
    if (!text) return (TextPieces){0};
    TextPieces pieces = {.items = array_new(2 * text->count + 8, sizeof *pieces.items)};
    const bool chat = workbench_is_chat(ui->workbench);
    const size_t cursor = ui->trials.pane ? trials_token(ui) : SIZE_MAX; // all texts scroll with it
    if (!pieces.items) return pieces;
    add_piece(&pieces, chat ? "user: " : "", SIZE_MAX, MEANING_TITLE);
    add_piece(&pieces, side->prompt, SIZE_MAX, MEANING_FAINT);
    add_piece(&pieces, prompt_mark(ui), SIZE_MAX, MEANING_TITLE);
    for (size_t i = 0; i < text->count; i++) {
        const size_t start = token_start(text, i);
        Style style = i >= parts_at ? MEANING_DIFFERS : MEANING_TEXT;
        if (i == cursor && focused) style |= STYLE_REVERSE;
        if (cursor == SIZE_MAX ? i == parts_at : i <= cursor) pieces.keep = pieces.count;
        const size_t blank = start < text->ends[i] && text->text[start] == ' '; // before a word; nothing to underline
        if (blank) add_piece(&pieces, " ", 1, style);
        if (i == parts_at) add_piece(&pieces, "▸", SIZE_MAX, MEANING_ERROR);
        if (text->probabilities[i] < (float)LOW_PROBABILITY) style |= STYLE_UNDERLINE;
        add_piece(&pieces, text->text + start + blank, text->ends[i] - start - blank, style);
    }
    if (parts_at == text->count) add_piece(&pieces, "▸", SIZE_MAX, MEANING_ERROR); // it ends where others go on
    if (side->waits) add_piece(&pieces, ui_spinner(ui), SIZE_MAX, MEANING_FAINT);
    return pieces;
}

// cols: that there are for it.
static void side_label(const Ui *ui, TrialSide side, int cols, char *out, size_t size) {
    const TrialRow *row = trials_compared(ui, side);
    const bool present = side == SIDE_B && !trials_row(workbench_trials(ui->workbench), ui->trials.b);
    const char *name = side == SIDE_A ? "A" : "B";
    if (side == SIDE_BASE)
        snprintf(out, size, "base");
    else if (row && *row->note)
        snprintf(out, size, "%s  %s: %s", name, trials_name(ui, row->number).text, row->note);
    else if (row) {
        const int used = snprintf(out, size, "%s  %s: ", name, trials_name(ui, row->number).text);
        trial_words_fit(&ui->canvas, row->what, cols - used, out + used, size - (size_t)used);
    } else
        snprintf(out, size, "%s  %s", name, present ? "now, not measured yet" : "none yet");
}

static Rect text_room(Rect rect) {
    const Rect inside = rect_inset(rect, 1);
    return (Rect){rect.row + 1, inside.col, rect.rows - 1, inside.cols};
}

// The line that all texts begin with: of the one that has the keys, else where the first of them parts from the base.
static int first_line(Ui *ui, const TrialsLayout *l) {
    int first = -1;
    for (int i = 0; i < l->text_count && i < SIDE_COUNT; i++) {
        const TrialSide side = trials_text_shown(ui, i);
        if (ui->trials.pane && ui->trials.pane != 1 + (int)side) continue;
        TextPieces pieces = pieces_of(ui, side);
        const int line = pieces.items && pieces.keep
                             ? wrap_first(&ui->canvas, text_room(l->text[i]), pieces.items, pieces.count, pieces.keep)
                             : -1;
        if (line >= 0 && (first < 0 || line < first)) first = line;
        free(pieces.items);
    }
    return first < 0 ? 0 : first;
}

static void draw_text(Ui *ui, Rect rect, TrialSide side, int first) {
    const TrialText text = trials_text(ui, side);
    const bool focused = ui->trials.pane == 1 + (int)side;
    char label[300];
    const Rect inside = rect_inset(rect, 1);
    side_label(ui, side, inside.cols, label, sizeof label);
    canvas_fit(&ui->canvas, rect.row, inside.col, inside.cols,
               focused ? MEANING_FOCUS | STYLE_BOLD : MEANING_TITLE | STYLE_BOLD, label);
    ui_hit(ui, rect, HIT_TRIAL_TEXT, (int)side);
    const Rect room = text_room(rect);
    if (!text.text) {
        canvas_fit(&ui->canvas, room.row, room.col, room.cols, MEANING_FAINT,
                   text.waits ? ui_spinner(ui) : "no text of it is there");
        return;
    }
    TextPieces pieces = pieces_of(ui, side);
    if (pieces.items) wrap_draw_from(&ui->canvas, room, pieces.items, pieces.count, first);
    free(pieces.items);
}

// A token as it can be read: blanks and line ends are seen.
static void token_words(const DecodeText *text, size_t token, char *out, size_t size) {
    const size_t start = token_start(text, token), length = text->ends[token] - start;
    size_t used = 0;
    for (size_t i = 0; i < length && used + 4 < size; i++) {
        const char c = text->text[start + i];
        used += (size_t)snprintf(out + used, size - used, "%c", c == '\n' || c == '\t' ? ' ' : c);
    }
    snprintf(out + used, size - used, "%s", length ? "" : "(end)");
    text_mend(out);
}

// What another model says where both have read the same so far.
static void add_other(const Ui *ui, Text *out, const TrialText *mine, TrialSide side, size_t token) {
    const TrialText other = trials_text(ui, side);
    char word[64];
    if (!other.text || strcmp(other.prompt, mine->prompt) != 0 || token >= other.text->count) return;
    if (decode_text_difference(mine->text, other.text) < token) return;
    token_words(other.text, token, word, sizeof word);
    text_addf(out, " · %s “%s” %s", trial_side_names[side], word,
              format_percent((double)other.text->probabilities[token]).text);
}

static void token_note(const Ui *ui, Text *out) {
    const TrialSide side = (TrialSide)(ui->trials.pane - 1);
    const TrialText mine = trials_text(ui, side);
    const size_t token = trials_token(ui);
    char word[64];
    if (!mine.text || !mine.text->count) return;
    token_words(mine.text, token, word, sizeof word);
    text_addf(out, "token %zu of %zu: %s “%s” %s", token + 1, mine.text->count, trial_side_names[side], word,
              format_percent((double)mine.text->probabilities[token]).text);
    const size_t before = out->length;
    for (int other = 0; other < SIDE_COUNT; other++)
        if (other != (int)side) add_other(ui, out, &mine, (TrialSide)other, token);
    if (out->length == before) text_addf(out, " · the others have read something else by here");
}

// What does not fit whole is left out.
static void draw_signs(Ui *ui, Rect line) {
    const TrialText a = trials_text(ui, SIDE_A), b = trials_text(ui, SIDE_B);
    const size_t parts_at = trials_parting(&b, &a);
    Pen pen = pen_at(&ui->canvas, line);
    if (parts_at != SIZE_MAX) pen_text(&pen, MEANING_FAINT, "A and B part at token %zu · ", parts_at + 1);
    pen_text(&pen, MEANING_FAINT, "▸ parts from the base");
    pen_text(&pen, MEANING_FAINT, " · ");
    pen_text(&pen, MEANING_FAINT | STYLE_UNDERLINE, "underlined");
    pen_text(&pen, MEANING_FAINT, ": less than 50 %% sure");
    pen_text(&pen, MEANING_FAINT, " · %zu tokens", workbench_tokens(ui->workbench));
}

static void draw_note(Ui *ui, Rect line) {
    Text text = {0};
    line = rect_inset(line, 1);
    if (!ui->trials.pane) {
        draw_signs(ui, line);
        return;
    }
    token_note(ui, &text);
    if (text.data) canvas_fit(&ui->canvas, line.row, line.col, line.cols, MEANING_TEXT, text.data);
    text_free(&text);
}

static void draw_texts(Ui *ui, const TrialsLayout *l) {
    char title[96] = "Texts after the same prompt";
    if (l->text_count < SIDE_COUNT && ui->trials.pane) // from there it zooms them first
        snprintf(title, sizeof title, "Texts after the same prompt · %s shows base, A and B",
                 action_keys(&ui->settings, "view"));
    panel_title(ui, l->texts, title, PANE_COUNT);
    const int first = first_line(ui, l);
    for (int i = 0; i < l->text_count && i < SIDE_COUNT; i++) {
        draw_text(ui, l->text[i], trials_text_shown(ui, i), first);
        if (i) {
            const Rect edge = {l->text[i].row, l->text[i].col - 1, l->text[i].rows, 1};
            canvas_fill(&ui->canvas, edge, MEANING_RULE, "│");
        }
    }
    draw_note(ui, l->note);
}

// ---- the difference of two recipes --------------------------------------------------------------------------------

static void draw_difference(Ui *ui, Rect pane) {
    const char *words = trials_compared_words(ui);
    panel_title(ui, pane, "From A to B", PANE_COUNT);
    char labels[2][300];
    for (int i = 0; i < 2; i++) side_label(ui, i ? SIDE_B : SIDE_A, 2 * pane.cols, labels[i], sizeof *labels);
    const WrapPiece pieces[] = {
        {labels[0], SIZE_MAX, MEANING_TITLE | STYLE_BOLD},
        {"\n", SIZE_MAX, MEANING_TEXT},
        {labels[1], SIZE_MAX, MEANING_TITLE | STYLE_BOLD},
        {"\n\n", SIZE_MAX, MEANING_TEXT},
        {words ? words : "there is too little memory", SIZE_MAX, MEANING_TEXT},
    };
    wrap_draw(&ui->canvas, rect_inset(pane, 1), pieces, sizeof pieces / sizeof *pieces, 0);
}

// ---- the plot -----------------------------------------------------------------------------------------------------

// Rows that are looked at lie on top of the others.
enum { OTHER_POINTS, BEST_POINTS, CHOSEN_POINTS, POINT_LAYERS };

static int point_of(const Ui *ui, const TrialRow *row, PlotPoint *out) {
    const Trials *trials = workbench_trials(ui->workbench);
    const bool a = row == trials_compared(ui, SIDE_A), b = row == trials_compared(ui, SIDE_B);
    const bool present = row->number == trials->present, best = trial_is_best(trials, row);
    *out = (PlotPoint){.x = row->figures->bits_per_weight,
                       .y = row->figures->accuracy.kl_mean,
                       .error = row->figures->accuracy.kl_se,
                       .mark = a         ? "A"
                               : present ? "●"
                               : b       ? "B"
                               : best    ? "◆"
                                         : "○",
                       .style = a || b    ? MEANING_ACCENT
                                : present ? MEANING_CHANGED
                                : best    ? MEANING_BETTER
                                          : MEANING_TEXT};
    if (row->number == trials_selected(ui)) out->style |= STYLE_REVERSE;
    return a || b || present || row->number == trials_selected(ui) ? CHOSEN_POINTS : best ? BEST_POINTS : OTHER_POINTS;
}

static void draw_plot(Ui *ui, Rect pane) {
    const Trials *trials = workbench_trials(ui->workbench);
    const int count = (int)trials->count;
    PlotPoint *points = array_new((size_t)count + 1, sizeof *points);
    double *values = array_new((size_t)count + 1, 2 * sizeof *values);
    int *layers = array_new((size_t)count + 1, sizeof *layers);
    panel_title(ui, pane, "KL against bits per weight", PANE_COUNT);
    if (count && points && values && layers) {
        PlotAxis x = {.title = "bits per weight"}, y = {.title = "KL", .logarithmic = true};
        for (int i = 0; i < count; i++) {
            layers[i] = point_of(ui, &trials->rows[i], &points[i]);
            values[i] = points[i].x;
            values[count + i] = points[i].y;
        }
        plot_range(&x, values, count);
        plot_range(&y, values + count, count);
        const Plot plot = plot_begin(&ui->canvas, (Rect){pane.row, pane.col, pane.rows - 1, pane.cols}, &x, &y);
        for (int layer = 0; layer < POINT_LAYERS; layer++)
            for (int i = 0; i < count; i++)
                if (layers[i] == layer) plot_points(&plot, &points[i], 1);
    }
    free(points);
    free(values);
    free(layers);
    canvas_fit(&ui->canvas, pane.row + pane.rows - 1, pane.col + 1, pane.cols - 2, MEANING_FAINT,
               "● now  ◆ best at its size  ○ others; standard error of KL");
}

// ---- the screen ---------------------------------------------------------------------------------------------------

void panel_trials_draw(Ui *ui) {
    trials_settle(ui);
    const TrialsLayout l = layout_trials(&ui->layout, ui->zoomed);
    const TrialRow *a = trials_compared(ui, SIDE_A), *b = trials_compared(ui, SIDE_B);
    const Rect focused = ui->trials.pane ? l.texts : l.table.rows ? l.table : l.plot;
    workbench_look_at_texts(ui->workbench, a ? a->number : 0, b ? b->number : 0);
    if (l.texts.rows) canvas_box(&ui->canvas, l.texts, MEANING_RULE);
    if (l.plot.rows) canvas_box(&ui->canvas, l.plot, MEANING_RULE);
    if (l.table.rows) canvas_box(&ui->canvas, l.table, MEANING_RULE);
    canvas_box(&ui->canvas, focused.rows ? focused : l.texts, MEANING_FOCUS);
    if (l.table.rows) draw_table(ui, l.table);
    if (l.plot.rows) draw_plot(ui, l.plot);
    if (l.texts.rows && ui->trials.difference)
        draw_difference(ui, l.texts);
    else if (l.texts.rows)
        draw_texts(ui, &l);
}
