#include <string.h>

#include "base/os.h"
#include "diff/compare_internal.h"
#include "diff/diff.h"
#include "diff/hunks_internal.h"
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

/* Lines in at least one text only, by the textbook table of longest common subsequences. */
static size_t least_changes(Str a, Str b) {
    Arena arena = {0};
    LinePair pair;
    pair_open(a, b, &arena, &pair);
    size_t n = pair.a.count, m = pair.b.count;
    uint32_t *row = ARENA_ARRAY(&arena, uint32_t, m + 1);
    for (size_t i = 0; i < n; i++) {
        uint32_t diagonal = 0;
        for (size_t j = 0; j < m; j++) {
            uint32_t above = row[j + 1], best = above > row[j] ? above : row[j];
            bool is_equal = pair.a.names[i] != NAME_NONE && pair.a.names[i] == pair.b.names[j];
            row[j + 1] = is_equal && diagonal + 1 > best ? diagonal + 1 : best;
            diagonal = above;
        }
    }
    size_t least = n + m - 2 * (size_t)row[m];
    arena_free(&arena);
    return least;
}

static size_t changes(Str a, Str b, Arena *arena) {
    Hunks hunks;
    Err err = {0};
    size_t added, removed, back_added, back_removed;
    CHECK_OK(diff_lines(S("f"), a, b, arena, &hunks, &err), err);
    CHECK_STR(keep_all(&hunks, arena), b);
    diff_count(&hunks, &added, &removed);
    CHECK_OK(diff_lines(S("f"), b, a, arena, &hunks, &err), err);
    CHECK_STR(keep_all(&hunks, arena), a);
    diff_count(&hunks, &back_added, &back_removed);
    CHECK_MSG(back_added + back_removed <= (added + removed) * 21 / 20 + 1,
              "%zu lines one way, %zu the other", added + removed, back_added + back_removed);
    return added + removed;
}

static void script_is_shortest(void) {
    for (int round = 0; round < 5000; round++) {
        Arena arena = {0};
        Str a = random_text(&arena, 24, 4), b = random_text(&arena, 24, 4);
        CHECK_INT(changes(a, b, &arena), least_changes(a, b));
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
    Hunks one, two, elsewhere;
    Str a = S("a\nb\nc\nd\ne\n"), b = S("a\nB\nc\nd\nE\n"), c = S("a\nB\nc\nd\ne\n");
    CHECK(diff_lines(S("x"), a, b, &arena, &one, NULL) && diff_lines(S("x"), a, c, &arena, &two, NULL));
    CHECK(diff_lines(S("y"), a, b, &arena, &elsewhere, NULL));
    CHECK_INT(one.count, 2);
    CHECK_INT(two.count, 1);
    CHECK(one.items[0].id == two.items[0].id);
    CHECK(one.items[0].id != one.items[1].id);
    CHECK(one.items[0].id != elsewhere.items[0].id);
    arena_free(&arena);
}

/* Lines "0", "1", ... of which about one in `rare` is replaced, dropped or followed by new ones. */
static Str edited_lines(Arena *arena, size_t count, uint64_t rare, size_t *edits) {
    Buf text = {0};
    *edits = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t kind = test_random() % rare;
        if (kind == 0)
            buf_printf(&text, "new %zu\n", i);
        if (kind == 1)
            buf_printf(&text, "%zu\nmore\nand more %zu\n", i, i);
        if (kind > 2)
            buf_printf(&text, "%zu\n", i);
        *edits += kind < 3 ? 2 - kind / 2 : 0;
    }
    Str s = buf_copy(&text, arena);
    buf_free(&text);
    return s;
}

static Str numbered_lines(Arena *arena, size_t count) {
    Buf text = {0};
    for (size_t i = 0; i < count; i++)
        buf_printf(&text, "%zu\n", i);
    Str s = buf_copy(&text, arena);
    buf_free(&text);
    return s;
}

