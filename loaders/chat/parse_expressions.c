// Expressions, with the precedence of Jinja: choice, or, and, not, comparison, + -, ~, * / // %, **, sign, then what
// stands behind a value: .name [element] (call) |filter "is test".
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/number.h"
#include "loaders/chat/jinja_parts.h"

// ---- tokens ----

Node *node_new(Parser *p, NodeKind kind) {
    Node *node = jinja_take(p->jinja, 1, sizeof *node);
    if (!node) return NULL;
    node->kind = kind;
    node->line = p->at->line;
    return node;
}

bool node_add(Parser *p, Node *to, Node *item, const char *name) {
    if ((to->count & (to->count - 1)) == 0) { // 0, 1, 2, 4, 8 …: full
        const size_t wider = to->count ? 2 * to->count : 1;
        Node **items = jinja_take(p->jinja, wider, sizeof(Node *));
        const char **names = jinja_take(p->jinja, wider, sizeof(char *));
        if (!items || !names) return false;
        if (to->count) {
            memcpy(items, to->items, to->count * sizeof(Node *));
            memcpy(names, to->names, to->count * sizeof(char *));
        }
        to->items = items;
        to->names = names;
    }
    to->names[to->count] = name;
    to->items[to->count++] = item;
    return true;
}

#undef parse_refuse
bool parse_refuse(Parser *p, const char *wanted) {
    const String found = p->at->text;
    p->jinja->line = p->at->line;
    if (p->at->kind == TOKEN_END) return jinja_refuse(p->jinja, "%s is expected, but the template ends", wanted);
    return jinja_refuse(p->jinja, "%s is expected, not \"%.*s\"", wanted, (int)(found.length > 40 ? 40 : found.length),
                        found.data);
}
#define parse_refuse(...) jinja_is_false(parse_refuse(__VA_ARGS__))

bool token_is(const Parser *p, const char *operator) {
    return (p->at->kind == TOKEN_OPERATOR || p->at->kind == TOKEN_BLOCK_END || p->at->kind == TOKEN_OUTPUT_END) &&
           string_is(p->at->text, operator);
}

bool token_is_name(const Parser *p, const char *name) {
    return p->at->kind == TOKEN_NAME && string_is(p->at->text, name);
}

bool token_skip(Parser *p, const char *operator) {
    if (!token_is(p, operator)) return false;
    p->at++;
    return true;
}

bool token_expect(Parser *p, const char *operator) { return token_skip(p, operator) || parse_refuse(p, operator); }

bool token_expect_name(Parser *p, const char *name) {
    if (!token_is_name(p, name)) return parse_refuse(p, name);
    p->at++;
    return true;
}

bool parse_name(Parser *p, const char **out) {
    Value copy;
    if (p->at->kind != TOKEN_NAME) return parse_refuse(p, "a name");
    if (!value_copied(p->jinja, p->at->text.data, p->at->text.length, &copy)) return false;
    *out = copy.string.data;
    p->at++;
    return true;
}

// ---- values ----

static bool constant_node(Parser *p, Value value, Node **out) {
    if (!(*out = node_new(p, NODE_CONSTANT))) return false;
    (*out)->value = value;
    return true;
}

static bool parse_number(Parser *p, Node **out) {
    char digits[64];
    size_t n = 0;
    for (size_t i = 0; i < p->at->text.length && n + 1 < sizeof digits; i++) {
        if (p->at->text.data[i] != '_') digits[n++] = p->at->text.data[i];
    }
    digits[n] = '\0';
    Value value = {.kind = REAL};
    errno = 0;
    if (p->at->kind == TOKEN_INTEGER)
        value = value_integer(strtoll(digits, NULL, 10));
    else if (!number_parse(digits, &value.real))
        errno = ERANGE;
    if (errno || n + 1 == sizeof digits) return parse_refuse(p, "a number of ordinary size");
    p->at++;
    return constant_node(p, value, out);
}

// Texts that stand side by side are one.
static bool parse_string(Parser *p, Node **out) {
    Buffer text = {0};
    for (; p->at->kind == TOKEN_STRING; p->at++) {
        if (!buffer_add(p->jinja, &text, p->at->text.data, p->at->text.length)) return false;
    }
    return constant_node(p, value_string(text.data, text.length), out);
}

