// What is in a workbench, for the files of this folder alone. workbench.c is the screen's side, worker.c the background
// thread's.
#pragma once

#include <pthread.h>

#include "quant/recipe_set.h"
#include "workbench/history.h"
#include "workbench/workbench.h"

// Rows of earlier sessions, and where those of this one are kept: once the worker knows which model and tokens they
// belong to.
typedef struct Keeping {
    bool recalled;      // under lock: it knows
    uint64_t key;       // 0: nothing is kept
    int lock;           // descriptor: of several programs with the same model one keeps its rows; −1
    const char *unkept; // why not; NULL: they are
    char *folder;
    char *data; // under lock, with reader: what is to be taken over; NULL: nothing
    StatsReader reader;
    Text file; // under lock: what is to be written
} Keeping;

typedef struct Job {
    Progress progress;
    JobState state;        // under lock
    bool held;             // under lock: stopped by the user until the next turn
    double started, ended; // under lock
    double put_off;        // under lock (JobView)
    char message[1024];    // under lock
} Job;

// The text of a row of the trials that is looked at; the last one is the pin's.
#define LOOKED_TEXTS 2
#define ROW_TEXTS (LOOKED_TEXTS + 1)
typedef struct RowText {
    bool wanted;
    uint64_t model, prompt_turn; // prompt_turn, asked and text: of what was written
    size_t asked;
    Plan plan; // of what is wanted
    DecodeText text;
} RowText;

// The pin, where it was never measured. The screen's thread changes it, under the lock.
typedef struct PinWish {
    bool wanted;
    uint64_t model;
    Plan plan;
} PinWish;

typedef struct PinScore {
    uint64_t model; // 0: nothing was scored
    Accuracy accuracy;
    float *by_position; // as in Effect
    size_t positions;
} PinScore;

// What the worker has found, handed over under the lock; workbench_update copies it to the screen's side.
typedef struct Findings {
    bool weights;            // measured, and the screen has not planned by them
    InputSet *inputs;        // better than those the screen has; NULL: none
    SharedChannels channels; // of them
    bool accuracy_known, accuracy_finished;
    uint64_t accuracy_turn, sqnr_turn, decode_turn, speed_turn;
    bool speed_finished, speed_remembered;
    DecodeSpeed speed;
    Accuracy accuracy;
    double *output_sqnr_db, *input_sqnr_db, *weight_sqnr_db, *stream_shares; // [linear_count]
    float *by_position;                                                      // as in Effect
    size_t positions;
    uint64_t positions_version; // counts changes of them
    uint64_t why_turn;
    int why_linear;
    Why why;
    Remedies remedies;
    DecodeText base, quantized;
    PinScore pin;
    RowText row_texts[ROW_TEXTS];           // each of the one that is wanted at this place, or was
    uint64_t forecast_turn, forecast_asked; // that the forecast belongs to
    ForecastView forecast;
} Findings;

// An export has a thread of its own, since it is stopped and goes on by large steps only: a matrix is done again, and
// the disk is waited for. But its thread computes only when the worker lets it (worker.c), so that neither takes the
// cores from the other; writing goes on beside.
typedef struct Exporter {
    // The screen's thread only.
    bool asked;
    ExportOptions options; // its folder belongs to it
    Recipe recipe;         // as it was
    uint64_t change;       // workbench_changes then
    JobKind waits_for;     // JOB_COUNT: the thread was started
    pthread_t thread;
    bool thread_there; // to be joined

    // What the thread works with; no other thread writes it while that runs.
    Plan plan;
    Measured measured; // its weights and inputs belong to it
    InputSet *inputs;
    ExportModel model;
    ExportAccuracy accuracy;
    uint64_t turn; // whose accuracy is that of this model; 0: none

    // Under lock.
    pthread_t self;  // the thread, once it runs
    bool runs;       // it wants to compute
    bool open, pass; // it may; it may until it asks again
    pthread_cond_t changed;
    const char *phase;
    ExportResult result;
    Verdict verdict; // on what was written
} Exporter;

