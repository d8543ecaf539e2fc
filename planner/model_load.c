#define _POSIX_C_SOURCE 200809L
#include "planner/model_load.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "planner/planner_internal.h"

enum {
    QUIET_MS = 300, /* a load that takes less is not announced */
    LOOK_MS = 10,   /* how soon a waiting turn sees a cancel */
};

typedef struct ModelLoad {
    struct ModelLoad *next;
    ModelLoads *loads;
    char *model;
    Session *sessions; /* those to tell */
    size_t users;      /* threads that look at this */
    bool is_done, is_announced;
    LoadReport report;
    Err err; /* code ERR_NONE: it went well */
} ModelLoad;

struct ModelLoads {
    Engine *engine;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    ModelLoad *running;
    size_t threads;
};

ModelLoads *model_loads_open(Engine *engine) {
    ModelLoads *loads = calloc(1, sizeof *loads);
    if (!loads)
        return NULL;
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    loads->engine = engine;
    pthread_mutex_init(&loads->lock, NULL);
    pthread_cond_init(&loads->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    return loads;
}

void model_loads_close(ModelLoads *loads) {
    if (!loads)
        return;
    if (loads->engine)
        engine_stop_loads(loads->engine, true);
    pthread_mutex_lock(&loads->lock);
    while (loads->threads)
        pthread_cond_wait(&loads->changed, &loads->lock);
    pthread_mutex_unlock(&loads->lock);
    if (loads->engine)
        engine_stop_loads(loads->engine, false);
    pthread_cond_destroy(&loads->changed);
    pthread_mutex_destroy(&loads->lock);
    free(loads);
}

/* ---- telling; under the lock, so that no session goes meanwhile ---- */

static void tell(Session *s, NoticeLevel level, Str title, Str description) {
    pthread_mutex_lock(&s->lock);
    TurnSink news = s->news;
    pthread_mutex_unlock(&s->lock);
    Notice notice = {.level = level, .title = title, .description = description};
    if (news.event)
        news.event(news.ctx, &(TurnEvent){.kind = TURN_NOTICE, .notice = &notice});
}

static void set_loading(Session *s, bool is_loading) {
    pthread_mutex_lock(&s->lock);
    s->is_loading = is_loading;
    pthread_mutex_unlock(&s->lock);
}

static void announce(ModelLoad *load) {
    Arena arena = {0};
    Str title = str_printf(&arena, "Loading the model %s", load->model);
    for (Session *s = load->sessions; s; s = s->load.next)
        tell(s, NOTICE_INFO, title, S("Prompts wait until it is ready."));
    load->is_announced = true;
    arena_free(&arena);
}

static void keep_failure(Session *s, const ModelLoad *load) {
    free(s->load.failed_model);
    s->load.failed_model = strdup(load->model);
    s->load.has_failed = s->load.failed_model != NULL;
    s->load.failure = load->err;
}

static void tell_end(ModelLoad *load) {
    Arena arena = {0};
    bool has_failed = load->err.code != ERR_NONE;
    Str title = str_printf(&arena, has_failed ? "The model %s could not be loaded" : "The model %s is ready",
                           load->model);
    Str text = has_failed ? str_of(load->err.text)
                          : str_printf(&arena, "Loaded in %.1f s, %.1f MB", load->report.load_ms / 1000,
                                       (double)load->report.file_bytes / 1e6);
    while (load->sessions) {
        Session *s = load->sessions;
        load->sessions = s->load.next;
        s->load.load = NULL;
        s->load.next = NULL;
        if (has_failed)
            keep_failure(s, load);
        set_loading(s, false);
        tell(s, has_failed ? NOTICE_ERROR : NOTICE_INFO, title, text);
    }
    arena_free(&arena);
}

/* ---- loading ---- */

static void drop(ModelLoad *load) {
    if (--load->users)
        return;
    free(load->model);
    free(load);
}

static void end_load(ModelLoad *load) {
    ModelLoads *loads = load->loads;
    ModelLoad **link = &loads->running;
    while (*link != load)
        link = &(*link)->next;
    *link = load->next;
    load->is_done = true;
    tell_end(load);
    drop(load);
    loads->threads--;
    pthread_cond_broadcast(&loads->changed);
}

static void *load_main(void *argument) {
    ModelLoad *load = argument;
    ModelLoads *loads = load->loads;
    LoadReport report = {0};
    Err err = {0};
    engine_load(loads->engine, str_of(load->model), &report, &err);
    pthread_mutex_lock(&loads->lock);
    load->report = report;
    load->err = err;
    end_load(load);
    pthread_mutex_unlock(&loads->lock);
    return NULL;
}

static struct timespec after_ms(long ms) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec += ms % 1000 * 1000000;
    at.tv_sec += ms / 1000 + at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    return at;
}

/* Looks on, and says so when it takes its time. */
static void *watch_main(void *argument) {
    ModelLoad *load = argument;
    ModelLoads *loads = load->loads;
    struct timespec end = after_ms(QUIET_MS);
    pthread_mutex_lock(&loads->lock);
    while (!load->is_done && pthread_cond_timedwait(&loads->changed, &loads->lock, &end) == 0) {
    }
    if (!load->is_done)
        announce(load);
    drop(load);
    loads->threads--;
    pthread_cond_broadcast(&loads->changed);
    pthread_mutex_unlock(&loads->lock);
    return NULL;
}

