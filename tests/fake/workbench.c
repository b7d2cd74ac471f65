#include "tests/fake/workbench.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "analysis/cache_write.h"
#include "base/array.h"
#include "base/clock.h"
#include "base/random.h"
#include "workbench/history.h"

enum {
    LAYERS = 6,
    PER_LAYER = 7,
    LINEARS = LAYERS * PER_LAYER + 1,
    HIDDEN = 64,
    FFN = 192,
    VOCAB = 128,
    FIRST_TOKENS = 1024,
    TOKENS = 16384,
    POSITIONS = 2048
};

// FAKE_PACE=8: time passes so many times as fast, for tests that do not look at jobs on their way.
static double look_at_clock(void) {
    const char *pace = getenv("FAKE_PACE");
    return clock_seconds() * (pace ? strtod(pace, NULL) : 1);
}

// When something last happened. What is shown is of one moment: a job has not ended in a picture whose figures are
// those from before its end.
static double now;

#define CALIBRATE_SECONDS 0.6
#define ACCURACY_SECONDS 0.5
#define DECODE_SECONDS 0.4
#define FORECAST_SECONDS 0.2
#define EXPORT_SECONDS 1.6 // half of it is reading back

static const char base_text[] =
    " Mira put the lantern on the table and waited for the rain to stop. “It will not be long,” she said.";
static const char quantized_text[] =
    " Mira put the lantern on the table and looked for the rain to stop. “It will not be long,” she said.";

struct Workbench {
    ModelStructure structure;
    Checkpoint checkpoint;
    Tensor tensors[LINEARS];
    Linear linears[LINEARS];
    char names[LINEARS][64];
    ModelStats stats;
    History history;
    Plan plan;
    uint64_t turn;
    Effect effect;
    double output_sqnr[LINEARS], weight_sqnr[LINEARS];
    float by_position[POSITION_FIGURES * POSITIONS];
    Why why;
    int looked_at;
    char *prompt;
    double opened, turned, prompted;
    bool calibrated, stopped, fails, provisional;
    int timer;
    Verdict verdict;
    struct {
        ExportFormat format;
        char *folder;
        double asked;
    } forecast;
    struct {
        bool asked, overwrite, was_stopped;
        ExportFormat format;
        char *folder;
        Recipe recipe;
        uint64_t turn;
        double started; // as if it had gone on since then without a stop
        double share;   // of writing and reading, where it was stopped
        JobState state;
        double bits_per_weight;
    } export;
};

// ---- the model ----------------------------------------------------------------------------------------------------

static void *weights_new(Random *random, size_t out, size_t in, bool outliers) {
    uint16_t *data = array_new(out * in, sizeof *data);
    for (size_t i = 0; data && i < out * in; i++) {
        double value = random_normal(random) * 0.04;
        if (outliers && random_below(random, 400) == 0) value *= 30;
        data[i] = float_to_bf16((float)value);
    }
    return data;
}

static bool add_linear(Workbench *w, Random *random, int i, LinearRole role, int layer, const char *name, size_t out,
                       size_t in) {
    static const int input_of[PER_LAYER] = {0, 0, 0, 1, 2, 2, 3};
    const size_t bytes = out * in * sizeof(uint16_t);
    snprintf(w->names[i], sizeof w->names[i], layer < 0 ? "%s" : "model.layers.%2$d.%1$s", name, layer);
    w->tensors[i] = (Tensor){
        .name = w->names[i], .dtype = DTYPE_BF16, .rank = 2, .shape = {out, in}, .bytes = bytes, .file = "fake"};
    w->tensors[i].data = weights_new(random, out, in, role == ROLE_DOWN || (role == ROLE_Q && layer == 3));
    w->linears[i] = (Linear){.name = w->names[i],
                             .role = role,
                             .layer = layer,
                             .expert = -1,
                             .out = out,
                             .in = in,
                             .weight = &w->tensors[i],
                             .input = layer < 0 ? LAYERS * 4 : layer * 4 + input_of[role],
                             .fused_set = -1,
                             .quantizable = layer >= 0};
    w->structure.parameters += out * in;
    w->checkpoint.bytes += bytes;
    return w->tensors[i].data != NULL;
}

