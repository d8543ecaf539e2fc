/* Text search. Files are taken in order by a few threads; within a file a literal (the pattern itself, or one
 * that every match must contain) or the whole-buffer regex finds candidates, and the line decides: a match
 * never crosses lines. */
#define _GNU_SOURCE
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <fcntl.h>
#include <pcre2.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/os.h"
#include "workspace/workspace_internal.h"

enum {
    THREADS_MAX = 8,
    FILES_PER_THREAD_MIN = 64,
    HITS_DEFAULT = 10000,
    TEXT_DEFAULT = 4096,
    LITERAL_MIN = 3,       /* shorter ones are in too many lines to help */
    MATCH_LIMIT = 200000,  /* steps of one match */
    STARTS_AT_ONCE = 4096, /* places where a match may begin, between looks for a cancel */
    JIT_STACK_MAX = 1 << 20
};

typedef struct Pattern {
    Str literal;         /* empty: none */
    bool is_literal_all; /* the literal is the whole pattern */
    pcre2_code *code;    /* NULL when is_literal_all */
} Pattern;

typedef struct FileHits {
    Hit *items;
    size_t count;
} FileHits;

typedef struct Search {
    Workspace *ws;
    const Query *query;
    Pattern pattern;
    FileList files;
    FileHits *hits; /* one per file */
    size_t max_hits, max_text;
    atomic_size_t next, total, searched;
    atomic_bool is_stopped;
} Search;

typedef struct Worker {
    Search *search;
    pthread_t thread;
    Arena arena; /* of the hits */
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
    char *buffer;
    size_t capacity;
    Err err;
} Worker;

/* ---- the pattern ---- */

/* Moves past a set, "[" at i; the end of the pattern when it is not closed. */
static size_t skip_set(Str p, size_t i) {
    i++;
    if (i < p.len && p.ptr[i] == '^')
        i++;
    for (bool is_first = true; i < p.len && (is_first || p.ptr[i] != ']'); is_first = false) {
        size_t named = str_starts(str_from(p, i), S("[:")) ? str_find(p, S(":]"), i + 2) : STR_NONE;
        i = named != STR_NONE ? named + 2 : i + (p.ptr[i] == '\\' ? 2 : 1);
    }
    return i < p.len ? i + 1 : p.len;
}

static bool is_quantifier(char c) {
    return c == '*' || c == '?' || c == '{' || c == '+';
}

/* What the scan below looks at: one plain character (its byte in *c), or something else to step over. */
typedef enum Step { STEP_CHAR, STEP_BREAK, STEP_GIVE_UP } Step;

static Step next_step(Str p, size_t *i, int *depth, char *c) {
    char here = p.ptr[*i];
    switch (here) {
    case '\\':
        *i += 2;
        *c = *i <= p.len ? p.ptr[*i - 1] : 0;
        if (*c == 'Q' || *c == 'E')
            return STEP_GIVE_UP;
        /* an escaped letter or digit means something else than itself */
        return (unsigned char)*c < 0x80 && strchr(".*?+()[]{}|^$\\/-:;,=<>!@#%&~\"'` _", *c) && *c != '_'
                   ? STEP_CHAR
                   : STEP_BREAK;
    case '[': *i = skip_set(p, *i); return STEP_BREAK;
    case '(':
        if (str_starts(str_from(p, *i), S("(?")) && !str_starts(str_from(p, *i), S("(?:")))
            return STEP_GIVE_UP;
        *depth += 1;
        *i += 1;
        return str_starts(str_from(p, *i), S("*")) ? STEP_GIVE_UP : STEP_BREAK;
    case ')':
        *depth -= 1;
        *i += 1;
        return STEP_BREAK;
    case '|': *i += 1; return *depth > 0 ? STEP_BREAK : STEP_GIVE_UP;
    case '{': /* a quantifier's braces, or a literal one that is not worth telling apart */
        *i = str_find_char(p, '}', *i) == STR_NONE ? p.len : str_find_char(p, '}', *i) + 1;
        return STEP_BREAK;
    case '.':
    case '^':
    case '$':
    case '*':
    case '?':
    case '+': *i += 1; return STEP_BREAK;
    default:
        *c = here;
        *i += 1;
        return STEP_CHAR;
    }
}

