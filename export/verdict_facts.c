// What is known of engines. Versions are those of target_table; how each row is known stands in its rule, and for rows
// without a rule in docs/export.md.
#include <assert.h>
#include <string.h>

#include "export/gguf_can_run.h"
#include "export/verdict_parts.h"
#include "loaders/mlx_names.h"
#include "quant/equalize.h"

enum {
    SM75 = 1U << TARGET_VLLM_SM75,
    SM80 = 1U << TARGET_VLLM_SM80,
    SM90 = 1U << TARGET_VLLM_SM90,
    SM100 = 1U << TARGET_VLLM_SM100,
    CPU = 1U << TARGET_VLLM_CPU,
    SGLANG = 1U << TARGET_SGLANG,
    TRANSFORMERS = 1U << TARGET_TRANSFORMERS,
    LLAMA_CPP = 1U << TARGET_LLAMA_CPP,
    MLX = 1U << TARGET_MLX,
    VLLM = TARGETS_VLLM,
    CUDA = VLLM & ~CPU,
    ALL = (1U << TARGET_COUNT) - 1,

    CT = 1U << EXPORT_COMPRESSED_TENSORS,
    GGUF = 1U << EXPORT_GGUF,
    MLX_FORMAT = 1U << EXPORT_MLX,
    GPTQ = 1U << EXPORT_GPTQ,
    PACKED = CT | GPTQ, // codes in words of 32 bits: the same kernels
    EVERY = CT | GGUF | MLX_FORMAT | GPTQ,
};

const TargetInfo target_table[TARGET_COUNT] = {
    [TARGET_VLLM_SM75] = {"vllm-sm75", "vllm", "vLLM on T4, RTX 20 (SM75)", "vLLM 0.32"},
    [TARGET_VLLM_SM80] = {"vllm-sm80", "vllm", "vLLM on A100, RTX 40 (SM80 to 89)", "vLLM 0.32"},
    [TARGET_VLLM_SM90] = {"vllm-sm90", "vllm", "vLLM on H100, H200 (SM90)", "vLLM 0.32"},
    [TARGET_VLLM_SM100] = {"vllm-sm100", "vllm", "vLLM on B200, RTX 50 (SM100, 120)", "vLLM 0.32"},
    [TARGET_VLLM_CPU] = {"vllm-cpu", "vllm-cpu", "vLLM on x86 processors", "vLLM 0.32"},
    [TARGET_SGLANG] = {"sglang", "sglang", "SGLang on CUDA", "SGLang 0.5.23"},
    [TARGET_TRANSFORMERS] = {"transformers", "transformers", "transformers",
                             "transformers 5.24, compressed-tensors 0.20"},
    [TARGET_LLAMA_CPP] = {"llama.cpp", "llama.cpp", "llama.cpp", "gguf 0.19"},
    [TARGET_MLX] = {"mlx", "mlx", "MLX", "mlx 0.32, mlx-lm 0.32"},
};

// ---- Which kernel ----

enum {
    B4 = 1U << 4,
    B8 = 1U << 8,
    B48 = B4 | B8,
    B_ANY = ~0U,
    SYMMETRIC = 1U << GRID_SYMMETRIC,
    ZEROS = 1U << GRID_ASYMMETRIC,
    GRID_ANY = ~0U,
    NONE = 1U << POLICY_NONE,
    STATIC = 1U << POLICY_STATIC,
    TOKEN = 1U << POLICY_TOKEN,
    INPUTS = STATIC | TOKEN,
    INPUT_ANY = ~0U,
    WHOLE = GROUP_TENSOR | GROUP_CHANNEL,
    MARLIN = GROUP_CHANNEL | GROUP_32 | GROUP_64 | GROUP_128,
    MACHETE = GROUP_CHANNEL | GROUP_64 | GROUP_128,
    L = PLACE_LINEAR,
    E = PLACE_EXPERT,
};

static const char plain[] = "16 bit";

