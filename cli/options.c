#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/speed.h"
#include "base/number.h"
#include "cli/cli.h"

enum {
    OPTION_HELP = 1000,
    OPTION_VERSION,
    OPTION_RECIPE,
    OPTION_TEXT,
    OPTION_TOKENS,
    OPTION_CALIBRATION,
    OPTION_CALIBRATION_TOKENS,
    OPTION_RANDOM,
    OPTION_BACKEND,
    OPTION_THREADS,
    OPTION_PRECISION,
    OPTION_SEED,
    OPTION_JSON,
    OPTION_QUIET,
    OPTION_NO_CACHE,
    OPTION_PROMPT,
    OPTION_TEMPERATURE,
    OPTION_TOP_P,
    OPTION_IDS,
    OPTION_OUTPUT,
    OPTION_ASCII,
    OPTION_MONO,
    OPTION_LIGHT,
    OPTION_MATCH,
    OPTION_WINDOW,
    OPTION_BASE_ONLY,
    OPTION_ALONE,
    OPTION_ESTIMATE,
    OPTION_COMPARE_RANDOM,
    OPTION_FACTOR,
    OPTION_TASK,
    OPTION_TASK_FILE,
    OPTION_MAX_KL,
    OPTION_MAX_BITS,
    OPTION_BITS,
    OPTION_SWEEP,
    OPTION_CSV,
    OPTION_SVG,
    OPTION_SPEED,
    OPTION_SCHEMES,
    OPTION_BATCH,
    OPTION_CONTEXT,
    OPTION_PREFILL,
    OPTION_RUNS,
    OPTION_SHAPE,
    OPTION_LAYERS,
    OPTION_DTYPE,
    OPTION_SHARD,
    OPTION_DIAL = 2000, // + Dial
};

typedef struct OptionInfo {
    int id;
    const char *name, *argument, *help;
    int takes; // offered where a command takes one of these; 0: everywhere
    char letter;
} OptionInfo;

