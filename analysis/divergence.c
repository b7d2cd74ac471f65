#include "analysis/divergence.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/processors.h"

// The loops over the vocabulary, in 16 lanes that are added up in a fixed order: the result is the same whatever
// vectors the processor has. FOR_EVERY_PROCESSOR compiles them for several of those.
#define LANES 16

// The largest value. A NaN may be passed over: the sums find it.
FOR_EVERY_PROCESSOR
static float row_max(const float *z, size_t n) {
    float lane[LANES];
    for (int l = 0; l < LANES; l++) lane[l] = -INFINITY;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int l = 0; l < LANES; l++) lane[l] = lane[l] > z[i + (size_t)l] ? lane[l] : z[i + (size_t)l];
    }
    for (; i < n; i++) lane[0] = lane[0] > z[i] ? lane[0] : z[i];
    float most = lane[0];
    for (int l = 1; l < LANES; l++) most = most > lane[l] ? most : lane[l];
    return most;
}

typedef struct RowSums {
    double base, other; // Σ e^(z − max)
    double cross;       // Σ e^(base − max) · ((base − max) − (other − max))
    double back;        // Σ e^(other − max) · ((other − max) − (base − max))
} RowSums;

// One step of row_sums: 16 values of each row.
static inline __attribute__((always_inline)) void lanes_add(const float *base, const float *other, float base_max,
                                                            float other_max, double *b, double *o, double *c,
                                                            double *r) {
    float p[LANES], q[LANES], cross[LANES], back[LANES];
#pragma omp simd
    for (int l = 0; l < LANES; l++) {
        float x = base[l] - base_max, y = other[l] - other_max;
        p[l] = exp_negative(x);
        q[l] = exp_negative(y);
        cross[l] = p[l] * (x - y);
        back[l] = q[l] * (y - x);
    }
#pragma omp simd
    for (int l = 0; l < LANES; l++) {
        b[l] += (double)p[l];
        o[l] += (double)q[l];
        c[l] += (double)cross[l];
        r[l] += (double)back[l];
    }
}

FOR_EVERY_PROCESSOR
static RowSums row_sums(const float *base, const float *other, size_t n, float base_max, float other_max) {
    double b[LANES] = {0}, o[LANES] = {0}, c[LANES] = {0}, r[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) lanes_add(base + i, other + i, base_max, other_max, b, o, c, r);
    if (i < n) {
        // What is left, filled up with values whose exponential is 0.
        float rest[LANES], other_rest[LANES];
        for (int l = 0; l < LANES; l++) rest[l] = other_rest[l] = -FLT_MAX;
        memcpy(rest, base + i, (n - i) * sizeof *rest);
        memcpy(other_rest, other + i, (n - i) * sizeof *other_rest);
        lanes_add(rest, other_rest, base_max, other_max, b, o, c, r);
    }
    RowSums sums = {0};
    for (int l = 0; l < LANES; l++) {
        sums.base += b[l];
        sums.other += o[l];
        sums.cross += c[l];
        sums.back += r[l];
    }
    return sums;
}

static bool all_finite(const float *z, size_t n) {
    size_t i = 0;
    while (i < n && isfinite(z[i])) i++;
    return i == n;
}

static size_t first_of(const float *z, size_t n, float value) {
    size_t i = 0;
    while (i < n && z[i] != value) i++;
    return i;
}

bool score_logits(const float *base, const float *other, size_t vocab, int32_t target, Score *out,
                  bool *base_is_finite) {
    float base_max = row_max(base, vocab), other_max = row_max(other, vocab);
    RowSums sums = row_sums(base, other, vocab, base_max, other_max);
    // A NaN or an infinity anywhere makes one of these so.
    if (!isfinite(sums.base) || !isfinite(sums.other) || !isfinite(sums.cross) || !isfinite(sums.back)) {
        *base_is_finite = all_finite(base, vocab);
        return false;
    }
    double base_log = log(sums.base), other_log = log(sums.other);
    // D = Σ p (ln p − ln q), with ln p = (z − max) − ln Σ. Rounding may bring it a little below zero.
    out->kl = (float)fmax(sums.cross / sums.base - base_log + other_log, 0);
    out->kl_reverse = (float)fmax(sums.back / sums.other - other_log + base_log, 0);
    out->base_nll = base_log - ((double)base[target] - (double)base_max);
    out->nll = other_log - ((double)other[target] - (double)other_max);
    out->same_top = first_of(base, vocab, base_max) == first_of(other, vocab, other_max);
    return true;
}

// ---- Figures over positions ----

typedef struct Sum {
    double n, sum, squares;
} Sum;

