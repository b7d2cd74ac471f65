// Logarithmic activation equalization (FPTQ, arXiv 2308.15987): s_j = (m_j / log2(2 + m_j))^a, m_j = max |x_j|; 1 where
// m_j = 0. x'_j = x_j / s_j, W'_{·j} = W_{·j} · s_j: nothing changes in full precision.
#pragma once

#include <stddef.h>

void lae_factors(const float *channel_absmax, size_t width, double alpha, float *factors);
// max_j m_j / s_j without the factors: m / s(m) grows with m for 0 ≤ alpha ≤ 1, so the largest channel decides.
float lae_range(float range, double alpha);
