/* Any bytes in any language: offsets stay inside the text and in order, and names are what they point at.
 * First byte: the language; then the text. The name looked for is the first symbol's, or "a". */
#include <stdlib.h>

#include "workspace/syntax.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) {
    if (!condition)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1 || size > 1 << 14)
        return 0;
    Language language = (Language)(data[0] % LANGUAGE_COUNT);
    Str text = {(const char *)data + 1, size - 1};
    Arena arena = {0};
    SymbolList symbols;
    Str name = S("a");
    if (syntax_symbols(language, text, &arena, &symbols, NULL)) {
        for (size_t i = 0; i < symbols.count; i++) {
            const Symbol *s = &symbols.items[i];
            require(s->name.len > 0 && s->name_begin + s->name.len <= text.len);
            require(s->name.ptr == text.ptr + s->name_begin);
            require(s->first_line <= s->last_line);
            require(i == 0 || s->name_begin > symbols.items[i - 1].name_begin);
        }
        if (symbols.count)
            name = symbols.items[0].name;
    }
    OccurrenceList occurrences;
    if (syntax_occurrences(language, text, name, &arena, &occurrences, NULL))
        for (size_t i = 0; i < occurrences.count; i++) {
            size_t begin = occurrences.items[i].begin;
            require(str_eq(str_slice(text, begin, begin + name.len), name));
            require(i == 0 || begin > occurrences.items[i - 1].begin);
        }
    SyntaxErrors errors;
    require(!syntax_is_worse(language, text, text, &arena, &errors));
    size_t first, last;
    if (syntax_enclosing(language, text, 1, 2, 5, &first, &last))
        require(first <= 1 && last >= 2 && last - first < 5);
    arena_free(&arena);
    return 0;
}
