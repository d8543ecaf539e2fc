#include "planner/request.h"

#include <ctype.h>
#include <string.h>

#include "base/buf.h"

/* One sentence form: words separated by blanks. "a|b" alternatives, "?" in front = optional,
 * KIND/VALUE/LITERAL/LINE word classes, $x captures (a quoted span, else one word; $q a quoted span only; $x+
 * takes up to eight words, as few as possible). First match wins. */
typedef struct Pattern {
    Intent intent;
    const char *form;
    RemoveKind remove_kind;
} Pattern;

static const Pattern PATTERNS[] = {
    {INTENT_PARAM, "add ?a|an|the ?new ?optional|extra|another PARAMETER $p+ to ?the ?KIND $f", 0},
    {INTENT_PARAM, "give ?the ?KIND $f ?a|an|the ?new ?optional|extra|another PARAMETER $p+ END", 0},
    {INTENT_PARAM, "extend ?the ?KIND $f with|by ?a|an|the ?new ?optional|extra|another PARAMETER $p+ END",
     0},
    {INTENT_PARAM, "$f should|must take ?a|an|another ?new ?optional|extra PARAMETER $p+ END", 0},
    {INTENT_RENAME, "rename ?the ?KIND ?name|named|called $a to|into|as|-> $b", 0},
    {INTENT_RENAME, "rename $a ?KIND to|into|as|-> $b", 0},
    {INTENT_RENAME, "change|replace ?the name ?of ?the ?KIND $a to|with|by $b", 0},
    {INTENT_RENAME, "change ?the KIND name from $a to $b", 0},
    {INTENT_RENAME, "call ?the KIND $b instead of $a", 0},
    {INTENT_RENAME, "use ?the name $b instead of $a", 0},
    {INTENT_RENAME, "?the ?KIND $a should|must be renamed to $b", 0},
    {INTENT_RENAME, "?the ?KIND $a should|must be called $b", 0},
    {INTENT_REPLACE, "replace|change ?all|every|each calls|call of|to $a with|by|to ?calls|call ?of|to $b",
     1},
    {INTENT_REPLACE, "replace|change ?the ?function call $a with|by|to $b", 1},
    {INTENT_REPLACE, "every|each call to|of $a should|must become ?a ?call ?to|of $b", 1},
    {INTENT_REPLACE, "call $b instead of $a", 1},
    {INTENT_REPLACE, "switch from $a to $b", 1},
    {INTENT_SET, "in ?the ?line|condition|function|method $n replace|change ?the ?VALUE $a by|with|to $b", 0},
    {INTENT_SET, "in ?the ?line|condition|function|method $n use $b instead of $a", 0},
    {INTENT_SET, "use $b+ instead of $a+ in ?the ?line|condition|LITERAL $q END", 0},
    {INTENT_SET, "replace|change $a+ with|by|to $b+ in ?the ?line|condition $q END", 0},
    {INTENT_SET,
     "change|update|switch|flip|increase|decrease|bump|raise|lower|reduce ?the ?VALUE ?of|for ?the ?KIND $n "
     "from $a to $b",
     0},
    {INTENT_SET, "replace ?the VALUE $a of ?the ?KIND $n with|by $b", 0},
    {INTENT_SET, "?the ?VALUE ?of $n should|must be $b instead of $a", 0},
    {INTENT_SET, "?the ?VALUE ?of $n should|must be $b ?and not $a", 0},
    {INTENT_SET, "?the ?VALUE ?of $n should|must be $b", 0},
    {INTENT_SET, "change $n = $a to $b", 0},
    {INTENT_REPLACE,
     "replace|change ?all|every|each ?the ?LITERAL ?occurrences|occurrence|uses|use ?of ?the ?LITERAL $a "
     "with|by|to|into $b",
     0},
    {INTENT_REPLACE, "?it should return $b instead of $a", 0},
    {INTENT_REPLACE, "use $b instead of $a", 0},
    {INTENT_SET,
     "set|change|update|bump|increase|decrease|raise|lower|reduce ?the ?VALUE ?of|for ?the ?KIND $n to $b",
     0},
    {INTENT_SET, "make ?the ?VALUE ?of ?the ?KIND $n ?equal ?to $b", 0},
    {INTENT_SET, "use $b for $n", 0},
    {INTENT_INSERT,
     "insert|add|put|append ?a|the ?new ?LINE $b ?right|directly|immediately|just before|above ?the "
     "?line|statement $n",
     0},
    {INTENT_INSERT,
     "insert|add|put|append ?a|the ?new ?LINE $b ?right|directly|immediately|just "
     "after|below|behind|following ?the ?line|statement $n",
     0},
    {INTENT_REMOVE, "remove|delete|drop ?all|every|each|the ?the line|lines that call|calls $n", REMOVE_CALL},
    {INTENT_REMOVE,
     "remove|delete|drop ?all|every|each|the ?the line|lines that|which "
     "?mention|mentions|use|uses|contain|contains $n",
     REMOVE_MENTION},
    {INTENT_REMOVE, "remove|delete|drop ?all|every|each|the line|lines ?mentioning|containing|with|using $n",
     REMOVE_MENTION},
    {INTENT_REMOVE, "remove|delete|drop ?all|every|each|the call|calls ?to|of $n", REMOVE_CALL},
    {INTENT_REMOVE, "remove|delete|drop ?all|every|each|the $n call|calls|statement|statements", REMOVE_CALL},
    {INTENT_REMOVE, "remove|delete|drop ?all|every|each|the ?unused import|include of $n", REMOVE_IMPORT},
    {INTENT_REMOVE, "remove|delete|drop ?all|every|each|the ?unused $n import|include", REMOVE_IMPORT},
    {INTENT_REMOVE, "remove|delete|drop ?this|the line $n", REMOVE_LINE},
    {INTENT_REMOVE, "remove|delete|drop $n+ END", REMOVE_LINE},
    {INTENT_REMOVE, "remove|delete|drop $n", REMOVE_LINE},
};

