// How far an export is, in its folder: what goes on after a stop, and what a folder belongs to.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "export/export_parts.h"
#include "quant/equalize.h"

#define JOURNAL_LIMIT ((size_t)64 << 20)

// ---- What the work is ----

// The plan, and the measured ranges behind factors.
uint64_t journal_plan(const Export *x) {
    const ExportModel *m = x->model;
    uint64_t hash = plan_hash(m->plan);
    for (int i = 0; i < m->plan->linear_count; i++) {
        const Linear *linear = &m->structure->linears[i];
        if (!decision_equalizes(&m->plan->decisions[i])) continue;
        hash = hash_bytes(hash, m->measured->inputs[linear->input].channel_absmax, linear->in * sizeof(float));
    }
    return hash;
}

static uint64_t hash_layout(const Export *x) {
    uint64_t hash = HASH_START;
    for (int f = 0; f < x->file_count; f++) {
        hash = hash_text(hash, x->files[f].name);
        hash = hash_bytes(hash, x->files[f].head.data, x->files[f].head.length);
    }
    return hash;
}

static uint64_t units_bytes(const Export *x, size_t first, size_t count) {
    uint64_t bytes = 0;
    for (size_t u = first; u < first + count; u++)
        for (int t = 0; t < x->units[u].tensor_count; t++) bytes += x->units[u].tensors[t].bytes;
    return bytes;
}

uint64_t journal_bytes(const Journal *journal, const Export *x) {
    uint64_t bytes = 0;
    for (int f = journal->first; f < journal->end; f++) bytes += out_file_bytes(&x->files[f]);
    return bytes;
}

uint64_t journal_left(const Journal *journal, const Export *x) {
    uint64_t left = 0;
    for (int f = journal->first; f < journal->end; f++) {
        const FileState *state = &journal->files[f];
        if (state->whole) continue;
        left += out_file_bytes(&x->files[f]);
        if (state->units) left -= x->files[f].head.length + units_bytes(x, x->files[f].first, (size_t)state->units);
    }
    return left;
}

static bool look_at(const Export *x, const char *name, const char *ending, struct stat *out) {
    char *path = NULL;
    const bool there = asprintf(&path, "%s/%s%s", x->options->folder, name, ending) >= 0 && stat(path, out) == 0 &&
                       S_ISREG(out->st_mode);
    free(path);
    return there;
}

// A file that was begun has some of its room already.
uint64_t journal_room(const Journal *journal, const Export *x) {
    uint64_t room = 0;
    for (int f = journal->first; f < journal->end; f++) {
        const uint64_t bytes = out_file_bytes(&x->files[f]);
        struct stat info;
        if (journal->files[f].whole) continue;
        const bool begun = look_at(x, x->files[f].name, PARTIAL, &info);
        const uint64_t has = begun ? (uint64_t)info.st_blocks * 512 : 0;
        room += has < bytes ? bytes - has : 0;
    }
    return room;
}

// ---- Writing ----

bool journal_keep(const Journal *journal, const Export *x, Error *err) {
    Text text = {0};
    text_addf(&text,
              "{\n  \"quantdial_export\": %d,\n  \"format\": \"%s\",\n  \"source\": \"%016" PRIx64
              "\",\n  \"plan\": \"%016" PRIx64 "\",\n  \"layout\": \"%016" PRIx64 "\",\n",
              JOURNAL_VERSION, export_format_names[x->options->format], journal->source, journal->plan,
              journal->layout);
    if (x->options->parts)
        text_addf(&text, "  \"part\": %d,\n  \"parts\": %d,\n  \"program\": \"%s\",\n", x->options->part,
                  x->options->parts, QUANTDIAL_VERSION);
    text_addf(&text, "  \"files\": [");
    for (int f = journal->first; f < journal->end; f++) {
        const FileState *state = &journal->files[f];
        text_addf(&text,
                  "%s\n    {\"name\": \"%s\", \"bytes\": %" PRIu64 ", \"units\": %" PRIu64 ", \"hash\": \"%016" PRIx64
                  "\", \"whole\": %s}",
                  f > journal->first ? "," : "", x->files[f].name, out_file_bytes(&x->files[f]), state->units,
                  state->hash, state->whole ? "true" : "false");
    }
    text_addf(&text, "\n  ],\n  \"complete\": %s\n}\n", journal->complete ? "true" : "false");
    bool ok = !text.failed || error_memory(err, "the journal");
    ok = ok && (file_write(journal->path, text.data, text.length, err) ||
                error_prefix(err, "what is done is kept, and the same command goes on where it was"));
    text_free(&text);
    return ok;
}

