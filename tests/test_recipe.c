// Recipes: dials as text, files, overrides, globs; what a hostile or mistaken file may not do.
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/number.h"
#include "quant/recipe.h"
#include "tests/support/in_folder.h"

static void assert_format(Dial dial, double value, const char *text) {
    char shown[64];
    dial_format(dial, value, shown, sizeof shown);
    assert_string_equal(shown, text);
}

static void assert_parsed(Dial dial, const char *text, double expected) {
    Error err = {0};
    double value = -1;
    if (!dial_parse(dial, text, &value, &err)) fail_msg("%s", err.message);
    assert_true(value == expected);
}

static void assert_refused(Dial dial, const char *text) {
    Error err = {0};
    double value = 0.125;
    if (dial_parse(dial, text, &value, &err)) fail_msg("%s: \"%s\" was accepted", dial_table[dial].option, text);
    assert_non_null(strstr(err.message, dial_table[dial].option));
    assert_non_null(strstr(err.message, "allowed: "));
    assert_true(value == 0.125);
}

static void numbers_are_the_shortest_text(void **state) {
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {
        {0.3, "0.3"},
        {1, "1"},
        {0, "0"},
        {-0.0, "0"},
        {128, "128"},
        {1e6, "1000000"},
        {0.001, "0.001"},
        {1.0 / 3, "0.3333333333333333"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e300, "1e+300"},
        {-2.5, "-2.5"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[NUMBER_ROOM];
        double back = 77;
        number_format(cases[i].value, text, sizeof text);
        assert_string_equal(text, cases[i].text);
        assert_true(number_parse(text, &back) && back == cases[i].value);
    }
}

static void numbers_refuse_everything_else(void **state) {
    (void)state;
    static const char *const texts[] = {"",      " 1",  "1 ",    "0x10", "inf", "nan",
                                        "1e999", "1,5", "1.2.3", "--1",  "e5",  "."};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        double value;
        if (number_parse(texts[i], &value)) fail_msg("\"%s\" was taken for a number", texts[i]);
    }
}

static void numbers_do_not_follow_the_locale(void **state) {
    (void)state;
    // Any locale with a decimal comma will do; where none is installed there is nothing to see.
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE.utf8", "es_ES.UTF-8"};
    bool found = false;
    for (size_t i = 0; i < sizeof names / sizeof *names && !found; i++) found = setlocale(LC_NUMERIC, names[i]) != NULL;
    if (!found) skip();
    assert_format(DIAL_ALPHA, 0.3, "0.3");
    assert_parsed(DIAL_ALPHA, "0.25", 0.25);
    setlocale(LC_NUMERIC, "C");
}

static void every_dial_is_described(void **state) {
    (void)state;
    for (int i = 0; i < DIAL_COUNT; i++) {
        const DialInfo *info = &dial_table[i];
        assert_true(info->option && info->key && info->label && info->help);
        assert_true(dial_allows((Dial)i, info->default_value));
        assert_int_equal(dial_find(info->option), i);
        // An override may hold every key of these two sections.
        const char *section = info->section ? info->section : "";
        const bool overridable = strcmp(section, "weights") == 0 || strcmp(section, "activations") == 0;
        assert_int_equal(info->per_linear, overridable);
        char text[64];
        dial_format((Dial)i, info->default_value, text, sizeof text);
        assert_parsed((Dial)i, text, info->default_value);
    }
    assert_int_equal(dial_find("no-such-dial"), -1);
}

static void dials_read_words_and_numbers(void **state) {
    (void)state;
    assert_parsed(DIAL_BITS, "3", 3);
    assert_parsed(DIAL_GRANULARITY, "tensor", GRANULARITY_TENSOR);
    assert_parsed(DIAL_QUORUM, "any", 0);
    assert_parsed(DIAL_QUORUM, "0.05", 0.05);
    assert_parsed(DIAL_MAX_GROUP, "channel", 0);
    assert_parsed(DIAL_MAX_GROUP, "256", 256);
    assert_parsed(DIAL_FUSED, "on", 1);
    assert_parsed(DIAL_FUSED, "off", 0);
    assert_format(DIAL_QUORUM, 0, "any");
    assert_format(DIAL_MAX_GROUP, 0, "channel");
    assert_format(DIAL_FUSED, 1, "on");
    assert_format(DIAL_ACTIVATIONS, POLICY_FPTQ, "fptq");
}

