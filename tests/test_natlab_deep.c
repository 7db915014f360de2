/*
 * test_natlab_deep.c - the laboratory with real sockets, further: NATs of the model and of the kernel behind
 * each other, ICMP errors as programs get them, and the capture file.
 */
#include "tests/lib/lab_bed.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

TestSuite(natlab_deep, .timeout = 40);

/* ---- nesting ---- */

static void expect_traffic(const char *host, const char *outermost)
{
    int server = bed_udp("pub", 7000), client = bed_udp(host, 5000);
    int stranger = bed_udp_at("pub", "203.0.113.11", 7001);

    bed_say(client, "203.0.113.10:7000", "ping");
    const char *heard = bed_hear(server, SOON), *from = bed_source(heard);
    cr_assert(strncmp(heard, outermost, strlen(outermost)) == 0 && strstr(heard, " ping"),
              "%s: '%s'", host, heard);
    bed_say(server, from, "pong");
    cr_assert_str_eq(bed_hear(client, SOON), "203.0.113.10:7000 pong");
    bed_say(stranger, from, "intruder");
    bed_say(server, from, "last");
    cr_assert_str_eq(bed_hear(client, SOON), "203.0.113.10:7000 last");
    close(server);
    close(client);
    close(stranger);
}

Test(natlab_deep, udp_passes_nats_of_both_sorts_behind_each_other)
{
    bed_start(ARGS("--delay", "2ms", PUB, "m=apd/random/apd", "k=linux", "mm=ei/preserve/apd@m",
                   "km=linux@m", "mk=ei/preserve/apd@k", "kk=linux@k", "lan=@k",
                   "kkk=linux-random@kk", "mmm=ad/contiguous/apd@mm"));
    expect_traffic("mm", "198.51.100.10:");
    expect_traffic("km", "198.51.100.10:");
    expect_traffic("mk", "198.51.100.11:");
    expect_traffic("kk", "198.51.100.11:");
    expect_traffic("lan", "198.51.100.11:");
    expect_traffic("kkk", "198.51.100.11:");
    expect_traffic("mmm", "198.51.100.10:");
    lab_stop(&bed_lab);
}

Test(natlab_deep, hosts_behind_one_router_of_the_kernel_talk_directly)
{
    bed_start(ARGS(PUB, "k=linux", "a=@k", "b=@k", "c=ei/preserve/ei@k"));
    int k = bed_udp("k", 5000), a = bed_udp("a", 5000), b = bed_udp("b", 5000);
    bed_say(a, "10.2.1.4:5000", "a to b");
    cr_assert_str_eq(bed_hear(b, SOON), "10.2.1.3:5000 a to b");
    bed_say(b, "10.2.0.2:5000", "b to k");
    cr_assert_str_eq(bed_hear(k, SOON), "10.2.1.4:5000 b to k");
    bed_say(k, "10.2.1.3:5000", "k to a");
    cr_assert_str_eq(bed_hear(a, SOON), "10.2.0.2:5000 k to a");
    int c = bed_udp("c", 6000);
    bed_say(c, "10.2.1.3:5000", "c to a");
    cr_assert_str_eq(bed_hear(a, SOON), "100.64.2.10:6000 c to a");
    lab_stop(&bed_lab);
}

