#define _GNU_SOURCE
#include "tests/differential/texts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/os.h"
#include "tests/runner.h"

enum { MOST_FILE_BYTES = 60000, MOST_FILES = 4000, MOST_LINES = 300 };

static struct {
    Arena *arena;
    Str *paths;
    size_t count, capacity;
} corpus;

size_t pick(size_t below) {
    return below ? (size_t)(test_random() % below) : 0;
}

bool chance(unsigned percent) {
    return test_random() % 100 < percent;
}

/* ---- real files ---- */

static void collect_folder(const char *folder) {
    struct dirent **entries;
    int n = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        Str path = str_printf(corpus.arena, "%s/%s", folder, entries[i]->d_name);
        struct stat st;
        if (corpus.count < MOST_FILES && lstat(path.ptr, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
            st.st_size < MOST_FILE_BYTES)
            LIST_PUSH(corpus.arena, corpus.paths, corpus.count, corpus.capacity, path);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

bool texts_collect(Arena *arena) {
    static const char *const OWN[] = {"diff", "base", "acp", "workspace", "docs", "tests/unit", "."};
    static const char *const SYSTEM[] = {"/usr/share/common-licenses", "/usr/include", "/usr/include/linux",
                                         "/usr/share/perl5"};
    corpus.arena = arena;
    corpus.paths = NULL;
    corpus.count = corpus.capacity = 0;
    for (size_t i = 0; i < sizeof OWN / sizeof *OWN; i++)
        collect_folder(str_printf(arena, "%s/%s", test_source_dir(), OWN[i]).ptr);
    for (size_t i = 0; i < sizeof SYSTEM / sizeof *SYSTEM; i++)
        collect_folder(SYSTEM[i]);
    return corpus.count > 0;
}

/* ---- lines ---- */

Lines lines_of(Str text, Arena *arena) {
    Lines lines = {0};
    for (size_t at = 0; at < text.len;) {
        size_t end = str_find_char(text, '\n', at);
        end = end == STR_NONE ? text.len : end + 1;
        LIST_PUSH(arena, lines.items, lines.count, lines.capacity, str_slice(text, at, end));
        at = end;
    }
    return lines;
}

Str lines_joined(const Lines *lines, Arena *arena) {
    Buf out = {0};
    for (size_t i = 0; i < lines->count; i++)
        buf_str(&out, lines->items[i]);
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

void lines_insert(Lines *lines, size_t at, Str line, Arena *arena) {
    LIST_PUSH(arena, lines->items, lines->count, lines->capacity, line);
    memmove(lines->items + at + 1, lines->items + at, (lines->count - 1 - at) * sizeof *lines->items);
    lines->items[at] = line;
}

void lines_remove(Lines *lines, size_t at, size_t count) {
    size_t behind = lines->count - at - count;
    if (behind)
        memmove(lines->items + at, lines->items + at + count, behind * sizeof *lines->items);
    lines->count -= count;
}

/* ---- texts ---- */

static Lines real_lines(size_t most, Arena *arena) {
    Str text = S("only line\n");
    if (corpus.count)
        os_read_file(corpus.paths[pick(corpus.count)].ptr, MOST_FILE_BYTES, arena, &text, NULL);
    Lines lines = lines_of(text, arena);
    size_t count = lines.count < most ? lines.count : most;
    lines.items = lines.count ? lines.items + pick(lines.count - count + 1) : NULL;
    lines.count = lines.capacity = count;
    return lines_of(lines_joined(&lines, arena), arena);
}

/* Lines that look like parts of a patch, and lines that repeat. */
static Lines nasty_lines(Arena *arena) {
    static const char *const LINES[] = {"-- x\n",
                                        "++ x\n",
                                        "- x\n",
                                        "+ x\n",
                                        "@@ -1,2 +1,2 @@\n",
                                        "diff --git a/f b/f\n",
                                        "\\ No newline at end of file\n",
                                        "--- a/f\n",
                                        "+++ b/f\n",
                                        "\n",
                                        "}\n",
                                        "    x\n",
                                        "\tx\n",
                                        "x \n",
                                        " \n",
                                        "x\n"};
    Lines lines = {0};
    size_t words = 1 + pick(sizeof LINES / sizeof *LINES), first = pick(sizeof LINES / sizeof *LINES);
    for (size_t i = pick(30) + 1; i > 0; i--)
        lines_insert(&lines, lines.count,
                     str_of(LINES[(first + pick(words)) % (sizeof LINES / sizeof *LINES)]), arena);
    return lines;
}

static Str with_end(Str line, const char *end, Arena *arena) {
    size_t len = line.len;
    while (len && (line.ptr[len - 1] == '\n' || line.ptr[len - 1] == '\r'))
        len--;
    return str_printf(arena, "%.*s%s", (int)len, line.ptr, end);
}

static void bend_line_ends(Lines *lines, Arena *arena) {
    static const char *const ENDS[] = {"\n", "\r\n", "\r\r\n", " \n", "\r"};
    size_t kind = pick(4);
    for (size_t i = 0; i < lines->count; i++) {
        size_t end = kind == 0 || chance(80) ? 1 : 0;
        if (kind == 3 && chance(10))
            end = pick(sizeof ENDS / sizeof *ENDS);
        if (memchr(lines->items[i].ptr, 0, lines->items[i].len) == NULL)
            lines->items[i] = with_end(lines->items[i], ENDS[end], arena);
    }
}

Str random_text(Arena *arena) {
    if (chance(4))
        return S("");
    Lines lines = chance(25)   ? nasty_lines(arena)
                  : chance(20) ? real_lines(1 + pick(4), arena)
                               : real_lines(chance(20) ? MOST_LINES : 5 + pick(50), arena);
    if (chance(20))
        bend_line_ends(&lines, arena);
    Str text = lines_joined(&lines, arena);
    if (chance(4))
        text = str_concat(arena, S("\xEF\xBB\xBF"), text);
    if (chance(12) && str_ends(text, S("\n")))
        text.len--;
    if (chance(5) && text.len) {
        char *bytes = str_cstr(arena, text);
        for (size_t n = pick(4) + 1; n > 0; n--)
            bytes[pick(text.len)] = 0;
        text.ptr = bytes;
    }
    return text;
}

static Str bent_line(Str line, Arena *arena) {
    switch (pick(6)) {
    case 0: return str_concat(arena, S(" "), line);
    case 1: return str_concat(arena, S("\t"), line);
    case 2: return with_end(line, chance(50) ? " \n" : "\t\n", arena);
    case 3: return with_end(line, str_ends(line, S("\r\n")) ? "\n" : "\r\n", arena);
    case 4: return line.len > 1 && line.ptr[0] == ' ' ? str_from(line, 1) : S("\n");
    default: return with_end(line, chance(50) ? "" : "x\n", arena);
    }
}

static void edit_lines(Lines *lines, Arena *arena) {
    size_t at = pick(lines->count + 1), count = 1 + pick(4);
    count = count < lines->count - at ? count : lines->count - at;
    switch (pick(10)) {
    case 0:
    case 1:
    case 2: /* others in their place */
        lines_remove(lines, at, count);
        /* fall through */
    case 3:
    case 4: {
        Lines more = chance(70) ? real_lines(1 + pick(4), arena) : nasty_lines(arena);
        for (size_t i = 0; i < more.count && i < 6; i++)
            lines_insert(lines, at + i, more.items[i], arena);
        break;
    }
    case 5:
    case 6: lines_remove(lines, at, count); break;
    case 7: { /* a block moves, or is there twice */
        Lines block = {0};
        for (size_t i = 0; i < count; i++)
            lines_insert(&block, i, lines->items[at + i], arena);
        if (chance(60))
            lines_remove(lines, at, count);
        size_t to = pick(lines->count + 1);
        for (size_t i = 0; i < count; i++)
            lines_insert(lines, to + i, block.items[i], arena);
        break;
    }
    default:
        if (at < lines->count)
            lines->items[at] = bent_line(lines->items[at], arena);
        else
            lines_insert(lines, at, S("appended\n"), arena);
    }
}

Str edited_text(Str text, size_t edits, Arena *arena) {
    Lines lines = lines_of(text, arena);
    for (size_t i = 0; i < edits; i++)
        edit_lines(&lines, arena);
    Str after = lines_joined(&lines, arena);
    if (chance(6))
        after =
            str_ends(after, S("\n")) ? str_slice(after, 0, after.len - 1) : str_concat(arena, after, S("\n"));
    return after;
}
