/* contest.c - see contest.h. */
#include "tests/lib/contest.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define STUN "203.0.113.10"
#define SIGNAL_PORT "7500"
#define SCRIPTS "tests/compare/"

enum {
    READY_MS = 40000, /* over the worst of lines, before its losses begin */
    SPEC_MORE = 24,
};

const char *const contestant_name[CONTESTANTS] = {"natterjack", "libnice", "aioice"};

static void expect_ready(struct ground_run *r, const char *who)
{
    json_t *line = ground_line(r, READY_MS);

    cr_assert(line && strcmp(ground_text(line, "event"), "ready") == 0, "%s is not ready", who);
    json_decref(line);
}

void contest_open(struct ground *g)
{
    struct ground_run r = ground_spawn(
        g, "pub",
        (const char *const[]){"/usr/bin/python3", SCRIPTS "signalling.py", SIGNAL_PORT, NULL});

    expect_ready(&r, "signalling");
}

void contest_host(char *out, size_t cap, const char *prefix, size_t i, const char *kind)
{
    int n = snprintf(out, cap, "%s%zu=%s", prefix, i, kind);

    cr_assert_lt((size_t)n + SPEC_MORE, cap);
    if (strcmp(kind, "open") == 0)
        sprintf(out + n, ",ip=192.0.2.%d", prefix[0]);
    else if (strstr(kind, "/preserve/"))
        strcat(out, ",overload=on");
    else if (strstr(kind, "/contiguous/"))
        sprintf(out + n, ",rate=%d", CONTEST_RATE);
    else if (strstr(kind, "/random/"))
        strcat(out, ",lifetime=30s");
}

void contest_listen(struct ground *g, const struct bout *bouts, size_t n)
{
    const char *hosts[GROUND_PEERS_MAX];

    cr_assert_leq(n, GROUND_PEERS_MAX);
    for (size_t i = 0; i < n; i++)
        hosts[i] = bouts[i].to;
    ground_listen_all(g, hosts, n);
}

static struct ground_run start_ours(struct ground *g, const struct bout *b)
{
    char key[160];

    snprintf(key, sizeof key, "%s/%s.key", g->dir, b->from);
    return ground_spawn(g, b->from,
                        (const char *const[]){BIN_DIR "/compare-ours", g->join, key, b->to, NULL});
}

static struct ground_run start_ice(struct ground *g, enum contestant who, const char *host,
                                   const char *room, const char *role)
{
    const char *const nice[] = {BIN_DIR "/compare-nice", STUN, STUN, SIGNAL_PORT, room, role, NULL};
    const char *const aioice[] = {
        "/usr/bin/python3", SCRIPTS "aioice_peer.py", STUN, STUN, SIGNAL_PORT, room, role, NULL};

    return ground_spawn(g, host, who == LIBNICE ? nice : aioice);
}

void contest_prepare(struct ground *g, enum contestant who, struct bout *bouts, size_t n)
{
    char room[64];

    for (size_t i = 0; i < n; i++) {
        struct bout *b = &bouts[i];
        snprintf(room, sizeof room, "%s-%s", b->from, b->to);
        b->answer = (struct ground_run){0};
        b->offer = who == OURS ? start_ours(g, b) : start_ice(g, who, b->from, room, "offer");
        if (who != OURS)
            b->answer = start_ice(g, who, b->to, room, "answer");
    }
    for (size_t i = 0; i < n; i++) {
        expect_ready(&bouts[i].offer, contestant_name[who]);
        if (bouts[i].answer.pid)
            expect_ready(&bouts[i].answer, contestant_name[who]);
    }
}

/* What two hosts have sent to each other so far. */
static long sent(const char *state, const struct bout *b)
{
    long sum = 0;

    for (const char *p = state; p && *p; p = strchr(p, '\n'), p += p != NULL) {
        json_error_t why;
        if (strncmp(p, "{\"type\":\"pair\"", 14) != 0)
            continue;
        json_t *o = json_loads(p, JSON_DISABLE_EOF_CHECK, &why);
        const char *from = ground_text(o, "from"), *to = ground_text(o, "to");
        if ((strcmp(from, b->from) == 0 && strcmp(to, b->to) == 0) ||
            (strcmp(from, b->to) == 0 && strcmp(to, b->from) == 0))
            sum += (long)ground_number(o, "sent_udp");
        json_decref(o);
    }
    return sum;
}

static void count(struct ground *g, struct bout *bouts, size_t n, int sign)
{
    char *state = lab_state(&g->lab);

    cr_assert_not_null(state);
    for (size_t i = 0; i < n; i++)
        bouts[i].packets += sign * sent(state, &bouts[i]);
    free(state);
}

/* The answering side leaves when the other one has; what hangs is ended. */
static void end_answer(struct bout *b)
{
    json_t *line;

    while (b->answer.pid && (line = ground_line(&b->answer, 2000)))
        json_decref(line);
    if (b->answer.pid) {
        kill(b->answer.pid, SIGKILL);
        waitpid(b->answer.pid, NULL, 0);
        close(b->answer.out);
    }
}

void contest_run(struct ground *g, struct bout *bouts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bouts[i].packets = 0;
    count(g, bouts, n, -1);
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(kill(ground_program(&bouts[i].offer), SIGUSR1), 0);
    for (size_t i = 0; i < n; i++) {
        int status;
        json_t *line = ground_result(&bouts[i].offer, &status);
        bouts[i].direct = json_is_true(json_object_get(line, "direct"));
        bouts[i].ms = ground_number(line, "ms");
        snprintf(bouts[i].verdict, sizeof bouts[i].verdict, "%s", ground_text(line, "verdict"));
        if (getenv("COMPARE_VERBOSE")) {
            char *text = json_dumps(line, JSON_COMPACT);
            fprintf(stderr, "%s %s %s\n", bouts[i].from, bouts[i].to, text);
            free(text);
        }
        json_decref(line);
    }
    for (size_t i = 0; i < n; i++)
        end_answer(&bouts[i]);
    count(g, bouts, n, 1);
}
