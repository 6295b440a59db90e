/* A service that knows nothing of tokens: `/myclass/myoperation` runs MyClass.MyOperation(), found in a table, and the
 * answer shows who the gateway said is asking. Whoever reaches this port is believed; that is why only the gateway
 * may reach it. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- the operations: plain functions, as a business class would have them --- */

static void myclass_myoperation(const struct request *r, struct reply *reply)
{
    (void)r;
    reply_text(reply, "\"MyClass.MyOperation() ran\"");
}

static void myclass_echo(const struct request *r, struct reply *reply)
{
    reply_json(reply, r->body);
}

/* ?a=3&b=4 → 7 */
static void calculator_add(const struct request *r, struct reply *reply)
{
    long a = 0, b = 0;
    if (sscanf(r->query, "a=%6ld&b=%6ld", &a, &b) != 2) {
        reply->status = 400;
        reply_text(reply, "\"ask with ?a=NUMBER&b=NUMBER\"");
        return;
    }
    char sum[32];
    snprintf(sum, sizeof sum, "%ld", a + b);
    reply_text(reply, sum);
}

static void clock_now(const struct request *r, struct reply *reply)
{
    (void)r;
    char text[32];
    time_t now = time(NULL);
    struct tm tm;
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
    reply_json(reply, text);
}

/* --- the dispatch table --- */

struct operation {
    const char *path_class, *path_operation; /* as they stand in the address */
    const char *name;                        /* as a programmer says it */
    void (*run)(const struct request *r, struct reply *reply);
};

static const struct operation operations[] = {
    {"myclass", "myoperation", "MyClass.MyOperation", myclass_myoperation},
    {"myclass", "echo", "MyClass.Echo", myclass_echo},
    {"calculator", "add", "Calculator.Add", calculator_add},
    {"clock", "now", "Clock.Now", clock_now},
};

static const struct operation *operation_find(const struct request *r)
{
    char seg[2][SEGMENT_MAX];
    if (request_segments(r, seg, 2) != 2) return NULL;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
        if (strcmp(seg[0], operations[i].path_class) == 0 && strcmp(seg[1], operations[i].path_operation) == 0)
            return &operations[i];
    return NULL;
}

/* Every header by which the gateway tells a service who is asking, and whether any credential came through. */
static void show_caller(const struct request *r, struct reply *reply)
{
    static const char *const shown[][2] = {
        {"user", "X-User-ID"},          {"roles", "X-User-Roles"}, {"permissions", "X-User-Permissions"},
        {"client", "X-Client-ID"},      {"product", "X-Product"},  {"correlation_id", "X-Correlation-ID"},
        {"traceparent", "traceparent"},
    };
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        reply_text(reply, i == 0 ? "{\"" : ", \"");
        reply_text(reply, shown[i][0]);
        reply_text(reply, "\": ");
        reply_json(reply, request_field(r, shown[i][1]));
    }
    bool any = request_field(r, "Authorization") != NULL || request_field(r, "apikey") != NULL ||
               request_field(r, "Cookie") != NULL;
    reply_text(reply, any ? ", \"credential_seen\": true}" : ", \"credential_seen\": false}");
}

static void handle(const struct request *r, struct reply *reply)
{
    const struct operation *op = operation_find(r);
    if (op == NULL) {
        reply->status = 404;
        reply_text(reply, "{\"service\": \"business\", \"error\": \"no such operation\", \"path\": ");
        reply_json(reply, r->path);
        reply_text(reply, "}\n");
        return;
    }
    reply_text(reply, "{\"service\": \"business\", \"operation\": ");
    reply_json(reply, op->name);
    reply_text(reply, ", \"result\": ");
    op->run(r, reply);
    reply_text(reply, ", \"caller\": ");
    show_caller(r, reply);
    reply_text(reply, "}\n");
}

int main(int argc, char **argv)
{
    static const struct server server = {.name = "business",
                                         .summary = "a sample service: /{class}/{operation}",
                                         .default_port = 9001,
                                         .handle = handle};
    return server_main(&server, argc, argv);
}
