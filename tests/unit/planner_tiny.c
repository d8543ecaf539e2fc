/* The main job with the embedded model: real requests on a small tree, exact results, honest refusals. */
#include <string.h>

#include "base/os.h"
#include "planner/planner.h"
#include "tests/runner.h"

typedef struct Said {
    Arena arena;
    TurnStop stop;
    bool was_applied;
    size_t files_changed, problems, prompts;
    Str first_problem;
} Said;

static void on_event(void *ctx, const TurnEvent *event) {
    Said *said = ctx;
    if (event->kind != TURN_DONE)
        return;
    const TurnDone *done = event->done;
    said->stop = done->stop;
    said->was_applied = done->was_applied;
    said->files_changed = done->files_changed;
    said->problems = done->problem_count;
    said->prompts = done->usage.prompts;
    if (done->problem_count)
        said->first_problem = str_copy(&said->arena, done->problems[0]);
}

typedef struct NamedText {
    const char *name, *text;
} NamedText;

static const NamedText SHOP[] = {
    {"cart.py",
     "from prices import goods_total\n\n\nclass Cart:\n    def __init__(self):\n        self.items = []\n\n"
     "    def total(self):\n        return goods_total(self.items, rate=0.2)\n"},
    {"prices.py", "TAX_RATE = 19\r\nDEBUG = True\r\n\r\n\r\ndef goods_total(items, rate):\r\n    "
                  "\"\"\"goods_total adds up.\"\"\"\r\n"
                  "    return sum(items) * (1 + rate)\r\n"},
    {"report.py",
     "import sys  # --goods-total\nimport prices\n\n\ndef show(items):\n    print(prices.goods_total(items, "
     "rate=0))\n    sys.stdout.flush()\n"},
};
enum { SHOP_FILES = sizeof SHOP / sizeof *SHOP };

static Str file_path(Arena *arena, const char *name) {
    return str_printf(arena, "%s/%s", test_tmp(), name);
}

static void write_shop(Arena *arena) {
    Err err = {0};
    for (int i = 0; i < SHOP_FILES; i++)
        CHECK_OK(os_write_file(file_path(arena, SHOP[i].name).ptr, str_of(SHOP[i].text), &err), err);
}

static void run(Said *said, const char *prompt) {
    Err err = {0};
    *said = (Said){0};
    Engine *engine = engine_open(&(EngineConfig){.threads = 1}, &err);
    CHECK_OK(engine != NULL, err);
    Planner *planner = planner_open(&(PlannerConfig){0}, engine, &err);
    SessionConfig config = {.id = S("s"), .cwd = str_of(test_tmp()), .review = REVIEW_AUTO};
    Session *session = session_open(planner, &config, file_io_disk(), &err);
    CHECK_OK(session != NULL, err);
    Ask ask = {.text = str_of(prompt)};
    CHECK_OK(turn_start(session, &ask, (TurnSink){said, on_event}, &err), err);
    turn_wait(session);
    session_close(session);
    planner_close(planner);
    engine_close(engine);
}

/* Every file as it was but for old -> new in the named file (NULL: in all). */
static void check_shop(const char *file, const char *old_text, const char *new_text) {
    Arena arena = {0};
    for (int i = 0; i < SHOP_FILES; i++) {
        Err err = {0};
        Str text;
        Buf expected = {0};
        Str rest = str_of(SHOP[i].text);
        bool touched = !file || strcmp(file, SHOP[i].name) == 0;
        for (size_t hit; touched && (hit = str_find(rest, str_of(old_text), 0)) != STR_NONE;) {
            buf_str(&expected, str_slice(rest, 0, hit));
            buf_cstr(&expected, new_text);
            rest = str_from(rest, hit + strlen(old_text));
        }
        buf_str(&expected, rest);
        CHECK_OK(os_read_file(file_path(&arena, SHOP[i].name).ptr, 1 << 20, &arena, &text, &err), err);
        CHECK_STR(text, buf_text(&expected));
        buf_free(&expected);
    }
    arena_free(&arena);
}

typedef struct Row {
    const char *prompt, *file, *old_text, *new_text;
} Row;

static const Row ROWS[] = {
    {"Rename the function goods_total to goods_price everywhere", NULL, "goods_total", "goods_price"},
    {"Change TAX_RATE from 19 to 21", "prices.py", "TAX_RATE = 19", "TAX_RATE = 21"},
    {"Change DEBUG to False in prices.py", "prices.py", "DEBUG = True", "DEBUG = False"},
    {"Add a parameter currency=None to the function goods_total in prices.py", "prices.py", "(items, rate)",
     "(items, rate, currency=None)"},
    {"Remove the line `sys.stdout.flush()` in report.py", "report.py", "    sys.stdout.flush()\n", ""},
};

static void test_requests(void) {
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        Arena arena = {0};
        Said said;
        write_shop(&arena);
        run(&said, ROWS[i].prompt);
        CHECK_MSG(said.was_applied, "%s: %.*s", ROWS[i].prompt, STR_ARG(said.first_problem));
        check_shop(ROWS[i].file, ROWS[i].old_text, ROWS[i].new_text);
        arena_free(&said.arena);
        arena_free(&arena);
    }
}

typedef struct Refusal {
    const char *prompt, *sentence;
} Refusal;

static const Refusal REFUSALS[] = {
    {"Rename nothing_here to something_else", "nothing_here was not found"},
    {"Rename goods_total to show", "already defines show"},
    {"Rename rate to items in prices.py", "already uses the name items"},
    {"Rename prices to costs", "names a module"},
    {"Rename the option --goods-total to --sum", "uses goods_total, which may follow from --goods-total"},
    {"Change DEBUG to True", "DEBUG is True already (prices.py:2)"},
    {"Change TAX_RATE from 7 to 8", "does not have the value 7 (prices.py:1"},
    {"Rename items to goods in nowhere_at_all", "was not found in nowhere_at_all"},
    {"Add a parameter currency to goods_total", "give it a default value"},
    {"Add a parameter currency to the function goods_total", "would break"},
    {"Change items to 3", "cart.py:6"},
    {"Why is the sky blue?", "answers no questions"},
};

/* What cannot be done is said, and nothing is written. */
static void test_refusals(void) {
    for (size_t i = 0; i < sizeof REFUSALS / sizeof *REFUSALS; i++) {
        Arena arena = {0};
        Said said;
        write_shop(&arena);
        run(&said, REFUSALS[i].prompt);
        bool told = str_contains(said.first_problem, str_of(REFUSALS[i].sentence));
        CHECK_MSG(!said.was_applied && said.problems, "%s was carried out", REFUSALS[i].prompt);
        CHECK_MSG(told, "%s: %.*s", REFUSALS[i].prompt, STR_ARG(said.first_problem));
        check_shop("none", "", "");
        arena_free(&said.arena);
        arena_free(&arena);
    }
}

static const TestCase CASES[] = {{"requests", test_requests}, {"refusals", test_refusals}};
TEST_SUITE(PLANNER_TINY_SUITE, "tiny", CASES);
