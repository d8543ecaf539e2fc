#include "acp/commands/commands.h"
#include "acp/house.h"
#include "workspace/workspace.h"

#define HITS_MAX ((size_t)1 << 24)

static bool print_hits(const Hits *hits, bool as_json) {
    if (!as_json) {
        for (size_t i = 0; i < hits->count; i++) {
            const Hit *hit = &hits->items[i];
            printf("%.*s:%zu:%.*s\n", STR_ARG(hit->path), hit->line, STR_ARG(hit->text));
        }
        return fflush(stdout) == 0;
    }
    Json *json = json_object(), *items = json_put_array(json, "hits");
    for (size_t i = 0; i < hits->count; i++) {
        const Hit *hit = &hits->items[i];
        Json *item = json_object();
        json_put_str(item, "path", hit->path);
        json_put_int(item, "line", (int64_t)hit->line);
        json_put_int(item, "column", (int64_t)hit->column);
        json_put_int(item, "length", (int64_t)hit->length);
        json_put_str(item, "text", hit->text);
        json_push(items, item);
    }
    json_put_int(json, "files_searched", (int64_t)hits->files_searched);
    json_put_bool(json, "truncated", hits->is_truncated);
    return command_print_json(json);
}

static int run(const Settings *settings) {
    if (settings->word_count != 1)
        return command_usage(&COMMAND_SEARCH, "give one pattern");
    Arena arena = {0};
    Err err = {0};
    Hits hits = {0};
    WorkspaceConfig config = {.read_only = true};
    Query query = {.pattern = str_of(settings->words[0]),
                   .is_fixed = settings_has(settings, OPT_FIXED),
                   .ignore_case = settings_has(settings, OPT_IGNORE_CASE),
                   .whole_word = settings_has(settings, OPT_WORD),
                   .max_hits = HITS_MAX};
    const char *cwd = settings_has(settings, OPT_CWD) ? settings->values[OPT_CWD] : ".";
    Workspace *ws =
        house_folder(cwd, &arena, &config.root, &err) ? ws_open(&config, file_io_disk(), &err) : NULL;
    bool ok = ws && ws_find(ws, &query, &arena, &hits, &err);
    int status = ok && hits.count ? STATUS_DONE : STATUS_FAILED;
    if (!ok)
        command_fail("search", status, &err);
    else if (!print_hits(&hits, settings_has(settings, OPT_JSON)))
        status = STATUS_FAILED;
    ws_close(ws);
    arena_free(&arena);
    return status;
}

const Command COMMAND_SEARCH = {
    "search",
    "[--cwd DIR] [-F] [-i] [-w] [--json] PATTERN",
    "searches the repository; what is ignored is left out",
    OPTION(CWD) | OPTION(FIXED) | OPTION(IGNORE_CASE) | OPTION(WORD) | OPTION(JSON),
    run,
};
