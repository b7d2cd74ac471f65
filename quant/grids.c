#include "quant/grids.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/host/coding_template.h"

// How one grid codes a group. A new grid is a row of `coders`.
typedef struct GridCoder {
    void (*fit)(GroupCoding *coding, DType dtype, GroupRange range); // sets scale and zero
    void (*codes)(const GroupCoding *coding, const float *x, size_t n, int8_t *codes);
    void (*error)(const GroupCoding *coding, const float *x, const int8_t *codes, size_t n, LaneSums *sums);
} GridCoder;

static int largest_code(int bits) { return (1 << (bits - 1)) - 1; }

static inline float clamped(float x, float least, float most) {
    x = x > most ? most : x;
    return x < least ? least : x;
}

// ---- Codes that are whole multiples of the scale ----

static void symmetric_fit(GroupCoding *coding, DType dtype, GroupRange range) {
    coding->scale = scale_of(range.high, (float)largest_code(coding->bits), dtype);
}

static void symmetric_group(const GroupCoding *coding, const float *x, size_t n, int8_t *codes) {
    symmetric_codes(x, n, coding->scale, (float)largest_code(coding->bits), codes);
}

static void asymmetric_fit(GroupCoding *coding, DType dtype, GroupRange range) {
    const float codes = (float)((1 << coding->bits) - 1);
    coding->scale = scale_of(range.high - range.low, codes, dtype);
    coding->zero = (int)rounded(clamped(-range.low / coding->scale, 0, codes)) - (1 << (coding->bits - 1));
}

static void asymmetric_group(const GroupCoding *coding, const float *x, size_t n, int8_t *codes) {
    const float beyond = (float)(1 << coding->bits), least = (float)-(1 << (coding->bits - 1)), most = -least - 1;
    for (size_t j = 0; j < n; j++) {
        float q = rounded(clamped(x[j] / coding->scale, -beyond, beyond)) + (float)coding->zero;
        codes[j] = (int8_t)(int32_t)clamped(q, least, most);
    }
}

static void linear_error(const GroupCoding *coding, const float *x, const int8_t *codes, size_t n, LaneSums *sums) {
    uniform_error(x, codes, n, coding->scale, coding->zero, sums);
}

// ---- Codes that are powers of two ----

static void log2_fit(GroupCoding *coding, DType dtype, GroupRange range) {
    coding->scale = scale_of(range.high, 1, dtype);
}

// |code| of a share of the scale: 2^(|code| − qmax) is nearest, or 0.
static int log2_code(float share, int qmax) {
    int exponent;
    float part = frexpf(share, &exponent); // share = part · 2^exponent, part in ½…1
    int code = exponent - 1 + qmax;        // of the number just below, or equal
    if (share == 0 || code < 0) return 0;
    if (code == 0) return part > 0.5f; // between 0 and the smallest number: its half goes to the even code 0
    code += part > 0.75f || (part == 0.75f && code % 2 == 1);
    return code < qmax ? code : qmax;
}

static void log2_group(const GroupCoding *coding, const float *x, size_t n, int8_t *codes) {
    const int qmax = largest_code(coding->bits);
    for (size_t j = 0; j < n; j++) {
        int code = log2_code(clamped(fabsf(x[j]) / coding->scale, 0, 1), qmax);
        codes[j] = (int8_t)(x[j] < 0 ? -code : code);
    }
}

static void log2_error(const GroupCoding *coding, const float *x, const int8_t *codes, size_t n, LaneSums *sums) {
    const int qmax = largest_code(coding->bits);
    for (size_t j = 0; j < n; j++) {
        float magnitude = codes[j] ? ldexpf(coding->scale, (codes[j] < 0 ? -codes[j] : codes[j]) - qmax) : 0;
        add_to_lane(&sums->signal[j % LANES], &sums->noise[j % LANES], x[j], codes[j] < 0 ? -magnitude : magnitude);
    }
}

// ---- The grids ----

static const GridCoder coders[] = {
    [GRID_SYMMETRIC] = {symmetric_fit, symmetric_group, linear_error},
    [GRID_ASYMMETRIC] = {asymmetric_fit, asymmetric_group, linear_error},
    [GRID_LOG2] = {log2_fit, log2_group, log2_error},
    [GRID_TWO_LEVEL] = {symmetric_fit, symmetric_group, linear_error},
};
static_assert(sizeof coders / sizeof *coders == GRID_COUNT, "a grid has no coder");

bool group_range(Grid grid, const float *x, size_t n, GroupRange *range) {
    uint32_t bits = absmax_bits(x, n);
    *range = (GroupRange){0};
    memcpy(&range->high, &bits, sizeof bits);
    if (bits >= BITS_OF_INFINITY || !grid_table[grid].zeros) return bits < BITS_OF_INFINITY;
    float low = 0, high = 0;
    for (size_t j = 0; j < n; j++) {
        low = x[j] < low ? x[j] : low;
        high = x[j] > high ? x[j] : high;
    }
    *range = (GroupRange){low, high};
    return true;
}

GroupCoding group_coding(Grid grid, int bits, DType dtype, GroupRange range) {
    assert(range.low <= 0 && range.high >= 0);
    GroupCoding coding = {.grid = grid, .bits = bits};
    coders[grid].fit(&coding, dtype, range);
    return coding;
}

void group_codes(const GroupCoding *coding, const float *x, size_t n, int8_t *codes) {
    coders[coding->grid].codes(coding, x, n, codes);
}

void group_error(const GroupCoding *coding, const float *x, const int8_t *codes, size_t n, WeightError *error) {
    LaneSums sums = {0};
    coders[coding->grid].error(coding, x, codes, n, &sums);
    add_lanes(&sums, &error->signal, &error->noise);
}

GroupCoding group_coding_of_least_error(Grid grid, int bits, DType dtype, GroupRange range, const float *x, size_t n,
                                        int8_t *codes) {
    GroupCoding best = group_coding(grid, bits, dtype, range);
    double least = 0;
    for (int i = 0; i < CLIP_CANDIDATES; i++) {
        float share = clip_share(i);
        GroupCoding coding = group_coding(grid, bits, dtype, (GroupRange){range.low * share, range.high * share});
        WeightError error = {0};
        group_codes(&coding, x, n, codes);
        group_error(&coding, x, codes, n, &error);
        if (i > 0 && !(error.noise < least)) continue;
        best = coding;
        least = error.noise;
    }
    return best;
}
