// Exports: what is written is what the plan says, at any place where it was stopped; what cannot be written is refused.
#include <math.h>
#include <regex.h>
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

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "engine/engine.h"
#include "export/random_checkpoint.h"
#include "export/safetensors_writer.h"
#include "tests/support/edited_model.h"
#include "tests/support/export_model.h"
#include "tests/support/fixture_model.h"
#include "tests/support/in_folder.h"

#define LLAMA "tests/fixtures/llama-gqa-llama3-bf16"
#define FAMILY "tests/fixtures/families/"

static ExportOptions options_for(const char *path) {
    return (ExportOptions){.format = EXPORT_COMPRESSED_TENSORS, .folder = path, .verify = true};
}

static void assert_same_file(const char *a, const char *b, const char *name) {
    size_t size, other;
    char *first = export_file(a, name, &size), *second = export_file(b, name, &other);
    assert_int_equal(size, other);
    assert_memory_equal(first, second, size);
    free(first);
    free(second);
}

#define PLAIN "\"activations\": {\"policy\": \"none\"}"
#define GROUPS(bits, group) "\"weights\": {\"bits\": " #bits ", \"granularity\": \"group\", \"group_size\": " #group "}"
#define W4 "{\"quantdial_recipe\": 2, " GROUPS(4, 16) ", " PLAIN "}"

// ---- Known bytes ----

typedef struct Crafted {
    const char *name;
    size_t rows, columns;
    int first, cycle; // column j holds first + j % cycle
} Crafted;

// The least and the largest of each row are those of the codes, so that on the asymmetric grid values are codes.
static const Crafted crafted[] = {
    {"model.layers.0.mlp.up_proj.weight", 8, 32, -4, 8},
    {"model.layers.1.mlp.up_proj.weight", 8, 32, -8, 16},
    {"model.layers.2.mlp.up_proj.weight", 8, 256, -128, 256},
};

static char *craft_model(const char *config) {
    char *path = path_join(folder, "crafted"), *file = path_join(path, "model.safetensors");
    SafetensorsHead head;
    safetensors_head_begin(&head);
    for (size_t t = 0; t < 3; t++)
        safetensors_head_add(&head, crafted[t].name, DTYPE_F32, 2, (uint64_t[]){crafted[t].rows, crafted[t].columns});
    assert_true(safetensors_head_end(&head, NULL));
    for (size_t t = 0; t < 3; t++) {
        for (size_t i = 0; i < crafted[t].rows * crafted[t].columns; i++) {
            const float value = (float)(crafted[t].first + (int)(i % crafted[t].columns) % crafted[t].cycle);
            text_add(&head.text, (const char *)&value, sizeof value);
        }
    }
    assert_true(folder_make(path, NULL));
    assert_true(file_write(file, head.text.data, head.text.length, NULL));
    text_free(&head.text);
    free(file);
    file = path_join(path, "config.json");
    assert_true(file_write(file, config, strlen(config), NULL));
    free(file);
    return path;
}

static void assert_words(const Checkpoint *checkpoint, const char *name, const char *hex) {
    const Tensor *tensor = checkpoint_find(checkpoint, name);
    if (!tensor) fail_msg("%s is missing", name);
    for (size_t i = 0; hex[9 * i]; i++) {
        char word[16];
        uint32_t bits;
        memcpy(&bits, (const char *)tensor->data + 4 * i, 4);
        snprintf(word, sizeof word, "%08x ", bits);
        assert_memory_equal(word, hex + 9 * i, 8);
    }
}

