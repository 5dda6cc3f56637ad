// A thread that runs, a mapping of 1 TiB with one page there, and a store where nothing is mapped.
#include <stdio.h>
#include <threads.h>
#include <zircon/syscalls.h>
#include <zircon/process.h>

#define SIZE (1ull << 40)

volatile int counter = 41;
volatile unsigned *middle;

static int spin(void *unused)
{
    (void)unused;
    for (;;)
        counter++;
}

static void store(int *where, int value)
{
    *where = value;
}

int main(int argc, char **argv)
{
    (void)argv;
    zx_vaddr_t data;
    zx_handle_t vmo;
    thrd_t thread;
    if (zx_vmo_create(SIZE, 0, &vmo) != ZX_OK)
        return 1;
    zx_vm_option_t options = ZX_VM_PERM_READ | ZX_VM_PERM_WRITE;
    if (zx_vmar_map(zx_vmar_root_self(), options, 0, vmo, 0, SIZE, &data) != ZX_OK)
        return 2;
    middle = (unsigned *)(data + SIZE / 2);
    *middle = 0xc0ffee;
    thrd_create(&thread, spin, NULL);
    while (counter < 100)
        thrd_yield();
    store((int *)0x123456789000, argc);
    return 0;
}
