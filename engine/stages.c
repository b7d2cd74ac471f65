// From the weights to what quantizing them costs.
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "analysis/kept_base.h"
#include "analysis/nonfinite.h"
#include "analysis/stats_cache.h"
#include "analysis/stream_share.h"
#include "analysis/why.h"
#include "base/array.h"
#include "base/hash.h"
#include "engine/engine_parts.h"

#define EVALUATOR_BUDGET ((size_t)512 << 20) // bytes of kept hidden states

bool engine_cached_weights(const Engine *engine, ModelStats *stats) {
    return engine->cache_folder && stats_cache_read_weights(engine->cache_folder, weight_stats_key(&engine->structure),
                                                            &engine->structure, stats);
}

bool engine_measure(Engine *engine, Progress *progress, Error *err) {
    const ModelStructure *structure = &engine->structure;
    if (engine->measured || engine_cached_weights(engine, &engine->stats)) return engine->measured = true;
    uint64_t total = 0;
    for (int i = 0; i < structure->linear_count; i++) total += structure->linears[i].weight->bytes;
    progress_begin(progress, "measuring weights", total);
    for (int i = 0; i < structure->linear_count; i++) {
        if (!weight_stats_measure(structure, i, &engine->stats, err)) return false;
        if (!progress_add(progress, structure->linears[i].weight->bytes)) return error_stopped(err);
    }
    if (!checkpoint_intact(&engine->checkpoint, err)) return false;
    // A cache that cannot be written is only slower.
    if (engine->cache_folder)
        stats_cache_write_weights(engine->cache_folder, weight_stats_key(structure), &engine->stats, NULL);
    return engine->measured = true;
}

bool engine_blame(const Engine *engine, Error *err) {
    Nonfinite rest;
    if (!err || err->stopped) return false;
    for (int i = 0; i < engine->structure.linear_count; i++) {
        const WeightStats *stats = &engine->stats.weights[i];
        if (stats->known && stats->nonfinite)
            return error_prefix(err, "%s holds %llu weight%s infinite or NaN", engine->structure.linears[i].name,
                                (unsigned long long)stats->nonfinite,
                                stats->nonfinite == 1 ? " that is" : "s that are");
    }
    return nonfinite_rest(&engine->structure, &rest, NULL) && rest.first &&
           error_prefix(err, "%s holds numbers that are infinite or NaN", rest.first->name);
}

bool engine_make_plan(const Engine *engine, const Recipe *recipe, Plan *out, Error *err) {
    return plan_make(recipe, &engine->structure, &engine->stats.measured, out, err);
}

void engine_set_recipe(Engine *engine, Recipe *recipe) {
    plan_free(&engine->plan);
    recipe_free(&engine->recipe);
    engine->recipe = *recipe;
    *recipe = (Recipe){0};
}

static bool calibrate_for_plan(Engine *engine, Progress *progress, Error *err) {
    if (engine_calibrate(engine, progress, err)) return true;
    if (!err || err->stopped || engine->tokenizer || engine->options.random_tokens || engine->options.statistics)
        return false;
    const Error reason = *err;
    return error_set(
        err,
        "%s. Without a tokenizer --activations none quantizes weights alone, and --random-tokens calibrates "
        "without text",
        reason.message);
}

static bool prepare(Engine *engine, bool weights, bool inputs, Progress *progress, Error *err) {
    const bool calibrates =
        (engine->base || engine->options.statistics) && (inputs || recipe_needs_ranges(&engine->recipe));
    if ((weights && !engine_measure(engine, progress, err)) ||
        (calibrates && !calibrate_for_plan(engine, progress, err)))
        return false;
    plan_free(&engine->plan);
    return engine_make_plan(engine, &engine->recipe, &engine->plan, err);
}

bool engine_prepare(Engine *engine, bool inputs, Progress *progress, Error *err) {
    return prepare(engine, true, inputs, progress, err);
}

bool engine_prepare_export(Engine *engine, Progress *progress, Error *err) {
    return prepare(engine, recipe_needs_weights(&engine->recipe), false, progress, err);
}

bool engine_follow(Engine *engine, const Plan *plan, int *first_changed, Progress *progress, Error *err) {
    if (!engine_can_run(engine, err)) return false;
    if (!engine->quantized && !quantized_model_new(engine->base, &engine->quantized, err)) return false;
    return quantized_model_follow(engine->quantized, plan, &engine->stats.measured, first_changed, progress, err);
}

