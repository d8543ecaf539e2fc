/* Commands in a prompt, and changes without a turn: on a real folder, with the scripted model. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "planner/compaction.h"
#include "planner/slash.h"
#include "tests/runner.h"

typedef struct Talk {
    Engine *engine;
    Planner *planner;
    Session *session;
    Arena arena;
    Str folder;
    Buf text;
    TurnStop stop;
    Err error;
    CompactionStatus compactions[8];
    size_t compaction_count;
    bool cancels_at_compaction;
} Talk;

static void on_event(void *ctx, const TurnEvent *event) {
    Talk *t = ctx;
    if (event->kind == TURN_TEXT)
        buf_str(&t->text, event->text);
    if (event->kind == TURN_COMPACTION && t->compaction_count < 8)
        t->compactions[t->compaction_count++] = event->compaction->status;
    if (event->kind == TURN_COMPACTION && t->cancels_at_compaction)
        turn_cancel(t->session);
    if (event->kind == TURN_DONE) {
        t->stop = event->done->stop;
        t->error = event->done->error;
    }
}

static Str at(Talk *t, const char *name) {
    return str_printf(&t->arena, "%.*s/%s", STR_ARG(t->folder), name);
}

static void put(Talk *t, const char *name, const char *text) {
    Err err = {0};
    CHECK_OK(os_write_file(at(t, name).ptr, str_of(text), &err), err);
}

static void check_file(Talk *t, const char *name, const char *expected) {
    Err err = {0};
    Str text;
    bool there = os_read_file(at(t, name).ptr, 1 << 20, &t->arena, &text, &err);
    CHECK(there == (expected != NULL));
    if (expected)
        CHECK_STR(text, str_of(expected));
}

static void begin(Talk *t, const char *script) {
    *t = (Talk){0};
    Err err = {0};
    t->folder = str_printf(&t->arena, "%s/work", test_tmp());
    CHECK_OK(os_make_dirs(t->folder.ptr, &err), err);
    Str file = str_printf(&t->arena, "%s/script", test_tmp());
    CHECK_OK(os_write_file(file.ptr, str_of(script), &err), err);
    Str model = str_printf(&t->arena, "script:%.*s", STR_ARG(file));
    put(t, "a.py", "def one():\n    return 1\n");
    put(t, "b.c", "int helper(int x) {\n    return x;\n}\n");
    put(t, "c.c", "int helper(int x);\n\nint other_one(void) {\n    return helper(2);\n}\n");
    t->engine = engine_open(&(EngineConfig){.default_model = model}, &err);
    CHECK_OK(t->engine != NULL, err);
    t->planner = planner_open(&(PlannerConfig){0}, t->engine, &err);
    CHECK_OK(t->planner != NULL, err);
    SessionConfig config = {.id = S("s1"), .cwd = t->folder, .model = model, .review = REVIEW_AUTO};
    t->session = session_open(t->planner, &config, file_io_disk(), &err);
    CHECK_OK(t->session != NULL, err);
}

static void end(Talk *t) {
    session_close(t->session);
    planner_close(t->planner);
    engine_close(t->engine);
    buf_free(&t->text);
    arena_free(&t->arena);
}

static Str ask(Talk *t, const char *text) {
    Err err = {0};
    buf_clear(&t->text);
    t->compaction_count = 0;
    t->error = (Err){0};
    CHECK_OK(turn_start(t->session, &(Ask){.text = str_of(text)}, (TurnSink){t, on_event}, &err), err);
    turn_wait(t->session);
    return buf_text(&t->text);
}

static void check_said(Talk *t, const char *prompt, const char *part) {
    Str said = ask(t, prompt);
    CHECK_MSG(str_contains(said, str_of(part)), "%s: \"%s\" is not in:\n%.*s%s", prompt, part, STR_ARG(said),
              t->error.text);
}

static void check_fails(Talk *t, const char *prompt, ErrCode code, const char *part) {
    ask(t, prompt);
    CHECK_INT(t->stop, TURN_STOP_FAILED);
    CHECK_INT(t->error.code, code);
    CHECK_MSG(strstr(t->error.text, part) != NULL, "%s: %s", prompt, t->error.text);
}

#define EDIT                                                                                                 \
    "--- reply\nDone.\n\na.py\n<<<<<<< SEARCH\n    return 1\n=======\n    return 11\n>>>>>>> REPLACE\n"
#define EDIT_AGAIN                                                                                           \
    "--- reply\nDone.\n\na.py\n<<<<<<< SEARCH\n    return 11\n=======\n    return 111\n>>>>>>> REPLACE\n"

/* ---- which prompt is a command ---- */

