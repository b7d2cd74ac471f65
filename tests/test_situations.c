// The program in situations that it did not choose: closed and broken outputs, full disks, folders that may not be
// written, signals, texts of a few words.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/clock.h"
#include "base/file.h"
#include "tests/support/in_folder.h"
#include "tests/support/program.h"
#include "tests/support/small_sample.h"

#define QUICK "--quiet", "--calibration-tokens", "512"

static void expect_says(const Ran *ran, int status, const char *part) {
    if (ran->status != status || !strstr(ran->err, part))
        fail_msg("status %d instead of %d, or without \"%s\": %s", ran->status, status, part, ran->err);
}

// A line of a shell in which $Q is the program; "status|what it said on stderr".
static Ran shell(const char *line) {
    char script[2048];
    Ran ran = {0};
    char *said = path_join(folder, "said");
    snprintf(script, sizeof script, "export Q='%s'; { %s ; } 2>'%s'", program_path(), line, said);
    int status = system(script);
    size_t size;
    ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    assert_true(file_read(said, 1 << 20, &ran.err, &size, NULL));
    free(said);
    return ran;
}

static void expect_shell(const char *line, int status, const char *part) {
    Ran ran = shell(line);
    if (ran.status != status || (*part ? !strstr(ran.err, part) : *ran.err != '\0'))
        fail_msg("%s: status %d, \"%s\"", line, ran.status, ran.err);
    ran_free(&ran);
}

// ---- Standard files ----

static void readers_that_want_no_more(void **state) {
    (void)state;
    if (system("bash -c true 2>/dev/null") != 0) skip();
    expect_shell("bash -c '\"$Q\" inspect -q | head -1 >/dev/null; exit ${PIPESTATUS[0]}'", 0, "");
    expect_shell("bash -c '\"$Q\" --help | true; exit ${PIPESTATUS[0]}'", 0, "");
    expect_shell("bash -c '\"$Q\" inspect -q --json | true; exit ${PIPESTATUS[0]}'", 0, "");
    // Input without an end, and nobody reads.
    expect_shell("bash -c 'yes | timeout 60 \"$Q\" tokenize | head -2 >/dev/null; exit ${PIPESTATUS[1]}'", 0, "");
}

static void outputs_that_take_nothing(void **state) {
    (void)state;
    static const char *const commands[] = {"doctor", "--help", "--version", "inspect -q", "help plan"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char line[80];
        snprintf(line, sizeof line, "\"$Q\" %s >/dev/full", commands[i]);
        expect_shell(line, 1, "No space left");
        snprintf(line, sizeof line, "\"$Q\" %s >&-", commands[i]);
        expect_shell(line, 1, "could not be written");
    }
    expect_shell("\"$Q\" doctor 2>&- >/dev/null", 0, "");
    expect_shell("\"$Q\" nonsense/x 2>&- >/dev/null", 1, "");
    expect_shell("\"$Q\" tokenize <&-", 1, "standard input cannot be read");
    expect_shell("\"$Q\" tokenize </", 1, "standard input cannot be read");
    expect_shell("\"$Q\" doctor <&- >&- 2>&-", 1, "");
}

static void limits_on_files(void **state) {
    (void)state;
    char line[512];
    snprintf(line, sizeof line, "export XDG_CACHE_HOME='%s'; ulimit -f 0; \"$Q\" logits -q --base --ids 1 -o '%s/x'",
             folder, folder);
    // What the program says cannot be written to a file then.
    snprintf(line + strlen(line), sizeof line - strlen(line), " 2>&1 | grep -q 'File too large'");
    expect_shell(line, 0, "");
    snprintf(line, sizeof line, "export XDG_CACHE_HOME='%s'; ulimit -f 0; \"$Q\" plan %s >/dev/null", folder,
             "--quiet --calibration-tokens 512");
    expect_shell(line, 0, "");
}

