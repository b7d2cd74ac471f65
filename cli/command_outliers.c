// Channels that exceed the rest, and matrices that need finer groups.
#include <stdlib.h>

#include "analysis/shared_channels.h"
#include "cli/results.h"
#include "kernels/standing_out.h"

#define TOP_CHANNELS 4

// FineQuant's group size (the rule shrink) at these settings of alpha: where even a large one refines, no reasonable
// one does not.
static const double alphas[] = {0.1, 0.3, 0.5};
#define ALPHAS ((int)(sizeof alphas / sizeof *alphas))

typedef struct View {
    const Options *options;
    const Engine *engine;
    const Outliers *found;
    Plan plans[ALPHAS];
} View;

static bool make_plans(View *v, Error *err) {
    Recipe copy;
    if (!recipe_copy(engine_recipe(v->engine), &copy, err)) return false;
    bool ok = true;
    copy.value[DIAL_GRANULARITY] = GRANULARITY_ADAPTIVE;
    copy.value[DIAL_RULE] = RULE_SHRINK;
    for (int a = 0; ok && a < ALPHAS; a++) {
        copy.value[DIAL_ALPHA] = alphas[a];
        ok = engine_make_plan(v->engine, &copy, &v->plans[a], err);
    }
    recipe_free(&copy);
    return ok;
}

static const Linear *linear_of(const View *v, int linear) { return &engine_structure(v->engine)->linears[linear]; }
static const char *name_of(const View *v, int linear) { return linear_of(v, linear)->name; }

static bool always_finer(const View *v, int linear) {
    for (int a = 0; a < ALPHAS; a++) {
        const Decision *d = &v->plans[a].decisions[linear];
        if (!d->quantized || d->group >= linear_of(v, linear)->in) return false;
    }
    return true;
}

static bool outlier_shown(const View *v, int linear) { return match_shows(v->options, linear_of(v, linear)); }

// ---- JSON ----

static cJSON *input_json(const View *v, const InputOutliers *input) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", name_of(v, input->linear));
    cJSON_AddStringToObject(object, "role", role_name(linear_of(v, input->linear)->role));
    json_add_number(object, "median", (double)input->median);
    if (input->top_head >= 0) {
        cJSON_AddNumberToObject(object, "top_head", input->top_head);
        json_add_number(object, "top_head_ratio", input->top_head_ratio);
    }
    cJSON *channels = cJSON_AddArrayToObject(object, "channels");
    for (size_t c = 0; c < input->count; c++) {
        cJSON *channel = cJSON_CreateObject();
        cJSON_AddNumberToObject(channel, "index", input->channels[c].channel);
        json_add_number(channel, "absmax", (double)input->channels[c].absmax);
        json_add_number(channel, "ratio", input->channels[c].ratio);
        json_add_number(channel, "token_share", input->channels[c].token_share);
        cJSON_AddItemToArray(channels, channel);
    }
    return object;
}

static cJSON *weight_json(const View *v, int linear) {
    const WeightOutliers *w = &v->found->weights[linear];
    cJSON *object = cJSON_CreateObject(), *groups;
    cJSON_AddStringToObject(object, "name", name_of(v, linear));
    cJSON_AddNumberToObject(object, "columns", (double)w->columns);
    cJSON_AddNumberToObject(object, "top_column", w->top_column);
    json_add_number(object, "top_ratio", w->top_ratio);
    if (w->top_head >= 0) {
        cJSON_AddNumberToObject(object, "top_head", w->top_head);
        json_add_number(object, "top_head_ratio", w->top_head_ratio);
    }
    groups = cJSON_AddArrayToObject(object, "group_sizes"); // at alpha 0.1, 0.3, 0.5
    for (int a = 0; a < ALPHAS; a++)
        cJSON_AddItemToArray(groups, cJSON_CreateNumber((double)v->plans[a].decisions[linear].group));
    cJSON_AddBoolToObject(object, "always_finer", always_finer(v, linear));
    return object;
}

static cJSON *outliers_json(const View *v) {
    const Outliers *found = v->found;
    cJSON *object = cJSON_CreateObject(), *inputs, *weights, *recurring;
    json_add_number(object, "factor", found->factor);
    cJSON_AddNumberToObject(object, "tokens", (double)found->tokens);
    scored_json(object, v->engine, TEXT_CALIBRATION, found->tokens);
    inputs = cJSON_AddArrayToObject(object, "inputs");
    for (int i = 0; i < found->input_count; i++) {
        if (outlier_shown(v, found->inputs[i].linear)) cJSON_AddItemToArray(inputs, input_json(v, &found->inputs[i]));
    }
    recurring = cJSON_AddArrayToObject(object, "recurring");
    for (size_t c = 0; c < found->recurring_count; c++) {
        cJSON *channel = cJSON_CreateObject();
        cJSON_AddNumberToObject(channel, "index", found->recurring[c].channel);
        cJSON_AddNumberToObject(channel, "inputs", found->recurring[c].inputs);
        json_add_number(channel, "largest_ratio", found->recurring[c].largest_ratio);
        json_add_number(channel, "largest_token_share", found->recurring[c].largest_token_share);
        cJSON_AddItemToArray(recurring, channel);
    }
    cJSON_AddNumberToObject(object, "norm_inputs", found->norm_inputs);
    weights = cJSON_AddArrayToObject(object, "weights");
    for (int i = 0; i < found->linear_count; i++) {
        if (outlier_shown(v, i)) cJSON_AddItemToArray(weights, weight_json(v, i));
    }
    return object;
}

