/* GGUF files: what a good one says, and that no bad one does more than earn a sentence. */
#include "engine/gguf.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "engine/weights.h"
#include "tests/runner.h"
#include "tests/unit/engine_support.h"

/* A file of a few hundred bytes that has every kind of entry. */
static void small_file(Buf *out) {
    buf_str(out, S("GGUF"));
    put_u32(out, 3);
    put_u64(out, 2);
    put_u64(out, 7);
    put_pair_u32(out, S("general.alignment"), 32);
    put_pair_string(out, S("a.text"), S("hello"));
    put_pair_f32(out, S("a.real"), 2.5f);
    put_string(out, S("a.flag"));
    put_u32(out, 7);
    buf_char(out, 1);
    put_string(out, S("a.small"));
    put_u32(out, 3);
    buf_append(out, "\xfe\xff", 2); /* i16 -2 */
    put_string(out, S("a.words"));
    put_u32(out, 9);
    put_u32(out, 8);
    put_u64(out, 2);
    put_string(out, S("one"));
    put_string(out, S(""));
    put_string(out, S("a.nested")); /* [[1, 2], [3]] of u8 */
    put_u32(out, 9);
    put_u32(out, 9);
    put_u64(out, 2);
    put_u32(out, 0);
    put_u64(out, 2);
    buf_append(out, "\1\2", 2);
    put_u32(out, 0);
    put_u64(out, 1);
    buf_append(out, "\3", 1);
    put_string(out, S("m"));
    put_u32(out, 2);
    put_u64(out, 4);
    put_u64(out, 2);
    put_u32(out, DTYPE_F32);
    put_u64(out, 0);
    put_string(out, S("v"));
    put_u32(out, 1);
    put_u64(out, 3);
    put_u32(out, DTYPE_F16);
    put_u64(out, 32);
    while (out->len % 32)
        buf_char(out, 0);
    for (int i = 0; i < 8; i++) {
        float value = (float)i;
        buf_append(out, &value, sizeof value);
    }
    buf_append(out, "\0\x3c\0\x40\0\xc0", 6); /* 1, 2, -2 */
}

static void reads_what_is_there(void) {
    Err err = {0};
    Arena arena = {0};
    Buf bytes = {0};
    size_t count;
    small_file(&bytes);
    Gguf *g = gguf_open_bytes(buf_text(&bytes), "small", &err);
    CHECK_OK(g != NULL, err);
    CHECK_INT(gguf_pair_count(g), 7);
    CHECK_STR(gguf_string(g, S("a.text"), S("")), S("hello"));
    CHECK_INT(gguf_int(g, S("a.small"), 0), -2);
    CHECK_INT(gguf_int(g, S("a.flag"), 0), 1);
    CHECK(gguf_bool(g, S("a.flag"), false));
    CHECK(gguf_number(g, S("a.real"), 0) == 2.5);
    CHECK_INT(gguf_int(g, S("a.real"), 77), 77);
    CHECK_INT(gguf_int(g, S("a.text"), 77), 77);
    CHECK_INT(gguf_int(g, S("a.absent"), 77), 77);
    const Str *words = gguf_strings(g, S("a.words"), &arena, &count);
    CHECK_INT(count, 2);
    CHECK_STR(words[0], S("one"));
    CHECK_STR(words[1], S(""));
    CHECK(gguf_strings(g, S("a.nested"), &arena, &count) == NULL && count == 0);
    CHECK(gguf_floats(g, S("a.nested"), &arena, &count) == NULL && count == 0);
    const GgufTensor *m = gguf_find_tensor(g, S("m"));
    CHECK(m && m->dimensions[0] == 4 && m->dimensions[1] == 2 && m->dimensions[2] == 1);
    CHECK_INT(m->bytes, 32);
    CHECK(gguf_find_tensor(g, S("w")) == NULL);
    gguf_close(g);
    buf_free(&bytes);
    arena_free(&arena);
}

static void every_truncation_is_refused(void) {
    Buf bytes = {0};
    small_file(&bytes);
    for (size_t n = 0; n < bytes.len; n++) {
        Err err = {0};
        char *exact = malloc(n + 1); /* an exact block, so that a sanitizer sees any step beyond it */
        memcpy(exact, bytes.ptr, n);
        exact = realloc(exact, n ? n : 1);
        Gguf *g = gguf_open_bytes((Str){exact, n}, "cut", &err);
        CHECK_MSG(!g && err.code != ERR_NONE && err.text[0], "%zu of %zu bytes were taken", n, bytes.len);
        free(exact);
    }
    buf_free(&bytes);
}

