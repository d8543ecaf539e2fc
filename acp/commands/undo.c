/* undo, backups and recover: what the workspace keeps of its changes. */
#define _GNU_SOURCE
#include <time.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/commands/terminal.h"
#include "acp/house.h"
#include "workspace/workspace.h"

static Workspace *open_root(const Settings *settings, Arena *arena, WorkspaceConfig config, Err *err) {
    Str root;
    if (!house_folder(settings_has(settings, OPT_ROOT) ? settings->values[OPT_ROOT] : ".", arena, &root, err))
        return NULL;
    WorkspaceConfig limits = house_workspace(settings);
    config.root = root;
    config.backup_count = limits.backup_count;
    config.backup_days = limits.backup_days;
    config.backup_bytes = limits.backup_bytes;
    return ws_open(&config, file_io_disk(), err);
}

static int run_undo(const Settings *settings) {
    if (settings->word_count > 1)
        return command_usage(&COMMAND_UNDO, "one change at a time");
    Arena arena = {0};
    Err err = {0};
    ChangeInfo info = {0};
    command_catch_stops();
    Workspace *ws = open_root(settings, &arena, (WorkspaceConfig){.cancelled = COMMAND_WAS_STOPPED}, &err);
    bool ok = ws && ws_undo(ws, settings->word_count ? str_of(settings->words[0]) : S(""), &info, &err);
    ws_close(ws);
    arena_free(&arena);
    if (settings_has(settings, OPT_JSON)) {
        Json *json = json_object();
        json_put_bool(json, "ok", ok);
        json_put_int(json, "files", (int64_t)info.files);
        json_put(json, "backup", info.id[0] ? json_text(str_of(info.id)) : cJSON_CreateNull());
        if (!ok)
            json_put_str(json, "error", str_of(err.text));
        return command_print_json(json) && ok ? STATUS_DONE : STATUS_FAILED;
    }
    if (!ok)
        return command_fail("undo", STATUS_FAILED, &err);
    fprintf(stderr, "%zu file%s put back; mux-acp undo %s takes that back\n", info.files,
            info.files == 1 ? "" : "s", info.id);
    return STATUS_DONE;
}

static Json *backup_json(const Backup *backup) {
    Json *json = json_object();
    json_put_str(json, "id", backup->id);
    json_put_str(json, "title", backup->title);
    json_put_num(json, "time", backup->unix_seconds);
    json_put_int(json, "files", (int64_t)backup->files);
    json_put_bool(json, "undone", backup->is_undone);
    Json *paths = json_put_array(json, "paths");
    for (size_t i = 0; i < backup->files && backup->paths; i++)
        json_push(paths, json_text(backup->paths[i]));
    return json;
}

static void print_backup(const Backup *backup) {
    time_t seconds = (time_t)backup->unix_seconds;
    struct tm local;
    char when[32] = "";
    if (localtime_r(&seconds, &local))
        strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    Buf title = {0};
    if (isatty(STDOUT_FILENO)) /* it may quote a request or names */
        terminal_put(&title, backup->title, false);
    else
        buf_str(&title, backup->title);
    printf("%.*s  %s  %3zu file%s  %.*s%s\n", STR_ARG(backup->id), when, backup->files,
           backup->files == 1 ? " " : "s", STR_ARG(buf_text(&title)), backup->is_undone ? " (undone)" : "");
    buf_free(&title);
}

static int run_backups(const Settings *settings) {
    if (settings->word_count)
        return command_usage(&COMMAND_BACKUPS, "no names are taken; --root says the folder");
    Arena arena = {0};
    Err err = {0};
    BackupList list = {0};
    Workspace *ws = open_root(settings, &arena, (WorkspaceConfig){.read_only = true}, &err);
    bool ok = ws && ws_backups(ws, &arena, &list, &err);
    if (ok && settings_has(settings, OPT_JSON)) {
        Json *json = json_object(), *items = json_put_array(json, "backups");
        for (size_t i = 0; i < list.count; i++)
            json_push(items, backup_json(&list.items[i]));
        command_print_json(json);
    } else if (ok) {
        for (size_t i = 0; i < list.count; i++)
            print_backup(&list.items[i]);
    }
    ws_close(ws);
    arena_free(&arena);
    return ok ? STATUS_DONE : command_fail_as(settings, "backups", STATUS_FAILED, &err);
}

static int run_recover(const Settings *settings) {
    if (settings->word_count)
        return command_usage(&COMMAND_RECOVER, "no names are taken; --root says the folder");
    Arena arena = {0};
    Err err = {0};
    RecoverReport report = {0};
    /* Opening as usual would recover by itself, unseen. */
    command_catch_stops(); /* finished as soon as it can be */
    Workspace *ws = open_root(settings, &arena, (WorkspaceConfig){.recovers_later = true}, &err);
    bool ok = ws && ws_recover(ws, &report, &err);
    ws_close(ws);
    arena_free(&arena);
    if (!ok)
        return command_fail_as(settings, "recover", STATUS_FAILED, &err);
    if (settings_has(settings, OPT_JSON)) {
        Json *json = json_object();
        json_put_int(json, "finished", (int64_t)report.finished);
        json_put_int(json, "rolled_back", (int64_t)report.rolled_back);
        json_put_int(json, "cleaned", (int64_t)report.cleaned);
        json_put_int(json, "conflicts", (int64_t)report.conflicts);
        command_print_json(json);
    } else {
        printf("%zu changes finished, %zu taken back, %zu remains cleared, %zu files left as a third party "
               "wrote them\n",
               report.finished, report.rolled_back, report.cleaned, report.conflicts);
    }
    return report.conflicts == 0 ? STATUS_DONE : STATUS_FAILED;
}

const Command COMMAND_UNDO = {"undo", "[--root DIR] [--json] [ID]",
                              "takes back an applied change, by default the newest",
                              OPTION(ROOT) | OPTION(JSON) | OPTIONS_BACKUP, run_undo};
const Command COMMAND_BACKUPS = {"backups", "[--root DIR] [--json]",
                                 "lists the changes that can be taken back", OPTION(ROOT) | OPTION(JSON),
                                 run_backups};
const Command COMMAND_RECOVER = {"recover", "[--root DIR] [--json]",
                                 "finishes or takes back what a crash left", OPTION(ROOT) | OPTION(JSON),
                                 run_recover};
