// The model card: what was done to each linear, what it cost, how to load the result.
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "export/export_parts.h"

enum { MOST_ROWS = 2000 }; // of the table; a mixture of experts has far more linears

static const char *input_text(const Decision *d) {
    static const char *const names[] = {[POLICY_NONE] = "16 bit",
                                        [POLICY_STATIC] = "int8, one scale",
                                        [POLICY_TOKEN] = "int8, per token",
                                        [POLICY_CHANNEL] = "int8, per channel"};
    return names[d->activations];
}

static void add_row(const ExportModel *m, int i, Text *out) {
    const Decision *d = &m->plan->decisions[i];
    text_addf(out, "| `%s` | ", m->structure->linears[i].name);
    if (!d->quantized) {
        text_addf(out, "– | – | – | %zu |\n", d->bytes);
        return;
    }
    text_addf(out, "%d | ", d->bits);
    if (d->granularity == GRANULARITY_GROUP)
        text_addf(out, "%zu", d->group);
    else
        text_addf(out, "%s", d->granularity == GRANULARITY_TENSOR ? "tensor" : "channel");
    text_addf(out, " | %s%s | %zu |\n", input_text(d),
              d->lae      ? ", equalized (LAE)"
              : d->smooth ? ", smoothed"
                          : "",
              d->bytes);
}

static void add_table(const ExportModel *m, Text *out) {
    const int count = m->plan->linear_count < MOST_ROWS ? m->plan->linear_count : MOST_ROWS;
    text_addf(out, "## Linears\n\n%d of %d are quantized, at %.3f bits per weight with scales.\n\n",
              m->plan->quantized_count, m->plan->linear_count, m->plan->bits_per_weight);
    text_addf(out, "| linear | bits | group | inputs | bytes |\n| --- | --- | --- | --- | --- |\n");
    for (int i = 0; i < count; i++) add_row(m, i, out);
    if (count < m->plan->linear_count) text_addf(out, "\nand %d more.\n", m->plan->linear_count - count);
}

static void add_accuracy(const ExportAccuracy *a, Text *out) {
    text_addf(out, "## Accuracy\n\n");
    if (!a) {
        text_addf(out, "Not measured.\n\n");
        return;
    }
    text_addf(out,
              "On %llu tokens of %s, with the recipe's activations:\n\n| | before | after |\n| --- | --- | --- |\n"
              "| perplexity | %.4f | %.4f |\n\nMean KL divergence from the model as it was: %.5f",
              (unsigned long long)a->tokens, a->text, a->base_perplexity, a->perplexity, a->kl);
    if (isfinite(a->kl_se)) text_addf(out, " ± %.5f", a->kl_se);
    text_addf(out, ".\n\n");
}

// Of the engines that are known to read the format.
static void add_loading(const Export *x, Text *out) {
    const ExportModel *m = x->model;
    const ExportFormat format = x->options->format;
    const VerdictWish wish = {format, targets_of_format(format), true}; // whatever bits there are, they are written
    Verdict verdict;
    Text ways = {0}, misgivings = {0};
    if (!verdict_make(m->structure, m->measured, m->plan, &wish, &verdict, NULL)) {
        out->failed = true;
        return;
    }
    export_loading(m->structure, format, &verdict, &ways);
    export_misgivings(&verdict, &misgivings);
    text_addf(out, "## How to load it\n\n%s\n\n",
              ways.length ? ways.data : "None of the engines that read this format is known to load this model.");
    if (misgivings.length) text_addf(out, "Not every engine takes it as it is meant:\n\n%s\n", misgivings.data);
    out->failed |= ways.failed || misgivings.failed;
    text_free(&ways);
    text_free(&misgivings);
    verdict_free(&verdict);
}

void model_card(const Export *x, Text *out) {
    const ExportModel *m = x->model;
    const Checkpoint *checkpoint = m->structure->checkpoint;
    const char *format = export_format_names[x->options->format];
    char *recipe = recipe_print(m->recipe);
    front_matter(x, out);
    text_addf(out, "\n# %s%s\n\nWritten by quantdial in the format %s.\n\n", checkpoint->name,
              m->plan->quantized_count ? ", quantized" : "", format);
    add_loading(x, out);
    add_accuracy(m->accuracy, out);
    text_addf(out, "## Recipe\n\n```json\n%s```\n\n", recipe ? recipe : "");
    out->failed |= !recipe;
    add_table(m, out);
    free(recipe);
}
