/* `mux-acp ask --hunks` on a terminal: every key, several files, the ways out. What lies in the folder
 * afterwards is compared with what diff_keep gives for the hunks that were chosen. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "diff/diff.h"
#include "tests/runner.h"
#include "tests/unit/acp_hunks_support.h"

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
        table_open_five(&t);
        table_start(&t, "change the lines in a.txt");
        table_type(&t, KEYS[i].keys);
        table_finish(&t, str_eq(str_of(KEYS[i].bits), S("00000")) ? 1 : 0);
        table_check_seen(&t, KEYS[i].shown);
        Str expected = table_kept_text(&t.arena, KEYS[i].bits, "\n");
        CHECK_MSG(str_eq(table_read(&t, "work/a.txt"), expected), "keys %s: not as with %s:\n%.*s",
                  KEYS[i].keys, KEYS[i].bits, STR_ARG(table_read(&t, "work/a.txt")));
        table_close(&t);
    }
}

static void test_random_choices(void) {
    static const size_t PARTS[][2] = {{0, 1}, {2, 2}, {3, 3}, {4, 4}};
    for (int round = 0; round < 10; round++) {
        Table t;
        char bits[CHANGES + 1] = "", keys[64] = "";
        table_open_five(&t);
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
        table_start(&t, "change the lines in a.txt");
        table_type(&t, keys);
        table_finish(&t, strchr(bits, '1') ? 0 : 1);
        CHECK_STR(table_read(&t, "work/a.txt"), table_kept_text(&t.arena, bits, "\n"));
        table_close(&t);
    }
}

/* ---- several files ---- */

static const char THREE_FILES[] = "--- reply\nThree files.\n\n" BLOCK("a.txt", "line 5\n", "line five\n")
    BLOCK("b.txt", "one\n", "uno\n") BLOCK("new/c.txt", "", "made\n");

static void open_three(Table *t) {
    table_open(t, THREE_FILES);
    table_write(t, "work/a.txt", numbered_lines(&t->arena, false, "\n"));
    table_write(t, "work/b.txt", S("one\ntwo\n"));
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
        table_start(&t, "change a.txt and b.txt and make new/c.txt");
        table_type(&t, CASES[i].keys);
        table_finish(&t, CASES[i].has_a || CASES[i].has_b || CASES[i].has_c ? 0 : 1);
        CHECK_INT(str_contains(table_read(&t, "work/a.txt"), S("line five")), CASES[i].has_a);
        CHECK_INT(str_contains(table_read(&t, "work/b.txt"), S("uno\ntwo\n")), CASES[i].has_b);
        CHECK_INT(table_has(&t, "work/new/c.txt"), CASES[i].has_c);
        if (CASES[i].has_c)
            CHECK_STR(table_read(&t, "work/new/c.txt"), S("made\n"));
        if (!strchr(CASES[i].keys, 'q'))
            table_check_seen(&t, "(1/1) Create this file [y,n,q,a,d,p,?]? ");
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
        table_write(&t, "work/a.txt", S("gone\n"));
        table_write(&t, "work/b.txt", S("one\ntwo\n"));
        CHECK(chmod(table_path(&t, "work/b.txt").ptr, 0755) == 0);
        table_start(&t, "delete a.txt and move b.txt to sub/c.txt");
        table_type(&t, CASES[i].keys);
        table_finish(&t, CASES[i].is_deleted || CASES[i].is_moved ? 0 : 1);
        table_check_seen(&t, "(1/1) Delete this file [y,n,q,a,d,p,?]? ");
        table_check_seen(&t, "deleted file mode 100644\n");
        CHECK_INT(!table_has(&t, "work/a.txt"), CASES[i].is_deleted);
        CHECK_INT(!table_has(&t, "work/b.txt"), CASES[i].is_moved);
        CHECK_INT(table_has(&t, "work/sub/c.txt"), CASES[i].is_moved);
        if (CASES[i].is_moved) {
            table_check_seen(&t, "rename to sub/c.txt\n");
            table_check_seen(&t, "(1/1) Move this file [y,n,q,a,d,p,?]? ");
            CHECK_STR(table_read(&t, "work/sub/c.txt"), S("uno\ntwo\n"));
            CHECK(access(table_path(&t, "work/sub/c.txt").ptr, X_OK) == 0);
        }
        table_close(&t);
    }
}

/* ---- the ways out ---- */

static void check_untouched(Table *t) {
    CHECK_STR(table_read(t, "work/a.txt"), numbered_lines(&t->arena, false, "\n"));
    CHECK_STR(table_read(t, "work/b.txt"), S("one\ntwo\n"));
    CHECK(!table_has(t, "work/new"));
}