/* Under the lock, as all that follows. False: there is no thread to be had. */
static bool start_thread(ModelLoad *load, void *(*function)(void *)) {
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    load->users++;
    load->loads->threads++;
    bool ok = pthread_create(&thread, &attributes, function, load) == 0;
    pthread_attr_destroy(&attributes);
    if (!ok) {
        load->users--;
        load->loads->threads--;
    }
    return ok;
}

static ModelLoad *find_running(ModelLoads *loads, Str model) {
    ModelLoad *load = loads->running;
    while (load && !str_eq(str_of(load->model), model))
        load = load->next;
    return load;
}

/* NULL: no memory or thread for it; the model is loaded when it is used then. */
static ModelLoad *start_load(ModelLoads *loads, Str model) {
    ModelLoad *load = calloc(1, sizeof *load);
    char *name = malloc(model.len + 1);
    if (load && name) {
        if (model.len)
            memcpy(name, model.ptr, model.len);
        name[model.len] = 0;
        *load = (ModelLoad){.loads = loads, .model = name};
        if (start_thread(load, load_main)) {
            load->next = loads->running;
            loads->running = load;
            return load;
        }
    }
    free(load);
    free(name);
    return NULL;
}

static ModelLoad *join_load(ModelLoads *loads, Str model) {
    ModelLoad *load = find_running(loads, model);
    return load ? load : start_load(loads, model);
}

/* ---- sessions ---- */

static void leave(Session *s) {
    ModelLoad *load = s->load.load;
    if (!load)
        return;
    Session **link = &load->sessions;
    while (*link != s)
        link = &(*link)->load.next;
    *link = s->load.next;
    s->load.load = NULL;
    s->load.next = NULL;
    set_loading(s, false);
}

void model_load_leave(Session *s) {
    ModelLoads *loads = s->planner->loads;
    if (!loads)
        return;
    pthread_mutex_lock(&loads->lock);
    leave(s);
    pthread_mutex_unlock(&loads->lock);
    free(s->load.failed_model);
    s->load = (SessionLoad){0};
}

void model_load_begin(Session *s, Str model) {
    ModelLoads *loads = s->planner->loads;
    if (!loads)
        return;
    bool is_needed = !engine_has_loaded(loads->engine, model);
    pthread_mutex_lock(&loads->lock);
    leave(s);
    s->load.has_failed = false;
    bool is_first = !find_running(loads, model);
    ModelLoad *load = is_needed ? join_load(loads, model) : NULL;
    if (load) {
        s->load.load = load;
        s->load.next = load->sessions;
        load->sessions = s;
        set_loading(s, true);
        if (is_first)
            start_thread(load, watch_main);
    }
    pthread_mutex_unlock(&loads->lock);
}

bool session_is_loading(Session *s) {
    pthread_mutex_lock(&s->lock);
    bool is_loading = s->is_loading;
    pthread_mutex_unlock(&s->lock);
    return is_loading;
}

/* ---- turns ---- */

/* What the session was told already fails its next turn, once; after that it is tried again. */
static bool take_failure(Session *s, Str model, Err *err) {
    SessionLoad *load = &s->load;
    bool has_failed = load->has_failed && str_eq(str_of(load->failed_model), model);
    if (has_failed)
        *err = load->failure;
    load->has_failed = false;
    return has_failed;
}

static void wait_for(Turn *turn, ModelLoads *loads, ModelLoad *load) {
    long waited = 0;
    while (!load->is_done && !turn_is_cancelled(turn)) {
        struct timespec soon = after_ms(LOOK_MS);
        if (pthread_cond_timedwait(&loads->changed, &loads->lock, &soon) == 0)
            continue;
        waited += LOOK_MS;
        if (waited != QUIET_MS)
            continue;
        pthread_mutex_unlock(&loads->lock);
        turn_thought(turn, S("The model is being loaded.\n"));
        pthread_mutex_lock(&loads->lock);
    }
}

bool model_load_wait(Turn *turn, Str model, Err *err) {
    Session *s = turn->session;
    ModelLoads *loads = s->planner->loads;
    if (!loads)
        return true;
    bool is_there = engine_has_loaded(loads->engine, model), ok = true;
    pthread_mutex_lock(&loads->lock);
    ModelLoad *load = NULL;
    if (take_failure(s, model, err))
        ok = false;
    else if (!is_there)
        load = join_load(loads, model);
    if (load) {
        load->users++;
        wait_for(turn, loads, load);
        if (!load->is_done)
            ok = err_set(err, ERR_CANCELLED, "cancelled");
        else if (load->err.code != ERR_NONE) {
            ok = false;
            *err = load->err;
            s->load.has_failed = false; /* this is the turn that says it */
        }
        drop(load);
    }
    pthread_mutex_unlock(&loads->lock);
    return ok;
}
