/* Choosing hunks on arbitrary texts: "8 bytes of choice, before, NUL, after, NUL, edited hunk".
 *
 * What must hold for the text kept with a subset S of the hunks:
 *  - nothing kept is before, everything kept is after;
 *  - it is the same from either end: before with S, or after with the rest taken back;
 *  - the rest, moved by what S inserted and removed, leads from it to after;
 *  - the diff that shows it applies;
 *  - an id depends on nothing but the path, the old range and the two texts.
 * A hunk edited by hand changes its own lines only, whatever was typed. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "diff/patch.h"
#include "diff/section.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool condition) {
    if (!condition)
        abort();
}

static Str keep(const Hunks *hunks, const bool *kept, Arena *arena) {
    Str text;
    must(diff_keep(hunks, kept, arena, &text, NULL));
    return text;
}

static Str keep_same(const Hunks *hunks, bool value, Arena *arena) {
    bool *kept = ARENA_ARRAY(arena, bool, hunks->count + 1);
    memset(kept, value, hunks->count);
    return keep(hunks, kept, arena);
}

static Hunks reversed(const Hunks *hunks, Arena *arena) {
    Hunks out = {hunks->after, hunks->before, ARENA_ARRAY(arena, Hunk, hunks->count + 1), hunks->count};
    for (size_t i = 0; i < hunks->count; i++) {
        Hunk h = hunks->items[i];
        out.items[i] = (Hunk){h.new_start, h.new_count, h.old_start, h.old_count, h.new_begin,
                              h.new_end,   h.old_begin, h.old_end,   h.id};
    }
    return out;
}

/* The hunks that are not kept, as they stand in the text that holds the kept ones. */
static Hunks rest_of(const Hunks *hunks, const bool *kept, Str kept_text, Arena *arena) {
    Hunks out = {kept_text, hunks->after, ARENA_ARRAY(arena, Hunk, hunks->count + 1), 0};
    size_t bytes = 0, lines = 0;
    for (size_t i = 0; i < hunks->count; i++) {
        Hunk h = hunks->items[i];
        if (kept[i]) {
            bytes += (h.new_end - h.new_begin) - (h.old_end - h.old_begin);
            lines += h.new_count - h.old_count;
            continue;
        }
        h.old_begin += bytes;
        h.old_end += bytes;
        h.old_start += lines;
        out.items[out.count++] = h;
    }
    return out;
}

static void check_printed(Str before, Str kept, Arena *arena) {
    FileDiff file = {.old_path = S("a"), .new_path = S("a")};
    Buf text = {0};
    Err err = {0};
    must(diff_lines(S("a"), before, kept, arena, &file.hunks, NULL));
    must(diff_print_verified(&file, 3, &text, &err));
    must((text.len == 0) == str_eq(before, kept));
    if (text.len) {
        PatchOptions options = {.strip = 1};
        Patch patch;
        Str result;
        must(patch_parse(buf_text(&text), &options, arena, &patch, NULL) && patch.count == 1);
        must(patch_apply(&patch.files[0], before, &options, arena, &result, NULL, NULL) &&
             str_eq(result, kept));
    }
    buf_free(&text);
}

static Str side(const Hunks *hunks, size_t i, bool is_old) {
    const Hunk *h = &hunks->items[i];
    return is_old ? str_slice(hunks->before, h->old_begin, h->old_end)
                  : str_slice(hunks->after, h->new_begin, h->new_end);
}

/* Where the diff of before and the kept text holds a hunk of the first diff, it has its id; ids differ. */
static void check_ids(const Hunks *hunks, Str kept, Arena *arena) {
    Hunks again;
    must(diff_lines(S("a"), hunks->before, kept, arena, &again, NULL));
    for (size_t i = 0, k = 0; i < hunks->count; i++) {
        must(i == 0 || hunks->items[i].id != hunks->items[i - 1].id);
        while (k < again.count && again.items[k].old_start < hunks->items[i].old_start)
            k++;
        if (k == again.count || again.items[k].old_start != hunks->items[i].old_start)
            continue;
        bool is_same = str_eq(side(hunks, i, true), side(&again, k, true)) &&
                       str_eq(side(hunks, i, false), side(&again, k, false));
        must(is_same == (again.items[k].id == hunks->items[i].id));
    }
}