static void test_end_of_input(void) {
    Table t;
    open_three(&t);
    table_start(&t, "change a.txt and b.txt and make new/c.txt");
    table_type(&t, "y");
    CHECK(pty_expect(&t.pty, "diff --git a/b.txt b/b.txt") && pty_expect(&t.pty, "[y,n,q,a,d,e,p,?]? "));
    pty_send(&t.pty, "\004"); /* what was decided before stays decided */
    table_finish(&t, 0);
    CHECK(str_contains(table_read(&t, "work/a.txt"), S("line five")));
    CHECK_STR(table_read(&t, "work/b.txt"), S("one\ntwo\n"));
    table_close(&t);
}

static void test_interrupt(void) {
    Table t;
    open_three(&t);
    table_start(&t, "change a.txt and b.txt and make new/c.txt");
    table_type(&t, "y");
    CHECK(pty_expect(&t.pty, "diff --git a/b.txt b/b.txt") && pty_expect(&t.pty, "]? "));
    pty_send(&t.pty, "\003");
    table_finish(&t, 1);
    check_untouched(&t);
    table_close(&t);
}

static void test_terminal_goes(void) {
    Table t;
    open_three(&t);
    table_start(&t, "change a.txt and b.txt and make new/c.txt");
    table_type(&t, "y");
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
    table_start(&t, "change a.txt and b.txt and make new/c.txt");
    table_finish(&t, 1);
    CHECK(str_contains(table_read(&t, "err"), S("there is no terminal to ask on")));
    CHECK(str_contains(table_read(&t, "err"), S("--dry-run")));
    check_untouched(&t);
    table_close(&t);
}

static void test_resize(void) {
    Table t;
    table_open_five(&t);
    table_start(&t, "change the lines in a.txt");
    CHECK(pty_expect(&t.pty, "(1/4)"));
    pty_resize(&t.pty, 30);
    table_type(&t, "g_3");
    CHECK(pty_expect(&t.pty, "(3/4)"));
    pty_resize(&t.pty, 200);
    table_type(&t, "y d d");
    table_finish(&t, 0);
    CHECK_STR(table_read(&t, "work/a.txt"), table_kept_text(&t.arena, "00010", "\n"));
    table_close(&t);
}

static void test_modes(void) {
    Table t;
    open_three(&t);
    t.mode = "--dry-run";
    table_start(&t, "change a.txt and b.txt and make new/c.txt");
    table_finish(&t, 0);
    check_untouched(&t);
    CHECK(str_contains(table_read(&t, "out"), S("+made\n")) && table_seen(&t).len == 0);
    table_close(&t);
    open_three(&t);
    t.mode = "--apply";
    table_start(&t, "change a.txt and b.txt and make new/c.txt");
    table_finish(&t, 0);
    CHECK(table_seen(&t).len == 0);
    CHECK_STR(table_read(&t, "work/new/c.txt"), S("made\n"));
    table_close(&t);
    open_three(&t);
    t.mode = "--verbose"; /* none: asks where stdout is a terminal */
    t.shows_all = true;
    table_start(&t, "change a.txt and b.txt and make new/c.txt");
    table_type(&t, "n n y");
    table_finish(&t, 0);
    CHECK_STR(table_read(&t, "work/new/c.txt"), S("made\n"));
    CHECK_STR(table_read(&t, "work/b.txt"), S("one\ntwo\n"));
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
        table_set(&t, limit == 1 ? "MUX_BACKUP_COUNT=1" : "MUX_BACKUP_COUNT=2");
        t.mode = "--apply";
        for (int i = 0; i < 3; i++) {
            table_write(&t, "work/b.txt", S("one\ntwo\n"));
            table_write(&t, "work/a.txt", numbered_lines(&t.arena, false, "\n"));
            unlink(table_path(&t, "work/new/c.txt").ptr);
            table_start(&t, "change a.txt and b.txt and make new/c.txt");
            table_finish(&t, 0);
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
        table_write(&t, "work/.envrc", S("export A=1\n"));
        table_write(&t, "work/b.txt", S("one\n"));
        t.mode = "--apply";
        t.has_no_terminal = CASES[i].has_no_terminal;
        table_start(&t, "change .envrc and b.txt");
        if (CASES[i].keys)
            table_type(&t, CASES[i].keys);
        table_finish(&t, CASES[i].status);
        bool is_allowed = CASES[i].keys && CASES[i].keys[0] == 'y';
        CHECK_STR(table_read(&t, "work/.envrc"), is_allowed ? S("export A=2\n") : S("export A=1\n"));
        CHECK_STR(table_read(&t, "work/b.txt"), S("uno\n"));
        CHECK(CASES[i].keys || str_contains(table_read(&t, "err"), S(".envrc was not asked about")));
        CHECK(!str_contains(table_seen(&t), S("b.txt")));
        table_close(&t);
    }
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
    table_write(&t, "work/a.txt", str_of(EVIL));
    table_start(&t, "change me in a.txt");
    table_type(&t, "y");
    table_finish(&t, 0);
    table_check_seen(&t, "^[]0;title^G^H^?\tb^M\n");
    table_check_seen(&t, " \\xFF\\xFE<U+009B>31m\n <U+202E>drow\n");
    table_check_seen(&t, " end^[[2J\n\\ No newline at end of file\n");
    for (size_t i = 0; i < table_seen(&t).len; i++)
        CHECK((unsigned char)table_seen(&t).ptr[i] >= ' ' || strchr("\t\n", table_seen(&t).ptr[i]));
    CHECK(!str_contains(table_seen(&t), S("\xc2\x9b")) && !str_contains(table_seen(&t), S("\xe2\x80\xae")));
    CHECK_STR(table_read(&t, "work/a.txt"), table_replaced(&t, str_of(EVIL), "change me\n", "changed\n"));
    table_close(&t);
}