// ---- Hashes ----

// Pieces in the order in which they were written.
static uint64_t hash_units(const Export *x, const OutFile *file, const char *data) {
    uint64_t hash = hash_bulk(HASH_START, data, file->head.length);
    for (size_t u = file->first; u < file->end; u++) {
        const Unit *unit = &x->units[u];
        const size_t step = piece_rows(unit);
        size_t first = 0;
        do {
            const size_t rows = unit->rows - first < step ? unit->rows - first : step;
            uint64_t piece = HASH_START;
            for (int t = 0; t < unit->tensor_count; t++) {
                uint64_t begin, end;
                piece_range(unit, &unit->tensors[t], first, rows, &begin, &end);
                piece = hash_bulk(piece, data + file->head.length + unit->tensors[t].at + begin, end - begin);
            }
            hash = hash_bytes(hash, &piece, sizeof piece);
            first += rows;
        } while (first < unit->rows);
    }
    return hash;
}

static bool check_file(const Export *x, const OutFile *file, uint64_t hash, Error *err) {
    char *path = path_join(x->options->folder, file->name);
    Mapping *mapping = NULL;
    bool ok = path ? mapping_open(path, &mapping, err) : error_memory(err, file->name);
    if (ok && (mapping_bytes(mapping) != out_file_bytes(file) ||
               hash_units(x, file, (const char *)mapping_data(mapping)) != hash))
        ok = error_set(
            err, "%s: is not what was written; memory or the disk is at fault: write it again with --overwrite", path);
    ok = ok && mapping_intact(mapping, path, err);
    mapping_close(mapping);
    free(path);
    return ok;
}

bool journal_check(const Export *x, const Journal *journal, uint64_t *bytes, Progress *progress, Error *err) {
    progress_begin(progress, "reading back", journal_bytes(journal, x));
    for (int f = journal->first; f < journal->end; f++) {
        if (!check_file(x, &x->files[f], journal->files[f].hash, err)) return false;
        *bytes += out_file_bytes(&x->files[f]);
        if (!progress_add(progress, out_file_bytes(&x->files[f]))) return error_stopped(err);
    }
    return true;
}

// ---- Reading ----

static bool read_hash(const cJSON *object, const char *key, uint64_t *out, Error *err) {
    const char *text;
    char *end;
    if (!json_string(object, key, "", &text, err)) return false;
    *out = strtoull(text, &end, 16);
    return (strlen(text) == 16 && !*end) || error_set(err, "\"%s\" is no hash", key);
}

static bool read_file(const cJSON *item, const Export *x, int f, FileState *out, Error *err) {
    int64_t units;
    return json_integer(item, "units", 0, 0, (int64_t)(x->files[f].end - x->files[f].first), &units, err) &&
           read_hash(item, "hash", &out->hash, err) && json_bool(item, "whole", false, &out->whole, err) &&
           (out->units = (uint64_t)units, true);
}

// Parts are of one program: another version may write other bytes.
static bool same_program(const cJSON *root, int parts) {
    const char *program;
    return !parts || (json_string(root, "program", "", &program, NULL) && strcmp(program, QUANTDIAL_VERSION) == 0);
}

