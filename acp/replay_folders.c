#define _GNU_SOURCE
#include "acp/replay_folders.h"

#include <unistd.h>

#include "acp/tree_copy.h"

enum { MOST_FOLDERS = 64 };

/* ---- what the log names ---- */

static Str without_slash(Str path) {
    while (path.len > 1 && str_ends(path, S("/")))
        path.len--;
    return path;
}

static void add_folder(Player *player, Str path) {
    size_t *count = &player->recorded.folder_count;
    path = without_slash(path);
    for (size_t i = 0; i < *count; i++)
        if (str_eq(player->old_folders[i], path))
            return;
    if (*count < MOST_FOLDERS && str_starts(path, S("/")))
        player->old_folders[(*count)++] = path;
}

static void add_named(Player *player) {
    for (size_t i = 0; i < player->log.count; i++) {
        const LogMessage *item = &player->log.items[i];
        if (!item->to_agent || item->kind != LOG_REQUEST || str_eq(item->method, S("session/list")))
            continue;
        add_folder(player, json_str(item->body, "cwd"));
        JSON_EACH(root, json_find(item->body, "additionalDirectories"))
        add_folder(player, json_str_value(root));
    }
}

/* ---- a log that begins in the middle ---- */

typedef struct PathList {
    Str *items;
    size_t count, capacity;
} PathList;

static void add_paths(Player *player, const Json *value, PathList *paths) {
    Str path = json_str(value, "path");
    if (str_starts(path, S("/")))
        LIST_PUSH(&player->arena, paths->items, paths->count, paths->capacity, path);
    static const char *const INSIDE[] = {"update", "toolCall", "content", "locations"};
    for (size_t i = 0; i < sizeof INSIDE / sizeof *INSIDE; i++) {
        const Json *inner = json_find(value, INSIDE[i]);
        if (cJSON_IsObject(inner))
            add_paths(player, inner, paths);
        if (cJSON_IsArray(inner)) {
            JSON_EACH(item, inner)
            add_paths(player, item, paths);
        }
    }
}

static Str parent_of(Str path) {
    size_t slash = str_rfind_char(path, '/');
    return str_slice(path, 0, slash == STR_NONE ? 0 : slash);
}

static Str common_folder(const PathList *paths) {
    Str common = paths->count ? parent_of(paths->items[0]) : S("");
    for (size_t i = 1; i < paths->count; i++)
        while (common.len && !(str_starts(paths->items[i], common) && paths->items[i].ptr[common.len] == '/'))
            common = parent_of(common);
    return common;
}

static size_t count_found(Player *player, const PathList *paths, Str folder, Str given) {
    size_t found = 0;
    for (size_t i = 0; i < paths->count; i++) {
        Str path = str_printf(&player->arena, "%.*s%.*s", STR_ARG(given),
                              STR_ARG(str_from(paths->items[i], folder.len)));
        found += access(str_cstr(&player->arena, path), F_OK) == 0;
    }
    return found;
}

/* The session was made before the log begins: its folder is that of the paths it speaks of, or the one above
 * them below which most of them are in the folder given. */
static void add_guessed(Player *player, Str given) {
    PathList paths = {0};
    for (size_t i = 0; i < player->log.count; i++)
        if (!player->log.items[i].to_agent)
            add_paths(player, player->log.items[i].body, &paths);
    Str best = common_folder(&paths);
    size_t most = given.len ? count_found(player, &paths, best, given) : SIZE_MAX;
    for (Str folder = parent_of(best); given.len && folder.len > 1; folder = parent_of(folder)) {
        size_t found = count_found(player, &paths, folder, given);
        if (found > most) {
            most = found;
            best = folder;
        }
    }
    add_folder(player, best.len ? best : given);
}

/* ---- where it is done again ---- */

static bool copy_folder(Player *player, Str from, Str *to, Err *err) {
    if (access(str_cstr(&player->arena, from), F_OK) != 0)
        return true; /* the agent will say so, as it did or did not then */
    return tree_copy(from, &player->arena, to, err);
}

bool folders_open(Player *player, Str given, Err *err) {
    player->old_folders = ARENA_ARRAY(&player->arena, Str, MOST_FOLDERS);
    player->new_folders = ARENA_ARRAY(&player->arena, Str, MOST_FOLDERS);
    player->copies = ARENA_ARRAY(&player->arena, Str, MOST_FOLDERS);
    player->sources = ARENA_ARRAY(&player->arena, Str, MOST_FOLDERS);
    player->recorded.folders = player->old_folders;
    player->now.folders = player->new_folders;
    add_named(player);
    if (player->recorded.folder_count == 0)
        add_guessed(player, given);
    size_t count = player->recorded.folder_count;
    if (count == 0 && player->log.session_count)
        return err_set(err, ERR_INVALID,
                       "the log does not tell the folder it was made in; give it with --cwd");
    for (size_t i = 0; i < count; i++) {
        Str old = player->old_folders[i], from = i == 0 && given.len ? given : old;
        size_t outer = replay_folder_of(player->old_folders, i, old);
        player->sources[i] = from;
        if (outer != STR_NONE) { /* below another one, and in its copy */
            player->new_folders[i] =
                str_printf(&player->arena, "%.*s%.*s", STR_ARG(player->new_folders[outer]),
                           STR_ARG(str_from(old, player->old_folders[outer].len)));
        } else if (!copy_folder(player, from, &player->copies[i], err)) {
            return false;
        } else {
            player->new_folders[i] = player->copies[i].len ? player->copies[i] : from;
        }
        player->now.folder_count = i + 1;
    }
    return true;
}

void folders_close(Player *player) {
    for (size_t i = 0; player->copies && i < MOST_FOLDERS; i++)
        if (player->copies[i].len)
            tree_remove(player->copies[i]);
}
