/* /rewind and /compact: what the model is told again. */
#include "planner/compaction.h"
#include "planner/slash.h"

static bool run_rewind(Turn *turn, Str rest, Err *err) {
    size_t wanted;
    if (!slash_number(rest, 1, &wanted, err))
        return err_wrap(err, "/rewind");
    size_t dropped = history_rewind(turn->session, wanted);
    Buf out = {0};
    if (dropped)
        buf_printf(&out, "The model no longer knows of the last %s. ",
                   dropped == 1 ? "turn" : str_printf(&turn->arena, "%zu turns", dropped).ptr);
    else
        buf_cstr(&out, "There is no turn that the model could forget. ");
    buf_cstr(&out, "Files were not touched: `/diff` shows what was changed, `/undo` takes it back.\n");
    return slash_say(turn, &out);
}

static bool run_compact(Turn *turn, Str rest, Err *err) {
    (void)rest;
    CompactionReport report;
    if (!history_turns(turn->session)) {
        turn_text(turn, S("Nothing was said yet that could be made shorter.\n"));
        return true;
    }
    if (!compaction_run(turn, &report, err))
        return false;
    Buf out = {0};
    buf_printf(&out, "The conversation so far (%zu turn%s, %zu tokens) is now a summary of %zu tokens:\n\n",
               report.turns, report.turns == 1 ? "" : "s", report.tokens_before, report.tokens_after);
    buf_str(&out, report.summary);
    buf_char(&out, '\n');
    return slash_say(turn, &out);
}

const SlashCommand SLASH_REWIND = {{"rewind", "lets the model forget the last turns; files stay", "[N]"},
                                   run_rewind};
const SlashCommand SLASH_COMPACT = {{"compact", "has the model sum up the conversation to make room", NULL},
                                    run_compact};
