#include "tui/dials.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

// By subject: what weights become, how the group size adapts, what happens to inputs. The papers' dials come first: a
// small terminal shows five rows. Dials that leave no choice are not shown.
const int dial_places[DIAL_COLUMNS][DIAL_ROWS] = {
    {DIAL_BITS, DIAL_GRANULARITY, DIAL_GROUP_SIZE, DIAL_GRID, DIAL_CLIP, DIAL_SCALE, DIAL_FUSED, NO_DIAL, NO_DIAL},
    {DIAL_ALPHA, DIAL_RULE, DIAL_QUORUM, DIAL_MIN_GROUP, DIAL_MAX_GROUP, DIAL_CACHE_BITS, NO_DIAL, NO_DIAL, NO_DIAL},
    {DIAL_ACTIVATIONS, DIAL_V0, DIAL_V1, DIAL_LAE_ALPHA, DIAL_FOLD, DIAL_UNFOLDABLE, DIAL_SMOOTH_ALPHA,
     DIAL_SMOOTH_SCALE, DIAL_PERCENTILE},
};

double dials_value(const Ui *ui, Dial dial) { return ui->target.value[dial]; }

bool dials_mixed(const Ui *ui, Dial dial) { return ui->target.mixed[dial]; }

bool dials_overridden(const Ui *ui, Dial dial) { return ui->target.overridden[dial]; }

static int idle_by(const Ui *ui, Dial dial) { return dial_idle_by(dial, ui->target.value); }

bool dials_matter(const Ui *ui, Dial dial) { return idle_by(ui, dial) == NO_DIAL; }

// Some dials have one meaning for the whole model, whatever the others set.
static bool sets_all(const Ui *ui, Dial dial) { return ui->target.scope == SCOPE_ALL || !dial_table[dial].per_linear; }

void dials_about(const Ui *ui, Dial dial, bool brief, char *out, size_t size) {
    const DialInfo *info = &dial_table[dial];
    char value[40];
    const int by = idle_by(ui, dial);
    if (by != NO_DIAL) {
        dial_format((Dial)by, dials_value(ui, (Dial)by), value, sizeof value);
        snprintf(out, size, "not used: %s is %s", dial_table[by].label, value);
    } else {
        const bool all = ui->target.scope != SCOPE_ALL && sets_all(ui, dial);
        snprintf(out, size, "%s%s", all ? "for all linears: " : "", brief && info->brief ? info->brief : info->help);
    }
}

static void find_place(Dial dial, int *column, int *row) {
    for (*column = 0; *column < DIAL_COLUMNS; (*column)++) {
        for (*row = 0; *row < DIAL_ROWS; (*row)++) {
            if (dial_places[*column][*row] == (int)dial) return;
        }
    }
    *column = *row = 0;
}

int dials_named(const char *name, size_t length) {
    for (int i = 0; i < DIAL_COUNT; i++) {
        const char *const names[] = {dial_table[i].option, dial_table[i].key, dial_table[i].label};
        for (size_t j = 0; j < sizeof names / sizeof *names; j++) {
            if (strlen(names[j]) == length && memcmp(names[j], name, length) == 0) return i;
        }
    }
    return NO_DIAL;
}

int dials_row(Dial dial) {
    int column, row;
    find_place(dial, &column, &row);
    return row;
}

Dial dials_next(Dial from, int steps) {
    int column, row;
    find_place(from, &column, &row);
    const int places = DIAL_COLUMNS * DIAL_ROWS;
    int place = column * DIAL_ROWS + row;
    do {
        place = (place + steps + places) % places;
    } while (dial_places[place / DIAL_ROWS][place % DIAL_ROWS] == NO_DIAL);
    return (Dial)dial_places[place / DIAL_ROWS][place % DIAL_ROWS];
}

Dial dials_beside(Dial from, int columns) {
    int column, row;
    find_place(from, &column, &row);
    column = (column + columns + DIAL_COLUMNS) % DIAL_COLUMNS;
    while (dial_places[column][row] == NO_DIAL) row--;
    return (Dial)dial_places[column][row];
}

// ---- turning ------------------------------------------------------------------------------------------------------

static void say_what_was_set(Ui *ui, Dial dial, const double *value) {
    const DialTarget *target = &ui->target;
    char text[40] = "default", linears[80] = "all linears";
    if (value) dial_format(dial, *value, text, sizeof text);
    if (!sets_all(ui, dial)) snprintf(linears, sizeof linears, "%d linears", target->count);
    if (!sets_all(ui, dial) && target->count == 1) {
        char name[64];
        linear_short_name(&workbench_structure(ui->workbench)->linears[target->linears[0]], name, sizeof name);
        snprintf(linears, sizeof linears, "%s only", name);
    }
    ui_say(ui, "%s %s: %s%s", dial_table[dial].label, text, linears,
           target->scope != SCOPE_ALL && sets_all(ui, dial) ? ", as it has one value for the model" : "");
}

