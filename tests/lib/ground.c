/* ground.c - see ground.h. */
#include "tests/lib/ground.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGS_MAX = 96, LISTEN_PIPE = 1 << 20 };

static const char pub[] = "pub=open,ip=203.0.113.10+203.0.113.11";

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static size_t append(const char **argv, size_t n, const char *const *more)
{
    for (; *more; more++) {
        cr_assert_lt(n, ARGS_MAX - 1);
        argv[n++] = *more;
    }
    argv[n] = NULL;
    return n;
}

struct ground_run ground_spawn(struct ground *g, const char *host, const char *const *argv)
{
    int fd[2];
    struct ground_run r = {0};

    cr_assert_eq(pipe(fd), 0);
    fcntl(fd[0], F_SETFD, FD_CLOEXEC);
    r.pid = lab_spawn(&g->lab, host, fd[1], argv);
    r.out = fd[0];
    close(fd[1]);
    cr_assert_gt(r.pid, 0);
    return r;
}

/* One line of text within ms; false at the end of it all. */
static bool text_line(struct ground_run *r, char *line, size_t cap, int ms)
{
    int64_t end = now_ms() + ms;

    for (;;) {
        char *eol = memchr(r->line, '\n', r->n);
        if (eol || r->n == sizeof r->line) {
            size_t len = eol ? (size_t)(eol - r->line) : r->n;
            snprintf(line, cap, "%.*s", (int)len, r->line);
            len += eol != NULL;
            memmove(r->line, r->line + len, r->n - len);
            r->n -= len;
            return true;
        }
        struct pollfd p = {.fd = r->out, .events = POLLIN};
        int64_t left = end - now_ms();
        if (left <= 0 || poll(&p, 1, (int)left) != 1)
            return false;
        ssize_t got = read(r->out, r->line + r->n, sizeof r->line - r->n);
        if (got <= 0)
            return false;
        r->n += (size_t)got;
    }
}

json_t *ground_line(struct ground_run *r, int ms)
{
    char line[4096];
    int64_t end = now_ms() + ms;

    while (now_ms() < end && text_line(r, line, sizeof line, (int)(end - now_ms()))) {
        json_error_t why;
        json_t *value = line[0] == '{' ? json_loads(line, 0, &why) : NULL;
        if (value)
            return value;
        fprintf(stderr, "%s\n", line); /* a log line: the reader of a failure wants it */
    }
    return NULL;
}

static void end(struct ground_run *r, int *status)
{
    int s = -1;

    cr_assert_eq(waitpid(r->pid, &s, 0), r->pid);
    close(r->out);
    *status = WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s);
}

json_t *ground_result(struct ground_run *r, int *status)
{
    json_t *last = NULL, *next;

    while ((next = ground_line(r, 2 * GROUND_WAIT_MS))) {
        json_decref(last);
        last = next;
    }
    kill(r->pid, SIGKILL); /* it has closed its output: it has ended, or hangs */
    int killed;
    end(r, &killed);
    cr_assert_not_null(last, "the program printed no result");
    *status = killed;
    return last;
}

struct ground_run ground_start(struct ground *g, const char *host, const char *verb,
                               const char *const *more)
{
    char key[160];
    const char *argv[ARGS_MAX];

    /* A key for each target: a peer may ask 60 times a minute, and these tests are faster than that. */
    snprintf(key, sizeof key, "%s/%s-%s.key", g->dir, host, more[0] ? more[0] : "");
    size_t n = append(argv, 0,
                      (const char *const[]){BIN_DIR "/natterjack", verb, "-o", "json", "--join",
                                            g->join, "--key", key, NULL});
    append(argv, n, more);
    return ground_spawn(g, host, argv);
}

pid_t ground_program(const struct ground_run *r)
{
    char path[64];
    int pid = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)r->pid, (int)r->pid);
    FILE *f = fopen(path, "re");
    cr_assert(f && fscanf(f, "%d", &pid) == 1, "the program has ended");
    fclose(f);
    return pid;
}

static struct ground_run start_listening(struct ground *g, const char *host,
                                         const char *const *more)
{
    const char *argv[ARGS_MAX];

    append(argv, append(argv, 0, (const char *const[]){"--name", host, "--echo", NULL}), more);
    /* Nobody reads its events while connects go on: a full pipe would stop it in the middle. */
    struct ground_run r = ground_start(g, host, "listen", argv);
    cr_assert_geq(fcntl(r.out, F_SETPIPE_SZ, LISTEN_PIPE), LISTEN_PIPE);
    return r;
}

static void expect_listening(struct ground_run *r, const char *host)
{
    json_t *line = ground_line(r, GROUND_WAIT_MS);

    cr_assert(line && strcmp(ground_text(line, "event"), "listening") == 0, "%s does not listen",
              host);
    json_decref(line);
}

struct ground_run ground_listen_with(struct ground *g, const char *host, const char *const *more)
{
    struct ground_run r = start_listening(g, host, more);

    expect_listening(&r, host);
    return r;
}

void ground_listen_all(struct ground *g, const char *const *hosts, size_t n)
{
    struct ground_run runs[GROUND_PEERS_MAX];

    cr_assert_leq(n, GROUND_PEERS_MAX);
    for (size_t i = 0; i < n; i++)
        runs[i] = start_listening(g, hosts[i], (const char *const[]){NULL});
    for (size_t i = 0; i < n; i++)
        expect_listening(&runs[i], hosts[i]);
}

