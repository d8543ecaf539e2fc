/* The nearest place where a hunk fits. Close to where it should be every line is tried; when searches have
 * gone over the text often enough, all its lines are sorted by what they hold, and only the places of the
 * hunk's rarest line are tried. Both ways give the same place. */
#include "diff/patch_match_internal.h"

enum { NEAR = 4096, OFTEN = 2 };

typedef struct Search {
    Image *image;
    const Window *window;
    Fit fit;
    const PatchOptions *options;
    size_t expected;
    Match *out;
    bool has_found;
} Search;

/* True when the search is over. Tolerant: unless it stands where it should, it must fit nowhere else. */
static bool try_place(Search *s, Spot spot) {
    Match match;
    if (!match_window(s->image, s->window, spot, s->fit, s->options, &match))
        return false;
    if (s->has_found && match.line == s->out->line)
        return false;
    if (s->has_found) {
        s->out->is_ambiguous = true;
        s->out->second_line = match.line;
        return true;
    }
    *s->out = match;
    s->has_found = true;
    return !s->options->is_tolerant || match.line == s->expected;
}

/* ---- by the rarest line ---- */

typedef struct Rarest {
    size_t begin, end; /* of the image's names */
    size_t before;     /* old lines of the window before it */
} Rarest;

static Rarest rarest_line(Search *s) {
    const Window *w = s->window;
    Rarest best = {0, SIZE_MAX, 0};
    for (size_t i = w->first, n = 0; i < w->last; i++) {
        const PatchLine *line = &w->hunk->lines[i];
        Rarest r = {.before = n};
        if (line->kind == w->left_out)
            continue;
        image_names(s->image, line->text, &r.begin, &r.end);
        if (r.end - r.begin < best.end - best.begin)
            best = r;
        n++;
    }
    return best;
}

/* Where the window would begin if its rarest line were this one. */
static bool place_of_name(const Search *s, const Rarest *r, size_t index, Spot *near, Spot *place) {
    if (!image_find_old(near, s->image, NAME_LINE(s->image->names[index])))
        return false;
    *place = *near;
    for (size_t n = 0; n < r->before; n++)
        if (!spot_prev(place))
            return false;
    return true;
}

/* The old line that stands at a line of the image, or the next one. */
static size_t old_line_at(const Spot *spot) {
    return spot->piece->first_line + (spot->piece->is_patched ? 0 : spot->line - spot->piece_line);
}

static size_t distance(size_t a, size_t b) {
    return a > b ? a - b : b - a;
}

static void search_by_names(Search *s, size_t start) {
    Rarest r = rarest_line(s);
    Spot from = image_seek(s->image, start), down_near = from, up_near = from, down = from, up = from;
    size_t old_line = old_line_at(&from) + r.before, low = r.begin, high = r.end;
    if (s->options->is_tolerant && try_place(s, image_seek(s->image, 0))) /* a byte order mark has no name */
        return;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (NAME_LINE(s->image->names[middle]) < old_line)
            low = middle + 1;
        else
            high = middle;
    }
    size_t next_down = low, next_up = low;
    bool has_down = false, has_up = false;
    for (;;) {
        while (!has_down && next_down < r.end)
            has_down = place_of_name(s, &r, next_down++, &down_near, &down);
        while (!has_up && next_up > r.begin)
            has_up = place_of_name(s, &r, --next_up, &up_near, &up);
        if (!has_down && !has_up)
            return;
        bool is_down = has_down && (!has_up || distance(down.line, start) <= distance(up.line, start));
        if (try_place(s, is_down ? down : up))
            return;
        *(is_down ? &has_down : &has_up) = false;
    }
}

/* ---- line by line ---- */

/* The next line in a direction that no hunk wrote. */
static bool step_down(Spot *spot) {
    bool has_moved = spot_next(spot);
    while (has_moved && spot->piece->is_patched && spot->piece->next) {
        size_t line = spot->piece_line + spot->piece->lines;
        *spot = (Spot){spot->piece->next, line, line, 0};
    }
    return has_moved;
}

static bool step_up(Spot *spot) {
    while (spot->piece->prev && (spot->at == 0 || spot->piece->is_patched) && spot->piece->prev->is_patched) {
        Piece *piece = spot->piece->prev;
        size_t line = spot->piece_line - piece->lines;
        *spot = (Spot){piece, line, line, 0};
    }
    return spot_prev(spot);
}

static void search(Search *s, size_t start) {
    Spot down = image_seek(s->image, start), up = down;
    if (try_place(s, down))
        return;
    bool has_down = step_down(&down), has_up = step_up(&up);
    for (size_t steps = 0; has_down || has_up; steps++) {
        bool is_down = has_down && (!has_up || distance(down.line, start) <= distance(up.line, start));
        if (steps >= NEAR && ++s->image->walked > OFTEN * s->image->lines) {
            search_by_names(s, start);
            return;
        }
        if (try_place(s, is_down ? down : up))
            return;
        if (is_down)
            has_down = step_down(&down);
        else
            has_up = step_up(&up);
    }
}

bool match_find(Image *image, const Window *window, size_t expected, Fit fit, const PatchOptions *options,
                Match *out) {
    Search s = {image, window, fit, options, expected, out, false};
    size_t count = window->old_count, end = count > image->lines ? image->lines : image->lines - count;
    if (fit.match_beginning || fit.match_end)
        try_place(&s, image_seek(image, fit.match_beginning ? 0 : end));
    else
        search(&s, expected > image->lines ? image->lines : expected);
    return s.has_found;
}