typedef struct WordClass {
    const char *name, *words;
} WordClass;

static const WordClass CLASSES[] = {
    {"KIND", "variable|function|method|parameter|identifier|name|symbol|class|constant|field|argument|struct|"
             "type|macro|module|"
             "attribute|property|member|setting|option|enum|global|flag"},
    {"VALUE", "value|default|number|constant|string|text|literal|limit|size"},
    {"LITERAL", "number|value|constant|string|text|literal|word"},
    {"LINE", "line|statement|comment|row"},
    {"PARAMETER", "parameter|argument|param|arg"},
};

static bool in_list(Str word, const char *list) {
    while (*list) {
        size_t n = strcspn(list, "|");
        if (str_eq_nocase(word, (Str){list, n}))
            return true;
        list += n + (list[n] == '|');
    }
    return false;
}

static const char *class_words(Str name) {
    for (size_t i = 0; i < sizeof CLASSES / sizeof *CLASSES; i++)
        if (str_eq(name, str_of(CLASSES[i].name)))
            return CLASSES[i].words;
    return NULL;
}

bool is_identifier(Str s) {
    if (s.len == 0 || (!isalpha((unsigned char)s.ptr[0]) && s.ptr[0] != '_'))
        return false;
    for (size_t i = 1; i < s.len; i++)
        if (!isalnum((unsigned char)s.ptr[i]) && s.ptr[i] != '_')
            return false;
    return true;
}

bool is_compound(Str s) {
    if (!is_identifier(s))
        return false;
    for (size_t i = 1; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i], before = (unsigned char)s.ptr[i - 1];
        if (c == '_' || isdigit(c) || (isupper(c) && islower(before)))
            return true;
    }
    return s.ptr[0] == '_' && s.len > 1;
}

bool is_literal(Str s) {
    if (s.len == 0)
        return false;
    char c = s.ptr[0];
    if ((c == '"' || c == '\'') && s.len >= 2)
        return s.ptr[s.len - 1] == c;
    if (isdigit((unsigned char)c) ||
        ((c == '-' || c == '.') && s.len > 1 && isdigit((unsigned char)s.ptr[1])))
        return true;
    return in_list(s, "True|False|None|null|nil|NULL|nullptr|undefined");
}

