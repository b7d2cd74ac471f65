// Decoders (tokenizers package, decoders/): each makes new texts of a list of texts; in the end they are joined.
#include <stdlib.h>
#include <string.h>

#include "loaders/tokenizer/tokenizer_parts.h"

#define DEEPEST 16 // of Sequences in Sequences

// What was added to the text since `at` is a piece, also when it is empty.
static bool end_piece(Pieces *out, size_t at, Error *err) {
    bool ok = !out->text.failed && array_grow(&out->items, out->count, &out->capacity, sizeof *out->items);
    if (ok) out->items[out->count++] = (Piece){at, out->text.length - at, false};
    return ok || error_memory(err, "text");
}

static bool copy_pieces(const Pieces *in, Pieces *out, Error *err) {
    bool ok = true;
    for (size_t i = 0; ok && i < in->count; i++)
        ok = pieces_add(out, in->text.data + in->items[i].at, in->items[i].length, false);
    return ok || error_memory(err, "text");
}

// ---------------------------------------------------------------------------------------------------------- bytes

// How many bytes at `bytes` belong together when no whole character is there: the longest beginning of one, or a single
// byte (Unicode, section 3.9, substitution of maximal subparts).
static size_t broken_length(const unsigned char *bytes, size_t left) {
    unsigned char first = bytes[0];
    size_t whole = first >= 0xF0 && first <= 0xF4  ? 4
                   : first >= 0xE0 && first < 0xF0 ? 3
                                                   : 1; // two bytes: the first is alone
    if (whole == 1 || left < 2) return 1;
    unsigned char least = first == 0xE0   ? 0xA0
                          : first == 0xF0 ? 0x90
                                          : 0x80,
                  most = first == 0xED   ? 0x9F
                         : first == 0xF4 ? 0x8F
                                         : 0xBF;
    if (bytes[1] < least || bytes[1] > most) return 1;
    return whole == 4 && left > 2 && (bytes[2] & 0xC0) == 0x80 ? 3 : 2;
}

#define BROKEN "\xEF\xBF\xBD" // U+FFFD

static void add_repaired(Text *out, const char *bytes, size_t length) {
    for (size_t i = 0; i < length;) {
        uint32_t code;
        size_t n = utf8_read(bytes + i, length - i, &code);
        if (n) {
            text_add(out, bytes + i, n);
        } else {
            text_add(out, BROKEN, strlen(BROKEN));
            n = broken_length((const unsigned char *)bytes + i, length - i);
        }
        i += n;
    }
}

// A token with any character outside the byte alphabet (an added token, say) stands for itself.
static void add_bytes(const char *content, size_t length, Text *out) {
    size_t before = out->length;
    for (size_t i = 0; i < length;) {
        uint32_t code = 0;
        i += utf8_read(content + i, length - i, &code);
        int byte = byte_level_byte(code);
        if (byte < 0) {
            out->length = before;
            text_add(out, content, length);
            return;
        }
        text_add(out, &(char){(char)byte}, 1);
    }
}

static bool run_byte_level(const DecoderStep *step, bool alone, const Pieces *in, Pieces *out, Scratch *scratch,
                           Error *err) {
    (void)step, (void)scratch;
    Text bytes = {0};
    text_add(&bytes, "", 0);
    for (size_t i = 0; i < in->count; i++) add_bytes(in->text.data + in->items[i].at, in->items[i].length, &bytes);
    if (bytes.failed)
        out->text.failed = true;
    else if (alone)
        text_add(&out->text, bytes.data, bytes.length);
    else
        add_repaired(&out->text, bytes.data, bytes.length);
    text_free(&bytes);
    return end_piece(out, 0, err);
}

