#include "tests/support/keys.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "tui/dials.h"
#include "tui/keys.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define ONE_OF(random, array) ((array)[random_below(random, COUNT(array))])

static void put(WildEvent *e, const char *text) {
    const size_t length = strlen(text);
    if (e->length + length > sizeof e->bytes) return;
    memcpy(e->bytes + e->length, text, length);
    e->length += length;
}

// ---- keys and texts -----------------------------------------------------------------------------------------------

// Those of the table of keys, the frequent ones first and more than once. No "/" and no "~": in a question for a file
// they would lead out of the folder that is the test's own.
static void valid_key(Random *random, WildEvent *e) {
    static const char *const often[] = {
        "j",      "k",      "h",         "l",         "[", "]",    "\t", "\033OA", "\033OB",
        "\033OC", "\033OD", "\033[1;2C", "\033[1;2D", "u", "\022", "o",  "!",      "\r",
    };
    static const char *const rest[] = {
        "\033OH", "\033OF",  "\033[5~", "\033[6~", "\033[Z", "\033[3~", "\033OP", "g",    "G",    "n",
        "N",      "&",       "s",       "S",       "R",      "p",       "i",      "r",    "w",    "L",
        "?",      "e",       "=",       "\014",    "\177",   "\033",    "\002",   "\006", ":",    "\b",
        "\001",   "\005",    "\025",    "\013",    "\027",   "\004",    " ",      "\020", "\016", "\n",
        ".",      "-",       "0",       "1",       "2",      "3",       "4",      "5",    "6",    "7",
        "8",      "9",       "y",       "x",       "T",      "v",       "J",      "Y",    "X",    "+",
        "*",      "z",       "Z",       "<",       ">",      "O",       "U",      "K",    "d",    "a",
        "\033OM", "\033[1~", "\033[4~", "\033[A",  "\033[B", "\033[C",  "\033[D",
    };
    if (random_below(random, 400) == 0)
        put(e, random_below(random, 2) ? "q" : "\003");
    else if (random_below(random, 3))
        put(e, ONE_OF(random, often));
    else
        put(e, ONE_OF(random, rest));
}

static void text(Random *random, WildEvent *e) {
    static const char *const wide[] = {"é", "漢", "字", "e\xCC\x81", "😀", "…", "ß", "Ж", "·", "−"};
    for (uint32_t n = random_below(random, random_below(random, 20) ? 12 : 200); n > 0; n--) {
        char one[2] = {(char)(' ' + random_below(random, 95)), '\0'};
        if (random_below(random, 8) == 0)
            put(e, ONE_OF(random, wide));
        else if (one[0] != '/' && one[0] != '~')
            put(e, one);
    }
}

// ---- commands -----------------------------------------------------------------------------------------------------

static void dial_argument(Random *random, WildEvent *e) {
    static const char *const values[] = {"0",     "1",        "0.3",  "-1",    "1e9",  "nan", "inf",
                                         "group", "adaptive", "fptq", "abc",   "",     "64",  "channel",
                                         "150",   "token",    "8",    "99.99", "0x10", "3 4"};
    const Dial dial = (Dial)random_below(random, DIAL_COUNT);
    double settings[DIAL_SETTINGS_MOST];
    const int count = dial_settings(dial, settings, DIAL_SETTINGS_MOST);
    char value[64];
    put(e, random_below(random, 20) ? dial_table[dial].option : "volume");
    if (random_below(random, 8) == 0) return;
    put(e, random_below(random, 4) ? " " : "=");
    dial_format(dial, settings[count ? random_below(random, (uint32_t)count) : 0], value, sizeof value);
    put(e, count && random_below(random, 2) ? value : ONE_OF(random, values));
}

