/* Bent lines and hunks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/differential/damage.h"
#include "tests/differential/texts.h"

typedef struct Range {
    size_t begin, end;
} Range;

static bool is_hunk_head(Str line) {
    return str_starts(line, S("@@ -"));
}

static bool is_section_head(Str line) {
    return str_starts(line, S("diff --git ")) || str_starts(line, S("--- "));
}

static Lines patch_lines(const Trial *trial, Arena *arena) {
    return lines_of(trial->test.patch, arena);
}

static void put_back(Trial *trial, const Lines *lines, Arena *arena) {
    trial->test.patch = lines_joined(lines, arena);
}

/* A random line of those that are wanted; STR_NONE when there is none. */
static size_t pick_line(const Lines *lines, bool (*is_wanted)(Str line)) {
    size_t count = 0, chosen = STR_NONE;
    for (size_t i = 0; i < lines->count; i++)
        if (is_wanted(lines->items[i]) && pick(++count) == 0)
            chosen = i;
    return chosen;
}

static bool pick_hunk(const Lines *lines, Range *out) {
    size_t begin = pick_line(lines, is_hunk_head), end = begin + 1;
    if (begin == STR_NONE)
        return false;
    while (end < lines->count && !is_hunk_head(lines->items[end]) && !is_section_head(lines->items[end]))
        end++;
    *out = (Range){begin, end};
    return true;
}

static bool is_body(Str line) {
    return line.len && strchr(" +-\\", line.ptr[0]) && !str_starts(line, S("--- ")) &&
           !str_starts(line, S("+++ "));
}

static bool is_context(Str line) {
    return str_starts(line, S(" "));
}

static bool is_marker(Str line) {
    return str_starts(line, S("\\ "));
}

/* ---- bytes and lines ---- */

static void flip_byte(Trial *trial, Arena *arena) {
    if (!trial->test.patch.len)
        return;
    char *bytes = str_cstr(arena, trial->test.patch);
    bytes[pick(trial->test.patch.len)] ^= (char)(1 << pick(7));
    trial->test.patch.ptr = bytes;
}

static void drop_line(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    if (lines.count)
        lines_remove(&lines, pick(lines.count), 1);
    put_back(trial, &lines, arena);
}

static void double_line(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    size_t at = pick(lines.count);
    if (lines.count)
        lines_insert(&lines, at, lines.items[at], arena);
    put_back(trial, &lines, arena);
}

static void change_body_line(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    size_t at = pick_line(&lines, is_body);
    if (at != STR_NONE) {
        Str line = lines.items[at];
        switch (pick(5)) {
        case 0:
            lines.items[at] = str_printf(arena, "%c%.*s", " +-\\@"[pick(5)], STR_ARG(str_from(line, 1)));
            break;
        case 1: lines.items[at] = str_concat(arena, str_slice(line, 0, 1), S("other text\n")); break;
        case 2: lines.items[at] = str_from(line, 1); break;
        case 3: lines.items[at] = S("\n"); break;
        default: lines_insert(&lines, at, str_printf(arena, "%cadded\n", " +-"[pick(3)]), arena);
        }
    }
    put_back(trial, &lines, arena);
}

static void truncate_patch(Trial *trial, Arena *arena) {
    (void)arena;
    size_t n = chance(50) ? pick(60) : pick(trial->test.patch.len + 1);
    trial->test.patch.len -= n < trial->test.patch.len ? n : 0;
}

static void drop_last_newline(Trial *trial, Arena *arena) {
    (void)arena;
    trial->test.patch.len -= str_ends(trial->test.patch, S("\n"));
}

static void add_returns(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    size_t which = pick(4);
    for (size_t i = 0; i < lines.count; i++) {
        Str line = lines.items[i];
        bool is_wanted = which == 0 || (which == 1 && is_body(line)) || (which == 2 && !is_body(line)) ||
                         (which == 3 && chance(10));
        if (is_wanted && str_ends(line, S("\n")))
            lines.items[i] = str_printf(arena, "%.*s\r\n", (int)line.len - 1, line.ptr);
    }
    put_back(trial, &lines, arena);
}

static void drop_returns(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    for (size_t i = 0; i < lines.count; i++) {
        Str line = lines.items[i];
        if (str_ends(line, S("\r\n")))
            lines.items[i] = str_printf(arena, "%.*s\n", (int)line.len - 2, line.ptr);
    }
    put_back(trial, &lines, arena);
}

/* As mailers do it. */
static void strip_blank_context(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    bool all = chance(30);
    for (size_t i = 0; i < lines.count; i++) {
        Str line = lines.items[i], body = str_trim_end(line);
        if (str_eq(line, S(" \n")) || (all && is_body(line)))
            lines.items[i] = str_concat(arena, body, S("\n"));
    }
    put_back(trial, &lines, arena);
}

static void bend_blanks(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    for (size_t i = 0; i < lines.count; i++) {
        Str line = lines.items[i];
        size_t at = str_find_char(line, ' ', 1);
        if (!is_body(line) || line.ptr[0] == '\\' || at == STR_NONE || !chance(40))
            continue;
        static const char *const BLANKS[] = {"  ", "\t", " \t ", ""};
        lines.items[i] = str_printf(arena, "%.*s%s%.*s", (int)at, line.ptr, BLANKS[pick(chance(80) ? 3 : 4)],
                                    STR_ARG(str_from(line, at + 1)));
    }
    put_back(trial, &lines, arena);
    if (chance(80))
        trial->test.options.ignore_whitespace = true;
}

