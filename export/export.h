// Writes a quantized model as a checkpoint that other engines load: the codes that quantize_linear gives, with the
// factors of equalization folded, and everything else as it was.
//
// The output is laid out before its first byte is written: every file, and in it every tensor with its place. Each core
// then takes a few rows after the other, quantizes and writes them, while the system fetches what comes next. So memory
// is bounded however large the model is.
//
// A folder is complete or visibly partial: files of weights are called NAME.partial until they are whole, and
// config.json comes last. quantdial-export.json (journal.c) says how far the work is; the same call goes on from there
// after any end: a stop, a kill, a full disk, a power cut.
//
// Several processes may share the work, on one machine or many: each converts the files of its part, with a journal of
// its own, and `finish` adds what stands beside the weights. Together they write what one process writes.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/progress.h"
#include "export/verdict.h"
#include "quant/plan.h"

// How the model fared, for the model card. Nothing in here is computed by the export.
typedef struct ExportAccuracy {
    const char *text; // "mixed": what it was measured on
    uint64_t tokens;
    double kl, kl_se;                   // mean KL divergence from the model as it was
    double base_perplexity, perplexity; // before and after
} ExportAccuracy;

// What is written. Everything stays the caller's.
typedef struct ExportModel {
    const ModelStructure *structure;
    const Measured *measured; // behind the factors of equalization; NULL when the plan has none
    const Recipe *recipe;     // for the model card
    const Plan *plan;
    const ExportAccuracy *accuracy; // NULL: not measured, and the card says so
} ExportModel;

// The type of matrices that a format writes as numbers. MODEL: that of the embedding.
typedef enum ExportType { EXPORT_TYPE_MODEL, EXPORT_TYPE_BF16, EXPORT_TYPE_F16, EXPORT_TYPE_F32 } ExportType;

typedef struct ExportOptions {
    ExportFormat format;
    ExportType type;
    const char *folder; // made when it is not there; or a file, where the format has one and the path ends as it does
    size_t shard_bytes; // of one file of weights; 0: 4 GB
    bool overwrite;     // replace what the folder holds
    bool verify;        // read back what was written
    bool odd_bits;      // numbers of bits that versions of engines read differently: written all the same
    int part, parts;    // the files of part `part` of so many alone, counted from 1; 0: all of them
    bool finish;        // of parts that are there: all but the weights
} ExportOptions;

typedef struct ExportResult {
    int files;         // of weights; of the part alone, where one was asked for
    uint64_t bytes;    // of these
    uint64_t written;  // by this call; less where it went on
    uint64_t verified; // bytes of weights that were read back, as tensors; 0: none
    bool was_complete; // nothing was left to do
    bool occupied;     // refused for what the folder holds, which `overwrite` would replace
    char warning[512]; // what a user should know; "" nothing
} ExportResult;

// How engines load such a folder, in Markdown, by the verdict on what is written: of those that load it; nothing where
// none does.
void export_loading(const ModelStructure *structure, ExportFormat format, const Verdict *verdict, Text *out);
// What engines refuse or misread of it, a line each: "- refused by vllm: …\n".
void export_misgivings(const Verdict *verdict, Text *out);

// What export_run would do, without doing it.
typedef struct ExportForecast {
    int files;
    uint64_t bytes;         // of the files of weights
    uint64_t left;          // bytes that are not yet in the folder
    uint64_t read;          // bytes of the checkpoint that are read
    uint64_t memory;        // the most that is held beside the page cache
    double room;            // bytes that the disk has left; infinite where it does not say
    double seconds;         // of computing, as measured on some of the matrices; reading and writing may take longer
    double bits_per_weight; // of the quantized linears, with all that is stored for them; NAN: there are none
    const char *stores;     // why those may not be the bits of the plan
    bool occupied;          // as in ExportResult
    bool unwritable;        // refused for the model and the plan, whatever the folder
    char warning[512];
} ExportForecast;

// False with the reason and the remedy where the format cannot hold the plan, or the folder may not be written to or
// has no room. Of the whole: the options name no part.
bool export_forecast(const ExportModel *model, const ExportOptions *options, ExportForecast *out, Error *err);
// "5.00 bits/weight there, by the recipe 4.50: why"; "" where both are the same.
void export_bits_text(const ExportForecast *forecast, const Plan *plan, char *out, size_t size);

#define EXPORT_WORK "writing the model" // as Progress calls it

// Errors beside those: a folder that holds something else (without `overwrite`), a disk without room, errors of
// writing, a stop. All but the first leave what is done, and the same call goes on. Progress counts bytes of the files.
bool export_run(const ExportModel *model, const ExportOptions *options, ExportResult *out, Progress *progress,
                Error *err);
