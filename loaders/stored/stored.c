// Which tensors of a checkpoint make up a matrix, and whether they fit together. Layouts: compressed-tensors 0.18
// (compressors/pack_quantized), AutoGPTQ 0.7 (qlinear_cuda_old.py), AutoAWQ 0.2 (modules/linear/gemm.py), transformers
// (integrations/finegrained_fp8.py), mlx-lm 0.32 (utils.py; mlx.core.quantize).
#include "loaders/stored/stored.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/array.h"
#include "base/memory.h"
#include "loaders/gguf_formats.h"
#include "loaders/mlx_names.h"
#include "loaders/recognize_tensors.h"
#include "loaders/stored/stored_parts.h"

#define WEIGHT ".weight"
#define GGUF_READ "read are Q4_0 … Q8_0, Q2_K … Q6_K, IQ4_NL, IQ4_XS and MXFP4"
#define MOST_ELEMENTS ((uint64_t)1 << 40) // of one matrix; keeps every product below within 64 bits

typedef struct MadeTensor {
    Tensor tensor;
    StoredMatrix matrix;
    char stored[48];
} MadeTensor;

struct StoredSet {
    const Checkpoint *checkpoint;
    StoredConfig config;
    MadeTensor **made;
    size_t count, capacity;
    pthread_mutex_t lock;               // of what follows
    size_t kept_bytes, most_kept_bytes; // of matrices that are not held but will be needed again
    char warning[400];
};

// One search for a tensor: the parts are looked up by the name without ".weight".
typedef struct Search {
    StoredSet *set;
    const char *stem;
    size_t stem_length;
    StoredMatrix m;
    char stored[48];
    Error *err;
} Search;

// ---- Parts ----

static const Tensor *search_part(const Search *s, const char *ending) {
    char name[512];
    int n = snprintf(name, sizeof name, "%.*s%s", (int)s->stem_length, s->stem, ending);
    return n > 0 && (size_t)n < sizeof name ? checkpoint_find(s->set->checkpoint, name) : NULL;
}

__attribute__((format(printf, 3, 4))) static bool refuse(const Search *s, const Tensor *tensor, const char *format,
                                                         ...) {
    char reason[512];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);
    char *shown = text_printable(tensor->name, strlen(tensor->name), false);
    error_set(s->err, "%s: tensor %.200s: %s", tensor->file, shown ? shown : "?", reason);
    free(shown);
    return false;
}

static bool search_need(const Search *s, const Tensor *near, const char *ending, const Tensor **out) {
    *out = search_part(s, ending);
    return *out || refuse(s, near, "%.*s%s, which belongs to it, is missing", (int)s->stem_length, s->stem, ending);
}

static bool is_matrix(const Tensor *tensor, DType dtype) {
    return tensor->dtype == dtype && tensor->rank == 2 && tensor->shape[0] > 0 && tensor->shape[1] > 0;
}

static bool need_words(const Search *s, const Tensor *tensor) {
    return is_matrix(tensor, DTYPE_I32) || is_matrix(tensor, DTYPE_U32) ||
           refuse(s, tensor, "%s of rank %d where a matrix of 32-bit words is expected", dtype_name(tensor->dtype),
                  tensor->rank);
}

static bool set_size(Search *s, const Tensor *tensor, uint64_t out, uint64_t in) {
    if (out == 0 || in == 0 || out > MOST_ELEMENTS || in > MOST_ELEMENTS / out)
        return refuse(s, tensor, "a matrix of %llu × %llu is not valid", (unsigned long long)out,
                      (unsigned long long)in);
    s->m.out = (size_t)out;
    s->m.in = (size_t)in;
    return true;
}

static uint64_t rounded_up(uint64_t n, uint64_t divisor) { return n / divisor + (n % divisor != 0); }

// Words that hold n codes; 0 bits never occur.
static uint64_t words_for(uint64_t n, unsigned bits, bool whole_words) {
    return whole_words ? rounded_up(n, 32 / bits) : rounded_up(n * bits, 32);
}

// The result has the type of the scales.
static bool set_type(Search *s, const Tensor *scales) {
    switch (scales->dtype) {
    case DTYPE_F32:
    case DTYPE_F16:
    case DTYPE_BF16: s->m.dtype = scales->dtype; return true;
    case DTYPE_F64: s->m.dtype = DTYPE_F32; return true;
    case DTYPE_F8_E8M0: s->m.dtype = DTYPE_BF16; return true; // powers of two: nothing is lost
    default: return refuse(s, scales, "scales of type %s are not read", dtype_name(scales->dtype));
    }
}

// ---- Scales and zero points that are numbers ----

static uint64_t rows_of(const Tensor *t) { return t->rank > 0 ? t->shape[0] : 1; }
static uint64_t columns_of(const Tensor *t) { return t->rank > 1 ? t->shape[1] : 1; }

static bool wrong_scales(const Search *s, const Tensor *tensor) {
    return refuse(s, tensor, "its shape does not fit a matrix of %zu × %zu", s->m.out, s->m.in);
}

