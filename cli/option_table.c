// Every option of the command line, each in one row: what it is called, what it says of itself, which commands take it,
// and what becomes of its value. Parsing, help and completion read this table; the dials are rows of dial_table.
#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/speed.h"
#include "base/file.h"
#include "base/number.h"
#include "cli/bench_schemes.h"
#include "cli/cli.h"

#define TOKENS_MOST 4294967296.0
#define CALIBRATION_MOST (1 << 27) // random ones are drawn beforehand: half a gigabyte of ids

static void *option_place(const OptionRow *row, Options *out) { return (char *)out + row->field; }

// ---- Kinds of values ----

static bool take_flag(const OptionRow *row, const char *text, Options *out, Error *err) {
    (void)text;
    (void)err;
    *(bool *)option_place(row, out) = true;
    return true;
}

static bool take_any_text(const OptionRow *row, const char *text, Options *out, Error *err) {
    (void)err;
    *(const char **)option_place(row, out) = text;
    return true;
}

static bool take_text(const OptionRow *row, const char *text, Options *out, Error *err) {
    if (!*text) return error_set(err, "--%s expects %s, not an empty text", row->name, row->argument);
    return take_any_text(row, text, out, err);
}

// Files are texts, too. These functions mark them as files (options_try_files).
static bool take_input(const OptionRow *row, const char *text, Options *out, Error *err) {
    return take_text(row, text, out, err);
}

// A file, or a text by the name under which it ships.
static bool take_named(const OptionRow *row, const char *text, Options *out, Error *err) {
    return take_text(row, text, out, err);
}

static bool take_output(const OptionRow *row, const char *text, Options *out, Error *err) {
    return take_text(row, text, out, err);
}

static bool refuse_number(const OptionRow *row, const char *kind, const char *text, Error *err) {
    char least[NUMBER_ROOM], most[NUMBER_ROOM];
    number_format(row->least, least, sizeof least);
    number_format(row->most, most, sizeof most);
    return error_set(err, "--%s expects a %s from %s to %s, not \"%.40s\"", row->name, kind, least, most, text);
}

static bool is_whole(const char *text) { return *text && strspn(text, "0123456789") == strlen(text); }

static bool parse_whole(const OptionRow *row, const char *text, double *out, Error *err) {
    return (is_whole(text) && number_parse(text, out) && *out >= row->least && *out <= row->most) ||
           refuse_number(row, "whole number", text, err);
}

static bool take_size(const OptionRow *row, const char *text, Options *out, Error *err) {
    double value;
    if (!parse_whole(row, text, &value, err)) return false;
    *(size_t *)option_place(row, out) = (size_t)value;
    return true;
}

static bool take_int(const OptionRow *row, const char *text, Options *out, Error *err) {
    double value;
    if (!parse_whole(row, text, &value, err)) return false;
    *(int *)option_place(row, out) = (int)value;
    return true;
}

static bool take_float(const OptionRow *row, const char *text, Options *out, Error *err) {
    double value;
    if (!number_parse(text, &value) || value < row->least || value > row->most)
        return refuse_number(row, "number", text, err);
    *(float *)option_place(row, out) = (float)value;
    return true;
}

// A number above the least, which is not allowed itself.
static bool take_above(const OptionRow *row, const char *text, Options *out, Error *err) {
    double value;
    if (!number_parse(text, &value) || value <= row->least)
        return error_set(err, "--%s expects a number above %g, not \"%.40s\"", row->name, row->least, text);
    *(double *)option_place(row, out) = value;
    return true;
}

// Whole numbers with commas between.
static bool take_sizes(const OptionRow *row, const char *text, Options *out, Error *err) {
    Sizes *sizes = option_place(row, out);
    sizes->count = 0;
    for (const char *at = text;;) {
        char number[32];
        double value;
        size_t n = strcspn(at, ",");
        snprintf(number, sizeof number, "%.*s", (int)n, at);
        if (sizes->count == BENCH_LIST) return error_set(err, "--%s: no more than %d values", row->name, BENCH_LIST);
        if (!parse_whole(row, number, &value, err)) return false;
        sizes->values[sizes->count++] = (size_t)value;
        if (!at[n]) return true;
        at += n + 1;
    }
}

