// What a debugger is to see: a thread that runs, one that waits for a page, a page that is there, a pager that nobody asked.
#include <stdio.h>
#include <threads.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>
#include <zircon/syscalls/port.h>

#define SIZE (1ull << 30)
#define READ_WRITE (ZX_VM_PERM_READ | ZX_VM_PERM_WRITE)

volatile int counter;
volatile unsigned *middle, *absent;

static int spin(void *unused)
{
    (void)unused;
    for (;;)
        counter++;
}

static int square(int n)
{
    int result = n * n;
    return result;
}

int main(int argc, char **argv)
{
    zx_vaddr_t data, paged;
    zx_handle_t vmo, pager, port, lazy;
    zx_port_packet_t packet;
    thrd_t thread;
    int total = 0;
    (void)argv;
    if (zx_vmo_create(SIZE, 0, &vmo) || zx_port_create(0, &port) || zx_pager_create(0, &pager) ||
        zx_pager_create_vmo(pager, 0, port, 7, SIZE, &lazy) ||
        zx_vmar_map(zx_vmar_root_self(), READ_WRITE, 0, vmo, 0, SIZE, &data) ||
        zx_vmar_map(zx_vmar_root_self(), READ_WRITE, 0, lazy, 0, SIZE, &paged))
        return 100;
    middle = (unsigned *)(data + SIZE / 2);
    absent = (unsigned *)paged;
    *middle = 0xc0ffee;
    thrd_create(&thread, spin, NULL);
    while (counter < 100)
        thrd_yield();
    for (int i = 0; i < 3; i++)
        total += square(i + argc);
    if (zx_port_wait(port, 0, &packet) != ZX_ERR_TIMED_OUT)
        return 101;
    printf("total %d\n", total);
    return total;
}