static bool build_structure(Workbench *w, Error *err) {
    static char path[] = "samples/storyteller";
    static const char *const names[PER_LAYER] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                                 "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                                 "mlp.down_proj"};
    Random random = random_seeded(7);
    bool ok = true;
    for (int i = 0; i < LAYERS * PER_LAYER; i++) {
        const LinearRole role = (LinearRole)(i % PER_LAYER);
        const size_t out = role == ROLE_GATE || role == ROLE_UP ? FFN : HIDDEN, in = role == ROLE_DOWN ? FFN : HIDDEN;
        ok = add_linear(w, &random, i, role, i / PER_LAYER, names[role], out, in) && ok;
    }
    ok = add_linear(w, &random, LINEARS - 1, ROLE_HEAD, -1, "lm_head", VOCAB, HIDDEN) && ok;
    w->checkpoint.path = path;
    w->structure.config = (ModelConfig){.family = "llama", .layers = LAYERS, .hidden = HIDDEN, .dtype = DTYPE_BF16};
    w->structure.checkpoint = &w->checkpoint;
    w->structure.linears = w->linears;
    w->structure.linear_count = LINEARS;
    w->structure.input_count = LAYERS * 4 + 1;
    w->structure.head = LINEARS - 1;
    return ok || error_memory(err, "the weights");
}

// ---- what is measured ---------------------------------------------------------------------------------------------

// Ranges of all three classes: growing with the layer, largest before down.
static bool invent_input(Workbench *w, int input, size_t width, Random *random) {
    InputStats *s = &w->stats.inputs[input];
    s->channel_absmax = array_new(width, sizeof *s->channel_absmax);
    if (!s->channel_absmax) return false;
    const double scale = 1.5 + 1.2 * (input / 4);
    for (size_t j = 0; j < width; j++) s->channel_absmax[j] = (float)(scale * (1 + fabs(random_normal(random))));
    if (input % 4 == 3) s->channel_absmax[17] = (float)(40 * pow(2, input / 4) + 6.5);
    if (input % 4 == 2) s->channel_absmax[5] = (float)(20 + 10 * (input / 4));
    for (size_t j = 0; j < width; j++) s->range = fmaxf(s->range, s->channel_absmax[j]);
    for (int i = 0; i < MAGNITUDE_BINS; i++) {
        const double x = magnitude_edge(i) / scale;
        if (magnitude_edge(i) <= s->range) s->magnitude[i] = (uint64_t)(1e5 * x * exp(-x * x) + (x < 0.001 ? 0 : 1));
    }
    s->width = width;
    s->tokens = TOKENS;
    s->p99 = (float)scale * 2;
    s->p99_9 = (float)scale * 3;
    s->p99_99 = s->range;
    s->known = true;
    w->stats.measured.inputs[input] = (InputMeasure){.known = true,
                                                     .provisional = w->provisional,
                                                     .tokens = TOKENS,
                                                     .width = width,
                                                     .range = s->range,
                                                     .channel_absmax = s->channel_absmax};
    return true;
}

static bool invent_inputs(Workbench *w, Error *err) {
    Random random = random_seeded(11);
    for (int i = 0; i < w->structure.input_count; i++) {
        if (!invent_input(w, i, i % 4 == 3 ? FFN : HIDDEN, &random)) return error_memory(err, "the inputs");
    }
    return true;
}

static bool plan(Workbench *w, Error *err) {
    Plan made = {0};
    if (!plan_make(history_now(&w->history), &w->structure, w->calibrated ? &w->stats.measured : NULL, &made, err))
        return false;
    plan_free(&w->plan);
    w->plan = made;
    return true;
}

// ---- opening ------------------------------------------------------------------------------------------------------

static void watch_clock(Workbench *w, bool on) {
    const struct itimerspec each = {.it_interval.tv_nsec = on ? 25000000 : 0, .it_value.tv_nsec = on ? 25000000 : 0};
    timerfd_settime(w->timer, 0, &each, NULL);
}

