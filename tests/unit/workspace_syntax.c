#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "tests/runner.h"
#include "workspace/syntax.h"

/* Symbols as lines "kind name first-last", indented by depth, "~" before declarations. */
static Str symbols_text(Language language, Str text, Arena *arena) {
    static const char *const KINDS[] = {"function", "type", "variable", "macro", "module", "field"};
    SymbolList list;
    Err err = {0};
    CHECK_OK(syntax_symbols(language, text, arena, &list, &err), err);
    Str out = {0};
    for (size_t i = 0; i < list.count; i++) {
        const Symbol *s = &list.items[i];
        CHECK_STR(str_slice(text, s->name_begin, s->name_begin + s->name.len), s->name);
        CHECK(i == 0 || s->name_begin > list.items[i - 1].name_begin);
        Str line =
            str_printf(arena, "%*s%s%s %.*s %zu-%zu\n", (int)s->depth, "", s->is_declaration ? "~" : "",
                       KINDS[s->kind], STR_ARG(s->name), s->first_line, s->last_line);
        out = str_concat(arena, out, line);
    }
    return out;
}

/* Occurrences as "line:column" with d(efinition), m(ember), s(horthand), one blank between. */
static Str occurrences_text(Language language, Str text, Str name, Arena *arena) {
    OccurrenceList list;
    Err err = {0};
    CHECK_OK(syntax_occurrences(language, text, name, arena, &list, &err), err);
    Str out = {0};
    for (size_t i = 0; i < list.count; i++) {
        const Occurrence *o = &list.items[i];
        CHECK_STR(str_slice(text, o->begin, o->begin + name.len), name);
        size_t line = 0, start = 0;
        for (size_t k = 0; k < o->begin; k++)
            if (text.ptr[k] == '\n') {
                line++;
                start = k + 1;
            }
        CHECK_INT(o->line, line);
        out = str_concat(arena, out,
                         str_printf(arena, "%s%zu:%zu%s%s%s", i ? " " : "", line, o->begin - start,
                                    o->is_definition ? "d" : "", o->is_member ? "m" : "",
                                    o->is_shorthand ? "s" : ""));
    }
    return out;
}

#define CHECK_SYMBOLS(language, text, expected)                                                              \
    CHECK_STR(symbols_text(language, S(text), &arena), S(expected))
#define CHECK_OCCURRENCES(language, text, name, expected)                                                    \
    CHECK_STR(occurrences_text(language, S(text), S(name), &arena), S(expected))

static void test_languages(void) {
    CHECK_INT(language_of(S("src/a.c")), LANGUAGE_C);
    CHECK_INT(language_of(S("a.H")), LANGUAGE_C);
    CHECK_INT(language_of(S("/x/a.hpp")), LANGUAGE_CPP);
    CHECK_INT(language_of(S("a.b.py")), LANGUAGE_PYTHON);
    CHECK_INT(language_of(S("a.jsx")), LANGUAGE_JAVASCRIPT);
    CHECK_INT(language_of(S("a.tsx")), LANGUAGE_TSX);
    CHECK_INT(language_of(S("a.ts")), LANGUAGE_TYPESCRIPT);
    CHECK_INT(language_of(S("a.go")), LANGUAGE_GO);
    CHECK_INT(language_of(S("a.rs")), LANGUAGE_RUST);
    CHECK_INT(language_of(S("A.java")), LANGUAGE_JAVA);
    CHECK_INT(language_of(S("dir.py/README")), LANGUAGE_NONE);
    CHECK_INT(language_of(S(".py")), LANGUAGE_NONE);
    CHECK_INT(language_of(S("")), LANGUAGE_NONE);
    CHECK_STR(str_of(language_name(LANGUAGE_PYTHON)), S("python"));
    CHECK_STR(str_of(language_name(LANGUAGE_NONE)), S("text"));
}

