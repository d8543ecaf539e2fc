/* Pre-tokenizers: where a text is cut before merging, one hand-written matcher per family of rules.
 *
 * A rule is a row of stages. Each stage cuts every piece of the stage before it, so that what it looks ahead
 * to never lies outside that piece. A stage answers the end of the piece that starts at `at`; a stage that
 * only isolates certain runs gives the stretch up to the next such run as a piece of its own. Every stage is
 * linear in the text. The facts are llama.cpp's patterns, and the classes its Unicode tables; the comment
 * above each matcher says the alternatives in the order in which they are tried.
 */
#include <string.h>
#include <utf8proc.h>

#include "engine/tokenizer_internal.h"

enum {
    LETTER = 1,
    MARK = 2,
    NUMBER = 4,
    PUNCTUATION = 8,
    SYMBOL = 16,
    SPACE = 32,
    LINE_END = 64, /* \r and \n, which are SPACE too */
    OTHER = 128,
};

typedef unsigned char Byte;
typedef size_t (*Stage)(const Byte *text, size_t at, size_t end);

struct PreTokenizer {
    const char *names; /* separated by blanks */
    Stage stages[7];   /* NULL after the last */
    bool ignores_merges, adds_bos;
};

/* ---- characters ---- */

typedef struct Char {
    uint32_t code;
    unsigned kind, len; /* kind 0, len 0 at the end of the text */
} Char;

static const Byte ASCII_KINDS[128] = {
    ['\t'] = SPACE,
    ['\n'] = SPACE | LINE_END,
    ['\v'] = SPACE,
    ['\f'] = SPACE,
    ['\r'] = SPACE | LINE_END,
    [' '] = SPACE,
    ['!'] = PUNCTUATION,
    ['"'] = PUNCTUATION,
    ['#'] = PUNCTUATION,
    ['$'] = SYMBOL,
    ['%'] = PUNCTUATION,
    ['&'] = PUNCTUATION,
    ['\''] = PUNCTUATION,
    ['('] = PUNCTUATION,
    [')'] = PUNCTUATION,
    ['*'] = PUNCTUATION,
    ['+'] = SYMBOL,
    [','] = PUNCTUATION,
    ['-'] = PUNCTUATION,
    ['.'] = PUNCTUATION,
    ['/'] = PUNCTUATION,
    ['0'] = NUMBER,
    ['1'] = NUMBER,
    ['2'] = NUMBER,
    ['3'] = NUMBER,
    ['4'] = NUMBER,
    ['5'] = NUMBER,
    ['6'] = NUMBER,
    ['7'] = NUMBER,
    ['8'] = NUMBER,
    ['9'] = NUMBER,
    [':'] = PUNCTUATION,
    [';'] = PUNCTUATION,
    ['<'] = SYMBOL,
    ['='] = SYMBOL,
    ['>'] = SYMBOL,
    ['?'] = PUNCTUATION,
    ['@'] = PUNCTUATION,
    ['['] = PUNCTUATION,
    ['\\'] = PUNCTUATION,
    [']'] = PUNCTUATION,
    ['^'] = SYMBOL,
    ['_'] = PUNCTUATION,
    ['`'] = SYMBOL,
    ['{'] = PUNCTUATION,
    ['|'] = SYMBOL,
    ['}'] = PUNCTUATION,
    ['~'] = SYMBOL,
    ['A'] = LETTER,
    ['B'] = LETTER,
    ['C'] = LETTER,
    ['D'] = LETTER,
    ['E'] = LETTER,
    ['F'] = LETTER,
    ['G'] = LETTER,
    ['H'] = LETTER,
    ['I'] = LETTER,
    ['J'] = LETTER,
    ['K'] = LETTER,
    ['L'] = LETTER,
    ['M'] = LETTER,
    ['N'] = LETTER,
    ['O'] = LETTER,
    ['P'] = LETTER,
    ['Q'] = LETTER,
    ['R'] = LETTER,
    ['S'] = LETTER,
    ['T'] = LETTER,
    ['U'] = LETTER,
    ['V'] = LETTER,
    ['W'] = LETTER,
    ['X'] = LETTER,
    ['Y'] = LETTER,
    ['Z'] = LETTER,
    ['a'] = LETTER,
    ['b'] = LETTER,
    ['c'] = LETTER,
    ['d'] = LETTER,
    ['e'] = LETTER,
    ['f'] = LETTER,
    ['g'] = LETTER,
    ['h'] = LETTER,
    ['i'] = LETTER,
    ['j'] = LETTER,
    ['k'] = LETTER,
    ['l'] = LETTER,
    ['m'] = LETTER,
    ['n'] = LETTER,
    ['o'] = LETTER,
    ['p'] = LETTER,
    ['q'] = LETTER,
    ['r'] = LETTER,
    ['s'] = LETTER,
    ['t'] = LETTER,
    ['u'] = LETTER,
    ['v'] = LETTER,
    ['w'] = LETTER,
    ['x'] = LETTER,
    ['y'] = LETTER,
    ['z'] = LETTER,
};