bool engine_new_evaluator(Engine *engine, EngineText text, Evaluator **out, Progress *progress, Error *err) {
    const EngineOptions *o = &engine->options;
    TokenIds ids = {0};
    bool ok = engine_text_ids(engine, text, o->window, o->eval_tokens, &ids, progress, err);
    if (ok && ids.count < 2) ok = error_set(err, "the evaluation text has fewer than two tokens");
    ok = ok && evaluator_new(engine->base, ids.ids, ids.count, o->window, EVALUATOR_BUDGET, out, err);
    if (ok && engine->cache_folder) evaluator_keep_base(*out, engine->cache_folder, engine_model_key(engine));
    token_ids_free(&ids);
    return ok;
}

uint64_t engine_model_key(const Engine *engine) {
    return input_stats_key(&engine->structure, NULL, 0, 0, engine->options.precision, engine->backend->ops->name);
}

bool engine_need_evaluator(Engine *engine, Error *err) {
    return engine->evaluator || engine_new_evaluator(engine, TEXT_EVALUATION, &engine->evaluator, NULL, err);
}

uint64_t engine_writing_key(const Engine *engine) {
    const uint64_t writing = engine->structure.config.writing;
    return hash_bytes(engine_model_key(engine), &writing, sizeof writing);
}

uint64_t engine_figures_key(Engine *engine) {
    if (!engine_can_run(engine, NULL) || !engine_need_evaluator(engine, NULL)) return 0;
    const uint64_t model = engine_model_key(engine);
    return evaluator_hash(engine->evaluator,
                          hash_bytes(hash_text(HASH_START, QUANTDIAL_VERSION), &model, sizeof model));
}

bool engine_evaluate(Engine *engine, int first_changed, void (*partial)(void *, const Accuracy *), void *context,
                     Accuracy *out, Progress *progress, Error *err) {
    if (!engine_can_run(engine, err) || !engine_need_evaluator(engine, err)) return false;
    assert(engine->quantized);
    return evaluator_run(engine->evaluator, quantized_model_transformer(engine->quantized), first_changed, partial,
                         context, out, progress, err) ||
           engine_blame(engine, err);
}

EvaluatorWork engine_evaluation_work(const Engine *engine) {
    return engine->evaluator ? evaluator_work(engine->evaluator) : (EvaluatorWork){0};
}

// [sample_rows, in], to be freed; NULL where the input is not rounded.
static bool input_changes(const Engine *engine, const Plan *plan, int linear, float **changes, Error *err) {
    const Linear *l = &engine->structure.linears[linear];
    const InputStats *input = &engine->stats.inputs[l->input];
    *changes = NULL;
    if (plan->decisions[linear].activations == POLICY_NONE) return true;
    if (!(*changes = array_new(input->sample_rows * l->in, sizeof **changes))) return error_memory(err, l->name);
    return why_input_changes(l, &plan->decisions[linear], quantized_model_factors(engine->quantized, linear), input,
                             *changes, err);
}

static bool measure_output(Engine *engine, const Plan *plan, int linear, double *db, double *input_db, Error *err) {
    const InputStats *input = &engine->stats.inputs[engine->structure.linears[linear].input];
    float *changes = NULL;
    if (!plan->decisions[linear].quantized || !input->known || !input->sample_rows) return true;
    const bool ok = (!input_db || input_changes(engine, plan, linear, &changes, err)) &&
                    linear_output_sqnr(engine->base, quantized_model_transformer(engine->quantized), linear,
                                       &(LinearRows){.rows = input->sample,
                                                     .count = input->sample_rows,
                                                     .factors = quantized_model_factors(engine->quantized, linear),
                                                     .divisors = quantized_model_divisors(engine->quantized, linear),
                                                     .changes = changes},
                                       db, input_db, err);
    free(changes);
    return ok;
}