static const char C_TEXT[] = "#define LIMIT 10\n"
                             "#define CALL(x) grow(x, \"grow\", LIMIT) /* grow */\n"
                             "typedef struct List {\n"
                             "    int count, *items;\n"
                             "    int (*grow)(int);\n"
                             "} List;\n"
                             "enum Color { RED,\n"
                             "    GREEN };\n"
                             "int grow(List *list, int by);\n"
                             "extern int total;\n"
                             "static int (*hook)(int) = 0;\n"
                             "static int *grow_all(List *list)\n"
                             "{\n"
                             "    int local = list->count;\n"
                             "    int helper(int);\n"
                             "    return list->grow(grow(list, local));\n"
                             "}\n";

static void test_c(void) {
    Arena arena = {0};
    CHECK_STR(symbols_text(LANGUAGE_C, str_of(C_TEXT), &arena), S("macro LIMIT 0-0\n"
                                                                  "macro CALL 1-1\n"
                                                                  " type List 2-5\n"
                                                                  "  field count 3-3\n"
                                                                  "  field items 3-3\n"
                                                                  "  field grow 4-4\n"
                                                                  "type List 2-5\n"
                                                                  "type Color 6-7\n"
                                                                  " variable RED 6-6\n"
                                                                  " variable GREEN 7-7\n"
                                                                  "~function grow 8-8\n"
                                                                  "~variable total 9-9\n"
                                                                  "variable hook 10-10\n"
                                                                  "function grow_all 11-16\n"));
    CHECK_STR(occurrences_text(LANGUAGE_C, str_of(C_TEXT), S("grow"), &arena),
              S("1:16 4:10dm 8:4 15:17m 15:22"));
    CHECK_STR(occurrences_text(LANGUAGE_C, str_of(C_TEXT), S("LIMIT"), &arena), S("0:8d 1:32"));
    CHECK_SYMBOLS(LANGUAGE_C, "typedef struct A A;\ntypedef struct B C;\nstruct A { int x; };\n",
                  "~type A 0-0\ntype C 1-1\ntype A 2-2\n field x 2-2\n");
    CHECK_SYMBOLS(LANGUAGE_C, "namespace n {\nclass A {};\n}\n", "module n 0-2\n type A 1-1\n");
    CHECK_OCCURRENCES(LANGUAGE_C, "struct P p = { .x = x };", "x", "0:16m 0:20");
    arena_free(&arena);
}

static void test_cpp(void) {
    Arena arena = {0};
    CHECK_SYMBOLS(LANGUAGE_CPP,
                  "namespace app {\n"
                  "template <class T>\n"
                  "class Box : public Base {\n"
                  "    int size;\n"
                  "    void put(T t);\n"
                  "    Box() : size(1) {}\n"
                  "    T take() { auto f = [] { int q = 1; }; return T(); }\n"
                  "};\n"
                  "}\n"
                  "using Id = int;\n"
                  "int app::Box::put(int a) { return a; }\n"
                  "enum class Kind { A };\n",
                  "module app 0-8\n"
                  " type Box 1-7\n"
                  "  field size 3-3\n"
                  "  ~function put 4-4\n"
                  "  function Box 5-5\n"
                  "  function take 6-6\n"
                  "type Id 9-9\n"
                  "function put 10-10\n"
                  "type Kind 11-11\n"
                  " variable A 11-11\n");
    CHECK_OCCURRENCES(LANGUAGE_CPP, "int f(A *a) { return a->f() + n::f(1); }\nauto g() -> f;", "f",
                      "0:4d 0:24m 0:33 1:12");
    arena_free(&arena);
}

static const char PYTHON_TEXT[] = "import os.path\n"
                                  "from .limits import limit as cap\n"
                                  "limit = 3\n"
                                  "low, high = 1, 2\n"
                                  "os.limit = 5\n"
                                  "class Box(Base, limit=1):\n"
                                  "    size: int = 0\n"
                                  "    @property\n"
                                  "    def limit(self, extra=limit):\n"
                                  "        inner = self.limit\n"
                                  "        def nested():\n"
                                  "            return f\"limit {limit}\"\n"
                                  "        # limit\n"
                                  "        return call(limit=limit, text='limit')\n";

