#include "export/random_checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/array.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/random.h"
#include "export/safetensors_writer.h"

#define SHARD_BYTES ((size_t)4 << 30)
#define PIECE_BYTES ((size_t)32 << 20)  // made and written at a time
#define TEXT_BYTES ((uint64_t)16 << 20) // more than configuration, tokenizer and headers take

// Spreads, as trained models of this family roughly have them.
#define ROW_SPREAD 0.25 // σ of the logarithm of a row's scale
#define COLUMN_SPREAD 0.15
#define GAIN_SPREAD 0.3
#define ONE_OUTLIER_IN 512 // channels of the residual stream
#define ONE_OUTLIER_COLUMN_IN 1024
#define BOS 256
#define EOS 257

const RandomShape random_shapes[] = {
    {"tiny", 64, 2, 4, 2, 192, 512, 512},
    {"llama-1.1b", 2048, 22, 32, 4, 5632, 32000, 2048},
    {"llama-7b", 4096, 32, 32, 32, 11008, 32000, 4096},
    {"llama-8b", 4096, 32, 32, 8, 14336, 128256, 8192},
    {"llama-13b", 5120, 40, 40, 40, 13824, 32000, 4096},
    {"llama-70b", 8192, 80, 64, 8, 28672, 32000, 4096},
    {0},
};

const RandomShape *random_shape_find(const char *name) {
    for (const RandomShape *shape = random_shapes; shape->name; shape++) {
        if (strcmp(shape->name, name) == 0) return shape;
    }
    return NULL;
}

// ---- The tensors ----

typedef struct RandomTensor {
    char name[64];
    size_t rows, columns; // a norm: one row
    bool norm, outliers;  // a norm whose gain has some; the last has none, logits would be all or nothing
    double std;
    size_t shard;
} RandomTensor;

typedef struct RandomMaking {
    const RandomOptions *options;
    RandomTensor *tensors;
    size_t count, shards;
    uint64_t bytes; // of all tensors
    char *folder;   // the one that is being filled
    uint16_t *piece;
    float *quantiles; // [65536]
    Progress *progress;
    Error *err;
} RandomMaking;

static size_t tensor_bytes(const RandomTensor *t) { return t->rows * t->columns * sizeof(uint16_t); }

static void add_tensor(RandomMaking *m, int layer, const char *name, int rows, int columns, double std) {
    RandomTensor *t = &m->tensors[m->count++];
    *t = (RandomTensor){.rows = rows ? (size_t)rows : 1,
                        .columns = (size_t)columns,
                        .norm = rows == 0,
                        .outliers = layer >= 0,
                        .std = std};
    if (layer < 0)
        snprintf(t->name, sizeof t->name, "%s.weight", name);
    else
        snprintf(t->name, sizeof t->name, "model.layers.%d.%s.weight", layer, name);
}

// Products keep the size of their input, and what layers add to the residual stream adds up to about as much as the
// embedding: activations stay finite however many layers there are.
static void add_tensors(RandomMaking *m) {
    const RandomShape *s = &m->options->shape;
    int width = s->hidden / s->heads * s->kv_heads;
    double in = 1 / sqrt(s->hidden), added = 1 / sqrt(2.0 * s->layers);
    add_tensor(m, -1, "model.embed_tokens", s->vocab, s->hidden, 1);
    for (int l = 0; l < s->layers; l++) {
        add_tensor(m, l, "input_layernorm", 0, s->hidden, 1);
        add_tensor(m, l, "self_attn.q_proj", s->hidden, s->hidden, in);
        add_tensor(m, l, "self_attn.k_proj", width, s->hidden, in);
        add_tensor(m, l, "self_attn.v_proj", width, s->hidden, in);
        add_tensor(m, l, "self_attn.o_proj", s->hidden, s->hidden, in * added);
        add_tensor(m, l, "post_attention_layernorm", 0, s->hidden, 1);
        add_tensor(m, l, "mlp.gate_proj", s->ffn, s->hidden, in);
        add_tensor(m, l, "mlp.up_proj", s->ffn, s->hidden, in);
        add_tensor(m, l, "mlp.down_proj", s->hidden, s->ffn, added / sqrt(s->ffn));
    }
    add_tensor(m, -1, "model.norm", 0, s->hidden, 1);
    add_tensor(m, -1, "lm_head", s->vocab, s->hidden, in);
}

static bool plan_shards(RandomMaking *m) {
    size_t most = m->options->shard_bytes ? m->options->shard_bytes : SHARD_BYTES, filled = 0;
    m->tensors = array_new((size_t)m->options->shape.layers * 9 + 3, sizeof *m->tensors);
    if (!m->tensors) return error_memory(m->err, "the tensors");
    add_tensors(m);
    for (size_t i = 0; i < m->count; i++) {
        RandomTensor *t = &m->tensors[i];
        if (filled && filled + tensor_bytes(t) > most) {
            m->shards++;
            filled = 0;
        }
        t->shard = m->shards;
        filled += tensor_bytes(t);
        m->bytes += tensor_bytes(t);
    }
    m->shards++;
    return true;
}

