/* pcap.c - see pcap.h. */
#include "tests/natlab/pcap.h"

#include <fcntl.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { SECTION = 0x0a0d0d0a, INTERFACE = 1, ENHANCED_PACKET = 6 }; /* block types */
enum { BYTE_ORDER_MAGIC = 0x1a2b3c4d, LINKTYPE_IPV4 = 228, OPTION_NAME = 2 };

/* One block: its body is two parts, of which the second is padded to 32 bits. */
static bool write_block(int fd, uint32_t type, const void *head, size_t head_len, const void *tail,
                        size_t tail_len)
{
    static const uint8_t zeros[4];
    size_t padding = (4 - tail_len % 4) % 4;
    uint32_t total = (uint32_t)(12 + head_len + tail_len + padding), start[2] = {type, total};
    struct iovec io[] = {
        {start,                    sizeof start},
        {(void *)(uintptr_t)head,  head_len    },
        {(void *)(uintptr_t)tail,  tail_len    },
        {(void *)(uintptr_t)zeros, padding     },
        {&total,                   sizeof total}
    };

    return writev(fd, io, sizeof io / sizeof *io) == (ssize_t)total;
}

int pcap_open(const struct spec *spec)
{
    int fd = open(spec->pcap, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    const uint32_t section[] = {BYTE_ORDER_MAGIC, 1, UINT32_MAX, UINT32_MAX};
    bool ok = fd >= 0 && write_block(fd, SECTION, section, sizeof section, NULL, 0);

    for (size_t i = 0; ok && i < spec->n_hosts; i++) {
        const char *name = spec->hosts[i].name;
        /* Link type and snapshot length, then the name as the only option.  It ends the block. */
        const uint32_t interface[] = {LINKTYPE_IPV4, NET_PAYLOAD_MAX,
                                      OPTION_NAME | (uint32_t)strlen(name) << 16};
        ok = write_block(fd, INTERFACE, interface, sizeof interface, name, strlen(name));
    }
    if (fd >= 0 && !ok) {
        close(fd);
        return -1;
    }
    return fd;
}

void pcap_write(int fd, size_t host, const void *datagram, size_t len)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
    const uint32_t head[] = {(uint32_t)host, (uint32_t)(us >> 32), (uint32_t)us, (uint32_t)len,
                             (uint32_t)len};
    (void)!write_block(fd, ENHANCED_PACKET, head, sizeof head, datagram, len);
}