// The byte of "<0x0A>", −1 for other texts. The package reads the digits as a number, so a plus may be there.
static int byte_token(const char *text, size_t length) {
    if (length != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') return -1;
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *high = text[3] == '+' ? digits : memchr(digits, text[3], 32), *low = memchr(digits, text[4], 32);
    return high && low ? (int)((high - digits) % 16 * 16 + (low - digits) % 16) : -1;
}

// Bytes that do not make characters become one mark each.
static bool add_byte_run(const Text *run, Pieces *out, Error *err) {
    size_t at = out->text.length;
    if (run->failed) return error_memory(err, "text");
    if (!run->length) return true;
    bool characters = text_is_utf8(run->data, run->length);
    if (characters) text_add(&out->text, run->data, run->length);
    for (size_t i = 0; !characters && i < run->length; i++) text_add(&out->text, BROKEN, strlen(BROKEN));
    return end_piece(out, at, err);
}

static bool run_byte_fallback(const DecoderStep *step, bool alone, const Pieces *in, Pieces *out, Scratch *scratch,
                              Error *err) {
    (void)step, (void)scratch;
    Text run = {0};
    bool ok = true;
    for (size_t i = 0; ok && i < in->count; i++) {
        const char *text = in->text.data + in->items[i].at;
        size_t length = in->items[i].length;
        int byte = byte_token(text, length);
        if (byte >= 0) {
            text_add(alone ? &out->text : &run, &(char){(char)byte}, 1);
            continue;
        }
        ok = add_byte_run(&run, out, err) && (pieces_add(out, text, length, false) || error_memory(err, "text"));
        text_clear(&run);
    }
    ok = ok && add_byte_run(&run, out, err);
    text_free(&run);
    return ok;
}

// ------------------------------------------------------------------------------------------------ texts and spaces

static bool run_fuse(const DecoderStep *step, bool alone, const Pieces *in, Pieces *out, Scratch *scratch, Error *err) {
    (void)step, (void)alone, (void)scratch;
    text_add(&out->text, in->text.data, in->text.length);
    return end_piece(out, 0, err);
}

// Without any decoder the package puts a space between tokens.
static bool run_spaces(const DecoderStep *step, bool alone, const Pieces *in, Pieces *out, Scratch *scratch,
                       Error *err) {
    (void)step, (void)alone, (void)scratch;
    for (size_t i = 0; i < in->count; i++) {
        if (i) text_add(&out->text, " ", 1);
        text_add(&out->text, in->text.data + in->items[i].at, in->items[i].length);
    }
    return end_piece(out, 0, err);
}

static bool run_replace(const DecoderStep *step, bool alone, const Pieces *in, Pieces *out, Scratch *scratch,
                        Error *err) {
    (void)alone;
    for (size_t i = 0; i < in->count; i++) {
        size_t at = out->text.length;
        const char *text = in->text.data + in->items[i].at;
        if (in->items[i].length &&
            !pattern_replace(&step->pattern, &step->content, text, in->items[i].length, scratch, &out->text, err))
            return false;
        if (!end_piece(out, at, err)) return false;
    }
    return true;
}

static bool read_replace(const cJSON *json, DecoderStep *step, Error *err) {
    const char *content;
    if (!json_string(json, "content", "", &content, err)) return false;
    json_bytes(content, &step->content);
    if (step->content.failed) return error_memory(err, "a decoder");
    return pattern_read(json, "Replace", &step->pattern, err);
}

// GPT-1's: a suffix marks the end of a word.
static bool run_bpe(const DecoderStep *step, bool alone, const Pieces *in, Pieces *out, Scratch *scratch, Error *err) {
    for (size_t i = 0; i < in->count; i++) {
        size_t at = out->text.length;
        const Text content = {.data = (char[]){' ', 0}, .length = i + 1 == in->count && !alone ? 0 : 1};
        const char *text = in->text.data + in->items[i].at;
        if (in->items[i].length &&
            !pattern_replace(&step->pattern, &content, text, in->items[i].length, scratch, &out->text, err))
            return false;
        if (!end_piece(out, at, err)) return false;
    }
    return true;
}

static bool read_bpe(const cJSON *json, DecoderStep *step, Error *err) {
    const char *suffix;
    if (!json_string(json, "suffix", "</w>", &suffix, err)) return false;
    return pattern_compile(suffix, true, &step->pattern, err);
}

static bool run_metaspace(const DecoderStep *step, bool alone, const Pieces *in, Pieces *out, Scratch *scratch,
                          Error *err) {
    (void)scratch;
    const char *replacement = step->metaspace.replacement;
    size_t n = strlen(replacement);
    for (size_t i = 0; i < in->count; i++) {
        size_t at = out->text.length, length = in->items[i].length;
        const char *text = in->text.data + in->items[i].at;
        bool drop = i == 0 && !alone && step->metaspace.scheme != PREPEND_NEVER; // the first token's were put there
        for (size_t k = 0; k < length;) {
            bool is_space = n <= length - k && memcmp(text + k, replacement, n) == 0;
            if (!is_space)
                text_add(&out->text, text + k, 1);
            else if (!drop)
                text_add(&out->text, " ", 1);
            k += is_space ? n : 1;
        }
        if (!end_piece(out, at, err)) return false;
    }
    return true;
}

static bool read_metaspace(const cJSON *json, DecoderStep *step, Error *err) {
    return metaspace_read(json, &step->metaspace, err);
}

// How many bytes the first or last `most` characters of the text take, as long as they are the one to strip.
static size_t strip_length(const DecoderStep *step, const char *text, size_t length, bool at_end, size_t most) {
    char bytes[4];
    size_t n = utf8_write(step->character, bytes), done = 0;
    while (most-- && length - done >= n && memcmp(at_end ? text + length - done - n : text + done, bytes, n) == 0)
        done += n;
    return done;
}

static bool run_strip(const DecoderStep *step, bool alone, const Pieces *in, Pieces *out, Scratch *scratch,
                      Error *err) {
    (void)scratch;
    if (alone) return copy_pieces(in, out, err);
    for (size_t i = 0; i < in->count; i++) {
        const char *text = in->text.data + in->items[i].at;
        size_t length = in->items[i].length, start = strip_length(step, text, length, false, step->start);
        size_t end = length - strip_length(step, text + start, length - start, true, step->stop);
        if (!pieces_add(out, text + start, end - start, false)) return error_memory(err, "text");
    }
    return true;
}

static bool read_strip(const cJSON *json, DecoderStep *step, Error *err) {
    const char *content;
    int64_t start, stop;
    if (!json_string(json, "content", "", &content, err) ||
        !json_integer(json, "start", 0, 0, INT32_MAX, &start, err) ||
        !json_integer(json, "stop", 0, 0, INT32_MAX, &stop, err)) {
        return false;
    }
    step->start = (size_t)start;
    step->stop = (size_t)stop;
    Text bytes = {0};
    json_bytes(content, &bytes);
    bool one = !bytes.failed && bytes.length && utf8_read(bytes.data, bytes.length, &step->character) == bytes.length;
    text_free(&bytes);
    return one || error_set(err, "\"content\" of Strip must be one character");
}

// ------------------------------------------------------------------------------------------------------ the table

static const struct {
    const char *type;
    bool (*run)(const DecoderStep *step, bool alone, const Pieces *in, Pieces *out, Scratch *scratch, Error *err);
    bool (*read)(const cJSON *json, DecoderStep *step, Error *err); // NULL: there is nothing to read
} kinds[] = {
    {"", run_spaces, NULL},
    {"ByteLevel", run_byte_level, NULL},
    {"ByteFallback", run_byte_fallback, NULL},
    {"Fuse", run_fuse, NULL},
    {"Replace", run_replace, read_replace},
    {"Strip", run_strip, read_strip},
    {"Metaspace", run_metaspace, read_metaspace},
    {"BPEDecoder", run_bpe, read_bpe},
};

static bool add_kind(const char *type, const cJSON *json, Decoder *out, Error *err) {
    for (size_t i = json ? 1 : 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kinds[i].type, type) != 0) continue;
        if (!array_grow(&out->steps, out->count, &out->capacity, sizeof *out->steps))
            return error_memory(err, "decoders");
        DecoderStep *step = &out->steps[out->count++];
        *step = (DecoderStep){.run = kinds[i].run};
        return !kinds[i].read || kinds[i].read(json, step, err);
    }
    return tokenizer_refuse("decoder", type,
                            "Sequence, ByteLevel, ByteFallback, Fuse, Replace, Strip, Metaspace, BPEDecoder", err);
}

