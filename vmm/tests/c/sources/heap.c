/* The heap under two threads that allocate, resize and free at random, and look whether anybody wrote to what is theirs. */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>
#include <zircon/process.h>
#include <zircon/syscalls.h>
#include <zircon/syscalls/object.h>

#define SLOTS 200

static uint32_t next(uint32_t *state)
{
    *state = *state * 1664525 + 1013904223;
    return *state >> 8;
}

struct slot {
    unsigned char *memory;
    size_t size;
    unsigned char byte;
};

static void check(const struct slot *slot)
{
    for (size_t i = 0; i < slot->size; i++)
        assert(slot->memory[i] == slot->byte);
}

static int work(void *seed)
{
    uint32_t state = *(uint32_t *)seed;
    static _Thread_local struct slot slots[SLOTS];
    for (int round = 0; round < 6000; round++) {
        struct slot *slot = &slots[next(&state) % SLOTS];
        size_t size = next(&state) % (round % 50 == 0 ? 100000 : 600);
        check(slot);
        if (slot->memory == NULL || next(&state) % 3 == 0) {
            free(slot->memory);
            size_t alignment = 16ul << next(&state) % 9;
            slot->memory = next(&state) % 2 ? malloc(size) : aligned_alloc(alignment, size);
        } else {
            unsigned char *resized = realloc(slot->memory, size);
            for (size_t i = 0; i < size && i < slot->size; i++)
                assert(resized[i] == slot->byte);
            slot->memory = resized;
        }
        assert(slot->memory != NULL && (uintptr_t)slot->memory % 16 == 0);
        slot->size = size;
        slot->byte = (unsigned char)next(&state);
        memset(slot->memory, slot->byte, size);
    }
    for (int i = 0; i < SLOTS; i++) {
        check(&slots[i]);
        free(slots[i].memory);
    }
    return 0;
}

static uint64_t committed(zx_handle_t job)
{
    (void)job;
    static zx_info_maps_t maps[64];
    size_t count;
    assert(zx_object_get_info(zx_process_self(), ZX_INFO_PROCESS_MAPS, maps, sizeof(maps), &count, NULL) == ZX_OK);
    for (size_t i = 0; i < count; i++) {
        if (maps[i].type == ZX_INFO_MAPS_TYPE_MAPPING && strcmp(maps[i].name, "heap") == 0)
            return maps[i].u.mapping.committed_bytes;
    }
    return 0;
}

static void limits(void)
{
    assert(malloc(SIZE_MAX) == NULL && malloc(SIZE_MAX - 64) == NULL && calloc(SIZE_MAX / 2, 3) == NULL);
    assert(malloc(1ul << 40) == NULL && aligned_alloc(3, 8) == NULL && aligned_alloc(0, 8) == NULL);
    char *zeros = malloc(5000);
    memset(zeros, 1, 5000);
    free(zeros);
    zeros = calloc(50, 100);
    for (int i = 0; i < 5000; i++)
        assert(zeros[i] == 0);
    free(zeros);
    free(NULL);
    char *page = aligned_alloc(4096, 1);
    assert((uintptr_t)page % 4096 == 0);
    free(page);
}

int main(void)
{
    limits();
    uint32_t seeds[] = {1, 77};
    thrd_t threads[2];
    for (int i = 0; i < 2; i++)
        assert(thrd_create(&threads[i], work, &seeds[i]) == thrd_success);
    for (int i = 0; i < 2; i++)
        thrd_join(threads[i], NULL);
    char *large = malloc(8 << 20);
    memset(large, 1, 8 << 20);
    assert(committed(0) >= 8 << 20);
    free(large);
    assert(committed(0) < 2 << 20);
    puts("the heap is well");
    return 0;
}