/* The longest run of plain characters outside of groups: every match contains it. Empty when unsure. */
static Str required_literal(Str p, Arena *arena) {
    char *run = arena_alloc(arena, p.len + 1);
    Str best = {0};
    size_t n = 0;
    int depth = 0;
    for (size_t i = 0; i < p.len;) {
        char c = 0;
        Step step = next_step(p, &i, &depth, &c);
        if (step == STEP_GIVE_UP)
            return (Str){0};
        bool is_kept = step == STEP_CHAR && depth == 0;
        bool is_repeated = is_kept && i < p.len && is_quantifier(p.ptr[i]);
        if (is_repeated && p.ptr[i] != '+') { /* may be absent, with all bytes of its code point */
            while (n && ((unsigned char)c & 0xC0) == 0x80)
                c = run[--n];
            is_kept = false;
        }
        if (is_kept)
            run[n++] = c;
        if (!is_kept || is_repeated || i >= p.len) {
            if (n > best.len)
                best = str_copy(arena, (Str){run, n});
            n = 0;
        }
    }
    return best.len >= LITERAL_MIN ? best : (Str){0};
}

static Str quote(Str s, Arena *arena) {
    char *p = arena_alloc(arena, 2 * s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (strchr("\\^$.[]|()?*+{}-#&~", s.ptr[i]) && s.ptr[i])
            p[n++] = '\\';
        p[n++] = s.ptr[i];
    }
    return (Str){p, n};
}

static pcre2_code *compile(Str pattern, bool ignore_case, size_t shift, Err *err) {
    uint32_t options = PCRE2_MULTILINE | PCRE2_UTF | PCRE2_UCP | PCRE2_MATCH_INVALID_UTF |
                       PCRE2_NEVER_BACKSLASH_C | PCRE2_USE_OFFSET_LIMIT | (ignore_case ? PCRE2_CASELESS : 0);
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    int code = PCRE2_ERROR_NOMEMORY;
    PCRE2_SIZE at = 0;
    pcre2_code *out = NULL;
    if (context) {
        pcre2_set_newline(context, PCRE2_NEWLINE_LF);
        out = pcre2_compile((PCRE2_SPTR)pattern.ptr, pattern.len, options, &code, &at, context);
        pcre2_compile_context_free(context);
    }
    if (out) {
        pcre2_jit_compile(out, PCRE2_JIT_COMPLETE);
        return out;
    }
    PCRE2_UCHAR why[160] = "";
    pcre2_get_error_message(code, why, sizeof why);
    err_set(err, ERR_INVALID, "the pattern is not a valid regular expression at offset %zu: %s",
            at >= shift ? at - shift : 0, (const char *)why);
    return NULL;
}

static bool pattern_open(const Query *query, Arena *arena, Pattern *out, Err *err) {
    *out = (Pattern){0};
    if (query->is_fixed && !query->ignore_case && !query->whole_word && query->pattern.len &&
        str_find_char(query->pattern, '\n', 0) == STR_NONE) {
        out->literal = query->pattern;
        out->is_literal_all = true;
        return true;
    }
    Str text = query->is_fixed ? quote(query->pattern, arena) : query->pattern;
    out->code = compile(text, query->ignore_case, 0, err);
    if (!out->code)
        return false;
    if (!query->ignore_case)
        out->literal = query->is_fixed ? query->pattern : required_literal(query->pattern, arena);
    if (query->whole_word) {
        static const char BEFORE[] = "(?<!\\w)(?:";
        pcre2_code_free(out->code);
        out->code = compile(str_printf(arena, "%s%.*s)(?!\\w)", BEFORE, STR_ARG(text)), query->ignore_case,
                            sizeof BEFORE - 1, err);
    }
    return out->code != NULL;
}

