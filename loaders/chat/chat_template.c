#include "loaders/chat/chat_template.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "loaders/chat/jinja_parts.h"
#include "loaders/documents.h"

#define FILE_LIMIT ((size_t)64 << 20)
#define SOURCE_LIMIT ((size_t)1 << 20) // real ones have 1 to 20 KB
#define ARENA_LIMIT ((size_t)64 << 20)
#define STEPS 10000000 // a long conversation takes some ten thousand

struct ChatTemplate {
    char *name;
    Text source;
    Arena arena;
    Node *statements;
};

// ---- reading ----

bool chat_template_parse(const char *name, const char *source, size_t length, ChatTemplate **out, Error *err) {
    Error failed = {0};
    ChatTemplate *chat = *out = calloc(1, sizeof *chat);
    if (chat) text_add(&chat->source, source, length);
    if (!chat || chat->source.failed || !(chat->name = strdup(name))) {
        chat_template_free(chat);
        *out = NULL;
        return error_memory(err, "a chat template");
    }
    chat->arena.limit = ARENA_LIMIT;
    Jinja jinja = {.arena = chat->arena, .steps = STEPS, .line = 1, .err = &failed};
    bool ok = length <= SOURCE_LIMIT ? text_is_utf8(source, length) || error_set(&failed, "is not UTF-8 text")
                                     : error_set(&failed, "has more than %zu bytes", SOURCE_LIMIT);
    ok = ok && jinja_parse(&jinja, source, length, &chat->statements);
    chat->arena = jinja.arena;
    if (ok) return true;
    if (err) *err = failed;
    error_prefix(err, "%s", name);
    chat_template_free(chat);
    *out = NULL;
    return false;
}

void chat_template_free(ChatTemplate *chat) {
    if (!chat) return;
    arena_free(&chat->arena);
    free(chat->name);
    text_free(&chat->source);
    free(chat);
}

const char *chat_template_source(const ChatTemplate *chat) { return chat->source.data; }

// The named template "default" of a list, or the text itself.
static const char *source_in(const cJSON *item) {
    const cJSON *named;
    cJSON_ArrayForEach(named, item) {
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(named, "name"));
        if (name && strcmp(name, "default") == 0)
            return cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(named, "template"));
    }
    return cJSON_GetStringValue(item);
}

static bool parse_document(const char *path, const cJSON *document, ChatTemplate **out, Error *err) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(document, "chat_template");
    const char *source = source_in(item);
    Text name = {0}, bytes = {0};
    if (!source && item && !cJSON_IsNull(item))
        return error_set(err, "%s: \"chat_template\" must be a text, or a list with a template named \"default\"",
                         path);
    if (!source) return true;
    text_addf(&name, "%s, chat_template", path);
    json_bytes(source, &bytes);
    const bool ok = name.failed || bytes.failed ? error_memory(err, "a chat template")
                                                : chat_template_parse(name.data, bytes.data, bytes.length, out, err);
    text_free(&bytes);
    text_free(&name);
    return ok;
}

static bool parse_file(const char *path, ChatTemplate **out, Error *err) {
    char *text;
    size_t length;
    if (!file_exists(path)) return true;
    if (!file_read(path, FILE_LIMIT, &text, &length, err)) return false;
    const bool ok = chat_template_parse(path, text, length, out, err);
    free(text);
    return ok;
}

bool chat_template_load(const char *source, ChatTemplate **out, Error *err) {
    static const char *const files[] = {"chat_template.jinja", "tokenizer_config.json", "chat_template.json"};
    bool ok = true;
    *out = NULL;
    for (int i = 0; ok && !*out && i < 3; i++) {
        char *path = path_join(source, files[i]);
        cJSON *document = NULL;
        ok = path || error_memory(err, "a file name");
        if (ok && i == 0)
            ok = parse_file(path, out, err);
        else if (ok)
            ok = document_read(source, files[i], &document, err) &&
                 (!document || parse_document(path, document, out, err));
        cJSON_Delete(document);
        free(path);
    }
    return ok;
}

// ---- JSON as values ----

static bool convert_json(Jinja *j, const cJSON *item, Value *out);

