#include "tui/overrides.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "quant/recipe_set.h"
#include "tui/actions.h"
#include "tui/dials.h"
#include "tui/panels.h"
#include "tui/ui.h"

#define LEFT_ALONE "ignore"

void overrides_free(Overrides *overrides) {
    free(overrides->linears);
    free(overrides->overruled);
}

static int rule_count(const Recipe *recipe) { return recipe->override_count + recipe->ignore_count; }

static bool is_override(const Recipe *recipe, int rule) { return rule < recipe->override_count; }

static const char *match_of(const Recipe *recipe, int rule) {
    return is_override(recipe, rule) ? recipe->overrides[rule].match : recipe->ignore[rule - recipe->override_count];
}

static void keep_in_bounds(Ui *ui) {
    const int count = rule_count(workbench_recipe(ui->workbench));
    Overrides *o = &ui->overrides;
    if (o->selected >= count) o->selected = count - 1;
    if (o->selected < 0) o->selected = 0;
}

void overrides_open(Ui *ui) {
    ui->overrides.shown = true;
    keep_in_bounds(ui);
}

// Counts are kept until the recipe changes: a rule with a * is held against every name.
static void count_anew(Ui *ui) {
    Overrides *o = &ui->overrides;
    const uint64_t change = workbench_changes(ui->workbench);
    const int rules = rule_count(workbench_recipe(ui->workbench));
    if (o->linears && o->change == change && o->rules == rules) return;
    free(o->linears);
    free(o->overruled);
    o->linears = array_new((size_t)rules + 1, sizeof *o->linears);
    o->overruled = array_new((size_t)rules + 1, sizeof *o->overruled);
    if (o->overruled)
        recipe_overruled(workbench_recipe(ui->workbench), &workbench_index(ui->workbench)->table, o->overruled, NULL);
    for (int i = 0; o->linears && i < rules; i++) o->linears[i] = -1;
    o->change = change;
    o->rules = rules;
}

// Returns how many linears a rule matches; mark: and marks them.
static int count_linears(Ui *ui, int rule, bool mark) {
    const char *match = match_of(workbench_recipe(ui->workbench), rule);
    int *matched = array_new((size_t)ui->rows.total, sizeof *matched);
    const int count = matched ? name_table_match(&workbench_index(ui->workbench)->table, match, matched) : 0;
    for (int i = 0; mark && i < count; i++) rows_mark(&ui->rows, matched[i], true);
    free(matched);
    return count;
}

// ---- as text ------------------------------------------------------------------------------------------------------

// "weight-bits=8 granularity=channel", or how a rule says that linears are left alone.
static void settings_text(const Recipe *recipe, int rule, const char *between, const char *is, char *out, size_t size) {
    *out = '\0';
    if (!is_override(recipe, rule)) {
        snprintf(out, size, "%s", LEFT_ALONE);
        return;
    }
    const Override *override = &recipe->overrides[rule];
    for (int dial = 0; dial < DIAL_COUNT; dial++) {
        if (!override->set[dial]) continue;
        char value[64];
        const size_t used = strlen(out);
        dial_format((Dial)dial, override->value[dial], value, sizeof value);
        snprintf(out + used, size - used, "%s%s%s%s", used ? between : "", dial_table[dial].option, is, value);
    }
}

static bool parse_setting(const char *word, size_t length, Override *out, Error *err) {
    const size_t name = strcspn(word, "=");
    const int dial = name < length ? dials_named(word, name) : NO_DIAL;
    char text[64];
    if (name >= length)
        return error_set(err, "“%.*s”: write DIAL=VALUE, or %s to leave the linears as they are", (int)length, word,
                         LEFT_ALONE);
    if (dial == NO_DIAL) return error_set(err, "there is no dial “%.*s”", (int)name, word);
    if (!dial_table[dial].per_linear) return error_set(err, "%s holds for the whole model", dial_table[dial].option);
    snprintf(text, sizeof text, "%.*s", (int)(length - name - 1), word + name + 1);
    out->set[dial] = true;
    return dial_parse((Dial)dial, text, &out->value[dial], err) || error_prefix(err, "%s", dial_table[dial].option);
}

