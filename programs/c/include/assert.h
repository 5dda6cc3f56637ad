#undef assert

#ifdef NDEBUG
#define assert(condition) ((void)0)
#else
#define assert(condition) ((condition) ? (void)0 : __zx_assert_failed(#condition, __FILE__, __LINE__, __func__))
#endif

#ifndef ASSERT_H_
#define ASSERT_H_

#ifdef __cplusplus
extern "C" {
#else
#define static_assert _Static_assert
#endif

__attribute__((__noreturn__)) void __zx_assert_failed(const char *condition, const char *file, int line, const char *function);

#ifdef __cplusplus
}
#endif

#endif
