/* Random trees and what happens to them. */
#include <stdio.h>
#include <string.h>

#include "tests/differential/texts.h"

static const char *const NAMES[] = {"plain.c",
                                    "with blank",
                                    "tab\tin it",
                                    "quote\"in it",
                                    "back\\slash",
                                    "new\nline",
                                    "f\xC3\xBCr",
                                    "raw\xFF",
                                    "end ",
                                    " start",
                                    "-dash",
                                    "--- x",
                                    "+++ x",
                                    "a",
                                    "b",
                                    "dev",
                                    "null",
                                    "x.orig",
                                    "x",
                                    "x~",
                                    "X",
                                    ".gitignore",
                                    ".gitx",
                                    ".gitmodules",
                                    "git",
                                    "cr\rin",
                                    "b b",
                                    "a b",
                                    "x 2020-01-01 00:00:00 +0000",
                                    "x\t2020",
                                    "@@ -1 +1 @@",
                                    "'quoted'",
                                    "\xE2\x80\xA8",
                                    "bell\a",
                                    "semi;colon",
                                    "$(dollar)",
                                    "*",
                                    "...",
                                    "c.",
                                    "very-long-name-that-goes-on-and-on"};

enum { NAME_COUNT = sizeof NAMES / sizeof *NAMES };

static Str name_part(Arena *arena) {
    if (chance(35))
        return str_printf(arena, "%c%zu.txt", (char)('f' + pick(6)), pick(10));
    return str_of(NAMES[pick(NAME_COUNT)]);
}

static Str folder_part(Arena *arena) {
    return chance(60) ? str_printf(arena, "%c", (char)('a' + pick(5))) : name_part(arena);
}

Str random_name(const SmallTree *tree, Arena *arena) {
    for (;;) {
        Str name = name_part(arena);
        size_t parts = chance(50) ? 0 : 1 + pick(2);
        for (size_t i = 0; i < parts; i++) {
            Str folder = folder_part(arena);
            name = str_printf(arena, "%.*s/%.*s", STR_ARG(folder), STR_ARG(name));
        }
        if (tree->count && chance(25)) { /* beside one that is there */
            Str other = tree->items[pick(tree->count)].path;
            size_t slash = str_rfind_char(other, '/');
            if (slash != STR_NONE)
                name = str_printf(arena, "%.*s/%.*s", (int)slash, other.ptr, STR_ARG(name));
        }
        if (tree_has_room(tree, name))
            return name;
    }
}

static unsigned random_mode(void) {
    return chance(80) ? TREE_FILE : TREE_PROGRAM;
}

static Str random_target(const SmallTree *tree, Arena *arena) {
    if (tree->count && chance(50))
        return tree->items[pick(tree->count)].path;
    return chance(10) ? S("two\nlines\n") : str_printf(arena, "../target%zu", pick(9));
}

static void add_entry(SmallTree *tree, Arena *arena) {
    Str name = random_name(tree, arena);
    if (chance(7))
        tree_put(tree, arena, name, TREE_LINK, random_target(tree, arena));
    else
        tree_put(tree, arena, name, random_mode(), random_text(arena));
}

/* Git takes no patch of such a link, so nobody has one. */
static void unlink_modules(SmallTree *tree) {
    for (size_t i = 0; i < tree->count; i++)
        if (tree->items[i].mode == TREE_LINK && str_contains(tree->items[i].path, S(".gitmodules")))
            tree->items[i].mode = TREE_FILE;
}

SmallTree random_tree(Arena *arena) {
    SmallTree tree = {0};
    for (size_t n = 1 + pick(8); n > 0; n--)
        add_entry(&tree, arena);
    unlink_modules(&tree);
    return tree;
}

static void rename_entry(SmallTree *tree, SmallEntry *entry, bool is_copy, Arena *arena) {
    SmallEntry was = *entry;
    if (!is_copy)
        tree_remove(tree, was.path);
    Str text = was.mode != TREE_LINK && chance(50) ? edited_text(was.text, 1 + pick(2), arena) : was.text;
    tree_put(tree, arena, random_name(tree, arena), was.mode, text);
}

static void swap_entries(SmallTree *tree, SmallEntry *a) {
    SmallEntry *b = &tree->items[pick(tree->count)];
    SmallEntry was = *a;
    a->mode = b->mode;
    a->text = b->text;
    b->mode = was.mode;
    b->text = was.text;
}

static void change_type(SmallTree *tree, SmallEntry *entry, Arena *arena) {
    Str path = entry->path;
    Str inner = name_part(arena);
    switch (pick(4)) {
    case 0: /* a folder takes a file's place */
        tree_remove(tree, path);
        tree_put(tree, arena, str_printf(arena, "%.*s/%.*s", STR_ARG(path), STR_ARG(inner)), random_mode(),
                 random_text(arena));
        break;
    case 1: { /* a file takes a folder's place */
        size_t slash = str_find_char(path, '/', 0);
        if (slash == STR_NONE)
            break;
        Str folder = str_slice(path, 0, slash), inside = str_slice(path, 0, slash + 1);
        for (size_t i = tree->count; i-- > 0;)
            if (str_starts(tree->items[i].path, inside))
                tree_remove(tree, tree->items[i].path);
        tree_put(tree, arena, folder, random_mode(), random_text(arena));
        break;
    }
    default:
        if (entry->mode == TREE_LINK)
            tree_put(tree, arena, path, random_mode(), random_text(arena));
        else
            tree_put(tree, arena, path, TREE_LINK, random_target(tree, arena));
    }
}

static void change_tree(SmallTree *tree, Arena *arena) {
    if (tree->count == 0) {
        add_entry(tree, arena);
        return;
    }
    SmallEntry *entry = &tree->items[pick(tree->count)];
    size_t kind = pick(100);
    if (kind < 50) {
        if (entry->mode == TREE_LINK)
            entry->text = random_target(tree, arena);
        else
            entry->text = edited_text(entry->text, 1 + pick(3), arena);
    } else if (kind < 60) {
        add_entry(tree, arena);
    } else if (kind < 68) {
        tree_remove(tree, entry->path);
    } else if (kind < 80) {
        rename_entry(tree, entry, false, arena);
    } else if (kind < 86) {
        rename_entry(tree, entry, true, arena);
    } else if (kind < 92) {
        if (entry->mode != TREE_LINK)
            entry->mode ^= TREE_FILE ^ TREE_PROGRAM;
    } else if (kind < 95) {
        swap_entries(tree, entry);
    } else {
        change_type(tree, entry, arena);
    }
}

SmallTree edited_tree(const SmallTree *tree, Arena *arena) {
    SmallTree after = tree_copy(tree, arena);
    for (size_t n = 1 + pick(5); n > 0; n--)
        change_tree(&after, arena);
    unlink_modules(&after);
    return after;
}
