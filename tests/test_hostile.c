// Checkpoints that change, end or point elsewhere while the program looks at them. What a file may claim about itself
// is the business of test_safetensors.c and test_stored.c.
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "analysis/stats.h"
#include "base/array.h"
#include "base/file.h"
#include "engine/engine.h"
#include "loaders/checkpoint.h"
#include "tests/support/in_folder.h"
#include "tui/signals.h"

#define PAGES 64
#define PAGE 4096
#define HEADER "{\"w\":{\"dtype\":\"U8\",\"shape\":[262144],\"data_offsets\":[0,262144]}}"

static char *put_large(const char *name) { return folder_put_safetensors(folder, name, HEADER, (size_t)PAGES * PAGE); }

static Checkpoint opened(const char *path) {
    Checkpoint checkpoint;
    Error err = {0};
    if (!checkpoint_open(path, &checkpoint, &err)) fail_msg("%s", err.message);
    return checkpoint;
}

static uint64_t sum_of(const Tensor *tensor) {
    const uint8_t *bytes = tensor->data;
    uint64_t sum = 0;
#pragma omp parallel for schedule(dynamic, PAGE) reduction(+ : sum)
    for (size_t i = 0; i < tensor->bytes; i++) sum += bytes[i];
    return sum;
}

static void expect_damage(const Checkpoint *checkpoint, const char *path, const char *reason) {
    Error err = {0};
    assert_false(checkpoint_intact(checkpoint, &err));
    if (!strstr(err.message, path) || !strstr(err.message, reason))
        fail_msg("expected \"%s: %s\", got \"%s\"", path, reason, err.message);
}

static void write_to(const char *path) {
    int file = open(path, O_WRONLY);
    assert_true(file >= 0 && pwrite(file, "x", 1, 2 * PAGE) == 1 && close(file) == 0);
}

// ---- Files that shrink ----

// Valgrind does not keep registers exact at every read, so the program cannot go on where a signal interrupted it.
static void needs_exact_registers(void) {
    const char *preloaded = getenv("LD_PRELOAD");
    if (preloaded && strstr(preloaded, "vgpreload")) skip();
}

static void a_file_that_shrinks_reads_as_zeros_and_is_named(void **state) {
    (void)state;
    needs_exact_registers();
    char *path = put_large("model.safetensors");
    Checkpoint checkpoint = opened(path);
    const Tensor *tensor = checkpoint_find(&checkpoint, "w");
    Error err = {0};
    uint64_t whole = sum_of(tensor);
    assert_true(checkpoint_intact(&checkpoint, &err));
    assert_true(checkpoint_intact(NULL, &err));
    tensor_drop_pages(tensor);
    assert_int_equal(truncate(path, 10 * PAGE), 0);
    uint64_t rest = sum_of(tensor);
    assert_true(rest > 0 && rest < whole);
    expect_damage(&checkpoint, path, "became shorter while it was open");
    assert_int_equal(sum_of(tensor), rest);
    checkpoint_close(&checkpoint);
    free(path);
}

// Within the last page nothing raises a signal: only the size tells.
static void a_few_missing_bytes_are_noticed(void **state) {
    (void)state;
    char *path = put_large("model.safetensors");
    Checkpoint checkpoint = opened(path);
    assert_int_equal(truncate(path, (off_t)checkpoint.files[0].map_bytes - 3), 0);
    expect_damage(&checkpoint, path, "became shorter");
    checkpoint_close(&checkpoint);
    free(path);
}

// A download that goes on, or rsync --inplace: what was read before and after is of two models.
static void a_file_that_is_written_to_is_named(void **state) {
    (void)state;
    char *path = put_large("model.safetensors");
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
    Checkpoint checkpoint = opened(path);
    Error err = {0};
    assert_true(checkpoint_intact(&checkpoint, &err));
    write_to(path);
    expect_damage(&checkpoint, path, "was written to while it was open");
    checkpoint_close(&checkpoint);
    char *other = put_large("other.safetensors"); // in its place: what is mapped stays
    checkpoint = opened(path);
    assert_int_equal(rename(other, path), 0);
    assert_true(checkpoint_intact(&checkpoint, &err));
    checkpoint_close(&checkpoint);
    free(other);
    free(path);
}

