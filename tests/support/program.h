// Running the program under test ($QUANTDIAL_PROGRAM) and catching what it says.
#pragma once

#include <stddef.h>

typedef struct Ran {
    int status; // exit status; 128 + signal when it was killed
    char *out, *err;
} Ran;

// arguments: NULL-terminated, without the program's name. input: text for stdin or NULL for none. out_path: where
// stdout goes instead of being caught, or NULL.
Ran program_run(const char *const *arguments, const char *input, const char *out_path);
#define RUN(...) program_run((const char *const[]){__VA_ARGS__, NULL}, NULL, NULL)
void ran_free(Ran *ran);

const char *program_path(void);
