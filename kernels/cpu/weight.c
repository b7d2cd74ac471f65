// How many bytes a weight and its prepared activations take, and how these are cut.
#include "kernels/cpu/weight.h"

size_t cpu_weight_bytes(const Weight *w) {
    size_t bias = w->bias ? w->out * sizeof(float) : 0;
    switch (w->form) {
    case FORM_PACKED: return bias + w->packed.blocks * w->packed.block_bytes;
    case FORM_WIDE: return bias + wide_bytes(&w->wide);
    case FORM_DENSE: break;
    }
    return bias + w->out * w->in * dtype_bytes(w->dtype);
}

Activations activations_for(const Weight *w) {
    const Packed *p = &w->packed;
    Activations x = {.planes = activation_is_integer(w->mode)     ? 1
                               : w->precision == PRECISION_NATIVE ? 2
                                                                  : 3,
                     .segment_units = SEGMENT_COLUMNS / packed_unit_columns(p->bits)};
    if (x.planes == 1) {
        x.segments = p->groups;
    } else {
        size_t full = (p->group_units + x.segment_units - 1) / x.segment_units;
        x.segments = (p->groups - 1) * full + (p->last_units + x.segment_units - 1) / x.segment_units;
    }
    return x;
}

size_t rounded_bytes(const Weight *w) {
    size_t bytes = w->in * sizeof(float) + w->in + PREPARED_TOKENS * w->in * sizeof(float);
    return is_rounded(w) ? (bytes + 63) / 64 * 64 : 0;
}

ActivationBytes activation_bytes(const Activations *x, const Weight *w, size_t tokens, int threads) {
    size_t planes = (size_t)x->planes, sums = (size_t)activation_sums(x->planes);
    return (ActivationBytes){.rounded = rounded_bytes(w),
                             .codes = (tokens * planes * w->packed.padded + 63) / 64 * 64,
                             .sums = tokens * x->segments * sums * sizeof *x->sums,
                             .scales = tokens * (planes == 1 ? 1 : x->segments) * sizeof *x->scales,
                             .rows = (size_t)threads * w->in};
}
