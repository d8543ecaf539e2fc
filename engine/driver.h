/* Driver: what serves a model behind engine.h. One const record per file in engine/drivers/, found by name in
 * engine.c.
 *
 * A driver has models (shared, opened once per engine) and chats (one timeline each). Engine calls model_open
 * and model_close one at a time; a chat's functions by one thread at a time, and sync, generate and logits of
 * drivers that use the device never two at once in an engine, but for what happens while one gives way. The
 * cancel flag given to chat_open may be set by any thread at any time.
 */
#ifndef MUX_ENGINE_DRIVER_H
#define MUX_ENGINE_DRIVER_H

#include <stdatomic.h>

#include "engine/engine.h"
#include "kernels/backend.h"

typedef enum PromptKind { PROMPT_OF_MESSAGES, PROMPT_OF_TEXT, PROMPT_OF_TOKENS } PromptKind;

typedef struct PromptInput {
    PromptKind kind;
    const Message *messages; /* or */
    const int32_t *ids;
    size_t count; /* of either */
    Str text;     /* PROMPT_OF_TEXT */
} PromptInput;

typedef struct SyncReport {
    size_t prompt_tokens, cached_tokens;
    double prompt_ms;
    Difference difference;
} SyncReport;

/* What a chat's driver may ask of the engine. */
typedef struct ChatHost {
    const atomic_bool *cancel;
    void *ctx;
    /* Between two steps, nothing enqueued: lets those who wait for the device come first. False when the chat
     * was cancelled meanwhile; it may not use the device any more then. */
    bool (*give_way)(void *ctx);
} ChatHost;

typedef struct ModelOptions {
    size_t context;            /* most tokens of a chat; 0 = the model's own */
    const DType *kv_type;      /* of keys and values; NULL = F16, or F32 for models all in F32 */
    const atomic_bool *cancel; /* ends model_open with ERR_CANCELLED */
} ModelOptions;

typedef struct Driver {
    const char *name;
    bool uses_device; /* backend is NULL otherwise */
    void *(*model_open)(const ModelCard *card, const ModelOptions *options, Backend *backend, Err *err);
    void (*model_close)(void *model);
    void *(*chat_open)(void *model, const ChatHost *host, Err *err); /* host is copied */
    void (*chat_close)(void *chat);
    void (*set_thinking)(void *chat, bool is_on); /* NULL: none of its models thinks */
    size_t (*context)(const void *chat);
    const Tokenizer *(*tokenizer)(const void *chat);
    bool (*count)(const void *chat, Str text, size_t *tokens, Err *err);
    bool (*sync)(void *chat, const PromptInput *prompt, SyncReport *report, Err *err);
    /* Fills output_*, forced, escaped and stop of usage; the rest is the engine's. */
    bool (*generate)(void *chat, const Sampling *sampling, const GrammarSpec *grammar, ChatSink sink,
                     Usage *usage, Err *err);
    const float *(*logits)(void *chat, size_t *vocabulary);
    void (*rewind)(void *chat, size_t keep);
    size_t (*length)(const void *chat);
    void (*report)(void *chat, LoadReport *out); /* weight and KV bytes */
} Driver;

extern const Driver DRIVER_LOCAL, DRIVER_SCRIPT;

#endif