static unsigned wide_kind(uint32_t code) {
    switch (code) {
    case 0x85:
    case 0xA0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202F:
    case 0x205F:
    case 0x3000: return SPACE;
    default: break;
    }
    if (code >= 0x2000 && code <= 0x200A)
        return SPACE;
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return LETTER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return MARK;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return NUMBER;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return PUNCTUATION;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO: return SYMBOL;
    default: return OTHER;
    }
}

static Char wide_char(const Byte *text, size_t at, size_t end) {
    utf8proc_int32_t code;
    utf8proc_ssize_t n = utf8proc_iterate(text + at, (utf8proc_ssize_t)(end - at > 4 ? 4 : end - at), &code);
    if (n <= 0)
        return (Char){0xFFFD, SYMBOL, 1}; /* an invalid byte counts as U+FFFD */
    return (Char){(uint32_t)code, wide_kind((uint32_t)code), (unsigned)n};
}

static inline Char peek(const Byte *text, size_t at, size_t end) {
    if (at >= end)
        return (Char){0, 0, 0};
    Byte b = text[at];
    if (b < 0x80)
        return (Char){b, ASCII_KINDS[b] ? ASCII_KINDS[b] : OTHER, 1};
    return wide_char(text, at, end);
}

/* End of the run of characters of one of these kinds, at most `most` characters. */
static inline size_t run_most(const Byte *text, size_t at, size_t end, unsigned kinds, size_t most) {
    for (Char c = peek(text, at, end); most && (c.kind & kinds); c = peek(text, at, end), most--)
        at += c.len;
    return at;
}

static inline size_t run(const Byte *text, size_t at, size_t end, unsigned kinds) {
    return run_most(text, at, end, kinds, SIZE_MAX);
}

