/* spin.c - see spin.h. */
#include "tests/bench/spin.h"

#include "lib/log.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CALIBRATE_US = 50 * 1000, USUAL_OF = 1024 };

static volatile uint64_t *lost_ns; /* by interruptions, since it was started */
static pid_t pid;

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* The usual time between two looks is the least of the last so many. */
_Noreturn static void spin(void)
{
    uint64_t usual = UINT64_MAX, least = UINT64_MAX;

    raise(SIGSTOP);
    uint64_t last = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    for (unsigned i = 1;; i++) {
        uint64_t now = clock_ns(CLOCK_THREAD_CPUTIME_ID), gap = now - last;
        last = now;
        least = gap < least ? gap : least;
        if (usual != UINT64_MAX && gap > 2 * usual)
            *lost_ns += gap - usual;
        if (i % USUAL_OF != 0)
            continue;
        usual = least;
        least = UINT64_MAX;
    }
}

void spin_open(const struct rooms *rooms)
{
    pid_t parent = getpid();
    int status;

    lost_ns =
        mmap(NULL, sizeof *lost_ns, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (lost_ns == MAP_FAILED)
        die("event=no_memory");
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        rooms_enter_server(rooms);
        spin();
    }
    if (pid < 0 || waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status))
        die("event=no_server name=spin");
}

/* What is lost of a nanosecond anyway. */
static double usually_lost(void)
{
    uint64_t ns = server_cpu_ns(pid), lost = *lost_ns;

    usleep(CALIBRATE_US);
    uint64_t used = server_cpu_ns(pid) - ns;
    return used > 0 ? (double)(*lost_ns - lost) / (double)used : 0;
}

struct load_result spin_run(const struct load *l)
{
    kill(pid, SIGCONT);
    double usual = usually_lost();
    uint64_t ns = server_cpu_ns(pid), lost = *lost_ns;
    struct load_result r = load_run(l, pid);
    double used = (double)(server_cpu_ns(pid) - ns),
           more = (double)(*lost_ns - lost) - usual * used;
    kill(pid, SIGSTOP);
    if (r.received > 0)
        r.cpu_ns = (more > 0 ? more : 0) / (double)r.received;
    return r;
}
