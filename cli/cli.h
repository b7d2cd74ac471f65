// The command line: options, the table of subcommands, and what they share for printing.
#pragma once

#include <stdio.h>

#include <cjson/cJSON.h>

#include "analysis/sweep.h"
#include "analysis/tasks.h"
#include "engine/engine.h"
#include "export/random_checkpoint.h"
#include "export/recipe_texts.h"
#include "export/verdict.h"

// ---- options ----

// Part `index` of `count`, counted from 1; count 0: all of the work.
typedef struct Part {
    int index, count;
} Part;
// "2/4", or "slurm": which task of an array this is. The message does not name the option.
bool part_parse(const char *text, Part *out, Error *err);

typedef struct DialSetting {
    Dial dial;
    const char *text;
} DialSetting;

#define BENCH_LIST 8
typedef struct Sizes { // of --batch, --context, --prefill
    size_t values[BENCH_LIST];
    int count; // 0: not given
} Sizes;

#define OPTIONS_MOST 96 // rows of option_table

typedef struct Options {
    const char *given[OPTIONS_MOST]; // by option_table: the value on the command line, "" where none is taken; or NULL
    EngineOptions model;
    const char *recipe;
    DialSetting dials[64]; // in the order in which they were given; applied after the recipe
    int dial_count;
    const char *prompt;
    const char *theme;  // of the screen; NULL: as the settings say
    size_t most_tokens; // generate; 0: the default
    Sampling sampling;
    const char *ids;    // logits: "1,2,3"
    const char *output; // file to write: calibrate, logits, report, tune
    bool replace;       // whatever is there: calibrate, logits, report, sweep, tune
    const char *match;  // glob over linear names
    bool json, quiet, ascii, mono, light, demo, fresh, base_only, help, version;
    SensitivityDepth depth;          // sensitivity
    const char *sweeps[SWEEP_DIALS]; // "alpha=0.1,0.2", checked
    int sweep_count;
    const char *csv, *svg; // files, or NULL
    TuneGoal goal;         // tune
    const char *keep;      // of tune: a glob, or "none"; NULL: what overrides give by hand
    double minutes;        // tune; 0: the default
    double factor;         // outliers; 0: the default
    TaskKind task;         // eval
    const char *task_file; // NULL: no task
    const char *base;      // eval: what the model was made from; NULL: the model itself, quantized by the recipe
    bool compare_random;   // calibrate
    Part part;             // calibrate, quantize
    bool merge;            // calibrate, with:
    char *const *files;    // what stands behind MODEL
    int file_count;
    bool speed;
    const char *schemes;              // bench; NULL: the default
    Sizes batches, contexts, prompts; // bench
    int runs;                         // bench; 0: the default
    RandomOptions random;             // make-random; shape.name NULL: not given
    const char *folder;               // make-random
    ExportOptions export;             // quantize; folder NULL: not given
    bool dry_run, measure, fix;       // quantize
    Targets targets;                  // quantize, 0: the usual ones; tune, 0: none
    RecipeProgram as;                 // plan
    TranslationOptions translation;   // eval --task translate; path is task_file, most 0: the default
} Options;

// Which options a command takes, as bits.
enum {
    TAKES_MODEL = 1,
    TAKES_RECIPE = 2,
    TAKES_CALIBRATION = 4,
    TAKES_EVALUATION = 8,
    TAKES_PROMPT = 16,
    TAKES_IDS = 32,
    TAKES_SCREEN = 64,
    TAKES_JSON = 128,
    TAKES_MATCH = 256,
    TAKES_SENSITIVITY = 512,
    TAKES_SWEEP = 1024,
    TAKES_TUNE = 2048,
    TAKES_TASK = 4096,
    TAKES_FACTOR = 8192,
    TAKES_MEASURING = 16384, // what calibrate alone does
    TAKES_SHAPE = 32768,     // and a folder to write instead of MODEL
    TAKES_BENCH = 65536,
    TAKES_LENGTH = 131072, // of the text to generate
    TAKES_EXPORT = 262144,
    TAKES_AS = 524288, // another program's recipe
    TAKES_PAGE = 1048576,
    KEEPS = 1 << 29,  // each figure in the cache folder as soon as it is known
    HIDDEN = 1 << 30, // not in the list of commands
};

typedef struct Command {
    const char *name;    // "" for the terminal interface
    const char *summary; // one line
    const char *detail;  // further lines of --help
    int takes;
    bool (*run)(const Options *options, Error *err); // true: exit status 0
} Command;

extern const Command command_table[];
extern const int command_count;

typedef struct OptionRow OptionRow;
struct OptionRow {
    char letter;                        // 0: none
    const char *name, *argument, *help; // argument NULL: none is taken
    int takes;                          // offered where a command takes one of these; 0: everywhere
    bool (*take)(const OptionRow *row, const char *text, Options *out, Error *err);
    size_t field;              // of Options, for those kinds of values that need no more to know
    double least, most;        // of a number; most 0: not a number in a range
    const char *default_value; // what holds without the option, or NULL
    const char *mark;          // of a file to write: what stands in the first bytes of those that this program writes
};

// Every option but the dials, in the order of --help. A name may stand twice, for commands that mean different things.
extern const OptionRow option_table[];
extern const int option_count;
bool option_offered(const OptionRow *row, const Command *command);
bool dials_offered(const Command *command);

