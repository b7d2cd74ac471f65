// Reads the command line by the tables: which command, which options, and what is wrong with them.
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "loaders/checkpoint.h"

enum {
    FIRST_OPTION = 256, // + index in option_table: beyond every letter
    FIRST_DIAL = 1024,  // + Dial
    IDS = 256,          // more than there are options and dials
};

// ---- Commands ----

static const Command *find_command(const char *name) {
    for (int i = 0; i < command_count; i++) {
        if (strcmp(command_table[i].name, name) == 0) return &command_table[i];
    }
    return NULL;
}

static const char *nearest_command(const char *word) {
    Nearest nearest = {.word = word};
    for (int i = 0; i < command_count; i++) {
        if (!(command_table[i].takes & HIDDEN)) nearest_offer(&nearest, command_table[i].name);
    }
    nearest_offer(&nearest, "help");
    return nearest.best;
}

static bool refuse_command(const char *word, Error *err) {
    const char *near = nearest_command(word);
    if (near) return error_set(err, "there is no command \"%.60s\"; did you mean %s?", word, near);
    return error_set(err, "there is no command \"%.60s\"; quantdial --help lists them", word);
}

// The first word is a model unless there is no such model and it looks like a misspelled command.
static bool check_first_word(const char *word, Error *err) {
    const char *near = nearest_command(word);
    if (!near || checkpoint_is_there(word)) return true;
    return error_set(err, "\"%.60s\" is neither a command nor a model that is there; did you mean %s?", word, near);
}

// ---- Options ----

static bool take_dial(Options *o, Dial dial, const char *text, Error *err) {
    double value;
    if (!dial_parse(dial, text, &value, NULL)) {
        dial_refuse(dial, text, err);
        return error_prefix(err, "--%s", dial_table[dial].option);
    }
    if (o->dial_count == (int)(sizeof o->dials / sizeof *o->dials))
        return error_set(err, "--%s: no more than %d dials on one command line; write a recipe instead",
                         dial_table[dial].option, o->dial_count);
    o->dials[o->dial_count++] = (DialSetting){dial, text};
    return true;
}

static bool take_option(int id, const char *text, Options *o, Error *err) {
    if (id >= FIRST_DIAL) return take_dial(o, (Dial)(id - FIRST_DIAL), text, err);
    const OptionRow *row = &option_table[id - FIRST_OPTION];
    o->given[id - FIRST_OPTION] = text ? text : "";
    return row->take(row, text, o, err);
}

static int id_of_letter(int letter, const Command *command) {
    for (int i = 0; i < option_count; i++) {
        if (option_table[i].letter == letter && option_offered(&option_table[i], command)) return FIRST_OPTION + i;
    }
    return 0;
}

// The tables for getopt_long, of the options that this command offers.
static void fill_getopt(const Command *command, struct option *longs, char *shorts) {
    *shorts++ = ':';
    for (int i = 0; i < option_count; i++) {
        const OptionRow *row = &option_table[i];
        if (!option_offered(row, command)) continue;
        *longs++ = (struct option){row->name, row->argument ? required_argument : no_argument, NULL, FIRST_OPTION + i};
        if (row->letter) *shorts++ = row->letter;
        if (row->letter && row->argument) *shorts++ = ':';
    }
    for (int i = 0; i < DIAL_COUNT && dials_offered(command); i++)
        *longs++ = (struct option){dial_table[i].option, required_argument, NULL, FIRST_DIAL + i};
    *longs = (struct option){0};
    *shorts = '\0';
}

// ---- What is wrong ----

// Commands that take an option of this name, "sweep, tune"; false when none does.
static bool takers_of(const char *name, char *out, size_t size) {
    size_t n = 0;
    int found = 0;
    for (int c = 0; c < command_count && n < size; c++) {
        bool takes = dials_offered(&command_table[c]) && dial_find(name) >= 0;
        for (int i = 0; i < option_count; i++)
            takes |= option_offered(&option_table[i], &command_table[c]) && strcmp(option_table[i].name, name) == 0;
        if (!takes || !command_table[c].name[0] || command_table[c].takes & HIDDEN) continue;
        if (++found > 3) return snprintf(out + n, size - n, ", ..."), true;
        n += (size_t)snprintf(out + n, size - n, "%s%s", found > 1 ? ", " : "", command_table[c].name);
    }
    return found > 0;
}

