#define _GNU_SOURCE /* memrchr */
#include "diff/patch_image_internal.h"

#include <stdlib.h>
#include <string.h>

enum { INDEX_LINES = 64 };

static size_t line_end(Str text, size_t at) {
    const char *end = at < text.len ? memchr(text.ptr + at, '\n', text.len - at) : NULL;
    return end ? (size_t)(end - text.ptr) + 1 : text.len;
}

static void index_lines(Image *image) {
    size_t capacity = 0, line = 0;
    Str text = image->old_text;
    for (size_t at = 0; at < text.len; at = line_end(text, at), line++)
        if (line % INDEX_LINES == 0)
            LIST_PUSH(image->arena, image->index, image->index_count, capacity, at);
    image->lines = line;
}

void image_init(Image *image, Str text, Arena *arena) {
    text = text.len ? text : S(""); /* never a null pointer, so that offsets can be added */
    *image = (Image){.arena = arena, .old_text = text};
    index_lines(image);
    image->first = image->hint = ARENA_NEW(arena, Piece);
    *image->first = (Piece){.text = text, .lines = image->lines};
}

/* Byte of line n of a piece, n up to its count. */
static size_t piece_offset(const Image *image, const Piece *piece, size_t n) {
    size_t at = 0, begin = 0;
    if (n >= piece->lines)
        return piece->text.len;
    if (!piece->is_patched) {
        size_t line = piece->first_line + n, mark = line / INDEX_LINES * INDEX_LINES;
        if (mark >= piece->first_line) {
            begin = (size_t)(piece->text.ptr - image->old_text.ptr);
            at = image->index[line / INDEX_LINES] - begin;
            n = line - mark;
        }
    }
    for (; n; n--)
        at = line_end(piece->text, at);
    return at;
}

Spot image_seek(Image *image, size_t line) {
    Piece *piece = image->hint;
    size_t begin = image->hint_line;
    line = line < image->lines ? line : image->lines;
    while (line < begin) {
        piece = piece->prev;
        begin -= piece->lines;
    }
    while (line >= begin + piece->lines && piece->next) {
        begin += piece->lines;
        piece = piece->next;
    }
    image->hint = piece;
    image->hint_line = begin;
    return (Spot){piece, begin, line, piece_offset(image, piece, line - begin)};
}

Str spot_line(const Spot *spot) {
    return str_slice(spot->piece->text, spot->at, line_end(spot->piece->text, spot->at));
}

bool spot_next(Spot *spot) {
    Piece *piece = spot->piece;
    if (spot->at >= piece->text.len && !piece->next)
        return false;
    spot->at = line_end(piece->text, spot->at);
    spot->line++;
    if (spot->at < piece->text.len || !piece->next)
        return true;
    spot->piece_line += piece->lines;
    *spot = (Spot){piece->next, spot->piece_line, spot->piece_line, 0};
    return true;
}

bool spot_prev(Spot *spot) {
    if (spot->at == 0) {
        if (!spot->piece->prev)
            return false;
        size_t line = spot->piece_line;
        spot->piece = spot->piece->prev;
        spot->piece_line -= spot->piece->lines;
        spot->at = spot->piece->text.len;
        spot->line = line;
    }
    const char *end = spot->at > 1 ? memrchr(spot->piece->text.ptr, '\n', spot->at - 1) : NULL;
    spot->at = end ? (size_t)(end - spot->piece->text.ptr) + 1 : 0;
    spot->line--;
    return true;
}

/* ---- pieces ---- */

static void link_after(Image *image, Piece *before, Piece *piece) {
    piece->prev = before;
    piece->next = before ? before->next : image->first;
    *(before ? &before->next : &image->first) = piece;
    if (piece->next)
        piece->next->prev = piece;
}

static void unlink_piece(Image *image, Piece *piece) {
    *(piece->prev ? &piece->prev->next : &image->first) = piece->next;
    if (piece->next)
        piece->next->prev = piece->prev;
}

/* Makes a piece begin at spot (not at the end of the image) and returns it. */
static Piece *cut(Image *image, const Spot *spot) {
    Piece *piece = spot->piece;
    size_t lines = spot->line - spot->piece_line;
    if (spot->at == 0)
        return piece;
    Piece *rest = ARENA_NEW(image->arena, Piece);
    *rest = (Piece){.text = str_from(piece->text, spot->at),
                    .lines = piece->lines - lines,
                    .first_line = piece->first_line + (piece->is_patched ? 0 : lines),
                    .is_patched = piece->is_patched};
    piece->text.len = spot->at;
    piece->lines = lines;
    link_after(image, piece, rest);
    return rest;
}