static void a_file_cut_off_and_grown_again_stays_damaged(void **state) {
    (void)state;
    needs_exact_registers();
    char *path = put_large("model.safetensors");
    Checkpoint checkpoint = opened(path);
    off_t size = (off_t)checkpoint.files[0].map_bytes;
    tensor_drop_pages(checkpoint_find(&checkpoint, "w"));
    assert_int_equal(truncate(path, PAGE), 0);
    sum_of(checkpoint_find(&checkpoint, "w"));
    assert_int_equal(truncate(path, size), 0);
    expect_damage(&checkpoint, path, "could not be read while it was open");
    checkpoint_close(&checkpoint);
    Checkpoint again = opened(path); // the same place in the list of mappings
    Error err = {0};
    assert_true(checkpoint_intact(&again, &err));
    checkpoint_close(&again);
    free(path);
}

static void copy_file(const char *from, const char *name) {
    char *data;
    size_t size;
    Error err = {0};
    if (!file_read(from, 1 << 20, &data, &size, &err)) fail_msg("%s", err.message);
    free(folder_write(folder, name, data, size));
    free(data);
}

static void measuring_a_file_that_shrank_fails_by_name(void **state) {
    (void)state;
    needs_exact_registers();
    copy_file("tests/fixtures/stored/model-plain/model.safetensors", "model.safetensors");
    copy_file("tests/fixtures/stored/model-plain/config.json", "config.json");
    Checkpoint checkpoint = opened(folder);
    ModelConfig config;
    ModelStructure structure;
    ModelStats stats;
    Error err = {0};
    assert_true(config_load(folder, &config, &err));
    assert_true(structure_build(&checkpoint, &config, &structure, &err));
    assert_true(model_stats_new(&structure, &stats, &err));
    for (size_t i = 0; i < checkpoint.tensor_count; i++) tensor_drop_pages(checkpoint.by_name[i]);
    assert_int_equal(truncate(checkpoint.files[0].path, PAGE), 0);
    assert_false(weight_stats_measure(&structure, 3, &stats, &err));
    assert_non_null(strstr(err.message, "model.safetensors: the file became shorter"));
    model_stats_free(&stats);
    structure_free(&structure);
    checkpoint_close(&checkpoint);
}

// A model may have hundreds of files, so that a matrix asks about its own alone; what is kept asks about all of them.
static void a_matrix_asks_about_its_own_file(void **state) {
    (void)state;
    copy_file("tests/fixtures/stored/model-plain/model.safetensors", "model-00001-of-00002.safetensors");
    copy_file("tests/fixtures/stored/model-plain/config.json", "config.json");
    char *other = put_large("model-00002-of-00002.safetensors");
    const struct timespec long_ago[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};
    assert_int_equal(utimensat(AT_FDCWD, other, long_ago, 0), 0);
    Engine *engine;
    Error err = {0};
    ModelStats stats;
    if (!engine_open(&(EngineOptions){.model = folder, .no_cache = true}, &engine, &err)) fail_msg("%s", err.message);
    const ModelStructure *structure = engine_structure(engine);
    assert_true(model_stats_new(structure, &stats, &err));
    write_to(other);
    assert_true(weight_stats_measure(structure, 3, &stats, &err));
    assert_true(tensor_intact(NULL, structure->linears[3].weight, &err));
    assert_false(tensor_intact(structure->checkpoint, checkpoint_find(structure->checkpoint, "w"), &err));
    assert_false(engine_measure(engine, NULL, &err));
    assert_non_null(strstr(err.message, "00002.safetensors: the file was written to"));
    model_stats_free(&stats);
    engine_close(engine);
    free(other);
}

// ---- Together with the terminal's crash guard ----

// In a child: what `body` returns becomes the exit status. Returns the status of waitpid, and what the guard said.
static int in_child(int (*body)(const char *path), const char *path, char *said, size_t size) {
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        signal(SIGBUS, SIG_DFL); // cmocka's handler would go on with the other tests, here
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        freopen("/dev/null", "w", stderr); // a sanitizer's report of the crash that is wanted
        dup2(pipes[1], 3);
        _exit(body(path));
    }
    close(pipes[1]);
    size_t used = 0;
    for (ssize_t n; used + 1 < size && (n = read(pipes[0], said + used, size - 1 - used)) > 0;) used += (size_t)n;
    said[used] = '\0';
    close(pipes[0]);
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}

static void guard(void) { crash_guard_start(3, &(struct termios){0}, "farewell", 8); }