static void what_cannot_be_kept_is_told(void **state) {
    (void)state;
    char line[1024];
    static const char limited[] = "(export XDG_CACHE_HOME='%s'; ulimit -f 0; %s) 2>&1 >/dev/null | cat >&2";
    snprintf(line, sizeof line, limited, folder, "\"$Q\" plan --calibration-tokens 512");
    expect_shell(line, 0, "measurements are not kept");
    static const char at_once[] = "(export XDG_CACHE_HOME='%s' QUANTDIAL_LOG=1; ulimit -f 0; %s) 2>&1 >/dev/null |"
                                  " sed '/ ends: done/q' >&2";
    snprintf(line, sizeof line, at_once, folder, "\"$Q\" plan --calibration-tokens 512");
    expect_shell(line, 0, "measurements are not kept");
    // Stopped as soon as the log says that the weights were not kept.
    static const char stopped[] =
        "(export XDG_CACHE_HOME='%s' QUANTDIAL_LOG=1; ulimit -f 0; sh -c 'echo $$ >&2; exec \"$Q\" calibrate"
        " --random-tokens -q --calibration-tokens 5000000') 2>&1 >/dev/null | { read -r pid; while read -r line; do"
        " echo \"$line\" >&2; case $line in *' cache: '*weights-*'File too large'*) kill -INT $pid;; esac; done; }";
    snprintf(line, sizeof line, stopped, folder);
    expect_shell(line, 0, "stopped; what could not be kept will be made anew");
}

// With stdout closed, the first file that is opened must not become it.
static void closed_outputs_go_into_no_file(void **state) {
    (void)state;
    char *csv = path_join(folder, "points.csv"), line[1024], *text;
    size_t size;
    snprintf(line, sizeof line, "\"$Q\" sweep --quiet --calibration-tokens 512 --tokens 48 --sweep v0=1 --csv '%s' >&-",
             csv);
    expect_shell(line, 1, "could not be written");
    assert_true(file_read(csv, 1 << 20, &text, &size, NULL));
    assert_null(strstr(text, "Pareto"));
    free(text);
    free(csv);
}

// Terminals without UTF-8 get ASCII alone, numbers keep their decimal point.
static void other_locales(void **state) {
    (void)state;
    char *before = getenv("LC_ALL") ? strdup(getenv("LC_ALL")) : NULL;
    setenv("LC_ALL", "C", 1);
    Ran runs[] = {RUN("--help"),
                  RUN("plan", "--help"),
                  RUN("tune", "--help"),
                  RUN("quantize", "--help"),
                  RUN("inspect", "-q"),
                  RUN("doctor"),
                  RUN("plan", QUICK),
                  RUN("generate", QUICK, "--tokens", "3", "-p", "caf\xC3\xA9"),
                  RUN("sensitivity", QUICK, "--estimate", "--tokens", "48"),
                  RUN("--json", "eval"),
                  RUN("caf\xC3\xA9/\x1b[2J")};
    if (before)
        setenv("LC_ALL", before, 1);
    else
        unsetenv("LC_ALL");
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        assert_int_equal(runs[i].status, i < 9 ? 0 : i == 9 ? 2 : 1);
        const char *const texts[] = {runs[i].out, runs[i].err};
        for (size_t k = 0; k < 2; k++) {
            for (const char *at = texts[k]; *at; at++) {
                if ((*at < ' ' && *at != '\n') || *at == 0x7F) fail_msg("run %zu, at: %.40s", i, at);
            }
        }
        ran_free(&runs[i]);
    }
    free(before);
}

// ---- Files to write ----

static void expect_untouched(const char *name) {
    DIR *listing = opendir(folder);
    for (struct dirent *item; (item = readdir(listing));) {
        if (item->d_name[0] != '.' && strcmp(item->d_name, name) != 0) fail_msg("%s was left behind", item->d_name);
    }
    closedir(listing);
}

