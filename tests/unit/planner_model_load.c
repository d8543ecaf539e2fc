/* Models that are loaded in the background: what sessions hear of it, and what the next turn says. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "planner/planner.h"
#include "tests/runner.h"

/* What one session hears, from any thread. */
typedef struct Ear {
    pthread_mutex_t lock;
    pthread_cond_t heard;
    int notices, ready, failed, done;
    TurnStop stop;
    char title[256], description[512], error[512];
    TurnUsage usage;
    char had[64], has[64];
} Ear;

static void hear(void *ctx, const TurnEvent *event) {
    Ear *ear = ctx;
    pthread_mutex_lock(&ear->lock);
    if (event->kind == TURN_NOTICE) {
        const Notice *notice = event->notice;
        snprintf(ear->title, sizeof ear->title, "%.*s", STR_ARG(notice->title));
        snprintf(ear->description, sizeof ear->description, "%.*s", STR_ARG(notice->description));
        ear->notices++;
        ear->failed += notice->level == NOTICE_ERROR;
        ear->ready += str_ends(notice->title, S(" is ready"));
    } else if (event->kind == TURN_DONE) {
        ear->done++;
        ear->stop = event->done->stop;
        ear->usage = event->done->usage;
        snprintf(ear->had, sizeof ear->had, "%.*s", STR_ARG(ear->usage.differs_had));
        snprintf(ear->has, sizeof ear->has, "%.*s", STR_ARG(ear->usage.differs_has));
        snprintf(ear->error, sizeof ear->error, "%s", event->done->error.text);
    }
    pthread_cond_broadcast(&ear->heard);
    pthread_mutex_unlock(&ear->lock);
}

/* Until the session was told how its load ended. */
static void wait_for_end(Ear *ear) {
    pthread_mutex_lock(&ear->lock);
    while (ear->ready + ear->failed == 0)
        pthread_cond_wait(&ear->heard, &ear->lock);
    pthread_mutex_unlock(&ear->lock);
}

typedef struct House {
    Arena arena;
    Engine *engine;
    Planner *planner;
} House;

static void house_open(House *house) {
    Err err = {0};
    *house = (House){0};
    house->engine = engine_open(&(EngineConfig){.default_model = S("echo"), .backend = S("ref")}, &err);
    CHECK_OK(house->engine != NULL, err);
    house->planner = planner_open(&(PlannerConfig){0}, house->engine, &err);
    CHECK_OK(house->planner != NULL, err);
}

static void house_close(House *house) {
    planner_close(house->planner);
    engine_close(house->engine);
    arena_free(&house->arena);
}

static Session *open_session(House *house, Ear *ear, const char *id) {
    Err err = {0};
    *ear = (Ear){0};
    pthread_mutex_init(&ear->lock, NULL);
    pthread_cond_init(&ear->heard, NULL);
    Session *s = session_open(house->planner, &(SessionConfig){.id = str_of(id), .cwd = str_of(test_tmp())},
                              file_io_disk(), &err);
    CHECK_OK(s != NULL, err);
    session_set_news(s, (TurnSink){ear, hear});
    return s;
}

static void run_turn(Session *s, Ear *ear) {
    Err err = {0};
    CHECK_OK(turn_start(s, &(Ask){.text = S("hello there")}, (TurnSink){ear, hear}, &err), err);
    turn_wait(s);
}

static Str script(House *house, const char *name, const char *text) {
    Err err = {0};
    Str path = str_printf(&house->arena, "%s/%s", test_tmp(), name);
    if (text)
        CHECK_OK(os_write_file(path.ptr, str_of(text), &err), err);
    return str_concat(&house->arena, S("script:"), path);
}

static void sessions_share_a_load(void) {
    enum { SESSIONS = 5 };
    House house;
    house_open(&house);
    Ear ears[SESSIONS];
    Session *sessions[SESSIONS];
    Str model = script(&house, "r.txt", "--- reply repeat\nhi\n");
    for (int i = 0; i < SESSIONS; i++)
        sessions[i] = open_session(&house, &ears[i], str_printf(&house.arena, "s%d", i).ptr);
    CHECK(!engine_has_loaded(house.engine, model));
    for (int i = 0; i < SESSIONS; i++)
        session_set_model(sessions[i], model);
    wait_for_end(&ears[0]);
    CHECK(engine_has_loaded(house.engine, model));
    for (int i = 0; i < SESSIONS; i++) {
        run_turn(sessions[i], &ears[i]);
        CHECK_INT(ears[i].stop, TURN_STOP_END);
        CHECK(!session_is_loading(sessions[i]));
        CHECK_INT(ears[i].failed, 0);
        CHECK(ears[i].ready <= 1); /* none for who chose it when it was there */
    }
    for (int i = 0; i < SESSIONS; i++)
        session_close(sessions[i]);
    house_close(&house);
}

