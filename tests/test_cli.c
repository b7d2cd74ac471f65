// The command line as a user meets it: exit status, messages, the JSON contract. Numbers are the business of other
// tests.
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "cli/results.h"
#include "quant/recipe.h"
#include "tests/support/in_folder.h"
#include "tests/support/program.h"
#include "tests/support/small_sample.h"
#include "tests/support/texts.h"

#define QUICK "--quiet", "--calibration-tokens", "512"
// Timing lasts a while, whatever it runs on: one thread of two takes half the work.
#define TIMED QUICK, "--threads", "1"

// ---- docs/json.md ----

#define SEEN 64
static char seen[SEEN][40]; // headings of what was held to that page
static int seen_count;

// The section with this heading, "plan" or "eval --task"; free.
static char *section(const char *page, const char *heading) {
    char line[80];
    snprintf(line, sizeof line, "## %s\n", heading);
    const char *begin = strstr(page, line);
    if (!begin) fail_msg("docs/json.md has no section \"%s\"", heading);
    begin += strlen(line);
    const char *end = strstr(begin, "\n## "), *part = strstr(begin, "\n### ");
    if (!end || (part && part < end)) end = part;
    return end ? strndup(begin, (size_t)(end - begin)) : strdup(begin);
}

// Whether a word between backquotes is this key: a part of a path such as `kl.mean` or `.channels[]`.
static bool names(const char *text, const char *key, size_t length) {
    bool quoted = false;
    for (const char *at = text; *at; at++) {
        size_t n = 0; // strcspn would be checked to the end of the page each time
        while (at[n] && !strchr("`.[], \n|{}", at[n])) n++;
        if (quoted && n == length && strncmp(at, key, n) == 0) return true;
        at += n;
        if (*at == '`') quoted = !quoted;
        if (!*at) break;
    }
    return false;
}

// `tokens_per_second`; `_least`, `_most`: the second names tokens_per_second_most, too.
static bool is_documented(const char *text, const char *key) {
    static const char *const suffixes[] = {"_least", "_most", "_range", "_se"};
    size_t length = strlen(key);
    if (names(text, key, length)) return true;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        size_t n = strlen(suffixes[i]);
        if (length > n && strcmp(key + length - n, suffixes[i]) == 0)
            return names(text, suffixes[i], n) && names(text, key, length - n);
    }
    return false;
}

static void check_keys(const cJSON *value, const char *heading, const char *text, const char *point) {
    const cJSON *child;
    cJSON_ArrayForEach(child, value) {
        if (child->string && !is_documented(text, child->string) && !(point && is_documented(point, child->string)))
            fail_msg("docs/json.md does not name the key \"%s\" under \"%s\"", child->string, heading);
        check_keys(child, heading, text, point);
    }
}

static void check_documented(const cJSON *value, const char *heading) {
    char *page, *text, *point;
    size_t size;
    Error err;
    if (!file_read("docs/json.md", 1 << 20, &page, &size, &err)) fail_msg("%s", err.message);
    text = section(page, heading);
    point = strstr(text, "(#a-point)") ? section(page, "A point") : NULL;
    check_keys(value, heading, text, point);
    free(point);
    free(text);
    free(page);
    assert_true(seen_count < SEEN);
    snprintf(seen[seen_count++], sizeof *seen, "%s", heading);
}

// What a command printed, without the version that it began with.
static cJSON *json_parsed(Ran *ran) {
    if (ran->status != 0) fail_msg("exit status %d: %s", ran->status, ran->err);
    cJSON *object = cJSON_Parse(ran->out);
    assert_non_null(object);
    assert_string_equal(object->child->string, "quantdial");
    assert_int_equal(object->child->valueint, 1);
    cJSON_DeleteItemFromObject(object, "quantdial");
    ran_free(ran);
    return object;
}

// The same, held to its section of docs/json.md.
static cJSON *json_of(const char *heading, Ran *ran) {
    cJSON *object = json_parsed(ran);
    check_documented(object, heading);
    return object;
}

// The value at a path such as "kl.mean"; fails when a part of it is missing.
static const cJSON *at(const cJSON *object, const char *path) {
    char part[64];
    while (*path) {
        size_t n = strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", (int)n, path);
        object = cJSON_GetObjectItemCaseSensitive(object, part);
        if (!object) fail_msg("the key %s is missing", part);
        path += n + (path[n] == '.');
    }
    return object;
}

// The commands that --help lists.
static bool is_listed(const Command *command) { return command->name[0] && !(command->takes & HIDDEN); }

static void perplexities_stay_short(void **state) {
    (void)state;
    char text[24];
    assert_string_equal(ppl_text(14.20514, text, sizeof text), "14.2051");
    assert_string_equal(ppl_text(2.18029e+124, text, sizeof text), "2.1803e+124");
    assert_string_equal(ppl_text((double)INFINITY, text, sizeof text), "inf");
}

static void help_tells_every_command_and_dial(void **state) {
    (void)state;
    Ran help = RUN("--help");
    assert_int_equal(help.status, 0);
    for (const Command *command = command_table; command < command_table + command_count; command++) {
        if (!is_listed(command)) continue;
        assert_contains(help.out, command->name);
        Ran own = RUN(command->name, "--help");
        assert_int_equal(own.status, 0);
        assert_contains(own.out, command->name);
        ran_free(&own);
    }
    for (int i = 0; i < DIAL_COUNT; i++) assert_contains(help.out, dial_table[i].option);
    ran_free(&help);
}

// Options as a man page writes them: \-\-name.
static void check_options(const char *page, const char *help) {
    for (const char *at = strstr(help, "--"); at; at = strstr(at, "--")) {
        char option[80] = "";
        size_t length = 2 + strspn(at + 2, "abcdefghijklmnopqrstuvwxyz0123456789-"), n = 0;
        for (size_t i = 0; i < length; i++)
            n += (size_t)snprintf(option + n, sizeof option - n, at[i] == '-' ? "\\-" : "%c", at[i]);
        assert_contains(page, option);
        at += length;
    }
}

static void man_page_names_every_command_and_option(void **state) {
    (void)state;
    char *page;
    size_t size;
    Error err;
    assert_true(file_read("cli/quantdial.1", 1 << 20, &page, &size, &err));
    for (const Command *command = command_table; command < command_table + command_count; command++) {
        char heading[40];
        if (!is_listed(command)) continue;
        snprintf(heading, sizeof heading, ".B %s\n", command->name);
        assert_contains(page, heading);
        Ran help = RUN(command->name, "--help");
        check_options(page, help.out);
        ran_free(&help);
    }
    Ran help = RUN("--help");
    check_options(page, help.out);
    ran_free(&help);
    free(page);
}

// What the completion of bash offers, read from the program's help.
static void completions_offer_commands_options_and_choices(void **state) {
    (void)state;
    static const struct {
        const char *words, *offered;
    } cases[] = {{"quantdial sens", "sensitivity"},
                 {"quantdial sensitivity --est", "--estimate"},
                 {"quantdial sweep --sv", "--svg"},
                 {"quantdial eval --grid asy", "asymmetric"},
                 {"quantdial tune --activations perc", "percentile"}};
    if (system("bash -c true 2>/dev/null") != 0) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char command[1024];
        snprintf(command, sizeof command,
                 "bash -c 'quantdial() { \"%s\" \"$@\"; }; . cli/completions/quantdial.bash; COMP_WORDS=(%s); "
                 "COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _quantdial; [[ \" ${COMPREPLY[*]} \" == *\" %s \"* ]]'",
                 program_path(), cases[i].words, cases[i].offered);
        if (system(command) != 0) fail_msg("%s: %s is not offered", cases[i].words, cases[i].offered);
    }
}

