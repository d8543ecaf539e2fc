#include "planner/blocks_take.h"

enum { PROSE_SHOWN = 400, MOST_EDITS = 2000, MOST_PROBLEMS = 16 };

/* ---- one edit ---- */

static bool may_create(const Edit *edit) {
    return edit->kind == EDIT_WHOLE || (edit->kind == EDIT_REPLACE && edit->old_text.len == 0);
}

static FileWork *edit_target(Turn *turn, const Edit *edit, Err *err) {
    FileWork *file = turn_file(turn, edit->path, err);
    if (!file && edit->other_path.len && !(may_create(edit) && edit_names_file(edit->path))) {
        *err = (Err){0};
        file = turn_file(turn, edit->other_path, err);
    }
    if (file || err->code != ERR_NOT_FOUND)
        return file;
    *err = (Err){0};
    if (edit->kind == EDIT_WHOLE && str_find_char(edit->path, '/', 0) == STR_NONE &&
        !edit_names_file(edit->path)) {
        err_set(err, ERR_NOT_FOUND,
                "there is no file %.*s; to create it, use a block with an empty SEARCH part",
                STR_ARG(edit->path));
        return NULL;
    }
    if (may_create(edit))
        return turn_new_file(turn, edit->path, err);
    err_set(err, ERR_NOT_FOUND,
            "there is no file %.*s; use one of the paths shown, or leave SEARCH empty to create it",
            STR_ARG(edit->path));
    return NULL;
}

static bool says_one(const Request *r, const char *const *words, size_t count) {
    for (size_t w = 0; w < r->word_count; w++)
        for (size_t i = 0; i < count; i++)
            if (str_eq_nocase(r->words[w].text, str_of(words[i])))
                return true;
    return false;
}

static bool asks_to_remove(const Request *r) {
    static const char *const VERBS[] = {"delete", "remove", "drop", "strip", "empty", "clear", "shorten"};
    return says_one(r, VERBS, sizeof VERBS / sizeof *VERBS);
}

/* Lines may leave a file without being asked away. */
static bool asks_to_move(const Request *r) {
    static const char *const VERBS[] = {"move",     "extract", "split",  "inline",     "merge",
                                        "simplify", "dedupe",  "unused", "deduplicate"};
    return says_one(r, VERBS, sizeof VERBS / sizeof *VERBS);
}

/* Much is to go, not just something: a snippet must not pass for what is left of a file. */
static bool asks_to_shrink(const Request *r) {
    static const char *const VERBS[] = {"strip", "empty", "clear", "shorten"};
    static const char *const AMOUNTS[] = {"all",  "most", "everything", "rest",  "half",
                                          "only", "but",  "except",     "whole", "entire"};
    return says_one(r, VERBS, sizeof VERBS / sizeof *VERBS) ||
           (asks_to_remove(r) && says_one(r, AMOUNTS, sizeof AMOUNTS / sizeof *AMOUNTS));
}

static bool locate_move(Turn *turn, const Edit *edit, TakenEdit *item, Err *err) {
    if (item->file->is_new)
        return err_set(err, ERR_INVALID, "%.*s does not exist yet and cannot be moved",
                       STR_ARG(item->file->path.relative));
    item->target = turn_new_file(turn, edit->new_path, err);
    if (!item->target)
        return false;
    if (!item->target->is_new)
        return err_set(err, ERR_CONFLICT, "%.*s cannot become %.*s, which exists already",
                       STR_ARG(item->file->path.relative), STR_ARG(item->target->path.relative));
    item->moved_to = item->target->path;
    return true;
}

static bool locate_item(Turn *turn, const Edit *edit, TakenEdit *item, Err *err) {
    FileWork *file = item->file;
    EditHelp help = {.ctx = file,
                     .find_symbol = file->language == LANGUAGE_NONE ? NULL : take_find_symbol,
                     .may_shrink = asks_to_shrink(&turn->request),
                     .may_remove = asks_to_remove(&turn->request) || asks_to_move(&turn->request)};
    if (edit->kind == EDIT_MOVE)
        return locate_move(turn, edit, item, err);
    if (edit->kind == EDIT_DELETE)
        return !file->is_new || err_set(err, ERR_NOT_FOUND, "%.*s does not exist and cannot be deleted",
                                        STR_ARG(file->path.relative));
    return edit_locate(file->seen.text, edit, &help, &turn->arena, &item->place, err) ||
           err_wrap(err, "%.*s", STR_ARG(file->path.relative));
}

