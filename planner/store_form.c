/* Events as the store keeps them: a form of our own, so that any protocol's serialiser can replay them. */
#include <stdio.h>
#include <stdlib.h>

#include "planner/store_internal.h"

/* Indexed by TurnEventKind; NULL: not kept. */
static const char *const KINDS[] = {
    [TURN_TEXT] = "text", [TURN_THOUGHT] = "thought", [TURN_PLAN] = "plan",
    [TURN_TOOL] = "tool", [TURN_USER] = "user",       [TURN_COMPACTION] = "compaction",
};
#define KIND_COUNT (sizeof KINDS / sizeof *KINDS)

const char *form_kind(TurnEventKind kind) {
    return (size_t)kind < KIND_COUNT ? KINDS[kind] : NULL;
}

bool form_kind_of(Str name, TurnEventKind *out) {
    for (size_t i = 0; i < KIND_COUNT; i++) {
        if (KINDS[i] && str_eq(name, str_of(KINDS[i]))) {
            *out = (TurnEventKind)i;
            return true;
        }
    }
    return false;
}

bool form_is_text(TurnEventKind kind) {
    return kind == TURN_TEXT || kind == TURN_THOUGHT;
}

/* ---- writing ---- */

/* What is empty is left out. */
static void put(Json *object, const char *key, Str text) {
    if (text.len)
        json_put_str(object, key, text);
}

static void put_number(Json *object, const char *key, size_t n) {
    if (n)
        json_put_int(object, key, (int64_t)n);
}

static void put_flag(Json *object, const char *key, bool is_set) {
    if (is_set)
        json_put_bool(object, key, true);
}

static Json *write_user(const TurnEvent *event) {
    Json *root = json_object();
    json_put_str(root, "text", event->text);
    Json *list = event->attachment_count ? json_put_array(root, "attachments") : NULL;
    for (size_t i = 0; i < event->attachment_count; i++) {
        const Attachment *attachment = &event->attachments[i];
        Json *item = json_object();
        json_put_str(item, "uri", attachment->uri);
        put_number(item, "first_line", attachment->first_line);
        put_number(item, "last_line", attachment->last_line);
        json_push(list, item);
    }
    return root;
}

static Json *write_plan(const TurnEvent *event) {
    Json *root = json_object(), *list = json_put_array(root, "entries");
    for (size_t i = 0; i < event->plan_count; i++) {
        Json *item = json_object();
        json_put_str(item, "text", event->plan[i].text);
        json_put_int(item, "status", event->plan[i].status);
        json_push(list, item);
    }
    return root;
}

static Json *write_compaction(const Compaction *compaction) {
    Json *root = json_object();
    json_put_str(root, "id", compaction->id);
    json_put_int(root, "status", compaction->status);
    put(root, "summary", compaction->summary);
    put(root, "error", compaction->error);
    return root;
}

static Json *write_diff(const ToolDiff *diff) {
    Json *root = json_object();
    json_put_str(root, "path", diff->path);
    put(root, "relative", diff->relative);
    put(root, "old", diff->old_text);
    put(root, "new", diff->new_text);
    put_flag(root, "is_new", diff->is_new);
    put_flag(root, "is_deleted", diff->is_deleted);
    put(root, "moved_to", diff->moved_to);
    put(root, "unified", diff->unified);
    Json *hunks = diff->hunk_count && diff->hunk_ids ? json_put_array(root, "hunks") : NULL;
    for (size_t i = 0; hunks && i < diff->hunk_count; i++) {
        char id[24]; /* a JSON number does not hold 64 bits */
        snprintf(id, sizeof id, "%016llx", (unsigned long long)diff->hunk_ids[i]);
        json_push(hunks, json_text(str_of(id)));
    }
    return root;
}

/* Over what root holds already: what an update leaves empty stays. The client's terminal is gone when this
 * is read, so its id is not kept. */
static void put_tool(Json *root, const ToolEvent *tool) {
    json_put_str(root, "id", tool->id);
    put(root, "title", tool->title);
    put(root, "name", tool->name);
    if (tool->is_first)
        json_put_int(root, "kind", tool->kind);
    json_put_int(root, "status", tool->status);
    put(root, "input", tool->raw_input);
    put(root, "text", tool->text);
    Json *places = tool->location_count ? json_put_array(root, "locations") : NULL;
    for (size_t i = 0; i < tool->location_count; i++) {
        Json *item = json_object();
        json_put_str(item, "path", tool->locations[i].path);
        put_number(item, "line", tool->locations[i].line);
        json_push(places, item);
    }
    Json *diffs = tool->diff_count ? json_put_array(root, "diffs") : NULL;
    for (size_t i = 0; i < tool->diff_count; i++)
        json_push(diffs, write_diff(&tool->diffs[i]));
}

static void print(Json *root, Buf *out) {
    json_print(root, out);
    json_free(root);
}

void form_write(const TurnEvent *event, Buf *out) {
    switch (event->kind) {
    case TURN_TEXT:
    case TURN_THOUGHT: buf_str(out, event->text); break;
    case TURN_USER: print(write_user(event), out); break;
    case TURN_PLAN: print(write_plan(event), out); break;
    case TURN_COMPACTION: print(write_compaction(event->compaction), out); break;
    case TURN_TOOL: {
        Json *root = json_object();
        put_tool(root, event->tool);
        print(root, out);
        break;
    }
    default: break;
    }
}

void form_write_tool_over(Str kept, const ToolEvent *tool, Buf *out) {
    Json *root = json_parse(kept, NULL);
    if (!cJSON_IsObject(root)) {
        json_free(root);
        root = json_object();
    }
    put_tool(root, tool);
    print(root, out);
}

