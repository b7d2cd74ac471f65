// The workbench: one open model, its recipe with history, and what is known of its effect. Everything here is called
// from one thread (the screen's) and returns at once; the work itself is done by a background thread, newest wins. No
// terminal code.
//
//   workbench_open → loop { wait for keys or workbench_fd; workbench_update; draw } → workbench_close
#pragma once

#include "analysis/budget.h"
#include "analysis/shared_channels.h"
#include "analysis/sweep.h"
#include "engine/engine.h"
#include "export/verdict.h"
#include "quant/linear_index.h"
#include "workbench/trials.h"

typedef struct Workbench Workbench;

typedef struct WorkbenchOptions {
    EngineOptions model;
    const char *recipe; // file to start from; NULL: the default recipe
    const char *prompt; // NULL: the default one
    size_t most_tokens; // of the decode sample; 0: 64
    double patience;    // seconds that a study may take which nobody asked for; 0: PUT_OFF_SECONDS
    bool forgetful;     // trials are neither read nor kept; so it is too where the model has no cache
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

// Channels that stay outliers from layer to layer, beyond OUTLIER_FACTOR times the median; none while nothing is known.
// Good until the next workbench_update.
const SharedChannels *workbench_channels(const Workbench *w);

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
size_t workbench_step(const Workbench *w);      // the place in the history: a dial held down stays at one
uint64_t workbench_plans(const Workbench *w);   // counts plans: another one may also come from measuring
const LinearIndex *workbench_index(const Workbench *w);
// What another recipe comes to by what is measured now; model: as trials name it (trial_model).
bool workbench_plan_of(const Workbench *w, const Recipe *recipe, Plan *out, uint64_t *model, Error *err);

// Turns of the same dial that follow one another at once are one step of the history. linear < 0: for all; otherwise an
// override for that linear (value NULL removes it). Refuses dials that may not stand in an override.
bool workbench_set(Workbench *w, int linear, Dial dial, const double *value, Error *err);
// The same for several, by as few rules as name exactly these.
bool workbench_set_many(Workbench *w, const int *linears, int count, Dial dial, const double *value, Error *err);
// Leaves linears in their own precision; where all of them are, takes them back.
bool workbench_toggle_ignore(Workbench *w, const int *linears, int count, Error *err);
bool workbench_undo(Workbench *w); // false when there is nothing to undo
bool workbench_redo(Workbench *w);
bool workbench_load(Workbench *w, const char *path, Error *err);        // undoable
bool workbench_restore(Workbench *w, const Recipe *recipe, Error *err); // the same with changes that are not saved
// What holds now is what the program started with, for trials. recipe: one to start with in place of it, as if it had
// been opened with it; taken over, also on failure; NULL: none.
bool workbench_begin(Workbench *w, Recipe *recipe, Error *err);
bool workbench_save(Workbench *w, const char *path, Error *err);
bool workbench_saved(const Workbench *w); // nothing was changed since the last load or save

void workbench_set_prompt(Workbench *w, const char *prompt); // runs the decode sample again
const char *workbench_prompt(const Workbench *w);
// Of the decode sample: it goes on when it may be longer, and begins anew when it is to be shorter.
void workbench_set_tokens(Workbench *w, size_t most);
size_t workbench_tokens(const Workbench *w);

// ---- effect ----

typedef struct Effect {
    uint64_t accuracy_turn; // the turn that `accuracy` belongs to; older than workbench_turn: being computed
    bool accuracy_known, accuracy_finished; // finished: all planned tokens are scored
    Accuracy accuracy;
    const float *by_position; // [POSITION_FIGURES, positions], of a finished accuracy; NULL before
    size_t positions;
    uint64_t sqnr_turn;
    const double *output_sqnr_db; // [linear_count], NAN where unknown; NULL before the first
    const double *input_sqnr_db;  // the same when only inputs are rounded; +infinity where they are not
    const double *weight_sqnr_db; // [linear_count], NAN where not quantized
    const double *stream_shares;  // [linear_count] (analysis/stream_share.h), NAN where unknown; NULL before the first
    // Why one linear hurts: the one that workbench_look named last, as soon as it is known. NULL before.
    uint64_t why_turn;
    int why_linear;
    const Why *why;
    const Remedies *remedies; // of the same linear and turn; not known at first
    DecodeText base;          // does not depend on the recipe
    uint64_t decode_turn;
    DecodeText quantized;
    // Of base and quantized model, timed in turn. Not finished: a first glimpse, or more pairs are to come.
    uint64_t speed_turn;
    bool speed_finished;
    bool speed_remembered; // it was timed at another turn, and the base with it
    DecodeSpeed speed;     // no pairs: unknown
} Effect;

const Effect *workbench_effect(const Workbench *w);
// The linear that the user looks at, about which more is found out; −1: none.
void workbench_look(Workbench *w, int linear);

// ---- trials ----

// What was measured so far, this session's and earlier ones'. A state becomes a row when its accuracy is finished; one
// that a held dial only passed through does not stay. Where a recipe makes a model that is among them, its figures are
// those of the turn at once. Good until the next call that changes something.
const Trials *workbench_trials(const Workbench *w);
void workbench_forget_trial(Workbench *w, uint32_t number); // not the present one
bool workbench_note_trial(Workbench *w, uint32_t number, const char *note, Error *err);
void workbench_compare_trials(Workbench *w, uint32_t a, uint32_t b); // 0: none
// Rows whose texts are looked at; 0: none. What of them was not written after the prompt as it is, or is shorter than
// texts are now, is written as soon as the figures of the turn are there. Cheap when nothing changed.
void workbench_look_at_texts(Workbench *w, uint32_t a, uint32_t b);
bool workbench_writes_text(const Workbench *w, uint32_t number); // it is about to be, or being written
// The state that others are compared with, which is not the present one; NULL: none. Where it was never measured, it is
// scored when nothing else is asked for (JOB_PIN), becomes a row, and gets a text. Cheap when nothing changed.
void workbench_pin(Workbench *w, const Recipe *recipe);
const char *workbench_trials_unkept(const Workbench *w); // why they are not kept on disk; NULL: they are

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
    JOB_CHOICES,  // what other bits would be
    JOB_SPEEDS,   // over batch and context
    JOB_PIN,      // scoring it
    JOB_SWEEP,    // studies, which come last of all: they wait for the figures of the present turn
    JOB_TUNE,
    JOB_SENSITIVITY,
    JOB_EXPORT,
    JOB_COUNT
} JobKind;
#define JOB_FIGURES_END JOB_FORECAST // those from JOB_QUANTIZE up to here begin anew with every turn
#define JOB_STUDIES JOB_CHOICES      // from here to JOB_EXPORT
typedef enum JobState { JOB_WAITING, JOB_RUNNING, JOB_DONE, JOB_STOPPED, JOB_FAILED } JobState;
static inline bool job_is_on(JobState state) { return state == JOB_RUNNING || state == JOB_WAITING; }

