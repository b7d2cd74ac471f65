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
    char message[256];     // under lock
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
    float *divergences;                      // [positions] of the last accuracy that finished
    size_t positions;
    uint64_t why_turn;
    int why_linear;
    Why why;
    DecodeText base, quantized;
} Findings;

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
    float *effect_divergences;
    Why effect_why;
    size_t most_tokens;
    char backend[64];
    struct { // the last turn of a dial: turns that follow at once are one step of the history
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
    int looked_at; // linear, or −1
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

// ---- the background thread ----

// Its main function; argument: the Workbench.
void *worker_run(void *argument);
const char *job_name(JobKind kind);
