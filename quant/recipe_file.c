// Recipes as JSON. Whatever is doubtful is refused, and what is printed reads back as the same recipe.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/file.h"
#include "base/json.h"
#include "base/number.h"
#include "quant/recipe.h"

#define RECIPE_VERSION 3
#define LARGEST_FILE ((size_t)1 << 20)

static const char *const sections[] = {"weights", "activations", "cache"};
// Past defaults: a file of that version or an older one means this value where it does not set the dial.
static const struct {
    int version;
    Dial dial;
    double value;
} past_defaults[] = {{1, DIAL_RULE, RULE_SHRINK}, {2, DIAL_V0, 15}};
enum { PAST_DEFAULTS = sizeof past_defaults / sizeof *past_defaults };

enum { SECTIONS = 3, SECTIONS_PER_LINEAR = 2 }; // the first ones may stand in an override

static bool same_section(const char *a, const char *b) { return a && b ? strcmp(a, b) == 0 : a == b; }

// ---- Reading ----

// cJSON keeps both of two equal keys and finds the first; a person who wrote two meant something else.
static bool no_key_twice(const cJSON *object, const char *where, Error *err) {
    for (const cJSON *item = object->child; item; item = item->next) {
        for (const cJSON *other = object->child; other != item; other = other->next) {
            if (strcmp(other->string, item->string) == 0)
                return error_set(err, "%s: \"%s\" appears twice", where, item->string);
        }
    }
    return true;
}

static bool check_object(const cJSON *object, const char *where, const char *const *known, Error *err) {
    if (!cJSON_IsObject(object)) return error_set(err, "%s must be an object { … }", where);
    return json_only_keys(object, where, known, err) && no_key_twice(object, where, err);
}

static bool read_value(Dial dial, const cJSON *item, double *out, Error *err) {
    const DialInfo *info = &dial_table[dial];
    if (info->kind == DIAL_SWITCH) {
        if (!cJSON_IsBool(item)) return error_set(err, "must be true or false");
        *out = cJSON_IsTrue(item);
        return true;
    }
    if (cJSON_IsNumber(item) && !info->names) {
        char text[NUMBER_ROOM];
        number_format(item->valuedouble, text, sizeof text);
        if (!dial_allows(dial, item->valuedouble)) return dial_refuse(dial, text, err);
        *out = item->valuedouble;
        return true;
    }
    // Words only: a number in quotation marks is a mistake.
    double number;
    bool word = cJSON_IsString(item) && (info->names || info->zero) && !number_parse(item->valuestring, &number);
    if (!word) return dial_refuse(dial, cJSON_IsString(item) ? item->valuestring : "a value of this type", err);
    return dial_parse(dial, item->valuestring, out, NULL) || dial_refuse(dial, item->valuestring, err);
}

// The dials of one section (NULL: those at the top), where the object has them; null counts as not there.
static bool read_dials(const cJSON *object, const char *section, const char *where, double *value, bool *set,
                       Error *err) {
    for (int i = 0; i < DIAL_COUNT; i++) {
        if (!same_section(dial_table[i].section, section)) continue;
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, dial_table[i].key);
        if (!item || cJSON_IsNull(item)) continue;
        if (!read_value((Dial)i, item, &value[i], err)) {
            return error_prefix(err, "%s%s%s", where, *where ? "." : "", dial_table[i].key);
        }
        if (set) set[i] = true;
    }
    return true;
}

static bool read_section(const cJSON *parent, const char *section, const char *prefix, double *value, bool *set,
                         Error *err) {
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(parent, section);
    if (!object || cJSON_IsNull(object)) return true;
    char where[64];
    snprintf(where, sizeof where, "%s%s", prefix, section);
    const char *known[DIAL_COUNT + 1];
    int count = 0;
    for (int i = 0; i < DIAL_COUNT; i++) {
        if (same_section(dial_table[i].section, section)) known[count++] = dial_table[i].key;
    }
    known[count] = NULL;
    return check_object(object, where, known, err) && read_dials(object, section, where, value, set, err);
}

