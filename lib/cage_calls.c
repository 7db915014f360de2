/* cage_calls.c - seccomp: which system calls a process can still make; see cage.h. */
#include "lib/cage_parts.h"
#include "lib/log.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TYPE_MASK = 0xf }; /* of a socket, without its flags */

/* clang-format off */

/*
 * What every service needs after its set-up: its loop, its memory, its threads that run already, the bus (whose
 * connections come and go), its admin socket, its log, its configuration again, its end.  Both forms of
 * what libc calls differently from version to version.
 */
static const int service_calls[] = {
    SCMP_SYS(read), SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(write), SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(lseek),
    SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select), SCMP_SYS(pselect6),
    SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait), SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2), SCMP_SYS(eventfd2),
    SCMP_SYS(timerfd_settime), SCMP_SYS(timerfd_gettime),
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock), SCMP_SYS(munlock),
    SCMP_SYS(futex), SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(sched_setscheduler), /* a thread of libzmq begins */
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(gettimeofday), SCMP_SYS(time),
    SCMP_SYS(nanosleep), SCMP_SYS(clock_nanosleep), SCMP_SYS(getrandom),
    SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
    SCMP_SYS(getegid), SCMP_SYS(uname), SCMP_SYS(sysinfo), SCMP_SYS(getrusage),
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn), SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall), SCMP_SYS(exit), SCMP_SYS(exit_group),
    SCMP_SYS(connect), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(shutdown), SCMP_SYS(sendto), SCMP_SYS(recvfrom),
    SCMP_SYS(sendmsg), SCMP_SYS(recvmsg), SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(getsockopt),
    SCMP_SYS(setsockopt), SCMP_SYS(fcntl),
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat), SCMP_SYS(newfstatat),
    SCMP_SYS(statx), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
    SCMP_SYS(readlinkat), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(rmdir), SCMP_SYS(getcwd),
};

/* Prober and relay take and send their packets many at a time. */
static const int batch_calls[] = {SCMP_SYS(recvmmsg), SCMP_SYS(sendmmsg)};

/* The coordinator's SQLite. */
static const int store_calls[] = {
    SCMP_SYS(pwrite64), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate), SCMP_SYS(fchmod), SCMP_SYS(fchown), SCMP_SYS(flock), SCMP_SYS(utimensat),
};

/* What no process of ours ever needs. */
static const int never_calls[] = {
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl),
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
    SCMP_SYS(chroot), SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen), SCMP_SYS(setns), SCMP_SYS(unshare),
    SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(acct), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime),
    SCMP_SYS(adjtimex), SCMP_SYS(clock_adjtime), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(quotactl),
    SCMP_SYS(open_by_handle_at), SCMP_SYS(personality),
};
/* What a service needs until it is caged itself. */
static const int start_calls[] = {SCMP_SYS(bpf), SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork)};
/* clang-format on */

struct list {
    const int *calls;
    size_t n;
};
#define LIST(array) \
    (struct list) { array, sizeof array / sizeof *array }

static void must(int rc, const char *what)
{
    if (rc != 0)
        die("event=no_cage what=\"%s\" why=\"%s\"", what, strerror(-rc));
}

static void add(scmp_filter_ctx f, uint32_t action, struct list l)
{
    for (size_t i = 0; i < l.n; i++)
        must(seccomp_rule_add(f, action, l.calls[i], 0), "a call");
}

/* Allow call only where argument arg, of its bits in mask, has this value. */
static void allow_if(scmp_filter_ctx f, int call, unsigned arg, uint64_t mask, uint64_t value)
{
    must(seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1,
                          SCMP_CMP64(arg, SCMP_CMP_MASKED_EQ, mask, value)),
         "an argument");
}

/* A connection to another host is made again when it broke; no datagrams, nothing raw. */
static void allow_links(scmp_filter_ctx f)
{
    static const uint64_t families[] = {AF_INET, AF_INET6};

    for (size_t i = 0; i < 2; i++)
        must(seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 2,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, families[i]),
                              SCMP_A1(SCMP_CMP_MASKED_EQ, TYPE_MASK, SOCK_STREAM)),
             "an argument");
}

