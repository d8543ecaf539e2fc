/* Request: what can be read off a user's sentence without a model.
 *
 * Quoted spans, paths that exist, identifiers, and for simple mechanical edits the intent with its operands.
 * The intent only chooses where to look, how to ask and what to check; the text of every edit comes from the
 * model. Pure; results live in the arena and may point into the text.
 */
#ifndef MUX_PLANNER_REQUEST_H
#define MUX_PLANNER_REQUEST_H

#include "base/str.h"

typedef enum Intent {
    INTENT_OTHER,   /* not recognised: names and quotes guide the search */
    INTENT_RENAME,  /* from, to */
    INTENT_REPLACE, /* from, to: a literal, a call or any text */
    INTENT_SET,     /* target, to, maybe from: a value changes */
    INTENT_REMOVE,  /* target: a line, a call, an import */
    INTENT_PARAM,   /* target (function), to (parameter) */
    INTENT_INSERT,  /* to (new line), target (line it stands next to) */
    INTENT_COUNT
} Intent;

typedef enum RemoveKind { REMOVE_LINE, REMOVE_CALL, REMOVE_IMPORT, REMOVE_MENTION } RemoveKind;

typedef struct Word {
    Str text; /* without quotes and trailing punctuation */
    bool is_quoted;
    size_t begin, end; /* span in the request, quotes included */
} Word;

typedef struct Request {
    Str text;
    Word *words;
    size_t word_count;
    Intent intent;
    Str from, to, target;
    RemoveKind remove_kind;
    bool is_calls; /* REPLACE of calls: operands are callees without "()" */
    bool is_removal_of_all;
    bool is_loose;       /* RENAME said as "change a to b": it may mean a value */
    bool is_path_shared; /* a file name in the request fits several files */
    Str scope;           /* the definition, section or mapping the change is to stay in; may be empty */
    bool is_after;       /* INSERT: behind the target line */
    Str *paths;          /* relative paths of the listing that the request names */
    size_t path_count;
    Str *names; /* identifiers worth searching, most telling first */
    size_t name_count;
    Str instruction; /* one line for the model: the request without its path phrase */
    Str canonical;   /* the intent in the words small models know best; empty for INTENT_OTHER */
} Request;

/* listing: all paths of the repository, sorted; used to recognise paths and file names. */
void request_read(Str text, const Str *listing, size_t listing_count, Arena *arena, Request *out);

/* The second reading, when the operands were not found with the quotes they carry: quotes as mere marks.
 * False when there are none. */
bool request_unquote(Request *request, Arena *arena);

/* A loose rename, read as a value instead. */
void request_as_value(Request *request, Arena *arena);

bool is_identifier(Str s);
/* Compound identifiers (a_b, aB, a2) are names even in prose. */
bool is_compound(Str s);
bool is_literal(Str s); /* number, quoted string, True/False/None/null/true/false */
const char *intent_name(Intent intent);

#endif
