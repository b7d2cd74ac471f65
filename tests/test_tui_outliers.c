// The Outliers screen on a canvas, with the invented workbench. Its figures: |x|max is largest before down and doubles
// from layer to layer; channel 5 is an outlier of every gate and up.
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/in_folder.h"
#include "tests/support/texts.h"
#include "tui/outliers.h"
#include "tui/panels.h"
#include "tui/screen.h"

// ---- a screen -------------------------------------------------------------------------------------------------------

static void update(Ui *ui) {
    do {
        usleep(1000);
        workbench_update(ui->workbench);
        ui_update(ui);
    } while (workbench_busy(ui->workbench));
}

static void resize(Ui *ui, int rows, int cols) {
    Error err = {0};
    if (!ui_resize(ui, rows, cols, &err)) fail_msg("%s", err.message);
}

static void begin(Ui *ui, int rows, int cols) {
    Error err = {0};
    Workbench *workbench = NULL;
    setenv("FAKE_PACE", "200", 1);
    setenv("XDG_STATE_HOME", folder, 1);
    if (!fake_workbench_open(&(WorkbenchOptions){0}, &workbench, &err)) fail_msg("%s", err.message);
    if (!ui_init(ui, workbench, NULL, &err)) fail_msg("%s", err.message);
    resize(ui, rows, cols);
}

static void end(Ui *ui) {
    Workbench *workbench = ui->workbench;
    ui_free(ui);
    workbench_close(workbench);
}

static void press(Ui *ui, int code) {
    screen_key(ui, &(Key){.code = code});
    screen_draw(ui);
}

// The screen of outliers, with all that is measured.
static void begin_on_map(Ui *ui, int rows, int cols) {
    begin(ui, rows, cols);
    update(ui);
    press(ui, '2');
}

static const char *row_text(const Ui *ui, int row) {
    static char text[300 * (CHARACTER_MOST + 1)];
    size_t used = 0;
    for (int col = 0; col < ui->canvas.cols; col++)
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s", ui->canvas.cells[row * ui->canvas.cols + col].text);
    return text;
}

// The row that begins so, behind the border; NULL: none.
static const char *row_with(const Ui *ui, const char *text) {
    for (int row = 0; row < ui->canvas.rows; row++) {
        const char *shown = row_text(ui, row);
        if (strstr(shown, text)) return shown;
    }
    return NULL;
}

static void expect(const Ui *ui, const char *text) {
    if (row_with(ui, text)) return;
    for (int row = 0; row < ui->canvas.rows; row++) fprintf(stderr, "%s\n", row_text(ui, row));
    fail_msg("“%s” is not there", text);
}

// ---- tests ----------------------------------------------------------------------------------------------------------

static void the_worst_is_under_the_cursor_with_its_outlier(void **state) {
    (void)state;
    Ui ui;
    begin_on_map(&ui, 24, 80);
    assert_int_equal(ui.screen, SCREEN_OUTLIERS);
    expect(&ui, "▸down");
    expect(&ui, "1286◂"); // with its figure, where cells are wide
    expect(&ui, "layers.5.mlp.down_proj  64 × 192");
    expect(&ui, "Input channel 17 stands out (62×)");
    expect(&ui, "mends it: policy token 22.1 dB same size or");
    expect(&ui, "8 bits 24.8 dB +6.1 kB");
    expect(&ui, "|x|max 1286   output errs by 9.4 %, 20.6 dB");
    expect(&ui, "channel 17  61.5× median");
    resize(&ui, 40, 160);
    screen_draw(&ui);
    expect(&ui, ">6× its token's mean in 0.33 % of tokens");
    expect(&ui, ">6× the median in 2 of 5 other down");
    expect(&ui, "Error: 75 %");
    expect(&ui, "input; 25 % weights, worst in column 7.");
    expect(&ui, "column 7  42 % of what weights err");
    end(&ui);
}

// Advice is what was measured; what is not measured yet is not guessed.
static void advice_is_what_was_measured(void **state) {
    (void)state;
    Ui ui;
    begin_on_map(&ui, 24, 80);
    Workbench *workbench = ui.workbench;
    workbench->remedies = (Remedies){0};
    screen_draw(&ui);
    expect(&ui, "mends it: being measured");
    workbench->remedies = (Remedies){.known = true, .db = 43.6};
    screen_draw(&ui);
    expect(&ui, "nothing needed: 43.6 dB");
    workbench->remedies = (Remedies){.known = true, .db = 20};
    screen_draw(&ui);
    expect(&ui, "no dial helps here");
    end(&ui);
}