// The words that compressed-tensors 0.18 packs of these codes.
static void codes_are_packed_as_the_format_says(void **state) {
    (void)state;
    char *model = craft_model("{\"model_type\": \"no-such-family\"}"), *out = path_join(folder, "out");
    Engine *engine = export_engine(
        model, "{\"quantdial_recipe\": 2, \"weights\": {\"grid\": \"asymmetric\", \"granularity\": \"channel\", "
               "\"scale\": \"f32\"}, " PLAIN ", \"overrides\": [{\"match\": \"*.0.*\", \"weights\": {\"bits\": 3}}, "
               "{\"match\": \"*.2.*\", \"weights\": {\"bits\": 8}}]}");
    ExportOptions options = options_for(out);
    options.odd_bits = true;
    const ExportResult result = export_written(engine, &options);
    assert_non_null(strstr(result.warning, "0.18"));
    Checkpoint checkpoint;
    assert_true(checkpoint_open(out, &checkpoint, NULL));
    assert_words(&checkpoint, "model.layers.0.mlp.up_proj.weight_packed", "88fac688 c688fac6 fac688fa ");
    assert_words(&checkpoint, "model.layers.1.mlp.up_proj.weight_packed", "76543210 fedcba98 76543210 fedcba98 ");
    assert_words(&checkpoint, "model.layers.2.mlp.up_proj.weight_packed", "03020100 07060504 ");
    assert_words(&checkpoint, "model.layers.1.mlp.up_proj.weight_zero_point", "88888888 ");
    assert_words(&checkpoint, "model.layers.1.mlp.up_proj.weight_scale", "3f800000 3f800000 ");
    assert_words(&checkpoint, "model.layers.1.mlp.up_proj.weight_shape", "00000008 00000000 00000020 00000000 ");
    assert_words(&checkpoint, "model.layers.0.mlp.up_proj.weight_zero_point", "00924924 ");
    checkpoint_close(&checkpoint);
    engine_close(engine);
    free(model), free(out);
}

// ---- config.json ----

static void config_keeps_every_digit(void **state) {
    (void)state;
    const char *config =
        "{\"model_type\":\"no-such-family\", \"eps\" : 1e-05,\n\"theta\": 500000.0, \"large\": "
        "12345678901234567890, \"quantization_config\": {\"quant_method\": \"fp8\", \"x\": [\"}\", 1]},"
        " \"tail\": [1, 2.50]}";
    char *model = craft_model(config), *out = path_join(folder, "out");
    Engine *engine = export_engine(model, W4);
    const ExportOptions options = options_for(out);
    export_written(engine, &options);
    size_t size;
    char *text = export_file(out, "config.json", &size);
    const char *before = "{\"model_type\":\"no-such-family\", \"eps\" : 1e-05,\n\"theta\": 500000.0, \"large\": "
                         "12345678901234567890, \"quantization_config\": {\n    \"quant_method\": "
                         "\"compressed-tensors\"";
    assert_memory_equal(text, before, strlen(before));
    assert_string_equal(text + size - strlen(", \"tail\": [1, 2.50]}"), ", \"tail\": [1, 2.50]}");
    assert_null(strstr(text, "fp8"));
    free(text);
    engine_close(engine);
    free(model), free(out);
}

// As compressed-tensors matches them: by a name, or by an expression anchored at its beginning.
static bool target_matches(const char *target, const char *name) {
    regex_t regex;
    regmatch_t match;
    Text pattern = {0};
    if (strncmp(target, "re:", 3) != 0) return strcmp(target, name) == 0;
    for (const char *at = target + 3; *at; at++) { // \d is not POSIX's
        const bool digit = strncmp(at, "\\d", 2) == 0;
        text_addf(&pattern, digit ? "[0-9]" : "%c", *at);
        at += digit;
    }
    assert_int_equal(regcomp(&regex, pattern.data, REG_EXTENDED), 0);
    const bool found = regexec(&regex, name, 1, &match, 0) == 0 && match.rm_so == 0;
    regfree(&regex);
    text_free(&pattern);
    return found;
}

static int matches_in(const cJSON *targets, const char *name) {
    int count = 0;
    const cJSON *target;
    cJSON_ArrayForEach(target, targets) count += target_matches(target->valuestring, name);
    return count;
}

// The one group or list that a linear is in.
static const cJSON *group_of(const cJSON *config, const char *name) {
    const cJSON *groups = cJSON_GetObjectItem(config, "config_groups"), *group, *found = NULL;
    int count = matches_in(cJSON_GetObjectItem(config, "ignore"), name);
    cJSON_ArrayForEach(group, groups) {
        const int here = matches_in(cJSON_GetObjectItem(group, "targets"), name);
        count += here;
        if (here) found = group;
    }
    if (count != 1) fail_msg("%s is targeted %d times", name, count);
    return found;
}

static int number_of(const cJSON *group, const char *key) {
    return (int)cJSON_GetNumberValue(cJSON_GetObjectItem(cJSON_GetObjectItem(group, "weights"), key));
}

