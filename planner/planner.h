/* Planner: sessions and turns. It decides; everything else is asked to do.
 *
 * Calling sequence:
 *   Planner *p = planner_open(&config, engine, &err);
 *   Session *s = session_open(p, &session_config, file_io, &err);      // opens its Workspace
 *   turn_start(s, &ask, sink, &err);        // returns at once; events arrive on the turn's own thread
 *   ... turn_answer(s, id, &decision) for each TURN_QUESTION; turn_cancel(s) at any time ...
 *   turn_wait(s);  session_close(s);  planner_close(p);
 *
 * One turn per session at a time; sessions are independent. turn_answer, turn_cancel may be called from any
 * thread, also from inside the sink. The sink is called on the turn's thread, never two at once for one
 * session, and always ends with one TURN_DONE, also after a cancel or a failure. What an event points to is
 * valid only during the call.
 */
#ifndef MUX_PLANNER_PLANNER_H
#define MUX_PLANNER_PLANNER_H

#include "base/err.h"
#include "base/str.h"
#include "engine/engine.h"
#include "workspace/files.h"

typedef struct Planner Planner;
typedef struct Session Session;

typedef enum ReviewMode {
    REVIEW_ASK,  /* a question with the diff before anything is written */
    REVIEW_AUTO, /* write at once; the editor's own review (or undo) comes after */
    REVIEW_PLAN, /* never write: show the diff only */
} ReviewMode;

typedef struct PlannerConfig {
    size_t prompt_tokens_max; /* upper bound of a prompt; 0 = three quarters of the model's context */
    uint64_t seed; /* for the sampled retries; results are a function of seed, model, tree and request */
    /* How many backups are kept, as in WorkspaceConfig; 0: its defaults. */
    size_t backup_count, backup_days, backup_bytes;
} PlannerConfig;

Planner *planner_open(const PlannerConfig *config, Engine *engine, Err *err);
void planner_close(Planner *planner); /* all sessions must be closed; NULL is fine */

typedef struct SessionConfig {
    Str id;                 /* shown in events; copied */
    Str cwd;                /* absolute */
    const Str *extra_roots; /* absolute */
    size_t extra_root_count;
    Str model; /* empty = the engine's default */
    ReviewMode review;
    bool has_client_files; /* io belongs to an editor: its write method is used, its answers are awaited */
} SessionConfig;

/* Does not load the model. Takes io by value; its ctx must outlive the session. */
Session *session_open(Planner *planner, const SessionConfig *config, FileIo io, Err *err);
void session_close(Session *session); /* cancels and joins a running turn; NULL is fine */
Str session_id(const Session *session);
void session_set_review(Session *session, ReviewMode review); /* from the next turn on */
ReviewMode session_review(const Session *session);
void session_set_model(Session *session, Str model);
bool session_is_busy(Session *session);

/* ---- what a user asks ---- */

typedef struct Attachment {
    Str uri;  /* file:// URI or path; may carry a fragment #L10:20 */
    Str text; /* embedded text; empty = read the file */
    bool has_text;
} Attachment;

typedef struct Ask {
    Str text;
    const Attachment *attachments;
    size_t attachment_count;
} Ask;

/* ---- what a turn tells ---- */

typedef enum TurnEventKind {
    TURN_TEXT,     /* text: a piece of the answer */
    TURN_THOUGHT,  /* text: a piece of reasoning or progress */
    TURN_PLAN,     /* plan: the full list */
    TURN_TOOL,     /* tool: first sight or update of a tool call (same id) */
    TURN_QUESTION, /* question: permission is asked; the turn waits for turn_answer */
    TURN_USAGE,    /* usage */
    TURN_DONE,     /* done: the last event */
} TurnEventKind;

typedef enum PlanStatus { PLAN_PENDING, PLAN_ACTIVE, PLAN_COMPLETED } PlanStatus;
typedef struct PlanEntry {
    Str text;
    PlanStatus status;
} PlanEntry;

typedef enum ToolKind { TOOL_READ, TOOL_EDIT, TOOL_SEARCH, TOOL_THINK, TOOL_OTHER } ToolKind;
typedef enum ToolStatus { TOOL_PENDING, TOOL_RUNNING, TOOL_COMPLETED, TOOL_FAILED } ToolStatus;

