// The Convert screen: the format and the folder, what engines will do with it, and the job that writes.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "quant/difference.h"
#include "tui/convert.h"
#include "tui/format.h"
#include "tui/graph.h"
#include "tui/panels.h"
#include "tui/screen.h"
#include "tui/wrap.h"

#define LABEL_COLS 9
#define LOADING_LINES_MOST 6

static Style severity_style(Severity severity) {
    switch (severity) {
    case SEVERITY_NOTE: return MEANING_FAINT;
    case SEVERITY_SLOWER: return MEANING_CHANGED;
    case SEVERITY_MISREAD: return MEANING_WORSE;
    case SEVERITY_REFUSED: break;
    }
    return MEANING_ERROR;
}

// ---- what is chosen -----------------------------------------------------------------------------------------------

static Rect form_line(Ui *ui, Rect pane, int row, const char *label) {
    canvas_text(&ui->canvas, pane.row + row, pane.col + 1, LABEL_COLS, MEANING_FAINT, label);
    return (Rect){pane.row + row, pane.col + 1 + LABEL_COLS, 1, pane.cols - 2 - LABEL_COLS};
}

// Engines by name, each family once: "vllm, sglang, transformers".
static void readers(ExportFormat format, char *out, size_t size) {
    const Targets targets = targets_of_format(format);
    const char *last = "-";
    size_t used = 0;
    *out = '\0';
    for (int t = 0; t < TARGET_COUNT; t++) {
        const char *group = target_table[t].group;
        if (!(targets >> t & 1) || strncmp(group, last, strlen(last)) == 0) continue;
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? ", " : "", group);
        last = group;
    }
    if (!used) snprintf(out, size, "all that read the model as it was");
}

static void draw_format(Ui *ui, Rect line) {
    Pen pen = pen_at(&ui->canvas, line);
    char engines[128];
    const int from = pen.col;
    pen_text(&pen, MEANING_ACCENT, "◂");
    ui_hit(ui, (Rect){line.row, from, 1, 2}, HIT_KEY, KEY_ARROW_LEFT);
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, " %s ", export_format_names[ui->convert.format]);
    ui_hit(ui, (Rect){line.row, pen.col - 1, 1, 2}, HIT_KEY, KEY_ARROW_RIGHT);
    pen_text(&pen, MEANING_ACCENT, "▸");
    readers(ui->convert.format, engines, sizeof engines);
    pen_text(&pen, MEANING_FAINT, "   for %s", engines);
    if (ui->convert.odd_bits && ui->convert.format == EXPORT_COMPRESSED_TENSORS)
        pen_text(&pen, MEANING_CHANGED, "   2, 3 bits: b");
}

static void draw_folder(Ui *ui, Rect line) {
    char *folder = convert_folder(ui);
    const char *note = ui->convert.folder ? "" : "   offered; o names another";
    const int room = line.cols - canvas_width(&ui->canvas, note);
    const int used = canvas_fit(&ui->canvas, line.row, line.col, room,
                                ui->convert.folder ? MEANING_VALUE | STYLE_BOLD : MEANING_TEXT, folder ? folder : "");
    canvas_text(&ui->canvas, line.row, line.col + used, line.cols - used, MEANING_FAINT, note);
    ui_hit(ui, line, HIT_KEY, 'o');
    free(folder);
}

#define NEEDS_LINES_MOST 3

// Why there cannot be an estimate, and what the user can do.
static void refusal_text(const Ui *ui, const ForecastView *view, char *out, size_t size) {
    char message[sizeof view->message];
    const bool mends = view->refused && view->forecast.unwritable && convert_is_mendable(ui);
    convert_words(view->message, message, sizeof message);
    snprintf(out, size, "%s%s", mends ? "f mends this: " : "", message);
}

static bool bits_differ(const Ui *ui, const ForecastView *view) {
    char text[256];
    export_bits_text(&view->forecast, workbench_plan(ui->workbench), text, sizeof text);
    return *text;
}

static bool warns(const ForecastView *view) { return view->forecast.warning[0]; }

// Lines of the estimate, or of why there cannot be one.
static int needs_lines(const Ui *ui) {
    ForecastView view;
    char message[sizeof view.message + 16];
    workbench_forecast(ui->workbench, &view);
    if (!view.known) return 1;
    refusal_text(ui, &view, message, sizeof message);
    const WrapPiece piece = {message, SIZE_MAX, MEANING_ERROR};
    const int cols = ui->layout.frame.cols - 4 - LABEL_COLS;
    const int lines =
        view.refused ? wrap_lines(&ui->canvas, cols, &piece, 1) : 1 + bits_differ(ui, &view) + warns(&view);
    return lines < NEEDS_LINES_MOST ? lines : NEEDS_LINES_MOST;
}

