/* A whole patch on a tree, nothing written. As in git-apply one table of names tells what became of each: a
 * later section sees what earlier ones left, except that renames and copies always read the tree as it was.
 * What git finds out only while it writes (a file where a folder must be) is asked here, before. */
#include <string.h>

#include "diff/patch_internal.h"

enum { MODE_KIND = 0170000, MODE_FILE = 0100644, MODE_PROGRAM = 0100755, MODE_LINK = 0120000 };
enum { LINK_MOST = 4095, DEEPEST = 256, SHOWN = 160 };

typedef enum NameState {
    NAME_AS_IT_WAS,
    NAME_TO_GO, /* a section still to come takes it away */
    NAME_GONE,
    NAME_MADE
} NameState;

typedef struct Name {
    Str path;
    NameState state;    /* what later sections are told */
    PatchEntry disk;    /* has_looked: what the source told */
    PatchEntry now;     /* NAME_MADE: what the last section left here */
    unsigned said_mode; /* NAME_MADE: its mode as the patch has it, which may be one that no file has */
    size_t writes_left; /* sections still to come that write here */
    Arena interim;      /* holds now.text when another section follows */
    bool has_looked;
    bool was_read;   /* some section had the text on disk as its old side */
    bool is_made;    /* the plan puts something here */
    bool is_removed; /* what was on disk goes */
    bool link_goes;  /* by the headers, a link that a deletion or a rename takes away */
    bool link_comes; /* by the headers, a link stands here afterwards */
} Name;

typedef struct Planner {
    const Patch *patch;
    const PatchOptions *options;
    PatchSource source;
    Arena *arena;
    Arena scratch;
    Name **slots; /* open addressing */
    size_t slot_mask;
    Name **names; /* in order of first sight */
    size_t count, capacity;
    size_t text_bytes;
    PatchReport report;
} Planner;

/* One section on its way; the names are NULL for nothing. */
typedef struct Section {
    const PatchFile *file;
    Name *from, *to;
    unsigned old_mode, new_mode;
    bool is_new, is_moved; /* moved: a rename or a copy */
} Section;

/* ---- names ---- */

static size_t find_slot(const Planner *p, Str path) {
    uint64_t hash = str_hash(path);
    size_t at = (size_t)(hash ^ hash >> 31) & p->slot_mask;
    while (p->slots[at] && !str_eq(p->slots[at]->path, path))
        at = (at + 1) & p->slot_mask;
    return at;
}

static Name *find_name(const Planner *p, Str path) {
    return p->slots[find_slot(p, path)];
}

static void grow_slots(Planner *p) {
    size_t slots = p->slots ? 2 * (p->slot_mask + 1) : 64;
    p->slots = ARENA_ARRAY(&p->scratch, Name *, slots);
    p->slot_mask = slots - 1;
    for (size_t i = 0; i < p->count; i++)
        p->slots[find_slot(p, p->names[i]->path)] = p->names[i];
}

static Name *name_of(Planner *p, Str path) {
    if (!p->slots || 2 * p->count >= p->slot_mask)
        grow_slots(p);
    size_t at = find_slot(p, path);
    if (!p->slots[at]) {
        Name *name = p->slots[at] = ARENA_NEW(&p->scratch, Name);
        name->path = path;
        LIST_PUSH(&p->scratch, p->names, p->count, p->capacity, name);
    }
    return p->slots[at];
}

static bool is_link(unsigned mode) {
    return (mode & MODE_KIND) == MODE_LINK;
}

static bool takes_away(const PatchFile *file) {
    return file->kind == PATCH_DELETE || file->kind == PATCH_RENAME;
}

/* What the headers alone tell, before any section is looked at. */
static void prepare_names(Planner *p) {
    grow_slots(p);
    for (size_t i = 0; i < p->patch->count; i++) {
        const PatchFile *file = &p->patch->files[i];
        Name *from = file->old_path.len ? name_of(p, file->old_path) : NULL;
        Name *to = file->new_path.len ? name_of(p, file->new_path) : NULL;
        if (from && takes_away(file)) {
            from->state = NAME_TO_GO;
            from->link_goes = from->link_goes || is_link(file->old_mode);
        }
        if (to) {
            to->writes_left++;
            to->link_comes = to->link_comes || is_link(file->new_mode);
        }
    }
}

/* The folders of a path, the outermost first: *end moves on to the next slash; false behind the last. */
static bool next_folder(Str path, size_t *end, Str *folder) {
    *end = str_find_char(path, '/', *end + 1);
    if (*end == STR_NONE)
        return false;
    *folder = str_slice(path, 0, *end);
    return true;
}

