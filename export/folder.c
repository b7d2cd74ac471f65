// What stands beside the weights of an export.
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "export/export_parts.h"
#include "loaders/documents.h"

#define COPY_LIMIT ((size_t)1 << 30)
#define CONFIG_LIMIT ((size_t)16 << 20)
#define MLX_KEY "quantization"
#define OTHERS ((uint64_t)1 << 20) // more than the configuration and the journal take

// Copied as they are, when they are there: what turns text into ids and back, how to sample, the model's own code.
static const char *const copied[] = {
    "tokenizer*",
    "*.model",
    "*.tiktoken",
    "vocab*",
    "merges*",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "chat_template*",
    "*processor_config.json",
    "*.py",
    "LICENSE*",
    "NOTICE*",
    "USE_POLICY*",
};

bool folder_copies(const char *name) {
    for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
        if (glob_matches(copied[i], name)) return true;
    return false;
}

bool folder_put(const Export *x, const char *name, Text *text, Error *err) {
    char *path = path_join(x->options->folder, name);
    bool ok = (path && !text->failed) || error_memory(err, name);
    ok = ok && file_write(path, text->data, text->length, err);
    free(path);
    text_free(text);
    return ok;
}

// ---- Copies ----

static bool copy_file(const Export *x, const char *from, const char *name, Error *err) {
    Text text = {0};
    if (!file_read(from, COPY_LIMIT, &text.data, &text.length, err)) return false;
    return folder_put(x, name, &text, err);
}

// Calls `each` for every file that is copied.
static bool for_each_copied(const Export *x, bool (*each)(const Export *, const char *, const char *, void *, Error *),
                            void *context, Error *err) {
    const Checkpoint *checkpoint = x->model->structure->checkpoint;
    const char *folder = checkpoint->folder;
    DIR *dir = source_is_gguf(checkpoint->documents) ? NULL : opendir(folder); // what lies beside a GGUF may be others'
    bool ok = true;
    for (struct dirent *entry; ok && dir && (entry = readdir(dir));) {
        if (!folder_copies(entry->d_name)) continue;
        char *path = path_join(folder, entry->d_name);
        ok = path ? !file_exists(path) || each(x, path, entry->d_name, context, err) : error_memory(err, folder);
        free(path);
    }
    if (dir) closedir(dir);
    return ok;
}

// A GGUF file has its tokenizer inside. One that cannot be read is left out.
static bool put_made(const Export *x, Error *err) {
    static const char *const names[] = {"tokenizer.json", "tokenizer_config.json"};
    const char *source = x->model->structure->checkpoint->documents;
    bool ok = true;
    for (int i = 0; i < 2 && ok && source_is_gguf(source); i++) {
        cJSON *document;
        if (!document_read(source, names[i], &document, NULL)) continue;
        Text text = {.data = json_print(document)};
        if (text.data) text.length = strlen(text.data);
        text.failed = !text.data;
        ok = folder_put(x, names[i], &text, err);
        cJSON_Delete(document);
    }
    return ok;
}

static bool copy_one(const Export *x, const char *path, const char *name, void *context, Error *err) {
    (void)context;
    return copy_file(x, path, name, err);
}

static bool count_one(const Export *x, const char *path, const char *name, void *context, Error *err) {
    struct stat info;
    (void)x, (void)name, (void)err;
    if (stat(path, &info) == 0) *(uint64_t *)context += (uint64_t)info.st_size;
    return true;
}

uint64_t folder_bytes(const Export *x) {
    uint64_t bytes = OTHERS;
    for_each_copied(x, count_one, &bytes, NULL);
    const Checkpoint *checkpoint = x->model->structure->checkpoint;
    if (source_is_gguf(checkpoint->documents)) bytes += 2 * checkpoint->files[0].head_bytes;
    return bytes + 200 * x->unit_count; // the index, the card
}

// ---- Written here ----

static bool write_index(const Export *x, Error *err) {
    Text text = {0};
    uint64_t bytes = 0;
    for (int f = 0; f < x->file_count; f++) bytes += x->files[f].data_bytes;
    text_addf(&text, "{\"metadata\": {\"total_size\": %llu}, \"weight_map\": {", (unsigned long long)bytes);
    for (size_t u = 0; u < x->unit_count; u++) {
        for (int t = 0; t < x->units[u].tensor_count; t++) {
            if (x->units[u].tensors[t].continues) continue;
            text_addf(&text, u + (size_t)t ? ",\n" : "\n");
            json_quote(&text, x->units[u].tensors[t].name);
            text_addf(&text, ": \"%s\"", x->files[x->units[u].file].name);
        }
    }
    text_addf(&text, "\n}}\n");
    return folder_put(x, "model.safetensors.index.json", &text, err);
}

// Figures that an earlier call measured stay.
static bool card_stays(const Export *x) {
    char *path = path_join(x->options->folder, "README.md");
    const bool stays = x->again && !x->model->accuracy && path && file_exists(path);
    free(path);
    return stays;
}

bool folder_put_card(const Export *x, Error *err) {
    Text text = {0};
    if (card_stays(x)) return true;
    model_card(x, &text);
    return folder_put(x, "README.md", &text, err);
}

// A head that is the embedding in the model and has codes of its own here.
static bool unties_head(const Export *x) {
    const ModelStructure *s = x->model->structure;
    return s->head >= 0 && s->linears[s->head].weight == s->embedding && x->model->plan->decisions[s->head].quantized;
}

// As the file has it, but for a GGUF, which has none.
static bool read_config(const Export *x, Text *out, Error *err) {
    const char *source = x->model->structure->checkpoint->documents;
    cJSON *document;
    if (!document_read(source, "config.json", &document, err)) return false;
    char *path = path_join(source, "config.json");
    bool ok = path || error_memory(err, "config.json");
    if (ok && source_is_gguf(source)) {
        out->data = cJSON_Print(document);
        ok = out->data || error_memory(err, path);
        if (ok) out->length = strlen(out->data);
    } else {
        ok = ok && file_read(path, CONFIG_LIMIT, &out->data, &out->length, err);
    }
    if (ok && !cJSON_IsObject(document)) ok = error_set(err, "%s: is no JSON object", path);
    cJSON_Delete(document);
    free(path);
    return ok;
}

bool folder_check(const Export *x, Error *err) {
    Text text = {0};
    const bool ok = read_config(x, &text, err);
    text_free(&text);
    return ok;
}

static bool write_config(const Export *x, const char *quantization, Error *err) {
    Text text = {0};
    if (!read_config(x, &text, err)) {
        text_free(&text);
        return false;
    }
    config_text_set(&text, "quantization_config", quantization);
    config_text_set(&text, MLX_KEY, NULL); // that of a model of MLX is gone
    if (x->format->config) x->format->config(quantization, &text);
    if (x->options->type != EXPORT_TYPE_MODEL) {
        static const char *const names[] = {NULL, "\"bfloat16\"", "\"float16\"", "\"float32\""};
        config_text_set(&text, "torch_dtype", names[x->options->type]);
        config_text_set(&text, "dtype", names[x->options->type]); // as transformers 5 calls it
    }
    if (unties_head(x)) config_text_set(&text, "tie_word_embeddings", "false");
    return folder_put(x, "config.json", &text, err);
}

bool folder_finish(const Export *x, const char *quantization, Error *err) {
    return (x->file_count == 1 || write_index(x, err)) && for_each_copied(x, copy_one, NULL, err) && put_made(x, err) &&
           folder_put_card(x, err) && write_config(x, quantization, err);
}
