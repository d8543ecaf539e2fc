#include "planner/blocks_show.h"

#include <string.h>

#include "base/utf8.h"
#include "planner/line_check.h"
#include "planner/written.h"

enum { MOST_FILES = 12, LISTING_LINES = 60, LEAST_TOKENS = 512, FILE_TOKENS = 32, OVERHEAD_TOKENS = 450 };

typedef struct Shown {
    PromptFile *files;
    size_t count;
    size_t tokens_left;
    Buf notes;
} Shown;

Str blocks_lf(Turn *turn, Str text) {
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

/* ---- files ---- */

static size_t line_begin(Str text, size_t line) {
    size_t at = 0;
    for (size_t n = 1; n < line && at < text.len; n++) {
        size_t end = str_find_char(text, '\n', at);
        at = end == STR_NONE ? text.len : end + 1;
    }
    return at;
}

/* Where a part of the text begins that is about max_bytes long: at the lines that the user pointed at, else
 * around the first line that holds a name of the request. */
static size_t part_begin(const Request *r, Str text, size_t first_line, size_t max_bytes) {
    size_t hit = 0;
    if (first_line) {
        hit = line_begin(text, first_line);
        return hit > max_bytes / 8 ? hit - max_bytes / 8 : 0;
    }
    for (size_t n = 0; n < r->name_count; n++) {
        size_t at = find_word(text, r->names[n], 0);
        if (at != STR_NONE) {
            hit = at;
            break;
        }
    }
    return hit > max_bytes / 2 ? hit - max_bytes / 2 : 0;
}

/* Cut at lines. */
static void cut_part(const Request *r, Str text, size_t first_line, size_t max_bytes, PromptFile *file) {
    size_t begin = part_begin(r, text, first_line, max_bytes);
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

static void leave_out(Turn *turn, Str path, const PromptFile *part) {
    Str sentence = part ? str_printf(&turn->arena, "%.*s is shown in part (lines %zu to %zu).", STR_ARG(path),
                                     part->first_line, part->last_line)
                        : str_printf(&turn->arena, "%.*s does not fit into the prompt.", STR_ARG(path));
    turn_left_out(turn, sentence);
    turn_thought(turn, str_concat(&turn->arena, sentence, S("\n")));
}

/* Whole when it fits into the tokens left, else the telling part, else not at all. */
static bool show_file(Turn *turn, FileWork *file, size_t first_line, Shown *shown, Err *err) {
    if (file->is_shown)
        return true;
    Str text = blocks_lf(turn, file->seen.text);
    PromptFile *entry = &shown->files[shown->count];
    *entry = (PromptFile){.path = file->path.relative, .text = text};
    entry->language = file->language == LANGUAGE_NONE ? S("") : str_of(language_name(file->language));
    size_t tokens = shown->tokens_left; /* a text of four times the bytes is not worth counting */
    if (text.len / 16 < shown->tokens_left && !chat_count(turn->chat, text, &tokens, err))
        return false;
    if (tokens + FILE_TOKENS > shown->tokens_left) {
        if (shown->tokens_left >= LEAST_TOKENS) {
            cut_part(&turn->request, text, first_line, shown->tokens_left * 2, entry);
            if (!chat_count(turn->chat, entry->text, &tokens, err))
                return false;
        }
        if (shown->tokens_left < LEAST_TOKENS || tokens + FILE_TOKENS > shown->tokens_left) {
            leave_out(turn, file->path.relative, NULL);
            return true;
        }
        leave_out(turn, file->path.relative, entry);
    }
    shown->tokens_left -= tokens + FILE_TOKENS;
    file->is_shown = true;
    shown->count++;
    return true;
}

static void tell_reading(Turn *turn, const Shown *shown) {
    if (shown->count == 0)
        return;
    ToolLocation *locations = ARENA_ARRAY(&turn->arena, ToolLocation, shown->count);
    Buf names = {0};
    for (size_t i = 0; i < shown->count; i++) {
        Str path = shown->files[i].path;
        bool is_absolute = str_starts(path, S("/")); /* in another root */
        locations[i] = (ToolLocation){
            is_absolute ? path
                        : str_printf(&turn->arena, "%.*s/%.*s", STR_ARG(ws_root(turn->ws)), STR_ARG(path)),
            shown->files[i].first_line};
        buf_printf(&names, "%s%.*s", i ? ", " : "", STR_ARG(path));
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

/* ---- what the user pointed at ---- */

static Str without_fragment(Str uri) {
    return str_slice(uri, 0, str_find_char(uri, '#', 0));
}

/* A text of somewhere else, cut to a half of what is left. */
static bool show_text(Turn *turn, const Attachment *attachment, Shown *shown, Err *err) {
    Str text = blocks_lf(turn, attachment->text), name = str_slice(attachment->uri, 0, 200);
    size_t most = shown->tokens_left * 2, tokens;
    if (text.len > most) {
        text = str_slice(text, 0, utf8_complete(str_slice(text, 0, most)));
        turn_left_out(turn, str_printf(&turn->arena, "Of %.*s only the first %zu bytes are shown.",
                                       STR_ARG(name), text.len));
    }
    if (!chat_count(turn->chat, text, &tokens, err))
        return false;
    if (tokens + FILE_TOKENS > shown->tokens_left) {
        leave_out(turn, name, NULL);
        return true;
    }
    shown->tokens_left -= tokens + FILE_TOKENS;
    prompt_attached(name, text, &shown->notes);
    return true;
}

static bool show_attachment(Turn *turn, const Attachment *attachment, Shown *shown, Err *err) {
    Path path;
    Err why = {0};
    FileWork *file = NULL;
    if (ws_path(turn->ws, without_fragment(attachment->uri), &turn->arena, &path, &why))
        file = turn_file(turn, path.absolute, &why);
    if (!file)
        return !attachment->has_text || show_text(turn, attachment, shown, err);
    size_t first = attachment->first_line, last = attachment->last_line;
    if (first)
        buf_printf(&shown->notes, "The user points at lines %zu to %zu of %.*s.\n", first,
                   last > first ? last : first, STR_ARG(path.relative));
    return show_file(turn, file, first, shown, err);
}

static bool show_ranked(Turn *turn, Shown *shown, Err *err) {
    Ranking ranking;
    if (!context_rank(turn->ws, &turn->request, &turn->listing, MOST_FILES, &turn->session->cancelled,
                      &turn->arena, &ranking, err))
        return false;
    shown->files = ARENA_ARRAY(&turn->arena, PromptFile, ranking.count + turn->attachment_count + 1);
    for (size_t i = 0; i < turn->attachment_count; i++)
        if (!show_attachment(turn, &turn->attachments[i], shown, err))
            return false;
    for (size_t i = 0; i < ranking.count; i++) {
        Err why = {0};
        FileWork *file = turn_file(turn, ranking.items[i].path, &why);
        if (turn_is_cancelled(turn))
            return err_set(err, ERR_CANCELLED, "cancelled");
        if (!file)
            turn_thought(turn, str_printf(&turn->arena, "Left out: %s\n", why.text));
        else if (!show_file(turn, file, 0, shown, err))
            return false;
    }
    tell_reading(turn, shown);
    return true;
}

/* ---- the message ---- */

static void note_git(Turn *turn, Buf *notes) {
    GitFacts git;
    Err ignored = {0};
    if (!ws_git(turn->ws, &turn->arena, &git, &ignored) || !git.has_repository)
        return;
    Str branch =
        git.branch.len ? str_printf(&turn->arena, "branch %.*s", STR_ARG(git.branch)) : S("no branch");
    buf_printf(notes, "Git: %.*s, %s uncommitted changes.\n", STR_ARG(branch), git.is_dirty ? "with" : "no");
}

static size_t token_budget(Turn *turn, size_t used) {
    size_t budget = chat_context(turn->chat) / 4 * 3;
    size_t most = turn->session->planner->config.prompt_tokens_max;
    if (most && most < budget)
        budget = most;
    size_t rest = chat_context(turn->chat) / 8; /* listing, request, marks */
    size_t overhead = used + (rest < OVERHEAD_TOKENS ? rest : OVERHEAD_TOKENS);
    return budget > overhead ? budget - overhead : 0;
}

bool blocks_show(Turn *turn, size_t used, Buf *message, Err *err) {
    Shown shown = {.tokens_left = token_budget(turn, used)};
    bool ok = written_compare(turn, &shown.notes, err) && show_ranked(turn, &shown, err);
    if (ok) {
        note_git(turn, &shown.notes);
        prompt_full_user(listing_text(turn), shown.files, shown.count, buf_text(&shown.notes),
                         turn->request.text, message);
    }
    buf_free(&shown.notes);
    return ok;
}