static void wrong_usage_is_status_2_and_says_what_is_allowed(void **state) {
    (void)state;
    const struct {
        const char *arguments[10];
        const char *message;
    } cases[] = {
        {{"--nonsense"}, "--nonsense"},
        {{"plan", "--alpha"}, "expects a value"},
        {{"plan", "--alpha", "7"}, "alpha"},
        {{"plan", "--weight-bits", "5"}, "bits"},
        {{"plan", "--granularity", "fine"}, "adaptive"},
        {{"eval", "--tokens", "many"}, "whole number"},
        {{"inspect", "--alpha", "0.3"}, "not an option of this command"},
        {{"logits"}, "--ids"},
        {{"sweep"}, "--sweep"},
        {{"eval", "--task", "lambada"}, "--task belongs to a file; it needs --task-file"},
        {{"eval", "--base", "x"}, "name the other one"},
        {{"eval", "x", "--base", "y", "--alpha", "1"}, "leave out --base or the dials"},
        {{"logits", "--ids", "1", "-o", "x", "--base", "--statistics", "y"}, "leave out --base or --statistics"},
        {{"plan", "--statistics", "x", "--calibration", "mixed"}, "--statistics is instead of measuring"},
        {{"plan", "--as", "llama-quantize", "-m", "*"}, "leave out --match or --as llama-quantize"},
        {{"plan", "--as", "llm-compressor", "--json"}, "leave out --json or --as llm-compressor"},
        {{"quantize", "-o", "x", "--dtype", "f16"},
         "--dtype is the type of matrices written as numbers; it needs --format dense"},
        {{"quantize", "-o", "x", "--format", "gguf", "--shard-megabytes", "9"}, "a GGUF is one"},
        {{"quantize", "-o", "x", "--format", "mlx", "--allow-odd-bits"}, "it needs --format compressed-tensors"},
        {{"quantize", "-o", "x", "--verify", "--dry-run"}, "nothing that could be read back"},
        {{"quantize", "-o", "x", "--tokens", "300"}, "it needs --eval"},
        {{"calibrate", "--window", "64"}, "it needs --compare-random"},
        {{"calibrate", "--overwrite"}, "--overwrite is about the file that is written; it needs --output"},
        {{"generate", "--top-p", "0.5"}, "it needs --temperature"},
        {{"sensitivity", "--alone", "--estimate"}, "leave out --alone or --estimate"},
        {{"eval", "--task", "riddles"}, "lambada, choices or translate"},
        {{"eval", "--task", "choices", "--task-file", "x", "--shots", "1"}, "it needs --task translate"},
        {{"eval", "--beams", "4"}, "it needs --task translate"},
        {{"eval", "--task", "translate", "--task-file", "x", "--shots-file", "y"}, "it needs --shots"},
        {{"tune"}, "--max-kl"},
        {{"tune", "--max-bits", "-1"}, "above 0"},
        {{"tune", "--max-bits", "4", "--bits", "4,4"}, "--bits"},
        {{"sweep", "--sweep", "alpha=7"}, "alpha"},
        {{"sweep", "--sweep", "omega=7"}, "omega"},
        {{"plan", "a", "b"}, "one MODEL"},
        {{"eval", "--backend", "abacus"}, "auto, cpu or cuda"},
        {{"bench", "--batch", "1,x"}, "whole number"},
        {{"bench", "--context", "1,2,3,4,5,6,7,8,9"}, "no more than 8"},
        {{"bench", "--runs", "0"}, "--runs"},
        {{"bench", "--schemes", "w4,w5"}, "w5"},
        {{"bench", "--schemes", "w4,w4"}, "once"},
        {{"quantize", "-o", "x", "--target", "llama.cpp"}, "compressed-tensors is not read by llama.cpp but by vllm, "},
        {{"quantize", "-o", "x", "--target", "vllm,mlx", "--format", "gguf"},
         "not read by vllm, mlx but by llama.cpp;"},
        {{"quantize", "-o", "x", "--format", "dense", "--target", "vllm-sm90"}, "in dense that vllm-sm90 could read"},
        {{"make-random", "--shape", "cube"}, "llama-1.1b"},
        {{"make-random", "--shape", "tiny"}, "folder"},
        {{"make-random", "--dtype", "f32"}, "bf16 or f16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Ran ran = program_run(cases[i].arguments, NULL, NULL);
        if (ran.status != 2) fail_msg("case %zu: status %d, %s", i, ran.status, ran.err);
        assert_contains(ran.err, cases[i].message);
        assert_string_equal(ran.out, "");
        ran_free(&ran);
    }
}

static void assert_within(double value, double least, double most) {
    if (!(value >= least && value <= most)) fail_msg("%.9g is not from %.9g to %.9g", value, least, most);
}

static void several_cases_of_decoding_end_with_a_map(void **state) {
    (void)state;
    Ran ran = RUN("bench", "--quiet", "--threads", "1", "--runs", "1", "--schemes", "w4", "--batch", "2,1", "--context",
                  "8,4", "--prefill", "0");
    assert_int_equal(ran.status, 0);
    const char *map = strstr(ran.out, "w4, times base");
    assert_non_null(map);
    assert_true(strstr(map, "context 4") < strstr(map, "batch 1") && strstr(map, "batch 1") < strstr(map, "batch 2"));
    assert_contains(map, "faster than base: ");
    ran_free(&ran);
    ran =
        RUN("bench", "--quiet", "--threads", "1", "--runs", "1", "--schemes", "w4", "--context", "4", "--prefill", "0");
    assert_int_equal(ran.status, 0);
    assert_null(strstr(ran.out, "times base"));
    ran_free(&ran);
}

static void bench_measures_every_case(void **state) {
    (void)state;
    Ran ran = RUN("bench", "--quiet", "--json", "--threads", "1", "--runs", "2", "--schemes", "w4,w4a8", "--batch",
                  "1,2", "--context", "16", "--prefill", "32");
    cJSON *bench = json_of("bench", &ran);
    const double read_least = at(bench, "limit.read_gb_per_s_least")->valuedouble,
                 read_most = at(bench, "limit.read_gb_per_s_most")->valuedouble,
                 gemm_least = at(bench, "limit.gemm_tflops_least")->valuedouble,
                 gemm_most = at(bench, "limit.gemm_tflops_most")->valuedouble;
    assert_true(read_least > 0.1 && gemm_least > 1e-4);
    assert_within(at(bench, "limit.read_gb_per_s")->valuedouble, read_least, read_most);
    assert_within(at(bench, "limit.gemm_tflops")->valuedouble, gemm_least, gemm_most);
    assert_true(strlen(at(bench, "device")->valuestring) > 3);
    assert_int_equal(cJSON_GetArraySize(at(bench, "decode")), 2 * 3);
    assert_int_equal(cJSON_GetArraySize(at(bench, "prefill")), 3);
    const cJSON *base = cJSON_GetArrayItem(at(bench, "decode"), 0), *w4 = cJSON_GetArrayItem(at(bench, "decode"), 1);
    assert_string_equal(at(base, "scheme")->valuestring, "base");
    assert_string_equal(at(w4, "scheme")->valuestring, "w4");
    assert_true(at(base, "against_base")->valuedouble == 1 && at(base, "against_base_most")->valuedouble == 1);
    // 2.1 M weights in BF16; groups of 64 take 4.25 bits of all but the head, which is a quarter of them.
    assert_true(fabs(at(base, "bytes_per_token")->valuedouble - 4.2e6) < 0.1e6);
    assert_true(at(w4, "bytes_per_token")->valuedouble < 0.46 * at(base, "bytes_per_token")->valuedouble);
    const cJSON *pair = cJSON_GetArrayItem(at(bench, "decode"), 3);
    assert_int_equal(at(pair, "batch")->valueint, 2);
    assert_true(at(pair, "bytes_per_token")->valuedouble < 0.6 * at(base, "bytes_per_token")->valuedouble);
    for (int list = 0; list < 2; list++) {
        const cJSON *row;
        cJSON_ArrayForEach(row, at(bench, list ? "prefill" : "decode")) {
            assert_within(at(row, "tokens_per_second")->valuedouble, at(row, "tokens_per_second_least")->valuedouble,
                          at(row, "tokens_per_second_most")->valuedouble);
            double share = at(row, "share_of_limit")->valuedouble;
            assert_true(share > 0);
            // Each case has its own limit, within the range of all.
            double least = at(row, list ? "limit_tflops_least" : "limit_gb_per_s_least")->valuedouble;
            double most = at(row, list ? "limit_tflops_most" : "limit_gb_per_s_most")->valuedouble;
            assert_within(at(row, list ? "limit_tflops" : "limit_gb_per_s")->valuedouble, least, most);
            assert_within(least, list ? gemm_least : read_least, most);
            assert_within(most, least, list ? gemm_most : read_most);
            // Shares are medians of rate / limit of the same run: within the ends of both.
            double work =
                list ? at(row, "flops_per_token")->valuedouble * 1e-12 : at(row, "bytes_per_token")->valuedouble * 1e-9;
            assert_within(share, at(row, "tokens_per_second_least")->valuedouble * work / most * (1 - 1e-9),
                          at(row, "tokens_per_second_most")->valuedouble * work / least * (1 + 1e-9));
        }
    }
    cJSON_Delete(bench);
    Ran longer = RUN("bench", "--quiet", "--schemes", "w4", "--context", "1000");
    assert_int_equal(longer.status, 1);
    assert_contains(longer.err, "positions");
    ran_free(&longer);
}

static void failures_are_status_1_and_name_the_file(void **state) {
    (void)state;
    Ran missing = RUN("inspect", nowhere());
    assert_int_equal(missing.status, 1);
    assert_contains(missing.err, nowhere());
    ran_free(&missing);
    char *path = folder_write(folder, "recipe.json", "{\"quantdial_recipe\": 1, \"wieghts\": {}}", 38);
    Ran recipe = RUN("plan", "--recipe", path);
    assert_int_equal(recipe.status, 1);
    assert_contains(recipe.err, path);
    assert_contains(recipe.err, "wieghts");
    ran_free(&recipe);
    free(path);
}

static void a_full_disk_is_reported(void **state) {
    (void)state;
    Ran ran = program_run((const char *const[]){"doctor", NULL}, NULL, "/dev/full");
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "could not be written");
    ran_free(&ran);
}

