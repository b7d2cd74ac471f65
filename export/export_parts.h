// How an export is made, for the files of this folder alone.
//
// The work is a list of units in the order of the checkpoint's files. A unit is a linear that is quantized, or a tensor
// of numbers: an embedding, a norm, a bias, a linear that stays. A format says what each becomes (describe), what
// stands before the tensors in a file (head), and turns rows of a unit into bytes (put). All else is the same for every
// format:
//
//     layout.c      units → files, places of tensors
//     pieces.c      rows of a unit: quantized, or read with factors folded into them
//     write.c       the loop over pieces and the thread that writes
//     journal.c     how far it is
//     folder.c      what stands beside the weights: index, tokenizer, model card, config.json
//     export.c      all of it, in order
//
// A new format is one row: compressed_tensors.c is one to copy from.
#pragma once

#include "base/array.h"
#include "export/export.h"

enum { UNIT_TENSORS = 6 };

// A tensor of the output.
typedef struct OutTensor {
    char *name;
    int type; // a DType; formats with types of their own have their number here
    int rank;
    uint64_t shape[TENSOR_MAX_RANK];
    uint64_t bytes;
    uint64_t at; // in its file, behind the head
    // Every block_rows rows of the unit give block_bytes, one after the other. block_rows 0: the first piece gives all.
    size_t block_rows, block_bytes;
    size_t align; // `at` is a multiple of it
} OutTensor;

typedef enum UnitKind {
    UNIT_LINEAR,  // quantized by the plan
    UNIT_NUMBERS, // as they are, but for folded factors
} UnitKind;

typedef struct Unit {
    UnitKind kind;
    const char *name;     // of the linear, or of the tensor as in the checkpoint
    const Tensor *tensor; // what is read: of a linear [out, in]; held while pieces are made
    int linear;           // what the tensor is: weight or bias of this linear, −1
    int norm;             // gain or bias of this norm, −1
    int divided_by;       // numbers: the linear whose factors divide them, −1; then they become F32
    bool is_bias;
    size_t rows, columns; // of the tensor; a vector is one row
    size_t row_step;      // pieces begin at multiples of it
    bool gathered;        // put fills whole tensors, piece after piece, because their bytes do not lie row by row
    OutTensor tensors[UNIT_TENSORS];
    int tensor_count; // 0: the format leaves it out
    int file;
} Unit;

// Some rows of a unit on their way.
typedef struct Piece {
    size_t first, rows;
    const QuantizedWeight *codes; // UNIT_LINEAR: of these rows
    const void *numbers;          // UNIT_NUMBERS: of these rows, in unit->tensor's type
    const float *divisors;        // by which they are divided, [columns], or NULL
    // Room for the bytes of each tensor: those of these rows, or of the whole tensor when the unit is gathered.
    void *out[UNIT_TENSORS];
} Piece;

typedef struct OutFile {
    char name[64];
    size_t first, end;   // units
    Text head;           // what stands before the tensors
    uint64_t data_bytes; // of the tensors
} OutFile;

static inline uint64_t out_file_bytes(const OutFile *file) { return file->head.length + file->data_bytes; }

typedef struct FormatRow FormatRow;

typedef struct Export {
    const ExportModel *model;
    const ExportOptions *options;
    const FormatRow *format;
    int *row_readers;  // [linear_count]: equalize_row_readers
    int *norm_readers; // [norm_count]: equalize_norm_readers
    Unit *units;       // every one that the format takes
    size_t unit_count, unit_capacity;
    OutFile *files;
    int file_count;
    uint64_t bytes; // of all files
    char warning[512];
} Export;

struct FormatRow {
    const char *ending; // of files of weights
    bool one_file;
    // Whether the plan can be held; false with all that is wrong in one line, and the remedy. May set x->warning.
    bool (*check)(Export *x, Error *err);
    // Adds what a unit becomes, with unit_add. None: it is left out.
    bool (*describe)(const Export *x, Unit *unit, Error *err);
    // file->head, once all tensors of the file have their places.
    bool (*head)(const Export *x, OutFile *file, Error *err);
    // Rows → bytes. Called by one thread; shares large pieces among cores itself. Never fails: all was checked.
    void (*put)(const Export *x, const Unit *unit, const Piece *piece);
    // What stands beside the weights, config.json last.
    bool (*finish)(const Export *x, Error *err);
    // Reads the weights back and compares; NULL: the bytes of the files are compared with what was written.
    bool (*verify)(const Export *x, uint64_t *bytes, Progress *progress, Error *err);
};

