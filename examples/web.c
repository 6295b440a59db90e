/* Serves the browser client of web/ below /web/: a handful of files known by name, so that no path can lead anywhere
 * else, and with the headers that keep a page with tokens in it to itself. `--apikey` is what the page shows as its
 * product; everybody who opens the page can read it, it is a name and no secret. */
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *root = "examples/web";
static const char *apikey = "";

/* Only our own files may run, style or be asked; nothing may frame the page; a string never becomes a script
 * (Content Security Policy Level 3, Trusted Types). no-cache: a browser asks again, so a new version is seen at once.
 */
#define HEADERS                                                                                                        \
    "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "           \
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "                                    \
    "require-trusted-types-for 'script'\r\n"                                                                           \
    "X-Content-Type-Options: nosniff\r\n"                                                                              \
    "Referrer-Policy: no-referrer\r\n"                                                                                 \
    "Cross-Origin-Opener-Policy: same-origin\r\n"                                                                      \
    "Cross-Origin-Resource-Policy: same-origin\r\n"                                                                    \
    "Permissions-Policy: camera=(), geolocation=(), microphone=()\r\n"                                                 \
    "Cache-Control: no-cache\r\n"

static const struct page {
    const char *path, *file, *type;
} pages[] = {
    {"/web/", "index.html", "text/html; charset=utf-8"},
    {"/web/app.js", "app.js", "text/javascript; charset=utf-8"},
    {"/web/session.js", "session.js", "text/javascript; charset=utf-8"},
    {"/web/style.css", "style.css", "text/css; charset=utf-8"},
    {"/web/icon.svg", "icon.svg", "image/svg+xml"},
};

static void not_found(struct reply *reply)
{
    reply->status = 404;
    reply_text(reply, "{\"service\": \"web\", \"error\": \"there is nothing at this address\"}\n");
}

/* Read anew each time: whoever edits the page sees it by loading it again. */
static void send_file(const char *name, struct reply *reply)
{
    char path[4096], bytes[16384];
    int n = snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = n > 0 && (size_t)n < sizeof path ? fopen(path, "rb") : NULL;
    if (f == NULL) {
        reply->type = NULL;
        not_found(reply);
        return;
    }
    for (size_t got; (got = fread(bytes, 1, sizeof bytes, f)) > 0;) reply_bytes(reply, bytes, got);
    if (ferror(f)) reply->failed = true;
    fclose(f);
}

static void handle(const struct request *r, struct reply *reply)
{
    reply->extra = HEADERS;
    if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0) {
        reply->status = 405;
        reply->extra = "Allow: GET, HEAD\r\n";
        reply_text(reply, "{\"service\": \"web\", \"error\": \"there is only GET here\"}\n");
        return;
    }
    if (strcmp(r->path, "/web") == 0) { /* the page's own links are relative */
        reply->status = 308;
        reply->extra = "Location: /web/\r\n" HEADERS;
        return;
    }
    if (strcmp(r->path, "/web/settings.json") == 0) {
        reply_text(reply, "{\"apikey\": ");
        reply_json(reply, apikey);
        reply_text(reply, "}\n");
        return;
    }
    for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
        if (strcmp(r->path, pages[i].path) != 0) continue;
        reply->type = pages[i].type;
        send_file(pages[i].file, reply);
        return;
    }
    not_found(reply);
}

int main(int argc, char **argv)
{
    static const struct server_option options[] = {{"--root", "FOLDER", &root}, {"--apikey", "KEY", &apikey}, {0}};
    static const struct server server = {.name = "web",
                                         .summary = "serves the sample browser client at /web/",
                                         .default_port = 9003,
                                         .handle = handle,
                                         .options = options};
    return server_main(&server, argc, argv);
}
