// What machines lack: bootstrap, configure and make where packages, network, libraries or /proc are not as they should
// be. Their surroundings are stand-ins in a folder of the test's own.
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "tests/support/in_folder.h"
#include "tests/support/program.h"

static char root[4096]; // of the checkout

// A program of this name that stands before the real one in PATH.
static void stand_in(const char *name, const char *script) {
    char *path = path_join(folder, name);
    Text text = {0};
    text_addf(&text, "#!/bin/sh\n%s\n", script);
    folder_put_text(folder, name, text.data);
    assert_int_equal(chmod(path, 0755), 0);
    text_free(&text);
    free(path);
}

// folder/tree: a checkout whose build/ is its own.
static void make_tree(void) {
    Text command = {0};
    text_addf(&command, "mkdir '%s/tree' && cd '%s/tree' && ln -s '%s'/* . && rm -rf build", folder, folder, root);
    assert_int_equal(system(command.data), 0);
    text_free(&command);
}

typedef struct Said {
    int status, lines;
    char text[16384];
} Said;

// The command in the tree, stand-ins first in PATH; both outputs.
static Said run(const char *command) {
    Said said = {0};
    Text line = {0};
    text_addf(&line,
              "cd '%s/tree' && unset MAKEFLAGS MFLAGS MAKELEVEL CC CUDA ONEDNN VTERM NVCC && PATH='%s':$PATH && export "
              "PATH && { %s; } 2>&1 </dev/null",
              folder, folder, command);
    FILE *pipe = popen(line.data, "r");
    assert_non_null(pipe);
    size_t size = fread(said.text, 1, sizeof said.text - 1, pipe);
    said.text[size] = '\0';
    int status = pclose(pipe);
    said.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    for (const char *c = said.text; *c; c++) said.lines += *c == '\n';
    text_free(&line);
    return said;
}

static void expect(const Said *said, int status, const char *text) {
    if (said->status == status && strstr(said->text, text)) return;
    fail_msg("status %d, wanted %d and \"%s\"; it said:\n%s", said->status, status, text, said->text);
}

static void expect_not(const Said *said, const char *text) {
    if (strstr(said->text, text)) fail_msg("it said \"%s\":\n%s", text, said->text);
}

// A Debian on which `missing` is missing (until `installed` is there), root, and apt-get calls are counted in
// folder/calls.
static void debian(const char *missing, const char *apt_get, const char *apt_cache, const char *dpkg_query) {
    Text script = {0};
    make_tree();
    text_addf(&script, "[ \"$1\" != --why ] || { echo 'error: too old'; exit; }\n[ -e '%s/installed' ] || echo %s",
              folder, missing);
    char *configure = path_join(folder, "tree/configure");
    assert_int_equal(unlink(configure), 0);
    stand_in("tree/configure", script.data);
    text_clear(&script);
    text_addf(&script, "case \"$*\" in *--assume-no*) ;; *) echo \"$*\" >>'%s/calls' ;; esac\n%s", folder, apt_get);
    stand_in("apt-get", script.data);
    stand_in("apt-cache", apt_cache);
    stand_in("dpkg-query", dpkg_query);
    stand_in("id", "echo 0");
    text_free(&script);
    free(configure);
}

// Whether, and how often, apt-get was called with this word.
static int calls(const char *word) {
    Text command = {0};
    text_addf(&command, "grep -c '%s' '%s/calls' 2>/dev/null", word, folder);
    FILE *pipe = popen(command.data, "r");
    char line[32] = "";
    assert_non_null(pipe);
    if (!fgets(line, sizeof line, pipe)) line[0] = '\0';
    pclose(pipe);
    text_free(&command);
    return atoi(line);
}

static void without_a_network_there_is_one_try_and_one_message(void **state) {
    (void)state;
    debian("cjson dnnl",
           "i=0; while [ $i -lt 1500 ]; do echo \"Err:$i Temporary failure resolving deb.debian.org\"; i=$((i + 1)); "
           "done; "
           "exit 100",
           "exit 1", "exit 1");
    Said said = run("./bootstrap deps");
    expect(&said, 1, "Connect this machine to the network");
    expect(&said, 1, "libcjson-dev");
    assert_true(said.lines <= 3);
    assert_int_equal(calls("update"), 1);
    assert_int_equal(calls("install"), 0);
}

static void what_will_be_fetched_is_said_before(void **state) {
    (void)state;
    Text apt = {0};
    text_addf(
        &apt,
        "case \"$*\" in *--assume-no*) echo 'Need to get 65.1 MB/70 MB of archives.'; echo 'After this operation, "
        "270 MB of additional disk space will be used.'; exit 1 ;; esac; echo pmstatus:x:55.5:x; touch '%s/installed'",
        folder);
    debian("cjson", apt.data, "echo Filename: x", "exit 1");
    Said said = run("./bootstrap deps");
    expect(&said, 0, "65.1 MB to fetch, 270 MB on disk");
    expect(&said, 0, "installing 55 %");
    text_free(&apt);
}

static void what_is_there_and_does_not_work_is_not_installed_again(void **state) {
    (void)state;
    debian("dnnl", "exit 0", "echo Filename: x", "echo installed");
    Said said = run("./bootstrap deps");
    expect(&said, 0, "building without dnnl: error: too old");
    assert_int_equal(said.lines, 1);
    assert_int_equal(calls("."), 0);
}

