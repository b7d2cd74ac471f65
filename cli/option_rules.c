// Which options go together: one that would have no effect beside another, or that means nothing without it, is refused
// before anything is read. A rule is a row; what a single command cannot do without is said in options.c.
#include <string.h>

#include "cli/cli.h"

typedef enum Relation { NEEDS, EXCLUDES } Relation;

typedef struct Rule {
    int takes;          // holds for commands that take one of these
    const char *option; // where it is given,
    Relation relation;  // it needs one of these or excludes them all:
    const char *others; // names with | between; NAME=VALUE: that value, given or by default; DIALS: any of them
    const char *why;
} Rule;

#define DIALS "dials"
#define COMES_LATER "comes after all parts"
#define WHOLE "is about the whole"
#define MEASURES_NOTHING "is instead of measuring"
#define EVALUATES "is about the evaluation"
#define TRANSLATES "is about translations"
#define MEASURING "statistics|calibration|calibration-tokens|random-tokens"

static const Rule rules[] = {
    {TAKES_EXPORT, "finish", EXCLUDES, "part", COMES_LATER},
    {TAKES_EXPORT, "dry-run", EXCLUDES, "part|finish", WHOLE},
    {TAKES_EXPORT, "dry-run", EXCLUDES, "verify", "writes nothing that could be read back"},
    {TAKES_EXPORT, "eval", EXCLUDES, "part", "is for the model card, which --finish writes"},
    {TAKES_EXPORT, "dtype", NEEDS, "format=dense", "is the type of matrices written as numbers"},
    {TAKES_EXPORT, "allow-odd-bits", NEEDS, "format=compressed-tensors", "is about how this format packs codes"},
    {TAKES_EXPORT, "shard-megabytes", EXCLUDES, "format=gguf", "is about several files, but a GGUF is one"},
    {TAKES_EXPORT, "part", EXCLUDES, "format=gguf", "is about several files, but a GGUF is one"},
    {TAKES_EXPORT, "finish", EXCLUDES, "format=gguf", "is about several files, but a GGUF is one"},
    {TAKES_EXPORT, "text", NEEDS, "eval", EVALUATES},
    {TAKES_EXPORT, "tokens", NEEDS, "eval", EVALUATES},
    {TAKES_EXPORT, "window", NEEDS, "eval", EVALUATES},
    {TAKES_MEASURING, "merge", EXCLUDES, "part", COMES_LATER},
    {TAKES_MEASURING, "compare-random", EXCLUDES, "merge|part|output|statistics", "prints only"},
    {TAKES_MEASURING, "compare-random", EXCLUDES, "random-tokens", "compares with text"},
    {TAKES_MEASURING, "merge", EXCLUDES, MEASURING, "takes what the parts measured"},
    {TAKES_MEASURING, "part", EXCLUDES, "statistics", "measures"},
    {TAKES_MEASURING, "part", EXCLUDES, "match", "prints no list of linears"},
    {TAKES_MEASURING, "part", NEEDS, "output", "measures for a file"},
    {TAKES_MEASURING, "text", NEEDS, "compare-random", EVALUATES},
    {TAKES_MEASURING, "tokens", NEEDS, "compare-random", EVALUATES},
    {TAKES_MEASURING, "window", NEEDS, "compare-random", EVALUATES},
    {TAKES_CALIBRATION, "statistics", EXCLUDES, "calibration|calibration-tokens|random-tokens", MEASURES_NOTHING},
    {TAKES_CALIBRATION, "random-tokens", EXCLUDES, "calibration", "is instead of a text"},
    {TAKES_AS, "json", EXCLUDES, "as=llm-compressor|as=llama-quantize", "is about the list, not about a recipe"},
    {TAKES_AS, "match", EXCLUDES, "as=llm-compressor|as=llama-quantize", "is about the list, not about a recipe"},
    {TAKES_TASK, "task", NEEDS, "task-file", "belongs to a file"},
    {TAKES_TASK, "task-file", NEEDS, "task", "belongs to a task"},
    {TAKES_TASK, "task-file", EXCLUDES, "text|tokens|window", "is scored in place of a text"},
    {TAKES_TASK, "instruction", NEEDS, "task=translate", TRANSLATES},
    {TAKES_TASK, "shots", NEEDS, "task=translate", TRANSLATES},
    {TAKES_TASK, "shots-file", NEEDS, "shots", "is for examples"},
    {TAKES_TASK, "max-new-tokens", NEEDS, "task=translate", TRANSLATES},
    {TAKES_TASK, "beams", NEEDS, "task=translate", TRANSLATES},
    {TAKES_TASK, "output", NEEDS, "task=translate", TRANSLATES},
    {TAKES_TASK, "base", EXCLUDES, "recipe|task|" DIALS "|" MEASURING, "compares two models as they are stored"},
    {TAKES_IDS, "base", EXCLUDES, "recipe|" DIALS "|" MEASURING, "runs the model as it is"},
    {TAKES_LENGTH, "beams", EXCLUDES, "temperature", "takes what is most probable"},
    {TAKES_LENGTH, "top-p", NEEDS, "temperature", "has an effect above a temperature of 0"},
    {TAKES_SENSITIVITY, "alone", EXCLUDES, "estimate", "measures"},
    {TAKES_IDS | TAKES_TUNE | TAKES_MEASURING | TAKES_SWEEP | TAKES_PAGE | TAKES_TASK, "overwrite", NEEDS,
     "output|csv|svg", "is about the file that is written"},
};

