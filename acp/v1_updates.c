/* Events of a turn as session/update, and what a prompt ends with. */
#include "acp/v1_internal.h"

/* Above this a diff shows the changed lines with some context instead of two whole files. */
#define DIFF_WHOLE_MAX ((size_t)512 << 10)
#define DIFF_CONTEXT_LINES 20

static const char *const TOOL_KINDS[] = {"read",   "edit", "search",  "think", "other",
                                         "delete", "move", "execute", "fetch"};
static const char *const TOOL_STATUSES[] = {"pending", "in_progress", "completed", "failed"};
static const char *const PLAN_STATUSES[] = {"pending", "in_progress", "completed"};
static const char *const NOTICE_SEVERITIES[] = {"info", "warning", "error"};
static const char *const COMPACTION_STATUSES[] = {"in_progress", "completed", "failed", "cancelled"};

Json *v1_update_begin(Str session_id, const char *kind, Json **update) {
    Json *params = json_object();
    json_put_str(params, "sessionId", session_id);
    *update = json_put_object(params, "update");
    json_put_str(*update, "sessionUpdate", str_of(kind));
    return params;
}

Json *v1_text_block(Str text) {
    Json *block = json_object();
    json_put_str(block, "type", S("text"));
    json_put_str(block, "text", text);
    return block;
}

Json *v1_text_update(Str session_id, TurnEventKind kind, Str text) {
    Json *update;
    const char *name = kind == TURN_THOUGHT ? "agent_thought_chunk"
                       : kind == TURN_USER  ? "user_message_chunk"
                                            : "agent_message_chunk";
    Json *params = v1_update_begin(session_id, name, &update);
    json_put(update, "content", v1_text_block(text));
    return params;
}

Json *v1_link_update(Str session_id, Str uri) {
    Json *update;
    Json *params = v1_update_begin(session_id, "user_message_chunk", &update);
    Json *link = json_put_object(update, "content");
    Str plain = str_slice(uri, 0, str_find_char(uri, '#', 0));
    size_t slash = str_rfind_char(plain, '/');
    Str name = slash == STR_NONE ? plain : str_from(plain, slash + 1);
    json_put_str(link, "type", S("resource_link"));
    json_put_str(link, "uri", uri);
    json_put_str(link, "name", name.len ? name : uri);
    return params;
}

Json *v1_plan_update(Str session_id, const PlanEntry *entries, size_t count) {
    Json *update;
    Json *params = v1_update_begin(session_id, "plan", &update);
    Json *list = json_put_array(update, "entries");
    for (size_t i = 0; i < count; i++) {
        Json *entry = json_object();
        json_put_str(entry, "content", entries[i].text);
        json_put_str(entry, "priority", S("medium"));
        json_put_str(entry, "status", str_of(PLAN_STATUSES[entries[i].status]));
        json_push(list, entry);
    }
    return params;
}

/* ---- tool calls ---- */

static size_t line_start_before(Str text, size_t at, int lines) {
    while (at > 0 && (text.ptr[at - 1] != '\n' || lines-- > 0))
        at--;
    return at;
}

static size_t line_end_after(Str text, size_t at, int lines) {
    while (at < text.len && (text.ptr[at] != '\n' || lines-- > 0))
        at++;
    return at < text.len ? at + 1 : at;
}

/* Cuts what both texts share at the ends, but for some lines of context. */
static void cut_to_change(Str *old_text, Str *new_text) {
    size_t shorter = old_text->len < new_text->len ? old_text->len : new_text->len;
    size_t head = 0, tail = 0;
    while (head < shorter && old_text->ptr[head] == new_text->ptr[head])
        head++;
    while (tail < shorter - head &&
           old_text->ptr[old_text->len - 1 - tail] == new_text->ptr[new_text->len - 1 - tail])
        tail++;
    size_t begin = line_start_before(*old_text, head, DIFF_CONTEXT_LINES);
    size_t old_end = line_end_after(*old_text, old_text->len - tail, DIFF_CONTEXT_LINES);
    size_t new_end = new_text->len - (old_text->len - old_end);
    *old_text = str_slice(*old_text, begin, old_end);
    *new_text = str_slice(*new_text, begin, new_end);
}

static void push_diff(Json *content, Str path, bool is_new, Str old_text, Str new_text) {
    Json *item = json_object();
    json_put_str(item, "type", S("diff"));
    json_put_str(item, "path", path);
    if (is_new)
        json_put(item, "oldText", cJSON_CreateNull());
    else
        json_put_str(item, "oldText", old_text);
    json_put_str(item, "newText", new_text);
    json_push(content, item);
}

/* The protocol knows one path a diff: a moved file goes at one and comes at the other. */
static void push_move(Json *content, const ToolDiff *diff) {
    Arena arena = {0};
    Str root = str_slice(diff->path, 0, diff->path.len - diff->relative.len), to = diff->moved_to;
    if (!str_starts(to, S("/")))
        to = str_concat(&arena, root, to);
    push_diff(content, diff->path, false, diff->old_text, S(""));
    push_diff(content, to, true, S(""), diff->new_text);
    arena_free(&arena);
}

static void put_diff(Json *content, const ToolDiff *diff) {
    Str old_text = diff->old_text, new_text = diff->is_deleted ? S("") : diff->new_text;
    if (diff->moved_to.len) {
        push_move(content, diff);
        return;
    }
    if (!diff->is_new && !diff->is_deleted && old_text.len + new_text.len > DIFF_WHOLE_MAX)
        cut_to_change(&old_text, &new_text);
    push_diff(content, diff->path, diff->is_new, old_text, new_text);
}