static const OptionInfo infos[] = {
    {OPTION_RECIPE, "recipe", "FILE", "recipe to start from; the dials below change it", TAKES_RECIPE, 0},
    {OPTION_CALIBRATION, "calibration", "FILE",
     "text (or .jsonl with \"text\") to measure activations on; the sample's otherwise", TAKES_CALIBRATION, 0},
    {OPTION_CALIBRATION_TOKENS, "calibration-tokens", "N", "how many of its tokens; 65536", TAKES_CALIBRATION, 0},
    {OPTION_RANDOM, "random-tokens", NULL, "calibrate on random vocabulary tokens instead of text", TAKES_CALIBRATION,
     0},
    {OPTION_TEXT, "text", "FILE", "text to evaluate on; the sample's otherwise", TAKES_EVALUATION, 0},
    {OPTION_TOKENS, "tokens", "N", "how many tokens to evaluate (4096) or to generate (64)",
     TAKES_EVALUATION | TAKES_PROMPT, 0},
    {OPTION_WINDOW, "window", "N", "tokens per evaluation window; 256", TAKES_EVALUATION, 0},
    {OPTION_PROMPT, "prompt", "TEXT", "beginning of the decode sample", TAKES_PROMPT, 'p'},
    {OPTION_TEMPERATURE, "temperature", "T", "0 takes the likeliest token (the standard), 1 samples as the model says",
     TAKES_PROMPT, 0},
    {OPTION_TOP_P, "top-p", "P", "sample among the likeliest tokens that make up P; 1", TAKES_PROMPT, 0},
    {OPTION_IDS, "ids", "1,2,3", "token ids", TAKES_IDS, 0},
    {OPTION_OUTPUT, "output", "FILE", "safetensors file to write", TAKES_IDS, 'o'},
    {OPTION_BASE_ONLY, "base", NULL, "logits of the unquantized model", TAKES_IDS, 0},
    {OPTION_MATCH, "match", "GLOB", "only linears whose name matches", TAKES_MATCH, 'm'},
    {OPTION_ALONE, "alone", NULL, "only each linear alone, not the reverse: half the time", TAKES_SENSITIVITY, 0},
    {OPTION_ESTIMATE, "estimate", NULL, "only the quick estimates, nothing measured", TAKES_SENSITIVITY, 0},
    {OPTION_SWEEP, "sweep", "DIAL=VALUES", "values 1,2,3 or from:to:step of a dial; once more for a second dial",
     TAKES_SWEEP, 0},
    {OPTION_SPEED, "speed", NULL, "also measure tokens per second at each point", TAKES_SWEEP, 0},
    {OPTION_CSV, "csv", "FILE", "write the points as comma-separated values", TAKES_SWEEP, 0},
    {OPTION_SVG, "svg", "FILE", "write a plot of KL divergence against bits per weight", TAKES_SWEEP, 0},
    {OPTION_MAX_KL, "max-kl", "X", "the smallest model whose mean KL divergence is at most X", TAKES_TUNE, 0},
    {OPTION_MAX_BITS, "max-bits", "X", "the least KL divergence with at most X bits per weight", TAKES_TUNE, 0},
    {OPTION_BITS, "bits", "LIST", "which bits may be used; 2,3,4,8", TAKES_TUNE, 0},
    {OPTION_OUTPUT, "output", "FILE", "recipe file to write", TAKES_TUNE, 'o'},
    {OPTION_TASK, "task", "lambada|choices", "score a task instead of text, as lm-evaluation-harness does", TAKES_TASK,
     0},
    {OPTION_TASK_FILE, "task-file", "FILE", "JSONL: {\"text\"} or {\"query\", \"choices\", \"gold\"} per line",
     TAKES_TASK, 0},
    {OPTION_FACTOR, "factor", "K", "how far above the median a channel stands out; 6", TAKES_FACTOR, 0},
    {OPTION_COMPARE_RANDOM, "compare-random", NULL,
     "beside calibration on random tokens: ranges, classes, and accuracy of the recipe with each", TAKES_COMPARE_RANDOM,
     0},
    {OPTION_SCHEMES, "schemes", "LIST", "beside base; w8,w4,w8a8,w4a8, and recipe where one is given", TAKES_BENCH, 0},
    {OPTION_BATCH, "batch", "LIST", "sequences that are decoded side by side; 1", TAKES_BENCH, 0},
    {OPTION_CONTEXT, "context", "LIST", "tokens before the first that is decoded; 128", TAKES_BENCH, 0},
    {OPTION_PREFILL, "prefill", "LIST", "tokens of a prompt; 128", TAKES_BENCH, 0},
    {OPTION_RUNS, "runs", "N", "counted runs of each; 5", TAKES_BENCH, 0},
    {OPTION_SHAPE, "shape", "NAME", "which shape", TAKES_SHAPE, 0},
    {OPTION_LAYERS, "layers", "N", "fewer or more layers than the shape has", TAKES_SHAPE, 0},
    {OPTION_DTYPE, "dtype", "bf16|f16", "type of the weights; bf16", TAKES_SHAPE, 0},
    {OPTION_SHARD, "shard-megabytes", "N", "most per file; 4096", TAKES_SHAPE, 0},
    {OPTION_BACKEND, "backend", "auto|cpu|cuda", "where to compute", TAKES_MODEL, 0},
    {OPTION_THREADS, "threads", "N", "processor threads; all", TAKES_MODEL, 'j'},
    {OPTION_PRECISION, "precision", "native|f32", "f32: nothing rounded below float but by the recipe, for comparing",
     TAKES_MODEL, 0},
    {OPTION_SEED, "seed", "N", "of sampling, random tokens and random weights; 0", TAKES_MODEL | TAKES_SHAPE, 0},
    {OPTION_NO_CACHE, "no-cache", NULL, "measure anew and keep nothing on disk", TAKES_MODEL, 0},
    {OPTION_ASCII, "ascii", NULL, "no characters beyond ASCII", TAKES_SCREEN, 0},
    {OPTION_MONO, "mono", NULL, "no colours", TAKES_SCREEN, 0},
    {OPTION_LIGHT, "light", NULL, "colours for a light background", TAKES_SCREEN, 0},
    {OPTION_JSON, "json", NULL, "one JSON object on stdout", TAKES_JSON, 0},
    {OPTION_QUIET, "quiet", NULL, "no progress, no warnings", 0, 'q'},
    {OPTION_HELP, "help", NULL, "this text", 0, 'h'},
    {OPTION_VERSION, "version", NULL, "the program's version", 0, 'V'},
};
#define INFO_COUNT ((int)(sizeof infos / sizeof *infos))

static bool offered(const OptionInfo *info, const Command *command) {
    return !info->takes || (info->takes & command->takes);
}