static bool read_ignore(const cJSON *root, Recipe *recipe, Error *err) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "ignore"), *item;
    if (!list || cJSON_IsNull(list)) return recipe_ignore(recipe, RECIPE_DEFAULT_IGNORE, err);
    if (!cJSON_IsArray(list)) return error_set(err, "ignore must be a list of names [ … ]");
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsString(item) || !*item->valuestring) {
            return error_set(err, "ignore[%d] must be a name, * and ? allowed", recipe->ignore_count);
        }
        if (!recipe_ignore(recipe, item->valuestring, err)) return false;
    }
    return true;
}

static bool read_override(const cJSON *object, Recipe *recipe, Error *err) {
    static const char *const known[] = {"match", "tuned", "weights", "activations", NULL};
    char where[32], prefix[40];
    snprintf(where, sizeof where, "overrides[%d]", recipe->override_count);
    snprintf(prefix, sizeof prefix, "%s.", where);
    if (!check_object(object, where, known, err)) return false;
    const cJSON *match = cJSON_GetObjectItemCaseSensitive(object, "match");
    if (!cJSON_IsString(match) || !*match->valuestring) {
        return error_set(err, "%s.match must be a name, * and ? allowed", where);
    }
    const cJSON *tuned = cJSON_GetObjectItemCaseSensitive(object, "tuned");
    if (tuned && !cJSON_IsNull(tuned) && !cJSON_IsBool(tuned))
        return error_set(err, "%s.tuned must be true or false", where);
    Override *override = recipe_add_override(recipe, match->valuestring, err);
    if (!override) return false;
    override->tuned = cJSON_IsTrue(tuned);
    for (int s = 0; s < SECTIONS_PER_LINEAR; s++) {
        if (!read_section(object, sections[s], prefix, override->value, override->set, err)) return false;
    }
    return true;
}

static bool read_overrides(const cJSON *root, Recipe *recipe, Error *err) {
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "overrides"), *item;
    if (!list || cJSON_IsNull(list)) return true;
    if (!cJSON_IsArray(list)) return error_set(err, "overrides must be a list [ … ]");
    cJSON_ArrayForEach(item, list) {
        if (!read_override(item, recipe, err)) return false;
    }
    return true;
}

static bool read_version(const cJSON *root, Recipe *recipe, Error *err) {
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(root, "quantdial_recipe");
    if (!cJSON_IsNumber(version))
        return error_set(err, "not a recipe: it must begin with \"quantdial_recipe\": %d", RECIPE_VERSION);
    const double given = version->valuedouble;
    if (given < 1 || given > RECIPE_VERSION || given != floor(given)) {
        char text[NUMBER_ROOM];
        number_format(given, text, sizeof text);
        return error_set(err, "is a recipe of version %s; this program reads versions 1 to %d", text, RECIPE_VERSION);
    }
    for (int i = 0; i < PAST_DEFAULTS; i++) {
        if (given <= past_defaults[i].version) recipe->value[past_defaults[i].dial] = past_defaults[i].value;
    }
    return true;
}

static bool read_recipe(const cJSON *root, Recipe *recipe, Error *err) {
    static const char *const known[] = {"quantdial_recipe", "weights", "activations", "cache",
                                        "fused_together",   "ignore",  "overrides",   NULL};
    if (!check_object(root, "the recipe", known, err)) return false;
    if (!read_version(root, recipe, err)) return false;
    for (int s = 0; s < SECTIONS; s++) {
        if (!read_section(root, sections[s], "", recipe->value, NULL, err)) return false;
    }
    return read_dials(root, NULL, "", recipe->value, NULL, err) && read_ignore(root, recipe, err) &&
           read_overrides(root, recipe, err);
}

