// The parts of the interpreter of chat templates, as the files of this folder share them. Jinja2 3.1 in the sandbox of
// transformers 5 (utils/chat_template_utils.py) defines what a template means, and Python what values and texts do.
//
//     lexer → parse → evaluate, run → filters, tests, methods → values, show, strings
//
// A template is other people's code. Everything that one rendering makes lies in an arena with a limit, every step is
// counted, and nesting is bounded; so it ends, soon and with a message, whatever the template is.
#pragma once

#include <time.h>

#include "base/array.h"
#include "base/error.h"

// ---- memory ----

typedef struct Block Block;
typedef struct Arena {
    Block *blocks;
    size_t used, limit; // bytes
} Arena;

void arena_free(Arena *arena);

// ---- values ----

typedef enum ValueKind {
    MISSING, // an argument that was not given; no value of a template
    UNDEFINED,
    NONE,
    BOOLEAN,
    INTEGER,
    REAL,
    STRING,
    LIST,
    TUPLE,
    VIEW,      // dict.items(): has a length, and no elements by number
    GENERATOR, // of map, select …: neither, and what was taken is gone
    DICT,
    NAMESPACE,
    MACRO,
    BUILTIN,
    LOOP,
} ValueKind;

typedef struct String { // UTF-8
    const char *data;
    size_t length;
} String;

typedef struct Value Value;
typedef struct List List;
typedef struct Dict Dict;
typedef struct Macro Macro;
typedef struct Bound Bound;
typedef struct JinjaLoop JinjaLoop;

struct Value {
    ValueKind kind;
    bool safe; // a string that went through the filter `safe`: what is added to it is escaped
    union {
        int64_t integer; // INTEGER, BOOLEAN
        double real;
        String string;
        const char *name; // UNDEFINED: what was looked for
        List *list;       // LIST, TUPLE, VIEW, GENERATOR
        Dict *dict;       // DICT, NAMESPACE
        const Macro *macro;
        const Bound *bound; // BUILTIN
        const JinjaLoop *loop;
    };
};

struct List {
    Value *items;
    size_t count;
};

struct Dict { // in the order of insertion
    Value *keys, *values;
    size_t count, capacity;
};

struct JinjaLoop {
    Value *items;
    size_t count, index;
    int depth;
};

// ---- the template ----

typedef enum NodeKind {
    // expressions
    NODE_CONSTANT,  // value
    NODE_NAME,      // name
    NODE_LIST,      // items
    NODE_TUPLE,     // items
    NODE_DICT,      // items: key, value, key, value …
    NODE_ATTRIBUTE, // a . name
    NODE_ITEM,      // a [ b ]
    NODE_SLICE,     // a : b : c, NULL where left out
    NODE_CALL,      // a ( items, names )
    NODE_FILTER,    // a | name ( items, names ); a NULL: of a block
    NODE_TEST,      // a is name ( items, names )
    NODE_NOT,
    NODE_AND,
    NODE_OR,
    NODE_CHOICE,  // a if b else c
    NODE_COMPARE, // a, then name: one of the operators
    NODE_CHAIN,   // a < b < c: items are comparisons, each with the left side of its own
    NODE_BINARY,  // a name b
    NODE_NEGATIVE,
    NODE_POSITIVE,
    NODE_JOIN, // items ~ items
    // statements
    NODE_TEXT,      // value
    NODE_OUTPUT,    // a
    NODE_IF,        // a, body, other
    NODE_FOR,       // b in a if c: body, else other
    NODE_SET,       // b = a
    NODE_SET_BLOCK, // b = body through the filters c
    NODE_MACRO,     // name, items: names of parameters with defaults as in a call, body
    NODE_FILTERED,  // body through the filters c
    NODE_WITH,      // items: target, value …, body
    NODE_SCOPE,     // body: {% generation %}
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_FIELD, // a target: name . field
} NodeKind;

typedef struct Node Node;
struct Node {
    NodeKind kind;
    int line;
    const char *name, *field;
    Value value;
    Node *a, *b, *c;
    Node **items;
    const char **names; // [count], beside items: of an argument given by name; NULL where not
    size_t count;
    Node *body, *other, *next; // lists of statements
};