/* Hunks that were not taken do not change the ids of those that were. */
static void ids_do_not_depend_on_other_hunks(void) {
    Arena arena = {0};
    for (int round = 0; round < 50; round++) {
        Hunks all, some;
        size_t edits, at = 0;
        Str text, a = numbered_lines(&arena, 300), b = edited_lines(&arena, 300, 20, &edits);
        CHECK(diff_lines(S("f"), a, b, &arena, &all, NULL));
        bool *keep = ARENA_ARRAY(&arena, bool, all.count + 1);
        for (size_t i = 0; i < all.count; i++)
            keep[i] = test_random() % 2;
        CHECK(diff_keep(&all, keep, &arena, &text, NULL));
        CHECK(diff_lines(S("f"), a, text, &arena, &some, NULL));
        for (size_t i = 0; i < all.count; i++)
            if (keep[i]) {
                CHECK(at < some.count);
                CHECK(all.items[i].id == some.items[at++].id);
            }
        CHECK_INT(at, some.count);
    }
    arena_free(&arena);
}

/* The lines that are new, each before a line "|" where one hunk ends. */
static Str inserted(Str before, Str after, Arena *arena) {
    Hunks hunks;
    Buf out = {0};
    CHECK(diff_lines(S(""), before, after, arena, &hunks, NULL));
    for (size_t i = 0; i < hunks.count; i++) {
        CHECK_INT(hunks.items[i].old_count, 0);
        buf_str(&out, str_slice(after, hunks.items[i].new_begin, hunks.items[i].new_end));
        buf_cstr(&out, "|\n");
    }
    Str s = buf_copy(&out, arena);
    buf_free(&out);
    return s;
}

static void hunks_stand_at_block_starts(void) {
    Arena arena = {0};
    CHECK_STR(inserted(S("int a() {\n    x;\n}\n\nint c() {\n    x;\n}\n"),
                       S("int a() {\n    x;\n}\n\nint b() {\n    x;\n}\n\nint c() {\n    x;\n}\n"), &arena),
              S("int b() {\n    x;\n}\n\n|\n"));
    CHECK_STR(inserted(S("def a():\n    if x:\n        y()\n    return 1\n"),
                       S("def a():\n    if x:\n        y()\n    if z:\n        y()\n    return 1\n"), &arena),
              S("    if z:\n        y()\n|\n"));
    CHECK_STR(
        inserted(S("class A\n  # one\n  def one\n  end\n\n  # three\n  def three\n  end\nend\n"),
                 S("class A\n  # one\n  def one\n  end\n\n  # two\n  def two\n  end\n\n  # three\n  def "
                   "three\n  end\nend\n"),
                 &arena),
        S("  # two\n  def two\n  end\n\n|\n"));
    CHECK_STR(inserted(S("a\nb\n"), S("a\nb\na\nb\n"), &arena), S("a\nb\n|\n"));
    CHECK_STR(inserted(S("x\n"), S("\n\n\nx\n\n\n"), &arena), S("\n\n\n|\n\n\n|\n"));
    arena_free(&arena);
}

/* A hunk of one-byte lines with their line ends. */
static Hunk letters_hunk(size_t old_start, size_t old_count, size_t new_start, size_t new_count) {
    return (Hunk){.old_start = old_start,
                  .old_count = old_count,
                  .new_start = new_start,
                  .new_count = new_count,
                  .old_begin = 2 * old_start,
                  .old_end = 2 * (old_start + old_count),
                  .new_begin = 2 * new_start,
                  .new_end = 2 * (new_start + new_count)};
}