/* Length of an English contraction at an apostrophe ('s 't 'm 'd 're 've 'll), 0 when there is none. */
static size_t contraction(const Byte *text, size_t at, size_t end, bool any_case) {
    if (end - at < 2 || text[at] != '\'')
        return 0;
    Byte fold = any_case ? 0x20 : 0;
    Byte a = text[at + 1] | fold, b = end - at > 2 ? text[at + 2] | fold : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* Blanks: all at the end of the text, else all but the last, which goes with what follows; a single one is
 * taken. */
static size_t blanks(const Byte *text, size_t at, size_t end) {
    size_t last = at, to = at;
    for (Char c; (c = peek(text, to, end)).kind & SPACE; to += c.len)
        last = to;
    return to < end && last > at ? last : to;
}

/* Blanks as above, but a run with line ends in it is first taken up to its last line end. */
static size_t blanks_by_line(const Byte *text, size_t at, size_t end) {
    size_t last = at, line = at, to = at;
    for (Char c; (c = peek(text, to, end)).kind & SPACE; to += c.len) {
        last = to;
        if (c.kind & LINE_END)
            line = to + c.len;
    }
    if (line > at)
        return line;
    return to < end && last > at ? last : to;
}

/* ---- single-pass families ---- */

/* Contraction (lower case) | one optional space and letters, or numbers, or anything else but blanks |
 * blanks. */
static size_t gpt2(const Byte *text, size_t at, size_t end) {
    size_t n = text[at] == '\'' ? contraction(text, at, end, false) : 0;
    if (n)
        return at + n;
    size_t from = at + (text[at] == ' ');
    Char c = peek(text, from, end);
    if (c.kind & LETTER)
        return run(text, from, end, LETTER);
    if (c.kind & NUMBER)
        return run(text, from, end, NUMBER);
    if (c.kind && !(c.kind & SPACE))
        return run(text, from, end, MARK | PUNCTUATION | SYMBOL | OTHER);
    return blanks(text, at, end);
}

/* One optional space, a run of `kinds`, then the line ends (and slashes) after it; `at` when there is none.
 */
static inline size_t signs(const Byte *text, size_t at, size_t end, unsigned kinds, bool slashes) {
    size_t from = at + (text[at] == ' ');
    size_t to = run(text, from, end, kinds);
    if (to == from)
        return at;
    while (to < end && (text[to] == '\r' || text[to] == '\n' || (slashes && text[to] == '/')))
        to++;
    return to;
}

/* Contraction | one optional character that is no letter, number or line end, and letters | numbers, at most
 * `digits` | signs with the line ends after them | blanks by line. `word` are the kinds that make words. */
static inline size_t modern(const Byte *text, size_t at, size_t end, size_t digits, unsigned word) {
    Char c = peek(text, at, end);
    if (c.kind & word)
        return run(text, at, end, word);
    size_t n = c.code == '\'' ? contraction(text, at, end, true) : 0;
    if (n)
        return at + n;
    if (c.kind & NUMBER)
        return run_most(text, at, end, NUMBER, digits);
    if (!(c.kind & LINE_END) && (peek(text, at + c.len, end).kind & word))
        return run(text, at + c.len, end, word);
    size_t to = signs(text, at, end, (MARK | PUNCTUATION | SYMBOL | OTHER) & ~word, false);
    return to > at ? to : blanks_by_line(text, at, end);
}

static size_t qwen2(const Byte *text, size_t at, size_t end) {
    return modern(text, at, end, 1, LETTER);
}
static size_t qwen35(const Byte *text, size_t at, size_t end) {
    return modern(text, at, end, 1, LETTER | MARK);
}
static size_t llama3(const Byte *text, size_t at, size_t end) {
    return modern(text, at, end, 3, LETTER);
}

/* A word whose capitals, if any, come first: ASCII small letters are never capitals, ASCII capitals never
 * small, other letters are both. `at` when there is no letter; else the longest run of capitals and the small
 * letters after it, giving back capitals until a small one ends the word where no small letter follows and
 * there is one to end with. */
static size_t cased_word(const Byte *text, size_t at, size_t end) {
    size_t to = at, both = at;
    Char c;
    for (; (c = peek(text, to, end)).kind & LETTER && !(c.code >= 'a' && c.code <= 'z'); to += c.len)
        if (c.len > 1)
            both = to + c.len;
    size_t small = to;
    for (; (c = peek(text, small, end)).kind & LETTER && !(c.code >= 'A' && c.code <= 'Z'); small += c.len)
        ;
    return small > to ? small : both > at ? both : to;
}

/* One optional character that is no letter, number or line end, and a cased word, with its contraction where
 * these are kept | numbers, at most `digits` | signs with the line ends and slashes after them | blanks by
 * line. */
static inline size_t by_case(const Byte *text, size_t at, size_t end, size_t digits, bool contracts) {
    Char c = peek(text, at, end);
    size_t from = c.kind & (LETTER | NUMBER | LINE_END) ? at : at + c.len;
    size_t to = cased_word(text, from, end);
    if (to > from)
        return contracts ? to + contraction(text, to, end, true) : to;
    if (c.kind & NUMBER)
        return run_most(text, at, end, NUMBER, digits);
    to = signs(text, at, end, MARK | PUNCTUATION | SYMBOL | OTHER, true);
    return to > at ? to : blanks_by_line(text, at, end);
}

static size_t gpt4o(const Byte *text, size_t at, size_t end) {
    return by_case(text, at, end, 3, true);
}
static size_t tekken(const Byte *text, size_t at, size_t end) {
    return by_case(text, at, end, 1, false);
}

/* ---- families of several passes ---- */

/* CJK in the deepseek patterns; wide blanks are blanks before they are anything else. */
static bool is_cjk(Char c) {
    return !(c.kind & SPACE) &&
           ((c.code >= 0x4E00 && c.code <= 0x9FA5) || (c.code >= 0x800 && c.code <= 0x4E00) ||
            (c.code >= 0xAC00 && c.code <= 0xD7FF));
}

/* Whether the passes for letters and punctuation leave the character at `at` to the later ones. */
static bool is_left_over(const Byte *text, size_t at, size_t end, Char c) {
    if (!c.len || (c.kind & (LINE_END | LETTER | PUNCTUATION)))
        return false;
    return !(c.kind & SPACE) || !(peek(text, at + c.len, end).kind & (LETTER | PUNCTUATION));
}

/* Passes: each line end | an optional blank and letters | an optional blank and punctuation | CJK | each
 * number. All five in one: what the first three leave over ends where one of them starts, and CJK is cut out
 * of everything. */
static size_t deepseek_coder(const Byte *text, size_t at, size_t end) {
    Char c = peek(text, at, end);
    if (c.kind & LINE_END)
        return at + 1;
    size_t to = at + (c.kind & SPACE ? c.len : 0);
    Char d = to > at ? peek(text, to, end) : c;
    bool cjk = is_cjk(d);
    if (d.kind & (LETTER | PUNCTUATION)) {
        unsigned kind = d.kind;
        if (to > at && cjk)
            return to;
        for (; (d.kind & kind) && is_cjk(d) == cjk; d = peek(text, to, end))
            to += d.len;
        return to;
    }
    cjk = is_cjk(c);
    if (!cjk && (c.kind & NUMBER))
        return at + c.len;
    do {
        at += c.len;
        c = peek(text, at, end);
    } while (is_left_over(text, at, end, c) && is_cjk(c) == cjk && (cjk || !(c.kind & NUMBER)));
    return at;
}

/* The letters of deepseek-llm that are not ASCII: those with case of an older Unicode, first and last of each
 * range. */
static const uint32_t CASED[][2] = {
    {0xB5, 0xB5},       {0xC0, 0xD6},       {0xD8, 0xF6},       {0xF8, 0x1BA},      {0x1BC, 0x1BF},
    {0x1C4, 0x293},     {0x295, 0x2AF},     {0x370, 0x373},     {0x376, 0x377},     {0x37B, 0x37D},
    {0x37F, 0x37F},     {0x386, 0x386},     {0x388, 0x38A},     {0x38C, 0x38C},     {0x38E, 0x3A1},
    {0x3A3, 0x3F5},     {0x3F7, 0x481},     {0x48A, 0x52F},     {0x531, 0x556},     {0x10A0, 0x10C5},
    {0x13A0, 0x13F5},   {0x13F8, 0x13FD},   {0x1C90, 0x1CBA},   {0x1CBD, 0x1CBF},   {0x1D00, 0x1D2B},
    {0x1D6B, 0x1D77},   {0x1D79, 0x1D9A},   {0x1E00, 0x1F15},   {0x1F18, 0x1F1D},   {0x1F20, 0x1F45},
    {0x1F48, 0x1F4D},   {0x1F50, 0x1F57},   {0x1F59, 0x1F59},   {0x1F5B, 0x1F5B},   {0x1F5D, 0x1F5D},
    {0x1F5F, 0x1F7D},   {0x1F80, 0x1FB4},   {0x1FB6, 0x1FBC},   {0x1FBE, 0x1FBE},   {0x1FC2, 0x1FC4},
    {0x1FC6, 0x1FCC},   {0x1FD0, 0x1FD3},   {0x1FD6, 0x1FDB},   {0x1FE0, 0x1FEC},   {0x1FF2, 0x1FF4},
    {0x1FF6, 0x1FFC},   {0x2102, 0x2102},   {0x2107, 0x2107},   {0x210A, 0x2113},   {0x2115, 0x2115},
    {0x2119, 0x211D},   {0x2124, 0x2124},   {0x2126, 0x2126},   {0x2128, 0x2128},   {0x212A, 0x212D},
    {0x212F, 0x2134},   {0x2139, 0x2139},   {0x213C, 0x213F},   {0x2145, 0x2149},   {0x214E, 0x214E},
    {0x2183, 0x2184},   {0x2C00, 0x2C7B},   {0x2C7E, 0x2CE4},   {0x2CEB, 0x2CEE},   {0x2CF2, 0x2CF3},
    {0xA640, 0xA66D},   {0xA680, 0xA69B},   {0xA722, 0xA76F},   {0xA771, 0xA787},   {0xA78B, 0xA78E},
    {0xAB70, 0xABBF},   {0xFB00, 0xFB06},   {0xFB13, 0xFB17},   {0xFF21, 0xFF3A},   {0xFF41, 0xFF5A},
    {0x10400, 0x1044F}, {0x104B0, 0x104D3}, {0x104D8, 0x104FB}, {0x10C80, 0x10CB2}, {0x10CC0, 0x10CF2},
    {0x118A0, 0x118DF}, {0x1E900, 0x1E943},
};

static bool is_cased(Char c) {
    if (c.code < 0x80)
        return c.kind & LETTER;
    size_t low = 0, high = sizeof CASED / sizeof *CASED;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (c.code > CASED[middle][1])
            low = middle + 1;
        else if (c.code < CASED[middle][0])
            high = middle;
        else
            return true;
    }
    return false;
}

