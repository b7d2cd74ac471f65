// From pieces to files. The pieces of a file are numbered. Each thread takes the next one, makes it and writes it; what
// the journal says goes on over those that are done, in their order, whoever was quicker.
#include <errno.h>
#include <fcntl.h>
#include <omp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "export/export_parts.h"

enum { WINDOW = 256 };                   // pieces taken, from the first that is not done on
#define ROOM_BYTES ((uint64_t)256 << 20) // of all threads' pieces
#define AHEAD_BYTES ((uint64_t)64 << 20) // of the checkpoint that the system is asked for
#define KEEP_BYTES ((uint64_t)256 << 20) // written between two states of the journal

typedef struct Turn {
    uint64_t number;
    const Unit *unit;
    size_t first, rows;
    uint64_t bytes, hash; // once it is done
    bool done;
} Turn;

typedef struct Writer {
    const Export *x;
    Journal *journal;
    Progress *progress;
    int fd, file; // the file that is open; −1 none
    char *path;   // its name while it is partial

    pthread_mutex_t lock; // of what follows
    pthread_cond_t changed;
    size_t unit, end, row;    // of the next piece, and the unit behind the last
    size_t ahead;             // the first unit that the system was not yet asked for
    uint64_t wanted, used;    // bytes of the checkpoint that it was asked for, and of units begun
    uint64_t taken, counted;  // pieces of the file
    Turn turns[WINDOW];       // piece n at n mod WINDOW
    uint64_t hash;            // of the pieces counted
    FileState reached;        // of whole units
    uint64_t written, unkept; // bytes, in all and since the journal was kept
    bool keeping;             // a thread is at it
    bool over;
    uint64_t failed; // the first piece that failed, and why
    Error err;
    atomic_bool disk_failed;
} Writer;

// ---- The disk ----

static uint64_t bytes_left(Writer *w) {
    pthread_mutex_lock(&w->lock);
    const uint64_t left = journal_left(w->journal, w->x), unkept = w->unkept;
    pthread_mutex_unlock(&w->lock);
    return left > unkept ? left - unkept : 0;
}

static bool cannot_write(Writer *w, const char *path, Error *err) {
    const int why = errno;
    w->disk_failed = true;
    if (why != ENOSPC && why != EDQUOT && why != EFBIG)
        return error_set(err, "%s: cannot be written: %s; what is done is kept: run the same command again", path,
                         strerror(why));
    return error_set(err,
                     "%s: cannot be written: %s; %.2f GB are missing: make room and run the same command again, "
                     "it goes on where it was",
                     path, strerror(why), (double)bytes_left(w) * 1e-9);
}

static bool write_at(Writer *w, const char *data, uint64_t bytes, uint64_t at, Error *err) {
    while (bytes) {
        const ssize_t n = pwrite(w->fd, data, bytes, (off_t)at);
        if (n < 0 && errno == EINTR) continue;
        if (n == 0) errno = ENOSPC;
        if (n <= 0) return cannot_write(w, w->path, err);
        data += n;
        at += (uint64_t)n;
        bytes -= (uint64_t)n;
    }
    return true;
}

// The journal may say only what is on the disk, and was made of a whole checkpoint. Other threads go on.
static bool keep(Writer *w, Error *err) {
    pthread_mutex_lock(&w->lock);
    const FileState state = w->reached;
    const uint64_t unkept = w->unkept;
    pthread_mutex_unlock(&w->lock);
    if (!checkpoint_intact(w->x->model->structure->checkpoint, err)) return false;
    if (fdatasync(w->fd) != 0) return cannot_write(w, w->path, err);
    pthread_mutex_lock(&w->lock);
    w->journal->files[w->file] = state;
    w->unkept -= unkept;
    pthread_mutex_unlock(&w->lock);
    if (journal_keep(w->journal, w->x, err)) return true;
    w->disk_failed = true;
    return false;
}

// ---- Files ----

static char *partial_path(const Export *x, const OutFile *file) {
    char *path = NULL;
    return asprintf(&path, "%s/%s%s", x->options->folder, file->name, PARTIAL) < 0 ? NULL : path;
}

static bool put_head(Writer *w, const Text *head, Error *err) {
    w->hash = hash_bulk(HASH_START, head->data, head->length);
    w->written += head->length;
    w->unkept += head->length;
    return write_at(w, head->data, head->length, 0, err);
}

