// How an export is made, for the files of this folder alone.
//
// The work is a list of units in the order of the checkpoint's files. A unit is a linear that is quantized, or a tensor
// of numbers: an embedding, a norm, a bias, a linear that stays. A format says what each becomes (describe), what
// stands before the tensors in a file (head), and turns rows of a unit into bytes (put). All else is the same for every
// format:
//
//     refusals.c    what a format cannot hold
//     units.c       units → files, places of tensors
//     pieces.c      rows of a unit: quantized, or read with factors folded into them
//     packing.c     codes as streams of bits
//     write.c       the threads that make pieces and write them
//     journal.c     how far it is
//     parts.c       the work of several processes
//     verify.c      reading it back
//     single_file.c a file instead of a folder
//     folder.c      what stands beside the weights: index, tokenizer, model card, config.json
//     card.c, front_matter.c   the model card
//     place.c       whether anything can be written there
//     export.c      all of it, in order
//
// A new format is one row: gptq.c is one to copy from.
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
    // It goes on where the tensor of the unit before ends, which has the name and shape of both; `bytes` are its own.
    bool continues;
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
    char name[96];
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
    void *own;      // what the format remembers; freed with free()
    bool again;     // the weights are complete: what stands beside them is written once more
    char warning[512];
} Export;

// For the model card: a way to load it, in Markdown.
typedef struct Loading {
    Targets engines;          // 0: whatever reads such a model
    const char *text, *pairs; // of encoder–decoders; NULL: as the others
} Loading;
enum { LOADINGS = 2 };

struct FormatRow {
    const char *stores; // why its bits per weight may not be those of the plan
    const char *ending; // of files of weights
    Loading loading[LOADINGS];
    const char *loading_t5; // NULL: as the others
    const char *library;    // for the model card: library_name; NULL: that of the model, or transformers; "": none
    bool one_file;
    bool joins;  // the experts of a layer become one tensor for each of their projections
    bool stacks; // experts that share a tensor are units of their own, one behind the other, whether quantized or not
    bool read_back;    // the loaders read it
    bool rounds_zeros; // numbers with zero points are not exactly those of the plan
    void (*config)(const char *quantization, Text *config); // sets more keys of config.json; NULL: none
    void (*name)(const Export *x, OutFile *file);           // NULL: "model", with a number where there are several
    // Whether the plan can be held; false with all that is wrong in one line, and the remedy. May set x->warning.
    bool (*check)(Export *x, Error *err);
    // Adds what a unit becomes, with unit_add. None: it is left out.
    bool (*describe)(const Export *x, Unit *unit, Error *err);
    // file->head, once all tensors of the file have their places.
    bool (*head)(const Export *x, OutFile *file, Error *err);
    // Rows → bytes. Called by several threads at once, for pieces of their own; by one for a large piece, which it
    // shares among cores. Never fails: all was checked.
    void (*put)(const Export *x, const Unit *unit, const Piece *piece);
    // What stands beside the weights, config.json last. May set x->warning.
    bool (*finish)(Export *x, Error *err);
};

extern const FormatRow format_compressed_tensors, format_gguf, format_mlx, format_gptq, format_dense;

// ---- units.c ----

// The units and files of x, whose model, options and format are set. Free with units_free in any case.
bool units_make(Export *x, Error *err);
void units_free(Export *x);

// For describe. A tensor of the unit whose rows of bytes follow the unit's rows; `name` is copied. NULL: memory.
OutTensor *unit_add(Unit *unit, const char *name, const char *ending, int type, size_t element_bytes, int rank,
                    const uint64_t *shape, Error *err);
// The same of DType `type`.
OutTensor *unit_add_plain(Unit *unit, const char *name, const char *ending, DType type, int rank, const uint64_t *shape,
                          Error *err);
// For describe: numbers under their own name and shape in their own type, F32 where they are divided.
bool unit_add_numbers(Unit *unit, Error *err);
bool safetensors_head_of(const Export *x, OutFile *file, Error *err); // a head, for formats in safetensors files
const Decision *unit_decision(const Export *x, const Unit *unit);     // of UNIT_LINEAR
const Linear *unit_linear(const Export *x, const Unit *unit);

// ---- refusals.c ----

// Why a format cannot hold what the plan decides for a linear, with the remedy.
typedef struct Refusal {
    bool (*is)(const Export *x, const Linear *linear, const Decision *decision);
    const char *what;
} Refusal;

