#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/markup.h"
#include "cli/report.h"
#include "kernels/standing_out.h"
#include "quant/equalize.h"

// ---- what every page has ------------------------------------------------------------------------------------------

static const char style[] =
    ":root{color-scheme:light dark;--bg:#fff;--text:#1c2128;--faint:#667080;--line:#dde1e6;--panel:#f6f7f9;"
    "--accent:#0b6bb0;--mark:#ffd9c2;--s0:#edf0f3;--s1:#fbe3b5;--s2:#f7b565;--s3:#e5713a;--s4:#a9242c;--on4:#fff;--"
    "bars:#3b82b8}\n"
    "@media(prefers-color-scheme:dark){:root{--bg:#14171c;--text:#d9dee5;--faint:#8a919c;--line:#333a45;"
    "--panel:#1b2027;--accent:#6cc7f5;--mark:#6b3417;--s0:#242a33;--s1:#574a2a;--s2:#93651f;--s3:#d0651f;--s4:#ff6a5c;-"
    "-on4:#1c0b08;"
    "--bars:#5f9fcb}}\n"
    "body{margin:0;background:var(--bg);color:var(--text);font:16px/1.5 system-ui,sans-serif}\n"
    "main{max-width:64rem;margin:auto;padding:1rem 1.5rem 4rem}\n"
    "h1{font-size:1.7rem;margin:1rem 0 .3rem}h2{font-size:1.2rem;margin:2.5rem 0 .6rem}h3{font-size:1rem;margin:0 0 "
    ".3rem;overflow-wrap:anywhere}\n"
    "p{margin:.4rem 0}.faint,figcaption,footer{color:var(--faint);font-size:.85rem}.warn{color:var(--s4)}\n"
    "figure{margin:1.2rem 0}svg{display:block;width:100%;height:auto;overflow:visible}\n"
    "svg text{font:11px system-ui,sans-serif;fill:var(--text);text-anchor:middle}svg .axis{fill:var(--faint)}"
    "svg .line{text-anchor:start}svg .t4{fill:var(--on4)}\n"
    ".s-1{fill:none;stroke:var(--line)}.s0{fill:var(--s0);background:var(--s0)}.s1{fill:var(--s1);background:var(--s1)}"
    ".s2{fill:var(--s2);background:var(--s2)}.s3{fill:var(--s3);background:var(--s3)}.s4{fill:var(--s4);"
    "background:var(--s4)}\n"
    ".bars{fill:var(--bars)}.threshold{stroke:var(--s3);stroke-dasharray:4 3;fill:none}\n"
    "table{border-collapse:collapse;width:100%;font-size:.85rem;font-variant-numeric:tabular-nums}\n"
    "th,td{text-align:right;padding:.25rem .5rem;border-bottom:1px solid var(--line);white-space:nowrap}\n"
    "th:first-child,td:first-child{text-align:left;white-space:normal;overflow-wrap:anywhere}th{color:var(--faint);"
    "font-weight:600}\n"
    ".sort th{cursor:pointer}.wide{overflow-x:auto}\n"
    ".cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(22rem,1fr));gap:1rem}\n"
    "article,.text{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:.8rem 1rem;"
    "min-width:0}\n"
    ".share{display:grid;grid-template-columns:4.5rem 1fr 4rem;gap:.5rem;align-items:center;font-size:.85rem}"
    ".share span:last-child{text-align:right}.share i{display:block;height:.6rem;background:var(--line)}.share "
    "b{display:block;height:.6rem;background:var(--bars)}.share .input{background:var(--s3)}\n"
    ".text{white-space:pre-wrap;overflow-wrap:anywhere}mark{background:var(--mark);color:inherit}\n"
    "pre{background:var(--panel);border:1px solid var(--line);border-radius:6px;padding:.8rem 1rem;overflow:auto;"
    "font-size:.8rem}\n";

