// The table of keys and commands, row by row.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tui/key_names.h"
#include "tui/keys.h"

#define KEYS_OF_ROW (sizeof bindings->keys / sizeof *bindings->keys)

static bool has_key(const Binding *row, int code) {
    for (size_t i = 0; i < KEYS_OF_ROW; i++) {
        if (row->keys[i] == code) return true;
    }
    return false;
}

static void no_row_takes_the_key_of_a_later_one(void **state) {
    (void)state;
    for (int later = 0; later < binding_count; later++) {
        for (int i = 0; i < later; i++) {
            const Binding *a = &bindings[i], *b = &bindings[later];
            if (a->where != b->where && a->where != EVERYWHERE && b->where != EVERYWHERE) continue;
            for (size_t k = 0; k < KEYS_OF_ROW; k++) {
                if (b->keys[k] && has_key(a, b->keys[k]))
                    fail_msg("\"%s\" (%s) stands before \"%s\" (%s)", a->shown, a->help, b->shown, b->help);
            }
        }
    }
}

static void every_row_can_be_asked_for_and_says_what_it_does(void **state) {
    (void)state;
    const Binding *told = NULL; // the last key with a help, of which those without are a part
    for (int i = 0; i < binding_count; i++) {
        const Binding *row = &bindings[i];
        if (!row->keys[0] && !row->word) fail_msg("row %d has neither a key nor a word", i);
        if (row->keys[0] ? !row->shown || !row->run : row->shown || row->bar)
            fail_msg("row %d: a key is shown and runs something, a command alone is not shown", i);
        if (row->word && (!row->help || !*row->word || strchr(row->word, ' ')))
            fail_msg("row %d: a command is one word with a help", i);
        if (!row->help && (!told || told->group != row->group)) fail_msg("row %d is explained nowhere", i);
        if (row->help && row->keys[0]) told = row;
    }
}

static void every_command_has_a_word_of_its_own(void **state) {
    (void)state;
    for (int i = 0; i < binding_count; i++) {
        const Binding *row = &bindings[i];
        if ((row->text != NULL) != (row->run_text != NULL)) fail_msg("row %d: what takes the text of the command?", i);
        if (row->word && !row->run && !row->run_text) fail_msg("\":%s\" does nothing", row->word);
        if (!row->text && row->completion != COMPLETE_NOTHING) fail_msg("row %d completes what it does not take", i);
        for (int j = 0; row->word && j < i; j++) {
            if (bindings[j].word && strcmp(bindings[j].word, row->word) == 0)
                fail_msg("\":%s\" stands twice", row->word);
        }
    }
}

// Else it cannot be given another key, and the help cannot show that it has one.
static void every_key_does_something_that_has_a_name(void **state) {
    (void)state;
    for (int i = 0; i < binding_count; i++) {
        const Binding *row = &bindings[i];
        if (row->keys[0] && !binding_name(row)) fail_msg("\"%s\" (%s) has no name", row->shown, row->help);
        if (row->text && (!row->example || strncmp(row->example, row->word, strlen(row->word)) != 0))
            fail_msg("\":%s\" has no example", row->word);
    }
}

// The compiler sees a table that is too short, but not a hole in it.
static void every_column_scheme_and_group_has_a_name(void **state) {
    (void)state;
    for (int i = 0; i < COLUMN_COUNT; i++)
        assert_true(column_table[i].title && column_table[i].name && column_table[i].help && column_table[i].width > 0);
    for (int i = 0; i < COLORS_COUNT; i++) assert_non_null(color_scheme_names[i]);
    for (int i = 0; i < KEY_GROUPS; i++) assert_non_null(key_group_titles[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_row_takes_the_key_of_a_later_one),
        cmocka_unit_test(every_row_can_be_asked_for_and_says_what_it_does),
        cmocka_unit_test(every_command_has_a_word_of_its_own),
        cmocka_unit_test(every_key_does_something_that_has_a_name),
        cmocka_unit_test(every_column_scheme_and_group_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
