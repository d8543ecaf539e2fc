/* The paths of the repository and the identifiers that a request names. */
#include <ctype.h>
#include <string.h>

#include "planner/request_internal.h"

bool word_in_list(Str word, const char *list) {
    while (*list) {
        size_t n = strcspn(list, "|");
        if (str_eq_nocase(word, (Str){list, n}))
            return true;
        list += n + (list[n] == '|');
    }
    return false;
}

static Str base_name(Str path) {
    size_t slash = str_rfind_char(path, '/');
    return slash == STR_NONE ? path : str_from(path, slash + 1);
}

static void add_path(Request *r, Arena *arena, size_t *capacity, Str path) {
    for (size_t i = 0; i < r->path_count; i++)
        if (str_eq(r->paths[i], path))
            return;
    LIST_PUSH(arena, r->paths, r->path_count, *capacity, path);
}

bool word_names_path(Str word, Str path) {
    if (str_starts(word, S("./")) || str_starts(word, S("@")))
        word = str_from(word, word.ptr[0] == '@' ? 1 : 2);
    if (str_eq(word, path))
        return true;
    bool has_folder = str_find_char(word, '/', 0) != STR_NONE;
    if (has_folder)
        return str_ends(path, word) && path.len > word.len && path.ptr[path.len - word.len - 1] == '/';
    return str_find_char(word, '.', 1) != STR_NONE && str_eq(base_name(path), word);
}

/* All files of a folder: "in tests", but not "in the tests too". */
static void read_folder(Request *r, Arena *arena, size_t *capacity, size_t w, const Str *listing,
                        size_t listing_count) {
    Str word = r->words[w].text;
    bool leads = w && word_in_list(r->words[w - 1].text, "in|inside|under|within|the|folder|directory");
    bool adds = w + 1 < r->word_count && word_in_list(r->words[w + 1].text, "too|also|as");
    if (str_ends(word, S("/")))
        word = str_slice(word, 0, word.len - 1);
    if (!leads || adds || word.len == 0)
        return;
    for (size_t i = 0; i < listing_count; i++)
        if (str_starts(listing[i], word) && listing[i].len > word.len && listing[i].ptr[word.len] == '/')
            add_path(r, arena, capacity, listing[i]);
}

void request_read_paths(Request *r, const Str *listing, size_t listing_count, Arena *arena) {
    size_t capacity = 0;
    for (size_t w = 0; w < r->word_count; w++) {
        Str word = r->words[w].text;
        if (word.len > 2 && (word.ptr[0] == '"' || word.ptr[0] == '\''))
            word = str_slice(word, 1, word.len - 1);
        size_t before = r->path_count, exact = STR_NONE;
        for (size_t i = 0; i < listing_count && exact == STR_NONE; i++)
            if (str_eq(word, listing[i]))
                exact = i;
        if (exact != STR_NONE) {
            add_path(r, arena, &capacity, listing[exact]);
            continue;
        }
        read_folder(r, arena, &capacity, w, listing, listing_count);
        if (str_find_char(word, '.', 1) == STR_NONE && str_find_char(word, '/', 0) == STR_NONE)
            continue;
        size_t named = r->path_count;
        for (size_t i = 0; i < listing_count; i++)
            if (word_names_path(word, listing[i]))
                add_path(r, arena, &capacity, listing[i]);
        r->is_path_shared |= named == before && r->path_count > named + 1;
    }
}

static const char STOP_WORDS[] = "a|an|all|and|any|as|at|be|before|after|below|above|by|call|calls|change|"
                                 "code|delete|drop|each|every|everywhere|file|files|for|from|"
                                 "function|functions|here|if|in|insert|instead|into|is|it|its|line|lines|"
                                 "make|method|class|name|new|not|of|on|or|please|put|remove|rename|"
                                 "replace|set|should|must|statement|statements|that|the|their|this|to|use|"
                                 "uses|value|variable|with|without|when|where|which|add|"
                                 "parameter|argument|default|so|update|fix|can|could|would|you|i|we|want|"
                                 "need|into|only|also|then|now|write|create|import|return|true|"
                                 "false|none|null";

static void add_name(Request *r, Arena *arena, size_t *capacity, Str name) {
    if (name.len < 2 || r->name_count >= 16)
        return;
    for (size_t i = 0; i < r->name_count; i++)
        if (str_eq(r->names[i], name))
            return;
    LIST_PUSH(arena, r->names, r->name_count, *capacity, name);
}

/* Every identifier inside s. */
static void add_identifiers(Request *r, Arena *arena, size_t *capacity, Str s, bool only_compound) {
    for (size_t i = 0; i < s.len;) {
        size_t start = i;
        while (i < s.len && (isalnum((unsigned char)s.ptr[i]) || s.ptr[i] == '_'))
            i++;
        Str name = str_slice(s, start, i);
        if (is_identifier(name) && !word_in_list(name, STOP_WORDS) && (!only_compound || is_compound(name)))
            add_name(r, arena, capacity, name);
        if (i == start)
            i++;
    }
}

void request_read_names(Request *r, Arena *arena) {
    size_t capacity = 0;
    add_identifiers(r, arena, &capacity, r->target, false);
    add_identifiers(r, arena, &capacity, r->from, false);
    for (int pass = 0; pass < 3; pass++) /* quoted, then compound, then any other word */
        for (size_t i = 0; i < r->word_count; i++)
            if (pass == 0 ? r->words[i].is_quoted : !r->words[i].is_quoted)
                add_identifiers(r, arena, &capacity, r->words[i].text, pass == 1);
}
