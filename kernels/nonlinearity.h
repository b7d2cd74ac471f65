// What stands between the linears of an MLP; by the last two, one thing is multiplied by another.
#pragma once

typedef enum Nonlinearity {
    NONLINEARITY_SILU,         // x · σ(x)
    NONLINEARITY_GELU,         // x · Φ(x), by erf
    NONLINEARITY_GELU_TANH,    // x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))
    NONLINEARITY_RELU,         // max(x, 0)
    NONLINEARITY_RELU_SQUARED, // max(x, 0)²
    NONLINEARITY_SWIGLU_OAI, // x · σ(1.702 x) with x ≤ 7; what it is multiplied by is held within ±7, plus 1 (gpt-oss)
    NONLINEARITY_SIGMOID, // σ(x)
    NONLINEARITY_NONE,    // x itself
    NONLINEARITY_COUNT,
} Nonlinearity;

// Trained together with the weights around it (arXiv 2411.13010): positive · x² + linear · x above 0, and negative ·
// (e^x − 1 − x) + linear · x below.
typedef struct Xielu {
    float positive, negative, linear;
} Xielu;

#define SWIGLU_OAI_LIMIT 7.0F
#define SWIGLU_OAI_ALPHA 1.702F
