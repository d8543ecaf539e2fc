/* Questions to the user: session/request_permission and elicitation/create. */
#include <stdio.h>

#include "acp/v1_internal.h"
#include "base/utf8.h"

/* Indexed by DecisionKind, without DECISION_CANCELLED. */
#define DECISION_COUNT 4
static const char *const KINDS[DECISION_COUNT] = {"allow_once", "allow_always", "reject_once",
                                                  "reject_always"};
static const char *const EDIT_NAMES[DECISION_COUNT] = {"Apply", "Apply, and do not ask again", "Reject",
                                                       "Reject everything in this session"};
static const char *const RUN_NAMES[DECISION_COUNT] = {"Run", "Run, and do not ask again for this command",
                                                      "Do not run", "Run nothing in this session"};
static const char *const USE_NAMES[DECISION_COUNT] = {"Allow", "Allow, and do not ask again for this tool",
                                                      "Do not allow", "Never in this session"};

static const char *const *names_of(ToolKind kind) {
    switch (kind) {
    case TOOL_EDIT:
    case TOOL_DELETE:
    case TOOL_MOVE: return EDIT_NAMES;
    case TOOL_EXECUTE: return RUN_NAMES;
    default: return USE_NAMES;
    }
}

static void push_option(Json *options, const char *id, const char *name, const char *kind) {
    Json *option = json_object();
    json_put_str(option, "optionId", str_of(id));
    json_put_str(option, "name", str_of(name));
    json_put_str(option, "kind", str_of(kind));
    json_push(options, option);
}

Json *v1_permission_params(Str session_id, const QuestionEvent *question) {
    Json *params = json_object();
    json_put_str(params, "sessionId", session_id);
    ToolEvent tool = question->tool;
    if (question->title.len)
        tool.title = question->title;
    v1_put_tool(json_put_object(params, "toolCall"), &tool);
    Json *options = json_put_array(params, "options");
    const char *const *names = names_of(tool.kind);
    Arena arena = {0};
    for (size_t i = 0; i < DECISION_COUNT; i++) {
        const char *name = names[i];
        if (i == DECISION_ALLOW_ALWAYS && question->always.len)
            name = str_printf(&arena, "%s, and do not ask again for %.*s", names[DECISION_ALLOW_ONCE],
                              STR_ARG(question->always))
                       .ptr;
        push_option(options, KINDS[i], name, KINDS[i]);
    }
    arena_free(&arena);
    return params;
}

/* The id of the option chosen; empty when none was. */
static Str chosen(const Json *result, bool *is_cancelled) {
    const Json *outcome = json_find(result, "outcome");
    *is_cancelled = str_eq(json_str(outcome, "outcome"), S("cancelled"));
    return *is_cancelled ? S("") : json_str(outcome, "optionId");
}

DecisionKind v1_decision_of(const Json *result) {
    bool is_cancelled;
    Str option = chosen(result, &is_cancelled);
    for (size_t i = 0; i < DECISION_COUNT; i++)
        if (str_eq(option, str_of(KINDS[i])))
            return (DecisionKind)i;
    return is_cancelled ? DECISION_CANCELLED : DECISION_REJECT_ONCE;
}

/* ---- hunk by hunk ---- */

#define LABEL_PART 48 /* bytes of a line in a label */

static void put_label_part(Buf *out, const char *lead, Str lines) {
    Str line = S(""), rest = lines;
    while (!line.len && str_next_line(&rest, &line))
        line = str_trim(line);
    Str shown = str_slice(line, 0, LABEL_PART);
    if (shown.len < line.len)
        shown.len = utf8_complete(shown);
    bool is_cut = shown.len < line.len || str_trim(rest).len > 0;
    buf_printf(out, "%s%.*s%s", lead, STR_ARG(shown), is_cut ? "..." : "");
}

static void put_lines(Buf *out, const V1Hunk *hunk) {
    if (hunk->line_count == 0)
        buf_printf(out, hunk->first_line > 1 ? "after line %zu" : "at the beginning", hunk->first_line - 1);
    else if (hunk->line_count == 1)
        buf_printf(out, "line %zu", hunk->first_line);
    else
        buf_printf(out, "lines %zu-%zu", hunk->first_line, hunk->first_line + hunk->line_count - 1);
}

/* "lines 10-14: -old / +new" */
static void put_label(Buf *out, const V1Hunk *hunk) {
    put_lines(out, hunk);
    buf_cstr(out, ": ");
    if (hunk->old_lines.len)
        put_label_part(out, "-", hunk->old_lines);
    if (hunk->new_lines.len)
        put_label_part(out, hunk->old_lines.len ? " / +" : "+", hunk->new_lines);
}

