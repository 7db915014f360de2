/*
 * test_cage.c - what is left to a process that a stranger has taken over: the running programs are made to
 * call what they may not, by ptrace.  What lib/cage.h does of itself is in test_cage_files.c.
 */
#include "lib/admin.h"
#include "tests/lib/made_call.h"
#include "tests/lib/ports.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 20, LINE = 2048 };

static char dir[] = "/tmp/test_cage.XXXXXX";
static char join[LINE];
static pid_t up_pid, peer_pid;

static void setup(void) { cr_assert(tidy_mkdtemp(dir)); }

static void end(pid_t pid)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

static void teardown(void)
{
    end(peer_pid);
    end(up_pid);
    tidy_remove(dir);
}

TestSuite(cage, .init = setup, .fini = teardown, .timeout = 60);

/* ---- running programs --------------------------------------------------------------------------- */

/* Start a program; its first line of output is in line, and its log in the file "log". */
static pid_t spawn(const char *const *argv, char line[LINE])
{
    int fd[2];
    char log[64];

    snprintf(log, sizeof log, "%s/log", dir);
    cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(fd[1], STDOUT_FILENO);
        dup2(open(log, O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
        execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(fd[1]);
    FILE *f = fdopen(fd[0], "r");
    cr_assert(fgets(line, LINE, f), "%s %s ended at once; see %s", argv[0], argv[1], log);
    line[strcspn(line, "\n")] = '\0';
    fclose(f);
    return pid;
}

static void start_up(void)
{
    char state[64], port[SUITE_PORTS][PORT_TEXT];

    free_ports(port);

    snprintf(state, sizeof state, "%s/s", dir);
    up_pid =
        spawn((const char *const[]){BIN_DIR "/natterjack", "up", "--state", state, "--prober-port",
                                    port[0], "--prober-alt-port", port[1], "--relay-port", port[2],
                                    "--front-port", port[3], "--enrol-port", port[4], NULL},
              join);
}

/* The child of `up` of this name; 0 when there is none now. */
static pid_t process(const char *name)
{
    char path[64], comm[32];
    int pid = 0;

    snprintf(path, sizeof path, "/proc/%d/task/%d/children", up_pid, up_pid);
    FILE *f = fopen(path, "re");
    while (f && fscanf(f, "%d", &pid) == 1) {
        snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
        FILE *g = fopen(path, "re");
        bool it =
            g && fgets(comm, sizeof comm, g) && strcmp(comm + strlen("natterjack-"), name) == 0;
        if (g)
            fclose(g);
        if (it)
            break;
        pid = 0;
    }
    if (f)
        fclose(f);
    return pid;
}

/* All of its threads have this there. */
static void expect_in_threads(pid_t pid, const char *field, long is, const char *name)
{
    char path[300];
    const struct dirent *e;
    unsigned n = 0;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *threads = opendir(path);
    cr_assert(threads);
    while ((e = readdir(threads)) != NULL) {
        snprintf(path, sizeof path, "/proc/%d/task/%s/status", pid, e->d_name);
        if (*e->d_name == '.')
            continue;
        n++;
        cr_assert_eq(proc_status_at(path, field), is, "%s of thread %s of %s", field, e->d_name,
                     name);
    }
    closedir(threads);
    cr_assert_gt(n, 1, "libzmq has threads");
}

/* Until the process is there and caged, not only as what `up` starts is. */
static pid_t wait_caged(const char *name)
{
    time_t end_s = time(NULL) + PATIENCE_S;
    pid_t pid;

    while ((pid = process(name)) == 0 || proc_status(pid, "Seccomp_filters") != 2) {
        cr_assert_lt(time(NULL), end_s, "%s is not there, or not caged", name);
        usleep(2000);
    }
    return pid;
}

#ifdef UNCAGED
#define CAGED_ONLY() cr_skip_test("a build for %s is not caged", UNCAGED)
#else
#define CAGED_ONLY() (void)0
#endif

#if MADE_CALLS && !defined UNCAGED

static const long execs[] = {SYS_execve, 0, 0, 0}, traces[] = {SYS_ptrace, PTRACE_TRACEME, 0, 0},
                  packets[] = {SYS_socket, AF_PACKET, SOCK_RAW, 0},
                  inets[] = {SYS_socket, AF_INET, SOCK_STREAM, 0}, kills[] = {SYS_kill, 1, 0, 0},
                  asks[] = {SYS_getpid, 0, 0, 0}, opens[] = {SYS_openat, AT_FDCWD, 0, O_RDONLY};
#define CAN_CALL 1
#else
#define CAN_CALL 0
#endif

static void expect_death(const char *name)
{
#if CAN_CALL
    const long *const forbidden[] = {execs, traces, packets, inets, kills};

    cr_assert_eq(made_call(wait_caged(name), asks, NULL, NULL), 0, "%s survives what it may call",
                 name);
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        cr_assert_eq(made_call(wait_caged(name), forbidden[i], NULL, NULL), SIGSYS,
                     "%s, call %ld(%ld)", name, forbidden[i][0], forbidden[i][1]);
    wait_caged(name); /* and `up` has it again */
#else
    (void)name;
#endif
}

Test(cage, a_service_that_calls_what_it_may_not_is_dead_and_up_starts_it_again)
{
    CAGED_ONLY();
    start_up();
    expect_death("prober");
    expect_death("classifier");
    expect_death("coordinator");
    expect_death("relay");
}

Test(cage, every_process_of_a_suite_is_caged_without_capabilities_and_leaves_no_core)
{
    static const char *const names[] = {"prober", "classifier", "coordinator", "relay"};
    struct rlimit core;

    CAGED_ONLY();
    start_up();
    for (size_t i = 0; i < 4; i++) {
        pid_t pid = wait_caged(names[i]);
        expect_in_threads(pid, "Seccomp", 2, names[i]);
        expect_in_threads(pid, "NoNewPrivs", 1, names[i]);
        expect_in_threads(pid, "CapEff", 0, names[i]);
        expect_in_threads(pid, "CapPrm", 0, names[i]);
        expect_in_threads(pid, "CapBnd", 0, names[i]);
        cr_assert_eq(prlimit(pid, RLIMIT_CORE, NULL, &core), 0);
        cr_assert_eq(core.rlim_max, 0, "%s", names[i]);
    }
    cr_assert_eq(proc_status(up_pid, "Seccomp"), 2);
    cr_assert_eq(proc_status(up_pid, "NoNewPrivs"), 1);
#if CAN_CALL
    cr_assert_eq(made_call(up_pid, packets, NULL, NULL), SIGSYS);
#endif
}

#if CAN_CALL
/* Of what the suite has and of what the host has: may the process open it to read? */
static long opening(pid_t pid, const char *file, const char *name)
{
    long result;

    cr_assert_eq(made_call(pid, opens, file, &result), 0, "%s survives it", name);
    return result;
}

static void expect_opens(const char *name, pid_t pid, bool caged)
{
    const char *const files[] = {"keys/authority", "keys/coordinator", "keys/prober", "keys/relay",
                                 "keys/token"};
    char path[128];

    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/s/%s", dir, files[i]);
        long fd = opening(pid, path, name);
        cr_assert(caged ? fd == -EACCES : fd >= 0, "%s, %s: %ld", name, path, fd);
    }
    long fd = opening(pid, "/etc/passwd", name);
    cr_assert(caged ? fd == -EACCES : fd >= 0, "%s: %ld", name, fd);
}

static void expect_all_open(bool caged)
{
    static const char *const names[] = {"prober", "classifier", "coordinator", "relay"};

    start_up();
    for (size_t i = 0; i < 4; i++) {
        pid_t pid = caged ? wait_caged(names[i]) : process(names[i]);
        cr_assert_gt(pid, 0);
        expect_opens(names[i], pid, caged);
    }
}
#endif

Test(cage, no_process_of_a_suite_opens_a_key_or_what_is_the_hosts)
{
    CAGED_ONLY();
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1)
        cr_skip_test("this kernel has no Landlock");
#if CAN_CALL
    expect_all_open(true);
#endif
}

