// Chat templates: what Jinja in the sandbox of transformers makes of them (tools/fixtures/make_chat_templates.py),
// where they are read from, and that none of them can run without end.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/json.h"
#include "loaders/chat/chat_template.h"
#include "tests/support/in_folder.h"
#include "tests/support/quant_fixtures.h"
#include "tests/support/slow_checks.h"

static const struct tm noon = {.tm_year = 126, .tm_mon = 2, .tm_mday = 1, .tm_hour = 12, .tm_yday = 59};

static bool render(const char *source, const cJSON *messages, bool prompt, const cJSON *special, Text *out,
                   Error *err) {
    ChatTemplate *chat;
    if (!chat_template_parse("t", source, strlen(source), &chat, err)) return false;
    const bool ok = chat_template_apply(chat, messages, prompt, special, &noon, out, err);
    chat_template_free(chat);
    return ok;
}

// Renders with one message, "hi" of the user.
static bool render_hi(const char *source, Text *out, Error *err) {
    cJSON *messages = cJSON_Parse("[{\"role\": \"user\", \"content\": \"hi\"}]");
    const bool ok = render(source, messages, false, NULL, out, err);
    cJSON_Delete(messages);
    return ok;
}

static void assert_renders(const char *source, const char *wanted) {
    Text text = {0};
    Error err = {0};
    if (!render_hi(source, &text, &err)) fail_msg("%s\n%s", source, err.message);
    assert_string_equal(text.data ? text.data : "", wanted);
    text_free(&text);
}

static void assert_refused(const char *source, const char *part) {
    Text text = {0};
    Error err = {0};
    if (render_hi(source, &text, &err)) fail_msg("%s gives %s", source, text.data);
    if (!strstr(err.message, part)) fail_msg("%s: \"%s\" does not say \"%s\"", source, err.message, part);
    text_free(&text);
}

// ---- as transformers ----

static void check_case(const char *source, const cJSON *item, const cJSON *messages) {
    const cJSON *wanted = cJSON_GetObjectItemCaseSensitive(item, "text");
    Text text = {0}, bytes = {0};
    Error err = {0};
    const bool ok = render(source, messages, cJSON_IsTrue(cJSON_GetObjectItem(item, "add_generation_prompt")),
                           cJSON_GetObjectItem(item, "special"), &text, &err);
    if (cJSON_IsString(wanted)) json_bytes(wanted->valuestring, &bytes);
    if (ok != cJSON_IsString(wanted)) fail_msg("%s\n%s", source, ok ? text.data : err.message);
    if (ok && (text.length != bytes.length || (text.length && memcmp(text.data, bytes.data, text.length) != 0)))
        fail_msg("%s\n-- ours\n%s\n-- Jinja's\n%s", source, text.data, bytes.data);
    text_free(&bytes);
    text_free(&text);
}

static void conversations_are_those_of_transformers(void **state) {
    (void)state;
    cJSON *fixture = fixture_json("tests/fixtures/chat/templates.json");
    const cJSON *templates = cJSON_GetObjectItem(fixture, "templates"), *item;
    int count = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(fixture, "cases")) {
        const char *name = cJSON_GetObjectItem(item, "template")->valuestring;
        check_case(cJSON_GetObjectItem(templates, name)->valuestring, item, cJSON_GetObjectItem(item, "messages"));
        count++;
    }
    assert_true(count >= 60);
    cJSON_Delete(fixture);
}

static void constructs_mean_what_they_mean_in_jinja(void **state) {
    (void)state;
    cJSON *fixture = fixture_json("tests/fixtures/chat/templates.json"),
          *messages = cJSON_Parse("[{\"role\":\"user\"}]");
    const cJSON *item;
    int count = 0;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(fixture, "snippets")) {
        check_case(cJSON_GetObjectItem(item, "source")->valuestring, item, messages);
        count++;
    }
    assert_true(count >= 100);
    cJSON_Delete(messages);
    cJSON_Delete(fixture);
}

static void variables_are_those_of_transformers(void **state) {
    (void)state;
    assert_renders("{{ tools is none }}{{ documents is none }}{{ bos_token is defined }}{{ messages | length }}",
                   "TrueTrueFalse1");
    cJSON *messages = cJSON_Parse("[{\"role\": \"user\", \"content\": null, \"tool_calls\": null, \"n\": [1, 2.5]}]");
    cJSON *special = cJSON_Parse("{\"bos_token\": \"<s>\"}");
    Text text = {0};
    Error err = {0};
    assert_true(render("{{ bos_token }}{{ 'content' in messages[0] }}{{ messages[0].n }}{{ add_generation_prompt }}",
                       messages, true, special, &text, &err));
    assert_string_equal(text.data, "<s>False[1, 2.5]True");
    text_free(&text);
    cJSON_Delete(special);
    cJSON_Delete(messages);
}

// ---- messages ----

