#include "base/json.h"
#include "prompts/prompts.h"

static const char BEFORE[] =
    "\n"
    "# Tools\n"
    "\n"
    "Where the files shown are not enough, you may call functions. Their signatures:\n"
    "<tools>\n";

static const char AFTER[] =
    "</tools>\n"
    "\n"
    "A call ends your reply and looks like this, with the name and the arguments as one JSON object:\n"
    "<tool_call>\n"
    "{\"name\": \"function name\", \"arguments\": {\"argument\": \"value\"}}\n"
    "</tool_call>\n"
    "The result comes with the next message. Once you know enough, do not call anything: answer, or give the "
    "edits as search/replace blocks.\n";

void prompt_tools(const PromptTool *tools, size_t count, Buf *out) {
    buf_cstr(out, BEFORE);
    for (size_t i = 0; i < count; i++) {
        buf_cstr(out, "{\"type\": \"function\", \"function\": {\"name\": ");
        json_print_string(tools[i].name, out);
        buf_cstr(out, ", \"description\": ");
        json_print_string(tools[i].description, out);
        buf_cstr(out, ", \"parameters\": ");
        buf_str(out, tools[i].schema);
        buf_cstr(out, "}}\n");
    }
    buf_cstr(out, AFTER);
}

/* A closer in the text would end the result early, and the rest would pass for the user's words. */
void prompt_tool_result(Str text, Buf *out) {
    static const Str CLOSER = STR_INIT("</tool_response>");
    buf_cstr(out, "<tool_response>\n");
    for (size_t at; (at = str_find(text, CLOSER, 0)) != STR_NONE; text = str_from(text, at + 1)) {
        buf_str(out, str_slice(text, 0, at + 1));
        buf_char(out, ' ');
    }
    buf_str(out, text);
    if (text.len && !str_ends(text, S("\n")))
        buf_char(out, '\n');
    buf_cstr(out, "</tool_response>\n");
}
