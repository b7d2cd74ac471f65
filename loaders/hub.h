// The local cache of huggingface_hub: models that were downloaded, by name.
#pragma once

#include <stdbool.h>

#include "base/error.h"

// "org/name" or "name", with "@revision" behind it or without.
bool hub_is_name(const char *text);

// The folder of the revision (a branch, a tag, a commit; "main" where none is named) of that model, or of the only
// snapshot there is. Nothing is downloaded. *folder is the caller's.
bool hub_find(const char *name, char **folder, Error *err);
