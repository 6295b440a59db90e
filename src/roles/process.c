#include "roles/process_private.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/pages.h"
#include "net/handed.h"
#include "roles/child.h"
#include "roles/sandbox.h"
#include "roles/supervisor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- pieces --- */

void process_raise_limits(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur == r.rlim_max) return;
    r.rlim_cur = r.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &r);
}

enum err process_data_folder(str data)
{
    char path[4096];
    struct stat st;
    if (data.n >= sizeof path) return ERR_LIMIT;
    memcpy(path, data.p, data.n);
    path[data.n] = 0;
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        fprintf(stderr, "sallyport: cannot make the data folder %s: %s\n", path, strerror(errno));
        return ERR_IO;
    }
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        fprintf(stderr, "sallyport: the data folder %s is no folder\n", path);
        return ERR_IO;
    }
    /* whoever may rename in it could put a control socket of his own in the place of ours */
    if ((st.st_uid != geteuid() && st.st_uid != 0) || st.st_mode & S_IWOTH) {
        fprintf(stderr,
                "sallyport: the data folder %s belongs to another user, or everybody may write into it: chmod "
                "o-w, or choose another `data`\n",
                path);
        return ERR_DENIED;
    }
    return ERR_OK;
}

void process_print_mistakes(const struct diags *d)
{
    struct buf text;
    buf_init(&text, 4 << 20);
    diags_print(d, &text);
    if (text.n) fwrite(text.p, 1, text.n, stderr);
    buf_free(&text);
}

/* The folder of the file, as config_load has it. */
static str folder_of(const char *path, const char *text_dir)
{
    const char *slash = path ? strrchr(path, '/') : NULL;
    if (text_dir) return str_of(text_dir);
    return slash == path && path ? STR("/") : slash ? str_make(path, (size_t)(slash - path)) : STR(".");
}

enum err process_config_read(const char *path, const char *text_dir, const struct config_overrides *overrides,
                             struct diags *d, struct config **out)
{
    str text, findings;
    if (child_config(&text, &findings)) return config_parse(text, folder_of(path, text_dir), overrides, d, out);
    diag_add(d, DIAG_ERROR, "file", (struct config_pos){0}, 1, STR_NONE, "cannot be read");
    return ERR_IO;
}

void process_sandbox_told(void)
{
    const struct sandbox_state *s = sandbox_state();
    if (!s->on)
        log_event(LOG_LEVEL_WARN, log_msg("there is no sandbox: it is switched off"));
    else if (s->missing[0])
        log_event(LOG_LEVEL_WARN, log_msg("a part of the sandbox is missing"), log_str("missing", str_of(s->missing)));
}

str process_sandbox_text(void)
{
    const struct sandbox_state *s = sandbox_state();
    return !s->on ? STR("off") : s->missing[0] ? str_of(s->missing) : STR("on");
}

struct control_check process_sandbox_check(void)
{
    const struct sandbox_state *s = sandbox_state();
    return (struct control_check){"sandbox", true, str_of(s->on ? s->missing : "switched off")};
}

/* --- configuration --- */

const char *process_config_name(const struct process *p)
{
    return p->options.config_path ? p->options.config_path : "(text)";
}

/* Nobody here asks a service: the names of its instances are not looked up. */
static enum err no_names(void *ctx, str host, uint16_t port, bool srv, struct source_address out[SOURCE_ADDRS],
                         size_t *n, char why[SOURCE_WHY])
{
    (void)ctx, (void)host, (void)port, (void)srv, (void)out, (void)n, (void)why;
    return ERR_AGAIN;
}

static enum err load(struct process *p, struct diags *d, struct config **config, struct snapshot **snap)
{
    const struct process_options *o = &p->options;
    struct config *c = NULL;
    struct snapshot *s = NULL;
    enum err e = process_config_read(o->config_path, o->text_dir, &o->overrides, d, &c);
    const struct config_source *files = child_source();
    struct config_source source = files ? *files : (struct config_source){0};
    source.names = no_names;
    if (e == ERR_OK && p->role->snapshot) e = snapshot_build(c, &source, p->generation + 1, d, &s);
    if (e != ERR_OK) {
        config_free(&c);
        return e;
    }
    p->generation++;
    *config = c;
    *snap = s;
    return ERR_OK;
}