static void put_content(Json *call, const ToolEvent *tool) {
    if (!tool->text.len && !tool->diff_count && !tool->terminal_id.len)
        return;
    Json *content = json_put_array(call, "content");
    if (tool->terminal_id.len) {
        Json *item = json_object();
        json_put_str(item, "type", S("terminal"));
        json_put_str(item, "terminalId", tool->terminal_id);
        json_push(content, item);
    }
    for (size_t i = 0; i < tool->diff_count; i++)
        put_diff(content, &tool->diffs[i]);
    if (tool->text.len) {
        Json *item = json_object();
        json_put_str(item, "type", S("content"));
        json_put(item, "content", v1_text_block(tool->text));
        json_push(content, item);
    }
}

static void put_locations(Json *call, const ToolEvent *tool) {
    if (!tool->location_count)
        return;
    Json *locations = json_put_array(call, "locations");
    for (size_t i = 0; i < tool->location_count; i++) {
        Json *location = json_object();
        json_put_str(location, "path", tool->locations[i].path);
        if (tool->locations[i].line)
            json_put_int(location, "line", (int64_t)tool->locations[i].line);
        json_push(locations, location);
    }
}

/* What the model wrote: an object where it can be read, else its text. */
static void put_name_and_input(Json *call, const ToolEvent *tool) {
    if (tool->name.len)
        json_put_str(call, "name", tool->name);
    if (!tool->raw_input.len)
        return;
    Err err = {0};
    Json *input = json_parse(tool->raw_input, &err);
    json_put(call, "rawInput", input ? input : json_text(tool->raw_input));
}

void v1_put_tool(Json *call, const ToolEvent *tool) {
    json_put_str(call, "toolCallId", tool->id);
    if (tool->title.len || tool->is_first)
        json_put_str(call, "title", tool->title);
    put_name_and_input(call, tool);
    json_put_str(call, "kind", str_of(TOOL_KINDS[tool->kind]));
    json_put_str(call, "status", str_of(TOOL_STATUSES[tool->status]));
    put_content(call, tool);
    put_locations(call, tool);
}

Json *v1_tool_update(Str session_id, const ToolEvent *tool) {
    Json *update;
    Json *params = v1_update_begin(session_id, tool->is_first ? "tool_call" : "tool_call_update", &update);
    if (tool->is_first) {
        v1_put_tool(update, tool);
        return params;
    }
    json_put_str(update, "toolCallId", tool->id);
    if (tool->title.len)
        json_put_str(update, "title", tool->title);
    put_name_and_input(update, tool);
    json_put_str(update, "status", str_of(TOOL_STATUSES[tool->status]));
    put_content(update, tool);
    put_locations(update, tool);
    return params;
}

Json *v1_usage_update(Str session_id, const TurnUsage *usage) {
    Json *update;
    Json *params = v1_update_begin(session_id, "usage_update", &update);
    json_put_int(update, "used", (int64_t)usage->context_used);
    json_put_int(update, "size", (int64_t)usage->context_size);
    return params;
}

/* ---- beside the answer ---- */

Json *v1_notice_update(Str session_id, const Notice *notice) {
    Json *update;
    Json *params = v1_update_begin(session_id, "notice", &update);
    json_put_str(update, "severity", str_of(NOTICE_SEVERITIES[notice->level]));
    json_put_str(update, "title", notice->title.len ? notice->title : S("Mux"));
    if (notice->description.len)
        json_put_str(update, "description", notice->description);
    return params;
}

Json *v1_compaction_update(Str session_id, const Compaction *compaction) {
    Json *update;
    Json *params = v1_update_begin(session_id, "compaction_update", &update);
    json_put_str(update, "compactionId", compaction->id);
    json_put_str(update, "status", str_of(COMPACTION_STATUSES[compaction->status]));
    if (compaction->summary.len)
        json_push(json_put_array(update, "summary"), v1_text_block(compaction->summary));
    if (compaction->error.len)
        json_put_str(update, "error", compaction->error);
    return params;
}

Json *v1_title_update(Str session_id, Str title) {
    Json *update;
    Json *params = v1_update_begin(session_id, "session_info_update", &update);
    json_put_str(update, "title", title);
    return params;
}

Json *v1_commands_update(Str session_id, const CommandInfo *commands, size_t count) {
    Json *update;
    Json *params = v1_update_begin(session_id, "available_commands_update", &update);
    Json *list = json_put_array(update, "availableCommands");
    for (size_t i = 0; i < count; i++) {
        Json *command = json_object();
        json_put_str(command, "name", str_of(commands[i].name));
        json_put_str(command, "description", str_of(commands[i].description));
        if (commands[i].hint)
            json_put_str(json_put_object(command, "input"), "hint", str_of(commands[i].hint));
        json_push(list, command);
    }
    return params;
}

const char *v1_stop_reason(TurnStop stop) {
    return stop == TURN_STOP_CANCELLED      ? "cancelled"
           : stop == TURN_STOP_MAX_TOKENS   ? "max_tokens"
           : stop == TURN_STOP_MAX_REQUESTS ? "max_turn_requests"
                                            : "end_turn";
}
