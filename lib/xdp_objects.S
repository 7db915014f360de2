/* xdp_objects.S - the programs for the hook, as clang has made them in this build; see xdp_shell.h. */
#define OBJECT(name, file)          \
    .global xdp_object_##name;       \
    .global xdp_object_##name##_end; \
    .balign 16;                      \
    xdp_object_##name:;              \
    .incbin file;                    \
    xdp_object_##name##_end:

    .section .rodata
OBJECT(hook, "lib/xdp/hook.bpf.o")
OBJECT(prober, "services/prober/xdp/stun.bpf.o")
OBJECT(relay, "services/relay/xdp/forward.bpf.o")

    .section .note.GNU-stack, "", %progbits
