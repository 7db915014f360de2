#include "tests/lib/ports.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

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
