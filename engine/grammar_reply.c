/* One byte of a reply in search/replace blocks. Every state reached can go on to a proper end. */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "engine/grammar_blocks_internal.h"

static const char OPEN_LINE[] = "<<<<<<< SEARCH\n";
static const char CLOSE_LINE[] = ">>>>>>> REPLACE\n";

enum {
    CLOSE_LENGTH = sizeof CLOSE_LINE - 1,
    OPEN_LENGTH = sizeof OPEN_LINE - 1,
    RUN = VOCABULARY_MARKER_LENGTH,
    FENCE = 3,            /* backticks that open a code fence */
    NEW_PATH_MOST = 128,  /* then the name must end... */
    NEW_PATH_LIMIT = 250, /* ...and here at the latest */
    BARE_PATH_MOST = 64,
    KNOWN_PATH_MOST = 512,
    BLOCKS_DEFAULT = 64,
    REPLACE_DEFAULT = 64 << 10,
    SEARCH_DEFAULT = 16 << 10,
    LENGTH_MOST = 1 << 29,
};

/* ---- UTF-8 (RFC 3629, table 3-7 of Unicode) ---- */

typedef enum Utf8State {
    UTF8_WHOLE,
    UTF8_ONE,
    UTF8_TWO,
    UTF8_THREE,
    UTF8_E0,
    UTF8_ED,
    UTF8_F0,
    UTF8_F4
} Utf8State;

static bool utf8_step(uint8_t *state, uint8_t b) {
    static const struct {
        uint8_t low, high, next;
    } STEPS[] = {
        [UTF8_ONE] = {0x80, 0xbf, UTF8_WHOLE}, [UTF8_TWO] = {0x80, 0xbf, UTF8_ONE},
        [UTF8_THREE] = {0x80, 0xbf, UTF8_TWO}, [UTF8_E0] = {0xa0, 0xbf, UTF8_ONE},
        [UTF8_ED] = {0x80, 0x9f, UTF8_ONE},    [UTF8_F0] = {0x90, 0xbf, UTF8_TWO},
        [UTF8_F4] = {0x80, 0x8f, UTF8_TWO},
    };
    if (*state != UTF8_WHOLE) {
        if (b < STEPS[*state].low || b > STEPS[*state].high)
            return false;
        *state = STEPS[*state].next;
        return true;
    }
    if (b < 0x80)
        return true;
    if (b < 0xc2 || b > 0xf4)
        return false;
    *state = b < 0xe0    ? UTF8_ONE
             : b == 0xe0 ? UTF8_E0
             : b == 0xed ? UTF8_ED
             : b < 0xf0  ? UTF8_TWO
             : b == 0xf0 ? UTF8_F0
             : b < 0xf4  ? UTF8_THREE
                         : UTF8_F4;
    return true;
}

static bool is_text_byte(uint8_t b) {
    return b >= 0x20 ? b != 0x7f : b == '\t' || b == '\n';
}

/* ---- sets of path hashes ---- */

