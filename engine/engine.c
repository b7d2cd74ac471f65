#include "engine/engine_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "kernels/device.h"

#define DEFAULT_SEQUENCES 128
#define DEFAULT_SELF_SEQUENCES 16 // sampling a token takes much longer than reading it
#define DEFAULT_LENGTH 512
#define DEFAULT_EVAL_TOKENS 4096
#define DEFAULT_WINDOW 256

static size_t smaller_size(size_t a, size_t b) { return a < b ? a : b; }

static void fill_defaults(Engine *engine) {
    EngineOptions *o = &engine->options;
    size_t positions = most_positions(&engine->structure.config);
    const bool self = o->calibration && strcmp(o->calibration, SELF_TEXT) == 0;
    if (!o->sequences) o->sequences = self ? DEFAULT_SELF_SEQUENCES : DEFAULT_SEQUENCES;
    if (!o->eval_tokens) o->eval_tokens = DEFAULT_EVAL_TOKENS;
    o->length = smaller_size(o->length ? o->length : DEFAULT_LENGTH, positions);
    o->window = smaller_size(o->window ? o->window : DEFAULT_WINDOW, positions);
}

static bool open_checkpoint(Engine *engine, Error *err) {
    if (engine->options.model) return checkpoint_open(engine->options.model, &engine->checkpoint, err);
    char *sample = sample_path(err);
    bool ok = sample && checkpoint_open(sample, &engine->checkpoint, err);
    free(sample);
    return ok;
}

// What the model takes on a device: its linears, a quantized copy of at most 9 bits a weight beside them, and caches,
// activations and logits of ordinary length.
static size_t bytes_on_device(const ModelStructure *structure) {
    const ModelConfig *config = &structure->config;
    size_t bytes = (size_t)512 << 20, cached = (size_t)config->kv_heads * (size_t)config->head_dim;
    bytes += 2 * (size_t)attending_layers(config) * cached * 2 * 2048; // 2,048 positions of keys and values in 16 bits
    bytes += remembered_floats(config) * sizeof(float);
    for (int i = 0; i < structure->linear_count; i++) {
        const Linear *linear = &structure->linears[i];
        bytes += linear->out * linear->in * dtype_bytes(linear->weight->dtype) + linear->out * linear->in * 9 / 8;
    }
    return bytes;
}

static bool open_device(const Engine *engine, Backend **out, Error *err) {
    char *folder = engine->options.no_cache ? NULL : folder_cache(), names[200];
    unsigned avoided;
    const bool ok = device_open(backend_cuda_new, folder, out, &avoided, err);
    device_families(avoided, names, sizeof names);
    if (ok && avoided) log_line("this device computes wrong numbers by these kernels, which are avoided: %s", names);
    free(folder);
    return ok;
}

void engine_device_note(char *out, size_t size) {
    char *folder = folder_cache(), names[200];
    unsigned avoided;
    Backend *device;
    Error err = {0};
    *out = '\0';
    if (device_open(backend_cuda_new, folder, &device, &avoided, &err)) {
        device_families(avoided, names, sizeof names);
        snprintf(out, size,
                 avoided ? "slower ones take the place of those that compute wrong numbers here: %s"
                         : "all compute right numbers here%s",
                 names);
        device->ops->destroy(device);
    } else {
        snprintf(out, size, "%s", err.message);
    }
    free(folder);
}

static bool open_cuda(const Engine *engine, Backend **out, Error *err) {
    if (!open_device(engine, out, err)) return false;
    if (engine->structure.config.not_run[0] || (*out)->ops->has_room(*out, bytes_on_device(&engine->structure), err))
        return true;
    (*out)->ops->destroy(*out);
    *out = NULL;
    return error_prefix(err, "%s", engine->checkpoint.path);
}

static bool choice_from_environment(BackendChoice *choice, Error *err) {
    const char *text = getenv("QUANTDIAL_BACKEND");
    if (!text || !text[0] || strcmp(text, "auto") == 0) return true;
    if (strcmp(text, "cpu") != 0 && strcmp(text, "cuda") != 0)
        return error_set(err, "QUANTDIAL_BACKEND is \"%.40s\"; it may be auto, cpu or cuda", text);
    *choice = strcmp(text, "cpu") == 0 ? BACKEND_CPU : BACKEND_CUDA;
    return true;
}

static bool open_backend(Engine *engine, Error *err) {
    BackendChoice choice = engine->options.backend;
    if (choice == BACKEND_AUTO && !choice_from_environment(&choice, err)) return false;
    if (choice == BACKEND_CUDA) return open_cuda(engine, &engine->backend, err);
    if (choice == BACKEND_AUTO && open_cuda(engine, &engine->backend, NULL)) return true;
    return backend_cpu_new(engine->options.threads, &engine->backend, err);
}