// False when one of them holds for a quantized linear; the message names the first and how many there are.
bool refuse_linears(const Export *x, const Refusal *refusals, size_t count, Error *err);
// False when a linear that stays is one of several experts in a tensor of codes. Of every format but those that stack.
bool refuse_stored_stacks(const Export *x, Error *err);
// Engines store q, k, v and gate, up as one matrix: false when some of a set are quantized and some not, or not alike.
bool refuse_sets(const Export *x, bool (*alike)(const Decision *a, const Decision *b), Error *err);

// The same for the experts of a layer; by_role: only those with the same role must be alike.
bool refuse_experts(const Export *x, bool by_role, bool (*alike)(const Decision *a, const Decision *b), Error *err);
// For formats of weights alone: a warning when the plan has inputs or a cache of 8 bits.
void warn_inputs(Export *x);

bool refuses_transposed(const Export *x, const Linear *linear, const Decision *decision);
bool refuses_stack(const Export *x, const Linear *linear, const Decision *decision);
bool refuses_partial_group(const Export *x, const Linear *linear, const Decision *decision);
bool refuses_all_but_symmetric(const Export *x, const Linear *linear, const Decision *decision);
#define REFUSE_TRANSPOSED                                                                                            \
    "is stored as [in, out] (Conv1D), whose codes transformers does not find; leave it out with \"ignore\", or use " \
    "--format dense"
#define REFUSE_STACK                                                                                               \
    "is an expert in one tensor with others, which cannot be split; leave the experts out with \"ignore\" in the " \
    "recipe"
#define REFUSE_PARTIAL_GROUP \
    "its groups do not divide its columns; use a smaller --group-size, or --granularity channel"

// ---- pieces.c ----

// A unit while its pieces are made: its tensor is held.
typedef struct UnitWork {
    const Export *x;
    const Unit *unit;
    float *factors, *divisors; // of columns and rows, or of numbers; NULL: none
    bool held;
} UnitWork;

bool unit_begin(const Export *x, const Unit *unit, UnitWork *out, Error *err);
void unit_end(UnitWork *work);
// Rows [first, first + rows) of a linear as the plan has them; free the result.
bool unit_quantize(const UnitWork *work, size_t first, size_t rows, QuantizedWeight *out, Error *err);

size_t piece_rows(const Unit *unit); // of every piece but the last
// Where the bytes of a piece stand in a tensor.
void piece_range(const Unit *unit, const OutTensor *tensor, size_t first, size_t rows, uint64_t *begin, uint64_t *end);
// The bytes of a piece, tensor after tensor, each at a multiple of PIECE_ALIGN: how much room, and what is in it.
enum { PIECE_ALIGN = 64 };
size_t piece_bytes(const Unit *unit, size_t first, size_t rows);
uint64_t piece_memory(const Unit *unit); // to make one, codes and bytes
bool piece_make(const UnitWork *work, size_t first, size_t rows, char *room, Error *err);

// For put: a piece of numbers as a checkpoint in safetensors files has them, divided as it has to be.
void piece_numbers(const Export *x, const Unit *unit, const Piece *piece);

// ---- packing.c ----

// n codes plus 2^(bits − 1) as a stream of bits, from the lowest of the first byte on, filled up with zeros to whole
// words.
void pack_codes(const int8_t *codes, size_t n, int bits, uint8_t *out);
uint64_t packed_words(uint64_t codes, int bits); // of 32 bits
// Floats in type F32, F16 or BF16: one as element `index` of `out`; n from its beginning on.
void number_put(DType type, void *out, size_t index, float value);
void numbers_put(DType type, void *out, size_t n, const float *values);

// ---- write.c ----

// What a journal says of a file.
typedef struct FileState {
    uint64_t units; // that are on the disk, of file->end − file->first
    uint64_t hash;  // of the hashes of their pieces, in their order
    bool whole;     // renamed
} FileState;

typedef struct Journal Journal;

int unit_threads(const Unit *unit); // that make its pieces at once

// Every file that is not whole. *written: bytes.
bool write_files(const Export *x, Journal *journal, uint64_t *written, Progress *progress, Error *err);
// ---- verify.c ----

// Every byte of the files against what is made once more; and where the loaders read the format, what they make of
// codes and scales against what the plan's codes stand for. path: of the only file, where it is not in the folder; or
// NULL.
bool verify_files(const Export *x, const char *path, uint64_t *bytes, Progress *progress, Error *err);

// ---- journal.c ----

#define PARTIAL ".partial" // behind the name of a file that is not whole
#define JOURNAL_NAME "quantdial-export.json"
#define JOURNALS "quantdial-export.*" // of parts, too, also while they are being written
#define PART_JOURNALS "quantdial-export.part-*"

