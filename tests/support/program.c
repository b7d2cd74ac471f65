#include "tests/support/program.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

const char *program_path(void) {
    const char *path = getenv("QUANTDIAL_PROGRAM");
    return path ? path : "build/quantdial";
}

// What was written to an unlinked temporary file, as text.
static char *slurp(FILE *file) {
    long size = (fseek(file, 0, SEEK_END), ftell(file));
    char *text = calloc(1, (size_t)size + 1);
    rewind(file);
    if (fread(text, 1, (size_t)size, file) != (size_t)size) abort();
    fclose(file);
    return text;
}

Ran program_run(const char *const *arguments, const char *input, const char *out_path) {
    const char *argv[64] = {program_path()};
    for (int i = 0; arguments[i] && i < 62; i++) argv[i + 1] = arguments[i];
    FILE *in = tmpfile(), *out = tmpfile(), *err = tmpfile();
    if (!in || !out || !err) abort();
    if (input) fwrite(input, 1, strlen(input), in);
    rewind(in);
    pid_t child = fork();
    if (child == 0) {
        int to = out_path ? open(out_path, O_WRONLY) : fileno(out);
        dup2(fileno(in), 0);
        dup2(to, 1);
        dup2(fileno(err), 2);
        execv(argv[0], (char *const *)argv);
        _exit(127);
    }
    int status = 0;
    waitpid(child, &status, 0);
    fclose(in);
    return (Ran){WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), slurp(out), slurp(err)};
}

void ran_free(Ran *ran) {
    free(ran->out);
    free(ran->err);
}