/* The signs of deepseek-llm: ASCII, full-width, quotation marks, and the first two full stops of CJK. */
static bool is_deepseek_sign(Char c) {
    if (c.code < 0x80)
        return (c.kind & (PUNCTUATION | SYMBOL | LETTER)) && c.code != 0x7F;
    return (c.code >= 0xFF01 && c.code <= 0xFF0F) || (c.code >= 0xFF1A && c.code <= 0xFF5E) ||
           (c.code >= 0x2018 && c.code <= 0x201F) || c.code == 0x3001 || c.code == 0x3002;
}

/* An optional blank and a run of characters of a set. */
static size_t match_set(const Byte *text, size_t at, size_t end, bool (*is_in)(Char)) {
    Char c = peek(text, at, end);
    size_t from = at + (c.kind & SPACE ? c.len : 0), to = from;
    while ((c = peek(text, to, end)).len && is_in(c))
        to += c.len;
    return to > from ? to : at;
}
static size_t match_cased(const Byte *text, size_t at, size_t end) {
    return match_set(text, at, end, is_cased);
}
static size_t match_deepseek_signs(const Byte *text, size_t at, size_t end) {
    return match_set(text, at, end, is_deepseek_sign);
}
static size_t match_cjk(const Byte *text, size_t at, size_t end) {
    for (Char c; (c = peek(text, at, end)).len && is_cjk(c); at += c.len)
        ;
    return at;
}

