/* apply: a unified diff onto a tree, all files or none. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/house.h"
#include "base/os.h"
#include "planner/patch_change.h"

typedef struct ApplyJob {
    const Settings *settings;
    Arena arena;
    Workspace *ws;
    PatchOptions options;
    Buf input; /* a patch from stdin */
    Str text;
    PatchPlan plan;
    ChangeInfo info;
    ChangeReport report;
} ApplyJob;

/* ---- the patch ---- */

/* A pipe has no size to go by. */
static bool read_stream(ApplyJob *job, int fd, Err *err) {
    Buf *input = &job->input;
    ssize_t n = 1;
    while (n > 0 && input->len <= PATCH_CHANGE_MAX_BYTES && buf_reserve(input, 65536)) {
        n = read(fd, input->ptr + input->len, 65536);
        if (n < 0 && errno == EINTR)
            n = 1;
        else
            input->len += n > 0 ? (size_t)n : 0;
    }
    job->text = buf_text(input);
    if (n < 0)
        return err_set_errno(err, errno, "the patch cannot be read");
    return (n == 0 && !input->failed) ||
           err_set(err, ERR_LIMIT, "the patch is larger than %zu MiB", PATCH_CHANGE_MAX_BYTES >> 20);
}

static bool read_patch(ApplyJob *job, Err *err) {
    const char *file = job->settings->word_count ? job->settings->words[0] : "-";
    struct stat st;
    bool is_stdin = strcmp(file, "-") == 0, is_stream = stat(file, &st) == 0 && !S_ISREG(st.st_mode);
    if (!is_stdin && !is_stream)
        return os_read_file(file, PATCH_CHANGE_MAX_BYTES, &job->arena, &job->text, err);
    int fd = is_stdin ? STDIN_FILENO : open(file, O_RDONLY | O_NOCTTY | O_CLOEXEC);
    bool ok = fd >= 0 ? read_stream(job, fd, err) || err_wrap(err, "%s", is_stdin ? "stdin" : file)
                      : err_set_errno(err, errno, "cannot open %s", file);
    if (fd >= 0 && !is_stdin)
        close(fd);
    return ok;
}

/* ---- the change ---- */

static bool commit(ApplyJob *job, Err *err) {
    Str title = job->options.reverse ? S("Take a patch back") : S("Apply a patch");
    command_catch_stops();
    return patch_change_commit(job->ws, &job->plan, title, &job->arena, &job->info, &job->report, err);
}

static void tell_applied_already(const ApplyJob *job, Err *err) {
    Err why = *err;
    err_set(err, ERR_CONFLICT, "the patch is %s already, nothing was changed (%.*s)",
            job->options.reverse ? "taken back" : "applied", 400, why.text);
}

static bool apply_patch(ApplyJob *job, Err *err) {
    const Settings *settings = job->settings;
    Str root;
    if (!read_patch(job, err))
        return false;
    bool only_check = settings_has(settings, OPT_CHECK);
    if (!house_folder(settings_has(settings, OPT_ROOT) ? settings->values[OPT_ROOT] : ".", &job->arena, &root,
                      err))
        return false;
    WorkspaceConfig config = house_workspace(settings);
    config.root = root;
    config.read_only = only_check;
    config.cancelled = COMMAND_WAS_STOPPED;
    job->ws = ws_open(&config, file_io_disk(), err);
    if (!job->ws)
        return false;
    PatchSourceText source = {.text = job->text, .options = job->options};
    if (!patch_change_plan(job->ws, &source, &job->arena, &job->plan, err)) {
        if (job->plan.is_applied_already)
            tell_applied_already(job, err);
        return false;
    }
    return only_check || commit(job, err);
}

/* ---- what is told ---- */

