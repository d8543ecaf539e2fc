/* Trees that are no longer what the patch was made from. */
#include <stdio.h>
#include <string.h>

#include "tests/differential/damage.h"
#include "tests/differential/texts.h"

/* An entry that the patch touches, mostly. */
static SmallEntry *pick_entry(Trial *trial) {
    SmallTree *tree = &trial->test.tree;
    SmallEntry *entry = NULL;
    for (size_t tries = 8; tries > 0 && tree->count; tries--) {
        entry = &tree->items[pick(tree->count)];
        const SmallEntry *after = tree_find(&trial->after, entry->path);
        if (!after || !str_eq(after->text, entry->text) || after->mode != entry->mode)
            return entry;
    }
    return entry;
}

static SmallEntry *pick_file(Trial *trial) {
    SmallEntry *entry = pick_entry(trial);
    return entry && (entry->mode & 0100000) && entry->mode != TREE_LINK ? entry : NULL;
}

static void shift_lines(Trial *trial, Arena *arena) {
    SmallEntry *entry = pick_file(trial);
    if (!entry)
        return;
    Lines lines = lines_of(entry->text, arena), more = lines_of(random_text(arena), arena);
    size_t at = chance(60) ? 0 : pick(lines.count + 1);
    for (size_t i = 0; i < more.count && i < 12; i++)
        if (str_ends(more.items[i], S("\n")))
            lines_insert(&lines, at, more.items[i], arena);
    entry->text = lines_joined(&lines, arena);
}

static void lose_lines(Trial *trial, Arena *arena) {
    SmallEntry *entry = pick_file(trial);
    if (!entry)
        return;
    Lines lines = lines_of(entry->text, arena);
    size_t at = chance(50) ? 0 : pick(lines.count + 1), count = pick(4);
    lines_remove(&lines, at, count < lines.count - at ? count : lines.count - at);
    entry->text = lines_joined(&lines, arena);
}

static void edit_file(Trial *trial, Arena *arena) {
    SmallEntry *entry = pick_file(trial);
    if (entry)
        entry->text = edited_text(entry->text, 1 + pick(2), arena);
}

static void double_text(Trial *trial, Arena *arena) {
    SmallEntry *entry = pick_file(trial);
    if (entry)
        entry->text = str_concat(arena, entry->text, entry->text);
}

static void bend_line_ends(Trial *trial, Arena *arena) {
    SmallEntry *entry = pick_file(trial);
    if (!entry)
        return;
    Lines lines = lines_of(entry->text, arena);
    for (size_t i = 0; i < lines.count; i++) {
        Str line = lines.items[i];
        if (str_ends(line, S("\r\n")))
            lines.items[i] = str_printf(arena, "%.*s\n", (int)line.len - 2, line.ptr);
        else if (str_ends(line, S("\n")))
            lines.items[i] = str_printf(arena, "%.*s\r\n", (int)line.len - 1, line.ptr);
    }
    if (!memchr(entry->text.ptr, 0, entry->text.len))
        entry->text = lines_joined(&lines, arena);
    trial->test.options.ignore_whitespace = chance(40);
}

static void bend_blanks(Trial *trial, Arena *arena) {
    SmallEntry *entry = pick_file(trial);
    if (!entry || memchr(entry->text.ptr, 0, entry->text.len))
        return;
    static const char *const BLANKS[] = {"  ", "\t", " \t", "\r", "\v", ""};
    Lines lines = lines_of(entry->text, arena);
    for (size_t i = 0; i < lines.count; i++) {
        Str line = lines.items[i];
        size_t at = str_find_char(line, chance(80) ? ' ' : '\n', 0);
        if (at != STR_NONE && chance(40))
            lines.items[i] =
                str_printf(arena, "%.*s%s%.*s", (int)at, line.ptr, BLANKS[pick(chance(70) ? 3 : 6)],
                           STR_ARG(str_from(line, line.ptr[at] == ' ' ? at + 1 : at)));
    }
    entry->text = lines_joined(&lines, arena);
    trial->test.options.ignore_whitespace = chance(85);
}

static void toggle_final_newline(Trial *trial, Arena *arena) {
    SmallEntry *entry = pick_file(trial);
    if (entry)
        entry->text = str_ends(entry->text, S("\n")) ? str_slice(entry->text, 0, entry->text.len - 1)
                                                     : str_concat(arena, entry->text, S("\n"));
}

