// Many recipes on the same tokens: what each costs and buys, for sweeps and comparisons.
#pragma once

#include "analysis/speed.h"
#include "analysis/statistics.h"
#include "analysis/trial.h"

typedef struct Point {
    bool known;
    size_t bytes; // of the whole model
    double bits_per_weight;
    Accuracy accuracy;
    DecodeSpeed speed;   // of the base and this point, timed in turn; no pairs: not measured
    double pack_seconds; // quantizing and packing all linears; 0: not measured
    // Position by position: this one minus the point of the least KL divergence (0 ± 0 for that one itself).
    bool paired; // it was taken
    Differences above_best;
    bool pareto; // no other point is as small and as close to the base, and better in one of both
} Point;

typedef struct PointOptions {
    bool speed;                                      // measure speed and pack_seconds
    void (*partial)(void *context, int point_index); // called after each point; may be NULL
    void *context;
} PointOptions;

// Fills points [count], one for each recipe. When it is stopped or fails, those that are known stay, and the front is
// marked and differences are taken among them. A recipe that cannot be planned or packed fails, named by its number
// from 1.
bool points_measure(Trial *trial, const Recipe *recipes, int count, const PointOptions *options, Point *points,
                    Progress *progress, Error *err);

// Marks the front of KL divergence against bytes among the known points.
void points_mark_front(Point *points, int count);

// The knee of a front that is marked: of the points below the chord between its smallest and its largest one, in
// ln(KL divergence) over bytes, the furthest from it. −1: there is none, as of a front of less than three or one that
// does not bend.
int points_knee(const Point *points, int count);