static void sum_add(Sum *s, double x) {
    s->n++;
    s->sum += x;
    s->squares += x * x;
}
static double sum_mean(const Sum *s) { return s->n > 0 ? s->sum / s->n : 0; }
// σ / √n with n − 1 in the variance.
static double sum_error(const Sum *s) {
    if (s->n < 2) return 0;
    double mean = sum_mean(s);
    return sqrt(fmax(s->squares / s->n - mean * mean, 0) / (s->n - 1));
}

// Puts the k-th smallest (from 0) at values[k], smaller ones before it, larger ones after it (Hoare's selection).
static void select_kth(float *values, size_t n, size_t k) {
    size_t low = 0, high = n - 1;
    while (low < high) {
        float pivot = values[low + (high - low) / 2];
        size_t i = low, j = high;
        for (;;) {
            while (values[i] < pivot) i++;
            while (values[j] > pivot) j--;
            if (i >= j) break;
            float swapped = values[i];
            values[i++] = values[j];
            values[j--] = swapped;
        }
        // values[low … j] ≤ pivot ≤ values[j + 1 … high], unless both stopped on one that equals the pivot.
        if (i == j) {
            if (k == i) return;
            if (k < i)
                high = i - 1;
            else
                low = i + 1;
        } else if (k <= j)
            high = j;
        else
            low = j + 1;
    }
}

static double percentile_of(float *values, size_t n, double share) {
    double place = share * (double)(n - 1);
    size_t k = (size_t)place;
    select_kth(values, n, k);
    double here = (double)values[k];
    if (k + 1 >= n || place <= (double)k) return here;
    float next = values[k + 1];
    for (size_t i = k + 2; i < n; i++) next = values[i] < next ? values[i] : next;
    return here + (place - (double)k) * ((double)next - here);
}

typedef struct Sums {
    Sum base_nll, nll, base_half, half, ratio, kl, kl_reverse, dp, dp2;
    double same_top, kl_max;
} Sums;

static void sums_add(Sums *s, const Score *score) {
    double dp = exp(-score->nll) - exp(-score->base_nll);
    sum_add(&s->base_nll, score->base_nll);
    sum_add(&s->nll, score->nll);
    if (score->second_half) {
        sum_add(&s->base_half, score->base_nll);
        sum_add(&s->half, score->nll);
    }
    sum_add(&s->ratio, score->nll - score->base_nll);
    sum_add(&s->kl, (double)score->kl);
    sum_add(&s->kl_reverse, (double)score->kl_reverse);
    sum_add(&s->dp, dp);
    sum_add(&s->dp2, dp * dp);
    s->same_top += score->same_top;
    s->kl_max = fmax(s->kl_max, (double)score->kl);
}

static void perplexity_of(const Sum *nll, double *ppl, double *se) {
    *ppl = nll->n > 0 ? exp(sum_mean(nll)) : (double)NAN;
    *se = *ppl * sum_error(nll);
}

void scores_summarize(const Score *scores, size_t count, float *scratch, Accuracy *out) {
    uint64_t planned = out->planned;
    *out = (Accuracy){.tokens = count, .planned = planned};
    if (!count) return;
    Sums s = {0};
    for (size_t i = 0; i < count; i++) {
        sums_add(&s, &scores[i]);
        scratch[i] = scores[i].kl;
    }
    perplexity_of(&s.base_nll, &out->base_ppl, &out->base_ppl_se);
    perplexity_of(&s.nll, &out->ppl, &out->ppl_se);
    perplexity_of(&s.base_half, &out->base_ppl_half, &out->base_ppl_half_se);
    perplexity_of(&s.half, &out->ppl_half, &out->ppl_half_se);
    out->ppl_ratio_log = sum_mean(&s.ratio);
    out->ppl_ratio_se = sum_error(&s.ratio);
    out->kl_mean = sum_mean(&s.kl);
    out->kl_se = sum_error(&s.kl);
    out->kl_max = s.kl_max;
    out->kl_reverse_mean = sum_mean(&s.kl_reverse);
    out->kl_reverse_se = sum_error(&s.kl_reverse);
    out->kl_median = percentile_of(scratch, count, 0.5);
    out->kl_p99 = percentile_of(scratch, count, 0.99);
    double n = (double)count;
    out->top1 = s.same_top / n;
    out->top1_se = count > 1 ? sqrt(out->top1 * (1 - out->top1) / (n - 1)) : 0;
    out->dp_mean = sum_mean(&s.dp);
    out->dp_mean_se = sum_error(&s.dp);
    out->dp_rms = sqrt(sum_mean(&s.dp2));
    out->dp_rms_se = out->dp_rms > 0 ? sum_error(&s.dp2) / (2 * out->dp_rms) : 0;
}