static size_t hash_place(const HashSet *set, uint64_t hash) {
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (set->items[middle] < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool hash_has(const HashSet *set, uint64_t hash) {
    size_t at = hash_place(set, hash);
    return at < set->count && set->items[at] == hash;
}

static void hash_add(HashSet *set, uint64_t hash, Arena *arena) {
    size_t at = hash_place(set, hash);
    if (at < set->count && set->items[at] == hash)
        return;
    LIST_PUSH(arena, set->items, set->count, set->capacity, hash);
    memmove(set->items + at + 1, set->items + at, (set->count - 1 - at) * sizeof *set->items);
    set->items[at] = hash;
}

static uint64_t hash_byte(uint64_t hash, uint8_t b) {
    return str_hash_more(hash, (Str){(const char *)&b, 1});
}

/* A taken path: neither it nor a folder on the way to it may become a new file. */
static void take_path(ReplyRules *rules, Str path) {
    uint64_t hash = STR_HASH_START;
    for (size_t i = 0; i < path.len; i++) {
        if (path.ptr[i] == '/')
            hash_add(&rules->folder_paths, hash, &rules->arena);
        hash = hash_byte(hash, (uint8_t)path.ptr[i]);
    }
    hash_add(&rules->file_paths, hash, &rules->arena);
}

/* ---- the path line ---- */

#define COMPONENT_HASH_START 2166136261u /* FNV-1a, 32 bit */

typedef enum Component { COMPONENT_START, COMPONENT_DOT, COMPONENT_DOTS, COMPONENT_NAME } Component;

static uint32_t component_hash(uint32_t hash, uint8_t b) {
    return (hash ^ (b >= 'A' && b <= 'Z' ? b + 32u : b)) * 16777619u;
}

/* How much of ".git" the component is: 0 = something else, 1 = nothing yet ... 5 = all of it. */
static unsigned git_progress(uint32_t hash) {
    static const char GIT[] = ".git";
    uint32_t git = COMPONENT_HASH_START;
    for (unsigned i = 0; i < sizeof GIT; i++) {
        if (git == hash)
            return i + 1;
        git = component_hash(git, (uint8_t)GIT[i]);
    }
    return 0;
}

/* Version control data is not for models. */
static bool component_may_end(const ReplyState *s) {
    return s->component == COMPONENT_NAME && git_progress(s->component_hash) != sizeof ".git";
}

uint8_t reply_component(const ReplyState *s) {
    return (uint8_t)(s->has_mark << 6 | s->ends_dot << 5 | s->component << 3 |
                     git_progress(s->component_hash));
}

/* A bare word is a path only when it is short: readers take longer ones for prose. */
static bool new_path_may_end(const ReplyRules *rules, const ReplyState *s) {
    return s->is_new && component_may_end(s) && !s->ends_dot && (s->has_mark || s->length < BARE_PATH_MOST) &&
           !hash_has(&rules->file_paths, s->path_hash) && !hash_has(&rules->folder_paths, s->path_hash);
}

static bool is_name_byte(uint8_t b) {
    return (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z') || (b >= '0' && b <= '9') || b == '_';
}

/* Too long: what leads to an end soonest. */
static bool new_path_may_follow_limit(const ReplyRules *rules, const ReplyState *s, uint8_t b) {
    return s->has_mark ? is_name_byte(b) && !new_path_may_end(rules, s) : b == '.';
}

static bool new_path_step(const ReplyRules *rules, ReplyState *s, uint8_t b) {
    if (s->length >= NEW_PATH_LIMIT || (s->limited && !new_path_may_follow_limit(rules, s, b)))
        return false;
    if (b == '/') {
        if (!component_may_end(s) || hash_has(&rules->file_paths, s->path_hash))
            return false;
        s->component = COMPONENT_START;
        s->component_hash = COMPONENT_HASH_START;
    } else if (b == '.') {
        s->component = s->component == COMPONENT_START ? COMPONENT_DOT
                       : s->component == COMPONENT_DOT ? COMPONENT_DOTS
                                                       : COMPONENT_NAME;
    } else if (is_name_byte(b) || b == '+' || b == '@' || (b == '-' && s->length > 0)) {
        s->component = COMPONENT_NAME;
    } else {
        return false;
    }
    s->has_mark = s->has_mark || b == '/' || b == '.';
    s->ends_dot = b == '.';
    if (b != '/')
        s->component_hash = component_hash(s->component_hash, b);
    s->path_hash = hash_byte(s->path_hash, b);
    return true;
}

static int path_byte(const ReplyRules *rules, uint32_t i, uint32_t length) {
    Str path = rules->files[i].path;
    return length < path.len ? (uint8_t)path.ptr[length] : -1;
}

/* First of the files [i, last), which share `length` bytes, whose next byte is at least `byte`. */
static uint32_t path_bound(const ReplyRules *rules, uint32_t i, uint32_t last, uint32_t length, int byte) {
    while (i < last) {
        uint32_t middle = i + (last - i) / 2;
        if (path_byte(rules, middle, length) < byte)
            i = middle + 1;
        else
            last = middle;
    }
    return i;
}

static void known_step(const ReplyRules *rules, ReplyState *s, uint8_t b) {
    s->known_first = path_bound(rules, s->known_first, s->known_last, s->length, b);
    s->known_last = path_bound(rules, s->known_first, s->known_last, s->length, b + 1);
}

static bool known_is_alive(const ReplyRules *rules, const ReplyState *s) {
    return s->known_first < s->known_last && rules->next_offered[s->known_first] < s->known_last;
}

static int32_t known_file(const ReplyRules *rules, const ReplyState *s) {
    if (s->known_first < s->known_last && rules->files[s->known_first].path.len == s->length &&
        rules->files[s->known_first].is_offered)
        return (int32_t)s->known_first;
    return FILE_NONE;
}

static void start_line(const ReplyRules *rules, ReplyState *s) {
    s->line_start = true;
    s->run = s->ticks = 0;
    s->in_margin = s->has_mark = s->ends_dot = false;
    s->known_first = 0;
    s->known_last = rules->file_count;
    s->length = 0;
    s->is_new = rules->allow_new_files;
    s->component = COMPONENT_START;
    s->component_hash = COMPONENT_HASH_START;
    s->path_hash = STR_HASH_START;
}

static void path_step(const ReplyRules *rules, ReplyState *s, uint8_t b) {
    s->is_new = s->is_new && new_path_step(rules, s, b);
    known_step(rules, s, b);
    s->length++;
}

static int32_t file_of_line(const ReplyRules *rules, const ReplyState *s) {
    int32_t file = known_file(rules, s);
    return file == FILE_NONE && new_path_may_end(rules, s) ? FILE_NEW : file;
}

/* ---- markers ---- */

/* Follows the signs a line begins with; false for a "=======" line, which only SEARCH may end with. */
static bool run_step(ReplyState *s, uint8_t b) {
    bool margin = s->line_start || s->in_margin;
    bool starts = margin && (b == '<' || b == '>' || (b == '=' && !s->in_margin));
    if (starts) {
        s->run = 1;
        s->run_byte = b;
        s->indented = s->in_margin;
    } else if (s->run == RUN) {
        s->run = 0;
        return b != '\n' && b != ' ' && b != '\t';
    } else {
        s->run = s->run && b == s->run_byte ? s->run + 1 : 0;
    }
    s->in_margin = margin && (b == ' ' || b == '\t');
    return true;
}

/* So many signs that the line must become a marker. */
static bool is_marker(const ReplyState *s, char sign) {
    return s->run == VOCABULARY_LEAST_SIGNS && s->run_byte == sign;
}

static bool open_block(ReplyState *s) {
    s->part = PART_OPEN;
    s->at = s->run;
    s->run = 0;
    s->limited = false;
    return !s->is_done;
}

/* ---- the parts ---- */

static bool prose_step(const ReplyRules *rules, ReplyState *s, uint8_t b) {
    if (!is_text_byte(b) || !utf8_step(&s->utf8, b))
        return false;
    if (!run_step(s, b) || is_marker(s, '>'))
        return false;
    if (is_marker(s, '<')) {
        bool named = s->file == FILE_NEW || (s->file >= 0 && rules->files[s->file].is_offered);
        return named && !s->indented && s->blocks < rules->max_blocks && open_block(s);
    }
    if (b != '\n') {
        s->line_start = false;
        if (b == '`' && s->ticks == s->length && s->ticks < FENCE)
            s->ticks++;
        else if (s->ticks == FENCE && !is_name_byte(b) && b != '+' && b != '#')
            s->ticks = FENCE + 1; /* more than a language: might be read as a path */
        path_step(rules, s, b);
        return true;
    }
    int32_t named = file_of_line(rules, s);
    s->is_fenced = named == FILE_NONE && s->ticks == FENCE && s->file != FILE_NONE && !s->is_fenced;
    if (!s->is_fenced)
        s->file = named;
    start_line(rules, s);
    return true;
}

static bool path_line_step(const ReplyRules *rules, ReplyState *s, uint8_t b) {
    if (s->is_done || (s->length == 0 && s->blocks >= rules->max_blocks))
        return false;
    s->line_start = false;
    if (b == '\n') {
        s->file = file_of_line(rules, s);
        return s->file != FILE_NONE && open_block(s);
    }
    path_step(rules, s, b);
    return s->is_new || known_is_alive(rules, s);
}

static void start_search(const ReplyRules *rules, ReplyState *s) {
    s->part = PART_SEARCH;
    s->line_start = true;
    s->run = 0;
    s->search_line = s->search_bytes = 0;
    s->escaped = false;
    s->search = (SuffixState){0};
    s->has_text = s->file >= 0 && !rules->files[s->file].is_empty;
    s->may_close = !s->has_text;
    if (s->has_text)
        s->search = suffix_start(&rules->files[s->file].automaton);
}

static void start_replace(ReplyState *s) {
    s->part = PART_REPLACE;
    s->line_start = true;
    s->run = 0;
    s->utf8 = UTF8_WHOLE;
    s->length = 0;
    s->is_equal = true;
    s->may_close = s->search_bytes > 0;
}

static bool search_step(const ReplyRules *rules, ReplyState *s, uint8_t b) {
    const EditFile *file = s->file >= 0 ? &rules->files[s->file] : NULL;
    if (s->run == RUN && b == '\n') {
        start_replace(s);
        return true;
    }
    bool closing = b == '=' && s->run < RUN && ((s->line_start && s->may_close) || s->run > 0);
    s->run = closing ? s->run + 1 : 0;
    s->has_text = s->has_text && edit_file_step(file, &s->search, b);
    s->line_start = s->has_text && b == '\n';
    if (s->line_start) {
        /* Kept aside: a line that begins with "=" may be text and the closing marker for a while. */
        s->search_line = file->automaton.order[s->search.first];
        s->search_bytes = s->search.length;
        s->escaped = s->search.last - s->search.first != 1;
        s->may_close = edit_file_may_close(file, s->search);
        s->has_text = edit_file_may_go_on(file, s->search);
        return true;
    }
    return s->has_text || closing;
}

/* Past the length limit: what leads to the closing marker. */
static bool may_follow_limit(const ReplyState *s, uint8_t b) {
    if (s->utf8 != UTF8_WHOLE)
        return true; /* utf8_step judges */
    if (s->line_start)
        return b == '>';
    if (s->run == RUN)
        return b == '=';
    if (s->run > 0 && s->run_byte == '>' && !s->indented && s->may_close)
        return b == '>'; /* else a model may begin the marker on line after line and never end it */
    return b == '\n' || (s->run > 0 && s->run_byte == '>' && b == '>');
}

static bool replace_step(const ReplyRules *rules, ReplyState *s, uint8_t b) {
    if (!is_text_byte(b) || (s->limited && !may_follow_limit(s, b)) || !utf8_step(&s->utf8, b))
        return false;
    if (!run_step(s, b) || is_marker(s, '<'))
        return false;
    if (is_marker(s, '>')) {
        s->part = PART_CLOSE;
        s->at = s->run;
        s->run = 0;
        s->limited = false;
        return s->may_close && !s->indented;
    }
    if (s->is_equal) {
        size_t at = s->length;
        const SuffixAutomaton *a = s->file >= 0 ? &rules->files[s->file].automaton : NULL;
        s->is_equal = at < s->search_bytes && (uint8_t)a->text.ptr[a->begins[s->search_line] + at] == b;
    }
    if (s->length < LENGTH_MOST)
        s->length++;
    s->line_start = b == '\n';
    if (s->line_start)
        s->may_close = !(s->is_equal && s->length == s->search_bytes);
    return true;
}

static bool close_step(const ReplyRules *rules, ReplyState *s, uint8_t b) {
    if (b != (uint8_t)CLOSE_LINE[s->at])
        return false;
    s->at++;
    if (s->at == CLOSE_LENGTH - 1) {
        s->is_done = true;
        s->done_file = s->file;
        s->blocks++;
    }
    if (s->at == CLOSE_LENGTH) {
        s->part = rules->edits_only ? PART_PATH : PART_PROSE;
        s->file = FILE_NONE;
        s->is_fenced = false;
        start_line(rules, s);
    }
    return true;
}

bool reply_step(const ReplyRules *rules, ReplyState *s, uint8_t b) {
    switch ((ReplyPart)s->part) {
    case PART_PROSE: return prose_step(rules, s, b);
    case PART_PATH: return path_line_step(rules, s, b);
    case PART_OPEN:
        if (b != (uint8_t)OPEN_LINE[s->at])
            return false;
        if (++s->at == OPEN_LENGTH)
            start_search(rules, s);
        return true;
    case PART_SEARCH: return search_step(rules, s, b);
    case PART_REPLACE: return replace_step(rules, s, b);
    case PART_CLOSE: return close_step(rules, s, b);
    }
    return false;
}

bool reply_may_end(const ReplyRules *rules, const ReplyState *s) {
    if (s->part == PART_PROSE)
        return s->utf8 == UTF8_WHOLE && !rules->edits_only;
    if (s->part == PART_PATH)
        return s->length == 0 && s->blocks > 0;
    return s->part == PART_CLOSE && s->at == CLOSE_LENGTH - 1;
}

static void add_byte(uint64_t *set, int byte) {
    if (byte >= 0)
        set[byte >> 6] |= UINT64_C(1) << (byte & 63);
}

static void search_bytes(const ReplyRules *rules, const ReplyState *s, uint64_t *set) {
    if (s->has_text)
        edit_file_bytes(&rules->files[s->file], s->search, set);
    if (s->run == RUN)
        add_byte(set, '\n');
    else if (s->run > 0 || (s->line_start && s->may_close))
        add_byte(set, '=');
}

bool reply_bytes(const ReplyRules *rules, const ReplyState *s, uint64_t *set) {
    memset(set, 0, 4 * sizeof *set);
    if (s->part == PART_SEARCH) {
        search_bytes(rules, s, set);
    } else if (s->part == PART_OPEN) {
        add_byte(set, OPEN_LINE[s->at]);
    } else if (s->part == PART_CLOSE) {
        add_byte(set, CLOSE_LINE[s->at]);
    } else if (s->part == PART_PATH && !s->is_new) {
        for (uint32_t i = rules->next_offered[s->known_first]; i < s->known_last;) {
            int byte = path_byte(rules, i, s->length);
            add_byte(set, byte < 0 ? '\n' : byte);
            i = rules->next_offered[path_bound(rules, i, s->known_last, s->length, byte + 1)];
        }
    } else {
        memset(set, 0xff, 4 * sizeof *set);
        return false;
    }
    return true;
}

/* ---- opening and settling ---- */

static void find_offered(ReplyRules *rules) {
    uint32_t n = rules->file_count;
    rules->next_offered[n] = n;
    for (uint32_t i = n; i-- > 0;)
        rules->next_offered[i] = rules->files[i].is_offered ? i : rules->next_offered[i + 1];
}

bool reply_settle(ReplyRules *rules, ReplyState *s, Str new_path) {
    if (s->part == PART_REPLACE && s->length >= rules->max_replace && !s->is_equal)
        s->limited = true;
    if (s->part == PART_PATH && s->is_new && s->length >= NEW_PATH_MOST)
        s->limited = true;
    if (!s->is_done)
        return false;
    if (s->done_file == FILE_NEW)
        take_path(rules, new_path);
    else
        edit_file_take(&rules->files[s->done_file], s->search_line, s->search_bytes, s->escaped);
    find_offered(rules);
    s->is_done = false;
    return true;
}

void reply_wind_up(ReplyRules *rules, const ReplyState *s) {
    bool is_outside = s->part == PART_PROSE || (s->part == PART_PATH && s->length == 0) ||
                      (s->part == PART_CLOSE && s->at >= CLOSE_LENGTH - 1);
    rules->max_blocks = s->blocks + !is_outside;
    if (rules->edits_only && rules->max_blocks == 0)
        rules->max_blocks = 1;
    rules->max_replace = 1;
    for (uint32_t i = 0; i < rules->file_count; i++)
        rules->files[i].most = 1;
}

static int path_compare(const void *left, const void *right) {
    return str_cmp(((const EditFile *)left)->path, ((const EditFile *)right)->path);
}

/* Readers of replies find a path among words and decoration; one that would be read differently is not
 * offered. */
static bool path_can_be_written(Str path, const bool *writable) {
    if (path.len == 0 || path.len > KNOWN_PATH_MOST || !utf8_valid(path) || strchr("#-/'", path.ptr[0]) ||
        path.ptr[path.len - 1] == '\'')
        return false;
    bool has_mark = false, has_stop = false;
    for (size_t i = 0; i < path.len; i++) {
        uint8_t c = (uint8_t)path.ptr[i];
        if (c <= 0x20 || c == 0x7f || strchr("`\"<>|*?:", c) || !writable[c])
            return false;
        has_mark = has_mark || ((c == '/' || c == '.') && i + 1 < path.len);
        has_stop = has_stop || strchr(".!,", c);
    }
    return has_mark || (!has_stop && path.len < BARE_PATH_MOST);
}

static uint32_t limit_or(size_t limit, uint32_t otherwise) {
    return limit == 0 ? otherwise : limit > LENGTH_MOST ? LENGTH_MOST : (uint32_t)limit;
}

static bool open_files(ReplyRules *rules, const GrammarSpec *spec, Err *err) {
    Arena *arena = &rules->arena;
    uint32_t most = limit_or(spec->max_search_bytes, SEARCH_DEFAULT), n = 0;
    rules->files = ARENA_ARRAY(arena, EditFile, spec->file_count);
    for (size_t i = 0; i < spec->file_count; i++) {
        take_path(rules, spec->files[i].path);
        if (!path_can_be_written(spec->files[i].path, rules->writable))
            continue;
        if (!edit_file_open(&rules->files[n], spec->files[i].path, spec->files[i].text, rules->writable, most,
                            arena, err))
            return false;
        n++;
    }
    qsort(rules->files, n, sizeof *rules->files, path_compare);
    for (uint32_t i = 1; i < n; i++)
        if (str_eq(rules->files[i].path, rules->files[i - 1].path))
            rules->files[i].is_offered = false; /* given twice: the first is reached by its path */
    rules->file_count = n;
    rules->next_offered = ARENA_ARRAY(arena, uint32_t, (size_t)n + 1);
    find_offered(rules);
    return true;
}

bool reply_rules_open(ReplyRules *rules, const GrammarSpec *spec, const bool *writable, Err *err) {
    *rules = (ReplyRules){.writable = writable,
                          .allow_new_files = spec->allow_new_files,
                          .edits_only = spec->edits_only,
                          .max_blocks = limit_or(spec->max_blocks, BLOCKS_DEFAULT),
                          .max_replace = limit_or(spec->max_replace_bytes, REPLACE_DEFAULT)};
    if (spec->file_count > INT32_MAX / 2)
        return err_set(err, ERR_LIMIT, "%zu files are too many for forced edits", spec->file_count);
    if (!open_files(rules, spec, err)) {
        reply_rules_close(rules);
        return false;
    }
    if (rules->edits_only && !rules->allow_new_files && rules->next_offered[0] == rules->file_count) {
        reply_rules_close(rules);
        return err_set(err, ERR_INVALID,
                       "none of the files given can be edited in blocks: their text cannot be quoted, "
                       "or there is no file");
    }
    return true;
}

void reply_rules_close(ReplyRules *rules) {
    arena_free(&rules->arena);
}

ReplyState reply_start(const ReplyRules *rules) {
    ReplyState s = {
        .part = rules->edits_only ? PART_PATH : PART_PROSE, .file = FILE_NONE, .done_file = FILE_NONE};
    start_line(rules, &s);
    return s;
}
