#include "tui/line_editor.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/canvas.h"
#include "tui/terminal.h"

void line_editor_set(LineEditor *editor, const char *text) {
    size_t length = 0;
    int width;
    for (size_t more; (more = character_length(text + length, &width)) > 0 && length + more < sizeof editor->text;)
        length += more;
    memcpy(editor->text, text, length);
    editor->text[length] = '\0';
    editor->length = editor->cursor = length;
}

static size_t before(const LineEditor *editor) {
    size_t at = 0, last = 0;
    int width;
    while (at < editor->cursor) {
        last = at;
        at += character_length(editor->text + at, &width);
    }
    return last;
}

static size_t after(const LineEditor *editor) {
    int width;
    return editor->cursor + character_length(editor->text + editor->cursor, &width);
}

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

static size_t encode(uint32_t code, char out[4]) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    const size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3F));
    out[0] = (char)((0xF0 << (4 - length) & 0xFF) | code);
    return length;
}

static void insert(LineEditor *editor, uint32_t code) {
    char bytes[4];
    size_t length = encode(code, bytes);
    if (editor->length + length >= sizeof editor->text) return;
    memmove(editor->text + editor->cursor + length, editor->text + editor->cursor, editor->length - editor->cursor + 1);
    memcpy(editor->text + editor->cursor, bytes, length);
    editor->length += length;
    editor->cursor += length;
}

bool line_editor_key(LineEditor *editor, int code) {
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
    if (code < 0x20 || (code >= 0x7F && code < 0xA0) || code > 0x10FFFF) return false;
    insert(editor, (uint32_t)code);
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
