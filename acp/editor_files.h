/* editor_files: FileIo through the client (fs/read_text_file, fs/write_text_file), so that the user's unsaved
 * text is seen and our changes are reviewed in the editor.
 *
 * Used by one turn thread; every call there blocks until the client answers or its time is up. A cancel wakes
 * a waiting read at once; from the first write on every call is given a moment, because what was written has
 * to be known and may have to be taken back. A dying peer wakes all.
 * What the editor does not know is read from disk. Editors keep texts with LF; where the file on disk has
 * CRLF, CRLF is what the turn sees, so that the text read here and the file's bytes stay the same thing.
 */
#ifndef MUX_ACP_EDITOR_FILES_H
#define MUX_ACP_EDITOR_FILES_H

#include "acp/rpc.h"
#include "workspace/files.h"

typedef struct EditorFiles EditorFiles;

/* session_id is copied. timeout_ms 0: calls wait without end. */
EditorFiles *editor_files_open(Peer *peer, Str session_id, bool can_read, bool can_write, double timeout_ms);
void editor_files_close(EditorFiles *editor); /* NULL is fine; no call may be running */
FileIo editor_files_io(EditorFiles *editor);
void editor_files_begin(EditorFiles *editor);  /* a turn starts: an older cancel is over */
void editor_files_cancel(EditorFiles *editor); /* any thread */

#endif
