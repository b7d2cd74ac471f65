// For tests of exports. Everything here fails the running test when it cannot be done.
#pragma once

#include "engine/engine.h"

// A model, opened and planned by a recipe (JSON text); close it with engine_close. Inputs are measured on a few random
// tokens, in float, on two threads, and nothing is kept.
Engine *export_engine(const char *model, const char *recipe_text);

ExportResult export_written(Engine *engine, const ExportOptions *options);
void export_refused(Engine *engine, const ExportOptions *options, const char *reason); // a part of the message

// PATH/NAME, owned by the caller.
char *export_file(const char *path, const char *name, size_t *size);
