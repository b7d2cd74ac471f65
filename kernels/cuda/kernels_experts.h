// Mixtures of experts without the host: a router's logits become portions, and the outputs of the experts are put
// together again. What lies in between are products with portions (arguments.h).
//
// A *slot* is one of the experts of one token. Slots lie sorted by expert, those of an expert by token:
//
//     slot       token 0: experts 2, 5 │ token 1: 2, 7 │ token 2: 0, 2
//     position         1  4            │       2  5    │       0  3
//     portions   expert 0: 0 … 0 │ expert 2: 1 … 3 │ expert 5: 4 … 4 │ expert 7: 5 … 5
#pragma once

#include "kernels/cuda/kernels_common.h"

enum { ROUTE_THREADS = 256, ROUTE_WARPS = ROUTE_THREADS / WARP };

// The expert with the largest logit, by a warp; all NaN: the first one.
DEVICE int best_expert(const float *logits, int experts) {
    float best = -INFINITY;
    int expert = NO_INDEX;
    for (int e = threadIdx.x % WARP; e < experts; e += WARP)
        if (goes_before(logits[e], e, best, expert)) best = logits[e], expert = e;
    warp_first(&best, &expert);
    return expert == NO_INDEX ? 0 : expert;
}

// One token by a warp. logits [experts]: its own copy, of which what is taken becomes NaN; picked [per_token].
DEVICE void route_token(const RouteArguments *a, int token, float *logits, int32_t *picked, float *masses,
                        int32_t *chosen) {
    const int lane = threadIdx.x % WARP, n = a->per_token;
    float top = 0, all = 0, mass = 0;
    for (int e = lane; e < a->experts; e += WARP) logits[e] = a->logits[(size_t)token * a->experts + e];
    warp_barrier();
    for (int k = 0; k < n; k++) {
        const int expert = best_expert(logits, a->experts);
        const float logit = logits[expert];
        if (k == 0) {
            top = logit;
            for (int e = lane; e < a->experts; e += WARP) all += expf(logits[e] - top);
            all = warp_sum(all);
        }
        const float probability = expf(logit - top) / all;
        mass += probability;
        warp_barrier(); // everyone has seen it
        if (lane == 0) logits[expert] = NAN, picked[k] = expert, masses[k] = probability;
        warp_barrier();
    }
    for (int k = lane; k < n; k += WARP) { // experts ascending
        int rank = 0;
        for (int i = 0; i < n; i++) rank += picked[i] < picked[k] || (picked[i] == picked[k] && i < k);
        chosen[token * n + rank] = picked[k];
        a->weights[token * n + rank] = a->normalized ? masses[k] / mass : masses[k];
    }
    warp_barrier();
}

DYNAMIC_KERNEL(route_kernel, ROUTE_THREADS, RouteArguments) {
    DYNAMIC_SHARED(memory); // [warps][experts]
    SHARED(int32_t, picked, ROUTE_WARPS * MIXTURE_PER_TOKEN);
    SHARED(float, masses, ROUTE_WARPS *MIXTURE_PER_TOKEN);
    SHARED(int32_t, chosen, MIXTURE_SLOTS);
    SHARED(int32_t, begins, MIXTURE_SLOTS); // the position where this slot begins a portion, or −1
    const int warp = threadIdx.x / WARP, slots = a.tokens * a.per_token;
    for (int token = warp; token < a.tokens; token += ROUTE_WARPS)
        route_token(&a, token, (float *)memory + warp * a.experts, picked + warp * MIXTURE_PER_TOKEN,
                    masses + warp * MIXTURE_PER_TOKEN, chosen);
    __syncthreads();
    for (int slot = threadIdx.x; slot < slots; slot += ROUTE_THREADS) {
        int position = 0, rank = 0; // rank: within its expert
        for (int i = 0; i < slots; i++) {
            position += chosen[i] < chosen[slot];
            rank += chosen[i] == chosen[slot] && i < slot;
        }
        position += rank;
        a.rows[position] = slot / a.per_token;
        a.positions[slot] = position;
        begins[slot] = rank % a.portion_tokens == 0 ? position : -1;
    }
    __syncthreads();
    int portions = 0;
    for (int i = 0; i < slots; i++) portions += begins[i] >= 0;
    for (int slot = threadIdx.x; slot < slots; slot += ROUTE_THREADS) {
        Portion portion;
        int at = 0, left = 0;
        if (begins[slot] < 0) continue;
        for (int i = 0; i < slots; i++) {
            at += begins[i] >= 0 && begins[i] < begins[slot];
            left += chosen[i] == chosen[slot] && i >= slot;
        }
        portion.expert = chosen[slot];
        portion.first = begins[slot];
        portion.count = left < a.portion_tokens ? left : a.portion_tokens;
        a.portions[at] = portion;
    }
    for (int at = portions + (int)threadIdx.x; at < a.portion_count; at += ROUTE_THREADS) a.portions[at].count = 0;
}

// y [tokens, width] = Σ weights · rows of x, experts ascending.
KERNEL(mix_kernel, FLAT_THREADS, MixArguments) {
    const size_t n = (size_t)a.tokens * a.width;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) {
        const size_t token = i / a.width, column = i % a.width;
        float y = 0;
        for (int k = 0; k < a.per_token; k++) {
            const size_t slot = token * a.per_token + k;
            y += a.weights[slot] * a.x[(size_t)a.positions[slot] * a.width + column];
        }
        a.y[i] = y;
    }
}

// y += x · sigmoid of one number for each row.
KERNEL(gated_add_kernel, FLAT_THREADS, GatedAddArguments) {
    const size_t n = (size_t)a.rows * a.width;
    for (size_t i = FLAT_INDEX; i < n; i += FLAT_STRIDE) a.y[i] += 1 / (1 + expf(-a.gates[i / a.width])) * a.x[i];
}

static int launch_route(void *stream, const RouteArguments *a) {
    const size_t logits = (size_t)ROUTE_WARPS * (size_t)a->experts * sizeof(float);
    return LAUNCH(route_kernel, extent(1, 1, 1), ROUTE_THREADS, logits, stream, a);
}
static int launch_mix(void *stream, const MixArguments *a) {
    return LAUNCH(mix_kernel, flat_extent((size_t)a->tokens * a->width), FLAT_THREADS, 0, stream, a);
}
static int launch_gated_add(void *stream, const GatedAddArguments *a) {
    return LAUNCH(gated_add_kernel, flat_extent((size_t)a->rows * a->width), FLAT_THREADS, 0, stream, a);
}