// The first row that fits a linear counts.
static const Fact facts[] = {
    // Weights and inputs of 8 bits: int-quantized, products of integers.
    {CUDA, CT, L, B8, SYMMETRIC, WHOLE, INPUTS, 0, 0, "CutlassInt8", NULL, RULE_NONE},
    {CPU, CT, L, B8, SYMMETRIC, WHOLE, INPUTS, 0, 0, "CPUInt8", NULL, RULE_NONE},
    {SGLANG, CT, L, B8, SYMMETRIC, WHOLE, INPUTS, 0, 0, "CutlassInt8", NULL, RULE_NONE},
    // All other static inputs have no scheme.
    {VLLM | SGLANG, CT, L, B_ANY, GRID_ANY, GROUP_ANY, STATIC, 0, 0, NULL, NULL, RULE_STATIC_INPUTS},
    {SGLANG, CT, L, B_ANY, GRID_ANY, GROUP_ANY, TOKEN, 0, 0, NULL, NULL, RULE_INPUTS_REFUSED},
    // Packed weights.
    {VLLM | SGLANG, CT, L, B_ANY, GRID_ANY, GROUP_TENSOR, INPUT_ANY, 0, 0, NULL, NULL, RULE_TENSOR_SCALE},
    {VLLM | SGLANG, GPTQ, L, ~(unsigned)B48, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_BITS},
    {VLLM | SGLANG, GPTQ, L, B_ANY, ZEROS, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_ASYMMETRIC},
    {SM90, PACKED, L, B48, GRID_ANY, MACHETE, INPUT_ANY, 64, 128, "Machete", plain, RULE_NONE},
    {CUDA & ~SM90, PACKED, L, B48, SYMMETRIC, MARLIN, INPUT_ANY, 0, 0, "Marlin", plain, RULE_NONE},
    {CUDA & ~SM90, CT, L, B4, ZEROS, MARLIN, INPUT_ANY, 0, 0, "Marlin", plain, RULE_NONE},
    {CUDA & ~SM90, CT, L, B4, GRID_ANY, GROUP_256, INPUT_ANY, 0, 8, "TritonW4A16", plain, RULE_SLOW_GROUP},
    {VLLM, GPTQ, L, B_ANY, GRID_ANY, ~(unsigned)MARLIN, INPUT_ANY, 0, 0, NULL, NULL, RULE_GROUP_SIZE},
    {CUDA, PACKED, L, B_ANY, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, "Humming", NULL, RULE_NONE},
    {CPU, PACKED, L, ~(unsigned)B4, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_CPU_BITS},
    {CPU, PACKED, L, B4, GRID_ANY, GROUP_ANY, INPUT_ANY, 32, 32, "CPUWNA16", plain, RULE_NONE},
    {CPU, PACKED, L, B4, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_SHAPE},
    {SGLANG, PACKED, L, ~(unsigned)B48, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_BITS},
    {SGLANG, PACKED, L, B48, GRID_ANY, ~(unsigned)MARLIN, INPUT_ANY, 0, 0, NULL, NULL, RULE_GROUP_SIZE},
    {SGLANG, PACKED, L, B48, GRID_ANY, MARLIN, INPUT_ANY, 128, 64, "Marlin", plain, RULE_NONE},
    {SGLANG, PACKED, L, B48, GRID_ANY, MARLIN, INPUT_ANY, 0, 0, NULL, NULL, RULE_SHAPE},
    // Experts.
    {CUDA, CT, E, B8, SYMMETRIC, GROUP_CHANNEL, TOKEN, 0, 0, "Triton int8 experts", NULL, RULE_NONE},
    {CUDA, PACKED, E, B48, SYMMETRIC, MARLIN, NONE, 0, 0, "Marlin experts", plain, RULE_NONE},
    {CUDA, CT, E, B_ANY, GRID_ANY, GROUP_ANY & ~GROUP_TENSOR, NONE, 0, 0, "Triton or Humming experts", plain,
     RULE_NONE},
    {CPU, PACKED, E, B_ANY, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_CPU_EXPERTS},
    {SGLANG, PACKED, E, B48, SYMMETRIC, MARLIN, NONE, 0, 0, "Marlin experts", plain, RULE_NONE},
    {VLLM | SGLANG, PACKED, E, B_ANY, GRID_ANY, GROUP_ANY, INPUTS, 0, 0, NULL, NULL, RULE_EXPERT_INPUTS},
    {VLLM | SGLANG, PACKED, E, B_ANY, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_EXPERT_SCHEME},
    // transformers turns codes into floats, and rounds activations as the file says.
    {TRANSFORMERS, CT, E, B8, GRID_ANY, WHOLE, INPUTS, 0, 0, NULL, NULL, RULE_EXPERTS_INT8},
    {TRANSFORMERS, CT, E, B_ANY, SYMMETRIC, GROUP_ANY, INPUTS, 0, 0, "floats", plain, RULE_NONE},
    {TRANSFORMERS, CT, PLACE_ANY, B_ANY, ZEROS, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_ZERO_POINTS},
    {TRANSFORMERS, CT, PLACE_ANY, 1U << 3, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, "floats", NULL, RULE_THREE_BITS},
    {TRANSFORMERS, CT, PLACE_ANY, B_ANY, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, "floats", NULL, RULE_NONE},
    {TRANSFORMERS, GPTQ, PLACE_ANY, ~(unsigned)B48, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_BITS},
    {TRANSFORMERS, GPTQ, PLACE_ANY, B_ANY, ZEROS, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_ASYMMETRIC},
    {TRANSFORMERS, GPTQ, PLACE_ANY, B_ANY, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, "GPTQModel", plain, RULE_NONE},
    // llama.cpp multiplies blocks of 32 with activations of 8 bits.
    {LLAMA_CPP, GGUF, PLACE_ANY, B4, SYMMETRIC, GROUP_ANY & ~GROUP_16, INPUT_ANY, 32, 0, "Q4_0", "int8 in blocks of 32",
     RULE_NONE},
    {LLAMA_CPP, GGUF, PLACE_ANY, B4, ZEROS, GROUP_ANY & ~GROUP_16, INPUT_ANY, 32, 0, "Q4_1", "int8 in blocks of 32",
     RULE_NONE},
    {LLAMA_CPP, GGUF, PLACE_ANY, B8, SYMMETRIC, GROUP_ANY & ~GROUP_16, INPUT_ANY, 32, 0, "Q8_0", "int8 in blocks of 32",
     RULE_NONE},
    {LLAMA_CPP, GGUF, PLACE_ANY, B8, ZEROS, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_ASYMMETRIC},
    {LLAMA_CPP, GGUF, PLACE_ANY, ~(unsigned)B48, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_BLOCK_BITS},
    {LLAMA_CPP, GGUF, PLACE_ANY, B48, GRID_ANY, GROUP_ANY, INPUT_ANY, 32, 0, NULL, NULL, RULE_BLOCK_32},
    {LLAMA_CPP, GGUF, PLACE_ANY, B48, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_SHAPE},
    // MLX: groups of 32, 64, 128; larger ones have their scales repeated.
    {MLX, MLX_FORMAT, PLACE_ANY, B_ANY, GRID_ANY, GROUP_16, INPUT_ANY, 0, 0, NULL, NULL, RULE_MLX_GROUP},
    {MLX, MLX_FORMAT, PLACE_ANY, B_ANY, GRID_ANY, GROUP_ANY, INPUT_ANY, 32, 0, "quantized_matmul", plain, RULE_NONE},
    {MLX, MLX_FORMAT, PLACE_ANY, B_ANY, GRID_ANY, GROUP_ANY, INPUT_ANY, 0, 0, NULL, NULL, RULE_SHAPE},
};

