// Every option of every command, with right and with wrong values. Options are declared in one table; what else names
// them (help, man page, completions, the values here) is held against it.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "cli/cli.h"
#include "tests/support/in_folder.h"
#include "tests/support/program.h"

#define MOST 8

typedef struct Values {
    const char *name, *right[MOST], *wrong[MOST];
} Values;

#define NO_NUMBERS "", "-1", "nan", "1e999", "abc", "0x10"
// Files are right where they are there; FILE stands for one, and for what is no file.
static const Values values[] = {
    {"recipe", {"FILE"}, {""}},
    {"calibration", {"FILE", "mixed", "stories", "pairs", "self"}, {""}},
    {"calibration-tokens", {"1", "65536", "134217728"}, {NO_NUMBERS, "0", "99999999999999999999"}},
    {"random-tokens", {NULL}, {NULL}},
    {"text", {"FILE", "mixed", "stories", "pairs"}, {""}},
    {"chat", {"auto", "on", "off"}, {"", "yes", "ON"}},
    {"tokens", {"1", "4294967296"}, {NO_NUMBERS, "0", "4294967297"}},
    {"window", {"2", "1048576"}, {NO_NUMBERS, "1", "1048577"}},
    {"prompt", {"", "Once", "\xff\x01"}, {NULL}},
    {"temperature", {"0", "1e-30", "100"}, {NO_NUMBERS, "101", "inf"}},
    {"beams", {"1", "4", "16"}, {NO_NUMBERS, "0", "17"}},
    {"top-p", {"0", "0.5", "1"}, {NO_NUMBERS, "1.1", "-0.1"}},
    {"ids", {"0", "1,2,3"}, {"", "a", "1,", ",1", "1,,2", "-1", "1.5", "1 2"}},
    {"output", {"FILE"}, {""}},
    {"base", {NULL}, {NULL}},
    {"match", {"*", "[", "model.layers.0.*"}, {""}},
    {"alone", {NULL}, {NULL}},
    {"estimate", {NULL}, {NULL}},
    {"sweep",
     {"weight-bits=3,4", "alpha=0:1:0.5", "granularity=channel"},
     {"", "alpha", "=1", "alpha=", "alpha=0:1", "alpha=0:1:0", "alpha=nan", "omega=1"}},
    {"speed", {NULL}, {NULL}},
    {"keep", {"*", "[", "none", "*.down_proj"}, {NULL}},
    {"target", {"vllm", "vllm-sm90,mlx", "all"}, {"", "onnx", "vllm,", "VLLM"}},
    {"fix", {NULL}, {NULL}},
    {"csv", {"FILE"}, {""}},
    {"svg", {"FILE"}, {""}},
    {"max-kl", {"1e-300", "0.1", "1e300"}, {NO_NUMBERS, "0", "inf"}},
    {"max-bits", {"2.5"}, {NO_NUMBERS, "0", "inf"}},
    {"minutes", {"2.5"}, {NO_NUMBERS, "0", "inf"}},
    {"bits", {"2", "2,3,4,8", "8,2"}, {"", ",", "5", "2,", "2,2", "2 3", "2,,3", "-2"}},
    {"task", {"lambada", "choices", "translate"}, {"", "riddles", "Lambada", "lambada|choices"}},
    {"task-file", {"FILE"}, {""}},
    {"instruction", {"Translate:"}, {""}},
    {"shots", {"0", "5", "1000"}, {NO_NUMBERS, "1001", "1.5"}},
    {"shots-file", {"FILE"}, {""}},
    {"max-new-tokens", {"1", "1048576"}, {NO_NUMBERS, "0", "1048577"}},
    {"factor", {"1.5", "1e300"}, {NO_NUMBERS, "1", "inf"}},
    {"compare-random", {NULL}, {NULL}},
    {"merge", {NULL}, {NULL}},
    {"finish", {NULL}, {NULL}},
    {"statistics", {"FILE"}, {""}},
    {"part", {"1/1", "2/4", "10000/10000"}, {"", "1", "0/4", "5/4", "1/0", "1/", "1/2/3", "slurm"}},
    {"schemes", {"w4", "base,w8", "recipe"}, {"", ",", "w5", "w4,w4", "W4", "w4,,w8"}},
    {"batch", {"1", "1,2,1024"}, {NO_NUMBERS, "1,2,3,4,5,6,7,8,9", "1,,2"}},
    {"context", {"0", "1048576"}, {NO_NUMBERS, "1,", "1048577"}},
    {"prefill", {"0", "1,2"}, {NO_NUMBERS, "1,x", "1048577"}},
    {"runs", {"1", "64"}, {NO_NUMBERS, "0", "65"}},
    {"shape", {"tiny", "llama-70b"}, {"", "cube", "Tiny"}},
    {"layers", {"1", "1000"}, {NO_NUMBERS, "0", "1001"}},
    {"dtype", {"bf16", "f16"}, {"", "F16", "bf16|f16"}},
    {"as", {"quantdial", "llm-compressor", "llama-quantize"}, {"", "yaml", "llama"}},
    {"format", {"compressed-tensors", "gguf", "mlx", "gptq", "dense"}, {"", "safetensors", "compressed"}},
    {"dry-run", {NULL}, {NULL}},
    {"eval", {NULL}, {NULL}},
    {"verify", {NULL}, {NULL}},
    {"overwrite", {NULL}, {NULL}},
    {"allow-odd-bits", {NULL}, {NULL}},
    {"shard-megabytes", {"1", "1048576"}, {NO_NUMBERS, "0", "1048577"}},
    {"backend", {"auto", "cpu", "cuda"}, {"", "abacus", "CPU", "cp"}},
    {"threads", {"1", "1024"}, {NO_NUMBERS, "0", "1025"}},
    {"precision", {"native", "f32"}, {"", "f16"}},
    {"seed", {"0", "18446744073709551615"}, {NO_NUMBERS, "18446744073709551616", "1 "}},
    {"no-cache", {NULL}, {NULL}},
    {"ascii", {NULL}, {NULL}},
    {"mono", {NULL}, {NULL}},
    {"light", {NULL}, {NULL}},
    {"demo", {NULL}, {NULL}},
    {"fresh", {NULL}, {NULL}},
    {"theme", {"auto", "mono"}, {"", "solarized", "light "}},
    {"json", {NULL}, {NULL}},
    {"quiet", {NULL}, {NULL}},
    {"help", {NULL}, {NULL}},
    {"version", {NULL}, {NULL}},
};
enum { VALUES = sizeof values / sizeof *values };

