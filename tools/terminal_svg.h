// What a terminal shows, as SVG: for pictures of the program.
#pragma once

#include <stdio.h>

#include "tests/support/screen.h"

typedef struct SvgColors SvgColors;
extern const SvgColors svg_dark, svg_light;

void svg_begin(FILE *out, const Screen *s, const SvgColors *colors); // the head, up to where rows begin
void svg_row(FILE *out, Screen *s, const SvgColors *colors, int row);
void svg_end(FILE *out);
