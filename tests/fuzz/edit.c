/* The reply parsers and edit_locate on arbitrary bytes: "first byte, reply, NUL, file"; the byte chooses the
 * format (bit 0 labels, bit 7 any form) and how the reply is split. Whatever way the
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

static bool same_edit(const Edit *a, const Edit *b) {
    return a->kind == b->kind && str_eq(a->path, b->path) && str_eq(a->new_path, b->new_path) &&
           str_eq(a->symbol, b->symbol) && str_eq(a->old_text, b->old_text) &&
           str_eq(a->new_text, b->new_text) && a->line_hint == b->line_hint && a->is_at_end == b->is_at_end &&
           a->first_line == b->first_line && a->last_line == b->last_line && a->first_hash == b->first_hash &&
           a->last_hash == b->last_hash && a->label == b->label;
}

/* Every line that holds the name is a definition. */
static size_t find_symbol(void *ctx, Str text, Str name, TextRange *out, size_t most) {
    size_t count = 0;
    (void)ctx;
    for (size_t at = 0; at < text.len;) {
        size_t end = str_find_char(text, '\n', at);
        end = end == STR_NONE ? text.len : end + 1;
        if (str_contains(str_slice(text, at, end), name) && count++ < most)
            out[count - 1] = (TextRange){at, end};
        at = end;
    }
    return count;
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
        EditHelp help = {.find_symbol = find_symbol, .may_shrink = file.len % 2};
        EditKind kind = edits->items[i].kind;
        must(edits->items[i].path.len > 0);
        bool ok = edit_locate(file, &edits->items[i], &help, arena, p, &err);
        must(!ok || (kind != EDIT_DELETE && kind != EDIT_MOVE));
        if (!ok) {
            must(err.code != ERR_NONE && err.text[0]);
            continue;
        }
        must(p->begin <= p->end && p->end <= file.len && p->level < MATCH_LEVELS);
        must(p->text_hash == str_hash(file));
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
    EditFormat format = data[0] & 1 ? EDIT_LABELS : data[0] & 128 ? EDIT_ANY : EDIT_BLOCKS;
    Arena arena = {0};
    EditList one, many;
    Err one_err = {0}, many_err = {0};
    bool ok = parse(reply, format, 1, &arena, &one, &one_err);
    must(ok == parse(reply, format, 1 + data[0] / 2, &arena, &many, &many_err));
    must(ok || strcmp(one_err.text, many_err.text) == 0);
    must(one.count == many.count && str_eq(one.prose, many.prose));
    for (size_t i = 0; i < one.count; i++)
        must(same_edit(&one.items[i], &many.items[i]));
    Str result;
    bool deleted_all;
    if (ok && format != EDIT_LABELS)
        check_places(file, &one, &arena);
    else if (ok && edit_apply_labels(file, 1, &one, &arena, &result, &deleted_all, &one_err))
        must(!deleted_all || result.len == 0);
    arena_free(&arena);
    return 0;
}
