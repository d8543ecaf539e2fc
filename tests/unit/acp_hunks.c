/* `mux-acp ask --hunks` on a terminal: every key, the user's editor, the ways out. What lies in the folder
 * afterwards is compared with what diff_keep gives for the hunks that were chosen. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "diff/diff.h"
#include "tests/fakes/pty.h"
#include "tests/runner.h"

#define PROGRAM MUX_BINARY_DIR "/mux-acp"
#define BLOCK(path, old, new) path "\n<<<<<<< SEARCH\n" old "=======\n" new ">>>>>>> REPLACE\n\n"

typedef struct Table {
    Arena arena;
    Str tmp;
    const char *model; /* what it answers */
    const char *environment[12];
    int columns;
    bool shows_all; /* stdout and stderr go to the terminal too */
    bool has_no_terminal;
    const char *mode; /* NULL: --hunks */
    Pty pty;
} Table;

static Str path_in(Table *t, const char *name) {
    return str_printf(&t->arena, "%.*s/%s", STR_ARG(t->tmp), name);
}

static void write_bytes(Table *t, const char *name, Str text) {
    Err err = {0};
    CHECK_OK(os_write_file(path_in(t, name).ptr, text, &err), err);
}

static Str read_text(Table *t, const char *name) {
    Err err = {0};
    Str text = S("");
    CHECK_OK(os_read_file(path_in(t, name).ptr, 1 << 24, &t->arena, &text, &err), err);
    return text;
}

static bool is_there(Table *t, const char *name) {
    return access(path_in(t, name).ptr, F_OK) == 0;
}

static void set(Table *t, const char *variable) {
    size_t n = 0;
    while (t->environment[n])
        n++;
    CHECK(n + 1 < sizeof t->environment / sizeof *t->environment);
    t->environment[n] = variable;
}

static void table_open(Table *t, const char *model) {
    static int tables;
    *t = (Table){.model = model};
    t->tmp = str_printf(&t->arena, "%s/%d", test_tmp(), tables++);
    CHECK(mkdir(t->tmp.ptr, 0700) == 0);
    CHECK_MSG(access(PROGRAM, X_OK) == 0, "the program %s is not built", PROGRAM);
    CHECK(mkdir(path_in(t, "work").ptr, 0700) == 0);
    for (const char *const *v =
             (const char *const[]){"TERM=xterm", "NO_COLOR=1", "VISUAL", "EDITOR=false", NULL};
         *v; v++)
        set(t, *v);
    set(t, str_printf(&t->arena, "TMPDIR=%.*s", STR_ARG(t->tmp)).ptr);
}

static void start(Table *t, const char *request) {
    write_bytes(t, "model.txt", str_of(t->model));
    const char *argv[] = {PROGRAM,
                          "ask",
                          "--cwd",
                          path_in(t, "work").ptr,
                          "--model",
                          str_printf(&t->arena, "script:%.*s/model.txt", STR_ARG(t->tmp)).ptr,
                          t->mode ? t->mode : "--hunks",
                          request,
                          NULL};
    PtyConfig config = {.argv = argv,
                        .folder = t->tmp.ptr,
                        .environment = t->environment,
                        .out_path = t->shows_all ? NULL : path_in(t, "out").ptr,
                        .err_path = t->shows_all ? NULL : path_in(t, "err").ptr,
                        .columns = t->columns,
                        .has_no_terminal = t->has_no_terminal};
    pty_spawn(&t->pty, &config);
}

/* Sends the keys, one to a line: "s y n" types three lines; "_" in a word stands for a blank. */
static void type_keys(Table *t, const char *keys) {
    Buf typed = {0};
    for (; *keys; keys++)
        buf_char(&typed, *keys == ' ' ? '\n' : *keys == '_' ? ' ' : *keys);
    buf_cstr(&typed, "\n");
    buf_char(&typed, 0);
    pty_send(&t->pty, typed.ptr);
    buf_free(&typed);
}

static void finish(Table *t, int status) {
    int got = pty_end(&t->pty);
    CHECK_MSG(got == status, "ended with %d instead of %d; the terminal showed:\n%.*s\nstderr: %.*s", got,
              status, (int)t->pty.seen.len, t->pty.seen.ptr,
              STR_ARG(t->shows_all ? S("") : read_text(t, "err")));
}

static Str seen(const Table *t) {
    return buf_text(&t->pty.seen);
}

