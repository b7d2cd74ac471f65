// What engines will do with the plan, as quantize prints it.
#pragma once

#include "cli/cli.h"

// --fix: what it did to the recipe, and what that costs.
typedef struct Fixed {
    bool asked;
    Text changes; // a line each; "" none
    int change_count;
    size_t bytes_before, bytes;
    double bits_before, bits; // per weight
    bool measured;
    double kl_before, kl; // where the accuracy was asked for; the caller measures the second
} Fixed;

// The engine's plan in the targets of the options. Free with verdict_free.
bool verdict_of(const Options *options, const Engine *engine, Verdict *out, Error *err);
void verdict_print(const Engine *engine, const Verdict *verdict);
void verdict_add_json(cJSON *object, const Engine *engine, const Verdict *verdict);
// Which engine loads which format of the recipe.
void standings_print(const Options *options, const Engine *engine);
void standings_add_json(const Options *options, cJSON *object, const Engine *engine);
// One line to stderr where something is refused or misread.
void verdict_warn(const Options *options, const Engine *engine);
// The engines that a search keeps to, each in the format that it reads; a line to stderr for what they refuse or
// misread now, beside bits and groups.
void verdict_restrict(const Options *options, const Engine *engine, Engines *out);

// One line to stderr where engines were named that do not read the format.
void targets_warn(const Options *options);

// Puts a mended recipe and its plan into the engine, when the options ask for it. Free with fixed_free in any case.
bool fix_recipe(const Options *options, Engine *engine, Fixed *out, Error *err);
void fixed_free(Fixed *fixed);
void fixed_print(const Fixed *fixed);
void fixed_add_json(cJSON *object, const Fixed *fixed);
