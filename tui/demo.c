#include "tui/demo.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "tui/screen.h"

// One step: what is told, the keys that are pressed then, and how long it takes to read what they did. Keys are written
// as they are shown: arrows, ⏎ for Enter, ⇥ for Tab, ⎋ for Esc; whatever else stands for itself.
typedef struct DemoStep {
    const char *keys, *caption;
    double seconds;
} DemoStep;

static const DemoStep script[] = {
    {"", "the sample model in 4 bits: above what is in it, below what that costs", 3},
    {"↓↓", "each matrix: its weights, what flows into it, and what the recipe makes of it", 3.5},
    {"p", "p pins this state; whatever is turned now is compared with it", 2},
    {":set granularity channel⏎", "one scale for a whole channel: the text is ruined", 4},
    {":set clip mse⏎", "scales that clip outliers save much of it, at the same size", 4},
    {"uu", "u takes both back; what was measured once is there at once", 2},
    {"/0.mlp.down⏎", "/ finds a matrix by its name", 2},
    {"o:set weight-bits 8⏎⎋⎋⎋", "o sets this one alone, here to 8 bits", 3},
    {"2", "the map: every matrix of every layer, and the channels that stand out", 3.5},
    {"3", "every state that was measured is a row, with its error against A", 4},
    {"⇥⇥⇥→→→→→→", "token by token: how sure it was, and what the others say there", 3.5},
    {"⎋d", "d: what the two recipes do differently, and what that buys", 3.5},
    {"⎋sb", "sorted by bits: ◆ is best at its size", 2.5},
    {"6", "what engines will do with this recipe, before anything is written", 3.5},
    {"→", "another format, another verdict", 3},
    {"1", "back to the layers: turn a dial yourself", 2},
};
enum { STEPS = sizeof script / sizeof *script };

#define CAPTION_SECONDS 1.2
#define KEY_SECONDS 0.35
#define LETTER_SECONDS 0.07 // on a command line
#define SETTLE_SECONDS 30.0 // figures are waited for so long
#define LOOK_SECONDS 0.1    // between two looks at them

typedef enum DemoPhase { DEMO_CAPTION, DEMO_KEYS, DEMO_SETTLE, DEMO_READ } DemoPhase;

static void begin_step(Ui *ui, int step) {
    Demo *demo = &ui->demo;
    demo->step = step;
    demo->typed = 0;
    demo->phase = DEMO_CAPTION;
    demo->due = clock_seconds() + CAPTION_SECONDS * demo->pace;
    if (step < STEPS) return;
    demo->runs = false;
    ui_say(ui, "the tour is over; ? explains the keys of the place you are in");
}

void demo_start(Ui *ui, double pace) {
    if (ui->prompt == PROMPT_RESTORE) ui->prompt = PROMPT_NONE;
    unsaved_set_aside(&ui->unsaved); // an offer can wait
    ui->demo = (Demo){.runs = true, .forgetful = true, .pace = pace};
    begin_step(ui, 0);
}

static const struct {
    const char *sign, *name;
    int code;
} signs[] = {{"↓", "↓", KEY_ARROW_DOWN},  {"↑", "↑", KEY_ARROW_UP},   {"←", "←", KEY_ARROW_LEFT},
             {"→", "→", KEY_ARROW_RIGHT}, {"⏎", "Enter", KEY_RETURN}, {"⇥", "Tab", KEY_TAB},
             {"⎋", "Esc", KEY_ESCAPE}};
enum { SIGNS = sizeof signs / sizeof *signs };

// The sign at this place of a script; SIGNS: a character that stands for itself.
static size_t sign_at(const char *keys) {
    size_t i = 0;
    while (i < SIGNS && strncmp(keys, signs[i].sign, strlen(signs[i].sign)) != 0) i++;
    return i;
}

static size_t key_length(const char *keys) {
    const size_t sign = sign_at(keys);
    return sign < SIGNS ? strlen(signs[sign].sign) : 1;
}

