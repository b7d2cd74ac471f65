// What a transformer needs from a machine: memory, linears in every scheme, and the operations between them. The
// forward pass in model/ is written once against this table; kernels/cpu is the reference, its scalar paths being the
// truth for every other kernel.
//
// Activations are float, row-major [tokens, width], in memory of the backend. Operations may run asynchronously:
// synchronize before reading a result on the host. Operations cannot fail: what can be refused is refused when a Weight
// or a buffer is made.
#pragma once

#include "kernels/nonlinearity.h"
#include "kernels/quantized.h"

typedef enum Precision {
    PRECISION_NATIVE, // products may round activations to 16 bits (dense ones where the weights have 16), cache 16-bit
    PRECISION_F32,    // activations, products and cache in float: for comparing with other implementations
} Precision;

typedef struct Backend Backend;
typedef struct Weight Weight;   // one linear, packed for this backend
typedef struct Cache Cache;     // keys and values of some sequences, all layers
typedef struct Step Step;       // a recorded decode step
typedef struct Mixture Mixture; // the experts of a layer

typedef struct AttentionShape {
    int heads, kv_heads, head_dim;
    float scale;   // of the scores, usually head_dim^−½
    int window;    // a token sees this many positions, itself included; 0: all
    bool chunked;  // it sees those of its chunk instead, of which the window is the size
    float softcap; // score = c · tanh(score / c); 0: none
    // Added to the scores of a head by the position that is looked at: [heads, bias_stride] in backend memory (ALiBi);
    // NULL: nothing.
    const float *bias;
    size_t bias_stride;
    // Not 0: the bias is by distance instead, at bias_middle + the position that is looked at − the token's own.
    size_t bias_middle;
    int whole; // every token sees the first `whole` positions, whatever its own is; 0: those up to its own
    const float
        *sinks; // [heads] in backend memory: a score of each head that takes weight and gives nothing; NULL: none
} AttentionShape;

// A convolution over the last `taps` positions, of every channel on its own.
typedef struct ConvolutionShape {
    size_t sequences, channels, taps;
    const float *weight, *bias; // [taps, channels], the last tap that of the token itself; [channels] or NULL
    bool silu;                  // of the result
    size_t stride;              // floats from what one sequence remembers to what the next does
} ConvolutionShape;

// What a layer remembers as one matrix S for every head instead of keys and values; it starts with zeros. By a token,
// t = softplus(step + offset):
//   S ← e^(decay · t) S;  S ← S + k ⊗ r (v − Sᵀk), r = σ(rate)     gated delta rule (arXiv 2412.06464)
//   S ← e^(decay · t) S;  S ← S + k ⊗ t v                          without rates: Mamba 2 (arXiv 2405.21060)
// and it gives Sᵀq + skip · v. By the delta rule k and q are divided by their lengths (√(|k|² + 1e-6)), and q by
// √key_dim. Heads share keys and queries in turn, so many neighbours each: `heads` is a multiple of `key_heads`.
typedef struct RecurrenceShape {
    size_t sequences, heads, key_heads, key_dim, value_dim;
    const float *decay, *offset, *skip; // [heads]; skip may be NULL
    size_t stride;                      // as above
} RecurrenceShape;

enum { MOST_FOLLOWING = 16 };

typedef struct MixtureShape {
    int experts, per_token;
    bool normalized; // the weights of the chosen ones are made to add up to 1
    Nonlinearity activation;
} MixtureShape;

// How weight_from_dense quantizes.
typedef struct WeightQuantizing {
    int bits;
    size_t group;
    DType scale_dtype;
    const float *factors, *divisors; // [in], [out] or NULL: w · factors[i] / divisors[o] is what is quantized
} WeightQuantizing;

// How a token is chosen from a row of logits. At temperature 0 (or less, or NaN) it is the one with the largest, the
// lowest id among equals. Otherwise tokens are as probable as softmax(logits / temperature) says, and the *nucleus* is
// the fewest of the most probable that together reach top_p, lower ids first among equals, at least one and with 1 all.
// The token is the one at `point` of the way through the nucleus's mass, counted in the order of ids. −∞ and NaN are
// never chosen; of +∞ one is as probable as another. From a row without a number comes id 0, whose probability is NaN.
// kernels/sampling.h is the exact definition: the same logits give the same token on every backend.
typedef struct Draw {
    float temperature, top_p;
    const double *points; // [rows] in [0, 1), on the host; not read at temperature 0
} Draw;

