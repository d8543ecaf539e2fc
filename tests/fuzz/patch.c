/* Patches on arbitrary bytes: "options byte, patch, NUL, old text". Memory stays within a multiple of the
 * input; and what the diff of the two texts prints is read back and applied to the same result. */
#include <stdint.h>
#include <stdlib.h>

#include "diff/diff.h"
#include "diff/patch.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition) {
    if (!condition)
        abort();
}

static void apply_all(Str text, Str old, const PatchOptions *options, size_t size) {
    Arena arena = {0};
    Patch patch;
    Err err = {0};
    if (!patch_parse(text, options, &arena, &patch, &err)) {
        must(err.code != ERR_NONE && err.text[0]);
    } else {
        must(patch.count > 0 && arena.used_bytes < 65536 + 512 * size);
        for (size_t i = 0; i < patch.count; i++) {
            Str result;
            err = (Err){0};
            must(patch_apply(&patch.files[i], old, options, &arena, &result, NULL, &err) ||
                 err.code != ERR_NONE);
        }
    }
    arena_free(&arena);
}

static void print_and_apply(Str before, Str after) {
    Arena arena = {0};
    FileDiff file = {.old_path = S("a b"), .new_path = S("a b")};
    Buf text = {0};
    PatchOptions options = {.strip = 1, .least_context = -1};
    Patch patch;
    Str result;
    must(diff_lines(S(""), before, after, &arena, &file.hunks, NULL));
    diff_print(&file, 3, &text);
    must((text.len == 0) == str_eq(before, after));
    if (text.len) {
        must(patch_parse(buf_text(&text), &options, &arena, &patch, NULL) && patch.count == 1);
        must(patch_apply(&patch.files[0], before, &options, &arena, &result, NULL, NULL) &&
             str_eq(result, after));
    }
    buf_free(&text);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    PatchOptions options = {.strip = data[0] & 3,
                            .least_context = -1,
                            .reverse = data[0] >> 2 & 1,
                            .recount = data[0] >> 3 & 1,
                            .unidiff_zero = data[0] >> 4 & 1};
    Str all = {(const char *)data + 1, size - 1};
    size_t end = str_find_char(all, 0, 0);
    Str text = str_slice(all, 0, end), old = end == STR_NONE ? S("") : str_from(all, end + 1);
    apply_all(text, old, &options, size);
    print_and_apply(text, old);
    return 0;
}
