// What a shell would have expanded, for paths that come from variables and files.
#pragma once

// `path` with ~ or ~user in front replaced by that home, and $NAME and ${NAME} by what the environment has for them.
// What is not known stays as it is written. Owned by the caller; NULL when memory is short.
char *path_expand(const char *path);
