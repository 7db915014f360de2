/*
 * test_command.c - the command as a process: usage, `up` and its suite, and the verbs that ask it.
 *
 * Each test runs in a directory of its own, on ports that were free a moment ago.
 */
#include "lib/id.h"
#include "lib/join.h"
#include "lib/keys.h"
#include "lib/service.h"
#include "services/natterjack/command.h"
#include "services/natterjack/state_dir.h"
#include "tests/lib/ports.h"
#include "tests/lib/tidy.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND BIN_DIR "/natterjack"

enum { ARGS_MAX = 32, OUTPUT_MAX = 65536, LIMIT_MS = 20000 };

static char top[] = "/tmp/test_command.XXXXXX", state[64], out[OUTPUT_MAX], err[OUTPUT_MAX];
static char port_text[SUITE_PORTS][PORT_TEXT];
static pid_t up_pid, run_pid[4];
static int up_out = -1;

/* ---- running the command -------------------------------------------------------------------- */

static pid_t spawn(char *const argv[], int out_fd, int err_fd)
{
    pid_t pid = fork();

    if (pid == 0) {
        dup2(out_fd, STDOUT_FILENO);
        dup2(err_fd, STDERR_FILENO);
        execv(COMMAND, argv);
        _exit(127);
    }
    cr_assert_gt(pid, 0);
    return pid;
}