static void check_subset(const Hunks *hunks, const uint8_t *choice, Arena *arena) {
    bool *kept = ARENA_ARRAY(arena, bool, hunks->count + 1),
         *others = ARENA_ARRAY(arena, bool, hunks->count + 1);
    for (size_t i = 0; i < hunks->count; i++)
        others[i] = !(kept[i] = choice[i / 8 % 8] >> i % 8 & 1);
    Str text = keep(hunks, kept, arena);
    Hunks back = reversed(hunks, arena), rest = rest_of(hunks, kept, text, arena);
    must(str_eq(keep_same(hunks, false, arena), hunks->before) &&
         str_eq(keep_same(hunks, true, arena), hunks->after));
    must(str_eq(keep(&back, others, arena), text));
    must(str_eq(keep_same(&rest, true, arena), hunks->after));
    check_printed(hunks->before, text, arena);
    check_ids(hunks, text, arena);
}

/* ---- sections ---- */

/* Hunks lie in order, inside the texts, with the common text between them equal. */
static void check_hunks(const Hunks *hunks) {
    size_t old = 0, new = 0;
    for (size_t i = 0; i <= hunks->count; i++) {
        bool is_end = i == hunks->count;
        size_t old_next = is_end ? hunks->before.len : hunks->items[i].old_begin;
        size_t new_next = is_end ? hunks->after.len : hunks->items[i].new_begin;
        must(old_next >= old && new_next >= new);
        must(str_eq(str_slice(hunks->before, old, old_next), str_slice(hunks->after, new, new_next)));
        if (!is_end) {
            old = hunks->items[i].old_end;
            new = hunks->items[i].new_end;
            must(old >= old_next && new >= new_next);
        }
    }
}

static void check_section(const Hunks *hunks, const Section *section) {
    Buf old = {0}, new = {0};
    size_t old_count = 0, new_count = 0;
    for (size_t i = 0; i < section->line_count; i++) {
        const SectionLine *line = &section->lines[i];
        must(line->text.len > 0 && line->hunk >= section->first && line->hunk <= section->last);
        if (line->kind != '+') {
            buf_str(&old, line->text);
            old_count++;
        }
        if (line->kind != '-') {
            buf_str(&new, line->text);
            new_count++;
        }
    }
    must(old_count == section->old_count && new_count == section->new_count);
    must(str_eq(buf_text(&old), str_slice(hunks->before, section->begin, section->end)));
    size_t begin =
        hunks->items[section->first].new_begin - (hunks->items[section->first].old_begin - section->begin);
    must(str_eq(buf_text(&new), str_slice(hunks->after, begin, begin + new.len)));
    buf_free(&old);
    buf_free(&new);
}

/* Everything outside the section is as it was; inside, `middle` (any text when its ptr is NULL). */
static void check_edit(const Hunks *hunks, const Section *section, const Hunks *edited, size_t count,
                       Str middle, Arena *arena) {
    size_t begin =
        hunks->items[section->first].new_begin - (hunks->items[section->first].old_begin - section->begin);
    size_t end = hunks->items[section->last].new_end + (section->end - hunks->items[section->last].old_end);
    must(edited->count == hunks->count - (section->last - section->first + 1) + count);
    must(str_eq(edited->before, hunks->before));
    check_hunks(edited);
    for (size_t i = section->first; i < section->first + count; i++)
        must(edited->items[i].old_begin >= section->begin && edited->items[i].old_end <= section->end);
    must(str_starts(edited->after, str_slice(hunks->after, 0, begin)));
    must(str_ends(edited->after, str_from(hunks->after, end)));
    must(edited->after.len >= begin + (hunks->after.len - end));
    if (middle.ptr)
        must(str_eq(str_slice(edited->after, begin, edited->after.len - (hunks->after.len - end)), middle));
    must(str_eq(keep_same(edited, true, arena), edited->after) &&
         str_eq(keep_same(edited, false, arena), edited->before));
    for (size_t i = 0; i < edited->count; i++) {
        Section again;
        section_read(edited, i, i, 3, arena, &again);
        check_section(edited, &again);
    }
}

