// Statements: what stands in {% %}, and the text and {{ output }} between.
#include <string.h>

#include "loaders/chat/jinja_parts.h"

// ---- targets of assignments ----

static bool parse_target(Parser *p, Node **out);

static bool parse_target_item(Parser *p, Node **out) {
    if (token_skip(p, "(")) return parse_target(p, out) && token_expect(p, ")");
    return (*out = node_new(p, NODE_NAME)) && parse_name(p, &(*out)->name);
}

// a · a, b · (a, b), c
static bool parse_target(Parser *p, Node **out) {
    Node *first = NULL, *next;
    if (!jinja_enter(p->jinja)) return false;
    bool ok = parse_target_item(p, &first);
    *out = first;
    if (ok && token_is(p, ",")) ok = (*out = node_new(p, NODE_TUPLE)) && node_add(p, *out, first, NULL);
    while (ok && token_skip(p, ",") && (p->at->kind == TOKEN_NAME || token_is(p, "(")) && !token_is_name(p, "in"))
        ok = parse_target_item(p, &next) && node_add(p, *out, next, NULL);
    p->jinja->depth--;
    return ok;
}

// A target, or name.field of a namespace.
static bool parse_set_target(Parser *p, Node **out) {
    const bool field = p->at->kind == TOKEN_NAME && p->at[1].kind == TOKEN_OPERATOR && string_is(p->at[1].text, ".");
    if (!field) return parse_target(p, out);
    if (!(*out = node_new(p, NODE_FIELD)) || !parse_name(p, &(*out)->name)) return false;
    p->at++;
    return parse_name(p, &(*out)->field);
}

// ---- statements ----

static bool end_tag(Parser *p) { return token_expect(p, "%}"); }

// Statements up to one of the names, which stays; behind it comes what the caller expects.
static bool parse_body(Parser *p, Node **out, const char *const *ends) {
    return end_tag(p) && parse_statements(p, out, ends);
}

static bool parse_to_end(Parser *p, Node **out, const char *end) {
    return parse_body(p, out, (const char *const[]){end, NULL}) && token_expect_name(p, end) && end_tag(p);
}

static bool parse_if(Parser *p, Node **out) {
    Node *node = *out = node_new(p, NODE_IF);
    if (!node || !parse_tuple(p, false, NULL, &node->a) ||
        !parse_body(p, &node->body, (const char *const[]){"elif", "else", "endif", NULL}))
        return false;
    if (token_is_name(p, "elif")) {
        if (!jinja_enter(p->jinja)) return false;
        p->at++;
        const bool ok = parse_if(p, &node->other);
        p->jinja->depth--;
        return ok;
    }
    if (token_is_name(p, "else")) {
        p->at++;
        return parse_to_end(p, &node->other, "endif");
    }
    return token_expect_name(p, "endif") && end_tag(p);
}

static bool parse_for(Parser *p, Node **out) {
    Node *node = *out = node_new(p, NODE_FOR);
    if (!node || !parse_target(p, &node->b) || !token_expect_name(p, "in") ||
        !parse_tuple(p, false, "recursive", &node->a))
        return false;
    if (token_is_name(p, "if")) {
        p->at++;
        if (!parse_expression(p, &node->c)) return false;
    }
    if (token_is_name(p, "recursive")) return parse_refuse(p, "a loop that is not recursive");
    p->loops++;
    const bool ok = parse_body(p, &node->body, (const char *const[]){"else", "endfor", NULL});
    p->loops--;
    if (!ok) return false;
    if (token_is_name(p, "else")) {
        p->at++;
        return parse_to_end(p, &node->other, "endfor");
    }
    return token_expect_name(p, "endfor") && end_tag(p);
}

static bool parse_set(Parser *p, Node **out) {
    Node *target, *node;
    if (!parse_set_target(p, &target)) return false;
    if (!(*out = node = node_new(p, token_is(p, "=") ? NODE_SET : NODE_SET_BLOCK))) return false;
    node->b = target;
    if (token_skip(p, "=")) return parse_tuple(p, true, NULL, &node->a) && end_tag(p);
    if (token_skip(p, "|") && !parse_filters(p, NULL, &node->c)) return false;
    return parse_to_end(p, &node->body, "endset");
}

