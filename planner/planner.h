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
#include "workspace/terminal.h"

typedef struct Planner Planner;
typedef struct Session Session;

typedef enum ReviewMode {
    REVIEW_ASK,  /* a question with the diff before anything is written */
    REVIEW_AUTO, /* write at once; the editor's own review (or undo) comes after */
    REVIEW_PLAN, /* never write: show the diff only */
} ReviewMode;

/* What one question is about. */
typedef enum ReviewGrain {
    GRAIN_TURN /* all files */,
    GRAIN_FILE,
    GRAIN_HUNK /* a file, hunk by hunk */
} ReviewGrain;

typedef struct PlannerConfig {
    size_t prompt_tokens_max; /* upper bound of a prompt; 0 = three quarters of the model's context */
    uint64_t seed; /* for the sampled retries; results are a function of seed, model, tree and request */
    /* How many backups are kept, as in WorkspaceConfig; 0: its defaults. */
    size_t backup_count, backup_days, backup_bytes;
    Str state_folder;     /* where sessions are kept (store.h); empty: they end with the process */
    size_t most_requests; /* replies asked of the model in one turn, tool calls included; 0 = 25 */
} PlannerConfig;

/* Where sessions cannot be kept in state_folder, the log says why, and so does a notice of the first turn. */
Planner *planner_open(const PlannerConfig *config, Engine *engine, Err *err);
void planner_close(Planner *planner); /* all sessions must be closed; NULL is fine */

/* A program that offers tools (Model Context Protocol over its stdin and stdout). */
typedef struct McpServer {
    Str name, command;
    const Str *args;
    size_t arg_count;
    const Str *env; /* "NAME=value", on top of our own environment */
    size_t env_count;
} McpServer;

typedef struct SessionConfig {
    Str id;                 /* shown in events, names the session in the store; copied, as all that follows */
    Str cwd;                /* absolute */
    const Str *extra_roots; /* absolute */
    size_t extra_root_count;
    Str model; /* empty = the engine's default */
    ReviewMode review;
    ReviewGrain grain;
    bool is_terse;         /* the model's thinking is turned off, where it has the choice */
    bool has_client_files; /* io belongs to an editor: its write method is used, its answers are awaited */
    TerminalIo terminal;   /* where commands are run; all NULL: nowhere, the model is offered no shell */
    const McpServer *mcp_servers;
    size_t mcp_server_count;
} SessionConfig;

/* What is chosen for a session; each choice holds from the next turn on and is kept in the store. */
typedef struct SessionOptions {
    ReviewMode review;
    ReviewGrain grain;
    bool is_terse;
    Str model; /* borrowed until the next call for this session */
} SessionOptions;

/* A new session. Does not load the model. Takes io by value; its ctx must outlive the session. */
Session *session_open(Planner *planner, const SessionConfig *config, FileIo io, Err *err);
/* A session of the store goes on: config's id names it; model, review, grain and is_terse are those of the
 * store, whatever config says. ERR_NOT_FOUND. */
Session *session_restore(Planner *planner, const SessionConfig *config, FileIo io, Err *err);
/* A new session (config's id) that has said and heard all that `source` has. ERR_NOT_FOUND. */
Session *session_fork(Planner *planner, Str source, const SessionConfig *config, FileIo io, Err *err);
void session_close(Session *session); /* cancels and joins a running turn; NULL is fine */
Str session_id(const Session *session);
SessionOptions session_options(Session *session);
void session_set_review(Session *session, ReviewMode review);
void session_set_grain(Session *session, ReviewGrain grain);
void session_set_terse(Session *session, bool is_terse);
/* Starts loading the model in the background; what comes of it is told as TURN_NOTICE to the news sink, and a
 * failure once more by the next turn. */
void session_set_model(Session *session, Str model);
bool session_is_loading(Session *session); /* its model is on its way into memory */
bool session_is_busy(Session *session);
/* What a list would show of it. */
typedef struct SessionInfo SessionInfo;
void session_info(Session *session, Arena *arena, SessionInfo *out);

/* ---- kept sessions ---- */

struct SessionInfo {
    Str id, cwd, title; /* title: empty while nothing was asked */
    const Str *extra_roots;
    size_t extra_root_count;
    double updated; /* seconds since 1970 */
    size_t turns;   /* begun ones; 0: nothing was asked yet */
};

