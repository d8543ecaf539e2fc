#include "planner/compaction.h"

#include "base/buf.h"
#include "planner/tools.h"

/* Of a prompt's budget, in percent. */
enum { ROOM_TAKEN = 60, LEAST_SUMMARY = 128, MOST_SUMMARY = 2048, REQUEST_TOKENS = 400 };

static size_t prompt_budget(const Turn *turn) {
    size_t budget = chat_context(turn->chat) / 4 * 3, most = turn->session->planner->config.prompt_tokens_max;
    return most && most < budget ? most : budget;
}

/* Messages of the turns before the running one. */
static size_t earlier_count(const Session *s) {
    size_t count = s->history.count;
    while (count > 0 && s->history.items[count - 1].turn == s->turn)
        count--;
    return count;
}

static bool count_tokens(Turn *turn, size_t first, size_t end, size_t *out, Err *err) {
    *out = 0;
    for (size_t i = first; i < end; i++) {
        size_t tokens;
        if (!chat_count(turn->chat, turn->session->history.items[i].message.text, &tokens, err))
            return false;
        *out += tokens + 8; /* its marks */
    }
    return true;
}

/* The first message from which on everything fits into so many tokens; turns stay whole. */
static bool first_that_fits(Turn *turn, size_t count, size_t room, size_t *first, Err *err) {
    const StoredMessage *items = turn->session->history.items;
    size_t total = 0, tokens;
    for (*first = count; *first > 0;) {
        size_t begin = *first;
        while (begin > 0 && items[begin - 1].turn == items[*first - 1].turn)
            begin--;
        if (turn_is_cancelled(turn))
            return err_set(err, ERR_CANCELLED, "cancelled");
        if (!count_tokens(turn, begin, *first, &tokens, err))
            return false;
        total += tokens;
        if (total > room)
            break;
        *first = begin;
    }
    return *first < count || err_set(err, ERR_LIMIT,
                                     "the last turn alone is too long for the model to read it again; "
                                     "/rewind 1 lets it go");
}

typedef struct Summary {
    Turn *turn;
    Buf text;
} Summary;

static bool take_piece(void *ctx, Str piece) {
    Summary *summary = ctx;
    buf_str(&summary->text, piece);
    return !turn_is_cancelled(summary->turn);
}

/* The same as a turn's, so that the model need not read again what it has read. */
static bool system_prompt(Turn *turn, Str *out, Err *err) {
    Buf text = {0};
    buf_str(&text, prompt_full_system());
    bool ok = tools_describe(turn, &text, err);
    *out = buf_copy(&text, &turn->arena);
    buf_free(&text);
    return ok;
}

static size_t summary_tokens(size_t context) {
    size_t most = context / 8;
    return most < LEAST_SUMMARY ? LEAST_SUMMARY : most > MOST_SUMMARY ? MOST_SUMMARY : most;
}

static bool ask_summary(Turn *turn, size_t count, Buf *out, Err *err) {
    const StoredMessage *items = turn->session->history.items;
    size_t first, n = 0, context = chat_context(turn->chat), most = summary_tokens(context), taken;
    Str system;
    if (!system_prompt(turn, &system, err) || !chat_count(turn->chat, system, &taken, err))
        return false;
    taken += most + REQUEST_TOKENS;
    if (!first_that_fits(turn, count, context > taken ? context - taken : 0, &first, err))
        return false;
    Message *messages = ARENA_ARRAY(&turn->arena, Message, count - first + 2);
    messages[n++] = (Message){ROLE_SYSTEM, system};
    for (size_t i = first; i < count; i++)
        messages[n++] = items[i].message;
    messages[n++] = (Message){ROLE_USER, prompt_compaction()};
    Sampling sampling = {.max_tokens = most};
    Summary summary = {.turn = turn};
    Usage usage = {0};
    chat_set_thinking(turn->chat, false);
    bool ok = chat_sync(turn->chat, messages, n, err) &&
              chat_generate(turn->chat, &sampling, NULL, (ChatSink){.ctx = &summary, .text = take_piece},
                            &usage, err);
    chat_set_thinking(turn->chat, !session_options(turn->session).is_terse);
    if (usage.prompt_tokens)
        turn_add_usage(turn, &usage);
    if (ok && turn_is_cancelled(turn))
        ok = err_set(err, ERR_CANCELLED, "cancelled");
    *out = summary.text;
    return ok;
}

/* Without the reasoning that some models write first; empty when they got no further. */
static Str without_thoughts(Str text) {
    text = str_trim(text);
    size_t end = str_find(text, S("</think>"), 0);
    if (end == STR_NONE)
        return str_starts(text, S("<think>")) ? S("") : text;
    return str_trim(str_from(text, end + 8));
}

static void tell(Turn *turn, Str id, CompactionStatus status, Str summary, Str error) {
    Compaction event = {.id = id, .status = status, .summary = summary, .error = error};
    turn_emit(turn, &(TurnEvent){.kind = TURN_COMPACTION, .compaction = &event});
}

static bool compact(Turn *turn, CompactionReport *out, Err *err) {
    Session *s = turn->session;
    size_t count = earlier_count(s);
    Buf text = {0};
    *out = (CompactionReport){.turns = history_turns(s) - (count < s->history.count)};
    bool ok = count_tokens(turn, 0, count, &out->tokens_before, err) && ask_summary(turn, count, &text, err);
    out->summary = str_copy(&turn->arena, without_thoughts(buf_text(&text)));
    buf_free(&text);
    if (ok && !out->summary.len)
        ok = err_set(err, ERR_IO, "the model gave no summary");
    if (!ok)
        return false;
    history_replace(s, out->summary);
    return count_tokens(turn, 0, earlier_count(s), &out->tokens_after, err);
}

bool compaction_run(Turn *turn, CompactionReport *out, Err *err) {
    if (!turn->chat && !turn_open_chat(turn, err))
        return false;
    if (chat_card(turn->chat)->style == PROMPT_LABELS)
        return err_set(err, ERR_UNSUPPORTED,
                       "this model reads each request by itself; there is no conversation to make shorter");
    Str id = str_printf(&turn->arena, "compaction-%llu", (unsigned long long)turn->session->turn);
    tell(turn, id, COMPACTION_RUNNING, S(""), S(""));
    bool ok = compact(turn, out, err);
    if (ok)
        tell(turn, id, COMPACTION_COMPLETED, out->summary, S(""));
    else if (turn_is_cancelled(turn))
        tell(turn, id, COMPACTION_CANCELLED, S(""), S(""));
    else
        tell(turn, id, COMPACTION_FAILED, S(""), str_of(err->text));
    return ok;
}

bool history_make_room(Turn *turn, Err *err) {
    size_t count = earlier_count(turn->session), tokens;
    CompactionReport report;
    Err why = {0};
    if (!count || chat_card(turn->chat)->style == PROMPT_LABELS)
        return true;
    if (!count_tokens(turn, 0, count, &tokens, &why) || tokens * 100 <= prompt_budget(turn) * ROOM_TAKEN ||
        compaction_run(turn, &report, &why))
        return true;
    if (turn_is_cancelled(turn))
        return err_set(err, ERR_CANCELLED, "cancelled");
    turn_thought(turn, str_printf(&turn->arena, "The conversation could not be summed up: %s\n", why.text));
    return true;
}
