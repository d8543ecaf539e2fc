/* The record of one transaction, as text:
 *
 *   mux-manifest 2
 *   id ID / undoes ID or - / time SECONDS / by disk|editor / bytes N / title ESCAPED
 *   file MODE_BEFORE HASH_BEFORE MODE_AFTER HASH_AFTER PATH
 *                       octal modes, "link" for a symbolic link; "0 -" for a file that does not exist
 *   cleared MODE PATH   folder that gives its name to a file, innermost first
 *   made MODE PATH      folder created on the way, outermost first; mode 0: as the umask says
 *   left PATH           folder to remove afterwards when empty, innermost first
 *   sha256 HASH         of all bytes above
 *
 * Texts and paths are percent-escaped: blanks, controls, "%" and bytes beyond ASCII. Lines come in this
 * order. Version 1, which is still read, has neither links nor "cleared", and no modes of folders.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "workspace/workspace_internal.h"

#define HEADER "mux-manifest 2"
#define HEADER_1 "mux-manifest 1"

static void print_escaped(Str s, Buf *out) {
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        if (c <= ' ' || c >= 0x7f || c == '%')
            buf_printf(out, "%%%02x", c);
        else
            buf_char(out, (char)c);
    }
}

static void print_state(Stamp stamp, unsigned mode, Buf *out) {
    char hex[65];
    if (!stamp.exists) {
        buf_cstr(out, " 0 -");
        return;
    }
    hash_hex(stamp.sha256, hex);
    if (stamp.is_link)
        buf_printf(out, " link %s", hex);
    else
        buf_printf(out, " %o %s", mode, hex);
}

static void print_paths(const char *word, const Str *paths, size_t count, Buf *out) {
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "%s ", word);
        print_escaped(paths[i], out);
        buf_char(out, '\n');
    }
}

static void print_dirs(const char *word, const TxnDir *dirs, size_t count, Buf *out) {
    for (size_t i = 0; i < count; i++) {
        buf_printf(out, "%s %o ", word, dirs[i].mode);
        print_escaped(dirs[i].path, out);
        buf_char(out, '\n');
    }
}

void manifest_print(const Manifest *m, Buf *out) {
    size_t begin = out->len;
    buf_printf(out, HEADER "\nid %.*s\nundoes %.*s\ntime %.3f\nby %s\nbytes %llu\ntitle ", STR_ARG(m->id),
               STR_ARG(m->undoes.len ? m->undoes : S("-")), m->unix_seconds,
               m->is_by_editor ? "editor" : "disk", (unsigned long long)m->old_bytes);
    print_escaped(m->title, out);
    buf_char(out, '\n');
    for (size_t i = 0; i < m->count; i++) {
        buf_cstr(out, "file");
        print_state(m->files[i].before, m->files[i].mode_before, out);
        print_state(m->files[i].after, m->files[i].mode_after, out);
        buf_char(out, ' ');
        print_escaped(m->files[i].path, out);
        buf_char(out, '\n');
    }
    print_dirs("cleared", m->cleared_dirs, m->cleared_dir_count, out);
    print_dirs("made", m->made_dirs, m->made_dir_count, out);
    print_paths("left", m->left_dirs, m->left_dir_count, out);
    char hex[65];
    hash_hex(stamp_of(str_from(buf_text(out), begin)).sha256, hex);
    buf_printf(out, "sha256 %s\n", hex);
}

static bool parse_escaped(Str s, Arena *arena, Str *out) {
    char *p = arena_alloc(arena, s.len + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f)
            return false;
        if (s.ptr[i] != '%') {
            p[n++] = s.ptr[i];
            continue;
        }
        char hex[3] = {0}, *end;
        if (i + 2 >= s.len)
            return false;
        memcpy(hex, s.ptr + i + 1, 2);
        unsigned long value = strtoul(hex, &end, 16);
        if (end != hex + 2 || value == 0)
            return false;
        p[n++] = (char)value;
        i += 2;
    }
    *out = (Str){p, n};
    return true;
}

static bool parse_path(Str s, Arena *arena, Str *out) {
    if (!parse_escaped(s, arena, out))
        return false;
    Str below = str_starts(*out, S("/")) ? str_from(*out, 1) : *out;
    return path_is_plain(below) && !path_is_protected(below);
}

static bool next_word(Str *rest, Str *word) {
    size_t end = str_find_char(*rest, ' ', 0);
    if (end == STR_NONE)
        end = rest->len;
    *word = str_slice(*rest, 0, end);
    *rest = str_from(*rest, end + 1);
    return word->len > 0;
}

static bool parse_mode(Str word, unsigned *mode) {
    char digits[8] = {0};
    if (!word.len || word.len > 4)
        return false;
    memcpy(digits, word.ptr, word.len);
    *mode = (unsigned)strtoul(digits, NULL, 8);
    return strspn(digits, "01234567") == word.len;
}

static bool parse_state(Str *rest, Stamp *stamp, unsigned *mode) {
    Str mode_word, hash_word;
    if (!next_word(rest, &mode_word) || !next_word(rest, &hash_word))
        return false;
    *stamp = (Stamp){.exists = !str_eq(hash_word, S("-")), .is_link = str_eq(mode_word, S("link"))};
    *mode = 0;
    if (stamp->is_link ? !stamp->exists : !parse_mode(mode_word, mode))
        return false;
    return !stamp->exists || hash_parse(hash_word, stamp->sha256);
}

static bool parse_dir(Str line, bool has_mode, Arena *arena, TxnDir *out) {
    Str mode;
    *out = (TxnDir){0};
    return (!has_mode || (next_word(&line, &mode) && parse_mode(mode, &out->mode))) &&
           parse_path(line, arena, &out->path);
}

static bool parse_file(Str line, Arena *arena, TxnFile *out) {
    return parse_state(&line, &out->before, &out->mode_before) &&
           parse_state(&line, &out->after, &out->mode_after) && (out->before.exists || out->after.exists) &&
           parse_path(line, arena, &out->path);
}

/* "word rest" -> rest. */
static bool take_field(Str *text, const char *word, Str *value) {
    Str line, key = str_of(word);
    if (!str_next_line(text, &line) || !str_starts(line, key) || line.len <= key.len ||
        line.ptr[key.len] != ' ')
        return false;
    *value = str_from(line, key.len + 1);
    return true;
}

