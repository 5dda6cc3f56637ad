/* A tree of copy-on-write clones: nothing is copied until somebody writes, and each page only once. */
#include <stdio.h>
#include <stdlib.h>
#include <zircon/syscalls.h>
#include <zircon/syscalls/object.h>

#define PAGES 16
#define SIZE (PAGES * ZX_PAGE_SIZE)

static void must(zx_status_t status)
{
    if (status != ZX_OK)
        abort();
}

static void put(zx_handle_t vmo, int page, char letter)
{
    must(zx_vmo_write(vmo, &letter, (uint64_t)page * ZX_PAGE_SIZE, 1));
}

static zx_handle_t snapshot(zx_handle_t parent)
{
    zx_handle_t child;
    must(zx_vmo_create_child(parent, ZX_VMO_CHILD_SNAPSHOT, 0, SIZE, &child));
    return child;
}

/* One letter a page, and how many pages it shares with nobody. */
static void show(const char *name, zx_handle_t vmo)
{
    char letters[PAGES + 1] = "";
    for (uint64_t page = 0; page < PAGES; page++) {
        must(zx_vmo_read(vmo, &letters[page], page * ZX_PAGE_SIZE, 1));
        if (letters[page] == 0)
            letters[page] = '.';
    }
    zx_info_vmo_t info;
    must(zx_object_get_info(vmo, ZX_INFO_VMO, &info, sizeof(info), NULL, NULL));
    printf("%-12s %s  %lu not shared\n", name, letters, info.committed_private_bytes / ZX_PAGE_SIZE);
}

int main(void)
{
    zx_handle_t root;
    must(zx_vmo_create(SIZE, 0, &root));
    for (int page = 0; page < 8; page++)
        put(root, page, 'r');

    zx_handle_t left = snapshot(root), right = snapshot(root);
    put(left, 0, 'L');
    put(left, 8, 'L');
    put(right, 7, 'R');
    zx_handle_t leaf = snapshot(left);
    put(leaf, 1, 'l');
    put(root, 3, '*');

    show("root", root);
    show("left", left);
    show("left's leaf", leaf);
    show("right", right);
    return 0;
}
