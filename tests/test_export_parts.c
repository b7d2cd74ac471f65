// Exports by several processes: together they write what one writes, whatever happens to them on the way.
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "export/random_checkpoint.h"
#include "tests/support/export_model.h"
#include "tests/support/in_folder.h"

#define PLAIN "\"activations\": {\"policy\": \"none\"}"
#define W4 \
    "{\"quantdial_recipe\": 2, \"weights\": {\"bits\": 4, \"granularity\": \"group\", \"group_size\": 16}, " PLAIN "}"
#define W8 "{\"quantdial_recipe\": 2, \"weights\": {\"bits\": 8, \"granularity\": \"channel\"}, " PLAIN "}"
enum { PARTS = 4, SHARD = 12000 };

static char *model, *out;

static void make_model_of(const char *path, uint64_t seed) {
    const RandomOptions options = {.shape = *random_shape_find("tiny"), .dtype = DTYPE_BF16, .seed = seed};
    if (!random_checkpoint_write(&options, path, NULL, NULL)) _exit(1);
}

static void make_model(void) { make_model_of(model, 1); }

static ExportOptions options_for(const char *path, int part, int parts) {
    return (ExportOptions){.format = EXPORT_COMPRESSED_TENSORS,
                           .folder = path,
                           .shard_bytes = SHARD,
                           .verify = true,
                           .part = part,
                           .parts = parts};
}

// ---- Processes ----

// A process without the threads of this one, as those of OpenMP do not live through fork.
static pid_t started(void (*run)(int part), int part) {
    const pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid) return pid;
    run(part);
    _exit(0);
}

static int status_of(pid_t pid) {
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void make_model_here(int part) {
    (void)part;
    make_model();
}

static void run_part(int part) {
    Engine *engine = export_engine(model, W4);
    const ExportOptions options = options_for(out, part, PARTS);
    if (export_written(engine, &options).verified == 0) _exit(1);
    engine_close(engine);
}

// Killed by the system in the middle of a write.
static void run_killed(int part) {
    const struct rlimit none = {0}, small = {.rlim_cur = 5000, .rlim_max = 5000};
    Engine *engine = export_engine(model, W4);
    ExportOptions options = options_for(out, part, PARTS);
    options.verify = false;
    signal(SIGXFSZ, SIG_DFL);
    if (setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_FSIZE, &small) != 0) _exit(1);
    export_written(engine, &options);
}

// Stopped behind every piece, and run again.
static void run_stopped(int part) {
    Engine *engine = export_engine(model, W4);
    ExportOptions options = options_for(out, part, PARTS);
    options.verify = false;
    Progress stop = {0};
    atomic_store(&stop.stop, true);
    int stops = 0;
    for (;; stops++) {
        ExportResult result;
        Error err = {0};
        if (engine_export(engine, &options, NULL, &result, &stop, &err)) break;
        if (!err.stopped || stops > 100) _exit(1);
    }
    engine_close(engine);
    if (stops < 2) _exit(1);
}

// ---- The same bytes ----

static void assert_same_file(const char *a, const char *b, const char *name) {
    size_t size, other;
    char *first = export_file(a, name, &size), *second = export_file(b, name, &other);
    assert_int_equal(size, other);
    assert_memory_equal(first, second, size);
    free(first), free(second);
}

