// Which linears hurt, ranked.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/results.h"

#define BAR_WIDTH 20

// What makes a linear hurt, and what would mend that.
typedef struct Reason {
    Why why;
    Remedies remedies;
} Reason;

static bool look_for_reason(const Options *options, const Engine *engine, int linear, Reason *out, Error *err) {
    const Linear *l = &engine_structure(engine)->linears[linear];
    if (!match_shows(options, l) || !engine_stats(engine)->inputs[l->input].sample_rows) return true;
    return engine_why(engine, engine_plan(engine), linear, &out->why, err) &&
           (!options->json || engine_remedies(engine, linear, &out->why, &out->remedies, err));
}

// Why each linear that is shown hurts; signal stays 0 where its input was not measured.
static bool look_for_reasons(const Options *options, const Engine *engine, const Sensitivities *study, Reason **reasons,
                             Progress *progress, Error *err) {
    progress_begin(progress, "looking for causes", (uint64_t)study->count);
    *reasons = array_new((size_t)study->count, sizeof **reasons);
    if (!*reasons) return error_memory(err, "the linears");
    for (int i = 0; i < study->count; i++) {
        if (!look_for_reason(options, engine, study->linears[i].linear, &(*reasons)[i], err)) return false;
        if (!progress_add(progress, 1)) return error_stopped(err);
    }
    return true;
}

static void remedies_json(cJSON *linear, const Remedies *remedies) {
    cJSON *list = cJSON_AddArrayToObject(linear, "remedies");
    for (int i = 0; i < remedies->count; i++) {
        const Remedy *remedy = &remedies->list[i];
        cJSON *item = cJSON_CreateObject();
        cJSON_AddStringToObject(item, "dials", remedy->dials);
        json_add_number(item, "output_sqnr_db", remedy->db);
        json_add_number(item, "gain_db", remedy->gain);
        json_add_number(item, "bits_per_weight", remedy->bits_per_weight);
        json_add_number(item, "bytes", remedy->bytes);
        cJSON_AddItemToArray(list, item);
    }
}

static void why_json(cJSON *linear, const Why *why) {
    const double signal = why->signal > 0 ? why->signal : NAN;
    cJSON *noise = cJSON_AddObjectToObject(linear, "noise"), *column, *channel;
    json_add_number(noise, "weights", why->weights / signal);
    json_add_number(noise, "weights_without_factors", why->weights_plain / signal);
    json_add_number(noise, "input", why->input / signal);
    json_add_number(noise, "both", why->both / signal);
    json_add_number(linear, "weights_share", why_weights_share(why));
    column = cJSON_AddObjectToObject(linear, "column");
    cJSON_AddNumberToObject(column, "index", why->column);
    json_add_number(column, "share", why->column_share);
    channel = cJSON_AddObjectToObject(linear, "channel");
    cJSON_AddNumberToObject(channel, "index", why->channel);
    json_add_number(channel, "absmax", (double)why->channel_absmax);
    json_add_number(channel, "ratio", why->channel_ratio);
}

static cJSON *study_json(const Options *options, const Engine *engine, const Sensitivities *study,
                         const Reason *reasons) {
    const ModelStructure *structure = engine_structure(engine);
    cJSON *object = cJSON_CreateObject(), *linears = cJSON_AddArrayToObject(object, "linears");
    for (int i = 0; i < study->count; i++) {
        const Sensitivity *of = &study->linears[i];
        if (!match_shows(options, &structure->linears[of->linear])) continue;
        cJSON *linear = cJSON_CreateObject();
        cJSON_AddStringToObject(linear, "name", structure->linears[of->linear].name);
        json_add_number(linear, "kl", of->alone_known ? of->kl : NAN);
        json_add_number(linear, "kl_se", of->alone_known ? of->kl_se : NAN);
        json_add_number(linear, "estimate", of->estimate);
        json_add_number(linear, "estimate_se", of->estimate_se);
        if (of->rest_known) {
            json_add_number(linear, "kl_without", of->rest_kl);
            json_add_number(linear, "kl_without_se", of->rest_kl_se);
        }
        if (reasons[i].why.signal > 0) {
            why_json(linear, &reasons[i].why);
            remedies_json(linear, &reasons[i].remedies);
        }
        cJSON_AddItemToArray(linears, linear);
    }
    cJSON_AddNumberToObject(object, "estimate_tokens", (double)study->estimate_tokens);
    json_add_number(object, "rank_correlation", study->rank_correlation);
    cJSON_AddNumberToObject(object, "measured", study->measured);
    json_add_number(object, "kl_all", study->all_kl);
    json_add_number(object, "kl_all_se", study->all_kl_se);
    scored_json(object, engine, TEXT_EVALUATION, engine_positions(engine));
    json_add_number(object, "kl_sum", study->alone_sum);
    return object;
}

