// Expands what a shell would have expanded, in paths that people type or that come from variables and files.
#pragma once

#include "base/error.h"

// `path` with ~ or ~user in front replaced by that home. Owned by the caller; NULL with err set when there is no such
// user, or memory is short.
char *home_expand(const char *path, Error *err);

// The same, and $NAME and ${NAME} replaced by what the environment has for them. Unknown names stay as they are
// written. NULL when memory is short.
char *path_expand(const char *path);
