// Any bytes as a chat template: refused, or able to print conversations as UTF-8, soon.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/chat/chat_template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void print_conversation(const ChatTemplate *chat, const char *json) {
    static const struct tm noon = {.tm_year = 126, .tm_mon = 2, .tm_mday = 1, .tm_hour = 12, .tm_yday = 59};
    cJSON *messages = cJSON_Parse(json), *special = cJSON_Parse("{\"bos_token\": \"<s>\", \"eos_token\": \"</s>\"}");
    Text text = {0};
    Error err = {0};
    if (chat_template_apply(chat, messages, true, special, &noon, &text, &err) == (err.message[0] != '\0')) abort();
    if (text.length && !text_is_utf8(text.data, text.length)) abort();
    text_free(&text);
    cJSON_Delete(special);
    cJSON_Delete(messages);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const conversations[] = {
        "[{\"role\": \"user\", \"content\": \"hi\"}]",
        "[{\"role\": \"system\", \"content\": \" Be \xC3\xA9.\\n\"}, {\"role\": \"user\", \"content\": [{\"type\": "
        "\"text\", "
        "\"text\": \"a\"}]}, {\"role\": \"assistant\", \"content\": \"<think>b</think>c\", \"n\": [1, 2.5, {\"k\": "
        "true}]}]",
    };
    ChatTemplate *chat;
    Error err = {0};
    if (!chat_template_parse("t", (const char *)data, size, &chat, &err)) return 0;
    for (size_t i = 0; i < sizeof conversations / sizeof *conversations; i++)
        print_conversation(chat, conversations[i]);
    chat_template_free(chat);
    return 0;
}
