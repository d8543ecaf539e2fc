/* map: the definitions of a repository that matter most. */
#include "planner/map.h"

#include "acp/commands/commands.h"
#include "acp/house.h"
#include "base/os.h"

static bool print_json(const RepositoryMap *map, double ms) {
    Json *json = json_object(), *files = json_put_array(json, "files");
    for (size_t i = 0; i < map->count; i++) {
        const MapFile *file = &map->files[i];
        Json *item = json_object();
        json_put_str(item, "path", file->path);
        json_put_num(item, "score", file->score);
        Json *lines = json_put_array(item, "definitions");
        for (size_t j = 0; j < file->count; j++) {
            Json *line = json_object();
            json_put_int(line, "line", (int64_t)file->lines[j].line);
            json_put_str(line, "text", file->lines[j].text);
            json_push(lines, line);
        }
        json_push(files, item);
    }
    json_put_int(json, "files_read", (int64_t)map->files_read);
    json_put_int(json, "definitions", (int64_t)map->definitions);
    json_put_bool(json, "truncated", map->is_truncated);
    json_put_num(json, "ms", ms);
    return command_print_json(json);
}

static bool print_text(const RepositoryMap *map) {
    Buf text = {0};
    map_print(map, &text);
    bool ok = !text.failed && fwrite(text.ptr ? text.ptr : "", 1, text.len, stdout) == text.len;
    buf_free(&text);
    return ok && fflush(stdout) == 0;
}

/* Absolute ones and those with ".." too, as the workspace names them. */
static bool read_focus(Workspace *ws, const Settings *settings, Arena *arena, MapOptions *options, Err *err) {
    Str *given = settings_list(settings, OPT_FOCUS, arena, &options->focus_count);
    for (size_t i = 0; i < options->focus_count; i++) {
        Path path;
        if (!ws_path(ws, given[i], arena, &path, err))
            return err_wrap(err, "--focus");
        given[i] = path.relative;
    }
    options->focus = given;
    return true;
}

static int run(const Settings *settings) {
    Arena arena = {0};
    Err err = {0};
    RepositoryMap map = {0};
    WorkspaceConfig config = {.read_only = true};
    MapOptions options = {.budget = settings_count(settings, OPT_BUDGET, MAP_BUDGET)};
    Str *names = ARENA_ARRAY(&arena, Str, settings->word_count + 1);
    for (size_t i = 0; i < settings->word_count; i++)
        names[i] = str_of(settings->words[i]);
    options.names = names;
    options.name_count = settings->word_count;
    double begun = os_monotonic_ms();
    const char *cwd = settings_has(settings, OPT_CWD) ? settings->values[OPT_CWD] : ".";
    Workspace *ws =
        house_folder(cwd, &arena, &config.root, &err) ? ws_open(&config, file_io_disk(), &err) : NULL;
    bool ok =
        ws && read_focus(ws, settings, &arena, &options, &err) && map_build(ws, &options, &arena, &map, &err);
    int status = ok ? STATUS_DONE : command_fail_as(settings, "map", STATUS_FAILED, &err);
    if (ok &&
        !(settings_has(settings, OPT_JSON) ? print_json(&map, os_monotonic_ms() - begun) : print_text(&map)))
        status = STATUS_FAILED;
    ws_close(ws);
    arena_free(&arena);
    return status;
}

const Command COMMAND_MAP = {
    "map",
    "[--cwd DIR] [--budget TOKENS] [--focus PATH]... [--json] [NAME...]",
    "the definitions that matter most, as many as fit a budget",
    OPTION(CWD) | OPTION(BUDGET) | OPTION(FOCUS) | OPTION(JSON),
    run,
};
