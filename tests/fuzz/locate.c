/* edit_locate on edits that are right but written down wrongly: every byte is a choice (lines, the edit, the
 * disguise). The result is the intended text or a refusal. */
#include <stdint.h>
#include <stdlib.h>

#include "diff/edit.h"
#include "tests/fakes/edit_scene.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t *choices;
static size_t choice_count;

static size_t pick(size_t n) {
    if (choice_count == 0)
        return 0;
    choice_count--;
    return *choices++ % n;
}

static void must(bool condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    choices = data;
    choice_count = size;
    Arena arena = {0};
    Disguise how = (Disguise)pick(DISGUISES);
    Scene s = random_scene(&arena);
    if (how == INDENT_REMOVED && !can_remove_indent(&s))
        how = INDENT_ADDED;
    Str file = scene_text(&s, false, &arena), intended = scene_text(&s, true, &arena), result;
    Edit edit = disguised_edit(&s, how, &arena);
    edit.line_hint = pick(4) ? 0 : s.first + 1;
    Place place;
    Err err = {0};
    if (!edit_locate(file, &edit, NULL, &arena, &place, &err)) {
        must(err.code != ERR_NONE && err.text[0]);
    } else {
        must(edit_apply(file, &place, 1, &arena, &result, &err));
        must(place.already_applied ? str_eq(result, file) : is_intended(&s, result, intended));
    }
    arena_free(&arena);
    return 0;
}
