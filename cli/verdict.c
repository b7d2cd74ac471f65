#include "cli/verdict.h"

#include <math.h>
#include <string.h>

#include "base/json.h"
#include "cli/results.h"
#include "quant/difference.h"

static Targets targets_asked(const Options *options) {
    return options->targets ? options->targets : targets_usual(options->export.format);
}

void targets_warn(const Options *options) {
    const Targets all = (1U << TARGET_COUNT) - 1; // nobody named them
    const Targets deaf = options->targets & ~targets_of_format(options->export.format);
    if (!deaf || options->targets == all || options->quiet) return;
    Text names = {0};
    targets_list(deaf, &names);
    fprintf(stderr, "note: %s is not read by %s\n", export_format_names[options->export.format],
            names.data ? names.data : "");
    text_free(&names);
}

static VerdictWish wish_of(const Options *options) {
    return (VerdictWish){options->export.format, targets_asked(options), options->export.odd_bits};
}

static bool judge(const Engine *engine, const VerdictWish *wish, Verdict *out, Error *err) {
    return verdict_make(engine_structure(engine), &engine_stats(engine)->measured, engine_plan(engine), wish, out, err);
}

bool verdict_of(const Options *options, const Engine *engine, Verdict *out, Error *err) {
    const VerdictWish wish = wish_of(options);
    return judge(engine, &wish, out, err);
}

// ---- Text ----

static void print_row(const Verdict *verdict, const VerdictRow *row) {
    const Finding *worst = row->worst < 0 ? NULL : &verdict->findings[row->worst];
    const char *name = target_table[row->target].name, *loads = row->loads ? "yes" : "no";
    for (int i = 0; i < (row->use_count ? row->use_count : 1); i++) {
        const KernelUse use = row->use_count ? row->uses[i] : (KernelUse){.kernel = "-", .inputs = "-"};
        printf("%-13s %-5s %7d  %-24s %s", i ? "" : name, i ? "" : loads, use.linears, use.kernel, use.inputs);
        if (i == 0 && worst)
            printf("%*s%s: %s", 21 - (int)strlen(use.inputs), "", severity_names[worst->severity], worst->name);
        putchar('\n');
    }
}

// "layers 3–5", on terminals without such a dash "layers 3-5".
static void print_dashed(const char *text, size_t length) {
    static const char dash[] = "–";
    Text plain = {0};
    text_add(&plain, "", 0);
    for (size_t i = 0; i < length; i++) {
        const bool is_dash = !output_is_utf8() && strncmp(text + i, dash, sizeof dash - 1) == 0;
        text_add(&plain, is_dash ? "-" : text + i, 1);
        if (is_dash) i += sizeof dash - 2;
    }
    print_name(plain.data ? plain.data : "", 0);
    text_free(&plain);
}

static void print_finding(const Engine *engine, const Finding *finding) {
    printf("\n%s %s:", severity_names[finding->severity], finding->name);
    for (int t = 0; t < TARGET_COUNT; t++)
        if (finding->targets >> t & 1) printf(" %s", target_table[t].name);
    printf(" (%s)\n  ", evidence_names[finding->evidence]);
    if (finding->linear_count) {
        Text linears = {0};
        linears_describe(engine_structure(engine), finding->linears, finding->linear_count, &linears);
        print_dashed(linears.data ? linears.data : "", linears.length);
        printf(": ");
        text_free(&linears);
    }
    printf("%s\n  %s\n", finding->what, finding->remedy);
}

void verdict_print(const Engine *engine, const Verdict *verdict) {
    if (verdict->row_count == 0) return;
    printf("%-13s %-5s %7s  %-24s %-20s %s\n", "engine", "loads", "linears", "kernel", "inputs there", "worst");
    for (int i = 0; i < verdict->row_count; i++) print_row(verdict, &verdict->rows[i]);
    for (int i = 0; i < verdict->finding_count; i++) print_finding(engine, &verdict->findings[i]);
    putchar('\n');
}

// ---- Engines and formats ----

static bool stands(const Options *options, const Engine *engine, ExportFormat format, Target target, Standing *out) {
    const VerdictWish wish = {format, 1U << target, options->export.odd_bits};
    return verdict_standing(engine_recipe(engine), engine_structure(engine), &engine_stats(engine)->measured,
                            engine_plan(engine), &wish, out, NULL);
}

static int column(ExportFormat format) { return format + 1 < EXPORT_DENSE ? 18 : 0; }

// The formats that engines read, in columns; dense is read as the model was.
void standings_print(const Options *options, const Engine *engine) {
    printf("%-13s", "engine");
    for (ExportFormat format = 0; format < EXPORT_DENSE; format++)
        printf(" %-*s", column(format), export_format_names[format]);
    for (Target target = 0; target < TARGET_COUNT; target++) {
        printf("\n%-13s", target_table[target].name);
        for (ExportFormat format = 0; format < EXPORT_DENSE; format++) {
            Standing standing;
            if (!stands(options, engine, format, target, &standing)) return;
            printf(" %-*s", column(format), standing_names[standing]);
        }
    }
    printf("\nmended: loads after --fix. dense: whatever reads the model as it was reads it.\n\n");
}

