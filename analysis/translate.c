#include "analysis/translate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/stats_file.h"
#include "analysis/task_lines.h"
#include "base/hash.h"
#include "model/generate.h"

// ---- Prompts ----

typedef struct Loader {
    const TextForm *form;
    const ModelConfig *config;
    const TranslationOptions *options;
    TranslationItem *shots; // [options->shots]
    size_t shot_count;
    TranslationTask *task;
} Loader;

static void item_free(TranslationItem *item) {
    for (size_t i = 0; i < item->reference_count; i++) text_free(&item->references[i]);
    free(item->references);
    text_free(&item->source);
    token_ids_free(&item->prompt);
    *item = (TranslationItem){0};
}

// Adds a text without white space around it.
static void add_stripped(Text *out, const char *data, size_t length) {
    size_t from = 0, end = utf8_stripped(data, length), n;
    uint32_t code;
    while (from < end && (n = utf8_read(data + from, end - from, &code)) && utf8_is_white(code)) from += n;
    text_add(out, end ? data + from : "", end - from);
}

// On one line.
static void add_flat(Text *out, const Text *text) {
    const size_t start = out->length;
    add_stripped(out, text->data, text->length);
    for (size_t i = start; !out->failed && i < out->length; i++)
        if (out->data[i] == '\n' || out->data[i] == '\r') out->data[i] = ' ';
}

static bool plain_prompt(const Loader *l, const Text *source, TokenIds *out, Error *err) {
    Text text = {0};
    if (l->options->instruction) text_addf(&text, "%s\n\n", l->options->instruction);
    for (size_t i = 0; i <= l->shot_count; i++) {
        const bool last = i == l->shot_count;
        text_addf(&text, "Source: ");
        add_flat(&text, last ? source : &l->shots[i].source);
        text_addf(&text, "\nTranslation:");
        if (last) break;
        text_addf(&text, " ");
        add_flat(&text, &l->shots[i].references[0]);
        text_addf(&text, "\n\n");
    }
    const Tokenizer *tokenizer = l->form->tokenizer;
    const bool ok = text.failed ? error_memory(err, "a prompt")
                                : tokenizer_encode(tokenizer, text.data, text.length,
                                                   !tokenizer_has_prefix(tokenizer, text.data, text.length), out, err);
    text_free(&text);
    return ok;
}

static bool add_turn(cJSON *messages, const char *role, const char *before, const Text *content) {
    Text text = {0};
    if (before) text_addf(&text, "%s\n\n", before);
    text_add(&text, content->data, content->length);
    cJSON *message = cJSON_CreateObject(), *string = text.failed ? NULL : json_from_bytes(text.data, text.length);
    text_free(&text);
    cJSON_AddStringToObject(message, "role", role);
    return cJSON_AddItemToObject(message, "content", string) && cJSON_AddItemToArray(messages, message);
}

static bool chat_prompt(const Loader *l, const Text *source, TokenIds *out, Error *err) {
    cJSON *messages = cJSON_CreateArray();
    bool ok = messages != NULL;
    for (size_t i = 0; ok && i < l->shot_count; i++)
        ok = add_turn(messages, "user", l->options->instruction, &l->shots[i].source) &&
             add_turn(messages, "assistant", NULL, &l->shots[i].references[0]);
    ok = (ok && add_turn(messages, "user", l->options->instruction, source)) || error_memory(err, "a prompt");
    ok = ok && tokens_of_conversation(l->form, messages, true, out, err);
    cJSON_Delete(messages);
    return ok;
}

// Models with an encoder read the source alone, behind their instruction as they were trained with it.
static bool source_prompt(const Loader *l, const Text *source, TokenIds *out, Error *err) {
    Text text = {0};
    if (l->options->instruction) text_addf(&text, "%s ", l->options->instruction);
    text_add(&text, source->data, source->length);
    const bool ok = text.failed ? error_memory(err, "a prompt")
                                : tokenizer_encode(l->form->tokenizer, text.data, text.length, true, out, err);
    text_free(&text);
    return ok;
}

static bool make_prompt(const Loader *l, const Text *source, TokenIds *out, Error *err) {
    if (l->config->pair.encoder_layers) return source_prompt(l, source, out, err);
    return (l->form->chat ? chat_prompt : plain_prompt)(l, source, out, err);
}

