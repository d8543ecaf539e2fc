/* "GIT binary patch" data, as git-diff(1) --binary prints it and gitformat-pack(5) describes its deltas: a
 * line "literal N" or "delta N" with the inflated size, lines of base 85 (first a letter for how many bytes
 * the line holds, 'A' = 1 to 'z' = 52), an empty line. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

#include "diff/patch_internal.h"

enum { LINE_BYTES = 52, GROUP_BYTES = 4, GROUP_LETTERS = 5, LEAST_LINE = 7, INFLATE_WINDOW = 65536 };

static const char LETTERS[] =
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/* ---- ids ---- */

static pthread_once_t crypto_once = PTHREAD_ONCE_INIT;

/* Without reading the system's configuration, which costs more than hashing a file. */
static void crypto_init(void) {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
}

void patch_blob_id(Str text, char hex[PATCH_ID_HEX + 1]) {
    unsigned char digest[EVP_MAX_MD_SIZE] = {0};
    char head[32];
    int head_len = snprintf(head, sizeof head, "blob %zu", text.len) + 1; /* the zero byte belongs to it */
    pthread_once(&crypto_once, crypto_init);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) &&
              EVP_DigestUpdate(ctx, head, (size_t)head_len) && EVP_DigestUpdate(ctx, text.ptr, text.len) &&
              EVP_DigestFinal_ex(ctx, digest, NULL);
    EVP_MD_CTX_free(ctx);
    for (size_t i = 0; i < PATCH_ID_HEX; i++) /* a digest that cannot be had equals no id */
        hex[i] = ok ? "0123456789abcdef"[i % 2 ? digest[i / 2] & 15 : digest[i / 2] >> 4] : '-';
    hex[PATCH_ID_HEX] = 0;
}

bool patch_id_is_full(Str id) {
    bool ok = id.len == PATCH_ID_HEX;
    for (size_t i = 0; ok && i < id.len; i++)
        ok = (id.ptr[i] >= '0' && id.ptr[i] <= '9') || (id.ptr[i] >= 'a' && id.ptr[i] <= 'f') ||
             (id.ptr[i] >= 'A' && id.ptr[i] <= 'F');
    return ok;
}

bool patch_id_is_null(Str id) {
    bool ok = id.len == PATCH_ID_HEX;
    for (size_t i = 0; ok && i < id.len; i++)
        ok = id.ptr[i] == '0';
    return ok;
}

/* ---- reading ---- */

static bool corrupt(const PatchReader *r, Err *err) {
    return err_set(err, ERR_INVALID, "line %zu of the patch: the binary data is damaged", r->line);
}

static size_t line_bytes(char letter) {
    if (letter >= 'A' && letter <= 'Z')
        return (size_t)(letter - 'A') + 1;
    return letter >= 'a' && letter <= 'z' ? (size_t)(letter - 'a') + 27 : 0;
}

/* One line's groups of five letters, the most significant first; false for a wrong letter or a value over 32
 * bits. */
static bool decode_groups(Str letters, size_t bytes, Buf *out) {
    static const uint32_t BASE = 85;
    for (size_t at = 0; at < letters.len; at += GROUP_LETTERS) {
        uint64_t value = 0;
        for (size_t i = 0; i < GROUP_LETTERS; i++) {
            char c = letters.ptr[at + i];
            const char *letter = c ? strchr(LETTERS, c) : NULL;
            if (!letter)
                return false;
            value = value * BASE + (uint64_t)(letter - LETTERS);
        }
        if (value > UINT32_MAX)
            return false;
        for (int shift = 24; shift >= 0 && bytes; shift -= 8, bytes--)
            buf_char(out, (char)(value >> shift & 255));
    }
    return !out->failed;
}

/* The lines up to and with the empty one. */
static bool read_deflated(PatchReader *r, Buf *out, Err *err) {
    for (;;) {
        Str line = patch_peek(r);
        if (str_eq(line, S("\n")))
            break;
        if (line.len < LEAST_LINE || !str_ends(line, S("\n")) || (line.len - 2) % GROUP_LETTERS)
            return corrupt(r, err);
        size_t most = (line.len - 2) / GROUP_LETTERS * GROUP_BYTES, bytes = line_bytes(line.ptr[0]);
        if (bytes > most || bytes + GROUP_BYTES <= most ||
            !decode_groups(str_slice(line, 1, line.len - 1), bytes, out))
            return corrupt(r, err);
        patch_skip(r);
    }
    patch_skip(r);
    return true;
}

