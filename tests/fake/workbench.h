// A workbench without a model: small random weights with planted outliers, invented inputs and accuracies, and jobs
// that take a moment. It stands in for the real one (never both in one program), so that tests of the screen are quick
// and always see the same.
#pragma once

#include "workbench/workbench.h"

bool fake_workbench_open(const WorkbenchOptions *options, Workbench **out, Error *err);
