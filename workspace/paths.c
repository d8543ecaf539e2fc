/* Names of places: what is inside a root, what is protected, and opening without ever leaving a fence. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <strings.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/utf8.h"
#include "workspace/workspace_internal.h"

enum { LINKS_MAX = 40, AGAIN_MAX = 16 };

bool path_is_inside(Str folder, Str path) {
    if (str_eq(folder, S("/")))
        return path.len > 0 && path.ptr[0] == '/';
    return str_starts(path, folder) && (path.len == folder.len || path.ptr[folder.len] == '/');
}

Str path_below(Str folder, Str path) {
    if (path.len == folder.len)
        return S(".");
    return str_from(path, folder.len + (folder.len > 1));
}

Str path_parent(Str path) {
    size_t slash = str_rfind_char(path, '/');
    return slash == STR_NONE ? S("") : str_slice(path, 0, slash);
}

/* Cuts the next component off; false at the end. Repeated slashes count as one. */
static bool next_component(Str *rest, Str *component) {
    while (rest->len && rest->ptr[0] == '/')
        *rest = str_from(*rest, 1);
    if (!rest->len)
        return false;
    size_t end = str_find_char(*rest, '/', 0);
    if (end == STR_NONE)
        end = rest->len;
    *component = str_slice(*rest, 0, end);
    *rest = str_from(*rest, end);
    return true;
}

/* Code points that some file systems drop when they compare names (HFS+: joiners, direction marks, the byte
 * order mark). */
static bool is_dropped(uint32_t c) {
    return (c >= 0x200C && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) || (c >= 0x206A && c <= 0x206F) ||
           c == 0xFEFF;
}

/* What some file system takes the component for: letter case, trailing dots and blanks, streams after a colon
 * and dropped code points do not hide a name. */
static Str fold_name(Str component, char folded[NAME_MAX + 1]) {
    size_t n = 0;
    for (size_t at = 0; at < component.len;) {
        size_t begin = at;
        uint32_t c = utf8_next(component, &at);
        if (is_dropped(c))
            continue;
        if (c == ':')
            break;
        if (n + (at - begin) > NAME_MAX)
            return (Str){0};
        memcpy(folded + n, component.ptr + begin, at - begin);
        n += at - begin;
    }
    while (n && (folded[n - 1] == '.' || folded[n - 1] == ' '))
        n--;
    return (Str){folded, n};
}

/* A component of the path is, or passes for, one of the names; their list ends with an empty one. */
static bool has_name(Str relative, const Str *names) {
    char folded[NAME_MAX + 1];
    for (Str component; next_component(&relative, &component);) {
        Str name = fold_name(component, folded);
        for (const Str *one = names; one->len; one++)
            if (str_eq_nocase(name, *one))
                return true;
    }
    return false;
}

bool path_is_protected(Str relative) {
    /* with the short names that file systems of DOS descent give */
    static const Str NAMES[] = {
        STR_INIT(".git"), STR_INIT("git~1"), STR_INIT(".mux"), STR_INIT("mux~1"), {0}};
    return has_name(relative, NAMES);
}

bool path_is_fixed(Str relative) {
    static const Str NAMES[] = {STR_INIT(".hg"), STR_INIT(".svn"), STR_INIT(".jj"), STR_INIT(".bzr"), {0}};
    return has_name(relative, NAMES);
}

bool path_is_forbidden(const Workspace *ws, Str absolute, Str below) {
    return path_is_protected(below) || (ws->has_git && path_is_inside(ws->git.path, absolute));
}

bool ws_needs_consent(Path path) {
    static const Str NAMES[] = {STR_INIT(".vscode"),
                                STR_INIT(".zed"),
                                STR_INIT(".idea"),
                                STR_INIT(".fleet"),
                                STR_INIT(".husky"),
                                STR_INIT(".githooks"),
                                STR_INIT(".envrc"),
                                STR_INIT(".devcontainer"),
                                STR_INIT("lefthook.yml"),
                                STR_INIT(".pre-commit-config.yaml"),
                                {0}};
    static const Str GITHUB[] = {STR_INIT(".github"), {0}}, WORKFLOWS[] = {STR_INIT("workflows"), {0}};
    return has_name(path.relative, NAMES) ||
           (has_name(path.relative, GITHUB) && has_name(path.relative, WORKFLOWS));
}

