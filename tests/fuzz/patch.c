/* Patches on arbitrary bytes: "options byte, patch, NUL, old text". Memory stays within a multiple of the
 * input; what the diff of the two texts prints is read back and applied to the same result, forwards and
 * backwards; a whole patch on a little tree asks for and touches nothing outside of it, and what went on
 * without offsets comes off again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "diff/diff.h"
#include "diff/patch_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILES_MOST = 24, MODE_KIND = 0170000, PLAIN = 0100644, LINK = 0120000 };

static void must(bool condition) {
    if (!condition)
        abort();
}

static void must_tell(const Err *err) {
    must(err->code != ERR_NONE && err->code != ERR_INTERNAL && err->text[0]);
}

/* ---- one section at a time ---- */

static size_t binary_bytes(const Patch *patch) {
    size_t sum = 0;
    for (size_t i = 0; i < patch->count; i++)
        sum += patch->files[i].forward.data.len + patch->files[i].backward.data.len;
    return sum;
}

static void apply_each(const Patch *patch, Str old, const PatchOptions *options) {
    for (size_t i = 0; i < patch->count; i++) {
        Arena arena = {0};
        Str result;
        PatchReport report = {0, 0};
        Err err = {0};
        if (!patch_apply(&patch->files[i], old, options, &arena, &result, &report, &err))
            must_tell(&err);
        else
            must(report.offset_hunks <= patch->files[i].hunk_count &&
                 report.fuzzy_hunks <= patch->files[i].hunk_count);
        arena_free(&arena);
    }
}

/* ---- the whole patch on a little tree ---- */

typedef struct Tree {
    struct {
        Str path, text;
        unsigned mode;
    } files[FILES_MOST];
    size_t count;
} Tree;

static size_t find(const Tree *tree, Str path) {
    size_t i = 0;
    while (i < tree->count && !str_eq(tree->files[i].path, path))
        i++;
    return i;
}

static void put(Tree *tree, Str path, unsigned mode, Str text) {
    size_t i = find(tree, path);
    if (i == FILES_MOST)
        return;
    tree->count += i == tree->count;
    tree->files[i].path = path;
    tree->files[i].mode = mode;
    tree->files[i].text = text;
}

static bool is_above(Str folder, Str path) {
    return path.len > folder.len && path.ptr[folder.len] == '/' && str_starts(path, folder);
}

static void must_be_inside(Str path) {
    must(path.len > 0 && path.ptr[0] != '/');
    for (Str rest = path; rest.len;) {
        size_t end = str_find_char(rest, '/', 0);
        Str part = str_slice(rest, 0, end);
        must(part.len && !str_eq(part, S(".")) && !str_eq(part, S("..")) && !str_eq_nocase(part, S(".git")));
        must(memchr(part.ptr, 0, part.len) == NULL);
        rest = end == STR_NONE ? S("") : str_from(rest, end + 1);
    }
}

static bool look(void *ctx, Str path, Arena *arena, PatchEntry *out, Err *err) {
    const Tree *tree = ctx;
    (void)arena;
    must_be_inside(path);
    *out = (PatchEntry){.exists = false};
    for (size_t i = 0; i < tree->count; i++) {
        if (str_eq(tree->files[i].path, path))
            *out = (PatchEntry){.exists = true, .mode = tree->files[i].mode, .text = tree->files[i].text};
        else if (is_above(path, tree->files[i].path) && !out->exists)
            *out = (PatchEntry){.exists = true, .is_folder = true};
        else if (tree->files[i].mode == LINK && is_above(tree->files[i].path, path))
            return err_set(err, ERR_DENIED, "beyond a link");
    }
    return true;
}

static bool list(void *ctx, Str folder, Arena *arena, Str **names, size_t *count, Err *err) {
    const Tree *tree = ctx;
    (void)err;
    *names = ARENA_ARRAY(arena, Str, tree->count + 1);
    *count = 0;
    for (size_t i = 0; i < tree->count; i++) {
        if (!is_above(folder, tree->files[i].path))
            continue;
        Str name = str_from(tree->files[i].path, folder.len + 1);
        name = str_slice(name, 0, str_find_char(name, '/', 0));
        bool is_known = false;
        for (size_t n = 0; n < *count; n++)
            is_known = is_known || str_eq((*names)[n], name);
        if (!is_known)
            (*names)[(*count)++] = name;
    }
    return true;
}