// One for all, one per row ([out] or [out, 1]), one per group of a row ([out, groups]), or one per block.
static bool set_scales(Search *s, const Tensor *scales) {
    StoredMatrix *m = &s->m;
    uint64_t rows = rows_of(scales), columns = columns_of(scales);
    size_t height = s->set->config.block[0], width = s->set->config.block[1];
    m->scales = (GroupValues){.tensor = scales, .rows_per_value = 1, .row_step = (size_t)columns, .group_step = 1};
    m->groups = (size_t)columns;
    if (scales->rank > 2 || rows == 0 || columns == 0) return wrong_scales(s, scales);
    if (rows == 1 && columns == 1) {
        m->scales.rows_per_value = m->out;
        m->columns = m->in;
        snprintf(s->stored, sizeof s->stored, "tensor");
    } else if (rows == m->out && columns <= m->in && m->in % columns == 0) {
        m->columns = m->in / m->groups;
        if (columns == 1)
            snprintf(s->stored, sizeof s->stored, "channel");
        else
            snprintf(s->stored, sizeof s->stored, "g%zu", m->columns);
    } else if (rows == rounded_up(m->out, height) && columns == rounded_up(m->in, width)) {
        m->scales.rows_per_value = height;
        m->columns = width;
        snprintf(s->stored, sizeof s->stored, "block %zu×%zu", height, width);
    } else {
        return wrong_scales(s, scales);
    }
    return true;
}

// Zero points that are numbers lie as the scales do.
static bool set_zero_numbers(Search *s, const Tensor *zeros) {
    StoredMatrix *m = &s->m;
    bool same = tensor_elements(zeros) == tensor_elements(m->scales.tensor) &&
                rows_of(zeros) == rows_of(m->scales.tensor) && columns_of(zeros) == columns_of(m->scales.tensor);
    if (!same || !dtype_is_number(zeros->dtype)) return wrong_scales(s, zeros);
    m->zero_kind = ZERO_NUMBERS;
    m->zero_numbers = m->scales;
    m->zero_numbers.tensor = zeros;
    return true;
}

// The group of every column, if the file says. compressed-tensors writes −1 where there is no order.
static bool set_g_idx(Search *s, const Tensor *g_idx) {
    StoredMatrix *m = &s->m;
    if (!g_idx) return true;
    if (!m->columns) return wrong_scales(s, g_idx);
    if (g_idx->dtype != DTYPE_I32 || g_idx->rank != 1 || g_idx->shape[0] != m->in)
        return refuse(s, g_idx, "an I32 vector of %zu group numbers is expected", m->in);
    bool in_order = true, none = true;
    for (size_t i = 0; i < m->in; i++) {
        int32_t group;
        memcpy(&group, (const char *)g_idx->data + i * sizeof group, sizeof group);
        none = none && group == -1;
        in_order = in_order && group >= 0 && (size_t)group == i / m->columns;
        if (group < -1 || (group >= 0 && (size_t)group >= m->groups) || (group == -1 && !none))
            return refuse(s, g_idx, "group %d of column %zu does not exist; there are %zu", group, i, m->groups);
    }
    if (in_order || none) return true;
    m->g_idx = g_idx;
    size_t used = strlen(s->stored);
    snprintf(s->stored + used, sizeof s->stored - used, " act-order");
    return true;
}

// ---- Bytes: F8, I8, U8; and F64 ----

static bool find_bytes(Search *s, const Tensor *weight) {
    StoredMatrix *m = &s->m;
    const bool integer = weight->dtype == DTYPE_I8 || weight->dtype == DTYPE_U8;
    m->layout = CODES_BYTES;
    m->codes = weight;
    m->bits = 8;
    m->code_type = weight->dtype;
    if (!set_size(s, weight, weight->shape[0], weight->shape[1])) return false;
    const Tensor *scales = search_part(s, ".weight_scale"), *zeros = search_part(s, ".weight_zero_point");
    if (!scales) scales = search_part(s, ".weight_scale_inv"); // multiplied all the same
    if (!scales && integer)
        return refuse(s, weight,
                      "elements of type %s stand for numbers only with scales, and %.*s.weight_scale is missing",
                      dtype_name(weight->dtype), (int)s->stem_length, s->stem);
    if (!scales) { // BF16 holds every number of 8 bits
        m->dtype = DTYPE_BF16;
        m->groups = 1;
        m->columns = m->in;
        return true;
    }
    return set_type(s, scales) && set_scales(s, scales) && (!zeros || set_zero_numbers(s, zeros)) &&
           set_g_idx(s, search_part(s, ".weight_g_idx"));
}

static bool find_f64(Search *s, const Tensor *weight) {
    s->m.layout = CODES_F64;
    s->m.codes = weight;
    s->m.dtype = DTYPE_F32;
    return set_size(s, weight, rows_of(weight), columns_of(weight));
}

// ---- compressed-tensors, packed ----

// weight_shape is I64 [2]: [out, in].
static bool read_shape(Search *s, const Tensor *shape) {
    int64_t size[2];
    if (shape->dtype != DTYPE_I64 || shape->bytes != sizeof size || shape->rank != 1)
        return refuse(s, shape, "two I64 numbers are expected");
    memcpy(size, shape->data, sizeof size);
    if (size[0] <= 0 || size[1] <= 0) return refuse(s, shape, "sizes must be positive");
    return set_size(s, shape, (uint64_t)size[0], (uint64_t)size[1]);
}

// Whether both ways of packing put every code into the same place.
static bool same_packing(uint64_t n, unsigned bits) { return 32 % bits == 0 || n * bits <= 32; }

