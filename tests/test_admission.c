/*
 * test_admission.c - which keys the coordinator lets in: by token, by the operator's list, or all; as a real
 * process, with a list that changes and one that makes no sense.
 */
#include "services/coordinator/allowlist_shell.h"
#include "services/coordinator/coordinator.h"
#include "tests/lib/child.h"
#include "tests/lib/coordinator_bed.h"
#include "tests/lib/front_bed.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <unistd.h>

TestSuite(admission, .init = front_bed_setup, .fini = front_bed_teardown, .timeout = 60);

static void write_list(const void *text, size_t len)
{
    FILE *f = fopen(front_bed_in_dir("list"), "w");

    cr_assert(f && fwrite(text, 1, len, f) == len && fclose(f) == 0);
}

static void list(const struct front_peer *p, const char *after)
{
    char id[PEER_ID_TEXT], text[256];

    peer_id_format(&(struct peer_id){{0}}, id);
    if (p) {
        struct peer_id key;
        memcpy(key.b, p->public_key, sizeof key.b);
        peer_id_format(&key, id);
    }
    snprintf(text, sizeof text, "# who may come\n\n  %s  # the first\r\n%s", p ? id : "", after);
    write_list(text, strlen(text));
}

static void restart(const char *how)
{
    kill(front_bed_pid, SIGTERM);
    cr_assert_eq(child_status(front_bed_pid), 0);
    front_bed_start_with(
        (const char *const[]){"--admission", how, "--allowlist", front_bed_in_dir("list"), NULL});
}

static void expect_no_start(const char *const *flags)
{
    cr_assert_eq(child_status(front_bed_spawn("0", flags)), 1);
}

