#!/bin/sh
# A real request on a small real repository: ask, look at the diff, apply, compile, undo. Every step must succeed.
# Usage: tests/demo.sh PATH_OF_MUX_ACP
set -eu
mux=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
# shellcheck disable=SC2016
request='Rename the function `goods_total` to `goods_price` everywhere'

folder=$(mktemp -d "${TMPDIR:-/tmp}/mux-demo-XXXXXX")
trap 'rm -rf "$folder"' EXIT
trap 'exit 1' INT TERM

fail() {
    echo "demo: $*" >&2
    exit 1
}
step() { printf '\n== %s\n' "$*"; }

write_project() {
    cat >cart.h <<'END'
/* A shopping cart: lines of articles with prices in cents. */
#ifndef CART_H
#define CART_H

#define CART_LINES 32

struct cart_line {
    const char *article;
    long cents;
    int count;
};

struct cart {
    struct cart_line lines[CART_LINES];
    int line_count;
};

void cart_begin(struct cart *cart);
int cart_add(struct cart *cart, const char *article, long cents, int count);
long goods_total(const struct cart *cart);
long cart_shipping(const struct cart *cart);

#endif
END
    cat >cart.c <<'END'
#include "cart.h"

#define FREE_SHIPPING_FROM 5000
#define SHIPPING_CENTS 490

void cart_begin(struct cart *cart)
{
    cart->line_count = 0;
}

/* Returns the number of lines, or -1 when the cart is full. */
int cart_add(struct cart *cart, const char *article, long cents, int count)
{
    struct cart_line *line;

    if (cart->line_count == CART_LINES)
        return -1;
    line = &cart->lines[cart->line_count++];
    line->article = article;
    line->cents = cents;
    line->count = count;
    return cart->line_count;
}

long goods_total(const struct cart *cart)
{
    long cents = 0;
    int i;

    for (i = 0; i < cart->line_count; i++)
        cents += cart->lines[i].cents * cart->lines[i].count;
    return cents;
}

long cart_shipping(const struct cart *cart)
{
    if (goods_total(cart) >= FREE_SHIPPING_FROM)
        return 0;
    return SHIPPING_CENTS;
}
END
    cat >main.c <<'END'
#include <stdio.h>

#include "cart.h"

static void print_cents(const char *label, long cents)
{
    printf("%-10s %5ld.%02ld\n", label, cents / 100, cents % 100);
}

int main(void)
{
    struct cart cart;
    int i;

    cart_begin(&cart);
    cart_add(&cart, "tea", 450, 3);
    cart_add(&cart, "teapot", 2900, 1);
    for (i = 0; i < cart.line_count; i++)
        print_cents(cart.lines[i].article, cart.lines[i].cents);
    print_cents("goods", goods_total(&cart));
    print_cents("shipping", cart_shipping(&cart));
    print_cents("to pay", goods_total(&cart) + cart_shipping(&cart));
    return 0;
}
END
}

git_quiet() {
    git -c user.name=demo -c user.email=demo@localhost -c init.defaultBranch=main -c commit.gpgsign=false "$@" >/dev/null
}

run_project() { # compiles with all warnings as errors and prints what the program says
    cc -std=c11 -Wall -Wextra -Werror -o "$folder/program" cart.c main.c && "$folder/program"
}

mkdir "$folder/shop"
cd "$folder/shop"
step "a small repository: $(pwd)"
write_project
git_quiet init
git_quiet add .
git_quiet commit -m 'A shopping cart'
wc -l -- *.h *.c
run_project >"$folder/before.txt" || fail "the example does not compile before the change"

step "the request: $request"
start=$(date +%s%N)
"$mux" ask --cwd "$PWD" --apply "$request" >"$folder/shown.diff" || fail "the request was not carried out"
end=$(date +%s%N)

step "the diff it showed and applied, after $(((end - start) / 1000000)) ms"
cat "$folder/shown.diff"

step "git diff --stat"
git --no-pager diff --stat
[ "$(git diff --name-only | wc -l)" -eq 3 ] || fail "three files should have changed"
if git --no-pager grep -n -w goods_total; then
    fail "the old name is still there"
fi
git apply --check --reverse "$folder/shown.diff" || fail "the diff shown is not the change made"

step "it compiles, and the program says the same"
run_project >"$folder/after.txt" || fail "the changed program does not compile"
cmp "$folder/before.txt" "$folder/after.txt" || fail "the changed program says something else"
cat "$folder/after.txt"

step "mux-acp undo"
"$mux" undo || fail "undo failed"
[ -z "$(git status --porcelain)" ] || fail "undo did not bring the tree back"
echo "the tree is as it was"