// ---- Numbers ----

// Tukey's lambda distribution: near 0.14 it is almost normal, at 0 logistic, below that the tails are heavier. Its
// quantiles have a closed form.
#define LAMBDA (-0.05)

static double normal_quantile(double p) { return (pow(p, LAMBDA) - pow(1 - p, LAMBDA)) / LAMBDA; }

// Quantiles in the middle of 65,536 equal shares, scaled to variance 1.
static bool make_quantiles(RandomMaking *m) {
    const size_t n = 65536;
    double squares = 0;
    m->quantiles = array_new(n, sizeof *m->quantiles);
    if (!m->quantiles) return error_memory(m->err, "random numbers");
    for (size_t i = 0; i < n; i++) squares += pow(normal_quantile(((double)i + 0.5) / (double)n), 2);
    double scale = sqrt((double)n / squares);
    for (size_t i = 0; i < n; i++) m->quantiles[i] = (float)(scale * normal_quantile(((double)i + 0.5) / (double)n));
    return true;
}

static Random random_of(const RandomMaking *m, const RandomTensor *t, uint64_t part) {
    uint64_t seed = hash_text(hash_bytes(HASH_START, &m->options->seed, sizeof m->options->seed), t ? t->name : "");
    return random_seeded(hash_bytes(seed, &part, sizeof part));
}

// The outermost shares are drawn once more within themselves: the tails have no end.
static float outer_number(const float *quantiles, size_t index, Random *random) {
    double p = (1 - random_uniform(random)) / 65536;
    float value = (float)(normal_quantile(p) / normal_quantile(0.5 / 65536)) * quantiles[0];
    return index == 0 ? value : -value;
}

static uint16_t stored_value(DType dtype, float value) {
    return dtype == DTYPE_F16 ? float_to_f16(value) : float_to_bf16(value);
}

static void fill_row(const RandomMaking *m, const RandomTensor *t, size_t row, const float *columns, uint16_t *out) {
    Random random = random_of(m, t, row);
    const float scale = (float)(t->std * exp(ROW_SPREAD * random_normal(&random)));
    for (size_t j = 0; j < t->columns; j += 4) {
        uint64_t bits = random_next(&random);
        for (size_t k = j; k < j + 4 && k < t->columns; k++, bits >>= 16) {
            size_t index = bits & 0xFFFF;
            float z = m->quantiles[index];
            if (index == 0 || index == 65535) z = outer_number(m->quantiles, index, &random);
            out[k] = stored_value(m->options->dtype, z * scale * columns[k]);
        }
    }
}

static void column_scales(const RandomMaking *m, const RandomTensor *t, float *columns) {
    Random random = random_of(m, t, UINT64_MAX);
    for (size_t j = 0; j < t->columns; j++) columns[j] = (float)exp(COLUMN_SPREAD * random_normal(&random));
    for (size_t i = 0; i < t->columns / ONE_OUTLIER_COLUMN_IN; i++)
        columns[random_below(&random, (uint32_t)t->columns)] *= (float)(3 + 5 * random_uniform(&random));
}

// A norm's gain; `gains` is scratch. The channels that stand out are those of the model, not of the tensor.
static void fill_norm(const RandomMaking *m, const RandomTensor *t, float *gains, uint16_t *out) {
    Random own = random_of(m, t, 0), model = random_of(m, NULL, 0);
    for (size_t j = 0; j < t->columns; j++) gains[j] = (float)exp(GAIN_SPREAD * random_normal(&own));
    for (size_t i = 0; t->outliers && i < 1 + t->columns / ONE_OUTLIER_IN; i++)
        gains[random_below(&model, (uint32_t)t->columns)] *= (float)(4 + 12 * random_uniform(&own));
    for (size_t j = 0; j < t->columns; j++) out[j] = stored_value(m->options->dtype, gains[j]);
}

// ---- Writing ----

static bool cannot_write(const RandomMaking *m, const char *path) {
    const char *remedy = errno == ENOSPC || errno == EDQUOT ? "; make room, or choose another disk" : "";
    return error_set(m->err, "%s: cannot be written: %s%s; nothing was kept", path, strerror(errno), remedy);
}

static bool write_tensor_bytes(const RandomMaking *m, FILE *file, const char *path, const void *data, size_t bytes) {
    return fwrite(data, 1, bytes, file) == bytes || cannot_write(m, path);
}

