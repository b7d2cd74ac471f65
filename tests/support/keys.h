// What a wild hand does to a terminal program: keys, commands, mouse reports, pastes and sequences whole and broken,
// sizes and signals. Event i of a seed is always the same, whatever came before it.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WILD_BYTES_MOST 512
#define WILD_ROWS_MOST 100
#define WILD_COLS_MOST 300

typedef enum WildKind { WILD_BYTES, WILD_RESIZE, WILD_SIGNAL } WildKind;

typedef struct WildEvent {
    WildKind kind;
    char bytes[WILD_BYTES_MOST];
    size_t length;
    int rows, cols; // WILD_RESIZE
    int signal;     // WILD_SIGNAL; SIGSTOP: stopped, and at once continued
    bool pause;     // the hand waits here for the screen
} WildEvent;

WildEvent wild_event(uint64_t seed, uint64_t index);
// As a person would read it: "j", "Esc[<0;3;4M", "36 x 120", "signal 28". Cut to size.
void wild_describe(const WildEvent *event, char *out, size_t size);
