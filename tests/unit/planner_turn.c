/* Whole turns on a real folder with the scripted model: what reaches the user, what reaches the disk. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "planner/planner.h"
#include "tests/runner.h"
#include "workspace/workspace.h"

typedef struct Watch {
    Session *session;
    Arena arena;
    Buf text, thoughts;
    TurnDone done;
    Str unified, backup, problems, notes, question_path;
    int questions, done_events, events_after_done, diffs, plans, texts;
    DecisionKind decision;
    const bool *keep;  /* per hunk; NULL: all */
    uint64_t wrong_id; /* named too, when not 0 */
    const char *text_answer;
    bool answers, cancels_at_question;
    const char *overwrite; /* written by "someone else" when the question comes */
    atomic_bool saw_event;
} Watch;

static void keep_by_id(Watch *w, const ToolDiff *diff, Decision *decision) {
    if (!w->keep)
        return;
    uint64_t *ids = ARENA_ARRAY(&w->arena, uint64_t, diff->hunk_count + 1);
    for (size_t i = 0; i < diff->hunk_count; i++)
        if (w->keep[i])
            ids[decision->keep_count++] = diff->hunk_ids[i];
    if (w->wrong_id)
        ids[decision->keep_count++] = w->wrong_id;
    decision->keep_ids = ids;
}

static void on_event(void *ctx, const TurnEvent *event) {
    Watch *w = ctx;
    atomic_store(&w->saw_event, true);
    w->events_after_done += w->done_events > 0;
    switch (event->kind) {
    case TURN_TEXT:
        buf_str(&w->text, event->text);
        w->texts++;
        break;
    case TURN_THOUGHT: buf_str(&w->thoughts, event->text); break;
    case TURN_PLAN: w->plans++; break;
    case TURN_TOOL: w->diffs += event->tool->diff_count > 0 && event->tool->is_first; break;
    case TURN_USER:
    case TURN_TITLE:
    case TURN_NOTICE:
    case TURN_COMPACTION:
    case TURN_USAGE: break;
    case TURN_QUESTION: {
        w->questions++;
        w->question_path = str_copy(&w->arena, event->question->tool.diffs[0].path);
        if (w->overwrite)
            CHECK(os_write_file(w->question_path.ptr, str_of(w->overwrite), NULL));
        if (w->cancels_at_question)
            turn_cancel(w->session);
        Decision decision = {.kind = w->decision, .has_text = w->text_answer != NULL};
        decision.text = str_of(w->text_answer);
        keep_by_id(w, &event->question->tool.diffs[0], &decision);
        if (w->answers)
            CHECK(turn_answer(w->session, event->question->id, &decision));
        CHECK(!turn_answer(w->session, event->question->id + 100, &decision));
        break;
    }
    case TURN_DONE: {
        w->done_events++;
        w->done = *event->done;
        w->unified = str_copy(&w->arena, event->done->unified_diff);
        w->backup = str_copy(&w->arena, event->done->backup_id);
        Buf all = {0};
        for (size_t i = 0; i < event->done->problem_count; i++)
            buf_printf(&all, "%.*s\n", STR_ARG(event->done->problems[i]));
        w->problems = buf_copy(&all, &w->arena);
        buf_clear(&all);
        for (size_t i = 0; i < event->done->note_count; i++)
            buf_printf(&all, "%.*s\n", STR_ARG(event->done->notes[i]));
        w->notes = buf_copy(&all, &w->arena);
        buf_free(&all);
        break;
    }
    }
}

typedef struct House {
    Engine *engine;
    Planner *planner;
    Watch watch;
    Str folder;
} House;

static void put_file(const House *h, const char *name, const char *text) {
    char path[512];
    Err err = {0};
    snprintf(path, sizeof path, "%.*s/%s", STR_ARG(h->folder), name);
    CHECK_OK(os_write_file(path, str_of(text), &err), err);
}

