#include "tests/powerloss/record.h"

#include <stdlib.h>
#include <string.h>

/* What changes files or descriptors, and what could change a file without being understood: disk.c refuses
 * that. */
#define TRACED                                                                                               \
    "trace=chdir,open,openat,openat2,creat,close,dup,dup2,dup3,fcntl,read,lseek,write,pwrite64,writev,"      \
    "pwritev,pwritev2,sendfile,splice,copy_file_range,ioctl,mmap,truncate,ftruncate,fallocate,fsync,"        \
    "fdatasync,sync,syncfs,msync,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat," \
    "symlink,symlinkat,mknod,mknodat,chmod,fchmod,fchmodat,io_uring_setup"

const char *const *record_front(Arena *arena, const char *log, int swallow) {
    enum { WORDS = 12 };
    const char **front = ARENA_ARRAY(arena, const char *, WORDS);
    const char *const base[] = {"strace", "-f", "-xx", "-s", "100000000", "-o", log, "-e", TRACED};
    memcpy(front, base, sizeof base);
    if (swallow > 0) {
        front[9] = "-e";
        front[10] = str_printf(arena, "inject=fsync:retval=0:when=%d", swallow).ptr;
    }
    return front;
}

static int bracket(char c) {
    return (c == '{' || c == '[' || c == '(') - (c == '}' || c == ']' || c == ')');
}

static size_t closing_bracket(Str s, size_t at) {
    for (int depth = 0; at < s.len; at++)
        if ((depth += bracket(s.ptr[at])) == 0)
            return at;
    return s.len;
}

/* Cuts the next argument off: up to a comma outside of brackets. */
static bool next_arg(Str *rest, Str *arg) {
    int depth = 0;
    size_t at = 0;
    if (!rest->len)
        return false;
    for (; at < rest->len; at++) {
        char c = rest->ptr[at];
        depth += bracket(c);
        if (c == ',' && depth == 0)
            break;
    }
    *arg = str_trim(str_slice(*rest, 0, at));
    *rest = str_from(*rest, at + 1);
    return true;
}

static bool parse_call(Str line, Arena *arena, Call *out) {
    *out = (Call){0};
    size_t blank = str_find_char(line, ' ', 0);
    Str rest = str_trim(str_from(line, blank == STR_NONE ? line.len : blank));
    if (str_starts(rest, S("+++")) || str_starts(rest, S("---")))
        return false;
    size_t open = str_find_char(rest, '(', 0);
    if (open == STR_NONE || str_contains(rest, S("<unfinished")) || str_contains(rest, S("resumed>")))
        test_fail(__FILE__, __LINE__, "the log cannot be understood: %.*s",
                  (int)(rest.len > 200 ? 200 : rest.len), rest.ptr);
    size_t end = closing_bracket(rest, open);
    Str args = str_slice(rest, open + 1, end), result = str_trim(str_from(rest, end + 1));
    if (!str_starts(result, S("= ")))
        return false; /* killed in the middle */
    result = str_from(result, 2);
    out->name = str_slice(rest, 0, open);
    while (out->arg_count < CALL_ARGS_MAX && next_arg(&args, &out->args[out->arg_count]))
        out->arg_count++;
    out->result = strtol(str_cstr(arena, str_slice(result, 0, 30)), NULL, 0);
    out->has_failed = out->result == -1;
    out->is_injected = str_contains(result, S("INJECTED"));
    return true;
}

bool call_next(Str *log, Arena *arena, Call *out) {
    Str line;
    while (str_next_line(log, &line))
        if (parse_call(line, arena, out))
            return true;
    return false;
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

Str call_string(const Call *call, size_t index, Arena *arena) {
    Str arg = index < call->arg_count ? call->args[index] : S("");
    if (arg.len < 2 || arg.ptr[0] != '"' || arg.ptr[arg.len - 1] != '"' || arg.len % 4 != 2)
        test_fail(__FILE__, __LINE__, "%.*s: argument %zu is no whole string", STR_ARG(call->name), index);
    size_t n = (arg.len - 2) / 4;
    char *p = arena_alloc(arena, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char *at = arg.ptr + 1 + 4 * i;
        int high = hex_digit(at[2]), low = hex_digit(at[3]);
        if (at[0] != '\\' || at[1] != 'x' || high < 0 || low < 0)
            test_fail(__FILE__, __LINE__, "%.*s: argument %zu is not in hex", STR_ARG(call->name), index);
        p[i] = (char)(high << 4 | low);
    }
    p[n] = 0;
    return (Str){p, n};
}

long call_number(const Call *call, size_t index) {
    Str arg = index < call->arg_count ? call->args[index] : S("");
    char digits[32] = {0};
    if (str_eq(arg, S("AT_FDCWD")))
        return -100;
    if (arg.len >= sizeof digits)
        test_fail(__FILE__, __LINE__, "%.*s: argument %zu is no number", STR_ARG(call->name), index);
    memcpy(digits, arg.ptr, arg.len);
    return strtol(digits, NULL, 0);
}