static bool parse_word(Parser *p, Node **out) {
    static const struct {
        const char *name;
        ValueKind kind;
        bool truth;
    } words[] = {{"true", BOOLEAN, true},   {"True", BOOLEAN, true}, {"false", BOOLEAN, false},
                 {"False", BOOLEAN, false}, {"none", NONE, false},   {"None", NONE, false}};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        if (!token_is_name(p, words[i].name)) continue;
        p->at++;
        return constant_node(p, (Value){.kind = words[i].kind, .integer = words[i].truth}, out);
    }
    return (*out = node_new(p, NODE_NAME)) && parse_name(p, &(*out)->name);
}

static bool parse_list(Parser *p, Node **out) {
    if (!token_expect(p, "[") || !(*out = node_new(p, NODE_LIST))) return false;
    while (!token_is(p, "]")) {
        Node *item;
        if ((*out)->count && !token_expect(p, ",")) return false;
        if (token_is(p, "]")) break;
        if (!parse_expression(p, &item) || !node_add(p, *out, item, NULL)) return false;
    }
    return token_expect(p, "]");
}

static bool parse_dict(Parser *p, Node **out) {
    if (!token_expect(p, "{") || !(*out = node_new(p, NODE_DICT))) return false;
    while (!token_is(p, "}")) {
        Node *key, *value;
        if ((*out)->count && !token_expect(p, ",")) return false;
        if (token_is(p, "}")) break;
        if (!parse_expression(p, &key) || !token_expect(p, ":") || !parse_expression(p, &value) ||
            !node_add(p, *out, key, NULL) || !node_add(p, *out, value, NULL))
            return false;
    }
    return token_expect(p, "}");
}

static bool parse_parentheses(Parser *p, Node **out) {
    if (!token_expect(p, "(")) return false;
    if (token_skip(p, ")")) return (*out = node_new(p, NODE_TUPLE)) != NULL;
    return parse_tuple(p, true, NULL, out) && token_expect(p, ")");
}

static bool parse_primary(Parser *p, Node **out) {
    switch (p->at->kind) {
    case TOKEN_NAME: return parse_word(p, out);
    case TOKEN_STRING: return parse_string(p, out);
    case TOKEN_INTEGER:
    case TOKEN_REAL: return parse_number(p, out);
    case TOKEN_OPERATOR:
        if (token_is(p, "(")) return parse_parentheses(p, out);
        if (token_is(p, "[")) return parse_list(p, out);
        if (token_is(p, "{")) return parse_dict(p, out);
        break;
    case TOKEN_END:
    case TOKEN_TEXT:
    case TOKEN_OUTPUT:
    case TOKEN_OUTPUT_END:
    case TOKEN_BLOCK:
    case TOKEN_BLOCK_END: break;
    }
    return parse_refuse(p, "a value");
}

// ---- what stands behind a value ----

static bool parse_dot(Parser *p, Node *of, Node **out) {
    p->at++;
    if (p->at->kind == TOKEN_INTEGER) {
        if (!(*out = node_new(p, NODE_ITEM))) return false;
        (*out)->a = of;
        return parse_number(p, &(*out)->b);
    }
    if (!(*out = node_new(p, NODE_ATTRIBUTE))) return false;
    (*out)->a = of;
    return parse_name(p, &(*out)->name);
}

static bool parse_bound(Parser *p, Node **out) {
    if (token_is(p, ":") || token_is(p, "]")) return true;
    return parse_expression(p, out);
}

static bool parse_element(Parser *p, Node *of, Node **out) {
    Node *first = NULL, *node;
    if (!token_expect(p, "[") || (!token_is(p, ":") && !parse_expression(p, &first))) return false;
    if (!(*out = node = node_new(p, token_is(p, ":") ? NODE_SLICE : NODE_ITEM))) return false;
    node->a = of;
    if (node->kind == NODE_ITEM) {
        node->b = first;
        return token_expect(p, "]");
    }
    node->b = first;
    return token_expect(p, ":") && parse_bound(p, &node->c) && (!token_skip(p, ":") || parse_bound(p, &node->other)) &&
           token_expect(p, "]");
}

// Behind the parenthesis.
static bool parse_arguments(Parser *p, Node *into) {
    bool named = false;
    while (!token_is(p, ")")) {
        const char *name = NULL;
        Node *value;
        if (into->count && !token_expect(p, ",")) return false;
        if (token_is(p, ")")) break;
        if (p->at->kind == TOKEN_NAME && p->at[1].kind == TOKEN_OPERATOR && string_is(p->at[1].text, "=")) {
            if (!parse_name(p, &name)) return false;
            p->at++;
        } else if (named)
            return parse_refuse(p, "an argument with a name");
        named = name;
        if (!parse_expression(p, &value) || !node_add(p, into, value, name)) return false;
    }
    return token_expect(p, ")");
}

