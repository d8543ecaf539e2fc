#include "planner/written.h"

#include <stdlib.h>
#include <string.h>

enum {
    MOST_REMEMBERED = 100, /* files of a session; the oldest are forgotten */
    MOST_HUNKS = 6,        /* told of one file, the rest is counted */
    MOST_LINES = 12,       /* told of one side of a hunk */
    MOST_LINE_BYTES = 200,
    MOST_NEWS = 12288, /* bytes told at once; further files are counted */
};
#define MOST_BYTES ((size_t)16 << 20) /* of all texts remembered */

/* ---- the memory ---- */

static size_t entry_bytes(const StoredFile *file) {
    return file->before.len + file->sent.len + (file->found.ptr == file->sent.ptr ? 0 : file->found.len);
}

static StoredFile copy_entry(Arena *arena, const StoredFile *file) {
    StoredFile copy = {.path = str_copy(arena, file->path),
                       .before = str_copy(arena, file->before),
                       .sent = str_copy(arena, file->sent),
                       .was_new = file->was_new};
    copy.found = str_eq(file->found, file->sent) ? copy.sent : str_copy(arena, file->found);
    return copy;
}

static size_t find_entry(const Session *s, Str path) {
    for (size_t i = 0; i < s->written_count; i++)
        if (str_eq(s->written[i].path, path))
            return i;
    return s->written_count;
}

static void drop_entry(Session *s, size_t index) {
    if (index < s->written_count)
        memmove(&s->written[index], &s->written[index + 1],
                (--s->written_count - index) * sizeof *s->written);
}

static void forget(Session *s, Str path) {
    size_t index = find_entry(s, path);
    if (index == s->written_count)
        return;
    store_forget_file(s->planner->store, s->id, path);
    drop_entry(s, index);
}

/* Everything into a fresh arena: the texts that were replaced go with the old one. */
static void renew(Session *s, const StoredFile *added) {
    Arena fresh = {0};
    size_t count = s->written_count, bytes = added ? entry_bytes(added) : 0, first = count;
    while (first > 0 && count - first < MOST_REMEMBERED - 1 &&
           bytes + entry_bytes(&s->written[first - 1]) <= MOST_BYTES)
        bytes += entry_bytes(&s->written[--first]);
    for (size_t i = 0; i < first; i++)
        store_forget_file(s->planner->store, s->id, s->written[i].path);
    StoredFile *items = ARENA_ARRAY(&fresh, StoredFile, count - first + 1);
    for (size_t i = first; i < count; i++)
        items[i - first] = copy_entry(&fresh, &s->written[i]);
    s->written_count = s->written_capacity = count - first;
    if (added)
        items[s->written_count++] = copy_entry(&fresh, added);
    s->written_capacity = s->written_count;
    s->written = items;
    arena_free(&s->written_arena);
    s->written_arena = fresh;
}

static void put_entry(Session *s, const StoredFile *file) {
    drop_entry(s, find_entry(s, file->path));
    renew(s, file);
    store_file(s->planner->store, s->id, file);
}

static const FileWork *work_of(const Turn *turn, Str absolute) {
    for (size_t i = 0; i < turn->file_count; i++) {
        const FileWork *file = turn->files[i];
        bool is_moved = file->moved_to.absolute.len > 0;
        if (str_eq(is_moved ? file->moved_to.absolute : file->path.absolute, absolute))
            return file;
    }
    return NULL;
}

/* Where nobody else wrote since, the changes of earlier turns are looked after too. */
static Str first_before(const Session *s, const FileWork *file, bool *was_new) {
    size_t index = find_entry(s, file->path.absolute);
    *was_new = file->is_new;
    if (index == s->written_count || !str_eq(s->written[index].found, file->seen.text))
        return file->seen.text;
    *was_new = s->written[index].was_new;
    return s->written[index].before;
}