// *ignore: the line says so. The match is left to the caller; *rest: what stands behind it.
static bool parse_rule(const char *rest, Override *out, bool *ignore, Error *err) {
    bool any = false;
    *ignore = false;
    for (rest += strspn(rest, " "); *rest; rest += strspn(rest, " ")) {
        const size_t length = strcspn(rest, " ");
        if (length == strlen(LEFT_ALONE) && memcmp(rest, LEFT_ALONE, length) == 0)
            *ignore = true;
        else if (!parse_setting(rest, length, out, err))
            return false;
        else
            any = true;
        rest += length;
    }
    if (*ignore && any) return error_set(err, "linears that are left as they are have no dials");
    return *ignore || any || error_set(err, "what does it set? Write DIAL=VALUE behind the names, or %s", LEFT_ALONE);
}

// ---- changing -----------------------------------------------------------------------------------------------------

static void remove_rule(Recipe *recipe, int rule) {
    if (is_override(recipe, rule)) {
        free(recipe->overrides[rule].match);
        recipe->override_count--;
        memmove(&recipe->overrides[rule], &recipe->overrides[rule + 1],
                (size_t)(recipe->override_count - rule) * sizeof *recipe->overrides);
        return;
    }
    rule -= recipe->override_count;
    free(recipe->ignore[rule]);
    recipe->ignore_count--;
    memmove(&recipe->ignore[rule], &recipe->ignore[rule + 1],
            (size_t)(recipe->ignore_count - rule) * sizeof *recipe->ignore);
}

// A new rule stands last of its kind, an edited one where it was.
static bool put_rule(Recipe *recipe, int edited, const char *match, const Override *settings, bool ignore, Error *err) {
    const bool stays = edited >= 0 && is_override(recipe, edited) && !ignore;
    if (edited >= 0) remove_rule(recipe, edited);
    if (ignore) return recipe_ignore(recipe, match, err);
    Override *added = recipe_add_override(recipe, match, err);
    if (!added) return false;
    memcpy(added->set, settings->set, sizeof added->set);
    memcpy(added->value, settings->value, sizeof added->value);
    for (int i = recipe->override_count - 1; stays && i > edited; i--) {
        const Override moved = recipe->overrides[i];
        recipe->overrides[i] = recipe->overrides[i - 1];
        recipe->overrides[i - 1] = moved;
    }
    return true;
}

static void take_recipe(Ui *ui, Recipe *recipe, bool ok, const char *said, Error *err) {
    if (ui_report(ui, ok && workbench_restore(ui->workbench, recipe, err), err)) {
        ui_say(ui, "%s", said);
        ui_update(ui);
    }
    recipe_free(recipe);
    keep_in_bounds(ui);
}

void overrides_accept(Ui *ui, const char *line) {
    Error err = {0};
    Recipe recipe = {0};
    Override settings = {0};
    bool ignore;
    line += strspn(line, " ");
    const size_t length = strcspn(line, " ");
    char match[512];
    snprintf(match, sizeof match, "%.*s", (int)length, line);
    if (!*match) return;
    if (!ui_report(ui, parse_rule(line + length, &settings, &ignore, &err), &err)) return;
    bool ok = recipe_copy(workbench_recipe(ui->workbench), &recipe, &err);
    ok = ok && put_rule(&recipe, ui->overrides.edited, match, &settings, ignore, &err);
    if (ok && ui->overrides.edited < 0)
        ui->overrides.selected = ignore ? rule_count(&recipe) - 1 : recipe.override_count - 1;
    take_recipe(ui, &recipe, ok, "", &err);
}

static void edit_rule(Ui *ui, int rule) {
    const Recipe *recipe = workbench_recipe(ui->workbench);
    char settings[sizeof ui->editor.text], line[sizeof ui->editor.text + 512] = "";
    if (rule >= rule_count(recipe)) return;
    ui->overrides.edited = rule;
    if (rule >= 0) {
        settings_text(recipe, rule, " ", "=", settings, sizeof settings);
        snprintf(line, sizeof line, "%s %s", match_of(recipe, rule), settings);
    }
    ui_ask(ui, PROMPT_RULE, line);
}

