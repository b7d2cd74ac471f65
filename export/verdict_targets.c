// Engines by their names, and which of them read a format.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export/verdict.h"

// Compute capabilities by NVIDIA's list of its devices.
const CardInfo card_table[] = {
    {"p100", 60},     {"v100", 70},       {"t4", 75},          {"rtx2060", 75}, {"rtx2070", 75},  {"rtx2080", 75},
    {"a100", 80},     {"a800", 80},       {"a30", 80},         {"a2", 86},      {"a10", 86},      {"a10g", 86},
    {"a16", 86},      {"a40", 86},        {"a4000", 86},       {"a5000", 86},   {"a6000", 86},    {"rtx3060", 86},
    {"rtx3070", 86},  {"rtx3080", 86},    {"rtx3090", 86},     {"orin", 87},    {"l4", 89},       {"l40", 89},
    {"l40s", 89},     {"rtx6000ada", 89}, {"rtx4060", 89},     {"rtx4070", 89}, {"rtx4080", 89},  {"rtx4090", 89},
    {"h100", 90},     {"h200", 90},       {"h800", 90},        {"h20", 90},     {"gh200", 90},    {"b200", 100},
    {"gb200", 100},   {"b300", 103},      {"gb300", 103},      {"thor", 110},   {"rtx5060", 120}, {"rtx5070", 120},
    {"rtx5080", 120}, {"rtx5090", 120},   {"rtxpro6000", 120}, {"gb10", 121},   {NULL, 0},
};

static Targets targets_of_capability(long capability) {
    return capability == 75                         ? 1U << TARGET_VLLM_SM75
           : capability >= 80 && capability < 90    ? 1U << TARGET_VLLM_SM80
           : capability == 90                       ? 1U << TARGET_VLLM_SM90
           : capability >= 100 && capability <= 121 ? 1U << TARGET_VLLM_SM100
                                                    : 0;
}

// "8.0", "sm80", "sm_89": a compute capability, times ten; 0: it is none.
static long capability_of(const char *text) {
    char *end;
    const bool sm = tolower((unsigned char)text[0]) == 's' && tolower((unsigned char)text[1]) == 'm';
    if (sm) text += text[2] == '_' ? 3 : 2;
    if (!isdigit((unsigned char)*text)) return 0;
    long capability = strtol(text, &end, 10);
    if (!sm) {
        if (*end != '.' || !isdigit((unsigned char)end[1])) return 0;
        capability = 10 * capability + end[1] - '0';
        end += 2;
    }
    return *end ? 0 : capability;
}

// What makes a card's name another one only to the eye: case, blanks, signs, the maker's words.
static void plain_card(const char *text, char *out, size_t size) {
    static const char *const words[] = {"nvidia", "geforce", "tesla"};
    size_t length = 0;
    for (; *text && length + 1 < size; text++)
        if (isalnum((unsigned char)*text)) out[length++] = (char)tolower((unsigned char)*text);
    out[length] = '\0';
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strncmp(out, words[i], strlen(words[i])) == 0)
            memmove(out, out + strlen(words[i]), strlen(out) + 1 - strlen(words[i]));
}

// Also without "rtx", and with what tells variants of the same chip apart: "4090", "rtx3080ti", "a10080gb", "h100sxm".
static bool is_card(const char *plain, const char *name) {
    static const char *const variants[] = {"", "ti", "super", "tisuper", "pcie", "sxm", "nvl", "40gb", "80gb"};
    if (strncmp(name, "rtx", 3) == 0 && strncmp(plain, "rtx", 3) != 0) name += 3;
    const size_t length = strlen(name);
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (strncmp(plain, name, length) == 0 && strcmp(plain + length, variants[i]) == 0) return true;
    return false;
}

static const CardInfo *card_named(const char *text) {
    char plain[40];
    plain_card(text, plain, sizeof plain);
    for (const CardInfo *card = card_table; card->name; card++)
        if (is_card(plain, card->name)) return card;
    return NULL;
}

// A device that vLLM runs on, by its compute capability or the name of the card; also behind "vllm-".
static Targets targets_of_device(const char *text, size_t length) {
    char name[40];
    if (length >= sizeof name) return 0;
    snprintf(name, sizeof name, "%.*s", (int)length, text);
    const char *device = strncmp(name, "vllm-", 5) == 0 ? name + 5 : name;
    const CardInfo *card = card_named(device);
    return targets_of_capability(card ? card->capability : capability_of(device));
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
    char name[40] = "";
    if (length < sizeof name) snprintf(name, sizeof name, "%.*s", (int)length, text);
    const CardInfo *card = card_named(name);
    if (card)
        return error_set(
            err, "\"%s\" has compute capability %d.%d; vLLM multiplies quantized weights from 7.5 on (T4, RTX 20)",
            name, card->capability / 10, card->capability % 10);
    Text known = {0};
    for (int t = 0; t < TARGET_COUNT; t++) {
        const TargetInfo *info = &target_table[t];
        if (t == 0 || strcmp(info->group, target_table[t - 1].group) != 0)
            text_addf(&known, "%s%s", t ? ", " : "", info->group);
        if (strcmp(info->group, info->name) != 0) text_addf(&known, ", %s", info->name);
    }
    text_addf(&known, ", all, and devices of vLLM (a100, rtx4090, 8.0, sm89)");
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
