// Which share of the work this process does: I/N, or what Slurm says of an array of jobs.
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "cli/cli.h"

#define PARTS_MOST 10000

static bool whole_number(const char *text, double least, double most, int *out) {
    double value;
    if (!text || !*text || strspn(text, "0123456789") != strlen(text) || !number_parse(text, &value) || value < least ||
        value > most)
        return false;
    *out = (int)value;
    return true;
}

static bool read_pair(const char *text, Part *out) {
    char index[16];
    const char *slash = strchr(text, '/');
    if (!slash || (size_t)(slash - text) >= sizeof index) return false;
    snprintf(index, sizeof index, "%.*s", (int)(slash - text), text);
    return whole_number(slash + 1, 1, PARTS_MOST, &out->count) && whole_number(index, 1, out->count, &out->index);
}

static bool of_slurm(const char *name, double least, int *out) {
    char variable[40];
    snprintf(variable, sizeof variable, "SLURM_ARRAY_TASK_%s", name);
    return whole_number(getenv(variable), least, 1e9, out);
}

// Arrays begin at 0 or 1, as their owner likes. One that begins elsewhere, or has gaps, is what is left of another
// array, and its tasks do not know of how many they are.
static bool ask_slurm(Part *out, Error *err) {
    int id, first, last, count, step = 1;
    if (!of_slurm("ID", 0, &id) || !of_slurm("MIN", 0, &first) || !of_slurm("MAX", 0, &last) ||
        !of_slurm("COUNT", 1, &count))
        return error_set(err, "this is no task of a Slurm array (sbatch --array=1-4); name the part, such as 1/4");
    of_slurm("STEP", 1, &step);
    const bool whole = first <= 1 && step == 1 && last - first + 1 == count && id >= first && id <= last;
    if (!whole || count > PARTS_MOST)
        return error_set(err,
                         "the Slurm array has %d tasks from %d to %d, which may be some of a larger one: submit all of "
                         "it again, what is done is skipped, or name the part, such as %d/N",
                         count, first, last, id);
    *out = (Part){id - first + 1, count};
    return true;
}

bool part_parse(const char *text, Part *out, Error *err) {
    if (strcmp(text, "slurm") == 0) return ask_slurm(out, err);
    return read_pair(text, out) ||
           error_set(err, "expects I/N, with I from 1 to N and N of at most %d, or slurm, not \"%.40s\"", PARTS_MOST,
                     text);
}