extern const FormatRow format_compressed_tensors;

// ---- layout.c ----

// The units and files of x, whose model, options and format are set. Free with layout_free in any case.
bool layout_make(Export *x, Error *err);
void layout_free(Export *x);

// For describe. A tensor of the unit whose rows of bytes follow the unit's rows; `name` is copied. NULL: memory.
OutTensor *unit_add(Unit *unit, const char *name, const char *ending, int type, size_t element_bytes, int rank,
                    const uint64_t *shape, Error *err);
// The same of DType `type`.
OutTensor *unit_add_plain(Unit *unit, const char *name, const char *ending, DType type, int rank, const uint64_t *shape,
                          Error *err);
// For describe: numbers under their own name and shape in their own type, F32 where they are divided.
bool unit_add_numbers(Unit *unit, Error *err);
const Decision *unit_decision(const Export *x, const Unit *unit); // of UNIT_LINEAR
const Linear *unit_linear(const Export *x, const Unit *unit);

// ---- pieces.c ----

size_t piece_rows(const Unit *unit); // of every piece but the last
// Where the bytes of a piece stand in a tensor.
void piece_range(const OutTensor *tensor, size_t first, size_t rows, uint64_t *begin, uint64_t *end);
size_t piece_bytes(const Unit *unit, size_t first, size_t rows); // room that piece_make needs
// Fills `room` with the bytes of these rows, tensor after tensor. The unit's tensor is held.
bool piece_make(const Export *x, const Unit *unit, size_t first, size_t rows, char *room, Error *err);
// For put: numbers of a piece as DType `type`, F32, F16 or BF16; others are copied. plus_one: stored less one.
void put_numbers(const Export *x, const Unit *unit, const Piece *piece, DType type, void *out);

// ---- write.c ----

// What a journal says of a file.
typedef struct FileState {
    uint64_t units; // that are on the disk, of file->end − file->first
    uint64_t hash;  // of their bytes, in the order in which they were written
    bool whole;     // renamed
} FileState;

typedef struct Journal Journal;

// Every file that is not whole. *written: bytes.
bool write_files(const Export *x, Journal *journal, uint64_t *written, Progress *progress, Error *err);
// The bytes of all files against the journal.
bool verify_hashes(const Export *x, const Journal *journal, uint64_t *bytes, Progress *progress, Error *err);

// ---- journal.c ----

struct Journal {
    char *path; // DIR/quantdial-export.json
    bool there; // the folder has one
    bool complete;
    FileState *files; // [x->file_count]
    int file_count;
    uint64_t source, plan, layout; // hashes of what the work is
};

// The journal of the folder, or a new one. Refuses a folder that is not empty and not of this work, unless the options
// say overwrite: then its files are removed. write: false changes nothing and says what is there.
bool journal_open(const Export *x, bool write, Journal *out, Error *err);
bool journal_keep(const Journal *journal, const Export *x, Error *err); // on the disk
void journal_free(Journal *journal);
uint64_t journal_left(const Journal *journal, const Export *x); // bytes that are not on the disk

// ---- folder.c ----

// Index, tokenizer and other small files, the model card, and config.json with `quantization` (JSON text, NULL: none)
// as its quantization_config.
bool folder_finish(const Export *x, const char *quantization, Error *err);
bool folder_write(const Export *x, const char *name, Text *text, Error *err); // frees the text
char *model_card(const Export *x);                                            // NULL: memory

// ---- config_text.c ----

// Sets a key of the outermost object of a JSON document to a value (JSON text), or removes it (NULL), and leaves every
// other byte as it is. A new key goes to the end. The document is valid JSON and begins with an object.
void config_text_set(Text *document, const char *key, const char *value);
