/* tokenize: the token ids of a text, of stdin, or of every string of a JSON array on stdin. */
#define _GNU_SOURCE
#include <unistd.h>

#include "acp/commands/commands.h"
#include "acp/house.h"
#include "engine/tokenizer_file.h"

#define TEXT_MAX_BYTES ((size_t)256 << 20)

static Json *ids_of(const Tokenizer *tokenizer, Str text, unsigned flags) {
    TokenList list = {0};
    Json *ids = json_array();
    tokenizer_encode(tokenizer, text, flags, &list);
    for (size_t i = 0; i < list.count; i++)
        json_push(ids, cJSON_CreateNumber(list.ids[i]));
    tokens_free(&list);
    return ids;
}

static bool read_stdin(Buf *out, Err *err) {
    ssize_t n = 1;
    while (n > 0 && out->len <= TEXT_MAX_BYTES && buf_reserve(out, 65536)) {
        n = read(STDIN_FILENO, out->ptr + out->len, 65536);
        out->len += n > 0 ? (size_t)n : 0;
    }
    return (n == 0 && !out->failed) || err_set(err, ERR_IO, "stdin cannot be read whole");
}

/* A JSON array of strings gives an array of id arrays; NULL + sentence when it is something else. */
static Json *ids_of_array(const Tokenizer *tokenizer, Str text, unsigned flags, Err *err) {
    Json *texts = json_parse(text, err), *all = NULL;
    if (texts && !cJSON_IsArray(texts))
        err_set(err, ERR_INVALID, "--json needs a JSON array of strings on stdin");
    else if (texts) {
        all = json_array();
        JSON_EACH(item, texts)
        json_push(all, ids_of(tokenizer, json_str_value(item), flags));
    }
    json_free(texts);
    return all;
}

static bool tokenize(const Tokenizer *tokenizer, const Settings *settings, Err *err) {
    unsigned flags = settings_has(settings, OPT_SPECIAL) ? TOKENIZE_SPECIAL : TOKENIZE_PLAIN;
    bool as_json = settings_has(settings, OPT_JSON);
    Arena arena = {0};
    Buf input = {0};
    Json *result = NULL;
    if (settings->word_count)
        result = ids_of(tokenizer, settings_words(settings, &arena), flags);
    else if (read_stdin(&input, err))
        result = as_json ? ids_of_array(tokenizer, buf_text(&input), flags, err)
                         : ids_of(tokenizer, buf_text(&input), flags);
    bool ok = result != NULL;
    if (ok && as_json) {
        ok = command_print_json(result);
    } else if (ok) {
        JSON_EACH(id, result)
        printf("%d%s", id->valueint, id->next ? " " : "");
        putchar('\n');
        json_free(result);
    }
    buf_free(&input);
    arena_free(&arena);
    return ok;
}

/* A file may hold a vocabulary alone, which no chat can be opened on. */
static Tokenizer *open_file(Str model, Err *err) {
    Arena arena = {0};
    Gguf *gguf = gguf_open(str_cstr(&arena, model), err);
    Tokenizer *tokenizer = gguf ? tokenizer_of_file(gguf, err) : NULL;
    gguf_close(gguf);
    arena_free(&arena);
    return tokenizer;
}

static int run(const Settings *settings) {
    Err err = {0};
    House house;
    house_init(&house, settings);
    Str model = settings_text(settings, OPT_MODEL);
    Tokenizer *own = NULL;
    Chat *chat = NULL;
    const Tokenizer *tokenizer = NULL;
    if (str_ends(model, S(".gguf"))) {
        tokenizer = own = open_file(model, &err);
    } else if (house_engine(&house, &err) && (chat = chat_open(house.engine, S(""), &err))) {
        tokenizer = chat_tokenizer(chat);
        if (!tokenizer)
            err_set(&err, ERR_UNSUPPORTED, "a scripted model has no tokens; name a real one");
    }
    int status = !tokenizer                            ? STATUS_CANNOT_START
                 : tokenize(tokenizer, settings, &err) ? STATUS_DONE
                                                       : STATUS_FAILED;
    if (status != STATUS_DONE)
        command_fail("tokenize", status, &err);
    tokenizer_close(own);
    chat_close(chat);
    house_close(&house);
    return status;
}

const Command COMMAND_TOKENIZE = {
    "tokenize",
    "--model M [--special] [--json] [TEXT]",
    "token ids of a text",
    OPTIONS_ENGINE | OPTION(SPECIAL) | OPTION(JSON),
    run,
};