// All of it, not its figures alone.
static void what_is_of_an_earlier_setting_stands_in_brackets(void **state) {
    (void)state;
    Ui ui;
    begin_on_map(&ui, 60, 200);
    Workbench *workbench = ui.workbench;
    workbench->effect.why_turn = workbench->effect.sqnr_turn = workbench->turn - 1;
    screen_draw(&ui);
    expect(&ui, "(Input channel 17 stands out");
    expect(&ui, "(mends it: policy token 22.1 dB same size or 8 bits 24.8 dB +6.1 kB)");
    expect(&ui, "(output errs by 9.4 %, 20.6 dB)");
    expect(&ui, "(channel 17  61.5× median)");
    expect(&ui, "(column 7  42 % of what weights err)");
    press(&ui, 'm');
    press(&ui, 'm'); // out dB
    expect(&ui, "measuring errors; this is of an earlier setting");
    end(&ui);
}

static void the_cursor_stays_when_the_measure_changes(void **state) {
    (void)state;
    Ui ui;
    begin_on_map(&ui, 36, 120);
    const int cell = ui.outliers.cell;
    press(&ui, 'm');
    assert_int_equal(ui.outliers.cell, cell);
    expect(&ui, "|w|max 2.97   output errs by"); // and the measure is told beside it
    const int worst = heat_worst(&ui.outliers.heat);
    assert_int_not_equal(worst, cell);
    press(&ui, 'W');
    assert_int_equal(ui.outliers.cell, worst);
    end(&ui);
}

static void it_is_said_what_a_dial_was_set_for(void **state) {
    (void)state;
    Ui ui;
    begin_on_map(&ui, 24, 80);
    for (const char *c = ":set weight-bits 8\r"; *c; c++) press(&ui, *c);
    expect(&ui, "bits 8: all linears");
    press(&ui, ' ');
    press(&ui, ']');
    press(&ui, ' ');
    ui.target.scope = SCOPE_MARKED;
    ui_update(&ui);
    for (const char *c = ":set activations token\r"; *c; c++) press(&ui, *c);
    expect(&ui, "policy token: 2 linears");
    end(&ui);
}

// What the input reaches as it comes is always told, and beside it what factors leave.
static void ratios_are_those_before_factors(void **state) {
    (void)state;
    const Decision plain = {.quantized = true, .activations = POLICY_STATIC},
                   lae = {.quantized = true, .lae = true, .activations = POLICY_STATIC};
    Why why = {.raw_channel = 233, .raw_ratio = 45, .channel = 233, .channel_ratio = 3.1};
    char text[64];
    panel_times(&why, &plain, true, text, sizeof text);
    assert_string_equal(text, "45.0× median");
    panel_times(&why, &lae, true, text, sizeof text);
    assert_string_equal(text, "45.0× median, 3.10× after LAE");
    why.channel = 7; // now another one reaches furthest
    panel_times(&why, &lae, false, text, sizeof text);
    assert_string_equal(text, "45.0×, LAE ≤3.10×");
}

static void channels_are_told_with_their_tokens(void **state) {
    (void)state;
    Ui ui;
    begin(&ui, 36, 120);
    screen_draw(&ui);
    press(&ui, '2');
    expect(&ui, "calibrating"); // at first
    update(&ui);
    screen_draw(&ui);
    assert_null(row_with(&ui, "p99.9"));
    resize(&ui, 60, 160); // there is room for the histograms, too
    screen_draw(&ui);
    expect(&ui, "p99.9");
    expect(&ui, "top 17 (1286)");
    const SharedChannels *found = workbench_channels(ui.workbench);
    assert_true(found->count >= 1 && found->channels[0].channel == 5);
    char text[64];
    snprintf(text, sizeof text, "%d/%d", found->channels[0].inputs, found->input_count);
    const char *row = row_with(&ui, text);
    assert_non_null(row);
    assert_non_null(strstr(row, "70.0 %"));
    // A sign for each layer, of the worse of its two inputs.
    row = strstr(strstr(row, "│") + 1, "│"); // behind the cell's pane
    assert_int_equal(count_of(row, "·") + count_of(row, "▒") + count_of(row, "▓") + count_of(row, "█"), LAYERS);
    assert_int_equal(count_of(row, "▒"), found->channels[0].inputs); // one of each layer's
    expect(&ui, "0 2 4");
    expect(&ui, "▒ >6×  ▓ >12×  █ >48× median");
    end(&ui);
}

