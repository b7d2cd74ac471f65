#include "tui/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/expand.h"
#include "quant/difference.h"
#include "tui/actions.h"
#include "tui/screen.h"

// ---- what is chosen -----------------------------------------------------------------------------------------------

// After the model and the format: "storyteller-gguf".
static char *offered_folder(const Ui *ui) {
    const Checkpoint *checkpoint = workbench_structure(ui->workbench)->checkpoint;
    const char *path = checkpoint && checkpoint->path ? checkpoint->path : "", *name = strrchr(path, '/');
    name = name && name[1] ? name + 1 : *path ? path : "model";
    static const char *const endings[] = {".safetensors", ".gguf"};
    size_t length = strcspn(name, "/");
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        const size_t ending = strlen(endings[i]);
        if (length > ending && strcmp(name + length - ending, endings[i]) == 0) length -= ending;
    }
    char *out = NULL;
    return asprintf(&out, "%.*s-%s", (int)length, name, export_format_names[ui->convert.format]) < 0 ? NULL : out;
}

char *convert_folder(const Ui *ui) { return ui->convert.folder ? strdup(ui->convert.folder) : offered_folder(ui); }

const VerdictRow *convert_row(const Ui *ui, const Verdict *verdict) {
    if (!verdict || verdict->row_count == 0) return NULL;
    const int last = verdict->row_count - 1;
    return &verdict->rows[ui->convert.engine < last ? ui->convert.engine : last];
}

int convert_findings(const Verdict *verdict, const VerdictRow *row) {
    int count = 0;
    for (int i = 0; row && i < verdict->finding_count; i++)
        count += (verdict->findings[i].targets >> row->target & 1) != 0;
    return count;
}

bool convert_runs(const Ui *ui) {
    ExportView view;
    workbench_export_view(ui->workbench, &view);
    return job_is_on(view.job.state);
}

void convert_words(const char *message, char *out, size_t size) {
    static const struct {
        const char *option, *here;
    } words[] = {{"with -o", "with o"}, {"with --overwrite", "with O"}, {"run the same command again", "press Enter"}};
    size_t used = 0;
    while (*message && used + 1 < size) {
        size_t taken = 0;
        for (size_t i = 0; !taken && i < sizeof words / sizeof *words; i++) {
            const size_t length = strlen(words[i].option);
            if (strncmp(message, words[i].option, length) != 0) continue;
            taken = length;
            const int put = snprintf(out + used, size - used, "%s", words[i].here);
            used = used + (size_t)put < size ? used + (size_t)put : size - 1;
        }
        if (!taken) out[used++] = *message;
        message += taken ? taken : 1;
    }
    out[used] = '\0';
}

// The estimate is of what the screen shows.
static void look(Ui *ui) {
    char *folder = convert_folder(ui);
    workbench_look_at_export(ui->workbench, ui->convert.format, folder);
    free(folder);
}

void convert_open(Ui *ui) { look(ui); }

void convert_close(Ui *ui) { workbench_look_at_export(ui->workbench, ui->convert.format, NULL); }

void convert_free(Ui *ui) { free(ui->convert.folder); }

void convert_choose(Ui *ui, int row) {
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    const int last = verdict ? verdict->row_count - 1 : 0;
    ui->convert.engine = row > last ? last : row;
    if (ui->convert.engine < 0) ui->convert.engine = 0;
    ui->convert.finding = 0;
}

void convert_move(Ui *ui, int rows) { convert_choose(ui, ui->convert.engine + rows); }

void convert_scroll(Ui *ui, int findings) {
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    const int last = convert_findings(verdict, convert_row(ui, verdict)) - 1;
    ui->convert.finding += findings;
    if (ui->convert.finding > last) ui->convert.finding = last;
    if (ui->convert.finding < 0) ui->convert.finding = 0;
}

void convert_turn_format(Ui *ui, int steps) {
    ui->convert.format = (ExportFormat)(((int)ui->convert.format + EXPORT_FORMAT_COUNT + steps) % EXPORT_FORMAT_COUNT);
    convert_choose(ui, 0);
    look(ui);
}

