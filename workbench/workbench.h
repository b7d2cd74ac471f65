// The workbench: one open model, its recipe with history, and what is known of its effect. Everything here is called
// from one thread (the screen's) and returns at once; the work itself is done by a background thread, newest wins. No
// terminal code.
//
//   workbench_open → loop { wait for keys or workbench_fd; workbench_update; draw } → workbench_close
#pragma once

#include "engine/engine.h"
#include "export/verdict.h"

typedef struct Workbench Workbench;

typedef struct WorkbenchOptions {
    EngineOptions model;
    const char *recipe; // file to start from; NULL: the default recipe
    const char *prompt; // NULL: the default one
    size_t most_tokens; // of the decode sample; 0: 64
} WorkbenchOptions;

bool workbench_open(const WorkbenchOptions *options, Workbench **out, Error *err);
void workbench_close(Workbench *w); // stops the jobs and waits for them

int workbench_fd(const Workbench *w); // an eventfd: readable when workbench_update has something to take over
// Takes over finished and partial results; true when anything visible changed.
bool workbench_update(Workbench *w);

// ---- the model and what was measured of it ----

const ModelStructure *workbench_structure(const Workbench *w);
const char *workbench_backend(const Workbench *w);                         // "cpu avx512 ×2"
const WeightStats *workbench_weight_stats(const Workbench *w, int linear); // NULL while unknown
const InputStats *workbench_input_stats(const Workbench *w, int linear);   // of the linear's input; NULL while unknown.
                                                                           // Good until the next workbench_update.

// Calibration tokens behind the input statistics, and those that will be at last: these differ while ranges are
// provisional. 0: nothing is known yet.
uint64_t workbench_calibration_tokens(const Workbench *w);
uint64_t workbench_calibration_planned(const Workbench *w);
const char *workbench_text(const Workbench *w, EngineText text);  // its name, "mixed"
bool workbench_text_is_chat(const Workbench *w, EngineText text); // (engine_text_is_chat)
bool workbench_is_chat(const Workbench *w);                       // the prompt is a message of a user (engine_is_chat)

// ---- dials ----

const Recipe *workbench_recipe(const Workbench *w);
const Plan *workbench_plan(const Workbench *w); // always in step with the recipe
// Counts the changes that make another model: compare with the turns of Effect. Figures stay where they do not.
uint64_t workbench_turn(const Workbench *w);
uint64_t workbench_changes(const Workbench *w); // counts all changes of the recipe

// Turns of the same dial that follow one another at once are one step of the history. linear < 0: for all; otherwise an
// override for that linear (value NULL removes it). Refuses dials that may not stand in an override.
bool workbench_set(Workbench *w, int linear, Dial dial, const double *value, Error *err);
// Leaves a linear in its own precision, or takes it back.
bool workbench_toggle_ignore(Workbench *w, int linear, Error *err);
bool workbench_undo(Workbench *w); // false when there is nothing to undo
bool workbench_redo(Workbench *w);
bool workbench_load(Workbench *w, const char *path, Error *err);        // undoable
bool workbench_restore(Workbench *w, const Recipe *recipe, Error *err); // the same with changes that are not saved
bool workbench_save(Workbench *w, const char *path, Error *err);
bool workbench_saved(const Workbench *w); // nothing was changed since the last load or save

void workbench_set_prompt(Workbench *w, const char *prompt); // runs the decode sample again
const char *workbench_prompt(const Workbench *w);

// ---- effect ----

typedef struct DecodeText {
    bool known; // something was generated for this turn
    bool finished;
    char *text; // "" at first
    int32_t *ids;
    float *probabilities;
    size_t count;
} DecodeText;