/* Isolates the blanks at the end. A run of blanks elsewhere is passed over as a whole, to stay linear. */
static size_t trailing_blanks(const Byte *text, size_t at, size_t end) {
    if (run(text, at, end, SPACE) == end)
        return end;
    while (at < end) {
        size_t after = run(text, at, end, SPACE);
        if (after == end)
            return at;
        at = after + peek(text, after, end).len;
    }
    return end;
}

/* A stage that isolates what `match` finds (it answers `at` when nothing starts there). */
static inline size_t isolate(Stage match, const Byte *text, size_t at, size_t end) {
    size_t to = match(text, at, end);
    if (to > at)
        return to;
    do
        at += peek(text, at, end).len;
    while (at < end && match(text, at, end) == at);
    return at;
}

static size_t match_number(const Byte *text, size_t at, size_t end) {
    return run_most(text, at, end, NUMBER, 1);
}
static size_t match_numbers(const Byte *text, size_t at, size_t end) {
    return run(text, at, end, NUMBER);
}
static size_t match_line_end(const Byte *text, size_t at, size_t end) {
    return run_most(text, at, end, LINE_END, 1);
}
static size_t match_three_digits(const Byte *text, size_t at, size_t end) {
    size_t to = at;
    while (to < end && to - at < 3 && text[to] >= '0' && text[to] <= '9')
        to++;
    return to - at == 3 ? to : at;
}
/* Punctuation and the ASCII signs; one of the two patterns leaves the backquote out. */
static size_t match_signs(const Byte *text, size_t at, size_t end, bool backquote) {
    for (Char c; (c = peek(text, at, end)).kind & (PUNCTUATION | SYMBOL); at += c.len)
        if (!(c.kind & PUNCTUATION) && (c.len > 1 || (c.code == '`' && !backquote)))
            break;
    return at;
}
static size_t match_falcon_signs(const Byte *text, size_t at, size_t end) {
    return match_signs(text, at, end, true);
}
static size_t match_default_signs(const Byte *text, size_t at, size_t end) {
    return match_signs(text, at, end, false);
}

