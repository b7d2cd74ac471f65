// How long a checkpoint of 5,763 tensors in 16 files takes to open, and the program to show it. Prints figures, judges
// nothing. The files are holes but for their headers.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/array.h"
#include "base/clock.h"
#include "base/file.h"
#include "engine/engine.h"
// Benchmarks are linked with the library alone.
#include "tests/support/folder.c" // NOLINT(bugprone-suspicious-include)

enum { LAYERS = 24, EXPERTS = 77, HIDDEN = 2048, EXPERT_FFN = 768, FILES = 16, TURNS = 21 };

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

// ---- The checkpoint ----

typedef struct Shards {
    const char *folder;
    Text header, index;
    size_t offset, count; // in the file that is being written; tensors in all
    int file;
} Shards;

static void file_name(int file, char *out, size_t size) {
    snprintf(out, size, "model-%05d-of-%05d.safetensors", file + 1, FILES);
}

static void end_file(Shards *s) {
    char name[64];
    file_name(s->file++, name, sizeof name);
    text_addf(&s->header, "}");
    free(folder_put_safetensors(s->folder, name, s->header.data, 0));
    char *path = path_join(s->folder, name);
    if (!path || truncate(path, (off_t)(8 + s->header.length + s->offset)) != 0) fail(name);
    free(path);
    text_clear(&s->header);
    s->offset = 0;
}

static void add(Shards *s, const char *name, size_t rows, size_t columns) {
    char file[64];
    file_name(s->file, file, sizeof file);
    size_t bytes = 2 * (rows ? rows : 1) * columns;
    text_addf(&s->header, "%s\"%s\":{\"dtype\":\"BF16\",\"shape\":[", s->offset ? "," : "{", name);
    if (rows) text_addf(&s->header, "%zu,", rows);
    text_addf(&s->header, "%zu],\"data_offsets\":[%zu,%zu]}", columns, s->offset, s->offset + bytes);
    text_addf(&s->index, "%s\n\"%s\":\"%s\"", s->count++ ? "," : "", name, file);
    s->offset += bytes;
}

static void add_in(Shards *s, int layer, const char *name, size_t rows, size_t columns) {
    char full[128];
    snprintf(full, sizeof full, "model.layers.%d.%s.weight", layer, name);
    add(s, full, rows, columns);
}

static void add_layer(Shards *s, int layer) {
    add_in(s, layer, "input_layernorm", 0, HIDDEN);
    add_in(s, layer, "post_attention_layernorm", 0, HIDDEN);
    add_in(s, layer, "self_attn.q_norm", 0, 128);
    add_in(s, layer, "self_attn.k_norm", 0, 128);
    add_in(s, layer, "self_attn.q_proj", 4096, HIDDEN);
    add_in(s, layer, "self_attn.k_proj", 512, HIDDEN);
    add_in(s, layer, "self_attn.v_proj", 512, HIDDEN);
    add_in(s, layer, "self_attn.o_proj", HIDDEN, 4096);
    add_in(s, layer, "mlp.gate", EXPERTS, HIDDEN);
    for (int e = 0; e < EXPERTS; e++) {
        char name[64];
        snprintf(name, sizeof name, "mlp.experts.%d.gate_proj", e);
        add_in(s, layer, name, EXPERT_FFN, HIDDEN);
        snprintf(name, sizeof name, "mlp.experts.%d.up_proj", e);
        add_in(s, layer, name, EXPERT_FFN, HIDDEN);
        snprintf(name, sizeof name, "mlp.experts.%d.down_proj", e);
        add_in(s, layer, name, HIDDEN, EXPERT_FFN);
    }
}

