#include "engine/engine.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/os.h"
#include "engine/driver.h"
#include "engine/registry.h"

#define DEFAULT_CONTEXT 8192
/* Smaller models are left to the CPU: their weights pass through its caches in well under a millisecond,
 * while a GPU takes tenths of a second to start and launches kernels that last a microsecond. */
#define WORTH_A_GPU ((size_t)64 << 20)

static const Driver *const DRIVERS[] = {&DRIVER_LOCAL, &DRIVER_SCRIPT};

/* A model once loaded stays until engine_close: loading is cheap, but a chat that comes back should not pay
 * it again. */
typedef struct Loaded {
    struct Loaded *next;
    const ModelCard *card;
    const Driver *driver;
    void *model;
    Backend *backend; /* NULL: the driver uses none */
    bool is_dead;     /* its device was lost */
    char note[512];   /* why it is not on the GPU */
} Loaded;

/* One who wants to run on the device; part of its chat, or on the stack of who loads. */
typedef struct Waiter {
    struct Waiter *next;
} Waiter;

struct Engine {
    Arena arena;
    EngineConfig config;
    atomic_bool stops_loads;
    pthread_mutex_t load_lock; /* one load at a time; taken before `lock`, after the turn on the device */
    pthread_mutex_t lock;      /* registry, list of loaded models, gpu_problem; never held for long */
    Registry registry;
    Loaded *loaded;
    Backend *gpu, *host; /* both locks to write; opened when first needed; host: what the configuration names,
                            or "cpu" */
    char gpu_problem[256]; /* not empty: it is not tried again */
    pthread_mutex_t queue_lock;
    pthread_cond_t queue_moved;
    Waiter *queue, **queue_end; /* the first one runs, the others wait in order of arrival */
};

struct Chat {
    Engine *engine;
    const Loaded *loaded;
    void *state; /* the driver's */
    atomic_bool cancel;
    Waiter place; /* in the queue */
    bool has_turn, is_thinking;
    SyncReport last_sync;
    double load_ms;
};

/* ---- engine ---- */

Engine *engine_open(const EngineConfig *config, Err *err) {
    Engine *engine = calloc(1, sizeof *engine);
    if (!engine) {
        err_set(err, ERR_NO_MEMORY, "out of memory while opening the engine");
        return NULL;
    }
    engine->config = *config;
    engine->config.backend = str_copy(&engine->arena, config->backend);
    engine->config.gpu_options = str_copy(&engine->arena, config->gpu_options);
    engine->config.kv_type = str_copy(&engine->arena, config->kv_type);
    pthread_mutex_init(&engine->load_lock, NULL);
    pthread_mutex_init(&engine->lock, NULL);
    pthread_mutex_init(&engine->queue_lock, NULL);
    pthread_cond_init(&engine->queue_moved, NULL);
    engine->queue_end = &engine->queue;
    registry_open(&engine->registry, config);
    return engine;
}

void engine_close(Engine *engine) {
    if (!engine)
        return;
    while (engine->loaded) {
        Loaded *loaded = engine->loaded;
        engine->loaded = loaded->next;
        loaded->driver->model_close(loaded->model);
        free(loaded);
    }
    backend_close(engine->gpu);
    backend_close(engine->host);
    registry_close(&engine->registry);
    pthread_cond_destroy(&engine->queue_moved);
    pthread_mutex_destroy(&engine->queue_lock);
    pthread_mutex_destroy(&engine->lock);
    pthread_mutex_destroy(&engine->load_lock);
    arena_free(&engine->arena);
    free(engine);
}

size_t engine_models(Engine *engine, const ModelCard **out) {
    pthread_mutex_lock(&engine->lock);
    size_t count = registry_all(&engine->registry, out);
    pthread_mutex_unlock(&engine->lock);
    return count;
}

size_t engine_warnings(Engine *engine, const Str **out) {
    *out = engine->registry.warnings;
    return engine->registry.warning_count;
}

const ModelCard *engine_card(Engine *engine, Str model, Err *err) {
    pthread_mutex_lock(&engine->lock);
    const ModelCard *card = registry_find(&engine->registry, model, err);
    pthread_mutex_unlock(&engine->lock);
    return card;
}

