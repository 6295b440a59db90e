/* A service with addresses of its own: /items is for anybody, /orders/{id} shows an order, POST /orders/{id}/pay pays
 * it, once. In memory. It trusts X-User-ID, because only the gateway can reach it. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct order {
    const char *id, *item;
    int cents;
    bool paid;
    char paid_by[128];
};

static struct order orders[] = {
    {"1", "lamp", 4900, false, ""},
    {"2", "chair", 12900, false, ""},
    {"7", "table", 34900, false, ""},
};

static struct order *order_find(const char *id)
{
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++)
        if (strcmp(orders[i].id, id) == 0) return &orders[i];
    return NULL;
}

static void problem(struct reply *reply, int status, const char *text)
{
    reply->status = status;
    reply_text(reply, "{\"service\": \"orders\", \"error\": ");
    reply_json(reply, text);
    reply_text(reply, "}\n");
}

static void show_order(const struct order *o, const char *user, struct reply *reply)
{
    char cents[32];
    snprintf(cents, sizeof cents, "%d", o->cents);
    reply_text(reply, "{\"service\": \"orders\", \"order\": ");
    reply_json(reply, o->id);
    reply_text(reply, ", \"item\": ");
    reply_json(reply, o->item);
    reply_text(reply, ", \"cents\": ");
    reply_text(reply, cents);
    reply_text(reply, ", \"state\": ");
    reply_json(reply, o->paid ? "paid" : "open");
    reply_text(reply, ", \"paid_by\": ");
    reply_json(reply, o->paid ? o->paid_by : NULL);
    reply_text(reply, ", \"asked_by\": ");
    reply_json(reply, user);
    reply_text(reply, "}\n");
}

static void show_items(struct reply *reply)
{
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        reply_text(reply, i == 0 ? "{\"service\": \"orders\", \"items\": [" : ", ");
        reply_json(reply, orders[i].item);
    }
    reply_text(reply, "]}\n");
}

static void pay(struct order *o, const char *user, struct reply *reply)
{
    if (o->paid) {
        problem(reply, 409, "this order is paid");
        return;
    }
    o->paid = true;
    snprintf(o->paid_by, sizeof o->paid_by, "%s", user == NULL ? "nobody" : user);
    show_order(o, user, reply);
}

static void method_not_allowed(struct reply *reply, const char *allow)
{
    reply->extra = allow;
    problem(reply, 405, "this method has no meaning here");
}

static void handle(const struct request *r, struct reply *reply)
{
    char seg[3][SEGMENT_MAX];
    size_t n = request_segments(r, seg, 3);
    bool get = strcmp(r->method, "GET") == 0 || strcmp(r->method, "HEAD") == 0;
    const char *user = request_field(r, "X-User-ID");
    if (n == 1 && strcmp(seg[0], "items") == 0) {
        if (get)
            show_items(reply);
        else
            method_not_allowed(reply, "Allow: GET, HEAD\r\n");
        return;
    }
    struct order *o = n >= 2 && n <= 3 && strcmp(seg[0], "orders") == 0 ? order_find(seg[1]) : NULL;
    if (o == NULL || (n == 3 && strcmp(seg[2], "pay") != 0)) {
        problem(reply, 404, "there is nothing at this address");
    } else if (n == 2) {
        if (get)
            show_order(o, user, reply);
        else
            method_not_allowed(reply, "Allow: GET, HEAD\r\n");
    } else if (strcmp(r->method, "POST") == 0) {
        pay(o, user, reply);
    } else {
        method_not_allowed(reply, "Allow: POST\r\n");
    }
}

int main(int argc, char **argv)
{
    static const struct server server = {.name = "orders",
                                         .summary = "a sample service: /items, /orders/{id}, /orders/{id}/pay",
                                         .default_port = 9002,
                                         .handle = handle};
    return server_main(&server, argc, argv);
}
