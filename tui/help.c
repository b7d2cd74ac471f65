#include "tui/help.h"

#include <stdio.h>
#include <string.h>

#include "tui/keys.h"

#define SHOWN_COLS 22

typedef struct HelpLine {
    const char *left, *right; // right NULL: a heading; both NULL: a blank line
    const char *arguments;    // of a command
} HelpLine;

#define LINES_MOST 128
typedef struct HelpText {
    HelpLine lines[LINES_MOST];
    int count;
} HelpText;

static void help_add(HelpText *text, const char *left, const char *right, const char *arguments) {
    if (text->count < LINES_MOST) text->lines[text->count++] = (HelpLine){left, right, arguments};
}

static void add_keys(HelpText *text, KeyGroup group) {
    help_add(text, key_group_titles[group], NULL, NULL);
    for (int i = 0; i < binding_count; i++) {
        if (bindings[i].shown && bindings[i].group == group && bindings[i].help)
            help_add(text, bindings[i].shown, bindings[i].help, NULL);
    }
    help_add(text, NULL, NULL, NULL);
}

static HelpText whole_text(void) {
    HelpText text = {.count = 0};
    for (int group = 0; group < KEY_GROUPS; group++) add_keys(&text, (KeyGroup)group);
    help_add(&text, "Mouse", NULL, NULL);
    help_add(&text, "click", "select a linear or dial, sort by a column, press a key of the bottom line", NULL);
    help_add(&text, "drag, wheel", "move a slider; turn a dial once it is focused; scroll", NULL);
    help_add(&text, NULL, NULL, NULL);
    help_add(&text, "Commands", NULL, NULL);
    for (int i = 0; i < binding_count; i++) {
        const Binding *b = &bindings[i];
        if (b->word) help_add(&text, b->word, b->help, b->text ? b->text : "");
    }
    help_add(&text, NULL, NULL, NULL);
    help_add(&text, "Marks", NULL, NULL);
    help_add(&text, "✓ ✗ ≈", "better, worse, or the same within the error, compared with the pin", NULL);
    help_add(&text, "0.42 ±0.01 ← 0.51", "KL of the quantized model from the base, its error, and the other direction",
             NULL);
    help_add(&text, "why", "shares of weights and input in the error of a linear's output; the channel that reaches",
             NULL);
    help_add(&text, "", "furthest, times the median; the column of weights that can err most, its share among all",
             NULL);
    help_add(&text, "(2.41) 2.41…", "from an earlier setting; not all tokens scored or timed yet", NULL);
    help_add(&text, "~", "rests on ranges that may still grow: calibration goes on", NULL);
    help_add(&text, "1.6–1.9×", "times the base's speed, timed in turn, outermost tenths left out", NULL);
    help_add(&text, "*", "overridden for this linear", NULL);
    help_add(&text, "● ◐", "marked, some of the row's linears are", NULL);
    help_add(&text, "○ ◉ ·", "changed by the last turn, marked and changed, unlike the pin", NULL);
    return text;
}

static void draw_line(Ui *ui, Rect line, const HelpLine *help) {
    Canvas *canvas = &ui->canvas;
    if (!help->left) return;
    if (!help->right) {
        canvas_text(canvas, line.row, line.col, line.cols, MEANING_FOCUS | STYLE_BOLD, help->left);
        return;
    }
    char left[64];
    snprintf(left, sizeof left, "%s%s %s", help->arguments ? ":" : "", help->left,
             help->arguments ? help->arguments : "");
    canvas_fit(canvas, line.row, line.col + 1, SHOWN_COLS - 2, MEANING_ACCENT, left);
    canvas_fit(canvas, line.row, line.col + SHOWN_COLS, line.cols - SHOWN_COLS, MEANING_TEXT, help->right);
}

void help_draw(Ui *ui) {
    const HelpText text = whole_text();
    const Layout *l = &ui->layout;
    const int cols = l->frame.cols - 8 < 90 ? l->frame.cols - 8 : 90, most = l->frame.rows - 4;
    const int rows = text.count < most ? text.count : most;
    const Rect inside = {l->frame.row + (l->frame.rows - rows) / 2, l->frame.col + (l->frame.cols - cols) / 2, rows,
                         cols};
    canvas_restyle(&ui->canvas, (Rect){0, 0, ui->canvas.rows, ui->canvas.cols}, STYLE_DIM);
    const Rect whole = {inside.row - 1, inside.col - 2, rows + 2, cols + 4};
    canvas_fill(&ui->canvas, whole, MEANING_TEXT, " ");
    canvas_box(&ui->canvas, (Rect){inside.row, inside.col - 1, rows, cols + 2}, MEANING_FOCUS);
    canvas_text(&ui->canvas, inside.row - 1, inside.col + 1, cols, MEANING_FOCUS | STYLE_BOLD, " Help ");
    canvas_right(&ui->canvas, inside.row + rows, inside.col, cols, MEANING_FAINT,
                 rows < text.count ? " ↑ ↓ scroll  Esc closes " : " Esc closes ");
    ui->help_rows = text.count;
    if (ui->help_top > text.count - rows) ui->help_top = text.count - rows;
    if (ui->help_top < 0) ui->help_top = 0;
    for (int i = 0; i < rows; i++)
        draw_line(ui, (Rect){inside.row + i, inside.col + 1, 1, cols - 2}, &text.lines[ui->help_top + i]);
}

void help_key(Ui *ui, const Key *key) {
    const int page = ui->layout.frame.rows - 6;
    switch (key->code) {
    case KEY_ARROW_UP:
    case 'k': ui->help_top--; break;
    case KEY_ARROW_DOWN:
    case 'j': ui->help_top++; break;
    case KEY_PAGE_UP: ui->help_top -= page; break;
    case KEY_PAGE_DOWN:
    case ' ': ui->help_top += page; break;
    case KEY_TO_START:
    case 'g': ui->help_top = 0; break;
    case KEY_TO_END:
    case 'G': ui->help_top = ui->help_rows; break;
    case KEY_MOUSE_EVENT:
        if (key->action == MOUSE_WHEEL_UP)
            ui->help_top -= 3;
        else if (key->action == MOUSE_WHEEL_DOWN)
            ui->help_top += 3;
        else if (key->action == MOUSE_PRESS)
            ui->help = false;
        break;
    case KEY_ESCAPE:
    case 'q':
    case '?':
    case KEY_FUNCTION(1):
    case KEY_CONTROL('c'): ui->help = false; break;
    default: break;
    }
}
