/* What is asked of the user in a turn, by turn, file and hunk; through an editor that takes, refuses, formats
 * or is cancelled. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "planner/planner.h"
#include "tests/runner.h"

typedef struct Room Room;
struct Room {
    Arena arena;
    Engine *engine;
    Planner *planner;
    Session *session;
    Str folder;
    Buf story; /* tool calls and questions, a word each */
    Buf text;
    DecisionKind decision;
    const char *keep; /* of all questions' hunks in order, '1' or '0'; NULL: all */
    size_t asked;     /* hunks */
    void (*at_question)(Room *room);
    TurnStop stop;
    bool was_applied;
    Str error, problems, notes;
    /* the editor */
    const char *refuses; /* a part of the path whose writing is refused */
    const char *format;  /* put in front of what is saved */
    int writes, cancel_at_write;
};

static void tell_tool(Room *room, const ToolEvent *tool) {
    static const char *const STATES[] = {"pending", "running", "done", "failed"};
    static const char *const KINDS[] = {"read",   "edit", "search",  "think", "other",
                                        "delete", "move", "execute", "fetch"};
    if (tool->kind == TOOL_READ)
        return;
    buf_printf(&room->story, "%s %s", KINDS[tool->kind], STATES[tool->status]);
    for (size_t i = 0; i < tool->diff_count; i++)
        buf_printf(&room->story, " %.*s", STR_ARG(tool->diffs[i].relative));
    buf_cstr(&room->story, tool->is_first ? " (new)\n" : "\n");
}

static void take_question(Room *room, const QuestionEvent *question) {
    static const char *const GRAINS[] = {"turn", "file", "hunk"};
    const ToolEvent *tool = &question->tool;
    Decision decision = {.kind = room->decision};
    uint64_t ids[32];
    buf_printf(&room->story, "? %s", GRAINS[question->grain]);
    for (size_t i = 0; i < tool->diff_count; i++) {
        buf_printf(&room->story, " %.*s:%zu", STR_ARG(tool->diffs[i].relative), tool->diffs[i].hunk_count);
        for (size_t h = 0; room->keep && h < tool->diffs[i].hunk_count; h++)
            if (room->keep[room->asked++] == '1')
                ids[decision.keep_count++] = tool->diffs[i].hunk_ids[h];
    }
    decision.keep_ids = room->keep ? ids : NULL;
    buf_cstr(&room->story, "\n");
    if (room->at_question)
        room->at_question(room);
    turn_answer(room->session, question->id, &decision);
}

static Str joined(Room *room, const Str *items, size_t count) {
    Buf all = {0};
    for (size_t i = 0; i < count; i++)
        buf_printf(&all, "%.*s\n", STR_ARG(items[i]));
    Str text = buf_copy(&all, &room->arena);
    buf_free(&all);
    return text;
}

static void on_event(void *ctx, const TurnEvent *event) {
    Room *room = ctx;
    if (event->kind == TURN_TOOL)
        tell_tool(room, event->tool);
    else if (event->kind == TURN_QUESTION)
        take_question(room, event->question);
    else if (event->kind == TURN_TEXT)
        buf_str(&room->text, event->text);
    else if (event->kind == TURN_DONE) {
        const TurnDone *done = event->done;
        room->stop = done->stop;
        room->was_applied = done->was_applied;
        room->error = str_copy(&room->arena, str_of(done->error.text));
        room->problems = joined(room, done->problems, done->problem_count);
        room->notes = joined(room, done->notes, done->note_count);
    }
}

/* ---- an editor ---- */

static bool editor_read(void *ctx, Str path, Arena *arena, Str *text, Err *err) {
    (void)ctx;
    FileIo disk = file_io_disk();
    return disk.read(disk.ctx, path, arena, text, err);
}

static bool editor_write(void *ctx, Str path, Str text, Err *err) {
    Room *room = ctx;
    Arena arena = {0};
    if (room->refuses && str_contains(path, str_of(room->refuses)))
        return err_set(err, ERR_DENIED, "the editor did not write %.*s: denied", STR_ARG(path));
    if (room->format)
        text = str_concat(&arena, str_of(room->format), text);
    bool ok = os_write_file(str_cstr(&arena, path), text, err);
    arena_free(&arena);
    if (++room->writes == room->cancel_at_write)
        turn_cancel(room->session);
    return ok;
}

