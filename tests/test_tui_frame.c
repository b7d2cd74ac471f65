// What surrounds the panes: help, zoom, copies and exports, settings, themes.
#include <dirent.h>
#include <glob.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// In place of the real one, in this program only.
#include "base/file.h"
#include "tests/fake/workbench.c" // NOLINT(bugprone-suspicious-include)
#include "tests/support/tui_session.h"
#include "tui/clipboard.h"
#include "tui/jobs.h"
#include "tui/keys.h"
#include "tui/theme.h"

static Screen *start_plainly(int rows, int cols) {
    Screen *s = start_with(rows, cols, NULL, "FAKE_PACE=8");
    expect(s, "p99.9");
    return s;
}

static int row_of(Screen *s, const char *text) {
    int row, col;
    expect(s, text);
    assert_true(screen_find(s, text, &row, &col));
    return row;
}

static VTermScreenCell cell_at_text(Screen *s, const char *text) {
    int row, col;
    VTermScreenCell cell = {0};
    expect(s, text);
    assert_true(screen_find(s, text, &row, &col));
    vterm_screen_get_cell(s->screen, (VTermPos){.row = row, .col = col}, &cell);
    return cell;
}

// ---- help ---------------------------------------------------------------------------------------------------------

static void help_begins_with_what_counts_here(void **state) {
    (void)state;
    Screen *s = start_plainly(36, 120);
    key(s, "?");
    expect(s, "Layers: the table");
    assert_true(row_of(s, "the linear above") < row_of(s, "show only some"));
    key(s, "q\t?");
    expect(s, "Layers: the dials");
    assert_true(row_of(s, "type a value") < row_of(s, "show only some"));
    key(s, "q6");
    expect(s, "by the recipe as it is now");
    key(s, "?");
    expect(s, "name the folder to write");
    assert_true(row_of(s, "its next finding") < row_of(s, "Colours and signs"));
    key(s, "q");
    quit(s);
}

// A colour is not changed for blanks in which it is not seen.
static void words_of_a_colour_go_out_together(void **state) {
    (void)state;
    Screen *s = start_plainly(36, 120);
    assert_true(screen_sent(s, "2 3 4 5 6"));
    quit(s);
}

// What is sought stays when another screen is shown, and n goes on there.
static void finding_works_on_every_screen(void **state) {
    (void)state;
    Screen *s = start_plainly(36, 120);
    settle(s);
    key(s, ":set weight-bits 3\r");
    settle(s);
    key(s, "2/4 down\r");
    expect(s, "model.layers.4.mlp.down_proj");
    key(s, "1n");
    expect(s, "▸4.down_proj");
    key(s, "3/start\r");
    expect(s, "▸A");
    key(s, "/nothing here\r");
    expect(s, "no row with “nothing here”");
    key(s, "4:sweep alpha\r/alpha 0.6\r");
    expect(s, "alpha 0.6");
    key(s, "6/transformers\r");
    expect(s, "▸ transformers ");
    key(s, "1*up\ro:set alpha 0.2\r" ESCAPE);
    key(s, "*down\r:set alpha 0.4\r");
    key(s, "O/up\r");
    expect(s, "▸model.layers.*.mlp.up_proj");
    key(s, ESCAPE "s/peak");
    expect(s, "there is none");
    key(s, "\177\177\177\177kurt\r");
    expect(s, "by kurt");
    quit(s);
}

static void help_shows_colours_as_they_are(void **state) {
    (void)state;
    Screen *s = start_plainly(60, 120);
    key(s, "?/v0\r");
    expect(s, "inputs up to v0");
    key(s, ESCAPE);
    key(s, "/pin\r");
    expect(s, "better than the pin");
    const VTermScreenCell better = cell_at_text(s, "✓ "), worse = cell_at_text(s, "✗ ");
    assert_int_equal(better.fg.indexed.idx, 114);
    assert_int_equal(worse.fg.indexed.idx, 210);
    key(s, "q");
    quit(s);
}

static void help_is_searched(void **state) {
    (void)state;
    Screen *s = start_plainly(24, 80);
    key(s, "?/UNDO");
    expect(s, "/UNDO");
    expect_gone_text(s, "Layers: the table");
    expect(s, ":undo"); // whatever the case
    assert_false(screen_has(s, "find a linear"));
    key(s, "zzz");
    expect(s, "nothing here is called that");
    key(s, ESCAPE);
    expect(s, "Layers: the table");
    key(s, "G");
    expect(s, "quit without asking"); // the last line of all
    key(s, "/q\r"
           "q"); // after Enter, keys are keys again
    expect_gone_text(s, " Help ");
    quit(s);
}

// What people look for, by the words that other programs have for it.
static void help_is_found_by_what_people_look_for(void **state) {
    (void)state;
    static const char *const words[] = {
        "vllm",       "undo",     "save",   "quit",      "exit",     "8 bits",    "compare",   "layer",
        "gguf",       "export",   "faster", "smaller",   "accuracy", "quality",   "kl",        "outlier",
        "group size", "prompt",   "chat",   "open",      "search",   "sort",      "select",    "default",
        "pause",      "cancel",   "color",  "dark",      "copy",     "clipboard", "csv",       "zoom",
        "scroll",     "auto",     "budget", "exclude",   "skip",     "history",   "redo",      "perplexity",
        "int8",       "kv cache", "keys",   "tutorial",  "batch",    "override",  "one layer", "file",
        "mouse",      "speed",    "noise",  "alpha 0.3", "sm90",     "llama.cpp", "settings",  "rebind",
    };
    Screen *s = start_plainly(24, 80);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        char line[64];
        snprintf(line, sizeof line, ":help %s\r", words[i]);
        key(s, line);
        snprintf(line, sizeof line, " /%s ", words[i]);
        expect(s, line); // else it stays on the line, under an error
        key(s, ESCAPE ESCAPE);
        expect_gone_text(s, " Help ");
    }
    key(s, "?/undo\r");
    expect(s, " /undo ");
    key(s, "/vllm"); // anew
    expect(s, " /vllm ");
    expect(s, ":target [ENGINE]");
    expect(s, "like  :target vllm-sm90");
    key(s, ESCAPE "q");
    quit(s);
}