// Where there are more layers than columns, each sign stands for as many layers as any other, and that is said.
static void too_many_layers_share_signs(void **state) {
    (void)state;
    Ui ui;
    begin(&ui, 24, 80);
    update(&ui);
    const SharedChannels *found = workbench_channels(ui.workbench);
    for (int i = 0; i < found->input_count; i++) found->layers[i] *= 5; // 26 layers
    press(&ui, '2');
    expect(&ui, "a sign: the worst of 4 layers");
    expect(&ui, "5 ▒▒·····  ");
    found->layers[found->input_count - 1] = -1; // the head has one of its own
    press(&ui, ']');
    expect(&ui, "a sign: the worst of 5 layers");
    expect(&ui, "5 ▒▒···· · ");
    end(&ui);
}

// A figure is never cut.
static void weights_are_told_in_the_room_there_is(void **state) {
    (void)state;
    Ui ui;
    begin(&ui, 24, 80);
    update(&ui);
    WeightStats *weights = &((Workbench *)ui.workbench)->stats.weights[0];
    weights->absmax = 0.00998;
    assert_string_equal(panel_layers_cell(&ui, 0, COLUMN_WEIGHT_MAX).text, "0.0100");
    weights->absmax = 0.998;
    assert_string_equal(panel_layers_cell(&ui, 0, COLUMN_WEIGHT_MAX).text, "0.998");
    end(&ui);
}

static void keys_move_over_layers_and_lines(void **state) {
    (void)state;
    Ui ui;
    int line;
    begin(&ui, 36, 120);
    update(&ui);
    press(&ui, KEY_FUNCTION(2));
    press(&ui, KEY_TO_START);
    assert_int_equal(outliers_column(&ui, &line), 0);
    press(&ui, 'l');
    press(&ui, KEY_ARROW_RIGHT);
    assert_int_equal(outliers_column(&ui, &line), 2);
    for (int i = 0; i < 9; i++) press(&ui, 'k');
    assert_int_equal(outliers_column(&ui, &line), 2);
    assert_int_equal(line, 0);
    expect(&ui, "model.layers.2.self_attn.q_proj");
    for (int i = 0; i < 9; i++) press(&ui, 'j');
    expect(&ui, "lm_head"); // nothing else is outside of the layers
    expect(&ui, "▸head");
    assert_int_equal(outliers_column(&ui, &line), 0);
    press(&ui, 'k');
    press(&ui, 'G');
    assert_int_equal(outliers_column(&ui, &line), 5);
    press(&ui, 'q');
    assert_int_equal(ui.screen, SCREEN_LAYERS);
    end(&ui);
}

static void n_goes_from_worst_to_worst(void **state) {
    (void)state;
    Ui ui;
    begin_on_map(&ui, 36, 120);
    double last = INFINITY;
    int steps = 0;
    for (int before = -1; ui.outliers.cell != before; steps++) {
        before = ui.outliers.cell;
        assert_true(outliers_cell(&ui)->value <= last);
        last = outliers_cell(&ui)->value;
        press(&ui, ']');
    }
    assert_int_equal(steps, LINEARS);
    expect(&ui, "the least of all");
    for (int i = 0; i < LINEARS; i++) press(&ui, '[');
    expect(&ui, "the worst of all");
    expect(&ui, "layers.5.mlp.down_proj");
    for (int i = 0; i < 7; i++) press(&ui, ']');
    const int worst = heat_worst(&ui.outliers.heat);
    assert_int_not_equal(ui.outliers.cell, worst);
    press(&ui, 'W');
    assert_int_equal(ui.outliers.cell, worst);
    end(&ui);
}

static void marks_and_selection_are_those_of_the_layers(void **state) {
    (void)state;
    Ui ui;
    begin_on_map(&ui, 36, 120);
    press(&ui, 'h');
    press(&ui, ' ');
    const int marked = outliers_cell(&ui)->worst;
    assert_true(ui.rows.marked[marked] && ui.rows.marked_count == 1);
    press(&ui, 'h');
    expect(&ui, "•");
    press(&ui, KEY_RETURN);
    assert_int_equal(ui.screen, SCREEN_LAYERS);
    assert_int_equal(ui_linear(&ui), marked - PER_LAYER);
    press(&ui, '2');
    assert_int_equal(outliers_cell(&ui)->worst, marked - PER_LAYER); // where one was
    press(&ui, 'l');
    press(&ui, ' ');
    assert_int_equal(ui.rows.marked_count, 0);
    // A filter does not hide what is opened.
    snprintf(ui.rows.filter, sizeof ui.rows.filter, "q_proj");
    rows_arrange(&ui.rows);
    press(&ui, KEY_RETURN);
    assert_int_equal(ui_linear(&ui), marked);
    assert_true(rows_index(&ui.rows) >= 0);
    end(&ui);
}

