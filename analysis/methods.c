#include "analysis/methods.h"

#include <stdio.h>
#include <string.h>

const Method method_table[] = {
    {"round to nearest, per tensor", "granularity=tensor activations=none"},
    {"round to nearest, per channel", "granularity=channel activations=none"},
    {"round to nearest, group 128", "granularity=group group-size=128 activations=none"},
    {"round to nearest, group 64", "granularity=group group-size=64 activations=none"},
    {"group 128, asymmetric", "granularity=group group-size=128 grid=asymmetric activations=none"},
    {"group 128, two-level", "granularity=group group-size=128 grid=two-level activations=none"},
    {"group 128, log2", "granularity=group group-size=128 grid=log2 activations=none"},
    {"group 128, least squared error", "granularity=group group-size=128 clip=mse activations=none"},
    {"FineQuant, alpha 0.3, shrink", "granularity=adaptive alpha=0.3 alpha-rule=shrink activations=none"},
    {"FineQuant, alpha 0.3, literal", "granularity=adaptive alpha=0.3 alpha-rule=literal activations=none"},
    {"adaptive by noise, alpha 0.3", "granularity=adaptive alpha=0.3 alpha-rule=noise activations=none"},
    {"group 128, A8 static", "granularity=group group-size=128 activations=static"},
    {"group 128, A8 clipped at 99.9 %", "granularity=group group-size=128 activations=percentile percentile=99.9"},
    {"group 128, A8 SmoothQuant 0.5", "granularity=group group-size=128 activations=smoothquant smooth-alpha=0.5"},
    {"group 128, A8 per token", "granularity=group group-size=128 activations=token"},
    {"group 128, A8 per channel", "granularity=group group-size=128 activations=channel"},
    {"FPTQ, group 128", "granularity=group group-size=128 activations=fptq"},
    {"FPTQ, FineQuant alpha 0.3", "granularity=adaptive alpha=0.3 alpha-rule=shrink activations=fptq"},
};
const int method_count = sizeof method_table / sizeof *method_table;

bool recipe_turn(Recipe *recipe, const char *dials, Error *err) {
    char option[32], value[32];
    int used = 0;
    for (; sscanf(dials, " %31[^= ]=%31s%n", option, value, &used) == 2; dials += used) {
        int dial = dial_find(option);
        if (dial < 0) return error_set(err, "there is no dial \"%s\"", option);
        if (!dial_parse((Dial)dial, value, &recipe->value[dial], err)) return false;
    }
    return true;
}
