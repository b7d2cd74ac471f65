#include "export/export.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "export/export_parts.h"

static const FormatRow *const formats[EXPORT_FORMAT_COUNT] = {
    [EXPORT_COMPRESSED_TENSORS] = &format_compressed_tensors,
    [EXPORT_GGUF] = &format_gguf,
    [EXPORT_MLX] = &format_mlx,
    [EXPORT_GPTQ] = &format_gptq,
    [EXPORT_DENSE] = &format_dense,
};

static bool begin(const ExportModel *model, const ExportOptions *options, Export *x, Error *err) {
    *x = (Export){.model = model, .options = options, .format = formats[options->format]};
    if (!x->format) return error_set(err, "the format %s cannot be written yet", export_format_names[options->format]);
    if (!parts_check(options, x->format, err) || !checkpoint_whole(model->structure->checkpoint, err) ||
        !folder_check(x, err) || !units_make(x, err))
        return false;
    if (!model->plan->quantized_count && options->format != EXPORT_DENSE && !x->warning[0])
        snprintf(x->warning, sizeof x->warning, "the recipe quantizes nothing: the weights are written as they are");
    if (options->parts > x->file_count && !x->warning[0])
        snprintf(x->warning, sizeof x->warning,
                 "there %s %d file%s for %d parts; a smaller --shard-megabytes gives more",
                 x->file_count == 1 ? "is" : "are", x->file_count, x->file_count == 1 ? "" : "s", options->parts);
    if (!model->plan->calibrated && !x->warning[0])
        snprintf(x->warning, sizeof x->warning, "inputs were not measured: they stay in 16 bits");
    return true;
}

const FormatRow *export_format_row(ExportFormat format) { return formats[format]; }

static uint64_t missing_bytes(const Export *x, const Journal *journal) {
    return journal_room(journal, x) + (x->options->parts ? 0 : folder_bytes(x));
}

static bool do_work(Export *x, Journal *journal, ExportResult *out, Progress *progress, Error *err) {
    if (!disk_has_room(x->options->folder, missing_bytes(x, journal), err) ||
        !write_files(x, journal, &out->written, progress, err))
        return false;
    if (!x->options->parts && !x->format->finish(x, err))
        return error_prefix(err, "run the same command again, it goes on where it was");
    journal->complete = true;
    return journal_keep(journal, x, err) && (!x->options->finish || parts_forget(x, err));
}

// That of a part compares hashes: what the loaders read is a whole folder.
static bool verify(const Export *x, const Journal *journal, uint64_t *bytes, Progress *progress, Error *err) {
    return x->options->parts ? journal_check(x, journal, bytes, progress, err)
                             : verify_files(x, NULL, bytes, progress, err);
}

static bool run(Export *x, Journal *journal, ExportResult *out, Progress *progress, Error *err) {
    if (!journal_open(x, true, journal, err)) return false;
    out->files = journal->end - journal->first;
    out->bytes = journal_bytes(journal, x);
    out->was_complete = journal->complete;
    if (!journal->complete && !do_work(x, journal, out, progress, err)) return false;
    // What stands beside the weights may have changed in the model, or been lost here.
    x->again = out->was_complete && !x->options->parts && !x->format->one_file;
    if (x->again && !x->format->finish(x, err)) return false;
    return !x->options->verify || verify(x, journal, &out->verified, progress, err);
}

static bool run_single(Export *x, SingleFile *single, Journal *journal, ExportResult *out, Progress *progress,
                       Error *err) {
    if (!single_file_is_whole(single, x, &out->was_complete, err)) return false;
    if (!out->was_complete)
        return place_check(x, single->path, err) && run(x, journal, out, progress, err) &&
               single_file_end(single, x->files[0].name, err);
    out->files = x->file_count;
    out->bytes = x->bytes;
    return !x->options->verify || verify_files(x, single->path, &out->verified, progress, err);
}

bool export_run(const ExportModel *model, const ExportOptions *options, ExportResult *out, Progress *progress,
                Error *err) {
    Export x = {0};
    SingleFile single;
    Journal journal = {.lock = -1};
    *out = (ExportResult){0};
    const bool ok = single_file_begin(model->structure->checkpoint, options, formats[options->format], &single, err) &&
                    begin(model, &single.options, &x, err) && run_single(&x, &single, &journal, out, progress, err);
    snprintf(out->warning, sizeof out->warning, "%s", x.warning);
    out->occupied = single.occupied || journal.occupied;
    journal_free(&journal);
    units_free(&x);
    single_file_free(&single);
    return ok;
}

