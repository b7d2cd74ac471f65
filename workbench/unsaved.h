// What was turned and is not saved, kept on disk for as long as that is so: whatever ends the program, it is offered
// when the same model is opened again. The file is a recipe like any other, in $XDG_STATE_HOME/quantdial/unsaved; each
// running program has one of its own.
#pragma once

#include <stdint.h>
#include <time.h>

#include "quant/recipe.h"

typedef struct Unsaved {
    char *folder, *name;
    uint64_t model;
    int lock;    // descriptor of the file whose bytes are locked, one for each file in use
    int place;   // which of the model's files is ours
    char *path;  // of our file; NULL: nothing can be kept, keeping it says why
    bool there;  // the file is there and holds `kept`
    time_t when; // it was written, of what was found
    Recipe kept;
} Unsaved;

// model: the path or the name that it was opened by. Afterwards `there` tells whether an earlier run left something.
// False, with the reason, when a file is there that cannot be read; it stays, and *out can be used all the same.
bool unsaved_open(const char *model, Unsaved *out, Error *err);
void unsaved_close(Unsaved *unsaved); // leaves the file as it is

bool unsaved_keep(Unsaved *unsaved, const Recipe *recipe, Error *err); // does nothing when it is kept already
void unsaved_forget(Unsaved *unsaved);
void unsaved_set_aside(Unsaved *unsaved); // what was found stays for another time; from now on another file is ours
