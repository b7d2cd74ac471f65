// The command line: runs and completes what the table of keys and commands (keys.h) has.
#pragma once

#include "tui/keys.h"

void command_run(Ui *ui, const char *line); // without the colon
// Completes the word at the end of `line`: replaces it in out by what all candidates share, lists them in
// ui->suggestions.
void command_complete(Ui *ui, const char *line, char *out, size_t size);
// Whether something that completes the command, but no file or name of an action, contains this, whatever the case.
bool command_takes(const Ui *ui, const Binding *command, const char *part);
// Of the command that a line begins with, while nothing follows its word but blanks; NULL: it takes nothing.
const char *command_example(const char *line);