// Whatever other programs call it is answered by a line about that, also where the answer is that it is not here.
static void help_knows_the_words_of_other_programs(void **state) {
    (void)state;
    static const struct {
        const char *word, *answer;
    } asked[] = {
        {"awq", "weights scaled by their inputs"},
        {"gptq", "Convert writes it"},
        {"act-order", "as a way of rounding"},
        {"imatrix", "neither read nor written"},
        {"importance matrix", "neither read nor written"},
        {"q4_k", "not written"},
        {"Q4_K_M", "not written"},
        {"iq4_xs", "not written"},
        {"q8_0", "Q4_0, Q4_1 and Q8_0"},
        {"ollama", "GGUF of llama.cpp"},
        {"zero point", "the code that stands for 0"},
        {"zero-point", "the code that stands for 0"},
        {"asymmetric", "the code that stands for 0"},
        {"perplexity", "how much a text surprises"},
        {"wikitext", "how much a text surprises"},
        {"SmoothQuant", "the dial policy"},
        {"calibration set", "--calibration FILE"},
        {"calibration dataset", "--calibration FILE"},
        {"group size", "columns that share a scale"},
        {"g128", "weights that share a scale"},
        {"per-channel", "weights that share a scale"},
        {"kv cache", "keys and values of earlier"},
        {"w8a8", "rounds inputs to 8 bits"},
        {"w4a16", "rounds inputs to 8 bits"},
        {"rtn", "round to nearest"},
        {"fp8", "no grid here"},
        {"nf4", "no grid here"},
        {"bitsandbytes", "are not opened"},
        {"hqq", "are not opened"},
        {"exl2", "are not opened"},
        {"mixed precision", "a rule that sets a dial"},
        {"llm-compressor", "a format of Convert"},
        {"onnx", "not written"},
        {"tensorrt", "not written"},
        {"dequantize", "format dense"},
        {"hadamard", "QuaRot, SpinQuant: not here"},
        {"quarot", "QuaRot, SpinQuant: not here"},
        {"autoround", "weights are rounded as they are"},
        {"qat", "weights are rounded as they are"},
        {"sparsity", "leaving weights out"},
        {"autoquantize", "the budget and T"},
        {"modules_to_not_convert", "i on Layers"},
        {"lm_head", "i on Layers"},
        {"mmlu", "eval --task"},
        {"temperature", "the command generate"},
        {"vram", "what all weights take"},
        {"bpw", "with scales and what else"},
        {"cosine similarity", "signal to noise"},
        {"moe", "see a part of the tokens"},
        {"throughput", "how fast it decodes"},
    };
    Screen *s = start_plainly(36, 120);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        char line[64];
        snprintf(line, sizeof line, ":help %s\r", asked[i].word);
        key(s, line);
        snprintf(line, sizeof line, " /%s ", asked[i].word);
        expect(s, line);
        expect(s, asked[i].answer);
        key(s, ESCAPE ESCAPE);
        expect_gone_text(s, " Help ");
    }
    quit(s);
}

// An example that is refused would teach what is wrong.
static void every_example_is_understood_and_every_list_completes(void **state) {
    (void)state;
    Screen *s = start_plainly(36, 120);
    settle(s);
    for (int i = 0; i < binding_count; i++) {
        const Binding *row = &bindings[i];
        if (!row->text) continue;
        assert_non_null(row->example);
        char line[4400];
        const size_t word = strlen(row->word);
        assert_true(strncmp(row->example, row->word, word) == 0 && row->example[word] == ' ');
        snprintf(line, sizeof line, ":%s ", row->word);
        key(s, line);
        snprintf(line, sizeof line, "like  %s", row->example);
        expect(s, line);
        key(s, "\x15" ESCAPE);
        if (strncmp(row->word, "wq", 2) == 0 || strcmp(row->word, "load") == 0)
            continue; // it would end, or read a file
        const bool file = row->completion == COMPLETE_FILE || row->completion == COMPLETE_RECIPE;
        const char *argument = row->example + word + 1;
        if (row->completion == COMPLETE_SCOPE) key(s, ":mark role = down\r"); // of what was unmarked again
        snprintf(line, sizeof line, ":%s %s\r", row->word, file ? path_in_folder(argument) : argument);
        key(s, line);
        expect_gone_text(s, "╰ :"); // what is refused stays on the line
        key(s, ESCAPE ESCAPE "1");
    }
    key(s, ":budget k\t");
    expect(s, ":budget kl");
    key(s, "\x15"
           "filter role = d\t");
    expect(s, "role = down");
    key(s, "\x15"
           "filter role=d\t");
    expect(s, "role=down");
    key(s, "\x15"
           "filter class = t\t");
    expect(s, "class = token");
    key(s, "\x15" ESCAPE);
    quit(s);
}

static void the_bottom_line_names_the_keys_of_the_pane(void **state) {
    (void)state;
    Screen *s = start_plainly(36, 120);
    expect(s, "/ find");
    assert_false(screen_has(s, "← → turn"));
    key(s, "\t");
    expect(s, "← → turn");
    key(s, "\t");
    expect_gone_text(s, "← → turn");
    key(s, "\t");
    expect(s, "/ find");
    quit(s);
}

static void commands_refuse_what_they_do_not_take(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    key(s, ":speeds 64 128\r");
    expect(s, "“speeds” takes nothing after it, and got “64 128”");
    key(s, ESCAPE ":7 8\r");
    expect(s, "a row is one number, not “7 8”");
    key(s, ESCAPE ":help overrid\r");
    expect(s, "── Help");
    expect(s, " /overrid");
    expect(s, "overrides");
    key(s, ESCAPE ESCAPE);
    key(s, ":help nonsense\r");
    expect(s, "the help does not know “nonsense”");
    quit(s);
}

// What an engine refuses, and that the recipe is not saved, is read at every width; the rest gives way to it.
static void the_first_line_says_what_matters_most(void **state) {
    (void)state;
    static const int widths[] = {80, 100, 120};
    static const char *const also[] = {"BF16 655 kB", "llama · 6 layers", "· 16.4k tokens"};
    for (int i = 0; i < 3; i++) {
        Screen *s = start_plainly(24, widths[i]);
        settle(s);
        key(s, ":target vllm-sm75\r:set policy static\r");
        settle(s);
        expect(s, "vllm-sm75 refuses policy · ");
        expect(s, widths[i] == 120 ? " · recipe not saved" : " · not saved");
        assert_int_equal(row_of(s, "not saved"), 0);
        assert_int_equal(row_of(s, "quantdial  storyteller"), 0);
        assert_int_equal(row_of(s, also[i]), 0);
        click_on(s, "vllm-sm75 refuses");
        expect(s, "by the recipe as it is now");
        quit(s);
    }
}

// ---- one pane on the whole frame ----------------------------------------------------------------------------------

