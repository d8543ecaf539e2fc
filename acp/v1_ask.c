/* Questions to the user: session/request_permission. */
#include "acp/v1_internal.h"

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

Json *v1_permission_params(Str session_id, const QuestionEvent *question) {
    Json *params = json_object();
    json_put_str(params, "sessionId", session_id);
    ToolEvent tool = question->tool;
    if (question->title.len)
        tool.title = question->title;
    v1_put_tool(json_put_object(params, "toolCall"), &tool);
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
