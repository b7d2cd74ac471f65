// The file of settings: what it may say, and what is said of one that is not understood.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/in_folder.h"
#include "tui/key_names.h"
#include "tui/settings.h"

static const char *path(void) {
    static char path[4200];
    snprintf(path, sizeof path, "%s/config.json", folder);
    return path;
}

static void load(const char *text, Settings *out) {
    folder_put_text(folder, "config.json", text);
    settings_load(path(), out);
}

static void load_well(const char *text, Settings *out) {
    load(text, out);
    if (out->fault_count) fail_msg("%s", out->faults.data);
}

static const Binding *binding_of(const char *name) {
    for (int i = 0; i < binding_count; i++) {
        const char *own = binding_name(&bindings[i]);
        if (own && strcmp(own, name) == 0) return &bindings[i];
    }
    fail_msg("there is no action %s", name);
    return NULL;
}

static void a_file_says_what_is_preferred(void **state) {
    (void)state;
    Settings s;
    load_well(
        "{\"theme\": \"colorblind\", \"ascii\": true, \"sort\": \"kurtosis\", \"reverse\": true, \"tokens\": 200, "
        "\"bell\": false, \"keys\": {\"undo\": \"f9\", \"page-up\": [\"ctrl-u\", \"pgup\"], \"pin\": \"7\"}}",
        &s);
    assert_int_equal(s.theme, COLORS_COLORBLIND);
    assert_true(s.ascii && s.reverse && !s.bell);
    assert_int_equal(s.sort, COLUMN_KURTOSIS);
    assert_int_equal(s.tokens, 200);
    assert_true(binding_has_key(&s, binding_of("undo"), KEY_FUNCTION(9)));
    assert_false(binding_has_key(&s, binding_of("undo"), 'u'));
    assert_true(binding_has_key(&s, binding_of("page-up"), KEY_CONTROL('u')));
    assert_true(binding_has_key(&s, binding_of("page-up"), KEY_PAGE_UP));
    assert_false(binding_has_key(&s, binding_of("page-up"), KEY_CONTROL('b')));
    assert_true(binding_has_key(&s, binding_of("redo"), KEY_CONTROL('r')));
    assert_true(binding_has_key(&s, binding_of("pin"), '7')); // goes to no screen
    assert_string_equal(action_keys(&s, "page-up"), "ctrl-u pgup");
    assert_string_equal(action_keys(&s, "view"), "v");
    assert_string_equal(action_keys(&s, "no such action"), "");
    settings_free(&s);
}

static void without_a_file_everything_is_as_usual(void **state) {
    (void)state;
    Settings s;
    settings_load(nowhere(), &s);
    assert_int_equal(s.fault_count, 0);
    assert_int_equal(s.theme, COLORS_AUTO);
    assert_true(s.bell && s.sort < 0 && !s.tokens && !s.key_count);
    assert_true(binding_has_key(&s, binding_of("undo"), 'u'));
}

static void what_is_not_understood_is_told_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *fault;
    } wrong[] = {
        {"[]", "must be one JSON object"},
        {"{\"colour\": 1}", "unknown key \"colour\"; known are theme, ascii, sort"},
        {"{\"theme\": \"solarized\"}", "theme: there is none named \"solarized\""},
        {"{\"theme\": 1}", "\"theme\" must be"},
        {"{\"ascii\": 1}", "\"ascii\" must be true or false"},
        {"{\"reverse\": 1}", "\"reverse\" must be true or false"},
        {"{\"bell\": \"no\"}", "\"bell\" must be true or false"},
        {"{\"sort\": \"beauty\"}", "sort: there is no column \"beauty\""},
        {"{\"tokens\": 0}", "\"tokens\" must be a whole number from 1 to 4096"},
        {"{\"keys\": []}", "keys: must be an object"},
        {"{\"keys\": {\"fly\": \"f\"}}", "keys.fly: no key does anything of that name"},
        {"{\"keys\": {\"undo\": 1}}", "keys.undo: must be a key such as"},
        {"{\"keys\": {\"undo\": [\"f9\", 1]}}", "keys.undo: must be a key such as"},
        {"{\"keys\": {\"undo\": \"ctrl-z\"}}", "keys.undo: \"ctrl-z\" is no key"},
        {"{\"keys\": {\"undo\": \"uu\"}}", "keys.undo: \"uu\" is no key"},
        {"{\"keys\": {\"undo\": [\"a\", \"b\", \"c\", \"d\"]}}", "keys.undo: at most 3 keys"},
        {"{\"keys\": {\"undo\": [\"f9\", \"w\"]}}", "keys.undo: \"w\" is a key of w already; give w another one first"},
        {"{\"keys\": {\"longer\": \"v\"}}", "keys.longer: \"v\" is a key of view already"},
        {"{\n\"theme\": \"dark\"", "line 2, column "},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Settings s;
        load(wrong[i].text, &s);
        assert_int_equal(s.fault_count, 1);
        if (!strstr(s.faults.data, wrong[i].fault)) fail_msg("%s\nis not\n%s", s.faults.data, wrong[i].fault);
        assert_true(s.theme == COLORS_AUTO && s.bell && s.sort < 0 && s.key_count == 0);
        settings_free(&s);
    }
}