static bool build(Workbench *w, const WorkbenchOptions *options, Error *err) {
    Recipe recipe;
    if (!build_structure(w, err) || !model_stats_new(&w->structure, &w->stats, err)) return false;
    for (int i = 0; i < LINEARS; i++) {
        if (!weight_stats_measure(&w->structure, i, &w->stats, err)) return false;
    }
    if (!(options->recipe ? recipe_load(options->recipe, &recipe, err) : recipe_default(&recipe, err))) return false;
    if (!history_start(&w->history, &recipe, err) || !plan(w, err)) return false;
    w->prompt = strdup(options->prompt ? options->prompt : "Once upon a time");
    w->fails = getenv("FAKE_FAILURE") != NULL;
    if (getenv("FAKE_FULL_DISK")) cache_write("/proc/no-folder", "/proc/no-folder/x", &(Text){0}, NULL);
    w->provisional = getenv("FAKE_PROVISIONAL") != NULL; // calibration comes no further than its first tokens
    w->opened = w->turned = w->prompted = now = look_at_clock();
    w->turn = 1;
    w->export.state = JOB_DONE;
    w->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    watch_clock(w, true);
    return w->prompt != NULL;
}

bool fake_workbench_open(const WorkbenchOptions *options, Workbench **out, Error *err) {
    Workbench *w = array_new(1, sizeof *w);
    if (!w) return error_memory(err, "the workbench");
    *out = w;
    if (build(w, options, err)) return true;
    workbench_close(w);
    return false;
}

bool workbench_open(const WorkbenchOptions *options, Workbench **out, Error *err) {
    return fake_workbench_open(options, out, err);
}

void workbench_close(Workbench *w) {
    for (int i = 0; i < LINEARS; i++) free((void *)(uintptr_t)w->tensors[i].data);
    model_stats_free(&w->stats);
    history_free(&w->history);
    plan_free(&w->plan);
    verdict_free(&w->verdict);
    free(w->forecast.folder);
    free(w->export.folder);
    recipe_free(&w->export.recipe);
    free(w->prompt);
    free(w->effect.base.text);
    free(w->effect.quantized.text);
    close(w->timer);
    free(w);
}

// ---- time passes --------------------------------------------------------------------------------------------------

static double share_since(double start, double seconds) { return fmin(1, (now - start) / seconds); }

// Accuracy follows when the model is calibrated; each turn starts it anew.
static double accuracy_start(const Workbench *w) { return fmax(w->turned, w->opened + CALIBRATE_SECONDS); }

static double invented_divergence(const Workbench *w) {
    double sum = 0;
    for (int i = 0; i < LINEARS; i++) {
        const Decision *d = &w->plan.decisions[i];
        if (d->quantized)
            sum += pow(4, 4 - d->bits) * sqrt((double)d->group / HIDDEN) *
                   (d->activations == POLICY_STATIC && !d->lae ? 1.1 : 1);
    }
    return 0.011 * sum / (LINEARS - 1);
}

