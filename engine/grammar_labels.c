/* FORM_LABELS: `<|k|>new line`, labels rise and exist (docs/decisions/labels.md).
 *
 * Works on token ids, because mux-tiny's tokenizer cuts a name the same way wherever it stands. Letters,
 * digits and blanks inside the old line are judged as Latin-1, which is how the measured modes judge them.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/grammar_internal.h"

enum {
    GUIDED_FOREIGN_MOST = 60, /* tokens since the old line was last followed: then only the line end */
    STRICT_FOREIGN_MOST = 40, /* foreign tokens in a row: then only what takes the old line up again */
    RESUME_MOST = 16,
};

typedef struct LabelLine {
    TokenList tokens; /* the line with its "\n" */
    size_t *ends;     /* tokens.count + 1 byte offsets */
    Str text;         /* the bytes of all its tokens */
    bool may;         /* may be labelled */
    size_t *anchors;  /* ANCHORED: per token, the token behind the request word it is part of; 0 = none */
} LabelLine;

struct LabelMask {
    const Vocabulary *vocabulary;
    LabelMode mode;
    Arena arena;
    LabelLine *lines;
    size_t line_count;
    size_t first_label; /* index of the first line's label in vocabulary->labels */
    int32_t newline;
    uint64_t *base; /* tokens allowed in any text: FREE all, GUIDED request + signs + blanks + newline, STRICT
                       blanks */
    uint64_t *asked; /* tokens of the request; STRICT: and a few signs */

    bool started;    /* some label was written */
    size_t line;     /* the line being rewritten */
    bool line_start; /* a label or the end may come */
    size_t at;       /* next token of the old line */
    size_t behind;   /* ANCHORED: where the old line goes on when its word is replaced */
    bool foreign;    /* STRICT, ANCHORED: the last token was not the old line's */
    bool own;        /* STRICT: something other than blanks was taken from the old line */
    size_t extra;    /* tokens since the old line was followed */
};

static const char *const GUIDED_SIGNS[] = {",", "=", "(", ")", "):", ");", ";", "\"", "'", ".", "_"};
static const char *const STRICT_SIGNS[] = {",", "=", "\"", "'", ".", "_"};

/* Words of a request that say nothing about which line is meant. */
static const char *const STOP_WORDS[] = {
    "a",      "all",    "an",      "and",  "any",   "as",       "at",        "be",         "before",
    "after",  "below",  "above",   "by",   "call",  "calls",    "change",    "code",       "delete",
    "drop",   "each",   "every",   "file", "for",   "from",     "function",  "here",       "if",
    "in",     "insert", "instead", "into", "is",    "it",       "line",      "lines",      "make",
    "method", "name",   "new",     "not",  "of",    "on",       "or",        "please",     "put",
    "remove", "rename", "replace", "s",    "set",   "should",   "statement", "statements", "that",
    "the",    "this",   "to",      "use",  "value", "variable", "with",
};

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

/* Letters, digits and '_' of Latin-1. */
static bool is_word(uint8_t c) {
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '_';
    return (c >= 0xc0 && c != 0xd7 && c != 0xf7) || (c && strchr("\xaa\xb2\xb3\xb5\xb9\xba\xbc\xbd\xbe", c));
}

static bool is_space(uint8_t c) {
    return (c >= 0x09 && c <= 0x0d) || (c >= 0x1c && c <= 0x20) || c == 0x85 || c == 0xa0;
}

static size_t run_of(Str s, size_t from, bool (*is)(uint8_t)) {
    while (from < s.len && is((uint8_t)s.ptr[from]))
        from++;
    return from;
}

/* ---- the words that choose lines ---- */

/* Here any byte past ASCII is part of a word: UTF-8 letters stay whole. */
static bool is_request_word(uint8_t c) {
    return c >= 0x80 || is_word(c);
}

static bool next_word(Str text, size_t *at, Str *word) {
    size_t begin = *at;
    while (begin < text.len && !is_request_word((uint8_t)text.ptr[begin]))
        begin++;
    size_t end = run_of(text, begin, is_request_word);
    *word = str_slice(text, begin, end);
    *at = end;
    return end > begin;
}

static bool is_stop_word(Str word) {
    for (size_t i = 0; i < sizeof STOP_WORDS / sizeof *STOP_WORDS; i++)
        if (str_eq_nocase(word, str_of(STOP_WORDS[i])))
            return true;
    return false;
}

