/* The player: takes the client's part of a log, message by message in the order of the log. Private to
 * replay. */
#ifndef MUX_ACP_REPLAY_INTERNAL_H
#define MUX_ACP_REPLAY_INTERNAL_H

#include <pthread.h>

#include "acp/connection.h"
#include "acp/replay_compare.h"

typedef struct Player {
    Arena arena;
    ReplayLog log, live;
    ReplaySide recorded, now;
    Str *old_folders, *new_folders; /* what the sides point to */
    Str *copies;                    /* by folder; empty: none */
    Str *sources;                   /* by folder: what the copy was made of */
    bool *is_matched;               /* per recorded request: the agent has asked it again */
    size_t *asked_by;               /* then: that live message */
    bool *is_answered;              /* per recorded request: its live counterpart has its answer */
    bool is_gone;

    int to_agent, from_agent, agent_in, agent_out;
    Buf inbox;
    pthread_t thread;
    Connection *connection;
} Player;

/* Plays the whole log against the agent at the other end of the pipes, and waits for its end. */
void player_play(Player *player);
/* A text with the recorded sessions' and folders' names replaced by those of now. */
Str player_map(Player *player, Str text);

#endif