static int exit_status(pid_t pid)
{
    int status;

    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void slurp(const char *path, char *buf)
{
    FILE *f = fopen(path, "r");

    buf[fread(buf, 1, OUTPUT_MAX - 1, f)] = '\0';
    fclose(f);
}

/* Run the command to its end with these words; its outputs are then in out and err. */
static int run(const char *first, ...)
{
    char *argv[ARGS_MAX] = {"natterjack"}, paths[2][80];
    size_t n = 1;
    va_list ap;
    int fd[2];

    va_start(ap, first);
    for (const char *a = first; a; a = va_arg(ap, const char *))
        argv[n++] = (char *)(uintptr_t)a;
    va_end(ap);
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/out%d", top, i);
        fd[i] = open(paths[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
        cr_assert_geq(fd[i], 0);
    }
    int status = exit_status(spawn(argv, fd[0], fd[1]));
    close(fd[0]), close(fd[1]);
    slurp(paths[0], out);
    slurp(paths[1], err);
    return status;
}

#define RUN(...) run(__VA_ARGS__, NULL)

static int64_t pause_until(int64_t limit_us, const char *what)
{
    cr_assert_lt(service_now_us(), limit_us, "%s does not come about; last: %s%s", what, out, err);
    usleep(5000);
    return service_now_us();
}

static int64_t limit(void) { return service_now_us() + LIMIT_MS * INT64_C(1000); }

/* ---- a suite -------------------------------------------------------------------------------- */

/* The flags that put a suite here and on our ports, after words[0 .. n - 1]. */
static void add_suite_flags(char *argv[ARGS_MAX], size_t n)
{
    char *flags[] = {"--state",
                     state,
                     "--public-ip",
                     "127.0.0.1,127.0.0.2",
                     "--prober-port",
                     port_text[0],
                     "--prober-alt-port",
                     port_text[1],
                     "--relay-port",
                     port_text[2],
                     "--front-port",
                     port_text[3],
                     "--enrol-port",
                     port_text[4],
                     NULL};

    memcpy(argv + n, flags, sizeof flags);
}

static void start_up(void)
{
    char *argv[ARGS_MAX] = {"natterjack", "up"};
    int fd[2];

    add_suite_flags(argv, 2);
    cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
    up_pid = spawn(argv, fd[1], STDERR_FILENO);
    close(fd[1]);
    up_out = fd[0];
}

/* The first line that `up` prints. */
static void read_join(char line[JOIN_PASTE_MAX])
{
    FILE *f = fdopen(dup(up_out), "r");

    cr_assert(fgets(line, JOIN_PASTE_MAX, f), "up ended without a join string");
    fclose(f);
}

static void up_and_ready(void)
{
    char line[JOIN_PASTE_MAX];

    start_up();
    read_join(line);
}

/* The children of `up` by name: pids, and how many there are. */
static size_t children_of(pid_t parent, pid_t pids[16], char names[16][16])
{
    DIR *d = opendir("/proc");
    size_t n = 0;

    for (struct dirent *e; (e = readdir(d)) && n < 16;) {
        char path[300], name[16], process_state;
        int pid, ppid;
        snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        FILE *f = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? fopen(path, "r") : NULL;
        if (!f)
            continue;
        /* the kernel keeps 15 characters of a program's name: natterjack-prob */
        if (fscanf(f, "%d (%15[^)]) %c %d", &pid, name, &process_state, &ppid) == 4 &&
            ppid == parent && process_state != 'Z') {
            pids[n] = pid;
            snprintf(names[n++], 16, "%s", name);
        }
        fclose(f);
    }
    closedir(d);
    return n;
}

static pid_t child_named(const char *name)
{
    pid_t pids[16];
    char names[16][16];
    size_t n = children_of(up_pid, pids, names);

    for (size_t i = 0; i < n; i++)
        if (strncmp(names[i] + strlen("natterjack-"), name, 4) == 0)
            return pids[i];
    return 0;
}

static void wait_gone(const pid_t *pids, size_t n)
{
    int64_t until = limit();

    for (size_t i = 0; i < n; i++)
        while (kill(pids[i], 0) == 0)
            pause_until(until, "the end of a child");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static void setup(void)
{
    cr_assert(tidy_mkdtemp(top));
    snprintf(state, sizeof state, "%s/s", top);
    free_ports(port_text);
}

static void teardown(void)
{
    for (size_t i = 0; i < sizeof run_pid / sizeof *run_pid; i++)
        if (run_pid[i] > 0)
            kill(run_pid[i], SIGKILL);
    if (up_pid > 0) {
        kill(up_pid, SIGKILL);
        waitpid(up_pid, NULL, 0);
    }
    nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

TestSuite(command, .init = setup, .fini = teardown, .timeout = 60);

/* ---- usage ---------------------------------------------------------------------------------- */

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
        {"run", "nosuch", "--state", top},
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
        cr_assert_eq(run(w[0], w[1], w[2], w[3], w[4], w[5], w[6], NULL), EXIT_USAGE, "case %zu",
                     i);
        cr_assert(*err && !*out, "case %zu says: %s%s", i, out, err);
    }
    cr_assert_eq(access("/tmp/x", F_OK), -1, "nothing was made");
}

Test(command, a_key_or_a_join_string_that_cannot_be_read_is_configuration)
{
    static const uint8_t key[32] = {1};
    struct join j = {.n = 1};
    char path[80], join[JOIN_TEXT_MAX];

    j.front[0] = j.enrol[0] = addr_v4(127, 0, 0, 1, 1);
    join_format(&j, join);
    snprintf(path, sizeof path, "%s/open.key", top);
    cr_assert(key_save(path, key, sizeof key, 0644));
    cr_assert_eq(RUN("connect", "--join", "@/nonexistent", "--key", path, "bob"), EXIT_USAGE);
    cr_assert(strstr(err, "cannot read /nonexistent") && !*out);
    cr_assert_eq(RUN("netcheck", "--join", join, "--key", path), EXIT_USAGE);
    cr_assert(strstr(err, "mode 0600") && !*out);
}

Test(command, help_is_no_error)
{
    cr_assert_eq(RUN("--help"), EXIT_OK);
    cr_assert(strstr(out, "join-string"));
    cr_assert_eq(RUN("up", "--help"), EXIT_OK);
    cr_assert(strstr(out, "--public-ip"));
}

Test(command, a_directory_name_too_long_for_sockets_is_refused)
{
    char longest[STATE_DIR_MAX + 2];

    memset(longest, 'x', sizeof longest);
    memcpy(longest, "/nonexistent/", 13);
    longest[STATE_DIR_MAX + 1] = '\0';
    cr_assert_eq(RUN("up", "--state", longest), EXIT_USAGE);
    cr_assert(strstr(err, "too long"));
    longest[STATE_DIR_MAX] = '\0';
    cr_assert_eq(RUN("up", "--state", longest), EXIT_FAILED, "this one is not too long");
    cr_assert(strstr(err, "No such file"));
}

Test(command, keygen_makes_a_key_once)
{
    char path[80], id[PEER_ID_TEXT + 1];
    uint8_t secret[32], public_key[32];
    struct peer_id peer;
    struct stat st;

    snprintf(path, sizeof path, "%s/key", top);
    cr_assert_eq(RUN("keygen", path), EXIT_OK);
    cr_assert_eq(sscanf(out, "%53s", id), 1);
    cr_assert(peer_id_parse(id, &peer));
    cr_assert(key_create_x25519(path, secret, public_key));
    cr_assert_eq(memcmp(peer.b, public_key, 32), 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(RUN("keygen", path), EXIT_FAILED);
    cr_assert(strstr(err, "never overwritten") && !*out);
    cr_assert_eq(RUN("keygen", "/nonexistent/key"), EXIT_FAILED);
}

Test(command, read_verbs_say_that_nothing_runs)
{
    cr_assert_eq(RUN("sessions", "--state", state), EXIT_FAILED);
    cr_assert(*err && !*out);
    cr_assert_eq(RUN("health", "--state", state), EXIT_FAILED);
    cr_assert(strstr(out, "not running"));
    cr_assert_eq(RUN("health", "--live", "--state", state), EXIT_FAILED);
}

/* ---- up ------------------------------------------------------------------------------------- */

Test(command, up_prints_a_join_string_that_join_string_repeats)
{
    char line[JOIN_PASTE_MAX], why[JOIN_ERROR_MAX], path[80], at[32];
    struct join join;
    struct stat st;

    cr_assert_eq(RUN("join-string", "--state", state), EXIT_FAILED);
    cr_assert(!*out && strstr(err, "no suite is up"));
    start_up();
    read_join(line);
    cr_assert(join_parse(line, &join, why), "%s", why);
    cr_assert_eq(join.n, 1);
    struct addr expected;
    snprintf(at, sizeof at, "127.0.0.1:%s", port_text[3]);
    cr_assert(addr_parse(at, &expected) && addr_eq(&join.front[0], &expected));
    snprintf(at, sizeof at, "127.0.0.1:%s", port_text[4]);
    cr_assert(addr_parse(at, &expected) && addr_eq(&join.enrol[0], &expected));
    cr_assert_eq(RUN("join-string", "--state", state), EXIT_OK);
    cr_assert_str_eq(out, line);
    snprintf(path, sizeof path, "%s/join", state);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(stat(state, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0700);
    kill(up_pid, SIGTERM);
    cr_assert_eq(exit_status(up_pid), EXIT_OK);
    up_pid = 0;
    cr_assert_eq(RUN("join-string", "--state", state), EXIT_FAILED);
}

/* ---- init and run --------------------------------------------------------------------------- */

static const char *const processes[] = {"coordinator", "classifier", "prober", "relay"};
enum { PROCESSES = sizeof processes / sizeof *processes };

/* Run `init` with our flags; the join string is then in out. */
static int run_init(void)
{
    return RUN("init", "--state", state, "--public-ip", "127.0.0.1,127.0.0.2", "--front-port",
               port_text[3], "--enrol-port", port_text[4]);
}

Test(command, init_prints_what_up_would_and_starts_nothing)
{
    char first[JOIN_PASTE_MAX], line[JOIN_PASTE_MAX];

    cr_assert_eq(run_init(), EXIT_OK, "%s", err);
    snprintf(first, sizeof first, "%.*s", (int)sizeof first - 1, out);
    cr_assert_eq(RUN("health", "--live", "--state", state), EXIT_FAILED);
    cr_assert_eq(run_init(), EXIT_OK);
    cr_assert_str_eq(out, first, "what is there stays");
    start_up();
    read_join(line);
    cr_assert_str_eq(line, first);
    cr_assert_eq(RUN("run", "prober", "--state", state), EXIT_FAILED);
    cr_assert(strstr(err, "a suite is up"));
}

Test(command, processes_that_run_one_by_one_are_a_suite)
{
    char path[PROCESSES][96];

    cr_assert_eq(run_init(), EXIT_OK, "%s", err);
    for (size_t i = 0; i < PROCESSES; i++) {
        char *argv[ARGS_MAX] = {"natterjack", "run", (char *)(uintptr_t)processes[i]};
        add_suite_flags(argv, 3);
        snprintf(path[i], sizeof path[i], "%s/admin/%s", state, processes[i]);
        run_pid[i] = spawn(argv, STDOUT_FILENO, STDERR_FILENO);
    }
    for (size_t i = 0; i < PROCESSES; i++)
        for (int64_t end = limit(); RUN("health", "--socket", path[i]) != EXIT_OK;)
            pause_until(end, path[i]);
    for (int64_t end = limit();
         RUN("relays", "--state", state, "-o", "json") != EXIT_OK || !strstr(out, port_text[2]);)
        pause_until(end, "the relay's hello at the coordinator");
    for (size_t i = 0; i < PROCESSES; i++)
        kill(run_pid[i], SIGTERM);
    for (size_t i = 0; i < PROCESSES; i++)
        cr_assert_eq(exit_status(run_pid[i]), EXIT_OK, "%s", processes[i]);
    memset(run_pid, 0, sizeof run_pid);
}

Test(command, a_suite_keeps_its_keys_over_a_restart)
{
    char first[JOIN_PASTE_MAX], second[JOIN_PASTE_MAX];

    start_up();
    read_join(first);
    kill(up_pid, SIGKILL);
    cr_assert_eq(exit_status(up_pid), -SIGKILL);
    cr_assert_eq(RUN("join-string", "--state", state), EXIT_FAILED, "a stale one is not told");
    start_up();
    read_join(second);
    cr_assert_str_eq(first, second);
}

Test(command, a_second_up_on_one_directory_is_refused)
{
    up_and_ready();
    cr_assert_eq(RUN("up", "--state", state), EXIT_FAILED);
    cr_assert(strstr(err, "another suite is up"));
    cr_assert_eq(RUN("health", "--state", state), EXIT_OK, "and the first one is well: %s", out);
    cr_assert_eq(RUN("join-string", "--state", state), EXIT_OK);
}

Test(command, up_fails_with_a_reason_when_a_port_is_taken)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    sa.sin_port = htons((uint16_t)atoi(port_text[2]));
    cr_assert_eq(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    start_up();
    cr_assert_eq(exit_status(up_pid), EXIT_FAILED);
    up_pid = 0;
    close(fd);
}

Test(command, up_refuses_a_key_that_others_may_read)
{
    char path[80];

    up_and_ready();
    kill(up_pid, SIGTERM);
    cr_assert_eq(exit_status(up_pid), EXIT_OK);
    up_pid = 0;
    snprintf(path, sizeof path, "%s/keys/relay", state);
    cr_assert_eq(chmod(path, 0644), 0);
    cr_assert_eq(RUN("up", "--state", state), EXIT_FAILED);
    cr_assert(strstr(err, path) && strstr(err, "owner only"), "%s", err);
}

Test(command, sigterm_ends_all_and_leaves_no_process)
{
    pid_t pids[16];
    char names[16][16];

    up_and_ready();
    size_t n = children_of(up_pid, pids, names);
    cr_assert_eq(n, 4);
    int64_t at = service_now_us();
    kill(up_pid, SIGTERM);
    cr_assert_eq(exit_status(up_pid), EXIT_OK);
    cr_assert_lt(service_now_us() - at, 2500000, "nobody had to be killed");
    up_pid = 0;
    wait_gone(pids, n);
}

Test(command, killing_up_leaves_no_process)
{
    pid_t pids[16];
    char names[16][16];

    up_and_ready();
    size_t n = children_of(up_pid, pids, names);
    cr_assert_eq(n, 4);
    kill(up_pid, SIGKILL);
    cr_assert_eq(exit_status(up_pid), -SIGKILL);
    up_pid = 0;
    wait_gone(pids, n);
}

Test(command, a_killed_process_is_back_within_a_second)
{
    static const char *const names[] = {"coordinator", "classifier", "prober", "relay"};

    up_and_ready();
    for (size_t i = 0; i < 4; i++) {
        pid_t old = child_named(names[i]);
        cr_assert_gt(old, 0);
        int64_t at = service_now_us(), until = limit();
        kill(old, SIGKILL);
        while (child_named(names[i]) == old || RUN("state", names[i], "--state", state) != EXIT_OK)
            pause_until(until, names[i]);
        cr_assert_leq(service_now_us() - at, 1000000, "%s", names[i]);
        cr_assert_eq(RUN("health", "--ready", "--state", state), EXIT_OK, "%s", out);
    }
    cr_assert_eq(kill(up_pid, 0), 0);
}

/* ---- asking --------------------------------------------------------------------------------- */

static json_t *parse_out(void)
{
    json_error_t why;
    json_t *v = json_loads(out, JSON_DECODE_ANY, &why);

    cr_assert(v, "%s: %s", why.text, out);
    return v;
}

Test(command, health_tells_of_each_process)
{
    static const char *const names[] = {"up", "coordinator", "classifier", "prober", "relay"};

    up_and_ready();
    cr_assert_eq(RUN("health", "--state", state), EXIT_OK);
    cr_assert_eq(strncmp(out, "ok\n", 3), 0);
    cr_assert_eq(RUN("health", "--live", "--state", state), EXIT_OK);
    cr_assert_eq(RUN("health", "-o", "json", "--state", state), EXIT_OK);
    json_t *v = parse_out();
    cr_assert(json_is_true(json_object_get(v, "ok")));
    for (size_t i = 0; i < 5; i++) {
        json_t *p = json_object_get(json_object_get(v, "processes"), names[i]);
        cr_assert(json_is_true(json_object_get(p, "ok")), "%s", names[i]);
    }
    json_decref(v);
    /* A process that hangs is not well. */
    pid_t relay = child_named("relay");
    kill(relay, SIGSTOP);
    cr_assert_eq(RUN("health", "--state", state), EXIT_FAILED);
    cr_assert(strstr(out, "relay") && strstr(out, "down"));
    cr_assert_eq(RUN("health", "--live", "--state", state), EXIT_OK);
    kill(relay, SIGCONT);
    cr_assert_eq(RUN("health", "--state", state), EXIT_OK);
}

Test(command, read_verbs_answer_in_json_and_in_text)
{
    static const char *const verbs[] = {"sessions", "peers", "relays", "stats"};
    static const char *const names[] = {"coordinator", "classifier", "prober", "relay"};

    up_and_ready();
    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(RUN(verbs[i], "--state", state, "-o", "json"), EXIT_OK, "%s", err);
        json_decref(parse_out());
        cr_assert_eq(RUN(verbs[i], "--state", state), EXIT_OK);
        cr_assert(*out, "%s prints something", verbs[i]);
    }
    cr_assert_eq(RUN("sessions", "--pending", "--state", state, "-o", "json"), EXIT_OK, "%s", err);
    json_decref(parse_out());
    for (size_t i = 0; i < 4; i++) {
        char path[100];
        cr_assert_eq(RUN("state", names[i], "--state", state, "-o", "json"), EXIT_OK);
        json_decref(parse_out());
        snprintf(path, sizeof path, "%s/admin/%s", state, names[i]);
        cr_assert_eq(RUN("state", names[i], "--socket", path), EXIT_OK);
        cr_assert_eq(RUN("health", "--socket", path), EXIT_OK);
    }
}

Test(command, what_is_not_there_is_refused_in_json_and_in_text)
{
    static const char sid[] = "00000000000000000000000000000000";
    static const char *const verbs[] = {"session", "explain", "cancel"};

    up_and_ready();
    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(RUN(verbs[i], sid, "--state", state), EXIT_FAILED, "%s", verbs[i]);
        cr_assert(*err && !*out);
        cr_assert_eq(RUN(verbs[i], sid, "--state", state, "-o", "json"), EXIT_FAILED);
        json_t *v = parse_out();
        cr_assert(json_is_string(json_object_get(v, "error")));
        json_decref(v);
    }
    cr_assert_eq(RUN("peer", "nobody", "--state", state), EXIT_FAILED);
}

/* ---- configuration -------------------------------------------------------------------------- */

static void write_config(const char *path, const char *more)
{
    FILE *f = fopen(path, "w");

    cr_assert(f);
    fprintf(f, "suite:\n  state: %s\nprober:\n  port: %s\n  alt-port: %s\nrelay:\n  port: %s\n",
            state, port_text[0], port_text[1], port_text[2]);
    fprintf(f, "coordinator:\n  front-port: %s\n  enrol-port: %s\n%s", port_text[3], port_text[4],
            more);
    cr_assert_eq(fclose(f), 0);
}

Test(command, the_example_file_holds_every_parameter_at_its_default)
{
    static char example[OUTPUT_MAX];

    slurp("deploy/natterjack.yml", example);
    cr_assert_eq(RUN("up", "--print-config"), EXIT_OK, "%s", err);
    cr_assert_str_eq(out, example);
    cr_assert_eq(RUN("up", "--print-config", "--config", "deploy/natterjack.yml"), EXIT_OK, "%s",
                 err);
    cr_assert_str_eq(out, example);
}

Test(command, check_speaks_for_all_processes)
{
    char path[100];

    snprintf(path, sizeof path, "%s/c.yml", top);
    write_config(path, "");
    cr_assert_eq(RUN("up", "--config", path, "--check"), EXIT_OK, "%s", err);
    cr_assert_neq(access(state, F_OK), 0, "nothing is made");
    write_config(path, "  sesions: 5\n"); /* which `up` itself knows nothing of */
    cr_assert_eq(RUN("up", "--config", path, "--check"), EXIT_USAGE);
    cr_assert(strstr(err, "c.yml:11: unexpected key: sesions"), "%s", err);
    write_config(path, "  sessions: 0\n");
    cr_assert_eq(RUN("up", "--config", path, "--check"), EXIT_USAGE);
    write_config(path, "nosuch:\n  sessions: 5\n");
    cr_assert_eq(RUN("up", "--config", path, "--check"), EXIT_USAGE);
    cr_assert_eq(RUN("init", "--config", path), EXIT_USAGE);
}

Test(command, a_suite_runs_from_a_file_reloads_it_and_drains)
{
    char path[100], line[JOIN_PASTE_MAX];
    char *argv[] = {"natterjack", "up", "--config", path, NULL};
    int fd[2];

    snprintf(path, sizeof path, "%s/c.yml", top);
    write_config(path, "  sessions: 5\ncommon:\n  log-level: warn\n");
    cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
    up_pid = spawn(argv, fd[1], STDERR_FILENO);
    close(fd[1]);
    up_out = fd[0];
    read_join(line);
    cr_assert_eq(RUN("state", "coordinator", "--state", state, "-o", "json"), EXIT_OK);
    json_t *v = parse_out();
    cr_assert_eq(json_integer_value(json_object_get(v, "sessions_max")), 5);
    json_decref(v);
    cr_assert_eq(RUN("loglevel", "debug", "--state", state), EXIT_OK, "%s%s", out, err);
    cr_assert_eq(RUN("loglevel", "loud", "--state", state), EXIT_FAILED);
    cr_assert(strstr(out, "the levels are debug, info and warn"), "%s", out);
    cr_assert_eq(RUN("reload", "--state", state, "-o", "json"), EXIT_OK);
    v = parse_out();
    cr_assert(json_is_true(json_object_get(v, "ok")));
    json_decref(v);
    kill(up_pid, SIGHUP);
    cr_assert_eq(RUN("health", "--state", state), EXIT_OK, "HUP is no reason to end");
    cr_assert_eq(RUN("drain", "--state", state), EXIT_OK, "%s%s", out, err);
    cr_assert_eq(exit_status(up_pid), EXIT_OK);
    up_pid = 0;
}

Test(command, a_join_string_may_come_from_a_private_file_that_the_environment_names)
{
    char path[100];

    snprintf(path, sizeof path, "%s/join", top);
    setenv("NATTERJACK_JOIN_FILE", path, 1);
    cr_assert_eq(RUN("netcheck"), EXIT_USAGE);
    cr_assert(strstr(err, "mode 0600"), "there is none: %s", err);
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs("nonsense\n", f) >= 0 && fclose(f) == 0);
    cr_assert_eq(chmod(path, 0644), 0);
    cr_assert_eq(RUN("netcheck"), EXIT_USAGE);
    cr_assert(strstr(err, "mode 0600"), "%s", err);
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(RUN("netcheck"), EXIT_USAGE);
    cr_assert(strstr(err, "the join string"), "%s", err);
    cr_assert_eq(RUN("netcheck", "--join", "other"), EXIT_USAGE);
    cr_assert(strstr(err, "the join string"), "a flag wins: %s", err);
}
