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
    {"Rename the function load in pkg/utils.py to read_it", INTENT_RENAME, "", "load", "read_it"},
    {"rename the local variable item to entry", INTENT_RENAME, "", "item", "entry"},
    {"Rename the CLI option --output-dir to --out-dir", INTENT_REPLACE, "", "--output-dir", "--out-dir"},
    {"renmae load_all to read_all", INTENT_RENAME, "", "load_all", "read_all"},
    {"Replace println! with eprintln!.", INTENT_REPLACE, "", "println!", "eprintln!"},
    {"Remove the unused import json", INTENT_REMOVE, "json", "", ""},
    {"remove fmt.Println", INTENT_REMOVE, "fmt.Println", "", ""},
    {"delete the comment `# load it`", INTENT_REMOVE, "# load it", "", ""},
    {"Flip the condition port >= 1024 to port < 1024", INTENT_REPLACE, "", "port >= 1024", "port < 1024"},
    {"Set the port in utils.py to 9000", INTENT_SET, "port", "", "9000"},
    {"Set the value of LIMIT to 3", INTENT_SET, "LIMIT", "", "3"},
    {"Make the code faster", INTENT_OTHER, "", "", ""},
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

typedef struct ScopeRow {
    const char *text, *scope, *from, *target;
} ScopeRow;

static const ScopeRow SCOPES[] = {
    {"Rename Config.save to Config.store", "Config", "save", ""},
    {"rename the method save of class Config to store", "Config", "save", ""},
    {"Rename util_add's parameter b to addend", "util_add", "b", ""},
    {"rename path to paths in load_all", "load_all", "path", ""},
    {"Set the \"retries\" entry in SETTINGS to 7", "SETTINGS", "", "retries"},
    {"change port under [client] to 9191", "client", "", "port"},
    {"Change the default port of connect from 80 to 90", "connect", "80", "port"},
    {"In connect, change `port >= 1024` to `port > 1024`", "connect", "port >= 1024", ""},
    {"Rename a_b to c_d everywhere in the code", "", "a_b", ""},
    {"Rename a_b to c_d in the tests too", "", "a_b", ""},
};

static void test_scopes(void) {
    Arena arena = {0};
    for (size_t i = 0; i < sizeof SCOPES / sizeof *SCOPES; i++) {
        const ScopeRow *row = &SCOPES[i];
        Request r;
        request_read(str_of(row->text), LISTING, 5, &arena, &r);
        CHECK_MSG(str_eq(r.scope, str_of(row->scope)) && str_eq(r.from, str_of(row->from)) &&
                      str_eq(r.target, str_of(row->target)),
                  "%s: %s scope <%.*s> from <%.*s> target <%.*s>", row->text, intent_name(r.intent),
                  STR_ARG(r.scope), STR_ARG(r.from), STR_ARG(r.target));
    }
    Request r;
    request_read(S("change level to debug"), LISTING, 5, &arena, &r);
    CHECK(r.intent == INTENT_RENAME && r.is_loose);
    request_as_value(&r, &arena);
    CHECK_INT(r.intent, INTENT_SET);
    CHECK_STR(r.canonical, S("Change `level` to debug"));
    request_read(S("rename a to b in tests"), LISTING, 5, &arena, &r);
    CHECK(r.path_count == 1 && str_eq(r.paths[0], S("tests/test_utils.py")));
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

static const TestCase CASES[] = {{"intents", test_intents},
                                 {"scopes", test_scopes},
                                 {"paths_and_names", test_paths_and_names},
                                 {"random_text", test_random_text}};
TEST_SUITE(PLANNER_REQUEST_SUITE, "request", CASES);
