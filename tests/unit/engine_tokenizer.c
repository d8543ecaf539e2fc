/* Tokenizers against llama.cpp's vectors where the shared data is, and against small vocabularies of our own.
 */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/os.h"
#include "engine/gguf.h"
#include "engine/tokenizer_internal.h"
#include "tests/runner.h"

/* pre replaces the pre-tokenizer the file names, unless it is empty. */
static Tokenizer *open_vocabulary(Arena *arena, Str path, Str pre) {
    Err err = {0};
    Gguf *g = gguf_open(str_cstr(arena, path), &err);
    CHECK_OK(g != NULL, err);
    TokenizerSource s = {
        .model = gguf_string(g, S("tokenizer.ggml.model"), S("")),
        .pre = gguf_string(g, S("tokenizer.ggml.pre"), S("")),
        .name = gguf_string(g, S("general.name"), S("")),
        .bos = (int32_t)gguf_int(g, S("tokenizer.ggml.bos_token_id"), -1),
        .eos = (int32_t)gguf_int(g, S("tokenizer.ggml.eos_token_id"), -1),
        .eot = (int32_t)gguf_int(g, S("tokenizer.ggml.eot_token_id"), -1),
        .eom = (int32_t)gguf_int(g, S("tokenizer.ggml.eom_token_id"), -1),
        .unknown = (int32_t)gguf_int(g, S("tokenizer.ggml.unknown_token_id"), -1),
        .pad = (int32_t)gguf_int(g, S("tokenizer.ggml.padding_token_id"), -1),
        .add_bos = gguf_bool(g, S("tokenizer.ggml.add_bos_token"), false),
        .has_add_bos = gguf_find(g, S("tokenizer.ggml.add_bos_token")) != NULL,
        .add_space_prefix = gguf_bool(g, S("tokenizer.ggml.add_space_prefix"), false),
        .has_add_space_prefix = gguf_find(g, S("tokenizer.ggml.add_space_prefix")) != NULL,
    };
    size_t types, scores;
    s.tokens = gguf_strings(g, S("tokenizer.ggml.tokens"), arena, &s.token_count);
    s.types = gguf_int32s(g, S("tokenizer.ggml.token_type"), arena, &types);
    s.scores = gguf_floats(g, S("tokenizer.ggml.scores"), arena, &scores);
    s.merges = gguf_strings(g, S("tokenizer.ggml.merges"), arena, &s.merge_count);
    s.pre = pre.len ? pre : s.pre;
    CHECK(!s.types || types == s.token_count);
    CHECK(!s.scores || scores == s.token_count);
    Tokenizer *t = tokenizer_open(&s, &err);
    CHECK_OK(t != NULL, err);
    gguf_close(g);
    return t;
}

static Str list_text(Arena *arena, const int32_t *ids, size_t count) {
    Buf b = {0};
    for (size_t i = 0; i < count; i++)
        buf_printf(&b, "%s%d", i ? " " : "", ids[i]);
    Str text = buf_copy(&b, arena);
    buf_free(&b);
    return text;
}

static Str json_ids(Arena *arena, const Json *array) {
    TokenList list = {0};
    JSON_EACH(item, array)
    tokens_push(&list, (int32_t)item->valuedouble);
    Str text = list_text(arena, list.ids, list.count);
    tokens_free(&list);
    return text;
}

static void check_encode(Arena *arena, const Tokenizer *t, Str text, unsigned flags, Str expected) {
    TokenList list = {0};
    tokenizer_encode(t, text, flags, &list);
    Str actual = list_text(arena, list.ids, list.count);
    tokens_free(&list);
    CHECK_MSG(str_eq(actual, expected), "text \"%.*s\" flags %u\n  got      %.*s\n  expected %.*s",
              STR_ARG(text), flags, STR_ARG(actual), STR_ARG(expected));
}

static Json *read_json(Arena *arena, Str path) {
    Err err = {0};
    Str text;
    CHECK_OK(os_read_file(str_cstr(arena, path), 64 << 20, arena, &text, &err), err);
    Json *json = json_parse(text, &err);
    CHECK_OK(json != NULL, err);
    return json;
}

static void check_vectors(Arena *arena, const Tokenizer *t, Str path) {
    Json *json = read_json(arena, path);
    size_t count = 0;
    JSON_EACH(vector, json_find(json, "vectors")) {
        Str plain = json_ids(arena, json_find(vector, "tokens"));
        const Json *special = json_find(vector, "tokens_special");
        check_encode(arena, t, json_str(vector, "text"), TOKENIZE_PLAIN, plain);
        check_encode(arena, t, json_str(vector, "text"), TOKENIZE_SPECIAL,
                     special ? json_ids(arena, special) : plain);
        count++;
    }
    CHECK(count > 0);
    json_free(json);
}

/* llama.cpp's own pairs: texts separated by a line of their own, a line of ids for each. */
static void check_pairs(Arena *arena, const Tokenizer *t, Str vocabulary) {
    static const Str BETWEEN = STR_INIT("\n__ggml_vocab_test__\n");
    Err err = {0};
    Str in, out, line;
    Str in_path = str_concat(arena, vocabulary, S(".inp")),
        out_path = str_concat(arena, vocabulary, S(".out"));
    CHECK_OK(os_read_file(str_cstr(arena, in_path), 1 << 20, arena, &in, &err), err);
    CHECK_OK(os_read_file(str_cstr(arena, out_path), 1 << 20, arena, &out, &err), err);
    size_t count = 0;
    while (str_next_line(&out, &line)) {
        size_t end = str_find(in, BETWEEN, 0);
        Str text = str_slice(in, 0, end == STR_NONE ? in.len : end);
        in = str_from(in, end == STR_NONE ? in.len : end + BETWEEN.len);
        check_encode(arena, t, text, TOKENIZE_PLAIN, str_trim(line));
        count++;
    }
    CHECK(count > 40);
}

