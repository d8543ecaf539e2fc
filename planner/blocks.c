/* The full style, for models that follow instructions: one prompt with several files, an answer of prose and
 * search/replace blocks. Blocks are forced to be verbatim and unique while they are written, then parsed,
 * located and checked (blocks_take.c). Of a reply that cannot be used, what failed is asked for once more
 * with the exact reason; when a file fails twice, in a form that is easier to get right: a definition by its
 * name, then the whole file if it is small. A reply may call tools (tools.c) instead; it goes on with their
 * results. */
#include <string.h>

#include "base/utf8.h"
#include "planner/blocks_show.h"
#include "planner/blocks_take.h"
#include "planner/compaction.h"
#include "planner/reply_stream.h"
#include "planner/tools.h"

enum {
    MOST_TRIES = 4,
    FORCED_TRIES = 2,
    SMALL_FILE = 150,
    MOST_CUT_REPLY = 400,
    MOST_REPLIES = 25,
    MOST_CALLS = 16,      /* of one reply */
    RESULTS_OF_REPLY = 2, /* together as long as so many of the longest */
    LEAST_RESULT = 256,
};

typedef struct Loop {
    Turn *turn;
    Str system;
    bool has_tools;
    Taken taken;
    int attempt;
    size_t replies;
} Loop;

/* ---- asking ---- */

typedef struct Reply {
    EditList edits;
    const ToolCall *calls;
    size_t call_count;
    Str text;                  /* as generated, for the history */
    bool is_malformed, is_cut; /* cut: the context was full */
    Err problem;
} Reply;

/* Replies are forced into blocks of the files that the model saw, unless they come from a script or another
 * form was asked for. Calls of tools are prose to the grammar. */
static GrammarSpec blocks_form(const Loop *loop) {
    Turn *turn = loop->turn;
    GrammarFile *files = ARENA_ARRAY(&turn->arena, GrammarFile, turn->file_count + 1);
    size_t count = 0;
    for (size_t i = 0; i < turn->file_count; i++) {
        const FileWork *file = turn->files[i];
        if (file->is_shown && !file->is_new)
            files[count++] = (GrammarFile){file->path.relative, blocks_lf(turn, file->seen.text)};
    }
    return (GrammarSpec){.form = FORM_BLOCKS,
                         .files = files,
                         .file_count = count,
                         .allow_new_files = true,
                         .edits_only = loop->attempt > 0};
}

static bool generate(Loop *loop, Reply *reply, Err *err) {
    Turn *turn = loop->turn;
    Sampling sampling = {.seed = turn->session->planner->config.seed};
    ReplyStream stream;
    bool is_free = chat_card(turn->chat)->is_scripted || loop->attempt >= FORCED_TRIES;
    GrammarSpec grammar = {0};
    if (!is_free)
        grammar = blocks_form(loop);
    reply_stream_begin(&stream, turn, is_free ? EDIT_ANY : EDIT_BLOCKS, loop->has_tools);
    Usage usage = {0};
    ChatSink sink = {.ctx = &stream, .text = reply_stream_feed};
    loop->replies++;
    bool ok = chat_generate(turn->chat, &sampling, is_free ? NULL : &grammar, sink, &usage, err);
    turn_add_usage(turn, &usage);
    *reply = (Reply){0};
    bool parsed = reply_stream_finish(&stream, &reply->edits, &reply->text, &reply->problem);
    if (!ok)
        return false;
    if (usage.escaped_blocks)
        turn_thought(turn, S("A block ends at text that repeats to the end of its file.\n"));
    reply->calls = stream.calls.calls;
    reply->call_count = stream.calls.count;
    reply->is_malformed = !parsed;
    reply->is_cut = usage.stop == STOP_LENGTH;
    turn->has_hit_length |= reply->is_cut;
    turn->reply = reply->edits.prose;
    return true;
}

/* System prompt, what was said so far, the new message. Old turns are dropped when the prompt does not fit.
 */
static bool sync_prompt(Loop *loop, Err *err) {
    Turn *turn = loop->turn;
    Session *s = turn->session;
    for (;;) {
        const History *history = &s->history;
        Message *messages = ARENA_ARRAY(&turn->arena, Message, history->count + 1);
        messages[0] = (Message){ROLE_SYSTEM, loop->system};
        for (size_t i = 0; i < history->count; i++)
            messages[i + 1] = history->items[i].message;
        Err why = {0};
        if (chat_sync(turn->chat, messages, history->count + 1, &why))
            return true;
        if (why.code != ERR_LIMIT || !history_drop_oldest(s)) {
            *err = why;
            return false;
        }
        turn_left_out(turn, S("the oldest turn no longer fits into the context"));
        turn_thought(turn, S("The oldest turn no longer fits into the context and was left out.\n"));
    }
}