/* All of deflated, exactly `size` bytes, into room for one more; room NULL only counts, so that nothing is
 * allocated for a size that the data does not have. */
static bool inflate_all(const Buf *deflated, char *room, size_t size) {
    unsigned char window[INFLATE_WINDOW];
    z_stream stream = {.next_in = (unsigned char *)deflated->ptr, .avail_in = (uInt)deflated->len};
    if (deflated->len > UINT32_MAX || size > UINT32_MAX || inflateInit(&stream) != Z_OK)
        return false;
    int status = Z_OK;
    while (status == Z_OK) {
        stream.next_out = room ? (unsigned char *)room + stream.total_out : window;
        stream.avail_out = room ? (uInt)(size + 1 - stream.total_out) : sizeof window;
        status = inflate(&stream, Z_NO_FLUSH);
        if (stream.total_out > size)
            break;
    }
    bool ok = status == Z_STREAM_END && stream.total_out == size;
    inflateEnd(&stream);
    return ok;
}

static bool read_size(Str line, size_t *size) {
    size_t i = 0;
    *size = 0;
    for (; i < line.len && line.ptr[i] >= '0' && line.ptr[i] <= '9' && *size <= PATCH_BINARY_MAX; i++)
        *size = *size * 10 + (size_t)(line.ptr[i] - '0');
    return i > 0;
}

/* *found is false when no half begins here. */
static bool read_half(PatchReader *r, PatchBinary *half, bool *found, Err *err) {
    Str line = patch_peek(r);
    Buf deflated = {0};
    size_t size;
    bool is_delta = str_starts(line, S("delta "));
    *half = (PatchBinary){0};
    *found = is_delta || str_starts(line, S("literal "));
    if (!*found)
        return true;
    if (!read_size(str_from(line, is_delta ? 6 : 8), &size))
        return corrupt(r, err);
    if (size > PATCH_BINARY_MAX - r->binary_bytes)
        return err_set(err, ERR_LIMIT, "line %zu of the patch: more than %zu MiB of binary data", r->line,
                       PATCH_BINARY_MAX >> 20);
    PatchReader begin = *r;
    patch_skip(r);
    bool ok = read_deflated(r, &deflated, err);
    if (ok && !inflate_all(&deflated, NULL, size))
        ok = corrupt(&begin, err);
    if (ok) {
        char *room = arena_alloc(r->arena, size + 1);
        ok = inflate_all(&deflated, room, size) || corrupt(&begin, err);
        *half = (PatchBinary){is_delta ? BINARY_DELTA : BINARY_LITERAL, {room, size}};
        r->binary_bytes += size;
    }
    buf_free(&deflated);
    return ok;
}

bool patch_read_binary(PatchReader *r, PatchFile *file, Err *err) {
    bool found;
    patch_skip(r); /* "GIT binary patch" */
    if (!read_half(r, &file->forward, &found, err))
        return false;
    if (!found)
        return err_set(err, ERR_INVALID, "line %zu of the patch: binary data should begin here", r->line);
    file->is_binary = true;
    return read_half(r, &file->backward, &found, err);
}

/* ---- applying ---- */

static bool delta_size(Str delta, size_t *at, size_t *size) {
    *size = 0;
    for (unsigned shift = 0; *at < delta.len && shift < 63; shift += 7) {
        unsigned char c = (unsigned char)delta.ptr[(*at)++];
        *size |= (size_t)(c & 127) << shift;
        if (!(c & 128))
            return true;
    }
    return false;
}

/* A copy instruction's arguments: bits of op tell which bytes of offset and size follow. */
static bool delta_copy(Str delta, size_t *at, unsigned char op, size_t *offset, size_t *size) {
    *offset = *size = 0;
    for (unsigned bit = 0; bit < 7; bit++) {
        if (!(op >> bit & 1))
            continue;
        if (*at >= delta.len)
            return false;
        size_t byte = (unsigned char)delta.ptr[(*at)++];
        if (bit < 4)
            *offset |= byte << 8 * bit;
        else
            *size |= byte << 8 * (bit - 4);
    }
    *size = *size ? *size : 0x10000;
    return true;
}

