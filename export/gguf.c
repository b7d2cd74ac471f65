// GGUF as a format of the export: one file that llama.cpp reads, with the tokenizer inside.
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "export/export_parts.h"
#include "export/gguf_blocks.h"
#include "export/gguf_can_run.h"
#include "export/gguf_keys.h"
#include "export/gguf_tokenizer.h"

// ---- What can be held ----

static void warn(Export *x, const char *note) {
    const size_t length = strlen(x->warning);
    if (*note) snprintf(x->warning + length, sizeof x->warning - length, "%s%s", length ? "; " : "", note);
}

static bool check_linears(const Export *x, Error *err) {
    const ModelStructure *s = x->model->structure;
    int refused = 0;
    Error first = {0};
    for (int i = 0; i < s->linear_count; i++) {
        Error why = {0};
        GgufType type;
        if (gguf_can_hold(&s->linears[i], &x->model->plan->decisions[i], &type, &why)) continue;
        if (!refused++) first = why;
    }
    if (!refused && gguf_architecture(s)->tied && s->head >= 0 && x->model->plan->decisions[s->head].quantized)
        return error_set(err, "%s: llama.cpp's %s has no head beside the embedding; leave it out with \"ignore\"",
                         s->linears[s->head].name, gguf_architecture(s)->name);
    if (refused > 1) return error_set(err, "%s (and %d more)", first.message, refused - 1);
    return !refused || error_set(err, "%s", first.message);
}

static void note_activations(Export *x) {
    const Plan *plan = x->model->plan;
    for (int i = 0; i < plan->linear_count; i++) {
        if (!plan->decisions[i].quantized || plan->decisions[i].activations == POLICY_NONE) continue;
        warn(x, "GGUF does not say how inputs are quantized: llama.cpp always takes 8 bits in blocks of 32");
        return;
    }
}

// One tensor has one type.
static bool alike(const Decision *a, const Decision *b) { return a->bits == b->bits && a->grid == b->grid; }

static bool check(Export *x, Error *err) {
    const ModelStructure *s = x->model->structure;
    char note[256];
    if (!gguf_can_run(s, note, sizeof note, err) || !check_linears(x, err) || !refuse_experts(x, true, alike, err))
        return false;
    warn(x, note);
    note_activations(x);
    GgufHead unused = {0}; // what it would say is known now
    const bool ok =
        gguf_add_tokenizer(&unused, s->checkpoint->documents, (size_t)s->embedding->shape[0], note, sizeof note, err);
    warn(x, note);
    gguf_head_free(&unused);
    x->own = array_new(1, sizeof(GgufScales));
    return ok && (x->own || error_memory(err, "the export"));
}

// ---- What a unit becomes ----

static bool is_embedding(const Export *x, const Unit *unit) {
    const Tensor *table = x->model->structure->embedding;
    return unit->kind == UNIT_NUMBERS && (unit->tensor == table || unit->tensor == tensor_in_file(table));
}

static bool name_unit(const Export *x, const Unit *unit, char name[GGUF_NAME_ROOM]) {
    const ModelStructure *s = x->model->structure;
    snprintf(name, GGUF_NAME_ROOM, "token_embd.weight");
    if (is_embedding(x, unit)) return true;
    if (unit->linear >= 0) return gguf_linear_name(s, unit->linear, unit->is_bias, name);
    return unit->norm >= 0 && gguf_norm_name(s, unit->norm, unit->is_bias, name);
}

static bool is_router(const Export *x, const Unit *unit) {
    return unit->linear >= 0 && unit_linear(x, unit)->role == ROLE_ROUTER;
}

// llama.cpp wants vectors in F32, and a router of one row is one; the others are small, and decide.
static GgufType type_of_unit(const Export *x, const Unit *unit) {
    GgufType type;
    if (unit->tensor->rank == 1 || is_router(x, unit)) return GGUF_F32;
    if (unit->kind == UNIT_NUMBERS) return gguf_type_of(unit->tensor->dtype);
    gguf_can_hold(unit_linear(x, unit), unit_decision(x, unit), &type, NULL);
    return type;
}

static size_t paired_rows(const Export *x, const Unit *unit) {
    return unit->linear < 0 ? 0 : gguf_paired_rows(x->model->structure, unit->linear);
}

// The first expert of a layer has the name and shape of all.
static bool describe(const Export *x, Unit *unit, Error *err) {
    char name[GGUF_NAME_ROOM];
    if (!name_unit(x, unit, name)) return true;
    const GgufType type = type_of_unit(x, unit);
    const int expert = unit->linear < 0 ? -1 : unit_linear(x, unit)->expert;
    const uint64_t experts = (uint64_t)x->model->structure->config.experts.count;
    const uint64_t shape[] = {experts, unit->rows, unit->columns}, row = gguf_bytes(type, unit->columns);
    const int rank = expert >= 0 ? 3 : unit->tensor->rank == 1 || (is_router(x, unit) && unit->rows == 1) ? 1 : 2;
    OutTensor *tensor = unit_add(unit, name, "", (int)type, 1, rank, shape + 3 - rank, err);
    if (!tensor) return false;
    tensor->continues = expert > 0;
    tensor->bytes = row * unit->rows;
    tensor->block_bytes = (size_t)row;
    tensor->align = GGUF_ALIGNMENT;
    // The rows of a head change places.
    const size_t paired = paired_rows(x, unit);
    if (paired && unit->row_step < unit->rows) unit->row_step = paired;
    return true;
}

// ---- Bytes ----