static bool parse_parameters(Parser *p, Node *macro) {
    if (!token_expect(p, "(")) return false;
    while (!token_is(p, ")")) {
        const char *name;
        Node *value = NULL;
        if (macro->count && !token_expect(p, ",")) return false;
        if (!parse_name(p, &name)) return false;
        if (token_skip(p, "=")) {
            if (!parse_expression(p, &value)) return false;
        } else if (macro->count && macro->items[macro->count - 1])
            return parse_refuse(p, "a parameter with a default");
        if (!node_add(p, macro, value, name)) return false;
    }
    return token_expect(p, ")");
}

static bool parse_macro(Parser *p, Node **out) {
    Node *node = *out = node_new(p, NODE_MACRO);
    const int loops = p->loops;
    if (!node || !parse_name(p, &node->name) || !parse_parameters(p, node)) return false;
    p->loops = 0;
    const bool ok = parse_to_end(p, &node->body, "endmacro");
    p->loops = loops;
    return ok;
}

static bool parse_filtered(Parser *p, Node **out) {
    return (*out = node_new(p, NODE_FILTERED)) && parse_filters(p, NULL, &(*out)->c) &&
           parse_to_end(p, &(*out)->body, "endfilter");
}

static bool parse_with(Parser *p, Node **out) {
    Node *node = *out = node_new(p, NODE_WITH), *target, *value;
    if (!node) return false;
    while (!token_is(p, "%}")) {
        if ((node->count && !token_expect(p, ",")) || !parse_target_item(p, &target) || !token_expect(p, "=") ||
            !parse_expression(p, &value) || !node_add(p, node, target, NULL) || !node_add(p, node, value, NULL))
            return false;
    }
    return parse_to_end(p, &node->body, "endwith");
}

static bool parse_generation(Parser *p, Node **out) {
    return (*out = node_new(p, NODE_SCOPE)) && parse_to_end(p, &(*out)->body, "endgeneration");
}

static bool parse_jump(Parser *p, NodeKind kind, Node **out) {
    if (!p->loops) return parse_refuse(p, "a loop around break and continue");
    return (*out = node_new(p, kind)) && end_tag(p);
}

static bool parse_break(Parser *p, Node **out) { return parse_jump(p, NODE_BREAK, out); }
static bool parse_continue(Parser *p, Node **out) { return parse_jump(p, NODE_CONTINUE, out); }

static const struct {
    const char *name;
    bool (*parse)(Parser *p, Node **out);
} statements[] = {
    {"if", parse_if},       {"for", parse_for},           {"set", parse_set},
    {"macro", parse_macro}, {"filter", parse_filtered},   {"with", parse_with},
    {"break", parse_break}, {"continue", parse_continue}, {"generation", parse_generation},
};

static bool parse_statement(Parser *p, Node **out) {
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (!token_is_name(p, statements[i].name)) continue;
        p->at++;
        return statements[i].parse(p, out);
    }
    return parse_refuse(p, "one of the tags if, for, set, macro, filter, with, break, continue, generation");
}

static bool parse_piece(Parser *p, Node **out) {
    if (p->at->kind == TOKEN_TEXT) {
        if (!(*out = node_new(p, NODE_TEXT))) return false;
        (*out)->value = value_string(p->at->text.data, p->at->text.length);
        p->at++;
        return true;
    }
    if (p->at->kind == TOKEN_OUTPUT) {
        p->at++;
        return (*out = node_new(p, NODE_OUTPUT)) && parse_tuple(p, true, NULL, &(*out)->a) && token_expect(p, "}}");
    }
    p->at++; // {%
    return parse_statement(p, out);
}

// Whether a tag of one of these names begins here; then goes past its {%.
static bool at_ending(Parser *p, const char *const *ends) {
    for (; p->at->kind == TOKEN_BLOCK && ends && *ends; ends++) {
        if (p->at[1].kind == TOKEN_NAME && string_is(p->at[1].text, *ends)) return p->at++, true;
    }
    return false;
}

bool parse_statements(Parser *p, Node **out, const char *const *ends) {
    if (!jinja_enter(p->jinja)) return false;
    bool ok = true;
    *out = NULL;
    for (Node **last = out; ok && p->at->kind != TOKEN_END && !at_ending(p, ends);) {
        ok = parse_piece(p, last);
        if (ok) last = &(*last)->next;
    }
    p->jinja->depth--;
    return ok;
}

bool jinja_parse(Jinja *j, const char *source, size_t length, Node **out) {
    JinjaToken *tokens;
    if (!jinja_tokens(j, source, length, &tokens)) return false;
    Parser parser = {.jinja = j, .at = tokens};
    return parse_statements(&parser, out, NULL);
}