static void dials_refuse_what_the_table_does_not_allow(void **state) {
    (void)state;
    assert_refused(DIAL_BITS, "5");
    assert_refused(DIAL_BITS, "4.5");
    assert_refused(DIAL_BITS, "");
    assert_refused(DIAL_GRID, "0"); // a choice by name is not a number
    assert_refused(DIAL_GRANULARITY, "Adaptive");
    assert_refused(DIAL_GROUP_SIZE, "channel");
    assert_refused(DIAL_GROUP_SIZE, "0");
    assert_refused(DIAL_GROUP_SIZE, "96");
    assert_refused(DIAL_ALPHA, "1.001");
    assert_refused(DIAL_ALPHA, "-0.1");
    assert_refused(DIAL_ALPHA, "nan");
    assert_refused(DIAL_ALPHA, "0.3 ");
    assert_refused(DIAL_V0, "inf");
    assert_refused(DIAL_ACTIVATION_BITS, "4");
    assert_refused(DIAL_FUSED, "1");
    assert_refused(DIAL_FUSED, "true");
    assert_refused(DIAL_RULE, "\033[2J\xff");
}

static void refusals_carry_no_control_characters(void **state) {
    (void)state;
    Error err = {0};
    double value;
    assert_false(dial_parse(DIAL_RULE, "\033[2Jshrink", &value, &err));
    assert_null(strchr(err.message, '\033'));
}

static void dials_turn_within_their_range(void **state) {
    (void)state;
    assert_true(dial_turn(DIAL_BITS, 4, 1, false) == 8);
    assert_true(dial_turn(DIAL_BITS, 8, 1, false) == 8);
    assert_true(dial_turn(DIAL_BITS, 2, -3, true) == 2);
    assert_true(dial_turn(DIAL_MAX_GROUP, 8192, 1, false) == 0); // the whole channel is the coarsest
    assert_true(dial_turn(DIAL_MAX_GROUP, 0, -1, false) == 8192);
    assert_true(dial_turn(DIAL_GROUP_SIZE, 8192, 1, false) == 8192);
    assert_true(dial_turn(DIAL_FUSED, 0, 1, false) == 1);
    assert_true(dial_turn(DIAL_ALPHA, 0.3, 1, false) == 0.31);
    assert_true(dial_turn(DIAL_ALPHA, 0.3, -1, true) == 0.2);
    assert_true(dial_turn(DIAL_ALPHA, 0.305, 1, false) == 0.31); // to the next mark
    assert_true(dial_turn(DIAL_ALPHA, 0.305, -1, false) == 0.3);
    assert_true(dial_turn(DIAL_ALPHA, 1, 1, false) == 1);
    assert_true(dial_turn(DIAL_V0, 15, -100, false) == 0);
    assert_true(dial_turn(DIAL_V1, 150, 1, true) == 160);
    assert_true(dial_turn(DIAL_ALPHA, 0.123, 0, false) == 0.123);
}

static void turning_gives_short_decimals(void **state) {
    (void)state;
    double alpha = 0;
    for (int i = 1; i <= 100; i++) {
        char text[64], expected[64];
        alpha = dial_turn(DIAL_ALPHA, alpha, 1, false);
        dial_format(DIAL_ALPHA, alpha, text, sizeof text);
        number_format(strtod((snprintf(expected, sizeof expected, "%d.%02d", i / 100, i % 100), expected), NULL),
                      expected, sizeof expected);
        assert_string_equal(text, expected);
    }
}

// ---- Globs ----