static void check_seen(const Table *t, const char *text) {
    CHECK_MSG(str_contains(seen(t), str_of(text)), "\"%s\" was not shown, but:\n%.*s", text,
              (int)t->pty.seen.len, t->pty.seen.ptr);
}

static void table_close(Table *t) {
    pty_free(&t->pty);
    arena_free(&t->arena);
}

/* ---- a file with five changes in four hunks ---- */

enum { LINES = 80, CHANGES = 5 };

static Str numbered(Arena *arena, bool is_changed, const char *line_end) {
    Buf out = {0};
    for (int i = 1; i <= LINES; i++) {
        if (is_changed && i == 5)
            buf_printf(&out, "line five%s", line_end);
        else if (is_changed && i == 8)
            buf_printf(&out, "line eight%sand a half%s", line_end, line_end);
        else if (is_changed && i == 70)
            buf_printf(&out, "line seventy%s", line_end);
        else if (!is_changed || i != 30)
            buf_printf(&out, "line %d%s", i, line_end);
        if (is_changed && i == 50)
            buf_printf(&out, "line fifty point five%s", line_end);
    }
    Str text = buf_copy(&out, arena);
    buf_free(&out);
    return text;
}

static const char FIVE_CHANGES[] =
    "--- reply\nI change the lines.\n\n" BLOCK("a.txt", "line 5\n", "line five\n")
        BLOCK("a.txt", "line 8\n", "line eight\nand a half\n") BLOCK("a.txt", "line 30\n", "")
            BLOCK("a.txt", "line 50\n", "line 50\nline fifty point five\n")
                BLOCK("a.txt", "line 70\n", "line seventy\n");

static void open_five(Table *t) {
    table_open(t, FIVE_CHANGES);
    write_bytes(t, "work/a.txt", numbered(&t->arena, false, "\n"));
}

/* The file after the changes whose bit is '1'. */
static Str kept_text(Arena *arena, const char *bits, const char *line_end) {
    Hunks hunks;
    Err err = {0};
    Str text;
    bool keep[CHANGES];
    CHECK_OK(diff_lines(S("a.txt"), numbered(arena, false, line_end), numbered(arena, true, line_end), arena,
                        &hunks, &err),
             err);
    CHECK_INT(hunks.count, CHANGES);
    for (size_t i = 0; i < CHANGES; i++)
        keep[i] = bits[i] == '1';
    CHECK_OK(diff_keep(&hunks, keep, arena, &text, &err), err);
    return text;
}

static const struct {
    const char *keys, *bits, *shown;
} KEYS[] = {
    {"y y y y", "11111", "(1/4) Apply this hunk [y,n,q,a,d,j,J,g,/,s,e,p,?]? "},
    {"n n n n", "00000", "(4/4) Apply this hunk [y,n,q,a,d,K,g,/,e,p,?]? "},
    {"y n y n", "11010", "(2/4) Apply this hunk [y,n,q,a,d,j,J,K,g,/,e,p,?]? "},
    {"a", "11111", "diff --git a/a.txt b/a.txt"},
    {"d", "00000", "+and a half"},
    {"y d", "11000", "-line 30"},
    {"n a", "00111", "-line 30"},
    {"y q", "11000", "@@ -27,7 +28,6 @@"},
    {"q", "00000", "@@ -2,10 +2,11 @@"},
    {"s y n y n y", "10101", "Split into 2 hunks."},
    {"s n y a", "01111", "(1/5) Apply this hunk"},
    {"n s y d", "00100", "cannot be split"},
    {"j y y y n", "00111", "(2/4)"},
    {"J J y K K y n n", "00110", "(3/4)"},
    {"j j k y d n", "00100", "[y,n,q,a,d,j,J,k,K,g,/,e,p,?]? "},
    {"k d", "00000", "No undecided hunk stands before."},
    {"K d", "00000", "No hunk stands before."},
    {"g_4 J n d", "00000", "No hunk follows."},
    {"y n y J n", "11010", "(4/4)"},
    {"g_3 y n q", "00010", "(3/4)"},
    {"g 2 y d d", "00100", "go to which hunk? "},
    {"g 2 y d n", "00100", "\n  3: -48,6 +48,7        +line fifty point five\n"},
    {"y g 2 q", "11000", "+ 1: -2,10 +2,11"},
    {"g_9 a", "11111", "There are only 4 hunks."},
    {"g_x a", "11111", "\"x\" is not a number."},
    {"g_0 a", "11111", "There are only 4 hunks."},
    {"/fifty y a n n", "00011", "(3/4)"},
    {"/^\\+line_s y d", "00001", "(4/4)"},
    {"/ half y d", "11000", "search for which regular expression? "},
    {"/nowhere d", "00000", "No hunk matches."},
    {"/( d", "00000", "This is no regular expression: "},
    {"p a", "11111", "line eight"},
    {"? a", "11111", "s - split this hunk into its single changes\n"},
    {"x a", "11111", "y - apply this hunk\n"},
    {"yes a", "11111", "Please answer with one letter."},
    {" a", "11111", "(1/4)"},
};