static void score(Workbench *w, double share) {
    Accuracy *a = &w->effect.accuracy;
    const double kl = invented_divergence(w);
    *a = (Accuracy){.planned = 2048,
                    .tokens = (uint64_t)(2048 * share),
                    .base_ppl = 2.412,
                    .base_ppl_half = 2.401,
                    .kl_mean = kl,
                    .kl_se = kl / sqrt(2048 * share),
                    .kl_reverse_mean = kl * 0.9,
                    .kl_median = kl / 2,
                    .kl_p99 = kl * 9,
                    .kl_max = kl * 40,
                    .top1 = 1 - 2 * kl,
                    .top1_se = 0.003};
    a->ppl = a->base_ppl * exp(kl);
    a->ppl_ratio_log = kl;
    a->ppl_ratio_se = 3 * a->kl_se;
    w->effect.accuracy_known = true;
    w->effect.accuracy_turn = w->turn;
    w->effect.accuracy_finished = share >= 1;
    for (int i = 0; i < POSITIONS; i++) {
        w->by_position[POSITION_KL * POSITIONS + i] = (float)(kl * (0.5 + i % 97 / 96.0));
        w->by_position[POSITION_NLL * POSITIONS + i] = (float)(log(a->base_ppl) + kl * (0.5 + i % 89 / 88.0));
        w->by_position[POSITION_TOP1 * POSITIONS + i] = i % 1000 >= 2000 * kl;
    }
    w->effect.by_position = w->by_position;
    w->effect.positions = POSITIONS;
    w->why = (Why){.signal = 1,
                   .weights = 0.003,
                   .input = 0.009,
                   .both = 0.012,
                   .column = 7,
                   .column_share = 0.42,
                   .channel = 17,
                   .channel_absmax = 300,
                   .channel_ratio = 61.5};
    w->effect.why = &w->why;
    w->effect.why_turn = w->turn;
    w->effect.why_linear = w->looked_at;
    w->effect.output_sqnr_db = w->output_sqnr;
    w->effect.weight_sqnr_db = w->weight_sqnr;
    w->effect.sqnr_turn = w->turn;
    for (int i = 0; i < LINEARS; i++) {
        const Decision *d = &w->plan.decisions[i];
        w->weight_sqnr[i] = d->quantized ? 6.02 * d->bits - 0.5 * log2((double)d->group) : NAN;
        w->output_sqnr[i] = d->quantized ? w->weight_sqnr[i] - (i % 5) : NAN;
    }
}

// Speeds of one turn lie within 6 % of their middle.
static void invent_speed(Workbench *w) {
    const double base = 812, quantized = 2210 - 100 * w->plan.bits_per_weight, ratio = quantized / base;
    w->effect.speed = (DecodeSpeed){.first = {base, base * 0.97, base * 1.03},
                                    .second = {quantized, quantized * 0.97, quantized * 1.03},
                                    .ratio = {ratio, ratio * 0.94, ratio * 1.06},
                                    .pairs = 12};
    w->effect.speed_turn = w->turn;
    w->effect.speed_finished = w->effect.quantized.finished;
}

static void tell(DecodeText *d, const char *text, double share) {
    free(d->text);
    size_t length = (size_t)((double)strlen(text) * share);
    while (length && ((unsigned char)text[length] & 0xC0) == 0x80) length--;
    d->text = strndup(text, length);
    d->count = length / 4;
    d->known = true;
    d->finished = share >= 1;
}

static bool is_full(const char *folder) { return strstr(folder, "full") != NULL; }

static double export_share(const Workbench *w) { return share_since(w->export.started, EXPORT_SECONDS); }

// It waits for the calibration; in a folder named "full" it comes half through the writing, once, and into one named
// "slow" it writes until it is stopped.
static void advance_export(Workbench *w) {
    if (w->export.state == JOB_WAITING && w->calibrated) {
        w->export.state = JOB_RUNNING;
        w->export.started = now - w->export.share * EXPORT_SECONDS;
        if (w->export.share == 0) w->export.bits_per_weight = w->plan.bits_per_weight;
    }
    if (w->export.state != JOB_RUNNING) return;
    const bool slow = strstr(w->export.folder, "slow") && !w->export.was_stopped;
    w->export.share = slow ? fmin(export_share(w), 0.4) : export_share(w);
    if (is_full(w->export.folder) && w->export.share < 0.3 && w->export.share >= 0.25) w->export.state = JOB_FAILED;
    if (w->export.share >= 1) w->export.state = JOB_DONE;
}

bool workbench_update(Workbench *w) {
    uint64_t ticks;
    if (read(w->timer, &ticks, sizeof ticks) < 0) ticks = 0;
    now = look_at_clock();
    advance_export(w);
    if (w->stopped) {
        watch_clock(w, false);
        return false;
    }
    Error err = {0};
    if (!w->calibrated && !w->fails && share_since(w->opened, CALIBRATE_SECONDS) >= 1) {
        w->calibrated = invent_inputs(w, &err);
        plan(w, &err);
    }
    if (w->calibrated && share_since(accuracy_start(w), ACCURACY_SECONDS) > 0.1)
        score(w, share_since(accuracy_start(w), ACCURACY_SECONDS));
    tell(&w->effect.base, base_text, share_since(w->prompted, DECODE_SECONDS));
    const double start = fmax(accuracy_start(w), w->prompted) + ACCURACY_SECONDS / 2;
    if (w->calibrated && now > start) {
        tell(&w->effect.quantized, quantized_text, share_since(start, DECODE_SECONDS));
        w->effect.decode_turn = w->turn;
        invent_speed(w);
    }
    if (!workbench_busy(w)) watch_clock(w, false);
    return true;
}