/* What a user may do to a hunk by the book: keep a removed line, leave an added one out, add lines. */
static void edit_by_the_book(const Hunks *hunks, const Section *section, const uint8_t *choice,
                             Arena *arena) {
    Buf text = {0}, middle = {0};
    Hunks edited;
    size_t count;
    Err err = {0};
    buf_cstr(&text, "# a comment\n");
    section_print_head(section, &text);
    buf_cstr(&text, " and a name\n");
    buf_cstr(&middle, "");
    for (size_t i = 0; i < section->line_count; i++) {
        const SectionLine *line = &section->lines[i];
        bool is_chosen = choice[i / 8 % 8] >> i % 8 & 1, has_end = str_ends(line->text, S("\n"));
        if (line->kind == '+' && is_chosen)
            continue;
        buf_char(&text, line->kind == '-' && is_chosen ? ' ' : line->kind);
        buf_str(&text, line->text);
        if (!has_end)
            buf_cstr(&text, "\n\\ No newline at end of file\n");
        if (line->kind != '-' || is_chosen)
            buf_str(&middle, line->text);
        if (line->kind == ' ' && is_chosen && has_end) {
            buf_cstr(&text, "+more\n");
            buf_cstr(&middle, "more\n");
        }
    }
    if (section_edit(hunks, section, buf_text(&text), arena, &edited, &count, &err))
        check_edit(hunks, section, &edited, count, middle.ptr ? buf_text(&middle) : S(""), arena);
    else
        must(err.code == ERR_INVALID &&
             str_contains(str_of(err.text), S("line end"))); /* not the last line */
    buf_free(&text);
    buf_free(&middle);
}

static void check_sections(const Hunks *hunks, const uint8_t *choice, Str typed, Arena *arena) {
    for (size_t first = 0, last; first < hunks->count; first = last + 1) {
        last = diff_section_end(hunks, first, 3);
        must(last >= first && last < hunks->count);
        if (choice[7] >> first % 8 & 1)
            last = first; /* split */
        Section section;
        Hunks edited;
        size_t count;
        Err err = {0};
        Buf printed = {0};
        section_read(hunks, first, last, 3, arena, &section);
        check_section(hunks, &section);
        section_print(&section, &printed);
        must(section_edit(hunks, &section, buf_text(&printed), arena, &edited, &count, &err));
        check_edit(hunks, &section, &edited, count, (Str){0}, arena);
        must(str_eq(edited.after, hunks->after));
        edit_by_the_book(hunks, &section, choice, arena);
        if (section_edit(hunks, &section, typed, arena, &edited, &count, &err))
            check_edit(hunks, &section, &edited, count, (Str){0}, arena);
        else
            must((err.code == ERR_INVALID || err.code == ERR_CONFLICT) && err.text[0]);
        buf_free(&printed);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 8 || size > 4096)
        return 0;
    Str rest = {(const char *)data + 8, size - 8};
    size_t end = str_find_char(rest, 0, 0);
    Str before = str_slice(rest, 0, end);
    rest = end == STR_NONE ? S("") : str_from(rest, end + 1);
    end = str_find_char(rest, 0, 0);
    Str after = str_slice(rest, 0, end), typed = end == STR_NONE ? S("") : str_from(rest, end + 1);
    Arena arena = {0};
    Hunks hunks;
    must(diff_lines(S("a"), before, after, &arena, &hunks, NULL));
    check_hunks(&hunks);
    check_subset(&hunks, data, &arena);
    check_sections(&hunks, data, typed, &arena);
    arena_free(&arena);
    return 0;
}