// As count_patterns, absmax_update and count_standing_out of kernels/host/measure.h.
typedef struct ActivationCounts {
    uint64_t *patterns;       // [65536], added to
    float *channel_absmax;    // [width], raised
    uint32_t *channel_tokens; // [width], added to
    float *token_absmax;      // [tokens], set
} ActivationCounts;

typedef struct BackendOps {
    const char *name; // "cpu"
    // weight_dense does not read its data, but computing the linear does: the address must stay reserved as long as the
    // Weight exists. Otherwise the data has been copied once work is synchronized.
    bool dense_in_place;
    // ---- Operations that every backend has ----
    void (*destroy)(Backend *);
    // "avx512 ×2": what is used, for the screen; static or owned by the backend.
    const char *(*describe)(const Backend *);

    void *(*memory_new)(Backend *, size_t bytes, Error *); // zeroed; NULL with err set
    void (*memory_free)(Backend *, void *);
    void (*upload)(Backend *, void *device, const void *host, size_t bytes);
    void (*download)(Backend *, void *host, const void *device, size_t bytes); // waits for pending work
    void (*synchronize)(Backend *);

    // A dense linear y = W x (+ bias). `data` [out, in] of F32, F16 or BF16. bias: [out] floats, copied, or NULL.
    bool (*weight_dense)(Backend *, DType dtype, const void *data, size_t out, size_t in, const float *bias, Precision,
                         Weight **, Error *);
    // A quantized linear; the QuantizedWeight and the scheme (with its divisor) are copied into the packed form. With
    // ACTIVATION_NONE the activations stay floating point (weight-only): a backend may keep them as integers relative
    // to the largest of 128 neighbours: of 16 bits, or with PRECISION_F32 of 24, never fewer. Otherwise the product is
    // integer: y = s_x · Σ_g s_{w,g} · (Σ_{j∈g} q_w q_x), int32 inside, groups added in order in float. q_x = rint(x /
    // divisor · (1 / s_x)), halves to even, within ±127, with the reciprocal rounded to float once; a token whose s_x
    // would be 0 (or subnormal) has codes 0; one that holds a NaN or an infinity yields NaN. Other grids: asymmetric
    // q_w is code − zero; log2's is sign · 2^(|code| − 1) with s_w · 2^(1 − qmax), in floating point at 8 bits;
    // two-level's sum is s_x · s_w · Σ_g factor_g · (Σ_{j∈g} q_w q_x), all but s_x and s_w integer. ACTIVATION_CHANNEL
    // is a weight-only product of rounded activations. Refused: other bits than 2, 3, 4, 8; a static scale that is not
    // a positive normal number; integer products of more than 131,072 inputs; a grid that the backend does not know.
    bool (*weight_quantized)(Backend *, const QuantizedWeight *, const ActivationScheme *, const float *bias, Precision,
                             Weight **, Error *);
    // A quantized linear from a dense one, on the spot, of the same precision: the same codes and scales as quant/
    // computes on the symmetric grid. errors [out, 2] on the host, or NULL: Σ w² and Σ (w − ŵ)² of each row, to 10⁻⁶
    // of their size. err when a weight is not finite.
    bool (*weight_from_dense)(Backend *, const Weight *dense, const WeightQuantizing *, const ActivationScheme *,
                              const float *bias, double *errors, Weight **, Error *);
    void (*weight_free)(Backend *, Weight *);
    size_t (*weight_bytes)(const Weight *); // what one use of it reads from memory

    void (*linear)(Backend *, const Weight *, const float *x, size_t tokens, float *y); // [tokens, in] → [tokens, out]
    // Several linears of the same x, each with its own y: the same results as one by one, but for the order of sums.
    void (*linears)(Backend *, const Weight *const *, size_t count, const float *x, size_t tokens, float *const *y);

    // y [tokens, width] = rows `ids` of the table. Table and ids are on the host, the table at any alignment: a device
    // gathers the rows there and uploads no more than it needs.
    void (*embed)(Backend *, DType, const void *table, size_t width, const int32_t *ids, size_t tokens, float *y);
    // y [tokens, width] = rows first … first + tokens − 1 of such a table: learned positions.
    void (*embed_positions)(Backend *, DType, const void *table, size_t width, size_t first, size_t tokens, float *y);
    // Norms over rows; y may be x.
    void (*rms_norm)(Backend *, const float *x, const float *gain, float eps, size_t tokens, size_t width, float *y);
    void (*add)(Backend *, float *x, const float *y, size_t n);                            // x += y
    void (*silu_times)(Backend *, const float *gate, const float *up, size_t n, float *y); // y = silu(gate) · up
    // Rotates pairs (i, i + rotated/2), or the adjacent ones (2i, 2i + 1), of the first `rotated` dimensions of every
    // head in place; cosine/sine: [positions, rotated/2], row `first + token`.
    void (*rope)(Backend *, float *x, size_t tokens, int heads, int head_dim, int rotated, bool adjacent,
                 const float *cosine, const float *sine, size_t first);
    // gain and bias [gains, width]: row r has those of r % gains.
    void (*layer_norm)(Backend *, const float *x, const float *gain, const float *bias, size_t gains, float eps,
                       size_t tokens, size_t width, float *y);
    // y = f(x), or f(x) · up unless up is NULL; y may be x or up.
    void (*activate)(Backend *, Nonlinearity f, const float *x, const float *up, size_t n, float *y);
    void (*xielu)(Backend *, const Xielu *, const float *x, size_t n, float *y); // y may be x
    // x *= factor; factor 0 clears whatever was there, NaN too.
    void (*scale)(Backend *, float *x, float factor, size_t n);
    void (*softcap)(Backend *, float *x, float cap, size_t n); // x = cap · tanh(x / cap)
    void (*clamp)(Backend *, float *x, float limit, size_t n); // x within ± limit ≥ 0; NaN stays NaN
    // x [tokens, groups, widths[0] + widths[1] + …] → y[i] [tokens, groups, widths[i]]: splits the outputs of a fused
    // linear. A part whose y[i] is NULL is left out.
    void (*split)(Backend *, const float *x, size_t tokens, size_t groups, const size_t *widths, int parts,
                  float *const *y);
    // The way back: x[i] [tokens, groups, widths[i]] side by side. A part that is common has one row for all groups of
    // a token, and NULL stands for zeros.
    void (*join)(Backend *, const float *const *x, size_t tokens, size_t groups, const size_t *widths,
                 const bool *common, int parts, float *y);
    // y[i] = x[rows[i]], and the way back: y[rows[i]] += factors[i] · x[i]. rows and factors [n] are on the host.
    void (*gather)(Backend *, const float *x, size_t width, const int32_t *rows, size_t n, float *y);
    void (*scatter_add)(Backend *, const float *x, size_t width, const int32_t *rows, const float *factors, size_t n,
                        float *y);
    // y [rows, width] += sigmoid(gates[row]) · x.
    void (*gated_add)(Backend *, const float *gates, const float *x, size_t rows, size_t width, float *y);
    // y[i] [rows, width] += Σ_p coefficients[row, i, p] · x[p] [rows, width]: `from` matrices one behind the other in
    // x, `to` in y, which is not x.
    void (*blend_add)(Backend *, const float *coefficients, const float *x, size_t from, size_t rows, size_t width,
                      float *y, size_t to);
    // Rows of x [rows, width] become as large as those of `like`, in place: x · √(mean of like²) / √max(mean of x²,
    // least).
    void (*match_size)(Backend *, float *x, const float *like, float least, size_t rows, size_t width);
    // x [rows, width] = max(0, x − limit) in place, where the limit of a row is its mean and so many of its standard
    // deviations, √(mean of (x − mean)²). NaN stays NaN, here and above.
    void (*cut_below)(Backend *, float *x, float deviations, size_t rows, size_t width);

    // Of each row of logits [rows, vocab] one token, and its softmax probability at temperature 1, on the host; vocab
    // at most 2^24.
    void (*choose)(Backend *, const float *logits, size_t rows, size_t vocab, const Draw *, int32_t *ids,
                   float *probabilities);

    // F32, F16, BF16, or I8: a scale per head and token, absmax / 127. Sequences run side by side: `tokens` is
    // what each of them gets, and rows of k, v, q and y are those of the first sequence, then those of the second …
    bool (*cache_new)(Backend *, int layers, size_t sequences, int kv_heads, int head_dim, size_t positions, DType,
                      Cache **, Error *);
    void (*cache_free)(Backend *, Cache *);
    // Stores k and v [sequences · tokens, kv_heads · head_dim] of one layer at positions first … first + tokens − 1.
    void (*cache_write)(Backend *, Cache *, int layer, size_t first, size_t tokens, const float *k, const float *v);
    // Sequence s goes on where from[s] was: its first `positions` become those of that one, in all layers. At most
    // MOST_FOLLOWING sequences.
    void (*cache_follow)(Backend *, Cache *, const int32_t *from, size_t positions);
    // Causal attention of q [sequences · tokens, heads · head_dim] at positions first … over the cached positions 0 …
    // first + token, or the last of them (window), or all the same ones (whole); score = q · k · scale, capped, plus
    // bias; softmax in float.
    void (*attention)(Backend *, const Cache *, int layer, const AttentionShape *, const float *q, size_t first,
                      size_t tokens, float *y);

    // Layers that remember instead of looking back. What a sequence remembers lies in backend memory, `stride` floats
    // behind that of the sequence before; at position 0 it counts as zeros, whatever lies there. Afterwards it is what
    // it must be before position first + tokens. Rows are those of the first sequence, then those of the second …
    // x → y [sequences · tokens, channels], y not x; tail [taps − 1, channels]: the last inputs. With one tap nothing
    // is remembered, and tail may be NULL.
    void (*convolve)(Backend *, const ConvolutionShape *, const float *x, size_t first, size_t tokens, float *tail,
                     float *y);
    // q, k [rows, key_heads · key_dim], v and y [rows, heads · value_dim], steps and rates [rows, heads]; rates NULL:
    // no delta rule. y is none of the others. state [heads, key_dim, value_dim].
    void (*recur)(Backend *, const RecurrenceShape *, const float *q, const float *k, const float *v,
                  const float *steps, const float *rates, size_t first, size_t tokens, float *state, float *y);

    // ---- From here on NULL where a backend has nothing to offer beyond the above ----

    // A device can fail after an operation has returned. It keeps the first failure, runs nothing more, and downloads
    // are NaN. Returns false with that failure in err. Ask before using results.
    bool (*healthy)(Backend *, Error *err);
    // False, with the figures in err, when that many more bytes are not available. Ask before allocating.
    bool (*has_room)(Backend *, size_t bytes, Error *err);

    // Experts that are chosen without the host, so that a step can be recorded. gate, up and down: [experts], which
    // must outlive the mixture. NULL: not these weights, or memory is short; choose on the host then.
    Mixture *(*mixture_new)(Backend *, const MixtureShape *, const Weight *const *gate, const Weight *const *up,
                            const Weight *const *down);
    // y [tokens, hidden] = Σ p · down(f(gate x) · up x) over the experts with the largest of logits [tokens, experts],
    // of equals the first, in the order of experts; p: their softmax probability. False, and nothing happens: too many
    // tokens.
    bool (*mixture)(Backend *, const Mixture *, const float *logits, const float *x, size_t tokens, float *y);
    void (*mixture_free)(Backend *, Mixture *);

    // A decoded token of each sequence, again and again. Between begin and end operations are recorded instead of run;
    // their `first` is where the step will be, and the rows that embed looks up will be those of the step's tokens.
    // step_begin returns false, or step_end NULL, when it cannot be recorded: run the operations as usual. step_run
    // takes as many ids as embed was given. It returns false when memory was allocated or freed since, and the step
    // must be recorded again. One or two embeds of the same ids, before all that depends on the position, one
    // embed_positions at most, and nothing that the host must see in between.
    bool (*step_begin)(Backend *);
    Step *(*step_end)(Backend *);
    bool (*step_run)(Backend *, Step *, const int32_t *ids, size_t first);
    void (*step_free)(Backend *, Step *);

    // Statistics of x [tokens, width], added to what is in `counts` (on the host) already.
    bool (*measure)(Backend *, const float *x, size_t tokens, size_t width, const ActivationCounts *counts, Error *err);

    // From now on these families of kernels (bits by KernelFamily and MANY_PAIRS, kernels/prove.h) are not used, and
    // the others are. Before any weight is made.
    void (*avoid)(Backend *, unsigned families);
} BackendOps;

struct Backend {
    const BackendOps *ops; // first member of every implementation
};

// Whether the operations that every backend must have are there, and of each optional group all or none. Asserted where
// backends are made, so that a missing operation is not found only when it is called.
bool backend_is_complete(const BackendOps *ops);

// threads 0: all cores this process may use. Kernels are chosen by what the processor has;
// QUANTDIAL_CPU=scalar|avx2|avx512 forces a set.
bool backend_cpu_new(int threads, Backend **out, Error *err);

// The CUDA backend on one device (0: the first). False, with a sentence for the user, when there is no CUDA in this
// program, no driver, no device, or none that this program holds code for.
bool backend_cuda_new(int device, Backend **out, Error *err);

// For the first line of main: lets threads that wait for each other go to sleep soon, by starting the program again
// with GNU OpenMP's setting for it. Without this a product takes a hundred times as long on a machine that is busy with
// something else. Returns when the setting is there already, or cannot be made.
void backend_cpu_shorten_spin(char **argv);
