// Nothing but damaged weights keeps anybody from looking at weights: not what a configuration says, not a tokenizer
// that is missing. And what is wrong with the weights shows.
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/array.h"
#include "base/file.h"
#include "tests/support/edited_model.h"
#include "tests/support/in_folder.h"
#include "tests/support/program.h"
#include "tests/support/texts.h"

#define MODEL "tests/fixtures/llama-mha-linear-f32"

static void expect(Ran ran, int status, const char *in_out, const char *in_err) {
    if (ran.status != status) fail_msg("exit status %d, expected %d: %s", ran.status, status, ran.err);
    assert_contains(ran.out, in_out);
    assert_contains(ran.err, in_err);
    ran_free(&ran);
}

static int make_model(void **state) {
    make_folder(state);
    model_copy(folder, MODEL, "model.safetensors");
    model_copy(folder, MODEL, "config.json");
    return 0;
}

static cJSON *json_of(Ran ran) {
    if (ran.status != 0) fail_msg("exit status %d: %s", ran.status, ran.err);
    cJSON *object = cJSON_Parse(ran.out);
    assert_non_null(object);
    ran_free(&ran);
    return object;
}

static const cJSON *get(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item) fail_msg("there is no %s", key);
    return item;
}

static const cJSON *linear_named(const cJSON *object, const char *name) {
    const cJSON *linear;
    cJSON_ArrayForEach(linear, get(object, "linears")) {
        if (strcmp(get(linear, "name")->valuestring, name) == 0) return linear;
    }
    fail_msg("%s is not listed", name);
    return NULL;
}

// ---- Numbers that are none ----

static void what_is_not_finite_shows(void **state) {
    (void)state;
    model_poke(folder, "model.layers.0.self_attn.q_proj.weight", INFINITY, 2);
    model_poke(folder, "model.layers.1.mlp.up_proj.weight", NAN, 0);
    model_poke(folder, "model.norm.weight", NAN, 1);
    const char *said = "2242 weights in 2 of the linears (first: model.layers.0.self_attn.q_proj) are infinite or NaN";
    expect(RUN("inspect", folder), 0, "  not finite: 2\n", said);
    expect(RUN("inspect", folder), 0, "not finite, beside the list: 1 number in 1 tensor (first: model.norm.weight)",
           "");
    cJSON *object = json_of(RUN("inspect", folder, "--json"));
    assert_int_equal(get(get(object, "model"), "nonfinite")->valueint, 2242);
    assert_int_equal(get(get(object, "model"), "unlisted_nonfinite")->valueint, 1);
    const cJSON *some = linear_named(object, "model.layers.0.self_attn.q_proj"),
                *all = linear_named(object, "model.layers.1.mlp.up_proj"),
                *none = linear_named(object, "model.layers.1.mlp.gate_proj");
    assert_int_equal(get(some, "nonfinite")->valueint, 2);
    assert_true(get(some, "absmax")->valuedouble > 0);
    assert_int_equal(get(all, "nonfinite")->valueint, 40 * 56);
    assert_true(cJSON_IsNull(get(all, "absmax")));
    assert_int_equal(get(none, "nonfinite")->valueint, 0);
    cJSON_Delete(object);
}

static void what_is_not_finite_is_not_quantized(void **state) {
    (void)state;
    model_poke(folder, "model.layers.0.self_attn.q_proj.weight", NAN, 1);
    Ran ran = RUN("plan", folder, "--activations", "none");
    assert_null(strstr(ran.out, " nan ")); // what stays as it is has no error of quantization
    expect(ran, 0, "holds weights that are infinite or NaN: stays as it is", "1 weight in 1 of the linears");
    cJSON *object = json_of(RUN("plan", folder, "--activations", "none", "--json"));
    assert_int_equal(get(linear_named(object, "model.layers.0.self_attn.q_proj"), "bits")->valueint, 0);
    assert_int_equal(get(linear_named(object, "model.layers.0.self_attn.k_proj"), "bits")->valueint, 4);
    cJSON_Delete(object);
}

// Failures that follow from such numbers name the tensor, be it listed or not.
static void what_is_not_finite_is_blamed(void **state) {
    (void)state;
    model_poke(folder, "model.layers.1.input_layernorm.weight", NAN, 1);
    expect(RUN("calibrate", folder, "--random-tokens"), 1, "",
           "model.layers.1.input_layernorm.weight holds numbers that are infinite or NaN: ");
    model_poke(folder, "model.layers.0.self_attn.v_proj.weight", INFINITY, 1);
    expect(RUN("plan", folder, "--random-tokens"), 1, "",
           "model.layers.0.self_attn.v_proj holds 1 weight that is infinite or NaN: ");
}

