/* From the first instruction to main. */
#include <stdint.h>

int main(int argc, char **argv);
_Noreturn void __zx_start(const void *page);

_Noreturn void __zx_start(const void *page)
{
    (void)page;
    (void)main(0, 0);
    for (;;) {
    }
}
