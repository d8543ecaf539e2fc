#ifndef CART_H
#define CART_H

#define CART_LINES 32

struct cart {
    long cents[CART_LINES];
    int line_count;
};

int cart_add(struct cart *cart, long cents, int count);
long cart_total(const struct cart *cart);
long cart_shipping(const struct cart *cart);

#endif