static void test_keys(void) {
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        Table t;
        open_five(&t);
        start(&t, "change the lines in a.txt");
        type_keys(&t, KEYS[i].keys);
        finish(&t, str_eq(str_of(KEYS[i].bits), S("00000")) ? 1 : 0);
        check_seen(&t, KEYS[i].shown);
        Str expected = kept_text(&t.arena, KEYS[i].bits, "\n");
        CHECK_MSG(str_eq(read_text(&t, "work/a.txt"), expected), "keys %s: not as with %s:\n%.*s",
                  KEYS[i].keys, KEYS[i].bits, STR_ARG(read_text(&t, "work/a.txt")));
        table_close(&t);
    }
}

static void test_random_choices(void) {
    static const size_t PARTS[][2] = {{0, 1}, {2, 2}, {3, 3}, {4, 4}};
    for (int round = 0; round < 10; round++) {
        Table t;
        char bits[CHANGES + 1] = "", keys[64] = "";
        open_five(&t);
        for (size_t p = 0; p < 4; p++) {
            bool is_split = PARTS[p][0] < PARTS[p][1] && test_random() % 2;
            char use = test_random() % 2 ? 'y' : 'n';
            strcat(keys, is_split ? "s " : "");
            for (size_t h = PARTS[p][0]; h <= PARTS[p][1]; h++) {
                if (is_split)
                    use = test_random() % 2 ? 'y' : 'n';
                bits[h] = use == 'y' ? '1' : '0';
                if (is_split || h == PARTS[p][1])
                    snprintf(keys + strlen(keys), 4, "%c ", use);
            }
        }
        start(&t, "change the lines in a.txt");
        type_keys(&t, keys);
        finish(&t, strchr(bits, '1') ? 0 : 1);
        CHECK_STR(read_text(&t, "work/a.txt"), kept_text(&t.arena, bits, "\n"));
        table_close(&t);
    }
}

/* ---- several files ---- */

static const char THREE_FILES[] = "--- reply\nThree files.\n\n" BLOCK("a.txt", "line 5\n", "line five\n")
    BLOCK("b.txt", "one\n", "uno\n") BLOCK("new/c.txt", "", "made\n");

static void open_three(Table *t) {
    table_open(t, THREE_FILES);
    write_bytes(t, "work/a.txt", numbered(&t->arena, false, "\n"));
    write_bytes(t, "work/b.txt", S("one\ntwo\n"));
}

static void test_several_files(void) {
    static const struct {
        const char *keys;
        bool has_a, has_b, has_c;
    } CASES[] = {{"y y y", true, true, true},   {"a d a", true, false, true},
                 {"y q", true, false, false},   {"n y n", false, true, false},
                 {"n n y", false, false, true}, {"n y q", false, true, false},
                 {"q", false, false, false},    {"n n p ? n", false, false, false}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Table t;
        open_three(&t);
        start(&t, "change a.txt and b.txt and make new/c.txt");
        type_keys(&t, CASES[i].keys);
        finish(&t, CASES[i].has_a || CASES[i].has_b || CASES[i].has_c ? 0 : 1);
        CHECK_INT(str_contains(read_text(&t, "work/a.txt"), S("line five")), CASES[i].has_a);
        CHECK_INT(str_contains(read_text(&t, "work/b.txt"), S("uno\ntwo\n")), CASES[i].has_b);
        CHECK_INT(is_there(&t, "work/new/c.txt"), CASES[i].has_c);
        if (CASES[i].has_c)
            CHECK_STR(read_text(&t, "work/new/c.txt"), S("made\n"));
        if (!strchr(CASES[i].keys, 'q'))
            check_seen(&t, "(1/1) Create this file [y,n,q,a,d,p,?]? ");
        table_close(&t);
    }
}