// ---- Text ----

static void print_input(const View *v, const InputOutliers *input) {
    print_name(name_of(v, input->linear), 34);
    printf(" %5zu %9.4g ", input->count, (double)input->median);
    if (input->top_head >= 0)
        printf(" %3d %5.1fx ", input->top_head, input->top_head_ratio);
    else
        printf(" %10s ", "");
    for (size_t c = 0; c < input->count && c < TOP_CHANNELS; c++) {
        const OutlierChannel *channel = &input->channels[c];
        printf(" %u (%.0fx, %.3g %%)", channel->channel, channel->ratio, 100 * channel->token_share);
    }
    putchar('\n');
}

static void print_roles(const View *v) {
    size_t count[ROLE_COUNT] = {0}, channels[ROLE_COUNT] = {0};
    for (int i = 0; i < v->found->input_count; i++) {
        const InputOutliers *input = &v->found->inputs[i];
        LinearRole role = linear_of(v, input->linear)->role;
        count[role] += input->count;
        channels[role] += input->width;
    }
    printf("\nby the role of the first reader:");
    for (int role = 0; role < ROLE_COUNT; role++) {
        if (channels[role]) {
            printf("  %s %zu (%.2g %%)", role_name((LinearRole)role), count[role],
                   100 * (double)count[role] / (double)channels[role]);
        }
    }
    putchar('\n');
}

static void print_recurring(const View *v) {
    const Outliers *found = v->found;
    printf("\nthe same channel of the residual stream, in how many of %d inputs that a norm feeds:\n",
           found->norm_inputs);
    for (size_t c = 0; c < found->recurring_count && c < 10; c++) {
        const RecurringChannel *channel = &found->recurring[c];
        printf("  channel %5u  %3d inputs   up to %.0fx the median, in up to %.3g %% of the tokens\n", channel->channel,
               channel->inputs, channel->largest_ratio, 100 * channel->largest_token_share);
    }
    if (!found->recurring_count) printf("  none\n");
}

static void print_weight(const View *v, int linear) {
    const WeightOutliers *w = &v->found->weights[linear];
    print_name(name_of(v, linear), 34);
    printf(" %5zu %7u %7.1fx ", w->columns, w->top_column, w->top_ratio);
    if (w->top_head >= 0)
        printf(" %3d %5.1fx ", w->top_head, w->top_head_ratio);
    else
        printf(" %10s ", "");
    for (int a = 0; a < ALPHAS; a++) {
        char group[32];
        decision_group_text(&v->plans[a].decisions[linear], group, sizeof group);
        printf(" %7s", group);
    }
    puts(always_finer(v, linear) ? "  always finer" : "");
}

static void print_outliers(const View *v) {
    const Outliers *found = v->found;
    printf("activations: channels above %g times the median\n\n%-34s %5s %9s  %10s  %s\n", found->factor, "input of",
           "count", "median", "top head", "largest (times, tokens)");
    for (int i = 0; i < found->input_count; i++) {
        if (outlier_shown(v, found->inputs[i].linear)) print_input(v, &found->inputs[i]);
    }
    print_roles(v);
    print_recurring(v);
    printf("\nweights: columns above %g times the median; group sizes at alpha 0.1, 0.3, 0.5\n\n", found->factor);
    printf("%-34s %5s %7s %8s  %10s  %7s %7s %7s\n", "linear", "count", "largest", "times", "top head", "0.1", "0.3",
           "0.5");
    for (int i = 0; i < found->linear_count; i++) {
        if (outlier_shown(v, i)) print_weight(v, i);
    }
    printf("\ntimes: the largest magnitude of a channel in any token, to that of the median channel, before any factor "
           "(LAE, smooth)\ntokens: share of those in which the channel is above %d times the mean magnitude of the "
           "token\n",
           STANDS_OUT);
    scored_print(v->engine, TEXT_CALIBRATION, found->tokens);
}

bool command_outliers(const Options *options, Error *err) {
    Engine *engine;
    Outliers found = {0};
    double factor = options->factor > 0 ? options->factor : OUTLIER_FACTOR;
    bool ok = open_prepared(options, true, true, &engine, err) &&
              engine_outliers(engine, factor, &found, watch_start(options), err);
    View view = {.options = options, .engine = engine, .found = &found};
    ok = ok && make_plans(&view, err);
    watch_end();
    if (ok && options->json) print_json(outliers_json(&view));
    if (ok && !options->json) print_outliers(&view);
    for (int a = 0; a < ALPHAS; a++) plan_free(&view.plans[a]);
    outliers_free(&found);
    engine_close(engine);
    return ok;
}