static void test_python(void) {
    Arena arena = {0};
    CHECK_STR(symbols_text(LANGUAGE_PYTHON, str_of(PYTHON_TEXT), &arena), S("variable limit 2-2\n"
                                                                            "variable low 3-3\n"
                                                                            "variable high 3-3\n"
                                                                            "type Box 5-13\n"
                                                                            " field size 6-6\n"
                                                                            " function limit 7-13\n"
                                                                            "  function nested 10-11\n"));
    CHECK_STR(occurrences_text(LANGUAGE_PYTHON, str_of(PYTHON_TEXT), S("limit"), &arena),
              S("1:20 2:0d 4:3m 5:16m 8:8d 8:26 9:21m 11:28 13:20m 13:26"));
    CHECK_STR(occurrences_text(LANGUAGE_PYTHON, str_of(PYTHON_TEXT), S("limits"), &arena), S("1:6"));
    arena_free(&arena);
}

static void test_javascript(void) {
    Arena arena = {0};
    CHECK_SYMBOLS(LANGUAGE_JAVASCRIPT,
                  "export default function start(x) { const y = 1; }\n"
                  "const run = () => 1, count = 2;\n"
                  "class Box {\n"
                  "  size = 1;\n"
                  "  #hidden = 2;\n"
                  "  open() { return this.#hidden; }\n"
                  "}\n"
                  "module.exports.close = function () {};\n"
                  "module.exports.limit = 3;\n"
                  "const api = { get: function () {}, put() {}, other: 1 };\n"
                  "const { a, b: c } = api;\n",
                  "function start 0-0\n"
                  "function run 1-1\n"
                  "variable count 1-1\n"
                  "type Box 2-6\n"
                  " field size 3-3\n"
                  " field #hidden 4-4\n"
                  " function open 5-5\n"
                  "function close 7-7\n"
                  "variable api 9-9\n"
                  " function get 9-9\n"
                  " function put 9-9\n");
    CHECK_OCCURRENCES(
        LANGUAGE_JAVASCRIPT,
        "const name = 1;\nconst o = { name, name: name, ...name };\no?.name(`${name} name`, 'name');\n"
        "const { name: n } = o; // name\nclass A { #name = 1; }",
        "name", "0:6d 1:12s 1:18m 1:24 1:33 2:3m 2:11 3:8m 4:11dm");
    CHECK_OCCURRENCES(LANGUAGE_JAVASCRIPT, "const v = <Box size={size}>size</Box>;", "size", "0:15m 0:21");
    arena_free(&arena);
}

static void test_typescript(void) {
    Arena arena = {0};
    static const char TEXT[] = "interface Shape {\n"
                               "  area(): number;\n"
                               "  name: string;\n"
                               "}\n"
                               "type Id = string;\n"
                               "enum Mode { Fast,\n"
                               "  Slow = 2 }\n"
                               "abstract class Base implements Shape {\n"
                               "  private size = 1;\n"
                               "  abstract area(): number;\n"
                               "  show<T>(x: T): void {}\n"
                               "}\n"
                               "declare function load(id: Id): Shape;\n"
                               "export const make = (s: Shape): Shape => s;\n"
                               "namespace Inner { export const k = 1; }\n";
    static const char EXPECTED[] = "type Shape 0-3\n"
                                   " ~function area 1-1\n"
                                   " field name 2-2\n"
                                   "type Id 4-4\n"
                                   "type Mode 5-6\n"
                                   " variable Fast 5-5\n"
                                   " variable Slow 6-6\n"
                                   "type Base 7-11\n"
                                   " field size 8-8\n"
                                   " ~function area 9-9\n"
                                   " function show 10-10\n"
                                   "~function load 12-12\n"
                                   "function make 13-13\n"
                                   "module Inner 14-14\n"
                                   " variable k 14-14\n";
    CHECK_STR(symbols_text(LANGUAGE_TYPESCRIPT, str_of(TEXT), &arena), str_of(EXPECTED));
    CHECK_STR(symbols_text(LANGUAGE_TSX, str_of(TEXT), &arena), str_of(EXPECTED));
    CHECK_STR(occurrences_text(LANGUAGE_TYPESCRIPT, str_of(TEXT), S("Shape"), &arena),
              S("0:10d 7:31 12:31 13:24 13:32"));
    CHECK_OCCURRENCES(LANGUAGE_TSX, "const a: Box = <Box size={1}/>;", "Box", "0:9 0:16");
    arena_free(&arena);
}