// What a journal says of the work; and of its files, when it is this work.
static bool read_document(const cJSON *root, const Export *x, int parts, int first, int end, Journal *journal,
                          Error *err) {
    const cJSON *files = cJSON_GetObjectItemCaseSensitive(root, "files");
    const char *format, *remedy = x->options->parts || x->options->finish
                                      ? "name another folder with -o, or empty it"
                                      : "name another folder with -o, or replace it with --overwrite";
    int64_t version;
    uint64_t source, plan, layout;
    bool complete;
    if (!json_integer(root, "quantdial_export", 0, 0, INT32_MAX, &version, err) ||
        !json_string(root, "format", "", &format, err) || !read_hash(root, "source", &source, err) ||
        !read_hash(root, "plan", &plan, err) || !read_hash(root, "layout", &layout, err) ||
        !json_bool(root, "complete", false, &complete, err))
        return false;
    const char *differs = version != JOURNAL_VERSION || !same_program(root, parts)       ? "by another version"
                          : strcmp(format, export_format_names[x->options->format]) != 0 ? "in another format"
                          : source != journal->source                                    ? "from another model"
                          : plan != journal->plan ? "by another recipe or calibration"
                          : layout != journal->layout || cJSON_GetArraySize(files) != end - first ? "with other options"
                                                                                                  : NULL;
    if (differs) return error_set(err, "the folder was written %s; %s", differs, remedy);
    journal->complete = complete;
    for (int f = first; f < end; f++)
        if (!read_file(cJSON_GetArrayItem(files, f - first), x, f, &journal->files[f], err)) return false;
    return true;
}

// A file that is gone or has another size is written again.
static void forget_lost_files(const Export *x, int first, int end, Journal *journal) {
    for (int f = first; f < end; f++) {
        FileState *state = &journal->files[f];
        const OutFile *file = &x->files[f];
        struct stat info;
        const bool there = look_at(x, file->name, state->whole ? "" : PARTIAL, &info);
        const bool lost =
            state->whole ? !there || (uint64_t)info.st_size != out_file_bytes(file) : state->units && !there;
        if (lost) *state = (FileState){.hash = HASH_START};
        if (lost) journal->complete = false;
    }
}

bool journal_read(const Export *x, const char *path, int parts, int first, int end, Journal *journal, Error *err) {
    char *text = NULL;
    size_t size;
    if (!file_read(path, JOURNAL_LIMIT, &text, &size, err)) return false;
    cJSON *root = json_parse_strict(text, size, err);
    bool ok = root && read_document(root, x, parts, first, end, journal, err);
    if (ok) forget_lost_files(x, first, end, journal);
    cJSON_Delete(root);
    free(text);
    return ok || error_prefix(err, "%s", path);
}

// ---- The folder ----

// Names that an export gives to its files, and others that engines would take for a part of the model. Those that are
// links go as well, and what they name stays.
static bool is_ours(const char *name) {
    static const char *const globs[] = {"*.safetensors", "*.json",    "*.bin", "*.partial",
                                        "*.jinja",       "README.md", JOURNALS};
    for (size_t i = 0; i < sizeof globs / sizeof *globs; i++)
        if (glob_matches(globs[i], name)) return true;
    return folder_copies(name);
}

bool journal_folder_used(const char *folder) {
    DIR *dir = opendir(folder);
    bool used = false;
    for (struct dirent *entry; dir && (entry = readdir(dir));)
        used = used || (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
                        !glob_matches(JOURNALS, entry->d_name));
    if (dir) closedir(dir);
    return used;
}

// Without it no engine takes the rest for a model.
bool journal_remove_config(const char *folder, Error *err) {
    char *path = path_join(folder, "config.json");
    bool ok = path ? unlink(path) == 0 || errno == ENOENT ||
                         error_set(err, "%s: cannot be removed: %s", path, strerror(errno))
                   : error_memory(err, folder);
    free(path);
    return ok;
}

// Calls `each` for every file of the folder with such a name.
static bool for_each_of(const char *folder, bool (*is)(const char *name),
                        bool (*each)(int folder, const char *name, void *context, Error *err), void *context,
                        Error *err) {
    DIR *dir = opendir(folder);
    if (!dir) return error_set(err, "%s: cannot be read: %s", folder, strerror(errno));
    bool ok = true;
    for (struct dirent *entry; ok && (entry = readdir(dir));)
        if (is(entry->d_name)) ok = each(dirfd(dir), entry->d_name, context, err);
    closedir(dir);
    return ok || error_prefix(err, "%s", folder);
}

static bool remove_one(int folder, const char *name, void *context, Error *err) {
    (void)context;
    return unlinkat(folder, name, 0) == 0 || errno == ENOENT ||
           error_set(err, "%s cannot be removed: %s", name, strerror(errno));
}

