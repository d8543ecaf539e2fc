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

/* Whether the word names a module here: it stands for a file, and files are not moved. */
static bool is_module_mention(Language language, Str line, size_t at) {
    Str text = str_trim(line);
    size_t begin = (size_t)(text.ptr - line.ptr), import = str_find(line, S(" import "), begin);
    if (language == LANGUAGE_PYTHON)
        return (str_starts(text, S("from ")) && import != STR_NONE && at < import) ||
               (str_starts(text, S("import ")) && !str_contains(str_slice(line, 0, at), S(" as ")));
    if (language == LANGUAGE_JAVA)
        return str_starts(text, S("package ")) ||
               (str_starts(text, S("import ")) && str_find_char(line, '.', at) != STR_NONE);
    return false;
}

/* In texts of no grammar "name.c" is a file. */
static bool is_file_mention(Turn *turn, Language language, Str text, size_t at, Str name) {
    size_t end = at + name.len;
    while (language == LANGUAGE_NONE && end < text.len &&
           (isalnum((unsigned char)text.ptr[end]) || text.ptr[end] == '.'))
        end++;
    Str word = str_slice(text, at, end);
    for (size_t i = 0; word.len > name.len && i < turn->listing.count; i++) {
        Str path = turn->listing.paths[i];
        size_t slash = str_rfind_char(path, '/');
        if (str_eq(word, slash == STR_NONE ? path : str_from(path, slash + 1)))
            return true;
    }
    return false;
}

/* Code occurrences, and mentions in prose and strings that clearly mean the name. */
static bool rename_lines(Turn *turn, FileTargets *t, Err *err) {
    Str text = t->file->seen.text, name = turn->request.from;
    Language language = t->file->language;
    OccurrenceList found = {0};
    if (!syntax_occurrences(language, text, name, &turn->arena, &found, err))
        found.count = 0; /* a text that cannot be parsed in time is searched as text */
    size_t capacity = 0, next = 0;
    for (size_t at = find_word(text, name, 0); at != STR_NONE; at = find_word(text, name, at + 1)) {
        while (next < found.count && found.items[next].begin < at)
            next++;
        bool is_code = next < found.count && found.items[next].begin == at;
        if ((!is_code && !mention_is_code(text, at, name)) || mention_is_path(text, at, name) ||
            is_file_mention(turn, language, text, at, name))
            continue;
        size_t line = line_at(t, at);
        if (is_code && is_module_mention(language, t->lines[line].text,
                                         at - (size_t)(t->lines[line].text.ptr - text.ptr))) {
            turn_problem(turn,
                         str_printf(&turn->arena, "%.*s names a module at %.*s:%zu, and files are not moved",
                                    STR_ARG(name), STR_ARG(t->file->path.relative), line + 1));
            return true;
        }
        add_target(t, &turn->arena, &capacity, line);
        t->items[t->count - 1].is_code |= is_code;
    }
    return true;
}