struct Journal {
    char *path;              // FOLDER/quantdial-export.json; that of a part: FOLDER/quantdial-export.part-2-of-4.json
    FileState *files;        // [x->file_count]
    int first, end;          // files that it is about: all, or those of a part
    bool complete, occupied; // occupied: refused for what the folder holds
    int lock;                // the folder, so that one program writes there, or several parts; −1 none
    uint64_t source, plan, layout; // hashes of what the work is
};

// Rises when the same work would give other bytes, or the same in another order.
enum { JOURNAL_VERSION = 2 };

// The journal of the folder, or a new one. Refuses a folder that is not empty and not of this work, unless the options
// say overwrite: then its files are removed. write: false changes nothing and says what is there.
bool journal_open(const Export *x, bool write, Journal *out, Error *err);
bool journal_check(const Export *x, const Journal *journal, uint64_t *bytes, Progress *progress, Error *err); // hashes
bool journal_keep(const Journal *journal, const Export *x, Error *err); // on the disk
void journal_free(Journal *journal);
uint64_t journal_plan(const Export *x);                         // a hash of the plan, and of what is measured and in it
uint64_t journal_left(const Journal *journal, const Export *x); // bytes that are not on the disk
uint64_t journal_room(const Journal *journal, const Export *x); // that the disk needs to have for them
uint64_t journal_bytes(const Journal *journal, const Export *x); // of its files

// What a journal of this work says of the files [first, end). Refuses that of another. parts: 0 for that of one
// process.
bool journal_read(const Export *x, const char *path, int parts, int first, int end, Journal *journal, Error *err);
bool journal_lock(const Export *x, int operation, Journal *out, Error *err); // LOCK_EX or LOCK_SH
// What stands in the folder beside journals.
bool journal_folder_used(const char *folder);
bool journal_remove_config(const char *folder, Error *err);

// ---- parts.c ----

bool parts_check(const ExportOptions *options, const FormatRow *format, Error *err); // what does not go together
char *part_path(const char *folder, int part, int parts);                            // of its journal; NULL: memory
bool parts_are_there(const char *folder);                                            // any
// As journal_open, of a part, and of all of them to finish.
bool part_open(const Export *x, bool write, Journal *out, Error *err);
bool parts_gather(const Export *x, Journal *out, Error *err);
bool parts_forget(const Export *x, Error *err); // their journals, once that of the whole is complete

// ---- folder.c ----

uint64_t folder_bytes(const Export *x);         // about what folder_finish writes
bool folder_copies(const char *name);           // whether a file of this name is taken over from the model
bool folder_check(const Export *x, Error *err); // what can be known before the weights: that there is a config.json
// Index, tokenizer and other small files, the model card, and config.json with `quantization` (JSON text, NULL: none)
// as its quantization_config.
bool folder_finish(const Export *x, const char *quantization, Error *err);
bool folder_put_card(const Export *x, Error *err);
bool folder_put(const Export *x, const char *name, Text *text, Error *err); // frees the text

// ---- place.c ----

// Whether the folder of the options, which need not be there yet, can be written to by the kind and the rights of what
// is there. shown: what the user named.
bool place_check(const Export *x, const char *shown, Error *err);

// ---- single_file.c ----

typedef struct SingleFile {
    ExportOptions options; // with the folder that the file is made in
    const char *path;
    char *folder;  // NULL: a folder is meant
    bool occupied; // refused for the file that is there
} SingleFile;

// Refuses a file of the model itself. Free with single_file_free in any case.
bool single_file_begin(const Checkpoint *source, const ExportOptions *options, const FormatRow *format, SingleFile *out,
                       Error *err);
// Whether the file is there already, as this work would write it: its head says from what and by which plan it was
// made. Another file is refused, unless the options say overwrite.
bool single_file_is_whole(SingleFile *file, const Export *x, bool *whole, Error *err);
bool single_file_end(SingleFile *file, const char *name, Error *err); // moves it to its place
void single_file_free(SingleFile *file);                              // in any case

// ---- card.c ----

const FormatRow *export_format_row(ExportFormat format);
void model_card(const Export *x, Text *out);   // Markdown
void front_matter(const Export *x, Text *out); // what it begins with, YAML between lines of dashes

// ---- mlx_config.c ----

void mlx_config(const char *quantization, Text *config); // FormatRow.config

// ---- config_text.c ----

// Sets a key of the outermost object of a JSON document to a value (JSON text), or removes it (NULL), and leaves every
// other byte as it is. A new key goes to the end. The document is valid JSON and begins with an object.
void config_text_set(Text *document, const char *key, const char *value);