// Options that begin like an abbreviation that fits several, "--max-kl, --max-bits"; how many.
static int fits_of(const struct option *longs, const char *name, char *out, size_t size) {
    size_t n = 0;
    int found = 0;
    for (; longs->name && n < size; longs++) {
        if (strncmp(longs->name, name, strlen(name)) != 0) continue;
        n += (size_t)snprintf(out + n, size - n, "%s--%s", found++ ? ", " : "", longs->name);
    }
    return found;
}

static bool refuse_unknown(const char *name, const struct option *longs, const Command *command, Error *err) {
    char others[400];
    Nearest nearest = {.word = name};
    if (fits_of(longs, name, others, sizeof others) > 1)
        return error_set(err, "--%.60s is ambiguous: %s", name, others);
    for (; longs->name; longs++) nearest_offer(&nearest, longs->name);
    if (takers_of(name, others, sizeof others))
        return error_set(err, "--%.60s is not an option of this command, only of %s", name, others);
    if (nearest.best)
        return error_set(err, "--%.60s is not an option of this command; did you mean --%s?", name, nearest.best);
    return error_set(err, "--%.60s is not an option of this command; quantdial %s%s--help lists them", name,
                     command->name, command->name[0] ? " " : "");
}

// What getopt_long could not take: optopt is its letter or id, 0 for a long one that is not known; `word` is where a
// long one stands.
static bool refuse_option(const char *word, bool value_missing, const struct option *longs, const Command *command,
                          Error *err) {
    char name[80];
    bool is_long = !optopt || optopt >= FIRST_OPTION;
    if (is_long)
        snprintf(name, sizeof name, "%.*s", (int)strcspn(word + 2, "="), word + 2);
    else
        snprintf(name, sizeof name, "%c", optopt);
    if (value_missing) return error_set(err, "%s%s expects a value", is_long ? "--" : "-", name);
    if (is_long && optopt) return error_set(err, "--%s takes no value", name);
    if (is_long) return refuse_unknown(name, longs, command, err);
    return error_set(err, "-%s is not an option of this command; quantdial %s%s--help lists them", name, command->name,
                     command->name[0] ? " " : "");
}

// Engines that were named, none of which reads the format.
static bool check_targets(const Options *o, Error *err) {
    const Targets readers = targets_of_format(o->export.format);
    if (!o->targets || o->targets & readers) return true;
    const char *format = export_format_names[o->export.format];
    Text named = {0}, reading = {0};
    targets_list(o->targets, &named);
    targets_list(readers, &reading);
    if (named.failed || reading.failed)
        error_memory(err, "the names of engines");
    else if (readers)
        error_set(err, "--target: %s is not read by %s but by %s; name one of these, or another --format", format,
                  named.data, reading.data);
    else
        error_set(err,
                  "--target: nothing is quantized in %s that %s could read; leave it out, or name another --format",
                  format, named.data);
    text_free(&named);
    text_free(&reading);
    return false;
}

// What a command cannot do without.
static bool check_needed(const Command *command, const Options *o, Error *err) {
    if (command->takes & TAKES_IDS && !(o->ids && o->output))
        return error_set(err, "%s needs --ids 1,2,3 and --output FILE", command->name);
    if (command->takes & TAKES_PAGE && !o->output)
        return error_set(err, "%s needs the page to write, for example -o report.html", command->name);
    if (command->takes & TAKES_SHAPE && !(o->random.shape.name && o->folder))
        return error_set(err, "%s needs --shape NAME and a folder to write", command->name);
    if (command->takes & TAKES_SWEEP && !o->sweep_count)
        return error_set(err, "%s needs --sweep DIAL=VALUES, for example --sweep alpha=0.1:0.5:0.1", command->name);
    if (command->takes & TAKES_TUNE && (o->goal.max_kl > 0) == (o->goal.max_bits > 0))
        return error_set(err, "%s needs either --max-kl X or --max-bits X", command->name);
    if (o->merge && !o->file_count) return error_set(err, "--merge needs MODEL and the files of all parts");
    if (o->export.folder && o->export.format != EXPORT_GGUF && glob_matches("*.gguf", o->export.folder))
        return error_set(err, "%.200s names a GGUF file: add --format gguf", o->export.folder);
    if (o->base && !o->model.model)
        return error_set(err, "--base compares two models as they are stored: name the other one, too");
    if (o->csv && o->svg && strcmp(o->csv, o->svg) == 0)
        return error_set(err, "--csv and --svg name the same file, \"%.200s\"", o->csv);
    return true;
}