bool engine_output_sqnr(Engine *engine, const Plan *plan, double *db, double *input_db, Progress *progress,
                        Error *err) {
    int count = engine->structure.linear_count;
    for (int i = 0; i < count; i++) db[i] = NAN;
    for (int i = 0; input_db && i < count; i++) input_db[i] = NAN;
    progress_begin(progress, "measuring errors", (uint64_t)count);
    for (int i = 0; i < count; i++) {
        if (!measure_output(engine, plan, i, &db[i], input_db ? &input_db[i] : NULL, err)) return false;
        if (!progress_add(progress, 1)) return error_stopped(err);
    }
    return checkpoint_intact(&engine->checkpoint, err);
}

static bool measure_energy(Engine *engine, int linear, double *energy, Error *err) {
    const Linear *l = &engine->structure.linears[linear];
    const InputStats *input = &engine->stats.inputs[l->input];
    *energy = NAN;
    return !stream_is_written(l) || !input->known || !input->sample_rows ||
           linear_output_energy(engine->base, linear, &(LinearRows){.rows = input->sample, .count = input->sample_rows},
                                energy, err);
}

bool engine_stream_shares(Engine *engine, double *shares, Progress *progress, Error *err) {
    const int count = engine->structure.linear_count;
    double *energy = array_new((size_t)count, sizeof *energy);
    bool ok = energy || error_memory(err, "the residual stream");
    progress_begin(progress, "measuring outputs", (uint64_t)count);
    for (int i = 0; ok && i < count; i++)
        ok = measure_energy(engine, i, &energy[i], err) && (progress_add(progress, 1) || error_stopped(err));
    ok = ok && checkpoint_intact(&engine->checkpoint, err);
    if (ok) stream_shares(&engine->structure, engine->stats.set, energy, shares);
    free(energy);
    return ok;
}

bool engine_why(const Engine *engine, const Plan *plan, int linear, Why *out, Error *err) {
    return why_planned(&engine->structure, &engine->stats, plan, linear, out, err) &&
           checkpoint_intact(&engine->checkpoint, err);
}

bool engine_try_remedy(const Engine *engine, const Recipe *recipe, const Plan *plan, int linear, RemedyKind kind,
                       Remedies *remedies, Error *err) {
    return remedies_try(&engine->structure, &engine->stats, recipe, plan, linear, kind, remedies, err) &&
           checkpoint_intact(&engine->checkpoint, err);
}

bool engine_remedies(const Engine *engine, int linear, const Why *why, Remedies *out, Error *err) {
    return remedies_find(&engine->structure, &engine->stats, &engine->recipe, &engine->plan, linear, why, out, err) &&
           checkpoint_intact(&engine->checkpoint, err);
}

// By quantizing the linear once more.
static bool fresh_sqnr(const Linear *linear, const Decision *decision, double *db, Error *err) {
    QuantizedWeight codes;
    WeightError error;
    if (!quantize_linear(linear, decision, NULL, NULL, &codes, &error, err)) return false;
    quantized_weight_free(&codes);
    *db = weight_sqnr_db(&error);
    return true;
}

bool engine_weight_sqnr(const Engine *engine, const Plan *plan, int linear, double *db, Error *err) {
    const Decision *decision = &plan->decisions[linear];
    *db = NAN;
    if (engine->quantized) {
        const WeightError *error = quantized_model_weight_error(engine->quantized, linear);
        if (error) *db = weight_sqnr_db(error);
        return true;
    }
    if (!decision->quantized) return true;
    return fresh_sqnr(&engine->structure.linears[linear], decision, db, err) &&
           checkpoint_intact(&engine->checkpoint, err);
}

bool engine_base_text(Engine *engine, const TokenIds *prompt, size_t most, void (*token)(void *, const Generated *),
                      void *context, Generated *out, Progress *progress, Error *err) {
    const char *folder = engine->cache_folder;
    const uint64_t numbers[] = {engine_writing_key(engine), most, prompt->count};
    const uint64_t key =
        hash_bytes(hash_bytes(HASH_START, numbers, sizeof numbers), prompt->ids, prompt->count * sizeof *prompt->ids);
    const Sampling greedy = {.temperature = 0, .top_p = 1};
    if (folder && kept_text_read(folder, key, (size_t)engine->structure.config.vocab, out)) return true;
    if (!generate(engine->base, prompt->ids, prompt->count, most, &greedy, token, context, out, progress, err))
        return false;
    if (folder) kept_text_write(folder, key, out, NULL);
    return true;
}
