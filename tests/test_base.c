// base/: what every room leans on.
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <pwd.h>
#include <cmocka.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/expand.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/random.h"
#include "tests/support/in_folder.h"

static size_t files_in_folder(void) {
    size_t count = 0;
    DIR *listing = opendir(folder);
    while (listing && readdir(listing)) count++;
    closedir(listing);
    return count - 2; // without . and ..
}

// ------------------------------------------------------------------------------------------------------------------
// error

static void errors(void **state) {
    (void)state;
    Error err = {0};
    assert_false(error_set(&err, "tensor %s is %d", "x", 3));
    assert_string_equal(err.message, "tensor x is 3");
    assert_false(error_prefix(&err, "%s", "file"));
    assert_string_equal(err.message, "file: tensor x is 3");
    error_prefix(&err, "%s", "file"); // said twice on the way up
    assert_string_equal(err.message, "file: tensor x is 3");
    error_prefix(&err, "%s", "fil");
    assert_string_equal(err.message, "fil: file: tensor x is 3");
    assert_false(error_memory(&err, "weights"));
    assert_non_null(strstr(err.message, "out of memory for weights"));
    assert_false(err.stopped);
    assert_false(error_stopped(&err));
    assert_true(err.stopped);
    assert_false(error_set(&err, "other"));
    assert_false(err.stopped);
    assert_false(error_set(NULL, "x") || error_prefix(NULL, "x") || error_memory(NULL, "x") || error_stopped(NULL));
}

