/* The message model: what HTTP/1.1, HTTP/2 and our own code all mean by a request and a response (RFC 9110).
 *
 * Version-blind: nothing here tells how a message was framed. Slices borrow from the buffer or arena that the
 * maker of the message names. Knows nothing of sockets or of who is calling. */
#ifndef SALLYPORT_HTTP_MESSAGE_H
#define SALLYPORT_HTTP_MESSAGE_H

#include "base/arena.h"
#include "base/str.h"

/* Field names that some code of ours looks at, interned. FIELD_OTHER is everything else. */
enum field_id {
    FIELD_OTHER = 0,
    /* framing and connection (hop-by-hop, RFC 9110 §7.6.1): never forwarded */
    FIELD_CONNECTION,
    FIELD_KEEP_ALIVE,
    FIELD_PROXY_CONNECTION,
    FIELD_PROXY_AUTHENTICATE,
    FIELD_PROXY_AUTHORIZATION,
    FIELD_TE,
    FIELD_TRAILER,
    FIELD_TRANSFER_ENCODING,
    FIELD_UPGRADE,
    FIELD_HTTP2_SETTINGS,
    FIELD_CONTENT_LENGTH,
    FIELD_EXPECT,
    FIELD_HOST,
    /* credentials */
    FIELD_AUTHORIZATION,
    FIELD_APIKEY,
    FIELD_COOKIE,
    /* identity and context that only we may write: removed whenever they arrive from outside */
    FIELD_X_USER_ID,
    FIELD_X_USER_ROLES,
    FIELD_X_USER_PERMISSIONS,
    FIELD_X_CLIENT_ID,
    FIELD_X_PRODUCT,
    FIELD_X_ACTION,
    FIELD_X_CORRELATION_ID,
    FIELD_X_CALLER_SERVICE,
    FIELD_TXN_TOKEN,
    FIELD_X_HOP_RECORD,
    FIELD_X_TXN_HANDLE,
    FIELD_X_IDENTITY_OTHER, /* any other name that begins with x-user-, x-sallyport-, x-identity- or x-caller- */
    /* forwarding: trusted from known hops only */
    FIELD_FORWARDED,
    FIELD_X_FORWARDED_FOR,
    FIELD_X_FORWARDED_HOST,
    FIELD_X_FORWARDED_PROTO,
    FIELD_X_FORWARDED_PORT,
    FIELD_X_FORWARDED_PREFIX,
    FIELD_X_FORWARDED_CLIENT_CERT,
    FIELD_X_FORWARDED_OTHER, /* any other x-forwarded-*; Client-Cert (RFC 9440), X-SSL-Client-* and their like */
    FIELD_X_REAL_IP,
    FIELD_VIA,
    FIELD_CDN_LOOP,
    /* overrides that change what a request means behind our back: always removed */
    FIELD_X_HTTP_METHOD_OVERRIDE, /* also X-HTTP-Method, X-Method-Override */
    FIELD_X_ORIGINAL_URL,
    FIELD_X_REWRITE_URL,
    /* tracing */
    FIELD_TRACEPARENT,
    FIELD_TRACESTATE,
    FIELD_BAGGAGE,
    /* others we read or write */
    FIELD_CONTENT_TYPE,
    FIELD_DATE,
    FIELD_SERVER,
    FIELD_WWW_AUTHENTICATE,
    FIELD_RETRY_AFTER,
    FIELD_LOCATION,
    FIELD_ORIGIN,
    FIELD_ACCEPT,
    FIELD_USER_AGENT,
    FIELD_LAST_EVENT_ID,
    FIELD_COUNT
};

/* What a field is for; decides whether it passes a gate. */
enum field_class { FIELD_PLAIN = 0, FIELD_HOP, FIELD_CREDENTIAL, FIELD_IDENTITY, FIELD_FORWARDING, FIELD_OVERRIDE };

/* Interns a name without regard to case. '_' counts as '-': "X_User-Id" is FIELD_X_USER_ID with *twin set, so
 * that a twin of a name we know can be dropped (CGI-like applications cannot tell them apart). twin may be NULL. */
