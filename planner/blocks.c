/* The full style, for models that follow instructions: one prompt with several files, an answer of prose and
 * search/replace blocks. Blocks are forced to be verbatim and unique while they are written, then parsed,
 * located and checked (blocks_take.c). Of a reply that cannot be used, what failed is asked for once more
 * with the exact reason; when a file fails twice, in a form that is easier to get right: a definition by its
 * name, then the whole file if it is small. */
#include <string.h>

#include "base/utf8.h"
#include "planner/blocks_take.h"
#include "planner/line_check.h"
#include "planner/planner_internal.h"
#include "planner/reply_stream.h"

enum {
    MOST_FILES = 12,
    LISTING_LINES = 60,
    MOST_TRIES = 4,
    FORCED_TRIES = 2,
    SMALL_FILE = 150,
    MOST_CUT_REPLY = 400
};

typedef struct Shown {
    PromptFile *files;
    GrammarFile *grammar;
    size_t count;
} Shown;

/* ---- what the model gets to see ---- */

static Str lf_text(Turn *turn, Str text) {
    if (str_find_char(text, '\r', 0) == STR_NONE)
        return text;
    Buf out = {0};
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] != '\r' || i + 1 == text.len || text.ptr[i + 1] != '\n')
            buf_char(&out, text.ptr[i]);
    Str s = buf_copy(&out, &turn->arena);
    buf_free(&out);
    return s;
}

static Str listing_text(Turn *turn) {
    Buf out = {0};
    for (size_t i = 0; i < turn->listing.count && i < LISTING_LINES; i++)
        buf_printf(&out, "%.*s\n", STR_ARG(turn->listing.paths[i]));
    if (turn->listing.count > LISTING_LINES)
        buf_printf(&out, "... and %zu more\n", turn->listing.count - LISTING_LINES);
    Str s = buf_copy(&out, &turn->arena);
    buf_free(&out);
    return s;
}

/* The part of a long text around the first line that holds a name of the request, cut at lines, about
 * max_bytes long. */
static void cut_part(const Request *r, Str text, size_t max_bytes, PromptFile *file) {
    size_t hit = 0;
    for (size_t n = 0; n < r->name_count; n++) {
        size_t at = find_word(text, r->names[n], 0);
        if (at != STR_NONE) {
            hit = at;
            break;
        }
    }
    size_t begin = hit > max_bytes / 2 ? hit - max_bytes / 2 : 0;
    while (begin > 0 && text.ptr[begin - 1] != '\n')
        begin--;
    size_t end = begin + max_bytes < text.len ? begin + max_bytes : text.len;
    while (end < text.len && end > begin && text.ptr[end - 1] != '\n')
        end--;
    file->text = str_slice(text, begin, end);
    file->first_line = 1;
    for (size_t i = 0; i < begin; i++)
        file->first_line += text.ptr[i] == '\n';
    file->last_line = file->first_line;
    for (size_t i = begin; i + 1 < end; i++)
        file->last_line += text.ptr[i] == '\n';
}

/* Whole when it fits into the tokens left, else the telling part, else not at all. */
static bool show_file(Turn *turn, FileWork *file, size_t *tokens_left, Shown *shown, Err *err) {
    Str text = lf_text(turn, file->seen.text);
    PromptFile *entry = &shown->files[shown->count];
    *entry = (PromptFile){.path = file->path.relative, .text = text};
    entry->language = file->language == LANGUAGE_NONE ? S("") : str_of(language_name(file->language));
    size_t tokens;
    if (!chat_count(turn->chat, text, &tokens, err))
        return false;
    if (tokens + 32 > *tokens_left) {
        if (*tokens_left < 512)
            return true;
        cut_part(&turn->request, text, *tokens_left * 2, entry);
        if (!chat_count(turn->chat, entry->text, &tokens, err))
            return false;
        if (tokens + 32 > *tokens_left)
            return true;
        turn_thought(turn, str_printf(&turn->arena, "%.*s is shown in part (lines %zu to %zu).\n",
                                      STR_ARG(file->path.relative), entry->first_line, entry->last_line));
    }
    *tokens_left -= tokens + 32;
    shown->grammar[shown->count] = (GrammarFile){file->path.relative, text};
    shown->count++;
    return true;
}