// Which of the words of its argument, "auto|cpu|cuda", this is; −1 with a message for none.
static int parse_word(const OptionRow *row, const char *text, Error *err) {
    Text words = {0};
    int index = 0;
    for (const char *at = row->argument; *at; index++) {
        size_t n = strcspn(at, "|");
        const char *next = at + n + (at[n] == '|');
        if (strlen(text) == n && strncmp(text, at, n) == 0) {
            text_free(&words);
            return index;
        }
        text_addf(&words, "%s%.*s", !index ? "" : *next ? ", " : " or ", (int)n, at);
        at = next;
    }
    error_set(err, "--%s expects %s, not \"%.40s\"", row->name, words.data ? words.data : row->argument, text);
    text_free(&words);
    return -1;
}

// Enumerations that count their words from 0.
static bool take_word(const OptionRow *row, const char *text, Options *out, Error *err) {
    int index = parse_word(row, text, err);
    if (index >= 0) *(int *)option_place(row, out) = index;
    return index >= 0;
}

// The word itself, for others to look up.
static bool take_known_text(const OptionRow *row, const char *text, Options *out, Error *err) {
    return parse_word(row, text, err) >= 0 && take_any_text(row, text, out, err);
}

// Options without an argument that choose one of an enumeration: the row's least.
static bool take_constant(const OptionRow *row, const char *text, Options *out, Error *err) {
    (void)text;
    (void)err;
    *(int *)option_place(row, out) = (int)row->least;
    return true;
}

// ---- Values of one option ----

static bool take_seed(const OptionRow *row, const char *text, Options *out, Error *err) {
    uint64_t seed = 0;
    bool ok = is_whole(text);
    for (const char *at = text; ok && *at; at++)
        ok = !__builtin_mul_overflow(seed, 10u, &seed) && !__builtin_add_overflow(seed, (uint64_t)(*at - '0'), &seed);
    if (!ok)
        return error_set(err, "--%s expects a whole number from 0 to %llu, not \"%.40s\"", row->name,
                         (unsigned long long)UINT64_MAX, text);
    out->model.seed = out->sampling.seed = out->random.seed = seed;
    return true;
}

static bool take_calibration_tokens(const OptionRow *row, const char *text, Options *out, Error *err) {
    double tokens;
    if (!parse_whole(row, text, &tokens, err)) return false;
    out->model.length = tokens < 512 ? (size_t)tokens : 512;
    out->model.sequences = (size_t)tokens / out->model.length;
    return true;
}

static bool take_ids(const OptionRow *row, const char *text, Options *out, Error *err) {
    for (const char *at = text;; at++) {
        size_t n = strspn(at, "0123456789");
        if (!n || (at[n] && at[n] != ','))
            return error_set(err, "--%s expects token ids with commas between, such as 1,2,3, not \"%.40s\"", row->name,
                             text);
        at += n;
        if (!*at) return take_text(row, text, out, err);
    }
}

static bool take_sweep(const OptionRow *row, const char *text, Options *out, Error *err) {
    SweepDial dial;
    if (out->sweep_count == SWEEP_DIALS) return error_set(err, "--%s: no more than %d dials", row->name, SWEEP_DIALS);
    if (!sweep_dial_parse(text, &dial, err)) return error_prefix(err, "--%s", row->name);
    sweep_dial_free(&dial);
    size_t name = strcspn(text, "=");
    if (out->sweep_count && strncmp(out->sweeps[0], text, name + 1) == 0)
        return error_set(err, "--%s: the dial %.*s is swept twice; give all its values at once", row->name, (int)name,
                         text);
    out->sweeps[out->sweep_count++] = text;
    return true;
}

static bool take_bits(const OptionRow *row, const char *text, Options *out, Error *err) {
    int count = 0, *bits = out->goal.bits;
    memset(bits, 0, sizeof out->goal.bits);
    for (const char *at = text;; at++) {
        bool known = *at && strchr("2348", *at) && (!at[1] || at[1] == ',');
        for (int i = 0; i < count; i++) known &= bits[i] != *at - '0';
        if (!known) return error_set(err, "--%s expects some of 2,3,4,8, each once, not \"%.40s\"", row->name, text);
        bits[count++] = *at++ - '0';
        if (!*at) return true;
    }
}

static bool take_part(const OptionRow *row, const char *text, Options *out, Error *err) {
    if (!part_parse(text, &out->part, err)) return error_prefix(err, "--%s", row->name);
    out->export.part = out->part.index;
    out->export.parts = out->part.count;
    return true;
}

static bool take_schemes(const OptionRow *row, const char *text, Options *out, Error *err) {
    const BenchScheme *chosen[BENCH_SCHEMES];
    int count;
    return take_text(row, text, out, err) && bench_schemes_read(text, chosen, &count, err);
}

