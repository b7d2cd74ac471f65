// safetensors files: the verdicts of the reference implementation (safetensors/src/tensor.rs and its tests).
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/array.h"
#include "loaders/safetensors.h"
#include "tests/support/in_folder.h"

#define ONE "{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}"

static void expect_refused(const char *path, const char *reason) {
    TensorFile file;
    Error err = {0};
    if (safetensors_open(path, &file, &err)) {
        tensor_file_close(&file);
        fail_msg("accepted, but expected: %s", reason);
    }
    if (!strstr(err.message, reason)) fail_msg("expected \"%s\", got \"%s\"", reason, err.message);
    assert_non_null(strstr(err.message, path));
    assert_null(file.path);
    for (const char *p = err.message; *p; p++) assert_true((unsigned char)*p >= 0x20);
}

static void refuse_bytes(const void *bytes, size_t size, const char *reason) {
    char *path = folder_write(folder, "file.safetensors", bytes, size);
    expect_refused(path, reason);
    free(path);
}

static void refuse_header(const char *header, size_t data_bytes, const char *reason) {
    char *path = folder_put_safetensors(folder, "file.safetensors", header, data_bytes);
    expect_refused(path, reason);
    free(path);
}

static void open_header(const char *header, size_t data_bytes, TensorFile *out) {
    char *path = folder_put_safetensors(folder, "file.safetensors", header, data_bytes);
    Error err = {0};
    if (!safetensors_open(path, out, &err)) fail_msg("%s", err.message);
    free(path);
}

static void accept_header(const char *header, size_t data_bytes, size_t tensors) {
    TensorFile file;
    open_header(header, data_bytes, &file);
    assert_int_equal(file.tensor_count, tensors);
    tensor_file_close(&file);
}

static void header_lengths(void **state) {
    (void)state;
    refuse_bytes("", 0, "too small");
    refuse_bytes("\0\0\0\0\0\0\0", 7, "too small");
    refuse_bytes("\x3c\0\0\0\0\0\0\0", 8, "beyond the file");
    refuse_bytes("\x3c\0\0\0\xff\xff\xff\xff", 8, "too large");
    refuse_bytes("\xff\xff\xff\xff\xff\xff\xff\xff", 8, "too large");
    refuse_bytes("\x01\xe1\xf5\x05\0\0\0\0", 8, "too large"); // 100 000 001
    refuse_bytes("\0\xe1\xf5\x05\0\0\0\0", 8, "beyond the file");
    refuse_bytes("\x01\0\0\0\0\0\0\0\xff", 9, "not UTF-8");
    refuse_bytes("\x01\0\0\0\0\0\0\0{", 9, "header, byte 1");
    refuse_bytes("\0\0\0\0\0\0\0\0", 8, "header, byte 0");
}

static void file_lengths(void **state) {
    (void)state;
    accept_header(ONE, 16, 1);
    refuse_header(ONE, 17, "too long");
    refuse_header(ONE, 14, "cut off");
    refuse_header("{}", 1, "too long");
}

static void offsets(void **state) {
    (void)state;
    refuse_header("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,4]}}", 4, "need 16 bytes");
    refuse_header("{\"test\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "continue at byte 0");
    refuse_header("{\"test\":{\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[8,4]}}", 8, "continue at byte 0");
    refuse_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]},"
                  "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[5,9]}}",
                  9, "tensor \"b\"");
    Text ten = {0};
    for (int i = 0; i < 10; i++) {
        text_addf(&ten, "%c\"t%d\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}", i ? ',' : '{', i);
    }
    text_addf(&ten, "}");
    refuse_header(ten.data, 16, "continue at byte 16");
    text_free(&ten);
    refuse_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
                  "\"b\":{\"dtype\":\"U8\",\"shape\":[1152921504606846976],\"data_offsets\":[0,1152921504606846976]}}",
                  9, "cut off");
}

