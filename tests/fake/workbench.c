#include "tests/fake/workbench.h"

#include <assert.h>
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
#include "export/gguf_can_run.h"
#include "quant/recipe_set.h"
#include "workbench/history.h"

enum {
    LAYERS = 6,
    PER_LAYER = 7,
    ATTENTION = 4, // of them; the others are there once for each expert
    EXPERTS_MOST = 8,
    LINEARS = LAYERS * PER_LAYER + 1, // without experts
    LINEARS_MOST = LAYERS * (ATTENTION + (PER_LAYER - ATTENTION) * EXPERTS_MOST) + 1,
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

// FAKE_FORECAST=2: an estimate takes so many seconds.
static double forecast_seconds(void) {
    const char *seconds = getenv("FAKE_FORECAST");
    return seconds ? strtod(seconds, NULL) : 0.2;
}

// When something last happened. What is shown is of one moment: a job has not ended in a picture whose figures are
// those from before its end.
static double now;

#define CALIBRATE_SECONDS 0.6
#define ACCURACY_SECONDS 0.5
#define DECODE_SECONDS 0.4
#define EXPORT_SECONDS 1.6 // half of it is reading back
#define STUDY_SECONDS 0.8  // each of them

static const char base_text[] =
    " Mira put the lantern on the table and waited for the rain to stop. “It will not be long,” she said.";
static const char quantized_text[] =
    " Mira put the lantern on the table and looked for the rain to stop. “It will not be long,” she said.";
static const char coarse_text[] = // of fewer than four bits
    " Mira put the lantern on the table and sang for the rain to stop. “It was long,” she sang. “It was rain.”";

struct Workbench {
    ModelStructure structure;
    Checkpoint checkpoint;
    Tensor tensors[LINEARS_MOST];
    Linear linears[LINEARS_MOST];
    char names[LINEARS_MOST][64];
    Norm norms[2 * LAYERS];
    SharedChannels channels;
    ModelStats stats;
    LinearIndex index;
    History history;
    Plan plan;
    uint64_t turn, plans;
    Effect effect;
    double output_sqnr[LINEARS_MOST], input_sqnr[LINEARS_MOST], weight_sqnr[LINEARS_MOST], shares[LINEARS_MOST];
    float by_position[POSITION_FIGURES * POSITIONS];
    Why why;
    Remedies remedies;
    int looked_at;
    Trials trials;
    struct {
        bool asked;
        Recipe recipe;
        double since;
    } pin;
    char *prompt;
    size_t most_tokens;
    struct {
        uint32_t numbers[2];
        double since;
    } texts; // of rows that are looked at
    double opened, turned, prompted;
    bool calibrated, stopped, fails, provisional;
    int timer;
    Verdict verdict, verdict_of, verdict_written;
    bool odd_bits;
    struct {
        ExportFormat format;
        char *folder;
        double asked;
    } forecast;
    struct {
        bool asked, overwrite, was_stopped, was_full;
        ExportFormat format;
        char *folder;
        Recipe recipe;
        uint64_t turn;
        double started; // as if it had gone on since then without a stop
        double share;   // of writing and reading, where it was stopped
        JobState state;
        double bits_per_weight;
    } export;
    struct {
        bool looks, asked, stopped; // in the place of turns: asked once it was looked at
        uint64_t turn;              // whose figures are shown
        double share;
        SensitivityView view;
        BitChoices choices[LINEARS_MOST];
        VerdictWish engine;
        int unit[LINEARS_MOST];
        uint8_t refused[LINEARS_MOST];
        Sensitivity linears[LINEARS_MOST];
        int bits[LINEARS_MOST];
    } sensitivity;
    struct {
        bool looks, stopped;
        double started, share;
        Recipe recipe;
        SweepView view;
        SweepPoint points[SWEEP_POINTS];
    } sweep;
    struct {
        bool looks, stopped;
        double started, share;
        SpeedsView view;
    } speeds;
    struct {
        bool asked, done, stopped;
        double started, share;
        TuneGoal goal;
        uint64_t turn;
        Recipe began;
        Tuned tuned;
    } tune;
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

// layer −1: the head. expert −1: of none.
static bool add_linear(Workbench *w, Random *random, LinearRole role, int layer, int expert, const char *name) {
    static const int input_of[PER_LAYER] = {0, 0, 0, 1, 2, 2, 3};
    const size_t out = role == ROLE_HEAD                      ? VOCAB
                       : role == ROLE_GATE || role == ROLE_UP ? FFN
                                                              : HIDDEN,
                 in = role == ROLE_DOWN ? FFN : HIDDEN, bytes = out * in * sizeof(uint16_t);
    const int i = w->structure.linear_count++;
    if (layer < 0)
        snprintf(w->names[i], sizeof w->names[i], "%s", name);
    else if (expert < 0)
        snprintf(w->names[i], sizeof w->names[i], "model.layers.%d.%s", layer, name);
    else
        snprintf(w->names[i], sizeof w->names[i], "model.layers.%d.mlp.experts.%d.%s", layer, expert, name + 4);
    w->tensors[i] = (Tensor){
        .name = w->names[i], .dtype = DTYPE_BF16, .rank = 2, .shape = {out, in}, .bytes = bytes, .file = "fake"};
    w->tensors[i].data = weights_new(random, out, in, role == ROLE_DOWN || (role == ROLE_Q && layer == 3));
    w->linears[i] = (Linear){.name = w->names[i],
                             .role = role,
                             .layer = layer,
                             .expert = expert,
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

// FAKE_EXPERTS=4: a mixture of so many, at most EXPERTS_MOST.
static bool build_structure(Workbench *w, Error *err) {
    static char path[] = "samples/storyteller";
    static const char *const names[PER_LAYER] = {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj",
                                                 "self_attn.o_proj", "mlp.gate_proj",    "mlp.up_proj",
                                                 "mlp.down_proj"};
    Random random = random_seeded(7);
    const char *mixture = getenv("FAKE_EXPERTS");
    const int experts = mixture ? atoi(mixture) : 0;
    bool ok = true;
    for (int layer = 0; layer < LAYERS; layer++) {
        for (int role = 0; role < (experts ? ATTENTION : PER_LAYER); role++)
            ok = add_linear(w, &random, (LinearRole)role, layer, -1, names[role]) && ok;
        for (int e = 0; e < experts; e++) {
            for (int role = ATTENTION; role < PER_LAYER; role++)
                ok = add_linear(w, &random, (LinearRole)role, layer, e, names[role]) && ok;
        }
    }
    ok = add_linear(w, &random, ROLE_HEAD, -1, -1, "lm_head") && ok;
    w->checkpoint.path = path;
    w->checkpoint.name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    w->structure.config = (ModelConfig){.family = "llama",
                                        .layers = LAYERS,
                                        .hidden = HIDDEN,
                                        .heads = HIDDEN / 16,
                                        .head_dim = 16,
                                        .rotated_dims = 16,
                                        .attention_scale = 0.25F,
                                        .activation = NONLINEARITY_SILU,
                                        .dtype = DTYPE_BF16};
    if (getenv("FAKE_PAIR")) {
        w->structure.config.pair.encoder_layers = 1;
        snprintf(w->structure.config.family, sizeof w->structure.config.family, "t5");
    }
    w->structure.checkpoint = &w->checkpoint;
    w->structure.linears = w->linears;
    w->structure.input_count = LAYERS * 4 + 1;
    w->structure.head = w->structure.linear_count - 1;
    for (int i = 0; i < 2 * LAYERS; i++) w->norms[i] = (Norm){.layer = i / 2, .input = i / 2 * 4 + i % 2 * 2};
    w->structure.norms = w->norms;
    w->structure.norm_count = 2 * LAYERS;
    return ok || error_memory(err, "the weights");
}

// ---- what is measured ---------------------------------------------------------------------------------------------

// Ranges of all three classes: growing with the layer, largest before down.
static bool invent_input(Workbench *w, int input, size_t width, Random *random) {
    InputStats *s = &w->stats.inputs[input];
    s->channel_absmax = array_new(width, sizeof *s->channel_absmax);
    s->channel_tokens = array_new(width, sizeof *s->channel_tokens);
    if (!s->channel_absmax || !s->channel_tokens) return false;
    if (input % 4 == 3) s->channel_tokens[17] = TOKENS / 300;
    if (input % 4 == 2) s->channel_tokens[5] = TOKENS / 10 * 7;
    const int layer = input / 4;
    const double scale = 1.5 + 1.2 * layer;
    for (size_t j = 0; j < width; j++) s->channel_absmax[j] = (float)(scale * (1 + fabs(random_normal(random))));
    if (input % 4 == 3) s->channel_absmax[17] = (float)(40 * pow(2, layer) + 6.5);
    if (input % 4 == 2) s->channel_absmax[5] = (float)(20 + 10 * layer);
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
    return shared_channels_find(&w->structure, w->stats.set, OUTLIER_FACTOR, &w->channels, err);
}

static bool plan(Workbench *w, Error *err) {
    Plan made = {0};
    if (!plan_make(history_now(&w->history), &w->structure, w->calibrated ? &w->stats.measured : NULL, &made, err))
        return false;
    plan_free(&w->plan);
    w->plan = made;
    w->plans++;
    return true;
}

// ---- opening ------------------------------------------------------------------------------------------------------

static void watch_clock(Workbench *w, bool on) {
    const struct itimerspec each = {.it_interval.tv_nsec = on ? 25000000 : 0, .it_value.tv_nsec = on ? 25000000 : 0};
    timerfd_settime(w->timer, 0, &each, NULL);
}

static bool build(Workbench *w, const WorkbenchOptions *options, Error *err) {
    Recipe recipe;
    if (!build_structure(w, err) || !linear_index_new(&w->structure, &w->index, err) ||
        !model_stats_new(&w->structure, &w->stats, err))
        return false;
    for (int i = 0; i < w->structure.linear_count; i++) {
        if (!weight_stats_measure(&w->structure, i, &w->stats, err)) return false;
    }
    if (!(options->recipe ? recipe_load(options->recipe, &recipe, err) : recipe_default(&recipe, err))) return false;
    if (!history_start(&w->history, &recipe, err) || !plan(w, err)) return false;
    w->most_tokens = 64;
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
    for (int i = 0; i < w->structure.linear_count; i++) free((void *)(uintptr_t)w->tensors[i].data);
    linear_index_free(&w->index);
    model_stats_free(&w->stats);
    shared_channels_free(&w->channels);
    history_free(&w->history);
    plan_free(&w->plan);
    verdict_free(&w->verdict);
    verdict_free(&w->verdict_written);
    verdict_free(&w->verdict_of);
    free(w->forecast.folder);
    free(w->export.folder);
    recipe_free(&w->export.recipe);
    for (int i = 0; i < w->sweep.view.count; i++) free(w->sweep.points[i].divergences);
    for (int d = 0; d < SWEEP_DIALS; d++) sweep_dial_free(&w->sweep.view.dials[d]);
    recipe_free(&w->sweep.recipe);
    recipe_free(&w->tune.began);
    tuned_free(&w->tune.tuned);
    free(w->prompt);
    decode_text_free(&w->effect.base);
    decode_text_free(&w->effect.quantized);
    recipe_free(&w->pin.recipe);
    trials_free(&w->trials);
    close(w->timer);
    free(w);
}

// ---- time passes --------------------------------------------------------------------------------------------------

static double share_since(double start, double seconds) { return fmin(1, (now - start) / seconds); }

// Accuracy follows when the model is calibrated; each turn starts it anew.
static double accuracy_start(const Workbench *w) { return fmax(w->turned, w->opened + CALIBRATE_SECONDS); }

// FAKE_PART=0.4: no more is scored of the state that it begins with, however long that takes.
static double accuracy_share(const Workbench *w) {
    const char *part = getenv("FAKE_PART");
    const double share = share_since(accuracy_start(w), ACCURACY_SECONDS);
    return part && w->turn == 1 ? fmin(share, atof(part)) : share;
}

// linears: of the model.
static double divergence_alone(const Decision *d, int linears) {
    if (!d->quantized) return 0;
    return 0.011 / (linears - 1) * pow(4, 4 - d->bits) * sqrt((double)d->group / HIDDEN) *
           (d->activations == POLICY_STATIC && !d->lae ? 1.1 : 1);
}

static double invented_divergence(const Plan *by) {
    double sum = 0;
    for (int i = 0; i < by->linear_count; i++) sum += divergence_alone(&by->decisions[i], by->linear_count);
    return sum;
}

// by_position [POSITION_FIGURES, POSITIONS].
static Accuracy invent_accuracy(const Plan *plan, double share, float *by_position) {
    const double kl = invented_divergence(plan);
    Accuracy a = {.planned = 2048,
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
    a.ppl = a.base_ppl * exp(kl);
    a.ppl_ratio_log = kl;
    a.ppl_ratio_se = 3 * a.kl_se;
    for (int i = 0; i < POSITIONS; i++) {
        by_position[POSITION_KL * POSITIONS + i] = (float)(kl * (0.5 + i % 97 / 96.0));
        by_position[POSITION_NLL * POSITIONS + i] = (float)(log(a.base_ppl) + kl * (0.5 + i % 89 / 88.0));
        by_position[POSITION_TOP1 * POSITIONS + i] = i % 1000 >= 2000 * kl;
    }
    return a;
}

static void score(Workbench *w, double share) {
    w->effect.accuracy = invent_accuracy(&w->plan, share, w->by_position);
    w->effect.accuracy_known = true;
    w->effect.accuracy_turn = w->turn;
    w->effect.accuracy_finished = share >= 1;
    w->effect.by_position = w->by_position;
    w->effect.positions = POSITIONS;
    w->why = (Why){.signal = 1,
                   .weights = 0.003,
                   .weights_plain = 0.003,
                   .input = 0.009,
                   .both = 0.012,
                   .column = 7,
                   .column_share = 0.42,
                   .channel = 17,
                   .channel_absmax = 300,
                   .channel_ratio = 3.1,
                   .raw_channel = 17,
                   .raw_ratio = 61.5,
                   .others = LAYERS - 1,
                   .others_beyond = 2};
    w->effect.why = &w->why;
    w->remedies = (Remedies){.known = true,
                             .db = 20.6,
                             .count = 2,
                             .list = {{.kind = REMEDY_TOKEN, .text = "policy token", .db = 22.1, .gain = 1.5},
                                      {.kind = REMEDY_BITS, .text = "8 bits", .db = 24.8, .gain = 4.2, .bytes = 6144}}};
    w->effect.remedies = &w->remedies;
    w->effect.why_turn = w->turn;
    w->effect.why_linear = w->looked_at;
    w->effect.output_sqnr_db = w->output_sqnr;
    w->effect.input_sqnr_db = w->input_sqnr;
    w->effect.weight_sqnr_db = w->weight_sqnr;
    w->effect.stream_shares = w->shares;
    w->effect.sqnr_turn = w->turn;
    for (int i = 0; i < w->structure.linear_count; i++) {
        const Decision *d = &w->plan.decisions[i];
        w->shares[i] = 1.0 / (1 + w->linears[i].layer % LAYERS);
        w->weight_sqnr[i] = d->quantized ? 6.02 * d->bits - 0.5 * log2((double)d->group) : NAN;
        w->output_sqnr[i] = d->quantized ? w->weight_sqnr[i] - (i % 5) : NAN;
        const double of_input = d->activations == POLICY_NONE ? 0 : 1 - pow(10, -(i % 5) / 10.0);
        w->input_sqnr[i] = w->output_sqnr[i] - 10 * log10(of_input);
    }
}

// Speeds of one turn lie within 6 % of their middle. FAKE_BUSY: something else is at work from the first turn on,
// evenly, of the time most or "some", or "uneven".
static void invent_speed(Workbench *w) {
    const char *busy = w->turn > 1 ? getenv("FAKE_BUSY") : NULL;
    const double left = !busy                       ? 1
                        : strcmp(busy, "some") == 0 ? 0.79
                                                    : 0.25,
                 apart = busy && strcmp(busy, "uneven") == 0 ? 0.2 : 0.03, base = 812 * left,
                 quantized = (2210 - 100 * w->plan.bits_per_weight) * left, ratio = quantized / base;
    w->effect.speed = (DecodeSpeed){.first = {base, base * (1 - apart), base * (1 + apart)},
                                    .second = {quantized, quantized * 0.97, quantized * 1.03},
                                    .ratio = {ratio, ratio * 0.94, ratio * 1.06},
                                    .pairs = 12};
    w->effect.speed_turn = w->turn;
    w->effect.speed_finished = w->effect.quantized.finished;
}

// So much of a text that is told again and again, as often as there are tokens for it. One token per word; every fifth
// is a close call.
static void tell(DecodeText *d, const char *text, size_t tokens, double share) {
    enum { WORDS = 1024 };
    static int32_t ids[WORDS];
    static float probabilities[WORDS];
    static size_t ends[WORDS];
    Text whole = {0};
    for (size_t told = 0; told == 0 || told + 64 <= tokens; told += 64) text_addf(&whole, "%s", text);
    size_t length = (size_t)((double)whole.length * share);
    while (length && ((unsigned char)whole.data[length] & 0xC0) == 0x80) length--;
    whole.data[length] = '\0';
    DecodeText told = {.known = true, .finished = share >= 1, .ids = ids, .probabilities = probabilities, .ends = ends};
    for (size_t at = 0; at < length && told.count < WORDS; told.count++) {
        const size_t start = at++;
        while (at < length && whole.data[at] != ' ') at++;
        uint32_t id = 0;
        for (size_t i = start; i < at; i++) id = id * 31 + (unsigned char)whole.data[i];
        ids[told.count] = (int32_t)(id & 0xFFFFFF);
        probabilities[told.count] = told.count % 5 == 4 ? 0.37F : 0.92F;
        ends[told.count] = at;
    }
    told.text = whole.data;
    decode_text_copy(&told, d);
    text_free(&whole);
}

static const char *text_by(double bits) { return bits < 4 ? coarse_text : quantized_text; }

static bool text_is_written(const Workbench *w, uint32_t number) {
    const TrialRow *row = trials_row(&w->trials, number);
    return !row || number == w->trials.present || trial_text_is_whole(row->figures, w->prompt, w->most_tokens);
}

static void write_texts(Workbench *w) {
    for (int i = 0; i < 2; i++) {
        if (text_is_written(w, w->texts.numbers[i])) continue;
        const TrialFigures *f = trials_row(&w->trials, w->texts.numbers[i])->figures;
        DecodeText text = {0};
        tell(&text, text_by(f->bits_per_weight), w->most_tokens,
             share_since(fmax(w->texts.since, w->prompted), DECODE_SECONDS));
        trials_add_text(&w->trials, f->model, w->prompt, &text, w->most_tokens);
        decode_text_free(&text);
    }
}

static void record(Workbench *w) {
    const Effect *e = &w->effect;
    if (!e->accuracy_finished || e->accuracy_turn != w->turn) return;
    const TrialState state = {.recipe = history_now(&w->history),
                              .plan = &w->plan,
                              .model = trial_model(&w->plan, &w->stats.measured),
                              .accuracy = &e->accuracy,
                              .by_position = e->by_position,
                              .positions = e->positions};
    trials_record(&w->trials, &state, &w->structure);
    if (e->decode_turn == w->turn && e->quantized.finished)
        trials_add_text(&w->trials, state.model, w->prompt, &e->quantized, w->most_tokens);
    if (e->speed_turn == w->turn && e->speed_finished) trials_add_speed(&w->trials, &e->speed);
}

static bool is_full(const char *folder) { return strstr(folder, "full") != NULL; }

static double export_share(const Workbench *w) { return share_since(w->export.started, EXPORT_SECONDS); }

#define FULL_SHARE 0.25

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
    if (is_full(w->export.folder) && !w->export.was_full && w->export.share >= FULL_SHARE) {
        w->export.share = FULL_SHARE;
        w->export.state = JOB_FAILED;
        w->export.was_full = true; // room is made then
    }
    if (w->export.share >= 1) w->export.state = JOB_DONE;
}

// ---- studies ------------------------------------------------------------------------------------------------------

static bool has_figures(const Workbench *w) { return w->calibrated && accuracy_share(w) >= 1; }

// FAKE_LONG: studies take so long that they wait to be asked for.
static bool study_let_go[JOB_COUNT];
static bool is_put_off(JobKind kind) {
    return getenv("FAKE_LONG") && !study_let_go[kind] && (kind == JOB_SENSITIVITY || kind == JOB_SWEEP);
}

// FAKE_HALF=1: each comes half way, until it was stopped or let go on.
static double study_share(JobKind kind, double started, double before, bool stopped) {
    const char *halves = getenv("FAKE_HALF");
    const double most = halves && !study_let_go[kind] ? atof(halves) / 2 : 1;
    return stopped || is_put_off(kind) ? before : fmin(most, fmax(before, (now - started) / STUDY_SECONDS));
}

static void find_choices(Workbench *w) {
    SensitivityView *v = &w->sensitivity.view;
    const bool bound = w->sensitivity.engine.targets;
    const Engines engines = engines_of(&w->sensitivity.engine);
    const Measured *measured = w->calibrated ? &w->stats.measured : NULL;
    bit_choices_make(history_now(&w->history), &w->structure, &w->stats.measured, &w->plan, w->sensitivity.choices,
                     NULL);
    if (bound)
        budget_bounds(history_now(&w->history), &w->structure, measured, &engines, w->sensitivity.unit,
                      w->sensitivity.refused, NULL);
    v->choices_turn = w->turn;
    v->choices = w->sensitivity.choices;
    v->bound_by = w->sensitivity.engine;
    v->unit = bound ? w->sensitivity.unit : NULL;
    v->refused = bound ? w->sensitivity.refused : NULL;
}

// Estimates first, then the figures in the order of the model; down projections cost most. FAKE_KEPT=0.5: so many
// figures are there from before, and nothing of the others.
static void advance_sensitivity(Workbench *w) {
    SensitivityView *v = &w->sensitivity.view;
    if (w->sensitivity.looks && v->choices_turn != w->turn) find_choices(w);
    if (!w->sensitivity.asked || !has_figures(w)) return;
    w->sensitivity.share = study_share(JOB_SENSITIVITY, accuracy_start(w) + ACCURACY_SECONDS, w->sensitivity.share,
                                       w->sensitivity.stopped);
    v->turn = w->turn;
    v->linears = w->sensitivity.linears;
    v->bits = w->sensitivity.bits;
    v->count = w->plan.quantized_count;
    const char *kept = getenv("FAKE_KEPT");
    v->estimate_tokens = kept ? 0 : 128;
    v->measured = (int)((kept ? atof(kept) : w->sensitivity.share) * v->count);
    v->finished = v->measured == v->count;
    v->version++;
    for (int i = 0, k = 0; i < w->structure.linear_count; i++) {
        const Decision *d = &w->plan.decisions[i];
        const int worse = i % PER_LAYER == 6 ? 1 + i / PER_LAYER : 0;
        const double kl = divergence_alone(d, w->structure.linear_count) * (1 + worse) * 0.7;
        w->sensitivity.bits[i] = d->bits;
        w->sensitivity.linears[i] = (Sensitivity){.linear = i, .estimate = (double)NAN, .estimate_se = (double)NAN};
        if (!d->quantized) continue;
        w->sensitivity.linears[i] = (Sensitivity){.linear = i,
                                                  .estimate = kept ? (double)NAN : kl * (0.8 + 0.1 * (i % 5)),
                                                  .estimate_se = kl / 4,
                                                  .alone_known = k++ < v->measured,
                                                  .kl = kl,
                                                  .kl_se = kl / 20};
    }
}

static void invent_point(Workbench *w, int i) {
    SweepPoint *p = &w->sweep.points[i];
    Recipe recipe;
    Plan by = {0};
    if (!recipe_copy(history_now(&w->history), &recipe, NULL)) return;
    for (int d = 0; d < w->sweep.view.dial_count; d++)
        recipe.value[w->sweep.view.dials[d].dial] = sweep_view_value(&w->sweep.view, i, d);
    if (plan_make(&recipe, &w->structure, &w->stats.measured, &by, NULL)) {
        const double kl = invented_divergence(&by);
        p->planned = p->point.known = true;
        p->point.bytes = by.bytes;
        p->point.bits_per_weight = by.bits_per_weight;
        p->point.accuracy = (Accuracy){.planned = POSITIONS,
                                       .tokens = POSITIONS,
                                       .kl_mean = kl,
                                       .kl_se = kl / sqrt(POSITIONS),
                                       .top1 = 1 - 2 * kl};
        p->divergences = array_new(POSITIONS, sizeof *p->divergences);
        for (int k = 0; p->divergences && k < POSITIONS; k++)
            p->divergences[k] = (float)(kl * (0.5 + (k + i) % 97 / 96.0));
    }
    plan_free(&by);
    recipe_free(&recipe);
}

static void advance_sweep(Workbench *w) {
    SweepView *v = &w->sweep.view;
    if (!v->dial_count || !has_figures(w)) return;
    w->sweep.share = study_share(JOB_SWEEP, fmax(w->sweep.started, accuracy_start(w) + ACCURACY_SECONDS),
                                 w->sweep.share, w->sweep.stopped);
    v->known = (int)(w->sweep.share * v->count);
    for (int i = 0; i < v->known; i++)
        if (!w->sweep.points[i].point.known) invent_point(w, i);
    Point points[SWEEP_POINTS];
    for (int i = 0; i < v->count; i++) points[i] = w->sweep.points[i].point;
    points_mark_front(points, v->count);
    for (int i = 0; i < v->count; i++) w->sweep.points[i].point.pareto = points[i].pareto;
    v->knee = points_knee(points, v->count);
    v->points = w->sweep.points;
    v->version++;
}

// What it finds has 8 bits in all down projections; or nothing better than what it began from.
static void advance_tune(Workbench *w) {
    if (!w->tune.asked || w->tune.done || !has_figures(w)) return;
    w->tune.share = study_share(JOB_TUNE, w->tune.started, w->tune.share, w->tune.stopped);
    Tuned *t = &w->tune.tuned;
    t->trials = (int)(w->tune.share * 40);
    t->best_bits = 4.3;
    t->best_kl = 0.0123 - 0.002 * w->tune.share;
    t->first_kl = 0.0123;
    t->units = 30;
    t->uniform = (Point){.known = true, .bits_per_weight = 4.3, .accuracy = {.kl_mean = 0.0125}};
    const bool stays = getenv("FAKE_STAYS") != NULL;
    if (stays) {
        t->best_kl = t->first_kl;
        t->given = (Point){.known = true, .bits_per_weight = 4.31, .accuracy.kl_mean = 0.0105};
    }
    if (w->tune.share < 0.25) t->best_kl = t->first_kl = (double)NAN; // not found yet
    if (w->tune.share <= 0) t->uniform.known = false;
    if (w->tune.share < 1 && !(w->tune.stopped && isfinite(t->best_kl))) return;
    const double bits = 8;
    w->tune.done = recipe_copy(&w->tune.began, &t->recipe, NULL) &&
                   (stays || recipe_override(&t->recipe, "*.down_proj", DIAL_BITS, &bits, NULL));
    if (!stays) t->recipe.overrides[t->recipe.override_count - 1].tuned = true;
    t->stays = stays;
    t->cut = w->tune.share < 1 ? TUNE_STOPPED : TUNE_WHOLE;
    t->point = (Point){.known = true, .bits_per_weight = 5.1, .accuracy.kl_mean = 0.0103};
    if (stays) t->point = t->given;
    t->uniform.known = true;
    t->difference.kl = (Difference){-0.0021, 0.0003};
}

// Every cell takes CELL_SECONDS; 32 side by side are no faster than the base.
#define CELL_SECONDS 0.1
static void advance_speeds(Workbench *w) {
    SpeedMap *map = &w->speeds.view.map;
    if (!w->speeds.looks) return;
    if (w->speeds.view.turn != w->turn)
        w->speeds.view = (SpeedsView){.turn = w->turn, .map = speed_map_usual(&w->structure.config)};
    const int cells = map->batch_count * map->context_count;
    if (!w->speeds.stopped) w->speeds.share = share_since(w->speeds.started, CELL_SECONDS * cells);
    const int known = (int)(w->speeds.share * cells);
    for (int i = 0; i < known; i++) {
        const int batch = i / map->context_count;
        const double middle = 2.4 - 0.05 * (double)map->batches[batch];
        map->ratio[batch][i % map->context_count] = (Spread){middle, middle * 0.95, middle * 1.05};
    }
    w->speeds.view.finished = known == cells;
}

#define PIN_SECONDS 0.5

static double pin_share(const Workbench *w) {
    return has_figures(w) ? fmax(0, share_since(fmax(w->pin.since, accuracy_start(w) + ACCURACY_SECONDS), PIN_SECONDS))
                          : 0;
}

static void advance_pin(Workbench *w) {
    Plan by = {0};
    uint64_t model;
    float by_position[POSITION_FIGURES * POSITIONS];
    if (!w->pin.asked || pin_share(w) < 1) return;
    w->pin.asked = false;
    if (!workbench_plan_of(w, &w->pin.recipe, &by, &model, NULL)) return;
    const Accuracy accuracy = invent_accuracy(&by, 1, by_position);
    const TrialState state = {&w->pin.recipe, &by, model, &accuracy, by_position, POSITIONS};
    trials_record_other(&w->trials, &state, &w->structure);
    plan_free(&by);
}

// FAKE_PIN=0: it is not scored.
void workbench_pin(Workbench *w, const Recipe *recipe) {
    Plan by = {0};
    uint64_t model;
    const char *scores = getenv("FAKE_PIN");
    if (!recipe || (scores && *scores == '0') || !w->calibrated) {
        w->pin.asked = false;
        return;
    }
    if (w->pin.asked && recipe_equal(recipe, &w->pin.recipe)) return;
    w->pin.asked = false;
    recipe_free(&w->pin.recipe);
    if (!recipe_copy(recipe, &w->pin.recipe, NULL) || !workbench_plan_of(w, recipe, &by, &model, NULL)) return;
    w->pin.asked = !trials_of_model(&w->trials, model);
    w->pin.since = now;
    plan_free(&by);
    if (w->pin.asked) watch_clock(w, true);
}

static void advance_studies(Workbench *w) {
    advance_pin(w);
    advance_sensitivity(w);
    advance_sweep(w);
    advance_tune(w);
    advance_speeds(w);
}

void workbench_look_at_kept_sensitivity(Workbench *w, bool look) { // nothing is kept
    (void)w;
    (void)look;
}

void workbench_bound_by(Workbench *w, const VerdictWish *engine) {
    const bool other = !verdict_wish_equal(&w->sensitivity.engine, engine);
    w->sensitivity.engine = *engine;
    if (other && w->sensitivity.view.choices_turn == w->turn) find_choices(w);
}

void workbench_look_at_sensitivity(Workbench *w, bool look) {
    w->sensitivity.looks = look;
    w->sensitivity.asked = w->sensitivity.asked || look;
    watch_clock(w, true);
}

const SensitivityView *workbench_sensitivity(const Workbench *w) { return &w->sensitivity.view; }

bool workbench_sweep(Workbench *w, SweepDial *dials, int dial_count, bool asked, Error *err) {
    (void)asked;
    Sweep sweep;
    bool ok = sweep_new(history_now(&w->history), dials, dial_count, &sweep, err);
    for (int i = 0; ok && i < w->sweep.view.count; i++) free(w->sweep.points[i].divergences);
    if (ok) {
        for (int d = 0; d < SWEEP_DIALS; d++) sweep_dial_free(&w->sweep.view.dials[d]);
        memset(w->sweep.points, 0, sizeof w->sweep.points);
        w->sweep.view =
            (SweepView){.dial_count = dial_count, .count = sweep.count, .points = w->sweep.points, .knee = -1};
        for (int d = 0; d < dial_count; d++) {
            w->sweep.view.dials[d] = sweep.dials[d];
            sweep.dials[d] = (SweepDial){0};
        }
        w->sweep.started = now = look_at_clock();
        w->sweep.share = 0;
        w->sweep.stopped = false;
        recipe_free(&w->sweep.recipe);
        ok = recipe_copy(history_now(&w->history), &w->sweep.recipe, err);
        watch_clock(w, true);
    }
    sweep_free(&sweep);
    return ok;
}

void workbench_look_at_speeds(Workbench *w, bool look) {
    w->speeds.looks = look;
    w->speeds.stopped = false;
    w->speeds.started = now = look_at_clock();
    watch_clock(w, true);
}
const SpeedsView *workbench_speeds(const Workbench *w) { return &w->speeds.view; }

void workbench_look_at_sweep(Workbench *w, bool look) { w->sweep.looks = look; }
const SweepView *workbench_swept(const Workbench *w) { return &w->sweep.view; }

double sweep_view_value(const SweepView *view, int point, int dial) {
    const Sweep sweep = {.dials = {view->dials[0], view->dials[1]}, .dial_count = view->dial_count};
    return sweep_value(&sweep, point, dial);
}

// Of another recipe, unless only its own dials were turned.
static void age_sweep(Workbench *w) {
    Recipe set = w->sweep.recipe;
    if (!w->sweep.view.dial_count) return;
    for (int d = 0; d < w->sweep.view.dial_count; d++) {
        const Dial dial = w->sweep.view.dials[d].dial;
        set.value[dial] = history_now(&w->history)->value[dial];
    }
    if (recipe_equal(&set, history_now(&w->history))) return;
    for (int i = 0; i < w->sweep.view.count; i++) {
        free(w->sweep.points[i].divergences);
        w->sweep.points[i].divergences = NULL;
        w->sweep.points[i].older = true;
    }
}

bool workbench_tune(Workbench *w, const TuneGoal *goal, const VerdictWish *engine, Error *err) {
    if (w->tune.asked && !w->tune.done) return error_set(err, "a search is on its way; x stops it");
    tuned_free(&w->tune.tuned);
    recipe_free(&w->tune.began);
    if (!recipe_copy(history_now(&w->history), &w->tune.began, err)) return false;
    w->tune.asked = true;
    w->tune.done = w->tune.stopped = false;
    w->tune.share = 0;
    w->tune.goal = *goal;
    w->tune.goal.engines = engine ? engines_of(engine) : (Engines){0};
    w->tune.turn = w->turn;
    w->tune.started = now = look_at_clock();
    watch_clock(w, true);
    return true;
}

bool workbench_tune_seconds(const Workbench *w, const TuneGoal *goal, const VerdictWish *engine, double *seconds,
                            Error *err) {
    (void)goal, (void)engine, (void)err;
    *seconds = !has_figures(w) ? (double)NAN : getenv("FAKE_LONG") ? 4800 : 150;
    return true;
}

void workbench_tuned(const Workbench *w, TuneView *out) {
    *out = (TuneView){.asked = w->tune.asked,
                      .goal = w->tune.goal,
                      .changes = w->turn - w->tune.turn,
                      .done = w->tune.done,
                      .tuned = w->tune.tuned,
                      .recipe = w->tune.done ? &w->tune.tuned.recipe : NULL,
                      .began = &w->tune.began};
}

void workbench_forget_tuned(Workbench *w) {
    if (w->tune.done) w->tune.asked = w->tune.done = false;
}

JobKind workbench_next_study(const Workbench *w, JobKind but) {
    static const JobKind order[] = {JOB_TUNE, JOB_SENSITIVITY, JOB_SWEEP};
    for (size_t i = 0; i < sizeof order / sizeof *order; i++) {
        JobView job;
        workbench_job(w, order[i], &job);
        if (order[i] != but && job_is_on(job.state)) return order[i];
    }
    return JOB_COUNT;
}

void workbench_resume_study(Workbench *w, JobKind kind) {
    JobView job;
    workbench_job(w, kind, &job);
    study_let_go[kind] = study_let_go[kind] || job.state == JOB_STOPPED;
    w->sensitivity.stopped = w->sensitivity.stopped && kind != JOB_SENSITIVITY;
    w->sweep.stopped = w->sweep.stopped && kind != JOB_SWEEP;
    w->tune.stopped = w->tune.stopped && kind != JOB_TUNE;
    if (kind == JOB_TUNE) w->tune.started = now - w->tune.share * STUDY_SECONDS;
    if (kind == JOB_SPEEDS) workbench_look_at_speeds(w, true);
    w->sweep.started = now - w->sweep.share * STUDY_SECONDS;
    watch_clock(w, true);
}

// False of what is no study.
static bool study_job(const Workbench *w, JobKind kind, JobView *out) {
    const bool asked = kind == JOB_SWEEP    ? w->sweep.view.dial_count > 0
                       : kind == JOB_TUNE   ? w->tune.asked && !w->tune.done
                       : kind == JOB_SPEEDS ? w->speeds.looks
                       : kind == JOB_PIN    ? w->pin.asked
                                            : kind == JOB_SENSITIVITY && w->sensitivity.asked;
    const bool stopped = kind == JOB_SWEEP    ? w->sweep.stopped
                         : kind == JOB_TUNE   ? w->tune.stopped
                         : kind == JOB_SPEEDS ? w->speeds.stopped
                                              : kind == JOB_SENSITIVITY && w->sensitivity.stopped;
    if (kind < JOB_STUDIES || kind >= JOB_EXPORT) return false;
    out->share = kind == JOB_SWEEP    ? w->sweep.share
                 : kind == JOB_TUNE   ? w->tune.share
                 : kind == JOB_SPEEDS ? w->speeds.share
                 : kind == JOB_PIN    ? pin_share(w)
                                      : w->sensitivity.share;
    if (kind == JOB_TUNE) out->what = "3 of 5, measuring linears";
    if (!asked || out->share >= 1 || w->fails) return true;
    if (is_put_off(kind)) {
        out->state = JOB_STOPPED;
        out->put_off = 380;
        return true;
    }
    out->state = stopped ? JOB_STOPPED : has_figures(w) ? JOB_RUNNING : JOB_WAITING;
    out->seconds = out->share * STUDY_SECONDS;
    out->seconds_left = STUDY_SECONDS - out->seconds;
    return true;
}

static bool studies_go_on(const Workbench *w) {
    for (JobKind kind = JOB_STUDIES; kind < JOB_EXPORT; kind++) {
        JobView job = {.state = JOB_DONE};
        study_job(w, kind, &job);
        if (job.state == JOB_RUNNING || job.state == JOB_WAITING) return true;
    }
    return false;
}

// ---- what has changed ---------------------------------------------------------------------------------------------

bool workbench_update(Workbench *w) {
    uint64_t ticks;
    if (read(w->timer, &ticks, sizeof ticks) < 0) ticks = 0;
    now = look_at_clock();
    advance_export(w);
    advance_studies(w);
    if (w->stopped) {
        watch_clock(w, false);
        return false;
    }
    Error err = {0};
    if (!w->calibrated && !w->fails && share_since(w->opened, CALIBRATE_SECONDS) >= 1) {
        w->calibrated = invent_inputs(w, &err);
        plan(w, &err);
    }
    if (w->calibrated && accuracy_share(w) > 0.1) score(w, accuracy_share(w));
    tell(&w->effect.base, base_text, w->most_tokens, share_since(w->prompted, DECODE_SECONDS));
    const double start = fmax(accuracy_start(w), w->prompted) + ACCURACY_SECONDS / 2;
    if (w->calibrated && now > start) {
        tell(&w->effect.quantized, text_by(w->plan.bits_per_weight), w->most_tokens,
             share_since(start, DECODE_SECONDS));
        w->effect.decode_turn = w->turn;
        invent_speed(w);
    }
    record(w);
    write_texts(w);
    if (!workbench_busy(w)) watch_clock(w, false);
    return true;
}

static bool export_is_on_its_way(const Workbench *w) {
    return w->export.state == JOB_RUNNING || w->export.state == JOB_WAITING;
}

bool workbench_busy(const Workbench *w) {
    if (export_is_on_its_way(w) || (w->forecast.folder && now < w->forecast.asked + forecast_seconds())) return true;
    if (w->stopped || w->fails) return false;
    if (studies_go_on(w)) return true;
    return !w->calibrated || w->effect.accuracy_turn != w->turn || !w->effect.accuracy_finished ||
           w->effect.decode_turn != w->turn || !w->effect.quantized.finished ||
           !text_is_written(w, w->texts.numbers[0]) || !text_is_written(w, w->texts.numbers[1]);
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
const SharedChannels *workbench_channels(const Workbench *w) { return &w->channels; }
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
size_t workbench_step(const Workbench *w) { return w->history.now; }
uint64_t workbench_plans(const Workbench *w) { return w->plans; }
const LinearIndex *workbench_index(const Workbench *w) { return &w->index; }
bool workbench_plan_of(const Workbench *w, const Recipe *recipe, Plan *out, uint64_t *model, Error *err) {
    if (!plan_make(recipe, &w->structure, w->calibrated ? &w->stats.measured : NULL, out, err)) return false;
    *model = trial_model(out, &w->stats.measured);
    return true;
}
const Effect *workbench_effect(const Workbench *w) { return &w->effect; }

const Trials *workbench_trials(const Workbench *w) { return &w->trials; }
void workbench_forget_trial(Workbench *w, uint32_t number) { trials_forget(&w->trials, number); }
bool workbench_note_trial(Workbench *w, uint32_t number, const char *note, Error *err) {
    return trials_note(&w->trials, number, note, err);
}
void workbench_compare_trials(Workbench *w, uint32_t a, uint32_t b) { trials_compare(&w->trials, a, b); }
void workbench_look_at_texts(Workbench *w, uint32_t a, uint32_t b) {
    if (w->texts.numbers[0] != a || w->texts.numbers[1] != b) w->texts.since = now;
    w->texts.numbers[0] = a;
    w->texts.numbers[1] = b;
    if (!text_is_written(w, a) || !text_is_written(w, b)) watch_clock(w, true);
}
bool workbench_writes_text(const Workbench *w, uint32_t number) { return !text_is_written(w, number); }
const char *workbench_trials_unkept(const Workbench *w) { return (void)w, NULL; }

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
    static const char *const names[] = {"weights", "calibrate", "quantize", "accuracy",    "decode",
                                        "errors",  "speed",     "estimate", "choices",     "speeds",
                                        "pin",     "sweep",     "tune",     "sensitivity", "convert"};
    static_assert(sizeof names / sizeof *names == JOB_COUNT, "a job has no name");
    *out = (JobView){.kind = kind, .name = names[kind], .state = JOB_DONE, .share = 1, .seconds_left = -1};
    if (kind == JOB_EXPORT) {
        export_job(w, out);
        return;
    }
    if (study_job(w, kind, out)) return;
    const double start = kind == JOB_CALIBRATE ? w->opened : accuracy_start(w),
                 length = kind == JOB_CALIBRATE ? CALIBRATE_SECONDS : ACCURACY_SECONDS;
    const double share = kind == JOB_CALIBRATE ? share_since(start, length) : accuracy_share(w);
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
    w->sensitivity.asked = w->sensitivity.looks;
    w->sensitivity.share = 0;
    age_sweep(w);
    watch_clock(w, true);
    if (!plan(w, err)) return false;
    trials_follow(&w->trials, history_now(&w->history));
    if (w->trials.present) w->turned = 0; // known: as if it had been turned long ago
    return true;
}

static bool push(Workbench *w, Recipe *recipe, Error *err) {
    return turned(w, history_push(&w->history, recipe, err), err);
}

bool workbench_set(Workbench *w, int linear, Dial dial, const double *value, Error *err) {
    if (linear >= 0) return workbench_set_many(w, &linear, 1, dial, value, err);
    Recipe recipe;
    if (!recipe_copy(history_now(&w->history), &recipe, err)) return false;
    recipe.value[dial] = value ? *value : dial_table[dial].default_value;
    return push(w, &recipe, err);
}

bool workbench_set_many(Workbench *w, const int *linears, int count, Dial dial, const double *value, Error *err) {
    LinearSet set;
    Recipe recipe;
    if (!dial_table[dial].per_linear) return error_set(err, "%s holds for the whole model", dial_table[dial].label);
    if (!recipe_copy(history_now(&w->history), &recipe, err)) return false;
    const bool ok =
        linear_set_new(&w->index, linears, count, &set, err) && recipe_override_set(&recipe, &set, dial, value, err);
    linear_set_free(&set);
    if (ok) return push(w, &recipe, err);
    recipe_free(&recipe);
    return false;
}

bool workbench_toggle_ignore(Workbench *w, const int *linears, int count, Error *err) {
    LinearSet set;
    Recipe recipe;
    bool ignore = false;
    if (!recipe_copy(history_now(&w->history), &recipe, err)) return false;
    for (int i = 0; i < count; i++) ignore = ignore || !recipe_ignores(&recipe, w->linears[linears[i]].name);
    const bool ok =
        linear_set_new(&w->index, linears, count, &set, err) && recipe_ignore_set(&recipe, &set, ignore, err);
    linear_set_free(&set);
    if (ok) return push(w, &recipe, err);
    recipe_free(&recipe);
    return false;
}

bool workbench_undo(Workbench *w) { return turned(w, history_undo(&w->history), NULL); }
bool workbench_redo(Workbench *w) { return turned(w, history_redo(&w->history), NULL); }

bool workbench_load(Workbench *w, const char *path, Error *err) {
    Recipe recipe;
    if (!recipe_load(path, &recipe, err) || !push(w, &recipe, err)) return false;
    w->history.saved = w->history.now;
    return true;
}

bool workbench_begin(Workbench *w, Recipe *recipe, Error *err) {
    if (recipe) history_free(&w->history);
    if (recipe && (!history_start(&w->history, recipe, err) || !turned(w, true, err))) return false;
    return trials_begin(&w->trials, history_now(&w->history), err);
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

void workbench_set_tokens(Workbench *w, size_t most) {
    w->most_tokens = most;
    workbench_set_prompt(w, w->prompt);
}

size_t workbench_tokens(const Workbench *w) { return w->most_tokens; }

void workbench_stop_job(Workbench *w, JobKind kind) {
    if (kind == JOB_EXPORT) {
        w->export.state = JOB_STOPPED;
        w->export.was_stopped = true;
    } else if (kind == JOB_SENSITIVITY) {
        w->sensitivity.stopped = true;
    } else if (kind == JOB_SWEEP) {
        w->sweep.stopped = true;
    } else if (kind == JOB_SPEEDS) {
        w->speeds.stopped = true;
    } else if (kind == JOB_TUNE) {
        w->tune.stopped = study_let_go[JOB_TUNE] = true;
    } else {
        w->stopped = true;
    }
}

void workbench_resume_job(Workbench *w, JobKind kind) {
    (void)kind; // they stop together here
    workbench_restart_jobs(w);
}
void workbench_restart_jobs(Workbench *w) {
    w->stopped = false;
    w->turned = now = look_at_clock();
    watch_clock(w, true);
}

// ---- export -------------------------------------------------------------------------------------------------------

const Verdict *workbench_verdict(Workbench *w, ExportFormat format) {
    const VerdictWish wish = {format, targets_of_format(format), w->odd_bits};
    verdict_free(&w->verdict);
    return verdict_make(&w->structure, NULL, &w->plan, &wish, &w->verdict, NULL) ? &w->verdict : NULL;
}

const Verdict *workbench_verdict_of(Workbench *w, ExportFormat format, Target target) {
    const VerdictWish wish = {format, 1U << target, w->odd_bits};
    verdict_free(&w->verdict_of);
    return verdict_make(&w->structure, NULL, &w->plan, &wish, &w->verdict_of, NULL) ? &w->verdict_of : NULL;
}

void workbench_standings(Workbench *w, Standing out[EXPORT_FORMAT_COUNT][TARGET_COUNT]) {
    for (ExportFormat format = 0; format < EXPORT_FORMAT_COUNT; format++)
        for (Target target = 0; target < TARGET_COUNT; target++) {
            const VerdictWish wish = {format, 1U << target, w->odd_bits};
            verdict_standing(history_now(&w->history), &w->structure, NULL, &w->plan, &wish, &out[format][target],
                             NULL);
        }
}

bool workbench_fix(const Workbench *w, ExportFormat format, Targets targets, VerdictFix *out, Error *err) {
    const Measured *measured = w->calibrated ? &w->stats.measured : NULL;
    const VerdictWish wish = {format, targets, w->odd_bits};
    return verdict_fix(history_now(&w->history), &w->structure, measured, &wish, out, err);
}

bool workbench_keep(const Workbench *w, const VerdictWish *wish, Recipe *recipe, Error *err) {
    const Engines engines = engines_of(wish);
    const Measured *measured = w->calibrated ? &w->stats.measured : NULL;
    Plan plan;
    const bool ok = verdict_keep(&w->structure, measured, &engines, recipe, &plan, NULL, err);
    plan_free(&plan);
    return ok;
}

void workbench_allow_odd_bits(Workbench *w, bool allow) { w->odd_bits = allow; }

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
    if (!w->forecast.folder || now < w->forecast.asked + forecast_seconds()) return;
    const bool done = w->export.asked && w->export.state == JOB_DONE;
    *out = (ForecastView){.known = true,
                          .forecast = {.files = 1,
                                       .bytes = w->plan.bytes,
                                       .left = done ? 0 : w->plan.bytes,
                                       .memory = 25e6,
                                       .room = 12.3e9,
                                       .seconds = 3,
                                       .bits_per_weight = w->plan.bits_per_weight,
                                       .stores = "each group has a scale and an offset of 16 bits"}};
    if (w->forecast.format == EXPORT_MLX) out->forecast.bits_per_weight += 0.5;
    Error err = {0};
    char note[256];
    if (w->forecast.format == EXPORT_GGUF && !gguf_can_run(&w->structure, note, sizeof note, &err)) {
        out->refused = out->forecast.unwritable = true;
        snprintf(out->message, sizeof out->message, "%s", err.message);
    }
    if (out->refused || !strstr(w->forecast.folder, "taken")) return;
    out->refused = out->forecast.occupied = true;
    snprintf(out->message, sizeof out->message,
             "%s: is not empty; name another folder with -o, or replace what it holds with --overwrite",
             w->forecast.folder);
}

bool workbench_export_on(Workbench *w, Error *err) {
    if (!w->export.asked || export_is_on_its_way(w)) return error_set(err, "a model is being written already");
    w->export.state = JOB_WAITING;
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
    w->export.was_stopped = w->export.was_full = false;
    w->export.state = JOB_STOPPED;
    return recipe_copy(history_now(&w->history), &w->export.recipe, err) && workbench_export_on(w, err);
}

static const Verdict *judge_written(Workbench *w) {
    const VerdictWish wish = {w->export.format, targets_of_format(w->export.format), w->odd_bits};
    verdict_free(&w->verdict_written);
    return verdict_make(&w->structure, NULL, &w->plan, &wish, &w->verdict_written, NULL) ? &w->verdict_written : NULL;
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
    if (w->export.state == JOB_DONE) out->verdict = judge_written((Workbench *)w);
    out->reads = w->export.share > 0.5;
    out->total = w->plan.bytes;
    out->done = (uint64_t)(out->job.share * (double)out->total);
    out->result =
        (ExportResult){.files = 1, .bytes = w->plan.bytes, .written = w->plan.bytes, .verified = w->plan.bytes};
}