static size_t match_numbers_by_three(const Byte *text, size_t at, size_t end) {
    return run_most(text, at, end, NUMBER, 3);
}
static size_t match_han_kana(const Byte *text, size_t at, size_t end) {
    for (Char c; (c = peek(text, at, end)).len; at += c.len)
        if (!(c.code >= 0x4E00 && c.code <= 0x9FA5) && !(c.code >= 0x3040 && c.code <= 0x30FF))
            break;
    return at;
}

/* An ASCII sign and ASCII letters | one optional character that is no letter, sign or line end, and letters
 * with marks | signs with the line ends after them | blanks by line; other characters are left over. */
static size_t match_deepseek_v3(const Byte *text, size_t at, size_t end) {
    Char c = peek(text, at, end), next = peek(text, at + c.len, end);
    size_t to = at + 1;
    if (c.len == 1 && c.kind & (PUNCTUATION | SYMBOL) && next.len == 1 && next.kind & LETTER) {
        while (to < end && text[to] < 0x80 && ASCII_KINDS[text[to]] & LETTER)
            to++;
        return to;
    }
    if (c.kind & (LETTER | MARK))
        return run(text, at, end, LETTER | MARK);
    if (!(c.kind & LINE_END) && !(c.kind & (PUNCTUATION | SYMBOL)) && next.kind & (LETTER | MARK))
        return run(text, at + c.len, end, LETTER | MARK);
    to = signs(text, at, end, PUNCTUATION | SYMBOL, false);
    if (to > at)
        return to;
    return blanks_by_line(text, at, end);
}

