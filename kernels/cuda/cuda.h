// What the files of the CUDA backend share.
#pragma once

#include "kernels/backend.h"
#include "kernels/cuda/runtime.h"
#include "kernels/prove.h"

// Working memory on the device; it grows when weights and caches are made, since operations cannot fail.
typedef struct Region {
    void *data;
    size_t bytes;
} Region;

// Activations that lie prepared in the working memory: q, k and v read the same ones.
typedef struct Prepared {
    const float *x; // NULL: nothing is prepared
    size_t tokens;
    IntegerLayout layout; // `out` and `bits` do not matter
    int planes;           // IN_F16: 16-bit floats
    float static_scale;   // 0: of the token
    const float *divisor;
    bool sums;
} Prepared;
enum { IN_F16 = 0 };

// What was asked for and waits for the operation after it (deferred_cuda.c).
typedef enum DeferredKind {
    DEFERRED_NOTHING,
    DEFERRED_ADD,        // for a norm of the sum
    DEFERRED_NORM,       // for a product
    DEFERRED_ACTIVATION, // likewise
    DEFERRED_ROPES,      // for keys that are stored
} DeferredKind;

enum { MOST_ROPES = 2 };

typedef struct Deferred {
    DeferredKind kind;
    NormArguments norm;
    ElementwiseArguments elementwise;
    RopeArguments ropes[MOST_ROPES];
    int rope_count;
} Deferred;

// Rows of a table that lie in a step's block.
typedef struct StepRows {
    const char *table;
    size_t bytes; // of a row
    size_t rows, at;
} StepRows;

struct Step {
    void *recorded;
    uint64_t generation; // of the backend when it was recorded
    unsigned char *host; // the block: position, rows of the tokens, rows of the positions; read at every run
    void *device;
    size_t used;                   // bytes of the block
    StepRows tokens[2], positions; // rows 0: not looked up
    bool broken;
};

typedef struct CudaBackend {
    Backend base;
    BackendOps ops;   // of this backend: without what is avoided
    unsigned avoided; // bits by KernelFamily, and MANY_PAIRS
    CudaRuntime *runtime;
    char description[320];
    bool failed;
    Error failure;       // the first failure; nothing is launched after it
    uint64_t generation; // counts what is allocated and freed: a recorded step knows only the memory there was then
    Step *recording;
    Region codes, scales, sums; // prepared activations
    Region parts;               // of products and attention that are split
    Region arrived;             // of attention that is split, and products that are chained: zeros between launches
    Region quantizing;          // what quantizing a weight needs beside it
    Region floats, halves;      // rounded activations, and those for the library
    Region staging;             // rows on their way up
    Region routes, slots;       // of mixtures of experts
    unsigned char *rows;        // [rows_bytes] on the host, on their way to `staging`
    size_t rows_bytes;
    Prepared prepared;
    Deferred deferred;
} CudaBackend;

// Tokens that one pass of a product takes: bounds the working memory. The first capabilities whose tensor cores the
// kernels use, and where a kernel may begin early.
enum { PASS_TOKENS = 512, TENSOR_CORES = 80, EARLY_KERNELS = 90 };

static inline bool cuda_avoids(const CudaBackend *c, unsigned family) { return c->avoided >> family & 1; }

static inline size_t at_most(size_t n, size_t most) { return n < most ? n : most; }
static inline size_t at_least(size_t n, size_t least) { return n > least ? n : least; }

static inline CudaBackend *cuda_of(Backend *backend) { return (CudaBackend *)(void *)backend; }

// A backend on a runtime, which it owns from then on, also when it fails.
bool backend_cuda_on(CudaRuntime *runtime, Backend **out, Error *err);

// Keeps the first failure. True when all is well.
bool cuda_check(CudaBackend *, int code, const char *doing);
// Says that an operation is about to write here: what was prepared from it is prepared no more.
void cuda_written(CudaBackend *, const void *y, size_t bytes);
// Whether operations still run.
static inline bool cuda_runs(const CudaBackend *c) { return !c->failed; }
// The same, asked by whatever is about to run: what waits is computed now.
bool cuda_ready(CudaBackend *);

