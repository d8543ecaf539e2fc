/* read_files: files or line ranges of them, with their line numbers. */
#include "base/utf8.h"
#include "planner/tools.h"

enum { MOST_FILES = 20, MOST_LINE = 400, LINE_MARKS = 16 };

/* "src/a.c:10-40", "src/a.c#L10-L40", "src/a.c:10". */
typedef struct Wanted {
    Str path;
    size_t first, last; /* from 1; 0: all */
} Wanted;

static bool read_number(Str *text, size_t *out) {
    size_t n = 0;
    *out = 0;
    while (n < text->len && n < 9 && text->ptr[n] >= '0' && text->ptr[n] <= '9')
        *out = *out * 10 + (size_t)(text->ptr[n++] - '0');
    *text = str_from(*text, n);
    return n > 0;
}

static Wanted read_wanted(Str given) {
    Wanted wanted = {.path = given};
    size_t mark = str_rfind_char(given, '#');
    Str range = mark == STR_NONE ? S("") : str_from(given, mark + 1);
    if (mark == STR_NONE || !str_starts(range, S("L"))) {
        mark = str_rfind_char(given, ':');
        range = mark == STR_NONE ? S("") : str_from(given, mark + 1);
    }
    if (str_starts(range, S("L")))
        range = str_from(range, 1);
    size_t first, last;
    if (!read_number(&range, &first) || first == 0)
        return wanted;
    last = first;
    if (range.len) {
        char dash = range.ptr[0];
        range = str_from(range, 1);
        if (str_starts(range, S("L")))
            range = str_from(range, 1);
        if ((dash != '-' && dash != ':' && dash != ',') || !read_number(&range, &last) || range.len)
            return wanted;
    }
    return (Wanted){str_slice(given, 0, mark), first, last < first ? first : last};
}

/* Lines with their numbers, as many as fit; *next is the first that did not, 0 when all did. */
static void print_lines(Str text, const Wanted *wanted, size_t limit, Buf *out, size_t *next) {
    Str line;
    size_t start = out->len;
    *next = 0;
    for (size_t number = 1; str_next_line(&text, &line); number++) {
        if (wanted->first && number < wanted->first)
            continue;
        if (wanted->last && number > wanted->last)
            break;
        Str shown = str_slice(line, 0, utf8_complete(str_slice(line, 0, MOST_LINE)));
        if (out->len - start + shown.len + LINE_MARKS > limit) {
            *next = number;
            break;
        }
        buf_printf(out, "%zu\t%.*s%s\n", number, STR_ARG(shown), shown.len < line.len ? " [...]" : "");
    }
}

/* False only when the turn is over. */
static bool read_one(Turn *turn, Str given, size_t limit, ToolLocation *location, Buf *out, size_t *failed,
                     Err *err) {
    Wanted wanted = read_wanted(given);
    Err why = {0};
    Path path;
    bool ok = ws_path(turn->ws, wanted.path, &turn->arena, &path, &why);
    ok = ok && turn_may_show(turn, path, &why);
    FileWork *file = ok ? turn_file(turn, wanted.path, &why) : NULL;
    if (turn_is_cancelled(turn))
        return err_set(err, ERR_CANCELLED, "cancelled");
    if (!file) {
        buf_printf(out, "%s\n", why.text);
        ++*failed;
        return true;
    }
    file->is_shown = true;
    *location = (ToolLocation){file->path.absolute, wanted.first};
    buf_printf(out, "%.*s%s\n", STR_ARG(file->path.relative), file->is_new ? " (it is not written yet)" : "");
    size_t next, before = out->len;
    print_lines(file->seen.text, &wanted, limit, out, &next);
    if (next)
        buf_printf(out, "[cut here; ask for %.*s:%zu- and on to see more]\n", STR_ARG(file->path.relative),
                   next);
    else if (out->len == before)
        buf_cstr(out, wanted.first ? "[the file ends before these lines]\n" : "[the file is empty]\n");
    buf_char(out, '\n');
    return true;
}

static bool run(Turn *turn, const Json *arguments, ToolEvent *event, ToolResult *out, Err *err) {
    const Json *paths = json_find(arguments, "paths");
    size_t count = json_len(paths), given = 0, failed = 0;
    if (count == 0)
        return tools_fail(turn, out, "\"paths\" names no file");
    if (count > MOST_FILES)
        return tools_fail(turn, out, "read_files takes at most %d files at once", MOST_FILES);
    size_t limit = tools_result_limit(turn) / count;
    ToolLocation *locations = ARENA_ARRAY(&turn->arena, ToolLocation, count);
    Buf text = {0}, names = {0};
    bool ok = true;
    JSON_EACH(path, paths) {
        if (!ok)
            break;
        Str name = json_str_value(path);
        size_t failed_before = failed;
        ok = read_one(turn, name, limit, &locations[event->location_count], &text, &failed, err);
        event->location_count += ok && failed == failed_before;
        buf_printf(&names, "%s%.*s", given++ ? ", " : "", STR_ARG(str_slice(name, 0, 200)));
    }
    event->locations = locations;
    event->title = given == 1 ? str_printf(&turn->arena, "Read %.*s", STR_ARG(buf_text(&names)))
                              : str_printf(&turn->arena, "Read %zu files", given);
    out->is_error = failed == count;
    out->text = buf_copy(&text, &turn->arena);
    if (given > 1 && !out->is_error)
        out->shown = buf_copy(&names, &turn->arena);
    buf_free(&text);
    buf_free(&names);
    return ok;
}

const Tool TOOL_READ_FILES = {
    .name = "read_files",
    .description = "Shows files with line numbers (they are no part of the text). A path may name lines: "
                   "\"src/a.c:10-40\".",
    .schema = "{\"type\": \"object\", \"properties\": {\"paths\": {\"type\": \"array\", \"items\": "
              "{\"type\": \"string\"}}}, \"required\": [\"paths\"]}",
    .kind = TOOL_READ,
    .run = run,
};