void convert_name_folder(Ui *ui, const char *path) {
    Error err = {0};
    const bool start = ui->convert.start_when_named;
    if (!*path) {
        char *offered = convert_folder(ui);
        ui_ask(ui, PROMPT_FOLDER, offered ? offered : "");
        free(offered);
        return;
    }
    ui->convert.start_when_named = false;
    char *folder = home_expand(path, &err);
    if (!ui_report(ui, folder != NULL, &err)) return;
    free(ui->convert.folder);
    ui->convert.folder = folder;
    screen_go(ui, SCREEN_CONVERT);
    look(ui);
    if (start) convert_start(ui, false);
}

// ---- remedies -----------------------------------------------------------------------------------------------------

static void take_fix(Ui *ui, const char *engine, const Recipe *mended, const char *changes) {
    Error err = {0};
    if (!ui->pin.set) action_pin(ui, 0); // what they cost is seen beside what was before
    if (ui_report(ui, workbench_restore(ui->workbench, mended, &err), &err))
        ui_say(ui, "for %s: %s; u undoes it", engine, changes);
    ui_update(ui);
}

static void offer_fix(Ui *ui, const char *engine, const Recipe *mended, bool asked) {
    const ModelStructure *structure = workbench_structure(ui->workbench);
    const Recipe *now = workbench_recipe(ui->workbench);
    Text changes = {0}, taken = {0};
    const int count = recipe_difference(now, mended, structure, ", ", &changes);
    const bool takes = !asked && recipe_taken_back(now, mended, structure, ", ", &taken);
    if (changes.failed || taken.failed)
        ui_fail(ui, "there is too little memory");
    else if (!count)
        ui_say(ui, "nothing that the recipe could mend for %s", engine);
    else if (takes)
        ui_ask(ui, PROMPT_FIX, taken.data);
    else
        take_fix(ui, engine, mended, changes.data);
    text_free(&changes);
    text_free(&taken);
}

void convert_fix(Ui *ui, bool asked) {
    const VerdictRow *row = convert_row(ui, workbench_verdict(ui->workbench, ui->convert.format));
    Recipe mended;
    Error err = {0};
    if (!row) {
        ui_say(ui, "there is nothing to mend");
        return;
    }
    const Target target = row->target;
    if (ui_report(ui, workbench_fix(ui->workbench, ui->convert.format, 1U << target, &mended, &err), &err))
        offer_fix(ui, target_table[target].name, &mended, asked);
    recipe_free(&mended);
}

// ---- the export ---------------------------------------------------------------------------------------------------

static bool is_here(const Ui *ui, const ExportView *view) {
    return view->asked && view->format == ui->convert.format && strcmp(view->folder, ui->convert.folder) == 0;
}

// One that ended early and holds a part of this folder.
static bool can_go_on(const Ui *ui, const ExportView *view) {
    return is_here(ui, view) && (view->job.state == JOB_STOPPED || view->job.state == JOB_FAILED) &&
           !view->result.occupied;
}

static void start(Ui *ui, bool over) {
    Error err = {0};
    ui_report(ui, workbench_export(ui->workbench, ui->convert.format, ui->convert.folder, over, &err), &err);
}

void convert_start(Ui *ui, bool over) {
    ExportView view;
    ForecastView forecast;
    if (convert_runs(ui)) {
        ui_say(ui, "a model is being written; x stops it");
        return;
    }
    if (!ui->convert.folder) {
        ui->convert.start_when_named = true;
        convert_name_folder(ui, "");
        return;
    }
    workbench_export_view(ui->workbench, &view);
    workbench_forecast(ui->workbench, &forecast);
    const bool rest = can_go_on(ui, &view);
    if (rest && view.changes == 0 && !over)
        convert_go_on(ui);
    else if (over || rest || (forecast.known && forecast.forecast.occupied) ||
             (is_here(ui, &view) && view.result.occupied)) {
        ui->convert.can_go_on = rest;
        ui_ask(ui, PROMPT_REPLACE, "");
    } else
        start(ui, false);
}

void convert_replace(Ui *ui) { start(ui, true); }

void convert_go_on(Ui *ui) {
    Error err = {0};
    ui_report(ui, workbench_export_on(ui->workbench, &err), &err);
}

void convert_stop(Ui *ui) {
    if (convert_runs(ui))
        workbench_stop_job(ui->workbench, JOB_EXPORT);
    else
        ui_say(ui, "nothing is being written");
}
