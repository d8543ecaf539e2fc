/* What became of earlier changes, told from the texts alone. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "planner/planner_internal.h"
#include "planner/written.h"
#include "tests/runner.h"

/* A session whose turns write and compare by hand. */
typedef struct Scene {
    Arena arena;
    Planner planner;
    Session session;
    Turn turn;
    Buf thoughts;
} Scene;

static void on_event(void *ctx, const TurnEvent *event) {
    Scene *scene = ctx;
    if (event->kind == TURN_THOUGHT)
        buf_str(&scene->thoughts, event->text);
}

static void scene_open(Scene *scene) {
    Err err = {0};
    *scene = (Scene){0};
    scene->session = (Session){.planner = &scene->planner, .id = S("s"), .cwd = str_of(test_tmp())};
    pthread_mutex_init(&scene->session.lock, NULL);
    WorkspaceConfig config = {.root = scene->session.cwd, .read_only = true};
    scene->turn = (Turn){.session = &scene->session, .sink = {scene, on_event}};
    scene->turn.ws = ws_open(&config, file_io_disk(), &err);
    CHECK_OK(scene->turn.ws != NULL, err);
}

static void scene_close(Scene *scene) {
    written_free(&scene->session);
    ws_close(scene->turn.ws);
    buf_free(&scene->thoughts);
    pthread_mutex_destroy(&scene->session.lock);
    arena_free(&scene->turn.arena);
    arena_free(&scene->arena);
}

static void put(Scene *scene, const char *name, Str text) {
    Err err = {0};
    CHECK_OK(os_write_file(str_printf(&scene->arena, "%s/%s", test_tmp(), name).ptr, text, &err), err);
}

/* A turn of its own that wrote `sent` over `before` (ptr NULL: a new file), of which the editor made `found`.
 */
static void wrote(Scene *scene, const char *name, Str before, Str sent, Str found) {
    Err err = {0};
    FileWork file = {.is_accepted = true, .is_new = before.ptr == NULL};
    FileWork *files[] = {&file};
    CHECK_OK(ws_path(scene->turn.ws, str_of(name), &scene->arena, &file.path, &err), err);
    file.seen.text = before.ptr ? before : S("");
    file.new_text = sent;
    ChangedFile changed = {
        .path = file.path, .sent = sent, .found = found, .is_reformatted = !str_eq(sent, found)};
    ChangeReport report = {&changed, 1};
    scene->turn.files = files;
    scene->turn.file_count = 1;
    written_remember(&scene->turn, &report);
    scene->turn.file_count = 0;
    put(scene, name, found);
}

static void check_news(Scene *scene, const char *expected) {
    Err err = {0};
    Buf news = {0};
    CHECK_OK(written_compare(&scene->turn, &news, &err), err);
    CHECK_STR(buf_text(&news), str_of(expected));
    buf_free(&news);
}

#define BEFORE "a\nb\nc\nd\ne\nf\ng\n"
#define SENT "A\nb\nc\nD\ne\nf\nG\n"

static void test_nothing_to_tell(void) {
    Scene scene;
    scene_open(&scene);
    check_news(&scene, "");
    wrote(&scene, "a.txt", S(BEFORE), S(SENT), S(SENT));
    check_news(&scene, "");
    put(&scene, "a.txt", S("A\nb\nc\nD\ne\nhis own\nG\nmore\n")); /* away from our lines, or below them */
    wrote(&scene, "b.txt", (Str){0}, S("new\n"), S("new\n"));
    check_news(&scene, "");
    put(&scene, "a.txt", S("top\nA\nb\nc\nD\nin between\ne\nf\nG\n"));
    check_news(&scene, "");
    CHECK_STR(buf_text(&scene.thoughts), S(""));
    scene_close(&scene);
}

