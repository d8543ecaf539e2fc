/* Sessions that are taken up again: with what was said, what was written and what was chosen. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/os.h"
#include "planner/planner.h"
#include "tests/runner.h"

typedef struct House {
    Arena arena;
    Engine *engine;
    Planner *planner;
    Str folder, state;
} House;

typedef struct Heard {
    Arena arena;
    Buf users, text, titles, tools, notices;
    size_t diffs, plans, done, commands;
    Str old_text, new_text;
    TurnStop stop;
} Heard;

static void hear(void *ctx, const TurnEvent *event) {
    Heard *h = ctx;
    switch (event->kind) {
    case TURN_USER:
        buf_printf(&h->users, "%.*s", STR_ARG(event->text));
        for (size_t i = 0; i < event->attachment_count; i++)
            buf_printf(&h->users, " +%.*s", STR_ARG(event->attachments[i].uri));
        buf_char(&h->users, '\n');
        break;
    case TURN_TEXT: buf_str(&h->text, event->text); break;
    case TURN_TITLE: buf_printf(&h->titles, "%.*s\n", STR_ARG(event->text)); break;
    case TURN_NOTICE: buf_printf(&h->notices, "%.*s\n", STR_ARG(event->notice->title)); break;
    case TURN_PLAN: h->plans++; break;
    case TURN_TOOL:
        buf_printf(&h->tools, "%.*s:%d ", STR_ARG(event->tool->id), (int)event->tool->status);
        h->diffs += event->tool->diff_count;
        if (event->tool->diff_count) {
            h->old_text = str_copy(&h->arena, event->tool->diffs[0].old_text);
            h->new_text = str_copy(&h->arena, event->tool->diffs[0].new_text);
        }
        break;
    case TURN_DONE:
        h->done++;
        h->stop = event->done->stop;
        break;
    default: break;
    }
}

static void heard_free(Heard *h) {
    buf_free(&h->users);
    buf_free(&h->text);
    buf_free(&h->titles);
    buf_free(&h->tools);
    buf_free(&h->notices);
    arena_free(&h->arena);
}

static Planner *open_planner(House *h) {
    Err err = {0};
    Planner *planner = planner_open(&(PlannerConfig){.state_folder = h->state}, h->engine, &err);
    CHECK_OK(planner != NULL, err);
    return planner;
}

static void house_open(House *h, const char *script) {
    *h = (House){0};
    Err err = {0};
    Str tmp = str_of(test_tmp()), file = str_printf(&h->arena, "%.*s/model.txt", STR_ARG(tmp));
    h->folder = str_printf(&h->arena, "%.*s/project", STR_ARG(tmp));
    h->state = str_printf(&h->arena, "%.*s/state", STR_ARG(tmp));
    CHECK_OK(os_make_dirs(h->folder.ptr, &err), err);
    CHECK_OK(os_write_file(file.ptr, str_of(script), &err), err);
    CHECK_OK(os_write_file(str_printf(&h->arena, "%.*s/a.py", STR_ARG(h->folder)).ptr,
                           S("def one():\n    return 1\n"), &err),
             err);
    EngineConfig config = {.default_model = str_printf(&h->arena, "script:%.*s", STR_ARG(file))};
    h->engine = engine_open(&config, &err);
    CHECK_OK(h->engine != NULL, err);
    h->planner = open_planner(h);
}

/* As another process would find things. */
static void house_again(House *h) {
    planner_close(h->planner);
    h->planner = open_planner(h);
}

static void house_close(House *h) {
    planner_close(h->planner);
    engine_close(h->engine);
    arena_free(&h->arena);
}

static SessionConfig config_of(const House *h, const char *id) {
    return (SessionConfig){.id = str_of(id), .cwd = h->folder, .review = REVIEW_AUTO, .grain = GRAIN_FILE};
}

static Session *open_session(House *h, const char *id) {
    SessionConfig config = config_of(h, id);
    Err err = {0};
    Session *session = session_open(h->planner, &config, file_io_disk(), &err);
    CHECK_OK(session != NULL, err);
    return session;
}

static Session *restore(House *h, const char *id) {
    SessionConfig config = config_of(h, id);
    Err err = {0};
    Session *session = session_restore(h->planner, &config, file_io_disk(), &err);
    CHECK_OK(session != NULL, err);
    return session;
}

static void turn(Session *session, const char *prompt, Heard *heard) {
    static const Attachment FILES[] = {
        {.uri = STR_INIT("file:///nowhere/x.c#L2:3"), .first_line = 2, .last_line = 3}};
    bool has_file = strstr(prompt, "attached") != NULL;
    Ask ask = {.text = str_of(prompt), .attachments = FILES, .attachment_count = has_file};
    Err err = {0};
    CHECK_OK(turn_start(session, &ask, (TurnSink){heard, hear}, &err), err);
    turn_wait(session);
    CHECK_INT(heard->done, 1);
}