static bool open_file(Writer *w, int index, Error *err) {
    const OutFile *file = &w->x->files[index];
    w->file = index;
    w->reached = w->journal->files[index];
    w->hash = w->reached.hash;
    w->unit = file->first + (size_t)w->reached.units;
    w->row = 0;
    w->taken = w->counted = 0;
    w->path = partial_path(w->x, file);
    if (!w->path) return error_memory(err, file->name);
    w->fd = open(w->path, O_RDWR | O_CLOEXEC | (w->reached.units ? 0 : O_CREAT), 0666);
    if (w->fd < 0) return cannot_write(w, w->path, err);
    // The same part may have been started twice, where the folder is shared. Some file systems have no locks.
    if (flock(w->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return error_set(err, "%s: another quantdial is writing it", w->path);
    return w->reached.units || put_head(w, &file->head, err);
}

static bool sync_folder(Writer *w, Error *err) {
    const int folder = open(w->x->options->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return cannot_write(w, w->x->options->folder, err);
    const bool ok = fsync(folder) == 0 || errno == EINVAL; // not every file system can
    close(folder);
    return ok || cannot_write(w, w->x->options->folder, err);
}

static bool end_file(Writer *w, Error *err) {
    const OutFile *file = &w->x->files[w->file];
    if (!checkpoint_intact(w->x->model->structure->checkpoint, err)) return false;
    char *name = path_join(w->x->options->folder, file->name);
    bool ok = name || error_memory(err, file->name);
    if (ok && ftruncate(w->fd, (off_t)out_file_bytes(file)) != 0) ok = cannot_write(w, w->path, err);
    if (ok && (fdatasync(w->fd) != 0 || rename(w->path, name) != 0)) ok = cannot_write(w, name, err);
    w->reached.whole = true;
    ok = ok && sync_folder(w, err) && keep(w, err);
    free(name);
    return ok;
}

static void close_file(Writer *w) {
    if (w->fd >= 0) close(w->fd);
    free(w->path);
    w->path = NULL;
    w->fd = w->file = -1;
}

// ---- Turns ----

// The work is over. Of several failures the first in order counts: what is before it is made in any case.
static void fail(Writer *w, uint64_t number, const Error *err) {
    pthread_mutex_lock(&w->lock);
    if (number < w->failed) w->err = *err;
    if (number < w->failed) w->failed = number;
    w->over = true;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

// Asks for numbers of the checkpoint that are needed soon.
static void want_ahead(Writer *w) {
    const size_t end = w->x->files[w->file].end;
    if (w->ahead < w->unit) w->ahead = w->unit;
    for (; w->ahead < end && w->wanted < w->used + AHEAD_BYTES; w->ahead++) {
        const Tensor *tensor = w->x->units[w->ahead].tensor;
        const Tensor *file = tensor->made ? tensor_in_file(tensor) : tensor;
        mapping_want(file->data, file->bytes < AHEAD_BYTES ? file->bytes : AHEAD_BYTES);
        w->wanted += tensor->bytes;
    }
    w->used += w->x->units[w->unit].tensor->bytes;
}

// The next piece; false: there is none, or the work is over.
static bool take_turn(Writer *w, Turn *out) {
    pthread_mutex_lock(&w->lock);
    while (!w->over && w->taken - w->counted == WINDOW) pthread_cond_wait(&w->changed, &w->lock);
    const bool some = !w->over && w->unit < w->end;
    if (some) { // a tensor without elements is one piece, too
        const Unit *unit = &w->x->units[w->unit];
        const size_t step = piece_rows(unit), left = unit->rows - w->row;
        if (w->row == 0) want_ahead(w);
        *out = (Turn){.number = w->taken++, .unit = unit, .first = w->row, .rows = left < step ? left : step};
        w->row += out->rows;
        if (w->row == unit->rows) {
            w->unit++;
            w->row = 0;
        }
    }
    pthread_mutex_unlock(&w->lock);
    return some;
}

static void count_turns(Writer *w) {
    for (Turn *turn; (turn = &w->turns[w->counted % WINDOW])->done; w->counted++) {
        turn->done = false;
        w->hash = hash_bytes(w->hash, &turn->hash, sizeof turn->hash);
        if (turn->first + turn->rows < turn->unit->rows) continue;
        w->reached.hash = w->hash;
        w->reached.units++;
    }
}

static void end_turn(Writer *w, const Turn *turn) {
    Error err = {0};
    pthread_mutex_lock(&w->lock);
    w->turns[turn->number % WINDOW] = *turn;
    w->turns[turn->number % WINDOW].done = true;
    w->written += turn->bytes;
    w->unkept += turn->bytes;
    count_turns(w);
    const bool keeps = !w->keeping && w->unkept >= KEEP_BYTES && w->reached.units > w->journal->files[w->file].units;
    w->keeping |= keeps;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    if (!progress_add(w->progress, turn->bytes)) {
        error_stopped(&err);
        fail(w, UINT64_MAX - 1, &err);
    }
    if (!keeps) return;
    if (!keep(w, &err)) fail(w, turn->number, &err);
    pthread_mutex_lock(&w->lock);
    w->keeping = false;
    pthread_mutex_unlock(&w->lock);
}

// ---- A thread ----

typedef struct Maker {
    UnitWork work;
    char *room;
    size_t capacity;
} Maker;

static bool make_room(Maker *m, size_t bytes, Error *err) {
    if (m->room && bytes <= m->capacity) return true;
    free(m->room);
    m->room = array_new(bytes, 1);
    m->capacity = m->room ? bytes : 0;
    return m->room || error_memory(err, "a piece of the output");
}

static bool write_piece(Writer *w, Turn *turn, const char *data, Error *err) {
    const Unit *unit = turn->unit;
    const OutFile *file = &w->x->files[unit->file];
    turn->hash = HASH_START;
    for (int t = 0; t < unit->tensor_count; t++) {
        uint64_t begin, end;
        piece_range(unit, &unit->tensors[t], turn->first, turn->rows, &begin, &end);
        turn->hash = hash_bulk(turn->hash, data, end - begin);
        turn->bytes += end - begin;
        if (!write_at(w, data, end - begin, file->head.length + unit->tensors[t].at + begin, err)) return false;
        data += (end - begin + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN;
    }
    return true;
}

static bool do_turn(Writer *w, Maker *m, Turn *turn, Error *err) {
    if (m->work.unit != turn->unit) {
        unit_end(&m->work);
        if (!unit_begin(w->x, turn->unit, &m->work, err)) return false;
    }
    return make_room(m, piece_bytes(turn->unit, turn->first, turn->rows), err) &&
           piece_make(&m->work, turn->first, turn->rows, m->room, err) && write_piece(w, turn, m->room, err);
}

static void make_pieces(Writer *w) {
    Maker m = {0};
    Error err = {0};
    for (Turn turn; take_turn(w, &turn);) {
        if (do_turn(w, &m, &turn, &err))
            end_turn(w, &turn);
        else
            fail(w, turn.number, &err);
    }
    unit_end(&m.work);
    free(m.room);
}

// ---- The pieces ----

int unit_threads(const Unit *unit) {
    const int cores = omp_get_max_threads(), most = cores > 1 ? cores : 2; // one may wait for the disk
    return piece_memory(unit) * (uint64_t)most <= ROOM_BYTES ? most : 1;
}

// What is made by several threads, a piece each, and what one makes, with all cores for each piece. A matrix that has
// to be made is on its own, so that there is one at a time.
static size_t run_end(const Export *x, size_t first, size_t end) {
    size_t u = first + 1;
    if (x->units[first].tensor->made) return u;
    while (u < end && !x->units[u].tensor->made && unit_threads(&x->units[u]) == unit_threads(&x->units[first])) u++;
    return u;
}

static bool make_run(Writer *w, Error *err) {
    const Unit *unit = &w->x->units[w->unit];
    const int threads = unit_threads(unit);
    if (!tensor_hold(unit->tensor, err)) return false;
#pragma omp parallel num_threads(threads)
    make_pieces(w);
    tensor_release(unit->tensor);
    if (w->over && err) *err = w->err;
    return !w->over;
}

static bool write_file(Writer *w, int index, Error *err) {
    const size_t end = w->x->files[index].end;
    bool ok = open_file(w, index, err);
    while (ok && w->unit < end) {
        w->end = run_end(w->x, w->unit, end);
        ok = make_run(w, err);
    }
    if (ok)
        ok = end_file(w, err);
    else if (w->fd >= 0 && w->reached.units && !w->disk_failed) // a stop on the way
        keep(w, NULL);
    close_file(w);
    return ok;
}

bool write_files(const Export *x, Journal *journal, uint64_t *written, Progress *progress, Error *err) {
    Writer w = {.x = x, .journal = journal, .progress = progress, .fd = -1, .file = -1, .failed = UINT64_MAX};
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.changed, NULL);
    const uint64_t bytes = journal_bytes(journal, x);
    progress_begin_at(progress, EXPORT_WORK, bytes, bytes - journal_left(journal, x));
    bool ok = true;
    for (int f = journal->first; ok && f < journal->end; f++) ok = journal->files[f].whole || write_file(&w, f, err);
    pthread_mutex_destroy(&w.lock);
    pthread_cond_destroy(&w.changed);
    *written = w.written;
    return ok;
}