static void check_vocabulary(const char *name, bool has_pairs) {
    Arena arena = {0};
    Str path = test_shared(&arena, str_printf(&arena, "tokenizers/ggml-vocab-%s.gguf", name).ptr);
    Tokenizer *t = open_vocabulary(&arena, path, S(""));
    if (has_pairs)
        check_pairs(&arena, t, path);
    check_vectors(&arena, t, str_concat(&arena, str_slice(path, 0, path.len - 5), S(".vectors.json")));
    tokenizer_close(t);
    arena_free(&arena);
}

static void test_gpt2(void) {
    check_vocabulary("gpt-2", true);
}
static void test_qwen2(void) {
    check_vocabulary("qwen2", true);
}
static void test_llama_bpe(void) {
    check_vocabulary("llama-bpe", true);
}
static void test_starcoder(void) {
    check_vocabulary("starcoder", true);
}
static void test_refact(void) {
    check_vocabulary("refact", true);
}
static void test_deepseek_coder(void) {
    check_vocabulary("deepseek-coder", true);
}
static void test_deepseek_llm(void) {
    check_vocabulary("deepseek-llm", true);
}
static void test_falcon(void) {
    check_vocabulary("falcon", true);
}
static void test_mpt(void) {
    check_vocabulary("mpt", true);
}
static void test_gpt_neox(void) {
    check_vocabulary("gpt-neox", false);
}
static void test_llama_spm(void) {
    check_vocabulary("llama-spm", true);
}
static void test_phi3(void) {
    check_vocabulary("phi-3", true);
}
static void test_baichuan(void) {
    check_vocabulary("baichuan", false);
}

static Str own_vectors(Arena *arena, const char *name) {
    return str_printf(arena, "%s/tests/vectors/tokenizer/%s", test_source_dir(), name);
}

/* The model that ships with the program. */
static void test_mux_tiny(void) {
    Arena arena = {0};
    Str path = str_printf(&arena, "%s/engine/tiny/mux-tiny-q8_0.gguf", test_source_dir());
    Tokenizer *t = open_vocabulary(&arena, path, S(""));
    check_vectors(&arena, t, own_vectors(&arena, "mux-tiny.json"));
    CHECK(tokenizer_is_end(t, tokenizer_eos(t)));
    CHECK_STR(tokenizer_bytes(t, tokenizer_eos(t)), S("<|im_end|>"));
    CHECK_INT(tokenizer_find(t, S("<|12|>")), tokenizer_find(t, S("<|1|>")) + 11);
    tokenizer_close(t);
    arena_free(&arena);
}

/* One large vocabulary under the rules of every family. */
static void test_families(void) {
    Arena arena = {0};
    Str path = test_shared(&arena, "tokenizers/ggml-vocab-qwen2.gguf");
    Json *json = read_json(&arena, own_vectors(&arena, "families.json"));
    size_t families = 0;
    JSON_EACH(family, json_find(json, "ids")) {
        Tokenizer *t = open_vocabulary(&arena, path, str_of(family->string));
        const Json *text = json_find(json, "texts")->child;
        JSON_EACH(ids, family) {
            CHECK(text != NULL);
            check_encode(&arena, t, json_str_value(text), TOKENIZE_PLAIN, json_ids(&arena, ids));
            text = text->next;
        }
        tokenizer_close(t);
        families++;
    }
    CHECK(families >= 8);
    json_free(json);
    arena_free(&arena);
}

static void join_piece(void *context, const char *piece, size_t len) {
    Buf *joined = context;
    buf_append(joined, piece, len);
    buf_char(joined, '\x1F');
}

/* Where each family cuts. */
static void test_pieces(void) {
    Arena arena = {0};
    Json *json = read_json(&arena, own_vectors(&arena, "pieces.json"));
    size_t count = 0;
    JSON_EACH(family, json) {
        const PreTokenizer *pre = pretokenizer_find(str_of(family->string));
        CHECK_MSG(pre != NULL, "%s", family->string);
        JSON_EACH(pieces, family) {
            Buf text = {0}, expected = {0}, actual = {0};
            JSON_EACH(piece, pieces) {
                Str s = json_str_value(piece);
                buf_str(&text, s);
                join_piece(&expected, s.ptr, s.len);
            }
            pretokenize(pre, buf_text(&text), join_piece, &actual);
            CHECK_MSG(str_eq(buf_text(&actual), buf_text(&expected)), "%s\n  got      %.*s\n  expected %.*s",
                      family->string, STR_ARG(buf_text(&actual)), STR_ARG(buf_text(&expected)));
            buf_free(&text);
            buf_free(&expected);
            buf_free(&actual);
            count++;
        }
    }
    CHECK(count > 100);
    json_free(json);
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"gpt-2", test_gpt2},
    {"qwen2", test_qwen2},
    {"llama-bpe", test_llama_bpe},
    {"starcoder", test_starcoder},
    {"refact", test_refact},
    {"deepseek-coder", test_deepseek_coder},
    {"deepseek-llm", test_deepseek_llm},
    {"falcon", test_falcon},
    {"mpt", test_mpt},
    {"gpt-neox", test_gpt_neox},
    {"llama-spm", test_llama_spm},
    {"phi-3", test_phi3},
    {"baichuan", test_baichuan},
    {"families", test_families},
    {"mux-tiny", test_mux_tiny},
    {"pieces", test_pieces},
};
TEST_SUITE(ENGINE_TOKENIZER_SUITE, "tokenizer", CASES);
