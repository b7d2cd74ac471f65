// The verdict before the first byte: what the engines that read a format will do with a plan. Does it load, which
// kernel runs, are activations really quantized there, and what mends it. A pure function of structure and plan; what
// it knows of engines stands in two tables (verdict_facts.c), each row with the version it holds for and how that is
// known.
#pragma once

#include <stdint.h>

#include "base/array.h"
#include "export/formats.h"
#include "quant/plan.h"
#include "quant/units.h"

// An engine, and of vLLM on CUDA the generation of the device, where kernels differ.
typedef enum Target {
    TARGET_VLLM_SM75,
    TARGET_VLLM_SM80, // to 89
    TARGET_VLLM_SM90,
    TARGET_VLLM_SM100, // and 120
    TARGET_VLLM_CPU,
    TARGET_SGLANG, // on CUDA
    TARGET_TRANSFORMERS,
    TARGET_LLAMA_CPP,
    TARGET_MLX,
    TARGET_COUNT,
} Target;

typedef uint32_t Targets; // bit t: target t

typedef struct TargetInfo {
    const char *name;    // "vllm-sm80"
    const char *group;   // a word that names several of them: "vllm"
    const char *title;   // "vLLM on A100, RTX 40 (SM80 to 89)"
    const char *version; // that was read or tried: "vLLM 0.32"
} TargetInfo;

extern const TargetInfo target_table[TARGET_COUNT];
#define TARGETS_VLLM ((1U << (TARGET_VLLM_CPU + 1)) - 1)

// Cards that people name in place of a compute capability (times ten).
typedef struct CardInfo {
    const char *name; // "a100", "rtx4090"
    int capability;   // 80, 89
} CardInfo;

extern const CardInfo card_table[]; // the last has no name

// "vllm,transformers": names and groups with commas between them; "all"; of vLLM also the device, by its compute
// capability or its card: "8.0", "sm89", "sm_90", "A100", "RTX 4090".
bool targets_parse(const char *text, Targets *out, Error *err);
Targets targets_of_format(ExportFormat format); // those that read it
// "vllm, mlx": a group by its name where all of it is meant.
void targets_list(Targets targets, Text *out);
// Of these, the ones that most people run: what is asked for when nobody says.
Targets targets_usual(ExportFormat format);

typedef enum Severity {
    SEVERITY_NOTE,    // good to know
    SEVERITY_SLOWER,  // right, but not by the fast kernel
    SEVERITY_MISREAD, // runs, and computes something else than the plan says
    SEVERITY_REFUSED, // does not load, or cannot be written
} Severity;

extern const char *const severity_names[]; // "note", "slower", "misread", "refused"

// How a fact is known.
typedef enum Evidence {
    EVIDENCE_READ,   // in the source or the documentation of that version
    EVIDENCE_MOCKED, // the engine's own choice, with a device that was not there
    EVIDENCE_TRIED,  // the engine did it (tools/reference/check_verdicts.py)
} Evidence;

extern const char *const evidence_names[]; // "read", "mocked", "tried"

// One change of the recipe.
typedef struct VerdictChange {
    int linear;   // −1: of the whole model
    int dial;     // a Dial; −1: the linear is left as it is
    double value; // of the dial
} VerdictChange;

typedef struct Finding {
    const char *name; // "fused-bits": stays the same
    Severity severity;
    Evidence evidence;         // the least of its targets
    Targets targets;           // among those asked for
    const char *what, *remedy; // a sentence each; dials by their options: "Set --grid to symmetric."
    int *linears;              // in the order of the structure; none when the whole model is meant
    int linear_count;
    VerdictChange *changes; // that mend it; none: the recipe cannot
    int change_count;
} Finding;

enum { VERDICT_USES = 8 };

// What runs in one target, most linears first.
typedef struct KernelUse {
    const char *kernel; // "Marlin"; "none": no kernel takes it
    const char *inputs; // what activations are there: "16 bit", "int8 per token"
    int linears;
} KernelUse;