static bool export_is_on_its_way(const Workbench *w) {
    return w->export.state == JOB_RUNNING || w->export.state == JOB_WAITING;
}

bool workbench_busy(const Workbench *w) {
    if (export_is_on_its_way(w) || (w->forecast.folder && now < w->forecast.asked + FORECAST_SECONDS)) return true;
    if (w->stopped || w->fails) return false;
    return !w->calibrated || w->effect.accuracy_turn != w->turn || !w->effect.accuracy_finished ||
           w->effect.decode_turn != w->turn || !w->effect.quantized.finished;
}

int workbench_fd(const Workbench *w) { return w->timer; }

// ---- reading ------------------------------------------------------------------------------------------------------

const ModelStructure *workbench_structure(const Workbench *w) { return &w->structure; }
const char *workbench_backend(const Workbench *w) { return (void)w, "cpu avx512 ×2"; }
const WeightStats *workbench_weight_stats(const Workbench *w, int linear) {
    return now > w->opened + 0.005 * linear ? &w->stats.weights[linear] : NULL;
}
const InputStats *workbench_input_stats(const Workbench *w, int linear) {
    return w->calibrated ? &w->stats.inputs[w->linears[linear].input] : NULL;
}
uint64_t workbench_calibration_tokens(const Workbench *w) {
    return !w->calibrated ? 0 : w->provisional ? FIRST_TOKENS : TOKENS;
}
uint64_t workbench_calibration_planned(const Workbench *w) { return w->calibrated ? TOKENS : 0; }
const char *workbench_text(const Workbench *w, EngineText text) {
    (void)w;
    (void)text;
    return "mixed";
}
bool workbench_is_chat(const Workbench *w) {
    (void)w;
    return getenv("FAKE_CHAT") != NULL;
}
bool workbench_text_is_chat(const Workbench *w, EngineText text) {
    (void)text;
    return workbench_is_chat(w);
}
const Recipe *workbench_recipe(const Workbench *w) { return history_now(&w->history); }
const Plan *workbench_plan(const Workbench *w) { return &w->plan; }
uint64_t workbench_turn(const Workbench *w) { return w->turn; }
uint64_t workbench_changes(const Workbench *w) { return w->turn; }
const Effect *workbench_effect(const Workbench *w) { return &w->effect; }

void workbench_look(Workbench *w, int linear) { w->looked_at = w->effect.why_linear = linear; }
const char *workbench_prompt(const Workbench *w) { return w->prompt; }
bool workbench_saved(const Workbench *w) { return w->history.saved == w->history.now; }

static void export_job(const Workbench *w, JobView *out) {
    const double twice = 2 * w->export.share;
    out->state = w->export.asked ? w->export.state : JOB_DONE;
    out->share = twice > 1 ? twice - 1 : twice;
    if (out->state == JOB_RUNNING) {
        out->seconds = out->share * EXPORT_SECONDS / 2;
        out->seconds_left = EXPORT_SECONDS / 2 - out->seconds;
    }
    if (out->state == JOB_FAILED)
        snprintf(out->message, sizeof out->message,
                 "%s: cannot be written: No space left on device; 0.01 GB are missing: make room and run the same "
                 "command again, it goes on where it was",
                 w->export.folder);
}