bool cuda_allocate(CudaBackend *, size_t bytes, const char *what, void **out, Error *);     // zeroed
bool cuda_allocate_raw(CudaBackend *, size_t bytes, const char *what, void **out, Error *); // what is written whole
void cuda_release(CudaBackend *, void *);
bool cuda_reserve(CudaBackend *, Region *, size_t bytes, Error *);

// Room in `rows` and `staging`. False, and the backend has failed, when memory is short.
bool cuda_rows_room(CudaBackend *, size_t bytes);

// The position of an operation: a number, or where a recorded step finds it.
Position cuda_position(const CudaBackend *, size_t first);

// Lets an operation wait.
void cuda_wait_add(CudaBackend *, const ElementwiseArguments *);
void cuda_wait_activation(CudaBackend *, const ElementwiseArguments *);
void cuda_wait_norm(CudaBackend *, const NormArguments *);
void cuda_wait_rope(CudaBackend *, const RopeArguments *);
// Takes over what waits, if it gives x [tokens, width], or rotates the keys that are to be written. True: the caller
// computes it, and q with the keys if that waits too.
bool cuda_rows_wait(const CudaBackend *, const float *x, size_t tokens, size_t width);
bool cuda_take_rows(CudaBackend *, const float *x, size_t tokens, size_t width, FusedArguments *);
bool cuda_take_ropes(CudaBackend *, const CacheWriteArguments *, RopeWriteArguments *);

// Weights and their products (weights_cuda.c, linear_cuda.c).
struct Weight {
    size_t out, in, bytes;
    float *bias; // [out] or NULL; as all pointers here on the device
    bool integer;
    // Dense
    DType dtype;
    Precision precision;
    void *data; // [out], rows `stride` elements apart
    size_t stride;
    // Integer
    IntegerLayout layout;
    uint8_t *codes;
    void *scales;
    DType scale_dtype;
    int8_t *zeros, *factors;
    float *powers; // of products in 16-bit floats, else NULL
    bool wide;     // sums of a two-level grid need more than 32 bits
    // Activations
    ActivationMode mode;
    float static_scale; // 0 unless that is the mode
    float *divisor;
};
// Whether products of many tokens are computed in 16-bit floats, as far as the format goes.
bool cuda_may_be_f16(const CudaBackend *, const Weight *);
// In how many planes an integer weight meets its activations (integer_layout.h).
int cuda_planes(const Weight *);
bool cuda_weight_dense(Backend *, DType, const void *data, size_t out, size_t in, const float *bias, Precision,
                       Weight **, Error *);
bool cuda_weight_quantized(Backend *, const QuantizedWeight *, const ActivationScheme *, const float *bias, Precision,
                           Weight **, Error *);
bool cuda_weight_from_dense(Backend *, const Weight *dense, const WeightQuantizing *, const ActivationScheme *,
                            const float *bias, double *errors, Weight **, Error *);
void cuda_weight_free(Backend *, Weight *);
size_t cuda_weight_bytes(const Weight *);
void cuda_linear(Backend *, const Weight *, const float *x, size_t tokens, float *y);
void cuda_linears(Backend *, const Weight *const *, size_t count, const float *x, size_t tokens, float *const *y);

// How launches are put together (linear_cuda.c): what a launch is told of a weight; whether two weights are of one
// format, so that a launch can take both, and round their activations alike.
DenseRows cuda_dense_rows(const Weight *);
IntegerRows cuda_integer_rows(const Weight *);
DenseArguments cuda_dense_arguments(const Weight *, const float *x, size_t tokens); // without outputs
IntegerArguments cuda_integer_arguments(const Weight *, size_t tokens);             // without outputs and activations
bool cuda_same_format(const Weight *, const Weight *);
bool cuda_same_rounding(const Weight *, const Weight *);
// Activations are rounded, but stay floats.
bool cuda_is_rounded_float(const Weight *);
// Sums of two-level grids that need more than 32 bits, and old devices, take the kernel that goes code by code.
bool cuda_by_tensor_cores(const CudaBackend *, const Weight *);
// Whether the kernel for few tokens takes it: not layouts that are not regular, nor several planes that are not paired.
bool cuda_by_few(const IntegerArguments *);
// How that is cut: blocks for 16 rows, whose warps share the columns. In order, what they find passes through shared
// memory, too.
void cuda_cut_few(const CudaBackend *, IntegerArguments *);

