/* search: lines that hold a text or match a regular expression. */
#include "base/utf8.h"
#include "planner/tools.h"

enum { MOST_HITS = 5000, MOST_SHOWN = 100, MOST_LINE = 200, MOST_PLACES = 20 };

static void print_hits(Turn *turn, const Hits *hits, Str glob, ToolEvent *event, ToolResult *out) {
    ToolLocation *locations = ARENA_ARRAY(&turn->arena, ToolLocation, MOST_PLACES);
    size_t limit = tools_result_limit(turn), shown = 0, found = 0;
    Buf text = {0};
    for (size_t i = 0; i < hits->count; i++) {
        const Hit *hit = &hits->items[i];
        if (!tools_glob(glob, hit->path, &turn->arena))
            continue;
        found++;
        if (shown == MOST_SHOWN || text.len > limit)
            continue;
        shown++;
        Str line = str_trim_end(hit->text);
        line = str_slice(line, 0, utf8_complete(str_slice(line, 0, MOST_LINE)));
        buf_printf(&text, "%.*s:%zu:%.*s\n", STR_ARG(hit->path), hit->line, STR_ARG(line));
        if (event->location_count < MOST_PLACES)
            locations[event->location_count++] = (ToolLocation){
                str_printf(&turn->arena, "%.*s/%.*s", STR_ARG(ws_root(turn->ws)), STR_ARG(hit->path)),
                hit->line};
    }
    event->locations = locations;
    if (found == 0)
        buf_printf(&text, "no line matches; %zu files were searched\n", hits->files_searched);
    if (shown < found)
        buf_printf(&text, "[%zu more; narrow it down with a longer pattern or a glob]\n", found - shown);
    if (hits->is_truncated)
        buf_printf(&text, "[the search stopped at %d lines]\n", MOST_HITS);
    out->text = buf_copy(&text, &turn->arena);
    out->shown = str_printf(&turn->arena, "%zu line%s", found, found == 1 ? "" : "s");
    buf_free(&text);
}

static bool run(Turn *turn, const Json *arguments, ToolEvent *event, ToolResult *out, Err *err) {
    Query query = {.pattern = json_str(arguments, "pattern"),
                   .is_fixed = !json_bool(arguments, "regex", false),
                   .ignore_case = json_bool(arguments, "ignore_case", false),
                   .max_hits = MOST_HITS,
                   .max_text = MOST_LINE * 2,
                   .cancelled = &turn->session->cancelled};
    Str glob = json_str(arguments, "path");
    event->title =
        str_printf(&turn->arena, "Search for %.*s%s%.*s",
                   STR_ARG(str_slice(query.pattern, 0, utf8_complete(str_slice(query.pattern, 0, 80)))),
                   glob.len ? " in " : "", STR_ARG(str_slice(glob, 0, 80)));
    if (query.pattern.len == 0)
        return tools_fail(turn, out, "\"pattern\" is empty");
    Hits hits;
    Err why = {0};
    if (!ws_find(turn->ws, &query, &turn->arena, &hits, &why)) {
        if (why.code == ERR_CANCELLED)
            return err_set(err, ERR_CANCELLED, "cancelled");
        return tools_fail(turn, out, "%s", why.text);
    }
    print_hits(turn, &hits, glob, event, out);
    return true;
}

const Tool TOOL_SEARCH_TEXT = {
    .name = "search",
    .description =
        "Finds lines of the repository's files that hold a text. \"path\" limits it to a folder or "
        "a glob such as \"*.c\".",
    .schema = "{\"type\": \"object\", \"properties\": {\"pattern\": {\"type\": \"string\"}, \"regex\": "
              "{\"type\": \"boolean\", \"description\": \"the pattern is a regular expression\"}, "
              "\"ignore_case\": {\"type\": \"boolean\"}, \"path\": {\"type\": \"string\"}}, \"required\": "
              "[\"pattern\"]}",
    .kind = TOOL_SEARCH,
    .run = run,
};
