#include "engine/chat_format.h"

#include "base/buf.h"

/* A turn is: before_role (a control token), the role's word, after_role (a control token), lead-in, text,
 * after_text (a control token), gap. Empty control tokens are left out. */
struct ChatFormat {
    const char *name;
    const char *mark; /* occurs in every template of this format; also the token it cannot do without */
    Str roles[3];     /* by Role */
    Str before_role, after_role, lead_in, after_text, gap;
    Str opening; /* of the turn to be written: the assistant's word and lead-in */
    bool trims;  /* blanks around a message are dropped */
};

static const ChatFormat FORMATS[] = {
    {
        .name = "chatml",
        .mark = "<|im_start|>",
        .roles = {STR_INIT("system"), STR_INIT("user"), STR_INIT("assistant")},
        .before_role = STR_INIT("<|im_start|>"),
        .lead_in = STR_INIT("\n"),
        .after_text = STR_INIT("<|im_end|>"),
        .gap = STR_INIT("\n"),
        .opening = STR_INIT("assistant\n"),
    },
    {
        .name = "llama3",
        .mark = "<|start_header_id|>",
        .roles = {STR_INIT("system"), STR_INIT("user"), STR_INIT("assistant")},
        .before_role = STR_INIT("<|start_header_id|>"),
        .after_role = STR_INIT("<|end_header_id|>"),
        .lead_in = STR_INIT("\n\n"),
        .after_text = STR_INIT("<|eot_id|>"),
        .opening = STR_INIT("assistant"),
        .trims = true,
    },
    {
        .name = "plain",
        .roles = {STR_INIT(""), STR_INIT("User: "), STR_INIT("Assistant: ")},
        .gap = STR_INIT("\n\n"),
        .opening = STR_INIT("Assistant:"),
        .trims = true,
    },
};
#define FORMAT_COUNT (sizeof FORMATS / sizeof *FORMATS)
#define PLAIN_FORMAT (&FORMATS[FORMAT_COUNT - 1])

const char *chat_format_name(const ChatFormat *format) {
    return format->name;
}

static const ChatFormat *format_of_template(Str text) {
    for (size_t i = 0; i + 1 < FORMAT_COUNT; i++)
        if (str_contains(text, str_of(FORMATS[i].mark)))
            return &FORMATS[i];
    return PLAIN_FORMAT;
}

static const ChatFormat *format_of_vocabulary(const Str *tokens, size_t count) {
    for (size_t i = count; i-- > 0;)
        for (size_t f = 0; f + 1 < FORMAT_COUNT; f++)
            if (str_eq(tokens[i], str_of(FORMATS[f].mark)))
                return &FORMATS[f];
    return PLAIN_FORMAT;
}

#define THOUGHTS_BEGIN "<think>"
#define THOUGHTS_END "</think>"

#define LABELS_NEEDED 40

static bool has_all_labels(const Str *tokens, size_t count) {
    uint64_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        if (label_length(tokens[i]) != tokens[i].len || tokens[i].len == 0)
            continue;
        int number = 0;
        for (size_t at = 2; at + 2 < tokens[i].len; at++)
            number = number * 10 + (tokens[i].ptr[at] - '0');
        if (number >= 1 && number <= LABELS_NEEDED)
            seen |= UINT64_C(1) << number;
    }
    return __builtin_popcountll(seen) == LABELS_NEEDED;
}

static bool has_token(const Str *tokens, size_t count, Str token) {
    for (size_t i = count; i-- > 0;)
        if (str_eq(tokens[i], token))
            return true;
    return false;
}

/* Templates of models that think and can be told not to ask for enable_thinking; those that always or never
 * think do not. */
static bool can_be_terse(Str text, const Str *tokens, size_t count) {
    return str_contains(text, S("enable_thinking")) && str_contains(text, S(THOUGHTS_BEGIN)) &&
           has_token(tokens, count, S(THOUGHTS_BEGIN)) && has_token(tokens, count, S(THOUGHTS_END));
}