static bool shares_word(Str line, Str request) {
    Str word, asked;
    for (size_t at = 0; next_word(request, &at, &asked);) {
        if (is_stop_word(asked))
            continue;
        for (size_t in_line = 0; next_word(line, &in_line, &word);)
            if (str_eq(word, asked))
                return true;
    }
    return false;
}

/* ---- where the old line may go on after foreign text (STRICT) ---- */

/* A dotted or arrowed name: word ((. | -> | ::) word)*. */
static size_t qualified_end(Str s) {
    size_t end = run_of(s, 0, is_word), next;
    for (; end > 0; end = next) {
        Str rest = str_from(s, end);
        size_t sign = str_starts(rest, S("."))                                 ? 1
                      : str_starts(rest, S("->")) || str_starts(rest, S("::")) ? 2
                                                                               : 0;
        next = run_of(s, end + sign, is_word);
        if (sign == 0 || next == end + sign)
            break;
    }
    return end;
}

static size_t string_end(Str s, char quote) {
    if (s.len == 0 || s.ptr[0] != quote)
        return 0;
    size_t end = 1;
    while (end < s.len && s.ptr[end] != quote && s.ptr[end] != '\n')
        end++;
    return end + (end < s.len && s.ptr[end] == quote);
}

/* Lengths of what may have been replaced, read from the old line where copying stopped. */
static size_t replaceable(Str rest, size_t *lengths) {
    size_t n = 0, end = run_of(rest, 0, is_word);
    lengths[n++] = end; /* a word */
    for (; end < rest.len && (is_word((uint8_t)rest.ptr[end]) || rest.ptr[end] == '.'); end++)
        ;
    while (end > 0 && !is_word((uint8_t)rest.ptr[end - 1]))
        end--;
    lengths[n++] = end; /* words and dots */
    lengths[n++] = qualified_end(rest);
    size_t sign = rest.len && rest.ptr[0] == '-';
    for (end = sign; end < rest.len && (is_digit((uint8_t)rest.ptr[end]) || rest.ptr[end] == '.'); end++)
        ;
    lengths[n++] = end > sign ? end : 0; /* a number */
    lengths[n++] = string_end(rest, '"');
    lengths[n++] = string_end(rest, '\'');
    for (end = 0; end < rest.len && !strchr("\"'\n", rest.ptr[end]); end++)
        ;
    if (end < rest.len && rest.ptr[end] != '\n')
        lengths[n++] = end; /* the inside of a string */
    for (end = 0; end < rest.len && !is_word((uint8_t)rest.ptr[end]) && !is_space((uint8_t)rest.ptr[end]);
         end++)
        ;
    lengths[n++] = end; /* signs */
    end = run_of(rest, 0, is_space);
    size_t word_end = run_of(rest, end, is_word);
    lengths[n++] = end > 0 && word_end > end ? word_end : 0; /* blanks and a word */
    return n;
}

static int size_compare(const void *a, const void *b) {
    size_t x = *(const size_t *)a, y = *(const size_t *)b;
    return (x > y) - (x < y);
}

/* Places of the old line, rising and without repeats, where copying may go on. */
static size_t resume_places(const LabelLine *line, size_t at, size_t *places) {
    if (at >= line->tokens.count)
        return 0;
    size_t lengths[RESUME_MOST], n = replaceable(str_from(line->text, line->ends[at]), lengths), count = 0;
    places[count++] = at;
    for (size_t i = 0; i < n; i++)
        for (size_t t = at + 1; lengths[i] && t < line->tokens.count; t++)
            if (line->ends[t] - line->ends[at] == lengths[i]) {
                places[count++] = t;
                break;
            }
    qsort(places, count, sizeof *places, size_compare);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++)
        if (places[i] != places[kept - 1])
            places[kept++] = places[i];
    return kept;
}

static size_t follow_places(const LabelMask *mask, size_t *places) {
    const LabelLine *line = &mask->lines[mask->line];
    if (mask->foreign && mask->mode == LABELS_ANCHORED) {
        places[0] = mask->at;
        places[1] = mask->behind;
        return 2;
    }
    if (mask->foreign)
        return resume_places(line, mask->at, places);
    places[0] = mask->at;
    return mask->at < line->tokens.count;
}

/* ---- opening ---- */