// Without it the tables stay in the order of the model.
static const char script[] =
    "document.querySelectorAll('table.sort').forEach(t=>{const heads=[...t.tHead.rows[0].cells];heads.forEach((h,i)=>{"
    "const sort=()=>{const down=h.getAttribute('aria-sort')!=='descending';"
    "heads.forEach(o=>o.removeAttribute('aria-sort'));h.setAttribute('aria-sort',down?'descending':'ascending');"
    "const of=r=>{const c=r.cells[i];return c.dataset.v===undefined?c.textContent:parseFloat(c.dataset.v)};"
    "[...t.tBodies[0].rows].sort((r,s)=>{const a=of(r),b=of(s);if(typeof a==='string')return(down?-1:1)*"
    "a.localeCompare(b,undefined,{numeric:true});if(isNaN(a)||isNaN(b))return isNaN(a)-isNaN(b);"
    "return down?b-a:a-b}).forEach(r=>t.tBodies[0].append(r))};h.tabIndex=0;h.onclick=sort;"
    "h.onkeydown=e=>{if(e.key==='Enter')sort()}})})\n";

static void add(Text *page, const char *markup) { text_add(page, markup, strlen(markup)); }

static const Linear *linear_at(const Report *r, int linear) { return &engine_structure(r->engine)->linears[linear]; }

static const char *model_name(const Report *r) { return engine_structure(r->engine)->checkpoint->name; }

// ---- what it costs ------------------------------------------------------------------------------------------------

// What to take home, in words.
static void add_summary(const Report *r, Text *page) {
    const Accuracy *a = &r->accuracy;
    const Plan *plan = engine_plan(r->engine);
    char before[32], after[32], bits[48], ppl[2][24];
    text_addf(
        page, "<p>From %s to <strong>%s</strong>, %s. ", in_megabytes((double)plan->base_bytes, before, sizeof before),
        in_megabytes((double)plan->bytes, after, sizeof after), bits_text(plan->bits_per_weight, bits, sizeof bits));
    text_addf(page, "On %llu tokens of <em>", (unsigned long long)a->tokens);
    markup_text(page, engine_text_name(r->engine, TEXT_EVALUATION));
    text_addf(page,
              "</em> text both models put the same token first at <strong>%.1f %%</strong> (±%.1f) of the positions. "
              "KL divergence is <strong>%.4f</strong> ±%.4f nats, perplexity goes from %s to %s.</p>\n",
              100 * a->top1, 100 * a->top1_se, a->kl_mean, a->kl_se, ppl_text(a->base_ppl, ppl[0], sizeof *ppl),
              ppl_text(a->ppl, ppl[1], sizeof *ppl));
    if (a->tokens < FEWEST_TOKENS)
        text_addf(page,
                  "<p class=\"warn\">These are too few tokens for the figures to mean anything; the least is %d.</p>\n",
                  FEWEST_TOKENS);
}

static void add_row(Text *page, const char *label, const char *base, const char *quantized) {
    text_addf(page, "<tr><td>%s</td><td>%s</td><td>%s</td></tr>\n", label, base, quantized);
}

#define ROW(label, base, ...)                       \
    do {                                            \
        char cell_[96];                             \
        snprintf(cell_, sizeof cell_, __VA_ARGS__); \
        add_row(page, label, base, cell_);          \
    } while (0)