static enum err load_first(struct process *p)
{
    struct diags d;
    diags_init(&d, str_of(process_config_name(p)));
    enum err e = load(p, &d, &p->config, &p->snap);
    process_print_mistakes(&d);
    diags_free(&d);
    if (e != ERR_OK) p->exit_code = 78;
    p->loaded_ms = clock_wall_ms();
    return e;
}

/* What only a new process can change. */
static enum err same_ground(const struct process *p, const struct config *c, struct diags *d)
{
    const char *what = !str_eq(p->config->data.s, c->data.s)                        ? "data"
                       : p->config->fed && c->fed && p->config->engine != c->engine ? "store.engine"
                                                                                    : NULL;
    if (!what) return ERR_OK;
    diag_add(d, DIAG_ERROR, "needs_restart", (struct config_pos){0}, 0,
             STR("restart the role, or take the change back"), "%s cannot change while the role runs", what);
    return ERR_UNSUPPORTED;
}

static enum err swap(struct process *p, struct diags *d)
{
    struct config *config = NULL;
    struct snapshot *snap = NULL;
    enum err e = load(p, d, &config, &snap);
    if (e == ERR_OK) e = same_ground(p, config, d);
    if (e == ERR_OK && p->role->reload) e = p->role->reload(p, p->ctx, config, snap, d);
    if (e == ERR_OK) {
        config_free(&p->config);
        snapshot_unref(&p->snap);
        p->config = config;
        p->snap = snap;
        p->loaded_ms = clock_wall_ms();
        log_set_level((enum log_level)config->log_level);
    } else {
        config_free(&config);
        snapshot_unref(&snap);
        p->reload_failures++;
    }
    return e;
}

enum err process_reload(struct process *p, struct diags *d)
{
    enum err e = swap(p, d);
    if (e == ERR_OK) {
        log_event(LOG_LEVEL_INFO, log_msg("configuration reloaded"), log_u64("generation", p->generation));
    } else {
        struct buf text;
        buf_init(&text, 1 << 20);
        diags_print(d, &text);
        process_reload_refused(buf_str(&text));
        buf_free(&text);
    }
    child_reloaded(e == ERR_OK);
    return e;
}

void process_reload_refused(str mistakes)
{
    log_event(LOG_LEVEL_ERROR, log_msg("configuration refused: the old one stays"), log_str("mistakes", mistakes));
}

/* --- what the parent says --- */

static void begin_drain(void *ctx, unsigned how)
{
    struct process *p = ctx;
    if (how == WIRE_DRAIN_NOW || p->freed) { /* asked twice, or another one has taken over: at once */
        p->draining = true;
        loop_stop(p->loop);
        return;
    }
    if (p->draining) return;
    p->draining = true;
    child_ending();
    log_event(LOG_LEVEL_INFO, log_msg(p->role->drain ? "draining" : "ending"));
    if (p->role->drain)
        p->role->drain(p, p->ctx);
    else
        process_end(p);
}

/* What only one may have is closed, and who has asked for the upgrade can still be answered. */
static void hand_over(void *ctx)
{
    struct process *p = ctx;
    p->handing = true;
    control_server_deaf(p->control);
    begin_drain(p, WIRE_DRAIN_TAKEN_OVER);
}

static void stop_role(struct process *p)
{
    p->started = false;
    if (p->begun && p->role->stop) p->role->stop(p, p->ctx);
    p->begun = false;
}

static void on_freed(struct task *t)
{
    struct process *p = CONTAINER_OF(t, struct process, free_role);
    stop_role(p);
    p->freed = true;
    child_freed();
}

static enum err follow_parent(struct process *p)
{
    struct child_events on = {.bundle = process_bundle,
                              .no_bundle = process_no_bundle,
                              .drain = begin_drain,
                              .hand_over = hand_over,
                              .upgraded = process_upgraded,
                              .ctx = p};
    p->free_role.run = on_freed;
    return child_watch(p->loop, &on);
}

/* --- start and end --- */

static enum err find_data(struct process *p)
{
    char here[4096] = "";
    str data = p->config->data.s;
    bool relative = !data.n || data.p[0] != '/';
    if (relative && !getcwd(here, sizeof here)) return ERR_LIMIT;
    int n = snprintf(p->data, sizeof p->data, "%s%s%.*s", here, relative ? "/" : "", STR_ARG(data));
    if (n > 0 && (size_t)n < sizeof p->data) return process_data_folder(str_make(p->data, (size_t)n));
    fprintf(stderr, "sallyport: the path of the data folder is too long\n");
    return ERR_LIMIT;
}

