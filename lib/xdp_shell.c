/* xdp_shell.c - see xdp_shell.h; the interface is found by xdp_place_shell.c. */
#include "lib/xdp_shell.h"

#include "lib/log.h"
#include "lib/xdp_place_shell.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HOOK_NAME "natterjack_hook"
#define HOOKS_MAP "hooks"
enum { TRIES = 5 }; /* two processes may come at once */

extern const char xdp_object_hook[], xdp_object_hook_end[], xdp_object_prober[],
    xdp_object_prober_end[], xdp_object_relay[], xdp_object_relay_end[];

static const struct xdp_object hook_object = {HOOK_NAME, xdp_object_hook, xdp_object_hook_end};
static const struct xdp_object objects[XDP_SLOTS] = {
    [XDP_PROBER] = {"prober", xdp_object_prober, xdp_object_prober_end},
    [XDP_RELAY] = {"relay",  xdp_object_relay,  xdp_object_relay_end },
};

static int quiet(enum libbpf_print_level level, const char *format, va_list ap)
{
    char text[256];

    if (level == LIBBPF_WARN && vsnprintf(text, sizeof text, format, ap) > 0)
        log_debug("event=libbpf text=\"%s\"", text);
    return 0;
}

static struct bpf_object *open_object(const struct xdp_object *o)
{
    return bpf_object__open_mem(o->data, (size_t)((const char *)o->end - (const char *)o->data),
                                NULL);
}

/* ---- the hook ------------------------------------------------------------------------------------ */

/* The table of slots of a program that is one of ours; -1 if it is another. */
static int hooks_of(uint32_t program)
{
    struct bpf_prog_info info = {0};
    uint32_t len = sizeof info, map = 0;
    int hooks = -1, fd = bpf_prog_get_fd_by_id(program);

    if (fd < 0)
        return -1;
    info.nr_map_ids = 1;
    info.map_ids = (uintptr_t)&map;
    if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && strcmp(info.name, HOOK_NAME) == 0 &&
        info.nr_map_ids == 1)
        hooks = bpf_map_get_fd_by_id(map);
    close(fd);
    return hooks;
}

/* What holds the program at its interface; -1 if nothing does that can be held. */
static int link_of(uint32_t program)
{
    uint32_t id = 0;

    while (bpf_link_get_next_id(id, &id) == 0) {
        struct bpf_link_info info = {0};
        uint32_t len = sizeof info;
        int fd = bpf_link_get_fd_by_id(id);
        if (fd < 0)
            continue;
        if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.type == BPF_LINK_TYPE_XDP &&
            info.prog_id == program)
            return fd;
        close(fd);
    }
    return -1;
}

/* Hold a hook that is there. */
static bool join_hook(struct xdp *x, const struct xdp_where *w)
{
    struct bpf_xdp_query_opts opts = {.sz = sizeof opts};

    if (bpf_xdp_query(w->index, 0, &opts) != 0 || opts.prog_id == 0)
        return false;
    x->hooks = hooks_of(opts.prog_id);
    x->link = x->hooks < 0 ? -1 : link_of(opts.prog_id);
    x->mode = opts.attach_mode == XDP_ATTACHED_SKB ? "skb" : "native";
    return x->link >= 0;
}

static bool attach_as(struct xdp *x, const struct xdp_where *w, int program, uint32_t flags)
{
    struct bpf_link_create_opts opts = {.sz = sizeof opts, .flags = flags};

    x->link = bpf_link_create(program, w->index, BPF_XDP, &opts);
    x->mode = flags == XDP_FLAGS_SKB_MODE ? "skb" : "native";
    return x->link >= 0;
}

static bool attach_hook(struct xdp *x, const struct xdp_where *w)
{
    struct bpf_object *object = open_object(&hook_object);

    if (!object)
        return false;
    if (bpf_object__load(object) == 0) {
        int program = bpf_program__fd(bpf_object__find_program_by_name(object, hook_object.name));
        x->hooks = dup(bpf_object__find_map_fd_by_name(object, HOOKS_MAP));
        if (w->native && !attach_as(x, w, program, XDP_FLAGS_DRV_MODE) && errno == EBUSY)
            x->link = -1;
        else if (x->link < 0 && w->generic)
            attach_as(x, w, program, XDP_FLAGS_SKB_MODE);
    }
    int err = errno;
    bpf_object__close(object);
    errno = err;
    return x->link >= 0;
}