static void check_file(House *h, const char *name, const char *expected) {
    char path[512];
    Err err = {0};
    Str text;
    snprintf(path, sizeof path, "%.*s/%s", STR_ARG(h->folder), name);
    bool there = os_read_file(path, 1 << 20, &h->watch.arena, &text, &err);
    if (!expected) {
        CHECK(!there);
        return;
    }
    CHECK_OK(there, err);
    CHECK_STR(text, str_of(expected));
}

static void house_open(House *h, const char *script, ReviewMode review) {
    *h = (House){0};
    Err err = {0};
    Arena *arena = &h->watch.arena;
    Str tmp = str_of(test_tmp());
    h->folder = str_printf(arena, "%.*s/project", STR_ARG(tmp));
    CHECK_OK(os_make_dirs(h->folder.ptr, &err), err);
    Str file = str_printf(arena, "%.*s/model.txt", STR_ARG(tmp));
    CHECK_OK(os_write_file(file.ptr, str_of(script), &err), err);
    EngineConfig config = {.default_model = str_printf(arena, "script:%.*s", STR_ARG(file))};
    h->engine = engine_open(&config, &err);
    CHECK_OK(h->engine != NULL, err);
    h->planner = planner_open(&(PlannerConfig){0}, h->engine, &err);
    put_file(h, "a.py", "def one():\n    return 1\n\n\ndef two():\n    return 2\n");
    put_file(h, "b.py", "from a import one\n\nprint(one())\n");
    SessionConfig session = {.id = S("s"), .cwd = h->folder, .review = review, .grain = GRAIN_FILE};
    h->watch.session = session_open(h->planner, &session, file_io_disk(), &err);
    CHECK_OK(h->watch.session != NULL, err);
    h->watch.answers = true;
}

static void house_turn(House *h, const char *prompt) {
    Err err = {0};
    Ask ask = {.text = str_of(prompt)};
    h->watch.done_events = 0;
    CHECK_OK(turn_start(h->watch.session, &ask, (TurnSink){&h->watch, on_event}, &err), err);
    turn_wait(h->watch.session);
    CHECK_INT(h->watch.done_events, 1);
    CHECK_INT(h->watch.events_after_done, 0);
}

static void house_close(House *h) {
    session_close(h->watch.session);
    planner_close(h->planner);
    engine_close(h->engine);
    buf_free(&h->watch.text);
    buf_free(&h->watch.thoughts);
    arena_free(&h->watch.arena);
}

#define BLOCK(path, old, new) path "\n<<<<<<< SEARCH\n" old "=======\n" new ">>>>>>> REPLACE\n"
#define TWO_FILES                                                                                            \
    "--- reply\nI rename it.\n\n" BLOCK("a.py", "def one():\n", "def uno():\n")                              \
        BLOCK("b.py", "from a import one\n\nprint(one())\n", "from a import uno\n\nprint(uno())\n")

static void test_applies_two_files(void) {
    House h;
    house_open(&h, TWO_FILES, REVIEW_AUTO);
    house_turn(&h, "Rename one to uno in a.py and b.py");
    CHECK_INT(h.watch.done.stop, TURN_STOP_END);
    CHECK(h.watch.done.was_applied);
    CHECK_INT(h.watch.done.files_changed, 2);
    CHECK_INT(h.watch.diffs, 2);
    CHECK(h.watch.plans > 0);
    check_file(&h, "a.py", "def uno():\n    return 1\n\n\ndef two():\n    return 2\n");
    check_file(&h, "b.py", "from a import uno\n\nprint(uno())\n");
    CHECK(str_contains(h.watch.unified, S("--- a/a.py\n+++ b/a.py\n")));
    CHECK(str_contains(buf_text(&h.watch.text), S("I rename it.")));
    CHECK(!str_contains(buf_text(&h.watch.text), S("<<<<")));
    Err err = {0};
    WorkspaceConfig config = {.root = h.folder};
    Workspace *ws = ws_open(&config, file_io_disk(), &err);
    CHECK_OK(ws != NULL, err);
    ChangeInfo info;
    CHECK_OK(ws_undo(ws, h.watch.backup, &info, &err), err);
    ws_close(ws);
    check_file(&h, "b.py", "from a import one\n\nprint(one())\n");
    house_close(&h);
}

