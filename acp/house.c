#define _GNU_SOURCE
#include "acp/house.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"

void house_init(House *house, const Settings *settings) {
    *house = (House){.settings = settings, .state_folder = S("")};
}

void house_close(House *house) {
    planner_close(house->planner);
    engine_close(house->engine);
    house->planner = NULL;
    house->engine = NULL;
}

/* A list of models that cannot be used, all of it or in part, stops nobody. */
static void tell_warnings(const House *house) {
    const Str *warnings;
    size_t count = engine_warnings(house->engine, &warnings);
    const char *given = house->settings->values[OPT_MODELS_FILE];
    if (given && access(given, R_OK) != 0)
        log_line(LOG_WARN, "the list of models %s cannot be read", given);
    for (size_t i = 0; i < count; i++)
        log_line(LOG_WARN, "%.*s", STR_ARG(warnings[i]));
}

Engine *house_engine(House *house, Err *err) {
    if (house->engine)
        return house->engine;
    const Settings *s = house->settings;
    Arena scratch = {0};
    Str model = settings_text(s, OPT_MODEL);
    if (settings_has(s, OPT_SYNTHETIC))
        model = str_printf(&scratch, "synthetic:%.*s", STR_ARG(settings_text(s, OPT_SYNTHETIC)));
    EngineConfig config = {
        .default_model = model,
        .models_dir = settings_text(s, OPT_MODELS_DIR),
        .models_file = settings_models_file(s, &scratch),
        .home = settings_home(),
        .tiny_path = settings_text(s, OPT_TINY),
        .backend = settings_text(s, OPT_BACKEND),
        .device = (int)settings_count(s, OPT_DEVICE, 0),
        .gpu_options = settings_text(s, OPT_GPU_OPTIONS),
        .kv_type = settings_text(s, OPT_KV),
        .threads = (int)settings_count(s, OPT_THREADS, 0),
        .context = settings_count(s, OPT_CONTEXT, 0),
    };
    house->engine = engine_open(&config, err);
    if (house->engine)
        tell_warnings(house);
    arena_free(&scratch);
    return house->engine;
}

Planner *house_planner(House *house, Err *err) {
    if (house->planner || !house_engine(house, err))
        return house->planner;
    WorkspaceConfig limits = house_workspace(house->settings);
    PlannerConfig config = {.seed = settings_count(house->settings, OPT_SEED, 0),
                            .state_folder = house->state_folder,
                            .most_requests = settings_count(house->settings, OPT_MAX_REQUESTS, 0),
                            .backup_count = limits.backup_count,
                            .backup_days = limits.backup_days,
                            .backup_bytes = limits.backup_bytes};
    house->planner = planner_open(&config, house->engine, err);
    return house->planner;
}

bool house_uses_embedded(const House *house) {
    return !settings_has(house->settings, OPT_MODEL);
}

Str house_note(const House *house) {
    return house_uses_embedded(house) ? S(HOUSE_EMBEDDED_NOTE "\n\n") : S("");
}

static Planner *host_planner(void *ctx, Err *err) {
    return house_planner(ctx, err);
}

static size_t host_models(void *ctx, const ModelCard **models) {
    House *house = ctx;
    return house->engine ? engine_models(house->engine, models) : 0;
}

ConnectionHost house_host(House *house) {
    return (ConnectionHost){.ctx = house, .planner = host_planner, .models = host_models};
}

/* The workspace takes 0 for "as usual"; a user who says 0 wants as little as can be. */
static size_t backup_limit(const Settings *settings, OptionId id, size_t unit) {
    size_t n = settings_count(settings, id, 0);
    if (!settings_has(settings, id))
        return 0;
    return n == 0 ? 1 : n < SIZE_MAX / unit ? n * unit : SIZE_MAX;
}

WorkspaceConfig house_workspace(const Settings *settings) {
    return (WorkspaceConfig){.backup_count = backup_limit(settings, OPT_BACKUP_COUNT, 1),
                             .backup_days = backup_limit(settings, OPT_BACKUP_DAYS, 1),
                             .backup_bytes = backup_limit(settings, OPT_BACKUP_MIB, (size_t)1 << 20)};
}

bool house_folder(const char *given, Arena *arena, Str *out, Err *err) {
    char path[PATH_MAX];
    struct stat st;
    if (!realpath(given, path) || stat(path, &st) != 0)
        return err_set_errno(err, errno, "the folder %s cannot be used", given);
    if (!S_ISDIR(st.st_mode))
        return err_set(err, ERR_INVALID, "%s is not a folder", given);
    *out = str_copy(arena, str_of(path));
    return true;
}