void workbench_job(const Workbench *w, JobKind kind, JobView *out) {
    static const char *const names[JOB_COUNT] = {"weights", "calibrate", "quantize", "accuracy", "decode",
                                                 "errors",  "speed",     "estimate", "convert"};
    *out = (JobView){.kind = kind, .name = names[kind], .state = JOB_DONE, .share = 1, .seconds_left = -1};
    if (kind == JOB_EXPORT) {
        export_job(w, out);
        return;
    }
    const double start = kind == JOB_CALIBRATE ? w->opened : accuracy_start(w),
                 length = kind == JOB_CALIBRATE ? CALIBRATE_SECONDS : ACCURACY_SECONDS;
    const double share = share_since(start, length);
    if ((kind != JOB_CALIBRATE && kind != JOB_ACCURACY) || (kind == JOB_CALIBRATE ? w->calibrated : share >= 1)) return;
    out->state = w->stopped ? JOB_STOPPED : share >= 0 ? JOB_RUNNING : JOB_WAITING;
    out->share = fmax(share, 0);
    out->seconds = now - start;
    out->seconds_left = length - out->seconds;
    if (!w->fails || kind != JOB_CALIBRATE) return;
    out->state = JOB_FAILED;
    snprintf(out->message, sizeof out->message, "the calibration text is not there");
}

// ---- turning ------------------------------------------------------------------------------------------------------

static bool turned(Workbench *w, bool changed, Error *err) {
    if (!changed) return false;
    w->turn++;
    w->turned = now = look_at_clock();
    w->stopped = false;
    watch_clock(w, true);
    return plan(w, err);
}

static bool push(Workbench *w, Recipe *recipe, Error *err) {
    return turned(w, history_push(&w->history, recipe, err), err);
}

bool workbench_set(Workbench *w, int linear, Dial dial, const double *value, Error *err) {
    Recipe recipe;
    if (linear >= 0 && !dial_table[dial].per_linear)
        return error_set(err, "%s holds for the whole model", dial_table[dial].label);
    if (!recipe_copy(history_now(&w->history), &recipe, err)) return false;
    if (linear < 0)
        recipe.value[dial] = value ? *value : dial_table[dial].default_value;
    else if (!recipe_override(&recipe, w->linears[linear].name, dial, value, err)) {
        recipe_free(&recipe);
        return false;
    }
    return push(w, &recipe, err);
}

bool workbench_toggle_ignore(Workbench *w, int linear, Error *err) {
    Recipe recipe;
    const char *name = w->linears[linear].name;
    if (!recipe_copy(history_now(&w->history), &recipe, err)) return false;
    for (int i = 0; i < recipe.ignore_count; i++) {
        if (strcmp(recipe.ignore[i], name) != 0) continue;
        free(recipe.ignore[i]);
        recipe.ignore[i] = recipe.ignore[--recipe.ignore_count];
        return push(w, &recipe, err);
    }
    char **grown = realloc(recipe.ignore, (size_t)(recipe.ignore_count + 1) * sizeof *grown);
    if (!grown) {
        recipe_free(&recipe);
        return error_memory(err, "the list of linears left alone");
    }
    recipe.ignore = grown;
    recipe.ignore[recipe.ignore_count++] = strdup(name);
    return push(w, &recipe, err);
}

bool workbench_undo(Workbench *w) { return turned(w, history_undo(&w->history), NULL); }
bool workbench_redo(Workbench *w) { return turned(w, history_redo(&w->history), NULL); }

bool workbench_load(Workbench *w, const char *path, Error *err) {
    Recipe recipe;
    if (!recipe_load(path, &recipe, err) || !push(w, &recipe, err)) return false;
    w->history.saved = w->history.now;
    return true;
}

bool workbench_restore(Workbench *w, const Recipe *recipe, Error *err) {
    Recipe copy;
    return recipe_copy(recipe, &copy, err) && push(w, &copy, err);
}

bool workbench_save(Workbench *w, const char *path, Error *err) {
    if (!recipe_save(history_now(&w->history), path, err)) return false;
    w->history.saved = w->history.now;
    return true;
}

void workbench_set_prompt(Workbench *w, const char *prompt) {
    char *copy = strdup(prompt);
    if (!copy) return;
    free(w->prompt);
    w->prompt = copy;
    w->prompted = now = look_at_clock();
    w->effect.quantized.finished = false;
    watch_clock(w, true);
}

void workbench_stop_job(Workbench *w, JobKind kind) {
    if (kind == JOB_EXPORT) {
        w->export.state = JOB_STOPPED;
        w->export.was_stopped = true;
    } else {
        w->stopped = true;
    }
}

