/* Inside the planner: the session, the turn in flight, and what its steps hand to each other. */
#ifndef MUX_PLANNER_INTERNAL_H
#define MUX_PLANNER_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "diff/edit.h"
#include "planner/history.h"
#include "planner/mcp.h"
#include "planner/model_load.h"
#include "planner/planner.h"
#include "planner/request.h"
#include "planner/store.h"
#include "prompts/prompts.h"
#include "workspace/syntax.h"
#include "workspace/workspace.h"

struct Planner {
    PlannerConfig config;
    Engine *engine;
    ModelLoads *loads;
    Store *store;         /* NULL: nothing is kept */
    Err keeping;          /* why, where that is not as it was wanted */
    pthread_mutex_t lock; /* guards what follows; taken before a session's */
    PlannerStats stats;
    Session *sessions; /* the open ones */
    bool has_told;     /* the first turn has said what `keeping` holds */
};

/* What the user said once and for all about commands of one name or a tool (tools.c). */
typedef struct ToolAnswer {
    Str key;
    bool is_allowed;
} ToolAnswer;

struct Session {
    Session *next_open;
    Planner *planner;
    Arena arena; /* session lifetime */
    Str id, cwd;
    Str *extra_roots;
    size_t extra_root_count;
    FileIo io;
    TerminalIo terminal;
    bool has_client_files;
    McpClients *mcp; /* NULL: the client named no servers */
    Chat *chat;      /* opened at the first turn, kept for its KV; reopened when the model changes */
    Str chat_model;
    History history;
    StoredFile *written; /* written.c */
    size_t written_count, written_capacity;
    Arena written_arena;  /* their texts, but for what came from the store */
    Buf left_out;         /* proposed changes that the user refused, for the model; not told yet */
    uint64_t turn;        /* number of the running or last turn, from 1 */
    TurnUsage last_usage; /* of the last turn that asked a model */

    SessionLoad load; /* model_load.c's */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool is_loading; /* the model that was chosen last */
    ReviewMode review;
    ReviewGrain grain;
    bool is_terse;
    Str model, title;
    double updated; /* seconds since 1970: when it was made, or its last turn began */
    TurnSink news;
    bool is_busy, has_thread;
    bool is_in_use; /* by a direct change (direct.c): no turn may start */
    pthread_t thread;
    uint64_t open_question, next_question;
    bool is_answered;
    Decision answer;
    uint64_t *answer_ids; /* what answer points to */
    char *answer_text;
    bool allows_all, rejects_all; /* "always" answers */
    ToolAnswer *tool_answers;
    size_t tool_answer_count, tool_answer_capacity;

    atomic_bool cancelled;
    _Atomic(Chat *) running_chat; /* what turn_cancel stops */
    uint64_t next_tool;
};

/* One file the turn works on: as seen, and as it shall become. */
typedef struct FileWork {
    Path path;
    FileText seen;
    Language language;
    bool is_new;
    bool is_shown; /* the model saw its text, or a part of it */
    Str new_text;  /* equals seen.text while nothing changed; ptr NULL for a new file that has no text yet */
    bool is_deleted; /* the file goes; new_text is empty */
    Path moved_to;   /* the file leaves its path and becomes this one, with new_text; empty: it stays */
    unsigned mode;   /* git's, of a file that goes or moves; 0: an ordinary one */
    Str tool_id;     /* its edit tool call; empty until proposed */
    Hunks hunks;
    Str unified;
    Str rationale;
    bool is_accepted;
} FileWork;

/* What tools.c and the loop remember of a turn. */
typedef struct TurnTools {
    struct Taken *taken; /* the edits that fit so far; propose_patch adds to them */
    Err patch_problem;   /* of the last propose_patch; without a code: it fit */
    const McpTool *mcp;
    size_t mcp_count;
    struct ToolTrace *traces;
    size_t trace_count, trace_capacity;
    bool has_acted;  /* something was run that may have done what was asked */
    bool is_looping; /* the model repeats itself although it was told */
} TurnTools;

typedef struct Turn {
    Session *session;
    Arena arena; /* turn lifetime */
    Str prompt;  /* the request's text, copied */
    Attachment *attachments;
    size_t attachment_count;
    TurnSink sink;
    Workspace *ws;
    Chat *chat;
    ReviewMode review; /* as they were when it began, as the next */
    ReviewGrain grain;
    Request request;
    FileList listing;
    FileWork **files;
    size_t file_count, file_capacity;
    Str *problems;
    size_t problem_count, problem_capacity;
    Str *notes;
    size_t note_count, note_capacity;
    Str *left_out;
    size_t left_out_count, left_out_capacity;
    PlanEntry plan[5];
    TurnUsage usage;
    TurnTools tools;
    Str reply;             /* full style: the model's prose of the last reply */
    bool has_hit_length;   /* a reply was cut at the token limit */
    bool has_hit_requests; /* PlannerConfig.most_requests */
    bool
        must_be_whole; /* any problem means that nothing is applied (a rename half done is worse than none) */
    bool was_applied;
    Str backup_id;
    size_t kept_files;
    Str unified;
} Turn;

/* turn.c */
void *turn_main(void *turn);
/* Every event of a turn goes out here: into the store (kept.h), then to the sink. */
void turn_emit(Turn *turn, const TurnEvent *event);
/* Asks (question->id is set here) and waits for turn_answer or a cancel. */
Decision turn_ask(Turn *turn, QuestionEvent *question);
/* One sentence on what the model does not get to see. */
void turn_left_out(Turn *turn, Str sentence);
ReviewMode session_review(Session *session);
/* The session's chat with the model chosen now, for turn->chat; opens it where there is none. */
bool turn_open_chat(Turn *turn, Err *err);
bool turn_is_cancelled(const Turn *turn);
void turn_text(Turn *turn, Str text);
void turn_thought(Turn *turn, Str text);
void turn_tool(Turn *turn, const ToolEvent *tool);
Str turn_tool_id(Turn *turn);
void turn_problem(Turn *turn, Str sentence);
void turn_note(Turn *turn, Str sentence); /* no problem, but worth saying */
void turn_add_usage(Turn *turn, const Usage *usage);
/* The work entry of a file, read through the workspace on first use; NULL + sentence when it cannot be read.
 */
FileWork *turn_file(Turn *turn, Str given_path, Err *err);
FileWork *turn_new_file(Turn *turn, Str given_path, Err *err);
/* False + sentence for what git ignores and the user did not name: its text is not the model's to see. */
bool turn_may_show(Turn *turn, Path path, Err *err);

bool file_is_changed(const FileWork *file);

/* context.c: which files matter for a request */
typedef struct Ranking {
    RankedFile *items;
    size_t count;
} Ranking;
bool context_rank(Workspace *ws, const Request *request, const FileList *listing, size_t most,
                  const atomic_bool *cancelled, Arena *arena, Ranking *out, Err *err);

/* labels.c and blocks.c: the two prompt styles; they leave new texts in turn->files and problems in
 * turn->problems */
bool labels_run(Turn *turn, Err *err);
bool blocks_run(Turn *turn, Err *err);

/* review.c: diff, ask, keep hunks; sets is_accepted of every changed file */
bool review_run(Turn *turn, Err *err);
bool review_apply(Turn *turn, Err *err);

/* direct.c: the session's folder and limits; writable whatever the review mode is, unless read_only. */
Workspace *session_workspace(Session *session, bool read_only, Err *err);
/* ws_undo, with the paths that came back. */
bool workspace_undo(Workspace *ws, Str id, Arena *arena, Applied *out, Err *err);

/* report.c: the closing sentences */
void report_turn(Turn *turn);

#endif
