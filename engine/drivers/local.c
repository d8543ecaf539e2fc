/* The local driver: models from GGUF files, run on a backend in this process. */
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "base/utf8.h"
#include "engine/chat_format.h"
#include "engine/decoder.h"
#include "engine/driver.h"
#include "engine/sample.h"
#include "engine/synthetic.h"
#include "engine/tokenizer_file.h"

/* Tokens that a chat generates before it lets those who wait come first. */
#define SLICE_TOKENS 16

typedef struct LocalModel {
    Gguf *file; /* NULL: synthetic */
    SyntheticModel synthetic;
    Tokenizer *tokenizer;   /* NULL: synthetic */
    Vocabulary *vocabulary; /* made when a grammar first asks for it */
    ChatFacts facts;
    Weights weights;
    Decoder decoder;
    KvArena kv;
    Backend *backend;
    bool is_host;   /* the backend's memory is ours: logits are read where they are written */
    size_t context; /* most tokens of a chat */
    size_t sampled; /* ids that may be sampled: those the tokenizer knows */
} LocalModel;

typedef struct LocalChat {
    LocalModel *model;
    ChatHost host;
    Kv kv;
    TokenList timeline;
    size_t evaluated; /* of the timeline: keys and values are there */
    bool is_terse;    /* no thoughts before the answer */
    size_t logits_of; /* length of the timeline that the logits follow; 0 = no logits */
    Mem logits;
    float *host_logits;    /* a device's logits, copied when someone looks at them */
    size_t host_logits_of; /* as logits_of */
} LocalChat;

/* ---- models ---- */

static void model_close(void *opaque) {
    LocalModel *model = opaque;
    if (!model)
        return;
    kv_arena_close(&model->kv);
    decoder_close(&model->decoder);
    weights_close(&model->weights);
    vocabulary_close(model->vocabulary);
    tokenizer_close(model->tokenizer);
    gguf_close(model->file);
    free(model);
}

static bool open_kv(LocalModel *model, const Shape *shape, DType type, Err *err) {
    DeviceInfo info;
    backend_info(model->backend, &info);
    model->is_host = info.is_host;
    if (!(info.kv_types >> type & 1))
        return err_set(err, ERR_UNSUPPORTED, "%s cannot keep keys and values in %s", info.description,
                       dtype_name((uint32_t)type));
    KvShape kv = {.layers = shape->layers,
                  .row_values = (int64_t)shape->kv_heads * shape->head_width,
                  .type = type,
                  .limit = model->context};
    return kv_arena_open(&model->kv, model->backend, &kv, err);
}

/* Nothing is rounded on the way in a model whose weights are all float32. */
static DType kv_type(const LocalModel *model, const ModelOptions *options) {
    if (options->kv_type)
        return *options->kv_type;
    return model->weights.is_all_f32 ? DTYPE_F32 : DTYPE_F16;
}

static bool open_file(LocalModel *model, const char *path, const Arch **arch, Shape *shape, Err *err) {
    model->file = gguf_open(path, err);
    *arch = model->file ? arch_of(model->file, err) : NULL;
    if (!*arch || !(*arch)->read_shape(model->file, shape, err))
        return false;
    model->facts = chat_facts(model->file);
    model->tokenizer = tokenizer_of_file(model->file, err);
    if (!model->tokenizer)
        return false;
    model->sampled = tokenizer_count(model->tokenizer);
    if (model->sampled > (size_t)shape->vocabulary)
        return err_set(err, ERR_INVALID, "%s lists %zu tokens but has weights for %lld", path, model->sampled,
                       (long long)shape->vocabulary);
    weights_open(&model->weights, model->file, model->backend);
    return true;
}

static bool open_synthetic(LocalModel *model, Str name, const Arch **arch, Shape *shape, Err *err) {
    if (!synthetic_model(name, &model->synthetic, err))
        return false;
    *arch = model->synthetic.arch;
    *shape = model->synthetic.shape;
    model->sampled = (size_t)shape->vocabulary;
    weights_open_synthetic(&model->weights, &model->synthetic.weights, model->backend);
    return true;
}

