/* The script driver: replies from a text file (docs/script-model.md), and "echo", which makes up a harmless
 * edit. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/os.h"
#include "base/utf8.h"
#include "engine/driver.h"
#include "engine/drivers/echo_internal.h"

#define MAX_SCRIPT_BYTES ((size_t)16 << 20)
#define DEFAULT_PIECE 16
#define BYTES_PER_TOKEN 4
/* A cancel is noticed within this time, also inside long delays. */
#define DELAY_SLICE_MS 5
#define MAX_DELAY_MS 600000

typedef struct Reply {
    Str text, when;
    size_t delay_ms, piece;
    bool repeats, is_used;
} Reply;

typedef struct ScriptModel {
    Arena arena;
    bool is_echo;
    size_t context;
    Reply *replies;
    size_t count, capacity;
    pthread_mutex_t lock; /* is_used */
} ScriptModel;

typedef struct ScriptChat {
    ScriptModel *model;
    const atomic_bool *cancel;
    Buf request;  /* last user message */
    Buf timeline; /* the prompt and what was answered */
} ScriptChat;

/* ---- reading a script ---- */

/* Cuts "name: digits" off the front of *line; false when it does not start so. */
static bool take_number(Str *line, Str name, size_t *out) {
    if (!str_starts(*line, name))
        return false;
    Str rest = str_trim(str_from(*line, name.len));
    size_t at = 0, value = 0;
    while (at < rest.len && at < 7 && rest.ptr[at] >= '0' && rest.ptr[at] <= '9')
        value = value * 10 + (size_t)(rest.ptr[at++] - '0');
    if (at == 0)
        return false;
    *out = value;
    *line = str_trim(str_from(rest, at));
    return true;
}

static bool read_options(Str line, Reply *reply) {
    bool has_more = true;
    while (has_more) {
        has_more = take_number(&line, S("delay:"), &reply->delay_ms) ||
                   take_number(&line, S("piece:"), &reply->piece);
        if (str_starts(line, S("repeat"))) {
            reply->repeats = has_more = true;
            line = str_trim(str_from(line, 6));
        }
    }
    if (str_starts(line, S("when:"))) {
        reply->when = str_trim(str_from(line, 5));
        line = S("");
    }
    return line.len == 0 && reply->piece > 0 && reply->delay_ms <= MAX_DELAY_MS;
}

static bool is_section(Str line) {
    Str mark = S("--- reply");
    return str_starts(line, mark) && (line.len == mark.len || line.ptr[mark.len] == ' ');
}

static void end_section(ScriptModel *model, Reply *reply, Buf *body) {
    if (body->len && body->ptr[body->len - 1] == '\n')
        body->len--;
    reply->text = buf_copy(body, &model->arena);
    buf_clear(body);
    LIST_PUSH(&model->arena, model->replies, model->count, model->capacity, *reply);
}

static bool parse_script(ScriptModel *model, Str text, const char *path, Err *err) {
    Reply defaults = {.piece = DEFAULT_PIECE}, reply = {0};
    Buf body = {0};
    Str line;
    bool inside = false, ok = true;
    for (int number = 1; ok && str_next_line(&text, &line); number++) {
        if (is_section(line)) {
            if (inside)
                end_section(model, &reply, &body);
            inside = true;
            reply = defaults;
            ok = read_options(str_trim(str_from(line, 9)), &reply);
        } else if (inside) {
            buf_str(&body, str_starts(line, S("\\--- reply")) ? str_from(line, 1) : line);
            buf_char(&body, '\n');
        } else if (str_trim(line).len && line.ptr[0] != '#') {
            ok = read_options(str_trim(line), &defaults);
        }
        if (!ok)
            err_set(err, ERR_INVALID,
                    "%s:%d: \"%.*s\" is no setting or option of a script (docs/script-model.md)", path,
                    number, (int)(line.len < 80 ? line.len : 80), line.ptr);
    }
    if (inside && ok)
        end_section(model, &reply, &body);
    buf_free(&body);
    return ok;
}

/* ---- models ---- */

static void script_model_close(void *opaque) {
    ScriptModel *model = opaque;
    if (!model)
        return;
    pthread_mutex_destroy(&model->lock);
    arena_free(&model->arena);
    free(model);
}

static bool read_script(ScriptModel *model, Str path, Err *err) {
    const char *name = str_cstr(&model->arena, path);
    Str text;
    if (!os_read_file(name, MAX_SCRIPT_BYTES, &model->arena, &text, err))
        return false;
    if (!utf8_valid(text))
        return err_set(err, ERR_INVALID, "%s is not UTF-8 text", name);
    return parse_script(model, text, name, err);
}

