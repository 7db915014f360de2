/*
 * socket.c - a UDP socket to a peer, for a program in C: `natterjack connect` runs beside it, and says where.
 *
 *     cc -o hello docs/socket.c
 *     ./hello --join nj1... --key alice.key bob        # with the flags of connect; bob runs listen --echo
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Run connect with these arguments; events has what it prints, a JSON object per line. */
static pid_t run(char *const args[], int n, FILE **events)
{
    char *argv[64] = {"natterjack", "connect", "-o", "json", "--udp", "127.0.0.1:0"};
    int out[2];

    for (int i = 0; i < n && i < 56; i++)
        argv[6 + i] = args[i];
    if (pipe(out) != 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM); /* it ends with us, and the session with it */
        dup2(out[1], STDOUT_FILENO);
        execvp(argv[0], argv);
        _exit(127);
    }
    close(out[1]);
    *events = fdopen(out[0], "r");
    return pid;
}

/* The socket: each datagram that is sent comes out at the peer, and the other way round.  -1: no path. */
static int peer_socket(FILE *events)
{
    char line[4096];
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    while (fgets(line, sizeof line, events)) {
        char *udp = strstr(line, "\"udp\":\"127.0.0.1:");
        unsigned port;
        if (strstr(line, "\"event\":\"result\"")) /* the last line: why there is none */
            fprintf(stderr, "%s", line);
        if (!udp || sscanf(udp, "\"udp\":\"127.0.0.1:%u\"", &port) != 1)
            continue;
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        at.sin_port = htons((unsigned short)port);
        if (fd >= 0 && connect(fd, (struct sockaddr *)&at, sizeof at) == 0)
            return fd;
    }
    return -1;
}

int main(int argc, char **argv)
{
    static const char hello[] = "hello";
    FILE *events = NULL;
    char answer[1152];
    int status = 0;
    pid_t pid = run(argv + 1, argc - 1, &events);
    int fd = pid > 0 && events ? peer_socket(events) : -1;

    if (fd >= 0 && send(fd, hello, sizeof hello, 0) > 0) {
        /* ECONNREFUSED, here or in send, means that the session has ended. */
        ssize_t n = recv(fd, answer, sizeof answer, 0);
        printf("the peer answers: %.*s\n", n > 0 ? (int)n : 0, answer);
    }
    if (fd >= 0)
        kill(pid, SIGTERM);
    if (pid > 0)
        waitpid(pid, &status, 0);
    return fd >= 0 ? 0 : WEXITSTATUS(status); /* of connect: docs/peers.md */
}
