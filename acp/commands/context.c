#include "acp/commands/commands.h"
#include "acp/house.h"
#include "base/os.h"

static int run(const Settings *settings) {
    Arena arena = {0};
    Err err = {0};
    Str cwd, request = settings_words(settings, &arena);
    RankedFile *files = NULL;
    size_t count = 0;
    if (!str_trim(request).len)
        return command_usage(&COMMAND_CONTEXT, "say what the files are for");
    House house;
    house_init(&house, settings);
    double begun = os_monotonic_ms();
    bool ok =
        house_folder(settings_has(settings, OPT_CWD) ? settings->values[OPT_CWD] : ".", &arena, &cwd, &err) &&
        house_planner(&house, &err) &&
        planner_context(house.planner, cwd, request, settings_count(settings, OPT_MOST, 20), &arena, &files,
                        &count, &err);
    double ms = os_monotonic_ms() - begun;
    if (ok && settings_has(settings, OPT_JSON)) {
        Json *json = json_object(), *items = json_put_array(json, "files");
        for (size_t i = 0; i < count; i++) {
            Json *item = json_object();
            json_put_str(item, "path", files[i].path);
            json_put_num(item, "score", files[i].score);
            json_push(items, item);
        }
        json_put_num(json, "ms", ms);
        ok = command_print_json(json);
    } else if (ok) {
        for (size_t i = 0; i < count; i++)
            printf("%8.3f  %.*s\n", files[i].score, STR_ARG(files[i].path));
    }
    house_close(&house);
    arena_free(&arena);
    return ok ? STATUS_DONE : command_fail("context", STATUS_FAILED, &err);
}

const Command COMMAND_CONTEXT = {
    "context",
    "[--cwd DIR] [-k N] [--json] PROMPT",
    "the files that a request would look at, best first",
    OPTION(CWD) | OPTION(MOST) | OPTION(JSON),
    run,
};
