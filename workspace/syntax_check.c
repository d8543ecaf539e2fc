/* What is wrong with a text, what an edit made worse, and the piece of code around some lines. */
#include <stdlib.h>
#include <string.h>

#include "workspace/syntax_internal.h"

#define ERRORS_KEPT 200 /* compared by line; more are only counted */

typedef struct ErrorLine {
    size_t first_line, last_line;
    Str text;       /* of the first line, trimmed */
    bool is_paired; /* with an error of the other text */
    bool is_gone;   /* the other text has no such line */
} ErrorLine;

typedef struct ErrorLines {
    ErrorLine *items;
    size_t kept, capacity;
    size_t count; /* all of them */
} ErrorLines;

static Str line_around(Str text, size_t at) {
    if (at > text.len)
        at = text.len;
    size_t begin = at, end = str_find_char(text, '\n', at);
    while (begin > 0 && text.ptr[begin - 1] != '\n')
        begin--;
    return str_trim(str_slice(text, begin, end == STR_NONE ? text.len : end));
}

static bool collect_errors(Language language, Str text, Arena *arena, ErrorLines *out, Err *err) {
    *out = (ErrorLines){0};
    SyntaxTree tree;
    if (!syntax_parse(language, text, &tree, err))
        return false;
    SyntaxWalk walk;
    syntax_walk_begin(&walk, &tree);
    bool descend;
    do {
        TSNode node = syntax_walk_frame(&walk, 0)->node;
        descend = ts_node_has_error(node);
        if (ts_node_symbol(node) != SYNTAX_ERROR_NODE && !ts_node_is_missing(node))
            continue;
        out->count++;
        if (out->kept == ERRORS_KEPT)
            continue;
        ErrorLine error = {.first_line = ts_node_start_point(node).row,
                           .last_line = syntax_last_line(node),
                           .text = line_around(text, ts_node_start_byte(node))};
        LIST_PUSH(arena, out->items, out->kept, out->capacity, error);
    } while (syntax_walk_next(&walk, descend));
    syntax_walk_end(&walk);
    syntax_tree_free(&tree);
    return true;
}

static SyntaxErrors describe(const ErrorLines *errors, const ErrorLine *first) {
    SyntaxErrors out = {.count = errors->count};
    if (first) {
        out.first_line = first->first_line;
        out.first_text = first->text;
    }
    return out;
}

bool syntax_errors(Language language, Str text, Arena *arena, SyntaxErrors *out, Err *err) {
    *out = (SyntaxErrors){0};
    if (!syntax_grammar(language))
        return true;
    ErrorLines errors;
    if (!collect_errors(language, text, arena, &errors, err))
        return false;
    *out = describe(&errors, errors.kept ? &errors.items[0] : NULL);
    return true;
}

/* ---- comparing ---- */

