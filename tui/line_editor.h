// One line of text being edited, with a history of earlier lines.
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef struct LineEditor {
    char text[1024];       // UTF-8
    size_t length, cursor; // bytes; the cursor stands between characters
    bool fresh;            // what is typed takes the place of all, and Backspace takes it away; other keys edit it
} LineEditor;

#define LINE_HISTORY_MOST 50
typedef struct LineHistory {
    char *lines[LINE_HISTORY_MOST]; // oldest first
    int count, at;                  // at == count: the line being written, which is kept in draft
    char draft[sizeof(((LineEditor *)0)->text)];
} LineHistory;

void line_editor_set(LineEditor *editor, const char *text); // cursor at the end
// Takes keys that edit or move; false for any other.
bool line_editor_key(LineEditor *editor, int code);

// Inserts text at the cursor: line ends and tabs become blanks, other control characters and what is not UTF-8 are left
// out. False when the end of the text did not fit.
bool line_editor_paste(LineEditor *editor, const char *text);

void line_history_add(LineHistory *history, const char *line);               // not twice in a row
void line_history_step(LineHistory *history, LineEditor *editor, int steps); // −1: the line before
void line_history_free(LineHistory *history);