typedef struct JobView {
    JobKind kind;
    const char *name; // "weights", "calibrate", …
    JobState state;
    double share;                 // 0…1, −1 when unknown
    double seconds, seconds_left; // left: −1 when unknown
    const char *what;             // what it is at; NULL: nothing yet
    double put_off;               // of one that is stopped: the seconds that it would take, so that it waits to be
                                  // asked for (PUT_OFF_SECONDS); infinite: not known; 0: somebody stopped it
    char message[1024];           // of a failure
} JobView;

void workbench_job(const Workbench *w, JobKind kind, JobView *out);
void workbench_stop_job(Workbench *w, JobKind kind);   // stays stopped until the next turn or workbench_restart_jobs
void workbench_resume_job(Workbench *w, JobKind kind); // one that was stopped or has failed, but no export
void workbench_restart_jobs(Workbench *w);             // all but an export (workbench_export_on)
bool workbench_busy(const Workbench *w);               // any job waiting or running

// ---- studies ----

// What takes many evaluations. A turn of the recipe, a prompt, a look at a linear interrupt them, and they go on where
// they were: evaluations are kept on disk. workbench_stop_job stops one until it is asked for again.
void workbench_resume_study(Workbench *w, JobKind kind); // one that was stopped, put off or failed
// The one that runs next, but for this one; JOB_COUNT: none.
JobKind workbench_next_study(const Workbench *w, JobKind but);
// A study that began because somebody looks, and was not asked for, is put off when it would take longer than this.
#define PUT_OFF_SECONDS 30.0

typedef struct SensitivityView {
    uint64_t choices_turn;     // that the choices belong to; 0: none yet
    const BitChoices *choices; // [linear_count]
    VerdictWish bound_by;      // the engine that bounds them; without targets: none
    const int *unit;           // [linear_count]: what it asks of a budget (BudgetBounds); NULL: nothing
    const uint8_t *refused;
    uint64_t turn; // that the figures belong to; 0: none yet
    // [linear_count]: each linear at its place; estimates are NAN, and alone_known false, where nothing is known.
    const Sensitivity *linears;
    const int *bits;     // [linear_count]: of each linear when that was measured
    int count, measured; // linears that the plan quantizes, and those of them that are measured
    size_t estimate_tokens;
    bool finished;
    uint64_t version; // counts changes
} SensitivityView;
// While it is looked at, the study begins anew with every turn; otherwise it comes to its end, or to the next turn.
void workbench_look_at_sensitivity(Workbench *w, bool look);
// The engine whose bounds come with the choices, by and by; without targets: none.
void workbench_bound_by(Workbench *w, const VerdictWish *engine);
// While it is looked at, what an earlier study measured of the recipe as it is comes from the disk, for each turn anew.
void workbench_look_at_kept_sensitivity(Workbench *w, bool look);
const SensitivityView *workbench_sensitivity(const Workbench *w); // good until the next workbench_update

