// Channel factors by which inputs are divided and weights multiplied: x'_j = x_j / s_j, W'_{·j} = W_{·j} · s_j. Nothing
// changes in full precision.
#pragma once

#include <stddef.h>

// Logarithmic activation equalization (FPTQ, arXiv 2308.15987): s_j = (m_j / log2(2 + m_j))^a, m_j = max |x_j|; 1 where
// m_j = 0.
void lae_factors(const float *channel_absmax, size_t width, double alpha, float *factors);
// max_j m_j / s_j without the factors: m / s(m) grows with m for 0 ≤ alpha ≤ 1, so the largest channel decides.
float lae_range(float range, double alpha);

// SmoothQuant (arXiv 2211.10438): s_j = m_j^a / w_j^(1 − a), w_j the largest weight that meets x_j; 1 where either has
// no range (or none that is a normal number).
void smooth_factors(const float *channel_absmax, const float *weight_absmax, size_t width, double alpha,
                    float *factors);
// max_j m_j / s_j: m_j / s_j = (m_j w_j)^(1 − a) needs no power per channel.
float smooth_range(const float *channel_absmax, const float *weight_absmax, size_t width, double alpha);