// How many widths of codes fit the packed width; the last of them is noted.
static int find_bits(Search *s, uint64_t words, bool whole_words) {
    StoredMatrix *m = &s->m;
    unsigned known = s->set->config.bit_widths ? s->set->config.bit_widths : 0xFF;
    int found = 0;
    for (unsigned bits = 1; bits <= 8; bits++) {
        if (!(known >> (bits - 1) & 1) || words_for(m->in, bits, whole_words) != words) continue;
        m->bits = bits;
        m->whole_words = whole_words && !same_packing(m->in, bits);
        found++;
    }
    return found;
}

// The bits follow from the width, where needed with the help of config.json; and so does the older packing, in which no
// code crosses a word.
static bool set_packing(Search *s, const Tensor *packed) {
    uint64_t words = packed->shape[1];
    bool older = s->set->config.whole_words;
    int found = find_bits(s, words, older);
    if (!found) found = find_bits(s, words, !older);
    if (found == 1) return true;
    return refuse(s, packed, "%llu words per row of %zu codes fit %s number of bits", (unsigned long long)words,
                  s->m.in, found ? "more than one" : "no");
}

// Packed along out, [words, groups], as the weights are; plain numbers when there is one zero point for all.
static bool set_packed_zeros(Search *s, const Tensor *zeros) {
    StoredMatrix *m = &s->m;
    if (!zeros || zeros->dtype != DTYPE_I32) { // these are signed numbers, if any
        m->offset = (float)(1u << (m->bits - 1));
        return !zeros || set_zero_numbers(s, zeros);
    }
    uint64_t dense = words_for(m->out, m->bits, false), whole = words_for(m->out, m->bits, true);
    bool fits = is_matrix(zeros, DTYPE_I32) && zeros->shape[1] == m->groups && m->scales.rows_per_value == 1;
    if (!fits || (zeros->shape[0] != dense && zeros->shape[0] != whole)) return wrong_scales(s, zeros);
    bool older = dense != whole ? zeros->shape[0] == whole : m->whole_words || s->set->config.whole_words;
    m->zero_kind = ZERO_PACKED;
    m->zeros = (PackedZeros){.tensor = zeros,
                             .word_step = m->groups,
                             .group_step = 1,
                             .mask = 0xFF,
                             .whole_words = older && !same_packing(m->out, m->bits)};
    return true;
}

static bool find_packed(Search *s, const Tensor *packed) {
    StoredMatrix *m = &s->m;
    const Tensor *shape, *scales;
    m->layout = CODES_ROWS;
    m->codes = packed;
    m->code_type = DTYPE_U8;
    if (!need_words(s, packed) || !search_need(s, packed, ".weight_shape", &shape) ||
        !search_need(s, packed, ".weight_scale", &scales) || !read_shape(s, shape))
        return false;
    if (packed->shape[0] != m->out)
        return refuse(s, packed, "%llu rows, but weight_shape says %zu", (unsigned long long)packed->shape[0], m->out);
    return set_packing(s, packed) && set_type(s, scales) && set_scales(s, scales) &&
           set_packed_zeros(s, search_part(s, ".weight_zero_point")) && set_g_idx(s, search_part(s, ".weight_g_idx"));
}

// ---- GPTQ and AWQ ----

static bool set_gptq_groups(Search *s, const Tensor *scales) {
    StoredMatrix *m = &s->m;
    const size_t said = s->set->config.group_size;
    m->groups = (size_t)scales->shape[0];
    if (said && rounded_up(m->in, said) == m->groups)
        m->columns = said;
    else if (m->in % m->groups == 0)
        m->columns = m->in / m->groups;
    else
        return wrong_scales(s, scales);
    m->scales = (GroupValues){.tensor = scales, .rows_per_value = 1, .row_step = 1, .group_step = m->out};
    if (m->groups == 1)
        snprintf(s->stored, sizeof s->stored, "channel");
    else
        snprintf(s->stored, sizeof s->stored, "g%zu", m->columns);
    return set_type(s, scales);
}

// Bits follow from the width of the zero points: out · bits / 32 words.
static bool find_gptq(Search *s, const Tensor *codes, const Tensor *zeros, const Tensor *scales) {
    StoredMatrix *m = &s->m;
    const StoredConfig *config = &s->set->config;
    uint64_t out = codes->shape[1];
    m->layout = CODES_COLUMNS;
    for (unsigned bits = 2; bits <= 8; bits++) {
        if (bits <= 4 || bits == 8)
            if (out % (32 / (bits == 3 ? 1u : bits)) == 0 && out * bits / 32 == zeros->shape[1]) m->bits = bits;
    }
    if (!m->bits || codes->shape[0] * 32 % m->bits != 0)
        return refuse(s, zeros, "%llu words for %llu columns fit neither 2, 3, 4 nor 8 bits",
                      (unsigned long long)zeros->shape[1], (unsigned long long)out);
    if (!set_size(s, codes, out, codes->shape[0] * 32 / m->bits) || !set_gptq_groups(s, scales)) return false;
    m->zero_kind = ZERO_PACKED;
    m->zeros = (PackedZeros){.tensor = zeros,
                             .word_step = 1,
                             .group_step = (size_t)zeros->shape[1],
                             .add = config->gptq_v2 ? 0 : 1,
                             .mask = (1u << m->bits) - 1};
    if (!set_g_idx(s, search_part(s, ".g_idx"))) return false;
    m->doubtful = !config->gptq_v2 && !config->symmetric;
    return true;
}