static const char *const wrong_settings[] = {"", "-1", "nan", "inf", "1e999", "abc", "1 ", "\xff\n"};

static const Values *values_of(const char *name) {
    for (size_t i = 0; i < VALUES; i++) {
        if (strcmp(values[i].name, name) == 0) return &values[i];
    }
    fail_msg("tests/test_options.c has no values for --%s", name);
    return NULL;
}

// ---- A command line in this process ----

typedef struct Line {
    char words[16][300];
    int count;
} Line;

static void add(Line *line, const char *word) {
    snprintf(line->words[line->count++], sizeof line->words[0], "%s", word);
}

static void add_option(Line *line, const char *name, const char *value) {
    char word[300];
    snprintf(word, sizeof word, "--%s%s%s", name, value ? "=" : "", value ? value : "");
    add(line, word);
}

static bool among(const char *list, const char *name) {
    const size_t n = strlen(name);
    for (const char *at = list; (at = strstr(at, name)); at += n)
        if ((at == list || at[-1] == '|') && (!at[n] || at[n] == '|')) return true;
    return false;
}

#define OF_TRANSLATIONS "instruction|shots|shots-file|max-new-tokens|beams|output|overwrite"

// What the command cannot do without, unless it is what is tried, and what that needs.
static Line line_for(const Command *command, const char *tried) {
    static const struct {
        int takes;
        const char *name, *value, *only_for; // NULL: always
    } needed[] = {{TAKES_IDS, "ids", "1", NULL},
                  {TAKES_IDS, "output", "x", NULL},
                  {TAKES_SWEEP, "sweep", "v0=1", NULL},
                  {TAKES_SHAPE, "shape", "tiny", NULL},
                  {TAKES_TUNE, "max-kl", "1", NULL},
                  {TAKES_TASK, "task", "lambada", "task-file"},
                  {TAKES_TASK, "task", "translate", OF_TRANSLATIONS},
                  {TAKES_TASK, "task-file", "x", "task|" OF_TRANSLATIONS},
                  {TAKES_TASK, "shots", "1", "shots-file"},
                  {TAKES_TASK, "output", "x", "overwrite"},
                  {TAKES_PAGE, "output", "x", NULL},
                  {TAKES_MEASURING, "output", "x", "part|overwrite"},
                  {TAKES_TUNE, "output", "x", "overwrite"},
                  {TAKES_SWEEP, "csv", "x", "overwrite"},
                  {TAKES_MEASURING, "compare-random", NULL, "text|tokens|window"},
                  {TAKES_EXPORT, "eval", NULL, "text|tokens|window"},
                  {TAKES_EXPORT, "format", "dense", "dtype"},
                  {TAKES_LENGTH, "temperature", "1", "top-p"}};
    Line line = {0};
    add(&line, "quantdial");
    if (command->name[0]) add(&line, command->name);
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        bool other_goal = strcmp(tried, "max-bits") == 0 && strcmp(needed[i].name, "max-kl") == 0;
        if (command->takes & needed[i].takes && strcmp(needed[i].name, tried) != 0 && !other_goal &&
            (!needed[i].only_for || among(needed[i].only_for, tried)))
            add_option(&line, needed[i].name, needed[i].value);
    }
    if (strcmp(tried, "merge") == 0) add(&line, "model"), add(&line, "file");
    if (command->takes & TAKES_SHAPE) add(&line, "folder");
    return line;
}