// Every linear under the name that an engine has for it, which begins as it likes.
static void expect_bits(const char *model, const char *recipe, const char *prefix, const char *drop) {
    char *out = path_join(folder, "out");
    Engine *engine = export_engine(model, recipe);
    ExportOptions options = options_for(out);
    options.overwrite = true;
    export_written(engine, &options);
    size_t size;
    char *text = export_file(out, "config.json", &size);
    cJSON *root = json_parse(text, size, NULL);
    const cJSON *config = cJSON_GetObjectItem(root, "quantization_config");
    const ModelStructure *s = engine_structure(engine);
    for (int i = 0; i < s->linear_count; i++) {
        const Decision *d = &engine_plan(engine)->decisions[i];
        const char *name = s->linears[i].name;
        char asked[160];
        if (strncmp(name, drop, strlen(drop)) == 0) name += strlen(drop);
        snprintf(asked, sizeof asked, "%s%s", i == s->head ? "" : prefix, name);
        const cJSON *group = group_of(config, asked);
        assert_int_equal(group ? number_of(group, "num_bits") : 0, d->quantized ? d->bits : 0);
    }
    if (strstr(model, "llava")) {
        const cJSON *ignored = cJSON_GetObjectItem(config, "ignore"); // which goes before targets
        assert_int_equal(matches_in(ignored, "model.vision_tower.encoder.layers.0.self_attn.q_proj"), 1);
        assert_int_equal(matches_in(ignored, "model.multi_modal_projector.linear_1"), 1);
    }
    cJSON_Delete(root);
    free(text), free(out);
    engine_close(engine);
}

#define LAYER_DIFFERS(match)                                                                     \
    "{\"quantdial_recipe\": 2, \"weights\": {\"granularity\": \"channel\", \"bits\": 4}, " PLAIN \
    ", \"overrides\": [{\"match\": \"" match "\", \"weights\": {\"bits\": 8}}]}"

// A checkpoint of the model without its head lacks what engines put before its names, and one of a model that sees has
// other words there. Its tower has the layers and names of the text, and layers of two stacks differ by the stack
// alone.
static void modules_are_found_whatever_stands_before_them(void **state) {
    (void)state;
    expect_bits(FAMILY "opt-post-norm", LAYER_DIFFERS("*.0.*"), "model.", "");
    expect_bits(FAMILY "bloom", LAYER_DIFFERS("*.0.*"), "transformer.", "");
    expect_bits(FAMILY "llava", LAYER_DIFFERS("*.0.*"), "model.language_model.", "language_model.model.");
    expect_bits(FAMILY "llava", LAYER_DIFFERS("nothing"), "model.language_model.", "language_model.model.");
    expect_bits(FAMILY "bart", LAYER_DIFFERS("*encoder.layers*"), "", "");
}

static void every_linear_is_in_one_group(void **state) {
    (void)state;
    char *out = path_join(folder, "out");
    Engine *engine = export_engine(
        LLAMA, "{\"quantdial_recipe\": 2, " GROUPS(
                   4, 16) ", " PLAIN ", \"overrides\": ["
                          "{\"match\": \"*down_proj\", \"weights\": {\"bits\": 8, \"granularity\": \"channel\"}, "
                          "\"activations\": {\"policy\": \"token\"}}, "
                          "{\"match\": \"*.1.self_attn.o_proj\", \"weights\": {\"bits\": 8}}], "
                          "\"ignore\": [\"lm_head\", \"*.0.mlp.gate_proj\", \"*.0.mlp.up_proj\"]}");
    const ExportOptions options = options_for(out);
    export_written(engine, &options);
    size_t size;
    char *text = export_file(out, "config.json", &size);
    cJSON *root = json_parse(text, size, NULL);
    const cJSON *config = cJSON_GetObjectItem(root, "quantization_config");
    assert_string_equal(cJSON_GetObjectItem(config, "format")->valuestring, "mixed-precision");
    const ModelStructure *s = engine_structure(engine);
    for (int i = 0; i < s->linear_count; i++) {
        const Decision *d = &engine_plan(engine)->decisions[i];
        const cJSON *group = group_of(config, s->linears[i].name);
        assert_int_equal(group != NULL, d->quantized);
        if (!group) continue;
        const bool token = d->activations == POLICY_TOKEN;
        assert_int_equal(number_of(group, "num_bits"), d->bits);
        if (d->granularity == GRANULARITY_GROUP) assert_int_equal(number_of(group, "group_size"), d->group);
        assert_string_equal(cJSON_GetObjectItem(group, "format")->valuestring,
                            token ? "int-quantized" : "pack-quantized");
        assert_int_equal(cJSON_IsObject(cJSON_GetObjectItem(group, "input_activations")), token);
    }
    cJSON_Delete(root);
    free(text);
    engine_close(engine);
    free(out);
}

