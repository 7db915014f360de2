/*
 * test_natlab_program.c - the laboratory as a program: what it tells, how it is changed and ended, and that nothing stays
 * behind.
 *
 * Needs root and /dev/net/tun, and says so by failing.  All traffic stays inside the labs.
 */
#include "tests/lib/lab_bed.h"
#include "tests/natlab/control.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

TestSuite(natlab_program, .timeout = 40);

/* ---- the lab as a program ---- */

static bool state_has(const char *part)
{
    char *state = lab_state(&bed_lab);

    cr_assert(state);
    bool found = strstr(state, part) != NULL;
    free(state);
    return found;
}

Test(natlab_program, counts_who_sent_to_whom_and_tells_its_nat_tables)
{
    bed_start(ARGS("--delay", "2ms", PUB, "alice=ei/preserve/apd", "bob=ei/preserve/apd"));
    int server = bed_udp("pub", 7000), alice = bed_udp("alice", 5000);
    bed_say(alice, "203.0.113.10:7000", "a");
    bed_hear(server, SOON);
    cr_assert(state_has("{\"type\":\"mapping\",\"nat\":\"alice\",\"proto\":\"udp\",\"internal\":"
                        "\"10.2.0.2:5000\",\"external\":\"198.51.100.10:5000\",\"remote\":null,"
                        "\"remotes\":[\"203.0.113.10:7000\"]"));
    cr_assert(state_has("\"from\":\"alice\",\"to\":\"pub\",\"sent\":1,\"sent_udp\":1,"
                        "\"delivered\":1,\"delivered_udp\":1}"));
    cr_assert_not(state_has("\"from\":\"alice\",\"to\":\"bob\""));
    bed_say(alice, "198.51.100.11:5000", "a");
    while (!state_has("\"from\":\"alice\",\"to\":\"bob\",\"sent\":1,\"sent_udp\":1,"
                      "\"delivered\":0,"))
        usleep(1000);
    lab_stop(&bed_lab);
}

Test(natlab_program, links_and_nats_change_at_run_time)
{
    bed_start(ARGS("--delay", "2ms", PUB, "alice=ei/random/apd"));
    int server = bed_udp("pub", 7000), alice = bed_udp("alice", 5000);
    bed_say(alice, "203.0.113.10:7000", "a");
    char *before = strdup(bed_hear(server, SOON));
    cr_assert(lab_set(&bed_lab, "alice", "loss=100%"));
    bed_say(alice, "203.0.113.10:7000", "b");
    cr_assert_str_eq(bed_hear(server, NEVER), "");
    cr_assert(lab_set(&bed_lab, "alice", "loss=0"));
    cr_assert(lab_set(&bed_lab, "alice", "flush=now"));
    bed_say(alice, "203.0.113.10:7000", "a");
    const char *after = bed_hear(server, SOON);
    cr_assert(after[0] != '\0' && strcmp(after, before) != 0);
    cr_assert(lab_set(&bed_lab, "alice", "udp=blocked"));
    bed_say(alice, "203.0.113.10:7000", "c");
    cr_assert_str_eq(bed_hear(server, NEVER), "");
    cr_assert_not(lab_set(&bed_lab, "alice", "loss=much"));
    cr_assert_not(lab_set(&bed_lab, "nobody", "loss=0"));
    free(before);
    lab_stop(&bed_lab);
}

Test(natlab_program, two_labs_with_the_same_hosts_do_not_meet)
{
    struct lab first;

    bed_start(ARGS(PUB, "alice=linux"));
    int server1 = bed_udp("pub", 7000), alice1 = bed_udp("alice", 5000);
    first = bed_lab;
    bed_start(ARGS(PUB, "alice=linux"));
    int server2 = bed_udp("pub", 7000), alice2 = bed_udp("alice", 5000);
    bed_say(alice1, "203.0.113.10:7000", "one");
    bed_say(alice2, "203.0.113.10:7000", "two");
    cr_assert_str_eq(bed_hear(server1, SOON), "198.51.100.10:5000 one");
    cr_assert_str_eq(bed_hear(server2, SOON), "198.51.100.10:5000 two");
    cr_assert_str_eq(bed_hear(server1, NEVER), "");
    lab_stop(&bed_lab);
    lab_stop(&first);
}

static int run_natlab(const char *const *args)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        execv(BIN_DIR "/natlab", (char **)(uintptr_t)args);
        _exit(127);
    }
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(natlab_program, a_command_runs_in_the_lab_and_its_status_is_the_labs)
{
    cr_assert_eq(
        run_natlab(ARGS("natlab", "--delay", "2ms", PUB, "alice=ad/random/ad", "--", "sh", "-c",
                        "natlab exec alice ip -4 addr | grep -q 10.2.0.2 && "
                        "natlab exec pub sh -c 'exit 3'; "
                        "test $? = 3 && natlab nat | grep -q '\"type\":\"net\"' && exit 7")),
        7);
    cr_assert_eq(run_natlab(ARGS("natlab", "alice=nonsense")), 2);
    cr_assert_eq(run_natlab(ARGS("natlab", "alice=open", "alice=open")), 2);
    cr_assert_eq(run_natlab(ARGS("natlab", "a=open,ip=192.0.2.1", "b=open,ip=192.0.2.1")), 2);
    cr_assert_eq(run_natlab(ARGS("natlab", "exec", "--lab", "no-such-lab", "a", "true")), 1);
}