static void test_find(void) {
    static const struct {
        const char *prompt, *name, *rest;
    } CASES[] = {
        {"/help", "help", ""},
        {"  /undo  3-abc \n", "undo", "3-abc"},
        {"/search -i  two words", "search", "-i  two words"},
        {"/rewind\n2", "rewind", "2"},
        {"/helpme", "unknown", "helpme"},
        {"/HELP", "unknown", "HELP"},
        {"/usr/bin is wrong", NULL, ""},
        {"/tmp/a.c", NULL, ""},
        {"/helpme please", NULL, ""},
        {"/", NULL, ""},
        {"/ help", NULL, ""},
        {"//help", NULL, ""},
        {"say /help", NULL, ""},
        {"", NULL, ""},
        {"/undo.c", NULL, ""},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Str rest = S("");
        const SlashCommand *command = slash_find(str_of(CASES[i].prompt), &rest);
        CHECK_MSG((command != NULL) == (CASES[i].name != NULL), "\"%s\"", CASES[i].prompt);
        if (!command)
            continue;
        CHECK_STR(str_of(command->info.name), str_of(CASES[i].name));
        CHECK_STR(rest, str_of(CASES[i].rest));
    }
}

static void test_list_is_whole(void) {
    const CommandInfo *infos;
    CHECK_INT(planner_commands(&infos), 10);
    static const char *const NAMES[] = {"undo",  "diff",    "map",    "search", "files",
                                        "model", "compact", "rewind", "status", "help"};
    for (size_t i = 0; i < 10; i++) {
        CHECK_STR(str_of(infos[i].name), str_of(NAMES[i]));
        CHECK(infos[i].description[0]);
    }
}

static void test_help(void) {
    Talk t;
    begin(&t, "");
    check_said(&t, "/help", "`/search [-F|-i|-w] PATTERN`");
    CHECK_INT(t.stop, TURN_STOP_END);
    check_said(&t, "/hlep", "There is no command `/hlep`");
    CHECK(str_contains(buf_text(&t.text), S("`/undo [CHANGE]`")));
    CHECK(!str_contains(buf_text(&t.text), S("Nothing to change")));
    end(&t);
}

/* ---- undo and diff ---- */

static void test_undo_and_diff(void) {
    Talk t;
    begin(&t, EDIT EDIT_AGAIN);
    check_said(&t, "/diff", "Nothing that this session wrote");
    check_fails(&t, "/undo", ERR_NOT_FOUND, "no change to undo");
    ask(&t, "return 11 in a.py");
    check_file(&t, "a.py", "def one():\n    return 11\n");
    check_said(&t, "/diff", "```diff\ndiff --git a/a.py b/a.py\n");
    ask(&t, "return 111 in a.py");
    check_said(&t, "/diff", "-    return 1\n+    return 111\n");
    check_said(&t, "/diff 1", "-    return 1\n+    return 11\n");
    check_said(&t, "/diff 2", "-    return 11\n+    return 111\n");
    check_said(&t, "/undo", "- `a.py`");
    check_file(&t, "a.py", "def one():\n    return 11\n");
    check_said(&t, "/diff 2", "+    return 111\n"); /* taken back, but still known */
    check_said(&t, "/undo 1", "- `a.py`");
    check_file(&t, "a.py", "def one():\n    return 1\n");
    check_said(&t, "/diff", "Nothing that this session wrote");
    check_fails(&t, "/undo 99", ERR_NOT_FOUND, "there is no backup 99");
    check_fails(&t, "/undo 1", ERR_INVALID, "already undone");
    end(&t);
}