struct Macro {
    const Node *node;
    struct Scope *scope; // where it was defined
};

// ---- one template being read or run ----

typedef struct Variable Variable;
struct Variable {
    const char *name;
    Value value;
    Variable *next;
};

typedef struct Scope Scope;
struct Scope {
    Scope *parent;
    Variable *variables;
};

typedef struct Buffer {
    char *data;
    size_t length, capacity;
} Buffer;

typedef struct Jinja {
    Arena arena;
    Scope *scope;
    Buffer *out;
    const struct tm *now;
    uint64_t steps; // left
    int depth, loops, line;
    Error *err;
} Jinja;

// Every one of these returns false with the message set, and so do all functions below that can fail.
bool jinja_refuse(Jinja *j, const char *format, ...) __attribute__((format(printf, 2, 3))); // "line 3: …"
bool jinja_spend(Jinja *j, size_t steps);
bool jinja_enter(Jinja *j); // one level deeper; leave with j->depth--
void *jinja_take(Jinja *j, size_t count, size_t size);

// Says once more that it returns false, for compilers and analyzers that read one file at a time.
static inline bool jinja_is_false(bool ignored) {
    (void)ignored;
    return false;
}
#define jinja_refuse(...) jinja_is_false(jinja_refuse(__VA_ARGS__))

// The statements of a source, in the arena.
bool jinja_parse(Jinja *j, const char *source, size_t length, Node **out);
bool jinja_run(Jinja *j, const Node *statements);
bool jinja_evaluate(Jinja *j, const Node *node, Value *out);

bool variable_find(Jinja *j, const char *name, Variable **out); // in the innermost scope that has it; NULL: none has
bool variable_set(Jinja *j, const char *name, Value value);     // in the innermost scope

// ---- lexer ----

typedef enum TokenKind {
    TOKEN_END,
    TOKEN_TEXT,
    TOKEN_OUTPUT, // {{
    TOKEN_OUTPUT_END,
    TOKEN_BLOCK, // {%
    TOKEN_BLOCK_END,
    TOKEN_NAME,
    TOKEN_STRING, // text: decoded
    TOKEN_INTEGER,
    TOKEN_REAL,
    TOKEN_OPERATOR,
} TokenKind;

typedef struct JinjaToken {
    TokenKind kind;
    int line;
    String text;
} JinjaToken;

bool jinja_tokens(Jinja *j, const char *source, size_t length, JinjaToken **out); // ends with TOKEN_END

// ---- parser ----

typedef struct Parser {
    Jinja *jinja;
    const JinjaToken *at;
    int loops; // around the statement
} Parser;

Node *node_new(Parser *p, NodeKind kind); // NULL when memory is short, with the message set
bool node_add(Parser *p, Node *to, Node *item, const char *name);
bool token_is(const Parser *p, const char *operator);
bool token_is_name(const Parser *p, const char *name);
bool token_skip(Parser *p, const char *operator); // if it is there
bool token_expect(Parser *p, const char *operator);
bool token_expect_name(Parser *p, const char *name);
bool parse_name(Parser *p, const char **out);
bool parse_refuse(Parser *p, const char *wanted); // expected …, found …
#define parse_refuse(...) jinja_is_false(parse_refuse(__VA_ARGS__))
bool parse_expression(Parser *p, Node **out);
bool parse_tuple(Parser *p, bool choices, const char *end, Node **out); // "a, b" is a tuple; end: a name that ends it
bool parse_filters(Parser *p, Node *of, Node **out);                    // "name | name"
bool parse_statements(Parser *p, Node **out, const char *const *ends);

// ---- values ----

