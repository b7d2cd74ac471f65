// The Convert screen: what is chosen on it, and what its keys do. panel_convert.c draws it.
#pragma once

#include "tui/ui.h"

void convert_open(Ui *ui); // what has to be done when the screen comes and goes
void convert_close(Ui *ui);
void convert_free(Ui *ui);

// The folder that is named, or the name that is offered, which the caller owns; NULL when memory is short.
char *convert_folder(const Ui *ui);
const VerdictRow *convert_row(const Ui *ui, const Verdict *verdict); // of the chosen engine; NULL: there is none
int convert_findings(const Verdict *verdict, const VerdictRow *row); // of this engine
bool convert_runs(const Ui *ui);                                     // an export is on its way
bool convert_is_here(const Ui *ui, const ExportView *view);          // to this folder, in this format
// The model or the recipe cannot be written in this format, whatever the folder; the message says why.
bool convert_is_unwritable(const Ui *ui, ForecastView *out);
// A message of the export, or words of a finding, as this screen has them: options are dials and keys here.
void convert_words(const char *message, char *out, size_t size);

// While other screens are seen, of the engine that the user chose. What it does with the recipe as it is now, "" where
// none is chosen, in few columns where `brief`; bad: it does not take it as it is.
void convert_aim_text(const Ui *ui, bool brief, char *out, size_t size, bool *bad);
// Which setting of a dial the chosen engine wants in place of what it does not take; false: none.
bool convert_blames(const Ui *ui, Dial dial, char *out, size_t size);
Target convert_target(const Ui *ui); // which it is; TARGET_COUNT: none is chosen
// What the engine is asked for a search; false: none is chosen.
bool convert_wish(const Ui *ui, VerdictWish *out);
void convert_aim(Ui *ui, const char *name); // by its name; "none"; "": says which it is

void convert_turn_format(Ui *ui, int steps);
void convert_move(Ui *ui, int rows);       // the chosen engine
void convert_scroll(Ui *ui, int findings); // what is seen of its findings
void convert_choose(Ui *ui, int row);
bool convert_choose_target(Ui *ui, Target target); // false: it does not read the format, and none is chosen
void convert_toggle_odd_bits(Ui *ui);
void convert_name_folder(Ui *ui, const char *path); // "": a prompt asks
void convert_fix(Ui *ui, bool asked);  // asked: even where it takes back what an override sets; else that is a question
void convert_start(Ui *ui, bool over); // over: even over what the folder holds; both ask where something would be lost
void convert_replace(Ui *ui);          // after the question
void convert_go_on(Ui *ui);
void convert_stop(Ui *ui);