void written_remember(Turn *turn, const ChangeReport *report) {
    Session *s = turn->session;
    for (size_t i = 0; i < turn->file_count; i++) {
        const FileWork *file = turn->files[i];
        if (file->is_accepted && file->is_deleted)
            forget(s, file->path.absolute);
    }
    for (size_t i = 0; i < report->count; i++) {
        const ChangedFile *changed = &report->items[i];
        const FileWork *file = work_of(turn, changed->path.absolute);
        if (!file || file->is_deleted || !file->is_accepted)
            continue;
        StoredFile entry = {.path = changed->path.absolute, .sent = changed->sent, .found = changed->found};
        entry.before = first_before(s, file, &entry.was_new);
        Arena scratch = {0};
        entry = copy_entry(&scratch, &entry); /* it may borrow from what is replaced */
        put_entry(s, &entry);
        if (file->moved_to.absolute.len)
            forget(s, file->path.absolute);
        arena_free(&scratch);
    }
}

void written_free(Session *s) {
    buf_free(&s->left_out);
    arena_free(&s->written_arena);
}

/* ---- telling ---- */

static void put_lines(Buf *out, const char *lead, Str text) {
    Str line;
    size_t lines = 0, more = 0;
    while (str_next_line(&text, &line)) {
        if (lines++ >= MOST_LINES) {
            more++;
            continue;
        }
        buf_printf(out, "%s%.*s%s\n", lead, STR_ARG(str_slice(line, 0, MOST_LINE_BYTES)),
                   line.len > MOST_LINE_BYTES ? "..." : "");
    }
    if (more)
        buf_printf(out, "%s... %zu more line%s\n", lead, more, more == 1 ? "" : "s");
}

static Str old_lines(const Hunks *hunks, const Hunk *hunk) {
    return str_slice(hunks->before, hunk->old_begin, hunk->old_end);
}

static Str new_lines(const Hunks *hunks, const Hunk *hunk) {
    return str_slice(hunks->after, hunk->new_begin, hunk->new_end);
}

static void put_hunk(Buf *out, const Hunks *hunks, const Hunk *hunk) {
    put_lines(out, "-", old_lines(hunks, hunk));
    put_lines(out, "+", new_lines(hunks, hunk));
}

void written_left_out(Turn *turn, const FileWork *file, const bool *keep) {
    Buf *out = &turn->session->left_out;
    size_t lost = 0, told = 0;
    if (out->len > MOST_NEWS)
        return;
    for (size_t i = 0; i < file->hunks.count; i++)
        lost += !keep || !keep[i];
    Str path = file->path.relative;
    if (file->is_deleted || file->moved_to.absolute.len)
        buf_printf(out, "%.*s: the user refused to let it be %s; it is as it was.\n", STR_ARG(path),
                   file->is_deleted ? "deleted" : "moved");
    else if (file->is_new && lost == file->hunks.count)
        buf_printf(out, "%.*s: the user refused this new file; it does not exist.\n", STR_ARG(path));
    else
        buf_printf(out, "%.*s: the user refused %zu of the %zu changes you proposed; they were not made:\n",
                   STR_ARG(path), lost, file->hunks.count);
    if (file->is_deleted || (file->is_new && lost == file->hunks.count))
        return;
    for (size_t i = 0; i < file->hunks.count; i++)
        if ((!keep || !keep[i]) && told++ < MOST_HUNKS)
            put_hunk(out, &file->hunks, &file->hunks.items[i]);
    if (lost > MOST_HUNKS)
        buf_printf(out, "(and %zu more)\n", lost - MOST_HUNKS);
}

/* ---- comparing ---- */

/* What became of one of our changes. */
typedef enum Fate { FATE_KEPT, FATE_GONE, FATE_EDITED } Fate;

static bool touches(const Hunk *a, const Hunk *b) {
    return a->old_start <= b->old_start + b->old_count && b->old_start <= a->old_start + a->old_count;
}

static bool holds_lines(Str text, Str lines) {
    for (size_t at = str_find(text, lines, 0); at != STR_NONE; at = str_find(text, lines, at + 1))
        if (at == 0 || text.ptr[at - 1] == '\n')
            return true;
    return lines.len == 0;
}

