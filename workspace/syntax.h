/* Syntax: what tree-sitter knows of a text. Grammars: C, C++, Python, JavaScript, TypeScript (and TSX), Go,
 * Rust, Java.
 *
 * Pure functions over text, thread-safe; a parse stops after ~1 s and then counts as unknown (false,
 * ERR_LIMIT). Texts with errors are read as far as the parser can make sense of them.
 */
#ifndef MUX_WORKSPACE_SYNTAX_H
#define MUX_WORKSPACE_SYNTAX_H

#include "base/err.h"
#include "base/str.h"

/* Where LANGUAGE_C is given, texts that plainly hold C++ (headers named .h) are read as C++. */
typedef enum Language {
    LANGUAGE_NONE, /* no grammar: text only */
    LANGUAGE_C,
    LANGUAGE_CPP,
    LANGUAGE_PYTHON,
    LANGUAGE_JAVASCRIPT,
    LANGUAGE_TYPESCRIPT,
    LANGUAGE_TSX,
    LANGUAGE_GO,
    LANGUAGE_RUST,
    LANGUAGE_JAVA,
    LANGUAGE_COUNT
} Language;

Language language_of(Str path);               /* by file extension */
const char *language_name(Language language); /* "python"; "text" for none */

typedef enum SymbolKind {
    SYMBOL_FUNCTION,
    SYMBOL_TYPE,
    SYMBOL_VARIABLE, /* at file level; enumerators too */
    SYMBOL_MACRO,
    SYMBOL_MODULE,
    SYMBOL_FIELD /* of a type */
} SymbolKind;

typedef struct Symbol {
    Str name; /* borrowed from the text */
    SymbolKind kind;
    size_t name_begin; /* byte offset of the name */
    size_t first_line,
        last_line; /* of the whole definition with its decorators, template head or attributes, from 0 */
    size_t depth;  /* definitions around this one */
    bool is_declaration; /* no body here: a prototype, an extern, an interface's method */
} Symbol;
typedef struct SymbolList {
    Symbol *items; /* in text order */
    size_t count;
} SymbolList;
/* Definitions in a text, locals of functions apart; none for LANGUAGE_NONE. */
bool syntax_symbols(Language language, Str text, Arena *arena, SymbolList *out, Err *err);

typedef struct Occurrence {
    size_t begin;       /* byte offset */
    size_t line;        /* from 0 */
    bool is_definition; /* the name of a definition with a body: a Symbol that is no declaration */
    bool is_member;     /* behind a dot or arrow, or a keyword argument / field name */
    bool is_shorthand;  /* {name} in JavaScript, TypeScript, Rust: a variable and a field name at once */
} Occurrence;
typedef struct OccurrenceList {
    Occurrence *items;
    size_t count;
} OccurrenceList;
/* Identifier tokens equal to name, not in comments or strings; whole words in the bodies of C macros, which
 * are raw text. For LANGUAGE_NONE: whole words. */
bool syntax_occurrences(Language language, Str text, Str name, Arena *arena, OccurrenceList *out, Err *err);

typedef struct SyntaxErrors {
    size_t count;      /* ERROR and MISSING nodes */
    size_t first_line; /* from 0, of the first one */
    Str first_text;    /* the line's text */
} SyntaxErrors;
bool syntax_errors(Language language, Str text, Arena *arena, SyntaxErrors *out, Err *err);
/* True when `after` has an error that `before` has not: compared by count and by the lines' texts, where a
 * line that was edited but was already in error counts as the same. *out describes the first new one, with
 * its line inside the edit where the error covers it. False when either text cannot be parsed. */
bool syntax_is_worse(Language language, Str before, Str after, Arena *arena, SyntaxErrors *out);

/* The lines of the smallest definition around [first_line, last_line], or where that is longer than max_lines
 * the largest statement or block inside it that still fits and is longer than what was asked; false when
 * none. */
bool syntax_enclosing(Language language, Str text, size_t first_line, size_t last_line, size_t max_lines,
                      size_t *out_first, size_t *out_last);

#endif