static void make_checkpoint(const char *folder) {
    Shards s = {.folder = folder};
    folder_put_text(folder, "config.json",
                    "{\"model_type\":\"qwen3_moe\",\"hidden_size\":2048,\"intermediate_size\":6144,"
                    "\"moe_intermediate_size\":768,\"num_hidden_layers\":24,\"num_attention_heads\":32,"
                    "\"num_key_value_heads\":4,\"head_dim\":128,\"num_experts\":77,\"num_experts_per_tok\":8,"
                    "\"decoder_sparse_step\":1,\"vocab_size\":1024,\"max_position_embeddings\":4096,"
                    "\"rms_norm_eps\":1e-6,\"tie_word_embeddings\":false}");
    text_addf(&s.index, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
    add(&s, "model.embed_tokens.weight", 1024, HIDDEN);
    add(&s, "model.norm.weight", 0, HIDDEN);
    add(&s, "lm_head.weight", 1024, HIDDEN);
    for (int layer = 0; layer < LAYERS; layer++) {
        add_layer(&s, layer);
        if ((layer + 1) * FILES / LAYERS > s.file) end_file(&s);
    }
    text_addf(&s.index, "}}");
    folder_put_text(folder, "model.safetensors.index.json", s.index.data);
    text_free(&s.index);
    text_free(&s.header);
}

// ---- Opening ----

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *seconds) {
    qsort(seconds, TURNS, sizeof *seconds, by_value);
    return seconds[TURNS / 2];
}

static void bench_open(const char *folder) {
    double files[TURNS], all[TURNS];
    size_t tensors = 0;
    for (int turn = 0; turn < TURNS; turn++) {
        Checkpoint checkpoint;
        Engine *engine;
        Error err = {0};
        double start = clock_seconds();
        if (!checkpoint_open(folder, &checkpoint, &err)) fail(err.message);
        files[turn] = clock_seconds() - start;
        tensors = checkpoint.tensor_count;
        checkpoint_close(&checkpoint);
        const EngineOptions options = {.model = folder, .no_cache = true};
        start = clock_seconds();
        if (!engine_open(&options, &engine, &err)) fail(err.message);
        all[turn] = clock_seconds() - start;
        engine_close(engine);
    }
    printf("open and check %zu tensors in %d files   %8.2f ms\n", tensors, FILES, 1e3 * median(files));
    printf("and the list of linears, norms, statistics %8.2f ms\n", 1e3 * median(all));
}

// ---- The first screen ----

static void become(const char *program, const char *folder, int terminal) {
    setsid();
    ioctl(terminal, TIOCSCTTY, 0);
    for (int fd = 0; fd < 3; fd++) dup2(terminal, fd);
    setenv("TERM", "xterm-256color", 1);
    execl(program, program, "--quiet", "--no-cache", folder, (char *)NULL);
    _exit(127);
}

// Until the name of a linear was drawn.
static bool wait_for_screen(int master) {
    char seen[1 << 16];
    size_t length = 0;
    struct pollfd poll_for = {.fd = master, .events = POLLIN};
    while (length + 1 < sizeof seen && poll(&poll_for, 1, 20000) == 1) {
        ssize_t n = read(master, seen + length, sizeof seen - 1 - length);
        if (n <= 0) return false;
        length += (size_t)n;
        if (memmem(seen, length, "q_proj", 6)) return true;
    }
    return false;
}

static double seconds_to_screen(const char *program, const char *folder) {
    struct winsize size = {.ws_row = 40, .ws_col = 120};
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) fail("no pseudo-terminal");
    int terminal = open(ptsname(master), O_RDWR | O_NOCTTY);
    ioctl(terminal, TIOCSWINSZ, &size);
    double start = clock_seconds();
    pid_t child = fork();
    if (child == 0) become(program, folder, terminal);
    bool shown = wait_for_screen(master);
    double took = clock_seconds() - start;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    close(terminal);
    close(master);
    if (!shown) fail("the program showed no screen");
    return took;
}

static void bench_screen(const char *program, const char *folder, const char *what) {
    double seconds[TURNS];
    for (int turn = 0; turn < TURNS; turn++) seconds[turn] = seconds_to_screen(program, folder);
    printf("first screen, %-28s %8.1f ms\n", what, 1e3 * median(seconds));
}

int main(void) {
    const char *named = getenv("QUANTDIAL_PROGRAM"), *program = named ? named : "build/quantdial";
    char *folder = folder_temporary();
    make_checkpoint(folder);
    bench_open(folder);
    bench_screen(program, "samples/storyteller", "the sample");
    bench_screen(program, folder, "5,763 tensors");
    folder_remove(folder);
    return 0;
}