static void json_contract(void **state) {
    (void)state;
    Ran ran = RUN("inspect", "--json");
    cJSON *object = json_of("inspect", &ran);
    const char *const model_keys[] = {"model.family", "model.parameters", "model.bytes",
                                      "model.dtype",  "model.layers",     "model.hidden"};
    for (size_t i = 0; i < sizeof model_keys / sizeof *model_keys; i++) at(object, model_keys[i]);
    const cJSON *first = at(object, "linears")->child;
    const char *const linear_keys[] = {
        "name", "role",     "layer",           "shape",           "dtype",           "absmax",
        "std",  "kurtosis", "outliers_6sigma", "histogram.edges", "histogram.counts"};
    for (size_t i = 0; i < sizeof linear_keys / sizeof *linear_keys; i++) at(first, linear_keys[i]);
    int linears = cJSON_GetArraySize(at(object, "linears"));
    assert_true(linears >= 15);
    cJSON_Delete(object);

    ran = RUN("calibrate", "--json", QUICK);
    object = json_of("calibrate", &ran);
    assert_int_equal(at(object, "tokens")->valueint, 512);
    first = at(object, "linears")->child;
    at(first, "range");
    at(first, "p99_9");
    at(first, "class");
    at(at(first, "channels")->child, "index");
    double largest = at(at(first, "channels")->child, "absmax")->valuedouble;
    assert_true(largest == at(first, "range")->valuedouble); // the channels are sorted and complete
    cJSON_Delete(object);

    ran = RUN("plan", "--json", QUICK, "--granularity", "group", "--group-size", "64");
    object = json_of("plan", &ran);
    first = at(object, "linears")->child;
    const char *const plan_keys[] = {"name",        "bits",        "granularity",     "group_size",
                                     "activations", "folded_into", "bits_per_weight", "sqnr_db"};
    for (size_t i = 0; i < sizeof plan_keys / sizeof *plan_keys; i++) at(first, plan_keys[i]);
    assert_int_equal(at(first, "group_size")->valueint, 64);
    assert_true(at(object, "bits_per_weight")->valuedouble == 4.25);
    cJSON_Delete(object);

    static const char nothing[] = "{\"quantdial_recipe\": 2, \"ignore\": [\"*\"]}";
    char *path = folder_write(folder, "nothing.json", nothing, sizeof nothing - 1);
    ran = RUN("plan", "--json", QUICK, "--recipe", path);
    free(path);
    object = json_of("plan", &ran);
    assert_true(cJSON_IsNull(at(object, "bits_per_weight")));
    cJSON_Delete(object);
}

// A byte token may stand for U+0000, where a C string would end.
static void generated_text_goes_on_behind_a_nul(void **state) {
    (void)state;
    Sides sides = {.prompt = "p", .backend = "avx2", .same = true};
    for (int i = 0; i < 2; i++) text_add(&sides.text[i], "a\0b\n\0c", 6);
    cJSON *json = sides_json(&sides);
    char *printed = json_print(json);
    assert_contains(printed, "\"text\":\"a\\u0000b\\n\\u0000c\"");
    free(printed);
    cJSON_Delete(json);
    char *shown = NULL;
    size_t size = 0;
    FILE *before = stdout, *memory = open_memstream(&shown, &size);
    assert_non_null(memory);
    stdout = memory;
    sides_print(&sides);
    stdout = before;
    fclose(memory);
    assert_contains(shown, "    a\xEF\xBF\xBD"
                           "b\n    \xEF\xBF\xBD"
                           "c\n");
    free(shown);
    sides_free(&sides);
}

