#include "planner/line_check.h"
#include "tests/runner.h"

typedef struct Row {
    const char *request, *old_line, *new_text; /* NULL = the line goes */
    bool is_right;
} Row;

static const Row ROWS[] = {
    {"Rename foo_a to bar_b", "x = foo_a(foo_a)", "x = bar_b(bar_b)", true},
    {"Rename foo_a to bar_b", "x = foo_a(foo_a)", "x = bar_b(foo_a)", false},
    {"Rename foo_a to bar_b", "x = foo_a + foo_a2", "x = bar_b + foo_a2", true},
    {"Rename foo_a to bar_b", "x = foo_a + foo_a2", "x = bar_b + bar_b2", false},
    {"Rename foo_a to bar_b", "x = foo_a", "x = bar_b ", false},
    {"Rename foo_a to bar_b", "x = foo_a", NULL, false},
    {"Rename foo_a to bar_b", "x = foo_a", "x = bar_b\ny = 1", false},
    {"Rename session to link", "s = session()  # a session", "s = link()  # a session", true},
    {"Rename session to link", "s = session()  # a session", "s = link()  # a link", true},
    {"Rename session to link", "s = session()  # a session", "s = session()  # a link", false},
    {"Change TIMEOUT from 30 to 60", "TIMEOUT = 30  # seconds", "TIMEOUT = 60  # seconds", true},
    {"Change TIMEOUT from 30 to 60", "TIMEOUT = 30  # seconds", "TIMEOUT = 600  # seconds", false},
    {"Change TIMEOUT from 30 to 60", "TIMEOUT = 30  # seconds", "TIMEOUT = 60", false},
    {"Change TIMEOUT to 60", "#define TIMEOUT 30", "#define TIMEOUT 60", true},
    {"Change TIMEOUT to 60", "#define TIMEOUT 30", "#define TIMEOUT 30 60", false},
    {"Set timeout to 60",
     "def get(url, timeout=30, retries=2):", "def get(url, timeout=60, retries=2):", true},
    {"Set timeout to 60",
     "def get(url, timeout=30, retries=2):", "def get(url, timeout=30, retries=60):", false},
    {"Set timeout to 60", "def get(url, timeout=30, retries=2):", "def get(url, timeout=60):", false},
    {"Set timeout to 60", "timeout: int = 30", "timeout: int = 60", true},
    {"Set name to prod", "name = \"dev\"", "name = \"prod\"", true},
    {"Set DEBUG to False", "DEBUG = True", "DEBUG = False", true},
    {"Set DEBUG to False", "if DEBUG == True:", "if DEBUG == False:", false},
    {"Set level to 3", "level == 2", "level == 3", false},
    {"Replace 'a b' with 'c d'", "f('a b', 'a b')", "f('c d', 'c d')", true},
    {"Replace 'a b' with 'c d'", "f('a b', 'a b')", "f('c d', 'a b')", false},
    {"In the line `if x is not None` replace `is not` by `is`",
     "    if x is not None:", "    if x is None:", true},
    {"In the line `if x is not None` replace `is not` by `is`",
     "    if x is not None:", "    if x is 0:", false},
    {"Add a parameter n=1 to f", "def f(a, b):", "def f(a, b, n=1):", true},
    {"Add a parameter n=1 to f", "def f(a, b):", "def f(n=1, a, b):", true},
    {"Add a parameter n=1 to f", "def f(a, b):", "def f(a, b n=1):", false},
    {"Add a parameter n=1 to f", "def f(a, b):", "def f(a, n=1):", false},
    {"Add a parameter n=1 to f", "def f():", "def f(n=1):", true},
    {"Add a parameter n=1 to f", "def f():", "def f(, n=1):", false},
    {"Add a parameter n=1 to f", "def f(a, **kw):", "def f(a, **kw, n=1):", false},
    {"Add a parameter int n to f", "int f(void)", "int f(int n)", true},
    {"Add a parameter int n to f", "int f(void)", "int f(void, int n)", false},
    {"Remove the line `x = 1`", "    x = 1", NULL, true},
    {"Remove the line `x = 1`", "    x = 12", NULL, false},
    {"Remove the line `x = 1`", "    x = 1", "    x = 2", false},
    {"Remove the call to log_it", "  log_it(1);", NULL, true},
    {"Remove the call to log_it", "  blog_it(1);", NULL, false},
    {"Remove the import of os", "import os", NULL, true},
    {"Remove the import of os", "os = 1", NULL, false},
    {"Insert `b()` after `a()`", "  a()", "  a()\n  b()", true},
    {"Insert `b()` after `a()`", "  a()", "  b()\n  a()", false},
    {"Insert `b()` before `a()`", "  a()", "  b()\n  a()", true},
    {"Rename find_it to look_up", "import { find_it } from './find_it.js';",
     "import { look_up } from './find_it.js';", true},
    {"Rename find_it to look_up", "import { find_it } from './find_it.js';",
     "import { look_up } from './look_up.js';", false},
    {"Rename find_it to look_up", "#include \"find_it.h\"", "#include \"look_up.h\"", false},
    {"Rename load to read", "x = load({\"load\": 1})", "x = read({\"load\": 1})", true},
    {"Rename the option --out-dir to --target", "add('--out-dir', '--out-dir-mode')",
     "add('--target', '--out-dir-mode')", true},
    {"Rename the option --out-dir to --target", "add('--out-dir', '--out-dir-mode')",
     "add('--target', '--target-mode')", false},
    {"Replace calls to load with calls to fetch", "f(load, load(1))", "f(load, fetch(1))", true},
    {"Replace calls to load with calls to fetch", "f(load, load(1))", "f(fetch, fetch(1))", false},
    {"Add a parameter b int to Start", "func (s *T) Start(a int) error {",
     "func (s *T) Start(a int, b int) error {", true},
    {"Add a parameter b int to Start", "func (s *T) Start(a int) error {",
     "func (s *T, b int) Start(a int) error {", false},
    {"Add a parameter n=1 to f", "def f(a=g(2), b=3):", "def f(a=g(2, n=1), b=3):", false},
    {"Add a parameter n=1 to f", "def f(a=g(2), b=3):", "def f(a=g(2), b=3, n=1):", true},
    {"Add a parameter n=1 to f", "    a, b", "    a, b, n=1", true},
    {"Add a parameter n=1 to f", "    a: int,", "    a: int,\n    n=1,", true},
    {"Add a parameter n=1 to f", "    a: int,", "    a: int,\n    n=2,", false},
    {"Add a parameter n=1 to f", "    **rest,", "    **rest,\n    n=1,", false},
    {"Add a parameter int c to f", "      int b) {", "      int b, int c) {", true},
    {"Add a parameter int c to f", "      int b) {", "      int b) {, int c", false},
    {"Remove the call to log_it", "  x = log_it(1);", NULL, false},
    {"Remove the call to log_it", "  if (x) log_it(1);", NULL, false},
    {"Remove the call to log_it", "  log_it(1); y();", NULL, false},
    {"Remove the call to log_it", "  log_it(1,", NULL, false},
    {"Remove the call to log_it", "  await a.log_it(f(1))  # why", NULL, true},
    {"Remove the import of a", "from m import a, b", NULL, false},
    {"Remove the import of a", "import a, b", NULL, false},
    {"Remove the import of m", "from m import a, b", NULL, true},
    {"Set STANDARD to 17", "set(STANDARD 11)", "set(STANDARD 17)", true},
    {"Set STANDARD to 17", "set(STANDARD 11)", "set(STANDARD 11 17)", false},
    {"Set STANDARD to 17", "set(STANDARD 11)", "set(17 11)", false},
    {"Remove count", "static int count = 0;", NULL, true},
    {"Remove count", "use(count, other);", NULL, false},
    {"Remove count", "if (count) stop();", NULL, false},
    {"Remove `count++`", "    count++;", NULL, true},
};