// One bad entry costs nothing but itself, and each is told.
static void what_is_understood_is_used(void **state) {
    (void)state;
    Settings s;
    load("{\"theme\": \"solarized\", \"colour\": 1, \"tokens\": 40, \"bell\": false, \"keys\": {\"fly\": \"f\", "
         "\"undo\": \"w\", \"pin\": \"7\", \"redo\": \"uu\"}}",
         &s);
    assert_int_equal(s.fault_count, 5);
    static const char *const places[] = {"\"colour\"", "theme: ", "keys.fly: ", "keys.undo: ", "keys.redo: "};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) assert_non_null(strstr(s.faults.data, places[i]));
    assert_true(s.tokens == 40 && !s.bell && s.theme == COLORS_AUTO);
    assert_true(binding_has_key(&s, binding_of("pin"), '7'));
    assert_true(binding_has_key(&s, binding_of("undo"), 'u'));
    settings_free(&s);
    load("{\"a\\nb\": 1, \"keys\": {\"c\\nd\": \"f9\"}}", &s);
    assert_int_equal(s.fault_count, 2);
    assert_ptr_equal(strchr(s.faults.data, '\n'), strrchr(s.faults.data, '\n')); // a line for each
    settings_free(&s);
    // What is left out has its own keys again, and another one may have been given these.
    load("{\"keys\": {\"undo\": \"w\", \"pin\": \"u\", \"view\": \"p\"}}", &s);
    assert_int_equal(s.fault_count, 3);
    assert_int_equal(s.key_count, 0);
    settings_free(&s);
}

static void keys_are_given_and_kept(void **state) {
    (void)state;
    Settings s;
    Error err = {0};
    setenv("XDG_CONFIG_HOME", folder, 1);
    load_well("{\"tokens\": 40, \"keys\": {\"pin\": \"7\"}, \"bell\": false}", &s);
    assert_false(settings_bind(&s, "undo", "w", &err));
    assert_string_equal(err.message, "undo: \"w\" is a key of w already; give w another one first");
    assert_false(settings_bind(&s, "undo", "f9 7", &err));
    assert_false(settings_bind(&s, "undo", "uu", &err));
    assert_false(settings_bind(&s, "undo", "a b c d", &err));
    assert_false(settings_bind(&s, "fly", "f9", &err));
    assert_int_equal(s.key_count, 1);
    assert_true(binding_has_key(&s, binding_of("undo"), 'u'));
    assert_true(settings_bind(&s, "undo", "f9 ctrl-u", &err));
    assert_true(settings_bind(&s, "w", "u", &err));
    assert_false(settings_bind(&s, "w", "7", &err)); // it keeps what it has
    assert_string_equal(action_keys(&s, "w"), "u");
    assert_false(settings_bind(&s, "undo", "", &err)); // w has it now
    assert_string_equal(action_keys(&s, "undo"), "f9 ctrl-u");
    assert_true(settings_keep_keys(&s, "undo", path(), &err));
    assert_true(settings_keep_keys(&s, "w", path(), &err));
    settings_free(&s);
    settings_load(path(), &s);
    assert_true(s.fault_count == 0 && s.tokens == 40 && !s.bell);
    assert_string_equal(action_keys(&s, "undo"), "f9 ctrl-u");
    assert_string_equal(action_keys(&s, "pin"), "7");
    assert_true(settings_bind(&s, "w", "", &err));
    assert_true(settings_keep_keys(&s, "w", path(), &err));
    settings_free(&s);
    settings_load(path(), &s);
    assert_string_equal(action_keys(&s, "w"), "w");
    assert_int_equal(s.key_count, 2);
    settings_free(&s);
    load("{\"tokens\": 4", &s); // is left as it is
    assert_false(settings_keep_keys(&s, "undo", path(), &err));
    assert_non_null(strstr(err.message, "config.json: "));
    settings_free(&s);
}

// Two actions may change their keys with each other, and the same key may mean different things in different places.
static void keys_may_change_places(void **state) {
    (void)state;
    static const char *const right[] = {
        "{\"keys\": {\"undo\": \"w\", \"w\": \"u\"}}",
        "{\"keys\": {\"stop-writing\": \"z\"}}", // z folds on Layers alone
        "{\"keys\": {\"up\": [\"up\", \"c\"], \"down\": [\"down\", \"C\"]}}",
    };
    for (size_t i = 0; i < sizeof right / sizeof *right; i++) {
        Settings s;
        load_well(right[i], &s);
        settings_free(&s);
    }
}

static void keys_have_names(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int code;
    } keys[] = {
        {"u", 'u'},
        {"?", '?'},
        {"ä", 0xE4},
        {"space", ' '},
        {"Ctrl-R", 0x12},
        {"ctrl-h", 0},
        {"ctrl-", 0},
        {"F12", KEY_FUNCTION(12)},
        {"f13", 0},
        {"f", 'f'},
        {"PgDn", KEY_PAGE_DOWN},
        {"", 0},
        {" ", 0},
        {"\x01", 0},
        {"shift-left", KEY_SHIFT_LEFT},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        if (key_named(keys[i].name) != keys[i].code) fail_msg("\"%s\" is %d", keys[i].name, key_named(keys[i].name));
    }
    char all[512];
    snprintf(all, sizeof all, "%s", key_words());
    for (char *rest = all, *word; (word = strtok_r(rest, ", ", &rest));) assert_true(key_named(word) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_says_what_is_preferred),
        IN_FOLDER(without_a_file_everything_is_as_usual),
        IN_FOLDER(what_is_not_understood_is_told_with_its_place),
        IN_FOLDER(what_is_understood_is_used),
        IN_FOLDER(keys_are_given_and_kept),
        IN_FOLDER(keys_may_change_places),
        cmocka_unit_test(keys_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
