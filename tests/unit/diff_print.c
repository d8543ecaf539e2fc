/* Printing by itself: what is read back, what is refused, how similar texts are. Whole trees, and git's word
 * on them, are in diff_tree.c. */
#include <string.h>

#include "diff/diff.h"
#include "diff/patch.h"
#include "diff/rename_internal.h"
#include "tests/runner.h"

static Str text_of(const Buf *buf, Arena *arena) {
    return buf_copy(buf, arena);
}

static FileDiff compared(Str before, Str after, Arena *arena) {
    FileDiff file = {.old_path = S("f"), .new_path = S("f")};
    Err err = {0};
    CHECK_OK(diff_lines(S("f"), before, after, arena, &file.hunks, &err), err);
    return file;
}

static Str printed(const FileDiff *file, int context, Arena *arena) {
    Buf out = {0};
    Err err = {0};
    CHECK_OK(diff_print_verified(file, context, &out, &err), err);
    Str text = text_of(&out, arena);
    buf_free(&out);
    return text;
}

static void nothing_when_equal(void) {
    Arena arena = {0};
    FileDiff file = compared(S("a\nb\n"), S("a\nb\n"), &arena);
    CHECK_STR(printed(&file, 3, &arena), S(""));
    file.is_binary = file.carries_binary = true;
    CHECK_STR(printed(&file, 3, &arena), S(""));
    arena_free(&arena);
}

/* The lines that @@ names are the nearest above the section that begin with a letter, "_" or "$". */
static void sections_name_what_they_stand_in(void) {
    static const struct {
        const char *line, *heading;
    } CASES[] = {{"int f(void) {", " int f(void) {"},
                 {"_start:", " _start:"},
                 {"$x = 1;  \t", " $x = 1;"},
                 {"crlf too\r", " crlf too"},
                 {"    indented", " zero"},
                 {"9 digits", " zero"},
                 {"# hash", " zero"},
                 {"\xC3\xA4 umlaut", " zero"}};
    Arena arena = {0};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Str head = str_printf(&arena, "zero\n%s\n", CASES[i].line);
        FileDiff file = compared(str_concat(&arena, head, S("  1\n  2\n  3\n  old\n")),
                                 str_concat(&arena, head, S("  1\n  2\n  3\n  new\n")), &arena);
        CHECK_STR(printed(&file, 3, &arena),
                  str_printf(&arena,
                             "diff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -3,4 +3,4 @@%s\n   1\n   2\n   3\n"
                             "-  old\n+  new\n",
                             CASES[i].heading));
    }
    arena_free(&arena);
}

static void headings_are_cut(void) {
    Arena arena = {0};
    Str wide = S("x\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4\xC3\xA4");
    Str line = str_concat(&arena, wide, str_concat(&arena, wide, str_concat(&arena, wide, wide)));
    CHECK_INT(line.len, 84);
    FileDiff file = compared(str_concat(&arena, line, S("\n 1\n 2\n 3\n 4\n")),
                             str_concat(&arena, line, S("\n 1\n 2\n 3\n 5\n")), &arena);
    Str text = printed(&file, 2, &arena);
    size_t at = str_find(text, S(" @@ "), 0) + 4;
    Str heading = str_slice(text, at, str_find_char(text, '\n', at));
    CHECK_STR(heading,
              str_slice(line, 0, 80)); /* the next character ends behind byte 80 only if cut inside */
    line = str_concat(&arena, S("y"), line);
    file = compared(str_concat(&arena, line, S("\n 1\n 2\n 3\n 4\n")),
                    str_concat(&arena, line, S("\n 1\n 2\n 3\n 5\n")), &arena);
    text = printed(&file, 2, &arena);
    heading = str_slice(text, at, str_find_char(text, '\n', at));
    CHECK_STR(heading, str_slice(line, 0, heading.len));
    CHECK(heading.len == 79 || heading.len == 80);
    CHECK((line.ptr[heading.len] & 0xC0) != 0x80); /* no character is cut in two */
    arena_free(&arena);
}

/* What does not give the new text is not shown. */
static void wrong_hunks_are_not_shown(void) {
    Str before = S("a\nb\nc\nd\ne\n"), after = S("a\nB\nc\nd\nE\n");
    for (int kind = 0; kind < 8; kind++) {
        Arena arena = {0};
        FileDiff file = compared(before, after, &arena);
        Buf out = {0};
        Err err = {0};
        buf_cstr(&out, "kept");
        CHECK_INT(file.hunks.count, 2);
        Hunk *first = &file.hunks.items[0], *second = &file.hunks.items[1];
        switch (kind) {
        case 0: file.hunks.count = 1; break;
        case 1: file.hunks.count = 0; break;
        case 2: second->new_begin -= 2, second->new_count++; break;
        case 3: first->old_end -= 1; break;
        case 4: second->new_end -= 1; break;
        case 5: first->new_begin = 4, first->new_end = 6; break;
        case 6: file.new_path = S(".git/config"), file.is_new = true; break;
        default: file.old_path = file.new_path = S("../f"); break;
        }
        CHECK_MSG(!diff_print_verified(&file, 3, &out, &err), "kind %d is shown: %.*s", kind,
                  STR_ARG(buf_text(&out)));
        CHECK_INT(err.code, ERR_INTERNAL);
        CHECK_STR(buf_text(&out), S("kept"));
        buf_free(&out);
        arena_free(&arena);
    }
}

