/* What a turn cost, said openly. */
#include "acp/v1.h"

Json *v1_usage_meta(const TurnUsage *usage, const Str *left_out, size_t left_out_count) {
    Json *meta = json_object();
    json_put_int(meta, "promptTokens", (int64_t)usage->prompt_tokens);
    json_put_int(meta, "cachedTokens", (int64_t)usage->cached_tokens);
    json_put_int(meta, "outputTokens", (int64_t)usage->output_tokens);
    json_put_int(meta, "prompts", (int64_t)usage->prompts);
    json_put_int(meta, "budget", (int64_t)usage->budget);
    json_put_int(meta, "contextUsed", (int64_t)usage->context_used);
    json_put_int(meta, "contextSize", (int64_t)usage->context_size);
    if (usage->has_difference) {
        Json *difference = json_put_object(meta, "firstDifference");
        json_put_int(difference, "at", (int64_t)usage->differs_at);
        json_put_str(difference, "had", usage->differs_had);
        json_put_str(difference, "has", usage->differs_has);
    }
    Json *list = json_put_array(meta, "leftOut");
    for (size_t i = 0; i < left_out_count; i++)
        json_push(list, json_text(left_out[i]));
    return meta;
}
