/* The player: takes the client's part of a log, message by message in the order of the log. A message is sent
 * once the agent has said as much as it had when the client sent it then. */
#define _GNU_SOURCE
#include "acp/replay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/house.h"
#include "acp/record.h"
#include "acp/replay_compare.h"
#include "acp/tree_copy.h"
#include "acp/v1.h"
#include "base/os.h"

#define LOG_MAX_BYTES ((size_t)1 << 30)
/* Silence after which the agent is taken to wait for something that the log does not hold. */
#define SILENCE_MS 2000
/* The same while a prompt is open and nothing is asked of the client: a model may think. */
#define SILENCE_THINKING_MS 300000

typedef struct Player {
    Arena arena;
    ReplayLog log, live;
    ReplaySide recorded, now;
    bool *is_matched;  /* per recorded request: the agent has asked it again */
    size_t *asked_by;  /* then: that live message */
    bool *is_answered; /* per recorded request: its live counterpart has its answer */
    bool is_gone;

    int to_agent, from_agent, agent_in, agent_out;
    Buf inbox;
    pthread_t thread;
    Connection *connection;
} Player;

/* ---- mapping the recorded names to those of now ---- */

static Json *map_value(Player *player, const Json *value, const NameList *old_sessions,
                       const NameList *new_sessions) {
    if (cJSON_IsArray(value) || cJSON_IsObject(value)) {
        Json *made = cJSON_IsArray(value) ? json_array() : json_object();
        JSON_EACH(item, value) {
            Json *mapped = map_value(player, item, old_sessions, new_sessions);
            if (cJSON_IsArray(value))
                json_push(made, mapped);
            else
                json_put(made, item->string, mapped);
        }
        return made;
    }
    if (!cJSON_IsString(value))
        return cJSON_Duplicate(value, true);
    Str text = json_str_value(value), old_folder = player->recorded.folder, new_folder = player->now.folder;
    for (size_t i = 0; i < old_sessions->count && i < new_sessions->count; i++)
        if (str_eq(text, old_sessions->items[i]))
            return json_text(new_sessions->items[i]);
    size_t at = str_starts(text, S("file://")) ? 7 : 0;
    Str path = str_from(text, at);
    bool is_below = old_folder.len > 1 && str_starts(path, old_folder) &&
                    (path.len == old_folder.len || path.ptr[old_folder.len] == '/');
    if (!is_below)
        return json_text(text);
    return json_text(str_printf(&player->arena, "%.*s%.*s%.*s", STR_ARG(str_slice(text, 0, at)),
                                STR_ARG(new_folder), STR_ARG(str_from(path, old_folder.len))));
}

static void put_mapped(Player *player, const Json *body, Buf *out) {
    NameList old_sessions, new_sessions;
    replay_sessions(&player->log, &player->arena, &old_sessions);
    replay_sessions(&player->live, &player->arena, &new_sessions);
    Json *mapped = map_value(player, body, &old_sessions, &new_sessions);
    json_print(mapped, out);
    json_free(mapped);
}

/* ---- sending ---- */

static void send_text(Player *player, Str line) {
    Err err = {0};
    if (player->is_gone || !os_write_all(player->to_agent, line, &err) ||
        !os_write_all(player->to_agent, S("\n"), &err))
        player->is_gone = true;
}

/* Sends a message of the client; remembers it among the live ones, so that answers find their requests. */
static void send_message(Player *player, const LogMessage *item, Str id) {
    if (item->kind == LOG_OTHER) {
        send_text(player, item->raw);
        return;
    }
    Buf line = {0};
    buf_cstr(&line, "{\"jsonrpc\":\"2.0\"");
    if (item->kind != LOG_NOTIFICATION)
        buf_printf(&line, ",\"id\":%.*s", STR_ARG(id));
    if (item->kind != LOG_ANSWER) {
        buf_cstr(&line, ",\"method\":");
        json_print_string(item->method, &line);
    }
    if (item->body || item->kind == LOG_ANSWER) {
        buf_printf(&line, ",\"%s\":",
                   item->kind != LOG_ANSWER ? "params"
                   : item->is_error         ? "error"
                                            : "result");
        if (item->body)
            put_mapped(player, item->body, &line);
        else
            buf_cstr(&line, "null");
    }
    buf_char(&line, '}');
    Json *message = json_parse(buf_text(&line), NULL);
    if (message)
        replay_log_add(&player->live, true, buf_text(&line), message);
    send_text(player, buf_text(&line));
    buf_free(&line);
}