static void test_go(void) {
    Arena arena = {0};
    CHECK_SYMBOLS(LANGUAGE_GO,
                  "package p\n"
                  "const (\n"
                  "\tA, B = 1, 2\n"
                  ")\n"
                  "var total int\n"
                  "type Box struct {\n"
                  "\tsize, cap int\n"
                  "}\n"
                  "type Opener interface { Open(x int) }\n"
                  "type Alias = Box\n"
                  "func (b *Box) Grow() { local := 1; var other int; _ = local }\n"
                  "func main() {}\n",
                  "variable A 2-2\n"
                  "variable B 2-2\n"
                  "variable total 4-4\n"
                  "type Box 5-7\n"
                  " field size 6-6\n"
                  " field cap 6-6\n"
                  "type Opener 8-8\n"
                  " ~function Open 8-8\n"
                  "type Alias 9-9\n"
                  "function Grow 10-10\n"
                  "function main 11-11\n");
    CHECK_OCCURRENCES(
        LANGUAGE_GO,
        "package p\nfunc size() int { x := T{size: size()}; return x.size + m[size] + f(size...) }", "size",
        "1:5d 1:25m 1:31 1:49m 1:58 1:68");
    arena_free(&arena);
}

static void test_rust(void) {
    Arena arena = {0};
    CHECK_SYMBOLS(LANGUAGE_RUST,
                  "mod inner {\n"
                  "    /// A box.\n"
                  "    #[derive(Debug)]\n"
                  "    #[repr(C)]\n"
                  "    pub struct Box { size: i32 }\n"
                  "    enum Kind { Small, Big(i32) }\n"
                  "    trait Open { type Item; fn open(&self); fn twice(&self) {} }\n"
                  "    impl Open for Box { fn open(&self) { let x = 1; } }\n"
                  "}\n"
                  "const LIMIT: i32 = 1;\n"
                  "static TOTAL: i32 = 2;\n"
                  "macro_rules! twice { () => {} }\n"
                  "type Id = u32;\n"
                  "pub async fn run<T>() {}\n",
                  "module inner 0-8\n"
                  " type Box 2-4\n"
                  "  field size 4-4\n"
                  " type Kind 5-5\n"
                  "  variable Small 5-5\n"
                  "  variable Big 5-5\n"
                  " type Open 6-6\n"
                  "  ~type Item 6-6\n"
                  "  ~function open 6-6\n"
                  "  function twice 6-6\n"
                  " function open 7-7\n"
                  "variable LIMIT 9-9\n"
                  "variable TOTAL 10-10\n"
                  "macro twice 11-11\n"
                  "type Id 12-12\n"
                  "function run 13-13\n");
    CHECK_OCCURRENCES(LANGUAGE_RUST,
                      "fn size() -> size {\n let a = S { size: size(), ..size }; let S { size } = a;\n"
                      " println!(\"size {}\", a.size); b::size; S { size } }",
                      "size", "0:3d 0:13 1:13m 1:19 1:29 1:45s 2:23m 2:33 2:43s");
    arena_free(&arena);
}