// Mixtures of experts (mixture_cuda.c).
Mixture *cuda_mixture_new(Backend *, const MixtureShape *, const Weight *const *gate, const Weight *const *up,
                          const Weight *const *down);
bool cuda_mixture(Backend *, const Mixture *, const float *logits, const float *x, size_t tokens, float *y);
void cuda_mixture_free(Backend *, Mixture *);

// Between linears (between_cuda.c).
void cuda_embed(Backend *, DType, const void *table, size_t width, const int32_t *ids, size_t tokens, float *y);
void cuda_embed_positions(Backend *, DType, const void *table, size_t width, size_t first, size_t tokens, float *y);
void cuda_rms_norm(Backend *, const float *x, const float *gain, float eps, size_t tokens, size_t width, float *y);
void cuda_layer_norm(Backend *, const float *x, const float *gain, const float *bias, size_t gains, float eps,
                     size_t tokens, size_t width, float *y);
void cuda_add(Backend *, float *x, const float *y, size_t n);
void cuda_silu_times(Backend *, const float *gate, const float *up, size_t n, float *y);
void cuda_activate(Backend *, Nonlinearity, const float *x, const float *up, size_t n, float *y);
void cuda_xielu(Backend *, const Xielu *, const float *x, size_t n, float *y);
void cuda_scale(Backend *, float *x, float factor, size_t n);
void cuda_softcap(Backend *, float *x, float cap, size_t n);
void cuda_clamp(Backend *, float *x, float limit, size_t n);
void cuda_rope(Backend *, float *x, size_t tokens, int heads, int head_dim, int rotated, bool adjacent,
               const float *cosine, const float *sine, size_t first);
void cuda_join(Backend *, const float *const *x, size_t tokens, size_t groups, const size_t *widths, const bool *common,
               int parts, float *y);
void cuda_split(Backend *, const float *x, size_t tokens, size_t groups, const size_t *widths, int parts,
                float *const *y);
void cuda_gather(Backend *, const float *x, size_t width, const int32_t *rows, size_t n, float *y);
void cuda_scatter_add(Backend *, const float *x, size_t width, const int32_t *rows, const float *factors, size_t n,
                      float *y);
void cuda_gated_add(Backend *, const float *gates, const float *x, size_t rows, size_t width, float *y);
void cuda_blend_add(Backend *, const float *coefficients, const float *x, size_t from, size_t rows, size_t width,
                    float *y, size_t to);
void cuda_match_size(Backend *, float *x, const float *like, float least, size_t rows, size_t width);
void cuda_cut_below(Backend *, float *x, float deviations, size_t rows, size_t width);
void cuda_choose(Backend *, const float *logits, size_t rows, size_t vocab, const Draw *, int32_t *ids,
                 float *probabilities);
bool cuda_measure(Backend *, const float *x, size_t tokens, size_t width, const ActivationCounts *, Error *);

// Keys and values (attention_cuda.c).
bool cuda_cache_new(Backend *, int layers, size_t sequences, int kv_heads, int head_dim, size_t positions, DType,
                    Cache **, Error *);
void cuda_cache_free(Backend *, Cache *);
void cuda_cache_write(Backend *, Cache *, int layer, size_t first, size_t tokens, const float *k, const float *v);
void cuda_cache_follow(Backend *, Cache *, const int32_t *from, size_t positions);
void cuda_attention(Backend *, const Cache *, int layer, const AttentionShape *, const float *q, size_t first,
                    size_t tokens, float *y);

// What layers remember (recurrence_cuda.c).
void cuda_convolve(Backend *, const ConvolutionShape *, const float *x, size_t first, size_t tokens, float *tail,
                   float *y);
void cuda_recur(Backend *, const RecurrenceShape *, const float *q, const float *k, const float *v, const float *steps,
                const float *rates, size_t first, size_t tokens, float *state, float *y);

// Recorded steps (step_cuda.c).
bool cuda_step_begin(Backend *);
Step *cuda_step_end(Backend *);
bool cuda_step_run(Backend *, Step *, const int32_t *ids, size_t first);
void cuda_step_free(Backend *, Step *);
