#include "prompts/prompts.h"

static const char REQUEST[] =
    "Sum up our conversation so far. The summary takes its place: you will see nothing else of it. Write "
    "plain sentences and short lists, at most 400 words, in this order:\n"
    "1. What I asked for, and what of it is still open, in my own words where they matter.\n"
    "2. What was decided, and what I refused or took back.\n"
    "3. Which files were read or changed, with their paths, and what is now true of them: names of "
    "functions, signatures, values.\n"
    "4. Commands that were run and what came of them; errors not yet solved, word for word.\n"
    "Write no edits, no code blocks and no tool calls, and ask nothing.\n";

Str prompt_compaction(void) {
    return (Str){REQUEST, sizeof REQUEST - 1};
}

void prompt_summary(Str summary, Buf *out) {
    buf_cstr(out, "Notes of our conversation so far, which they stand for:\n\n");
    buf_str(out, summary);
    buf_char(out, '\n');
}

Str prompt_summary_reply(void) {
    return S("Understood. I go on from these notes.");
}