static OptionsResult parsed(Line line, Error *err) {
    Options options;
    const Command *command;
    char *argv[17] = {NULL};
    for (int i = 0; i < line.count; i++) argv[i] = line.words[i];
    *err = (Error){0};
    return options_parse(line.count, argv, &options, &command, err);
}

static void expect_taken(const Command *command, const char *name, const char *value) {
    Error err;
    Line line = line_for(command, name);
    add_option(&line, name, value);
    if (parsed(line, &err) != OPTIONS_RUN) fail_msg("%s --%s=%s: %s", command->name, name, value, err.message);
}

static void expect_wrong(const Command *command, const char *name, const char *value) {
    Error err;
    char option[80];
    Line line = line_for(command, name);
    add_option(&line, name, value);
    if (parsed(line, &err) != OPTIONS_WRONG) fail_msg("%s --%s=\"%s\" was taken", command->name, name, value);
    snprintf(option, sizeof option, "--%s", name);
    const char *named = strstr(err.message, option);
    if (!named) fail_msg("%s is not named: %s", option, err.message);
    snprintf(option, sizeof option, "%s: %s", name, name);
    if (strstr(err.message, option) || strstr(err.message, "  ")) fail_msg("doubled: %s", err.message);
}

static void expect_value_missing(const Command *command, const char *name) {
    Error err;
    Line line = line_for(command, name);
    add_option(&line, name, NULL);
    if (parsed(line, &err) != OPTIONS_WRONG || !strstr(err.message, "expects a value"))
        fail_msg("%s --%s: \"%s\"", command->name, name, err.message);
}

static void try_row(const Command *command, const OptionRow *row) {
    const Values *of = values_of(row->name);
    if (!row->argument) {
        expect_wrong(command, row->name, "3"); // takes no value
        if (row->takes || row->letter == 'q') expect_taken(command, row->name, NULL);
        return;
    }
    for (int i = 0; i < MOST && of->right[i]; i++) expect_taken(command, row->name, of->right[i]);
    for (int i = 0; i < MOST && of->wrong[i]; i++) expect_wrong(command, row->name, of->wrong[i]);
    expect_value_missing(command, row->name);
}

static void try_dial(const Command *command, Dial dial) {
    const DialInfo *info = &dial_table[dial];
    char preset[40];
    dial_format(dial, info->default_value, preset, sizeof preset);
    expect_taken(command, info->option, preset);
    for (size_t i = 0; i < sizeof wrong_settings / sizeof *wrong_settings; i++)
        expect_wrong(command, info->option, wrong_settings[i]);
    expect_value_missing(command, info->option);
}