static void test_taken_back(void) {
    Scene scene;
    scene_open(&scene);
    wrote(&scene, "a.txt", S(BEFORE), S(SENT), S(SENT));
    put(&scene, "a.txt", S("A\nb\nc\nd\ne\nf\nG\n"));
    check_news(&scene, "a.txt: of your 3 changes, the user took back 1.\ntaken back (the old lines are there "
                       "again):\n-d\n+D\n");
    check_news(&scene, ""); /* told once */
    put(&scene, "a.txt", S("A\nb\nc\nd\ne\nf\ng\n"));
    check_news(&scene, "a.txt: of your 2 changes, the user took back 1.\ntaken back (the old lines are there "
                       "again):\n-g\n+G\n");
    put(&scene, "a.txt", S(BEFORE));
    check_news(&scene, "a.txt: of your 1 change, the user took back 1.\ntaken back (the old lines are there "
                       "again):\n-a\n+A\n");
    CHECK_INT(scene.session.written_count, 0);
    scene_close(&scene);
}

static void test_edited(void) {
    Scene scene;
    scene_open(&scene);
    wrote(&scene, "a.txt", S(BEFORE), S(SENT), S(SENT));
    put(&scene, "a.txt", S("A\nb\nc\nmine\ne\nf\ng\n"));
    check_news(&scene, "a.txt: of your 3 changes, the user took back 1 and edited 1.\n"
                       "taken back (the old lines are there again):\n-g\n+G\n"
                       "you wrote:\n+D\nthere is now:\n+mine\n");
    CHECK_STR(buf_text(&scene.thoughts), S("Since the last edit: a.txt has 1 of 3 changes left.\n"));
    scene_close(&scene);
}

static void test_gone(void) {
    Scene scene;
    scene_open(&scene);
    wrote(&scene, "new.txt", (Str){0}, S("x\n"), S("x\n"));
    wrote(&scene, "old.txt", S(BEFORE), S(SENT), S(SENT));
    unlink(str_printf(&scene.arena, "%s/new.txt", test_tmp()).ptr);
    unlink(str_printf(&scene.arena, "%s/old.txt", test_tmp()).ptr);
    check_news(&scene, "new.txt: the user took back this new file; it does not exist any more.\n"
                       "old.txt: the user deleted this file after your changes.\n");
    CHECK_STR(buf_text(&scene.thoughts), S("Since the last edit: new.txt is gone, old.txt is gone.\n"));
    CHECK_INT(scene.session.written_count, 0);
    scene_close(&scene);
}

static void test_formatter(void) {
    Scene scene;
    scene_open(&scene);
    wrote(&scene, "a.txt", S(BEFORE), S(SENT), S("A\nb\nc\n  D\ne\nf\nG\n"));
    check_news(&scene, "a.txt: the editor's formatter changed what you wrote:\n-D\n+  D\n");
    check_news(&scene, "");
    put(&scene, "a.txt", S("A\nb\nc\nd\ne\nf\nG\n")); /* the formatted hunk is taken back */
    check_news(&scene, "a.txt: of your 3 changes, the user took back 1.\ntaken back (the old lines are there "
                       "again):\n-d\n+  D\n");
    scene_close(&scene);
}

/* Two turns on one file: what the first wrote is looked after on. */
static void test_two_turns(void) {
    Scene scene;
    scene_open(&scene);
    wrote(&scene, "a.txt", S(BEFORE), S("A\nb\nc\nd\ne\nf\ng\n"), S("A\nb\nc\nd\ne\nf\ng\n"));
    wrote(&scene, "a.txt", S("A\nb\nc\nd\ne\nf\ng\n"), S("A\nb\nc\nd\ne\nf\nG\n"),
          S("A\nb\nc\nd\ne\nf\nG\n"));
    CHECK_INT(scene.session.written_count, 1);
    put(&scene, "a.txt", S("a\nb\nc\nd\ne\nf\nG\n"));
    check_news(&scene, "a.txt: of your 2 changes, the user took back 1.\ntaken back (the old lines are there "
                       "again):\n-a\n+A\n");
    scene_close(&scene);
}

