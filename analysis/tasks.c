#include "analysis/tasks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/task_lines.h"
#include "base/array.h"

// ---- Requests ----

typedef struct Loader {
    const Tokenizer *tokenizer;
    const ModelConfig *config;
    Task *task;
    Error *err;
} Loader;

static size_t characters_of(const char *text, size_t length) {
    size_t n = 0;
    for (size_t i = 0; i < length; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

static bool add_id(TokenIds *ids, int32_t id) {
    if (!array_grow(&ids->ids, ids->count, &ids->capacity, sizeof *ids->ids)) return false;
    ids->ids[ids->count++] = id;
    return true;
}

static int beginning_of(const ModelConfig *config) {
    if (config->bos_token >= 0) return config->bos_token;
    return config->eos_count ? config->eos_tokens[0] : 0;
}

// A text that begins with BOS gets no second one.
static bool encode_text(const Loader *l, const char *text, size_t length, TokenIds *ids) {
    return tokenizer_encode(l->tokenizer, text, length, !tokenizer_has_prefix(l->tokenizer, text, length), ids, l->err);
}

// Without a context the continuation follows BOS, which may be its own.
static bool encode_alone(const Loader *l, const Text *text, TokenIds *ids, size_t *first) {
    TokenIds own = {0};
    int32_t start = tokenizer_prefix(l->tokenizer);
    if (start < 0) start = beginning_of(l->config);
    bool ok = tokenizer_encode(l->tokenizer, text->data, text->length, false, &own, l->err);
    if (ok && (!own.count || own.ids[0] != start)) ok = add_id(ids, start) || error_memory(l->err, "a task");
    for (size_t i = 0; ok && i < own.count; i++) ok = add_id(ids, own.ids[i]) || error_memory(l->err, "a task");
    token_ids_free(&own);
    *first = 1;
    return ok;
}

// ids of context + continuation, and where the continuation begins in them: as many tokens as the context alone has.
static bool encode_pair(const Loader *l, const Text *text, size_t context, TokenIds *ids, size_t *first) {
    context = utf8_stripped(text->data, context);
    if (context == 0) return encode_alone(l, text, ids, first);
    TokenIds alone = {0};
    bool ok = encode_text(l, text->data, text->length, ids) && encode_text(l, text->data, context, &alone);
    *first = alone.count < ids->count ? alone.count : ids->count;
    token_ids_free(&alone);
    return ok;
}

static bool check_request(const Loader *l, const TokenIds *ids, size_t first) {
    if (l->config->pair.encoder_layers)
        return error_set(l->err, "tasks of this kind are for models without an encoder");
    if (first == 0 || first >= ids->count)
        return error_set(l->err, "the continuation has no tokens of its own; it must not be empty");
    for (size_t i = 0; i < ids->count; i++) {
        if (ids->ids[i] < 0 || ids->ids[i] >= l->config->vocab)
            return error_set(l->err, "the tokenizer gives id %d, but the model has only %d", ids->ids[i],
                             l->config->vocab);
    }
    return true;
}

// Longer ones lose their beginning: the model sees its most positions, and the last id is only predicted.
static bool cut_left(const Loader *l, TaskRequest *request) {
    size_t most = (size_t)l->config->max_positions + 1;
    if (request->count <= most) return true;
    size_t cut = request->count - most;
    if (cut >= request->first)
        return error_set(l->err, "the continuation alone is longer than the model's %d positions",
                         l->config->max_positions);
    memmove(request->ids, request->ids + cut, most * sizeof *request->ids);
    request->count = most;
    request->first -= cut;
    return true;
}

// text: context and continuation; `context` bytes of it are the context, and at `answer` begins what is asked for.
static bool add_request(const Loader *l, const Text *text, size_t context, size_t answer) {
    Task *task = l->task;
    TokenIds ids = {0};
    size_t first = 0;
    bool ok = encode_pair(l, text, context, &ids, &first) && check_request(l, &ids, first);
    if (ok && !array_grow(&task->requests, task->request_count, &task->request_capacity, sizeof *task->requests))
        ok = error_memory(l->err, "a task");
    if (!ok) {
        token_ids_free(&ids);
        return false;
    }
    TaskRequest *request = &task->requests[task->request_count++];
    *request = (TaskRequest){.ids = ids.ids,
                             .count = ids.count,
                             .first = first,
                             .characters = characters_of(text->data + answer, text->length - answer)};
    return cut_left(l, request);
}

// ---- Lines ----

static bool add_lambada(const Loader *l, const cJSON *line, TaskItem *item) {
    const char *string;
    if (!json_string(line, "text", NULL, &string, l->err)) return false;
    if (!string) return error_set(l->err, "has no field \"text\"");
    Text text = {0};
    json_bytes(string, &text);
    const char *space = text.length ? memrchr(text.data, ' ', text.length) : NULL;
    size_t context = space ? (size_t)(space - text.data) : 0;
    bool ok = !text.failed || error_memory(l->err, "a task");
    ok = ok && ((space && context + 1 < text.length) || error_set(l->err, "\"text\" must end with a space and a word"));
    item->count = 1;
    ok = ok && add_request(l, &text, context, context + 1);
    text_free(&text);
    return ok;
}

static bool add_choice(const Loader *l, const char *query, const cJSON *choice) {
    if (!cJSON_IsString(choice) || !choice->valuestring[0])
        return error_set(l->err, "every one of \"choices\" must be a text that is not empty");
    Text text = {0}, chosen = {0};
    json_bytes(query, &text);
    json_bytes(choice->valuestring, &chosen);
    size_t context = text.length;
    text_add(&text, " ", 1);
    text_add(&text, chosen.data, chosen.length);
    bool ok =
        text.failed || chosen.failed ? error_memory(l->err, "a task") : add_request(l, &text, context, context + 1);
    text_free(&chosen);
    text_free(&text);
    return ok;
}

static bool add_choices(const Loader *l, const cJSON *line, TaskItem *item) {
    const char *query;
    const cJSON *choices = cJSON_GetObjectItemCaseSensitive(line, "choices"), *choice;
    int64_t gold;
    if (!json_string(line, "query", NULL, &query, l->err)) return false;
    if (!query || !cJSON_IsArray(choices))
        return error_set(l->err, "expects the fields \"query\", \"choices\", \"gold\"");
    item->count = (size_t)cJSON_GetArraySize(choices);
    if (item->count < 2) return error_set(l->err, "\"choices\" must be two or more");
    if (!json_integer(line, "gold", -1, 0, (int64_t)item->count - 1, &gold, l->err)) return false;
    if (gold < 0) return error_set(l->err, "has no field \"gold\"");
    item->gold = (size_t)gold;
    cJSON_ArrayForEach(choice, choices) {
        if (!add_choice(l, query, choice)) return false;
    }
    return true;
}

static bool add_line(void *context, const cJSON *line, Error *err) {
    const Loader *l = context;
    Task *task = l->task;
    TaskItem item = {.first = task->request_count};
    if (!(task->kind == TASK_LAMBADA ? add_lambada : add_choices)(l, line, &item)) return false;
    if (!array_grow(&task->items, task->item_count, &task->item_capacity, sizeof *task->items))
        return error_memory(err, "a task");
    task->items[task->item_count++] = item;
    return true;
}

bool task_load(const Tokenizer *tokenizer, const ModelConfig *config, TaskKind kind, const char *path, Task *out,
               Error *err) {
    *out = (Task){.kind = kind};
    Loader loader = {.tokenizer = tokenizer, .config = config, .task = out, .err = err};
    if (task_lines(path, add_line, &loader, err)) return true;
    task_free(out);
    return false;
}

void task_free(Task *task) {
    for (size_t i = 0; i < task->request_count; i++) free(task->requests[i].ids);
    free(task->requests);
    free(task->items);
    *task = (Task){0};
}

// ---- Scoring ----

typedef struct Scorer {
    Transformer *t;
    Backend *backend;
    Sequences *running;
    size_t hidden_width, vocab, layers;
    float *hidden, *logits; // in backend memory: [most tokens, hidden], [vocab]
    float *host;            // [vocab]
    bool keeps;             // what layers remember behind a query serves the choices that follow
    Error *err;
} Scorer;

typedef struct Likelihood {
    double log_likelihood;
    bool greedy; // every token of the continuation is the likeliest (ties: the lowest id)
} Likelihood;

static bool scorer_new(Transformer *t, const Task *task, Scorer *s, Error *err) {
    const ModelConfig *config = &transformer_structure(t)->config;
    size_t most = 1;
    for (size_t i = 0; i < task->request_count; i++) {
        if (task->requests[i].count > most) most = task->requests[i].count;
    }
    *s = (Scorer){.t = t,
                  .backend = transformer_backend(t),
                  .hidden_width = (size_t)config->hidden,
                  .vocab = (size_t)config->vocab,
                  .layers = (size_t)config->layers,
                  .err = err};
    const BackendOps *ops = s->backend->ops;
    s->host = array_new(s->vocab, sizeof *s->host);
    return (s->host || error_memory(err, "logits")) && sequences_new(t, most - 1, &s->running, err) &&
           (s->hidden = ops->memory_new(s->backend, most * s->hidden_width * sizeof(float), err)) &&
           (s->logits = ops->memory_new(s->backend, s->vocab * sizeof(float), err));
}

static void scorer_free(Scorer *s) {
    if (s->running) sequences_free(s->running);
    if (s->hidden) s->backend->ops->memory_free(s->backend, s->hidden);
    if (s->logits) s->backend->ops->memory_free(s->backend, s->logits);
    free(s->host);
}

static bool add_token(const Scorer *s, int32_t target, Likelihood *sum) {
    size_t top = 0;
    double total = 0;
    for (size_t i = 1; i < s->vocab; i++) {
        if (s->host[i] > s->host[top]) top = i;
    }
    double largest = (double)s->host[top];
    for (size_t i = 0; i < s->vocab; i++) total += exp((double)s->host[i] - largest);
    if (!isfinite(total)) return error_set(s->err, "the logits are infinite or not a number");
    sum->log_likelihood += (double)s->host[target] - largest - log(total);
    sum->greedy &= top == (size_t)target;
    return true;
}

// The cache of the request before serves as far as both begin alike: choices share their query.
static size_t shared_beginning(const TaskRequest *before, const TaskRequest *now) {
    size_t most = now->first - 1, i = 0; // the row of the last context token must be computed
    if (!before) return 0;
    if (before->count - 1 < most) most = before->count - 1;
    while (i < most && before->ids[i] == now->ids[i]) i++;
    return i;
}

// Tokens of a request up to before `end` that have not been run. Their hidden states are in s->hidden then.
static bool run_to(const Scorer *s, const TaskRequest *r, size_t end) {
    const size_t start = sequences_length(s->running), tokens = end - start;
    if (!transformer_embed(s->t, r->ids + start, tokens, s->hidden, s->err) ||
        !transformer_layers(s->t, s->running, 0, (int)s->layers, s->hidden, tokens, NULL, s->err))
        return false;
    sequences_advance(s->running, tokens);
    return true;
}

static bool run_query(const Scorer *s, const TaskRequest *r) {
    if (!s->keeps || sequences_length(s->running) >= r->first - 1) return true;
    return run_to(s, r, r->first - 1) && sequences_keep(s->running, s->err);
}

static bool score_request(const Scorer *s, const TaskRequest *before, const TaskRequest *r, Likelihood *out) {
    *out = (Likelihood){.greedy = true};
    sequences_rewind(s->running, shared_beginning(before, r));
    if (!run_query(s, r)) return false;
    const size_t start = sequences_length(s->running);
    if (!run_to(s, r, r->count - 1)) return false;
    for (size_t i = r->first; i < r->count; i++) {
        const float *row = s->hidden + (i - 1 - start) * s->hidden_width;
        if (!transformer_head(s->t, s->running, row, 1, s->logits, NULL, s->err)) return false;
        s->backend->ops->download(s->backend, s->host, s->logits, s->vocab * sizeof(float));
        if (!transformer_healthy(s->t, s->err) || !add_token(s, r->ids[i], out)) return false;
    }
    return true;
}

static TaskAnswer answer_of(const Task *task, const TaskItem *item, const Likelihood *likelihoods) {
    const TaskRequest *requests = task->requests + item->first;
    const Likelihood *gold = &likelihoods[item->gold];
    if (task->kind == TASK_LAMBADA) return (TaskAnswer){gold->greedy, gold->greedy, gold->log_likelihood};
    size_t best = 0, best_norm = 0;
    for (size_t c = 1; c < item->count; c++) {
        if (likelihoods[c].log_likelihood > likelihoods[best].log_likelihood) best = c;
        double norm = likelihoods[c].log_likelihood / (double)requests[c].characters;
        double most = likelihoods[best_norm].log_likelihood / (double)requests[best_norm].characters;
        if (norm > most) best_norm = c;
    }
    return (TaskAnswer){best == item->gold, best_norm == item->gold, gold->log_likelihood};
}

static bool answer_all(const Scorer *s, const Task *task, bool tokens_mix, Likelihood *likelihoods, TaskAnswer *answers,
                       Progress *progress) {
    const TaskRequest *before = NULL;
    for (size_t i = 0; i < task->request_count; i++) {
        if (!score_request(s, before, &task->requests[i], &likelihoods[i])) return false;
        if (!tokens_mix) before = &task->requests[i];
        if (!progress_add(progress, 1)) return error_stopped(s->err);
    }
    for (size_t i = 0; i < task->item_count; i++)
        answers[i] = answer_of(task, &task->items[i], likelihoods + task->items[i].first);
    return true;
}

bool task_answer(Transformer *t, const Task *task, bool tokens_mix, TaskAnswer *answers, Progress *progress,
                 Error *err) {
    Scorer scorer;
    Likelihood *likelihoods = array_new(task->request_count, sizeof *likelihoods);
    if (!likelihoods) return error_memory(err, "a task");
    progress_begin(progress, "answering", task->request_count);
    bool ok = scorer_new(t, task, &scorer, err);
    scorer.keeps = !tokens_mix && transformer_structure(t)->config.recurrent.kind != RECURRENT_NONE;
    ok = ok && answer_all(&scorer, task, tokens_mix, likelihoods, answers, progress);
    scorer_free(&scorer);
    free(likelihoods);
    return ok;
}

typedef struct MeanError {
    double mean, se;
} MeanError;

static MeanError mean_error(double sum, double squares, double n) {
    double mean = sum / n, variance = fmax(squares / n - mean * mean, 0);
    return (MeanError){mean, n > 1 ? sqrt(variance / (n - 1)) : 0};
}

TaskScore task_score(const TaskAnswer *answers, size_t count) {
    double right = 0, norm = 0, sum = 0, squares = 0, n = (double)count;
    if (!count) return (TaskScore){0};
    for (size_t i = 0; i < count; i++) {
        right += (double)answers[i].right;
        norm += (double)answers[i].right_norm;
        sum += answers[i].log_likelihood;
        squares += answers[i].log_likelihood * answers[i].log_likelihood;
    }
    MeanError accuracy = mean_error(right, right, n), normed = mean_error(norm, norm, n),
              word = mean_error(sum, squares, n);
    return (TaskScore){.items = count,
                       .accuracy = accuracy.mean,
                       .accuracy_se = accuracy.se,
                       .accuracy_norm = normed.mean,
                       .accuracy_norm_se = normed.se,
                       .perplexity = exp(-word.mean),
                       .perplexity_se = exp(-word.mean) * word.se};
}