// Before the work: it takes no time, and nothing is printed.
static void files_to_write_are_tried_first(void **state) {
    (void)state;
    char *nowhere = path_join(folder, "nowhere/file"), *file = path_join(folder, "file"), *under;
    folder_put_text(folder, "file", "precious");
    under = path_join(file, "file");
    const char *const bad[] = {nowhere, folder, under, "/proc/quantdial"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Ran runs[] = {RUN("tune", QUICK, "--max-bits", "4", "-o", bad[i]),
                      RUN("logits", QUICK, "--ids", "1", "-o", bad[i]),
                      RUN("sweep", QUICK, "--sweep", "v0=1", "--csv", bad[i]),
                      RUN("sweep", QUICK, "--sweep", "v0=1", "--svg", bad[i])};
        for (size_t k = 0; k < sizeof runs / sizeof *runs; k++) {
            expect_says(&runs[k], 1, bad[i]);
            expect_says(&runs[k], 1, k < 2 ? "--output: " : k == 2 ? "--csv: " : "--svg: ");
            assert_string_equal(runs[k].out, "");
            ran_free(&runs[k]);
        }
    }
    // And where it could be written, trying leaves no trace.
    Error err;
    char *text, *other = path_join(folder, "other");
    size_t size;
    assert_true(file_can_be_written(file, &err) && file_can_be_written(other, &err));
    assert_true(file_can_be_written("/dev/null", &err) && file_can_be_written("/dev/stdout", &err));
    assert_true(file_read(file, 100, &text, &size, &err));
    assert_string_equal(text, "precious");
    expect_untouched("file");
    free(text);
    free(other);
    free(under);
    free(file);
    free(nowhere);
}

static void folders_that_may_not_be_written(void **state) {
    (void)state;
    if (geteuid() == 0) skip(); // who may do everything may do this
    char *file = path_join(folder, "file");
    assert_int_equal(chmod(folder, 0500), 0);
    Ran ran = RUN("logits", "--base", "--ids", "1", "-o", file);
    assert_int_equal(chmod(folder, 0700), 0);
    expect_says(&ran, 1, "Permission denied");
    ran_free(&ran);
    free(file);
}

static void files_to_read_are_tried_first(void **state) {
    (void)state;
    char *absent = path_join(folder, "absent");
    const char *const options[] = {"--recipe", "--text", "--calibration"};
    for (size_t i = 0; i < 3; i++) {
        Ran ran = RUN("eval", QUICK, options[i], absent);
        expect_says(&ran, 1, absent);
        expect_says(&ran, 1, options[i]);
        ran_free(&ran);
    }
    Ran ran = RUN("eval", QUICK, "--text", "self");
    expect_says(&ran, 1, "--text: self is a text to calibrate on; name mixed, stories, pairs, or a file");
    ran_free(&ran);
    free(absent);
}

// What does not fit the model is told before it is measured: nothing is in the cache then.
static void questions_that_do_not_fit_are_refused_first(void **state) {
    (void)state;
    setenv("XDG_CACHE_HOME", folder, 1);
    Ran runs[] = {RUN("logits", "-q", "--ids", "99999", "-o", "/dev/null"),
                  RUN("bench", "-q", "--schemes", "recipe", "--context", "9999"),
                  RUN("plan", "-q", "--match", "nothing"), RUN("inspect", "-q", "--match", "nothing"),
                  RUN("eval", "-q", "--task", "lambada", "--task-file", "README.md")};
    const char *const parts[] = {"0 to 2047", "positions", "nothing", "nothing", "line 1"};
    unsetenv("XDG_CACHE_HOME");
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        expect_says(&runs[i], 1, parts[i]);
        ran_free(&runs[i]);
    }
    expect_untouched("");
}

// ---- Signals ----

