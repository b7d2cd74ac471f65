#include "cli/bench_schemes.h"

#include <assert.h>
#include <string.h>

// Weight-only as FineQuant, W4A8 as FPTQ has them.
static const BenchScheme schemes[] = {
    {"base", 0, POLICY_NONE, 0},    {"w8", 8, POLICY_NONE, 64},     {"w4", 4, POLICY_NONE, 64},
    {"w3", 3, POLICY_NONE, 64},     {"w2", 2, POLICY_NONE, 64},     {"w8a8", 8, POLICY_TOKEN, 128},
    {"w4a8", 4, POLICY_TOKEN, 128}, {"recipe", -1, POLICY_NONE, 0},
};
static_assert(sizeof schemes / sizeof *schemes == BENCH_SCHEMES, "the count of schemes is another");

bool bench_schemes_read(const char *list, const BenchScheme *chosen[BENCH_SCHEMES], int *count, Error *err) {
    *count = 0;
    chosen[(*count)++] = &schemes[0];
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, ",");
        int i = 0;
        while (i < BENCH_SCHEMES && (strlen(schemes[i].name) != n || strncmp(schemes[i].name, at, n) != 0)) i++;
        bool again = false;
        for (int k = 1; i < BENCH_SCHEMES && k < *count; k++) again |= chosen[k] == &schemes[i];
        if (i == BENCH_SCHEMES || again)
            return error_set(err, "--schemes wants some of base,w8,w4,w3,w2,w8a8,w4a8,recipe, each once, not \"%.40s\"",
                             at);
        if (i > 0) chosen[(*count)++] = &schemes[i];
        at += n + (at[n] == ',');
    }
    return true;
}
