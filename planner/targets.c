#include "planner/targets.h"

#include <ctype.h>
#include <string.h>

#include "planner/line_check.h"

enum { MOST_FILES = 200, MOST_NAMED_PLACES = 6 };

/* ---- lines ---- */

static void split_lines(FileTargets *t, Arena *arena) {
    size_t capacity = 0;
    Str rest = t->file->seen.text;
    while (rest.len) {
        size_t end = str_find_char(rest, '\n', 0);
        LineText line = {.text = rest, .end = S("")};
        if (end != STR_NONE) {
            size_t cut = end > 0 && rest.ptr[end - 1] == '\r' ? end - 1 : end;
            line.text = str_slice(rest, 0, cut);
            line.end = str_slice(rest, cut, end + 1);
        }
        LIST_PUSH(arena, t->lines, t->line_count, capacity, line);
        rest = end == STR_NONE ? S("") : str_from(rest, end + 1);
    }
}

Str targets_join(const FileTargets *t, Arena *arena) {
    Buf out = {0};
    for (size_t i = 0; i < t->line_count; i++) {
        const LineText *line = &t->lines[i];
        if (line->is_deleted)
            continue;
        Str rest = line->text, part;
        if (!line->is_edited) {
            buf_str(&out, rest);
        } else {
            Str end = line->end.len ? line->end : t->file->seen.has_crlf ? S("\r\n") : S("\n");
            for (bool first = true; str_next_line(&rest, &part); first = false) {
                if (!first)
                    buf_str(&out, end);
                buf_str(&out, part);
            }
        }
        buf_str(&out, line->end);
    }
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static void add_target(FileTargets *t, Arena *arena, size_t *capacity, size_t line) {
    if (t->count && t->items[t->count - 1].line == line)
        return;
    Target target = {.line = line};
    LIST_PUSH(arena, t->items, t->count, *capacity, target);
}

/* ---- which lines ---- */

static size_t line_at(const FileTargets *t, size_t byte) {
    size_t at = 0;
    for (size_t i = 0; i < t->line_count; i++) {
        at += t->lines[i].text.len + t->lines[i].end.len;
        if (byte < at)
            return i;
    }
    return t->line_count ? t->line_count - 1 : 0;
}

/* Code occurrences, and mentions in prose and strings that clearly mean the name. */
static bool rename_lines(Turn *turn, FileTargets *t, Err *err) {
    Str text = t->file->seen.text, name = turn->request.from;
    OccurrenceList found = {0};
    if (!syntax_occurrences(t->file->language, text, name, &turn->arena, &found, err))
        found.count = 0; /* a text that cannot be parsed in time is searched as text */
    size_t capacity = 0, next = 0;
    for (size_t at = find_word(text, name, 0); at != STR_NONE; at = find_word(text, name, at + 1)) {
        while (next < found.count && found.items[next].begin < at)
            next++;
        bool is_code = next < found.count && found.items[next].begin == at;
        if (is_code || mention_is_code(text, at, name))
            add_target(t, &turn->arena, &capacity, line_at(t, at));
    }
    return true;
}

static bool wants_line(const Request *r, Str line) {
    size_t value_at;
    switch (r->intent) {
    case INTENT_REPLACE: return find_word(line, r->from, 0) != STR_NONE;
    case INTENT_SET:
        return (line_assigns(line, r->target, &value_at) &&
                (r->from.len == 0 || find_word(str_from(line, value_at), r->from, 0) != STR_NONE)) ||
               (r->from.len && !is_identifier(r->target) && str_contains(line, r->target) &&
                str_contains(line, r->from));
    case INTENT_REMOVE: return line_is_removable(r, line);
    case INTENT_INSERT: return str_eq(str_trim(line), str_trim(r->target));
    default: return false;
    }
}

static void scan_lines(Turn *turn, FileTargets *t) {
    size_t capacity = 0;
    for (size_t i = 0; i < t->line_count; i++)
        if (wants_line(&turn->request, t->lines[i].text))
            add_target(t, &turn->arena, &capacity, i);
}

/* A line that reads like the head of the function, for texts whose tree does not show it. */
static bool looks_like_head(Language language, Str line, Str name) {
    size_t at = find_word(line, name, 0);
    if (at == STR_NONE || at + name.len >= line.len || line.ptr[at + name.len] != '(')
        return false;
    Str before = str_trim(str_slice(line, 0, at)), text = str_trim(line);
    if (str_ends(before, S("def")) || str_ends(before, S("function")) || str_ends(before, S("func")) ||
        str_ends(before, S("fn")))
        return true;
    static const char *const CONTROL[] = {"if",   "for",   "while", "switch", "return",
                                          "else", "await", "new",   "="};
    for (size_t i = 0; i < sizeof CONTROL / sizeof *CONTROL; i++)
        if (str_ends(before, str_of(CONTROL[i])) || str_starts(before, str_of(CONTROL[i])))
            return false;
    bool is_c = language == LANGUAGE_C || language == LANGUAGE_CPP;
    return str_ends(text, S("{")) || (is_c && before.len && !isspace((unsigned char)line.ptr[0]));
}

/* The definition of the function, and in C and C++ its prototypes. The target is the line that ends the
 * parameter list. */
static bool param_lines(Turn *turn, FileTargets *t, Err *err) {
    SymbolList symbols;
    if (!syntax_symbols(t->file->language, t->file->seen.text, &turn->arena, &symbols, err))
        return false;
    size_t capacity = 0;
    bool c_like = t->file->language == LANGUAGE_C || t->file->language == LANGUAGE_CPP;
    Str name = turn->request.target;
    bool has_definition = false;
    for (size_t s = 0; s < symbols.count; s++)
        has_definition |= symbols.items[s].kind == SYMBOL_FUNCTION && str_eq(symbols.items[s].name, name);
    for (size_t i = 0; i < t->line_count; i++) {
        size_t at = find_word(t->lines[i].text, name, 0);
        if (at == STR_NONE)
            continue;
        bool is_definition = false, is_inside = false;
        for (size_t s = 0; s < symbols.count; s++) {
            const Symbol *symbol = &symbols.items[s];
            if (symbol->kind == SYMBOL_FUNCTION && str_eq(symbol->name, name) &&
                line_at(t, symbol->name_begin) == i)
                is_definition = true;
            else if (symbol->kind == SYMBOL_FUNCTION && symbol->first_line < i && i <= symbol->last_line)
                is_inside = true;
        }
        bool is_prototype = c_like && !is_inside && str_contains(str_from(t->lines[i].text, at), S("("));
        if (!is_definition && !is_prototype &&
            (has_definition || !looks_like_head(t->file->language, t->lines[i].text, name)))
            continue;
        size_t last = i; /* the line on which the parameter list closes */
        Str signature = str_from(t->lines[i].text, at);
        while (last + 1 < t->line_count && last < i + 12 && !brackets_match(S(""), signature)) {
            bool opens_body = str_ends(str_trim(signature), S("{"));
            if (opens_body)
                break;
            last++;
            signature = t->lines[last].text.ptr
                            ? str_range(signature.ptr, t->lines[last].text.ptr + t->lines[last].text.len)
                            : signature;
        }
        add_target(t, &turn->arena, &capacity, last);
    }
    return true;
}

/* Requests of no known form: the first line of each place that holds the most telling name. */
static void guess_lines(Turn *turn, FileTargets *t) {
    const Request *r = &turn->request;
    size_t capacity = 0;
    for (size_t n = 0; n < r->name_count && t->count == 0; n++)
        for (size_t i = 0; i < t->line_count && t->count < 3; i++)
            if (find_word(t->lines[i].text, r->names[n], 0) != STR_NONE)
                add_target(t, &turn->arena, &capacity, i);
}

static bool find_in_file(Turn *turn, FileTargets *t, Err *err) {
    split_lines(t, &turn->arena);
    switch (turn->request.intent) {
    case INTENT_RENAME: return rename_lines(turn, t, err);
    case INTENT_PARAM: return param_lines(turn, t, err);
    case INTENT_OTHER: guess_lines(turn, t); return true;
    default: scan_lines(turn, t); return true;
    }
}

/* ---- which files ---- */

static Str search_key(const Request *r) {
    switch (r->intent) {
    case INTENT_RENAME:
    case INTENT_REPLACE: return r->from;
    case INTENT_OTHER: return r->name_count ? r->names[0] : S("");
    default: return r->target;
    }
}

static bool is_changelog(Str path) {
    size_t slash = str_rfind_char(path, '/');
    Str name = slash == STR_NONE ? path : str_from(path, slash + 1);
    static const char *const HEADS[] = {"CHANGE", "Change", "change", "NEWS", "HISTORY", "History"};
    for (size_t i = 0; i < sizeof HEADS / sizeof *HEADS; i++)
        if (str_starts(name, str_of(HEADS[i])))
            return true;
    return false;
}

static void tell_search(Turn *turn, Str key, const Hits *hits, size_t files) {
    ToolLocation *locations = ARENA_ARRAY(&turn->arena, ToolLocation, hits->count + 1);
    size_t n = 0;
    for (; n < hits->count && n < 50; n++)
        locations[n] = (ToolLocation){
            str_printf(&turn->arena, "%.*s/%.*s", STR_ARG(ws_root(turn->ws)), STR_ARG(hits->items[n].path)),
            hits->items[n].line};
    ToolEvent event = {.id = turn_tool_id(turn),
                       .is_first = true,
                       .kind = TOOL_SEARCH,
                       .status = TOOL_COMPLETED,
                       .locations = locations,
                       .location_count = n};
    event.title = str_printf(&turn->arena, "Search for %.*s", STR_ARG(key));
    event.text = str_printf(&turn->arena, "%zu line%s in %zu file%s", hits->count,
                            hits->count == 1 ? "" : "s", files, files == 1 ? "" : "s");
    turn_tool(turn, &event);
}

/* Paths to look into: those the request names, else those that hold the key. */
static bool candidate_paths(Turn *turn, Str **paths, size_t *count, Err *err) {
    const Request *r = &turn->request;
    if (r->path_count) {
        *paths = r->paths;
        *count = r->path_count;
        return true;
    }
    Str key = search_key(r);
    if (key.len == 0)
        return true;
    Query query = {
        .pattern = key, .is_fixed = true, .whole_word = is_identifier(key), .include_hidden = true};
    Hits hits;
    if (!ws_find(turn->ws, &query, &turn->arena, &hits, err))
        return false;
    size_t capacity = 0;
    for (size_t i = 0; i < hits.count; i++) {
        Str path = hits.items[i].path;
        if (*count && str_eq((*paths)[*count - 1], path))
            continue;
        if (is_changelog(path)) {
            turn_thought(turn, str_printf(&turn->arena, "%.*s is a record of the past and stays as it is.\n",
                                          STR_ARG(path)));
            continue;
        }
        LIST_PUSH(&turn->arena, *paths, *count, capacity, path);
    }
    tell_search(turn, key, &hits, *count);
    return true;
}

/* ---- choosing between several ---- */

static size_t total_targets(const FileTargets *files, size_t count) {
    size_t n = 0;
    for (size_t i = 0; i < count; i++)
        n += files[i].count;
    return n;
}

/* Keeps the targets for which keep() holds, unless none would be left. */
typedef bool (*KeepTarget)(Turn *turn, const FileTargets *file, size_t line);

static void prefer(Turn *turn, FileTargets *files, size_t count, KeepTarget keep) {
    size_t kept = 0;
    for (size_t f = 0; f < count; f++)
        for (size_t i = 0; i < files[f].count; i++)
            kept += keep(turn, &files[f], files[f].items[i].line);
    if (kept == 0)
        return;
    for (size_t f = 0; f < count; f++) {
        size_t n = 0;
        for (size_t i = 0; i < files[f].count; i++)
            if (keep(turn, &files[f], files[f].items[i].line))
                files[f].items[n++] = files[f].items[i];
        files[f].count = n;
    }
}

/* Inside a definition that the request names ("... in the function load"). */
static bool is_in_named_scope(Turn *turn, const FileTargets *file, size_t line) {
    const Request *r = &turn->request;
    SymbolList symbols;
    if (!syntax_symbols(file->file->language, file->file->seen.text, &turn->arena, &symbols, NULL))
        return false;
    for (size_t s = 0; s < symbols.count; s++) {
        const Symbol *symbol = &symbols.items[s];
        if (line < symbol->first_line || line > symbol->last_line)
            continue;
        for (size_t n = 0; n < r->name_count; n++)
            if (str_eq(symbol->name, r->names[n]) && !str_eq(symbol->name, r->target) &&
                !str_eq(symbol->name, r->from))
                return true;
    }
    return false;
}

static bool is_top_level(Turn *turn, const FileTargets *file, size_t line) {
    (void)turn;
    Str text = file->lines[line].text;
    return text.len && !isspace((unsigned char)text.ptr[0]);
}

static bool is_whole_line(Turn *turn, const FileTargets *file, size_t line) {
    return str_eq(str_trim(file->lines[line].text), str_trim(turn->request.target));
}

static bool has_literal_value(Turn *turn, const FileTargets *file, size_t line) {
    size_t at;
    Str text = file->lines[line].text;
    if (!line_assigns(text, turn->request.target, &at))
        return false;
    Str value = str_trim(str_from(text, at));
    size_t end = 0;
    while (end < value.len && !strchr(",;)]} \t", value.ptr[end]))
        end++;
    return is_literal(str_slice(value, 0, end)) || (value.len && strchr("\"'", value.ptr[0]));
}

/* "length = 0" rather than "buffer.length = 0". */
static bool is_plain_name(Turn *turn, const FileTargets *file, size_t line) {
    Str text = file->lines[line].text;
    size_t at = find_word(text, turn->request.target, 0);
    return at != STR_NONE && (at == 0 || (text.ptr[at - 1] != '.' && text.ptr[at - 1] != '>'));
}

static void tell_choice(Turn *turn, const FileTargets *files, size_t count, size_t total) {
    Buf out = {0};
    buf_printf(&out, "%.*s fits %zu places (", STR_ARG(search_key(&turn->request)), total);
    size_t said = 0;
    for (size_t f = 0; f < count; f++)
        for (size_t i = 0; i < files[f].count && said < MOST_NAMED_PLACES; i++)
            buf_printf(&out, "%s%.*s:%zu", said++ ? ", " : "", STR_ARG(files[f].file->path.relative),
                       files[f].items[i].line + 1);
    buf_cstr(&out,
             total > said ? ", ...); name the file or the function" : "); name the file or the function");
    turn_problem(turn, buf_text(&out));
    buf_free(&out);
}

/* Requests about one place must end with one place. */
static bool choose(Turn *turn, FileTargets *files, size_t count) {
    const Request *r = &turn->request;
    prefer(turn, files, count, is_in_named_scope);
    bool about_one = r->intent == INTENT_SET || r->intent == INTENT_INSERT ||
                     (r->intent == INTENT_REMOVE && !r->is_removal_of_all);
    if (r->intent == INTENT_REMOVE && r->remove_kind == REMOVE_LINE)
        prefer(turn, files, count, is_whole_line);
    if (r->intent == INTENT_SET && is_literal(r->to) && total_targets(files, count) > 1)
        prefer(turn, files, count, has_literal_value);
    if (r->intent == INTENT_SET && total_targets(files, count) > 1)
        prefer(turn, files, count, is_plain_name);
    if (about_one && total_targets(files, count) > 1)
        prefer(turn, files, count, is_top_level);
    size_t total = total_targets(files, count), touched = 0;
    for (size_t f = 0; f < count; f++)
        touched += files[f].count > 0;
    bool is_bare_literal = r->intent == INTENT_REPLACE && !r->is_calls && r->path_count == 0 && touched > 1 &&
                           !r->is_removal_of_all;
    if ((about_one && total > 1) || is_bare_literal) {
        tell_choice(turn, files, count, total);
        return false;
    }
    return true;
}

static void tell_nothing(Turn *turn) {
    const Request *r = &turn->request;
    Str key = search_key(r);
    if (r->intent == INTENT_OTHER)
        return; /* labels_run says that this model cannot serve it */
    if (key.len == 0)
        turn_problem(turn, S("the request names nothing that can be searched for; quote the name or line to "
                             "change, as in `old_name`"));
    else if (r->path_count)
        turn_problem(turn,
                     str_printf(&turn->arena, "%.*s was not found in %.*s%s", STR_ARG(key),
                                STR_ARG(r->paths[0]), r->path_count > 1 ? " and the other files named" : ""));
    else
        turn_problem(turn, str_printf(&turn->arena, "%.*s was not found in this repository", STR_ARG(key)));
}

/* Reads the candidate files and keeps those with targets. */
static bool find_in_files(Turn *turn, FileTargets **out, size_t *count, Err *err) {
    Str *paths = NULL;
    size_t path_count = 0;
    *count = 0;
    if (!candidate_paths(turn, &paths, &path_count, err))
        return false;
    if (path_count > MOST_FILES) {
        turn_problem(turn, str_printf(&turn->arena,
                                      "%.*s occurs in %zu files; narrow the request to a folder or file",
                                      STR_ARG(search_key(&turn->request)), path_count));
        return true;
    }
    FileTargets *files = *out = ARENA_ARRAY(&turn->arena, FileTargets, path_count + 1);
    for (size_t i = 0; i < path_count && !turn_is_cancelled(turn); i++) {
        Err why = {0};
        FileWork *file = turn_file(turn, paths[i], &why);
        if (!file) {
            turn_problem(turn, str_of(why.text));
            continue;
        }
        files[*count] = (FileTargets){.file = file};
        if (!find_in_file(turn, &files[*count], err))
            return false;
        *count += files[*count].count > 0;
    }
    return true;
}

bool targets_find(Turn *turn, FileTargets **out, size_t *count, Err *err) {
    if (!find_in_files(turn, out, count, err))
        return false;
    if (*count == 0 && turn->problem_count == 0 && request_unquote(&turn->request, &turn->arena) &&
        !find_in_files(turn, out, count, err))
        return false;
    if (*count == 0 && turn->problem_count == 0)
        tell_nothing(turn);
    if (*count && !choose(turn, *out, *count))
        *count = 0;
    return true;
}