static void set_text(uint64_t *bits, const Tokenizer *tokenizer, const char *text) {
    int32_t id = tokenizer_find(tokenizer, str_of(text));
    if (id >= 0)
        bit_set(bits, id);
}

static bool is_blank(Str bytes) {
    for (size_t i = 0; i < bytes.len; i++)
        if (bytes.ptr[i] != ' ' && bytes.ptr[i] != '\t')
            return false;
    return bytes.len > 0;
}

static bool can_be_in_name(Str bytes) {
    for (size_t i = 0; i < bytes.len; i++)
        if (is_space((uint8_t)bytes.ptr[i]) || bytes.ptr[i] == '`')
            return false;
    return bytes.len > 0;
}

static void fill_sets(LabelMask *mask, Str request) {
    const Vocabulary *v = mask->vocabulary;
    mask->base = ARENA_ARRAY(&mask->arena, uint64_t, v->words);
    mask->asked = ARENA_ARRAY(&mask->arena, uint64_t, v->words);
    TokenList tokens = {0};
    tokenizer_encode(v->tokenizer, request, TOKENIZE_PLAIN, &tokens);
    for (size_t i = 0; i < tokens.count; i++)
        if (bit_is_set(v->text, tokens.ids[i]) &&
            (mask->mode != LABELS_ANCHORED || can_be_in_name(tokenizer_bytes(v->tokenizer, tokens.ids[i]))))
            bit_set(mask->asked, tokens.ids[i]);
    tokens_free(&tokens);
    if (mask->mode == LABELS_FREE) {
        memcpy(mask->base, v->text, v->words * sizeof *mask->base);
        return;
    }
    for (size_t i = 0; i < v->count; i++)
        if (bit_is_set(v->text, (int32_t)i) && is_blank(tokenizer_bytes(v->tokenizer, (int32_t)i)))
            bit_set(mask->base, (int32_t)i);
    if (mask->mode == LABELS_ANCHORED)
        return; /* a word gives way to another word: no signs */
    if (mask->mode == LABELS_STRICT) {
        for (size_t i = 0; i < sizeof STRICT_SIGNS / sizeof *STRICT_SIGNS; i++)
            set_text(mask->asked, v->tokenizer, STRICT_SIGNS[i]);
        return;
    }
    for (size_t w = 0; w < v->words; w++)
        mask->base[w] |= mask->asked[w];
    for (size_t i = 0; i < sizeof GUIDED_SIGNS / sizeof *GUIDED_SIGNS; i++)
        set_text(mask->base, v->tokenizer, GUIDED_SIGNS[i]);
    bit_set(mask->base, mask->newline);
}

static void read_line(LabelMask *mask, Str text, LabelLine *line) {
    const Tokenizer *tokenizer = mask->vocabulary->tokenizer;
    Str whole = str_concat(&mask->arena, text, S("\n"));
    TokenList all = {0};
    tokenizer_encode(tokenizer, whole, TOKENIZE_PLAIN, &all);
    line->ends = ARENA_ARRAY(&mask->arena, size_t, all.count + 1);
    Buf bytes = {0};
    for (size_t i = 0; i < all.count; i++) {
        if (!bit_is_set(mask->vocabulary->text, all.ids[i]))
            continue; /* a label written in the user's text */
        tokens_push(&line->tokens, all.ids[i]);
        buf_str(&bytes, tokenizer_bytes(tokenizer, all.ids[i]));
        line->ends[line->tokens.count] = bytes.len;
    }
    line->text = buf_copy(&bytes, &mask->arena);
    buf_free(&bytes);
    tokens_free(&all);
}

/* Marks the tokens of whole words of the request, when both ends of the word fall between tokens. */
static void mark_anchors(LabelMask *mask, Str request, LabelLine *line) {
    line->anchors = ARENA_ARRAY(&mask->arena, size_t, line->tokens.count + 1);
    Str word, asked;
    for (size_t at = 0; next_word(line->text, &at, &word);) {
        size_t begin = (size_t)(word.ptr - line->text.ptr), first = 0, last = 0;
        while (first < line->tokens.count && line->ends[first] < begin)
            first++;
        while (last < line->tokens.count && line->ends[last] < begin + word.len)
            last++;
        if (line->ends[first] != begin || last >= line->tokens.count || line->ends[last] != begin + word.len)
            continue;
        for (size_t in_request = 0; next_word(request, &in_request, &asked);)
            for (size_t t = first; str_eq(word, asked) && !is_stop_word(asked) && t < last; t++)
                line->anchors[t] = last;
    }
}