static void long_errors(void **state) {
    (void)state;
    char text[3000];
    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    Error err = {0};
    error_set(&err, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    error_prefix(&err, "short");
    assert_memory_equal(err.message, "short: aaa", 10);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    error_prefix(&err, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

// ------------------------------------------------------------------------------------------------------------ array,
// text

static void arrays(void **state) {
    (void)state;
    unsigned char *data = array_new(3, 7);
    assert_non_null(data);
    assert_int_equal((uintptr_t)data % 64, 0);
    for (int i = 0; i < 21; i++) assert_int_equal(data[i], 0);
    free(data);
    free(array_new(0, 8));
    assert_null(array_new(SIZE_MAX / 2, 3));
    assert_null(array_new(SIZE_MAX, 1));
    int *items = NULL;
    size_t count = 0, capacity = 0;
    for (int i = 0; i < 1000; i++) {
        assert_true(array_grow(&items, count, &capacity, sizeof *items));
        items[count++] = i;
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(items[i], i);
    size_t huge = SIZE_MAX / 2;
    assert_false(array_grow(&items, huge, &huge, sizeof *items)); // the product overflows
    assert_int_equal(items[999], 999);
    free(items);
}

static void texts(void **state) {
    (void)state;
    Text text = {0};
    text_add(&text, "", 0);
    assert_string_equal(text.data, "");
    for (int i = 0; i < 100; i++) text_addf(&text, "%d,", i);
    text_add(&text, "a\0b", 3);
    assert_int_equal(text.length, 10 * 2 + 90 * 3 + 3);
    assert_memory_equal(text.data, "0,1,2,", 6);
    assert_int_equal(text.data[text.length], '\0');
    text_clear(&text);
    assert_string_equal(text.data, "");
    text_add(&text, text.data, SIZE_MAX / 2 + 1); // refused, not tried
    assert_true(text.failed);
    text_add(&text, "x", 1);
    assert_int_equal(text.length, 0);
    text_free(&text);
    assert_null(text.data);
}

static void printable(const char *in, size_t length, bool ascii, const char *want) {
    char *out = text_printable(in, length, ascii);
    assert_string_equal(out, want);
    free(out);
}

static void printable_texts(void **state) {
    (void)state;
    printable("a\x1b[31m\n\x7f", 8, false, "a\xEF\xBF\xBD[31m\xEF\xBF\xBD\xEF\xBF\xBD");
    const char override[] = {'\xC3', '\xA9', '\xC2', '\x9B',
                             '\xE2', '\x80', '\xAE'}; // C1 control, bidirectional override
    printable(override, sizeof override, false, "\xC3\xA9\xEF\xBF\xBD\xEF\xBF\xBD");
    printable("\xC3\xA9z", 3, true, "?z");
    printable("\xC3", 1, false, "\xEF\xBF\xBD");
    printable("a\0b", 3, true, "a?b");
    printable("", 0, false, "");
}

static void utf8(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t length;
        bool good;
    } cases[] = {
        {"", 0, true},
        {"a\0b", 3, true},
        {"\xC3\xA9", 2, true},
        {"\xED\x9F\xBF", 3, true},
        {"\xEE\x80\x80", 3, true},
        {"\xF4\x8F\xBF\xBF", 4, true},
        {"\xC0\x80", 2, false},
        {"\xC1\xBF", 2, false},
        {"\xE0\x9F\xBF", 3, false},
        {"\xF0\x8F\xBF\xBF", 4, false},
        {"\xED\xA0\x80", 3, false},
        {"\xF4\x90\x80\x80", 4, false},
        {"\x80", 1, false},
        {"\xC3", 1, false},
        {"\xE2\x82", 2, false},
        {"\xF8\x88\x80\x80\x80", 5, false},
        {"\xFF", 1, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(text_is_utf8(cases[i].bytes, cases[i].length), cases[i].good);
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        if (code >= 0xD800 && code <= 0xDFFF) continue;
        char bytes[4];
        size_t n = utf8_write(code, bytes);
        uint32_t back;
        if (utf8_read(bytes, n, &back) != n || back != code || utf8_read(bytes, n - 1, &back)) fail_msg("U+%04X", code);
    }
}

// -------------------------------------------------------------------------------------------------------------------
// json

static cJSON *parsed(const char *text) {
    Error err = {0};
    cJSON *json = json_parse(text, strlen(text), &err);
    if (!json) fail_msg("%s: %s", text, err.message);
    return json;
}

static void json_refused(const char *text, size_t length, const char *reason) {
    Error err = {0};
    cJSON *json = json_parse(text, length, &err);
    cJSON_Delete(json);
    assert_null(json);
    if (!strstr(err.message, reason)) fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
}

// `message` is the end of it: nothing more is guessed.
static void json_refused_alone(const char *text, const char *message) {
    Error err = {0};
    assert_null(json_parse_strict(text, strlen(text), &err));
    const size_t length = strlen(err.message), end = strlen(message);
    if (length < end || strcmp(err.message + length - end, message) != 0) fail_msg("%s: %s", text, err.message);
}

static void json_values(void **state) {
    (void)state;
    cJSON_Delete(parsed(" {\"a\": [1, 2]} \r\n\t"));
    json_refused("", 0, "cannot be read");
    json_refused("{\"a\":1", 6, "cannot be read");
    json_refused("{} x", 4, "unexpected text after the JSON value at line 1, column 4");
    json_refused("{}\0", 3, "unexpected text after");
    json_refused("\"\xff\"", 3, "not UTF-8");
    for (int depth = 100; depth <= 101; depth++) {
        Text text = {0};
        text_addf(&text, "{\"[[[[\\\"[\":"); // brackets in strings do not count
        for (int i = 1; i < depth; i++) text_add(&text, "[", 1);
        for (int i = 1; i < depth; i++) text_add(&text, "]", 1);
        text_add(&text, "}", 1);
        if (depth == 100)
            cJSON_Delete(parsed(text.data));
        else
            json_refused(text.data, text.length, "nested deeper");
        text_free(&text);
    }
}

// cJSON would end a string at U+0000.
static void json_keeps_nul(void **state) {
    (void)state;
    Error err = {0};
    const char *text;
    Text bytes = {0};
    cJSON *json = parsed("{\"a\\u0000b\":\"x\\u0000y\",\"a\":\"\\\\u0000\",\"c\":\"\\u0000\\\\\\u0000\"}");
    json_bytes(json->child->string, &bytes);
    assert_true(bytes.length == 3 && memcmp(bytes.data, "a\0b", 3) == 0);
    json_bytes(json->child->valuestring, &bytes);
    assert_true(bytes.length == 3 && memcmp(bytes.data, "x\0y", 3) == 0);
    assert_true(json_string(json, "a", NULL, &text, &err) && strcmp(text, "\\u0000") == 0);
    assert_true(json_string(json, "c", NULL, &text, &err));
    json_bytes(text, &bytes);
    assert_true(bytes.length == 3 && memcmp(bytes.data, "\0\\\0", 3) == 0);
    char *printed = json_print(json);
    assert_string_equal(printed, "{\"a\\u0000b\":\"x\\u0000y\",\"a\":\"\\\\u0000\",\"c\":\"\\u0000\\\\\\u0000\"}");
    free(printed);
    cJSON_Delete(json);
    json = json_from_bytes("a\0\0b\0", 5);
    json_bytes(json->valuestring, &bytes);
    assert_true(bytes.length == 5 && memcmp(bytes.data, "a\0\0b\0", 5) == 0);
    printed = json_print(json);
    assert_string_equal(printed, "\"a\\u0000\\u0000b\\u0000\"");
    free(printed);
    cJSON_Delete(json);
    text_free(&bytes);
    json_refused("[\"\\u0000\",", 10, "cannot be read at line 1, column 10"); // of the text as it was
    json_refused("\"\xC0\x80\"", 4, "not UTF-8");
}

// As Python's json module writes and reads them.
static void json_of_python(void **state) {
    (void)state;
    Error err = {0};
    double number;
    cJSON *json =
        parsed("{\"a\":[NaN,-Infinity, Infinity],\"n\":NaN,\"s\":\"NaN \\\" Infinity\",\"x\":{\"k\":1,\"k\":2},"
               "\"n\":Infinity,\"q\":NaN}");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "a");
    assert_false(cJSON_IsNumber(cJSON_GetArrayItem(list, 0)));
    assert_true(cJSON_GetNumberValue(cJSON_GetArrayItem(list, 1)) == -(double)INFINITY);
    assert_true(cJSON_GetNumberValue(cJSON_GetArrayItem(list, 2)) == (double)INFINITY);
    assert_string_equal(cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "s")), "NaN \" Infinity");
    assert_int_equal(cJSON_GetArraySize(json), 5);
    assert_true(json_number(json, "n", 0, &number, &err) && number == (double)INFINITY); // the last of two
    assert_true(json_number(cJSON_GetObjectItemCaseSensitive(json, "x"), "k", 0, &number, &err) && number == 2);
    assert_false(json_number(json, "q", 0, &number, &err));
    cJSON_Delete(json);
    json = parsed("{\"\\ud800\":\"\\uDC00\\ud800 \\ud83d\\ude00\\\\ud800\",\"b\":\"\\ud800\\u0041\\u0000\"}");
    const char *text;
    assert_true(json_string(json, "\uFFFD", NULL, &text, &err));
    assert_string_equal(text,
                        "\uFFFD\uFFFD \U0001F600\\ud800"); // a pair is a character, an escaped backslash no escape
    assert_true(json_string(json, "b", NULL, &text, &err));
    assert_string_equal(text, "\uFFFDA\xC0\x80");
    cJSON_Delete(json);
    assert_null(json_parse_strict("[\"\\u0000\\ud800\"]", 17, &err));
    assert_non_null(strstr(err.message, "unpaired surrogate at line 1, column 9"));
    assert_null(json_parse_strict("\"\\uDC00\"", 8, &err));
    json_refused("[\"\\u12\"]", 8, "cannot be read at line 1, column 3");
    json_refused("[NaNs]", 6, "at line 1, column 5");
    json_refused("[infinity]", 10, "at line 1, column 2");
    json_refused("{\"n\":nan}", 9, "at line 1, column 6");
    json_refused("{\n \"é\": 1,\n}", 13, "at line 3, column 1: nothing stands behind the last comma");
    json_refused("[1, ]", 5, "at line 1, column 5: nothing stands behind the last comma");
    json_refused("{\n // no\n}", 10, "at line 2, column 2: JSON has no comments");
    json_refused("{'a': 1}", 8, "at line 1, column 2: names and texts stand in double quotes");
    json_refused("{\"a\": [1, 2", 11, "the text ends too early");
    json_refused("{\"a\": \"b", 8, "the text ends too early");
    json_refused("{\"a\": [1]", 9, "the text ends too early");
    json_refused_alone("[\"a\";]", "at line 1, column 5");
    json_refused_alone("{\"a\": {}\"b\": 1}", "at line 1, column 9");
    json_refused_alone("{\"a\": [1,]\n}", "at line 1, column 10: nothing stands behind the last comma");
    json_refused_alone("{a: 1}", "at line 1, column 2");
    json_refused_alone("[\"it'\\s\"]", "at line 1, column 6");
    json_refused_alone("[\"[^/]\\s, ]\"]", "at line 1, column 7");
    json_refused_alone("[\"]\\ud800\"]", "at line 1, column 4");
    json_refused_alone("{\"a\": /tmp}", "at line 1, column 7");
    json_refused_alone("[[1]x]", "at line 1, column 5");
    json_refused_alone("{\"a\": {}x}", "at line 1, column 9");
    json_refused_alone("{\"a\": 1, [\"b\": 2]}", "at line 1, column 10");
    json_refused_alone("{\"a\": 1, , \"b\": 2}", "at line 1, column 10");
    json = json_parse_strict("{\"k\":1,\"k\":2}", 13, &err);
    assert_int_equal(cJSON_GetArraySize(json), 2);
    cJSON_Delete(json);
    assert_null(json_parse_strict("NaN", 3, &err));
}

// What stands twice is found among many keys, too.
static void json_many_keys(void **state) {
    (void)state;
    Text text = {0};
    for (int i = 0; i < 5000; i++) text_addf(&text, "%c\"key%d\":%d", i ? ',' : '{', i % 4000, i);
    text_addf(&text, "}");
    cJSON *json = parsed(text.data);
    assert_int_equal(cJSON_GetArraySize(json), 4000);
    for (const cJSON *item = json->child; item; item = item->next) {
        int i = atoi(item->string + 3);
        assert_int_equal(item->valueint, i < 1000 ? i + 4000 : i);
    }
    cJSON_Delete(json);
    text_free(&text);
}

static void path_expansion(void **state) {
    (void)state;
    static const struct {
        const char *path, *expanded;
    } cases[] = {
        {"~", "/h/x"},
        {"~/a", "/h/x/a"},
        {"a/~", "a/~"},
        {"$QD_A/b", "one/b"},
        {"${QD_A}b$QD_A", "onebone"},
        {"$QD_NONE/$", "$QD_NONE/$"},
        {"${QD_A", "${QD_A"},
        {"${}$$QD_A", "${}$one"},
        {"", ""},
        {"~no-such-user/x", "~no-such-user/x"},
    };
    char *home = strdup(getenv("HOME") ? getenv("HOME") : "");
    setenv("HOME", "/h/x", 1);
    setenv("QD_A", "one", 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *expanded = path_expand(cases[i].path);
        assert_string_equal(expanded, cases[i].expanded);
        free(expanded);
    }
    setenv("HOME", home, 1);
    unsetenv("QD_A");
    free(home);
}

static void json_getters(void **state) {
    (void)state;
    cJSON *json = parsed("{\"n\":2.5,\"i\":7,\"b\":true,\"s\":\"x\",\"z\":null}");
    Error err = {0};
    double number;
    int64_t integer;
    bool flag;
    const char *text;
    assert_true(json_number(json, "n", 1, &number, &err) && number == 2.5);
    assert_true(json_number(json, "missing", 1, &number, &err) && number == 1);
    assert_true(json_number(json, "z", 3, &number, &err) && number == 3); // null counts as missing
    assert_true(json_integer(json, "i", 0, 0, 7, &integer, &err) && integer == 7);
    assert_true(json_bool(json, "b", false, &flag, &err) && flag);
    assert_true(json_string(json, "s", NULL, &text, &err) && strcmp(text, "x") == 0);
    assert_true(json_string(json, "missing", NULL, &text, &err) && !text);
    assert_false(json_number(json, "s", 1, &number, &err));
    assert_string_equal(err.message, "\"s\" must be a number");
    assert_false(json_integer(json, "n", 0, 0, 9, &integer, &err));
    assert_false(json_integer(json, "i", 0, 0, 6, &integer, &err));
    assert_string_equal(err.message, "\"i\" must be a whole number from 0 to 6");
    assert_false(json_bool(json, "n", false, &flag, &err) || json_string(json, "n", NULL, &text, &err));
    static const char *const known[] = {"n", "i", "b", "s", "z", NULL}, *const fewer[] = {"n", "i", NULL};
    assert_true(json_only_keys(json, "recipe", known, &err));
    assert_false(json_only_keys(json, "recipe", fewer, &err));
    assert_string_equal(err.message, "recipe: unknown key \"b\"; known are n, i");
    cJSON_Delete(json);
}

// -------------------------------------------------------------------------------------------------------------------
// file

static void files(void **state) {
    (void)state;
    char *path = path_join(folder, "file"), *data;
    size_t size;
    Error err = {0};
    assert_false(file_read(path, 100, &data, &size, &err));
    assert_non_null(strstr(err.message, "cannot be opened"));
    assert_true(file_write(path, "a\0b", 3, &err));
    assert_true(file_exists(path) && !folder_exists(path));
    assert_true(file_read(path, 3, &data, &size, &err));
    assert_int_equal(size, 3);
    assert_memory_equal(data, "a\0b", 4);
    free(data);
    assert_false(file_read(path, 2, &data, &size, &err));
    assert_non_null(strstr(err.message, "3 bytes is more than the 2"));
    assert_false(file_read(folder, 100, &data, &size, &err) || file_read("/dev/zero", 100, &data, &size, &err));
    assert_non_null(strstr(err.message, "not a regular file"));
    assert_true(file_write(path, "", 0, &err) && file_read(path, 0, &data, &size, &err));
    assert_int_equal(size, 0);
    free(data);
    struct stat info;
    mode_t mask = umask(0);
    umask(mask);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0666 & ~mask);
    assert_int_equal(files_in_folder(), 1);
    free(path);
}

