// The command line: one table of commands, which runs, completes and explains them.
#pragma once

#include "tui/ui.h"

typedef enum Completion { COMPLETE_NOTHING, COMPLETE_DIAL, COMPLETE_FILE, COMPLETE_COLUMN, COMPLETE_SCHEME } Completion;

typedef struct Command {
    const char *name;
    const char *arguments; // for the help
    Completion completion;
    void (*run)(Ui *ui, const char *argument);
    const char *help;
} Command;

extern const Command screen_commands[];
extern const int screen_command_count;
