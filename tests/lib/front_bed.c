/* front_bed.c - see front_bed.h. */
#include "tests/lib/front_bed.h"

#include "lib/keys.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <poll.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { ARGS_MAX = 48 };

static char dir[32], path[8][96];
static const char *const file[8] = {"key",   "authority", "token", "store",
                                    "admin", "bus",       "err",   "list"};
static uint8_t server_public[32];
static const uint8_t token[16] = "0123456789abcdef";
pid_t front_bed_pid;
uint16_t front_bed_port, front_bed_enrol_port;

const char *front_bed_in_dir(const char *name)
{
    for (int i = 0; i < 8; i++)
        if (strcmp(file[i], name) == 0)
            return path[i];
    return NULL;
}

pid_t front_bed_spawn(const char *front, const char *const *more)
{
    const char *argv[ARGS_MAX] = {BIN_DIR "/natterjack-coordinator",
                                  "--bus",
                                  front_bed_in_dir("bus"),
                                  "--admin",
                                  front_bed_in_dir("admin"),
                                  "--key",
                                  front_bed_in_dir("key"),
                                  "--authority",
                                  front_bed_in_dir("authority"),
                                  "--token-file",
                                  front_bed_in_dir("token"),
                                  "--store",
                                  front_bed_in_dir("store"),
                                  "--listen-ip",
                                  "127.0.0.1",
                                  "--front-port",
                                  front,
                                  "--enrol-port",
                                  "0",
                                  "--peers",
                                  "100",
                                  "--sessions",
                                  "100"};
    size_t n = 0;
    int fd[2];
    char ready[64];

    while (argv[n])
        n++;
    for (; more && *more; more++)
        argv[n++] = *more;
    cr_assert_lt(n, ARGS_MAX);
    cr_assert_eq(pipe(fd), 0);
    pid_t child = fork();
    if (child == 0) {
        close(fd[0]);
        dup2(open(front_bed_in_dir("err"), O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
        snprintf(ready, sizeof ready, "%d", fd[1]);
        setenv("NATTERJACK_READY_FD", ready, 1);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(fd[1]);
    struct pollfd p = {fd[0], POLLIN, 0};
    cr_assert_eq(poll(&p, 1, FRONT_BED_PATIENCE_MS), 1);
    if (read(fd[0], ready, sizeof ready) < 0) /* the end, when it did not come up */
        cr_assert_fail("pipe");
    close(fd[0]);
    return child;
}

json_t *front_bed_ask(const char *request)
{
    char err[256] = "";
    json_t *answer =
        admin_ask(front_bed_in_dir("admin"), request, FRONT_BED_PATIENCE_MS, err, sizeof err);

    cr_assert(answer, "%s: %s", request, err);
    return answer;
}

void front_bed_start_with(const char *const *more)
{
    front_bed_pid = front_bed_spawn("0", more);
    json_t *state = front_bed_ask("state");
    front_bed_port = (uint16_t)json_integer_value(json_object_get(state, "front_port"));
    front_bed_enrol_port = (uint16_t)json_integer_value(json_object_get(state, "enrol_port"));
    json_decref(state);
}

void front_bed_start(void) { front_bed_start_with(NULL); }

void front_bed_setup(void)
{
    uint8_t key[32] = {42};

    cr_assert_geq(sodium_init(), 0);
    strcpy(dir, "/tmp/front_bed.XXXXXX");
    cr_assert(tidy_mkdtemp(dir));
    for (int i = 0; i < 8; i++)
        snprintf(path[i], sizeof path[i], "%s/%s", dir, file[i]);
    cr_assert_eq(mkdir(front_bed_in_dir("bus"), 0700), 0);
    crypto_scalarmult_base(server_public, key);
    cr_assert(key_save(front_bed_in_dir("key"), key, 32, 0600));
    cr_assert(key_save(front_bed_in_dir("authority"), key, 32, 0600));
    cr_assert(key_save(front_bed_in_dir("token"), token, 16, 0600));
    front_bed_start();
}

void front_bed_teardown(void)
{
    if (front_bed_pid > 0) {
        kill(front_bed_pid, SIGKILL);
        waitpid(front_bed_pid, NULL, 0);
    }
    tidy_remove(dir);
}

/* ---- a peer ------------------------------------------------------------------------------------------- */

struct front_peer front_bed_new_peer(void)
{
    struct front_peer p = {.sock = NULL};

    crypto_box_keypair(p.public_key, p.secret);
    return p;
}

zsock_t *front_bed_unconnected(struct front_peer *p)
{
    zsock_destroy(&p->sock);
    p->sock = zsock_new(ZMQ_DEALER);
    zsock_set_curve_serverkey_bin(p->sock, server_public);
    zsock_set_curve_publickey_bin(p->sock, p->public_key);
    zsock_set_curve_secretkey_bin(p->sock, p->secret);
    zsock_set_rcvtimeo(p->sock, FRONT_BED_PATIENCE_MS);
    zsock_set_linger(p->sock, 0);
    return p->sock;
}

void front_bed_go(struct front_peer *p, uint16_t port)
{
    cr_assert_eq(zsock_connect(front_bed_unconnected(p), "tcp://127.0.0.1:%u", port), 0);
}

void front_bed_send_to(struct front_peer *p, const struct msg *m)
{
    char body[MSG_SIZE_MAX];
    size_t len = msg_encode(m, body);

    cr_assert_eq(zsock_send(p->sock, "sb", msg_name[m->type], body, len), 0);
}

struct msg front_bed_receive(struct front_peer *p)
{
    struct msg m;
    zmsg_t *raw = zmsg_recv(p->sock);

    cr_assert(raw && zmsg_size(raw) == 2);
    char *type = zmsg_popstr(raw);
    zframe_t *body = zmsg_first(raw);
    cr_assert_eq(msg_decode(&m, type, (const char *)zframe_data(body), zframe_size(body), NULL),
                 MSG_OK);
    zstr_free(&type);
    zmsg_destroy(&raw);
    return m;
}

struct msg front_bed_knock(struct front_peer *p)
{
    struct msg m = {.type = MSG_enrol};

    front_bed_go(p, front_bed_enrol_port);
    m.enrol.token.len = sizeof token;
    memcpy(m.enrol.token.b, token, sizeof token);
    front_bed_send_to(p, &m);
    return front_bed_receive(p);
}

void front_bed_enrol(struct front_peer *p)
{
    struct msg m = front_bed_knock(p);

    cr_assert(m.type == MSG_enrolled && m.enrolled.kind[0] == '\0');
}

void front_bed_attach(struct front_peer *p, const char *name)
{
    struct msg m = {.type = MSG_attach};

    msg_text(m.attach.name, sizeof m.attach.name, name);
    m.attach.modes = 1;
    m.attach.seq = 1;
    front_bed_send_to(p, &m);
    m = front_bed_receive(p);
    cr_assert(m.type == MSG_attached && m.attached.kind[0] == '\0', "%s", m.attached.kind);
}

/* The handshake's end, as libzmq's monitor tells it. */
uint16_t front_bed_handshake(struct front_peer *p, uint16_t port)
{
    static int n;
    char where[32];
    uint16_t event = 0;
    zmq_msg_t part;

    snprintf(where, sizeof where, "inproc://monitor%d", n++);

    void *sock = zsock_resolve(front_bed_unconnected(p));
    cr_assert_eq(zmq_socket_monitor(
                     sock, where, ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH),
                 0);
    zsock_t *monitor = zsock_new(ZMQ_PAIR);
    zsock_set_rcvtimeo(monitor, FRONT_BED_PATIENCE_MS);
    cr_assert_eq(zsock_connect(monitor, where), 0);
    cr_assert_eq(zsock_connect(p->sock, "tcp://127.0.0.1:%u", port), 0);
    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, zsock_resolve(monitor), 0) >= (int)sizeof event)
        memcpy(&event, zmq_msg_data(&part), sizeof event);
    zmq_msg_close(&part);
    zmq_socket_monitor(sock, NULL, 0);
    zsock_destroy(&monitor);
    return event;
}
