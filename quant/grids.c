#include "quant/grids.h"

#include <float.h>
#include <math.h>
#include <string.h>

// ---- Ranges and scales ----

// The bits of |x| order as the values do, and NaN and infinity lie above every number: one pass finds both.
static uint32_t absmax_bits(const float *x, size_t n) {
    int32_t most = 0;
    for (size_t j = 0; j < n; j++) {
        int32_t bits;
        memcpy(&bits, &x[j], sizeof bits);
        bits &= 0x7FFFFFFF;
        most = bits > most ? bits : most;
    }
    return (uint32_t)most;
}

bool group_range(Grid grid, const float *x, size_t n, Range *range) {
    uint32_t bits = absmax_bits(x, n);
    *range = (Range){0};
    memcpy(&range->high, &bits, sizeof bits);
    if (bits >= 0x7F800000u || grid != GRID_ASYMMETRIC) return bits < 0x7F800000u;
    float low = 0, high = 0;
    for (size_t j = 0; j < n; j++) {
        low = x[j] < low ? x[j] : low;
        high = x[j] > high ? x[j] : high;
    }
    *range = (Range){low, high};
    return true;
}

static float largest_of(DType dtype) {
    return dtype == DTYPE_F16 ? 65504 : dtype == DTYPE_BF16 ? 0x1.FEp127f : FLT_MAX;
}
static float smallest_of(DType dtype) {
    return dtype == DTYPE_F16 ? 0x1p-24f : dtype == DTYPE_BF16 ? 0x1p-133f : FLT_TRUE_MIN;
}

float scale_of(float range, float steps, DType dtype) {
    if (range == 0) return 1;
    float scale = float_rounded(dtype, range / steps);
    if (!(scale > 0)) return smallest_of(dtype);
    return isfinite(scale) ? scale : largest_of(dtype);
}

static int largest_code(int bits) { return (1 << (bits - 1)) - 1; }

// Rounds half to even: adding 1.5 · 2^23 leaves no room for a fraction. Unlike rintf it needs no call where the
// processor's base instruction set cannot round. |x| must stay below 2^22.
static inline float rounded(float x) {
    const float shift = 0x1.8p23f;
    return (x + shift) - shift;
}

static inline float clamped(float x, float least, float most) {
    x = x > most ? most : x;
    return x < least ? least : x;
}

Step step_of(Grid grid, int bits, DType dtype, Range range) {
    Step step = {.grid = grid, .bits = bits};
    float codes = (float)((1 << bits) - 1);
    switch (grid) {
    case GRID_SYMMETRIC:
    case GRID_TWO_LEVEL: step.scale = scale_of(range.high, (float)largest_code(bits), dtype); break;
    case GRID_LOG2: step.scale = scale_of(range.high, 1, dtype); break;
    case GRID_ASYMMETRIC:
        step.scale = scale_of(range.high - range.low, codes, dtype);
        step.zero = (int)rounded(clamped(-range.low / step.scale, 0, codes)) - (1 << (bits - 1));
        break;
    }
    return step;
}

// ---- Codes ----

static void symmetric_codes(const float *x, size_t n, float scale, float qmax, int8_t *codes) {
    for (size_t j = 0; j < n; j++) {
        float q = x[j] / scale; // not times 1 / scale: that would round twice
        q = q > qmax ? qmax : q;
        q = q < -qmax ? -qmax : q;
        codes[j] = (int8_t)(int32_t)rounded(q);
    }
}

static void asymmetric_codes(const Step *step, const float *x, size_t n, int8_t *codes) {
    const float beyond = (float)(1 << step->bits), least = (float)-(1 << (step->bits - 1)), most = -least - 1;
    for (size_t j = 0; j < n; j++) {
        float q = rounded(clamped(x[j] / step->scale, -beyond, beyond)) + (float)step->zero;
        codes[j] = (int8_t)(int32_t)clamped(q, least, most);
    }
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

static void log2_codes(const Step *step, const float *x, size_t n, int8_t *codes) {
    const int qmax = largest_code(step->bits);
    for (size_t j = 0; j < n; j++) {
        int code = log2_code(clamped(fabsf(x[j]) / step->scale, 0, 1), qmax);
        codes[j] = (int8_t)(x[j] < 0 ? -code : code);
    }
}

void step_codes(const Step *step, const float *x, size_t n, int8_t *codes) {
    switch (step->grid) {
    case GRID_SYMMETRIC:
    case GRID_TWO_LEVEL: symmetric_codes(x, n, step->scale, (float)largest_code(step->bits), codes); break;
    case GRID_ASYMMETRIC: asymmetric_codes(step, x, n, codes); break;
    case GRID_LOG2: log2_codes(step, x, n, codes); break;
    }
}

// ---- Errors ----

enum { LANES = 8 };

typedef struct Sums {
    double signal[LANES], noise[LANES];
} Sums;

static inline void add_lane(Sums *sums, size_t lane, float x, float value) {
    double w = (double)x, lost = (double)(x - value);
    sums->signal[lane] += w * w;
    sums->noise[lane] += lost * lost;
}

// Sums in a fixed order whatever the number of threads: eight lanes, so that they can be added side by side.
static void uniform_error(const float *x, const int8_t *codes, size_t n, float scale, int zero, Sums *sums) {
    size_t whole = n / LANES * LANES;
    for (size_t j = 0; j < whole; j += LANES) {
        for (size_t l = 0; l < LANES; l++) add_lane(sums, l, x[j + l], (float)(codes[j + l] - zero) * scale);
    }
    for (size_t j = whole; j < n; j++) add_lane(sums, j - whole, x[j], (float)(codes[j] - zero) * scale);
}

static void log2_error(const Step *step, const float *x, const int8_t *codes, size_t n, Sums *sums) {
    const int qmax = largest_code(step->bits);
    for (size_t j = 0; j < n; j++) {
        float magnitude = codes[j] ? ldexpf(step->scale, (codes[j] < 0 ? -codes[j] : codes[j]) - qmax) : 0;
        add_lane(sums, j % LANES, x[j], codes[j] < 0 ? -magnitude : magnitude);
    }
}

void step_error(const Step *step, const float *x, const int8_t *codes, size_t n, WeightError *error) {
    Sums sums = {0};
    if (step->grid == GRID_LOG2)
        log2_error(step, x, codes, n, &sums);
    else
        uniform_error(x, codes, n, step->scale, step->zero, &sums);
    for (size_t l = 0; l < LANES; l++) {
        error->signal += sums.signal[l];
        error->noise += sums.noise[l];
    }
}

Step step_of_least_error(Grid grid, int bits, DType dtype, Range range, const float *x, size_t n, int8_t *codes) {
    Step best = step_of(grid, bits, dtype, range);
    double least = 0;
    for (int i = 0; i < CLIP_CANDIDATES; i++) {
        float share = clip_share(i);
        Step step = step_of(grid, bits, dtype, (Range){range.low * share, range.high * share});
        WeightError error = {0};
        step_codes(&step, x, n, codes);
        step_error(&step, x, codes, n, &error);
        if (i > 0 && !(error.noise < least)) continue;
        best = step;
        least = error.noise;
    }
    return best;
}