static bool print_result(const ApplyJob *job, bool ok, const Err *err) {
    bool only_check = settings_has(job->settings, OPT_CHECK);
    Json *json = json_object();
    json_put_bool(json, "ok", ok);
    json_put_bool(json, "applied", ok && !only_check);
    json_put_bool(json, "already_applied", job->plan.is_applied_already);
    Json *paths = json_put_array(json, "paths");
    for (size_t i = 0; i < job->plan.count; i++)
        json_push(paths, json_text(job->plan.items[i].path));
    json_put_int(json, "files", (int64_t)job->plan.count);
    json_put_int(json, "offset_hunks", (int64_t)job->plan.report.offset_hunks);
    json_put_int(json, "fuzzy_hunks", (int64_t)job->plan.report.fuzzy_hunks);
    json_put(json, "backup", job->info.id[0] ? json_text(str_of(job->info.id)) : cJSON_CreateNull());
    if (!ok)
        json_put_str(json, "error", str_of(err->text));
    return command_print_json(json);
}

static void print_notes(const ApplyJob *job) {
    const PatchReport *report = &job->plan.report;
    if (report->offset_hunks)
        fprintf(stderr, "%zu hunk%s stood at another line than the patch says\n", report->offset_hunks,
                report->offset_hunks == 1 ? "" : "s");
    if (report->fuzzy_hunks)
        fprintf(stderr, "%zu hunk%s went on with different context or blanks: look at the result\n",
                report->fuzzy_hunks, report->fuzzy_hunks == 1 ? "" : "s");
    for (size_t i = 0; i < job->report.count; i++)
        if (job->report.items[i].had_hard_links)
            command_say("%.*s had other names (hard links): they keep the old text",
                        STR_ARG(job->report.items[i].path.relative));
    if (job->info.id[0])
        fprintf(stderr, "%zu file%s changed; mux-acp undo %s takes it back\n", job->info.files,
                job->info.files == 1 ? "" : "s", job->info.id);
}

static int small_count(const Settings *settings, OptionId id, int otherwise) {
    size_t n = settings_count(settings, id, (size_t)otherwise);
    return n < INT_MAX ? (int)n : INT_MAX;
}

static PatchOptions read_options(const Settings *settings) {
    return (PatchOptions){.strip = small_count(settings, OPT_STRIP, 1),
                          .guesses_strip = !settings_has(settings, OPT_STRIP),
                          .reverse = settings_has(settings, OPT_REVERSE),
                          .recount = settings_has(settings, OPT_RECOUNT),
                          .unidiff_zero = settings_has(settings, OPT_UNIDIFF_ZERO),
                          .ignore_whitespace = settings_has(settings, OPT_IGNORE_WHITESPACE),
                          .is_tolerant = settings_has(settings, OPT_TOLERANT),
                          .fuzz = small_count(settings, OPT_FUZZ, 0),
                          .has_least_context = settings_has(settings, OPT_LEAST_CONTEXT),
                          .least_context = small_count(settings, OPT_LEAST_CONTEXT, 0)};
}

static int run(const Settings *settings) {
    if (settings->word_count > 1)
        return command_usage(&COMMAND_APPLY, "one patch at a time");
    ApplyJob job = {.settings = settings, .options = read_options(settings)};
    Err err = {0};
    bool ok = apply_patch(&job, &err);
    ws_close(job.ws);
    int status = ok ? STATUS_DONE : STATUS_FAILED;
    if (settings_has(settings, OPT_JSON)) {
        if (!print_result(&job, ok, &err))
            status = STATUS_FAILED;
    } else if (!ok) {
        command_fail("apply", status, &err);
    } else {
        print_notes(&job);
    }
    buf_free(&job.input);
    arena_free(&job.arena);
    return status;
}

const Command COMMAND_APPLY = {
    "apply",
    "[--root DIR] [-pN] [--check] [--reverse] [--recount] [--unidiff-zero]\n"
    "              [--ignore-whitespace] [-C N] [--fuzz N] [--tolerant] [--json] [FILE]",
    "applies a unified diff, all files or none, with a backup",
    OPTION(ROOT) | OPTION(STRIP) | OPTION(CHECK) | OPTION(REVERSE) | OPTION(RECOUNT) | OPTION(UNIDIFF_ZERO) |
        OPTION(IGNORE_WHITESPACE) | OPTION(TOLERANT) | OPTION(FUZZ) | OPTION(LEAST_CONTEXT) | OPTION(JSON) |
        OPTIONS_BACKUP,
    run,
};