/* Two runs that can be slid together are one hunk, and one that can reach its counterpart stands there. */
static void hunks_meet(void) {
    Arena arena = {0};
    Hunk insertions[] = {letters_hunk(1, 0, 1, 1), letters_hunk(2, 0, 3, 1)};
    Hunks hunks = {S("a\nx\nb\n"), S("a\nx\nx\nx\nb\n"), insertions, 2};
    slide_hunks(&hunks);
    CHECK_INT(hunks.count, 1);
    CHECK_INT(hunks.items[0].new_count, 2);
    CHECK_STR(keep_all(&hunks, &arena), hunks.after);
    Hunk both[] = {letters_hunk(1, 1, 1, 0), letters_hunk(3, 0, 2, 1)};
    hunks = (Hunks){S("a\nx\nx\nb\n"), S("a\nx\nw\nb\n"), both, 2};
    slide_hunks(&hunks);
    CHECK_INT(hunks.count, 1);
    CHECK_INT(hunks.items[0].old_start, 2);
    CHECK_INT(hunks.items[0].old_count + hunks.items[0].new_count, 2);
    CHECK_STR(keep_all(&hunks, &arena), hunks.after);
    Hunk above[] = {letters_hunk(1, 0, 1, 1), letters_hunk(2, 1, 3, 0)};
    hunks = (Hunks){S("a\nx\nx\nb\n"), S("a\nw\nx\nb\n"), above, 2};
    slide_hunks(&hunks);
    CHECK_INT(hunks.count, 1);
    CHECK_INT(hunks.items[0].old_start, 1);
    CHECK_STR(keep_all(&hunks, &arena), hunks.after);
    for (int round = 0; round < 5000; round++) {
        Str a = random_text(&arena, 12, 2), b = random_text(&arena, 12, 2);
        CHECK(diff_lines(S(""), a, b, &arena, &hunks, NULL));
        for (size_t i = 1; i < hunks.count; i++) {
            const Hunk *h = &hunks.items[i];
            Str gap = str_slice(a, h[-1].old_end, h->old_begin);
            CHECK(gap.len > 0);
            CHECK_STR(str_slice(b, h[-1].new_end, h->new_begin), gap);
        }
        if (round % 100 == 0)
            arena_free(&arena);
    }
    arena_free(&arena);
}

static void odd_texts(void) {
    static const struct {
        const char *before, *after;
        size_t removed, added;
    } CASES[] = {
        {"", "", 0, 0},
        {"", "a", 0, 1},
        {"a\n", "", 1, 0},
        {"", "\n", 0, 1},
        {"a", "a\n", 1, 1},
        {"a\nb", "a\nb\n", 1, 1},
        {"a\nb", "a\nb\nc", 1, 2},
        {"a\r\nb\r\n", "a\nb\n", 2, 2},
        {"a\r\nb\n", "a\r\nB\n", 1, 1},
        {"a\rb\rc\n", "a\rB\rc\n", 1, 1},
        {"\n\n\n", "\n\n", 1, 0},
        {"a\n\nb\n", "a\nb\n", 1, 0},
        {"x\ny\n", "y\nx\n", 1, 1},
        {"\xef\xbb\xbf"
         "a\nb\n",
         "a\nb\n", 1, 1},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Arena arena = {0};
        Hunks hunks;
        size_t added, removed;
        Str b = str_of(CASES[i].after);
        CHECK(diff_lines(S(""), str_of(CASES[i].before), b, &arena, &hunks, NULL));
        CHECK_STR(keep_all(&hunks, &arena), b);
        diff_count(&hunks, &added, &removed);
        CHECK_MSG(added == CASES[i].added && removed == CASES[i].removed, "case %zu: +%zu -%zu", i, added,
                  removed);
        arena_free(&arena);
    }
}

/* Every length of line around the eight bytes that are hashed at a time, with zero and high bytes. */
static void lines_differ_in_any_byte(void) {
    Arena arena = {0};
    for (size_t len = 0; len < 40; len++)
        for (size_t at = 0; at < len; at++) {
            static const char BYTES[] = {'\0', '\t', '\v', '\x8a', '\x80', '\xff', 'a'};
            char a[64] = "first\n", b[64];
            for (size_t i = 0; i < len; i++)
                a[6 + i] = BYTES[test_random() % sizeof BYTES];
            memcpy(a + 6 + len, "\nlast\n", 6);
            memcpy(b, a, sizeof b);
            b[6 + at] ^= 0x40;
            b[0] = 'F', b[6 + len + 4] = 'T'; /* so that the line is not cut off with the common ends */
            Str before = {a, len + 12}, after = {b, len + 12};
            CHECK_INT(changes(before, after, &arena), 6);
            b[6 + at] = a[6 + at];
            CHECK_INT(changes(before, after, &arena), 4);
        }
    arena_free(&arena);
}

static void giant_line(void) {
    Arena arena = {0};
    size_t len = 3 << 20;
    char *a = arena_alloc(&arena, len), *b = arena_alloc(&arena, len);
    memset(a, 'x', len);
    memset(b, 'x', len);
    b[len / 2] = '\0';
    CHECK_INT(changes((Str){a, len}, (Str){b, len}, &arena), 2);
    CHECK_INT(changes((Str){a, len}, (Str){a, len}, &arena), 0);
    CHECK_INT(changes((Str){a, len}, (Str){a, len - 1}, &arena), 2);
    arena_free(&arena);
}