static void assert_same_folders(const char *a, const char *b, int files) {
    static const char *const names[] = {"config.json",    "model.safetensors.index.json", "quantdial-export.json",
                                        "tokenizer.json", "tokenizer_config.json",        "README.md"};
    char name[64];
    for (int f = 0; f < files; f++) {
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", f + 1, files);
        assert_same_file(a, b, name);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (folder_has(a, names[i])) assert_same_file(a, b, names[i]);
}

static void processes_together_write_what_one_writes(void **state) {
    (void)state;
    static void (*const ways[PARTS])(int) = {run_part, run_stopped, run_killed, run_part};
    pid_t pids[PARTS];
    assert_int_equal(status_of(started(make_model_here, 0)), 0);
    for (int i = 0; i < PARTS; i++) pids[i] = started(ways[i], i + 1);
    for (int i = 0; i < PARTS; i++) {
        const int status = status_of(pids[i]);
        if (ways[i] == run_killed)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ);
        else
            assert_int_equal(status, 0);
    }
    assert_false(folder_has(out, "config.json"));
    assert_int_equal(status_of(started(run_part, 3)), 0);

    Engine *engine = export_engine(model, W4);
    ExportOptions finish = options_for(out, 0, 0);
    finish.finish = true;
    const ExportResult result = export_written(engine, &finish);
    assert_true(result.files >= 2 * PARTS && result.verified > 0 && result.written == 0 && !result.was_complete);
    char *once = path_join(folder, "once");
    const ExportOptions whole = options_for(once, 0, 0);
    assert_int_equal(export_written(engine, &whole).files, result.files);
    assert_same_folders(once, out, result.files);
    assert_false(folder_has(out, "quantdial-export.part-1-of-4.json"));

    // Nothing is left to do, neither for a part nor for the end nor for one process.
    const ExportOptions again = options_for(out, 2, PARTS), one = options_for(out, 0, 0);
    assert_true(export_written(engine, &again).was_complete);
    assert_true(export_written(engine, &finish).was_complete);
    assert_true(export_written(engine, &one).was_complete);
    engine_close(engine);
    free(once);
}

// ---- What is missing ----

static void the_end_names_what_is_missing(void **state) {
    (void)state;
    make_model();
    Engine *engine = export_engine(model, W4);
    ExportOptions finish = options_for(out, 0, 0), second = options_for(out, 2, 3), third = options_for(out, 3, 3);
    finish.finish = true;
    export_refused(engine, &finish, "is not there; the parts are made first");
    assert_false(folder_exists(out));
    const ExportResult result = export_written(engine, &second);
    assert_true(result.bytes == result.written && result.bytes == result.verified);
    export_refused(engine, &finish, "2 of 3 parts are not done");
    Checkpoint checkpoint;
    Error err = {0};
    assert_false(checkpoint_open(out, &checkpoint, &err));
    assert_non_null(strstr(err.message, "is an export in parts that is not finished; run those that are missing"));
    checkpoint_close(&checkpoint);
    ExportResult stopped;
    Progress stop = {0};
    atomic_store(&stop.stop, true);
    assert_false(engine_export(engine, &third, NULL, &stopped, &stop, &err));
    assert_true(err.stopped);
    export_refused(engine, &finish, "--part 1/3 (not begun), --part 3/3 (at ");
    export_written(engine, &third);
    const ExportOptions first = options_for(out, 1, 3);
    export_written(engine, &first);
    assert_true(export_written(engine, &second).was_complete);

    // A file that is lost makes its part undone.
    char *gone = NULL;
    ExportForecast forecast;
    const ExportOptions whole = {.folder = nowhere(), .shard_bytes = SHARD};
    assert_true(engine_forecast(engine, &whole, &forecast, &err));
    assert_true(asprintf(&gone, "%s/model-00001-of-%05d.safetensors", out, forecast.files) > 0);
    assert_int_equal(unlink(gone), 0);
    export_refused(engine, &finish,
                   "1 of 3 parts is not done; in place of --finish run the same command with --part "
                   "1/3");
    export_written(engine, &first);
    export_written(engine, &finish);
    assert_true(folder_has(out, "config.json"));
    engine_close(engine);
    free(gone);
}

// ---- What is refused ----