static void tell_reading(Turn *turn, const Shown *shown) {
    if (shown->count == 0)
        return;
    ToolLocation *locations = ARENA_ARRAY(&turn->arena, ToolLocation, shown->count);
    Buf names = {0};
    for (size_t i = 0; i < shown->count; i++) {
        locations[i] = (ToolLocation){
            str_printf(&turn->arena, "%.*s/%.*s", STR_ARG(ws_root(turn->ws)), STR_ARG(shown->files[i].path)),
            shown->files[i].first_line};
        buf_printf(&names, "%s%.*s", i ? ", " : "", STR_ARG(shown->files[i].path));
    }
    ToolEvent event = {.id = turn_tool_id(turn),
                       .is_first = true,
                       .kind = TOOL_READ,
                       .status = TOOL_COMPLETED,
                       .locations = locations,
                       .location_count = shown->count};
    event.title = str_printf(&turn->arena, "Read %zu file%s", shown->count, shown->count == 1 ? "" : "s");
    event.text = buf_copy(&names, &turn->arena);
    buf_free(&names);
    turn_tool(turn, &event);
}

static size_t token_budget(Turn *turn) {
    size_t budget = chat_context(turn->chat) / 4 * 3;
    size_t most = turn->session->planner->config.prompt_tokens_max;
    if (most && most < budget)
        budget = most;
    size_t overhead = 700; /* system prompt, listing, request, marks */
    return budget > overhead ? budget - overhead : 0;
}

static bool choose_files(Turn *turn, Shown *shown, Err *err) {
    Ranking ranking;
    if (!context_rank(turn->ws, &turn->request, &turn->listing, MOST_FILES, &turn->session->cancelled,
                      &turn->arena, &ranking, err))
        return false;
    size_t left = token_budget(turn);
    size_t most = ranking.count + turn->attachment_count;
    shown->files = ARENA_ARRAY(&turn->arena, PromptFile, most + 1);
    shown->grammar = ARENA_ARRAY(&turn->arena, GrammarFile, most + 1);
    for (size_t i = 0; i < ranking.count; i++) {
        Err why = {0};
        FileWork *file = turn_file(turn, ranking.items[i].path, &why);
        if (!file) {
            turn_thought(turn, str_printf(&turn->arena, "Left out: %s\n", why.text));
            continue;
        }
        if (!show_file(turn, file, &left, shown, err))
            return false;
    }
    tell_reading(turn, shown);
    return true;
}

/* ---- asking ---- */

typedef struct Reply {
    EditList edits;
    Str text;                  /* as generated, for the history */
    bool is_malformed, is_cut; /* cut: the context was full */
    Err problem;
} Reply;

/* Replies are forced into blocks, unless they come from a script or another form was asked for. */
static bool generate(Turn *turn, const Shown *shown, int attempt, Reply *reply, Err *err) {
    GrammarSpec grammar = {.form = FORM_BLOCKS,
                           .files = shown->grammar,
                           .file_count = shown->count,
                           .allow_new_files = true,
                           .edits_only = attempt > 0};
    Sampling sampling = {.seed = turn->session->planner->config.seed};
    ReplyStream stream;
    bool is_free = chat_card(turn->chat)->is_scripted || attempt >= FORCED_TRIES;
    reply_stream_begin(&stream, turn, is_free ? EDIT_ANY : EDIT_BLOCKS);
    Usage usage = {0};
    const GrammarSpec *form = is_free ? NULL : &grammar;
    ChatSink sink = {.ctx = &stream, .text = reply_stream_feed};
    bool ok = chat_generate(turn->chat, &sampling, form, sink, &usage, err);
    turn_add_usage(turn, &usage);
    *reply = (Reply){0};
    bool parsed = reply_stream_finish(&stream, &reply->edits, &reply->text, &reply->problem);
    if (!ok)
        return false;
    if (usage.escaped_blocks)
        turn_thought(turn, S("A block ends at text that repeats to the end of its file.\n"));
    reply->is_malformed = !parsed;
    reply->is_cut = usage.stop == STOP_LENGTH;
    turn->has_hit_length |= reply->is_cut;
    return true;
}

