/* Four threads read a VMO that a pager in the same program fills on request. */
#include <assert.h>
#include <stdio.h>
#include <threads.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>
#include <zircon/syscalls/port.h>

#define PAGES 256
#define WORDS (PAGES * ZX_PAGE_SIZE / sizeof(uint64_t))
#define KEY 7

static zx_handle_t pager, port, vmo;

static int serve(void *argument)
{
    int *requests = argument;
    zx_handle_t aux;
    assert(zx_vmo_create(PAGES * ZX_PAGE_SIZE, 0, &aux) == ZX_OK);
    for (;;) {
        zx_port_packet_t packet;
        assert(zx_port_wait(port, ZX_TIME_INFINITE, &packet) == ZX_OK);
        assert(packet.key == KEY && packet.type == ZX_PKT_TYPE_PAGE_REQUEST);
        if (packet.page_request.command == ZX_PAGER_VMO_COMPLETE)
            return 0;
        uint64_t offset = packet.page_request.offset, length = packet.page_request.length;
        for (uint64_t at = offset; at < offset + length; at += ZX_PAGE_SIZE) {
            uint64_t page[ZX_PAGE_SIZE / sizeof(uint64_t)];
            for (size_t i = 0; i < ZX_PAGE_SIZE / sizeof(uint64_t); i++)
                page[i] = at + i * sizeof(uint64_t);
            assert(zx_vmo_write(aux, page, at, ZX_PAGE_SIZE) == ZX_OK);
        }
        assert(zx_pager_supply_pages(pager, vmo, offset, length, aux, offset) == ZX_OK);
        ++*requests;
    }
}

static const volatile uint64_t *words;

static int check(void *argument)
{
    size_t first = (size_t)argument;
    for (size_t i = first; i < WORDS; i += 4 * 512 + 1)
        assert(words[i] == i * sizeof(uint64_t));
    return 0;
}

int main(void)
{
    assert(zx_pager_create(0, &pager) == ZX_OK && zx_port_create(0, &port) == ZX_OK);
    assert(zx_pager_create_vmo(pager, 0, port, KEY, PAGES * ZX_PAGE_SIZE, &vmo) == ZX_OK);
    zx_vaddr_t address;
    assert(zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ, 0, vmo, 0, PAGES * ZX_PAGE_SIZE, &address) == ZX_OK);
    words = (const uint64_t *)address;

    int requests = 0;
    thrd_t service, readers[4];
    assert(thrd_create(&service, serve, &requests) == thrd_success);
    for (size_t i = 0; i < 4; i++)
        assert(thrd_create(&readers[i], check, (void *)(i * 512)) == thrd_success);
    for (int i = 0; i < 4; i++)
        thrd_join(readers[i], NULL);
    assert(zx_pager_detach_vmo(pager, vmo) == ZX_OK);
    thrd_join(service, NULL);
    assert(requests > 0);
    printf("%d pages are as they should be\n", PAGES);
    return 0;
}