static void every_pane_has_the_whole_frame_in_turn(void **state) {
    (void)state;
    Screen *s = start_plainly(24, 80);
    key(s, "v");
    expect(s, "v next pane");
    expect(s, ">6σ"); // a column for which there was no room
    assert_false(screen_has(s, "─ Dials"));
    key(s, "v");
    expect(s, "─ model.layers.5.mlp.down_proj"); // a title for which there was no room
    key(s, "j");
    expect(s, "─ model.layers.4.mlp.down_proj"); // from linear to linear
    key(s, "v");
    expect(s, "─ Dials ─");
    expect(s, "percentile"); // the last row
    key(s, "v");
    expect(s, "─ Effect on mixed");
    key(s, "v");
    expect(s, "─ Dials ↓");
    expect(s, "─ 4.down_proj");
    key(s, "\tv"); // begins with the pane that has the keys
    expect(s, "v next pane");
    expect(s, "percentile");
    key(s, "\t");
    expect(s, "─ Effect on mixed");
    key(s, ESCAPE);
    expect(s, "─ Dials ↓");
    key(s, "v\033[17~"); // another screen begins with all of its panes
    expect(s, "by the recipe as it is now");
    assert_false(screen_has(s, "v next pane"));
    key(s, "q");
    expect(s, "v next pane");
    quit(s);
}

static void zoom_follows_the_size(void **state) {
    (void)state;
    Screen *s = start_plainly(24, 80);
    key(s, "v");
    expect(s, "v next pane");
    screen_resize(s, 10, 40);
    expect(s, "quantdial needs");
    screen_resize(s, 36, 120);
    expect(s, "v next pane");
    expect(s, "▸5.down_proj");
    screen_resize(s, 10, 40);
    expect(s, "quantdial needs");
    screen_resize(s, 24, 80);
    expect(s, "v next pane");
    quit(s);
}

// ---- texts --------------------------------------------------------------------------------------------------------

static void texts_are_as_long_as_wanted_and_scroll(void **state) {
    (void)state;
    Screen *s = start(24, 80);
    key(s, ":tokens 1024\r");
    expect(s, "up to 1024 tokens");
    settle(s);
    key(s, "\t\tv"); // 16 times as long
    expect(s, "v next pane");
    expect(s, "she said. Mira…"); // all of it is there
    key(s, "g");
    expect(s, "base      Once upon a time Mira");
    key(s, "j");
    expect_gone_text(s, "Once upon a time");
    key(s, "k");
    expect(s, "base      Once upon a time Mira");
    assert_false(screen_has(s, "base      … "));
    key(s, "G");
    expect_gone_text(s, "Once upon a time");
    settle(s);
    key(s, "-");
    expect(s, "up to 512 tokens");
    key(s, ":tokens 0\r");
    expect(s, "tokens: a number from 1 to 4096, not “0”");
    quit(s);
}

static bool both_in_one_row(Screen *s, const void *unused) {
    int row, other, col;
    (void)unused;
    return screen_find(s, "▸waited", &row, &col) && screen_find(s, "▸looked", &other, &col) && row == other;
}

static void wide_texts_stand_side_by_side(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "\t\tv");
    if (!screen_wait(s, both_in_one_row, NULL)) fail_with_screen(s, "texts side by side");
    quit(s);
}

// ---- copies and exports -------------------------------------------------------------------------------------------

// What the program asked the terminal to keep, by its first bytes in base64.
static void expect_copied(Screen *s, const char *begin, const char *said) {
    char sequence[160];
    Text encoded = {0};
    clipboard_sequence(begin, strlen(begin) / 3 * 3, &encoded); // three bytes are four characters
    snprintf(sequence, sizeof sequence, "%.*s", (int)(encoded.length - 1), encoded.data); // without its end
    text_free(&encoded);
    expect(s, said);
    if (!screen_sent(s, sequence)) fail_with_screen(s, sequence);
}

// The same somewhere within: three bytes are four characters only from where a three begins.
static void expect_copied_within(Screen *s, const char *part) {
    bool sent = false;
    for (size_t skipped = 0; skipped < 3; skipped++) {
        char characters[160];
        Text encoded = {0};
        clipboard_sequence(part + skipped, (strlen(part) - skipped) / 3 * 3, &encoded);
        snprintf(characters, sizeof characters, "%s", strrchr(encoded.data, ';') + 1);
        characters[strcspn(characters, "\a\033")] = '\0';
        text_free(&encoded);
        sent = sent || screen_sent(s, characters);
    }
    if (!sent) fail_with_screen(s, part);
}

static void what_the_keys_are_on_is_copied(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "y");
    expect_copied(s, "model.layers.5.mlp.down_proj  |w|max 2.97  |x|max 1286", "copied the row of model.layers.5.");
    key(s, "\ty");
    expect_copied(s, "{\n  \"quantdial_recipe\"", "copied the recipe, ");
    key(s, "\ty");
    expect_copied(s, "prompt: Once upon a time\nba", "copied both texts, ");
    key(s, "Y");
    expect_copied(s, "linear\t|w|max\t|x|max\t", "copied the table, 43 rows, ");
    key(s, "x");
    expect(s, "by the recipe as it is now");
    key(s, "y");
    expect_copied(s, "vLLM", "copied the verdict for vLLM");
    quit(s);
}

static void a_terminal_without_a_clipboard_says_so(void **state) {
    (void)state;
    const char *const options[] = {NULL}, *const environment[] = {"TERM=linux", "FAKE_PACE=8", NULL};
    Screen *s = start_as(36, 120, options, environment);
    expect(s, "p99.9");
    key(s, "y");
    expect(s, "this terminal has no clipboard");
    assert_false(screen_sent(s, "]52;"));
    quit(s);
}

static void expect_file(const char *name, const char *begin) {
    char *data;
    size_t size;
    Error err = {0};
    if (!file_read(path_in_folder(name), 1 << 20, &data, &size, &err)) fail_msg("%s", err.message);
    if (strncmp(data, begin, strlen(begin)) != 0) fail_msg("%s begins with %.200s", name, data);
    free(data);
}

static void export_to(Screen *s, const char *command, const char *name) {
    char line[4300];
    snprintf(line, sizeof line, ":%s %s\r", command, path_in_folder(name));
    key(s, line);
}