/* ---- what the agent asks ---- */

static bool is_same_request(Player *player, const LogMessage *was, const LogMessage *is) {
    NameList was_tools = {0}, is_tools = {0};
    Json *a = replay_plain_body(&player->recorded, was, &was_tools, &player->arena);
    Json *b = replay_plain_body(&player->now, is, &is_tools, &player->arena);
    bool is_same = cJSON_Compare(a, b, true);
    json_free(a);
    json_free(b);
    return is_same;
}

/* The recorded request that a live one stands for: the same question, or else the next one of this method. */
static size_t match_request(Player *player, const LogMessage *live) {
    size_t next = STR_NONE;
    for (size_t i = 0; i < player->log.count; i++) {
        const LogMessage *item = &player->log.items[i];
        if (item->to_agent || item->kind != LOG_REQUEST || player->is_matched[i] ||
            !str_eq(item->method, live->method))
            continue;
        if (is_same_request(player, item, live))
            return i;
        if (next == STR_NONE)
            next = i;
    }
    return next;
}

static void refuse(Player *player, const LogMessage *live) {
    send_text(player, str_printf(&player->arena,
                                 "{\"jsonrpc\":\"2.0\",\"id\":%.*s,\"error\":{\"code\":-32603,\"message\":"
                                 "\"The log holds no answer to this.\"}}",
                                 STR_ARG(live->id)));
}

static void take_line(Player *player, Str line) {
    Json *message = json_parse(line, NULL);
    if (!message)
        return;
    replay_log_add(&player->live, false, line, message);
    const LogMessage *live = &player->live.items[player->live.count - 1];
    if (live->kind != LOG_REQUEST)
        return;
    size_t recorded = match_request(player, live);
    if (recorded == STR_NONE) {
        refuse(player, live);
        return;
    }
    player->is_matched[recorded] = true;
    player->asked_by[recorded] = player->live.count - 1;
}

static void answer_request(Player *player, size_t recorded) {
    const LogMessage *request = &player->log.items[recorded];
    player->is_answered[recorded] = true;
    send_message(player, &player->log.items[request->partner],
                 player->live.items[player->asked_by[recorded]].id);
}

/* Reads what the agent says for at most timeout_ms; false when nothing came. */
static bool listen(Player *player, int timeout_ms) {
    struct pollfd ready = {.fd = player->from_agent, .events = POLLIN};
    if (player->is_gone || poll(&ready, 1, timeout_ms) <= 0 || !buf_reserve(&player->inbox, 65536))
        return false;
    ssize_t n = read(player->from_agent, player->inbox.ptr + player->inbox.len, 65536);
    if (n <= 0) {
        player->is_gone = true;
        return false;
    }
    player->inbox.len += (size_t)n;
    for (size_t end; (end = str_find_char(buf_text(&player->inbox), '\n', 0)) != STR_NONE;) {
        take_line(player, str_slice(buf_text(&player->inbox), 0, end));
        buf_consume(&player->inbox, end + 1);
    }
    return true;
}

/* ---- how far the agent is ---- */

typedef struct Progress {
    size_t answers, requests, notices, text_bytes;
    bool has_open_prompt;
} Progress;

static Progress progress_of(const ReplayLog *log, size_t end) {
    Progress progress = {0};
    for (size_t i = 0; i < end; i++) {
        const LogMessage *item = &log->items[i];
        if (item->to_agent) {
            bool is_open = item->kind == LOG_REQUEST && (item->partner == STR_NONE || item->partner >= end);
            progress.has_open_prompt = progress.has_open_prompt || is_open;
            continue;
        }
        const Json *update = json_find(item->body, "update");
        Str text = json_str(json_find(update, "content"), "text");
        bool is_chunk = str_ends(json_str(update, "sessionUpdate"), S("_chunk"));
        progress.answers += item->kind == LOG_ANSWER;
        progress.requests += item->kind == LOG_REQUEST;
        progress.notices += item->kind == LOG_NOTIFICATION && !is_chunk;
        progress.text_bytes += is_chunk ? text.len : 0;
    }
    return progress;
}

