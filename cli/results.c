#include "cli/results.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

// How long base and quantized model are timed.
#define SPEED_SECONDS 1.0

// ---- on which tokens ----

void scored_print(const Engine *engine, EngineText text, uint64_t tokens) {
    const bool calibration = text == TEXT_CALIBRATION;
    printf("%llu token%s of ", (unsigned long long)tokens, tokens == 1 ? "" : "s");
    print_name(engine_text_name(engine, text), 0);
    puts(engine_text_is_chat(engine, text) ? ", conversations through the chat template" : "");
    if (tokens >= FEWEST_TOKENS) return;
    printf("too few for these figures to mean anything; give a longer text (--%s TEXT) or more of it (--%s %zu)\n",
           calibration ? "calibration" : "text", calibration ? "calibration-tokens" : "tokens",
           calibration ? (size_t)FEWEST_TOKENS : engine_tokens_for(engine, FEWEST_TOKENS));
}

void scored_json(cJSON *object, const Engine *engine, EngineText text, uint64_t tokens) {
    cJSON_AddBoolToObject(object, "too_few_tokens", tokens < FEWEST_TOKENS);
    cJSON_AddStringToObject(object, "text", engine_text_name(engine, text));
    cJSON_AddBoolToObject(object, "chat", engine_text_is_chat(engine, text));
}

// ---- accuracy ----

bool evaluate_plan(const Options *options, Engine *engine, Accuracy *out, Error *err) {
    Progress *progress = watch_start(options);
    const bool ok = engine_follow(engine, engine_plan(engine), NULL, progress, err) &&
                    engine_evaluate(engine, 0, NULL, NULL, out, progress, err);
    watch_end();
    return ok;
}

ModelSize planned_size(const Engine *engine) {
    const Plan *plan = engine_plan(engine);
    return (ModelSize){plan->base_bytes, plan->bytes, plan->bits_per_weight, false};
}

cJSON *accuracy_json(const Accuracy *a, const ModelSize *size, const Engine *engine) {
    cJSON *object = cJSON_CreateObject(), *base, *quantized, *kl, *kl_reverse;
    cJSON_AddNumberToObject(object, "tokens", (double)a->tokens);
    scored_json(object, engine, TEXT_EVALUATION, a->tokens);
    base = cJSON_AddObjectToObject(object, "base");
    json_add_number(base, "ppl", a->base_ppl);
    json_add_number(base, "ppl_second_half", a->base_ppl_half);
    quantized = cJSON_AddObjectToObject(object, "quantized");
    json_add_number(quantized, "ppl", a->ppl);
    json_add_number(quantized, "ppl_second_half", a->ppl_half);
    json_add_number(object, "ln_ppl_ratio", a->ppl_ratio_log);
    json_add_number(object, "ln_ppl_ratio_se", a->ppl_ratio_se);
    kl = cJSON_AddObjectToObject(object, "kl");
    json_add_number(kl, "mean", a->kl_mean);
    json_add_number(kl, "se", a->kl_se);
    json_add_number(kl, "median", a->kl_median);
    json_add_number(kl, "p99", a->kl_p99);
    json_add_number(kl, "max", a->kl_max);
    kl_reverse = cJSON_AddObjectToObject(object, "kl_reverse");
    json_add_number(kl_reverse, "mean", a->kl_reverse_mean);
    json_add_number(kl_reverse, "se", a->kl_reverse_se);
    json_add_number(object, "top1", a->top1);
    json_add_number(object, "top1_se", a->top1_se);
    json_add_number(object, "dp_mean", a->dp_mean);
    json_add_number(object, "dp_mean_se", a->dp_mean_se);
    json_add_number(object, "dp_rms", a->dp_rms);
    json_add_number(object, "dp_rms_se", a->dp_rms_se);
    json_add_bits(object, size->bits_per_weight);
    cJSON_AddNumberToObject(object, "bytes", (double)size->bytes);
    cJSON_AddNumberToObject(object, "base_bytes", (double)size->base_bytes);
    return object;
}

void accuracy_print(const Accuracy *a, const ModelSize *size, const Engine *engine) {
    char before[32], after[32], bits[48], ppl[2][24];
    printf("size          %s %s %s, %s\n", in_megabytes((double)size->base_bytes, before, sizeof before), arrow(),
           in_megabytes((double)size->bytes, after, sizeof after),
           size->stored ? "as stored" : bits_text(size->bits_per_weight, bits, sizeof bits));
    printf("perplexity    %s %s %s", ppl_text(a->base_ppl, ppl[0], sizeof *ppl), arrow(),
           ppl_text(a->ppl, ppl[1], sizeof *ppl));
    if (isfinite(a->ppl_half))
        printf("   (second half of each window: %s %s %s)", ppl_text(a->base_ppl_half, ppl[0], sizeof *ppl), arrow(),
               ppl_text(a->ppl_half, ppl[1], sizeof *ppl));
    putchar('\n');
    printf("ln(ppl ratio) %+.5f +- %.5f\n", a->ppl_ratio_log, a->ppl_ratio_se);
    printf("KL            mean %.5f +- %.5f   median %.5f   99 %% %.4f   max %.4f\n", a->kl_mean, a->kl_se,
           a->kl_median, a->kl_p99, a->kl_max);
    printf("KL reversed   mean %.5f +- %.5f\n", a->kl_reverse_mean, a->kl_reverse_se);
    printf("top-1         %.2f %% +- %.2f %% the same\n", 100 * a->top1, 100 * a->top1_se);
    printf("p(true token) mean %+.5f +- %.5f   RMS %.5f +- %.5f\n", a->dp_mean, a->dp_mean_se, a->dp_rms, a->dp_rms_se);
    printf("on            ");
    scored_print(engine, TEXT_EVALUATION, a->tokens);
}

