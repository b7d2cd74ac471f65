#include "tui/mouse.h"

#include "tui/actions.h"
#include "tui/convert.h"
#include "tui/dials.h"
#include "tui/keys.h"
#include "tui/outliers.h"
#include "tui/screen.h"
#include "tui/sensitivity.h"
#include "tui/sweep.h"
#include "tui/trials.h"
#include "tui/view.h"

static void move_slider(Ui *ui, Dial dial, int col) {
    for (int i = 0; i < ui->hit_count; i++) {
        const Hit *hit = &ui->hits[i];
        if (hit->kind != HIT_SLIDER || hit->value != (int)dial || hit->rect.cols < 2) continue;
        const double value = dial_at_share(dial, (double)(col - hit->rect.col) / (hit->rect.cols - 1));
        if (value != dials_value(ui, dial)) dials_set(ui, dial, value);
        return;
    }
}

static void mouse_press(Ui *ui, const Key *key) {
    const Hit *hit = ui_hit_at(ui, key->row, key->col);
    ui->dragged = NO_DIAL; // where a prompt stood, the release was not seen
    if (!hit) return;
    switch (hit->kind) {
    case HIT_PANE: ui->focus = (Pane)hit->value; break;
    case HIT_COLUMN: action_sort_by(ui, hit->value); break;
    case HIT_KEY: keys_click(ui, hit->value); break;
    case HIT_SCREEN: screen_go(ui, (ScreenKind)hit->value); break;
    case HIT_ENGINE: convert_choose(ui, hit->value); break;
    case HIT_STANDING:
        convert_choose_cell(ui, (ExportFormat)(hit->value / TARGET_COUNT), (Target)(hit->value % TARGET_COUNT));
        break;
    case HIT_COST: sensitivity_choose(ui, hit->value); break;
    case HIT_POINT: sweep_choose(ui, hit->value); break;
    case HIT_MEASURE: outliers_measure(ui, (HeatMeasure)hit->value); break;
    case HIT_CELLS:
        outliers_point(ui, (key->row - hit->rect.row) / ui->outliers.height, (key->col - hit->rect.col) / hit->value);
        break;
    case HIT_TRIAL: trials_choose(ui, (uint32_t)hit->value); break;
    case HIT_TRIAL_COLUMN: trials_sort_by(ui, hit->value); break;
    case HIT_TRIAL_TEXT: ui->trials.pane = 1 + hit->value; break;
    case HIT_ITEM: break; // only while the list is open
    case HIT_JOB: break;  // the list takes its clicks itself
    case HIT_RULE: break; // only in the list of them, which lies over the screen
    case HIT_ROW:
        ui->focus = PANE_LAYERS;
        rows_select(&ui->rows, hit->value);
        break;
    case HIT_DIAL:
    case HIT_SLIDER:
        ui->focus = PANE_DIALS;
        ui->dial = (Dial)hit->value;
        if (hit->kind != HIT_SLIDER) break;
        ui->dragged = hit->value;
        move_slider(ui, ui->dial, key->col);
        break;
    }
}

static void mouse_wheel(Ui *ui, const Key *key, int direction) {
    const Hit *hit = ui_hit_at(ui, key->row, key->col);
    if (ui->screen == SCREEN_CONVERT) {
        if (hit && (hit->kind == HIT_ENGINE || hit->kind == HIT_STANDING))
            convert_move(ui, direction);
        else if (!hit)
            convert_scroll(ui, direction);
        return;
    }
    if (ui->screen == SCREEN_TRIALS) trials_move(ui, direction);
    if (ui->screen == SCREEN_OUTLIERS) {
        outliers_move_column(ui, direction);
        return;
    }
    if (ui->screen == SCREEN_SENSITIVITY) sensitivity_move(ui, direction * 3);
    if (!hit || ui->screen != SCREEN_LAYERS) return;
    if ((hit->kind == HIT_DIAL || hit->kind == HIT_SLIDER) && ui->focus == PANE_DIALS)
        dials_turn(ui, (Dial)hit->value, -direction, false);
    else if (rect_contains(ui->layout.texts, key->row, key->col))
        view_scroll(ui, direction);
    else if (hit->kind != HIT_KEY && rect_contains(ui->layout.layers, key->row, key->col))
        rows_move(&ui->rows, direction * 3);
}

void mouse_event(Ui *ui, const Key *key) {
    switch (key->action) {
    case MOUSE_PRESS: mouse_press(ui, key); break;
    case MOUSE_RELEASE: ui->dragged = NO_DIAL; break;
    case MOUSE_DRAG:
        if (ui->dragged != NO_DIAL) move_slider(ui, (Dial)ui->dragged, key->col);
        break;
    case MOUSE_WHEEL_UP: mouse_wheel(ui, key, -1); break;
    case MOUSE_WHEEL_DOWN: mouse_wheel(ui, key, 1); break;
    }
}