static void replay(Session *session, Heard *heard) {
    Err err = {0};
    CHECK_OK(session_replay(session, (TurnSink){heard, hear}, &err), err);
}

#define EDIT(old, new)                                                                                       \
    "--- reply\nI change it.\n\na.py\n<<<<<<< SEARCH\n" old "=======\n" new ">>>>>>> REPLACE\n"

/* What was said, with its diff, comes back after the process; the numbers go on. */
static void test_goes_on(void) {
    House h;
    house_open(&h, EDIT("    return 1\n", "    return 2\n") EDIT("    return 2\n", "    return 3\n"));
    Session *s = open_session(&h, "s");
    Heard first = {0}, again = {0}, second = {0}, both = {0};
    turn(s, "make one return 2 in a.py, see the attached file\nand nothing else", &first);
    CHECK_INT(first.stop, TURN_STOP_END);
    CHECK_STR(buf_text(&first.titles), S("make one return 2 in a.py, see the attached file\n"));
    CHECK_INT(first.users.len, 0);
    session_set_grain(s, GRAIN_HUNK);
    session_set_terse(s, true);
    session_close(s);
    house_again(&h);

    s = restore(&h, "s");
    SessionOptions options = session_options(s);
    CHECK_INT(options.review, REVIEW_AUTO);
    CHECK_INT(options.grain, GRAIN_HUNK);
    CHECK(options.is_terse);
    replay(s, &again);
    CHECK_STR(buf_text(&again.users), S("make one return 2 in a.py, see the attached file\nand nothing else "
                                        "+file:///nowhere/x.c#L2:3\n"));
    CHECK_STR(buf_text(&again.text), buf_text(&first.text));
    CHECK_STR(buf_text(&again.titles), buf_text(&first.titles));
    CHECK_INT(again.diffs, 1);
    CHECK_STR(again.old_text, S("def one():\n    return 1\n"));
    CHECK_STR(again.new_text, S("def one():\n    return 2\n"));
    CHECK_INT(again.plans, 1);

    session_set_grain(s, GRAIN_FILE);
    turn(s, "and now 3 in a.py", &second);
    CHECK_INT(second.stop, TURN_STOP_END);
    CHECK_INT(second.titles.len, 0);
    replay(s, &both);
    CHECK_INT(both.diffs, 2);
    CHECK_STR(both.new_text, S("def one():\n    return 3\n"));
    CHECK(str_contains(buf_text(&both.users), S("nothing else")) &&
          str_ends(buf_text(&both.users), S("and now 3 in a.py\n")));
    session_close(s);
    heard_free(&first);
    heard_free(&again);
    heard_free(&second);
    heard_free(&both);
    house_close(&h);
}