/* Whatever a changed byte does, opening and reading everything must stay inside the file. */
static void changed_bytes_do_no_harm(void) {
    static const uint8_t VALUES[] = {0, 1, 0x7f, 0x80, 0xff};
    Buf bytes = {0};
    small_file(&bytes);
    for (size_t at = 0; at < bytes.len; at++) {
        char kept = bytes.ptr[at];
        for (size_t v = 0; v < sizeof VALUES; v++) {
            Arena arena = {0};
            size_t count;
            bytes.ptr[at] = (char)VALUES[v];
            Gguf *g = gguf_open_bytes(buf_text(&bytes), "changed", NULL);
            for (size_t i = 0; g && i < gguf_pair_count(g); i++) {
                Str key = gguf_pair(g, i)->key;
                gguf_strings(g, key, &arena, &count);
                gguf_floats(g, key, &arena, &count);
                gguf_string(g, key, S(""));
            }
            gguf_close(g);
            arena_free(&arena);
        }
        bytes.ptr[at] = kept;
    }
    buf_free(&bytes);
}

static void check_refused(const Buf *bytes, const char *mention) {
    Err err = {0};
    Gguf *g = gguf_open_bytes(buf_text(bytes), "bad.gguf", &err);
    CHECK_MSG(g == NULL, "was taken, though: %s", mention);
    CHECK_MSG(strstr(err.text, mention), "said \"%s\", nothing of \"%s\"", err.text, mention);
    CHECK_MSG(strstr(err.text, "bad.gguf"), "said \"%s\", which names no file", err.text);
}

static void begin(Buf *out, uint32_t version, uint64_t tensors, uint64_t pairs) {
    buf_clear(out);
    buf_str(out, S("GGUF"));
    put_u32(out, version);
    put_u64(out, tensors);
    put_u64(out, pairs);
}

static void one_tensor(Buf *out, const uint64_t *dimensions, uint32_t count, uint32_t type, uint64_t offset) {
    put_string(out, S("t"));
    put_u32(out, count);
    for (uint32_t i = 0; i < count; i++)
        put_u64(out, dimensions[i]);
    put_u32(out, type);
    put_u64(out, offset);
    buf_repeat(out, 0, 256);
}

static void lies_in_the_header_are_refused(void) {
    Buf b = {0};
    check_refused(&b, "GGUF");
    buf_str(&b, S("GGML\3\0\0\0"));
    check_refused(&b, "does not start");
    begin(&b, 1, 0, 0);
    check_refused(&b, "version 1");
    begin(&b, 0x03000000, 0, 0);
    check_refused(&b, "big-endian");
    begin(&b, 3, UINT64_C(1) << 60, 0);
    check_refused(&b, "more entries");
    begin(&b, 3, 0, UINT64_MAX);
    check_refused(&b, "more entries");
    buf_free(&b);
}

static void lies_in_metadata_are_refused(void) {
    Buf b = {0};
    begin(&b, 3, 0, 1);
    put_u64(&b, UINT64_MAX - 3); /* key length */
    buf_repeat(&b, 'x', 64);
    check_refused(&b, "ends inside");
    begin(&b, 3, 0, 1);
    put_string(&b, S("k"));
    put_u32(&b, 9); /* an array of 2^62 u32: the product overflows */
    put_u32(&b, 4);
    put_u64(&b, UINT64_C(1) << 62);
    buf_repeat(&b, 0, 64);
    check_refused(&b, "ends inside the value of \"k\"");
    begin(&b, 3, 0, 1);
    put_string(&b, S("k"));
    put_u32(&b, 77);
    buf_repeat(&b, 0, 64);
    check_refused(&b, "type that does not exist");
    begin(&b, 3, 0, 1);
    put_string(&b, S("k"));
    put_u32(&b, 7);
    buf_char(&b, 2);
    buf_repeat(&b, 0, 64);
    check_refused(&b, "neither 0 nor 1");
    begin(&b, 3, 0, 1);
    put_string(&b, S("k"));
    for (int i = 0; i < 9; i++) { /* arrays in arrays */
        put_u32(&b, 9);
        if (i)
            put_u64(&b, 1);
    }
    buf_repeat(&b, 0, 64);
    check_refused(&b, "too deeply");
    begin(&b, 3, 0, 2);
    put_pair_u32(&b, S("twin"), 1);
    put_pair_u32(&b, S("twin"), 2);
    check_refused(&b, "\"twin\" occurs twice");
    begin(&b, 3, 0, 1);
    put_pair_u32(&b, S("general.alignment"), 24);
    check_refused(&b, "alignment of 24");
    buf_free(&b);
}