static void test_retries_once(void) {
    House h;
    house_open(&h,
               "--- reply\n" BLOCK("a.py", "def nothing_like_it(x):\n",
                                   "x\n") "--- reply when: could not be used\n" BLOCK("a.py",
                                                                                      "    return 2\n",
                                                                                      "    return 22\n"),
               REVIEW_AUTO);
    house_turn(&h, "make two return 22 in a.py");
    CHECK(h.watch.done.was_applied);
    check_file(&h, "a.py", "def one():\n    return 1\n\n\ndef two():\n    return 22\n");
    house_close(&h);
}

/* One good edit and one impossible one: nothing is written, and the reason is told. */
static void test_all_or_nothing(void) {
    House h;
    house_open(&h,
               "--- reply\n" BLOCK("a.py", "    return 2\n", "    return 22\n")
                   BLOCK("b.py", "no such line at all\n",
                         "x\n") "--- reply repeat\n" BLOCK("a.py", "    return 2\n", "    return 22\n")
                       BLOCK("b.py", "no such line at all\n", "x\n"),
               REVIEW_AUTO);
    house_turn(&h, "change a.py and b.py");
    CHECK(!h.watch.done.was_applied);
    CHECK(h.watch.problems.len > 0);
    CHECK(str_contains(buf_text(&h.watch.text), S("Not done")));
    check_file(&h, "a.py", "def one():\n    return 1\n\n\ndef two():\n    return 2\n");
    house_close(&h);
}

static void test_syntax_error_is_refused(void) {
    House h;
    house_open(&h, "--- reply repeat\n" BLOCK("a.py", "def two():\n", "def two(:\n"), REVIEW_AUTO);
    house_turn(&h, "change two in a.py");
    CHECK(!h.watch.done.was_applied);
    CHECK(str_contains(h.watch.problems, S("syntax error")));
    house_close(&h);
}

static void test_new_file(void) {
    House h;
    house_open(&h, "--- reply\nsub/new.py\n<<<<<<< SEARCH\n=======\nx = 1\n>>>>>>> REPLACE\n", REVIEW_AUTO);
    house_turn(&h, "create sub/new.py");
    CHECK(h.watch.done.was_applied);
    check_file(&h, "sub/new.py", "x = 1\n");
    CHECK(str_contains(h.watch.unified, S("new file mode")));
    house_close(&h);
}

static void test_reject(void) {
    House h;
    house_open(&h, TWO_FILES, REVIEW_ASK);
    h.watch.decision = DECISION_REJECT_ONCE;
    house_turn(&h, "Rename one to uno");
    CHECK_INT(h.watch.questions, 2);
    CHECK(!h.watch.done.was_applied);
    check_file(&h, "b.py", "from a import one\n\nprint(one())\n");
    house_close(&h);
}

static void test_allow_always_is_remembered(void) {
    House h;
    house_open(&h, TWO_FILES, REVIEW_ASK);
    h.watch.decision = DECISION_ALLOW_ALWAYS;
    house_turn(&h, "Rename one to uno");
    CHECK_INT(h.watch.questions, 1);
    CHECK(h.watch.done.was_applied);
    CHECK_INT(h.watch.done.files_changed, 2);
    house_close(&h);
}

static void test_keeps_chosen_hunks(void) {
    House h;
    house_open(&h,
               "--- reply\n" BLOCK("a.py", "    return 1\n", "    return 11\n")
                   BLOCK("a.py", "    return 2\n", "    return 22\n"),
               REVIEW_ASK);
    static const bool KEEP[] = {false, true};
    h.watch.keep = KEEP;
    house_turn(&h, "change the values in a.py");
    CHECK(h.watch.done.was_applied);
    check_file(&h, "a.py", "def one():\n    return 1\n\n\ndef two():\n    return 22\n");
    CHECK(!str_contains(h.watch.unified, S("return 11")));
    CHECK_STR(h.watch.notes, S("1 of 2 changes of a.py were left out by you\n"));
    CHECK_INT(h.watch.done.problem_count, 0);
    house_close(&h);
}