/* Of a useless reply that filled the context only the beginning is kept: what comes next needs the room. */
static bool ask(Loop *loop, Reply *reply, Err *err) {
    if (turn_is_cancelled(loop->turn))
        return err_set(err, ERR_CANCELLED, "cancelled");
    if (!sync_prompt(loop, err) || !generate(loop, reply, err))
        return false;
    bool is_useless = !reply->call_count && (reply->is_malformed || reply->edits.count == 0);
    size_t kept = is_useless && reply->is_cut ? MOST_CUT_REPLY : reply->text.len;
    Str text = str_slice(reply->text, 0, kept);
    history_push(loop->turn->session, ROLE_ASSISTANT, str_slice(text, 0, utf8_complete(text)));
    return true;
}

/* ---- calls of tools ---- */

static void push_answer(Turn *turn, Buf *answer) {
    history_push(turn->session, ROLE_USER, buf_text(answer));
}

/* Edits that stand before the calls are taken first. */
static void take_early_edits(Loop *loop, const Reply *reply, Buf *answer) {
    Err problem = reply->problem;
    if (!reply->is_malformed && reply->edits.count == 0)
        return;
    bool ok = !reply->is_malformed && take_edits(loop->turn, &loop->taken, &reply->edits, &problem);
    loop->taken.has_failed = !ok;
    loop->turn->tools.patch_problem = ok ? (Err){0} : problem;
    if (ok)
        buf_cstr(answer, "The edits of your reply fit and are kept; do not send them again.\n");
    else
        buf_printf(answer, "The edits of your reply do not fit: %s\n", problem.text);
}

static bool run_calls(Loop *loop, const Reply *reply, Err *err) {
    Turn *turn = loop->turn;
    Buf answer = {0};
    take_early_edits(loop, reply, &answer);
    bool ok = true;
    size_t room = tools_result_limit(turn) * RESULTS_OF_REPLY;
    for (size_t i = 0; i < reply->call_count && ok; i++) {
        ToolCall call = reply->calls[i];
        ToolResult result = {.text = S("this call was not run: too many at once")};
        if (call.is_open && reply->is_cut)
            call.problem = S("the reply was cut at the token limit; make the call shorter");
        ok = i >= MOST_CALLS || tools_run(turn, &call, &result, err);
        if (!ok)
            break;
        Str text = tools_cut_middle(result.text, room < LEAST_RESULT ? LEAST_RESULT : room, &turn->arena);
        room -= text.len < room ? text.len : room;
        prompt_tool_result(text, &answer);
    }
    if (ok)
        push_answer(turn, &answer);
    buf_free(&answer);
    return ok;
}

/* ---- tries ---- */

static bool wants_change(const Request *r) {
    static const char *const VERBS[] = {"add",      "change",    "create", "fix",     "make", "move",
                                        "refactor", "remove",    "rename", "replace", "set",  "update",
                                        "write",    "implement", "delete", "insert",  "use"};
    if (r->intent != INTENT_OTHER)
        return true;
    for (size_t w = 0; w < r->word_count && w < 6; w++)
        for (size_t v = 0; v < sizeof VERBS / sizeof *VERBS; v++)
            if (str_eq_nocase(r->words[w].text, str_of(VERBS[v])))
                return !str_ends(r->text, S("?"));
    return false;
}

/* An answer without edits is one when nothing failed before it, and nothing was asked for or something was
 * done. */
static bool check_no_edit(const Loop *loop, Err *problem) {
    const Turn *turn = loop->turn;
    if (turn->tools.patch_problem.code) {
        *problem = turn->tools.patch_problem;
        return false;
    }
    bool is_asked = !chat_card(turn->chat)->is_scripted && wants_change(&turn->request);
    bool has_done = loop->taken.count || turn->tools.has_acted;
    if (loop->taken.has_failed || (is_asked && !has_done))
        return err_set(problem, ERR_INVALID, "it holds no edit");
    return true;
}

