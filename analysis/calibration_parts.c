// A calibration by several processes. Counts and maxima of parts add up; rows that are kept follow from where a
// sequence stands among all, which a part knows. So the parts together are what one process would have seen, bit by
// bit.
#include <stdlib.h>
#include <string.h>

#include "analysis/calibrator_parts.h"
#include "analysis/stats_cache.h"
#include "base/array.h"

// ---- Writing ----

bool calibration_part_write(const Calibrator *c, const CalibrationWork *work, const char *path, Error *err) {
    const Share *share = &c->share;
    Text file = {0};
    stats_file_begin(&file);
    stats_put_number(&file, work->ids);
    stats_put_number(&file, work->precision);
    stats_put(&file, work->backend, sizeof work->backend);
    stats_put(&file, work->text.name, sizeof work->text.name);
    stats_put_number(&file, work->text.chat);
    const uint64_t numbers[] = {(uint64_t)share->part, (uint64_t)share->parts, share->all, share->length};
    stats_put(&file, numbers, sizeof numbers);
    calibrator_put(c, &file);
    const bool ok = stats_file_save(path, STATS_PART, work->model, &file, err);
    text_free(&file);
    return ok;
}

// ---- Reading ----

typedef struct PartFile {
    const char *path;
    char *data; // owned
    StatsReader reader;
    CalibrationWork work;
    Share share;
} PartFile;

static bool get_part(StatsReader *r, PartFile *out) {
    uint64_t numbers[4];
    CalibrationWork *work = &out->work;
    work->ids = stats_get_number(r);
    work->precision = (Precision)stats_get_number(r);
    stats_get(r, work->backend, sizeof work->backend);
    stats_get(r, work->text.name, sizeof work->text.name);
    work->text.chat = stats_get_number(r) != 0;
    stats_get(r, numbers, sizeof numbers);
    const uint64_t part = numbers[0], parts = numbers[1], all = numbers[2], length = numbers[3];
    if (r->bad || work->text.name[sizeof work->text.name - 1] || work->backend[sizeof work->backend - 1] || part < 1 ||
        part > parts || parts > all || parts > INT32_MAX || !length || length > INT32_MAX ||
        all > SIZE_MAX / SAMPLE_ROWS / length)
        return false;
    out->share = part_share((size_t)all, (size_t)length, (int)part, (int)parts);
    return stats_get_number(r) == out->share.count; // all of it was done
}

static bool part_file_open(const char *path, PartFile *out, Error *err) {
    *out = (PartFile){.path = path};
    out->data = stats_file_load(path, STATS_PART, &out->work.model, &out->reader, err);
    return out->data && (get_part(&out->reader, out) || error_set(err, "%s: is damaged; write it again", path));
}

static bool same_computation(const CalibrationWork *a, const CalibrationWork *b) {
    return a->precision == b->precision && strcmp(a->backend, b->backend) == 0;
}

static bool same_numbers(const CalibrationWork *a, const CalibrationWork *b) {
    return a->ids == b->ids && same_computation(a, b);
}

bool calibration_part_is_there(const char *path, const CalibrationWork *work, int part, int parts) {
    PartFile file;
    const bool is = part_file_open(path, &file, NULL) && file.work.model == work->model &&
                    same_numbers(&file.work, work) && file.share.part == part && file.share.parts == parts;
    free(file.data);
    return is;
}

// ---- Merging ----

static bool belongs(const PartFile *file, const PartFile *first, const ModelStructure *structure, Error *err) {
    if (file->work.model != inputs_model_key(structure))
        return error_set(err, "%s: was measured on another model", file->path);
    const char *differs = file->share.parts != first->share.parts ? "is one of another number of parts"
                          : file->work.ids != first->work.ids     ? "was measured on another text or number of tokens"
                          : !same_computation(&file->work, &first->work)
                              ? "was measured with another precision or backend"
                              : NULL;
    return !differs || error_set(err, "%s: %s than %s", file->path, differs, first->path);
}

static int by_part(const void *a, const void *b) {
    const PartFile *x = a, *y = b;
    return x->share.part - y->share.part;
}

// That each part is there once.
static bool check_complete(const PartFile *files, int count, Error *err) {
    for (int i = 1; i < count; i++) {
        if (files[i].share.part == files[i - 1].share.part)
            return error_set(err, "%s and %s: both are part %d of %d", files[i - 1].path, files[i].path,
                             files[i].share.part, files[i].share.parts);
    }
    int missing = 1;
    while (missing <= count && files[missing - 1].share.part == missing) missing++;
    const int parts = files[0].share.parts;
    return count == parts || error_set(err, "%d of %d parts %s missing; calibrate --part %d/%d -o FILE makes %s",
                                       parts - count, parts, parts - count == 1 ? "is" : "are", missing, parts,
                                       parts - count == 1 ? "it" : "the first of them");
}

static bool open_all(const ModelStructure *structure, char *const *paths, int count, PartFile *files, Error *err) {
    for (int i = 0; i < count; i++) {
        if (!part_file_open(paths[i], &files[i], err) || !belongs(&files[i], &files[0], structure, err)) return false;
    }
    qsort(files, (size_t)count, sizeof *files, by_part);
    return check_complete(files, count, err);
}

// One input of all parts, in their order.
static bool merge_input(const ModelStructure *structure, int input, PartFile *files, int count, InputSet *out,
                        Error *err) {
    InputGatherer all = {0};
    bool ok = true;
    for (int i = 0; ok && i < count; i++) {
        Gathering part = {0};
        ok = gathering_get(structure, input, &files[i].share, files[i].share.count, &files[i].reader, &part) ||
             error_set(err, "%s: is damaged; write it again", files[i].path);
        if (!ok || !part.gatherer.width) continue;
        if (all.width) {
            input_gatherer_merge(&all, &part.gatherer);
            input_gatherer_free(&part.gatherer);
        } else {
            all = part.gatherer;
        }
    }
    ok = ok && input_look(structure, input, &all, true, out, err);
    input_gatherer_free(&all);
    return ok;
}

static bool merge_inputs(const ModelStructure *structure, PartFile *files, int count, InputSet *out, Error *err) {
    out->tokens = out->planned = (uint64_t)files[0].share.all * files[0].share.length;
    for (int i = 0; i < out->count; i++)
        if (!merge_input(structure, i, files, count, out, err)) return false;
    for (int i = 0; i < count; i++)
        if (files[i].reader.left) return error_set(err, "%s: is damaged; write it again", files[i].path);
    return true;
}

bool calibration_merge(const ModelStructure *structure, char *const *paths, int count, CalibrationWork *work,
                       InputSet **out, Error *err) {
    PartFile *files = array_new((size_t)count, sizeof *files);
    InputSet *set = input_set_new(structure->input_count);
    bool ok = (files && set) || error_memory(err, "calibration");
    ok = ok && open_all(structure, paths, count, files, err) && merge_inputs(structure, files, count, set, err);
    if (ok) *work = files[0].work;
    for (int i = 0; files && i < count; i++) free(files[i].data);
    free(files);
    if (!ok) input_set_release(set);
    *out = ok ? set : NULL;
    return ok;
}
