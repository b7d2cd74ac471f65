// The work of several processes. Each has a journal in the folder, so none waits for another, on whatever file system;
// and each refuses to write beside those of another work.
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "export/export_parts.h"

#define PART_NAME "quantdial-export.part-%d-of-%d.json"

// ---- Shares and names ----

// The files of a part, as even as whole files allow.
static void part_files(int part, int parts, int file_count, int *first, int *end) {
    *first = (int)((int64_t)file_count * (part - 1) / parts);
    *end = (int)((int64_t)file_count * part / parts);
}

bool parts_check(const ExportOptions *options, const FormatRow *format, Error *err) {
    if (!options->parts && !options->finish) return true;
    if (format->one_file)
        return error_set(err, "%s: is one file, which cannot be written in parts; leave --part and --finish out",
                         export_format_names[options->format]);
    return !options->overwrite ||
           error_set(err, "%s: a part would overwrite what others have done; name another folder with -o, or empty it",
                     options->folder);
}

char *part_path(const char *folder, int part, int parts) {
    char *path = NULL;
    return asprintf(&path, "%s/" PART_NAME, folder, part, parts) < 0 ? NULL : path;
}

static bool read_name(const char *name, int *part, int *parts) {
    char again[96];
    if (sscanf(name, PART_NAME, part, parts) != 2 || *part < 1 || *part > *parts) return false;
    snprintf(again, sizeof again, PART_NAME, *part, *parts);
    return strcmp(name, again) == 0; // to the end, unlike scanf
}

// Calls `each` for every journal of a part in the folder; false when one of the calls was.
static bool for_each_part(const char *folder, bool (*each)(void *, int part, int parts, Error *), void *context,
                          Error *err) {
    DIR *dir = opendir(folder);
    bool ok = true;
    int part, parts;
    for (struct dirent *entry; ok && dir && (entry = readdir(dir));)
        if (read_name(entry->d_name, &part, &parts)) ok = each(context, part, parts, err);
    if (dir) closedir(dir);
    return ok;
}

static bool is_none(void *context, int part, int parts, Error *err) {
    (void)context, (void)part, (void)parts, (void)err;
    return false;
}

bool parts_are_there(const char *folder) { return !for_each_part(folder, is_none, NULL, NULL); }

// ---- Journals of others ----

typedef struct Gathered {
    const Export *x;
    Journal *journal; // gets what is read
    int parts;        // all have to be of so many; 0: of as many as the first
    int found;
} Gathered;

static bool gather_part(void *context, int part, int parts, Error *err) {
    Gathered *g = context;
    int first, end;
    g->parts = g->parts ? g->parts : parts;
    if (parts != g->parts)
        return error_set(err, "%s: was begun in %d parts, not in %d; name another folder with -o, or empty it",
                         g->x->options->folder, parts, g->parts);
    part_files(part, parts, g->x->file_count, &first, &end);
    char *path = part_path(g->x->options->folder, part, parts);
    const bool ok =
        path ? journal_read(g->x, path, parts, first, end, g->journal, err) : error_memory(err, "the journal");
    free(path);
    g->found += ok;
    return ok;
}

static bool all_whole(const Journal *journal) {
    bool whole = true;
    for (int f = journal->first; f < journal->end; f++) whole = whole && journal->files[f].whole;
    return whole;
}

// Whether the folder was finished, or begun by one process, which parts cannot help.
static bool check_whole(const Export *x, bool *finished, Journal *journal, Error *err) {
    char *path = path_join(x->options->folder, JOURNAL_NAME);
    *finished = false;
    bool ok = path || error_memory(err, "the journal");
    if (ok && file_exists(path)) {
        ok = journal_read(x, path, 0, 0, x->file_count, journal, err);
        *finished = ok && journal->complete;
        if (ok && !*finished)
            ok = error_set(err, "%s: was begun in one piece; run the same command without --part and --finish",
                           x->options->folder);
    }
    free(path);
    return ok;
}

// ---- A part ----