static void globs(void **state) {
    (void)state;
    static const struct {
        const char *glob, *name;
        bool matches;
    } cases[] = {
        {"*", "", true},
        {"*", "a.b.c", true},
        {"", "", true},
        {"", "a", false},
        {"a", "", false},
        {"model.layers.*.mlp.down_proj", "model.layers.12.mlp.down_proj", true},
        {"model.layers.*.mlp.down_proj", "model.layers.12.mlp.down_proj2", false},
        {"*down_proj", "model.layers.3.mlp.down_proj", true},
        {"*.q_proj*", "x.q_proj", true},
        {"?", "a", true},
        {"?", "", false},
        {"?", "ab", false},
        {"?", "ä", true},
        {"a??c", "aäöc", true},
        {"[0-9]", "5", true},
        {"[0-9]", "a", false},
        {"[!0-9]", "a", true},
        {"[!0-9]", "5", false},
        {"[!a]", "ä", true},
        {"x[ab]y", "xby", true},
        {"x[ab]y", "xcy", false},
        {"[]]", "]", true},
        {"[!]]", "]", false},
        {"[a-]", "-", true},
        {"[a-]", "b", false},
        {"[z-a]", "m", false},
        {"[ab", "[ab", true},
        {"[ab", "a", false},
        {"[", "[", true},
        {"*[", "x[", true},
        {"[!", "[!", true},
        {"a[0]", "a[0]", true},
        {"a[0]", "a0", true},
        {"**a**", "bab", true},
        {"*a*b*c", "xxaxxbxxc", true},
        {"*a*b*c", "xxaxxcxxb", false},
        {"a*", "a", true},
        {"layers.[0-3].*", "layers.2.x", true},
        {"layers.[0-3].*", "layers.12.x", false},
        {"A", "a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (glob_matches(cases[i].glob, cases[i].name) != cases[i].matches)
            fail_msg("\"%s\" and \"%s\"", cases[i].glob, cases[i].name);
    }
}

// Backtracking over every star would take longer than anyone lives.
static void globs_do_not_blow_up(void **state) {
    (void)state;
    char glob[401], name[4001];
    for (int i = 0; i < 400; i += 2) memcpy(glob + i, "*a", 2);
    glob[400] = '\0';
    memset(name, 'a', 4000);
    name[3999] = 'b';
    name[4000] = '\0';
    assert_false(glob_matches(glob, name));
}

// ---- Recipes ----

static Recipe preset_recipe(void) {
    Recipe recipe;
    Error err;
    assert_true(recipe_default(&recipe, &err));
    return recipe;
}

static Recipe parsed(const char *json) {
    Recipe recipe;
    Error err = {0};
    if (!recipe_parse(json, strlen(json), &recipe, &err)) fail_msg("%s", err.message);
    return recipe;
}

static void assert_file_refused(const char *json, const char *part_of_message) {
    Recipe recipe;
    Error err = {0};
    if (recipe_parse(json, strlen(json), &recipe, &err)) fail_msg("accepted: %s", json);
    if (!strstr(err.message, part_of_message))
        fail_msg("%s\n  says: %s\n  not: %s", json, err.message, part_of_message);
    assert_int_equal(recipe.ignore_count + recipe.override_count, 0); // nothing is left to free
}

static void the_default_is_what_does_well(void **state) {
    (void)state;
    Recipe recipe = preset_recipe();
    assert_true(recipe.value[DIAL_BITS] == 4 && recipe.value[DIAL_GRANULARITY] == GRANULARITY_ADAPTIVE);
    assert_true(recipe.value[DIAL_V0] == 1 && recipe.value[DIAL_V1] == 150 && recipe.value[DIAL_LAE_ALPHA] == 1);
    assert_int_equal(recipe.ignore_count, 1);
    assert_string_equal(recipe.ignore[0], "lm_head");
    Recipe empty = parsed("{\"quantdial_recipe\": 3}");
    assert_true(recipe_equal(&recipe, &empty));
    recipe_free(&recipe);
    recipe_free(&empty);
}

// Recipes from before a default changed mean what they meant then.
static void older_versions_have_the_defaults_of_their_time(void **state) {
    (void)state;
    Recipe recipe = preset_recipe();
    Recipe first = parsed("{\"quantdial_recipe\": 1, \"weights\": {\"alpha\": 0.3}}");
    assert_true(first.value[DIAL_RULE] == RULE_SHRINK && recipe.value[DIAL_RULE] == RULE_NOISE);
    assert_true(first.value[DIAL_V0] == 15 && recipe.value[DIAL_V0] == 1);
    Recipe second = parsed("{\"quantdial_recipe\": 2}");
    assert_true(second.value[DIAL_RULE] == RULE_NOISE && second.value[DIAL_V0] == 15);
    first.value[DIAL_RULE] = RULE_NOISE;
    assert_true(recipe_equal(&second, &first));
    first.value[DIAL_V0] = 1;
    assert_true(recipe_equal(&recipe, &first));
    recipe_free(&first);
    recipe_free(&second);
    first = parsed("{\"quantdial_recipe\": 1, \"weights\": {\"rule\": \"noise\"}, \"activations\": {\"v0\": 2}}");
    assert_true(first.value[DIAL_RULE] == RULE_NOISE && first.value[DIAL_V0] == 2);
    recipe_free(&first);
    recipe_free(&recipe);
}

static void the_example_of_the_manual_is_read(void **state) {
    (void)state;
    Recipe recipe =
        parsed("{\"quantdial_recipe\": 1,\n"
               " \"weights\": {\"bits\": 4, \"grid\": \"symmetric\", \"granularity\": \"adaptive\", \"alpha\": 0.3, "
               "\"rule\": \"shrink\","
               " \"quorum\": 0.01, \"min_group\": 32},\n"
               " \"activations\": {\"policy\": \"fptq\", \"bits\": 8, \"v0\": 15, \"v1\": 150, \"lae_alpha\": 1.0},\n"
               " \"fused_together\": true,\n \"ignore\": [\"lm_head\"],\n"
               " \"overrides\": [{\"match\": \"model.layers.*.mlp.down_proj\", \"weights\": {\"bits\": 8, "
               "\"granularity\": \"channel\"}}]}\n");
    assert_true(recipe.value[DIAL_FUSED] == 1);
    const char *down = "model.layers.3.mlp.down_proj", *up = "model.layers.3.mlp.up_proj";
    assert_true(recipe_value(&recipe, DIAL_BITS, down) == 8);
    assert_true(recipe_value(&recipe, DIAL_GRANULARITY, down) == GRANULARITY_CHANNEL);
    assert_true(recipe_value(&recipe, DIAL_ALPHA, down) == 0.3);
    assert_true(recipe_value(&recipe, DIAL_BITS, up) == 4);
    assert_true(recipe_ignores(&recipe, "lm_head") && !recipe_ignores(&recipe, up));
    recipe_free(&recipe);
}

static void printing_and_reading_give_back_the_recipe(void **state) {
    (void)state;
    Recipe recipe = parsed("{\"quantdial_recipe\": 1, \"weights\": {\"quorum\": \"any\", \"max_group\": \"channel\", "
                           "\"alpha\": 0.1234567890123},"
                           "\"ignore\": [\"a\\\"b\\\\\", \"\\u00e4*\", \"tab\\t\"],"
                           "\"overrides\": [{\"match\": \"x\", \"weights\": {\"max_group\": 64, \"quorum\": "
                           "0.333333333333333314829616256247},"
                           "\"activations\": {\"policy\": \"none\", \"v0\": 0.1}}, {\"match\": \"nothing set\"}]}");
    char *first = recipe_print(&recipe);
    Recipe again = parsed(first);
    char *second = recipe_print(&again);
    assert_true(recipe_equal(&recipe, &again));
    assert_string_equal(first, second);
    assert_non_null(strstr(first, "\"quorum\": \"any\""));
    assert_non_null(strstr(first, "\"max_group\": \"channel\""));
    assert_non_null(strstr(first,
                           "{\"match\": \"x\", \"weights\": {\"quorum\": 0.3333333333333333, \"max_group\": 64}, "
                           "\"activations\": {\"policy\": \"none\", \"v0\": 0.1}}"));
    free(first);
    free(second);
    recipe_free(&recipe);
    recipe_free(&again);
}

static void every_value_of_a_dial_survives_a_file(void **state) {
    (void)state;
    Recipe recipe = preset_recipe();
    for (int i = 0; i < DIAL_COUNT; i++) {
        const DialInfo *info = &dial_table[i];
        recipe.value[i] = info->kind == DIAL_NUMBER ? info->most / 7
                          : info->choices           ? info->choices[info->choice_count - 1]
                                                    : 0;
    }
    char *text = recipe_print(&recipe);
    Recipe again = parsed(text);
    assert_true(recipe_equal(&recipe, &again));
    free(text);
    recipe_free(&recipe);
    recipe_free(&again);
}

static void the_printed_form_is_for_people(void **state) {
    (void)state;
    Recipe recipe = preset_recipe();
    char *text = recipe_print(&recipe);
    assert_string_equal(text, "{\n"
                              "  \"quantdial_recipe\": 3,\n"
                              "  \"weights\": {\n"
                              "    \"bits\": 4,\n"
                              "    \"grid\": \"symmetric\",\n"
                              "    \"granularity\": \"adaptive\",\n"
                              "    \"group_size\": 128,\n"
                              "    \"alpha\": 0.3,\n"
                              "    \"rule\": \"noise\",\n"
                              "    \"quorum\": 0.01,\n"
                              "    \"min_group\": 32,\n"
                              "    \"max_group\": \"channel\",\n"
                              "    \"scale\": \"model\",\n"
                              "    \"clip\": \"absmax\"\n"
                              "  },\n"
                              "  \"activations\": {\n"
                              "    \"policy\": \"fptq\",\n"
                              "    \"bits\": 8,\n"
                              "    \"v0\": 1,\n"
                              "    \"v1\": 150,\n"
                              "    \"lae_alpha\": 1,\n"
                              "    \"fold\": \"norm\",\n"
                              "    \"unfoldable\": \"token\",\n"
                              "    \"smooth_alpha\": 0.5,\n"
                              "    \"smooth_scale\": \"static\",\n"
                              "    \"percentile\": 99.9\n"
                              "  },\n"
                              "  \"cache\": {\n"
                              "    \"bits\": 16\n"
                              "  },\n"
                              "  \"fused_together\": false,\n"
                              "  \"ignore\": [\"lm_head\"],\n"
                              "  \"overrides\": []\n"
                              "}\n");
    free(text);
    recipe_free(&recipe);
}

static void mistaken_files_are_refused_with_the_path(void **state) {
    (void)state;
#define R "{\"quantdial_recipe\": 1, "
    assert_file_refused("", "JSON");
    assert_file_refused("[]", "must be an object");
    assert_file_refused("{}", "quantdial_recipe");
    assert_file_refused("{\"quantdial_recipe\": \"1\"}", "quantdial_recipe");
    assert_file_refused("{\"quantdial_recipe\": 4}", "version 4");
    assert_file_refused("{\"quantdial_recipe\": 1} x", "unexpected text");
    assert_file_refused(R "\"wieghts\": {}}", "\"wieghts\"");
    assert_file_refused(R "\"weights\": []}", "weights must be an object");
    assert_file_refused(R "\"weights\": {\"bit\": 4}}", "weights: unknown key \"bit\"");
    assert_file_refused(R "\"weights\": {\"bits\": 5}}", "weights.bits: \"5\" is not allowed; allowed: 2, 3, 4, 8");
    assert_file_refused(R "\"weights\": {\"bits\": \"4\"}}", "weights.bits");
    assert_file_refused(R "\"weights\": {\"bits\": 1e999}}", "weights.bits");
    assert_file_refused(R "\"weights\": {\"bits\": [4]}}", "weights.bits");
    assert_file_refused(R "\"weights\": {\"alpha\": true}}", "weights.alpha");
    assert_file_refused(R "\"weights\": {\"alpha\": 1.5}}", "allowed: 0 to 1");
    assert_file_refused(R "\"weights\": {\"granularity\": 1}}", "weights.granularity");
    assert_file_refused(R "\"weights\": {\"granularity\": \"groups\"}}", "tensor, channel, group, adaptive");
    assert_file_refused(R "\"weights\": {\"quorum\": \"0.5\"}}", "any, or a number from 0 to 1");
    assert_file_refused(R "\"weights\": {\"bits\": 4, \"bits\": 8}}", "weights: \"bits\" appears twice");
    assert_file_refused(R "\"weights\": {}, \"weights\": {}}", "\"weights\" appears twice");
    assert_file_refused(R "\"activations\": {\"v0\": -1}}", "activations.v0");
    assert_file_refused(R "\"fused_together\": 1}", "fused_together");
    assert_file_refused(R "\"ignore\": \"lm_head\"}", "ignore");
    assert_file_refused(R "\"ignore\": [\"a\", \"\"]}", "ignore[1]");
    assert_file_refused(R "\"ignore\": [\"a\", 3]}", "ignore[1]");
    assert_file_refused(R "\"overrides\": {}}", "overrides");
    assert_file_refused(R "\"overrides\": [{\"match\": \"a\"}, {}]}", "overrides[1].match");
    assert_file_refused(R "\"overrides\": [3]}", "overrides[0] must be an object");
    assert_file_refused(R "\"overrides\": [{\"match\": \"a\", \"weights\": {\"alfa\": 1}}]}",
                        "overrides[0].weights: unknown key \"alfa\"");
    assert_file_refused(R "\"overrides\": [{\"match\": \"a\", \"weights\": {\"bits\": 7}}]}",
                        "overrides[0].weights.bits");
    assert_file_refused(R "\"overrides\": [{\"match\": \"a\", \"fused_together\": true}]}",
                        "overrides[0]: unknown key");
    assert_file_refused("{\"quantdial_recipe\": 1, \"ignore\": [\"\xff\"]}", "UTF-8");
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    enum { DEEP = 200000 };
    char *json = malloc(DEEP + 1);
    memset(json, '[', DEEP);
    json[DEEP] = '\0';
    assert_file_refused(json, "nested");
    free(json);
}

static void nothing_is_measured_for_what_is_left_alone(void **state) {
    (void)state;
    Recipe recipe = preset_recipe();
    assert_true(recipe_needs_ranges(&recipe) && recipe_needs_weights(&recipe));
    assert_true(recipe_ignore(&recipe, "*", NULL));
    assert_false(recipe_needs_ranges(&recipe) || recipe_needs_weights(&recipe));
    recipe_free(&recipe);
}

static void null_counts_as_missing(void **state) {
    (void)state;
    Recipe recipe = parsed("{\"quantdial_recipe\": 3, \"weights\": {\"bits\": null}, \"activations\": null, "
                           "\"ignore\": null, \"overrides\": null}");
    Recipe plain = preset_recipe();
    assert_true(recipe_equal(&recipe, &plain));
    recipe_free(&recipe);
    recipe_free(&plain);
}

static void the_later_rule_wins(void **state) {
    (void)state;
    Recipe recipe = parsed(
        "{\"quantdial_recipe\": 1, \"overrides\": [{\"match\": \"a*\", \"weights\": {\"bits\": 8, \"alpha\": 0.5}},"
        "{\"match\": \"*b\", \"weights\": {\"bits\": 2}}]}");
    assert_true(recipe_value(&recipe, DIAL_BITS, "ab") == 2);
    assert_true(recipe_value(&recipe, DIAL_ALPHA, "ab") == 0.5); // the later rule says nothing about alpha
    assert_true(recipe_value(&recipe, DIAL_BITS, "ac") == 8);
    assert_true(recipe_value(&recipe, DIAL_BITS, "c") == 4);
    recipe_free(&recipe);
}

static void overrides_are_set_and_cleared(void **state) {
    (void)state;
    Recipe recipe = preset_recipe(), plain = preset_recipe();
    Error err = {0};
    double eight = 8, two = 2, half = 0.5, most = 1, on = 1;
    assert_true(recipe_override(&recipe, "x.down", DIAL_BITS, &eight, &err));
    assert_true(recipe_override(&recipe, "x.down", DIAL_ALPHA, &half, &err));
    assert_int_equal(recipe.override_count, 1);
    assert_true(recipe_override(&recipe, "x.*", DIAL_BITS, &two, &err));
    assert_true(recipe_value(&recipe, DIAL_BITS, "x.down") == 2);
    assert_true(recipe_override(&recipe, "x.down", DIAL_BITS, &eight, &err)); // what is set takes effect
    assert_true(recipe_value(&recipe, DIAL_BITS, "x.down") == 8);
    assert_true(recipe_value(&recipe, DIAL_BITS, "x.up") == 2);
    assert_int_equal(recipe.override_count, 3); // its alpha stays before "x.*"
    assert_string_equal(recipe.overrides[0].match, "x.down");
    assert_true(recipe_override(&recipe, "x.*", DIAL_ALPHA, &most, &err));
    assert_true(recipe_override(&recipe, "x.down", DIAL_BITS, &two, &err));
    assert_true(recipe_value(&recipe, DIAL_ALPHA, "x.down") == 1); // one dial overrules no other
    assert_true(recipe_override(&recipe, "x.*", DIAL_ALPHA, NULL, &err));
    assert_true(recipe_value(&recipe, DIAL_ALPHA, "x.down") == 0.5);
    assert_false(recipe_override(&recipe, "x.down", DIAL_FUSED, &on, &err));
    assert_true(recipe_override(&recipe, "x.down", DIAL_BITS, NULL, &err));
    assert_true(recipe_override(&recipe, "x.down", DIAL_V0, NULL, &err)); // was not set
    assert_true(recipe_override(&recipe, "x.down", DIAL_ALPHA, NULL, &err));
    assert_true(recipe_override(&recipe, "x.*", DIAL_BITS, NULL, &err));
    assert_true(recipe_override(&recipe, "unknown", DIAL_BITS, NULL, &err));
    assert_int_equal(recipe.override_count, 0);
    assert_true(recipe_equal(&recipe, &plain));
    recipe_free(&recipe);
    recipe_free(&plain);
}

// What a search wrote stays marked, in a file too; what a person sets beside it is not.
static void what_was_tuned_is_told_apart(void **state) {
    (void)state;
    Error err = {0};
    const double eight = 8, half = 0.5;
    Recipe recipe = parsed("{\"quantdial_recipe\": 1, \"overrides\": [{\"match\": \"x\", \"tuned\": true, \"weights\": "
                           "{\"bits\": 3, \"group_size\": 64}}, {\"match\": \"y\", \"tuned\": false}]}");
    assert_true(recipe.overrides[0].tuned && !recipe.overrides[1].tuned);
    char *text = recipe_print(&recipe);
    Recipe again = parsed(text);
    assert_true(recipe_equal(&recipe, &again));
    again.overrides[0].tuned = false;
    assert_false(recipe_equal(&recipe, &again));
    assert_true(recipe_override(&recipe, "x", DIAL_ALPHA, &half, &err));
    assert_true(recipe_override(&recipe, "x", DIAL_BITS, &eight, &err));
    assert_int_equal(recipe.override_count, 2);
    assert_true(recipe.overrides[0].tuned && !recipe.overrides[0].set[DIAL_BITS]); // its group is still the search's
    assert_true(!recipe.overrides[1].tuned && recipe_value(&recipe, DIAL_BITS, "x") == 8);
    free(text);
    recipe_free(&again);
    recipe_free(&recipe);
}

static void copies_are_equal_and_apart(void **state) {
    (void)state;
    Error err = {0};
    double eight = 8;
    Recipe recipe = preset_recipe(), copy;
    assert_true(recipe_override(&recipe, "x", DIAL_BITS, &eight, &err));
    assert_true(recipe_copy(&recipe, &copy, &err));
    assert_true(recipe_equal(&recipe, &copy));
    copy.overrides[0].value[DIAL_BITS] = 2;
    assert_false(recipe_equal(&recipe, &copy));
    copy.overrides[0].value[DIAL_BITS] = 8;
    copy.ignore[0][0] = 'L';
    assert_false(recipe_equal(&recipe, &copy));
    assert_string_equal(recipe.ignore[0], "lm_head");
    recipe_free(&recipe);
    recipe_free(&copy);
}

static void files_name_themselves_in_messages(void **state) {
    (void)state;
    char *path = folder_write(folder, "recipe.json", "{\"quantdial_recipe\": 1, \"x\": 1}", 31);
    Recipe recipe = preset_recipe(), loaded;
    Error err = {0};
    assert_false(recipe_load(path, &loaded, &err));
    assert_ptr_equal(strstr(err.message, path), err.message);
    assert_true(recipe_save(&recipe, path, &err));
    assert_true(recipe_load(path, &loaded, &err));
    assert_true(recipe_equal(&recipe, &loaded));
    recipe_free(&loaded);
    unlink(path);
    assert_false(recipe_load(path, &loaded, &err));
    free(path);
    assert_false(recipe_load("/", &loaded, &err));
    recipe_free(&recipe);
}

// ---- docs/recipes.md ----

// The row of a key: "| `alpha` | … | default | `--alpha` | …", behind this heading. Free.
static char *documented(const char *page, const char *heading, const char *key) {
    char line[80];
    snprintf(line, sizeof line, "### %s\n", heading);
    const char *begin = strstr(page, line);
    if (!begin) fail_msg("docs/recipes.md has no part \"%s\"", heading);
    begin += strlen(line);
    snprintf(line, sizeof line, "\n| `%s`", key);
    const char *row = strstr(begin, line), *end = strstr(begin, "\n#");
    if (!row || (end && row > end)) fail_msg("docs/recipes.md does not name %s under \"%s\"", key, heading);
    return strndup(row + 1, strcspn(row + 1, "\n"));
}

static void check_dial_documented(const char *page, Dial dial) {
    const DialInfo *info = &dial_table[dial];
    char heading[40], option[80], preset[NUMBER_ROOM], cell[NUMBER_ROOM + 8];
    snprintf(heading, sizeof heading, info->section ? "`%s`" : "Top level", info->section);
    snprintf(option, sizeof option, "`--%s", info->option);
    dial_format(dial, info->default_value, preset, sizeof preset);
    bool quoted = info->zero && info->default_value == 0;
    if (info->kind == DIAL_SWITCH) snprintf(preset, sizeof preset, info->default_value != 0 ? "true" : "false");
    snprintf(cell, sizeof cell, quoted ? "| \"%s\" |" : "| %s |", preset);
    char *row = documented(page, heading, info->key);
    if (!strstr(row, option)) fail_msg("docs/recipes.md: %s without its option: %s", info->option, row);
    if (!strstr(row, cell)) fail_msg("docs/recipes.md: %s without its default %s: %s", info->option, preset, row);
    free(row);
}

// The keys that reading knows, from what it says of one that it does not: `…: unknown key "x"; known are a, b`.
static void check_keys_documented(const char *page, const char *json) {
    Recipe recipe;
    Error err = {0};
    assert_false(recipe_parse(json, strlen(json), &recipe, &err));
    char *at = strstr(err.message, "known are ");
    assert_non_null(at);
    for (char *key = strtok(at + strlen("known are "), ", "); key; key = strtok(NULL, ", ")) {
        char quoted[80];
        snprintf(quoted, sizeof quoted, "`%s`", key);
        if (!strstr(page, quoted)) fail_msg("docs/recipes.md does not name the key %s", key);
    }
}

static void every_key_is_documented_with_option_and_default(void **state) {
    (void)state;
    char *page;
    size_t size;
    Error err;
    if (!file_read("docs/recipes.md", 1 << 20, &page, &size, &err)) fail_msg("%s", err.message);
    for (int i = 0; i < DIAL_COUNT; i++) check_dial_documented(page, (Dial)i);
    check_keys_documented(page, "{\"quantdial_recipe\": 1, \"x\": 1}");
    check_keys_documented(page, "{\"quantdial_recipe\": 1, \"overrides\": [{\"match\": \"*\", \"x\": 1}]}");
    free(page);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_the_shortest_text),
        cmocka_unit_test(numbers_refuse_everything_else),
        cmocka_unit_test(numbers_do_not_follow_the_locale),
        cmocka_unit_test(every_dial_is_described),
        cmocka_unit_test(dials_read_words_and_numbers),
        cmocka_unit_test(dials_refuse_what_the_table_does_not_allow),
        cmocka_unit_test(refusals_carry_no_control_characters),
        cmocka_unit_test(dials_turn_within_their_range),
        cmocka_unit_test(turning_gives_short_decimals),
        cmocka_unit_test(globs),
        cmocka_unit_test(globs_do_not_blow_up),
        cmocka_unit_test(the_default_is_what_does_well),
        cmocka_unit_test(older_versions_have_the_defaults_of_their_time),
        cmocka_unit_test(the_example_of_the_manual_is_read),
        cmocka_unit_test(printing_and_reading_give_back_the_recipe),
        cmocka_unit_test(every_value_of_a_dial_survives_a_file),
        cmocka_unit_test(the_printed_form_is_for_people),
        cmocka_unit_test(mistaken_files_are_refused_with_the_path),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(nothing_is_measured_for_what_is_left_alone),
        cmocka_unit_test(null_counts_as_missing),
        cmocka_unit_test(the_later_rule_wins),
        cmocka_unit_test(overrides_are_set_and_cleared),
        cmocka_unit_test(what_was_tuned_is_told_apart),
        cmocka_unit_test(copies_are_equal_and_apart),
        IN_FOLDER(files_name_themselves_in_messages),
        cmocka_unit_test(every_key_is_documented_with_option_and_default),
    };
    return cmocka_run_group_tests_name("recipe", tests, NULL, NULL);
}