/* ---- reading ---- */

static Str get(const Json *object, const char *key, Arena *arena) {
    return str_copy(arena, json_str(object, key));
}

static size_t get_number(const Json *object, const char *key) {
    int64_t n = json_int(object, key, 0);
    return n > 0 ? (size_t)n : 0;
}

/* A member of an enumeration with `count` values; otherwise when it is none. */
static int get_choice(const Json *object, const char *key, int count, int otherwise) {
    int64_t n = json_int(object, key, otherwise);
    return n >= 0 && n < count ? (int)n : otherwise;
}

static bool read_user(const Json *root, Arena *arena, TurnEvent *out) {
    const Json *list = json_find(root, "attachments");
    Attachment *items = ARENA_ARRAY(arena, Attachment, json_len(list) + 1);
    out->text = get(root, "text", arena);
    out->attachments = items;
    JSON_EACH(item, list) {
        items[out->attachment_count++] = (Attachment){.uri = get(item, "uri", arena),
                                                      .text = S(""),
                                                      .first_line = get_number(item, "first_line"),
                                                      .last_line = get_number(item, "last_line")};
    }
    return true;
}

static bool read_plan(const Json *root, Arena *arena, TurnEvent *out) {
    const Json *list = json_find(root, "entries");
    PlanEntry *entries = ARENA_ARRAY(arena, PlanEntry, json_len(list) + 1);
    JSON_EACH(item, list) {
        int status = get_choice(item, "status", PLAN_COMPLETED + 1, PLAN_PENDING);
        entries[out->plan_count++] =
            (PlanEntry){.text = get(item, "text", arena), .status = (PlanStatus)status};
    }
    out->plan = entries;
    return cJSON_IsArray(list);
}

static bool read_compaction(const Json *root, Arena *arena, TurnEvent *out) {
    Compaction *compaction = ARENA_NEW(arena, Compaction);
    int status = get_choice(root, "status", COMPACTION_CANCELLED + 1, COMPACTION_FAILED);
    *compaction = (Compaction){.id = get(root, "id", arena),
                               .status = (CompactionStatus)status,
                               .summary = get(root, "summary", arena),
                               .error = get(root, "error", arena)};
    if (status == COMPACTION_RUNNING) {
        compaction->status = COMPACTION_FAILED;
        compaction->error = S("it was interrupted");
    }
    out->compaction = compaction;
    return compaction->id.len > 0;
}

static ToolDiff read_diff(const Json *root, Arena *arena) {
    const Json *hunks = json_find(root, "hunks");
    uint64_t *ids = ARENA_ARRAY(arena, uint64_t, json_len(hunks) + 1);
    size_t count = 0;
    JSON_EACH(item, hunks) {
        ids[count++] = cJSON_IsString(item) ? strtoull(item->valuestring, NULL, 16) : 0;
    }
    return (ToolDiff){.path = get(root, "path", arena),
                      .relative = get(root, "relative", arena),
                      .old_text = get(root, "old", arena),
                      .new_text = get(root, "new", arena),
                      .is_new = json_bool(root, "is_new", false),
                      .is_deleted = json_bool(root, "is_deleted", false),
                      .moved_to = get(root, "moved_to", arena),
                      .hunk_count = count,
                      .hunk_ids = ids,
                      .unified = get(root, "unified", arena)};
}

static bool read_tool(const Json *root, Arena *arena, TurnEvent *out) {
    const Json *places = json_find(root, "locations"), *diffs = json_find(root, "diffs");
    ToolLocation *locations = ARENA_ARRAY(arena, ToolLocation, json_len(places) + 1);
    ToolDiff *items = ARENA_ARRAY(arena, ToolDiff, json_len(diffs) + 1);
    ToolEvent *tool = ARENA_NEW(arena, ToolEvent);
    int status = get_choice(root, "status", TOOL_FAILED + 1, TOOL_FAILED);
    *tool = (ToolEvent){.id = get(root, "id", arena),
                        .is_first = true,
                        .title = get(root, "title", arena),
                        .name = get(root, "name", arena),
                        .kind = (ToolKind)get_choice(root, "kind", TOOL_FETCH + 1, TOOL_OTHER),
                        .status = status == TOOL_COMPLETED ? TOOL_COMPLETED : TOOL_FAILED,
                        .raw_input = get(root, "input", arena),
                        .terminal_id = S(""),
                        .locations = locations,
                        .text = get(root, "text", arena),
                        .diffs = items};
    JSON_EACH(item, places) {
        locations[tool->location_count++] =
            (ToolLocation){.path = get(item, "path", arena), .line = get_number(item, "line")};
    }
    JSON_EACH(item, diffs) {
        items[tool->diff_count++] = read_diff(item, arena);
    }
    out->tool = tool;
    return tool->id.len > 0;
}

bool form_read(TurnEventKind kind, Str body, Arena *arena, TurnEvent *out) {
    *out = (TurnEvent){.kind = kind, .text = S("")};
    if (form_is_text(kind)) {
        out->text = str_copy(arena, body);
        return true;
    }
    Json *root = json_parse(body, NULL);
    bool ok = cJSON_IsObject(root);
    if (ok && kind == TURN_USER)
        ok = read_user(root, arena, out);
    else if (ok && kind == TURN_PLAN)
        ok = read_plan(root, arena, out);
    else if (ok && kind == TURN_TOOL)
        ok = read_tool(root, arena, out);
    else
        ok = ok && kind == TURN_COMPACTION && read_compaction(root, arena, out);
    json_free(root);
    return ok;
}
