#include "planner/request_internal.h"

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
    {INTENT_RENAME,
     "rename ?the ?KIND ?name|named|called $a in|of|on|from|inside ?the ?KIND $s to|into|as|-> $b", 0},
    {INTENT_RENAME, "rename $a ?KIND to|into|as|-> $b", 0},
    {INTENT_RENAME, "rename $s KIND $a to|into|as|-> $b", 0},
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
     "change|update|switch|flip|increase|decrease|bump|raise|lower|reduce ?the ?VALUE ?VALUE ?of|for ?the "
     "?KIND $n "
     "from $a to $b",
     0},
    {INTENT_SET,
     "set|change|update|increase|decrease|bump|raise|lower|reduce ?the ?VALUE ?VALUE ?of|for ?the ?KIND $n "
     "?entry|key|field|KIND of|for|in|inside|under ?the ?KIND $s from $a to $b",
     0},
    {INTENT_REPLACE,
     "flip|change|replace|turn ?the condition|expression|check|comparison $a+ to|with|by|into $b+ END", 0},
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
    {INTENT_SET, "make ?the ?VALUE ?of ?the ?KIND $n equal|to ?to $b", 0},
    {INTENT_SET,
     "set|change|update|increase|decrease|bump|raise|lower|reduce ?the ?VALUE ?VALUE ?of|for ?the ?KIND $n "
     "?entry|key|field of|for|in|inside|under ?the ?KIND $s to $b",
     0},
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
    {INTENT_REMOVE, "remove|delete|drop ?the ?unused import|include $n END", REMOVE_IMPORT},
    {INTENT_REMOVE, "remove|delete|drop ?all|every|each|the ?unused $n import|include", REMOVE_IMPORT},
    {INTENT_REMOVE, "remove|delete|drop ?this|the line|comment|statement $n", REMOVE_LINE},
    {INTENT_REMOVE, "remove|delete|drop ?the $n in|from|inside ?the ?KIND $s END", REMOVE_LINE},
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
    return word_in_list(s, "True|False|None|null|nil|NULL|nullptr|undefined");
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
            bool is_last = i == text.len; /* "println!" is a name, but "rename it!" ends there */
            while (s.len > 1 && strchr(is_last ? ".,;:!?" : ".,;:?", s.ptr[s.len - 1]))
                s.len--;
            word.text = s;
        }
        word.end = i;
        LIST_PUSH(arena, r->words, r->word_count, capacity, word);
    }
}

/* ---- patterns ---- */

