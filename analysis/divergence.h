// Inside analysis/: how far the next-token distribution of one model is from that of another, position by position, and
// the figures over many positions.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/accuracy.h"

// One scored position.
typedef struct Score {
    double base_nll, nll; // −ln p(true token)
    float kl;             // D(base ‖ other), nats, ≥ 0
    float kl_reverse;     // D(other ‖ base)
    bool same_top;
    bool second_half; // among the positions that llama.cpp scores
} Score;

// base, other: logits [vocab]; target: the true next token. False when a logit is not finite;
// *base_is_finite then tells whose.
bool score_logits(const float *base, const float *other, size_t vocab, int32_t target, Score *out,
                  bool *base_is_finite);

// Figures over `count` scores; `planned` is left to the caller. scratch: [count] floats.
void scores_summarize(const Score *scores, size_t count, float *scratch, Accuracy *out);

// e^x for x ≤ 0: relative error below 1.2e−7 down to x = −87, where it ends at 0. Vectorizable: no branches, no tables.
static inline float exp_negative(float x);

// ---- Inline part ----

#include <string.h>

static inline float exp_negative(float x) {
    // x = n·ln2 + r, |r| ≤ ln2 / 2; ln2 in two parts (Cody and Waite) keeps r exact. Adding 1.5·2^23 rounds to the
    // nearest integer and leaves it in the low bits.
    float shifted = x * 1.44269504f + 12582912.0f;
    float n = shifted - 12582912.0f;
    float r = x - n * 0.693145752f;
    r = r - n * 1.42860677e-6f;
    // Taylor's polynomial of degree 7 (the next term is below 3e−9 here).
    float p = 1.98412698e-4f;
    p = p * r + 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    // 2^n by its exponent bits, built from the low bits of `shifted`.
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return x < -87.0f ? 0.0f : p * scale;
}
