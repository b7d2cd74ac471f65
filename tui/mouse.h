// What clicks, drags and the wheel do on the panes.
#pragma once

#include "tui/ui.h"

void mouse_event(Ui *ui, const Key *key);
