// Reads the number in COUNT pages of the VMO "data" from FIRST on: each STEP pages from the one before, or at random if that is 0.
#include <stdio.h>
#include <stdlib.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>

int main(int argc, char **argv)
{
    zx_vaddr_t at;
    uint64_t size;
    zx_handle_t data = zx_take_startup_handle("data");
    if (argc != 4 || zx_vmo_get_size(data, &size) != ZX_OK ||
        zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ, 0, data, 0, size, &at) != ZX_OK)
        return 1;
    long page = atoi(argv[1]), step = atoi(argv[2]), pages = size / 4096;
    for (int left = atoi(argv[3]); left > 0; left--) {
        volatile unsigned *number = (unsigned *)(at + page * 4096);
        if (*number != page)
            return 2;
        page = step ? (page + step + pages) % pages : (page * 1103515245 + 12345) % pages;
    }
    return 0;
}
