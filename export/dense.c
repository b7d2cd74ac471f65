// Numbers: what is stored as codes (GPTQ, AWQ, compressed-tensors, MXFP4, F8) as the numbers that it stands for, and
// what the plan quantizes as the numbers that its codes stand for, under the names and in the layout that the family's
// own code has. So any engine runs a recipe, in 16 bits, and a checkpoint without codes can be had again.
#include <stdio.h>
#include <string.h>

#include "export/export_parts.h"

static bool dense_check(Export *x, Error *err) {
    (void)err;
    warn_inputs(x);
    return true;
}

// ---- Tensors ----

static DType type_of(const Export *x) {
    static const DType types[] = {
        [EXPORT_TYPE_BF16] = DTYPE_BF16, [EXPORT_TYPE_F16] = DTYPE_F16, [EXPORT_TYPE_F32] = DTYPE_F32};
    const DType model = structure_dtype(x->model->structure);
    if (x->options->type != EXPORT_TYPE_MODEL) return types[x->options->type];
    return dtype_is_float16_or_32(model) ? model : DTYPE_BF16;
}

// A matrix that is computed: from the plan's codes, or from those of the checkpoint.
static bool is_computed(const Unit *unit) {
    return unit->kind == UNIT_LINEAR ||
           (unit->linear >= 0 && !unit->is_bias && (unit->tensor->made || tensor_is_slice(unit->tensor)));
}

static bool is_mxfp4(const Tensor *in_file) { return in_file->dtype == DTYPE_U8; }

// Whether the file of the family's own code has the matrix as [in, out]. Blocks of MXFP4 lie the other way round.
static bool is_turned(const Export *x, const Unit *unit) {
    const Linear *linear = unit_linear(x, unit);
    const bool slice = tensor_is_slice(linear->weight);
    return linear->transposed || (slice && is_mxfp4(tensor_in_file(linear->weight)));
}

// Experts of one tensor: the first has its name and shape, the others go on.
static bool describe_slice(const Export *x, Unit *unit, Error *err) {
    const Linear *linear = unit_linear(x, unit);
    const Tensor *file = tensor_in_file(linear->weight);
    const uint64_t of_blocks[] = {file->shape[0], unit->columns, unit->rows};
    char name[512];
    snprintf(name, sizeof name, "%s", file->name);
    if (is_mxfp4(file)) name[strlen(name) - strlen("_blocks")] = '\0';
    OutTensor *t = unit_add_plain(unit, name, "", type_of(x), is_mxfp4(file) ? 3 : file->rank,
                                  is_mxfp4(file) ? of_blocks : file->shape, err);
    if (!t) return false;
    t->continues = linear->expert > 0;
    t->bytes = unit->rows * unit->columns * dtype_bytes(type_of(x));
    t->block_bytes = t->bytes / unit->rows;
    return true;
}

static bool dense_describe(const Export *x, Unit *unit, Error *err) {
    if (!is_computed(unit)) return unit_add_numbers(unit, err);
    const Linear *linear = unit_linear(x, unit);
    unit->gathered = is_turned(x, unit);
    if (tensor_is_slice(linear->weight)) return describe_slice(x, unit, err);
    const uint64_t shape[] = {unit->gathered ? unit->columns : unit->rows, unit->gathered ? unit->rows : unit->columns};
    return linear->transposed
               ? unit_add_plain(unit, tensor_in_file(linear->weight)->name, "", type_of(x), 2, shape, err)
               : unit_add_plain(unit, linear->name, ".weight", type_of(x), 2, shape, err);
}

// ---- Bytes ----

enum { RUN = 256 }; // numbers at a time

// n numbers of a row of the piece, which lie in one group.
static void read_run(const Unit *unit, const Piece *piece, size_t row, size_t column, size_t n, float *out) {
    const DType type = unit->tensor->dtype;
    const size_t at = row * unit->columns + column;
    if (piece->codes)
        quantized_values(piece->codes, row, column / piece->codes->group, piece->codes->codes + at, n, out);
    else
        floats_from(type, (const char *)piece->numbers + at * dtype_bytes(type), n, out);
}

static void put_run(const Unit *unit, const Piece *piece, size_t row, size_t column, size_t n, const float *numbers) {
    const DType type = (DType)unit->tensors[0].type;
    char *out = piece->out[0];
    if (!unit->gathered) {
        numbers_put(type, out + (row * unit->columns + column) * dtype_bytes(type), n, numbers);
        return;
    }
    for (size_t i = 0; i < n; i++) number_put(type, out, (column + i) * unit->rows + piece->first + row, numbers[i]);
}

static void dense_put(const Export *x, const Unit *unit, const Piece *piece) {
    if (!is_computed(unit)) {
        piece_numbers(x, unit, piece);
        return;
    }
    const size_t group = piece->codes ? piece->codes->group : unit->columns;
#pragma omp parallel for schedule(static)
    for (size_t r = 0; r < piece->rows; r++) {
        float numbers[RUN];
        for (size_t c = 0, n; c < unit->columns; c += n) {
            const size_t left = unit->columns - c, in_group = group - c % group;
            n = left < in_group ? left : in_group;
            n = n < RUN ? n : RUN;
            read_run(unit, piece, r, c, n, numbers);
            put_run(unit, piece, r, c, n, numbers);
        }
    }
}

static bool dense_finish(Export *x, Error *err) { return folder_finish(x, NULL, err); }

const FormatRow format_dense = {
    .stores = "it holds the numbers that codes stand for",
    .ending = ".safetensors",
    .loading = {{0,
                 "```python\nfrom transformers import AutoModelForCausalLM\n"
                 "model = AutoModelForCausalLM.from_pretrained(\"this folder\", dtype=\"auto\")\n```\n\nor anything "
                 "else that reads such a model.",
                 "```python\nfrom transformers import AutoModelForSeq2SeqLM\n"
                 "model = AutoModelForSeq2SeqLM.from_pretrained(\"this folder\", dtype=\"auto\")\n```\n\nor "
                 "anything else that reads such a model."}},
    .read_back = true,
    .stacks = true,
    .check = dense_check,
    .describe = dense_describe,
    .head = safetensors_head_of,
    .put = dense_put,
    .finish = dense_finish,
};
