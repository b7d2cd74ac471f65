// Writing into the cache folder. What cannot be kept is measured again the next time, so nobody fails for it; but a
// command that was stopped must not promise to go on, and a person with a full disk should hear of it.
#pragma once

#include "base/array.h"

// Atomic; makes the folder, and removes what writers that were killed left in it.
bool cache_write(const char *folder, const char *path, const Text *file, Error *err);
// True when a file could not be written since the program started; says why the first could not. From any thread.
bool cache_refused(Error *why);
// Called the first time, at once, by the thread that writes; NULL: nobody is told.
void cache_tell(void (*told)(const Error *why));
