#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/os.h"
#include "base/utf8.h"
#include "tests/runner.h"

static void test_lines(void) {
    Str rest = S("one\r\ntwo\n\nlast"), line;
    CHECK(str_next_line(&rest, &line));
    CHECK_STR(line, S("one"));
    CHECK(str_next_line(&rest, &line));
    CHECK_STR(line, S("two"));
    CHECK(str_next_line(&rest, &line));
    CHECK_STR(line, S(""));
    CHECK(str_next_line(&rest, &line));
    CHECK_STR(line, S("last"));
    CHECK(!str_next_line(&rest, &line));
}

static void test_search(void) {
    CHECK_INT(str_find(S("abcabc"), S("ca"), 0), 2);
    CHECK(str_find(S("abc"), S("d"), 0) == STR_NONE);
    CHECK(str_find(S("abc"), S("abc"), 1) == STR_NONE);
    CHECK_INT(str_rfind_char(S("a/b/c"), '/'), 3);
    CHECK_STR(str_trim(S(" \t x y \r\n")), S("x y"));
    CHECK(str_cmp(S("ab"), S("abc")) < 0);
    CHECK(str_eq_nocase(S(".GIT"), S(".git")));
}

static void test_arena_and_list(void) {
    Arena arena = {0};
    int *items = NULL;
    size_t count = 0, capacity = 0;
    for (int i = 0; i < 100000; i++)
        LIST_PUSH(&arena, items, count, capacity, i);
    for (int i = 0; i < 100000; i += 997)
        CHECK_INT(items[i], i);
    CHECK_STR(str_printf(&arena, "%d-%s", 7, "x"), S("7-x"));
    arena_free(&arena);
    CHECK_INT(arena.used_bytes, 0);
}

static void test_utf8(void) {
    CHECK(utf8_valid(S("h\xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80")));
    CHECK(!utf8_valid(S("\xC0\xAF")));     /* overlong */
    CHECK(!utf8_valid(S("\xED\xA0\x80"))); /* surrogate */
    CHECK(!utf8_valid(S("\xF4\x90\x80\x80")));
    CHECK_INT(utf8_complete(S("ab\xE2\x82")), 2);
    CHECK_INT(utf8_complete(S("ab\xE2\x82\xAC")), 5);
    CHECK_INT(utf8_complete(S("ab\xFF")), 3);
    Buf out = {0};
    utf8_repair(S("a\xFF"
                  "b\xE2\x82"),
                &out);
    CHECK_STR(buf_text(&out), S("a\xEF\xBF\xBD"
                                "b\xEF\xBF\xBD\xEF\xBF\xBD"));
    buf_clear(&out);
    utf8_put(&out, 0x1F600);
    size_t at = 0;
    CHECK_INT(utf8_next(buf_text(&out), &at), 0x1F600);
    buf_free(&out);
}

static void test_files(void) {
    Arena arena = {0};
    Err err = {0};
    Str path = str_printf(&arena, "%s/a", test_tmp()), text;
    CHECK_OK(os_write_file(path.ptr, S("hello"), &err), err);
    CHECK_OK(os_read_file(path.ptr, 100, &arena, &text, &err), err);
    CHECK_STR(text, S("hello"));
    CHECK(!os_read_file(path.ptr, 4, &arena, &text, &err));
    CHECK_INT(err.code, ERR_LIMIT);
    CHECK(!os_read_file(test_tmp(), 100, &arena, &text, &err));
    CHECK(!os_read_file(str_printf(&arena, "%s/none/x", test_tmp()).ptr, 100, &arena, &text, &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    MappedFile map;
    CHECK_OK(os_map(path.ptr, &map, &err), err);
    CHECK_STR(map.bytes, S("hello"));
    os_unmap(&map);
    arena_free(&arena);
}

static void test_errors(void) {
    Err err = {0};
    CHECK(!err_set(&err, ERR_IO, "cannot read %s", "x"));
    CHECK(!err_wrap(&err, "loading %d", 7));
    CHECK_STR(str_of(err.text), S("loading 7: cannot read x"));
    char longer[600];
    memset(longer, 'y', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    err_wrap(&err, "%.505s", longer);
    CHECK(strlen(err.text) < sizeof err.text);
    err_wrap(&err, "%s", longer);
    CHECK_INT(strlen(err.text), sizeof err.text - 1);
    err_set_errno(&err, 2, "cannot open %s", "f");
    CHECK_STR(str_of(err.text), S("cannot open f: No such file or directory"));
    CHECK(!err_set(NULL, ERR_IO, "ignored"));
}

static const TestCase CASES[] = {
    {"errors", test_errors}, {"lines", test_lines},
    {"search", test_search}, {"arena_and_list", test_arena_and_list},
    {"utf8", test_utf8},     {"files", test_files},
};
TEST_SUITE(BASE_STR_SUITE, "base", CASES);