typedef struct Parsed {
    const Command *command;
    const Options *options;
} Parsed;

// The row of an option of this command, by its name up to a "="; −1: it has none.
static int row_of(const Parsed *p, const char *name) {
    const size_t n = strcspn(name, "=");
    for (int i = 0; i < option_count; i++)
        if (strncmp(option_table[i].name, name, n) == 0 && !option_table[i].name[n] &&
            option_offered(&option_table[i], p->command))
            return i;
    return -1;
}

static bool holds(const Parsed *p, const char *other) {
    if (strcmp(other, DIALS) == 0) return p->options->dial_count > 0;
    const int row = row_of(p, other);
    const char *equals = strchr(other, '='), *value = row < 0 ? NULL : p->options->given[row];
    if (row < 0 || !equals) return value;
    if (!value) value = option_table[row].default_value;
    return value && strcmp(value, equals + 1) == 0;
}

// "--format dense" for "format=dense".
static void name_other(const char *other, Text *out) {
    const size_t name = strcspn(other, "=");
    text_addf(out, "--%.*s", (int)name, other);
    if (other[name]) text_addf(out, " %s", other + name + 1);
}

// The next of the names; NULL after the last.
static const char *next_other(const char **at, char *out, size_t size) {
    const size_t n = strcspn(*at, "|");
    if (!n) return NULL;
    snprintf(out, size, "%.*s", (int)n, *at);
    *at += n + ((*at)[n] == '|');
    return out;
}

// Of the others only those that this command takes.
static bool refuse_missing(const Parsed *p, const Rule *rule, Error *err) {
    char other[60];
    Text text = {0};
    for (const char *at = rule->others; next_other(&at, other, sizeof other);) {
        if (row_of(p, other) < 0) continue;
        text_addf(&text, text.length ? " or " : "");
        name_other(other, &text);
    }
    if (text.failed)
        error_memory(err, "the options");
    else
        error_set(err, "--%s %s; it needs %s", rule->option, rule->why, text.data);
    text_free(&text);
    return false;
}

static bool refuse_other(const Rule *rule, const char *other, Error *err) {
    Text text = {0};
    if (strcmp(other, DIALS) == 0)
        text_addf(&text, "the dials");
    else
        name_other(other, &text);
    if (text.failed)
        error_memory(err, "the options");
    else
        error_set(err, "--%s %s; leave out --%s or %s", rule->option, rule->why, rule->option, text.data);
    text_free(&text);
    return false;
}

static bool check_rule(const Parsed *p, const Rule *rule, Error *err) {
    char other[60];
    bool any = false;
    if (!(p->command->takes & rule->takes) || !holds(p, rule->option)) return true;
    for (const char *at = rule->others; next_other(&at, other, sizeof other);) {
        if (!holds(p, other)) continue;
        if (rule->relation == EXCLUDES) return refuse_other(rule, other, err);
        any = true;
    }
    return any || rule->relation == EXCLUDES || refuse_missing(p, rule, err);
}

bool options_check_rules(const Options *options, const Command *command, Error *err) {
    const Parsed p = {command, options};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!check_rule(&p, &rules[i], err)) return false;
    return true;
}
