/* Dirty tracking: a pager that learns of each page before it changes, and writes back only what did. */
#include <stdio.h>
#include <stdlib.h>
#include <threads.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>
#include <zircon/syscalls/pager.h>
#include <zircon/syscalls/port.h>

#define PAGES 8
#define SIZE (PAGES * ZX_PAGE_SIZE)

static zx_handle_t pager, port, vmo;

static void must(zx_status_t status)
{
    if (status != ZX_OK)
        abort();
}

static int serve(void *unused)
{
    (void)unused;
    zx_handle_t aux;
    zx_port_packet_t packet;
    must(zx_vmo_create(SIZE, 0, &aux));
    for (;;) {
        must(zx_port_wait(port, ZX_TIME_INFINITE, &packet));
        uint64_t offset = packet.page_request.offset, length = packet.page_request.length;
        switch (packet.page_request.command) {
        case ZX_PAGER_VMO_READ:
            must(zx_pager_supply_pages(pager, vmo, offset, length, aux, 0));
            break;
        case ZX_PAGER_VMO_DIRTY:
            printf("pager: page %lu is about to change\n", offset / ZX_PAGE_SIZE);
            must(zx_pager_op_range(pager, ZX_PAGER_OP_DIRTY, vmo, offset, length, 0));
            break;
        default:
            return 0;
        }
    }
}

/* Writes every dirty range back to where a real pager would have its storage. */
static void save(void)
{
    zx_vmo_dirty_range_t ranges[PAGES];
    size_t count;
    must(zx_pager_query_dirty_ranges(pager, vmo, 0, SIZE, ranges, sizeof(ranges), &count, NULL));
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = ranges[i].offset, length = ranges[i].length;
        must(zx_pager_op_range(pager, ZX_PAGER_OP_WRITEBACK_BEGIN, vmo, offset, length, 0));
        printf("saved %lu page(s) from %lu on\n", length / ZX_PAGE_SIZE, offset / ZX_PAGE_SIZE);
        must(zx_pager_op_range(pager, ZX_PAGER_OP_WRITEBACK_END, vmo, offset, length, 0));
    }
}

int main(void)
{
    thrd_t service;
    zx_vaddr_t address;
    must(zx_pager_create(0, &pager));
    must(zx_port_create(0, &port));
    must(zx_pager_create_vmo(pager, ZX_VMO_TRAP_DIRTY, port, 1, SIZE, &vmo));
    must(zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ | ZX_VM_PERM_WRITE, 0, vmo, 0, SIZE, &address));
    if (thrd_create(&service, serve, NULL) != thrd_success)
        abort();

    volatile char *pages = (volatile char *)address;
    pages[2 * ZX_PAGE_SIZE] = 1;
    pages[3 * ZX_PAGE_SIZE] = 1;
    pages[3 * ZX_PAGE_SIZE + 1] = 1;
    pages[6 * ZX_PAGE_SIZE] = 1;
    save();
    printf("and once more\n");
    pages[3 * ZX_PAGE_SIZE] = 2;
    save();

    must(zx_pager_detach_vmo(pager, vmo));
    thrd_join(service, NULL);
    return 0;
}
