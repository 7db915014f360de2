/* made_call.c - see made_call.h. */
#include "tests/lib/made_call.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>

long proc_status_at(const char *path, const char *field)
{
    char line[256];
    long n = -1;

    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, field, strlen(field)) == 0 && line[strlen(field)] == ':')
            n = strtol(line + strlen(field) + 1, NULL, strncmp(field, "Seccomp", 7) == 0 ? 10 : 16);
    if (f)
        fclose(f);
    return n;
}

long proc_status(pid_t pid, const char *field)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/%d/status", pid);
    return proc_status_at(path, field);
}

#if MADE_CALLS
enum { RESTART_FIRST = 512, RESTART_LAST = 516 }; /* the kernel's ERESTARTSYS and others */

/* Put a text where the process has nothing: below its stack, beyond what a leaf may use there. */
static long put_text(pid_t pid, unsigned long rsp, const char *text)
{
    enum { BELOW = 4096, TEXT_MAX = 128 };
    char words[TEXT_MAX] = "";
    long at = (long)((rsp - BELOW) & ~15ul), word;

    cr_assert_lt(strlen(text), sizeof words);
    memcpy(words, text, strlen(text));
    for (size_t i = 0; i < sizeof words; i += sizeof word) {
        memcpy(&word, words + i, sizeof word);
        cr_assert_eq(ptrace(PTRACE_POKEDATA, pid, at + (long)i, word), 0);
    }
    return at;
}

int made_call(pid_t pid, const long call[static 4], const char *text, long *result)
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
    if (text)
        r.rsi = (unsigned long)put_text(pid, was.rsp, text);
    cr_assert_eq(ptrace(PTRACE_SETREGS, pid, NULL, &r), 0);
    for (int stops = 0; stops < 2;) { /* as it enters and as it leaves */
        cr_assert_eq(ptrace(PTRACE_SYSCALL, pid, NULL, NULL), 0);
        cr_assert_eq(waitpid(pid, &status, __WALL), pid);
        cr_assert(WIFSTOPPED(status));
        stops += WSTOPSIG(status) == (SIGTRAP | 0x80);
    }
    cr_assert_eq(ptrace(PTRACE_GETREGS, pid, NULL, &r), 0);
    if (result)
        *result = (long)r.rax;
    bool deadly = proc_status(pid, "SigPnd") & 1L << (SIGSYS - 1);
    if ((long)was.rax <= -RESTART_FIRST && (long)was.rax >= -RESTART_LAST)
        was.rax = (unsigned long)-EINTR; /* what it slept in was interrupted; else that was done */
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
#endif