/* The failure is told at once, once more by the next turn, and the turn after that tries again. */
static void a_failure_is_told_twice(void) {
    House house;
    Ear ear;
    house_open(&house);
    Session *s = open_session(&house, &ear, "s");
    Str model = script(&house, "later.txt", NULL);
    session_set_model(s, model);
    wait_for_end(&ear);
    CHECK_INT(ear.failed, 1);
    CHECK_MSG(strstr(ear.title, "could not be loaded"), "%s", ear.title);
    CHECK_MSG(strstr(ear.description, "later.txt"), "%s", ear.description);
    script(&house, "later.txt", "--- reply repeat\nhi\n");
    run_turn(s, &ear);
    CHECK_INT(ear.stop, TURN_STOP_FAILED);
    CHECK_STR(str_of(ear.error), str_of(ear.description));
    run_turn(s, &ear);
    CHECK_INT(ear.stop, TURN_STOP_END);
    CHECK_INT(ear.failed, 1);
    session_close(s);
    house_close(&house);
}

static void another_choice_forgets_a_failure(void) {
    House house;
    Ear ear;
    house_open(&house);
    Session *s = open_session(&house, &ear, "s");
    session_set_model(s, script(&house, "none.txt", NULL));
    wait_for_end(&ear);
    session_set_model(s, S("echo"));
    run_turn(s, &ear);
    CHECK_INT(ear.stop, TURN_STOP_END);
    session_close(s);
    house_close(&house);
}

/* Whenever the session goes, nobody tells it anything afterwards and nothing hangs. */
static void a_session_may_go_meanwhile(void) {
    House house;
    house_open(&house);
    for (int i = 0; i < 50; i++) {
        Ear ear;
        Session *s = open_session(&house, &ear, "s");
        session_set_model(s, script(&house, str_printf(&house.arena, "m%d.txt", i).ptr,
                                    i % 2 ? "--- reply repeat\nhi\n" : NULL));
        if (i % 3 == 0) {
            Err err = {0};
            CHECK_OK(turn_start(s, &(Ask){.text = S("x y")}, (TurnSink){&ear, hear}, &err), err);
            turn_cancel(s);
        }
        session_close(s);
        int notices = ear.notices;
        CHECK(notices <= 1);
    }
    house_close(&house);
}

/* ---- what a turn says of its prompts ---- */

static void usage_tells_where_prompts_part(void) {
    House house;
    Ear ear;
    house_open(&house);
    Session *s = open_session(&house, &ear, "s");
    session_set_model(s, script(&house, "r.txt", "--- reply repeat\nhi\n"));
    run_turn(s, &ear);
    CHECK_INT(ear.stop, TURN_STOP_END);
    CHECK(ear.usage.prompts >= 1 && ear.usage.prompt_tokens > 0);
    CHECK_INT(ear.usage.cached_tokens, 0);
    CHECK(!ear.usage.has_difference);
    CHECK_INT(ear.usage.budget, ear.usage.context_size / 4 * 3);
    run_turn(s, &ear);
    CHECK(ear.usage.cached_tokens > 0 && ear.usage.cached_tokens < ear.usage.prompt_tokens);
    if (ear.usage.has_difference)
        CHECK_MSG(strcmp(ear.had, ear.has) != 0, "\"%s\" and \"%s\"", ear.had, ear.has);
    session_close(s);
    house_close(&house);
}

/* What was said goes on with another model, also when one in between could not be had. */
static void the_conversation_survives_a_switch(void) {
    House house;
    Ear ear;
    house_open(&house);
    Session *s = open_session(&house, &ear, "s");
    session_set_model(s, script(&house, "one.txt", "--- reply\nfirst answer\n"));
    run_turn(s, &ear);
    CHECK_INT(ear.stop, TURN_STOP_END);
    size_t first = ear.usage.prompt_tokens;
    session_set_model(s, script(&house, "none.txt", NULL));
    run_turn(s, &ear);
    CHECK_INT(ear.stop, TURN_STOP_FAILED);
    session_set_model(s, script(&house, "two.txt", "--- reply when: nowhere\nx\n--- reply\nsecond\n"));
    run_turn(s, &ear);
    CHECK_INT(ear.stop, TURN_STOP_END);
    CHECK(ear.usage.prompt_tokens > first); /* the first request and its answer are in it */
    CHECK_INT(ear.usage.cached_tokens, 0);
    session_close(s);
    house_close(&house);
}

static const TestCase CASES[] = {
    {"sessions share a load", sessions_share_a_load},
    {"a failure is told twice", a_failure_is_told_twice},
    {"another choice forgets a failure", another_choice_forgets_a_failure},
    {"a session may go meanwhile", a_session_may_go_meanwhile},
    {"the conversation survives a switch", the_conversation_survives_a_switch},
    {"usage tells where prompts part", usage_tells_where_prompts_part},
};
TEST_SUITE(PLANNER_MODEL_LOAD_SUITE, "model_load", CASES);