// 0 when reading what is gone is survived and noticed. On one thread: OpenMP's are not there after a fork.
static int read_cut_off(Checkpoint *checkpoint, const char *path) {
    Error err = {0};
    tensor_drop_pages(checkpoint_find(checkpoint, "w"));
    if (truncate(path, 10 * PAGE) != 0) return 2;
    const Tensor *tensor = checkpoint_find(checkpoint, "w");
    uint8_t sum = 0;
    for (size_t i = 0; i < tensor->bytes; i++) sum ^= ((const volatile uint8_t *)tensor->data)[i];
    (void)sum;
    return checkpoint_intact(checkpoint, &err) ? 3 : 0;
}

static int open_then_guard(const char *path) {
    Checkpoint checkpoint;
    if (!checkpoint_open(path, &checkpoint, NULL)) return 1;
    guard();
    return read_cut_off(&checkpoint, path);
}

static int guard_then_open(const char *path) {
    Checkpoint checkpoint;
    guard();
    if (!checkpoint_open(path, &checkpoint, NULL)) return 1;
    return read_cut_off(&checkpoint, path);
}

static int guard_gone_again(const char *path) {
    Checkpoint checkpoint;
    if (!checkpoint_open(path, &checkpoint, NULL)) return 1;
    guard();
    crash_guard_stop();
    return read_cut_off(&checkpoint, path);
}

static void the_crash_guard_lets_damaged_files_pass(void **state) {
    (void)state;
    needs_exact_registers();
    int (*const orders[])(const char *path) = {open_then_guard, guard_then_open, guard_gone_again};
    for (size_t i = 0; i < 3; i++) {
        char said[64], *path = put_large("model.safetensors");
        int status = in_child(orders[i], path, said, sizeof said);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) fail_msg("order %zu: status %#x", i, (unsigned)status);
        assert_string_equal(said, "");
        free(path);
    }
}

// A fault in memory that no checkpoint has mapped.
static int crash(void) {
    int file = memfd_create("crash", 0);
    if (file < 0 || ftruncate(file, PAGE) != 0) return 2;
    volatile char *there = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
    if (ftruncate(file, 0) != 0) return 2;
    return there[0];
}

static int crash_unguarded(const char *path) {
    Checkpoint checkpoint;
    if (!checkpoint_open(path, &checkpoint, NULL)) return 0;
    return crash();
}

static int crash_open_guard_open(const char *path) {
    Checkpoint checkpoint, more;
    if (!checkpoint_open(path, &checkpoint, NULL)) return 0;
    guard();
    if (!checkpoint_open(path, &more, NULL)) return 0;
    return crash();
}

static int crash_guard_open(const char *path) {
    Checkpoint checkpoint;
    guard();
    if (!checkpoint_open(path, &checkpoint, NULL)) return 0;
    return crash();
}

static int crash_sent(const char *path) {
    Checkpoint checkpoint;
    guard();
    if (!checkpoint_open(path, &checkpoint, NULL)) return 0;
    raise(SIGBUS);
    return 0;
}

static void other_bus_errors_still_end_the_program(void **state) {
    (void)state;
    const struct {
        int (*body)(const char *path);
        const char *said;
    } orders[] = {{crash_unguarded, ""},
                  {crash_open_guard_open, "farewell"},
                  {crash_guard_open, "farewell"},
                  {crash_sent, "farewell"}};
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        char said[64], *path = put_large("model.safetensors");
        int status = in_child(orders[i].body, path, said, sizeof said);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0) fail_msg("order %zu is survived", i);
        if (strncmp(said, orders[i].said, 8) != 0 || strlen(said) % 8 != 0 || strlen(said) > 16)
            fail_msg("order %zu says \"%s\"", i, said);
        free(path);
    }
}

// ---- Links ----

static void link_in_folder(const char *target, const char *name) {
    char *path = path_join(folder, name);
    assert_int_equal(symlink(target, path), 0);
    free(path);
}

static void make_in_folder(const char *name) {
    char *path = path_join(folder, name);
    Error err = {0};
    if (!folder_make(path, &err)) fail_msg("%s", err.message);
    free(path);
}