static void tables_become_files(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "&down\r"); // as they are shown: filtered, and in this order
    expect(s, "6 of 43 & down");
    export_to(s, "export", "table.csv");
    expect(s, "6 rows written to ");
    expect_file("table.csv", "linear,wmax,range,class,bits,group,sqnr,kurtosis,outliers,size\r\n"
                             "model.layers.5.mlp.down_proj,2.96875,1286.5,token,4,32,");
    key(s, ":filter\r");
    export_to(s, "export", "table.md");
    expect(s, "43 rows written to ");
    expect_file("table.md", "| linear | \\|w\\|max | \\|x\\|max | class | bits | g | out dB | kurt | >6σ | size |\n"
                            "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
                            "| model.layers.5.mlp.down_proj | 2.97 | 1286 | token | 4 | 32 | ");
    quit(s);
}

static void the_figure_becomes_a_file(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    export_to(s, "export", "figure.svg");
    expect(s, "figure written to ");
    expect_file("figure.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"");
    char *data;
    size_t size;
    assert_true(file_read(path_in_folder("figure.svg"), 1 << 20, &data, &size, NULL));
    assert_non_null(strstr(data, "model.layers.5.mlp.down_proj  64 × 192"));
    assert_non_null(strstr(data, ">v1 150</text>"));
    assert_string_equal(data + size - 7, "</svg>\n");
    free(data);
    key(s, "x");
    expect(s, "by the recipe as it is now");
    export_to(s, "export", "other.svg");
    expect(s, "this screen has no figure to write");
    quit(s);
}

static void assert_in_file(const char *name, const char *part) {
    char *data;
    size_t size;
    Error err = {0};
    if (!file_read(path_in_folder(name), 1 << 20, &data, &size, &err)) fail_msg("%s", err.message);
    if (!strstr(data, part)) fail_msg("%s has no %s: %s", name, part, data);
    free(data);
}

static bool is_there(Screen *s, const void *name) {
    (void)s;
    return file_exists(path_in_folder(name));
}

// A file has all digits of a guess, says that it is one, and what is for eyes has one digit.
static void what_was_guessed_says_so_in_files(void **state) {
    (void)state;
    const char *const options[] = {NULL}, *const environment[] = {"FAKE_KEPT=0", "FAKE_PACE=8", NULL};
    Screen *s = start_as(36, 120, options, environment);
    key(s, "5");
    expect(s, "~0.001 ");
    export_to(s, "export", "costs.csv");
    expect(s, "costs.csv");
    expect_file("costs.csv", "linear,linears,kl,kl_se,known,bits,chosen_bits,");
    assert_in_file("costs.csv", ",,guessed,4,");
    export_to(s, "export", "costs.md");
    expect(s, "costs.md");
    assert_in_file("costs.md", "| 0.gate_proj | 1 | ~0.001 |  | guessed | 4 |");
    export_to(s, "export", "costs.svg");
    expect(s, "figure written to ");
    assert_in_file("costs.svg", ">~0.001</text>");
    quit(s);
}

// The message of the file before looks the same.
static void write_to(Screen *s, const char *name, const char *said) {
    export_to(s, "export", name);
    if (!screen_wait(s, is_there, name)) fail_with_screen(s, name);
    expect(s, said);
}

static void outliers_are_handed_out(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "2y");
    expect_copied(s, "model.layers.5.mlp.down_proj  |x|max 1286  |w|max 2.97  out dB ",
                  "copied the figures of model.layers.5.mlp.down_proj, ");
    write_to(s, "map.csv", "43 rows written to ");
    expect_file("map.csv", "linear,layer,role,|x|max\r\nmodel.layers.0.self_attn.q_proj,0,q,");
    assert_in_file("map.csv", "\r\nmodel.layers.5.mlp.down_proj,5,down,1286.5\r\nlm_head,,head,");
    key(s, "m");
    expect(s, "[|w|max]");
    write_to(s, "map.md", "43 rows written to ");
    expect_file("map.md", "| linear | layer | role | \\|w\\|max |\n");
    write_to(s, "map.svg", "figure written to ");
    expect_file("map.svg", "<svg xmlns=\"http://www.w3.org/2000/svg\"");
    assert_in_file("map.svg", "<title>model.layers.5.mlp.down_proj: 2.97</title>");
    quit(s);
}

static void trials_are_handed_out(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    expect(s, "2.1–2.3× "); // without …: the row gets all of its speed
    key(s, "3");
    key(s, ":set bits 3\r");
    expect(s, "B  #2: bits 4 → 3");
    key(s, "y");
    expect_copied(s, "#2: bits 4 → 3", "copied #2, ");
    expect_copied_within(s, " (base 2.412)  top-1 ");
    write_to(s, "trials.csv", "2 rows written to ");
    expect_file("trials.csv", "number,what,note,compared,bits_per_weight,bytes,kl,kl_se,kl_against_a,");
    assert_in_file("trials.csv",
                   ",ppl,base_ppl,top1,tokens_per_second,times_base,kl_reverse,ppl_se,base_ppl_se,top1_se,"
                   "tokens,tokens_per_second_least,tokens_per_second_most,times_base_least,"
                   "times_base_most,base_tokens_per_second,busy,from,present,front,earlier\r\n");
    assert_in_file("trials.csv", "\r\n1,start,,A,4.");
    assert_in_file("trials.csv", ",2.412,0.97"); // what the base comes to, and top-1
    assert_in_file("trials.csv",
                   ",812,0,,0,"); // its speed, not busy; the first row was turned from none, and is not present
    write_to(s, "trials.md", "2 rows written to ");
    expect_file("trials.md", "| # | what changed | note | A/B | bits/w | size | KL |");
    write_to(s, "trials.svg", "figure written to ");
    key(s, "X");
    expect(s, "to trials.svg"); // as the last time
    key(s, ESCAPE);
    assert_in_file("trials.svg", ">#2 now</text>");
    assert_in_file("trials.svg", ">#2 now  bits 4 → 3</text>"); // what the number stands for
    key(s, "d");
    expect(s, "From A to B");
    key(s, "y");
    expect_copied(s, "bits", "copied what A and B do differently, ");
    key(s, "\ty");
    expect_copied(s, "prompt: Once upon a time\nbase:  Mira", "copied the texts of base, A and B, ");
    expect_copied_within(s, "\nA, #1 start:  Mira");
    expect_copied_within(s, "\nB, #2 bits 4 → 3:  ");
    quit(s);
}

static void a_sweep_is_handed_out(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, ":sweep weight-bits=3,4,8\r");
    expect(s, "3 of 3 points");
    key(s, "y");
    expect_copied(s, "weight-bits 4  bits/w 4.", "copied the point, ");
    write_to(s, "sweep.csv", "3 rows written to ");
    expect_file("sweep.csv", "weight-bits,bits_per_weight,bytes,kl,kl_se,ppl,top1,state\r\n3,3.");
    assert_in_file("sweep.csv", ",now\r\n8,");
    write_to(s, "sweep.svg", "figure written to ");
    assert_in_file("sweep.svg", "Accuracy against size; at each point: weight-bits");
    quit(s);
}