struct ground_run ground_listen(struct ground *g, const char *host)
{
    return ground_listen_with(g, host, (const char *const[]){NULL});
}

json_t *ground_connect(struct ground *g, const char *host, const char *to, const char *const *more,
                       int *status)
{
    const char *argv[ARGS_MAX];

    append(argv, append(argv, 0, (const char *const[]){to, NULL}), more);
    struct ground_run r = ground_start(g, host, "connect", argv);
    return ground_result(&r, status);
}

/* All that a program prints until it ends, cut to fit, with a terminator; how much that was. */
static size_t read_all(struct ground_run *r, char *text, size_t cap, int *status)
{
    size_t n = 0;
    ssize_t got;

    while (n < cap - 1 && (got = read(r->out, text + n, cap - 1 - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    end(r, status);
    return n;
}

const char *ground_output(struct ground *g, const char *host, const char *const *argv)
{
    static char text[65536];
    struct ground_run r = ground_spawn(g, host, argv);
    int status;

    read_all(&r, text, sizeof text, &status);
    return text;
}

json_t *ground_ask(struct ground *g, const char *verb, const char *const *more, int *status)
{
    char state[96], text[65536];
    const char *argv[ARGS_MAX];
    json_error_t why;

    snprintf(state, sizeof state, "%s/suite", g->dir);
    append(argv,
           append(argv, 0,
                  (const char *const[]){BIN_DIR "/natterjack", verb, "-o", "json", "--state", state,
                                        NULL}),
           more);
    struct ground_run r = ground_spawn(g, "pub", argv);
    size_t n = read_all(&r, text, sizeof text, status);
    return json_loadb(text, n, JSON_DECODE_ANY, &why);
}

json_t *ground_admin(struct ground *g, const char *verb, const char *argument)
{
    int status;

    return ground_ask(g, verb, (const char *const[]){argument, NULL}, &status);
}

void ground_open_lab(struct ground *g, const char *const *lab_args)
{
    const char *argv[ARGS_MAX];

    *g = (struct ground){.delay_us = 20000};
    snprintf(g->dir, sizeof g->dir, "/tmp/natterjack-test.XXXXXX");
    cr_assert_not_null(tidy_mkdtemp(g->dir));
    size_t n = append(argv, 0, lab_args);
    append(argv, n, (const char *const[]){pub, NULL});
    cr_assert(lab_start(&g->lab, argv), "no lab: root, /dev/net/tun and nft are needed");
}

void ground_up(struct ground *g, const char *public_ip, const char *environment)
{
    char up_command
        [1024]; /* its log goes to a file: nobody would read a pipe while the test goes on */

    snprintf(up_command, sizeof up_command,
             "exec env %s %s/natterjack up --state %s/suite --public-ip %s 2>%s/log", environment,
             BIN_DIR, g->dir, public_ip, g->dir);
    struct ground_run up =
        ground_spawn(g, "pub", (const char *const[]){"/bin/sh", "-c", up_command, NULL});
    char line[1024];
    do
        cr_assert(text_line(&up, line, sizeof line, GROUND_WAIT_MS), "the suite does not come up");
    while (strncmp(line, "nj1", 3) != 0);
    snprintf(g->join, sizeof g->join, "%s", line);
}

void ground_open(struct ground *g, const char *const *lab_args)
{
    ground_open_lab(g, lab_args);
    ground_up(g, "203.0.113.10,203.0.113.11", "");
}

void ground_close(struct ground *g)
{
    lab_stop(&g->lab); /* ends all that runs in it */
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
    tidy_remove(g->dir);
}

/* Whose command line is "natterjack-PROCESS ... DIR..."? */
static bool is_ours(const struct ground *g, long pid, const char *process)
{
    char path[64], text[4096], name[64];
    FILE *f;

    snprintf(path, sizeof path, "/proc/%ld/cmdline", pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\0')
            text[i] = ' ';
    text[n] = '\0';
    snprintf(name, sizeof name, "natterjack-%s ", process);
    return strncmp(text, name, strlen(name)) == 0 && strstr(text, g->dir);
}

pid_t ground_pid(const struct ground *g, const char *process)
{
    DIR *proc = opendir("/proc");
    struct dirent *e;
    pid_t pid = 0;

    while (proc && !pid && (e = readdir(proc)))
        if (isdigit((unsigned char)e->d_name[0]) && is_ours(g, atol(e->d_name), process))
            pid = (pid_t)atol(e->d_name);
    closedir(proc);
    cr_assert_gt(pid, 0, "no %s runs", process);
    return pid;
}

void ground_kill(struct ground *g, const char *process)
{
    cr_assert_eq(kill(ground_pid(g, process), SIGKILL), 0);
}

const char *ground_text(const json_t *line, const char *key)
{
    const char *text = json_string_value(json_object_get(line, key));

    return text ? text : "";
}

double ground_number(const json_t *line, const char *key)
{
    const json_t *v = json_object_get(line, key);

    return json_is_number(v) ? json_number_value(v) : -1;
}

unsigned ground_times(const char *name, unsigned usual)
{
    const char *text = getenv(name);

    return text && atoi(text) > 0 ? (unsigned)atoi(text) : usual;
}