static enum err open_admin(struct process *p)
{
    struct net_addr a = {.len = sizeof a.ss};
    int fd = handed_take(STR("admin"));
    if (fd < 0) return ERR_OK;
    if (getsockname(fd, (struct sockaddr *)&a.ss, &a.len) != 0) a.len = 0; /* with port 0 the system has chosen one */
    return control_server_admin(p->control, fd, str_make(p->admin_text, net_addr_text(&a, p->admin_text)));
}

static enum err open_control(struct process *p)
{
    process_control_init(p);
    enum err e = control_server_new(p->loop, &p->source, &p->control);
    if (e != ERR_OK) return e;
    int n = snprintf(p->socket_path, sizeof p->socket_path, "%.100s/%s", p->data, p->role->socket);
    bool fits = n > 0 && (size_t)n < sizeof p->socket_path && strlen(p->data) <= 100;
    e = fits ? control_server_local(p->control, p->socket_path) : ERR_LIMIT;
    if (e != ERR_OK)
        fprintf(stderr, "sallyport: cannot open the control socket %s/%s: %s\n", p->data, p->role->socket,
                e == ERR_LIMIT ? "its path is too long: choose a shorter `data`" : strerror(errno));
    return e == ERR_OK ? open_admin(p) : e;
}

static enum err start(struct process *p)
{
    process_raise_limits();
    p->loop = loop_new(p);
    if (!p->loop) return ERR_NO_MEMORY;
    enum err e = load_first(p);
    if (e == ERR_OK) e = find_data(p);
    if (e != ERR_OK) return e;
    struct log_options log = {.fd = 2, .level = (enum log_level)p->config->log_level, .role = p->role->name};
    if (log_open(&log) != ERR_OK) return ERR_NO_MEMORY;
    process_sandbox_told();
    e = child_await_turn();
    if (e == ERR_OK) e = open_control(p);
    if (e != ERR_OK) return e;
    p->begun = true;
    e = p->role->start(p, p->ctx);
    return e == ERR_OK ? follow_parent(p) : e;
}

static void stop(struct process *p)
{
    stop_role(p);
    control_server_free(&p->control);
    if (p->loop) {
        loop_undefer(p->loop, &p->free_role);
        child_unwatch(p->loop);
    }
    snapshot_unref(&p->snap);
    config_free(&p->config);
    loop_free(&p->loop);
    (void)log_close();
}

struct served {
    const struct process_role *role;
    void *ctx;
    const struct process_options *options;
};

static int serve(void *ctx)
{
    const struct served *what = ctx;
    struct process p = {.role = what->role, .ctx = what->ctx, .options = *what->options, .exit_code = 1};
    p.started_ms = clock_wall_ms();
    enum err e = start(&p);
    if (e == ERR_NO_MEMORY) fprintf(stderr, "sallyport: no memory\n");
    if (e == ERR_OK) {
        p.started = true;
        log_event(LOG_LEVEL_INFO, log_msg("ready"), log_str("control", str_of(p.socket_path)),
                  log_str("admin", str_of(p.admin_text)), log_u64("generation", p.generation));
        pages_forget_start();
        child_ready(p.generation);
        loop_run(p.loop);
        p.exit_code = 0;
    }
    stop(&p);
    return p.exit_code;
}

int process_run(const struct process_role *role, void *ctx, const struct process_options *options)
{
    struct served what = {role, ctx, options};
    struct supervisor_options s = {.bundle = {.role = role->kind,
                                              .config_path = options->config_path,
                                              .text = options->text,
                                              .text_dir = options->text_dir,
                                              .overrides = options->overrides},
                                   .no_sandbox = options->no_sandbox,
                                   .others = options->others,
                                   .serve = serve,
                                   .ctx = &what};
    return supervisor_run(&s);
}

struct loop *process_loop(struct process *p)
{
    return p->loop;
}

const struct config *process_config(const struct process *p)
{
    return p->config;
}

struct snapshot *process_snapshot(const struct process *p)
{
    return p->snap;
}

const char *process_data(const struct process *p)
{
    return p->data;
}

bool process_draining(const struct process *p)
{
    return p->draining;
}

void process_end(struct process *p)
{
    p->draining = true;
    if (!p->handing)
        loop_stop(p->loop);
    else if (!p->freed)
        loop_defer(p->loop, &p->free_role);
}
