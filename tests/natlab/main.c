/*
 * main.c - the command natlab: starts a lab, or speaks to one that runs.
 *
 * A lab is two processes: this one, which its user sees and signals, and below it the engine, the first
 * process of a PID namespace.  Each ends when the other does, and the kernel ends the rest.
 */
#include "tests/natlab/control.h"
#include "tests/natlab/engine.h"
#include "tests/natlab/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { USAGE = 2 };

static int usage(FILE *to)
{
    fputs(
        "natlab - an internet in a box\n\n"
        "  natlab [OPTION...] HOST=KIND[,KEY=VALUE...]... [-- COMMAND ARG...]\n"
        "  natlab exec [--lab LAB] HOST COMMAND ARG...   run a program on a host\n"
        "  natlab nat  [--lab LAB]                       NAT tables and packet counts, JSON lines\n"
        "  natlab set  [--lab LAB] HOST KEY=VALUE        change a link or NAT; flush=now empties "
        "it,\n"
        "                                                renumber=now gives it its next address "
        "too\n\n"
        "With COMMAND the lab lasts as long as it, and ends with its status; else until a signal.\n"
        "LAB is what the lab said when it was ready, by default $NATLAB, which COMMAND has.\n\n"
        "KIND: open | firewall | linux | linux-random | linux-open\n"
        "      MAPPING/ALLOCATION/FILTERING, as in apd/random/ei: ei, ad or apd;\n"
        "      preserve, contiguous or random; ei, ad or apd (RFC 4787)\n"
        "      KIND@HOST: behind HOST's NAT, as a household behind its carrier's\n"
        "      @HOST: on HOST's LAN, with no NAT of its own\n\n"
        "OPTION, before the hosts:\n"
        "    --delay D         one way between two hosts; each line has half of it\n"
        "    --jitter D        at most this much more between two hosts; each line has half of it\n"
        "    --loss P          each way between two hosts; each line loses 1 - sqrt(1 - P)\n"
        "    --seed N          of all randomness\n"
        "    --name LAB        instead of the process id\n"
        "    --ready-fd N      where LAB is written when all is up\n"
        "    --state FILE      what 'natlab nat' says, at the end\n"
        "    --pcap FILE       all packets as pcapng, an interface for each host\n"
        "    --until-eof N     end at the end of this descriptor\n"
        "    --outlive-parent  do not end with the process that started the lab\n\n"
        "KEY:\n",
        to);
    spec_help(to);
    return to == stdout ? 0 : USAGE;
}