static void drop_hook(struct xdp *x)
{
    int err = errno;

    if (x->link >= 0)
        close(x->link);
    if (x->hooks >= 0)
        close(x->hooks);
    x->link = x->hooks = -1;
    errno = err;
}

static bool hold_hook(struct xdp *x, const struct xdp_where *w)
{
    for (unsigned i = 0; i < TRIES; i++) {
        if (join_hook(x, w) || attach_hook(x, w))
            return true;
        drop_hook(x);
        if (errno != EBUSY)
            return false;
    }
    errno = EBUSY;
    return false;
}

/* ---- the program ------------------------------------------------------------------------------------- */

static bool share(struct xdp *x, unsigned i, const struct bpf_map *map, size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

    if (memory == MAP_FAILED)
        return false;
    x->memory[i] = memory;
    x->bytes[i] = bytes;
    return true;
}

static bool load(struct xdp *x, const struct xdp_plan *plan)
{
    struct bpf_object *object = open_object(&objects[plan->slot]);

    x->object = object;
    if (!object)
        return false;
    bpf_map__reuse_fd(bpf_object__find_map_by_name(object, HOOKS_MAP), x->hooks);
    for (unsigned i = 0; i < XDP_MAPS_MAX && plan->maps[i].name; i++)
        if (plan->maps[i].entries > 0)
            bpf_map__set_max_entries(bpf_object__find_map_by_name(object, plan->maps[i].name),
                                     plan->maps[i].entries);
    if (bpf_object__load(object) != 0)
        return false;
    for (unsigned i = 0; i < XDP_MAPS_MAX && plan->maps[i].name; i++)
        if (!share(x, i, bpf_object__find_map_by_name(object, plan->maps[i].name),
                   plan->maps[i].bytes))
            return false;
    return true;
}

static bool put(struct xdp *x, const struct xdp_plan *plan)
{
    uint32_t slot = plan->slot;
    int program =
        bpf_program__fd(bpf_object__find_program_by_name(x->object, objects[plan->slot].name));

    return bpf_map_update_elem(x->hooks, &slot, &program, BPF_ANY) == 0;
}

bool xdp_open(struct xdp *x, const struct xdp_plan *plan, void (*fill)(void *arg, struct xdp *x),
              void *arg)
{
    struct xdp_where w;
    const char *why = "";

    *x = (struct xdp){.link = -1, .hooks = -1};
    if (strcmp(plan->where, "off") == 0)
        return false;
    libbpf_set_print(quiet);
    if (!xdp_find_place(plan, &w, &why)) {
        log_warn("event=no_xdp where=%s why=\"%s\" what=\"every packet takes the usual way\"",
                 plan->where, why);
        return false;
    }
    if (hold_hook(x, &w) && load(x, plan)) {
        *(struct xdp_place *)x->memory[0] = w.place;
        fill(arg, x);
        if (put(x, plan)) {
            memcpy(x->name, w.name, sizeof x->name);
            log_info("event=xdp interface=%s mode=%s", x->name, x->mode);
            return true;
        }
    }
    log_warn(
        "event=no_xdp where=%s interface=%s why=\"%s\" what=\"every packet takes the usual way\"",
        plan->where, w.name, strerror(errno));
    xdp_close(x);
    return false;
}

static void say_alive(struct xdp *x, uint64_t at_ms)
{
    if (x->memory[0])
        __atomic_store_n(&((struct xdp_place *)x->memory[0])->alive_ms, at_ms, __ATOMIC_RELAXED);
}

void xdp_alive(struct xdp *x, int64_t now_us) { say_alive(x, (uint64_t)now_us / 1000); }

void xdp_close(struct xdp *x)
{
    say_alive(x, 0);
    for (unsigned i = 0; i < XDP_MAPS_MAX; i++)
        if (x->memory[i])
            munmap(x->memory[i], x->bytes[i]);
    bpf_object__close(x->object);
    drop_hook(x);
    *x = (struct xdp){.link = -1, .hooks = -1};
}
