// eval --task: base and quantized model on the user's task file.
#include <stdlib.h>

#include "analysis/statistics.h"
#include "base/array.h"
#include "cli/results.h"

typedef struct TaskSides { // [0] base, [1] quantized
    TaskAnswer *answers[2];
    TaskScore score[2];
    Difference difference; // of right answers, item by item
} TaskSides;

static void compare_sides(const Task *task, TaskSides *sides, float *right) {
    size_t n = task->item_count;
    for (int side = 0; side < 2; side++) {
        sides->score[side] = task_score(sides->answers[side], n);
        for (size_t i = 0; i < n; i++) right[(size_t)side * n + i] = sides->answers[side][i].right;
    }
    sides->difference = paired_difference(right + n, right, n);
}

static bool answer_sides(const Engine *engine, const Task *task, TaskSides *sides, Progress *progress, Error *err) {
    Transformer *models[2] = {engine_base(engine), engine_quantized(engine)};
    float *right = array_new(2 * task->item_count, sizeof *right);
    const bool mix[2] = {false, plan_mixes_tokens(engine_plan(engine))};
    bool ok = right != NULL || error_memory(err, "a task");
    for (int side = 0; ok && side < 2; side++) {
        sides->answers[side] = array_new(task->item_count, sizeof *sides->answers[side]);
        ok = sides->answers[side] ? task_answer(models[side], task, mix[side], sides->answers[side], progress, err)
                                  : error_memory(err, "a task");
    }
    if (ok) compare_sides(task, sides, right);
    free(right);
    return ok;
}

static cJSON *side_json(const TaskScore *score, TaskKind kind) {
    cJSON *side = cJSON_CreateObject();
    json_add_number(side, "accuracy", score->accuracy);
    json_add_number(side, "accuracy_se", score->accuracy_se);
    if (kind == TASK_CHOICES) {
        json_add_number(side, "accuracy_norm", score->accuracy_norm);
        json_add_number(side, "accuracy_norm_se", score->accuracy_norm_se);
    }
    json_add_number(side, "ppl", score->perplexity);
    json_add_number(side, "ppl_se", score->perplexity_se);
    return side;
}

static bool too_few(const Task *task) { return task->item_count < FEWEST_ITEMS; }

static void print_as_json(const Task *task, const TaskSides *sides, const Plan *plan) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "task", task->kind == TASK_LAMBADA ? "lambada" : "choices");
    cJSON_AddNumberToObject(object, "items", (double)task->item_count);
    cJSON_AddBoolToObject(object, "too_few_items", too_few(task));
    cJSON_AddItemToObject(object, "base", side_json(&sides->score[0], task->kind));
    cJSON_AddItemToObject(object, "quantized", side_json(&sides->score[1], task->kind));
    json_add_number(object, "accuracy_difference", sides->difference.mean);
    json_add_number(object, "accuracy_difference_se", sides->difference.se);
    json_add_bits(object, plan->bits_per_weight);
    cJSON_AddNumberToObject(object, "bytes", (double)plan->bytes);
    print_json(object);
}

static void print_sides(const Task *task, const TaskSides *sides, const Plan *plan) {
    const TaskScore *a = &sides->score[0], *b = &sides->score[1];
    char bits[48];
    printf("%zu items; %s\n", task->item_count, bits_text(plan->bits_per_weight, bits, sizeof bits));
    printf("%-22s %8.2f %% +- %.2f %s %8.2f %% +- %.2f\n", "accuracy", 100 * a->accuracy, 100 * a->accuracy_se, arrow(),
           100 * b->accuracy, 100 * b->accuracy_se);
    if (task->kind == TASK_CHOICES) {
        printf("%-22s %8.2f %% +- %.2f %s %8.2f %% +- %.2f\n", "length-normalized", 100 * a->accuracy_norm,
               100 * a->accuracy_norm_se, arrow(), 100 * b->accuracy_norm, 100 * b->accuracy_norm_se);
    }
    printf("%-22s %8.3f +- %.3f %s %8.3f +- %.3f\n",
           task->kind == TASK_LAMBADA ? "perplexity per word" : "perplexity of answers", a->perplexity,
           a->perplexity_se, arrow(), b->perplexity, b->perplexity_se);
    printf("%-22s %+8.2f %% +- %.2f, item by item\n", "change of accuracy", 100 * sides->difference.mean,
           100 * sides->difference.se);
    if (too_few(task))
        printf("%zu item%s too few to mean anything: of fewer than %d, accuracy is uncertain by more than 10 %%\n",
               task->item_count, task->item_count == 1 ? " is" : "s are", FEWEST_ITEMS);
}

bool task_open(const Options *options, Engine *engine, Task *out, Error *err) {
    const Tokenizer *tokenizer;
    return engine_tokenizer(engine, &tokenizer, err) &&
           task_load(tokenizer, &engine_structure(engine)->config, options->task, options->task_file, out, err);
}

bool task_command(const Options *options, Engine *engine, const Task *task, Error *err) {
    TaskSides sides = {0};
    bool ok = answer_sides(engine, task, &sides, watch_start(options), err);
    watch_end();
    if (ok) (options->json ? print_as_json : print_sides)(task, &sides, engine_plan(engine));
    free(sides.answers[0]);
    free(sides.answers[1]);
    return ok;
}
