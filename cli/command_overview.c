// The screen as plain text: model, ranges, plan, accuracy, both texts, speeds.
#include "cli/results.h"

static void print_model(const Opened *o) {
    char size[32], dtype[80];
    const ModelSession *s = &o->session;
    dtype_text(&s->structure, dtype, sizeof dtype);
    printf("quantdial %s   %s, %d layers, %d linears, %s in %s   ", QUANTDIAL_VERSION, s->config.family,
           s->config.layers, s->structure.linear_count, in_megabytes((double)s->checkpoint.bytes, size, sizeof size),
           dtype);
    print_name(s->backend->ops->describe(s->backend), 0);
    putchar('\n');
    print_unlisted(&s->structure);
    putchar('\n');
}

static void print_linears(const Opened *o) {
    const ModelSession *s = &o->session;
    printf("%-16s %9s %9s  %-7s %4s %8s\n", "linear", "|w| max", "|x| max", "class", "bits", "group");
    for (int i = 0; i < s->structure.linear_count; i++) {
        const Decision *d = &o->plan.decisions[i];
        char name[64], group[32];
        linear_short_name(&s->structure.linears[i], name, sizeof name);
        decision_group_text(d, group, sizeof group);
        print_name(name, 16);
        printf(" %9.4g %9.4g  %-7s %4d %8s\n", s->stats.weights[i].absmax,
               s->stats.inputs[s->structure.linears[i].input].range, decision_input_text(d), d->bits, group);
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
        cJSON_AddItemToObject(object, "generate", sides_json(sides, &o->session, options_prompt(options)));
        print_json(object);
        return;
    }
    print_model(o);
    print_linears(o);
    print_counts(&o->plan);
    accuracy_print(accuracy, &o->plan);
    putchar('\n');
    sides_print(sides, &o->session, options_prompt(options));
}

bool command_overview(const Options *options, Error *err) {
    Opened o;
    Accuracy accuracy;
    Sides sides = {0};
    Progress *progress = watch_start(options);
    bool ok = opened_model(options, true, &o, err) && prompt_fits(options, &o.session, err) &&
              opened_measure(options, &o, err) && model_session_follow(&o.session, &o.plan, NULL, progress, err) &&
              model_session_evaluate(&o.session, 0, NULL, NULL, &accuracy, progress, err) &&
              sides_generate(options, &o.session, &sides, err);
    watch_end();
    if (ok) {
        warn_unmatched(options, &o);
        print_overview(options, &o, &accuracy, &sides);
    }
    sides_free(&sides);
    opened_close(&o);
    return ok;
}