size_t engine_gpus(GpuCard *out, size_t most, Err *why) {
    enum { MOST = 64 };
    DeviceInfo infos[MOST];
    KernelError reason = {""};
    int count = backend_cuda_devices(infos, MOST, &reason);
    for (size_t i = 0; i < most && i < (size_t)count && i < MOST; i++) {
        out[i] = (GpuCard){.memory_bytes = infos[i].memory_bytes,
                           .memory_free = infos[i].memory_free,
                           .clock_mhz = infos[i].clock_mhz,
                           .memory_clock_mhz = infos[i].memory_clock_mhz};
        memcpy(out[i].description, infos[i].description, sizeof out[i].description);
    }
    if (count == 0)
        err_set(why, ERR_UNSUPPORTED, "%s", reason.text);
    return (size_t)count;
}

/* ---- loading, under engine->load_lock ---- */

static Backend *open_backend(Engine *engine, const char *name, KernelError *failure) {
    BackendConfig config = {.name = name,
                            .threads = engine->config.threads,
                            .device = engine->config.device,
                            .gpu_options = str_cstr(&engine->arena, engine->config.gpu_options)};
    return backend_open(&config, failure);
}

static bool open_host(Engine *engine, Err *err) {
    KernelError failure;
    bool is_named = engine->config.backend.len && !str_eq(engine->config.backend, S("cuda"));
    const char *name = is_named ? str_cstr(&engine->arena, engine->config.backend) : "cpu";
    if (!engine->host) {
        Backend *host = open_backend(engine, name, &failure);
        pthread_mutex_lock(&engine->lock);
        engine->host = host;
        pthread_mutex_unlock(&engine->lock);
    }
    return engine->host || err_set(err, ERR_UNSUPPORTED, "%s", failure.text);
}

static bool open_gpu(Engine *engine, Err *err) {
    KernelError failure = {""};
    pthread_mutex_lock(&engine->lock);
    bool is_wanted = !engine->gpu && !engine->gpu_problem[0];
    pthread_mutex_unlock(&engine->lock);
    Backend *gpu = is_wanted ? open_backend(engine, "cuda", &failure) : NULL;
    pthread_mutex_lock(&engine->lock);
    if (is_wanted) {
        engine->gpu = gpu;
        memcpy(engine->gpu_problem, failure.text, sizeof failure.text);
    }
    bool ok = !engine->gpu_problem[0] || err_set(err, ERR_UNSUPPORTED, "%s", engine->gpu_problem);
    pthread_mutex_unlock(&engine->lock);
    return ok;
}

typedef enum Place { ON_HOST, ON_GPU, ON_GPU_IF_POSSIBLE } Place;

/* Under engine->lock. */
static Place place_of(const Engine *engine, const ModelCard *card) {
    KernelError why;
    if (str_eq(engine->config.backend, S("cuda")))
        return ON_GPU;
    bool is_small = card->is_embedded || (card->file_bytes && card->file_bytes < WORTH_A_GPU);
    if (engine->config.backend.len || is_small)
        return ON_HOST;
    bool was_tried = engine->gpu_problem[0] != 0; /* it is not tried again, but the note says why */
    return was_tried || backend_cuda_devices(NULL, 0, &why) > 0 ? ON_GPU_IF_POSSIBLE : ON_HOST;
}

static const Driver *driver_of(const ModelCard *card) {
    for (size_t i = 0; i < sizeof DRIVERS / sizeof *DRIVERS; i++)
        if (str_eq(card->driver, str_of(DRIVERS[i]->name)))
            return DRIVERS[i];
    return NULL;
}

static bool read_kv_type(const Engine *engine, DType *type, ModelOptions *options, Err *err) {
    static const struct {
        const char *name;
        DType type;
    } TYPES[] = {{"f16", DTYPE_F16}, {"bf16", DTYPE_BF16}, {"q8_0", DTYPE_Q8_0}, {"f32", DTYPE_F32}};
    Str name = engine->config.kv_type;
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++) {
        if (str_eq(name, str_of(TYPES[i].name))) {
            *type = TYPES[i].type;
            options->kv_type = type;
        }
    }
    return !name.len || options->kv_type ||
           err_set(err, ERR_INVALID,
                   "keys and values cannot be kept in \"%.*s\"; take f16, bf16, q8_0 or f32",
                   (int)(name.len < 40 ? name.len : 40), name.ptr);
}

static bool load_on(Engine *engine, Loaded *loaded, Backend *backend, Err *err) {
    DType type;
    size_t asked = engine->config.context, wanted = loaded->card->wanted_context;
    ModelOptions options = {.context = asked    ? asked
                                       : wanted ? wanted
                                                : DEFAULT_CONTEXT,
                            .cancel = &engine->stops_loads};
    if (!read_kv_type(engine, &type, &options, err))
        return false;
    loaded->backend = backend;
    loaded->model = loaded->driver->model_open(loaded->card, &options, backend, err);
    return loaded->model != NULL;
}

