/*
 * test_netcheck.c - netcheck on real hosts of the laboratory: what it says of each NAT against what the
 * lab was told to build, and UDP that is blocked.
 *
 * Usually a handful; `make natlab-check` has all 27 classes, RUNS times, with and without loss.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { HOSTS_MAX = 40, SPEC_MAX = 64, ONE_MS = 1000 };

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

TestSuite(netcheck, .timeout = 1500);

/* A host, and what netcheck is to say of it: "mapping/allocation/filtering". */
struct host {
    char name[16], spec[SPEC_MAX], is[SPEC_MAX];
};

static struct host hosts[HOSTS_MAX];
static size_t n_hosts;

static void add(const char *nat, const char *is)
{
    struct host *h = &hosts[n_hosts];

    cr_assert_lt(n_hosts, HOSTS_MAX);
    snprintf(h->name, sizeof h->name, "h%zu", n_hosts);
    snprintf(h->spec, sizeof h->spec, "h%zu=%s", n_hosts, nat);
    snprintf(h->is, sizeof h->is, "%s", is);
    n_hosts++;
}

/* Class i of the 27; a preserving NAT is built as Linux does it, and then looks ei. */
static void add_class(size_t i)
{
    static const char *const scope[] = {"ei", "ad", "apd"};
    static const char *const allocation[] = {"preserve", "contiguous", "random"};
    const char *mapping = scope[i / 9], *kept = allocation[i / 3 % 3], *filtering = scope[i % 3];
    bool preserve = i / 3 % 3 == 0;
    char nat[SPEC_MAX], is[SPEC_MAX];

    snprintf(nat, sizeof nat, "%s/%s/%s%s", mapping, kept, filtering,
             preserve ? ",overload=on" : "");
    snprintf(is, sizeof is, "%s/%s/%s", preserve ? "ei" : mapping, kept, filtering);
    add(nat, is);
}

/* netcheck on all hosts at once; adds to *unknown what it could not tell. */
static void check_all(const char *loss, size_t *unknown)
{
    const char *args[HOSTS_MAX + 8] = {"--delay", "20ms", "--jitter", "2ms", "--loss", loss};
    struct ground_run run[HOSTS_MAX];

    for (size_t i = 0; i < n_hosts; i++)
        args[6 + i] = hosts[i].spec;
    args[6 + n_hosts] = NULL;
    ground_open(&ground, args);
    for (size_t i = 0; i < n_hosts; i++)
        run[i] = ground_start(&ground, hosts[i].name, "netcheck", ARGS("--timeout", "20"));
    for (size_t i = 0; i < n_hosts; i++) {
        int status;
        char said[SPEC_MAX];
        json_t *line = ground_result(&run[i], &status);
        const json_t *p = json_object_get(line, "profile");
        cr_assert_eq(status, 0, "%s", hosts[i].spec);
        snprintf(said, sizeof said, "%s/%s/%s", ground_text(p, "mapping"),
                 ground_text(p, "allocation"), ground_text(p, "filtering"));
        if (strstr(said, "unknown")) {
            printf("%s: %s at a loss of %s\n", hosts[i].spec, said, loss);
            *unknown += 1;
        } else {
            cr_assert_str_eq(said, hosts[i].is, "%s is said to be %s", hosts[i].spec, said);
        }
        json_decref(line);
    }
    ground_close(&ground);
}

Test(netcheck, tells_nats_and_firewalls_and_hosts_without_any)
{
    size_t unknown = 0;

    add("open,ip=198.51.100.200", "none/preserve/none");
    add("firewall", "none/preserve/apd");
    add("linux", "ei/preserve/apd");
    add("linux-random", "apd/random/apd");
    add("linux-open", "ei/preserve/apd");
    add("apd/preserve/apd", "apd/preserve/apd");
    for (size_t i = 0; i < 27; i += 4)
        add_class(i);
    check_all("0%", &unknown);
    cr_assert_eq(unknown, 0);
}

Test(netcheck, waits_for_the_block_of_ports_and_shows_it)
{
    char text[64];
    int status;

    ground_open(&ground, ARGS("--delay", "20ms", "host=apd/random/apd,block=256"));
    struct ground_run r = ground_start(&ground, "host", "netcheck", ARGS("--timeout", "20"));
    json_t *line = ground_result(&r, &status);
    const json_t *p = json_object_get(line, "profile");
    double lo = ground_number(p, "block_lo"), hi = ground_number(p, "block_hi");
    cr_assert(lo >= 1024 && hi - lo == 255, "%.0f to %.0f", lo, hi);
    snprintf(text, sizeof text, "ports:        %.0f to %.0f, a block of 256", lo, hi);
    json_decref(line);
    const char *said = ground_output(
        &ground, "host", ARGS(BIN_DIR "/natterjack", "netcheck", "--join", ground.join));
    cr_assert(strstr(said, text), "%s: %s", text, said);
    ground_close(&ground);
}

Test(netcheck, tells_all_classes_with_and_without_loss)
{
    unsigned runs = ground_times("RUNS", 0);
    size_t unknown = 0;

    if (runs == 0)
        cr_skip_test("RUNS=n repeats it n times");
    for (size_t i = 0; i < 27; i++)
        add_class(i);
    for (unsigned i = 0; i < 2 * runs; i++)
        check_all(i % 2 ? "5%" : "0%", &unknown);
    printf("%zu of %zu with something unknown\n", unknown, 2 * runs * n_hosts);
    cr_assert_leq(unknown * 100, 2 * runs * n_hosts * 2);
}

Test(netcheck, says_at_once_that_udp_is_blocked_and_so_does_connect)
{
    int status;

    ground_open(&ground, ARGS("--delay", "20ms", "alice=ei/preserve/apd,udp=blocked",
                              "bob=ei/preserve/apd", "carol=ei/preserve/apd,udp=blocked"));
    ground_listen(&ground, "bob");
    ground_listen(&ground, "carol");
    struct ground_run r = ground_start(&ground, "alice", "netcheck", ARGS("--timeout", "20"));
    json_t *line = ground_result(&r, &status);
    cr_assert_eq(status, 1);
    cr_assert(json_is_false(json_object_get(line, "udp")));
    cr_assert_str_eq(ground_text(line, "verdict"), "udp-blocked");
    json_decref(line);
    line = ground_connect(&ground, "alice", "bob", ARGS("--timeout", "20"), &status);
    cr_assert_eq(status, 1);
    cr_assert_str_eq(ground_text(line, "path"), "failed");
    cr_assert_str_eq(ground_text(line, "kind"), "unreachable");
    cr_assert_str_eq(ground_text(line, "verdict"), "udp-blocked");
    cr_assert_lt(ground_number(line, "total_ms"), 10 * ONE_MS, "not by timeout");
    printf("own UDP blocked: told after %.0f ms\n", ground_number(line, "total_ms"));
    json_decref(line);
    line = ground_connect(&ground, "bob", "carol", ARGS("--timeout", "20"), &status);
    cr_assert_eq(status, 1);
    cr_assert_str_eq(ground_text(line, "verdict"), "peer-udp-blocked");
    cr_assert_lt(ground_number(line, "total_ms"), 10 * ONE_MS, "not by timeout");
    printf("the peer's UDP blocked: told after %.0f ms\n", ground_number(line, "total_ms"));
    json_decref(line);
    ground_close(&ground);
}
