/* Parsing, and the names in a text: definitions by the rules of syntax_rules.c, occurrences by the leaves.
 *
 * Trees are walked with a cursor and a stack of frames of our own: asking a node for its parent or its
 * previous sibling searches from the root, which is quadratic on large texts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workspace/syntax_internal.h"

#define PARSE_LIMIT_MICROSECONDS 1000000

static void map_rules(SyntaxTree *tree, const TSLanguage *grammar) {
    tree->rule_of_count = ts_language_symbol_count(grammar);
    tree->rule_of = malloc(tree->rule_of_count);
    if (!tree->rule_of)
        abort();
    for (size_t symbol = 0; symbol < tree->rule_of_count; symbol++) {
        tree->rule_of[symbol] = SYNTAX_NO_RULE;
        if (ts_language_symbol_type(grammar, (TSSymbol)symbol) != TSSymbolTypeRegular)
            continue;
        const char *name = ts_language_symbol_name(grammar, (TSSymbol)symbol);
        for (size_t i = 0; i < SYNTAX_RULE_COUNT; i++)
            if (SYNTAX_RULES[i].languages & 1u << tree->language && strcmp(SYNTAX_RULES[i].type, name) == 0) {
                tree->rule_of[symbol] = (unsigned char)i;
                break;
            }
    }
}

/* Headers named .h may hold C++: lines that no C text begins so. */
Language syntax_language_of_text(Language language, Str text) {
    static const char *const STARTS[] = {"template<", "template <", "namespace ", "using namespace ",
                                         "public:",   "private:",   "protected:"};
    if (language != LANGUAGE_C)
        return language;
    for (Str rest = text, line; str_next_line(&rest, &line);) {
        line = str_trim(line);
        for (size_t i = 0; i < sizeof STARTS / sizeof *STARTS; i++)
            if (str_starts(line, str_of(STARTS[i])))
                return LANGUAGE_CPP;
    }
    return language;
}

bool syntax_parse(Language language, Str text, SyntaxTree *out, Err *err) {
    language = syntax_language_of_text(language, text);
    *out = (SyntaxTree){.language = language, .text = text};
    const TSLanguage *grammar = syntax_grammar(language);
    if (!grammar)
        return err_set(err, ERR_UNSUPPORTED, "there is no grammar for %s", language_name(language));
    if (text.len >= UINT32_MAX / 2)
        return err_set(err, ERR_LIMIT, "a text of %zu bytes is too large to parse", text.len);
    TSParser *parser = ts_parser_new();
    if (!ts_parser_set_language(parser, grammar)) {
        ts_parser_delete(parser);
        return err_set(err, ERR_INTERNAL,
                       "the %s grammar does not fit the installed tree-sitter; rebuild with ./dev setup",
                       language_name(language));
    }
    ts_parser_set_timeout_micros(parser, PARSE_LIMIT_MICROSECONDS);
    out->tree = ts_parser_parse_string(parser, NULL, text.len ? text.ptr : "", (uint32_t)text.len);
    ts_parser_delete(parser);
    if (!out->tree)
        return err_set(err, ERR_LIMIT, "parsing %zu bytes of %s took longer than a second", text.len,
                       language_name(language));
    map_rules(out, grammar);
    return true;
}

void syntax_tree_free(SyntaxTree *tree) {
    if (tree->tree)
        ts_tree_delete(tree->tree);
    free(tree->rule_of);
    *tree = (SyntaxTree){0};
}

/* ---- the walk ---- */

static const SyntaxRule *rule_of_node(const SyntaxTree *tree, TSNode node) {
    TSSymbol symbol = ts_node_symbol(node);
    if (symbol >= tree->rule_of_count || tree->rule_of[symbol] == SYNTAX_NO_RULE)
        return NULL;
    const SyntaxRule *rule = &SYNTAX_RULES[tree->rule_of[symbol]];
    if (rule->flags & RULE_WITH_BODY && ts_node_is_null(ts_node_child_by_field_name(node, "body", 4)))
        return NULL;
    return rule;
}

/* What a node's children stand in. */
static SyntaxScope scope_inside(const SyntaxFrame *frame) {
    if (frame->rule && !(frame->rule->flags & RULE_DECLARATION)) {
        if (frame->rule->kind == SYMBOL_TYPE)
            return SCOPE_TYPE;
        if (frame->rule->kind == SYMBOL_FUNCTION)
            return SCOPE_FUNCTION;
    }
    if (strcmp(frame->type, "impl_item") == 0)
        return SCOPE_TYPE;
    return frame->scope;
}

