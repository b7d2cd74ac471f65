#include "tui/convert.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/expand.h"
#include "quant/difference.h"
#include "tui/actions.h"
#include "tui/format.h"
#include "tui/key_names.h"
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
                 {"with --format dense", "in the format dense"},
                 {"--keep none", "K"},
                 {"see --keep", "K takes these back"}};
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

void convert_free(Ui *ui) {
    free(ui->convert.folder);
    finished_free(&ui->convert.finished);
}

void convert_follow(Ui *ui) {
    ExportView view;
    workbench_export_view(ui->workbench, &view);
    finished_follow(&ui->convert.finished, &view);
}

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

void convert_choose(Ui *ui, int row) { choose_row(ui, row); }

void convert_scroll(Ui *ui, int findings) {
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    const int last = convert_findings(verdict, convert_row(ui, verdict)) - 1;
    ui->convert.finding += findings;
    if (ui->convert.finding > last) ui->convert.finding = last;
    if (ui->convert.finding < 0) ui->convert.finding = 0;
}

Target convert_target(const Ui *ui) { return ui->convert.aimed ? ui->convert.target : TARGET_COUNT; }

void convert_set_target(Ui *ui, Target target, ExportFormat format) {
    ui->convert.aimed = target < TARGET_COUNT;
    ui->convert.target = target;
    ui->convert.target_format = format;
}

bool convert_is_target(const Ui *ui, Target engine) {
    return convert_target(ui) == engine && ui->convert.target_format == ui->convert.format;
}

static void look_at_engine(Ui *ui, Target target) {
    if (targets_of_format(ui->convert.format) >> target & 1) choose_row(ui, row_of(ui->convert.format, (int)target));
}