/* ---- one file ---- */

static bool is_cancelled(const Query *query) {
    return query->cancelled && atomic_load(query->cancelled);
}

/* 1 match (bounds in the match data), 0 none, -1 too much backtracking, or cancelled. The limit of steps is
 * one for each place that a match may begin at, so that a cancel has to be heard between them. */
static int match_at(Worker *worker, const char *subject, size_t len, size_t from) {
    const pcre2_code *code = worker->search->pattern.code;
    for (;;) {
        size_t last = from + STARTS_AT_ONCE;
        pcre2_set_offset_limit(worker->context, last);
        int rc = pcre2_match(code, (PCRE2_SPTR)subject, len, from, 0, worker->match, worker->context);
        if (rc >= 0 || rc != PCRE2_ERROR_NOMATCH || last >= len)
            return rc >= 0 ? 1 : rc == PCRE2_ERROR_NOMATCH ? 0 : -1;
        if (is_cancelled(worker->search->query))
            return -1;
        from = last + 1;
        while (from < len && ((unsigned char)subject[from] & 0xC0) == 0x80)
            from++;
    }
}

typedef struct Scan {
    Worker *worker;
    Str path, text;
    FileHits *hits;
    size_t capacity;
    size_t counted, line; /* lines are counted up to here */
} Scan;

static void add_hit(Scan *scan, size_t line_begin, size_t line_end, size_t begin, size_t end) {
    while (scan->counted < line_begin) {
        scan->counted = str_find_char(scan->text, '\n', scan->counted) + 1;
        scan->line++;
    }
    size_t max_text = scan->worker->search->max_text;
    size_t kept = line_end - line_begin < max_text ? line_end - line_begin : max_text;
    Hit hit = {.path = scan->path,
               .line = scan->line + 1,
               .column = begin - line_begin,
               .length = end - begin,
               .text = str_copy(&scan->worker->arena, (Str){scan->text.ptr + line_begin, kept})};
    LIST_PUSH(&scan->worker->arena, scan->hits->items, scan->hits->count, scan->capacity, hit);
}

/* Tries one line; false when the pattern backtracks too much. */
static bool try_line(Scan *scan, size_t begin, size_t end) {
    int found = match_at(scan->worker, scan->text.ptr + begin, end - begin, 0);
    if (found > 0) {
        const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(scan->worker->match);
        size_t from = bounds[0] < bounds[1] ? bounds[0] : bounds[1]; /* \K can turn them around */
        add_hit(scan, begin, end, begin + from, begin + bounds[1]);
    }
    return found >= 0;
}

/* The next place at or after `from` that a matching line may hold, with the match's end when that is known
 * for sure. */
static int next_candidate(Scan *scan, size_t from, size_t *begin, size_t *end) {
    const Pattern *pattern = &scan->worker->search->pattern;
    if (pattern->literal.len) {
        *begin = str_find(scan->text, pattern->literal, from);
        *end = pattern->is_literal_all ? *begin + pattern->literal.len : SIZE_MAX;
        return *begin != STR_NONE;
    }
    int found = match_at(scan->worker, scan->text.ptr, scan->text.len, from);
    if (found > 0) {
        const PCRE2_SIZE *bounds = pcre2_get_ovector_pointer(scan->worker->match);
        *begin = bounds[0] < bounds[1] ? bounds[0] : bounds[1];
        *end = bounds[1];
    }
    return found;
}