static void *script_model_open(const ModelCard *card, const ModelOptions *options, Backend *backend,
                               Err *err) {
    (void)backend;
    ScriptModel *model = calloc(1, sizeof *model);
    if (!model) {
        err_set(err, ERR_NO_MEMORY, "out of memory while loading a script");
        return NULL;
    }
    pthread_mutex_init(&model->lock, NULL);
    model->is_echo = card->path.len == 0;
    size_t asked = options->context;
    model->context = asked && asked < card->context ? asked : card->context;
    if (model->is_echo || read_script(model, card->path, err))
        return model;
    script_model_close(model);
    return NULL;
}

/* ---- chats ---- */

static void *script_chat_open(void *model, const ChatHost *host, Err *err) {
    ScriptChat *chat = calloc(1, sizeof *chat);
    if (!chat) {
        err_set(err, ERR_NO_MEMORY, "out of memory for a chat");
        return NULL;
    }
    *chat = (ScriptChat){.model = model, .cancel = host->cancel};
    return chat;
}

static void script_chat_close(void *opaque) {
    ScriptChat *chat = opaque;
    if (chat) {
        buf_free(&chat->request);
        buf_free(&chat->timeline);
    }
    free(chat);
}

static size_t script_context(const void *opaque) {
    return ((const ScriptChat *)opaque)->model->context;
}

static const Tokenizer *script_tokenizer(const void *opaque) {
    (void)opaque;
    return NULL;
}

static size_t tokens_of_bytes(size_t bytes) {
    return (bytes + BYTES_PER_TOKEN - 1) / BYTES_PER_TOKEN;
}

static bool script_count(const void *opaque, Str text, size_t *tokens, Err *err) {
    (void)opaque;
    (void)err;
    *tokens = tokens_of_bytes(text.len);
    return true;
}

static void put_words(Str text, char *out, size_t room) {
    Str cut = str_slice(text, 0, room - 1);
    size_t whole = utf8_complete(cut);
    if (whole)
        memcpy(out, cut.ptr, whole);
    out[whole] = 0;
}

/* Four bytes count as one token, so the timeline goes on from the last whole four that both share. */
static void compare_timelines(const ScriptChat *chat, Str wanted, SyncReport *report) {
    Str had = buf_text(&chat->timeline);
    size_t shared = 0;
    while (shared < wanted.len && shared < had.len && had.ptr[shared] == wanted.ptr[shared])
        shared++;
    *report =
        (SyncReport){.prompt_tokens = tokens_of_bytes(wanted.len), .cached_tokens = shared / BYTES_PER_TOKEN};
    Difference *difference = &report->difference;
    difference->exists = shared < wanted.len && shared < had.len;
    difference->at = shared / BYTES_PER_TOKEN;
    while (difference->exists && shared > 0 && ((uint8_t)wanted.ptr[shared] & 0xC0) == 0x80)
        shared--;
    if (difference->exists) {
        put_words(str_from(had, shared), difference->had, sizeof difference->had);
        put_words(str_from(wanted, shared), difference->has, sizeof difference->has);
    }
}

static bool script_sync(void *opaque, const PromptInput *prompt, SyncReport *report, Err *err) {
    ScriptChat *chat = opaque;
    if (prompt->kind == PROMPT_OF_TOKENS)
        return err_set(err, ERR_UNSUPPORTED, "a scripted model has no tokens");
    Str request = prompt->text;
    size_t bytes = prompt->text.len;
    for (size_t i = 0; prompt->kind == PROMPT_OF_MESSAGES && i < prompt->count; i++) {
        bytes += prompt->messages[i].text.len;
        if (prompt->messages[i].role == ROLE_USER)
            request = prompt->messages[i].text;
    }
    if (tokens_of_bytes(bytes) >= chat->model->context)
        return err_set(err, ERR_LIMIT,
                       "the prompt takes %zu tokens, but only %zu fit with room for an answer",
                       tokens_of_bytes(bytes), chat->model->context - 1);
    buf_clear(&chat->request);
    buf_str(&chat->request, request);
    Buf wanted = {0};
    if (prompt->kind == PROMPT_OF_TEXT)
        buf_str(&wanted, prompt->text);
    for (size_t i = 0; prompt->kind == PROMPT_OF_MESSAGES && i < prompt->count; i++)
        buf_str(&wanted, prompt->messages[i].text);
    compare_timelines(chat, buf_text(&wanted), report);
    buf_free(&chat->timeline);
    chat->timeline = wanted;
    return !(chat->request.failed || wanted.failed) ||
           err_set(err, ERR_NO_MEMORY, "out of memory for a prompt");
}