static bool has_reached(const Player *player, size_t end) {
    Progress then = progress_of(&player->log, end), now = progress_of(&player->live, player->live.count);
    bool has_said_all = now.notices >= then.notices && now.text_bytes >= then.text_bytes;
    return now.answers >= then.answers && now.requests >= then.requests &&
           (has_said_all || !then.has_open_prompt || now.answers > then.answers);
}

/* A live request whose recorded answer comes later in the log; STR_NONE when the agent waits for nothing of
 * ours. */
static size_t open_request(const Player *player) {
    for (size_t i = 0; i < player->log.count; i++)
        if (player->is_matched[i] && !player->is_answered[i] && player->log.items[i].partner != STR_NONE)
            return i;
    return STR_NONE;
}

/* No prompt is open, or the client had never answered what is asked now: no more will come. */
static bool is_waiting_for_nobody(const Player *player) {
    size_t prompts = 0, unanswerable = 0;
    for (size_t i = 0; i < player->live.count; i++) {
        const LogMessage *item = &player->live.items[i];
        prompts += item->to_agent && item->kind == LOG_REQUEST && item->partner == STR_NONE;
    }
    for (size_t i = 0; i < player->log.count; i++)
        unanswerable += player->is_matched[i] && player->log.items[i].partner == STR_NONE;
    return prompts == 0 || unanswerable > 0;
}

static void wait_for_agent(Player *player, size_t end) {
    double silent_since = os_monotonic_ms();
    while (!has_reached(player, end) && !player->is_gone) {
        if (listen(player, 50)) {
            silent_since = os_monotonic_ms();
            continue;
        }
        double silence = os_monotonic_ms() - silent_since;
        size_t open = open_request(player);
        if (open != STR_NONE && silence > SILENCE_MS) {
            answer_request(player, open); /* it waits for us, in another order than then */
            silent_since = os_monotonic_ms();
        } else if (silence > (is_waiting_for_nobody(player) ? SILENCE_MS : SILENCE_THINKING_MS)) {
            return;
        }
    }
}

static void play(Player *player) {
    for (size_t i = 0; i < player->log.count && !player->is_gone; i++) {
        const LogMessage *item = &player->log.items[i];
        if (!item->to_agent)
            continue;
        wait_for_agent(player, i);
        if (item->kind != LOG_ANSWER)
            send_message(player, item, item->id);
        else if (item->partner != STR_NONE && player->is_matched[item->partner] &&
                 !player->is_answered[item->partner])
            answer_request(player, item->partner);
    }
    wait_for_agent(player, player->log.count);
    close(player->to_agent);
    while (!player->is_gone)
        listen(player, -1);
}

/* ---- setting up ---- */

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

static bool perform(Player *player, const Settings *settings, ReviewMode review, Err *err) {
    Record *record = NULL;
    if (settings_has(settings, OPT_RECORD) && !(record = record_open(settings->values[OPT_RECORD], err)))
        return false;
    House house;
    house_init(&house, settings);
    bool ok = open_pipes(player, err);
    if (ok) {
        signal(SIGPIPE, SIG_IGN);
        ConnectionConfig config = {.in_fd = player->agent_in,
                                   .out_fd = player->agent_out,
                                   .host = house_host(&house),
                                   .model = settings_text(settings, OPT_MODEL),
                                   .review = review,
                                   .model_note = house_note(&house),
                                   .tap = record_tap(record)};
        player->connection = connection_open(&config, err);
        ok = player->connection && pthread_create(&player->thread, NULL, run_agent, player) == 0;
        if (ok) {
            play(player);
            pthread_join(player->thread, NULL);
        }
        connection_close(player->connection);
        close(player->agent_in);
        close(player->from_agent);
    }
    house_close(&house);
    return record_close(record, err) && ok;
}

/* What the log says of the agent's start, where the command line does not. An agent that had no model
 * configured said so; then none is configured now. */