const char *intent_name(Intent intent) {
    static const char *const NAMES[] = {"other", "rename", "replace", "set", "remove", "param", "insert"};
    _Static_assert(sizeof NAMES / sizeof *NAMES == INTENT_COUNT, "one name per intent");
    return NAMES[intent];
}

/* ---- words ---- */

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* A closing quote ends a span when a blank, punctuation or the end follows; an apostrophe inside a word opens
 * none. */
static size_t quoted_end(Str text, size_t open) {
    char quote = text.ptr[open];
    for (size_t i = open + 1; i < text.len && text.ptr[i] != '\n'; i++)
        if (text.ptr[i] == quote && (i + 1 == text.len || !isalnum((unsigned char)text.ptr[i + 1])))
            return i;
    return STR_NONE;
}

static void read_words(Request *r, Arena *arena) {
    size_t capacity = 0;
    Str text = r->text;
    for (size_t i = 0; i < text.len;) {
        if (is_space(text.ptr[i])) {
            i++;
            continue;
        }
        Word word = {.begin = i};
        char c = text.ptr[i];
        size_t close = c == '`' || c == '"' || c == '\'' ? quoted_end(text, i) : STR_NONE;
        if (close != STR_NONE && close > i + 1) {
            /* Backticks are markup; quotes belong to a literal's spelling and stay in from/to. */
            word.text = c == '`' ? str_slice(text, i + 1, close) : str_slice(text, i, close + 1);
            word.is_quoted = true;
            i = close + 1;
            while (i < text.len && strchr(".,;:!?)", text.ptr[i]))
                i++;
        } else {
            while (i < text.len && !is_space(text.ptr[i]))
                i++;
            Str s = str_slice(text, word.begin, i);
            while (s.len > 1 && strchr(".,;:!?", s.ptr[s.len - 1]))
                s.len--;
            word.text = s;
        }
        word.end = i;
        LIST_PUSH(arena, r->words, r->word_count, capacity, word);
    }
}

/* ---- patterns ---- */

typedef struct Match {
    const Request *request;
    Str captures[128]; /* by letter */
} Match;

static bool next_element(const char **form, Str *element) {
    while (**form == ' ')
        (*form)++;
    size_t n = strcspn(*form, " ");
    *element = (Str){*form, n};
    *form += n;
    return n > 0;
}

static bool word_fits(const Word *word, Str element) {
    const char *words = class_words(element);
    if (words)
        return !word->is_quoted && in_list(word->text, words);
    if (word->is_quoted)
        return false;
    for (size_t at = 0; at <= element.len;) {
        size_t end = str_find_char(element, '|', at);
        if (end == STR_NONE)
            end = element.len;
        if (str_eq_nocase(word->text, str_slice(element, at, end)))
            return true;
        at = end + 1;
    }
    return false;
}

static Str span_text(const Request *r, size_t first, size_t count) {
    if (count == 1)
        return r->words[first].text;
    const Word *last = &r->words[first + count - 1];
    Str s = str_slice(r->text, r->words[first].begin, last->end);
    return last->is_quoted ? s : str_range(s.ptr, last->text.ptr + last->text.len);
}

static bool match_from(Match *m, const char *form, size_t at) {
    Str element;
    const Request *r = m->request;
    if (!next_element(&form, &element))
        return true;
    if (str_eq(element, S("END")))
        return at == r->word_count;
    if (element.ptr[0] == '?') {
        Str inner = str_from(element, 1);
        if (at < r->word_count && word_fits(&r->words[at], inner) && match_from(m, form, at + 1))
            return true;
        return match_from(m, form, at);
    }
    if (element.ptr[0] == '$') {
        unsigned char letter = (unsigned char)element.ptr[1] & 127;
        size_t most = element.len > 2 ? 8 : 1;
        if (letter == 'q' && (at >= r->word_count || !r->words[at].is_quoted))
            return false;
        for (size_t n = 1; n <= most && at + n <= r->word_count; n++) {
            m->captures[letter] = span_text(r, at, n);
            if (match_from(m, form, at + n))
                return true;
        }
        return false;
    }
    return at < r->word_count && word_fits(&r->words[at], element) && match_from(m, form, at + 1);
}

