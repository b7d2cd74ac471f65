// What statements do: text to the output, names to their scope.
#include <string.h>

#include "loaders/chat/jinja_parts.h"

typedef enum Flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } Flow;

static bool run_list(Jinja *j, const Node *statements, Flow *flow);

// ---- scopes ----

static bool find_in_scope(Jinja *j, const Scope *scope, const char *name, Variable **out) {
    size_t others = 0;
    for (*out = scope->variables; *out && strcmp((*out)->name, name) != 0; *out = (*out)->next) others++;
    return jinja_spend(j, 1 + others / 8);
}

bool variable_find(Jinja *j, const char *name, Variable **out) {
    *out = NULL;
    for (const Scope *scope = j->scope; scope && !*out; scope = scope->parent) {
        if (!find_in_scope(j, scope, name, out)) return false;
    }
    return true;
}

bool variable_set(Jinja *j, const char *name, Value value) {
    Variable *variable;
    if (!find_in_scope(j, j->scope, name, &variable)) return false;
    if (variable) return variable->value = value, true;
    variable = jinja_take(j, 1, sizeof *variable);
    if (!variable) return false;
    *variable = (Variable){name, value, j->scope->variables};
    j->scope->variables = variable;
    return true;
}

static bool assign_field(Jinja *j, const Node *target, Value value) {
    Variable *space;
    if (!variable_find(j, target->name, &space)) return false;
    if (!space || space->value.kind != NAMESPACE)
        return jinja_refuse(j, "\"%.60s\" is no namespace, so its fields cannot be set", target->name);
    if (target->field[0] == '_') return jinja_refuse(j, "a field of a namespace may not begin with _");
    return dict_set(j, space->value.dict, value_text(target->field), value);
}

static bool assign_to(Jinja *j, const Node *target, Value value) {
    List parts;
    if (target->kind == NODE_NAME) return variable_set(j, target->name, value);
    if (target->kind == NODE_FIELD) return assign_field(j, target, value);
    if (!value_iterate(j, &value, &parts)) return false;
    if (parts.count != target->count)
        return jinja_refuse(j, "%zu names cannot take %zu values", target->count, parts.count);
    if (!jinja_enter(j)) return false;
    bool ok = true;
    for (size_t i = 0; ok && i < parts.count; i++) ok = assign_to(j, target->items[i], parts.items[i]);
    j->depth--;
    return ok;
}

static bool push_scope(Jinja *j, Scope *parent) {
    Scope *scope = jinja_take(j, 1, sizeof *scope);
    if (!scope) return false;
    scope->parent = parent;
    j->scope = scope;
    return true;
}

// Runs in a scope of its own.
static bool run_inside(Jinja *j, const Node *statements, Flow *flow) {
    Scope *outside = j->scope;
    const bool ok = push_scope(j, outside) && run_list(j, statements, flow);
    j->scope = outside;
    return ok;
}

// The same, with what it prints as a text.
static bool run_captured(Jinja *j, const Node *statements, Value *out) {
    Buffer text = {0}, *before = j->out;
    Flow flow = FLOW_ON;
    j->out = &text;
    const bool ok = run_inside(j, statements, &flow);
    j->out = before;
    *out = value_string(text.data, text.length);
    return ok;
}

// "name | name" around a text that is not an expression.
static bool apply_filters(Jinja *j, const Node *filter, Value *text) {
    Value args[BUILTIN_MOST];
    if (!filter) return true;
    if (!jinja_enter(j)) return false;
    bool ok = !filter->a || apply_filters(j, filter->a, text);
    j->depth--;
    const Builtin *builtin = filter_find(filter->name);
    if (ok && !builtin) return jinja_refuse(j, "the filter \"%.40s\" is not supported", filter->name);
    if (ok && filter->count > BUILTIN_MOST) return jinja_refuse(j, "too many arguments");
    for (size_t i = 0; ok && i < filter->count; i++) ok = jinja_evaluate(j, filter->items[i], &args[i]);
    Value in = *text;
    return ok && builtin_call(j, builtin, &in, args, filter->names, filter->count, text);
}

// ---- loops ----