static void expect_old_file(const char *path) {
    char *data;
    size_t size;
    assert_true(file_read(path, 100, &data, &size, NULL));
    assert_string_equal(data, "old");
    free(data);
    assert_int_equal(files_in_folder(), 1);
}

// A limit on file sizes stands for a full disk: writing stops in the middle.
static void full_disk(void **state) {
    (void)state;
    char *path = path_join(folder, "file");
    assert_true(file_write(path, "old", 3, NULL));
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){.rlim_cur = 100000, .rlim_max = before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    char *big = array_new(1, 1000000);
    Error err = {0};
    setrlimit(RLIMIT_FSIZE, &small);
    bool written = file_write(path, big, 1000000, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    free(big);
    assert_false(written);
    assert_non_null(strstr(err.message, "cannot be written"));
    assert_non_null(strstr(err.message, "nothing was changed"));
    expect_old_file(path);
    free(path);
}

static void unwritable(void **state) {
    (void)state;
    Error err = {0};
    assert_false(file_write(nowhere(), "x", 1, &err));
    assert_non_null(strstr(err.message, "/no-such-folder/file: cannot be written"));
    char *path = path_join(folder, "file"), *taken = path_join(folder, "taken");
    assert_true(folder_make(taken, &err));
    assert_false(file_write(taken, "x", 1, &err)); // a folder is not replaced by a file
    assert_int_equal(files_in_folder(), 1);
    assert_int_equal(rmdir(taken), 0);
    assert_true(file_write(path, "old", 3, &err));
    chmod(folder, 0500);
    if (access(folder, W_OK) != 0) assert_false(file_write(path, "new", 3, &err)); // the superuser may write anyway
    chmod(folder, 0700);
    expect_old_file(path);
    free(path);
    free(taken);
}

// What is not a file of its own stays what it is.
static void links_and_pipes(void **state) {
    (void)state;
    Error err = {0};
    struct stat info;
    char *path = path_join(folder, "file"), *link = path_join(folder, "link"), *pipe = path_join(folder, "pipe");
    char *below = path_join(folder, "below"), *target = path_join(below, "target");
    assert_true(folder_make(below, &err));
    assert_int_equal(symlink("below/target", link), 0);
    assert_false(file_write(link, "x", 1, &err)); // it leads nowhere yet
    assert_non_null(strstr(err.message, "leads nowhere"));
    assert_true(file_write(target, "old", 3, &err) && chmod(target, 0640) == 0 && file_write(link, "new", 3, &err));
    assert_true(lstat(link, &info) == 0 && S_ISLNK(info.st_mode));
    assert_true(stat(target, &info) == 0 && (info.st_mode & 0777) == 0640 && info.st_size == 3);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    int reader = open(pipe, O_RDONLY | O_NONBLOCK);
    assert_true(file_write(pipe, "through", 7, &err));
    char text[8] = "";
    assert_int_equal(read(reader, text, sizeof text), 7);
    assert_string_equal(text, "through");
    assert_true(lstat(pipe, &info) == 0 && S_ISFIFO(info.st_mode));
    assert_true(file_write("/dev/null", "x", 1, &err) && stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
    assert_false(file_write("/dev/full", "x", 1, &err));
    assert_non_null(strstr(err.message, "/dev/full: cannot be written"));
    close(reader);
    unlink(pipe), unlink(link), unlink(target), rmdir(below);
    free(path), free(link), free(pipe), free(below), free(target);
}

// Standard output that goes to a file is added to, not replaced.
static void standard_output(void **state) {
    (void)state;
    char *path = path_join(folder, "output");
    fflush(stdout);
    int saved = dup(STDOUT_FILENO), file = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(saved >= 0 && file >= 0 && dup2(file, STDOUT_FILENO) >= 0);
    printf("before ");
    bool written = file_write("/dev/stdout", "data ", 5, NULL);
    printf("after");
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved), close(file);
    char *data = NULL;
    size_t size;
    assert_true(written && file_read(path, 100, &data, &size, NULL));
    assert_string_equal(data, "before data after");
    free(data), free(path);
}

static void folders(void **state) {
    (void)state;
    Error err = {0};
    char *deep = path_join(folder, "a/b//c/");
    assert_true(folder_make(deep, &err) && folder_make(deep, &err) && folder_exists(deep));
    free(deep);
    folder_put_text(folder, "file", "x");
    char *below = path_join(folder, "file/d");
    assert_false(folder_make(below, &err));
    assert_non_null(strstr(err.message, "cannot be created"));
    free(below);
    char *joined = path_join("a/", "b");
    assert_string_equal(joined, "a/b");
    free(joined);
    joined = path_join("", "b");
    assert_string_equal(joined, "/b");
    free(joined);
}

static void expect_folder(char *path, const char *want) {
    if (want)
        assert_string_equal(path, want);
    else
        assert_null(path);
    free(path);
}

static void user_folders(void **state) {
    (void)state;
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL,
         *xdg = getenv("XDG_CACHE_HOME") ? strdup(getenv("XDG_CACHE_HOME")) : NULL;
    setenv("HOME", "/h/x", 1);
    setenv("XDG_CACHE_HOME", "/cache", 1);
    expect_folder(folder_cache(), "/cache/quantdial");
    setenv("XDG_CACHE_HOME", "relative", 1); // ignored, says the specification
    expect_folder(folder_cache(), "/h/x/.cache/quantdial");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("HOME");
    expect_folder(folder_cache(), NULL);
    if (home) setenv("HOME", home, 1);
    if (xdg) setenv("XDG_CACHE_HOME", xdg, 1);
    free(home);
    free(xdg);
}

static void expect_expanded(const char *path, const char *want) {
    char *expanded = home_expand(path, NULL);
    assert_non_null(expanded);
    assert_string_equal(expanded, want);
    free(expanded);
}

static void homes_in_paths(void **state) {
    (void)state;
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL, in_home[4200];
    const struct passwd *me = getpwuid(getuid());
    Error err = {0};
    setenv("HOME", "/h/x", 1);
    expect_expanded("~", "/h/x");
    expect_expanded("~/", "/h/x/");
    expect_expanded("~/a/~b", "/h/x/a/~b");
    expect_expanded("a~", "a~");
    expect_expanded("./~", "./~");
    expect_expanded("", "");
    if (me) {
        snprintf(in_home, sizeof in_home, "~%s/a", me->pw_name);
        char *expanded = home_expand(in_home, NULL);
        snprintf(in_home, sizeof in_home, "%s/a", me->pw_dir);
        assert_string_equal(expanded, in_home);
        free(expanded);
    }
    assert_null(home_expand("~no-such-user/a", &err));
    assert_non_null(strstr(err.message, "no home of no-such-user"));
    assert_non_null(strstr(err.message, "./~no-such-user/a"));
    unsetenv("HOME"); // what the system knows counts then
    if (me) expect_expanded("~", me->pw_dir);
    if (home) setenv("HOME", home, 1);
    free(home);
}

// ----------------------------------------------------------------------------------------------------------- progress
// etc.

static void *work(void *argument) {
    Progress *progress = argument;
    for (int i = 0; i < 1000; i++) progress_add(progress, 2);
    return NULL;
}

static void progress(void **state) {
    (void)state;
    Progress watched = {0};
    progress_begin(&watched, "measuring", 10);
    assert_string_equal(atomic_load(&watched.what), "measuring");
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, work, &watched), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&watched.done), 8000);
    assert_true(progress_add(&watched, 1));
    atomic_bool quitting = false;
    watched.also_stop = &quitting;
    assert_false(progress_should_stop(&watched));
    atomic_store(&quitting, true);
    assert_true(progress_should_stop(&watched) && !progress_add(&watched, 1));
    atomic_store(&quitting, false);
    progress_request_stop(&watched);
    assert_false(progress_add(&watched, 1));
    progress_begin(NULL, "x", 1); // nobody watches
    progress_request_stop(NULL);
    assert_true(progress_add(NULL, 1) && !progress_should_stop(NULL));
}

