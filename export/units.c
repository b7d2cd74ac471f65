// What is written where: the units of a checkpoint, what the format makes of each, and their places in files.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/export_parts.h"
#include "export/safetensors_writer.h"
#include "quant/equalize.h"

#define SHARD_BYTES ((size_t)4 << 30)
enum { WIDEST = 64 };   // of all alignments
enum { ROW_STEP = 32 }; // rows of any number of bits fill whole words

const Decision *unit_decision(const Export *x, const Unit *unit) { return &x->model->plan->decisions[unit->linear]; }
const Linear *unit_linear(const Export *x, const Unit *unit) { return &x->model->structure->linears[unit->linear]; }

// ---- What a tensor of the checkpoint is ----

typedef enum PartKind { PART_WEIGHT, PART_BIAS, PART_GAIN, PART_NORM_BIAS, PART_TABLE } PartKind;

typedef struct Part {
    const Tensor *file; // the tensor of the file that holds it
    const Tensor *tensor;
    PartKind kind;
    int index; // of the linear or norm
} Part;

typedef struct Parts {
    Part *items;
    size_t count;
} Parts;

static int compare_parts(const void *a, const void *b) {
    const Part *x = a, *y = b;
    if (x->file != y->file) return (uintptr_t)x->file < (uintptr_t)y->file ? -1 : 1;
    return x->kind != y->kind ? (int)y->kind - (int)x->kind : x->index - y->index; // an embedding before the head
}

static void add_part(Parts *parts, const Tensor *tensor, PartKind kind, int index) {
    if (tensor) parts->items[parts->count++] = (Part){tensor_in_file(tensor), tensor, kind, index};
}

static bool list_parts(const ModelStructure *s, Parts *out, Error *err) {
    out->items = array_new(2 * (size_t)s->linear_count + 2 * (size_t)s->norm_count + 5, sizeof *out->items);
    if (!out->items) return error_memory(err, "the list of tensors");
    for (int i = 0; i < s->linear_count; i++) {
        add_part(out, s->linears[i].weight, PART_WEIGHT, i);
        add_part(out, s->linears[i].bias, PART_BIAS, i);
    }
    for (int i = 0; i < s->norm_count; i++) {
        add_part(out, s->norms[i].gain, PART_GAIN, i);
        add_part(out, s->norms[i].bias, PART_NORM_BIAS, i);
    }
    add_part(out, s->embedding, PART_TABLE, 0);
    add_part(out, s->encoder.position_rows, PART_TABLE, 1);
    add_part(out, s->encoder.relative, PART_TABLE, 2);
    add_part(out, s->ends.position_rows, PART_TABLE, 3);
    add_part(out, s->ends.relative, PART_TABLE, 4);
    qsort(out->items, out->count, sizeof *out->items, compare_parts);
    return true;
}

// The first part of this tensor; NULL when it is none of them.
static const Part *find_part(const Parts *parts, const Tensor *tensor) {
    size_t low = 0, high = parts->count;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if ((uintptr_t)parts->items[middle].file < (uintptr_t)tensor)
            low = middle + 1;
        else
            high = middle;
    }
    return low < parts->count && parts->items[low].file == tensor ? &parts->items[low] : NULL;
}

// ---- Units ----

static void set_size(Unit *unit) {
    const Tensor *t = unit->tensor;
    const size_t elements = (size_t)tensor_elements(t);
    unit->rows = t->rank > 1 ? (size_t)t->shape[0] : 1;
    unit->columns = unit->rows ? elements / unit->rows : 0;
}

static bool add_unit(Export *x, Unit unit, Error *err) {
    if (!array_grow(&x->units, x->unit_count, &x->unit_capacity, sizeof *x->units))
        return error_memory(err, "the list of tensors");
    set_size(&unit);
    // One scale for the whole matrix is found only from all of it.
    const bool whole = unit.kind == UNIT_LINEAR && unit_decision(x, &unit)->granularity == GRANULARITY_TENSOR;
    unit.row_step = whole ? unit.rows : ROW_STEP;
    Unit *added = &x->units[x->unit_count++];
    *added = unit;
    if (!x->format->describe(x, added, err)) return false;
    x->unit_count -= added->tensor_count == 0;
    return true;
}

static Unit numbers_unit(const char *name, const Tensor *tensor) {
    return (Unit){
        .kind = UNIT_NUMBERS, .name = name, .tensor = tensor, .linear = -1, .norm = -1, .divided_by = -1, .file = -1};
}

