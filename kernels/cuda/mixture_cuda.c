// A layer's mixture of experts, routed on the device (kernels_experts.h): which launches compute it, whatever formats
// its weights have. The tokens of an expert come in portions, and every product is one launch for all portions and for
// each format, so nothing depends on the choice of the router and a step can be recorded.
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "kernels/cuda/cuda.h"

enum { MOST_FORMATS = 8, MOST_ROLES = 3 };

// Weights of one format among those of a role.
typedef struct RoleFormat {
    const Weight *example;
    void *table; // [weights, experts] IntegerRows or DenseRows; NULL for experts of other formats
} RoleFormat;

// One linear of every expert, or two of the same x and formats: gate and up.
typedef struct Role {
    int weights;
    size_t in, out;
    RoleFormat formats[MOST_FORMATS];
    int format_count;
    ExpertRounding *roundings; // [experts] on the device
} Role;

// The weights of a role while the mixture is made: [experts] each.
typedef struct Made {
    const Weight *const *of[2];
} Made;

struct Mixture {
    MixtureShape shape;
    Role roles[MOST_ROLES]; // the last one is down
    int role_count;
    size_t portion_tokens; // room of a portion
    size_t hidden, inner;
    void *tables; // all of them
};

// ---- Sizes ----

static size_t bytes_aligned(size_t bytes) { return (bytes + 255) / 256 * 256; }

static size_t slots_of(const Mixture *m, size_t tokens) { return tokens * (size_t)m->shape.per_token; }

// An expert gets a token once.
static size_t portion_tokens(const Mixture *m, size_t tokens) {
    return at_least(at_most(m->portion_tokens, tokens), 1);
}

// Each expert's last portion may be short.
static size_t portion_count(const Mixture *m, size_t tokens) {
    const size_t slots = slots_of(m, tokens);
    return at_most(slots, (size_t)m->shape.experts + slots / portion_tokens(m, tokens));
}

static size_t most_tokens(const Mixture *m) {
    return at_most(MIXTURE_TOKENS, MIXTURE_SLOTS / (size_t)m->shape.per_token);
}

// What routing leaves, in c->routes.
typedef struct Routes {
    float *weights;
    int32_t *positions, *rows;
    Portion *portions;
} Routes;

static size_t route_bytes(size_t slots, size_t portions) {
    return 3 * bytes_aligned(slots * 4) + portions * sizeof(Portion);
}

static Routes routes_at(void *memory, size_t slots) {
    char *at = memory;
    const size_t each = bytes_aligned(slots * 4);
    return (Routes){(void *)at, (void *)(at + each), (void *)(at + 2 * each), (void *)(at + 3 * each)};
}

// Activations of the slots, in c->slots.
typedef struct Slots {
    float *x, *gate, *up, *inner, *y;
} Slots;

static size_t slot_bytes(const Mixture *m, size_t slots) {
    return 2 * bytes_aligned(slots * m->hidden * 4) + 3 * bytes_aligned(slots * m->inner * 4);
}

static Slots slots_at(const Mixture *m, void *memory, size_t slots) {
    char *at = memory;
    const size_t hidden = bytes_aligned(slots * m->hidden * 4), inner = bytes_aligned(slots * m->inner * 4);
    return (Slots){(void *)at, (void *)(at + 2 * hidden), (void *)(at + 2 * hidden + inner),
                   (void *)(at + 2 * hidden + 2 * inner), (void *)(at + hidden)};
}

static PortionStrides strides_of(const IntegerArguments *a) {
    const size_t segments = (size_t)segment_count(&a->layout, a->planes), tokens = (size_t)padded_tokens(a->tokens);
    return (PortionStrides){activation_bytes_of(&a->layout, a->planes, a->tokens),
                            a->planes == 1 ? tokens : segments * tokens,
                            segments * (size_t)sum_planes(a->planes) * tokens};
}

// ---- Making one ----