static bool look(Planner *p, Name *name, Err *err) {
    Str folder;
    if (name->has_looked)
        return true;
    name->has_looked = true;
    for (size_t end = 0; next_folder(name->path, &end, &folder);) {
        const Name *above = find_name(p, folder);
        if (above && above->link_goes)
            return true; /* behind a link that goes nothing is there */
    }
    return p->source.look(p->source.ctx, name->path, p->arena, &name->disk, err);
}

/* ---- one section ---- */

static const char *kind_of(unsigned mode) {
    return is_link(mode)                                   ? "a symbolic link"
           : (mode & MODE_KIND) == (MODE_FILE & MODE_KIND) ? "a regular file"
                                                           : "of no kind that a file has";
}

static bool read_old_side(Planner *p, Section *s, PatchEntry *old, Err *err) {
    const PatchFile *file = s->file;
    unsigned mode;
    Str shown = str_slice(file->old_path, 0, SHOWN);
    if (!s->is_moved && s->from->state == NAME_GONE)
        return err_set(err, ERR_NOT_FOUND,
                       "line %zu of the patch: %.*s is not there any more: an earlier section removes it",
                       file->line, STR_ARG(shown));
    if (!s->is_moved && s->from->state == NAME_MADE) {
        *old = s->from->now;
        mode = s->from->said_mode;
    } else {
        if (!look(p, s->from, err))
            return false;
        *old = s->from->disk;
        mode = old->mode;
        s->from->was_read = old->exists;
        if (!old->exists && file->may_create) {
            s->is_new = true;
            s->from = NULL;
            return true;
        }
    }
    if (!old->exists)
        return err_set(err, ERR_NOT_FOUND, "%.*s is not there", STR_ARG(shown));
    if (old->is_folder)
        return err_set(err, ERR_CONFLICT, "%.*s is a folder, but the patch is for a file", STR_ARG(shown));
    s->old_mode = s->old_mode ? s->old_mode : mode;
    if ((s->old_mode ^ mode) & MODE_KIND)
        return err_set(err, ERR_CONFLICT, "%.*s is %s, but the patch is for %s", STR_ARG(shown),
                       kind_of(mode), kind_of(s->old_mode));
    s->new_mode = s->new_mode ? s->new_mode : mode;
    if (s->to && (s->old_mode ^ s->new_mode) & MODE_KIND)
        return err_set(err, ERR_INVALID,
                       "line %zu of the patch: a file becomes a link only by a deletion and a creation",
                       file->line);
    return true;
}

/* A new name must be free on disk, or be freed by this patch. */
static bool check_new_name(Planner *p, const Section *s, Err *err) {
    bool is_freed = s->to->state == NAME_TO_GO || s->to->state == NAME_GONE;
    if (!look(p, s->to, err))
        return false;
    if (is_freed || !s->to->disk.exists || s->to->disk.is_folder || !(s->is_new || s->is_moved))
        return true;
    return err_set(err, ERR_CONFLICT, "%.*s is there already, but the patch creates it",
                   STR_ARG(str_slice(s->to->path, 0, SHOWN)));
}

static bool check_beyond_link(const Planner *p, Str path, Err *err) {
    Str folder;
    for (size_t end = 0; next_folder(path, &end, &folder);) {
        const Name *above = find_name(p, folder);
        if (above && above->link_comes)
            return err_set(err, ERR_DENIED, "%.*s is beyond the symbolic link %.*s",
                           STR_ARG(str_slice(path, 0, SHOWN)), STR_ARG(str_slice(folder, 0, SHOWN)));
    }
    return true;
}

static bool check_link_target(const Section *s, Str target, Err *err) {
    if (!is_link(s->new_mode) ||
        (target.len && target.len <= LINK_MOST && memchr(target.ptr, 0, target.len) == NULL))
        return true;
    return err_set(err, ERR_INVALID, "%.*s: this is no target for a symbolic link",
                   STR_ARG(str_slice(s->to->path, 0, SHOWN)));
}

/* made_in holds the text, or nothing when it lives elsewhere. */
static void put_result(Name *to, Arena made_in, unsigned said_mode, PatchEntry entry) {
    if (entry.text.ptr != to->now.text.ptr) {
        arena_free(&to->interim);
        to->interim = made_in;
    }
    to->now = entry;
    to->said_mode = said_mode;
    to->state = NAME_MADE;
    to->is_made = true;
}

static unsigned written_mode(unsigned mode) {
    return is_link(mode) ? MODE_LINK : mode & 0100 ? MODE_PROGRAM : MODE_FILE;
}