static bool add_weight(Export *x, const Part *part, bool *copied, Error *err) {
    const ModelStructure *s = x->model->structure;
    const Linear *linear = &s->linears[part->index];
    const bool slice = x->format->stacks && tensor_is_slice(linear->weight);
    const bool in_file = !slice && (linear->transposed || linear->weight->whole || !linear->weight->made);
    Unit unit = numbers_unit(part->file->name, part->tensor);
    unit.linear = part->index;
    if (x->model->plan->decisions[part->index].quantized) {
        unit.kind = UNIT_LINEAR;
        unit.name = linear->name;
    } else if (linear->weight == s->embedding || (in_file && *copied)) {
        return true; // experts share a tensor, and a tied head has none
    } else if (in_file) {
        unit.tensor = part->file;
        *copied = true;
    } else {
        unit.name = part->tensor->name;
    }
    return add_unit(x, unit, err);
}

// Biases of experts may be rows of one tensor, which is copied.
static bool add_vector(Export *x, const Part *part, bool *copied, Error *err) {
    const bool of_linear = part->kind == PART_BIAS, row = tensor_is_slice(part->tensor);
    const int reader = (of_linear ? x->row_readers : x->norm_readers)[part->index];
    if (row && reader >= 0)
        return error_set(err,
                         "%s: is one of several biases in a tensor, and factors cannot be folded into it; use "
                         "--fold norm",
                         x->model->structure->linears[part->index].name);
    if (row && *copied) return true;
    *copied |= row;
    const Tensor *tensor = row ? part->file : part->tensor;
    Unit unit = numbers_unit(tensor->name, tensor);
    if (row) return add_unit(x, unit, err);
    unit.is_bias = part->kind != PART_GAIN;
    unit.linear = of_linear ? part->index : -1;
    unit.norm = of_linear ? -1 : part->index;
    unit.divided_by = reader;
    return add_unit(x, unit, err);
}

static bool add_parts(Export *x, const Parts *parts, const Part *part, Error *err) {
    bool ok = true, copied = false;
    const Tensor *file = part->file;
    for (; ok && part < parts->items + parts->count && part->file == file; part++) {
        if (part->kind == PART_WEIGHT)
            ok = add_weight(x, part, &copied, err);
        else if (part->kind == PART_TABLE)
            ok = add_unit(x, numbers_unit(part->tensor->name, part->tensor), err);
        else
            ok = add_vector(x, part, &copied, err);
    }
    return ok;
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->name, (*(const Tensor *const *)b)->name);
}

// Scales and zero points are behind what they scale, which was made.
static bool is_copied(const ModelStructure *s, const Tensor *tensor) {
    char codes[512];
    return s->rest_count && bsearch(&tensor, s->rest, s->rest_count, sizeof *s->rest, compare_names) &&
           !stored_is_part(s->checkpoint, tensor, codes, sizeof codes);
}

// In the order of the files, so that they are read from beginning to end. Where two files have a tensor, one counts.
static bool list_units(Export *x, const Parts *parts, Error *err) {
    const Checkpoint *checkpoint = x->model->structure->checkpoint;
    bool ok = true;
    for (size_t f = 0; ok && f < checkpoint->file_count; f++) {
        for (size_t i = 0; ok && i < checkpoint->files[f].tensor_count; i++) {
            const Tensor *tensor = &checkpoint->files[f].tensors[i];
            if (checkpoint_find(checkpoint, tensor->name) != tensor) continue;
            const Part *part = find_part(parts, tensor);
            if (part)
                ok = add_parts(x, parts, part, err);
            else if (is_copied(x->model->structure, tensor))
                ok = add_unit(x, numbers_unit(tensor->name, tensor), err);
        }
    }
    return ok;
}

// ---- Experts that become one tensor ----

typedef struct Turn {
    size_t first; // where the first expert of the projection stood
    int expert;
    size_t unit;
} Turn;

static int compare_turns(const void *a, const void *b) {
    const Turn *x = a, *y = b;
    if (x->first != y->first) return x->first < y->first ? -1 : 1;
    return x->expert != y->expert ? x->expert - y->expert : (x->unit > y->unit) - (x->unit < y->unit);
}

