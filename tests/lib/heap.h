/*
 * heap.h - count calls of the heap, to show that a loop makes none.  Included by the one file of a test
 * that wants it: it stands in for the C library's functions, whose own are still there under other
 * names.  AddressSanitizer has a hook for it.
 */
#ifndef HEAP_H
#define HEAP_H

#include <stddef.h>
#include <stdint.h>

/* Of malloc, calloc and realloc by this thread, since libzmq's allocate when they get to it; reset it at will. */
static _Thread_local volatile uint64_t heap_calls;

#ifdef __SANITIZE_ADDRESS__
/* sanitizer/allocator_interface.h, which not every compiler package has */
int __sanitizer_install_malloc_and_free_hooks(void (*on_malloc)(const volatile void *, size_t),
                                              void (*on_free)(const volatile void *));

static void heap_on_malloc(const volatile void *p, size_t n)
{
    (void)p, (void)n;
    heap_calls++;
}

static void heap_on_free(const volatile void *p) { (void)p; }

__attribute__((constructor)) static void heap_hook(void)
{
    __sanitizer_install_malloc_and_free_hooks(heap_on_malloc, heap_on_free);
}
#else
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t each);
void *__libc_realloc(void *p, size_t n);

void *malloc(size_t n)
{
    heap_calls++;
    return __libc_malloc(n);
}

void *calloc(size_t n, size_t each)
{
    heap_calls++;
    return __libc_calloc(n, each);
}

void *realloc(void *p, size_t n)
{
    heap_calls++;
    return __libc_realloc(p, n);
}
#endif

#endif