/* So that the tests above see the cage and nothing else. */
Test(cage, without_it_they_open_all_that_and_live_through_every_call)
{
    setenv("NATTERJACK_COMMON_CAGE", "off", 1);
#if CAN_CALL
    expect_all_open(false);
    pid_t pid = process("relay");
    cr_assert_eq(proc_status(pid, "Seccomp"), 0);
    cr_assert_eq(made_call(pid, execs, NULL, NULL), 0);
    cr_assert_eq(made_call(pid, inets, NULL, NULL), 0);
#endif
}

/* A peer that listens, with this flag more. */
static void start_peer(const char *flag, const char *value)
{
    char key[64], line[LINE];

    end(peer_pid);
    snprintf(key, sizeof key, "%s/peer.key", dir);
    peer_pid = spawn((const char *const[]){BIN_DIR "/natterjack", "listen", "-o", "json", "--join",
                                           join, "--name", "bob", "--key", key, flag, value, NULL},
                     line);
    cr_assert(strstr(line, "listening"), "%s", line);
}

Test(cage, a_peer_starts_programs_only_when_its_user_said_so)
{
    CAGED_ONLY();
    start_up();
    start_peer("--exec-udp", "cat");
    cr_assert_eq(proc_status(peer_pid, "Seccomp"), 0);
    start_peer("--echo", NULL);
    expect_in_threads(peer_pid, "Seccomp", 2, "listen");
#if CAN_CALL
    cr_assert_eq(made_call(peer_pid, inets, NULL, NULL), 0, "it opens sockets as long as it runs");
    cr_assert_eq(made_call(peer_pid, execs, NULL, NULL), SIGSYS);
#endif
}