static void costs_are_handed_out(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "5");
    expect(s, "all 42 are measured");
    key(s, "y");
    expect_copied(s, "model.layers.", "copied the row of ");
    write_to(s, "costs.csv", "42 rows written to ");
    expect_file("costs.csv", "linear,linears,kl,kl_se,known,bits,chosen_bits,more_kl,more_bytes,fewer_kl,fewer_bytes");
    assert_in_file("costs.csv", ",measured,4,");
    write_to(s, "costs.svg", "figure written to ");
    assert_in_file("costs.svg", "5.down_proj</text>");
    quit(s);
}

static void no_file_is_replaced_unasked(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    folder_put_text(folder, "there.csv", "mine");
    export_to(s, "export", "there.csv");
    expect(s, "already exists; :export!");
    expect_file("there.csv", "mine");
    expect(s, " :export ");
    key(s, ESCAPE);
    export_to(s, "export!", "there.csv");
    expect(s, "43 rows written to ");
    expect_file("there.csv", "linear,");
    export_to(s, "export", "table.txt");
    expect(s, "the ending says what is written");
    key(s, ESCAPE "X");
    expect(s, "write .csv, .md or .svg to layers.csv");
    key(s, ESCAPE);
    quit(s);
}

// ---- settings -----------------------------------------------------------------------------------------------------

static void put_settings(const char *text) {
    Error err = {0};
    assert_true(folder_make(path_in_folder(".config/quantdial"), &err));
    folder_put_text(folder, ".config/quantdial/config.json", text);
}

static void settings_hold_from_the_start(void **state) {
    (void)state;
    put_settings("{\"theme\": \"mono\", \"sort\": \"kurtosis\", \"tokens\": 33, \"ascii\": true}");
    Screen *s = start_plainly(36, 120);
    expect(s, "by kurt v");
    const VTermScreenCell cell = cell_at_text(s, "1286");
    assert_true(VTERM_COLOR_IS_DEFAULT_FG(&cell.fg));
    key(s, "\t\t-"); // half of what the settings say
    expect(s, "up to 16 tokens");
    quit(s);
    const char *const options[] = {"--theme", "light", NULL}, // what is asked for goes before
        *const environment[] = {"TERM=xterm-256color", "FAKE_PACE=8", NULL};
    s = start_as(36, 120, options, environment);
    expect(s, "p99.9");
    const VTermScreenCell light = cell_at_text(s, "1286");
    assert_int_equal(light.fg.indexed.idx, 131);
    quit(s);
}

static void changed_keys_hold_and_are_shown(void **state) {
    (void)state;
    put_settings("{\"keys\": {\"undo\": \"f9\", \"pin\": \"u\"}}");
    Screen *s = start_plainly(36, 120);
    expect(s, "f9 undo");
    key(s, "u");
    expect(s, "pinned:");
    key(s, "\033[20~"); // F9
    expect(s, "nothing to undo");
    key(s, "?/undo\r");
    expect(s, "changed, usually u");
    key(s, "q");
    click_on(s, "u pin"); // keys on the screen are what they say
    expect(s, "this state is pinned already");
    quit(s);
}

static void settings_that_are_not_understood_are_told(void **state) {
    (void)state;
    put_settings("{\"them\": \"dark\", \"tokens\": 33}");
    Screen *s = start_plainly(36, 120);
    expect(s, "config.json: unknown key \"them\"");
    key(s, "u"); // and it goes on
    expect(s, "nothing to undo");
    key(s, "\t\t-"); // with the rest
    expect(s, "up to 16 tokens");
    quit(s);
    put_settings("{\"them\": \"dark\", \"tokens\": 0}");
    s = start_plainly(36, 120);
    expect(s, "2 entries are not used, :settings says why");
    key(s, ":settings\r");
    expect(s, "unknown key \"them\"");
    expect(s, "\"tokens\" must be");
    expect(s, "config.json ");
    key(s, ESCAPE ESCAPE);
    quit(s);
    put_settings("{\"keys\": {\"undo\": \"w\"}}");
    s = start_plainly(36, 120);
    expect(s, "keys.undo: ");
    key(s, ":bind undo f9\r");
    expect(s, "undo has f9");
    key(s, ":settings\r");
    expect(s, "undo: f9");
    assert_false(screen_has(s, "not used ")); // it is mended
    key(s, ESCAPE ESCAPE);
    quit(s);
}

// By the screen alone: the help says how, and has the name.
static void a_key_is_given_at_once_and_kept(void **state) {
    (void)state;
    Screen *s = start_plainly(24, 80);
    key(s, "?");
    expect(s, ":bind NAME KEY, names at the right");
    expect(s, "columns-right columns-left"); // of a line that has no room beside it
    key(s, "/previous match\r");
    expect(s, "find-next find-previous");
    key(s, ESCAPE ESCAPE ":bind undo p\r");
    expect(s, "undo: \"p\" is a key of pin already; give pin another one first");
    key(s, "\x15"
           "bind und\t");
    expect(s, ":bind undo");
    key(s, "f9\r");
    expect(s, "undo has f9, :unbind takes it back; kept in");
    key(s, "\033[20~"); // F9
    expect(s, "nothing to undo");
    key(s, ":bind undo\r");
    expect(s, "undo has f9; :bind undo KEY gives it another one");
    quit(s);
    s = start_plainly(24, 80);
    expect(s, "f9 undo");
    key(s, ":unbind \t");
    expect(s, ":unbind undo");
    key(s, "\r");
    expect(s, "undo has u again");
    key(s, "j");
    expect(s, " u undo");
    quit(s);
}

static void colorblind_is_blue_and_orange(void **state) {
    (void)state;
    Screen *s = start_plainly(60, 120);
    key(s, ":theme colorblind\r?/pin\r");
    expect(s, "better than the pin");
    const VTermScreenCell better = cell_at_text(s, "✓ "), worse = cell_at_text(s, "✗ ");
    assert_int_equal(better.fg.indexed.idx, 75);
    assert_int_equal(worse.fg.indexed.idx, 215);
    key(s, "q");
    quit(s);
}

// ---- how it was left ----------------------------------------------------------------------------------------------

static Screen *start_again(void) {
    Screen *s = start_with(36, 120, "--remember", "FAKE_PACE=8");
    expect(s, "p99.9");
    settle(s);
    return s;
}

