// The MLP of a layer, of an expert, or of the expert that sees every token.
#include "model/transformer_parts.h"

// SCRATCH_INNER = f(gate(x)) · up(x), or f(up(x))
static bool mlp_inner(const Pass *pass, const Mlp *mlp, const float *x, size_t width) {
    float **scratch = pass->running->scratch;
    Backend *backend = pass->t->backend;
    const Nonlinearity f = pass_config(pass)->activation;
    const size_t n = pass->tokens * width;
    const bool gated = mlp->gate_up >= 0 || mlp->gate >= 0;
    if (mlp->gate_up >= 0) {
        if (!pass_linear(pass, mlp->gate_up, x, scratch[SCRATCH_FUSED])) return false;
        const Experts *experts = &pass_config(pass)->experts;
        const bool alternate = experts->stacked && !experts->halves; // rows of gate and up
        const size_t groups = alternate ? width : 1, each = alternate ? 1 : width;
        backend->ops->split(backend, scratch[SCRATCH_FUSED], pass->tokens, groups, (const size_t[]){each, each}, 2,
                            &scratch[SCRATCH_GATE]);
    } else if (mlp->gate >= 0) {
        if (!pass_together(pass, 2, (const int[]){mlp->gate, mlp->up}, x, &scratch[SCRATCH_GATE])) return false;
    } else {
        if (!pass_linear(pass, mlp->up, x, scratch[SCRATCH_UP])) return false;
    }
    if (gated) pass_scale(pass, scratch[SCRATCH_GATE], pass_config(pass)->gate_scale, width);
    if (mlp->cutoff) backend->ops->cut_below(backend, scratch[SCRATCH_GATE], *mlp->cutoff, pass->tokens, width);
    if (mlp->xielu)
        backend->ops->xielu(backend, mlp->xielu, scratch[SCRATCH_UP], n, scratch[SCRATCH_INNER]);
    else if (!gated)
        backend->ops->activate(backend, f, scratch[SCRATCH_UP], NULL, n, scratch[SCRATCH_INNER]);
    else if (f == NONLINEARITY_SILU)
        backend->ops->silu_times(backend, scratch[SCRATCH_GATE], scratch[SCRATCH_UP], n, scratch[SCRATCH_INNER]);
    else
        backend->ops->activate(backend, f, scratch[SCRATCH_GATE], scratch[SCRATCH_UP], n, scratch[SCRATCH_INNER]);
    return true;
}

bool pass_mlp(const Pass *pass, const Mlp *mlp, const float *x, bool show, float *y) {
    const float *inner = pass->running->scratch[SCRATCH_INNER];
    int first = mlp->gate_up >= 0 ? mlp->gate_up : mlp->gate >= 0 ? mlp->gate : mlp->up;
    if (show && !pass_observe(pass, first, x)) return false;
    if (!mlp_inner(pass, mlp, x, pass->t->structure->linears[mlp->down].in) || !pass_observe(pass, mlp->down, inner) ||
        !pass_linear(pass, mlp->down, inner, y))
        return false;
    pass_scale(pass, y, pass_config(pass)->mlp_scale, (size_t)pass_config(pass)->hidden);
    return true;
}