static bool is_overridden(const Recipe *recipe, Dial dial, const char *name) {
    for (int i = 0; i < recipe->override_count; i++)
        if (recipe->overrides[i].set[dial] && glob_matches(recipe->overrides[i].match, name)) return true;
    return false;
}

// Whether overrides have this dial for all that is quantized, so that its own value reaches nothing.
static bool reaches_none(const Ui *ui, Dial dial) {
    const ModelStructure *structure = workbench_structure(ui->workbench);
    const Plan *plan = workbench_plan(ui->workbench);
    for (int i = 0; i < structure->linear_count; i++)
        if (plan->decisions[i].quantized &&
            !is_overridden(workbench_recipe(ui->workbench), dial, structure->linears[i].name))
            return false;
    return plan->quantized_count > 0;
}

// value NULL: without an override.
static void set_target(Ui *ui, Dial dial, const double *value) {
    Error err = {0};
    const DialTarget *target = &ui->target;
    const bool all = sets_all(ui, dial);
    if (!all && target->count == 0) {
        ui_fail(ui, "no linear is selected");
        return;
    }
    const bool ok = all ? workbench_set(ui->workbench, -1, dial, value, &err)
                        : workbench_set_many(ui->workbench, target->linears, target->count, dial, value, &err);
    if (!ui_report(ui, ok, &err)) return;
    // It is seen among the dials only, and there not that it is of others than they set.
    if (ui->screen != SCREEN_LAYERS || (all && target->scope != SCOPE_ALL)) say_what_was_set(ui, dial, value);
    if (all && dial_table[dial].per_linear && reaches_none(ui, dial))
        ui_say(ui, "all %d linears have an override of %s; this reaches none (O lists them)",
               workbench_plan(ui->workbench)->quantized_count, dial_table[dial].label);
    ui_update(ui);
}

void dials_set(Ui *ui, Dial dial, double value) { set_target(ui, dial, &value); }

void dials_turn(Ui *ui, Dial dial, int steps, bool coarse) {
    ui->dial = dial;
    const double now = dials_value(ui, dial), next = dial_turn(dial, now, steps, coarse);
    if (next != now || dials_mixed(ui, dial)) dials_set(ui, dial, next);
}

void dials_reset(Ui *ui, Dial dial) { set_target(ui, dial, NULL); }

// ---- tracks -------------------------------------------------------------------------------------------------------

int dial_settings(Dial dial, double *settings, int most) {
    const DialInfo *info = &dial_table[dial];
    if (info->kind == DIAL_NUMBER) return 0;
    double value = info->choices ? info->choices[0] : 0;
    int count = 0;
    while (count < most) {
        settings[count++] = value;
        const double next = dial_turn(dial, value, 1, false);
        if (next == value) break;
        value = next;
    }
    return count;
}

// Ranges whose default lies close to their low end get a logarithmic track.
static bool dial_is_logarithmic(const DialInfo *info) {
    return info->default_value > info->least && info->default_value < info->most * 0.05;
}

// So that the default stands at two fifths of the track.
static double log_unit(const DialInfo *info) { return info->default_value / 20; }

static double log_most(const DialInfo *info) {
    return info->most > 1000 ? fmin(info->most, info->default_value * 20) : info->most;
}

double dial_share(Dial dial, double value) {
    const DialInfo *info = &dial_table[dial];
    if (info->kind == DIAL_NUMBER) {
        if (!dial_is_logarithmic(info)) return (value - info->least) / (info->most - info->least);
        return log1p((value - info->least) / log_unit(info)) / log1p((log_most(info) - info->least) / log_unit(info));
    }
    double settings[DIAL_SETTINGS_MOST];
    const int count = dial_settings(dial, settings, DIAL_SETTINGS_MOST);
    for (int i = 0; i < count; i++) {
        if (settings[i] == value) return count > 1 ? (double)i / (count - 1) : 0;
    }
    return 0;
}

// Two significant digits on logarithmic tracks, steps of the dial on others.
static double dial_rounded(const DialInfo *info, double value) {
    double unit = info->step;
    if (dial_is_logarithmic(info) && value > 0) unit = fmax(info->step, pow(10, floor(log10(value)) - 1));
    value = info->least + round((value - info->least) / unit) * unit;
    value = round(value * 1e6) / 1e6; // 0.3, not 0.30000000000000004
    return value < info->least ? info->least : value > info->most ? info->most : value;
}

double dial_at_share(Dial dial, double share) {
    const DialInfo *info = &dial_table[dial];
    share = share < 0 ? 0 : share > 1 ? 1 : share;
    if (info->kind == DIAL_NUMBER) {
        if (!dial_is_logarithmic(info)) return dial_rounded(info, info->least + share * (info->most - info->least));
        return dial_rounded(info, info->least + expm1(share * log1p((log_most(info) - info->least) / log_unit(info))) *
                                                    log_unit(info));
    }
    double settings[DIAL_SETTINGS_MOST];
    const int count = dial_settings(dial, settings, DIAL_SETTINGS_MOST);
    return settings[(int)lround(share * (count - 1))];
}