static void drop_rule(Ui *ui) {
    Error err = {0};
    Recipe recipe;
    if (ui->overrides.selected >= rule_count(workbench_recipe(ui->workbench))) return;
    const bool ok = recipe_copy(workbench_recipe(ui->workbench), &recipe, &err);
    if (ok) remove_rule(&recipe, ui->overrides.selected);
    take_recipe(ui, &recipe, ok, "removed; u undoes it", &err);
}

static void move_rule(Ui *ui, int steps) {
    Error err = {0};
    Recipe recipe;
    const int from = ui->overrides.selected, to = from + steps, count = workbench_recipe(ui->workbench)->override_count;
    if (from >= count) {
        ui_say(ui, "the order of what is left alone does not matter");
        return;
    }
    if (to < 0 || to >= count) return;
    const bool ok = recipe_copy(workbench_recipe(ui->workbench), &recipe, &err);
    if (ok) {
        const Override moved = recipe.overrides[from];
        recipe.overrides[from] = recipe.overrides[to];
        recipe.overrides[to] = moved;
        ui->overrides.selected = to;
    }
    take_recipe(ui, &recipe, ok, "", &err);
}

static void mark_linears(Ui *ui) {
    if (ui->overrides.selected >= rule_count(workbench_recipe(ui->workbench))) return;
    const int count = count_linears(ui, ui->overrides.selected, true);
    ui_say(ui, "%d marked", count);
}

// ---- keys ---------------------------------------------------------------------------------------------------------

int overrides_count(Ui *ui) { return rule_count(workbench_recipe(ui->workbench)); }

void overrides_choose(Ui *ui, int rule) {
    ui->overrides.selected = rule;
    keep_in_bounds(ui);
}

void overrides_name(Ui *ui, int rule, char *out, size_t size) {
    const Recipe *recipe = workbench_recipe(ui->workbench);
    char settings[1024];
    settings_text(recipe, rule, " ", "=", settings, sizeof settings);
    snprintf(out, size, "%s %s", match_of(recipe, rule), settings);
}

static void take_mouse(Ui *ui, const Key *key) {
    if (key->action == MOUSE_WHEEL_UP) overrides_choose(ui, ui->overrides.selected - 1);
    if (key->action == MOUSE_WHEEL_DOWN) overrides_choose(ui, ui->overrides.selected + 1);
    if (key->action != MOUSE_PRESS) return;
    const Hit *hit = ui_hit_at(ui, key->row, key->col);
    ui->overrides.shown = hit && hit->kind == HIT_RULE;
    if (ui->overrides.shown) overrides_choose(ui, hit->value);
}

void overrides_key(Ui *ui, const Key *key) {
    const int page = ui->layout.frame.rows - 8, selected = ui->overrides.selected;
    ui->message.text[0] = '\0';
    switch (key->code) {
    case KEY_ARROW_UP:
    case 'k': overrides_choose(ui, selected - 1); break;
    case KEY_ARROW_DOWN:
    case 'j': overrides_choose(ui, selected + 1); break;
    case KEY_PAGE_UP: overrides_choose(ui, selected - page); break;
    case KEY_PAGE_DOWN: overrides_choose(ui, selected + page); break;
    case KEY_TO_START:
    case 'g': overrides_choose(ui, 0); break;
    case KEY_TO_END:
    case 'G': overrides_choose(ui, rule_count(workbench_recipe(ui->workbench))); break;
    case KEY_RETURN:
    case 'e': edit_rule(ui, selected); break;
    case 'a': edit_rule(ui, -1); break;
    case 'd':
    case KEY_FORWARD_ERASE: drop_rule(ui); break;
    case 'K': move_rule(ui, -1); break;
    case 'J': move_rule(ui, 1); break;
    case ' ': mark_linears(ui); break;
    case '/': action_prompt(ui, PROMPT_FIND); break;
    case 'n': action_find(ui, 1); break;
    case 'N': action_find(ui, -1); break;
    case 'u': action_undo(ui, 0); break;
    case KEY_CONTROL('r'): action_redo(ui, 0); break;
    case KEY_MOUSE_EVENT: take_mouse(ui, key); break;
    case KEY_ESCAPE:
    case 'q':
    case 'O':
    case KEY_CONTROL('c'): ui->overrides.shown = false; break;
    default: break;
    }
    keep_in_bounds(ui);
}