// Logits are written whatever they are, but not without a word.
static void logits_that_are_none_are_told(void **state) {
    (void)state;
    char out[600];
    snprintf(out, sizeof out, "%s/logits.safetensors", folder);
    Ran ran = RUN("logits", folder, "--base", "--ids", "1,2", "-o", out);
    assert_int_equal(ran.status, 0);
    assert_string_equal(ran.err, "");
    ran_free(&ran);
    model_poke(folder, "model.norm.weight", NAN, 1);
    expect(RUN("logits", folder, "--base", "--ids", "1,2", "-o", out), 0, "",
           " logits are infinite or NaN; quantdial inspect names damaged weights");
    model_poke(folder, "model.layers.0.self_attn.q_proj.weight", NAN, 1);
    expect(RUN("logits", folder, "--activations", "none", "--ids", "1,2", "-o", out), 0, "",
           "1 weight in 1 of the linears (first: model.layers.0.self_attn.q_proj) is infinite or NaN");
}

// ---- What is left out ----

static void what_is_left_out_is_said(void **state) {
    (void)state;
    expect(RUN("inspect", folder, "-q"), 0, " are not in the list: biases ", "");
    cJSON *object = json_of(RUN("inspect", folder, "--json")),
          *plan = json_of(RUN("plan", folder, "--json", "--activations", "none"));
    const cJSON *model = get(object, "model"), *kind;
    double bytes = 0;
    cJSON_ArrayForEach(kind, get(model, "unlisted")) bytes += get(kind, "bytes")->valuedouble;
    assert_true(bytes > 0 && bytes == get(model, "unlisted_bytes")->valuedouble);
    assert_true(bytes == get(plan, "unlisted_bytes")->valuedouble);
    double listed = 0;
    const cJSON *linear; // the head is the embedding, and listed as such
    cJSON_ArrayForEach(linear, get(object, "linears")) listed +=
        4 * get(linear, "shape")->child->valuedouble * get(linear, "shape")->child->next->valuedouble;
    assert_true(listed + bytes == get(model, "bytes")->valuedouble);
    cJSON_Delete(object);
    cJSON_Delete(plan);
}

// ---- Configurations ----

static void no_configuration_stops_a_look(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *reason;
    } edits[] = {
        {"\"hidden_size\": 40", "\"hidden_size\": \"big\"", "\"hidden_size\" must be a number"},
        {"\"hidden_size\": 40", "\"hidden_size\": NaN", "\"hidden_size\" must be a number"},
        {"\"hidden_size\": 40", "\"hidden_size\": Infinity", "\"hidden_size\" must be a whole number"},
        {"\"intermediate_size\": 56", "\"intermediate_size\": 57", "but config.json makes it [57, 40]"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3",
         "tensor model.layers.2.self_attn.q_proj.weight is missing"},
        {"\"num_key_value_heads\": 5", "\"num_key_value_heads\": 2", "not a multiple of num_key_value_heads"},
        {"\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": -1", "must be a positive number"},
        {"\"model_type\": \"llama\"", "\"model_type\": 7", "must be a string"},
        {"\"model_type\": \"llama\"", "\"model_type\": ", "JSON cannot be read"},
    };
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        model_copy(folder, MODEL, "config.json");
        model_edit(folder, "config.json", edits[i].from, edits[i].to);
        char *out = path_join(folder, "out.safetensors");
        expect(RUN("inspect", folder), 0, edits[i].reason, "");
        expect(RUN("plan", folder), 0, "its linears are guessed from names and shapes", "");
        expect(RUN("logits", folder, "--base", "--ids", "1", "-o", out), 1, "", edits[i].reason);
        free(out);
    }
    // A key that nobody reads may hold anything, and of one that stands twice the last counts.
    model_copy(folder, MODEL, "config.json");
    model_edit(folder, "config.json", "\"hidden_size\": 40",
               "\"hidden_size\": 4, \"time_step_limit\": [0.0, Infinity], \"hidden_size\": 40.0");
    cJSON *object = json_of(RUN("inspect", folder, "--json"));
    assert_int_equal(get(get(object, "model"), "hidden")->valueint, 40);
    assert_null(cJSON_GetObjectItemCaseSensitive(get(object, "model"), "not_run"));
    cJSON_Delete(object);
}

