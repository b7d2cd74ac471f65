// From pieces to files. The caller's thread makes pieces, with all cores; a second one writes them, in the same order.
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "export/export_parts.h"

enum { SLOTS = 4 };
#define QUEUE_BYTES ((uint64_t)192 << 20) // of pieces that wait; one larger than that waits alone
#define AHEAD_BYTES ((uint64_t)64 << 20)  // of the checkpoint that the system is asked for
#define KEEP_BYTES ((uint64_t)256 << 20)  // written between two states of the journal

// A piece on its way to the disk.
typedef struct Slot {
    char *room;
    size_t capacity, bytes;
    const Unit *unit;
    size_t first, rows;
} Slot;

typedef struct Writer {
    const Export *x;
    Journal *journal;
    Progress *progress;
    uint64_t written;

    // Of the thread that writes.
    int fd, file;      // the file that is open; −1 none
    char *path;        // its name while it is partial
    uint64_t unkept;   // bytes since the journal was kept
    FileState reached; // of the file that is open

    pthread_mutex_t lock; // of what follows
    pthread_cond_t changed;
    Slot slots[SLOTS];
    size_t made, taken; // pieces put into the queue and written from it
    uint64_t queued;    // bytes in it
    bool ends, failed;
    Error err; // of the thread that writes
} Writer;

// ---- The disk ----

static uint64_t bytes_left(const Writer *w) {
    return journal_left(w->journal, w->x) > w->unkept ? journal_left(w->journal, w->x) - w->unkept : 0;
}

static bool cannot_write(Writer *w, const char *path) {
    const int why = errno;
    if (why != ENOSPC && why != EDQUOT && why != EFBIG)
        return error_set(&w->err, "%s: cannot be written: %s; what is done is kept: run the same command again", path,
                         strerror(why));
    return error_set(&w->err,
                     "%s: cannot be written: %s; %.2f GB are missing: make room and run the same command again, "
                     "it goes on where it was",
                     path, strerror(why), (double)bytes_left(w) * 1e-9);
}

