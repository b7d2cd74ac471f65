// Frames as bytes: what differs from the frame before, in as few of them as the description of the terminal allows.
// They go over lines that may be slow, for every key.
//
// Whoever shows something there by other means asks for a whole frame afterwards. All that is known of a terminal is in
// its description, the one that is current (<term.h>).
#pragma once

#include "base/array.h"
#include "tui/canvas.h"

typedef struct FrameWriter FrameWriter;

bool frame_writer_open(FrameWriter **out, Error *err);
void frame_writer_close(FrameWriter *w); // NULL is nothing

// How many colours the description promises; 0 when it lacks a way to set them or the terminal's own.
int frame_writer_colors(const FrameWriter *w);

// A line feed moves straight down: the line discipline adds no carriage return. Not so at first.
void frame_writer_feeds_straight(FrameWriter *w, bool straight);

// What makes the terminal show the canvas, appended to `out` (check out->failed). whole: nothing is known of what it
// shows. Leaves plain attributes, and the cursor where the canvas has one, else anywhere.
void frame_writer_add(FrameWriter *w, Theme theme, const Canvas *canvas, bool whole, Text *out);