static void test_java(void) {
    Arena arena = {0};
    CHECK_SYMBOLS(LANGUAGE_JAVA,
                  "package p;\n"
                  "@Deprecated\n"
                  "public class Box extends Base {\n"
                  "    private int size, cap = 1;\n"
                  "    Box() {}\n"
                  "    void open() { int local = 1; Runnable r = () -> {}; }\n"
                  "    enum Kind { SMALL, BIG }\n"
                  "    interface Opener { int LIMIT = 1; void open(); }\n"
                  "    record Pair(int a) {}\n"
                  "}\n",
                  "type Box 1-9\n"
                  " field size 3-3\n"
                  " field cap 3-3\n"
                  " function Box 4-4\n"
                  " function open 5-5\n"
                  " type Kind 6-6\n"
                  "  variable SMALL 6-6\n"
                  "  variable BIG 6-6\n"
                  " type Opener 7-7\n"
                  "  field LIMIT 7-7\n"
                  "  function open 7-7\n"
                  " type Pair 8-8\n");
    CHECK_OCCURRENCES(LANGUAGE_JAVA,
                      "@Named(size = 1) class A { int size; int size() { return this.size + size(); } "
                      "Object f = x -> size; }",
                      "size", "0:7m 0:31dm 0:41d 0:62m 0:69 0:95");
    arena_free(&arena);
}

static void test_plain_words(void) {
    Arena arena = {0};
    CHECK_OCCURRENCES(LANGUAGE_NONE, "name names\n\"name\" # name_\nna-me name", "name", "0:0 1:1 2:6");
    CHECK_OCCURRENCES(LANGUAGE_NONE, "a.name x--y x--y-", "x--y", "0:7 0:12");
    CHECK_OCCURRENCES(LANGUAGE_NONE, "", "x", "");
    CHECK_OCCURRENCES(LANGUAGE_NONE, "x", "", "");
    CHECK_SYMBOLS(LANGUAGE_NONE, "int f(void) {}", "");
    arena_free(&arena);
}

static void test_errors(void) {
    Arena arena = {0};
    SyntaxErrors errors;
    Err err = {0};
    CHECK_OK(syntax_errors(LANGUAGE_PYTHON, S("x = 1\n"), &arena, &errors, &err), err);
    CHECK_INT(errors.count, 0);
    CHECK_OK(syntax_errors(LANGUAGE_PYTHON, S("x = 1\ny = )\n"), &arena, &errors, &err), err);
    CHECK(errors.count > 0);
    CHECK_INT(errors.first_line, 1);
    CHECK_STR(errors.first_text, S("y = )"));
    CHECK_OK(syntax_errors(LANGUAGE_C, S("int f(void) {\n    return 1\n}\n"), &arena, &errors, &err), err);
    CHECK_INT(errors.count, 1);
    CHECK_INT(errors.first_line, 1);
    CHECK_OK(syntax_errors(LANGUAGE_NONE, S("((("), &arena, &errors, &err), err);
    CHECK_INT(errors.count, 0);
    arena_free(&arena);
}

static void test_errors_per_language(void) {
    static const struct {
        Language language;
        const char *good, *bad;
    } CASES[] = {
        {LANGUAGE_C, "int f(int a) { return a; }\n", "int f(int a) { return a; \n"},
        {LANGUAGE_CPP, "class A { int x; };\n", "class A { int x; \n"},
        {LANGUAGE_PYTHON, "def f(a):\n    return (a)\n", "def f(a)\n    return (a)\n"},
        {LANGUAGE_JAVASCRIPT, "function f(a) { return [a]; }\n", "function f(a) { return [a; }\n"},
        {LANGUAGE_TYPESCRIPT, "let a: number = 1;\n", "let a: = 1;\n"},
        {LANGUAGE_TSX, "let a = <b>c</b>;\n", "let a = <b>c;\n"},
        {LANGUAGE_GO, "package p\nfunc f() {}\n", "package p\nfunc f( {}\n"},
        {LANGUAGE_RUST, "fn f() -> i32 { 1 }\n", "fn f() -> { 1 }\n"},
        {LANGUAGE_JAVA, "class A { int f() { return 1; } }\n", "class A { int f() { return 1; }\n"},
    };
    Arena arena = {0};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        SyntaxErrors errors;
        Str good = str_of(CASES[i].good), bad = str_of(CASES[i].bad);
        CHECK(syntax_errors(CASES[i].language, good, &arena, &errors, NULL));
        CHECK_MSG(errors.count == 0, "%s: an error in good text", language_name(CASES[i].language));
        CHECK(syntax_errors(CASES[i].language, bad, &arena, &errors, NULL));
        CHECK_MSG(errors.count > 0, "%s: no error in bad text", language_name(CASES[i].language));
        CHECK(syntax_is_worse(CASES[i].language, good, bad, &arena, &errors));
        CHECK(!syntax_is_worse(CASES[i].language, bad, good, &arena, &errors));
        CHECK(!syntax_is_worse(CASES[i].language, bad, bad, &arena, &errors));
    }
    arena_free(&arena);
}

