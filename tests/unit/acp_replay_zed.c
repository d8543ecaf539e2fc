/* Logs as an editor's log view copies them (tests/transcripts/zed, made by tests/clients/sdk/zed_logs.mjs),
 * played against the program with the scripted model they were made with. */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "acp/tree_copy.h"
#include "base/json.h"
#include "base/os.h"
#include "tests/runner.h"

#define PROGRAM MUX_BINARY_DIR "/mux-acp"

typedef struct Scene {
    Arena arena;
    Str logs, work, state;
} Scene;

static void scene_open(Scene *scene) {
    *scene = (Scene){0};
    Err err = {0};
    CHECK_MSG(access(PROGRAM, X_OK) == 0, "the program %s is not built", PROGRAM);
    scene->logs = str_printf(&scene->arena, "%s/tests/transcripts/zed", test_source_dir());
    scene->state = str_printf(&scene->arena, "%s/state", test_tmp());
    CHECK(mkdir(scene->state.ptr, 0700) == 0);
    CHECK_OK(tree_copy(str_printf(&scene->arena, "%.*s/shop", STR_ARG(scene->logs)), &scene->arena,
                       &scene->work, &err),
             err);
}

static void scene_close(Scene *scene) {
    tree_remove(scene->work);
    arena_free(&scene->arena);
}

static Str read_text(Scene *scene, Str path) {
    Err err = {0};
    Str text = S("");
    CHECK_OK(os_read_file(str_cstr(&scene->arena, path), 1 << 24, &scene->arena, &text, &err), err);
    return text;
}

static Str out_path(Scene *scene) {
    return str_printf(&scene->arena, "%s/out", test_tmp());
}

