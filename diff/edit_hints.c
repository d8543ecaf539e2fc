/* Which of several hits an edit means: the one at the end of the file, in the definition it names, at the
 * line it names. A hint that fits more than one, or contradicts another, selects nothing. */
#include "diff/edit_locate_internal.h"

enum { NEAR = 3, CLEAR = 20, MOST_RANGES = 64, MOST_SCOPE_NAMES = 8 };

static bool is_name_sign(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool is_keyword(Str word) {
    static const char *const WORDS[] = {"class",  "def",   "struct", "enum",   "union",     "fn",
                                        "func",   "impl",  "trait",  "public", "interface", "function",
                                        "static", "async", "const",  "type",   "private",   "protected",
                                        "export", "pub",   "var",    "let",    "module",    "namespace"};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (str_eq(word, str_of(WORDS[i])))
            return true;
    return false;
}

/* "def f(self):" -> f, "class A(Base):" -> A: the word in front of a bracket, else the last one before what
 * opens a body. */
static Str scope_name(Str scope) {
    Str name = S("");
    for (size_t i = 0; i < scope.len;) {
        size_t begin = i;
        while (i < scope.len && is_name_sign(scope.ptr[i]))
            i++;
        Str word = str_slice(scope, begin, i);
        bool is_name = word.len && !is_keyword(word);
        if (is_name)
            name = word;
        char next = i < scope.len ? scope.ptr[i] : 0;
        if ((is_name && next == '(') || next == '{' || next == '=' || (next == ':' && name.len))
            break;
        i += i == begin;
    }
    return name;
}

/* Scopes from outside in, one a line. */
static Str joined_name(Str scopes, Arena *scratch) {
    Str joined = S(""), line;
    for (Str rest = scopes; str_next_line(&rest, &line);) {
        Str name = scope_name(line);
        if (name.len)
            joined = joined.len ? str_printf(scratch, "%.*s.%.*s", STR_ARG(joined), STR_ARG(name)) : name;
    }
    return joined;
}

/* The line itself and what is indented below it; a closing bracket belongs to it. */
static TextRange indented_block(const LineTable *file, size_t first) {
    size_t indent = line_indent(file->lines[first]).len, end = first + 1;
    for (size_t i = end; i < file->count; i++) {
        Str body = str_trim(file->lines[i]);
        if (!body.len)
            continue;
        size_t here = line_indent(file->lines[i]).len;
        bool is_bracket = here == indent && (body.ptr[0] == '}' || body.ptr[0] == ')' || body.ptr[0] == '{');
        if (here <= indent && !is_bracket)
            break;
        end = i + 1;
    }
    return (TextRange){line_begin(file, first), line_begin(file, end)};
}

/* Without knowledge of symbols: the lines that say just what the scope says. */
static size_t scope_blocks(const LineTable *file, Str scopes, TextRange *out) {
    Str scope = str_trim(scopes);
    size_t cut = str_rfind_char(scope, '\n'), count = 0;
    scope = cut == STR_NONE ? scope : str_trim(str_from(scope, cut + 1));
    for (size_t i = 0; i < file->count && scope.len; i++) {
        Str line = str_trim(file->lines[i]);
        if (!str_starts(line, scope) || (line.len > scope.len && is_name_sign(line.ptr[scope.len])))
            continue;
        if (count < MOST_RANGES)
            out[count] = indented_block(file, i);
        count++;
    }
    return count;
}

static size_t scope_ranges(const Locate *l, Str scopes, const EditHelp *help, TextRange *out) {
    size_t count = 0;
    Str name = joined_name(scopes, l->scratch);
    if (help && help->find_symbol && name.len)
        count = help->find_symbol(help->ctx, l->file.text, name, out, MOST_RANGES);
    if (!count)
        count = scope_blocks(&l->file, scopes, out);
    return count > MOST_RANGES ? 0 : count;
}

/* Keeps the hits for which keep says so, when there are any. */
static bool keep_some(Hits *hits, const bool *keep) {
    size_t kept = 0;
    for (size_t i = 0; i < hits->count; i++)
        kept += keep[i];
    if (!kept)
        return false;
    size_t n = 0;
    for (size_t i = 0; i < hits->count; i++)
        if (keep[i])
            hits->lines[n++] = hits->lines[i];
    hits->count = n;
    return true;
}

static bool keep_in_scope(const Locate *l, const Edit *edit, const EditHelp *help, size_t count, Hits *hits,
                          bool *keep) {
    TextRange ranges[MOST_RANGES];
    size_t n = scope_ranges(l, edit->symbol, help, ranges);
    if (!n)
        return true;
    for (size_t i = 0; i < hits->count; i++) {
        size_t begin = line_begin(&l->file, hits->lines[i]),
               end = line_begin(&l->file, hits->lines[i] + count);
        keep[i] = false;
        for (size_t r = 0; r < n; r++)
            keep[i] = keep[i] || (ranges[r].begin <= begin && end <= ranges[r].end);
    }
    return keep_some(hits, keep);
}

static size_t distance(size_t a, size_t b) {
    return a > b ? a - b : b - a;
}

static void keep_at_line(size_t hint, Hits *hits, bool *keep) {
    size_t best = 0;
    for (size_t i = 1; i < hits->count; i++)
        if (distance(hits->lines[i] + 1, hint) < distance(hits->lines[best] + 1, hint))
            best = i;
    size_t away = distance(hits->lines[best] + 1, hint), clear = away ? CLEAR : NEAR;
    if (away > NEAR)
        return;
    for (size_t i = 0; i < hits->count; i++) {
        if (i != best && distance(hits->lines[i] + 1, hint) <= clear)
            return;
        keep[i] = i == best;
    }
    keep_some(hits, keep);
}

void hits_choose(const Locate *l, const Edit *edit, const EditHelp *help, size_t count, Hits *hits) {
    bool *keep = ARENA_ARRAY(l->scratch, bool, hits->count);
    if (edit->is_at_end) {
        for (size_t i = 0; i < hits->count; i++)
            keep[i] = hits->lines[i] + count == l->file.count;
        keep_some(hits, keep);
    }
    bool is_contradicted = false;
    if (hits->count > 1 && edit->symbol.len)
        is_contradicted = !keep_in_scope(l, edit, help, count, hits, keep);
    for (size_t i = 0; i < hits->count; i++)
        keep[i] = false;
    if (hits->count > 1 && edit->line_hint && !is_contradicted)
        keep_at_line(edit->line_hint, hits, keep);
}
