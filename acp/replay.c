#define _GNU_SOURCE
#include "acp/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/house.h"
#include "acp/record.h"
#include "acp/replay_folders.h"
#include "acp/tree_copy.h"
#include "acp/v1.h"
#include "base/os.h"

#define LOG_MAX_BYTES ((size_t)1 << 30)

/* How the agent was started, as far as the log tells and the command line does not. */
typedef struct Start {
    ReviewMode review;
    ReviewGrain grain;
    bool is_terse, keeps_sessions;
    Str state; /* a folder for the sessions: those of a replay are none of the user's */
} Start;

static void *run_agent(void *ctx) {
    Player *player = ctx;
    connection_run(player->connection);
    close(player->agent_out);
    return NULL;
}

static bool open_pipes(Player *player, Err *err) {
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        return err_set_errno(err, errno, "cannot create a pipe");
    player->agent_in = to[0];
    player->to_agent = to[1];
    player->from_agent = from[0];
    player->agent_out = from[1];
    return true;
}

/* The copies are gone when the record is read: it gets the names of what they were made of. */
typedef struct RecordTap {
    const Player *player;
    PeerTap inner;
} RecordTap;

static void record_line(void *ctx, bool is_incoming, Str line) {
    const RecordTap *tap = ctx;
    Buf out = {0};
    while (line.len) {
        size_t at = STR_NONE, which = 0;
        for (size_t i = 0; i < tap->player->now.folder_count; i++) {
            size_t found = str_find(line, tap->player->copies[i], 0);
            if (tap->player->copies[i].len && found != STR_NONE && (at == STR_NONE || found < at)) {
                at = found;
                which = i;
            }
        }
        buf_str(&out, str_slice(line, 0, at));
        line = at == STR_NONE ? S("") : str_from(line, at + tap->player->copies[which].len);
        if (at != STR_NONE)
            buf_str(&out, tap->player->sources[which]);
    }
    tap->inner.line(tap->inner.ctx, is_incoming, buf_text(&out));
    buf_free(&out);
}

static bool perform(Player *player, const Settings *settings, const Start *start, Err *err) {
    Record *record = NULL;
    if (settings_has(settings, OPT_RECORD) && !(record = record_open(settings->values[OPT_RECORD], err)))
        return false;
    RecordTap tap = {player, record_tap(record)};
    House house;
    house_init(&house, settings);
    house.state_folder = start->state;
    bool ok = open_pipes(player, err);
    if (ok) {
        signal(SIGPIPE, SIG_IGN);
        ConnectionConfig config = {.in_fd = player->agent_in,
                                   .out_fd = player->agent_out,
                                   .host = house_host(&house),
                                   .model = settings_text(settings, OPT_MODEL),
                                   .review = start->review,
                                   .grain = start->grain,
                                   .is_terse = start->is_terse,
                                   .keeps_sessions = start->keeps_sessions,
                                   .model_note = house_note(&house),
                                   .tap =
                                       record ? (PeerTap){.ctx = &tap, .line = record_line} : (PeerTap){0}};
        player->connection = connection_open(&config, err);
        ok = player->connection && pthread_create(&player->thread, NULL, run_agent, player) == 0;
        if (ok) {
            player_play(player);
            pthread_join(player->thread, NULL);
        }
        connection_close(player->connection);
        close(player->agent_in);
        close(player->from_agent);
    }
    house_close(&house);
    return record_close(record, err) && ok;
}

/* ---- how it was started ---- */

static void read_option(const Json *option, bool had_model, Settings *settings, Start *start, Arena *arena) {
    Str id = json_str(option, "id"), value = json_str(option, "currentValue");
    if (str_eq(id, S("model")) && had_model && !settings_has(settings, OPT_MODEL) && value.len)
        settings->values[OPT_MODEL] = str_cstr(arena, value);
    else if (str_eq(id, S("mode")))
        v1_mode_of(value, &start->review);
    else if (str_eq(id, S("grain")))
        v1_grain_of(value, &start->grain);
    else if (str_eq(id, S("thinking")))
        start->is_terse = str_eq(value, S("off")) || cJSON_IsFalse(json_find(option, "currentValue"));
}

/* From the first list of options. An agent that had no model configured said so; then none is configured now.
 */
