// The model as a checkpoint for other engines.
#include <math.h>

#include "cli/results.h"
#include "cli/verdict.h"

// What precedes the work, and is printed with it.
typedef struct Known {
    Fixed fixed;
    bool measured;
    Accuracy accuracy; // where it was measured
} Known;

static void known_print(const Known *known, const Engine *engine) {
    fixed_print(&known->fixed);
    if (!known->measured) return;
    const ModelSize size = planned_size(engine);
    accuracy_print(&known->accuracy, &size, engine);
    putchar('\n');
}

static void known_add_json(cJSON *object, const Known *known, const Engine *engine) {
    const ModelSize size = planned_size(engine);
    if (known->measured) cJSON_AddItemToObject(object, "accuracy", accuracy_json(&known->accuracy, &size, engine));
    fixed_add_json(object, &known->fixed);
}

// ---- What would be written ----

static void print_forecast(const Options *options, const Engine *engine, const ExportForecast *f) {
    char bytes[32], before[32], left[32], memory[32], room[32], bits[256];
    if (!f->left) {
        print_name(options->export.folder, 0);
        puts(" is complete already");
    }
    printf("%s %s %s in %d file%s, %s of them still to be written\n",
           in_megabytes((double)engine_plan(engine)->base_bytes, before, sizeof before), arrow(),
           in_megabytes((double)f->bytes, bytes, sizeof bytes), f->files, f->files == 1 ? "" : "s",
           in_megabytes((double)f->left, left, sizeof left));
    export_bits_text(f, engine_plan(engine), bits, sizeof bits);
    if (*bits) puts(bits);
    printf("about %.0f s of computing, %s of memory beside the files\n", f->seconds,
           in_megabytes((double)f->memory, memory, sizeof memory));
    if (f->left && isfinite(f->room)) {
        print_name(options->export.folder, 0);
        printf(" can be written; the disk has %s left\n", in_megabytes(f->room, room, sizeof room));
    }
}

// f: NULL when the format cannot hold the plan.
static cJSON *forecast_json(const Options *options, const ExportForecast *f, const char *refused) {
    const double unknown = (double)NAN;
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "folder", options->export.folder);
    cJSON_AddStringToObject(object, "format", export_format_names[options->export.format]);
    cJSON_AddBoolToObject(object, "dry_run", true);
    if (f)
        cJSON_AddNullToObject(object, "refused");
    else
        cJSON_AddStringToObject(object, "refused", refused);
    json_add_number(object, "files", f ? f->files : unknown);
    json_add_number(object, "bytes", f ? (double)f->bytes : unknown);
    json_add_number(object, "bytes_left", f ? (double)f->left : unknown);
    json_add_number(object, "bits_per_weight", f ? f->bits_per_weight : unknown);
    json_add_number(object, "disk_free", f ? f->room : unknown);
    json_add_number(object, "bytes_read", f ? (double)f->read : unknown);
    json_add_number(object, "memory", f ? (double)f->memory : unknown);
    json_add_number(object, "seconds", f ? f->seconds : unknown);
    return object;
}

// The verdict is printed even where the format cannot hold the plan: it says more than the error.
static bool forecast(const Options *options, Engine *engine, const Known *known, Error *err) {
    ExportForecast f;
    Verdict verdict;
    if (!verdict_of(options, engine, &verdict, err)) return false;
    if (!options->json) {
        known_print(known, engine);
        verdict_print(engine, &verdict);
        standings_print(options, engine);
    }
    const bool ok = engine_forecast(engine, &options->export, &f, err);
    if (ok && f.warning[0] && !options->quiet) fprintf(stderr, "warning: %s\n", f.warning);
    if (ok && !options->json) print_forecast(options, engine, &f);
    if (options->json) {
        cJSON *object = forecast_json(options, ok ? &f : NULL, err->message);
        verdict_add_json(object, engine, &verdict);
        standings_add_json(options, object, engine);
        known_add_json(object, known, engine);
        print_json(object);
    }
    verdict_free(&verdict);
    return ok;
}

// ---- Writing ----

