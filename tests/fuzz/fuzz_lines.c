// Any bytes as a .jsonl file: of translations, of tasks, of texts and conversations to calibrate on, and of pairs for a
// model with an encoder. Each reader refuses it with a message, or makes token ids that the model has.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/mman.h>
#include <unistd.h>

#include "analysis/pairs.h"
#include "analysis/tasks.h"
#include "analysis/translate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINES_TOKENIZER                                                                                                \
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"c\":2,\"ab\":3,\"\\u0120\":4,\"\\u010a\":5,\"e\":6,"    \
    "\"x\":7},\"merges\":[\"a b\"]},\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false},\"decoder\"" \
    ":{\"type\":\"ByteLevel\"}}"
#define LINES_TEMPLATE "{% for m in messages %}{{ m.role }} {{ m.content }}\n{% endfor %}"
enum { LINES_VOCAB = 8, LINES_POSITIONS = 48, LINES_LENGTH = 12, LINES_MOST = 96 };

static struct {
    Tokenizer *tokenizer;
    ChatTemplate *chat;
    char folder[32], path[48]; // path: a name that ends as it has to, of a file in memory
    int file;
} lines_of;

static void remove_lines(void) {
    unlink(lines_of.path);
    rmdir(lines_of.folder);
    tokenizer_free(lines_of.tokenizer);
    chat_template_free(lines_of.chat);
}

static void begin_lines(void) {
    char in_memory[32];
    strcpy(lines_of.folder, P_tmpdir "/quantdial-lines.XXXXXX");
    lines_of.file = memfd_create("lines", MFD_CLOEXEC);
    if (!mkdtemp(lines_of.folder) || lines_of.file < 0) abort();
    snprintf(lines_of.path, sizeof lines_of.path, "%s/l.jsonl", lines_of.folder);
    snprintf(in_memory, sizeof in_memory, "/proc/self/fd/%d", lines_of.file);
    if (symlink(in_memory, lines_of.path) != 0 || atexit(remove_lines) != 0) abort();
    if (!tokenizer_parse(LINES_TOKENIZER, strlen(LINES_TOKENIZER), &lines_of.tokenizer, NULL)) abort();
    if (!chat_template_parse("t", LINES_TEMPLATE, strlen(LINES_TEMPLATE), &lines_of.chat, NULL)) abort();
}

static void check_lines(bool ok, const Error *err) {
    if (ok != (err->message[0] == '\0') || !text_is_utf8(err->message, strlen(err->message))) abort();
}

static void check_lines_ids(const int32_t *ids, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= LINES_VOCAB) abort();
}

static void read_translations(const TextForm *form, const ModelConfig *config, size_t shots) {
    const TranslationOptions options = {.path = lines_of.path, .shots = shots, .instruction = "ab", .most = 4};
    TranslationTask task;
    Error err = {0};
    const bool ok = translation_task_load(form, config, &options, &task, &err);
    check_lines(ok, &err);
    if (ok && (!task.count || task.shared >= LINES_POSITIONS)) abort();
    for (size_t i = 0; ok && i < task.count; i++) {
        const TranslationItem *item = &task.items[i];
        if (!item->prompt.count || item->prompt.count >= LINES_POSITIONS || !item->reference_count) abort();
        check_lines_ids(item->prompt.ids, item->prompt.count);
    }
    translation_task_free(&task);
}

static void read_task(const ModelConfig *config, TaskKind kind) {
    Task task;
    Error err = {0};
    const bool ok = task_load(lines_of.tokenizer, config, kind, lines_of.path, &task, &err);
    check_lines(ok, &err);
    for (size_t i = 0; ok && i < task.request_count; i++) {
        const TaskRequest *request = &task.requests[i];
        if (!request->first || request->first >= request->count || request->count > LINES_POSITIONS + 1) abort();
        check_lines_ids(request->ids, request->count);
    }
    for (size_t i = 0; ok && i < task.item_count; i++) {
        const TaskItem *item = &task.items[i];
        if (item->gold >= item->count || item->first + item->count > task.request_count) abort();
    }
    task_free(&task);
}

static void read_ids(const TextForm *form, const ModelConfig *config) {
    TokenIds ids = {0};
    Error err = {0};
    const bool pairs = config->pair.encoder_layers > 0;
    const bool ok = pairs ? pairs_from_file(form, config, lines_of.path, LINES_LENGTH, LINES_MOST, &ids, &err)
                          : tokens_from_file(form, lines_of.path, LINES_MOST, &ids, &err);
    check_lines(ok, &err);
    if (ok && (!ids.count || ids.count > LINES_MOST)) abort();
    check_lines_ids(ids.ids, ids.count);
    token_ids_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!lines_of.tokenizer) begin_lines();
    const ModelConfig decoder = {.family = "llama", .vocab = LINES_VOCAB, .max_positions = LINES_POSITIONS},
                      encoder = {.family = "t5",
                                 .vocab = LINES_VOCAB,
                                 .max_positions = LINES_POSITIONS,
                                 .pair = {.encoder_layers = 1, .first_token = -1}};
    const TextForm plain = {.tokenizer = lines_of.tokenizer},
                   chat = {.tokenizer = lines_of.tokenizer, .chat = lines_of.chat};
    if (ftruncate(lines_of.file, 0) != 0 || pwrite(lines_of.file, data, size, 0) != (ssize_t)size) abort();
    read_translations(&plain, &decoder, 1);
    read_translations(&chat, &decoder, 1);
    read_translations(&plain, &encoder, 0);
    read_task(&decoder, TASK_LAMBADA);
    read_task(&decoder, TASK_CHOICES);
    read_ids(&plain, &decoder);
    read_ids(&chat, &decoder);
    read_ids(&plain, &encoder);
    return 0;
}