static void test_fork(void) {
    House h;
    house_open(&h, EDIT("    return 1\n", "    return 2\n") EDIT("    return 2\n", "    return 3\n"));
    Session *s = open_session(&h, "s");
    Heard first = {0}, copied = {0}, original = {0}, more = {0};
    turn(s, "make one return 2 in a.py", &first);
    SessionConfig config = config_of(&h, "t");
    Err err = {0};
    Session *t = session_fork(h.planner, S("s"), &config, file_io_disk(), &err);
    CHECK_OK(t != NULL, err);
    turn(t, "then 3 in a.py", &more);
    replay(t, &copied);
    replay(s, &original);
    CHECK_INT(copied.diffs, 2);
    CHECK_INT(original.diffs, 1);
    CHECK_STR(buf_text(&original.titles), buf_text(&copied.titles));
    CHECK(!session_fork(h.planner, S("nobody"), &config, file_io_disk(), &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    session_close(t);
    session_close(s);
    heard_free(&first);
    heard_free(&copied);
    heard_free(&original);
    heard_free(&more);
    house_close(&h);
}

/* Turns that fail or are cancelled are part of the story. */
static void test_failed_and_cancelled(void) {
    House h;
    house_open(&h, "delay: 50\npiece: 4\n--- reply\nOne line.\nAnother.\nAnd many more, and more, and more, "
                   "and more.\n");
    Session *s = open_session(&h, "s");
    Heard cancelled = {0}, failed = {0}, all = {0};
    Ask ask = {.text = S("tell me about a.py")};
    Err err = {0};
    CHECK_OK(turn_start(s, &ask, (TurnSink){&cancelled, hear}, &err), err);
    CHECK(!session_replay(s, (TurnSink){&all, hear}, &err));
    CHECK_INT(err.code, ERR_CONFLICT);
    SessionConfig config = config_of(&h, "t");
    CHECK(!session_fork(h.planner, S("s"), &config, file_io_disk(), &err));
    CHECK_INT(err.code, ERR_CONFLICT);
    turn_cancel(s);
    turn_wait(s);
    CHECK_INT(cancelled.stop, TURN_STOP_CANCELLED);
    turn(s, "change a.py once", &failed); /* may take the reply that the cancel left over */
    heard_free(&failed);
    failed = (Heard){0};
    turn(s, "change a.py again", &failed);
    CHECK_INT(failed.stop, TURN_STOP_FAILED);
    session_close(s);
    house_again(&h);
    s = restore(&h, "s");
    replay(s, &all);
    CHECK_STR(buf_text(&all.users), S("tell me about a.py\nchange a.py once\nchange a.py again\n"));
    CHECK_STR(buf_text(&all.titles), S("tell me about a.py\n"));
    PlannerStats stats;
    planner_stats(h.planner, &stats);
    CHECK_INT(stats.sessions_open, 1);
    CHECK_INT(stats.turns, 0);
    session_close(s);
    planner_stats(h.planner, &stats);
    CHECK_INT(stats.sessions_open, 0);
    heard_free(&cancelled);
    heard_free(&failed);
    heard_free(&all);
    house_close(&h);
}

static void test_titles(void) {
    static const struct {
        const char *prompt, *title;
    } ROWS[] = {
        {"  short \t one\nsecond line", "short one"},
        {"12345678 12345678 12345678 12345678 12345678 12345678 1234567890 more",
         "12345678 12345678 12345678 12345678 12345678 12345678"},
        {"\xC3\xA9\xC3\xA9\xC3\xA9", "\xC3\xA9\xC3\xA9\xC3\xA9"},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"},
    };
    House h;
    house_open(&h, "--- reply\nNothing.\n");
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        Heard heard = {0};
        Session *s = open_session(&h, str_printf(&h.arena, "s%zu", i).ptr);
        turn(s, ROWS[i].prompt, &heard);
        CHECK_STR(str_trim(buf_text(&heard.titles)), str_of(ROWS[i].title));
        session_close(s);
        heard_free(&heard);
    }
    /* A given one stays; a command gives none. */
    Heard heard = {0};
    Err err = {0};
    Str kept;
    Session *s = open_session(&h, "given");
    CHECK(!planner_set_title(h.planner, S("given"), S(" \t"), &h.arena, &kept, &err));
    CHECK_INT(err.code, ERR_INVALID);
    CHECK_OK(planner_set_title(h.planner, S("given"), S("  My own\n"), &h.arena, &kept, &err), err);
    CHECK_STR(kept, S("My own"));
    turn(s, "something else", &heard);
    CHECK_INT(heard.titles.len, 0);
    session_close(s);
    CHECK(!planner_set_title(h.planner, S("nobody"), S("x"), &h.arena, &kept, &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    heard_free(&heard);
    heard = (Heard){0};
    s = open_session(&h, "command");
    turn(s, "/help", &heard);
    CHECK_INT(heard.titles.len, 0);
    session_close(s);
    SessionPage page;
    CHECK_OK(planner_sessions(h.planner, S(""), S(""), 10, &h.arena, &page, &err), err);
    CHECK_INT(page.count, 6);
    CHECK_STR(page.items[0].id, S("command"));
    CHECK_STR(page.items[1].title, S("My own"));
    CHECK_OK(planner_forget(h.planner, S("given"), &err), err);
    CHECK(!planner_has_session(h.planner, S("given")));
    heard_free(&heard);
    house_close(&h);
}

/* Without a place for them sessions are not kept; the first turn says so, and everything else goes on. */
static void test_no_place(void) {
    House h;
    house_open(&h, "--- reply\nNothing.\n--- reply\nNothing.\n");
    planner_close(h.planner);
    Err err = {0};
    h.state = str_printf(&h.arena, "%s/model.txt/state", test_tmp()); /* below a file */
    h.planner = open_planner(&h);
    Session *s = open_session(&h, "s");
    Heard one = {0}, two = {0}, none = {0};
    turn(s, "look at a.py", &one);
    turn(s, "look at a.py", &two);
    CHECK_STR(buf_text(&one.notices), S("Conversations are not kept\n"));
    CHECK_INT(two.notices.len, 0);
    CHECK_STR(buf_text(&one.titles), S("look at a.py\n"));
    replay(s, &none);
    CHECK_INT(none.users.len, 0);
    session_close(s);
    SessionConfig config = config_of(&h, "s");
    CHECK(!session_restore(h.planner, &config, file_io_disk(), &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    heard_free(&one);
    heard_free(&two);
    heard_free(&none);
    house_close(&h);
}

/* Sessions share the store: while some work, others are replayed and named. */
static void test_many_at_once(void) {
    enum { SESSIONS = 8 };
    House h;
    house_open(&h, "piece: 3\n--- reply repeat\nOne line of an answer.\nAnd another one, not much longer.\n");
    Session *sessions[SESSIONS];
    Heard heard[SESSIONS] = {0};
    Err err = {0};
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < SESSIONS; i++) {
            if (round == 0)
                sessions[i] = open_session(&h, str_printf(&h.arena, "s%zu", i).ptr);
            Ask ask = {.text = S("what is in a.py?")};
            CHECK_OK(turn_start(sessions[i], &ask, (TurnSink){&heard[i], hear}, &err), err);
        }
        Str kept;
        SessionPage page;
        CHECK_OK(planner_set_title(h.planner, S("s0"), S("Named"), &h.arena, &kept, &err), err);
        CHECK_OK(planner_sessions(h.planner, S(""), S(""), 10, &h.arena, &page, &err), err);
        for (size_t i = 0; i < SESSIONS; i++) {
            Heard again = {0};
            session_set_grain(sessions[i], GRAIN_HUNK);
            turn_wait(sessions[i]);
            replay(sessions[i], &again);
            CHECK_STR(buf_text(&again.text), buf_text(&heard[i].text));
            CHECK_INT(heard[i].done, round + 1);
            heard_free(&again);
        }
    }
    for (size_t i = 0; i < SESSIONS; i++) {
        session_close(sessions[i]);
        heard_free(&heard[i]);
    }
    house_close(&h);
}

/* Two processes with one session, a turn here and a turn there: everything that happened is kept. */
static void test_two_processes(void) {
    House h;
    house_open(&h, EDIT("    return 1\n", "    return 2\n") EDIT("    return 2\n", "    return 3\n")
                       EDIT("    return 3\n", "    return 4\n") EDIT("    return 4\n", "    return 5\n"));
    Planner *first = h.planner, *second = open_planner(&h);
    Session *here = open_session(&h, "s");
    Heard heard[4] = {0}, all = {0};
    turn(here, "make it 2 in a.py", &heard[0]);
    h.planner = second;
    Session *there = restore(&h, "s");
    turn(there, "make it 3 in a.py", &heard[1]);
    turn(here, "make it 4 in a.py", &heard[2]);
    session_set_grain(here, GRAIN_HUNK);
    turn(there, "make it 5 in a.py", &heard[3]);
    replay(here, &all);
    CHECK_STR(buf_text(&all.users),
              S("make it 2 in a.py\nmake it 3 in a.py\nmake it 4 in a.py\nmake it 5 in a.py\n"));
    CHECK_INT(all.diffs, 4);
    CHECK_INT(all.plans, 4);
    CHECK_STR(all.new_text, S("def one():\n    return 5\n"));
    session_close(there);
    planner_close(second);
    h.planner = first;
    session_close(here);
    for (size_t i = 0; i < 4; i++)
        heard_free(&heard[i]);
    heard_free(&all);
    house_close(&h);
}

static void test_stats(void) {
    House h;
    house_open(&h, EDIT("    return 1\n", "    return 2\n"));
    Session *s = open_session(&h, "s");
    Heard one = {0}, two = {0};
    turn(s, "make one return 2 in a.py", &one);
    turn(s, "make one return 5 in a.py", &two);
    PlannerStats stats;
    planner_stats(h.planner, &stats);
    CHECK_INT(stats.sessions_open, 1);
    CHECK_INT(stats.turns, 2);
    CHECK_INT(stats.turns_failed, 1);
    CHECK_INT(stats.turns_running, 0);
    CHECK_INT(stats.files_changed, 1);
    CHECK(stats.prompts >= 1);
    CHECK(stats.prompt_tokens > 0 && stats.output_tokens > 0 && stats.tool_calls > 0);
    session_close(s);
    heard_free(&one);
    heard_free(&two);
    house_close(&h);
}

static const TestCase CASES[] = {
    {"goes_on", test_goes_on},
    {"fork", test_fork},
    {"failed_and_cancelled", test_failed_and_cancelled},
    {"titles", test_titles},
    {"no_place", test_no_place},
    {"stats", test_stats},
    {"two_processes", test_two_processes},
    {"many_at_once", test_many_at_once},
};
TEST_SUITE(PLANNER_KEPT_SUITE, "kept", CASES);