// ---- The weights ----

#define CHANNELS(bits, policy)                                                                                      \
    "{\"quantdial_recipe\": 2, \"weights\": {\"bits\": " #bits ", \"granularity\": \"channel\"}, \"activations\": " \
    "{\"policy\": \"" policy "\"}}"

// verify compares every byte, and what the loaders read, with the plan's codes.
static void every_profile_is_read_back(void **state) {
    (void)state;
    static const char *const recipes[] = {
        W4,
        CHANNELS(8, "none"),
        CHANNELS(8, "static"),
        CHANNELS(8, "token"),
        CHANNELS(4, "token"),
        "{\"quantdial_recipe\": 2, \"weights\": {\"granularity\": \"tensor\", \"bits\": 8}, " PLAIN "}",
        "{\"quantdial_recipe\": 2, \"weights\": {\"granularity\": \"group\", \"group_size\": 16, \"grid\": "
        "\"asymmetric\", \"scale\": \"f32\"}, " PLAIN "}",
        "{\"quantdial_recipe\": 2, \"weights\": {\"granularity\": \"channel\", \"bits\": 3, \"grid\": "
        "\"asymmetric\"}, " PLAIN "}",
        "{\"quantdial_recipe\": 2, " GROUPS(4,
                                            16) ", \"activations\": {\"policy\": \"smoothquant\", \"fold\": \"all\"}}",
    };
    static const char *const models[] = {LLAMA, FAMILY "opt", FAMILY "qwen3-tied", FAMILY "mixtral",
                                         "tests/fixtures/stored/model-gptq"};
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
            char name[32];
            snprintf(name, sizeof name, "out-%zu-%zu", i, m);
            char *out = path_join(folder, name);
            Engine *engine = export_engine(models[m], recipes[i]);
            ExportOptions options = options_for(out);
            options.odd_bits = true;
            const bool partial = m >= 1 && m <= 3 && strstr(recipes[i], "group_size"); // 16 does not divide 24
            if (partial)
                export_refused(engine, &options, "do not divide");
            else
                assert_true(export_written(engine, &options).verified > 0);
            engine_close(engine);
            free(out);
        }
    }
}

static float *logits_of(const char *path, int32_t *ids, size_t tokens) {
    FixtureModel model;
    fixture_model_open(path, PRECISION_F32, &model);
    float *logits = fixture_logits(model.base, ids, tokens);
    fixture_model_close(&model);
    return logits;
}

// At 8 bits hardly anything is lost: if a factor went to one side alone, everything would be.
static void factors_are_folded_into_weights(void **state) {
    (void)state;
    static const char *const models[] = {LLAMA, FAMILY "qwen2-window", FAMILY "gemma", FAMILY "opt"};
    int32_t ids[] = {1, 9, 17, 30, 2, 5};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char *out = path_join(folder, strrchr(models[m], '/') + 1);
        Engine *engine =
            export_engine(models[m], "{\"quantdial_recipe\": 2, \"weights\": {\"bits\": 8, \"granularity\": "
                                     "\"channel\", \"scale\": \"f32\"}, \"activations\": {\"policy\": \"fptq\", "
                                     "\"v0\": 0, \"v1\": 100000, \"fold\": \"all\"}}");
        int folded[3] = {0};
        for (int i = 0; i < engine_plan(engine)->linear_count; i++) {
            const Decision *d = &engine_plan(engine)->decisions[i];
            folded[d->lae ? d->fold : FOLD_NONE]++;
        }
        assert_true(folded[FOLD_NORM] > 0 && folded[FOLD_LINEAR_ROWS] > 0);
        const ExportOptions options = options_for(out);
        export_written(engine, &options);
        const size_t n = 6 * (size_t)engine_structure(engine)->config.vocab;
        float *before = logits_of(models[m], ids, 6), *after = logits_of(out, ids, 6);
        const double away = relative_difference(after, before, n);
        if (!(away > 0 && away < 0.03)) fail_msg("%s: %g", models[m], away);
        engine_close(engine);
        free(before), free(after), free(out);
    }
}

