#include <string.h>

#include "cli/cli.h"

#define LONGEST 40

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

// Letters added, left out, changed, or swapped with their neighbour.
static size_t edit_distance(const char *a, const char *b) {
    size_t n = strlen(a), m = strlen(b), rows[3][LONGEST + 1];
    size_t *before = rows[0], *last = rows[1], *now = rows[2];
    if (n > LONGEST || m > LONGEST) return LONGEST;
    for (size_t k = 0; k <= m; k++) last[k] = k;
    for (size_t i = 1; i <= n; i++) {
        now[0] = i;
        for (size_t k = 1; k <= m; k++) {
            now[k] = least(least(last[k], now[k - 1]) + 1, last[k - 1] + (a[i - 1] != b[k - 1]));
            bool swapped = i > 1 && k > 1 && a[i - 1] == b[k - 2] && a[i - 2] == b[k - 1];
            if (swapped) now[k] = least(now[k], before[k - 2] + 1);
        }
        size_t *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[m];
}

void nearest_offer(Nearest *nearest, const char *name) {
    size_t length = strlen(nearest->word), most = length < 3 ? 0 : length < 6 ? 1 : length / 3;
    bool begins = length >= 3 && strncmp(name, nearest->word, length) == 0;
    size_t distance = begins ? 1 : edit_distance(nearest->word, name);
    if (distance > most || (nearest->best && distance >= nearest->distance)) return;
    nearest->best = name;
    nearest->distance = distance;
}
