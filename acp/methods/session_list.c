/* session/list: the sessions opened here in which nothing was asked yet, then those that are kept, the one
 * used last first. */
#define _GNU_SOURCE
#include <math.h>
#include <time.h>

#include "acp/connection_internal.h"
#include "acp/methods/methods.h"

#define PAGE 50

/* A cursor is "open:" and the last open session of its page, or "kept:" and the planner's. */
#define CURSOR_OPEN S("open:")
#define CURSOR_KEPT S("kept:")

typedef struct Listing {
    Connection *connection;
    Arena arena;
    Str cwd, cursor;
    Json *sessions;
    size_t count;
    Str next;
} Listing;

/* RFC 3339, in UTC. */
static Str time_text(double seconds, Arena *arena) {
    double whole = floor(seconds);
    time_t t = (time_t)whole;
    struct tm parts;
    char text[40];
    if (!gmtime_r(&t, &parts) || !strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts))
        return S("");
    return str_printf(arena, "%s.%03dZ", text, (int)((seconds - whole) * 1e3));
}

static void push(Listing *listing, const SessionInfo *info) {
    Json *item = json_object();
    json_put_str(item, "sessionId", info->id);
    json_put_str(item, "cwd", info->cwd);
    Json *roots = info->extra_root_count ? json_put_array(item, "additionalDirectories") : NULL;
    for (size_t i = 0; i < info->extra_root_count; i++)
        json_push(roots, json_text(info->extra_roots[i]));
    if (info->title.len)
        json_put_str(item, "title", info->title);
    Str updated = time_text(info->updated, &listing->arena);
    if (updated.len)
        json_put_str(item, "updatedAt", updated);
    json_push(listing->sessions, item);
    listing->count++;
}

/* The open ones after the cursor's; when that was closed meanwhile, none. */
static void list_open(Listing *listing) {
    bool is_begun = !str_starts(listing->cursor, CURSOR_OPEN);
    Str last = str_from(listing->cursor, CURSOR_OPEN.len), shown = S("");
    for (AcpSession *s = listing->connection->sessions; s; s = s->next) {
        SessionInfo info;
        if (!is_begun) {
            is_begun = str_eq(s->id, last);
            continue;
        }
        session_info(s->session, &listing->arena, &info);
        if (s->is_closing || info.turns || (listing->cwd.len && !str_eq(info.cwd, listing->cwd)))
            continue;
        if (listing->count == PAGE) {
            listing->next = str_concat(&listing->arena, CURSOR_OPEN, shown);
            return;
        }
        push(listing, &info);
        shown = s->id;
    }
}

static bool list_kept(Listing *listing, Err *err) {
    Planner *planner = connection_planner(listing->connection, err);
    bool is_later = str_starts(listing->cursor, CURSOR_KEPT);
    Str cursor = is_later ? str_from(listing->cursor, CURSOR_KEPT.len) : S("");
    SessionPage page;
    if (!planner ||
        !planner_sessions(planner, listing->cwd, cursor, PAGE - listing->count, &listing->arena, &page, err))
        return false;
    for (size_t i = 0; i < page.count; i++)
        push(listing, &page.items[i]);
    if (page.next.len)
        listing->next = str_concat(&listing->arena, CURSOR_KEPT, page.next);
    return true;
}

/* A text that may be absent or null. */
static Str optional_text(Wire *wire, const Json *params, const char *key) {
    const Json *value = json_find(params, key);
    if (value && !cJSON_IsNull(value) && !cJSON_IsString(value))
        wire_fail(wire, "must be a string", "%s", key);
    return json_str_value(value);
}

static void refuse(Listing *listing, const RpcMessage *message, const Err *err) {
    Wire wire = {0};
    if (err->code != ERR_INVALID) {
        refuse_with(listing->connection->peer, message->id, err);
        return;
    }
    wire_fail(&wire, "is none that this list gave", "cursor");
    wire_refuse(listing->connection->peer, message->id, &wire);
}

static void handle(void *ctx, Peer *peer, const RpcMessage *message) {
    Wire wire = {0};
    Listing listing = {.connection = ctx, .next = S("")};
    listing.cwd = optional_text(&wire, message->params, "cwd");
    listing.cursor = optional_text(&wire, message->params, "cursor");
    bool is_open = str_starts(listing.cursor, CURSOR_OPEN), is_kept = str_starts(listing.cursor, CURSOR_KEPT);
    if (listing.cwd.len && !str_starts(listing.cwd, S("/")))
        wire_fail(&wire, "must be an absolute path", "cwd");
    if (listing.cursor.len && !is_open && !is_kept)
        wire_fail(&wire, "is none that this list gave", "cursor");
    if (wire.problem) {
        wire_refuse(peer, message->id, &wire);
        return;
    }
    listing.sessions = json_array();
    Err err = {0};
    if (!is_kept)
        list_open(&listing);
    bool ok = listing.next.len || list_kept(&listing, &err);
    if (ok) {
        Json *result = json_object();
        json_put(result, "sessions", listing.sessions);
        if (listing.next.len)
            json_put_str(result, "nextCursor", listing.next);
        peer_reply(peer, message->id, result);
    } else {
        json_free(listing.sessions);
        refuse(&listing, message, &err);
    }
    arena_free(&listing.arena);
}

const Method METHOD_SESSION_LIST = {"session/list", METHOD_REQUEST, handle};