static void print_result(const Options *options, const ExportResult *r) {
    char bytes[32], verified[32], part[40] = "";
    if (options->part.count) snprintf(part, sizeof part, "part %d of %d: ", options->part.index, options->part.count);
    print_name(options->export.folder, 0);
    printf(": %s%s in %d file%s, %s%s\n", part, in_megabytes((double)r->bytes, bytes, sizeof bytes), r->files,
           r->files == 1 ? "" : "s", export_format_names[options->export.format],
           r->was_complete ? "; complete already" : "");
    if (options->export.verify)
        printf("read back and compared: %s, no difference\n",
               in_megabytes((double)r->verified, verified, sizeof verified));
}

static cJSON *result_json(const Options *options, const ExportResult *r) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "folder", options->export.folder);
    cJSON_AddStringToObject(object, "format", export_format_names[options->export.format]);
    cJSON_AddBoolToObject(object, "dry_run", false);
    if (options->part.count) {
        cJSON_AddNumberToObject(object, "part", options->part.index);
        cJSON_AddNumberToObject(object, "parts", options->part.count);
    }
    cJSON_AddNumberToObject(object, "files", r->files);
    cJSON_AddNumberToObject(object, "bytes", (double)r->bytes);
    cJSON_AddNumberToObject(object, "bytes_written", (double)r->written);
    cJSON_AddBoolToObject(object, "was_complete", r->was_complete);
    cJSON_AddNumberToObject(object, "bytes_verified", (double)r->verified);
    return object;
}

static bool write_model(const Options *options, Engine *engine, const Known *known, Error *err) {
    ExportResult result;
    if (!options->json) known_print(known, engine);
    verdict_warn(options, engine);
    const bool ok = engine_export(engine, &options->export, known->measured ? &known->accuracy : NULL, &result,
                                  watch_start(options), err);
    watch_end();
    if (!ok) return false;
    if (result.warning[0] && !options->quiet) fprintf(stderr, "warning: %s\n", result.warning);
    if (options->json) {
        cJSON *object = result_json(options, &result);
        known_add_json(object, known, engine);
        print_json(object);
    } else {
        print_result(options, &result);
    }
    return true;
}

// The recipe as it will be, and how the model fares by it.
static bool learn(const Options *options, Engine *engine, Known *out, Error *err) {
    if (!fix_recipe(options, engine, &out->fixed, err)) return false;
    ExportForecast unused;
    out->measured = options->measure;
    if (!out->measured) return true;
    // What cannot be written is known before it is measured. A forecast is of the whole, not of parts that are there.
    if (!options->dry_run && !options->export.finish && !engine_forecast(engine, &options->export, &unused, err))
        return false;
    if (!evaluate_plan(options, engine, &out->accuracy, err)) return false;
    out->fixed.kl = out->accuracy.kl_mean;
    return true;
}

// Where the format cannot hold the plan, but another recipe's: how to come by one.
static bool name_way_out(const Options *options, Engine *engine, Error *err) {
    const Error refusal = *err;
    ExportForecast f;
    Verdict verdict;
    Error unused;
    if (options->fix || engine_forecast(engine, &options->export, &f, &unused) || !f.unwritable) return false;
    if (!verdict_of(options, engine, &verdict, &unused)) return false;
    for (int i = 0; i < verdict.finding_count; i++) {
        const Finding *finding = &verdict.findings[i];
        if (finding->severity < SEVERITY_REFUSED || !finding->change_count) continue;
        Target target = 0;
        while (!(finding->targets >> target & 1)) target++;
        error_set(err, "%s; --fix mends the recipe, and tune --target %s finds one that it takes", refusal.message,
                  target_table[target].group);
        break;
    }
    verdict_free(&verdict);
    return false;
}

bool command_quantize(const Options *options, Error *err) {
    Engine *engine = NULL;
    Known known = {0};
    if (!options->export.folder) return error_set(err, "name the folder to write: -o FOLDER");
    targets_warn(options);
    bool ok = open_engine(options, options->measure, &engine, err) &&
              engine_prepare_export(engine, watch_start(options), err);
    watch_end();
    if (ok) warn_unmatched(options, engine);
    ok = ok && ((learn(options, engine, &known, err) &&
                 (options->dry_run ? forecast : write_model)(options, engine, &known, err)) ||
                name_way_out(options, engine, err));
    fixed_free(&known.fixed);
    engine_close(engine);
    return ok;
}