static void add_costs(const Report *r, Text *page) {
    const Accuracy *a = &r->accuracy;
    const Plan *plan = engine_plan(r->engine);
    const DecodeSpeed *speed = &r->sides.speed;
    char base[64], size[32], ppl[2][24];
    add(page,
        "<h2>What it costs</h2>\n<table><thead><tr><th></th><th>base</th><th>quantized</th></tr></thead><tbody>\n");
    in_megabytes((double)plan->base_bytes, base, sizeof base);
    ROW("size", base, "%s", in_megabytes((double)plan->bytes, size, sizeof size));
    snprintf(base, sizeof base, "%s ±%s", ppl_text(a->base_ppl, ppl[0], sizeof *ppl),
             ppl_text(a->base_ppl_se, ppl[1], sizeof *ppl));
    ROW("perplexity", base, "%s ±%s", ppl_text(a->ppl, ppl[0], sizeof *ppl), ppl_text(a->ppl_se, ppl[1], sizeof *ppl));
    ROW("ln of the ratio of perplexities", "0", "%+.5f ±%.5f", a->ppl_ratio_log, a->ppl_ratio_se);
    ROW("KL divergence, mean", "0", "%.5f ±%.5f", a->kl_mean, a->kl_se);
    ROW("KL divergence, median and 99 %", "0", "%.5f, %.4f", a->kl_median, a->kl_p99);
    ROW("same first token", "100 %", "%.2f %% ±%.2f", 100 * a->top1, 100 * a->top1_se);
    if (speed->pairs) {
        rate_text(speed->first.median, base, sizeof base);
        ROW("tokens a second, decoding", base, "%s (%.2f–%.2f times the base)",
            rate_text(speed->second.median, size, sizeof size), speed->ratio.least, speed->ratio.most);
    }
    add(page, "</tbody></table>\n<p class=\"faint\">± is one standard error. ");
    if (speed->pairs) {
        add(page, "Speed: on this machine, ");
        markup_text(page, r->sides.backend);
        add(page, ".");
    }
    add(page, "</p>\n");
}

// ---- outliers -----------------------------------------------------------------------------------------------------

static void add_channels(const Report *r, Text *page) {
    const SharedChannels *found = &r->channels;
    if (!found->count) return;
    text_addf(page,
              "<h3>Channels that stay outliers</h3>\n<p>Beyond %g times the median channel in several of the %d inputs "
              "that a norm feeds. In most tokens: factors (LAE, smooth) take it out. In few: a scale per token. "
              "Tokens: the largest "
              "share in any of these inputs, of those in which the channel is above %d times the mean magnitude of its "
              "token.</p>\n"
              "<div class=\"wide\"><table class=\"sort\"><thead><tr><th>channel</th><th>inputs</th><th>largest, times "
              "the median</th><th>tokens</th></tr></thead><tbody>\n",
              found->factor, found->input_count, STANDS_OUT);
    for (int i = 0; i < found->count && i < 12; i++) {
        const SharedChannel *c = &found->channels[i];
        text_addf(page,
                  "<tr><td data-v=\"%u\">%u</td><td data-v=\"%d\">%d</td><td data-v=\"%g\">%.3g</td><td "
                  "data-v=\"%g\">%.3g %%</td></tr>\n",
                  c->channel, c->channel, c->inputs, c->inputs, c->largest_ratio, c->largest_ratio, c->token_share,
                  100 * c->token_share);
    }
    add(page, "</tbody></table></div>\n");
}

static void add_outliers(const Report *r, Text *page) {
    add(page, "<h2>Where the outliers are</h2>\n<p class=\"faint\">The better half of a map is pale. Point at a cell "
              "for its linear and value; all values are in the table below.</p>\n");
    for (int measure = 0; measure < REPORT_MEASURES; measure++) {
        Error err = {0};
        if (!report_map(r, (ReportMeasure)measure, page, &err)) page->failed = true;
    }
    add_channels(r, page);
}

// ---- the worst linears --------------------------------------------------------------------------------------------

static void add_percent(Text *page, double share) {
    char percent[16];
    markup_text(page, why_percent(share, percent, sizeof percent));
}

static void add_share(Text *page, const char *label, double share) {
    text_addf(page, "<div class=\"share\"><span>%s</span><i><b class=\"%s\" style=\"width:%.1f%%\"></b></i><span>",
              label, label, 100 * share);
    add_percent(page, share);
    add(page, "</span></div>\n");
}

// How far the channel reaches, before and after factors; and in how many tokens.
static void add_channel(const Why *why, const Decision *decision, const InputStats *input, Text *page) {
    char reach[32], ratio[32], after[32];
    text_addf(page, "<p>Channel %u reaches %s, %s times the median channel", why->raw_channel,
              report_figure((double)input->channel_absmax[why->raw_channel], reach, sizeof reach),
              report_figure(why->raw_ratio, ratio, sizeof ratio));
    if (decision_equalizes(decision))
        text_addf(page, " (after %s no channel is beyond %s times)", why_factors_name(decision),
                  report_figure(why->channel_ratio, after, sizeof after));
    text_addf(page, ", and is above %d times its token’s mean in %.3g %% of tokens. ", STANDS_OUT,
              100 * (double)input->channel_tokens[why->raw_channel] / (double)input->tokens);
    text_addf(page, "Column %u can bring ", why->column);
    add_percent(page, why->column_share);
    add(page, " of what the weights err.</p>\n");
}