static void test_worse_beside_old_errors(void) {
    Arena arena = {0};
    SyntaxErrors errors;
    Str before = S("x = )\ndef f(a):\n    return g(a)\ny = 2\n");
    /* the old error stays, another line changes well */
    CHECK(!syntax_is_worse(LANGUAGE_PYTHON, before, S("x = )\ndef f(a):\n    return h(a)\ny = 2\n"), &arena,
                           &errors));
    /* the line in error is edited */
    CHECK(!syntax_is_worse(LANGUAGE_PYTHON, before, S("x2 = )\ndef f(a):\n    return g(a)\ny = 2\n"), &arena,
                           &errors));
    /* only names change in it */
    CHECK(!syntax_is_worse(LANGUAGE_PYTHON, S("foo = )\n"), S("another_long_name = )\n"), &arena, &errors));
    /* lines move */
    CHECK(!syntax_is_worse(LANGUAGE_PYTHON, before, S("z = 1\nx = )\ndef f(a):\n    return g(a)\n"), &arena,
                           &errors));
    CHECK(syntax_is_worse(LANGUAGE_PYTHON, before, S("x = )\ndef f(a):\n    return g(a]\ny = 2\n"), &arena,
                          &errors));
    CHECK_INT(errors.first_line, 2);
    CHECK_STR(errors.first_text, S("return g(a]"));
    CHECK(!syntax_is_worse(LANGUAGE_NONE, S("("), S("(("), &arena, &errors));
    arena_free(&arena);
}

static void test_enclosing(void) {
    Str text = S("import os\n"           /* 0 */
                 "\n"                    /* 1 */
                 "class Box:\n"          /* 2 */
                 "    @property\n"       /* 3 */
                 "    def open(self):\n" /* 4 */
                 "        a = 1\n"       /* 5 */
                 "        if a:\n"       /* 6 */
                 "            b = 2\n"   /* 7 */
                 "            c = 3\n"   /* 8 */
                 "        return a\n"    /* 9 */
                 "    def shut(self):\n" /* 10 */
                 "        return 1\n");  /* 11 */
    size_t first, last;
    CHECK(syntax_enclosing(LANGUAGE_PYTHON, text, 7, 7, 30, &first, &last));
    CHECK_INT(first, 3);
    CHECK_INT(last, 9);
    CHECK(syntax_enclosing(LANGUAGE_PYTHON, text, 7, 7, 5, &first, &last));
    CHECK_INT(first, 5);
    CHECK_INT(last, 9);
    CHECK(syntax_enclosing(LANGUAGE_PYTHON, text, 7, 7, 4, &first, &last));
    CHECK_INT(first, 6);
    CHECK_INT(last, 8);
    CHECK(syntax_enclosing(LANGUAGE_PYTHON, text, 7, 10, 30, &first, &last));
    CHECK_INT(first, 2);
    CHECK_INT(last, 11);
    CHECK(!syntax_enclosing(LANGUAGE_PYTHON, text, 0, 0, 30, &first, &last));
    CHECK(!syntax_enclosing(LANGUAGE_PYTHON, text, 0, 5, 30, &first, &last));
    CHECK(!syntax_enclosing(LANGUAGE_PYTHON, text, 5, 4, 30, &first, &last));
    CHECK(!syntax_enclosing(LANGUAGE_PYTHON, text, 90, 91, 30, &first, &last));
    CHECK(!syntax_enclosing(LANGUAGE_NONE, text, 7, 7, 30, &first, &last));
}

