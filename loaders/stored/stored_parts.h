// What the files stored_*.c share.
#pragma once

#include <pthread.h>

#include "base/json.h"
#include "loaders/stored/stored.h"

// How codes lie in their tensor. W = [out, in]; words are little-endian 32 bits, filled from the lowest bit.
typedef enum CodeLayout {
    CODES_BYTES,      // [out, in], one byte each
    CODES_ROWS,       // [out, words]: a stream of bits along each row (compressed-tensors)
    CODES_COLUMNS,    // [words, out]: a stream of bits down each column (GPTQ)
    CODES_E2M1,       // the same of 4-bit floating point numbers (MXFP4)
    CODES_AWQ,        // [in, out / 8]: 4 bits, eight columns per word in an order of its own
    CODES_F64,        // [out, in], no codes but numbers
    CODES_TRANSPOSED, // [in, out], any numbers
    CODES_GGUF,       // [out, in], rows in the form of their tensor
} CodeLayout;

// What is subtracted from the number that a code stands for.
typedef enum ZeroKind {
    ZERO_NONE,
    ZERO_NUMBERS, // one per group, in the layout of the scales
    ZERO_PACKED,  // codes of the same width, one per group
    ZERO_BIASES,  // numbers in the layout of the scales that are added to code · scale (MLX)
} ZeroKind;

// One value for every group of every row: element (row / rows_per_value) · row_step + group · group_step.
typedef struct GroupValues {
    const Tensor *tensor; // NULL: 1 everywhere
    size_t rows_per_value, row_step, group_step;
} GroupValues;

// Packed zero points: a stream of bits along the rows of W. Word w of group g is element w · word_step + g ·
// group_step.
typedef struct PackedZeros {
    const Tensor *tensor;
    size_t word_step, group_step;
    bool awq;         // in AWQ's order
    unsigned add;     // what the stored code lacks (GPTQ v1: 1)
    unsigned mask;    // applied to the sum
    bool whole_words; // as StoredMatrix.whole_words
} PackedZeros;

typedef struct StoredMatrix {
    CodeLayout layout;
    size_t out, in;
    unsigned bits;
    bool whole_words; // a code never continues in the next word; the bits left over are empty
    const Tensor *codes;
    DType code_type; // what the byte of a code stands for; DTYPE_U8 for packed codes
    float offset;    // and what is taken off it

    size_t groups;       // along `in`
    size_t columns;      // of a group, unless group_of
    const Tensor *g_idx; // I32 [in]: the group of every column (act-order); NULL: column / columns
    GroupValues scales;
    ZeroKind zero_kind;
    GroupValues zero_numbers; // ZERO_NUMBERS, ZERO_BIASES
    PackedZeros zeros;        // ZERO_PACKED

    DType dtype; // of the result: F32, F16 or BF16
    void *data;  // reserved addresses, which have memory while the matrix is held
    size_t bytes;
    size_t holds;
    bool kept;
    bool doubtful; // zero points may mean two things, should the largest be among them
    StoredSet *set;
    pthread_mutex_t lock;
} StoredMatrix;

// Fills `out` (m->bytes bytes) with the matrix; its codes are held.
bool stored_make(const StoredMatrix *m, void *out, Error *err);

// The zero point that a row and a group have (ZERO_PACKED), as it is stored.
unsigned stored_zero_code(const StoredMatrix *m, size_t row, size_t group);

// What config.json says. Everything has a value that suits files which do not say.
typedef struct StoredConfig {
    char refusal[256];   // why tensors that are not plain cannot be read; "" when they can
    bool gptq_v2;        // zero points are stored as they are, not one less
    bool symmetric;      // GPTQ: zero points are the middle everywhere
    size_t group_size;   // GPTQ; 0: not said. It matters where the last group is narrower than the others
    size_t block[2];     // rows and columns that share a scale of F8 blocks
    unsigned bit_widths; // of compressed-tensors: bit b − 1 is set when some group has b bits; 0: not said
    bool whole_words;    // compressed-tensors before 0.18 packed 3, 5, 6 and 7 bits without crossing words
    cJSON *mlx;          // MLX: bits and group_size of all modules and, by name, of single ones; NULL: not said
} StoredConfig;

// Free with stored_config_free, also after a failure.
bool stored_config_read(const char *source, StoredConfig *out, Error *err);
bool stored_config_parse(const char *text, size_t length, StoredConfig *out, Error *err); // of config.json
void stored_config_free(StoredConfig *config);
// The set takes over what the configuration owns, also after a failure.
bool stored_open_with(const Checkpoint *checkpoint, const StoredConfig *config, StoredSet **out, Error *err);