bool recipe_parse(const char *json, size_t length, Recipe *out, Error *err) {
    *out = (Recipe){0};
    for (int i = 0; i < DIAL_COUNT; i++) out->value[i] = dial_table[i].default_value;
    cJSON *root = json_parse_strict(json, length, err);
    bool ok = root && read_recipe(root, out, err);
    cJSON_Delete(root);
    if (!ok) recipe_free(out);
    return ok;
}

bool recipe_load(const char *path, Recipe *out, Error *err) {
    char *text;
    size_t size;
    *out = (Recipe){0};
    if (!file_read(path, LARGEST_FILE, &text, &size, err)) return false;
    bool ok = recipe_parse(text, size, out, err) || error_prefix(err, "%s", path);
    free(text);
    return ok;
}

// ---- Printing ----

static void add_value(Text *text, Dial dial, double value) {
    const DialInfo *info = &dial_table[dial];
    char shown[64];
    dial_format(dial, value, shown, sizeof shown);
    bool word = info->names || (info->zero && value == 0);
    if (info->kind == DIAL_SWITCH)
        text_addf(text, "%s", value != 0 ? "true" : "false");
    else if (word)
        json_quote(text, shown);
    else
        text_addf(text, "%s", shown);
}

// "key": value of every dial of a section that is set (set == NULL: all), with `between` between two.
static void add_dials(Text *text, const char *section, const double *value, const bool *set, const char *between) {
    bool first = true;
    for (int i = 0; i < DIAL_COUNT; i++) {
        if (!same_section(dial_table[i].section, section) || (set && !set[i])) continue;
        text_addf(text, "%s\"%s\": ", first ? "" : between, dial_table[i].key);
        add_value(text, (Dial)i, value[i]);
        first = false;
    }
}

static bool sets_any(const Override *override, const char *section) {
    for (int i = 0; i < DIAL_COUNT; i++) {
        if (override->set[i] && same_section(dial_table[i].section, section)) return true;
    }
    return false;
}

// One line each: rules are read one below the other.
static void add_override(Text *text, const Override *override) {
    text_addf(text, "{\"match\": ");
    json_quote(text, override->match);
    if (override->tuned) text_addf(text, ", \"tuned\": true");
    for (int s = 0; s < SECTIONS_PER_LINEAR; s++) {
        if (!sets_any(override, sections[s])) continue;
        text_addf(text, ", \"%s\": {", sections[s]);
        add_dials(text, sections[s], override->value, override->set, ", ");
        text_addf(text, "}");
    }
    text_addf(text, "}");
}

char *recipe_print(const Recipe *recipe) {
    Text text = {0};
    text_addf(&text, "{\n  \"quantdial_recipe\": %d,\n", RECIPE_VERSION);
    for (int s = 0; s < SECTIONS; s++) {
        text_addf(&text, "  \"%s\": {\n    ", sections[s]);
        add_dials(&text, sections[s], recipe->value, NULL, ",\n    ");
        text_addf(&text, "\n  },\n");
    }
    text_addf(&text, "  ");
    add_dials(&text, NULL, recipe->value, NULL, ",\n  ");
    text_addf(&text, ",\n  \"ignore\": [");
    for (int i = 0; i < recipe->ignore_count; i++) {
        if (i) text_addf(&text, ", ");
        json_quote(&text, recipe->ignore[i]);
    }
    text_addf(&text, "],\n  \"overrides\": [");
    for (int i = 0; i < recipe->override_count; i++) {
        text_addf(&text, "%s\n    ", i ? "," : "");
        add_override(&text, &recipe->overrides[i]);
    }
    text_addf(&text, "%s]\n}\n", recipe->override_count ? "\n  " : "");
    if (text.failed) {
        text_free(&text);
        return NULL;
    }
    return text.data;
}

bool recipe_save(const Recipe *recipe, const char *path, Error *err) {
    char *text = recipe_print(recipe);
    if (!text) return error_memory(err, "the recipe");
    bool ok = file_write(path, text, strlen(text), err);
    free(text);
    return ok;
}