/* Deep, long and broken texts: nothing recurses, nothing is quadratic. */
static void test_hostile(void) {
    static const char *const PIECES[] = {"(",  "[",  "*", "{", "if a:\n ", "f(",      "<T",
                                         "a.", "\"", "'", "@", "#x\n",     "\xff\xfe"};
    Arena arena = {0};
    for (size_t i = 0; i < sizeof PIECES / sizeof *PIECES; i++) {
        Buf buf = {0};
        buf_cstr(&buf, "int name ");
        for (int k = 0; k < 300; k++)
            buf_cstr(&buf, PIECES[i]);
        buf_cstr(&buf, " name;");
        for (int language = LANGUAGE_NONE; language < LANGUAGE_COUNT; language++) {
            SymbolList symbols;
            OccurrenceList occurrences;
            SyntaxErrors errors;
            Err err = {0};
            size_t first, last;
            if (!syntax_symbols((Language)language, buf_text(&buf), &arena, &symbols, &err))
                CHECK_INT(err.code, ERR_LIMIT);
            if (!syntax_occurrences((Language)language, buf_text(&buf), S("name"), &arena, &occurrences,
                                    &err))
                CHECK_INT(err.code, ERR_LIMIT);
            syntax_is_worse((Language)language, S("int name;"), buf_text(&buf), &arena, &errors);
            syntax_enclosing((Language)language, buf_text(&buf), 0, 0, 30, &first, &last);
        }
        buf_free(&buf);
    }
    arena_free(&arena);
}

static void test_deep(void) {
    Arena arena = {0};
    Buf buf = {0};
    buf_cstr(&buf, "int ");
    buf_repeat(&buf, '*', 20000);
    buf_cstr(&buf, "name = ");
    buf_repeat(&buf, '(', 20000);
    buf_cstr(&buf, "name");
    buf_repeat(&buf, ')', 20000);
    buf_cstr(&buf, ";\n");
    SymbolList symbols;
    OccurrenceList occurrences;
    Err err = {0};
    if (syntax_symbols(LANGUAGE_C, buf_text(&buf), &arena, &symbols, &err))
        CHECK_INT(symbols.count, 1);
    else
        CHECK_INT(err.code, ERR_LIMIT); /* a machine too busy to parse it in a second */
    if (syntax_occurrences(LANGUAGE_C, buf_text(&buf), S("name"), &arena, &occurrences, &err))
        CHECK_INT(occurrences.count, 2);
    else
        CHECK_INT(err.code, ERR_LIMIT);
    buf_free(&buf);
    arena_free(&arena);
}

static void test_crlf_and_bom(void) {
    Arena arena = {0};
    CHECK_SYMBOLS(LANGUAGE_C, "int a;\r\nint f(void)\r\n{\r\n}\r\n", "variable a 0-0\nfunction f 1-3\n");
    CHECK_SYMBOLS(LANGUAGE_PYTHON,
                  "\xef\xbb\xbf"
                  "def f():\r\n    pass\r\n",
                  "function f 0-1\n");
    CHECK_OCCURRENCES(LANGUAGE_PYTHON, "def caf\xc3\xa9():\n    caf\xc3\xa9()\n", "caf\xc3\xa9", "0:4d 1:4");
    CHECK_OCCURRENCES(LANGUAGE_PYTHON, "caf\xc3\xa9 = 1\n", "caf", "");
    arena_free(&arena);
}

static const TestCase CASES[] = {
    {"languages", test_languages},
    {"c", test_c},
    {"cpp", test_cpp},
    {"python", test_python},
    {"javascript", test_javascript},
    {"typescript", test_typescript},
    {"go", test_go},
    {"rust", test_rust},
    {"java", test_java},
    {"plain words", test_plain_words},
    {"errors", test_errors},
    {"errors per language", test_errors_per_language},
    {"worse beside old errors", test_worse_beside_old_errors},
    {"enclosing", test_enclosing},
    {"hostile", test_hostile},
    {"deep", test_deep},
    {"crlf and bom", test_crlf_and_bom},
};
TEST_SUITE(WORKSPACE_SYNTAX_SUITE, "workspace_syntax", CASES);