static bool load(LocalModel *model, const char *path, const ModelOptions *options, Err *err) {
    Shape shape;
    const Arch *arch;
    bool is_synthetic = str_starts(str_of(path), S(SYNTHETIC_PREFIX));
    if (!(is_synthetic ? open_synthetic(model, str_of(path), &arch, &shape, err)
                       : open_file(model, path, &arch, &shape, err)))
        return false;
    model->weights.cancel = options->cancel;
    model->context = options->context && options->context < shape.context ? options->context : shape.context;
    return decoder_open(&model->decoder, arch, &shape, &model->weights, err) &&
           open_kv(model, &shape, kv_type(model, options), err);
}

static void *model_open(const ModelCard *card, const ModelOptions *options, Backend *backend, Err *err) {
    Arena scratch = {0};
    LocalModel *model = calloc(1, sizeof *model);
    bool ok = model || err_set(err, ERR_NO_MEMORY, "out of memory while loading a model");
    if (model) {
        model->backend = backend;
        ok = load(model, str_cstr(&scratch, card->path), options, err);
    }
    arena_free(&scratch);
    if (ok)
        return model;
    model_close(model);
    return NULL;
}

/* ---- chats ---- */

static void chat_close_local(void *opaque) {
    LocalChat *chat = opaque;
    if (!chat)
        return;
    kv_close(&chat->kv);
    backend_free(chat->model->backend, &chat->logits);
    free(chat->host_logits);
    tokens_free(&chat->timeline);
    free(chat);
}

static void *chat_open_local(void *opaque, const ChatHost *host, Err *err) {
    LocalModel *model = opaque;
    const Shape *shape = &model->decoder.shape;
    LocalChat *chat = calloc(1, sizeof *chat);
    if (!chat) {
        err_set(err, ERR_NO_MEMORY, "out of memory for a chat");
        return NULL;
    }
    *chat = (LocalChat){.model = model, .host = *host};
    size_t bytes = (size_t)shape->vocabulary * sizeof(float);
    bool ok = kv_open(&chat->kv, &model->kv, err);
    if (ok && !model->is_host)
        chat->host_logits = malloc(bytes);
    if (ok &&
        (!backend_alloc(model->backend, bytes, &chat->logits) || (!model->is_host && !chat->host_logits)))
        ok = err_set(err, ERR_NO_MEMORY, "out of memory for a chat's logits");
    if (ok)
        return chat;
    chat_close_local(chat);
    return NULL;
}

static void set_thinking_local(void *opaque, bool is_on) {
    LocalChat *chat = opaque;
    chat->is_terse = !is_on && chat->model->facts.has_thinking;
}

static size_t context_local(const void *opaque) {
    return ((const LocalChat *)opaque)->model->context;
}

static const Tokenizer *tokenizer_local(const void *opaque) {
    return ((const LocalChat *)opaque)->model->tokenizer;
}

static size_t length_local(const void *opaque) {
    return ((const LocalChat *)opaque)->timeline.count;
}

static bool count_local(const void *opaque, Str text, size_t *tokens, Err *err) {
    TokenList list = {0};
    if (!tokenizer_local(opaque))
        return err_set(err, ERR_UNSUPPORTED, "a model of random weights reads no text");
    tokenizer_encode(tokenizer_local(opaque), text, TOKENIZE_PLAIN, &list);
    *tokens = list.count;
    tokens_free(&list);
    return true;
}

static void rewind_local(void *opaque, size_t keep) {
    LocalChat *chat = opaque;
    if (keep < chat->timeline.count)
        chat->timeline.count = keep;
    if (keep < chat->evaluated)
        chat->evaluated = keep;
    if (chat->logits_of > keep)
        chat->logits_of = 0;
}