/* On the GPU where it belongs there; otherwise, or when that fails and nobody insisted, on the host. */
static bool load_somewhere(Engine *engine, Loaded *loaded, Err *err) {
    if (!loaded->driver->uses_device)
        return load_on(engine, loaded, NULL, err);
    pthread_mutex_lock(&engine->lock);
    Place place = place_of(engine, loaded->card);
    pthread_mutex_unlock(&engine->lock);
    bool was_lost = engine->gpu && backend_is_lost(engine->gpu);
    if (place != ON_HOST) {
        Err failure = {0};
        if (open_gpu(engine, &failure) && load_on(engine, loaded, engine->gpu, &failure))
            return true;
        if (place == ON_GPU && !was_lost) {
            if (err)
                *err = failure;
            return false;
        }
        snprintf(loaded->note, sizeof loaded->note, "%s", failure.text);
    }
    return open_host(engine, err) && load_on(engine, loaded, engine->host, err);
}

static Loaded *load(Engine *engine, const ModelCard *card, Err *err) {
    Loaded *loaded = calloc(1, sizeof *loaded);
    if (!loaded) {
        err_set(err, ERR_NO_MEMORY, "out of memory while loading a model");
        return NULL;
    }
    *loaded = (Loaded){.card = card, .driver = driver_of(card)};
    if (!load_somewhere(engine, loaded, err)) {
        free(loaded);
        return NULL;
    }
    pthread_mutex_lock(&engine->lock);
    loaded->next = engine->loaded;
    engine->loaded = loaded;
    pthread_mutex_unlock(&engine->lock);
    return loaded;
}

/* Models on a lost device are given to nobody any more; whoever comes next gets the host's. */
static void note_loss(Engine *engine) {
    if (!engine->gpu || !backend_is_lost(engine->gpu))
        return;
    snprintf(engine->gpu_problem, sizeof engine->gpu_problem,
             "the GPU failed while it was at work; start the program again to use it");
    for (Loaded *loaded = engine->loaded; loaded; loaded = loaded->next)
        loaded->is_dead = loaded->is_dead || loaded->backend == engine->gpu;
}

static Loaded *find_loaded(Engine *engine, const ModelCard *card) {
    note_loss(engine);
    Loaded *loaded = engine->loaded;
    while (loaded && (loaded->card != card || loaded->is_dead))
        loaded = loaded->next;
    return loaded;
}

/* NULL: unknown (*card is NULL then, too) or not loaded. */
static const Loaded *look_up(Engine *engine, Str model, const ModelCard **card, Err *err) {
    pthread_mutex_lock(&engine->lock);
    *card = registry_find(&engine->registry, model, err);
    const Loaded *loaded = *card ? find_loaded(engine, *card) : NULL;
    pthread_mutex_unlock(&engine->lock);
    return loaded;
}

/* The caller has the turn on the device, unless the model is loaded or belongs on the host. */
static const Loaded *find_or_load(Engine *engine, Str model, Err *err) {
    const ModelCard *card;
    pthread_mutex_lock(&engine->load_lock);
    const Loaded *loaded = look_up(engine, model, &card, err);
    if (card && !loaded)
        loaded = load(engine, card, err);
    pthread_mutex_unlock(&engine->load_lock);
    return loaded;
}

/* ---- the queue in front of the device ---- */

static void unlink_waiter(Engine *engine, const Waiter *me) {
    Waiter **link = &engine->queue;
    while (*link != me)
        link = &(*link)->next;
    *link = me->next;
    if (engine->queue_end == &me->next)
        engine->queue_end = link;
    pthread_cond_broadcast(&engine->queue_moved);
}

/* Under queue_lock. False when cancelled meanwhile: out of the queue again then. */
static bool wait_in_queue(Engine *engine, Waiter *me, const atomic_bool *cancel) {
    *me = (Waiter){0};
    *engine->queue_end = me;
    engine->queue_end = &me->next;
    while (engine->queue != me && !atomic_load(cancel))
        pthread_cond_wait(&engine->queue_moved, &engine->queue_lock);
    bool is_cancelled = atomic_load(cancel);
    if (is_cancelled)
        unlink_waiter(engine, me);
    return !is_cancelled;
}

/* Waits behind those who came before. False when cancelled meanwhile. */
static bool enter_queue(Engine *engine, Waiter *me, const atomic_bool *cancel) {
    pthread_mutex_lock(&engine->queue_lock);
    bool ok = wait_in_queue(engine, me, cancel);
    pthread_mutex_unlock(&engine->queue_lock);
    return ok;
}