static void the_rest_stays_as_it_is(void **state) {
    (void)state;
    char *out = path_join(folder, "out");
    Engine *engine = export_engine(LLAMA, W4);
    const ExportOptions options = options_for(out);
    export_written(engine, &options);
    Checkpoint before, after;
    assert_true(checkpoint_open(LLAMA, &before, NULL) && checkpoint_open(out, &after, NULL));
    static const char *const names[] = {"model.embed_tokens.weight", "model.norm.weight",
                                        "model.layers.1.input_layernorm.weight"};
    for (size_t i = 0; i < 3; i++) {
        const Tensor *a = checkpoint_find(&before, names[i]), *b = checkpoint_find(&after, names[i]);
        assert_true(a && b && a->bytes == b->bytes && a->dtype == b->dtype);
        assert_memory_equal(a->data, b->data, a->bytes);
    }
    assert_null(checkpoint_find(&after, "model.layers.1.mlp.up_proj.weight"));
    checkpoint_close(&before), checkpoint_close(&after);
    engine_close(engine);
    free(out);
}

// ---- Stops, kills, disks ----

static char *random_model(void) {
    char *path = path_join(folder, "model");
    const RandomOptions options = {.shape = *random_shape_find("tiny"), .dtype = DTYPE_BF16, .seed = 1};
    assert_true(random_checkpoint_write(&options, path, NULL, NULL));
    return path;
}

static ino_t inode_of(const char *path, const char *name) {
    struct stat info;
    char *file = path_join(path, name);
    const ino_t inode = stat(file, &info) == 0 ? info.st_ino : 0;
    free(file);
    return inode;
}

static void assert_same_exports(const char *a, const char *b, int files) {
    char name[64];
    for (int f = 0; f < files; f++) {
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", f + 1, files);
        assert_same_file(a, b, name);
    }
    assert_same_file(a, b, "config.json");
    assert_same_file(a, b, "model.safetensors.index.json");
    assert_same_file(a, b, "quantdial-export.json");
    assert_same_file(a, b, "tokenizer.json");
}

// A stop asked for before the start is obeyed after a piece: so the work ends once behind every unit.
static void it_goes_on_after_every_stop(void **state) {
    (void)state;
    char *model = random_model(), *once = path_join(folder, "once"), *often = path_join(folder, "often");
    Engine *engine = export_engine(model, W4);
    ExportOptions whole = options_for(once), options = options_for(often);
    whole.shard_bytes = options.shard_bytes = 30000;
    options.verify = false; // a stop would stop that, too
    const int files = export_written(engine, &whole).files;
    assert_true(files > 3);
    Progress stop = {0};
    atomic_store(&stop.stop, true);
    ino_t first = 0;
    int stops = 0;
    for (;; stops++) {
        ExportResult result;
        Error err = {0};
        if (engine_export(engine, &options, NULL, &result, &stop, &err)) break;
        assert_true(err.stopped);
        assert_false(folder_has(often, "config.json"));
        Checkpoint checkpoint;
        Error why = {0};
        assert_false(checkpoint_open(often, &checkpoint, &why));
        assert_non_null(strstr(why.message, "is an unfinished export"));
        assert_non_null(strstr(why.message, "run the same quantdial quantize again"));
        checkpoint_close(&checkpoint);
        char name[64];
        snprintf(name, sizeof name, "model-00001-of-%05d.safetensors", files);
        if (first) assert_int_equal(inode_of(often, name), first);
        first = inode_of(often, name);
        assert_true(stops < 100);
    }
    assert_true(stops > files);
    assert_same_exports(once, often, files);
    assert_true(export_written(engine, &options).was_complete);
    engine_close(engine);
    free(model), free(once), free(often);
}