static bool give_way(const LocalChat *chat, Err *err) {
    return chat->host.give_way(chat->host.ctx) || err_set(err, ERR_CANCELLED, "stopped");
}

/* All chunks of the timeline but the last; others may come in between. */
static bool evaluate_chunks(LocalChat *chat, Err *err) {
    Decoder *decoder = &chat->model->decoder;
    size_t chunk = (size_t)decoder->chunk, done;
    while (chat->timeline.count - chat->evaluated > chunk) {
        bool ok = decoder_run(decoder, &chat->kv, chat->timeline.ids + chat->evaluated, chunk,
                              chat->evaluated, chat->host.cancel, NULL, &done, err);
        chat->evaluated += done;
        if (!ok || !give_way(chat, err))
            return false;
    }
    return true;
}

/* Starts what brings keys, values and logits up to the timeline's end; a device goes on by itself. */
static bool evaluate_start(LocalChat *chat, Err *err) {
    size_t count = chat->timeline.count, done;
    if (count == 0 || chat->logits_of == count)
        return true;
    if (chat->evaluated == count)
        chat->evaluated = count - 1;
    chat->logits_of = chat->host_logits_of = 0;
    if (!evaluate_chunks(chat, err))
        return false;
    bool ok = decoder_start(&chat->model->decoder, &chat->kv, chat->timeline.ids + chat->evaluated,
                            count - chat->evaluated, chat->evaluated, chat->host.cancel, chat->logits.address,
                            &done, err);
    chat->evaluated += done;
    if (ok)
        chat->logits_of = count;
    return ok;
}

/* Waits for it and for whatever was enqueued behind it. What failed has to be done again, all of it. */
static bool evaluate_finish(LocalChat *chat, Err *err) {
    if (decoder_finish(&chat->model->decoder, err))
        return true;
    chat->evaluated = chat->logits_of = chat->host_logits_of = 0;
    return false;
}

static bool evaluate(LocalChat *chat, Err *err) {
    return evaluate_start(chat, err) && evaluate_finish(chat, err);
}

/* The logits where the host can read them; NULL when they cannot be had. */
static float *logits_on_host(LocalChat *chat, Err *err) {
    if (chat->model->is_host)
        return chat->logits.address;
    if (chat->host_logits_of != chat->logits_of) {
        backend_get(chat->model->backend, chat->host_logits, chat->logits, 0, chat->logits.bytes);
        if (!evaluate_finish(chat, err))
            return NULL;
        chat->host_logits_of = chat->logits_of;
    }
    return chat->host_logits;
}

static const float *logits_local(void *opaque, size_t *vocabulary) {
    LocalChat *chat = opaque;
    *vocabulary = (size_t)chat->model->decoder.shape.vocabulary;
    return chat->timeline.count && evaluate(chat, NULL) ? logits_on_host(chat, NULL) : NULL;
}

static void report_local(void *opaque, LoadReport *out) {
    LocalChat *chat = opaque;
    out->weight_bytes = decoder_bytes_per_token(&chat->model->decoder, &chat->model->weights);
    out->kv_bytes_per_token = kv_bytes_per_token(&chat->model->kv.shape);
    out->vocabulary = (size_t)chat->model->decoder.shape.vocabulary;
}

/* ---- sync ---- */

static bool check_prompt(const LocalChat *chat, const int32_t *ids, size_t count, Err *err) {
    if (count == 0)
        return err_set(err, ERR_INVALID, "the prompt is empty");
    if (count >= chat->model->context)
        return err_set(
            err, ERR_LIMIT,
            "the prompt takes %zu tokens, but only %zu fit with room for an answer; ask about less text or "
            "raise the context size",
            count, chat->model->context - 1);
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= chat->model->decoder.shape.vocabulary)
            return err_set(err, ERR_INVALID, "token %d does not exist: ids go from 0 to %lld", ids[i],
                           (long long)chat->model->decoder.shape.vocabulary - 1);
    return true;
}

