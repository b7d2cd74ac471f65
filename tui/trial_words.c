#include "tui/trial_words.h"

#include <stdio.h>
#include <string.h>

#include "tui/trials.h"

static bool is_from_elsewhere(const TrialRow *trial) { return trial->from && trial->from + 1 != trial->number; }

void trial_words_before(const Ui *ui, const TrialRow *trial, char *out, size_t size) {
    *out = '\0';
    if (*trial->note)
        snprintf(out, size, "“%s” ", trial->note);
    else if (is_from_elsewhere(trial))
        snprintf(out, size, "from %s: ", trials_name(ui, trial->from).text);
}

// In fewer columns: "down_proj of layers 3–5 bits 4 → 8 (3 linears)" is "down_proj 3–5 bits 4→8", and without whole
// names "down 3–5 bits 4→8".
static void words_brief(const char *words, bool whole_names, char *out, size_t size) {
    static const struct {
        const char *whole, *brief;
    } parts[] = {{" → ", "→"}, {" of layers ", " "}, {" of layer ", " "}, {"_proj", ""}};
    const size_t count = sizeof parts / sizeof *parts - whole_names;
    size_t used = 0;
    while (*words && used + 4 < size) {
        const char *put = NULL;
        size_t taken = 1;
        for (size_t i = 0; !put && i < count; i++) {
            const size_t length = strlen(parts[i].whole);
            if (strncmp(words, parts[i].whole, length) != 0) continue;
            put = parts[i].brief;
            taken = length;
        }
        if (!put && strncmp(words, " (", 2) == 0 && strchr(words, ')')) { // how many linears
            put = "";
            taken = (size_t)(strchr(words, ')') + 1 - words);
        }
        used += (size_t)(put ? snprintf(out + used, size - used, "%s", put)
                             : snprintf(out + used, size - used, "%c", *words));
        words += taken;
    }
    out[used] = '\0';
}

int trial_words_cols(Ui *ui, const TrialRow *trial) {
    char text[1200], brief[1200];
    if (trial && *trial->note)
        snprintf(text, sizeof text, "“%s” %s", trial->note, trial->what);
    else if (trial)
        snprintf(text, sizeof text, "%s%s", is_from_elsewhere(trial) ? "(#0) " : "", trial->what);
    else
        snprintf(text, sizeof text, "%s", trials_present_words(ui));
    words_brief(text, true, brief, sizeof brief);
    return canvas_width(&ui->canvas, brief);
}

// Bytes of the first change: its end is a comma behind what was changed, not one between names.
static size_t first_change(const char *words) {
    bool said = false;
    for (const char *at = words; *at; at++) {
        said = said || strncmp(at, "→", strlen("→")) == 0 || strncmp(at, " left alone", 11) == 0 ||
               strncmp(at, " quantized", 10) == 0;
        if (said && strncmp(at, ", ", 2) == 0) return (size_t)(at - words);
    }
    return strlen(words);
}

// Bytes of so many changes.
static size_t changes_length(const char *words, int count) {
    size_t length = first_change(words);
    while (--count > 0) length += 2 + first_change(words + length + 2);
    return length;
}

static int count_changes(const char *words) {
    int count = 1;
    while (words[changes_length(words, count)]) count++;
    return count;
}

// So many changes of words that are brief already, and how many more there are: "down bits 4→8 +2".
static void put_changes(const char *brief, int shown, int all, char *out, size_t size) {
    char more[16] = "";
    if (shown < all) snprintf(more, sizeof more, " +%d", all - shown);
    snprintf(out, size, "%.*s%s", (int)changes_length(brief, shown), brief, more);
}

void trial_words_fit(const Canvas *canvas, const char *words, int cols, char *out, size_t size) {
    char brief[600];
    snprintf(out, size, "%s", words);
    for (int whole_names = 1; whole_names >= 0; whole_names--) {
        words_brief(words, whole_names, brief, sizeof brief);
        const int all = count_changes(brief);
        for (int shown = all; shown > 0; shown--) {
            if (canvas_width(canvas, out) <= cols) return;
            put_changes(brief, shown, all, out, size);
        }
    }
    // Values stand at the end of a change, and they tell rows apart: its beginning is left out.
    char last[600];
    const char *from = last;
    int width;
    snprintf(last, sizeof last, "%s", out);
    while (*from && canvas_width(canvas, from) > cols - canvas_width(canvas, "…"))
        from += canvas_character(canvas, from, &width);
    if (canvas_width(canvas, out) > cols) snprintf(out, size, "…%s", from);
}