static bool parse_call(Parser *p, Node *of, Node **out) {
    if (!(*out = node_new(p, NODE_CALL))) return false;
    (*out)->a = of;
    p->at++;
    return parse_arguments(p, *out);
}

static bool parse_postfix(Parser *p, Node **node) {
    while (true) {
        Node *of = *node;
        bool ok = true;
        if (token_is(p, "."))
            ok = parse_dot(p, of, node);
        else if (token_is(p, "["))
            ok = parse_element(p, of, node);
        else if (token_is(p, "("))
            ok = parse_call(p, of, node);
        else
            return true;
        if (!ok || !jinja_spend(p->jinja, 1)) return false;
    }
}

bool parse_filters(Parser *p, Node *of, Node **out) {
    do {
        if (!(*out = node_new(p, NODE_FILTER)) || !parse_name(p, &(*out)->name)) return false;
        (*out)->a = of;
        of = *out;
        if (token_skip(p, "(") && !parse_arguments(p, *out)) return false;
    } while (token_skip(p, "|"));
    return true;
}

// Whether a value without parentheses follows a test: "is divisibleby 3".
static bool test_has_operand(const Parser *p) {
    if (p->at->kind == TOKEN_NAME)
        return !token_is_name(p, "else") && !token_is_name(p, "or") && !token_is_name(p, "and");
    return p->at->kind == TOKEN_STRING || p->at->kind == TOKEN_INTEGER || p->at->kind == TOKEN_REAL ||
           token_is(p, "[") || token_is(p, "{");
}

static bool parse_test(Parser *p, Node *of, Node **out) {
    Node *test, *operand;
    p->at++;
    const bool negated = token_is_name(p, "not");
    if (negated) p->at++;
    if (!(*out = test = node_new(p, NODE_TEST)) || !parse_name(p, &test->name)) return false;
    test->a = of;
    if (token_skip(p, "(")) {
        if (!parse_arguments(p, test)) return false;
    } else if (test_has_operand(p)) {
        if (token_is_name(p, "is")) return parse_refuse(p, "something else than a chain of tests");
        if (!parse_primary(p, &operand) || !parse_postfix(p, &operand) || !node_add(p, test, operand, NULL))
            return false;
    }
    if (!negated) return true;
    if (!(*out = node_new(p, NODE_NOT))) return false;
    (*out)->a = test;
    return true;
}

static bool parse_filter_expression(Parser *p, Node **node) {
    while (true) {
        Node *of = *node;
        bool ok = true;
        if (token_skip(p, "|"))
            ok = parse_filters(p, of, node);
        else if (token_is_name(p, "is"))
            ok = parse_test(p, of, node);
        else if (token_is(p, "("))
            ok = parse_call(p, of, node);
        else
            return true;
        if (!ok || !jinja_spend(p->jinja, 1)) return false;
    }
}

// ---- operators ----

static bool parse_unary(Parser *p, bool filters, Node **out) {
    const NodeKind sign = token_is(p, "-") ? NODE_NEGATIVE : NODE_POSITIVE;
    if (!jinja_enter(p->jinja)) return false;
    bool ok;
    if (token_is(p, "-") || token_is(p, "+")) {
        p->at++;
        ok = (*out = node_new(p, sign)) && parse_unary(p, false, &(*out)->a);
    } else
        ok = parse_primary(p, out);
    ok = ok && parse_postfix(p, out) && (!filters || parse_filter_expression(p, out));
    p->jinja->depth--;
    return ok;
}

typedef bool Parse(Parser *p, Node **out);

static bool parse_operand(Parser *p, Node **out) { return parse_unary(p, true, out); }

// left op right op right …, of the operators in the list, which ends with NULL.
static bool parse_binary(Parser *p, Parse *operand, const char *const *operators, Node **out) {
    if (!operand(p, out)) return false;
    for (size_t i = 0; operators[i]; i++) {
        if (!token_is(p, operators[i])) continue;
        Node *left = *out;
        if (!(*out = node_new(p, NODE_BINARY))) return false;
        (*out)->name = operators[i];
        (*out)->a = left;
        p->at++;
        if (!operand(p, &(*out)->b)) return false;
        i = SIZE_MAX; // from the first once more
    }
    return true;
}