static bool convert_string(Jinja *j, const char *string, Value *out) {
    Text bytes = {0};
    json_bytes(string, &bytes);
    const bool ok = !bytes.failed && value_copied(j, bytes.data, bytes.length, out);
    text_free(&bytes);
    return ok;
}

static bool convert_list(Jinja *j, const cJSON *item, Value *out) {
    const cJSON *child;
    size_t i = 0;
    if (!value_list(j, LIST, (size_t)cJSON_GetArraySize(item), out)) return false;
    cJSON_ArrayForEach(child, item) {
        if (!convert_json(j, child, &out->list->items[i++])) return false;
    }
    return true;
}

static bool convert_object(Jinja *j, const cJSON *item, bool with_nulls, Value *out) {
    const cJSON *child;
    if (!value_dict(j, DICT, 4, out)) return false;
    cJSON_ArrayForEach(child, item) {
        Value key, value;
        if (cJSON_IsNull(child) && !with_nulls) continue;
        if (!convert_string(j, child->string, &key) || !convert_json(j, child, &value) ||
            !dict_set(j, out->dict, key, value))
            return false;
    }
    return true;
}

static bool convert_json(Jinja *j, const cJSON *item, Value *out) {
    const double number = item->valuedouble;
    *out = value_none();
    if (!jinja_enter(j)) return false;
    bool ok = true;
    if (cJSON_IsString(item))
        ok = convert_string(j, item->valuestring, out);
    else if (cJSON_IsArray(item))
        ok = convert_list(j, item, out);
    else if (cJSON_IsObject(item))
        ok = convert_object(j, item, true, out);
    else if (cJSON_IsBool(item))
        *out = value_boolean(cJSON_IsTrue(item));
    else if (cJSON_IsNumber(item)) {
        const bool whole = number >= -9e15 && number <= 9e15 && number == (double)(int64_t)number;
        *out = whole ? value_integer((int64_t)number) : (Value){.kind = REAL, .real = number};
    }
    j->depth--;
    return ok;
}

// What is null in a message counts as not there, as in transformers.
static bool convert_messages(Jinja *j, const cJSON *messages, Value *out) {
    const cJSON *message;
    size_t i = 0;
    if (!value_list(j, LIST, (size_t)cJSON_GetArraySize(messages), out)) return false;
    cJSON_ArrayForEach(message, messages) {
        if (!cJSON_IsObject(message)) return jinja_refuse(j, "a message is an object with \"role\" and \"content\"");
        if (!convert_object(j, message, false, &out->list->items[i++])) return false;
    }
    return true;
}

// ---- running ----

static bool define_special(Jinja *j, const cJSON *special) {
    const cJSON *item;
    cJSON_ArrayForEach(item, special) {
        Value value;
        if (!convert_json(j, item, &value) || !variable_set(j, item->string, value)) return false;
    }
    return true;
}

static bool define_all(Jinja *j, const cJSON *messages, bool add_generation_prompt, const cJSON *special) {
    Value list;
    return convert_messages(j, messages, &list) && variable_set(j, "messages", list) &&
           variable_set(j, "tools", value_none()) && variable_set(j, "documents", value_none()) &&
           variable_set(j, "add_generation_prompt", value_boolean(add_generation_prompt)) && define_special(j, special);
}

bool chat_template_apply(const ChatTemplate *chat, const cJSON *messages, bool add_generation_prompt,
                         const cJSON *special, const struct tm *now, Text *out, Error *err) {
    Error failed = {0};
    Buffer text = {0};
    Scope variables = {0}, top = {.parent = &variables};
    Jinja jinja = {.arena.limit = ARENA_LIMIT,
                   .scope = &variables,
                   .out = &text,
                   .now = now,
                   .steps = STEPS,
                   .line = 1,
                   .err = &failed};
    bool ok = (cJSON_IsArray(messages) && messages->child) ||
              error_set(&failed, "a conversation is a list of messages, and not empty");
    ok = ok && define_all(&jinja, messages, add_generation_prompt, special);
    jinja.scope = &top;
    ok = ok && jinja_run(&jinja, chat->statements);
    if (ok) text_add(out, text.data, text.length);
    arena_free(&jinja.arena);
    if (ok) return !out->failed || error_memory(err, "a conversation");
    if (err) *err = failed;
    return error_prefix(err, "%s", chat->name);
}