// Starts the program, waits until a file of such a name is in its cache folder, and sends the signal.
static Ran interrupted(const char *const *arguments, const char *awaited, int number) {
    char *said = path_join(folder, "said"), *cache = path_join(folder, "quantdial");
    pid_t child = fork();
    if (child == 0) {
        const char *argv[32] = {program_path()};
        for (int i = 0; arguments[i]; i++) argv[i + 1] = arguments[i];
        setenv("XDG_CACHE_HOME", folder, 1);
        dup2(open("/dev/null", O_WRONLY), 1);
        dup2(open(said, O_WRONLY | O_CREAT, 0600), 2);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    bool seen = false;
    for (double end = clock_seconds() + 120; !seen && clock_seconds() < end;) {
        DIR *listing = opendir(cache);
        for (struct dirent *item; listing && (item = readdir(listing));) seen |= fnmatch(awaited, item->d_name, 0) == 0;
        if (listing) closedir(listing);
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    kill(child, number);
    Ran ran = {0};
    int status;
    size_t size;
    waitpid(child, &status, 0);
    ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    if (!seen || !WIFEXITED(status)) fail_msg("seen: %d, status %x", seen, status);
    assert_true(file_read(said, 1 << 20, &ran.err, &size, NULL));
    unlink(said);
    free(cache);
    free(said);
    return ran;
}

static void a_study_goes_on_where_it_was(void **state) {
    (void)state;
    const char *const tune[] = {"tune", QUICK, "--tokens", "600", "--max-bits", "4.25", NULL};
    Ran ran = interrupted(tune, "trials-*.bin", SIGINT);
    expect_says(&ran, 130, "stopped; run the same command again to continue");
    ran_free(&ran);
}

static void work_that_begins_anew_says_so(void **state) {
    (void)state;
    // Weights are in the cache, and the work goes on for seconds.
    const char *const calibrate[] = {"calibrate", "-q", "--random-tokens", "--calibration-tokens", "500000", NULL};
    Ran ran = interrupted(calibrate, "weights-*.stats", SIGTERM);
    expect_says(&ran, 143, "stopped while calibrating; run the same command again to go on there");
    ran_free(&ran);
}

// ---- Too little text ----

static void expect_few(const char *const *arguments, bool few) {
    Ran ran = program_run(arguments, "", NULL);
    cJSON *object = cJSON_Parse(ran.out);
    const cJSON *item = cJSON_GetObjectItem(object, "too_few_tokens");
    if (!cJSON_IsBool(item) || cJSON_IsTrue(item) != few)
        fail_msg("%s: too_few_tokens is wrong: %.300s %s", arguments[0], ran.out, ran.err);
    cJSON_Delete(object);
    ran_free(&ran);
}

static void three_tokens_mean_nothing(void **state) {
    (void)state;
    char *text = path_join(folder, "text.txt"), *task = path_join(folder, "task.jsonl");
    folder_put_text(folder, "text.txt", "the cat");
    folder_put_text(folder, "task.jsonl", "{\"text\": \"Once upon a time\"}\n");
    Ran ran = RUN("eval", QUICK, "--text", text);
    assert_int_equal(ran.status, 0);
    assert_non_null(strstr(ran.out, "3 tokens of text.txt\ntoo few for these figures to mean anything"));
    assert_non_null(strstr(ran.out, "(--tokens 512)")); // two windows, of which 510 are scored
    ran_free(&ran);
    ran = RUN("eval", QUICK, "--task", "lambada", "--task-file", task);
    assert_non_null(strstr(ran.out, "1 item is too few to mean anything"));
    ran_free(&ran);
    ran = RUN("plan", "--calibration", text, "--weight-bits", "8");
    expect_says(&ran, 0, "calibrated on only");
    ran_free(&ran);
    ran = RUN("calibrate", "-q", "--calibration", text);
    assert_non_null(strstr(ran.out, "tokens of text.txt\ntoo few for these figures"));
    ran_free(&ran);
    expect_few((const char *const[]){"eval", QUICK, "--json", "--text", text, NULL}, true);
    expect_few((const char *const[]){"calibrate", "-q", "--json", "--calibration", text, NULL}, true);
    expect_few((const char *const[]){"calibrate", QUICK, "--json", NULL}, false);
    expect_few((const char *const[]){"eval", QUICK, "--json", "--tokens", "600", NULL}, false);
    expect_few((const char *const[]){"sensitivity", QUICK, "--estimate", "--json", "--tokens", "48", NULL}, true);
    expect_few((const char *const[]){"sweep", QUICK, "--sweep", "v0=1", "--json", "--tokens", "48", NULL}, true);
    free(task);
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(readers_that_want_no_more),
        IN_FOLDER(outputs_that_take_nothing),
        IN_FOLDER(limits_on_files),
        IN_FOLDER(what_cannot_be_kept_is_told),
        IN_FOLDER(closed_outputs_go_into_no_file),
        cmocka_unit_test(other_locales),
        IN_FOLDER(files_to_write_are_tried_first),
        IN_FOLDER(folders_that_may_not_be_written),
        IN_FOLDER(files_to_read_are_tried_first),
        IN_FOLDER(questions_that_do_not_fit_are_refused_first),
        IN_FOLDER(a_study_goes_on_where_it_was),
        IN_FOLDER(work_that_begins_anew_says_so),
        IN_FOLDER(three_tokens_mean_nothing),
    };
    return cmocka_run_group_tests(tests, small_sample_make, small_sample_drop);
}