/* ---- files that go or move ---- */

static void test_deleted_and_moved(void) {
    static const char MODEL[] = "--- reply\n*** Begin Patch\n*** Delete File: a.txt\n*** Update File: b.txt\n"
                                "*** Move to: sub/c.txt\n@@\n-one\n+uno\n two\n*** End Patch\n";
    static const struct {
        const char *keys;
        bool is_deleted, is_moved;
    } CASES[] = {{"y y", true, true},
                 {"n y", false, true},
                 {"a d", true, false},
                 {"q", false, false},
                 {"s p y n", true, false}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Table t;
        table_open(&t, MODEL);
        write_bytes(&t, "work/a.txt", S("gone\n"));
        write_bytes(&t, "work/b.txt", S("one\ntwo\n"));
        CHECK(chmod(path_in(&t, "work/b.txt").ptr, 0755) == 0);
        start(&t, "delete a.txt and move b.txt to sub/c.txt");
        type_keys(&t, CASES[i].keys);
        finish(&t, CASES[i].is_deleted || CASES[i].is_moved ? 0 : 1);
        check_seen(&t, "(1/1) Delete this file [y,n,q,a,d,p,?]? ");
        check_seen(&t, "deleted file mode 100644\n");
        CHECK_INT(!is_there(&t, "work/a.txt"), CASES[i].is_deleted);
        CHECK_INT(!is_there(&t, "work/b.txt"), CASES[i].is_moved);
        CHECK_INT(is_there(&t, "work/sub/c.txt"), CASES[i].is_moved);
        if (CASES[i].is_moved) {
            check_seen(&t, "rename to sub/c.txt\n");
            check_seen(&t, "(1/1) Move this file [y,n,q,a,d,p,?]? ");
            CHECK_STR(read_text(&t, "work/sub/c.txt"), S("uno\ntwo\n"));
            CHECK(access(path_in(&t, "work/sub/c.txt").ptr, X_OK) == 0);
        }
        table_close(&t);
    }
}

/* ---- the ways out ---- */

static void check_untouched(Table *t) {
    CHECK_STR(read_text(t, "work/a.txt"), numbered(&t->arena, false, "\n"));
    CHECK_STR(read_text(t, "work/b.txt"), S("one\ntwo\n"));
    CHECK(!is_there(t, "work/new"));
}

static void test_end_of_input(void) {
    Table t;
    open_three(&t);
    start(&t, "change a.txt and b.txt and make new/c.txt");
    type_keys(&t, "y");
    CHECK(pty_expect(&t.pty, "diff --git a/b.txt b/b.txt") && pty_expect(&t.pty, "[y,n,q,a,d,e,p,?]? "));
    pty_send(&t.pty, "\004"); /* what was decided before stays decided */
    finish(&t, 0);
    CHECK(str_contains(read_text(&t, "work/a.txt"), S("line five")));
    CHECK_STR(read_text(&t, "work/b.txt"), S("one\ntwo\n"));
    table_close(&t);
}

static void test_interrupt(void) {
    Table t;
    open_three(&t);
    start(&t, "change a.txt and b.txt and make new/c.txt");
    type_keys(&t, "y");
    CHECK(pty_expect(&t.pty, "diff --git a/b.txt b/b.txt") && pty_expect(&t.pty, "]? "));
    pty_send(&t.pty, "\003");
    finish(&t, 1);
    check_untouched(&t);
    table_close(&t);
}

static void test_terminal_goes(void) {
    Table t;
    open_three(&t);
    start(&t, "change a.txt and b.txt and make new/c.txt");
    type_keys(&t, "y");
    CHECK(pty_expect(&t.pty, "diff --git a/b.txt b/b.txt") && pty_expect(&t.pty, "]? "));
    pty_hang_up(&t.pty);
    CHECK(pty_end(&t.pty) != 0);
    check_untouched(&t);
    table_close(&t);
}

static void test_no_terminal(void) {
    Table t;
    open_three(&t);
    t.has_no_terminal = true;
    start(&t, "change a.txt and b.txt and make new/c.txt");
    finish(&t, 1);
    CHECK(str_contains(read_text(&t, "err"), S("there is no terminal to ask on")));
    CHECK(str_contains(read_text(&t, "err"), S("--dry-run")));
    check_untouched(&t);
    table_close(&t);
}