static void argument(Random *random, WildEvent *e, Completion kind) {
    static const char *const files[] = {"a.json", "b.json", "recipe.json", "folder", "nosuch", ".", "ü漢.json", "f"};
    static const char *const binds[] = {"undo f9", "undo", "page-up ctrl-u pgup", "pin w", "find-next f9",
                                        "fly f",   "up uu"};
    switch (kind) {
    case COMPLETE_DIAL: dial_argument(random, e); break;
    case COMPLETE_FILE:
    case COMPLETE_RECIPE: put(e, ONE_OF(random, files)); break;
    case COMPLETE_COLUMN: put(e, column_table[random_below(random, COLUMN_COUNT)].name); break;
    case COMPLETE_FILTER:
        put(e, filter_field_name(COLUMN_LINEAR + 1 + (int)random_below(random, FIELD_COUNT - COLUMN_LINEAR - 1)));
        put(e, ONE_OF(random, ((const char *const[]){"", "<4", " = token", " >= 1 and !up", "(", " <"})));
        break;
    case COMPLETE_SCHEME: put(e, color_scheme_names[random_below(random, COLORS_COUNT)]); break;
    case COMPLETE_ENGINE: put(e, target_table[random_below(random, TARGET_COUNT)].name); break;
    case COMPLETE_SCOPE: put(e, scope_names[random_below(random, SCOPES)]); break;
    case COMPLETE_BUDGET: put(e, ONE_OF(random, ((const char *const[]){"kl 0.01", "4.25", "kl", "0", "x"}))); break;
    case COMPLETE_ACTION:
    case COMPLETE_CHANGED: put(e, ONE_OF(random, binds)); break;
    case COMPLETE_NOTHING: text(random, e); break;
    }
}

static void end_line(Random *random, WildEvent *e) {
    static const char *const ends[] = {"\r", "\r", "\r", "\r", "\r", "\t\r", "\t\t", "\033", "\033OA\r", ""};
    put(e, ONE_OF(random, ends));
}

static const Binding *any_command(Random *random) {
    const Binding *chosen;
    do chosen = &bindings[random_below(random, (uint32_t)binding_count)];
    while (!chosen->word);
    return chosen;
}

static bool quits(const Binding *command) { return strchr(command->word, 'q') != NULL; }

static void command(Random *random, WildEvent *e) {
    const Binding *chosen = any_command(random);
    while (quits(chosen) && random_below(random, 10)) chosen = any_command(random);
    put(e, ":");
    if (random_below(random, 20) == 0) {
        text(random, e);
    } else {
        put(e, chosen->word);
        if (random_below(random, 6)) {
            put(e, " ");
            argument(random, e, chosen->completion);
        }
    }
    end_line(random, e);
}

// A question of its own, answered.
static void question(Random *random, WildEvent *e) {
    static const char *const keys[] = {"&", "*", "s", "Oa", "O\r", "r", "w", "L", "\r", "7"};
    put(e, ONE_OF(random, keys));
    if (random_below(random, 3) == 0) put(e, "\025");
    if (random_below(random, 3))
        text(random, e);
    else
        argument(random, e, COMPLETE_FILE);
    end_line(random, e);
}

// ---- what terminals send of their own -----------------------------------------------------------------------------

static void mouse(Random *random, WildEvent *e) {
    static const int buttons[] = {0, 0, 0, 0, 32, 32, 64, 65, 65, 1, 2, 4, 16, 35, 66, 128};
    const bool common = random_below(random, 4);
    const int row = 1 + (int)random_below(random, common ? 36 : WILD_ROWS_MOST);
    const int col = 1 + (int)random_below(random, common ? 120 : WILD_COLS_MOST);
    char report[64];
    const int button = ONE_OF(random, buttons);
    snprintf(report, sizeof report, "\033[<%d;%d;%d%c", button, col, row, random_below(random, 4) ? 'M' : 'm');
    put(e, report);
    if (button || random_below(random, 2)) return;
    snprintf(report, sizeof report, "\033[<%d;%d;%dM\033[<0;%d;%dm", 32, col + (int)random_below(random, 20), row, col,
             row);
    put(e, report);
}

static void paste(Random *random, WildEvent *e) {
    static const char *const inside[] = {"\r", "\n", "\t", "\003", "q", ":q\r", "\033", "\033[<0;3;3M", "a.json"};
    put(e, "\033[200~");
    text(random, e);
    put(e, ONE_OF(random, inside));
    text(random, e);
    if (random_below(random, 10)) put(e, "\033[201~");
}

