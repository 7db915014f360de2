/* suite_plan.c - the processes of a suite: where their programs lie, what they are told, and one of them run to its end. */
#include "lib/config.h"
#include "lib/log.h"
#include "lib/udp.h"
#include "services/natterjack/command.h"
#include "services/natterjack/suite.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Text that lives as long as the process. */
__attribute__((format(printf, 1, 2))) static char *text(const char *fmt, ...)
{
    va_list ap;
    char *s;

    va_start(ap, fmt);
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    if (n < 0)
        die("event=no_memory");
    return s;
}

static char *ip_text(const struct addr *a)
{
    char buf[ADDR_TEXT_MAX];
    struct addr with_port = *a;

    with_port.port = 1;
    addr_format(&with_port, buf, sizeof buf);
    *strrchr(buf, ':') = '\0';
    if (buf[0] != '[')
        return text("%s", buf);
    buf[strlen(buf) - 1] = '\0';
    return text("%s", buf + 1);
}

/* Where to listen: on the address itself when this host has it, else (it is a gateway's) on all. */
static char *listen_ip(const struct addr *a)
{
    struct sockaddr_storage sa;
    struct addr any = {.len = a->len}, local = *a;

    local.port = 0;
    socklen_t len = addr_to_sockaddr(&local, &sa);
    int fd = socket(sa.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ours = fd >= 0 && bind(fd, (struct sockaddr *)&sa, len) == 0;
    if (fd >= 0)
        close(fd);
    return ip_text(ours ? a : &any);
}

/* Where this program lies, and so its companions. */
static const char *program_dir(void)
{
    static char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);

    if (n <= 0)
        die("event=no_program why=\"%s\"", strerror(errno));
    path[n] = '\0';
    *strrchr(path, '/') = '\0';
    return path;
}

/* Add "--flag value" pairs, up to a NULL flag. */
static void add_flags(struct child *c, const char *const (*pairs)[2])
{
    size_t n = 0;

    while (c->argv[n])
        n++;
    for (; (*pairs)[0]; pairs++) {
        assert(n + 2 <= CHILD_ARGS_MAX);
        c->argv[n++] = text("--%s", (*pairs)[0]);
        c->argv[n++] = (*pairs)[1];
    }
}

static const char *flag_text(const struct param *p)
{
    if (p->kind == PARAM_TEXT)
        return *(const char *const *)p->value;
    if (p->kind == PARAM_U32)
        return text("%" PRIu32, *(const uint32_t *)p->value);
    assert(p->kind == PARAM_SECONDS); /* `common` has no other kinds */
    int64_t us = *(const int64_t *)p->value;
    return text("%" PRId64 ".%06d", us / 1000000, (int)(us % 1000000));
}

/* What was said to us in flags is said on; file and environment are read by the child as well. */
static void add_common(struct child *c)
{
    const struct config_group *common = config_common();

    if (config_path())
        add_flags(c, (const char *const[][2]){
                         {"config", config_path()},
                         {NULL,     NULL         }
        });
    for (size_t i = 0; i < common->n; i++) {
        const struct param *p = &common->table[i];
        if (config_source(p->value) == CONFIG_FROM_FLAG)
            add_flags(c, (const char *const[][2]){
                             {p->name, flag_text(p)},
                             {NULL,    NULL        }
            });
    }
}

static void plan_program(struct child *c, const char *name)
{
    c->name = name;
    c->path = text("%s/natterjack-%s", program_dir(), name);
    c->argv[0] = text("natterjack-%s", name);
    add_common(c);
}

static void plan_child(struct child *c, const struct suite *s, const char *name,
                       const char *const (*pairs)[2])
{
    const char *const own[][2] = {
        {"bus",   text("%s/bus", s->dir)},
        {"admin",       text("%s/admin/%s",              s->dir, name)},
        {NULL, NULL}
    };

    plan_program(c, name);
    add_flags(c, own);
    add_flags(c, pairs);
}

static int programs_there(const struct child c[static SUITE_PROCESSES])
{
    for (size_t i = 0; i < SUITE_PROCESSES; i++)
        if (access(c[i].path, X_OK) != 0)
            return failure("%s: %s", c[i].path, strerror(errno));
    return EXIT_OK;
}

int suite_plan_bare(struct child c[static SUITE_PROCESSES])
{
    static const char *const names[SUITE_PROCESSES] = {"coordinator", "classifier", "prober",
                                                       "relay"};

    for (size_t i = 0; i < SUITE_PROCESSES; i++)
        plan_program(&c[i], names[i]);
    return programs_there(c);
}

int suite_plan(const struct suite *s, struct child c[static SUITE_PROCESSES])
{
    const char *const coordinator[][2] = {
        {"key",                 text("%s/keys/coordinator", s->dir)},
        {"authority",                     text("%s/keys/authority.pub",                                     s->dir)},
        {"token-file",              text("%s/keys/token",    s->dir)},
        {"store",text("%s/store.db",    s->dir)},
        {"listen-ip",               listen_ip(&s->a)                                   },
        {"front-port",                     text("%u",                                     s->front_port)},
        {"enrol-port",                     text("%u", s->enrol_port)},
        {NULL,       NULL}
    };
    const char *const prober[][2] = {
        {"public-ip",            s->public_ip},
        {"port",                 text("%u",    s->prober_port)},
        {"alt-port",                      text("%u",                         s->prober_alt_port)},
        {"key",   text("%s/keys/prober",s->dir)},
        {"cert",text("%s/keys/prober.cert",              s->dir)},
        {"places",                 text("%s/keys/places",     s->dir)},
        {NULL,                      NULL                          }
    };
    const char *const relay[][2] = {
        {"public-ip",                ip_text(&s->a)           },
        {"port",                     text("%u",                 s->relay_port)},
        {"key",                          text("%s/keys/relay",                                               s->dir)},
        {"cert",                   text("%s/keys/relay.cert",s->dir)},
        {"places",text("%s/keys/places",    s->dir)},
        {"coordinator-key",                   text("%s/keys/coordinator.pub",                                         s->dir)},
        {NULL,                          NULL                                  }
    };
    const char *const classifier[][2] = {
        {NULL, NULL}
    };

    plan_child(&c[0], s, "coordinator", coordinator);
    plan_child(&c[1], s, "classifier", classifier);
    plan_child(&c[2], s, "prober", prober);
    plan_child(&c[3], s, "relay", relay);
    c[0].drains = c[3].drains = true; /* in this order: sessions that are being made still bind */
    return programs_there(c);
}

int suite_run_with(const struct child *c, const char *flag)
{
    const char *argv[CHILD_ARGS_MAX + 2];
    size_t n = 0;
    int status;

    for (; c->argv[n]; n++)
        argv[n] = c->argv[n];
    argv[n++] = flag;
    argv[n] = NULL;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        execv(c->path, (char *const *)(uintptr_t)argv); /* it writes to none */
        _exit(EXIT_FAILED);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return failure("%s: %s", c->name, strerror(errno));
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILED;
}

int suite_check(const struct suite *s)
{
    static struct child all[SUITE_PROCESSES]; /* static, as what their arguments point at */
    int status = suite_plan(s, all), worst = status;

    for (size_t i = 0; i < SUITE_PROCESSES && status == EXIT_OK; i++)
        worst = suite_run_with(&all[i], "--check") == EXIT_OK ? worst : EXIT_USAGE;
    return worst;
}