static bool find_awq(Search *s, const Tensor *codes, const Tensor *zeros, const Tensor *scales) {
    StoredMatrix *m = &s->m;
    m->layout = CODES_AWQ;
    m->bits = 4;
    if (zeros->shape[1] != codes->shape[1]) return wrong_scales(s, zeros);
    if (!set_size(s, codes, codes->shape[1] * 8, codes->shape[0]) || !set_gptq_groups(s, scales)) return false;
    m->zero_kind = ZERO_PACKED;
    m->zeros =
        (PackedZeros){.tensor = zeros, .word_step = 1, .group_step = (size_t)zeros->shape[1], .awq = true, .mask = 0xF};
    return true;
}

// Both call the parts the same; the width of the scales, which is `out`, tells them apart.
static bool find_gptq_or_awq(Search *s, const Tensor *codes, const char **name) {
    const Tensor *zeros, *scales;
    s->m.codes = codes;
    s->m.code_type = DTYPE_U8;
    if (!search_need(s, codes, ".qzeros", &zeros) || !search_need(s, codes, ".scales", &scales)) return false;
    if (!need_words(s, codes) || !need_words(s, zeros)) return false;
    if (scales->rank != 2 || scales->shape[0] != zeros->shape[0] || scales->shape[0] == 0)
        return refuse(s, scales, "its shape does not fit the zero points");
    bool gptq = scales->shape[1] == codes->shape[1], awq = scales->shape[1] == codes->shape[1] * 8;
    *name = awq ? "AWQ" : "GPTQ";
    if (gptq) return find_gptq(s, codes, zeros, scales);
    if (awq) return find_awq(s, codes, zeros, scales);
    return refuse(s, codes, "%llu columns and %llu scales fit neither GPTQ nor AWQ (gemm)",
                  (unsigned long long)codes->shape[1], (unsigned long long)scales->shape[1]);
}

// ---- Made tensors ----

static size_t bytes_in_file(const StoredMatrix *m) {
    const Tensor *const parts[] = {m->codes, m->g_idx, m->scales.tensor, m->zero_numbers.tensor, m->zeros.tensor};
    size_t bytes = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) bytes += parts[i] ? tensor_stored_bytes(parts[i]) : 0;
    return bytes;
}