static size_t script_length(const void *opaque) {
    return tokens_of_bytes(((const ScriptChat *)opaque)->timeline.len);
}

static void script_rewind(void *opaque, size_t keep) {
    ScriptChat *chat = opaque;
    if (keep < script_length(chat))
        chat->timeline.len = keep * BYTES_PER_TOKEN;
}

static const float *script_logits(void *opaque, size_t *vocabulary) {
    (void)opaque;
    *vocabulary = 0;
    return NULL;
}

static void script_report(void *opaque, LoadReport *out) {
    (void)opaque;
    (void)out;
}

/* ---- replies ---- */

static bool take_reply(ScriptModel *model, Str request, Reply *out, Err *err) {
    Reply *found = NULL;
    pthread_mutex_lock(&model->lock);
    for (int wants_when = 1; wants_when >= 0 && !found; wants_when--)
        for (size_t i = 0; i < model->count && !found; i++) {
            Reply *reply = &model->replies[i];
            bool fits =
                wants_when ? reply->when.len && str_contains(request, reply->when) : reply->when.len == 0;
            if (!reply->is_used && fits)
                found = reply;
        }
    if (found) {
        found->is_used = !found->repeats;
        *out = *found;
    }
    pthread_mutex_unlock(&model->lock);
    return found || err_set(err, ERR_NOT_FOUND, "the scripted model has no reply left for this request");
}

static bool wait_unless_cancelled(const ScriptChat *chat, size_t ms) {
    double end = os_monotonic_ms() + (double)ms;
    for (;;) {
        if (atomic_load(chat->cancel))
            return false;
        double left = end - os_monotonic_ms();
        if (left <= 0)
            return true;
        double slice = left < DELAY_SLICE_MS ? left : DELAY_SLICE_MS;
        struct timespec t = {0, (long)(slice * 1e6)};
        nanosleep(&t, NULL);
    }
}

/* The next piece: at most `most` bytes, whole UTF-8 sequences, at least one of them. */
static Str next_piece(Str text, size_t most) {
    size_t end = most < text.len ? most : text.len;
    while (end < text.len && end > 0 && ((uint8_t)text.ptr[end] & 0xC0) == 0x80)
        end--;
    if (end == 0)
        utf8_next(text, &end);
    return str_slice(text, 0, end);
}

static bool stream(ScriptChat *chat, const Reply *reply, size_t most_tokens, ChatSink sink, Usage *usage,
                   Err *err) {
    Str rest = reply->text;
    size_t most_bytes =
        most_tokens && most_tokens < SIZE_MAX / BYTES_PER_TOKEN ? most_tokens * BYTES_PER_TOKEN : SIZE_MAX;
    size_t sent = 0;
    usage->stop = STOP_END;
    while (rest.len) {
        if (!wait_unless_cancelled(chat, reply->delay_ms)) {
            usage->stop = STOP_CANCELLED;
            return err_set(err, ERR_CANCELLED, "stopped");
        }
        Str piece = next_piece(rest, reply->piece);
        if (sent + piece.len > most_bytes) {
            usage->stop = STOP_LENGTH;
            return true;
        }
        rest = str_from(rest, piece.len);
        sent += piece.len;
        buf_str(&chat->timeline, piece);
        usage->output_tokens = tokens_of_bytes(sent);
        if (sink.text && !sink.text(sink.ctx, piece)) {
            usage->stop = STOP_SINK;
            return true;
        }
    }
    return true;
}

static bool script_generate(void *opaque, const Sampling *sampling, const GrammarSpec *grammar, ChatSink sink,
                            Usage *usage, Err *err) {
    (void)grammar;
    ScriptChat *chat = opaque;
    Reply reply = {.piece = DEFAULT_PIECE};
    Buf echo = {0};
    double start = os_monotonic_ms();
    if (chat->model->is_echo) {
        echo_reply(buf_text(&chat->request), &echo);
        reply.text = buf_text(&echo);
    } else if (!take_reply(chat->model, buf_text(&chat->request), &reply, err)) {
        return false;
    }
    bool ok = stream(chat, &reply, sampling->max_tokens, sink, usage, err);
    usage->output_ms = os_monotonic_ms() - start;
    buf_free(&echo);
    return ok;
}

const Driver DRIVER_SCRIPT = {
    .name = "script",
    .model_open = script_model_open,
    .model_close = script_model_close,
    .chat_open = script_chat_open,
    .chat_close = script_chat_close,
    .context = script_context,
    .tokenizer = script_tokenizer,
    .count = script_count,
    .sync = script_sync,
    .generate = script_generate,
    .logits = script_logits,
    .rewind = script_rewind,
    .length = script_length,
    .report = script_report,
};