static bool write_at(Writer *w, const char *data, uint64_t bytes, uint64_t at) {
    while (bytes) {
        const ssize_t n = pwrite(w->fd, data, bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ENOSPC;
        if (n <= 0) return cannot_write(w, w->path);
        data += n;
        at += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return true;
}

// What is hashed is what is written, in this order.
static bool put_bytes(Writer *w, const void *data, uint64_t bytes, uint64_t at) {
    w->reached.hash = hash_bytes(w->reached.hash, data, bytes);
    w->written += bytes;
    w->unkept += bytes;
    return write_at(w, data, bytes, at);
}

// The journal may say only what is on the disk.
static bool keep(Writer *w) {
    if (fdatasync(w->fd) != 0) return cannot_write(w, w->path);
    w->journal->files[w->file] = w->reached;
    w->unkept = 0;
    return journal_keep(w->journal, w->x, &w->err);
}

// ---- Files ----

static char *partial_path(const Export *x, const OutFile *file) {
    char *path = NULL;
    return asprintf(&path, "%s/%s%s", x->options->folder, file->name, PARTIAL) < 0 ? NULL : path;
}

static bool open_file(Writer *w, int index) {
    const OutFile *file = &w->x->files[index];
    w->file = index;
    w->reached = w->journal->files[index];
    w->path = partial_path(w->x, file);
    if (!w->path) return error_memory(&w->err, file->name);
    w->fd = open(w->path, O_RDWR | O_CLOEXEC | (w->reached.units ? 0 : O_CREAT), 0666);
    if (w->fd < 0) return cannot_write(w, w->path);
    // The same part may have been started twice, where the folder is shared. Some file systems have no locks.
    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return error_set(&w->err, "%s: another quantdial is writing it", w->path);
    return w->reached.units || put_bytes(w, file->head.data, file->head.length, 0);
}

static bool sync_folder(Writer *w) {
    const int folder = open(w->x->options->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return cannot_write(w, w->x->options->folder);
    const bool ok = fsync(folder) == 0 || errno == EINVAL; // not every file system can
    close(folder);
    return ok || cannot_write(w, w->x->options->folder);
}

static bool end_file(Writer *w) {
    const OutFile *file = &w->x->files[w->file];
    char *name = path_join(w->x->options->folder, file->name);
    bool ok = name || error_memory(&w->err, file->name);
    if (ok && ftruncate(w->fd, (off_t)out_file_bytes(file)) != 0) ok = cannot_write(w, w->path);
    if (ok && (fdatasync(w->fd) != 0 || rename(w->path, name) != 0)) ok = cannot_write(w, name);
    w->reached.whole = true;
    ok = ok && sync_folder(w) && keep(w);
    free(name);
    return ok;
}

static void close_file(Writer *w) {
    if (w->fd >= 0) close(w->fd);
    free(w->path);
    w->path = NULL;
    w->fd = w->file = -1;
}

static bool write_piece(Writer *w, const Slot *slot) {
    const Unit *unit = slot->unit;
    const OutFile *file = &w->x->files[unit->file];
    const char *data = slot->room;
    if (w->file != unit->file && !open_file(w, unit->file)) return false;
    for (int t = 0; t < unit->tensor_count; t++) {
        uint64_t begin, end;
        piece_range(unit, &unit->tensors[t], slot->first, slot->rows, &begin, &end);
        if (!put_bytes(w, data, end - begin, file->head.length + unit->tensors[t].at + begin)) return false;
        data += (end - begin + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    }
    if (slot->first + slot->rows < unit->rows) return true;
    w->reached.units++;
    if (w->reached.units < file->end - file->first) return w->unkept < KEEP_BYTES || keep(w);
    const bool ok = end_file(w);
    close_file(w);
    return ok;
}

// ---- The thread ----

// A slot to write, once there is one; NULL: it is over.
static Slot *take_slot(Writer *w) {
    pthread_mutex_lock(&w->lock);
    while (w->made == w->taken && !w->ends) pthread_cond_wait(&w->changed, &w->lock);
    Slot *slot = w->made != w->taken ? &w->slots[w->taken % SLOTS] : NULL;
    pthread_mutex_unlock(&w->lock);
    return slot;
}

static void slot_done(Writer *w, Slot *slot, bool ok) {
    if (slot->capacity > QUEUE_BYTES / SLOTS) {
        free(slot->room);
        slot->room = NULL;
        slot->capacity = 0;
    }
    pthread_mutex_lock(&w->lock);
    w->taken++;
    w->queued -= slot->bytes;
    w->failed |= !ok;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void *write_pieces(void *context) {
    Writer *w = context;
    bool ok = true;
    for (Slot *slot; (slot = take_slot(w));) {
        const size_t bytes = slot->bytes;
        ok = ok && write_piece(w, slot);
        slot_done(w, slot, ok);
        progress_add(w->progress, bytes);
    }
    if (ok && w->fd >= 0 && w->reached.units) ok = keep(w); // a stop on the way
    close_file(w);
    w->failed |= !ok;
    return NULL;
}

// ---- The pieces ----

// An empty slot of this size, once there is one; NULL: writing failed, or memory is short (err).
static Slot *free_slot(Writer *w, size_t bytes, Error *err) {
    pthread_mutex_lock(&w->lock);
    while (!w->failed && w->made != w->taken && (w->made - w->taken == SLOTS || w->queued + bytes > QUEUE_BYTES))
        pthread_cond_wait(&w->changed, &w->lock);
    Slot *slot = w->failed ? NULL : &w->slots[w->made % SLOTS];
    pthread_mutex_unlock(&w->lock);
    if (!slot || bytes <= slot->capacity) return slot;
    free(slot->room);
    slot->room = array_new(bytes, 1);
    slot->capacity = slot->room ? bytes : 0;
    if (slot->room) return slot;
    error_memory(err, "a piece of the output");
    return NULL;
}

static void put_slot(Writer *w, Slot *slot) {
    pthread_mutex_lock(&w->lock);
    w->made++;
    w->queued += slot->bytes;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

// Numbers of the checkpoint that are needed soon. `next` runs before the units by AHEAD_BYTES.
typedef struct Ahead {
    size_t next;
    uint64_t wanted, used; // bytes
} Ahead;

static void want_ahead(const Export *x, Ahead *ahead, size_t end) {
    for (; ahead->next < end && ahead->wanted < ahead->used + AHEAD_BYTES; ahead->next++) {
        const Tensor *tensor = x->units[ahead->next].tensor;
        const Tensor *file = tensor->made ? tensor_in_file(tensor) : tensor;
        const uint64_t bytes = file->bytes < AHEAD_BYTES ? file->bytes : AHEAD_BYTES;
        mapping_want(file->data, bytes);
        ahead->wanted += tensor->bytes;
    }
}

static bool make_pieces(Writer *w, const Unit *unit, Error *err) {
    UnitWork work;
    const size_t step = unit->gathered ? unit->rows : piece_rows(unit);
    if (!unit_begin(w->x, unit, &work, err)) return false;
    bool ok = true;
    size_t first = 0;
    do { // a tensor without elements is one piece, too
        const size_t rows = unit->rows - first < step ? unit->rows - first : step;
        const size_t bytes = piece_bytes(unit, first, rows);
        Slot *slot = free_slot(w, bytes ? bytes : 1, err);
        ok = slot && piece_make(&work, first, rows, slot->room, err) &&
             checkpoint_intact(w->x->model->structure->checkpoint, err);
        if (ok) {
            slot->bytes = bytes;
            slot->unit = unit;
            slot->first = first;
            slot->rows = rows;
            put_slot(w, slot);
        }
        if (ok && progress_should_stop(w->progress)) ok = error_stopped(err);
        first += rows;
    } while (ok && first < unit->rows);
    unit_end(&work);
    return ok;
}

static bool make_files(Writer *w, Error *err) {
    const Export *x = w->x;
    Ahead ahead = {0};
    for (int f = w->journal->first; f < w->journal->end; f++) {
        const OutFile *file = &x->files[f];
        const FileState *state = &w->journal->files[f];
        if (state->whole) continue;
        const size_t begin = file->first + (size_t)state->units;
        if (ahead.next < begin) ahead.next = begin;
        for (size_t u = begin; u < file->end; u++) {
            want_ahead(x, &ahead, file->end);
            if (!make_pieces(w, &x->units[u], err)) return false;
            ahead.used += x->units[u].tensor->bytes;
        }
    }
    return true;
}

bool write_files(const Export *x, Journal *journal, uint64_t *written, Progress *progress, Error *err) {
    Writer w = {.x = x, .journal = journal, .progress = progress, .fd = -1, .file = -1};
    pthread_t thread;
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.changed, NULL);
    if (pthread_create(&thread, NULL, write_pieces, &w) != 0) return error_set(err, "no thread could be started");
    const uint64_t bytes = journal_bytes(journal, x);
    progress_begin_at(progress, EXPORT_WORK, bytes, bytes - journal_left(journal, x));
    bool ok = make_files(&w, err);
    pthread_mutex_lock(&w.lock);
    w.ends = true;
    pthread_cond_broadcast(&w.changed);
    pthread_mutex_unlock(&w.lock);
    pthread_join(thread, NULL);
    for (int i = 0; i < SLOTS; i++) free(w.slots[i].room);
    pthread_mutex_destroy(&w.lock);
    pthread_cond_destroy(&w.changed);
    *written = w.written;
    if (w.failed && err) *err = w.err;
    return ok && !w.failed;
}