static void lose_file(Trial *trial, Arena *arena) {
    (void)arena;
    SmallEntry *entry = pick_entry(trial);
    if (entry)
        tree_remove(&trial->test.tree, entry->path);
}

/* Something stands where the patch wants to create. */
static void stand_in_the_way(Trial *trial, Arena *arena) {
    SmallTree *tree = &trial->test.tree;
    for (size_t i = 0; i < trial->after.count; i++) {
        Str path = trial->after.items[i].path;
        size_t slash = str_rfind_char(path, '/');
        if (!tree_has_room(tree, path))
            continue;
        switch (pick(5)) {
        case 0: tree_put(tree, arena, path, TREE_FOLDER, S("")); break;
        case 1: tree_put(tree, arena, path, TREE_LINK, S("nowhere")); break;
        case 2:
            if (slash != STR_NONE && tree_has_room(tree, str_slice(path, 0, slash)))
                tree_put(tree, arena, str_slice(path, 0, slash), chance(50) ? TREE_FILE : TREE_LINK,
                         S("in the way"));
            break;
        case 3:
            tree_put(tree, arena, str_printf(arena, "%.*s/inside", STR_ARG(path)), TREE_FILE, S("x\n"));
            break;
        default: tree_put(tree, arena, path, TREE_FILE, chance(50) ? trial->after.items[i].text : S("x\n"));
        }
        return;
    }
}

static void change_kind(Trial *trial, Arena *arena) {
    SmallEntry *entry = pick_entry(trial);
    if (!entry)
        return;
    Str path = entry->path;
    switch (pick(4)) {
    case 0:
        if (entry->mode != TREE_FOLDER && entry->mode != TREE_LINK)
            entry->mode ^= TREE_FILE ^ TREE_PROGRAM;
        break;
    case 1:
        tree_remove(&trial->test.tree, path);
        tree_put(&trial->test.tree, arena, path, TREE_FOLDER, S(""));
        break;
    case 2:
        if (entry->text.len && entry->text.len < 200 && !memchr(entry->text.ptr, 0, entry->text.len))
            entry->mode = TREE_LINK;
        break;
    default: tree_put(&trial->test.tree, arena, path, TREE_FILE, S("a file now\n"));
    }
}

/* The folder of a file is a link to where it really is. */
static void link_folder(Trial *trial, Arena *arena) {
    SmallTree *tree = &trial->test.tree;
    SmallEntry *entry = pick_entry(trial);
    size_t slash = entry ? str_find_char(entry->path, '/', 0) : STR_NONE;
    if (slash == STR_NONE)
        return;
    Str folder = str_slice(entry->path, 0, slash), inside = str_slice(entry->path, 0, slash + 1);
    SmallTree moved = {0};
    for (size_t i = 0; i < tree->count; i++) {
        Str path = tree->items[i].path;
        if (str_starts(path, inside))
            path = str_printf(arena, "elsewhere/%.*s", STR_ARG(str_from(path, inside.len)));
        tree_put(&moved, arena, path, tree->items[i].mode, tree->items[i].text);
    }
    tree_put(&moved, arena, folder, TREE_LINK, S("elsewhere"));
    if (tree_is_sound(&moved))
        *tree = moved;
}

static void apply_before(Trial *trial, Arena *arena) {
    trial->test.tree = tree_copy(chance(50) ? &trial->after : &trial->before, arena);
    if (chance(50))
        edit_file(trial, arena);
}

static const Damage DAMAGES[] = {{"lines shifted", shift_lines},
                                 {"lines lost", lose_lines},
                                 {"file edited", edit_file},
                                 {"text twice", double_text},
                                 {"line ends changed", bend_line_ends},
                                 {"blanks changed", bend_blanks},
                                 {"final newline changed", toggle_final_newline},
                                 {"file lost", lose_file},
                                 {"something in the way", stand_in_the_way},
                                 {"kind changed", change_kind},
                                 {"folder is a link", link_folder},
                                 {"applied before", apply_before}};
const DamageList TREE_DAMAGES = {DAMAGES, sizeof DAMAGES / sizeof *DAMAGES};