static void eval_and_generate_in_json(void **state) {
    (void)state;
    Ran ran = RUN("eval", "--json", QUICK, "--tokens", "256", "--weight-bits", "8", "--activations", "none");
    cJSON *object = json_of("eval", &ran);
    const char *const keys[] = {"tokens", "base.ppl", "quantized.ppl", "kl.mean",         "kl.median",
                                "kl.p99", "kl.max",   "top1",          "bits_per_weight", "bytes"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) at(object, keys[i]);
    assert_true(at(object, "base.ppl")->valuedouble > 1);
    assert_true(at(object, "kl.mean")->valuedouble >= 0 && at(object, "kl.mean")->valuedouble < 0.1);
    cJSON_Delete(object);

    ran = RUN("generate", "--json", TIMED, "--tokens", "8", "-p", "Once");
    object = json_of("generate", &ran);
    assert_string_equal(at(object, "prompt")->valuestring, "Once");
    assert_int_equal(at(object, "base.tokens")->valueint, 8);
    at(object, "quantized.text");
    // The middle of what was timed lies within its range.
    const char *const rates[] = {"base.tokens_per_second", "quantized.tokens_per_second", "speed_ratio"};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        char range[64];
        snprintf(range, sizeof range, "%s_range", rates[i]);
        assert_within(at(object, rates[i])->valuedouble, at(object, range)->child->valuedouble,
                      at(object, range)->child->next->valuedouble);
    }
    at(object, "backend");
    cJSON_Delete(object);
}

#define PAIR_MODEL "tests/fixtures/families/t5"

// The same as generate finds, and other translations than without.
static void beams_translate(void) {
    char *path = folder_write(folder, "pairs.jsonl", "{\"source\":\"the fox\",\"reference\":\"a\"}", 36);
#define BEAMS(...)                                                                                          \
    RUN("eval", "--quiet", PAIR_MODEL, "--activations", "none", "--task", "translate", "--task-file", path, \
        "--max-new-tokens", "6", __VA_ARGS__)
    Ran ran = BEAMS("--json", "--beams", "4");
    cJSON *object = json_of("eval --task translate", &ran);
    assert_int_equal(at(object, "beams")->valueint, 4);
    cJSON_Delete(object);
    ran = BEAMS("--json");
    object = json_of("eval --task translate", &ran);
    assert_int_equal(at(object, "beams")->valueint, 1);
    cJSON_Delete(object);
    ran = BEAMS("--beams", "4");
    assert_contains(ran.out, "1 sentences; 4 beams; ");
    ran_free(&ran);
    free(path);
}

// Both halves of a model with an encoder; windows are half source, half target.
static void an_encoder_decoder_is_worked_with(void **state) {
    (void)state;
    char text[4200];
    Text words = {0};
    for (int i = 0; i < 60; i++) text_addf(&words, "the old fox sat by the river and would not go home. ");
    folder_put_text(folder, "text.txt", words.data);
    text_free(&words);
    snprintf(text, sizeof text, "%s/text.txt", folder);
    Ran ran = RUN("inspect", "--json", "--quiet", PAIR_MODEL);
    cJSON *object = json_of("inspect", &ran);
    assert_int_equal(at(object, "model.layers")->valueint, 5);
    assert_int_equal(at(object, "model.encoder_layers")->valueint, 3);
    cJSON_Delete(object);
    ran = RUN("eval", "--json", "--quiet", PAIR_MODEL, "--calibration", text, "--calibration-tokens", "256", "--text",
              text, "--tokens", "128", "--window", "32", "--weight-bits", "8");
    object = json_of("eval", &ran);
    assert_int_equal(at(object, "tokens")->valueint, 4 * 15); // 16 of a source, and a start that nothing predicts
    assert_true(at(object, "kl.mean")->valuedouble > 0 && at(object, "kl.mean")->valuedouble < 0.1);
    cJSON_Delete(object);
    ran = RUN("generate", "--json", "--quiet", "--threads", "1", PAIR_MODEL, "--activations", "none", "--tokens", "6",
              "--beams", "4", "-p", "the fox");
    object = json_of("generate", &ran);
    assert_in_range(at(object, "base.tokens")->valueint, 1, 6);
    cJSON_Delete(object);
    ran = RUN("generate", "--quiet", "--activations", "none", "--tokens", "6", "--beams", "4", "-p", "Once");
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "has none");
    ran_free(&ran);
    beams_translate();
    ran = RUN("calibrate", "--quiet", PAIR_MODEL, "--calibration", "self");
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "cannot sample text");
    ran_free(&ran);
}

static void sensitivity_in_json(void **state) {
    (void)state;
    Ran ran = RUN("sensitivity", "--json", QUICK, "--tokens", "48", "--alone");
    cJSON *object = json_of("sensitivity", &ran);
    const char *const keys[] = {"name", "kl", "kl_se", "estimate", "estimate_se", "weights_share"};
    const cJSON *first = at(object, "linears")->child, *of;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) at(first, keys[i]);
    assert_true(at(first, "kl")->valuedouble >= at(first->next, "kl")->valuedouble);
    assert_true(fabs(at(object, "rank_correlation")->valuedouble) <= 1);
    double sum = 0;
    cJSON_ArrayForEach(of, at(object, "linears")) {
        const double weights = at(at(of, "noise"), "weights")->valuedouble,
                     input = at(at(of, "noise"), "input")->valuedouble;
        assert_true(at(at(of, "noise"), "both")->valuedouble > 0 && weights > 0);
        assert_true(at(at(of, "noise"), "weights_without_factors")->valuedouble > 0);
        assert_true(fabs(at(of, "weights_share")->valuedouble - weights / (weights + input)) < 1e-6);
        const double share = at(at(of, "column"), "share")->valuedouble;
        assert_true(share > 0 && share <= 1 && at(at(of, "column"), "index")->valuedouble >= 0);
        assert_true(at(at(of, "channel"), "ratio")->valuedouble >= 1 &&
                    at(at(of, "channel"), "absmax")->valuedouble > 0);
        at(at(of, "channel"), "index");
        sum += at(of, "kl")->valuedouble;
    }
    assert_true(fabs(at(object, "kl_sum")->valuedouble - sum) < 1e-6);
    assert_int_equal(at(object, "measured")->valuedouble, cJSON_GetArraySize(at(object, "linears")));
    at(object, "estimate_tokens");
    at(object, "kl_all_se");
    cJSON_Delete(object);
}

static void outliers_in_json(void **state) {
    (void)state;
    Ran ran = RUN("outliers", "--json", QUICK, "--factor", "3");
    cJSON *object = json_of("outliers", &ran);
    const cJSON *first = at(object, "inputs")->child;
    const char *const keys[] = {"name", "role", "median", "channels"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) at(first, keys[i]);
    at(object, "recurring");
    at(at(object, "weights")->child, "always_finer");
    assert_int_equal(cJSON_GetArraySize(at(at(object, "weights")->child, "group_sizes")), 3);
    cJSON_Delete(object);
}

static void calibrations_compared_in_json(void **state) {
    (void)state;
    Ran ran = RUN("calibrate", "--json", QUICK, "--compare-random", "--tokens", "48");
    cJSON *object = json_of("calibrate --compare-random", &ran);
    const cJSON *first = at(object, "linears")->child;
    const char *const keys[] = {"name", "range", "range_random", "class", "class_random", "rank_correlation"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) at(first, keys[i]);
    const char *const sums[] = {"text.kl",          "random.kl",       "kl_difference",
                                "kl_difference_se", "classes_changed", "median_range_ratio"};
    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++) at(object, sums[i]);
    cJSON_Delete(object);
}

