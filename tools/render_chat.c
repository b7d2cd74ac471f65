// A chat template without a model, for tools/reference/check_chat_templates.py:
//
//     render-chat TEMPLATE < lines      {"messages": […], "add_generation_prompt": true, "special": {"bos_token": …}}
//
// answers each line by one: {"text": …}, or {"error": …}. Dates are those of noon on 1 March 2026.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "loaders/chat/chat_template.h"

static void answer(const ChatTemplate *chat, const char *line, size_t length, const Error *unread) {
    static const struct tm noon = {
        .tm_year = 126, .tm_mon = 2, .tm_mday = 1, .tm_hour = 12, .tm_wday = 0, .tm_yday = 59};
    Text text = {0};
    Error err = *unread;
    cJSON *request = json_parse(line, length, &err), *reply = cJSON_CreateObject();
    const bool ok =
        chat && request &&
        chat_template_apply(chat, cJSON_GetObjectItemCaseSensitive(request, "messages"),
                            cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(request, "add_generation_prompt")),
                            cJSON_GetObjectItemCaseSensitive(request, "special"), &noon, &text, &err);
    if (ok)
        cJSON_AddItemToObject(reply, "text", json_from_bytes(text.data, text.length));
    else
        cJSON_AddStringToObject(reply, "error", err.message);
    char *printed = json_print(reply);
    puts(printed ? printed : "");
    free(printed);
    cJSON_Delete(reply);
    cJSON_Delete(request);
    text_free(&text);
}

int main(int argc, char **argv) {
    Error err = {0};
    ChatTemplate *chat = NULL;
    char *source = NULL, *line = NULL;
    size_t length = 0, room = 0;
    if (argc != 2) return fprintf(stderr, "usage: %s TEMPLATE < lines\n", argv[0]), 2;
    if (!file_read(argv[1], 1 << 24, &source, &length, &err)) return fprintf(stderr, "%s\n", err.message), 1;
    chat_template_parse(argv[1], source, length, &chat, &err);
    for (ssize_t n; (n = getline(&line, &room, stdin)) > 0;) answer(chat, line, (size_t)n, &err);
    chat_template_free(chat);
    free(source);
    free(line);
    return 0;
}