static void clang_gets_its_own_openmp(void **state) {
    (void)state;
    debian("openmp", "exit 0", "echo Filename: x", "exit 1");
    Said said = run("CC=clang ./bootstrap deps");
    expect(&said, 1, "missing here: libomp-dev");
    said = run("CC=clang-19 ./bootstrap deps");
    expect(&said, 1, "missing here: libomp-19-dev");
    said = run("CC=tcc ./bootstrap deps");
    expect_not(&said, "installing");
}

static void building_shows_how_far_it_is(void **state) {
    (void)state;
    debian("", "exit 1", "exit 1", "exit 1");
    stand_in("make",
             "for i in 1 2 3; do case $* in *-n*) echo \"echo \\\"  CC    build/$i\\\";gcc\" ;; *) echo \"  CC    "
             "build/$i\" ;; esac; done");
    Said said = run("./bootstrap build");
    expect(&said, 0, "building 2/3");
    expect(&said, 0, "building 3/3");
}

static void what_is_optional_and_does_not_build_is_left_out(void **state) {
    (void)state;
    debian("", "exit 1", "exit 1", "exit 1");
    stand_in(
        "make",
        "[ \"$CUDA\" = 0 ] || { echo 'x.cu(1): error: no'; echo 'make: *** [Makefile:9: build/obj/k.cu.o] Error 1'; "
        "exit 2; }; [ \"$ONEDNN\" = 0 ] || { echo 'make: *** [Makefile:9: build/obj/dense_onednn.c.o] Error 1'; exit "
        "2; }");
    Said said = run("./bootstrap build");
    expect(&said, 0, "CUDA does not build here: x.cu(1): error: no");
    expect(&said, 0, "ONEDNN does not build here");
    stand_in("make",
             "echo 'main.c:1: error: really'; echo 'make: *** [Makefile:9: build/obj/main.c.o] Error 1'; exit 2");
    said = run("./bootstrap build");
    expect(&said, 1, "main.c:1: error: really");
}

// A header of another version: configure compiles our own source with it, and sees.
static void a_library_of_another_version_is_left_out(void **state) {
    (void)state;
    make_tree();
    folder_put_text(folder, "dnnl.h", "#define DNNL_VERSION_MAJOR 99\n");
    Text command = {0};
    text_addf(&command, "CPATH='%s' ./configure && cat build/config.mk", folder);
    Said said = run(command.data);
    expect(&said, 0, "building without dnnl, which is there but does not work: ");
    expect_not(&said, "DNNL_LIBS");
    text_clear(&command);
    text_addf(&command, "ONEDNN=0 CPATH='%s' ./configure", folder);
    said = run(command.data);
    assert_string_equal(said.text, "");
    text_free(&command);
}

static void what_is_optional_is_left_out_by_name(void **state) {
    (void)state;
    make_tree();
    Said said = run("make -n ONEDNN=0 VTERM=0 CUDA=0 build/obj/kernels/cpu/dense_onednn.c.o");
    expect(&said, 0, "-c kernels/cpu/dense_onednn.c");
    expect_not(&said, "QUANTDIAL_ONEDNN");
    expect_not(&said, "QUANTDIAL_VTERM");
    expect_not(&said, "-ldnnl");
    said = run("make VTERM=0 CUDA=0 screenshots");
    expect(&said, 2, "libvterm is missing");
}

static void every_compiler_gets_options_that_it_knows(void **state) {
    (void)state;
    if (system("command -v clang >/dev/null 2>&1 && clang -fopenmp -include omp.h -E -x c /dev/null >/dev/null 2>&1") !=
        0)
        skip();
    make_tree();
    Said said = run("make CC=clang CUDA=0 build/obj/base/clock.c.o V=1");
    expect(&said, 0, "clang -std=gnu17");
    expect_not(&said, "warning:");
}

static void the_sample_is_found_without_proc(void **state) {
    (void)state;
#ifdef __SANITIZE_ADDRESS__
    skip(); // the sanitizer itself reads /proc
#endif
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0 || mount("none", "/proc", "tmpfs", 0, NULL) != 0) _exit(77);
        unsetenv("QUANTDIAL_SAMPLES");
        Ran ran = program_run((const char *const[]){"doctor", NULL}, NULL, NULL);
        _exit(ran.status != 0 || access("/proc/self", F_OK) == 0 || !strstr(ran.out, "samples/storyteller"));
    }
    int status = 0;
    waitpid(child, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77) skip(); // not allowed here
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

// What is at a path outside of a test's own folder is nobody's to know, let alone to write.
static void tests_keep_to_their_own_folders(void **state) {
    (void)state;
    make_tree();
    Said said = run("grep -rnE '\"/(tmp|var|home|nonexistent|nowhere)[/\"]' tests --include='*.c' | grep -v "
                    "'test_machine.c\\|setenv\\|expect_folder\\|support/folder.c'");
    assert_string_equal(said.text, "");
}

int main(void) {
    assert_non_null(getcwd(root, sizeof root));
    const struct CMUnitTest tests[] = {
        IN_FOLDER(without_a_network_there_is_one_try_and_one_message),
        IN_FOLDER(what_will_be_fetched_is_said_before),
        IN_FOLDER(what_is_there_and_does_not_work_is_not_installed_again),
        IN_FOLDER(clang_gets_its_own_openmp),
        IN_FOLDER(building_shows_how_far_it_is),
        IN_FOLDER(what_is_optional_and_does_not_build_is_left_out),
        IN_FOLDER(a_library_of_another_version_is_left_out),
        IN_FOLDER(what_is_optional_is_left_out_by_name),
        IN_FOLDER(every_compiler_gets_options_that_it_knows),
        IN_FOLDER(the_sample_is_found_without_proc),
        IN_FOLDER(tests_keep_to_their_own_folders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