/* ---- what belongs together ---- */

static bool is_text_edit(const TakenEdit *item) {
    return item->kind != EDIT_DELETE && item->kind != EDIT_MOVE;
}

/* Whether both cannot be had: two that change the same text, a whole file or a deletion and anything else. */
static bool are_rivals(const TakenEdit *a, const TakenEdit *b) {
    if (a->file != b->file)
        return false;
    if (a->kind == EDIT_DELETE || b->kind == EDIT_DELETE)
        return true;
    if (!is_text_edit(a) || !is_text_edit(b))
        return a->kind == b->kind;
    if (a->kind == EDIT_WHOLE || b->kind == EDIT_WHOLE)
        return true;
    bool same_point = a->place.begin == b->place.begin && a->place.end == b->place.end;
    return same_point || (a->place.begin < b->place.end && b->place.begin < a->place.end);
}

/* A later reply's edit takes the place of the earlier ones that it rivals. */
static void drop_older(Taken *taken, size_t newest) {
    size_t kept = 0;
    for (size_t i = 0; i < taken->count; i++) {
        bool is_replaced = false;
        for (size_t n = newest; n < taken->count && i < newest; n++)
            is_replaced = is_replaced || are_rivals(&taken->items[i], &taken->items[n]);
        if (!is_replaced)
            taken->items[kept++] = taken->items[i];
    }
    taken->count = kept;
}

static void drop_file(Taken *taken, const FileWork *file) {
    size_t kept = 0;
    for (size_t i = 0; i < taken->count; i++)
        if (taken->items[i].file != file)
            taken->items[kept++] = taken->items[i];
    taken->count = kept;
}

/* ---- edits of what the same reply wrote ---- */

static bool comes_before(const Place *a, const Place *b) {
    return a->begin != b->begin ? a->begin < b->begin : a->end < b->end;
}

/* Where the place's new text begins once all places are replaced. */
static size_t moved_begin(const Place *places, size_t count, size_t at) {
    size_t begin = places[at].begin;
    for (size_t i = 0; i < count; i++)
        if (i != at && comes_before(&places[i], &places[at]))
            begin += places[i].new_text.len - (places[i].end - places[i].begin);
    return begin;
}

/* A block whose text is not in the file but in what an earlier block of the reply put there: it becomes part
 * of that one. Only where it lies inside of a single one. */
static bool join_edit(Turn *turn, Taken *taken, size_t newest, const Edit *edit, const TakenEdit *item) {
    Place *places = ARENA_ARRAY(&turn->arena, Place, taken->count + 1), place;
    TakenEdit **owners = ARENA_ARRAY(&turn->arena, TakenEdit *, taken->count + 1);
    size_t count = 0;
    for (size_t i = newest; i < taken->count; i++) {
        TakenEdit *other = &taken->items[i];
        if (other->file != item->file || other->kind != EDIT_REPLACE || other->place.already_applied)
            continue;
        owners[count] = other;
        places[count++] = other->place;
    }
    Str text;
    if (edit->kind != EDIT_REPLACE || !count ||
        !edit_apply(item->file->seen.text, places, count, &turn->arena, &text, NULL) ||
        !edit_locate(text, edit, NULL, &turn->arena, &place, NULL) || place.already_applied ||
        place.level > MATCH_INDENT)
        return false;
    for (size_t i = 0; i < count; i++) {
        size_t begin = moved_begin(places, count, i);
        Str written = places[i].new_text;
        if (place.begin < begin || place.end > begin + written.len)
            continue;
        Str head = str_slice(written, 0, place.begin - begin), tail = str_from(written, place.end - begin);
        Place *joined = &owners[i]->place;
        joined->new_text = str_concat(&turn->arena, str_concat(&turn->arena, head, place.new_text), tail);
        joined->level = place.level > joined->level ? place.level : joined->level;
        return true;
    }
    return false;
}

/* ---- problems ---- */

/* The first problem of a reply is the one told; every file that has one is counted once a reply. */
static void note_problem(Turn *turn, Taken *taken, FileWork *file, Str path, const Err *why, Err *problem) {
    TakeFailure *failure = NULL;
    path = file ? file->path.relative : path;
    for (size_t i = 0; i < taken->failure_count && !failure; i++)
        if (str_eq(taken->failures[i].path, path))
            failure = &taken->failures[i];
    if (!failure) {
        LIST_PUSH(&turn->arena, taken->failures, taken->failure_count, taken->failure_capacity,
                  ((TakeFailure){path, 0}));
        failure = &taken->failures[taken->failure_count - 1];
    }
    if (problem->code)
        return;
    failure->times++;
    *problem = *why;
    taken->failed = file;
    taken->failed_times = failure->times;
}