static void draw_estimate(Ui *ui, Rect line, const ExportForecast *f) {
    Pen pen = pen_at(&ui->canvas, line);
    char files[32] = "";
    if (f->files > 1) snprintf(files, sizeof files, " in %d files", f->files);
    pen_text(&pen, MEANING_VALUE | STYLE_BOLD, "%s", format_bytes((double)f->bytes).text);
    pen_text(&pen, MEANING_TEXT, "%s   ", files);
    if (f->left == 0)
        pen_text(&pen, MEANING_BETTER, "all of it is there   ");
    else if (f->left < f->bytes)
        pen_field(&pen, "still", MEANING_VALUE, "%s", format_bytes((double)f->left).text);
    pen_field(&pen, "disk has", MEANING_VALUE, "%s", isinf(f->room) ? "?" : format_bytes(f->room).text);
    pen_field(&pen, "computing", MEANING_VALUE, "%s", format_seconds(f->seconds).text);
    pen_field(&pen, "memory", MEANING_VALUE, "%s", format_bytes((double)f->memory).text);
}

// What is to be known beside it.
static void draw_notes(Ui *ui, Rect place, const ExportForecast *f) {
    char bits[256], warning[sizeof f->warning];
    export_bits_text(f, workbench_plan(ui->workbench), bits, sizeof bits);
    convert_words(f->warning, warning, sizeof warning);
    const char *const lines[] = {bits, warning};
    for (int i = 0, row = 0; i < 2 && row < place.rows; i++)
        if (*lines[i]) canvas_fit(&ui->canvas, place.row + row++, place.col, place.cols, MEANING_CHANGED, lines[i]);
}

// The estimate, or why there cannot be one.
static void draw_needs(Ui *ui, Rect place) {
    const Rect line = {place.row, place.col, 1, place.cols};
    ForecastView view;
    workbench_forecast(ui->workbench, &view);
    if (!view.known) {
        Pen pen = pen_at(&ui->canvas, line);
        pen_text(&pen, MEANING_FAINT, "%s working out sizes…", ui_spinner(ui));
    } else if (view.refused) {
        char message[sizeof view.message + 16];
        refusal_text(ui, &view, message, sizeof message);
        const WrapPiece piece = {message, SIZE_MAX, MEANING_ERROR};
        wrap_draw(&ui->canvas, place, &piece, 1, 0);
    } else {
        draw_estimate(ui, line, &view.forecast);
        draw_notes(ui, (Rect){place.row + 1, place.col, place.rows - 1, place.cols}, &view.forecast);
    }
}

static void draw_form(Ui *ui, Rect pane) {
    char title[300];
    if (ui->recipe_path && workbench_saved(ui->workbench))
        snprintf(title, sizeof title, " by %.200s ", ui->recipe_path);
    else
        snprintf(title, sizeof title, " by the recipe as it is now%s ",
                 workbench_saved(ui->workbench) ? "" : ", not saved");
    const int after =
        screen_tabs_draw(ui, (Rect){pane.row - 1, pane.col, 1, pane.cols - canvas_width(&ui->canvas, title)});
    canvas_right(&ui->canvas, pane.row - 1, after, pane.col + pane.cols - after - 1, MEANING_TITLE, title);
    draw_format(ui, form_line(ui, pane, 0, "format"));
    draw_folder(ui, form_line(ui, pane, 1, "folder"));
    panel_figures_line(ui, form_line(ui, pane, 2, "recipe"));
    Rect needs = form_line(ui, pane, 3, "files");
    needs.rows = pane.rows - 3;
    draw_needs(ui, needs);
}

// ---- engines ------------------------------------------------------------------------------------------------------

// How many linears of a row are to have inputs of 8 bits by the plan, and have not.
static int inputs_dropped(const Plan *plan, const VerdictRow *row) {
    int wanted = 0, plain = 0, all = 0;
    for (int i = 0; i < plan->linear_count; i++)
        wanted += plan->decisions[i].quantized && plan->decisions[i].activations != POLICY_NONE;
    for (int i = 0; i < row->use_count; i++) {
        all += row->uses[i].linears;
        if (strcmp(row->uses[i].inputs, "16 bit") == 0) plain += row->uses[i].linears;
    }
    return wanted + plain > all ? wanted + plain - all : 0;
}

