/* Chat formats: how messages become the token sequence a model was trained on.
 *
 * One table of formats; a format is recognised by the file's chat template or, without one, by its
 * vocabulary. Control tokens come only from the table: the text of a message never matches them. The one
 * exception are the line labels <|k|> of models that have them, which are part of the text there and match at
 * the start of a line. Pure, thread-safe.
 */
#ifndef MUX_ENGINE_CHAT_FORMAT_H
#define MUX_ENGINE_CHAT_FORMAT_H

#include "engine/engine.h"
#include "engine/gguf.h"

typedef struct ChatFormat ChatFormat;

/* What a file's header says about talking to the model. */
typedef struct ChatFacts {
    const ChatFormat *format; /* never NULL: "plain" when nothing else fits */
    bool has_labels;          /* <|1|> .. <|40|> are in the vocabulary */
    bool has_thinking; /* the template can be asked for no thoughts, and <think> is in the vocabulary */
} ChatFacts;

ChatFacts chat_facts(const Gguf *file);
const char *chat_format_name(const ChatFormat *format);
/* Appends the prompt: BOS where wanted, the messages, and the opening of the assistant's turn; is_terse: with
 * an empty block of thoughts in it, where the model has_thinking. */
void chat_format_render(ChatFacts facts, const Tokenizer *tokenizer, const Message *messages, size_t count,
                        bool is_terse, TokenList *out);
/* The length of a label at the start of text, 0 when there is none: "<|", 1 to 3 digits, "|>". */
size_t label_length(Str text);

#endif