static bool unquote(Str *s) {
    if (s->len < 3 || (s->ptr[0] != '"' && s->ptr[0] != '\'') || s->ptr[s->len - 1] != s->ptr[0])
        return false;
    *s = str_slice(*s, 1, s->len - 1);
    return true;
}

static Str without_call(Str s) {
    return str_ends(s, S("()")) ? str_slice(s, 0, s.len - 2) : s;
}

static Str without_quotes(Str s) {
    return s.len >= 2 && (s.ptr[0] == '"' || s.ptr[0] == '\'') && s.ptr[s.len - 1] == s.ptr[0] &&
                   is_identifier(str_slice(s, 1, s.len - 1))
               ? str_slice(s, 1, s.len - 1)
               : s;
}

/* "`n` with default 3" is the parameter n=3. */
static Str with_default(Str param, Arena *arena) {
    size_t at = str_find(param, S(" with default "), 0);
    if (at == STR_NONE)
        return param;
    Str name = str_trim(str_slice(param, 0, at)), value = str_trim(str_from(param, at + 14));
    if (str_starts(value, S("value ")))
        value = str_trim(str_from(value, 6));
    for (size_t i = 0; i < 2; i++) {
        Str *s = i ? &value : &name;
        if (s->len > 1 && s->ptr[0] == '`' && s->ptr[s->len - 1] == '`')
            *s = str_slice(*s, 1, s->len - 1);
    }
    return str_printf(arena, "%.*s=%.*s", STR_ARG(name), STR_ARG(value));
}

static void take_operands(Request *r, const Pattern *p, const Match *m, Arena *arena) {
    const Str *c = m->captures;
    r->intent = p->intent;
    r->from = c['a'];
    r->to = c['b'].len ? c['b'] : c['p'];
    r->target = c['n'].len ? c['n'] : c['q'].len ? c['q'] : c['f'];
    r->remove_kind = p->remove_kind;
    switch (p->intent) {
    case INTENT_RENAME:
        r->from = without_call(without_quotes(r->from));
        r->to = without_call(without_quotes(r->to));
        break;
    case INTENT_REPLACE:
        r->is_calls = p->remove_kind == 1 || (str_ends(r->from, S("()")) && str_ends(r->to, S("()")));
        if (r->is_calls) {
            r->from = without_call(r->from);
            r->to = without_call(r->to);
        } else if (!is_literal(r->from) && !is_identifier(r->from)) {
            unquote(&r->to); /* code for code: the quotes are mere marks */
        }
        break;
    case INTENT_SET: r->target = without_call(without_quotes(r->target)); break;
    case INTENT_PARAM:
        unquote(&r->target);
        r->target = without_call(r->target);
        unquote(&r->to);
        r->to = with_default(r->to, arena);
        break;
    case INTENT_REMOVE:
        if (p->remove_kind != REMOVE_LINE)
            r->target = without_call(without_quotes(r->target));
        break;
    default: break;
    }
}

/* "Change a to b" of two plain names is a rename; of a name and a literal it sets a value; of two literals it
 * replaces. */