/* ---- nothing stays behind ---- */

static bool in_namespace(const char *pid, const char *which, ino_t inode)
{
    char path[300];
    struct stat st;

    snprintf(path, sizeof path, "/proc/%s/ns/%s", pid, which);
    return stat(path, &st) == 0 && st.st_ino == inode;
}

static int processes_in(ino_t net, ino_t pids)
{
    DIR *d = opendir("/proc");
    int n = 0;

    for (struct dirent *e; (e = readdir(d)) != NULL;)
        if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
            n += in_namespace(e->d_name, "net", net) || in_namespace(e->d_name, "pid", pids);
    closedir(d);
    return n;
}

static ino_t inode_of(int fd)
{
    struct stat st;

    cr_assert_eq(fstat(fd, &st), 0);
    close(fd);
    return st.st_ino;
}

static bool socket_exists(const char *name)
{
    FILE *f = fopen("/proc/net/unix", "r");
    char line[512], want[96];
    bool found = false;

    snprintf(want, sizeof want, "@natlab/%s\n", name);
    while (fgets(line, sizeof line, f) != NULL)
        found |= strstr(line, want) != NULL;
    fclose(f);
    return found;
}

/* A lab with a daemon that has left its session, as a service would; then end it from outside. */
static void expect_nothing_left(pid_t victim)
{
    int fds[CONTROL_FDS];
    char error[CONTROL_TEXT_MAX];
    struct sockaddr_in to = bed_sockaddr("203.0.113.10:1");
    pid_t daemon = lab_spawn(&bed_lab, "alice", -1,
                             ARGS("sh", "-c", "setsid sh -c 'sleep 1000 & sleep 1000' &"));

    waitpid(daemon, NULL, 0);
    cr_assert(control_ask(bed_lab.name, "exec alice", fds, error));
    ino_t net = inode_of(fds[0]), pids = inode_of(fds[1]);
    while (processes_in(net, pids) < 4) /* the engine, sh and two sleeps */
        usleep(1000);
    cr_assert(socket_exists(bed_lab.name));
    int probe = bed_udp("alice", 0);
    cr_assert_eq(kill(victim, SIGKILL), 0);
    int64_t limit = bed_now_ms() + 5000;
    while ((processes_in(net, pids) > 0 || socket_exists(bed_lab.name)) && bed_now_ms() < limit)
        usleep(1000);
    cr_assert_eq(processes_in(net, pids), 0);
    cr_assert_not(socket_exists(bed_lab.name));
    /* Our own socket is all that still holds the namespace, and its TUN has gone. */
    cr_assert_lt(connect(probe, (struct sockaddr *)&to, sizeof to), 0);
    cr_assert_eq(errno, ENETUNREACH);
}

Test(natlab_program, killing_natlab_leaves_no_process_namespace_or_device)
{
    bed_start(ARGS(PUB, "alice=ei/preserve/ei", "bob=linux"));
    expect_nothing_left(bed_lab.pid);
    waitpid(bed_lab.pid, NULL, 0);
}

Test(natlab_program, ends_at_the_end_of_a_pipe_however_early_that_was)
{
    int fds[2];
    char text[16];

    cr_assert_eq(pipe(fds), 0);
    snprintf(text, sizeof text, "%d", fds[0]);
    close(fds[1]);
    cr_assert_eq(run_natlab(ARGS("natlab", "--outlive-parent", "--until-eof", text, "a=open")), 0);
    bed_start(ARGS("--outlive-parent", "a=open", "b=linux"));
    close(bed_lab.alive);
    cr_assert_eq(waitpid(bed_lab.pid, NULL, 0), bed_lab.pid);
}

Test(natlab_program, ends_though_the_parent_ignores_the_death_of_children)
{
    int fds[2], status;
    char text[16];

    cr_assert_eq(pipe(fds), 0);
    snprintf(text, sizeof text, "%d", fds[0]);
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[1]);
        signal(SIGCHLD, SIG_IGN);
        execl(BIN_DIR "/natlab", "natlab", "--until-eof", text, "a=open", (char *)NULL);
        _exit(127);
    }
    close(fds[1]);
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert_eq(WEXITSTATUS(status), 0);
}

Test(natlab_program, killing_who_started_natlab_ends_it_too)
{
    int name[2];

    cr_assert_eq(pipe(name), 0);
    pid_t starter = fork();
    if (starter == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        bool up = lab_start(&bed_lab, ARGS(PUB, "alice=ei/preserve/ei"));
        if (up && write(name[1], bed_lab.name, strlen(bed_lab.name)) > 0)
            pause();
        _exit(1);
    }
    memset(&bed_lab, 0, sizeof bed_lab);
    cr_assert_gt(read(name[0], bed_lab.name, sizeof bed_lab.name - 1), 0);
    expect_nothing_left(starter);
    waitpid(starter, NULL, 0);
}