// ---- help ----

static void print_option(char letter, const char *name, const char *argument, const char *help) {
    char left[160], short_form[8] = "    ";
    if (letter) snprintf(short_form, sizeof short_form, "-%c, ", letter);
    snprintf(left, sizeof left, "%s--%s%s%s", short_form, name, argument ? " " : "", argument ? argument : "");
    printf("  %-38s", left);
    if (strlen(left) > 38) printf("\n%40s", ""); // too long for its column
    printf(" %s\n", help);
}

static void dial_argument(const DialInfo *dial, char *out, size_t size) {
    size_t n = 0;
    out[0] = '\0';
    for (const char *const *name = dial->names; name && *name && n < size; name++) {
        n += (size_t)snprintf(out + n, size - n, "%s%s", name == dial->names ? "" : "|", *name);
    }
    if (dial->kind == DIAL_SWITCH)
        snprintf(out, size, "on|off");
    else if (!dial->names)
        snprintf(out, size, "N");
}

static void print_help(const Command *command) {
    printf("Usage: quantdial%s%s %s[OPTION…]\n\n%s\n", command->name[0] ? " " : "", command->name,
           command->takes & TAKES_MODEL   ? "[MODEL] "
           : command->takes & TAKES_SHAPE ? "FOLDER "
                                          : "",
           command->summary);
    if (command->detail) printf("\n%s\n", command->detail);
    if (command->takes & TAKES_MODEL) {
        printf("\nMODEL is a folder, a .safetensors file, or org/name of the local Hugging Face cache; left out, the "
               "sample\nthat ships with "
               "the program.\n");
    }
    if (!command->name[0]) {
        printf("\nCommands (quantdial COMMAND --help tells more):\n");
        for (int i = 0; i < command_count; i++) {
            if (command_table[i].name[0] && !(command_table[i].takes & HIDDEN))
                printf("  %-12s %s\n", command_table[i].name, command_table[i].summary);
        }
    }
    printf("\nOptions:\n");
    for (int i = 0; i < INFO_COUNT; i++) {
        if (offered(&infos[i], command)) print_option(infos[i].letter, infos[i].name, infos[i].argument, infos[i].help);
    }
    if (!(command->takes & TAKES_RECIPE)) return;
    printf("\nDials:\n");
    for (int i = 0; i < DIAL_COUNT; i++) {
        char argument[128];
        dial_argument(&dial_table[i], argument, sizeof argument);
        print_option(0, dial_table[i].option, argument, dial_table[i].help);
    }
}

// ---- parsing ----

static bool parse_count(const char *name, const char *text, size_t least, size_t most, size_t *out, Error *err) {
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value < least || value > most) {
        return error_set(err, "--%s wants a whole number from %zu to %zu, not \"%.40s\"", name, least, most, text);
    }
    *out = (size_t)value;
    return true;
}

static bool parse_real(const char *name, const char *text, double least, double most, float *out, Error *err) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= least && value <= most)) {
        return error_set(err, "--%s wants a number from %g to %g, not \"%.40s\"", name, least, most, text);
    }
    *out = (float)value;
    return true;
}

static bool parse_calibration_tokens(const char *text, ModelOptions *model, Error *err) {
    size_t tokens;
    if (!parse_count("calibration-tokens", text, 1, (size_t)1 << 32, &tokens, err)) return false;
    model->length = tokens < 512 ? tokens : 512;
    model->sequences = tokens / model->length;
    return true;
}

static bool parse_backend(const char *text, BackendChoice *out, Error *err) {
    if (strcmp(text, "auto") == 0)
        *out = BACKEND_AUTO;
    else if (strcmp(text, "cpu") == 0)
        *out = BACKEND_CPU;
    else if (strcmp(text, "cuda") == 0)
        *out = BACKEND_CUDA;
    else
        return error_set(err, "--backend wants auto, cpu or cuda, not \"%.40s\"", text);
    return true;
}

static bool parse_precision(const char *text, Precision *out, Error *err) {
    if (strcmp(text, "native") == 0)
        *out = PRECISION_NATIVE;
    else if (strcmp(text, "f32") == 0)
        *out = PRECISION_F32;
    else
        return error_set(err, "--precision wants native or f32, not \"%.40s\"", text);
    return true;
}

