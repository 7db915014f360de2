/* test_command.c - the command as a process: usage, configuration, and the verbs that ask a suite. */
#include "lib/id.h"
#include "lib/join.h"
#include "lib/keys.h"
#include "services/natterjack/command.h"
#include "services/natterjack/state_dir.h"
#include "tests/lib/child.h"
#include "tests/lib/command.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

TestSuite(command, .init = command_open, .fini = command_close, .timeout = 60);

/* ---- usage ----------------------------------------------------------------------------------- */

Test(command, a_wrong_command_line_exits_2_and_says_what_is_wrong)
{
    /* clang-format off */
    static const char *const wrong[][7] = {
        {NULL},
        {"nosuch"},
        {"up"},
        {"up", "--state"},
        {"up", "--state", "/tmp/x", "extra"},
        {"up", "--state", ""},
        {"up", "--state", "/tmp/x", "--nosuch", "1"},
        {"up", "--state", "/tmp/x", "--public-ip", "nonsense"},
        {"init"},
        {"init", "--state", "/tmp/x", "extra"},
        {"run", "--state", "/nonexistent"},
        {"run", "prober", "relay", "--state", "/nonexistent"},
        {"run", "nosuch", "--state", command.top},
        {"up", "--state", "/tmp/x", "--public-ip", "0.0.0.0"},
        {"up", "--state", "/tmp/x", "--public-ip", "127.0.0.1,"},
        {"up", "--state", "/tmp/x", "--public-ip", "127.0.0.1,127.0.0.1"},
        {"up", "--state", "/tmp/x", "--public-ip", "127.0.0.1,::1"},
        {"up", "--state", "/tmp/x", "--relay-port", "0"},
        {"up", "--state", "/tmp/x", "--relay-port", "65536"},
        {"up", "--state", "/tmp/x", "--relay-port", "3478"},
        {"up", "--state", "/tmp/x", "--front-port", "7442"},
        {"join-string"},
        {"join-string", "--state", "/tmp/x", "-o", "yaml"},
        {"keygen"},
        {"keygen", "a", "b"},
        {"sessions"},
        {"sessions", "--state", "/tmp/x", "--socket", "/tmp/y"},
        {"sessions", "--state", "/tmp/x", "extra"},
        {"session", "--state", "/tmp/x"},
        {"session", "--state", "/tmp/x", "0123"},
        {"explain", "--state", "/tmp/x", "0123456789abcdef0123456789abcdeg"},
        {"cancel", "--state", "/tmp/x", ""},
        {"peer", "--state", "/tmp/x", "no such name"},
        {"state", "--state", "/tmp/x", "nosuch"},
        {"state", "--state", "/tmp/x", "../coordinator"},
        {"health", "--state", "/tmp/x", "--live", "--ready"},
        {"health", "--state", "/tmp/x", "-o"},
    };
    /* clang-format on */

    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const char *const *w = wrong[i];
        cr_assert_eq(command_run(w[0], w[1], w[2], w[3], w[4], w[5], w[6], NULL), EXIT_USAGE,
                     "case %zu", i);
        cr_assert(*command.err && !*command.out, "case %zu says: %s%s", i, command.out,
                  command.err);
    }
    cr_assert_eq(access("/tmp/x", F_OK), -1, "nothing was made");
    cr_assert_eq(RUN("connect", "--timeout", "0", "bob"), EXIT_USAGE);
    cr_assert(strstr(command.err, "more than 0 seconds"), "%s", command.err);
}

Test(command, a_key_or_a_join_string_that_cannot_be_read_is_configuration)
{
    static const uint8_t key[32] = {1};
    struct join j = {.n = 1};
    char path[80], join[JOIN_TEXT_MAX];

    j.front[0] = j.enrol[0] = addr_v4(127, 0, 0, 1, 1);
    join_format(&j, join);
    snprintf(path, sizeof path, "%s/open.key", command.top);
    cr_assert(key_save(path, key, sizeof key, 0644));
    cr_assert_eq(RUN("connect", "--join", "@/nonexistent", "--key", path, "bob"), EXIT_USAGE);
    cr_assert(strstr(command.err, "cannot read /nonexistent") && !*command.out);
    cr_assert_eq(RUN("netcheck", "--join", join, "--key", path), EXIT_USAGE);
    cr_assert(strstr(command.err, "mode 0600") && !*command.out);
}

