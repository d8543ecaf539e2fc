/* Prompts: the words said to models, as text in text out. Pure, thread-safe.
 *
 * Two styles: "full" (system prompt, repository map, files in fences, search/replace blocks) and "labels" (mux-tiny's own
 * form, see engine/tiny/README.md). The words live in prompts.c as tables; reviewers read them as prose there.
 */
#ifndef MUX_PROMPTS_PROMPTS_H
#define MUX_PROMPTS_PROMPTS_H

#include "base/buf.h"

typedef struct PromptFile {
    Str path;     /* relative, shown to the model */
    Str text;     /* whole file or excerpt, LF line ends */
    Str language; /* "python", "c", ... for the fence */
} PromptFile;

/* mux-tiny: request line(s), path, labelled lines. excerpt: lines joined by "\n". One user message. */
void prompt_labels(Str request, Str path, Str excerpt, int first_label, Buf *out);

/* The system prompt of the full style. Constant, so that its KV prefix is shared by all turns. */
Str prompt_full_system(void);
/* The user message: facts that change least come first (map, files), the request last. */
void prompt_full_user(Str map, const PromptFile *files, size_t count, Str request, Buf *out);
/* A retry: what was wrong with the last reply, quoted, and what to send now. */
void prompt_full_retry(Str problem, Buf *out);

#endif
