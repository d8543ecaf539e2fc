#include "base/redact.h"

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

static bool is_token_char(char c) {
    return is_name_char(c) || c == '.' || c == '/' || c == '+' || c == '=' || c == '~';
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

static bool is_quote(char c) {
    return c == '"' || c == '\'' || c == '`';
}

static size_t skip(Str s, size_t at, bool (*is)(char c)) {
    while (at < s.len && is(s.ptr[at]))
        at++;
    return at;
}

static bool holds_nocase(Str s, Str word) {
    for (size_t i = 0; i + word.len <= s.len; i++)
        if (str_eq_nocase(str_slice(s, i, i + word.len), word))
            return true;
    return false;
}

static bool is_secret_name(Str name) {
    static const Str WORDS[] = {STR_INIT("key"),        STR_INIT("token"),        STR_INIT("secret"),
                                STR_INIT("password"),   STR_INIT("passwd"),       STR_INIT("passphrase"),
                                STR_INIT("credential"), STR_INIT("authorization")};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++)
        if (holds_nocase(name, WORDS[i]))
            return true;
    return false;
}

static bool is_number(Str s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
    return s.len > 0 && s.len < 10;
}

/* Over a quote, escaped or not; at when there is none. */
static size_t skip_quote(Str s, size_t at) {
    size_t quote = at;
    while (quote < s.len && s.ptr[quote] == '\\')
        quote++;
    return quote < s.len && is_quote(s.ptr[quote]) ? quote + 1 : at;
}

/* The value that begins here: in quotes, or one word. *begin is behind the opening quote. */
static size_t value_end(Str s, size_t at, size_t *begin, bool is_header) {
    *begin = skip_quote(s, at);
    size_t end = *begin;
    if (*begin > at) {
        char quote = s.ptr[*begin - 1];
        bool is_escaped = *begin - at > 1;
        while (end < s.len && s.ptr[end] != quote)
            end += s.ptr[end] == '\\' && !is_escaped && end + 1 < s.len ? 2 : 1;
        end = end < s.len ? end : s.len;
        return is_escaped && end > *begin && s.ptr[end - 1] == '\\' ? end - 1 : end;
    }
    while (end < s.len && s.ptr[end] != '\n' && s.ptr[end] != '\r' && !is_quote(s.ptr[end])) {
        char c = s.ptr[end];
        if (!is_header &&
            (is_blank(c) || c == ',' || c == ';' || c == '&' || c == ')' || c == '}' || c == ']'))
            break;
        end++;
    }
    return end;
}

/* Behind a name: over the sign that says a value follows (= or :, or `,"value":` of a pair, or a blank behind
 * an option); STR_NONE when none follows. */
static size_t skip_sign(Str s, size_t name, size_t at) {
    size_t behind = skip_quote(s, at), sign = skip(s, behind, is_blank);
    if (sign < s.len && (s.ptr[sign] == '=' || s.ptr[sign] == ':'))
        return skip(s, sign + 1, is_blank);
    if (sign < s.len && s.ptr[sign] == ',' && behind > at) {
        size_t word = skip_quote(s, skip(s, sign + 1, is_blank));
        if (str_starts(str_from(s, word), S("value"))) {
            sign = skip(s, skip_quote(s, word + 5), is_blank);
            if (sign < s.len && (s.ptr[sign] == '=' || s.ptr[sign] == ':'))
                return skip(s, sign + 1, is_blank);
        }
    }
    bool is_option = str_starts(str_from(s, name), S("--"));
    return is_option && behind == at && sign > at ? sign : STR_NONE;
}

/* {"value":"...","name":"..."}: the value of a pair whose name comes second. */
static bool is_named_secret_later(Str s, size_t end) {
    size_t at = skip_quote(s, end);
    at = skip(s, at, is_blank);
    if (at >= s.len || s.ptr[at] != ',')
        return false;
    at = skip_quote(s, skip(s, at + 1, is_blank));
    if (!str_starts(str_from(s, at), S("name")))
        return false;
    at = skip(s, skip_quote(s, at + 4), is_blank);
    if (at >= s.len || s.ptr[at] != ':')
        return false;
    size_t name = skip_quote(s, skip(s, at + 1, is_blank));
    return is_secret_name(str_slice(s, name, skip(s, name, is_name_char)));
}