/* ---- size ---- */

static uint32_t line_of_kind(int kind, bool is_old, size_t i, size_t count) {
    uint32_t random = (uint32_t)test_random(), x = (uint32_t)i, n = (uint32_t)count;
    switch (kind) {
    case 0: return 1;
    case 1: return is_old ? x : x + n;
    case 2: return random % 2;
    case 3: return random % 4;
    case 4: return random % 50;
    case 5: return random % n;
    case 6: return is_old ? x % 2 : x % 3 % 2;
    case 7: return is_old ? x : n - 1 - x;
    case 8: return is_old ? x : (x / 100 * 7919 + x % 100) % n;
    case 9: return x % 1000 ? random % 3 : x;
    case 10: return is_old ? x % 7 : x % 11 % 7;
    default: return is_old ? x : (uint32_t)((uint64_t)x * 7919 % n);
    }
}

enum { KINDS = 12 };

/* Steps and memory, of inputs that are slow for careless comparison. */
static void work_is_linear(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        Arena arena = {0};
        size_t count = 200000, left = count, other = kind == 0 ? count / 2 : count;
        CompareSide a = {ARENA_ARRAY(&arena, uint32_t, count), count,
                         ARENA_ARRAY(&arena, unsigned char, count)};
        CompareSide b = {ARENA_ARRAY(&arena, uint32_t, other), other,
                         ARENA_ARRAY(&arena, unsigned char, other)};
        for (size_t i = 0; i < count; i++)
            a.names[i] = line_of_kind(kind, true, i, count);
        for (size_t i = 0; i < other; i++)
            b.names[i] = line_of_kind(kind, false, i, count);
        uint64_t work = compare_sides(&a, &b, 2 * count);
        CHECK_MSG(work <= COMPARE_WORK_FREE + (uint64_t)(count + other) * COMPARE_WORK_LINE,
                  "kind %d: %llu steps", kind, (unsigned long long)work);
        for (size_t i = 0; i < a.count; i++)
            left -= a.is_changed[i];
        for (size_t i = 0; i < b.count; i++)
            other -= b.is_changed[i];
        CHECK_INT(left, other);
        arena_free(&arena);
    }
}

static void odd_large_texts(void) {
    for (int kind = 0; kind < KINDS; kind++) {
        Arena arena = {0};
        Buf a = {0}, b = {0};
        size_t count = 20000;
        for (size_t i = 0; i < count; i++) {
            buf_printf(&a, "%u\n", line_of_kind(kind, true, i, count));
            if (kind != 0 || i % 2)
                buf_printf(&b, "%u\n", line_of_kind(kind, false, i, count));
        }
        size_t changed = changes(buf_text(&a), buf_text(&b), &arena);
        CHECK_MSG(kind != 0 || changed == count / 2, "%zu lines", changed);
        CHECK_MSG(kind != 7 || changed == 2 * count - 2, "%zu lines", changed);
        buf_free(&a);
        buf_free(&b);
        arena_free(&arena);
    }
}

/* The script that made the new text bounds the shortest one. */
static void scattered_edits_stay_short(void) {
    Arena arena = {0};
    for (int round = 0; round < 6; round++) {
        size_t edits, count = 20000;
        Str a = numbered_lines(&arena, count),
            b = edited_lines(&arena, count, 10 + 50 * (uint64_t)round, &edits);
        CHECK(changes(a, b, &arena) <= edits);
    }
    arena_free(&arena);
}

/* Blocks that moved, among lines that repeat, up to where they are cut at anchors: in sum close to the
 * shortest scripts. */