// Formats that portions cannot take.
static bool is_taken(const CudaBackend *c, const Weight *w) {
    if (cuda_is_rounded_float(w)) return false;
    return !w->integer || (cuda_by_tensor_cores(c, w) && is_regular(&w->layout) && cuda_planes(w) < 3);
}

static bool add_format(Role *role, const Weight *w) {
    for (int f = 0; f < role->format_count; f++)
        if (cuda_same_format(role->formats[f].example, w)) return true;
    if (role->format_count == MOST_FORMATS) return false;
    role->formats[role->format_count++].example = w;
    return true;
}

static bool add_role(const CudaBackend *c, Mixture *m, const Made *made, size_t in, size_t out) {
    Role *role = &m->roles[m->role_count++];
    role->weights = made->of[1] ? 2 : 1;
    role->in = in;
    role->out = out;
    for (int e = 0; e < m->shape.experts; e++) {
        const Weight *w = made->of[0][e];
        if (!is_taken(c, w) || w->in != in || w->out != out || !add_format(role, w)) return false;
        // Two planes are paired, which leaves room for four tokens.
        if (w->integer && cuda_planes(w) == 2) m->portion_tokens = at_most(m->portion_tokens, PAIRED_TOKENS);
    }
    return true;
}

// Whether every expert's two linears of the same x can share a launch.
static bool go_together(const Mixture *m, const Weight *const *v, const Weight *const *w) {
    for (int e = 0; e < m->shape.experts; e++)
        if (!cuda_same_format(v[e], w[e]) || v[e]->out != w[e]->out || !cuda_same_rounding(v[e], w[e])) return false;
    return true;
}

static size_t table_bytes(const Mixture *m, const Role *role, const RoleFormat *f) {
    const size_t rows = (size_t)role->weights * (size_t)m->shape.experts;
    return bytes_aligned(rows * (f->example->integer ? sizeof(IntegerRows) : sizeof(DenseRows)));
}

static size_t rounding_bytes(const Mixture *m) {
    return bytes_aligned((size_t)m->shape.experts * sizeof(ExpertRounding));
}

static void fill_table(const Mixture *m, const Role *role, const Made *made, const RoleFormat *f, void *host) {
    for (int i = 0; i < role->weights; i++) {
        for (int e = 0; e < m->shape.experts; e++) {
            const Weight *w = made->of[i][e];
            const int at = i * m->shape.experts + e;
            if (!cuda_same_format(f->example, w)) continue;
            if (w->integer)
                ((IntegerRows *)host)[at] = cuda_integer_rows(w);
            else
                ((DenseRows *)host)[at] = cuda_dense_rows(w);
        }
    }
}

static void fill_roundings(const Mixture *m, const Made *made, ExpertRounding *host) {
    for (int e = 0; e < m->shape.experts; e++)
        host[e] = (ExpertRounding){made->of[0][e]->divisor, made->of[0][e]->static_scale};
}

// Tables of all roles: on the host, and from there to the device. made [role_count]
static bool make_tables(CudaBackend *c, Mixture *m, const Made *made) {
    size_t bytes = 0, at = 0;
    for (int r = 0; r < m->role_count; r++) {
        bytes += rounding_bytes(m);
        for (int f = 0; f < m->roles[r].format_count; f++)
            bytes += table_bytes(m, &m->roles[r], &m->roles[r].formats[f]);
    }
    char *host = array_new(bytes, 1);
    if (!host || !cuda_allocate(c, bytes, "tables of experts", &m->tables, NULL)) {
        free(host);
        return false;
    }
    for (int r = 0; r < m->role_count; r++) {
        Role *role = &m->roles[r];
        fill_roundings(m, &made[r], (void *)(host + at));
        role->roundings = (void *)((char *)m->tables + at);
        at += rounding_bytes(m);
        for (int f = 0; f < role->format_count; f++) {
            fill_table(m, role, &made[r], &role->formats[f], host + at);
            role->formats[f].table = (char *)m->tables + at;
            at += table_bytes(m, role, &role->formats[f]);
        }
    }
    bool ok = cuda_check(c, c->runtime->upload(c->runtime, m->tables, host, bytes), "copying to the device");
    free(host);
    return ok;
}