static void refine_intent(Request *r) {
    if (r->intent == INTENT_REPLACE && !r->is_calls && is_identifier(r->from) && is_identifier(r->to) &&
        !is_literal(r->from) && !is_literal(r->to))
        r->intent = INTENT_RENAME;
    else if (r->intent == INTENT_REPLACE && is_identifier(r->from) && !is_literal(r->from) &&
             is_literal(r->to)) {
        r->intent = INTENT_SET;
        r->target = r->from;
        r->from = S("");
    } else if (r->intent == INTENT_SET && is_literal(r->target) && r->from.len == 0) {
        r->intent = INTENT_REPLACE;
        r->from = r->target;
    } else if (r->intent == INTENT_SET && r->from.len == 0 && is_identifier(r->target) &&
               is_identifier(r->to) && !is_literal(r->to) && !in_list(r->to, "true|false") &&
               is_compound(r->target) && is_compound(r->to)) {
        r->intent = INTENT_RENAME;
        r->from = r->target;
    }
    if (r->intent == INTENT_RENAME && (!is_identifier(r->from) || !is_identifier(r->to)))
        r->intent = INTENT_REPLACE;
}

static void read_intent(Request *r, Arena *arena) {
    size_t limit = r->word_count < 8 ? r->word_count : 8;
    for (size_t p = 0; p < sizeof PATTERNS / sizeof *PATTERNS; p++) {
        for (size_t at = 0; at < limit; at++) {
            Match m = {.request = r};
            if (match_from(&m, PATTERNS[p].form, at)) {
                take_operands(r, &PATTERNS[p], &m, arena);
                r->is_after = strstr(PATTERNS[p].form, "after|") != NULL;
                refine_intent(r);
                return;
            }
        }
    }
}

/* ---- paths and names ---- */

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

static bool names_path(Str word, Str path) {
    if (str_starts(word, S("./")) || str_starts(word, S("@")))
        word = str_from(word, word.ptr[0] == '@' ? 1 : 2);
    if (str_eq(word, path))
        return true;
    bool has_folder = str_find_char(word, '/', 0) != STR_NONE;
    if (has_folder)
        return str_ends(path, word) && path.len > word.len && path.ptr[path.len - word.len - 1] == '/';
    return str_find_char(word, '.', 1) != STR_NONE && str_eq(base_name(path), word);
}

static void read_paths(Request *r, const Str *listing, size_t listing_count, Arena *arena) {
    size_t capacity = 0;
    for (size_t w = 0; w < r->word_count; w++) {
        Str word = r->words[w].text;
        if (word.len > 2 && (word.ptr[0] == '"' || word.ptr[0] == '\''))
            word = str_slice(word, 1, word.len - 1);
        if (str_find_char(word, '.', 1) == STR_NONE && str_find_char(word, '/', 0) == STR_NONE)
            continue;
        for (size_t i = 0; i < listing_count; i++)
            if (names_path(word, listing[i]))
                add_path(r, arena, &capacity, listing[i]);
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
        if (is_identifier(name) && !in_list(name, STOP_WORDS) && (!only_compound || is_compound(name)))
            add_name(r, arena, capacity, name);
        if (i == start)
            i++;
    }
}

static void read_names(Request *r, Arena *arena) {
    size_t capacity = 0;
    add_identifiers(r, arena, &capacity, r->target, false);
    add_identifiers(r, arena, &capacity, r->from, false);
    for (int pass = 0; pass < 3; pass++) /* quoted, then compound, then any other word */
        for (size_t i = 0; i < r->word_count; i++)
            if (pass == 0 ? r->words[i].is_quoted : !r->words[i].is_quoted)
                add_identifiers(r, arena, &capacity, r->words[i].text, pass == 1);
}

/* ---- words for the model ---- */

static bool is_path_word(const Request *r, const Word *word) {
    for (size_t i = 0; i < r->path_count; i++)
        if (names_path(word->text, r->paths[i]))
            return true;
    return false;
}

