// The values of expressions.
#include <math.h>
#include <string.h>

#include "loaders/chat/jinja_parts.h"

// ---- arithmetic ----

static bool refuse_operator(Jinja *j, const char *operator, const Value * a, const Value *b) {
    const Value *undefined = a->kind == UNDEFINED ? a : b->kind == UNDEFINED ? b : NULL;
    if (undefined) return jinja_refuse(j, "\"%.60s\" is undefined", undefined->name ? undefined->name : "?");
    return jinja_refuse(j, "%s cannot be used with %s and %s", operator, value_kind_name(a), value_kind_name(b));
}

static bool is_division(const char *operator) { return operator[0] == '/' || operator[0] == '%'; }

static double real_result(const char *operator, double a, double b) {
    if (strcmp(operator, "//") == 0) return floor(a / b);
    switch (operator[0]) {
    case '+': return a + b;
    case '-': return a - b;
    case '/': return a / b;
    case '%': return a - b * floor(a / b);
    default: return operator[1] ? pow(a, b) : a * b;
    }
}

// By repeated squaring; true when it overflows.
static bool power_overflows(int64_t a, int64_t b, int64_t *out) {
    bool over = false, base_over = false;
    *out = 1;
    for (; b > 0; b >>= 1) {
        if (b & 1) over |= base_over | __builtin_mul_overflow(*out, a, out);
        base_over |= __builtin_mul_overflow(a, a, &a);
    }
    return over;
}

static bool whole_overflows(const char *operator, int64_t a, int64_t b, int64_t *out) {
    if (is_division(operator)) { // rounded down, as Python does
        if (a == INT64_MIN && b == -1) return true;
        const int64_t rest = a % b, below = rest && (rest < 0) != (b < 0);
        *out = operator[0] == '%' ? rest + below * b : a / b - below;
        return false;
    }
    switch (operator[0]) {
    case '+': return __builtin_add_overflow(a, b, out);
    case '-': return __builtin_sub_overflow(a, b, out);
    default: return operator[1] ? power_overflows(a, b, out) : __builtin_mul_overflow(a, b, out);
    }
}

static bool eval_numbers(Jinja *j, const char *operator, const Value * a, const Value *b, Value *out) {
    if (is_division(operator) && as_real(b) == 0) return jinja_refuse(j, "division by zero");
    const bool real = a->kind == REAL || b->kind == REAL || strcmp(operator, "/") == 0 ||
                      (strcmp(operator, "**") == 0 && b->integer < 0);
    if (real) {
        *out = (Value){.kind = REAL, .real = real_result(operator, as_real(a), as_real(b))};
        return true;
    }
    int64_t result;
    if (whole_overflows(operator, a->integer, b->integer, &result)) return jinja_refuse(j, "a number is too large");
    *out = value_integer(result);
    return true;
}

static bool add_strings(Jinja *j, const Value *a, const Value *b, Value *out) {
    Value left = *a, right = *b;
    const bool safe = a->safe || b->safe;
    if (safe &&
        ((!a->safe && !string_escape(j, a->string, &left)) || (!b->safe && !string_escape(j, b->string, &right))))
        return false;
    Buffer buffer = {0};
    if (!buffer_add(j, &buffer, left.string.data, left.string.length) ||
        !buffer_add(j, &buffer, right.string.data, right.string.length))
        return false;
    *out = value_string(buffer.data, buffer.length);
    out->safe = safe;
    return true;
}

static bool add_lists(Jinja *j, const Value *a, const Value *b, Value *out) {
    const List *first = a->list, *second = b->list;
    if (!value_list(j, a->kind, first->count + second->count, out)) return false;
    for (size_t i = 0; i < first->count; i++) out->list->items[i] = first->items[i];
    for (size_t i = 0; i < second->count; i++) out->list->items[first->count + i] = second->items[i];
    return jinja_spend(j, out->list->count);
}

static bool eval_repeat(Jinja *j, const Value *what, int64_t times, Value *out) {
    Buffer buffer = {0};
    Value whole = *what;
    if (what->kind != STRING) {
        if (!value_list(j, what->kind, 0, &whole)) return false;
        for (int64_t i = 0; i < times && what->list->count; i++) {
            if (!add_lists(j, &whole, what, &whole)) return false;
        }
        *out = whole;
        return true;
    }
    for (int64_t i = 0; i < times && what->string.length; i++) {
        if (!buffer_add(j, &buffer, what->string.data, what->string.length)) return false;
    }
    *out = value_string(buffer.data, buffer.length);
    return true;
}

static bool is_sequence(const Value *value) {
    return value->kind == STRING || value->kind == LIST || value->kind == TUPLE;
}

