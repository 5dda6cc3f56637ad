/* Made from the crate protocol by `ZVMM_WRITE_DOCS=1 cargo test -p sdk-builder`; do not edit it here. */
#include <zircon/status.h>

const char *zx_status_get_string(zx_status_t status)
{
    switch (status) {
    case ZX_OK:
        return "ZX_OK";
    case ZX_ERR_INTERNAL:
        return "ZX_ERR_INTERNAL";
    case ZX_ERR_NOT_SUPPORTED:
        return "ZX_ERR_NOT_SUPPORTED";
    case ZX_ERR_NO_RESOURCES:
        return "ZX_ERR_NO_RESOURCES";
    case ZX_ERR_NO_MEMORY:
        return "ZX_ERR_NO_MEMORY";
    case ZX_ERR_INVALID_ARGS:
        return "ZX_ERR_INVALID_ARGS";
    case ZX_ERR_BAD_HANDLE:
        return "ZX_ERR_BAD_HANDLE";
    case ZX_ERR_WRONG_TYPE:
        return "ZX_ERR_WRONG_TYPE";
    case ZX_ERR_BAD_SYSCALL:
        return "ZX_ERR_BAD_SYSCALL";
    case ZX_ERR_OUT_OF_RANGE:
        return "ZX_ERR_OUT_OF_RANGE";
    case ZX_ERR_BUFFER_TOO_SMALL:
        return "ZX_ERR_BUFFER_TOO_SMALL";
    case ZX_ERR_BAD_STATE:
        return "ZX_ERR_BAD_STATE";
    case ZX_ERR_TIMED_OUT:
        return "ZX_ERR_TIMED_OUT";
    case ZX_ERR_SHOULD_WAIT:
        return "ZX_ERR_SHOULD_WAIT";
    case ZX_ERR_CANCELED:
        return "ZX_ERR_CANCELED";
    case ZX_ERR_PEER_CLOSED:
        return "ZX_ERR_PEER_CLOSED";
    case ZX_ERR_NOT_FOUND:
        return "ZX_ERR_NOT_FOUND";
    case ZX_ERR_ALREADY_EXISTS:
        return "ZX_ERR_ALREADY_EXISTS";
    case ZX_ERR_ALREADY_BOUND:
        return "ZX_ERR_ALREADY_BOUND";
    case ZX_ERR_UNAVAILABLE:
        return "ZX_ERR_UNAVAILABLE";
    case ZX_ERR_ACCESS_DENIED:
        return "ZX_ERR_ACCESS_DENIED";
    case ZX_ERR_IO:
        return "ZX_ERR_IO";
    case ZX_ERR_IO_REFUSED:
        return "ZX_ERR_IO_REFUSED";
    case ZX_ERR_IO_DATA_INTEGRITY:
        return "ZX_ERR_IO_DATA_INTEGRITY";
    case ZX_ERR_IO_DATA_LOSS:
        return "ZX_ERR_IO_DATA_LOSS";
    case ZX_ERR_NO_SPACE:
        return "ZX_ERR_NO_SPACE";
    default:
        return "(unknown status)";
    }
}