static bool add_dial(Options *o, Dial dial, const char *text, Error *err) {
    double value;
    if (!dial_parse(dial, text, &value, err)) return error_prefix(err, "--%s", dial_table[dial].option);
    if (o->dial_count == (int)(sizeof o->dials / sizeof *o->dials))
        return error_set(err, "too many dials on the command line");
    o->dials[o->dial_count++] = (DialSetting){dial, text};
    return true;
}

static bool add_sweep(Options *o, const char *text, Error *err) {
    SweepDial dial;
    if (o->sweep_count == SWEEP_DIALS) return error_set(err, "--sweep: no more than %d dials", SWEEP_DIALS);
    if (!sweep_dial_parse(text, &dial, err)) return error_prefix(err, "--sweep");
    sweep_dial_free(&dial);
    o->sweeps[o->sweep_count++] = text;
    return true;
}

static bool parse_goal(const char *name, const char *text, double *out, Error *err) {
    if (number_parse(text, out) && *out > 0) return true;
    return error_set(err, "--%s wants a number above 0, not \"%.40s\"", name, text);
}

static bool parse_bits(const char *text, int bits[4], Error *err) {
    int count = 0;
    for (const char *at = text;; at++) {
        bool known = *at == '2' || *at == '3' || *at == '4' || *at == '8';
        if (!known || (at[1] && at[1] != ',')) break;
        for (int i = 0; i < count; i++) known &= bits[i] != *at - '0';
        if (!known) break;
        bits[count++] = *at++ - '0';
        if (!*at) return true;
    }
    return error_set(err, "--bits wants some of 2,3,4,8, each once, not \"%.40s\"", text);
}

static bool parse_task(const char *text, Options *o, Error *err) {
    o->task_given = true;
    if (strcmp(text, "lambada") == 0)
        o->task = TASK_LAMBADA;
    else if (strcmp(text, "choices") == 0)
        o->task = TASK_CHOICES;
    else
        return error_set(err, "--task wants lambada or choices, not \"%.40s\"", text);
    return true;
}

static bool parse_sizes(const char *name, const char *text, size_t least, size_t most, Sizes *out, Error *err) {
    char number[32];
    out->count = 0;
    for (const char *at = text;;) {
        size_t n = strcspn(at, ",");
        if (out->count == BENCH_LIST) return error_set(err, "--%s: no more than %d values", name, BENCH_LIST);
        snprintf(number, sizeof number, "%.*s", (int)n, at);
        if (!parse_count(name, number, least, most, &out->values[out->count++], err)) return false;
        if (!at[n]) return true;
        at += n + 1;
    }
}

static bool parse_shape(const char *text, RandomShape *out, Error *err) {
    const RandomShape *shape = random_shape_find(text);
    Text known = {0};
    if (shape) {
        int layers = out->layers; // --layers may come first
        *out = *shape;
        if (layers) out->layers = layers;
        return true;
    }
    for (shape = random_shapes; shape->name; shape++) text_addf(&known, "%s%s", known.length ? ", " : "", shape->name);
    error_set(err, "--shape \"%.40s\" is not known; known are %s", text, known.data ? known.data : "?");
    text_free(&known);
    return false;
}

static bool parse_dtype(const char *text, DType *out, Error *err) {
    if (strcmp(text, "bf16") != 0 && strcmp(text, "f16") != 0)
        return error_set(err, "--dtype wants bf16 or f16, not \"%.40s\"", text);
    *out = text[0] == 'b' ? DTYPE_BF16 : DTYPE_F16;
    return true;
}

// What a command cannot do without.
static bool check_needed(const Command *command, const Options *o, Error *err) {
    if (command->takes & TAKES_IDS && !(o->ids && o->output))
        return error_set(err, "%s needs --ids 1,2,3 and --output FILE", command->name);
    if (command->takes & TAKES_SHAPE && !(o->random.shape.name && o->folder))
        return error_set(err, "%s needs --shape NAME and a folder to write", command->name);
    if (command->takes & TAKES_SWEEP && !o->sweep_count)
        return error_set(err, "%s needs --sweep DIAL=VALUES, for example --sweep alpha=0.1:0.5:0.1", command->name);
    if (command->takes & TAKES_TUNE && (o->goal.max_kl > 0) == (o->goal.max_bits > 0))
        return error_set(err, "%s needs either --max-kl X or --max-bits X", command->name);
    if (o->compare_random && o->model.random_tokens)
        return error_set(err, "--compare-random compares with text; leave --random-tokens out");
    if (o->task_given != (o->task_file != NULL)) return error_set(err, "--task and --task-file belong together");
    return true;
}

