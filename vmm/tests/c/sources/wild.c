// A jump to where the kernel is, with something else in rcx.
int main(void)
{
    __asm__ volatile("mov $1, %rcx; mov $0xffffffff80000000, %rax; jmp *%rax");
    return 0;
}