/* A file that somebody wrote since: it stays, and its old change can no longer be shown. */
static void test_undo_leaves_others_alone(void) {
    Talk t;
    begin(&t, EDIT);
    ask(&t, "return 11 in a.py");
    put(&t, "a.py", "mine\n");
    check_fails(&t, "/undo", ERR_CONFLICT, "a.py");
    check_file(&t, "a.py", "mine\n");
    check_said(&t, "/diff 1", "`a.py` is not shown");
    check_said(&t, "/diff", "+mine\n");
    end(&t);
}

/* Plan mode keeps the model from writing, not the user from taking back. */
static void test_undo_in_plan_mode(void) {
    Talk t;
    begin(&t, EDIT);
    ask(&t, "return 11 in a.py");
    session_set_review(t.session, REVIEW_PLAN);
    check_said(&t, "/undo", "- `a.py`");
    check_file(&t, "a.py", "def one():\n    return 1\n");
    end(&t);
}

/* ---- looking ---- */

static void test_search_and_files(void) {
    Talk t;
    begin(&t, "");
    check_said(&t, "/search helper",
               "b.c:1: int helper(int x) {\nc.c:1: int helper(int x);\nc.c:4: return helper(2);\n");
    check_said(&t, "/search -F helper(2)", "c.c:4: return helper(2);\n");
    check_said(&t, "/search -wi ONE", "a.py:1: def one():");
    check_said(&t, "/search -- -x", "No line matches");
    check_fails(&t, "/search", ERR_INVALID, "say what to search");
    check_fails(&t, "/search -q x", ERR_INVALID, "not -q");
    check_fails(&t, "/search (", ERR_INVALID, "");
    check_said(&t, "/files", "```\na.py\nb.c\nc.c\n```\n\n3 files.");
    check_said(&t, "/files *.py", "```\na.py\n```\n\n1 file.");
    check_said(&t, "/files *.rs", "0 files.");
    put(&t, "d.md", "````\nx marks\n");
    check_said(&t, "/search ````", "`````\nd.md:1: ````\n`````\n"); /* the fence holds */
    end(&t);
}

static void test_map(void) {
    Talk t;
    begin(&t, "");
    check_said(&t, "/map", "b.c:\n    1: int helper(int x) {\n");
    CHECK(str_contains(buf_text(&t.text), S("3 source files, 3 definitions")));
    check_said(&t, "/map 8", "3 source files");
    CHECK(!str_contains(buf_text(&t.text), S("other_one")));
    check_fails(&t, "/map lots", ERR_INVALID, "no whole number");
    check_fails(&t, "/map 0", ERR_INVALID, "from 1 to");
    end(&t);
}

/* ---- the session ---- */

static void test_model_and_status(void) {
    Talk t;
    begin(&t, EDIT);
    check_said(&t, "/model", "- `echo` (scripted)");
    check_said(&t, "/status", "nothing was asked of the model yet");
    ask(&t, "return 11 in a.py");
    check_said(&t, "/status", "- Session: `s1`");
    Str said = buf_text(&t.text);
    CHECK(str_contains(said, S("this session wrote 1 file; 1 change in this folder")));
    CHECK(str_contains(said, S("- Mode: auto, a question for each ")));
    CHECK(str_contains(said, S("tokens")));
    ask(&t, "/undo");
    check_said(&t, "/status", "0 changes in this folder");
    check_fails(&t, "/model nothing-like-it", ERR_NOT_FOUND, "nothing-like-it");
    check_said(&t, "/model echo", "`echo`");
    CHECK_STR(session_options(t.session).model, S("echo"));
    check_said(&t, "/status", "- Model: `echo`");
    end(&t);
}

/* ---- the conversation ---- */