static void read_lines(LabelMask *mask, const GrammarSpec *spec) {
    mask->line_count = 1;
    for (size_t i = 0; i < spec->excerpt.len; i++)
        mask->line_count += spec->excerpt.ptr[i] == '\n';
    mask->lines = ARENA_ARRAY(&mask->arena, LabelLine, mask->line_count);
    bool any = false;
    size_t begin = 0;
    for (size_t i = 0; i < mask->line_count; i++) {
        size_t end = str_find_char(spec->excerpt, '\n', begin);
        Str text = str_slice(spec->excerpt, begin, end == STR_NONE ? spec->excerpt.len : end);
        begin = end + 1;
        read_line(mask, text, &mask->lines[i]);
        mask->lines[i].may = mask->mode != LABELS_FREE && shares_word(text, spec->request);
        any = any || mask->lines[i].may;
        if (mask->mode == LABELS_ANCHORED)
            mark_anchors(mask, spec->request, &mask->lines[i]);
    }
    for (size_t i = 0; i < mask->line_count && !any; i++)
        mask->lines[i].may = true;
}

LabelMask *label_mask_open(const Vocabulary *v, const GrammarSpec *spec, Err *err) {
    if (v->label_count == 0) {
        err_set(err, ERR_UNSUPPORTED,
                "this model has no line labels (<|1|>, <|2|>, ...): ask it for blocks instead");
        return NULL;
    }
    int32_t newline = tokenizer_find(v->tokenizer, S("\n"));
    if (newline < 0 || !bit_is_set(v->text, newline)) {
        err_set(err, ERR_UNSUPPORTED,
                "this model has no token for a line end, so labelled lines cannot be asked of it");
        return NULL;
    }
    LabelMask *mask = calloc(1, sizeof *mask);
    if (!mask) {
        err_set(err, ERR_NO_MEMORY, "not enough memory for the labelled lines");
        return NULL;
    }
    *mask = (LabelMask){.vocabulary = v, .mode = spec->label_mode, .newline = newline, .line_start = true};
    read_lines(mask, spec);
    if (spec->first_label < 1 || (size_t)spec->first_label > v->label_count ||
        mask->line_count > v->label_count - (size_t)spec->first_label + 1) {
        err_set(err, ERR_LIMIT,
                "%zu lines from label %d on do not fit the model's %zu labels: cut a shorter excerpt",
                mask->line_count, spec->first_label, v->label_count);
        label_mask_close(mask);
        return NULL;
    }
    mask->first_label = (size_t)spec->first_label - 1;
    fill_sets(mask, spec->request);
    return mask;
}

void label_mask_close(LabelMask *mask) {
    if (!mask)
        return;
    for (size_t i = 0; i < mask->line_count; i++)
        tokens_free(&mask->lines[i].tokens);
    arena_free(&mask->arena);
    free(mask);
}

/* ---- one token ---- */

static void add_set(uint64_t *bits, const uint64_t *set, size_t words) {
    for (size_t w = 0; w < words; w++)
        bits[w] |= set[w];
}

static bool is_empty(const uint64_t *bits, size_t words) {
    for (size_t w = 0; w < words; w++)
        if (bits[w])
            return false;
    return true;
}

static void add_guided_text(const LabelMask *mask, uint64_t *bits) {
    const LabelLine *line = &mask->lines[mask->line];
    if (mask->extra > GUIDED_FOREIGN_MOST) {
        bit_set(bits, mask->newline);
        return;
    }
    add_set(bits, mask->base, mask->vocabulary->words);
    for (size_t t = mask->at; t < line->tokens.count; t++)
        bit_set(bits, line->tokens.ids[t]);
}

static void add_strict_text(const LabelMask *mask, uint64_t *bits) {
    size_t places[RESUME_MOST], n = follow_places(mask, places), words = mask->vocabulary->words;
    for (size_t i = 0; i < n; i++)
        bit_set(bits, mask->lines[mask->line].tokens.ids[places[i]]);
    if (!mask->own || mask->foreign)
        add_set(bits, mask->base, words);
    if (!mask->own && mask->foreign) /* a line of foreign text only */
        bit_set(bits, mask->newline);
    if (mask->extra < STRICT_FOREIGN_MOST)
        add_set(bits, mask->asked, words);
    if (is_empty(bits, words))
        bit_set(bits, mask->newline);
}

