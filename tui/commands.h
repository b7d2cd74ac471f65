// The command line: runs and completes what the table of keys and commands (keys.h) has.
#pragma once

#include "tui/ui.h"

void command_run(Ui *ui, const char *line); // without the colon
// Completes the word at the end of `line`: replaces it in out by what all candidates share, lists them in
// ui->suggestions.
void command_complete(Ui *ui, const char *line, char *out, size_t size);