static unsigned group_bit(const Decision *d, ExportFormat format) {
    // GPTQ repeats the scale of a tensor for each channel, and says group_size −1.
    if (d->granularity == GRANULARITY_TENSOR) return format == EXPORT_GPTQ ? GROUP_CHANNEL : GROUP_TENSOR;
    if (d->granularity == GRANULARITY_CHANNEL) return GROUP_CHANNEL;
    static const struct {
        size_t size;
        unsigned bit;
    } sizes[] = {{16, GROUP_16}, {32, GROUP_32}, {64, GROUP_64}, {128, GROUP_128}, {256, GROUP_256}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].size == d->group) return sizes[i].bit;
    return GROUP_LARGER;
}

static bool is_multiple(size_t n, unsigned step) { return step == 0 || n % step == 0; }

static const Fact *fact_with(const Case *c, Target target, int linear, ActivationPolicy asked) {
    const Decision *d = &c->plan->decisions[linear];
    const Linear *l = &c->structure->linears[linear];
    const ActivationPolicy inputs = format_holds_inputs(c->format) ? asked : POLICY_NONE;
    const unsigned group = group_bit(d, c->format), place = l->expert < 0 ? PLACE_LINEAR : PLACE_EXPERT;
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++) {
        const Fact *f = &facts[i];
        if (!(f->targets >> target & 1) || !(f->formats >> c->format & 1) || !(f->places & place)) continue;
        const bool scheme =
            f->bits >> d->bits & 1 && f->grids >> d->grid & 1 && f->groups & group && f->inputs >> inputs & 1;
        if (scheme && is_multiple(l->in, f->in_step) && is_multiple(c->fused_out[linear], f->out_step)) return f;
    }
    static const Fact unknown = {.kernel = NULL, .rule = RULE_NONE};
    return &unknown;
}

const Fact *fact_of(const Case *c, Target target, int linear) {
    return fact_with(c, target, linear, c->plan->decisions[linear].activations);
}

bool takes_tokens(const Case *c, int linear) {
    for (Target target = 0; target < TARGET_COUNT; target++) {
        if (!(c->targets >> target & 1)) continue;
        const Fact *fact = fact_with(c, target, linear, POLICY_TOKEN);
        if (!fact->kernel || fact->gives) return false;
    }
    return true;
}

// ---- Conditions ----

static const Decision *decision(const Case *c, int i) { return &c->plan->decisions[i]; }
static const Linear *linear_of(const Case *c, int i) { return &c->structure->linears[i]; }
static bool is_of_family(const Case *c, const char *family) { return strcmp(c->structure->config.family, family) == 0; }

static bool has_other_grid(const Case *c, int i) {
    return decision(c, i)->grid != GRID_SYMMETRIC && decision(c, i)->grid != GRID_ASYMMETRIC;
}

