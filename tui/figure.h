// Figures as SVG, on white, for a page or a slide.
#pragma once

#include "base/array.h"
#include "tui/ui.h"

ColorScheme figure_scheme(const Ui *ui); // light, and for the colour-blind where the screen is
// What the pane of a linear's details draws; what is not measured is left out.
void figure_svg(const Ui *ui, int linear, ColorScheme scheme, Text *out);
void figure_costs(const Ui *ui, ColorScheme scheme, Text *out); // the bars of the Sensitivity screen
