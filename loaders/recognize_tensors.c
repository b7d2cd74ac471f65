#include "loaders/recognize_tensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "loaders/recognize.h"

typedef struct Sign {
    const char *part;    // in the name of a tensor
    const char *sibling; // a tensor that must be there, too: `part` replaced by this; or NULL
    const char *what, *remedy;
} Sign;

#define OPEN_ORIGINAL "open the checkpoint that it was made from"
static const Sign signs[] = {
    {".quant_state.bitsandbytes__", NULL, "bitsandbytes",
     OPEN_ORIGINAL ", or load it in transformers, call dequantize() and save that"},
    {".SCB", NULL, "bitsandbytes (LLM.int8)",
     OPEN_ORIGINAL ", or load it in transformers, call dequantize() and save that"},
    {".q_scale_max", NULL, "ExLlamaV2 (EXL2)", OPEN_ORIGINAL},
    {".trellis", NULL, "ExLlamaV3 (EXL3)", OPEN_ORIGINAL},
    {".W_q", NULL, "HQQ", OPEN_ORIGINAL},
    {".codebooks", ".codes", "AQLM", OPEN_ORIGINAL},
    {".Qidxs", NULL, "QuIP#", OPEN_ORIGINAL},
    {".weight._data", ".weight._scale", "Quanto", OPEN_ORIGINAL},
    {".weight_scale_2", ".weight_scale", "NVFP4 (ModelOpt)", OPEN_ORIGINAL},
    {".weight_global_scale", ".weight_packed", "NVFP4 (compressed-tensors)", OPEN_ORIGINAL},
};

static bool has_sign(const Checkpoint *checkpoint, const char *name, const Sign *sign) {
    const char *at = strstr(name, sign->part);
    size_t length = strlen(sign->part);
    char other[512];
    if (!at || (at[length] && sign->part[length - 1] != '_')) return false; // what ends in _ is a beginning
    if (!sign->sibling) return true;
    snprintf(other, sizeof other, "%.*s%s", (int)(at - name), name, sign->sibling);
    return checkpoint_find(checkpoint, other) != NULL;
}

static bool is_adapter_tensor(const char *name) {
    static const char *const parts[] = {
        ".lora_A.", ".lora_B.", ".lora_A", ".lora_down.", ".lora_up.", "lora_embedding_", ".lora_magnitude_vector",
        ".ia3_l",   ".hada_w"};
    if (strncmp(name, "base_model.model.", 17) == 0) return true;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        if (strstr(name, parts[i])) return true;
    }
    const size_t length = strlen(name);
    return length >= 6 && strcmp(name + length - 6, ".alpha") == 0; // beside lora_down and lora_up
}

// Adapters hold nothing else; some models have such matrices beside their own.
static bool is_adapter(const Checkpoint *checkpoint) {
    size_t i = 0;
    while (i < checkpoint->tensor_count && is_adapter_tensor(checkpoint->by_name[i]->name)) i++;
    return i > 0 && i == checkpoint->tensor_count;
}

bool recognize_tensors(const Checkpoint *checkpoint, Error *err) {
    if (is_adapter(checkpoint)) return recognize_adapter(checkpoint->folder, checkpoint->path, err);
    for (size_t i = 0; i < checkpoint->tensor_count; i++) {
        const Tensor *tensor = checkpoint->by_name[i];
        for (size_t k = 0; k < sizeof signs / sizeof *signs; k++) {
            if (!has_sign(checkpoint, tensor->name, &signs[k])) continue;
            char *shown = text_printable(tensor->name, strlen(tensor->name), false);
            error_set(err, "%s: is quantized by %s (tensor %.200s), which is not supported; %s", tensor->file,
                      signs[k].what, shown ? shown : "?", signs[k].remedy);
            free(shown);
            return false;
        }
    }
    return true;
}