typedef struct EngineColumns {
    int engine, loads, kernel, inputs, worst; // where they begin
    int end;
} EngineColumns;

static EngineColumns engine_columns(Rect pane) {
    const bool wide = pane.cols >= 110;
    EngineColumns c = {.engine = pane.col + 2, .end = pane.col + pane.cols - 1};
    c.loads = c.engine + (wide ? 34 : 13);
    c.kernel = c.loads + 6;
    c.inputs = c.kernel + (pane.cols >= 150 ? 46 : wide ? 26 : 18);
    c.worst = c.inputs + (wide ? 21 : 16);
    return c;
}

static void draw_heading(Ui *ui, Rect pane) {
    const EngineColumns c = engine_columns(pane);
    Canvas *canvas = &ui->canvas;
    canvas_text(canvas, pane.row, c.engine, c.loads - c.engine - 1, MEANING_FAINT, "engine");
    canvas_text(canvas, pane.row, c.loads, c.kernel - c.loads - 1, MEANING_FAINT, "loads");
    canvas_text(canvas, pane.row, c.kernel, c.inputs - c.kernel - 1, MEANING_FAINT, "kernel");
    canvas_text(canvas, pane.row, c.inputs, c.worst - c.inputs - 1, MEANING_FAINT, "inputs there");
    canvas_text(canvas, pane.row, c.worst, c.end - c.worst, MEANING_FAINT, "worst finding");
}

// "Marlin", "Marlin 40, Humming 2": each with its linears where there are several; "Marlin 40 of 42", "Marlin 40/42" or
// "Marlin 95 %" where that is too wide.
static void kernels_text(const Ui *ui, const VerdictRow *row, int cols, char *out, size_t size) {
    Text text = {0};
    int count = 0, all = 0, most = 0;
    for (int i = 0; i < row->use_count; i++) {
        const char *kernel = row->uses[i].kernel; // once, whatever inputs it has
        int linears = 0, before = 0;
        all += row->uses[i].linears;
        while (strcmp(row->uses[before].kernel, kernel) != 0) before++;
        if (before < i) continue;
        for (int j = i; j < row->use_count; j++)
            linears += strcmp(row->uses[j].kernel, kernel) == 0 ? row->uses[j].linears : 0;
        if (!count) most = linears;
        text_addf(&text, "%s%s %d", count++ ? ", " : "", kernel, linears);
    }
    const char *first = row->use_count ? row->uses[0].kernel : "–";
    snprintf(out, size, "%s", count < 2 || !text.data ? first : text.data);
    if (count > 1 && canvas_width(&ui->canvas, out) > cols) snprintf(out, size, "%s %d of %d", first, most, all);
    if (count > 1 && canvas_width(&ui->canvas, out) > cols) snprintf(out, size, "%s %d/%d", first, most, all);
    if (count > 1 && canvas_width(&ui->canvas, out) > cols) snprintf(out, size, "%s %d %%", first, 100 * most / all);
    text_free(&text);
}

// written: the format can be written at all.
static void draw_engine(Ui *ui, Rect line, const Verdict *verdict, const VerdictRow *row, bool written) {
    const EngineColumns c = engine_columns(line);
    const TargetInfo *info = &target_table[row->target];
    const Finding *worst = row->worst < 0 ? NULL : &verdict->findings[row->worst];
    const KernelUse use = row->use_count ? row->uses[0] : (KernelUse){.kernel = "–", .inputs = "–"};
    const bool loads = row->loads && written, chosen = row == convert_row(ui, verdict);
    Canvas *canvas = &ui->canvas;
    char kernel[96], inputs[64];
    kernels_text(ui, row, c.inputs - c.kernel - 1, kernel, sizeof kernel);
    const bool dropped = strcmp(use.inputs, "16 bit") == 0 && inputs_dropped(workbench_plan(ui->workbench), row) > 0;
    snprintf(inputs, sizeof inputs, dropped ? "stay %s!" : "%s", use.inputs);
    canvas_text(canvas, line.row, line.col, 1, MEANING_ACCENT, chosen ? "▸" : " ");
    if (convert_is_target(ui, row->target)) canvas_text(canvas, line.row, line.col + 1, 1, MEANING_ACCENT, "●");
    canvas_fit(canvas, line.row, c.engine, c.loads - c.engine - 1, MEANING_TEXT,
               line.cols >= 110 ? info->title : info->name);
    canvas_text(canvas, line.row, c.loads, 4, loads ? MEANING_BETTER : MEANING_ERROR, loads ? "yes" : "no");
    canvas_fit(canvas, line.row, c.kernel, c.inputs - c.kernel - 1, MEANING_VALUE, kernel);
    canvas_fit(canvas, line.row, c.inputs, c.worst - c.inputs - 1, dropped ? MEANING_WORSE : MEANING_VALUE, inputs);
    char found[96] = "–";
    if (!loads && row->loads) snprintf(found, sizeof found, "not written: see files");
    if (worst && loads == row->loads)
        snprintf(found, sizeof found, "%s %s", severity_names[worst->severity], worst->name);
    const Style style = loads != row->loads ? MEANING_ERROR : worst ? severity_style(worst->severity) : MEANING_FAINT;
    canvas_fit(canvas, line.row, c.worst, c.end - c.worst, style, found);
    if (chosen) canvas_restyle(canvas, line, STYLE_SELECTED);
}