/* A text that another section replaces is made in an arena of its own. */
static bool write_new_side(Planner *p, Section *s, const PatchEntry *old, Err *err) {
    Arena interim = {0};
    Str text;
    bool is_last = !s->to || --s->to->writes_left == 0;
    PatchFile file = *s->file;
    file.kind = s->is_new ? PATCH_CREATE : file.kind;
    if (!patch_apply(&file, old->text, p->options, is_last ? p->arena : &interim, &text, &p->report, err) ||
        (s->to && !check_link_target(s, text, err))) {
        arena_free(&interim);
        return false;
    }
    bool is_same = text.ptr == old->text.ptr;
    if (is_same && s->from != s->to && s->from && s->from->interim.chunks)
        text = str_copy(p->arena, text); /* the other name may be written again */
    p->text_bytes += is_same ? 0 : text.len;
    if (s->to)
        put_result(s->to, interim, s->new_mode,
                   (PatchEntry){.exists = true, .mode = written_mode(s->new_mode), .text = text});
    return p->text_bytes <= PATCH_PLAN_MAX ||
           err_set(err, ERR_LIMIT, "the patch makes more than %zu GiB of text", PATCH_PLAN_MAX >> 30);
}

/* The headers alone may not tell that it is a link. */
static bool check_modes(const Section *s, Err *err) {
    bool from_is_safe =
        !s->from || s->file->kind == PATCH_COPY || patch_is_safe_name(s->from->path, s->old_mode);
    if (from_is_safe && (!s->to || patch_is_safe_name(s->to->path, s->new_mode)))
        return true;
    return err_set(err, ERR_DENIED, "%.*s is never changed where it is a link, or made one",
                   STR_ARG(str_slice(from_is_safe ? s->to->path : s->from->path, 0, SHOWN)));
}

static bool plan_section(Planner *p, const PatchFile *file, Err *err) {
    PatchEntry old = {0};
    Section s = {.file = file,
                 .from = file->kind == PATCH_CREATE ? NULL : name_of(p, file->old_path),
                 .to = file->kind == PATCH_DELETE ? NULL : name_of(p, file->new_path),
                 .old_mode = file->old_mode,
                 .new_mode = file->new_mode,
                 .is_new = file->kind == PATCH_CREATE,
                 .is_moved = file->kind == PATCH_RENAME || file->kind == PATCH_COPY};
    if (s.from && !read_old_side(p, &s, &old, err))
        return false;
    s.new_mode = s.new_mode ? s.new_mode : MODE_FILE;
    if (!check_modes(&s, err))
        return false;
    if (s.to && (!check_new_name(p, &s, err) || !check_beyond_link(p, s.to->path, err)))
        return false;
    if (!write_new_side(p, &s, &old, err))
        return false;
    if (s.from && s.from != s.to && file->kind != PATCH_COPY) {
        s.from->is_removed = true;
        if (takes_away(file))
            s.from->state = NAME_GONE;
        if (file->kind == PATCH_DELETE)
            s.from->is_made = false;
    }
    return true;
}

/* ---- the tree afterwards ---- */

/* Whether nothing is left in a folder, so that a file can take its place. */
static bool is_emptied(Planner *p, Str folder, int depth, bool *empty, Err *err) {
    Str *names;
    size_t count;
    *empty = false;
    if (!p->source.list || depth > DEEPEST)
        return true;
    if (!p->source.list(p->source.ctx, folder, &p->scratch, &names, &count, err))
        return false;
    *empty = count > 0 || depth == 0; /* as in git, an inner folder that was empty before stays */
    for (size_t i = 0; i < count && *empty; i++) {
        Str path = str_printf(&p->scratch, "%.*s/%.*s", STR_ARG(folder), STR_ARG(names[i]));
        const Name *name = find_name(p, path);
        PatchEntry entry = name ? name->disk : (PatchEntry){0};
        if (name && name->is_removed && !name->is_made)
            continue;
        if (!(name && name->has_looked) && !p->source.look(p->source.ctx, path, &p->scratch, &entry, err))
            return false;
        *empty = entry.is_folder && !(name && name->is_made);
        if (*empty && !is_emptied(p, path, depth + 1, empty, err))
            return false;
    }
    return true;
}