// The best row is not, another one is where position by position nothing tells them apart.
static void figures_that_are_the_same_are_marked(void **state) {
    (void)state;
    Ran ran = RUN("sweep", "-q", "--tokens", "1024", "--activations", "none", "--sweep", "alpha=0.1,0.3");
    const char *best = strstr(ran.out, "\n0.1 "), *same = strstr(ran.out, "\n0.3 ");
    assert_true(best && same);
    assert_null(memchr(best, '~', (size_t)(same - best)));
    assert_non_null(memchr(same, '~', strcspn(same + 1, "\n")));
    ran_free(&ran);
}

static void sweep_and_compare_in_json(void **state) {
    (void)state;
    Ran ran = RUN("sweep", "--json", QUICK, "--tokens", "48", "--sweep", "weight-bits=3,4", "--sweep",
                  "granularity=channel,group");
    cJSON *object = json_of("sweep", &ran);
    const char *const keys[] = {"values", "bits_per_weight",  "bytes", "ppl", "kl", "kl_se", "top1",
                                "pareto", "tokens_per_second"};
    const cJSON *first = at(object, "points")->child;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) at(first, keys[i]);
    assert_string_equal(at(object, "dials")->child->next->valuestring, "granularity");
    assert_int_equal(cJSON_GetArraySize(at(object, "points")), 4);
    assert_int_equal(at(first, "values")->child->valueint, 3);
    assert_string_equal(at(first, "values")->child->next->valuestring, "channel");
    cJSON_Delete(object);

    ran = RUN("compare", "--json", TIMED, "--tokens", "48");
    object = json_of("compare", &ran);
    first = at(object, "methods")->child;
    for (size_t i = 1; i < sizeof keys / sizeof *keys; i++) at(first, keys[i]);
    at(first, "name");
    at(first, "tokens_per_second_range");
    at(first, "speed_ratio");
    at(object, "base.tokens_per_second_range");
    at(object, "base.ppl");
    cJSON_Delete(object);
}

static void tune_in_json(void **state) {
    (void)state;
    Ran ran = RUN("tune", "--json", QUICK, "--tokens", "48", "--max-bits", "4.07", "--bits", "4", "--activations",
                  "none", "--granularity", "channel", "--keep", "model.layers.1.*");
    cJSON *object = json_of("tune", &ran);
    assert_true(at(object, "bits_per_weight")->valuedouble <= 4.07);
    assert_int_equal(at(object, "kept")->valueint, 7);
    for (const cJSON *linear = at(object, "linears")->child; linear; linear = linear->next) {
        const char *name = at(linear, "name")->valuestring;
        const bool down = strstr(name, "down_proj"), kept = strstr(name, "layers.1.");
        const int width = down ? 768 : 256, group = at(linear, "group_size")->valueint;
        if (group != width && (group > 128 || kept)) fail_msg("%s: groups of %d", name, group);
    }
    assert_int_equal(at(at(object, "linears")->child, "bits")->valueint, 4);
    assert_true(cJSON_IsNull(at(object, "cut")));
    assert_true(cJSON_IsBool(at(object, "stays")));
    assert_true(at(object, "given.kl")->valuedouble >= at(object, "kl")->valuedouble);
    assert_true(at(object, "trial_tokens")->valuedouble > at(object, "trials")->valuedouble);
    assert_true(at(object, "seconds")->valuedouble > 0);
    cJSON_Delete(object);
    ran = RUN("tune", QUICK, "--tokens", "48", "--max-bits", "5", "--keep", "layers.*");
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "--keep: no linear matches");
    ran_free(&ran);
}

// Only what the engine takes is tried, and what no bits and groups mend is told first.
static void tune_for_an_engine(void **state) {
    (void)state;
    Ran ran = RUN("tune", "--json", "--calibration-tokens", "512", "--tokens", "48", "--max-bits", "5.5", "--bits",
                  "3,4", "--target", "sglang,vllm", "--minutes", "0.01", "--weight-bits", "3");
    assert_contains(ran.err, "note: mended in the result: refused by vllm, sglang: "); // not each generation of vllm
    assert_contains(ran.err, "Set --activations to none");
    assert_null(strstr(ran.err, "Use 4 or 8 bits"));
    assert_null(strstr(ran.err, "warning: "));
    cJSON *object = json_of("tune", &ran); // frees what was printed
    for (const cJSON *linear = at(object, "linears")->child; linear; linear = linear->next) {
        assert_int_equal(at(linear, "bits")->valueint, 4);
        assert_true(at(linear, "group_size")->valueint > 16);
    }
    cJSON_Delete(object);
    ran = RUN("tune", "--calibration-tokens", "512", "--tokens", "48", "--max-bits", "5", "--bits", "4", "--target",
              "vllm", "--minutes", "0.01", "--activations", "token");
    assert_contains(ran.err, "misread by vllm: "); // told once, though one of them is mended in another way
    assert_null(strstr(ran.err, "misread by vllm-sm"));
    ran_free(&ran);
    ran = RUN("tune", QUICK, "--tokens", "48", "--max-bits", "5", "--bits", "2,3", "--target", "vllm");
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "takes none of the bits and groups that may be used");
    ran_free(&ran);
}

// Also where stderr is no terminal: the best so far, and what there is when the time is over.
static void tune_in_no_time(void **state) {
    (void)state;
    char *path = path_join(folder, "tuned.json");
    Ran ran = RUN("tune", "--calibration-tokens", "512", "--tokens", "48", "--max-bits", "5", "--bits", "4",
                  "--activations", "none", "--minutes", "0.0001", "-o", path);
    assert_int_equal(ran.status, 0);
    assert_contains(ran.err, "evaluations  best so far: one scheme for all, at 4.5");
    assert_contains(ran.out, "the time was over before the search was complete");
    ran_free(&ran);
    ran = RUN("plan", QUICK, "--recipe", path);
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    ran = RUN("tune", "--json", QUICK, "--tokens", "48", "--max-bits", "5", "--bits", "4", "--activations", "none",
              "--minutes", "0.0001");
    cJSON *object = json_of("tune", &ran);
    assert_string_equal(at(object, "cut")->valuestring, "time");
    cJSON_Delete(object);
    free(path);
}

// The engine of this name among those that were judged.
static const cJSON *engine_row(const cJSON *object, const char *name) {
    const cJSON *row;
    cJSON_ArrayForEach(row, at(object, "engines")) {
        if (strcmp(at(row, "engine")->valuestring, name) == 0) return row;
    }
    fail_msg("no engine %s", name);
    return NULL;
}

#define STATIC_W4 "--weight-bits", "4", "--granularity", "group", "--group-size", "32", "--activations", "static"

static const char *standing_in(const cJSON *object, const char *format, const char *engine) {
    const cJSON *cell;
    cJSON_ArrayForEach(cell, at(object, "formats")) {
        if (strcmp(at(cell, "format")->valuestring, format) == 0 &&
            strcmp(at(cell, "engine")->valuestring, engine) == 0)
            return at(cell, "standing")->valuestring;
    }
    return NULL;
}

