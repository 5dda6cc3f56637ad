/*
 * The program's own image, copied before anything else happens, and processes made of it.
 *
 * A process of a test maps the segments without write access as they are, the others as snapshots, and an empty stack, all at the same
 * addresses. It begins at __zx_test_entry with a channel, which holds the test's index and the start-up handles; once they are on the
 * start-up page, everything goes on at _start.
 */
#include <string.h>
#include <zircon/syscalls/object.h>

#include "startup.h"
#include "test.h"

#define NODES 24
#define NO_MESSAGE 103

struct part {
    zx_vaddr_t base;
    uint64_t size;
    zx_vm_option_t permissions;
    /* What it holds at the start; 0 for the stack. */
    zx_handle_t content;
};

zx_handle_t __zx_test_channel;
uint64_t __zx_test_index;

/* The runner's own. */
static struct part parts[NODES];
static size_t part_count;
static zx_vaddr_t stack_end;
static const char *startup_page;
static zx_status_t copied;

void __zx_test_entry(void);
void __zx_test_receive(zx_handle_t channel, char *page);

/* A VMO with what the program has in a mapping. */
static zx_status_t copy(const zx_info_maps_t *node, zx_handle_t *out)
{
    zx_status_t status = zx_vmo_create(node->size, 0, out);
    if (status == ZX_OK)
        status = zx_vmo_write(*out, (const void *)node->base, 0, node->size);
    if (status == ZX_OK && (node->u.mapping.mmu_flags & ZX_VM_PERM_EXECUTE))
        status = zx_vmo_replace_as_executable(*out, ZX_HANDLE_INVALID, out);
    return status;
}

/* Takes a mapping into the image if it is a segment, the stack or the start-up pages, by the names that the VMM gives. */
static zx_status_t take(const zx_info_maps_t *node)
{
    int startup = strcmp(node->name, "start-up") == 0, stack = strcmp(node->name, "stack") == 0;
    int segment = strncmp(node->name, "program ", 8) == 0;
    if (node->type != ZX_INFO_MAPS_TYPE_MAPPING || !(startup || stack || segment))
        return ZX_OK;
    struct part *part = &parts[part_count++];
    part->base = node->base;
    part->size = node->size;
    /* The process writes its own handles to the start-up page. */
    part->permissions = node->u.mapping.mmu_flags | (startup ? ZX_VM_PERM_WRITE : 0);
    if (stack) {
        stack_end = node->base + node->size;
        return ZX_OK;
    }
    return copy(node, &part->content);
}

/* Called before the first variable of the program is touched, but for the start-up handles. */
void __zx_before_main(const char *page)
{
    if (__zx_test_channel != ZX_HANDLE_INVALID)
        return;
    startup_page = page;
    zx_info_maps_t nodes[NODES];
    size_t count;
    copied = zx_object_get_info(zx_process_self(), ZX_INFO_PROCESS_MAPS, nodes, sizeof(nodes), &count, NULL);
    for (size_t i = 0; i < count && copied == ZX_OK; i++)
        copied = take(&nodes[i]);
}

/* The first thing in the process of a test. */
void __zx_test_receive(zx_handle_t channel, char *page)
{
    const struct startup_header *header = (const struct startup_header *)page;
    struct startup_handle *records = (struct startup_handle *)(page + header->handles_offset);
    zx_handle_t handles[ZX_CHANNEL_MAX_MSG_HANDLES];
    uint32_t bytes, count;
    zx_status_t status = zx_channel_read(channel, 0, &__zx_test_index, handles, sizeof(__zx_test_index),
                                         ZX_CHANNEL_MAX_MSG_HANDLES, &bytes, &count);
    if (status != ZX_OK)
        zx_process_exit(NO_MESSAGE);
    for (uint32_t i = 0; i < count; i++)
        records[i].handle = handles[i];
    __zx_test_channel = channel;
}

