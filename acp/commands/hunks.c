#include "acp/commands/hunks.h"

#include <errno.h>
#include <string.h>

bool hunk_dialog_open(HunkDialog *dialog, Err *err) {
    *dialog = (HunkDialog){.in = fopen("/dev/tty", "re"), .out = fopen("/dev/tty", "we")};
    return (dialog->in && dialog->out) ||
           err_set_errno(err, errno, "there is no terminal to ask on; use --apply or --dry-run");
}

void hunk_dialog_close(HunkDialog *dialog) {
    if (dialog->in)
        fclose(dialog->in);
    if (dialog->out)
        fclose(dialog->out);
    *dialog = (HunkDialog){0};
}

static void print_hunk(FILE *out, const ToolDiff *diff, const Hunks *hunks, size_t i) {
    FileDiff one = {.old_path = diff->relative,
                    .new_path = diff->relative,
                    .is_new = diff->is_new,
                    .is_deleted = diff->is_deleted,
                    .hunks = *hunks};
    Hunk *items = hunks->items;
    one.hunks.items = &items[i];
    one.hunks.count = 1;
    Buf text = {0};
    diff_print(&one, 3, &text);
    if (text.len)
        fwrite(text.ptr, 1, text.len, out);
    buf_free(&text);
}

/* One letter of the answer; end of input quits. */
static char read_answer(HunkDialog *dialog, const ToolDiff *diff, size_t i, size_t count) {
    char line[64];
    fprintf(dialog->out, "Apply this change to %.*s (%zu of %zu) [y,n,a,d,q,?]? ", STR_ARG(diff->relative),
            i + 1, count);
    fflush(dialog->out);
    return fgets(line, sizeof line, dialog->in) ? line[0] : 'q';
}

bool hunk_dialog_choose(HunkDialog *dialog, const ToolDiff *diff, const Hunks *hunks, bool *keep) {
    static const char HELP[] =
        "y: apply this change\nn: leave it out\na: apply it and the rest of this file\n"
        "d: leave out it and the rest of this file\nq: leave out it and everything that follows\n";
    bool any = false;
    char rest = 0; /* y or n for all that follow in this file */
    for (size_t i = 0; i < hunks->count; i++) {
        char answer = rest;
        if (!answer)
            print_hunk(dialog->out, diff, hunks, i);
        while (!answer) {
            char letter = read_answer(dialog, diff, i, hunks->count);
            if (!letter || !strchr("ynadq", letter)) {
                fputs(HELP, dialog->out);
                continue;
            }
            dialog->has_quit = letter == 'q';
            answer = letter == 'y' || letter == 'a' ? 'y' : 'n';
            if (letter != 'y' && letter != 'n')
                rest = answer;
        }
        keep[i] = answer == 'y';
        any = any || keep[i];
    }
    return any;
}

void hunk_dialog_ask(HunkDialog *dialog, Session *session, const QuestionEvent *question) {
    Arena arena = {0};
    Decision decision = {.kind = DECISION_REJECT_ONCE};
    Hunks hunks = {0};
    if (!dialog->has_quit && question->tool.diff_count == 1) {
        const ToolDiff *diff = &question->tool.diffs[0];
        if (diff_lines(diff->relative, diff->old_text, diff->new_text, &arena, &hunks, NULL)) {
            bool *keep = ARENA_ARRAY(&arena, bool, hunks.count + 1);
            if (hunk_dialog_choose(dialog, diff, &hunks, keep))
                decision = (Decision){DECISION_ALLOW_ONCE, keep, hunks.count};
        }
    }
    turn_answer(session, question->id, &decision);
    arena_free(&arena);
}