static void it_begins_as_it_was_left(void **state) {
    (void)state;
    Screen *s = start_again();
    key(s, "p:sort kurtosis\r&down\rjr\x15The sea\r");
    expect(s, "The sea Mira");
    expect(s, "▸4.down_proj");
    key(s, ":tokens 100\r");
    expect(s, "up to 100 tokens");
    quit(s);
    s = start_again();
    expect(s, "6 of 43 & down");
    expect(s, "▸4.down_proj");
    expect(s, "The sea Mira");
    expect(s, "since pin");
    expect(s, "as you left it; --fresh starts without");
    key(s, "\t\t-");
    expect(s, "up to 50 tokens");
    key(s, ESCAPE);
    key(s, ESCAPE);
    expect(s, "by kurt ▼");
    quit(s);
    s = start(36, 120); // afresh
    expect(s, "▸5.down_proj");
    expect(s, "by |x|max ▼");
    expect(s, "Once upon a time");
    assert_false(screen_has(s, "since pin"));
    quit(s);
}

static void the_scope_comes_back_with_its_marks(void **state) {
    (void)state;
    Screen *s = start_again();
    key(s, "*role = down layer >= 3\ro");
    expect(s, "Dials of 3 marked");
    quit(s);
    s = start_again();
    expect(s, "Dials of 3 marked");
    key(s, ":set weight-bits 8\r");
    expect(s, "3 of 43 linears");
    key(s, "o");
    expect(s, " only");
    quit(s);
    s = start_again();
    expect(s, " only");
    quit(s);
}

// A restored pin is compared with, figure by figure.
static void a_pin_of_another_day_is_compared_with(void **state) {
    (void)state;
    Screen *s = start_again();
    key(s, "p");
    expect(s, "pinned:");
    quit(s);
    s = start_again();
    expect(s, "since pin");
    key(s, "i"); // so little is told by positions alone, which its state has again
    expect(s, "−0.0005 ✓");
    key(s, "u:set weight-bits 8\r");
    expect(s, "+4.00 ✗");
    settle(s);
    expect(s, "−0.025 ✓"); // the accuracy
    quit(s);
}

static void the_recipe_comes_back_if_its_file_is_as_it_was(void **state) {
    (void)state;
    char line[4300];
    Screen *s = start_again();
    snprintf(line, sizeof line, ":set weight-bits 8\r:w %s\r", path_in_folder("down8.json"));
    key(s, line);
    expect(s, "recipe written to ");
    quit(s);
    s = start_again();
    expect(s, "as you left it, recipe ");
    expect(s, "down8.json; --fresh starts without it");
    expect(s, "bits             8");
    assert_false(screen_has(s, " changed"));
    key(s, "u");
    expect(s, "nothing to undo");
    key(s, "L");
    snprintf(line, sizeof line, "load recipe from %s", path_in_folder("down8.json"));
    expect(s, line);
    key(s, ESCAPE);
    quit(s);
    s = start_with(36, 120, NULL, "FAKE_PACE=8"); // afresh
    expect(s, "p99.9");
    expect(s, "bits             4");
    quit(s);
}

static void a_recipe_that_was_changed_is_offered(void **state) {
    (void)state;
    char line[4300];
    Screen *s = start_again();
    snprintf(line, sizeof line, ":set weight-bits 8\r:w %s\r", path_in_folder("down8.json"));
    key(s, line);
    expect(s, "recipe written to ");
    quit(s);
    folder_put_text(folder, "down8.json", "{\"weights\": {\"bits\": 3}}");
    s = start_again();
    expect(s, "down8.json was changed since and is not loaded");
    expect(s, "bits             4");
    key(s, "L");
    snprintf(line, sizeof line, "load recipe from %s", path_in_folder("down8.json"));
    expect(s, line);
    key(s, ESCAPE);
    quit(s);
}

static void convert_keeps_format_engine_and_folder(void **state) {
    (void)state;
    const Targets readers = targets_of_format(EXPORT_GPTQ);
    int second = -1;
    for (int i = 0, seen = 0; i < TARGET_COUNT; i++)
        if (readers >> i & 1 && seen++ == 1) second = i;
    assert_true(second > 0);
    char title[200], line[4300];
    snprintf(title, sizeof title, "─ %s: ", target_table[second].title);
    Screen *s = start_again();
    key(s, "6" RIGHT RIGHT RIGHT);
    expect(s, "◂ gptq ▸");
    key(s, DOWN " ");
    expect(s, title);
    snprintf(line, sizeof line, "o\x15%s\r", path_in_folder("kept-here"));
    key(s, line);
    expect(s, path_in_folder("kept-here"));
    quit(s);
    s = start_with(36, 120, "--remember", "FAKE_PACE=8");
    expect(s, "◂ gptq ▸");
    expect(s, path_in_folder("kept-here"));
    expect(s, title);
    expect(s, "the screen is as you left it");
    quit(s);
}

// Ranges are not known yet: the pin's plan follows them as the present one does.
static void a_pin_taken_early_follows_the_ranges(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL);
    key(s, "p");
    expect(s, "pinned:");
    settle(s);
    assert_false(screen_has(s, "since the pin"));
    key(s, ":set weight-bits 8\r");
    expect(s, "42 since the pin");
    expect(s, "+4.00 ✗");
    settle(s);
    expect(s, " ✓"); // it has its figures
    quit(s);
}

// The model of the pin, as the file of the session has it, becomes another one.
static void change_the_model_of_the_pin(void) {
    char *text = NULL;
    size_t size = 0;
    glob_t found;
    assert_int_equal(glob(path_in_folder(".local/state/quantdial/sessions/*.json"), 0, NULL, &found), 0);
    assert_true(file_read(found.gl_pathv[0], 1 << 20, &text, &size, NULL));
    char *model = strstr(text, "\"model\"");
    assert_non_null(model);
    model = strpbrk(model + 7, "0123456789abcdef");
    *model = *model == '1' ? '2' : '1';
    assert_true(file_write(found.gl_pathv[0], text, size, NULL));
    globfree(&found);
    free(text);
}

// Other ranges make another model: what was measured stays, with a mark.
static void a_pin_of_other_ranges_is_marked(void **state) {
    (void)state;
    Screen *s = start_again();
    key(s, ":set weight-bits 8\r");
    settle(s);
    key(s, "p");
    expect(s, "pinned");
    settle(s);
    quit(s);
    change_the_model_of_the_pin();
    static const char *const options[] = {"--remember", NULL}, *const environment[] = {"TERM=xterm-256color",
                                                                                       "FAKE_PACE=8", "FAKE_PIN=0",
                                                                                       NULL};
    s = start_as(36, 120, options, environment);
    expect(s, "−4.00 ✓");
    expect(s, "~+0.0");
    assert_false(screen_has(s, "pin is scored"));
    quit(s);
    s = start_again(); // it is scored by the ranges of now
    expect_gone_text(s, "~+0.0");
    expect(s, " +0.0104 ✗");
    quit(s);
}