static bool parse_power(Parser *p, Node **out) {
    return parse_binary(p, parse_operand, (const char *const[]){"**", NULL}, out);
}

static bool parse_product(Parser *p, Node **out) {
    return parse_binary(p, parse_power, (const char *const[]){"*", "/", "//", "%", NULL}, out);
}

static bool parse_joined(Parser *p, Node **out) {
    Node *first, *next;
    if (!parse_product(p, &first)) return false;
    *out = first;
    if (!token_is(p, "~")) return true;
    if (!(*out = node_new(p, NODE_JOIN)) || !node_add(p, *out, first, NULL)) return false;
    while (token_skip(p, "~")) {
        if (!parse_product(p, &next) || !node_add(p, *out, next, NULL)) return false;
    }
    return true;
}

static bool parse_sum(Parser *p, Node **out) {
    return parse_binary(p, parse_joined, (const char *const[]){"+", "-", NULL}, out);
}

// The operator of a comparison that stands here, gone past; NULL when there is none.
static const char *comparison_operator(Parser *p) {
    static const char *const operators[] = {"==", "!=", "<=", ">=", "<", ">"};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (token_skip(p, operators[i])) return operators[i];
    }
    if (token_is_name(p, "in")) return p->at++, "in";
    if (!token_is_name(p, "not") || p->at[1].kind != TOKEN_NAME || !string_is(p->at[1].text, "in")) return NULL;
    p->at += 2;
    return "not in";
}

static bool parse_comparison(Parser *p, Node **out) {
    Node *left, *chain = NULL;
    if (!parse_sum(p, &left)) return false;
    *out = left;
    for (const char *operator; (operator= comparison_operator(p));) {
        Node *compare = node_new(p, NODE_COMPARE);
        if (!compare || !parse_sum(p, &compare->b)) return false;
        compare->name = operator;
        compare->a = left;
        left = compare->b;
        if (*out != compare->a && !chain) { // the second: a < b < c
            if (!(chain = node_new(p, NODE_CHAIN)) || !node_add(p, chain, *out, NULL)) return false;
        }
        if (chain && !node_add(p, chain, compare, NULL)) return false;
        *out = chain ? chain : compare;
    }
    return true;
}

static bool parse_not(Parser *p, Node **out) {
    if (!token_is_name(p, "not")) return parse_comparison(p, out);
    if (!jinja_enter(p->jinja)) return false;
    p->at++;
    const bool ok = (*out = node_new(p, NODE_NOT)) && parse_not(p, &(*out)->a);
    p->jinja->depth--;
    return ok;
}

static bool parse_logic(Parser *p, Parse *operand, const char *word, NodeKind kind, Node **out) {
    if (!operand(p, out)) return false;
    while (token_is_name(p, word)) {
        Node *left = *out;
        p->at++;
        if (!(*out = node_new(p, kind))) return false;
        (*out)->a = left;
        if (!operand(p, &(*out)->b)) return false;
    }
    return true;
}

static bool parse_and(Parser *p, Node **out) { return parse_logic(p, parse_not, "and", NODE_AND, out); }
static bool parse_or(Parser *p, Node **out) { return parse_logic(p, parse_and, "or", NODE_OR, out); }

bool parse_expression(Parser *p, Node **out) {
    if (!jinja_enter(p->jinja)) return false;
    bool ok = parse_or(p, out);
    while (ok && token_is_name(p, "if")) {
        Node *value = *out;
        p->at++;
        ok = (*out = node_new(p, NODE_CHOICE)) && parse_or(p, &(*out)->b);
        if (ok) (*out)->a = value;
        if (!ok || !token_is_name(p, "else")) continue;
        p->at++;
        ok = parse_expression(p, &(*out)->c);
    }
    p->jinja->depth--;
    return ok;
}

bool parse_tuple(Parser *p, bool choices, const char *end, Node **out) {
    Node *first, *next;
    if (!(choices ? parse_expression : parse_or)(p, &first)) return false;
    *out = first;
    if (!token_is(p, ",")) return true;
    if (!(*out = node_new(p, NODE_TUPLE)) || !node_add(p, *out, first, NULL)) return false;
    while (token_skip(p, ",")) {
        if (token_is(p, ")") || token_is(p, "}}") || token_is(p, "%}") || (end && token_is_name(p, end))) break;
        if (!(choices ? parse_expression : parse_or)(p, &next) || !node_add(p, *out, next, NULL)) return false;
    }
    return true;
}