static void expect_refused(struct front_peer *p)
{
    cr_assert_str_eq(front_bed_knock(p).enrolled.kind, "not-authorized");
    cr_assert_eq(front_bed_handshake(p, front_bed_port), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
}

static void expect_let_in(struct front_peer *p, const char *name)
{
    front_bed_enrol(p);
    front_bed_go(p, front_bed_port);
    front_bed_attach(p, name);
}

/* `reload`; its complaint, or "". */
static const char *reload(void)
{
    static char why[512];
    json_t *answer = front_bed_ask("reload");
    const char *error = json_string_value(json_object_get(answer, "error"));

    snprintf(why, sizeof why, "%s", error ? error : "");
    json_decref(answer);
    return why;
}

Test(admission, by_token_lets_in_who_shows_it_and_nobody_else)
{
    struct front_peer alice = front_bed_new_peer(), mallory = front_bed_new_peer();
    struct msg m = {.type = MSG_enrol};

    expect_let_in(&alice, "alice");
    for (unsigned len = 0; len <= sizeof m.enrol.token.b; len += 8) { /* of any length, all wrong */
        front_bed_go(&mallory, front_bed_enrol_port);
        m.enrol.token.len = (uint16_t)len;
        front_bed_send_to(&mallory, &m);
        cr_assert_str_eq(front_bed_receive(&mallory).enrolled.kind, "not-authorized");
    }
    cr_assert_eq(front_bed_handshake(&mallory, front_bed_port), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    zsock_destroy(&alice.sock);
    zsock_destroy(&mallory.sock);
}

Test(admission, by_list_lets_in_the_keys_on_it_as_long_as_they_are)
{
    struct front_peer alice = front_bed_new_peer(), bob = front_bed_new_peer();
    struct msg m = {
        .type = MSG_attach, .attach = {.name = "alice", .modes = 1, .seq = 1}
    };

    front_bed_enrol(&bob); /* the token that he has shown is no longer what counts */
    list(&alice, "");
    restart("allowlist");
    expect_let_in(&alice, "alice");
    expect_refused(&bob);
    list(&bob, "");
    cr_assert_str_eq(reload(), "");
    front_bed_send_to(&alice, &m); /* her next refresh */
    m = front_bed_receive(&alice);
    cr_assert(m.type == MSG_attached && strcmp(m.attached.kind, "not-authorized") == 0);
    json_t *peer = front_bed_ask("peer alice");
    cr_assert(json_object_get(peer, "error"), "she is gone");
    json_decref(peer);
    expect_refused(&alice);
    expect_let_in(&bob, "bob");
    zsock_destroy(&alice.sock);
    zsock_destroy(&bob.sock);
}

Test(admission, a_list_that_makes_no_sense_changes_nothing_and_starts_nothing)
{
    struct front_peer alice = front_bed_new_peer(), bob = front_bed_new_peer();

    list(&alice, "");
    restart("allowlist");
    list(&bob, "who is this?\n");
    cr_assert(strstr(reload(), "list:4: a line has one peer id"), "%s", reload());
    unlink(front_bed_in_dir("list"));
    cr_assert(strstr(reload(), strerror(ENOENT)), "%s", reload());
    expect_let_in(&alice, "alice");
    expect_refused(&bob);
    kill(front_bed_pid, SIGTERM);
    cr_assert_eq(child_status(front_bed_pid), 0);
    front_bed_pid = 0;
    expect_no_start((const char *const[]){"--admission", "everybody", NULL});
    expect_no_start((const char *const[]){"--admission", "allowlist", NULL});
    expect_no_start(
        (const char *const[]){"--admission", "allowlist", "--allowlist", "/no/such/file", NULL});
    zsock_destroy(&alice.sock);
    zsock_destroy(&bob.sock);
}

Test(admission, open_lets_in_every_key_and_remembers_none)
{
    struct front_peer alice = front_bed_new_peer(), bob = front_bed_new_peer();
    struct msg m = {.type = MSG_enrol};

    restart("open");
    front_bed_go(&bob, front_bed_enrol_port);
    front_bed_send_to(&bob, &m); /* without any token */
    cr_assert_str_eq(front_bed_receive(&bob).enrolled.kind, "");
    expect_let_in(&alice, "alice");
    cr_assert_eq(front_bed_handshake(&bob, front_bed_port), ZMQ_EVENT_HANDSHAKE_SUCCEEDED);
    restart("token");
    cr_assert_eq(front_bed_handshake(&bob, front_bed_port), ZMQ_EVENT_HANDSHAKE_FAILED_AUTH);
    expect_let_in(&alice, "alice");
    zsock_destroy(&alice.sock);
    zsock_destroy(&bob.sock);
}

/* ---- the file ------------------------------------------------------------------------------------------ */

TestSuite(allowlist, .init = front_bed_setup, .fini = front_bed_teardown, .timeout = 60);

static const char *load(const void *text, size_t len, size_t *n)
{
    static char err[ALLOWLIST_ERROR_MAX];
    struct peer_id *keys = NULL;

    write_list(text, len);
    if (!allowlist_load(front_bed_in_dir("list"), &keys, n, err))
        return strrchr(err, ':') + 2;
    for (size_t i = 1; i < *n; i++)
        cr_assert_leq(memcmp(&keys[i - 1], &keys[i], sizeof *keys), 0, "they are sorted");
    free(keys);
    return "";
}

Test(allowlist, what_is_no_list_of_peer_ids_is_refused_in_words)
{
    static const struct {
        const char *text;
        size_t len;
        const char *why;
    } bad[] = {
        {"x\n",        2, "this is no peer id"            },
        {"a b\n",      4, "a line has one peer id"        },
        {"\0\n",       2, "a line is too long, or no text"},
        {"#\0abc",     5, "a line is too long, or no text"},
        {"\xff\xfe\n", 3, "this is no peer id"            },
    };
    char line[2 * ALLOWLIST_LINE_MAX];
    size_t n;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        cr_assert_str_eq(load(bad[i].text, bad[i].len, &n), bad[i].why);
    cr_assert_str_eq(load("", 0, &n), "");
    cr_assert_eq(n, 0);
    cr_assert_str_eq(load("# nobody", 8, &n), "", "a last line may lack its end");
    memset(line, '#', sizeof line);
    cr_assert_str_eq(load(line, sizeof line, &n), "a line is too long, or no text");
    srand(7);
    for (int i = 0; i < 2000; i++) { /* garbage neither ends us nor is taken for keys */
        for (size_t k = 0; k < sizeof line; k++)
            line[k] = (char)rand();
        const char *why = load(line, 1 + (size_t)rand() % (sizeof line - 1), &n);
        cr_assert(*why || n == 0);
    }
}

Test(allowlist, holds_so_many_keys_and_no_more)
{
    char *text = malloc((ALLOWLIST_MAX + 1) * (size_t)PEER_ID_TEXT), *at = text;
    struct peer_id key = {{0}};
    size_t n;

    for (uint32_t i = 0; i <= ALLOWLIST_MAX; i++, at += PEER_ID_TEXT) {
        uint32_t mixed = i * 2654435761u;
        memcpy(key.b, &mixed, sizeof mixed);
        key.b[31] = 1;
        peer_id_format(&key, at);
        at[PEER_ID_TEXT - 1] = '\n';
    }
    cr_assert_str_eq(load(text, ALLOWLIST_MAX * (size_t)PEER_ID_TEXT, &n), "");
    cr_assert_eq(n, ALLOWLIST_MAX);
    cr_assert_str_eq(load(text, (ALLOWLIST_MAX + 1) * (size_t)PEER_ID_TEXT, &n),
                     "there are too many keys");
    free(text);
}

Test(allowlist, a_key_is_found_wherever_it_stands_and_no_other)
{
    static struct bed bed;
    struct peer_id keys[9];

    coordinator_bed_init(&bed, 0, 0);
    for (uint8_t i = 0; i < 9; i++)
        keys[i] = (struct peer_id){
            {(uint8_t)(2 * i + 1), 7}
        };
    for (size_t n = 0; n <= 9; n++) {
        coordinator_admission(&bed.core, ADMIT_LISTED, keys, n);
        for (size_t i = 0; i < 9; i++)
            cr_assert_eq(coordinator_listed(&bed.core, &keys[i]), i < n);
        for (uint8_t i = 0; i < 20; i += 2)
            cr_assert_not(coordinator_listed(&bed.core, &(struct peer_id){
                                                            {i, 7}
            }));
    }
    coordinator_bed_fini(&bed);
}
