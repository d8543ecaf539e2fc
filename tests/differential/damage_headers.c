/* Bent names, modes and header lines, and the text that mail puts around a patch. */
#include <stdio.h>
#include <string.h>

#include "tests/differential/damage.h"
#include "tests/differential/texts.h"

static bool is_name_line(Str line) {
    static const char *const STARTS[] = {"diff --git ", "--- ",       "+++ ",    "rename from ",
                                         "rename to ",  "copy from ", "copy to "};
    for (size_t i = 0; i < sizeof STARTS / sizeof *STARTS; i++)
        if (str_starts(line, str_of(STARTS[i])))
            return true;
    return false;
}

static bool is_header(Str line) {
    static const char *const STARTS[] = {"old mode ",   "new mode ",      "deleted file ", "new file ",
                                         "similarity ", "dissimilarity ", "index ",        "Binary files ",
                                         "GIT binary ", "literal ",       "delta "};
    for (size_t i = 0; i < sizeof STARTS / sizeof *STARTS; i++)
        if (str_starts(line, str_of(STARTS[i])))
            return true;
    return is_name_line(line);
}

static bool is_mode_line(Str line) {
    return str_contains(str_slice(line, 0, 18), S("mode ")) && is_header(line);
}

static bool is_index_line(Str line) {
    return str_starts(line, S("index "));
}

static bool is_section(Str line) {
    return str_starts(line, S("diff --git "));
}

static bool is_old_name(Str line) {
    return str_starts(line, S("--- "));
}

static size_t pick_line(const Lines *lines, bool (*is_wanted)(Str line)) {
    size_t count = 0, chosen = STR_NONE;
    for (size_t i = 0; i < lines->count; i++)
        if (is_wanted(lines->items[i]) && pick(++count) == 0)
            chosen = i;
    return chosen;
}

static Str replaced(Str text, Str old, Str new, Arena *arena) {
    size_t at = str_find(text, old, 0);
    return at == STR_NONE ? text
                          : str_printf(arena, "%.*s%.*s%.*s", (int)at, text.ptr, STR_ARG(new),
                                       STR_ARG(str_from(text, at + old.len)));
}

/* The name in all of its headers becomes another. */
static void replace_name(Trial *trial, Str old, Str new, Arena *arena) {
    Lines lines = lines_of(trial->test.patch, arena);
    for (size_t i = 0; i < lines.count; i++)
        if (is_name_line(lines.items[i]))
            for (size_t n = 0; n < 2; n++)
                if (!str_contains(new, old) || n == 0)
                    lines.items[i] = replaced(lines.items[i], old, new, arena);
    trial->test.patch = lines_joined(&lines, arena);
}

static Str any_path(const Trial *trial) {
    const SmallTree *tree = chance(70) && trial->after.count ? &trial->after : &trial->before;
    return tree->count ? tree->items[pick(tree->count)].path : S("x");
}

static void escape(Trial *trial, Arena *arena) {
    static const char *const FORMS[] = {
        "../%s", "a/../../%s", "/%s",      "./%s",     ".git/%s",   ".GIT/%s",   "x/.git", ".Git",
        "x/..",  "..",         "x//%s",    ".git /%s", "git~1/%s",  ".git./%s",  "x/./%s", "...",
        "%s/",   "%s/.",       ".git\\%s", "GIT~1",    ".gitfoo%s", "/dev/null", "",       ".git::$INDEX/%s"};
    Str path = any_path(trial);
    const char *form = FORMS[pick(sizeof FORMS / sizeof *FORMS)];
    const char *hole = strstr(form, "%s");
    Str bad = str_of(form);
    if (hole)
        bad = str_printf(arena, "%.*s%.*s%s", (int)(hole - form), form, STR_ARG(path), hole + 2);
    replace_name(trial, path, bad, arena);
}