static void say_turns(Talk *t, int count) {
    for (int i = 1; i <= count; i++) {
        t->session->turn++;
        history_push(t->session, ROLE_USER, str_printf(&t->arena, "question %d", i));
        history_push(t->session, ROLE_ASSISTANT, str_printf(&t->arena, "answer %d", i));
    }
}

static void test_rewind(void) {
    Talk t;
    begin(&t, "");
    check_said(&t, "/rewind", "There is no turn");
    say_turns(&t, 4);
    check_said(&t, "/rewind", "the last turn. Files were not touched");
    CHECK_INT(history_turns(t.session), 3);
    check_said(&t, "/rewind 2", "the last 2 turns");
    CHECK_INT(history_turns(t.session), 1);
    CHECK_STR(t.session->history.items[1].message.text, S("answer 1"));
    check_said(&t, "/rewind 50", "the last turn");
    CHECK_INT(history_turns(t.session), 0);
    check_fails(&t, "/rewind -1", ERR_INVALID, "no whole number");
    check_fails(&t, "/rewind 9999999999", ERR_INVALID, "no whole number");
    end(&t);
}

#define SUMMARY "--- reply when: Sum up our conversation\n<think>hm</think>\nThe user asked four questions.\n"

static void test_compact(void) {
    Talk t;
    begin(&t, SUMMARY);
    check_said(&t, "/compact", "Nothing was said yet");
    say_turns(&t, 4);
    check_said(&t, "/compact", "The user asked four questions.");
    CHECK(str_contains(buf_text(&t.text), S("4 turns")));
    CHECK(!str_contains(buf_text(&t.text), S("hm")));
    CHECK_INT(t.compaction_count, 2);
    CHECK_INT(t.compactions[0], COMPACTION_RUNNING);
    CHECK_INT(t.compactions[1], COMPACTION_COMPLETED);
    CHECK_INT(history_turns(t.session), 1);
    CHECK_INT(t.session->history.count, 2);
    CHECK(str_contains(t.session->history.items[0].message.text, S("The user asked four questions.")));
    CHECK_INT(t.session->history.items[1].message.role, ROLE_ASSISTANT);
    end(&t);
}

/* No summary comes, or the user stops it: the conversation is what it was. */
static void test_compact_fails(void) {
    Talk t;
    begin(&t,
          "--- reply when: Sum up\n<think>nothing to say</think>\n--- reply when: Sum up\n<think>and on\n");
    say_turns(&t, 3);
    ask(&t, "/compact");
    CHECK_INT(t.stop, TURN_STOP_FAILED);
    CHECK_INT(t.compactions[1], COMPACTION_FAILED);
    CHECK_INT(t.session->history.count, 6);
    ask(&t, "/compact"); /* thoughts that were cut off */
    CHECK_INT(t.stop, TURN_STOP_FAILED);
    ask(&t, "/compact"); /* the script holds no further reply */
    CHECK_INT(t.stop, TURN_STOP_FAILED);
    CHECK_INT(t.session->history.count, 6);
    t.cancels_at_compaction = true;
    ask(&t, "/compact");
    CHECK_INT(t.stop, TURN_STOP_CANCELLED);
    CHECK_INT(t.compactions[1], COMPACTION_CANCELLED);
    CHECK_INT(t.session->history.count, 6);
    end(&t);
}

/* A turn that the model cannot read again is not replaced by a summary of nothing. */
static void test_compact_of_a_turn_too_long(void) {
    Talk t;
    Buf text = {0};
    begin(&t, SUMMARY);
    say_turns(&t, 1);
    buf_repeat(&text, 'w', 1 << 20);
    history_push(t.session, ROLE_USER, buf_text(&text));
    t.session->turn++;
    ask(&t, "/compact");
    CHECK_INT(t.stop, TURN_STOP_FAILED);
    CHECK_INT(t.compactions[1], COMPACTION_FAILED);
    CHECK_INT(t.session->history.count, 3);
    buf_free(&text);
    end(&t);
}