static void leave_queue(Engine *engine, const Waiter *me) {
    pthread_mutex_lock(&engine->queue_lock);
    unlink_waiter(engine, me);
    pthread_mutex_unlock(&engine->queue_lock);
}

/* ---- chats ---- */

/* A GPU takes the work of one thread at a time, so loading onto it waits for its turn, as chats do. Whoever
 * has a turn may take the locks, never the other way round. */
static const Loaded *open_model(Engine *engine, Str model, Err *err) {
    Waiter me;
    const atomic_bool never = false;
    const ModelCard *card;
    const Loaded *loaded = look_up(engine, model, &card, err);
    if (!card || loaded)
        return loaded;
    pthread_mutex_lock(&engine->lock);
    bool uses_gpu = driver_of(card)->uses_device && place_of(engine, card) != ON_HOST;
    pthread_mutex_unlock(&engine->lock);
    if (uses_gpu)
        enter_queue(engine, &me, &never);
    loaded = find_or_load(engine, model, err);
    if (uses_gpu)
        leave_queue(engine, &me);
    return loaded;
}

bool engine_load(Engine *engine, Str model, LoadReport *out, Err *err) {
    double start = os_monotonic_ms();
    const Loaded *loaded = open_model(engine, model, err);
    if (loaded && out)
        *out = (LoadReport){.load_ms = os_monotonic_ms() - start, .file_bytes = loaded->card->file_bytes};
    return loaded != NULL;
}

void engine_stop_loads(Engine *engine, bool is_on) {
    atomic_store(&engine->stops_loads, is_on);
}

bool engine_has_loaded(Engine *engine, Str model) {
    const ModelCard *card;
    return look_up(engine, model, &card, NULL) != NULL;
}

/* For drivers: a chat at work lets those who wait go before it. */
static bool give_way(void *ctx) {
    Chat *chat = ctx;
    Engine *engine = chat->engine;
    bool ok = true;
    pthread_mutex_lock(&engine->queue_lock);
    if (chat->has_turn && chat->place.next) {
        unlink_waiter(engine, &chat->place);
        ok = chat->has_turn = wait_in_queue(engine, &chat->place, &chat->cancel);
    }
    pthread_mutex_unlock(&engine->queue_lock);
    return ok;
}

static void *open_state(Chat *chat, const Loaded *loaded, Err *err) {
    ChatHost host = {.cancel = &chat->cancel, .ctx = chat, .give_way = give_way};
    return loaded->driver->chat_open(loaded->model, &host, err);
}

Chat *chat_open(Engine *engine, Str model, Err *err) {
    double start = os_monotonic_ms();
    const Loaded *loaded = open_model(engine, model, err);
    if (!loaded)
        return NULL;
    Chat *chat = calloc(1, sizeof *chat);
    if (!chat) {
        err_set(err, ERR_NO_MEMORY, "out of memory for a chat");
        return NULL;
    }
    chat->engine = engine;
    chat->loaded = loaded;
    atomic_init(&chat->cancel, false);
    chat->state = open_state(chat, loaded, err);
    chat->load_ms = os_monotonic_ms() - start;
    if (!chat->state) {
        free(chat);
        return NULL;
    }
    chat_set_thinking(chat, true);
    return chat;
}

void chat_close(Chat *chat) {
    if (chat)
        chat->loaded->driver->chat_close(chat->state);
    free(chat);
}

const ModelCard *chat_card(const Chat *chat) {
    return chat->loaded->card;
}

size_t chat_context(const Chat *chat) {
    return chat->loaded->driver->context(chat->state);
}

const Tokenizer *chat_tokenizer(const Chat *chat) {
    return chat->loaded->driver->tokenizer(chat->state);
}

bool chat_count(Chat *chat, Str text, size_t *tokens, Err *err) {
    return chat->loaded->driver->count(chat->state, text, tokens, err);
}

void chat_set_thinking(Chat *chat, bool is_on) {
    chat->is_thinking = is_on;
    if (chat->loaded->driver->set_thinking)
        chat->loaded->driver->set_thinking(chat->state, is_on && !chat->loaded->card->is_terse);
}

size_t chat_length(const Chat *chat) {
    return chat->loaded->driver->length(chat->state);
}

void chat_rewind(Chat *chat, size_t keep) {
    chat->loaded->driver->rewind(chat->state, keep);
}

void chat_cancel(Chat *chat) {
    atomic_store(&chat->cancel, true);
    pthread_mutex_lock(&chat->engine->queue_lock);
    pthread_cond_broadcast(&chat->engine->queue_moved);
    pthread_mutex_unlock(&chat->engine->queue_lock);
}