Value value_none(void);
Value value_boolean(bool truth);
Value value_integer(int64_t integer);
Value value_undefined(const char *name);
Value value_string(const char *data, size_t length); // the bytes stay the caller's
Value value_text(const char *text);
bool value_copied(Jinja *j, const char *data, size_t length, Value *out);
bool value_list(Jinja *j, ValueKind kind, size_t count, Value *out); // items to be filled
bool value_dict(Jinja *j, ValueKind kind, size_t capacity, Value *out);
bool dict_set(Jinja *j, Dict *dict, Value key, Value value);
bool dict_pairs(Jinja *j, const Dict *dict, ValueKind kind, Value *out); // tuples (key, value), as a list of `kind`
bool dict_find(Jinja *j, const Dict *dict, Value key, Value *out);       // *out MISSING: not there

const char *value_kind_name(const Value *value);
bool is_number(const Value *value); // booleans too, as in Python
bool is_text(const Value *value, const char *text);
double as_real(const Value *value);
bool value_truth(const Value *value);
bool value_equal(Jinja *j, const Value *a, const Value *b, bool *out);
bool value_order(Jinja *j, const Value *a, const Value *b, int *out); // < 0, 0, > 0
bool value_contains(Jinja *j, const Value *in, const Value *what, bool *out);
bool value_length(Jinja *j, const Value *value, int64_t *out);
// What a loop over it goes through; a generator is empty afterwards.
bool value_iterate(Jinja *j, const Value *value, List *out);
bool value_attribute(Jinja *j, const Value *of, const char *name, Value *out); // .name
bool value_item(Jinja *j, const Value *of, const Value *key, Value *out);      // [key]
bool value_slice(Jinja *j, const Value *of, const Value *start, const Value *stop, const Value *step, Value *out);
bool value_call(Jinja *j, const Value *callee, const Value *args, const char *const *names, size_t count, Value *out);

// ---- text of values ----

bool buffer_add(Jinja *j, Buffer *buffer, const char *data, size_t length);
bool show_plain(Jinja *j, const Value *value, Buffer *out); // Python's str()
bool show_repr(Jinja *j, const Value *value, Buffer *out);

typedef struct JsonStyle {
    bool ascii, sorted, indented;
    String indent, between, after_key; // one level; ", " and ": "
} JsonStyle;
bool show_json(Jinja *j, const Value *value, const JsonStyle *style, int level, Buffer *out);
bool value_string_of(Jinja *j, const Value *value, String *out); // str() of it

// ---- strings ----

typedef enum StripSides { SIDE_LEFT = 1, SIDE_RIGHT = 2 } StripSides;
size_t utf8_next(String s, size_t at, uint32_t *code);
String string_strip(String s, const String *characters, int sides); // NULL: white space
bool string_stripped(Jinja *j, String s, const String *characters, int sides, Value *out);
bool string_is(String s, const char *text);
size_t string_find(String in, String what, size_t from); // SIZE_MAX: nowhere
int64_t string_length(String s);                         // code points
bool string_replace(Jinja *j, String s, String from, String to, int64_t most, Value *out);
bool string_split(Jinja *j, String s, const String *separator, int64_t most, bool from_right, Value *out);
bool string_lines(Jinja *j, String s, Value *out);
typedef enum Case { CASE_LOWER, CASE_UPPER, CASE_TITLE, CASE_CAPITAL, CASE_WORDS } Case;
bool string_case(Jinja *j, String s, Case wanted, Value *out);
bool string_escape(Jinja *j, String s, Value *out); // &lt; …

// ---- what has a name ----

#define BUILTIN_MOST 5 // parameters

typedef bool BuiltinRun(Jinja *j, const Value *self, const Value *given, Value *out);

// given[i] is MISSING where an argument was left out; the first `least` are there.
typedef struct Builtin {
    const char *name, *parameters; // "width first blank"
    int least;
    BuiltinRun *run;
} Builtin;

struct Bound { // a method and what it belongs to, or a function
    const Builtin *builtin;
    Value self;
};

bool builtin_call(Jinja *j, const Builtin *builtin, const Value *self, const Value *args, const char *const *names,
                  size_t count, Value *out);
const Builtin *filter_find(const char *name); // NULL: not known
const Builtin *test_find(const char *name);   // gives a BOOLEAN
const Builtin *function_find(const char *name);
const Builtin *method_find(ValueKind kind, const char *name);