/* What history_make_room does to a long conversation, called as a turn would. */
static void test_make_room(void) {
    Talk t;
    begin(&t, SUMMARY);
    Err err = {0};
    Turn turn = {.session = t.session, .sink = {&t, on_event}};
    CHECK_OK(turn_open_chat(&turn, &err), err);
    say_turns(&t, 3);
    t.session->turn++; /* the running one */
    history_push(t.session, ROLE_USER, S("now"));
    CHECK_OK(history_make_room(&turn, &err), err);
    CHECK_INT(t.session->history.count, 7); /* short: nothing happens */
    size_t budget = chat_context(turn.chat) / 4 * 3;
    char *longer = arena_alloc(&t.arena, budget * 3);
    memset(longer, 'x', budget * 3); /* three quarters of the budget */
    t.session->history.items[1].message.text = (Str){longer, budget * 3};
    CHECK_OK(history_make_room(&turn, &err), err);
    CHECK_INT(t.compaction_count, 2);
    CHECK_INT(t.session->history.count, 3);
    CHECK_STR(t.session->history.items[2].message.text, S("now")); /* this turn's own words stay */
    CHECK(t.session->history.items[0].turn < t.session->turn);
    CHECK(turn.usage.prompts == 1);
    arena_free(&turn.arena);
    end(&t);
}

/* ---- without a turn ---- */

#define PATCH "--- a/a.py\n+++ b/a.py\n@@ -1,2 +1,2 @@\n def one():\n-    return 1\n+    return 2\n"

static bool refuse_read(void *ctx, Str path, Arena *arena, Str *text, Err *err) {
    (void)ctx, (void)arena, (void)text;
    return err_set(err, ERR_DENIED, "%.*s is not for you", STR_ARG(path));
}

/* The editor does not give the text: the patch is refused with its words. */
static void test_patch_unread(void) {
    Talk t;
    begin(&t, "");
    FileIo io = file_io_disk();
    io.read = refuse_read;
    SessionConfig config = {.id = S("s2"), .cwd = t.folder, .review = REVIEW_AUTO, .has_client_files = true};
    Err err = {0};
    Session *s = session_open(t.planner, &config, io, &err);
    CHECK_OK(s != NULL, err);
    Applied applied;
    CHECK(!session_apply_patch(s, S(PATCH), false, false, &t.arena, &applied, &err));
    CHECK_MSG(strstr(err.text, "is not for you") != NULL, "%s", err.text);
    check_file(&t, "a.py", "def one():\n    return 1\n");
    session_close(s);
    end(&t);
}

static void test_apply_patch(void) {
    Talk t;
    begin(&t, "");
    Err err = {0};
    Applied applied;
    CHECK_OK(session_apply_patch(t.session, S(PATCH), false, true, &t.arena, &applied, &err), err);
    CHECK_INT(applied.count, 1);
    CHECK_INT(applied.backup_id.len, 0);
    check_file(&t, "a.py", "def one():\n    return 1\n");
    CHECK_OK(session_apply_patch(t.session, S(PATCH), false, false, &t.arena, &applied, &err), err);
    CHECK_STR(applied.paths[0], S("a.py"));
    CHECK(applied.backup_id.len > 0);
    check_file(&t, "a.py", "def one():\n    return 2\n");
    CHECK(!session_apply_patch(t.session, S(PATCH), false, false, &t.arena, &applied, &err));
    CHECK_INT(err.code, ERR_CONFLICT);
    CHECK(strstr(err.text, "applied already"));
    CHECK(!session_apply_patch(t.session, S("no patch"), false, false, &t.arena, &applied, &err));
    CHECK_INT(err.code, ERR_INVALID);
    CHECK_OK(session_undo(t.session, S(""), &t.arena, &applied, &err), err);
    CHECK_STR(applied.paths[0], S("a.py"));
    check_file(&t, "a.py", "def one():\n    return 1\n");
    CHECK(!session_undo(t.session, S(""), &t.arena, &applied, &err));
    CHECK_INT(err.code, ERR_NOT_FOUND);
    end(&t);
}

