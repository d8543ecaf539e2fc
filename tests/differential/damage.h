/* What goes wrong with patches on their way, and with the trees they are for. Draws from test_random().
 * One thread.
 */
#ifndef MUX_TESTS_DIFFERENTIAL_DAMAGE_H
#define MUX_TESTS_DIFFERENTIAL_DAMAGE_H

#include "tests/differential/applying.h"

typedef struct Trial {
    ApplyCase test;          /* what is bent */
    SmallTree before, after; /* what the patch was made from */
    int context;             /* lines around its hunks */
    bool is_two_patches;
} Trial;

typedef struct Damage {
    const char *name;
    void (*inflict)(Trial *trial, Arena *arena); /* may leave it as it is when there is nothing to bend */
} Damage;

typedef struct DamageList {
    const Damage *items;
    size_t count;
} DamageList;

extern const DamageList LINE_DAMAGES;   /* of the patch's lines and hunks */
extern const DamageList HEADER_DAMAGES; /* of its names, modes and the text around */
extern const DamageList TREE_DAMAGES;   /* the files are no longer what they were */

#endif