static bool says_the_same(const Finding *a, const Finding *b) {
    return strcmp(a->name, b->name) == 0 && a->severity == b->severity && !a->change_count == !b->change_count;
}

// The engines of all findings that say the same as this one, of other linears or with other changes; none where one
// before it does.
static Targets targets_of_all(const Verdict *verdict, const Finding *finding) {
    Targets targets = 0;
    for (int i = 0; i < verdict->finding_count; i++) {
        const Finding *other = &verdict->findings[i];
        if (!says_the_same(other, finding)) continue;
        if (other < finding) return 0;
        targets |= other->targets;
    }
    return targets;
}

static void warn_of(const Finding *finding, Targets targets, bool mended) {
    Text names = {0};
    targets_list(targets, &names);
    fprintf(stderr, "%s: %s by %s: %s %s\n", mended ? "note: mended in the result" : "warning",
            severity_names[finding->severity], names.data ? names.data : "", finding->what, finding->remedy);
    text_free(&names);
}

// searched: bits and groups will be others, and what a recipe can mend is mended.
static void warn_by(const Engine *engine, const VerdictWish *wish, bool searched) {
    Verdict verdict;
    if (!judge(engine, wish, &verdict, NULL)) return;
    for (int i = 0; i < verdict.finding_count && verdict.findings[i].severity >= SEVERITY_MISREAD; i++) {
        const Finding *finding = &verdict.findings[i];
        const Targets targets = targets_of_all(&verdict, finding);
        if (!targets || (searched && finding_is_of_scheme(finding))) continue;
        warn_of(finding, targets, searched && finding->change_count);
    }
    verdict_free(&verdict);
}

void verdict_warn(const Options *options, const Engine *engine) {
    const VerdictWish wish = wish_of(options);
    if (!options->quiet) warn_by(engine, &wish, false);
}

// ---- What a search keeps to ----

void verdict_restrict(const Options *options, const Engine *engine, Engines *out) {
    Targets left = options->targets;
    *out = (Engines){0};
    for (ExportFormat format = 0; left && format < EXPORT_FORMAT_COUNT; format++) {
        const VerdictWish wish = {.format = format, .targets = left & targets_of_format(format)};
        if (!wish.targets) continue;
        left &= ~wish.targets;
        out->wishes[out->count++] = wish;
        if (!options->quiet) warn_by(engine, &wish, true);
    }
}

// ---- JSON ----

static cJSON *row_json(const Verdict *verdict, const VerdictRow *row) {
    const TargetInfo *info = &target_table[row->target];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "engine", info->name);
    cJSON_AddStringToObject(object, "title", info->title);
    cJSON_AddStringToObject(object, "version", info->version);
    cJSON_AddBoolToObject(object, "loads", row->loads);
    if (row->worst < 0)
        cJSON_AddNullToObject(object, "worst");
    else
        cJSON_AddStringToObject(object, "worst", severity_names[verdict->findings[row->worst].severity]);
    cJSON *kernels = cJSON_AddArrayToObject(object, "kernels");
    for (int i = 0; i < row->use_count; i++) {
        cJSON *use = cJSON_CreateObject();
        cJSON_AddStringToObject(use, "kernel", row->uses[i].kernel);
        cJSON_AddStringToObject(use, "activations", row->uses[i].inputs);
        cJSON_AddNumberToObject(use, "linears", row->uses[i].linears);
        cJSON_AddItemToArray(kernels, use);
    }
    return object;
}

static cJSON *change_json(const Engine *engine, const VerdictChange *change) {
    cJSON *object = cJSON_CreateObject();
    if (change->linear < 0)
        cJSON_AddNullToObject(object, "match");
    else
        cJSON_AddStringToObject(object, "match", engine_structure(engine)->linears[change->linear].name);
    char value[64];
    if (change->dial >= 0) dial_format((Dial)change->dial, change->value, value, sizeof value);
    cJSON_AddStringToObject(object, "dial", change->dial < 0 ? "ignore" : dial_table[change->dial].option);
    if (change->dial < 0)
        cJSON_AddNullToObject(object, "value");
    else
        cJSON_AddStringToObject(object, "value", value);
    return object;
}

static cJSON *finding_json(const Engine *engine, const Finding *finding) {
    cJSON *object = cJSON_CreateObject();
    cJSON_AddStringToObject(object, "name", finding->name);
    cJSON_AddStringToObject(object, "severity", severity_names[finding->severity]);
    cJSON_AddStringToObject(object, "evidence", evidence_names[finding->evidence]);
    cJSON *engines = cJSON_AddArrayToObject(object, "engines");
    for (int t = 0; t < TARGET_COUNT; t++)
        if (finding->targets >> t & 1) cJSON_AddItemToArray(engines, cJSON_CreateString(target_table[t].name));
    cJSON_AddStringToObject(object, "what", finding->what);
    cJSON_AddStringToObject(object, "remedy", finding->remedy);
    cJSON *linears = cJSON_AddArrayToObject(object, "linears");
    for (int i = 0; i < finding->linear_count; i++)
        cJSON_AddItemToArray(linears, cJSON_CreateString(engine_structure(engine)->linears[finding->linears[i]].name));
    cJSON *changes = cJSON_AddArrayToObject(object, "changes");
    for (int i = 0; i < finding->change_count; i++)
        cJSON_AddItemToArray(changes, change_json(engine, &finding->changes[i]));
    return object;
}