/* Names sort as the hunks do, for clients that sort them. */
static void key_of(size_t index, char out[32]) {
    snprintf(out, 32, "hunk_%05zu", index + 1);
}

Json *v1_hunk_form_params(Str session_id, const V1HunkQuestion *question, size_t first, size_t count) {
    Buf text = {0};
    Json *params = json_object();
    buf_printf(&text, "Which of the %zu changes to %.*s are to be made?", question->count,
               STR_ARG(question->relative));
    if (count < question->count)
        buf_printf(&text, " (%zu to %zu)", first + 1, first + count);
    json_put_str(params, "message", buf_text(&text));
    json_put_str(params, "mode", S("form"));
    json_put_str(params, "sessionId", session_id);
    json_put_str(params, "toolCallId", question->tool_id);
    Json *schema = json_put_object(params, "requestedSchema");
    json_put_str(schema, "type", S("object"));
    Json *properties = json_put_object(schema, "properties");
    for (size_t i = first; i < first + count; i++) {
        char key[32];
        key_of(i, key);
        buf_clear(&text);
        put_label(&text, &question->hunks[i]);
        Json *property = json_put_object(properties, key);
        json_put_str(property, "type", S("boolean"));
        json_put_str(property, "title", buf_text(&text));
        json_put_bool(property, "default", true);
    }
    buf_free(&text);
    return params;
}

V1FormAction v1_hunk_form_answer(const Json *result, size_t first, size_t count, bool *keep) {
    Str action = json_str(result, "action");
    const Json *content = json_find(result, "content");
    if (content && !cJSON_IsNull(content) && !cJSON_IsObject(content))
        return V1_FORM_DECLINE; /* nobody can have meant this */
    for (size_t i = first; i < first + count; i++) {
        char key[32];
        key_of(i, key);
        const Json *value = json_find(content, key);
        keep[i] = !value || cJSON_IsNull(value) || cJSON_IsTrue(value); /* left out: as the form said */
    }
    return str_eq(action, S("accept"))   ? V1_FORM_ACCEPT
           : str_eq(action, S("cancel")) ? V1_FORM_CANCEL
                                         : V1_FORM_DECLINE;
}

/* Indexed by V1HunkChoice, without V1_HUNK_CANCELLED. */
static const struct {
    const char *id, *name, *kind;
} CHOICES[] = {
    {"keep", "Keep", "allow_once"},
    {"drop", "Drop", "reject_once"},
    {"keep_rest", "Keep this and the rest of the file", "allow_always"},
    {"drop_rest", "Drop this and the rest of the file", "reject_always"},
};
#define CHOICE_COUNT (sizeof CHOICES / sizeof *CHOICES)

Json *v1_hunk_permission_params(Str session_id, const V1HunkQuestion *question, size_t index) {
    const V1Hunk *hunk = &question->hunks[index];
    Buf title = {0};
    buf_printf(&title, "Change %zu of %zu in %.*s (", index + 1, question->count,
               STR_ARG(question->relative));
    put_lines(&title, hunk);
    buf_cstr(&title, ")");
    ToolDiff diff = {.path = question->path,
                     .relative = question->relative,
                     .old_text = hunk->old_text,
                     .new_text = hunk->new_text};
    ToolLocation location = {.path = question->path, .line = hunk->first_line};
    ToolEvent tool = {.id = question->tool_id,
                      .title = buf_text(&title),
                      .kind = TOOL_EDIT,
                      .status = TOOL_PENDING,
                      .locations = &location,
                      .location_count = 1,
                      .diffs = &diff,
                      .diff_count = 1};
    Json *params = json_object();
    json_put_str(params, "sessionId", session_id);
    v1_put_tool(json_put_object(params, "toolCall"), &tool);
    Json *options = json_put_array(params, "options");
    for (size_t i = 0; i < (index + 1 < question->count ? CHOICE_COUNT : 2); i++)
        push_option(options, CHOICES[i].id, CHOICES[i].name, CHOICES[i].kind);
    buf_free(&title);
    return params;
}

V1HunkChoice v1_hunk_choice_of(const Json *result) {
    bool is_cancelled;
    Str option = chosen(result, &is_cancelled);
    for (size_t i = 0; i < CHOICE_COUNT; i++)
        if (str_eq(option, str_of(CHOICES[i].id)))
            return (V1HunkChoice)i;
    return is_cancelled ? V1_HUNK_CANCELLED : V1_HUNK_DROP;
}
