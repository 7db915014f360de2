#include "tests/lib/ports.h"

#include "lib/service.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

enum { PATIENCE_US = 20 * 1000000, LOOK_US = 10000 };

void free_ports(char text[static SUITE_PORTS][PORT_TEXT])
{
    int fd[SUITE_PORTS];

    for (int i = 0; i < SUITE_PORTS; i++) {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof sa;
        fd[i] = socket(AF_INET, i < SUITE_UDP_PORTS ? SOCK_DGRAM : SOCK_STREAM, 0);
        cr_assert_eq(bind(fd[i], (struct sockaddr *)&sa, sizeof sa), 0);
        cr_assert_eq(getsockname(fd[i], (struct sockaddr *)&sa, &len), 0);
        snprintf(text[i], PORT_TEXT, "%u", ntohs(sa.sin_port));
    }
    for (int i = 0; i < SUITE_PORTS; i++)
        close(fd[i]);
}

/* How many there are; the first of them in found. */
static size_t open_ports(pid_t pid, uint16_t found[static PORTS_LASTING])
{
    char path[64], line[512];
    unsigned ip, port;
    size_t n = 0;

    snprintf(path, sizeof path, "/proc/%d/net/udp", (int)pid);
    FILE *f = fopen(path, "re");
    cr_assert(f);
    while (fgets(line, sizeof line, f))
        if (sscanf(line, " %*u: %x:%x", &ip, &port) == 2 && n++ < PORTS_LASTING)
            found[n - 1] = (uint16_t)port;
    fclose(f);
    return n;
}

size_t lasting_ports(pid_t pid, uint16_t found[static PORTS_LASTING])
{
    int64_t end_us = service_now_us() + PATIENCE_US;
    size_t n;

    while ((n = open_ports(pid, found)) != PORTS_LASTING) {
        cr_assert_lt(service_now_us(), end_us, "%zu ports", n);
        usleep(LOOK_US);
    }
    return n;
}