enum field_id field_intern(str name, bool *twin);
extern const uint8_t field_classes[FIELD_COUNT];
static inline enum field_class field_class_of(enum field_id id)
{
    return (unsigned)id < FIELD_COUNT ? (enum field_class)field_classes[id] : FIELD_PLAIN;
}
/* The name as we write it ("X-User-ID"); "" for FIELD_OTHER and the *_OTHER ids. */
extern const str field_names[FIELD_COUNT];
static inline str field_name(enum field_id id)
{
    return (unsigned)id < FIELD_COUNT && field_names[id].p ? field_names[id] : STR("");
}

struct field {
    str name;    /* as received */
    str value;   /* without surrounding OWS; no CR, LF, NUL */
    uint16_t id; /* enum field_id */
    bool twin;   /* known name written with '_' */
    bool drop;   /* marked by a step: not forwarded */
};

struct fields {
    struct field *v;
    uint32_t n, cap;
};

/* First field of that id (twins are passed over), or NULL; how many there are. */
const struct field *fields_get(const struct fields *f, enum field_id id);
uint32_t fields_count(const struct fields *f, enum field_id id);
/* Marks every field of that id as dropped, twins too. */
void fields_drop(struct fields *f, enum field_id id);
/* Marks the fields that Connection names (RFC 9110 §7.6.1). Only FIELD_PLAIN ones: what Connection says of the other
 * classes is not heeded, for each has a rule of its own (hop fields and identity always go, credentials and
 * forwarding as configured), and the sender must not be able to switch such a rule off. Call it on the fields as
 * received, before any are added. */
void fields_drop_nominated(struct fields *f);
/* ERR_LIMIT when full; ERR_MALFORMED when the value may not stand in a field (field_value_ok) or the name is no
 * token. An empty name stands for field_name(id). */
MUST_USE enum err fields_append(struct fields *f, enum field_id id, str name, str value);
/* RFC 9110 §5.5: no CTL but HTAB, no leading or trailing blank; bytes above 0x7f pass. */
bool field_value_ok(str value);
/* RFC 9110 §5.6.2 token. */
bool http_token_ok(str s);

enum method {
    METHOD_OTHER = 0,
    METHOD_GET,
    METHOD_HEAD,
    METHOD_POST,
    METHOD_PUT,
    METHOD_DELETE,
    METHOD_PATCH,
    METHOD_OPTIONS,
    METHOD_TRACE,
    METHOD_CONNECT
};
enum method method_of(str name); /* exact case: "get" is METHOD_OTHER */
/* The methods a request may have: those of the enum, WebDAV's (RFC 3253, 3648, 3744, 4791, 4918, 5323, 5842), LINK and
 * UNLINK (RFC 2068), PURGE, and UPnP's. A closed list, so that the application's parser knows each of them too. */
bool method_known(str name);
bool method_is_safe(enum method m);       /* RFC 9110 §9.2.1 */
bool method_is_idempotent(enum method m); /* RFC 9110 §9.2.2 */

#define BODY_UNKNOWN UINT64_MAX /* a body follows, its length is not announced */

struct request {
    enum method method_id;
    str method;
    str authority; /* Host or :authority, checked: reg-name or IP literal, optional port */
    str path;      /* as received, begins with '/', or "*" (OPTIONS) */
    str query;     /* without '?'; has_query tells "/a?" from "/a" */
    bool has_query;
    struct fields fields;
    str ready[2];  /* of a request we send: more field lines, each with its CRLF, whose values were checked when they
                      were made; written behind the fields */
    uint64_t body; /* 0: none; a length; or BODY_UNKNOWN */
    bool expect_continue;
    bool upgrade;  /* asks for an upgrade */
    uint8_t minor; /* 0 or 1 for HTTP/1.x; 1 otherwise. For answering only, never for deciding. */
};

struct response {
    uint16_t status;
    str reason; /* as received; may be empty; never forwarded from an upstream */
    struct fields fields;
    uint64_t body; /* 0: none; a length; or BODY_UNKNOWN */
};

#endif
