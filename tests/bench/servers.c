/* servers.c - see servers.h. */
#include "tests/bench/servers.h"

#include "lib/keys.h"
#include "lib/log.h"
#include "lib/service.h"
#include "lib/ticket.h"
#include "tests/lib/tidy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STARTED_MAX = 16, ARGS_MAX = 40, FILES = 30000 };

static const struct rooms *rooms;
static const char *bin_dir;
static char dir[64] = "/tmp/natterjack-bench.XXXXXX";
static pid_t started[STARTED_MAX];
static unsigned n_started;

static void save(const char *name, const void *key, size_t n)
{
    if (!key_save(tidy_path(dir, name), key, n, 0600))
        die("event=no_key path=%s why=\"%s\"", tidy_path(dir, name), strerror(errno));
}

void servers_open(const struct rooms *r, const char *bin, struct servers_keys *keys)
{
    uint8_t secret[32], sealed_to[32], public[32], cert[64] = {0}, sign_public[32], sign_secret[64];

    rooms = r;
    bin_dir = bin;
    if (!tidy_mkdtemp(dir) || mkdir(tidy_path(dir, "bus"), 0700) != 0)
        die("event=no_dir why=\"%s\"", strerror(errno));
    service_random_key(secret);
    ticket_secret(secret, ticket_period(service_wall_ms(), TICKET_PERIOD_MS), sealed_to);
    crypto_scalarmult_base(keys->relay_public, sealed_to);
    save("relay", secret, sizeof secret);
    save("cert", cert, sizeof cert);
    service_random_key(keys->coordinator_secret);
    crypto_scalarmult_base(public, keys->coordinator_secret);
    save("coordinator.pub", public, sizeof public);
    service_random_key(secret);
    crypto_sign_seed_keypair(sign_public, sign_secret, secret);
    save("prober", sign_secret, sizeof sign_secret);
}

void servers_close(void)
{
    for (unsigned i = 0; i < n_started; i++)
        kill(started[i], SIGKILL);
    for (unsigned i = 0; i < n_started; i++)
        waitpid(started[i], NULL, 0);
    tidy_remove(dir);
}

/* In the child: its room, its CPU, no output, files enough for one a session, and no life after ours. */
static void settle(pid_t parent)
{
    struct rlimit files = {FILES, FILES};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    rooms_enter_server(rooms);
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        getrlimit(RLIMIT_NOFILE, &files);
    dup2(null, STDIN_FILENO), dup2(null, STDOUT_FILENO), dup2(null, STDERR_FILENO);
}

static pid_t start(const char *const *argv)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        settle(parent);
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    if (pid < 0 || n_started == STARTED_MAX)
        die("event=no_server name=%s", argv[0]);
    return started[n_started++] = pid;
}

pid_t server_relay(unsigned sessions, unsigned workers, const char *xdp)
{
    char path[256], count[16], threads[16], port[16];

    snprintf(path, sizeof path, "%s/natterjack-relay", bin_dir);
    snprintf(count, sizeof count, "%u", sessions);
    snprintf(threads, sizeof threads, "%u", workers);
    snprintf(port, sizeof port, "%d", PORT_RELAY);
    return start((const char *const[]){path,
                                       "--bus",
                                       tidy_path(dir, "bus"),
                                       "--public-ip",
                                       "10.77.0.1",
                                       "--port",
                                       port,
                                       "--sessions",
                                       count,
                                       "--key",
                                       tidy_path(dir, "relay"),
                                       "--cert",
                                       tidy_path(dir, "cert"),
                                       "--coordinator-key",
                                       tidy_path(dir, "coordinator.pub"),
                                       "--workers",
                                       threads,
                                       "--xdp",
                                       xdp,
                                       NULL});
}

pid_t server_prober(const char *xdp)
{
    char path[256], port[16];

    snprintf(path, sizeof path, "%s/natterjack-prober", bin_dir);
    snprintf(port, sizeof port, "%d", PORT_PROBER);
    return start((const char *const[]){
        path, "--bus", tidy_path(dir, "bus"), "--public-ip", "10.77.0.1", "--port", port, "--key",
        tidy_path(dir, "prober"), "--cert", tidy_path(dir, "cert"), "--xdp", xdp, NULL});
}