static void print_bar(double share) {
    for (int i = 0; i < (int)lround(share * BAR_WIDTH); i++) fputs(output_is_utf8() ? "█" : "#", stdout);
    putchar('\n');
}

// With estimates alone, those that were measured before have figures, too.
static void print_header(const Sensitivities *study) {
    printf("%-38s %4s %7s", "quantized alone", "bits", "group");
    if (study->measured) printf(" %9s %9s", "KL", "+-");
    printf(" %10s %9s", "estimate", "+-");
    if (study->linears[0].rest_known) printf(" %11s %9s", "without it", "+-");
    printf("  %7s %6s  %11s  %14s\n", "weights", "input", "column", "channel");
}

static void print_why(const Why *why) {
    const double weights = why_weights_share(why);
    if (isnan(weights))
        printf("  %7s %6s", "-", "-");
    else
        printf("  %5.0f %% %4.0f %%", 100 * weights, 100 * (1 - weights));
    printf("  %5u %3.0f %%  %5u %7.*fx", why->column, 100 * why->column_share, why->channel,
           why->channel_ratio < 100 ? 1 : 0, why->channel_ratio);
}

static void print_row(const char *name, const Decision *d, const Sensitivity *of, bool measured, const Why *why,
                      double share) {
    char group[32];
    decision_group_text(d, group, sizeof group);
    print_name(name, 38);
    printf(" %4d %7s", d->bits, group);
    if (of->alone_known)
        printf(" %9.6f %9.6f", of->kl, of->kl_se);
    else if (measured)
        printf(" %9s %9s", "-", "-");
    printf(" %10.6f %9.6f", of->estimate, of->estimate_se);
    if (of->rest_known) printf(" %11.5f %9.5f", of->rest_kl, of->rest_kl_se);
    if (why->signal > 0) print_why(why);
    printf("  ");
    print_bar(share);
}

static double length_of(const Sensitivity *of, bool whole) { return whole ? of->kl : of->estimate; }

static void print_study(const Options *options, const Engine *engine, const Sensitivities *study,
                        const Reason *reasons) {
    const bool whole = isfinite(study->all_kl);
    const double longest = length_of(&study->linears[0], whole);
    if (whole)
        printf("all quantized: KL %.5f +- %.5f on %zu tokens; the sum of all alone: %.5f, %.0f %% of that\n\n",
               study->all_kl, study->all_kl_se, engine_positions(engine), study->alone_sum,
               100 * study->alone_sum / study->all_kl);
    print_header(study);
    for (int i = 0; i < study->count; i++) {
        const Sensitivity *of = &study->linears[i];
        const Linear *linear = &engine_structure(engine)->linears[of->linear];
        if (match_shows(options, linear))
            print_row(linear->name, &engine_plan(engine)->decisions[of->linear], of, study->measured > 0,
                      &reasons[i].why, longest > 0 ? length_of(of, whole) / longest : 0);
    }
    printf("\nestimate: KL on %zu tokens", study->estimate_tokens);
    if (isfinite(study->rank_correlation))
        printf("; its ranks correlate with those of KL by %.2f over %d linears", study->rank_correlation,
               study->measured);
    printf("\nweights, input: shares of the error of its output; column: of weights, share of what they can err most; "
           "channel: of the input as it is rounded, after LAE or smooth, times the median\n");
    scored_print(engine, TEXT_EVALUATION, engine_positions(engine));
}

bool command_sensitivity(const Options *options, Error *err) {
    Engine *engine;
    Sensitivities study = {0};
    Reason *reasons = NULL;
    bool ok = open_prepared(options, true, true, &engine, err);
    Progress *progress = ok ? watch_start(options) : NULL;
    ok = ok && engine_sensitivity(engine, engine_plan(engine), options->depth, NULL, NULL, &study, progress, err) &&
         look_for_reasons(options, engine, &study, &reasons, progress, err);
    watch_end();
    if (ok) {
        warn_unmatched(options, engine);
        if (options->json)
            print_json(study_json(options, engine, &study, reasons));
        else
            print_study(options, engine, &study, reasons);
    }
    free(reasons);
    sensitivities_free(&study);
    engine_close(engine);
    return ok;
}
