/* Engine: messages in, pieces of text out, in process.
 *
 * Calling sequence:
 *   Engine *e = engine_open(&config, &err);                 // opens no model file yet
 *   Chat *c = chat_open(e, S("mux-tiny"), &err);            // loads the model on first use (weights are
 * shared) chat_sync(c, messages, n, &err);                        // the full prompt; the shared prefix is
 * kept chat_generate(c, &sampling, &grammar, sink, &usage, &err); chat_close(c); engine_close(e);
 *
 * An Engine (loaded weights) may be used by many threads; a Chat (one mutable token timeline with its KV) by
 * one thread at a time, except chat_cancel, which any thread may call. Chats share the device in slices: who
 * is at work lets those who wait come first, in order of arrival, after a few tokens or a chunk of a prompt.
 * What a chat computes does not depend on it.
 * Models are named by registry name ("mux-tiny", "echo"), by path to a .gguf file, "script:PATH", or
 * "synthetic:SHAPE:TYPE" (random weights, for measuring).
 *
 * Where the work is done: on the backend that the configuration names; when it names none, on a GPU if there
 * is one and the model is large enough to be worth it, else on the CPU. What fails on a GPU that nobody
 * insisted on (no driver, no room) is done on the CPU, and chat_report says why. A GPU lost in the middle of
 * a turn ends that turn with an error; the next sync of the chat reads its prompt again on the CPU.
 */
#ifndef MUX_ENGINE_ENGINE_H
#define MUX_ENGINE_ENGINE_H

#include "base/err.h"
#include "base/str.h"
#include "engine/grammar.h"

typedef struct Engine Engine;
typedef struct Chat Chat;

typedef struct EngineConfig {
    Str default_model; /* name or path; empty = the embedded "mux-tiny" */
    Str models_dir;    /* folder scanned for *.gguf; may be empty */
    Str models_file;   /* the user's list (models_file.h); may be empty, or not there */
    Str home;          /* what ~ means in it */
    Str tiny_path;   /* the embedded model's file; empty = found beside the program or in its share folder */
    Str backend;     /* "cuda", "cpu", "ref"; empty = a GPU for models that are worth it, else the CPU */
    int device;      /* which GPU, from 0 */
    Str gpu_options; /* BackendConfig's words; empty = none */
    Str kv_type;     /* of keys and values: "f16", "bf16", "q8_0", "f32"; empty = f16 */
    int threads;     /* 0 = processors available */
    size_t context;  /* most tokens of a Chat; 0 = min(model's own, 8192) */
} EngineConfig;

typedef enum PromptStyle {
    PROMPT_FULL /* system prompt, map, search/replace blocks */,
    PROMPT_LABELS /* mux-tiny */
} PromptStyle;

/* What is known of a model without loading its weights. Borrowed until engine_close. */
typedef struct ModelCard {
    Str name;         /* registry name */
    Str path;         /* file; empty for built-in scripted models */
    Str driver;       /* "local" or "script" */
    Str architecture; /* "qwen2", ... ; empty before it was read */
    Str type;         /* "Q8_0", ... of most weights */
    Str chat_format;  /* "chatml", "llama3", "plain" */
    PromptStyle style;
    Str description;       /* of models.yaml; may be empty */
    bool has_thinking;     /* it thinks before it answers and can be told not to: chat_set_thinking */
    bool is_terse;         /* models.yaml turned its thinking off for good */
    size_t wanted_context; /* of models.yaml; 0 = not said */
    size_t parameters, file_bytes, context; /* 0 = unknown; context = the model's own */
    bool is_embedded, is_scripted;
    bool has_own_style; /* style is that of models.yaml */
} ModelCard;

Engine *engine_open(const EngineConfig *config, Err *err);
void engine_close(Engine *engine); /* all chats must be closed; NULL is fine */
/* Registered models: the embedded one, echo, those of models_dir, the default. */
size_t engine_models(Engine *engine, const ModelCard **out);
/* What was wrong with models_file, one sentence each; its other models are there. Borrowed. */
size_t engine_warnings(Engine *engine, const Str **out);
/* Card of a name or path, reading the file's header if needed; NULL + sentence when it cannot serve.
 * Borrowed. */
const ModelCard *engine_card(Engine *engine, Str model, Err *err);

/* Brings the model's weights into memory, as chat_open would, and keeps them there until engine_close; at
 * once when they are there. Takes seconds for large models; one load runs at a time, nobody who works waits
 * for it. out may be NULL; only load_ms and file_bytes are filled in. */
typedef struct LoadReport LoadReport;
bool engine_load(Engine *engine, Str model, LoadReport *out, Err *err);
/* While on, loads under way end with ERR_CANCELLED soon, and so do new ones: for those who are about to
 * close. */
void engine_stop_loads(Engine *engine, bool is_on);
/* Whether chat_open of this model needs to load nothing. */
bool engine_has_loaded(Engine *engine, Str model);

/* A GPU of this machine. */
typedef struct GpuCard {
    char description[128]; /* name, compute capability, multiprocessors */
    size_t memory_bytes, memory_free;
    int clock_mhz, memory_clock_mhz; /* 0 = unknown */
} GpuCard;
/* At most `most` of them, which takes tenths of a second where there are some; returns how many there are.
 * With none, why says why, in one sentence. */