// Links and files of several names hold nothing that removing them would free.
static bool count_one(int folder, const char *name, void *context, Error *err) {
    struct stat info;
    (void)err;
    if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1)
        *(uint64_t *)context += (uint64_t)info.st_size;
    return true;
}

// Before anything is removed it is known that what takes its place has room.
static bool replace_folder(const Export *x, const Journal *journal, Error *err) {
    const char *folder = x->options->folder;
    uint64_t needed = journal_room(journal, x) + folder_bytes(x), freed = 0;
    return for_each_of(folder, is_ours, count_one, &freed, err) &&
           disk_has_room(folder, needed > freed ? needed - freed : 0, err) && journal_remove_config(folder, err) &&
           for_each_of(folder, is_ours, remove_one, NULL, err);
}

// A journal that was being written when its program was killed.
static bool is_left_over(const char *name) { return glob_matches(JOURNAL_NAME ".??????", name); }

static bool is_source(const Export *x) {
    struct stat a, b;
    return stat(x->options->folder, &a) == 0 && stat(x->model->structure->checkpoint->folder, &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Two programs that write the same folder would get in each other's way. Some file systems have no locks.
bool journal_lock(const Export *x, int operation, Journal *out, Error *err) {
    out->lock = open(x->options->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (out->lock < 0) return error_set(err, "%s: cannot be opened: %s", x->options->folder, strerror(errno));
    return flock(out->lock, operation | LOCK_NB) == 0 || errno != EWOULDBLOCK ||
           error_set(err, "%s: another quantdial is writing there", x->options->folder);
}

static bool begin(const Export *x, bool write, Journal *out, Error *err) {
    const char *folder = x->options->folder;
    const bool used = journal_folder_used(folder) || parts_are_there(folder);
    if (write && !used && !file_exists(out->path) &&
        !disk_has_room(folder, journal_room(out, x) + folder_bytes(x), err))
        return false;
    if (write && (!folder_make(folder, err) || !journal_lock(x, LOCK_EX, out, err))) return false;
    if (file_exists(out->path)) {
        if (write && !for_each_of(folder, is_left_over, remove_one, NULL, err)) return false;
        if (journal_read(x, out->path, 0, 0, x->file_count, out, err) && !(out->complete && x->options->overwrite))
            return !write || out->complete || journal_remove_config(folder, err);
        if (!x->options->overwrite) {
            out->occupied = true;
            return false;
        }
        for (int f = 0; f < x->file_count; f++) out->files[f] = (FileState){.hash = HASH_START};
        out->complete = false;
    } else if (used && !x->options->overwrite) {
        out->occupied = true;
        return error_set(err,
                         "%s: is not empty%s; name another folder with -o, or replace what it holds with --overwrite",
                         folder, parts_are_there(folder) ? ", but was begun in parts, which go on with --part" : "");
    }
    if (err) *err = (Error){0};
    return !write || ((!used || replace_folder(x, out, err)) && journal_keep(out, x, err));
}

bool journal_open(const Export *x, bool write, Journal *out, Error *err) {
    const ExportOptions *o = x->options;
    *out = (Journal){.path = o->parts ? part_path(o->folder, o->part, o->parts) : path_join(o->folder, JOURNAL_NAME),
                     .files = array_new((size_t)x->file_count, sizeof *out->files),
                     .end = x->file_count,
                     .lock = -1,
                     .source = x->model->structure->checkpoint->content,
                     .plan = journal_plan(x),
                     .layout = hash_layout(x)};
    if (!out->path || !out->files) return error_memory(err, "the journal");
    for (int f = 0; f < x->file_count; f++) out->files[f].hash = HASH_START;
    if (is_source(x)) return error_set(err, "%s: is the model itself; name another folder with -o", o->folder);
    return o->parts ? part_open(x, write, out, err) : o->finish ? parts_gather(x, out, err) : begin(x, write, out, err);
}

void journal_free(Journal *journal) {
    if (journal->lock >= 0) close(journal->lock);
    free(journal->path);
    free(journal->files);
}