void verdict_add_json(cJSON *object, const Engine *engine, const Verdict *verdict) {
    cJSON *engines = cJSON_AddArrayToObject(object, "engines");
    for (int i = 0; i < verdict->row_count; i++) cJSON_AddItemToArray(engines, row_json(verdict, &verdict->rows[i]));
    cJSON *findings = cJSON_AddArrayToObject(object, "findings");
    for (int i = 0; i < verdict->finding_count; i++)
        cJSON_AddItemToArray(findings, finding_json(engine, &verdict->findings[i]));
}

void standings_add_json(const Options *options, cJSON *object, const Engine *engine) {
    cJSON *list = cJSON_AddArrayToObject(object, "formats");
    for (ExportFormat format = 0; format < EXPORT_DENSE; format++)
        for (Target target = 0; target < TARGET_COUNT; target++) {
            Standing standing;
            if (!stands(options, engine, format, target, &standing)) return;
            if (standing == STANDING_UNREAD) continue;
            cJSON *cell = cJSON_CreateObject();
            cJSON_AddStringToObject(cell, "format", export_format_names[format]);
            cJSON_AddStringToObject(cell, "engine", target_table[target].name);
            cJSON_AddStringToObject(cell, "standing", standing_names[standing]);
            cJSON_AddItemToArray(list, cell);
        }
}

// ---- --fix ----

static bool take_over(const Options *options, Engine *engine, VerdictFix *fix, Fixed *out, Error *err) {
    const Plan *before = engine_plan(engine);
    out->changes = fix->changes;
    out->change_count = fix->change_count;
    fix->changes = (Text){0};
    out->bytes_before = before->bytes;
    out->bits_before = before->bits_per_weight;
    out->measured = options->measure && out->change_count;
    Accuracy accuracy;
    if (out->measured && !evaluate_plan(options, engine, &accuracy, err)) return false;
    if (out->measured) out->kl_before = out->kl = accuracy.kl_mean;
    if (out->change_count) {
        engine_set_recipe(engine, &fix->recipe);
        const bool ok = engine_prepare_export(engine, watch_start(options), err);
        watch_end();
        if (!ok) return false;
    }
    out->bytes = engine_plan(engine)->bytes;
    out->bits = engine_plan(engine)->bits_per_weight;
    return true;
}

bool fix_recipe(const Options *options, Engine *engine, Fixed *out, Error *err) {
    *out = (Fixed){.asked = options->fix};
    if (!options->fix) return true;
    VerdictFix fix;
    const VerdictWish wish = wish_of(options);
    const bool ok = verdict_fix(engine_recipe(engine), engine_structure(engine), &engine_stats(engine)->measured, &wish,
                                &fix, err) &&
                    take_over(options, engine, &fix, out, err);
    verdict_fix_free(&fix);
    return ok;
}

void fixed_free(Fixed *fixed) { text_free(&fixed->changes); }

void fixed_print(const Fixed *fixed) {
    char before[32], after[32];
    if (!fixed->asked) return;
    if (!fixed->change_count) {
        printf("--fix: nothing that the recipe could mend\n\n");
        return;
    }
    printf("--fix changed the recipe:\n");
    for (const char *line = fixed->changes.data; *line;) {
        const size_t length = strcspn(line, "\n");
        printf("  ");
        print_dashed(line, length);
        putchar('\n');
        line += length + (line[length] == '\n');
    }
    printf("%s %s %s, %.3f %s %.3f bits per weight", in_megabytes((double)fixed->bytes_before, before, sizeof before),
           arrow(), in_megabytes((double)fixed->bytes, after, sizeof after), fixed->bits_before, arrow(), fixed->bits);
    if (fixed->measured) printf(", KL divergence %.4g %s %.4g", fixed->kl_before, arrow(), fixed->kl);
    printf("\n\n");
}

void fixed_add_json(cJSON *object, const Fixed *fixed) {
    if (!fixed->asked) return;
    cJSON *fix = cJSON_AddObjectToObject(object, "fix");
    cJSON *changes = cJSON_AddArrayToObject(fix, "changes");
    for (const char *line = fixed->changes.data; *line;) {
        const size_t length = strcspn(line, "\n");
        cJSON_AddItemToArray(changes, json_from_bytes(line, length));
        line += length + (line[length] == '\n');
    }
    cJSON_AddNumberToObject(fix, "bytes_before", (double)fixed->bytes_before);
    cJSON_AddNumberToObject(fix, "bytes", (double)fixed->bytes);
    json_add_number(fix, "bits_per_weight_before", fixed->bits_before);
    json_add_number(fix, "bits_per_weight", fixed->bits);
    json_add_number(fix, "kl_before", fixed->measured ? fixed->kl_before : (double)NAN);
    json_add_number(fix, "kl", fixed->measured ? fixed->kl : (double)NAN);
}