Test(command, listen_says_that_nobody_answers_and_goes_on)
{
    struct join j = {.n = 1};
    char join[JOIN_TEXT_MAX], line[256];
    char *argv[] = {"natterjack", "listen", "--join", join, NULL};
    int fd[2];

    j.front[0] = j.enrol[0] = addr_v4(127, 0, 0, 1, 1);
    join_format(&j, join);
    cr_assert_eq(pipe(fd), 0);
    pid_t pid = command_spawn(argv, fd[1], fd[1]);
    close(fd[1]);
    FILE *f = fdopen(fd[0], "r");
    cr_assert(fgets(line, sizeof line, f));
    cr_assert(strstr(line, "the coordinator did not answer: check the join string"), "%s", line);
    kill(pid, SIGINT);
    cr_assert_eq(child_status(pid), EXIT_INTERRUPTED);
    fclose(f);
}

Test(command, help_is_no_error)
{
    cr_assert_eq(RUN("--help"), EXIT_OK);
    cr_assert(strstr(command.out, "join-string"));
    cr_assert_eq(RUN("up", "--help"), EXIT_OK);
    cr_assert(strstr(command.out, "--public-ip"));
    cr_assert_eq(RUN("explain", "--help"), EXIT_OK);
    cr_assert(strstr(command.out, "| --join J --key FILE"), "a peer's own way");
}

Test(command, a_directory_name_too_long_for_sockets_is_refused)
{
    char longest[STATE_DIR_MAX + 2];

    memset(longest, 'x', sizeof longest);
    memcpy(longest, "/nonexistent/", 13);
    longest[STATE_DIR_MAX + 1] = '\0';
    cr_assert_eq(RUN("up", "--state", longest), EXIT_USAGE);
    cr_assert(strstr(command.err, "too long"));
    longest[STATE_DIR_MAX] = '\0';
    cr_assert_eq(RUN("up", "--state", longest), EXIT_FAILED, "this one is not too long");
    cr_assert(strstr(command.err, "No such file"));
}