static void enter_node(SyntaxWalk *walk) {
    if (walk->depth == walk->capacity) {
        walk->capacity = walk->capacity ? walk->capacity * 2 : 64;
        walk->frames = realloc(walk->frames, walk->capacity * sizeof *walk->frames);
        if (!walk->frames)
            abort();
    }
    SyntaxFrame *frame = &walk->frames[walk->depth++];
    TSNode node = ts_tree_cursor_current_node(&walk->cursor);
    *frame = (SyntaxFrame){.node = node, .type = ts_node_type(node), .attribute_line = STR_NONE};
    frame->rule = rule_of_node(walk->tree, node);
    frame->first_line = ts_node_start_point(node).row;
    if (walk->depth == 1)
        return;
    SyntaxFrame *parent = frame - 1;
    frame->scope = scope_inside(parent);
    frame->definitions =
        parent->definitions + (parent->rule && parent->rule->field && !(parent->rule->flags & RULE_MANY));
    if (strcmp(frame->type, "attribute_item") == 0) {
        if (parent->attribute_line == STR_NONE)
            parent->attribute_line = frame->first_line;
    } else if (ts_node_is_named(node)) {
        if (parent->attribute_line != STR_NONE)
            frame->first_line = parent->attribute_line;
        parent->attribute_line = STR_NONE;
    }
    if (syntax_is_wrapper(parent->type))
        frame->first_line = parent->first_line;
}

void syntax_walk_begin(SyntaxWalk *walk, const SyntaxTree *tree) {
    *walk = (SyntaxWalk){.tree = tree, .cursor = ts_tree_cursor_new(ts_tree_root_node(tree->tree))};
    enter_node(walk);
}

bool syntax_walk_next(SyntaxWalk *walk, bool descend) {
    if (!(descend && ts_tree_cursor_goto_first_child(&walk->cursor))) {
        for (;;) {
            if (--walk->depth == 0)
                return false;
            if (ts_tree_cursor_goto_next_sibling(&walk->cursor))
                break;
            ts_tree_cursor_goto_parent(&walk->cursor);
        }
    }
    enter_node(walk);
    return true;
}

void syntax_walk_end(SyntaxWalk *walk) {
    ts_tree_cursor_delete(&walk->cursor);
    free(walk->frames);
}

SyntaxFrame *syntax_walk_frame(SyntaxWalk *walk, size_t up) {
    return up < walk->depth ? &walk->frames[walk->depth - 1 - up] : NULL;
}

size_t syntax_last_line(TSNode node) {
    TSPoint begin = ts_node_start_point(node), end = ts_node_end_point(node);
    return end.column == 0 && end.row > begin.row ? end.row - 1 : end.row;
}

/* ---- symbols ---- */

typedef struct SymbolSink {
    const SyntaxTree *tree;
    Arena *arena;
    Symbol *items;
    size_t count, capacity;
} SymbolSink;

static Str node_text(const SyntaxTree *tree, TSNode node) {
    return str_slice(tree->text, ts_node_start_byte(node), ts_node_end_byte(node));
}

static bool is_identifier(const char *type) {
    size_t length = strlen(type);
    return (length >= 10 && strcmp(type + length - 10, "identifier") == 0) ||
           strcmp(type, "shorthand_property_identifier_pattern") == 0;
}

static TSNode child_of_field(TSNode node, const char *field) {
    return ts_node_child_by_field_name(node, field, (uint32_t)strlen(field));
}

/* From a declarator, a qualified or a wrapped name to the identifier itself; a null node when there is none.
 * Sets *is_function when a function declarator lies on the way, and not only a pointer to one. */
static TSNode find_name(TSNode node, bool *is_function) {
    static const char *const FIELDS[] = {"declarator", "name", "property"};
    bool was_parenthesized = false, had_function = false;
    while (!ts_node_is_null(node) && ts_node_child_count(node) > 0) {
        const char *type = ts_node_type(node);
        if (strcmp(type, "function_declarator") == 0)
            had_function = true;
        else if (strcmp(type, "parenthesized_declarator") == 0)
            was_parenthesized = had_function;
        else if (strcmp(type, "pointer_declarator") == 0 && was_parenthesized)
            had_function = false;
        TSNode next = {0};
        for (size_t i = 0; i < sizeof FIELDS / sizeof *FIELDS && ts_node_is_null(next); i++)
            next = child_of_field(node, FIELDS[i]);
        node = ts_node_is_null(next) ? ts_node_named_child(node, 0) : next;
    }
    *is_function = had_function;
    return node;
}

static bool has_function_value(TSNode node) {
    TSNode value = child_of_field(node, "value");
    if (ts_node_is_null(value))
        value = child_of_field(node, "right");
    return !ts_node_is_null(value) && syntax_is_function_value(ts_node_type(value));
}

