// Runs until somebody ends it; one thread waits for a page that never comes.
#include <threads.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>

volatile unsigned long rounds;
volatile int stop;

static int wait_for_page(void *page)
{
    return *(volatile char *)page;
}

int main(void)
{
    zx_vaddr_t paged;
    zx_handle_t pager, port, lazy;
    thrd_t thread;
    if (zx_port_create(0, &port) || zx_pager_create(0, &pager) ||
        zx_pager_create_vmo(pager, 0, port, 7, 4096, &lazy) ||
        zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ, 0, lazy, 0, 4096, &paged))
        return 100;
    thrd_create(&thread, wait_for_page, (void *)paged);
    while (!stop)
        rounds++;
    return 5;
}
