#include "prompts/prompts.h"

static const char SYSTEM[] =
    "You are mux, a careful programmer who edits the user's repository.\n"
    "\n"
    "Answer a question in a few sentences. When the user asks for a change, first say in one or two "
    "sentences what you will do, then give the "
    "edits as search/replace blocks, one block for each contiguous change:\n"
    "\n"
    "path/to/file.py\n"
    "<<<<<<< SEARCH\n"
    "the lines to replace, copied exactly from the file\n"
    "=======\n"
    "the lines that take their place\n"
    ">>>>>>> REPLACE\n"
    "\n"
    "Rules:\n"
    "- The path stands alone on the line above the block, as it was shown to you.\n"
    "- SEARCH holds whole lines, copied with their indentation, enough of them to occur only once in the "
    "file.\n"
    "- Replace whole functions or blocks rather than fragments; never write placeholders such as \"rest "
    "unchanged\".\n"
    "- To create a file, give its new path and leave SEARCH empty.\n"
    "- Change everything that must change together, in every file shown, and nothing else.\n";

Str prompt_full_system(void) {
    return (Str){SYSTEM, sizeof SYSTEM - 1};
}

/* The last two parts: the form seen in training. */
static Str short_path(Str path) {
    size_t slash = str_rfind_char(path, '/');
    if (slash == STR_NONE)
        return path;
    size_t before = str_rfind_char(str_slice(path, 0, slash), '/');
    return before == STR_NONE ? path : str_from(path, before + 1);
}

void prompt_labels(Str request, Str path, Str excerpt, int first_label, Buf *out) {
    buf_cstr(out, "<|im_start|>user\n");
    buf_str(out, request);
    buf_char(out, '\n');
    buf_str(out, short_path(path));
    buf_char(out, '\n');
    for (size_t at = 0; at <= excerpt.len; first_label++) {
        size_t end = str_find_char(excerpt, '\n', at);
        if (end == STR_NONE)
            end = excerpt.len;
        buf_printf(out, "<|%d|>", first_label);
        buf_str(out, str_slice(excerpt, at, end));
        buf_char(out, '\n');
        at = end + 1;
    }
    buf_cstr(out, "<|im_end|>\n<|im_start|>assistant\n");
}

/* A fence longer than any run of backticks inside. */
static size_t fence_length(Str text) {
    size_t longest = 2, run = 0;
    for (size_t i = 0; i < text.len; i++) {
        run = text.ptr[i] == '`' ? run + 1 : 0;
        if (run > longest)
            longest = run;
    }
    return longest + 1;
}

static void print_file(const PromptFile *file, Buf *out) {
    size_t fence = fence_length(file->text);
    buf_str(out, file->path);
    buf_char(out, '\n');
    buf_repeat(out, '`', fence);
    buf_str(out, file->language);
    buf_char(out, '\n');
    buf_str(out, file->text);
    if (!str_ends(file->text, S("\n")) && file->text.len)
        buf_char(out, '\n');
    buf_repeat(out, '`', fence);
    buf_char(out, '\n');
    if (file->first_line)
        buf_printf(out, "(lines %zu to %zu of this file)\n", file->first_line, file->last_line);
    buf_char(out, '\n');
}

void prompt_attached(Str name, Str text, Buf *out) {
    size_t fence = fence_length(text);
    buf_printf(out, "The user attached %.*s:\n", STR_ARG(name));
    buf_repeat(out, '`', fence);
    buf_char(out, '\n');
    buf_str(out, text);
    if (!str_ends(text, S("\n")) && text.len)
        buf_char(out, '\n');
    buf_repeat(out, '`', fence);
    buf_char(out, '\n');
}

void prompt_full_user(Str listing, const PromptFile *files, size_t count, Str notes, Str request, Buf *out) {
    if (listing.len) {
        buf_cstr(out, "Files of the repository:\n");
        buf_str(out, listing);
        buf_char(out, '\n');
    }
    if (count)
        buf_cstr(out, "These are the files that matter most:\n\n");
    for (size_t i = 0; i < count; i++)
        print_file(&files[i], out);
    buf_str(out, notes);
    buf_cstr(out, notes.len ? "\nRequest: " : "Request: ");
    buf_str(out, request);
    buf_char(out, '\n');
}

static void print_form(RetryForm form, Str path, Buf *out) {
    switch (form) {
    case RETRY_BLOCKS:
        buf_cstr(out, "as search/replace blocks, with this corrected. Only the blocks, no other text.\n");
        break;
    case RETRY_SYMBOL:
        buf_cstr(out,
                 "by giving each function or class that changes whole and by its name, in this form:\n\n");
        buf_str(out, path);
        buf_cstr(out, "\n<<<<<<< SYMBOL name\nthe whole new definition\n>>>>>>> END\n\n"
                      "A method is named Class.method. Only these blocks, no other text.\n");
        break;
    case RETRY_WHOLE:
        buf_cstr(out, "by giving the whole new text of the file, every line of it, in this form:\n\n");
        buf_str(out, path);
        buf_cstr(out, "\n````\nthe whole file\n````\n\nNo other text.\n");
        break;
    }
}

void prompt_full_retry(Str problem, Str kept, RetryForm form, Str path, Buf *out) {
    buf_cstr(out, "That reply could not be used: ");
    buf_str(out, problem);
    if (kept.len) {
        buf_cstr(out, "\n\nThese edits fit and are kept; do not send them again:\n");
        buf_str(out, kept);
        buf_cstr(out, "\nSend what is still missing");
    } else {
        buf_cstr(out, "\nSend the edits for the original request again");
    }
    buf_char(out, ' ');
    print_form(form, path, out);
}
