/* propose_patch: edits as a call, taken and checked exactly as those of a reply. */
#include "planner/blocks_take.h"
#include "planner/tools.h"

static bool run(Turn *turn, const Json *arguments, ToolEvent *event, ToolResult *out, Err *err) {
    Str patch = json_str(arguments, "patch");
    event->title = S("Check a patch");
    EditParser parser;
    EditList edits = {0};
    Err *problem = &turn->tools.patch_problem;
    *problem = (Err){0};
    edit_begin(&parser, EDIT_ANY, &turn->arena);
    edit_feed(&parser, patch);
    bool ok = edit_finish(&parser, &edits, problem);
    if (ok && edits.count == 0)
        ok = err_set(problem, ERR_INVALID,
                     "it holds no edit; send search/replace blocks or a unified diff, with the path above");
    ok = ok && take_edits(turn, turn->tools.taken, &edits, problem);
    turn->tools.taken->has_failed = !ok;
    if (turn_is_cancelled(turn))
        return err_set(err, ERR_CANCELLED, "cancelled");
    Buf text = {0};
    taken_list(turn->tools.taken, &text);
    Str kept = buf_copy(&text, &turn->arena);
    buf_free(&text);
    if (!ok) {
        tools_fail(turn, out, "the patch does not fit: %s", problem->text);
        if (kept.len)
            out->text =
                str_printf(&turn->arena, "%.*s\nThese edits fit and are kept; do not send them again:\n%.*s",
                           STR_ARG(out->text), STR_ARG(kept));
        return true;
    }
    out->text = str_printf(
        &turn->arena, "The patch fits. These edits are proposed to the user when your answer ends:\n%.*s",
        STR_ARG(kept));
    out->shown = kept;
    return true;
}

const Tool TOOL_PROPOSE_PATCH = {
    .name = "propose_patch",
    .description =
        "Checks edits before your answer ends: search/replace blocks or a unified diff, each with its "
        "path. Says exactly what does not fit. What fits needs no block in the answer.",
    .schema = "{\"type\": \"object\", \"properties\": {\"patch\": {\"type\": \"string\"}}, \"required\": "
              "[\"patch\"]}",
    .kind = TOOL_THINK,
    .run = run,
};