static bool take_option(int id, const char *argument, const Command *command, Options *o, Error *err) {
    size_t count;
    switch (id) {
    case OPTION_RECIPE: o->recipe = argument; return true;
    case OPTION_TEXT: o->model.evaluation = argument; return true;
    case OPTION_CALIBRATION: o->model.calibration = argument; return true;
    case OPTION_CALIBRATION_TOKENS: return parse_calibration_tokens(argument, &o->model, err);
    case OPTION_RANDOM: return o->model.random_tokens = true;
    case OPTION_TOKENS:
        return parse_count("tokens", argument, 1, (size_t)1 << 32,
                           command->takes & TAKES_EVALUATION ? &o->model.eval_tokens : &o->most_tokens, err);
    case OPTION_WINDOW: return parse_count("window", argument, 2, 1 << 20, &o->model.window, err);
    case OPTION_BACKEND: return parse_backend(argument, &o->model.backend, err);
    case OPTION_THREADS:
        if (!parse_count("threads", argument, 1, 1024, &count, err)) return false;
        o->model.threads = (int)count;
        return true;
    case OPTION_PRECISION: return parse_precision(argument, &o->model.precision, err);
    case OPTION_SEED:
        if (!parse_count("seed", argument, 0, SIZE_MAX, &count, err)) return false;
        o->model.seed = o->sampling.seed = o->random.seed = count;
        return true;
    case OPTION_PROMPT: o->prompt = argument; return true;
    case OPTION_TEMPERATURE: return parse_real("temperature", argument, 0, 100, &o->sampling.temperature, err);
    case OPTION_TOP_P: return parse_real("top-p", argument, 0, 1, &o->sampling.top_p, err);
    case OPTION_IDS: o->ids = argument; return true;
    case OPTION_OUTPUT: o->output = argument; return true;
    case OPTION_MATCH: o->match = argument; return true;
    case OPTION_BASE_ONLY: return o->base_only = true;
    case OPTION_ALONE: o->depth = SENSITIVITY_ALONE; return true;
    case OPTION_ESTIMATE: o->depth = SENSITIVITY_ESTIMATES; return true;
    case OPTION_SWEEP: return add_sweep(o, argument, err);
    case OPTION_SPEED: return o->speed = true;
    case OPTION_CSV: o->csv = argument; return true;
    case OPTION_SVG: o->svg = argument; return true;
    case OPTION_MAX_KL: return parse_goal("max-kl", argument, &o->goal.max_kl, err);
    case OPTION_MAX_BITS: return parse_goal("max-bits", argument, &o->goal.max_bits, err);
    case OPTION_BITS: return parse_bits(argument, o->goal.bits, err);
    case OPTION_TASK: return parse_task(argument, o, err);
    case OPTION_TASK_FILE: o->task_file = argument; return true;
    case OPTION_SCHEMES: o->schemes = argument; return bench_schemes_known(argument, err);
    case OPTION_BATCH: return parse_sizes("batch", argument, 1, 1024, &o->batches, err);
    case OPTION_CONTEXT: return parse_sizes("context", argument, 0, 1 << 20, &o->contexts, err);
    case OPTION_PREFILL: return parse_sizes("prefill", argument, 0, 1 << 20, &o->prompts, err);
    case OPTION_RUNS:
        if (!parse_count("runs", argument, 1, SPEED_RUNS_MOST, &count, err)) return false;
        o->runs = (int)count;
        return true;
    case OPTION_SHAPE: return parse_shape(argument, &o->random.shape, err);
    case OPTION_LAYERS:
        if (!parse_count("layers", argument, 1, 1000, &count, err)) return false;
        o->random.shape.layers = (int)count;
        return true;
    case OPTION_DTYPE: return parse_dtype(argument, &o->random.dtype, err);
    case OPTION_SHARD:
        if (!parse_count("shard-megabytes", argument, 1, 1 << 20, &count, err)) return false;
        o->random.shard_bytes = count << 20;
        return true;
    case OPTION_FACTOR:
        return (number_parse(argument, &o->factor) && o->factor > 1) ||
               error_set(err, "--factor wants a number above 1, not \"%.40s\"", argument);
    case OPTION_COMPARE_RANDOM: return o->compare_random = true;
    case OPTION_JSON: return o->json = true;
    case OPTION_QUIET: return o->quiet = true;
    case OPTION_NO_CACHE: return o->model.no_cache = true;
    case OPTION_ASCII: return o->ascii = true;
    case OPTION_MONO: return o->mono = true;
    default: return add_dial(o, (Dial)(id - OPTION_DIAL), argument, err);
    }
}