// Not quantized and not known are told apart; an older figure is not shown as if it were today's.
static void measures_follow_the_recipe(void **state) {
    (void)state;
    Ui ui;
    Error err = {0};
    begin_on_map(&ui, 36, 120);
    press(&ui, 'm');
    expect(&ui, "[|w|max]");
    press(&ui, KEY_TAB);
    expect(&ui, "[out dB]");
    expect(&ui, "– not quantized");
    press(&ui, 'm');
    expect(&ui, "[KL alone]");
    expect(&ui, "s quantizes each linear alone");
    setenv("FAKE_HALF", "1", 1); // however slow this machine is
    press(&ui, 's');
    workbench_update(ui.workbench);
    ui_update(&ui);
    screen_draw(&ui);
    expect(&ui, "of 42 measured, else estimates");
    expect(&ui, "~0.0"); // the one under the cursor, too
    unsetenv("FAKE_HALF");
    update(&ui);
    screen_draw(&ui);
    assert_null(row_with(&ui, "estimates"));
    assert_int_equal(ui.outliers.heat.map.known, LINEARS - 1);
    expect(&ui, "±0.0");
    // What mends it is then told with the divergence, too, in two digits: 1.5 dB leave 71 % of the noise.
    const int linear = ui.outliers.heat.map.cells[ui.outliers.cell].worst;
    const double kl = workbench_sensitivity(ui.workbench)->linears[linear].kl;
    char text[80];
    const double less = kl * (1 - pow(10, -0.15));
    snprintf(text, sizeof text, "mends it: policy token 22.1 dB same size KL ~−%.*f", 1 - (int)floor(log10(less)),
             less);
    expect(&ui, text);
    press(&ui, 'm');
    expect(&ui, "[since pin]");
    expect(&ui, "p pins this state");
    press(&ui, 'p');
    const double eight = 8;
    assert_true(workbench_set(ui.workbench, 3 * PER_LAYER + ROLE_DOWN, DIAL_BITS, &eight, &err));
    ui_update(&ui);
    press(&ui, 'M');
    expect(&ui, "of an earlier setting; s studies this one");
    press(&ui, 'M');
    expect(&ui, "of an earlier setting");
    update(&ui);
    press(&ui, 'm');
    press(&ui, 'm');
    assert_null(row_with(&ui, "of an earlier setting"));
    expect(&ui, "+0.0");
    const int changed = ui.outliers.heat.map.cell_of[3 * PER_LAYER + ROLE_DOWN];
    assert_true(ui.outliers.heat.map.cells[changed].value > 20);
    for (int i = 0; i < LINEARS - 1; i++)
        assert_int_equal(
            shade_of(&ui.outliers.heat.map.scale, ui.outliers.heat.map.cells[ui.outliers.heat.map.cell_of[i]].value),
            ui.outliers.heat.map.cell_of[i] == changed ? 0 : 1);
    press(&ui, 'm');
    expect(&ui, "[|x|max]");
    end(&ui);
}

static void the_mouse_chooses_cells_and_measures(void **state) {
    (void)state;
    Ui ui;
    begin_on_map(&ui, 36, 120);
    const int cell = ui.outliers.cell;
    for (int i = 0; i < ui.hit_count; i++) {
        const Hit hit = ui.hits[i];
        if (hit.kind != HIT_CELLS) continue;
        screen_key(&ui, &(Key){.code = KEY_MOUSE_EVENT,
                               .action = MOUSE_PRESS,
                               .row = hit.rect.row + ui.outliers.height,
                               .col = hit.rect.col + 4 * hit.value});
        break;
    }
    assert_int_not_equal(ui.outliers.cell, cell);
    assert_int_equal(outliers_cell(&ui)->worst, 4 * PER_LAYER + ROLE_K);
    for (int i = 0; i < ui.hit_count; i++) {
        if (ui.hits[i].kind == HIT_MEASURE && ui.hits[i].value == HEAT_ERROR)
            screen_key(&ui, &(Key){.code = KEY_MOUSE_EVENT,
                                   .action = MOUSE_PRESS,
                                   .row = ui.hits[i].rect.row,
                                   .col = ui.hits[i].rect.col});
    }
    assert_int_equal(ui.outliers.measure, HEAT_ERROR);
    end(&ui);
}

