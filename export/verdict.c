#include "export/verdict.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "export/verdict_parts.h"

const char *const severity_names[] = {"note", "slower", "misread", "refused"};
static_assert(sizeof severity_names / sizeof *severity_names == SEVERITY_REFUSED + 1, "a severity has no name");
const char *const evidence_names[] = {"read", "mocked", "tried"};
static_assert(sizeof evidence_names / sizeof *evidence_names == EVIDENCE_TRIED + 1, "a kind of evidence has no name");

typedef struct Making {
    Case c;
    Verdict *out;
    size_t capacity;
    int *found;            // [linear_count]: linears that a rule means
    bool told[RULE_COUNT]; // by the facts of a target
    bool idle[RULE_COUNT]; // its condition holds for no linear
    bool refused;          // by the target at hand, whatever the plan: nothing else counts then
} Making;

// ---- Findings ----

static bool copy_linears(Finding *finding, const int *linears, int count) {
    finding->linears = array_new((size_t)count + 1, sizeof *finding->linears);
    if (!finding->linears) return false;
    if (count) memcpy(finding->linears, linears, (size_t)count * sizeof *linears);
    finding->linear_count = count;
    return true;
}

static bool collect_changes(const Case *c, const Rule *rule, Finding *finding) {
    const int count = finding->linear_count ? finding->linear_count : 1;
    if (rule->mend == MEND_NOT) return true;
    finding->changes = array_new(CHANGES_MOST * (size_t)count, sizeof *finding->changes);
    if (!finding->changes) return false;
    for (int i = 0; i < count; i++) {
        const int linear = finding->linear_count ? finding->linears[i] : -1;
        finding->change_count += changes_of(c, rule, linear, finding->changes + finding->change_count);
    }
    return true;
}

static Finding *same_finding(const Verdict *verdict, const Rule *rule, const int *linears, int count) {
    for (int i = 0; i < verdict->finding_count; i++) {
        Finding *f = &verdict->findings[i];
        if (f->name == rule->name && f->linear_count == count &&
            (count == 0 || memcmp(f->linears, linears, (size_t)count * sizeof *linears) == 0))
            return f;
    }
    return NULL;
}

// There was no device to try CUDA on, and no build of SGLang.
static Evidence evidence_in(const Rule *rule, Target target) {
    const Targets tried = 1U << TARGET_VLLM_CPU | 1U << TARGET_TRANSFORMERS | 1U << TARGET_MLX;
    return rule->evidence == EVIDENCE_TRIED && !(tried >> target & 1) ? EVIDENCE_READ : rule->evidence;
}

// Targets that say the same of the same linears share a finding.
static bool add_finding(Making *m, const Rule *rule, Target target, int count) {
    Verdict *out = m->out;
    const Evidence evidence = evidence_in(rule, target);
    Finding *finding = same_finding(out, rule, m->found, count);
    if (finding) {
        finding->targets |= 1U << target;
        if (evidence < finding->evidence) finding->evidence = evidence;
        return true;
    }
    if (!array_grow(&out->findings, (size_t)out->finding_count, &m->capacity, sizeof *out->findings)) return false;
    finding = &out->findings[out->finding_count++];
    *finding = (Finding){.name = rule->name,
                         .severity = rule->severity,
                         .evidence = evidence,
                         .targets = 1U << target,
                         .what = rule->what,
                         .remedy = rule->remedy};
    return copy_linears(finding, m->found, count) && collect_changes(&m->c, rule, finding);
}

// The conditions of these are other ones in each target.
static bool follows_facts(RuleId id) { return id == RULE_INPUTS_DROPPED || id == RULE_EXPERT_INPUTS_DROPPED; }

// The linears that a rule means, into found.
static int find_linears(Making *m, RuleId id, bool (*holds)(const Case *c, int linear)) {
    int count = 0;
    bool held = false;
    for (int i = 0; i < m->c.plan->linear_count; i++) {
        if (!m->c.facts[i]) continue;
        const bool meant = holds && holds(&m->c, i);
        held |= meant;
        if (meant || m->c.facts[i]->rule == id) m->found[count++] = i;
    }
    m->idle[id] |= holds && !held && !follows_facts(id);
    return count;
}