// The cache of the Hugging Face libraries: every file of a snapshot is a link to a blob beside.
static void links_out_of_the_folder_are_followed(void **state) {
    (void)state;
    make_in_folder("blobs");
    make_in_folder("snapshots/main");
    free(folder_put_safetensors(folder, "blobs/0123", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}",
                                4));
    folder_put_text(folder, "blobs/4567", "{\"weight_map\":{\"a\":\"model-00001-of-00001.safetensors\"}}");
    link_in_folder("../../blobs/0123", "snapshots/main/model-00001-of-00001.safetensors");
    link_in_folder("../../blobs/4567", "snapshots/main/model.safetensors.index.json");
    char *path = path_join(folder, "snapshots/main");
    Checkpoint checkpoint = opened(path);
    assert_non_null(checkpoint_find(&checkpoint, "a"));
    checkpoint_close(&checkpoint);
    free(path);
}

static void expect_refused(const char *path, const char *reason) {
    Checkpoint checkpoint;
    Error err = {0};
    if (checkpoint_open(path, &checkpoint, &err)) fail_msg("accepted, but expected: %s", reason);
    if (!strstr(err.message, reason)) fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
}

static void links_in_a_circle_and_into_nothing_are_refused(void **state) {
    (void)state;
    folder_put_text(folder, "model.safetensors.index.json",
                    "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"none.safetensors\"}}");
    link_in_folder("two.safetensors", "one.safetensors");
    link_in_folder("one.safetensors", "two.safetensors");
    expect_refused(folder, "one.safetensors: cannot be opened: Too many levels of symbolic links");
    link_in_folder(folder, "circle");
    char *deep = path_join(folder, "circle/circle/circle/circle");
    expect_refused(deep, "one.safetensors");
    free(deep);
    char *path = path_join(folder, "gone.safetensors");
    link_in_folder("nowhere", "gone.safetensors");
    expect_refused(path, "it is a link to nowhere, which is not there");
    free(path);
}

static void odd_files_in_place_of_shards_are_refused(void **state) {
    (void)state;
    char *path = path_join(folder, "one.safetensors");
    folder_put_text(folder, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"one.safetensors\"}}");
    assert_int_equal(mkfifo(path, 0600), 0);
    expect_refused(folder, "is not a regular file"); // and nobody waits for a writer
    unlink(path);
    link_in_folder("/dev/zero", "one.safetensors");
    expect_refused(folder, "is not a regular file");
    unlink(path);
    folder_put_text(folder, "one.safetensors", "");
    expect_refused(folder, "is empty, which is too small");
    free(path);
}

// ---- Indices ----

static void an_index_of_too_many_files_is_refused_quickly(void **state) {
    (void)state;
    Text text = {0};
    text_addf(&text, "{\"weight_map\":{");
    for (int i = 0; i < 20000; i++) text_addf(&text, "%s\"t%d\":\"%d.safetensors\"", i ? "," : "", i, i);
    text_addf(&text, "}}");
    folder_put_text(folder, "model.safetensors.index.json", text.data);
    expect_refused(folder, "names more than 10000 files");
    text_free(&text);
}

static void damaged_and_deep_indices_are_refused(void **state) {
    (void)state;
    Text deep = {0};
    for (int i = 0; i < 100000; i++) text_addf(&deep, "{\"weight_map\":");
    folder_put_text(folder, "model.safetensors.index.json", deep.data);
    expect_refused(folder, "nested deeper");
    folder_put_text(folder, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"\xff.safetensors\"}}");
    expect_refused(folder, "not UTF-8");
    folder_put_text(folder, "model.safetensors.index.json", "{\"weight_map\":{\"a\":\"x\\u0000y/../z\"}}");
    expect_refused(folder, "leads out of the folder"); // the name does not end at its NUL
    text_free(&deep);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_file_that_shrinks_reads_as_zeros_and_is_named),
        IN_FOLDER(a_few_missing_bytes_are_noticed),
        IN_FOLDER(a_file_that_is_written_to_is_named),
        IN_FOLDER(a_file_cut_off_and_grown_again_stays_damaged),
        IN_FOLDER(measuring_a_file_that_shrank_fails_by_name),
        IN_FOLDER(a_matrix_asks_about_its_own_file),
        IN_FOLDER(the_crash_guard_lets_damaged_files_pass),
        IN_FOLDER(other_bus_errors_still_end_the_program),
        IN_FOLDER(links_out_of_the_folder_are_followed),
        IN_FOLDER(links_in_a_circle_and_into_nothing_are_refused),
        IN_FOLDER(odd_files_in_place_of_shards_are_refused),
        IN_FOLDER(an_index_of_too_many_files_is_refused_quickly),
        IN_FOLDER(damaged_and_deep_indices_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