// ---- texts ----

static const char *prompt_of(const Options *options, const Engine *engine) {
    return options->prompt ? options->prompt : engine_default_prompt(engine);
}

bool prompt_fits(const Options *options, Engine *engine, Error *err) {
    TokenIds ids = {0};
    bool ok = engine_prompt(engine, prompt_of(options, engine), &ids, err) &&
              generate_fits(&engine_structure(engine)->config, ids.count, err);
    token_ids_free(&ids);
    return ok;
}

static bool generate_side(const Options *options, Engine *engine, Transformer *t, const TokenIds *prompt,
                          Generated *out, Text *text, Error *err) {
    size_t most = options->most_tokens ? options->most_tokens : DEFAULT_MOST_TOKENS;
    if (!generate(t, prompt->ids, prompt->count, most, &options->sampling, NULL, NULL, out, watch_start(options), err))
        return engine_blame(engine, err);
    return engine_generated_text(engine, out, text, err);
}

static size_t first_difference(const Generated *a, const Generated *b) {
    size_t n = a->count < b->count ? a->count : b->count, i = 0;
    while (i < n && a->ids[i] == b->ids[i]) i++;
    return i;
}

bool sides_generate(const Options *options, Engine *engine, Sides *out, Error *err) {
    TokenIds ids = {0};
    Transformer *models[2] = {engine_base(engine), engine_quantized(engine)};
    *out = (Sides){.prompt = prompt_of(options, engine),
                   .chat = engine_is_chat(engine),
                   .backend = engine_backend_description(engine)};
    bool ok = engine_prompt(engine, out->prompt, &ids, err);
    for (int i = 0; ok && i < 2; i++)
        ok = generate_side(options, engine, models[i], &ids, &out->generated[i], &out->text[i], err);
    token_ids_free(&ids);
    ok = ok && engine_speed(engine, SPEED_SECONDS, NULL, NULL, &out->speed, watch_start(options), err);
    out->difference = first_difference(&out->generated[0], &out->generated[1]);
    out->same = out->difference == out->generated[0].count && out->difference == out->generated[1].count;
    return ok;
}

void sides_free(Sides *sides) {
    for (int i = 0; i < 2; i++) {
        generated_free(&sides->generated[i]);
        text_free(&sides->text[i]);
    }
}

void spread_json(cJSON *object, const char *key, const Spread *spread) {
    char range[64];
    snprintf(range, sizeof range, "%s_range", key);
    json_add_number(object, key, spread->median);
    cJSON_AddItemToObject(object, range, cJSON_CreateDoubleArray((double[]){spread->least, spread->most}, 2));
}

// "1.52-1.64x"
static const char *spread_text(const Spread *ratio, char *out, size_t size) {
    snprintf(out, size, "%.2f-%.2fx", ratio->least, ratio->most);
    return out;
}

const char *rate_text(double rate, char *out, size_t size) {
    snprintf(out, size, "%.*f", rate < 9.995 ? 2 : rate < 99.95 ? 1 : 0, rate);
    return out;
}

static cJSON *side_json(const Generated *g, const Text *text, const Spread *speed) {
    cJSON *side = cJSON_CreateObject();
    cJSON_AddItemToObject(side, "text", json_from_bytes(text->data, text->length));
    cJSON_AddNumberToObject(side, "tokens", (double)g->count);
    spread_json(side, "tokens_per_second", speed);
    return side;
}

cJSON *sides_json(const Sides *sides) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "prompt", sides->prompt);
    cJSON_AddBoolToObject(object, "chat", sides->chat);
    cJSON_AddItemToObject(object, "base", side_json(&sides->generated[0], &sides->text[0], &sides->speed.first));
    cJSON_AddItemToObject(object, "quantized", side_json(&sides->generated[1], &sides->text[1], &sides->speed.second));
    if (sides->same)
        cJSON_AddNullToObject(object, "first_difference");
    else
        cJSON_AddNumberToObject(object, "first_difference", (double)sides->difference);
    spread_json(object, "speed_ratio", &sides->speed.ratio);
    cJSON_AddStringToObject(object, "backend", sides->backend);
    return object;
}