static MadeTensor *made_new(const Search *s, const Tensor *weight, const char *label) {
    MadeTensor *made = array_new(1, sizeof *made);
    if (!made) return NULL;
    made->matrix = s->m;
    StoredMatrix *m = &made->matrix;
    m->set = s->set;
    m->bytes = m->out * m->in * dtype_bytes(m->dtype);
    m->data = mmap(NULL, m->bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (m->data == MAP_FAILED) {
        free(made);
        return NULL;
    }
    pthread_mutex_init(&m->lock, NULL);
    const bool same = !*label; // then what it is made from says how it is stored
    if (!same) snprintf(made->stored, sizeof made->stored, "%s%s%s", label, s->stored[0] ? " " : "", s->stored);
    made->tensor = (Tensor){.dtype = m->dtype,
                            .rank = 2,
                            .shape = {m->out, m->in},
                            .data = m->data,
                            .bytes = m->bytes,
                            .file = m->codes->file,
                            .stored = same ? m->codes->stored : made->stored,
                            .stored_bytes = bytes_in_file(m),
                            .made = m};
    if (weight && weight->rank == 1) made->tensor.rank = 1;
    return made;
}

static void made_free(MadeTensor *made) {
    if (made->matrix.data) munmap(made->matrix.data, made->matrix.bytes);
    pthread_mutex_destroy(&made->matrix.lock);
    free((char *)(uintptr_t)made->tensor.name);
    free(made);
}

static bool search_keep(Search *s, const char *name, const Tensor *weight, const char *label, const Tensor **out) {
    StoredSet *set = s->set;
    if (!array_grow(&set->made, set->count, &set->capacity, sizeof(void *))) return error_memory(s->err, name);
    MadeTensor *made = made_new(s, weight, label);
    if (!made) return error_memory(s->err, name);
    made->tensor.name = strdup(name);
    set->made[set->count++] = made;
    if (!made->tensor.name) return error_memory(s->err, name);
    *out = &made->tensor;
    // Vectors are small, and read in many places: they stay.
    return made->tensor.rank == 2 || tensor_hold(&made->tensor, s->err);
}

// ---- Finding ----

static bool find_bytes_or_f64(Search *s, const char *name, const Tensor *weight, const Tensor **out) {
    bool wide = weight->dtype == DTYPE_F64;
    if (wide ? weight->rank != 1 && !is_matrix(weight, DTYPE_F64) : !is_matrix(weight, weight->dtype)) return true;
    if (s->set->config.refusal[0] && !wide) return refuse(s, weight, "%s", s->set->config.refusal);
    return (wide ? find_f64(s, weight) : find_bytes(s, weight)) &&
           search_keep(s, name, weight, dtype_name(weight->dtype), out);
}

static bool find_codes(Search *s, const char *name, const Tensor **out) {
    const Tensor *packed = search_part(s, ".weight_packed"), *codes = search_part(s, ".qweight");
    const char *kind = "compressed-tensors";
    char label[40];
    if (!packed && !codes) return true;
    if (s->set->config.refusal[0]) return refuse(s, packed ? packed : codes, "%s", s->set->config.refusal);
    if (packed ? !find_packed(s, packed) : !find_gptq_or_awq(s, codes, &kind)) return false;
    snprintf(label, sizeof label, "%s %u-bit", kind, s->m.bits);
    return search_keep(s, name, NULL, label, out);
}

// ---- MLX ----

// What config.json says of a module, or of all.
static bool mlx_sizes(const Search *s, const Tensor *codes, int64_t *bits, int64_t *group) {
    const cJSON *all = s->set->config.mlx, *own;
    const char *mode;
    char name[512], experts[512];
    Error why = {0};
    snprintf(name, sizeof name, "%.*s", (int)s->stem_length, s->stem);
    if (!all)
        return refuse(s, codes,
                      "is quantized by MLX, and config.json, which knows bits and groups, says nothing of it");
    own = cJSON_GetObjectItemCaseSensitive(all, name);
    if (!own && mlx_experts_name(name, experts, sizeof experts)) own = cJSON_GetObjectItemCaseSensitive(all, experts);
    if (!cJSON_IsObject(own)) own = all;
    if (!json_integer(own, "bits", 4, 2, 8, bits, &why) ||
        !json_integer(own, "group_size", 64, 1, 1 << 24, group, &why) ||
        !json_string(own, "mode", "affine", &mode, &why))
        return refuse(s, codes, "config.json, quantization: %s", why.message);
    return strcmp(mode, "affine") == 0 || refuse(s, codes, "MLX's mode \"%.40s\" is not read, only affine", mode);
}

static bool find_mlx(Search *s, const char *name, const Tensor *codes, const Tensor *scales, const Tensor **out) {
    StoredMatrix *m = &s->m;
    const Tensor *biases;
    int64_t bits = 4, group = 64;
    char label[40];
    if (!search_need(s, codes, ".biases", &biases) || !need_words(s, codes) || !mlx_sizes(s, codes, &bits, &group))
        return false;
    m->layout = CODES_ROWS;
    m->codes = codes;
    m->code_type = DTYPE_U8;
    m->bits = (unsigned)bits;
    if (codes->shape[1] * 32 % (uint64_t)bits != 0 || (codes->shape[1] * 32 / (uint64_t)bits) % (uint64_t)group != 0)
        return refuse(s, codes, "%llu words per row hold no groups of %lld codes of %lld bits",
                      (unsigned long long)codes->shape[1], (long long)group, (long long)bits);
    if (!set_size(s, codes, codes->shape[0], codes->shape[1] * 32 / (uint64_t)bits)) return false;
    if (scales->rank != 2 || scales->shape[0] != m->out || scales->shape[1] != m->in / (uint64_t)group)
        return wrong_scales(s, scales);
    if (!set_type(s, scales) || !set_scales(s, scales) || !set_zero_numbers(s, biases)) return false;
    m->zero_kind = ZERO_BIASES;
    snprintf(s->stored, sizeof s->stored, "g%lld", (long long)group);
    snprintf(label, sizeof label, "MLX %u-bit", m->bits);
    return search_keep(s, name, NULL, label, out);
}

// ---- GGUF ----

// Blocks become floats, so that nothing is lost; gains too, since they lose one.
static bool find_gguf(Search *s, const char *name, const Tensor *tensor, const Tensor **out) {
    const TensorForm *form = tensor->form;
    const GgufFormat *format = form->format;
    char label[32] = "";
    *out = tensor;
    if (tensor->rank > 2 || (format->columns == 1 && !dtype_is_float16_or_32(format->dtype))) return true;
    if (format->columns > 1) {
        if (!format->unpack) return refuse(s, tensor, "elements of type %s are not read; " GGUF_READ, format->name);
        snprintf(label, sizeof label, "GGUF %s %.3g-bit", format->name, 8.0 * format->bytes / format->columns);
    }
    if (form->paired && (form->paired % 2 || rows_of(tensor) % form->paired))
        return refuse(s, tensor, "%llu rows are no heads of %zu", (unsigned long long)rows_of(tensor), form->paired);
    s->m.layout = CODES_GGUF;
    s->m.codes = tensor;
    s->m.dtype = format->columns > 1 || form->plus_one ? DTYPE_F32 : format->dtype;
    return set_size(s, tensor, rows_of(tensor), columns_of(tensor)) && search_keep(s, name, tensor, label, out);
}

bool stored_transposed(StoredSet *set, const Tensor *tensor, const Tensor **out, Error *err) {
    Search s = {.set = set, .err = err, .m = {.layout = CODES_TRANSPOSED, .codes = tensor, .dtype = tensor->dtype}};
    return set_size(&s, tensor, tensor->shape[1], tensor->shape[0]) && search_keep(&s, tensor->name, NULL, "", out);
}

// ---- Experts ----

// Part `index` of a tensor, as if the file held it as a matrix of these rows and columns. NULL when memory is short.
static Tensor *expert_slice(StoredSet *set, const Tensor *tensor, const char *name, DType dtype, size_t rows,
                            size_t columns, size_t index) {
    if (!array_grow(&set->made, set->count, &set->capacity, sizeof(void *))) return NULL;
    MadeTensor *made = array_new(1, sizeof *made);
    char *copy = strdup(name);
    if (!made || !copy) {
        free(made);
        free(copy);
        return NULL;
    }
    pthread_mutex_init(&made->matrix.lock, NULL);
    const GgufFormat *format = tensor->form ? tensor->form->format : NULL;
    const size_t bytes = rows * (format ? columns / format->columns * format->bytes : columns * dtype_bytes(dtype));
    made->tensor = (Tensor){.name = copy,
                            .dtype = dtype,
                            .rank = 2,
                            .shape = {rows, columns},
                            .data = (const char *)tensor->data + index * bytes,
                            .bytes = bytes,
                            .file = tensor->file,
                            .whole = tensor,
                            .form = tensor->form};
    set->made[set->count++] = made;
    return &made->tensor;
}

static bool find_mxfp4(Search *s, const Tensor *tensor, const ExpertLayout *layout, size_t expert, const Tensor **out) {
    const size_t blocks = layout->in / 32;
    const int stem = (int)strlen(tensor->name) - (int)strlen("_blocks");
    char name[512];
    snprintf(name, sizeof name, "%.*s_scales", stem, tensor->name);
    const Tensor *scales = checkpoint_find(s->set->checkpoint, name);
    if (!scales) return refuse(s, tensor, "%s, which belongs to it, is missing", name);
    s->m.layout = CODES_E2M1;
    s->m.bits = 4;
    s->m.codes = expert_slice(s->set, tensor, s->stem, DTYPE_I32, layout->out, layout->in / 8, expert);
    scales = expert_slice(s->set, scales, s->stem, DTYPE_F8_E8M0, layout->out, blocks, expert);
    if (!s->m.codes || !scales) return error_memory(s->err, tensor->name);
    s->m.scales = (GroupValues){.tensor = scales, .rows_per_value = 1, .row_step = blocks, .group_step = 1};
    s->m.groups = blocks;
    s->m.columns = 32;
    return set_size(s, tensor, layout->out, layout->in) && set_type(s, scales) &&
           search_keep(s, s->stem, NULL, "MXFP4", out);
}

static bool has_scales(const StoredSet *set, const Tensor *tensor) {
    static const char *const endings[] = {"_scale", "_scale_inv", "_scales", "_weight_scale", "_weight_scale_inv"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char name[512];
        snprintf(name, sizeof name, "%s%s", tensor->name, endings[i]);
        if (checkpoint_find(set->checkpoint, name)) return true;
    }
    return false;
}

bool stored_experts_known(StoredSet *set, const Tensor *tensor, const ExpertLayout *layout, Error *err) {
    const Search s = {.set = set, .err = err};
    const DType dtype = tensor->dtype;
    const bool bytes = dtype == DTYPE_F8_E4M3 || dtype == DTYPE_F8_E5M2;
    if (layout->mxfp4 || (tensor->form && tensor->form->format->unpack)) return true;
    if (tensor->form)
        return refuse(&s, tensor, "elements of type %s are not read; " GGUF_READ, tensor->form->format->name);
    if (tensor->made) return refuse(&s, tensor_in_file(tensor), "experts that share a quantized matrix are not read");
    if (bytes && set->config.refusal[0]) return refuse(&s, tensor, "%s", set->config.refusal);
    if (bytes && has_scales(set, tensor))
        return refuse(&s, tensor, "experts of type %s with scales are not read", dtype_name(dtype));
    return bytes || dtype == DTYPE_F64 || dtype_is_float16_or_32(dtype) ||
           refuse(&s, tensor, "experts of type %s are not read", dtype_name(dtype));
}

bool stored_expert(StoredSet *set, const Tensor *tensor, const ExpertLayout *layout, size_t expert, const char *name,
                   const Tensor **out, Error *err) {
    Search s = {.set = set, .stem = name, .stem_length = strlen(name), .err = err};
    if (layout->mxfp4) return find_mxfp4(&s, tensor, layout, expert, out);
    const size_t rows = layout->transposed ? layout->in : layout->out,
                 columns = layout->transposed ? layout->out : layout->in;
    *out = expert_slice(set, tensor, name, tensor->dtype, rows, columns, expert);
    if (!*out) return error_memory(err, tensor->name);
    if (tensor->form) return find_gguf(&s, name, *out, out);
    if (!dtype_is_float16_or_32(tensor->dtype) && !find_bytes_or_f64(&s, name, *out, out)) return false;
    return !layout->transposed || stored_transposed(set, *out, out, err);
}

bool stored_row(StoredSet *set, const Tensor *tensor, size_t row, const Tensor **out, Error *err) {
    const size_t columns = (size_t)tensor->shape[1];
    Tensor *slice = expert_slice(set, tensor, tensor->name, tensor->dtype, 1, columns, row);
    *out = slice;
    if (!slice) return error_memory(err, tensor->name);
    slice->rank = 1;
    slice->shape[0] = columns;
    return true;
}

const Tensor *tensor_in_file(const Tensor *tensor) {
    while (tensor->made) tensor = tensor->made->codes;
    return tensor->whole ? tensor->whole : tensor;
}

bool tensor_intact(const Checkpoint *checkpoint, const Tensor *tensor, Error *err) {
    const char *path = tensor_in_file(tensor)->file;
    for (size_t f = 0; checkpoint && f < checkpoint->file_count; f++) {
        const TensorFile *file = &checkpoint->files[f];
        if (strcmp(file->path, path) == 0) return !file->mapping || mapping_intact(file->mapping, file->path, err);
    }
    return true;
}

bool tensor_is_slice(const Tensor *tensor) {
    while (tensor->made) tensor = tensor->made->codes;
    return tensor->whole != NULL;
}

// ---- Names ----

static bool is_read_as_it_is(DType dtype) {
    return dtype != DTYPE_F64 && dtype != DTYPE_F8_E4M3 && dtype != DTYPE_F8_E5M2 && dtype != DTYPE_I8 &&
           dtype != DTYPE_U8;
}

bool stored_find(StoredSet *set, const char *name, const Tensor **out, Error *err) {
    size_t length = strlen(name), ending = strlen(WEIGHT);
    bool is_weight = length > ending && strcmp(name + length - ending, WEIGHT) == 0;
    Search s = {.set = set, .stem = name, .stem_length = is_weight ? length - ending : length, .err = err};
    const Tensor *tensor = checkpoint_find(set->checkpoint, name);
    *out = tensor;
    if (tensor && tensor->form) return find_gguf(&s, name, tensor, out);
    const Tensor *scales = tensor && is_weight && is_matrix(tensor, DTYPE_U32) ? search_part(&s, ".scales") : NULL;
    if (scales) return find_mlx(&s, name, tensor, scales, out);
    if (tensor && is_read_as_it_is(tensor->dtype)) return true;
    if (tensor) return find_bytes_or_f64(&s, name, tensor, out);
    return !is_weight || find_codes(&s, name, out);
}

bool stored_has(const Checkpoint *checkpoint, const char *name) {
    static const char *const endings[] = {".weight_packed", ".qweight"};
    size_t length = strlen(name), ending = strlen(WEIGHT);
    if (checkpoint_find(checkpoint, name)) return true;
    if (length < ending || strcmp(name + length - ending, WEIGHT) != 0) return false;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        char other[512];
        snprintf(other, sizeof other, "%.*s%s", (int)(length - ending), name, endings[i]);
        if (checkpoint_find(checkpoint, other)) return true;
    }
    return false;
}