Test(command, keygen_makes_a_key_once)
{
    char path[80], id[PEER_ID_TEXT + 1];
    uint8_t secret[32], public_key[32];
    struct peer_id peer;
    struct stat st;

    snprintf(path, sizeof path, "%s/key", command.top);
    cr_assert_eq(RUN("keygen", path), EXIT_OK);
    cr_assert_eq(sscanf(command.out, "%53s", id), 1);
    cr_assert(peer_id_parse(id, &peer));
    cr_assert(key_create_x25519(path, secret, public_key));
    cr_assert_eq(memcmp(peer.b, public_key, 32), 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(RUN("keygen", path), EXIT_FAILED);
    cr_assert(strstr(command.err, "never overwritten") && !*command.out);
    cr_assert_eq(RUN("keygen", "/nonexistent/key"), EXIT_FAILED);
}

Test(command, read_verbs_say_that_nothing_runs)
{
    cr_assert_eq(RUN("sessions", "--state", command.state), EXIT_FAILED);
    cr_assert(*command.err && !*command.out);
    cr_assert_eq(RUN("health", "--state", command.state), EXIT_FAILED);
    cr_assert(strstr(command.out, "not running"));
    cr_assert_eq(RUN("health", "--live", "--state", command.state), EXIT_FAILED);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static json_t *parse_out(void)
{
    json_error_t why;
    json_t *v = json_loads(command.out, JSON_DECODE_ANY, &why);

    cr_assert(v, "%s: %s", why.text, command.out);
    return v;
}

Test(command, health_tells_of_each_process)
{
    static const char *const names[] = {"up", "coordinator", "classifier", "prober", "relay"};

    command_up();
    cr_assert_eq(RUN("health", "--state", command.state), EXIT_OK);
    cr_assert_eq(strncmp(command.out, "ok\n", 3), 0);
    cr_assert_eq(RUN("health", "--live", "--state", command.state), EXIT_OK);
    cr_assert_eq(RUN("health", "-o", "json", "--state", command.state), EXIT_OK);
    json_t *v = parse_out();
    cr_assert(json_is_true(json_object_get(v, "ok")));
    for (size_t i = 0; i < 5; i++) {
        json_t *p = json_object_get(json_object_get(v, "processes"), names[i]);
        cr_assert(json_is_true(json_object_get(p, "ok")), "%s", names[i]);
    }
    json_decref(v);
    /* A process that hangs is not well. */
    pid_t relay = command_child("relay");
    kill(relay, SIGSTOP);
    cr_assert_eq(RUN("health", "--state", command.state), EXIT_FAILED);
    cr_assert(strstr(command.out, "relay") && strstr(command.out, "down"));
    cr_assert_eq(RUN("health", "--live", "--state", command.state), EXIT_OK);
    kill(relay, SIGCONT);
    cr_assert_eq(RUN("health", "--state", command.state), EXIT_OK);
}

Test(command, read_verbs_answer_in_json_and_in_text)
{
    char prober[96];
    static const char *const verbs[] = {"sessions", "peers", "relays", "stats"};
    static const char *const names[] = {"coordinator", "classifier", "prober", "relay"};

    command_up();
    snprintf(prober, sizeof prober, "%s/admin/prober", command.state);
    cr_assert_eq(RUN("sessions", "--socket", prober), EXIT_FAILED);
    cr_assert(strstr(command.err, prober) && strstr(command.err, "another one's verb"));
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(RUN(verbs[i], "--state", command.state, "-o", "json"), EXIT_OK, "%s",
                     command.err);
        json_decref(parse_out());
        cr_assert_eq(RUN(verbs[i], "--state", command.state), EXIT_OK);
        cr_assert(*command.out, "%s prints something", verbs[i]);
    }
    cr_assert_eq(RUN("sessions", "--pending", "--state", command.state, "-o", "json"), EXIT_OK,
                 "%s", command.err);
    json_decref(parse_out());
    for (size_t i = 0; i < 4; i++) {
        char path[100];
        cr_assert_eq(RUN("state", names[i], "--state", command.state, "-o", "json"), EXIT_OK);
        json_decref(parse_out());
        snprintf(path, sizeof path, "%s/admin/%s", command.state, names[i]);
        cr_assert_eq(RUN("state", names[i], "--socket", path), EXIT_OK);
        cr_assert_eq(RUN("health", "--socket", path), EXIT_OK);
    }
}

Test(command, what_is_not_there_is_refused_in_json_and_in_text)
{
    static const char sid[] = "00000000000000000000000000000000";
    static const char *const verbs[] = {"session", "explain", "cancel"};

    command_up();
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(RUN(verbs[i], sid, "--state", command.state), EXIT_FAILED, "%s", verbs[i]);
        cr_assert(*command.err && !*command.out);
        cr_assert_eq(RUN(verbs[i], sid, "--state", command.state, "-o", "json"), EXIT_FAILED);
        json_t *v = parse_out();
        cr_assert(json_is_string(json_object_get(v, "error")));
        json_decref(v);
    }
    cr_assert_eq(RUN("peer", "nobody", "--state", command.state), EXIT_FAILED);
}

/* ---- configuration --------------------------------------------------------------------------- */

static void write_config(const char *path, const char *more)
{
    FILE *f = fopen(path, "w");

    cr_assert(f);
    fprintf(f, "suite:\n  state: %s\nprober:\n  port: %s\n  alt-port: %s\nrelay:\n  port: %s\n",
            command.state, command.port_text[0], command.port_text[1], command.port_text[2]);
    fprintf(f, "coordinator:\n  front-port: %s\n  enrol-port: %s\n%s", command.port_text[3],
            command.port_text[4], more);
    cr_assert_eq(fclose(f), 0);
}

Test(command, the_example_file_holds_every_parameter_at_its_default)
{
    static char example[COMMAND_OUTPUT_MAX];

    command_slurp("deploy/natterjack.yml", example);
    cr_assert_eq(RUN("up", "--print-config"), EXIT_OK, "%s", command.err);
    cr_assert_str_eq(command.out, example);
    cr_assert_eq(RUN("up", "--print-config", "--config", "deploy/natterjack.yml"), EXIT_OK, "%s",
                 command.err);
    cr_assert_str_eq(command.out, example);
}

