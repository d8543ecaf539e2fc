/* The model's parts, shared by disk.c (what calls do) and crash.c (what a crash leaves). */
#ifndef MUX_TESTS_POWERLOSS_DISK_INTERNAL_H
#define MUX_TESTS_POWERLOSS_DISK_INTERNAL_H

#include "tests/powerloss/disk.h"

enum { FILES_MAX = 1024, ROOTS_MAX = 2 };

typedef struct Inode Inode;

/* A name set or removed in a folder; both halves of a rename carry the same number. */
typedef struct NameChange {
    size_t number;
    Str name;
    Inode *inode; /* NULL: removed */
} NameChange;

struct Inode {
    Inode *next; /* of all inodes */
    char kind;
    unsigned mode, sure_mode;
    Str data, sure_data; /* a link's target too */
    bool is_dirty;       /* bytes or mode changed since the last sync */
    bool was_cut;        /* was of length zero at some moment since then */
    NameChange *changes; /* of a folder, since it was made; the first `sure` of them are on disk */
    size_t change_count, change_capacity, sure;
    size_t cut;      /* how many a crash keeps, while one is drawn */
    size_t drawn_at; /* 1 + its first index in the image, or 0 */
    Str drawn_data;
    unsigned drawn_mode;
};

typedef struct OpenFile {
    Inode *inode; /* NULL: outside of the trees, or closed */
    size_t at;
    bool is_append;
} OpenFile;

struct Disk {
    Arena *arena;
    Str roots[ROOTS_MAX];
    size_t root_count;
    Inode *top, *all; /* top holds the roots as "0" and "1" */
    OpenFile files[FILES_MAX];
    size_t number;
};

/* The entry of a folder after its first `count` changes. */
Inode *disk_entry(const Inode *folder, size_t count, Str name);

#endif