static bool apply_delta(Str delta, Str old, Arena *arena, Str *out) {
    size_t at = 0, old_size, new_size, done = 0;
    if (!delta_size(delta, &at, &old_size) || !delta_size(delta, &at, &new_size) || old_size != old.len ||
        new_size > PATCH_BINARY_MAX)
        return false;
    char *room = arena_alloc(arena, new_size + 1);
    while (at < delta.len) {
        unsigned char op = (unsigned char)delta.ptr[at++];
        size_t offset = at, size = op;
        Str from = delta;
        if (op & 128) {
            if (!delta_copy(delta, &at, op, &offset, &size))
                return false;
            from = old;
        } else {
            at += op;
        }
        if (!size || offset > from.len || size > from.len - offset || size > new_size - done)
            return false;
        memcpy(room + done, from.ptr + offset, size);
        done += size;
    }
    *out = (Str){room, done};
    return done == new_size;
}

bool patch_apply_binary(const PatchFile *file, Str old_text, Arena *arena, Str *new_text, Err *err) {
    Str name = str_slice(file->old_path.len ? file->old_path : file->new_path, 0, 160);
    char id[PATCH_ID_HEX + 1];
    if (!patch_id_is_full(file->old_id) || !patch_id_is_full(file->new_id))
        return err_set(err, ERR_INVALID,
                       "%.*s: a binary patch needs both full ids on its index line (git diff --binary)",
                       STR_ARG(name));
    patch_blob_id(old_text, id);
    if (file->kind == PATCH_CREATE ? old_text.len > 0 : !str_eq(str_of(id), file->old_id))
        return err_set(err, ERR_CONFLICT, "%.*s: the binary patch is for another text than this file holds",
                       STR_ARG(name));
    *new_text = S("");
    if (patch_id_is_null(file->new_id))
        return true;
    bool ok = file->forward.kind == BINARY_LITERAL;
    if (ok)
        *new_text = file->forward.data;
    else if (file->forward.kind == BINARY_DELTA)
        ok = apply_delta(file->forward.data, old_text, arena, new_text);
    else
        return err_set(err, ERR_UNSUPPORTED, "%.*s: the patch holds no binary data for this direction",
                       STR_ARG(name));
    if (ok)
        patch_blob_id(*new_text, id);
    return (ok && str_eq(str_of(id), file->new_id)) ||
           err_set(err, ERR_INVALID, "%.*s: the binary data does not give the text that the patch promises",
                   STR_ARG(name));
}

/* ---- printing ---- */

enum { BLOCK = 16, COPY_MOST = 0x10000, INSERT_MOST = 127, INDEX_MOST = 1 << 20, NO_BLOCK = -1 };

static void put_delta_size(size_t size, Buf *out) {
    for (; size >= 128; size >>= 7)
        buf_char(out, (char)((size & 127) | 128));
    buf_char(out, (char)size);
}

static void put_inserts(Str bytes, Buf *out) {
    for (size_t at = 0; at < bytes.len; at += INSERT_MOST) {
        Str part = str_slice(bytes, at, at + INSERT_MOST);
        buf_char(out, (char)part.len);
        buf_str(out, part);
    }
}

static void put_copies(size_t offset, size_t size, Buf *out) {
    while (size) {
        size_t part = size < COPY_MOST ? size : COPY_MOST, coded = part == COPY_MOST ? 0 : part;
        char args[8];
        size_t count = 0;
        unsigned char op = 128;
        for (unsigned bit = 0; bit < 6; bit++) {
            size_t byte = bit < 4 ? offset >> 8 * bit & 255 : coded >> 8 * (bit - 4) & 255;
            if (byte) {
                op |= (unsigned char)(1 << bit);
                args[count++] = (char)byte;
            }
        }
        buf_char(out, (char)op);
        buf_append(out, args, count);
        offset += part;
        size -= part;
    }
}

static uint64_t block_hash(const char *p) {
    uint64_t a, b;
    memcpy(&a, p, 8);
    memcpy(&b, p + 8, 8);
    a = (a ^ b >> 29) * UINT64_C(0x9E3779B97F4A7C15) + b * UINT64_C(0xC2B2AE3D27D4EB4F);
    return a ^ a >> 32;
}

