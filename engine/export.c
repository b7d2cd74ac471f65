// The engine's model as an export sees it.
#include "engine/engine_parts.h"

static ExportModel export_model(const Engine *engine, const ExportAccuracy *accuracy) {
    return (ExportModel){.structure = &engine->structure,
                         .measured = &engine->stats.measured,
                         .recipe = &engine->recipe,
                         .plan = &engine->plan,
                         .accuracy = accuracy};
}

bool engine_export(Engine *engine, const ExportOptions *options, const Accuracy *accuracy, ExportResult *out,
                   Progress *progress, Error *err) {
    ExportAccuracy figures;
    if (accuracy)
        figures = (ExportAccuracy){.text = engine_text_name(engine, TEXT_EVALUATION),
                                   .tokens = accuracy->tokens,
                                   .kl = accuracy->kl_mean,
                                   .kl_se = accuracy->kl_se,
                                   .base_perplexity = accuracy->base_ppl,
                                   .perplexity = accuracy->ppl};
    const ExportModel model = export_model(engine, accuracy ? &figures : NULL);
    return export_run(&model, options, out, progress, err);
}

bool engine_forecast(Engine *engine, const ExportOptions *options, ExportForecast *out, Error *err) {
    const ExportModel model = export_model(engine, NULL);
    return export_forecast(&model, options, out, err);
}