static bool has_odd_bits(const Case *c, int i) {
    return !c->odd_bits && decision(c, i)->bits != 4 && decision(c, i)->bits != 8;
}

static bool has_runtime_factors(const Case *c, int i) {
    return decision_equalizes(decision(c, i)) && decision(c, i)->fold == FOLD_NONE;
}

static bool has_channel_inputs(const Case *c, int i) { return decision(c, i)->activations == POLICY_CHANNEL; }

static bool has_zeros_and_inputs(const Case *c, int i) {
    return decision(c, i)->grid == GRID_ASYMMETRIC && decision(c, i)->activations != POLICY_NONE;
}

static bool has_inputs(const Case *c, int i) { return decision(c, i)->activations != POLICY_NONE; }

// The kernel leaves the inputs alone.
static bool drops_inputs(const Case *c, int i) { return has_inputs(c, i) && c->facts[i]->gives; }

static bool is_stacked(const Case *c, int i) { return tensor_is_slice(linear_of(c, i)->weight); }
static bool is_unknown_expert(const Case *c, int i) {
    return linear_of(c, i)->expert >= 0 && !mlx_stacks_experts(&c->structure->config);
}
static bool is_conv1d(const Case *c, int i) { return linear_of(c, i)->transposed && !is_stacked(c, i); }
static bool has_partial_group(const Case *c, int i) { return linear_of(c, i)->in % decision(c, i)->group != 0; }
static bool has_wide_scales(const Case *c, int i) { return decision(c, i)->scale_dtype == DTYPE_F32; }

// Of the bits that are written at all.
static bool fills_no_words(const Case *c, int i) {
    const size_t bits = (size_t)decision(c, i)->bits, in_a_word = 32 / bits;
    if (32 % bits) return false;
    return linear_of(c, i)->in % in_a_word || linear_of(c, i)->out % in_a_word;
}

static bool is_router(const Case *c, int i) { return linear_of(c, i)->role == ROLE_ROUTER; }

static bool has_f32_scales(const Case *c, int i) {
    return decision(c, i)->scale_dtype == DTYPE_F32 && linear_of(c, i)->weight->dtype != DTYPE_F32;
}

// Of experts Triton's kernel is the only one.
static bool is_int8(const Case *c, int i) {
    const Decision *d = decision(c, i);
    return linear_of(c, i)->expert < 0 && d->bits == 8 && d->activations != POLICY_NONE &&
           d->granularity != GRANULARITY_GROUP;
}

static bool is_packed_falcon(const Case *c, int i) {
    return is_of_family(c, "falcon") && linear_of(c, i)->role != ROLE_HEAD && !is_int8(c, i);
}

// Every scale of the matrix is below the normal numbers of F16.
static bool has_small_scales(const Case *c, int i) {
    if (!c->measured || !c->measured->weights || !c->measured->weights[i].known) return false;
    const float most = (float)((1 << (decision(c, i)->bits - 1)) - 1);
    return c->measured->weights[i].absmax / most < 6.1e-5F;
}

static bool differ_bits(const Case *c, int i) { return c->differ[i] & DIFFER_BITS; }
static bool differ_inputs(const Case *c, int i) { return c->differ[i] & DIFFER_INPUTS; }
static bool differ_ignored(const Case *c, int i) { return c->differ[i] & DIFFER_IGNORED; }
static bool differ_missing(const Case *c, int i) { return c->differ[i] & DIFFER_MISSING; }
static bool differ_experts(const Case *c, int i) { return c->differ[i] & DIFFER_EXPERTS; }
static bool differ_stacked(const Case *c, int i) { return c->differ[i] & DIFFER_STACKED; }

static bool has_small_cache(const Case *c) { return c->plan->cache_bits == 8; }

static bool is_pair(const Case *c) { return c->structure->config.pair.encoder_layers > 0; }

static bool is_one_of(const Case *c, const char *const *families) {
    for (; *families; families++)
        if (is_of_family(c, *families)) return true;
    return false;
}

static bool is_unknown_to_mlx(const Case *c) {
    static const char *const families[] = {
        "arcee",    "bloom",    "codegen",    "falcon",          "gpt_neo",   "granitemoeshared",
        "idefics3", "internvl", "llava_next", "llava_onevision", "ministral", "mpt",
        "olmo",     "opt",      "paligemma",  "smolvlm",         NULL};
    static const char *const without_experts[] = {"llama4_text", NULL}; // where the whole model has them
    return is_pair(c) || is_one_of(c, families) ||
           (is_one_of(c, without_experts) && c->structure->config.experts.count > 0);
}

static bool is_untried_in_vllm(const Case *c) {
    static const char *const families[] = {"codegen", "gpt_neo", NULL};
    return is_one_of(c, families);
}

static bool is_unknown_to_gguf(const Case *c) {
    char note[256];
    return !gguf_can_run(c->structure, note, sizeof note, NULL);
}