/* Some words of these tokens, cut between characters. */
static void put_words(const LocalChat *chat, const int32_t *ids, size_t count, char *out, size_t room) {
    Buf bytes = {0}, text = {0};
    for (size_t i = 0; chat->model->tokenizer && i < count && bytes.len < room; i++)
        buf_str(&bytes, tokenizer_bytes(chat->model->tokenizer, ids[i]));
    utf8_repair(buf_text(&bytes), &text);
    Str cut = str_slice(buf_text(&text), 0, room - 1);
    size_t whole = utf8_complete(cut);
    if (whole)
        memcpy(out, cut.ptr, whole);
    out[whole] = 0;
    buf_free(&bytes);
    buf_free(&text);
}

static Difference difference_at(const LocalChat *chat, size_t at, const int32_t *ids, size_t count) {
    Difference difference = {.exists = at < count && at < chat->timeline.count, .at = at};
    if (difference.exists) {
        put_words(chat, chat->timeline.ids + at, chat->timeline.count - at, difference.had,
                  sizeof difference.had);
        put_words(chat, ids + at, count - at, difference.has, sizeof difference.has);
    }
    return difference;
}

static bool sync_ids(LocalChat *chat, const int32_t *ids, size_t count, SyncReport *report, Err *err) {
    if (!check_prompt(chat, ids, count, err))
        return false;
    size_t shared = 0;
    while (shared < count && shared < chat->timeline.count && chat->timeline.ids[shared] == ids[shared])
        shared++;
    report->difference = difference_at(chat, shared, ids, count);
    rewind_local(chat, shared);
    report->prompt_tokens = count;
    report->cached_tokens = chat->evaluated;
    if (chat->evaluated == count && chat->logits_of != count)
        report->cached_tokens = count - 1;
    for (size_t i = shared; i < count; i++)
        tokens_push(&chat->timeline, ids[i]);
    bool ok = evaluate(chat, err);
    if (!ok)
        rewind_local(chat, chat->evaluated);
    return ok;
}

static bool sync_local(void *opaque, const PromptInput *prompt, SyncReport *report, Err *err) {
    LocalChat *chat = opaque;
    TokenList rendered = {0};
    double start = os_monotonic_ms();
    if (prompt->kind != PROMPT_OF_TOKENS && !chat->model->tokenizer)
        return err_set(err, ERR_UNSUPPORTED, "a model of random weights reads no text");
    if (prompt->kind == PROMPT_OF_MESSAGES)
        chat_format_render(chat->model->facts, chat->model->tokenizer, prompt->messages, prompt->count,
                           chat->is_terse, &rendered);
    if (prompt->kind == PROMPT_OF_TEXT)
        tokenizer_encode(chat->model->tokenizer, prompt->text, TOKENIZE_SPECIAL | TOKENIZE_BOS, &rendered);
    bool is_ids = prompt->kind == PROMPT_OF_TOKENS;
    bool ok = sync_ids(chat, is_ids ? prompt->ids : rendered.ids, is_ids ? prompt->count : rendered.count,
                       report, err);
    report->prompt_ms = os_monotonic_ms() - start;
    tokens_free(&rendered);
    return ok;
}

/* ---- generate ---- */

typedef struct Generation {
    LocalChat *chat;
    Sampler sampler;
    Mask *mask;     /* NULL without a grammar */
    uint64_t *bits; /* what the mask allows now */
    bool ignore_end, shows_labels;
    ChatSink sink;
    Usage *usage;
    Buf held; /* shown bytes that end in an incomplete UTF-8 sequence */
} Generation;

static bool is_cancelled(const LocalChat *chat) {
    return atomic_load_explicit(chat->host.cancel, memory_order_relaxed);
}