void workbench_restart_jobs(Workbench *w) {
    w->stopped = false;
    w->turned = now = look_at_clock();
    watch_clock(w, true);
}

// ---- export -------------------------------------------------------------------------------------------------------

const Verdict *workbench_verdict(Workbench *w, ExportFormat format) {
    verdict_free(&w->verdict);
    return verdict_make(&w->structure, NULL, &w->plan, format, targets_of_format(format), &w->verdict, NULL)
               ? &w->verdict
               : NULL;
}

bool workbench_fix(Workbench *w, ExportFormat format, Targets targets, Text *changes, Error *err) {
    VerdictFix fix;
    const Measured *measured = w->calibrated ? &w->stats.measured : NULL;
    *changes = (Text){0};
    bool ok = verdict_fix(history_now(&w->history), &w->structure, measured, format, targets, &fix, err);
    if (ok && fix.change_count) {
        *changes = fix.changes;
        fix.changes = (Text){0};
        ok = push(w, &fix.recipe, err);
    }
    verdict_fix_free(&fix);
    return ok;
}

void workbench_look_at_export(Workbench *w, ExportFormat format, const char *folder) {
    free(w->forecast.folder);
    w->forecast.folder = folder ? strdup(folder) : NULL;
    w->forecast.format = format;
    w->forecast.asked = now = look_at_clock();
    watch_clock(w, true);
}

// A folder named "taken" holds something else.
void workbench_forecast(const Workbench *w, ForecastView *out) {
    *out = (ForecastView){0};
    if (!w->forecast.folder || now < w->forecast.asked + FORECAST_SECONDS) return;
    const bool done = w->export.asked && w->export.state == JOB_DONE;
    *out = (ForecastView){
        .known = true,
        .room = 12.3e9,
        .forecast = {
            .files = 1, .bytes = w->plan.bytes, .left = done ? 0 : w->plan.bytes, .memory = 25e6, .seconds = 3}};
    if (!strstr(w->forecast.folder, "taken")) return;
    out->refused = out->replaces = true;
    snprintf(out->message, sizeof out->message,
             "%s: is not empty; name another folder with -o, or replace what it holds with --overwrite",
             w->forecast.folder);
}

bool workbench_export_on(Workbench *w, Error *err) {
    if (!w->export.asked || export_is_on_its_way(w)) return error_set(err, "a model is being written already");
    w->export.state = JOB_WAITING;
    if (w->export.share >= 0.25) w->export.share += 0.05; // room was made
    watch_clock(w, true);
    return true;
}

bool workbench_export(Workbench *w, ExportFormat format, const char *folder, bool overwrite, Error *err) {
    if (export_is_on_its_way(w)) return error_set(err, "a model is being written already");
    free(w->export.folder);
    recipe_free(&w->export.recipe);
    w->export.asked = true;
    w->export.overwrite = overwrite;
    w->export.format = format;
    w->export.folder = strdup(folder);
    w->export.turn = w->turn;
    w->export.share = 0;
    w->export.was_stopped = false;
    w->export.state = JOB_STOPPED;
    return recipe_copy(history_now(&w->history), &w->export.recipe, err) && workbench_export_on(w, err);
}

void workbench_export_view(const Workbench *w, ExportView *out) {
    *out = (ExportView){
        .asked = w->export.asked, .waits_for = JOB_COUNT, .rate = 120e6, .bits_per_weight = w->export.bits_per_weight};
    workbench_job(w, JOB_EXPORT, &out->job);
    if (!w->export.asked) return;
    out->format = w->export.format;
    out->folder = w->export.folder;
    if (!recipe_equal(&w->export.recipe, history_now(&w->history))) out->changes = w->turn - w->export.turn;
    if (out->job.state == JOB_WAITING) out->waits_for = JOB_CALIBRATE;
    out->reads = w->export.share > 0.5;
    out->total = w->plan.bytes;
    out->done = (uint64_t)(out->job.share * (double)out->total);
    out->result =
        (ExportResult){.files = 1, .bytes = w->plan.bytes, .written = w->plan.bytes, .verified = w->plan.bytes};
}