static bool take_targets(const OptionRow *row, const char *text, Options *out, Error *err) {
    return targets_parse(text, option_place(row, out), err) || error_prefix(err, "--%s", row->name);
}

static bool take_shape(const OptionRow *row, const char *text, Options *out, Error *err) {
    const RandomShape *shape = random_shape_find(text);
    Text known = {0};
    if (shape) {
        int layers = out->random.shape.layers; // --layers may come first
        out->random.shape = *shape;
        if (layers) out->random.shape.layers = layers;
        return true;
    }
    for (shape = random_shapes; shape->name; shape++) text_addf(&known, "%s%s", known.length ? ", " : "", shape->name);
    error_set(err, "--%s \"%.40s\" is not known; known are %s", row->name, text, known.data ? known.data : "?");
    text_free(&known);
    return false;
}

static bool take_dtype(const OptionRow *row, const char *text, Options *out, Error *err) {
    int index = parse_word(row, text, err);
    out->random.dtype = index == 1 ? DTYPE_F16 : DTYPE_BF16;
    return index >= 0;
}

static bool take_shard(const OptionRow *row, const char *text, Options *out, Error *err) {
    double megabytes;
    if (!parse_whole(row, text, &megabytes, err)) return false;
    out->random.shard_bytes = out->export.shard_bytes = (size_t)megabytes << 20;
    return true;
}

// ---- The table ----

#define FIELD(name) .field = offsetof(Options, name)
#define FROM_TO(from, to) .least = (from), .most = (to)