bool path_is_plain(Str relative) {
    if (!relative.len || relative.len >= PATH_MAX || relative.ptr[0] == '/' || str_ends(relative, S("/")))
        return false;
    if (memchr(relative.ptr, 0, relative.len))
        return false;
    for (size_t begin = 0; begin <= relative.len;) {
        size_t end = str_find_char(relative, '/', begin);
        if (end == STR_NONE)
            end = relative.len;
        Str component = str_slice(relative, begin, end);
        if (!component.len || component.len > NAME_MAX || str_eq(component, S(".")) ||
            str_eq(component, S("..")))
            return false;
        begin = end + 1;
    }
    return true;
}

/* One step of path_resolve: the component that was just appended to done. */
typedef enum StepResult { STEP_PLAIN, STEP_LINK, STEP_MISSING, STEP_FAILED } StepResult;

static StepResult read_step(const char *done, char target[PATH_MAX], size_t *len, Err *err) {
    ssize_t n = readlink(done, target, PATH_MAX);
    if (n >= PATH_MAX) {
        err_set(err, ERR_INVALID, "the symbolic link %s is too long", done);
        return STEP_FAILED;
    }
    if (n >= 0) {
        *len = (size_t)n;
        return STEP_LINK;
    }
    if (errno == EINVAL)
        return STEP_PLAIN;
    if (errno == ENOENT)
        return STEP_MISSING;
    if (errno == ENOTDIR)
        err_set(err, ERR_NOT_FOUND, "%s goes through something that is not a folder", done);
    else
        err_set_errno(err, errno, "cannot look at %s", done);
    return STEP_FAILED;
}

bool path_resolve(Str absolute, Arena *arena, Str *out, Err *err) {
    char done[PATH_MAX] = "", target[PATH_MAX];
    size_t done_len = 0;
    int links = 0;
    Str rest = absolute, component;
    bool is_missing = false;
    while (next_component(&rest, &component)) {
        if (str_eq(component, S(".")))
            continue;
        if (str_eq(component, S(".."))) {
            while (done_len && done[--done_len] != '/')
                ;
            done[done_len] = 0;
            is_missing = false;
            continue;
        }
        if (done_len + 1 + component.len >= sizeof done || component.len > NAME_MAX)
            return err_set(err, ERR_INVALID, "the path %.80s... is too long", done);
        size_t before = done_len;
        done[done_len++] = '/';
        memcpy(done + done_len, component.ptr, component.len);
        done[done_len += component.len] = 0;
        if (is_missing)
            continue;
        size_t target_len = 0;
        StepResult step = read_step(done, target, &target_len, err);
        if (step == STEP_FAILED)
            return false;
        is_missing = step == STEP_MISSING;
        if (step != STEP_LINK)
            continue;
        if (++links > LINKS_MAX)
            return err_set(err, ERR_INVALID, "%s: too many symbolic links, or a circle of them", done);
        rest = str_printf(arena, "%.*s/%.*s", (int)target_len, target, STR_ARG(rest));
        done_len = target_len && target[0] == '/' ? 0 : before;
        done[done_len] = 0;
    }
    *out = done_len ? str_copy(arena, (Str){done, done_len}) : S("/");
    return true;
}

const Fence *path_fence(const Workspace *ws, Str absolute, bool has_anchor) {
    for (size_t i = 0; i < ws->root_count; i++)
        if (path_is_inside(ws->roots[i].path, absolute))
            return &ws->roots[i];
    return has_anchor && path_is_inside(ws->anchor.path, absolute) ? &ws->anchor : NULL;
}

/* The same promise as openat2's without that system call: every component opened by itself, no link followed.
 */
