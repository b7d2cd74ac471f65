// The screen as plain text: model, ranges, plan, accuracy, both texts, speeds.
#include "cli/results.h"

static void print_model(const Engine *engine) {
    const ModelStructure *structure = engine_structure(engine);
    char size[32], dtype[80];
    dtype_text(structure, dtype, sizeof dtype);
    printf("quantdial %s   %s, %d layers, %d linears, %s in %s   ", QUANTDIAL_VERSION, structure->config.family,
           structure->config.layers, structure->linear_count,
           in_megabytes((double)structure->checkpoint->bytes, size, sizeof size), dtype);
    print_name(engine_backend_description(engine), 0);
    putchar('\n');
    print_unlisted(structure);
    putchar('\n');
}

static void print_linears(const Engine *engine) {
    const ModelStructure *structure = engine_structure(engine);
    printf("%-16s %9s %9s  %-7s %4s %8s\n", "linear", "|w| max", "|x| max", "class", "bits", "group");
    for (int i = 0; i < structure->linear_count; i++) {
        const Decision *d = &engine_plan(engine)->decisions[i];
        char name[64], group[32];
        linear_short_name(&structure->linears[i], name, sizeof name);
        decision_group_text(d, group, sizeof group);
        print_name(name, 16);
        const InputStats *input = &engine_stats(engine)->inputs[structure->linears[i].input];
        printf(" %9.4g ", engine_stats(engine)->weights[i].absmax);
        if (input->known)
            printf("%9.4g", input->range);
        else
            printf("%9s", "-"); // the recipe needs no range
        printf("  %-7s %4d %8s\n", decision_input_text(d), d->bits, group);
    }
}

static void print_counts(const Plan *plan) {
    printf("\n%d linears quantized, %d of them finer than a channel", plan->quantized_count, plan->refined_count);
    if (plan->class_count[CLASS_UNKNOWN] < plan->linear_count)
        printf("; inputs of %d static, %d LAE, %d token", plan->class_count[CLASS_STATIC], plan->class_count[CLASS_LAE],
               plan->class_count[CLASS_TOKEN]);
    printf("\n\n");
}

static void print_overview(const Options *options, const Engine *engine, const Accuracy *accuracy, const Sides *sides) {
    const ModelSize size = planned_size(engine);
    if (options->json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddItemToObject(object, "eval", accuracy_json(accuracy, &size, engine));
        cJSON_AddItemToObject(object, "generate", sides_json(sides));
        print_json(object);
        return;
    }
    print_model(engine);
    print_linears(engine);
    print_counts(engine_plan(engine));
    accuracy_print(accuracy, &size, engine);
    putchar('\n');
    sides_print(sides);
}

bool command_overview(const Options *options, Error *err) {
    Engine *engine;
    Accuracy accuracy;
    Sides sides = {0};
    Progress *progress = watch_start(options);
    bool ok = open_engine(options, true, &engine, err) && prompt_fits(options, engine, err) &&
              prepare_engine(options, engine, false, err) &&
              engine_follow(engine, engine_plan(engine), NULL, progress, err) &&
              engine_evaluate(engine, 0, NULL, NULL, &accuracy, progress, err) &&
              sides_generate(options, engine, &sides, err);
    watch_end();
    if (ok) {
        warn_unmatched(options, engine);
        print_overview(options, engine, &accuracy, &sides);
    }
    sides_free(&sides);
    engine_close(engine);
    return ok;
}
