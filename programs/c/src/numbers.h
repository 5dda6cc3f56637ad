/* Numbers that C and assembly share. A test compares those of the calls with syscalls.S. */
#define CALL_HANDLE_CLOSE 3
#define CALL_THREAD_EXIT 31
#define CALL_FUTEX_WAKE 34
#define CALL_VMAR_DESTROY 66

/* States of a thread. */
#define THREAD_RUNS 0
#define THREAD_DETACHED 1
#define THREAD_ENDED 2