// For any number of tokens that it takes.
static bool mixture_reserve(CudaBackend *c, const Mixture *m) {
    size_t portions = 0;
    for (size_t tokens = 1; tokens <= most_tokens(m); tokens++) portions = at_least(portions, portion_count(m, tokens));
    const size_t slots = slots_of(m, most_tokens(m));
    bool ok = cuda_reserve(c, &c->routes, route_bytes(slots, portions), NULL) &&
              cuda_reserve(c, &c->slots, slot_bytes(m, slots), NULL);
    for (int r = 0; r < m->role_count; r++) {
        for (int f = 0; ok && f < m->roles[r].format_count; f++) {
            const Weight *w = m->roles[r].formats[f].example;
            if (!w->integer) continue;
            const IntegerArguments a = cuda_integer_arguments(w, m->portion_tokens);
            const PortionStrides s = strides_of(&a);
            ok = cuda_reserve(c, &c->codes, portions * s.codes, NULL) &&
                 cuda_reserve(c, &c->scales, portions * s.scales * sizeof(float), NULL) &&
                 (!w->zeros || cuda_reserve(c, &c->sums, portions * s.sums * sizeof(int32_t), NULL));
        }
    }
    return ok;
}

static bool mixture_make(CudaBackend *c, Mixture *m, const Weight *const *gate, const Weight *const *up,
                         const Weight *const *down) {
    const bool both = go_together(m, gate, up);
    const Made made[MOST_ROLES] = {{{gate, both ? up : NULL}}, {{both ? down : up}}, {{down}}};
    const int roles = both ? 2 : 3;
    m->hidden = gate[0]->in;
    m->inner = gate[0]->out;
    if (m->shape.experts > MIXTURE_EXPERTS || m->shape.per_token > MIXTURE_PER_TOKEN ||
        m->shape.per_token > m->shape.experts)
        return false;
    for (int r = 0; r < roles; r++) {
        const bool last = r + 1 == roles;
        if (!add_role(c, m, &made[r], last ? m->inner : m->hidden, last ? m->hidden : m->inner)) return false;
    }
    return make_tables(c, m, made) && mixture_reserve(c, m);
}

void cuda_mixture_free(Backend *backend, Mixture *m) {
    if (!m) return;
    cuda_release(cuda_of(backend), m->tables);
    free(m);
}

Mixture *cuda_mixture_new(Backend *backend, const MixtureShape *shape, const Weight *const *gate,
                          const Weight *const *up, const Weight *const *down) {
    CudaBackend *c = cuda_of(backend);
    Mixture *m = cuda_ready(c) && !c->recording ? array_new(1, sizeof *m) : NULL;
    if (!m) return NULL;
    m->shape = *shape;
    m->portion_tokens = FEW_TOKENS;
    if (mixture_make(c, m, gate, up, down)) return m;
    cuda_mixture_free(backend, m);
    return NULL;
}

// ---- Running it ----

static bool mixture_launched(CudaBackend *c, int code) { return cuda_check(c, code, "a mixture of experts"); }

static bool dense_role(CudaBackend *c, const Role *role, const RoleFormat *f, const Portions *portions, size_t room,
                       const float *x, float *const *y) {
    DenseArguments a = cuda_dense_arguments(f->example, x, room);
    a.weights = role->weights;
    a.portions = *portions;
    a.experts = f->table;
    for (int i = 0; i < role->weights; i++) a.each[i] = (DenseOutputs){.y = y[i], .out = (int)role->out};
    return mixture_launched(c, c->runtime->launches->dense_few(c->runtime->stream, &a));
}