typedef struct Match {
    Str text;
    const Word *words; /* without file phrases and adjectives */
    size_t word_count;
    Str captures[128]; /* by letter */
    size_t end;        /* words taken */
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
        return !word->is_quoted && word_in_list(word->text, words);
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

static Str span_text(const Match *r, size_t first, size_t count) {
    if (count == 1)
        return r->words[first].text;
    const Word *last = &r->words[first + count - 1];
    Str s = str_slice(r->text, r->words[first].begin, last->end);
    return last->is_quoted ? s : str_range(s.ptr, last->text.ptr + last->text.len);
}

static bool match_from(Match *m, const char *form, size_t at) {
    Str element;
    const Match *r = m;
    if (!next_element(&form, &element)) {
        m->end = at;
        return true;
    }
    if (str_eq(element, S("END"))) {
        m->end = at;
        return at == r->word_count;
    }
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

/* "load()", "[client]", "`x`" and "\"x\"" name the place x. */
static Str scope_word(Str s) {
    s = without_call(s);
    if (s.len > 2 && strchr("[\"'`", s.ptr[0]))
        s = str_slice(s, 1, s.len - 1);
    return s;
}

/* "Config.save to Config.store" renames save of Config. */
static void split_member(Request *r) {
    size_t dot = str_rfind_char(r->from, '.'), other = str_rfind_char(r->to, '.');
    if (dot == STR_NONE || !is_identifier(str_slice(r->from, 0, dot)) ||
        (other != STR_NONE && !str_eq(str_slice(r->to, 0, other), str_slice(r->from, 0, dot))))
        return;
    r->scope = str_slice(r->from, 0, dot);
    r->from = str_from(r->from, dot + 1);
    if (other != STR_NONE)
        r->to = str_from(r->to, other + 1);
}

/* A qualified name or a macro call without its arguments: "fmt.Println", "println!". */
static bool is_callee(Str s) {
    bool qualified = false;
    for (size_t i = 0; i < s.len; i++) {
        qualified |= strchr(".:!", s.ptr[i]) != NULL;
        if (!isalnum((unsigned char)s.ptr[i]) && !strchr("_.:!", s.ptr[i]))
            return false;
    }
    return qualified && s.len > 2 && isalpha((unsigned char)s.ptr[0]);
}

static Str scope_of(Str s) {
    return scope_word(str_ends(s, S("'s")) ? str_slice(s, 0, s.len - 2) : s);
}

static void take_operands(Request *r, const Pattern *p, const Match *m, Arena *arena) {
    const Str *c = m->captures;
    r->intent = p->intent;
    r->from = c['a'];
    r->to = c['b'].len ? c['b'] : c['p'];
    r->target = c['n'].len ? c['n'] : c['q'].len ? c['q'] : c['f'];
    r->scope = scope_of(c['s']);
    r->remove_kind = p->remove_kind;
    switch (p->intent) {
    case INTENT_RENAME:
        r->from = without_call(without_quotes(r->from));
        r->to = without_call(without_quotes(r->to));
        split_member(r);
        break;
    case INTENT_REPLACE:
        if (str_ends(r->from, S("!")) && str_range(r->to.ptr, r->text.ptr + r->text.len).len > r->to.len &&
            r->to.ptr[r->to.len] == '!')
            r->to.len++; /* a macro for a macro, not the end of an exclamation */
        r->is_calls = p->remove_kind == 1 || (str_ends(r->from, S("()")) && str_ends(r->to, S("()")));
        if (r->is_calls) {
            r->from = without_call(r->from);
            r->to = without_call(r->to);
        } else if (!is_literal(r->from) && !is_identifier(r->from)) {
            unquote(&r->to); /* code for code: the quotes are mere marks */
        }
        break;
    case INTENT_SET:
        r->target = without_call(without_quotes(r->target));
        if (str_starts(str_of(p->form), S("in ?the")) && is_identifier(r->target) &&
            !str_contains(r->text, S(" line "))) { /* "in connect, change a to b" */
            r->intent = INTENT_REPLACE;
            r->scope = r->target;
            r->target = S("");
        }
        break;
    case INTENT_PARAM:
        unquote(&r->target);
        r->target = without_call(r->target);
        unquote(&r->to);
        r->to = with_default(r->to, arena);
        break;
    case INTENT_REMOVE:
        if (p->remove_kind != REMOVE_LINE)
            r->target = without_call(without_quotes(r->target));
        else if (is_callee(r->target))
            r->remove_kind = REMOVE_CALL;
        break;
    default: break;
    }
}

static bool says_change(const Request *r) {
    for (size_t i = 0; i < r->word_count; i++)
        if (word_in_list(r->words[i].text, "change|set|switch|update"))
            return true;
    return false;
}

/* "Change a to b" of two plain names is a rename; of a name and a literal it sets a value; of two literals it
 * replaces. */
static void refine_intent(Request *r) {
    if (r->intent == INTENT_REPLACE && !r->is_calls && is_identifier(r->from) && is_identifier(r->to) &&
        !is_literal(r->from) && !is_literal(r->to)) {
        r->intent = INTENT_RENAME;
        r->is_loose = !(is_compound(r->from) && is_compound(r->to)) && says_change(r);
    } else if (r->intent == INTENT_REPLACE && !r->is_calls && is_identifier(r->from) &&
               !is_literal(r->from) && is_literal(r->to)) {
        r->intent = INTENT_SET;
        r->target = r->from;
        r->from = S("");
    } else if (r->intent == INTENT_SET && is_literal(r->target) && r->from.len == 0) {
        r->intent = INTENT_REPLACE;
        r->from = r->target;
    } else if (r->intent == INTENT_SET && r->from.len == 0 && is_identifier(r->target) &&
               is_identifier(r->to) && !is_literal(r->to) && !word_in_list(r->to, "true|false") &&
               is_compound(r->target) && is_compound(r->to)) {
        r->intent = INTENT_RENAME;
        r->from = r->target;
    }
    if (r->intent == INTENT_RENAME && (!is_identifier(r->from) || !is_identifier(r->to)))
        r->intent = INTENT_REPLACE;
}

/* ---- words for the model ---- */

static bool is_path_word(const Request *r, const Word *word) {
    Str text = word->text;
    if (text.len > 2 && (text.ptr[0] == '"' || text.ptr[0] == '\''))
        text = str_slice(text, 1, text.len - 1);
    for (size_t i = 0; i < r->path_count; i++)
        if (word_names_path(text, r->paths[i]))
            return true;
    return false;
}

/* A verb with two letters swapped or one left out is that verb. */
static Str without_slip(Str word) {
    static const char *const VERBS[] = {"rename", "change", "replace", "remove",
                                        "delete", "insert", "update"};
    for (size_t v = 0; v < sizeof VERBS / sizeof *VERBS; v++) {
        Str verb = str_of(VERBS[v]);
        size_t same = 0;
        while (same < verb.len && same < word.len && tolower((unsigned char)word.ptr[same]) == verb.ptr[same])
            same++;
        bool swapped = word.len == verb.len && same + 1 < verb.len && word.ptr[same] == verb.ptr[same + 1] &&
                       word.ptr[same + 1] == verb.ptr[same] &&
                       str_eq(str_from(word, same + 2), str_from(verb, same + 2));
        bool missing = word.len + 1 == verb.len && same + 1 < verb.len &&
                       str_eq(str_from(word, same), str_from(verb, same + 1));
        if (swapped || missing)
            return verb;
    }
    return word;
}

/* The words of the path phrase that begins at word i ("in the file src/a.py"); 0 when none does. */
static size_t path_phrase(const Request *r, size_t i) {
    if (!word_in_list(r->words[i].text, "in|of|from|inside|under"))
        return 0;
    if (i && word_in_list(r->words[i].text, "of") && word_in_list(r->words[i - 1].text, "include|import"))
        return 0;
    size_t n = 1;
    while (i + n < r->word_count && n < 3 && word_in_list(r->words[i + n].text, "file|the|module"))
        n++;
    return i + n < r->word_count && is_path_word(r, &r->words[i + n]) ? n + 1 : 0;
}

/* The words without path phrases, without adjectives before a kind of name, without a typing slip in the
 * verb.
 */
static Match words_to_match(const Request *r, Arena *arena) {
    static const char ADJECTIVES[] = "local|private|public|static|file-local|internal|helper|module-level|"
                                     "existing|CLI|command-line|command|command|instance|member|exported|"
                                     "async|enum|protected";
    Word *words = ARENA_ARRAY(arena, Word, r->word_count + 1);
    Match m = {.text = r->text, .words = words};
    for (size_t i = 0; i < r->word_count; i++) {
        size_t phrase = path_phrase(r, i);
        if (phrase) {
            i += phrase - 1;
            continue;
        }
        const Word *next = i + 1 < r->word_count ? &r->words[i + 1] : NULL;
        if (next && !r->words[i].is_quoted && !next->is_quoted &&
            word_in_list(r->words[i].text, ADJECTIVES) && word_in_list(next->text, class_words(S("KIND"))))
            continue;
        words[m.word_count] = r->words[i];
        if (m.word_count < 4 && !r->words[i].is_quoted)
            words[m.word_count].text = without_slip(r->words[i].text);
        m.word_count++;
    }
    return m;
}

/* "Rename path to paths in load": what stands behind the operands names the place. */
static void read_scope(Request *r, const Match *m) {
    static const char GENERIC[] =
        "code|test|tests|repo|repository|project|codebase|file|files|source|sources|"
        "all|every|everything|here|there|it|this|that|the|a|an|seconds|general|go|"
        "python|rust|java|c|javascript|typescript|comments|docs|line|condition";
    if (r->scope.len || r->intent == INTENT_PARAM || r->intent == INTENT_INSERT)
        return;
    size_t at = m->end;
    while (at < m->word_count && !word_in_list(m->words[at].text, "in|inside|within|under|of"))
        at++;
    if (at + 1 >= m->word_count)
        return;
    at++;
    while (at + 1 < m->word_count && (word_in_list(m->words[at].text, "the|section|block|table|dict") ||
                                      word_in_list(m->words[at].text, class_words(S("KIND")))))
        at++;
    Str word = scope_word(m->words[at].text);
    bool is_last = at + 1 == m->word_count || word_in_list(m->words[at + 1].text, class_words(S("KIND")));
    if (is_identifier(word) && !word_in_list(word, GENERIC) && is_last && !str_eq(word, r->from) &&
        !str_eq(word, r->target))
        r->scope = word;
}

static void read_intent(Request *r, Arena *arena) {
    Match words = words_to_match(r, arena);
    size_t limit = words.word_count < 8 ? words.word_count : 8;
    for (size_t p = 0; p < sizeof PATTERNS / sizeof *PATTERNS; p++) {
        for (size_t at = 0; at < limit; at++) {
            Match m = words;
            if (match_from(&m, PATTERNS[p].form, at)) {
                take_operands(r, &PATTERNS[p], &m, arena);
                r->is_after = strstr(PATTERNS[p].form, "after|") != NULL;
                refine_intent(r);
                read_scope(r, &m);
                return;
            }
        }
    }
}

/* The request on one line without "in src/a.py" phrases: the path is shown beside the excerpt anyway. */
static Str plain_instruction(const Request *r, Arena *arena) {
    Buf out = {0};
    for (size_t i = 0; i < r->word_count; i++) {
        size_t phrase = path_phrase(r, i);
        if (phrase) {
            i += phrase - 1;
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

void request_as_value(Request *r, Arena *arena) {
    r->intent = INTENT_SET;
    r->target = r->from;
    r->from = S("");
    r->canonical = canonical_words(r, arena);
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
    request_read_paths(out, listing, listing_count, arena);
    read_intent(out, arena);
    request_read_names(out, arena);
    for (size_t i = 0; i < out->word_count; i++)
        if (word_in_list(out->words[i].text,
                         "all|every|each|everywhere|calls|lines|statements|occurrences|uses|usages|mentions"))
            out->is_removal_of_all = true;
    out->instruction = plain_instruction(out, arena);
    out->canonical = canonical_words(out, arena);
}