const OptionRow option_table[] = {
    {0, "recipe", "FILE", "start from this recipe, then apply the dials below", TAKES_RECIPE, take_input,
     FIELD(recipe)},
    {0, "calibration", "TEXT", "measure activations on mixed, stories, pairs, self (what the model samples), or a file",
     TAKES_CALIBRATION, take_named, FIELD(model.calibration),
     .default_value = "mixed; for the samples stories and pairs"},
    {0, "calibration-tokens", "N", "number of calibration tokens", TAKES_CALIBRATION, take_calibration_tokens,
     FROM_TO(1, CALIBRATION_MOST), .default_value = "65536, of self 8192"},
    {0, "statistics", "FILE", "take activations from this file of calibrate -o, instead of measuring them",
     TAKES_CALIBRATION, take_input, FIELD(model.statistics)},
    {0, "random-tokens", NULL, "calibrate on random tokens instead of text", TAKES_CALIBRATION, take_flag,
     FIELD(model.random_tokens)},
    {0, "text", "TEXT", "evaluate on mixed, stories, pairs, or a file", TAKES_EVALUATION, take_named,
     FIELD(model.evaluation), .default_value = "mixed; for the samples stories and pairs"},
    {0, "tokens", "N", "number of tokens to evaluate", TAKES_EVALUATION, take_size, FIELD(model.eval_tokens),
     FROM_TO(1, TOKENS_MOST), .default_value = "4096"},
    {0, "tokens", "N", "number of tokens to generate", TAKES_LENGTH, take_size, FIELD(most_tokens),
     FROM_TO(1, TOKENS_MOST), .default_value = "64"},
    {0, "window", "N", "tokens per evaluation window", TAKES_EVALUATION, take_size, FIELD(model.window),
     FROM_TO(2, 1 << 20), .default_value = "256"},
    {'p', "prompt", "TEXT", "text that both models continue, or message that both answer", TAKES_PROMPT, take_any_text,
     FIELD(prompt), .default_value = DEFAULT_PROMPT "; " DEFAULT_QUESTION},
    {0, "chat", "auto|on|off", "send prompts and conversations through the model's chat template",
     TAKES_PROMPT | TAKES_CALIBRATION | TAKES_EVALUATION, take_word, FIELD(model.chat), .default_value = "auto"},
    {0, "temperature", "T", "0 takes the most likely token, 1 samples from the model's distribution", TAKES_PROMPT,
     take_float, FIELD(sampling.temperature), FROM_TO(0, 100), .default_value = "0"},
    {0, "top-p", "P", "sample from the most likely tokens with a total probability of P", TAKES_PROMPT, take_float,
     FIELD(sampling.top_p), FROM_TO(0, 1), .default_value = "1"},
    {0, "beams", "N", "write what so many beams find best, with a model that has an encoder", TAKES_LENGTH | TAKES_TASK,
     take_int, FIELD(sampling.beams), FROM_TO(1, BEAMS_MOST), .default_value = "1"},
    {0, "ids", "1,2,3", "token ids to run", TAKES_IDS, take_ids, FIELD(ids)},
    {'o', "output", "FILE", "safetensors file to write", TAKES_IDS, take_output, FIELD(output),
     .mark = "\"logits\":{\"dtype\""},
    {0, "base", NULL, "run the unquantized model", TAKES_IDS, take_flag, FIELD(base_only)},
    {'m', "match", "GLOB", "show only linears whose names match", TAKES_MATCH, take_text, FIELD(match)},
    {0, "as", "quantdial|llm-compressor|llama-quantize", "print the plan as a recipe of another program", TAKES_AS,
     take_word, FIELD(as), .default_value = "quantdial"},
    {0, "alone", NULL, "skip the reverse measurement, which takes half of the time", TAKES_SENSITIVITY, take_constant,
     FIELD(depth), .least = SENSITIVITY_ALONE},
    {0, "estimate", NULL, "print quick estimates without measuring anything", TAKES_SENSITIVITY, take_constant,
     FIELD(depth), .least = SENSITIVITY_ESTIMATES},
    {0, "sweep", "DIAL=VALUES", "try these values of a dial, 1,2,3 or from:to:step; give it twice for two dials",
     TAKES_SWEEP, take_sweep, FIELD(sweeps)},
    {0, "speed", NULL, "measure tokens per second at each point, too", TAKES_SWEEP, take_flag, FIELD(speed)},
    {0, "csv", "FILE", "write the points as comma-separated values", TAKES_SWEEP, take_output, FIELD(csv),
     .mark = ",bits_per_weight,bytes,ppl,"},
    {0, "svg", "FILE", "write a plot of KL divergence against bits per weight", TAKES_SWEEP, take_output, FIELD(svg),
     .mark = ">Accuracy against "},
    {0, "max-kl", "X", "find the smallest model with a mean KL divergence of at most X", TAKES_TUNE, take_above,
     FIELD(goal.max_kl)},
    {0, "max-bits", "X", "find the lowest KL divergence with at most X bits per weight", TAKES_TUNE, take_above,
     FIELD(goal.max_bits)},
    {0, "bits", "LIST", "numbers of bits to choose from", TAKES_TUNE, take_bits, .default_value = "2,3,4,8"},
    {0, "keep", "GLOB",
     "leave linears that match as the recipe has them, beside those that its overrides give bits or "
     "groups to; none: not these either",
     TAKES_TUNE, take_text, FIELD(keep)},
    {0, "target", "LIST", "end with what these engines take, named as for quantize: bits, groups, inputs", TAKES_TUNE,
     take_targets, FIELD(targets)},
    {0, "minutes", "N", "search for at most so long; verifying what was found comes on top", TAKES_TUNE, take_above,
     FIELD(minutes), .default_value = "5"},
    {'o', "output", "FILE", "page to write", TAKES_PAGE, take_output, FIELD(output), .mark = "content=\"quantdial\""},
    {'o', "output", "FILE", "recipe file to write", TAKES_TUNE, take_output, FIELD(output),
     .mark = "\"quantdial_recipe\""},
    {0, "base", "MODEL", "compare MODEL, which this one was made from, with this one as it is stored, without a recipe",
     TAKES_TASK, take_text, FIELD(base)},
    {0, "task", "lambada|choices|translate",
     "score a task instead of a text, as lm-evaluation-harness and sacrebleu do", TAKES_TASK, take_word, FIELD(task)},
    {0, "task-file", "FILE",
     "JSONL file with {\"text\"}, {\"query\", \"choices\", \"gold\"} or {\"source\", \"reference\"} on each line",
     TAKES_TASK, take_input, FIELD(task_file)},
    {0, "instruction", "TEXT", "translate: what to do, such as \"Translate into German:\"", TAKES_TASK, take_text,
     FIELD(translation.instruction)},
    {0, "shots", "N", "translate: examples to show first, the first lines of the file", TAKES_TASK, take_size,
     FIELD(translation.shots), FROM_TO(0, 1000), .default_value = "0"},
    {0, "shots-file", "FILE", "translate: another file to take the examples from", TAKES_TASK, take_input,
     FIELD(translation.shots_path)},
    {0, "max-new-tokens", "N", "translate: longest translation", TAKES_TASK, take_size, FIELD(translation.most),
     FROM_TO(1, 1 << 20), .default_value = "256"},
    {'o', "output", "FILE", "translate: JSONL file to write both translations of every line to", TAKES_TASK,
     take_output, FIELD(output), .mark = "{\"base\":"},
    {0, "factor", "K", "list channels that exceed the median by more than this factor, a number above 1", TAKES_FACTOR,
     take_above, FIELD(factor), .least = 1, .default_value = "6"},
    {0, "compare-random", NULL, "calibrate on random tokens, too, and compare ranges, classes and accuracy",
     TAKES_MEASURING, take_flag, FIELD(compare_random)},
    {'o', "output", "FILE", "file to write what was measured to", TAKES_MEASURING, take_output, FIELD(output),
     .mark = "qdstats\n"},
    {0, "overwrite", NULL, "replace a file that is there, whatever it holds",
     TAKES_IDS | TAKES_TUNE | TAKES_MEASURING | TAKES_SWEEP | TAKES_PAGE | TAKES_TASK, take_flag, FIELD(replace)},
    {0, "merge", NULL, "make one of the statistics of all parts, which are named behind MODEL", TAKES_MEASURING,
     take_flag, FIELD(merge)},
    {0, "schemes", "LIST", "schemes to measure beside base", TAKES_BENCH, take_schemes, FIELD(schemes),
     .default_value = "w8,w4,w8a8,w4a8, and recipe if one is given"},
    {0, "batch", "LIST", "numbers of sequences to decode side by side", TAKES_BENCH, take_sizes, FIELD(batches),
     FROM_TO(1, 1024), .default_value = "1"},
    {0, "context", "LIST", "numbers of tokens before the first decoded one", TAKES_BENCH, take_sizes, FIELD(contexts),
     FROM_TO(0, 1 << 20), .default_value = "128"},
    {0, "prefill", "LIST", "numbers of tokens in a prompt, 0 to skip prefill", TAKES_BENCH, take_sizes, FIELD(prompts),
     FROM_TO(0, 1 << 20), .default_value = "128"},
    {0, "runs", "N", "measured runs of each case", TAKES_BENCH, take_int, FIELD(runs), FROM_TO(1, SPEED_RUNS_MOST),
     .default_value = "5"},
    {0, "shape", "NAME", "shape of the model", TAKES_SHAPE, take_shape, FIELD(random.shape)},
    {0, "layers", "N", "number of layers, instead of the shape's", TAKES_SHAPE, take_int, FIELD(random.shape.layers),
     FROM_TO(1, 1000)},
    {0, "dtype", "bf16|f16", "type of the weights", TAKES_SHAPE, take_dtype, .default_value = "bf16"},
    {'o', "output", "FOLDER", "folder to write, or FILE.gguf", TAKES_EXPORT, take_text, FIELD(export.folder)},
    {0, "format", "compressed-tensors|gguf|mlx|gptq|dense", "format of the checkpoint", TAKES_EXPORT, take_word,
     FIELD(export.format), .default_value = "compressed-tensors"},
    {0, "dtype", "model|bf16|f16|f32", "format dense: type of the matrices; model takes that of the embedding",
     TAKES_EXPORT, take_word, FIELD(export.type), .default_value = "model"},
    {0, "dry-run", NULL, "say what would be written, and write nothing", TAKES_EXPORT, take_flag, FIELD(dry_run)},
    {0, "target", "LIST",
     "engines that the plan is judged for: vllm, vllm-cpu, sglang, transformers, llama.cpp, mlx, all", TAKES_EXPORT,
     take_targets, FIELD(targets), .default_value = "vllm,transformers,llama.cpp,mlx"},
    {0, "fix", NULL, "change the recipe where engines would refuse the model or read it wrongly", TAKES_EXPORT,
     take_flag, FIELD(fix)},
    {0, "eval", NULL, "measure the accuracy first, print it and put it into the model card", TAKES_EXPORT, take_flag,
     FIELD(measure)},
    {0, "verify", NULL, "read back what was written, and compare", TAKES_EXPORT, take_flag, FIELD(export.verify)},
    {0, "overwrite", NULL, "replace what the folder holds", TAKES_EXPORT, take_flag, FIELD(export.overwrite)},
    {0, "allow-odd-bits", NULL, "write weights of 2 and 3 bits, too, which engines read differently", TAKES_EXPORT,
     take_flag, FIELD(export.odd_bits)},
    {0, "shard-megabytes", "N", "largest size of a file", TAKES_SHAPE | TAKES_EXPORT, take_shard, FROM_TO(1, 1 << 20),
     .default_value = "4096"},
    {0, "part", "I/N|slurm",
     "do the I-th of N parts of the work; slurm takes both from the array that this is a task of",
     TAKES_MEASURING | TAKES_EXPORT, take_part, FIELD(part)},
    {0, "finish", NULL, "add what stands beside the weights, once all parts are there", TAKES_EXPORT, take_flag,
     FIELD(export.finish)},
    {0, "backend", "auto|cpu|cuda", "where to compute", TAKES_MODEL, take_word, FIELD(model.backend),
     .default_value = "auto"},
    {'j', "threads", "N", "number of processor threads", TAKES_MODEL, take_int, FIELD(model.threads), FROM_TO(1, 1024),
     .default_value = "all cores"},
    {0, "precision", "native|f32", "f32 rounds nothing below float except where the recipe does, for comparisons",
     TAKES_MODEL, take_word, FIELD(model.precision), .default_value = "native"},
    {0, "seed", "N", "seed of sampling, random tokens and random weights", TAKES_MODEL | TAKES_SHAPE, take_seed,
     .default_value = "0"},
    {0, "no-cache", NULL, "measure again and keep nothing on disk", TAKES_MODEL, take_flag, FIELD(model.no_cache)},
    {0, "ascii", NULL, "draw with ASCII characters only", TAKES_SCREEN, take_flag, FIELD(ascii)},
    {0, "mono", NULL, "use no colours", TAKES_SCREEN, take_flag, FIELD(mono)},
    {0, "light", NULL, "use colours for a light background", TAKES_SCREEN, take_flag, FIELD(light)},
    {0, "demo", NULL, "play a tour on the sample model; any key takes over", TAKES_SCREEN, take_flag, FIELD(demo)},
    {0, "theme", "auto|dark|light|colorblind|mono", "use these colours", TAKES_SCREEN, take_known_text, FIELD(theme)},
    {0, "fresh", NULL, "begin without recipe, filter, marks and pin of the last time", TAKES_SCREEN, take_flag,
     FIELD(fresh)},
    {0, "json", NULL, "print one JSON object on stdout", TAKES_JSON, take_flag, FIELD(json)},
    {'q', "quiet", NULL, "print no progress and no warnings", 0, take_flag, FIELD(quiet)},
    {'h', "help", NULL, "print this help", 0, take_flag, FIELD(help)},
    {'V', "version", NULL, "print the version", 0, take_flag, FIELD(version)},
};
const int option_count = sizeof option_table / sizeof *option_table;
static_assert(sizeof option_table / sizeof *option_table <= OPTIONS_MOST, "Options.given has a place for every row");

