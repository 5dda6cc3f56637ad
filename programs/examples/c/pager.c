/* A pager in the program itself: a thread answers what touching pages of a VMO asks for. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>
#include <zircon/syscalls/port.h>

#define PAGES 64
#define KEY 1

static zx_handle_t pager, port, vmo;

static void must(zx_status_t status)
{
    if (status != ZX_OK)
        abort();
}

/* Puts "page N" on each page that is asked for. Page 13 cannot be had. */
static int serve(void *unused)
{
    (void)unused;
    zx_handle_t aux;
    zx_port_packet_t packet;
    must(zx_vmo_create(PAGES * ZX_PAGE_SIZE, 0, &aux));
    for (;;) {
        must(zx_port_wait(port, ZX_TIME_INFINITE, &packet));
        if (packet.page_request.command == ZX_PAGER_VMO_COMPLETE)
            return 0;
        uint64_t offset = packet.page_request.offset;
        uint64_t end = offset + packet.page_request.length;
        for (; offset < end; offset += ZX_PAGE_SIZE) {
            uint64_t page = offset / ZX_PAGE_SIZE;
            printf("pager: page %lu is wanted\n", page);
            if (page == 13) {
                must(zx_pager_op_range(pager, ZX_PAGER_OP_FAIL, vmo, offset, ZX_PAGE_SIZE, (uint64_t)ZX_ERR_IO));
                continue;
            }
            char text[32];
            snprintf(text, sizeof(text), "page %lu", page);
            must(zx_vmo_write(aux, text, 0, sizeof(text)));
            must(zx_pager_supply_pages(pager, vmo, offset, ZX_PAGE_SIZE, aux, 0));
        }
    }
}

int main(void)
{
    thrd_t service;
    zx_vaddr_t address;
    must(zx_pager_create(0, &pager));
    must(zx_port_create(0, &port));
    must(zx_pager_create_vmo(pager, 0, port, KEY, PAGES * ZX_PAGE_SIZE, &vmo));
    must(zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ, 0, vmo, 0, PAGES * ZX_PAGE_SIZE, &address));
    if (thrd_create(&service, serve, NULL) != thrd_success)
        abort();

    const char *pages = (const char *)address;
    const int order[] = {5, 40, 5};
    for (int i = 0; i < 3; i++)
        printf("read: %s\n", pages + order[i] * ZX_PAGE_SIZE);
    char text[16];
    zx_status_t status = zx_vmo_read(vmo, text, 13 * ZX_PAGE_SIZE, sizeof(text));
    printf("page 13: %s\n", status == ZX_ERR_IO ? "ZX_ERR_IO" : "?");

    must(zx_pager_detach_vmo(pager, vmo));
    thrd_join(service, NULL);
    return 0;
}