typedef struct SpeedsView {
    uint64_t turn; // that the map belongs to; 0: none yet
    bool finished;
    SpeedMap map;
} SpeedsView;
// Over batch and context. While it is looked at, it begins anew with every turn, and goes before other studies.
void workbench_look_at_speeds(Workbench *w, bool look);
const SpeedsView *workbench_speeds(const Workbench *w);

typedef struct SweepPoint {
    Point point;        // without speed; its size is known first
    bool planned;       // size and bits are
    bool older;         // by the recipe before other dials were turned
    float *divergences; // [positions] of a point that is known; NULL where only its figures are
} SweepPoint;
typedef struct SweepView {
    int dial_count; // 0: none was asked for
    SweepDial dials[SWEEP_DIALS];
    int count, known;         // points, the last dial runs fastest (sweep_value)
    const SweepPoint *points; // of these the front is marked
    int knee;                 // of the front (points_knee)
    uint64_t version;         // counts changes
} SweepView;
// Takes over the dials, also on failure. The nearest to the recipe come first. While it is looked at, it begins anew
// when other dials are turned; points that are on disk are there at once. One that was left before it was complete goes
// on when its recipe is back. asked: for, so that it comes before studies that begin because they are looked at.
bool workbench_sweep(Workbench *w, SweepDial *dials, int dial_count, bool asked, Error *err);
void workbench_look_at_sweep(Workbench *w, bool look);
const SweepView *workbench_swept(const Workbench *w); // good until the next call of workbench_update or workbench_sweep
double sweep_view_value(const SweepView *view, int point, int dial);

typedef struct TuneView {
    bool asked;
    TuneGoal goal;
    uint64_t changes;     // of the recipe since it was asked for
    bool done;            // and verified; stopped or not
    bool ends;            // was stopped, and ends with the best so far
    Tuned tuned;          // best_bits, best_kl and first_kl, uniform, units, trials; everything of one that is done
    const Recipe *recipe; // of one that is done; NULL before
    const Recipe *began;  // that it began from
} TuneView;
// Searches on by the recipe as it is now, until it is done; the job ends with the best so far when it is stopped.
// Refused while another search is on its way. engine: only what it takes is tried, and what it refuses of other dials
// is mended; NULL: whatever there is.
bool workbench_tune(Workbench *w, const TuneGoal *goal, const VerdictWish *engine, Error *err);
// How long that would take, as far as evaluations so far tell; NAN before they do.
bool workbench_tune_seconds(const Workbench *w, const TuneGoal *goal, const VerdictWish *engine, double *seconds,
                            Error *err);
void workbench_tuned(const Workbench *w, TuneView *out); // good until the next call of workbench_tune
void workbench_forget_tuned(Workbench *w);               // one that is done, stopped or failed

// ---- export ----

// What engines will do with the recipe as it is now, for all engines that read the format. NULL when memory is short.
// Good until the plan is another.
const Verdict *workbench_verdict(Workbench *w, ExportFormat format);
// The same for one of them, which takes a part of the time.
const Verdict *workbench_verdict_of(Workbench *w, ExportFormat format, Target target);
// What comes of it in each, in a word. Where a model has so many linears that this takes long, some are STANDING_COUNT
// at first, and workbench_fd announces that it is time to look again.
void workbench_standings(Workbench *w, Standing out[EXPORT_FORMAT_COUNT][TARGET_COUNT]);
// The recipe with every remedy that one can give for these engines, and what it comes to; the same where there is
// nothing to mend. Free it in any case with verdict_fix_free. workbench_restore takes its recipe.
bool workbench_fix(const Workbench *w, ExportFormat format, Targets targets, VerdictFix *out, Error *err);
// Mends what the engine refuses or misreads of a recipe that was made from the one as it is now (verdict_keep).
bool workbench_keep(const Workbench *w, const VerdictWish *wish, Recipe *recipe, Error *err);
// Whether weights of 2 and 3 bits are written also where a format does so only when it is asked for; at first not. It
// holds for verdicts, remedies, estimates and exports.
void workbench_allow_odd_bits(Workbench *w, bool allow);

// What an export by the recipe as it is now would do.
typedef struct ForecastView {
    bool known;   // false: being computed
    bool refused; // the message says why; of the forecast only `occupied` is known
    ExportForecast forecast;
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
    ExportResult result;    // of one that is done; of one that failed, whether the place is occupied
    const Verdict *verdict; // of one that is done: on what was written; good until the next one is asked for
} ExportView;
void workbench_export_view(const Workbench *w, ExportView *out);