// Left before all of it was scored: what is known is compared with, on the same tokens.
static void a_pin_keeps_the_part_that_was_scored(void **state) {
    (void)state;
    static const char *const environment[] = {"TERM=xterm-256color", "FAKE_PACE=8", "FAKE_PIN=0", "FAKE_PART=0.4",
                                              NULL};
    static const char *const none = NULL;
    Screen *s = start_as(36, 120, &none, environment);
    expect(s, "±0.0");
    key(s, "p");
    expect(s, "pinned:");
    expect(s, "tokens are scored, figures are compared on these");
    key(s, ":set weight-bits 8\r");
    settle(s);
    assert_false(screen_has(s, "pin is scored"));
    assert_true(screen_has(s, " ✓") && screen_has(s, " of "));
    expect(s, "~−0.");
    quit(s);
}

// Turned before anything was measured, and left alone: it is scored when there is nothing else to do.
static void a_pin_that_was_never_measured_is_scored(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL);
    key(s, "p:set weight-bits 8\r");
    expect(s, "pin is scored");
    expect(s, "+4.00 ✗");
    expect(s, "−0.0104 ✓"); // its figures
    key(s, "3");
    expect(s, "#2 start"); // a row, which is A
    expect(s, "A  #2: start");
    quit(s);
}

// Turned before anything was measured: the pin has no figures until its state comes back, and keeps them then.
static void a_pin_gets_its_figures_when_they_are_measured(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_PIN=0");
    key(s, "p:set weight-bits 8\r");
    settle(s);
    expect(s, "pin is scored later");
    key(s, "3");
    expect(s, "1 bits 4 → 8");
    key(s, "1");
    expect(s, "pin is scored later");
    key(s, "u");
    expect(s, "=               =               =                = "); // perplexity and divergence, too
    key(s, "\x12");                                                   // redo
    expect(s, "+4.00 ✗");
    settle(s);
    assert_false(screen_has(s, "pin is scored"));
    expect(s, " ✓"); // the accuracy
    key(s, "3");
    expect(s, "2 start");
    expect(s, "1 bits 4 → 8");
    quit(s);
}

static void what_was_kept_and_is_damaged_does_no_harm(void **state) {
    (void)state;
    static const char *const damaged[] = {
        "", "[]", "{\"quantdial_session\": 1, \"marks\": 3, \"pin\": {\"bytes\": \"x\"}, \"tokens\": -1, \"sort\": 7}",
        "{\"quantdial_session\": 1, \"filter\": 3, \"selected\": \"none\", \"marks\": [\"none\"]}",
        "{\"quantdial_session\": 2, \"filter\": \"down\"}"};
    Screen *s = start_again();
    quit(s);
    char *kept = NULL;
    DIR *stream = opendir(path_in_folder(".local/state/quantdial/sessions"));
    assert_non_null(stream);
    for (const struct dirent *entry; (entry = readdir(stream));) {
        if (entry->d_name[0] != '.') kept = strdup(entry->d_name);
    }
    closedir(stream);
    assert_non_null(kept);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        char name[300];
        snprintf(name, sizeof name, ".local/state/quantdial/sessions/%s", kept);
        folder_put_text(folder, name, damaged[i]);
        s = start_again();
        expect(s, "▸5.down_proj");
        assert_false(screen_has(s, "of 43 &") || screen_has(s, "since pin"));
        quit(s);
    }
    free(kept);
}

// ---- jobs ---------------------------------------------------------------------------------------------------------

static void each_job_is_stopped_and_goes_on(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, NULL);
    key(s, "J");
    expect(s, "─ Jobs ─");
    expect(s, "▸ calibrating");
    key(s, "x");
    expect(s, "calibrating       stopped");
    key(s, "x");
    expect(s, "calibrating       done");
    key(s, "\033");
    expect_gone_text(s, "─ Jobs ─");
    settle(s);
    key(s, ":jobs\r!"); // nothing is left to stop
    expect(s, "─ Jobs ─");
    click_on(s, "writing texts");
    expect(s, "▸ writing texts");
    key(s, "q");
    quit(s);
}

static void batches_are_timed_while_that_is_looked_at(void **state) {
    (void)state;
    Screen *s = start(36, 120);
    key(s, "B");
    expect(s, "times the base's speed");
    expect(s, "1 sequence      ");
    expect(s, "8 side by side ");
    expect(s, "Faster than the base: up to batch 8, not at 32, at context ");
    key(s, ESCAPE);
    expect_gone_text(s, "times the base's speed");
    key(s, ":speeds\r");
    expect(s, "times the base's speed");
    key(s, "q");
    expect_gone_text(s, "times the base's speed");
    quit(s);
}

static bool is_sent(Screen *s, const void *sequence) { return screen_sent(s, sequence); }

static void expect_sent(Screen *s, const char *sequence) {
    if (!screen_wait(s, is_sent, sequence)) fail_with_screen(s, sequence);
}

static void the_title_says_what_is_computed(void **state) {
    (void)state;
    Screen *s = start_with(36, 120, NULL, "FAKE_PACE=0.1"); // so that it is seen while it calibrates
    expect_sent(s, "\033[22;2t");                           // what it was
    expect_sent(s, "% calibrating - storyteller - quantdial\033\\");
    quit(s);
    s = start_with(36, 120, NULL, "FAKE_PACE=8");
    expect_sent(s, "\033]2;storyteller - quantdial\033\\");
    key(s, ":q!\r");
    assert_true(screen_wait_gone(s));
    assert_true(screen_sent(s, "\033[23;2t"));
    screen_free(s);
}

// It would flicker with every key.
static void a_moment_is_not_worth_a_title(void **state) {
    (void)state;
    Workbench *w = NULL;
    Ui ui;
    Error err = {0};
    JobView job;
    char title[200];
    setenv("FAKE_PACE", "1", 1);
    if (!fake_workbench_open(&(WorkbenchOptions){0}, &w, &err) || !ui_init(&ui, w, NULL, &err)) {
        fail_msg("%s", err.message);
        return;
    }
    do {
        workbench_update(w);
        workbench_job(w, JOB_CALIBRATE, &job);
        jobs_title(&ui, title, sizeof title);
        assert_int_equal(!!strstr(title, "calibrating"), job.seconds >= 0.25);
    } while (job.state == JOB_RUNNING && job.seconds < 0.3);
    assert_true(job.seconds >= 0.3);
    ui_free(&ui);
    workbench_close(w);
    unsetenv("FAKE_PACE");
}

