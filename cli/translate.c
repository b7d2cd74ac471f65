// eval --task translate: base and quantized model on the user's sentences, scored by BLEU and chrF.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/translation_score.h"
#include "base/file.h"
#include "base/json.h"
#include "cli/results.h"

#define DEFAULT_MOST_NEW 256 // tokens of a translation

typedef struct Translated { // [0] base, [1] quantized
    const TranslationTask *task;
    Text *texts[2];               // [task->count]
    TranslationCounts *counts[2]; // [task->count]
    TranslationComparison metrics[METRICS];
    Bleu bleu[2];
    size_t same; // translations
} Translated;

static const char *const metric_names[METRICS] = {"BLEU", "chrF"}, *const metric_keys[METRICS] = {"bleu", "chrf"};

static void translated_free(Translated *t) {
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; t->texts[side] && i < t->task->count; i++) text_free(&t->texts[side][i]);
        free(t->texts[side]);
        free(t->counts[side]);
    }
}

// ---- Scores ----

static bool score_side(Translated *t, int side, Error *err) {
    TranslationCounts sum = {0};
    for (size_t i = 0; i < t->task->count; i++) {
        const TranslationItem *item = &t->task->items[i];
        if (!translation_count(&t->texts[side][i], item->references, item->reference_count, &t->counts[side][i], err))
            return false;
        translation_add(&sum, &t->counts[side][i]);
    }
    t->bleu[side] = translation_bleu(&sum);
    return true;
}

static bool is_same(const Text *a, const Text *b) {
    return a->length == b->length && memcmp(a->data, b->data, a->length) == 0;
}

static bool score_all(Translated *t, Error *err) {
    const TranslationCounts *counts[2] = {t->counts[0], t->counts[1]};
    if (!score_side(t, 0, err) || !score_side(t, 1, err)) return false;
    for (size_t i = 0; i < t->task->count; i++) t->same += is_same(&t->texts[0][i], &t->texts[1][i]);
    for (int m = 0; m < METRICS; m++)
        if (!translation_compare((TranslationMetric)m, counts, t->task->count, &t->metrics[m], err)) return false;
    return true;
}

static bool translate_all(Engine *engine, Translated *t, Progress *progress, Error *err) {
    for (int side = 0; side < 2; side++) {
        t->texts[side] = array_new(t->task->count, sizeof *t->texts[side]);
        t->counts[side] = array_new(t->task->count, sizeof *t->counts[side]);
        if (!t->texts[side] || !t->counts[side]) return error_memory(err, "translations");
    }
    return engine_translate(engine, t->task, false, t->texts[0], progress, err) &&
           engine_translate(engine, t->task, true, t->texts[1], progress, err);
}

// ---- The file of translations ----

static cJSON *string_of(const Text *text) { return json_from_bytes(text->data, text->length); }

static bool add_line(const Translated *t, size_t i, Text *out) {
    const TranslationItem *item = &t->task->items[i];
    cJSON *line = cJSON_CreateObject();
    cJSON_AddItemToObject(line, "base", string_of(&t->texts[0][i])); // first: the mark of such files
    cJSON_AddItemToObject(line, "quantized", string_of(&t->texts[1][i]));
    cJSON_AddItemToObject(line, "source", string_of(&item->source));
    cJSON *references = cJSON_AddArrayToObject(line, "references");
    for (size_t r = 0; r < item->reference_count; r++)
        cJSON_AddItemToArray(references, string_of(&item->references[r]));
    char *printed = json_print(line);
    if (printed) text_addf(out, "%s\n", printed);
    const bool ok = printed && !out->failed;
    free(printed);
    cJSON_Delete(line);
    return ok;
}

static bool write_translations(const Translated *t, const char *path, Error *err) {
    Text file = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < t->task->count; i++) ok = add_line(t, i, &file);
    ok = ok ? file_write(path, file.data, file.length, err) : error_memory(err, path);
    text_free(&file);
    return ok;
}

// ---- Output ----

static cJSON *side_json(const Translated *t, int side) {
    cJSON *object = cJSON_CreateObject();
    for (int m = 0; m < METRICS; m++) {
        char key[20];
        json_add_number(object, metric_keys[m], t->metrics[m].score[side]);
        snprintf(key, sizeof key, "%s_ci", metric_keys[m]);
        json_add_number(object, key, t->metrics[m].half[side]);
    }
    cJSON_AddItemToObject(object, "bleu_precisions", cJSON_CreateDoubleArray(t->bleu[side].precisions, BLEU_ORDERS));
    json_add_number(object, "brevity_penalty", t->bleu[side].brevity_penalty);
    return object;
}