// ---- Forecast ----

#define TRIAL_SECONDS 0.3

static uint64_t memory_of(const Export *x) {
    uint64_t most = 0;
    for (size_t u = 0; u < x->unit_count; u++) {
        const Unit *unit = &x->units[u];
        const uint64_t here =
            (unit->tensor->made ? unit->tensor->bytes : 0) + (uint64_t)unit_threads(unit) * piece_memory(unit);
        most = here > most ? here : most;
    }
    return most;
}

static double bits_per_weight_of(const Export *x) {
    double bytes = 0, weights = 0;
    for (size_t u = 0; u < x->unit_count; u++) {
        const Unit *unit = &x->units[u];
        if (unit->kind != UNIT_LINEAR) continue;
        for (int t = 0; t < unit->tensor_count; t++) bytes += (double)unit->tensors[t].bytes;
        weights += (double)unit->rows * (double)unit->columns;
    }
    return weights > 0 ? 8 * bytes / weights : (double)NAN;
}

void export_bits_text(const ExportForecast *forecast, const Plan *plan, char *out, size_t size) {
    char here[32], planned[32];
    snprintf(here, sizeof here, "%.2f", forecast->bits_per_weight);
    snprintf(planned, sizeof planned, "%.2f", plan->bits_per_weight);
    *out = '\0';
    if (!isnan(forecast->bits_per_weight) && strcmp(here, planned) != 0)
        snprintf(out, size, "%s bits/weight there, by the recipe %s: %s", here, planned, forecast->stores);
}

// The seconds that making one piece of a unit took, per element.
static bool time_piece(const Export *x, const Unit *unit, double *seconds, double *elements, Error *err) {
    UnitWork work;
    const size_t rows = piece_rows(unit);
    char *room = array_new(piece_bytes(unit, 0, rows), 1);
    bool ok = (room || error_memory(err, unit->name)) && unit_begin(x, unit, &work, err);
    if (ok) {
        const double before = clock_seconds();
        ok = piece_make(&work, 0, rows, room, err);
        *seconds += clock_seconds() - before;
        *elements += (double)(rows * unit->columns);
        unit_end(&work);
    }
    free(room);
    return ok;
}

// From pieces of linears here and there.
static bool time_work(const Export *x, double *out, Error *err) {
    double seconds = 0, elements = 0, all = 0, began = clock_seconds();
    for (size_t u = 0; u < x->unit_count; u++)
        all += x->units[u].kind == UNIT_LINEAR ? (double)(x->units[u].rows * x->units[u].columns) : 0;
    for (size_t tried = 0, u = 0; tried < x->unit_count && clock_seconds() - began < TRIAL_SECONDS; tried++) {
        u = (u + x->unit_count * 5 / 8 + 1) % x->unit_count;
        if (x->units[u].kind == UNIT_LINEAR && !time_piece(x, &x->units[u], &seconds, &elements, err)) return false;
    }
    *out = elements > 0 ? seconds * all / elements : 0;
    return true;
}

static bool look(const Export *x, Journal *journal, ExportForecast *out, Error *err) {
    if (!journal_open(x, false, journal, err) || !disk_has_room(x->options->folder, missing_bytes(x, journal), err))
        return false;
    out->left = journal_left(journal, x);
    return true;
}

bool export_forecast(const ExportModel *model, const ExportOptions *options, ExportForecast *out, Error *err) {
    Export x = {0};
    SingleFile single;
    Journal journal = {.lock = -1};
    bool whole;
    *out = (ExportForecast){0};
    const bool named = single_file_begin(model->structure->checkpoint, options, formats[options->format], &single, err);
    out->unwritable = named && !begin(model, &single.options, &x, err);
    const bool ok = named && !out->unwritable && single_file_is_whole(&single, &x, &whole, err) &&
                    (whole || (place_check(&x, single.path, err) && look(&x, &journal, out, err))) &&
                    time_work(&x, &out->seconds, err) && disk_room(single.options.folder, &out->room, err);
    if (ok) {
        out->files = x.file_count;
        out->bytes = x.bytes;
        out->read = model->structure->checkpoint->bytes;
        out->memory = memory_of(&x);
        out->bits_per_weight = bits_per_weight_of(&x);
        out->stores = x.format->stores;
        snprintf(out->warning, sizeof out->warning, "%s", x.warning);
    }
    out->occupied = single.occupied || journal.occupied;
    journal_free(&journal);
    units_free(&x);
    single_file_free(&single);
    return ok;
}