static bool open_mask(Generation *g, const GrammarSpec *grammar, size_t most, Err *err) {
    LocalModel *model = g->chat->model;
    if (!grammar || grammar->form == FORM_NONE)
        return true;
    if (!model->tokenizer)
        return err_set(err, ERR_UNSUPPORTED, "a model of random weights knows no grammar");
    if (!model->vocabulary && !(model->vocabulary = vocabulary_open(model->tokenizer, err)))
        return false;
    size_t room = model->context - g->chat->timeline.count;
    GrammarSpec fitting = *grammar;
    fitting.max_tokens = most < room ? most : room;
    g->mask = mask_open(model->vocabulary, &fitting, err);
    g->bits = g->mask ? calloc((model->sampled + 63) / 64, sizeof *g->bits) : NULL;
    if (g->mask && !g->bits)
        return err_set(err, ERR_NO_MEMORY, "out of memory for a grammar");
    g->shows_labels = grammar->form == FORM_LABELS;
    return g->mask != NULL;
}

/* Passes on what is whole; at the end also what never became whole, repaired. */
static bool show(Generation *g, Str piece, bool is_end) {
    buf_str(&g->held, piece);
    size_t whole = is_end ? g->held.len : utf8_complete(buf_text(&g->held));
    if (!g->sink.text)
        buf_clear(&g->held);
    if (whole == 0 || !g->sink.text)
        return true;
    Str text = str_slice(buf_text(&g->held), 0, whole);
    bool goes_on;
    if (utf8_valid(text)) {
        goes_on = g->sink.text(g->sink.ctx, text);
    } else {
        Buf repaired = {0};
        utf8_repair(text, &repaired);
        goes_on = g->sink.text(g->sink.ctx, buf_text(&repaired));
        buf_free(&repaired);
    }
    buf_consume(&g->held, whole);
    return goes_on;
}

static Str shown_bytes(const Generation *g, int32_t id) {
    const Tokenizer *tokenizer = g->chat->model->tokenizer;
    if (!tokenizer)
        return S("");
    Str bytes = tokenizer_bytes(tokenizer, id);
    bool is_label = g->shows_labels && bytes.len && label_length(bytes) == bytes.len;
    return is_label ? bytes : tokenizer_shown(tokenizer, id);
}

/* The device can choose by itself when nobody wants to see the logits or to change them. */
static bool device_picks(const Generation *g) {
    float penalty = g->sampler.sampling.repeat_penalty;
    return backend_ops(g->chat->model->backend)->pick && !g->sink.token && (penalty == 0 || penalty == 1);
}

/* The choice is enqueued behind the step; one id comes back. */
static int32_t pick_on_device(Generation *g, const uint64_t *allowed, Err *err) {
    LocalChat *chat = g->chat;
    const Sampling *s = &g->sampler.sampling;
    Pick pick = {.logits = chat->logits.address,
                 .count = (int64_t)chat->model->sampled,
                 .mask = allowed,
                 .temperature = s->temperature,
                 .top_k = s->top_k,
                 .top_p = s->top_p,
                 .min_p = s->min_p,
                 .random = s->temperature > 0 ? sampler_random(&g->sampler) : 0};
    int32_t id = -1;
    backend_ops(chat->model->backend)->pick(chat->model->backend, &id, &pick);
    return evaluate_finish(chat, err) ? id : -1;
}

static int32_t pick_on_host(Generation *g, const uint64_t *allowed, Err *err) {
    LocalChat *chat = g->chat;
    float *logits = evaluate_finish(chat, err) ? logits_on_host(chat, err) : NULL;
    return logits ? sampler_pick(&g->sampler, logits, allowed, chat->timeline.ids, chat->timeline.count) : -1;
}

/* The next token: forced by the grammar, or sampled. -1 = failed, *err says why. While a device computes the
 * logits, the mask is made here. */
