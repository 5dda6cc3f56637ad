/*
 * The heap: one anonymous VMO, mapped at the first use, whose pages come when they are touched.
 *
 * It is a row of blocks without gaps, each with a head that says how long it is and how long the one before is, and then
 * the top, which was never used or was given back. Free blocks are also in lists, one for each power of two of their size. No two
 * free blocks are neighbours. Pages inside a large free block are decommitted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <threads.h>

#include <zircon/syscalls/object.h>

#include "internal.h"

#define HEAP_SIZE (1ul << 36)
#define UNIT 16ul
#define BINS 64
/* From this many free bytes on their pages are given back. */
#define LARGE (256ul << 10)

/* Sizes are multiples of UNIT and include the head; the lowest bit of `size` says that the block is used. */
struct block {
    size_t before;
    size_t size;
    /* In free blocks only. */
    struct block *next, *previous;
};

#define HEAD (2 * sizeof(size_t))
#define SMALLEST sizeof(struct block)
#define USED 1ul

static mtx_t lock;
static char *heap, *top;
/* Size of the last block. */
static size_t last;
static struct block *bins[BINS];

static size_t size_of(const struct block *block)
{
    return block->size & ~USED;
}

static struct block *after(struct block *block)
{
    return (struct block *)((char *)block + size_of(block));
}

static int bin_of(size_t size)
{
    return 63 - __builtin_clzl(size);
}

static void enlist(struct block *block)
{
    struct block **bin = &bins[bin_of(block->size)];
    block->previous = NULL;
    block->next = *bin;
    if (*bin != NULL)
        (*bin)->previous = block;
    *bin = block;
}

static void unlist(struct block *block)
{
    if (block->previous != NULL)
        block->previous->next = block->next;
    else
        bins[bin_of(block->size)] = block->next;
    if (block->next != NULL)
        block->next->previous = block->previous;
}

static int start(void)
{
    zx_handle_t vmo;
    if (zx_vmo_create(HEAP_SIZE, 0, &vmo) != ZX_OK)
        return 0;
    zx_object_set_property(vmo, ZX_PROP_NAME, "heap", 4);
    zx_vaddr_t address = 0;
    zx_vmar_map(zx_vmar_root_self(), ZX_VM_PERM_READ | ZX_VM_PERM_WRITE, 0, vmo, 0, HEAP_SIZE, &address);
    zx_handle_close(vmo);
    heap = top = (char *)address;
    return heap != NULL;
}

/* A free block of at least `size` bytes, from a list or from the top. */
static struct block *find(size_t size)
{
    for (int bin = bin_of(size); bin < BINS; bin++) {
        for (struct block *block = bins[bin]; block != NULL; block = block->next) {
            if (block->size >= size) {
                unlist(block);
                return block;
            }
        }
    }
    if (heap == NULL && !start())
        return NULL;
    if (size > HEAP_SIZE - (size_t)(top - heap))
        return NULL;
    struct block *block = (struct block *)top;
    block->before = last;
    block->size = last = size;
    top += size;
    return block;
}

/* The block's size is `size` from now on. */
static void set_size(struct block *block, size_t size)
{
    block->size = size;
    if ((char *)after(block) == top)
        last = size;
    else
        after(block)->before = size;
}

/* Gives back the pages that lie inside, apart from the links. */
static void decommit(char *from, char *to)
{
    uintptr_t begin = ((uintptr_t)from + ZX_PAGE_SIZE - 1) & -ZX_PAGE_SIZE;
    uintptr_t end = (uintptr_t)to & -ZX_PAGE_SIZE;
    if (end > begin)
        zx_vmar_op_range(zx_vmar_root_self(), ZX_VMAR_OP_DECOMMIT, begin, end - begin, NULL, 0);
}

/* A block that is in no list becomes free, together with its free neighbours. */
static void release(struct block *block)
{
    size_t size = size_of(block);
    char *end = (char *)block + size;
    if (size >= LARGE)
        decommit((char *)block + SMALLEST, end);
    if (end != top && !(after(block)->size & USED)) {
        struct block *next = after(block);
        unlist(next);
        size += next->size;
    }
    if (block->before != 0) {
        struct block *previous = (struct block *)((char *)block - block->before);
        if (!(previous->size & USED)) {
            unlist(previous);
            size += previous->size;
            block = previous;
        }
    }
    if ((char *)block + size == top) {
        top = (char *)block;
        last = block->before;
        return;
    }
    set_size(block, size);
    enlist(block);
}

/* Cuts what a used block has beyond `size` bytes. */
static void cut(struct block *block, size_t size)
{
    size_t rest = size_of(block) - size;
    if (rest < SMALLEST)
        return;
    int at_top = (char *)after(block) == top;
    block->size = size | USED;
    struct block *second = after(block);
    second->before = size;
    second->size = rest;
    if (at_top)
        last = rest;
    else
        after(second)->before = rest;
    release(second);
}

/* Bytes of the block for an allocation; 0 if there can be none. */
static size_t needed(size_t size)
{
    if (size > HEAP_SIZE)
        return 0;
    size = (size + HEAD + UNIT - 1) & -UNIT;
    return size < SMALLEST ? SMALLEST : size;
}

static struct block *block_of(void *memory)
{
    return (struct block *)((char *)memory - HEAD);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    size_t bytes = needed(size);
    int fits = alignment != 0 && (alignment & (alignment - 1)) == 0 && alignment <= HEAP_SIZE;
    /* Room to move the block up, with another before it. */
    size_t spare = alignment > UNIT ? alignment + SMALLEST : 0;
    if (bytes == 0 || !fits) {
        errno = bytes == 0 ? ENOMEM : EINVAL;
        return NULL;
    }
    mtx_lock(&lock);
    struct block *block = find(bytes + spare);
    if (block != NULL) {
        block->size |= USED;
        uintptr_t memory = (uintptr_t)block + HEAD;
        if ((memory & (alignment - 1)) != 0) {
            memory = (memory + SMALLEST + alignment - 1) & -alignment;
            struct block *moved = block_of((void *)memory);
            size_t whole = size_of(block), front = (size_t)((char *)moved - (char *)block);
            moved->before = front;
            set_size(moved, whole - front);
            moved->size |= USED;
            block->size = front;
            release(block);
            block = moved;
        }
        cut(block, bytes);
    }
    mtx_unlock(&lock);
    if (block == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    return (char *)block + HEAD;
}

void *malloc(size_t size)
{
    return aligned_alloc(UNIT, size);
}

void *calloc(size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    void *memory = malloc(bytes);
    return memory != NULL ? memset(memory, 0, bytes) : NULL;
}

void *realloc(void *memory, size_t size)
{
    if (memory == NULL)
        return malloc(size);
    struct block *block = block_of(memory);
    size_t bytes = needed(size), old = size_of(block);
    if (bytes != 0 && bytes <= old) {
        mtx_lock(&lock);
        cut(block, bytes);
        mtx_unlock(&lock);
        return memory;
    }
    void *other = malloc(size);
    if (other != NULL) {
        memcpy(other, memory, old - HEAD);
        free(memory);
    }
    return other;
}

void free(void *memory)
{
    if (memory == NULL)
        return;
    mtx_lock(&lock);
    release(block_of(memory));
    mtx_unlock(&lock);
}