static void broken(Random *random, WildEvent *e) {
    static const char *const sequences[] = {
        "\033[",
        "\033[<",
        "\033[<0;",
        "\033[<0;5;",
        "\033[<;;M",
        "\033[<999999;1;1M",
        "\033[<0;99999;99999M",
        "\033[<0;9999999999999;1M",
        "\033[<0;-5;3M",
        "\033[<0;0;0M",
        "\033[<32;0;0M",
        "\033[<64;3;3",
        "\033[M !!",
        "\033[M\377\377\377",
        "\033[1;2",
        "\033O",
        "\033]0;title\007",
        "\033]11;rgb:ffff/ffff/ffff\033\\",
        "\033]11;rgb:",
        "\033P1$r\033\\",
        "\033[?1;2c",
        "\033[201~",
        "\033[27;5;9~",
        "\033[97u",
        "\033[I",
        "\033[O",
        "\033[36;120R",
        "\x80\xFF\xC3",
        "\xF4\x8F",
        "\xC3\x28",
        "\xED\xA0\x80",
        "\033\033\033",
        "\033[\033[<0;1;1M",
        "\032",
    };
    put(e, ONE_OF(random, sequences));
}

// Any byte but the one that asks for a core (Ctrl-\), those that lead out of the folder, and those that begin a
// character: whole ones are in the texts, chosen so that the emulator of the tests knows their widths.
static void noise(Random *random, WildEvent *e) {
    for (uint32_t n = 1 + random_below(random, 6); n > 0; n--) {
        const unsigned char byte = (unsigned char)random_below(random, 256);
        if (byte == '/' || byte == '~' || byte == 034 || byte == 0 || (byte >= 0xC0 && byte < 0xF8)) continue;
        if (e->length < sizeof e->bytes) e->bytes[e->length++] = (char)byte;
    }
}

static void resize(Random *random, WildEvent *e) {
    const bool usual = random_below(random, 3);
    e->kind = WILD_RESIZE;
    e->rows = usual ? 24 + (int)random_below(random, 37) : 1 + (int)random_below(random, WILD_ROWS_MOST);
    e->cols = usual ? 80 + (int)random_below(random, 121) : 1 + (int)random_below(random, WILD_COLS_MOST);
}

static void signals(Random *random, WildEvent *e) {
    static const int usual[] = {SIGWINCH, SIGWINCH, SIGTSTP, SIGCONT, SIGSTOP}, ends[] = {SIGTERM, SIGHUP, SIGINT};
    e->kind = WILD_SIGNAL;
    e->signal = random_below(random, 20) ? ONE_OF(random, usual) : ONE_OF(random, ends);
}

// ---- events -------------------------------------------------------------------------------------------------------

WildEvent wild_event(uint64_t seed, uint64_t index) {
    static const struct {
        uint32_t share; // of 1000
        void (*make)(Random *random, WildEvent *e);
    } kinds[] = {{620, valid_key}, {90, command}, {50, question}, {110, mouse}, {15, paste},
                 {35, broken},     {20, noise},   {20, text},     {35, resize}, {5, signals}};
    Random random = random_seeded(seed * 0x9E3779B97F4A7C15u + index);
    WildEvent e = {.kind = WILD_BYTES, .pause = random_below(&random, 40) == 0};
    uint32_t place = random_below(&random, 1000);
    for (size_t i = 0; i < COUNT(kinds); i++) {
        if (place < kinds[i].share) {
            kinds[i].make(&random, &e);
            break;
        }
        place -= kinds[i].share;
    }
    return e;
}

void wild_describe(const WildEvent *e, char *out, size_t size) {
    size_t used = 0;
    if (e->kind == WILD_RESIZE) snprintf(out, size, "%d x %d", e->rows, e->cols);
    if (e->kind == WILD_SIGNAL) snprintf(out, size, "signal %d", e->signal);
    if (e->kind != WILD_BYTES) return;
    *out = '\0';
    for (size_t i = 0; i < e->length && used + 8 < size; i++) {
        const unsigned char c = (unsigned char)e->bytes[i];
        const char *format = c == 033                  ? "Esc"
                             : c == '\r'               ? "Enter"
                             : c < ' '                 ? "^%c"
                             : c == 0x7F || (c & 0x80) ? "<%02X>"
                                                       : "%c";
        used += (size_t)snprintf(out + used, size - used, format, c < ' ' ? c + '@' : c);
    }
}
