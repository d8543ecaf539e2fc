#include <string.h>

#include "base/os.h"
#include "diff/diff.h"
#include "tests/runner.h"

static Str random_text(Arena *arena, size_t most_lines, int letters) {
    Buf text = {0};
    size_t lines = test_random() % (most_lines + 1);
    for (size_t i = 0; i < lines; i++) {
        buf_char(&text, (char)('a' + test_random() % (uint64_t)letters));
        if (test_random() % 16 == 0)
            buf_char(&text, '\r');
        if (i + 1 < lines || test_random() % 4)
            buf_char(&text, '\n');
    }
    Str s = buf_copy(&text, arena);
    buf_free(&text);
    return s;
}

static Str keep_all(const Hunks *hunks, Arena *arena) {
    bool *keep = ARENA_ARRAY(arena, bool, hunks->count + 1);
    memset(keep, 1, hunks->count);
    Str out;
    Err err = {0};
    CHECK_OK(diff_keep(hunks, keep, arena, &out, &err), err);
    return out;
}

static void diff_then_apply_is_identity(void) {
    for (int round = 0; round < 20000; round++) {
        Arena arena = {0};
        Hunks hunks;
        Err err = {0};
        int letters = 1 + (int)(test_random() % 5);
        Str a = random_text(&arena, 24, letters), b = random_text(&arena, 24, letters);
        CHECK_OK(diff_lines(S(""), a, b, &arena, &hunks, &err), err);
        CHECK_STR(keep_all(&hunks, &arena), b);
        for (size_t i = 0; i < hunks.count; i++) {
            const Hunk *h = &hunks.items[i];
            CHECK(h->old_count + h->new_count > 0);
            CHECK(i == 0 || h->old_start > h[-1].old_start + h[-1].old_count);
        }
        arena_free(&arena);
    }
}

/* The length of the longest common subsequence, by the textbook table. */
static size_t common_lines(Str a, Str b) {
    size_t table[32][32] = {{0}}, n = 0, m = 0;
    Str left[32], right[32];
    for (Str rest = a; rest.len; n++) {
        size_t end = str_find_char(rest, '\n', 0);
        left[n] = str_slice(rest, 0, end == STR_NONE ? rest.len : end + 1);
        rest = str_from(rest, left[n].len);
    }
    for (Str rest = b; rest.len; m++) {
        size_t end = str_find_char(rest, '\n', 0);
        right[m] = str_slice(rest, 0, end == STR_NONE ? rest.len : end + 1);
        rest = str_from(rest, right[m].len);
    }
    for (size_t i = 1; i <= n; i++)
        for (size_t j = 1; j <= m; j++) {
            size_t best = table[i - 1][j] > table[i][j - 1] ? table[i - 1][j] : table[i][j - 1];
            size_t both = table[i - 1][j - 1] + 1;
            table[i][j] = str_eq(left[i - 1], right[j - 1]) && both > best ? both : best;
        }
    return n + m - 2 * table[n][m];
}

static void script_is_shortest(void) {
    for (int round = 0; round < 5000; round++) {
        Arena arena = {0};
        Hunks hunks;
        size_t added, removed;
        Str a = random_text(&arena, 24, 4), b = random_text(&arena, 24, 4);
        CHECK(diff_lines(S(""), a, b, &arena, &hunks, NULL));
        diff_count(&hunks, &added, &removed);
        CHECK_INT(added + removed, common_lines(a, b));
        arena_free(&arena);
    }
}

/* All subsets of the hunks of small cases, against the replacement done from the last hunk to the first. */
static void keep_takes_any_subset(void) {
    for (int round = 0; round < 300; round++) {
        Arena arena = {0};
        Hunks hunks;
        CHECK(
            diff_lines(S(""), random_text(&arena, 12, 3), random_text(&arena, 12, 3), &arena, &hunks, NULL));
        CHECK(hunks.count < 12);
        for (unsigned set = 0; set < 1u << hunks.count; set++) {
            bool keep[12];
            Str expected = hunks.before, actual;
            for (size_t i = hunks.count; i-- > 0;) {
                const Hunk *h = &hunks.items[i];
                keep[i] = set >> i & 1;
                if (keep[i])
                    expected = str_concat(&arena, str_slice(expected, 0, h->old_begin),
                                          str_concat(&arena, str_slice(hunks.after, h->new_begin, h->new_end),
                                                     str_from(expected, h->old_end)));
            }
            CHECK(diff_keep(&hunks, keep, &arena, &actual, NULL));
            CHECK_STR(actual, expected);
        }
        arena_free(&arena);
    }
}

static void ids_survive_a_second_comparison(void) {
    Arena arena = {0};
    Hunks one, two;
    Str a = S("a\nb\nc\nd\ne\n"), b = S("a\nB\nc\nd\nE\n"), c = S("a\nB\nc\nd\ne\n");
    CHECK(diff_lines(S(""), a, b, &arena, &one, NULL) && diff_lines(S(""), a, c, &arena, &two, NULL));
    CHECK_INT(one.count, 2);
    CHECK_INT(two.count, 1);
    CHECK(one.items[0].id == two.items[0].id);
    CHECK(one.items[0].id != one.items[1].id);
    arena_free(&arena);
}

static Str printed(Str before, Str after, int context, Arena *arena) {
    FileDiff file = {.old_path = S("f"), .new_path = S("f")};
    Buf out = {0};
    CHECK(diff_lines(S(""), before, after, arena, &file.hunks, NULL));
    diff_print(&file, context, &out);
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static void hunks_stand_at_block_starts(void) {
    Arena arena = {0};
    CHECK_STR(printed(S("int a() {\n    x;\n}\n\nint c() {\n    x;\n}\n"),
                      S("int a() {\n    x;\n}\n\nint b() {\n    x;\n}\n\nint c() {\n    x;\n}\n"), 1, &arena),
              S("diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -4,2 +4,6 @@ int a() {\n \n+int b() {\n+    x;\n+}\n+\n int "
                "c() {\n"));
    arena_free(&arena);
}

/* Inputs that are slow for careless comparison; the budget is in lines read back, not in time. */
static void odd_large_texts(void) {
    Arena arena = {0};
    for (int kind = 0; kind < 4; kind++) {
        Buf a = {0}, b = {0};
        Hunks hunks;
        for (int i = 0; i < 40000; i++) {
            unsigned x = (unsigned)(test_random() % (kind == 2 ? 2 : 50)),
                     y = (unsigned)(test_random() % (kind == 2 ? 2 : 50));
            buf_printf(&a, "%d\n", kind == 0 ? 1 : kind == 1 ? i : (int)x);
            if (kind != 0 || i % 2)
                buf_printf(&b, "%d\n", kind == 0 ? 1 : kind == 1 ? -1 - i : (int)y);
        }
        CHECK(diff_lines(S(""), buf_text(&a), buf_text(&b), &arena, &hunks, NULL));
        CHECK_STR(keep_all(&hunks, &arena), buf_text(&b));
        buf_free(&a);
        buf_free(&b);
    }
    arena_free(&arena);
}

static const TestCase CASES[] = {{"diff_then_apply_is_identity", diff_then_apply_is_identity},
                                 {"script_is_shortest", script_is_shortest},
                                 {"keep_takes_any_subset", keep_takes_any_subset},
                                 {"ids_survive_a_second_comparison", ids_survive_a_second_comparison},
                                 {"hunks_stand_at_block_starts", hunks_stand_at_block_starts},
                                 {"odd_large_texts", odd_large_texts}};
TEST_SUITE(DIFF_COMPARE_SUITE, "compare", CASES);
