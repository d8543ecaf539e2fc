#include "tests/differential/shrinking.h"

#include "tests/differential/texts.h"

enum { MOST_TRIES = 1500 };

typedef struct Search {
    ApplyCase *test;
    bool (*is_failing)(const ApplyCase *test);
    Arena *arena;
    size_t tries;
} Search;

static bool keeps_failing(Search *search, const ApplyCase *smaller) {
    if (search->tries >= MOST_TRIES)
        return false;
    search->tries++;
    if (!search->is_failing(smaller))
        return false;
    *search->test = *smaller;
    return true;
}

/* Leaves out blocks of lines of *text, which lies inside *search->test; halving blocks. */
static bool shrink_text(Search *search, Str *text) {
    bool has_shrunk = false;
    Lines lines = lines_of(*text, search->arena);
    for (size_t block = lines.count; block > 0; block /= 2)
        for (size_t at = 0; at + block <= lines.count && search->tries < MOST_TRIES;) {
            Lines fewer = {0};
            for (size_t i = 0; i < lines.count; i++)
                if (i < at || i >= at + block)
                    lines_insert(&fewer, fewer.count, lines.items[i], search->arena);
            Str was = *text;
            *text = lines_joined(&fewer, search->arena);
            search->tries++;
            if (search->is_failing(search->test)) {
                lines = fewer;
                has_shrunk = true;
            } else {
                *text = was;
                at += block;
            }
        }
    return has_shrunk;
}

static bool drop_files(Search *search) {
    bool has_shrunk = false;
    for (size_t i = search->test->tree.count; i-- > 0;) {
        ApplyCase smaller = *search->test;
        smaller.tree = tree_copy(&search->test->tree, search->arena);
        tree_remove(&smaller.tree, smaller.tree.items[i].path);
        has_shrunk |= keeps_failing(search, &smaller);
    }
    return has_shrunk;
}

static bool drop_options(Search *search) {
    bool has_shrunk = false;
    for (size_t i = 0; i < 5; i++) {
        ApplyCase smaller = *search->test;
        bool *flags[] = {&smaller.options.recount, &smaller.options.unidiff_zero,
                         &smaller.options.ignore_whitespace, &smaller.options.reverse, &smaller.only_check};
        if (*flags[i]) {
            *flags[i] = false;
            has_shrunk |= keeps_failing(search, &smaller);
        }
    }
    if (search->test->options.has_least_context) {
        ApplyCase smaller = *search->test;
        smaller.options.has_least_context = false;
        has_shrunk |= keeps_failing(search, &smaller);
    }
    return has_shrunk;
}

void shrink_case(ApplyCase *test, bool (*is_failing)(const ApplyCase *test), Arena *arena) {
    Search search = {test, is_failing, arena, 0};
    test->tree = tree_copy(&test->tree, arena);
    for (bool has_shrunk = true; has_shrunk && search.tries < MOST_TRIES;) {
        has_shrunk = drop_options(&search);
        has_shrunk |= drop_files(&search);
        has_shrunk |= shrink_text(&search, &test->patch);
        for (size_t i = 0; i < test->tree.count; i++)
            if (test->tree.items[i].mode != TREE_LINK)
                has_shrunk |= shrink_text(&search, &test->tree.items[i].text);
    }
}