static bool take_positional(int argc, char **argv, const Command *command, Options *o, Error *err) {
    int left = argc - optind;
    char **words = argv + optind;
    if (left > 0 && !(command->takes & (TAKES_MODEL | TAKES_SHAPE)))
        return error_set(err, "%s takes no argument, but \"%.60s\" was given", command->name, words[0]);
    if (left > 0 && !*words[0])
        return error_set(err, "%s is empty; name a folder", command->takes & TAKES_SHAPE ? "FOLDER" : "MODEL");
    if (left > 0 && !command->name[0] && find_command(words[0]) && !checkpoint_is_there(words[0]))
        return error_set(err, "the command comes first: quantdial %s ...", words[0]);
    if (left > 1 && !command->name[0] && !checkpoint_is_there(words[0])) return refuse_command(words[0], err);
    if (left > 1 && o->merge) {
        o->files = words + 1;
        o->file_count = left - 1;
    } else if (left > 1) {
        return error_set(err, "one %s is expected, but \"%.60s\" follows",
                         command->takes & TAKES_SHAPE ? "FOLDER" : "MODEL", words[1]);
    }
    if (left > 0) *(command->takes & TAKES_SHAPE ? &o->folder : &o->model.model) = words[0];
    return true;
}

// ---- The command line ----

static bool options_answered(const Options *o, const Command *command) {
    if (o->help) options_help(command);
    if (o->version) puts("quantdial " QUANTDIAL_VERSION);
    return o->help || o->version;
}

static OptionsResult parse_options(int argc, char **argv, const Command *command, Options *out, Error *err) {
    struct option longs[IDS];
    char shorts[IDS];
    fill_getopt(command, longs, shorts);
    opterr = 0;
    optind = 0; // begins anew, also within a group of letters
    for (int id; (id = getopt_long(argc, argv, shorts, longs, NULL)) != -1;) {
        if (id == ':' || id == '?')
            return refuse_option(argv[optind - 1], id == ':', longs, command, err), OPTIONS_WRONG;
        if (id < FIRST_OPTION) id = id_of_letter(id, command);
        if (!take_option(id, optarg, out, err)) return OPTIONS_WRONG;
        if (options_answered(out, command)) return OPTIONS_DONE;
    }
    bool ok = take_positional(argc, argv, command, out, err) && options_check_rules(out, command, err) &&
              check_needed(command, out, err) && (!(command->takes & TAKES_EXPORT) || check_targets(out, err));
    return ok ? OPTIONS_RUN : OPTIONS_WRONG;
}

// quantdial help, quantdial help COMMAND
static OptionsResult answer_help(const char *name, Error *err) {
    const Command *command = find_command(name);
    if (!command) return refuse_command(name, err), OPTIONS_WRONG;
    options_help(command);
    return OPTIONS_DONE;
}

OptionsResult options_parse(int argc, char **argv, Options *out, const Command **command, Error *err) {
    *out = (Options){.sampling = {.top_p = 1}, .depth = SENSITIVITY_BOTH_WAYS, .random.dtype = DTYPE_BF16};
    *command = &command_table[0]; // the terminal interface
    const char *first = argc > 1 ? argv[1] : "";
    if (strcmp(first, "help") == 0) return answer_help(argc > 2 ? argv[2] : "", err);
    if (!*first || *first == '-') return parse_options(argc, argv, *command, out, err);
    const Command *found = find_command(first);
    if (!found) return check_first_word(first, err) ? parse_options(argc, argv, *command, out, err) : OPTIONS_WRONG;
    *command = found;
    return parse_options(argc - 1, argv + 1, found, out, err);
}

// --format dense alone asks for the numbers of the checkpoint as they are.
static bool asks_for_numbers(const Options *options) {
    return options->export.format == EXPORT_DENSE && !options->recipe && !options->dial_count;
}

static bool leave_all(Recipe *recipe, Error *err) {
    recipe->value[DIAL_ACTIVATIONS] = POLICY_NONE;
    recipe->value[DIAL_GRANULARITY] = GRANULARITY_CHANNEL;
    if (recipe_ignore(recipe, "*", err)) return true;
    recipe_free(recipe);
    return false;
}

bool options_recipe(const Options *options, Recipe *out, Error *err) {
    if (options->recipe ? !recipe_load(options->recipe, out, err) : !recipe_default(out, err)) return false;
    for (int i = 0; i < options->dial_count; i++) {
        Dial dial = options->dials[i].dial;
        if (!dial_parse(dial, options->dials[i].text, &out->value[dial], err)) {
            recipe_free(out);
            return false;
        }
    }
    return !asks_for_numbers(options) || leave_all(out, err);
}
