// What people call a model.
#pragma once

// Of what the user named and the folder that was opened for it: the last part of a name of the Hugging Face cache, of a
// folder, or of a file. A file that has the name of many is called as its folder, and a snapshot as its model. In one
// line, UTF-8; the caller's.
char *checkpoint_name_of(const char *path, const char *folder);