// Work that knows how long its pieces take is not told in proportion to what is done.
static void progress_of_unlike_pieces(void **state) {
    (void)state;
    Progress watched = {0};
    progress_begin(&watched, "measuring", 100);
    assert_true(progress_left(&watched, 3) < 0);
    progress_add(&watched, 25);
    assert_float_equal(progress_left(&watched, 3), 9, 1e-9);
    progress_expect(&watched, 1000, 500);
    progress_begin_at(&watched, "measuring", 100, 30);
    progress_add(&watched, 1);
    const double left = progress_left(&watched, 3);
    assert_true(left > 1400 && left <= 1500);
    progress_expect(&watched, -1000, 500); // it took longer than was expected
    assert_float_equal(progress_left(&watched, 3), 500, 1e-9);
    progress_expect(&watched, (double)NAN, 500);
    assert_true(progress_left(&watched, 3) < 0);
    progress_begin(&watched, "writing", 10);
    progress_add(&watched, 10);
    assert_float_equal(progress_left(&watched, 3), 0, 1e-9);
    progress_expect(NULL, 1, 1);
}

static void randoms(void **state) {
    (void)state;
    Random random = random_seeded(42), again = random_seeded(42), other = random_seeded(43);
    // Computed with an independent implementation: splitmix64 from the seed, then xoshiro256**.
    static const uint64_t first[] = {0x15780B2E0C2EC716u, 0x6104D9866D113A7Eu, 0xAE17533239E499A1u,
                                     0xECB8AD4703B360A1u};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) assert_true(random_next(&random) == first[i]);
    assert_true(random_next(&again) != random_next(&other));
    unsigned counts[7] = {0};
    double sum = 0, squares = 0, uniform = 0;
    enum { DRAWS = 70000 };
    for (int i = 0; i < DRAWS; i++) {
        counts[random_below(&random, 7)]++;
        double normal = random_normal(&random), u = random_uniform(&random);
        assert_true(u >= 0 && u < 1 && isfinite(normal));
        sum += normal;
        squares += normal * normal;
        uniform += u;
    }
    for (int i = 0; i < 7; i++) assert_in_range(counts[i], 9600, 10400); // more than four standard deviations
    assert_true(fabs(sum / DRAWS) < 0.02 && fabs(squares / DRAWS - 1) < 0.03 && fabs(uniform / DRAWS - 0.5) < 0.005);
    assert_int_equal(random_below(&random, 1), 0);
}