static int open_by_steps(int fence_fd, const char *relative, int flags) {
    int dir = fcntl(fence_fd, F_DUPFD_CLOEXEC, 0);
    Str rest = str_of(relative), component;
    while (dir >= 0 && next_component(&rest, &component)) {
        char name[NAME_MAX + 1];
        if (component.len > NAME_MAX || str_eq(component, S(".."))) {
            close(dir);
            errno = component.len > NAME_MAX ? ENAMETOOLONG : EXDEV;
            return -1;
        }
        memcpy(name, component.ptr, component.len);
        name[component.len] = 0;
        bool is_last = rest.len == 0;
        int next =
            openat(dir, name, is_last ? flags | O_NOFOLLOW : O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        int e = errno;
        struct stat st;
        if (next < 0 && e == ENOTDIR && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISLNK(st.st_mode))
            e = ELOOP; /* as openat2 calls it */
        close(dir);
        errno = e;
        if (is_last)
            return next;
        dir = next;
    }
    return dir;
}

int open_beneath(int fence_fd, const char *relative, int flags) {
    struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC),
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    for (int tries = 0; tries < AGAIN_MAX; tries++) {
        long fd = syscall(SYS_openat2, fence_fd, relative, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        if (errno == ENOSYS || errno == EPERM)
            return open_by_steps(fence_fd, relative, flags | O_CLOEXEC);
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -1;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* file URI (RFC 8089) -> path, percent-decoded, without query and fragment. */
static bool uri_to_path(Str uri, Arena *arena, Str *out, Err *err) {
    Str rest = str_from(uri, 5);
    if (str_starts(rest, S("//"))) {
        rest = str_from(rest, 2);
        size_t slash = str_find_char(rest, '/', 0);
        Str host = str_slice(rest, 0, slash == STR_NONE ? rest.len : slash);
        if (host.len && !str_eq_nocase(host, S("localhost")))
            return err_set(err, ERR_DENIED, "%.*s names another computer", STR_ARG(uri));
        rest = str_from(rest, host.len);
    }
    if (!str_starts(rest, S("/")))
        return err_set(err, ERR_INVALID, "%.*s is not a file URI with an absolute path", STR_ARG(uri));
    char *p = arena_alloc(arena, rest.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < rest.len && rest.ptr[i] != '?' && rest.ptr[i] != '#'; i++) {
        if (rest.ptr[i] != '%') {
            p[n++] = rest.ptr[i];
            continue;
        }
        int high = i + 2 < rest.len ? hex_digit(rest.ptr[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(rest.ptr[i + 2]) : -1;
        if (low < 0)
            return err_set(err, ERR_INVALID, "%.*s has a broken %% escape", STR_ARG(uri));
        p[n++] = (char)(high << 4 | low);
        i += 2;
    }
    *out = (Str){p, n};
    return true;
}

/* "http://..." and the like, but not a file called "a:b". */
static bool has_foreign_scheme(Str given) {
    size_t colon = str_find(given, S("://"), 0);
    if (colon == STR_NONE || colon == 0)
        return false;
    for (size_t i = 0; i < colon; i++) {
        char c = given.ptr[i], lower = (char)(c | 0x20);
        bool is_letter = lower >= 'a' && lower <= 'z';
        if (!is_letter && (i == 0 || !((c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.')))
            return false;
    }
    return true;
}

static bool plain_given(Str given, Arena *arena, Str *out, Err *err) {
    *out = given;
    if (str_eq_nocase(str_slice(given, 0, 5), S("file:"))) {
        if (!uri_to_path(given, arena, out, err))
            return false;
    } else if (has_foreign_scheme(given)) {
        return err_set(err, ERR_INVALID, "%.*s is not a file: only paths and file URIs are taken",
                       STR_ARG(given));
    }
    if (!out->len)
        return err_set(err, ERR_INVALID, "the path is empty");
    if (memchr(out->ptr, 0, out->len))
        return err_set(err, ERR_INVALID, "the path has a zero byte in it");
    if (out->len >= PATH_MAX)
        return err_set(err, ERR_INVALID, "the path %.80s... is too long",
                       str_cstr(arena, str_slice(*out, 0, 80)));
    return true;
}

bool ws_path(Workspace *ws, Str given, Arena *arena, Path *out, Err *err) {
    Str plain, absolute;
    if (!plain_given(given, arena, &plain, err))
        return false;
    if (plain.ptr[0] != '/')
        plain = str_printf(arena, "%.*s/%.*s", STR_ARG(ws->roots[0].path), STR_ARG(plain));
    if (!path_resolve(plain, arena, &absolute, err))
        return false;
    const Fence *fence = path_fence(ws, absolute, false);
    if (!fence)
        return err_set(err, ERR_DENIED, "%.*s is outside of the workspace %.*s", STR_ARG(given),
                       STR_ARG(ws->roots[0].path));
    Str below = path_below(fence->path, absolute);
    if (path_is_forbidden(ws, absolute, below))
        return err_set(err, ERR_DENIED, "%.*s belongs to version control or to mux itself", STR_ARG(given));
    out->absolute = absolute;
    out->relative = fence == ws->roots ? below : absolute;
    return true;
}