/* ---- the room ---- */

static const char *path_of(Room *room, const char *name) {
    return str_printf(&room->arena, "%.*s/%s", STR_ARG(room->folder), name).ptr;
}

static void put(Room *room, const char *name, const char *text) {
    Err err = {0};
    CHECK_OK(os_write_file(path_of(room, name), str_of(text), &err), err);
}

static void check_file(Room *room, const char *name, const char *expected) {
    Err err = {0};
    Str text;
    if (!expected) {
        CHECK(access(path_of(room, name), F_OK) != 0);
        return;
    }
    CHECK_OK(os_read_file(path_of(room, name), 1 << 20, &room->arena, &text, &err), err);
    CHECK_STR(text, str_of(expected));
}

#define A_TEXT "def one():\n    return 1\n\n\ndef two():\n    return 2\n\n\ndef three():\n    return 3\n"
#define B_TEXT "from a import one\n\nprint(one())\n"

static void room_open(Room *room, const char *script, ReviewMode review, ReviewGrain grain, bool has_editor) {
    Err err = {0};
    *room = (Room){0};
    room->folder = str_printf(&room->arena, "%s/project", test_tmp());
    CHECK_OK(os_make_dirs(room->folder.ptr, &err) && os_make_dirs(path_of(room, ".vscode"), &err), err);
    const char *file = str_printf(&room->arena, "%s/model.txt", test_tmp()).ptr;
    CHECK_OK(os_write_file(file, str_of(script), &err), err);
    EngineConfig engine = {.default_model = str_printf(&room->arena, "script:%s", file)};
    CHECK_OK((room->engine = engine_open(&engine, &err)) != NULL, err);
    room->planner = planner_open(&(PlannerConfig){0}, room->engine, &err);
    put(room, "a.py", A_TEXT);
    put(room, "b.py", B_TEXT);
    put(room, ".vscode/settings.json", "{}\n");
    SessionConfig config = {
        .id = S("s"), .cwd = room->folder, .review = review, .grain = grain, .has_client_files = has_editor};
    FileIo io = has_editor ? (FileIo){room, editor_read, editor_write} : file_io_disk();
    CHECK_OK((room->session = session_open(room->planner, &config, io, &err)) != NULL, err);
}

static void room_turn(Room *room, const char *prompt) {
    Err err = {0};
    Ask ask = {.text = str_of(prompt)};
    buf_clear(&room->story);
    buf_clear(&room->text);
    CHECK_OK(turn_start(room->session, &ask, (TurnSink){room, on_event}, &err), err);
    turn_wait(room->session);
}

static void check_story(Room *room, const char *expected) {
    CHECK_STR(buf_text(&room->story), str_of(expected));
}

static void room_close(Room *room) {
    session_close(room->session);
    planner_close(room->planner);
    engine_close(room->engine);
    buf_free(&room->story);
    buf_free(&room->text);
    arena_free(&room->arena);
}

#define BLOCK(path, old, new) path "\n<<<<<<< SEARCH\n" old "=======\n" new ">>>>>>> REPLACE\n"
#define CHANGES_A                                                                                            \
    BLOCK("a.py", "    return 1\n", "    return 11\n")                                                       \
    BLOCK("a.py", "    return 2\n", "    return 22\n") BLOCK("a.py", "    return 3\n", "    return 33\n")
#define CHANGE_B BLOCK("b.py", "print(one())\n", "print(one(), 1)\n")
#define CHANGE_SETTINGS BLOCK(".vscode/settings.json", "{}\n", "{\"a\": 1}\n")
#define PROMPT "change a.py and b.py and .vscode/settings.json"

