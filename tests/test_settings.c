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

static bool load(const char *text, Settings *out, Error *err) {
    char path[4200];
    folder_put_text(folder, "config.json", text);
    snprintf(path, sizeof path, "%s/config.json", folder);
    return settings_load(path, out, err);
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
    Error err = {0};
    if (!load(
            "{\"theme\": \"colorblind\", \"ascii\": true, \"sort\": \"kurtosis\", \"reverse\": true, \"tokens\": 200, "
            "\"bell\": false, \"keys\": {\"undo\": \"f9\", \"page-up\": [\"ctrl-u\", \"pgup\"], \"pin\": \"7\"}}",
            &s, &err))
        fail_msg("%s", err.message);
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
    Error err = {0};
    assert_true(settings_load(nowhere(), &s, &err));
    assert_int_equal(s.theme, COLORS_AUTO);
    assert_true(s.bell && s.sort < 0 && !s.tokens && !s.key_count);
    assert_true(binding_has_key(&s, binding_of("undo"), 'u'));
}

static void what_is_not_understood_is_told_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } wrong[] = {
        {"[]", "config.json: must be one JSON object"},
        {"{\"colour\": 1}", "config.json: settings: unknown key \"colour\"; known are theme"},
        {"{\"theme\": \"solarized\"}", "config.json: theme: there is none named \"solarized\""},
        {"{\"theme\": 1}", "config.json: \"theme\" must be"},
        {"{\"ascii\": 1}", "config.json: \"ascii\" must be true or false"},
        {"{\"sort\": \"beauty\"}", "config.json: sort: there is no column \"beauty\""},
        {"{\"tokens\": 0}", "config.json: \"tokens\" must be a whole number from 1 to 4096"},
        {"{\"keys\": []}", "config.json: keys: must be an object"},
        {"{\"keys\": {\"fly\": \"f\"}}", "config.json: keys.fly: there is no such action"},
        {"{\"keys\": {\"undo\": 1}}", "config.json: keys.undo: must be a key such as"},
        {"{\"keys\": {\"undo\": \"ctrl-z\"}}", "config.json: keys.undo: \"ctrl-z\" is no key"},
        {"{\"keys\": {\"undo\": \"uu\"}}", "config.json: keys.undo: \"uu\" is no key"},
        {"{\"keys\": {\"undo\": [\"a\", \"b\", \"c\", \"d\"]}}", "config.json: keys.undo: at most 3 keys"},
        {"{\"keys\": {\"undo\": \"w\"}}", "config.json: keys.undo: one of \"w\" is a key of w already"},
        {"{\"keys\": {\"longer\": \"v\"}}", "keys.longer: one of \"v\" is a key of view already"},
        {"{\"theme\": \"dark\"", "config.json: "},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Settings s;
        Error err = {0};
        assert_false(load(wrong[i].text, &s, &err));
        if (!strstr(err.message, wrong[i].message)) fail_msg("%s\nis not\n%s", err.message, wrong[i].message);
        assert_true(s.theme == COLORS_AUTO && s.key_count == 0 && !s.keys); // as if it was not there
    }
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
        Error err = {0};
        if (!load(right[i], &s, &err)) fail_msg("%s", err.message);
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
        IN_FOLDER(keys_may_change_places),
        cmocka_unit_test(keys_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
