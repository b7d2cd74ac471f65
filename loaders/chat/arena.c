// The limits of one rendering: memory, steps and depth.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "loaders/chat/jinja_parts.h"

#define BLOCK_BYTES ((size_t)64 << 10)
#define DEEPEST 400

struct Block {
    Block *next;
    size_t used, size;
    _Alignas(16) char data[];
};

// Zeroed; NULL beyond the limit.
static void *arena_take(Arena *arena, size_t bytes) {
    bytes = (bytes + 15) & ~(size_t)15;
    if (bytes > arena->limit - arena->used) return NULL;
    Block *block = arena->blocks;
    if (!block || bytes > block->size - block->used) {
        const size_t size = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = calloc(1, sizeof *block + size);
        if (!block) return NULL;
        block->size = size;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *taken = block->data + block->used;
    block->used += bytes;
    arena->used += bytes;
    return taken;
}

void arena_free(Arena *arena) {
    for (Block *next; arena->blocks; arena->blocks = next) {
        next = arena->blocks->next;
        free(arena->blocks);
    }
    arena->used = 0;
}

#undef jinja_refuse
bool jinja_refuse(Jinja *j, const char *format, ...) {
    char text[600];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    text_mend(text);
    char *shown = text_printable(text, strlen(text), false);
    error_set(j->err, "line %d: %s", j->line, shown ? shown : "is refused");
    free(shown);
    return false;
}
#define jinja_refuse(...) jinja_is_false(jinja_refuse(__VA_ARGS__))

bool jinja_spend(Jinja *j, size_t steps) {
    if (steps > j->steps) return jinja_refuse(j, "the template takes too long: it may loop without end");
    j->steps -= steps;
    return true;
}

bool jinja_enter(Jinja *j) {
    if (!jinja_spend(j, 1)) return false;
    if (j->depth >= DEEPEST) return jinja_refuse(j, "nested too deep");
    j->depth++;
    return true;
}

void *jinja_take(Jinja *j, size_t count, size_t size) {
    size_t bytes;
    void *taken = NULL;
    if (!__builtin_mul_overflow(count, size, &bytes) && bytes < SIZE_MAX / 2 && jinja_spend(j, bytes / 64))
        taken = arena_take(&j->arena, bytes);
    if (!taken && !(j->err && *j->err->message))
        jinja_refuse(j, "the template needs more than %zu MB", j->arena.limit >> 20);
    return taken;
}
