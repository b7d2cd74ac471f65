// What --help prints: from the tables of commands, options and dials.
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "cli/cli.h"

#define COLUMN 38

static void print_option(char letter, const char *name, const char *argument, const char *help) {
    char left[160], short_form[8] = "    ";
    if (letter) snprintf(short_form, sizeof short_form, "-%c, ", letter);
    snprintf(left, sizeof left, "%s--%s%s%s", short_form, name, argument ? " " : "", argument ? argument : "");
    printf("  %-*s", COLUMN, left);
    if (strlen(left) > COLUMN) printf("\n%*s", COLUMN + 2, ""); // too long for its column
    printf(" %s\n", help);
}

// "help (1 to 1024; default 5)"
static void print_row(const OptionRow *row) {
    char range[2 * NUMBER_ROOM + 8] = "", least[NUMBER_ROOM], most[NUMBER_ROOM], help[256];
    number_format(row->least, least, sizeof least);
    number_format(row->most, most, sizeof most);
    if (row->most > 0) snprintf(range, sizeof range, "%s to %s", least, most);
    if (*range || row->default_value)
        snprintf(help, sizeof help, "%s (%s%s%s%s)", row->help, range, *range && row->default_value ? "; " : "",
                 row->default_value ? "default " : "", row->default_value ? row->default_value : "");
    else
        snprintf(help, sizeof help, "%s", row->help);
    print_option(row->letter, row->name, row->argument, help);
}

// Choices stand as the argument; ranges of numbers beside the help.
static void print_dial(Dial dial) {
    const DialInfo *info = &dial_table[dial];
    char allowed[DIAL_ALLOWED_ROOM], preset[NUMBER_ROOM], help[512];
    bool range = info->kind == DIAL_NUMBER;
    dial_allowed(dial, range ? NULL : "|", allowed, sizeof allowed);
    dial_format(dial, info->default_value, preset, sizeof preset);
    snprintf(help, sizeof help, "%s (%s%sdefault %s)", info->help, range ? allowed : "", range ? "; " : "", preset);
    print_option(0, info->option, range ? "N" : allowed, help);
}

static void print_commands(void) {
    printf("\nCommands (quantdial COMMAND --help lists the options of each):\n");
    for (int i = 0; i < command_count; i++) {
        if (command_table[i].name[0] && !(command_table[i].takes & HIDDEN))
            printf("  %-12s %s\n", command_table[i].name, command_table[i].summary);
    }
}

void options_help(const Command *command) {
    printf("Usage: quantdial%s%s %s[OPTION%s]\n\n%s\n", command->name[0] ? " " : "", command->name,
           command->takes & TAKES_MODEL   ? "[MODEL] "
           : command->takes & TAKES_SHAPE ? "FOLDER "
                                          : "",
           ellipsis(), command->summary);
    if (command->detail) printf("\n%s\n", command->detail);
    if (command->takes & TAKES_MODEL) {
        printf("\nMODEL is a folder, a .safetensors or .gguf file, or a name org/name in the local Hugging Face cache. "
               "Without it\nthe sample that ships with the program is opened.\n");
    }
    if (!command->name[0]) print_commands();
    printf("\nOptions:\n");
    for (int i = 0; i < option_count; i++) {
        if (option_offered(&option_table[i], command)) print_row(&option_table[i]);
    }
    if (!dials_offered(command)) return;
    printf("\nDials:\n");
    for (int i = 0; i < DIAL_COUNT; i++) print_dial((Dial)i);
}