void convert_look_at_target(Ui *ui) {
    if (ui->convert.aimed) look_at_engine(ui, ui->convert.target);
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

// The engine that is looked at stays so where it reads this format, too; else the one that the recipe is for.
void convert_turn_format(Ui *ui, int steps) {
    const VerdictRow *row = convert_row(ui, workbench_verdict(ui->workbench, ui->convert.format));
    const Target seen = row ? row->target : TARGET_COUNT;
    set_format(ui, (ExportFormat)(((int)ui->convert.format + EXPORT_FORMAT_COUNT + steps) % EXPORT_FORMAT_COUNT));
    choose_row(ui, 0);
    convert_look_at_target(ui);
    if (seen < TARGET_COUNT) look_at_engine(ui, seen);
    look(ui);
}

void convert_choose_cell(Ui *ui, ExportFormat format, Target engine) {
    set_format(ui, format);
    look_at_engine(ui, engine);
    look(ui);
}

// In the table of all engines: from one to the next, in this format or the first that it reads.
static void move_in_table(Ui *ui, int rows) {
    const VerdictRow *row = convert_row(ui, workbench_verdict(ui->workbench, ui->convert.format));
    const int seen = row ? (int)row->target : rows < 0 ? TARGET_COUNT : -1, to = seen + rows;
    if (to < 0 || to >= TARGET_COUNT) return;
    ExportFormat format = ui->convert.format;
    while (!(targets_of_format(format) >> to & 1)) format = (ExportFormat)((format + 1) % EXPORT_FORMAT_COUNT);
    convert_choose_cell(ui, format, (Target)to);
}

void convert_move(Ui *ui, int rows) {
    if (ui->zoomed)
        move_in_table(ui, rows);
    else
        choose_row(ui, ui->convert.engine + rows);
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

// ---- the engine that the recipe is for, on other screens ----------------------------------------------------------

static const VerdictRow *aimed_row(const Ui *ui, const Verdict **verdict) {
    const Target target = convert_target(ui);
    *verdict = target < TARGET_COUNT ? workbench_verdict_of(ui->workbench, ui->convert.target_format, target) : NULL;
    return *verdict && (*verdict)->row_count ? (*verdict)->rows : NULL;
}

static bool is_bad(const Finding *finding) { return finding->severity >= SEVERITY_MISREAD; }

bool convert_is_bad(const Verdict *verdict, const VerdictRow *row) {
    return row->worst >= 0 && is_bad(&verdict->findings[row->worst]);
}

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

// Once, when a turn or measured inputs bring it about; what a screen begins with is seen on it.
void convert_tell(Ui *ui) {
    char text[80], said[sizeof ui->message.text];
    bool bad;
    convert_aim_text(ui, false, text, sizeof text, &bad);
    const bool begins = bad && ui->convert.taken && !ui->message.failure;
    ui->convert.taken = *text && !bad;
    if (!begins) return;
    snprintf(said, sizeof said, "%s", ui->message.text);
    ui_say(ui, "%s%s%s now; %s mends it", said, *said ? " · " : "", text,
           ui->screen == SCREEN_CONVERT ? "f" : "f on Convert (6)");
}

bool convert_wish(const Ui *ui, VerdictWish *out) {
    const Target target = convert_target(ui);
    if (target < TARGET_COUNT) *out = (VerdictWish){ui->convert.target_format, 1U << target, ui->convert.odd_bits};
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
               export_format_names[ui->convert.target_format]);
    else
        ui_say(ui, "the recipe is for no engine; :target NAME chooses one, Tab lists them");
}

// Of a choice that was just made.
static void take_target(Ui *ui, Target target, ExportFormat format) {
    convert_set_target(ui, target, format);
    ui->convert.taken = false; // of another engine
    ui_update(ui);             // a budget keeps to it
}

void convert_toggle_target(Ui *ui) {
    const VerdictRow *row = convert_row(ui, workbench_verdict(ui->workbench, ui->convert.format));
    const Target before = convert_target(ui);
    const char *keys = action_keys(&ui->settings, "keep-to-engine");
    if (!row) {
        ui_say(ui, "no engine has to be kept to: nothing is quantized in this format");
    } else if (convert_is_target(ui, row->target)) {
        take_target(ui, TARGET_COUNT, ui->convert.format);
        ui_say(ui, "the recipe is for no engine now; %s again: for %s", keys, target_table[before].name);
    } else {
        take_target(ui, row->target, ui->convert.format);
        ui_say(ui, "the recipe is for %s now%s%s; %s again: for no engine", target_table[row->target].name,
               before < TARGET_COUNT && before != row->target ? ", no more for " : "",
               before < TARGET_COUNT && before != row->target ? target_table[before].name : "", keys);
    }
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
    if (none) take_target(ui, TARGET_COUNT, ui->convert.format);
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
    while (!(targets_of_format(ui->convert.format) >> target & 1))
        set_format(ui, (ExportFormat)(((int)ui->convert.format + 1) % EXPORT_FORMAT_COUNT));
    look_at_engine(ui, target);
    if (ui->screen == SCREEN_CONVERT) look(ui);
    take_target(ui, target, ui->convert.format);
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

static void fix_for(Ui *ui, Target target, bool asked) {
    VerdictFix fix = {0};
    Error err = {0};
    ui->convert.asked = target;
    if (ui_report(ui, workbench_fix(ui->workbench, ui->convert.format, 1U << target, &fix, &err), &err))
        offer_fix(ui, target_table[target].name, &fix, asked);
    verdict_fix_free(&fix);
}

void convert_fix(Ui *ui) {
    const VerdictRow *row = convert_row(ui, workbench_verdict(ui->workbench, ui->convert.format));
    if (row)
        fix_for(ui, row->target, false);
    else
        ui_say(ui, "there is nothing to mend");
}

void convert_fix_asked(Ui *ui, bool taking_back) { fix_for(ui, ui->convert.asked, taking_back); }

// ---- the export ---------------------------------------------------------------------------------------------------

// The engine that is written for: the one that the recipe is for where that reads the format, else the one that is
// looked at.
const VerdictRow *convert_row_written_for(const Ui *ui, const Verdict *verdict) {
    for (int r = 0; verdict && r < verdict->row_count; r++)
        if (verdict->rows[r].target == convert_target(ui)) return &verdict->rows[r];
    return convert_row(ui, verdict);
}

bool convert_is_here(const Ui *ui, const ExportView *view) {
    char *folder = view->asked && view->format == ui->convert.format ? convert_folder(ui) : NULL;
    const bool here = folder && strcmp(view->folder, folder) == 0;
    free(folder);
    return here;
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

bool convert_is_mendable(const Ui *ui) {
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    const VerdictRow *row = convert_row_written_for(ui, verdict);
    for (int i = 0; row && i < verdict->finding_count && is_bad(&verdict->findings[i]); i++)
        if (verdict->findings[i].targets >> row->target & 1 && verdict->findings[i].change_count) return true;
    return false;
}

// "Loaded by transformers.": who does, and as it is meant.
static void add_who_loads(const Verdict *verdict, Text *out) {
    Targets loads = 0;
    Text names = {0};
    for (int r = 0; r < verdict->row_count; r++)
        if (!convert_is_bad(verdict, &verdict->rows[r])) loads |= 1U << verdict->rows[r].target;
    targets_list(loads, &names);
    if (loads) text_addf(out, " Loaded by %s.", names.data ? names.data : "");
    text_free(&names);
}

// Where the recipe is for none of them: "Refused by vllm, sglang: …".
static void add_who_refuses(const Finding *finding, const char *what, Text *out) {
    Text names = {0};
    targets_list(finding->targets, &names);
    text_addf(out, "%s by %s: %s", finding->severity == SEVERITY_REFUSED ? "Refused" : "Misread",
              names.data ? names.data : "", what);
    text_free(&names);
}

static void ask(Ui *ui, const VerdictRow *row, const Text *question, bool over, bool can_write) {
    ui->convert.asked = row->target;
    ui->convert.over = over;
    ui->convert.can_fix = convert_is_mendable(ui);
    ui->convert.can_write = can_write;
    ui_ask(ui, PROMPT_REFUSED, question->data ? question->data : "");
}

static bool is_accepted(const Ui *ui, const VerdictRow *row) {
    return ui->convert.accepted.change == workbench_changes(ui->workbench) + 1 &&
           ui->convert.accepted.format == ui->convert.format && ui->convert.accepted.target == row->target;
}

// Asks before what the engine does not take is written, once of each recipe. False: nothing is to be asked.
static bool ask_refused(Ui *ui, bool over) {
    const Verdict *verdict = workbench_verdict(ui->workbench, ui->convert.format);
    const VerdictRow *row = convert_row_written_for(ui, verdict);
    const Finding *worst = row && row->worst >= 0 ? &verdict->findings[row->worst] : NULL;
    if (!worst || !is_bad(worst) || is_accepted(ui, row)) return false;
    char what[400];
    Text question = {0};
    convert_words(worst->what, what, sizeof what);
    if (convert_target(ui) == row->target)
        text_addf(&question, "%s %s this: %s", target_table[row->target].name, refuses_or_misreads(worst), what);
    else
        add_who_refuses(worst, what, &question);
    convert_words(worst->remedy, what, sizeof what);
    if (!worst->change_count) text_addf(&question, " No dial mends it: %s", what);
    add_who_loads(verdict, &question);
    ask(ui, row, &question, over, true);
    text_free(&question);
    return true;
}

// What cannot be written is only asked about where the recipe can be mended.
static void tell_unwritable(Ui *ui, const ForecastView *view) {
    const VerdictRow *row = convert_row_written_for(ui, workbench_verdict(ui->workbench, ui->convert.format));
    char message[sizeof view->message];
    Text question = {0};
    convert_words(view->message, message, sizeof message);
    text_addf(&question, "%s cannot hold this: %s", export_format_names[ui->convert.format], message);
    if (row && convert_is_mendable(ui))
        ask(ui, row, &question, false, false);
    else
        ui_fail(ui, "%s", message);
    text_free(&question);
}

static void start(Ui *ui, bool over) {
    Error err = {0};
    if (ask_refused(ui, over)) return;
    ui->convert.finished.awaited =
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
        tell_unwritable(ui, &forecast);
        return;
    }
    workbench_export_view(ui->workbench, &view);
    const bool rest = can_go_on(ui, &view);
    if (!ui->convert.folder) {
        if (ask_refused(ui, false)) return;
        ui->convert.start_when_named = true;
        convert_name_folder(ui, "");
    } else if (rest && view.changes == 0 && !over) {
        convert_go_on(ui);
    } else if (over || rest || (forecast.known && forecast.forecast.occupied) ||
               (convert_is_here(ui, &view) && view.result.occupied)) {
        ui->convert.can_go_on = rest;
        ui_ask(ui, PROMPT_REPLACE, "");
    } else {
        start(ui, false);
    }
}

void convert_replace(Ui *ui) { start(ui, true); }

void convert_accept(Ui *ui) {
    ui->convert.accepted.change = workbench_changes(ui->workbench) + 1;
    ui->convert.accepted.format = ui->convert.format;
    ui->convert.accepted.target = ui->convert.asked;
    if (ui->convert.over)
        start(ui, true);
    else
        convert_start(ui, false);
}

void convert_go_on(Ui *ui) {
    Error err = {0};
    ui->convert.finished.awaited = ui_report(ui, workbench_export_on(ui->workbench, &err), &err);
}

void convert_stop(Ui *ui) {
    if (convert_runs(ui))
        workbench_stop_job(ui->workbench, JOB_EXPORT);
    else
        ui_say(ui, "nothing is being written");
}
