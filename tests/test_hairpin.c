/*
 * test_hairpin.c - does a NAT bring back what is sent to its own outside, and under which source?  Measured by
 * real peers behind the laboratory's NATs and the kernel's.
 */
#include "lib/stun.h"
#include "tests/lib/executor_bed.h"
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <string.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TestSuite(hairpin, .timeout = 120);

/*
 * What comes back under the private source has the host's own address on it, and a host drops that as forged
 * unless it is told otherwise: so it looks like none.
 */
Test(hairpin, is_measured_with_the_source_that_it_shows)
{
    static const char *const hosts[][2] = {
        {"plain",    "none"    },
        {"internal", "none"    },
        {"accepts",  "internal"},
        {"external", "external"},
        {"strict",   "external"},
        {"kernel",   "none"    },
        {"open",     "unknown" },
    };
    enum { HOSTS = sizeof hosts / sizeof *hosts };
    struct ground_run run[HOSTS];
    int status;

    ground_open(
        &ground,
        ARGS("--delay", "20ms", "plain=ei/preserve/apd", "internal=ei/random/ei,hairpin=internal",
             "accepts=ei/random/ei,hairpin=internal", "external=ei/preserve/ei,hairpin=external",
             "strict=ei/random/apd,hairpin=external", "kernel=linux", "open=open,ip=198.51.100.1"));
    ground_output(&ground, "accepts",
                  ARGS("/bin/sh", "-c", "echo 1 >/proc/sys/net/ipv4/conf/all/accept_local"));
    for (size_t i = 0; i < HOSTS; i++)
        run[i] = ground_start(&ground, hosts[i][0], "netcheck", ARGS("--timeout", "10"));
    for (size_t i = 0; i < HOSTS; i++) {
        json_t *line = ground_result(&run[i], &status);
        cr_assert_eq(status, 0);
        cr_assert_str_eq(ground_text(json_object_get(line, "profile"), "hairpin"), hosts[i][1],
                         "%s", hosts[i][0]);
        cr_assert_str_neq(ground_text(json_object_get(line, "profile"), "mapping"), "unknown");
        json_decref(line);
    }
    ground_close(&ground);
}

/* ---- the executor's part, as inputs and outputs ------------------------------------------------------- */

static const struct addr outside = {
    4, {198, 51, 100, 1},
     50003
};

/* A prober has vouched for the sample at this address; the round that follows is over. */
static void round_with(const struct addr *sample)
{
    executor_bed_open();
    executor_bed_ready();
    executor_bed.hairpin.outside[1] = *sample;
    while (executor_bed.probe_serial == 1 || executor_bed.probing)
        executor_bed_tick();
}

static void comes_back(const struct addr *from, const uint8_t *txid)
{
    uint8_t data[STUN_MAX];
    struct stun m = stun_request(txid);

    executor_bed_datagram(executor_bed.now_us / 1000 + 5, from, data, stun_encode(&m, data));
}

/* Of what the last step put out: to this address, from this socket. */
static size_t sent(uint16_t sock, const struct addr *to)
{
    size_t n = 0;

    for (size_t i = 0; i < executor_bed_out.n; i++) {
        const struct output *o = &executor_bed_out.v[i];
        n += o->kind == OUT_DATAGRAM && o->dgram.sock == sock && addr_eq(&o->dgram.dst, to);
    }
    return n;
}

Test(hairpin, both_sockets_send_to_each_others_proven_address_and_silence_is_none)
{
    const struct addr main_outside = addr_v4(198, 51, 100, 1, 50000);

    round_with(&outside);
    cr_assert_eq(sent(HAIRPIN_SOCK, &main_outside), 1);
    cr_assert_eq(sent(0, &outside), 1);
    size_t more = 0;
    while (executor_bed.hairpin.state == HAIRPIN_ASKING) {
        executor_bed_tick();
        more += sent(0, &outside);
    }
    cr_assert_eq(more, HAIRPIN_TRIES - 1);
    cr_assert_eq(executor_bed.hairpin.is, HAIRPIN_NONE);
    cr_assert_eq(executor_bed_out.v[0].msg.type, MSG_reflex_report);
    cr_assert_eq(executor_bed_out.v[0].msg.reflex_report.hairpin, HAIRPIN_NONE);
}

Test(hairpin, what_comes_back_tells_by_its_source)
{
    const struct addr private = addr_v4(10, 0, 1, 2, 40003);
    uint8_t other[12] = {1};

    round_with(&outside);
    comes_back(&outside, other);
    cr_assert_eq(executor_bed.hairpin.state, HAIRPIN_ASKING, "somebody else's");
    comes_back(&outside, executor_bed.hairpin.txid);
    cr_assert_eq(executor_bed.hairpin.is, HAIRPIN_EXTERNAL);
    round_with(&outside);
    comes_back(&private, executor_bed.hairpin.txid);
    cr_assert_eq(executor_bed.hairpin.is, HAIRPIN_INTERNAL);
    cr_assert_eq(executor_bed_out.v[0].msg.reflex_report.hairpin, HAIRPIN_INTERNAL);
}

Test(hairpin, nothing_goes_to_an_address_without_a_token_of_both_sockets)
{
    struct addr elsewhere = outside;

    elsewhere.ip[3]++;
    round_with(&elsewhere);
    cr_assert_eq(executor_bed.hairpin.state, HAIRPIN_OFF);
    round_with(&(struct addr){0});
    cr_assert_eq(executor_bed.hairpin.state, HAIRPIN_OFF);
}