static bool put_tensor(const RandomMaking *m, FILE *file, const char *path, const RandomTensor *t) {
    size_t at_once = PIECE_BYTES / (t->columns * sizeof *m->piece);
    float *columns = array_new(t->columns, sizeof *columns);
    bool ok = columns || error_memory(m->err, t->name);
    if (ok && !t->norm) column_scales(m, t, columns);
    for (size_t row = 0; ok && row < t->rows; row += at_once) {
        size_t rows = t->rows - row < at_once ? t->rows - row : at_once, bytes = rows * t->columns * sizeof *m->piece;
        if (t->norm) fill_norm(m, t, columns, m->piece);
#pragma omp parallel for schedule(static) if (!t->norm)
        for (size_t r = 0; r < (t->norm ? 0 : rows); r++) fill_row(m, t, row + r, columns, m->piece + r * t->columns);
        ok = write_tensor_bytes(m, file, path, m->piece, bytes) &&
             (progress_add(m->progress, bytes) || error_stopped(m->err));
    }
    free(columns);
    return ok;
}

static void shard_name(const RandomMaking *m, size_t shard, char *out, size_t size) {
    if (m->shards == 1)
        snprintf(out, size, "model.safetensors");
    else
        snprintf(out, size, "model-%05zu-of-%05zu.safetensors", shard + 1, m->shards);
}

static bool put_header(const RandomMaking *m, FILE *file, const char *path, size_t shard) {
    SafetensorsHead head;
    safetensors_head_begin(&head);
    for (size_t i = 0; i < m->count; i++) {
        const RandomTensor *t = &m->tensors[i];
        const uint64_t shape[] = {t->rows, t->columns};
        if (t->shard == shard) safetensors_head_add(&head, t->name, m->options->dtype, 2 - t->norm, shape + t->norm);
    }
    bool ok =
        safetensors_head_end(&head, m->err) && write_tensor_bytes(m, file, path, head.text.data, head.text.length);
    text_free(&head.text);
    return ok;
}

static bool write_shard(const RandomMaking *m, size_t shard) {
    char name[64];
    shard_name(m, shard, name, sizeof name);
    char *path = path_join(m->folder, name);
    FILE *file = path ? fopen(path, "wbxe") : NULL;
    bool ok = file ? put_header(m, file, path, shard) : path ? cannot_write(m, path) : error_memory(m->err, name);
    for (size_t i = 0; ok && i < m->count; i++) {
        if (m->tensors[i].shard == shard) ok = put_tensor(m, file, path, &m->tensors[i]);
    }
    if (ok && (fflush(file) != 0 || fsync(fileno(file)) != 0)) ok = cannot_write(m, path);
    if (file && fclose(file) != 0 && ok) ok = cannot_write(m, path);
    free(path);
    return ok;
}

static bool write_text(const RandomMaking *m, const char *name, Text *text) {
    char *path = path_join(m->folder, name);
    bool ok = (path && !text->failed) || error_memory(m->err, name);
    ok = ok && file_write(path, text->data, text->length, m->err);
    free(path);
    text_free(text);
    return ok;
}

static bool write_index(const RandomMaking *m) {
    Text text = {0};
    char name[64];
    text_addf(&text, "{\"metadata\":{\"total_size\":%llu},\"weight_map\":{", (unsigned long long)m->bytes);
    for (size_t i = 0; i < m->count; i++) {
        shard_name(m, m->tensors[i].shard, name, sizeof name);
        text_addf(&text, "%s\n\"%s\":\"%s\"", i ? "," : "", m->tensors[i].name, name);
    }
    text_addf(&text, "}}\n");
    return write_text(m, "model.safetensors.index.json", &text);
}

static bool write_config(const RandomMaking *m) {
    const RandomShape *s = &m->options->shape;
    Text text = {0};
    text_addf(&text,
              "{\n  \"architectures\": [\"LlamaForCausalLM\"],\n  \"model_type\": \"llama\",\n"
              "  \"hidden_size\": %d,\n  \"num_hidden_layers\": %d,\n  \"num_attention_heads\": %d,\n"
              "  \"num_key_value_heads\": %d,\n  \"intermediate_size\": %d,\n  \"vocab_size\": %d,\n"
              "  \"max_position_embeddings\": %d,\n",
              s->hidden, s->layers, s->heads, s->kv_heads, s->ffn, s->vocab, s->max_positions);
    text_addf(&text,
              "  \"hidden_act\": \"silu\",\n  \"rms_norm_eps\": 1e-05,\n  \"rope_theta\": 10000.0,\n"
              "  \"tie_word_embeddings\": false,\n  \"bos_token_id\": %d,\n  \"eos_token_id\": %d,\n"
              "  \"torch_dtype\": \"%s\"\n}\n",
              BOS, EOS, m->options->dtype == DTYPE_F16 ? "float16" : "bfloat16");
    return write_text(m, "config.json", &text);
}

