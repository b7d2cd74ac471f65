#include "tui/rebind.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tui/actions.h"
#include "tui/key_names.h"

// What the file says then holds, so that it is read anew.
static void keep(Ui *ui, const char *action) {
    Error err = {0};
    char *path = settings_path();
    const bool kept = path && settings_keep_keys(&ui->settings, action, path, &err);
    if (kept) {
        settings_free(&ui->settings);
        settings_load(path, &ui->settings);
    }
    const char *shown = action_keys(&ui->settings, action);
    if (kept)
        ui_say(ui, "%s has %s%s; kept in %s", action, shown,
               settings_keys(&ui->settings, action) ? ", :unbind takes it back" : " again", path);
    else
        ui_fail(ui, "%s has %s for this time, but is not kept: %s", action, shown,
                path ? err.message : "neither XDG_CONFIG_HOME nor HOME is set");
    free(path);
}

static void bind(Ui *ui, const char *action, const char *keys) {
    Error err = {0};
    if (ui_report(ui, settings_bind(&ui->settings, action, keys, &err), &err)) keep(ui, action);
}

void rebind(Ui *ui, const char *text) {
    char action[sizeof ui->settings.keys->action];
    const size_t length = strcspn(text, " "), blanks = strspn(text + length, " ");
    snprintf(action, sizeof action, "%.*s", (int)length, text);
    if (!*text)
        settings_show(ui, 0);
    else if (text[length + blanks] || !action_exists(action))
        bind(ui, action, text + length + blanks);
    else
        ui_say(ui, "%s has %s; :bind %s KEY gives it another one", action, action_keys(&ui->settings, action), action);
}

void rebind_back(Ui *ui, const char *name) { bind(ui, name, ""); }

void settings_show(Ui *ui, int unused) {
    (void)unused;
    action_help_on(ui, "settings");
}