Test(natlab_deep, refuses_a_host_behind_what_is_no_nat)
{
    static const char *const bad[] = {"a=linux@pub", "a=@nobody", "a=linux@",
                                      "a=@",         "a=linux@a", "a=ei/preserve/none"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(lab_start(&bed_lab, ARGS(PUB, bad[i])), "%s", bad[i]);
}

Test(natlab_deep, refuses_what_only_a_model_of_a_nat_can_do)
{
    static const char *const bad[] = {"a=open,udp=blocked", "a=linux,block=256",
                                      "a=linux-open,hairpin=internal"};

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_not(lab_start(&bed_lab, ARGS(PUB, bad[i])), "%s", bad[i]);
    bed_start(ARGS(PUB, "a=firewall,udp=blocked", "b=linux,lifetime=30s,loss=1%"));
    cr_assert_not(lab_set(&bed_lab, "b", "udp=blocked"), "while it runs as well");
    cr_assert(lab_set(&bed_lab, "a", "udp=open"));
    lab_stop(&bed_lab);
}

/* ---- ICMP errors ---- */

static int connected(const char *host, const char *to, int ttl)
{
    struct sockaddr_in sin = bed_sockaddr(to);
    int fd = bed_udp(host, 0), on = 1;

    cr_assert_eq(connect(fd, (struct sockaddr *)&sin, sizeof sin), 0);
    cr_assert_eq(setsockopt(fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on), 0);
    cr_assert_eq(setsockopt(fd, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl), 0);
    return fd;
}

/* What a program is told after it has sent. */
static int error_of(int fd)
{
    struct pollfd p = {.fd = fd};
    char byte;

    cr_assert_eq(send(fd, "a", 1, 0), 1);
    cr_assert_eq(poll(&p, 1, SOON), 1, "no error came");
    cr_assert_lt(recv(fd, &byte, 1, MSG_DONTWAIT), 0);
    return errno;
}

Test(natlab_deep, programs_are_told_when_a_ttl_has_run_out_at_any_router_on_the_way)
{
    bed_start(ARGS(PUB, "m=ei/preserve/apd", "a=linux@m", "k=linux", "b=ei/random/apd@k"));
    /* Own NAT, the outer one, its line's router, that of the far line. */
    for (int ttl = 1; ttl <= 4; ttl++) {
        cr_assert_eq(error_of(connected("a", "203.0.113.10:7000", ttl)), EHOSTUNREACH, "a %d", ttl);
        cr_assert_eq(error_of(connected("b", "203.0.113.10:7000", ttl)), EHOSTUNREACH, "b %d", ttl);
    }
    int server = bed_udp("pub", 7000);
    cr_assert_eq(send(connected("a", "203.0.113.10:7000", 5), "far", 3, 0), 3);
    cr_assert(strstr(bed_hear(server, SOON), " far"));
    lab_stop(&bed_lab);
}

Test(natlab_deep, programs_are_told_when_a_nat_or_host_refuses)
{
    bed_start(ARGS(PUB, "a=linux", "b=apd/random/apd", "c=ei/preserve/apd,unasked=reject"));
    /* By a NAT of the model, and by a host that has no such port. */
    cr_assert_eq(error_of(connected("a", "198.51.100.12:7000", 64)), ECONNREFUSED);
    cr_assert_eq(error_of(connected("b", "198.51.100.12:7000", 64)), ECONNREFUSED);
    cr_assert_eq(error_of(connected("b", "203.0.113.10:7000", 64)), ECONNREFUSED);
    cr_assert_eq(error_of(connected("a", "203.0.113.10:7000", 64)), ECONNREFUSED);
    lab_stop(&bed_lab);
}

/* ---- the capture ---- */

Test(natlab_deep, writes_what_hosts_send_and_get_as_pcapng)
{
    char path[] = "/tmp/test_natlab_deep.XXXXXX";
    uint32_t block[7];
    int fd = mkstemp(path), counts[8] = {0}, interfaces[3] = {0};

    bed_start(ARGS("--pcap", path, PUB, "a=ei/random/apd", "b=linux"));
    int server = bed_udp("pub", 7000), client = bed_udp("a", 5000);
    bed_say(client, "203.0.113.10:7000", "captured");
    cr_assert(strstr(bed_hear(server, SOON), " captured"));
    lab_stop(&bed_lab);
    off_t at = 0;
    for (; pread(fd, block, sizeof block, at) >= 12; at += block[1]) {
        uint32_t end;
        cr_assert(block[1] >= 12 && block[1] % 4 == 0);
        cr_assert_eq(pread(fd, &end, 4, at + block[1] - 4), 4);
        cr_assert_eq(end, block[1]);
        cr_assert_eq(at == 0, block[0] == 0x0a0d0d0a);
        counts[block[0] & 7]++;
        if (block[0] == 6)
            interfaces[block[2]]++;
    }
    cr_assert_eq(at, lseek(fd, 0, SEEK_END));
    cr_assert(counts[1] == 3 && interfaces[0] >= 1 && interfaces[1] >= 1);
    close(fd);
    unlink(path);
}