static void list_turns(const Export *x, size_t *firsts, Turn *out) {
    for (size_t i = 0; i < x->unit_count; i++) {
        const Linear *linear = x->units[i].linear >= 0 ? unit_linear(x, &x->units[i]) : NULL;
        out[i] = (Turn){.first = i, .unit = i};
        if (!linear || linear->expert < 0) continue;
        size_t *first = &firsts[(size_t)linear->layer * ROLE_COUNT + linear->role]; // plus one; 0: none yet
        if (!*first) *first = i + 1;
        out[i].first = *first - 1;
        out[i].expert = linear->expert;
    }
}

static bool join_experts(Export *x, Error *err) {
    if (!x->format->joins || !x->model->structure->config.experts.count) return true;
    size_t *firsts = array_new((size_t)x->model->structure->config.layers * ROLE_COUNT, sizeof *firsts);
    Turn *turns = array_new(x->unit_count, sizeof *turns);
    Unit *units = array_new(x->unit_count, sizeof *units);
    const bool ok = firsts && turns && units;
    if (ok) {
        list_turns(x, firsts, turns);
        qsort(turns, x->unit_count, sizeof *turns, compare_turns);
        for (size_t i = 0; i < x->unit_count; i++) units[i] = x->units[turns[i].unit];
        memcpy(x->units, units, x->unit_count * sizeof *units);
    }
    free(firsts);
    free(turns);
    free(units);
    return ok || error_memory(err, "the list of tensors");
}

// ---- Tensors of a unit ----

OutTensor *unit_add(Unit *unit, const char *name, const char *ending, int type, size_t element_bytes, int rank,
                    const uint64_t *shape, Error *err) {
    OutTensor *t = &unit->tensors[unit->tensor_count];
    *t = (OutTensor){.type = type, .rank = rank, .bytes = element_bytes, .align = element_bytes};
    for (int i = 0; i < rank; i++) t->bytes *= t->shape[i] = shape[i];
    if (asprintf(&t->name, "%s%s", name, ending) < 0) {
        t->name = NULL;
        error_memory(err, name);
        return NULL;
    }
    unit->tensor_count++;
    t->block_rows = 1;
    t->block_bytes = unit->rows ? (size_t)t->bytes / unit->rows : 0;
    return t;
}

OutTensor *unit_add_plain(Unit *unit, const char *name, const char *ending, DType type, int rank, const uint64_t *shape,
                          Error *err) {
    return unit_add(unit, name, ending, (int)type, dtype_bytes(type), rank, shape, err);
}

bool unit_add_numbers(Unit *unit, Error *err) {
    const Tensor *t = unit->tensor;
    const DType type = unit->divided_by >= 0 ? DTYPE_F32 : t->dtype;
    if (dtype_bytes(type) == 0)
        return error_set(err, "%s: tensor %s has a type that cannot be written", t->file, t->name);
    return unit_add_plain(unit, unit->name, "", type, t->rank, t->shape, err);
}

// ---- Files ----

static uint64_t unit_bytes(const Unit *unit) {
    uint64_t bytes = 0;
    for (int i = 0; i < unit->tensor_count; i++) bytes += unit->tensors[i].bytes;
    return bytes;
}

static bool new_file(Export *x, size_t first, size_t *capacity, Error *err) {
    if (!array_grow(&x->files, (size_t)x->file_count, capacity, sizeof *x->files))
        return error_memory(err, "the list of files");
    x->files[x->file_count++] = (OutFile){.first = first, .end = first};
    return true;
}

// Behind the last of the units that unit i begins a tensor of.
static size_t end_of_stack(const Export *x, size_t i) {
    do i++;
    while (i < x->unit_count && x->units[i].tensors[0].continues);
    return i;
}

static bool share_out(Export *x, Error *err) {
    const size_t most = x->format->one_file       ? SIZE_MAX
                        : x->options->shard_bytes ? x->options->shard_bytes
                                                  : SHARD_BYTES;
    size_t capacity = 0;
    uint64_t filled = 0;
    for (size_t i = 0, end; i < x->unit_count; i = end) {
        uint64_t bytes = 0;
        end = end_of_stack(x, i);
        for (size_t u = i; u < end; u++) bytes += unit_bytes(&x->units[u]);
        if (!x->file_count || (filled && filled + bytes > most)) {
            if (!new_file(x, i, &capacity, err)) return false;
            filled = 0;
        }
        filled += bytes;
        for (size_t u = i; u < end; u++) x->units[u].file = x->file_count - 1;
        x->files[x->file_count - 1].end = end;
    }
    return true;
}