/* Nor can what the model says, or what is quoted to it of a file. */
static void test_quotes_cannot_drive_the_terminal(void) {
    static const char *const MODELS[] = {"--- reply repeat\n" BLOCK("a.txt", "some such line\n", "b\n"),
                                         "--- reply\nIt is some \033[2J line.\n"};
    for (size_t i = 0; i < sizeof MODELS / sizeof *MODELS; i++) {
        Table t;
        table_open(&t, MODELS[i]);
        t.shows_all = true;
        table_write(&t, "work/a.txt", S("first\nsome \033[2J line\nlast\n"));
        table_start(&t, "change a.txt");
        table_finish(&t, 1);
        table_check_seen(&t, "some ^[[2J line");
        CHECK(str_find_char(table_seen(&t), '\033', 0) == STR_NONE);
        table_close(&t);
    }
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
        table_open_five(&t);
        table_set(&t, CASES[i].no_colour);
        table_set(&t, CASES[i].kind);
        table_start(&t, "change the lines in a.txt");
        table_type(&t, "d");
        table_finish(&t, 1);
        CHECK_INT(str_find_char(table_seen(&t), '\033', 0) != STR_NONE, CASES[i].has_colour);
        if (CASES[i].has_colour) {
            table_check_seen(
                &t, "\033[31m-line \033[7m5\033[27m\033[m\n\033[32m+line \033[7mfive\033[27m\033[m\n");
            table_check_seen(&t, "\033[1mdiff --git a/a.txt b/a.txt\033[m\n");
        }
        table_close(&t);
    }
}

static void test_narrow(void) {
    Table t;
    table_open_five(&t);
    t.columns = 30;
    table_start(&t, "change the lines in a.txt");
    table_type(&t, "g 3 d d");
    table_finish(&t, 1);
    table_check_seen(&t, "\n  3: -48,6 +48,7        +line\n  4: "); /* the list keeps within the line */
    table_close(&t);
}

static void test_line_ends(void) {
    Table t;
    table_open_five(&t);
    table_write(&t, "work/a.txt", numbered_lines(&t.arena, false, "\r\n"));
    table_use_editor(&t, "sed -i 's/^+line seventy/+line SEVENTY/' \"$1\"\n");
    table_start(&t, "change the lines in a.txt");
    table_type(&t, "s y n n y e");
    table_finish(&t, 0);
    Str expected =
        table_replaced(&t, table_kept_text(&t.arena, "10011", "\r\n"), "line seventy", "line SEVENTY");
    CHECK_STR(table_read(&t, "work/a.txt"), expected);
    table_check_seen(&t, "+line five^M\n");
    table_close(&t);
    /* A last line without its line end: shown, kept, editable. */
    table_open(&t, "--- reply\n" BLOCK("a.txt", "last\n", "the last\n"));
    table_write(&t, "work/a.txt", S("first\nlast"));
    table_use_editor(&t, "sed -i 's/^+the last/+the very last/' \"$1\"\n");
    table_start(&t, "change last in a.txt");
    table_type(&t, "e");
    table_finish(&t, 0);
    CHECK_STR(table_read(&t, "work/a.txt"), S("first\nthe very last"));
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
    {"text_cannot_drive_the_terminal", test_text_cannot_drive_the_terminal},
    {"quotes_cannot_drive_the_terminal", test_quotes_cannot_drive_the_terminal},
    {"colours", test_colours},
    {"narrow", test_narrow},
    {"line_ends", test_line_ends},
};
TEST_SUITE(ACP_HUNKS_SUITE, "hunks", CASES);
