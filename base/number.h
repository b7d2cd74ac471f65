// Numbers as text, the same in every locale: what a file or an option holds must not depend on who reads it.
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define NUMBER_ROOM 32 // bytes that hold any formatted number

// The shortest decimal text that reads back as the same double: "0.3", "128".
void number_format(double value, char *out, size_t size);

// Reads exactly one finite decimal number ("4", "-0.3", "1e3"): no white space, no hexadecimal, no words.
bool number_parse(const char *text, double *out);