// In this process, with a clock of the test.
static void what_took_long_is_told(void **state) {
    (void)state;
    const WorkbenchOptions wanted = {0};
    Workbench *w = NULL;
    Ui ui;
    Error err = {0};
    JobView job;
    for (int seconds = 5; seconds <= 15; seconds += 10) {
        if (!fake_workbench_open(&wanted, &w, &err) || !ui_init(&ui, w, NULL, &err)) {
            fail_msg("%s", err.message);
            return;
        }
        assert_false(jobs_watch(&ui, 100));
        do {
            workbench_update(w);
            workbench_job(w, JOB_CALIBRATE, &job);
        } while (job.state == JOB_RUNNING);
        assert_int_equal(jobs_watch(&ui, 100 + seconds), seconds >= 10);
        assert_false(jobs_watch(&ui, 101 + seconds)); // once
        ui_free(&ui);
        workbench_close(w);
    }
}

// ---- the guided start ---------------------------------------------------------------------------------------------

static void a_newcomer_is_led_to_a_recipe(void **state) {
    (void)state;
    Screen *s = start_again();
    expect(s, "▸ ↑ ↓ choose a linear");
    expect(s, "  p pins this state");
    key(s, "j");
    expect(s, "✓ ↑ ↓ choose a linear");
    key(s, "p");
    expect(s, "✓ p pins this state");
    key(s, "o=8\r"); // on bits
    expect(s, "✓ o goes to the dials");
    expect(s, "▸ w writes the recipe");
    key(s, "w\x15");
    key(s, path_in_folder("mine.json"));
    key(s, "\r");
    expect(s, "✓ w writes the recipe");
    expect(s, "done; :guide closes");
    quit(s);
    s = start_again(); // never again
    assert_false(screen_has(s, "choose a linear"));
    key(s, ":guide\r");
    expect(s, "choose a linear");
    quit(s);
}

static void the_guide_stays_until_it_is_dismissed(void **state) {
    (void)state;
    Screen *s = start_again();
    expect(s, "▸ ↑ ↓ choose a linear");
    key(s, "p");
    expect(s, "✓ p pins this state");
    key(s, "P"); // takes it away
    quit(s);
    s = start_again();
    expect(s, "▸ ↑ ↓ choose a linear");
    expect(s, "✓ p pins this state"); // what was done stays done
    screen_resize(s, 24, 80);         // no height for it: the first step alone, and then the header again
    expect_gone_text(s, "p pins this state");
    expect_gone_text(s, "storyteller");
    expect(s, "▸ ↑ ↓ choose a linear");
    key(s, "j");
    expect(s, "storyteller");
    assert_false(screen_has(s, "p pins this state"));
    screen_resize(s, 26, 80);
    expect(s, "storyteller");
    expect(s, "o goes to the dials");
    key(s, ":guide\r");
    expect_gone_text(s, "p pins this state");
    quit(s);
    s = start_again();
    assert_false(screen_has(s, "choose a linear"));
    quit(s);
}

int main(int argc, char **argv) {
    int status;
    if (session_is_screen(argc, argv, &status)) return status;
    unsetenv("TMUX"); // that the tests may run in
    const struct CMUnitTest tests[] = {
        IN_HOME(help_begins_with_what_counts_here),
        IN_HOME(words_of_a_colour_go_out_together),
        IN_HOME(finding_works_on_every_screen),
        IN_HOME(help_shows_colours_as_they_are),
        IN_HOME(help_is_searched),
        IN_HOME(help_is_found_by_what_people_look_for),
        IN_HOME(help_knows_the_words_of_other_programs),
        IN_HOME(every_example_is_understood_and_every_list_completes),
        IN_HOME(the_bottom_line_names_the_keys_of_the_pane),
        IN_HOME(commands_refuse_what_they_do_not_take),
        IN_HOME(the_first_line_says_what_matters_most),
        IN_HOME(every_pane_has_the_whole_frame_in_turn),
        IN_HOME(zoom_follows_the_size),
        IN_HOME(texts_are_as_long_as_wanted_and_scroll),
        IN_HOME(wide_texts_stand_side_by_side),
        IN_HOME(what_the_keys_are_on_is_copied),
        IN_HOME(a_terminal_without_a_clipboard_says_so),
        IN_HOME(tables_become_files),
        IN_HOME(what_was_guessed_says_so_in_files),
        IN_HOME(the_figure_becomes_a_file),
        IN_HOME(outliers_are_handed_out),
        IN_HOME(trials_are_handed_out),
        IN_HOME(a_sweep_is_handed_out),
        IN_HOME(costs_are_handed_out),
        IN_HOME(no_file_is_replaced_unasked),
        IN_HOME(settings_hold_from_the_start),
        IN_HOME(changed_keys_hold_and_are_shown),
        IN_HOME(settings_that_are_not_understood_are_told),
        IN_HOME(a_key_is_given_at_once_and_kept),
        IN_HOME(colorblind_is_blue_and_orange),
        IN_HOME(it_begins_as_it_was_left),
        IN_HOME(the_scope_comes_back_with_its_marks),
        IN_HOME(a_pin_of_another_day_is_compared_with),
        IN_HOME(the_recipe_comes_back_if_its_file_is_as_it_was),
        IN_HOME(a_recipe_that_was_changed_is_offered),
        IN_HOME(convert_keeps_format_engine_and_folder),
        IN_HOME(a_pin_taken_early_follows_the_ranges),
        IN_HOME(a_pin_of_other_ranges_is_marked),
        IN_HOME(a_pin_keeps_the_part_that_was_scored),
        IN_HOME(a_pin_that_was_never_measured_is_scored),
        IN_HOME(a_pin_gets_its_figures_when_they_are_measured),
        IN_HOME(what_was_kept_and_is_damaged_does_no_harm),
        IN_HOME(each_job_is_stopped_and_goes_on),
        IN_HOME(batches_are_timed_while_that_is_looked_at),
        IN_HOME(the_title_says_what_is_computed),
        IN_HOME(a_moment_is_not_worth_a_title),
        IN_HOME(what_took_long_is_told),
        IN_HOME(a_newcomer_is_led_to_a_recipe),
        IN_HOME(the_guide_stays_until_it_is_dismissed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
