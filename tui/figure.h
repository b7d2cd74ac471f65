// The figure of one linear as SVG: what the pane of its details draws, for a page or a slide.
#pragma once

#include "base/array.h"
#include "tui/ui.h"

void figure_svg(const Ui *ui, int linear, ColorScheme scheme, Text *out); // on white; what is not measured is left out