static void every_option_of_every_command(void **state) {
    (void)state;
    for (int c = 0; c < command_count; c++) {
        for (int i = 0; i < option_count; i++) {
            if (option_offered(&option_table[i], &command_table[c])) try_row(&command_table[c], &option_table[i]);
        }
        for (int d = 0; d < DIAL_COUNT && dials_offered(&command_table[c]); d++) try_dial(&command_table[c], (Dial)d);
    }
}

// An option that a command does not take is refused by it.
static void options_of_other_commands(void **state) {
    (void)state;
    for (int c = 0; c < command_count; c++) {
        for (int i = 0; i < option_count; i++) {
            bool taken = false; // also as the beginning of another option
            for (int k = 0; k < option_count; k++)
                taken |= option_offered(&option_table[k], &command_table[c]) &&
                         strncmp(option_table[k].name, option_table[i].name, strlen(option_table[i].name)) == 0;
            if (!taken) expect_wrong(&command_table[c], option_table[i].name, "1");
        }
    }
}

static void no_name_stands_twice_in_one_command(void **state) {
    (void)state;
    for (int c = 0; c < command_count; c++) {
        for (int i = 0; i < option_count; i++) {
            const OptionRow *a = &option_table[i];
            if (!option_offered(a, &command_table[c])) continue;
            assert_true(dial_find(a->name) < 0);
            for (int k = 0; k < i; k++) {
                const OptionRow *b = &option_table[k];
                if (!option_offered(b, &command_table[c])) continue;
                assert_string_not_equal(a->name, b->name);
                assert_false(a->letter && a->letter == b->letter);
            }
        }
    }
}

static void nearly_right_words(void **state) {
    (void)state;
    static const struct {
        const char *words[3], *message;
    } cases[] = {
        {{"evall"}, "did you mean eval?"},
        {{"inpsect", "--json"}, "did you mean inspect?"},
        {{"sens"}, "did you mean sensitivity?"},
        {{"hlep"}, "did you mean help?"},
        {{"help", "genrate"}, "did you mean generate?"},
        {{"help", "nonsense"}, "quantdial --help lists them"},
        {{"nonsense", "folder"}, "no command \"nonsense\""},
        {{"--json", "eval"}, "quantdial eval"},
        {{"plan", "--alhpa", "1"}, "did you mean --alpha?"},
        {{"--no-cahce"}, "did you mean --no-cache?"},
        {{"plan", "--nonsense"}, "quantdial plan --help lists them"},
        {{"--nonsense"}, "quantdial --help lists them"},
        {{"eval", "--alone"}, "of sensitivity"},
        {{"tune", "--max=1"}, "--max-kl, --max-bits, --max-group"},
        {{"plan", "-z"}, "-z is not an option"},
        {{"plan", "-qz"}, "-z is not an option"},
        {{"plan", "--json", "-zq"}, "-z is not an option"},
        {{"plan", "--json=1", "-q"}, "--json takes no value"},
        {{"plan", "-m"}, "-m expects a value"},
        {{"plan", "--json", "-qm"}, "-m expects a value"},
        {{"plan", ""}, "MODEL is empty"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err;
        Line line = {0};
        add(&line, "quantdial");
        for (int k = 0; k < 3 && cases[i].words[k]; k++) add(&line, cases[i].words[k]);
        if (parsed(line, &err) != OPTIONS_WRONG || !strstr(err.message, cases[i].message) || strstr(err.message, "  "))
            fail_msg("%s %s: %s", cases[i].words[0], cases[i].words[1] ? cases[i].words[1] : "", err.message);
    }
}

// A model of that name is a model.
static void a_model_named_like_a_command(void **state) {
    (void)state;
    char *path = path_join(folder, "evall"), here[4096];
    assert_true(folder_make(path, NULL));
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir(folder), 0);
    Error err;
    Line line = {0};
    add(&line, "quantdial");
    add(&line, "evall");
    OptionsResult result = parsed(line, &err);
    assert_int_equal(chdir(here), 0);
    assert_int_equal(result, OPTIONS_RUN);
    free(path);
}

// ---- The program ----