typedef struct Effect {
    uint64_t accuracy_turn; // the turn that `accuracy` belongs to; older than workbench_turn: being computed
    bool accuracy_known, accuracy_finished; // finished: all planned tokens are scored
    Accuracy accuracy;
    const float *by_position; // [POSITION_FIGURES, positions], of a finished accuracy; NULL before
    size_t positions;
    uint64_t sqnr_turn;
    const double *output_sqnr_db; // [linear_count], NAN where unknown; NULL before the first
    const double *weight_sqnr_db; // [linear_count], NAN where not quantized
    // Why one linear hurts: the one that workbench_look named last, as soon as it is known. NULL before.
    uint64_t why_turn;
    int why_linear;
    const Why *why;
    DecodeText base; // does not depend on the recipe
    uint64_t decode_turn;
    DecodeText quantized;
    // Of base and quantized model, timed in turn. Not finished: a first glimpse, or more pairs are to come.
    uint64_t speed_turn;
    bool speed_finished;
    DecodeSpeed speed;       // no pairs: unknown
    size_t first_difference; // index of the first differing token, or the shorter count when none differs so far
} Effect;

const Effect *workbench_effect(const Workbench *w);
// The linear that the user looks at, about which more is found out; −1: none.
void workbench_look(Workbench *w, int linear);

// ---- jobs ----

typedef enum JobKind {
    JOB_WEIGHTS,
    JOB_CALIBRATE,
    JOB_QUANTIZE,
    JOB_ACCURACY,
    JOB_DECODE,
    JOB_ERRORS,
    JOB_SPEED,
    JOB_FORECAST, // of an export
    JOB_EXPORT,
    JOB_COUNT
} JobKind;
#define JOB_FIGURES_END JOB_FORECAST // those from JOB_QUANTIZE up to here begin anew with every turn
typedef enum JobState { JOB_WAITING, JOB_RUNNING, JOB_DONE, JOB_STOPPED, JOB_FAILED } JobState;

typedef struct JobView {
    JobKind kind;
    const char *name; // "weights", "calibrate", …
    JobState state;
    double share;                 // 0…1, −1 when unknown
    double seconds, seconds_left; // left: −1 when unknown
    char message[1024];           // of a failure
} JobView;

void workbench_job(const Workbench *w, JobKind kind, JobView *out);
void workbench_stop_job(Workbench *w, JobKind kind); // stays stopped until the next turn or workbench_restart_jobs
void workbench_restart_jobs(Workbench *w);           // all but an export (workbench_export_on)
bool workbench_busy(const Workbench *w);             // any job waiting or running

// ---- export ----

// What engines will do with the recipe as it is now, for all engines that read the format. NULL when memory is short.
// Good until the next call.
const Verdict *workbench_verdict(Workbench *w, ExportFormat format);
// Puts every remedy that a recipe can give for these engines into the recipe, as one step of the history. changes: one
// line each, none where there is nothing to mend; free it in any case.
bool workbench_fix(Workbench *w, ExportFormat format, Targets targets, Text *changes, Error *err);

// What an export by the recipe as it is now would do.
typedef struct ForecastView {
    bool known;    // false: being computed
    bool refused;  // the message says why; of the forecast only files and bytes may be known
    bool replaces; // refused only because the folder holds something else
    ExportForecast forecast;
    double room; // bytes that the disk has left
    char message[1024];
} ForecastView;
// The format and folder that it is for; NULL: nobody looks at it any more.
void workbench_look_at_export(Workbench *w, ExportFormat format, const char *folder);
void workbench_forecast(const Workbench *w, ForecastView *out);

// Writes the model, reads it back, and says so (JOB_EXPORT). The recipe is that of this moment, whatever is turned
// later; where it needs ranges or weights that are not all measured, the work waits for them. Refused while another
// export is on its way. overwrite: replace what the folder holds.
bool workbench_export(Workbench *w, ExportFormat format, const char *folder, bool overwrite, Error *err);
// One that was stopped or failed goes on where it was, by its own recipe.
bool workbench_export_on(Workbench *w, Error *err);

typedef struct ExportView {
    bool asked; // false: there was none
    JobView job;
    ExportFormat format;
    const char *folder;
    uint64_t changes;       // of the recipe since it was asked for; 0 also when they came to the same recipe again
    double bits_per_weight; // of what is written; NAN while that waits to be measured
    JobKind waits_for;      // what it waits for; JOB_COUNT: nothing
    bool reads;             // it is written and is being read back
    uint64_t done, total;   // bytes written, or read back
    double rate;            // bytes a second; NAN while unknown
    bool replaces;          // failed only because the folder holds something else
    ExportResult result;    // of one that is done
} ExportView;
void workbench_export_view(const Workbench *w, ExportView *out);