static void lies_about_tensors_are_refused(void) {
    Buf b = {0};
    begin(&b, 3, 1, 0);
    one_tensor(&b, (uint64_t[]){UINT64_C(1) << 40, UINT64_C(1) << 40}, 2, DTYPE_F32, 0);
    check_refused(&b, "overflows");
    begin(&b, 3, 1, 0);
    one_tensor(&b, (uint64_t[]){UINT64_C(1) << 62}, 1, DTYPE_F32, 0);
    check_refused(&b, "overflows");
    begin(&b, 3, 1, 0);
    one_tensor(&b, (uint64_t[]){0}, 1, DTYPE_F32, 0);
    check_refused(&b, "empty or negative");
    begin(&b, 3, 1, 0);
    one_tensor(&b, (uint64_t[]){4, 1, 1, 1, 1}, 5, DTYPE_F32, 0);
    check_refused(&b, "more than 4");
    begin(&b, 3, 1, 0);
    one_tensor(&b, (uint64_t[]){40}, 1, DTYPE_Q8_0, 0);
    check_refused(&b, "no multiple");
    begin(&b, 3, 1, 0);
    one_tensor(&b, (uint64_t[]){4}, 1, DTYPE_F32, 8);
    check_refused(&b, "not aligned");
    begin(&b, 3, 1, 0);
    one_tensor(&b, (uint64_t[]){4}, 1, DTYPE_F32, UINT64_C(1) << 63);
    check_refused(&b, "beyond the end");
    begin(&b, 3, 1, 0);
    one_tensor(&b, (uint64_t[]){4000}, 1, DTYPE_F32, 0);
    check_refused(&b, "beyond the end");
    buf_free(&b);
}

static void refused_files_leave_a_sentence(void) {
    Arena arena = {0};
    Err err = {0};
    CHECK(!gguf_open("/nonexistent/model.gguf", &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    CHECK(!gguf_open(test_tmp(), &err));
    CHECK(strstr(err.text, "not a regular file"));
    Str empty = str_printf(&arena, "%s/empty.gguf", test_tmp());
    CHECK_OK(os_write_file(empty.ptr, S(""), &err), err);
    CHECK(!gguf_open(empty.ptr, &err));
    CHECK(strstr(err.text, "does not start"));
    arena_free(&arena);
}

static void weights_are_checked_against_the_shape(void) {
    Err err = {0};
    Buf bytes = {0};
    Weights w;
    KernelError failure;
    small_file(&bytes);
    Gguf *g = gguf_open_bytes(buf_text(&bytes), "small.gguf", &err);
    Backend *backend = backend_open(&(BackendConfig){.name = "ref"}, &failure);
    CHECK_OK(g && backend, err);
    weights_open(&w, g, backend);
    CHECK(!weights_matrix(&w, "m", 0, 2, 4).data); /* the first round only counts */
    CHECK_OK(weights_place(&w, &err), err);
    const float *v = weights_vector(&w, "v", 0, 3); /* halves are widened */
    CHECK(v && v[0] == 1 && v[1] == 2 && v[2] == -2);
    Tensor m = weights_matrix(&w, "m", 0, 2, 4);
    CHECK(weights_ok(&w, &err) && ((float *)m.data)[5] == 5);
    CHECK(weights_optional_vector(&w, "absent.%d", 3, 3) == NULL && weights_ok(&w, &err));
    weights_matrix(&w, "m", 0, 4, 2);
    weights_matrix(&w, "absent", 0, 4, 2); /* the first failure is the one told */
    CHECK(!weights_ok(&w, &err));
    CHECK_MSG(strstr(err.text, "tensor m is 4 x 2"), "%s", err.text);
    weights_close(&w);
    backend_close(backend);
    gguf_close(g);
    buf_free(&bytes);
}

static const TestCase CASES[] = {
    {"reads what is there", reads_what_is_there},
    {"every truncation is refused", every_truncation_is_refused},
    {"changed bytes do no harm", changed_bytes_do_no_harm},
    {"lies in the header are refused", lies_in_the_header_are_refused},
    {"lies in metadata are refused", lies_in_metadata_are_refused},
    {"lies about tensors are refused", lies_about_tensors_are_refused},
    {"refused files leave a sentence", refused_files_leave_a_sentence},
    {"weights are checked against the shape", weights_are_checked_against_the_shape},
};
TEST_SUITE(ENGINE_GGUF_SUITE, "gguf", CASES);
