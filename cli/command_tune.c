// The dials turned by the program.
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "cli/results.h"
#include "cli/verdict.h"
#include "quant/recipe_set.h"

#define DEFAULT_MINUTES 5
#define SECONDS_BETWEEN_LINES 10

static const int all_bits[4] = {2, 3, 4, 8};

// ---- While it runs ----

typedef struct Teller {
    double best_bits, best_kl, seconds; // as told last
} Teller;

// A line for each better recipe, and every so often, also where stderr is no terminal. It takes the place of the bar.
static void tell(void *context, const Tuned *tuned) {
    Teller *teller = context;
    const bool first = isfinite(tuned->best_bits) && tuned->best_bits != teller->best_bits;
    const bool better = first || (isfinite(tuned->best_kl) && tuned->best_kl != teller->best_kl);
    if (!better && tuned->seconds < teller->seconds + SECONDS_BETWEEN_LINES) return;
    teller->best_bits = tuned->best_bits;
    teller->best_kl = tuned->best_kl;
    teller->seconds = tuned->seconds;
    fprintf(stderr, "%s%d:%02d  %d evaluations", isatty(STDERR_FILENO) ? "\r\033[K" : "", (int)tuned->seconds / 60,
            (int)tuned->seconds % 60, tuned->trials);
    if (isfinite(tuned->best_kl))
        fprintf(stderr, "  best so far: KL %.5f at %.3f bits per weight", tuned->best_kl, tuned->best_bits);
    else if (isfinite(tuned->best_bits))
        fprintf(stderr, "  best so far: one scheme for all, at %.3f bits per weight", tuned->best_bits);
    if (isfinite(tuned->best_kl) && isfinite(tuned->first_kl))
        fprintf(stderr, " (one scheme for all: KL %.5f)", tuned->first_kl);
    fprintf(stderr, "\n");
}

// ---- Its result ----

static void uniform_name(const Tuned *tuned, char *out, size_t size) {
    if (tuned->uniform_group)
        snprintf(out, size, "%d bits, group %zu", tuned->uniform_bits, tuned->uniform_group);
    else
        snprintf(out, size, "%d bits, per channel", tuned->uniform_bits);
}

static const char *cut_name(TuneCut cut) {
    switch (cut) {
    case TUNE_WHOLE: break;
    case TUNE_OUT_OF_TIME: return "time";
    case TUNE_STOPPED: return "stop";
    }
    return NULL;
}

static cJSON *tuned_json(const Engine *engine, const Tuned *tuned, const Plan *plan) {
    const ModelStructure *structure = engine_structure(engine);
    cJSON *object = cJSON_CreateObject();
    point_json(object, &tuned->point);
    scored_json(object, engine, TEXT_EVALUATION, tuned->point.accuracy.tokens);
    json_add_number(object, "expected_kl", tuned->expected_kl);
    cJSON_AddBoolToObject(object, "stays", tuned->stays);
    if (tuned->given.known)
        point_json(cJSON_AddObjectToObject(object, "given"), &tuned->given);
    else
        cJSON_AddNullToObject(object, "given");
    cJSON_AddNumberToObject(object, "kept", tuned->kept);
    cJSON_AddNumberToObject(object, "kept_mended", tuned->kept_mended);
    cJSON_AddNumberToObject(object, "trials", tuned->trials);
    cJSON_AddNumberToObject(object, "trial_tokens", (double)tuned->tokens);
    json_add_number(object, "seconds", tuned->seconds);
    json_add_text(object, "cut", cut_name(tuned->cut));
    if (tuned->uniform.known) {
        cJSON *uniform = cJSON_AddObjectToObject(object, "uniform");
        char name[48];
        uniform_name(tuned, name, sizeof name);
        cJSON_AddStringToObject(uniform, "name", name);
        point_json(uniform, &tuned->uniform);
        differences_json(object, "difference", &tuned->difference);
    } else {
        cJSON_AddNullToObject(object, "uniform");
    }
    cJSON *linears = cJSON_AddArrayToObject(object, "linears");
    for (int i = 0; i < plan->linear_count; i++) {
        if (!plan->decisions[i].quantized) continue;
        cJSON *linear = cJSON_CreateObject();
        cJSON_AddStringToObject(linear, "name", structure->linears[i].name);
        cJSON_AddNumberToObject(linear, "bits", plan->decisions[i].bits);
        cJSON_AddNumberToObject(linear, "group_size", (double)plan->decisions[i].group);
        json_add_number(linear, "bits_per_weight", plan->decisions[i].bits_per_weight);
        cJSON_AddItemToArray(linears, linear);
    }
    return object;
}

static void print_linears(const Plan *plan, const ModelStructure *structure) {
    printf("%-38s %4s %8s %6s\n", "linear", "bits", "group", "b/w");
    for (int i = 0; i < plan->linear_count; i++) {
        const Decision *d = &plan->decisions[i];
        char group[32];
        if (!d->quantized) continue;
        decision_group_text(d, group, sizeof group);
        print_name(structure->linears[i].name, 38);
        printf(" %4d %8s %6.3f\n", d->bits, group, d->bits_per_weight);
    }
}

