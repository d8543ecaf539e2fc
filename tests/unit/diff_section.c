/* Sections: what is shown of neighbouring hunks, and what comes back from an editor. */
#include <string.h>

#include "diff/section.h"
#include "tests/runner.h"

#define BEFORE "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n14\n15\n16\n"
#define AFTER "1\n2\n3\nfour\n5\n6\nsix and a half\n7\n8\n9\n10\n11\n12\n13\n15\n16\n"

static Hunks compare(const char *before, const char *after, Arena *arena) {
    Hunks hunks;
    Err err = {0};
    CHECK_OK(diff_lines(S("a"), str_of(before), str_of(after), arena, &hunks, &err), err);
    return hunks;
}

static void check_print(const Hunks *hunks, size_t first, size_t last, const char *expected) {
    Arena arena = {0};
    Section section;
    Buf text = {0};
    section_read(hunks, first, last, 3, &arena, &section);
    section_print(&section, &text);
    CHECK_STR(buf_text(&text), str_of(expected));
    buf_free(&text);
    arena_free(&arena);
}

static void test_print(void) {
    Arena arena = {0};
    Hunks hunks = compare(BEFORE, AFTER, &arena);
    CHECK_INT(hunks.count, 3);
    CHECK_INT(diff_section_end(&hunks, 0, 3), 1);
    check_print(&hunks, 0, 1,
                "@@ -1,9 +1,10 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n+six and a half\n 7\n 8\n 9\n");
    /* Alone, a hunk's context ends where the next one begins. */
    check_print(&hunks, 0, 0, "@@ -1,6 +1,6 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n");
    check_print(&hunks, 1, 1, "@@ -5,5 +5,6 @@\n 5\n 6\n+six and a half\n 7\n 8\n 9\n");
    check_print(&hunks, 2, 2, "@@ -11,6 +12,5 @@\n 11\n 12\n 13\n-14\n 15\n 16\n");
    hunks = compare("", "a", &arena);
    check_print(&hunks, 0, 0, "@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n");
    hunks = compare("a\nb", "a\nc\n", &arena);
    check_print(&hunks, 0, 0, "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+c\n");
    arena_free(&arena);
}

/* What an editor made of the first section, and what becomes of the whole text with all hunks kept. */
static const struct {
    const char *edited, *after, *problem;
    size_t count;
} EDITS[] = {
    {"@@ -1,9 +1,10 @@\n 1\n 2\n 3\n-4\n+vier\n 5\n 6\n 7\n 8\n 9\n",
     "1\n2\n3\nvier\n5\n6\n7\n8\n9\n10\n11\n12\n13\n15\n16\n", NULL, 1},
    {"# all comments\n 1\n 2\n 3\n 4\n+\n+# kept\n 5\n#gone\n 6\n-7\n 8\n-9\n",
     "1\n2\n3\n4\n\n# kept\n5\n6\n8\n10\n11\n12\n13\n15\n16\n", NULL, 3},
    {" 1\n 2\n 3\n 4\n 5\n 6\n 7\n 8\n 9\n", "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n13\n15\n16\n", NULL, 0},
    {"+0\n-1\n-2\n-3\n-4\n-5\n-6\n-7\n-8\n-9\n", "0\n10\n11\n12\n13\n15\n16\n", NULL, 1},
    {"-1\n-2\n-3\n-4\n-5\n-6\n-7\n-8\n-9", "10\n11\n12\n13\n15\n16\n", NULL, 1},
    {" 1\n 2\n 3\n-4\n 5\n 6\n 7\n 8\n 9\n\n\n", "1\n2\n3\n5\n6\n7\n8\n9\n10\n11\n12\n13\n15\n16\n", NULL, 1},
    {" 1\n 2\n three\n-4\n 5\n 6\n 7\n 8\n 9\n", NULL,
     "the file has \"3\" where the edited hunk has \"three\"", 0},
    {" 1\n 2\n 3\n-4\n 5\n 6\n 7\n 8\n", NULL, "ends before the line \"9\"", 0},
    {" 1\n 2\n 3\n-4\n 5\n 6\n 7\n 8\n 9\n 10\n", NULL, "its next part", 0},
    {" 1\n 2\n\n 3\n-4\n 5\n 6\n 7\n 8\n 9\n", NULL, "the file has \"3\"", 0},
    {" 1\nnew\n", NULL, "line 2 begins with none of", 0},
    {" 1\n 2\n 3\n-4\n 5\n 6\n 7\n 8\n 9\n@@ -12 +12 @@\n", NULL, "line 10 begins with none of", 0},
    {" 1\n 2\n 3\n-4\n+4\n\\ No newline\n 5\n 6\n 7\n 8\n 9\n", NULL, "can only be the last one of the file",
     0},
    {" 1\n 2\n 3\n-4\n 5\n 6\n 7\n 8\n 9\n+x\n\\ No newline\n", NULL, "can only be the last one of the file",
     0},
    {" 1\n 2\n 3\n-4\n+\n\\\n 5\n 6\n 7\n 8\n 9\n", NULL, "leaves nothing", 0},
    {"", NULL, "ends before the line \"1\"", 0},
};

