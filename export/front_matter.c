// The front matter of a model card, by which the Hugging Face Hub sorts models (huggingface.co/docs/hub/model-cards):
// that of the model as far as it holds for its quantized version, and ours. Blocks of the model's are copied as they
// stand; of YAML only what such cards use is understood.
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "export/export_parts.h"

#define PROGRAM "quantdial"
#define CARD_LIMIT ((size_t)4 << 20)

// ---- That of the model ----

// What stands between the two lines of dashes; false: there is none. Cuts the text.
static bool find_matter(char *text, char **out) {
    if (strncmp(text, "---\n", 4) != 0 && strncmp(text, "---\r\n", 5) != 0) return false;
    *out = strchr(text, '\n') + 1;
    char *end = strncmp(*out, "---", 3) == 0 ? *out : strstr(*out, "\n---");
    if (!end) return false;
    end[end != *out] = '\0';
    return text_is_utf8(*out, strlen(*out));
}

static size_t line_length(const char *line) { return strcspn(line, "\n") + (line[strcspn(line, "\n")] != '\0'); }

// A key with its value: its line, and those behind it that do not begin another. NULL: there is none.
static const char *find_block(const char *matter, const char *key, size_t *length) {
    const size_t n = strlen(key);
    for (const char *line = matter; *line; line += line_length(line)) {
        if (strncmp(line, key, n) != 0 || line[n] != ':') continue;
        *length = line_length(line);
        while (line[*length] && strchr(" \t-\r\n", line[*length])) *length += line_length(line + *length);
        return line;
    }
    return NULL;
}

static bool add_block(const char *matter, const char *key, Text *out) {
    size_t length;
    const char *block = find_block(matter, key, &length);
    if (!block) return false;
    for (size_t i = 0; i < length; i++)
        if (block[i] != '\r') text_add(out, block + i, 1);
    if (block[length - 1] != '\n') text_addf(out, "\n");
    return true;
}

// ---- Lists ----

// Whether it is one of ours, with quotation marks or without.
static bool is_tag(const char *item, size_t length, const char *tag) {
    if (length > 2 && (*item == '"' || *item == '\'') && item[length - 1] == *item) item++, length -= 2;
    return strlen(tag) == length && memcmp(item, tag, length) == 0;
}

static bool is_of_format(const char *item, size_t length) {
    for (int f = 0; f < EXPORT_FORMAT_COUNT; f++)
        if (is_tag(item, length, export_format_names[f])) return true;
    return is_tag(item, length, PROGRAM);
}

// The items of "tags: [a, b]", or of lines that begin with a dash. Formats are not those of the model any more.
static void add_tags(const char *matter, Text *out) {
    size_t length;
    const char *block = find_block(matter, "tags", &length);
    if (!block) return;
    for (const char *at = block + strlen("tags:"), *end = block + length; at < end;) {
        at += strspn(at, " \t\r\n-[],");
        const char *item = at;
        size_t n = strcspn(at, ",]\r\n");
        if (at >= end) break;
        at += n;
        while (n && (item[n - 1] == ' ' || item[n - 1] == '\t')) n--;
        if (n && *item != '#' && !is_of_format(item, n)) text_addf(out, "- %.*s\n", (int)n, item);
    }
}

// ---- All of it ----

static void add_origin(const Export *x, const char *matter, Text *out) {
    char *name = checkpoint_hub_name(x->model->structure->checkpoint);
    if (name)
        text_addf(out, "base_model: %s\n%s", name,
                  x->model->plan->quantized_count ? "base_model_relation: quantized\n" : "");
    else if (add_block(matter, "base_model", out))
        add_block(matter, "base_model_relation", out);
    free(name);
}

static void add_library(const Export *x, const char *matter, Text *out) {
    const char *own = x->format->library;
    size_t length;
    const char *block = find_block(matter, "library_name", &length);
    const bool other = block && memmem(block, length, " mlx\n", 5); // that of the format it was in
    if (!own && !other && add_block(matter, "library_name", out)) return;
    if (!own || *own) text_addf(out, "library_name: %s\n", own ? own : "transformers");
}

void front_matter(const Export *x, Text *out) {
    static const char *const kept[] = {"license",  "license_name", "license_link",
                                       "language", "pipeline_tag", "datasets"};
    char *path = path_join(x->model->structure->checkpoint->folder, "README.md"), *text = NULL;
    char none[] = "", *matter = none;
    size_t size;
    const bool there = path && file_exists(path) && file_read(path, CARD_LIMIT, &text, &size, NULL);
    if (!there || !find_matter(text, &matter)) matter = none;
    text_addf(out, "---\n");
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) add_block(matter, kept[i], out);
    add_origin(x, matter, out);
    add_library(x, matter, out);
    text_addf(out, "tags:\n");
    add_tags(matter, out);
    text_addf(out, "- " PROGRAM "\n- %s\n---\n", export_format_names[x->options->format]);
    free(text);
    free(path);
}