static void print_kept(const Tuned *tuned) {
    if (!tuned->kept) return;
    printf("%d linear%s kept as the recipe has %s; see --keep\n", tuned->kept, tuned->kept == 1 ? "" : "s",
           tuned->kept == 1 ? "it" : "them");
    if (tuned->kept_mended)
        printf("%d of these changed all the same: what --target names does not take their bits or groups\n",
               tuned->kept_mended);
}

static void print_tuned(const Engine *engine, const Tuned *tuned, const Plan *plan) {
    char name[48];
    print_linears(plan, engine_structure(engine));
    printf("\n%-30s ", "");
    point_print_header();
    if (!tuned->stays) {
        printf("%-30s ", "tuned");
        point_print(&tuned->point);
    }
    if (tuned->given.known) {
        printf("%-30s ", "the recipe as it was");
        point_print(&tuned->given);
    }
    if (tuned->uniform.known) {
        uniform_name(tuned, name, sizeof name);
        printf("the same for all: %-12s ", name);
        point_print(&tuned->uniform);
        printf("\n%s minus the same for all, ", tuned->stays ? "the recipe as it was" : "tuned");
        differences_print(&tuned->difference);
    } else {
        printf("\nno uniform setting for all linears reaches the goal\n");
    }
    if (tuned->stays) printf("nothing better was found: the recipe stays as it was\n");
    print_kept(tuned);
    printf("%d units, %d evaluations of %.0f tokens in all, %.0f s", tuned->units, tuned->trials, (double)tuned->tokens,
           tuned->seconds);
    if (isfinite(tuned->expected_kl)) printf("; sum of the units alone: KL %.5f", tuned->expected_kl);
    printf("\n");
    if (tuned->cut != TUNE_WHOLE)
        printf("%s before the search was complete: this is the best it had found\n",
               tuned->cut == TUNE_STOPPED ? "stopped" : "the time was over");
    scored_print(engine, TEXT_EVALUATION, tuned->point.accuracy.tokens);
}

static bool tune_report(const Options *options, Engine *engine, const Tuned *tuned, Error *err) {
    Plan plan;
    if (!engine_make_plan(engine, &tuned->recipe, &plan, err)) return false;
    if (options->json)
        print_json(tuned_json(engine, tuned, &plan));
    else
        print_tuned(engine, tuned, &plan);
    plan_free(&plan);
    return !options->output || recipe_save(&tuned->recipe, options->output, err);
}

// A recipe that was asked for early is a result, and that it is not the one of a whole search is told by the exit
// status.
static bool tune_ends(const Tuned *tuned, Error *err) { return tuned->cut != TUNE_STOPPED || error_stopped(err); }

// What stays as the recipe has it. kept [linear_count]
static bool find_kept(const Options *options, const Engine *engine, bool *kept, Error *err) {
    const ModelStructure *structure = engine_structure(engine);
    const bool none = options->keep && strcmp(options->keep, "none") == 0;
    NameTable names;
    int *matched = array_new((size_t)structure->linear_count, sizeof *matched), count = 0;
    if (!matched || !name_table_new(structure, &names)) {
        free(matched);
        return error_memory(err, "tuning");
    }
    bool ok = none || recipe_held(engine_recipe(engine), &names, kept, err);
    if (options->keep && !none) {
        count = name_table_match(&names, options->keep, matched);
        ok = ok && (count > 0 || error_set(err, "--keep: no linear matches \"%s\"; quantdial plan lists their names",
                                           options->keep));
    }
    for (int i = 0; i < count; i++) kept[matched[i]] = true;
    name_table_free(&names);
    free(matched);
    return ok;
}

bool command_tune(const Options *options, Error *err) {
    Engine *engine;
    Tuned tuned = {0};
    Teller teller = {.best_kl = NAN};
    TuneGoal goal = options->goal;
    if (!goal.bits[0]) memcpy(goal.bits, all_bits, sizeof goal.bits);
    goal.seconds = 60 * (options->minutes > 0 ? options->minutes : DEFAULT_MINUTES);
    bool *kept = NULL;
    bool ok = open_prepared(options, true, true, &engine, err);
    if (ok) kept = array_new((size_t)engine_structure(engine)->linear_count, sizeof *kept);
    ok = ok && (kept || error_memory(err, "tuning")) && find_kept(options, engine, kept, err);
    goal.kept = kept;
    if (ok) verdict_restrict(options, engine, &goal.engines);
    ok = ok && engine_tune(engine, engine_recipe(engine), &goal, options->quiet ? NULL : tell, &teller, &tuned,
                           watch_start(options), err);
    watch_end();
    if (ok) {
        warn_unmatched(options, engine);
        ok = tune_report(options, engine, &tuned, err) && tune_ends(&tuned, err);
    }
    tuned_free(&tuned);
    free(kept);
    engine_close(engine);
    return ok;
}
