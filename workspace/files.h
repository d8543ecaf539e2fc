/* FileIo: how the texts of files are read and written: the disk, or an editor that holds them open.
 *
 * Paths are absolute and already checked by the workspace. A FileIo is used by one thread at a time (the
 * turn's). The disk implementation is file_io_disk(). An editor's (acp/editor_files.c) reads through the
 * editor's buffers and falls back to disk for what the editor does not know; its writes are reviewed there.
 */
#ifndef MUX_WORKSPACE_FILES_H
#define MUX_WORKSPACE_FILES_H

#include "base/err.h"
#include "base/str.h"

#define FILE_MAX_BYTES ((size_t)2 << 20) /* larger texts are refused: ERR_LIMIT */

typedef struct FileIo {
    void *ctx;
    /* Whole text into the arena. ERR_NOT_FOUND, ERR_LIMIT, ERR_UNSUPPORTED (binary), ERR_IO. */
    bool (*read)(void *ctx, Str path, Arena *arena, Str *text, Err *err);
    /* Writes one file through the editor (creates it when missing). NULL: the workspace writes the disk
     * itself, as one journalled transaction. */
    bool (*write)(void *ctx, Str path, Str text, Err *err);
} FileIo;

FileIo file_io_disk(void);

#endif
