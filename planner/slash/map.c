/* /map: the definitions that matter most. */
#include "planner/map.h"
#include "planner/slash.h"

enum { MOST_BUDGET = 32768 };

static bool run_map(Turn *turn, Str rest, Err *err) {
    Session *s = turn->session;
    MapOptions options = {.cancelled = &s->cancelled};
    if (!slash_number(rest, MAP_BUDGET, &options.budget, err))
        return err_wrap(err, "/map");
    if (!options.budget || options.budget > MOST_BUDGET)
        return err_set(err, ERR_INVALID, "/map takes from 1 to %d tokens", MOST_BUDGET);
    WorkspaceConfig config = {.root = s->cwd, .read_only = true};
    RepositoryMap map;
    turn->ws = ws_open(&config, file_io_disk(), err);
    if (!turn->ws || !map_build(turn->ws, &options, &turn->arena, &map, err))
        return false;
    Buf out = {0}, lines = {0};
    map_print(&map, &lines);
    if (lines.len)
        slash_fence(&out, "", buf_text(&lines));
    buf_printf(&out, "%s%zu source file%s, %zu definition%s%s.\n", lines.len ? "\n" : "", map.files_read,
               map.files_read == 1 ? "" : "s", map.definitions, map.definitions == 1 ? "" : "s",
               map.is_truncated ? "; there are more files than a map looks at" : "");
    buf_free(&lines);
    return slash_say(turn, &out);
}

const SlashCommand SLASH_MAP = {
    {"map", "the definitions that matter most, for a budget of tokens", "[TOKENS]"}, run_map};