// ---- drawing ------------------------------------------------------------------------------------------------------

#define COUNT_COLS 8

static void draw_rule(Ui *ui, Rect line, int rule, int match_cols) {
    const Recipe *recipe = workbench_recipe(ui->workbench);
    Canvas *canvas = &ui->canvas;
    char settings[1024], count[32];
    if (ui->overrides.linears && ui->overrides.linears[rule] < 0)
        ui->overrides.linears[rule] = count_linears(ui, rule, false);
    const int linears = ui->overrides.linears ? ui->overrides.linears[rule] : 0;
    settings_text(recipe, rule, ", ", " ", settings, sizeof settings);
    snprintf(count, sizeof count, "%d", linears);
    const bool alone = !is_override(recipe, rule), selected = rule == ui->overrides.selected;
    const bool overruled = !alone && linears && ui->overrides.overruled && ui->overrides.overruled[rule];
    if (overruled || (!alone && recipe->overrides[rule].tuned))
        snprintf(settings + strlen(settings), sizeof settings - strlen(settings), "  (%s)",
                 overruled ? "overruled: no effect" : "tuned");
    canvas_text(canvas, line.row, line.col, 1, MEANING_ACCENT, selected ? "▸" : " ");
    canvas_fit(canvas, line.row, line.col + 1, match_cols - 2, linears && !overruled ? MEANING_OVERRIDE : MEANING_FAINT,
               match_of(recipe, rule));
    canvas_fit(canvas, line.row, line.col + match_cols, line.cols - match_cols - COUNT_COLS,
               alone || overruled ? MEANING_FAINT : MEANING_VALUE, alone ? "left as it is" : settings);
    canvas_right(canvas, line.row, line.col + line.cols - COUNT_COLS, COUNT_COLS - 1,
                 linears ? MEANING_VALUE : MEANING_ERROR, count);
    if (selected) canvas_restyle(canvas, line, STYLE_SELECTED);
    ui_hit(ui, line, HIT_RULE, rule);
}

static void draw_headings(Ui *ui, Rect line, int match_cols) {
    canvas_text(&ui->canvas, line.row, line.col + 1, line.cols, MEANING_FAINT, "names");
    canvas_text(&ui->canvas, line.row, line.col + match_cols, line.cols, MEANING_FAINT, "what they get");
    canvas_right(&ui->canvas, line.row, line.col + line.cols - COUNT_COLS, COUNT_COLS - 1, MEANING_FAINT, "linears");
}

static Rect draw_frame(Ui *ui, int rules) {
    const Rect frame = ui->layout.frame;
    const int most = frame.rows - 6, cols = frame.cols - 8 < 110 ? frame.cols - 8 : 110;
    const int rows = 1 + (rules < 1 ? 1 : rules < most - 1 ? rules : most - 1);
    const char *keys = cols >= 100
                           ? " Enter edit  a add  d remove  K J move  / find  Space mark its linears  Esc closes "
                           : " Enter edit  a add  d remove  K J move  / find  Esc closes ";
    const Rect inside = rect_inset(panel_overlay_draw(ui, rows, cols + 2, " Overrides: the last one wins ", keys), 1);
    ui_hit(ui, inside, HIT_RULE, ui->overrides.selected); // beside the rules nothing happens
    return inside;
}

void overrides_draw(Ui *ui) {
    count_anew(ui);
    keep_in_bounds(ui);
    Overrides *o = &ui->overrides;
    const Rect inside = draw_frame(ui, o->rules);
    const int rows = inside.rows - 1, match_cols = inside.cols * 11 / 20;
    o->top = layout_scroll(o->top, o->selected, rows, o->rules);
    draw_headings(ui, (Rect){inside.row, inside.col, 1, inside.cols}, match_cols);
    if (o->rules == 0)
        canvas_fit(&ui->canvas, inside.row + 1, inside.col + 1, inside.cols, MEANING_FAINT,
                   "none: all linears have what the dials say; a adds one");
    for (int i = 0; i < rows && o->top + i < o->rules; i++)
        draw_rule(ui, (Rect){inside.row + 1 + i, inside.col, 1, inside.cols}, o->top + i, match_cols);
}
