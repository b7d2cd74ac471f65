// Whether decisions and plans are the same, and what stands for them in caches.
#include "quant/plan.h"

#include <assert.h>

#include "base/hash.h"
#include "quant/equalize.h"

// What a decision comes to, as numbers; what has no effect counts as 0. The factors of its input follow from the first
// FACTOR_NUMBERS of them.
enum { FACTOR_NUMBERS = 6, DECISION_NUMBERS = 15 };
typedef struct DecisionKey {
    double numbers[DECISION_NUMBERS];
} DecisionKey;

// Whoever adds a field to Decision decides here whether it belongs in the key.
static_assert(sizeof(void *) != 8 || sizeof(Decision) == 288, "does decision_key know the new field?");

static DecisionKey decision_key(const Decision *d) {
    if (!d->quantized) return (DecisionKey){0};
    const bool equalized = d->lae || d->smooth;
    return (DecisionKey){{d->lae, d->smooth, d->lae ? (double)d->lae_alpha : 0, d->smooth ? (double)d->smooth_alpha : 0,
                          equalized ? d->fold : 0,
                          equalized ? d->fold_index : 0,                                                     //
                          d->activations, d->activations == POLICY_STATIC ? (double)d->activation_scale : 0, //
                          1, d->bits, d->granularity, (double)d->group, d->scale_dtype, d->grid, d->clip}};
}

static bool keys_equal(const Decision *a, const Decision *b, int numbers) {
    const DecisionKey key = decision_key(a), other = decision_key(b);
    for (int i = 0; i < numbers; i++)
        if (key.numbers[i] != other.numbers[i]) return false;
    return true;
}

uint64_t decision_hash(const Decision *decision) {
    const DecisionKey key = decision_key(decision);
    return hash_bytes(HASH_START, &key, sizeof key);
}

bool decision_equal(const Decision *a, const Decision *b) { return keys_equal(a, b, DECISION_NUMBERS); }

bool decision_same_factors(const Decision *a, const Decision *b) { return keys_equal(a, b, FACTOR_NUMBERS); }

uint64_t plan_hash(const Plan *plan) {
    const int cache_bits = plan->cache_bits == 8 ? 8 : 16;
    uint64_t hash = hash_bytes(HASH_START, &cache_bits, sizeof cache_bits);
    for (uint64_t i = 0; i < (uint64_t)plan->linear_count; i++) {
        if (!plan->decisions[i].quantized) continue; // as nearly all are when one of thousands is measured alone
        const DecisionKey key = decision_key(&plan->decisions[i]);
        hash = hash_bytes(hash_bytes(hash, &i, sizeof i), &key, sizeof key);
    }
    return hash;
}

bool plan_same_model(const Plan *a, const Plan *b) {
    if (a->linear_count != b->linear_count || a->cache_bits != b->cache_bits) return false;
    for (int i = 0; i < a->linear_count; i++) {
        if (!decision_equal(&a->decisions[i], &b->decisions[i]) || decision_equalizes(&a->decisions[i])) return false;
    }
    return true;
}