static const char TWO_CHANGES[] = "--- reply\n" BLOCK("a.py", "    return 1\n", "    return 11\n")
    BLOCK("a.py", "    return 2\n", "    return 22\n");

/* An id that the diff does not hold: nothing is guessed, nothing is written. */
static void test_unknown_hunk(void) {
    House h;
    house_open(&h, TWO_CHANGES, REVIEW_ASK);
    static const bool KEEP[] = {true, true};
    h.watch.keep = KEEP;
    h.watch.wrong_id = 12345;
    house_turn(&h, "change the values in a.py");
    CHECK(h.watch.done.stop == TURN_STOP_FAILED && !h.watch.done.was_applied);
    CHECK(str_contains(str_of(h.watch.done.error.text), S("names a change")));
    check_file(&h, "a.py", "def one():\n    return 1\n\n\ndef two():\n    return 2\n");
    house_close(&h);
}

/* A replaced file leaves its other names behind: the user is told. */
static void test_hard_links_are_told(void) {
    House h;
    house_open(&h, TWO_CHANGES, REVIEW_AUTO);
    char path[2][512];
    snprintf(path[0], sizeof path[0], "%.*s/a.py", STR_ARG(h.folder));
    snprintf(path[1], sizeof path[1], "%.*s/other.py", STR_ARG(h.folder));
    CHECK(link(path[0], path[1]) == 0);
    house_turn(&h, "change the values in a.py");
    CHECK(h.watch.done.was_applied);
    CHECK(str_contains(h.watch.notes, S("a.py had other names (hard links)")));
    check_file(&h, "other.py", "def one():\n    return 1\n\n\ndef two():\n    return 2\n");
    house_close(&h);
}

/* An editor whose formatter has a word in every save. */
static bool save_formatted(void *ctx, Str path, Str text, Err *err) {
    (void)ctx;
    Arena arena = {0};
    Str formatted = str_concat(&arena, S("# formatted\n"), text);
    bool ok = os_write_file(str_cstr(&arena, path), formatted, err);
    arena_free(&arena);
    return ok;
}

static void test_formatter_is_told(void) {
    House h;
    house_open(&h, TWO_CHANGES, REVIEW_AUTO);
    session_close(h.watch.session);
    Err err = {0};
    FileIo io = file_io_disk();
    io.write = save_formatted;
    SessionConfig config = {.id = S("s"), .cwd = h.folder, .review = REVIEW_AUTO, .has_client_files = true};
    h.watch.session = session_open(h.planner, &config, io, &err);
    CHECK_OK(h.watch.session != NULL, err);
    house_turn(&h, "change the values in a.py");
    CHECK(h.watch.done.was_applied);
    CHECK_INT(h.watch.done.problem_count, 0);
    CHECK(str_contains(h.watch.notes, S("the editor changed a.py further while saving it (+1 -0 lines)")));
    house_close(&h);
}

static void test_own_text(void) {
    House h;
    house_open(&h, TWO_CHANGES, REVIEW_ASK);
    h.watch.text_answer = "def one():\n    return 7\n";
    house_turn(&h, "change the values in a.py");
    CHECK(h.watch.done.was_applied);
    check_file(&h, "a.py", h.watch.text_answer);
    CHECK(str_contains(h.watch.unified, S("+    return 7\n")) &&
          !str_contains(h.watch.unified, S("+    return 11\n")));
    CHECK(str_contains(h.watch.notes, S("your own version")));
    house_close(&h);
}

static void test_plan_mode_writes_nothing(void) {
    House h;
    house_open(&h, TWO_FILES, REVIEW_PLAN);
    house_turn(&h, "Rename one to uno");
    CHECK(!h.watch.done.was_applied);
    CHECK_INT(h.watch.done.files_changed, 2);
    check_file(&h, "b.py", "from a import one\n\nprint(one())\n");
    check_file(&h, ".mux", NULL);
    house_close(&h);
}

static void test_cancel_at_question(void) {
    House h;
    house_open(&h, TWO_FILES, REVIEW_ASK);
    h.watch.cancels_at_question = true;
    h.watch.answers = false;
    house_turn(&h, "Rename one to uno");
    CHECK_INT(h.watch.done.stop, TURN_STOP_CANCELLED);
    check_file(&h, "b.py", "from a import one\n\nprint(one())\n");
    house_close(&h);
}