// The message about the refusal names the checkpoint already.
static const char *without_folder(const Engine *engine, const char *message) {
    const size_t length = strlen(engine->checkpoint.folder);
    if (strncmp(message, engine->checkpoint.folder, length) != 0) return message;
    message += length;
    return message + strspn(message, "/: ");
}

static void not_to_be_run(const Engine *engine, const Error *reason, ModelConfig *config) {
    config_unusable(config, without_folder(engine, reason->message));
}

// A configuration that is wrong, or does not fit the tensors, keeps a model from being run, but not its weights from
// being inspected. A checkpoint with missing files is of no use for either.
static bool read_model(Engine *engine, Error *err) {
    ModelConfig config;
    Error reason = {0};
    if (!config_load(engine->checkpoint.documents, &config, &reason)) not_to_be_run(engine, &reason, &config);
    if (structure_build(&engine->checkpoint, &config, &engine->structure, &reason)) return true;
    if (config.not_run[0] || !checkpoint_whole(&engine->checkpoint, NULL)) return error_set(err, "%s", reason.message);
    not_to_be_run(engine, &reason, &config);
    return structure_build(&engine->checkpoint, &config, &engine->structure, err);
}

// A template that cannot be read does not keep the weights from being inspected: the error is reported when the
// template is needed.
static bool read_chat(Engine *engine, Error *err) {
    if (engine->options.chat == CHAT_OFF) return true;
    if (!chat_template_load(engine->checkpoint.documents, &engine->chat, &engine->chat_error)) return true;
    if (engine->chat || engine->options.chat == CHAT_AUTO) return true;
    return error_set(err,
                     "%s has no chat template, neither in chat_template.jinja nor in tokenizer_config.json: leave "
                     "out --chat on",
                     engine->checkpoint.path);
}

static bool open_parts(Engine *engine, Error *err) {
    if (!open_checkpoint(engine, err)) return false;
    engine_find_text(engine);
    return read_chat(engine, err) && read_model(engine, err) && open_backend(engine, err) &&
           (engine->structure.config.not_run[0] ||
            transformer_new(&engine->structure, engine->backend, engine->options.precision, &engine->base, err)) &&
           model_stats_new(&engine->structure, &engine->stats, err);
}

bool engine_open(const EngineOptions *options, Engine **out, Error *err) {
    Engine *engine = *out = calloc(1, sizeof *engine);
    if (!engine) return error_memory(err, "the model");
    engine->options = *options;
    if (!open_parts(engine, err)) {
        engine_close(engine);
        *out = NULL;
        return false;
    }
    fill_defaults(engine);
    if (!options->no_cache) engine->cache_folder = folder_cache();
    return true;
}

void engine_close(Engine *engine) {
    if (!engine) return;
    engine_end_calibration(engine, &engine->calibration);
    evaluator_free(engine->evaluator);
    quantized_model_free(engine->quantized);
    transformer_free(engine->base);
    if (engine->backend) engine->backend->ops->destroy(engine->backend);
    plan_free(&engine->plan);
    recipe_free(&engine->recipe);
    model_stats_free(&engine->stats);
    tokenizer_free(engine->tokenizer);
    chat_template_free(engine->chat);
    token_ids_free(&engine->self);
    structure_free(&engine->structure);
    checkpoint_close(&engine->checkpoint);
    free(engine->cache_folder);
    free(engine);
}

bool engine_can_run(const Engine *engine, Error *err) {
    if (engine->base) return true;
    return error_set(err, "%s cannot be run: %s. Its weights can be inspected and planned", engine->checkpoint.path,
                     engine->structure.config.not_run);
}

const ModelStructure *engine_structure(const Engine *engine) { return &engine->structure; }
const ModelStats *engine_stats(const Engine *engine) { return &engine->stats; }
const char *engine_backend_name(const Engine *engine) { return engine->backend->ops->name; }

const char *engine_backend_description(const Engine *engine) { return engine->backend->ops->describe(engine->backend); }

Transformer *engine_base(const Engine *engine) { return engine->base; }
bool engine_measured(const Engine *engine) { return engine->measured; }

const Recipe *engine_recipe(const Engine *engine) { return &engine->recipe; }
const Plan *engine_plan(const Engine *engine) { return &engine->plan; }

Transformer *engine_quantized(const Engine *engine) {
    return engine->quantized ? quantized_model_transformer(engine->quantized) : NULL;
}

size_t engine_positions(const Engine *engine) { return engine->evaluator ? evaluator_positions(engine->evaluator) : 0; }

size_t engine_tokens_for(const Engine *engine, size_t positions) {
    const size_t window = engine->options.window, source = source_share(&engine->structure.config, window),
                 scored = window - source - 1;
    return window > source + 1 ? (positions + scored - 1) / scored * window : positions;
}

bool engine_by_position(const Engine *engine, float *by_position) {
    return engine->evaluator && evaluator_by_position(engine->evaluator, by_position);
}
