/*
 * nice.c - one side of a connection by libnice, for `make compare`.
 *
 *     compare-nice STUN SIGNAL PORT ROOM offer|answer
 *
 * Prints {"event":"ready"} when it has gathered its candidates and its signalling stands; the offering side
 * begins at SIGUSR1 and prints {"event":"result"} with whether it is connected, and after how many ms.
 */
#include <agent.h>
#include <arpa/inet.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LIMIT_S = 15, WORD_MAX = 16384, STUN_PORT = 3478 };

static struct {
    NiceAgent *agent;
    GMainLoop *loop;
    guint stream;
    const char *at, *port, *room;
    bool offers;
    int fd;
    char word[WORD_MAX];
    size_t n;
    gint64 began_us;
} self;

static void say(const char *text)
{
    puts(text);
    fflush(stdout);
}

static gboolean end(gpointer direct)
{
    if (self.offers && self.began_us > 0)
        printf("{\"event\":\"result\",\"direct\":%s,\"ms\":%.3f}\n", direct ? "true" : "false",
               (double)(g_get_monotonic_time() - self.began_us) / 1000);
    fflush(stdout);
    g_main_loop_quit(self.loop);
    self.began_us = 0;
    return G_SOURCE_REMOVE;
}

static void send_text(const char *text)
{
    if (send(self.fd, text, strlen(text), MSG_NOSIGNAL) < 0)
        end(NULL);
}

/* One line: SDP with another separator. */
static void send_own_word(void)
{
    char *sdp = nice_agent_generate_local_sdp(self.agent);

    g_strdelimit(sdp, "\r\n", '|');
    send_text(sdp);
    send_text("\n");
    g_free(sdp);
}

static gboolean hear(gint fd, GIOCondition condition, gpointer arg)
{
    ssize_t got = read(fd, self.word + self.n, sizeof self.word - 1 - self.n);

    (void)condition, (void)arg;
    if (got <= 0)
        return end(NULL);
    self.n += (size_t)got;
    self.word[self.n] = '\0';
    char *eol = strchr(self.word, '\n');
    if (!eol)
        return G_SOURCE_CONTINUE;
    *eol = '\0';
    g_strdelimit(self.word, "|", '\n');
    if (nice_agent_parse_remote_sdp(self.agent, self.word) < 0)
        return end(NULL);
    self.n = 0;
    if (!self.offers)
        send_own_word();
    return G_SOURCE_CONTINUE;
}

static gboolean begin(gpointer arg)
{
    (void)arg;
    self.began_us = g_get_monotonic_time();
    send_own_word();
    g_timeout_add_seconds(LIMIT_S, end, NULL);
    return G_SOURCE_REMOVE;
}

static void on_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer arg)
{
    (void)agent, (void)stream, (void)component, (void)arg;
    if (self.offers && self.began_us > 0 &&
        (state == NICE_COMPONENT_STATE_CONNECTED || state == NICE_COMPONENT_STATE_READY))
        end(GINT_TO_POINTER(1));
}

static void on_gathered(NiceAgent *agent, guint stream, gpointer arg)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(self.port))};
    int on = 1;

    (void)agent, (void)stream, (void)arg;
    self.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (inet_pton(AF_INET, self.at, &to.sin_addr) != 1 ||
        connect(self.fd, (struct sockaddr *)&to, sizeof to) != 0) {
        perror("compare-nice");
        exit(1);
    }
    setsockopt(self.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    send_text(self.room);
    send_text("\n");
    g_unix_fd_add(self.fd, G_IO_IN | G_IO_HUP, hear, NULL);
    g_unix_signal_add(SIGUSR1, begin, NULL);
    say("{\"event\":\"ready\"}");
}

static void on_data(NiceAgent *agent, guint stream, guint component, guint len, gchar *buf,
                    gpointer arg)
{
    (void)agent, (void)stream, (void)component, (void)len, (void)buf, (void)arg;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "usage: compare-nice STUN SIGNAL PORT ROOM offer|answer\n");
        return 2;
    }
    self.at = argv[2];
    self.port = argv[3];
    self.room = argv[4];
    self.offers = strcmp(argv[5], "offer") == 0;
    self.loop = g_main_loop_new(NULL, FALSE);
    self.agent = nice_agent_new(NULL, NICE_COMPATIBILITY_RFC5245);
    g_object_set(self.agent, "stun-server", argv[1], "stun-server-port", STUN_PORT,
                 "controlling-mode", self.offers, "upnp", FALSE, "ice-tcp", FALSE, NULL);
    g_signal_connect(self.agent, "candidate-gathering-done", G_CALLBACK(on_gathered), NULL);
    g_signal_connect(self.agent, "component-state-changed", G_CALLBACK(on_state), NULL);
    self.stream = nice_agent_add_stream(self.agent, 1);
    nice_agent_set_stream_name(self.agent, self.stream, "application");
    nice_agent_attach_recv(self.agent, self.stream, 1, NULL, on_data, NULL);
    if (!nice_agent_gather_candidates(self.agent, self.stream))
        return 1;
    g_main_loop_run(self.loop);
    g_object_unref(self.agent);
    g_main_loop_unref(self.loop);
    close(self.fd);
    return 0;
}
