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

void command_run(Ui *ui, const char *line); // without the colon
// Completes the word at the end of `line`: replaces it in out by what all candidates share, lists them in
// ui->suggestions.
void command_complete(Ui *ui, const char *line, char *out, size_t size);
