/* /search and /files: what the folder holds. */
#define _GNU_SOURCE
#include <fnmatch.h>

#include "planner/slash.h"

enum { MOST_HITS = 200, MOST_FILES = 500, MOST_LINE = 200 };

/* "-F -i PATTERN" -> the query; the pattern is all the rest. */
static bool read_query(Str rest, Query *query, Err *err) {
    *query = (Query){.max_hits = MOST_HITS, .max_text = MOST_LINE};
    while (str_starts(rest, S("-")) && rest.len >= 2) {
        size_t end = 0;
        while (end < rest.len && rest.ptr[end] != ' ')
            end++;
        Str flags = str_slice(rest, 1, end);
        rest = str_trim(str_from(rest, end));
        if (str_eq(flags, S("-")))
            break;
        for (size_t i = 0; i < flags.len; i++) {
            if (flags.ptr[i] == 'F')
                query->is_fixed = true;
            else if (flags.ptr[i] == 'i')
                query->ignore_case = true;
            else if (flags.ptr[i] == 'w')
                query->whole_word = true;
            else
                return err_set(err, ERR_INVALID,
                               "/search knows -F (plain text), -i (any case) and -w (whole words), not -%c",
                               flags.ptr[i]);
        }
    }
    query->pattern = rest;
    return rest.len ? true : err_set(err, ERR_INVALID, "say what to search: /search [-F|-i|-w] PATTERN");
}

static bool run_search(Turn *turn, Str rest, Err *err) {
    Query query;
    Hits hits;
    if (!read_query(rest, &query, err) || !slash_open(turn, true, err))
        return false;
    query.cancelled = &turn->session->cancelled;
    if (!ws_find(turn->ws, &query, &turn->arena, &hits, err))
        return false;
    Buf out = {0}, lines = {0};
    if (!hits.count)
        buf_printf(&out, "No line matches; %zu files were searched.\n", hits.files_searched);
    for (size_t i = 0; i < hits.count; i++) {
        const Hit *hit = &hits.items[i];
        buf_printf(&lines, "%.*s:%zu: %.*s\n", STR_ARG(hit->path), hit->line, STR_ARG(str_trim(hit->text)));
    }
    if (hits.count)
        slash_fence(&out, "", buf_text(&lines));
    if (hits.is_truncated)
        buf_printf(&out, "\nOnly the first %zu hits are shown.\n", hits.count);
    buf_free(&lines);
    return slash_say(turn, &out);
}

/* A pattern without a slash is about the name alone, as in .gitignore. */
static bool is_wanted(Str glob, Str path, Arena *scratch) {
    if (!glob.len)
        return true;
    size_t slash = str_find_char(glob, '/', 0) == STR_NONE ? str_rfind_char(path, '/') : STR_NONE;
    Str name = slash == STR_NONE ? path : str_from(path, slash + 1);
    return fnmatch(str_cstr(scratch, glob), str_cstr(scratch, name), 0) == 0;
}

static bool run_files(Turn *turn, Str rest, Err *err) {
    FileList list;
    if (!slash_open(turn, true, err) || !ws_list(turn->ws, &turn->arena, &list, err))
        return false;
    Buf out = {0}, lines = {0};
    size_t count = 0;
    for (size_t i = 0; i < list.count && !turn_is_cancelled(turn); i++) {
        Arena scratch = {0};
        if (is_wanted(rest, list.paths[i], &scratch) && count++ < MOST_FILES)
            buf_printf(&lines, "%.*s\n", STR_ARG(list.paths[i]));
        arena_free(&scratch);
    }
    if (count)
        slash_fence(&out, "", buf_text(&lines));
    if (count > MOST_FILES)
        buf_printf(&out, "\n%zu files; the first %d are shown.\n", count, MOST_FILES);
    else
        buf_printf(&out, "%s%zu file%s.\n", count ? "\n" : "", count, count == 1 ? "" : "s");
    buf_free(&lines);
    return slash_say(turn, &out);
}

const SlashCommand SLASH_SEARCH = {
    {"search", "searches the files; what git ignores is left out", "[-F|-i|-w] PATTERN"}, run_search};
const SlashCommand SLASH_FILES = {{"files", "lists the files", "[GLOB]"}, run_files};
