/* Which files there are: a walk that honours ignore rules, joined with the index where there is a repository.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workspace/ignore.h"
#include "workspace/workspace_internal.h"

enum { DEPTH_MAX = 200, IGNORE_FILE_MAX = 1 << 20 };

/* Kinds of rule files; an earlier kind outranks a later one, and within a kind the innermost folder wins. */
typedef enum RuleKind { RULES_RG, RULES_SEARCH, RULES_GIT, RULE_KINDS } RuleKind;
static const char *const RULE_NAMES[RULE_KINDS] = {".rgignore", ".ignore", ".gitignore"};

typedef struct Level {
    IgnoreFile files[RULE_KINDS];
    const struct Level *up;
} Level;

typedef struct Walk {
    Workspace *ws;
    WalkRules rules;
    Arena *arena;
    Str prefix; /* of the root below the anchor, with a slash at its end, or empty */
    IgnoreFile exclude, global;
    FileList *out;
    size_t capacity;
} Walk;

typedef struct WalkEntry {
    Str name;
    bool is_dir;
} WalkEntry;

static bool is_cancelled(const Walk *walk) {
    return walk->ws->cancelled && atomic_load(walk->ws->cancelled);
}

static bool is_ignored(const Walk *walk, const Level *level, Str path, bool is_dir) {
    for (int kind = 0; kind < RULE_KINDS; kind++)
        for (const Level *l = level; l; l = l->up) {
            IgnoreVerdict verdict = ignore_match(&l->files[kind], path, is_dir);
            if (verdict != IGNORE_SILENT)
                return verdict == IGNORE_YES;
        }
    IgnoreVerdict verdict = ignore_match(&walk->exclude, path, is_dir);
    if (verdict == IGNORE_SILENT)
        verdict = ignore_match(&walk->global, path, is_dir);
    return verdict == IGNORE_YES;
}

static void load_rules(Walk *walk, int dir_fd, const char *name, Str base, IgnoreFile *out) {
    Str text;
    if (read_at(dir_fd, name, IGNORE_FILE_MAX, walk->arena, &text, NULL))
        ignore_parse(text, base, walk->arena, out);
}

static bool wants_kind(const Walk *walk, int kind) {
    return kind == RULES_GIT || walk->rules.has_search_rules;
}

/* Takes the rule files among a folder's entries into level. */
static void load_level(Walk *walk, int dir_fd, Str base, const WalkEntry *entries, size_t count,
                       Level *level) {
    for (size_t i = 0; i < count; i++)
        for (int kind = 0; kind < RULE_KINDS; kind++)
            if (!entries[i].is_dir && wants_kind(walk, kind) &&
                str_eq(entries[i].name, str_of(RULE_NAMES[kind])))
                load_rules(walk, dir_fd, RULE_NAMES[kind], base, &level->files[kind]);
}