/* The exit status of mux-acp --replay; what it says is left in "out". */
static int play(Scene *scene, Str log, const char *model) {
    Arena *arena = &scene->arena;
    const char *argv[] = {
        PROGRAM,
        "--replay",
        str_cstr(arena, log),
        "--cwd",
        str_cstr(arena, scene->work),
        "--model",
        str_cstr(arena, str_printf(arena, "script:%.*s/%s.model.txt", STR_ARG(scene->logs), model)),
        NULL};
    const char *out = str_cstr(arena, out_path(scene)), *state = str_cstr(arena, scene->state);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        int in = open("/dev/null", O_RDONLY), to = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (dup2(in, 0) < 0 || dup2(to, 1) < 0 || dup2(to, 2) < 0 ||
            setenv("XDG_STATE_HOME", state, 1) != 0 || setenv("TMPDIR", test_tmp(), 1) != 0)
            _exit(126);
        execv(PROGRAM, (char *const *)argv);
        _exit(127);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_MSG(WIFEXITED(status), "the program was killed by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

static size_t count_entries(Str folder) {
    size_t count = 0;
    DIR *dir = opendir(folder.ptr);
    CHECK(dir != NULL);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

static void check_untouched(Scene *scene) {
    static const char *const FILES[] = {"src/cart.c", "src/cart.h", "README.md"};
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        Str was = read_text(scene, str_printf(&scene->arena, "%.*s/shop/%s", STR_ARG(scene->logs), FILES[i]));
        Str is = read_text(scene, str_printf(&scene->arena, "%.*s/%s", STR_ARG(scene->work), FILES[i]));
        CHECK_STR(is, was);
    }
    CHECK_INT(count_entries(scene->work), 2);  /* src, README.md: no state folder either */
    CHECK_INT(count_entries(scene->state), 0); /* the user's store */
}

static void same(const char *name) {
    Scene scene;
    scene_open(&scene);
    int status = play(&scene, str_printf(&scene.arena, "%.*s/%s.json", STR_ARG(scene.logs), name), name);
    Str said = read_text(&scene, out_path(&scene));
    CHECK_MSG(status == 0 && str_contains(said, S("nothing differs")), "%s: status %d\n%.*s", name, status,
              STR_ARG(said));
    check_untouched(&scene);
    scene_close(&scene);
}

static void test_review(void) {
    same("review");
}
static void test_permission(void) {
    same("permission");
}
static void test_cancel(void) {
    same("cancel");
}
static void test_load(void) {
    same("load");
}
static void test_error(void) {
    same("error");
}
static void test_stderr(void) {
    same("stderr");
}
static void test_tools(void) {
    same("tools");
}
static void test_edge(void) {
    same("edge");
}
static void test_unfinished(void) {
    same("unfinished");
}

/* One word is another: one sentence says where. */
static void test_differs(void) {
    Scene scene;
    scene_open(&scene);
    CHECK_INT(play(&scene, str_printf(&scene.arena, "%.*s/differs.json", STR_ARG(scene.logs)), "differs"), 1);
    Str said = read_text(&scene, out_path(&scene)), first;
    CHECK(str_next_line(&said, &first));
    CHECK_MSG(str_starts(first, S("First difference: session 1, message ")), "%.*s", STR_ARG(first));
    static const char *const PARTS[] = {
        " of the log (session/update agent_message_chunk), field update.content.text: the log has ",
        "Free shipping starts at 39 euros now.", ", mux says ", "Free shipping starts at 40 euros now."};
    for (size_t i = 0; i < sizeof PARTS / sizeof *PARTS; i++)
        CHECK_MSG(str_contains(first, str_of(PARTS[i])), "%s is not in %.*s", PARTS[i], STR_ARG(first));
    check_untouched(&scene);
    scene_close(&scene);
}

/* On one line the array is the same log. */
static void test_not_pretty(void) {
    Scene scene;
    scene_open(&scene);
    Err err = {0};
    Str text = read_text(&scene, str_printf(&scene.arena, "%.*s/review.json", STR_ARG(scene.logs)));
    Json *log = json_parse(text, &err);
    CHECK_OK(log != NULL, err);
    Buf line = {0};
    json_print(log, &line);
    json_free(log);
    Str path = str_printf(&scene.arena, "%s/line.json", test_tmp());
    CHECK_OK(os_write_file(path.ptr, buf_text(&line), &err), err);
    buf_free(&line);
    CHECK_INT(play(&scene, path, "review"), 0);
    scene_close(&scene);
}

/* Cut at any place it is no log any more: a sentence and status 2. */
static void test_truncated(void) {
    Scene scene;
    scene_open(&scene);
    Err err = {0};
    Str text = read_text(&scene, str_printf(&scene.arena, "%.*s/review.json", STR_ARG(scene.logs)));
    Str path = str_printf(&scene.arena, "%s/cut.json", test_tmp());
    for (size_t part = 1; part < 8; part++) {
        CHECK_OK(os_write_file(path.ptr, str_slice(text, 0, text.len * part / 8), &err), err);
        CHECK_INT(play(&scene, path, "review"), 2);
        CHECK(str_contains(read_text(&scene, out_path(&scene)), S("--replay")));
    }
    scene_close(&scene);
}

/* A log may name programs (servers of tools): they are not started. */
static void test_starts_nothing(void) {
    Scene scene;
    scene_open(&scene);
    Err err = {0};
    Str mark = str_printf(&scene.arena, "%s/started", test_tmp());
    Str path = str_printf(&scene.arena, "%s/hostile.json", test_tmp());
    Str log = str_printf(
        &scene.arena,
        "[{\"_direction\":\"outgoing\",\"_type\":\"request\",\"id\":0,\"method\":\"initialize\",\"params\":{"
        "\"protocolVersion\":1}},{\"_direction\":\"outgoing\",\"_type\":\"request\",\"id\":1,\"method\":"
        "\"session/new\",\"params\":{\"cwd\":\"/home/ana/shop\",\"mcpServers\":[{\"name\":\"x\",\"command\":"
        "\"/usr/bin/touch\",\"args\":[\"%.*s\"],\"env\":[]}]}}]",
        STR_ARG(mark));
    CHECK_OK(os_write_file(path.ptr, log, &err), err);
    CHECK_INT(play(&scene, path, "review"), 0);
    CHECK(access(mark.ptr, F_OK) != 0);
    check_untouched(&scene);
    scene_close(&scene);
}

static const TestCase CASES[] = {
    {"review", test_review},
    {"permission", test_permission},
    {"cancel", test_cancel},
    {"load", test_load},
    {"error", test_error},
    {"stderr", test_stderr},
    {"tools", test_tools},
    {"edge", test_edge},
    {"unfinished", test_unfinished},
    {"differs", test_differs},
    {"not_pretty", test_not_pretty},
    {"truncated", test_truncated},
    {"starts_nothing", test_starts_nothing},
};
TEST_SUITE(ACP_REPLAY_ZED_SUITE, "replay_zed", CASES);