static void a_full_disk_loses_nothing(void **state) {
    (void)state;
    char *model = random_model(), *once = path_join(folder, "once"), *out = path_join(folder, "out");
    Engine *engine = export_engine(model, W4);
    ExportOptions whole = options_for(once), options = options_for(out);
    whole.shard_bytes = options.shard_bytes = 50000; // the embedding is larger, and stands alone
    const int files = export_written(engine, &whole).files;
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = (struct rlimit){.rlim_cur = 60000, .rlim_max = old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    export_refused(engine, &options, "run the same command again");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_false(folder_has(out, "config.json"));
    export_written(engine, &options);
    assert_same_exports(once, out, files);
    engine_close(engine);
    free(model), free(once), free(out);
}

// ---- What is refused ----

static void plans_that_do_not_fit_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *model, *recipe, *reason;
    } cases[] = {
        {LLAMA, "{\"quantdial_recipe\": 2, \"weights\": {\"bits\": 3, \"granularity\": \"channel\"}, " PLAIN "}",
         "--allow-odd-bits"},
        {LLAMA, "{\"quantdial_recipe\": 2, \"weights\": {\"grid\": \"log2\", \"granularity\": \"channel\"}, " PLAIN "}",
         "--grid symmetric"},

        {FAMILY "gpt2", CHANNELS(4, "none"), "Conv1D"},
        {FAMILY "opt", W4, "do not divide"},
        {LLAMA, CHANNELS(8, "channel"), "--activations token"},
        {LLAMA,
         "{\"quantdial_recipe\": 2, \"weights\": {\"grid\": \"asymmetric\", \"granularity\": \"channel\"}, "
         "\"activations\": {\"policy\": \"token\"}}",
         "--activations none"},
        {LLAMA,
         "{\"quantdial_recipe\": 2, " GROUPS(
             4, 16) ", " PLAIN ", \"overrides\": [{\"match\": \"*.1.self_attn.k_proj\", \"weights\": {\"bits\": 8}}]}",
         "model.layers.1.self_attn.k_proj: engines fuse them"},
        {LLAMA,
         "{\"quantdial_recipe\": 2, " GROUPS(4, 16) ", \"activations\": {\"policy\": \"smoothquant\", "
                                                    "\"unfoldable\": \"runtime\"}}",
         "--unfoldable token (4 such linears)"},
    };
    char *out = path_join(folder, "out");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (!cases[i].reason) continue;
        Engine *engine = export_engine(cases[i].model, cases[i].recipe);
        const ExportOptions options = options_for(out);
        export_refused(engine, &options, cases[i].reason);
        assert_false(folder_exists(out));
        engine_close(engine);
    }
    free(out);
}

static void nothing_is_replaced_unasked(void **state) {
    (void)state;
    char *model = random_model(), *out = path_join(folder, "out");
    Engine *engine = export_engine(model, W4), *other = export_engine(model, CHANNELS(8, "none"));
    ExportOptions options = options_for(model);
    options.overwrite = true;
    export_refused(engine, &options, "is the model itself");
    options = options_for(out);
    assert_true(folder_make(out, NULL));
    folder_put_text(out, "model.safetensors", "mine");
    folder_put_text(out, "notes.txt", "mine");
    export_refused(engine, &options, "is not empty");
    size_t size;
    char *text = export_file(out, "model.safetensors", &size);
    assert_string_equal(text, "mine");
    free(text);

    options.overwrite = true;
    export_written(engine, &options);
    assert_true(folder_has(out, "notes.txt"));
    options.overwrite = false;
    export_refused(other, &options, "by another recipe");
    assert_true(export_written(engine, &options).was_complete);
    options.overwrite = true;
    assert_false(export_written(other, &options).was_complete);
    engine_close(engine), engine_close(other);
    free(model), free(out);
}

static void damage_is_noticed(void **state) {
    (void)state;
    char *model = random_model(), *out = path_join(folder, "out"), *file = path_join(out, "model.safetensors");
    Engine *engine = export_engine(model, W4);
    const ExportOptions options = options_for(out);
    export_written(engine, &options);
    size_t size;
    char *bytes = export_file(out, "model.safetensors", &size);
    bytes[size - 100] ^= 1;
    assert_true(file_write(file, bytes, size, NULL));
    export_refused(engine, &options, "is not what was written");
    ExportOptions anew = options; // the remedy that this message names
    anew.overwrite = true;
    assert_false(export_written(engine, &anew).was_complete);
    bytes[size - 100] ^= 1;
    size_t length;
    char *again = export_file(out, "model.safetensors", &length);
    assert_int_equal(length, size);
    assert_memory_equal(again, bytes, size);
    assert_true(file_write(file, bytes, size - 1, NULL)); // a file of another size is written again
    assert_false(export_written(engine, &options).was_complete);
    free(bytes), free(again);
    engine_close(engine);
    free(model), free(out), free(file);
}