void chat_clear_cancel(Chat *chat) {
    atomic_store(&chat->cancel, false);
}

/* ---- turns on the device ---- */

static bool begin_turn(Chat *chat, Err *err) {
    bool is_free = !chat->loaded->driver->uses_device;
    bool ok = is_free ? !atomic_load(&chat->cancel) : enter_queue(chat->engine, &chat->place, &chat->cancel);
    chat->has_turn = ok && !is_free;
    return ok || err_set(err, ERR_CANCELLED, "stopped");
}

static void end_turn(Chat *chat) {
    if (chat->has_turn)
        leave_queue(chat->engine, &chat->place);
    chat->has_turn = false;
}

/* After its device was lost, a chat begins anew where the model can still be run. */
static bool revive(Chat *chat, Err *err) {
    Engine *engine = chat->engine;
    const Loaded *old = chat->loaded;
    if (!old->driver->uses_device || !backend_is_lost(old->backend))
        return true;
    const Loaded *fresh = find_or_load(engine, old->card->path.len ? old->card->path : old->card->name, err);
    void *state = fresh ? open_state(chat, fresh, err) : NULL;
    if (!state)
        return false;
    old->driver->chat_close(chat->state);
    chat->loaded = fresh;
    chat->state = state;
    chat_set_thinking(chat, chat->is_thinking);
    return true;
}

static bool sync_prompt(Chat *chat, const PromptInput *prompt, Err *err) {
    chat->last_sync = (SyncReport){0};
    if (!begin_turn(chat, err))
        return false;
    bool ok = revive(chat, err) && chat->loaded->driver->sync(chat->state, prompt, &chat->last_sync, err);
    end_turn(chat);
    return ok;
}

bool chat_sync(Chat *chat, const Message *messages, size_t count, Err *err) {
    return sync_prompt(chat, &(PromptInput){.kind = PROMPT_OF_MESSAGES, .messages = messages, .count = count},
                       err);
}

bool chat_sync_text(Chat *chat, Str text, Err *err) {
    return sync_prompt(chat, &(PromptInput){.kind = PROMPT_OF_TEXT, .text = text}, err);
}

bool chat_sync_tokens(Chat *chat, const int32_t *ids, size_t count, Err *err) {
    return sync_prompt(chat, &(PromptInput){.kind = PROMPT_OF_TOKENS, .ids = ids, .count = count}, err);
}

bool chat_generate(Chat *chat, const Sampling *sampling, const GrammarSpec *grammar, ChatSink sink,
                   Usage *usage, Err *err) {
    Usage ignored;
    usage = usage ? usage : &ignored;
    *usage = (Usage){.prompt_tokens = chat->last_sync.prompt_tokens,
                     .cached_tokens = chat->last_sync.cached_tokens,
                     .difference = chat->last_sync.difference,
                     .prompt_ms = chat->last_sync.prompt_ms,
                     .stop = STOP_CANCELLED};
    if (!begin_turn(chat, err))
        return false;
    bool ok = chat->loaded->driver->generate(chat->state, sampling, grammar, sink, usage, err);
    end_turn(chat);
    return ok;
}

const float *chat_logits(Chat *chat, size_t *vocabulary) {
    *vocabulary = 0;
    if (!begin_turn(chat, NULL))
        return NULL;
    const float *logits = chat->loaded->driver->logits(chat->state, vocabulary);
    end_turn(chat);
    return logits;
}

void chat_report(Chat *chat, bool measure_bandwidth, LoadReport *out) {
    *out = (LoadReport){.load_ms = chat->load_ms};
    out->file_bytes = chat->loaded->card->file_bytes;
    chat->loaded->driver->report(chat->state, out);
    if (!chat->loaded->driver->uses_device) {
        memcpy(out->device, "scripted", sizeof "scripted");
        memcpy(out->backend, "none", sizeof "none");
        return;
    }
    DeviceInfo info;
    size_t own;
    Backend *backend = chat->loaded->backend;
    backend_info(backend, &info);
    snprintf(out->backend, sizeof out->backend, "%s", info.name);
    memcpy(out->device, info.description, sizeof out->device);
    memcpy(out->note, chat->loaded->note, sizeof out->note);
    if (!info.is_host)
        backend_memory(backend, &out->device_bytes, &own);
    if (measure_bandwidth && begin_turn(chat, NULL)) {
        out->read_bytes_per_second = backend_read_bandwidth(backend);
        end_turn(chat);
    }
}
