// Names: those of transformers 4 and 5, of Mistral's and OpenAI's own files, diffusers and timm.
#include "loaders/tensor_kind.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define WEIGHT ".weight"

// ---- Names ----

TensorName tensor_name_parts(const char *name) {
    TensorName out = {.full = name, .end = (int)strlen(name), .bare = true};
    const int ending = (int)strlen(WEIGHT);
    if (out.end > ending && strcmp(name + out.end - ending, WEIGHT) == 0) {
        out.end -= ending;
        out.bare = false;
    }
    for (out.begin = out.end; out.begin > 0 && name[out.begin - 1] != '.';) out.begin--;
    out.parent = out.begin ? out.begin - 1 : 0;
    return out;
}

static TensorName name_of_parent(const TensorName *name) {
    TensorName parent = {.full = name->full, .begin = name->parent, .end = name->parent, .bare = name->bare};
    while (parent.begin > 0 && name->full[parent.begin - 1] != '.') parent.begin--;
    parent.parent = parent.begin ? parent.begin - 1 : 0;
    return parent;
}

// Whether name[begin … end) is `word`; a word that begins with * is an ending, one that ends with * a beginning, and
// one with both may stand anywhere. Letters in either case.
static bool word_matches(const char *name, int begin, int end, const char *word) {
    const int length = (int)strlen(word), have = end - begin;
    const bool open_before = word[0] == '*', open_behind = word[length - 1] == '*';
    const int need = length - open_before - open_behind;
    if (have < need || (!open_before && !open_behind && have != need)) return false;
    for (int at = open_before ? open_behind ? 0 : have - need : 0; at + need <= have; at++) {
        if (strncasecmp(name + begin + at, word + open_before, (size_t)need) == 0) return true;
        if (!open_before || !open_behind) return false;
    }
    return false;
}

static bool is_one_of(const TensorName *name, const char *const *words) {
    for (; *words; words++) {
        if (word_matches(name->full, name->begin, name->end, *words)) return true;
    }
    return false;
}

// Whether one of the parts before the module's own name is one of the words.
static bool is_within(const TensorName *name, const char *const *words) {
    for (int begin = 0, end; begin < name->parent; begin = end + 1) {
        end = begin + (int)strcspn(name->full + begin, ".");
        for (const char *const *word = words; *word; word++) {
            if (word_matches(name->full, begin, end, *word)) return true;
        }
    }
    return false;
}

// ---- Neighbours ----

static const Tensor *find_sibling(const Checkpoint *checkpoint, const char *stem, int length, const char *ending) {
    char name[512];
    int n = snprintf(name, sizeof name, "%.*s%s", length, stem, ending);
    return n > 0 && (size_t)n < sizeof name ? checkpoint_find(checkpoint, name) : NULL;
}