static void test_rows(void) {
    Arena arena = {0};
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        const Row *row = &ROWS[i];
        Request r;
        request_read(str_of(row->request), NULL, 0, &arena, &r);
        LineEdit edit = {str_of(row->old_line), str_of(row->new_text), row->new_text == NULL};
        CHECK_MSG(line_edit_is_right(&r, &edit) == row->is_right, "%s: <%s> -> <%s> should be %s",
                  row->request, row->old_line, row->new_text ? row->new_text : "(gone)",
                  row->is_right ? "right" : "wrong");
    }
    arena_free(&arena);
}

static void test_words(void) {
    CHECK_INT(find_word(S("abc ab_c ab"), S("ab"), 0), 9);
    CHECK(find_word(S("abc"), S("ab"), 0) == STR_NONE);
    CHECK_INT(find_word(S("x 300 30"), S("30"), 0), 6);
    CHECK_INT(find_word(S("a+'x'"), S("'x'"), 0), 2);
    CHECK(find_word(S("a"), S(""), 0) == STR_NONE);
    CHECK(brackets_match(S("f(a[1])"), S("g(b[2])")));
    CHECK(!brackets_match(S("f("), S("f()")));
}

static const TestCase CASES[] = {{"rows", test_rows}, {"words", test_words}};
TEST_SUITE(PLANNER_LINE_CHECK_SUITE, "line_check", CASES);
