/* /model and /status: what the session works with. */
#include "planner/slash.h"

static const char *const MODES[] = {"ask", "auto", "plan"};
static const char *const GRAINS[] = {"turn", "file", "hunk"};

static void list_models(Turn *turn, Str current, Buf *out) {
    const ModelCard *cards;
    size_t count = engine_models(turn->session->planner->engine, &cards);
    buf_printf(out, "This session uses `%.*s`. Models:\n\n", STR_ARG(current));
    for (size_t i = 0; i < count; i++) {
        const ModelCard *card = &cards[i];
        buf_printf(out, "- `%.*s`%s\n", STR_ARG(card->name),
                   card->is_embedded   ? " (built in)"
                   : card->is_scripted ? " (scripted)"
                                       : "");
    }
    buf_cstr(out, "\n`/model NAME` switches from the next request on.\n");
}

static Str current_model(Turn *turn) {
    Str model = session_options(turn->session).model;
    Err err = {0};
    if (model.len)
        return str_copy(&turn->arena, model);
    const ModelCard *card = engine_card(turn->session->planner->engine, model, &err);
    return card ? card->name : S("none");
}

static bool run_model(Turn *turn, Str rest, Err *err) {
    Session *s = turn->session;
    Buf out = {0};
    if (rest.len) {
        const ModelCard *card = engine_card(s->planner->engine, rest, err);
        if (!card)
            return err_wrap(err, "/model");
        session_set_model(s, rest);
        buf_printf(&out, "From the next request on the model is `%.*s`.\n", STR_ARG(rest));
    } else {
        list_models(turn, current_model(turn), &out);
    }
    return slash_say(turn, &out);
}

static void say_context(const Session *s, Buf *out) {
    const TurnUsage *usage = &s->last_usage;
    if (!usage->context_size) {
        buf_cstr(out, "- Context: nothing was asked of the model yet\n");
        return;
    }
    buf_printf(out, "- Context: %zu of %zu tokens", usage->context_used, usage->context_size);
    if (usage->budget)
        buf_printf(out, ", %zu at most for a prompt", usage->budget);
    buf_printf(out, "; of the last request's %zu prompt tokens %zu were known already\n",
               usage->prompt_tokens, usage->cached_tokens);
}

static bool say_changes(Turn *turn, Buf *out, Err *err) {
    BackupList backups;
    if (!ws_backups(turn->ws, &turn->arena, &backups, err))
        return false;
    size_t open = 0;
    for (size_t i = 0; i < backups.count; i++)
        open += !backups.items[i].is_undone && !backups.items[i].is_undo;
    buf_printf(out,
               "- Changes: this session wrote %zu file%s; %zu change%s in this folder can be taken back\n",
               turn->session->written_count, turn->session->written_count == 1 ? "" : "s", open,
               open == 1 ? "" : "s");
    return true;
}

static bool run_status(Turn *turn, Str rest, Err *err) {
    (void)rest;
    Session *s = turn->session;
    SessionOptions options = session_options(s);
    GitFacts git = {0};
    if (!slash_open(turn, true, err) || !ws_git(turn->ws, &turn->arena, &git, err))
        return false;
    Buf out = {0};
    buf_printf(&out, "- Session: `%.*s`\n- Folder: `%.*s`", STR_ARG(s->id), STR_ARG(s->cwd));
    if (git.has_repository)
        buf_printf(&out, ", branch %.*s%s", STR_ARG(git.branch.len ? git.branch : S("none")),
                   git.is_dirty ? ", with uncommitted changes" : "");
    buf_printf(&out, "\n- Model: `%.*s`, thinking %s where it has the choice\n", STR_ARG(current_model(turn)),
               options.is_terse ? "off" : "on");
    buf_printf(&out, "- Mode: %s, a question for each %s\n", MODES[options.review], GRAINS[options.grain]);
    buf_printf(&out, "- Conversation: %zu turn%s\n", history_turns(s), history_turns(s) == 1 ? "" : "s");
    say_context(s, &out);
    if (!say_changes(turn, &out, err)) {
        buf_free(&out);
        return false;
    }
    return slash_say(turn, &out);
}

const SlashCommand SLASH_MODEL = {{"model", "lists the models, or switches to one", "[NAME]"}, run_model};
const SlashCommand SLASH_STATUS = {{"status", "says what this session works with and how full it is", NULL},
                                   run_status};
