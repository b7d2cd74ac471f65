// What keys and commands do. Each takes the argument of its row in the table of keys, or the text after a command.
#pragma once

#include "tui/ui.h"

void action_move_row(Ui *ui, int steps);
void action_move_page(Ui *ui, int pages);
void action_move_end(Ui *ui, int direction); // −1: first
void action_find(Ui *ui, int direction);
void action_find_text(Ui *ui, const char *text);
void action_filter(Ui *ui, const char *text);
void action_sort(Ui *ui, int steps);     // moves on by so many columns
void action_sort_by(Ui *ui, int column); // the same once more turns the order round
void action_sort_named(Ui *ui, const char *name);
void action_reverse(Ui *ui, int unused);
void action_mark_row(Ui *ui, int unused);     // or unmark it, and go on
void action_mark(Ui *ui, const char *text);   // what an expression (filter.h) lets pass of what is shown; "": all of it
void action_unmark(Ui *ui, const char *text); // "": everything
void action_unmark_all(Ui *ui, int unused);
void action_fold(Ui *ui, int fold); // 0: unfold
void action_fold_or_point(Ui *ui, int fold);
void action_fold_turn(Ui *ui, int unused);
void action_fold_all(Ui *ui, int unused);
void action_scroll_columns(Ui *ui, int columns);
void action_row(Ui *ui, int number); // counted from 1

void action_move_dial(Ui *ui, int steps);
void action_move_column(Ui *ui, int columns);
void action_turn(Ui *ui, int steps);
void action_turn_coarse(Ui *ui, int steps);
void action_edit_dial(Ui *ui, int unused);
void action_point_to_typing(Ui *ui); // for digits that go to no screen
void action_reset_dial(Ui *ui, int unused);
void action_set(Ui *ui, const char *setting);      // "alpha 0.2", "alpha=0.2"
void action_reset_named(Ui *ui, const char *name); // "": the current dial
void action_scope(Ui *ui, int unused);             // all, marked, selected
void action_scope_named(Ui *ui, const char *name); // one of scope_names; "": the next
void action_overrides(Ui *ui, int unused);
void action_drop_override(Ui *ui, int unused);

void action_undo(Ui *ui, int unused);
void action_redo(Ui *ui, int unused);
void action_pin(Ui *ui, int unused);
void action_unpin(Ui *ui, int unused); // or the pin back again
void action_ignore(Ui *ui, int unused);
void action_save(Ui *ui, const char *path);      // asks before another file is overwritten
void action_overwrite(Ui *ui, const char *path); // does not
void action_load(Ui *ui, const char *path);
// The same for a path that may be "": the recipe's own file, or a prompt asks.
void action_write(Ui *ui, const char *path);
void action_write_over(Ui *ui, const char *path);
void action_write_quit(Ui *ui, const char *path);
void action_load_named(Ui *ui, const char *path);
void action_continue(Ui *ui, const char *text); // "": a prompt asks for the beginning that both models continue

void action_screen(Ui *ui, int kind);

void action_engine(Ui *ui, int rows);
void action_finding(Ui *ui, int findings);
void action_format(Ui *ui, int steps);
void action_folder(Ui *ui, int unused);
void action_folder_named(Ui *ui, const char *path); // "": a prompt asks
void action_fix(Ui *ui, int unused);
void action_keep(Ui *ui, int unused);
void action_odd_bits(Ui *ui, int unused);
void action_target(Ui *ui, const char *name); // "": none
void action_export(Ui *ui, int over);         // 1: even over what the folder holds
void action_stop_export(Ui *ui, int unused);

void action_prompt(Ui *ui, int kind);
void action_stop_jobs(Ui *ui, int unused);
void action_redraw(Ui *ui, int unused);
void action_back(Ui *ui, int unused);
void action_help(Ui *ui, int unused);
void action_help_on(Ui *ui, const char *word); // what it says of that
void action_theme(Ui *ui, const char *name);
void action_quit(Ui *ui, int unused); // from the layers; from another screen back to these
void action_leave(Ui *ui);            // asks only when the recipe is not saved
void action_quit_unsaved(Ui *ui, int unused);