static void quantize_judges_engines(void **state) {
    (void)state;
    char *path = path_join(folder, "judged");
    Ran ran = RUN("quantize", "-o", path, "--dry-run", "--json", QUICK, STATIC_W4);
    cJSON *object = json_of("quantize --dry-run", &ran);
    assert_true(cJSON_IsFalse(at(engine_row(object, "vllm-sm80"), "loads")));
    assert_true(cJSON_IsTrue(at(engine_row(object, "transformers"), "loads")));
    const cJSON *finding = at(object, "findings")->child;
    assert_string_equal(at(finding, "name")->valuestring, "static-inputs");
    assert_string_equal(at(at(finding, "changes")->child, "dial")->valuestring, "activations");
    assert_string_equal(at(at(finding, "changes")->child, "value")->valuestring, "none");
    assert_string_equal(standing_in(object, "compressed-tensors", "vllm-sm80"), "mended");
    assert_string_equal(standing_in(object, "compressed-tensors", "transformers"), "loads");
    assert_string_equal(standing_in(object, "gguf", "llama.cpp"), "loads");
    assert_null(standing_in(object, "gguf", "transformers"));
    cJSON_Delete(object);
    ran = RUN("quantize", "-o", path, "--dry-run", "--fix", "--eval", "--tokens", "48", "--json", QUICK, STATIC_W4);
    object = json_of("quantize --dry-run", &ran);
    assert_true(at(object, "accuracy.kl.mean")->valuedouble == at(object, "fix.kl")->valuedouble);
    assert_true(cJSON_IsTrue(at(engine_row(object, "vllm-sm80"), "loads")));
    assert_null(at(object, "findings")->child);
    assert_contains(at(object, "fix.changes")->child->valuestring, "activations none: ");
    assert_true(at(object, "fix.kl")->valuedouble > 0 &&
                at(object, "fix.kl")->valuedouble < at(object, "fix.kl_before")->valuedouble);
    cJSON_Delete(object);
    assert_false(file_exists(path));
    free(path);
}

static void quantize_says_in_words_what_engines_do(void **state) {
    (void)state;
    char *path = path_join(folder, "judged");
    Ran ran =
        RUN("quantize", "-o", path, "--dry-run", "--fix", "--target", "vllm-cpu", QUICK, STATIC_W4, "--grid", "log2");
    assert_int_equal(ran.status, 0);
    assert_contains(ran.out, "grid symmetric: ");
    assert_contains(ran.out, "\nvllm-cpu      yes ");
    assert_contains(ran.out, "activations none: ");
    assert_contains(ran.out, "\nllama.cpp     -                  loads              -                  -");
    assert_null(strstr(ran.out, "inputs-dropped"));
    ran_free(&ran);
    ran = RUN("quantize", "-o", path, "--dry-run", "--target", "mlx,transformers", "--activations", "none");
    assert_int_equal(ran.status, 0);
    assert_contains(ran.err, "note: compressed-tensors is not read by mlx\n");
    ran_free(&ran);
    ran = RUN("quantize", "-o", path, "--dry-run", QUICK, STATIC_W4, "--grid", "log2");
    assert_int_equal(ran.status, 1);
    assert_contains(ran.out, "\nrefused grid: vllm-sm75 ");
    ran_free(&ran);
    free(path);
}

static void tasks_in_json(void **state) {
    (void)state;
    static const char item[] = "{\"query\": \"Once upon a\", \"choices\": [\" time\", \" house\"], \"gold\": 0}\n";
    char *path = folder_write(folder, "items.jsonl", item, sizeof item - 1);
    Ran ran = RUN("eval", "--json", QUICK, "--task", "choices", "--task-file", path, "--activations", "none");
    cJSON *object = json_of("eval --task", &ran);
    assert_int_equal(at(object, "items")->valueint, 1);
    assert_true(cJSON_IsTrue(at(object, "too_few_items")));
    at(object, "quantized.accuracy_norm");
    cJSON_Delete(object);
    free(path);
}

static void translations_in_json(void **state) {
    (void)state;
    static const char pairs[] = "{\"source\": \"a\", \"reference\": \"the fox\"}\n"
                                "{\"source\": \"b\", \"reference\": \"the fox went home\"}\n"
                                "{\"source\": \"c\", \"references\": [\"the fox\", \"the \\u0000cat\"]}\n";
    char *path = folder_write(folder, "pairs.jsonl", pairs, sizeof pairs - 1);
    char *written = path_join(folder, "written.jsonl"), *data;
#define TRANSLATE QUICK, "--task", "translate", "--task-file", path, "--activations", "none", "--max-new-tokens", "8"
    Ran ran = RUN("eval", "--json", TRANSLATE, "--shots", "1", "-o", written);
    cJSON *object = json_of("eval --task translate", &ran);
    assert_int_equal(at(object, "items")->valueint, 2);
    assert_int_equal(at(object, "shots")->valueint, 1);
    assert_true(at(object, "base.chrf")->valuedouble >= 0 && at(object, "quantized.bleu_ci")->valuedouble >= 0);
    assert_non_null(strstr(at(object, "bleu_signature")->valuestring, "nrefs:var|"));
    const double difference = at(object, "quantized.chrf")->valuedouble - at(object, "base.chrf")->valuedouble;
    assert_true(fabs(at(object, "chrf_difference")->valuedouble - difference) < 1e-12);
    cJSON_Delete(object);
    size_t size;
    assert_true(file_read(written, 1 << 20, &data, &size, NULL));
    assert_true(strncmp(data, "{\"base\":", 8) == 0);
    assert_contains(data, "\"source\":\"c\",\"references\":[\"the fox\",\"the \\u0000cat\"]}\n");
    free(data);
    ran = RUN("eval", TRANSLATE, "--shots", "1", "-o", path); // the pairs, which it did not write
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "--overwrite");
    ran_free(&ran);
    ran = RUN("eval", TRANSLATE, "--shots", "1");
    assert_int_equal(ran.status, 0);
    assert_contains(ran.out, "2 sentences; ");
    assert_contains(ran.out,
                    "BLEU nrefs:var|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:quantdial-");
    ran_free(&ran);
    free(written);
    free(path);
}

static double number_of_eval(Ran ran, const char *key) {
    cJSON *object = json_of("eval", &ran);
    const double number = at(object, key)->valuedouble;
    cJSON_Delete(object);
    return number;
}

// What was written is as far from its base as the recipe was; only the arithmetic differs.
static void assert_stored_is_as_accurate(const char *written) {
#define EVAL "--quiet", "--json", "--tokens", "256", "--text", "stories"
    char *base = sample_path(NULL);
    Ran ran = RUN("eval", EVAL, "--activations", "none", "--granularity", "channel");
    const double kl = number_of_eval(ran, "kl.mean");
    ran = RUN("eval", written, EVAL, "--base", base);
    free(base);
    assert_true(fabs(number_of_eval(ran, "kl.mean") - kl) < 2e-3 * kl);
    ran = RUN("eval", written, EVAL, "--base", "tests/fixtures/llama-gqa-llama3-bf16");
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "is not the same model");
    ran_free(&ran);
    ran = RUN("eval", written, "--base", written, "--alpha", "0.2");
    assert_int_equal(ran.status, 2);
    assert_contains(ran.err, "leave out --base or the dials");
    ran_free(&ran);
}

