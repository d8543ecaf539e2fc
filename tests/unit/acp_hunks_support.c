#define _GNU_SOURCE
#include "tests/unit/acp_hunks_support.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os.h"
#include "diff/diff.h"
#include "tests/runner.h"

Str table_path(Table *t, const char *name) {
    return str_printf(&t->arena, "%.*s/%s", STR_ARG(t->tmp), name);
}

void table_write(Table *t, const char *name, Str text) {
    Err err = {0};
    CHECK_OK(os_write_file(table_path(t, name).ptr, text, &err), err);
}

Str table_read(Table *t, const char *name) {
    Err err = {0};
    Str text = S("");
    CHECK_OK(os_read_file(table_path(t, name).ptr, 1 << 24, &t->arena, &text, &err), err);
    return text;
}

bool table_has(Table *t, const char *name) {
    return access(table_path(t, name).ptr, F_OK) == 0;
}

void table_set(Table *t, const char *variable) {
    size_t n = 0;
    while (t->environment[n])
        n++;
    CHECK(n + 1 < sizeof t->environment / sizeof *t->environment);
    t->environment[n] = variable;
}

void table_open(Table *t, const char *model) {
    static int tables;
    *t = (Table){.model = model};
    t->tmp = str_printf(&t->arena, "%s/%d", test_tmp(), tables++);
    CHECK(mkdir(t->tmp.ptr, 0700) == 0);
    CHECK_MSG(access(PROGRAM, X_OK) == 0, "the program %s is not built", PROGRAM);
    CHECK(mkdir(table_path(t, "work").ptr, 0700) == 0);
    for (const char *const *v =
             (const char *const[]){"TERM=xterm", "NO_COLOR=1", "VISUAL", "EDITOR=false", NULL};
         *v; v++)
        table_set(t, *v);
    table_set(t, str_printf(&t->arena, "TMPDIR=%.*s", STR_ARG(t->tmp)).ptr);
}

void table_start(Table *t, const char *request) {
    table_write(t, "model.txt", str_of(t->model));
    const char *argv[] = {PROGRAM,
                          "ask",
                          "--cwd",
                          table_path(t, "work").ptr,
                          "--model",
                          str_printf(&t->arena, "script:%.*s/model.txt", STR_ARG(t->tmp)).ptr,
                          t->mode ? t->mode : "--hunks",
                          request,
                          NULL};
    PtyConfig config = {.argv = argv,
                        .folder = t->tmp.ptr,
                        .environment = t->environment,
                        .out_path = t->shows_all ? NULL : table_path(t, "out").ptr,
                        .err_path = t->shows_all ? NULL : table_path(t, "err").ptr,
                        .columns = t->columns,
                        .has_no_terminal = t->has_no_terminal};
    pty_spawn(&t->pty, &config);
}

void table_type(Table *t, const char *keys) {
    Buf typed = {0};
    for (; *keys; keys++)
        buf_char(&typed, *keys == ' ' ? '\n' : *keys == '_' ? ' ' : *keys);
    buf_cstr(&typed, "\n");
    buf_char(&typed, 0);
    pty_send(&t->pty, typed.ptr);
    buf_free(&typed);
}

void table_finish(Table *t, int status) {
    int got = pty_end(&t->pty);
    CHECK_MSG(got == status, "ended with %d instead of %d; the terminal showed:\n%.*s\nstderr: %.*s", got,
              status, (int)t->pty.seen.len, t->pty.seen.ptr,
              STR_ARG(t->shows_all ? S("") : table_read(t, "err")));
}

Str table_seen(const Table *t) {
    return buf_text(&t->pty.seen);
}

void table_check_seen(const Table *t, const char *text) {
    CHECK_MSG(str_contains(table_seen(t), str_of(text)), "\"%s\" was not shown, but:\n%.*s", text,
              (int)t->pty.seen.len, t->pty.seen.ptr);
}

void table_close(Table *t) {
    pty_free(&t->pty);
    arena_free(&t->arena);
}

/* ---- a file with five changes in four hunks ---- */

Str numbered_lines(Arena *arena, bool is_changed, const char *line_end) {
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

void table_open_five(Table *t) {
    table_open(t, FIVE_CHANGES);
    table_write(t, "work/a.txt", numbered_lines(&t->arena, false, "\n"));
}

Str table_kept_text(Arena *arena, const char *bits, const char *line_end) {
    Hunks hunks;
    Err err = {0};
    Str text;
    bool keep[CHANGES];
    CHECK_OK(diff_lines(S("a.txt"), numbered_lines(arena, false, line_end),
                        numbered_lines(arena, true, line_end), arena, &hunks, &err),
             err);
    CHECK_INT(hunks.count, CHANGES);
    for (size_t i = 0; i < CHANGES; i++)
        keep[i] = bits[i] == '1';
    CHECK_OK(diff_keep(&hunks, keep, arena, &text, &err), err);
    return text;
}

void table_use_editor(Table *t, const char *script) {
    table_write(t, "editor.sh", str_of(script));
    CHECK(chmod(table_path(t, "editor.sh").ptr, 0700) == 0);
    table_set(t, str_printf(&t->arena, "EDITOR=sh %.*s/editor.sh", STR_ARG(t->tmp)).ptr);
}

Str table_replaced(Table *t, Str text, const char *old, const char *new) {
    size_t at = str_find(text, str_of(old), 0);
    CHECK(at != STR_NONE);
    Str head = str_concat(&t->arena, str_slice(text, 0, at), str_of(new));
    return str_concat(&t->arena, head, str_from(text, at + strlen(old)));
}