static void draw_engines(Ui *ui, Rect pane, const Verdict *verdict) {
    panel_title(ui, pane, "What engines do with it", PANE_COUNT);
    const VerdictRow *chosen = convert_row(ui, verdict);
    if (!chosen) {
        canvas_fit(&ui->canvas, pane.row, pane.col + 1, pane.cols - 2, MEANING_FAINT,
                   "nothing is quantized in this format: what reads the model as it was reads it");
        return;
    }
    draw_heading(ui, pane);
    const int at = (int)(chosen - verdict->rows), room = pane.rows - 1,
              first = layout_scroll(0, at, room, verdict->row_count);
    ForecastView forecast;
    const bool written = !convert_is_unwritable(ui, &forecast);
    for (int i = first; i < verdict->row_count && i - first < room; i++) {
        const Rect line = {pane.row + 1 + i - first, pane.col, 1, pane.cols};
        draw_engine(ui, line, verdict, &verdict->rows[i], written);
        ui_hit(ui, line, HIT_ENGINE, i);
    }
}

// ---- findings -----------------------------------------------------------------------------------------------------

static int draw_pieces(Ui *ui, Rect rest, const WrapPiece *pieces, size_t count) {
    const int lines = wrap_lines(&ui->canvas, rest.cols, pieces, count);
    rest.rows = lines < rest.rows ? lines : rest.rows;
    wrap_draw(&ui->canvas, rest, pieces, count, 0);
    return rest.rows;
}

// " f sets granularity group, group size 32."; "" where it does nothing.
static void what_f_does(const Finding *finding, char *out, size_t size) {
    size_t used = 0;
    *out = '\0';
    if (finding->severity < SEVERITY_MISREAD) return;
    for (int i = 0; i < finding->change_count && used < size; i++) {
        const VerdictChange *change = &finding->changes[i];
        char value[64];
        int before = 0;
        while (before < i && (finding->changes[before].dial != change->dial ||
                              finding->changes[before].value != change->value)) // NOLINT: the same number or not
            before++;
        if (before < i) continue;
        if (change->dial < 0) {
            used +=
                (size_t)snprintf(out + used, size - used, "%s", used ? ", leaves some alone" : " f leaves it alone");
            continue;
        }
        dial_format((Dial)change->dial, change->value, value, sizeof value);
        used += (size_t)snprintf(out + used, size - used, "%s %s %s", used ? "," : " f sets",
                                 dial_table[change->dial].label, value);
    }
    if (used && used + 1 < size) snprintf(out + used, size - used, ".");
}

static int draw_finding(Ui *ui, Rect rest, const Finding *finding) {
    char head[64], what[400], remedy[400], keys[256];
    Text linears = {0};
    snprintf(head, sizeof head, "%s %s", severity_names[finding->severity], finding->name);
    if (finding->linear_count) text_addf(&linears, ", ");
    if (finding->linear_count)
        linears_describe(workbench_structure(ui->workbench), finding->linears, finding->linear_count, &linears);
    text_addf(&linears, ": ");
    convert_words(finding->what, what, sizeof what);
    convert_words(finding->remedy, remedy, sizeof remedy);
    what_f_does(finding, keys, sizeof keys);
    const WrapPiece pieces[] = {
        {head, SIZE_MAX, severity_style(finding->severity) | STYLE_BOLD},
        {linears.data ? linears.data : ": ", SIZE_MAX, MEANING_FAINT},
        {what, SIZE_MAX, MEANING_TEXT},
        {" ", SIZE_MAX, MEANING_TEXT},
        {remedy, SIZE_MAX, MEANING_VALUE | STYLE_BOLD},
        {keys, SIZE_MAX, MEANING_ACCENT},
    };
    const int used = draw_pieces(ui, rest, pieces, sizeof pieces / sizeof *pieces);
    text_free(&linears);
    return used;
}

