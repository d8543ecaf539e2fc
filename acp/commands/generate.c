/* generate: raw continuation of a text or of token ids, without a chat format. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "acp/commands/commands.h"
#include "acp/house.h"
#include "base/os.h"

#define GENERATE_DEFAULT 128

typedef struct Generation {
    TokenList prompt;
    Buf text;
    Json *tokens, *top; /* for --json */
    size_t logprobs;
    FILE *rows; /* --logits-file */
    bool is_streaming, has_failed;
} Generation;

static bool take_text(void *ctx, Str piece) {
    Generation *generation = ctx;
    buf_str(&generation->text, piece);
    if (generation->is_streaming &&
        (fwrite(piece.ptr, 1, piece.len, stdout) != piece.len || fflush(stdout) != 0))
        generation->has_failed = true;
    return !generation->has_failed;
}

/* The k largest logits, largest first, the smaller id first among equals. */
static Json *top_logits(const float *logits, size_t count, size_t k) {
    Json *list = json_array();
    bool *taken = calloc(count, sizeof *taken);
    for (size_t n = 0; taken && n < k && n < count; n++) {
        size_t best = count;
        for (size_t i = 0; i < count; i++)
            if (!taken[i] && (best == count || logits[i] > logits[best]))
                best = i;
        taken[best] = true;
        Json *item = json_object();
        json_put_int(item, "id", (int64_t)best);
        json_put_num(item, "logit", (double)logits[best]);
        json_push(list, item);
    }
    free(taken);
    return list;
}

static bool take_token(void *ctx, int32_t id, const float *logits, size_t vocabulary) {
    Generation *generation = ctx;
    json_push(generation->tokens, cJSON_CreateNumber(id));
    if (generation->logprobs && logits)
        json_push(generation->top, top_logits(logits, vocabulary, generation->logprobs));
    if (generation->rows && logits &&
        fwrite(logits, sizeof *logits, vocabulary, generation->rows) != vocabulary)
        generation->has_failed = true;
    return !generation->has_failed;
}

static bool parse_ids(Str text, TokenList *out, Err *err) {
    Str rest = text;
    while (rest.len) {
        size_t comma = str_find_char(rest, ',', 0);
        Str word = str_trim(str_slice(rest, 0, comma));
        int64_t id = 0;
        bool ok = word.len > 0 && word.len < 10;
        for (size_t i = 0; i < word.len && ok; i++) {
            ok = word.ptr[i] >= '0' && word.ptr[i] <= '9';
            id = id * 10 + (word.ptr[i] - '0');
        }
        if (!ok)
            return err_set(err, ERR_INVALID, "--tokens needs ids with commas between them, not \"%.*s\"",
                           STR_ARG(word));
        tokens_push(out, (int32_t)id);
        rest = comma == STR_NONE ? S("") : str_from(rest, comma + 1);
    }
    return out->count > 0 || err_set(err, ERR_INVALID, "--tokens holds no id");
}

static bool read_prompt(Generation *generation, const Settings *settings, Chat *chat, Err *err) {
    if (settings_has(settings, OPT_TOKENS))
        return parse_ids(settings_text(settings, OPT_TOKENS), &generation->prompt, err);
    const Tokenizer *tokenizer = chat_tokenizer(chat);
    if (!tokenizer)
        return err_set(err, ERR_UNSUPPORTED, "a scripted model has no tokens; name a real one");
    tokenizer_encode(tokenizer, settings_text(settings, OPT_PROMPT), TOKENIZE_SPECIAL | TOKENIZE_BOS,
                     &generation->prompt);
    return generation->prompt.count > 0 || err_set(err, ERR_INVALID, "the prompt holds no token");
}

static Sampling read_sampling(const Settings *settings) {
    return (Sampling){
        .temperature = (float)settings_number(settings, OPT_TEMPERATURE, 0),
        .top_k = (int)settings_count(settings, OPT_TOP_K, 0),
        .top_p = (float)settings_number(settings, OPT_TOP_P, 0),
        .min_p = (float)settings_number(settings, OPT_MIN_P, 0),
        .seed = settings_count(settings, OPT_SEED, 0),
        .max_tokens = settings_count(settings, OPT_NUMBER, GENERATE_DEFAULT),
        .ignore_end = settings_has(settings, OPT_LOGITS_FILE),
    };
}

