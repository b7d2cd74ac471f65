// Any bytes as a tokenizer.json: refused, or able to encode texts and to decode what came of them and any other ids.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_text(const Tokenizer *tokenizer, const char *text, size_t length) {
    TokenIds ids = {0};
    Text back = {0};
    Error err = {0};
    if (tokenizer_encode(tokenizer, text, length, true, &ids, &err) &&
        tokenizer_decode(tokenizer, ids.ids, ids.count, false, &back, &err) && !text_is_utf8(back.data, back.length))
        abort();
    text_free(&back);
    token_ids_free(&ids);
}

static void try_ids(const Tokenizer *tokenizer) {
    int32_t ids[64];
    Text text = {0};
    Error err = {0};
    for (int32_t i = 0; i < 64; i++) {
        ids[i] = (i * 7 - 3) % 67;
        if (!tokenizer_token(tokenizer, ids[i], NULL)) abort();
    }
    if (tokenizer_decode(tokenizer, ids, 64, true, &text, &err) && !text_is_utf8(text.data, text.length)) abort();
    text_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const texts[] = {"", " ", "Hello  world, it's 1234 caf\xC3\xA9!\n\n", "<s>a</s> \xE2\x96\x81z",
                                        "e\xCC\x81 \xEF\xBC\xA1 \xF0\x9F\x98\x80 \xE0\xA4\x95\xE0\xA5\x8D\t\r\n"};
    Tokenizer *tokenizer;
    Error err = {0};
    if (!tokenizer_parse((const char *)data, size, &tokenizer, &err)) return 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) try_text(tokenizer, texts[i], strlen(texts[i]));
    try_text(tokenizer, "a\0b", 3);
    // Its own bytes are a text that has its tokens.
    if (size < 4096) try_text(tokenizer, (const char *)data, size);
    try_ids(tokenizer);
    tokenizer_free(tokenizer);
    return 0;
}
