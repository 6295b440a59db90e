#include "cli/control_print.h"

#include "base/log_line.h"
#include "base/utf8.h"

const struct json_limits control_json_limits = {.max_bytes = 16u << 20,
                                                .max_depth = 8,
                                                .max_values = 65536,
                                                .max_members = 4096,
                                                .max_number = 30};

static uint32_t code_point(const char *p, size_t len)
{
    static const unsigned char lead[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)p[0] & lead[len];
    for (size_t i = 1; i < len; i++) c = c << 6 | ((unsigned char)p[i] & 0x3f);
    return c;
}

void print_json(FILE *out, str json)
{
    for (size_t i = 0; i < json.n;) {
        size_t len = utf8_length(str_from(json, i));
        uint32_t c = len ? code_point(json.p + i, len) : 0xfffd;
        if (c >= 0x10000) {
            c -= 0x10000;
            fprintf(out, "\\u%04x\\u%04x", 0xd800 + (c >> 10), 0xdc00 + (c & 0x3ff));
        } else if (c >= 0x7f) {
            fprintf(out, "\\u%04x", c);
        } else if (c >= 0x20 || c == '\n') {
            putc((int)c, out);
        }
        i += len ? len : 1;
    }
    if (!str_ends(json, STR("\n"))) putc('\n', out);
}

void print_text(FILE *out, str text)
{
    for (size_t i = 0; i < text.n;) {
        size_t len = utf8_length(str_from(text, i));
        uint32_t c = len ? code_point(text.p + i, len) : 0xfffd;
        if (!len || c < 0x20 || c == 0x7f || log_line_deceives(text.p + i, len))
            fprintf(out, "\\u%04x", c);
        else
            fwrite(text.p + i, 1, len, out);
        i += len ? len : 1;
    }
}

void print_lines(FILE *out, str text)
{
    while (text.n) {
        print_text(out, str_cut(&text, '\n'));
        putc('\n', out);
    }
}

str member_text(const struct json *v, const char *name)
{
    str s = json_text(json_get(v, str_of(name)));
    return s.p ? s : STR("");
}

uint64_t member_number(const struct json *v, const char *name)
{
    int64_t n;
    const struct json *m = json_get(v, str_of(name));
    return m && m->type == JSON_NUMBER && json_int(m, &n) == ERR_OK && n > 0 ? (uint64_t)n : 0;
}

int control_failed(const struct cli_args *args, const struct control_client *client)
{
    return cli_failure(args, "%s", client->problem);
}

int control_refused(const struct cli_args *args, uint16_t status, str body)
{
    struct arena mem;
    const struct json *v;
    char first[2048], said[128];
    size_t n = 0;
    arena_init(&mem, first, sizeof first, 1 << 20);
    if (json_parse(body, &control_json_limits, &mem, &v, NULL, NULL) == ERR_OK) {
        str title = member_text(v, "title");
        for (; n < title.n && n + 1 < sizeof said; n++)
            said[n] = title.p[n] >= 0x20 && title.p[n] < 0x7f ? title.p[n] : '?';
    }
    said[n] = '\0';
    arena_reset(&mem);
    return cli_failure(args, "the product answered %u%s%s", status, n ? ": " : "", said);
}

int control_call(const struct cli_args *args, const char *method, const char *path, str json, uint32_t timeout_ms,
                 int (*answered)(const struct cli_args *args, uint16_t status, str body))
{
    struct control_client client;
    struct buf body;
    uint16_t status = 0;
    if (control_client_open(cli_value(args, "socket"), &client) != ERR_OK) return control_failed(args, &client);
    buf_init(&body, CONTROL_ANSWER_MAX);
    bool there = control_client_ask(&client, method, path, json, timeout_ms, &status, &body) == ERR_OK;
    int code = there ? answered(args, status, buf_str(&body)) : control_failed(args, &client);
    buf_free(&body);
    control_client_close(&client);
    return code;
}
