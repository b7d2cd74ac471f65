// Tasks from the user's JSONL files, scored as lm-evaluation-harness does.
#pragma once

#include "base/progress.h"
#include "loaders/tokenizer/tokenizer.h"
#include "model/transformer.h"

typedef enum TaskKind {
    TASK_LAMBADA,   // {"text"}: is the last word (what follows the last space) the likeliest continuation?
    TASK_CHOICES,   // {"query", "choices": […], "gold": index}: is the right choice the likeliest?
    TASK_TRANSLATE, // is no Task: translate.h
} TaskKind;

// A context and a continuation whose likelihood is asked for.
typedef struct TaskRequest {
    int32_t *ids;        // [count], both; cut on the left to one more than the model's positions
    size_t count, first; // ids[first …] are the continuation
    size_t characters;   // of the choice, without the space before it
} TaskRequest;

typedef struct TaskItem {
    size_t first, count; // its requests
    size_t gold;         // which of them is right
} TaskItem;

typedef struct Task {
    TaskKind kind;
    TaskRequest *requests;
    TaskItem *items;
    size_t request_count, request_capacity, item_count, item_capacity;
} Task;

// A line that is not as described is refused with its number. Context and continuation are joined and tokenized
// together; white space at the end of the context belongs to the continuation; an empty context becomes the token for
// the beginning of a text (or its end, where a model has no such token).
bool task_load(const Tokenizer *tokenizer, const ModelConfig *config, TaskKind kind, const char *path, Task *out,
               Error *err);
void task_free(Task *task);

typedef struct TaskAnswer {
    float right;           // 1 or 0: LAMBADA: every token of the word is the likeliest; choices: the gold choice is
    float right_norm;      // choices: with likelihoods divided by characters
    double log_likelihood; // of the word, or of the gold choice
} TaskAnswer;

// Shares of right answers and the perplexity per word (LAMBADA) or per right choice, with standard errors: sample
// standard deviation / √n.
typedef struct TaskScore {
    size_t items;
    double accuracy, accuracy_se, accuracy_norm, accuracy_norm_se;
    double perplexity, perplexity_se; // exp(−mean log likelihood)
} TaskScore;

// answers: [item_count]. Log softmax in float over the logits, sums in double. Progress counts requests. The beginning
// that a request shares with the one before is not computed again, unless tokens_mix (plan_mixes_tokens): then each
// request is one call of its own, so that its score depends on nothing else.
bool task_answer(Transformer *t, const Task *task, bool tokens_mix, TaskAnswer *answers, Progress *progress,
                 Error *err);
TaskScore task_score(const TaskAnswer *answers, size_t count);
