#include "tests/support/toy_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/random.h"
#include "quant/vote_counts.h"

#define PER_LAYER 7
#define VOCABULARY 1000

static void *needed(void *memory) {
    if (!memory) abort();
    return memory;
}

static void set_linear(ToyModel *model, int index, const char *name, LinearRole role, int layer, size_t out,
                       size_t in) {
    Linear *linear = &model->structure.linears[index];
    Tensor *tensor = &model->tensors[index];
    char full[128];
    if (layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "model.layers.%d.%s", layer, name);
    *tensor = (Tensor){.dtype = model->tensors->dtype, .rank = 2, .shape = {out, in}};
    tensor->bytes = out * in * dtype_bytes(tensor->dtype);
    *linear = (Linear){.role = role, .layer = layer, .expert = -1, .out = out, .in = in, .weight = tensor};
    tensor->name = linear->name = needed(strdup(full));
    linear->fused_set = -1;
    linear->quantizable = role != ROLE_HEAD;
    model->checkpoint.bytes += tensor->bytes;
}

static void set_layer(ToyModel *model, int layer, size_t hidden, size_t kv, size_t ffn) {
    int at = layer * PER_LAYER;
    set_linear(model, at, "self_attn.q_proj", ROLE_Q, layer, hidden, hidden);
    set_linear(model, at + 1, "self_attn.k_proj", ROLE_K, layer, kv, hidden);
    set_linear(model, at + 2, "self_attn.v_proj", ROLE_V, layer, kv, hidden);
    set_linear(model, at + 3, "self_attn.o_proj", ROLE_O, layer, hidden, hidden);
    set_linear(model, at + 4, "mlp.gate_proj", ROLE_GATE, layer, ffn, hidden);
    set_linear(model, at + 5, "mlp.up_proj", ROLE_UP, layer, ffn, hidden);
    set_linear(model, at + 6, "mlp.down_proj", ROLE_DOWN, layer, hidden, ffn);
    static const int input[PER_LAYER] = {0, 0, 0, 1, 2, 2, 3};
    for (int i = 0; i < PER_LAYER; i++) {
        Linear *linear = &model->structure.linears[at + i];
        linear->input = layer * 4 + input[i];
        if (input[i] == 0 || input[i] == 2) {
            linear->fold = FOLD_NORM;
            linear->fold_index = layer * 2 + input[i] / 2;
            linear->fused_set = linear->fold_index;
        }
    }
    model->structure.linears[at + 3].fold = model->structure.linears[at + 6].fold = FOLD_LINEAR_ROWS;
    model->structure.linears[at + 3].fold_index = at + 2;
    model->structure.linears[at + 6].fold_index = at + 5;
}

static void set_inputs(ToyModel *model) {
    model->measured.input_count = model->structure.input_count;
    model->measured.inputs = needed(array_new((size_t)model->structure.input_count, sizeof(InputMeasure)));
    for (int i = 0; i < model->structure.input_count; i++) {
        model->measured.inputs[i] = (InputMeasure){.known = true, .tokens = 1, .range = 1};
    }
}

static void make_room(ToyModel *model, int linears, int inputs, DType dtype) {
    *model = (ToyModel){0};
    model->structure.linear_count = model->measured.linear_count = linears;
    model->structure.input_count = inputs;
    model->structure.linears = needed(array_new((size_t)linears, sizeof(Linear)));
    model->structure.checkpoint = &model->checkpoint;
    model->tensors = needed(array_new((size_t)linears + 1, sizeof(Tensor)));
    model->measured.weights = needed(array_new((size_t)linears, sizeof(WeightMeasure)));
    model->tensors->dtype = dtype;
    set_inputs(model);
}

void toy_model_new(int layers, size_t hidden, size_t kv, size_t ffn, DType dtype, ToyModel *out) {
    int count = layers * PER_LAYER + 1;
    make_room(out, count, layers * 4 + 1, dtype);
    for (int layer = 0; layer < layers; layer++) set_layer(out, layer, hidden, kv, ffn);
    set_linear(out, count - 1, "lm_head", ROLE_HEAD, -1, VOCABULARY, hidden);
    out->structure.linears[count - 1].input = layers * 4;
    out->structure.linears[count - 1].fold = FOLD_NORM;
    out->structure.linears[count - 1].fold_index = layers * 2;
    out->structure.head = count - 1;
    out->tensors[count] = out->tensors[count - 1];
    out->structure.embedding = &out->tensors[count];
    out->checkpoint.bytes += out->tensors[count].bytes;
}

static void set_expert(ToyModel *model, int at, int layer, int expert, int input, int own_input, size_t hidden,
                       size_t ffn) {
    static const char *const names[] = {"gate_proj", "up_proj", "down_proj"};
    static const LinearRole roles[] = {ROLE_GATE, ROLE_UP, ROLE_DOWN};
    for (int i = 0; i < 3; i++) {
        char name[64];
        snprintf(name, sizeof name, "mlp.experts.%d.%s", expert, names[i]);
        set_linear(model, at + i, name, roles[i], layer, i == 2 ? hidden : ffn, i == 2 ? ffn : hidden);
        Linear *linear = &model->structure.linears[at + i];
        linear->expert = expert;
        linear->input = i == 2 ? own_input : input;
        linear->fold = i == 2 ? FOLD_LINEAR_ROWS : FOLD_NORM;
        linear->fold_index = i == 2 ? at + 1 : layer;
    }
}

void toy_experts_new(int layers, int experts, size_t hidden, size_t ffn, ToyModel *out) {
    make_room(out, layers * experts * 3, layers * (experts + 1), DTYPE_BF16);
    out->structure.head = -1;
    for (int layer = 0; layer < layers; layer++) {
        int input = layer * (experts + 1);
        for (int e = 0; e < experts; e++)
            set_expert(out, (layer * experts + e) * 3, layer, e, input, input + 1 + e, hidden, ffn);
    }
}

void toy_model_free(ToyModel *model) {
    for (int i = 0; i < model->structure.linear_count; i++) {
        free(model->structure.linears[i].name);
        vote_counts_free(&model->measured.weights[i].votes);
    }
    free(model->structure.linears);
    free(model->measured.weights);
    free(model->measured.inputs);
    free(model->tensors);
    *model = (ToyModel){0};
}

void toy_votes(ToyModel *model, int linear, int outlier, uint64_t seed) {
    const Linear *l = &model->structure.linears[linear];
    size_t groups = l->in / LADDER_FLOOR;
    float *low = needed(array_new(l->out * groups, sizeof *low)),
          *high = needed(array_new(l->out * groups, sizeof *high));
    double energy = 0;
    Random random = random_seeded(seed);
    for (size_t i = 0; i < l->out * l->in && groups * LADDER_FLOOR == l->in; i++) {
        float x = (float)random_normal(&random) * ((int)(i % l->in) == outlier ? 10 : 1);
        energy += (double)x * (double)x;
        size_t g = i / LADDER_FLOOR;
        if (i % LADDER_FLOOR == 0 || x < low[g]) low[g] = x;
        if (i % LADDER_FLOOR == 0 || x > high[g]) high[g] = x;
    }
    VoteCounts *votes = &model->measured.weights[linear].votes;
    if (!vote_counts_build(low, high, l->out, l->in, LADDER_FLOOR, votes, NULL)) abort();
    model->measured.weights[linear].energy = energy;
    model->measured.weights[linear].known = true;
    free(low);
    free(high);
}
