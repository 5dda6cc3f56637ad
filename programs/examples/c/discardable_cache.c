/* A cache in discardable VMOs: under `--memory` what nobody uses goes, and is made again when it is wanted. */
#include <stdio.h>
#include <stdlib.h>
#include <zircon/syscalls.h>

#define ENTRIES 8
#define SIZE (4ul << 20)

static zx_handle_t entries[ENTRIES];

static void must(zx_status_t status)
{
    if (status != ZX_OK)
        abort();
}

/* Costly in a real program. */
static void make(int number)
{
    for (uint64_t at = 0; at < SIZE; at += ZX_PAGE_SIZE)
        must(zx_vmo_write(entries[number], &number, at, sizeof(number)));
}

/* The entry cannot be discarded between LOCK and UNLOCK. */
static void use(int number)
{
    zx_vmo_lock_state_t state;
    const char *how = "still there";
    if (zx_vmo_op_range(entries[number], ZX_VMO_OP_TRY_LOCK, 0, SIZE, NULL, 0) != ZX_OK) {
        must(zx_vmo_op_range(entries[number], ZX_VMO_OP_LOCK, 0, SIZE, &state, sizeof(state)));
        make(number);
        how = "made again";
    }
    int found;
    must(zx_vmo_read(entries[number], &found, SIZE / 2, sizeof(found)));
    printf("entry %d: %d, %s\n", number, found, how);
    must(zx_vmo_op_range(entries[number], ZX_VMO_OP_UNLOCK, 0, SIZE, NULL, 0));
}

int main(void)
{
    for (int i = 0; i < ENTRIES; i++) {
        zx_vmo_lock_state_t state;
        must(zx_vmo_create(SIZE, ZX_VMO_DISCARDABLE, &entries[i]));
        must(zx_vmo_op_range(entries[i], ZX_VMO_OP_LOCK, 0, SIZE, &state, sizeof(state)));
        make(i);
        must(zx_vmo_op_range(entries[i], ZX_VMO_OP_UNLOCK, 0, SIZE, NULL, 0));
    }
    for (int i = ENTRIES - 1; i >= 0; i--)
        use(i);
    return 0;
}