static bool is_regular_or_dir(int dir_fd, const struct dirent *entry, bool *is_dir) {
    unsigned char type = entry->d_type;
    struct stat st;
    if (type == DT_UNKNOWN && fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        type = S_ISDIR(st.st_mode) ? DT_DIR : S_ISREG(st.st_mode) ? DT_REG : DT_UNKNOWN;
    *is_dir = type == DT_DIR;
    return *is_dir || type == DT_REG;
}

/* Regular files and folders of an open folder. *has_git: it is the top of a repository. */
static WalkEntry *read_entries(Walk *walk, DIR *dir, size_t *count, bool *has_git) {
    WalkEntry *entries = NULL;
    size_t capacity = 0;
    *count = 0;
    *has_git = false;
    for (struct dirent *raw; (raw = readdir(dir));) {
        WalkEntry entry = {.name = str_of(raw->d_name)};
        if (str_eq(entry.name, S(".git"))) {
            *has_git = true;
            continue;
        }
        if (str_eq(entry.name, S(".")) || str_eq(entry.name, S("..")) || str_eq(entry.name, S(".mux")) ||
            !is_regular_or_dir(dirfd(dir), raw, &entry.is_dir))
            continue;
        entry.name = str_copy(walk->arena, entry.name);
        LIST_PUSH(walk->arena, entries, *count, capacity, entry);
    }
    return entries;
}

/* base: the folder's path below the anchor, without a final slash; takes fd over. */
static void walk_folder(Walk *walk, int fd, Str base, const Level *up, int depth) {
    DIR *dir = fdopendir(fd);
    if (!dir) {
        close(fd);
        return;
    }
    size_t count;
    bool has_git;
    WalkEntry *entries = read_entries(walk, dir, &count, &has_git);
    Level level = {.up = up};
    if (has_git && depth > 0 && !walk->rules.has_nested)
        count = 0;
    load_level(walk, dirfd(dir), base, entries, count, &level);
    for (size_t i = 0; i < count && !is_cancelled(walk); i++) {
        if (!walk->rules.has_hidden && entries[i].name.ptr[0] == '.')
            continue;
        Str path = base.len ? str_printf(walk->arena, "%.*s/%s", STR_ARG(base), entries[i].name.ptr)
                            : entries[i].name;
        if (is_ignored(walk, &level, path, entries[i].is_dir))
            continue;
        if (!entries[i].is_dir) {
            LIST_PUSH(walk->arena, walk->out->paths, walk->out->count, walk->capacity,
                      str_from(path, walk->prefix.len));
            continue;
        }
        int child = depth < DEPTH_MAX
                        ? open_retry(dirfd(dir), entries[i].name.ptr, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)
                        : -1;
        if (child >= 0)
            walk_folder(walk, child, path, &level, depth + 1);
    }
    closedir(dir);
}

/* Rule files of the folders from the anchor down to the root's parent. */
static const Level *load_parents(Walk *walk, Str root_base) {
    const Level *up = NULL;
    for (size_t end = 0; root_base.len && end != STR_NONE; end = str_find_char(root_base, '/', end + 1)) {
        Str base = str_slice(root_base, 0, end);
        Level *level = ARENA_NEW(walk->arena, Level);
        int fd = open_beneath(walk->ws->anchor.fd, base.len ? str_cstr(walk->arena, base) : ".",
                              O_RDONLY | O_DIRECTORY);
        for (int kind = 0; fd >= 0 && kind < RULE_KINDS; kind++)
            if (wants_kind(walk, kind))
                load_rules(walk, fd, RULE_NAMES[kind], base, &level->files[kind]);
        if (fd >= 0)
            close(fd);
        level->up = up;
        up = level;
    }
    return up;
}

static void load_outer_rules(Walk *walk) {
    Workspace *ws = walk->ws;
    if (!ws->has_git)
        return;
    /* a linked worktree shares info/exclude with its main repository; commondir names that */
    Str common = ws->git.path, text;
    Str pointer = str_printf(walk->arena, "%.*s/commondir", STR_ARG(common));
    if (read_at(AT_FDCWD, pointer.ptr, 4096, walk->arena, &text, NULL)) {
        text = str_trim(text);
        common = str_starts(text, S("/"))
                     ? text
                     : str_printf(walk->arena, "%.*s/%.*s", STR_ARG(common), STR_ARG(text));
    }
    load_rules(walk, AT_FDCWD, str_printf(walk->arena, "%.*s/info/exclude", STR_ARG(common)).ptr, S(""),
               &walk->exclude);
    Str global = git_excludes_file(ws, walk->arena);
    if (global.len)
        load_rules(walk, AT_FDCWD, str_cstr(walk->arena, global), S(""), &walk->global);
}

bool list_walk(Workspace *ws, WalkRules rules, Arena *arena, FileList *out, Err *err) {
    *out = (FileList){0};
    Walk walk = {.ws = ws, .rules = rules, .arena = arena, .out = out};
    Str base = path_below(ws->anchor.path, ws->roots[0].path);
    if (str_eq(base, S(".")))
        base = S("");
    walk.prefix = base.len ? str_concat(arena, base, S("/")) : S("");
    load_outer_rules(&walk);
    int fd = open_retry(ws->roots[0].fd, ".", O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return err_set_errno(err, errno, "cannot read the folder %.*s", STR_ARG(ws->roots[0].path));
    walk_folder(&walk, fd, base, load_parents(&walk, base), 0);
    return !is_cancelled(&walk) || err_set(err, ERR_CANCELLED, "the listing of files was cancelled");
}

static int by_bytes(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

static void sort_unique(FileList *list) {
    size_t n = 0;
    if (list->count)
        qsort(list->paths, list->count, sizeof *list->paths, by_bytes);
    for (size_t i = 0; i < list->count; i++)
        if (!n || !str_eq(list->paths[n - 1], list->paths[i]))
            list->paths[n++] = list->paths[i];
    list->count = n;
}

bool ws_list(Workspace *ws, Arena *arena, FileList *out, Err *err) {
    FileList tracked = {0}, walked;
    WalkRules rules = {.has_hidden = true, .has_search_rules = !ws->has_git, .has_nested = !ws->has_git};
    if (git_open(ws) &&
        !git_tracked(ws, arena, &tracked, err)) /* without its index: by the ignore rules alone */
        return false;
    if (!list_walk(ws, rules, arena, &walked, err))
        return false;
    *out = (FileList){.paths = ARENA_ARRAY(arena, Str, tracked.count + walked.count + 1),
                      .count = tracked.count + walked.count};
    if (tracked.count)
        memcpy(out->paths, tracked.paths, tracked.count * sizeof *out->paths);
    if (walked.count)
        memcpy(out->paths + tracked.count, walked.paths, walked.count * sizeof *out->paths);
    sort_unique(out);
    return true;
}

bool ws_is_ignored(Workspace *ws, Path path) {
    Arena arena = {0};
    FileList none = {0};
    Walk walk = {.ws = ws, .rules = {.has_search_rules = !ws->has_git}, .arena = &arena, .out = &none};
    bool found = path_is_protected(path.relative);
    if (!found && path_is_inside(ws->roots[0].path, path.absolute)) {
        Str full = path_below(ws->anchor.path, path.absolute);
        load_outer_rules(&walk);
        for (size_t end = str_find_char(full, '/', 0); !found; end = str_find_char(full, '/', end + 1)) {
            Str part = str_slice(full, 0, end);
            struct stat st;
            bool is_dir = end != STR_NONE ||
                          (fstatat(ws->anchor.fd, str_cstr(&arena, part), &st, AT_SYMLINK_NOFOLLOW) == 0 &&
                           S_ISDIR(st.st_mode));
            found = is_ignored(&walk, load_parents(&walk, part), part, is_dir);
            if (end == STR_NONE)
                break;
        }
    }
    arena_free(&arena);
    return found;
}