// The elements for which the condition holds.
static bool select_items(Jinja *j, const Node *node, List *items) {
    Value kept;
    size_t count = 0;
    if (!node->c) return true;
    if (!value_list(j, LIST, items->count, &kept)) return false;
    for (size_t i = 0; i < items->count; i++) {
        Value condition;
        if (!push_scope(j, j->scope)) return false;
        const bool ok = assign_to(j, node->b, items->items[i]) && jinja_evaluate(j, node->c, &condition);
        j->scope = j->scope->parent;
        if (!ok) return false;
        if (value_truth(&condition)) kept.list->items[count++] = items->items[i];
    }
    *items = (List){kept.list->items, count};
    return true;
}

static bool run_turn(Jinja *j, const Node *node, JinjaLoop *loop, Flow *flow) {
    Scope *outside = j->scope;
    *flow = FLOW_ON;
    const bool ok = push_scope(j, outside) && variable_set(j, "loop", (Value){.kind = LOOP, .loop = loop}) &&
                    assign_to(j, node->b, loop->items[loop->index]) && run_list(j, node->body, flow);
    j->scope = outside;
    return ok;
}

static bool run_for(Jinja *j, const Node *node) {
    Value over;
    List items;
    Flow flow = FLOW_ON;
    JinjaLoop *loop = jinja_take(j, 1, sizeof *loop);
    if (!loop || !jinja_evaluate(j, node->a, &over) || !value_iterate(j, &over, &items) ||
        !select_items(j, node, &items))
        return false;
    *loop = (JinjaLoop){items.items, items.count, 0, ++j->loops};
    bool ok = true;
    for (; ok && loop->index < loop->count && flow != FLOW_BREAK; loop->index++) ok = run_turn(j, node, loop, &flow);
    j->loops--;
    return ok && (items.count || run_inside(j, node->other, &flow));
}

// ---- the rest ----

static bool run_set_block(Jinja *j, const Node *node) {
    Value text;
    return run_captured(j, node->body, &text) && apply_filters(j, node->c, &text) && assign_to(j, node->b, text);
}

static bool run_filtered(Jinja *j, const Node *node) {
    Value text;
    return run_captured(j, node->body, &text) && apply_filters(j, node->c, &text) && show_plain(j, &text, j->out);
}

static bool define_macro(Jinja *j, const Node *node) {
    Macro *macro = jinja_take(j, 1, sizeof *macro);
    if (!macro) return false;
    *macro = (Macro){node, j->scope};
    return variable_set(j, node->name, (Value){.kind = MACRO, .macro = macro});
}

static bool run_with(Jinja *j, const Node *node, Flow *flow) {
    Scope *outside = j->scope, *inside;
    if (!push_scope(j, outside)) return false;
    inside = j->scope;
    bool ok = true;
    for (size_t i = 0; ok && i + 1 < node->count; i += 2) {
        Value value;
        j->scope = outside; // the values do not see one another
        ok = jinja_evaluate(j, node->items[i + 1], &value);
        j->scope = inside;
        ok = ok && assign_to(j, node->items[i], value);
    }
    ok = ok && run_list(j, node->body, flow);
    j->scope = outside;
    return ok;
}

static bool run_if(Jinja *j, const Node *node, Flow *flow) {
    Value condition;
    if (!jinja_evaluate(j, node->a, &condition)) return false;
    return run_list(j, value_truth(&condition) ? node->body : node->other, flow);
}

static bool run_set(Jinja *j, const Node *node) {
    Value value;
    return jinja_evaluate(j, node->a, &value) && assign_to(j, node->b, value);
}

static bool run_print(Jinja *j, const Node *node) {
    Value value;
    return jinja_evaluate(j, node->a, &value) && show_plain(j, &value, j->out);
}

