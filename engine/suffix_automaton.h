/* Which text may follow a line start of a file, and how often it occurs there.
 *
 * The deterministic automaton of all texts that begin at a line start, over bytes. Its states are not stored:
 * the line starts are sorted by what follows them, so the occurrences of any text are an interval of that
 * order, and a state is the interval and the length of the text. A step narrows the interval. This takes 16
 * bytes per line instead of some 40 per byte and state, and knows the place of every occurrence.
 *
 * Sorting: prefix doubling over whole lines (Manber and Myers 1993); shared lines: Kasai et al. 2001.
 */
#ifndef MUX_ENGINE_SUFFIX_AUTOMATON_H
#define MUX_ENGINE_SUFFIX_AUTOMATON_H

#include "base/err.h"
#include "base/str.h"

typedef struct SuffixAutomaton {
    Str text; /* borrowed; whole lines, so its last byte is "\n" */
    uint32_t line_count;
    const uint32_t *begins; /* [line_count + 1] where lines begin, and the text's end */
    const uint32_t *order;  /* [line_count] lines, sorted by the text from them to the end */
    const uint32_t *unique; /* [line_count] for order[i]: lines until the text occurs once, 0 = never */
} SuffixAutomaton;

typedef struct SuffixState {
    uint32_t first, last; /* the occurrences are order[first .. last-1] */
    uint32_t length;      /* bytes walked */
} SuffixState;

/* text must be empty or end in "\n". ERR_LIMIT past 1 GiB. The tables live in the arena. */
bool suffix_automaton_build(SuffixAutomaton *automaton, Str text, Arena *arena, Err *err);
SuffixState suffix_start(const SuffixAutomaton *automaton);
/* False, with the state untouched, when byte follows none of the occurrences. */
bool suffix_step(const SuffixAutomaton *automaton, SuffixState *state, uint8_t byte);
/* The byte after occurrence i of the order, -1 at the end of the text. */
int suffix_byte(const SuffixAutomaton *automaton, uint32_t i, uint32_t length);
/* End of the occurrences in [i, last) that are followed by the same byte as i. */
uint32_t suffix_same_byte(const SuffixAutomaton *automaton, uint32_t i, uint32_t last, uint32_t length);

#endif