static const Command *find_command(const char *name) {
    for (int i = 0; i < command_count; i++) {
        if (strcmp(command_table[i].name, name) == 0) return &command_table[i];
    }
    return NULL;
}

// The tables for getopt_long, of the options that this command offers.
static void fill_getopt(const Command *command, struct option *longs, char *shorts) {
    *shorts++ = ':';
    for (int i = 0; i < INFO_COUNT; i++) {
        if (!offered(&infos[i], command)) continue;
        *longs++ =
            (struct option){infos[i].name, infos[i].argument ? required_argument : no_argument, NULL, infos[i].id};
        if (infos[i].letter) *shorts++ = infos[i].letter;
        if (infos[i].letter && infos[i].argument) *shorts++ = ':';
    }
    for (int i = 0; i < DIAL_COUNT && (command->takes & TAKES_RECIPE); i++) {
        *longs++ = (struct option){dial_table[i].option, required_argument, NULL, OPTION_DIAL + i};
    }
    *longs = (struct option){0};
    *shorts = '\0';
}

static int id_of_letter(int letter) {
    for (int i = 0; i < INFO_COUNT; i++) {
        if (infos[i].letter == letter) return infos[i].id;
    }
    return letter;
}

static bool take_positional(int argc, char **argv, const Command *command, Options *o, Error *err) {
    int left = argc - optind;
    if (left > 0 && !(command->takes & (TAKES_MODEL | TAKES_SHAPE)))
        return error_set(err, "%s takes no argument, but \"%.60s\" was given", command->name, argv[optind]);
    if (left > 1)
        return error_set(err, "one %s is expected, but \"%.60s\" follows; see quantdial --help",
                         command->takes & TAKES_SHAPE ? "FOLDER" : "MODEL", argv[optind + 1]);
    if (left == 1) *(command->takes & TAKES_SHAPE ? &o->folder : &o->model.model) = argv[optind];
    return true;
}

OptionsResult options_parse(int argc, char **argv, Options *out, const Command **command, Error *err) {
    struct option longs[INFO_COUNT + DIAL_COUNT + 1];
    char shorts[64];
    *out = (Options){.sampling = {.top_p = 1}, .depth = SENSITIVITY_BOTH_WAYS, .random.dtype = DTYPE_BF16};
    *command = argc > 1 ? find_command(argv[1]) : NULL;
    int skip = *command && argv[1][0] ? 1 : 0;
    if (!skip) *command = &command_table[0]; // the terminal interface
    fill_getopt(*command, longs, shorts);
    argc -= skip;
    argv += skip;
    opterr = 0;
    optind = 1;
    for (int id; (id = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        const char *word = argv[optind - 1];
        if (id == ':')
            return error_set(err, "%.60s wants a value; see quantdial %s --help", word, (*command)->name),
                   OPTIONS_WRONG;
        if (id == '?')
            return error_set(err, "%.60s is no option of this command; see quantdial %s --help", word,
                             (*command)->name),
                   OPTIONS_WRONG;
        if (id < OPTION_HELP) id = id_of_letter(id);
        if (id == OPTION_HELP) return print_help(*command), OPTIONS_DONE;
        if (id == OPTION_VERSION) return puts("quantdial " QUANTDIAL_VERSION), OPTIONS_DONE;
        if (!take_option(id, optarg, *command, out, err)) return OPTIONS_WRONG;
    }
    bool ok = take_positional(argc, argv, *command, out, err) && check_needed(*command, out, err);
    return ok ? OPTIONS_RUN : OPTIONS_WRONG;
}

bool options_recipe(const Options *options, Recipe *out, Error *err) {
    if (options->recipe ? !recipe_load(options->recipe, out, err) : !recipe_standard(out, err)) return false;
    for (int i = 0; i < options->dial_count; i++) {
        Dial dial = options->dials[i].dial;
        if (!dial_parse(dial, options->dials[i].text, &out->value[dial], err)) {
            recipe_free(out);
            return false;
        }
    }
    return true;
}