static void test_cancel_while_generating(void) {
    House h;
    house_open(&h, "--- reply delay: 60000\nslow\n", REVIEW_AUTO);
    Err err = {0};
    Ask ask = {.text = S("change a.py")};
    CHECK_OK(turn_start(h.watch.session, &ask, (TurnSink){&h.watch, on_event}, &err), err);
    CHECK(session_is_busy(h.watch.session));
    CHECK(!turn_start(h.watch.session, &ask, (TurnSink){&h.watch, on_event}, &err));
    CHECK_INT(err.code, ERR_CONFLICT);
    turn_cancel(h.watch.session);
    turn_wait(h.watch.session);
    CHECK_INT(h.watch.done.stop, TURN_STOP_CANCELLED);
    turn_cancel(h.watch.session);
    house_close(&h);
}

/* Someone saves the file while the question is open: their bytes stay, the turn says so. */
static void test_stale_file_is_a_conflict(void) {
    House h;
    house_open(&h, "--- reply\n" BLOCK("a.py", "    return 2\n", "    return 22\n"), REVIEW_ASK);
    h.watch.overwrite = "mine = True\n";
    house_turn(&h, "change two in a.py");
    CHECK_INT(h.watch.done.stop, TURN_STOP_FAILED);
    CHECK_INT(h.watch.done.error.code, ERR_CONFLICT);
    check_file(&h, "a.py", "mine = True\n");
    house_close(&h);
}

static void test_answers_in_prose(void) {
    House h;
    house_open(&h, "--- reply\n<think>\nhm\n</think>\nIt returns one.\n```\ncode\n```\n", REVIEW_AUTO);
    house_turn(&h, "What does one do?");
    CHECK_INT(h.watch.done.stop, TURN_STOP_END);
    CHECK_INT(h.watch.done.files_changed, 0);
    CHECK_STR(buf_text(&h.watch.text), S("It returns one.\n```\ncode\n```"));
    CHECK(str_contains(buf_text(&h.watch.thoughts), S("hm")));
    house_close(&h);
}

/* A paragraph is told while it is written; what it says comes once. */
static void test_long_lines_are_told_early(void) {
    House h;
    Buf script = {0}, line = {0};
    for (int i = 0; i < 60; i++)
        buf_printf(&line, "%sword%d", i ? " " : "", i);
    buf_printf(
        &script,
        "piece: 8\n--- reply\na.py\nshort\n%.*s\nThe end of it, which is a long line again, too.\n" BLOCK(
            "a.py", "def one():\n", "def uno():\n"),
        STR_ARG(buf_text(&line)));
    buf_char(&script, 0);
    house_open(&h, script.ptr, REVIEW_AUTO);
    house_turn(&h, "Rename one to uno in a.py");
    CHECK(h.watch.texts > 30);
    Str said = buf_text(&h.watch.text);
    size_t at = str_find(said, buf_text(&line), 0);
    CHECK(at != STR_NONE && str_find(said, S("word59"), at + line.len) == STR_NONE);
    CHECK(str_contains(said, S("word59\nThe end of it, which is a long line again, too.\n")));
    CHECK(!str_contains(said, S("SEARCH")));
    check_file(&h, "a.py", "def uno():\n    return 1\n\n\ndef two():\n    return 2\n");
    house_close(&h);
    buf_free(&line);
    buf_free(&script);
}

static void test_bad_places(void) {
    House h;
    house_open(&h, "--- reply repeat\n" BLOCK("../evil.py", "", "x = 1\n"), REVIEW_AUTO);
    house_turn(&h, "create ../evil.py");
    CHECK(!h.watch.done.was_applied);
    CHECK(h.watch.problems.len > 0);
    Err err = {0};
    SessionConfig config = {.id = S("t"), .cwd = S("relative/folder")};
    CHECK(!session_open(h.planner, &config, file_io_disk(), &err));
    config.cwd = S("/nonexistent/folder");
    CHECK(!session_open(h.planner, &config, file_io_disk(), &err));
    house_turn(&h, "   ");
    CHECK_INT(h.watch.done.stop, TURN_STOP_FAILED);
    house_close(&h);
}