// "Humming, inputs 16 bit: down_proj of layers 4–5 (2 linears)".
static void add_use(const Ui *ui, const VerdictRow *row, int use, Text *out) {
    const int all = workbench_structure(ui->workbench)->linear_count;
    const KernelUse *u = &row->uses[use];
    int *linears = array_new((size_t)all, sizeof *linears), count = 0;
    for (int i = 0; linears && i < all; i++)
        if (row->use_of[i] == use) linears[count++] = i;
    if (strcmp(u->kernel, "none") == 0)
        text_addf(out, "no kernel: ");
    else
        text_addf(out, "%s, inputs %s: ", u->kernel, u->inputs);
    if (linears) linears_describe(workbench_structure(ui->workbench), linears, count, out);
    free(linears);
}

// All kernels that run there, when there are several.
static void draw_uses(Ui *ui, Rect rest, const VerdictRow *row) {
    Text text = {0};
    if (row->use_count < 2) return;
    for (int i = 0; i < row->use_count; i++) {
        text_addf(&text, "%s", i ? " · " : "");
        add_use(ui, row, i, &text);
    }
    const WrapPiece piece = {text.data ? text.data : "", SIZE_MAX, MEANING_TEXT};
    draw_pieces(ui, rest, &piece, 1);
    text_free(&text);
}

static void draw_findings(Ui *ui, Rect pane, const Verdict *verdict) {
    const VerdictRow *row = convert_row(ui, verdict);
    const int count = convert_findings(verdict, row);
    char title[160];
    if (!row) return;
    const int first = ui->convert.finding < count ? ui->convert.finding : 0;
    const char *engine = target_table[row->target].title, *version = target_table[row->target].version;
    if (count > 1)
        snprintf(title, sizeof title, "%s: finding %d of %d", engine, first + 1, count);
    else
        snprintf(title, sizeof title, "%s: %s", engine, count ? "one finding" : "nothing found");
    panel_title(ui, pane, title, PANE_COUNT);
    const int left = pane.cols - canvas_width(&ui->canvas, title) - 6;
    char known[96];
    snprintf(known, sizeof known, " as of %s ", version);
    if (canvas_width(&ui->canvas, known) < left)
        canvas_right(&ui->canvas, pane.row - 1, pane.col, pane.cols - 1, MEANING_FAINT, known);
    Rect rest = rect_inset(pane, 1);
    for (int i = 0, at = 0; i < verdict->finding_count && rest.rows > 0; i++) {
        if (!(verdict->findings[i].targets >> row->target & 1) || at++ < first) continue;
        const int used = draw_finding(ui, rest, &verdict->findings[i]);
        rest.row += used;
        rest.rows -= used;
    }
    if (rest.rows > 0) draw_uses(ui, rest, row);
}

// ---- the job ------------------------------------------------------------------------------------------------------

static bool is_file(const char *path) {
    const size_t length = strlen(path);
    return length > 5 && strcmp(path + length - 5, ".gguf") == 0;
}

// A line without the marks of Markdown, with the name of the folder or of its one file in it.
static void loading_line(const char *text, size_t length, const char *folder, char out[512]) {
    static const struct {
        const char *name;
        bool file;
    } names[] = {{"this folder", false}, {"FOLDER", false}, {"FILE.gguf", true}};
    size_t used = 0;
    for (const char *at = text; at < text + length && used < 511;) {
        size_t taken = 0;
        for (size_t i = 0; !taken && i < sizeof names / sizeof *names; i++) {
            if (strncmp(at, names[i].name, strlen(names[i].name)) != 0) continue;
            taken = strlen(names[i].name);
            used += (size_t)snprintf(out + used, 512 - used, "%s%s", folder,
                                     names[i].file && !is_file(folder) ? "/*.gguf" : "");
        }
        if (!taken && *at != '`') out[used++] = *at;
        at += taken ? taken : 1;
    }
    out[used < 511 ? used : 511] = '\0';
}

