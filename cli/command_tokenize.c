#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "loaders/checkpoint.h"

static void print_ids(const TokenIds *ids) {
    putchar('[');
    for (size_t i = 0; i < ids->count; i++) printf("%s%d", i ? "," : "", ids->ids[i]);
    puts("]");
}

static bool tokenize_lines(const Tokenizer *tokenizer, FILE *input, Error *err) {
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    bool ok = true;
    // Stops when the reader of stdout is gone: input may have no end.
    for (unsigned long number = 1; ok && !ferror(stdout) && (length = getline(&line, &room, input)) >= 0; number++) {
        TokenIds ids = {0};
        if (length && line[length - 1] == '\n') length--;
        ok = tokenizer_encode(tokenizer, line, (size_t)length, true, &ids, err);
        if (ok)
            print_ids(&ids);
        else
            error_prefix(err, "standard input, line %lu", number);
        token_ids_free(&ids);
    }
    free(line);
    if (ok && ferror(input)) ok = error_set(err, "standard input cannot be read: %s", strerror(errno));
    return ok;
}

// Needs the tokenizer only: works for models that the forward pass does not know.
bool command_tokenize(const Options *options, Error *err) {
    Checkpoint checkpoint;
    Tokenizer *tokenizer = NULL;
    char *sample = options->model.model ? NULL : sample_path(err);
    const char *path = options->model.model ? options->model.model : sample;
    bool opened = path && checkpoint_open(path, &checkpoint, err);
    bool ok = opened && tokenizer_load(checkpoint.documents, &tokenizer, err) && tokenize_lines(tokenizer, stdin, err);
    tokenizer_free(tokenizer);
    if (opened) checkpoint_close(&checkpoint);
    free(sample);
    return ok;
}