static void test_by_turn(void) {
    Room room;
    room_open(&room, "--- reply\n" CHANGES_A CHANGE_B, REVIEW_ASK, GRAIN_TURN, false);
    room_turn(&room, PROMPT);
    check_story(&room, "edit pending a.py b.py (new)\n? turn a.py:3 b.py:1\nedit running a.py b.py\n"
                       "edit done a.py b.py\n");
    CHECK(room.was_applied);
    check_file(&room, "b.py", "from a import one\n\nprint(one(), 1)\n");
    room_close(&room);
    room_open(&room, "--- reply\n" CHANGES_A CHANGE_B, REVIEW_ASK, GRAIN_TURN, false);
    room.decision = DECISION_REJECT_ONCE;
    room_turn(&room, PROMPT);
    check_story(&room, "edit pending a.py b.py (new)\n? turn a.py:3 b.py:1\nedit failed a.py b.py\n");
    CHECK(!room.was_applied);
    CHECK_STR(room.notes, S("the changes to a.py were rejected\nthe changes to b.py were rejected\n"));
    check_file(&room, "a.py", A_TEXT);
    room_close(&room);
}

/* An answer may still name hunks, over all files. */
static void test_by_turn_some(void) {
    Room room;
    room_open(&room, "--- reply\n" CHANGES_A CHANGE_B, REVIEW_ASK, GRAIN_TURN, false);
    room.keep = "0100";
    room_turn(&room, PROMPT);
    check_story(&room,
                "edit pending a.py b.py (new)\n? turn a.py:3 b.py:1\nedit running a.py\nedit done a.py\n");
    CHECK_STR(room.notes,
              S("2 of 3 changes of a.py were left out by you\nthe changes to b.py were rejected\n"));
    check_file(&room, "b.py", B_TEXT);
    room_close(&room);
}

/* What needs consent of its own is asked about by itself, in every mode and grain. */
static void test_own_consent(void) {
    static const char *const GRAINS[] = {"turn", "file", "hunk"};
    static const char *const STORY =
        "edit pending .vscode/settings.json (new)\n? file .vscode/settings.json:1\n"
        "edit pending a.py (new)\n%s%s%s"
        "edit running .vscode/settings.json\nedit running a.py\n"
        "edit done .vscode/settings.json\nedit done a.py\n";
    for (int grain = GRAIN_TURN; grain <= GRAIN_HUNK; grain++) {
        for (int mode = REVIEW_ASK; mode <= REVIEW_AUTO; mode++) {
            Room room;
            room_open(&room, "--- reply\n" CHANGES_A CHANGE_SETTINGS, (ReviewMode)mode, (ReviewGrain)grain,
                      false);
            room.decision = DECISION_ALLOW_ALWAYS;
            room_turn(&room, PROMPT);
            bool asks = mode == REVIEW_ASK;
            check_story(&room, str_printf(&room.arena, STORY, asks ? "? " : "", asks ? GRAINS[grain] : "",
                                          asks ? " a.py:3\n" : "")
                                   .ptr);
            CHECK(room.was_applied);
            room_close(&room);
        }
    }
}

static void test_by_hunk(void) {
    Room room;
    room_open(&room, "--- reply\n" CHANGES_A CHANGE_B, REVIEW_ASK, GRAIN_HUNK, false);
    room.keep = "1010";
    room_turn(&room, PROMPT);
    check_story(&room, "edit pending a.py (new)\n? hunk a.py:3\nedit pending b.py (new)\n? file b.py:1\n"
                       "edit failed b.py\nedit running a.py\nedit done a.py\n");
    check_file(&room, "a.py",
               "def one():\n    return 11\n\n\ndef two():\n    return 2\n\n\ndef three():\n    return 33\n");
    room_close(&room);
}

static void switch_to_file(Room *room) {
    session_set_grain(room->session, GRAIN_FILE);
    session_set_review(room->session, REVIEW_PLAN);
}

/* What is chosen in the middle of a turn holds from the next one on. */
static void test_switch_in_a_turn(void) {
    Room room;
    room_open(&room, "--- reply\n" CHANGES_A CHANGE_B "--- reply\n" CHANGE_B "--- reply\nno\n", REVIEW_ASK,
              GRAIN_TURN, false);
    room.at_question = switch_to_file;
    room.keep = "1110";
    room_turn(&room, PROMPT);
    CHECK(room.was_applied);
    room.keep = NULL;
    room_turn(&room, "change b.py");
    check_story(&room, "edit pending b.py (new)\nedit done b.py\n");
    check_file(&room, "b.py", B_TEXT);
    room_close(&room);
}

