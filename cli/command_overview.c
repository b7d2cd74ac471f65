// The screen as plain text: model, ranges, plan, accuracy, both texts, speeds.
#include "cli/results.h"

static void print_model(const Opened *o) {
    char size[32], dtype[80];
    const Engine *engine = &o->engine;
    dtype_text(&engine->structure, dtype, sizeof dtype);
    printf("quantdial %s   %s, %d layers, %d linears, %s in %s   ", QUANTDIAL_VERSION, engine->config.family,
           engine->config.layers, engine->structure.linear_count,
           in_megabytes((double)engine->checkpoint.bytes, size, sizeof size), dtype);
    print_name(engine->backend->ops->describe(engine->backend), 0);
    putchar('\n');
    print_unlisted(&engine->structure);
    putchar('\n');
}

static void print_linears(const Opened *o) {
    const Engine *engine = &o->engine;
    printf("%-16s %9s %9s  %-7s %4s %8s\n", "linear", "|w| max", "|x| max", "class", "bits", "group");
    for (int i = 0; i < engine->structure.linear_count; i++) {
        const Decision *d = &o->plan.decisions[i];
        char name[64], group[32];
        linear_short_name(&engine->structure.linears[i], name, sizeof name);
        decision_group_text(d, group, sizeof group);
        print_name(name, 16);
        printf(" %9.4g %9.4g  %-7s %4d %8s\n", engine->stats.weights[i].absmax,
               engine->stats.inputs[engine->structure.linears[i].input].range, decision_input_text(d), d->bits, group);
    }
}

static void print_counts(const Plan *plan) {
    printf("\n%d linears quantized, %d of them finer than a channel; inputs of %d static, %d LAE, %d token\n\n",
           plan->quantized_count, plan->refined_count, plan->class_count[CLASS_STATIC], plan->class_count[CLASS_LAE],
           plan->class_count[CLASS_TOKEN]);
}

static void print_overview(const Options *options, const Opened *o, const Accuracy *accuracy, const Sides *sides) {
    if (options->json) {
        cJSON *object = cJSON_CreateObject();
        cJSON_AddItemToObject(object, "eval", accuracy_json(accuracy, &o->plan));
        cJSON_AddItemToObject(object, "generate", sides_json(sides, &o->engine, options_prompt(options)));
        print_json(object);
        return;
    }
    print_model(o);
    print_linears(o);
    print_counts(&o->plan);
    accuracy_print(accuracy, &o->plan);
    putchar('\n');
    sides_print(sides, &o->engine, options_prompt(options));
}

bool command_overview(const Options *options, Error *err) {
    Opened o;
    Accuracy accuracy;
    Sides sides = {0};
    Progress *progress = watch_start(options);
    bool ok = opened_model(options, true, &o, err) && prompt_fits(options, &o.engine, err) &&
              opened_measure(options, &o, err) && engine_follow(&o.engine, &o.plan, NULL, progress, err) &&
              engine_evaluate(&o.engine, 0, NULL, NULL, &accuracy, progress, err) &&
              sides_generate(options, &o.engine, &sides, err);
    watch_end();
    if (ok) {
        warn_unmatched(options, &o);
        print_overview(options, &o, &accuracy, &sides);
    }
    sides_free(&sides);
    opened_close(&o);
    return ok;
}