static Str keep_all(const Hunks *hunks, Arena *arena) {
    bool *keep = ARENA_ARRAY(arena, bool, hunks->count + 1);
    Str text;
    Err err = {0};
    memset(keep, 1, hunks->count);
    CHECK_OK(diff_keep(hunks, keep, arena, &text, &err), err);
    return text;
}

static void test_edit(void) {
    for (size_t i = 0; i < sizeof EDITS / sizeof *EDITS; i++) {
        Arena arena = {0};
        Hunks hunks = compare(BEFORE, AFTER, &arena), edited;
        Section section;
        size_t count;
        Err err = {0};
        section_read(&hunks, 0, 1, 3, &arena, &section);
        bool ok = section_edit(&hunks, &section, str_of(EDITS[i].edited), &arena, &edited, &count, &err);
        CHECK_MSG(ok == (EDITS[i].problem == NULL), "edit %zu: %s", i, err.text);
        if (ok) {
            CHECK_STR(edited.after, str_of(EDITS[i].after));
            CHECK_STR(keep_all(&edited, &arena), edited.after);
            CHECK_INT(count, EDITS[i].count);
            CHECK_INT(edited.count, count + 1);
            /* The hunk behind it still says where it stands. */
            CHECK_INT(edited.items[count].id, hunks.items[2].id);
            Str above = str_slice(edited.after, 0, edited.items[count].new_begin);
            size_t lines = 0;
            for (Str line; str_next_line(&above, &line);)
                lines++;
            CHECK_INT(edited.items[count].new_start, lines);
        } else {
            CHECK_MSG(str_contains(str_of(err.text), str_of(EDITS[i].problem)), "edit %zu: %s", i, err.text);
        }
        arena_free(&arena);
    }
}

static void test_last_line(void) {
    Arena arena = {0};
    Hunks hunks = compare("a\nb", "a\nc", &arena), edited;
    Section section;
    size_t count;
    Err err = {0};
    section_read(&hunks, 0, 0, 3, &arena, &section);
    CHECK_OK(section_edit(&hunks, &section,
                          S(" a\n-b\n\\ No newline at end of file\n+d\n+e\n\\ Kein Zeilenende\n"), &arena,
                          &edited, &count, &err),
             err);
    CHECK_STR(edited.after, S("a\nd\ne"));
    CHECK_OK(section_edit(&hunks, &section, S(" a\n-b\n\\ No newline at end of file\n+b\n"), &arena, &edited,
                          &count, &err),
             err);
    CHECK_STR(edited.after, S("a\nb\n"));
    /* The old line has no line end; a text that gives it one is not the file's. */
    CHECK(!section_edit(&hunks, &section, S(" a\n-b\n+d\n"), &arena, &edited, &count, &err));
    CHECK(!section_edit(&hunks, &section, S(" a\n b\n\\ No newline at end of file\n+d\n"), &arena, &edited,
                        &count, &err));
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"print", test_print},
    {"edit", test_edit},
    {"last_line", test_last_line},
};
TEST_SUITE(DIFF_SECTION_SUITE, "section", CASES);