// What stands beside weights that are complete is written each time.
static void what_was_lost_beside_the_weights_comes_back(void **state) {
    (void)state;
    char *model = random_model(), *out = path_join(folder, "out"), *config = path_join(out, "config.json");
    Engine *engine = export_engine(model, W4);
    const ExportOptions options = options_for(out);
    export_written(engine, &options);
    assert_int_equal(unlink(config), 0);
    folder_put_text(out, "README.md", "measured");
    assert_true(export_written(engine, &options).was_complete);
    assert_true(file_exists(config));
    size_t size;
    char *card = export_file(out, "README.md", &size);
    assert_string_equal(card, "measured"); // by a call that measured: nothing better is known now
    free(card);
    engine_close(engine);
    free(model), free(out), free(config);
}

#define GROUPED "{\"quantdial_recipe\": 2, " GROUPS(4, 32) ", " PLAIN "}"

static void expect_front_matter(Engine *engine, const char *out, ExportFormat format, const char *wanted) {
    ExportOptions options = options_for(out);
    size_t size;
    options.format = format;
    options.overwrite = true;
    export_written(engine, &options);
    char *card = export_file(out, "README.md", &size);
    if (strncmp(card, wanted, strlen(wanted)) != 0) fail_msg("%.400s", card);
    free(card);
}

static void expect_in_card(const char *recipe, const char *model, const char *out, const char *named,
                           const char *unnamed) {
    Engine *engine = export_engine(model, recipe);
    ExportOptions options = options_for(out);
    size_t size;
    options.overwrite = true;
    export_written(engine, &options);
    char *card = export_file(out, "README.md", &size);
    assert_non_null(strstr(card, "AutoModelForCausalLM"));
    assert_non_null(strstr(card, named));
    assert_null(strstr(card, unnamed));
    free(card);
    engine_close(engine);
}

// Who does not load it is not told how.
static void the_card_names_the_engines_that_load_it(void **state) {
    (void)state;
    char *model = random_model(), *out = path_join(folder, "out");
    expect_in_card(GROUPED, model, out, "`vllm serve FOLDER`", "refused by vllm");
    expect_in_card("{\"quantdial_recipe\": 2, \"weights\": {\"bits\": 4, \"granularity\": \"tensor\"}, " PLAIN "}",
                   model, out, "- refused by vllm, ", "vllm serve");
    free(model), free(out);
}

// License, language and tags are those of the model; what it is and who made it are ours.
static void the_card_says_whose_model_it_is(void **state) {
    (void)state;
    char *model = random_model(), *out = path_join(folder, "out"), *hub = path_join(folder, "models--us--tiny--1");
    Engine *engine = export_engine(model, GROUPED);
    expect_front_matter(engine, out, EXPORT_COMPRESSED_TENSORS,
                        "---\nlibrary_name: transformers\ntags:\n- quantdial\n- compressed-tensors\n---\n\n# ");
    folder_put_text(model, "README.md",
                    "---\r\nlicense: other\r\nlicense_name: ours\nmodel-index:\n- name: x\n  results: []\nlanguage:\n"
                    "- en\n  # and\n- de\nbase_model: them/old\nbase_model_relation: finetune\nlibrary_name: peft\n"
                    "tags: [chat, 'mlx',\n  \"a b\"]\n---\n# Tiny\nlicense: mit\n");
    expect_front_matter(engine, out, EXPORT_MLX,
                        "---\nlicense: other\nlicense_name: ours\nlanguage:\n- en\n  # and\n- de\n"
                        "base_model: them/old\nbase_model_relation: finetune\nlibrary_name: mlx\n"
                        "tags:\n- chat\n- \"a b\"\n- quantdial\n- mlx\n---\n\n# ");
    engine_close(engine);
    assert_int_equal(rename(model, hub), 0); // as huggingface_hub keeps it
    folder_put_text(hub, "README.md",
                    "---\nlibrary_name: mlx\nbase_model: them/old\ntags:\n- chat\n- mlx\n- quantdial\n---\n");
    engine = export_engine(hub, GROUPED);
    expect_front_matter(engine, out, EXPORT_COMPRESSED_TENSORS,
                        "---\nbase_model: us/tiny--1\nbase_model_relation: quantized\nlibrary_name: transformers\n"
                        "tags:\n- chat\n- quantdial\n- compressed-tensors\n---\n\n# ");
    engine_close(engine);
    free(model), free(out), free(hub);
}