/* What an editor holds unsaved is what the patch goes onto. */
typedef struct Editor {
    const char *text;
    Buf written;
    Talk *talk;
    int tries;
} Editor;

static bool editor_read(void *ctx, Str path, Arena *arena, Str *text, Err *err) {
    Editor *editor = ctx;
    if (!str_ends(path, S("/a.py")))
        return file_io_disk().read(NULL, path, arena, text, err);
    *text = str_copy(arena, editor->written.len ? buf_text(&editor->written) : str_of(editor->text));
    return true;
}

static bool editor_write(void *ctx, Str path, Str text, Err *err) {
    Editor *editor = ctx;
    (void)path;
    Applied applied;
    Err busy = {0};
    /* Meanwhile neither another change nor a turn may begin. */
    editor->tries++;
    CHECK(!session_undo(editor->talk->session, S(""), &editor->talk->arena, &applied, &busy));
    CHECK_INT(busy.code, ERR_CONFLICT);
    CHECK(!turn_start(editor->talk->session, &(Ask){.text = S("/help")}, (TurnSink){editor->talk, on_event},
                      &busy));
    CHECK_INT(busy.code, ERR_CONFLICT);
    buf_clear(&editor->written);
    buf_str(&editor->written, text);
    (void)err;
    return true;
}

static void test_patch_through_editor(void) {
    Talk t;
    begin(&t, "");
    Err err = {0};
    static const char LONGER[] =
        "--- a/a.py\n+++ b/a.py\n@@ -1,3 +1,3 @@\n def one():\n-    return 1\n+    return 2\n # end\n";
    Editor editor = {.text = "def one():\n    return 1\n# end\n# unsaved\n", .talk = &t};
    FileIo io = {.ctx = &editor, .read = editor_read, .write = editor_write};
    session_close(t.session);
    SessionConfig config = {.id = S("s2"), .cwd = t.folder, .has_client_files = true};
    t.session = session_open(t.planner, &config, io, &err);
    CHECK_OK(t.session != NULL, err);
    Applied applied;
    CHECK_OK(session_apply_patch(t.session, str_of(LONGER), false, false, &t.arena, &applied, &err), err);
    CHECK_STR(buf_text(&editor.written), S("def one():\n    return 2\n# end\n# unsaved\n"));
    CHECK_INT(editor.tries, 1);
    check_file(&t, "a.py", "def one():\n    return 1\n"); /* the editor saves, not we */
    buf_free(&editor.written);
    end(&t);
}

static void test_list_files(void) {
    Talk t;
    begin(&t, "");
    Err err = {0};
    Str *paths;
    size_t count;
    bool is_truncated;
    CHECK_OK(session_list_files(t.session, &t.arena, &paths, &count, &is_truncated, &err), err);
    CHECK_INT(count, 3);
    CHECK_STR(paths[2], S("c.c"));
    CHECK(!is_truncated);
    end(&t);
}

static const TestCase CASES[] = {
    {"which prompt is a command", test_find},
    {"every command is listed", test_list_is_whole},
    {"help", test_help},
    {"undo and diff", test_undo_and_diff},
    {"undo leaves what others wrote", test_undo_leaves_others_alone},
    {"undo in plan mode", test_undo_in_plan_mode},
    {"search and files", test_search_and_files},
    {"map", test_map},
    {"model and status", test_model_and_status},
    {"rewind", test_rewind},
    {"compact", test_compact},
    {"compact fails or is stopped", test_compact_fails},
    {"compact of a turn too long", test_compact_of_a_turn_too_long},
    {"room is made when it is needed", test_make_room},
    {"a patch is applied and taken back", test_apply_patch},
    {"a patch to a file that is not given", test_patch_unread},
    {"a patch through an editor", test_patch_through_editor},
    {"files are listed", test_list_files},
};
TEST_SUITE(PLANNER_SLASH_SUITE, "slash", CASES);