static void shapes(void **state) {
    (void)state;
    refuse_header("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,18446744073709551614],\"data_offsets\":[0,16]}}", 16,
                  "overflows");
    refuse_header("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,9223372036854775807],\"data_offsets\":[0,16]}}", 16,
                  "overflows");
    refuse_header("{\"test\":{\"dtype\":\"I32\",\"shape\":[4611686018427387904,4,0],\"data_offsets\":[0,0]}}", 0,
                  "overflows");
    refuse_header("{\"test\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "whole bytes");
    refuse_header("{\"test\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
                  "more than 8 dimensions");
    accept_header("{\"test\":{\"dtype\":\"F4\",\"shape\":[2,2],\"data_offsets\":[0,2]}}", 2, 1);
    accept_header("{\"test\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3, 1);
    accept_header("{\"test\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, 1);
    accept_header("{\"test\":{\"dtype\":\"I32\",\"shape\":[2,0],\"data_offsets\":[0,0]}}", 0, 1);
    accept_header("{\"test\":{\"dtype\":\"I32\",\"shape\":[0,9223372036854775807,9],\"data_offsets\":[0,0]}}", 0, 1);
    accept_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"b\":{\"dtype\":\"U8\",\"shape\":[0]"
                  ",\"data_offsets\":[0,0]}}",
                  0, 2);
}

static void schema(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "[]",
        "\"a\"",
        "null",
        "{\"a\":1}",
        "{\"a\":null}",
        "{\"a\":[]}",
        "{\"a\":{}}",
        "{} {}",
        "{},",
        "{\"a\"}",
        "{a:1}",
        "{\"a\":{},}",
        "{'a':{}}",
        "{\"a\" {}}",
        "{\"",
        "{\"a\\",
        "{\"a\\u12",
        "{\"a\\u12g4\":0}",
        "{\"a\\q\":0}",
        "{\"a\n\":0}",
        "{\"\\ud800\":0}",
        "{\"\\ud800\\u0041\":0}",
        "{\"\\udc00\":0}",
        "{\"__metadata__\":[]}",
        "{\"__metadata__\":1}",
        "{\"__metadata__\":{\"a\":1}}",
        "{\"__metadata__\":{\"a\":null}}",
        "{\"__metadata__\":nul}",
        "{\"__metadata__\":null,\"__metadata__\":null}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) refuse_header(wrong[i], 0, "");
    accept_header("{}\r \t\n", 0, 0);
    accept_header("\t\n{}\r ", 0, 0);
    accept_header("{\"__metadata__\":null}", 0, 0);
    accept_header("{\"__metadata__\":{}}", 0, 0);
    accept_header("{\"__metadata__\":{\"format\":\"pt\",\"x\":\"\\u00e9\"}}", 0, 0);
}

// One entry of I32 [1] at [0, 4], with one thing wrong.
static void entries(void **state) {
    (void)state;
    static const struct {
        const char *entry, *reason;
    } wrong[] = {
        {"\"shape\":[1],\"data_offsets\":[0,4]", "dtype is missing"},
        {"\"dtype\":\"I32\",\"data_offsets\":[0,4]", "shape is missing"},
        {"\"dtype\":\"I32\",\"shape\":[1]", "data_offsets is missing"},
        {"\"dtype\":\"I32\",\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4]", "dtype is there twice"},
        {"\"dtype\":\"I33\",\"shape\":[1],\"data_offsets\":[0,4]", "unknown dtype \"I33\""},
        {"\"dtype\":\"i32\",\"shape\":[1],\"data_offsets\":[0,4]", "unknown dtype"},
        {"\"dtype\":\"I32\\u0000\",\"shape\":[1],\"data_offsets\":[0,4]", "unknown dtype"},
        {"\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]", "expected a string"},
        {"\"dtype\":\"I32\",\"shape\":1,\"data_offsets\":[0,4]", "must be an array"},
        {"\"dtype\":\"I32\",\"shape\":null,\"data_offsets\":[0,4]", "must be an array"},
        {"\"dtype\":\"I32\",\"shape\":[-1],\"data_offsets\":[0,4]", "not negative"},
        {"\"dtype\":\"I32\",\"shape\":[-0],\"data_offsets\":[0,4]", "not negative"},
        {"\"dtype\":\"I32\",\"shape\":[1.0],\"data_offsets\":[0,4]", "whole number"},
        {"\"dtype\":\"I32\",\"shape\":[1e0],\"data_offsets\":[0,4]", "whole number"},
        {"\"dtype\":\"I32\",\"shape\":[01],\"data_offsets\":[0,4]", "leading zero"},
        {"\"dtype\":\"I32\",\"shape\":[\"1\"],\"data_offsets\":[0,4]", "whole number"},
        {"\"dtype\":\"I32\",\"shape\":[1,],\"data_offsets\":[0,4]", "whole number"},
        {"\"dtype\":\"I32\",\"shape\":[18446744073709551616],\"data_offsets\":[0,4]", "64 bits"},
        {"\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0]", "two numbers"},
        {"\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4,8]", "two numbers"},
        {"\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":{\"0\":4}", "must be an array"},
        {"\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":01", "expected , or }"},
        {"\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":nil", "unknown word"},
        {"\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1.", "malformed number"},
        {"\"dtype\":\"I32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":[1,]", "malformed number"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        Text header = {0};
        text_addf(&header, "{\"test\":{%s}}", wrong[i].entry);
        refuse_header(header.data, 4, wrong[i].reason);
        text_free(&header);
    }
    accept_header(
        "{\"t\":{\"x\":[{\"y\":[1.5e-3,-0,true,false,null,\"\\ud83d\\ude00\"]},{}],\"dtype\":\"I32\",\"shape\":[1],"
        "\"data_offsets\":[0,4],\"z\":{}}}",
        4, 1);
}

static void nesting(void **state) {
    (void)state;
    for (int depth = 125; depth <= 126; depth++) { // two levels are there already; the 128th is refused
        Text header = {0};
        text_addf(&header, "{\"t\":{\"x\":");
        for (int i = 0; i < depth; i++) text_add(&header, "[", 1);
        for (int i = 0; i < depth; i++) text_add(&header, "]", 1);
        text_addf(&header, ",\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}");
        if (depth == 125)
            accept_header(header.data, 1, 1);
        else
            refuse_header(header.data, 1, "too deep");
        text_free(&header);
    }
}

static void names(void **state) {
    (void)state;
    // The last of two counts, and the file must be whole without the first.
    TensorFile twice;
    open_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"\\u0061\":{\"dtype\":\"U16\","
                "\"shape\":[1],\"data_offsets\":[0,2]}}",
                2, &twice);
    assert_int_equal(twice.tensor_count, 1);
    assert_int_equal(twice.tensors[0].dtype, DTYPE_U16);
    tensor_file_close(&twice);
    refuse_header("{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"a\":{\"dtype\":\"U8\","
                  "\"shape\":[2],\"data_offsets\":[2,4]}}",
                  4, "do not continue at byte 0");
    refuse_header("{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "U+0000");
    refuse_header("{\"a\\u001b[31m\\n\":{\"dtype\":\"U9\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "unknown dtype");
    TensorFile file;
    open_header("{\"\\u00e9\\ud83d\\ude00\\n\\\"\\/\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
                &file);
    assert_string_equal(file.tensors[0].name, "\xC3\xA9\xF0\x9F\x98\x80\n\"/");
    tensor_file_close(&file);
}

static void contents(void **state) {
    (void)state;
    TensorFile file;
    open_header(
        "{\"b\":{\"dtype\":\"F16\",\"shape\":[2,3],\"data_offsets\":[4,16]},\"__metadata__\":{\"format\":\"pt\"},"
        "\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}   ",
        16, &file);
    assert_int_equal(file.tensor_count, 2);
    const Tensor *a = &file.tensors[0], *b = &file.tensors[1]; // in file order
    assert_string_equal(a->name, "a");
    assert_string_equal(b->name, "b");
    assert_int_equal(a->dtype, DTYPE_BF16);
    assert_int_equal(b->rank, 2);
    assert_int_equal(b->shape[0], 2);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(b->bytes, 12);
    assert_int_equal(tensor_elements(b), 6);
    assert_int_equal(((const unsigned char *)b->data)[0], 4);
    assert_int_equal(((const unsigned char *)b->data)[11], 15);
    assert_string_equal(b->file, file.path);
    tensor_file_close(&file);
    tensor_file_close(&file); // closing what is closed does nothing
}

static void other_files(void **state) {
    (void)state;
    expect_refused(nowhere(), "cannot be opened");
    expect_refused(folder, "not a regular file");
    expect_refused("/dev/null", "not a regular file");
}

static void many_tensors(void **state) {
    (void)state;
    Text header = {0};
    for (int i = 0; i < 5760; i++) {
        text_addf(
            &header,
            "%c\"model.layers.%d.experts.%d.w1.weight\":{\"dtype\":\"BF16\",\"shape\":[2,4],\"data_offsets\":[%d,%d]}",
            i ? ',' : '{', i / 60, i % 60, i * 16, i * 16 + 16);
    }
    text_addf(&header, "}");
    accept_header(header.data, 5760 * 16, 5760);
    text_free(&header);
}

static void number_formats(void **state) {
    (void)state;
    for (uint32_t half = 0; half < 65536; half++) {
        float value = f16_to_float((uint16_t)half);
        uint16_t back = float_to_f16(value);
        if (value != value)
            assert_int_equal(back & 0x7E00, 0x7E00);
        else
            assert_int_equal(back, half);
        float brain = bf16_to_float((uint16_t)half);
        if (brain == brain) assert_int_equal(float_to_bf16(brain), half);
    }
    assert_true(f16_to_float(0x3C00) == 1.0f && f16_to_float(0x0001) == 0x1p-24f && f16_to_float(0x7BFF) == 65504.0f);
    assert_true(f16_to_float(0xFC00) == -1.0f / 0.0f && f16_to_float(0x83FF) == -0x1.ff8p-15f);
    assert_int_equal(float_to_f16(65519.99f), 0x7BFF);
    assert_int_equal(float_to_f16(65520.0f), 0x7C00); // half way rounds to even, which is infinity
    assert_int_equal(float_to_f16(0x1p-25f), 0);
    assert_int_equal(float_to_f16(0x1.8p-25f), 1);
    assert_int_equal(float_to_f16(0x1.8p-24f), 2);
    assert_int_equal(float_to_f16(1.0f + 0x1p-11f), 0x3C00);
    assert_int_equal(float_to_f16(1.0f + 0x1.8p-10f), 0x3C02);
    assert_int_equal(float_to_bf16(1.0f + 0x1p-8f), 0x3F80);
    assert_int_equal(float_to_bf16(1.0f + 0x1.8p-7f), 0x3F82);
    assert_true(float_rounded(DTYPE_F32, 0.1f) == 0.1f && float_rounded(DTYPE_BF16, 0.1f) != 0.1f);
    const unsigned char odd[] = {9, 0x00, 0x3C, 0x80, 0x3F, 0x00, 0xC0};
    float out[3];
    floats_from(DTYPE_F16, odd + 1, 3, out);
    assert_true(out[0] == 1.0f && out[2] == -2.0f);
    floats_from(DTYPE_BF16, odd + 3, 2, out);
    assert_true(out[0] == 1.0f && out[1] == -2.0f);
    floats_from(DTYPE_F32, odd + 3, 1, out);
    assert_true(out[0] == -0x1.007fp+1f);
    floats_from(DTYPE_F16, NULL, 0, out);
    assert_string_equal(dtype_name(DTYPE_BF16), "BF16");
    assert_int_equal(dtype_bytes(DTYPE_OTHER), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_lengths), cmocka_unit_test(file_lengths), cmocka_unit_test(offsets),
        cmocka_unit_test(shapes),         cmocka_unit_test(schema),       cmocka_unit_test(entries),
        cmocka_unit_test(nesting),        cmocka_unit_test(names),        cmocka_unit_test(contents),
        cmocka_unit_test(other_files),    cmocka_unit_test(many_tensors), cmocka_unit_test(number_formats),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