// Two calibrated parts, merged; two quantized parts by that, finished: as one process does it.
static void parts_in_json(void **state) {
#define TWICE "--quiet", "--calibration-tokens", "1024"
    (void)state;
    const char *const names[] = {"p1.stats", "p2.stats", "all.stats", "out"};
    char *paths[4];
    for (int i = 0; i < 4; i++) paths[i] = path_join(folder, names[i]);
    for (int i = 0; i < 2; i++) {
        const char *const part = i ? "2/2" : "1/2";
        Ran ran = RUN("calibrate", TWICE, "--part", part, "-o", paths[i], "--json");
        cJSON *object = json_of("calibrate --part", &ran);
        assert_int_equal(at(object, "part")->valueint, i + 1);
        assert_int_equal(at(object, "parts")->valueint, 2);
        assert_int_equal(at(object, "tokens_of_all")->valueint, 2 * at(object, "tokens")->valueint);
        assert_true(cJSON_IsFalse(at(object, "was_there")));
        assert_string_equal(at(object, "file")->valuestring, paths[i]);
        assert_string_equal(at(object, "text")->valuestring, "stories");
        cJSON_Delete(object);
    }
    char *base = sample_path(NULL);
    Ran once = RUN("calibrate", TWICE, "--json"), merged = RUN("calibrate", "--quiet", "--json", "--no-cache",
                                                               "--merge", base, paths[1], paths[0], "-o", paths[2]);
    assert_string_equal(once.out, merged.out);
    ran_free(&once), ran_free(&merged);
    once = RUN("plan", TWICE, "--json"), merged = RUN("plan", "--quiet", "--json", "--statistics", paths[2]);
    assert_string_equal(once.out, merged.out);
    ran_free(&once), ran_free(&merged);
    once = RUN("plan", "--statistics", paths[0]);
    assert_int_equal(once.status, 1);
    assert_contains(once.err, "calibrate --merge makes statistics of all parts\n");
    ran_free(&once);

#define OF_PARTS "quantize", "--quiet", "--statistics", paths[2], "--granularity", "channel", "-o", paths[3]
    once = RUN(OF_PARTS, "--finish");
    assert_int_equal(once.status, 1);
    ran_free(&once);
    for (int i = 0; i < 2; i++) {
        Ran ran = RUN(OF_PARTS, "--part", i ? "2/2" : "1/2", "--shard-megabytes", "1", "--json");
        cJSON *object = json_of("quantize", &ran);
        assert_int_equal(at(object, "part")->valueint, i + 1);
        assert_int_equal(at(object, "parts")->valueint, 2);
        assert_true(at(object, "files")->valueint > 0);
        cJSON_Delete(object);
    }
    once = RUN(OF_PARTS, "--finish", "--shard-megabytes", "1", "--verify");
    assert_int_equal(once.status, 0);
    assert_contains(once.out, "no difference");
    ran_free(&once);
    for (int i = 0; i < 4; i++) free(paths[i]);
    free(base);
}

// A file of another kind is not replaced by one that is written: every option that names a file to write.
static void files_of_others_stay(void **state) {
    (void)state;
    const char *const lines[][5] = {{"calibrate", "-o"},
                                    {"tune", "--max-kl", "1", "-o"},
                                    {"logits", "--ids", "1", "-o"},
                                    {"sweep", "--sweep", "v0=1", "--csv"},
                                    {"sweep", "--sweep", "v0=1", "--svg"}};
    folder_put_text(folder, "notes", "what others wrote");
    char *notes = path_join(folder, "notes");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        const char *words[7] = {0};
        int n = 0;
        while (lines[i][n]) words[n] = lines[i][n], n++;
        words[n] = notes;
        Ran ran = program_run(words, NULL, NULL);
        if (ran.status != 1) fail_msg("%s: status %d, %s", words[0], ran.status, ran.err);
        assert_contains(ran.err, "a file of another kind; name another one, or replace it with --overwrite");
        ran_free(&ran);
    }
    Ran ran = RUN("logits", "-q", "--base", "--ids", "1", "-o", notes, "--overwrite");
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    ran = RUN("logits", "-q", "--base", "--ids", "2", "-o", notes); // one of its own it replaces
    assert_int_equal(ran.status, 0);
    ran_free(&ran);
    free(notes);
}

static void wrong_use_of_parts(void **state) {
    (void)state;
    static const struct {
        const char *words[7], *message;
    } cases[] = {
        {{"calibrate", "--part", "1/2"}, "it needs --output"},
        {{"quantize", "-o", "x", "--part", "1/2", "--format", "gguf"}, "a GGUF is one"},
        {{"calibrate", "--merge", "x"}, "MODEL and the files"},
        {{"calibrate", "--compare-random", "-o", "x"}, "prints only"},
        {{"calibrate", "--merge", "--part", "1/2"}, "--merge comes after all parts"},
        {{"quantize", "-o", "x", "--part", "1/2", "--finish"}, "--finish comes after all parts"},
        {{"quantize", "-o", "x", "--part", "1/2", "--eval"}, "--finish writes"},
        {{"quantize", "-o", "x", "--finish", "--dry-run"}, "about the whole"},
        {{"plan", "--statistics", "/dev/null", "--random-tokens"}, "instead of measuring"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *words[8] = {0};
        memcpy(words, cases[i].words, sizeof cases[i].words);
        Ran ran = program_run(words, NULL, NULL);
        assert_int_equal(ran.status, 2);
        assert_contains(ran.err, cases[i].message);
        ran_free(&ran);
    }
}

static void quantize_in_json(void **state) {
    (void)state;
    char *out = path_join(folder, "out"), *file = path_join(out, "config.json");
#define QUANTIZE "quantize", "--quiet", "--activations", "none", "--granularity", "channel", "-o", out
    Ran ran = RUN(QUANTIZE, "--json", "--dry-run");
    cJSON *object = json_of("quantize --dry-run", &ran);
    const double bytes = at(object, "bytes")->valuedouble;
    assert_true(bytes > 1e6 && at(object, "bytes_left")->valuedouble == bytes);
    assert_true(at(object, "memory")->valuedouble > 0 && at(object, "seconds")->valuedouble > 0);
    assert_true(at(object, "bits_per_weight")->valuedouble > 4);
    assert_false(folder_exists(out));
    cJSON_Delete(object);
    ran = RUN(QUANTIZE, "--json", "--verify");
    object = json_of("quantize", &ran);
    assert_true(at(object, "bytes_written")->valuedouble == bytes);
    assert_true(at(object, "bytes_verified")->valuedouble > 0.9 * bytes);
    assert_true(file_exists(file));
    cJSON_Delete(object);
    ran = RUN(QUANTIZE);
    assert_contains(ran.out, "complete already");
    ran_free(&ran);
    assert_stored_is_as_accurate(out);
    ran = RUN("quantize", "--quiet", "--activations", "none", "--granularity", "tensor", "-o", out);
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err,
                    "by another recipe or calibration; name another folder with -o, or replace it with --overwrite");
    ran_free(&ran);
    char *odd = path_join(folder, "o\xff\xc3");
    ran = RUN("quantize", "--quiet", "--activations", "none", "--eval", "--tokens", "48", "--json", "-o", odd);
    assert_true(text_is_utf8(ran.out, strlen(ran.out)));
    object = json_of("quantize", &ran);
    assert_contains(at(object, "folder")->valuestring, "/o??");
    assert_true(at(object, "accuracy.kl.mean")->valuedouble > 0);
    cJSON_Delete(object);
    free(odd);
    // What cannot be written is not evaluated first: this text has nothing to score.
    char *one = path_join(folder, "one");
    folder_put_text(folder, "one", "a");
    ran = RUN("quantize", "--quiet", "--activations", "none", "--eval", "--text", one, "-o", one);
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "one: is a file, not a folder; name a folder with -o");
    ran_free(&ran);
    free(one);
    ran = RUN("quantize", "--quiet");
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "-o FOLDER");
    ran_free(&ran);
    free(out), free(file);
}

