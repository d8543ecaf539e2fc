/* Hunks in the user's own editor: edits that apply, edits that do not, interrupts. */
#define _GNU_SOURCE
#include <string.h>

#include "tests/runner.h"
#include "tests/unit/acp_hunks_support.h"

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
        table_open_five(&t);
        table_use_editor(&t, EDITS[i].script);
        table_start(&t, "change the lines in a.txt");
        table_type(&t, EDITS[i].keys);
        table_finish(&t, str_eq(str_of(EDITS[i].bits), S("00000")) ? 1 : 0);
        table_check_seen(&t, EDITS[i].shown);
        Str expected = table_kept_text(&t.arena, EDITS[i].bits, "\n");
        if (EDITS[i].old)
            expected = table_replaced(&t, expected, EDITS[i].old, EDITS[i].new);
        CHECK_MSG(str_eq(table_read(&t, "work/a.txt"), expected), "edit %zu gave\n%.*s", i,
                  STR_ARG(table_read(&t, "work/a.txt")));
        table_close(&t);
    }
}

static void test_editor_is_chosen(void) {
    Table t;
    table_open_five(&t);
    table_use_editor(&t, "exit 1\n");
    table_set(&t, "VISUAL=sed -i s/^+line.five$/+by.visual/");
    table_start(&t, "change the lines in a.txt");
    table_type(&t, "e d");
    table_finish(&t, 0);
    CHECK(str_contains(table_read(&t, "work/a.txt"), S("\nby.visual\n")));
    table_close(&t);
}

/* An editor that takes the interrupt for itself goes on, and so does the dialog. */
static void test_editor_keeps_the_interrupt(void) {
    Table t;
    table_open_five(&t);
    table_use_editor(
        &t, "trap 'sed -i s/^+line.five$/+caught/ \"$1\"; exit 0' INT\necho the editor waits\nread line\n");
    table_start(&t, "change the lines in a.txt");
    CHECK(pty_expect(&t.pty, "(1/4)"));
    table_type(&t, "e");
    CHECK(pty_expect(&t.pty, "the editor waits"));
    pty_send(&t.pty, "\003\n"); /* the shell looks at its trap once the line is read */
    CHECK_MSG(pty_expect(&t.pty, "(2/4)"), "the terminal showed:\n%.*s", (int)t.pty.seen.len, t.pty.seen.ptr);
    table_type(&t, "d");
    table_finish(&t, 0);
    CHECK(str_contains(table_read(&t, "work/a.txt"), S("\ncaught\n")));
    table_close(&t);
}

static void test_editor_is_interrupted(void) {
    Table t;
    table_open_five(&t);
    table_use_editor(&t, "echo the editor waits\nread line\n");
    table_start(&t, "change the lines in a.txt");
    CHECK(pty_expect(&t.pty, "(1/4)"));
    table_type(&t, "e");
    CHECK(pty_expect(&t.pty, "the editor waits"));
    pty_send(&t.pty, "\003");
    table_finish(&t, 1);
    CHECK_STR(table_read(&t, "work/a.txt"), table_kept_text(&t.arena, "00000", "\n"));
    table_close(&t);
}

static const TestCase CASES[] = {
    {"edits", test_editor},
    {"is_chosen", test_editor_is_chosen},
    {"keeps_the_interrupt", test_editor_keeps_the_interrupt},
    {"is_interrupted", test_editor_is_interrupted},
};
TEST_SUITE(ACP_HUNKS_EDITOR_SUITE, "hunks_editor", CASES);
