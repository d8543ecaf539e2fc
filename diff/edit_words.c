/* What models put around their edits: marker lines, fences, and the many ways to name a file. */
#include "diff/edit_parse_internal.h"

enum { LEAST_SIGNS = 5, MOST_SIGNS = 9, LONGEST_PATH = 512, MOST_DIGITS = 7 };

/* ---- lines ---- */

bool marker_read(Str line, char sign, Marker *out) {
    size_t indent = 0;
    while (indent < line.len && (line.ptr[indent] == ' ' || line.ptr[indent] == '\t'))
        indent++;
    size_t end = indent;
    while (end < line.len && line.ptr[end] == sign)
        end++;
    *out = (Marker){indent, end - indent, str_trim(str_from(line, end))};
    return out->signs >= LEAST_SIGNS && out->signs <= MOST_SIGNS;
}

bool fence_read(Str line, Str *info) {
    Str s = str_trim(line);
    size_t n = 0;
    while (n < s.len && s.ptr[n] == (s.ptr[0] == '~' ? '~' : '`'))
        n++;
    *info = str_trim(str_from(s, n));
    return n >= 3 && str_find_char(*info, '`', 0) == STR_NONE;
}

bool number_read(Str s, size_t *at, size_t *out) {
    size_t begin = *at, value = 0;
    while (*at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9' && *at - begin < MOST_DIGITS)
        value = value * 10 + (size_t)(s.ptr[(*at)++] - '0');
    *out = value;
    return *at > begin;
}

/* ---- paths ---- */

static bool is_path_sign(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (unsigned char)c >= 0x80 ||
           (c && c != '`' && c != '"' && c != '<' && c != '>' && c != '|' && c != '*' && c != '?' &&
            (unsigned char)c > ' ' && c != 0x7f);
}

/* A slash inside, or a dot with something after it. */
bool looks_like_path(Str s) {
    if (s.len == 0 || s.len > LONGEST_PATH)
        return false;
    bool has_mark = false;
    for (size_t i = 0; i < s.len; i++) {
        if (!is_path_sign(s.ptr[i]) && s.ptr[i] != ' ')
            return false;
        has_mark = has_mark || ((s.ptr[i] == '/' || s.ptr[i] == '.') && i + 1 < s.len && s.ptr[i + 1] != ' ');
    }
    return has_mark;
}

Str strip_ends(Str s, const char *front, const char *back) {
    while (s.len && str_find_char(str_of(front), s.ptr[0], 0) != STR_NONE)
        s = str_from(s, 1);
    while (s.len && str_find_char(str_of(back), s.ptr[s.len - 1], 0) != STR_NONE)
        s.len--;
    return s;
}

static Str after_word(Str s) {
    static const char *const WORDS[] = {"file:", "path:", "filename:", "filepath:", "file path:"};
    for (size_t i = 0; i < sizeof WORDS / sizeof *WORDS; i++) {
        Str word = str_of(WORDS[i]);
        if (str_eq_nocase(str_slice(s, 0, word.len), word))
            return str_trim(str_from(s, word.len));
    }
    return s;
}

static bool is_one_of(Str s, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (str_eq_nocase(s, str_of(names[i])))
            return true;
    return false;
}

/* "a.py (new file)": a remark behind a path that says nothing about which part of it is meant. */
static Str without_remark(Str s) {
    static const char *const WORDS[] = {"new",      "new file",      "updated", "updated file", "modified",
                                        "complete", "complete file", "full",    "full file",    "whole file",
                                        "created",  "changed",       "final"};
    size_t open = str_rfind_char(s, '(');
    if (open == STR_NONE || open == 0 || !str_ends(s, S(")")))
        return s;
    Str remark = str_slice(s, open + 1, s.len - 1);
    return is_one_of(remark, WORDS, sizeof WORDS / sizeof *WORDS) ? str_trim(str_slice(s, 0, open)) : s;
}

static size_t line_suffix(Str s) {
    size_t end = s.len;
    while (end && ((s.ptr[end - 1] >= '0' && s.ptr[end - 1] <= '9') || s.ptr[end - 1] == '-'))
        end--;
    return end && end < s.len && s.ptr[end - 1] == ':' ? end - 1 : s.len;
}

Str path_without_lines(Str path) {
    return str_slice(path, 0, line_suffix(path));
}

/* The only word of a sentence that looks like a path; a name in back quotes wins. */
static Str path_in_sentence(Str s) {
    Str found = S("");
    size_t open = str_find_char(s, '`', 0),
           close = open == STR_NONE ? STR_NONE : str_find_char(s, '`', open + 1);
    if (close != STR_NONE && looks_like_path(str_slice(s, open + 1, close)))
        return str_slice(s, open + 1, close);
    size_t count = 0;
    for (size_t i = 0; i < s.len;) {
        size_t end = str_find_char(s, ' ', i);
        end = end == STR_NONE ? s.len : end;
        Str word = strip_ends(str_slice(s, i, end), "(`*\"'", "),:;.`*\"'");
        if (looks_like_path(word)) {
            found = word;
            count++;
        }
        i = end + 1;
    }
    return count == 1 ? found : count ? s : S("");
}

/* The path that a line above a block gives; empty for none. *is_alone: the line says nothing else. */
Str path_in_line(Str line, bool *is_alone) {
    Str s = str_trim(line);
    bool is_comment = str_starts(s, S("//")) || str_starts(s, S("<!--"));
    s = is_comment ? str_trim(strip_ends(s, "/<!-", "->")) : s;
    s = str_trim(strip_ends(s, "#*-> \t", " \t*"));
    s = str_trim(strip_ends(after_word(s), "*` \t\"'", "*` \t\"'"));
    if (str_ends(s, S(":")))
        s = strip_ends(s, "", ":*`");
    s = strip_ends(without_remark(s), "", "*`: ");
    *is_alone = str_find_char(s, ' ', 0) == STR_NONE;
    if (*is_alone) {
        bool is_bare_name = !looks_like_path(s) && s.len && s.len < 64 && str_eq(s, str_trim(line));
        for (size_t i = 0; is_bare_name && i < s.len; i++)
            is_bare_name = is_path_sign(s.ptr[i]) && s.ptr[i] != '.' && s.ptr[i] != '!' && s.ptr[i] != ',';
        return is_bare_name || looks_like_path(s) ? s : S("");
    }
    return looks_like_path(path_in_sentence(s)) ? path_in_sentence(s) : S("");
}

/* "python src/a.py", "python:src/a.py" or "src/a.py" after the fence. */
Str path_in_fence(Str info) {
    size_t blank = str_rfind_char(info, ' ');
    Str word = blank == STR_NONE ? info : str_from(info, blank + 1);
    size_t colon = str_find_char(word, ':', 0);
    if (colon != STR_NONE)
        word = str_from(word, colon + 1);
    size_t equals = str_find_char(word, '=', 0);
    if (equals != STR_NONE)
        word = strip_ends(str_from(word, equals + 1), "\"'", "\"'");
    return looks_like_path(word) ? word : S("");
}

static Str last_part(Str path) {
    size_t slash = str_rfind_char(path, '/');
    return slash == STR_NONE ? path : str_from(path, slash + 1);
}

bool edit_names_file(Str path) {
    static const char *const NAMES[] = {"Makefile", "GNUmakefile", "Dockerfile", "Gemfile",     "Rakefile",
                                        "Justfile", "Procfile",    "LICENSE",    "COPYING",     "README",
                                        "BUILD",    "WORKSPACE",   "CHANGELOG",  "Vagrantfile", "Jenkinsfile",
                                        "NEWS",     "AUTHORS",     "TODO",       "CODEOWNERS"};
    static const char *const ENDS[] = {
        "adoc",  "asm",   "awk",  "bash",   "bat",   "bzl",   "c",   "cc",  "cfg",   "cjs",    "clj",
        "cmake", "conf",  "cpp",  "cs",     "css",   "csv",   "cu",  "cxx", "dart",  "diff",   "el",
        "elm",   "env",   "erl",  "ex",     "exs",   "fish",  "fs",  "go",  "gql",   "gradle", "h",
        "hbs",   "hh",    "hpp",  "hs",     "htm",   "html",  "hxx", "in",  "inc",   "ini",    "ipynb",
        "java",  "jinja", "jl",   "js",     "json",  "jsx",   "kt",  "kts", "less",  "lock",   "lua",
        "m",     "md",    "mdx",  "mjs",    "mk",    "ml",    "mm",  "mod", "nix",   "php",    "pl",
        "plist", "pm",    "po",   "proto",  "ps1",   "py",    "pyi", "pyx", "r",     "rb",     "rs",
        "rst",   "s",     "sass", "sbt",    "scala", "scss",  "sh",  "sql", "sum",   "svg",    "swift",
        "tcl",   "tex",   "tf",   "toml",   "tpl",   "ts",    "tsv", "tsx", "txt",   "vim",    "vue",
        "wat",   "xml",   "yaml", "svelte", "yml",   "zig",   "zsh", "cmd", "tmpl",  "ld",     "kdl",
        "ron",   "j2",    "erb",  "mts",    "cts",   "astro", "sol", "d",   "patch", "service"};
    Str name = last_part(path);
    size_t dot = str_rfind_char(name, '.');
    if (str_contains(path, S("://")) || name.len == 0)
        return false;
    if (dot == STR_NONE)
        return is_one_of(name, NAMES, sizeof NAMES / sizeof *NAMES);
    return (dot == 0 && name.len > 1) || is_one_of(str_from(name, dot + 1), ENDS, sizeof ENDS / sizeof *ENDS);
}

bool is_file_name(Str s) {
    if (edit_names_file(s))
        return looks_like_path(s) || str_find_char(s, '.', 0) == STR_NONE;
    for (size_t i = 0; i < s.len; i++)
        if (str_find_char(S("(){}[]=,;!&'$#"), s.ptr[i], 0) != STR_NONE)
            return false;
    return looks_like_path(s) && !str_contains(s, S("://")) && line_suffix(s) == s.len;
}

bool is_markdown(Str path) {
    static const char *const ENDS[] = {"md", "markdown", "mdx", "mkd", "qmd", "rmd", "rst", "adoc", "txt"};
    size_t dot = str_rfind_char(path, '.');
    Str name = last_part(path);
    if (dot == STR_NONE)
        return str_eq_nocase(name, S("README")) || str_eq_nocase(name, S("CHANGELOG"));
    return is_one_of(str_from(path, dot + 1), ENDS, sizeof ENDS / sizeof *ENDS);
}