static void overview_in_json(void **state) {
    (void)state;
    Ran ran = RUN("--json", TIMED, "--tokens", "48", "--activations", "none");
    cJSON *object = json_parsed(&ran);
    at(object, "eval.kl.mean");
    at(object, "generate.quantized.text");
    for (const cJSON *child = object->child; child; child = child->next) check_documented(child, child->string);
    seen_count++; // the command without a name
    cJSON_Delete(object);
}

// Comes after the tests that run them.
static void json_of_every_command_was_held_to_its_page(void **state) {
    (void)state;
    for (const Command *command = command_table; command < command_table + command_count; command++) {
        bool found = !(command->takes & TAKES_JSON);
        for (int i = 0; i < seen_count; i++) found |= strcmp(seen[i], command->name) == 0;
        if (!found) fail_msg("no test calls json_of(\"%s\", ...)", command->name);
    }
}

static void doctor_tells_all_sections(void **state) {
    (void)state;
    Ran ran = RUN("doctor", "--json");
    cJSON *object = json_of("doctor", &ran);
    const char *const keys[] = {"version",     "cpu.kernels",  "cpu.processor",    "cuda.compiled",
                                "cuda.driver", "cuda.devices", "terminal.charset", "paths.cache"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) at(object, keys[i]);
    cJSON_Delete(object);
}

static void doctor_lists_what_is_not_used_of_the_settings(void **state) {
    (void)state;
    char path[4200];
    Error err = {0};
    snprintf(path, sizeof path, "%s/quantdial", folder);
    assert_true(folder_make(path, &err));
    folder_put_text(folder, "quantdial/config.json", "{\"theme\": \"pink\", \"tokens\": 0, \"bell\": false}");
    setenv("XDG_CONFIG_HOME", folder, 1);
    Ran ran = RUN("doctor", "--json");
    cJSON *object = json_of("doctor", &ran);
    assert_int_equal(cJSON_GetArraySize(at(object, "paths.unused")), 2);
    cJSON_Delete(object);
    ran = RUN("doctor");
    assert_contains(ran.out, "\n  unused        theme: there is none named \"pink\"; there are auto, ");
    assert_contains(ran.out, "\n                \"tokens\" must be");
    ran_free(&ran);
    unsetenv("XDG_CONFIG_HOME");
}

static void tokenize_prints_an_array_per_line(void **state) {
    (void)state;
    Ran ran = program_run((const char *const[]){"tokenize", NULL}, "Once upon a time\n\nthe end", NULL);
    assert_int_equal(ran.status, 0);
    int lines = 0;
    for (char *line = strtok(ran.out, "\n"); line; line = strtok(NULL, "\n"), lines++) {
        cJSON *ids = cJSON_Parse(line);
        assert_true(cJSON_IsArray(ids));
        cJSON_Delete(ids);
    }
    assert_int_equal(lines, 3);
    ran_free(&ran);
    ran = program_run((const char *const[]){"tokenize", NULL}, "fine\n\xFF\n", NULL);
    assert_int_equal(ran.status, 1);
    assert_contains(ran.err, "line 2");
    ran_free(&ran);
}

static void the_log_goes_to_stderr_and_only_where_it_is_wanted(void **state) {
    (void)state;
    setenv("QUANTDIAL_LOG", "1", 1);
    Ran ran = RUN("calibrate", "--json", QUICK, "--no-cache");
    const char *const parts[] = {"version", "storyteller: 56 tensors", "computes: ", "calibrating begins",
                                 "ends: done"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_contains(ran.err, parts[i]);
    cJSON_Delete(json_of("calibrate", &ran));
    setenv("QUANTDIAL_LOG", "0", 1);
    ran = RUN("doctor");
    assert_string_equal(ran.err, "");
    ran_free(&ran);
    unsetenv("QUANTDIAL_LOG");
}

static void without_a_terminal_the_overview_is_printed(void **state) {
    (void)state;
    Ran ran = RUN(TIMED, "--tokens", "256");
    assert_int_equal(ran.status, 0);
    const char *const parts[] = {"llama", "down_proj", "perplexity", "KL",
                                 "tok/s", "base",      "quantized",  "bits per weight"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) assert_contains(ran.out, parts[i]);
    ran_free(&ran);
}

static void a_second_run_reads_the_measurements_and_says_the_same(void **state) {
    (void)state;
    Ran first = RUN("calibrate", QUICK), second = RUN("calibrate", QUICK),
        fresh = RUN("calibrate", QUICK, "--no-cache");
    assert_int_equal(first.status, 0);
    assert_string_equal(first.out, second.out);
    assert_string_equal(first.out, fresh.out);
    ran_free(&first);
    ran_free(&second);
    ran_free(&fresh);
}

int main(void) {
    setlocale(LC_ALL, "C.UTF-8"); // as main does by the environment
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(perplexities_stay_short),
        cmocka_unit_test(help_tells_every_command_and_dial),
        cmocka_unit_test(man_page_names_every_command_and_option),
        cmocka_unit_test(completions_offer_commands_options_and_choices),
        cmocka_unit_test(bench_measures_every_case),
        cmocka_unit_test(several_cases_of_decoding_end_with_a_map),
        cmocka_unit_test(wrong_usage_is_status_2_and_says_what_is_allowed),
        IN_FOLDER(failures_are_status_1_and_name_the_file),
        cmocka_unit_test(a_full_disk_is_reported),
        IN_FOLDER(json_contract),
        cmocka_unit_test(generated_text_goes_on_behind_a_nul),
        cmocka_unit_test(eval_and_generate_in_json),
        IN_FOLDER(an_encoder_decoder_is_worked_with),
        cmocka_unit_test(sensitivity_in_json),
        cmocka_unit_test(outliers_in_json),
        cmocka_unit_test(calibrations_compared_in_json),
        cmocka_unit_test(figures_that_are_the_same_are_marked),
        cmocka_unit_test(sweep_and_compare_in_json),
        IN_FOLDER(parts_in_json),
        IN_FOLDER(files_of_others_stay),
        IN_FOLDER(wrong_use_of_parts),
        IN_FOLDER(quantize_in_json),
        cmocka_unit_test(tune_in_json),
        IN_FOLDER(tune_for_an_engine),
        IN_FOLDER(tune_in_no_time),
        IN_FOLDER(quantize_judges_engines),
        IN_FOLDER(quantize_says_in_words_what_engines_do),
        IN_FOLDER(tasks_in_json),
        IN_FOLDER(translations_in_json),
        cmocka_unit_test(overview_in_json),
        cmocka_unit_test(doctor_tells_all_sections),
        IN_FOLDER(doctor_lists_what_is_not_used_of_the_settings),
        cmocka_unit_test(json_of_every_command_was_held_to_its_page),
        cmocka_unit_test(tokenize_prints_an_array_per_line),
        cmocka_unit_test(the_log_goes_to_stderr_and_only_where_it_is_wanted),
        cmocka_unit_test(without_a_terminal_the_overview_is_printed),
        cmocka_unit_test(a_second_run_reads_the_measurements_and_says_the_same),
    };
    return cmocka_run_group_tests(tests, small_sample_make, small_sample_drop);
}