typedef enum OptionsResult { OPTIONS_RUN, OPTIONS_DONE, OPTIONS_WRONG } OptionsResult;
// DONE: help or version was asked for and printed. WRONG: the message is in err.
OptionsResult options_parse(int argc, char **argv, Options *out, const Command **command, Error *err);
// Whether the options that were given go together, by a table of rules (option_rules.c).
bool options_check_rules(const Options *options, const Command *command, Error *err);
// Whether the files named by options can be read or written; of another kind than what is written they are replaced
// only if that was asked for. Ask before work whose result would be lost.
bool options_try_files(const Options *options, const Command *command, Error *err);
void options_help(const Command *command); // to stdout

// Finds the name nearest to a mistyped word: one that begins with it, or one with few letters changed. Begin with
// {.word = …} and offer every name; `best` is NULL when none is near.
typedef struct Nearest {
    const char *word, *best;
    size_t distance; // of best
} Nearest;
void nearest_offer(Nearest *nearest, const char *name);

// The recipe file, or the default recipe, with the dials of the command line. For quantize --format dense without any
// of them: one that quantizes nothing.
bool options_recipe(const Options *options, Recipe *out, Error *err);

// ---- commands, one file each ----

bool command_screen(const Options *options,
                    Error *err); // the terminal interface, or the overview where there is no terminal
bool command_overview(const Options *options, Error *err);
bool command_inspect(const Options *options, Error *err);
bool command_calibrate(const Options *options, Error *err);
bool command_compare_random(const Options *options, Error *err); // calibrate --compare-random
bool command_plan(const Options *options, Error *err);
bool command_eval(const Options *options, Error *err);
bool command_sensitivity(const Options *options, Error *err);
bool command_sweep(const Options *options, Error *err);
bool command_compare(const Options *options, Error *err);
bool command_tune(const Options *options, Error *err);
bool command_outliers(const Options *options, Error *err);
bool command_report(const Options *options, Error *err);
bool command_generate(const Options *options, Error *err);
bool command_tokenize(const Options *options, Error *err);
bool command_logits(const Options *options, Error *err);
bool command_doctor(const Options *options, Error *err);
bool command_bench(const Options *options, Error *err);
bool command_quantize(const Options *options, Error *err);
bool command_make_random(const Options *options, Error *err);

// ---- shared by commands ----

// A progress bar on stderr (only on a terminal and without --quiet). SIGINT and SIGTERM become a request to stop.
Progress *watch_start(const Options *options);
void watch_end(void);   // takes the bar away; harmless when none runs
int watch_signal(void); // the signal that asked for a stop, or 0
// The stage at which work was stopped, such as "calibrating"; NULL if it had not begun.
const char *watch_work(void);

// Whether --match shows this linear.
bool match_shows(const Options *options, const Linear *linear);
// False, with a message, where it leaves nothing to show.
bool match_finds(const Options *options, const ModelStructure *structure, Error *err);
// Opens the model, which is quick, with the recipe of the command line. must_run: refuses a model that cannot. Close
// *out with engine_close, also after a failure.
bool open_engine(const Options *options, bool must_run, Engine **out, Error *err);
// Measures the weights, calibrates if the recipe needs it (inputs: in any case), and plans. What else the command line
// asks of the model is checked before: this may take hours.
bool prepare_engine(const Options *options, Engine *engine, bool inputs, Error *err);
// Both, where there is nothing to check in between.
bool open_prepared(const Options *options, bool must_run, bool inputs, Engine **out, Error *err);

// The version of the contract in docs/json.md. It rises when a key changes its name, type or meaning, but not when one
// is added.
#define JSON_VERSION 1
void print_json(cJSON *object); // "quantdial": JSON_VERSION, then the object's keys, on one line; frees it
// Infinity and NaN become null, since JSON has neither.
void json_add_number(cJSON *object, const char *key, double value);
const char *in_megabytes(double bytes, char *out, size_t size); // "10.4 MB", "3.1 GB"
// Of a plan: 0 when nothing is quantized, which is no number of bits.
const char *bits_text(double bits, char *out, size_t size); // "4.250 bits per weight", "nothing quantized"
void json_add_bits(cJSON *object, double bits);             // "bits_per_weight"
const char *ppl_text(double ppl, char *out, size_t size);   // "14.2051", "2.1803e+127"
bool output_is_utf8(void);
const char *ellipsis(void);                                                 // "…" or "..."
const char *arrow(void);                                                    // "→" or "->"
void decision_group_text(const Decision *decision, char *out, size_t size); // "64", "channel", "tensor", "–"
// Sparkline of counts (logarithmic), `width` characters; '.:-=+*#%@' without UTF-8.
void print_sparkline(const uint64_t *counts, int bins, FILE *file);
// A file's text without control characters on stdout, and a warning line about rules that match nothing on stderr.
void print_name(const char *name, int width);
void print_not_run(const Engine *engine); // why, and that its linears are a guess
// What the list of linears leaves out: one line, and keys of an object.
void print_unlisted(const ModelStructure *structure);
void json_add_unlisted(cJSON *object, const ModelStructure *structure);
// One line on stderr about linears with weights that are infinite or NaN.
void warn_nonfinite(const Options *options, const Engine *engine);
void warn_stored(const Options *options, const ModelStructure *structure); // how weights were read, if it is a question
// "BF16", or for weights that are quantized already "F16 (GPTQ 4-bit g128)".
void processor_name(char *name, size_t size); // "" where the system does not tell
void dtype_text(const ModelStructure *structure, char *out, size_t size);
void json_add_text(cJSON *object, const char *key, const char *text); // null for NULL
void warn_unmatched(const Options *options, const Engine *engine);