static void metric_json(cJSON *object, const Translated *t, TranslationMetric metric) {
    const TranslationComparison *c = &t->metrics[metric];
    char key[40], signature[160];
    const char *name = metric_keys[metric];
    snprintf(key, sizeof key, "%s_difference", name);
    json_add_number(object, key, c->difference);
    snprintf(key, sizeof key, "%s_difference_range", name);
    cJSON_AddItemToObject(object, key, cJSON_CreateDoubleArray((const double[]){c->low, c->high}, 2));
    snprintf(key, sizeof key, "%s_p", name);
    json_add_number(object, key, c->p);
    snprintf(key, sizeof key, "%s_signature", name);
    translation_signature(metric, t->task->references, signature, sizeof signature);
    cJSON_AddStringToObject(object, key, signature);
}

static void print_as_json(const Options *options, const Engine *engine, const Translated *t) {
    const Plan *plan = engine_plan(engine);
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "task", "translate");
    cJSON_AddNumberToObject(object, "items", (double)t->task->count);
    cJSON_AddNumberToObject(object, "shots", (double)options->translation.shots);
    cJSON_AddNumberToObject(object, "beams", t->task->beams);
    cJSON_AddBoolToObject(object, "chat", engine_is_chat(engine));
    cJSON_AddItemToObject(object, "base", side_json(t, 0));
    cJSON_AddItemToObject(object, "quantized", side_json(t, 1));
    for (int m = 0; m < METRICS; m++) metric_json(object, t, (TranslationMetric)m);
    cJSON_AddNumberToObject(object, "same", (double)t->same);
    json_add_bits(object, plan->bits_per_weight);
    cJSON_AddNumberToObject(object, "bytes", (double)plan->bytes);
    print_json(object);
}

static void print_change(const char *name, const TranslationComparison *c) {
    printf("change of %-12s %+8.2f, between %+.2f and %+.2f", name, c->difference, c->low, c->high);
    if (isfinite(c->p)) printf("; p = %.4f", c->p);
    printf("\n");
}

static void print_as_text(const Engine *engine, const Translated *t) {
    char bits[48], signature[160];
    printf("%zu sentences; ", t->task->count);
    if (t->task->beams > 1) printf("%d beams; ", t->task->beams);
    printf("%s\n", bits_text(engine_plan(engine)->bits_per_weight, bits, sizeof bits));
    for (int m = 0; m < METRICS; m++) {
        const TranslationComparison *c = &t->metrics[m];
        printf("%-22s %8.2f +- %.2f %s %8.2f +- %.2f\n", metric_names[m], c->score[0], c->half[0], arrow(), c->score[1],
               c->half[1]);
    }
    for (int m = 0; m < METRICS; m++) print_change(metric_names[m], &t->metrics[m]);
    printf("%-22s %8zu of %zu\n", "the same translation", t->same, t->task->count);
    printf("+- and the ranges hold 95 %% of %d resamples\n", BOOTSTRAP_RESAMPLES);
    for (int m = 0; m < METRICS; m++) {
        translation_signature((TranslationMetric)m, t->task->references, signature, sizeof signature);
        printf("%s %s\n", metric_names[m], signature);
    }
}

bool translation_open(const Options *options, Engine *engine, TranslationTask *out, Error *err) {
    TranslationOptions task = options->translation;
    task.path = options->task_file;
    task.beams = options->sampling.beams;
    if (!task.most) task.most = DEFAULT_MOST_NEW;
    return engine_translations(engine, &task, out, err);
}

bool translation_command(const Options *options, Engine *engine, const TranslationTask *task, Error *err) {
    Translated t = {.task = task};
    bool ok = translate_all(engine, &t, watch_start(options), err) && score_all(&t, err);
    watch_end();
    ok = ok && (!options->output || write_translations(&t, options->output, err));
    if (ok && options->json)
        print_as_json(options, engine, &t);
    else if (ok)
        print_as_text(engine, &t);
    translated_free(&t);
    return ok;
}
