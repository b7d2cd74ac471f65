// Records a program that plays by itself, such as quantdial --demo, as an animated SVG.
//
//   recording COLSxROWS OUT.svg dark|light WHEN LAST -- PROGRAM ARGUMENT…
//
// A frame is what stands still with the text WHEN in it, or LAST, which ends the recording. What happens between two
// frames is not seen, so that the recording is the same each time, however fast the machine. How long a frame is shown
// follows from what is in it that is new.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "tools/terminal_svg.h"

#define STILL_MILLISECONDS 500
#define FRAME_SECONDS 2.0 // of a frame, and for each row that is new:
#define ROW_SECONDS 0.1
#define FRAME_SECONDS_MOST 4.5
#define LAST_SECONDS 3.0 // before it begins anew
#define FRAMES_MOST 100

typedef struct Frame {
    char **rows; // [rows of the screen]: SVG
    double start;
} Frame;

typedef struct Recording {
    Frame frames[FRAMES_MOST];
    int count, rows;
    double seconds;
} Recording;

static char *row_svg(Screen *s, const SvgColors *colors, int row) {
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    svg_row(out, s, colors, row);
    return fclose(out) == 0 ? text : NULL;
}

static int rows_that_differ(const Recording *r, char *const *rows) {
    int differ = 0;
    for (int row = 0; row < r->rows; row++)
        differ += r->count == 0 || strcmp(rows[row], r->frames[r->count - 1].rows[row]) != 0;
    return differ;
}

static bool take_frame(Recording *r, Screen *s, const SvgColors *colors) {
    char **rows = array_new((size_t)r->rows, sizeof *rows);
    bool ok = rows != NULL;
    for (int row = 0; ok && row < r->rows; row++) ok = (rows[row] = row_svg(s, colors, row)) != NULL;
    const int differ = ok ? rows_that_differ(r, rows) : 0;
    if (differ == 0 || r->count == FRAMES_MOST) {
        for (int row = 0; rows && row < r->rows; row++) free(rows[row]);
        free(rows);
        return ok;
    }
    r->frames[r->count++] = (Frame){rows, r->seconds};
    const double seconds = FRAME_SECONDS + ROW_SECONDS * differ;
    r->seconds += seconds < FRAME_SECONDS_MOST ? seconds : FRAME_SECONDS_MOST;
    return true;
}

static bool record(Recording *r, Screen *s, const SvgColors *colors, const char *when, const char *last) {
    bool ok = true;
    while (ok && !screen_gone(s)) {
        if (screen_take(s, STILL_MILLISECONDS)) continue;
        const bool ends = screen_has(s, last);
        if (ends || screen_has(s, when)) ok = take_frame(r, s, colors);
        if (ends) return ok;
    }
    return false;
}

static bool has_look(const Recording *r, int frame, int row, const char *look) {
    return strcmp(r->frames[frame].rows[row], look) == 0;
}

// When this look of a row is shown: one value for each change.
static void write_times(FILE *out, const Recording *r, int row, const char *look) {
    fprintf(
        out,
        "<animate attributeName=\"display\" dur=\"%.1fs\" calcMode=\"discrete\" repeatCount=\"indefinite\" values=\"",
        r->seconds);
    for (int times = 0; times < 2; times++) {
        if (times) fputs("\" keyTimes=\"", out);
        for (int i = 0; i < r->count; i++) {
            const bool shown = has_look(r, i, row, look);
            if (i && shown == has_look(r, i - 1, row, look)) continue;
            if (i) fputs(";", out);
            if (times)
                fprintf(out, "%.4f", r->frames[i].start / r->seconds);
            else
                fputs(shown ? "inline" : "none", out);
        }
    }
    fputs("\"/>\n", out);
}

// One row as it is from frame to frame: each look is drawn once and shown at its times.
static void write_row(FILE *out, const Recording *r, int row) {
    for (int i = 0; i < r->count; i++) {
        const char *look = r->frames[i].rows[row];
        bool seen = false, always = true;
        for (int j = 0; j < i; j++) seen = seen || has_look(r, j, row, look);
        for (int j = 0; j < r->count; j++) always = always && has_look(r, j, row, look);
        if (seen || !*look) continue;
        if (!always) fprintf(out, "<g display=\"%s\">\n", i ? "none" : "inline");
        fputs(look, out);
        if (always) continue;
        write_times(out, r, row, look);
        fputs("</g>\n", out);
    }
}

static bool write_recording(const Recording *r, const Screen *s, const SvgColors *colors, const char *path) {
    FILE *out = fopen(path, "w");
    if (!out) return false;
    svg_begin(out, s, colors);
    for (int row = 0; row < r->rows; row++) write_row(out, r, row);
    svg_end(out);
    return fclose(out) == 0;
}

int main(int argc, char **argv) {
    int rows, cols;
    if (argc < 8 || strcmp(argv[6], "--") != 0 || sscanf(argv[1], "%dx%d", &cols, &rows) != 2) {
        fprintf(stderr, "usage: recording COLSxROWS OUT.svg dark|light WHEN LAST -- PROGRAM ARGUMENT…\n");
        return 2;
    }
    const bool light = strcmp(argv[3], "light") == 0;
    const char *environment[] = {"TERM=xterm-256color", "LC_ALL=C.UTF-8",
                                 "COLORTERM=", light ? "COLORFGBG=0;15" : "COLORFGBG=15;0", NULL};
    const SvgColors *colors = light ? &svg_light : &svg_dark;
    Recording recording = {.rows = rows};
    Screen *s = screen_start(rows, cols, (const char *const *)(argv + 7), environment);
    bool ok = s && record(&recording, s, colors, argv[4], argv[5]);
    if (ok) {
        recording.seconds += LAST_SECONDS;
        ok = write_recording(&recording, s, colors, argv[2]);
        fprintf(stderr, "%d frames, %.0f seconds\n", recording.count, recording.seconds);
    }
    if (!ok) fprintf(stderr, "recording: nothing could be recorded\n");
    screen_free(s);
    for (int i = 0; i < recording.count; i++) {
        for (int row = 0; row < rows; row++) free(recording.frames[i].rows[row]);
        free(recording.frames[i].rows);
    }
    return ok ? 0 : 1;
}
