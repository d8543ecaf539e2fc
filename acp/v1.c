#include "acp/v1.h"

#include "acp/version.h"

/* Above this a diff shows the changed lines with some context instead of two whole files. */
#define DIFF_WHOLE_MAX ((size_t)512 << 10)
#define DIFF_CONTEXT_LINES 20

static const char *const TOOL_KINDS[] = {"read", "edit", "search", "think", "other"};
static const char *const TOOL_STATUSES[] = {"pending", "in_progress", "completed", "failed"};
static const char *const PLAN_STATUSES[] = {"pending", "in_progress", "completed"};

/* Indexed by ReviewMode. */
static const struct {
    const char *id, *name, *description;
} MODES[] = {
    {"ask", "Ask", "Asks before it writes a file"},
    {"auto", "Auto", "Writes at once; review the changes afterwards"},
    {"plan", "Plan", "Shows the changes and writes nothing"},
};
#define MODE_COUNT (sizeof MODES / sizeof *MODES)

/* Indexed by DecisionKind, without DECISION_CANCELLED. */
static const struct {
    const char *kind, *name;
} DECISIONS[] = {
    {"allow_once", "Apply"},
    {"allow_always", "Apply, and do not ask again"},
    {"reject_once", "Reject"},
    {"reject_always", "Reject everything in this session"},
};
#define DECISION_COUNT (sizeof DECISIONS / sizeof *DECISIONS)

Json *v1_initialize_result(void) {
    Json *result = json_object();
    json_put_int(result, "protocolVersion", 1);
    Json *info = json_put_object(result, "agentInfo");
    json_put_str(info, "name", S("mux-acp"));
    json_put_str(info, "title", S("Mux"));
    json_put_str(info, "version", S(MUX_VERSION));
    json_put_array(result, "authMethods");
    Json *capabilities = json_put_object(result, "agentCapabilities");
    json_put_bool(capabilities, "loadSession", false);
    Json *prompt = json_put_object(capabilities, "promptCapabilities");
    json_put_bool(prompt, "image", false);
    json_put_bool(prompt, "audio", false);
    json_put_bool(prompt, "embeddedContext", true);
    Json *mcp = json_put_object(capabilities, "mcpCapabilities");
    json_put_bool(mcp, "http", false);
    json_put_bool(mcp, "sse", false);
    Json *session = json_put_object(capabilities, "sessionCapabilities");
    json_put_object(session, "close");
    json_put_object(session, "additionalDirectories");
    return result;
}

static Json *update_begin(Str session_id, const char *kind, Json **update) {
    Json *params = json_object();
    json_put_str(params, "sessionId", session_id);
    *update = json_put_object(params, "update");
    json_put_str(*update, "sessionUpdate", str_of(kind));
    return params;
}

static Json *text_block(Str text) {
    Json *block = json_object();
    json_put_str(block, "type", S("text"));
    json_put_str(block, "text", text);
    return block;
}

Json *v1_text_update(Str session_id, TurnEventKind kind, Str text) {
    Json *update;
    Json *params = update_begin(
        session_id, kind == TURN_THOUGHT ? "agent_thought_chunk" : "agent_message_chunk", &update);
    json_put(update, "content", text_block(text));
    return params;
}