// Whether some tensor's name begins so.
static bool has_below(const Checkpoint *checkpoint, const char *stem, int length, const char *ending) {
    char start[512];
    int n = snprintf(start, sizeof start, "%.*s%s", length, stem, ending);
    if (n <= 0 || (size_t)n >= sizeof start) return false;
    size_t low = 0, high = checkpoint->tensor_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (strcmp(checkpoint->by_name[middle]->name, start) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < checkpoint->tensor_count && strncmp(checkpoint->by_name[low]->name, start, (size_t)n) == 0;
}

// ---- What is no linear ----

// All of these are own names: what is above says little ("norm_attn_norm.attn.Wqkv").
static const char *const biases[] = {"*bias*", NULL};
static const char *const norms[] = {"*norm", "norm*", "*norm_*", "*_norm*", "ln", "ln_*",
                                    "*_ln",  "ln1",   "ln2",     "ln3",     NULL};
static const char *const embeddings[] = {"*embed*", "*embd*", "*_token", "*_tokens", "hashbucket*", "wte", "wpe",
                                         "wpe_*",   "shared", "emb",     "*_emb",    "*codebook*",  NULL};
static const char *const modules_of_linears[] = {
    "*embedder",         "patch_embed*",       "*embed_proj*", "*embeds_proj*", "*embedding_proj*",
    "*embeddings_proj*", "*embedding_hidden*", "*embed_dim*",  "embed_out",     NULL};
static const char *const convolutions[] = {"conv*", "*conv", "*conv_*", NULL};
static const char *const flat_convolutions[] = {"ssm_conv1d", NULL}; // of GGUF, without the dimension of 1
// Parameters that are matrices of linears though no module holds them.
static const char *const bare_linears[] = {
    "*_proj", "*_proj_weight", "weight_ih_*", "weight_hh_*", "w1",     "w2",       "w3",
    "v1",     "w13",           "ws",          "w2s",         "kernel", "*_kernel", NULL};
static const char *const bare_transposed[] = {"proj", "*projection", "*projection_weight", NULL}; // x @ W
// Parameters at the top that are none.
static const char *const bare_others[] = {"*table*", "*token*",  "*latent*", "*_log",  "*scale*",
                                          "*shift*", "*query*",  "*prompt*", "*mean*", "*std*",
                                          "*freq*",  "*cached*", "d",        "a",      NULL};
static const char *const heads[] = {"*lm_head", "embed_out", "decoder", NULL};
static const char *const routers[] = {"*router*",     "*_gate_inp*", "shared_expert_gate", "shared_experts_gate",
                                      "*expert_gate", NULL};
static const char *const routed[] = {"*router*", NULL};
static const char *const gates[] = {"gate", "wg", "classifier", NULL};
static const char *const expert_parts[] = {"*expert*", "*moe*", NULL};
static const char *const stacked[] = {
    "gate_up_proj", "gate_proj", "up_proj",      "down_proj",     "w1",   "w2",      "w3",
    "v1",           "w13",       "input_linear", "output_linear", "fc1",  "fc2",     "ws",
    "w2s",          "wi",        "wo",           "wi_0",          "wi_1", "linear*", NULL};
static const char *const stacked_anywhere[] = {"input_linear", "output_linear", "gate_up_proj", "*_exps", NULL};
static const char *const stacked_in_gguf[] = {"*_exps", NULL}; // always [out, in]
static const char *const downs[] = {"down_proj", "w2", "output_linear", "fc2", "w2s", "wo", NULL};
static const char *const fused[] = {"gate_up_proj", "w13", "input_linear", "ws", NULL};

// "gate" is a linear like others where there are no experts beside it.
static bool is_router(const Checkpoint *checkpoint, const TensorName *name) {
    if (is_one_of(name, routers) || is_within(name, routed)) return true;
    if (!is_one_of(name, gates)) return false;
    const TensorName parent = name_of_parent(name);
    return has_below(checkpoint, name->full, name->parent, ".experts.") ||
           word_matches(name->full, parent.begin, parent.end, "*moe*") ||
           (word_matches(name->full, parent.begin, parent.end, "gate") &&
            has_below(checkpoint, name->full, parent.parent, ".experts."));
}

// Bias and matrix tell which way a matrix lies.
static int way_of(const Checkpoint *checkpoint, const Tensor *tensor) {
    const TensorName name = tensor_name_parts(tensor->name);
    const Tensor *bias = name.bare ? NULL : find_sibling(checkpoint, name.full, name.end, ".bias");
    if (!bias || bias->rank != 1 || tensor->rank != 2 || tensor->shape[0] == tensor->shape[1]) return 0;
    return bias->shape[0] == tensor->shape[0] ? 1 : bias->shape[0] == tensor->shape[1] ? -1 : 0;
}

// A square Conv1D does not show what it is, but others in its layer do.
static bool is_transposed(const Checkpoint *checkpoint, const Tensor *tensor, const TensorName *name) {
    static const char *const relatives[] = {".c_attn", ".c_fc", ".attn.c_attn", ".mlp.c_fc", NULL};
    static const char *const conv1d[] = {"c_attn", "c_proj", "c_fc", "q_attn", NULL};
    int way = way_of(checkpoint, tensor), length = name->parent;
    if (way || name->bare || !is_one_of(name, conv1d)) return way < 0;
    for (int up = 0; up < 2; up++) {
        for (const char *const *relative = relatives; *relative; relative++) {
            char ending[32];
            snprintf(ending, sizeof ending, "%s" WEIGHT, *relative);
            const Tensor *other = find_sibling(checkpoint, name->full, length, ending);
            if (other && way_of(checkpoint, other)) return way_of(checkpoint, other) < 0;
        }
        while (length > 0 && name->full[length - 1] != '.') length--;
        if (length) length--;
    }
    return false;
}

// ---- Kinds ----

// gpt-oss: 4-bit numbers [experts, out, blocks, 16 bytes], and a scale for every block of 32.
static bool is_mxfp4(const Checkpoint *checkpoint, const Tensor *tensor, const TensorName *name) {
    static const char *const blocks[] = {"*_blocks", NULL};
    if (tensor->rank != 4 || tensor->shape[3] != 16 || tensor->dtype != DTYPE_U8 || !is_one_of(name, blocks))
        return false;
    const Tensor *scales = find_sibling(checkpoint, name->full, name->end - (int)strlen("_blocks"), "_scales");
    return scales && scales->rank == 3 && scales->dtype == DTYPE_U8 && scales->shape[0] == tensor->shape[0] &&
           scales->shape[1] == tensor->shape[1] && scales->shape[2] == tensor->shape[2];
}

static bool is_stacked(const Tensor *tensor, const TensorName *name) {
    const bool named = is_one_of(name, stacked), within = is_within(name, expert_parts);
    if (tensor->rank == 2) { // DBRX
        static const char *const dbrx[] = {"w1", "v1", "w2", NULL}, *const mlp[] = {"experts", NULL};
        return name->bare && is_one_of(name, dbrx) && is_within(name, mlp);
    }
    return tensor->rank == 3 && ((named && within) || is_one_of(name, stacked_anywhere));
}

static TensorKind kind_of_matrix(const Checkpoint *checkpoint, const Tensor *tensor, const TensorName *name) {
    static const char *const top_heads[] = {"output", "head", NULL}, *const tall_heads[] = {"output_layer", NULL};
    const bool top_level = !name->begin, thin = tensor->shape[0] < 2 || tensor->shape[1] < 2;
    if (is_router(checkpoint, name)) return TENSOR_ROUTER;
    if (is_one_of(name, heads) || (top_level && is_one_of(name, top_heads)) ||
        (is_one_of(name, tall_heads) && tensor->shape[0] > tensor->shape[1]))
        return TENSOR_HEAD;
    if (name->bare && is_one_of(name, bare_transposed)) return TENSOR_LINEAR_TRANSPOSED;
    if (name->bare && (thin || (top_level ? is_one_of(name, bare_others) : !is_one_of(name, bare_linears))))
        return TENSOR_OTHER;
    return is_transposed(checkpoint, tensor, name) ? TENSOR_LINEAR_TRANSPOSED : TENSOR_LINEAR;
}

// No table of rows has a bias. One of a list ("embeds.0.weight") is what the list is.
static bool is_embedding(const Checkpoint *checkpoint, const TensorName *name) {
    const TensorName list = name_of_parent(name);
    const bool numbered = (int)strspn(name->full + name->begin, "0123456789") >= name->end - name->begin;
    const TensorName *own = numbered ? &list : name;
    return is_one_of(own, embeddings) && !is_one_of(own, modules_of_linears) &&
           (name->bare || !find_sibling(checkpoint, name->full, name->end, ".bias"));
}

TensorKind tensor_kind(const Checkpoint *checkpoint, const Tensor *tensor) {
    const TensorName name = tensor_name_parts(tensor->name);
    if (is_one_of(&name, biases)) return TENSOR_BIAS;
    if (is_one_of(&name, norms)) return TENSOR_NORM;
    if (tensor->rank >= 2 && is_embedding(checkpoint, &name)) return TENSOR_EMBEDDING;
    if (is_stacked(tensor, &name) || is_mxfp4(checkpoint, tensor, &name)) return TENSOR_EXPERTS;
    if (tensor->rank == 2 && is_one_of(&name, flat_convolutions)) return TENSOR_CONVOLUTION;
    if (tensor->rank == 2) return kind_of_matrix(checkpoint, tensor, &name);
    if (tensor->rank >= 3) return name.bare && !is_one_of(&name, convolutions) ? TENSOR_OTHER : TENSOR_CONVOLUTION;
    return name.bare ? TENSOR_OTHER : TENSOR_NORM; // a vector of weights
}

const char *tensor_kind_name(TensorKind kind) {
    static const char *const names[] = {
        [TENSOR_LINEAR] = "matrices",
        [TENSOR_LINEAR_TRANSPOSED] = "matrices [in, out]",
        [TENSOR_ROUTER] = "routers",
        [TENSOR_HEAD] = "heads",
        [TENSOR_EXPERTS] = "experts",
        [TENSOR_EMBEDDING] = "embeddings",
        [TENSOR_NORM] = "norms",
        [TENSOR_BIAS] = "biases",
        [TENSOR_CONVOLUTION] = "convolutions",
        [TENSOR_OTHER] = "others",
    };
    static_assert(sizeof names / sizeof *names == TENSOR_KIND_COUNT, "a kind of tensors has no name");
    return names[kind];
}

// ---- Experts ----

// What the router beside them reads; 0 when there is none.
static size_t width_of_router(const Checkpoint *checkpoint, const TensorName *name, size_t *experts) {
    static const char *const names[] = {".router" WEIGHT, ".gate" WEIGHT, ".router.layer" WEIGHT,
                                        ".router.proj" WEIGHT};
    int length = name->parent;
    for (int up = 0; up < 3 && length > 0; up++) {
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            const Tensor *router = find_sibling(checkpoint, name->full, length, names[i]);
            if (!router || router->rank != 2) continue;
            if (*experts && router->shape[0] != *experts) continue;
            *experts = (size_t)router->shape[0];
            return (size_t)router->shape[1];
        }
        while (length > 0 && name->full[length - 1] != '.') length--;
        if (length) length--;
    }
    return 0;
}

