/*
 * test_attempts.c - a hundred attempts at once between two real executors, half of which are cancelled under way:
 * no descriptor, no path and no session is left, on either side nor in the suite.
 *
 * One executor is a listener, the other one is embedded here.  PATIENT=1 waits until the relay has
 * forgotten who is silent as well, which takes it a minute.
 */
#include "lib/admin.h"
#include "lib/log.h"
#include "services/executor/agent_shell.h"
#include "tests/lib/ground.h"
#include "tests/lib/ports.h"
#include "tests/natlab/netns.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    ATTEMPTS = 100,
    STAGGER_US = 4000, /* between two cancels: some are asked for, some ordered, punching, direct */
    LOOK_US = 50000,
    PATIENCE_US = 20 * 1000000,
    FORGET_US = 90 * 1000000,
    PATIENCE_MS = 10000
};
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static struct ground ground;
static struct agent agent;
static uint64_t nonces[ATTEMPTS];
static char listener_admin[128];

TestSuite(attempts, .timeout = 150);

static size_t descriptors(pid_t pid)
{
    char path[64];
    size_t n = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *d = opendir(path);
    cr_assert(d);
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static json_t *state_of(const char *admin)
{
    char why[256] = "";
    json_t *answer = admin_ask(admin, "state", PATIENCE_MS, why, sizeof why);

    cr_assert(answer, "%s", why);
    return answer;
}

/* What the listener holds: attempts that are not free, and sockets of paths. */
static json_int_t held_by_listener(void)
{
    json_t *s = state_of(listener_admin);
    json_int_t free_ones =
        json_integer_value(json_object_get(json_object_get(s, "attempts"), "free"));
    json_int_t n = ATTEMPTS_MAX - free_ones + json_integer_value(json_object_get(s, "sockets"));

    json_decref(s);
    return n;
}

static json_int_t sessions_of(const char *process)
{
    char admin[160];

    snprintf(admin, sizeof admin, "%s/suite/admin/%s", ground.dir, process);
    json_t *s = state_of(admin);
    const json_t *n = json_object_get(s, "sessions");
    cr_assert(json_is_integer(n));
    json_int_t value = json_integer_value(n);
    json_decref(s);
    return value;
}

static size_t in_state(enum attempt_state lo, enum attempt_state hi)
{
    size_t n = 0;

    for (size_t i = 0; i < ATTEMPTS_MAX; i++)
        n += agent.core.attempts[i].state >= lo && agent.core.attempts[i].state <= hi;
    return n;
}

static bool is_ready(void)
{
    return agent.core.attached && agent.core.profile_known && agent.core.early.state == EARLY_KNOWN;
}
static bool all_settled(void) { return in_state(ATTEMPT_REQUESTED, ATTEMPT_EXECUTING) == 0; }
static bool all_free(void)
{
    return in_state(ATTEMPT_FREE, ATTEMPT_FREE) == ATTEMPTS_MAX && held_by_listener() == 0 &&
           sessions_of("coordinator") == 0;
}
static bool relay_forgot(void) { return all_free() && sessions_of("relay") == 0; }
static bool never(void *arg)
{
    (void)arg;
    return false;
}

static void run(int64_t for_us) { agent_run(&agent, service_now_us() + for_us, never, NULL); }

/* An agent that has nothing to do is not asked whether it is over. */
static void run_until(int64_t for_us, bool (*is_so)(void))
{
    int64_t end_us = service_now_us() + for_us;

    while (!is_so() && service_now_us() < end_us)
        run(LOOK_US);
}

static const struct attempt *attempt_of(size_t i)
{
    for (size_t k = 0; k < ATTEMPTS_MAX; k++)
        if (agent.core.attempts[k].state != ATTEMPT_FREE &&
            agent.core.attempts[k].nonce == nonces[i])
            return &agent.core.attempts[k];
    return NULL;
}

/* An executor in this process, on alice: there it stays. */
static void open_agent(void)
{
    struct agent_conf conf = {.name = "", .modes = 1};
    char why[JOIN_ERROR_MAX];

    cr_assert(join_parse(ground.join, &conf.join, why));
    randombytes_buf(conf.secret, sizeof conf.secret);
    crypto_scalarmult_base(conf.id.b, conf.secret);
    agent_open(&agent, &conf);
    log_set_level("warn");
    run_until(PATIENCE_US, is_ready);
    cr_assert(is_ready());
}

static void ask_and_cancel_half(void)
{
    for (size_t i = 0; i < ATTEMPTS; i++) {
        struct connect_args args = {.target = "bob",
                                    .policy = i % 4 < 2 ? POLICY_AUTO : POLICY_RELAY,
                                    .deadline_us = service_now_us() + PATIENCE_US};
        nonces[i] = agent_connect(&agent, &args);
    }
    cr_assert_eq(in_state(ATTEMPT_REQUESTED, ATTEMPT_EXECUTING), ATTEMPTS);
    for (size_t i = 0; i < ATTEMPTS; i += 2) {
        const struct attempt *a = attempt_of(i);
        cr_assert(a);
        agent_close_path(&agent, a, APP_CANCEL);
        run(STAGGER_US);
    }
    run_until(PATIENCE_US, all_settled);
    cr_assert(all_settled());
    cr_assert_eq(in_state(ATTEMPT_DIRECT, ATTEMPT_DIRECT), ATTEMPTS / 4);
    cr_assert_eq(in_state(ATTEMPT_RELAYED, ATTEMPT_RELAYED), ATTEMPTS / 4);
    cr_assert_geq(held_by_listener(), ATTEMPTS / 2);
    for (size_t i = 1; i < ATTEMPTS; i += 2)
        agent_close_path(&agent, attempt_of(i), APP_CLOSE);
}

Test(attempts, a_hundred_at_once_of_which_fifty_are_cancelled_leave_nothing)
{
    bool patient = ground_times("PATIENT", 0) > 0;
    uint16_t ports[PORTS_LASTING];

    /* A key has 60 requests a minute, unless the operator wants otherwise. */
    cr_assert_eq(setenv("NATTERJACK_COORDINATOR_REQUESTS_PER_MINUTE", "200", 1), 0);
    ground_open(&ground, ARGS("--delay", "20ms", "alice=ei/preserve/apd", "bob=ei/random/apd"));
    snprintf(listener_admin, sizeof listener_admin, "%s/listener", ground.dir);
    struct ground_run r = ground_start(&ground, "bob", "listen",
                                       ARGS("--name", "bob", "--echo", "--admin", listener_admin));
    json_t *said = ground_line(&r, GROUND_WAIT_MS);
    cr_assert_str_eq(ground_text(said, "event"), "listening");
    json_decref(said);
    pid_t listener = ground_program(&r);
    int back = lab_enter(&ground.lab, "alice");
    cr_assert_geq(back, 0);
    open_agent();
    cr_assert_eq(held_by_listener() + sessions_of("coordinator") + sessions_of("relay"), 0);
    lasting_ports(listener, ports);
    size_t own = descriptors(getpid()), bobs = descriptors(listener),
           coordinators = descriptors(ground_pid(&ground, "coordinator"));
    ask_and_cancel_half();
    run_until(patient ? FORGET_US : PATIENCE_US, patient ? relay_forgot : all_free);
    cr_assert(all_free(), "%zu attempts here, %lld there, %lld sessions",
              ATTEMPTS_MAX - in_state(ATTEMPT_FREE, ATTEMPT_FREE), held_by_listener(),
              sessions_of("coordinator"));
    cr_assert(!patient || sessions_of("relay") == 0);
    cr_assert_eq(descriptors(getpid()), own);
    cr_assert_eq(descriptors(listener), bobs);
    cr_assert_eq(descriptors(ground_pid(&ground, "coordinator")), coordinators);
    agent_close(&agent);
    cr_assert(netns_enter(back));
    close(back);
    ground_close(&ground);
}