typedef struct SessionPage {
    SessionInfo *items; /* last used first */
    size_t count;
    Str next; /* cursor of the page that follows; empty: this is the last */
} SessionPage;

/* Sessions in which something was asked; cwd empty = of every folder. cursor: empty, or the `next` of the
 * page before (ERR_INVALID when it is neither). */
bool planner_sessions(Planner *planner, Str cwd, Str cursor, size_t most, Arena *arena, SessionPage *out,
                      Err *err);
/* Takes a session out of the store; no such session is fine. */
bool planner_forget(Planner *planner, Str id, Err *err);
bool planner_has_session(Planner *planner, Str id);
/* ERR_NOT_FOUND, ERR_INVALID (nothing to show). Cut to what fits a list; *kept is what stands in the store.
 */
bool planner_set_title(Planner *planner, Str id, Str title, Arena *arena, Str *kept, Err *err);

/* ---- what a user asks ---- */

typedef struct Attachment {
    Str uri;  /* file:// URI or path; may carry a fragment #L10:20 */
    Str text; /* embedded text; empty = read the file */
    bool has_text;
    size_t first_line, last_line; /* what is meant of it, from 1; 0 = all */
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
    TURN_USER,     /* text, attachments: what the user said; only in a replay */
    TURN_TITLE,    /* text: the session has a title now */
    TURN_NOTICE,   /* notice: something the user should know that is no part of the answer; never replayed */
    TURN_COMPACTION, /* compaction: what was said is being replaced by a summary */
    TURN_DONE,       /* done: the last event */
} TurnEventKind;

typedef enum PlanStatus { PLAN_PENDING, PLAN_ACTIVE, PLAN_COMPLETED } PlanStatus;
typedef struct PlanEntry {
    Str text;
    PlanStatus status;
} PlanEntry;

typedef enum ToolKind {
    TOOL_READ,
    TOOL_EDIT,
    TOOL_SEARCH,
    TOOL_THINK,
    TOOL_OTHER,
    TOOL_DELETE,
    TOOL_MOVE,
    TOOL_EXECUTE,
    TOOL_FETCH,
} ToolKind;
typedef enum ToolStatus { TOOL_PENDING, TOOL_RUNNING, TOOL_COMPLETED, TOOL_FAILED } ToolStatus;

typedef struct ToolLocation {
    Str path;    /* absolute */
    size_t line; /* from 1; 0 = none */
} ToolLocation;

/* Changed lines of a diff, without any around them. */
typedef struct ToolHunk {
    size_t line, line_count;   /* of the old text, from 1; without lines the new ones stand before it */
    size_t old_begin, old_end; /* bytes of old_text, and of new_text */
    size_t new_begin, new_end;
} ToolHunk;

typedef struct ToolDiff {
    Str path; /* absolute */
    Str relative;
    Str old_text, new_text; /* whole files */
    bool is_new, is_deleted;
    Str moved_to; /* relative: what the file becomes; empty when it stays */
    size_t hunk_count;
    const uint64_t *hunk_ids; /* stable (diff.h): the same change has the same id in a later diff */
    const ToolHunk *hunks;    /* hunk_count; NULL in a replay */
    Str unified;              /* this file's section, as git prints it */
} ToolDiff;

typedef struct ToolEvent {
    Str id;        /* unique in the session */
    bool is_first; /* first event of this call: all fields are set */
    Str title;
    Str name; /* the tool as the model calls it; empty for what the planner does by itself */
    ToolKind kind;
    ToolStatus status;
    Str raw_input;   /* JSON text of the arguments; may be empty */
    Str terminal_id; /* of the client's terminal it runs in; may be empty */
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
    ToolEvent
        tool;  /* holds the diffs that are asked about: one, or with GRAIN_TURN all; a command has none */
    Str title; /* "Apply 3 changes to src/a.c?" */
    ReviewGrain grain; /* GRAIN_HUNK: the answer should name the hunks to keep */
    Str always; /* what an "always" would hold for ("make, whatever its arguments"); empty: for its like */
} QuestionEvent;

typedef enum NoticeLevel { NOTICE_INFO, NOTICE_WARNING, NOTICE_ERROR } NoticeLevel;
typedef struct Notice {
    NoticeLevel level;
    Str title, description; /* description may be empty */
} Notice;