typedef struct VerdictRow {
    Target target;
    bool loads;
    int worst; // index of the worst finding, −1 none
    KernelUse uses[VERDICT_USES];
    int use_count;   // at most so many are listed
    uint8_t *use_of; // [linear_count]: index of its use; VERDICT_USES: of none that is listed
} VerdictRow;

typedef struct Verdict {
    Finding *findings; // worst first
    int finding_count;
    VerdictRow rows[TARGET_COUNT];
    int row_count;
} Verdict;

// What is asked.
typedef struct VerdictWish {
    ExportFormat format;
    Targets targets;
    bool odd_bits; // weights of 2 and 3 bits are to be written, though a format does so only when it is asked for
} VerdictWish;

// measured: for scales that are too small for F16; may be NULL. Fails only when memory is short.
bool verdict_make(const ModelStructure *structure, const Measured *measured, const Plan *plan, const VerdictWish *wish,
                  Verdict *out, Error *err);
void verdict_free(Verdict *verdict);
bool verdict_has(const Verdict *verdict, Severity severity); // a finding of at least this severity

// The recipe with every remedy that a recipe can give to what is refused or misread, what it comes to, and what is
// still found then.
typedef struct VerdictFix {
    Recipe recipe;
    Plan plan;
    Verdict verdict;
    Text changes; // one line for each kind of change: "weight-bits 4: down_proj of layers 3–5 (3 linears)"
    int change_count;
} VerdictFix;

// Fails where all of the remedies leave nothing quantized. Free with verdict_fix_free in any case.
bool verdict_fix(const Recipe *recipe, const ModelStructure *structure, const Measured *measured,
                 const VerdictWish *wish, VerdictFix *out, Error *err);
void verdict_fix_free(VerdictFix *fix);

// What comes of a recipe in an engine, in one word.
typedef enum Standing {
    STANDING_UNREAD,   // it does not read the format
    STANDING_LOADS,    // as it is meant
    STANDING_MENDED,   // not yet; verdict_fix mends all of it
    STANDING_MISREADS, // and no recipe mends it
    STANDING_REFUSES,  // likewise
    STANDING_COUNT,
} Standing;

extern const char *const standing_names[]; // "loads"
// plan: of the recipe; wish: of one engine.
bool verdict_standing(const Recipe *recipe, const ModelStructure *structure, const Measured *measured, const Plan *plan,
                      const VerdictWish *wish, Standing *out, Error *err);

// Joins the linears that these engines store as one, and that need one scheme for that: unit [linear_count]
// (quant/units.h), which may have others joined already.
bool verdict_join(const ModelStructure *structure, const VerdictWish *wish, int *unit, Error *err);

bool verdict_wish_equal(const VerdictWish *a, const VerdictWish *b);
bool finding_is_of_scheme(const Finding *finding); // what mends it are bits and groups

// What a recipe is for: engines, each in the format that it is written in for them.
typedef struct Engines {
    VerdictWish wishes[EXPORT_FORMAT_COUNT];
    int count; // 0: for none
} Engines;

Engines engines_of(const VerdictWish *wish);
bool engines_join(const ModelStructure *structure, const Engines *engines, int *unit, Error *err); // as verdict_join

// False, with a reason, where none of them loads the model, whatever the recipe.
bool engines_load(const ModelStructure *structure, const Engines *engines, const Plan *plan, Error *err);

// Keeps a recipe to engines, in place: whatever they refuse or misread is mended as verdict_fix does it. plan: what it
// comes to then, to be freed in any case. refused [linear_count]: linears that they do not take with the bits and
// groups that were asked for, or not at all; the plan has others for these, or leaves them as they are. NULL: that is
// not asked, and it fails where nothing would be left quantized.
bool verdict_keep(const ModelStructure *structure, const Measured *measured, const Engines *engines, Recipe *recipe,
                  Plan *plan, bool *refused, Error *err);