/* However much was lost, little is said of it. */
static void test_bounds(void) {
    Scene scene;
    Err err = {0};
    scene_open(&scene);
    Buf before = {0}, sent = {0}, news = {0};
    for (int i = 0; i < 40; i++)
        for (int k = 0; k < 30; k++) {
            buf_printf(&before, "%s %d\n", k < 20 ? "old" : "same", i * 100 + k);
            buf_printf(&sent, "%s %d\n", k < 20 ? "new" : "same", i * 100 + k);
        }
    for (int f = 0; f < 130; f++) {
        const char *name = str_printf(&scene.arena, "f%03d.txt", f).ptr;
        wrote(&scene, name, buf_text(&before), buf_text(&sent), buf_text(&sent));
        put(&scene, name, buf_text(&before));
    }
    CHECK_INT(scene.session.written_count, 100);
    CHECK_OK(written_compare(&scene.turn, &news, &err), err);
    CHECK_MSG(news.len < 14000, "%zu bytes", news.len);
    CHECK(str_starts(buf_text(&news), S("f030.txt: of your 40 changes, the user took back 40.\n")));
    CHECK(str_contains(buf_text(&news), S("\n+... 8 more lines\n(and 34 more)\nf031.txt")));
    CHECK(str_contains(buf_text(&news), S(" more files that the user changed; read them again)\n")));
    CHECK_INT(scene.session.written_count, 0);
    buf_free(&before);
    buf_free(&sent);
    buf_free(&news);
    scene_close(&scene);
}

/* Cancelled: what was not looked at is told next time. */
static void test_cancelled(void) {
    Scene scene;
    Buf news = {0};
    Err err = {0};
    scene_open(&scene);
    wrote(&scene, "a.txt", S(BEFORE), S(SENT), S(SENT));
    put(&scene, "a.txt", S(BEFORE));
    atomic_store(&scene.session.cancelled, true);
    CHECK(!written_compare(&scene.turn, &news, &err) && err.code == ERR_CANCELLED);
    atomic_store(&scene.session.cancelled, false);
    CHECK_OK(written_compare(&scene.turn, &news, &err), err);
    CHECK(str_contains(buf_text(&news), S("of your 3 changes, the user took back 3")));
    buf_free(&news);
    scene_close(&scene);
}

/* Any text may stand there now: what is said of each hunk agrees with the texts. */
static void test_random_texts(void) {
    Scene scene;
    scene_open(&scene);
    for (int round = 0; round < 300; round++) {
        Buf texts[3] = {{0}, {0}, {0}}, news = {0};
        Err err = {0};
        size_t back = 0;
        for (int i = 0; i < 12; i++) {
            bool is_ours = test_random() % 3 == 0, is_back = is_ours && test_random() % 2;
            buf_printf(&texts[0], "line %d\nx\n", i);
            buf_printf(&texts[1], "%s %d\nx\n", is_ours ? "ours" : "line", i);
            buf_printf(&texts[2], "%s %d\nx\n", is_ours && !is_back ? "ours" : "line", i);
            back += is_back;
        }
        wrote(&scene, "r.txt", buf_text(&texts[0]), buf_text(&texts[1]), buf_text(&texts[1]));
        put(&scene, "r.txt", buf_text(&texts[2]));
        CHECK_OK(written_compare(&scene.turn, &news, &err), err);
        CHECK_INT(news.len > 0, back > 0);
        char part[40];
        snprintf(part, sizeof part, "the user took back %zu.\n", back);
        CHECK_MSG(!back || str_contains(buf_text(&news), str_of(part)), "%zu: %.*s", back,
                  STR_ARG(buf_text(&news)));
        check_news(&scene, "");
        for (int i = 0; i < 3; i++)
            buf_free(&texts[i]);
        buf_free(&news);
        unlink(str_printf(&scene.arena, "%s/r.txt", test_tmp()).ptr);
        written_compare(&scene.turn, &news, &err); /* forgotten */
        buf_free(&news);
    }
    scene_close(&scene);
}

static const TestCase CASES[] = {
    {"nothing_to_tell", test_nothing_to_tell},
    {"taken_back", test_taken_back},
    {"edited", test_edited},
    {"gone", test_gone},
    {"formatter", test_formatter},
    {"two_turns", test_two_turns},
    {"bounds", test_bounds},
    {"cancelled", test_cancelled},
    {"random_texts", test_random_texts},
};
TEST_SUITE(PLANNER_WRITTEN_SUITE, "written", CASES);