typedef enum CompactionStatus {
    COMPACTION_RUNNING,
    COMPACTION_COMPLETED,
    COMPACTION_FAILED,
    COMPACTION_CANCELLED,
} CompactionStatus;
typedef struct Compaction {
    Str id;
    CompactionStatus status;
    Str summary; /* when completed */
    Str error;   /* when failed */
} Compaction;

typedef struct TurnUsage {
    size_t prompt_tokens, cached_tokens, output_tokens; /* summed over the turn's prompts */
    size_t context_used, context_size;                  /* of the last prompt */
    size_t prompts;
    size_t budget; /* most tokens a prompt may have */
    /* Of the first prompt that could not go on from what the model had read already: the first token that is
     * another one, and the texts from there on (a few words). */
    bool has_difference;
    size_t differs_at;
    Str differs_had, differs_has;
} TurnUsage;

typedef enum TurnStop {
    TURN_STOP_END,
    TURN_STOP_MAX_TOKENS,
    TURN_STOP_CANCELLED,
    TURN_STOP_FAILED,
    TURN_STOP_MAX_REQUESTS, /* PlannerConfig.most_requests */
} TurnStop;

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
    const Str *left_out; /* what the model did not get to see for want of room, one sentence each */
    size_t left_out_count;
} TurnDone;

typedef struct TurnEvent {
    TurnEventKind kind;
    Str text;
    const Attachment *attachments; /* without their texts */
    size_t attachment_count;
    const PlanEntry *plan;
    size_t plan_count;
    const ToolEvent *tool;
    const QuestionEvent *question;
    const TurnUsage *usage;
    const Notice *notice;
    const Compaction *compaction;
    const TurnDone *done;
} TurnEvent;

typedef struct TurnSink {
    void *ctx;
    void (*event)(void *ctx, const TurnEvent *event);
} TurnSink;

/* Where notices go that belong to no turn (a model is loaded); from any thread, never after session_close.
 * Set before the first turn. */
void session_set_news(Session *session, TurnSink sink);
/* All that was said and done, oldest first, as events on this thread: TURN_USER, TURN_TEXT, TURN_THOUGHT,
 * TURN_PLAN, TURN_TOOL (one event a call, with its diffs, as it ended), TURN_COMPACTION and last TURN_TITLE.
 * No turn may run (ERR_CONFLICT). */
bool session_replay(Session *session, TurnSink sink, Err *err);

/* Copies ask. False (ERR_CONFLICT) when a turn runs already; every later failure arrives as TURN_DONE. */
bool turn_start(Session *session, const Ask *ask, TurnSink sink, Err *err);
/* False when no such question is open (already answered or cancelled). */
bool turn_answer(Session *session, uint64_t question, const Decision *decision);
void turn_cancel(Session *session); /* no effect when idle */
void turn_wait(Session *session);   /* until the running turn's TURN_DONE has been delivered */

/* ---- commands that a prompt may begin with: "/name ..." ---- */

typedef struct CommandInfo {
    const char *name, *description;
    const char *hint; /* of what may follow the name; NULL: nothing */
} CommandInfo;
size_t planner_commands(const CommandInfo **out);

/* ---- without a turn ---- */

/* These wait for files and are refused with ERR_CONFLICT while a turn runs (but listing). Any thread. */
bool session_list_files(Session *session, Arena *arena, Str **paths, size_t *count, bool *is_truncated,
                        Err *err);
typedef struct Applied {
    Str backup_id; /* names the undo */
    const Str *paths;
    size_t count;
} Applied;
/* A unified diff, all or nothing, through the session's FileIo; is_tolerant as in diff/patch.h. */
bool session_apply_patch(Session *session, Str patch, bool is_tolerant, bool check_only, Arena *arena,
                         Applied *out, Err *err);
/* id empty = the newest change. */
bool session_undo(Session *session, Str id, Arena *arena, Applied *out, Err *err);

typedef struct PlannerStats {
    size_t sessions_open, turns_running;
    size_t turns, turns_cancelled, turns_failed; /* ended ones */
    size_t prompts, prompt_tokens, cached_tokens, output_tokens;
    size_t tool_calls, files_changed;
} PlannerStats;
void planner_stats(Planner *planner, PlannerStats *out);

/* ---- without a model: for the command line ---- */

typedef struct RankedFile {
    Str path; /* relative */
    double score;
} RankedFile;
/* The files a request would look at, best first, at most `most`. */
bool planner_context(Planner *planner, Str cwd, Str request, size_t most, Arena *arena, RankedFile **out,
                     size_t *count, Err *err);

#endif
