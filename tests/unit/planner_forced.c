/* A model with random weights says nothing sensible, yet every edit it writes under the form applies. */
#include <string.h>

#include "base/os.h"
#include "planner/planner.h"
#include "tests/fakes/forced.h"
#include "tests/runner.h"
#include "tests/unit/engine_support.h"

enum { REQUESTS = 40, TURNS = 12, CONTEXT = 1536 };

static const GrammarFile FILES[] = {
    {STR_INIT("src/sum.c"), STR_INIT("int sum(int a, int b) {\n    return a + b;\n}\n\nint twice(int a) {\n"
                                     "    return sum(a, a);\n}\n")},
    {STR_INIT("notes.md"), STR_INIT("# Notes\n\n- one\n- two\n- one\n\nNaïve ☃ text\n")},
    {STR_INIT("list.txt"), STR_INIT("x\nx\nx\ny\n\n\nz")},
};
static const ForcedTree TREE = {FILES, sizeof FILES / sizeof *FILES};

static Str random_model(Arena *arena, const char *arch) {
    return fake_model_file(arena,
                           &(FakeModel){.arch = arch, .type = DTYPE_Q8_0, .seed = 7, .context = CONTEXT});
}

static void check_all_apply(const char *arch, bool allow_new) {
    Arena arena = {0};
    Err err = {0};
    Engine *engine = fake_engine(random_model(&arena, arch), S("cpu"));
    Chat *chat = fake_chat(engine, S(""));
    ForcedCount count = {0};
    for (uint64_t seed = 1; seed <= REQUESTS / 2; seed++) {
        Str prompt = str_printf(&arena, "Change number %d.", (int)seed);
        CHECK_OK(forced_ask(chat, TREE, prompt, seed, allow_new, &count, &err), err);
    }
    CHECK_INT(count.ended, count.requests);
    CHECK(count.emitted >= count.requests);
    CHECK_MSG(count.exact == count.emitted && count.applied == count.emitted && count.unbuilt == 0,
              "of %zu edits %zu were found and %zu applied: %s", count.emitted, count.exact, count.applied,
              count.first_problem.text);
    chat_close(chat);
    engine_close(engine);
    arena_free(&arena);
}

static void test_edits_of_files(void) {
    check_all_apply("llama", false);
}

static void test_edits_and_new_files(void) {
    check_all_apply("qwen2", true);
}

/* ---- whole turns ---- */

typedef struct Said {
    Arena arena;
    TurnStop stop;
    bool was_applied;
    Str problem;
} Said;

static void on_event(void *ctx, const TurnEvent *event) {
    Said *said = ctx;
    if (event->kind != TURN_DONE)
        return;
    said->stop = event->done->stop;
    said->was_applied = event->done->was_applied;
    if (event->done->problem_count)
        said->problem = str_copy(&said->arena, event->done->problems[0]);
}

static void write_tree(Arena *arena, const char *folder) {
    Err err = {0};
    CHECK_OK(os_make_dirs(str_printf(arena, "%s/src", folder).ptr, &err), err);
    for (size_t i = 0; i < TREE.count; i++) {
        Str path = str_printf(arena, "%s/%.*s", folder, STR_ARG(FILES[i].path));
        CHECK_OK(os_write_file(path.ptr, FILES[i].text, &err), err);
    }
}

static size_t changed_files(Arena *arena, const char *folder) {
    size_t changed = 0;
    for (size_t i = 0; i < TREE.count; i++) {
        Err err = {0};
        Str text;
        Str path = str_printf(arena, "%s/%.*s", folder, STR_ARG(FILES[i].path));
        CHECK_OK(os_read_file(path.ptr, 1 << 20, arena, &text, &err), err);
        changed += !str_eq(text, FILES[i].text);
    }
    return changed;
}

/* A turn applies all it was given, or gives up because the code would no longer parse and leaves the files
 * alone. */
static void run_turn(Planner *planner, uint64_t number, size_t *applied, size_t *declined) {
    Said said = {0};
    Err err = {0};
    Str folder = str_printf(&said.arena, "%s/turn-%d", test_tmp(), (int)number);
    write_tree(&said.arena, folder.ptr);
    SessionConfig config = {.id = S("s"), .cwd = folder, .review = REVIEW_AUTO};
    Session *session = session_open(planner, &config, file_io_disk(), &err);
    CHECK_OK(session != NULL, err);
    Ask ask = {.text = str_printf(&said.arena, "Change line %d of %.*s", (int)number,
                                  STR_ARG(FILES[number % TREE.count].path))};
    CHECK_OK(turn_start(session, &ask, (TurnSink){&said, on_event}, &err), err);
    turn_wait(session);
    session_close(session);
    bool is_declined = str_contains(said.problem, S("has a syntax error"));
    CHECK_MSG(said.stop != TURN_STOP_FAILED && (said.was_applied || is_declined), "turn %d: %.*s",
              (int)number, STR_ARG(said.problem));
    CHECK(said.was_applied || changed_files(&said.arena, folder.ptr) == 0);
    *applied += said.was_applied;
    *declined += is_declined;
    arena_free(&said.arena);
}

static void test_turns(void) {
    Arena arena = {0};
    Err err = {0};
    size_t applied = 0, declined = 0;
    Engine *engine = fake_engine(random_model(&arena, "qwen3"), S("cpu"));
    for (uint64_t i = 0; i < TURNS; i++) {
        Planner *planner = planner_open(&(PlannerConfig){.seed = i}, engine, &err);
        CHECK_OK(planner != NULL, err);
        run_turn(planner, i, &applied, &declined);
        planner_close(planner);
    }
    CHECK_INT(applied + declined, TURNS);
    CHECK(applied > 0);
    engine_close(engine);
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"edits_of_files", test_edits_of_files},
    {"edits_and_new_files", test_edits_and_new_files},
    {"turns", test_turns},
};
TEST_SUITE(PLANNER_FORCED_SUITE, "forced", CASES);
