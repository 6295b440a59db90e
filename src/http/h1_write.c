/* Heads written anew from the model, into a fixed room. */
#include "http/h1.h"
#include "http/scan.h"

str http_reason(uint16_t status)
{
    switch (status) {
    case 100: return STR("Continue");
    case 101: return STR("Switching Protocols");
    case 102: return STR("Processing");
    case 103: return STR("Early Hints");
    case 200: return STR("OK");
    case 201: return STR("Created");
    case 202: return STR("Accepted");
    case 203: return STR("Non-Authoritative Information");
    case 204: return STR("No Content");
    case 205: return STR("Reset Content");
    case 206: return STR("Partial Content");
    case 207: return STR("Multi-Status");
    case 208: return STR("Already Reported");
    case 226: return STR("IM Used");
    case 300: return STR("Multiple Choices");
    case 301: return STR("Moved Permanently");
    case 302: return STR("Found");
    case 303: return STR("See Other");
    case 304: return STR("Not Modified");
    case 305: return STR("Use Proxy");
    case 307: return STR("Temporary Redirect");
    case 308: return STR("Permanent Redirect");
    case 400: return STR("Bad Request");
    case 401: return STR("Unauthorized");
    case 402: return STR("Payment Required");
    case 403: return STR("Forbidden");
    case 404: return STR("Not Found");
    case 405: return STR("Method Not Allowed");
    case 406: return STR("Not Acceptable");
    case 407: return STR("Proxy Authentication Required");
    case 408: return STR("Request Timeout");
    case 409: return STR("Conflict");
    case 410: return STR("Gone");
    case 411: return STR("Length Required");
    case 412: return STR("Precondition Failed");
    case 413: return STR("Content Too Large");
    case 414: return STR("URI Too Long");
    case 415: return STR("Unsupported Media Type");
    case 416: return STR("Range Not Satisfiable");
    case 417: return STR("Expectation Failed");
    case 421: return STR("Misdirected Request");
    case 422: return STR("Unprocessable Content");
    case 423: return STR("Locked");
    case 424: return STR("Failed Dependency");
    case 425: return STR("Too Early");
    case 426: return STR("Upgrade Required");
    case 428: return STR("Precondition Required");
    case 429: return STR("Too Many Requests");
    case 431: return STR("Request Header Fields Too Large");
    case 451: return STR("Unavailable For Legal Reasons");
    case 500: return STR("Internal Server Error");
    case 501: return STR("Not Implemented");
    case 502: return STR("Bad Gateway");
    case 503: return STR("Service Unavailable");
    case 504: return STR("Gateway Timeout");
    case 505: return STR("HTTP Version Not Supported");
    case 506: return STR("Variant Also Negotiates");
    case 507: return STR("Insufficient Storage");
    case 508: return STR("Loop Detected");
    case 511: return STR("Network Authentication Required");
    default: return STR("");
    }
}

/* Room for n more bytes, or NULL and nothing more is written from then on. */
static char *room(struct h1_out *o, size_t n)
{
    if (!o->ok || n > o->cap - o->n) {
        o->ok = false;
        return NULL;
    }
    char *p = o->p + o->n;
    o->n += n;
    return p;
}

void h1_out_raw(struct h1_out *o, str bytes)
{
    char *p = room(o, bytes.n);
    if (p) str_put(p, bytes);
}

void h1_out_request_line(struct h1_out *o, str method, str path, str query, bool has_query)
{
    char *p = room(o, method.n + 1 + path.n + has_query + (has_query ? query.n : 0) + 11);
    if (!p) return;
    p = str_put(p, method);
    *p++ = ' ';
    p = str_put(p, path);
    if (has_query) {
        *p++ = '?';
        p = str_put(p, query);
    }
    str_put(p, STR(" HTTP/1.1\r\n"));
}

void h1_out_status_line(struct h1_out *o, uint16_t status)
{
    str reason = http_reason(status);
    if (status < 100 || status > 999) o->ok = false;
    char *p = room(o, 9 + 4 + reason.n + 2);
    if (!p) return;
    p = str_put(p, STR("HTTP/1.1 "));
    *p++ = (char)('0' + status / 100);
    *p++ = (char)('0' + status / 10 % 10);
    *p++ = (char)('0' + status % 10);
    *p++ = ' ';
    p = str_put(p, reason);
    str_put(p, STR("\r\n"));
}

/* The last door: a value that could begin a line of its own does not pass, wherever it came from. */
void h1_out_field(struct h1_out *o, str name, str value)
{
    size_t before = o->n;
    char *p = room(o, name.n + 2 + value.n + 2);
    if (UNLIKELY(!p)) return;
    p = str_put(p, name);
    *p++ = ':';
    *p++ = ' ';
    if (UNLIKELY(!scan_copy_value(p, value.p, value.n))) {
        o->ok = false;
        o->n = before;
        return;
    }
    p += value.n;
    *p++ = '\r';
    *p = '\n';
}

void h1_out_field_u64(struct h1_out *o, str name, uint64_t value)
{
    char digits[20];
    size_t at = sizeof digits;
    do digits[--at] = (char)('0' + value % 10);
    while (value /= 10);
    h1_out_field(o, name, str_make(digits + at, sizeof digits - at));
}

void h1_out_end(struct h1_out *o)
{
    h1_out_raw(o, STR("\r\n"));
}