// Of the engines that load it.
static int loading_lines(const Ui *ui, const ExportView *view, char lines[LOADING_LINES_MOST][512]) {
    int count = 0;
    Text text = {0};
    export_loading(workbench_structure(ui->workbench), view->format, view->verdict, &text);
    for (const char *at = text.data ? text.data : ""; *at && count < LOADING_LINES_MOST;) {
        const size_t length = strcspn(at, "\n");
        if (length && strncmp(at, "```", 3) != 0) loading_line(at, length, view->folder, lines[count++]);
        at += length + (at[length] == '\n');
    }
    text_free(&text);
    return count;
}

// "   misread by sglang": the engines of a kind, beside one.
static void draw_others(Pen *pen, Style style, const char *words, Targets targets) {
    Text names = {0};
    targets_list(targets, &names);
    if (names.length) pen_text(pen, style, "   %s %s", words, names.data);
    text_free(&names);
}

// "vllm-sm80 loads it   also loaded by vllm-sm90, transformers   not by sglang".
static void draw_who_loads(Ui *ui, Rect line, const Verdict *verdict) {
    const VerdictRow *row = convert_row_written_for(ui, verdict);
    Targets loads = 0, misread = 0, refused = 0;
    Pen pen = pen_at(&ui->canvas, line);
    for (int r = 0; r < verdict->row_count; r++) {
        const VerdictRow *other = &verdict->rows[r];
        Targets *of = !other->loads ? &refused : convert_is_bad(verdict, other) ? &misread : &loads;
        if (other != row) *of |= 1U << other->target;
    }
    const bool bad = convert_is_bad(verdict, row);
    if (bad)
        pen_text(&pen, MEANING_ERROR, "%s %s it: %s", target_table[row->target].name,
                 row->loads ? "misreads" : "refuses", verdict->findings[row->worst].name);
    else
        pen_text(&pen, MEANING_BETTER, "%s loads it", target_table[row->target].name);
    draw_others(&pen, MEANING_TEXT, bad ? "loaded by" : "also loaded by", loads);
    draw_others(&pen, MEANING_WORSE, "misread by", misread);
    draw_others(&pen, MEANING_FAINT, "not by", refused);
}

// Folders come last in a line: they may be long.
static void whose_recipe(const ExportView *view, char *out, size_t size) {
    char bits[64] = "";
    if (!isnan(view->bits_per_weight)) snprintf(bits, sizeof bits, ", %.2f bits/weight", view->bits_per_weight);
    if (view->changes)
        snprintf(out, size, "the recipe of %llu change%s ago%s, without later ones", (unsigned long long)view->changes,
                 view->changes == 1 ? "" : "s", bits);
    else
        snprintf(out, size, "the recipe as it is now%s", bits);
}

static void draw_bar(Ui *ui, Rect line, const char *doing, double share, const char *rest) {
    Canvas *canvas = &ui->canvas;
    const int bar = line.cols >= 100 ? 30 : 16;
    char percent[16] = "";
    int col = line.col + canvas_text(canvas, line.row, line.col, line.cols, MEANING_TITLE, doing) + 1;
    if (share < 0) share = 0;
    const int filled = (int)lround(share * bar);
    for (int i = 0; i < bar; i++)
        canvas_text(canvas, line.row, col + i, 1, i < filled ? MEANING_ACCENT : MEANING_TRACK, i < filled ? "━" : "─");
    snprintf(percent, sizeof percent, " %3.0f %%", share * 100);
    col += bar;
    col += canvas_text(canvas, line.row, col, 8, MEANING_VALUE | STYLE_BOLD, percent);
    canvas_fit(canvas, line.row, col, line.col + line.cols - col, MEANING_TEXT, rest);
}

static void draw_waiting(Ui *ui, Rect pane, const ExportView *view) {
    JobView job;
    workbench_job(ui->workbench, view->waits_for, &job);
    char text[400], left[64] = "";
    snprintf(text, sizeof text, "waits until inputs and weights are measured%s: %s",
             job.state == JOB_STOPPED ? ", which is stopped (! resumes it)" : "", view->folder);
    canvas_fit(&ui->canvas, pane.row, pane.col, pane.cols, MEANING_TEXT, text);
    if (job.seconds_left >= 0 && job.seconds > 0.5)
        snprintf(left, sizeof left, "   %s left", format_seconds(job.seconds_left).text);
    draw_bar(ui, (Rect){pane.row + 1, pane.col, 1, pane.cols}, job_doing(view->waits_for), job.share, left);
}