static void add_why(const Report *r, const WorstLinear *worst, Text *page) {
    const Why *why = &worst->why;
    const Decision *decision = &engine_plan(r->engine)->decisions[worst->linear];
    const double weights = why_weights_share(why);
    char text[400], mends[320];
    if (isnan(weights)) return;
    const WhyPlace place = why_place(r->output_db, engine_structure(r->engine)->linear_count, worst->linear);
    why_text(why, &engine_stats(r->engine)->weights[worst->linear], decision, place, text, sizeof text);
    remedies_text(&worst->remedies, mends, sizeof mends);
    mends[0] = (char)toupper((unsigned char)mends[0]);
    add(page, "<p><strong>");
    markup_text(page, text);
    text_addf(page, "</strong></p>\n<p>%s.</p>\n", mends);
    add_share(page, "weights", weights);
    add_share(page, "input", 1 - weights);
    add_channel(why, decision, &engine_stats(r->engine)->inputs[linear_at(r, worst->linear)->input], page);
}

static void add_worst(const Report *r, const WorstLinear *worst, Text *page) {
    const Linear *linear = linear_at(r, worst->linear);
    const WeightStats *weights = &engine_stats(r->engine)->weights[worst->linear];
    const InputStats *input = &engine_stats(r->engine)->inputs[linear->input];
    const Recipe *recipe = engine_recipe(r->engine);
    const double db = r->output_db[worst->linear];
    add(page, "<article><h3>");
    markup_text(page, linear->name);
    text_addf(page, "</h3>\n<p class=\"faint\">%zu × %zu, output %.1f dB: errs by %.3g %%</p>\n", linear->out,
              linear->in, db, 100 * pow(10, -db / 20));
    if (worst->explained) add_why(r, worst, page);
    if (weights->known && weights->absmax > 0) report_weights(weights, page);
    if (input->known && input->tokens)
        report_input(input, recipe_value(recipe, DIAL_V0, linear->name), recipe_value(recipe, DIAL_V1, linear->name),
                     page);
    add(page, "</article>\n");
}

// ---- texts --------------------------------------------------------------------------------------------------------

// How many bytes both texts share, back to the start of a character.
static size_t shared_bytes(const Text *a, const Text *b) {
    const size_t least = a->length < b->length ? a->length : b->length;
    size_t n = 0;
    while (n < least && a->data[n] == b->data[n]) n++;
    while (n > 0 && n < least && ((unsigned char)a->data[n] & 0xC0) == 0x80) n--;
    return n;
}

static void add_text(const char *label, const Text *text, size_t shared, Text *page) {
    text_addf(page, "<div><h3>%s</h3>\n<div class=\"text\">", label);
    markup_add(page, text->data, shared);
    if (shared < text->length) {
        add(page, "<mark>");
        markup_add(page, text->data + shared, text->length - shared);
        add(page, "</mark>");
    }
    add(page, "</div></div>\n");
}

static void add_texts(const Report *r, Text *page) {
    const Sides *s = &r->sides;
    const size_t shared = shared_bytes(&s->text[0], &s->text[1]);
    add(page, "<h2>What both write</h2>\n<p>");
    add(page, s->chat ? "Answer to" : "After");
    add(page, ": <em>");
    markup_text(page, s->prompt);
    add(page, "</em></p>\n<p class=\"faint\">");
    if (s->same)
        add(page, "The texts are the same, token by token.");
    else
        text_addf(page,
                  "They differ from token %zu on, which is marked. One differing token leads to another text, not "
                  "necessarily to a worse one.",
                  s->difference + 1);
    add(page, "</p>\n<div class=\"cards\">\n");
    add_text("base", &s->text[0], shared, page);
    add_text("quantized", &s->text[1], shared, page);
    add(page, "</div>\n");
}

