#include "tui/line_editor.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tui/character.h"
#include "tui/terminal.h"

// Bytes of the first character; 0 at the end.
static size_t step_over(const char *text) {
    int width;
    bool agreed;
    return character_length(text, &width, &agreed);
}

void line_editor_set(LineEditor *editor, const char *text) {
    size_t length = 0;
    for (size_t more; (more = step_over(text + length)) > 0 && length + more < sizeof editor->text;) length += more;
    memcpy(editor->text, text, length);
    editor->text[length] = '\0';
    editor->length = editor->cursor = length;
    editor->fresh = false;
}

static size_t before(const LineEditor *editor) {
    size_t at = 0, last = 0;
    while (at < editor->cursor) {
        last = at;
        at += step_over(editor->text + at);
    }
    return last;
}

static size_t after(const LineEditor *editor) { return editor->cursor + step_over(editor->text + editor->cursor); }

static size_t word_before(const LineEditor *editor) {
    size_t at = editor->cursor;
    while (at > 0 && editor->text[at - 1] == ' ') at--;
    while (at > 0 && editor->text[at - 1] != ' ') at--;
    return at;
}

static void cut(LineEditor *editor, size_t from, size_t to) {
    memmove(editor->text + from, editor->text + to, editor->length - to + 1);
    editor->length -= to - from;
    editor->cursor = from;
}

static bool insert(LineEditor *editor, const char *bytes, size_t length) {
    if (editor->length + length >= sizeof editor->text) return false;
    memmove(editor->text + editor->cursor + length, editor->text + editor->cursor, editor->length - editor->cursor + 1);
    memcpy(editor->text + editor->cursor, bytes, length);
    editor->length += length;
    editor->cursor += length;
    return true;
}

// What takes the place of a fresh line empties it first.
static void make_room(LineEditor *editor) {
    if (editor->fresh) cut(editor, 0, editor->length);
    editor->fresh = false;
}

bool line_editor_key(LineEditor *editor, int code) {
    const bool types = code >= 0x20 && (code < 0x7F || code >= 0xA0) && code <= 0x10FFFF;
    if (types || code == KEY_ERASE) make_room(editor);
    editor->fresh = false;
    switch (code) {
    case KEY_ARROW_LEFT:
    case KEY_CONTROL('b'): editor->cursor = before(editor); return true;
    case KEY_ARROW_RIGHT:
    case KEY_CONTROL('f'): editor->cursor = after(editor); return true;
    case KEY_TO_START:
    case KEY_CONTROL('a'): editor->cursor = 0; return true;
    case KEY_TO_END:
    case KEY_CONTROL('e'): editor->cursor = editor->length; return true;
    case KEY_ERASE: cut(editor, before(editor), editor->cursor); return true;
    case KEY_FORWARD_ERASE:
    case KEY_CONTROL('d'): {
        size_t cursor = editor->cursor;
        cut(editor, cursor, after(editor));
        return true;
    }
    case KEY_CONTROL('u'): cut(editor, 0, editor->cursor); return true;
    case KEY_CONTROL('k'): cut(editor, editor->cursor, editor->length); return true;
    case KEY_CONTROL('w'): cut(editor, word_before(editor), editor->cursor); return true;
    default: break;
    }
    if (!types) return false;
    char bytes[4];
    insert(editor, bytes, utf8_write((uint32_t)code, bytes));
    return true;
}

static size_t without_line_end(const char *text) {
    size_t length = strlen(text);
    while (length && (text[length - 1] == '\n' || text[length - 1] == '\r')) length--;
    return length;
}

bool line_editor_paste(LineEditor *editor, const char *text) {
    uint32_t code;
    const char *end = text + without_line_end(text);
    make_room(editor);
    for (size_t length; text < end; text += length) {
        length = utf8_read(text, (size_t)(end - text), &code);
        if (!length)
            length = 1;
        else if (code == '\r' && text[1] == '\n')
            continue; // both are one end of a line
        else if (code == '\t' || code == '\n' || code == '\r') {
            if (!insert(editor, " ", 1)) return false;
        } else if (code >= 0x20 && (code < 0x7F || code > 0x9F) && !insert(editor, text, length))
            return false;
    }
    return true;
}

// ---- history ------------------------------------------------------------------------------------------------------

void line_history_add(LineHistory *history, const char *line) {
    history->at = history->count;
    if (!*line || (history->count && strcmp(history->lines[history->count - 1], line) == 0)) return;
    char *copy = strdup(line);
    if (!copy) return;
    if (history->count == LINE_HISTORY_MOST) {
        free(history->lines[0]);
        memmove(history->lines, history->lines + 1, (LINE_HISTORY_MOST - 1) * sizeof *history->lines);
        history->count--;
    }
    history->lines[history->count++] = copy;
    history->at = history->count;
}

void line_history_step(LineHistory *history, LineEditor *editor, int steps) {
    int at = history->at + steps;
    if (at < 0 || at > history->count) return;
    if (history->at == history->count) snprintf(history->draft, sizeof history->draft, "%s", editor->text);
    history->at = at;
    line_editor_set(editor, at == history->count ? history->draft : history->lines[at]);
}

void line_history_free(LineHistory *history) {
    for (int i = 0; i < history->count; i++) free(history->lines[i]);
    history->count = history->at = 0;
}