// Parts of matrices by the endings of their names.
static const struct {
    const char *ending, *sibling; // what makes it a part, when it is there
    bool codes;
    const char *third; // has to be there, too; or NULL
} part_names[] = {
    {".qweight", ".qzeros", true, NULL},
    {".qzeros", ".qweight", false, NULL},
    {".scales", ".qweight", false, NULL},
    {".weight", ".scales", true, ".biases"},
    {".scales", ".weight", false, ".biases"},
    {".biases", ".weight", false, ".scales"},
    {".g_idx", ".qweight", false, NULL},
    {".weight_packed", ".weight_scale", true, NULL},
    {".weight_shape", ".weight_packed", false, NULL},
    {".weight_g_idx", ".weight_scale", false, NULL},
    {".weight_zero_point", ".weight_scale", false, NULL},
    {".weight_scale", ".weight_packed", false, NULL},
    {".weight_scale", ".weight", false, NULL},
    {".weight_scale_inv", ".weight", false, NULL},
    {".input_scale", ".weight", false, NULL},
    {".input_zero_point", ".weight", false, NULL},
    {"_scales", "_blocks", false, NULL},
};

static const Tensor *find_beside(const Checkpoint *checkpoint, const Tensor *tensor, size_t stem, const char *ending) {
    char other[512];
    snprintf(other, sizeof other, "%.*s%s", (int)stem, tensor->name, ending);
    return checkpoint_find(checkpoint, other);
}