// What the studies have found, under lock; and what was asked for.
typedef struct Studies {
    atomic_bool interrupted; // of a search: a turn does not end it with the best so far
    double patience;         // WorkbenchOptions
    uint64_t version;        // counts changes of the findings

    bool looks_at_sensitivity, wants_sensitivity, looks_at_kept;
    bool sensitivity_was_asked;
    uint64_t kept_turn;                                        // that was looked up
    uint64_t choices_turn, sensitivity_turn, sensitivity_done; // turns; done: complete
    uint64_t choices_presents;                                 // the recipe that the choices are of
    BitChoices *choices;                                       // [linear_count]
    VerdictWish engine, bound_by;                              // asked for; that of unit and refused
    int *unit;                                                 // [linear_count]
    uint8_t *refused;
    Sensitivity *linears; // [linear_count]
    int *bits;            // [linear_count]: of the linears, by the plan of that turn
    size_t estimate_tokens;
    int count, measured;

    bool looks_at_speeds;
    SpeedsView speeds;

    bool looks_at_sweep, wants_sweep;
    bool sweep_was_asked; // for, and not only begun by looking
    bool sweep_dropped;   // before it was complete, since the recipe became another
    Recipe sweep_recipe;  // its other dials are those of the sweep
    SweepDial dials[SWEEP_DIALS];
    int dial_count, points_count;
    SweepPoint *points;               // [points_count]
    uint64_t sweep_asked, sweep_done; // counts questions; the one that is complete

    double met, met_seconds; // weights that tokens met in evaluations so far, and how long that took
    bool tune_asked, tune_done;
    bool tune_ends;    // with the best so far, as soon as a search that begins again has come to it
    bool tune_reached; // it has
    TuneGoal goal;
    Recipe tune_recipe;
    bool *tune_kept; // [linear_count]
    Tuned tuned;     // its recipe is that of the result
    // The screen's thread only.
    uint64_t tune_change; // workbench_changes when it was asked for
    SensitivityView sensitivity;
    BitChoices *shown_choices;
    int *shown_unit;
    uint8_t *shown_refused;
    Sensitivity *shown_linears;
    int *shown_bits;
    SpeedsView shown_speeds;
    SweepView sweep;
    SweepPoint *shown_points;
    uint64_t shown_version;
} Studies;

struct Workbench {
    // The screen's thread only.
    Engine *engine; // worked with by the worker alone while it runs; the screen sees what any thread may (engine.h),
                    // and what was handed over
    LinearIndex index;
    LinearSet set; // of the last turn for some linears only, whose numbers have this hash
    uint64_t set_hash;
    History history;
    uint64_t changes; // of the recipe
    Plan plan;
    Measured measured;       // views of what was taken over so far
    InputSet *inputs;        // the inputs among them, and their statistics
    SharedChannels channels; // of these
    int weights_known;
    Effect effect;
    double *effect_output_sqnr, *effect_input_sqnr, *effect_weight_sqnr, *effect_shares;
    float *effect_by_position;
    uint64_t effect_positions; // the version of these
    Why effect_why;
    Remedies effect_remedies;
    Trials trials;
    struct {
        uint64_t turn, plan; // of the last state that was made a row
    } recorded;
    uint64_t row_texts_looked; // a hash of what was looked at last
    uint64_t pin_looked;       // the same of the pin
    Recipe pin;
    uint32_t made_here;      // the row that was made at this place of the history; 0: none
    uint64_t trials_handed;  // their changes when they were handed over to be written
    double trials_handed_at; // and when that was
    char backend[64];
    uint64_t plans; // counts them
    bool odd_bits;  // written, too; of the screen's thread, which changes it under the lock
    Verdict verdicts[EXPORT_FORMAT_COUNT];
    uint64_t verdict_plans[EXPORT_FORMAT_COUNT]; // the plan that each is of; 0: none
    struct {
        uint64_t plan;
        Standing standing;
    } standings[EXPORT_FORMAT_COUNT][TARGET_COUNT];
    struct {
        Verdict verdict;
        VerdictWish wish;
        uint64_t plan;
    } verdict_of;         // one engine
    struct {              // the last turn of a dial: turns that follow at once are one step of the history
        uint64_t linears; // a hash of those it was turned for
        Dial dial;
        size_t at; // its place in the history
        double time;
    } last;