// What a link in the folder names is not part of the folder.
static void files_behind_links_stay(void **state) {
    (void)state;
    char *model = random_model(), *out = path_join(folder, "out"), *link = path_join(out, "README.md"),
         *victim = path_join(folder, "victim");
    Engine *engine = export_engine(model, W4);
    ExportOptions options = options_for(out);
    options.overwrite = true;
    assert_true(folder_make(out, NULL));
    folder_put_text(folder, "victim", "mine");
    folder_put_text(out, "chat_template.jinja", "of another model");
    assert_int_equal(symlink(victim, link), 0);
    export_written(engine, &options);
    size_t size;
    char *text = export_file(folder, "victim", &size);
    assert_string_equal(text, "mine");
    free(text);
    assert_true(folder_has(out, "README.md") && !folder_has(out, "chat_template.jinja"));
    engine_close(engine);
    free(model), free(out), free(link), free(victim);
}

static void a_model_without_configuration_is_refused_at_once(void **state) {
    (void)state;
    char *model = random_model(), *out = path_join(folder, "out"), *config = path_join(model, "config.json");
    Engine *engine = export_engine(model, W4);
    const ExportOptions options = options_for(out);
    assert_int_equal(unlink(config), 0);
    export_refused(engine, &options, "config.json");
    assert_false(folder_exists(out));
    engine_close(engine);
    free(model), free(out), free(config);
}

static void expect_no_place(Engine *engine, const char *where, const char *reason) {
    const ExportOptions options = options_for(where);
    ExportForecast forecast;
    Error err = {0};
    export_refused(engine, &options, reason);
    assert_false(engine_forecast(engine, &options, &forecast, &err));
    if (!strstr(err.message, reason)) fail_msg("\"%s\" is not in: %s", reason, err.message);
}

// What cannot be written is known before anything is, also to a forecast.
static void where_nothing_can_be_written(void **state) {
    (void)state;
    char *model = random_model(), *file = path_join(folder, "file"), *below = path_join(folder, "file/a/b/"),
         *locked = path_join(folder, "locked");
    Engine *engine = export_engine(model, W4);
    folder_put_text(folder, "file", "mine");
    expect_no_place(engine, file, "file: is a file, not a folder; name a folder with -o");
    expect_no_place(engine, below, "/file is a file; name another folder with -o");
    if (geteuid() != 0) {
        assert_int_equal(mkdir(locked, 0555), 0);
        expect_no_place(engine, locked, "locked: cannot be written to: Permission denied");
    } else { // has no room
        expect_no_place(engine, "/proc/quantdial-out", "GB are needed, but the disk has 0 GB left");
    }
    engine_close(engine);
    free(model), free(file), free(below), free(locked);
}

static void a_forecast_writes_nothing(void **state) {
    (void)state;
    char *model = random_model(), *out = path_join(folder, "out");
    Engine *engine = export_engine(model, W4);
    const ExportOptions options = options_for(out);
    ExportForecast forecast;
    Error err = {0};
    if (!engine_forecast(engine, &options, &forecast, &err)) fail_msg("%s", err.message);
    assert_false(folder_exists(out));
    assert_int_equal(forecast.left, forecast.bytes);
    const ExportResult result = export_written(engine, &options);
    assert_int_equal(result.bytes, forecast.bytes);
    assert_int_equal(result.written, forecast.bytes);
    assert_true(engine_forecast(engine, &options, &forecast, &err));
    assert_int_equal(forecast.left, 0);
    engine_close(engine);
    free(model), free(out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(codes_are_packed_as_the_format_says),
        IN_FOLDER(config_keeps_every_digit),
        IN_FOLDER(every_linear_is_in_one_group),
        IN_FOLDER(modules_are_found_whatever_stands_before_them),
        IN_FOLDER(every_profile_is_read_back),
        IN_FOLDER(factors_are_folded_into_weights),
        IN_FOLDER(the_rest_stays_as_it_is),
        IN_FOLDER(it_goes_on_after_every_stop),
        IN_FOLDER(a_full_disk_loses_nothing),
        IN_FOLDER(plans_that_do_not_fit_are_refused),
        IN_FOLDER(nothing_is_replaced_unasked),
        IN_FOLDER(damage_is_noticed),
        IN_FOLDER(what_was_lost_beside_the_weights_comes_back),
        IN_FOLDER(the_card_says_whose_model_it_is),
        IN_FOLDER(the_card_names_the_engines_that_load_it),
        IN_FOLDER(files_behind_links_stay),
        IN_FOLDER(a_model_without_configuration_is_refused_at_once),
        IN_FOLDER(where_nothing_can_be_written),
        IN_FOLDER(a_forecast_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
