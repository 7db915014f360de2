/*
 * test_cage.c - what is left to a process that a stranger has taken over: the running programs are made to
 * call what they may not, by ptrace; and lib/cage.h in children of the test.
 */
#include "lib/cage.h"
#include "lib/keys.h"
#include "tests/lib/child.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_S = 20, LINE = 2048 };

static char dir[] = "/tmp/test_cage.XXXXXX";
static char join[LINE];
static pid_t up_pid, peer_pid;

static void setup(void) { cr_assert(mkdtemp(dir)); }

static void end(pid_t pid)
{
    if (pid > 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
}

static void teardown(void)
{
    char command[64];

    end(peer_pid);
    end(up_pid);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
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

enum { PORTS = 5 };

/* Free ones; all are held while choosing, so that they differ. */
static void free_ports(char text[PORTS][8])
{
    int fd[PORTS];

    for (int i = 0; i < PORTS; i++) {
        struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof sa;
        fd[i] = socket(AF_INET, i < 3 ? SOCK_DGRAM : SOCK_STREAM, 0);
        cr_assert_eq(bind(fd[i], (struct sockaddr *)&sa, sizeof sa), 0);
        cr_assert_eq(getsockname(fd[i], (struct sockaddr *)&sa, &len), 0);
        snprintf(text[i], sizeof text[i], "%u", ntohs(sa.sin_port));
    }
    for (int i = 0; i < PORTS; i++)
        close(fd[i]);
}

static void start_up(void)
{
    char state[64], port[PORTS][8];

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

/* A number of /proc/PID/status; -1 when it has none. */
static long status_of(pid_t pid, const char *field)
{
    char path[64], line[256];
    long n = -1;

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
            n = strtol(line + strlen(field) + 1, NULL, strncmp(field, "Seccomp", 7) == 0 ? 10 : 16);
    if (f)
        fclose(f);
    return n;
}

/* Until the process is there and caged, not only as what `up` starts is. */
static pid_t wait_caged(const char *name)
{
    time_t end_s = time(NULL) + PATIENCE_S;
    pid_t pid;

    while ((pid = process(name)) == 0 || status_of(pid, "Seccomp_filters") != 2) {
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

#if defined __x86_64__ && !defined UNCAGED
/* Have the process make a system call in place of the one that it sleeps in; the signal that ends it, or 0. */
static int make_call(pid_t pid, const long call[4])
{
    struct user_regs_struct was, r;
    int status;

    cr_assert_eq(ptrace(PTRACE_SEIZE, pid, NULL, PTRACE_O_TRACESYSGOOD), 0, "%s", strerror(errno));
    do { /* until it is met in a call */
        ptrace(PTRACE_INTERRUPT, pid, NULL, NULL);
        cr_assert_eq(waitpid(pid, &status, __WALL), pid);
        cr_assert(WIFSTOPPED(status));
        cr_assert_eq(ptrace(PTRACE_GETREGS, pid, NULL, &was), 0);
        if ((long)was.orig_rax == -1L)
            cr_assert_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
    } while ((long)was.orig_rax == -1L);
    r = was;
    r.rip -= 2; /* the instruction itself, again */
    r.orig_rax = (unsigned long)-1L;
    r.rax = (unsigned long)call[0];
    r.rdi = (unsigned long)call[1], r.rsi = (unsigned long)call[2], r.rdx = (unsigned long)call[3];
    cr_assert_eq(ptrace(PTRACE_SETREGS, pid, NULL, &r), 0);
    for (int stops = 0; stops < 2;) { /* as it enters and as it leaves */
        cr_assert_eq(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        cr_assert_eq(waitpid(pid, &status, __WALL), pid);
        cr_assert(WIFSTOPPED(status));
        stops += WSTOPSIG(status) == (SIGTRAP | 0x80);
    }
    bool deadly = status_of(pid, "SigPnd") & 1L << (SIGSYS - 1);
    was.rax = (unsigned long)-EINTR; /* what it slept in was interrupted */
    was.orig_rax = (unsigned long)-1L;
    cr_assert_eq(ptrace(PTRACE_SETREGS, pid, NULL, &was), 0);
    if (!deadly) {
        cr_assert_eq(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
        return 0;
    }
    cr_assert_eq(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
    cr_assert_eq(waitpid(pid, &status, __WALL), pid);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

static const long execs[] = {SYS_execve, 0, 0, 0}, traces[] = {SYS_ptrace, PTRACE_TRACEME, 0, 0},
                  packets[] = {SYS_socket, AF_PACKET, SOCK_RAW, 0},
                  inets[] = {SYS_socket, AF_INET, SOCK_STREAM, 0}, kills[] = {SYS_kill, 1, 0, 0},
                  asks[] = {SYS_getpid, 0, 0, 0};
#define CAN_CALL 1
#else
#define CAN_CALL 0
#endif

static void expect_death(const char *name)
{
#if CAN_CALL
    const long *const forbidden[] = {execs, traces, packets, inets, kills};

    cr_assert_eq(make_call(wait_caged(name), asks), 0, "%s survives what it may call", name);
    for (size_t i = 0; i < sizeof forbidden / sizeof *forbidden; i++)
        cr_assert_eq(make_call(wait_caged(name), forbidden[i]), SIGSYS, "%s, call %ld(%ld)", name,
                     forbidden[i][0], forbidden[i][1]);
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
        cr_assert_eq(status_of(pid, "NoNewPrivs"), 1, "%s", names[i]);
        cr_assert_eq(status_of(pid, "CapEff"), 0, "%s", names[i]);
        cr_assert_eq(status_of(pid, "CapPrm"), 0, "%s", names[i]);
        cr_assert_eq(prlimit(pid, RLIMIT_CORE, NULL, &core), 0);
        cr_assert_eq(core.rlim_max, 0, "%s", names[i]);
    }
    cr_assert_eq(status_of(up_pid, "Seccomp"), 2);
    cr_assert_eq(status_of(up_pid, "NoNewPrivs"), 1);
#if CAN_CALL
    cr_assert_eq(make_call(up_pid, packets), SIGSYS);
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
    cr_assert_eq(status_of(peer_pid, "Seccomp"), 0);
    start_peer("--echo", NULL);
    cr_assert_eq(status_of(peer_pid, "Seccomp"), 2);
#if CAN_CALL
    cr_assert_eq(make_call(peer_pid, inets), 0, "it opens sockets as long as it runs");
    cr_assert_eq(make_call(peer_pid, execs), SIGSYS);
#endif
}

/* ---- files and ports, in a child of the test ---------------------------------------------------- */

static int bind_tcp(uint16_t port)
{
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    return bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 ? 0 : errno;
}

static int bind_unix(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    return bind(fd, (struct sockaddr *)&sa, sizeof sa) == 0 ? 0 : errno;
}

static int open_file(const char *path, int flags)
{
    int fd = open(path, flags, 0600);

    return fd >= 0 ? 0 : errno;
}

static const char *in(const char *name)
{
    static char path[8][96];
    static int n;
    char *p = path[n++ % 8];

    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static void try_files(void *arg)
{
    char bus[64], list[64], store[64];

    (void)arg;
    snprintf(bus, sizeof bus, "%s/bus", dir);
    snprintf(list, sizeof list, "%s/conf/list", dir);
    snprintf(store, sizeof store, "%s/db/store", dir);
    const struct cage_path paths[] = {
        {bus,   CAGE_SOCKETS },
        {list,  CAGE_READS   },
        {store, CAGE_DATABASE},
        {NULL,  CAGE_READS   },
    };
    cage_files(&(struct cage_plan){
        .paths = paths, .n_paths = 4, .listens = {0, 23440},
                .n_listens = 2
    });
    cr_assert_eq(open_file("/etc/passwd", O_RDONLY), EACCES);
    cr_assert_eq(open_file(in("key"), O_RDONLY), EACCES);
    cr_assert_eq(open_file(in("new"), O_WRONLY | O_CREAT), EACCES);
    cr_assert_eq(open_file(list, O_RDONLY), 0);
    cr_assert_eq(open_file(list, O_WRONLY), EACCES);
    cr_assert_eq(open_file(store, O_RDONLY), EACCES, "its descriptor is open already");
    cr_assert_eq(unlink(store), 0);
    cr_assert_eq(bind_unix(in("bus/one")), 0);
    cr_assert_eq(bind_unix(in("two")), EACCES);
    cr_assert_eq(unlink(in("bus/one")), 0);
    cr_assert_eq(unlink(in("key")), -1);
    cr_assert_eq(bind_tcp(0), 0);
    cr_assert_eq(bind_tcp(23440), 0);
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) >= 4)
        cr_assert_eq(bind_tcp(23441), EACCES);
    execl("/bin/true", "true", (char *)NULL);
    cr_assert_eq(errno, EACCES);
}

static void make(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    cr_assert_geq(fd, 0);
    close(fd);
}

Test(cage, files_and_ports_that_are_not_in_the_plan_are_closed)
{
    struct child c;

    CAGED_ONLY();
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1)
        cr_skip_test("this kernel has no Landlock");
    cr_assert_eq(mkdir(in("bus"), 0700), 0);
    cr_assert_eq(mkdir(in("conf"), 0700), 0);
    cr_assert_eq(mkdir(in("db"), 0700), 0);
    make(in("key")), make(in("conf/list")), make(in("db/store"));
    cr_assert_eq(child_run(&c, try_files, NULL), 0, "%s", c.err);
    cr_assert(strstr(c.err, "event=caged files=landlock"), "%s", c.err);
}

/* ---- configuration, keys, users ------------------------------------------------------------------ */

static int classifier(const char *flag, const char *value, char line[LINE])
{
    char command[256];

    cr_assert(mkdir(in("bus"), 0700) == 0 || errno == EEXIST);
    snprintf(command, sizeof command, BIN_DIR "/natterjack-classifier --bus %s %s %s 2>&1",
             in("bus"), flag, value);
    FILE *f = popen(command, "r");
    *line = '\0';
    for (size_t n; (n = strlen(line)) < LINE - 1 && fgets(line + n, (int)(LINE - n), f);)
        ;
    int status = pclose(f);
    return WEXITSTATUS(status);
}

Test(cage, what_cannot_be_done_is_said_in_one_line_and_ends_the_start)
{
    char line[LINE];

    cr_assert_eq(classifier("--cage", "bogus", line), 2);
    cr_assert(strstr(line, "auto, required or off"), "%s", line);
    cr_assert_eq(classifier("--user", "no-such-user", line), 1);
    cr_assert(strstr(line, "event=no_user user=no-such-user"), "%s", line);
#ifdef UNCAGED
    cr_assert_eq(classifier("--cage", "required", line), 1);
    cr_assert(strstr(line, "event=no_cage"), "%s", line);
#endif
}

Test(cage, a_key_of_another_user_is_refused)
{
    uint8_t key[32] = {1};

    if (geteuid() != 0)
        cr_skip_test("only root can give files away");
    cr_assert(key_save(in("key"), key, sizeof key, 0600));
    cr_assert(key_load(in("key"), key, sizeof key));
    cr_assert_eq(chown(in("key"), 12345, 0), 0);
    cr_assert(!key_load(in("key"), key, sizeof key));
    cr_assert_eq(errno, EPERM);
    cr_assert(strstr(key_problem(errno), "owner"));
}