// Flags of a family that is run, in a combination that its tensors do not have.
static void flags_that_do_not_fit_are_listed_all_the_same(void **state) {
    (void)state;
    model_copy(folder, "tests/fixtures/families/falcon", "model.safetensors");
    model_copy(folder, "tests/fixtures/families/falcon", "config.json");
    model_edit(folder, "config.json", "\"new_decoder_architecture\": false", "\"new_decoder_architecture\": true");
    expect(RUN("inspect", folder), 0, "transformer.h.0.self_attention.query_key_value.weight: its shape is", "");
    cJSON *object = json_of(RUN("inspect", folder, "--json"));
    linear_named(object, "transformer.h.0.self_attention.query_key_value");
    cJSON_Delete(object);
}

// What cannot be read is neither listed nor hidden.
static void what_cannot_be_read_is_told(void **state) {
    (void)state;
    free(folder_put_safetensors(folder, "model.safetensors",
                                "{\"a.q_proj.weight\":{\"dtype\":\"U8\",\"shape\":[4,8],\"data_offsets\":[0,32]},"
                                "\"a.v_proj.weight\":{\"dtype\":\"BF16\",\"shape\":[4,4],\"data_offsets\":[32,64]}}",
                                64));
    folder_put_text(folder, "config.json",
                    "{\"model_type\":\"x\",\"quantization_config\":{\"quant_method\":\"unheard-of\"}}");
    expect(RUN("inspect", folder), 0, "matrices 32 bytes (only a.q_proj.weight)\nnot read: ", "");
    expect(RUN("inspect", folder), 0, "\"unheard-of\" is not read", "");
    cJSON *object = json_of(RUN("inspect", folder, "--json"));
    assert_int_equal(cJSON_GetArraySize(get(object, "linears")), 1);
    assert_contains(get(get(object, "model"), "unread")->valuestring, "unheard-of");
    cJSON_Delete(object);
}

// ---- Texts ----

static void a_tokenizer_is_for_texts(void **state) {
    (void)state;
    expect(RUN("plan", folder, "--activations", "none"), 0, "in 14 quantized linears", "");
    expect(RUN("plan", folder, "--random-tokens"), 0, "static", "");
    expect(RUN("plan", folder), 1, "", "--activations none quantizes weights alone");
    char *out = path_join(folder, "out.safetensors");
    expect(RUN("logits", folder, "--activations", "none", "--ids", "1", "-o", out), 0, "", "");
    free(out);
}

// ---- Files ----

static void files_are_missed_when_their_tensors_are(void **state) {
    (void)state;
    char *from = path_join(folder, "model.safetensors"), *to = path_join(folder, "part-1.safetensors");
    assert_int_equal(rename(from, to), 0);
    folder_put_text(
        folder, "model.safetensors.index.json",
        "{\"weight_map\":{\"model.norm.weight\":\"part-1.safetensors\",\"mtp.fc.weight\":\"part-2.safetensors\"}}");
    expect(RUN("inspect", folder), 0, "model.layers.1.mlp.down_proj", "");
    model_edit(folder, "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    expect(RUN("inspect", folder), 1, "", "/part-2.safetensors: cannot be opened: it is missing");
    model_edit(folder, "config.json", "\"model_type\": \"llama\"", "\"model_type\": \"mamba\"");
    expect(RUN("inspect", folder), 1, "", "download the model again");
    free(from);
    free(to);
}

#define WITH_MODEL(function) cmocka_unit_test_setup_teardown(function, make_model, drop_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        WITH_MODEL(what_is_not_finite_shows),
        WITH_MODEL(what_is_not_finite_is_not_quantized),
        WITH_MODEL(what_is_not_finite_is_blamed),
        WITH_MODEL(logits_that_are_none_are_told),
        WITH_MODEL(what_is_left_out_is_said),
        WITH_MODEL(no_configuration_stops_a_look),
        WITH_MODEL(flags_that_do_not_fit_are_listed_all_the_same),
        WITH_MODEL(what_cannot_be_read_is_told),
        WITH_MODEL(a_tokenizer_is_for_texts),
        WITH_MODEL(files_are_missed_when_their_tensors_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