size_t engine_gpus(GpuCard *out, size_t most, Err *why);

/* Loads the model if needed (milliseconds when mapped). model empty = the default. */
Chat *chat_open(Engine *engine, Str model, Err *err);
void chat_close(Chat *chat); /* NULL is fine */
const ModelCard *chat_card(const Chat *chat);
size_t chat_context(const Chat *chat);             /* most tokens this chat can hold */
const Tokenizer *chat_tokenizer(const Chat *chat); /* borrowed; NULL for scripted models */

typedef enum Role { ROLE_SYSTEM, ROLE_USER, ROLE_ASSISTANT } Role;
typedef struct Message {
    Role role;
    Str text;
} Message;

/* Tokens that text costs in this model (scripted models: bytes / 4). */
bool chat_count(Chat *chat, Str text, size_t *tokens, Err *err);

/* Whether the model may think before it answers, where card->has_thinking; true at first. Off, the prompt of
 * chat_sync goes on behind an empty block of thoughts, as the Qwen3 template writes it. */
void chat_set_thinking(Chat *chat, bool is_on);

/* Makes the timeline hold exactly the rendered prompt (chat format, with the assistant's turn opened),
 * reusing the longest shared prefix of tokens, prefilling the rest. ERR_LIMIT when it does not fit,
 * ERR_CANCELLED when stopped inside prefill (the prefix prefilled so far is kept). Text of messages never
 * matches control tokens. */
bool chat_sync(Chat *chat, const Message *messages, size_t count, Err *err);
/* The same for raw text (special tokens matched, BOS if the model wants it) and for token ids. */
bool chat_sync_text(Chat *chat, Str text, Err *err);
bool chat_sync_tokens(Chat *chat, const int32_t *ids, size_t count, Err *err);

typedef struct Sampling {
    float temperature;    /* 0 = greedy */
    int top_k;            /* 0 = off */
    float top_p;          /* 1 or 0 = off */
    float min_p;          /* 0 = off */
    float repeat_penalty; /* 1 or 0 = off; over the last repeat_window tokens (0 = 64) */
    int repeat_window;
    uint64_t seed;
    size_t max_tokens; /* 0 = what the context holds */
    bool ignore_end;   /* end tokens do not stop it (benchmarks, logits) */
} Sampling;

/* Receives what is generated, on the calling thread. Any callback may be NULL; returning false stops as if
 * finished. */
typedef struct ChatSink {
    void *ctx;
    bool (*text)(void *ctx, Str piece); /* whole UTF-8 sequences only */
    /* The raw logits the token was chosen from; NULL for a token that the grammar left no choice about. */
    bool (*token)(void *ctx, int32_t id, const float *logits, size_t vocabulary);
} ChatSink;

typedef enum StopReason { STOP_END, STOP_LENGTH, STOP_SINK, STOP_CANCELLED } StopReason;

/* The first token of a prompt that is another one than the timeline held, when tokens had to be read again;
 * exists is false when the timeline simply went on. had and has: some words from there on, UTF-8. */
typedef struct Difference {
    bool exists;
    size_t at;
    char had[64], has[64];
} Difference;

typedef struct Usage {
    size_t prompt_tokens;  /* length of the synced prompt */
    size_t cached_tokens;  /* of those, found in the KV by the last sync */
    Difference difference; /* of the last sync */
    size_t output_tokens;
    size_t forced_tokens;  /* outputs that the grammar left no choice in */
    size_t escaped_blocks; /* see mask_escaped */
    double prompt_ms, output_ms;
    StopReason stop;
} Usage;

/* Continues the timeline. grammar may be NULL. Blocks; false only on failure or cancel (ERR_CANCELLED; the
 * timeline stays valid and *usage is filled). The generated tokens stay in the timeline. */
bool chat_generate(Chat *chat, const Sampling *sampling, const GrammarSpec *grammar, ChatSink sink,
                   Usage *usage, Err *err);

/* Stops a running or the next sync/generate of this chat at the next token or prefill chunk; any thread. */
void chat_cancel(Chat *chat);
void chat_clear_cancel(Chat *chat);

/* Logits after the last synced or generated token, vocabulary floats, borrowed until the next call; NULL when
 * scripted or empty. */
const float *chat_logits(Chat *chat, size_t *vocabulary);
/* Drops the timeline's tokens from `keep` on (KV rewind, free). */
void chat_rewind(Chat *chat, size_t keep);
size_t chat_length(const Chat *chat);

struct LoadReport {
    double load_ms;
    size_t weight_bytes; /* bytes of weights touched per generated token */
    size_t kv_bytes_per_token;
    size_t vocabulary;            /* ids there are */
    size_t file_bytes;            /* of the model's file; 0 = it has none */
    double read_bytes_per_second; /* measured when bench asks; 0 otherwise */
    size_t device_bytes;          /* device memory held now, all models and chats; 0 on a host */
    char backend[16], device[128];
    char note[512]; /* why it is not the GPU, when that was tried; empty otherwise */
};
void chat_report(Chat *chat, bool measure_bandwidth, LoadReport *out);

#endif