/* Where each block of before stands, by hash; a later one with the same slot is left out. */
static int64_t *index_blocks(Str before, size_t *mask, Arena *arena) {
    size_t slots = 64;
    while (slots < before.len / BLOCK * 2 && slots < INDEX_MOST)
        slots *= 2;
    int64_t *index = ARENA_ARRAY(arena, int64_t, slots);
    for (size_t i = 0; i < slots; i++)
        index[i] = NO_BLOCK;
    *mask = slots - 1;
    for (size_t at = 0; at + BLOCK <= before.len; at += BLOCK) {
        int64_t *slot = &index[block_hash(before.ptr + at) & *mask];
        *slot = *slot == NO_BLOCK ? (int64_t)at : *slot;
    }
    return index;
}

/* Greedy: the first block that is known is a copy, grown in both directions. */
static void make_delta(Str before, Str after, Buf *out) {
    Arena scratch = {0};
    size_t mask, done = 0;
    const int64_t *index = index_blocks(before, &mask, &scratch);
    put_delta_size(before.len, out);
    put_delta_size(after.len, out);
    for (size_t at = 0; at + BLOCK <= after.len;) {
        int64_t found = index[block_hash(after.ptr + at) & mask];
        size_t from = (size_t)found, begin = at, end = at;
        if (found == NO_BLOCK || memcmp(before.ptr + from, after.ptr + at, BLOCK) != 0) {
            at++;
            continue;
        }
        while (begin > done && from > 0 && before.ptr[from - 1] == after.ptr[begin - 1])
            begin--, from--;
        for (end = at; end < after.len && from + (end - begin) < before.len;)
            if (after.ptr[end] == before.ptr[from + (end - begin)])
                end++;
            else
                break;
        put_inserts(str_slice(after, done, begin), out);
        put_copies(from, end - begin, out);
        at = done = end;
    }
    put_inserts(str_from(after, done), out);
    arena_free(&scratch);
}

static bool deflate_all(Str bytes, Buf *out) {
    uLong bound = compressBound((uLong)bytes.len);
    if (!buf_reserve(out, bound))
        return false;
    int status = compress2((unsigned char *)out->ptr, &bound, (const unsigned char *)bytes.ptr,
                           (uLong)bytes.len, Z_BEST_COMPRESSION);
    out->len = status == Z_OK ? bound : 0;
    return status == Z_OK;
}

static void put_letters(const Buf *bytes, Buf *out) {
    for (size_t at = 0; at < bytes->len; at += LINE_BYTES) {
        size_t n = bytes->len - at < LINE_BYTES ? bytes->len - at : LINE_BYTES;
        buf_char(out, (char)(n <= 26 ? 'A' + (int)n - 1 : 'a' + (int)n - 27));
        for (size_t i = 0; i < n; i += GROUP_BYTES) {
            uint32_t value = 0;
            char letters[GROUP_LETTERS];
            for (size_t k = 0; k < GROUP_BYTES; k++)
                value = value << 8 | (i + k < n ? (unsigned char)bytes->ptr[at + i + k] : 0);
            for (size_t k = GROUP_LETTERS; k-- > 0; value /= 85)
                letters[k] = LETTERS[value % 85];
            buf_append(out, letters, GROUP_LETTERS);
        }
        buf_char(out, '\n');
    }
    buf_char(out, '\n');
}

/* The way from one text to the other, as whichever is smaller. */
static bool put_half(Str from, Str to, Buf *out) {
    Buf literal = {0}, delta = {0}, delta_bytes = {0};
    bool ok = deflate_all(to, &literal), has_delta = false;
    if (ok && from.len && to.len && from.len <= PATCH_BINARY_MAX && to.len <= PATCH_BINARY_MAX) {
        make_delta(from, to, &delta_bytes);
        has_delta = !delta_bytes.failed && delta_bytes.len < to.len &&
                    deflate_all(buf_text(&delta_bytes), &delta) && delta.len < literal.len;
    }
    buf_printf(out, "%s %zu\n", has_delta ? "delta" : "literal", has_delta ? delta_bytes.len : to.len);
    put_letters(has_delta ? &delta : &literal, out);
    buf_free(&literal);
    buf_free(&delta);
    buf_free(&delta_bytes);
    return ok && !out->failed;
}

bool patch_binary_print(Str before, Str after, Buf *out) {
    size_t begin = out->len;
    buf_cstr(out, "GIT binary patch\n");
    bool ok = put_half(before, after, out) && put_half(after, before, out);
    if (!ok)
        out->len = begin;
    return ok;
}