static bool check_prompt(const Loader *l, const TokenIds *ids, Error *err) {
    for (size_t i = 0; i < ids->count; i++)
        if (ids->ids[i] < 0 || ids->ids[i] >= l->config->vocab)
            return error_set(err, "the tokenizer gives id %d, but the model has only %d", ids->ids[i],
                             l->config->vocab);
    if (ids->count == 0) return error_set(err, "the prompt is empty");
    return ids->count < (size_t)l->config->max_positions ||
           error_set(err, "the prompt has %zu tokens and leaves no room in the model's %d positions%s", ids->count,
                     l->config->max_positions, l->shot_count ? "; give fewer examples" : "");
}

// ---- Lines ----

static bool take_text(const cJSON *value, const char *key, Text *out, Error *err) {
    if (!cJSON_IsString(value)) return error_set(err, "\"%s\" must be a text", key);
    json_bytes(value->valuestring, out);
    return !out->failed || error_memory(err, "a translation");
}

static bool take_references(const cJSON *line, TranslationItem *out, Error *err) {
    const cJSON *one = cJSON_GetObjectItemCaseSensitive(line, "reference"), *item;
    const cJSON *several = cJSON_GetObjectItemCaseSensitive(line, "references");
    if (!one == !several) return error_set(err, "expects the fields \"source\" and \"reference\" (or \"references\")");
    if (several && (!cJSON_IsArray(several) || !several->child))
        return error_set(err, "\"references\" must be a list of texts, and not empty");
    const size_t count = several ? (size_t)cJSON_GetArraySize(several) : 1;
    out->references = array_new(count, sizeof *out->references);
    if (!out->references) return error_memory(err, "a translation");
    if (one) return take_text(one, "reference", &out->references[out->reference_count++], err);
    cJSON_ArrayForEach(item, several) {
        if (!take_text(item, "references", &out->references[out->reference_count++], err)) return false;
    }
    return true;
}

static bool take_item(const cJSON *line, TranslationItem *out, Error *err) {
    const cJSON *source = cJSON_GetObjectItemCaseSensitive(line, "source");
    *out = (TranslationItem){0};
    const bool ok = (source || error_set(err, "has no field \"source\"")) &&
                    take_text(source, "source", &out->source, err) && take_references(line, out, err);
    if (!ok) item_free(out);
    return ok;
}

static bool add_item(Loader *l, TranslationItem *item, Error *err) {
    TranslationTask *task = l->task;
    if (!make_prompt(l, &item->source, &item->prompt, err) || !check_prompt(l, &item->prompt, err)) return false;
    if (!array_grow(&task->items, task->count, &task->capacity, sizeof *task->items))
        return error_memory(err, "a translation");
    task->items[task->count++] = *item;
    return true;
}

// The file that is scored.
static bool add_line(void *context, const cJSON *line, Error *err) {
    Loader *l = context;
    TranslationItem item;
    if (!take_item(line, &item, err)) return false;
    if (l->shot_count < l->options->shots) {
        l->shots[l->shot_count++] = item;
        return true;
    }
    const bool ok = add_item(l, &item, err);
    if (!ok) item_free(&item);
    return ok;
}

// The file of examples.
static bool add_shot(void *context, const cJSON *line, Error *err) {
    Loader *l = context;
    if (l->shot_count == l->options->shots) return true;
    if (!take_item(line, &l->shots[l->shot_count], err)) return false;
    l->shot_count++;
    return true;
}

static bool load_lines(Loader *l, Error *err) {
    const TranslationOptions *o = l->options;
    if (o->shots_path && !task_lines(o->shots_path, add_shot, l, err)) return false;
    if (o->shots_path && l->shot_count < o->shots)
        return error_set(err, "%s: has only %zu of %zu examples", o->shots_path, l->shot_count, o->shots);
    if (!task_lines(o->path, add_line, l, err)) return false;
    return l->task->count ||
           error_set(err, "%s: no line is left to be scored after %zu examples", o->path, l->shot_count);
}

// ---- The task ----

static size_t shared_beginning(const TokenIds *a, const TokenIds *b, size_t most) {
    size_t i = 0;
    while (i < most && i + 1 < b->count && a->ids[i] == b->ids[i]) i++;
    return i;
}

static void find_shared(TranslationTask *task) {
    task->shared = task->items[0].prompt.count - 1;
    task->references = task->items[0].reference_count;
    for (size_t i = 1; i < task->count; i++) {
        task->shared = shared_beginning(&task->items[0].prompt, &task->items[i].prompt, task->shared);
        if (task->items[i].reference_count != task->references) task->references = 0;
    }
}