static void push_history(Turn *turn, Role role, Str text) {
    history_push(turn->session, role, text);
}

/* System prompt, what was said so far, the new message. Old turns are dropped when the prompt does not fit.
 */
static bool sync_prompt(Turn *turn, Err *err) {
    Session *s = turn->session;
    for (;;) {
        const History *history = &s->history;
        Message *messages = ARENA_ARRAY(&turn->arena, Message, history->count + 1);
        messages[0] = (Message){ROLE_SYSTEM, prompt_full_system()};
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

/* One try: generate, parse, locate, build. True when the reply can be used; problem says why not. Of a
 * useless reply that filled the context only the beginning is kept: the next try needs the room. */
static bool try_reply(Turn *turn, const Shown *shown, int attempt, Taken *taken, bool *failed, Err *problem,
                      Err *err) {
    Reply reply;
    *failed = !sync_prompt(turn, err) || !generate(turn, shown, attempt, &reply, err);
    if (*failed)
        return false;
    bool is_useless = reply.is_malformed || reply.edits.count == 0;
    size_t kept = is_useless && reply.is_cut ? MOST_CUT_REPLY : reply.text.len;
    push_history(turn, ROLE_ASSISTANT,
                 str_slice(reply.text, 0, utf8_complete(str_slice(reply.text, 0, kept))));
    turn->reply = reply.edits.prose;
    taken->failed = NULL;
    if (reply.is_malformed) {
        *problem = reply.problem;
        return false;
    }
    bool is_asked = !chat_card(turn->chat)->is_scripted && wants_change(&turn->request);
    if (reply.edits.count == 0 && (is_asked || taken->replies))
        return err_set(problem, ERR_INVALID, "it holds no edit");
    return take_edits(turn, taken, &reply.edits, problem);
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

static void ask_again(Turn *turn, const Taken *taken, const Err *problem, RetryForm form) {
    Buf retry = {0}, kept = {0};
    taken_list(taken, &kept);
    prompt_full_retry(str_of(problem->text), buf_text(&kept), form,
                      taken->failed ? taken->failed->path.relative : S(""), &retry);
    push_history(turn, ROLE_USER, buf_text(&retry));
    buf_free(&kept);
    buf_free(&retry);
}

bool blocks_run(Turn *turn, Err *err) {
    turn->must_be_whole = true;
    Shown shown = {0};
    if (!choose_files(turn, &shown, err))
        return false;
    Buf user = {0};
    prompt_full_user(listing_text(turn), shown.files, shown.count, turn->request.text, &user);
    push_history(turn, ROLE_USER, buf_text(&user));
    buf_free(&user);
    Taken taken = {0};
    Err problem = {0};
    for (int attempt = 0; attempt < MOST_TRIES; attempt++) {
        if (turn_is_cancelled(turn))
            return err_set(err, ERR_CANCELLED, "cancelled");
        bool failed;
        RetryForm form;
        if (try_reply(turn, &shown, attempt, &taken, &failed, &problem, err))
            return true;
        if (failed)
            return false;
        turn_thought(turn, str_printf(&turn->arena, "The reply could not be used: %s\n", problem.text));
        if (attempt + 1 == MOST_TRIES || !choose_form(&taken, attempt + 1, &form))
            break;
        ask_again(turn, &taken, &problem, form);
    }
    turn_problem(turn, str_of(problem.text));
    return true;
}
