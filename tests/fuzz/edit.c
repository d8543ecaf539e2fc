/* The reply parsers and edit_locate on arbitrary bytes: "first byte, reply, NUL, file". Whatever way the
 * reply is split, the result is the same; places lie in the file on line starts; the parts of the file
 * outside the places survive. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "diff/edit.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition) {
    if (!condition)
        abort();
}

static bool parse(Str reply, EditFormat format, unsigned step, Arena *arena, EditList *out, Err *err) {
    EditParser parser;
    edit_begin(&parser, format, arena);
    for (size_t at = 0; at < reply.len; at += step)
        edit_feed(&parser, str_slice(reply, at, at + step));
    bool ok = edit_finish(&parser, out, err);
    must(!ok || edit_ready(&parser) == out->count);
    return ok;
}

static bool is_line_start(Str file, size_t at) {
    return at == 0 || at == file.len || file.ptr[at - 1] == '\n' || (at == 3 && file.ptr[0] == '\xEF');
}

static void check_places(Str file, const EditList *edits, Arena *arena) {
    Place *places = ARENA_ARRAY(arena, Place, edits->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < edits->count; i++) {
        Err err = {0};
        Place *p = &places[count];
        if (!edit_locate(file, &edits->items[i], NULL, arena, p, &err)) {
            must(err.code != ERR_NONE && err.text[0]);
            continue;
        }
        must(p->begin <= p->end && p->end <= file.len && p->level < MATCH_LEVELS);
        must(is_line_start(file, p->begin) && is_line_start(file, p->end));
        Str result;
        must(edit_apply(file, p, 1, arena, &result, NULL));
        must(p->already_applied ||
             (result.len == file.len - (p->end - p->begin) + p->new_text.len &&
              str_starts(result, str_slice(file, 0, p->begin)) && str_ends(result, str_from(file, p->end))));
        must(!p->already_applied || str_eq(result, file));
        count++;
    }
    Str all;
    Err err = {0};
    must(edit_apply(file, places, count, arena, &all, &err) || err.code == ERR_CONFLICT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    Str all = {(const char *)data + 1, size - 1};
    size_t end = str_find_char(all, 0, 0);
    Str reply = str_slice(all, 0, end), file = end == STR_NONE ? S("") : str_from(all, end + 1);
    EditFormat format = data[0] & 1 ? EDIT_LABELS : EDIT_BLOCKS;
    Arena arena = {0};
    EditList one, many;
    Err one_err = {0}, many_err = {0};
    bool ok = parse(reply, format, 1, &arena, &one, &one_err);
    must(ok == parse(reply, format, 1 + data[0] / 2, &arena, &many, &many_err));
    must(ok || strcmp(one_err.text, many_err.text) == 0);
    must(one.count == many.count && str_eq(one.prose, many.prose));
    for (size_t i = 0; i < one.count; i++)
        must(str_eq(one.items[i].path, many.items[i].path) &&
             str_eq(one.items[i].old_text, many.items[i].old_text) &&
             str_eq(one.items[i].new_text, many.items[i].new_text) &&
             one.items[i].label == many.items[i].label);
    Str result;
    bool deleted_all;
    if (ok && format == EDIT_BLOCKS)
        check_places(file, &one, &arena);
    else if (ok && edit_apply_labels(file, 1, &one, &arena, &result, &deleted_all, &one_err))
        must(!deleted_all || result.len == 0);
    arena_free(&arena);
    return 0;
}
