// A token for each row of logits.
#include "kernels/sampling.h"

#include "kernels/cpu/cpu.h"

// The largest, the first of equals; `vocab` when nothing is a number.
static int likeliest_token(const float *logits, int vocab) {
    int best = 0;
    while (best < vocab && isnan(logits[best])) best++;
    for (int i = best + 1; i < vocab; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

// Whole numbers: adding them in any order gives the same.
static uint64_t mass_nearer(const LogitRow *row, uint32_t bound, int threads) {
    uint64_t mass = 0;
#pragma omp parallel for schedule(static) num_threads(threads) reduction(+ : mass)
    for (int i = 0; i < row->vocab; i++) {
        const uint32_t distance = distance_of(row, row->logits[i]);
        mass += distance < bound ? weight_of(distance) : 0;
    }
    return mass;
}

// By the digits of the distance, from the highest: the weights of the tokens that share the digits before.
static Nucleus nucleus_of(const LogitRow *row, float top_p) {
    uint64_t missing = 0;
    uint32_t bound = 0;
    if (!(top_p < 1)) return whole_vocabulary();
    for (int shift = FIRST_DIGIT; shift >= 0; shift -= DIGIT_BITS) {
        uint64_t weights[DIGIT_VALUES] = {0}, mass = 0;
        for (int i = 0; i < row->vocab; i++) {
            const uint32_t distance = distance_of(row, row->logits[i]);
            if (distance >> shift >> DIGIT_BITS == bound)
                weights[distance >> shift & (DIGIT_VALUES - 1)] += weight_of(distance);
        }
        for (int d = 0; d < DIGIT_VALUES; d++) mass += weights[d];
        if (shift == FIRST_DIGIT) missing = nucleus_reach(top_p, mass);
        uint32_t digit = 0;
        while (weights[digit] < missing) missing -= weights[digit++];
        bound = bound << DIGIT_BITS | digit;
    }
    return nucleus_to(bound, missing);
}

static int token_at(const LogitRow *row, Nucleus n, double point, int threads) {
    int equals = 0, id = 0;
    for (int i = 0; i < row->vocab; i++) equals += distance_of(row, row->logits[i]) == n.bound;
    uint64_t place = place_at(point, weight_within(&n, mass_nearer(row, n.bound, threads), equals));
    for (;; id++) {
        const uint32_t distance = distance_of(row, row->logits[id]);
        const int equal = distance == n.bound;
        const uint64_t own = weight_within(&n, distance < n.bound ? weight_of(distance) : 0, equal);
        if (place < own) return id;
        place -= own;
        if (equal && n.equals > 0) n.equals--;
    }
}

static void choose_one(const float *logits, int vocab, const Draw *draw, size_t at, int threads, int32_t *id,
                       float *probability) {
    const int best = likeliest_token(logits, vocab);
    *id = 0, *probability = NAN;
    if (best == vocab) return;
    LogitRow row = {logits, vocab, logits[best], distance_scale(1)};
    const uint64_t mass = mass_nearer(&row, DISTANCE_FAR, threads);
    *id = best;
    if (draw->temperature > 0) {
        row.scale = distance_scale(draw->temperature);
        *id = token_at(&row, nucleus_of(&row, draw->top_p), draw->points[at], threads);
    }
    *probability = token_probability(logits[*id], row.largest, mass);
}

void cpu_choose(Backend *backend, const float *logits, size_t rows, size_t vocab, const Draw *draw, int32_t *ids,
                float *probabilities) {
    const int threads = cpu_threads_for(cpu_of(backend), 0, 40 * rows * vocab);
#pragma omp parallel for schedule(static) num_threads(rows > 1 ? threads : 1)
    for (size_t r = 0; r < rows; r++)
        choose_one(logits + r * vocab, (int)vocab, draw, r, rows > 1 ? 1 : threads, &ids[r], &probabilities[r]);
}