// What others look for is there before they are looked for: of two works that begin at the same time one sees the
// other.
static bool claim(const Export *x, Gathered *g, Journal *out, Error *err) {
    const bool own = file_exists(out->path);
    if (!g->found && journal_folder_used(x->options->folder) && !parts_are_there(x->options->folder))
        return error_set(err, "%s: is not empty; name another folder with -o, or empty it", x->options->folder);
    if (own) return out->complete || journal_remove_config(x->options->folder, err);
    if (!journal_keep(out, x, err)) return false;
    const bool alone = for_each_part(x->options->folder, gather_part, g, err);
    out->complete = false;
    if (!alone) unlink(out->path);
    return alone;
}

bool part_open(const Export *x, bool write, Journal *out, Error *err) {
    const ExportOptions *o = x->options;
    Gathered g = {.x = x, .journal = out, .parts = o->parts};
    part_files(o->part, o->parts, x->file_count, &out->first, &out->end);
    if (write && !file_exists(out->path) && !disk_has_room(o->folder, journal_room(out, x), err)) return false;
    if (write && (!folder_make(o->folder, err) || !journal_lock(x, LOCK_SH, out, err))) return false;
    bool finished;
    if (!check_whole(x, &finished, out, err)) return false;
    if (finished) return true;
    if (!for_each_part(o->folder, gather_part, &g, err)) return false;
    out->complete = file_exists(out->path) && all_whole(out);
    return !write || claim(x, &g, out, err);
}

// ---- All of them ----

// What is missing, and how it is made.
static bool check_all_whole(const Export *x, const Gathered *g, Error *err) {
    Text missing = {0};
    int count = 0;
    for (int part = 1; part <= g->parts; part++) {
        Journal own = *g->journal;
        part_files(part, g->parts, x->file_count, &own.first, &own.end);
        char *path = part_path(x->options->folder, part, g->parts);
        const bool begun = path && file_exists(path);
        free(path);
        if (begun && all_whole(&own)) continue;
        if (++count > 8) continue;
        text_addf(&missing, "%s--part %d/%d (", count > 1 ? ", " : "", part, g->parts);
        if (begun)
            text_addf(&missing, "at %.0f %%)",
                      100 - 100 * (double)journal_left(&own, x) / (double)journal_bytes(&own, x));
        else
            text_addf(&missing, "not begun)");
    }
    if (count)
        error_set(err, "%s: %d of %d parts %s; in place of --finish run the same command with %s%s", x->options->folder,
                  count, g->parts, count == 1 ? "is not done" : "are not done", missing.data ? missing.data : "--part",
                  count > 8 ? " …" : "");
    text_free(&missing);
    return !count;
}

bool parts_gather(const Export *x, Journal *out, Error *err) {
    Gathered g = {.x = x, .journal = out};
    bool finished;
    if (!folder_exists(x->options->folder))
        return error_set(err, "%s: is not there; the parts are made first, with --part I/N", x->options->folder);
    if (!journal_lock(x, LOCK_EX, out, err) || !check_whole(x, &finished, out, err)) return false;
    if (finished) return parts_forget(x, err);
    if (!for_each_part(x->options->folder, gather_part, &g, err)) return false;
    if (!g.found)
        return error_set(err, "%s: holds no part; parts are made first, with --part I/N in place of --finish",
                         x->options->folder);
    out->complete = false;
    return check_all_whole(x, &g, err);
}

bool parts_forget(const Export *x, Error *err) {
    DIR *dir = opendir(x->options->folder);
    bool ok = dir != NULL;
    for (struct dirent *entry; ok && (entry = readdir(dir));)
        if (glob_matches(PART_JOURNALS, entry->d_name))
            ok = unlinkat(dirfd(dir), entry->d_name, 0) == 0 || errno == ENOENT;
    const int why = errno;
    if (dir) closedir(dir);
    return ok ||
           error_set(err, "%s: the journals of its parts cannot be removed: %s", x->options->folder, strerror(why));
}
