// Dense products of many tokens by oneDNN: BF16 × BF16 → float, with the bf16 instructions (or AMX tiles) that the
// processor has. Weights are read in place. Primitives take long to make, so they are kept per shape. For oneDNN 2
// and 3.
#include "kernels/cpu/cpu.h"

#ifdef QUANTDIAL_ONEDNN

#include <omp.h>
#include <stdlib.h>

#include "kernels/cpu/onednn.h"

enum { KEPT_PRIMITIVES = 128 };

typedef struct Product {
    size_t out, in, tokens;
    bool biased;
    dnnl_primitive_t primitive;
    dnnl_memory_t x, w, bias, y; // without data; bias NULL when not biased
} Product;

struct DenseLibrary {
    int threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    Product products[KEPT_PRIMITIVES];
    size_t count, next; // next: the one to give up when all are taken
};

// Only where BF16 products are native: elsewhere oneDNN emulates them, slower than our own.
static bool helps_here(void) {
#ifdef QUANTDIAL_X86
    return __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
}

DenseLibrary *dense_library_new(int threads) {
    if (!helps_here()) return NULL;
    DenseLibrary *library = calloc(1, sizeof *library);
    if (!library) return NULL;
    library->threads = threads;
    if (dnnl_engine_create(&library->engine, dnnl_cpu, 0) == dnnl_success &&
        dnnl_stream_create(&library->stream, library->engine, dnnl_stream_default_flags) == dnnl_success)
        return library;
    dense_library_free(library);
    return NULL;
}

static void product_free(Product *product) {
    if (product->primitive) dnnl_primitive_destroy(product->primitive);
    dnnl_memory_t memories[] = {product->x, product->w, product->bias, product->y};
    for (int i = 0; i < 4; i++)
        if (memories[i]) dnnl_memory_destroy(memories[i]);
    *product = (Product){0};
}

void dense_library_free(DenseLibrary *library) {
    if (!library) return;
    for (size_t i = 0; i < library->count; i++) product_free(&library->products[i]);
    if (library->stream) dnnl_stream_destroy(library->stream);
    if (library->engine) dnnl_engine_destroy(library->engine);
    free(library);
}

// Without data.
static bool matrix_new(const DenseLibrary *library, size_t rows, size_t columns, dnnl_data_type_t type,
                       dnnl_format_tag_t order, dnnl_memory_t *out) {
    dnnl_memory_desc_t desc;
    if (!onednn_describe(&desc, rows, columns, type, order)) return false;
    bool made = dnnl_memory_create(out, ONEDNN_DESC(desc), library->engine, DNNL_MEMORY_NONE) == dnnl_success;
    onednn_forget(&desc);
    return made;
}

// NULL for NULL.
static OnednnDesc description_of(const_dnnl_memory_t memory) {
    OnednnDesc desc = NULL;
    if (memory && dnnl_memory_get_memory_desc(memory, &desc) != dnnl_success) return NULL;
    return desc;
}

static bool primitive_new(const DenseLibrary *library, Product *p) {
    dnnl_primitive_desc_t desc;
    if (!onednn_matmul(library->engine, description_of(p->x), description_of(p->w), description_of(p->bias),
                       description_of(p->y), &desc))
        return false;
    bool made = dnnl_primitive_create(&p->primitive, desc) == dnnl_success;
    dnnl_primitive_desc_destroy(desc);
    return made;
}

static bool product_new(const DenseLibrary *library, size_t out, size_t in, size_t tokens, bool biased, Product *p) {
    *p = (Product){.out = out, .in = in, .tokens = tokens, .biased = biased};
    // W [out, in] row by row is W' [in, out] column by column.
    bool made = matrix_new(library, tokens, in, dnnl_bf16, dnnl_ab, &p->x) &&
                matrix_new(library, in, out, dnnl_bf16, dnnl_ba, &p->w) &&
                (!biased || matrix_new(library, 1, out, dnnl_f32, dnnl_ab, &p->bias)) &&
                matrix_new(library, tokens, out, dnnl_f32, dnnl_ab, &p->y) && primitive_new(library, p);
    if (!made) product_free(p);
    return made;
}

static Product *product_for(DenseLibrary *library, size_t out, size_t in, size_t tokens, bool biased) {
    for (size_t i = 0; i < library->count; i++) {
        Product *p = &library->products[i];
        if (p->out == out && p->in == in && p->tokens == tokens && p->biased == biased) return p;
    }
    Product made;
    if (!product_new(library, out, in, tokens, biased, &made)) return NULL;
    size_t place = library->count < KEPT_PRIMITIVES ? library->count++ : library->next++ % KEPT_PRIMITIVES;
    product_free(&library->products[place]);
    library->products[place] = made;
    return &library->products[place];
}

static bool onednn_run(DenseLibrary *library, const void *w, size_t out, size_t in, const float *bias,
                       const uint16_t *x, size_t tokens, float *y) {
    Product *p = product_for(library, out, in, tokens, bias != NULL);
    if (!p) return false;
    dnnl_exec_arg_t args[] = {
        {DNNL_ARG_SRC, p->x}, {DNNL_ARG_WEIGHTS, p->w}, {DNNL_ARG_DST, p->y}, {DNNL_ARG_BIAS, p->bias}};
    // The interface takes data to read as it takes data to write.
    void *data[] = {(void *)x, (void *)w, y, (void *)bias};
    int count = bias ? 4 : 3;
    for (int i = 0; i < count; i++)
        if (dnnl_memory_set_data_handle(args[i].memory, data[i]) != dnnl_success) return false;
    return dnnl_primitive_execute(p->primitive, library->stream, count, args) == dnnl_success &&
           dnnl_stream_wait(library->stream) == dnnl_success;
}

bool dense_library_product(DenseLibrary *library, const void *w, size_t out, size_t in, const float *bias,
                           const uint16_t *x, size_t tokens, float *y) {
    // oneDNN takes as many threads as OpenMP would give, when a primitive is made and when it runs. The setting is the
    // calling thread's own.
    int before = omp_get_max_threads();
    omp_set_num_threads(library->threads);
    bool done = onednn_run(library, w, out, in, bias, x, tokens, y);
    omp_set_num_threads(before);
    return done;
}

#else

DenseLibrary *dense_library_new(int threads) {
    (void)threads;
    return NULL;
}

void dense_library_free(DenseLibrary *library) { (void)library; }

bool dense_library_product(DenseLibrary *library, const void *w, size_t out, size_t in, const float *bias,
                           const uint16_t *x, size_t tokens, float *y) {
    (void)library, (void)w, (void)out, (void)in, (void)bias, (void)x, (void)tokens, (void)y;
    return false;
}

#endif
