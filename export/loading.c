// How a written model is loaded, by the engines that load it.
#include <string.h>

#include "export/export_parts.h"
#include "export/verdict_parts.h"

static bool loads_one(const Verdict *verdict, Targets targets) {
    for (int r = 0; r < verdict->row_count; r++)
        if (verdict->rows[r].loads && targets >> verdict->rows[r].target & 1) return true;
    return false;
}

// T5 is refused as it is, and there is a way.
static bool wants_plain_weights(const Verdict *verdict) {
    for (int i = 0; i < verdict->finding_count; i++)
        if (verdict->findings[i].name == verdict_rules[RULE_T5].name) return true;
    return false;
}

void export_loading(const ModelStructure *structure, ExportFormat format, const Verdict *verdict, Text *out) {
    const FormatRow *row = export_format_row(format);
    const bool pair = structure->config.pair.encoder_layers > 0,
               plain = row->loading_t5 && wants_plain_weights(verdict);
    text_addf(out, "%s", plain ? row->loading_t5 : "");
    for (int i = 0; i < LOADINGS && row->loading[i].text; i++) {
        const Loading *way = &row->loading[i];
        if (way->engines && !loads_one(verdict, way->engines)) continue;
        text_addf(out, "%s%s", out->length ? "\n\nor\n\n" : "", pair && way->pairs ? way->pairs : way->text);
    }
}

void export_misgivings(const Verdict *verdict, Text *out) {
    for (int i = 0; i < verdict->finding_count && verdict->findings[i].severity >= SEVERITY_MISREAD; i++) {
        const Finding *finding = &verdict->findings[i];
        Text names = {0};
        targets_list(finding->targets, &names);
        text_addf(out, "- %s by %s: %s\n", severity_names[finding->severity], names.data ? names.data : "",
                  finding->what);
        text_free(&names);
    }
}