/* ---- files ---- */

static void forget_changes(Turn *turn) {
    for (size_t i = 0; i < turn->file_count; i++) {
        FileWork *file = turn->files[i];
        file->new_text = file->is_new ? (Str){0} : file->seen.text;
        file->is_deleted = false;
        file->moved_to = (Path){0};
    }
}

/* Edits of the same text are left to edit_apply, which names the line. */
static bool check_rivals(const Taken *taken, const FileWork *file, Err *err) {
    size_t texts = 0, wholes = 0, deletions = 0, moves = 0;
    for (size_t i = 0; i < taken->count; i++) {
        const TakenEdit *item = &taken->items[i];
        if (item->file != file)
            continue;
        texts += is_text_edit(item);
        wholes += item->kind == EDIT_WHOLE;
        deletions += item->kind == EDIT_DELETE;
        moves += item->kind == EDIT_MOVE;
    }
    bool is_both_whole = wholes && texts > 1;
    if (moves <= 1 && (!deletions || texts + deletions + moves == 1) && !is_both_whole)
        return true;
    return err_set(err, ERR_CONFLICT, "%.*s is %s and changed otherwise too; send only one of both",
                   STR_ARG(file->path.relative),
                   is_both_whole && !deletions ? "given whole" : "deleted or moved");
}

static bool build_text(Turn *turn, const Taken *taken, FileWork *file, Err *err) {
    Place *places = ARENA_ARRAY(&turn->arena, Place, taken->count + 1);
    size_t count = 0;
    for (size_t i = 0; i < taken->count; i++)
        if (taken->items[i].file == file && is_text_edit(&taken->items[i]))
            places[count++] = taken->items[i].place;
    Str text;
    if (count == 0)
        return true;
    if (!edit_apply(file->seen.text, places, count, &turn->arena, &text, err))
        return err_wrap(err, "%.*s", STR_ARG(file->path.relative));
    SyntaxErrors worse;
    if (!file->is_new && syntax_is_worse(file->language, file->seen.text, text, &turn->arena, &worse))
        return err_set(err, ERR_INVALID, "after these edits %.*s has a syntax error at line %zu: %.*s",
                       STR_ARG(file->path.relative), worse.first_line + 1,
                       STR_ARG(str_slice(str_trim(worse.first_text), 0, 120)));
    file->new_text = text;
    return true;
}

static bool build_file(Turn *turn, const Taken *taken, FileWork *file, Err *err) {
    if (!check_rivals(taken, file, err) || !build_text(turn, taken, file, err))
        return false;
    for (size_t i = 0; i < taken->count; i++) {
        const TakenEdit *item = &taken->items[i];
        bool is_here = item->file == file;
        if (is_here && item->kind == EDIT_DELETE) {
            file->is_deleted = true;
            file->new_text = S("");
        } else if (is_here && item->kind == EDIT_MOVE) {
            file->moved_to = item->moved_to;
        } else if (item->kind == EDIT_MOVE && item->target == file) {
            for (size_t k = 0; k < taken->count; k++)
                if (taken->items[k].file == file || (k < i && taken->items[k].target == file))
                    return err_set(err, ERR_CONFLICT, "%.*s is moved to %.*s, which another edit makes too",
                                   STR_ARG(item->file->path.relative), STR_ARG(file->path.relative));
        }
    }
    return true;
}

/* ---- the reply ---- */

static void tell_place(Turn *turn, const TakenEdit *item) {
    const Place *place = &item->place;
    if (is_text_edit(item) && place->already_applied)
        turn_thought(turn, str_printf(&turn->arena, "%.*s holds that change already.\n",
                                      STR_ARG(item->file->path.relative)));
    else if (is_text_edit(item) && place->level > MATCH_LINE_ENDINGS)
        turn_thought(turn,
                     str_printf(&turn->arena,
                                "%.*s: the text to replace matched only approximately; look at it closely.\n",
                                STR_ARG(item->file->path.relative)));
}

static bool is_in(const Taken *taken, const FileWork *file) {
    for (size_t i = 0; i < taken->count; i++)
        if (taken->items[i].file == file || taken->items[i].target == file)
            return true;
    return false;
}

