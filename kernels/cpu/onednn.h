// What versions 2 and 3 of oneDNN do each in its own way. Version 2 keeps descriptions as structs, version 3 behind
// pointers with an owner.
#pragma once

#include <dnnl.h>
#include <stdbool.h>
#include <stddef.h>

#if DNNL_VERSION_MAJOR < 3

typedef const dnnl_memory_desc_t *OnednnDesc; // borrowed
#define ONEDNN_DESC(owned) (&(owned))

static inline bool onednn_describe(dnnl_memory_desc_t *out, size_t rows, size_t columns, dnnl_data_type_t type,
                                   dnnl_format_tag_t order) {
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    return dnnl_memory_desc_init_by_tag(out, 2, dims, type, order) == dnnl_success;
}

static inline void onednn_forget(dnnl_memory_desc_t *desc) { (void)desc; }

// bias: NULL for none.
static inline bool onednn_matmul(dnnl_engine_t engine, OnednnDesc x, OnednnDesc w, OnednnDesc bias, OnednnDesc y,
                                 dnnl_primitive_desc_t *out) {
    dnnl_matmul_desc_t matmul;
    return dnnl_matmul_desc_init(&matmul, x, w, bias, y) == dnnl_success &&
           dnnl_primitive_desc_create(out, &matmul, NULL, engine, NULL) == dnnl_success;
}

#else

typedef const_dnnl_memory_desc_t OnednnDesc;
#define ONEDNN_DESC(owned) (owned)

static inline bool onednn_describe(dnnl_memory_desc_t *out, size_t rows, size_t columns, dnnl_data_type_t type,
                                   dnnl_format_tag_t order) {
    const dnnl_dims_t dims = {(dnnl_dim_t)rows, (dnnl_dim_t)columns};
    return dnnl_memory_desc_create_with_tag(out, 2, dims, type, order) == dnnl_success;
}

static inline void onednn_forget(dnnl_memory_desc_t *desc) { dnnl_memory_desc_destroy(*desc); }

static inline bool onednn_matmul(dnnl_engine_t engine, OnednnDesc x, OnednnDesc w, OnednnDesc bias, OnednnDesc y,
                                 dnnl_primitive_desc_t *out) {
    return dnnl_matmul_primitive_desc_create(out, engine, x, w, bias, y, NULL) == dnnl_success;
}

#endif
