// Engines by their names, and which of them read a format.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/verdict.h"

// "8.0", "sm80", "sm_89", also behind "vllm-": the compute capability of a device that vLLM runs on.
static Targets targets_of_device(const char *text, size_t length) {
    char name[20], *end, *at = name;
    if (length >= sizeof name) return 0;
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    if (strncmp(at, "vllm-", 5) == 0) at += 5;
    const bool sm = tolower((unsigned char)at[0]) == 's' && tolower((unsigned char)at[1]) == 'm';
    if (sm) at += at[2] == '_' ? 3 : 2;
    if (!isdigit((unsigned char)*at)) return 0;
    long capability = strtol(at, &end, 10);
    if (!sm) {
        if (*end != '.' || !isdigit((unsigned char)end[1])) return 0;
        capability = 10 * capability + end[1] - '0';
        end += 2;
    }
    if (*end) return 0;
    return capability == 75                         ? 1U << TARGET_VLLM_SM75
           : capability >= 80 && capability < 90    ? 1U << TARGET_VLLM_SM80
           : capability == 90                       ? 1U << TARGET_VLLM_SM90
           : capability >= 100 && capability <= 121 ? 1U << TARGET_VLLM_SM100
                                                    : 0;
}

static Targets targets_named(const char *text, size_t length) {
    Targets targets = length == 3 && memcmp(text, "all", 3) == 0 ? (1U << TARGET_COUNT) - 1 : 0;
    for (int t = 0; t < TARGET_COUNT; t++) {
        const char *const names[] = {target_table[t].name, target_table[t].group};
        for (int i = 0; i < 2; i++)
            if (strlen(names[i]) == length && memcmp(names[i], text, length) == 0) targets |= 1U << t;
    }
    return targets ? targets : targets_of_device(text, length);
}

static bool refuse_target(const char *text, size_t length, Error *err) {
    Text known = {0};
    for (int t = 0; t < TARGET_COUNT; t++) {
        const TargetInfo *info = &target_table[t];
        if (t == 0 || strcmp(info->group, target_table[t - 1].group) != 0)
            text_addf(&known, "%s%s", t ? ", " : "", info->group);
        if (strcmp(info->group, info->name) != 0) text_addf(&known, ", %s", info->name);
    }
    text_addf(&known, ", all, and compute capabilities (8.0, sm89)");
    char *shown = text_printable(text, length < 40 ? length : 40, false);
    error_set(err, "\"%s\" is no engine that is known; known are %s", shown ? shown : "", known.data ? known.data : "");
    free(shown);
    text_free(&known);
    return false;
}

bool targets_parse(const char *text, Targets *out, Error *err) {
    *out = 0;
    for (const char *part = text;; part++) {
        const size_t length = strcspn(part, ",");
        const Targets named = targets_named(part, length);
        if (!named) return refuse_target(part, length, err);
        *out |= named;
        part += length;
        if (!*part) return true;
    }
}

static Targets targets_of_group(const char *group) {
    Targets targets = 0;
    for (int t = 0; t < TARGET_COUNT; t++)
        if (strcmp(target_table[t].group, group) == 0) targets |= 1U << t;
    return targets;
}

void targets_list(Targets targets, Text *out) {
    for (int t = 0; t < TARGET_COUNT; t++) {
        const TargetInfo *info = &target_table[t];
        const Targets group = targets_of_group(info->group), whole = (targets & group) == group ? group : 1U << t;
        if (!(targets >> t & 1)) continue;
        text_addf(out, "%s%s", out->length ? ", " : "", whole == group ? info->group : info->name);
        targets &= ~whole;
    }
}

Targets targets_of_format(ExportFormat format) {
    switch (format) {
    case EXPORT_COMPRESSED_TENSORS:
    case EXPORT_GPTQ: return TARGETS_VLLM | 1U << TARGET_SGLANG | 1U << TARGET_TRANSFORMERS;
    case EXPORT_GGUF: return 1U << TARGET_LLAMA_CPP;
    case EXPORT_MLX: return 1U << TARGET_MLX;
    case EXPORT_DENSE:
    case EXPORT_FORMAT_COUNT: break;
    }
    return 0; // nothing is quantized there: nothing to say
}

Targets targets_usual(ExportFormat format) {
    return targets_of_format(format) & ~(1U << TARGET_VLLM_CPU | 1U << TARGET_SGLANG);
}