/* The next prompt tells the model what was refused, once. */
static void test_refused_is_told(void) {
    Room room;
    room_open(&room,
              "--- reply when: return 1\n" CHANGES_A CHANGE_B
              "--- reply when: a.py: the user refused 1 of the 3 changes you proposed\nI know of one.\n"
              "--- reply\nI know of none.\n",
              REVIEW_ASK, GRAIN_TURN, false);
    room.keep = "1011";
    room_turn(&room, PROMPT);
    CHECK(room.was_applied);
    room_turn(&room, "what is next?");
    CHECK(str_contains(buf_text(&room.text), S("I know of one.")));
    room_turn(&room, "what is next?");
    CHECK(str_contains(buf_text(&room.text), S("I know of none.")));
    room_close(&room);
    room_open(&room, "--- reply when: import one\n" CHANGE_B "--- reply when: -print(one())\nI know it.\n",
              REVIEW_ASK, GRAIN_HUNK, false);
    room.decision = DECISION_REJECT_ONCE;
    room_turn(&room, "change b.py");
    room_turn(&room, "what is next?");
    CHECK(str_contains(buf_text(&room.text), S("I know it.")));
    room_close(&room);
}

/* ---- through an editor ---- */

static void test_refused_write(void) {
    Room room;
    room_open(&room, "--- reply\n" CHANGES_A CHANGE_B, REVIEW_AUTO, GRAIN_FILE, true);
    room.refuses = "b.py";
    room_turn(&room, PROMPT);
    CHECK(!room.was_applied);
    check_story(&room, "edit pending a.py (new)\nedit pending b.py (new)\nedit running a.py\n"
                       "edit running b.py\nedit failed a.py\nedit failed b.py\n");
    CHECK_MSG(str_contains(room.problems, S("the editor did not write")) ||
                  str_contains(room.error, S("the editor did not write")),
              "%.*s%.*s", STR_ARG(room.problems), STR_ARG(room.error));
    check_file(&room, "a.py", A_TEXT);
    check_file(&room, "b.py", B_TEXT);
    room_close(&room);
}

/* Between two writes: the first file gets its old text back. */
static void test_cancel_while_applying(void) {
    Room room;
    room_open(&room, "--- reply\n" CHANGES_A CHANGE_B "--- reply\n" CHANGE_B, REVIEW_AUTO, GRAIN_FILE, true);
    room.cancel_at_write = 1;
    room_turn(&room, PROMPT);
    CHECK_INT(room.stop, TURN_STOP_CANCELLED);
    CHECK(!room.was_applied);
    check_file(&room, "a.py", A_TEXT);
    check_file(&room, "b.py", B_TEXT);
    room_turn(&room, "change b.py");
    CHECK(room.was_applied);
    check_file(&room, "b.py", "from a import one\n\nprint(one(), 1)\n");
    room_close(&room);
}

/* On disk a cancel at the last moment leaves all or nothing. */
static void cancel_now(Room *room) {
    turn_cancel(room->session);
}

static void test_cancel_on_disk(void) {
    Room room;
    room_open(&room, "--- reply\n" CHANGES_A CHANGE_B, REVIEW_ASK, GRAIN_TURN, false);
    room.at_question = cancel_now;
    room_turn(&room, PROMPT);
    CHECK_INT(room.stop, TURN_STOP_CANCELLED);
    check_file(&room, "a.py", A_TEXT);
    check_file(&room, "b.py", B_TEXT);
    room_close(&room);
}

static const TestCase CASES[] = {
    {"by_turn", test_by_turn},
    {"by_turn_some", test_by_turn_some},
    {"own_consent", test_own_consent},
    {"by_hunk", test_by_hunk},
    {"switch_in_a_turn", test_switch_in_a_turn},
    {"refused_is_told", test_refused_is_told},
    {"refused_write", test_refused_write},
    {"cancel_while_applying", test_cancel_while_applying},
    {"cancel_on_disk", test_cancel_on_disk},
};
TEST_SUITE(PLANNER_REVIEW_SUITE, "review", CASES);