static void bend_name(Trial *trial, Arena *arena) {
    static const char *const FORMS[] = {"%s.orig",
                                        "%s~",
                                        "%s ",
                                        "%s\t",
                                        "%s\t2020-01-01 10:00:00.0 +0100",
                                        "\"%s\"",
                                        "%s\t1970-01-01 00:00:00 +0000",
                                        "%s 2020-01-01 10:00:00 -02:30",
                                        "%s\tThu Jan 1 00:00:00 1970",
                                        "other",
                                        "\"a/%s\"",
                                        "/dev/null",
                                        "%s\\n"};
    Lines lines = lines_of(trial->test.patch, arena);
    size_t at = pick_line(&lines, is_name_line);
    Str path = any_path(trial);
    const char *form = FORMS[pick(sizeof FORMS / sizeof *FORMS)];
    const char *hole = strstr(form, "%s");
    Str name = hole ? str_printf(arena, "%.*s%.*s%s", (int)(hole - form), form, STR_ARG(path), hole + 2)
                    : str_of(form);
    if (at != STR_NONE)
        lines.items[at] = replaced(lines.items[at], path, name, arena);
    trial->test.patch = lines_joined(&lines, arena);
}

static void swap_names(Trial *trial, Arena *arena) {
    replace_name(trial, any_path(trial), any_path(trial), arena);
}

static void drop_header(Trial *trial, Arena *arena) {
    Lines lines = lines_of(trial->test.patch, arena);
    size_t at = pick_line(&lines, is_header);
    if (at != STR_NONE)
        lines_remove(&lines, at, 1);
    trial->test.patch = lines_joined(&lines, arena);
}

static void move_header(Trial *trial, Arena *arena) {
    Lines lines = lines_of(trial->test.patch, arena);
    size_t at = pick_line(&lines, is_header), to = pick_line(&lines, is_header);
    if (at != STR_NONE) {
        Str line = lines.items[at];
        if (chance(60))
            lines_remove(&lines, at, 1);
        lines_insert(&lines, to < lines.count ? to : lines.count, line, arena);
    }
    trial->test.patch = lines_joined(&lines, arena);
}

static void add_header(Trial *trial, Arena *arena) {
    static const char *const HEADERS[] = {"new file mode 100644\n",  "deleted file mode 100644\n",
                                          "old mode 100644\n",       "new mode 100755\n",
                                          "new mode 120000\n",       "index 1234567..89abcde 100644\n",
                                          "similarity index 100%\n", "rename from x\n",
                                          "unknown header\n",        "\n",
                                          "--- /dev/null\n",         "+++ /dev/null\n",
                                          "GIT binary patch\n",      "Binary files a/x and b/x differ\n",
                                          "new file mode 160000\n"};
    Lines lines = lines_of(trial->test.patch, arena);
    size_t at = pick_line(&lines, is_header);
    if (at != STR_NONE)
        lines_insert(&lines, at + 1, str_of(HEADERS[pick(sizeof HEADERS / sizeof *HEADERS)]), arena);
    trial->test.patch = lines_joined(&lines, arena);
}

static void change_mode(Trial *trial, Arena *arena) {
    static const char *const MODES[] = {"100644", "100755", "120000", "160000", "100664",
                                        "040000", "0",      "644",    "x",      ""};
    Lines lines = lines_of(trial->test.patch, arena);
    size_t at = pick_line(&lines, is_mode_line);
    if (at != STR_NONE) {
        size_t end = str_find(lines.items[at], S("mode "), 0) + 5;
        lines.items[at] = str_printf(arena, "%.*s%s\n", (int)end, lines.items[at].ptr,
                                     MODES[pick(chance(70) ? 3 : sizeof MODES / sizeof *MODES)]);
    }
    trial->test.patch = lines_joined(&lines, arena);
}

static void change_index(Trial *trial, Arena *arena) {
    static const char *const IDS[] = {"0000000",
                                      "e69de29",
                                      "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
                                      "0000000000000000000000000000000000000000",
                                      "xyz",
                                      ""};
    Lines lines = lines_of(trial->test.patch, arena);
    size_t at = pick_line(&lines, is_index_line);
    if (at != STR_NONE)
        lines.items[at] = str_printf(arena, "index %s..%s%s\n", IDS[pick(6)], IDS[pick(6)],
                                     chance(50)   ? " 100644"
                                     : chance(30) ? " 120000"
                                                  : "");
    trial->test.patch = lines_joined(&lines, arena);
}

/* Only the lines of the old form stay. */
static void strip_git_headers(Trial *trial, Arena *arena) {
    Lines lines = lines_of(trial->test.patch, arena), kept = {0};
    for (size_t i = 0; i < lines.count; i++) {
        Str line = lines.items[i];
        bool is_old = str_starts(line, S("--- ")) || str_starts(line, S("+++ "));
        if (!is_header(line) || is_old)
            lines_insert(&kept, kept.count, line, arena);
    }
    trial->test.patch = lines_joined(&kept, arena);
}