bool translation_task_load(const TextForm *form, const ModelConfig *config, const TranslationOptions *options,
                           TranslationTask *out, Error *err) {
    const bool encodes = config->pair.encoder_layers > 0;
    *out = (TranslationTask){
        .most = options->most, .beams = options->beams > 1 ? options->beams : 1, .by_line = !encodes && !form->chat};
    if (encodes && options->shots)
        return error_set(err, "a model with an encoder reads nothing but the source: leave out --shots");
    if (!encodes && options->beams > 1)
        return error_set(err, "beams are for models with an encoder, and this %s model has none: leave out --beams",
                         config->family);
    if (!encodes && !options->shots && !options->instruction)
        return error_set(err, "the model must be told what to do: by --instruction \"Translate into German:\", or by "
                              "examples, --shots 5");
    Loader loader = {.form = form,
                     .config = config,
                     .options = options,
                     .shots = array_new(options->shots, sizeof *loader.shots),
                     .task = out};
    const bool ok = loader.shots ? load_lines(&loader, err) : error_memory(err, "examples");
    for (size_t i = 0; i < loader.shot_count; i++) item_free(&loader.shots[i]);
    free(loader.shots);
    if (ok)
        find_shared(out);
    else
        translation_task_free(out);
    return ok;
}

void translation_task_free(TranslationTask *task) {
    for (size_t i = 0; i < task->count; i++) item_free(&task->items[i]);
    free(task->items);
    *task = (TranslationTask){0};
}

uint64_t translation_task_hash(const TranslationTask *task) {
    const uint64_t numbers[] = {task->count, task->most, task->by_line, (uint64_t)task->beams};
    uint64_t hash = hash_bytes(HASH_START, numbers, sizeof numbers);
    for (size_t i = 0; i < task->count; i++) {
        const TokenIds *ids = &task->items[i].prompt;
        hash = hash_bytes(hash_bytes(hash, &ids->count, sizeof ids->count), ids->ids, ids->count * sizeof *ids->ids);
    }
    return hash;
}

// ---- Translating ----

typedef struct Translator {
    Transformer *t;
    const Tokenizer *tokenizer;
    const TranslationTask *task;
    bool encodes;       // the model has an encoder
    Sequences *running; // NULL then
    size_t begun;       // tokens of every prompt that are in there
    TokenIds ids;       // of the translation
    Progress *progress;
    Error *err;
} Translator;

// In parts, so that a stop need not wait for a long prompt. *next: what comes behind.
static bool run(const Translator *w, const int32_t *ids, size_t count, int32_t *next) {
    const size_t part = 512;
    const Draw greedy = {.temperature = 0, .top_p = 1};
    float probability = 0;
    for (size_t done = 0; done < count; done += part) {
        const size_t now = count - done < part ? count - done : part;
        if (progress_should_stop(w->progress)) return error_stopped(w->err);
        if (!transformer_choose(w->t, w->running, ids + done, now, &greedy, next, &probability, w->err)) return false;
    }
    return !isnan(probability) || error_set(w->err, "the model's logits are infinite or not a number");
}

static bool ends_line(const Translator *w, int32_t id) {
    size_t length;
    const char *bytes = tokenizer_token(w->tokenizer, id, &length);
    return w->task->by_line && memchr(bytes, '\n', length);
}

static bool translate_ids(Translator *w, const TokenIds *prompt) {
    const ModelConfig *config = &transformer_structure(w->t)->config;
    const size_t room = (size_t)config->max_positions - prompt->count;
    const size_t most = w->task->most < room ? w->task->most : room;
    int32_t next = -1;
    w->ids.count = 0;
    sequences_rewind(w->running, w->begun);
    if (!run(w, prompt->ids + w->begun, prompt->count - w->begun, &next)) return false;
    while (!generate_is_end(config, next) && w->ids.count < most) {
        if (!array_grow(&w->ids.ids, w->ids.count, &w->ids.capacity, sizeof *w->ids.ids))
            return error_memory(w->err, "a translation");
        w->ids.ids[w->ids.count++] = next;
        if (w->ids.count == most || ends_line(w, next)) break;
        if (!run(w, &w->ids.ids[w->ids.count - 1], 1, &next)) return false;
    }
    return true;
}

// By a model with an encoder, which reads its source at once. Its steps are no progress.
static bool translate_source(Translator *w, const TokenIds *source) {
    const Sampling best = {.temperature = 0, .top_p = 1, .beams = w->task->beams};
    Progress steps = {.also_stop = w->progress ? &w->progress->stop : NULL};
    Generated out;
    const bool ok = generate(w->t, source->ids, source->count, w->task->most, &best, NULL, NULL, &out, &steps, w->err);
    token_ids_free(&w->ids);
    if (ok) w->ids = (TokenIds){.ids = out.ids, .count = out.count, .capacity = out.capacity};
    if (ok) out.ids = NULL;
    generated_free(&out);
    return ok;
}

