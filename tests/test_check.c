/* test_check.c - the coordinator's check of its own front door, on doors of every kind. */
#include "lib/zap.h"
#include "services/coordinator/check_shell.h"
#include "tests/lib/child.h"
#include "tests/lib/front_bed.h"

#include <criterion/criterion.h>
#include <sodium.h>

enum door { NO_HANDLER, LETS_ALL_IN, REFUSES_ALL, AS_IT_SHOULD_BE };

static zsock_t *zap;
static enum door door;

TestSuite(check, .timeout = 60);

static void serve(void)
{
    struct zap_request z;
    uint64_t malformed;

    if (zap && zap_receive(zap, &z, &malformed))
        zap_answer(zap, &z,
                   door == LETS_ALL_IN || (door == AS_IT_SHOULD_BE && check_is_own(&z.key))
                       ? "somebody"
                       : NULL);
}

/* A process with such a door, which tries it. */
static void try_door(void *arg)
{
    static struct service svc;
    struct check_conf conf = {.every_us = 1000, .serve = serve};
    uint8_t secret[32];
    zsock_t *router;

    (void)arg;
    service_open(&svc, SERVICE_coordinator, NULL);
    if (door != NO_HANDLER)
        zap = zap_open();
    router = zsock_new(ZMQ_ROUTER);
    crypto_box_keypair(conf.server_key, secret);
    zsock_set_curve_server(router, 1);
    zsock_set_curve_secretkey_bin(router, secret);
    snprintf(conf.endpoint, sizeof conf.endpoint, "ipc:///tmp/test_check.%d", (int)getpid());
    cr_assert_eq(zmq_bind(zsock_resolve(router), conf.endpoint), 0);
    check_open(&svc, &conf);
    cr_assert_eq(check_passed(), 1);
    check_close();
    zsock_destroy(&router);
    zsock_destroy(&zap);
    service_close(&svc);
}

static int status_with(enum door which, struct child *c)
{
    char path[64];

    door = which;
    int status = child_run(c, try_door, NULL);
    snprintf(path, sizeof path, "/tmp/test_check.%d", (int)c->pid);
    unlink(path);
    return status;
}

Test(check, a_door_that_lets_in_strangers_ends_the_process)
{
    struct child c;

    cr_assert_eq(status_with(NO_HANDLER, &c), 1);
    cr_assert(strstr(c.err, "event=door_open"), "%s", c.err);
    cr_assert_eq(status_with(LETS_ALL_IN, &c), 1);
    cr_assert(strstr(c.err, "event=door_open"), "%s", c.err);
}

Test(check, a_door_that_refuses_who_is_enrolled_ends_the_process)
{
    struct child c;

    cr_assert_eq(status_with(REFUSES_ALL, &c), 1);
    cr_assert(strstr(c.err, "event=door_shut"), "%s", c.err);
}

Test(check, a_door_as_it_should_be_passes)
{
    struct child c;

    cr_assert_eq(status_with(AS_IT_SHOULD_BE, &c), 0, "%s", c.err);
}

static json_int_t of_front(const char *name)
{
    json_t *state = front_bed_ask("state");
    json_int_t n = json_integer_value(json_object_get(json_object_get(state, "front"), name));

    json_decref(state);
    return n;
}

Test(check, a_coordinator_that_runs_tries_again_and_again, .init = front_bed_setup,
     .fini = front_bed_teardown)
{
    int64_t end_ms = zclock_mono() + FRONT_BED_PATIENCE_MS;

    cr_assert_geq(of_front("checks"), 1, "before it was ready");
    kill(front_bed_pid, SIGKILL);
    child_status(front_bed_pid);
    front_bed_start_with((const char *const[]){"--check-every", "0.01", NULL});
    while (of_front("checks") < 4)
        cr_assert_lt(zclock_mono(), end_ms);
    cr_assert_eq(of_front("refused_keys"), 0, "its own stranger is not counted");
}
