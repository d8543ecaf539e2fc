/* Which text of a file a SEARCH part may hold: whole lines that occur once (at line starts), none of them
 * taken or dangerous. From every state offered here a place to close can be reached. */
#include <string.h>

#include "base/utf8.h"
#include "engine/grammar_blocks_internal.h"

/* Would the line be read as one of the markers? Readers accept 5 to 9 signs, and blanks in front of < and >.
 */
static bool reads_like_marker(Str line) {
    size_t begin = 0, run = 0;
    while (begin < line.len && (line.ptr[begin] == ' ' || line.ptr[begin] == '\t'))
        begin++;
    while (begin + run < line.len && line.ptr[begin + run] == line.ptr[begin])
        run++;
    if (run == 0 || !strchr("<=>", line.ptr[begin]))
        return false;
    if (line.ptr[begin] != '=')
        return run >= VOCABULARY_LEAST_SIGNS;
    return begin == 0 && run == VOCABULARY_MARKER_LENGTH && str_trim(str_from(line, run)).len == 0;
}

static bool is_selectable(Str line, const bool *writable, uint32_t most) {
    if (line.len > most || reads_like_marker(line) || !utf8_valid(line))
        return false;
    for (size_t i = 0; i < line.len; i++)
        if (line.ptr[i] == 0 || line.ptr[i] == '\r' || !writable[(uint8_t)line.ptr[i]])
            return false;
    return true;
}

static void find_nearest(const uint32_t *good, uint32_t n, uint32_t *next, uint32_t *last) {
    next[n] = n;
    for (uint32_t i = n; i-- > 0;)
        next[i] = good[i] ? i : next[i + 1];
    last[0] = n; /* none */
    for (uint32_t i = 0; i < n; i++)
        last[i + 1] = good[i] ? i : last[i];
}

/* Bytes of the shortest selection from this line on: until it occurs once and says something; 0 = there is
 * none. */
static uint32_t bytes_needed(const EditFile *file, uint32_t i, const uint32_t *spoken) {
    const SuffixAutomaton *a = &file->automaton;
    uint32_t line = a->order[i], lines = file->only_repeats ? 1 : a->unique[i];
    if (lines == 0 || spoken[line] == 0)
        return 0;
    uint32_t end = a->begins[line + lines];
    if (spoken[line] > end && file->only_repeats)
        return 0;
    return (spoken[line] > end ? spoken[line] : end) - a->begins[line];
}

/* Recomputes from `barred` where a text may start and how far it may go. */
static void find_starts(EditFile *file, Arena *scratch) {
    const SuffixAutomaton *a = &file->automaton;
    uint32_t n = a->line_count, *ends = ARENA_ARRAY(scratch, uint32_t, (size_t)n + 1);
    uint32_t *spoken =
        ARENA_ARRAY(scratch, uint32_t, (size_t)n + 1); /* end of the first line that is not blank */
    for (uint32_t line = n; line-- > 0;) {
        uint32_t begin = a->begins[line], end = a->begins[line + 1];
        bool goes_on = line + 1 < n && !file->barred[line + 1];
        ends[line] = file->barred[line] ? begin : goes_on ? ends[line + 1] : end;
        spoken[line] = str_trim(str_slice(a->text, begin, end)).len ? end : spoken[line + 1];
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t needed = bytes_needed(file, i, spoken);
        file->reach[i] = ends[a->order[i]] - a->begins[a->order[i]];
        file->needed[i] = needed <= file->reach[i] && needed <= file->most ? needed : 0;
        if (file->only_repeats && file->needed[i])
            file->reach[i] = needed;
    }
    find_nearest(file->needed, n, file->next_good, file->last_good);
    file->is_offered = n > 0 && file->next_good[0] < n;
}

bool edit_file_open(EditFile *file, Str path, Str text, const bool *writable, uint32_t most, Arena *arena,
                    Err *err) {
    *file = (EditFile){.path = str_copy(arena, path), .most = most, .is_empty = text.len == 0};
    Str whole =
        text.len && text.ptr[text.len - 1] != '\n' ? str_concat(arena, text, S("\n")) : str_copy(arena, text);
    if (!suffix_automaton_build(&file->automaton, whole, arena, err))
        return err_wrap(err, "%.*s", STR_ARG(path));
    uint32_t n = file->automaton.line_count;
    file->barred = ARENA_ARRAY(arena, uint8_t, n);
    file->needed = ARENA_ARRAY(arena, uint32_t, n);
    file->reach = ARENA_ARRAY(arena, uint32_t, n);
    file->next_good = ARENA_ARRAY(arena, uint32_t, (size_t)n + 1);
    file->last_good = ARENA_ARRAY(arena, uint32_t, (size_t)n + 1);
    for (uint32_t line = 0; line < n; line++)
        file->barred[line] = !is_selectable(
            str_slice(whole, file->automaton.begins[line], file->automaton.begins[line + 1]), writable, most);
    Arena scratch = {0};
    find_starts(file, &scratch);
    if (!file->is_offered && !file->is_empty) {
        file->only_repeats = true;
        find_starts(file, &scratch);
    }
    arena_free(&scratch);
    file->is_offered = file->is_offered || file->is_empty;
    return true;
}

/* Some occurrence can still be followed to a place where the block may close. */
static bool is_alive(const EditFile *file, SuffixState state) {
    if (state.last - state.first == 1)
        return file->needed[state.first] && state.length <= file->reach[state.first];
    return file->next_good[state.first] < state.last;
}

bool edit_file_step(const EditFile *file, SuffixState *state, uint8_t byte) {
    return suffix_step(&file->automaton, state, byte) && is_alive(file, *state);
}

bool edit_file_may_close(const EditFile *file, SuffixState state) {
    if (file->only_repeats)
        return true;
    return state.last - state.first == 1 && state.length >= file->needed[state.first];
}

bool edit_file_may_go_on(const EditFile *file, SuffixState state) {
    if (file->only_repeats)
        return false;
    return state.last - state.first > 1 ||
           (state.length < file->reach[state.first] && state.length < file->most);
}

void edit_file_bytes(const EditFile *file, SuffixState state, uint64_t *set) {
    const SuffixAutomaton *a = &file->automaton;
    for (uint32_t i = file->next_good[state.first]; i < state.last;) {
        int byte = suffix_byte(a, i, state.length);
        if (byte >= 0)
            set[byte >> 6] |= UINT64_C(1) << (byte & 63);
        uint32_t last_good = file->last_good[state.last];
        if (suffix_byte(a, last_good, state.length) == byte)
            break; /* sorted: so have all between */
        i = file->next_good[suffix_same_byte(a, i, state.last, state.length)];
    }
}

void edit_file_take(EditFile *file, uint32_t line, uint32_t bytes, bool escaped) {
    const SuffixAutomaton *a = &file->automaton;
    if (file->is_empty || escaped) {
        file->is_offered = false;
        return;
    }
    for (uint32_t i = line; i < a->line_count && a->begins[i] < a->begins[line] + bytes; i++)
        file->barred[i] = true;
    Arena scratch = {0};
    find_starts(file, &scratch);
    arena_free(&scratch);
}
