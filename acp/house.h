/* house: the engine and the planner, opened when they are first needed, from the settings. */
#ifndef MUX_ACP_HOUSE_H
#define MUX_ACP_HOUSE_H

#include "acp/config.h"
#include "acp/connection.h"
#include "engine/engine.h"
#include "planner/planner.h"
#include "workspace/workspace.h"

typedef struct House {
    const Settings *settings; /* outlives the house */
    Str state_folder;         /* where the planner keeps sessions; empty, as house_init leaves it: nowhere */
    Engine *engine;
    Planner *planner;
} House;

void house_init(House *house, const Settings *settings);
void house_close(House *house); /* sessions and chats must be closed */
Engine *house_engine(House *house, Err *err);
Planner *house_planner(House *house, Err *err);
/* Neither a flag nor the environment names a model: the embedded one does the work. */
bool house_uses_embedded(const House *house);
#define HOUSE_EMBEDDED_NOTE                                                                                  \
    "No model is configured, so the small embedded one is used: it renames, changes values and parameters. " \
    "For more, set MUX_MODEL or --model to a .gguf file."

/* The note as a paragraph for the conversation; empty when a model is configured. */
Str house_note(const House *house);
ConnectionHost house_host(House *house);

/* What every command that changes files takes; the root is the caller's to set. */
#define OPTIONS_BACKUP (OPTION(BACKUP_COUNT) | OPTION(BACKUP_DAYS) | OPTION(BACKUP_MIB))
WorkspaceConfig house_workspace(const Settings *settings);

/* The folder of --cwd (or the current one), absolute, without symlinks; false with a sentence. */
bool house_folder(const char *given, Arena *arena, Str *out, Err *err);

#endif