/* Parses, locates and builds. True when the reply can be used; problem says why not. */
static bool take_reply(Loop *loop, const Reply *reply, Err *problem) {
    loop->taken.failed = NULL;
    if (reply->is_malformed) {
        *problem = reply->problem;
        loop->taken.has_failed = true;
        return false;
    }
    if (reply->edits.count == 0 && !check_no_edit(loop, problem))
        return false;
    bool ok = take_edits(loop->turn, &loop->taken, &reply->edits, problem);
    loop->taken.has_failed = !ok;
    loop->turn->tools.patch_problem = (Err){0};
    return ok;
}

static size_t line_count(Str text) {
    size_t lines = 0;
    for (size_t i = 0; i < text.len; i++)
        lines += text.ptr[i] == '\n';
    return lines;
}

/* The form to ask for after `attempt` tries; false: there is no point in another one. */
static bool choose_form(const Taken *taken, int attempt, RetryForm *form) {
    *form = RETRY_BLOCKS;
    if (attempt < FORCED_TRIES)
        return true;
    const FileWork *file = taken->failed;
    if (!file || taken->failed_times < FORCED_TRIES || file->is_new)
        return false;
    *form = RETRY_WHOLE;
    if (taken->failed_times == FORCED_TRIES && file->language != LANGUAGE_NONE)
        *form = RETRY_SYMBOL;
    return *form == RETRY_SYMBOL || line_count(file->seen.text) <= SMALL_FILE;
}

static void ask_again(Loop *loop, const Err *problem, RetryForm form) {
    const Taken *taken = &loop->taken;
    Buf retry = {0}, kept = {0};
    taken_list(taken, &kept);
    prompt_full_retry(str_of(problem->text), buf_text(&kept), form,
                      taken->failed ? taken->failed->path.relative : S(""), &retry);
    push_answer(loop->turn, &retry);
    buf_free(&kept);
    buf_free(&retry);
}

/* ---- the loop ---- */

/* The turn ends although the model is not done: what fits of its edits is what there is to review. */
static void keep_what_fits(Loop *loop) {
    Err problem;
    EditList none = {.prose = loop->turn->reply};
    if (loop->taken.count)
        take_edits(loop->turn, &loop->taken, &none, &problem);
}

static bool check_replies(Loop *loop) {
    Turn *turn = loop->turn;
    size_t most = turn->session->planner->config.most_requests;
    most = most ? most : MOST_REPLIES;
    if (loop->replies < most)
        return true;
    turn->has_hit_requests = true;
    turn_note(turn, str_printf(&turn->arena,
                               "The turn ended after %zu replies of the model, the most allowed "
                               "(--max-requests); ask to go on.",
                               most));
    keep_what_fits(loop);
    return false;
}

static bool run_loop(Loop *loop, Err *err) {
    Turn *turn = loop->turn;
    for (;;) {
        Reply reply;
        Err problem = {0};
        RetryForm form;
        if (!check_replies(loop))
            return true;
        if (!ask(loop, &reply, err))
            return false;
        if (reply.call_count) {
            if (!run_calls(loop, &reply, err))
                return false;
            if (!turn->tools.is_looping)
                continue;
            turn_problem(turn, S("The model repeats the same call without getting on, so the turn was ended; "
                                 "say more precisely what to do."));
            return true;
        }
        if (take_reply(loop, &reply, &problem))
            return true;
        turn_thought(turn, str_printf(&turn->arena, "The reply could not be used: %s\n", problem.text));
        loop->attempt++;
        if (loop->attempt == MOST_TRIES || !choose_form(&loop->taken, loop->attempt, &form)) {
            turn_problem(turn, str_of(problem.text));
            return true;
        }
        ask_again(loop, &problem, form);
    }
}

/* Which tools there are stands in the system prompt, so that it stays the same for a session. */
static bool prepare(Loop *loop, Err *err) {
    Turn *turn = loop->turn;
    Buf system = {0}, user = {0};
    buf_str(&system, prompt_full_system());
    size_t plain = system.len, tokens = 0;
    bool ok = tools_describe(turn, &system, err);
    loop->has_tools = system.len > plain;
    loop->system = buf_copy(&system, &turn->arena);
    buf_free(&system);
    ok = ok && history_make_room(turn, err) && chat_count(turn->chat, loop->system, &tokens, err) &&
         blocks_show(turn, tokens, &user, err);
    if (ok)
        push_answer(turn, &user);
    buf_free(&user);
    return ok;
}

bool blocks_run(Turn *turn, Err *err) {
    turn->must_be_whole = true;
    Loop loop = {.turn = turn};
    turn->tools.taken = &loop.taken;
    bool ok = prepare(&loop, err) && run_loop(&loop, err);
    turn->tools.taken = NULL;
    return ok;
}