static void parts_of_different_work_refuse_each_other(void **state) {
    (void)state;
    make_model();
    Engine *engine = export_engine(model, W4), *other = export_engine(model, W8);
    const ExportOptions first = options_for(out, 1, 2), second = options_for(out, 2, 2), third = options_for(out, 3, 3);
    export_written(engine, &first);
    export_refused(other, &second, "by another recipe");
    assert_false(folder_has(out, "quantdial-export.part-2-of-2.json"));
    export_refused(engine, &third, "was begun in 2 parts, not in 3");
    ExportOptions dense = second, shards = second, single = options_for(out, 0, 0);
    dense.format = EXPORT_DENSE;
    export_refused(engine, &dense, "in another format");
    shards.shard_bytes = 2 * SHARD;
    export_refused(engine, &shards, "with other options");
    export_refused(engine, &single, "was begun in parts");

    size_t size;
    char *text = export_file(out, "quantdial-export.part-1-of-2.json", &size), *at = strstr(text, "\"program\": \"");
    assert_non_null(at);
    at[strlen("\"program\": \"")] = '?';
    char *path = path_join(out, "quantdial-export.part-1-of-2.json");
    assert_true(file_write(path, text, size, NULL));
    export_refused(engine, &second, "by another version");
    free(text), free(path);

    single.overwrite = true; // what parts left is removed
    export_written(other, &single);
    assert_false(folder_has(out, "quantdial-export.part-1-of-2.json"));
    export_refused(engine, &first, "by another recipe");
    engine_close(engine), engine_close(other);
}

// As where each machine has a copy of its own.
static void copies_of_a_model_are_one_model(void **state) {
    (void)state;
    char *copy = path_join(folder, "copy"), *other = path_join(folder, "other");
    make_model(), make_model_of(copy, 1), make_model_of(other, 2);
    Engine *engine = export_engine(model, W4), *of_copy = export_engine(copy, W4), *of_other = export_engine(other, W4);
    const ExportOptions first = options_for(out, 1, 2), second = options_for(out, 2, 2);
    ExportOptions finish = options_for(out, 0, 0);
    finish.finish = true;
    export_written(engine, &first);
    export_refused(of_other, &second, "from another model");
    export_written(of_copy, &second);
    export_written(of_copy, &finish);
    assert_true(export_written(engine, &first).was_complete);
    engine_close(engine), engine_close(of_copy), engine_close(of_other);
    free(copy), free(other);
}

static void parts_leave_alone_what_is_not_theirs(void **state) {
    (void)state;
    make_model();
    Engine *engine = export_engine(model, W4);
    ExportOptions first = options_for(out, 1, 2), single = options_for(out, 0, 0);
    assert_true(folder_make(out, NULL));
    folder_put_text(out, "notes.txt", "mine");
    export_refused(engine, &first, "is not empty");
    first.overwrite = true;
    export_refused(engine, &first, "would overwrite what others have done");
    first.overwrite = false;
    first.format = EXPORT_GGUF;
    export_refused(engine, &first, "one file");
    first.format = EXPORT_COMPRESSED_TENSORS;

    char *begun = path_join(folder, "begun");
    ExportResult result;
    Error err = {0};
    Progress stop = {0};
    single.folder = first.folder = begun;
    atomic_store(&stop.stop, true);
    assert_false(engine_export(engine, &single, NULL, &result, &stop, &err));
    export_refused(engine, &first, "was begun in one piece");
    engine_close(engine);
    free(begun);
}

// More parts than files: some have nothing to do, and say so.
static void a_part_may_be_empty(void **state) {
    (void)state;
    make_model();
    Engine *engine = export_engine(model, W8);
    ExportOptions options = options_for(out, 1, 2);
    options.shard_bytes = 0;
    const ExportResult first = export_written(engine, &options);
    options.part = 2;
    const ExportResult second = export_written(engine, &options);
    assert_int_equal(first.files + second.files, 1);
    assert_non_null(strstr(second.warning, "--shard-megabytes"));
    options.part = options.parts = 0;
    options.finish = true;
    export_written(engine, &options);
    engine_close(engine);
}

static int setup(void **state) {
    make_folder(state);
    model = path_join(folder, "model");
    out = path_join(folder, "out");
    return 0;
}

static int teardown(void **state) {
    free(model), free(out);
    return drop_folder(state);
}

#define IN_FOLDERS(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDERS(processes_together_write_what_one_writes), // first, while this process has no threads
        IN_FOLDERS(the_end_names_what_is_missing),
        IN_FOLDERS(parts_of_different_work_refuse_each_other),
        IN_FOLDERS(copies_of_a_model_are_one_model),
        IN_FOLDERS(parts_leave_alone_what_is_not_theirs),
        IN_FOLDERS(a_part_may_be_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