// The row of part_names that a tensor fits, its sibling, and the length of what they share; −1 when it fits none.
static int find_part(const Checkpoint *checkpoint, const Tensor *tensor, size_t *stem, const Tensor **sibling) {
    const size_t length = strlen(tensor->name);
    for (size_t i = 0; i < sizeof part_names / sizeof *part_names; i++) {
        const size_t ending = strlen(part_names[i].ending);
        *stem = length - ending;
        if (length < ending || strcmp(tensor->name + *stem, part_names[i].ending) != 0) continue;
        *sibling = find_beside(checkpoint, tensor, *stem, part_names[i].sibling);
        if (*sibling && (!part_names[i].third || find_beside(checkpoint, tensor, *stem, part_names[i].third)))
            return (int)i;
    }
    return -1;
}

bool stored_is_part(const Checkpoint *checkpoint, const Tensor *tensor, char *name, size_t size) {
    size_t stem;
    const Tensor *sibling;
    const int part = find_part(checkpoint, tensor, &stem, &sibling);
    name[0] = '\0';
    if (part >= 0 && part_names[part].codes) snprintf(name, size, "%.*s" WEIGHT, (int)stem, tensor->name);
    return part >= 0;
}

const Tensor *stored_companion(const Checkpoint *checkpoint, const Tensor *tensor) {
    size_t stem;
    const Tensor *sibling;
    return find_part(checkpoint, tensor, &stem, &sibling) >= 0 ? sibling : NULL;
}

// ---- The set ----

bool stored_open_with(const Checkpoint *checkpoint, const StoredConfig *config, StoredSet **out, Error *err) {
    *out = array_new(1, sizeof **out);
    if (!*out) {
        cJSON_Delete(config->mlx);
        return error_memory(err, "the list of stored weights");
    }
    (*out)->checkpoint = checkpoint;
    (*out)->config = *config;
    (*out)->most_kept_bytes = memory_available() / 2;
    pthread_mutex_init(&(*out)->lock, NULL);
    return true;
}