void image_replace(Image *image, Spot spot, size_t count, Str text, size_t lines) {
    Piece *made = ARENA_NEW(image->arena, Piece);
    bool is_at_end = spot.at >= spot.piece->text.len;
    size_t old_line = spot.piece->first_line + (spot.piece->is_patched ? 0 : spot.line - spot.piece_line);
    Piece *next = is_at_end ? NULL : cut(image, &spot);
    Piece *last = is_at_end ? spot.piece : next->prev;
    *made = (Piece){.text = text, .lines = lines, .first_line = old_line, .is_patched = true};
    link_after(image, last, made);
    if (last && last->lines == 0)
        unlink_piece(image, last); /* an empty image has one piece without lines */
    image->lines = image->lines - count + lines;
    for (size_t left = count; left && next;) {
        Piece *gone = next;
        if (gone->lines > left) {
            Spot end = {gone, 0, left, piece_offset(image, gone, left)};
            next = cut(image, &end);
            left = gone->lines;
        } else {
            next = gone->next;
        }
        left -= gone->lines;
        unlink_piece(image, gone);
    }
    image->hint = made;
    image->hint_line = spot.line;
    if (lines == 0 && (made->prev || made->next)) { /* nothing is left here */
        unlink_piece(image, made);
        image->hint = made->prev ? made->prev : made->next;
        image->hint_line = made->prev ? spot.line - made->prev->lines : spot.line;
    }
}

/* ---- lines by what they hold ---- */

bool image_find_old(Spot *near, const Image *image, size_t old_line) {
    Piece *piece = near->piece;
    size_t begin = near->piece_line;
    while (piece->prev && old_line < piece->first_line) {
        piece = piece->prev;
        begin -= piece->lines;
    }
    while (piece->next && piece->next->first_line <= old_line) {
        begin += piece->lines;
        piece = piece->next;
    }
    size_t n = old_line - piece->first_line;
    bool is_there = !piece->is_patched && old_line >= piece->first_line && n < piece->lines;
    *near = (Spot){piece, begin, begin + (is_there ? n : 0), is_there ? piece_offset(image, piece, n) : 0};
    return is_there;
}

/* FNV-1a without blanks, 32 bits of it. */
static uint64_t name_of_line(Str line) {
    uint64_t hash = STR_HASH_START;
    for (size_t i = 0; i < line.len; i++) {
        char c = line.ptr[i];
        if (c != ' ' && (c < '\t' || c > '\r'))
            hash = (hash ^ (unsigned char)c) * UINT64_C(0x100000001b3);
    }
    return (hash ^ hash >> 32) << 32;
}

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void name_lines(Image *image) {
    Str text = image->old_text;
    size_t lines = 0;
    for (size_t at = 0; at < text.len; at = line_end(text, at))
        lines++;
    image->names = ARENA_ARRAY(image->arena, uint64_t, lines + 1);
    for (size_t at = 0, end; at < text.len && image->name_count <= UINT32_MAX; at = end) {
        end = line_end(text, at);
        image->names[image->name_count] = name_of_line(str_slice(text, at, end)) | image->name_count;
        image->name_count++;
    }
    qsort(image->names, image->name_count, sizeof *image->names, by_value);
}

static size_t first_name(const Image *image, uint64_t least) {
    size_t low = 0, high = image->name_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (image->names[middle] < least)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void image_names(Image *image, Str line, size_t *begin, size_t *end) {
    if (!image->names)
        name_lines(image);
    uint64_t name = name_of_line(line);
    *begin = first_name(image, name);
    *end = name == UINT64_MAX << 32 ? image->name_count : first_name(image, name + (UINT64_C(1) << 32));
}

Str image_join(const Image *image, Arena *arena) {
    size_t len = 0, at = 0;
    for (const Piece *piece = image->first; piece; piece = piece->next)
        len += piece->text.len;
    char *text = arena_alloc(arena, len + 1);
    for (const Piece *piece = image->first; piece; piece = piece->next) {
        if (piece->text.len)
            memcpy(text + at, piece->text.ptr, piece->text.len);
        at += piece->text.len;
    }
    return (Str){text, len};
}
