#include "planner/store.h"

Store *store_open(Str folder, Err *err) {
    (void)folder;
    err_set(err, ERR_UNSUPPORTED, "sessions cannot be kept");
    return NULL;
}

void store_close(Store *store) {
    (void)store;
}

void store_event(Store *store, Str id, uint64_t turn, const TurnEvent *event) {
    (void)store, (void)id, (void)turn, (void)event;
}

void store_message(Store *store, Str id, uint64_t turn, Role role, Str text) {
    (void)store, (void)id, (void)turn, (void)role, (void)text;
}

void store_replace_messages(Store *store, Str id, const StoredMessage *messages, size_t count) {
    (void)store, (void)id, (void)messages, (void)count;
}