/* CRLF files keep their line ends, edited lines included; the model sees and writes LF. */
static void test_crlf(void) {
    House h;
    house_open(&h, "--- reply\n" BLOCK("dos.c", "int b;\n", "int b2;\nint b3;\n"), REVIEW_AUTO);
    put_file(&h, "dos.c", "int a;\r\nint b;\r\nint c;\r\n");
    house_turn(&h, "change b in dos.c");
    CHECK(h.watch.done.was_applied);
    check_file(&h, "dos.c", "int a;\r\nint b2;\r\nint b3;\r\nint c;\r\n");
    house_close(&h);
}

static void test_context(void) {
    House h;
    house_open(&h, "--- reply\nno\n", REVIEW_PLAN);
    put_file(&h, "zoo.py", "def feed_lions(n):\n    return n\n");
    put_file(&h, "day.py", "from zoo import feed_lions\n\nfeed_lions(2)\nfeed_lions(3)\n");
    Err err = {0};
    RankedFile *files;
    size_t count;
    CHECK_OK(planner_context(h.planner, h.folder, S("Why does feed_lions return n?"), 2, &h.watch.arena,
                             &files, &count, &err),
             err);
    CHECK_INT(count, 2);
    CHECK_STR(files[0].path, S("day.py"));
    CHECK_STR(files[1].path, S("zoo.py"));
    CHECK_OK(planner_context(h.planner, h.folder, S("look at a.py"), 9, &h.watch.arena, &files, &count, &err),
             err);
    CHECK_STR(files[0].path, S("a.py"));
    CHECK_OK(planner_context(h.planner, h.folder, S("xyzzy plugh"), 9, &h.watch.arena, &files, &count, &err),
             err);
    CHECK_INT(count, 0);
    CHECK(!planner_context(h.planner, S("/proc/none"), S("x"), 9, &h.watch.arena, &files, &count, &err));
    house_close(&h);
}

/* What was said before stays in the conversation; a second turn starts from the files as they are now. */
static void test_two_turns(void) {
    House h;
    house_open(&h,
               "--- reply\n" BLOCK("a.py", "    return 2\n", "    return 22\n") "--- reply\n" BLOCK(
                   "a.py", "    return 22\n", "    return 222\n"),
               REVIEW_AUTO);
    house_turn(&h, "change two in a.py");
    CHECK(h.watch.done.was_applied);
    house_turn(&h, "and again in a.py");
    CHECK(h.watch.done.was_applied);
    check_file(&h, "a.py", "def one():\n    return 1\n\n\ndef two():\n    return 222\n");
    house_close(&h);
}

static const TestCase CASES[] = {
    {"crlf", test_crlf},
    {"context", test_context},
    {"two_turns", test_two_turns},
    {"applies_two_files", test_applies_two_files},
    {"retries_once", test_retries_once},
    {"all_or_nothing", test_all_or_nothing},
    {"syntax_error_is_refused", test_syntax_error_is_refused},
    {"new_file", test_new_file},
    {"reject", test_reject},
    {"allow_always_is_remembered", test_allow_always_is_remembered},
    {"keeps_chosen_hunks", test_keeps_chosen_hunks},
    {"unknown_hunk", test_unknown_hunk},
    {"own_text", test_own_text},
    {"hard_links_are_told", test_hard_links_are_told},
    {"formatter_is_told", test_formatter_is_told},
    {"plan_mode_writes_nothing", test_plan_mode_writes_nothing},
    {"cancel_at_question", test_cancel_at_question},
    {"cancel_while_generating", test_cancel_while_generating},
    {"stale_file_is_a_conflict", test_stale_file_is_a_conflict},
    {"answers_in_prose", test_answers_in_prose},
    {"long_lines_are_told_early", test_long_lines_are_told_early},
    {"bad_places", test_bad_places},
};
TEST_SUITE(PLANNER_TURN_SUITE, "turn", CASES);
