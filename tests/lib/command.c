/* command.c - see command.h. */
#include "tests/lib/command.h"
#include "lib/service.h"
#include "tests/lib/child.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define COMMAND BIN_DIR "/natterjack"

enum { LIMIT_MS = 20000 };

struct command command = {.top = "/tmp/test_command.XXXXXX", .up_out = -1};

pid_t command_spawn(char *const argv[], int out_fd, int err_fd)
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

void command_slurp(const char *path, char *buf)
{
    FILE *f = fopen(path, "r");

    buf[fread(buf, 1, COMMAND_OUTPUT_MAX - 1, f)] = '\0';
    fclose(f);
}

int command_run(const char *first, ...)
{
    char *argv[COMMAND_ARGS_MAX] = {"natterjack"}, paths[2][80];
    size_t n = 1;
    va_list ap;
    int fd[2];

    va_start(ap, first);
    for (const char *a = first; a; a = va_arg(ap, const char *))
        argv[n++] = (char *)(uintptr_t)a;
    va_end(ap);
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/out%d", command.top, i);
        fd[i] = open(paths[i], O_WRONLY | O_CREAT | O_TRUNC, 0600);
        cr_assert_geq(fd[i], 0);
    }
    int status = child_status(command_spawn(argv, fd[0], fd[1]));
    close(fd[0]), close(fd[1]);
    command_slurp(paths[0], command.out);
    command_slurp(paths[1], command.err);
    return status;
}

int64_t command_pause(int64_t limit_us, const char *what)
{
    cr_assert_lt(service_now_us(), limit_us, "%s does not come about; last: %s%s", what,
                 command.out, command.err);
    usleep(5000);
    return service_now_us();
}

int64_t command_limit(void) { return service_now_us() + LIMIT_MS * INT64_C(1000); }

void command_suite_flags(char *argv[COMMAND_ARGS_MAX], size_t n)
{
    char *flags[] = {"--state",
                     command.state,
                     "--public-ip",
                     "127.0.0.1,127.0.0.2",
                     "--prober-port",
                     command.port_text[0],
                     "--prober-alt-port",
                     command.port_text[1],
                     "--relay-port",
                     command.port_text[2],
                     "--front-port",
                     command.port_text[3],
                     "--enrol-port",
                     command.port_text[4],
                     NULL};

    memcpy(argv + n, flags, sizeof flags);
}

void command_start_up(void)
{
    char *argv[COMMAND_ARGS_MAX] = {"natterjack", "up"};
    int fd[2];

    command_suite_flags(argv, 2);
    cr_assert_eq(pipe2(fd, O_CLOEXEC), 0);
    command.up_pid = command_spawn(argv, fd[1], STDERR_FILENO);
    close(fd[1]);
    command.up_out = fd[0];
}

void command_read_join(char line[JOIN_PASTE_MAX])
{
    FILE *f = fdopen(dup(command.up_out), "r");

    cr_assert(fgets(line, JOIN_PASTE_MAX, f), "up ended without a join string");
    fclose(f);
}

void command_up(void)
{
    char line[JOIN_PASTE_MAX];

    command_start_up();
    command_read_join(line);
}

size_t command_children(pid_t parent, pid_t pids[COMMAND_CHILDREN_MAX],
                        char names[COMMAND_CHILDREN_MAX][16])
{
    DIR *d = opendir("/proc");
    size_t n = 0;

    for (struct dirent *e; (e = readdir(d)) && n < COMMAND_CHILDREN_MAX;) {
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

pid_t command_child(const char *name)
{
    pid_t pids[COMMAND_CHILDREN_MAX];
    char names[COMMAND_CHILDREN_MAX][16];
    size_t n = command_children(command.up_pid, pids, names);

    for (size_t i = 0; i < n; i++)
        if (strncmp(names[i] + strlen("natterjack-"), name, 4) == 0)
            return pids[i];
    return 0;
}

void command_open(void)
{
    cr_assert(tidy_mkdtemp(command.top));
    snprintf(command.state, sizeof command.state, "%s/s", command.top);
    free_ports(command.port_text);
}

void command_close(void)
{
    for (size_t i = 0; i < sizeof command.run_pid / sizeof *command.run_pid; i++)
        if (command.run_pid[i] > 0)
            kill(command.run_pid[i], SIGKILL);
    if (command.up_pid > 0) {
        kill(command.up_pid, SIGKILL);
        waitpid(command.up_pid, NULL, 0);
    }
    tidy_remove(command.top);
}