/* Somebody wrote beside it: the change is larger than ours, and ours is in it. */
static bool is_within(const Hunks *ours, const Hunk *hunk, const Hunks *now, const Hunk *larger) {
    return larger->old_start <= hunk->old_start &&
           hunk->old_start + hunk->old_count <= larger->old_start + larger->old_count &&
           holds_lines(new_lines(now, larger), new_lines(ours, hunk));
}

static Fate fate_of(const Hunks *ours, const Hunk *hunk, const Hunks *now) {
    Fate fate = FATE_GONE;
    for (size_t i = 0; i < now->count; i++) {
        if (now->items[i].id == hunk->id || is_within(ours, hunk, now, &now->items[i]))
            return FATE_KEPT;
        if (touches(&now->items[i], hunk))
            fate = FATE_EDITED;
    }
    return fate;
}

typedef struct Comparison {
    Str path; /* as shown */
    Hunks ours, now;
    Fate *fates;
    bool *is_kept;
    size_t gone, edited;
} Comparison;

static bool compare(Str shown, const StoredFile *file, Str text, Arena *arena, Comparison *out) {
    *out = (Comparison){.path = shown};
    if (!diff_lines(shown, file->before, file->found, arena, &out->ours, NULL) ||
        !diff_lines(shown, file->before, text, arena, &out->now, NULL))
        return false;
    out->fates = ARENA_ARRAY(arena, Fate, out->ours.count + 1);
    out->is_kept = ARENA_ARRAY(arena, bool, out->ours.count + 1);
    for (size_t i = 0; i < out->ours.count; i++) {
        out->fates[i] = fate_of(&out->ours, &out->ours.items[i], &out->now);
        out->is_kept[i] = out->fates[i] == FATE_KEPT;
        out->gone += out->fates[i] == FATE_GONE;
        out->edited += out->fates[i] == FATE_EDITED;
    }
    return true;
}

static size_t tell_gone(const Comparison *c, size_t told, Buf *news) {
    for (size_t i = 0; i < c->ours.count; i++)
        if (c->fates[i] == FATE_GONE && told++ < MOST_HUNKS)
            put_hunk(news, &c->ours, &c->ours.items[i]);
    return told;
}

static size_t tell_edited(const Comparison *c, size_t told, Buf *news) {
    for (size_t i = 0; i < c->ours.count; i++) {
        const Hunk *ours = &c->ours.items[i];
        if (c->fates[i] != FATE_EDITED || told++ >= MOST_HUNKS)
            continue;
        buf_cstr(news, "you wrote:\n");
        put_lines(news, "+", new_lines(&c->ours, ours));
        buf_cstr(news, "there is now:\n");
        for (size_t n = 0; n < c->now.count; n++)
            if (touches(&c->now.items[n], ours))
                put_lines(news, "+", new_lines(&c->now, &c->now.items[n]));
    }
    return told;
}

/* One paragraph; nothing when all our changes are there. */
static void tell_file(const Comparison *c, Buf *news) {
    size_t told = 0, lost = c->gone + c->edited;
    if (!lost)
        return;
    buf_printf(news, "%.*s: of your %zu change%s, ", STR_ARG(c->path), c->ours.count,
               c->ours.count == 1 ? "" : "s");
    if (c->gone)
        buf_printf(news, "the user took back %zu", c->gone);
    if (c->edited)
        buf_printf(news, "%s%zu", c->gone ? " and edited " : "the user edited ", c->edited);
    buf_cstr(news, ".\n");
    if (c->gone)
        buf_cstr(news, "taken back (the old lines are there again):\n");
    told = tell_gone(c, told, news);
    told = tell_edited(c, told, news);
    if (told > MOST_HUNKS)
        buf_printf(news, "(and %zu more)\n", told - MOST_HUNKS);
}

