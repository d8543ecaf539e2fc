/* Binary data in patches: there and back, both ways with git, and damaged. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/os.h"
#include "diff/patch_internal.h"
#include "tests/runner.h"
#include "tests/unit/diff_patch_support.h"

enum { ROUNDS = 150, MOST_BYTES = 200000 };

static const PatchOptions FORWARDS = {.strip = 1};
static const PatchOptions BACKWARDS = {.strip = 1, .reverse = true};

static Str random_bytes(Arena *arena, size_t most) {
    size_t len = test_random() % 4 ? test_random() % (most + 1) : test_random() % 8, kind = test_random() % 3;
    char *p = arena_alloc(arena, len + 1);
    for (size_t i = 0; i < len; i++)
        p[i] = (char)(kind == 0 ? test_random() : kind == 1 ? i / 100 : test_random() % 2);
    return (Str){p, len};
}

/* Stretches of another text, in any order, with new bytes between. */
static Str random_change(Arena *arena, Str old) {
    Buf out = {0};
    for (size_t parts = test_random() % 6; parts; parts--) {
        size_t begin = old.len ? test_random() % old.len : 0, len = test_random() % (old.len + 1);
        buf_str(&out, str_slice(old, begin, begin + len));
        if (test_random() % 2)
            buf_str(&out, random_bytes(arena, 300));
    }
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static Str binary_patch(Arena *arena, Str before, Str after) {
    char old_id[PATCH_ID_HEX + 1], new_id[PATCH_ID_HEX + 1];
    Buf out = {0};
    patch_blob_id(before, old_id);
    patch_blob_id(after, new_id);
    buf_printf(&out, "diff --git a/f b/f\nindex %s..%s 100644\n", old_id, new_id);
    CHECK(patch_binary_print(before, after, &out));
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static Tree one_file(Str text) {
    Tree tree = {0};
    tree_put(&tree, S("f"), PLAIN, text);
    return tree;
}

static void check_text(Tree *tree, Str expected) {
    TreeFile *file = tree_find(tree, S("f"));
    CHECK(file != NULL);
    CHECK_MSG(str_eq(file->text, expected), "%zu bytes instead of %zu", file->text.len, expected.len);
}

static void ids_as_git_makes_them(void) {
    char id[PATCH_ID_HEX + 1];
    patch_blob_id(S(""), id);
    CHECK_STR(str_of(id), S("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"));
    patch_blob_id(S("hello\n"), id);
    CHECK_STR(str_of(id), S("ce013625030ba8dba906f756967f9e9ca394464a"));
}

static void there_and_back(void) {
    for (int i = 0; i < ROUNDS; i++) {
        Arena arena = {0};
        Err err = {0};
        PatchPlan plan;
        Str before = random_bytes(&arena, MOST_BYTES);
        Str after = test_random() % 4 ? random_change(&arena, before) : random_bytes(&arena, MOST_BYTES);
        if (!str_eq(before, after)) {
            Str patch = binary_patch(&arena, before, after);
            Tree tree = one_file(before);
            CHECK_OK(tree_apply(&tree, patch, &FORWARDS, &arena, &plan, &err), err);
            check_text(&tree, after);
            CHECK_OK(tree_apply(&tree, patch, &BACKWARDS, &arena, &plan, &err), err);
            check_text(&tree, before);
        }
        arena_free(&arena);
    }
}

static void git_takes_ours(void) {
    if (!git_is_there())
        SKIP("git is not there");
    for (int i = 0; i < ROUNDS / 3; i++) {
        Arena arena = {0};
        Str before = random_bytes(&arena, 5000), after = random_change(&arena, before);
        Tree tree = one_file(before);
        if (!str_eq(before, after)) {
            Str patch = binary_patch(&arena, before, after);
            CHECK(git_apply(&tree, patch, &FORWARDS, &arena));
            check_text(&tree, after);
            CHECK(git_apply(&tree, patch, &BACKWARDS, &arena));
            check_text(&tree, before);
        }
        arena_free(&arena);
    }
}

static void ours_take_git(void) {
    static const char SCRIPT[] = "git diff --no-index --binary a/f b/f >patch";
    if (!git_is_there())
        SKIP("git is not there");
    for (int i = 0; i < ROUNDS / 3; i++) {
        Arena arena = {0};
        Err err = {0};
        PatchPlan plan;
        Str before = random_bytes(&arena, 5000), after = random_change(&arena, before), patch;
        before = str_concat(&arena, S("a\0"), before); /* so that git takes it for binary */
        after = str_concat(&arena, S("b\0"), after);
        CHECK_OK(os_make_dirs(str_printf(&arena, "%s/a", test_tmp()).ptr, &err), err);
        CHECK_OK(os_make_dirs(str_printf(&arena, "%s/b", test_tmp()).ptr, &err), err);
        CHECK_OK(os_write_file(str_printf(&arena, "%s/a/f", test_tmp()).ptr, before, &err), err);
        CHECK_OK(os_write_file(str_printf(&arena, "%s/b/f", test_tmp()).ptr, after, &err), err);
        CHECK(system(str_printf(&arena, "cd '%s' && %s; true", test_tmp(), SCRIPT).ptr) == 0);
        CHECK_OK(os_read_file(str_printf(&arena, "%s/patch", test_tmp()).ptr, 1 << 20, &arena, &patch, &err),
                 err);
        Tree tree = {0};
        tree_put(&tree, S("f"), PLAIN, before);
        PatchOptions options = FORWARDS, reverse = BACKWARDS;
        options.strip = reverse.strip = 2; /* a/a/f */
        CHECK_OK(tree_apply(&tree, patch, &options, &arena, &plan, &err), err);
        check_text(&tree, after);
        CHECK_OK(tree_apply(&tree, patch, &reverse, &arena, &plan, &err), err);
        check_text(&tree, before);
        arena_free(&arena);
    }
}

/* Whatever byte is wrong: refused, or the same result. */
static void damaged_data(void) {
    Arena arena = {0};
    Str before = S("old\0bytes, old bytes, old bytes, and more of them"),
        after = S("new\0bytes, old bytes, old bytes");
    Str patch = binary_patch(&arena, before, after);
    size_t refused = 0;
    for (size_t i = 0; i < patch.len; i++) {
        Arena scratch = {0};
        Err err = {0};
        PatchPlan plan;
        char *text = str_cstr(&scratch, patch);
        text[i] = (char)(text[i] + 1 + (int)(test_random() % 3));
        Tree tree = one_file(before);
        if (tree_apply(&tree, (Str){text, patch.len}, &FORWARDS, &scratch, &plan, &err) &&
            tree_find(&tree, S("f")))
            check_text(&tree, after);
        else
            refused++;
        arena_free(&scratch);
    }
    CHECK(refused > patch.len / 3);
    for (size_t len = 0; len < patch.len; len++) {
        Arena scratch = {0};
        Err err = {0};
        PatchPlan plan;
        Tree tree = one_file(before);
        if (tree_apply(&tree, str_slice(patch, 0, len), &FORWARDS, &scratch, &plan, &err))
            check_text(&tree, after);
        arena_free(&scratch);
    }
    arena_free(&arena);
}

#define IDS                                                                                                  \
    "index e69de29bb2d1d6434b8b29ae775ad8c2e48c5391..ce013625030ba8dba906f756967f9e9ca394464a 100644\n"
#define TO_NOTHING                                                                                           \
    "index ce013625030ba8dba906f756967f9e9ca394464a..0000000000000000000000000000000000000000\n"

static void refuse(const char *patch, const PatchOptions *options, Str text, const char *says) {
    Arena arena = {0};
    Err err = {0};
    PatchPlan plan;
    Tree tree = one_file(text);
    CHECK(!tree_apply(&tree, str_of(patch), options, &arena, &plan, &err));
    CHECK_MSG(str_contains(str_of(err.text), str_of(says)), "%s", err.text);
    CHECK_MSG(arena.used_bytes < 1 << 20, "%zu bytes", arena.used_bytes);
    arena_free(&arena);
}

static void what_cannot_be(void) {
    refuse("diff --git a/f b/f\n" IDS "GIT binary patch\nliteral 200000000\nHcmV?d00001\n\n", &FORWARDS,
           S(""), "damaged");
    refuse("diff --git a/f b/f\n" IDS "GIT binary patch\nliteral 999999999\nHcmV?d00001\n\n", &FORWARDS,
           S(""), "MiB");
    refuse("diff --git a/f b/f\n" IDS "GIT binary patch\nliteral 0\nHcmV?d00001\n\n", &BACKWARDS,
           S("hello\n"), "in reverse");
    refuse("diff --git a/f b/f\nindex e69de29..ce01362 100644\nGIT binary patch\nliteral 0\nHcmV?d00001\n\n",
           &FORWARDS, S(""), "full ids");
    refuse("diff --git a/f b/f\n"
           "index e69de29bb2d1d6434b8b29ae775ad8c2e48c5391..ce013625030ba8dba906f756967f9e9ca394464a\r\n"
           "GIT binary patch\nliteral 0\nHcmV?d00001\n\n",
           &FORWARDS, S(""), "full ids");
    refuse("diff --git a/f b/f\n" IDS "GIT binary patch\nliteral 0\nHcmV?d00001\n\n", &FORWARDS, S("x"),
           "another text");
    refuse("diff --git a/f b/f\n" IDS "GIT binary patch\nliteral 0\nHcmV?d00001\n\n", &FORWARDS, S(""),
           "promises");
    refuse("diff --git a/f b/f\n" IDS "Binary files a/f and b/f differ\n", &FORWARDS, S(""), "no data");
}

/* With full ids git deletes on a mere notice: nothing has to be known of the new text. */
static void deletion_by_notice(void) {
    static const char PATCH[] =
        "diff --git a/f b/f\ndeleted file mode 100644\n" TO_NOTHING "Binary files a/f and /dev/null differ\n";
    Arena arena = {0};
    Err err = {0};
    PatchPlan plan;
    Tree tree = one_file(S("hello\n")), git = tree;
    CHECK_OK(tree_apply(&tree, str_of(PATCH), &FORWARDS, &arena, &plan, &err), err);
    CHECK_INT(tree.count, 0);
    if (git_is_there())
        CHECK(git_apply(&git, str_of(PATCH), &FORWARDS, &arena) && git.count == 0);
    refuse(PATCH, &FORWARDS, S("hello, other\n"), "another text");
    arena_free(&arena);
}

static const TestCase CASES[] = {{"ids_as_git_makes_them", ids_as_git_makes_them},
                                 {"there_and_back", there_and_back},
                                 {"git_takes_ours", git_takes_ours},
                                 {"ours_take_git", ours_take_git},
                                 {"damaged_data", damaged_data},
                                 {"what_cannot_be", what_cannot_be},
                                 {"deletion_by_notice", deletion_by_notice}};
TEST_SUITE(DIFF_PATCH_BINARY_SUITE, "patch_binary", CASES);