static void test_resize(void) {
    Table t;
    open_five(&t);
    start(&t, "change the lines in a.txt");
    CHECK(pty_expect(&t.pty, "(1/4)"));
    pty_resize(&t.pty, 30);
    type_keys(&t, "g_3");
    CHECK(pty_expect(&t.pty, "(3/4)"));
    pty_resize(&t.pty, 200);
    type_keys(&t, "y d d");
    finish(&t, 0);
    CHECK_STR(read_text(&t, "work/a.txt"), kept_text(&t.arena, "00010", "\n"));
    table_close(&t);
}

static void test_modes(void) {
    Table t;
    open_three(&t);
    t.mode = "--dry-run";
    start(&t, "change a.txt and b.txt and make new/c.txt");
    finish(&t, 0);
    check_untouched(&t);
    CHECK(str_contains(read_text(&t, "out"), S("+made\n")) && seen(&t).len == 0);
    table_close(&t);
    open_three(&t);
    t.mode = "--apply";
    start(&t, "change a.txt and b.txt and make new/c.txt");
    finish(&t, 0);
    CHECK(seen(&t).len == 0);
    CHECK_STR(read_text(&t, "work/new/c.txt"), S("made\n"));
    table_close(&t);
    open_three(&t);
    t.mode = "--verbose"; /* none: asks where stdout is a terminal */
    t.shows_all = true;
    start(&t, "change a.txt and b.txt and make new/c.txt");
    type_keys(&t, "n n y");
    finish(&t, 0);
    CHECK_STR(read_text(&t, "work/new/c.txt"), S("made\n"));
    CHECK_STR(read_text(&t, "work/b.txt"), S("one\ntwo\n"));
    table_close(&t);
}

static size_t count_backups(Table *t) {
    FILE *stream =
        popen(str_printf(&t->arena, PROGRAM " backups --json --root '%.*s/work'", STR_ARG(t->tmp)).ptr, "r");
    char text[8192];
    CHECK(stream != NULL);
    size_t len = fread(text, 1, sizeof text, stream), count = 0;
    CHECK(pclose(stream) == 0);
    Str rest = {text, len};
    for (size_t at = 0; (at = str_find(rest, S("\"id\""), at)) != STR_NONE; at++)
        count++;
    return count;
}

static void test_backup_limit(void) {
    for (size_t limit = 1; limit <= 2; limit++) {
        Table t;
        open_three(&t);
        set(&t, limit == 1 ? "MUX_BACKUP_COUNT=1" : "MUX_BACKUP_COUNT=2");
        t.mode = "--apply";
        for (int i = 0; i < 3; i++) {
            write_bytes(&t, "work/b.txt", S("one\ntwo\n"));
            write_bytes(&t, "work/a.txt", numbered(&t.arena, false, "\n"));
            unlink(path_in(&t, "work/new/c.txt").ptr);
            start(&t, "change a.txt and b.txt and make new/c.txt");
            finish(&t, 0);
            pty_free(&t.pty);
        }
        CHECK_INT(count_backups(&t), limit);
        table_close(&t);
    }
}

/* What other programs run without asking is asked about even where everything is applied. */
static void test_consent(void) {
    static const char MODEL[] =
        "--- reply\n" BLOCK(".envrc", "export A=1\n", "export A=2\n") BLOCK("b.txt", "one\n", "uno\n");
    static const struct {
        bool has_no_terminal;
        const char *keys;
        int status;
    } CASES[] = {{false, "y", 0}, {false, "n", 0}, {true, NULL, 1}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Table t;
        table_open(&t, MODEL);
        write_bytes(&t, "work/.envrc", S("export A=1\n"));
        write_bytes(&t, "work/b.txt", S("one\n"));
        t.mode = "--apply";
        t.has_no_terminal = CASES[i].has_no_terminal;
        start(&t, "change .envrc and b.txt");
        if (CASES[i].keys)
            type_keys(&t, CASES[i].keys);
        finish(&t, CASES[i].status);
        bool is_allowed = CASES[i].keys && CASES[i].keys[0] == 'y';
        CHECK_STR(read_text(&t, "work/.envrc"), is_allowed ? S("export A=2\n") : S("export A=1\n"));
        CHECK_STR(read_text(&t, "work/b.txt"), S("uno\n"));
        CHECK(CASES[i].keys || str_contains(read_text(&t, "err"), S(".envrc was not asked about")));
        CHECK(!str_contains(seen(&t), S("b.txt")));
        table_close(&t);
    }
}

