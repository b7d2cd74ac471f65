// A small real checkpoint with everything that a study needs: calibrated, with an evaluator and a quantized model.
#pragma once

#include "analysis/trial.h"
#include "tests/support/fixture_model.h"

#define STUDY_MODEL "tests/fixtures/llama-gqa-llama3-bf16"

typedef struct StudyFixture {
    FixtureModel model;
    ModelStats stats;
    Evaluator *evaluator;
    QuantizedModel *quantized;
    Trial trial;
} StudyFixture;

// cache: folder for kept figures, or NULL. Fails the running test when anything is missing.
void study_open(const char *cache, StudyFixture *out);
void study_close(StudyFixture *study);

// The plan of the default recipe with these dials: "weight-bits=3 granularity=channel".
Plan study_plan(const StudyFixture *study, const char *dials);
// Mean KL divergence under a plan, computed by an evaluator and a quantized model of its own.
double study_kl(StudyFixture *study, const Plan *plan);
// On the first window of the evaluator and on another.
double study_two_windows_kl(StudyFixture *study, const Plan *plan, size_t second);