static size_t each_number(const Byte *text, size_t at, size_t end) {
    return isolate(match_number, text, at, end);
}
static size_t all_numbers(const Byte *text, size_t at, size_t end) {
    return isolate(match_numbers, text, at, end);
}
static size_t cased(const Byte *text, size_t at, size_t end) {
    return isolate(match_cased, text, at, end);
}
static size_t deepseek_signs(const Byte *text, size_t at, size_t end) {
    return isolate(match_deepseek_signs, text, at, end);
}
static size_t cjk_runs(const Byte *text, size_t at, size_t end) {
    return isolate(match_cjk, text, at, end);
}
static size_t numbers_by_three(const Byte *text, size_t at, size_t end) {
    return isolate(match_numbers_by_three, text, at, end);
}
static size_t han_kana(const Byte *text, size_t at, size_t end) {
    return isolate(match_han_kana, text, at, end);
}
static size_t deepseek_v3(const Byte *text, size_t at, size_t end) {
    return isolate(match_deepseek_v3, text, at, end);
}
static size_t each_line_end(const Byte *text, size_t at, size_t end) {
    return isolate(match_line_end, text, at, end);
}
static size_t three_digits(const Byte *text, size_t at, size_t end) {
    return isolate(match_three_digits, text, at, end);
}
static size_t falcon_signs(const Byte *text, size_t at, size_t end) {
    return isolate(match_falcon_signs, text, at, end);
}
static size_t default_signs(const Byte *text, size_t at, size_t end) {
    return isolate(match_default_signs, text, at, end);
}

/* ---- the table ---- */

static const PreTokenizer PRE_TOKENIZERS[] = {
    {"gpt-2 phi-2 mpt olmo jais trillion granite-docling gigachat mellum a.x-4.0 exaone4 modern-bert",
     {gpt2},
     false,
     false},
    {"starcoder refact command-r smollm codeshell exaone minerva-7b mellum2",
     {each_number, gpt2},
     false,
     false},
    {"qwen2 deepseek-r1-qwen kormo megrez stablelm2 hunyuan grok-2 solar-open f2llmv2",
     {qwen2},
     false,
     false},
    {"qwen35", {qwen35}, false, false},
    {"llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2", {llama3}, true, true},
    {"glm4 chatglm-bpe dbrx smaug-bpe", {llama3}, false, false},
    {"deepseek-coder", {deepseek_coder}, false, false},
    {"deepseek-llm",
     {each_line_end, cased, deepseek_signs, trailing_blanks, cjk_runs, all_numbers},
     false,
     false},
    {"deepseek-v3 hunyuan-dense joyai-llm", {numbers_by_three, han_kana, deepseek_v3}, false, false},
    {"gpt-4o llama4 kanana2 minimax-m2", {gpt4o}, false, false},
    {"tekken", {tekken}, true, true},
    {"falcon", {falcon_signs, gpt2, three_digits}, false, false},
    {"default", {default_signs, gpt2, all_numbers, three_digits}, false, false},
};

const PreTokenizer *pretokenizer_find(Str name) {
    for (size_t i = 0; i < sizeof PRE_TOKENIZERS / sizeof *PRE_TOKENIZERS; i++) {
        for (const char *p = PRE_TOKENIZERS[i].names; *p;) {
            size_t n = strcspn(p, " ");
            if (str_eq((Str){p, n}, name))
                return &PRE_TOKENIZERS[i];
            p += n + (p[n] == ' ');
        }
    }
    return NULL;
}

bool pretokenizer_ignores_merges(const PreTokenizer *pre) {
    return pre->ignores_merges;
}
bool pretokenizer_adds_bos(const PreTokenizer *pre) {
    return pre->adds_bos;
}

static void cut(const Stage *stages, const Byte *text, size_t at, size_t end, PieceSink sink, void *context) {
    while (at < end) {
        size_t to = stages[0](text, at, end);
        if (stages[1])
            cut(stages + 1, text, at, to, sink, context);
        else
            sink(context, (const char *)text + at, to - at);
        at = to;
    }
}

void pretokenize(const PreTokenizer *pre, Str text, PieceSink sink, void *context) {
    cut(pre->stages, (const Byte *)text.ptr, 0, text.len, sink, context);
}