/* ---- the editor ---- */

static void use_editor(Table *t, const char *script) {
    write_bytes(t, "editor.sh", str_of(script));
    CHECK(chmod(path_in(t, "editor.sh").ptr, 0700) == 0);
    set(t, str_printf(&t->arena, "EDITOR=sh %.*s/editor.sh", STR_ARG(t->tmp)).ptr);
}

static Str replaced(Table *t, Str text, const char *old, const char *new) {
    size_t at = str_find(text, str_of(old), 0);
    CHECK(at != STR_NONE);
    Str head = str_concat(&t->arena, str_slice(text, 0, at), str_of(new));
    return str_concat(&t->arena, head, str_from(text, at + strlen(old)));
}

static const struct {
    const char *script, *keys, *bits; /* bits, and then the replacement */
    const char *old, *new, *shown;
} EDITS[] = {
    /* Another word, a line more; the file is written anew, as many editors do. */
    {"sed 's/^+line five$/+line FIVE/' \"$1\" > \"$1.new\" && mv \"$1.new\" \"$1\"\n", "e d", "11000",
     "line five\n", "line FIVE\n", "(2/4)"},
    {"sed -i 's/^+and a half$/+and\\n+a\\n+half/' \"$1\"\n", "e d", "11000", "and a half\n", "and\na\nhalf\n",
     "(2/4)"},
    /* A removal taken back, an addition taken out. */
    {"sed -i -e 's/^-line 5$/ line 5/' -e '/^+line five$/d' \"$1\"\n", "e d", "01000", NULL, NULL, "(2/4)"},
    {"sed -i -e 's/^-/ /' -e '/^+/d' \"$1\"\n", "e d", "00000", NULL, NULL, "Nothing is left to change here"},
    {": \n", "e d", "11000", NULL, NULL, "(2/4)"},
    {"sed -i 's/^@@.*/@@ anything @@/' \"$1\"\n", "e d", "11000", NULL, NULL, "(2/4)"},
    {"sed -i '/^#/d' \"$1\"; printf '\\n\\n' >> \"$1\"\n", "e d", "11000", NULL, NULL, "(2/4)"},
    /* A context line made a removal. */
    {"sed -i 's/^ line 7$/-line 7/' \"$1\"\n", "e d", "11000", "line 7\n", "", "(2/4)"},
    /* The second half after a split; then edited again. */
    {"sed -i 's/^+line eight$/+line EIGHT/' \"$1\"\n", "s n e d", "01000", "line eight\n", "line EIGHT\n",
     "(3/5)"},
    {"sed -i 's/^+line five/+line five!/' \"$1\"\n", "e K e d", "11000", "line five\n", "line five!!\n",
     "(2/4)"},
    /* What does not apply, and the ways on. */
    {"sed -i 's/^ line 4$/ line four/' \"$1\"\n", "e n y d", "11000", NULL, NULL,
     "Your edited hunk does not apply: the file has \"line 4\" where the edited hunk has \"line four\"."},
    {"sed -i '/^ line 11$/d' \"$1\"\n", "e n n d", "00000", NULL, NULL, "ends before the line \"line 11\""},
    {"echo what >> \"$1\"\n", "e n a", "11111", NULL, NULL, "begins with none of"},
    {"if [ -e done ]; then sed -i '/^+more/d' \"$1\"; else echo ' more' >> \"$1\"; fi; : > done\n", "e n y d",
     "11000", NULL, NULL, "Edit again (n gives the edit up) [y,n]? "},
    {"if [ -e done ]; then sed -i 's/^ line four/ line 4/' \"$1\"; else sed -i 's/^ line 4$/ line four/' "
     "\"$1\"; fi; : > "
     "done\n",
     "e y d", "11000", NULL, NULL, "(2/4)"},
    {": > \"$1\"\n", "e a", "11111", NULL, NULL, "The edit was given up"},
    {"rm \"$1\"\n", "e a", "11111", NULL, NULL, "mux-hunk-"},
    {"exit 3\n", "e a", "11111", NULL, NULL, "failed; the hunk is as it was"},
    /* The editor has the terminal. */
    {"test -t 0 && test -t 1 && test -t 2 && sed -i 's/^+line five$/+a terminal/' \"$1\"\n", "e d", "11000",
     "line five\n", "a terminal\n", "(2/4)"},
};

