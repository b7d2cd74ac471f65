// The schemes of compressed-tensors: what its configuration, which llm-compressor's recipes share, says of linears.
#pragma once

#include "export/beside.h"
#include "export/module_names.h"
#include "quant/plan.h"

// Of linears that are alike.
typedef struct CtScheme {
    int bits;
    bool symmetric, packed;
    Granularity granularity;
    size_t group; // of GRANULARITY_GROUP; else 0
    ActivationPolicy activations;
} CtScheme;

CtScheme ct_scheme_of(const Decision *d);
bool ct_same_scheme(const CtScheme *a, const CtScheme *b);

typedef struct CtGroups {
    CtScheme *items;
    int count;
    const char **names; // [name_count], with their schemes: −1 not quantized
    int *of;
    size_t name_count;
    char **made; // [made_count]: names of no linear, which engines ask for
    size_t made_count;
    ModuleNames targets;
    Names beside; // words
} CtGroups;

// Free with ct_groups_free in any case.
bool ct_groups_make(const ModelStructure *structure, const Plan *plan, CtGroups *out, Error *err);
void ct_groups_free(CtGroups *groups);

// The keys "ignore" and "config_groups" with their values as JSON, each line after `indent`.
void ct_groups_print(const CtGroups *groups, const char *indent, Text *out);
const char *ct_whole_format(const CtGroups *groups); // "pack-quantized"; "mixed-precision" where they differ