// ---- all linears --------------------------------------------------------------------------------------------------

static void add_number(Text *page, double value) {
    char text[32];
    if (isnan(value))
        add(page, "<td data-v=\"\">–</td>");
    else
        text_addf(page, "<td data-v=\"%.6g\">%s</td>", value, report_figure(value, text, sizeof text));
}

static void add_linear(const Report *r, int i, Text *page) {
    const Linear *linear = linear_at(r, i);
    const Decision *d = &engine_plan(r->engine)->decisions[i];
    char group[32], size[32];
    decision_group_text(d, group, sizeof group);
    add(page, "<tr><td>");
    markup_text(page, linear->name);
    text_addf(page, "</td><td data-v=\"%zu\">%zu × %zu</td>", linear->out * linear->in, linear->out, linear->in);
    text_addf(page, "<td>%d</td><td>%s</td><td>%s</td>", d->bits, group, d->quantized ? decision_input_text(d) : "–");
    add_number(page, report_value(r, REPORT_RANGE, i));
    add_number(page, report_value(r, REPORT_WEIGHT_MAX, i));
    add_number(page, r->weight_db[i]);
    add_number(page, r->output_db[i]);
    text_addf(page, "<td data-v=\"%zu\">%s</td></tr>\n", d->bytes, in_megabytes((double)d->bytes, size, sizeof size));
}

static void add_table(const Report *r, Text *page) {
    add(page,
        "<h2>All linears</h2>\n<p class=\"faint\">A click on a heading sorts.</p>\n<div class=\"wide\"><table "
        "class=\"sort\"><thead><tr><th>linear</th><th>shape</th><th>bits</th><th>group</th><th>input</th>"
        "<th>|x| max</th><th>|w| max</th><th>weights dB</th><th>output dB</th><th>size</th></tr></thead><tbody>\n");
    for (int i = 0; i < engine_structure(r->engine)->linear_count; i++) add_linear(r, i, page);
    add(page, "</tbody></table></div>\n");
}

// ---- the page -----------------------------------------------------------------------------------------------------

static void add_head(const Report *r, Text *page) {
    const ModelStructure *structure = engine_structure(r->engine);
    char dtype[96];
    dtype_text(structure, dtype, sizeof dtype);
    add(page, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"generator\" "
              "content=\"quantdial\">\n<meta name=\"viewport\" "
              "content=\"width=device-width, initial-scale=1\">\n<title>");
    markup_text(page, model_name(r));
    add(page, ", quantized</title>\n<style>\n");
    add(page, style);
    add(page, "</style>\n</head>\n<body>\n<main>\n<h1>");
    markup_text(page, model_name(r));
    text_addf(page, ", quantized</h1>\n<p class=\"faint\">%s, %d layers, %d linears, ", structure->config.family,
              structure->config.layers, structure->linear_count);
    markup_text(page, dtype);
    add(page, "</p>\n");
}

static void add_recipe(const Report *r, Text *page) {
    add(page,
        "<h2>The recipe</h2>\n<p class=\"faint\">Saved as a file, <code>quantdial MODEL --recipe FILE</code> opens "
        "it, and <code>quantdial quantize</code> writes the model by it.</p>\n<pre>");
    markup_text(page, r->recipe);
    add(page, "</pre>\n");
}

void report_page(const Report *r, Text *page) {
    add_head(r, page);
    add_summary(r, page);
    add_costs(r, page);
    add_texts(r, page);
    add_outliers(r, page);
    if (r->worst_count) add(page, "<h2>The worst linears</h2>\n<div class=\"cards\">\n");
    for (int i = 0; i < r->worst_count; i++) add_worst(r, &r->worst[i], page);
    if (r->worst_count) add(page, "</div>\n");
    add_table(r, page);
    add_recipe(r, page);
    add(page, "<footer><p>Written by quantdial " QUANTDIAL_VERSION ".</p></footer>\n</main>\n<script>\n");
    add(page, script);
    add(page, "</script>\n</body>\n</html>\n");
}