static bool parse_number(Str s, double *out) {
    char digits[40] = {0};
    if (!s.len || s.len >= sizeof digits)
        return false;
    memcpy(digits, s.ptr, s.len);
    if (strspn(digits, "0123456789.") != s.len)
        return false;
    *out = strtod(digits, NULL);
    return true;
}

/* Ids name folders and are printed as they are. */
static bool is_id(Str s) {
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || s.ptr[i] == '/')
            return false;
    return s.len > 0 && s.len < 32;
}

static bool parse_head(Str *text, Arena *arena, Manifest *m, bool *is_version_1) {
    Str line, undoes, time, by, bytes, title;
    double old_bytes;
    if (!str_next_line(text, &line))
        return false;
    *is_version_1 = str_eq(line, S(HEADER_1));
    if ((!*is_version_1 && !str_eq(line, S(HEADER))) || !take_field(text, "id", &m->id) ||
        !take_field(text, "undoes", &undoes) || !take_field(text, "time", &time) ||
        !take_field(text, "by", &by) || !take_field(text, "bytes", &bytes) ||
        !take_field(text, "title", &title))
        return false;
    if (!parse_number(time, &m->unix_seconds) || !parse_number(bytes, &old_bytes) || !is_id(m->id) ||
        !is_id(undoes) || !parse_escaped(title, arena, &m->title))
        return false;
    m->id = str_copy(arena, m->id);
    m->undoes = str_eq(undoes, S("-")) ? S("") : str_copy(arena, undoes);
    m->old_bytes = old_bytes < 1e18 ? (uint64_t)old_bytes : 0;
    m->is_by_editor = str_eq(by, S("editor"));
    return true;
}

