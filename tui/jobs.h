// What is computed in the background: a list of it over the screen, where each can be stopped by itself and goes on
// where it was; and what is told of it elsewhere: the title of the terminal, and a bell when something long has ended.
#pragma once

#include "tui/format.h"
#include "tui/ui.h"

void jobs_show(Ui *ui, int unused);
void jobs_draw(Ui *ui);
void jobs_key(Ui *ui, const Key *key);

// What goes on where this study was stopped: "; meanwhile: measuring alone"; "" nothing else is wanted.
void jobs_rest_text(const Ui *ui, JobKind stopped, char *out, size_t size);

// How long what is put off would take: "about 6:20", "long".
Short jobs_put_off_text(const JobView *job);

void jobs_measure(Ui *ui, JobKind study); // asks for one that was put off

// Looks at what has begun and ended since the last call, at `now` seconds. True when a job has ended that took long.
bool jobs_watch(Ui *ui, double now);
void jobs_title(const Ui *ui, char *out, size_t size); // "43 % scoring - storyteller - quantdial"
