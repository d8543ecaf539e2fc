/* The tokenizer that a GGUF file describes (keys tokenizer.ggml.*). */
#ifndef MUX_ENGINE_TOKENIZER_FILE_H
#define MUX_ENGINE_TOKENIZER_FILE_H

#include "engine/gguf.h"
#include "engine/tokenizer.h"

/* NULL + one sentence naming the file. Keeps nothing of the file. */
Tokenizer *tokenizer_of_file(const Gguf *file, Err *err);

#endif