static bool parse_lines(Str text, bool is_version_1, Arena *arena, Manifest *m) {
    size_t files = 0, cleared = 0, made = 0, left = 0;
    for (Str line; str_next_line(&text, &line);) {
        TxnFile file = {0};
        TxnDir dir;
        Str path;
        if (str_starts(line, S("file "))) {
            if (!parse_file(str_from(line, 5), arena, &file))
                return false;
            LIST_PUSH(arena, m->files, m->count, files, file);
        } else if (str_starts(line, S("cleared "))) {
            if (!parse_dir(str_from(line, 8), true, arena, &dir))
                return false;
            LIST_PUSH(arena, m->cleared_dirs, m->cleared_dir_count, cleared, dir);
        } else if (str_starts(line, S("made "))) {
            if (!parse_dir(str_from(line, 5), !is_version_1, arena, &dir))
                return false;
            LIST_PUSH(arena, m->made_dirs, m->made_dir_count, made, dir);
        } else if (str_starts(line, S("left "))) {
            if (!parse_path(str_from(line, 5), arena, &path))
                return false;
            LIST_PUSH(arena, m->left_dirs, m->left_dir_count, left, path);
        } else {
            return false;
        }
    }
    return m->count > 0;
}

bool manifest_parse(Str bytes, Arena *arena, Manifest *out, Err *err) {
    *out = (Manifest){0};
    const size_t tail = sizeof "sha256 \n" - 1 + 64;
    unsigned char sum[32];
    if (bytes.len <= tail)
        return err_set(err, ERR_INVALID, "the record of a change is cut short");
    Str body = str_slice(bytes, 0, bytes.len - tail), last = str_from(bytes, bytes.len - tail);
    if (!str_ends(body, S("\n")) || !str_starts(last, S("sha256 ")) || !str_ends(last, S("\n")) ||
        !hash_parse(str_slice(last, 7, 71), sum) || memcmp(stamp_of(body).sha256, sum, sizeof sum) != 0)
        return err_set(err, ERR_INVALID, "the record of a change is damaged: its checksum is wrong");
    Str text = body;
    bool is_version_1;
    if (!parse_head(&text, arena, out, &is_version_1) || !parse_lines(text, is_version_1, arena, out)) {
        bool is_newer = str_starts(body, S("mux-manifest ")) && !str_starts(body, S(HEADER "\n")) &&
                        !str_starts(body, S(HEADER_1 "\n"));
        return err_set(err, is_newer ? ERR_UNSUPPORTED : ERR_INVALID,
                       is_newer ? "the record of a change is of a newer mux; use that one"
                                : "the record of a change is not one that mux writes");
    }
    manifest_mark(out, arena);
    return true;
}

/* ---- what lies in the way of what ---- */

static int by_path(const void *a, const void *b) {
    return str_cmp(*(const Str *)a, *(const Str *)b);
}

static bool has_path(const Str *sorted, size_t count, Str path) {
    return count && bsearch(&path, sorted, count, sizeof *sorted, by_path) != NULL;
}

/* path itself, or a folder above it, is one of them. */
static bool is_below_one(const Str *sorted, size_t count, Str path) {
    for (Str at = path; count && at.len; at = path_parent(at))
        if (has_path(sorted, count, at))
            return true;
    return false;
}

static Str *sorted_paths(const TxnDir *dirs, size_t count, Arena *arena) {
    Str *sorted = ARENA_ARRAY(arena, Str, count + 1);
    for (size_t i = 0; i < count; i++)
        sorted[i] = dirs[i].path;
    qsort(sorted, count, sizeof *sorted, by_path);
    return sorted;
}

void manifest_mark(Manifest *m, Arena *arena) {
    Str *made = sorted_paths(m->made_dirs, m->made_dir_count, arena);
    Str *cleared = sorted_paths(m->cleared_dirs, m->cleared_dir_count, arena);
    for (size_t i = 0; i < m->count; i++) {
        TxnFile *file = &m->files[i];
        bool is_made = has_path(made, m->made_dir_count, file->path);
        file->shares_name = is_made || has_path(cleared, m->cleared_dir_count, file->path);
        file->goes_first =
            !file->after.exists && (is_made || is_below_one(cleared, m->cleared_dir_count, file->path));
    }
}