static void add_dates(Trial *trial, Arena *arena) {
    static const char *const DATES[] = {"2024-02-29 23:59:59.123456789 +0200",
                                        "1970-01-01 00:00:00 +0000",
                                        "1970-01-01 01:00:00.000000000 +0100",
                                        "1969-12-31 16:00:00 -0800",
                                        "2024-02-29 23:59 +0200",
                                        "Fri Nov 21 10:00:00 2025"};
    strip_git_headers(trial, arena);
    Lines lines = lines_of(trial->test.patch, arena);
    for (size_t i = 0; i < lines.count; i++) {
        Str line = lines.items[i];
        bool is_old = str_starts(line, S("--- ")) || str_starts(line, S("+++ "));
        if (is_old && str_ends(line, S("\n")) && str_find_char(line, '\t', 0) == STR_NONE)
            lines.items[i] =
                str_printf(arena, "%.*s\t%s\n", (int)line.len - 1, line.ptr, DATES[chance(60) ? 0 : pick(6)]);
    }
    trial->test.patch = lines_joined(&lines, arena);
}

/* ---- around and between ---- */

static void wrap_in_mail(Trial *trial, Arena *arena) {
    Str patch = trial->test.patch;
    Str head = S("From 0123456789 Mon Sep 17 00:00:00 2001\nFrom: A <a@b.c>\nSubject: [PATCH] words\n\n"
                 "Some words.\n--- \n a/x | 2 +-\n 1 file changed\n create mode 100644 x\n\n");
    Str tail = chance(50) ? S("-- \n2.39.5\n\n") : S("--\nsignature\n");
    trial->test.patch = str_printf(arena, "%.*s%.*s%.*s", chance(70) ? (int)head.len : 0, head.ptr,
                                   STR_ARG(patch), chance(70) ? (int)tail.len : 0, tail.ptr);
}

static void add_garbage(Trial *trial, Arena *arena) {
    static const char *const TEXTS[] = {"Only in a: x\n",
                                        "\n",
                                        "garbage\n",
                                        "Index: x\n=====\n",
                                        "--- x\n",
                                        "+++ y\n",
                                        "@@ -1 +1 @@\n",
                                        "diff -ru a/x b/x\n",
                                        "-- \n",
                                        "*** x\n",
                                        "diff --git a/x b/x\n",
                                        "diff --git \"a/x\n",
                                        " \n",
                                        "--- a/x\n+++ b/x\n"};
    Lines lines = lines_of(trial->test.patch, arena);
    size_t at = pick_line(&lines, chance(60) ? is_section : is_old_name);
    lines_insert(&lines, at == STR_NONE || chance(20) ? lines.count : at,
                 str_of(TEXTS[pick(sizeof TEXTS / sizeof *TEXTS)]), arena);
    trial->test.patch = lines_joined(&lines, arena);
}

static void apply_twice(Trial *trial, Arena *arena) {
    trial->test.patch = str_concat(arena, trial->test.patch, trial->test.patch);
}

/* A section moves to the front. */
static void move_section(Trial *trial, Arena *arena) {
    Lines lines = lines_of(trial->test.patch, arena);
    size_t begin = pick_line(&lines, is_section), end = begin + 1;
    if (begin == STR_NONE)
        return;
    while (end < lines.count && !is_section(lines.items[end]))
        end++;
    for (size_t i = begin; i < end; i++) {
        Str line = lines.items[i];
        lines_remove(&lines, i, 1);
        lines_insert(&lines, i - begin, line, arena);
    }
    if (chance(20))
        lines_remove(&lines, 0, end - begin);
    trial->test.patch = lines_joined(&lines, arena);
}

static const Damage DAMAGES[] = {{"path escape", escape},
                                 {"bent name", bend_name},
                                 {"names exchanged", swap_names},
                                 {"dropped header", drop_header},
                                 {"moved header", move_header},
                                 {"added header", add_header},
                                 {"changed mode", change_mode},
                                 {"changed index line", change_index},
                                 {"git headers stripped", strip_git_headers},
                                 {"dates added", add_dates},
                                 {"mail around", wrap_in_mail},
                                 {"garbage between", add_garbage},
                                 {"patch twice", apply_twice},
                                 {"moved section", move_section}};
const DamageList HEADER_DAMAGES = {DAMAGES, sizeof DAMAGES / sizeof *DAMAGES};