static void allow_arguments(scmp_filter_ctx f)
{
    static const uint64_t requests[] = {TCGETS, FIONREAD, FIONBIO, SIOCGIFNAME};

    allow_if(f, SCMP_SYS(mmap), 2, PROT_EXEC, 0);
    allow_if(f, SCMP_SYS(mprotect), 2, PROT_EXEC, 0);
    allow_if(f, SCMP_SYS(socket), 0, UINT32_MAX, AF_UNIX);
    allow_if(f, SCMP_SYS(prctl), 0, UINT32_MAX, PR_SET_NAME);
    allow_if(f, SCMP_SYS(tgkill), 0, UINT32_MAX, (uint64_t)getpid()); /* abort */
    allow_if(f, SCMP_SYS(prlimit64), 2, UINT64_MAX, 0);               /* to ask */
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        allow_if(f, SCMP_SYS(ioctl), 1, UINT32_MAX, requests[i]);
}

static scmp_filter_ctx begin(uint32_t otherwise)
{
    scmp_filter_ctx f = seccomp_init(otherwise);

    if (!f)
        die("event=no_cage what=seccomp why=\"no memory\"");
    must(seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "architectures");
    must(seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1), "all threads");
    must(seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2), "a tree");
    return f;
}

static void close_door(scmp_filter_ctx f, const char *list)
{
    int rc = seccomp_load(f);

    seccomp_release(f);
    if (rc != 0)
        cage_missing("seccomp", strerror(-rc));
    else
        log_info("event=caged calls=seccomp list=%s", list);
}

/* Root without them is a user like others, one that owns root's files. */
static void drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[2] = {{0}, {0}};

    for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        prctl(PR_CAPBSET_DROP, cap, 0, 0, 0); /* refused to who has none anyway */
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    if (syscall(SYS_capset, &head, none) != 0)
        die("event=no_cage what=capabilities why=\"%s\"", strerror(errno));
}

void cage_thread(void)
{
    if (cage_wanted())
        drop_capabilities();
}

void cage_calls(const char *name, unsigned also)
{
    if (!cage_wanted())
        return;
    drop_capabilities();
    scmp_filter_ctx f = begin(SCMP_ACT_KILL_PROCESS);
    add(f, SCMP_ACT_ALLOW, LIST(service_calls));
    allow_arguments(f);
    if (also & CAGE_BATCHES)
        add(f, SCMP_ACT_ALLOW, LIST(batch_calls));
    if (also & CAGE_STORE)
        add(f, SCMP_ACT_ALLOW, LIST(store_calls));
    if (also & CAGE_LINKS)
        allow_links(f);
    close_door(f, name);
}

/* No socket on which whole packets of others can be read or written. */
static void forbid_raw(scmp_filter_ctx f)
{
    must(seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 1,
                          SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, AF_PACKET)),
         "packets");
    must(seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 2,
                          SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, AF_INET),
                          SCMP_A1(SCMP_CMP_MASKED_EQ, TYPE_MASK, SOCK_RAW)),
         "packets");
    must(seccomp_rule_add(f, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 2,
                          SCMP_A0(SCMP_CMP_MASKED_EQ, UINT32_MAX, AF_INET6),
                          SCMP_A1(SCMP_CMP_MASKED_EQ, TYPE_MASK, SOCK_RAW)),
         "packets");
}

static void forbid(struct list more, const char *list)
{
    scmp_filter_ctx f = begin(SCMP_ACT_ALLOW);

    add(f, SCMP_ACT_KILL_PROCESS, LIST(never_calls));
    add(f, SCMP_ACT_KILL_PROCESS, more);
    forbid_raw(f);
    close_door(f, list);
}

void cage_peer(bool runs_commands)
{
    if (!runs_commands && cage_wanted())
        forbid(LIST(start_calls), "peer");
}

void cage_supervisor(void)
{
    if (cage_wanted())
        forbid((struct list){NULL, 0}, "supervisor");
}