static zx_status_t map(const struct part *part, zx_handle_t vmar, zx_vaddr_t root)
{
    zx_handle_t vmo = part->content;
    zx_status_t status = ZX_OK;
    if (part->content == ZX_HANDLE_INVALID)
        status = zx_vmo_create(part->size, 0, &vmo);
    else if (part->permissions & ZX_VM_PERM_WRITE)
        status = zx_vmo_create_child(part->content, ZX_VMO_CHILD_SNAPSHOT, 0, part->size, &vmo);
    if (status != ZX_OK)
        return status;
    zx_vm_option_t options = (part->permissions & (ZX_VM_PERM_READ | ZX_VM_PERM_WRITE | ZX_VM_PERM_EXECUTE)) | ZX_VM_SPECIFIC;
    zx_vaddr_t address;
    status = zx_vmar_map(vmar, options, part->base - root, vmo, 0, part->size, &address);
    if (vmo != part->content)
        zx_handle_close(vmo);
    return status;
}

/* The handle that the process gets for one of the runner's: its own where it has one of that name. */
static zx_handle_t substitute(const struct startup_handle *record, const struct running *out, zx_handle_t vmar, zx_handle_t thread)
{
    if (strcmp(record->name, "vmar") == 0)
        return vmar;
    if (strcmp(record->name, "process") == 0)
        return out->process;
    if (strcmp(record->name, "thread") == 0)
        return thread;
    return strcmp(record->name, "job") == 0 ? out->job : record->handle;
}

/* Sends the index and the handles, in the order of the start-up page. */
static zx_status_t brief(uint64_t index, const struct running *out, zx_handle_t vmar, zx_handle_t thread)
{
    const struct startup_header *header = (const struct startup_header *)startup_page;
    const struct startup_handle *records = (const struct startup_handle *)(startup_page + header->handles_offset);
    zx_handle_t handles[ZX_CHANNEL_MAX_MSG_HANDLES];
    if (header->handle_count > ZX_CHANNEL_MAX_MSG_HANDLES)
        return ZX_ERR_OUT_OF_RANGE;
    for (uint32_t i = 0; i < header->handle_count; i++) {
        zx_handle_t handle = substitute(&records[i], out, vmar, thread);
        zx_status_t status = zx_handle_duplicate(handle, ZX_RIGHT_SAME_RIGHTS, &handles[i]);
        if (status != ZX_OK)
            return status;
    }
    return zx_channel_write(out->announcements, 0, &index, sizeof(index), handles, header->handle_count);
}

static zx_status_t start(uint64_t index, struct running *out, zx_handle_t vmar, zx_handle_t thread)
{
    zx_info_vmar_t root;
    zx_handle_t far;
    zx_status_t status = zx_object_get_info(vmar, ZX_INFO_VMAR, &root, sizeof(root), NULL, NULL);
    for (size_t i = 0; i < part_count && status == ZX_OK; i++)
        status = map(&parts[i], vmar, root.base);
    if (status == ZX_OK)
        status = zx_task_create_exception_channel(out->process, 0, &out->exceptions);
    if (status == ZX_OK)
        status = zx_channel_create(0, &out->announcements, &far);
    if (status == ZX_OK)
        status = brief(index, out, vmar, thread);
    if (status != ZX_OK)
        return status;
    return zx_process_start(out->process, thread, (zx_vaddr_t)__zx_test_entry, stack_end, far, (uintptr_t)startup_page);
}

zx_status_t __zx_test_start(const char *name, uint64_t index, struct running *out)
{
    zx_handle_t vmar, thread;
    zx_status_t status = copied;
    size_t size = strnlen(name, ZX_MAX_NAME_LEN - 1);
    if (status == ZX_OK)
        status = zx_job_create(zx_job_default(), 0, &out->job);
    if (status == ZX_OK)
        status = zx_process_create(out->job, name, size, 0, &out->process, &vmar);
    if (status != ZX_OK)
        return status;
    status = zx_thread_create(out->process, "main", 4, 0, &thread);
    if (status == ZX_OK) {
        status = start(index, out, vmar, thread);
        zx_handle_close(thread);
    }
    zx_handle_close(vmar);
    return status;
}
