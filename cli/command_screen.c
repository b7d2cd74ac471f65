// The terminal interface, or the same as text when stdout is not a terminal that can show it.
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "tui/tui.h"

static bool run_screen(const Options *options, Error *err) {
    Workbench *workbench;
    WorkbenchOptions wanted = {.model = options->model,
                               .recipe = options->recipe,
                               .prompt = options->prompt,
                               .most_tokens = options->most_tokens,
                               .forgetful = options->demo};
    if (!workbench_open(&wanted, &workbench, err)) return false;
    bool ok = true;
    for (int i = 0; ok && i < options->dial_count; i++) {
        double value;
        ok = dial_parse(options->dials[i].dial, options->dials[i].text, &value, err) &&
             workbench_set(workbench, -1, options->dials[i].dial, &value, err);
    }
    TuiOptions tui = {
        .ascii = options->ascii,
        .mono = options->mono,
        .light = options->light,
        .theme = options->theme,
        .tokens_given = options->most_tokens > 0,
        .prompt_given = options->prompt != NULL,
        .fresh = options->fresh,
        .tour = options->demo ? 1 : 0,
        .recipe_path = options->recipe,
    };
    ok = ok && tui_run(workbench, &tui, err);
    workbench_close(workbench);
    return ok;
}

bool command_screen(const Options *options, Error *err) {
    Error reason;
    if (options->demo && options->model.model)
        return error_set(err, "--demo plays on the sample model: leave %s out", options->model.model);
    if (!isatty(STDOUT_FILENO) || options->json) return command_overview(options, err);
    if (tui_possible(&reason)) return run_screen(options, err);
    fprintf(stderr, "quantdial: %s; printing the same as text\n", reason.message);
    return command_overview(options, err);
}