static void move_marker(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    size_t at = pick_line(&lines, is_marker), body;
    Str marker = at != STR_NONE ? lines.items[at] : S("\\ No newline at end of file\n");
    if (at != STR_NONE && chance(70))
        lines_remove(&lines, at, 1);
    if (chance(30))
        marker = chance(50) ? S("\\ Kein Zeilenumbruch am Dateiende\n") : S("\\ No\n");
    if (chance(70) && (body = pick_line(&lines, is_body)) != STR_NONE)
        lines_insert(&lines, body + 1, marker, arena);
    put_back(trial, &lines, arena);
}

/* ---- hunks ---- */

static void print_range(Buf *out, char sign, unsigned long long start, unsigned long long count) {
    if (count == 1 && chance(50))
        buf_printf(out, "%c%llu", sign, start);
    else
        buf_printf(out, "%c%llu,%llu", sign, start, count);
}

static void change_numbers(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    size_t at = pick_line(&lines, is_hunk_head);
    unsigned long long n[4] = {0, 1, 0, 1};
    if (at == STR_NONE)
        return;
    const char *line = str_cstr(arena, lines.items[at]);
    if (sscanf(line, "@@ -%llu,%llu +%llu,%llu", &n[0], &n[1], &n[2], &n[3]) != 4)
        return;
    static const long long STEPS[] = {1, -1, 2, 10, -5, 1000};
    size_t which = chance(65) ? 2 * pick(2) : pick(4); /* mostly where, seldom how many */
    long long value = (long long)n[which] + STEPS[pick(6)];
    n[which] = value < 0 ? 0 : (unsigned long long)value;
    if (chance(3))
        n[which] = chance(50) ? 18446744073709551615ull : 9999999999ull;
    if (which % 2 == 0 && chance(40))
        n[2 - which] = n[which];
    Buf out = {0};
    buf_cstr(&out, "@@ ");
    print_range(&out, '-', n[0], n[1]);
    buf_char(&out, ' ');
    print_range(&out, '+', n[2], n[3]);
    const char *rest = strstr(line, " @@");
    buf_cstr(&out, rest ? rest : " @@\n");
    lines.items[at] = buf_copy(&out, arena);
    buf_free(&out);
    put_back(trial, &lines, arena);
}

static void drop_hunk(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    Range hunk;
    if (pick_hunk(&lines, &hunk))
        lines_remove(&lines, hunk.begin, hunk.end - hunk.begin);
    put_back(trial, &lines, arena);
}

static void double_hunk(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    Range hunk;
    if (!pick_hunk(&lines, &hunk))
        return;
    for (size_t n = hunk.end - hunk.begin, i = 0; i < n; i++)
        lines_insert(&lines, hunk.end + i, lines.items[hunk.begin + i], arena);
    put_back(trial, &lines, arena);
}

/* A hunk trades places with the one behind it. */
static void swap_hunks(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    Range hunk;
    if (!pick_hunk(&lines, &hunk) || hunk.end == lines.count || !is_hunk_head(lines.items[hunk.end]))
        return;
    for (size_t end = hunk.end + 1; end <= lines.count; end++) {
        bool is_end =
            end == lines.count || is_hunk_head(lines.items[end]) || is_section_head(lines.items[end]);
        if (!is_end)
            continue;
        for (size_t i = hunk.end, to = hunk.begin; i < end; i++, to++) {
            Str line = lines.items[i];
            lines_remove(&lines, i, 1);
            lines_insert(&lines, to, line, arena);
        }
        break;
    }
    put_back(trial, &lines, arena);
}

/* Fewer lines of context at one end of a hunk, counted rightly. */
static void trim_context(Trial *trial, Arena *arena) {
    Lines lines = patch_lines(trial, arena);
    Range hunk;
    unsigned long long n[4];
    if (!pick_hunk(&lines, &hunk) || sscanf(str_cstr(arena, lines.items[hunk.begin]),
                                            "@@ -%llu,%llu +%llu,%llu", &n[0], &n[1], &n[2], &n[3]) != 4)
        return;
    bool at_end = chance(50);
    for (size_t times = 1 + pick(3); times > 0; times--) {
        size_t at = at_end ? hunk.end - 1 : hunk.begin + 1;
        if (at <= hunk.begin || at >= hunk.end || !is_context(lines.items[at]))
            break;
        lines_remove(&lines, at, 1);
        hunk.end--;
        n[1]--;
        n[3]--;
        n[0] += !at_end;
        n[2] += !at_end;
    }
    lines.items[hunk.begin] = str_printf(arena, "@@ -%llu,%llu +%llu,%llu @@\n", n[0], n[1], n[2], n[3]);
    put_back(trial, &lines, arena);
}

static const Damage DAMAGES[] = {{"flipped byte", flip_byte},
                                 {"dropped line", drop_line},
                                 {"doubled line", double_line},
                                 {"changed body line", change_body_line},
                                 {"truncated", truncate_patch},
                                 {"no final newline", drop_last_newline},
                                 {"returns added", add_returns},
                                 {"returns dropped", drop_returns},
                                 {"blank context stripped", strip_blank_context},
                                 {"blanks bent", bend_blanks},
                                 {"no-newline marker moved", move_marker},
                                 {"hunk numbers changed", change_numbers},
                                 {"dropped hunk", drop_hunk},
                                 {"doubled hunk", double_hunk},
                                 {"swapped hunks", swap_hunks},
                                 {"context trimmed", trim_context}};
const DamageList LINE_DAMAGES = {DAMAGES, sizeof DAMAGES / sizeof *DAMAGES};