static bool is_extern(const SyntaxTree *tree, TSNode node) {
    TSNode first = ts_node_named_child(node, 0);
    return !ts_node_is_null(first) && str_eq(node_text(tree, first), S("extern"));
}

/* typedef struct A A: the struct's own definition is elsewhere. */
static bool is_forward_typedef(const SyntaxTree *tree, TSNode node, Str name) {
    TSNode type = child_of_field(node, "type");
    if (ts_node_is_null(type) || !ts_node_is_null(child_of_field(type, "body")))
        return false;
    TSNode tag = child_of_field(type, "name");
    return !ts_node_is_null(tag) && str_eq(node_text(tree, tag), name);
}

static void add_symbol(SymbolSink *sink, const SyntaxFrame *frame, TSNode name_node) {
    const SyntaxRule *rule = frame->rule;
    bool is_function;
    TSNode name = find_name(name_node, &is_function);
    if (ts_node_is_null(name) || !is_identifier(ts_node_type(name)))
        return;
    Str text = node_text(sink->tree, name);
    if (text.len == 0)
        return;
    Symbol symbol = {.name = text,
                     .kind = rule->kind,
                     .name_begin = ts_node_start_byte(name),
                     .first_line = frame->first_line,
                     .last_line = syntax_last_line(frame->node),
                     .depth = frame->definitions,
                     .is_declaration = rule->flags & RULE_DECLARATION};
    if (rule->flags & RULE_C_STYLE) {
        if (is_function)
            symbol.kind = SYMBOL_FUNCTION;
        symbol.is_declaration = is_function || is_extern(sink->tree, frame->node);
    }
    if (strcmp(rule->type, "type_definition") == 0)
        symbol.is_declaration = is_forward_typedef(sink->tree, frame->node, text);
    if (rule->flags & RULE_MANY)
        symbol.first_line = symbol.last_line = ts_node_start_point(name).row;
    if (rule->flags & RULE_BY_VALUE && has_function_value(frame->node))
        symbol.kind = SYMBOL_FUNCTION;
    if (rule->flags & RULE_SCOPED && frame->scope == SCOPE_TYPE)
        symbol.kind = SYMBOL_FIELD;
    bool is_local =
        frame->scope == SCOPE_FUNCTION && (symbol.kind == SYMBOL_VARIABLE || symbol.kind == SYMBOL_FIELD ||
                                           symbol.is_declaration || rule->flags & RULE_ONLY_VALUE);
    if (!is_local)
        LIST_PUSH(sink->arena, sink->items, sink->count, sink->capacity, symbol);
}

static void add_name(SymbolSink *sink, const SyntaxFrame *frame, TSNode node) {
    const char *type = ts_node_type(node);
    bool is_member = strcmp(type, "member_expression") == 0;
    if (frame->rule->flags & RULE_MEMBER_NAME && !is_member)
        return;
    /* a, b = 1, 2 names two; an attribute or a subscript on the left names none */
    if (strcmp(type, "pattern_list") == 0 || strcmp(type, "tuple_pattern") == 0) {
        TSTreeCursor cursor = ts_tree_cursor_new(node);
        for (bool more = ts_tree_cursor_goto_first_child(&cursor); more;
             more = ts_tree_cursor_goto_next_sibling(&cursor)) {
            TSNode child = ts_tree_cursor_current_node(&cursor);
            if (strcmp(ts_node_type(child), "identifier") == 0)
                add_symbol(sink, frame, child);
        }
        ts_tree_cursor_delete(&cursor);
        return;
    }
    if (strcmp(type, "attribute") == 0 || strcmp(type, "subscript") == 0 ||
        strcmp(type, "object_pattern") == 0 || strcmp(type, "array_pattern") == 0)
        return;
    add_symbol(sink, frame, node);
}

static void add_definition(SymbolSink *sink, const SyntaxFrame *frame) {
    const SyntaxRule *rule = frame->rule;
    if (rule->flags & RULE_ONLY_VALUE && !has_function_value(frame->node))
        return;
    TSTreeCursor cursor = ts_tree_cursor_new(frame->node);
    for (bool more = ts_tree_cursor_goto_first_child(&cursor); more;
         more = ts_tree_cursor_goto_next_sibling(&cursor)) {
        const char *field = ts_tree_cursor_current_field_name(&cursor);
        if (field && strcmp(field, rule->field) == 0)
            add_name(sink, frame, ts_tree_cursor_current_node(&cursor));
    }
    ts_tree_cursor_delete(&cursor);
}

