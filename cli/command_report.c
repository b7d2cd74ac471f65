// One page about a recipe, for people who were not there.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/report.h"

static bool make_tables(Report *r, Error *err) {
    const size_t linears = (size_t)engine_structure(r->engine)->linear_count;
    r->output_db = array_new(linears, sizeof *r->output_db);
    r->weight_db = array_new(linears, sizeof *r->weight_db);
    for (size_t i = 0; r->weight_db && i < linears; i++) r->weight_db[i] = NAN;
    return (r->output_db && r->weight_db) || error_memory(err, "the report");
}

// The worst first; equal ones in the order of the model.
static void choose_worst(Report *r) {
    for (int i = 0; i < engine_structure(r->engine)->linear_count; i++) {
        const double db = r->output_db[i];
        if (!isfinite(db)) continue;
        int at = r->worst_count < REPORT_WORST ? r->worst_count++ : REPORT_WORST;
        while (at > 0 && db < r->output_db[r->worst[at - 1].linear]) {
            if (at < REPORT_WORST) r->worst[at] = r->worst[at - 1];
            at--;
        }
        if (at < REPORT_WORST) r->worst[at] = (WorstLinear){.linear = i};
    }
}

static bool explain_worst(Report *r, Error *err) {
    const ModelStructure *structure = engine_structure(r->engine);
    for (int i = 0; i < r->worst_count; i++) {
        WorstLinear *worst = &r->worst[i];
        worst->explained = engine_stats(r->engine)->inputs[structure->linears[worst->linear].input].sample_rows > 0;
        if (worst->explained && (!engine_why(r->engine, engine_plan(r->engine), worst->linear, &worst->why, err) ||
                                 !engine_remedies(r->engine, worst->linear, &worst->why, &worst->remedies, err)))
            return false;
    }
    return true;
}

static bool measure(const Options *options, Engine *engine, Report *r, Error *err) {
    const Plan *plan = engine_plan(engine);
    if (!engine_follow(engine, plan, NULL, watch_start(options), err)) return false;
    for (int i = 0; i < plan->linear_count; i++) {
        if (!engine_weight_sqnr(engine, plan, i, &r->weight_db[i], err)) return false;
    }
    if (!engine_evaluate(engine, 0, NULL, NULL, &r->accuracy, watch_start(options), err) ||
        !engine_output_sqnr(engine, plan, r->output_db, NULL, watch_start(options), err))
        return false;
    choose_worst(r);
    return explain_worst(r, err) &&
           shared_channels_find(engine_structure(engine), engine_stats(engine)->set, OUTLIER_FACTOR, &r->channels,
                                err) &&
           sides_generate(options, engine, &r->sides, err);
}

static bool write_page(const Options *options, Report *r, Error *err) {
    Text page = {0};
    r->recipe = recipe_print(engine_recipe(r->engine));
    if (r->recipe) report_page(r, &page);
    const bool ok = r->recipe && !page.failed ? file_write(options->output, page.data, page.length, err)
                                              : error_memory(err, options->output);
    text_free(&page);
    return ok;
}

static void report_free(Report *r) {
    sides_free(&r->sides);
    shared_channels_free(&r->channels);
    free(r->output_db);
    free(r->weight_db);
    free(r->recipe);
}

bool command_report(const Options *options, Error *err) {
    Engine *engine;
    Report report = {0};
    bool ok = open_engine(options, true, &engine, err);
    report.engine = engine;
    ok = ok && prompt_fits(options, engine, err) && make_tables(&report, err) &&
         prepare_engine(options, engine, true, err) && measure(options, engine, &report, err);
    watch_end();
    if (ok) warn_unmatched(options, engine);
    ok = ok && write_page(options, &report, err);
    if (ok) printf("%s\n", options->output);
    report_free(&report);
    engine_close(engine);
    return ok;
}
