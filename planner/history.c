#include "planner/planner_internal.h"

void history_free(History *history) {
    arena_free(&history->arena);
    *history = (History){0};
}

static void keep(Session *s) {
    store_replace_messages(s->planner->store, s->id, s->history.items, s->history.count);
}

void history_push(Session *s, Role role, Str text) {
    History *h = &s->history;
    StoredMessage item = {.message = {role, str_copy(&h->arena, text)}, .turn = s->turn};
    LIST_PUSH(&h->arena, h->items, h->count, h->capacity, item);
    store_message(s->planner->store, s->id, s->turn, role, text);
}

static void drop(Session *s, size_t first, size_t end) {
    History *h = &s->history;
    for (size_t i = end; i < h->count; i++)
        h->items[first + i - end] = h->items[i];
    h->count -= end - first;
    keep(s);
}

bool history_drop_oldest(Session *s) {
    const History *h = &s->history;
    size_t end = 0;
    while (end < h->count && h->items[end].turn == h->items[0].turn)
        end++;
    if (end < h->count)
        drop(s, 0, end);
    else if (end >= 3)
        drop(s, 1, 3);
    else
        return false;
    return true;
}

size_t history_turns(const Session *s) {
    const History *h = &s->history;
    size_t turns = 0;
    for (size_t i = 0; i < h->count; i++)
        turns += i == 0 || h->items[i].turn != h->items[i - 1].turn;
    return turns;
}

size_t history_rewind(Session *s, size_t turns) {
    const History *h = &s->history;
    size_t end = h->count, dropped = 0;
    while (end > 0 && h->items[end - 1].turn == s->turn)
        end--;
    size_t first = end;
    for (; dropped < turns && first > 0; dropped++) {
        uint64_t turn = h->items[first - 1].turn;
        while (first > 0 && h->items[first - 1].turn == turn)
            first--;
    }
    if (dropped)
        drop(s, first, end);
    return dropped;
}

void history_replace(Session *s, Str summary) {
    History old = s->history;
    Buf text = {0};
    prompt_summary(summary, &text);
    s->history = (History){0};
    History *h = &s->history;
    size_t last = 0;
    while (last + 1 < old.count && old.items[last + 1].turn != s->turn)
        last++;
    uint64_t turn = old.count ? old.items[last].turn : s->turn;
    StoredMessage notes = {.message = {ROLE_USER, buf_copy(&text, &h->arena)}, .turn = turn};
    StoredMessage reply = {.message = {ROLE_ASSISTANT, prompt_summary_reply()}, .turn = turn};
    LIST_PUSH(&h->arena, h->items, h->count, h->capacity, notes);
    LIST_PUSH(&h->arena, h->items, h->count, h->capacity, reply);
    for (size_t i = 0; i < old.count; i++) {
        if (old.items[i].turn != s->turn)
            continue;
        StoredMessage item = old.items[i];
        item.message.text = str_copy(&h->arena, item.message.text);
        LIST_PUSH(&h->arena, h->items, h->count, h->capacity, item);
    }
    buf_free(&text);
    history_free(&old);
    keep(s);
}
