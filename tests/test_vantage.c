/*
 * test_vantage.c - two probers on two hosts of the laboratory, of one address each, serve each other as
 * vantage points; checked with clients that are not ours, and with ours.
 */
#include "lib/stun.h"
#include "tests/lib/ground.h"
#include "tests/lib/lab_bed.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NEAR "203.0.113.10"
#define FAR "203.0.114.20"

enum { LOOKS_MAX = 2000 }; /* each takes some ms */

static struct ground ground;
static pid_t far_pid;

TestSuite(vantage, .timeout = 120);

static void line_of(const char *text, char *out, size_t cap)
{
    snprintf(out, cap, "%.*s", (int)strcspn(text, "\n"), text);
}

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static size_t n;

    snprintf(path[++n % 4], sizeof path[0], "%s/%s", ground.dir, name);
    return path[n % 4];
}

/* The addresses that the suite's prober tells of. */
static size_t addresses(void)
{
    json_t *state = ground_admin(&ground, "state", "prober");
    size_t n = json_array_size(json_object_get(state, "addresses"));

    json_decref(state);
    return n;
}

static void wait_for_addresses(size_t n)
{
    for (int i = 0; i < LOOKS_MAX; i++)
        if (addresses() == n)
            return;
    cr_assert_fail("the prober does not come to tell of %zu addresses", n);
}

/* As docs/operating.md says it: make keys, certify the far one's, start both. */
static void open_both(const char *const *lab_args)
{
    char near_key[80], far_key[80], environment[256], partner[128];

    ground_open_lab(&ground, lab_args);
    ground_output(&ground, "pub", ARGS(BIN_DIR "/natterjack", "init", "--state", in_dir("suite")));
    line_of(ground_output(&ground, "pub", ARGS("cat", in_dir("suite/keys/prober.pub"))), near_key,
            sizeof near_key);
    line_of(ground_output(&ground, "pub",
                          ARGS(BIN_DIR "/natterjack", "certify-prober", "--state", in_dir("suite"),
                               "--public-ip", FAR, in_dir("far"))),
            far_key, sizeof far_key);
    snprintf(environment, sizeof environment,
             "NATTERJACK_PROBER_LINK=%s:7443 NATTERJACK_PROBER_PARTNERS=%s@%s:7443", NEAR, far_key,
             FAR);
    ground_up(&ground, NEAR, environment);
    cr_assert_eq(addresses(), 2, "alone it says so");
    snprintf(partner, sizeof partner, "%s@%s:7443", near_key, NEAR);
    far_pid =
        ground_spawn(&ground, "far",
                     ARGS(BIN_DIR "/natterjack-prober", "--public-ip", FAR, "--key",
                          in_dir("far/prober"), "--cert", in_dir("far/prober.cert"), "--places",
                          in_dir("far/places"), "--link", FAR ":7443", "--partners", partner))
            .pid;
    wait_for_addresses(4);
}

static void expect_says(const char *host, const char *said, const char *part)
{
    cr_assert_not_null(strstr(said, part), "on %s, without \"%s\": %s", host, part, said);
}

Test(vantage, other_programs_tell_nats_by_two_probers_of_one_address)
{
    open_both(ARGS("--delay", "5ms", "far=open,ip=" FAR, "cone=ei/preserve/ei",
                   "restricted=ei/preserve/ad", "random=apd/random/apd"));
    const char *said =
        ground_output(&ground, "restricted", ARGS("turnutils_natdiscovery", "-m", "-f", NEAR));
    expect_says("restricted", said, "Endpoint Independent Mapping");
    expect_says("restricted", said, "with Address Dependent Filtering");
    said = ground_output(&ground, "random", ARGS("turnutils_natdiscovery", "-m", "-f", FAR));
    expect_says("random", said, "Address and Port Dependent Mapping");
    expect_says("random", said, "Address and Port Dependent Filtering");
    said = ground_output(&ground, "cone", ARGS("turnutils_natdiscovery", "-f", NEAR));
    expect_says("cone", said, "Endpoint Independent Filtering");
    said = ground_output(&ground, "cone", ARGS("stun", NEAR));
    expect_says("cone", said, "Primary: Independent Mapping, Independent Filter");
    said = ground_output(&ground, "restricted", ARGS("stun", FAR));
    expect_says("restricted", said, "Primary: Independent Mapping, Address Dependent Filter");
    ground_close(&ground);
}

static void expect_netcheck(const char *host, const char *is)
{
    int status;
    char said[64];
    struct ground_run r = ground_start(&ground, host, "netcheck", ARGS("--timeout", "20"));
    json_t *line = ground_result(&r, &status);
    const json_t *p = json_object_get(line, "profile");

    snprintf(said, sizeof said, "%s/%s/%s", ground_text(p, "mapping"), ground_text(p, "allocation"),
             ground_text(p, "filtering"));
    cr_assert_str_eq(said, is, "on %s", host);
    json_decref(line);
}

/* What the prober answers to a request to answer from another ip: the error, 0 for none. */
static uint16_t asked_for_another_ip(void)
{
    static const uint8_t txid[STUN_TXID_BYTES] = {1};
    int fd = lab_socket(&ground.lab, "open", SOCK_DGRAM, "0.0.0.0", 0);
    struct sockaddr_in to = bed_sockaddr(NEAR ":3478");
    struct stun m = stun_request(txid);
    uint8_t buf[STUN_MAX];
    ssize_t n = -1;

    m.has_change = true;
    m.change = STUN_CHANGE_IP;
    size_t len = stun_encode(&m, buf);
    struct timeval second = {.tv_sec = 1};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
    for (int i = 0; i < 10 && n < 0; i++) {
        cr_assert_eq(sendto(fd, buf, len, 0, (struct sockaddr *)&to, sizeof to), (ssize_t)len);
        n = recv(fd, buf, sizeof buf, 0);
    }
    close(fd);
    cr_assert(n > 0 && stun_parse(buf, (size_t)n, &m));
    return m.error;
}

Test(vantage, our_peers_learn_filtering_by_them_and_of_one_that_is_alone_nothing_wrong)
{
    open_both(ARGS("--delay", "20ms", "far=open,ip=" FAR, "open=open,ip=198.51.100.1",
                   "restricted=ei/preserve/ad", "strict=ei/random/apd"));
    expect_netcheck("restricted", "ei/preserve/ad");
    expect_netcheck("strict", "ei/random/apd");
    expect_netcheck("open", "none/preserve/none");
    cr_assert_eq(asked_for_another_ip(), 0);
    cr_assert_eq(kill(far_pid, SIGKILL), 0);
    wait_for_addresses(2);
    cr_assert_eq(asked_for_another_ip(), 420);
    expect_netcheck("open", "none/preserve/unknown");
    ground_close(&ground);
}