// The value is that of another program.
static void hash_of_many_bytes(void **state) {
    (void)state;
    uint8_t bytes[200];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)i;
    const uint64_t hash = hash_bulk(HASH_START, bytes, sizeof bytes);
    assert_true(hash == 0x654B40B9608ECEACu);
    for (size_t i = 0; i < sizeof bytes; i++) {
        assert_true(hash_bulk(HASH_START, bytes, i) != hash);
        bytes[i] ^= 1;
        assert_true(hash_bulk(HASH_START, bytes, sizeof bytes) != hash);
        bytes[i] ^= 1;
    }
}

static void hashes(void **state) {
    (void)state;
    assert_true(hash_bytes(HASH_START, "", 0) != hash_bytes(HASH_START, "\0", 1));
    assert_true(hash_bytes(HASH_START, "abcdefgh", 8) != hash_bytes(HASH_START, "abcdefgi", 8));
    assert_true(hash_text(hash_text(HASH_START, "ab"), "c") != hash_text(hash_text(HASH_START, "a"), "bc"));
    assert_true(hash_text(HASH_START, NULL) == hash_text(HASH_START, ""));
    assert_true(hash_bytes(HASH_START, "abcdefghijk", 11) == 0x25825AE82FB0C086u);
    // One changed bit changes about half of the bits.
    int changed = 0;
    for (int bit = 0; bit < 64; bit++) {
        uint64_t one = (uint64_t)1 << bit, zero = 0;
        changed += __builtin_popcountll(hash_bytes(HASH_START, &one, 8) ^ hash_bytes(HASH_START, &zero, 8));
    }
    assert_in_range(changed, 64 * 20, 64 * 44);
    double start = clock_seconds();
    assert_true(clock_seconds() >= start);
}

