// One dial or two over lists of values.
#pragma once

#include "analysis/points.h"
#include "base/array.h"

#define SWEEP_DIALS 2
#define SWEEP_POINTS 1000

typedef struct SweepDial {
    Dial dial;
    double *values; // [count]
    int count;
} SweepDial;

typedef struct Sweep {
    SweepDial dials[SWEEP_DIALS];
    int dial_count;
    int count;       // of points: the product of the dials' counts; the last dial runs fastest
    Recipe *recipes; // [count]
    Point *points;   // [count]
} Sweep;

// "alpha=0.1,0.2,0.3", "v0=10:20:5" (from : to : step, both ends included), "granularity=channel,group": values as
// dial_parse takes them, no value twice. Frees nothing on failure but what it made; free with sweep_dial_free.
bool sweep_dial_parse(const char *text, SweepDial *out, Error *err);
void sweep_dial_free(SweepDial *dial);

// False, and why, when one of the dials has no effect by the recipe: every point would be the same model. Another dial
// that is swept, or an override, may give it one.
bool sweep_matters(const Recipe *recipe, const SweepDial *dials, int dial_count, Error *err);
// The recipes of all combinations; takes over the dials, also on failure. Refuses the same dial twice and more than
// SWEEP_POINTS points. Free with sweep_free in any case.
bool sweep_new(const Recipe *recipe, SweepDial *dials, int dial_count, Sweep *out, Error *err);
void sweep_free(Sweep *sweep);

double sweep_value(const Sweep *sweep, int point, int dial); // the setting of one of its dials at a point
void sweep_value_text(const Sweep *sweep, int point, int dial, char *out, size_t size);
const char *sweep_option(const Sweep *sweep, int dial); // what options call the dial

// The points that are known as SVG, a file of its own: over bits per weight, or over the last dial where the size stays
// the same. Nothing while none is known.
void sweep_svg(const Sweep *sweep, Text *out);