/* What the review shows beside a file: the reply's words, and a warning where text matched loosely. */
static void set_rationale(Turn *turn, const Taken *taken, Str prose) {
    for (size_t i = 0; i < turn->file_count; i++)
        turn->files[i]->rationale = str_slice(str_trim(prose), 0, PROSE_SHOWN);
    for (size_t i = 0; i < taken->count; i++) {
        const TakenEdit *item = &taken->items[i];
        Str note = S("The text to replace matched only approximately; look at it closely.");
        bool is_loose = is_text_edit(item) && !item->place.already_applied &&
                        item->place.level > MATCH_LINE_ENDINGS && !str_ends(item->file->rationale, note);
        if (is_loose)
            item->file->rationale = str_printf(&turn->arena, "%.*s%s%.*s", STR_ARG(item->file->rationale),
                                               item->file->rationale.len ? "\n" : "", STR_ARG(note));
    }
}

bool take_edits(Turn *turn, Taken *taken, const EditList *edits, Err *problem) {
    size_t newest = taken->count;
    *problem = (Err){0};
    taken->replies++;
    forget_changes(turn);
    if (edits->count > MOST_EDITS)
        return err_set(problem, ERR_LIMIT, "it holds %zu edits; send at most %d at once", edits->count,
                       MOST_EDITS);
    size_t problems = 0; /* a reply with so many is not worth the time for the rest */
    for (size_t i = 0; i < edits->count && problems < MOST_PROBLEMS; i++) {
        if (turn_is_cancelled(turn))
            return err_set(problem, ERR_CANCELLED, "cancelled");
        Err why = {0};
        const Edit *edit = &edits->items[i];
        TakenEdit item = {.kind = edit->kind, .reply = taken->replies};
        item.file = edit_target(turn, edit, &why);
        if (item.file && !item.file->is_new &&
            !item.file->is_shown && /* what does not fit is told with text */
            !turn_may_show(turn, item.file->path, &why))
            item.file = NULL;
        bool is_placed = item.file && locate_item(turn, edit, &item, &why);
        if (!is_placed && why.code == ERR_NOT_FOUND && item.file &&
            join_edit(turn, taken, newest, edit, &item))
            continue;
        if (!is_placed) {
            note_problem(turn, taken, item.file, edit->path, &why, problem);
            problems++;
            continue;
        }
        tell_place(turn, &item);
        LIST_PUSH(&turn->arena, taken->items, taken->count, taken->capacity, item);
    }
    drop_older(taken, newest);
    set_rationale(turn, taken, edits->prose);
    for (size_t i = 0; i < turn->file_count; i++) {
        Err why = {0};
        FileWork *file = turn->files[i];
        if (!is_in(taken, file) || build_file(turn, taken, file, &why))
            continue;
        note_problem(turn, taken, file, file->path.relative, &why, problem);
        drop_file(taken, file);
    }
    if (problem->code)
        forget_changes(turn);
    return !problem->code;
}

bool taken_forget(Taken *taken, const FileWork *file) {
    size_t kept = 0, count = taken->count;
    for (size_t i = 0; i < count; i++)
        if (taken->items[i].file != file && taken->items[i].target != file)
            taken->items[kept++] = taken->items[i];
    taken->count = kept;
    return kept < count;
}

static size_t line_at(Str text, size_t at) {
    size_t line = 1;
    for (size_t i = 0; i < at && i < text.len; i++)
        line += text.ptr[i] == '\n';
    return line;
}

static void list_item(const TakenEdit *item, Buf *out) {
    const FileWork *file = item->file;
    Str path = file->path.relative;
    size_t first = line_at(file->seen.text, item->place.begin);
    size_t last = item->place.end > item->place.begin ? line_at(file->seen.text, item->place.end - 1) : first;
    if (item->kind == EDIT_DELETE)
        buf_printf(out, "- %.*s deleted\n", STR_ARG(path));
    else if (item->kind == EDIT_MOVE)
        buf_printf(out, "- %.*s moved to %.*s\n", STR_ARG(path), STR_ARG(item->moved_to.relative));
    else if (item->kind == EDIT_WHOLE || file->is_new)
        buf_printf(out, "- %.*s given whole\n", STR_ARG(path));
    else
        buf_printf(out, "- %.*s, lines %zu to %zu\n", STR_ARG(path), first, last);
}

void taken_list(const Taken *taken, Buf *out) {
    for (size_t i = 0; i < taken->count; i++)
        list_item(&taken->items[i], out);
}
