/* All places of one file at once. */
#include <stdlib.h>

#include "diff/edit_locate_internal.h"

static int compare_places(const void *a, const void *b) {
    const Place *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static size_t line_number(Str file, size_t at) {
    size_t line = 1;
    for (size_t i = 0; i < at && i < file.len; i++)
        line += file.ptr[i] == '\n';
    return line;
}

bool edit_apply(Str file, const Place *places, size_t count, Arena *arena, Str *out, Err *err) {
    Place *sorted = ARENA_ARRAY(arena, Place, count + 1);
    size_t kept = 0;
    uint64_t hash = count ? str_hash(file) : 0;
    for (size_t i = 0; i < count; i++)
        if (places[i].text_hash != hash)
            return err_set(err, ERR_CONFLICT,
                           "an edit of %.*s was located in another text; it must be located again",
                           STR_ARG(str_slice(places[i].path, 0, 200)));
    for (size_t i = 0; i < count; i++)
        if (!places[i].already_applied)
            sorted[kept++] = places[i];
    qsort(sorted, kept, sizeof *sorted, compare_places);
    Buf text = {0};
    size_t from = 0;
    for (size_t i = 0; i < kept; i++) {
        const Place *p = &sorted[i];
        bool is_outside = p->begin > p->end || p->end > file.len;
        bool is_same_point = i && p->begin == p[-1].begin && p->end == p[-1].end;
        if (is_outside || p->begin < from || is_same_point) {
            buf_free(&text);
            return is_outside ? err_set(err, ERR_INVALID, "an edit lies outside the file")
                              : err_set(err, ERR_CONFLICT,
                                        "two edits change the same text at line %zu; join them in one",
                                        line_number(file, p->begin));
        }
        buf_str(&text, str_slice(file, from, p->begin));
        buf_str(&text, p->new_text);
        from = p->end;
    }
    buf_str(&text, str_from(file, from));
    bool ok = !text.failed;
    *out = buf_copy(&text, arena);
    buf_free(&text);
    return ok || err_set(err, ERR_NO_MEMORY, "not enough memory for the edited file");
}
