/* Prompts: the words said to models, text in, text out. Pure, thread-safe.
 *
 * Two styles: "full" (system prompt, files in fences, search/replace blocks) and "labels" (mux-tiny's own
 * form, see engine/tiny/README.md). The words live in prompts.c as constants; they are reviewed as prose
 * there.
 */
#ifndef MUX_PROMPTS_PROMPTS_H
#define MUX_PROMPTS_PROMPTS_H

#include "base/buf.h"

typedef struct PromptFile {
    Str path;          /* relative, as the model shall write it */
    Str text;          /* whole file or excerpt, LF line ends */
    Str language;      /* "python", "c", ... for the fence; may be empty */
    size_t first_line; /* from 1; 0 = the whole file is shown */
    size_t last_line;
} PromptFile;

/* The complete raw prompt for mux-tiny, ChatML marks included (its vocabulary knows no other form). request:
 * one line. excerpt: lines joined by "\n" without a final one. Neither may hold "<|". At most the last two
 * parts of path are shown. */
void prompt_labels(Str request, Str path, Str excerpt, int first_label, Buf *out);

/* The system prompt of the full style. Constant, so that its KV prefix is shared by all turns. */
Str prompt_full_system(void);
/* The user message: what changes least comes first (file list, files), the request last. notes: whole lines
 * on what else there is to know; may be empty. */
void prompt_full_user(Str listing, const PromptFile *files, size_t count, Str notes, Str request, Buf *out);
/* A text that is no file of the repository, for the notes. */
void prompt_attached(Str name, Str text, Buf *out);
/* A function that the model may call. */
typedef struct PromptTool {
    Str name, description;
    Str schema; /* JSON text: the schema of its arguments */
} PromptTool;
/* What follows the system prompt where there are tools: their signatures and the form of a call. */
void prompt_tools(const PromptTool *tools, size_t count, Buf *out);
/* A result, as a part of the user message that answers calls. */
void prompt_tool_result(Str text, Buf *out);

/* What a retry asks for. */
typedef enum RetryForm {
    RETRY_BLOCKS, /* search/replace blocks */
    RETRY_SYMBOL, /* whole definitions by name */
    RETRY_WHOLE,  /* the whole file */
} RetryForm;

/* A retry in the same conversation: what was wrong with the last reply, which of its edits are kept (a line
 * each, or empty), and what to send now. path: the file that failed; empty when that is not known. */
void prompt_full_retry(Str problem, Str kept, RetryForm form, Str path, Buf *out);

/* compaction.c: the first of these ends the whole conversation; what comes back takes its place as the pair
 * of the other two. */
Str prompt_compaction(void);
void prompt_summary(Str summary, Buf *out);
Str prompt_summary_reply(void);

#endif
