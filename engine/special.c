/* Special tokens: where they stand in a text.
 *
 * The longest token takes its places first (then the next longest, and so on), each from left to right, as
 * far as its bytes are still free: the order llama.cpp splits in. Here each position holds one candidate, its
 * longest match; the candidates are taken best first, and one that finds its bytes taken comes back with the
 * next shorter match.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/tokenizer_internal.h"

static int compare_text(const void *a, const void *b) {
    const Special *x = a, *y = b;
    int order = str_cmp(x->text, y->text);
    return order ? order : x->id < y->id ? -1 : x->id > y->id;
}

static int compare_length(const void *a, const void *b) {
    const Special *x = *(Special *const *)a, *y = *(Special *const *)b;
    if (x->text.len != y->text.len)
        return x->text.len > y->text.len ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static bool contains_nocase(Str text, Str needle) {
    for (size_t i = 0; i + needle.len <= text.len; i++)
        if (str_eq_nocase(str_slice(text, i, i + needle.len), needle))
            return true;
    return false;
}

/* In Phi-3 files every special token but three swallows the blanks after it. */
static bool strips(Str model_name, Str token) {
    if (!contains_nocase(model_name, S("phi-3")) && !contains_nocase(model_name, S("phi3")))
        return false;
    return !str_eq(token, S("<unk>")) && !str_eq(token, S("<s>")) && !str_eq(token, S("<|endoftext|>"));
}

void special_build(Tokenizer *t, const TokenizerSource *source) {
    size_t count = 0, kept = 0;
    for (uint32_t i = 0; i < t->count; i++)
        count +=
            t->types[i] == TOKEN_CONTROL || t->types[i] == TOKEN_USER_DEFINED || t->types[i] == TOKEN_UNKNOWN;
    t->specials = ARENA_ARRAY(&t->arena, Special, count + 1);
    for (uint32_t i = 0; i < t->count; i++) {
        bool user = t->types[i] == TOKEN_USER_DEFINED;
        Str text = {t->texts + t->offsets[i], t->offsets[i + 1] - t->offsets[i]};
        if (text.len && (user || t->types[i] == TOKEN_CONTROL || t->types[i] == TOKEN_UNKNOWN)) {
            bool strip = strips(source->name, text);
            t->has_strips = t->has_strips || strip;
            t->specials[kept++] = (Special){.text = text, .id = i, .user = user, .strips_next = strip};
        }
    }
    qsort(t->specials, kept, sizeof *t->specials, compare_text);
    Special **by_length = memory_or_end(NULL, kept + 1, sizeof *by_length);
    for (size_t i = 0; i < kept; i++) {
        bool again = t->special_count && str_eq(t->specials[t->special_count - 1].text, t->specials[i].text);
        if (!again)
            t->specials[t->special_count++] = t->specials[i];
    }
    for (size_t i = 0; i < t->special_count; i++) {
        by_length[i] = &t->specials[i];
        t->special_user_count += t->specials[i].user;
        t->special_first[(unsigned char)t->specials[i].text.ptr[0] + 1]++;
    }
    for (size_t i = 0; i < 256; i++)
        t->special_first[i + 1] += t->special_first[i];
    qsort(by_length, t->special_count, sizeof *by_length, compare_length);
    for (size_t i = 0; i < t->special_count; i++)
        by_length[i]->order = (uint32_t)i;
    free(by_length);
}

/* The first of specials[low, high), which agree in their first `depth` bytes, whose next byte is at least
 * `byte`. */
