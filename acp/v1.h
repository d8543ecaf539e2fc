/* v1: what a turn tells, as values of the Agent Client Protocol, version 1. Pure: events in, JSON out (the
 * caller's). */
#ifndef MUX_ACP_V1_H
#define MUX_ACP_V1_H

#include "base/json.h"
#include "planner/planner.h"

/* keeps_sessions: what is said in a session outlives it, and can be listed, loaded and deleted. */
Json *v1_initialize_result(bool keeps_sessions);

/* ---- params of session/update ---- */
/* kind: TURN_TEXT, TURN_THOUGHT or TURN_USER (a replay's) */
Json *v1_text_update(Str session_id, TurnEventKind kind, Str text);
/* What a user attached to what he said; only in a replay. */
Json *v1_link_update(Str session_id, Str uri);
Json *v1_plan_update(Str session_id, const PlanEntry *entries, size_t count);
Json *v1_tool_update(Str session_id, const ToolEvent *tool);
Json *v1_usage_update(Str session_id, const TurnUsage *usage);
/* What a turn cost and what it left out, for `_meta`: promptTokens, cachedTokens, outputTokens (summed over
 * its prompts), prompts, budget, contextUsed, contextSize, firstDifference {at, had, has} where what the
 * model had read could not be used further, and leftOut, a list of sentences. */
Json *v1_usage_meta(const TurnUsage *usage, const Str *left_out, size_t left_out_count);
/* Only for clients that said they show them (session.notices, session.compaction). */
Json *v1_notice_update(Str session_id, const Notice *notice);
Json *v1_compaction_update(Str session_id, const Compaction *compaction);
Json *v1_title_update(Str session_id, Str title);
/* commands: planner_commands. After the answer of session/new, /load, /resume and /fork, and again at the
 * first prompt (an editor may have dropped the first). */
Json *v1_commands_update(Str session_id, const CommandInfo *commands, size_t count);

/* params of session/request_permission, and what its answer means. An answer that makes no sense is a
 * refusal. */
Json *v1_permission_params(Str session_id, const QuestionEvent *question);
DecisionKind v1_decision_of(const Json *result);

/* ---- a file that is reviewed hunk by hunk ---- */
typedef struct V1Hunk {
    Str old_lines, new_lines;      /* changed lines only */
    Str old_text, new_text;        /* with some lines around them */
    size_t first_line, line_count; /* of old_lines, from 1; without lines the new ones stand before it */
} V1Hunk;
typedef struct V1HunkQuestion {
    Str tool_id, path, relative;
    const V1Hunk *hunks;
    size_t count;
} V1HunkQuestion;

/* params of elicitation/create (mode form): a tick for each of `count` hunks from `first` on. */
Json *v1_hunk_form_params(Str session_id, const V1HunkQuestion *question, size_t first, size_t count);
typedef enum V1FormAction { V1_FORM_ACCEPT, V1_FORM_DECLINE, V1_FORM_CANCEL } V1FormAction;
/* Sets keep[first] to keep[first + count - 1]. An answer that makes no sense declines. */
V1FormAction v1_hunk_form_answer(const Json *result, size_t first, size_t count, bool *keep);

/* params of session/request_permission about one hunk. The last one is not asked about "the rest". */
Json *v1_hunk_permission_params(Str session_id, const V1HunkQuestion *question, size_t index);
typedef enum V1HunkChoice {
    V1_HUNK_KEEP,
    V1_HUNK_DROP,
    V1_HUNK_KEEP_REST,
    V1_HUNK_DROP_REST,
    V1_HUNK_CANCELLED
} V1HunkChoice;
/* An answer that makes no sense drops the hunk. */
V1HunkChoice v1_hunk_choice_of(const Json *result);

const char *v1_stop_reason(TurnStop stop);

/* ---- what can be chosen in a session ---- */
typedef struct V1Choices {
    ReviewMode mode;
    ReviewGrain grain;
    bool is_terse;
    bool takes_booleans; /* the client has options of type boolean */
    bool is_loading;     /* model is on its way into memory */
    Str model;
    const ModelCard *models;
    size_t model_count;
    Str configured; /* the model the agent was started with; offered too when it is none of models */
} V1Choices;
Json *v1_config_options(const V1Choices *choices); /* the complete list */
Json *v1_modes(ReviewMode mode);
const char *v1_mode_id(ReviewMode mode);
bool v1_mode_of(Str id, ReviewMode *out);
bool v1_grain_of(Str id, ReviewGrain *out); /* turn, file, hunk */
/* The model can be told not to think, so that the option "thinking" is there. */
bool v1_has_thinking(const V1Choices *choices);

#endif