static int compare_symbols(const void *a, const void *b) {
    const Symbol *left = a, *right = b;
    return (left->name_begin > right->name_begin) - (left->name_begin < right->name_begin);
}

static SymbolList collect_symbols(const SyntaxTree *tree, Arena *arena) {
    SymbolSink sink = {.tree = tree, .arena = arena};
    SyntaxWalk walk;
    syntax_walk_begin(&walk, tree);
    do {
        const SyntaxFrame *frame = syntax_walk_frame(&walk, 0);
        if (frame->rule && frame->rule->field)
            add_definition(&sink, frame);
    } while (syntax_walk_next(&walk, true));
    syntax_walk_end(&walk);
    if (sink.count)
        qsort(sink.items, sink.count, sizeof *sink.items, compare_symbols);
    size_t kept = 0;
    for (size_t i = 0; i < sink.count; i++)
        if (kept == 0 || sink.items[kept - 1].name_begin != sink.items[i].name_begin)
            sink.items[kept++] = sink.items[i];
    return (SymbolList){sink.items, kept};
}

bool syntax_symbols(Language language, Str text, Arena *arena, SymbolList *out, Err *err) {
    *out = (SymbolList){0};
    if (!syntax_grammar(language))
        return true;
    SyntaxTree tree;
    if (!syntax_parse(language, text, &tree, err))
        return false;
    *out = collect_symbols(&tree, arena);
    syntax_tree_free(&tree);
    return true;
}

/* ---- occurrences ---- */

typedef struct OccurrenceSink {
    Language language;
    Str text, name;
    Arena *arena;
    SymbolList symbols;
    Occurrence *items;
    size_t count, capacity;
} OccurrenceSink;

static bool is_word_byte(char c) {
    unsigned char byte = (unsigned char)c;
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           byte == '_' || byte >= 0x80;
}

static size_t skip_blanks_back(Str text, size_t at) {
    while (at > 0 && memchr(" \t\r\n", text.ptr[at - 1], 4))
        at--;
    return at;
}

/* A dot before the name, but no range or spread; an arrow only where it is one that leads to a member. */
static bool is_behind_dot(const OccurrenceSink *sink, size_t begin, bool arrows) {
    Str text = sink->text;
    size_t at = skip_blanks_back(text, begin);
    if (at == 0)
        return false;
    if (text.ptr[at - 1] == '.')
        return at < 2 || text.ptr[at - 2] != '.';
    return arrows && at >= 2 && text.ptr[at - 1] == '>' && text.ptr[at - 2] == '-';
}

static const Symbol *symbol_at(const OccurrenceSink *sink, size_t begin) {
    if (sink->symbols.count == 0)
        return NULL;
    Symbol key = {.name_begin = begin};
    return bsearch(&key, sink->symbols.items, sink->symbols.count, sizeof key, compare_symbols);
}

static void add_occurrence(OccurrenceSink *sink, Occurrence occurrence) {
    LIST_PUSH(sink->arena, sink->items, sink->count, sink->capacity, occurrence);
}

/* The end of a quoted text or comment that begins at `at` within C preprocessor text, or `at` itself. */
static size_t skip_quoted(Str text, size_t at, size_t end) {
    char quote = text.ptr[at];
    if (quote == '"' || quote == '\'') {
        for (size_t i = at + 1; i < end && text.ptr[i] != '\n'; i++) {
            if (text.ptr[i] == '\\')
                i++;
            else if (text.ptr[i] == quote)
                return i + 1;
        }
        return at + 1;
    }
    if (quote != '/' || at + 1 >= end)
        return at;
    if (text.ptr[at + 1] == '/')
        return end;
    if (text.ptr[at + 1] != '*')
        return at;
    size_t close = str_find(str_slice(text, 0, end), S("*/"), at + 2);
    return close == STR_NONE ? end : close + 2;
}

/* Whole words in [begin, end), which starts on the given line. */
static void add_words(OccurrenceSink *sink, size_t begin, size_t end, size_t line, bool skip_quotes) {
    Str text = sink->text, name = sink->name;
    bool word_start = is_word_byte(name.ptr[0]), word_end = is_word_byte(name.ptr[name.len - 1]);
    for (size_t i = begin; i < end;) {
        size_t next = skip_quotes ? skip_quoted(text, i, end) : i;
        if (next == i && end - i >= name.len && memcmp(text.ptr + i, name.ptr, name.len) == 0 &&
            !(word_start && i > 0 && is_word_byte(text.ptr[i - 1])) &&
            !(word_end && i + name.len < text.len && is_word_byte(text.ptr[i + name.len]))) {
            bool is_code = sink->language != LANGUAGE_NONE;
            add_occurrence(
                sink,
                (Occurrence){.begin = i, .line = line, .is_member = is_code && is_behind_dot(sink, i, true)});
            next = i + name.len;
        }
        if (next == i)
            next = i + 1;
        for (; i < next && i < end; i++)
            line += text.ptr[i] == '\n';
    }
}

