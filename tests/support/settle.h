// A workbench served as a screen would, until something holds.
#pragma once

#include "workbench/workbench.h"

// Fails the test after two minutes, which slow machines and sanitizers leave enough of.
void wait_until(Workbench *w, bool (*settled)(Workbench *));
