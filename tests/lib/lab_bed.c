/* lab_bed.c - see lab_bed.h. */
#include "tests/lib/lab_bed.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct lab bed_lab;

void bed_start(const char *const *args)
{
    cr_assert(lab_start(&bed_lab, args), "no lab: root, /dev/net/tun and nft are needed");
    printf("natlab: up in %.0f ms\n", (double)bed_lab.up_us / 1e3);
}

int64_t bed_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int bed_udp_at(const char *host, const char *ip, uint16_t port)
{
    int fd = lab_socket(&bed_lab, host, SOCK_DGRAM, ip, port);

    cr_assert_geq(fd, 0);
    return fd;
}

int bed_udp(const char *host, uint16_t port) { return bed_udp_at(host, "0.0.0.0", port); }

struct sockaddr_in bed_sockaddr(const char *to)
{
    struct sockaddr_in sin = {.sin_family = AF_INET};
    struct addr a;

    cr_assert(addr_parse(to, &a));
    memcpy(&sin.sin_addr, a.ip, 4);
    sin.sin_port = htons(a.port);
    return sin;
}

void bed_say(int fd, const char *to, const char *text)
{
    struct sockaddr_in sin = bed_sockaddr(to);

    cr_assert_eq(sendto(fd, text, strlen(text), 0, (struct sockaddr *)&sin, sizeof sin),
                 (ssize_t)strlen(text));
}

const char *bed_hear(int fd, int wait_ms)
{
    static char heard[4][256];
    static size_t n_heard;
    char *out = heard[n_heard++ % 4], text[128], ip[INET_ADDRSTRLEN];
    struct sockaddr_in sin;
    socklen_t len = sizeof sin;
    struct pollfd p = {.fd = fd, .events = POLLIN};

    out[0] = '\0';
    if (poll(&p, 1, wait_ms) != 1)
        return out;
    ssize_t n = recvfrom(fd, text, sizeof text - 1, 0, (struct sockaddr *)&sin, &len);
    if (n < 0)
        return out;
    text[n] = '\0';
    inet_ntop(AF_INET, &sin.sin_addr, ip, sizeof ip);
    snprintf(out, sizeof heard[0], "%s:%u %s", ip, ntohs(sin.sin_port), text);
    return out;
}

const char *bed_source(const char *heard)
{
    static char from[4][64];
    static size_t n;

    snprintf(from[++n % 4], sizeof from[0], "%.*s", (int)strcspn(heard, " "), heard);
    return from[n % 4];
}