/* The request on one line without "in src/a.py" phrases: the path is shown beside the excerpt anyway. */
static Str plain_instruction(const Request *r, Arena *arena) {
    Buf out = {0};
    for (size_t i = 0; i < r->word_count; i++) {
        const Word *next = i + 1 < r->word_count ? &r->words[i + 1] : NULL;
        const Word *next2 = i + 2 < r->word_count ? &r->words[i + 2] : NULL;
        bool leads = in_list(r->words[i].text, "in|of|from|inside");
        if (leads && next && is_path_word(r, next)) {
            i++;
            continue;
        }
        if (leads && next2 && in_list(next->text, "file|the|module") && is_path_word(r, next2)) {
            i += 2;
            continue;
        }
        if (out.len)
            buf_char(&out, ' ');
        buf_str(&out, str_slice(r->text, r->words[i].begin, r->words[i].end));
    }
    Str s = str_trim(buf_copy(&out, arena));
    buf_free(&out);
    while (s.len && (s.ptr[s.len - 1] == '.' || s.ptr[s.len - 1] == ',' || s.ptr[s.len - 1] == ':'))
        s.len--;
    return s;
}

static Str ticked(Arena *arena, Str s) {
    return str_find_char(s, '`', 0) == STR_NONE && !(s.len && (s.ptr[0] == '"' || s.ptr[0] == '\''))
               ? str_printf(arena, "`%.*s`", STR_ARG(s))
               : s;
}

static Str canonical_words(const Request *r, Arena *arena) {
    Str from = ticked(arena, r->from), to = ticked(arena, r->to), target = ticked(arena, r->target);
    switch (r->intent) {
    case INTENT_RENAME: return str_printf(arena, "Rename %.*s to %.*s", STR_ARG(from), STR_ARG(to));
    case INTENT_REPLACE:
        if (r->is_calls)
            return str_printf(arena, "Replace calls to %.*s with calls to %.*s", STR_ARG(from), STR_ARG(to));
        return str_printf(arena, "Replace %.*s with %.*s", STR_ARG(r->from), STR_ARG(r->to));
    case INTENT_SET:
        if (r->from.len && !is_identifier(r->target))
            return str_printf(arena, "In the line %.*s replace %.*s by %.*s", STR_ARG(target), STR_ARG(from),
                              STR_ARG(to));
        if (r->from.len)
            return str_printf(arena, "Change %.*s from %.*s to %.*s", STR_ARG(target), STR_ARG(r->from),
                              STR_ARG(r->to));
        return str_printf(arena, "Change %.*s to %.*s", STR_ARG(target), STR_ARG(r->to));
    case INTENT_REMOVE:
        switch (r->remove_kind) {
        case REMOVE_CALL: return str_printf(arena, "Remove the call to %.*s", STR_ARG(target));
        case REMOVE_IMPORT: return str_printf(arena, "Remove the import of %.*s", STR_ARG(target));
        case REMOVE_MENTION: return str_printf(arena, "Remove the line that mentions %.*s", STR_ARG(target));
        default: return str_printf(arena, "Remove the line %.*s", STR_ARG(target));
        }
    case INTENT_PARAM: return str_printf(arena, "Add a parameter %.*s to %.*s", STR_ARG(to), STR_ARG(target));
    case INTENT_INSERT:
        return str_printf(arena, "Insert %.*s %s %.*s", STR_ARG(to), r->is_after ? "after" : "before",
                          STR_ARG(target));
    default: return S("");
    }
}

bool request_unquote(Request *r, Arena *arena) {
    bool from = unquote(&r->from), target = unquote(&r->target);
    if (from)
        unquote(&r->to);
    if (!from && !target)
        return false;
    if (r->is_calls) {
        r->from = without_call(r->from);
        r->to = without_call(r->to);
    }
    if (r->intent == INTENT_REMOVE && r->remove_kind != REMOVE_LINE)
        r->target = without_call(r->target);
    refine_intent(r);
    r->canonical = canonical_words(r, arena);
    return true;
}

void request_read(Str text, const Str *listing, size_t listing_count, Arena *arena, Request *out) {
    *out = (Request){.text = str_trim(text)};
    read_words(out, arena);
    read_intent(out, arena);
    read_paths(out, listing, listing_count, arena);
    read_names(out, arena);
    for (size_t i = 0; i < out->word_count; i++)
        if (in_list(out->words[i].text, "all|every|each|everywhere|calls|lines"))
            out->is_removal_of_all = true;
    out->instruction = plain_instruction(out, arena);
    out->canonical = canonical_words(out, arena);
}
