/*
 * test_relay_process.c - the relay as a process: real sockets, real keys in files, real signals.
 *
 * Its behaviour is tested in test_relay*.c; this only checks the shell around it.
 */
#include "lib/keys.h"
#include "tests/lib/child.h"
#include "tests/lib/relay_host.h"

#include <criterion/criterion.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(relay_process, .init = relay_host_setup, .fini = relay_host_teardown, .timeout = 60);

static void bind_side(int fd, const struct sid *session, uint8_t side, enum relay_status want)
{
    struct ticket t = relay_host_ticket(session, side);

    t.bytes_max = t.bytes_per_s = 100000;
    cr_assert_eq(relay_host_bind(fd, &t), want);
}

Test(relay_process, carries_a_datagram_between_two_sockets)
{
    uint8_t wire[DATA_BYTES_MAX], got[DATAGRAM_MAX], key[32] = {1};
    struct sid session = {{7}};
    struct path_id to = path_id(&session, 1);

    relay_host_start("127.0.0.1", NULL);
    int a = relay_host_peer(), b = relay_host_peer();
    bind_side(a, &session, 0, RELAY_WAITING);
    bind_side(b, &session, 1, RELAY_READY);
    cr_assert_eq(relay_host_receive(a).status, RELAY_READY);
    size_t n = data_seal(DATA_APP, (const uint8_t *)"hello", 5, 1, &to, key, wire);
    cr_assert_eq(send(a, wire, n, 0), (ssize_t)n);
    cr_assert_eq(recv(b, got, sizeof got, 0), (ssize_t)n);
    cr_assert_arr_eq(got, wire, n);
    cr_assert_eq(relay_host_counter("forwarded_packets"), 1);
    close(a), close(b);
}

Test(relay_process, says_hello_with_its_address_key_and_certificate)
{
    relay_host_start("127.0.0.1", NULL);
    struct msg_relay_hello m = relay_host_hello();
    cr_assert_arr_eq(m.key.b, relay_host.public_key, 32);
    cr_assert_arr_eq(m.cert.b, relay_host.cert, sizeof relay_host.cert);
    cr_assert_arr_eq(m.ticket_key.b, relay_host.ticket_public, 32);
    cr_assert(addr_eq(&m.addr, &relay_host.addr));
}

Test(relay_process,
     carries_a_session_on_while_keys_change_and_takes_no_ticket_of_the_key_before_last)
{
    uint8_t wire[DATA_BYTES_MAX], got[DATAGRAM_MAX], key[32] = {1};
    struct sid session = {{7}};
    struct path_id to = path_id(&session, 1);
    struct peer_id newest;
    static const char *const every_second[] = {"--ticket-period", "1", NULL};

    relay_host_start("127.0.0.1", every_second);
    newest = relay_host_hello().ticket_key;
    memcpy(relay_host.ticket_public, newest.b, 32);
    int a = relay_host_peer(), b = relay_host_peer();
    bind_side(a, &session, 0, RELAY_WAITING);
    bind_side(b, &session, 1, RELAY_READY);
    cr_assert_eq(relay_host_receive(a).status, RELAY_READY);
    for (unsigned changes = 0; changes < 2;) {
        struct peer_id next = relay_host_hello().ticket_key;
        changes += !peer_id_eq(&next, &newest);
        newest = next;
    }
    size_t n = data_seal(DATA_APP, (const uint8_t *)"hello", 5, 1, &to, key, wire);
    cr_assert_eq(send(a, wire, n, 0), (ssize_t)n);
    cr_assert_eq(recv(b, got, sizeof got, 0), (ssize_t)n);
    bind_side(a, &session, 0, RELAY_BAD_TICKET);
    memcpy(relay_host.ticket_public, newest.b, 32);
    bind_side(a, &session, 0, RELAY_READY);
    cr_assert_eq(relay_host_counter("bad_ticket"), 1);
    close(a), close(b);
}

Test(relay_process, advertises_an_address_that_is_not_local)
{
    struct sid session = {{7}};

    relay_host_start("203.0.113.5", NULL);
    cr_assert_eq(relay_host.addr.ip[0], 203);
    int a = relay_host_peer(); /* the wildcard is bound */
    bind_side(a, &session, 0, RELAY_WAITING);
    close(a);
}

Test(relay_process, survives_garbage_and_stops_cleanly)
{
    uint8_t garbage[2000];

    relay_host_start("127.0.0.1", NULL);
    int a = relay_host_peer();
    for (size_t n = 0; n < sizeof garbage; n += 7) {
        rng_bytes(&relay_host.rng, garbage, sizeof garbage);
        garbage[0] = (uint8_t)(n % 16);
        cr_assert_eq(send(a, garbage, n, 0), (ssize_t)n);
    }
    close(a);
    json_decref(relay_host_state());
    kill(relay_host.pid, SIGTERM);
    cr_assert_eq(child_status(relay_host.pid), 0);
    relay_host.pid = 0;
    cr_assert_neq(access(relay_host_path("admin"), F_OK), 0);
}

Test(relay_process, does_not_start_with_a_bad_key_file)
{
    bool ready;

    cr_assert_eq(chmod(relay_host_path("key"), 0644), 0); /* a secret that others can read */
    cr_assert_eq(child_status(relay_host_spawn("127.0.0.1", NULL, &ready)), 2);
    cr_assert_not(ready);
    cr_assert_eq(chmod(relay_host_path("key"), 0600), 0);
    cr_assert_eq(truncate(relay_host_path("cert"), 20), 0);
    cr_assert_eq(child_status(relay_host_spawn("127.0.0.1", NULL, &ready)), 1);
    cr_assert_not(ready);
    memset(relay_host.coordinator_public, 0, 32); /* of small order */
    cr_assert(key_save(relay_host_path("cert"), relay_host.cert, sizeof relay_host.cert, 0644));
    cr_assert(key_save(relay_host_path("coordinator"), relay_host.coordinator_public, 32, 0644));
    cr_assert_eq(child_status(relay_host_spawn("127.0.0.1", NULL, &ready)), 1);
    cr_assert_not(ready);
}
