/* What a patch may meet, case by case; git-apply must say the same of each, but for those where the row gives
 * the reason (docs/decisions/patches.md). */
#include "tests/unit/diff_patch_cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/runner.h"

#define DIGITS "_123456789_123456789_123456789_123456789_123456789_123456789"
#define LONG DIGITS DIGITS DIGITS

static const PatchCase CASES_OF_TEXT[] = {
    {"1 no newline on both sides",
     {{"f", "a\nb"}},
     FILES("f") "@@ -1,2 +1,2 @@\n a\n-b\n" NO_NEWLINE "+c\n" NO_NEWLINE,
     {{"f", "a\nc"}}},
    {"1 no newline after context",
     {{"f", "a\nb"}},
     FILES("f") "@@ -1,2 +1,2 @@\n-a\n+c\n b\n" NO_NEWLINE,
     {{"f", "c\nb"}}},
    {"1 the words after the backslash are any",
     {{"f", "b"}},
     FILES("f") "@@ -1 +1 @@\n-b\n\\ Kein Zeilenumbruch\n+c\n\\ Kein Zeilenumbruch\n",
     {{"f", "c"}}},
    {"1 the file ends in a newline, the patch says it does not",
     {{"f", "b\n"}},
     FILES("f") "@@ -1 +1 @@\n-b\n" NO_NEWLINE "+c\n",
     .is_refused = true,
     .says = "line"},
    {"2 the newline is added",
     {{"f", "a"}},
     FILES("f") "@@ -1 +1 @@\n-a\n" NO_NEWLINE "+a\n",
     {{"f", "a\n"}}},
    {"2 the newline is removed", {{"f", "a\n"}}, FILES("f") "@@ -1 +1 @@\n-a\n+a\n" NO_NEWLINE, {{"f", "a"}}},
    {"3 CRLF patch, CRLF file",
     {{"f", "a\r\nb\r\nc\r\n"}},
     FILES("f") "@@ -1,3 +1,3 @@\n a\r\n-b\r\n+x\r\n c\r\n",
     {{"f", "a\r\nx\r\nc\r\n"}}},
    {"3 LF patch, CRLF file",
     {{"f", "a\r\nb\r\nc\r\n"}},
     FILES("f") "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n",
     .is_refused = true},
    {"3 LF patch, CRLF file, tolerant",
     {{"f", "a\r\nb\r\nc\r\n"}},
     FILES("f") "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n",
     {{"f", "a\r\nx\r\nc\r\n"}},
     "--tolerant",
     .not_git = "git has no tolerant mode",
     .fuzzy_hunks = 1},
    {"3 mixed endings and a lone CR stay",
     {{"f", "a\r\nb\nc\rd\ne\r\n"}},
     FILES("f") "@@ -1,4 +1,4 @@\n a\r\n-b\n+B\n c\rd\n e\r\n",
     {{"f", "a\r\nB\nc\rd\ne\r\n"}}},
    {"4 a byte order mark stays",
     {{"f", "\xEF\xBB\xBF"
            "a\nb\n"}},
     FILES("f") "@@ -1,2 +1,2 @@\n \xEF\xBB\xBF"
                "a\n-b\n+c\n",
     {{"f", "\xEF\xBB\xBF"
            "a\nc\n"}}},
    {"4 the patch lacks the mark",
     {{"f", "\xEF\xBB\xBF"
            "a\nb\n"}},
     FILES("f") "@@ -1,2 +1,2 @@\n a\n-b\n+c\n",
     .is_refused = true},
    {"4 the patch lacks the mark, tolerant",
     {{"f", "\xEF\xBB\xBF"
            "a\nb\n"}},
     FILES("f") "@@ -1,2 +1,2 @@\n a\n-b\n+c\n",
     {{"f", "\xEF\xBB\xBF"
            "a\nc\n"}},
     "--tolerant",
     .not_git = "git has no tolerant mode",
     .fuzzy_hunks = 1},
    {"4 zero bytes are bytes",
     {{"f", "a\0b\nc\n", .len = 6}},
     FILES("f") "@@ -1,2 +1,2 @@\n a\0b\n-c\n+d\n",
     {{"f", "a\0b\nd\n", .len = 6}},
     .patch_len = sizeof(FILES("f") "@@ -1,2 +1,2 @@\n a\0b\n-c\n+d\n") - 1},
    {"5 an empty file gets content",
     {{"f", ""}},
     HEAD("f") FILES("f") "@@ -0,0 +1,2 @@\n+a\n+b\n",
     {{"f", "a\nb\n"}}},
    {"5 a file loses its content", {{"f", "a\n"}}, HEAD("f") FILES("f") "@@ -1 +0,0 @@\n-a\n", {{"f", ""}}},
    {"5 an empty file is created", {{"g", ""}}, HEAD("f") "new file mode 100644\n", {{"f", ""}, {"g", ""}}},
    {"5 an empty file is deleted",
     {{"f", ""}, {"g", ""}},
     HEAD("f") "deleted file mode 100644\n",
     {{"g", ""}}},
    {"5 the header alone deletes no content",
     {{"f", "a\n"}},
     HEAD("f") "deleted file mode 100644\n",
     .is_refused = true},
    {"6 a count left out is 1", {{"f", "a\nb\n"}}, FILES("f") "@@ -1 +1 @@\n-a\n+c\n", .is_refused = true},
    {"6 a count left out is 1, with context",
     {{"f", "a\nb\n"}},
     FILES("f") "@@ -1,2 +1 @@\n-a\n b\n",
     {{"f", "b\n"}}},
    {"6 an empty line without its end is counted and left out",
     {{"f", "a\nb\n\nc\n"}},
     FILES("f") "@@ -1,4 +1,4 @@\n-a\n+x\n b\n\n\n\\ No newline at end of file\n",
     {{"f", "x\nb\n\nc\n"}}},
    {"6 left out, it still stands below the change",
     {{"f", "a\nb\nc\n"}},
     FILES("f") "@@ -1,2 +1,2 @@\n-a\n+x\n\n\\ No newline at end of file\n",
     {{"f", "x\nb\nc\n"}}},
    {"6 with its blank it is a line of its own",
     {{"f", "a\nb\nc\n"}},
     FILES("f") "@@ -1,2 +1,2 @@\n-a\n+x\n \n\\ No newline at end of file\n",
     .is_refused = true},
    {"7 no context, not asked for", {{"f", TEN}}, FILES("f") "@@ -5 +5 @@\n-5\n+five\n", .is_refused = true},
    {"7 no context",
     {{"f", TEN}},
     FILES("f") "@@ -5 +5 @@\n-5\n+five\n",
     {{"f", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n"}},
     "--unidiff-zero"},
    {"7 an insertion goes behind its line",
     {{"f", "1\n2\n3\n"}},
     FILES("f") "@@ -2,0 +3 @@\n+x\n",
     {{"f", "1\n2\nx\n3\n"}},
     "--unidiff-zero"},
    {"8 earlier hunks shift later ones",
     {{"f", TEN}},
     FILES("f") "@@ -1,2 +1,4 @@\n 1\n+a\n+b\n 2\n@@ -8,3 +10,3 @@\n 8\n-9\n+n\n 10\n",
     {{"f", "1\na\nb\n2\n3\n4\n5\n6\n7\n8\nn\n10\n"}}},
    {"8 found further down",
     {{"f", "x\ny\n" TEN}},
     FILES("f") "@@ -4,3 +4,3 @@\n 4\n-5\n+five\n 6\n",
     {{"f", "x\ny\n1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n"}},
     .offset_hunks = 1},
    {"8 found further up",
     {{"f", TEN}},
     FILES("f") "@@ -6,3 +6,3 @@\n 4\n-5\n+five\n 6\n",
     {{"f", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n"}},
     .offset_hunks = 1},
    {"8 the nearest wins",
     {{"f", "a\nb\nc\nx\nx\na\nb\nc\n9\n"}},
     FILES("f") "@@ -5,3 +5,3 @@\n a\n-b\n+B\n c\n",
     {{"f", "a\nb\nc\nx\nx\na\nB\nc\n9\n"}},
     .offset_hunks = 1},
    {"8 two places, tolerant",
     {{"f", "a\nb\nc\nx\nx\na\nb\nc\n9\n"}},
     FILES("f") "@@ -5,3 +5,3 @@\n a\n-b\n+B\n c\n",
     .options = "--tolerant",
     .is_refused = true,
     .says = "more than one",
     .not_git = "git has no tolerant mode"},
    {"9 context differs",
     {{"f", TEN}},
     FILES("f") "@@ -4,3 +4,3 @@\n four\n-5\n+five\n 6\n",
     .is_refused = true,
     .says = "line 4 should be \"four\" but is \"4\""},
    {"9 line ends differ",
     {{"f", "1\r\n2\r\n3\r\n"}},
     FILES("f") "@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n",
     .is_refused = true,
     .says = "line 1 ends in CRLF, but in LF in the patch"},
    {"9 line ends differ, the other way",
     {{"f", "1\n2\n3\n"}},
     FILES("f") "@@ -1,3 +1,3 @@\n 1\r\n-2\r\n+two\r\n 3\r\n",
     .is_refused = true,
     .says = "line 1 ends in LF, but in CRLF in the patch"},
    {"9 long lines are shown where they differ",
     {{"f", LONG "old end\n"}},
     FILES("f") "@@ -1 +1 @@\n-" LONG "other end\n+x\n",
     .is_refused = true,
     .says = "89_123456789_123456789other end\" but is \"..."},
    {"9 context may differ by -C",
     {{"f", TEN}},
     FILES("f") "@@ -3,5 +3,5 @@\n three\n 4\n-5\n+five\n 6\n 7\n",
     {{"f", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n"}},
     "-C1",
     .fuzzy_hunks = 1},
    {"9 -C keeps its least",
     {{"f", TEN}},
     FILES("f") "@@ -3,5 +3,5 @@\n 3\n four\n-5\n+five\n 6\n 7\n",
     .is_refused = true,
     .options = "-C1"},
    {"9 fuzz drops outer lines",
     {{"f", TEN}},
     FILES("f") "@@ -3,5 +3,5 @@\n three\n 4\n-5\n+five\n 6\n 7\n",
     {{"f", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n"}},
     "--fuzz=1",
     .not_git = "git has no fuzz",
     .fuzzy_hunks = 1},
    {"9 fuzz 1 is not 2",
     {{"f", TEN}},
     FILES("f") "@@ -3,5 +3,5 @@\n 3\n four\n-5\n+five\n 6\n 7\n",
     .is_refused = true,
     .options = "--fuzz=1",
     .not_git = "git has no fuzz"},
    {"9 a hunk for line 1 stays there",
     {{"f", "x\n" TEN}},
     FILES("f") "@@ -1,2 +1,2 @@\n-1\n+one\n 2\n",
     .is_refused = true},
    {"9 a hunk for the end stays there",
     {{"f", TEN "x\n"}},
     FILES("f") "@@ -9,2 +9,2 @@\n 9\n-10\n+ten\n",
     .is_refused = true},
    {"9 fuzz may move it, and says so",
     {{"f", "x\n" TEN}},
     FILES("f") "@@ -1,2 +1,2 @@\n-1\n+one\n 2\n",
     {{"f", "x\none\n2\n3\n4\n5\n6\n7\n8\n9\n10\n"}},
     "--fuzz=2",
     .not_git = "git has no fuzz",
     .offset_hunks = 1,
     .fuzzy_hunks = 1},
    {"9 fuzz counts from the longer side",
     {{"f", TEN}},
     FILES("f") "@@ -1,3 +1,4 @@\n 2\n+2a\n 3\n four\n",
     {{"f", "1\n2\n2a\n3\n4\n5\n6\n7\n8\n9\n10\n"}},
     "--fuzz=2",
     .not_git = "git has no fuzz",
     .offset_hunks = 1,
     .fuzzy_hunks = 1},
    {"9 fuzz leaves something to find",
     {{"f", TEN}},
     FILES("f") "@@ -4,2 +4,3 @@\n four\n+x\n five\n",
     .is_refused = true,
     .options = "--fuzz=3",
     .not_git = "git has no fuzz"},
    {"10 hunks out of order",
     {{"f", TEN}},
     FILES("f") "@@ -8,3 +8,3 @@\n 8\n-9\n+n\n 10\n@@ -2,3 +2,3 @@\n 2\n-3\n+t\n 4\n",
     {{"f", "1\n2\nt\n4\n5\n6\n7\n8\nn\n10\n"}}},
    {"10 hunks that overlap",
     {{"f", TEN}},
     FILES("f") "@@ -2,3 +2,3 @@\n 2\n-3\n+t\n 4\n@@ -4,3 +4,3 @@\n 4\n-5\n+f\n 6\n",
     .is_refused = true},
    {"10 hunks that touch",
     {{"f", TEN}},
     FILES("f") "@@ -2,3 +2,3 @@\n 2\n-3\n+t\n 4\n@@ -5,2 +5,2 @@\n-5\n+f\n 6\n",
     {{"f", "1\n2\nt\n4\nf\n6\n7\n8\n9\n10\n"}}},
    {"10 a hunk twice",
     {{"f", TEN}},
     FILES("f") "@@ -2,3 +2,3 @@\n 2\n-3\n+t\n 4\n@@ -2,3 +2,3 @@\n 2\n-3\n+t\n 4\n",
     .is_refused = true},
    {"10 two sections of one file", {{"f", "a\n"}}, EDIT("f", "a", "b") EDIT("f", "b", "c"), {{"f", "c\n"}}},
    {"11 applied already", {{"f", "b\n"}}, EDIT("f", "a", "b"), .is_refused = true, .says = "already there"},
    {"11 taken back", {{"f", "b\n"}}, EDIT("f", "a", "b"), {{"f", "a\n"}}, "-R"},
    {"17 mail around, a signature behind",
     {{"f", "a\n"}},
     "From 1234 Mon Sep 17\nSubject: [PATCH] x\n\ntext\n---\n f | 2 +-\n\n" HEAD(
         "f") "index 1..2 100644\n" EDIT("f", "a", "b") "-- \n2.39.5\n\n",
     {{"f", "b\n"}}},
    {"17 nothing but text", {{"f", "a\n"}}, "no patch\n", .is_refused = true},
    {"18 lines that look like headers",
     {{"f", "-- x\n++ y\nz\n"}},
     FILES("f") "@@ -1,3 +1,3 @@\n--- x\n-++ y\n+++ y\n+-- x\n z\n",
     {{"f", "++ y\n-- x\nz\n"}}},
    {"19 an empty line is context",
     {{"f", "a\n\nb\n"}},
     FILES("f") "@@ -1,3 +1,3 @@\n a\n\n-b\n+c\n",
     {{"f", "a\n\nc\n"}}},
    {"20 counts too small",
     {{"f", TEN}},
     FILES("f") "@@ -4,1 +4,1 @@\n 4\n-5\n+five\n 6\n",
     .is_refused = true},
    {"20 counts too large",
     {{"f", TEN}},
     FILES("f") "@@ -4,9 +4,9 @@\n 4\n-5\n+five\n 6\n",
     .is_refused = true},
    {"20 counts recounted",
     {{"f", TEN}},
     FILES("f") "@@ -4,9 +4,1 @@\n 4\n-5\n+five\n 6\n",
     {{"f", "1\n2\n3\n4\nfive\n6\n7\n8\n9\n10\n"}},
     "--recount"},
    {"20 huge counts",
     {{"f", TEN}},
     FILES("f") "@@ -4,99999999999999999999 +4,3 @@\n 4\n-5\n+five\n 6\n",
     .is_refused = true},
    {"20 huge counts that fit a number",
     {{"f", TEN}},
     FILES("f") "@@ -4,4294967299 +4,4294967299 @@\n 4\n-5\n+five\n 6\n",
     .is_refused = true},
    {"21 the last hunk is cut",
     {{"f", TEN}},
     FILES("f") "@@ -4,3 +4,3 @@\n 4\n-5\n+five\n",
     .is_refused = true},
    {"21 the patch lacks its final newline",
     {{"f", "a\n"}},
     FILES("f") "@@ -1 +1 @@\n-a\n+b",
     .is_refused = true},
    {"21 the same, tolerant",
     {{"f", "a\n"}},
     FILES("f") "@@ -1 +1 @@\n-a\n+b",
     {{"f", "b\n"}},
     "--tolerant",
     .not_git = "git has no tolerant mode"},
    {"27 tabs and blanks",
     {{"f", "\ta\n\tb  c\n\td\n"}},
     FILES("f") "@@ -1,3 +1,3 @@\n   a\n-  b c\n+  x\n   d\n",
     .is_refused = true},
    {"27 tabs and blanks ignored",
     {{"f", "\ta\n\tb  c\n\td\n"}},
     FILES("f") "@@ -1,3 +1,3 @@\n   a\n-  b c\n+  x\n   d\n",
     {{"f", "\ta\n  x\n\td\n"}},
     "--ignore-whitespace",
     .fuzzy_hunks = 1},
    {"27 no blank is not a blank",
     {{"f", "ab\nc\n"}},
     FILES("f") "@@ -1,2 +1,2 @@\n a b\n-c\n+d\n",
     .is_refused = true,
     .options = "--ignore-whitespace"},
    {"27 line ends ignored",
     {{"f", "a\r\nb\r\nc\r\n"}},
     FILES("f") "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n",
     {{"f", "a\r\nx\nc\r\n"}},
     "--ignore-whitespace",
     .fuzzy_hunks = 1},
};

static PatchOptions read_options(const char *text) {
    PatchOptions options = {.strip = 1};
    Str word, rest = str_of(text);
    while (rest.len) {
        size_t blank = str_find_char(rest, ' ', 0);
        word = str_slice(rest, 0, blank);
        rest = blank == STR_NONE ? S("") : str_from(rest, blank + 1);
        if (str_starts(word, S("-p")))
            options.strip = word.ptr[2] - '0';
        else if (str_starts(word, S("-C")))
            options.has_least_context = true, options.least_context = word.ptr[2] - '0';
        else if (str_starts(word, S("--fuzz=")))
            options.fuzz = word.ptr[7] - '0';
        options.reverse = options.reverse || str_eq(word, S("-R"));
        options.recount = options.recount || str_eq(word, S("--recount"));
        options.unidiff_zero = options.unidiff_zero || str_eq(word, S("--unidiff-zero"));
        options.ignore_whitespace = options.ignore_whitespace || str_eq(word, S("--ignore-whitespace"));
        options.is_tolerant = options.is_tolerant || str_eq(word, S("--tolerant"));
    }
    return options;
}

static bool run_case(const PatchCase *c, bool has_git) {
    Arena arena = {0};
    Tree tree, before, after, git;
    PatchPlan plan;
    Err err = {0};
    PatchOptions options = read_options(c->options);
    Str patch = c->patch_len ? (Str){c->patch, c->patch_len} : str_of(c->patch);
    tree_from(c->before, 6, &before);
    tree_from(c->after, 6, &after);
    tree = git = before;
    bool ok = tree_apply(&tree, patch, &options, &arena, &plan, &err);
    bool right = ok != c->is_refused && (ok ? tree_same(&tree, &after)
                                            : err.text[0] && str_contains(str_of(err.text), str_of(c->says)));
    right =
        right &&
        (!ok || (plan.report.offset_hunks == c->offset_hunks && plan.report.fuzzy_hunks == c->fuzzy_hunks));
    if (!right)
        fprintf(stderr, "%s: %s %s (%zu offset, %zu fuzzy)\n%.*s", c->name,
                ok ? "taken" : "refused:", err.text, plan.report.offset_hunks, plan.report.fuzzy_hunks,
                STR_ARG(tree_print(&tree, &arena)));
    if (has_git && !c->not_git) {
        bool git_ok = git_apply(&git, patch, &options, &arena);
        bool agrees = git_ok == !c->is_refused && (!git_ok || tree_same(&git, &after));
        if (!agrees)
            fprintf(stderr, "%s: git %s\n%.*s", c->name, git_ok ? "takes it" : "refuses it",
                    STR_ARG(tree_print(&git, &arena)));
        right = right && agrees;
    }
    arena_free(&arena);
    return right;
}

static void run_table(const PatchCase *cases, size_t count) {
    bool has_git = git_is_there();
    size_t wrong = 0;
    for (size_t i = 0; i < count; i++)
        wrong += !run_case(&cases[i], has_git);
    CHECK_INT(wrong, 0);
}

static void texts(void) {
    run_table(CASES_OF_TEXT, sizeof CASES_OF_TEXT / sizeof *CASES_OF_TEXT);
}

static void trees(void) {
    run_table(PATCH_CASES_OF_TREES, PATCH_CASES_OF_TREES_COUNT);
}

static const TestCase CASES[] = {{"texts", texts}, {"trees", trees}};
TEST_SUITE(DIFF_PATCH_CASES_SUITE, "patch_cases", CASES);