static bool scan_text(Scan *scan) {
    size_t max = scan->worker->search->max_hits;
    bool is_by_line = false;
    for (size_t at = 0; at < scan->text.len && scan->hits->count <= max;) {
        size_t begin = at, end = SIZE_MAX;
        int found = is_by_line ? 1 : next_candidate(scan, at, &begin, &end);
        if (found == 0)
            break;
        if (found < 0) { /* too much backtracking over the whole text: lines are shorter */
            is_by_line = true;
            continue;
        }
        if (begin >= scan->text.len && scan->text.ptr[scan->text.len - 1] == '\n')
            break;
        const char *before = begin ? memrchr(scan->text.ptr, '\n', begin) : NULL;
        size_t line_begin = before ? (size_t)(before - scan->text.ptr) + 1 : 0;
        size_t line_end = str_find_char(scan->text, '\n', begin);
        if (line_end == STR_NONE)
            line_end = scan->text.len;
        if (is_cancelled(scan->worker->search->query))
            return err_set(&scan->worker->err, ERR_CANCELLED, "the search was cancelled");
        if (end <= line_end)
            add_hit(scan, line_begin, line_end, begin, end);
        else if (!try_line(scan, line_begin, line_end))
            return err_set(
                &scan->worker->err, ERR_LIMIT,
                "the pattern backtracks too much in %.*s; make it simpler or search for fixed text",
                STR_ARG(scan->path));
        at = line_end + 1;
    }
    return true;
}

/* The text of a file worth searching; false for what is passed over. */
static bool load(Worker *worker, Str path, Str *out) {
    int fd = open_beneath(worker->search->ws->roots[0].fd, path.ptr, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    if (fd < 0)
        return false;
    bool ok =
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 && st.st_size <= (off_t)FILE_MAX_BYTES;
    size_t size = ok ? (size_t)st.st_size : 0, have = 0;
    if (ok && size > worker->capacity) {
        free(worker->buffer);
        worker->capacity = size * 2 < 65536 ? 65536 : size * 2;
        worker->buffer = malloc(worker->capacity);
        ok = worker->buffer != NULL;
        worker->capacity = ok ? worker->capacity : 0;
    }
    while (ok && have < size) {
        ssize_t n = read(fd, worker->buffer + have, size - have);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        have += (size_t)n;
    }
    close(fd);
    *out = (Str){worker->buffer, have};
    if (str_starts(*out, S("\xEF\xBB\xBF"))) /* a byte order mark is no part of the first line */
        *out = str_from(*out, 3);
    return ok && have > 0 && !memchr(worker->buffer, 0, have);
}

/* ---- all files ---- */

static void *work(void *argument) {
    Worker *worker = argument;
    Search *search = worker->search;
    while (!atomic_load(&search->is_stopped)) {
        size_t i = atomic_fetch_add(&search->next, 1);
        /* Files are taken in order: once more than enough hits are there, no later file can hold an earlier
         * one. */
        if (i >= search->files.count || atomic_load(&search->total) > search->max_hits)
            break;
        if (is_cancelled(search->query)) {
            err_set(&worker->err, ERR_CANCELLED, "the search was cancelled");
            atomic_store(&search->is_stopped, true);
            break;
        }
        Scan scan = {.worker = worker, .path = search->files.paths[i], .hits = &search->hits[i]};
        if (!load(worker, scan.path, &scan.text))
            continue;
        if (!scan_text(&scan))
            atomic_store(&search->is_stopped, true);
        atomic_fetch_add(&search->total, scan.hits->count);
        atomic_fetch_add(&search->searched, 1);
    }
    return NULL;
}

static bool worker_init(Worker *worker, Search *search) {
    *worker = (Worker){.search = search};
    if (!search->pattern.code)
        return true;
    worker->match = pcre2_match_data_create_from_pattern(search->pattern.code, NULL);
    worker->context = pcre2_match_context_create(NULL);
    worker->stack = pcre2_jit_stack_create(32 * 1024, JIT_STACK_MAX, NULL);
    if (!worker->match || !worker->context)
        return false;
    pcre2_set_match_limit(worker->context, MATCH_LIMIT);
    if (worker->stack)
        pcre2_jit_stack_assign(worker->context, NULL, worker->stack);
    return true;
}

static void worker_finish(Worker *worker) {
    pcre2_match_data_free(worker->match);
    pcre2_match_context_free(worker->context);
    pcre2_jit_stack_free(worker->stack);
    free(worker->buffer);
    arena_free(&worker->arena);
}

/* Path order, folder by folder: a slash sorts before every other byte. */
static int by_folders(const void *a, const void *b) {
    const Str *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)x->ptr[i], d = (unsigned char)y->ptr[i];
        if (c != d)
            return c == '/' ? -1 : d == '/' ? 1 : c < d ? -1 : 1;
    }
    return (x->len > y->len) - (x->len < y->len);
}