static void add_anchored_text(const LabelMask *mask, uint64_t *bits) {
    const LabelLine *line = &mask->lines[mask->line];
    size_t places[RESUME_MOST], n = follow_places(mask, places), words = mask->vocabulary->words;
    for (size_t i = 0; i < n; i++)
        bit_set(bits, line->tokens.ids[places[i]]);
    bool may_write = mask->foreign || (mask->at < line->tokens.count && line->anchors[mask->at]);
    if (may_write && mask->extra < STRICT_FOREIGN_MOST)
        add_set(bits, mask->asked, words);
}

void label_mask_next(LabelMask *mask, uint64_t *bits) {
    const Vocabulary *v = mask->vocabulary;
    memset(bits, 0, v->words * sizeof *bits);
    if (mask->line_start) {
        add_set(bits, v->ends, v->words);
        for (size_t i = mask->started ? mask->line + 1 : 0; i < mask->line_count; i++)
            if (mask->lines[i].may)
                bit_set(bits, v->labels[mask->first_label + i]);
    }
    if (!mask->started)
        return;
    if (mask->mode == LABELS_FREE)
        add_set(bits, mask->base, v->words);
    else if (mask->mode == LABELS_GUIDED)
        add_guided_text(mask, bits);
    else if (mask->mode == LABELS_STRICT)
        add_strict_text(mask, bits);
    else if (!mask->line_start || mask->at == 0)
        add_anchored_text(mask, bits);
}

static void follow_guided(LabelMask *mask, int32_t token) {
    const LabelLine *line = &mask->lines[mask->line];
    mask->extra++;
    for (size_t t = mask->at; t < line->tokens.count; t++) {
        if (line->tokens.ids[t] != token)
            continue;
        if (t == mask->at || !bit_is_set(mask->asked, token)) {
            mask->at = t + 1;
            mask->extra = 0;
        }
        break;
    }
    mask->line_start = token == mask->newline;
    if (mask->line_start)
        mask->at = 0;
}

static void follow_strict(LabelMask *mask, int32_t token) {
    const LabelLine *line = &mask->lines[mask->line];
    size_t places[RESUME_MOST], n = follow_places(mask, places), hit = 0;
    bool blank = bit_is_set(mask->base, token);
    while (hit < n && line->tokens.ids[places[hit]] != token)
        hit++;
    if (hit < n) {
        mask->at = places[hit] + 1;
        mask->foreign = false;
        mask->extra = 0;
        mask->own = mask->own || !blank;
    } else if (!blank || mask->own || mask->foreign) {
        mask->foreign = true;
        mask->extra++;
    }
    mask->line_start = token == mask->newline;
}

static void follow_anchored(LabelMask *mask, int32_t token) {
    const LabelLine *line = &mask->lines[mask->line];
    size_t places[RESUME_MOST], n = follow_places(mask, places), hit = 0;
    while (hit < n && line->tokens.ids[places[hit]] != token)
        hit++;
    /* In front of a word both readings may fit: text of the request that the old line holds too counts as the
     * old line's. */
    if (hit < n) {
        mask->at = places[hit] + 1;
        mask->foreign = false;
        mask->extra = 0;
    } else {
        if (!mask->foreign)
            mask->behind = line->anchors[mask->at];
        mask->foreign = true;
        mask->extra++;
    }
    mask->line_start = mask->at >= line->tokens.count;
}

static void start_line(LabelMask *mask) {
    mask->at = 0;
    mask->foreign = mask->own = false;
    mask->extra = 0;
}

void label_mask_accept(LabelMask *mask, int32_t token) {
    const Vocabulary *v = mask->vocabulary;
    if (bit_is_set(v->ends, token))
        return;
    for (size_t i = 0; i < mask->line_count; i++)
        if (v->labels[mask->first_label + i] == token) {
            mask->started = mask->line_start = true;
            mask->line = i;
            start_line(mask);
            return;
        }
    if (!mask->started)
        return;
    if (mask->mode == LABELS_FREE) {
        mask->line_start = token == mask->newline;
    } else if (mask->mode == LABELS_GUIDED) {
        follow_guided(mask, token);
    } else if (mask->mode == LABELS_ANCHORED) {
        follow_anchored(mask, token);
    } else {
        follow_strict(mask, token);
        if (mask->line_start)
            start_line(mask);
    }
}
