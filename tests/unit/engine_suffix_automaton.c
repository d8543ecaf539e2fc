#include "engine/suffix_automaton.h"

#include <string.h>

#include "base/buf.h"
#include "tests/runner.h"

static Str random_text(Arena *arena, size_t lines, unsigned letters) {
    Buf out = {0};
    for (size_t i = 0; i < lines; i++) {
        for (size_t n = test_random() % 4; n > 0; n--)
            buf_char(&out, (char)("\tab\xff"[test_random() % letters]));
        buf_char(&out, '\n');
    }
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static uint32_t count_naively(Str text, Str needle) {
    uint32_t count = 0;
    for (size_t i = 0; i + needle.len <= text.len; i++)
        if ((i == 0 || text.ptr[i - 1] == '\n') && i < text.len)
            count += memcmp(text.ptr + i, needle.ptr, needle.len) == 0;
    return count;
}

/* Every byte is tried in every state along a random walk. */
static void walk_once(const SuffixAutomaton *a) {
    char path[256];
    SuffixState state = suffix_start(a);
    while (state.length + 1 < sizeof path) {
        int next = -1;
        for (int b = 0; b < 256; b++) {
            SuffixState try = state;
            path[state.length] = (char)b;
            uint32_t expected = count_naively(a->text, (Str){path, state.length + 1});
            bool stepped = suffix_step(a, &try, (uint8_t)b);
            CHECK_INT(stepped, expected > 0);
            if (stepped)
                CHECK_INT(try.last - try.first, expected);
            else
                CHECK(memcmp(&try, &state, sizeof state) == 0);
            if (stepped && (next < 0 || test_random() % 2))
                next = b;
        }
        if (next < 0)
            break;
        path[state.length] = (char)next;
        CHECK(suffix_step(a, &state, (uint8_t)next));
        uint32_t place = a->begins[a->order[state.first + test_random() % (state.last - state.first)]];
        CHECK(memcmp(a->text.ptr + place, path, state.length) == 0);
    }
}

static void test_against_naive_search(void) {
    for (int round = 0; round < 300; round++) {
        Arena arena = {0};
        Err err = {0};
        SuffixAutomaton a;
        Str text = random_text(&arena, test_random() % 20, 1 + (unsigned)(test_random() % 4));
        CHECK_OK(suffix_automaton_build(&a, text, &arena, &err), err);
        walk_once(&a);
        arena_free(&arena);
    }
}

static void test_unique_lines(void) {
    for (int round = 0; round < 300; round++) {
        Arena arena = {0};
        Err err = {0};
        SuffixAutomaton a;
        Str text = random_text(&arena, 1 + test_random() % 30, 1 + (unsigned)(test_random() % 3));
        CHECK_OK(suffix_automaton_build(&a, text, &arena, &err), err);
        for (uint32_t i = 0; i < a.line_count; i++) {
            uint32_t line = a.order[i], lines = 1;
            while (line + lines <= a.line_count &&
                   count_naively(text, str_slice(text, a.begins[line], a.begins[line + lines])) > 1)
                lines++;
            CHECK_INT(a.unique[i], line + lines <= a.line_count ? lines : 0);
        }
        arena_free(&arena);
    }
}

static void test_ten_thousand_equal_lines(void) {
    Arena arena = {0};
    Err err = {0};
    Buf text = {0};
    SuffixAutomaton a;
    for (int i = 0; i < 10000; i++)
        buf_cstr(&text, "x\n");
    CHECK_OK(suffix_automaton_build(&a, buf_text(&text), &arena, &err), err);
    SuffixState state = suffix_start(&a);
    for (uint32_t i = 0; i < 20000; i++)
        CHECK(suffix_step(&a, &state, i % 2 ? '\n' : 'x'));
    CHECK_INT(state.last - state.first, 1);
    CHECK(!suffix_step(&a, &state, 'x'));
    buf_free(&text);
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"against_naive_search", test_against_naive_search},
    {"unique_lines", test_unique_lines},
    {"ten_thousand_equal_lines", test_ten_thousand_equal_lines},
};
TEST_SUITE(ENGINE_SUFFIX_AUTOMATON_SUITE, "suffix_automaton", CASES);