static void gather(Search *search, Arena *arena, Hits *out) {
    size_t total = 0;
    for (size_t i = 0; i < search->files.count; i++)
        total += search->hits[i].count;
    out->is_truncated = total > search->max_hits;
    out->files_searched = atomic_load(&search->searched);
    out->items = ARENA_ARRAY(arena, Hit, total < search->max_hits ? total : search->max_hits);
    for (size_t i = 0; i < search->files.count; i++) {
        Str path = {0};
        for (size_t j = 0; j < search->hits[i].count && out->count < search->max_hits; j++) {
            Hit hit = search->hits[i].items[j];
            if (!path.ptr)
                path = str_copy(arena, hit.path);
            hit.path = path;
            hit.text = str_copy(arena, hit.text);
            out->items[out->count++] = hit;
        }
    }
}

static bool run(Search *search, Arena *arena, Hits *out, Err *err) {
    Worker workers[THREADS_MAX];
    size_t wanted = (size_t)os_cpu_count(), useful = search->files.count / FILES_PER_THREAD_MIN + 1;
    size_t count = wanted < useful ? wanted : useful, ready = 0, started = 1;
    bool ok = true;
    count = count < THREADS_MAX ? count : THREADS_MAX;
    while (ok && ready < count)
        ok =
            worker_init(&workers[ready++], search) || err_set(err, ERR_NO_MEMORY, "no memory for the search");
    if (ok) {
        while (started < count &&
               pthread_create(&workers[started].thread, NULL, work, &workers[started]) == 0)
            started++;
        work(&workers[0]);
        for (size_t i = 1; i < started; i++)
            pthread_join(workers[i].thread, NULL);
    }
    for (size_t i = 0; ok && i < started; i++) {
        ok = workers[i].err.code == ERR_NONE;
        if (!ok && err)
            *err = workers[i].err;
    }
    if (ok)
        gather(search, arena, out);
    for (size_t i = 0; i < ready; i++)
        worker_finish(&workers[i]);
    return ok;
}

bool ws_find(Workspace *ws, const Query *query, Arena *arena, Hits *out, Err *err) {
    *out = (Hits){0};
    Arena scratch = {0};
    Query with_cancel = *query;
    if (!query->cancelled)
        with_cancel.cancelled = ws->cancelled;
    Search search = {.ws = ws,
                     .query = &with_cancel,
                     .max_hits = query->max_hits ? query->max_hits : HITS_DEFAULT,
                     .max_text = query->max_text ? query->max_text : TEXT_DEFAULT};
    WalkRules rules = {.has_hidden = query->include_hidden, .has_search_rules = true, .has_nested = true};
    bool ok = pattern_open(query, &scratch, &search.pattern, err) &&
              list_walk(ws, rules, &scratch, &search.files, err);
    if (ok) {
        if (search.files.count)
            qsort(search.files.paths, search.files.count, sizeof *search.files.paths, by_folders);
        search.hits = ARENA_ARRAY(&scratch, FileHits, search.files.count);
        ok = run(&search, arena, out, err);
    }
    pcre2_code_free(search.pattern.code);
    arena_free(&scratch);
    return ok;
}