/* One relay thread, as the others have; lives long enough not to be renewed; nothing but UDP. */
pid_t server_coturn(void)
{
    char port[16];

    snprintf(port, sizeof port, "%d", PORT_COTURN);
    return start((const char *const[]){"turnserver",
                                       "-n",
                                       "--no-auth",
                                       "--listening-ip",
                                       "10.77.0.1",
                                       "--relay-ip",
                                       "10.77.0.1",
                                       "--listening-port",
                                       port,
                                       "--relay-threads",
                                       "1",
                                       "--no-tcp",
                                       "--no-tls",
                                       "--no-dtls",
                                       "--no-tcp-relay",
                                       "--no-cli",
                                       "--no-multicast-peers",
                                       "--min-port",
                                       "10000",
                                       "--max-port",
                                       "65000",
                                       "--max-allocate-lifetime",
                                       "3600",
                                       "--channel-lifetime",
                                       "3600",
                                       "--permission-lifetime",
                                       "3600",
                                       "--realm",
                                       "bench",
                                       "--log-file",
                                       "/dev/null",
                                       "--simple-log",
                                       "--pidfile",
                                       tidy_path(dir, "turn.pid"),
                                       "--userdb",
                                       tidy_path(dir, "turndb"),
                                       NULL});
}

pid_t server_bare(enum bare_kind kind)
{
    pid_t parent = getpid(), pid = fork();

    if (pid == 0) {
        settle(parent);
        bare_serve(kind, (uint16_t)(PORT_BARE + kind));
    }
    if (pid < 0 || n_started == STARTED_MAX)
        die("event=no_server name=bare");
    return started[n_started++] = pid;
}

/* ---- accounting ---- */

/* The first field of a thread's schedstat: nanoseconds on a CPU. */
static uint64_t thread_ns(const char *path)
{
    uint64_t ns = 0;
    FILE *f = fopen(path, "re");

    if (f) {
        if (fscanf(f, "%" SCNu64, &ns) != 1)
            ns = 0;
        fclose(f);
    }
    return ns;
}

uint64_t server_cpu_ns(pid_t pid)
{
    char path[300];
    uint64_t sum = 0;
    struct dirent *e;

    if (pid == 0)
        return 0;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        die("event=server_gone pid=%d", pid);
    while ((e = readdir(tasks)) != NULL)
        if (e->d_name[0] != '.') {
            snprintf(path, sizeof path, "/proc/%d/task/%.20s/schedstat", pid, e->d_name);
            sum += thread_ns(path);
        }
    closedir(tasks);
    return sum;
}

static pid_t find_ksoftirqd(void)
{
    char path[300], name[32], want[32];
    DIR *proc = opendir("/proc");
    struct dirent *e;
    pid_t found = 0;

    snprintf(want, sizeof want, "ksoftirqd/%d\n", CPU_SERVER);
    while (proc && !found && (e = readdir(proc)) != NULL) {
        snprintf(path, sizeof path, "/proc/%.20s/comm", e->d_name);
        FILE *f = fopen(path, "re");
        if (!f)
            continue;
        if (fgets(name, sizeof name, f) && strcmp(name, want) == 0)
            found = atoi(e->d_name);
        fclose(f);
    }
    if (proc)
        closedir(proc);
    return found;
}

uint64_t softirq_ns(void)
{
    static pid_t pid;
    char path[64];

    if (pid == 0)
        pid = find_ksoftirqd();
    snprintf(path, sizeof path, "/proc/%d/schedstat", pid);
    uint64_t ns = thread_ns(path);
    snprintf(path, sizeof path, "/proc/%d/schedstat", rooms_server_thread());
    return rooms_server_thread() > 0 ? ns + thread_ns(path) : ns;
}

void server_stop(pid_t pid)
{
    for (unsigned i = 0; i < n_started; i++)
        if (started[i] == pid) {
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
            started[i] = started[--n_started];
            return;
        }
}

uint64_t server_memory(pid_t pid)
{
    char path[64];
    uint64_t all, resident = 0;

    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    FILE *f = fopen(path, "re");
    if (f) {
        if (fscanf(f, "%" SCNu64 " %" SCNu64, &all, &resident) != 2)
            resident = 0;
        fclose(f);
    }
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}