static void name_files(Export *x) {
    for (int f = 0; f < x->file_count; f++) {
        OutFile *file = &x->files[f];
        if (x->format->name)
            x->format->name(x, file);
        else if (x->file_count == 1)
            snprintf(file->name, sizeof file->name, "model%s", x->format->ending);
        else
            snprintf(file->name, sizeof file->name, "model-%05d-of-%05d%s", f + 1, x->file_count, x->format->ending);
    }
}

static void place_tensor(OutFile *file, OutTensor *tensor) {
    const size_t align = tensor->align;
    tensor->at = tensor->continues ? file->data_bytes : (file->data_bytes + align - 1) / align * align;
    file->data_bytes = tensor->at + tensor->bytes;
}

// Wide elements first: so each is aligned in a file without gaps, which some readers count on. Of units that make up a
// tensor together, one behind the other.
static void place_tensors(Export *x, OutFile *file) {
    for (size_t align = WIDEST; align; align /= 2) {
        for (size_t i = file->first, end; i < file->end; i = end) {
            end = end_of_stack(x, i);
            for (int t = 0; t < x->units[i].tensor_count; t++)
                for (size_t u = i; u < end && x->units[i].tensors[t].align == align; u++)
                    place_tensor(file, &x->units[u].tensors[t]);
        }
    }
}

// In the order of their places.
bool safetensors_head_of(const Export *x, OutFile *file, Error *err) {
    SafetensorsHead head;
    safetensors_head_begin(&head);
    for (size_t align = WIDEST; align; align /= 2) {
        for (size_t i = file->first; i < file->end; i++) {
            for (int t = 0; t < x->units[i].tensor_count; t++) {
                const OutTensor *tensor = &x->units[i].tensors[t];
                if (tensor->align == align && !tensor->continues)
                    safetensors_head_add(&head, tensor->name, (DType)tensor->type, tensor->rank, tensor->shape);
            }
        }
    }
    const bool ok = safetensors_head_end(&head, err);
    file->head = head.text;
    return ok;
}

static bool lay_out_files(Export *x, Error *err) {
    if (!share_out(x, err)) return false;
    name_files(x);
    for (int f = 0; f < x->file_count; f++) {
        place_tensors(x, &x->files[f]);
        if (!x->format->head(x, &x->files[f], err)) return false;
        x->bytes += out_file_bytes(&x->files[f]);
    }
    return x->file_count > 0 || error_set(err, "%s holds no tensors", x->model->structure->checkpoint->path);
}

// ---- Factors ----

static bool find_readers(Export *x, Error *err) {
    const ModelStructure *s = x->model->structure;
    x->row_readers = array_new((size_t)s->linear_count, sizeof *x->row_readers);
    x->norm_readers = array_new((size_t)s->norm_count, sizeof *x->norm_readers);
    if (!x->row_readers || !x->norm_readers) return error_memory(err, "the list of linears");
    equalize_row_readers(s, x->model->plan, x->row_readers);
    return equalize_norm_readers(s, x->model->plan, x->norm_readers, err);
}

// An engine knows nothing of factors: they have to be in the weights.
static bool check_folds(const Export *x, Error *err) {
    const Plan *plan = x->model->plan;
    int count = 0, first = -1;
    for (int i = 0; i < plan->linear_count; i++) {
        if (!decision_equalizes(&plan->decisions[i])) continue;
        if (equalize_is_folded(plan, x->row_readers, x->norm_readers, i)) continue;
        if (!count++) first = i;
    }
    return !count || error_set(err,
                               "%s%s: its input is equalized at run time, which no checkpoint can say; use "
                               "--unfoldable token (%d such linears)",
                               x->model->structure->linears[first].name, count > 1 ? " and others" : "", count);
}

bool units_make(Export *x, Error *err) {
    Parts parts = {0};
    bool ok = find_readers(x, err) && check_folds(x, err) && x->format->check(x, err) && refuse_stored_stacks(x, err) &&
              list_parts(x->model->structure, &parts, err) && list_units(x, &parts, err) && join_experts(x, err) &&
              lay_out_files(x, err);
    free(parts.items);
    return ok;
}

void units_free(Export *x) {
    for (size_t i = 0; i < x->unit_count; i++) {
        for (int t = 0; t < x->units[i].tensor_count; t++) free(x->units[i].tensors[t].name);
    }
    for (int f = 0; f < x->file_count; f++) text_free(&x->files[f].head);
    free(x->units);
    free(x->files);
    free(x->row_readers);
    free(x->norm_readers);
    free(x->own);
}