static bool run_statement(Jinja *j, const Node *node, Flow *flow) {
    j->line = node->line;
    switch (node->kind) {
    case NODE_TEXT: return buffer_add(j, j->out, node->value.string.data, node->value.string.length);
    case NODE_OUTPUT: return run_print(j, node);
    case NODE_IF: return run_if(j, node, flow);
    case NODE_FOR: return run_for(j, node);
    case NODE_SET: return run_set(j, node);
    case NODE_SET_BLOCK: return run_set_block(j, node);
    case NODE_MACRO: return define_macro(j, node);
    case NODE_FILTERED: return run_filtered(j, node);
    case NODE_WITH: return run_with(j, node, flow);
    case NODE_SCOPE: return run_inside(j, node->body, flow);
    case NODE_BREAK: *flow = FLOW_BREAK; return true;
    case NODE_CONTINUE: *flow = FLOW_CONTINUE; return true;
    case NODE_CONSTANT:
    case NODE_NAME:
    case NODE_LIST:
    case NODE_TUPLE:
    case NODE_DICT:
    case NODE_ATTRIBUTE:
    case NODE_ITEM:
    case NODE_SLICE:
    case NODE_CALL:
    case NODE_FILTER:
    case NODE_TEST:
    case NODE_NOT:
    case NODE_AND:
    case NODE_OR:
    case NODE_CHOICE:
    case NODE_COMPARE:
    case NODE_CHAIN:
    case NODE_BINARY:
    case NODE_NEGATIVE:
    case NODE_POSITIVE:
    case NODE_JOIN:
    case NODE_FIELD: break;
    }
    return jinja_refuse(j, "a value stands where a statement is expected");
}

static bool run_list(Jinja *j, const Node *statements, Flow *flow) {
    if (!jinja_enter(j)) return false;
    bool ok = true;
    for (const Node *node = statements; ok && node && *flow == FLOW_ON; node = node->next)
        ok = run_statement(j, node, flow);
    j->depth--;
    return ok;
}

bool jinja_run(Jinja *j, const Node *statements) {
    Flow flow = FLOW_ON;
    return run_list(j, statements, &flow);
}

// ---- calls ----

static bool bind_parameters(Jinja *j, const Node *macro, const Value *args, const char *const *names, size_t count) {
    for (size_t i = 0; i < macro->count; i++) {
        Value value = {0};
        if (!jinja_spend(j, 1 + count / 8)) return false;
        for (size_t a = 0; a < count; a++) {
            if (names && names[a] ? strcmp(names[a], macro->names[i]) == 0 : a == i) value = args[a];
        }
        if (value.kind == MISSING && macro->items[i]) {
            if (!jinja_evaluate(j, macro->items[i], &value)) return false;
        } else if (value.kind == MISSING)
            value = value_undefined(macro->names[i]);
        if (!variable_set(j, macro->names[i], value)) return false;
    }
    return true;
}

static bool check_arguments(Jinja *j, const Node *macro, const char *const *names, size_t count) {
    if (count > macro->count) return jinja_refuse(j, "the macro %.60s takes %zu arguments", macro->name, macro->count);
    for (size_t a = 0; a < count; a++) {
        bool known = !(names && names[a]);
        if (!known && !jinja_spend(j, 1 + macro->count / 8)) return false;
        for (size_t i = 0; i < macro->count && !known; i++) known = strcmp(names[a], macro->names[i]) == 0;
        if (!known) return jinja_refuse(j, "the macro %.60s has no parameter %.60s", macro->name, names[a]);
    }
    return true;
}

static bool call_macro(Jinja *j, const Macro *macro, const Value *args, const char *const *names, size_t count,
                       Value *out) {
    Scope *caller = j->scope;
    if (!check_arguments(j, macro->node, names, count)) return false;
    const bool ok = push_scope(j, macro->scope) && bind_parameters(j, macro->node, args, names, count) &&
                    run_captured(j, macro->node->body, out);
    j->scope = caller;
    return ok;
}

bool value_call(Jinja *j, const Value *callee, const Value *args, const char *const *names, size_t count, Value *out) {
    if (callee->kind == MACRO) return call_macro(j, callee->macro, args, names, count, out);
    if (callee->kind == BUILTIN)
        return builtin_call(j, callee->bound->builtin, &callee->bound->self, args, names, count, out);
    if (callee->kind == UNDEFINED) return jinja_refuse(j, "\"%.60s\" is undefined", callee->name ? callee->name : "?");
    return jinja_refuse(j, "%s cannot be called", value_kind_name(callee));
}