static void read_start(const ReplayLog *log, bool had_model, Settings *settings, Start *start, Arena *arena) {
    for (size_t i = 0; i < log->count; i++) {
        const LogMessage *item = &log->items[i];
        const Json *options = json_find(item->body, "configOptions");
        const Json *can = json_find(item->body, "agentCapabilities");
        if (can && item->kind == LOG_ANSWER && !item->to_agent)
            start->keeps_sessions = json_bool(can, "loadSession", false);
        if (item->kind != LOG_ANSWER || item->to_agent || !options)
            continue;
        v1_mode_of(json_str(json_find(item->body, "modes"), "currentModeId"), &start->review);
        JSON_EACH(option, options)
        read_option(option, had_model, settings, start, arena);
        return;
    }
}

/* The command line wins. */
static bool read_settings(const Settings *settings, Start *start, Err *err) {
    if (settings_has(settings, OPT_REVIEW) &&
        !v1_mode_of(settings_text(settings, OPT_REVIEW), &start->review))
        return err_set(err, ERR_INVALID, "--review must be ask, auto or plan");
    if (settings_has(settings, OPT_GRAIN) && !v1_grain_of(settings_text(settings, OPT_GRAIN), &start->grain))
        return err_set(err, ERR_INVALID, "--grain must be turn, file or hunk");
    start->is_terse = start->is_terse || settings_has(settings, OPT_NO_THINKING);
    return true;
}

static bool open_state(Arena *arena, Str *state, Err *err) {
    const char *base = getenv("TMPDIR");
    char *path = str_cstr(arena, str_printf(arena, "%s/mux-replay-state-XXXXXX", base ? base : "/tmp"));
    if (!mkdtemp(path))
        return err_set_errno(err, errno, "cannot make a temporary folder");
    *state = str_of(path);
    return true;
}

/* ---- the account ---- */

static bool has_foreign(const ReplayLog *log) {
    for (size_t i = 0; i < log->session_count; i++)
        if (log->sessions[i].is_foreign)
            return true;
    return false;
}

static int report(Player *player) {
    Buf out = {0};
    size_t differences = replay_compare(&player->recorded, &player->now, &out);
    if (has_foreign(&player->log))
        printf("Note: the log holds a session that was begun before it; what was said there earlier is not "
               "compared, and the model does not know it.\n");
    if (differences)
        printf("%.*s%zu difference%s\n", STR_ARG(buf_text(&out)), differences, differences == 1 ? "" : "s");
    else
        printf("%zu messages played, nothing differs\n", player->log.count);
    buf_free(&out);
    return fflush(stdout) == 0 && !differences ? STATUS_DONE : STATUS_FAILED;
}

static int replay(Player *player, Settings *settings, Str text, Err *err) {
    Start start = {.review = REVIEW_ASK, .grain = GRAIN_FILE, .keeps_sessions = true, .state = S("")};
    Str given = S("");
    player->is_matched = ARENA_ARRAY(&player->arena, bool, player->log.count);
    player->is_answered = ARENA_ARRAY(&player->arena, bool, player->log.count);
    player->asked_by = ARENA_ARRAY(&player->arena, size_t, player->log.count);
    read_start(&player->log, !str_contains(text, S(HOUSE_EMBEDDED_NOTE)), settings, &start, &player->arena);
    if (!read_settings(settings, &start, err))
        return STATUS_USAGE;
    bool ok = (!settings_has(settings, OPT_CWD) ||
               house_folder(settings->values[OPT_CWD], &player->arena, &given, err)) &&
              folders_open(player, given, err) &&
              (!start.keeps_sessions || open_state(&player->arena, &start.state, err)) &&
              perform(player, settings, &start, err);
    folders_close(player);
    if (start.state.len)
        tree_remove(start.state);
    return ok ? STATUS_DONE : STATUS_CANNOT_START;
}

int replay_run(const Settings *settings) {
    Player player = {0};
    Err err = {0};
    Str text;
    Settings local = *settings;
    player.recorded.log = &player.log;
    player.now.log = &player.live;
    int status = STATUS_USAGE;
    if (os_read_file(settings->values[OPT_REPLAY], LOG_MAX_BYTES, &player.arena, &text, &err) &&
        replay_log_read(text, &player.log, &err))
        status = replay(&player, &local, text, &err);
    status = status == STATUS_DONE ? report(&player) : command_fail("--replay", status, &err);
    buf_free(&player.inbox);
    replay_log_free(&player.live);
    replay_log_free(&player.log);
    arena_free(&player.arena);
    return status;
}
