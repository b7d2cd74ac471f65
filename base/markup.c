#include "base/markup.h"

#include <string.h>

static const char *entity_of(uint32_t code) {
    switch (code) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    }
    const bool control = (code < ' ' && code != '\n' && code != '\t') || (code >= 0x7F && code < 0xA0);
    return control ? "\uFFFD" : NULL;
}

void markup_add(Text *page, const char *text, size_t length) {
    while (length) {
        uint32_t code = 0;
        const size_t bytes = utf8_read(text, length, &code), taken = bytes ? bytes : 1;
        const char *entity = bytes ? entity_of(code) : "\uFFFD";
        if (entity)
            text_add(page, entity, strlen(entity));
        else
            text_add(page, text, taken);
        text += taken;
        length -= taken;
    }
}

void markup_text(Text *page, const char *text) { markup_add(page, text, strlen(text)); }