// The matrix that goes the other way, of the same experts.
static const Tensor *expert_counterpart(const Checkpoint *checkpoint, const TensorName *name, bool down) {
    const char *const *words = down ? fused : downs;
    for (; *words; words++) {
        char ending[48];
        snprintf(ending, sizeof ending, ".%s%s", *words, name->bare ? "" : WEIGHT);
        const Tensor *other = find_sibling(checkpoint, name->full, name->parent, ending);
        if (other && other->rank == 3) return other;
    }
    return NULL;
}

// Which axis is which, from a pair gate_up [2f, h] and down [h, f], or transposed [h, 2f] and [f, h]: 1, −1, 0 unknown.
static int way_of_pair(const Tensor *gate_up, const Tensor *down) {
    const uint64_t *a = gate_up->shape, *b = down->shape;
    if (a[0] != b[0]) return 0;
    if (a[1] == 2 * b[2] && a[2] == b[1]) return 1;
    return a[1] == b[2] && a[2] == 2 * b[1] ? -1 : 0;
}

bool tensor_experts(const Checkpoint *checkpoint, const Tensor *tensor, ExpertLayout *out) {
    const TensorName name = tensor_name_parts(tensor->name);
    const bool down = is_one_of(&name, downs);
    if (tensor->rank == 4) {
        *out = (ExpertLayout){.count = (size_t)tensor->shape[0],
                              .out = (size_t)tensor->shape[1],
                              .in = 32 * (size_t)tensor->shape[2],
                              .mxfp4 = true};
        return out->count > 0 && out->out > 0 && out->in > 0;
    }
    *out = (ExpertLayout){.count = tensor->rank == 3 ? (size_t)tensor->shape[0] : 0};
    const size_t hidden = width_of_router(checkpoint, &name, &out->count);
    size_t rows = (size_t)tensor->shape[tensor->rank - 2], columns = (size_t)tensor->shape[tensor->rank - 1];
    int way = 0;
    if (is_one_of(&name, stacked_in_gguf)) {
        way = 1;
    } else if (tensor->rank == 2) { // DBRX: all are [f, h], and w2 is multiplied from the other side
        if (!out->count || rows % out->count != 0) return false;
        rows /= out->count;
        way = down ? -1 : 1;
    } else {
        const Tensor *other = expert_counterpart(checkpoint, &name, down);
        if (other) way = down ? way_of_pair(other, tensor) : is_one_of(&name, fused) ? way_of_pair(tensor, other) : 0;
        if (!way && hidden && rows != columns) way = (down ? rows : columns) == hidden ? 1 : -1;
    }
    out->transposed = way < 0; // torch's order where nothing tells
    out->out = out->transposed ? columns : rows;
    out->in = out->transposed ? rows : columns;
    return out->count > 0 && rows > 0 && columns > 0;
}