static bool integer_role(CudaBackend *c, const Role *role, const RoleFormat *f, const Portions *portions, size_t room,
                         const float *x, float *const *y) {
    const CudaLaunches *launches = c->runtime->launches;
    const Weight *w = f->example;
    IntegerArguments a = cuda_integer_arguments(w, room);
    a.x = c->codes.data;
    a.x_scales = c->scales.data;
    a.x_sums = c->sums.data;
    a.portions = *portions;
    a.strides = strides_of(&a);
    a.experts = f->table;
    a.weights = role->weights;
    for (int i = 0; i < role->weights; i++)
        a.each[i] = (IntegerOutputs){.y = y[i], .out = (int)role->out, .row_blocks = w->layout.row_blocks};
    const ActivationArguments activations = {.layout = a.layout,
                                             .x = x,
                                             .codes = c->codes.data,
                                             .scales = c->scales.data,
                                             .sums = a.levels == ZERO_POINTS ? c->sums.data : NULL,
                                             .tokens = (int)room,
                                             .planes = a.planes,
                                             .portions = *portions,
                                             .strides = a.strides,
                                             .experts = role->roundings};
    cuda_cut_few(c, &a);
    return mixture_launched(c, launches->activations(c->runtime->stream, &activations)) &&
           mixture_launched(c, launches->integer_few(c->runtime->stream, &a));
}

// y [slots, out] of each weight = its expert's product with x [slots, in].
static bool run_role(CudaBackend *c, const Role *role, const Portions *portions, size_t room, const float *x,
                     float *const *y) {
    for (int f = 0; f < role->format_count; f++) {
        const RoleFormat *format = &role->formats[f];
        if (!(format->example->integer ? integer_role : dense_role)(c, role, format, portions, room, x, y))
            return false;
    }
    return true;
}

static bool run_roles(CudaBackend *c, const Mixture *m, const Portions *portions, size_t room, size_t slots,
                      const Slots *s) {
    float *const inner[2] = {s->gate, s->up};
    const ElementwiseArguments activate = {.x = s->gate,
                                           .other = s->up,
                                           .y = s->inner,
                                           .n = slots * m->inner,
                                           .what = ELEMENTWISE_ACTIVATE,
                                           .nonlinearity = (int)m->shape.activation};
    for (int r = 0; r + 1 < m->role_count; r++)
        if (!run_role(c, &m->roles[r], portions, room, s->x, inner + r)) return false;
    return mixture_launched(c, c->runtime->launches->elementwise(c->runtime->stream, &activate)) &&
           run_role(c, &m->roles[m->role_count - 1], portions, room, s->inner, &s->y);
}

bool cuda_mixture(Backend *backend, const Mixture *m, const float *logits, const float *x, size_t tokens, float *y) {
    CudaBackend *c = cuda_of(backend);
    const CudaLaunches *launches = c->runtime->launches;
    void *stream = c->runtime->stream;
    if (tokens > most_tokens(m)) return false;
    if (!cuda_ready(c) || tokens == 0) return true;
    const size_t slots = slots_of(m, tokens), room = portion_tokens(m, tokens);
    const Routes routes = routes_at(c->routes.data, slots);
    const Slots s = slots_at(m, c->slots.data, slots);
    const Portions portions = {routes.portions, (int)portion_count(m, tokens), m->shape.experts};
    const RouteArguments route = {.logits = logits,
                                  .weights = routes.weights,
                                  .positions = routes.positions,
                                  .rows = routes.rows,
                                  .portions = routes.portions,
                                  .tokens = (int)tokens,
                                  .experts = m->shape.experts,
                                  .per_token = m->shape.per_token,
                                  .portion_tokens = (int)room,
                                  .portion_count = portions.count,
                                  .normalized = m->shape.normalized};
    const RowsArguments gather = {.x = x, .rows = routes.rows, .y = s.x, .n = (int)slots, .width = (int)m->hidden};
    const MixArguments mix = {.x = s.y,
                              .weights = routes.weights,
                              .positions = routes.positions,
                              .y = y,
                              .tokens = (int)tokens,
                              .per_token = m->shape.per_token,
                              .width = (int)m->hidden};
    c->prepared.x = NULL;
    if (mixture_launched(c, launches->route(stream, &route)) &&
        mixture_launched(c, launches->gather(stream, &gather)) && run_roles(c, m, &portions, room, slots, &s))
        mixture_launched(c, launches->mix(stream, &mix));
    return true;
}