static bool eval_operator(Jinja *j, const char *operator, const Value * a, const Value *b, Value *out) {
    if (is_number(a) && is_number(b)) return eval_numbers(j, operator, a, b, out);
    if (strcmp(operator, "+") == 0 && a->kind == b->kind) {
        if (a->kind == STRING) return add_strings(j, a, b, out);
        if (a->kind == LIST || a->kind == TUPLE) return add_lists(j, a, b, out);
    }
    if (strcmp(operator, "*") == 0 && is_sequence(a) && b->kind == INTEGER) return eval_repeat(j, a, b->integer, out);
    if (strcmp(operator, "*") == 0 && is_sequence(b) && a->kind == INTEGER) return eval_repeat(j, b, a->integer, out);
    return refuse_operator(j, operator, a, b);
}

static bool eval_binary(Jinja *j, const Node *node, Value *out) {
    Value a, b;
    return jinja_evaluate(j, node->a, &a) && jinja_evaluate(j, node->b, &b) &&
           eval_operator(j, node->name, &a, &b, out);
}

static bool eval_negate(Jinja *j, const Node *node, Value *out) {
    const Value zero = value_integer(0);
    if (!jinja_evaluate(j, node->a, out)) return false;
    if (!is_number(out)) return refuse_operator(j, node->kind == NODE_NEGATIVE ? "-" : "+", out, out);
    if (out->kind == REAL) {
        if (node->kind == NODE_NEGATIVE) out->real = -out->real;
        return true;
    }
    return eval_numbers(j, node->kind == NODE_NEGATIVE ? "-" : "+", &zero, out, out);
}

static bool eval_join(Jinja *j, const Node *node, Value *out) {
    Buffer buffer = {0};
    for (size_t i = 0; i < node->count; i++) {
        Value piece;
        if (!jinja_evaluate(j, node->items[i], &piece) || !show_plain(j, &piece, &buffer)) return false;
    }
    *out = value_string(buffer.data, buffer.length);
    return true;
}

// ---- comparisons ----

static bool compare_values(Jinja *j, const char *operator, const Value * a, const Value *b, bool *out) {
    const bool negated = operator[0] == '!' || operator[0] == 'n';
    int order = 0;
    bool ok;
    if (strcmp(operator, "==") == 0 || strcmp(operator, "!=") == 0)
        ok = value_equal(j, a, b, out);
    else if (operator[0] == 'i' || operator[0] == 'n')
        ok = value_contains(j, b, a, out);
    else {
        if (a->kind == UNDEFINED || b->kind == UNDEFINED) return refuse_operator(j, operator, a, b);
        ok = value_order(j, a, b, &order);
        *out = (order < 0 && operator[0] == '<') || (order > 0 && operator[0] == '>') || (!order && operator[1]);
    }
    if (negated) *out = !*out;
    return ok;
}

static bool eval_compare(Jinja *j, const Node *node, Value *out) {
    Value a, b;
    bool truth = false;
    if (!jinja_evaluate(j, node->a, &a) || !jinja_evaluate(j, node->b, &b) ||
        !compare_values(j, node->name, &a, &b, &truth))
        return false;
    *out = value_boolean(truth);
    return true;
}

static bool eval_chain(Jinja *j, const Node *node, Value *out) {
    *out = value_boolean(true);
    for (size_t i = 0; i < node->count && value_truth(out); i++) {
        if (!jinja_evaluate(j, node->items[i], out)) return false;
    }
    return true;
}

static bool eval_logic(Jinja *j, const Node *node, Value *out) {
    if (!jinja_evaluate(j, node->a, out)) return false;
    if (value_truth(out) == (node->kind == NODE_OR)) return true;
    return jinja_evaluate(j, node->b, out);
}

static bool eval_choice(Jinja *j, const Node *node, Value *out) {
    Value condition;
    if (!jinja_evaluate(j, node->b, &condition)) return false;
    if (value_truth(&condition)) return jinja_evaluate(j, node->a, out);
    *out = value_undefined("the other side of an if");
    return !node->c || jinja_evaluate(j, node->c, out);
}

// ---- names, collections ----

static bool look_up(Jinja *j, const char *name, Value *out) {
    Variable *variable;
    if (!variable_find(j, name, &variable)) return false;
    if (variable) return *out = variable->value, true;
    const Builtin *function = function_find(name);
    *out = value_undefined(name);
    if (!function) return true;
    Bound *bound = jinja_take(j, 1, sizeof *bound);
    if (!bound) return false;
    *bound = (Bound){.builtin = function};
    *out = (Value){.kind = BUILTIN, .bound = bound};
    return true;
}

static bool eval_items(Jinja *j, const Node *node, Value *out) {
    if (!value_list(j, node->kind == NODE_LIST ? LIST : TUPLE, node->count, out)) return false;
    for (size_t i = 0; i < node->count; i++) {
        if (!jinja_evaluate(j, node->items[i], &out->list->items[i])) return false;
    }
    return true;
}

