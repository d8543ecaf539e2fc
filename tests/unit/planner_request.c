#include "planner/request.h"
#include "tests/runner.h"

static const Str LISTING[] = {STR_INIT("README.md"), STR_INIT("pkg/__init__.py"), STR_INIT("pkg/utils.py"),
                              STR_INIT("src/utils.c"), STR_INIT("tests/test_utils.py")};

typedef struct Row {
    const char *text;
    Intent intent;
    const char *target, *from, *to;
} Row;

static const Row ROWS[] = {
    {"Rename the function load_all to read_all everywhere", INTENT_RENAME, "", "load_all", "read_all"},
    {"rename `a_b` to `c_d`", INTENT_RENAME, "", "a_b", "c_d"},
    {"Please rename class Foo to Bar.", INTENT_RENAME, "", "Foo", "Bar"},
    {"Can you rename foo() into bar()?", INTENT_RENAME, "", "foo", "bar"},
    {"Change the name of maxLen to max_length", INTENT_RENAME, "", "maxLen", "max_length"},
    {"the function old_one should be called new_one", INTENT_RENAME, "", "old_one", "new_one"},
    {"Replace old_name with new_name in pkg/utils.py", INTENT_RENAME, "", "old_name", "new_name"},
    {"Change TIMEOUT from 30 to 60 in utils.c", INTENT_SET, "TIMEOUT", "30", "60"},
    {"Set the value of DEBUG to False", INTENT_SET, "DEBUG", "", "False"},
    {"bump DEFAULT_TIMEOUT to 10", INTENT_SET, "DEFAULT_TIMEOUT", "", "10"},
    {"Change `name` from \"a b\" to \"c d\"", INTENT_SET, "name", "\"a b\"", "\"c d\""},
    {"sepTokenId must be 204", INTENT_SET, "sepTokenId", "", "204"},
    {"Change 30 to 60", INTENT_REPLACE, "", "30", "60"},
    {"Replace the string 'color: ' with 'shade'", INTENT_REPLACE, "", "'color: '", "'shade'"},
    {"Replace calls to `a.b()` with calls to `c.d()`", INTENT_REPLACE, "", "a.b", "c.d"},
    {"In the line `if x is not None` replace `is not` by `is`", INTENT_SET, "if x is not None", "is not",
     "is"},
    {"Add a parameter verbose=False to the function run in pkg/utils.py", INTENT_PARAM, "run", "",
     "verbose=False"},
    {"Give run a new parameter int flags", INTENT_PARAM, "run", "", "int flags"},
    {"Add an argument `size_t n` to `copy()`", INTENT_PARAM, "copy", "", "size_t n"},
    {"Remove the line `x = 1` in utils.py", INTENT_REMOVE, "x = 1", "", ""},
    {"Delete all calls to log_it", INTENT_REMOVE, "log_it", "", ""},
    {"Remove the import of os", INTENT_REMOVE, "os", "", ""},
    {"Insert `b()` after `a()`", INTENT_INSERT, "a()", "", "b()"},
    {"use === instead of `!==` in `a !== b`", INTENT_SET, "a !== b", "!==", "==="},
    {"change 30 to 60 in utils.c", INTENT_REPLACE, "", "30", "60"},
    {"Add the parameter `warn` with default 3 to `f`", INTENT_PARAM, "f", "", "warn=3"},
    {"Why does it crash?", INTENT_OTHER, "", "", ""},
};

static void test_intents(void) {
    Arena arena = {0};
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        const Row *row = &ROWS[i];
        Request r;
        request_read(str_of(row->text), LISTING, 5, &arena, &r);
        CHECK_MSG(r.intent == row->intent && str_eq(r.target, str_of(row->target)) &&
                      str_eq(r.from, str_of(row->from)) && str_eq(r.to, str_of(row->to)),
                  "%s: %s target <%.*s> from <%.*s> to <%.*s>", row->text, intent_name(r.intent),
                  STR_ARG(r.target), STR_ARG(r.from), STR_ARG(r.to));
    }
    arena_free(&arena);
}

static void test_paths_and_names(void) {
    Arena arena = {0};
    Request r;
    request_read(S("Change TIMEOUT from 30 to 60 in src/utils.c."), LISTING, 5, &arena, &r);
    CHECK_INT(r.path_count, 1);
    CHECK_STR(r.paths[0], S("src/utils.c"));
    CHECK_STR(r.instruction, S("Change TIMEOUT from 30 to 60"));
    CHECK_STR(r.canonical, S("Change `TIMEOUT` from 30 to 60"));
    CHECK_STR(r.names[0], S("TIMEOUT"));
    request_read(S("fix utils.py and utils.c: loadAll fails"), LISTING, 5, &arena, &r);
    CHECK_INT(r.path_count, 2);
    CHECK_STR(r.names[0], S("loadAll"));
    request_read(S(""), LISTING, 5, &arena, &r);
    CHECK_INT(r.word_count, 0);
    request_read(S("``` `a ' \" `"), LISTING, 5, &arena, &r);
    CHECK_INT(r.intent, INTENT_OTHER);
    arena_free(&arena);
}

/* Any bytes are a request; nothing crashes and every result points into the text or the arena. */
static void test_random_text(void) {
    static const char ALPHABET[] =
        "ab `'\"\n.,/()=01 rename to change from remove add parameter the line calls of";
    for (int round = 0; round < 3000; round++) {
        Arena arena = {0};
        char text[200];
        size_t n = test_random() % sizeof text;
        for (size_t i = 0; i < n; i++)
            text[i] =
                test_random() % 8 ? ALPHABET[test_random() % (sizeof ALPHABET - 1)] : (char)test_random();
        Request r;
        request_read((Str){text, n}, LISTING, 5, &arena, &r);
        CHECK(r.intent < INTENT_COUNT && r.word_count <= n);
        arena_free(&arena);
    }
}

static const TestCase CASES[] = {
    {"intents", test_intents}, {"paths_and_names", test_paths_and_names}, {"random_text", test_random_text}};
TEST_SUITE(PLANNER_REQUEST_SUITE, "request", CASES);