/* Calls in code, neither definitions nor prototypes; calls of a member only where there are no plain ones. */
static bool call_lines(Turn *turn, FileTargets *t, Err *err) {
    Str text = t->file->seen.text, name = turn->request.from;
    Str last = name;
    for (size_t i = 0; i + 1 < name.len; i++)
        if (strchr(".:>", name.ptr[i]))
            last = str_from(name, i + 1);
    OccurrenceList found;
    SymbolList symbols;
    if (!syntax_occurrences(t->file->language, text, last, &turn->arena, &found, err) ||
        !syntax_symbols(t->file->language, text, &turn->arena, &symbols, err))
        return false;
    size_t capacity = 0;
    for (int members = 0; members < 2 && t->count == 0; members++)
        for (size_t i = 0; i < found.count; i++) {
            size_t begin = found.items[i].begin - (name.len - last.len), line = found.items[i].line;
            bool heads = found.items[i].is_definition;
            for (size_t k = 0; k < symbols.count; k++)
                heads |= symbols.items[k].name_begin == found.items[i].begin;
            bool is_member = found.items[i].is_member && last.len == name.len;
            if (!heads && is_member == (members == 1) && begin <= found.items[i].begin &&
                find_call(text, name, begin) == begin)
                add_target(t, &turn->arena, &capacity, line);
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

/* The only statement of an if or a loop without braces: without it the next statement would take its place.
 */
static bool is_lone_body(const FileTargets *t, size_t line) {
    if (t->file->language == LANGUAGE_PYTHON || t->file->language == LANGUAGE_NONE)
        return false;
    while (line-- > 0) {
        Str text = str_trim(t->lines[line].text);
        if (text.len == 0 || str_starts(text, S("//")))
            continue;
        return text.ptr[text.len - 1] == ')' || str_eq(text, S("else")) || str_ends(text, S("} else"));
    }
    return false;
}

static void scan_lines(Turn *turn, FileTargets *t) {
    const Request *r = &turn->request;
    size_t capacity = 0;
    for (size_t i = 0; i < t->line_count; i++) {
        Str line = t->lines[i].text;
        bool wanted = wants_line(r, line), removes = r->intent == INTENT_REMOVE;
        bool lone = wanted && removes && is_lone_body(t, i);
        bool used = !wanted && removes && r->remove_kind == REMOVE_CALL && r->is_removal_of_all &&
                    find_call(line, r->target, 0) != STR_NONE &&
                    !looks_like_head(t->file->language, line, r->target);
        if (lone || used)
            turn_problem(turn, str_printf(&turn->arena, "%.*s:%zu cannot go as a line of its own (%.*s)",
                                          STR_ARG(t->file->path.relative), i + 1,
                                          STR_ARG(str_slice(str_trim(line), 0, 80))));
        else if (wanted)
            add_target(t, &turn->arena, &capacity, i);
    }
}

/* The definition of the function, and in C and C++ its prototypes. The target is the line that ends the
 * parameter list. */
static bool param_lines(Turn *turn, FileTargets *t, Err *err) {
    SymbolList symbols;
    OccurrenceList found;
    Str text = t->file->seen.text;
    if (!syntax_symbols(t->file->language, text, &turn->arena, &symbols, err) ||
        !syntax_occurrences(t->file->language, text, turn->request.target, &turn->arena, &found, err))
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
        bool is_code = false;
        for (size_t k = 0; k < found.count; k++)
            is_code |= found.items[k].line == i;
        bool is_prototype = c_like && is_code && !is_inside &&
                            !str_starts(str_trim(t->lines[i].text), S("#")) &&
                            find_call(t->lines[i].text, name, 0) != STR_NONE;
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
        while (last > i + 1 &&
               (t->lines[last].text.len == 0 || str_starts(str_trim(t->lines[last].text), S(")"))))
            last--; /* the last parameter stands further up than the bracket */
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
    case INTENT_REPLACE:
        if (turn->request.is_calls && t->file->language != LANGUAGE_NONE)
            return call_lines(turn, t, err);
        scan_lines(turn, t);
        return true;
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

/* "[client]" or "client:" above the line, at less indentation: what holds it. */
static size_t indent_of(Str line) {
    size_t n = 0;
    while (n < line.len && (line.ptr[n] == ' ' || line.ptr[n] == '\t'))
        n++;
    return n;
}

static bool is_under(const FileTargets *file, size_t line, Str scope) {
    size_t indent = indent_of(file->lines[line].text);
    bool in_section = false;
    for (size_t i = line; i-- > 0;) {
        Str text = file->lines[i].text, bare = str_trim(text);
        if (bare.len == 0)
            continue;
        bool is_section = file->file->language == LANGUAGE_NONE && bare.ptr[0] == '[' &&
                          bare.ptr[bare.len - 1] == ']' && !in_section;
        if (!is_section && indent_of(text) >= indent)
            continue;
        if (!is_section)
            indent = indent_of(text);
        in_section |= is_section;
        if (find_word(text, scope, 0) != STR_NONE)
            return true;
    }
    return false;
}

/* In the definition, section or mapping that the request names as the place of the change. */
static bool is_in_scope(Turn *turn, const FileTargets *file, size_t line) {
    Str scope = turn->request.scope;
    SymbolList symbols;
    if (syntax_symbols(file->file->language, file->file->seen.text, &turn->arena, &symbols, NULL))
        for (size_t s = 0; s < symbols.count; s++)
            if (str_eq(symbols.items[s].name, scope) && line >= symbols.items[s].first_line &&
                line <= symbols.items[s].last_line)
                return true;
    return is_under(file, line, scope);
}

static bool is_top_level(Turn *turn, const FileTargets *file, size_t line) {
    Str text = file->lines[line].text;
    size_t at = find_word(text, turn->request.target, 0);
    bool in_list = at != STR_NONE && str_find_char(str_slice(text, 0, at), '(', 0) != STR_NONE;
    return text.len && !isspace((unsigned char)text.ptr[0]) && !in_list;
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

/* A member is renamed wherever it is used, if no other definition has its name; a parameter or a local only
 * inside of the scope. True when the targets need no narrowing. */
static bool renames_member(Turn *turn, const FileTargets *files, size_t count) {
    const Request *r = &turn->request;
    size_t inside = 0, outside = 0;
    for (size_t f = 0; r->intent == INTENT_RENAME && f < count; f++) {
        SymbolList symbols;
        if (!syntax_symbols(files[f].file->language, files[f].file->seen.text, &turn->arena, &symbols, NULL))
            continue;
        for (size_t s = 0; s < symbols.count; s++) {
            if (!str_eq(symbols.items[s].name, r->from) || symbols.items[s].is_declaration)
                continue;
            if (is_in_scope(turn, &files[f], line_at(&files[f], symbols.items[s].name_begin)))
                inside++;
            else
                outside++;
        }
    }
    if (inside && outside)
        turn_problem(turn,
                     str_printf(&turn->arena,
                                "%.*s is defined outside of %.*s too, and its uses cannot be told apart",
                                STR_ARG(r->from), STR_ARG(r->scope)));
    return inside > 0;
}

static bool keep_scope(Turn *turn, FileTargets *files, size_t count) {
    const Request *r = &turn->request;
    if (r->scope.len == 0 || renames_member(turn, files, count))
        return turn->problem_count == 0;
    size_t kept = 0;
    for (size_t f = 0; f < count; f++)
        for (size_t i = 0; i < files[f].count; i++)
            kept += is_in_scope(turn, &files[f], files[f].items[i].line);
    if (kept == 0) {
        turn_problem(turn, str_printf(&turn->arena, "%.*s was not found in %.*s", STR_ARG(search_key(r)),
                                      STR_ARG(r->scope)));
        return false;
    }
    prefer(turn, files, count, is_in_scope);
    return true;
}

/* "change a to b" can mean a new name or a new value. */
static bool is_loose_value(Turn *turn, const FileTargets *files, size_t count) {
    const Request *r = &turn->request;
    size_t at;
    for (size_t f = 0; r->intent == INTENT_RENAME && r->is_loose && f < count; f++)
        for (size_t i = 0; i < files[f].count; i++)
            if (line_assigns(files[f].lines[files[f].items[i].line].text, r->from, &at)) {
                turn_problem(turn,
                             str_printf(&turn->arena,
                                        "this can mean a new name or a new value; say `rename %.*s to "
                                        "%.*s` or `set %.*s to \"%.*s\"`",
                                        STR_ARG(r->from), STR_ARG(r->to), STR_ARG(r->from), STR_ARG(r->to)));
                return true;
            }
    return false;
}

/* One file name that fits several files of which several would change. */
static bool is_ambiguous_file(Turn *turn, const FileTargets *files, size_t count) {
    const Request *r = &turn->request;
    if (!r->is_path_shared || count < 2)
        return false;
    turn_problem(turn,
                 str_printf(&turn->arena, "the file name fits %.*s and %.*s; name one with its folder",
                            STR_ARG(files[0].file->path.relative), STR_ARG(files[1].file->path.relative)));
    return true;
}

/* Requests about one place must end with one place. */
static bool choose(Turn *turn, FileTargets *files, size_t count) {
    const Request *r = &turn->request;
    if (is_loose_value(turn, files, count) || !keep_scope(turn, files, count))
        return false;
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
    return !is_ambiguous_file(turn, files, count);
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

/* The name is there, but not with the value that the request says it has. */
static bool tell_other_value(Turn *turn) {
    Request *r = &turn->request;
    if (r->intent != INTENT_SET || r->from.len == 0 || !is_identifier(r->target))
        return false;
    Str from = r->from;
    FileTargets *files = NULL;
    size_t count = 0;
    r->from = S("");
    bool found = find_in_files(turn, &files, &count, NULL) && count;
    r->from = from;
    if (found)
        turn_problem(
            turn,
            str_printf(&turn->arena, "%.*s does not have the value %.*s (%.*s:%zu: %.*s)", STR_ARG(r->target),
                       STR_ARG(from), STR_ARG(files[0].file->path.relative), files[0].items[0].line + 1,
                       STR_ARG(str_slice(str_trim(files[0].lines[files[0].items[0].line].text), 0, 80))));
    return found;
}

static void tell_nothing(Turn *turn) {
    const Request *r = &turn->request;
    Str key = search_key(r);
    if (r->intent == INTENT_OTHER)
        return; /* labels_run says that this model cannot serve it */
    if (key.len == 0)
        turn_problem(turn, S("the request names nothing that can be searched for; quote the name or line to "
                             "change, as in `old_name`"));
    else if (r->intent == INTENT_REMOVE && (r->remove_kind == REMOVE_CALL || r->remove_kind == REMOVE_IMPORT))
        turn_problem(turn, str_printf(&turn->arena, "no line was found that is only %s of %.*s",
                                      r->remove_kind == REMOVE_CALL ? "a call" : "the import", STR_ARG(key)));
    else if (r->path_count)
        turn_problem(turn,
                     str_printf(&turn->arena, "%.*s was not found in %.*s%s", STR_ARG(key),
                                STR_ARG(r->paths[0]), r->path_count > 1 ? " and the other files named" : ""));
    else
        turn_problem(turn, str_printf(&turn->arena, "%.*s was not found in this repository", STR_ARG(key)));
}

/* "Change level to debug" in a file of settings gives a value. */
static void settle_loose(Turn *turn) {
    Request *r = &turn->request;
    bool all_settings = r->path_count > 0;
    for (size_t i = 0; i < r->path_count; i++)
        all_settings &= language_of(r->paths[i]) == LANGUAGE_NONE;
    if (r->intent == INTENT_RENAME && r->is_loose && all_settings)
        request_as_value(r, &turn->arena);
}

bool targets_find(Turn *turn, FileTargets **out, size_t *count, Err *err) {
    settle_loose(turn);
    if (!find_in_files(turn, out, count, err))
        return false;
    if (*count == 0 && turn->problem_count == 0 && request_unquote(&turn->request, &turn->arena) &&
        !find_in_files(turn, out, count, err))
        return false;
    if (*count == 0 && turn->problem_count == 0 && !tell_other_value(turn))
        tell_nothing(turn);
    if (*count && !choose(turn, *out, *count))
        *count = 0;
    return true;
}