Json *v1_plan_update(Str session_id, const PlanEntry *entries, size_t count) {
    Json *update;
    Json *params = update_begin(session_id, "plan", &update);
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
    if (!tool->text.len && !tool->diff_count)
        return;
    Json *content = json_put_array(call, "content");
    for (size_t i = 0; i < tool->diff_count; i++)
        put_diff(content, &tool->diffs[i]);
    if (tool->text.len) {
        Json *item = json_object();
        json_put_str(item, "type", S("content"));
        json_put(item, "content", text_block(tool->text));
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

static void put_tool(Json *call, const ToolEvent *tool) {
    json_put_str(call, "toolCallId", tool->id);
    if (tool->title.len || tool->is_first)
        json_put_str(call, "title", tool->title);
    json_put_str(call, "kind", str_of(TOOL_KINDS[tool->kind]));
    json_put_str(call, "status", str_of(TOOL_STATUSES[tool->status]));
    put_content(call, tool);
    put_locations(call, tool);
}

Json *v1_tool_update(Str session_id, const ToolEvent *tool) {
    Json *update;
    Json *params = update_begin(session_id, tool->is_first ? "tool_call" : "tool_call_update", &update);
    if (tool->is_first) {
        put_tool(update, tool);
        return params;
    }
    json_put_str(update, "toolCallId", tool->id);
    if (tool->title.len)
        json_put_str(update, "title", tool->title);
    json_put_str(update, "status", str_of(TOOL_STATUSES[tool->status]));
    put_content(update, tool);
    put_locations(update, tool);
    return params;
}

Json *v1_usage_update(Str session_id, const TurnUsage *usage) {
    Json *update;
    Json *params = update_begin(session_id, "usage_update", &update);
    json_put_int(update, "used", (int64_t)usage->context_used);
    json_put_int(update, "size", (int64_t)usage->context_size);
    return params;
}

/* ---- permission ---- */

Json *v1_permission_params(Str session_id, const QuestionEvent *question) {
    Json *params = json_object();
    json_put_str(params, "sessionId", session_id);
    ToolEvent tool = question->tool;
    if (question->title.len)
        tool.title = question->title;
    put_tool(json_put_object(params, "toolCall"), &tool);
    Json *options = json_put_array(params, "options");
    for (size_t i = 0; i < DECISION_COUNT; i++) {
        Json *option = json_object();
        json_put_str(option, "optionId", str_of(DECISIONS[i].kind));
        json_put_str(option, "name", str_of(DECISIONS[i].name));
        json_put_str(option, "kind", str_of(DECISIONS[i].kind));
        json_push(options, option);
    }
    return params;
}

DecisionKind v1_decision_of(const Json *result) {
    const Json *outcome = json_find(result, "outcome");
    if (str_eq(json_str(outcome, "outcome"), S("cancelled")))
        return DECISION_CANCELLED;
    Str option = json_str(outcome, "optionId");
    for (size_t i = 0; i < DECISION_COUNT; i++)
        if (str_eq(option, str_of(DECISIONS[i].kind)))
            return (DecisionKind)i;
    return DECISION_REJECT_ONCE;
}

const char *v1_stop_reason(TurnStop stop) {
    return stop == TURN_STOP_CANCELLED    ? "cancelled"
           : stop == TURN_STOP_MAX_TOKENS ? "max_tokens"
                                          : "end_turn";
}

/* ---- choices ---- */

const char *v1_mode_id(ReviewMode mode) {
    return MODES[mode].id;
}

bool v1_mode_of(Str id, ReviewMode *out) {
    for (size_t i = 0; i < MODE_COUNT; i++) {
        if (str_eq(id, str_of(MODES[i].id))) {
            *out = (ReviewMode)i;
            return true;
        }
    }
    return false;
}

Json *v1_modes(ReviewMode mode) {
    Json *modes = json_object();
    json_put_str(modes, "currentModeId", str_of(MODES[mode].id));
    Json *list = json_put_array(modes, "availableModes");
    for (size_t i = 0; i < MODE_COUNT; i++) {
        Json *item = json_object();
        json_put_str(item, "id", str_of(MODES[i].id));
        json_put_str(item, "name", str_of(MODES[i].name));
        json_put_str(item, "description", str_of(MODES[i].description));
        json_push(list, item);
    }
    return modes;
}

static Json *select_begin(Json *list, const char *id, const char *name, Str current, Json **options) {
    Json *select = json_object();
    json_put_str(select, "id", str_of(id));
    json_put_str(select, "name", str_of(name));
    json_put_str(select, "category", str_of(id));
    json_put_str(select, "type", S("select"));
    json_put_str(select, "currentValue", current);
    *options = json_put_array(select, "options");
    json_push(list, select);
    return select;
}

static void push_choice(Json *options, Str value, Str name, Str description) {
    Json *option = json_object();
    json_put_str(option, "value", value);
    json_put_str(option, "name", name);
    if (description.len)
        json_put_str(option, "description", description);
    json_push(options, option);
}

static Str model_description(const ModelCard *card) {
    return card->is_embedded   ? S("Built in: small edits such as renames and changed values")
           : card->is_scripted ? S("Scripted, without a model: for trying things out")
                               : card->path;
}

Json *v1_config_options(const V1Choices *choices) {
    Json *list = json_array(), *options;
    select_begin(list, "mode", "Mode", str_of(MODES[choices->mode].id), &options);
    for (size_t i = 0; i < MODE_COUNT; i++)
        push_choice(options, str_of(MODES[i].id), str_of(MODES[i].name), str_of(MODES[i].description));
    if (!choices->model_count && !choices->configured.len)
        return list;
    select_begin(list, "model", "Model", choices->model, &options);
    bool has_configured = !choices->configured.len;
    for (size_t i = 0; i < choices->model_count; i++) {
        const ModelCard *card = &choices->models[i];
        push_choice(options, card->name, card->name, model_description(card));
        has_configured = has_configured || str_eq(card->name, choices->configured);
    }
    if (!has_configured)
        push_choice(options, choices->configured, choices->configured,
                    S("The model this agent was started with"));
    return list;
}