static void read_start(const ReplayLog *log, bool had_model, Settings *settings, ReviewMode *review,
                       Arena *arena) {
    for (size_t i = 0; i < log->count; i++) {
        const LogMessage *item = &log->items[i];
        if (item->kind != LOG_ANSWER || !str_eq(item->method, S("session/new")))
            continue;
        v1_mode_of(json_str(json_find(item->body, "modes"), "currentModeId"), review);
        JSON_EACH(option, json_find(item->body, "configOptions")) {
            Str model = json_str(option, "currentValue");
            if (str_eq(json_str(option, "id"), S("model")) && had_model &&
                !settings_has(settings, OPT_MODEL) && model.len)
                settings->values[OPT_MODEL] = str_cstr(arena, model);
        }
        return;
    }
}

static bool uses_client_files(const ReplayLog *log) {
    for (size_t i = 0; i < log->count; i++) {
        const LogMessage *item = &log->items[i];
        const Json *fs = json_find(json_find(item->body, "clientCapabilities"), "fs");
        if (json_bool(fs, "writeTextFile", false) || str_eq(item->method, S("fs/write_text_file")))
            return true;
    }
    return false;
}

static Str recorded_folder(const ReplayLog *log) {
    for (size_t i = 0; i < log->count; i++)
        if (log->items[i].to_agent && str_eq(log->items[i].method, S("session/new")))
            return json_str(log->items[i].body, "cwd");
    return S("");
}

/* The folder to run in: as given or recorded; a copy of it where the client's file methods did the writing,
 * because then nothing may change on disk. */
static bool choose_folder(Player *player, const Settings *settings, Str *copy, Err *err) {
    player->recorded.folder = player->now.folder = recorded_folder(&player->log);
    while (player->recorded.folder.len > 1 && str_ends(player->recorded.folder, S("/")))
        player->recorded.folder.len--;
    player->now.folder = player->recorded.folder;
    if (settings_has(settings, OPT_CWD) &&
        !house_folder(settings->values[OPT_CWD], &player->arena, &player->now.folder, err))
        return false;
    if (!uses_client_files(&player->log) || access(str_cstr(&player->arena, player->now.folder), F_OK) != 0)
        return true;
    if (!tree_copy(player->now.folder, &player->arena, copy, err))
        return false;
    player->now.folder = *copy;
    return true;
}

static int report(Player *player) {
    Buf out = {0};
    size_t differences = replay_compare(&player->recorded, &player->now, &out);
    if (differences)
        printf("%.*s%zu difference%s\n", STR_ARG(buf_text(&out)), differences, differences == 1 ? "" : "s");
    else
        printf("%zu messages played, nothing differs\n", player->log.count);
    buf_free(&out);
    return fflush(stdout) == 0 && !differences ? STATUS_DONE : STATUS_FAILED;
}

int replay_run(const Settings *settings) {
    Player player = {0};
    Err err = {0};
    Str text, copy = S("");
    Settings local = *settings;
    ReviewMode review = REVIEW_ASK;
    int status = STATUS_USAGE;
    player.recorded.log = &player.log;
    player.now.log = &player.live;
    bool ok = os_read_file(settings->values[OPT_REPLAY], LOG_MAX_BYTES, &player.arena, &text, &err) &&
              replay_log_read(text, &player.log, &err);
    if (ok) {
        player.is_matched = ARENA_ARRAY(&player.arena, bool, player.log.count);
        player.is_answered = ARENA_ARRAY(&player.arena, bool, player.log.count);
        player.asked_by = ARENA_ARRAY(&player.arena, size_t, player.log.count);
        read_start(&player.log, !str_contains(text, S(HOUSE_EMBEDDED_NOTE)), &local, &review, &player.arena);
        if (settings_has(settings, OPT_REVIEW))
            v1_mode_of(settings_text(settings, OPT_REVIEW), &review);
        status = STATUS_CANNOT_START;
        ok = choose_folder(&player, settings, &copy, &err) && perform(&player, &local, review, &err);
    }
    status = ok ? report(&player) : command_fail("--replay", status, &err);
    if (copy.len)
        tree_remove(copy);
    buf_free(&player.inbox);
    replay_log_free(&player.live);
    replay_log_free(&player.log);
    arena_free(&player.arena);
    return status;
}