ChatFacts chat_facts(const Gguf *file) {
    Arena scratch = {0};
    size_t count;
    const Str *tokens = gguf_strings(file, S("tokenizer.ggml.tokens"), &scratch, &count);
    Str text = gguf_string(file, S("tokenizer.chat_template"), S(""));
    ChatFacts facts = {.format = text.len ? format_of_template(text) : format_of_vocabulary(tokens, count),
                       .has_labels = has_all_labels(tokens, count),
                       .has_thinking = can_be_terse(text, tokens, count)};
    arena_free(&scratch);
    return facts;
}

size_t label_length(Str text) {
    size_t at = 2;
    if (!str_starts(text, S("<|")))
        return 0;
    while (at < text.len && at < 5 && text.ptr[at] >= '0' && text.ptr[at] <= '9')
        at++;
    return at > 2 && str_starts(str_from(text, at), S("|>")) ? at + 2 : 0;
}

/* ---- rendering ---- */

/* Plain text gathers here until a control token ends it, so that it is tokenised in one piece. */
typedef struct Renderer {
    const Tokenizer *tokenizer;
    Buf text;
    TokenList *out;
} Renderer;

static void flush_text(Renderer *renderer) {
    if (renderer->text.len)
        tokenizer_encode(renderer->tokenizer, buf_text(&renderer->text), TOKENIZE_PLAIN, renderer->out);
    buf_clear(&renderer->text);
}

static void put_control(Renderer *renderer, Str token) {
    if (token.len == 0)
        return;
    int32_t id = tokenizer_find(renderer->tokenizer, token);
    if (id < 0) {
        buf_str(&renderer->text, token);
        return;
    }
    flush_text(renderer);
    tokens_push(renderer->out, id);
}

static void put_labelled_text(Renderer *renderer, Str text) {
    bool at_line_start = true;
    for (size_t at = 0; at < text.len; at++) {
        size_t label = at_line_start ? label_length(str_from(text, at)) : 0;
        if (label) {
            put_control(renderer, str_slice(text, at, at + label));
            at += label - 1;
            at_line_start = false;
            continue;
        }
        at_line_start = text.ptr[at] == '\n';
        buf_char(&renderer->text, text.ptr[at]);
    }
}

static void put_message(Renderer *renderer, ChatFacts facts, const Message *message) {
    const ChatFormat *format = facts.format;
    put_control(renderer, format->before_role);
    buf_str(&renderer->text, format->roles[message->role]);
    put_control(renderer, format->after_role);
    buf_str(&renderer->text, format->lead_in);
    Str text = format->trims ? str_trim(message->text) : message->text;
    if (facts.has_labels)
        put_labelled_text(renderer, text);
    else
        buf_str(&renderer->text, text);
    put_control(renderer, format->after_text);
    buf_str(&renderer->text, format->gap);
}

/* What the template of Qwen3 adds when enable_thinking is false. */
static void put_no_thoughts(Renderer *renderer) {
    put_control(renderer, S(THOUGHTS_BEGIN));
    buf_cstr(&renderer->text, "\n\n");
    put_control(renderer, S(THOUGHTS_END));
    buf_cstr(&renderer->text, "\n\n");
}

void chat_format_render(ChatFacts facts, const Tokenizer *tokenizer, const Message *messages, size_t count,
                        bool is_terse, TokenList *out) {
    Renderer renderer = {.tokenizer = tokenizer, .out = out};
    tokenizer_encode(tokenizer, S(""), TOKENIZE_BOS, out);
    for (size_t i = 0; i < count; i++)
        put_message(&renderer, facts, &messages[i]);
    put_control(&renderer, facts.format->before_role);
    buf_str(&renderer.text, facts.format->opening);
    if (facts.format->after_role.len) {
        put_control(&renderer, facts.format->after_role);
        buf_str(&renderer.text, facts.format->lead_in);
    }
    if (is_terse && facts.has_thinking)
        put_no_thoughts(&renderer);
    flush_text(&renderer);
    buf_free(&renderer.text);
}