static void test_editor(void) {
    for (size_t i = 0; i < sizeof EDITS / sizeof *EDITS; i++) {
        Table t;
        open_five(&t);
        use_editor(&t, EDITS[i].script);
        start(&t, "change the lines in a.txt");
        type_keys(&t, EDITS[i].keys);
        finish(&t, str_eq(str_of(EDITS[i].bits), S("00000")) ? 1 : 0);
        check_seen(&t, EDITS[i].shown);
        Str expected = kept_text(&t.arena, EDITS[i].bits, "\n");
        if (EDITS[i].old)
            expected = replaced(&t, expected, EDITS[i].old, EDITS[i].new);
        CHECK_MSG(str_eq(read_text(&t, "work/a.txt"), expected), "edit %zu gave\n%.*s", i,
                  STR_ARG(read_text(&t, "work/a.txt")));
        table_close(&t);
    }
}

static void test_editor_is_chosen(void) {
    Table t;
    open_five(&t);
    use_editor(&t, "exit 1\n");
    set(&t, "VISUAL=sed -i s/^+line.five$/+by.visual/");
    start(&t, "change the lines in a.txt");
    type_keys(&t, "e d");
    finish(&t, 0);
    CHECK(str_contains(read_text(&t, "work/a.txt"), S("\nby.visual\n")));
    table_close(&t);
}

/* An editor that takes the interrupt for itself goes on, and so does the dialog. */
static void test_editor_keeps_the_interrupt(void) {
    Table t;
    open_five(&t);
    use_editor(
        &t, "trap 'sed -i s/^+line.five$/+caught/ \"$1\"; exit 0' INT\necho the editor waits\nread line\n");
    start(&t, "change the lines in a.txt");
    CHECK(pty_expect(&t.pty, "(1/4)"));
    type_keys(&t, "e");
    CHECK(pty_expect(&t.pty, "the editor waits"));
    pty_send(&t.pty, "\003\n"); /* the shell looks at its trap once the line is read */
    CHECK_MSG(pty_expect(&t.pty, "(2/4)"), "the terminal showed:\n%.*s", (int)t.pty.seen.len, t.pty.seen.ptr);
    type_keys(&t, "d");
    finish(&t, 0);
    CHECK(str_contains(read_text(&t, "work/a.txt"), S("\ncaught\n")));
    table_close(&t);
}

static void test_editor_is_interrupted(void) {
    Table t;
    open_five(&t);
    use_editor(&t, "echo the editor waits\nread line\n");
    start(&t, "change the lines in a.txt");
    CHECK(pty_expect(&t.pty, "(1/4)"));
    type_keys(&t, "e");
    CHECK(pty_expect(&t.pty, "the editor waits"));
    pty_send(&t.pty, "\003");
    finish(&t, 1);
    CHECK_STR(read_text(&t, "work/a.txt"), kept_text(&t.arena, "00000", "\n"));
    table_close(&t);
}

/* ---- what is shown ---- */

static void test_text_cannot_drive_the_terminal(void) {
    static const char EVIL[] = "a\033]0;title\a\b\x7f\tb\r\n\xff\xfe\xc2\x9b"
                               "31m\n\xe2\x80\xae"
                               "drow\nchange me\nend\033[2J";
    Table t;
    table_open(&t, "--reply\n");
    t.model = "--- reply\n" BLOCK("a.txt", "change me\n", "changed\n");
    t.shows_all = true;
    write_bytes(&t, "work/a.txt", str_of(EVIL));
    start(&t, "change me in a.txt");
    type_keys(&t, "y");
    finish(&t, 0);
    check_seen(&t, "^[]0;title^G^H^?\tb^M\n");
    check_seen(&t, " \\xFF\\xFE<U+009B>31m\n <U+202E>drow\n");
    check_seen(&t, " end^[[2J\n\\ No newline at end of file\n");
    for (size_t i = 0; i < seen(&t).len; i++)
        CHECK((unsigned char)seen(&t).ptr[i] >= ' ' || strchr("\t\n", seen(&t).ptr[i]));
    CHECK(!str_contains(seen(&t), S("\xc2\x9b")) && !str_contains(seen(&t), S("\xe2\x80\xae")));
    CHECK_STR(read_text(&t, "work/a.txt"), replaced(&t, str_of(EVIL), "change me\n", "changed\n"));
    table_close(&t);
}

