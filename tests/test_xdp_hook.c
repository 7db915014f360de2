/* test_xdp_hook.c - who has an interface's hook: prober and relay together, one after the other, or nobody. */
#include "lib/udp.h"
#include "lib/xdp_shell.h"
#include "services/prober/spent.h"
#include "services/relay/express.h"
#include "tests/lib/xdp_bed.h"

#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

static struct addr at, other;
static struct xdp hook[XDP_SLOTS];

static void setup(void)
{
    xdp_bed_open();
    at = xdp_bed_server(0, 3478);
    other = addr_v4(198, 51, 100, 1, 3478);
}

static void teardown(void)
{
    for (unsigned i = 0; i < XDP_SLOTS; i++)
        xdp_close(&hook[i]);
    xdp_bed_close();
}

TestSuite(xdp_hook, .init = setup, .fini = teardown, .timeout = 60);

static void fill(void *arg, struct xdp *x) { *(bool *)arg = x->memory[0] != NULL; }

static bool open_at(enum xdp_slot slot, const char *where, const struct addr *addr)
{
    bool filled = false;
    struct xdp_plan plan = {
        .where = where, .slot = slot, .addrs = addr, .n_addrs = 1, .public_addr = &at};

    plan.maps[0] = slot == XDP_PROBER ? (struct xdp_map){"spent", 0, sizeof(struct spent)}
                                      : (struct xdp_map){"head", 0, sizeof(struct express_head)};
    bool ok = xdp_open(&hook[slot], &plan, fill, &filled);
    cr_assert_eq(filled, ok);
    cr_assert_eq(ok, hook[slot].name[0] != '\0');
    return ok;
}

Test(xdp_hook, prober_and_relay_share_an_interface)
{
    cr_assert(open_at(XDP_PROBER, XDP_BED_SERVER "/skb", &at));
    cr_assert(open_at(XDP_RELAY, XDP_BED_SERVER "/native", &at));
    cr_assert_str_eq(hook[XDP_RELAY].mode, "skb", "of who came first");
}

Test(xdp_hook, it_stays_with_the_one_that_is_left_and_goes_with_the_last)
{
    cr_assert(open_at(XDP_PROBER, XDP_BED_SERVER "/skb", &at));
    cr_assert(open_at(XDP_RELAY, XDP_BED_SERVER, &at));
    xdp_close(&hook[XDP_PROBER]);
    cr_assert(open_at(XDP_PROBER, XDP_BED_SERVER "/native", &at));
    cr_assert_str_eq(hook[XDP_PROBER].mode, "skb", "it was there still");
    xdp_close(&hook[XDP_RELAY]);
    xdp_close(&hook[XDP_PROBER]);
    cr_assert(open_at(XDP_PROBER, XDP_BED_SERVER "/native", &at));
    cr_assert_str_eq(hook[XDP_PROBER].mode, "native", "it was there no more");
}

Test(xdp_hook, who_comes_again_takes_its_own_place)
{
    static struct xdp before;

    cr_assert(open_at(XDP_RELAY, XDP_BED_SERVER, &at));
    before = hook[XDP_RELAY]; /* has died without a word */
    cr_assert(open_at(XDP_RELAY, XDP_BED_SERVER, &at));
    xdp_close(&before);
}

Test(xdp_hook, the_interface_is_that_which_has_the_address)
{
    struct addr any = {.len = 4, .port = 3478};

    cr_assert(open_at(XDP_PROBER, "auto", &at));
    cr_assert_str_eq(hook[XDP_PROBER].name, XDP_BED_SERVER);
    cr_assert_str_eq(hook[XDP_PROBER].mode, "skb", "a veth's own drops what nobody awaits");
    xdp_close(&hook[XDP_PROBER]);
    at = xdp_bed_client(0, 1); /* which leads there */
    cr_assert(open_at(XDP_PROBER, "auto", &any), "of a wildcard that which leads to us");
}

Test(xdp_hook, without_one_all_goes_on)
{
    struct addr v6 = {.len = 16, .ip = {0xfd}, .port = 1}, loop = addr_v4(127, 0, 0, 1, 1);

    cr_assert_not(open_at(XDP_PROBER, "off", &at));
    cr_assert_not(open_at(XDP_PROBER, "", &at));
    cr_assert_not(open_at(XDP_PROBER, XDP_BED_SERVER "/fast", &at));
    cr_assert_not(open_at(XDP_PROBER, "an-interface-of-no-such-name", &at));
    cr_assert_not(open_at(XDP_PROBER, "eth7", &at));
    cr_assert_not(open_at(XDP_PROBER, "auto", &other));
    cr_assert_not(open_at(XDP_PROBER, "auto", &v6));
    cr_assert_not(open_at(XDP_PROBER, "lo", &loop));
    cr_assert_eq(setresuid(65534, 65534, 65534), 0);
    cr_assert_not(open_at(XDP_PROBER, XDP_BED_SERVER, &at));
}
