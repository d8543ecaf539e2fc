/* patch_change: a unified diff as one change of a workspace: planned against what stands there, then
 * committed with a backup.
 *
 *   PatchPlan plan; patch_change_plan(ws, &source, &arena, &plan, &err);
 *   patch_change_commit(ws, &plan, S("Apply a patch"), &arena, &info, &report, &err);
 *
 * One thread at a time per Workspace. Results live in the arena; the text must outlive them.
 */
#ifndef MUX_PLANNER_PATCH_CHANGE_H
#define MUX_PLANNER_PATCH_CHANGE_H

#include "diff/patch.h"
#include "workspace/workspace.h"

/* Of a file that a patch changes. */
#define PATCH_CHANGE_MAX_BYTES ((size_t)1 << 30)

typedef struct PatchSourceText {
    Str text;
    PatchOptions options;
    /* Texts come through the workspace's FileIo, so that what an editor holds unsaved is what the patch goes
     * onto; links, binary and very large files always come from the disk. */
    bool is_through_editor;
} PatchSourceText;

/* As patch_parse and patch_plan; nothing is written. On failure *out tells only is_applied_already. */
bool patch_change_plan(Workspace *ws, const PatchSourceText *source, Arena *arena, PatchPlan *out, Err *err);
/* As change_commit. An empty plan is a success that changes nothing. */
bool patch_change_commit(Workspace *ws, const PatchPlan *plan, Str title, Arena *arena, ChangeInfo *info,
                         ChangeReport *report, Err *err);

#endif
