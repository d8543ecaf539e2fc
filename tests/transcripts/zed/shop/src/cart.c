#include "cart.h"

#define FREE_SHIPPING_FROM 5000
#define SHIPPING_CENTS 490

/* Returns the number of lines, or -1 when the cart is full. */
int cart_add(struct cart *cart, long cents, int count)
{
    if (cart->line_count == CART_LINES)
        return -1;
    cart->cents[cart->line_count] = cents * count;
    return ++cart->line_count;
}

long cart_total(const struct cart *cart)
{
    long cents = 0;

    for (int i = 0; i < cart->line_count; i++)
        cents += cart->cents[i];
    return cents;
}

long cart_shipping(const struct cart *cart)
{
    return cart_total(cart) >= FREE_SHIPPING_FROM ? 0 : SHIPPING_CENTS;
}