static void messages_name_file_line_and_construct(void **state) {
    (void)state;
    assert_refused("a\n{{ 'x' | nope }}", "t: line 2: the filter \"nope\" is not supported");
    assert_refused("\n\n{% include 'x' %}", "t: line 3: one of the tags if, for, set");
    assert_refused("{% for m in messages %}\n{{ raise_exception('roles: ' ~ m.role) }}{% endfor %}",
                   "t: line 2: the template refuses this conversation: roles: user");
    assert_refused("{{ missing.field }}", "line 1: \"missing\" is undefined");
    assert_refused("{% if true %}", "line 1: endif is expected, but the template ends");
    assert_refused("{{ \n 1 ", "line 1: {{ has no }}");
    assert_refused("{{ messages[0].content + 1 }}", "+ cannot be used with a text and a number");
    assert_refused("\xFF", "is not UTF-8 text");
    assert_refused("{{ messages.append(1) }}", "may not change a list in its place");
}

static void a_conversation_has_messages(void **state) {
    (void)state;
    Text text = {0};
    Error err = {0};
    cJSON *nothing = cJSON_Parse("[]"), *wrong = cJSON_Parse("[\"hi\"]");
    assert_false(render("x", nothing, false, NULL, &text, &err));
    assert_non_null(strstr(err.message, "a conversation is a list of messages, and not empty"));
    assert_false(render("x", wrong, false, NULL, &text, &err));
    assert_non_null(strstr(err.message, "a message is an object"));
    cJSON_Delete(nothing);
    cJSON_Delete(wrong);
}

// ---- what has no end ----

static void templates_end(void **state) {
    (void)state;
    const double began = clock_seconds();
    assert_refused("{% set x = 'ab' * 999999 %}{% for i in range(90000) %}{{ 'c' in x }}{% endfor %}",
                   "takes too long");
    assert_refused("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}", "more than 64 MB");
    assert_refused("{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(0) }}", "nested too deep");
    assert_refused("{% set n = namespace(x='01234567') %}{% for i in range(100) %}{% set n.x = n.x + n.x %}"
                   "{% endfor %}",
                   "more than 8 MB");
    assert_refused("{% set n = namespace(x=[1]) %}{% for i in range(100) %}{% set n.x = n.x + n.x %}{% endfor %}",
                   "more than 64 MB");
    assert_refused(
        "{% for i in range(90000) %}{% for k in range(9) %}{{ 'a long text that is printed' * 99 }}{% endfor %}"
        "{% endfor %}",
        "t: line 1: ");
    assert_refused("{{ 'ab' * 9999999999 }}", "more than 8 MB");
    assert_refused("{% set n = namespace(x=[]) %}{% for i in range(9000) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}",
                   "nested too deep");
    assert_refused("{{ 9223372036854775807 + 1 }}", "too large");
    assert_refused("{{ 10 ** 99 }}", "too large");
    assert_true(clock_seconds() - began < 30);
}

// What looks through much and makes nothing is counted by what it looks through.
static void looking_is_counted(void **state) {
    (void)state;
    static const char *const slow[] = {
        "{% set x = 'a' * 8000000 %}{% for i in range(40) %}{{ x[9999999] }}{% endfor %}",
        "{% set x = ' ' * 8000000 %}{% for i in range(40) %}{{ x.strip() }}{% endfor %}",
        "{% set x = 'a' * 8000000 %}{% for i in range(40) %}{% set y = x.splitlines() %}{% endfor %}",
    };
    assert_refused("{{ ('a' * 20000).strip('b' * 10000 ~ 'a') }}", "takes too long");
    assert_refused("{{ ('a' * 20000) | trim('b' * 10000 ~ 'a') }}", "takes too long");
    assert_refused("{% set x = 'a' * 4000000 %}{% for i in range(200) %}{% set y = x.startswith(x) %}{% endfor %}",
                   "takes too long");
    assert_refused("{% set x = 'a' * 4000000 %}{% for i in range(200) %}{% set y = x < x %}{% endfor %}",
                   "takes too long");
    for (size_t i = 0; i < sizeof slow / sizeof *slow && many_cases(); i++) assert_refused(slow[i], "takes too long");
}

static void list_names(Text *out, int count, const char *before, const char *behind) {
    for (int i = 0; i < count; i++) text_addf(out, "%s%d%s", before, i, behind);
}

static void names_are_counted(void **state) {
    (void)state;
    Text variables = {0}, fields = {0}, macro = {0};
    list_names(&variables, 15000, "{% set a", " = 1 %}");
    assert_refused(variables.data, "takes too long");
    text_addf(&fields, "{%% set d = {");
    list_names(&fields, 2000, "'a", "': 1, ");
    text_addf(&fields, "} %%}{%% for i in range(6000) %%}{{ d.a1999 }}{%% endfor %%}");
    assert_refused(fields.data, "takes too long");
    text_addf(&macro, "{%% macro m(");
    list_names(&macro, 8000, "a", "=1,");
    text_addf(&macro, "b=1) %%}{%% endmacro %%}{{ m(");
    list_names(&macro, 8000, "a", "=1,");
    text_addf(&macro, ") }}");
    assert_refused(macro.data, "takes too long");
    text_free(&variables);
    text_free(&fields);
    text_free(&macro);
}

