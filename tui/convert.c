#include "tui/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/expand.h"
#include "quant/difference.h"
#include "tui/actions.h"
#include "tui/format.h"
#include "tui/panels.h"
#include "tui/screen.h"

// ---- what is chosen -----------------------------------------------------------------------------------------------

// After the model and the format: "storyteller-gguf".
static char *offered_folder(const Ui *ui) {
    char *out = NULL;
    const char *name = panel_model_name(workbench_structure(ui->workbench));
    return asprintf(&out, "%s-%s", *name ? name : "model", export_format_names[ui->convert.format]) < 0 ? NULL : out;
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

// "--activations" is the dial policy here: its label, and the bytes that its option takes. NULL: it is none.
static const char *label_of_option(const char *at, size_t *taken) {
    if (strncmp(at, "--", 2) != 0) return NULL;
    const size_t length = strspn(at + 2, "abcdefghijklmnopqrstuvwxyz0123456789-");
    for (int i = 0; i < DIAL_COUNT; i++) {
        if (strlen(dial_table[i].option) != length || memcmp(dial_table[i].option, at + 2, length) != 0) continue;
        *taken = 2 + length;
        return dial_table[i].label;
    }
    return NULL;
}

static const char *word_here(const char *at, size_t *taken) {
    static const struct {
        const char *option, *here;
    } words[] = {{"with -o", "with o"},
                 {"with --overwrite", "with O"},
                 {"run the same command again", "press Enter"},
                 {"--allow-odd-bits", "press b"},
                 {"with --format dense", "in the format dense"}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        *taken = strlen(words[i].option);
        if (strncmp(at, words[i].option, *taken) == 0) return words[i].here;
    }
    return label_of_option(at, taken);
}

void convert_words(const char *message, char *out, size_t size) {
    size_t used = 0;
    while (*message && used + 1 < size) {
        size_t taken = 0;
        const char *here = word_here(message, &taken);
        if (here) {
            const int put = snprintf(out + used, size - used, "%s", here);
            used = used + (size_t)put < size ? used + (size_t)put : size - 1;
        } else {
            out[used++] = *message;
        }
        message += here ? taken : 1;
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

// Verdicts have a row for each engine that reads the format, in the order of these.
static int row_of(ExportFormat format, int target) {
    const Targets readers = targets_of_format(format);
    int row = 0;
    for (int t = 0; t < target; t++) row += (readers >> t & 1) != 0;
    return row;
}

static void choose_row(Ui *ui, int row) {
    const int last = row_of(ui->convert.format, TARGET_COUNT) - 1;
    ui->convert.engine = row > last ? last : row;
    if (ui->convert.engine < 0) ui->convert.engine = 0;
    ui->convert.finding = 0;
}

void convert_choose(Ui *ui, int row) {
    choose_row(ui, row);
    ui->convert.aimed = true;
}

void convert_move(Ui *ui, int rows) { convert_choose(ui, ui->convert.engine + rows); }

void convert_scroll(Ui *ui, int findings) {
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    const int last = convert_findings(verdict, convert_row(ui, verdict)) - 1;
    ui->convert.finding += findings;
    if (ui->convert.finding > last) ui->convert.finding = last;
    if (ui->convert.finding < 0) ui->convert.finding = 0;
}

bool convert_choose_target(Ui *ui, Target target) {
    ui->convert.aimed = targets_of_format(ui->convert.format) >> target & 1;
    choose_row(ui, ui->convert.aimed ? row_of(ui->convert.format, (int)target) : 0);
    return ui->convert.aimed;
}

Target convert_target(const Ui *ui) {
    const Targets readers = targets_of_format(ui->convert.format);
    int row = 0;
    for (int t = 0; ui->convert.aimed && t < TARGET_COUNT; t++)
        if (readers >> t & 1 && row++ == ui->convert.engine) return (Target)t;
    return TARGET_COUNT;
}

// A folder that was taken as it was offered follows the format, a name of one's own stays.
static void set_format(Ui *ui, ExportFormat format) {
    char *offered = offered_folder(ui);
    if (format != ui->convert.format && ui->convert.folder && offered && strcmp(ui->convert.folder, offered) == 0) {
        free(ui->convert.folder);
        ui->convert.folder = NULL;
    }
    free(offered);
    ui->convert.format = format;
}

// The engine stays the chosen one where it reads this format, too.
void convert_turn_format(Ui *ui, int steps) {
    const Target target = convert_target(ui);
    set_format(ui, (ExportFormat)(((int)ui->convert.format + EXPORT_FORMAT_COUNT + steps) % EXPORT_FORMAT_COUNT));
    if (target < TARGET_COUNT)
        convert_choose_target(ui, target);
    else
        choose_row(ui, 0);
    look(ui);
}

void convert_toggle_odd_bits(Ui *ui) {
    ui->convert.odd_bits = !ui->convert.odd_bits;
    workbench_allow_odd_bits(ui->workbench, ui->convert.odd_bits);
    ui_say(ui, ui->convert.odd_bits ? "2 and 3 bits are written, which versions of engines read differently"
                                    : "2 and 3 bits are not written");
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

// ---- the chosen engine, on other screens --------------------------------------------------------------------------

static const VerdictRow *aimed_row(const Ui *ui, const Verdict **verdict) {
    const Target target = convert_target(ui);
    *verdict = target < TARGET_COUNT ? workbench_verdict_of(ui->workbench, ui->convert.format, target) : NULL;
    return *verdict && (*verdict)->row_count ? (*verdict)->rows : NULL;
}

static bool is_bad(const Finding *finding) { return finding->severity >= SEVERITY_MISREAD; }

static const char *refuses_or_misreads(const Finding *finding) {
    return finding->severity == SEVERITY_REFUSED ? "refuses" : "misreads";
}

static bool is_overridden(const Recipe *recipe, int dial) {
    for (int i = 0; i < recipe->override_count; i++)
        if (recipe->overrides[i].set[dial]) return true;
    return false;
}

// The first change of this dial. A group size is given with the granularity, which may be there already.
static const VerdictChange *asked_change(const Ui *ui, const Finding *finding, int dial) {
    const Recipe *recipe = workbench_recipe(ui->workbench);
    const bool overridden = is_overridden(recipe, dial);
    for (int i = 0; i < finding->change_count; i++) {
        const VerdictChange *change = &finding->changes[i];
        const bool there = !overridden && recipe->value[dial] == change->value; // NOLINT: the same number or not
        if (change->dial == dial && !there) return change;
    }
    return NULL;
}

// The dial that would mend it leads there.
static const char *what_is_refused(const Ui *ui, const Finding *finding) {
    for (int dial = 0; finding->change_count && dial < DIAL_COUNT; dial++)
        if (asked_change(ui, finding, dial)) return dial_table[dial].label;
    return "it";
}

void convert_aim_text(const Ui *ui, bool brief, char *out, size_t size, bool *bad) {
    const Verdict *verdict;
    const VerdictRow *row = aimed_row(ui, &verdict);
    const Finding *worst = row && row->worst >= 0 ? &verdict->findings[row->worst] : NULL;
    *bad = worst && is_bad(worst);
    *out = '\0';
    if (!row) return;
    const char *name = target_table[row->target].name;
    if (!*bad)
        snprintf(out, size, "%s%s", brief ? "✓ " : "for ", name);
    else if (brief)
        snprintf(out, size, "✗ %s", name);
    else
        snprintf(out, size, "%s %s %s", name, refuses_or_misreads(worst), what_is_refused(ui, worst));
}

bool convert_wish(const Ui *ui, VerdictWish *out) {
    const Target target = convert_target(ui);
    if (target < TARGET_COUNT) *out = (VerdictWish){ui->convert.format, 1U << target, ui->convert.odd_bits};
    return target < TARGET_COUNT;
}

// "policy none", and of how many linears where not of all.
static void wanted_setting(const Ui *ui, const Finding *finding, const VerdictChange *change, char *out, size_t size) {
    const int quantized = workbench_plan(ui->workbench)->quantized_count;
    char value[64], count[40] = "";
    dial_format((Dial)change->dial, change->value, value, sizeof value);
    if (finding->linear_count && finding->linear_count < quantized)
        snprintf(count, sizeof count, " (%d linear%s)", finding->linear_count, finding->linear_count == 1 ? "" : "s");
    snprintf(out, size, "%s %s%s", dial_table[change->dial].label, value, count);
}

bool convert_blames(const Ui *ui, Dial dial, char *out, size_t size) {
    const Verdict *verdict;
    const VerdictRow *row = aimed_row(ui, &verdict);
    for (int i = 0; row && i < verdict->finding_count; i++) {
        const Finding *finding = &verdict->findings[i];
        if (!(finding->targets >> row->target & 1) || !is_bad(finding)) continue;
        const VerdictChange *change = asked_change(ui, finding, (int)dial);
        char wanted[128];
        if (!change) continue;
        wanted_setting(ui, finding, change, wanted, sizeof wanted);
        snprintf(out, size, "%s %s this: it takes %s", target_table[row->target].name, refuses_or_misreads(finding),
                 wanted);
        return true;
    }
    return false;
}

static Target only_target(Targets named) {
    for (int t = 0; t < TARGET_COUNT; t++)
        if (named == 1U << t) return (Target)t;
    return TARGET_COUNT;
}

static void tell_aim(Ui *ui) {
    const Target target = convert_target(ui);
    if (target < TARGET_COUNT)
        ui_say(ui, "for %s in %s; :target none is for no engine", target_table[target].name,
               export_format_names[ui->convert.format]);
    else
        ui_say(ui, "the recipe is for no engine; :target NAME chooses one, Tab lists them");
}

// A recipe is looked at for one engine at a time.
static void tell_several(Ui *ui, const char *name, Targets named) {
    Text names = {0};
    for (int t = 0; t < TARGET_COUNT; t++)
        if (named >> t & 1) text_addf(&names, "%s%s", names.length ? ", " : "", target_table[t].name);
    ui_fail(ui, "%.40s is several; name one: %s", name, names.data ? names.data : "");
    text_free(&names);
}

void convert_aim(Ui *ui, const char *name) {
    Targets named;
    Error err = {0};
    const bool none = strcmp(name, "none") == 0;
    if (none) {
        ui->convert.aimed = false;
        ui_update(ui);
    }
    if (none || !*name) {
        tell_aim(ui);
        return;
    }
    if (!ui_report(ui, targets_parse(name, &named, &err), &err)) return;
    const Target target = only_target(named);
    if (target == TARGET_COUNT) {
        tell_several(ui, name, named);
        return;
    }
    for (int i = 0; i < EXPORT_FORMAT_COUNT && !convert_choose_target(ui, target); i++)
        set_format(ui, (ExportFormat)(((int)ui->convert.format + 1) % EXPORT_FORMAT_COUNT));
    if (ui->screen == SCREEN_CONVERT) look(ui);
    ui_update(ui); // a budget keeps to it
    ui_say(ui, "for %s in %s: the first line says what it refuses, the line of a dial what it takes",
           target_table[target].name, export_format_names[ui->convert.format]);
}

// ---- remedies -----------------------------------------------------------------------------------------------------

// "189 kB → 195 kB, 4.31 → 4.50 bits/weight, KL 0.0105 → 0.0098".
static void add_cost(const Ui *ui, const VerdictFix *fix, Text *out) {
    const Plan *now = workbench_plan(ui->workbench);
    const Effect *effect = workbench_effect(ui->workbench);
    Plan plan;
    uint64_t model;
    const TrialFigures *known = NULL;
    if (workbench_plan_of(ui->workbench, &fix->recipe, &plan, &model, NULL)) {
        known = trials_of_model(workbench_trials(ui->workbench), model);
        plan_free(&plan);
    }
    text_addf(out, "%s → ", format_bytes((double)now->bytes).text);
    text_addf(out, "%s, %.2f → %.2f bits/weight", format_bytes((double)fix->plan.bytes).text, now->bits_per_weight,
              fix->plan.bits_per_weight);
    text_addf(out, ", KL ");
    if (effect->accuracy_known && effect->accuracy_turn == workbench_turn(ui->workbench))
        text_addf(out, "%s → ", format_fixed(effect->accuracy.kl_mean, 4).text);
    text_addf(out, "%s", known ? format_fixed(known->accuracy.kl_mean, 4).text : "measured after");
}

// What no recipe can mend.
static void add_rest(const VerdictFix *fix, Text *out) {
    for (int i = 0; i < fix->verdict.finding_count; i++) {
        const Finding *finding = &fix->verdict.findings[i];
        char what[400], remedy[400];
        if (!is_bad(finding)) continue;
        convert_words(finding->what, what, sizeof what);
        convert_words(finding->remedy, remedy, sizeof remedy);
        text_addf(out, "%sstill %s, and no dial mends it: %s %s", out->length ? "; " : "",
                  severity_names[finding->severity], what, remedy);
    }
}

// changes: "" where they were read in a question.
static void take_fix(Ui *ui, const char *engine, const VerdictFix *fix, const char *changes) {
    Error err = {0};
    Text cost = {0}, rest = {0};
    add_cost(ui, fix, &cost);
    add_rest(fix, &rest);
    if (!ui->pin.set) action_pin(ui, 0); // what they cost is seen beside what was before
    if (ui_report(ui, workbench_restore(ui->workbench, &fix->recipe, &err), &err))
        ui_say(ui, "for %s: %s%s%s; %s%su undoes it", engine, changes, *changes ? "; " : "", cost.data ? cost.data : "",
               rest.length ? rest.data : "", rest.length ? "; " : "");
    text_free(&cost);
    text_free(&rest);
    ui_update(ui);
}

static void ask_fix(Ui *ui, const char *engine, const VerdictFix *fix, const char *changes, const char *taken) {
    Text question = {0};
    text_addf(&question, "For %s: ", engine);
    add_cost(ui, fix, &question);
    text_addf(&question, ". ");
    if (strcmp(changes, taken) != 0) text_addf(&question, "It sets: %s. ", changes);
    text_addf(&question, "It takes back what overrides set: %s.", taken);
    if (question.failed)
        ui_fail(ui, "there is too little memory");
    else
        ui_ask(ui, PROMPT_FIX, question.data);
    text_free(&question);
}

static void say_nothing_to_mend(Ui *ui, const char *engine, const VerdictFix *fix) {
    Text rest = {0};
    add_rest(fix, &rest);
    ui_say(ui, "nothing that the recipe could mend for %s%s%s", engine, rest.length ? ": " : "",
           rest.length ? rest.data : "");
    text_free(&rest);
}

static void offer_fix(Ui *ui, const char *engine, const VerdictFix *fix, bool asked) {
    const ModelStructure *structure = workbench_structure(ui->workbench);
    const Recipe *now = workbench_recipe(ui->workbench);
    Text changes = {0}, taken = {0};
    const int count = recipe_difference(now, &fix->recipe, structure, ", ", &changes);
    const bool takes = !asked && recipe_taken_back(now, &fix->recipe, structure, ", ", &taken);
    if (changes.failed || taken.failed)
        ui_fail(ui, "there is too little memory");
    else if (!count)
        say_nothing_to_mend(ui, engine, fix);
    else if (takes)
        ask_fix(ui, engine, fix, changes.data, taken.data);
    else
        take_fix(ui, engine, fix, asked ? "" : changes.data);
    text_free(&changes);
    text_free(&taken);
}

void convert_fix(Ui *ui, bool asked) {
    const VerdictRow *row = convert_row(ui, workbench_verdict(ui->workbench, ui->convert.format));
    VerdictFix fix = {0};
    Error err = {0};
    if (!row) {
        ui_say(ui, "there is nothing to mend");
        return;
    }
    const Target target = row->target;
    ui->convert.aimed = true;
    if (ui_report(ui, workbench_fix(ui->workbench, ui->convert.format, 1U << target, &fix, &err), &err))
        offer_fix(ui, target_table[target].name, &fix, asked);
    verdict_fix_free(&fix);
}

// ---- the export ---------------------------------------------------------------------------------------------------

bool convert_is_here(const Ui *ui, const ExportView *view) {
    return view->asked && view->format == ui->convert.format && ui->convert.folder &&
           strcmp(view->folder, ui->convert.folder) == 0;
}

// One that ended early and holds a part of this folder.
static bool can_go_on(const Ui *ui, const ExportView *view) {
    return convert_is_here(ui, view) && (view->job.state == JOB_STOPPED || view->job.state == JOB_FAILED) &&
           !view->result.occupied;
}

// What no folder changes.
bool convert_is_unwritable(const Ui *ui, ForecastView *out) {
    workbench_forecast(ui->workbench, out);
    return out->known && out->refused && out->forecast.unwritable;
}

static void say_unwritable(Ui *ui, const ForecastView *view) {
    char message[sizeof view->message];
    convert_words(view->message, message, sizeof message);
    ui_fail(ui, "%s", message);
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
    if (convert_is_unwritable(ui, &forecast)) {
        say_unwritable(ui, &forecast);
        return;
    }
    if (!ui->convert.folder) {
        ui->convert.start_when_named = true;
        convert_name_folder(ui, "");
        return;
    }
    workbench_export_view(ui->workbench, &view);
    const bool rest = can_go_on(ui, &view);
    if (rest && view.changes == 0 && !over)
        convert_go_on(ui);
    else if (over || rest || (forecast.known && forecast.forecast.occupied) ||
             (convert_is_here(ui, &view) && view.result.occupied)) {
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
