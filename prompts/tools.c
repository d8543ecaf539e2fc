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

void prompt_tool_result(Str text, Buf *out) {
    buf_cstr(out, "<tool_response>\n");
    buf_str(out, text);
    if (text.len && !str_ends(text, S("\n")))
        buf_char(out, '\n');
    buf_cstr(out, "</tool_response>\n");
}