// Shades are digits there; nothing needs a colour.
static void ascii_has_digits(void **state) {
    (void)state;
    Ui ui;
    begin(&ui, 24, 80);
    ui.canvas.ascii = true;
    update(&ui);
    press(&ui, '2');
    expect(&ui, ">down");
    const Hit *cells = ui.hits;
    while (cells->kind != HIT_CELLS) cells++;
    const Cell *down = &ui.canvas.cells[(cells->rect.row + 6) * ui.canvas.cols + cells->rect.col];
    assert_string_equal(down[0].text, "2");
    assert_string_equal(down[5 * cells->value].text, "5");
    for (int r = 0; r < ui.canvas.rows; r++) {
        for (const char *at = row_text(&ui, r); *at; at++) assert_true((unsigned char)*at < 128);
    }
    end(&ui);
}

// ---- other shapes ---------------------------------------------------------------------------------------------------

static ModelStructure *structure_of(int layers, int experts) {
    const int per_layer = 2 + 2 * experts, count = layers * per_layer + 3;
    ModelStructure *s = array_new(1, sizeof *s);
    s->linears = array_new((size_t)count, sizeof *s->linears);
    for (int i = 0; i < count - 3; i++) {
        const int nth = i % per_layer;
        s->linears[i] = (Linear){.role = nth == 0   ? ROLE_QKV
                                         : nth == 1 ? ROLE_O
                                         : nth % 2  ? ROLE_DOWN
                                                    : ROLE_GATE_UP,
                                 .layer = i / per_layer,
                                 .expert = nth < 2 ? -1 : (nth - 2) / 2};
    }
    for (int i = count - 3; i < count; i++) s->linears[i] = (Linear){.role = ROLE_OTHER, .layer = -1, .expert = -1};
    s->linear_count = count;
    s->config.layers = layers;
    return s;
}

static void experts_share_a_cell(void **state) {
    (void)state;
    Error err = {0};
    ModelStructure *s = structure_of(4, 16);
    LinearMap map;
    assert_true(linear_map_new(s, &map, &err));
    assert_int_equal(map.line_count, 5); // down, qkv, gate_up of roles in their order, o, and outside
    assert_int_equal(map.columns, 4);
    assert_int_equal(map.cell_of[2], map.cell_of[4]);
    assert_int_not_equal(map.cell_of[2], map.cell_of[3]);
    assert_int_equal(map.cell_of[2] + 1, map.cell_of[2 + 34]); // the next layer
    assert_true(map.lines[4].outside && !map.lines[3].outside);
    assert_int_equal(map.cell_of[s->linear_count - 1], 4 * map.columns + 2);
    linear_map_free(&map);
    free(s->linears);
    free(s);
}

// At every size all lies inside, whatever the cursor is on; wide models scroll.
static void every_size_draws(void **state) {
    (void)state;
    Ui ui;
    begin_on_map(&ui, 24, 80);
    for (int rows = 5; rows <= 100; rows += 7) {
        for (int cols = 20; cols <= 300; cols += 23) {
            resize(&ui, rows, cols);
            press(&ui, ']');
            press(&ui, 'm');
            if (!ui.layout.fits) continue;
            const OutliersLayout l = layout_outliers(&ui.layout, ui.outliers.heat.map.line_count, 0);
            assert_true(l.map.row + l.map.rows < l.cell.row && l.cell.rows >= 8 && l.lines >= 1);
            assert_true(l.cell.col + l.cell.cols < l.channels.col && l.channels.cols > 20);
            assert_int_equal(l.channels.col + l.channels.cols, cols - 1);
            assert_int_equal(l.cell.row + l.cell.rows, rows - 1);
        }
    }
    end(&ui);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_worst_is_under_the_cursor_with_its_outlier),
        IN_FOLDER(advice_is_what_was_measured),
        IN_FOLDER(what_is_of_an_earlier_setting_stands_in_brackets),
        IN_FOLDER(the_cursor_stays_when_the_measure_changes),
        IN_FOLDER(it_is_said_what_a_dial_was_set_for),
        cmocka_unit_test(ratios_are_those_before_factors),
        IN_FOLDER(channels_are_told_with_their_tokens),
        IN_FOLDER(too_many_layers_share_signs),
        IN_FOLDER(weights_are_told_in_the_room_there_is),
        IN_FOLDER(keys_move_over_layers_and_lines),
        IN_FOLDER(n_goes_from_worst_to_worst),
        IN_FOLDER(marks_and_selection_are_those_of_the_layers),
        IN_FOLDER(measures_follow_the_recipe),
        IN_FOLDER(the_mouse_chooses_cells_and_measures),
        IN_FOLDER(ascii_has_digits),
        IN_FOLDER(experts_share_a_cell),
        IN_FOLDER(every_size_draws),
    };
    setlocale(LC_CTYPE, "C.UTF-8");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