static bool is_field_key(SyntaxWalk *walk, size_t end) {
    const SyntaxFrame *parent = syntax_walk_frame(walk, 1);
    if (!parent)
        return false;
    if (strcmp(parent->type, "keyword_argument") == 0 || strcmp(parent->type, "element_value_pair") == 0 ||
        strcmp(parent->type, "keyword_pattern") == 0)
        return ts_node_start_byte(parent->node) == ts_node_start_byte(syntax_walk_frame(walk, 0)->node);
    /* Go: T{Name: x} */
    const SyntaxFrame *pair = syntax_walk_frame(walk, 2);
    if (!pair || strcmp(parent->type, "literal_element") != 0 || strcmp(pair->type, "keyed_element") != 0)
        return false;
    Str rest = str_trim(str_slice(walk->tree->text, end, ts_node_end_byte(pair->node)));
    return str_starts(rest, S(":"));
}

static void add_identifier(OccurrenceSink *sink, SyntaxWalk *walk, size_t begin, size_t end) {
    const SyntaxFrame *frame = syntax_walk_frame(walk, 0), *parent = syntax_walk_frame(walk, 1);
    const SyntaxFrame *grandparent = syntax_walk_frame(walk, 2);
    const Symbol *symbol = symbol_at(sink, ts_node_start_byte(frame->node));
    Occurrence occurrence = {.begin = begin, .line = ts_node_start_point(frame->node).row};
    occurrence.is_definition = symbol && !symbol->is_declaration;
    occurrence.is_shorthand = strncmp(frame->type, "shorthand_", 10) == 0 ||
                              (parent && strcmp(parent->type, "shorthand_field_initializer") == 0);
    bool is_field_type = strcmp(frame->type, "field_identifier") == 0 ||
                         strcmp(frame->type, "property_identifier") == 0 ||
                         strcmp(frame->type, "private_property_identifier") == 0;
    bool is_relative_import = grandparent && strcmp(grandparent->type, "relative_import") == 0;
    if (symbol)
        occurrence.is_member = symbol->kind == SYMBOL_FIELD;
    else
        occurrence.is_member = is_field_type || is_field_key(walk, end) ||
                               (!is_relative_import && is_behind_dot(sink, begin, false));
    add_occurrence(sink, occurrence);
}

static void visit_leaf(OccurrenceSink *sink, SyntaxWalk *walk) {
    const SyntaxFrame *frame = syntax_walk_frame(walk, 0);
    size_t begin = ts_node_start_byte(frame->node), end = ts_node_end_byte(frame->node);
    if (end - begin < sink->name.len)
        return;
    bool is_error = ts_node_symbol(frame->node) == SYNTAX_ERROR_NODE;
    if (is_error || strcmp(frame->type, "preproc_arg") == 0) {
        add_words(sink, begin, end, ts_node_start_point(frame->node).row, !is_error);
        return;
    }
    if (!is_identifier(frame->type))
        return;
    if (sink->text.ptr[begin] == '#' && sink->name.ptr[0] != '#') /* JavaScript's private names */
        begin++;
    if (str_eq(str_slice(sink->text, begin, end), sink->name))
        add_identifier(sink, walk, begin, end);
}

bool syntax_occurrences(Language language, Str text, Str name, Arena *arena, OccurrenceList *out, Err *err) {
    *out = (OccurrenceList){0};
    if (name.len == 0 || str_find(text, name, 0) == STR_NONE)
        return true;
    OccurrenceSink sink = {.language = language, .text = text, .name = name, .arena = arena};
    if (!syntax_grammar(language)) {
        sink.language = LANGUAGE_NONE;
        add_words(&sink, 0, text.len, 0, false);
    } else {
        SyntaxTree tree;
        if (!syntax_parse(language, text, &tree, err))
            return false;
        sink.symbols = collect_symbols(&tree, arena);
        SyntaxWalk walk;
        syntax_walk_begin(&walk, &tree);
        do {
            if (ts_node_child_count(syntax_walk_frame(&walk, 0)->node) == 0)
                visit_leaf(&sink, &walk);
        } while (syntax_walk_next(&walk, true));
        syntax_walk_end(&walk);
        syntax_tree_free(&tree);
    }
    *out = (OccurrenceList){sink.items, sink.count};
    return true;
}
