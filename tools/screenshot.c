// Runs a program on a terminal of a given size, presses keys, and draws what is then on the screen as SVG.
//
//   screenshot COLSxROWS OUT.svg dark|light STEP… -- PROGRAM ARGUMENT…
//
// Steps: wait:TEXT, gone:TEXT (until the text is there, or no longer), keys:TEXT (\e \r \t \xNN), click:TEXT, quiet
// (until nothing is drawn any more), env:NAME=VALUE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/terminal_svg.h"

static bool draw(Screen *s, const SvgColors *colors, const char *path) {
    FILE *out = fopen(path, "w");
    if (!out) return false;
    svg_begin(out, s, colors);
    for (int row = 0; row < s->rows; row++) svg_row(out, s, colors, row);
    svg_end(out);
    return fclose(out) == 0;
}

// ---- steps --------------------------------------------------------------------------------------------------------

static void send_escaped(Screen *s, const char *text) {
    char bytes[1024];
    size_t n = 0;
    for (; *text && n + 1 < sizeof bytes; text++) {
        if (*text != '\\' || !text[1]) {
            bytes[n++] = *text;
            continue;
        }
        text++;
        if (*text == 'x') {
            const char hex[3] = {text[1], text[1] ? text[2] : '\0', '\0'};
            bytes[n++] = (char)strtol(hex, NULL, 16);
            text += strlen(hex);
        } else
            bytes[n++] = *text == 'e' ? '\033' : *text == 'r' ? '\r' : *text == 't' ? '\t' : *text;
    }
    bytes[n] = '\0';
    screen_send(s, bytes);
}

static bool do_step(Screen *s, const char *step) {
    int row, col;
    if (strncmp(step, "wait:", 5) == 0) return screen_wait_text(s, step + 5);
    if (strncmp(step, "gone:", 5) == 0) return screen_wait_without(s, step + 5);
    if (strncmp(step, "keys:", 5) == 0)
        send_escaped(s, step + 5);
    else if (strncmp(step, "click:", 6) == 0 && screen_find(s, step + 6, &row, &col))
        screen_click(s, row, col);
    else if (strcmp(step, "quiet") != 0)
        return strncmp(step, "env:", 4) == 0;
    screen_settle(s, 1000);
    return true;
}

int main(int argc, char **argv) {
    int rows, cols, program = 4, variables = 0;
    while (program < argc && strcmp(argv[program], "--") != 0) program++;
    if (program + 1 >= argc || sscanf(argv[1], "%dx%d", &cols, &rows) != 2) {
        fprintf(stderr, "usage: screenshot COLSxROWS OUT.svg dark|light STEP… -- PROGRAM ARGUMENT…\n");
        return 2;
    }
    const char *environment[32] = {"TERM=xterm-256color", "LC_ALL=C.UTF-8", "COLORTERM="};
    const bool is_light = strcmp(argv[3], "light") == 0;
    variables = 3;
    environment[variables++] = is_light ? "COLORFGBG=0;15" : "COLORFGBG=15;0";
    for (int i = 4; i < program && variables < 31; i++) {
        if (strncmp(argv[i], "env:", 4) == 0) environment[variables++] = argv[i] + 4;
    }
    Screen *s = screen_start(rows, cols, (const char *const *)(argv + program + 1), environment);
    int status = s ? 0 : 1;
    for (int i = 4; s && i < program && !status; i++) {
        if (do_step(s, argv[i])) continue;
        fprintf(stderr, "screenshot: \"%s\" did not come to pass; the screen:\n", argv[i]);
        char *text = screen_text(s);
        fputs(text ? text : "", stderr);
        free(text);
        status = 1;
    }
    if (s && !draw(s, is_light ? &svg_light : &svg_dark, argv[2])) {
        perror(argv[2]);
        status = 1;
    }
    screen_free(s);
    return status;
}
