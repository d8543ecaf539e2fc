/* list_files: the repository's files in a folder or by a glob. */
#include "planner/tools.h"

enum { MOST_PATHS = 300 };

static bool run(Turn *turn, const Json *arguments, ToolEvent *event, ToolResult *out, Err *err) {
    (void)err;
    Str glob = json_str(arguments, "path");
    size_t limit = tools_result_limit(turn), shown = 0, found = 0;
    Buf text = {0};
    event->title =
        str_printf(&turn->arena, "List %.*s", STR_ARG(glob.len ? str_slice(glob, 0, 80) : S("files")));
    for (size_t i = 0; i < turn->listing.count; i++) {
        Str path = turn->listing.paths[i];
        if (!tools_glob(glob, path, &turn->arena))
            continue;
        found++;
        if (shown == MOST_PATHS || text.len + path.len > limit)
            continue;
        shown++;
        buf_printf(&text, "%.*s\n", STR_ARG(path));
    }
    if (found == 0)
        buf_cstr(&text, "there is no such file in the repository; a path is relative to its root\n");
    if (shown < found)
        buf_printf(&text, "[%zu more; name a folder or a glob]\n", found - shown);
    if (turn->listing.is_truncated)
        buf_cstr(&text, "[the repository holds more files than are listed]\n");
    out->text = buf_copy(&text, &turn->arena);
    out->shown = str_printf(&turn->arena, "%zu file%s", found, found == 1 ? "" : "s");
    buf_free(&text);
    return true;
}

const Tool TOOL_LIST_FILES = {
    .name = "list_files",
    .description =
        "Lists the repository's files: all, those below a folder (\"src\") or those that match a glob "
        "(\"*.py\").",
    .schema = "{\"type\": \"object\", \"properties\": {\"path\": {\"type\": \"string\"}}}",
    .kind = TOOL_SEARCH,
    .run = run,
};