static void press_next(Ui *ui) {
    Demo *demo = &ui->demo;
    const char *keys = script[demo->step].keys + demo->typed;
    const size_t sign = sign_at(keys);
    if (!*keys) {
        demo->phase = DEMO_SETTLE;
        demo->due = clock_seconds() + SETTLE_SECONDS;
        return;
    }
    const Key key = {.code = sign < SIGNS ? signs[sign].code : (unsigned char)*keys};
    demo->typed += key_length(keys);
    screen_key(ui, &key);
    demo->due = clock_seconds() + (ui->prompt != PROMPT_NONE ? LETTER_SECONDS : KEY_SECONDS) * demo->pace;
}

double demo_step(Ui *ui, bool *acted) {
    Demo *demo = &ui->demo;
    const double now = clock_seconds();
    const bool due = now >= demo->due;
    if (!demo->runs) return -1;
    *acted = due || demo->phase == DEMO_SETTLE;
    switch (demo->phase) {
    case DEMO_CAPTION:
        if (due) demo->phase = DEMO_KEYS;
        break;
    case DEMO_KEYS:
        if (due) press_next(ui);
        break;
    case DEMO_SETTLE:
        if (!due && workbench_busy(ui->workbench)) return LOOK_SECONDS;
        demo->phase = DEMO_READ;
        demo->due = now + script[demo->step].seconds * demo->pace;
        break;
    case DEMO_READ:
        if (due) begin_step(ui, demo->step + 1);
        break;
    }
    if (!demo->runs) return -1;
    const double wait = demo->due - clock_seconds();
    return demo->phase == DEMO_SETTLE ? LOOK_SECONDS : wait > 0 ? wait : 0;
}

bool demo_take_over(Ui *ui, const Key *key) {
    if (!ui->demo.runs || key->code == KEY_NONE) return false;
    ui->demo.runs = false;
    ui->message.text[0] = '\0';
    if (key->code == 'q' || key->code == KEY_CONTROL('c')) return ui->quit = true;
    ui_say(ui, "the tour has ended; the program is yours");
    return false;
}

// "↓ ↓", ":set weight-bits 3 Enter": what was pressed of this step.
static void pressed_keys(const Demo *demo, char *out, size_t size) {
    const char *keys = script[demo->step].keys, *end = keys + demo->typed;
    size_t used = 0;
    bool named = false;
    *out = '\0';
    for (; keys < end && used + 8 < size; keys += key_length(keys)) {
        const size_t sign = sign_at(keys);
        const char *space = used && (named || sign < SIGNS) ? " " : "";
        named = sign < SIGNS;
        used += named ? (size_t)snprintf(out + used, size - used, "%s%s", space, signs[sign].name)
                      : (size_t)snprintf(out + used, size - used, "%s%c", space, *keys);
    }
}

void demo_draw(Ui *ui) {
    const Demo *demo = &ui->demo;
    if (!demo->runs) return;
    const DemoStep *step = &script[demo->step];
    Rect line = rect_inset(ui->layout.bottom, 1);
    if (ui->prompt != PROMPT_NONE) line.row--;
    canvas_fill(&ui->canvas, line, MEANING_TEXT, " ");
    Canvas *canvas = &ui->canvas;
    char pressed[96];
    pressed_keys(demo, pressed, sizeof pressed);
    int col = line.col + 1;
    if (*pressed) {
        col += canvas_text(canvas, line.row, col, 1, MEANING_ACCENT | STYLE_REVERSE, " ");
        col += canvas_text(canvas, line.row, col, 40, MEANING_ACCENT | STYLE_REVERSE, pressed);
        col += canvas_text(canvas, line.row, col, 1, MEANING_ACCENT | STYLE_REVERSE, " ") + 1;
    }
    const int room = line.col + line.cols - col - 1;
    const int left = room - canvas_fit(canvas, line.row, col, room, MEANING_CHANGED, step->caption) - 2;
    static const char *const notes[] = {"tour: q ends it, any other key takes over", "any key takes over", "tour"};
    if (demo->phase != DEMO_READ) return; // what was told is still to be done
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        if (canvas_width(canvas, notes[i]) > left) continue;
        canvas_right(canvas, line.row, col, room, MEANING_FAINT, notes[i]);
        return;
    }
}