/* ---- secrets ------------------------------------------------------------------------------------ */

/* All of a file. */
static void slurp(const char *path, char *text, size_t cap)
{
    FILE *f = fopen(path, "re");
    size_t n = f ? fread(text, 1, cap - 1, f) : 0;

    text[n] = '\0';
    if (f)
        fclose(f);
}

static void expect_secret_nowhere(const char *key_file, const char *where, const char *text)
{
    char path[96], key[512];

    snprintf(path, sizeof path, "%s/%s", dir, key_file);
    slurp(path, key, sizeof key);
    key[strcspn(key, "\n")] = '\0';
    cr_assert_geq(strlen(key), 32, "%s is a secret", path);
    key[32] = '\0'; /* an Ed25519 key's second half is public */
    cr_assert_null(strcasestr(text, key), "%s is in %s", key_file, where);
}

Test(cage, no_secret_is_in_a_log_or_in_what_a_process_says_of_its_state)
{
    static const char *const names[] = {"prober", "classifier", "coordinator", "relay"};
    static const char *const keys[] = {"s/keys/authority", "s/keys/coordinator", "s/keys/prober",
                                       "s/keys/relay",     "s/keys/token",       "peer.key"};
    static char log[1 << 20];
    char path[96], err[256];

    setenv("NATTERJACK_COMMON_LOG_LEVEL", "debug", 1);
    start_up();
    start_peer("--echo", NULL);
    snprintf(path, sizeof path, "%s/log", dir);
    slurp(path, log, sizeof log);
    cr_assert(strstr(log, "event=message type=attach"), "the log says what happens");
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
        expect_secret_nowhere(keys[k], "the log", log);
    for (size_t i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/s/admin/%s", dir, names[i]);
        json_t *state = admin_ask(path, "state", PATIENCE_S * 1000, err, sizeof err);
        cr_assert(state, "%s", err);
        char *text = json_dumps(state, 0);
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            expect_secret_nowhere(keys[k], names[i], text);
        free(text);
        json_decref(state);
    }
}