static bool collect_dict(Jinja *j, const Node *node, Value *out) {
    if (!value_dict(j, DICT, node->count / 2, out)) return false;
    for (size_t i = 0; i + 1 < node->count; i += 2) {
        Value key, value;
        if (!jinja_evaluate(j, node->items[i], &key) || !jinja_evaluate(j, node->items[i + 1], &value) ||
            !dict_set(j, out->dict, key, value))
            return false;
    }
    return true;
}

static bool eval_attribute(Jinja *j, const Node *node, Value *out) {
    Value of;
    return jinja_evaluate(j, node->a, &of) && value_attribute(j, &of, node->name, out);
}

static bool eval_item(Jinja *j, const Node *node, Value *out) {
    Value of, key;
    return jinja_evaluate(j, node->a, &of) && jinja_evaluate(j, node->b, &key) && value_item(j, &of, &key, out);
}

static bool eval_slice(Jinja *j, const Node *node, Value *out) {
    Value of, bounds[3] = {{0}};
    const Node *const nodes[3] = {node->b, node->c, node->other};
    if (!jinja_evaluate(j, node->a, &of)) return false;
    for (int i = 0; i < 3; i++) {
        if (nodes[i] && !jinja_evaluate(j, nodes[i], &bounds[i])) return false;
    }
    return value_slice(j, &of, &bounds[0], &bounds[1], &bounds[2], out);
}

// ---- calls ----

static bool eval_arguments(Jinja *j, const Node *node, Value **out) {
    if (!(*out = jinja_take(j, node->count, sizeof **out))) return false;
    for (size_t i = 0; i < node->count; i++) {
        if (!jinja_evaluate(j, node->items[i], *out + i)) return false;
    }
    return true;
}

static bool eval_call(Jinja *j, const Node *node, Value *out) {
    Value callee, *args;
    if (!jinja_evaluate(j, node->a, &callee) || !eval_arguments(j, node, &args)) return false;
    j->line = node->line;
    return value_call(j, &callee, args, node->names, node->count, out);
}

static bool filter_or_test(Jinja *j, const Node *node, Value *out) {
    const bool filter = node->kind == NODE_FILTER;
    const Builtin *builtin = filter ? filter_find(node->name) : test_find(node->name);
    Value of, *args;
    if (!builtin) return jinja_refuse(j, "the %s \"%.40s\" is not supported", filter ? "filter" : "test", node->name);
    if (!jinja_evaluate(j, node->a, &of) || !eval_arguments(j, node, &args)) return false;
    j->line = node->line;
    return builtin_call(j, builtin, &of, args, node->names, node->count, out);
}

// ---- all ----

static bool eval_node(Jinja *j, const Node *node, Value *out) {
    j->line = node->line;
    switch (node->kind) {
    case NODE_CONSTANT: *out = node->value; return true;
    case NODE_NAME: return look_up(j, node->name, out);
    case NODE_LIST:
    case NODE_TUPLE: return eval_items(j, node, out);
    case NODE_DICT: return collect_dict(j, node, out);
    case NODE_ATTRIBUTE: return eval_attribute(j, node, out);
    case NODE_ITEM: return eval_item(j, node, out);
    case NODE_SLICE: return eval_slice(j, node, out);
    case NODE_CALL: return eval_call(j, node, out);
    case NODE_FILTER:
    case NODE_TEST: return filter_or_test(j, node, out);
    case NODE_NOT:
        if (!jinja_evaluate(j, node->a, out)) return false;
        *out = value_boolean(!value_truth(out));
        return true;
    case NODE_AND:
    case NODE_OR: return eval_logic(j, node, out);
    case NODE_CHOICE: return eval_choice(j, node, out);
    case NODE_COMPARE: return eval_compare(j, node, out);
    case NODE_CHAIN: return eval_chain(j, node, out);
    case NODE_BINARY: return eval_binary(j, node, out);
    case NODE_NEGATIVE:
    case NODE_POSITIVE: return eval_negate(j, node, out);
    case NODE_JOIN: return eval_join(j, node, out);
    case NODE_TEXT:
    case NODE_OUTPUT:
    case NODE_IF:
    case NODE_FOR:
    case NODE_SET:
    case NODE_SET_BLOCK:
    case NODE_MACRO:
    case NODE_FILTERED:
    case NODE_WITH:
    case NODE_SCOPE:
    case NODE_BREAK:
    case NODE_CONTINUE:
    case NODE_FIELD: break;
    }
    return jinja_refuse(j, "a statement stands where a value is expected");
}

bool jinja_evaluate(Jinja *j, const Node *node, Value *out) {
    *out = value_none();
    if (!jinja_enter(j)) return false;
    const bool ok = eval_node(j, node, out);
    j->depth--;
    return ok;
}