static void notices_carry_nothing(void) {
    Arena arena = {0};
    FileDiff file = {.old_path = S("a\tb"), .new_path = S("a\tb"), .is_binary = true};
    file.hunks = (Hunks){.before = S("a\0b"), .after = S("a\0c")};
    CHECK_STR(printed(&file, 3, &arena), S("diff --git \"a/a\\tb\" \"b/a\\tb\"\n"
                                           "Binary files \"a/a\\tb\" and \"b/a\\tb\" differ\n"));
    file.is_new = true;
    file.hunks.before = S("");
    CHECK_STR(printed(&file, 3, &arena), S("diff --git \"a/a\\tb\" \"b/a\\tb\"\nnew file mode 100644\n"
                                           "Binary files /dev/null and \"b/a\\tb\" differ\n"));
    arena_free(&arena);
}

static void similarity_counts_bytes_kept(void) {
    Arena arena = {0};
    CHECK_INT(text_similarity(S(""), S("")), 100);
    CHECK_INT(text_similarity(S("a\n"), S("")), 0);
    CHECK_INT(text_similarity(S("aa\nbb\n"), S("aa\nbb\n")), 100);
    CHECK_INT(text_similarity(S("aa\nbb\n"), S("bb\naa\n")), 99); /* moved lines are kept, but not equal */
    CHECK_INT(text_similarity(S("aa\nbb\n"), S("aa\ncc\n")), 50);
    CHECK_INT(text_similarity(S("aa\n"), S("aa\naa\naa\naa\n")), 25);
    CHECK_INT(text_similarity(S("aa\nbb\ncc\n"), S("aa\r\nbb\r\ncc\r\n")), 75); /* 9 of 12 */
    Buf a = {0}, b = {0};
    for (int i = 0; i < 1000; i++) {
        buf_printf(&a, "line number %04d\n", i);
        buf_printf(&b, "line number %04d\n", i % 4 ? i : i + 5000);
    }
    CHECK_INT(text_similarity(buf_text(&a), buf_text(&b)), 75);
    buf_free(&a);
    buf_free(&b);
    arena_free(&arena);
}

/* Many files that share most lines, and many that share none: each finds its own source. */
static void every_target_finds_its_source(void) {
    enum { FILES = 400 };
    Arena arena = {0};
    RenameSource *sources = ARENA_ARRAY(&arena, RenameSource, FILES);
    RenameTarget *targets = ARENA_ARRAY(&arena, RenameTarget, FILES);
    for (size_t i = 0; i < FILES; i++) {
        Buf text = {0};
        for (size_t n = 0; n < 30; n++)
            buf_printf(&text, n < 29 ? "shared by all %zu\n" : "%zu\n", n < 29 ? n : i);
        sources[i] =
            (RenameSource){pieces_of(buf_text(&text), &arena), str_printf(&arena, "old/%zu", i), true};
        buf_cstr(&text, "one more line\n");
        targets[FILES - 1 - i] = (RenameTarget){pieces_of(buf_text(&text), &arena),
                                                str_printf(&arena, "new/%zu", FILES - i), STR_NONE, 0};
        buf_free(&text);
    }
    rename_match(sources, FILES, targets, FILES, true);
    for (size_t i = 0; i < FILES; i++) {
        CHECK_INT(targets[i].source, FILES - 1 - i);
        CHECK(targets[i].percent >= 90 && targets[i].percent < 100);
        CHECK(!sources[i].is_free);
    }
    arena_free(&arena);
}

/* Texts without a rare line still pair up: by name, and one after the other. */
static void equal_scores_prefer_the_name(void) {
    enum { FILES = 40 };
    Arena arena = {0};
    RenameSource sources[FILES];
    RenameTarget targets[FILES];
    for (size_t i = 0; i < FILES; i++) {
        sources[i] = (RenameSource){pieces_of(S("the same\nin all\nfiles\n"), &arena),
                                    str_printf(&arena, "old/%zu", i), true};
        targets[i] = (RenameTarget){pieces_of(S("the same\nin all\nfiles\nx\n"), &arena),
                                    str_printf(&arena, "new/%zu", FILES - 1 - i), STR_NONE, 0};
    }
    rename_match(sources, FILES, targets, FILES, true);
    for (size_t i = 0; i < FILES; i++)
        CHECK_INT(targets[i].source, FILES - 1 - i);
    arena_free(&arena);
}

static void sources_may_serve_twice_as_copies(void) {
    Arena arena = {0};
    RenameSource source = {pieces_of(S("1\n2\n3\n4\n"), &arena), S("a"), true};
    RenameTarget targets[3];
    for (int i = 0; i < 3; i++)
        targets[i] =
            (RenameTarget){pieces_of(i < 2 ? S("1\n2\n3\n5\n") : S("6\n7\n"), &arena), S("b"), STR_NONE, 0};
    rename_match(&source, 1, targets, 3, false);
    CHECK_INT(targets[0].source, 0);
    CHECK_INT(targets[1].source, 0);
    CHECK(targets[2].source == STR_NONE);
    CHECK_INT(targets[0].percent, 75);
    arena_free(&arena);
}

static const TestCase CASES[] = {{"nothing_when_equal", nothing_when_equal},
                                 {"sections_name_what_they_stand_in", sections_name_what_they_stand_in},
                                 {"headings_are_cut", headings_are_cut},
                                 {"wrong_hunks_are_not_shown", wrong_hunks_are_not_shown},
                                 {"notices_carry_nothing", notices_carry_nothing},
                                 {"similarity_counts_bytes_kept", similarity_counts_bytes_kept},
                                 {"every_target_finds_its_source", every_target_finds_its_source},
                                 {"equal_scores_prefer_the_name", equal_scores_prefer_the_name},
                                 {"sources_may_serve_twice_as_copies", sources_may_serve_twice_as_copies}};
TEST_SUITE(DIFF_PRINT_SUITE, "print", CASES);
