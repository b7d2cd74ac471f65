// The local cache of huggingface_hub: models that were downloaded, by name.
#pragma once

#include <stdbool.h>

#include "base/error.h"

// "org/name" or "name", with "@revision" behind it or without; also of a user who writes slashes behind it, its folder
// in the cache ("models--org--name"), or its address on huggingface.co, with /tree/ and a revision or without. NULL: it
// is none of these. The caller's.
char *hub_name_in(const char *text);

// "org/name", or "name", of a model whose real folder is its own in a cache of huggingface_hub or a snapshot in that;
// else NULL. The caller's.
char *hub_name_of(const char *folder);

// The folder of the revision (a branch, a tag, a commit; "main" where none is named) of that model, or of the only
// snapshot there is. Nothing is downloaded. *folder is the caller's.
bool hub_find(const char *name, char **folder, Error *err);

// The same for a model's own folder in such a cache, "models--org--name"; it is named by its path. *folder stays NULL
// for any other.
bool hub_find_in(const char *path, char **folder, Error *err);
