// The page of `quantdial report`: what it shows, and what writes it.
#pragma once

#include "analysis/shared_channels.h"
#include "cli/results.h"

#define REPORT_WORST 6

typedef struct WorstLinear {
    int linear;
    bool explained; // no token reached it, otherwise
    Why why;
    Remedies remedies;
} WorstLinear;

typedef struct Report {
    const Engine *engine;
    Accuracy accuracy;
    Sides sides;
    SharedChannels channels;
    double *output_db, *weight_db;   // [linear_count]: signal to noise, NAN where unknown
    WorstLinear worst[REPORT_WORST]; // by output_db
    int worst_count;
    char *recipe; // as a file
} Report;

// One page that needs nothing beside it.
void report_page(const Report *report, Text *page);

// ---- its figures: SVG within the page ----

typedef enum ReportMeasure { REPORT_RANGE, REPORT_WEIGHT_MAX, REPORT_ERROR, REPORT_MEASURES } ReportMeasure;

// Three significant digits or more, never an exponent between 0.001 and 10⁵.
const char *report_figure(double value, char *out, size_t size);
double report_value(const Report *report, ReportMeasure measure, int linear);         // NAN while unknown
bool report_map(const Report *report, ReportMeasure measure, Text *page, Error *err); // every linear, shaded
void report_weights(const WeightStats *weights, Text *page);                          // their histogram
void report_input(const InputStats *input, double v0, double v1, Text *page);
