/* Inside of syntax.c and its tables: which nodes of which grammar define a name. */
#ifndef MUX_WORKSPACE_SYNTAX_INTERNAL_H
#define MUX_WORKSPACE_SYNTAX_INTERNAL_H

#include <tree_sitter/api.h>

#include "workspace/syntax.h"

/* What surrounds a node: decides whether a variable is worth a symbol. */
typedef enum SyntaxScope { SCOPE_FILE, SCOPE_TYPE, SCOPE_FUNCTION } SyntaxScope;

enum {
    RULE_DECLARATION = 1, /* no body here */
    RULE_WITH_BODY = 2,   /* only when the node has a field "body" */
    RULE_C_STYLE = 4,     /* the declarator tells function from variable */
    RULE_BY_VALUE = 8,    /* a function when the field "value" or "right" holds one */
    RULE_ONLY_VALUE = 16, /* with RULE_BY_VALUE: no symbol at all otherwise */
    RULE_SCOPED = 32,     /* a field inside a type */
    RULE_MANY = 128,      /* the node holds many names, each a definition of its own line */
    RULE_MEMBER_NAME = 64 /* the name is the last part of a member expression */
};

typedef struct SyntaxRule {
    unsigned languages; /* bits 1 << Language */
    const char *type;   /* node type */
    SymbolKind kind;
    const char
        *field; /* the child (or children) with the name; NULL: opens a function's scope, names nothing */
    unsigned flags;
} SyntaxRule;

extern const SyntaxRule SYNTAX_RULES[];
extern const size_t SYNTAX_RULE_COUNT;

/* ---- a parsed text and a walk over its nodes, parents first ---- */

#define SYNTAX_NO_RULE 0xff
#define SYNTAX_ERROR_NODE ((TSSymbol)-1)

typedef struct SyntaxTree {
    Language language;
    Str text;
    TSTree *tree;
    unsigned char *rule_of; /* by node symbol: row of SYNTAX_RULES or SYNTAX_NO_RULE */
    size_t rule_of_count;
} SyntaxTree;
Language syntax_language_of_text(Language language, Str text);
/* ERR_LIMIT when it took too long or the text is too large. The language must have a grammar. */
bool syntax_parse(Language language, Str text, SyntaxTree *out, Err *err);
void syntax_tree_free(SyntaxTree *tree);

typedef struct SyntaxFrame {
    TSNode node;
    const char *type;
    const SyntaxRule *rule; /* NULL for none; RULE_WITH_BODY is already checked */
    SyntaxScope scope;      /* around the node */
    size_t definitions;     /* around the node */
    size_t first_line;      /* with wrappers and attributes before it */
    size_t attribute_line;  /* of attributes waiting for the next sibling of a child, or STR_NONE */
} SyntaxFrame;

typedef struct SyntaxWalk {
    const SyntaxTree *tree;
    TSTreeCursor cursor;
    SyntaxFrame *frames; /* root to current node */
    size_t depth, capacity;
} SyntaxWalk;
void syntax_walk_begin(SyntaxWalk *walk, const SyntaxTree *tree); /* stands on the root */
bool syntax_walk_next(SyntaxWalk *walk, bool descend);            /* false at the end */
void syntax_walk_end(SyntaxWalk *walk);
SyntaxFrame *syntax_walk_frame(SyntaxWalk *walk,
                               size_t up); /* 0 the node, 1 its parent, ...; NULL above the root */
size_t syntax_last_line(TSNode node); /* a node that ends with a line end does not reach into the next line */

const TSLanguage *syntax_grammar(Language language); /* NULL for none */
bool syntax_is_wrapper(const char *type);            /* a node around one definition that belongs to it */
bool syntax_is_function_value(const char *type);

#endif