static void text_that_was_cut_is_mended(void **state) {
    (void)state;
    char cut[] = "caf\xC3\xA9 \xE2\x82", none[] = "", bad[] = "\xFF\xC3(\x80";
    text_mend(cut);
    assert_string_equal(cut, "caf\xC3\xA9 ?"
                             "?");
    text_mend(none);
    assert_string_equal(none, "");
    text_mend(bad);
    assert_string_equal(bad, "?"
                             "?(?");
    Error err = {0};
    error_set(&err, "\"%.4s\"", "caf\xC3\xA9");
    assert_string_equal(err.message, "\"caf?\"");
    error_prefix(&err, "\xE2\x82");
    assert_string_equal(err.message, "?"
                                     "?: \"caf?\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_was_cut_is_mended),
        cmocka_unit_test(errors),
        cmocka_unit_test(long_errors),
        cmocka_unit_test(arrays),
        cmocka_unit_test(texts),
        cmocka_unit_test(printable_texts),
        cmocka_unit_test(utf8),
        cmocka_unit_test(json_values),
        cmocka_unit_test(json_keeps_nul),
        cmocka_unit_test(json_getters),
        cmocka_unit_test(json_of_python),
        cmocka_unit_test(json_many_keys),
        cmocka_unit_test(path_expansion),
        IN_FOLDER(files),
        IN_FOLDER(full_disk),
        IN_FOLDER(links_and_pipes),
        IN_FOLDER(standard_output),
        IN_FOLDER(unwritable),
        IN_FOLDER(folders),
        cmocka_unit_test(user_folders),
        cmocka_unit_test(homes_in_paths),
        cmocka_unit_test(progress),
        cmocka_unit_test(progress_of_unlike_pieces),
        cmocka_unit_test(randoms),
        cmocka_unit_test(hash_of_many_bytes),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