typedef struct ToolLocation {
    Str path;    /* absolute */
    size_t line; /* from 1; 0 = none */
} ToolLocation;

typedef struct ToolDiff {
    Str path; /* absolute */
    Str relative;
    Str old_text, new_text; /* whole files */
    bool is_new, is_deleted;
    Str moved_to; /* relative: what the file becomes; empty when it stays */
    size_t hunk_count;
    const uint64_t *hunk_ids; /* stable (diff.h): the same change has the same id in a later diff */
    Str unified;              /* this file's section, as git prints it */
} ToolDiff;

typedef struct ToolEvent {
    Str id;        /* unique in the session */
    bool is_first; /* first event of this call: all fields are set */
    Str title;
    ToolKind kind;
    ToolStatus status;
    const ToolLocation *locations;
    size_t location_count;
    Str text; /* content to show: an excerpt, a result, a rationale; may be empty */
    const ToolDiff *diffs;
    size_t diff_count;
} ToolEvent;

typedef enum DecisionKind {
    DECISION_ALLOW_ONCE,
    DECISION_ALLOW_ALWAYS, /* remembered for the session */
    DECISION_REJECT_ONCE,
    DECISION_REJECT_ALWAYS,
    DECISION_CANCELLED,
} DecisionKind;

/* What an ALLOW allows: everything, some hunks, or a text that the user made of the proposal himself. Copied.
 */
typedef struct Decision {
    DecisionKind kind;
    const uint64_t
        *keep_ids; /* ids of the hunks to keep; NULL = all. One that the diff does not hold fails the turn */
    size_t keep_count;
    bool has_text; /* keep_ids is not looked at then; not for files that are deleted */
    Str text;      /* the file as it shall be */
} Decision;

typedef struct QuestionEvent {
    uint64_t id;
    ToolEvent tool; /* holds the one diff that is asked about */
    Str title;      /* "Apply 3 changes to src/a.c?" */
} QuestionEvent;

typedef struct TurnUsage {
    size_t prompt_tokens, cached_tokens, output_tokens; /* summed over the turn's prompts */
    size_t context_used, context_size;                  /* of the last prompt */
    size_t prompts;
} TurnUsage;

typedef enum TurnStop { TURN_STOP_END, TURN_STOP_MAX_TOKENS, TURN_STOP_CANCELLED, TURN_STOP_FAILED } TurnStop;

typedef struct TurnDone {
    TurnStop stop;
    Err error; /* set when stop is TURN_STOP_FAILED */
    TurnUsage usage;
    Str unified_diff;     /* what was proposed and kept, all files; empty when nothing */
    size_t files_changed; /* in unified_diff */
    bool was_applied;
    Str backup_id;       /* names the undo; empty when nothing was written */
    const Str *problems; /* what could not be done, one sentence each */
    size_t problem_count;
    const Str *notes; /* what the user should know of a turn that went well: what he left out himself, what
                       * the editor reformatted */
    size_t note_count;
} TurnDone;

typedef struct TurnEvent {
    TurnEventKind kind;
    Str text;
    const PlanEntry *plan;
    size_t plan_count;
    const ToolEvent *tool;
    const QuestionEvent *question;
    const TurnUsage *usage;
    const TurnDone *done;
} TurnEvent;

typedef struct TurnSink {
    void *ctx;
    void (*event)(void *ctx, const TurnEvent *event);
} TurnSink;

/* Copies ask. False (ERR_CONFLICT) when a turn runs already; every later failure arrives as TURN_DONE. */
bool turn_start(Session *session, const Ask *ask, TurnSink sink, Err *err);
/* False when no such question is open (already answered or cancelled). */
bool turn_answer(Session *session, uint64_t question, const Decision *decision);
void turn_cancel(Session *session); /* no effect when idle */
void turn_wait(Session *session);   /* until the running turn's TURN_DONE has been delivered */

/* ---- without a model: for the command line ---- */

typedef struct RankedFile {
    Str path; /* relative */
    double score;
} RankedFile;
/* The files a request would look at, best first, at most `most`. */
bool planner_context(Planner *planner, Str cwd, Str request, size_t most, Arena *arena, RankedFile **out,
                     size_t *count, Err *err);

#endif