// What was written, up to the end of the line where that ends it, without white space around it; out->data is not NULL.
static bool take_translation(const Translator *w, Text *out) {
    Text text = {0};
    if (!tokenizer_decode(w->tokenizer, w->ids.ids, w->ids.count, true, &text, w->err)) {
        text_free(&text);
        return false;
    }
    const char *line = text.length && w->task->by_line ? memchr(text.data, '\n', text.length) : NULL;
    add_stripped(out, text.data, line ? (size_t)(line - text.data) : text.length);
    text_free(&text);
    return !out->failed || error_memory(w->err, "a translation");
}

static bool translate_missing(Translator *w, Text *texts, void (*done)(void *context), void *context) {
    const TranslationTask *task = w->task;
    bool (*const one)(Translator *, const TokenIds *) = w->encodes ? translate_source : translate_ids;
    int32_t ignored;
    if (w->begun && (!run(w, task->items[0].prompt.ids, w->begun, &ignored) || !sequences_keep(w->running, w->err)))
        return false;
    for (size_t i = 0; i < task->count; i++) {
        if (texts[i].data) continue;
        if (!one(w, &task->items[i].prompt) || !take_translation(w, &texts[i])) return false;
        if (done) done(context);
        if (!progress_add(w->progress, 1)) return error_stopped(w->err);
    }
    return true;
}

static size_t longest_prompt(const TranslationTask *task) {
    size_t longest = 0;
    for (size_t i = 0; i < task->count; i++)
        if (task->items[i].prompt.count > longest) longest = task->items[i].prompt.count;
    return longest;
}

bool translate(Transformer *t, const Tokenizer *tokenizer, const TranslationTask *task, bool tokens_mix, Text *texts,
               void (*done)(void *context), void *context, Progress *progress, Error *err) {
    const ModelConfig *config = &transformer_structure(t)->config;
    const size_t wanted = longest_prompt(task) + task->most, most = (size_t)config->max_positions;
    const bool encodes = config->pair.encoder_layers > 0;
    Translator w = {.t = t,
                    .encodes = encodes,
                    .tokenizer = tokenizer,
                    .task = task,
                    .begun = tokens_mix || encodes ? 0 : task->shared,
                    .progress = progress,
                    .err = err};
    size_t known = 0;
    for (size_t i = 0; i < task->count; i++) known += texts[i].data != NULL;
    progress_begin_at(progress, TRANSLATION_WORK, task->count, known);
    const bool ok =
        known == task->count || ((encodes || sequences_new(t, wanted < most ? wanted : most, &w.running, err)) &&
                                 translate_missing(&w, texts, done, context));
    if (w.running) sequences_free(w.running);
    token_ids_free(&w.ids);
    return ok;
}

// ---- On disk ----

static bool get_translations(StatsReader *r, Text *texts, size_t count) {
    const uint64_t known = stats_get_number(r);
    for (uint64_t i = 0; i < known && !r->bad; i++) {
        const uint64_t at = stats_get_number(r), length = stats_get_number(r);
        if (at >= count || texts[at].data || length > r->left) return false;
        text_add(&texts[at], r->at, (size_t)length);
        if (texts[at].failed || !text_is_utf8(texts[at].data, (size_t)length)) return false;
        r->at += length;
        r->left -= (size_t)length;
    }
    return !r->bad && !r->left;
}

bool kept_translations_read(const char *folder, uint64_t key, Text *texts, size_t count) {
    StatsReader reader;
    char *data = stats_file_read(folder, STATS_TRANSLATIONS, key, &reader);
    if (!data) return false;
    const bool ok = get_translations(&reader, texts, count);
    for (size_t i = 0; !ok && i < count; i++) text_free(&texts[i]);
    free(data);
    return ok;
}

bool kept_translations_write(const char *folder, uint64_t key, const Text *texts, size_t count, Error *err) {
    Text file = {0};
    uint64_t known = 0;
    for (size_t i = 0; i < count; i++) known += texts[i].data != NULL;
    stats_file_begin(&file);
    stats_put_number(&file, known);
    for (size_t i = 0; i < count; i++) {
        if (!texts[i].data) continue;
        stats_put_number(&file, i);
        stats_put_number(&file, texts[i].length);
        stats_put(&file, texts[i].data, texts[i].length);
    }
    const bool ok = stats_file_write(folder, STATS_TRANSLATIONS, key, &file, err);
    if (ok) stats_file_prune(folder, STATS_TRANSLATIONS, key, KEPT_TRANSLATIONS_TOTAL);
    text_free(&file);
    return ok;
}
