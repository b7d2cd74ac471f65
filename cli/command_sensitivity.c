// Which linears hurt, ranked.
#include <math.h>
#include <string.h>

#include "cli/results.h"

#define BAR_WIDTH 20

static bool sensitivity_shown(const Options *options, const Linear *linear) {
    return !options->match || glob_matches(options->match, linear->name);
}

static cJSON *study_json(const Options *options, const Engine *engine, const Sensitivities *study) {
    const ModelStructure *structure = engine_structure(engine);
    cJSON *object = cJSON_CreateObject(), *linears = cJSON_AddArrayToObject(object, "linears");
    for (int i = 0; i < study->count; i++) {
        const Sensitivity *of = &study->linears[i];
        if (!sensitivity_shown(options, &structure->linears[of->linear])) continue;
        cJSON *linear = cJSON_CreateObject();
        cJSON_AddStringToObject(linear, "name", structure->linears[of->linear].name);
        json_add_number(linear, "kl", of->alone_known ? of->kl : NAN);
        json_add_number(linear, "kl_se", of->alone_known ? of->kl_se : NAN);
        json_add_number(linear, "estimate", of->estimate);
        if (of->rest_known) {
            json_add_number(linear, "kl_without", of->rest_kl);
            json_add_number(linear, "kl_without_se", of->rest_kl_se);
        }
        cJSON_AddItemToArray(linears, linear);
    }
    json_add_number(object, "rank_correlation", study->rank_correlation);
    json_add_number(object, "kl_all", study->all_kl);
    json_add_number(object, "kl_all_se", study->all_kl_se);
    scored_json(object, engine, TEXT_EVALUATION, engine_positions(engine));
    return object;
}

static void print_bar(double share) {
    for (int i = 0; i < (int)lround(share * BAR_WIDTH); i++) fputs(output_is_utf8() ? "█" : "#", stdout);
    putchar('\n');
}

static void print_header(const Sensitivities *study) {
    printf("%-38s %4s %7s", "quantized alone", "bits", "group");
    if (study->linears[0].alone_known) printf(" %9s %9s", "KL", "+-");
    printf(" %10s", "estimate");
    if (study->linears[0].rest_known) printf(" %11s %9s", "without it", "+-");
    putchar('\n');
}

static void print_row(const char *name, const Decision *d, const Sensitivity *of, double share) {
    char group[32];
    decision_group_text(d, group, sizeof group);
    print_name(name, 38);
    printf(" %4d %7s", d->bits, group);
    if (of->alone_known) printf(" %9.6f %9.6f", of->kl, of->kl_se);
    printf(" %10.6f", of->estimate);
    if (of->rest_known) printf(" %11.5f %9.5f", of->rest_kl, of->rest_kl_se);
    printf("  ");
    print_bar(share);
}

static double length_of(const Sensitivity *of) { return of->alone_known ? of->kl : of->estimate; }

static void print_study(const Options *options, const Engine *engine, const Sensitivities *study) {
    bool measured = study->linears[0].alone_known;
    double longest = length_of(&study->linears[0]);
    if (measured)
        printf("all quantized: KL %.5f +- %.5f on %zu tokens\n\n", study->all_kl, study->all_kl_se,
               engine_positions(engine));
    print_header(study);
    for (int i = 0; i < study->count; i++) {
        const Sensitivity *of = &study->linears[i];
        const Linear *linear = &engine_structure(engine)->linears[of->linear];
        if (sensitivity_shown(options, linear))
            print_row(linear->name, &engine_plan(engine)->decisions[of->linear], of,
                      longest > 0 ? length_of(of) / longest : 0);
    }
    printf("\nestimate: the share in its layer's divergence on %zu tokens", engine_first_window(engine));
    if (measured) printf("; its ranks correlate with those of KL by %.2f", study->rank_correlation);
    putchar('\n');
    scored_print(engine, TEXT_EVALUATION, engine_positions(engine));
}

bool command_sensitivity(const Options *options, Error *err) {
    Engine *engine;
    Sensitivities study = {0};
    bool ok = open_prepared(options, true, false, &engine, err) &&
              engine_sensitivity(engine, options->depth, NULL, NULL, &study, watch_start(options), err);
    watch_end();
    if (ok) {
        warn_unmatched(options, engine);
        if (options->json)
            print_json(study_json(options, engine, &study));
        else
            print_study(options, engine, &study);
    }
    sensitivities_free(&study);
    engine_close(engine);
    return ok;
}