static void moved_blocks_stay_short(void) {
    size_t changed = 0, least = 0;
    for (int round = 0; round < 12; round++) {
        Arena arena = {0};
        Buf a = {0}, b = {0};
        enum { BLOCKS = 30, LINES = 60 };
        int order[BLOCKS];
        for (int i = 0; i < BLOCKS; i++)
            order[i] = i;
        for (int i = 0; i < 3 * round; i++) {
            int x = (int)(test_random() % BLOCKS), y = (int)(test_random() % BLOCKS), kept = order[x];
            order[x] = order[y];
            order[y] = kept;
        }
        for (int i = 0; i < BLOCKS; i++)
            for (int line = 0; line < LINES; line++) {
                int repeats = line % 3 == 0;
                buf_printf(&a, "%d %d\n", repeats ? -1 : i, repeats ? line % 5 : line);
                if (test_random() % 20)
                    buf_printf(&b, "%d %d\n", repeats ? -1 : order[i], repeats ? line % 5 : line);
            }
        changed += changes(buf_text(&a), buf_text(&b), &arena);
        least += least_changes(buf_text(&a), buf_text(&b));
        buf_free(&a);
        buf_free(&b);
        arena_free(&arena);
    }
    CHECK_MSG(changed <= least + least / 20, "%zu lines instead of %zu", changed, least);
}

static void memory_is_linear(void) {
    Arena arena = {0}, texts = {0};
    LinePair pair;
    size_t count = 100000, edits;
    Str a = str_concat(&texts, S("a\n"), numbered_lines(&texts, count)),
        b = str_concat(&texts, S("b\n"), edited_lines(&texts, count, 100, &edits));
    pair_open(a, b, &arena, &pair);
    CHECK(arena.used_bytes <= 9 * (pair.a.count + pair.b.count + 16));
    arena_free(&arena);
    /* nothing for what both texts begin and end with */
    pair_open(a, str_concat(&texts, a, S("end\n")), &arena, &pair);
    CHECK_INT(pair.b.count, 1);
    CHECK_INT(pair.first_line, count + 1);
    CHECK(arena.used_bytes < 1000);
    arena_free(&arena);
    arena_free(&texts);
}

/* ---- sections and words ---- */

static void sections_share_context(void) {
    Arena arena = {0};
    Hunks hunks;
    CHECK(diff_lines(S(""), S("a\n1\n2\nb\n1\n2\n3\n4\nc\n"), S("A\n1\n2\nB\n1\n2\n3\n4\nC\n"), &arena,
                     &hunks, NULL));
    CHECK_INT(hunks.count, 3);
    CHECK_INT(diff_section_end(&hunks, 0, 0), 0);
    CHECK_INT(diff_section_end(&hunks, 0, 1), 1);
    CHECK_INT(diff_section_end(&hunks, 1, 1), 1);
    CHECK_INT(diff_section_end(&hunks, 0, 2), 2);
    CHECK_INT(diff_section_end(&hunks, 0, -1), 0);
    CHECK_INT(diff_section_end(&hunks, 2, 3), 2);
    arena_free(&arena);
}

static Str marked(Str text, const TextRange *marks, size_t count, Arena *arena) {
    Buf out = {0};
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        CHECK(marks[i].begin < marks[i].end && (i == 0 || marks[i].begin > marks[i - 1].end));
        buf_str(&out, str_slice(text, at, marks[i].begin));
        buf_char(&out, '[');
        buf_str(&out, str_slice(text, marks[i].begin, marks[i].end));
        buf_char(&out, ']');
        at = marks[i].end;
    }
    buf_str(&out, str_from(text, at));
    Str s = buf_copy(&out, arena);
    buf_free(&out);
    return s;
}