/* Every file that the patch wants to read, so that many patches find what they need. */
static void grow_tree(const Patch *patch, Str old, Tree *tree) {
    Str target = str_slice(old, 0, str_find_char(old, '\n', 0));
    for (size_t i = 0; i < patch->count; i++) {
        const PatchFile *file = &patch->files[i];
        bool is_free = true;
        for (size_t n = 0; n < tree->count; n++)
            is_free = is_free && !is_above(tree->files[n].path, file->old_path) &&
                      !is_above(file->old_path, tree->files[n].path) &&
                      !str_eq(tree->files[n].path, file->old_path);
        if (file->kind == PATCH_CREATE || !is_free)
            continue;
        bool is_link = (file->old_mode & MODE_KIND) == LINK;
        if (is_link && (!target.len || memchr(target.ptr, 0, target.len)))
            continue; /* no such link can stand there, and none may be made on the way back */
        put(tree, file->old_path, is_link ? LINK : PLAIN, is_link ? str_slice(target, 0, 100) : old);
    }
}

/* Each name in one section, counts and line numbers that agree: then the way back is the way there. */
static bool is_sound(const Patch *patch) {
    for (size_t i = 0; i < patch->count; i++) {
        const PatchFile *file = &patch->files[i];
        if (file->kind == PATCH_COPY || file->may_create || patch->count > FILES_MOST / 2 ||
            (file->is_binary && file->backward.kind == BINARY_NONE) ||
            (file->kind == PATCH_MODIFY && !str_eq(file->old_path, file->new_path)))
            return false;
        for (size_t k = 0; k < i; k++)
            if (str_eq(patch->files[k].old_path, file->old_path) ||
                str_eq(patch->files[k].old_path, file->new_path) ||
                str_eq(patch->files[k].new_path, file->old_path) ||
                str_eq(patch->files[k].new_path, file->new_path))
                return false;
        size_t next_old = 0, added = 0, removed = 0;
        for (size_t n = 0; n < file->hunk_count; n++) {
            const PatchHunk *hunk = &file->hunks[n];
            size_t old_begin = hunk->old_start - (hunk->old_count && hunk->old_start);
            size_t new_begin = hunk->new_start - (hunk->new_count && hunk->new_start);
            if (old_begin < next_old || old_begin + added != new_begin + removed || hunk->line_count == 0 ||
                hunk->lines[0].kind != ' ')
                return false;
            for (size_t l = 0; l < hunk->line_count;
                 l++) /* the claim may be wrong, and is believed one way */
                if (hunk->lines[l].no_newline &&
                    (hunk->lines[l].kind == ' ' ||
                     (l + 1 < hunk->line_count && hunk->lines[l + 1].kind == ' ')))
                    return false;
            next_old = old_begin + hunk->old_count;
            added += hunk->new_count;
            removed += hunk->old_count;
        }
    }
    return true;
}

static void take_steps(const Patch *patch, const PatchPlan *plan, Tree *tree) {
    for (size_t i = 0; i < plan->count; i++) {
        const PatchStep *step = &plan->items[i];
        size_t at = find(tree, step->path);
        bool is_named = false;
        for (size_t n = 0; n < patch->count; n++)
            is_named = is_named || str_eq(patch->files[n].old_path, step->path) ||
                       str_eq(patch->files[n].new_path, step->path);
        bool is_file = step->before.exists && !step->before.is_folder;
        must(is_named && is_file == (at < tree->count));
        must(!is_file || str_eq(step->before.text, tree->files[at].text));
        if (at < tree->count)
            tree->files[at] = tree->files[--tree->count];
    }
    for (size_t i = 0; i < plan->count; i++)
        if (plan->items[i].after.exists)
            put(tree, plan->items[i].path, plan->items[i].after.mode, plan->items[i].after.text);
}

