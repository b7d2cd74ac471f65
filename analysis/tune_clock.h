// How long a search takes: what it still has to do, and how fast the machine does it.
#pragma once

#include "analysis/tune.h"

// A search is told as one piece of work: its bar only goes forward.
typedef enum TunePhase { TUNE_SCHEMES, TUNE_NOISE, TUNE_LINEARS, TUNE_CHOICES, TUNE_VERIFYING, TUNE_PHASES } TunePhase;

// How many wholes a search measures in a step, at most: the best of its choices; within a bound ways of weighing,
// choices by each of them, and choices from noise alone. And the ways of weighing that there are.
enum { FINALISTS = 3, BOUND_WAYS = 2, BOUND_TRIES = 6, NOISE_TRIES = 5, WEIGHINGS = 10 };

typedef struct TuneWork {
    double packed; // weights that are quantized and packed
    double met;    // weights that tokens meet: tokens × weights
} TuneWork;

// What a search is made of.
typedef struct TuneExtent {
    bool for_bound;
    int schemes, candidates, units; // candidates: schemes that all may have
    double packed;                  // weights in all units
    double layer, head;             // weights that a token meets in a layer, on average, and in the head
    int layers;
    double few, some, whole, verified, alone; // positions of an evaluation on each set of tokens; alone: of one unit
} TuneExtent;

typedef struct TuneClock {
    TuneExtent extent;
    TuneWork planned[TUNE_PHASES]; // what each phase is expected to do and has not begun
    TuneWork again;                // of units, in TUNE_CHOICES: those of other schemes that are chosen
    int rounds;                    // in which that was known
    TunePace before;               // what was known at the beginning
    TuneWork timed;                // of late, in these seconds
    double pack_seconds, meet_seconds;
    double seconds; // all that were timed
} TuneClock;

TuneClock tune_clock_new(const TuneExtent *extent, const TunePace *before);
// One evaluation: of everything, or of a unit with so many weights whose first linear is in this layer. fresh: nothing
// of the base is known on these tokens.
TuneWork tune_evaluation(const TuneExtent *extent, double positions, bool fresh);
TuneWork tune_evaluation_from(const TuneExtent *extent, double positions, bool fresh, int layer, double packed);
TuneWork tune_noise_of_all(const TuneExtent *extent); // by one scheme

// Takes this from what is planned for the phase; of_unit: an evaluation of one.
void tune_clock_begin(TuneClock *clock, TunePhase phase, bool of_unit, TuneWork work);
void tune_clock_again(TuneClock *clock, int units); // it is known how many
void tune_clock_timed(TuneClock *clock, TuneWork work, double pack_seconds, double meet_seconds);
TunePace tune_clock_pace(const TuneClock *clock); // measured, or what was known before; 0: neither
// By that pace, or in some unit of their own where none is known.
double tune_clock_seconds(const TuneClock *clock, TuneWork work);
double tune_clock_left(const TuneClock *clock, TunePhase phase); // of this phase and those after it
