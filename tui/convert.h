// The Convert screen: what is chosen on it, and what its keys do. panel_convert.c draws it.
#pragma once

#include "tui/ui.h"

void convert_open(Ui *ui); // what has to be done when the screen comes and goes
void convert_close(Ui *ui);
void convert_free(Ui *ui);
void convert_follow(Ui *ui); // after whatever may have changed: what was written is remembered

// The folder that is named, or the name that is offered, which the caller owns; NULL when memory is short.
char *convert_folder(const Ui *ui);
const VerdictRow *convert_row(const Ui *ui, const Verdict *verdict); // of the engine that is looked at; NULL: none
// Of the one that is written for: what the recipe is for where that reads the format, else the one that is looked at.
const VerdictRow *convert_row_written_for(const Ui *ui, const Verdict *verdict);
bool convert_is_bad(const Verdict *verdict, const VerdictRow *row);  // refused or misread
int convert_findings(const Verdict *verdict, const VerdictRow *row); // of this engine
bool convert_runs(const Ui *ui);                                     // an export is on its way
bool convert_is_here(const Ui *ui, const ExportView *view);          // to the folder that is shown, in this format
// The model or the recipe cannot be written in this format, whatever the folder; the message says why.
bool convert_is_unwritable(const Ui *ui, ForecastView *out);
bool convert_is_mendable(const Ui *ui); // the recipe can give what the engine that is written for does not find
// A message of the export, or words of a finding, as this screen has them: options are dials and keys here.
void convert_words(const char *message, char *out, size_t size);

// While other screens are seen, of the engine that the recipe is for. What it does with the recipe as it is now, ""
// where none is chosen, in few columns where `brief`; bad: it does not take it as it is.
void convert_aim_text(const Ui *ui, bool brief, char *out, size_t size, bool *bad);
void convert_tell(Ui *ui); // after whatever may have changed: that the engine does not take the recipe any more
// Which setting of a dial the chosen engine wants in place of what it does not take; false: none.
bool convert_blames(const Ui *ui, Dial dial, char *out, size_t size);
Target convert_target(const Ui *ui);                                 // which it is; TARGET_COUNT: none
void convert_set_target(Ui *ui, Target target, ExportFormat format); // without a word
bool convert_is_target(const Ui *ui, Target engine);                 // in the format that is shown
void convert_look_at_target(Ui *ui);                                 // where it reads the format
void convert_toggle_target(Ui *ui);                                  // the one that is looked at, or none again
// What the engine is asked for a search; false: none is chosen.
bool convert_wish(const Ui *ui, VerdictWish *out);
void convert_aim(Ui *ui, const char *name); // by its name; "none"; "": says which it is

void convert_turn_format(Ui *ui, int steps);
void convert_move(Ui *ui, int rows);       // another engine is looked at
void convert_scroll(Ui *ui, int findings); // what is seen of its findings
void convert_choose(Ui *ui, int row);
void convert_choose_cell(Ui *ui, ExportFormat format, Target engine); // which reads it
void convert_toggle_odd_bits(Ui *ui);
void convert_name_folder(Ui *ui, const char *path); // "": a prompt asks
void convert_fix(Ui *ui); // for the engine that is looked at; asks where that takes back what an override sets
void convert_fix_asked(Ui *ui, bool taking_back); // for the engine of the question
// over: even over what the folder holds. Asks where something would be lost, or the engine does not take it.
void convert_start(Ui *ui, bool over);
void convert_accept(Ui *ui);  // after that question
void convert_replace(Ui *ui); // after the question
void convert_go_on(Ui *ui);
void convert_stop(Ui *ui);