// Rows of numbers as they are, those of a head in their new order.
static void put_rows(const Unit *unit, const Piece *piece, size_t paired, char *out) {
    const size_t bytes = unit->columns * dtype_bytes(unit->tensor->dtype);
    const char *rows = piece->numbers;
#pragma omp parallel for schedule(static) if (piece->rows * bytes > 1 << 20)
    for (size_t r = 0; r < piece->rows; r++) memcpy(out + r * bytes, rows + gguf_source_row(r, paired) * bytes, bytes);
}

static void put_router(const Unit *unit, const Piece *piece, float *out) {
    floats_from(unit->tensor->dtype, piece->numbers, piece->rows * unit->columns, out);
}

// Gains that are stored less one are whole here.
static void put_vector(const Export *x, const Unit *unit, const Piece *piece, size_t paired, float *out) {
    const DType type = unit->tensor->dtype;
    const bool is_gain = unit->norm >= 0 && !unit->is_bias;
    const float more = is_gain && norm_adds_one(x->model->structure->config.norm) ? 1 : 0;
    const char *numbers = piece->numbers;
    for (size_t i = 0; i < unit->columns; i++) {
        const size_t from = gguf_source_row(i, paired);
        floats_from(type, numbers + from * dtype_bytes(type), 1, &out[i]);
        out[i] += more;
        if (piece->divisors) out[i] /= piece->divisors[from];
    }
}

static void count_scales(const QuantizedWeight *w, GgufScales *all) {
    GgufScales here = {0};
    gguf_count_scales(w, &here);
#pragma omp critical(gguf_scales)
    {
        all->all += here.all;
        all->changed += here.changed;
        all->worst = fmaxf(all->worst, here.worst);
    }
}

static void put(const Export *x, const Unit *unit, const Piece *piece) {
    const size_t paired = paired_rows(x, unit);
    if (unit->kind == UNIT_LINEAR) {
        gguf_pack(piece->codes, (GgufType)unit->tensors[0].type, paired, 0, piece->rows, piece->out[0]);
        count_scales(piece->codes, x->own);
    } else if (unit->tensor->rank == 1) {
        put_vector(x, unit, piece, paired, piece->out[0]);
    } else if (is_router(x, unit)) {
        put_router(unit, piece, piece->out[0]);
    } else {
        put_rows(unit, piece, paired, piece->out[0]);
    }
}

// ---- The head ----

// The type that most weights of linears in layers have.
static GgufType commonest_type(const Export *x, const OutFile *file) {
    uint64_t counts[GGUF_BF16 + 1] = {0};
    GgufType most = GGUF_F32;
    for (size_t i = file->first; i < file->end; i++) {
        const Unit *unit = &x->units[i];
        if (unit->linear < 0 || unit->is_bias || unit_linear(x, unit)->layer < 0) continue;
        const int type = unit->tensors[0].type;
        counts[type] += unit->rows * unit->columns;
        if (counts[type] > counts[most]) most = (GgufType)type;
    }
    return most;
}

// By which a file that is there is known to be this one (single_file.c).
static void add_origin(const Export *x, GgufHead *head) {
    char hash[24];
    gguf_key_u32(head, "quantdial.export", JOURNAL_VERSION);
    snprintf(hash, sizeof hash, "%016" PRIx64, x->model->structure->checkpoint->content);
    gguf_key_string(head, "quantdial.source", hash);
    snprintf(hash, sizeof hash, "%016" PRIx64, journal_plan(x));
    gguf_key_string(head, "quantdial.plan", hash);
}

static bool head(const Export *x, OutFile *file, Error *err) {
    const ModelStructure *s = x->model->structure;
    GgufHead head = {0};
    Text first = {0}; // data that belongs to no unit; it stands at the end of what is written before them
    char note[256];
    gguf_add_keys(&head, s, commonest_type(x, file));
    add_origin(x, &head);
    gguf_add_rope(&head, &s->config, &first);
    bool ok =
        gguf_add_tokenizer(&head, s->checkpoint->documents, (size_t)s->embedding->shape[0], note, sizeof note, err);
    for (size_t i = file->first; i < file->end; i++) {
        const OutTensor *t = &x->units[i].tensors[0];
        if (t->continues) continue;
        const uint64_t at = gguf_head_add(&head, t->name, (GgufType)t->type, t->rank, t->shape);
        assert(at == first.length + t->at);
        (void)at;
    }
    ok = ok && gguf_head_end(&head, err);
    text_add(&head.text, first.data, first.length);
    if (ok && (head.text.failed || first.failed)) ok = error_memory(err, "the head of a GGUF file");
    file->data_bytes = head.data_bytes - first.length;
    text_free(&first);
    if (ok)
        file->head = head.text;
    else
        gguf_head_free(&head);
    return ok;
}

// ---- The file and what stands beside it ----

static void name_file(const Export *x, OutFile *file) {
    char model[GGUF_NAME_ROOM];
    gguf_model_name(x->model->structure, model, sizeof model);
    snprintf(file->name, sizeof file->name, "%s-%s.gguf", model, gguf_type_name(commonest_type(x, file)));
}

static bool finish(Export *x, Error *err) {
    char note[160];
    gguf_scales_note(x->own, note, sizeof note);
    warn(x, note);
    return folder_put_card(x, err);
}

const FormatRow format_gguf = {
    .stores = "each block of 32 weights has a scale of 16 bits of its own",
    .library = "",
    .ending = ".gguf",
    .loading = {{1U << TARGET_LLAMA_CPP, "```sh\nllama-cli -m FILE.gguf\n```", NULL}},
    .one_file = true,
    .joins = true,
    .name = name_file,
    .check = check,
    .describe = describe,
    .head = head,
    .put = put,
    .finish = finish,
};
