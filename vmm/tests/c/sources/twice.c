// Two threads call one function, as often as each can.
#include <threads.h>

static volatile int turns[2];

static void turn(int who)
{
    turns[who]++;
}

static int run(void *who)
{
    for (int i = 0; i < 200; i++)
        turn((int)(long)who);
    return 0;
}

int main(void)
{
    thrd_t other;
    thrd_create(&other, run, (void *)1);
    run((void *)0);
    thrd_join(other, 0);
    return turns[0] == 200 && turns[1] == 200 ? 7 : 1;
}