static int32_t choose(Generation *g, bool *was_forced, Err *err) {
    int32_t id = -1;
    *was_forced = g->mask && mask_forced(g->mask, &id);
    if (*was_forced)
        return id;
    if (!evaluate_start(g->chat, err))
        return -1;
    Err failure = {0};
    bool is_masked = g->mask && mask_next(g->mask, g->bits);
    const uint64_t *allowed = is_masked ? g->bits : NULL;
    id = device_picks(g) ? pick_on_device(g, allowed, &failure) : pick_on_host(g, allowed, &failure);
    if (failure.code != ERR_NONE && err)
        *err = failure;
    else if (id < 0)
        err_set(err, ERR_INTERNAL, "the model computes no usable numbers (its weights may be damaged)");
    return id;
}

/* Runs until something stops it. True with usage->stop set, false with *err set. */
static bool run(Generation *g, size_t most, Err *err) {
    LocalChat *chat = g->chat;
    size_t vocabulary = (size_t)chat->model->decoder.shape.vocabulary;
    for (;;) {
        bool was_forced;
        if (g->usage->output_tokens >= most || chat->timeline.count >= chat->model->context) {
            g->usage->stop = STOP_LENGTH;
            return evaluate(chat, err);
        }
        if (is_cancelled(chat))
            return err_set(err, ERR_CANCELLED, "stopped");
        if (g->usage->output_tokens % SLICE_TOKENS == 0 && !give_way(chat, err))
            return false;
        int32_t id = choose(g, &was_forced, err);
        if (id < 0)
            return false;
        g->usage->output_tokens++;
        g->usage->forced_tokens += was_forced;
        const float *logits = g->sink.token && !was_forced ? logits_on_host(chat, NULL) : NULL;
        bool goes_on = !g->sink.token || g->sink.token(g->sink.ctx, id, logits, vocabulary);
        if (!g->ignore_end && chat->model->tokenizer && tokenizer_is_end(chat->model->tokenizer, id)) {
            g->usage->stop = STOP_END;
            return true;
        }
        if (g->mask)
            mask_accept(g->mask, id);
        tokens_push(&chat->timeline, id);
        if (!show(g, shown_bytes(g, id), false) || !goes_on) {
            g->usage->stop = STOP_SINK;
            return true;
        }
    }
}

static void finish(Generation *g) {
    if (g->mask)
        g->usage->escaped_blocks = mask_escaped(g->mask);
    mask_close(g->mask);
    free(g->bits);
    sampler_close(&g->sampler);
    buf_free(&g->held);
}

static bool generate_local(void *opaque, const Sampling *sampling, const GrammarSpec *grammar, ChatSink sink,
                           Usage *usage, Err *err) {
    LocalChat *chat = opaque;
    Generation g = {.chat = chat, .ignore_end = sampling->ignore_end, .sink = sink, .usage = usage};
    if (chat->timeline.count == 0)
        return err_set(err, ERR_INVALID, "there is no prompt to continue");
    size_t most = sampling->max_tokens ? sampling->max_tokens : SIZE_MAX;
    double start = os_monotonic_ms();
    bool ok = sampler_open(&g.sampler, sampling, chat->model->sampled, err) &&
              open_mask(&g, grammar, most, err) && run(&g, most, err);
    if (is_cancelled(chat))
        usage->stop = STOP_CANCELLED;
    else if (ok && !show(&g, S(""), true))
        usage->stop = STOP_SINK;
    usage->output_ms = os_monotonic_ms() - start;
    finish(&g);
    return ok;
}

const Driver DRIVER_LOCAL = {
    .name = "local",
    .uses_device = true,
    .model_open = model_open,
    .model_close = model_close,
    .chat_open = chat_open_local,
    .chat_close = chat_close_local,
    .set_thinking = set_thinking_local,
    .context = context_local,
    .tokenizer = tokenizer_local,
    .count = count_local,
    .sync = sync_local,
    .generate = generate_local,
    .logits = logits_local,
    .rewind = rewind_local,
    .length = length_local,
    .report = report_local,
};