// Text of a model goes to the terminal: control characters other than line ends do not.
static void print_side(const char *name, const Generated *g, const Text *text, const Spread *speed) {
    char middle[32], least[32], most[32];
    printf("%s, %zu token%s", name, g->count, g->count == 1 ? "" : "s");
    if (speed->median > 0)
        printf(", %s tok/s (%s-%s)", rate_text(speed->median, middle, sizeof middle),
               rate_text(speed->least, least, sizeof least), rate_text(speed->most, most, sizeof most));
    putchar('\n');
    size_t left = text->length;
    for (const char *line = text->data, *end; line; line = end ? end + 1 : NULL) {
        end = left ? memchr(line, '\n', left) : NULL;
        size_t length = end ? (size_t)(end - line) : left;
        left -= length + (end != NULL);
        fputs("    ", stdout);
        char *shown = text_printable(line, length, !output_is_utf8());
        puts(shown ? shown : "");
        free(shown);
    }
}

void sides_print(const Sides *sides) {
    char range[48];
    printf(sides->chat ? "user: " : "prompt: ");
    print_name(sides->prompt, 0);
    printf("\n\n");
    print_side("base", &sides->generated[0], &sides->text[0], &sides->speed.first);
    putchar('\n');
    print_side("quantized", &sides->generated[1], &sides->text[1], &sides->speed.second);
    putchar('\n');
    print_name(sides->backend, 0);
    printf("; ");
    if (sides->same)
        printf("the same text");
    else
        printf("the texts part after %zu token%s", sides->difference, sides->difference == 1 ? "" : "s");
    printf("; %s the speed%s\n", spread_text(&sides->speed.ratio, range, sizeof range),
           decode_speed_is_busy(&sides->speed) ? ", while something else was at work" : "");
}

// ---- points ----

void differences_json(cJSON *object, const char *key, const Differences *d) {
    const struct {
        const char *name;
        Difference of;
    } list[] = {{"kl", d->kl}, {"ln_ppl", d->nll}, {"top1", d->top1}};
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        char name[64];
        snprintf(name, sizeof name, "%s_%s", list[i].name, key);
        json_add_number(object, name, list[i].of.mean);
        snprintf(name, sizeof name, "%s_%s_se", list[i].name, key);
        json_add_number(object, name, list[i].of.se);
    }
}

void differences_print(const Differences *d) {
    printf("position by position: KL %+.5f +- %.5f, ln(ppl) %+.5f +- %.5f, top-1 %+.2f +- %.2f pp\n", d->kl.mean,
           d->kl.se, d->nll.mean, d->nll.se, 100 * d->top1.mean, 100 * d->top1.se);
}

void point_json(cJSON *object, const Point *point) {
    const Accuracy *a = &point->accuracy;
    json_add_bits(object, point->bits_per_weight);
    cJSON_AddNumberToObject(object, "bytes", (double)point->bytes);
    json_add_number(object, "ppl", a->ppl);
    json_add_number(object, "kl", a->kl_mean);
    json_add_number(object, "kl_se", a->kl_se);
    if (point->paired) {
        differences_json(object, "above_best", &point->above_best);
    }
    json_add_number(object, "top1", a->top1);
    if (point->speed.pairs) {
        spread_json(object, "tokens_per_second", &point->speed.second);
        spread_json(object, "speed_ratio", &point->speed.ratio);
    } else
        cJSON_AddNullToObject(object, "tokens_per_second");
    cJSON_AddBoolToObject(object, "pareto", point->pareto);
}

void point_print_header(void) {
    printf("%6s %9s %9s %8s %10s %8s %10s %7s %8s %11s %7s\n", "b/w", "size", "KL", "+-", "above best", "+-",
           "perplexity", "top-1", "tok/s", "of base", "pack s");
}

void best_print(void) {
    printf("above best: KL minus the least KL of these, position by position\n"
           "~ within two standard errors of that row, position by position\n");
}

// A figure that cannot be told from that of the row of the least divergence is marked.
static const char *same_mark(const Point *point, const Difference *above_best) {
    return point->paired && above_best->se > 0 && fabs(above_best->mean) <= 2 * above_best->se ? "~" : " ";
}

void point_print(const Point *point) {
    const Accuracy *a = &point->accuracy;
    char size[32], rate[32], range[48], bits[32] = "-";
    if (point->bits_per_weight > 0) snprintf(bits, sizeof bits, "%.3f", point->bits_per_weight);
    printf("%6s %9s %9.5f %8.5f", bits, in_megabytes((double)point->bytes, size, sizeof size), a->kl_mean, a->kl_se);
    const Differences *above = &point->above_best;
    if (point->paired && above->kl.se > 0)
        printf(" %10.5f%s%8.5f", above->kl.mean, same_mark(point, &above->kl), above->kl.se);
    else
        printf(" %10s %8s", "-", "-");
    printf(" %10.4f%s%6.2f%%%s", a->ppl, same_mark(point, &above->nll), 100 * a->top1, same_mark(point, &above->top1));
    if (point->speed.pairs)
        printf("%8s %11s %7.3f", rate_text(point->speed.second.median, rate, sizeof rate),
               spread_text(&point->speed.ratio, range, sizeof range), point->pack_seconds);
    else
        printf("%8s %11s %7s", "-", "-", "-");
    puts(point->pareto ? " *" : "");
}