    // Shared, under lock.
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock;
    pthread_cond_t wake;  // something was asked for
    uint64_t turn;        // the screen's current turn
    Recipe present;       // a copy of the recipe as it is, for the worker
    uint64_t presents;    // counts them
    Plan wanted;          // a copy of the plan of that turn; equal to the screen's in all that makes the model
    bool wants_ranges;    // it rests on ranges of inputs, or would if they were known
    uint64_t prompt_turn; // counts prompts and lengths of what follows them
    char *prompt;
    size_t most_tokens; // that follow it
    int looked_at;      // linear, or −1
    RowText row_texts[ROW_TEXTS];
    PinWish pin_wish;
    uint64_t wishes; // counts everything that was asked for
    struct {
        uint64_t turn; // whose figures are known from a trial; 0: of none
        bool text, speed;
        uint64_t prompt_turn; // of the text
    } known;
    Keeping keeping;
    struct {
        ExportFormat format;
        char *folder;   // NULL: nobody looks
        uint64_t asked; // counts questions
    } forecast;
    Exporter exporter;
    Studies studies;
    Findings findings;
    Job jobs[JOB_COUNT];
    atomic_bool quit;
    int event; // eventfd
};

// ---- handing over ----

bool plan_copy(const Plan *from, Plan *to);

// The figures by position of what was found last; takes them over, NULL: there are none.
void put_positions_locked(Workbench *w, float *by_position, size_t positions);

// ---- the screen's side ----

bool push_recipe(Workbench *w, Recipe *recipe, Error *err); // takes it over; one step of the history
bool thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument, Error *err); // signals stay away
void signal_screen(Workbench *w);     // workbench_update has something to take over
void wish_wakes_locked(Workbench *w); // something was asked for
void wait_locked(Workbench *w, pthread_cond_t *condition, double seconds); // at most so long

// ---- trials (trial_keeper.c) ----

// What is known of the model that the newest wish is about becomes its figures. With the lock held.
void trials_adopt_locked(Workbench *w);
bool trials_know_locked(const Workbench *w, JobKind kind); // they did, and this job has nothing to do
void trials_update(Workbench *w);                          // after findings were taken over, or the recipe changed
void trials_take_recalled(Workbench *w);                   // rows that the worker has read
void trials_recall(Workbench *w);                          // the worker, once the engine can evaluate
void trials_write(Workbench *w); // the worker: what was handed over; does nothing when that is nothing
void trials_close(Workbench *w); // after the worker ended

// ---- exports (export_job.c) ----

void exporter_begin_when_measured(Workbench *w); // after each update
void exporter_close(Workbench *w);               // stops it
void exporter_stop_locked(Workbench *w);         // its progress was asked to stop
// For the worker. Lets it compute a step beside; or alone until so many seconds have passed, it has ended, or something
// was asked for.
void exporter_let_pass(Workbench *w);
void exporter_let(Workbench *w, double seconds);
void exporter_open_locked(Workbench *w, bool open); // while the worker has nothing to do

// What an export of this plan would do. Called by the worker.
void forecast_make(const Workbench *w, const Plan *plan, const ExportOptions *options, ForecastView *out);

// ---- studies (studies.c, study_jobs.c) ----

bool studies_new(Workbench *w, Error *err);
void studies_forget(Sensitivity *linears, size_t count); // figures that nothing is known of
void studies_free(Workbench *w);
void studies_interrupt_locked(Workbench *w); // those that run step back
void studies_turn_locked(Workbench *w);      // there is another turn
void studies_change_locked(Workbench *w);    // there is another recipe, whether it makes another model or not
bool tune_can_end(const Studies *s);         // it has a best so far, and was not asked to end with it
// After evaluations that took so long, with the work that was done before them.
void study_pace(Workbench *w, const EvaluatorWork *before, double seconds);
TunePace study_pace_locked(const Workbench *w);
void tune_end_locked(Workbench *w); // with the best so far
bool study_wanted_locked(const Workbench *w, JobKind kind);
// What was asked for comes before the pin, and that before what began by looking; among equals, what is looked at, and
// a search before what is measured by itself. JOB_COUNT: none is wanted, but for this one.
JobKind study_next_locked(const Workbench *w, JobKind but);
void study_put_off_locked(Workbench *w, JobKind kind); // where nobody asked for it and it would take long
void studies_take(Workbench *w);                       // what was found, over to the screen's side
bool study_wants_kept_locked(const Workbench *w);      // figures of linears from the disk, and no more than that
void study_pin_locked(Workbench *w);                   // another one is to be scored, or none
// Called by the worker. False with err when it stops or fails.
bool study_recall(Workbench *w, const Plan *plan, uint64_t turn, Error *err);
bool study_run(Workbench *w, JobKind kind, const Plan *plan, uint64_t turn, Error *err);

// ---- the background thread ----

// Its main function; argument: the Workbench.
void *worker_run(void *argument);
const char *job_name(JobKind kind);