bool option_offered(const OptionRow *row, const Command *command) {
    return !row->takes || (row->takes & command->takes);
}

bool dials_offered(const Command *command) { return command->takes & TAKES_RECIPE; }

// ---- Files ----

static const char *path_of(const OptionRow *row, const Options *options) {
    return *(const char *const *)((const char *)options + row->field);
}

// What is replaced unasked: an empty file, one of the same kind that this program wrote, and what is no file.
static bool may_replace(const char *path, const char *mark, Error *err) {
    char head[4096];
    if (!file_exists(path)) return true;
    FILE *file = fopen(path, "rb");
    const size_t n = file ? fread(head, 1, sizeof head, file) : 0;
    if (file) fclose(file);
    return (file && n == 0) || memmem(head, n, mark, strlen(mark)) ||
           error_set(err, "%s: is a file of another kind; name another one, or replace it with --overwrite", path);
}

static bool try_file(const OptionRow *row, const Options *options, Error *err) {
    const EngineText text = strcmp(row->name, "text") == 0 ? TEXT_EVALUATION : TEXT_CALIBRATION;
    const char *path = path_of(row, options);
    if (row->take == take_named && engine_text_is_named(text, path)) return true;
    if (row->take == take_named && engine_text_is_named(TEXT_CALIBRATION, path) && !file_exists(path))
        return error_set(err, "%s is a text to calibrate on; name mixed, stories, pairs, or a file", path);
    if (row->take == take_input || row->take == take_named) return file_can_be_read(path, err);
    return file_can_be_written(path, err) && (options->replace || may_replace(path, row->mark, err));
}

bool options_try_files(const Options *options, const Command *command, Error *err) {
    for (int i = 0; i < option_count; i++) {
        const OptionRow *row = &option_table[i];
        bool file = row->take == take_input || row->take == take_named || row->take == take_output;
        if (!file || !option_offered(row, command) || !path_of(row, options)) continue;
        if (!try_file(row, options, err)) return error_prefix(err, "--%s", row->name);
    }
    return true;
}