static bool apply_rule(Making *m, const Rule *rule, Target target) {
    const bool meant = rule->targets >> target & 1 && rule->formats >> m->c.format & 1;
    if (meant && rule->model && rule->model(&m->c)) {
        m->refused |= rule->severity == SEVERITY_REFUSED;
        return add_finding(m, rule, target, 0);
    }
    const RuleId id = (RuleId)(rule - verdict_rules);
    const bool asks = meant && rule->linear && !m->idle[id];
    if (!m->told[id] && !asks) return true;
    const int count = find_linears(m, id, asks ? rule->linear : NULL);
    return count == 0 || add_finding(m, rule, target, count);
}

// ---- What runs ----

static bool same_text(const char *a, const char *b) { return a == b || strcmp(a, b) == 0; }

static const char *inputs_asked(const Case *c, int linear) {
    static const char *const names[] = {[POLICY_NONE] = "16 bit",
                                        [POLICY_STATIC] = "int8, static",
                                        [POLICY_TOKEN] = "int8 per token",
                                        [POLICY_CHANNEL] = "int8 per channel"};
    static_assert(sizeof names / sizeof *names == POLICY_CHANNEL + 1, "a policy has no name");
    return names[format_holds_inputs(c->format) ? c->plan->decisions[linear].activations : POLICY_NONE];
}

static void count_use(VerdictRow *row, int linear, const char *kernel, const char *inputs) {
    int at = 0;
    while (at < row->use_count && !(same_text(row->uses[at].kernel, kernel) && same_text(row->uses[at].inputs, inputs)))
        at++;
    row->use_of[linear] = (uint8_t)at;
    if (at == VERDICT_USES) return;
    if (at == row->use_count) row->uses[row->use_count++] = (KernelUse){.kernel = kernel, .inputs = inputs};
    row->uses[at].linears++;
}

// Most linears first; what is equal stays in the order of the model.
static void sort_uses(VerdictRow *row, int linear_count) {
    KernelUse sorted[VERDICT_USES];
    uint8_t place[VERDICT_USES + 1];
    for (int i = 0; i < row->use_count; i++) {
        int before = 0;
        for (int j = 0; j < row->use_count; j++)
            before +=
                row->uses[j].linears > row->uses[i].linears || (row->uses[j].linears == row->uses[i].linears && j < i);
        place[i] = (uint8_t)before;
        sorted[before] = row->uses[i];
    }
    memcpy(row->uses, sorted, (size_t)row->use_count * sizeof *sorted);
    for (int i = 0; i < linear_count; i++)
        if (row->use_of[i] < row->use_count) row->use_of[i] = place[row->use_of[i]];
}

// Of a model that does not load nothing runs.
static bool list_uses(const Making *m, VerdictRow *row) {
    row->use_of = array_new((size_t)m->c.plan->linear_count + 1, sizeof *row->use_of);
    if (!row->use_of) return false;
    for (int i = 0; i < m->c.plan->linear_count; i++) {
        row->use_of[i] = VERDICT_USES;
        const Fact *fact = m->c.facts[i];
        if (!fact || m->refused) continue;
        const char *inputs = fact->gives ? fact->gives : inputs_asked(&m->c, i);
        count_use(row, i, fact->kernel ? fact->kernel : "none", fact->kernel ? inputs : "-");
    }
    sort_uses(row, m->c.plan->linear_count);
    return true;
}

// Whatever a fact is chosen by is the same for both.
static bool are_alike(const Case *c, int i, int k) {
    const Linear *a = &c->structure->linears[i], *b = &c->structure->linears[k];
    const Decision *x = &c->plan->decisions[i], *y = &c->plan->decisions[k];
    return a->in == b->in && c->fused_out[i] == c->fused_out[k] && (a->expert < 0) == (b->expert < 0) &&
           x->bits == y->bits && x->grid == y->grid && x->granularity == y->granularity && x->group == y->group &&
           x->activations == y->activations;
}