static void words_are_marked(void) {
    static const struct {
        const char *before, *after, *old_marks, *new_marks;
    } CASES[] = {
        {"int old_name = 1;\n", "int new_name = 1;\n", "int [old_name] = 1;\n", "int [new_name] = 1;\n"},
        {"f(a, b)\n", "f(a, b, c)\n", "f(a, b)\n", "f(a, b[, c])\n"},
        {"one two three\n", "one 2 3\n", "one [two three]\n", "one [2 3]\n"},
        {"if (x)\n", "return;\n", "[if (x)]\n", "[return;]\n"},
        {"a\n", "a\r\n", "a\n", "a[\r]\n"},
        {"a", "a\n", "a", "a\n"},
        {"x = \xc3\xa9t\xc3\xa9\n", "x = \xc3\xa9t\xc3\xa8\n", "x = [\xc3\xa9t\xc3\xa9]\n",
         "x = [\xc3\xa9t\xc3\xa8]\n"},
        {"a b\nc d\n", "a B\nC d\n", "a [b]\n[c] d\n", "a [B]\n[C] d\n"},
        {"", "new line\n\n  next\n", "", "[new line]\n\n[  next]\n"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Arena arena = {0};
        Hunks hunks;
        WordMarks marks;
        CHECK(diff_lines(S(""), str_of(CASES[i].before), str_of(CASES[i].after), &arena, &hunks, NULL));
        CHECK_INT(hunks.count, 1);
        diff_words(&hunks, 0, &arena, &marks);
        CHECK_STR(marked(hunks.before, marks.old_marks, marks.old_count, &arena), str_of(CASES[i].old_marks));
        CHECK_STR(marked(hunks.after, marks.new_marks, marks.new_count, &arena), str_of(CASES[i].new_marks));
        arena_free(&arena);
    }
}

static void check_marks(Str text, size_t begin, size_t end, const TextRange *marks, size_t count) {
    for (size_t i = 0; i < count; i++) {
        CHECK(marks[i].begin >= begin && marks[i].end <= end && marks[i].begin < marks[i].end);
        CHECK(i == 0 || marks[i].begin > marks[i - 1].end);
        CHECK(!str_contains(str_slice(text, marks[i].begin, marks[i].end), S("\n")));
    }
}

static void marks_stay_in_their_hunk(void) {
    for (int round = 0; round < 3000; round++) {
        Arena arena = {0};
        Hunks hunks;
        Buf a = {0}, b = {0};
        for (int i = (int)(test_random() % 60); i > 0; i--)
            buf_char(&a, "ab (\n\r\xc3"[test_random() % 7]);
        for (int i = (int)(test_random() % 60); i > 0; i--)
            buf_char(&b, "ab (\n\r\xc3"[test_random() % 7]);
        CHECK(diff_lines(S(""), buf_text(&a), buf_text(&b), &arena, &hunks, NULL));
        for (size_t i = 0; i < hunks.count; i++) {
            const Hunk *h = &hunks.items[i];
            WordMarks marks;
            diff_words(&hunks, i, &arena, &marks);
            check_marks(hunks.before, h->old_begin, h->old_end, marks.old_marks, marks.old_count);
            check_marks(hunks.after, h->new_begin, h->new_end, marks.new_marks, marks.new_count);
        }
        buf_free(&a);
        buf_free(&b);
        arena_free(&arena);
    }
}

static void large_hunks_are_marked_by_line(void) {
    Arena arena = {0};
    Buf a = {0}, b = {0};
    Hunks hunks;
    WordMarks marks;
    for (int i = 0; i < 3000; i++) {
        buf_printf(&a, "same words but %d\n", i);
        buf_printf(&b, "same words but not %d\n", i);
    }
    CHECK(diff_lines(S(""), buf_text(&a), buf_text(&b), &arena, &hunks, NULL));
    CHECK_INT(hunks.count, 1);
    diff_words(&hunks, 0, &arena, &marks);
    CHECK_INT(marks.old_count, 3000);
    CHECK_INT(marks.new_count, 3000);
    CHECK_STR(str_slice(hunks.after, marks.new_marks[1].begin, marks.new_marks[1].end),
              S("same words but not 1"));
    buf_free(&a);
    buf_free(&b);
    arena_free(&arena);
}

#define CASE(name)                                                                                           \
    { #name, name }
static const TestCase CASES[] = {
    CASE(diff_then_apply_is_identity),
    CASE(script_is_shortest),
    CASE(keep_takes_any_subset),
    CASE(ids_survive_a_second_comparison),
    CASE(ids_do_not_depend_on_other_hunks),
    CASE(hunks_stand_at_block_starts),
    CASE(hunks_meet),
    CASE(odd_texts),
    CASE(lines_differ_in_any_byte),
    CASE(giant_line),
    CASE(work_is_linear),
    CASE(odd_large_texts),
    CASE(scattered_edits_stay_short),
    CASE(moved_blocks_stay_short),
    CASE(memory_is_linear),
    CASE(sections_share_context),
    CASE(words_are_marked),
    CASE(marks_stay_in_their_hunk),
    CASE(large_hunks_are_marked_by_line),
};
TEST_SUITE(DIFF_COMPARE_SUITE, "compare", CASES);
