// What is in a workbench, for the files of this folder alone. workbench.c is the screen's side, worker.c the background
// thread's.
#pragma once

#include <pthread.h>

#include "workbench/history.h"
#include "workbench/workbench.h"

typedef struct Job {
    Progress progress;
    JobState state;        // under lock
    bool held;             // under lock: stopped by the user until the next turn
    double started, ended; // under lock
    char message[1024];    // under lock
} Job;

// What the worker has found, handed over under the lock; workbench_update copies it to the screen's side.
typedef struct Findings {
    bool weights;     // measured, and the screen has not planned by them
    InputSet *inputs; // better than those the screen has; NULL: none
    bool accuracy_known, accuracy_finished;
    uint64_t accuracy_turn, sqnr_turn, decode_turn, speed_turn;
    bool speed_finished;
    DecodeSpeed speed;
    Accuracy accuracy;
    double *output_sqnr_db, *weight_sqnr_db; // [linear_count]
    float *by_position;                      // as in Effect
    size_t positions;
    uint64_t why_turn;
    int why_linear;
    Why why;
    DecodeText base, quantized;
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
    bool replaces;
    ExportResult result;
} Exporter;

struct Workbench {
    // The screen's thread only.
    Engine *engine; // worked with by the worker alone while it runs; the screen sees what any thread may (engine.h),
                    // and what was handed over
    History history;
    uint64_t changes; // of the recipe
    Plan plan;
    Measured measured; // views of what was taken over so far
    InputSet *inputs;  // the inputs among them, and their statistics
    int weights_known;
    Effect effect;
    double *effect_output_sqnr, *effect_weight_sqnr;
    float *effect_by_position;
    Why effect_why;
    size_t most_tokens;
    char backend[64];
    uint64_t plans; // counts them
    Verdict verdict;
    ExportFormat verdict_format;
    uint64_t verdict_plan; // the plan that the verdict is of; 0: none
    struct {               // the last turn of a dial: turns that follow at once are one step of the history
        int linear;
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
    Plan wanted;          // a copy of the plan of that turn; equal to the screen's in all that makes the model
    bool wants_ranges;    // it rests on ranges of inputs, or would if they were known
    uint64_t prompt_turn; // counts prompts
    char *prompt;
    int looked_at;   // linear, or −1
    uint64_t wishes; // counts everything that was asked for
    struct {
        ExportFormat format;
        char *folder;   // NULL: nobody looks
        uint64_t asked; // counts questions
    } forecast;
    Exporter exporter;
    Findings findings;
    Job jobs[JOB_COUNT];
    atomic_bool quit;
    int event; // eventfd
};

// ---- handing over ----

void decode_text_free(DecodeText *d);
// Replaces *to by a copy of *from; keeps the old one when memory is short.
void decode_text_copy(const DecodeText *from, DecodeText *to);
bool plan_copy(const Plan *from, Plan *to);

// ---- the screen's side ----

bool push_recipe(Workbench *w, Recipe *recipe, Error *err); // takes it over; one step of the history
bool thread_start(pthread_t *thread, void *(*run)(void *argument), void *argument, Error *err); // signals stay away
void signal_screen(Workbench *w);     // workbench_update has something to take over
void wish_wakes_locked(Workbench *w); // something was asked for
void wait_locked(Workbench *w, pthread_cond_t *condition, double seconds); // at most so long

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

// ---- the background thread ----

// Its main function; argument: the Workbench.
void *worker_run(void *argument);
const char *job_name(JobKind kind);