// Ended by itself, and where it failed, with one line that says why.
static void expect_ends_well(const char *const *arguments) {
    Ran ran = program_run(arguments, "", NULL);
    const char *end = strchr(ran.err, '\n');
    bool one_line = strncmp(ran.err, "quantdial: ", 11) == 0 && end && !end[1];
    if (ran.status > 2 || (ran.status != 0 && !one_line) || (ran.status == 0 && *ran.err))
        fail_msg("%s %s %s: status %d: %s", arguments[0], arguments[1], arguments[2], ran.status, ran.err);
    ran_free(&ran);
}

// The first command that takes it, on a model that is not there: only what is read before is done.
static void run_with(const Command *command, const char *name, const char *value) {
    char *model = path_join(folder, "absent");
    const char *arguments[20];
    int n = 0;
    Line line = line_for(command, name);
    for (int i = 1; i < line.count; i++) arguments[n++] = line.words[i];
    char option[300];
    snprintf(option, sizeof option, "--%s%s%s", name, value ? "=" : "", value ? value : "");
    arguments[n++] = option;
    if (command->takes & TAKES_MODEL) arguments[n++] = model;
    arguments[n] = NULL;
    expect_ends_well(arguments);
    free(model);
}

static const Command *taker_of(const OptionRow *row) {
    int c = 1;
    while (!option_offered(row, &command_table[c])) c = (c + 1) % command_count;
    return &command_table[c];
}

static void the_program_ends_by_itself(void **state) {
    (void)state;
    char *absent = path_join(folder, "nowhere/file");
    folder_put_text(folder, "file", "x");
    char *there = path_join(folder, "file");
    for (int i = 0; i < option_count; i++) {
        const OptionRow *row = &option_table[i];
        const Values *of = values_of(row->name);
        if (row->takes & TAKES_SHAPE) continue; // would write
        const char *right = of->right[0] && strcmp(of->right[0], "FILE") == 0 ? there : of->right[0];
        run_with(taker_of(row), row->name, right);
        run_with(taker_of(row), row->name, of->wrong[0] ? of->wrong[0] : "3");
        run_with(taker_of(row), row->name, absent);
        run_with(taker_of(row), row->name, folder);
    }
    for (int d = 0; d < DIAL_COUNT; d++) run_with(&command_table[3], dial_table[d].option, "\x1b[2J\n\xff");
    // The terminal interface's own, without a terminal.
    run_with(&command_table[0], "light", NULL);
    run_with(&command_table[0], "mono", NULL);
    run_with(&command_table[0], "ascii", NULL);
    free(there);
    free(absent);
}

// ---- Parts ----

static void set_array(const char *id, const char *first, const char *last, const char *count) {
    const char *const names[] = {"ID", "MIN", "MAX", "COUNT"}, *numbers[] = {id, first, last, count};
    for (int i = 0; i < 4; i++) {
        char name[40];
        snprintf(name, sizeof name, "SLURM_ARRAY_TASK_%s", names[i]);
        assert_int_equal(numbers[i] ? setenv(name, numbers[i], 1) : unsetenv(name), 0);
    }
}

static void expect_part(int index, int count) {
    Part part = {0};
    Error err = {0};
    if (!part_parse("slurm", &part, &err)) fail_msg("%s", err.message);
    assert_int_equal(part.index, index);
    assert_int_equal(part.count, count);
}

static void expect_no_part(const char *reason) {
    Part part;
    Error err = {0};
    assert_false(part_parse("slurm", &part, &err));
    if (!strstr(err.message, reason)) fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
}

// Tasks of an array that begins at 0 or 1. Of what is left of one nobody knows how many parts there were.
static void slurm_says_which_part(void **state) {
    (void)state;
    set_array("0", "0", "3", "4"), expect_part(1, 4);
    set_array("3", "0", "3", "4"), expect_part(4, 4);
    set_array("1", "1", "4", "4"), expect_part(1, 4);
    set_array("4", "1", "4", "4"), expect_part(4, 4);
    set_array("3", "3", "3", "1"), expect_no_part("1 tasks from 3 to 3");
    set_array("1", "1", "3", "2"), expect_no_part("such as 1/N");
    set_array("9", "1", "4", "4"), expect_no_part("submit all of it again");
    set_array(NULL, NULL, NULL, NULL), expect_no_part("no task of a Slurm array");
}

// ---- What else names them ----

