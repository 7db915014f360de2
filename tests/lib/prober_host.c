/* prober_host.c - see prober_host.h. */
#include "tests/lib/prober_host.h"
#include "tests/lib/sockets.h"

#include <criterion/criterion.h>
#include <sodium.h>

void prober_host_open(struct prober_host *h, const struct addr *ip, unsigned n_workers)
{
    static const uint8_t seed[32] = {1};

    service_open(&h->svc, SERVICE_prober, NULL);
    for (uint8_t i = 0; i < 2; i++) {
        cr_assert_eq(service_udp(&h->svc, ip), i);
        h->conf.info.addrs[i] = service_udp_local(&h->svc, i);
    }
    h->conf.info.n_addrs = 2;
    h->conf.no_bus = true;
    crypto_sign_seed_keypair(h->conf.info.key, h->conf.secret, seed);
    prober_workers_open(&h->workers, &h->svc, n_workers, &h->conf);
    prober_workers_start(&h->workers);
    h->open = true;
}

void prober_host_close(struct prober_host *h)
{
    if (!h->open)
        return;
    prober_workers_close(&h->workers);
    service_close(&h->svc);
    h->open = false;
}

int prober_host_client(const struct prober_host *h, const struct addr *source)
{
    struct addr at = *source;
    int fd = sockets_udp(&at);

    sockets_connect(fd, &h->conf.info.addrs[0]);
    return fd;
}
