// The noise that quantization brings into a matrix, told from the ranges of its groups alone, and the ceiling under
// which rule `noise` keeps it. Both are relative: Σ (w − ŵ)² / Σ w².
#pragma once

#include "kernels/quantized.h"
#include "quant/measured.h"

// At size s of the ladder: a step of width d rounds with d² / 12 on average, so over groups of g columns and of range r
// it is g · Σ r² / (12 · steps² · Σ w²). On symmetric grids r is the absmax and steps = 2^(bits−1) − 1; on the
// asymmetric one r is max − min and steps = 2^bits − 1. The other grids are judged as the symmetric one: what counts is
// how the noise of a size compares with that of normal weights. 0 where there is nothing to quantize.
double weight_noise(const WeightMeasure *weight, int s, Grid grid, int bits);

// What normal weights have in groups of 8 · 2^(10 · alpha + ½) columns. Half a step of the ladder lies between this and
// the groups that alpha is meant to give normal weights (0.1: 16, 0.2: 32, 0.3: 64 … 1: 8192), so that chance does not
// part one normal matrix from another. alpha: 0…1.
double noise_ceiling(double alpha, Grid grid, int bits);
