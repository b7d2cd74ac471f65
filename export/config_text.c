// One key of a JSON object, in its text: numbers keep their digits and keys their order, which no parser promises.
#include <string.h>

#include "export/export_parts.h"

static size_t skip_space(const char *text, size_t at) { return at + strspn(text + at, " \t\r\n"); }

// Behind the string that begins at its quotation mark.
static size_t skip_string(const char *text, size_t at) {
    for (at++; text[at] && text[at] != '"'; at++)
        if (text[at] == '\\' && text[at + 1]) at++;
    return text[at] ? at + 1 : at;
}

// Behind a value, which ends where a comma or bracket of the object around it stands.
static size_t skip_value(const char *text, size_t at) {
    int depth = 0;
    while (text[at]) {
        const char c = text[at];
        if (c == '"') {
            at = skip_string(text, at);
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']')) break;
        depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        at++;
    }
    while (at > 0 && strchr(" \t\r\n", text[at - 1])) at--;
    return at;
}

typedef struct Member {
    size_t begin, value, end; // of its key, of its value, and behind it
    bool found;
} Member;

// The last member of this name; else where a new one would go, behind the last of all.
static Member find_member(const char *text, const char *key, bool *empty) {
    Member found = {0};
    size_t at = strcspn(text, "{");
    at += text[at] != '\0';
    found.begin = found.end = at;
    *empty = true;
    for (at = skip_space(text, at); text[at] == '"'; at = skip_space(text, at)) {
        Member m = {.begin = at};
        at = skip_string(text, at);
        m.found = at - m.begin == strlen(key) + 2 && strncmp(text + m.begin + 1, key, strlen(key)) == 0;
        at = skip_space(text, at);
        m.value = skip_space(text, at + (text[at] == ':'));
        m.end = skip_value(text, m.value);
        if (m.found || !found.found) found = m;
        *empty = false;
        at = skip_space(text, m.end);
        at += text[at] == ',';
    }
    return found;
}

static void replace(Text *document, size_t begin, size_t end, const char *with) {
    Text out = {0};
    text_add(&out, document->data, begin);
    text_add(&out, with, strlen(with));
    text_add(&out, document->data + end, document->length - end);
    text_free(document);
    *document = out;
}

// With the comma before it, or of the first one the comma behind it.
static void remove_member(Text *document, Member m) {
    const char *text = document->data;
    size_t begin = m.begin, end = m.end;
    while (begin > 0 && strchr(" \t\r\n", text[begin - 1])) begin--;
    const size_t behind = skip_space(text, end);
    if (begin > 0 && text[begin - 1] == ',')
        begin--;
    else if (text[behind] == ',')
        end = behind + 1;
    replace(document, begin, end, "");
}

void config_text_set(Text *document, const char *key, const char *value) {
    if (document->failed || !document->data) return;
    bool empty;
    const Member m = find_member(document->data, key, &empty);
    if (m.found && value) {
        replace(document, m.value, m.end, value);
    } else if (m.found) {
        remove_member(document, m);
        config_text_set(document, key, NULL); // a key may be there twice
    } else if (value) {
        Text member = {0};
        text_addf(&member, "%s\n  \"%s\": %s", empty ? "" : ",", key, value);
        document->failed = member.failed;
        if (!member.failed) replace(document, m.end, m.end, member.data);
        text_free(&member);
    }
}