static void test_colours(void) {
    static const struct {
        const char *no_colour, *kind;
        bool has_colour;
    } CASES[] = {{"NO_COLOR", "TERM=xterm", true},
                 {"NO_COLOR=", "TERM=xterm-256color", true},
                 {"NO_COLOR=1", "TERM=xterm", false},
                 {"NO_COLOR", "TERM=dumb", false},
                 {"NO_COLOR", "TERM", false}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        Table t;
        open_five(&t);
        set(&t, CASES[i].no_colour);
        set(&t, CASES[i].kind);
        start(&t, "change the lines in a.txt");
        type_keys(&t, "d");
        finish(&t, 1);
        CHECK_INT(str_find_char(seen(&t), '\033', 0) != STR_NONE, CASES[i].has_colour);
        if (CASES[i].has_colour) {
            check_seen(&t, "\033[31m-line \033[7m5\033[27m\033[m\n\033[32m+line \033[7mfive\033[27m\033[m\n");
            check_seen(&t, "\033[1mdiff --git a/a.txt b/a.txt\033[m\n");
        }
        table_close(&t);
    }
}

static void test_narrow(void) {
    Table t;
    open_five(&t);
    t.columns = 30;
    start(&t, "change the lines in a.txt");
    type_keys(&t, "g 3 d d");
    finish(&t, 1);
    check_seen(&t, "\n  3: -48,6 +48,7        +line\n  4: "); /* the list keeps within the line */
    table_close(&t);
}

static void test_line_ends(void) {
    static const char MODEL[] = "--- reply\n" BLOCK("a.txt", "line 5\n", "line five\n")
        BLOCK("a.txt", "line 8\n", "line eight\nand a half\n") BLOCK("a.txt", "line 30\n", "")
            BLOCK("a.txt", "line 50\n", "line 50\nline fifty point five\n")
                BLOCK("a.txt", "line 70\n", "line seventy\n");
    Table t;
    table_open(&t, MODEL);
    write_bytes(&t, "work/a.txt", numbered(&t.arena, false, "\r\n"));
    use_editor(&t, "sed -i 's/^+line seventy/+line SEVENTY/' \"$1\"\n");
    start(&t, "change the lines in a.txt");
    type_keys(&t, "s y n n y e");
    finish(&t, 0);
    Str expected = replaced(&t, kept_text(&t.arena, "10011", "\r\n"), "line seventy", "line SEVENTY");
    CHECK_STR(read_text(&t, "work/a.txt"), expected);
    check_seen(&t, "+line five^M\n");
    table_close(&t);
    /* A last line without its line end: shown, kept, editable. */
    table_open(&t, "--- reply\n" BLOCK("a.txt", "last\n", "the last\n"));
    write_bytes(&t, "work/a.txt", S("first\nlast"));
    use_editor(&t, "sed -i 's/^+the last/+the very last/' \"$1\"\n");
    start(&t, "change last in a.txt");
    type_keys(&t, "e");
    finish(&t, 0);
    CHECK_STR(read_text(&t, "work/a.txt"), S("first\nthe very last"));
    table_close(&t);
}

static const TestCase CASES[] = {
    {"keys", test_keys},
    {"random_choices", test_random_choices},
    {"several_files", test_several_files},
    {"deleted_and_moved", test_deleted_and_moved},
    {"end_of_input", test_end_of_input},
    {"interrupt", test_interrupt},
    {"terminal_goes", test_terminal_goes},
    {"no_terminal", test_no_terminal},
    {"resize", test_resize},
    {"modes", test_modes},
    {"backup_limit", test_backup_limit},
    {"consent", test_consent},
    {"editor", test_editor},
    {"editor_is_chosen", test_editor_is_chosen},
    {"editor_keeps_the_interrupt", test_editor_keeps_the_interrupt},
    {"editor_is_interrupted", test_editor_is_interrupted},
    {"text_cannot_drive_the_terminal", test_text_cannot_drive_the_terminal},
    {"colours", test_colours},
    {"narrow", test_narrow},
    {"line_ends", test_line_ends},
};
TEST_SUITE(ACP_HUNKS_SUITE, "hunks", CASES);