// The character that stands for a byte in byte-level BPE: itself where it can be printed, else one from U+0100 on.
static uint32_t character_of(int byte) {
    uint32_t others = 0x100;
    for (int b = 0; b <= byte; b++) {
        bool printable = (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD);
        if (b == byte) return printable ? (uint32_t)b : others;
        if (!printable) others++;
    }
    return others;
}

// Byte-level BPE without merges: a token per byte. The other ids have names, so that what the model writes shows.
static bool write_tokenizer(const RandomMaking *m) {
    Text text = {0};
    text_addf(&text, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
                     "{\"id\":256,\"content\":\"<s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                     "\"normalized\":false,\"special\":true},"
                     "{\"id\":257,\"content\":\"</s>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
                     "\"normalized\":false,\"special\":true}],\"normalizer\":null,\"pre_tokenizer\":"
                     "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"
                     "\"post_processor\":null,\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,"
                     "\"trim_offsets\":true,\"use_regex\":true},\"model\":{\"type\":\"BPE\",\"dropout\":null,"
                     "\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
                     "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{");
    for (int byte = 0; byte < 256; byte++) {
        char utf8[4];
        bool escaped = byte == '"' || byte == '\\';
        text_addf(&text, "%s\"%s", byte ? "," : "", escaped ? "\\" : "");
        text_add(&text, utf8, utf8_write(character_of(byte), utf8));
        text_addf(&text, "\":%d", byte);
    }
    text_addf(&text, ",\"<s>\":%d,\"</s>\":%d", BOS, EOS);
    for (int id = EOS + 1; id < m->options->shape.vocab; id++) text_addf(&text, ",\n\"<%d>\":%d", id, id);
    text_addf(&text, "},\"merges\":[]}}\n");
    return write_text(m, "tokenizer.json", &text);
}

// ---- The folder ----

static bool check_target(const char *folder, Error *err) {
    DIR *dir = opendir(folder);
    if (!dir && errno == ENOENT) return true;
    if (!dir) return error_set(err, "%s: cannot be written: %s; choose another folder", folder, strerror(errno));
    bool empty = true;
    for (struct dirent *entry; (entry = readdir(dir));)
        empty = empty && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
    closedir(dir);
    return empty || error_set(err, "%s: already exists and is not empty; choose another folder", folder);
}

// A folder for the work beside the one that is wanted: on the same disk, so that it can be renamed.
static bool make_folder(RandomMaking *m, const char *target) {
    char *parent = strdup(target);
    if (!parent || asprintf(&m->folder, "%s.XXXXXX", target) < 0) {
        free(parent);
        m->folder = NULL;
        return error_memory(m->err, target);
    }
    char *slash = strrchr(parent, '/');
    if (slash) *slash = '\0';
    bool ok = !slash || slash == parent || folder_make(parent, m->err);
    free(parent);
    if (!ok || mkdtemp(m->folder)) return ok;
    error_set(m->err, "%s: cannot be created: %s; choose another folder", target, strerror(errno));
    free(m->folder);
    m->folder = NULL;
    return false;
}

// What the umask would have given; mkdtemp makes folders that only their owner may read.
static void open_folder(const char *folder) {
    mode_t mask = umask(0);
    umask(mask);
    chmod(folder, 0777 & ~mask);
}

static void remove_folder(const char *folder) {
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir) closedir(dir);
    rmdir(folder);
}

static bool write_all(RandomMaking *m) {
    m->piece = array_new(PIECE_BYTES, 1);
    if (!m->piece) return error_memory(m->err, "random weights");
    progress_begin(m->progress, "writing weights", m->bytes);
    bool ok = disk_has_room(m->folder, m->bytes + TEXT_BYTES, m->err) && make_quantiles(m) && write_config(m) &&
              write_tokenizer(m);
    for (size_t shard = 0; ok && shard < m->shards; shard++) ok = write_shard(m, shard);
    return ok && (m->shards == 1 || write_index(m));
}

bool random_checkpoint_write(const RandomOptions *options, const char *folder, Progress *progress, Error *err) {
    RandomMaking m = {.options = options, .progress = progress, .err = err};
    char *target = strdup(folder);
    if (!target) return error_memory(err, folder);
    for (size_t n = strlen(target); n > 1 && target[n - 1] == '/'; n--) target[n - 1] = '\0';
    bool ok = check_target(target, err) && plan_shards(&m) && make_folder(&m, target) && write_all(&m);
    if (ok) {
        open_folder(m.folder);
        ok = rename(m.folder, target) == 0 || cannot_write(&m, target);
    }
    if (!ok && m.folder) remove_folder(m.folder);
    free(m.folder);
    free(m.tensors);
    free(m.piece);
    free(m.quantiles);
    free(target);
    return ok;
}