bool stored_open(const Checkpoint *checkpoint, StoredSet **out, Error *err) {
    StoredConfig config;
    Error reason = {0};
    *out = NULL;
    if (!recognize_tensors(checkpoint, err)) return false;
    if (!stored_config_read(checkpoint->documents, &config, &reason)) {
        // Plain tensors can still be read.
        stored_config_free(&config);
        config = (StoredConfig){.block = {128, 128}};
        snprintf(config.refusal, sizeof config.refusal, "%.*s", (int)sizeof config.refusal - 1, reason.message);
        text_mend(config.refusal);
    }
    return stored_open_with(checkpoint, &config, out, err);
}

void stored_close(StoredSet *set) {
    if (!set) return;
    for (size_t i = 0; i < set->count; i++) made_free(set->made[i]);
    pthread_mutex_destroy(&set->lock);
    stored_config_free(&set->config);
    free(set->made);
    free(set);
}

void stored_keep_at_most(StoredSet *set, size_t bytes) {
    pthread_mutex_lock(&set->lock);
    set->most_kept_bytes = bytes;
    pthread_mutex_unlock(&set->lock);
}

// ---- Doubts ----

// Whether some code in a word of packed codes has all its bits set.
static bool has_full_code(uint32_t word, unsigned bits, uint32_t lowest) {
    uint32_t all = word;
    for (unsigned i = 1; i < bits; i++) all &= word >> i;
    return all & lowest;
}

// In v1 a stored 2^bits − 1 comes from a zero point of 0, but there are kernels that read it as 2^bits.
static bool has_largest_zero(const StoredMatrix *m) {
    const Tensor *zeros = m->zeros.tensor;
    const uint32_t largest = (1u << m->bits) - 1, lowest = UINT32_MAX / largest;
    if (32 % m->bits == 0) {
        for (size_t i = 0; i < zeros->bytes / sizeof(uint32_t); i++) {
            uint32_t word;
            memcpy(&word, (const char *)zeros->data + i * sizeof word, sizeof word);
            if (has_full_code(word, m->bits, lowest)) return true;
        }
        return false;
    }
    for (size_t group = 0; group < m->groups; group++) {
        for (size_t row = 0; row < m->out; row++) {
            if (stored_zero_code(m, row, group) == largest) return true;
        }
    }
    return false;
}

const char *stored_warning(StoredSet *set) {
    size_t ambiguous = 0;
    for (size_t i = 0; i < set->count; i++)
        ambiguous += set->made[i]->matrix.doubtful && has_largest_zero(&set->made[i]->matrix);
    if (ambiguous) {
        snprintf(set->warning, sizeof set->warning,
                 "%zu of the GPTQ matrices have zero points stored as the largest code: written for 0, but some "
                 "engines read "
                 "2^bits; read as 0 here. With a checkpoint_format of gptq_v2 there would be no doubt",
                 ambiguous);
    }
    return set->warning;
}

// ---- Holding ----

static bool matrix_make(StoredMatrix *m, Error *err) {
    if (mprotect(m->data, m->bytes, PROT_READ | PROT_WRITE) != 0) return error_memory(err, m->codes->name);
    if (!tensor_hold(m->codes, err)) return false; // codes may be a made matrix themselves
    bool ok = stored_make(m, m->data, err);
    tensor_release(m->codes);
    const Tensor *const read[] = {m->codes, m->scales.tensor, m->zeros.tensor};
    for (size_t i = 0; i < sizeof read / sizeof *read; i++) {
        if (read[i]) mapping_drop(read[i]->data, read[i]->bytes);
    }
    return ok;
}

static void matrix_unmake(StoredMatrix *m) {
    madvise(m->data, m->bytes, MADV_DONTNEED);
    mprotect(m->data, m->bytes, PROT_NONE); // a read without a hold shall be noticed
}

bool tensor_hold(const Tensor *tensor, Error *err) {
    StoredMatrix *m = tensor->made;
    if (!m) return true;
    pthread_mutex_lock(&m->lock);
    bool ok = m->holds > 0 || m->kept || matrix_make(m, err);
    if (ok)
        m->holds++;
    else
        matrix_unmake(m);
    pthread_mutex_unlock(&m->lock);
    return ok;
}

static bool room_to_keep(StoredSet *set, size_t bytes) {
    pthread_mutex_lock(&set->lock);
    bool room = set->kept_bytes <= set->most_kept_bytes && bytes <= set->most_kept_bytes - set->kept_bytes;
    if (room) set->kept_bytes += bytes;
    pthread_mutex_unlock(&set->lock);
    return room;
}

static void release_tensor(const Tensor *tensor, bool wanted) {
    StoredMatrix *m = tensor->made;
    if (!m) return;
    pthread_mutex_lock(&m->lock);
    if (wanted && !m->kept) m->kept = room_to_keep(m->set, m->bytes);
    if (m->holds > 0 && --m->holds == 0 && !m->kept) matrix_unmake(m);
    pthread_mutex_unlock(&m->lock);
}

void tensor_release(const Tensor *tensor) { release_tensor(tensor, false); }

void tensor_keep(const Tensor *tensor) { release_tensor(tensor, true); }

void tensor_drop_pages(const Tensor *tensor) {
    if (!tensor->made) mapping_drop(tensor->data, tensor->bytes);
}
