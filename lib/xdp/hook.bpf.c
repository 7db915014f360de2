/*
 * hook.bpf.c - what is attached to an interface: programs of several processes, one after the other.
 *
 * An interface takes one XDP program.  This one leads to those that prober and relay of the host have put into
 * their slots (lib/xdp_shell.h); each hands on what is not its own, and what nobody takes goes the usual way.
 */
#include "lib/xdp/packet.bpf.h"

SEC("xdp") int natterjack_hook(struct xdp_md *ctx)
{
    bpf_tail_call(ctx, &hooks, XDP_PROBER);
    bpf_tail_call(ctx, &hooks, XDP_RELAY);
    return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