static size_t narrow(const Special *specials, size_t low, size_t high, size_t depth, unsigned byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (specials[middle].text.len > depth && (unsigned char)specials[middle].text.ptr[depth] >= byte)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The longest special token that starts text[at...] and has at most `most` bytes; NULL when there is none. */
static const Special *longest_at(const Tokenizer *t, Str text, size_t at, size_t most, bool with_control) {
    unsigned first = (unsigned char)text.ptr[at];
    size_t low = t->special_first[first], high = t->special_first[first + 1];
    const Special *best = NULL;
    if (most > text.len - at)
        most = text.len - at;
    for (size_t depth = 1; low < high && depth <= most; depth++) {
        const Special *exact = &t->specials[low];
        if (exact->text.len == depth && (exact->user || with_control))
            best = exact;
        if (depth == most)
            break;
        unsigned byte = (unsigned char)text.ptr[at + depth];
        low = narrow(t->specials, low, high, depth, byte);
        high = narrow(t->specials, low, high, depth, byte + 1);
    }
    return best;
}

uint32_t special_lookup(const Tokenizer *t, Str text) {
    const Special *found = text.len && t->special_count ? longest_at(t, text, 0, text.len, true) : NULL;
    return found && found->text.len == text.len ? found->id : TOKEN_NONE;
}

typedef struct SpanList {
    SpecialSpan *items;
    size_t count, capacity;
    bool overlap;
} SpanList;

static void span_push(SpanList *list, SpecialSpan span) {
    if (list->count == list->capacity) {
        list->capacity = list->capacity ? list->capacity * 2 : 64;
        list->items = memory_or_end(list->items, list->capacity, sizeof *list->items);
    }
    list->overlap = list->overlap || (list->count && list->items[list->count - 1].end > span.begin);
    list->items[list->count++] = span;
}

static bool comes_before(SpecialSpan a, SpecialSpan b) {
    return a.order != b.order ? a.order < b.order : a.begin < b.begin;
}

static void sift_down(SpecialSpan *heap, size_t count, size_t i) {
    SpecialSpan value = heap[i];
    for (size_t child; (child = 2 * i + 1) < count; i = child) {
        if (child + 1 < count && comes_before(heap[child + 1], heap[child]))
            child++;
        if (!comes_before(heap[child], value))
            break;
        heap[i] = heap[child];
    }
    heap[i] = value;
}

static int compare_begin(const void *a, const void *b) {
    const SpecialSpan *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool strips_next(const Tokenizer *t, const SpecialSpan *span, Str text) {
    const Special *s = longest_at(t, text, span->begin, span->end - span->begin, true);
    return s && s->id == span->id && s->strips_next;
}

/* Gives the bytes away, best candidate first. taken has a mark per byte of the text. A longer token that
 * overlaps a candidate covers its first or its last byte, so these two tell. */
static void settle(const Tokenizer *t, Str text, bool with_control, SpanList *list) {
    unsigned char *taken = memory_or_end(NULL, text.len, 1);
    memset(taken, 0, text.len);
    SpecialSpan *heap = list->items;
    size_t count = list->count;
    SpanList kept = {0};
    for (size_t i = count / 2; i-- > 0;)
        sift_down(heap, count, i);
    while (count) {
        SpecialSpan span = heap[0];
        const Special *shorter = NULL;
        if (!taken[span.begin] && !taken[span.end - 1]) {
            if (t->has_strips && strips_next(t, &span, text))
                while (span.next < text.len && !taken[span.next] && is_blank(text.ptr[span.next]))
                    span.next++;
            memset(taken + span.begin, 1, span.next - span.begin);
            span_push(&kept, span);
        } else if (!taken[span.begin]) {
            shorter = longest_at(t, text, span.begin, span.end - span.begin - 1, with_control);
        }
        if (shorter)
            heap[0] = (SpecialSpan){span.begin, span.begin + shorter->text.len,
                                    span.begin + shorter->text.len, shorter->id, shorter->order};
        else
            heap[0] = heap[--count];
        if (count)
            sift_down(heap, count, 0);
    }
    free(taken);
    free(list->items);
    *list = kept;
    if (kept.count)
        qsort(kept.items, kept.count, sizeof *kept.items, compare_begin);
}

SpecialSpan *special_find(const Tokenizer *t, Str text, bool with_control, size_t *count) {
    SpanList list = {0};
    *count = 0;
    if (!(with_control ? t->special_count : t->special_user_count))
        return NULL;
    for (size_t at = 0; at < text.len; at++) {
        unsigned first = (unsigned char)text.ptr[at];
        if (t->special_first[first] == t->special_first[first + 1])
            continue;
        const Special *s = longest_at(t, text, at, text.len, with_control);
        if (s)
            span_push(&list, (SpecialSpan){at, at + s->text.len, at + s->text.len, s->id, s->order});
    }
    if (list.count && (list.overlap || t->has_strips))
        settle(t, text, with_control, &list);
    *count = list.count;
    return list.items;
}