static bool is_t5(const Case *c) { return is_of_family(c, "t5") || is_of_family(c, "mt5"); }

// The engine has no place for a head beside the embedding.
static bool is_head_of_embedding(const Case *c, int i) {
    const GgufArchitecture *architecture = gguf_architecture(c->structure);
    if (linear_of(c, i)->role != ROLE_HEAD) return false;
    if (c->format == EXPORT_GGUF) return architecture && architecture->tied;
    return linear_of(c, i)->weight == c->structure->embedding &&
           (is_of_family(c, "gemma") || is_of_family(c, "gemma2"));
}

// ---- Rules ----

const Rule verdict_rules[RULE_COUNT] = {
    // The whole model.
    [RULE_PAIR] = {"encoder-decoder", SEVERITY_REFUSED, EVIDENCE_READ, VLLM | SGLANG, PACKED, NULL, is_pair,
                   "It serves no text models with an encoder; for BART alone vLLM has a plugin, bart-plugin.",
                   "Choose an engine that loads it, or write the format dense.", MEND_NOT, 0, 0},
    [RULE_T5] = {"t5", SEVERITY_REFUSED, EVIDENCE_TRIED, TRANSFORMERS, CT, NULL, is_t5,
                 "T5 asks its linears for plain weights, which packed ones have not: loading fails.",
                 "Load with CompressedTensorsConfig(dequantize=True), or write the format dense.", MEND_NOT, 0, 0},
    [RULE_FAMILY] = {"family", SEVERITY_REFUSED, EVIDENCE_TRIED, MLX, MLX_FORMAT, NULL, is_unknown_to_mlx,
                     "mlx-lm has no such family of models.", "Write another format.", MEND_NOT, 0, 0},
    [RULE_GGUF_MODEL] = {"gguf-model", SEVERITY_REFUSED, EVIDENCE_READ, LLAMA_CPP, GGUF, NULL, is_unknown_to_gguf,
                         "GGUF is not written for this model: its family, or a part of it, is none that is known to be "
                         "computed alike there.",
                         "Write another format, or convert with llama.cpp's convert_hf_to_gguf.py.", MEND_NOT, 0, 0},

    // What no engine of the format can be given.
    [RULE_GRID] = {"grid", SEVERITY_REFUSED, EVIDENCE_READ, ALL, EVERY, has_other_grid, NULL,
                   "No format has a place for the grids log2 and two-level.", "Set --grid to symmetric.", MEND_DIAL,
                   DIAL_GRID, GRID_SYMMETRIC},
    [RULE_ODD_BITS] =
        {"odd-bits", SEVERITY_REFUSED, EVIDENCE_TRIED, ALL, CT, has_odd_bits, NULL,
         "Weights of 2 and 3 bits are read by few engines, and by some versions wrongly: they are written "
         "only when that is asked for.",
         "Use 4 or 8 bits, or --allow-odd-bits.", MEND_DIAL, DIAL_BITS, 4},
    [RULE_RUNTIME_FACTORS] = {"runtime-factors", SEVERITY_REFUSED, EVIDENCE_READ, ALL, EVERY, has_runtime_factors, NULL,
                              "Inputs are equalized at run time, and no format has a place for the factors.",
                              "Set --unfoldable to token, or --fold to all.", MEND_DIAL, DIAL_UNFOLDABLE,
                              UNFOLDABLE_TOKEN},
    [RULE_CHANNEL_INPUTS] = {"channel-inputs", SEVERITY_REFUSED, EVIDENCE_READ, ALL, EVERY, has_channel_inputs, NULL,
                             "No integer product takes inputs with a scale per channel.",
                             "Set --activations to token; where that is not quantized either, to none.", MEND_INPUTS, 0,
                             0},
    [RULE_ASYMMETRIC_INPUTS] =
        {"asymmetric-inputs", SEVERITY_REFUSED, EVIDENCE_TRIED, ALL, CT, has_zeros_and_inputs, NULL,
         "Weights with zero points are not written with inputs of 8 bits: vLLM drops these, transformers fails.",
         "Set --grid to symmetric.", MEND_DIAL, DIAL_GRID, GRID_SYMMETRIC},
    [RULE_CONV1D] = {"conv1d", SEVERITY_REFUSED, EVIDENCE_READ, ALL, CT | GPTQ | MLX_FORMAT, is_conv1d, NULL,
                     "Matrices stored as [in, out] (Conv1D) are not written: transformers finds no codes for them and "
                     "computes with random weights, and vLLM alone reads them right.",
                     "Leave them as they are, or write the format dense.", MEND_IGNORE, 0, 0},
    [RULE_STACK] = {"stack", SEVERITY_REFUSED, EVIDENCE_READ, ALL, CT | GPTQ | MLX_FORMAT, is_stacked, NULL,
                    "These experts are one tensor, of which no part can have codes.",
                    "Leave them as they are, or write the format dense.", MEND_IGNORE, 0, 0},
    [RULE_FALCON] = {"falcon", SEVERITY_REFUSED, EVIDENCE_TRIED, TRANSFORMERS, CT, is_packed_falcon, NULL,
                     "Falcon's linears want a plain weight, which packed ones have not: the first forward pass fails.",
                     "Write the format dense, or 8 bits in whole channels with --activations token.", MEND_NOT, 0, 0},
    [RULE_PARTIAL_GROUP] = {"partial-group", SEVERITY_REFUSED, EVIDENCE_TRIED, ALL, CT | GPTQ | MLX_FORMAT,
                            has_partial_group, NULL,
                            "Groups do not divide the columns: the last of each row is smaller.",
                            "Set a group size that divides them.", MEND_GROUP, 0, 0},

    [RULE_WORDS] = {"words", SEVERITY_REFUSED, EVIDENCE_READ, ALL, GPTQ, fills_no_words, NULL,
                    "Codes are packed in words of 32 bits, which the rows or columns do not fill.",
                    "Leave the matrix as it is.", MEND_IGNORE, 0, 0},
    [RULE_WIDE_SCALES] = {"wide-scales", SEVERITY_REFUSED, EVIDENCE_READ, ALL, GPTQ, has_wide_scales, NULL,
                          "Scales of F32 are not written in this format, which has them in 16 bits.",
                          "Set --scale to f16.", MEND_DIAL, DIAL_SCALE, SCALE_F16},

    // Sets.
    [RULE_FUSED_BITS] = {"fused-bits", SEVERITY_REFUSED, EVIDENCE_TRIED, VLLM | SGLANG, PACKED, differ_bits, NULL,
                         "q, k, v or gate, up are one matrix there, and these differ in bits, grid or groups.",
                         "Give the set the most bits and the smallest group of its members.", MEND_SET, DIAL_BITS, 0},
    [RULE_FUSED_INPUTS] = {"fused-inputs", SEVERITY_MISREAD, EVIDENCE_TRIED, VLLM | SGLANG, CT, differ_inputs, NULL,
                           "q, k, v or gate, up are one matrix there; the inputs of the first count for all of them.",
                           "Quantize the inputs of the set alike.", MEND_SET, DIAL_ACTIVATIONS, 0},
    [RULE_FUSED_IGNORED] = {"fused-ignored", SEVERITY_REFUSED, EVIDENCE_TRIED, VLLM | SGLANG, PACKED, differ_ignored,
                            NULL, "q, k, v or gate, up are one matrix there, and some of the set stay as they are.",
                            "Leave the whole set as it is.", MEND_IGNORE, 0, 0},
    [RULE_FUSED_WITHOUT_V] = {"fused-without-v", SEVERITY_REFUSED, EVIDENCE_TRIED, VLLM | SGLANG, GPTQ, differ_missing,
                              NULL,
                              "The layer has q without k or v; of a fused matrix engines want all three quantized, and "
                              "in this format they look for each.",
                              "Leave q and k of these layers as they are, or write compressed-tensors.", MEND_IGNORE, 0,
                              0},
    [RULE_EXPERTS_DIFFER] = {"experts-differ", SEVERITY_REFUSED, EVIDENCE_TRIED, VLLM | SGLANG | TRANSFORMERS, PACKED,
                             differ_experts, NULL,
                             "All experts of a layer are one tensor there and need one scheme; these differ.",
                             "Give them all the most bits and the smallest group among them.", MEND_SET, DIAL_BITS, 0},
    [RULE_EXPERTS_STACKED] = {"experts-stacked", SEVERITY_REFUSED, EVIDENCE_TRIED, LLAMA_CPP | MLX, GGUF | MLX_FORMAT,
                              differ_stacked, NULL,
                              "The same projection of all experts is one tensor there; these differ.",
                              "Give them all the most bits and the smallest group among them.", MEND_SET, DIAL_BITS, 0},
    [RULE_MLX_EXPERTS] = {"mlx-experts", SEVERITY_REFUSED, EVIDENCE_READ, MLX, MLX_FORMAT, is_unknown_expert, NULL,
                          "The experts of this family are not written for mlx-lm, whose own layout for them differs or "
                          "was not tried.",
                          "Leave them as they are, or write another format.", MEND_IGNORE, 0, 0},
    [RULE_EXPERTS_INT8] = {"experts-int8", SEVERITY_REFUSED, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                           "Experts of 8 bits with inputs of 8 bits do not load.", "Set their --activations to none.",
                           MEND_DIAL, DIAL_ACTIVATIONS, POLICY_NONE},
    [RULE_EXPERT_SCHEME] = {"expert-scheme", SEVERITY_REFUSED, EVIDENCE_READ, 0, 0, NULL, NULL,
                            "No kernel for experts takes this scheme.",
                            "Use 4 bits, symmetric, in groups of 32, 64 or 128.", MEND_NOT, 0, 0},
    [RULE_EXPERT_INPUTS] = {"expert-inputs", SEVERITY_REFUSED, EVIDENCE_READ, 0, 0, NULL, NULL,
                            "No kernel for experts takes these weights with inputs of 8 bits.",
                            "Set their --activations to none.", MEND_DIAL, DIAL_ACTIVATIONS, POLICY_NONE},
    [RULE_CPU_EXPERTS] = {"cpu-experts", SEVERITY_REFUSED, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                          "Quantized experts are taken only by processors with AMX, or not at all.",
                          "Choose an engine that loads it, or leave the experts as they are.", MEND_NOT, 0, 0},
    [RULE_ROUTER] = {"router", SEVERITY_MISREAD, EVIDENCE_TRIED, TRANSFORMERS, EVERY, is_router, NULL,
                     "transformers finds no plain numbers for the router and computes with random ones.",
                     "Leave routers as they are, or load with CompressedTensorsConfig(dequantize=True).", MEND_IGNORE,
                     0, 0},
    [RULE_ROUTER_REFUSED] = {"router-refused", SEVERITY_REFUSED, EVIDENCE_TRIED, VLLM | SGLANG | LLAMA_CPP, EVERY,
                             is_router, NULL, "Most families read routers as plain numbers, and these are codes.",
                             "Leave routers as they are.", MEND_IGNORE, 0, 0},

    // Schemes.
    [RULE_THREE_BITS] = {"three-bits", SEVERITY_MISREAD, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                         "compressed-tensors before and from 0.18 pack 3 bits differently; one reads the other with an "
                         "error, or wrongly.",
                         "Use 2, 4 or 8 bits.", MEND_DIAL, DIAL_BITS, 4},
    [RULE_BITS] = {"bits", SEVERITY_REFUSED, EVIDENCE_READ, 0, 0, NULL, NULL, "Only 4 and 8 bits are read there.",
                   "Use 4 or 8 bits.", MEND_DIAL, DIAL_BITS, 4},
    [RULE_CPU_BITS] = {"cpu-bits", SEVERITY_REFUSED, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                       "There is no kernel for packed weights but of 4 bits.",
                       "Use 4 bits, or 8 with --activations token and --granularity channel.", MEND_DIAL, DIAL_BITS, 4},
    [RULE_GROUP_SIZE] = {"group-size", SEVERITY_REFUSED, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                         "The kernel takes groups of 32, 64, 128 and whole channels.", "Set one of these.", MEND_GROUP,
                         0, 0},
    [RULE_TENSOR_SCALE] = {"tensor-scale", SEVERITY_REFUSED, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                           "Packed weights with one scale for the matrix have no scheme.",
                           "Set --granularity to channel.", MEND_DIAL, DIAL_GRANULARITY, GRANULARITY_CHANNEL},
    [RULE_ASYMMETRIC] = {"asymmetric", SEVERITY_REFUSED, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                         "Weights with zero points are not read there.", "Set --grid to symmetric.", MEND_DIAL,
                         DIAL_GRID, GRID_SYMMETRIC},
    [RULE_ZERO_POINTS] = {"zero-points", SEVERITY_REFUSED, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                          "compressed-tensors 0.20 expects zero points unpacked and refuses the file; 0.17 reads it.",
                          "Set --grid to symmetric, or load with CompressedTensorsConfig(dequantize=True).", MEND_DIAL,
                          DIAL_GRID, GRID_SYMMETRIC},
    [RULE_SHAPE] = {"shape", SEVERITY_REFUSED, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                    "Rows or columns are no multiples of what the kernel takes.", "Leave the matrix as it is.",
                    MEND_IGNORE, 0, 0},
    [RULE_SLOW_GROUP] = {"slow-group", SEVERITY_SLOWER, EVIDENCE_MOCKED, 0, 0, NULL, NULL,
                         "Groups of 256 go to a Triton kernel, not to Marlin.", "Use groups of 128, 64 or 32.",
                         MEND_GROUP, 0, 0},
    [RULE_STATIC_INPUTS] = {"static-inputs", SEVERITY_REFUSED, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                            "Constant scales of inputs are taken only with weights of 8 bits and whole channels.",
                            "Set --activations to none; to token only where that kernel quantizes inputs.", MEND_INPUTS,
                            0, 0},
    [RULE_INPUTS_DROPPED] = {"inputs-dropped", SEVERITY_MISREAD, EVIDENCE_TRIED, VLLM, CT, drops_inputs, NULL,
                             "The kernel that runs by default leaves inputs at 16 bits, without a word.",
                             "Set --activations to none; or on CUDA start vLLM with --linear-backend humming.",
                             MEND_DIAL, DIAL_ACTIVATIONS, POLICY_NONE},
    [RULE_INPUTS_REFUSED] = {"inputs-refused", SEVERITY_REFUSED, EVIDENCE_READ, 0, 0, NULL, NULL,
                             "Inputs of 8 bits are taken only with weights of 8 bits and whole channels.",
                             "Set --activations to none.", MEND_DIAL, DIAL_ACTIVATIONS, POLICY_NONE},
    [RULE_EXPERT_INPUTS_DROPPED] = {"expert-inputs-dropped", SEVERITY_MISREAD, EVIDENCE_TRIED, TRANSFORMERS, CT,
                                    drops_inputs, NULL, "Inputs of experts stay at 16 bits.",
                                    "Set their --activations to none.", MEND_DIAL, DIAL_ACTIVATIONS, POLICY_NONE},
    [RULE_INT8_BLACKWELL] =
        {"int8-blackwell", SEVERITY_REFUSED, EVIDENCE_READ, 1U << TARGET_VLLM_SM100, CT, is_int8, NULL,
         "vLLM chooses a kernel that has no int8 there, and stops at the first forward pass: \"Int8 "
         "not supported on SM100\".",
         "Start vLLM with --linear-backend triton there, or set --activations to none.", MEND_NOT, 0, 0},
    [RULE_F32_SCALES] = {"f32-scales", SEVERITY_NOTE, EVIDENCE_TRIED, VLLM | SGLANG, CT, has_f32_scales, NULL,
                         "Scales of F32 are rounded to the type of the model when they are read.",
                         "Set --scale to model, so that codes are made for what is read.", MEND_DIAL, DIAL_SCALE,
                         SCALE_MODEL},

    // Formats of other engines.
    [RULE_NO_INPUTS] = {"no-inputs", SEVERITY_MISREAD, EVIDENCE_READ, ALL, GPTQ | MLX_FORMAT, has_inputs, NULL,
                        "The format says nothing of inputs: they stay at 16 bits.", "Set --activations to none.",
                        MEND_DIAL, DIAL_ACTIVATIONS, POLICY_NONE},
    [RULE_BLOCK_INPUTS] = {"block-inputs", SEVERITY_NOTE, EVIDENCE_READ, LLAMA_CPP, GGUF, has_inputs, NULL,
                           "llama.cpp rounds inputs to 8 bits in blocks of 32, whatever the recipe says.",
                           "Set --activations to none: that is nearest to it.", MEND_NOT, 0, 0},
    [RULE_BLOCK_32] = {"block-32", SEVERITY_REFUSED, EVIDENCE_READ, 0, 0, NULL, NULL,
                       "Blocks have 32 columns, and groups must be multiples of them.", "Use groups of 32 or more.",
                       MEND_GROUP, 0, 0},
    [RULE_BLOCK_BITS] = {"block-bits", SEVERITY_REFUSED, EVIDENCE_READ, 0, 0, NULL, NULL,
                         "No type of GGUF holds 2 or 3 bits with such scales.", "Use 4 or 8 bits.", MEND_DIAL,
                         DIAL_BITS, 4},
    [RULE_SMALL_SCALES] = {"small-scales", SEVERITY_NOTE, EVIDENCE_READ, LLAMA_CPP, GGUF, has_small_scales, NULL,
                           "Scales are below 6e-5, where F16 loses digits.", "Leave the matrix as it is.", MEND_NOT, 0,
                           0},
    [RULE_MLX_GROUP] = {"mlx-group", SEVERITY_REFUSED, EVIDENCE_TRIED, 0, 0, NULL, NULL,
                        "MLX has groups of 32, 64 and 128.", "Use one of these, or larger ones.", MEND_GROUP, 0, 0},
    [RULE_FAMILY_UNTRIED] =
        {"family-untried", SEVERITY_NOTE, EVIDENCE_READ, VLLM | SGLANG, PACKED, NULL, is_untried_in_vllm,
         "There is no code for this family; that of transformers may run there, which was not tried.",
         "Try the model there as it is.", MEND_NOT, 0, 0},
    [RULE_TIED_HEAD] = {"tied-head", SEVERITY_REFUSED, EVIDENCE_READ, LLAMA_CPP | MLX, GGUF | MLX_FORMAT,
                        is_head_of_embedding, NULL, "The engine takes the embedding for the head of this family.",
                        "Leave the head as it is.", MEND_IGNORE, 0, 0},
    [RULE_CACHE] = {"cache", SEVERITY_NOTE, EVIDENCE_READ, ALL, EVERY, NULL, has_small_cache,
                    "The cache of 8 bits is not written: engines are told of theirs when they start.",
                    "Set --cache-bits to 16 to see what they compute by default.", MEND_MODEL, DIAL_CACHE_BITS, 16},
};
static_assert(RULE_CACHE + 1 == RULE_COUNT, "the last rule has changed");