static void must_be_same(const Tree *a, const Tree *b) {
    must(a->count == b->count);
    for (size_t i = 0; i < a->count; i++) {
        size_t at = find(b, a->files[i].path);
        must(at < b->count && str_eq(a->files[i].text, b->files[at].text));
    }
}

static void plan_all(Str text, const Patch *patch, Str old, const PatchOptions *options, size_t size) {
    Arena arena = {0};
    Tree tree = {.count = 0}, before;
    Err err = {0};
    PatchPlan plan, back;
    Patch reversed;
    grow_tree(patch, old, &tree);
    before = tree;
    PatchSource source = {&tree, look, list};
    size_t bound = 65536 + 64 * size + (patch->count + 1) * (old.len + 256) + 2 * binary_bytes(patch);
    if (!patch_plan(patch, options, source, &arena, &plan, &err)) {
        must_tell(&err);
        must(plan.count == 0);
    } else {
        bool is_exact = plan.report.offset_hunks + plan.report.fuzzy_hunks == 0;
        must(binary_bytes(patch) || arena.used_bytes < bound);
        take_steps(patch, &plan, &tree);
        PatchOptions other = *options;
        other.reverse = !options->reverse;
        if (is_exact && is_sound(patch) && !options->recount && !options->is_tolerant &&
            !options->ignore_whitespace && !options->unidiff_zero && plan.count <= FILES_MOST / 2 &&
            patch_parse(text, &other, &arena, &reversed, &err)) {
            must(patch_plan(&reversed, &other, source, &arena, &back, &err));
            take_steps(&reversed, &back, &tree);
            must_be_same(&tree, &before);
        }
    }
    arena_free(&arena);
}

static void apply_all(Str text, Str old, const PatchOptions *options, size_t size) {
    Arena arena = {0};
    Patch patch;
    Err err = {0};
    if (!patch_parse(text, options, &arena, &patch, &err)) {
        must_tell(&err);
        must(arena.used_bytes < 65536 + 512 * size || arena.used_bytes < 2 * PATCH_BINARY_MAX);
    } else {
        must(patch.count > 0 && arena.used_bytes < 65536 + 512 * size + binary_bytes(&patch));
        apply_each(&patch, old, options);
        plan_all(text, &patch, old, options, size);
    }
    arena_free(&arena);
}

/* ---- printed and read back ---- */

static void print_and_apply(Str before, Str after) {
    Arena arena = {0};
    FileDiff file = {.old_path = S("a b"), .new_path = S("a b")};
    file.is_binary = file.carries_binary = text_is_binary(before) || text_is_binary(after);
    Buf text = {0};
    must(diff_lines(S(""), before, after, &arena, &file.hunks, NULL));
    diff_print(&file, 3, &text);
    must((text.len == 0) == str_eq(before, after));
    for (int reverse = 0; text.len && reverse < 2; reverse++) {
        PatchOptions options = {.strip = 1, .reverse = reverse};
        Patch patch;
        Str result;
        must(patch_parse(buf_text(&text), &options, &arena, &patch, NULL) && patch.count == 1);
        must(patch_apply(&patch.files[0], reverse ? after : before, &options, &arena, &result, NULL, NULL) &&
             str_eq(result, reverse ? before : after));
    }
    buf_free(&text);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0)
        return 0;
    bool is_loose = data[0] >> 7 & 1;
    PatchOptions options = {.strip = data[0] & 3,
                            .reverse = data[0] >> 2 & 1,
                            .recount = data[0] >> 3 & 1,
                            .unidiff_zero = data[0] >> 4 & 1,
                            .ignore_whitespace = data[0] >> 5 & 1,
                            .is_tolerant = data[0] >> 6 & 1,
                            .fuzz = is_loose ? size % 3 : 0,
                            .has_least_context = is_loose && size % 4,
                            .least_context = (int)(size % 4) - 1};
    Str all = {(const char *)data + 1, size - 1};
    size_t end = str_find_char(all, 0, 0);
    Str text = str_slice(all, 0, end), old = end == STR_NONE ? S("") : str_from(all, end + 1);
    apply_all(text, old, &options, size);
    print_and_apply(text, old);
    return 0;
}
