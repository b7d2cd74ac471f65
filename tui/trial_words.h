// What a row of Trials says of itself, in as many columns as there are.
#pragma once

#include "tui/ui.h"

// What stands before the words: a note, else the row that this one was turned from when it is not the one before.
void trial_words_before(const Ui *ui, const TrialRow *trial, char *out, size_t size);
// Columns that it all takes when it is told briefly. trial NULL: of the present state, which is not measured.
int trial_words_cols(Ui *ui, const TrialRow *trial);
// As much of a difference of recipes as finds room: in whole words, else briefly, else only some changes and how many
// more there are, and then names of linears without "_proj", too.
void trial_words_fit(const Canvas *canvas, const char *words, int cols, char *out, size_t size);