static bool read_steps(const cJSON *json, int depth, Decoder *out, Error *err) {
    const char *type;
    if (!cJSON_IsObject(json)) return error_set(err, "a decoder must be an object");
    if (!json_string(json, "type", "", &type, err)) return false;
    if (strcmp(type, "Sequence") != 0) return add_kind(type, json, out, err);
    if (depth == DEEPEST) return error_set(err, "decoders are nested too deep");
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, "decoders"), *item;
    if (!cJSON_IsArray(list)) return error_set(err, "\"decoders\" must be an array");
    cJSON_ArrayForEach(item, list) {
        if (!read_steps(item, depth + 1, out, err)) return false;
    }
    return true;
}

bool decoder_read(const cJSON *json, Decoder *out, Error *err) {
    if (!json || cJSON_IsNull(json)) return add_kind("", NULL, out, err);
    return read_steps(json, 0, out, err);
}

bool decoder_run(const Decoder *decoder, bool alone, Scratch *scratch, const Pieces **out, Error *err) {
    Pieces *from = &scratch->pieces[0], *to = &scratch->pieces[1];
    size_t before = from->text.length + from->count;
    text_add(&from->text, "", 0);
    for (size_t i = 0; i < decoder->count; i++) {
        pieces_clear(to);
        text_add(&to->text, "", 0);
        if (!decoder->steps[i].run(&decoder->steps[i], alone, from, to, scratch, err) ||
            !growth_check(before, to->text.length, err))
            return false;
        Pieces *swapped = from;
        from = to;
        to = swapped;
    }
    *out = from;
    return !from->text.failed || error_memory(err, "text");
}

void decoder_free(Decoder *decoder) {
    for (size_t i = 0; i < decoder->count; i++) {
        text_free(&decoder->steps[i].content);
        pattern_free(&decoder->steps[i].pattern);
    }
    free(decoder->steps);
    *decoder = (Decoder){0};
}