// As a man page writes it: \-\-name " ARGUMENT"
static void expect_in_page(const char *page, const char *name, const char *argument) {
    Text text = {0};
    text_addf(&text, "\\-\\-");
    for (const char *at = name; *at; at++) text_addf(&text, *at == '-' ? "\\-" : "%c", *at);
    if (argument) text_addf(&text, " \" %s\"", argument);
    if (!strstr(page, text.data)) fail_msg("cli/quantdial.1 lacks %s", text.data);
    text_free(&text);
}

static void man_page_has_every_row(void **state) {
    (void)state;
    char *page;
    size_t size;
    assert_true(file_read("cli/quantdial.1", 1 << 20, &page, &size, NULL));
    for (int i = 0; i < option_count; i++) expect_in_page(page, option_table[i].name, option_table[i].argument);
    for (int d = 0; d < DIAL_COUNT; d++) {
        char allowed[DIAL_ALLOWED_ROOM];
        dial_allowed((Dial)d, "|", allowed, sizeof allowed);
        expect_in_page(page, dial_table[d].option, dial_table[d].kind == DIAL_NUMBER ? "N" : allowed);
    }
    free(page);
}

static void help_has_every_range_and_default(void **state) {
    (void)state;
    Ran help = program_run((const char *const[]){"plan", "--help", NULL}, NULL, NULL);
    for (int d = 0; d < DIAL_COUNT; d++) {
        char line[80], allowed[DIAL_ALLOWED_ROOM], preset[40], wanted[80];
        snprintf(line, sizeof line, "--%s ", dial_table[d].option);
        const char *at = strstr(help.out, line), *next = at ? strstr(at, "      --") : NULL;
        assert_non_null(at);
        size_t length = next ? (size_t)(next - at) : strlen(at);
        char *own = strndup(at, length);
        dial_allowed((Dial)d, "|", allowed, sizeof allowed);
        dial_format((Dial)d, dial_table[d].default_value, preset, sizeof preset);
        snprintf(wanted, sizeof wanted, "default %s)", preset);
        if (!strstr(own, allowed) || !strstr(own, wanted))
            fail_msg("%s and %s are missing in %s", allowed, wanted, own);
        free(own);
    }
    ran_free(&help);
    Ran same = program_run((const char *const[]){"help", "plan", NULL}, NULL, NULL);
    assert_int_equal(same.status, 0);
    assert_non_null(strstr(same.out, "--weight-bits 2|3|4|8"));
    ran_free(&same);
}

// What bash offers behind "quantdial COMMAND --" is what the command takes.
static void completions_have_every_row(void **state) {
    (void)state;
    if (system("bash -c true 2>/dev/null") != 0) skip();
    for (int c = 0; c < command_count; c++) {
        char command[1024], offered[16384];
        if (command_table[c].takes & HIDDEN) continue;
        snprintf(command, sizeof command,
                 "bash -c 'quantdial() { \"%s\" \"$@\"; }; . cli/completions/quantdial.bash; COMP_WORDS=(quantdial %s "
                 "--); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _quantdial; echo \" ${COMPREPLY[*]} \"'",
                 program_path(), command_table[c].name);
        FILE *pipe = popen(command, "r");
        assert_non_null(pipe);
        offered[fread(offered, 1, sizeof offered - 1, pipe)] = '\0';
        pclose(pipe);
        for (int i = 0; i < option_count + DIAL_COUNT; i++) {
            bool dial = i >= option_count;
            char option[80];
            snprintf(option, sizeof option, " --%s ",
                     dial ? dial_table[i - option_count].option : option_table[i].name);
            bool takes = dial ? dials_offered(&command_table[c]) : option_offered(&option_table[i], &command_table[c]);
            if (takes && !strstr(offered, option)) fail_msg("%s:%s is not offered", command_table[c].name, option);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_of_every_command),
        cmocka_unit_test(options_of_other_commands),
        cmocka_unit_test(no_name_stands_twice_in_one_command),
        cmocka_unit_test(nearly_right_words),
        IN_FOLDER(a_model_named_like_a_command),
        IN_FOLDER(the_program_ends_by_itself),
        cmocka_unit_test(slurm_says_which_part),
        cmocka_unit_test(man_page_has_every_row),
        cmocka_unit_test(help_has_every_range_and_default),
        cmocka_unit_test(completions_have_every_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