/* A name that holds a secret begins here: *begin and the answer are the ends of its value; 0 when it is none.
 */
static size_t named_secret(Str s, size_t at, size_t *begin) {
    size_t end = skip(s, at, is_name_char);
    Str name = str_slice(s, at, end);
    bool is_secret = is_secret_name(name), is_value = str_eq_nocase(name, S("value"));
    size_t value = is_secret || is_value ? skip_sign(s, at, end) : STR_NONE;
    if (value == STR_NONE)
        return 0;
    size_t last = value_end(s, value, begin, holds_nocase(name, S("authorization")));
    if (!is_secret && !is_named_secret_later(s, last))
        return 0;
    bool is_count = name.len >= 6 && str_eq_nocase(str_from(name, name.len - 6), S("tokens")) &&
                    is_number(str_slice(s, *begin, last));
    return is_count || last == *begin ? 0 : last;
}

/* A token with a well-known beginning, or the word behind Bearer and Basic. */
static size_t plain_secret(Str s, size_t at, size_t *begin) {
    static const Str BEGINNINGS[] = {
        STR_INIT("sk-"),    STR_INIT("ghp_"),  STR_INIT("gho_"),       STR_INIT("ghu_"), STR_INIT("ghs_"),
        STR_INIT("ghr_"),   STR_INIT("xoxb-"), STR_INIT("xoxp-"),      STR_INIT("hf_"),  STR_INIT("AKIA"),
        STR_INIT("glpat-"), STR_INIT("eyJ"),   STR_INIT("github_pat_")};
    Str rest = str_from(s, at);
    *begin = at;
    size_t end = skip(s, at, is_token_char);
    for (size_t i = 0; i < sizeof BEGINNINGS / sizeof *BEGINNINGS; i++)
        if (str_starts(rest, BEGINNINGS[i]) && end - at >= BEGINNINGS[i].len + 8)
            return end;
    size_t word = skip(s, at, is_name_char);
    Str scheme = str_slice(s, at, word);
    if (!str_eq_nocase(scheme, S("bearer")) && !str_eq_nocase(scheme, S("basic")))
        return 0;
    *begin = skip(s, word, is_blank);
    end = skip(s, *begin, is_token_char);
    return *begin > word && end - *begin >= 8 ? end : 0;
}

static size_t pem_end(Str s, size_t at) {
    if (!str_starts(str_from(s, at), S("-----BEGIN ")))
        return 0;
    size_t last = str_find(s, S("-----END "), at);
    size_t end = last == STR_NONE ? STR_NONE : str_find(s, S("-----"), last + 9);
    return end == STR_NONE ? s.len : end + 5;
}

/* user:password@ behind "://" */
static size_t url_password(Str s, size_t at, size_t *begin) {
    if (!str_starts(str_from(s, at), S("://")))
        return 0;
    size_t colon = 0, end = at + 3;
    while (end < s.len && s.ptr[end] != '/' && s.ptr[end] != '@' && !is_blank(s.ptr[end]) &&
           s.ptr[end] != '\n') {
        if (s.ptr[end] == ':' && !colon)
            colon = end;
        end++;
    }
    if (end >= s.len || s.ptr[end] != '@' || !colon || colon + 1 == end)
        return 0;
    *begin = colon + 1;
    return end;
}

void redact(Str text, Buf *out) {
    size_t copied = 0;
    for (size_t at = 0; at < text.len;) {
        size_t begin = at, end = pem_end(text, at);
        bool is_word = is_name_char(text.ptr[at]) && (at == 0 || !is_name_char(text.ptr[at - 1]));
        if (!end && is_word)
            end = named_secret(text, at, &begin);
        if (!end && is_word)
            end = plain_secret(text, at, &begin);
        if (!end)
            end = url_password(text, at, &begin);
        if (!end) {
            at++;
            continue;
        }
        buf_str(out, str_slice(text, copied, begin));
        buf_cstr(out, REDACTED);
        copied = at = end;
    }
    buf_str(out, str_from(text, copied));
}
