/* Which part of a file an old text resembles most, by the lines that both share. Linear. */
#include "diff/edit_locate_internal.h"

enum { MOST_VOTES = 200000 };

static bool says_much(Str line) {
    size_t letters = 0;
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];
        letters += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
    }
    return letters > 1;
}

Window shared_window(const Locate *l) {
    size_t offsets = l->file.count + l->old.count, best = 0, votes = 0;
    uint32_t *count = ARENA_ARRAY(l->scratch, uint32_t, offsets + 1);
    LineNames names = line_names(l->old.count + l->file.count, l->scratch);
    size_t *last_of = ARENA_ARRAY(l->scratch, size_t, l->old.count + 1),
           *before = ARENA_ARRAY(l->scratch, size_t, l->old.count + 1);
    for (size_t i = 0; i < l->old.count; i++) {
        Str line = str_trim(l->old.lines[i]);
        uint32_t name = line_name(&names, line);
        before[i] = last_of[name];
        last_of[name] = says_much(line) ? i + 1 : 0;
    }
    uint32_t known = names.count;
    for (size_t f = 0; f < l->file.count && votes < MOST_VOTES; f++) {
        uint32_t name = line_name(&names, str_trim(l->file.lines[f]));
        for (size_t i = name < known ? last_of[name] : 0; i && votes < MOST_VOTES; i = before[i - 1]) {
            size_t offset = f + l->old.count - (i - 1);
            votes++;
            if (++count[offset] > count[best])
                best = offset;
        }
    }
    Window window = {.line = best > l->old.count ? best - l->old.count : 0, .votes = count[best]};
    for (size_t i = 0; i <= offsets; i++)
        if ((i + l->old.count < best || i > best + l->old.count) && count[i] > window.others)
            window.others = count[i];
    if (window.votes < 2)
        window.line = NO_LINE;
    return window;
}
