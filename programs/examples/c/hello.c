/* What a program is given. */
#include <stdio.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>

int main(int argc, char **argv)
{
    printf("hello, %s\n", argc > 1 ? argv[1] : "nobody");
    zx_handle_t data = zx_take_startup_handle("data");
    if (data == ZX_HANDLE_INVALID)
        return 0;
    uint64_t size;
    char text[12] = "";
    zx_vmo_get_stream_size(data, &size);
    zx_vmo_read(data, text, 0, sizeof(text) - 1);
    printf("data has %lu bytes: %s...\n", size, text);
    return 0;
}