static bool is_word_byte(char c) {
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* Equal but for the names in them. */
static bool has_same_form(Str a, Str b) {
    size_t i = 0, k = 0;
    while (i < a.len && k < b.len) {
        if (is_word_byte(a.ptr[i]) && is_word_byte(b.ptr[k])) {
            while (i < a.len && is_word_byte(a.ptr[i]))
                i++;
            while (k < b.len && is_word_byte(b.ptr[k]))
                k++;
        } else if (a.ptr[i++] != b.ptr[k++]) {
            return false;
        }
    }
    return i == a.len && k == b.len;
}

/* An edited line still counts as the same line when only names changed, or when at least half of it is a
 * common start and end. */
static bool is_similar(Str a, Str b) {
    size_t shorter = a.len < b.len ? a.len : b.len, longer = a.len < b.len ? b.len : a.len;
    size_t same = 0, tail = 0;
    while (same < shorter && a.ptr[same] == b.ptr[same])
        same++;
    while (same + tail < shorter && a.ptr[a.len - 1 - tail] == b.ptr[b.len - 1 - tail])
        tail++;
    return (same + tail) * 2 >= longer || has_same_form(a, b);
}

static bool has_line(Str text, Str wanted) {
    for (Str rest = text, line; str_next_line(&rest, &line);)
        if (str_eq(str_trim(line), wanted))
            return true;
    return false;
}

static void pair_errors(ErrorLines *before, ErrorLines *after, bool (*is_same)(Str, Str), bool only_gone) {
    for (size_t i = 0; i < after->kept; i++) {
        for (size_t k = 0; k < before->kept && !after->items[i].is_paired; k++) {
            ErrorLine *old = &before->items[k];
            if (old->is_paired || (only_gone && !old->is_gone) || !is_same(old->text, after->items[i].text))
                continue;
            old->is_paired = after->items[i].is_paired = true;
        }
    }
}

static size_t first_changed_line(Str before, Str after) {
    Str a, b;
    for (size_t line = 0;; line++)
        if (!str_next_line(&after, &b) || !str_next_line(&before, &a) || !str_eq(a, b))
            return line;
}

static Str line_at(Str text, size_t wanted) {
    Str line = {0};
    for (size_t i = 0; i <= wanted; i++)
        if (!str_next_line(&text, &line))
            return (Str){0};
    return str_trim(line);
}

bool syntax_is_worse(Language language, Str before, Str after, Arena *arena, SyntaxErrors *out) {
    *out = (SyntaxErrors){0};
    ErrorLines old, new;
    language = syntax_language_of_text(language, before);
    if (!syntax_grammar(language) || !collect_errors(language, after, arena, &new, NULL) || new.count == 0 ||
        !collect_errors(language, before, arena, &old, NULL))
        return false;
    pair_errors(&old, &new, str_eq, false);
    if (new.count <= old.count) {
        for (size_t i = 0; i < old.kept; i++)
            old.items[i].is_gone = !old.items[i].is_paired && !has_line(after, old.items[i].text);
        pair_errors(&old, &new, is_similar, true);
    }
    ErrorLine *first = NULL;
    for (size_t i = 0; i < new.kept && !first; i++)
        if (!new.items[i].is_paired)
            first = &new.items[i];
    if (!first && new.count <= old.count)
        return false;
    if (!first)
        first = &new.items[new.kept - 1];
    size_t changed = first_changed_line(before, after);
    if (changed > first->first_line && changed <= first->last_line) {
        first->first_line = changed;
        first->text = line_at(after, changed);
    }
    *out = describe(&new, first);
    return true;
}

/* ---- the piece of code around some lines ---- */

static bool starts_its_line(Str text, TSNode node) {
    for (size_t at = ts_node_start_byte(node); at > 0 && text.ptr[at - 1] != '\n'; at--)
        if (text.ptr[at - 1] != ' ' && text.ptr[at - 1] != '\t')
            return false;
    return true;
}

/* A definition worth showing whole: prototypes, fields and one-line variables tell nothing more than their
 * line. */
static bool is_whole_definition(const SyntaxFrame *frame, size_t lines, size_t asked) {
    if (!frame->rule || !frame->rule->field || frame->rule->flags & (RULE_DECLARATION | RULE_MANY))
        return false;
    bool is_small = frame->rule->kind == SYMBOL_VARIABLE || frame->rule->kind == SYMBOL_FIELD;
    return !is_small || lines > asked;
}

bool syntax_enclosing(Language language, Str text, size_t first_line, size_t last_line, size_t max_lines,
                      size_t *out_first, size_t *out_last) {
    SyntaxTree tree;
    if (last_line < first_line || !syntax_parse(language, text, &tree, NULL))
        return false;
    size_t asked = last_line - first_line + 1;
    bool found_definition = false, found_block = false;
    SyntaxWalk walk;
    syntax_walk_begin(&walk, &tree);
    bool descend;
    do {
        const SyntaxFrame *frame = syntax_walk_frame(&walk, 0);
        size_t first = frame->first_line, last = syntax_last_line(frame->node), lines = last - first + 1;
        descend = first <= first_line && last >= last_line;
        if (!descend || lines > max_lines || walk.depth == 1 || !ts_node_is_named(frame->node))
            continue;
        if (is_whole_definition(frame, lines, asked)) {
            found_definition = true; /* parents come first: the last one found is the smallest */
            *out_first = first;
            *out_last = last;
        } else if (!found_definition && !found_block && lines > asked && starts_its_line(text, frame->node)) {
            found_block = true;
            *out_first = first;
            *out_last = last;
        }
    } while (syntax_walk_next(&walk, descend));
    syntax_walk_end(&walk);
    syntax_tree_free(&tree);
    return found_definition || found_block;
}