Test(command, check_speaks_for_all_processes)
{
    char path[100];

    snprintf(path, sizeof path, "%s/c.yml", command.top);
    write_config(path, "");
    cr_assert_eq(RUN("up", "--config", path, "--check"), EXIT_OK, "%s", command.err);
    cr_assert_neq(access(command.state, F_OK), 0, "nothing is made");
    write_config(path, "  sesions: 5\n"); /* which `up` itself knows nothing of */
    cr_assert_eq(RUN("up", "--config", path, "--check"), EXIT_USAGE);
    cr_assert(strstr(command.err, "c.yml:11: unexpected key: sesions"), "%s", command.err);
    write_config(path, "  sessions: 0\n");
    cr_assert_eq(RUN("up", "--config", path, "--check"), EXIT_USAGE);
    cr_assert_eq(RUN("up", "--config", path), EXIT_USAGE, "nor is it tried");
    cr_assert_neq(access(command.state, F_OK), 0);
    write_config(path, "nosuch:\n  sessions: 5\n");
    cr_assert_eq(RUN("up", "--config", path, "--check"), EXIT_USAGE);
    cr_assert_eq(RUN("init", "--config", path), EXIT_USAGE);
}

Test(command, a_suite_runs_from_a_file_reloads_it_and_drains)
{
    char path[100], line[JOIN_PASTE_MAX];
    char *argv[] = {"natterjack", "up", "--config", path, NULL};
    int fd[2];

    snprintf(path, sizeof path, "%s/c.yml", command.top);
    write_config(path, "  sessions: 5\ncommon:\n  log-level: warn\n");
    cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
    command.up_pid = command_spawn(argv, fd[1], STDERR_FILENO);
    close(fd[1]);
    command.up_out = fd[0];
    command_read_join(line);
    cr_assert_eq(RUN("state", "coordinator", "--state", command.state, "-o", "json"), EXIT_OK);
    json_t *v = parse_out();
    cr_assert_eq(json_integer_value(json_object_get(v, "sessions_max")), 5);
    json_decref(v);
    cr_assert_eq(RUN("loglevel", "debug", "--state", command.state), EXIT_OK, "%s%s", command.out,
                 command.err);
    cr_assert_eq(RUN("loglevel", "loud", "--state", command.state), EXIT_FAILED);
    cr_assert(strstr(command.out, "the levels are debug, info and warn"), "%s", command.out);
    cr_assert_eq(RUN("reload", "--state", command.state, "-o", "json"), EXIT_OK);
    v = parse_out();
    cr_assert(json_is_true(json_object_get(v, "ok")));
    json_decref(v);
    kill(command.up_pid, SIGHUP);
    cr_assert_eq(RUN("health", "--state", command.state), EXIT_OK, "HUP is no reason to end");
    cr_assert_eq(RUN("drain", "--state", command.state), EXIT_OK, "%s%s", command.out, command.err);
    cr_assert_eq(child_status(command.up_pid), EXIT_OK);
    command.up_pid = 0;
}

Test(command, a_join_string_may_come_from_a_private_file_that_the_environment_names)
{
    char path[100];

    snprintf(path, sizeof path, "%s/join", command.top);
    setenv("NATTERJACK_JOIN_FILE", path, 1);
    cr_assert_eq(RUN("netcheck"), EXIT_USAGE);
    cr_assert(strstr(command.err, "mode 0600"), "there is none: %s", command.err);
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs("nonsense\n", f) >= 0 && fclose(f) == 0);
    cr_assert_eq(chmod(path, 0644), 0);
    cr_assert_eq(RUN("netcheck"), EXIT_USAGE);
    cr_assert(strstr(command.err, "mode 0600"), "%s", command.err);
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(RUN("netcheck"), EXIT_USAGE);
    cr_assert(strstr(command.err, "the join string"), "%s", command.err);
    cr_assert_eq(RUN("netcheck", "--join", "other"), EXIT_USAGE);
    cr_assert(strstr(command.err, "the join string"), "a flag wins: %s", command.err);
}