static void tell_formatter(Str shown, const StoredFile *file, Arena *arena, Buf *news) {
    Hunks hunks;
    if (str_eq(file->sent, file->found) || !diff_lines(shown, file->sent, file->found, arena, &hunks, NULL))
        return;
    buf_printf(news, "%.*s: the editor's formatter changed what you wrote:\n", STR_ARG(shown));
    for (size_t i = 0; i < hunks.count && i < MOST_HUNKS; i++)
        put_hunk(news, &hunks, &hunks.items[i]);
    if (hunks.count > MOST_HUNKS)
        buf_printf(news, "(and %zu more)\n", hunks.count - MOST_HUNKS);
}

/* ---- before the next edit ---- */

/* From here on only what is left of our changes is looked after. */
static void keep_rest(Session *s, const StoredFile *file, const Comparison *c, Arena *arena) {
    StoredFile rest = *file;
    size_t kept = c->ours.count - c->gone - c->edited;
    if (!kept || !diff_keep(&c->ours, c->is_kept, arena, &rest.found, NULL)) {
        forget(s, file->path);
        return;
    }
    rest.sent = rest.found;
    put_entry(s, &rest);
}

static void compare_file(Turn *turn, const StoredFile *file, Arena *arena, Buf *news, Buf *thought) {
    Session *s = turn->session;
    Path path;
    FileText now;
    Err err = {0};
    Comparison c;
    if (!ws_path(turn->ws, file->path, arena, &path, &err))
        return;
    Str shown = path.relative;
    if (!ws_read(turn->ws, path, arena, &now, &err)) {
        if (err.code != ERR_NOT_FOUND)
            return; /* it cannot be looked at now: asked again next time */
        buf_printf(news, "%.*s: %s.\n", STR_ARG(shown),
                   file->was_new ? "the user took back this new file; it does not exist any more"
                                 : "the user deleted this file after your changes");
        buf_printf(thought, "%s%.*s is gone", thought->len ? ", " : "", STR_ARG(shown));
        forget(s, file->path);
        return;
    }
    bool is_formatted = !str_eq(file->sent, file->found);
    if (!compare(shown, file, now.text, arena, &c))
        return;
    tell_formatter(shown, file, arena, news);
    tell_file(&c, news);
    if (c.gone + c.edited)
        buf_printf(thought, "%s%.*s has %zu of %zu changes left", thought->len ? ", " : "", STR_ARG(shown),
                   c.ours.count - c.gone - c.edited, c.ours.count);
    if (is_formatted || c.gone + c.edited)
        keep_rest(s, file, &c, arena);
}

bool written_compare(Turn *turn, Buf *news, Err *err) {
    Session *s = turn->session;
    Arena arena = {0};
    Buf thought = {0};
    buf_str(news, buf_text(&s->left_out));
    buf_free(&s->left_out);
    s->left_out = (Buf){0};
    size_t count = s->written_count, untold = 0;
    StoredFile *files = ARENA_ARRAY(&arena, StoredFile, count + 1);
    for (size_t i = 0; i < count; i++) /* the session's own change under our hands */
        files[i] = copy_entry(&arena, &s->written[i]);
    for (size_t i = 0; i < count && !turn_is_cancelled(turn); i++) {
        Arena scratch = {0};
        Buf piece = {0};
        compare_file(turn, &files[i], &scratch, &piece, &thought);
        if (news->len + piece.len <= MOST_NEWS)
            buf_str(news, buf_text(&piece));
        else
            untold++;
        buf_free(&piece);
        arena_free(&scratch);
    }
    if (untold)
        buf_printf(news, "(and %zu more file%s that the user changed; read them again)\n", untold,
                   untold == 1 ? "" : "s");
    if (thought.len)
        turn_thought(turn, str_printf(&arena, "Since the last edit: %.*s.\n", STR_ARG(buf_text(&thought))));
    buf_free(&thought);
    arena_free(&arena);
    return !turn_is_cancelled(turn) || err_set(err, ERR_CANCELLED, "cancelled");
}
