// The screen on models that are damaged, that cannot be run, or have no tokenizer: it opens, and says so.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tests/support/edited_model.h"
#include "tests/support/in_folder.h"
#include "tests/support/program.h"
#include "tests/support/screen.h"

#define MODEL "tests/fixtures/llama-mha-linear-f32"

static int make_model(void **state) {
    make_folder(state);
    model_copy(folder, MODEL, "model.safetensors");
    model_copy(folder, MODEL, "config.json");
    return 0;
}

static void shows(const char *const *texts) {
    const char *argv[] = {program_path(), folder, "--quiet", "--no-cache", NULL};
    const char *environment[] = {"TERM=xterm-256color", "COLORFGBG=15;0", NULL};
    Screen *s = screen_start(36, 120, argv, environment);
    assert_non_null(s);
    for (; *texts; texts++) {
        if (screen_wait_text(s, *texts)) continue;
        char *shown = screen_text(s);
        print_error("did not come: %s\n%s\n", *texts, shown ? shown : "");
        free(shown);
        fail();
    }
    screen_send(s, ":q!\r");
    assert_true(screen_wait_gone(s));
    assert_int_equal(s->status, 0);
    screen_free(s);
}
#define SHOWS(...) shows((const char *const[]){__VA_ARGS__, NULL})

static void what_is_not_finite_is_marked(void **state) {
    (void)state;
    model_poke(folder, "model.layers.0.self_attn.q_proj.weight", NAN, 3);
    SHOWS("nonfin", "not finite 3", "left in its own precision");
}

static void what_is_left_out_is_in_the_header(void **state) {
    (void)state;
    SHOWS("(2.0 kB not listed)", "there is no tokenizer.json");
}

static void a_configuration_that_does_not_fit_is_told(void **state) {
    (void)state;
    model_edit(folder, "config.json", "\"intermediate_size\": 56", "\"intermediate_size\": 57");
    SHOWS("cannot be run: model.safetensors: tensor model.layers.0.mlp.gate_proj.weight", "down_proj");
}

#define WITH_MODEL(function) cmocka_unit_test_setup_teardown(function, make_model, drop_folder)

int main(void) {
    const struct CMUnitTest tests[] = {WITH_MODEL(what_is_not_finite_is_marked),
                                       WITH_MODEL(what_is_left_out_is_in_the_header),
                                       WITH_MODEL(a_configuration_that_does_not_fit_is_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