static int exit_status(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* A /proc of the PID namespace.  Where that is not allowed, the old one serves for nearly everything. */
static void own_proc(void)
{
    if (unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0)
        (void)!mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/*
 * Fork into the PID namespace that setns or unshare chose, and have later children in our own again:
 * when that namespace has died, none could be made in it.
 */
static pid_t fork_into_chosen(int own)
{
    pid_t pid = fork();

    if (pid != 0)
        setns(own, CLONE_NEWPID);
    close(own);
    return pid;
}

static int own_pids(void) { return open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC); }

/* Pass signals on until the child is gone. */
static int supervise(pid_t child)
{
    sigset_t set = engine_signals();
    int status;

    while (waitpid(child, &status, WNOHANG) != child) {
        int sig = sigwaitinfo(&set, NULL);
        if (sig > 0 && sig != SIGCHLD)
            kill(child, sig);
    }
    return exit_status(status);
}

/* ---- a lab ---- */

static int engine_main(struct spec *spec, int parent)
{
    struct engine *e = malloc(sizeof *e);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    own_proc();
    if (e == NULL || !engine_open(e, spec, parent))
        return EXIT_FAILURE;
    return engine_run(e);
}

/* What COMMAND finds in its environment.  Once in another mount namespace we can't tell where we are. */
static void set_environment(const char *lab)
{
    char exe[2048] = "", path[4096];
    const char *before = getenv("PATH");

    setenv("NATLAB", lab, 1);
    if (readlink("/proc/self/exe", exe, sizeof exe - 1) <= 0 || strrchr(exe, '/') == NULL)
        return;
    *strrchr(exe, '/') = '\0';
    snprintf(path, sizeof path, "%s:%s", exe, before != NULL ? before : "/usr/bin:/bin");
    setenv("PATH", path, 1);
}

static int run_lab(int argc, char **argv)
{
    static struct spec spec;
    char error[256];
    int parent[2];
    sigset_t set = engine_signals();

    if (!spec_parse(&spec, argc, argv, error, sizeof error)) {
        fprintf(stderr, "natlab: %s; see natlab help\n", error);
        return USAGE;
    }
    /* Who dies before this is not noticed; who can't wait for us to be ready has --until-eof. */
    pid_t before = getppid();
    if (!spec.outlive_parent && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != before))
        return EXIT_FAILURE;
    set_environment(spec.name);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int own = own_pids();
    if (own < 0 || pipe2(parent, O_CLOEXEC) != 0 || unshare(CLONE_NEWPID) != 0) {
        fprintf(stderr, "natlab: needs root: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    pid_t engine = fork_into_chosen(own);
    if (engine == 0) {
        close(parent[1]);
        _exit(engine_main(&spec, parent[0]));
    }
    close(parent[0]);
    if (engine < 0)
        return EXIT_FAILURE;
    if (spec.ready_fd >= 0)
        close(spec.ready_fd);
    return supervise(engine);
}

/* ---- the verbs ---- */

/* Take --lab LAB off the arguments; NULL if there is no lab to speak to. */
static const char *which_lab(int *argc, char ***argv)
{
    const char *lab = getenv("NATLAB");

    if (*argc >= 2 && strcmp((*argv)[0], "--lab") == 0) {
        lab = (*argv)[1];
        *argc -= 2;
        *argv += 2;
    }
    return lab;
}

static bool ask(const char *lab, const char *request, int fds[CONTROL_FDS])
{
    char error[CONTROL_TEXT_MAX];
    bool ok = control_ask(lab, request, fds, error);

    if (!ok)
        fprintf(stderr, "natlab: %s\n", error);
    return ok;
}

static bool same_namespace(const char *mine, int theirs)
{
    struct stat a, b;

    return stat(mine, &a) == 0 && fstat(theirs, &b) == 0 && a.st_ino == b.st_ino;
}

static int execute(int space, char **command)
{
    sigset_t none;

    if (!netns_enter(space)) {
        fprintf(stderr, "natlab: can't enter the host: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execvp(command[0], command);
    fprintf(stderr, "natlab: %s: %s\n", command[0], strerror(errno));
    return 127;
}

static int exec_verb(const char *lab, int argc, char **argv)
{
    char request[CONTROL_TEXT_MAX];
    int fds[CONTROL_FDS];
    sigset_t set = engine_signals();

    if (argc < 2)
        return usage(stderr);
    snprintf(request, sizeof request, "exec %s", argv[0]);
    if (!ask(lab, request, fds))
        return EXIT_FAILURE;
    if (same_namespace("/proc/self/ns/pid", fds[1]))
        return execute(fds[0], argv + 1);
    /* From outside the lab: below the lab's first process, to end with it, and with us. */
    sigprocmask(SIG_BLOCK, &set, NULL);
    int own = own_pids();
    if (own < 0 || setns(fds[1], CLONE_NEWPID) != 0) {
        fprintf(stderr, "natlab: can't enter the lab: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    pid_t child = fork_into_chosen(own);
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        own_proc();
        _exit(execute(fds[0], argv + 1));
    }
    return child < 0 ? EXIT_FAILURE : supervise(child);
}

static int nat_verb(const char *lab)
{
    int fds[CONTROL_FDS];
    char buf[4096];

    if (!ask(lab, "nat", fds))
        return EXIT_FAILURE;
    for (ssize_t n; (n = read(fds[0], buf, sizeof buf)) > 0;)
        fwrite(buf, 1, (size_t)n, stdout);
    return ferror(stdout) ? EXIT_FAILURE : 0;
}

static int set_verb(const char *lab, int argc, char **argv)
{
    char request[CONTROL_TEXT_MAX];
    int fds[CONTROL_FDS];

    if (argc != 2)
        return usage(stderr);
    snprintf(request, sizeof request, "set %s %s", argv[0], argv[1]);
    return ask(lab, request, fds) ? 0 : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "help";

    /* Where the parent ignores it, the death of a child would go unnoticed. */
    signal(SIGCHLD, SIG_DFL);

    if (strcmp(verb, "help") == 0 || strcmp(verb, "--help") == 0)
        return usage(stdout);
    if (strcmp(verb, "exec") != 0 && strcmp(verb, "nat") != 0 && strcmp(verb, "set") != 0)
        return run_lab(argc, argv);
    argc -= 2;
    argv += 2;
    const char *lab = which_lab(&argc, &argv);
    if (lab == NULL) {
        fputs("natlab: which lab? give --lab LAB or set NATLAB\n", stderr);
        return USAGE;
    }
    if (strcmp(verb, "exec") == 0)
        return exec_verb(lab, argc, argv);
    return strcmp(verb, "nat") == 0 ? nat_verb(lab) : set_verb(lab, argc, argv);
}