static bool print_json(const Generation *generation, const Usage *usage) {
    Json *json = json_object(), *prompt = json_put_array(json, "prompt");
    for (size_t i = 0; i < generation->prompt.count; i++)
        json_push(prompt, cJSON_CreateNumber(generation->prompt.ids[i]));
    json_put(json, "tokens", cJSON_Duplicate(generation->tokens, true));
    json_put_str(json, "text", buf_text(&generation->text));
    if (generation->logprobs)
        json_put(json, "top", cJSON_Duplicate(generation->top, true));
    json_put_num(json, "prompt_tps",
                 usage->prompt_ms > 0
                     ? (double)(usage->prompt_tokens - usage->cached_tokens) * 1e3 / usage->prompt_ms
                     : 0);
    json_put_num(json, "gen_tps",
                 usage->output_ms > 0 ? (double)usage->output_tokens * 1e3 / usage->output_ms : 0);
    return command_print_json(json);
}

static bool generate(Generation *generation, const Settings *settings, Chat *chat, Err *err) {
    if (!read_prompt(generation, settings, chat, err) ||
        !chat_sync_tokens(chat, generation->prompt.ids, generation->prompt.count, err))
        return false;
    if (settings_has(settings, OPT_LOGITS_FILE) &&
        !(generation->rows = fopen(settings->values[OPT_LOGITS_FILE], "wbe")))
        return err_set_errno(err, errno, "cannot write %s", settings->values[OPT_LOGITS_FILE]);
    Sampling sampling = read_sampling(settings);
    Usage usage = {0};
    ChatSink sink = {generation, take_text, take_token};
    if (sampling.max_tokens && !chat_generate(chat, &sampling, NULL, sink, &usage, err))
        return false;
    if (generation->rows && fclose(generation->rows) != 0)
        generation->has_failed = true;
    generation->rows = NULL;
    if (!generation->has_failed && !generation->is_streaming)
        generation->has_failed = !print_json(generation, &usage);
    else if (!generation->has_failed)
        putchar('\n');
    return !generation->has_failed || err_set(err, ERR_IO, "the output could not be written");
}

static int run(const Settings *settings) {
    if (settings_has(settings, OPT_PROMPT) == settings_has(settings, OPT_TOKENS) || settings->word_count)
        return command_usage(&COMMAND_GENERATE, "give either --prompt or --tokens");
    Err err = {0};
    House house;
    house_init(&house, settings);
    Generation generation = {.tokens = json_array(), .top = json_array()};
    generation.logprobs = settings_count(settings, OPT_LOGPROBS, 0);
    generation.is_streaming = !settings_has(settings, OPT_JSON);
    int status = STATUS_CANNOT_START;
    Chat *chat = house_engine(&house, &err) ? chat_open(house.engine, S(""), &err) : NULL;
    if (chat)
        status = generate(&generation, settings, chat, &err) ? STATUS_DONE : STATUS_FAILED;
    if (status != STATUS_DONE)
        command_fail("generate", status, &err);
    if (generation.rows)
        fclose(generation.rows);
    chat_close(chat);
    house_close(&house);
    tokens_free(&generation.prompt);
    buf_free(&generation.text);
    json_free(generation.tokens);
    json_free(generation.top);
    return status;
}

const Command COMMAND_GENERATE = {
    "generate",
    "--model M (--prompt T | --tokens 1,2,3) [-n N] [--json]",
    "continues a raw text, without a chat format",
    OPTIONS_ENGINE | OPTION(PROMPT) | OPTION(TOKENS) | OPTION(NUMBER) | OPTION(TEMPERATURE) | OPTION(TOP_K) |
        OPTION(TOP_P) | OPTION(MIN_P) | OPTION(SEED) | OPTION(LOGPROBS) | OPTION(LOGITS_FILE) | OPTION(JSON),
    run,
};
