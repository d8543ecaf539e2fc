#include "engine/drivers/echo_internal.h"

typedef struct ShownFile {
    Str path, text;
} ShownFile;

/* Backquotes that open a fence, 0 when the line opens none. */
static size_t fence_length(Str line) {
    size_t n = 0;
    while (n < line.len && line.ptr[n] == '`')
        n++;
    return n >= 3 ? n : 0;
}

static bool closes_fence(Str line, size_t length) {
    return fence_length(line) >= length && str_trim_end(line).len == fence_length(line);
}

/* "src/a.c", "FILE src/a.c", "### `src/a.c`:" all name src/a.c. Empty when the line is no single word. */
static Str path_of_line(Str line) {
    line = str_trim(line);
    size_t blank = str_rfind_char(line, ' ');
    if (blank != STR_NONE)
        line = str_from(line, blank + 1);
    if (str_ends(line, S(":")))
        line = str_slice(line, 0, line.len - 1);
    if (line.len > 1 && line.ptr[0] == '`' && line.ptr[line.len - 1] == '`')
        line = str_slice(line, 1, line.len - 1);
    return line;
}

static bool find_file(Str request, ShownFile *out) {
    Str rest = request, line, before = S("");
    while (str_next_line(&rest, &line)) {
        size_t fence = fence_length(line);
        Str path = path_of_line(before);
        before = line;
        if (!fence)
            continue;
        const char *begin = rest.ptr;
        Str body = rest;
        while (str_next_line(&rest, &line) && !closes_fence(line, fence))
            body = rest;
        if (!closes_fence(line, fence))
            return false;
        *out = (ShownFile){path, str_range(begin, body.ptr)};
        if (path.len)
            return true;
        before = line;
    }
    return false;
}

static bool occurs_once(Str text, Str part) {
    size_t first = str_find(text, part, 0);
    return first != STR_NONE && str_find(text, part, first + 1) == STR_NONE;
}

/* The first lines of the file, as few as occur only once. */
static Str unique_head(Str text) {
    Str rest = text, line;
    Str head = S("");
    while (str_next_line(&rest, &line)) {
        head = str_range(text.ptr, line.ptr + line.len);
        if (str_trim(line).len && occurs_once(text, head))
            break;
    }
    return head;
}

typedef struct CommentStyle {
    Str endings; /* separated and surrounded by blanks */
    const char *before, *after;
} CommentStyle;

static const CommentStyle STYLES[] = {
    {STR_INIT(" c h cc cpp hpp js jsx ts tsx mjs go rs java swift kt cs php scala "), "// ", ""},
    {STR_INIT(" css scss "), "/* ", " */"},
    {STR_INIT(" html xml md svg "), "<!-- ", " -->"},
    {STR_INIT(" sql lua hs "), "-- ", ""},
    {STR_INIT(""), "# ", ""},
};

static const CommentStyle *style_of(Str path) {
    size_t dot = str_rfind_char(path, '.');
    Str ending = dot == STR_NONE ? S("") : str_from(path, dot + 1);
    for (size_t i = 0; i + 1 < sizeof STYLES / sizeof *STYLES; i++) {
        size_t at = ending.len ? str_find(STYLES[i].endings, ending, 0) : STR_NONE;
        if (at != STR_NONE && STYLES[i].endings.ptr[at - 1] == ' ' &&
            STYLES[i].endings.ptr[at + ending.len] == ' ')
            return &STYLES[i];
    }
    return &STYLES[sizeof STYLES / sizeof *STYLES - 1];
}

void echo_reply(Str request, Buf *out) {
    ShownFile file;
    if (!find_file(request, &file)) {
        buf_cstr(out, "I am the echo model: I was shown no file, so there is nothing to change.\n");
        return;
    }
    Str head = unique_head(file.text);
    const CommentStyle *style = style_of(file.path);
    buf_cstr(out, "I am the echo model: I add one comment line, so that you can try the review.\n\n");
    buf_printf(out, "%.*s\n<<<<<<< SEARCH\n%.*s%s=======\n%.*s%s", STR_ARG(file.path), STR_ARG(head),
               head.len ? "\n" : "", STR_ARG(head), head.len ? "\n" : "");
    buf_printf(out, "%sa line from the echo model%s\n>>>>>>> REPLACE\n", style->before, style->after);
}