/* Above what is made only folders may stand. */
static bool check_folders(Planner *p, const Name *name, Err *err) {
    Str folder;
    bool is_new = false; /* nothing on disk is there any more */
    for (size_t end = 0; next_folder(name->path, &end, &folder);) {
        Name *above = name_of(p, folder);
        if (above->is_made)
            return err_set(err, ERR_CONFLICT, "%.*s would be a file and a folder at once",
                           STR_ARG(str_slice(folder, 0, SHOWN)));
        is_new = is_new || above->is_removed;
        if (is_new)
            continue;
        if (!look(p, above, err))
            return false;
        if (above->disk.exists && !above->disk.is_folder)
            return err_set(err, ERR_CONFLICT, "%.*s cannot be made: %.*s is not a folder",
                           STR_ARG(str_slice(name->path, 0, SHOWN)), STR_ARG(str_slice(folder, 0, SHOWN)));
        is_new = !above->disk.exists;
    }
    return true;
}

static bool check_tree(Planner *p, Err *err) {
    size_t count = p->count; /* folders are added behind */
    for (size_t i = 0; i < count; i++) {
        Name *name = p->names[i];
        Str shown = str_slice(name->path, 0, SHOWN);
        bool empty = true;
        if ((name->is_made || name->is_removed) && name->disk.exists && !name->disk.is_folder &&
            !name->was_read)
            return err_set(err, ERR_CONFLICT,
                           "%.*s is there already, and the patch does not say what it holds", STR_ARG(shown));
        if (!name->is_made)
            continue;
        if (!check_folders(p, name, err))
            return false;
        if (name->disk.is_folder && !is_emptied(p, name->path, 0, &empty, err))
            return false;
        if (!empty)
            return err_set(err, ERR_CONFLICT, "%.*s is a folder, but the patch creates a file there",
                           STR_ARG(shown));
    }
    return true;
}

/* ---- the plan ---- */

static bool is_unchanged(const Name *name) {
    if (!name->is_made)
        return !name->is_removed || !name->disk.exists;
    return name->disk.exists && !name->disk.is_folder && name->disk.mode == name->now.mode &&
           str_eq(name->disk.text, name->now.text);
}

static void collect_steps(Planner *p, PatchPlan *out) {
    size_t capacity = 0;
    for (size_t i = 0; i < p->count; i++) {
        Name *name = p->names[i];
        if (is_unchanged(name))
            continue;
        PatchStep step = {.path = str_copy(p->arena, name->path), .before = name->disk};
        if (name->is_made)
            step.after = name->now;
        if (name->is_made && name->interim.chunks)
            step.after.text = str_copy(p->arena, name->now.text);
        LIST_PUSH(p->arena, out->items, out->count, capacity, step);
    }
    out->report = p->report;
}

static bool run_plan(const Patch *patch, const PatchOptions *options, PatchSource source, Arena *arena,
                     PatchPlan *out, Err *err) {
    Planner p = {.patch = patch, .options = options, .source = source, .arena = arena};
    bool ok = true;
    *out = (PatchPlan){0};
    prepare_names(&p);
    for (size_t i = 0; i < patch->count && ok; i++)
        ok = plan_section(&p, &patch->files[i], err);
    ok = ok && check_tree(&p, err);
    if (ok)
        collect_steps(&p, out);
    for (size_t i = 0; i < p.count; i++)
        arena_free(&p.names[i]->interim);
    arena_free(&p.scratch);
    return ok;
}

/* The other way round, on the same tree: what it finds there is what the patch would have made. */
static bool goes_in_reverse(const Patch *patch, const PatchOptions *options, PatchSource source) {
    Arena scratch = {0};
    Patch reversed = {ARENA_ARRAY(&scratch, PatchFile, patch->count), patch->count};
    PatchOptions strict = *options;
    PatchPlan plan;
    strict.fuzz = 0;
    strict.has_least_context = false;
    for (size_t i = 0; i < patch->count; i++) {
        PatchFile *file = &reversed.files[patch->count - 1 - i];
        *file = patch->files[i];
        file->hunks = ARENA_ARRAY(&scratch, PatchHunk, file->hunk_count);
        for (size_t n = 0; n < file->hunk_count; n++) {
            PatchHunk *hunk = &file->hunks[n];
            *hunk = patch->files[i].hunks[n];
            hunk->lines = arena_grow(&scratch, hunk->lines, hunk->line_count * sizeof *hunk->lines,
                                     hunk->line_count * sizeof *hunk->lines);
        }
        patch_reverse_file(file);
    }
    bool ok = run_plan(&reversed, &strict, source, &scratch, &plan, NULL);
    arena_free(&scratch);
    return ok;
}

bool patch_plan(const Patch *patch, const PatchOptions *options, PatchSource source, Arena *arena,
                PatchPlan *out, Err *err) {
    if (run_plan(patch, options, source, arena, out, err))
        return true;
    *out = (PatchPlan){.is_applied_already = goes_in_reverse(patch, options, source)};
    return false;
}