static void draw_running(Ui *ui, Rect pane, const ExportView *view) {
    char recipe[160], text[400], rest[160] = "";
    whose_recipe(view, recipe, sizeof recipe);
    snprintf(text, sizeof text, "%s, to %s", recipe, view->folder);
    canvas_fit(&ui->canvas, pane.row, pane.col, pane.cols, view->changes ? MEANING_CHANGED : MEANING_TEXT, text);
    size_t used = (size_t)snprintf(rest, sizeof rest, "  %s of %s", format_bytes((double)view->done).text,
                                   format_bytes((double)view->total).text);
    if (!isnan(view->rate))
        used += (size_t)snprintf(rest + used, sizeof rest - used, "   %s/s", format_bytes(view->rate).text);
    if (view->job.seconds_left >= 0)
        snprintf(rest + used, sizeof rest - used, "   %s left", format_seconds(view->job.seconds_left).text);
    draw_bar(ui, (Rect){pane.row + 1, pane.col, 1, pane.cols}, view->reads ? "reading back" : "writing",
             view->job.share, view->total ? rest : "");
}

static void draw_stopped(Ui *ui, Rect pane, const ExportView *view) {
    char text[400];
    snprintf(text, sizeof text, "stopped; Enter goes on where it was, now or the next time: %s", view->folder);
    canvas_fit(&ui->canvas, pane.row, pane.col, pane.cols, MEANING_CHANGED, text);
    draw_bar(ui, (Rect){pane.row + 1, pane.col, 1, pane.cols}, view->reads ? "read back" : "written", view->job.share,
             "");
}

static void draw_done(Ui *ui, Rect pane, const ExportView *view) {
    const ExportResult *r = &view->result;
    char text[1200], warning[sizeof r->warning], files[32] = "", lines[LOADING_LINES_MOST][512];
    convert_words(r->warning, warning, sizeof warning);
    if (r->files > 1) snprintf(files, sizeof files, " in %d files", r->files);
    snprintf(text, sizeof text, "%s%s %s, read back and compared, no difference: %s%s%s",
             format_bytes((double)r->bytes).text, files, r->was_complete ? "were there" : "written", view->folder,
             warning[0] ? "; " : "", warning);
    canvas_fit(&ui->canvas, pane.row, pane.col, pane.cols, warning[0] ? MEANING_CHANGED : MEANING_BETTER, text);
    const int count = loading_lines(ui, view, lines);
    if (view->verdict->row_count) {
        draw_who_loads(ui, (Rect){pane.row + 1, pane.col, 1, pane.cols}, view->verdict);
        pane.row++;
        pane.rows--;
    }
    if (!count || pane.rows < 2) return;
    const int label = canvas_text(&ui->canvas, pane.row + 1, pane.col, pane.cols, MEANING_FAINT, "load it  ");
    for (int i = 0; i < count && i + 1 < pane.rows; i++)
        canvas_fit(&ui->canvas, pane.row + 1 + i, pane.col + label, pane.cols - label, MEANING_VALUE, lines[i]);
}

// Why it failed is told as long as it is what Enter would try again, and what was written as long as that is shown.
static bool is_past(const Ui *ui, const ExportView *view) {
    if (view->job.state == JOB_DONE) return !convert_is_here(ui, view);
    return view->job.state == JOB_FAILED &&
           (view->changes || ui->prompt == PROMPT_REPLACE || !convert_is_here(ui, view));
}

// What Enter would do.
static void draw_offer(Ui *ui, Rect pane) {
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    const VerdictRow *row = convert_row_written_for(ui, verdict);
    const Severity worst = row && row->worst >= 0 ? verdict->findings[row->worst].severity : SEVERITY_NOTE;
    const char *mends = convert_is_mendable(ui) ? "; f mends the recipe" : "";
    char text[200];
    ForecastView forecast;
    if (convert_is_unwritable(ui, &forecast))
        snprintf(text, sizeof text, "it cannot be written: see files%s", mends);
    else if (!forecast.known)
        snprintf(text, sizeof text, "it is not known yet whether it can be written; Enter tries at once");
    else if (forecast.forecast.occupied)
        snprintf(text, sizeof text, "Enter asks before it replaces what the folder holds; o names another");
    else if (forecast.refused)
        snprintf(text, sizeof text, "it cannot be written there now: see files; Enter tries again, o names another");
    else if (worst >= SEVERITY_MISREAD)
        snprintf(text, sizeof text, "Enter writes it, though %s %s it%s", target_table[row->target].name,
                 worst == SEVERITY_REFUSED ? "refuses" : "misreads", mends);
    else
        snprintf(text, sizeof text, "Enter writes it, reads it back and compares; dials can be turned meanwhile");
    canvas_fit(&ui->canvas, pane.row, pane.col, pane.cols, MEANING_FAINT, text);
}

