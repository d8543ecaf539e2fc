/* A disk that may lose power: what a file system keeps of calls that nobody synced, as far as POSIX allows.
 *
 * The model has for every file what it holds and what it is sure to hold; for every folder its entries as
 * they are, and those that are sure. fsync of a file makes its bytes sure, not its name; fsync of a folder
 * its entries. A crash keeps for each folder the sure entries and some of the later changes, in their order;
 * for each file the sure bytes, or those, zeros, nothing or the new ones mixed.
 *
 *   Disk *disk = disk_new(&arena, roots, root_count);   // as the trees are now, all of it sure
 *   disk_apply(disk, &call)  for every call of a log
 *   disk_crash(disk, kind, scratch, &image);  image_write(&image, roots);  ... see what a start makes of it
 */
#ifndef MUX_TESTS_POWERLOSS_DISK_H
#define MUX_TESTS_POWERLOSS_DISK_H

#include "tests/powerloss/record.h"

typedef struct Disk Disk;

typedef enum CrashKind {
    CRASH_NOTHING_KEPT, /* only what is sure */
    CRASH_ALL_KEPT,     /* as if the power had stayed */
    CRASH_NO_BYTES,     /* all names, but no byte that is not sure: files of length zero */
    CRASH_JOURNAL,      /* changes of names up to some moment, in all folders alike; bytes at random */
    CRASH_MIXED,        /* each folder up to a moment of its own; a rename is whole or did not happen */
    CRASH_TORN,         /* the same, and a rename between folders may have reached only one of them */
    CRASH_KINDS
} CrashKind;

typedef struct ImageEntry {
    Str path;  /* "0/..." below the first root */
    char kind; /* 'd', 'f', 'l' */
    unsigned mode;
    Str data;          /* bytes, or the target of a link */
    size_t same_as;    /* 1 + the index of an earlier name of the same file, or 0 */
    uint64_t inode[2]; /* of what image_read found */
} ImageEntry;

typedef struct Image {
    ImageEntry *items; /* folders before what is in them; names sorted */
    size_t count, capacity;
} Image;

Disk *disk_new(Arena *arena, const char *const *roots, size_t root_count);
/* True when the call changed something that a crash could show. Fails the test for calls the model lacks. */
bool disk_apply(Disk *disk, const Call *call);
/* Draws from test_random for the kinds that are not fixed. */
void disk_crash(Disk *disk, CrashKind kind, Arena *arena, Image *out);

void image_read(const char *const *roots, size_t root_count, Arena *arena, Image *out);
void image_write(const Image *image, const char *const *roots, size_t root_count); /* roots are replaced */
uint64_t image_key(const Image *image);
/* The first entry that differs, as a sentence; empty when equal. */
Str image_difference(const Image *a, const Image *b, Arena *arena);

#endif