// Thousands of experts have few facts between them.
static void find_facts(Making *m, Target target) {
    int last[ROLE_COUNT];
    memset(m->told, 0, sizeof m->told);
    for (int role = 0; role < ROLE_COUNT; role++) last[role] = -1;
    for (int i = 0; i < m->c.plan->linear_count; i++) {
        int *like = &last[m->c.structure->linears[i].role];
        m->c.facts[i] = NULL;
        if (!m->c.plan->decisions[i].quantized) continue;
        m->c.facts[i] = *like >= 0 && are_alike(&m->c, i, *like) ? m->c.facts[*like] : fact_of(&m->c, target, i);
        m->told[m->c.facts[i]->rule] = true;
        *like = i;
    }
}

static bool judge_target(Making *m, Target target) {
    VerdictRow *row = &m->out->rows[m->out->row_count++];
    *row = (VerdictRow){.target = target, .loads = true, .worst = -1};
    m->refused = false;
    find_facts(m, target);
    for (int r = RULE_NONE + 1; r < RULE_COUNT && !m->refused; r++)
        if (!apply_rule(m, &verdict_rules[r], target)) return false;
    return list_uses(m, row);
}

// ---- The whole ----

static int compare_findings(const void *a, const void *b) {
    const Finding *x = a, *y = b;
    if (x->severity != y->severity) return x->severity > y->severity ? -1 : 1;
    if (x->severity == SEVERITY_REFUSED && !x->linear_count != !y->linear_count) return x->linear_count ? 1 : -1;
    return y->linear_count - x->linear_count;
}

static void summarize(Verdict *verdict) {
    if (verdict->finding_count)
        qsort(verdict->findings, (size_t)verdict->finding_count, sizeof *verdict->findings, compare_findings);
    for (int r = 0; r < verdict->row_count; r++) {
        VerdictRow *row = &verdict->rows[r];
        for (int i = 0; i < verdict->finding_count && row->worst < 0; i++)
            if (verdict->findings[i].targets >> row->target & 1) row->worst = i;
        row->loads = row->worst < 0 || verdict->findings[row->worst].severity < SEVERITY_REFUSED;
    }
}

bool verdict_make(const ModelStructure *structure, const Measured *measured, const Plan *plan, const VerdictWish *wish,
                  Verdict *out, Error *err) {
    const size_t linears = (size_t)structure->linear_count + 1;
    const Targets targets = wish->targets & targets_of_format(wish->format);
    *out = (Verdict){0};
    Making m = {.c = {.structure = structure,
                      .measured = measured,
                      .plan = plan,
                      .format = wish->format,
                      .targets = targets,
                      .odd_bits = wish->odd_bits,
                      .differ = array_new(linears, sizeof *m.c.differ),
                      .wish = array_new(linears, sizeof *m.c.wish),
                      .fused_out = array_new(linears, sizeof *m.c.fused_out),
                      .facts = array_new(linears, sizeof *m.c.facts)},
                .out = out,

                .found = array_new(linears, sizeof *m.found)};
    bool ok = m.c.differ && m.c.wish && m.c.fused_out && m.c.facts && m.found && sets_find(&m.c, err);
    for (int t = 0; ok && t < TARGET_COUNT; t++)
        if (targets >> t & 1) ok = judge_target(&m, (Target)t);
    if (ok) summarize(out);
    free(m.c.differ);
    free(m.c.wish);
    free(m.c.fused_out);
    free(m.c.facts);
    free(m.found);
    if (!ok) {
        verdict_free(out);
        return error_memory(err, "the verdict");
    }
    return true;
}

void verdict_free(Verdict *verdict) {
    for (int i = 0; i < verdict->finding_count; i++) {
        free(verdict->findings[i].linears);
        free(verdict->findings[i].changes);
    }
    free(verdict->findings);
    for (int r = 0; r < verdict->row_count; r++) free(verdict->rows[r].use_of);
    *verdict = (Verdict){0};
}

bool verdict_wish_equal(const VerdictWish *a, const VerdictWish *b) {
    return a->format == b->format && a->targets == b->targets && a->odd_bits == b->odd_bits;
}

bool verdict_has(const Verdict *verdict, Severity severity) {
    return verdict->finding_count && verdict->findings[0].severity >= severity;
}