// Whether it stands above in full.
static bool is_listed(const Ui *ui, const ExportView *view, const FinishedExport *done) {
    const bool last = view->asked && view->job.state == JOB_DONE && strcmp(view->folder, done->folder) == 0;
    return !last || is_past(ui, view);
}

static int listed(const Ui *ui, const ExportView *view) {
    const Finished *finished = &ui->convert.finished;
    const int most = ui->layout.frame.rows < 32 ? 1 : 3;
    int count = 0;
    for (size_t i = 0; i < finished->count && count < most; i++) count += is_listed(ui, view, &finished->items[i]);
    return count;
}

// "✓ gguf 195 kB read back, loaded by llama.cpp: /folder".
static void draw_finished(Ui *ui, Rect line, const FinishedExport *done) {
    Text text = {0}, names = {0};
    targets_list(done->loads, &names);
    text_addf(&text, "✓ %s %s read back", export_format_names[done->format], format_bytes((double)done->bytes).text);
    if (targets_of_format(done->format)) text_addf(&text, ", loaded by %s", names.length ? names.data : "none");
    text_addf(&text, ": %s", done->folder);
    canvas_fit(&ui->canvas, line.row, line.col, line.cols, MEANING_BETTER, text.data ? text.data : "");
    text_free(&text);
    text_free(&names);
}

// Newest first, that of the format that is shown before all.
static void draw_list(Ui *ui, Rect rest, const ExportView *view) {
    const Finished *finished = &ui->convert.finished;
    for (int others = 0; others < 2; others++)
        for (size_t i = finished->count; i-- > 0 && rest.rows > 0;) {
            const FinishedExport *done = &finished->items[i];
            if ((done->format != ui->convert.format) != others || !is_listed(ui, view, done)) continue;
            draw_finished(ui, (Rect){rest.row++, rest.col, 1, rest.cols}, done);
            rest.rows--;
        }
}

static void draw_job_pane(Ui *ui, Rect pane, const ExportView *view) {
    panel_title(ui, pane, "Writing it", PANE_COUNT);
    pane = rect_inset(pane, 1);
    const int most = pane.rows - 1, asked = listed(ui, view), below = asked < most ? asked : most;
    pane.rows -= below;
    draw_list(ui, (Rect){pane.row + pane.rows, pane.col, below, pane.cols}, view);
    char message[sizeof view->job.message];
    if (!view->asked || is_past(ui, view)) {
        draw_offer(ui, pane);
        return;
    }
    switch (view->job.state) {
    case JOB_WAITING:
        if (view->waits_for != JOB_COUNT) draw_waiting(ui, pane, view);
        break;
    case JOB_RUNNING: draw_running(ui, pane, view); break;
    case JOB_STOPPED: draw_stopped(ui, pane, view); break;
    case JOB_DONE: draw_done(ui, pane, view); break;
    case JOB_FAILED:
        convert_words(view->job.message, message, sizeof message);
        const WrapPiece piece = {message, SIZE_MAX, MEANING_ERROR};
        wrap_draw(&ui->canvas, pane, &piece, 1, 0);
        break;
    }
}

// ---- the screen ---------------------------------------------------------------------------------------------------

void panel_convert_draw(Ui *ui) {
    if (ui->zoomed) {
        panel_engines_draw(ui);
        return;
    }
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    ExportView view;
    char lines[LOADING_LINES_MOST][512];
    workbench_export_view(ui->workbench, &view);
    const bool done = view.asked && view.job.state == JOB_DONE;
    const int after = done ? loading_lines(ui, &view, lines) + (view.verdict->row_count > 0) : 0;
    const int job = !view.asked || is_past(ui, &view) ? 1 : after > 1 ? 1 + after : 2;
    const ConvertLayout l =
        layout_convert(&ui->layout, verdict ? verdict->row_count : 0, job + listed(ui, &view), needs_lines(ui));
    const Rect panes[] = {l.form, l.engines, l.findings, l.job};
    for (size_t i = 0; i < sizeof panes / sizeof *panes; i++) canvas_box(&ui->canvas, panes[i], MEANING_RULE);
    draw_form(ui, l.form);
    draw_engines(ui, l.engines, verdict);
    if (verdict) draw_findings(ui, l.findings, verdict);
    draw_job_pane(ui, l.job, &view);
}
