/*
 * test_cage_files.c - lib/cage.h in children of the test: the files and ports that are left; what can't be done
 * at a start; and whose keys are taken.
 */
#include "lib/cage.h"
#include "lib/keys.h"
#include "tests/lib/child.h"
#include "tests/lib/tidy.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { LINE = 2048 };

static char dir[] = "/tmp/test_cage.XXXXXX";

static void setup(void) { cr_assert(tidy_mkdtemp(dir)); }

static void teardown(void) { tidy_remove(dir); }

TestSuite(cage_files, .init = setup, .fini = teardown, .timeout = 60);

#ifdef UNCAGED
#define CAGED_ONLY() cr_skip_test("a build for %s is not caged", UNCAGED)
#else
#define CAGED_ONLY() (void)0
#endif

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
    cr_assert_eq(open_file(tidy_path(dir, "key"), O_RDONLY), EACCES);
    cr_assert_eq(open_file(tidy_path(dir, "new"), O_WRONLY | O_CREAT), EACCES);
    cr_assert_eq(open_file(list, O_RDONLY), 0);
    cr_assert_eq(open_file(list, O_WRONLY), EACCES);
    cr_assert_eq(open_file(store, O_RDONLY), EACCES, "its descriptor is open already");
    cr_assert_eq(unlink(store), 0);
    cr_assert_eq(bind_unix(tidy_path(dir, "bus/one")), 0);
    cr_assert_eq(bind_unix(tidy_path(dir, "two")), EACCES);
    cr_assert_eq(unlink(tidy_path(dir, "bus/one")), 0);
    cr_assert_eq(unlink(tidy_path(dir, "key")), -1);
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

Test(cage_files, files_and_ports_that_are_not_in_the_plan_are_closed)
{
    struct child c;

    CAGED_ONLY();
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, 1) < 1)
        cr_skip_test("this kernel has no Landlock");
    cr_assert_eq(mkdir(tidy_path(dir, "bus"), 0700), 0);
    cr_assert_eq(mkdir(tidy_path(dir, "conf"), 0700), 0);
    cr_assert_eq(mkdir(tidy_path(dir, "db"), 0700), 0);
    make(tidy_path(dir, "key")), make(tidy_path(dir, "conf/list")),
        make(tidy_path(dir, "db/store"));
    cr_assert_eq(child_run(&c, try_files, NULL), 0, "%s", c.err);
    cr_assert(strstr(c.err, "event=caged files=landlock"), "%s", c.err);
}

/* ---- configuration, keys, users ------------------------------------------------------------------ */

static int classifier(const char *flag, const char *value, char line[LINE])
{
    char command[256];

    cr_assert(mkdir(tidy_path(dir, "bus"), 0700) == 0 || errno == EEXIST);
    snprintf(command, sizeof command, BIN_DIR "/natterjack-classifier --bus %s %s %s 2>&1",
             tidy_path(dir, "bus"), flag, value);
    FILE *f = popen(command, "r");
    *line = '\0';
    for (size_t n; (n = strlen(line)) < LINE - 1 && fgets(line + n, (int)(LINE - n), f);)
        ;
    int status = pclose(f);
    return WEXITSTATUS(status);
}

Test(cage_files, what_cannot_be_done_is_said_in_one_line_and_ends_the_start)
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

Test(cage_files, a_key_of_another_user_is_refused)
{
    uint8_t key[32] = {1};

    if (geteuid() != 0)
        cr_skip_test("only root can give files away");
    cr_assert(key_save(tidy_path(dir, "key"), key, sizeof key, 0600));
    cr_assert(key_load(tidy_path(dir, "key"), key, sizeof key));
    cr_assert_eq(chown(tidy_path(dir, "key"), 12345, 0), 0);
    cr_assert(!key_load(tidy_path(dir, "key"), key, sizeof key));
    cr_assert_eq(errno, EPERM);
    cr_assert(strstr(key_problem(errno), "owner"));
}