static void sources_are_not_nested_without_end(void **state) {
    (void)state;
    static const char *const pieces[] = {"(", "[", "not ", "-", "{% if x %}", "{% for x in y %}", "{{ x[", "x(", "{"};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        Text source = {0}, out = {0};
        Error err = {0};
        text_addf(&source, "%s", *pieces[i] == '{' && pieces[i][1] ? "" : "{{ ");
        for (int k = 0; k < 20000; k++) text_addf(&source, "%s", pieces[i]);
        assert_false(render_hi(source.data, &out, &err));
        assert_non_null(strstr(err.message, "t: line 1: "));
        text_free(&source);
    }
}

// ---- files ----

static ChatTemplate *loaded(void) {
    ChatTemplate *chat;
    Error err = {0};
    if (!chat_template_load(folder, &chat, &err)) fail_msg("%s", err.message);
    return chat;
}

static void assert_loads(const char *wanted) {
    Text text = {0};
    Error err = {0};
    ChatTemplate *chat = loaded();
    cJSON *messages = cJSON_Parse("[{\"role\": \"user\"}]");
    assert_non_null(chat);
    assert_true(chat_template_apply(chat, messages, false, NULL, &noon, &text, &err));
    assert_string_equal(text.data, wanted);
    text_free(&text);
    cJSON_Delete(messages);
    chat_template_free(chat);
}

static void templates_are_found(void **state) {
    (void)state;
    assert_null(loaded());
    folder_put_text(folder, "tokenizer_config.json", "{\"bos_token\": \"<s>\", \"chat_template\": null}");
    assert_null(loaded());
    folder_put_text(folder, "chat_template.json", "{\"chat_template\": \"processor\"}");
    assert_loads("processor");
    folder_put_text(folder, "tokenizer_config.json", "{\"chat_template\": \"config\"}");
    assert_loads("config");
    folder_put_text(folder, "tokenizer_config.json",
                    "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"tools\"},"
                    "{\"name\": \"default\", \"template\": \"named\"}]}");
    assert_loads("named");
    folder_put_text(folder, "chat_template.jinja", "file\n");
    assert_loads("file");
}

// U+0000 is a character like others, in a file and in JSON.
static void templates_may_hold_nul(void **state) {
    (void)state;
    static const char source[] = "{{ 'a' }}\0b";
    folder_put_text(folder, "tokenizer_config.json", "{\"chat_template\": \"a\\u0000{{ 'b\\u0000' | length }}\"}");
    ChatTemplate *from_json = loaded();
    free(folder_write(folder, "chat_template.jinja", source, sizeof source - 1));
    ChatTemplate *from_file = loaded();
    cJSON *messages = cJSON_Parse("[{\"role\": \"user\"}]");
    Text text = {0};
    assert_true(chat_template_apply(from_json, messages, false, NULL, &noon, &text, NULL));
    assert_int_equal(text.length, 3);
    assert_memory_equal(text.data,
                        "a\0"
                        "2",
                        3);
    text_clear(&text);
    assert_true(chat_template_apply(from_file, messages, false, NULL, &noon, &text, NULL));
    assert_int_equal(text.length, 3);
    assert_memory_equal(text.data, "a\0b", 3);
    text_free(&text);
    cJSON_Delete(messages);
    chat_template_free(from_file);
    chat_template_free(from_json);
}

static void damaged_files_are_named(void **state) {
    (void)state;
    ChatTemplate *chat;
    Error err = {0};
    folder_put_text(folder, "tokenizer_config.json",
                    "{\"chat_template\": [{\"name\": \"tool_use\", \"template\": \"x\"}]}");
    assert_false(chat_template_load(folder, &chat, &err));
    assert_non_null(strstr(err.message, "tokenizer_config.json: \"chat_template\" must be a text, or a list"));
    folder_put_text(folder, "tokenizer_config.json", "{\"chat_template\": \"a\\n{% if %}\"}");
    assert_false(chat_template_load(folder, &chat, &err));
    assert_non_null(strstr(err.message, "tokenizer_config.json, chat_template: line 2: a value is expected"));
    assert_null(chat);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(conversations_are_those_of_transformers),
        cmocka_unit_test(constructs_mean_what_they_mean_in_jinja),
        cmocka_unit_test(variables_are_those_of_transformers),
        cmocka_unit_test(messages_name_file_line_and_construct),
        cmocka_unit_test(a_conversation_has_messages),
        cmocka_unit_test(templates_end),
        cmocka_unit_test(looking_is_counted),
        cmocka_unit_test(names_are_counted),
        cmocka_unit_test(sources_are_not_nested_without_end),
        IN_FOLDER(templates_are_found),
        IN_FOLDER(templates_may_hold_nul),
        IN_FOLDER(damaged_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
