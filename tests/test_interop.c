/*
 * test_interop.c - our STUN against programs that are not ours: their clients ask our prober from behind
 * NATs of the laboratory.
 */
#include "tests/lib/ground.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct ground ground;

#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define PROBER "203.0.113.10"

TestSuite(interop, .timeout = 120);

static void open_ground(void)
{
    ground_open(&ground,
                ARGS("--delay", "5ms", "open=open,ip=198.51.100.1", "cone=ei/preserve/ei",
                     "strict=ei/random/apd", "restricted=ei/preserve/ad", "random=apd/random/apd"));
}

static const char *output(const char *host, const char *const *argv)
{
    return ground_output(&ground, host, argv);
}

static void expect_says(const char *host, const char *said, const char *part)
{
    cr_assert_not_null(strstr(said, part), "on %s, without \"%s\": %s", host, part, said);
}

Test(interop, turnutils_natdiscovery_tells_our_nats_by_our_prober)
{
    static const char *const rows[][3] = {
        {"open",       "Endpoint Independent Mapping",       "Endpoint Independent Filtering"      },
        {"cone",       "Endpoint Independent Mapping",       "Endpoint Independent Filtering"      },
        {"restricted", "Endpoint Independent Mapping",       "with Address Dependent Filtering"    },
        {"random",     "Address and Port Dependent Mapping", "Address and Port Dependent Filtering"},
    };

    open_ground();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const char *said = output(rows[i][0], ARGS("turnutils_natdiscovery", "-m", "-f", PROBER));
        expect_says(rows[i][0], said, rows[i][1]);
        expect_says(rows[i][0], said, rows[i][2]);
    }
    ground_close(&ground);
}

Test(interop, turnutils_stunclient_reads_our_answers)
{
    open_ground();
    /* After these it waits for an answer to RESPONSE-PORT, which is only for who has a cookie. */
    const char *said =
        output("open", ARGS("timeout", "1", "stdbuf", "-oL", "turnutils_stunclient", PROBER));
    expect_says("open", said, "UDP reflexive addr: 198.51.100.1:");
    expect_says("open", said, "Other addr: : 203.0.113.11:3479");
    expect_says("open", said, "Response origin: : 203.0.113.10:3478");
    ground_close(&ground);
}

Test(interop, debians_stun_of_rfc_3489_tells_our_nats_by_our_prober)
{
    static const char *const rows[][2] = {
        {"open",       "Primary: Open"                                         },
        {"cone",       "Primary: Independent Mapping, Independent Filter"      },
        {"restricted", "Primary: Independent Mapping, Address Dependent Filter"},
        {"strict",     "Primary: Independent Mapping, Port Dependent Filter"   },
        {"random",     "Primary: Dependent Mapping"                            },
    };

    open_ground();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_says(rows[i][0], output(rows[i][0], ARGS("stun", PROBER)), rows[i][1]);
    ground_close(&ground);
}

Test(interop, aioice_gathers_a_server_reflexive_candidate)
{
    static const char script[] =
        "import asyncio, aioice\n"
        "async def main():\n"
        "    c = aioice.Connection(ice_controlling=True, stun_server=('" PROBER "', 3478))\n"
        "    await c.gather_candidates()\n"
        "    print(*(x.to_sdp() for x in c.local_candidates), sep='\\n')\n"
        "    await c.close()\n"
        "asyncio.run(main())\n";

    open_ground();
    /* Debian's python, which its package is for. */
    const char *said = output("cone", ARGS("/usr/bin/python3", "-c", script));
    expect_says("cone", said, "typ srflx raddr 10.");
    ground_close(&ground);
}
